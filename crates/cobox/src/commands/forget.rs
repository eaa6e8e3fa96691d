//! `forget`.

use cobox_daemon::api::dto::{CopyHolder, ForgetRequest, ForgetStatus, Forgets, Forgotten, RemainingCopy};

use crate::client::{Client, part};
use crate::error::Failure;
use crate::text::clean;
use crate::units::{count, show_bytes};
use crate::{Context, place};

/// Remove from history all that a deleted file or directory ever held; or see what is being removed
///
/// Only owners may. All members see it at once, and it counts after the folder's delay, a week at least; until then any owner can withdraw
/// it. What the folder holds now is never touched: delete it first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder: its name, the beginning of its id, or its path
    folder: String,
    /// The file or directory that was deleted, as it was called last; left out: show what is being removed, and until when copies remain
    path: Option<String>,
    /// Take back what does not count yet: its id, as `cobox forget FOLDER` shows it
    #[arg(long, value_name = "ID", conflicts_with_all = ["path", "dry_run", "unnamed"])]
    withdraw: Option<String>,
    /// Do not tell the members the path; otherwise it stays in the folder's log for good, sealed for them
    #[arg(long, requires = "path")]
    unnamed: bool,
    /// Only show what would happen
    #[arg(long, requires = "path")]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let address = format!("folders/{}/forgets", part(&place::folder(&self.folder)?));
        if let Some(id) = &self.withdraw {
            let status: ForgetStatus = client.delete(&format!("{address}/{}", part(id)))?;
            return context.out.data(&status, |status| format!("{}: stays in history\n", named(status)));
        }
        match self.path {
            None => list(context, &client, &address),
            Some(path) => {
                let request = ForgetRequest { path, dry_run: self.dry_run, unnamed: self.unnamed };
                forget(context, &client, &address, &self.folder, request)
            }
        }
    }
}

fn list(context: &Context, client: &Client, address: &str) -> Result<(), Failure> {
    let forgets: Forgets = client.get(address)?;
    if forgets.forgets.is_empty() {
        context.out.note("nothing is being removed from history");
    }
    context.out.data(&forgets, |forgets| forgets.forgets.iter().map(show_status).collect())
}

fn forget(
    context: &Context,
    client: &Client,
    address: &str,
    folder: &str,
    request: ForgetRequest,
) -> Result<(), Failure> {
    let progress = context.out.progress();
    progress.say("looking through the folder's history");
    let preview: Forgotten = client.post(address, &ForgetRequest { dry_run: true, ..request.clone() })?;
    drop(progress);
    if request.dry_run || preview.already {
        return context.out.data(&preview, show);
    }
    if !context.confirm(&format!("This happens in {folder}:\n{}", show(&preview)))? {
        context.out.note("nothing was done");
        return Ok(());
    }
    let progress = context.out.progress();
    progress.say("telling the others");
    let done: Forgotten = client.post(address, &request)?;
    drop(progress);
    context.out.data(&done, show)?;
    if let Some(id) = &done.id {
        context.out.note(&format!("until then it can be taken back: cobox forget {folder} --withdraw {}", clean(id)));
    }
    Ok(())
}

/// What goes, or would go.
fn show(forgotten: &Forgotten) -> String {
    let path = clean(&forgotten.path);
    if forgotten.already {
        return format!("{path}: all that can be found of it is being removed already\n");
    }
    let goes = if forgotten.dry_run { "would be removed" } else { "is being removed" };
    let (versions, bytes) = (count(forgotten.versions, "version"), show_bytes(forgotten.bytes));
    let (pieces, states) = (count(forgotten.blocks, "piece"), count(forgotten.states, "state"));
    let mut text = format!("{path}: {versions} of {bytes} {goes} from history ({pieces} in {states})\n");
    for name in forgotten.names.iter().filter(|name| **name != forgotten.path) {
        text.push_str(&format!("  {}\n", clean(name)));
    }
    let more = forgotten.names_count.saturating_sub(forgotten.names.len() as u64);
    if more > 0 {
        text.push_str(&format!("  and {more} more\n"));
    }
    text.push_str(&show_copies(&forgotten.copies));
    if let Some(until) = &forgotten.records_until {
        text.push_str(&format!(
            "names, and contents of up to 512 bytes, remain in the records of old states until {until}\n"
        ));
    }
    let mut but = |n: u64, what: &str| {
        if n > 0 {
            text.push_str(&format!("{} {what}\n", count(n, "version")));
        }
    };
    but(forgotten.small_versions, "of it so small that they are such contents");
    but(forgotten.shared_versions, "of it partly in other files too; that part stays");
    for path in &forgotten.elsewhere {
        text.push_str(&format!("{}: was there once and lives on; nothing of it is removed\n", clean(path)));
    }
    // Most of them are kept by nobody any more.
    if forgotten.states_not_seen > 0 && forgotten.copies.iter().any(|copy| !copy.online) {
        let states = count(forgotten.states_not_seen, "old state");
        text.push_str(&format!(
            "{states} could not be looked into; a seeder that is not connected keeps all of those it has\n"
        ));
    }
    text.push_str("copies that people made outside the folder are not reached\n");
    text
}

fn named(status: &ForgetStatus) -> String {
    status.path.as_deref().map_or_else(|| "what was not named".to_owned(), clean)
}

fn show_status(status: &ForgetStatus) -> String {
    let by = status.by.as_deref().map(|by| format!(" by {}", clean(by))).unwrap_or_default();
    let (pieces, states) = (count(status.blocks, "piece"), count(status.states, "state"));
    let counts = if status.counts { "counts since" } else { "counts from" };
    let mut text = format!(
        "{}  {}: {pieces} in {states}, asked for{by} on {}, {counts} {}\n",
        clean(&status.id),
        named(status),
        status.at,
        status.counts_at
    );
    text.push_str(&show_copies(&status.copies));
    text
}

fn show_copies(copies: &[RemainingCopy]) -> String {
    let line = |copy: &RemainingCopy| match (copy.holder, &copy.seeder, &copy.until) {
        (CopyHolder::Devices, ..) => {
            let until = copy.until.map(|until| until.to_string()).unwrap_or_default();
            format!("  members' devices: until {until}, or until each has been on long enough since\n")
        }
        (CopyHolder::Seeder, seeder, Some(until)) => {
            format!("  seeder {}: until {until}\n", clean(seeder.as_deref().unwrap_or_default()))
        }
        (CopyHolder::Seeder, seeder, None) => {
            let seeder = clean(seeder.as_deref().unwrap_or_default());
            format!("  seeder {seeder}: not connected now; as long again, from when it hears of it\n")
        }
    };
    copies.iter().map(line).collect()
}
