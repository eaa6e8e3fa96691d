//! `restore`.

use std::path::PathBuf;

use cobox_daemon::api::dto::{RestoreRequest, Restored, Time};
use jiff::tz::TimeZone;

use crate::client::part;
use crate::error::Failure;
use crate::text::clean;
use crate::units::{count, show_bytes, time};
use crate::{Context, place};

/// Have files again as they were at a time: in the folder, as new changes, or in another directory
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder: its name, the beginning of its id, or its path
    folder: String,
    /// Files or directories within the folder, as they were called then; everything when left out
    paths: Vec<String>,
    /// The time: 2026-11-22T14:00:00Z, "2026-11-22 14:00", or 2h or 3d for so long ago
    #[arg(long, value_name = "TIME", required_unless_present = "state", conflicts_with = "state")]
    at: Option<String>,
    /// In place of a time, the state of one entry, as `history --json` names it: exact where several people wrote at the same time
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Write them below this directory instead of into the folder; nothing there is overwritten
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let to = self.to.as_ref().map(|to| place::absolute(to)).transpose()?;
        let at = self.at.as_deref().map(moment).transpose()?;
        let address = format!("folders/{}/restore", part(&place::folder(&self.folder)?));
        let request = RestoreRequest { paths: self.paths, at, state: self.state, to, dry_run: self.dry_run };
        let progress = context.out.progress();
        progress.say("looking for the files");
        let restored: Restored = client.post(&address, &request)?;
        drop(progress);
        finish(context, &restored)
    }
}

/// A time as people type it.
pub(super) fn moment(typed: &str) -> Result<Time, Failure> {
    time(typed, Time::now(), TimeZone::system()).map_err(|why| Failure::usage(why, "for example --at 2h"))
}

/// Prints what was done; fails if something could not be restored.
pub(super) fn finish(context: &Context, restored: &Restored) -> Result<(), Failure> {
    context.out.data(restored, show)?;
    match restored.problems.len() as u64 {
        0 => Ok(()),
        n => Err(Failure::new(
            cobox_daemon::api::ErrorCode::Failed,
            format!("{} could not be restored", count(n, "file")),
            "the others are; connect a seeder or member who has the rest, and try again",
        )),
    }
}

/// What was done, or would be.
pub(super) fn show(restored: &Restored) -> String {
    let (wrote, removed) = if restored.dry_run { ("to write", "to take away") } else { ("written", "taken away") };
    let mut text =
        format!("{} {wrote}, {}\n", count(restored.written_files, "file"), show_bytes(restored.written_bytes));
    examples(&mut text, &restored.written_examples, restored.written_files);
    if restored.removed_files > 0 {
        text.push_str(&format!("{} {removed}, which did not exist then\n", count(restored.removed_files, "file")));
        examples(&mut text, &restored.removed_examples, restored.removed_files);
    }
    text.push_str(&format!("{} right already\n", count(restored.same_files, "file")));
    if let Some(at) = restored.state_at {
        let kept = if restored.exact { "" } else { "; nobody who can be reached keeps a later one before that time" };
        text.push_str(&format!("the folder's last change before that time was at {at}{kept}\n"));
    }
    for path in &restored.absent {
        text.push_str(&format!("{}: did not exist then\n", clean(path)));
    }
    for moved in &restored.moved_aside {
        let (path, now_at) = (clean(&moved.path), clean(&moved.now_at));
        text.push_str(&format!("{path}: had been changed a moment before; that version is now {now_at}\n"));
    }
    for problem in &restored.problems {
        let path = problem.path.as_ref().map(|path| format!("{}: ", clean(path))).unwrap_or_default();
        text.push_str(&format!("{path}{}\n", clean(&problem.message)));
    }
    text
}

fn examples(text: &mut String, paths: &[String], all: u64) {
    for path in paths {
        text.push_str(&format!("  {}\n", clean(path)));
    }
    let more = all.saturating_sub(paths.len() as u64);
    if more > 0 {
        text.push_str(&format!("  and {more} more\n"));
    }
}
