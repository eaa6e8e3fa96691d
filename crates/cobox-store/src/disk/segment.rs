//! Segment files: `seg-` and a number in eight hex digits; records one after the other, only ever appended to. A record is
//! `"cbxB" | len u32le | cid [32] | block`; the cid verifies the rest, so no other checksum is needed.
//!
//! Owns the open files, few of them however many segments there are.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cobox_proto::id::Cid;
use cobox_proto::limits::BLOCK_BYTES_MAX;

use super::medium::{Disk, DiskFile};
use crate::StoreError;

/// Bytes before the block in a record.
pub(crate) const RECORD_HEAD_BYTES: u64 = 40;

const MAGIC: [u8; 4] = *b"cbxB";
/// Open files kept; far below the usual limit of a process.
const OPEN_FILES_MAX: usize = 32;

/// Length of the record of a block.
pub(crate) fn record_len(block_len: u32) -> u64 {
    RECORD_HEAD_BYTES + u64::from(block_len)
}

/// Appends the record of a block to `buffer`.
pub(crate) fn encode_record(cid: &Cid, block: &[u8], buffer: &mut Vec<u8>) {
    let len = u32::try_from(block.len()).expect("a block that parsed is a few MiB at most");
    buffer.extend_from_slice(&MAGIC);
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend_from_slice(&cid.0);
    buffer.extend_from_slice(block);
}

/// A whole and right record found in a segment's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found<'b> {
    pub(crate) cid: Cid,
    pub(crate) block: &'b [u8],
}

/// The record at `at`, if one is there, whole and right.
pub(crate) fn record_at(bytes: &[u8], at: usize) -> Option<Found<'_>> {
    let head = bytes.get(at..at + RECORD_HEAD_BYTES as usize)?;
    let (magic, rest) = head.split_at(4);
    let (len, cid) = rest.split_at(4);
    let len = u32::from_le_bytes(len.try_into().ok()?) as usize;
    if magic != MAGIC || len > BLOCK_BYTES_MAX {
        return None;
    }
    let start = at + RECORD_HEAD_BYTES as usize;
    let block = bytes.get(start..start + len)?;
    let cid = Cid::from_slice(cid)?;
    (Cid::of(block) == cid).then_some(Found { cid, block })
}

/// The first place at or after `from` where a record may start.
pub(crate) fn next_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(MAGIC.len()).position(|window| window == MAGIC).map(|at| from + at)
}

/// The segment files of one directory.
#[derive(Debug)]
pub(crate) struct Segments<D: Disk> {
    disk: D,
    /// A segment takes no further record beyond this length.
    pub(crate) bytes_max: u64,
    open: Mutex<VecDeque<(u32, Arc<D::File>)>>,
}

/// What the file of a segment is called.
pub(crate) fn name(id: u32) -> String {
    format!("seg-{id:08x}")
}

impl<D: Disk> Segments<D> {
    pub(crate) fn new(disk: D, bytes_max: u64) -> Self {
        Self { disk, bytes_max, open: Mutex::default() }
    }

    /// Where they lie.
    pub(crate) fn disk(&self) -> &D {
        &self.disk
    }

    pub(crate) fn path(&self, id: u32) -> PathBuf {
        self.disk.path(&name(id))
    }

    /// The segments there are, in order.
    pub(crate) fn ids(&self) -> Result<Vec<u32>, StoreError> {
        let names = self.disk.names().map_err(|e| StoreError::io("list", &self.disk.path(""), e))?;
        let hex = names.iter().filter_map(|name| name.strip_prefix("seg-").filter(|hex| hex.len() == 8));
        let mut ids: Vec<u32> = hex.filter_map(|hex| u32::from_str_radix(hex, 16).ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Creates an empty segment, durably.
    pub(crate) fn create(&self, id: u32) -> Result<Arc<D::File>, StoreError> {
        let file = self.disk.create(&name(id)).map_err(|e| StoreError::io("create", &self.path(id), e))?;
        let file = Arc::new(file);
        self.disk.sync_names()?;
        self.keep(id, &file);
        Ok(file)
    }

    /// An existing segment, for reading and appending.
    pub(crate) fn file(&self, id: u32) -> io::Result<Arc<D::File>> {
        if let Some((_, file)) = self.lock().iter().find(|(open, _)| *open == id) {
            return Ok(file.clone());
        }
        let file = Arc::new(self.disk.open(&name(id))?);
        self.keep(id, &file);
        Ok(file)
    }

    /// How long a segment is.
    pub(crate) fn length(&self, id: u32) -> io::Result<u64> {
        self.disk.length_of(&name(id))
    }

    /// The `len` bytes of the block whose record starts at `at`.
    pub(crate) fn read_block(&self, id: u32, at: u64, len: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        self.file(id)?.read_at(&mut bytes, at + RECORD_HEAD_BYTES)?;
        Ok(bytes)
    }

    /// Everything from `from` to the end of a segment.
    pub(crate) fn read_from(&self, id: u32, from: u64) -> Result<Vec<u8>, StoreError> {
        let read = || {
            let file = self.file(id)?;
            let len = file.length()?.saturating_sub(from);
            let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
            file.read_at(&mut bytes, from)?;
            Ok(bytes)
        };
        read().map_err(|e| StoreError::io("read", &self.path(id), e))
    }

    /// Makes durable what is in a segment, and its name.
    pub(crate) fn sync(&self, id: u32) -> Result<(), StoreError> {
        self.file(id).and_then(|file| file.sync()).map_err(|e| StoreError::io("sync", &self.path(id), e))?;
        self.disk.sync_names()
    }

    /// Cuts a segment off at `len`, durably.
    pub(crate) fn truncate(&self, id: u32, len: u64) -> Result<(), StoreError> {
        let cut = || self.file(id)?.cut_off(len);
        cut().map_err(|e| StoreError::io("truncate", &self.path(id), e))
    }

    /// Removes a segment, durably. It may be gone already.
    pub(crate) fn remove(&self, id: u32) -> Result<(), StoreError> {
        self.lock().retain(|(open, _)| *open != id);
        match self.disk.remove(&name(id)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", &self.path(id), e)),
            _ => self.disk.sync_names(),
        }
    }

    fn keep(&self, id: u32, file: &Arc<D::File>) {
        let mut open = self.lock();
        if open.len() == OPEN_FILES_MAX {
            open.pop_front();
        }
        open.push_back((id, file.clone()));
    }

    /// The list is a cache: whatever a panic elsewhere left in it is still right.
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(u32, Arc<D::File>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
