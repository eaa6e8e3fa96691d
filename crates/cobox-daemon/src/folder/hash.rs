//! Reads changed files: one thread per folder that cuts, digests and seals what the engine asks for. The ciphertext is not
//! kept; it is made again from the file when somebody asks for it (design 3.5).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::SystemTime;

use cobox_core::chunk::Cutter;
use cobox_core::content::{ContentWriter, Written};
use cobox_core::engine::{SAMPLE_BYTES, Stamp, is_noise};
use cobox_core::keys::FolderKeys;
use cobox_core::path::FolderPath;
use cobox_core::seal::SealedBlock;
use cobox_core::state::Body;
use cobox_proto::id::{Cid, EpochTag};

use super::db::{FolderDb, Piece};
use super::seen;
use crate::disk_tree::{DiskTree, ReadError};

/// Files whose places are noted in one transaction.
const GROUP_FILES_MAX: usize = 256;
/// What was written longer ago is on the disk by itself: Linux begins to write after 30 s, looks every 5, and ends a journal's
/// transaction after 5.
const UNSYNCED_NS_MAX: i64 = 45_000_000_000;
/// How often a file that changes while it is read is tried again.
const TRIES_MAX: usize = 3;

/// What the hasher is asked.
#[derive(Debug)]
pub(super) enum Ask {
    /// Read these under these keys and this epoch.
    Read(Vec<(FolderPath, Stamp)>, Arc<FolderKeys>, EpochTag),
    /// End.
    Stop,
}

/// A file that was read, or not.
#[derive(Debug)]
pub(super) enum Hashed {
    /// Its content; `blocks` are the nodes of its list of chunks, to be kept; `noise`: what it looks like.
    Done { path: FolderPath, stamp: Stamp, body: Box<Body>, blocks: Vec<SealedBlock>, noise: bool },
    /// It could not be read whole.
    Failed { path: FolderPath, why: ReadError },
}

pub(super) type Asks = Sender<Ask>;

/// Works until told to stop.
pub(super) fn run(disk: &DiskTree, mut db: FolderDb, asks: &Receiver<Ask>, tell: &dyn Fn(Vec<Hashed>)) {
    while let Ok(Ask::Read(files, keys, epoch)) = asks.recv() {
        let cutter = Cutter::new(keys.shape(), keys.profile());
        for group in files.chunks(GROUP_FILES_MAX) {
            let mut results = Vec::with_capacity(group.len());
            let mut places = Vec::new();
            for (path, _) in group {
                match read(disk, path, &keys, &cutter, epoch) {
                    Ok((stamp, body, blocks, pieces, noise)) => {
                        places.push((stamp.id, pieces));
                        results.push(Hashed::Done { path: path.clone(), stamp, body: Box::new(body), blocks, noise });
                    }
                    Err(why) => results.push(Hashed::Failed { path: path.clone(), why }),
                }
            }
            sync_what_is_fresh(disk, &results);
            let rows = places.iter().map(|(id, pieces): &(_, Pieces)| (*id, pieces.as_slice()));
            if let Err(why) = db.put_pieces(rows) {
                tracing::warn!(%why, "the places of new blocks could not be noted");
            }
            tell(results);
        }
    }
}

/// Others are told of these files next. A file that a power cut took after that would be seen as deleted or emptied by its own author,
/// and so be taken from everybody (k3).
fn sync_what_is_fresh(disk: &DiskTree, results: &[Hashed]) {
    let now_ns = SystemTime::UNIX_EPOCH.elapsed().map_or(i64::MAX, |since| since.as_nanos() as i64);
    let is_fresh = |stamp: &Stamp| now_ns.saturating_sub(stamp.ctime_ns) < UNSYNCED_NS_MAX;
    let fresh = results.iter().filter_map(|result| match result {
        Hashed::Done { path, stamp, .. } if is_fresh(stamp) => Some(path.clone()),
        _ => None,
    });
    let fresh: Vec<FolderPath> = fresh.collect();
    if fresh.is_empty() {
        return;
    }
    // Then others may have the only good copy soon: they are told all the same.
    if let Err(why) = disk.sync_files(&fresh) {
        tracing::warn!(%why, "files that were written a moment ago may not outlast a power cut");
    }
}

type Pieces = Vec<(Cid, Piece)>;

fn read(
    disk: &DiskTree,
    path: &FolderPath,
    keys: &FolderKeys,
    cutter: &Cutter,
    epoch: EpochTag,
) -> Result<(Stamp, Body, Vec<SealedBlock>, Pieces, bool), ReadError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut writer = ContentWriter::new(keys, cutter, epoch);
        let mut sample = Vec::new();
        let read = disk.read_stable(path, &mut |bytes| {
            let missing = SAMPLE_BYTES.saturating_sub(sample.len()).min(bytes.len());
            sample.extend_from_slice(&bytes[..missing]);
            writer.push(bytes);
        });
        match read {
            Ok(stamp) => {
                let Written { content, plain_digest, size, chunks, blocks } = writer.finish();
                let body = Body { size, mtime_ns: stamp.mtime_ns, executable: stamp.executable, plain_digest, content };
                let mut offset = 0;
                let pieces = chunks
                    .into_iter()
                    .map(|r| {
                        let piece = Piece { offset, len: r.len, epoch: r.epoch };
                        offset += u64::from(r.len);
                        (r.cid, piece)
                    })
                    .collect();
                return Ok((seen::stamp(&stamp), body, blocks, pieces, is_noise(&sample)));
            }
            Err(ReadError::Busy { .. }) if tries < TRIES_MAX => {}
            Err(why) => return Err(why),
        }
    }
}
