//! What the view amounts to: figures that people ask for many times over, and the conflict copies in it.
//!
//! What must hold: a copy is new once. One that moves with its directory is the same copy, and so is one that was edited in its place.

use std::collections::{BTreeMap, BTreeSet};

use cobox_proto::id::Inode;

use super::steps::AtRest;
use super::{Engine, links};
use crate::path::FolderPath;
use crate::state::{Changed, Dot, State, Touched, ViewEntry, view};

/// Figures of the view.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Links that would lead outside.
    pub(super) outside: BTreeSet<FolderPath>,
    /// Where each copy that stands beside another version is shown.
    conflicts: BTreeMap<(Inode, Dot), FolderPath>,
}

impl Figures {
    pub(super) fn conflicts(&self) -> u64 {
        self.conflicts.len() as u64
    }

    fn add(&mut self, state: &State, path: &FolderPath, entry: &ViewEntry) {
        let Some(leaf) = entry.shown() else { return };
        self.files += 1;
        self.bytes += leaf.bytes;
        if links::leads_outside(state, path, entry) {
            self.outside.insert(path.clone());
        }
        if leaf.conflict.is_some() {
            self.conflicts.insert((leaf.inode, leaf.dot), path.clone());
        }
    }

    fn take_away(&mut self, path: &FolderPath, entry: &ViewEntry) {
        let Some(leaf) = entry.shown() else { return };
        self.files -= 1;
        self.bytes -= leaf.bytes;
        self.outside.remove(path);
        self.conflicts.remove(&(leaf.inode, leaf.dot));
    }
}

impl Engine {
    /// Shows the state after a change of the items in `touched`. Returns the conflict copies that were not there before.
    pub(super) fn show(&mut self, touched: &Touched) -> Vec<FolderPath> {
        match self.view.update(&self.state, touched) {
            Some(changed) => {
                for (path, before) in &changed {
                    let is_dir = |entry: &ViewEntry| matches!(entry, ViewEntry::Dir { .. });
                    let is_dir = before.as_ref().is_some_and(is_dir) || self.view.lookup(path).is_some_and(is_dir);
                    self.at_rest.changed(path, is_dir);
                }
                self.count_changes(&changed)
            }
            None => {
                self.at_rest = AtRest::No;
                self.view = view(&self.state);
                self.count_view()
            }
        }
    }

    fn count_changes(&mut self, changed: &Changed) -> Vec<FolderPath> {
        let before = self.figures.conflicts.clone();
        for (path, entry) in changed.iter().filter_map(|(path, before)| Some((path, before.as_ref()?))) {
            self.figures.take_away(path, entry);
        }
        for path in changed.keys() {
            if let Some(entry) = self.view.lookup(path) {
                self.figures.add(&self.state, path, entry);
            }
        }
        self.new_conflicts(&before)
    }

    /// Counts what the view shows. Returns the conflict copies that were not there when it was counted before.
    pub(super) fn count_view(&mut self) -> Vec<FolderPath> {
        let before = std::mem::take(&mut self.figures).conflicts;
        for (path, entry) in &self.view.entries {
            self.figures.add(&self.state, path, entry);
        }
        self.new_conflicts(&before)
    }

    fn new_conflicts(&self, before: &BTreeMap<(Inode, Dot), FolderPath>) -> Vec<FolderPath> {
        let known: BTreeSet<&FolderPath> = before.values().collect();
        let is_new = |copy: &(&(Inode, Dot), &FolderPath)| !before.contains_key(copy.0) && !known.contains(copy.1);
        self.figures.conflicts.iter().filter(is_new).map(|(_, path)| path.clone()).collect()
    }
}
