//! `trash`: what was deleted.

use clap::Subcommand;
use cobox_daemon::api::dto::{History, Restored, TrashRestoreRequest};

use crate::client::part;
use crate::commands::history::{Pages, show_entry};
use crate::commands::restore::finish;
use crate::error::Failure;
use crate::{Context, place};

/// Files that were deleted, and having them back
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what was deleted and is still gone, the latest first
    List {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// Only what is at or below this path
        path: Option<String>,
        #[command(flatten)]
        pages: Pages,
    },
    /// Bring back a deleted file, or all that was deleted in a directory
    Restore {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// The file or directory, as the list shows it
        path: String,
        /// Only show what would happen
        #[arg(long)]
        dry_run: bool,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.what {
            What::List { folder, path, pages } => {
                let trash = pages.read(&client, "trash", &folder, path.as_deref())?;
                if trash.entries.is_empty() {
                    context.out.note("nothing is in the trash");
                }
                context.out.data(&trash, |trash: &History| trash.entries.iter().map(show_entry).collect())?;
                pages.say_rest(context, &trash);
                Ok(())
            }
            What::Restore { folder, path, dry_run } => {
                let address = format!("folders/{}/trash/restore", part(&place::folder(&folder)?));
                let progress = context.out.progress();
                progress.say("looking for the files");
                let restored: Restored = client.post(&address, &TrashRestoreRequest { path, dry_run })?;
                drop(progress);
                finish(context, &restored)
            }
        }
    }
}
