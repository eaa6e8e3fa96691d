//! `drop`.

use std::io::{self, BufRead, IsTerminal};

use cobox_seeder::admin::ErrorCode;
use cobox_seeder::dto::DropReply;

use super::{label, short};
use crate::Context;
use crate::client::part;
use crate::output::{Failure, say};
use crate::units::{count, show_bytes};

/// Delete a folder kept here, at once and for good
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The beginning of its id, at least 6 characters
    id: String,
    /// Also if its members want it kept here, and it may be the last copy
    #[arg(long)]
    even_the_last_copy: bool,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let preview: DropReply = client.get(&format!("folders/{}/drop", part(&self.id)))?;
        if self.dry_run {
            return context.out.data(&preview, |reply| format!("{} would be deleted", what(reply)));
        }
        let is_asked = !context.global.yes && !context.global.json;
        if is_asked && !agreed(&preview)? {
            return Err(Failure::new(ErrorCode::Failed, "nothing was deleted", ""));
        }
        // Who was asked was told that it may be the last. `--yes` and `--json` do not stand for that.
        let even = if is_asked || self.even_the_last_copy { "?even_the_last_copy=true" } else { "" };
        let reply: DropReply = client.delete(&format!("folders/{}{even}", preview.folder.id))?;
        context.out.data(&reply, |reply| format!("{} is deleted", what(reply)))
    }
}

/// Before somebody says yes.
const LAST: &str =
    "They still want it kept here. THIS MAY BE THE LAST COPY: what lies with them is not known here. Ask them first.\n";

fn what(reply: &DropReply) -> String {
    let row = &reply.folder;
    let vaults = if reply.vaults == 0 { String::new() } else { format!(" with {}", count(reply.vaults, "vault")) };
    format!("folder {} for {}, {}{vaults},", short(&row.id), label(row), show_bytes(row.used_bytes))
}

fn agreed(preview: &DropReply) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::new(ErrorCode::Usage, "nobody can be asked without a terminal", "give --yes"));
    }
    let last = if preview.may_be_last { LAST } else { "Its members have ended it.\n" };
    say(&format!("{} will be deleted for good. Its members lose this copy.\n{last}Go on? [y/N] ", what(preview)));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| Failure::io("the answer can not be read", &error))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
