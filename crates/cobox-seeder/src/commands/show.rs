//! `show`.

use cobox_seeder::dto::{FolderReply, FolderRow, Sees};

use super::{label, now, state};
use crate::Context;
use crate::client::part;
use crate::output::Failure;
use crate::units::{show_ago, show_bytes};

/// Show one folder kept here
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The beginning of its id, at least 6 characters
    id: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let reply: FolderReply = context.client()?.get(&format!("folders/{}", part(&self.id)))?;
        context.out.data(&reply, |reply| show(&reply.folder) + &show_sees(&reply.sees))
    }
}

fn show(row: &FolderRow) -> String {
    let now = now();
    let ago = |at: Option<_>| at.map_or("never".into(), |at| show_ago(at, now));
    let mut text = format!("{}\n  for         {}\n  state       {}\n", row.id, label(row), state(row));
    text += &format!("  newest      complete state of {}\n", ago(row.head_at));
    text += &format!("  used        {} of {}\n", show_bytes(row.used_bytes), show_bytes(row.quota_bytes));
    text += &format!("  history     {} of that, for {} states\n", show_bytes(row.history_bytes), row.states);
    text +=
        &format!("  blocks      {}, {} in the trash\n  members     {}\n", row.blocks, row.trash_blocks, row.members);
    text += &format!("  last seen   {}\n", if row.connected > 0 { "now".into() } else { ago(row.last_seen) });
    text += &format!("  here since  {}\n  all read    {}\n", row.since, ago(row.checked_at));
    row.damaged.iter().for_each(|block| text += &format!("  damaged     block {block}\n"));
    row.problem.iter().for_each(|problem| text += &format!("  problem     {problem}\n"));
    text
}

fn show_sees(sees: &Sees) -> String {
    let mut text = String::from("  seen of its people: keys and times, no names\n");
    for member in &sees.members {
        text += &format!("    member {} with {}\n", member.key, member.devices.join(", "));
    }
    for state in &sees.states {
        text += &format!("    {} wrote {} at {}\n", state.device, show_bytes(state.new_bytes), state.written_at);
    }
    if sees.states_all > sees.states.len() {
        text += &format!("    ... and {} older states\n", sees.states_all - sees.states.len());
    }
    text
}
