//! Rehearses a restore: takes a few files of the newest state that a seeder signed for, drawn by chance, from that seeder alone, puts them
//! together in a place of their own, and takes them away again. On a thread that may wait.
//!
//! What must hold: nothing that lies on this device, or with anybody else, helps; each block is verified against its name, opened, and each
//! file compared with what the state says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cobox_core::drill::{drawn_of, that_fit};
use cobox_core::keys::FolderKeys;
use cobox_core::state::{Body, Item};
use cobox_core::tree::{Sample, TreeError};
use cobox_net::{Rate, Rates};
use cobox_proto::id::{Cid, Inode};
use cobox_proto::limits::BLOCK_BYTES_MAX;
use tokio::runtime::Handle;

use super::FolderHandle;
use super::actor::DrillSetup;
use super::assembling::{Assembler, Source, TOGETHER_BYTES};
use super::restoring::{NotRestored, finish, new_file};

/// Silence after which the seeder counts as not giving what it was asked for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who has sent as many other blocks as are still to come is not waited for so long.
const PATIENCE_WITH_LIARS: Duration = Duration::from_secs(3);
/// This computer's own schedule lets nothing through: it is not waited for long.
const PATIENCE_WHILE_PAUSED: Duration = Duration::from_secs(5);
/// After so many silences nothing more is asked for.
const SILENCES_MAX: u32 = 2;
/// Blocks asked for at once.
const ASKED_MAX: usize = 64;
/// Files that are taken together.
const TOGETHER_FILES: usize = 64;

/// What one rehearsal came to.
#[derive(Debug, Default)]
pub(crate) struct Drilled {
    /// Files that came back as they were, and their bytes.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Bytes of blocks that the seeder sent for it.
    pub(crate) fetched_bytes: u64,
    /// Files that were drawn and are too large.
    pub(crate) left_out: u64,
    /// What did not come back: the item, its name, and why.
    pub(crate) failed: Vec<(Inode, String, NotGiven)>,
    /// What is wrong with the records that lead to the files.
    pub(crate) records: Option<NotGiven>,
    /// Blocks that the seeder sent instead of those that it was asked for.
    pub(crate) other_blocks: u64,
    /// It ended before all of it was tried.
    pub(crate) cut_off: Option<CutOff>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Why something did not come back from the seeder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotGiven {
    /// It says so.
    #[error("the seeder has signed for it, and says that it does not have all of it")]
    Gone,
    /// It does not say anything.
    #[error("the seeder did not give all of it in time")]
    Silent,
    /// It sends something else.
    #[error("the seeder sent other bytes instead of it")]
    Other,
    /// The blocks are those that were asked for, and what is in them is not what it should be.
    #[error("its content is not what its author named")]
    Broken,
}

/// Why it was not tried to the end.
#[derive(Debug)]
pub(crate) enum CutOff {
    /// The connection ended.
    Connection,
    /// This computer's own limit or schedule may be why nothing came.
    OwnLimit,
    /// The place for the files can not be written.
    Disk(io::Error),
}

/// What this computer's own limits and schedule let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LetsThrough {
    /// Enough that silence is the seeder's.
    Enough,
    /// So little that what comes may take longer than is waited.
    Little,
    Nothing,
}

impl LetsThrough {
    /// By the slower of both directions.
    pub(crate) fn of(rates: Rates) -> Self {
        let one = |rate| match rate {
            Rate::Unlimited => Self::Enough,
            // Sixteen of the largest blocks: the folder's own traffic passes there, too.
            Rate::BytesPerSecond(n) if n.saturating_mul(PATIENCE.as_secs()) >= 16 * BLOCK_BYTES_MAX as u64 => {
                Self::Enough
            }
            Rate::BytesPerSecond(_) => Self::Little,
            Rate::Paused => Self::Nothing,
        };
        match (one(rates.send), one(rates.receive)) {
            (Self::Nothing, _) | (_, Self::Nothing) => Self::Nothing,
            (Self::Enough, Self::Enough) => Self::Enough,
            _ => Self::Little,
        }
    }
}

/// The one seeder that is asked.
struct OneSeeder {
    handle: FolderHandle,
    runtime: Handle,
    setup: DrillSetup,
    lets_through: Box<dyn Fn() -> LetsThrough + Send>,
    fetched_bytes: u64,
    /// What it says it has not, and what it did not give.
    gone: BTreeSet<Cid>,
    silences: u32,
    /// How many blocks came that were not asked for.
    others: u64,
    /// Nothing more can be asked for, and why.
    is_over: Option<CutOff>,
}

impl OneSeeder {
    /// Asks, and takes what comes until all of it came or there is silence.
    fn ask(&mut self, cids: &[Cid], found: &mut BTreeMap<Cid, Bytes>) {
        let (tell, told) = mpsc::channel();
        let (asked, peer, handle) = (cids.to_vec(), self.setup.peer, self.handle.clone());
        let is_asked = self.runtime.block_on(handle.ask(move |actor| actor.drill_ask(peer, &asked, &tell)));
        if is_asked != Some(true) {
            self.is_over = Some(CutOff::Connection);
            return;
        }
        let mut left: BTreeSet<Cid> = cids.iter().copied().collect();
        let mut others = 0;
        while !left.is_empty() {
            let patience = match (self.lets_through)() {
                LetsThrough::Nothing => PATIENCE_WHILE_PAUSED,
                _ if others < left.len() => PATIENCE,
                _ => PATIENCE_WITH_LIARS,
            };
            match told.recv_timeout(patience) {
                Ok((cid, _)) if !left.remove(&cid) => {
                    others += 1;
                    self.others += 1;
                }
                Ok((cid, Some(bytes))) => {
                    self.fetched_bytes += bytes.len() as u64;
                    found.insert(cid, bytes);
                }
                Ok((cid, None)) => drop(self.gone.insert(cid)),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.silences += 1;
                    if (self.lets_through)() != LetsThrough::Enough {
                        self.is_over = Some(CutOff::OwnLimit);
                    }
                    return;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    self.is_over = Some(CutOff::Connection);
                    return;
                }
            }
        }
    }

    /// Why these did not come.
    fn why(&self, cids: &[Cid]) -> NotGiven {
        match cids.iter().any(|cid| self.gone.contains(cid)) {
            true => NotGiven::Gone,
            false if self.others > 0 => NotGiven::Other,
            false => NotGiven::Silent,
        }
    }

    fn may_ask(&self) -> bool {
        self.is_over.is_none() && self.silences < SILENCES_MAX
    }
}

impl Source for OneSeeder {
    fn node(&mut self, cid: Cid) -> Option<Vec<u8>> {
        self.fetch(&[cid]).remove(&cid).map(|bytes| bytes.to_vec())
    }

    fn here(&self, _: &FolderKeys, _: &cobox_core::state::Ref) -> Option<(Vec<u8>, [u8; 32])> {
        None
    }

    fn fetch(&mut self, cids: &[Cid]) -> BTreeMap<Cid, Bytes> {
        let mut found = BTreeMap::new();
        let cids: BTreeSet<Cid> = cids.iter().filter(|cid| !self.gone.contains(cid)).copied().collect();
        for part in cids.into_iter().collect::<Vec<_>>().chunks(ASKED_MAX) {
            // A second time what did not come: the folder itself may have wanted it too, and then no more.
            let mut left = part.to_vec();
            while !left.is_empty() && self.may_ask() {
                self.ask(&left, &mut found);
                left.retain(|cid| !found.contains_key(cid) && !self.gone.contains(cid));
            }
        }
        found
    }
}

/// A file that was drawn.
struct Drawn {
    inode: Inode,
    name: String,
    body: Body,
}

/// A rehearsal, ready to run.
pub(crate) struct Drill {
    assembler: Assembler<OneSeeder>,
    seed: [u8; 32],
    place: PathBuf,
}

impl Drill {
    /// With the seeder of this setup; `lets_through` is asked again and again, `seed` is the chance by which files are drawn, and `place`
    /// a directory that is made and removed.
    pub(crate) fn new(
        setup: DrillSetup,
        handle: FolderHandle,
        runtime: Handle,
        lets_through: Box<dyn Fn() -> LetsThrough + Send>,
        seed: [u8; 32],
        place: PathBuf,
    ) -> Self {
        let keys: Arc<FolderKeys> = setup.keys.clone();
        let (gone, fetched_bytes, silences, others, is_over) = (BTreeSet::new(), 0, 0, 0, None);
        let source = OneSeeder { handle, runtime, setup, lets_through, fetched_bytes, gone, silences, others, is_over };
        Self { assembler: Assembler { keys, source }, seed, place }
    }

    /// Does it.
    pub(crate) fn run(mut self) -> Drilled {
        let (began, mut drilled) = (Instant::now(), Drilled::default());
        if let Err(why) = empty_place(&self.place) {
            drilled.cut_off = Some(CutOff::Disk(why));
            return drilled;
        }
        match self.draw() {
            Ok(drawn) => self.restore(drawn, &mut drilled),
            Err(why) => drilled.records = Some(why),
        }
        if let Err(why) = fs::remove_dir_all(&self.place) {
            tracing::warn!(%why, "the place of a rehearsed restore could not be removed");
        }
        self.ends();
        drilled.other_blocks = self.source().others;
        drilled.fetched_bytes = self.source().fetched_bytes;
        if let Some(why) = self.source().is_over.take() {
            drilled.cut_off.get_or_insert(why);
        }
        drilled.took = began.elapsed();
        drilled
    }

    fn source(&mut self) -> &mut OneSeeder {
        &mut self.assembler.source
    }

    /// What was asked for and did not come is wanted no more.
    fn ends(&mut self) {
        let OneSeeder { handle, runtime, setup, .. } = self.source();
        let peer = setup.peer;
        let _stopped = runtime.block_on(handle.ask(move |actor| actor.drill_ends(peer)));
    }

    /// Comes down from the state's root to the files that are drawn.
    fn draw(&mut self) -> Result<Vec<Drawn>, NotGiven> {
        let root = self.source().setup.head.head().root;
        let mut sample = Sample::new(root, self.seed, drawn_of);
        loop {
            let wanted = sample.wanted(ASKED_MAX);
            if wanted.is_empty() {
                break;
            }
            let found = self.source().fetch(&wanted);
            for (cid, bytes) in &found {
                match sample.supply(*cid, bytes, &*self.assembler.keys) {
                    Ok(()) | Err(TreeError::NotWanted(_)) => {}
                    Err(why) => {
                        tracing::warn!(%why, "the records of a state are not as they should be");
                        return Err(NotGiven::Broken);
                    }
                }
            }
            if found.len() < wanted.len() {
                return Err(self.source().why(&wanted));
            }
        }
        let forgotten = &self.assembler.source.setup.forgotten;
        let versions = sample.files().into_iter().flat_map(|(inode, item)| drawn(inode, item));
        Ok(versions.filter(|drawn| !drawn.body.content.cids().any(|cid| forgotten.contains(&cid))).collect())
    }

    fn restore(&mut self, drawn: Vec<Drawn>, drilled: &mut Drilled) {
        let sizes: Vec<u64> = drawn.iter().map(|drawn| drawn.body.size).collect();
        let fit: BTreeSet<usize> = that_fit(&sizes).into_iter().collect();
        drilled.left_out = (sizes.len() - fit.len()) as u64;
        let files = drawn.into_iter().enumerate().filter(|(at, _)| fit.contains(at));
        let files: Vec<Drawn> = files.map(|(_, drawn)| drawn).collect();
        let mut from = 0;
        while from < files.len() && drilled.cut_off.is_none() && self.source().is_over.is_none() {
            let mut bytes = 0;
            let fits = |drawn: &&Drawn| {
                bytes += drawn.body.size;
                bytes <= TOGETHER_BYTES
            };
            let count = files[from..].iter().take(TOGETHER_FILES).take_while(fits).count().max(1);
            self.restore_together(&files[from..from + count], drilled);
            from += count;
        }
    }

    fn restore_together(&mut self, files: &[Drawn], drilled: &mut Drilled) {
        let listed: Vec<_> = files.iter().map(|file| self.assembler.pieces(&file.body)).collect();
        let fetched = self.assembler.fetch_missing(&listed);
        for (file, refs) in files.iter().zip(listed) {
            let asked: Vec<Cid> = match &refs {
                Ok(refs) => refs.iter().map(|piece| piece.cid).collect(),
                Err(_) => file.body.content.cids().collect(),
            };
            let written = refs.and_then(|refs| {
                let (_, out) = new_file(&self.place.join("file"))?;
                let mut sink = |at: u64, bytes: &[u8]| Ok(out.write_all_at(bytes, at)?);
                self.assembler.assemble(&file.body, &refs, &fetched, &mut sink)?;
                finish(&out, &file.body)?;
                Ok(out.metadata()?.len())
            });
            let why = match written {
                Ok(len) if len == file.body.size => {
                    drilled.files += 1;
                    drilled.bytes += len;
                    continue;
                }
                Ok(_) | Err(NotRestored::Broken | NotRestored::InTheWay(_) | NotRestored::Disk(_)) => NotGiven::Broken,
                Err(NotRestored::Elsewhere(why)) => {
                    drilled.cut_off = Some(CutOff::Disk(why));
                    return;
                }
                Err(NotRestored::NotKept) => self.source().why(&asked),
            };
            // What was not tried to the end has not failed.
            if self.source().is_over.is_none() {
                drilled.failed.push((file.inode, file.name.clone(), why));
            }
        }
    }
}

fn drawn(inode: Inode, item: Item) -> impl Iterator<Item = Drawn> {
    let name = item.effective().map(|(_, loc)| loc.name.as_str().to_owned()).unwrap_or_default();
    item.body.into_iter().map(move |(_, body)| Drawn { inode, name: name.clone(), body })
}

/// Makes the place anew; what a stop left in it goes.
fn empty_place(place: &Path) -> io::Result<()> {
    match fs::remove_dir_all(place) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    fs::create_dir(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_silence_is_the_seeders_only_where_this_computer_lets_enough_through() {
        let of = |send, receive| LetsThrough::of(Rates { send, receive, on_lan: true });
        let (free, slow, fast) = (Rate::Unlimited, Rate::BytesPerSecond(100_000), Rate::BytesPerSecond(10_000_000));
        assert_eq!(of(free, free), LetsThrough::Enough);
        assert_eq!(of(fast, fast), LetsThrough::Enough);
        assert_eq!(of(free, slow), LetsThrough::Little);
        assert_eq!(of(slow, fast), LetsThrough::Little);
        assert_eq!(of(Rate::Paused, free), LetsThrough::Nothing);
        assert_eq!(of(slow, Rate::Paused), LetsThrough::Nothing);
    }
}
