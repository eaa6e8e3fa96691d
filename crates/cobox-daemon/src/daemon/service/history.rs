//! History, for people who ask.

use cobox_core::history::{Change, Cursor, Dated, PageOf};
use cobox_core::path::FolderPath;
use cobox_core::state::Kind;

use super::super::{Daemon, Running};
use super::{failed, stopped};
use crate::api::dto::{ChangeKind, EntryKind, History, HistoryEntry, Time};
use crate::api::{ApiError, ErrorCode, HistoryQuery};
use crate::folder::LookBack;

/// Entries of a page when nothing is said, and at most.
const ENTRIES: u32 = 100;
const ENTRIES_MAX: u32 = 1000;

impl Daemon {
    pub(super) async fn read_history(&self, folder: String, query: HistoryQuery) -> Result<History, ApiError> {
        let running = self.find(&folder)?;
        let of = page_of(&query, false)?;
        let mut look_back = self.look_back(&running).await?;
        on_a_thread(move || {
            let page = look_back.page(&of).map_err(failed)?;
            let entries = page.entries.into_iter().map(|dated| entry(&look_back, dated)).collect();
            Ok(History { entries, next: page.next.map(|cursor| cursor.to_string()), thinned: page.thinned })
        })
        .await
    }

    /// A folder's past as it is now.
    pub(super) async fn look_back(&self, running: &Running) -> Result<LookBack, ApiError> {
        let (person, handle) = (self.identity().name, running.handle.clone());
        let runtime = tokio::runtime::Handle::current();
        let taken =
            running.handle.ask(move |actor| actor.look_back(handle, runtime, &person)).await.ok_or_else(stopped)?;
        taken.ok_or_else(|| {
            ApiError::new(ErrorCode::Failed, "the folder is not open yet")
                .hint("`cobox status` says what is the matter; try again in a moment")
        })
    }
}

/// Runs what may wait for a disk or for others.
pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

pub(super) fn page_of(query: &HistoryQuery, deleted_only: bool) -> Result<PageOf, ApiError> {
    let bad = |what: String| ApiError::new(ErrorCode::BadRequest, what);
    let from = query.from.as_ref().map(|from| from.parse::<Cursor>());
    let from = from.transpose().map_err(|()| bad("`from` is not the `next` of another page".into()))?;
    let limit = query.limit.unwrap_or(ENTRIES);
    if !(1..=ENTRIES_MAX).contains(&limit) {
        return Err(bad(format!("a page has 1 to {ENTRIES_MAX} entries")));
    }
    let path = folder_path(query.path.as_deref().unwrap_or_default())?;
    Ok(PageOf { path, deleted_only, from, entries_max: limit as usize })
}

/// A path within a folder as people type it; nothing for the folder itself.
pub(super) fn folder_path(typed: &str) -> Result<FolderPath, ApiError> {
    let typed = typed.trim_end_matches('/');
    if matches!(typed, "" | ".") {
        return Ok(FolderPath::root());
    }
    FolderPath::parse(typed).map_err(|why| {
        ApiError::new(ErrorCode::BadRequest, format!("\"{typed}\" is no path within the folder: {why}"))
            .hint("write it as `cobox history` shows it, like letters/june.odt")
    })
}

pub(super) fn entry(look_back: &LookBack, dated: Dated) -> HistoryEntry {
    let Dated { head, at_ms, entry } = dated;
    let writer = look_back.writer(entry.device.as_ref());
    HistoryEntry {
        at: Time::from_ms(at_ms.try_into().unwrap_or(i64::MAX)),
        by: writer.as_ref().map(|writer| writer.name.clone()),
        device: writer.map(|writer| writer.device),
        path: entry.path.to_string(),
        change: match entry.change {
            Change::Created => ChangeKind::Created,
            Change::Edited => ChangeKind::Edited,
            Change::Renamed => ChangeKind::Renamed,
            Change::Deleted => ChangeKind::Deleted,
        },
        kind: match entry.kind {
            Kind::File => EntryKind::File,
            Kind::Dir => EntryKind::Directory,
            Kind::Symlink => EntryKind::Link,
        },
        size_bytes: entry.body.map(|body| body.size),
        from_path: entry.from.map(|from| from.to_string()),
        state: head.to_string(),
    }
}
