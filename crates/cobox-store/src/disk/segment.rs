//! Segment files: `seg-XXXXXXXX`, records one after the other, only ever appended to. A record is
//! `"cbxB" | len u32le | cid [32] | block`; the cid verifies the rest, so no other checksum is needed.
//!
//! Owns the open files, few of them however many segments there are.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cobox_proto::id::Cid;
use cobox_proto::limits::BLOCK_BYTES_MAX;

use crate::StoreError;
use crate::database::sync_dir;

/// A segment takes no further record beyond this length.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 64 << 20;
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
pub(crate) struct Segments {
    dir: PathBuf,
    open: Mutex<VecDeque<(u32, Arc<File>)>>,
}

impl Segments {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), open: Mutex::default() }
    }

    pub(crate) fn path(&self, id: u32) -> PathBuf {
        self.dir.join(format!("seg-{id:08x}"))
    }

    /// The segments there are, in order.
    pub(crate) fn ids(&self) -> Result<Vec<u32>, StoreError> {
        let failed = |e| StoreError::io("list", &self.dir, e);
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix("seg-")).filter(|hex| hex.len() == 8);
            ids.extend(id.and_then(|hex| u32::from_str_radix(hex, 16).ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Creates an empty segment, durably.
    pub(crate) fn create(&self, id: u32) -> Result<Arc<File>, StoreError> {
        let path = self.path(id);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = Arc::new(file.map_err(|e| StoreError::io("create", &path, e))?);
        sync_dir(&self.dir)?;
        self.keep(id, &file);
        Ok(file)
    }

    /// An existing segment, for reading and appending.
    pub(crate) fn file(&self, id: u32) -> io::Result<Arc<File>> {
        if let Some((_, file)) = self.lock().iter().find(|(open, _)| *open == id) {
            return Ok(file.clone());
        }
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(self.path(id))?);
        self.keep(id, &file);
        Ok(file)
    }

    /// The `len` bytes of the block whose record starts at `at`.
    pub(crate) fn read_block(&self, id: u32, at: u64, len: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        self.file(id)?.read_exact_at(&mut bytes, at + RECORD_HEAD_BYTES)?;
        Ok(bytes)
    }

    /// Everything from `from` to the end of a segment.
    pub(crate) fn read_from(&self, id: u32, from: u64) -> Result<Vec<u8>, StoreError> {
        let read = || {
            let file = self.file(id)?;
            let len = file.metadata()?.len().saturating_sub(from);
            let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, from)?;
            Ok(bytes)
        };
        read().map_err(|e| StoreError::io("read", &self.path(id), e))
    }

    /// Cuts a segment off at `len`, durably.
    pub(crate) fn truncate(&self, id: u32, len: u64) -> Result<(), StoreError> {
        let cut = || {
            let file = self.file(id)?;
            file.set_len(len)?;
            file.sync_all()
        };
        cut().map_err(|e| StoreError::io("truncate", &self.path(id), e))
    }

    /// Removes a segment, durably. It may be gone already.
    pub(crate) fn remove(&self, id: u32) -> Result<(), StoreError> {
        self.lock().retain(|(open, _)| *open != id);
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", &path, e)),
            _ => sync_dir(&self.dir),
        }
    }

    fn keep(&self, id: u32, file: &Arc<File>) {
        let mut open = self.lock();
        if open.len() == OPEN_FILES_MAX {
            open.pop_front();
        }
        open.push_back((id, file.clone()));
    }

    /// The list is a cache: whatever a panic elsewhere left in it is still right.
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(u32, Arc<File>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
