//! Blocks on disk: append-only segments of 64 MiB and an SQLite index. A group of blocks is appended and synced, then indexed
//! in one synced transaction, then acknowledged.
//!
//! Owns the directory (a lock file keeps other processes out), one writer behind a lock, and a reading connection that
//! never waits for it.

mod compact;
mod index;
mod medium;
mod recover;
mod segment;
mod sqlite;
mod writer;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cobox_proto::block::BlockHeader;
use cobox_proto::id::Cid;
use rustix::io::Errno;

use crate::block_store::{BlockStore, CheckReport, Compacted, Entry, Stats};
use crate::crash_point;
use crate::error::StoreError;
use segment::Segments;
use writer::{ToWrite, Writer};

pub use index::{Change, Index, Indexed, Place, Segment};
pub use medium::{Disk, DiskFile, LocalDisk};
pub use recover::Recovered;
pub(crate) use segment::{name as segment_name, record_len};

/// A segment takes no further record beyond this length.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Rows looked at in one go by [`BlockStore::check`].
const CHECK_ROWS: u32 = 1024;
/// How often a read looks again when the block moved meanwhile.
const READ_ATTEMPTS: usize = 4;

/// How far a check that is made in steps has come. Blocks that are moved while it lasts were verified then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckMark {
    /// The segment it is at.
    pub segment: u32,
    /// Where in it.
    pub at: u64,
}

/// A store of blocks in a directory of its own.
#[derive(Debug)]
pub struct DiskStore<D: Disk = LocalDisk> {
    writer: Mutex<Writer<D>>,
    reader: Mutex<D::Index>,
    recovered: Recovered,
    /// Owns the disk, which is let go of last.
    segments: Segments<D>,
}

/// What reading a block from its place gave.
enum Read {
    Right(Vec<u8>),
    Damaged,
}

impl DiskStore {
    /// Opens the store in `dir`, creating it (private to the user) if needed, and repairs what a crash left.
    ///
    /// Errors: [`StoreError::InUse`], [`StoreError::Newer`], or the disk's.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_on(LocalDisk::take(dir)?, SEGMENT_BYTES_MAX)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.segments.disk().dir()
    }
}

impl<D: Disk> DiskStore<D> {
    /// Opens the store on a disk, and repairs what a crash left. A segment takes no further block beyond `segment_bytes_max`.
    ///
    /// Errors: as [`DiskStore::open`].
    pub fn open_on(disk: D, segment_bytes_max: u64) -> Result<Self, StoreError> {
        let segments = Segments::new(disk, segment_bytes_max);
        let (index, recovered) = recover::open_index(&segments)?;
        let reader = Mutex::new(index.reader()?);
        let writer = Mutex::new(Writer::new(index, &segments)?);
        Ok(Self { writer, reader, recovered, segments })
    }

    /// What opening had to repair.
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// As [`BlockStore::get`], but a damaged block goes on counting as here: for who has to write something down before it is missing.
    ///
    /// Errors: [`StoreError::DamagedBlock`], as often as it is asked for.
    pub fn look(&self, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError> {
        for _ in 0..READ_ATTEMPTS {
            let Some(row) = self.find(cid)? else { return Ok(None) };
            match self.read(&row)? {
                Read::Right(bytes) => return Ok(Some(bytes)),
                // Moved while we read: look again.
                Read::Damaged if self.find(cid)?.is_none_or(|now| now.place != row.place) => {}
                Read::Damaged => {
                    let path = self.segments.path(row.place.segment);
                    return Err(StoreError::DamagedBlock { cid: *cid, path });
                }
            }
        }
        Ok(None)
    }

    /// As [`BlockStore::links`]. Errors as [`Self::look`].
    pub fn look_at_links(&self, cid: &Cid) -> Result<Option<Vec<Cid>>, StoreError> {
        self.links_by(cid, |cid| self.look(cid))
    }

    fn links_by(
        &self,
        cid: &Cid,
        get: impl Fn(&Cid) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Option<Vec<Cid>>, StoreError> {
        match self.find(cid)? {
            None => Ok(None),
            Some(row) if row.links == 0 => Ok(Some(Vec::new())),
            Some(_) => get(cid)?.map(|bytes| Ok(header_of(cid, &bytes)?.links)).transpose(),
        }
    }

    /// As [`BlockStore::compact`]; damaged blocks are told before they count as missing, and stay if `tell` fails.
    pub fn compact_telling(
        &self,
        mut tell: impl FnMut(&[Cid]) -> Result<(), StoreError>,
    ) -> Result<Compacted, StoreError> {
        compact::compact(self, &mut tell)
    }

    /// A part of [`BlockStore::check`]: reads on from `from` until about `bytes_max` are read, at least one block. Returns where to
    /// go on; `None`: everything has been read.
    pub fn check_some(
        &self,
        from: CheckMark,
        bytes_max: u64,
        repair: bool,
    ) -> Result<(CheckReport, Option<CheckMark>), StoreError> {
        let mut report = CheckReport::default();
        let mut mark = from;
        loop {
            let rows = lock(&self.reader).by_place((mark.segment, mark.at), CHECK_ROWS)?;
            if rows.is_empty() {
                return Ok((report, None));
            }
            for row in rows {
                self.check_one(&row, repair, &mut report)?;
                mark = CheckMark { segment: row.place.segment, at: row.place.at + 1 };
                if report.bytes >= bytes_max {
                    return Ok((report, Some(mark)));
                }
            }
        }
    }

    fn check_one(&self, row: &Indexed, repair: bool, report: &mut CheckReport) -> Result<(), StoreError> {
        report.blocks += 1;
        report.bytes += u64::from(row.place.len);
        if let Read::Right(_) = self.read(row)? {
            return Ok(());
        }
        // Moved while we read: it was verified then, and comes again at its new place.
        if self.find(&row.cid)?.is_none_or(|now| now.place != row.place) {
            return Ok(());
        }
        report.damaged.push(row.cid);
        if repair {
            lock(&self.writer).index.remove_at(&row.cid, row.place)?;
        }
        Ok(())
    }

    fn find(&self, cid: &Cid) -> Result<Option<Indexed>, StoreError> {
        lock(&self.reader).find(cid)
    }

    /// Reads a block from where it should lie. Bytes that are wrong, gone or unreadable to the disk itself are damage; any
    /// other error (no more files, no permission) says nothing about the block.
    fn read(&self, row: &Indexed) -> Result<Read, StoreError> {
        let place = row.place;
        let is_disk_error = |error: &io::Error| error.raw_os_error() == Some(Errno::IO.raw_os_error());
        let look = || self.segments.read_block(place.segment, place.at, place.len);
        // What a loose cable does once is no damage: a block that is called damaged is gone for good.
        let found = look().or_else(|error| if is_disk_error(&error) { look() } else { Err(error) });
        match found {
            Ok(bytes) if Cid::of(&bytes) == row.cid => Ok(Read::Right(bytes)),
            Ok(_) => Ok(Read::Damaged),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => Ok(Read::Damaged),
            Err(e) if is_disk_error(&e) => Ok(Read::Damaged),
            Err(e) => Err(StoreError::io("read", &self.segments.path(place.segment), e)),
        }
    }
}

impl<D: Disk> BlockStore for DiskStore<D> {
    fn put_many(&self, blocks: &[(Cid, &[u8])]) -> Result<(), StoreError> {
        let mut to_write = Vec::with_capacity(blocks.len());
        for (cid, bytes) in blocks {
            let links = header_of(cid, bytes)?.links.len() as u32;
            to_write.push(ToWrite { cid: *cid, links, complete: false, bytes });
        }
        let mut writer = lock(&self.writer);
        let mut seen = BTreeSet::new();
        let mut new = Vec::with_capacity(to_write.len());
        for block in to_write {
            if seen.insert(block.cid) && writer.index.find(&block.cid)?.is_none() {
                new.push(block);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        writer.put(&self.segments, &new)?;
        crash_point::hit("put.indexed");
        Ok(())
    }

    fn get(&self, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError> {
        for _ in 0..READ_ATTEMPTS {
            let Some(row) = self.find(cid)? else { return Ok(None) };
            match self.read(&row)? {
                Read::Right(bytes) => return Ok(Some(bytes)),
                Read::Damaged => {
                    // If it is no longer there, it was moved while we read: look again.
                    if lock(&self.writer).index.remove_at(cid, row.place)? {
                        let path = self.segments.path(row.place.segment);
                        return Err(StoreError::DamagedBlock { cid: *cid, path });
                    }
                }
            }
        }
        Ok(None)
    }

    fn entry(&self, cid: &Cid) -> Result<Option<Entry>, StoreError> {
        let entry = |row: Indexed| Entry { cid: row.cid, len: row.place.len, complete: row.complete };
        Ok(self.find(cid)?.map(entry))
    }

    fn set_complete(&self, cids: &[Cid], complete: bool) -> Result<(), StoreError> {
        lock(&self.writer).index.set_complete(cids, complete)
    }

    fn links(&self, cid: &Cid) -> Result<Option<Vec<Cid>>, StoreError> {
        self.links_by(cid, |cid| self.get(cid))
    }

    fn delete_many(&self, cids: &[Cid]) -> Result<(), StoreError> {
        lock(&self.writer).index.remove(cids)?;
        crash_point::hit("delete.done");
        Ok(())
    }

    fn list(&self, after: Option<&Cid>, max: usize) -> Result<Vec<Entry>, StoreError> {
        lock(&self.reader).list(after, max)
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        lock(&self.reader).stats()
    }

    fn compact(&self) -> Result<Compacted, StoreError> {
        self.compact_telling(|_| Ok(()))
    }

    fn check(&self, repair: bool) -> Result<CheckReport, StoreError> {
        Ok(self.check_some(CheckMark::default(), u64::MAX, repair)?.0)
    }
}

/// Verifies a block's name and parses its header.
pub(crate) fn header_of(cid: &Cid, bytes: &[u8]) -> Result<BlockHeader, StoreError> {
    if Cid::of(bytes) != *cid {
        return Err(StoreError::Misnamed { cid: *cid });
    }
    let (header, _) = BlockHeader::parse(bytes).map_err(|source| StoreError::NotABlock { cid: *cid, source })?;
    Ok(header)
}

/// Takes a lock even after a panic elsewhere: what it guards is changed in transactions, and [`Writer`] recovers on its own.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
