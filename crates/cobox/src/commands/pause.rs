//! `pause`.

use cobox_daemon::api::dto::FolderReply;

use super::folder_line;
use crate::client::part;
use crate::error::Failure;
use crate::{Context, place};

/// Stop sending and receiving a folder's changes on this device, until `resume`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder: its name, the beginning of its id, or its path
    folder: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let folder = part(&place::folder(&self.folder)?);
        let reply: FolderReply = context.client()?.post(&format!("folders/{folder}/pause"), &())?;
        context.out.data(&reply, |reply| folder_line(reply, "paused", "is paused already"))
    }
}
