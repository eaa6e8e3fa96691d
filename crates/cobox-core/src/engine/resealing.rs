//! Contents under the newest keys at once, because a person wants it: files that are on this disk are read again, a few at a time, and the
//! state's records of them get the new blocks under the dots they have (formats F5). Nobody's edit is made of it: who joins it finds the
//! same values, sealed later.
//!
//! What must hold: only what was read, and has the very content that the state says, is sealed anew; what remains follows from the state, so
//! that a stop in between loses no more than the files under way.

use std::collections::BTreeSet;

use cobox_proto::id::EpochTag;

use super::publish::announced_bytes;
use super::scan::{Finding, Found};
use super::{Engine, Event, Output, Synced};
use crate::path::FolderPath;
use crate::state::{Body, Content, Dot, Kind, Touched};

/// Files read at a time: each batch ends in a head of its own.
const BATCH_FILES_MAX: usize = 256;
/// ... and their bytes together; a larger file is a batch by itself.
const BATCH_BYTES_MAX: u64 = 256 << 20;

/// How far it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealing {
    /// Files of this disk still to be read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What is left to do.
#[derive(Debug, Clone, Default)]
pub(super) struct Reseal {
    left: BTreeSet<FolderPath>,
    bytes: u64,
    asked: BTreeSet<FolderPath>,
    /// ... to seal them under these keys.
    epoch: Option<EpochTag>,
    /// Read and not what was expected, or not to be read: left as they are.
    failed: BTreeSet<FolderPath>,
}

impl Engine {
    /// Begins, or begins again after a start.
    pub(super) fn reseal_contents(&mut self) {
        self.resealing = Some(Reseal::default());
        self.look_what_is_behind();
        self.reseal_more();
    }

    /// How much is left; `None` while nobody wants it.
    pub(super) fn resealing_left(&self) -> Option<Resealing> {
        let reseal = self.resealing.as_ref()?;
        Some(Resealing { files: (reseal.left.len() + reseal.asked.len()) as u64, bytes: reseal.bytes })
    }

    /// What a look is to read although it seems unchanged.
    pub(super) fn asked_to_reseal(&self) -> BTreeSet<FolderPath> {
        self.resealing.as_ref().map(|reseal| reseal.asked.clone()).unwrap_or_default()
    }

    /// Files of this disk whose content, as the folder shows it, is sealed under older keys.
    fn look_what_is_behind(&mut self) {
        let Some(epoch) = self.epoch_in_use().filter(|_| self.may_publish()) else { return };
        let mut left = BTreeSet::new();
        let mut bytes = 0;
        let failed = self.resealing.as_ref().map(|reseal| reseal.failed.clone()).unwrap_or_default();
        for (path, entry) in self.synced.iter().filter(|(path, _)| !failed.contains(*path)) {
            if let Some(size) = self.is_behind(entry, epoch) {
                bytes += size;
                left.insert(path.clone());
            }
        }
        if let Some(reseal) = &mut self.resealing {
            (reseal.left, reseal.bytes) = (left, bytes);
        }
    }

    /// The size of what stands at a place, if its content has blocks under other keys.
    fn is_behind(&self, entry: &Synced, epoch: EpochTag) -> Option<u64> {
        if entry.kind != Kind::File {
            return None;
        }
        self.values_of(entry).find(|(_, body)| is_sealed_otherwise(&body.content, epoch)).map(|(_, body)| body.size)
    }

    /// The values in the state that have the content of a place.
    fn values_of<'e>(&'e self, entry: &'e Synced) -> impl Iterator<Item = (Dot, &'e Body)> {
        let item = self.state.get(&entry.inode);
        let values = item.into_iter().flat_map(|item| item.body.iter());
        values.filter(|(_, body)| body.plain_digest == entry.digest).map(|(dot, body)| (*dot, body))
    }

    /// Asks for the next files, or says that it is done. Nothing while a look at the last ones is under way.
    pub(super) fn reseal_more(&mut self) {
        let Some(reseal) = &self.resealing else { return };
        if !reseal.asked.is_empty() || !self.may_publish() {
            return;
        }
        if reseal.left.is_empty() {
            // Keys may have changed again meanwhile.
            self.look_what_is_behind();
        }
        let epoch = self.epoch_in_use();
        let Some(reseal) = &mut self.resealing else { return };
        reseal.epoch = epoch;
        let (mut batch, mut bytes) = (BTreeSet::new(), 0);
        while let Some(path) = reseal.left.pop_first() {
            let size = self.synced.get(&path).and_then(|entry| entry.stamp).map_or(0, |stamp| stamp.size);
            if !batch.is_empty() && (batch.len() >= BATCH_FILES_MAX || bytes + size > BATCH_BYTES_MAX) {
                reseal.left.insert(path);
                break;
            }
            bytes += size;
            batch.insert(path);
        }
        if batch.is_empty() {
            let failed = self.resealing.take().map_or(0, |reseal| reseal.failed.len() as u64);
            self.out.push_back(Output::Tell(Event::Resealed { left_out: failed }));
            return;
        }
        reseal.asked.clone_from(&batch);
        self.out.push_back(Output::Rescan(batch.into_iter().collect()));
    }

    /// A look has ended: what was read for this is put into the state, before anything else is made of the look.
    pub(super) fn take_resealed(&mut self, finding: &Finding) {
        let asked = self.asked_to_reseal();
        let mut touched = Touched::new();
        let (mut over, mut bytes) = (Vec::new(), 0);
        for path in asked.into_iter().filter(|path| finding.went_to(path)) {
            let size = self.synced.get(&path).and_then(|entry| entry.stamp).map_or(0, |stamp| stamp.size);
            bytes += size;
            let refined = match finding.found.get(&path) {
                Some(Found::Leaf(Kind::File, _, body)) => self.refine(&path, body, &mut touched),
                _ => false,
            };
            over.push((path, refined));
        }
        if over.is_empty() {
            return;
        }
        if let Some(reseal) = &mut self.resealing {
            reseal.bytes = reseal.bytes.saturating_sub(bytes);
            for (path, refined) in over {
                reseal.asked.remove(&path);
                if !refined {
                    reseal.failed.insert(path);
                }
            }
        }
        if touched.is_empty() {
            return;
        }
        let announced = announced_bytes(&self.state, &self.keys, touched.iter().map(|(inode, _)| *inode));
        self.settle_state(&touched);
        // The next head of ours brings it.
        self.new_nodes = (self.new_nodes.0 + announced.0, self.new_nodes.1 + announced.1);
        self.remember(BTreeSet::new());
    }

    /// Puts the new blocks of a file behind every value that has its content; whether there was one, or nothing to do. A value that stays as
    /// it was, because the folder prefers it to what is sealed under these keys, would be read for ever.
    fn refine(&mut self, path: &FolderPath, body: &Body, touched: &mut Touched) -> bool {
        let Some(entry) = self.synced.get(path).cloned().filter(|entry| entry.digest == body.plain_digest) else {
            // Edited meanwhile: the edit is sealed under the newest keys anyway.
            return true;
        };
        let inodes = std::iter::once(entry.inode).chain(entry.twins.iter().map(|(inode, _)| *inode));
        let mut has_value = false;
        for inode in inodes.collect::<BTreeSet<_>>() {
            let Some(item) = self.state.get(&inode) else { continue };
            let equal = item.body.iter().filter(|(_, value)| value.plain_digest == body.plain_digest);
            for dot in equal.map(|(dot, _)| *dot).collect::<Vec<_>>() {
                has_value = true;
                if let Some(more) = self.state.refine(inode, dot, &body.content, &self.standing) {
                    touched.merge(more);
                }
            }
        }
        let is_for_these_keys = self.resealing.as_ref().is_some_and(|reseal| reseal.epoch == self.epoch_in_use());
        let is_behind = |epoch| self.is_behind(&entry, epoch).is_some();
        has_value && !(is_for_these_keys && self.epoch_in_use().is_some_and(is_behind))
    }
}

fn is_sealed_otherwise(content: &Content, epoch: EpochTag) -> bool {
    match content {
        Content::Inline(_) => false,
        Content::Refs(refs) => refs.iter().any(|chunk| chunk.epoch != epoch),
        Content::Manifest(manifest) => manifest.oldest_epoch != epoch,
    }
}
