//! What the view amounts to: figures that people ask for many times over, and the conflict copies in it.
//!
//! What must hold: a copy is new once. One that moves with its directory is the same copy, and so is one that was edited in its place.

use std::collections::{BTreeMap, BTreeSet};

use cobox_proto::id::Inode;

use super::{Engine, links};
use crate::path::FolderPath;
use crate::state::Dot;

/// Figures of the view.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Links that would lead outside, up to a number; and how many more there are.
    pub(super) outside: Vec<FolderPath>,
    pub(super) outside_more: u64,
    /// Where each copy that stands beside another version is shown.
    conflicts: BTreeMap<(Inode, Dot), FolderPath>,
}

impl Figures {
    pub(super) fn conflicts(&self) -> u64 {
        self.conflicts.len() as u64
    }
}

impl Engine {
    /// Counts what the view shows. Returns the conflict copies that were not there when it was counted before.
    pub(super) fn count_view(&mut self) -> Vec<FolderPath> {
        let mut now = Figures::default();
        for (path, entry) in &self.view.entries {
            let Some(leaf) = entry.shown() else { continue };
            now.files += 1;
            now.bytes += leaf.body(&self.state).map_or(0, |body| body.size);
            if links::leads_outside(&self.state, path, entry) {
                match now.outside.len() < links::NAMED_MAX {
                    true => now.outside.push(path.clone()),
                    false => now.outside_more += 1,
                }
            }
            if leaf.conflict.is_some() {
                now.conflicts.insert((leaf.inode, leaf.dot), path.clone());
            }
        }
        let before = std::mem::replace(&mut self.figures, now).conflicts;
        let known: BTreeSet<&FolderPath> = before.values().collect();
        let is_new = |copy: &(&(Inode, Dot), &FolderPath)| !before.contains_key(copy.0) && !known.contains(copy.1);
        self.figures.conflicts.iter().filter(is_new).map(|(_, path)| path.clone()).collect()
    }
}
