//! `check`.

use cobox_seeder::admin::ErrorCode;
use cobox_seeder::dto::{CheckReply, CheckRequest};

use super::short;
use crate::Context;
use crate::output::Failure;
use crate::units::{count, show_bytes};

/// Read every block kept here and compare it with its name
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Have damaged blocks brought again by whoever has them
    #[arg(long)]
    repair: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        context.out.note("reading all blocks");
        let reply: CheckReply = client.post("check", &CheckRequest { repair: self.repair })?;
        context.out.data(&reply, show)?;
        let hint = if self.repair { "they come back when a member is here" } else { "`cobox-seeder check --repair`" };
        match reply.damaged.len() {
            0 => Ok(()),
            n => Err(Failure::new(ErrorCode::DamageFound, format!("{} found", count(n, "damage")), hint)),
        }
    }
}

fn show(reply: &CheckReply) -> String {
    let blocks = usize::try_from(reply.blocks).unwrap_or(usize::MAX);
    let mut text = format!("{}, {} read\n", count(blocks, "block"), show_bytes(reply.bytes));
    for damage in &reply.damaged {
        let block = damage.block.as_deref().map(|block| format!(", block {}", short(block))).unwrap_or_default();
        text += &format!("  folder {}{block}: {}\n", short(&damage.folder), damage.message);
    }
    if reply.damaged.is_empty() { text + "everything is as it should be\n" } else { text }
}
