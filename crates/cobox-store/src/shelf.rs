//! A folder's blocks as its tenant sees them, on disk. Marks of completeness are gathered and written together, before anything that
//! rests on them is told to anybody.
//!
//! What must hold: after trouble of any kind what was answered here is not to be believed, so the owner throws away what it
//! concluded and begins anew from disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use cobox_proto::hosting::{Shelf, Status};
use cobox_proto::id::Cid;

use crate::block_store::{BlockStore, Entry};
use crate::disk::{Disk, DiskStore, LocalDisk};
use crate::error::StoreError;

/// Blocks listed in one go.
const LIST_BLOCKS: usize = 4096;

/// The blocks of a store as a seeder's brain sees them. Marks of completeness wait here until they are written together.
#[derive(Debug)]
pub struct DiskShelf<D: Disk = LocalDisk> {
    store: Arc<DiskStore<D>>,
    marks: BTreeMap<Cid, bool>,
    trouble: RefCell<Option<StoreError>>,
}

impl<D: Disk> DiskShelf<D> {
    /// With no mark that waits.
    pub fn new(store: Arc<DiskStore<D>>) -> Self {
        Self { store, marks: BTreeMap::new(), trouble: RefCell::new(None) }
    }

    /// Whether all answers so far were true.
    ///
    /// Errors: the first thing that went wrong. What was concluded since is not to be believed. A damaged block counts as missing once
    /// [`BlockStore::get`] has said so, too: before that the owner notes that marks are in doubt.
    pub fn trouble(&mut self) -> Result<(), StoreError> {
        self.trouble.get_mut().take().map_or(Ok(()), Err)
    }

    /// How many marks are not written yet.
    pub fn marks(&self) -> usize {
        self.marks.len()
    }

    /// Writes the marks; durable when it returns.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        for wanted in [false, true] {
            let cids: Vec<Cid> = self.marks.iter().filter(|(_, mark)| **mark == wanted).map(|(cid, _)| *cid).collect();
            if !cids.is_empty() {
                self.store.set_complete(&cids, wanted)?;
            }
        }
        self.marks.clear();
        Ok(())
    }

    /// These are deleted: should one of them come again, nothing is known of what is beneath it.
    pub fn forget(&mut self, cids: &[Cid]) {
        for cid in cids {
            self.marks.remove(cid);
        }
    }

    fn entry(&self, cid: &Cid) -> Option<Entry> {
        self.answer(self.store.entry(cid)).flatten()
    }

    /// Remembers what went wrong; the first thing counts.
    fn answer<T>(&self, asked: Result<T, StoreError>) -> Option<T> {
        match asked {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.trouble.borrow_mut().get_or_insert(error);
                None
            }
        }
    }
}

impl<D: Disk> Shelf for DiskShelf<D> {
    fn status(&self, cid: &Cid) -> Status {
        match self.entry(cid) {
            None => Status::Missing,
            Some(entry) if self.marks.get(cid).copied().unwrap_or(entry.complete) => Status::Complete,
            Some(_) => Status::Held,
        }
    }
    fn links(&self, cid: &Cid) -> Vec<Cid> {
        self.answer(self.store.look_at_links(cid)).flatten().unwrap_or_default()
    }
    fn bytes(&self, cid: &Cid) -> u64 {
        self.entry(cid).map_or(0, |entry| entry.len.into())
    }
    fn set_complete(&mut self, cid: &Cid, complete: bool) {
        self.marks.insert(*cid, complete);
    }
    fn cids(&self) -> Vec<Cid> {
        let mut cids: Vec<Cid> = Vec::new();
        while let Some(more) = self.answer(self.store.list(cids.last(), LIST_BLOCKS)).filter(|more| !more.is_empty()) {
            cids.extend(more.iter().map(|entry| entry.cid));
        }
        cids
    }
}
