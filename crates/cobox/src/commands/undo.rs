//! `undo`.

use cobox_daemon::api::dto::{Restored, UndoRequest};

use crate::client::part;
use crate::commands::restore::{finish, moment, show};
use crate::error::Failure;
use crate::{Context, place};

/// Set a whole folder back to a time, as new changes; nothing of its history is lost
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder: its name, the beginning of its id, or its path
    folder: String,
    /// The time: 2026-11-22T14:00:00Z, "2026-11-22 14:00", or 2h or 3d for so long ago
    #[arg(long, value_name = "TIME")]
    to: String,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let address = format!("folders/{}/undo", part(&place::folder(&self.folder)?));
        let to = moment(&self.to)?;
        let ask = |dry_run| -> Result<Restored, Failure> { client.post(&address, &UndoRequest { to, dry_run }) };
        let progress = context.out.progress();
        progress.say("comparing the folder with what it was");
        let preview = ask(true)?;
        drop(progress);
        if self.dry_run {
            return context.out.data(&preview, show);
        }
        if preview.written_files == 0 && preview.removed_files == 0 {
            return context.out.data(&Restored { dry_run: false, ..preview }, show);
        }
        if !context.confirm(&format!("This happens in {}:\n{}", self.folder, show(&preview)))? {
            context.out.note("nothing was done");
            return Ok(());
        }
        let progress = context.out.progress();
        progress.say("setting the folder back");
        let restored = ask(false)?;
        drop(progress);
        finish(context, &restored)
    }
}
