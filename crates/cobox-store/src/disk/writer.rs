//! Appends groups of blocks to segments. What is appended counts only once the caller has indexed it and said so
//! ([`Writer::accept`]); until then, and after any error, the next group is written over it.

use std::sync::Arc;

use cobox_proto::guard::Guard;
use cobox_proto::id::Cid;

use super::index::{Change, Index, Indexed, Place};
use super::medium::{Disk, DiskFile};
use super::segment::{Segments, encode_record, record_len};
use crate::StoreError;
use crate::crash_point;

/// Records are gathered to about this size before they are handed to the system.
const BUFFER_BYTES: usize = 1 << 20;

/// A verified block to be appended.
pub(super) struct ToWrite<'b> {
    pub(super) cid: Cid,
    pub(super) links: u32,
    pub(super) complete: bool,
    pub(super) bytes: &'b [u8],
}

/// What was appended and synced, and is not indexed yet.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) rows: Vec<Indexed>,
    /// The new end of each segment written to.
    pub(super) ends: Vec<(u32, u64)>,
}

/// The one who writes.
#[derive(Debug)]
pub(super) struct Writer<D: Disk> {
    pub(super) index: D::Index,
    /// The segment the next group goes to, with its accepted end; `None`: a new one.
    active: Option<(u32, u64)>,
    last_id: u32,
    /// The index failed to take a group, and may have it all the same once it is opened anew.
    may_be_indexed: bool,
    buffer: Vec<u8>,
}

/// A segment being written to.
struct Open<D: Disk> {
    id: u32,
    file: Arc<D::File>,
    /// Where the buffer will go.
    at: u64,
    /// Bytes in the buffer.
    buffered: u64,
}

impl<D: Disk> Writer<D> {
    pub(super) fn new(index: D::Index, segments: &Segments<D>) -> Result<Self, StoreError> {
        let last_file = segments.ids()?.last().copied().unwrap_or(0);
        let last_id = index.last_segment_id()?.max(last_file);
        let active =
            index.segments()?.last().filter(|s| !s.dropped && s.end < segments.bytes_max).map(|s| (s.id, s.end));
        Ok(Self { index, active, last_id, may_be_indexed: false, buffer: Vec::new() })
    }

    /// The segment the next group goes to.
    pub(super) fn active_id(&self) -> Option<u32> {
        self.active.map(|(id, _)| id)
    }

    /// Lets the next group begin a new segment.
    pub(super) fn leave_active(&mut self) {
        self.active = None;
    }

    /// Appends and syncs. Nothing counts before [`Self::accept`].
    pub(super) fn append(&mut self, segments: &Segments<D>, blocks: &[ToWrite<'_>]) -> Result<Written, StoreError> {
        if let Some((id, end)) = self.active.filter(|_| self.may_be_indexed) {
            // What may be indexed is written over only once a later change of the index says that it is not.
            self.index.change([Change::End(id, end)])?;
        }
        self.may_be_indexed = false;
        let mut written = Written::default();
        let mut created = Vec::new();
        self.buffer.clear();
        let result = self.append_to(segments, blocks, &mut written, &mut created);
        if result.is_err() {
            // As good as it goes: the space matters to a full disk. What stays is overwritten or found at the next start.
            for id in created {
                let _ = segments.remove(id);
            }
            if let Some((id, end)) = self.active {
                let _ = segments.truncate(id, end);
            }
        }
        result.map(|()| written)
    }

    /// Appends a group and indexes it.
    pub(super) fn put(&mut self, segments: &Segments<D>, blocks: &[ToWrite<'_>]) -> Result<(), StoreError> {
        let written = self.append(segments, blocks)?;
        let indexed = self.index.add(&written.rows, &written.ends);
        self.may_be_indexed = indexed.is_err();
        indexed?;
        self.accept(segments, &written);
        Ok(())
    }

    /// What was appended is indexed: the next group goes behind it.
    pub(super) fn accept(&mut self, segments: &Segments<D>, written: &Written) {
        if let Some(&(id, end)) = written.ends.last() {
            self.active = (end < segments.bytes_max).then_some((id, end));
        }
    }

    fn append_to(
        &mut self,
        segments: &Segments<D>,
        blocks: &[ToWrite<'_>],
        written: &mut Written,
        created: &mut Vec<u32>,
    ) -> Result<(), StoreError> {
        let mut open = match self.active {
            Some((id, end)) => {
                let file = segments.file(id).map_err(|e| StoreError::io("open", &segments.path(id), e))?;
                Some(Open { id, file, at: end, buffered: 0 })
            }
            None => None,
        };
        for block in blocks {
            if let Some(full) = open.take_if(|open| open.at + open.buffered >= segments.bytes_max) {
                self.finish(segments, full, written)?;
            }
            let open = match &mut open {
                Some(open) => open,
                None => {
                    self.last_id += 1;
                    created.push(self.last_id);
                    let file = segments.create(self.last_id)?;
                    open.insert(Open { id: self.last_id, file, at: 0, buffered: 0 })
                }
            };
            let len = block.bytes.len() as u32;
            let place = Place { segment: open.id, at: open.at + open.buffered, len };
            written.rows.push(Indexed { cid: block.cid, place, links: block.links, complete: block.complete });
            encode_record(&block.cid, block.bytes, &mut self.buffer);
            open.buffered += record_len(len);
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush(segments, open)?;
            }
        }
        if let Some(open) = open {
            self.finish(segments, open, written)?;
        }
        Ok(())
    }

    fn flush(&mut self, segments: &Segments<D>, open: &mut Open<D>) -> Result<(), StoreError> {
        let written = open.file.write_at(&self.buffer, open.at);
        written.map_err(|e| StoreError::io("write", &segments.path(open.id), e))?;
        open.at += open.buffered;
        open.buffered = 0;
        self.buffer.clear();
        Ok(())
    }

    fn finish(&mut self, segments: &Segments<D>, mut open: Open<D>, written: &mut Written) -> Result<(), StoreError> {
        self.flush(segments, &mut open)?;
        crash_point::hit("put.appended");
        if Guard::SyncedBeforeNamed.stands() {
            open.file.sync().map_err(|e| StoreError::io("sync", &segments.path(open.id), e))?;
        }
        crash_point::hit("put.synced");
        written.ends.push((open.id, open.at));
        Ok(())
    }
}
