//! What happens at open: the index and the segments are brought to agree again, whatever a crash, a lost file or an older
//! copy of either left behind. Segments are the truth, the index can always be made from them.
//!
//! Invariant: a record that was ever acknowledged and whose bytes are still right is never dropped.

use cobox_proto::block::BlockHeader;
use cobox_proto::guard::Guard;

use super::index::{Index, Indexed, Place};
use super::medium::Disk;
use super::segment::{RECORD_HEAD_BYTES, Segments, next_magic, record_at};
use crate::StoreError;

/// What opening a store had to repair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Blocks found in segments that the index did not know.
    pub reindexed_blocks: u64,
    /// Blocks the index knew and whose bytes are gone; they count as missing now.
    pub lost_blocks: u64,
    /// Bytes at the ends of segments that are no whole record, cut off: writes that never finished.
    pub torn_bytes: u64,
    /// The index was missing or unreadable and was made anew. `complete` marks are gone, deleted blocks may be back.
    pub index_rebuilt: bool,
}

/// Opens the index, making a new one from the segments if there is none or it is damaged. A damaged one is kept aside.
pub(super) fn open_index<D: Disk>(segments: &Segments<D>) -> Result<(D::Index, Recovered), StoreError> {
    let disk = segments.disk();
    let existed = disk.has_index();
    let opened = disk.open_index().and_then(|mut index| {
        let recovered = reconcile(&mut index, segments, !existed)?;
        Ok((index, recovered))
    });
    match opened {
        Err(StoreError::DamagedDatabase { path, reason }) => {
            tracing::warn!(path = %path.display(), reason, "the block index is damaged; making it anew from the segments");
            disk.set_index_aside()?;
            let mut index = disk.open_index()?;
            let recovered = reconcile(&mut index, segments, true)?;
            Ok((index, recovered))
        }
        other => other,
    }
}

/// Makes index and segments agree. `new_index`: there was none before.
fn reconcile<D: Disk>(index: &mut D::Index, segments: &Segments<D>, new_index: bool) -> Result<Recovered, StoreError> {
    let files = segments.ids()?;
    let mut recovered = Recovered { index_rebuilt: new_index && !files.is_empty(), ..Recovered::default() };
    for known in index.segments()? {
        if known.dropped {
            segments.remove(known.id)?;
            index.forget_segment(known.id)?;
        } else if !files.contains(&known.id) {
            recovered.lost_blocks += index.forget_segment(known.id)?;
        }
    }
    let known = index.segments()?;
    for id in segments.ids()? {
        let mut end = known.iter().find(|segment| segment.id == id).map_or(0, |segment| segment.end);
        let len = segments.length(id).map_err(|e| StoreError::io("look at", &segments.path(id), e))?;
        if len < end {
            let lost;
            (lost, end) = index.cut_segment(id, len)?;
            recovered.lost_blocks += lost;
        }
        if len > end {
            index_rest(index, segments, id, end, &mut recovered)?;
        }
    }
    if recovered != Recovered::default() {
        tracing::warn!(?recovered, "the block store was not closed cleanly");
    }
    Ok(recovered)
}

/// Indexes the right records of a segment from `end` on and cuts off what follows the last of them. What lies between them
/// is a torn write or, if the index is new or old, may be damage; it stays until the segment is compacted.
fn index_rest<D: Disk>(
    index: &mut D::Index,
    segments: &Segments<D>,
    id: u32,
    end: u64,
    recovered: &mut Recovered,
) -> Result<(), StoreError> {
    let bytes = segments.read_from(id, end)?;
    let (mut rows, mut good, mut at) = (Vec::new(), 0, Some(0));
    while let Some(here) = at {
        let Some(found) = record_at(&bytes, here) else {
            at = next_magic(&bytes, here + 1);
            continue;
        };
        // A record whose bytes are right was a block when it was written.
        if let Ok((header, _)) = BlockHeader::parse(found.block) {
            let place = Place { segment: id, at: end + here as u64, len: found.block.len() as u32 };
            rows.push(Indexed { cid: found.cid, place, links: header.links.len() as u32, complete: false });
        }
        good = here + RECORD_HEAD_BYTES as usize + found.block.len();
        at = Some(good);
    }
    if good < bytes.len() {
        segments.truncate(id, end + good as u64)?;
        recovered.torn_bytes += (bytes.len() - good) as u64;
    }
    if !rows.is_empty() && Guard::FoundIsSynced.stands() {
        // Whoever wrote it was stopped perhaps before it was synced, and the power may go yet.
        segments.sync(id)?;
    }
    recovered.reindexed_blocks += index.add(&rows, &[(id, end + good as u64)])?;
    Ok(())
}
