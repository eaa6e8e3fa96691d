//! A device that may only read: what a person changes here stands on this disk alone. It stays where it is, is named, and stands in the
//! way of nothing but what belongs at its place.
//!
//! What must hold: nothing of it is overwritten or taken away; once others have another version of the same, that is said, so that it can
//! be set aside; who may write again publishes it.

use std::collections::BTreeSet;

use super::Engine;
use super::io::Synced;
use super::plan::shown;
use super::scan::{Finding, Found};
use super::writing::Behind;
use crate::path::FolderPath;
use crate::state::{Kind, ViewEntry};

impl Engine {
    /// A look whose findings this device may not publish. What equals the folder is noted; what was changed or added stays
    /// on disk and stands in the way of nothing but itself; what was removed comes back.
    pub(super) fn take_back(&mut self, finding: &Finding) {
        let mut dirty = BTreeSet::new();
        self.edits_here.retain(|path| !finding.covers(path));
        for path in &finding.gone {
            self.unplace(path, &mut dirty);
        }
        for (path, what) in &finding.found {
            match (what, self.view.lookup(path)) {
                (Found::Dir(id), Some(ViewEntry::Dir { inodes })) => {
                    self.place(path.clone(), Synced::dir(inodes[0], *id), &mut dirty);
                }
                (Found::Leaf(kind, stamp, body), Some(ViewEntry::File(leaf) | ViewEntry::Symlink(leaf)))
                    if shown(&self.state, &leaf.inode, &leaf.dot)
                        .is_some_and(|(k, theirs)| k == *kind && theirs.plain_digest == body.plain_digest) =>
                {
                    let behind = Behind { inode: leaf.inode, seen: leaf.seen().into(), twins: leaf.twins.clone() };
                    self.place(path.clone(), behind.synced(*kind, *stamp, body.plain_digest), &mut dirty);
                }
                _ => {
                    self.edits_here.insert(path.clone());
                }
            }
        }
        if !dirty.is_empty() {
            self.remember(dirty);
        }
    }

    /// What was changed or added here and may not be published. A new directory stands for all that is in it.
    pub fn edits_here(&self) -> impl Iterator<Item = &FolderPath> {
        self.edits_here.iter().filter(|path| path.parent().is_none_or(|parent| !self.is_edited_here(&parent)))
    }

    /// Those in whose place the folder has something else than when they were made: they are to be set aside.
    pub fn edits_overtaken(&self) -> impl Iterator<Item = &FolderPath> {
        self.edits_here().filter(|path| self.is_overtaken(path))
    }

    fn is_overtaken(&self, path: &FolderPath) -> bool {
        let before = self.synced.get(path);
        match self.view.lookup(path) {
            // Deleted by others: what stands here is nobody's now, and in nobody's way.
            None => false,
            Some(ViewEntry::Dir { .. }) => before.is_none_or(|old| old.kind != Kind::Dir),
            Some(ViewEntry::File(leaf) | ViewEntry::Symlink(leaf)) => {
                let now = shown(&self.state, &leaf.inode, &leaf.dot);
                now.is_some_and(|(kind, body)| {
                    before.is_none_or(|old| (old.kind, old.digest) != (kind, body.plain_digest))
                })
            }
        }
    }

    /// Whether an edit stands at a path, or above it.
    pub(super) fn is_edited_here(&self, path: &FolderPath) -> bool {
        !self.edits_here.is_empty()
            && std::iter::successors(Some(path.clone()), FolderPath::parent).any(|at| self.edits_here.contains(&at))
    }

    /// A directory moved with all that is in it.
    pub(super) fn edits_moved(&mut self, from: &FolderPath, to: &FolderPath) {
        let moved: Vec<FolderPath> = self.edits_here.iter().filter(|path| path.starts_with(from)).cloned().collect();
        for path in moved {
            self.edits_here.remove(&path);
            self.edits_here.extend(path.rebased(from, to));
        }
    }
}
