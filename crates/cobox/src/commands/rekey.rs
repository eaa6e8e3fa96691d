//! `rekey`.

use cobox_daemon::api::dto::{FolderReply, Resealing, Status};

use super::folder_line;
use crate::client::{Client, part};
use crate::error::Failure;
use crate::units::{count, show_bytes};
use crate::{Context, place, waiting};

/// Give a folder new keys
///
/// What is written from now on is sealed under them, and the names of all files once more. This happens by itself when somebody is sent
/// away, and every quarter of a year.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder: its name, the beginning of its id, or its path
    folder: String,
    /// Seal the contents of all files that are on this computer anew, too; backups then take all of it once more. Ctrl-C stops waiting, cobox
    /// goes on
    #[arg(long)]
    content: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let (folder, client) = (part(&place::folder(&self.folder)?), context.client()?);
        // What has begun goes on under the keys that it began with.
        let goes_on = self.content && left(&client, &folder)?.is_some();
        let mut reply = None;
        if !goes_on {
            reply = Some(client.post::<FolderReply>(&format!("folders/{folder}/rekey"), &())?);
        }
        if self.content {
            reply = Some(client.post(&format!("folders/{folder}/rekey/content"), &())?);
            wait(context, &client, &folder)?;
        }
        let did = if self.content {
            "has new keys, and its contents on this computer are under them"
        } else {
            "has new keys"
        };
        reply.map_or(Ok(()), |reply| context.out.data(&reply, |reply| folder_line(reply, did, did)))
    }
}

fn left(client: &Client, folder: &str) -> Result<Option<Resealing>, Failure> {
    let status: Status = client.get(&format!("status?folder={folder}"))?;
    Ok(status.folders.first().and_then(|folder| folder.resealing))
}

fn wait(context: &Context, client: &Client, folder: &str) -> Result<(), Failure> {
    let progress = context.out.progress();
    waiting::until(|| {
        let Some(left) = left(client, folder)? else { return Ok(Some(())) };
        let (files, size) = (count(left.files, "file"), show_bytes(left.bytes));
        progress.say(&format!("sealing contents anew: {files} to go, {size}"));
        Ok(None)
    })
}
