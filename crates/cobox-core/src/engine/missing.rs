//! Files that the folder shows and this disk has not, and giving one up (X7, X10). Content is fetched after the records that name it; if it is
//! nowhere any more, or never was what its author said, no copy of the folder can become whole. Nobody can delete a file that stands on
//! no disk, so a person says by name that it is not waited for any longer.
//!
//! What must hold: only what was shown to that person is given up, as with any deletion; what stands on this disk is not.

use std::collections::BTreeSet;

use cobox_proto::id::Inode;

use super::Engine;
use crate::path::FolderPath;
use crate::state::{Body, Commit, Content, Kind, Shown, ViewEntry};

/// A file was not given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GiveUpError {
    /// This device may only read.
    #[error("this device may only read the folder")]
    MayNotWrite,
    /// Nothing is shown there that is not on this disk.
    #[error("no file is missing there")]
    NotMissing,
}

impl Engine {
    /// Files whose content is not on this disk, whatever the reason; those that are ignored here and those whose deletion waits for a person
    /// do not count.
    pub fn missing(&self) -> impl Iterator<Item = (&FolderPath, &Shown, &Body)> {
        let held = self.waiting().flat_map(|held| &held.paths);
        let held: BTreeSet<Inode> = held.filter_map(|path| self.synced.get(path).map(|s| s.inode)).collect();
        let is_here = |path: &FolderPath, body: &Body| {
            self.synced.get(path).is_some_and(|s| s.kind == Kind::File && s.digest == body.plain_digest)
        };
        let mut here: Option<BTreeSet<(Inode, [u8; 32])>> = None;
        let files = self.view.entries.iter().filter_map(|(path, entry)| match entry {
            ViewEntry::File(leaf) => Some((path, leaf, leaf.body(&self.state)?)),
            _ => None,
        });
        files.filter(move |(path, leaf, body)| {
            if matches!(body.content, Content::Inline(_)) || is_here(path, body) || held.contains(&leaf.inode) {
                return false;
            }
            // It may only have to be moved.
            let here = here.get_or_insert_with(|| self.synced.values().map(|s| (s.inode, s.digest)).collect());
            !here.contains(&(leaf.inode, body.plain_digest)) && !self.is_ignored(path, Kind::File)
        })
    }

    /// A person gives up a missing file: the version that is shown there is deleted for everybody. Others than that stay.
    pub fn give_up(&mut self, now_ms: u64, path: &FolderPath) -> Result<(), GiveUpError> {
        if !self.standing.can_write {
            return Err(GiveUpError::MayNotWrite);
        }
        let found = self.missing().find(|(missing, ..)| *missing == path).map(|(_, leaf, _)| leaf.clone());
        let leaf = found.ok_or(GiveUpError::NotMissing)?;
        let mut commit = Commit::new(&mut self.state, self.own.actor, self.own.device, self.keys.shape());
        commit.remove(leaf.inode, &leaf.seen());
        for (inode, dot) in &leaf.twins {
            commit.remove(*inode, &[*dot]);
        }
        let written = commit.finish();
        self.stuck.remove(path);
        self.finish_commit(now_ms, written, BTreeSet::new(), 0, 1);
        self.replan();
        Ok(())
    }
}
