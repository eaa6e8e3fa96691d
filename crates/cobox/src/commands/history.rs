//! `history`.

use cobox_daemon::api::dto::{ChangeKind, EntryKind, History, HistoryEntry};

use crate::client::{Client, part};
use crate::error::Failure;
use crate::text::clean;
use crate::units::show_bytes;
use crate::{Context, place};

/// Entries the service gives at once.
const PAGE_ENTRIES: u32 = 500;

/// Who changed what, when, and on which device; newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder: its name, the beginning of its id, or its path
    folder: String,
    /// One file, or a directory with all that is in it; followed through renames
    path: Option<String>,
    #[command(flatten)]
    pages: Pages,
}

/// Which part of a long list.
#[derive(Debug, clap::Args)]
pub(super) struct Pages {
    /// At most so many entries
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u32,
    /// Go on after an earlier answer: its `next`
    #[arg(long, value_name = "NEXT")]
    from: Option<String>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let history = self.pages.read(&context.client()?, "history", &self.folder, self.path.as_deref())?;
        if history.entries.is_empty() {
            context.out.note("nothing happened there, as far as anybody who can be reached remembers");
        }
        context.out.data(&history, show)?;
        self.pages.say_rest(context, &history);
        Ok(())
    }
}

impl Pages {
    /// Pages until there are enough entries. A page may be empty although older ones are not.
    pub(super) fn read(
        &self,
        client: &Client,
        what: &str,
        folder: &str,
        path: Option<&str>,
    ) -> Result<History, Failure> {
        let folder = part(&place::folder(folder)?);
        let path = path.map(|path| format!("&path={}", part(path))).unwrap_or_default();
        let mut all = History { entries: Vec::new(), next: self.from.clone(), thinned: false };
        loop {
            let left = self.limit.saturating_sub(all.entries.len() as u32);
            let from = all.next.as_ref().map(|next| format!("&from={}", part(next))).unwrap_or_default();
            let limit = left.clamp(1, PAGE_ENTRIES);
            let page: History = client.get(&format!("folders/{folder}/{what}?limit={limit}{path}{from}"))?;
            all.entries.extend(page.entries);
            all.thinned |= page.thinned;
            all.next = page.next;
            if all.next.is_none() || all.entries.len() as u32 >= self.limit {
                return Ok(all);
            }
        }
    }

    /// Whether there is more, and what is missing.
    pub(super) fn say_rest(&self, context: &Context, history: &History) {
        if history.thinned {
            context.out.note("some states in between are kept no longer; their changes stand with the next newer one");
        }
        if let Some(next) = &history.next {
            context.out.note(&format!("there is more: --from {}", clean(next)));
        }
    }
}

fn show(history: &History) -> String {
    history.entries.iter().map(show_entry).collect()
}

/// One change in a line.
pub(super) fn show_entry(entry: &HistoryEntry) -> String {
    let did = match entry.change {
        ChangeKind::Created => "created",
        ChangeKind::Edited => "edited",
        ChangeKind::Renamed => "renamed",
        ChangeKind::Deleted => "deleted",
    };
    let end = if entry.kind == EntryKind::Directory { "/" } else { "" };
    let from = entry.from_path.as_ref().map(|from| format!(" from {}{end}", clean(from))).unwrap_or_default();
    let size = entry.size_bytes.map(|bytes| format!(", {}", show_bytes(bytes))).unwrap_or_default();
    let who = match (&entry.by, &entry.device) {
        (Some(by), Some(device)) => format!(", by {} on {}", clean(by), clean(device)),
        _ => String::new(),
    };
    format!("{}  {did:7}  {}{end}{from}{size}{who}\n", entry.at, clean(&entry.path))
}
