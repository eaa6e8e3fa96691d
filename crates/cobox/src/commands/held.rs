//! `held`: changes the brake holds back.

use clap::Subcommand;
use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::{Direction, HeldChange, HeldChanges, HeldRequest};

use crate::client::{Client, part};
use crate::error::Failure;
use crate::text::clean;
use crate::units::count;
use crate::{Context, place};

/// Changes that look like an accident and wait for your word
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what is held back
    List {
        /// One folder: its name, the beginning of its id, or its path
        folder: Option<String>,
    },
    /// Let held changes happen after all
    Approve {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// One of them, otherwise all of the folder
        id: Option<String>,
        /// Only show what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Turn held changes back: the files stay as they were
    Reject {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// One of them, otherwise all of the folder
        id: Option<String>,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.what {
            What::List { folder } => {
                let held = list(&client, folder.as_deref())?;
                if held.held.is_empty() {
                    context.out.note("nothing is held back");
                }
                context.out.data(&held, show)
            }
            What::Approve { folder, id, dry_run } => approve(context, &client, &folder, id, dry_run),
            What::Reject { folder, id } => settle(context, &client, &folder, id, "reject", "turned back"),
        }
    }
}

fn approve(context: &Context, client: &Client, folder: &str, id: Option<String>, dry_run: bool) -> Result<(), Failure> {
    let mut held = list(client, Some(folder))?;
    held.held.retain(|change| id.as_ref().is_none_or(|id| change.id.starts_with(id.as_str())));
    if held.held.is_empty() {
        let hint = "`cobox held list` shows what is held back";
        return Err(Failure::new(ErrorCode::HeldNotFound, "there is no such held change", hint));
    }
    if dry_run {
        return context.out.data(&held, show);
    }
    if !context.confirm(&format!("These changes happen if you approve:\n{}", show(&held)))? {
        context.out.note("nothing was done");
        return Ok(());
    }
    settle(context, client, folder, id, "approve", "let through")
}

fn list(client: &Client, folder: Option<&str>) -> Result<HeldChanges, Failure> {
    let query = folder.map(|f| Ok::<_, Failure>(format!("?folder={}", part(&place::folder(f)?)))).transpose()?;
    client.get(&format!("held{}", query.unwrap_or_default()))
}

fn settle(
    context: &Context,
    client: &Client,
    folder: &str,
    id: Option<String>,
    verb: &str,
    did: &str,
) -> Result<(), Failure> {
    let address = format!("folders/{}/held/{verb}", part(&place::folder(folder)?));
    let settled: HeldChanges = client.post(&address, &HeldRequest { id })?;
    context.out.data(&settled, |settled| format!("{} {did}", count(settled.held.len() as u64, "held change")))
}

fn show(held: &HeldChanges) -> String {
    held.held.iter().map(show_change).collect()
}

fn show_change(change: &HeldChange) -> String {
    let way = match change.direction {
        Direction::Incoming => "from others to this device",
        Direction::Outgoing => "from this device to others",
    };
    let at = change.at.map(|at| format!(", {at}")).unwrap_or_default();
    let mut text = format!(
        "{}  {}: {} deleted, {} changed, {way}, by {} on {}{at}\n  {}\n",
        clean(&change.id),
        clean(&change.folder),
        count(change.deleted_files, "file"),
        count(change.changed_files, "file"),
        clean(&change.by),
        clean(&change.device),
        clean(&change.why)
    );
    for example in &change.examples {
        text.push_str(&format!("  {}\n", clean(example)));
    }
    text
}
