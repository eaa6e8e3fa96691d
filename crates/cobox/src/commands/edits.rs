//! `edits`: what was changed here where one may only read.

use clap::Subcommand;
use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::{Edits, EditsReset, ResetRequest};

use crate::client::part;
use crate::error::Failure;
use crate::text::clean;
use crate::units::count;
use crate::{Context, place};

/// What you changed in a folder that you may only read
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what stands on this device alone
    List {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
    },
    /// Set it aside, in a directory beside the folder, and have the folder's own again
    Reset {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// Some of them, as `edits list` names them; otherwise all
        paths: Vec<String>,
        /// Only show what would happen
        #[arg(long)]
        dry_run: bool,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.what {
            What::List { folder } => {
                let edits: Edits = client.get(&format!("folders/{}/edits", part(&place::folder(&folder)?)))?;
                if edits.edits.is_empty() {
                    context.out.note("nothing was changed here that others do not have");
                }
                context.out.data(&edits, show)
            }
            What::Reset { folder, paths, dry_run } => {
                let address = format!("folders/{}/edits/reset", part(&place::folder(&folder)?));
                let reset: EditsReset = client.post(&address, &ResetRequest { paths, dry_run })?;
                context.out.data(&reset, show_reset)?;
                match reset.problems.len() {
                    0 => Ok(()),
                    left => {
                        let text =
                            format!("{} could not be set aside and stays as it is", count(left as u64, "change"));
                        Err(Failure::new(ErrorCode::Disk, text, "see what is wrong with it above"))
                    }
                }
            }
        }
    }
}

fn show(edits: &Edits) -> String {
    let mut text: String = edits.edits.iter().map(|edit| format!("{}\n", clean(&edit.path))).collect();
    if edits.more > 0 {
        text.push_str(&format!("and {} more\n", edits.more));
    }
    text
}

fn show_reset(reset: &EditsReset) -> String {
    let mut text = String::new();
    for edit in &reset.set_aside {
        let to = match (&edit.to, reset.dry_run) {
            (Some(to), _) => format!("is in {} now", clean(to)),
            (None, true) => "would be set aside beside the folder".into(),
            (None, false) => "had gone already".into(),
        };
        text.push_str(&format!("{} {to}\n", clean(&edit.path)));
    }
    for problem in &reset.problems {
        text.push_str(&format!("{}: {}\n", clean(&problem.path), clean(&problem.message)));
    }
    if text.is_empty() {
        text.push_str("nothing was changed here that others do not have\n");
    }
    text
}
