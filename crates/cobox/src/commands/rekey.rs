//! `rekey`.

use cobox_daemon::api::dto::FolderReply;

use super::folder_line;
use crate::client::part;
use crate::error::Failure;
use crate::{Context, place};

/// Give a folder new keys
///
/// What is written from now on is sealed under them, and the names of all files once more. This happens by itself when somebody is sent
/// away, and every quarter of a year.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder: its name, the beginning of its id, or its path
    folder: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let folder = part(&place::folder(&self.folder)?);
        let reply: FolderReply = context.client()?.post(&format!("folders/{folder}/rekey"), &())?;
        context.out.data(&reply, |reply| folder_line(reply, "has new keys", "has new keys"))
    }
}
