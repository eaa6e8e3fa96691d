//! Gives space back: a segment of which less than 60 % is alive is rewritten at the end of the store and removed. Punching
//! holes instead would be half as fast and leave the odd ends between blocks.
//!
//! Invariant: at every moment each live block is indexed at a place where it lies, durably.

use cobox_proto::id::Cid;

use super::index::{Index, Segment};
use super::medium::Disk;
use super::segment::record_len;
use super::writer::{ToWrite, Written};
use super::{DiskStore, Read, lock};
use crate::StoreError;
use crate::block_store::Compacted;
use crate::crash_point;

/// Segments with less alive are rewritten.
const LIVE_PERCENT_MIN: u64 = 60;
/// Blocks are moved in groups of about this size, which is what moving takes in memory.
const GROUP_BYTES: u64 = 8 << 20;

/// Told of damaged blocks before they count as missing.
pub(super) type Tell<'t> = dyn FnMut(&[Cid]) -> Result<(), StoreError> + 't;

pub(super) fn compact<D: Disk>(store: &DiskStore<D>, tell: &mut Tell<'_>) -> Result<Compacted, StoreError> {
    let mut compacted = Compacted::default();
    let sparse = |s: &Segment| !s.dropped && s.end > 0 && s.live_bytes * 100 < s.end * LIVE_PERCENT_MIN;
    let found: Vec<u32> = lock(&store.reader).segments()?.iter().filter(|s| sparse(s)).map(|s| s.id).collect();
    for id in found {
        rewrite(store, id, &mut compacted, tell)?;
    }
    Ok(compacted)
}

/// Moves what is alive in a segment elsewhere and removes the file. Writers wait meanwhile, readers do not.
fn rewrite<D: Disk>(
    store: &DiskStore<D>,
    id: u32,
    compacted: &mut Compacted,
    tell: &mut Tell<'_>,
) -> Result<(), StoreError> {
    let mut writer = lock(&store.writer);
    if writer.active_id() == Some(id) {
        writer.leave_active();
    }
    let rows = writer.index.of_segment(id)?;
    let (mut moved, mut damaged) = (Written::default(), Vec::new());
    let mut rest = rows.as_slice();
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|row| {
            bytes += record_len(row.place.len);
            bytes <= GROUP_BYTES
        });
        let (group, later) = rest.split_at(fits.count().max(1));
        rest = later;
        let mut read = Vec::with_capacity(group.len());
        for row in group {
            match store.read(row)? {
                Read::Right(bytes) => read.push((row, bytes)),
                Read::Damaged => damaged.push(row.cid),
            }
        }
        let blocks: Vec<_> = read
            .iter()
            .map(|(row, bytes)| ToWrite { cid: row.cid, links: row.links, complete: row.complete, bytes })
            .collect();
        if blocks.is_empty() {
            continue;
        }
        let mut written = writer.append(&store.segments, &blocks)?;
        // Nothing is indexed yet; should we fail below, what lies here is dead weight until the next compaction.
        writer.accept(&store.segments, &written);
        moved.rows.append(&mut written.rows);
        moved.ends.retain(|(id, _)| written.ends.iter().all(|(newer, _)| newer != id));
        moved.ends.append(&mut written.ends);
    }
    crash_point::hit("compact.moved");
    if !damaged.is_empty() {
        tell(&damaged)?;
        compacted.damaged.append(&mut damaged);
    }
    writer.index.replace_segment(id, &moved.rows, &moved.ends)?;
    crash_point::hit("compact.indexed");
    compacted.freed_bytes += store.segments.length(id).unwrap_or(0);
    compacted.moved_bytes += moved.rows.iter().map(|row| record_len(row.place.len)).sum::<u64>();
    store.segments.remove(id)?;
    crash_point::hit("compact.removed");
    writer.index.forget_segment(id)?;
    Ok(())
}
