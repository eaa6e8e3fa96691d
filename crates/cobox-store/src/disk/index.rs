//! Where each block lies: what is asked of an index and how it changes, whatever keeps it. Also how far each segment is known to be
//! good and how much of it is alive; both change in the same step as the rows they count.

use std::fmt::Debug;

use cobox_proto::id::Cid;

use super::segment::{RECORD_HEAD_BYTES, record_len};
use crate::block_store::{Entry, Stats};
use crate::error::StoreError;

/// A block's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of its segment.
    pub segment: u32,
    /// Where its record starts.
    pub at: u64,
    /// Length of the block, without what stands before it in the record.
    pub len: u32,
}

/// A row of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexed {
    /// The block.
    pub cid: Cid,
    /// Where it lies.
    pub place: Place,
    /// How many links its header has.
    pub links: u32,
    /// Whether all beneath it is here.
    pub complete: bool,
}

/// What is known of a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub id: u32,
    /// Everything before this is indexed or dead.
    pub end: u64,
    /// Bytes of records that are indexed.
    pub live_bytes: u64,
    /// How many they are.
    pub live_blocks: u64,
    /// The file is to be removed.
    pub dropped: bool,
}

/// A part of a change.
#[derive(Debug, Clone, Copy)]
pub enum Change<'c> {
    /// Everything in this segment before there is indexed or dead. The segment may be new.
    End(u32, u64),
    /// A block, if it is not indexed already.
    Add(&'c Indexed),
    /// Forgets a block wherever it is.
    Remove(&'c Cid),
    /// Marks a block complete or takes the mark away, if it is here.
    Mark(&'c Cid, bool),
    /// Forgets the blocks of a segment; its file is to be removed.
    Drop(u32),
    /// Forgets a segment and its blocks.
    Forget(u32),
}

/// An index. No segment's number is ever given twice, so that a slow reader does not find a new file under an old place.
pub trait Index: Debug + Send + Sized {
    /// A second access, which does not wait for the first one's changes.
    fn reader(&self) -> Result<Self, StoreError>;

    /// Makes all of these changes, in their order, durably; or none. Returns how many blocks came or went.
    fn change<'c>(&mut self, changes: impl IntoIterator<Item = Change<'c>>) -> Result<u64, StoreError>;

    /// A block's row.
    fn find(&self, cid: &Cid) -> Result<Option<Indexed>, StoreError>;

    /// Up to `max` blocks by their names, from the first one after `after`.
    fn list(&self, after: Option<&Cid>, max: usize) -> Result<Vec<Entry>, StoreError>;

    /// Up to `max` rows in the order in which they lie on disk, from `(segment, at)` on.
    fn by_place(&self, from: (u32, u64), max: u32) -> Result<Vec<Indexed>, StoreError>;

    /// All rows of a segment, in the order in which they lie there.
    fn of_segment(&self, id: u32) -> Result<Vec<Indexed>, StoreError>;

    /// What is known of segments, by number.
    fn segments(&self) -> Result<Vec<Segment>, StoreError>;

    /// The highest number a segment ever had.
    fn last_segment_id(&self) -> Result<u32, StoreError>;

    /// How much there is.
    fn stats(&self) -> Result<Stats, StoreError> {
        let segments = self.segments()?;
        let sum = |of: fn(&Segment) -> u64| segments.iter().map(of).sum::<u64>();
        let blocks = sum(|s| s.live_blocks);
        let heads = blocks * RECORD_HEAD_BYTES;
        Ok(Stats { blocks, stored_bytes: sum(|s| s.live_bytes).saturating_sub(heads), disk_bytes: sum(|s| s.end) })
    }

    /// Adds blocks; those already indexed stay where they are. `ends` are the new ends of the segments written to.
    /// Returns how many were new.
    fn add(&mut self, rows: &[Indexed], ends: &[(u32, u64)]) -> Result<u64, StoreError> {
        self.change(ends.iter().map(|(id, end)| Change::End(*id, *end)).chain(rows.iter().map(Change::Add)))
    }

    /// Moves blocks out of a segment and marks its file for removal, in one step. Rows that are not in `moved` go.
    fn replace_segment(&mut self, id: u32, moved: &[Indexed], ends: &[(u32, u64)]) -> Result<(), StoreError> {
        let ends = ends.iter().map(|(id, end)| Change::End(*id, *end));
        self.change(ends.chain([Change::Drop(id)]).chain(moved.iter().map(Change::Add))).map(drop)
    }

    /// Forgets blocks wherever they are.
    fn remove(&mut self, cids: &[Cid]) -> Result<(), StoreError> {
        self.change(cids.iter().map(Change::Remove)).map(drop)
    }

    /// Forgets a block if it still lies at this place. False if it moved or is gone.
    fn remove_at(&mut self, cid: &Cid, place: Place) -> Result<bool, StoreError> {
        if self.find(cid)?.is_none_or(|row| row.place != place) {
            return Ok(false);
        }
        self.change([Change::Remove(cid)])?;
        Ok(true)
    }

    /// Marks blocks complete or takes the mark away.
    fn set_complete(&mut self, cids: &[Cid], complete: bool) -> Result<(), StoreError> {
        self.change(cids.iter().map(|cid| Change::Mark(cid, complete))).map(drop)
    }

    /// Forgets the blocks of a segment beyond `len` and returns how many, with the segment's new end.
    fn cut_segment(&mut self, id: u32, len: u64) -> Result<(u64, u64), StoreError> {
        let (kept, lost): (Vec<_>, Vec<_>) =
            self.of_segment(id)?.into_iter().partition(|row| row.place.at + record_len(row.place.len) <= len);
        let end = kept.last().map_or(0, |row| row.place.at + record_len(row.place.len));
        self.change(lost.iter().map(|row| Change::Remove(&row.cid)).chain([Change::End(id, end)]))?;
        Ok((lost.len() as u64, end))
    }

    /// Forgets a segment whose file is gone, and returns how many blocks went with it.
    fn forget_segment(&mut self, id: u32) -> Result<u64, StoreError> {
        self.change([Change::Forget(id)])
    }
}
