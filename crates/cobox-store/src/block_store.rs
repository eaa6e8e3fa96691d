//! What every store of blocks promises. The suite in `tests/it/conformance.rs` checks it for each of them.

use cobox_proto::id::Cid;

use crate::StoreError;

/// Whether a block is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is not here.
    Missing,
    /// It is here; what hangs beneath it may not be.
    Held,
    /// It is here, and the caller has found everything beneath it here too.
    Complete,
}

/// One block in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub cid: Cid,
    /// Its length in bytes, header and padding included.
    pub len: u32,
    /// Whether it is marked complete.
    pub complete: bool,
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blocks.
    pub blocks: u64,
    /// Their lengths added up: what quotas count.
    pub stored_bytes: u64,
    /// What they take on disk, deleted blocks that await [`BlockStore::compact`] included.
    pub disk_bytes: u64,
}

/// What a compaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes given back to the file system.
    pub freed_bytes: u64,
    /// Bytes of live blocks that had to be moved.
    pub moved_bytes: u64,
    /// Blocks found damaged on the way; they count as missing now.
    pub damaged: Vec<Cid>,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Blocks read.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks whose bytes are not what their name says, are gone, or cannot be read by the disk.
    pub damaged: Vec<Cid>,
}

/// Sealed blocks by name. A block's bytes never change, so a name is either absent or right.
pub trait BlockStore: Send + Sync {
    /// Stores blocks, durably when it returns. Blocks already here are skipped and keep their `complete` mark. Larger
    /// groups are faster: each call waits for the disk twice.
    ///
    /// Errors: [`StoreError::Misnamed`] or [`StoreError::NotABlock`] for a wrong block, and then nothing is stored;
    /// [`StoreError::DiskFull`].
    fn put_many(&self, blocks: &[(Cid, &[u8])]) -> Result<(), StoreError>;

    /// The bytes of a block, verified against its name; `None` when it is missing.
    ///
    /// Errors: [`StoreError::DamagedBlock`], once: the block counts as missing from then on. The caller clears the
    /// `complete` mark of what stands above it.
    fn get(&self, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError>;

    /// Length and mark of a block; `None` when it is missing.
    fn entry(&self, cid: &Cid) -> Result<Option<Entry>, StoreError>;

    /// Whether a block is here, and complete.
    fn status(&self, cid: &Cid) -> Result<Status, StoreError> {
        Ok(match self.entry(cid)? {
            None => Status::Missing,
            Some(entry) if entry.complete => Status::Complete,
            Some(_) => Status::Held,
        })
    }

    /// Whether a block is here.
    fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        Ok(self.status(cid)? != Status::Missing)
    }

    /// Marks blocks complete, or takes the mark away. Missing blocks are passed over.
    fn set_complete(&self, cids: &[Cid], complete: bool) -> Result<(), StoreError>;

    /// The links in a block's header; `None` when it is missing. Errors as [`Self::get`].
    fn links(&self, cid: &Cid) -> Result<Option<Vec<Cid>>, StoreError>;

    /// Forgets blocks, durably when it returns. Missing ones are passed over. Space comes back with [`Self::compact`].
    fn delete_many(&self, cids: &[Cid]) -> Result<(), StoreError>;

    /// Up to `max` blocks in order of their names, from the first one after `after`.
    fn list(&self, after: Option<&Cid>, max: usize) -> Result<Vec<Entry>, StoreError>;

    /// How much is here.
    fn stats(&self) -> Result<Stats, StoreError>;

    /// Gives space of deleted blocks back to the file system.
    fn compact(&self) -> Result<Compacted, StoreError>;

    /// Reads every block against its name. With `repair`, damaged blocks count as missing from then on; nothing that can
    /// be read is ever dropped. An error that says nothing about the block, such as a missing permission, ends the check.
    fn check(&self, repair: bool) -> Result<CheckReport, StoreError>;
}
