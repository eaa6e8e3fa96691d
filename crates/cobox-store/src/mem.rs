//! Blocks in memory: for tests, the simulator and everything that needs no disk. It can be full and it can rot.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cobox_proto::id::Cid;

use crate::block_store::{BlockStore, CheckReport, Compacted, Entry, Stats};
use crate::disk::header_of;
use crate::error::StoreError;

/// A store that forgets everything when dropped.
#[derive(Debug, Default)]
pub struct MemStore {
    blocks: Mutex<BTreeMap<Cid, Held>>,
    bytes_max: Option<u64>,
}

#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    complete: bool,
}

impl MemStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that is full with `bytes_max` bytes of blocks.
    pub fn with_bytes_max(bytes_max: u64) -> Self {
        Self { bytes_max: Some(bytes_max), ..Self::default() }
    }

    /// Flips a bit of a block, as a bad disk would. False if it is missing.
    pub fn damage(&self, cid: &Cid) -> bool {
        let mut blocks = self.lock();
        let Some(byte) = blocks.get_mut(cid).and_then(|held| held.bytes.last_mut()) else { return false };
        *byte ^= 1;
        true
    }

    /// Each change of the map is one step, so a panic elsewhere leaves it whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Cid, Held>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockStore for MemStore {
    fn put_many(&self, blocks: &[(Cid, &[u8])]) -> Result<(), StoreError> {
        for (cid, bytes) in blocks {
            header_of(cid, bytes)?;
        }
        let mut held = self.lock();
        let new: BTreeMap<Cid, &[u8]> = blocks.iter().copied().filter(|(cid, _)| !held.contains_key(cid)).collect();
        if let Some(bytes_max) = self.bytes_max {
            let bytes = held.values().map(|h| h.bytes.len()).chain(new.values().map(|b| b.len())).sum::<usize>();
            if bytes as u64 > bytes_max {
                return Err(StoreError::DiskFull { path: "memory".into() });
            }
        }
        held.extend(new.into_iter().map(|(cid, bytes)| (cid, Held { bytes: bytes.to_vec(), complete: false })));
        Ok(())
    }

    fn get(&self, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError> {
        let mut blocks = self.lock();
        let Some(held) = blocks.get(cid) else { return Ok(None) };
        if Cid::of(&held.bytes) != *cid {
            blocks.remove(cid);
            return Err(StoreError::DamagedBlock { cid: *cid, path: "memory".into() });
        }
        Ok(Some(held.bytes.clone()))
    }

    fn entry(&self, cid: &Cid) -> Result<Option<Entry>, StoreError> {
        Ok(self.lock().get(cid).map(|held| entry(cid, held)))
    }

    fn set_complete(&self, cids: &[Cid], complete: bool) -> Result<(), StoreError> {
        let mut blocks = self.lock();
        for cid in cids {
            if let Some(held) = blocks.get_mut(cid) {
                held.complete = complete;
            }
        }
        Ok(())
    }

    fn links(&self, cid: &Cid) -> Result<Option<Vec<Cid>>, StoreError> {
        self.get(cid)?.map(|bytes| Ok(header_of(cid, &bytes)?.links)).transpose()
    }

    fn delete_many(&self, cids: &[Cid]) -> Result<(), StoreError> {
        let mut blocks = self.lock();
        for cid in cids {
            blocks.remove(cid);
        }
        Ok(())
    }

    fn list(&self, after: Option<&Cid>, max: usize) -> Result<Vec<Entry>, StoreError> {
        let from = after.map_or(Bound::Unbounded, |cid| Bound::Excluded(*cid));
        let entries = |(cid, held): (&Cid, &Held)| entry(cid, held);
        Ok(self.lock().range((from, Bound::Unbounded)).take(max).map(entries).collect())
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        let blocks = self.lock();
        let bytes = blocks.values().map(|held| held.bytes.len() as u64).sum();
        Ok(Stats { blocks: blocks.len() as u64, stored_bytes: bytes, disk_bytes: bytes })
    }

    fn compact(&self) -> Result<Compacted, StoreError> {
        Ok(Compacted::default())
    }

    fn check(&self, repair: bool) -> Result<CheckReport, StoreError> {
        let mut blocks = self.lock();
        let damaged: Vec<Cid> =
            blocks.iter().filter(|(cid, held)| Cid::of(&held.bytes) != **cid).map(|(cid, _)| *cid).collect();
        let report = CheckReport {
            blocks: blocks.len() as u64,
            bytes: blocks.values().map(|held| held.bytes.len() as u64).sum(),
            damaged,
        };
        if repair {
            for cid in &report.damaged {
                blocks.remove(cid);
            }
        }
        Ok(report)
    }
}

fn entry(cid: &Cid, held: &Held) -> Entry {
    let len = u32::try_from(held.bytes.len()).expect("a block is a few MiB at most");
    Entry { cid: *cid, len, complete: held.complete }
}
