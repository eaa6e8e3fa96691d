//! A folder's files in the order in which a person looks through them. Taken from the folder's thread in one go, sorted outside of it,
//! and kept for a moment: who scrolls through a hundred thousand files asks for them piece by piece.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cobox_core::path::FolderPath;
use cobox_core::state::ViewEntry;
use cobox_proto::id::{ActorId, Cid, FolderId};

use crate::api::dto::{FileEntry, FileKind, FileOrder, Time};
use crate::folder::FolderActor;

/// Listings that are kept: those of a few pages.
const KEPT_MAX: usize = 4;

/// Which listing. It holds as long as the folder's state and what of it is here stay the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) folder: FolderId,
    pub(crate) dir: FolderPath,
    /// In lower case; empty for the directory alone.
    pub(crate) search: String,
    pub(crate) order: FileOrder,
    pub(crate) descending: bool,
}

/// What a listing was made from.
pub(crate) type Version = (Cid, u64, usize);

/// A listing, as it was made.
type Kept = (Wanted, Version, Arc<Vec<FileEntry>>);

/// The listings that are kept, newest last.
#[derive(Default)]
pub(crate) struct Listings(Mutex<Vec<Kept>>);

impl Listings {
    /// The one of this version, if it is kept.
    pub(crate) fn get(&self, wanted: &Wanted, version: &Version) -> Option<Arc<Vec<FileEntry>>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(w, v, _)| w == wanted && v == version).map(|(_, _, files)| files.clone())
    }

    /// Sorts and keeps one.
    pub(crate) fn keep(&self, wanted: Wanted, version: Version, mut files: Vec<FileEntry>) -> Arc<Vec<FileEntry>> {
        sort(&mut files, wanted.order, wanted.descending);
        let files = Arc::new(files);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(w, ..)| *w != wanted);
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push((wanted, version, files.clone()));
        files
    }
}

/// What a listing of the folder is made from now; nothing before the folder's state is known.
pub(crate) fn version(actor: &FolderActor) -> Option<Version> {
    let engine = actor.engine.as_ref()?;
    Some((engine.root(), engine.summary_pending(), engine.synced().len()))
}

/// The files in a directory, or with a search those beneath it whose name holds the text; `None` if there is no such directory.
pub(crate) fn gather(actor: &FolderActor, dir: &FolderPath, search: &str) -> Option<Vec<FileEntry>> {
    let engine = actor.engine.as_ref()?;
    engine.view().lookup(dir).and_then(ViewEntry::dir)?;
    let mut authors: BTreeMap<ActorId, Option<String>> = BTreeMap::new();
    let mut found: Vec<FileEntry> = Vec::new();
    let beneath = engine.view().entries.range((std::ops::Bound::Excluded(dir.clone()), std::ops::Bound::Unbounded));
    let depth = dir.depth();
    for (path, entry) in beneath.take_while(|(path, _)| path.starts_with(dir)) {
        let here = engine.synced().contains_key(path);
        let Some(shown) = entry.shown() else {
            let is_listed = if search.is_empty() { path.depth() == depth + 1 } else { holds(path, search) };
            if is_listed {
                found.push(directory(path));
            }
            continue;
        };
        let body = shown.body(engine.state());
        let (size_bytes, changed_at) =
            (body.map_or(0, |b| b.size), body.map(|b| Time::from_ms(b.mtime_ns / 1_000_000)));
        if search.is_empty() && path.depth() > depth + 1 {
            // What lies deeper counts for the directory that is listed, which came just before.
            if let Some(above) = found.last_mut() {
                above.size_bytes += size_bytes;
                above.files += 1;
                above.changed_at = above.changed_at.max(changed_at);
                above.here &= here;
            }
            continue;
        }
        if !search.is_empty() && !holds(path, search) {
            continue;
        }
        let by = authors.entry(shown.dot.actor).or_insert_with(|| author(actor, &shown.dot.actor)).clone();
        let kind = if matches!(entry, ViewEntry::Symlink(_)) { FileKind::Link } else { FileKind::File };
        found.push(FileEntry {
            kind,
            size_bytes,
            files: 1,
            changed_at,
            by,
            here,
            conflict: shown.conflict.is_some(),
            ..directory(path)
        });
    }
    Some(found)
}

/// Who wrote under this name of a device's.
fn author(actor: &FolderActor, id: &ActorId) -> Option<String> {
    let device = actor.engine.as_ref()?.state().ctx.get(id)?.device;
    let (_, member) = actor.replica.membership().roster().device(&device)?;
    actor.member_name(&member.grant)
}

fn holds(path: &FolderPath, search: &str) -> bool {
    path.as_str().rsplit('/').next().is_some_and(|name| name.to_lowercase().contains(search))
}

/// An empty one.
fn directory(path: &FolderPath) -> FileEntry {
    FileEntry {
        name: path.as_str().rsplit('/').next().unwrap_or_default().to_owned(),
        path: path.to_string(),
        kind: FileKind::Directory,
        size_bytes: 0,
        files: 0,
        changed_at: None,
        by: None,
        here: true,
        conflict: false,
    }
}

fn sort(files: &mut [FileEntry], order: FileOrder, descending: bool) {
    let turned = |by: Ordering| if descending { by.reverse() } else { by };
    match order {
        FileOrder::Name => {
            files.sort_by_cached_key(|file| (file.name.to_lowercase(), file.path.clone()));
            if descending {
                files.reverse();
            }
        }
        FileOrder::Size => {
            files.sort_by(|a, b| turned(a.size_bytes.cmp(&b.size_bytes)).then_with(|| a.path.cmp(&b.path)))
        }
        FileOrder::Changed => {
            files.sort_by(|a, b| turned(a.changed_at.cmp(&b.changed_at)).then_with(|| a.path.cmp(&b.path)));
        }
    }
    // Stable: within both parts the order stays.
    files.sort_by_key(|file| file.kind != FileKind::Directory);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: FileKind, size_bytes: u64, ms: i64) -> FileEntry {
        let path = FolderPath::parse(path).unwrap();
        FileEntry { kind, size_bytes, changed_at: Some(Time::from_ms(ms)), ..directory(&path) }
    }

    fn names(order: FileOrder, descending: bool) -> Vec<String> {
        let mut files = vec![
            entry("b", FileKind::File, 1, 30),
            entry("Z", FileKind::Directory, 9, 10),
            entry("A", FileKind::File, 2, 20),
            entry("a2", FileKind::Directory, 0, 20),
        ];
        sort(&mut files, order, descending);
        files.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn directories_come_first_in_every_order() {
        assert_eq!(names(FileOrder::Name, false), ["a2", "Z", "A", "b"]);
        assert_eq!(names(FileOrder::Name, true), ["Z", "a2", "b", "A"]);
        assert_eq!(names(FileOrder::Size, true), ["Z", "a2", "A", "b"]);
        assert_eq!(names(FileOrder::Changed, false), ["Z", "a2", "A", "b"]);
    }

    #[test]
    fn few_listings_are_kept_and_an_old_one_is_none() {
        let listings = Listings::default();
        let wanted = |search: &str| Wanted {
            folder: FolderId::ZERO,
            dir: FolderPath::root(),
            search: search.into(),
            order: FileOrder::Name,
            descending: false,
        };
        let version = (Cid::ZERO, 0, 0);
        for search in ["a", "b", "c", "d", "e", "e"] {
            listings.keep(wanted(search), version, vec![]);
        }
        assert!(listings.get(&wanted("a"), &version).is_none());
        assert!(listings.get(&wanted("b"), &version).is_some() && listings.get(&wanted("e"), &version).is_some());
        assert!(listings.get(&wanted("e"), &(Cid::ZERO, 1, 0)).is_none(), "something came meanwhile");
    }
}
