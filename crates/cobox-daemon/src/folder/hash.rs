//! Reads changed files: one thread per folder that has what the engine asks for cut, digested and sealed, by as many helpers as
//! keep the machine busy. The ciphertext is not kept; it is made again from the file when somebody asks for it (design 3.5).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use cobox_core::chunk::Cutter;
use cobox_core::content::{ContentCutter, ContentWriter, Written, note_chunk};
use cobox_core::engine::{SAMPLE_BYTES, Stamp, is_noise};
use cobox_core::keys::FolderKeys;
use cobox_core::path::FolderPath;
use cobox_core::seal::SealedBlock;
use cobox_core::state::Body;
use cobox_proto::id::{Cid, EpochTag};

use super::db::{FolderDb, Piece};
use super::seen;
use crate::disk_tree::{self, DiskTree, ReadError};

/// Files whose places are noted in one transaction.
const GROUP_FILES_MAX: usize = 256;
/// What was written longer ago is on the disk by itself: Linux begins to write after 30 s, looks every 5, and ends a journal's
/// transaction after 5.
const UNSYNCED_NS_MAX: i64 = 45_000_000_000;
/// Files are read side by side by so many helpers at most, and no more than there are processors.
const HELPERS_MAX: usize = 4;
/// The chunks of a file of at least so many bytes are sealed beside its being read and cut.
const LARGE_BYTES_MIN: u64 = 8 << 20;
/// Chunks that are cut and wait to be sealed.
const CUT_AHEAD: usize = 2;
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
    let helpers = std::thread::available_parallelism().map_or(1, usize::from).min(HELPERS_MAX);
    while let Ok(Ask::Read(files, keys, epoch)) = asks.recv() {
        let cutter = Cutter::new(keys.shape(), keys.profile());
        let under = Under { keys: &keys, cutter: &cutter, epoch };
        for group in files.chunks(GROUP_FILES_MAX) {
            let mut results = Vec::with_capacity(group.len());
            let mut places = Vec::new();
            for ((path, _), read) in group.iter().zip(read_group(disk, group, under, helpers)) {
                match read {
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
/// As it was, its content, the blocks to keep, where its pieces lie, and whether it looks like noise.
type Read = Result<(Stamp, Body, Vec<SealedBlock>, Pieces, bool), ReadError>;

/// What all files of a request are cut and sealed by.
#[derive(Clone, Copy)]
struct Under<'k> {
    keys: &'k FolderKeys,
    cutter: &'k Cutter,
    epoch: EpochTag,
}

/// Reads a group of files, several at a time; the results in the order of the group.
fn read_group(disk: &DiskTree, group: &[(FolderPath, Stamp)], under: Under<'_>, helpers: usize) -> Vec<Read> {
    let helpers = helpers.min(group.len());
    if helpers < 2 {
        return group.iter().map(|(path, known)| read(disk, path, known.size, under)).collect();
    }
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(group.len())));
    let work = || {
        let mut own = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((path, known)) = group.get(at) else { break };
            own.push((at, read(disk, path, known.size, under)));
        }
        all.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
    };
    std::thread::scope(|scope| {
        for _ in 1..helpers {
            scope.spawn(work);
        }
        work();
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, read)| read).collect()
}

/// Reads one version of a file, cuts and seals it.
fn read_once(
    disk: &DiskTree,
    path: &FolderPath,
    size: u64,
    under: Under<'_>,
) -> Result<(disk_tree::Stamp, Written, Vec<u8>), ReadError> {
    let Under { keys, cutter, epoch } = under;
    let mut sample = Vec::new();
    let mut take_sample = |bytes: &[u8]| {
        let missing = SAMPLE_BYTES.saturating_sub(sample.len()).min(bytes.len());
        sample.extend_from_slice(&bytes[..missing]);
    };
    if size < LARGE_BYTES_MIN {
        let mut writer = ContentWriter::new(keys, cutter, epoch);
        let stamp = disk.read_stable(path, &mut |bytes| {
            take_sample(bytes);
            writer.push(bytes);
        })?;
        return Ok((stamp, writer.finish(), sample));
    }
    let (cut, to_seal) = sync_channel::<Vec<u8>>(CUT_AHEAD);
    let (sealed, to_fill) = channel::<Vec<u8>>();
    let read = std::thread::scope(|scope| {
        let sealing = scope.spawn(move || {
            let seal = |chunk: Vec<u8>| {
                let note = note_chunk(keys, epoch, &chunk);
                // The one who cuts may be done already.
                let _ = sealed.send(chunk);
                note
            };
            to_seal.iter().map(seal).collect::<Vec<_>>()
        });
        let mut hand_over = |chunk: &[u8]| {
            let mut buffer = to_fill.try_recv().unwrap_or_default();
            buffer.clear();
            buffer.extend_from_slice(chunk);
            // Fails only if sealing broke an invariant, which the join below passes on.
            let _ = cut.send(buffer);
        };
        let mut writer = ContentCutter::new(cutter);
        let read = disk.read_stable(path, &mut |bytes| {
            take_sample(bytes);
            writer.push(bytes, &mut hand_over);
        });
        let ending = writer.finish(&mut hand_over);
        drop(cut);
        let chunks = sealing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        read.map(|stamp| (stamp, ending.written(keys, epoch, &chunks)))
    });
    read.map(|(stamp, written)| (stamp, written, sample))
}

fn read(disk: &DiskTree, path: &FolderPath, size: u64, under: Under<'_>) -> Read {
    let mut tries = 0;
    loop {
        tries += 1;
        match read_once(disk, path, size, under) {
            Ok((stamp, written, sample)) => {
                let Written { content, plain_digest, size, chunks, blocks } = written;
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
