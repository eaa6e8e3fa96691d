//! One file per verb, named as the operator says it. A verb parses its arguments, asks the service once, and prints.

mod check;
mod completions;
mod down;
mod drop;
mod folders;
mod offer;
mod show;
mod status;
mod up;

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use cobox_seeder::dto::{FolderRow, Kind, Time};

use crate::Context;
use crate::output::Failure;

macro_rules! verbs {
    ($($name:ident($module:ident);)*) => {
        /// What the operator wants.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Verb {
            $($name($module::Args),)*
        }

        impl Verb {
            /// Does it.
            pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
                match self { $(Verb::$name(args) => args.run(context),)* }
            }
        }
    };
}

verbs! {
    Up(up);
    Down(down);
    Status(status);
    Offer(offer);
    Folders(folders);
    Show(show);
    Drop(drop);
    Check(check);
    Completions(completions);
}

impl Verb {
    /// Whether this process becomes the service, which has its own way with Ctrl-C.
    pub(crate) fn is_service(&self) -> bool {
        matches!(self, Verb::Up(args) if args.foreground)
    }
}

/// A folder's label, or what stands for it.
fn label(row: &FolderRow) -> String {
    let label = if row.label.is_empty() { "-" } else { &row.label };
    match row.kind {
        Kind::Folder => label.into(),
        Kind::Vault => format!("{label} (vault)"),
    }
}

fn state(row: &FolderRow) -> &'static str {
    match (&row.problem, row.hired, row.complete, row.head_at) {
        (Some(_), ..) => "problem",
        (None, false, ..) => "ended by its members",
        (None, true, true, _) => "complete",
        (None, true, false, Some(_)) => "receiving",
        (None, true, false, None) => "waiting",
    }
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
