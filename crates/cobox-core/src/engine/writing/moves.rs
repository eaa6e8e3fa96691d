//! Directories that moved on the disk, with all that is known below them.
//!
//! What must hold: all leave before any arrives; where one arrives, nothing that stood there before stays behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_proto::guard::Guard;
use cobox_proto::id::Inode;

use super::Writing;
use crate::engine::io::{FileId, Synced};
use crate::engine::scan::Found;
use crate::path::FolderPath;
use crate::state::Kind;

impl Writing<'_> {
    /// Directories that left one place and stand, as the same directory of the disk, at another: one write each, and everything known
    /// below them moves along. All leave before any arrives: one may stand in a directory that was made anew where another left, and
    /// that one in it.
    pub(in crate::engine) fn move_dirs(
        &mut self,
        found: &mut BTreeMap<FolderPath, Found>,
        gone: &mut BTreeSet<FolderPath>,
        moves: &[(FolderPath, FolderPath)],
        stayed: &BTreeSet<FolderPath>,
    ) {
        let mut leaving: Vec<Leaving> =
            moves.iter().filter_map(|(to, from)| self.leaving(to, from, found, gone)).collect();
        // What left from within a directory has done so before that one goes.
        leaving.sort_by(|a, b| b.from.cmp(&a.from));
        for dir in &mut leaving {
            let is_below = |path: &&FolderPath| path.starts_with(&dir.from);
            let below = self.synced.range(dir.from.clone()..).map(|(path, _)| path).take_while(is_below);
            let below: Vec<FolderPath> = below.filter(|path| !stayed.contains(*path)).cloned().collect();
            for path in below {
                let was_gone = gone.remove(&path);
                dir.below.extend(self.unset(&path).map(|entry| (path, entry, was_gone)));
            }
        }
        // A file that stood where one arrives is gone from there: behind the directory it would be shown again once that moves on.
        leaving.iter().for_each(|dir| self.remove_file(&dir.to));
        self.moved = leaving.iter().map(|dir| (dir.to.clone(), dir.from.clone())).collect();
        leaving.sort_by(|a, b| a.to.cmp(&b.to));
        let (arrived, lost): (Vec<Leaving>, Vec<Leaving>) =
            leaving.into_iter().partition(|dir| self.arrive(dir, found, gone));
        self.moved.retain(|(to, _)| arrived.iter().any(|dir| dir.to == *to));
        for dir in lost {
            // Without both places in one look this can not be told from a new directory.
            self.again.extend([dir.to, dir.from]);
            for (path, entry, was_gone) in dir.below {
                let above = self.moved.iter().filter(|(_, from)| path.starts_with(from));
                let came = above.max_by_key(|(_, from)| from.depth()).and_then(|(to, from)| path.rebased(from, to));
                let now = came.unwrap_or(path);
                if !self.synced.contains_key(&now) {
                    gone.extend(was_gone.then(|| now.clone()));
                    self.set(&now, entry);
                }
            }
        }
    }

    /// A directory that stands elsewhere now; `None` if it can not be told from a new one.
    fn leaving(
        &mut self,
        to: &FolderPath,
        from: &FolderPath,
        found: &BTreeMap<FolderPath, Found>,
        gone: &BTreeSet<FolderPath>,
    ) -> Option<Leaving> {
        let Some(Found::Dir(id)) = found.get(to) else { return None };
        if !gone.contains(from) && !found.contains_key(from) {
            self.again.extend([to.clone(), from.clone()]);
            return None;
        }
        let known = self.synced.get(from)?.inode;
        let shown = self.dir_inodes(from, known);
        let inodes = if shown.is_empty() { vec![known] } else { shown };
        Some(Leaving { to: to.clone(), from: from.clone(), id: *id, inodes, below: Vec::new() })
    }

    /// A directory that left is taken to where it stands now. False if it is not known what is above that.
    fn arrive(
        &mut self,
        dir: &Leaving,
        found: &mut BTreeMap<FolderPath, Found>,
        gone: &mut BTreeSet<FolderPath>,
    ) -> bool {
        let Some(name) = dir.to.name().filter(|_| self.make_parents(&dir.to, found)) else { return false };
        // A file may just have come to the place along with the directory above.
        self.remove_file(&dir.to);
        let parent = self.parent(&dir.to);
        for inode in &dir.inodes {
            // An item that is gone from the state can not move; what lies below it is written anew.
            let _ = self.commit.rename(*inode, parent, &name);
        }
        for (path, entry, was_gone) in &dir.below {
            let Some(now) = path.rebased(&dir.from, &dir.to) else { continue };
            if *was_gone && !found.contains_key(&now) && !self.is_ignored(&now, entry.kind) {
                gone.insert(now.clone());
            }
            if *path != dir.from {
                self.note_move(&now);
                self.set(&now, entry.clone());
            } else if entry.inode == Inode::ZERO {
                self.dir(&now, dir.id);
            } else {
                self.set(&now, Synced { id: dir.id, ..Synced::clone(entry) });
            }
        }
        found.remove(&dir.to);
        gone.remove(&dir.to);
        self.changed += 1;
        true
    }

    /// A directory takes the place, so a file that is known there is gone.
    fn remove_file(&mut self, place: &FolderPath) {
        let is_file = self.synced.get(place).is_some_and(|known| known.kind != Kind::Dir);
        if is_file && Guard::FileBehindADirIsGone.stands() {
            self.remove(place);
        }
    }

    fn make_parents(&mut self, path: &FolderPath, found: &BTreeMap<FolderPath, Found>) -> bool {
        let mut missing = Vec::new();
        let mut at = path.parent();
        // A file that became a directory is no parent yet.
        let is_dir = |path: &FolderPath| self.synced.get(path).is_some_and(|s| s.kind == Kind::Dir);
        while let Some(parent) = at.filter(|p| !p.is_root() && !is_dir(p)) {
            at = parent.parent();
            missing.push(parent);
        }
        for parent in missing.into_iter().rev() {
            let Some(Found::Dir(id)) = found.get(&parent) else { return false };
            self.dir(&parent, *id);
        }
        true
    }
}

/// A directory that left its place.
struct Leaving {
    to: FolderPath,
    from: FolderPath,
    /// Its number now.
    id: FileId,
    /// What the folder showed there.
    inodes: Vec<Inode>,
    /// What was known there, itself first, and whether it was missed.
    below: Vec<(FolderPath, Arc<Synced>, bool)>,
}
