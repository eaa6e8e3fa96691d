//! One look at the disk: decides, entry by entry as the listing streams by, what is unchanged, what must be read, and in
//! the end what is gone. It concludes nothing about paths whose listing or reading failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::io::{FileId, Stamp, Stat, Synced};
use crate::path::FolderPath;
use crate::state::{Body, Kind};

/// What was found new or changed at a path.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// A directory.
    Dir(FileId),
    /// A file or symlink with its content.
    Leaf(Kind, Stamp, Box<Body>),
    /// A file that looks exactly like the one known below the old place of a moved directory.
    Same(Stamp),
}

/// A symbolic link and its target.
pub(super) type FoundLink = (FolderPath, Stamp, String);

/// A look under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    under: Vec<FolderPath>,
    unchanged: BTreeSet<FolderPath>,
    reading: BTreeSet<FolderPath>,
    found: BTreeMap<FolderPath, Found>,
    unreadable: Vec<FolderPath>,
    noise: BTreeSet<FolderPath>,
    /// Directories that seem to have moved: (now, before).
    moves: Vec<(FolderPath, FolderPath)>,
    listed: bool,
}

/// A look that ended.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) found: BTreeMap<FolderPath, Found>,
    pub(super) gone: BTreeSet<FolderPath>,
    pub(super) moves: Vec<(FolderPath, FolderPath)>,
    /// What looks like noise.
    pub(super) noise: BTreeSet<FolderPath>,
    /// What stands where it was although a directory of that name moved away: the program wrote it after that.
    pub(super) stayed: BTreeSet<FolderPath>,
    /// How many files that were known stand where they stood, as they were or not; 0 if it did not go everywhere.
    pub(super) met_files: usize,
    /// What was left out since a step is under way there, or was when the look began.
    left_out: BTreeSet<FolderPath>,
    under: Tops,
    unreadable: Tops,
}

impl Finding {
    /// Whether the look says anything about this path.
    pub(super) fn covers(&self, path: &FolderPath) -> bool {
        self.went_to(path) && !self.unreadable.covers(path)
    }

    /// Whether the look tried to see a path.
    pub(super) fn went_to(&self, path: &FolderPath) -> bool {
        self.under.0.is_empty() || self.under.covers(path)
    }

    /// Whether the look saw everything.
    pub(super) fn is_whole(&self) -> bool {
        self.under.0.is_empty() && self.unreadable.0.is_empty()
    }

    /// Whether it went through the whole folder, if not everywhere with success.
    pub(super) fn went_everywhere(&self) -> bool {
        self.under.0.is_empty()
    }

    /// Whether nothing is otherwise than it was known.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty() && self.gone.is_empty() && self.moves.is_empty()
    }

    /// Where it looked; empty is everywhere.
    pub(super) fn places(&self) -> Vec<FolderPath> {
        self.under.0.iter().cloned().collect()
    }

    /// Leaves out all at and below a path; true if there was something.
    pub(super) fn drop_below(&mut self, top: &FolderPath) -> bool {
        let found: Vec<FolderPath> = below(self.found.range(top.clone()..).map(|(path, _)| path), top);
        let gone: Vec<FolderPath> = below(self.gone.range(top.clone()..), top);
        for path in &found {
            self.found.remove(path);
        }
        for path in &gone {
            self.gone.remove(path);
        }
        let is_new = !(found.is_empty() && gone.is_empty());
        self.left_out.extend(found.into_iter().chain(gone));
        is_new
    }

    /// Whether something is otherwise at a place than it was known, and it was left out.
    pub(super) fn leaves_out(&self, path: &FolderPath) -> bool {
        self.left_out.contains(path)
    }
}

/// Paths from `top` on that lie at or below it: they follow each other in the order of paths.
fn below<'a>(from_top: impl Iterator<Item = &'a FolderPath>, top: &FolderPath) -> Vec<FolderPath> {
    from_top.take_while(|path| path.starts_with(top)).cloned().collect()
}

/// Places none of which lies below another.
#[derive(Debug, Default)]
struct Tops(BTreeSet<FolderPath>);

impl Tops {
    fn of(paths: Vec<FolderPath>) -> Self {
        let mut tops = BTreeSet::new();
        // In order, what lies below a place comes right after it.
        for path in paths.into_iter().collect::<BTreeSet<_>>() {
            if !tops.last().is_some_and(|top| path.starts_with(top)) {
                tops.insert(path);
            }
        }
        Self(tops)
    }

    /// Whether a path is one of these or lies below one.
    fn covers(&self, path: &FolderPath) -> bool {
        self.0.range(..=path).next_back().is_some_and(|top| path.starts_with(top))
    }
}

/// What the listing needs to compare with.
pub(super) struct Known<'a> {
    pub(super) synced: &'a BTreeMap<FolderPath, Arc<Synced>>,
    pub(super) ids: &'a BTreeMap<FileId, FolderPath>,
    /// Files to be read although they seem unchanged.
    pub(super) reseal: &'a BTreeSet<FolderPath>,
}

impl Scan {
    pub(super) fn begin(under: Vec<FolderPath>) -> Self {
        Self { under, ..Self::default() }
    }

    /// Takes a part of the listing; returns the files to read and the symlinks, whose target is their content.
    pub(super) fn listed(
        &mut self,
        known: &Known<'_>,
        entries: Vec<(FolderPath, Stat)>,
    ) -> (Vec<(FolderPath, Stamp)>, Vec<FoundLink>) {
        let (mut read, mut links) = (Vec::new(), Vec::new());
        for (path, stat) in entries {
            match stat {
                Stat::Dir(id) => self.dir(known, path, id),
                Stat::File(stamp) => {
                    let is_unchanged = |s: &Arc<Synced>| s.kind == Kind::File && s.stamp == Some(stamp);
                    if !known.reseal.contains(&path) && known.synced.get(&path).is_some_and(is_unchanged) {
                        self.unchanged.insert(path);
                    } else if self.before(known, &path).is_some_and(|s| s.kind == Kind::File && s.stamp == Some(stamp))
                    {
                        self.found.insert(path, Found::Same(stamp));
                    } else {
                        self.reading.insert(path.clone());
                        read.push((path, stamp));
                    }
                }
                Stat::Symlink(stamp, target) => {
                    if known.synced.get(&path).is_some_and(|s| s.kind == Kind::Symlink && s.stamp == Some(stamp)) {
                        self.unchanged.insert(path);
                    } else {
                        links.push((path, stamp, target));
                    }
                }
            }
        }
        (read, links)
    }

    fn dir(&mut self, known: &Known<'_>, path: FolderPath, id: FileId) {
        match known.synced.get(&path).filter(|s| s.kind == Kind::Dir) {
            Some(old) if old.id == id => {
                self.unchanged.insert(path);
                return;
            }
            // Another directory under the old name: the old one moved away, or a restored disk numbers anew.
            Some(_) => {}
            None => {
                if let Some(before) = known.ids.get(&id)
                    && *before != path
                    && known.synced.get(before).is_some_and(|s| s.kind == Kind::Dir)
                    && !self.moves.iter().any(|(_, old)| before.starts_with(old))
                {
                    self.moves.push((path.clone(), before.clone()));
                }
            }
        }
        self.found.insert(path, Found::Dir(id));
    }

    /// Whether this link is known here, or where it stood before a directory above it moved.
    pub(super) fn knows_link(&self, known: &Known<'_>, path: &FolderPath, digest: &[u8; 32]) -> bool {
        let here = known.synced.get(path).map(|entry| &**entry);
        here.or_else(|| self.before(known, path)).is_some_and(|s| s.kind == Kind::Symlink && s.digest == *digest)
    }

    /// What was known at this path's place before a directory above it moved.
    fn before<'a>(&self, known: &Known<'a>, path: &FolderPath) -> Option<&'a Synced> {
        let (now, before) = self.moves.iter().rev().find(|(now, _)| path.starts_with(now))?;
        known.synced.get(&path.rebased(now, before)?).map(|entry| &**entry)
    }

    pub(super) fn content(&mut self, path: FolderPath, kind: Kind, stamp: Stamp, body: Box<Body>) {
        self.reading.remove(&path);
        self.found.insert(path, Found::Leaf(kind, stamp, body));
    }

    pub(super) fn note_noise(&mut self, paths: Vec<FolderPath>) {
        self.noise.extend(paths);
    }

    pub(super) fn unreadable(&mut self, path: FolderPath) {
        self.reading.remove(&path);
        self.unreadable.push(path);
    }

    pub(super) fn end_of_list(&mut self, unreadable: Vec<FolderPath>) {
        self.unreadable.extend(unreadable);
        self.listed = true;
    }

    /// Whether the listing ended and everything was read.
    pub(super) fn is_done(&self) -> bool {
        self.listed && self.reading.is_empty()
    }

    /// Ends the look: what is known, in its scope, and was not met is gone.
    pub(super) fn finish(self, synced: &BTreeMap<FolderPath, Arc<Synced>>) -> Finding {
        let Self { under, unchanged, found, unreadable, moves, noise, .. } = self;
        let (under, unreadable) = (Tops::of(under), Tops::of(unreadable));
        let met = |path: &FolderPath| unchanged.contains(path) || found.contains_key(path);
        let is_gone = |path: &&FolderPath| !unreadable.covers(path) && !met(path);
        let gone = if under.0.is_empty() {
            synced.keys().filter(is_gone).cloned().collect()
        } else {
            let known = |top| {
                synced.range::<FolderPath, _>(top..).map(|(path, _)| path).take_while(move |p| p.starts_with(top))
            };
            under.0.iter().flat_map(known).filter(is_gone).cloned().collect()
        };
        let left = |path: &&FolderPath| moves.iter().any(|(_, from)| path.starts_with(from) && path != &from);
        let stayed = if moves.is_empty() { BTreeSet::new() } else { unchanged.iter().filter(left).cloned().collect() };
        // Asked about whole looks only; a look at a few places must not go through all that is known.
        let everywhere = under.0.is_empty();
        let is_met_file = |(path, known): &(&FolderPath, &Arc<Synced>)| known.kind != Kind::Dir && met(path);
        let met_files = if everywhere { synced.iter().filter(is_met_file).count() } else { 0 };
        let left_out = BTreeSet::new();
        Finding { found, gone, moves, noise, stayed, met_files, left_out, under, unreadable }
    }
}
