//! Writes into the folder what the engine decided: one thread per folder, so that steps never race each other. A file is put
//! together in `.cobox/tmp` from pieces that other files of the folder hold, from blocks that were kept, and from blocks that
//! peers send; a group of finished files is synced once and then moved into place.
//!
//! It owns the files under assembly. What must hold: nothing stands in the folder that is not whole, opened and equal to the
//! block names the state lists; nothing is replaced that is not what the step expected. A stop loses unfinished steps; their
//! temporary files stay and are taken up again, piece by piece verified.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use bytes::Bytes;
use cobox_core::content::{self, ManifestReader, OpenedChunk};
use cobox_core::engine::{SAMPLE_BYTES, Stat, Step, StepError, StepId, is_noise};
use cobox_core::keys::FolderKeys;
use cobox_core::path::FolderPath;
use cobox_core::state::{Body, Content, Kind, Ref};
use cobox_proto::id::Cid;
use cobox_store::BlockStore;

use super::db::{FolderDb, Piece};
use super::pieces::piece_here;
use super::seen::{self, step_error};
use crate::disk_tree::{ApplyError, DiskError, DiskTree, Expect, FILES_SYNCED_ALONE_MAX, Seen, TempFile, Trouble};

/// Bytes asked of peers and not yet here.
const WANTED_BYTES_MAX: u64 = 64 << 20;
/// Files under assembly at once: an eighth of what the process may have open, within these bounds. As many share one sync of the
/// disk, which waits for all that other programs have written, too.
const OPEN_FILES_MIN: u64 = 64;
const OPEN_FILES_MAX: u64 = 2048;
/// Files moved into place after one sync, and changes told after one.
const GROUP_FILES_MAX: usize = OPEN_FILES_MAX as usize;
/// Stands for the list of chunks itself where a piece of a file is named.
const LIST: usize = usize::MAX;
/// How long a finished file waits for others under way to share its sync.
const GROUP_WAIT: Duration = Duration::from_millis(20);

/// What the applier is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Do these.
    Do(Vec<(StepId, Step)>),
    /// No longer wanted.
    Cancel(StepId),
    /// A block that was wanted.
    Block(Cid, Bytes),
    /// New keys.
    Keys(Arc<FolderKeys>),
    /// Finish nothing more and end.
    Stop,
}

/// What the applier tells.
#[derive(Debug)]
pub(super) enum Applied {
    /// Blocks to fetch.
    Want(Vec<Cid>),
    /// Blocks no longer needed.
    Unwant(Vec<Cid>),
    /// A step is done; what stands at its path now.
    Done(StepId, Option<Stat>),
    /// A step is not done.
    Failed(StepId, StepError),
}

/// What a write is to bring about.
struct Goal {
    path: FolderPath,
    body: Body,
    expect: Expect,
    /// Whether it may turn what stands there into noise.
    let_in: bool,
    /// A place that must still be as it is said to be.
    source: Option<(FolderPath, Expect)>,
}

impl Goal {
    fn of(step: Step) -> Option<Self> {
        let Step::Write { path, body, expect, source, let_in, .. } = step else { return None };
        let source = source.map(|(from, stamp)| (from, seen::expect(Some(&stamp))));
        Some(Self { path, body: *body, expect: seen::expect(expect.as_ref()), let_in, source })
    }

    fn check_source(&self, disk: &DiskTree) -> Result<(), ApplyError> {
        let Some((from, expect)) = &self.source else { return Ok(()) };
        match disk.find(from)? {
            Some(seen) if Expect::from(&seen) == *expect => Ok(()),
            _ => Err(ApplyError::Changed { path: from.clone() }),
        }
    }
}

/// A file under assembly.
struct Job {
    goal: Goal,
    temp: TempFile,
    refs: Vec<Ref>,
    starts: Vec<u64>,
    /// Of the pieces that are there.
    digests: Vec<[u8; 32]>,
    missing: BTreeSet<usize>,
}

/// A step that waits for its manifest.
struct Listing {
    goal: Goal,
    reader: ManifestReader,
}

pub(super) struct Applier {
    pub(super) disk: DiskTree,
    pub(super) db: FolderDb,
    pub(super) blocks: Arc<dyn BlockStore>,
    pub(super) keys: Arc<FolderKeys>,
    pub(super) tell: Box<dyn Fn(Applied) + Send>,
    queue: VecDeque<(StepId, Step)>,
    jobs: BTreeMap<StepId, Job>,
    listings: BTreeMap<StepId, Listing>,
    ready: Vec<StepId>,
    /// Made, and told when the directories they were made in are synced.
    made: Vec<(StepId, Option<Stat>)>,
    unsynced: BTreeSet<FolderPath>,
    /// Who waits for a block: (step, piece of its file).
    waiting: BTreeMap<Cid, Vec<(StepId, usize)>>,
    wanted_bytes: u64,
    /// Counts down what whoever sends blocks counts up.
    unwritten: Arc<AtomicU64>,
    open_files_max: usize,
}

/// Where this thread gets its orders.
pub(super) type Orders = Sender<Order>;

impl Applier {
    pub(super) fn new(
        disk: DiskTree,
        db: FolderDb,
        blocks: Arc<dyn BlockStore>,
        keys: Arc<FolderKeys>,
        tell: Box<dyn Fn(Applied) + Send>,
        unwritten: Arc<AtomicU64>,
    ) -> Self {
        Self {
            disk,
            db,
            blocks,
            keys,
            tell,
            queue: VecDeque::new(),
            jobs: BTreeMap::new(),
            listings: BTreeMap::new(),
            ready: Vec::new(),
            made: Vec::new(),
            unsynced: BTreeSet::new(),
            waiting: BTreeMap::new(),
            wanted_bytes: 0,
            unwritten,
            open_files_max: open_files_max(),
        }
    }

    /// Works until told to stop.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = if self.ready.is_empty() {
                orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else if self.awaits_more() {
                orders.recv_timeout(GROUP_WAIT)
            } else {
                orders.try_recv().map_err(|why| match why {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                })
            };
            match order {
                Ok(Order::Stop) => return self.end(),
                Ok(order) => self.order(order),
                Err(RecvTimeoutError::Timeout) => self.commit_group(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.begin_more();
        }
    }

    /// Whether files are under way beside those that are finished.
    fn awaits_more(&self) -> bool {
        self.ready.len() < self.jobs.len() || !self.listings.is_empty() || !self.queue.is_empty()
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Do(steps) => self.queue.extend(steps),
            Order::Cancel(id) => self.drop_step(id, StepError::Changed, false),
            Order::Block(cid, bytes) => {
                let len = bytes.len() as u64;
                self.block(cid, bytes);
                self.unwritten.fetch_sub(len, Ordering::Relaxed);
            }
            Order::Keys(keys) => self.keys = keys,
            Order::Stop => {}
        }
    }

    fn begin_more(&mut self) {
        while self.jobs.len() < self.open_files_max && self.wanted_bytes < WANTED_BYTES_MAX {
            let Some((id, step)) = self.queue.pop_front() else { break };
            match step {
                Step::Write { kind, .. } => match Goal::of(step) {
                    Some(goal) if kind == Kind::Symlink => self.symlink(id, &goal),
                    Some(goal) => self.begin_write(id, goal),
                    None => {}
                },
                step => self.quick(id, &step),
            }
            if self.ready.len() >= GROUP_FILES_MAX {
                self.commit_group();
            }
            if self.made.len() >= GROUP_FILES_MAX {
                self.settle();
            }
            if self.jobs.len() >= self.open_files_max && self.ready.len() == self.jobs.len() {
                // Nothing that is open waits for a peer.
                self.commit_group();
            }
        }
        self.settle();
    }

    /// A step without content.
    fn quick(&mut self, id: StepId, step: &Step) {
        let disk = self.disk.clone();
        let made = match step {
            Step::MakeDir { path } => disk.make_dir(path).map(seen::stat),
            Step::RenameDir { from, to } => match disk.stat(from) {
                Ok(Some(dir @ Seen::Dir { .. })) => self.rename(from, to, Expect::from(&dir)),
                Ok(_) => Err(ApplyError::Changed { path: from.clone() }),
                Err(why) => Err(why.into()),
            },
            Step::RenameFile { from, to, expect } => self.rename(from, to, seen::expect(Some(expect))),
            Step::SetMeta { path, mtime_ns, executable, expect } => disk
                .set_meta(path, seen::expect(Some(expect)), *mtime_ns, *executable)
                .map(|stamp| Some(Stat::File(seen::stamp(&stamp)))),
            Step::Remove { path, expect } => disk.remove(path, seen::expect(Some(expect))).map(|_kept| None),
            Step::RemoveDir { path } => disk.remove_dir(path).map(|()| None),
            Step::Write { .. } => Ok(None),
        };
        match made {
            Ok(now_there) => self.made(id, step.path(), now_there),
            Err(why) => (self.tell)(Applied::Failed(id, step_error(why))),
        }
    }

    fn rename(&mut self, from: &FolderPath, to: &FolderPath, expect: Expect) -> Result<Option<Stat>, ApplyError> {
        let there = self.disk.rename(from, to, expect)?;
        self.unsynced.insert(parent(from));
        Ok(seen::stat(there))
    }

    /// A step is made; it is told when it is durable.
    fn made(&mut self, id: StepId, path: &FolderPath, now_there: Option<Stat>) {
        self.unsynced.insert(parent(path));
        self.made.push((id, now_there));
    }

    /// Makes what was made durable and tells of it: a move that a power cut undoes must not be remembered as done.
    fn settle(&mut self) {
        let made = std::mem::take(&mut self.made);
        if made.is_empty() {
            return;
        }
        let synced = self.disk.sync_dirs(&std::mem::take(&mut self.unsynced)).map_err(|why| step_error(why.into()));
        for (id, now_there) in made {
            (self.tell)(match &synced {
                Ok(()) => Applied::Done(id, now_there),
                Err(why) => Applied::Failed(id, why.clone()),
            });
        }
    }

    /// Finishes what is whole and says of the rest that it is not done.
    fn end(mut self) {
        self.commit_group();
        self.settle();
        let waiting = self.jobs.keys().chain(self.listings.keys()).chain(self.queue.iter().map(|(id, _)| id));
        for id in waiting {
            (self.tell)(Applied::Failed(*id, StepError::NoContent));
        }
    }

    fn symlink(&mut self, id: StepId, goal: &Goal) {
        let target = match &goal.body.content {
            Content::Inline(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        };
        let Some(target) = target else {
            return (self.tell)(Applied::Failed(id, StepError::Unusable("its target is not a path".into())));
        };
        let made = goal.check_source(&self.disk).and_then(|()| self.disk.make_symlink(&goal.path, target, goal.expect));
        match made {
            Ok(applied) => {
                self.made(id, &goal.path, Some(Stat::Symlink(seen::stamp(&applied.stamp), target.to_owned())));
            }
            Err(why) => (self.tell)(Applied::Failed(id, step_error(why))),
        }
    }

    fn begin_write(&mut self, id: StepId, goal: Goal) {
        match &goal.body.content {
            Content::Inline(bytes) => {
                let begun = self.open_temp(&goal).and_then(|mut temp| {
                    // What a stop left there is cut; an empty file has no other write to be synced for.
                    if !temp.is_empty() || bytes.is_empty() {
                        temp.set_len(bytes.len() as u64)?;
                    }
                    temp.write_at(0, bytes)?;
                    Ok(temp)
                });
                self.begin_inline(id, goal, begun);
            }
            Content::Refs(refs) => {
                let refs = refs.to_vec();
                self.begin_assembly(id, goal, refs);
            }
            Content::Manifest(manifest) => {
                let reader = ManifestReader::new(manifest, goal.body.size);
                self.listings.insert(id, Listing { goal, reader });
                self.read_manifest(id);
            }
        }
    }

    fn begin_inline(&mut self, id: StepId, goal: Goal, begun: Result<TempFile, DiskError>) {
        match begun {
            Ok(temp) => {
                let (refs, starts, digests) = (Vec::new(), Vec::new(), Vec::new());
                let job = Job { goal, temp, refs, starts, digests, missing: BTreeSet::new() };
                self.jobs.insert(id, job);
                self.ready.push(id);
            }
            Err(why) => (self.tell)(Applied::Failed(id, step_error(why.into()))),
        }
    }

    fn open_temp(&self, goal: &Goal) -> Result<TempFile, DiskError> {
        // One name per place and content: a stopped transfer is found again, and two places never share a file.
        let mut name = content::assembly_name(&goal.path, &goal.body.plain_digest);
        name.truncate(40);
        self.disk.temp(&name)
    }

    /// Goes on reading a manifest with the blocks at hand; asks for the rest.
    fn read_manifest(&mut self, id: StepId) {
        let Some(listing) = self.listings.get_mut(&id) else { return };
        while let Some(cid) = listing.reader.wanted() {
            match self.blocks.get(&cid) {
                Ok(Some(bytes)) => listing.reader.supply(&bytes, &self.keys),
                _ => {
                    self.waiting.entry(cid).or_default().push((id, LIST));
                    return (self.tell)(Applied::Want(vec![cid]));
                }
            }
        }
        let Some(Listing { goal, reader }) = self.listings.remove(&id) else { return };
        match reader.finish() {
            Ok(refs) => self.begin_assembly(id, goal, refs),
            Err(why) => (self.tell)(Applied::Failed(id, StepError::Unusable(why.to_string()))),
        }
    }

    fn begin_assembly(&mut self, id: StepId, goal: Goal, refs: Vec<Ref>) {
        let mut starts = Vec::with_capacity(refs.len());
        let mut at = 0u64;
        for r in &refs {
            starts.push(at);
            at += u64::from(r.len);
        }
        if at != goal.body.size {
            let why = StepError::Unusable("its pieces do not add up to its size".into());
            return (self.tell)(Applied::Failed(id, why));
        }
        let opened = self.open_temp(&goal).and_then(|mut temp| {
            let resumed = !temp.is_empty();
            temp.set_len(goal.body.size)?;
            Ok((temp, resumed))
        });
        let (mut temp, resumed) = match opened {
            Ok(opened) => opened,
            Err(why) => return (self.tell)(Applied::Failed(id, step_error(why.into()))),
        };
        let (mut missing, mut digests) = (BTreeSet::new(), vec![[0; 32]; refs.len()]);
        for (i, r) in refs.iter().enumerate() {
            let here = if resumed { self.holds(&temp, r, starts[i]) } else { None };
            match here.or_else(|| self.copy_local(&mut temp, r, starts[i])) {
                Some(digest) => digests[i] = digest,
                None => {
                    missing.insert(i);
                }
            }
        }
        let wants: Vec<Cid> = missing.iter().map(|i| refs[*i].cid).collect();
        for i in &missing {
            self.waiting.entry(refs[*i].cid).or_default().push((id, *i));
            self.wanted_bytes += u64::from(refs[*i].len);
        }
        let done = missing.is_empty();
        self.jobs.insert(id, Job { goal, temp, refs, starts, digests, missing });
        if done {
            self.ready.push(id);
        } else {
            (self.tell)(Applied::Want(wants));
        }
    }

    /// The digest of a piece of an earlier attempt, if it is right already.
    fn holds(&self, temp: &TempFile, r: &Ref, start: u64) -> Option<[u8; 32]> {
        let bytes = temp.read_at(start, r.len as usize).ok()?;
        content::reseal_digested(&self.keys, r, &bytes).map(|(_, digest)| digest)
    }

    /// Takes a piece from another file of this folder, or from a block kept here, if one has it; its digest.
    fn copy_local(&mut self, temp: &mut TempFile, r: &Ref, start: u64) -> Option<[u8; 32]> {
        let (bytes, digest) = piece_here((&self.db, &self.disk), &*self.blocks, &self.keys, r)?;
        temp.write_at(start, &bytes).is_ok().then_some(digest)
    }

    fn block(&mut self, cid: Cid, sealed: Bytes) {
        let Some(waiters) = self.waiting.remove(&cid) else { return };
        let (lists, pieces): (Vec<_>, Vec<_>) = waiters.into_iter().partition(|(_, piece)| *piece == LIST);
        for (id, _) in lists {
            if let Err(why) = self.blocks.put_many(&[(cid, &sealed)]) {
                tracing::warn!(%why, "a piece of a file's list could not be kept");
            }
            if let Some(listing) = self.listings.get_mut(&id) {
                listing.reader.supply(&sealed, &self.keys);
                self.read_manifest(id);
            }
        }
        if pieces.is_empty() {
            return;
        }
        let opened = OpenedChunk::open(&self.keys, sealed.into());
        for (id, piece) in pieces {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            let r = job.refs[piece];
            self.wanted_bytes = self.wanted_bytes.saturating_sub(u64::from(r.len));
            job.missing.remove(&piece);
            let plain = match &opened {
                Ok(opened) => opened.as_piece(&r).map(|plain| (plain, opened.digest)),
                Err(why) => Err(why.clone()),
            };
            let wrote = match plain {
                Ok((plain, digest)) => {
                    job.digests[piece] = digest;
                    job.temp.write_at(job.starts[piece], plain).map_err(|why| step_error(why.into()))
                }
                Err(why) => Err(StepError::Unusable(why.to_string())),
            };
            if let Err(why) = wrote {
                self.drop_step(id, why, true);
            } else if job.missing.is_empty() {
                self.ready.push(id);
            }
        }
    }

    /// Whether what came looks like noise, and what it is to replace does not.
    fn turns_into_noise(&self, goal: &Goal, temp: &TempFile) -> bool {
        let Expect::Stamp(version) = &goal.expect else { return false };
        let sample = |len: u64| len.min(SAMPLE_BYTES as u64) as usize;
        let comes_as_noise = temp.read_at(0, sample(temp.len())).is_ok_and(|bytes| is_noise(&bytes));
        comes_as_noise
            && self.disk.read_at(&goal.path, version, 0, sample(version.size)).is_ok_and(|bytes| !is_noise(&bytes))
    }

    fn drop_step(&mut self, id: StepId, why: StepError, tell: bool) {
        self.queue.retain(|(queued, _)| *queued != id);
        self.ready.retain(|ready| *ready != id);
        self.listings.remove(&id);
        if let Some(job) = self.jobs.remove(&id) {
            for i in &job.missing {
                self.wanted_bytes = self.wanted_bytes.saturating_sub(u64::from(job.refs[*i].len));
            }
        }
        let mut unwanted = Vec::new();
        self.waiting.retain(|cid, waiters| {
            waiters.retain(|(waiter, _)| *waiter != id);
            if waiters.is_empty() {
                unwanted.push(*cid);
            }
            !waiters.is_empty()
        });
        if !unwanted.is_empty() {
            (self.tell)(Applied::Unwant(unwanted));
        }
        if tell || why == StepError::Changed {
            (self.tell)(Applied::Failed(id, why));
        }
    }

    /// Syncs the finished files once and moves them into place.
    fn commit_group(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let ready = std::mem::take(&mut self.ready);
        // A few are synced one by one as they are moved into place: that waits for nothing that other programs have written.
        let synced = if ready.len() > FILES_SYNCED_ALONE_MAX { self.disk.sync_temps() } else { Ok(()) };
        let mut placed = Vec::with_capacity(ready.len());
        for id in ready {
            let Some(job) = self.jobs.remove(&id) else { continue };
            let Job { goal, temp, refs, starts, digests, .. } = job;
            if !refs.is_empty() && !content::is_what_was_said(&self.keys, &goal.body, &refs, &digests) {
                discard(temp);
                let why = "its pieces are not the content that its author named; whoever wrote it must write it again";
                (self.tell)(Applied::Failed(id, StepError::Unusable(why.into())));
                continue;
            }
            if let Err(why) = &synced {
                // Some of its bytes may be lost although they can still be read: it is written anew.
                discard(temp);
                let why = match why.trouble() {
                    Trouble::DiskFull => StepError::DiskFull,
                    _ => StepError::Failed(why.to_string()),
                };
                (self.tell)(Applied::Failed(id, why));
                continue;
            }
            if !goal.let_in && self.turns_into_noise(&goal, &temp) {
                // It stays, and is taken up again if it is let in.
                (self.tell)(Applied::Failed(id, StepError::Noise));
                continue;
            }
            let name = temp.name().to_owned();
            let Goal { path, body, expect, .. } = &goal;
            let done = goal
                .check_source(&self.disk)
                .and_then(|()| self.disk.replace(temp, path, *expect, body.mtime_ns, body.executable));
            match done {
                Ok(applied) => {
                    self.made(id, path, Some(Stat::File(seen::stamp(&applied.stamp))));
                    let pieces: Vec<(Cid, Piece)> = refs
                        .iter()
                        .zip(&starts)
                        .map(|(r, start)| (r.cid, Piece { offset: *start, len: r.len, epoch: r.epoch }))
                        .collect();
                    placed.push((seen::stamp(&applied.stamp).id, pieces));
                }
                Err(why) => {
                    if matches!(why, ApplyError::NotStored { .. })
                        && let Ok(temp) = self.disk.temp(&name)
                    {
                        discard(temp);
                    }
                    (self.tell)(Applied::Failed(id, step_error(why)));
                }
            }
        }
        let rows = placed.iter().filter(|(_, pieces)| !pieces.is_empty()).map(|(id, pieces)| (*id, pieces.as_slice()));
        if let Err(why) = self.db.put_pieces(rows) {
            tracing::warn!(%why, "the places of new blocks could not be noted; others have to serve them");
        }
        self.settle();
    }
}

fn open_files_max() -> usize {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    (allowed / 8).clamp(OPEN_FILES_MIN, OPEN_FILES_MAX) as usize
}

/// Where a path lies.
fn parent(path: &FolderPath) -> FolderPath {
    path.parent().unwrap_or_else(FolderPath::root)
}

fn discard(temp: TempFile) {
    if let Err(why) = temp.discard() {
        tracing::warn!(%why, "a file that did not reach the disk could not be removed");
    }
}
