//! `leave`.

use cobox_daemon::api::dto::{FolderName, LeaveReply, LeaveRequest, Status};
use serde::Serialize;

use crate::client::part;
use crate::error::Failure;
use crate::text::clean;
use crate::units::{count, show_bytes};
use crate::{Context, place};

/// Stop taking part in a folder; its files stay on this device
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder: its name, the beginning of its id, or its path
    folder: String,
    /// Remove the files from this device too
    #[arg(long)]
    delete_files: bool,
    /// With --delete-files: also if no other whole copy of the folder is known
    #[arg(long, requires = "delete_files")]
    even_the_last_copy: bool,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

/// `leave --dry-run --json`.
#[derive(Debug, Serialize)]
struct Preview {
    dry_run: bool,
    folder: FolderName,
    delete_files: bool,
    files: u64,
    bytes: u64,
}

impl Preview {
    fn text(&self) -> String {
        let FolderName { name, path, .. } = &self.folder;
        let files = format!("{}, {}", count(self.files, "file"), show_bytes(self.bytes));
        let fate = if self.delete_files { "are deleted from this device" } else { "stay on this device" };
        format!("Leaving {}: {files} in {} {fate}.", clean(name), clean(path))
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let folder = part(&place::folder(&self.folder)?);
        if self.dry_run || self.delete_files {
            let status: Status = client.get(&format!("status?folder={folder}"))?;
            let found = status.folders.into_iter().next().map(|folder| folder.row);
            let row =
                found.ok_or_else(|| Failure::usage("the service does not know this folder", "see `cobox folders`"))?;
            let (files, bytes) = (row.files, row.bytes);
            let name = FolderName { id: row.id, name: row.name, path: row.path };
            let preview =
                Preview { dry_run: self.dry_run, folder: name, delete_files: self.delete_files, files, bytes };
            if self.dry_run {
                return context.out.data(&preview, Preview::text);
            }
            if !context.confirm(&preview.text())? {
                context.out.note("nothing was done");
                return Ok(());
            }
        }
        let leave = |even_the_last_copy| {
            let request = LeaveRequest { delete_files: self.delete_files, even_the_last_copy };
            client.post::<LeaveReply>(&format!("folders/{folder}/leave"), &request)
        };
        let reply = match leave(self.even_the_last_copy) {
            Err(refused) if refused.is_last_copy() => {
                if !context.confirm_last_copy(refused)? {
                    context.out.note("nothing was done");
                    return Ok(());
                }
                leave(true)?
            }
            reply => reply?,
        };
        if !reply.other_complete_copy {
            context.out.note("warning: no other complete copy of this folder is known");
        }
        context.out.data(&reply, show)
    }
}

fn show(reply: &LeaveReply) -> String {
    let files = if reply.files_deleted { "files deleted" } else { "files stay" };
    let mut text = format!("{}: left, {files} ({})\n", clean(&reply.folder.name), clean(&reply.folder.path));
    for end in &reply.backups {
        let until = end.kept_until.map_or_else(|| "until its agreement ends".into(), |at| format!("until {at}"));
        text.push_str(&format!("{} keeps its encrypted copy {until}\n", clean(&end.seeder)));
    }
    text
}
