//! The owner of one folder: a thread that feeds the folder's two brains, the blind [`Replica`] and the member's [`Engine`],
//! and carries out what they ask, in order. Disk work goes to the folder's own worker threads; nothing here waits for a peer.
//!
//! What must hold: an op or head is durable before it is sent; the engine sees only heads the replica accepted; a vanished
//! folder is never taken for deletions. What a stop loses: steps not begun and blocks under way; they are asked for again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use cobox_core::engine::{Engine, Event, Input, Output, Setup, Standing, Stat, StepId};
use cobox_core::keys::{DeviceSecret, FolderKeys, Slot};
use cobox_core::members::{Author, Label, open_epochs, open_label, propose, repair_grants, witness};
use cobox_core::path::FolderPath;
use cobox_core::state::State;
use cobox_core::tree::Fetch;
use cobox_net::{FolderEvent, Inbox, Pass, Peer};
use cobox_proto::codec::Canonical;
use cobox_proto::hosting::{Holding, SignedReceipt, Ticket};
use cobox_proto::id::{Cid, EpochTag, FolderId, HeadId, OpId, SigKey};
use cobox_proto::members::{OpBody, Role, SignedOp};
use cobox_proto::replicate::{self, PeerId, Priority, Replica};
use cobox_proto::wire::proof::{KeyKind, Who};
use cobox_proto::wire::{AddressNote, LogPart, Message, OpEnvelopes};
use cobox_store::{BlockStore, HeadState};
use tokio::sync::{mpsc, oneshot};

use super::apply::{Applied, Applier, Order, Orders};
use super::config::{FolderConfig, Sort};
use super::db::FolderDb;
use super::grant_envelope;
use super::hash::{self, Ask, Asks, Hashed};
use super::look::{self, Looked};
use super::records::Records;
use super::serve::{Serve, Served, Server};
use crate::disk_tree::{DiskTree, RootError, WatchEvent, Watcher};

/// How long after a change the disk is looked at: editors write a file in several steps.
const SETTLE_MS: u64 = 60;
/// Everything is listed again this often, whatever the watcher says.
const RESCAN_MS: u64 = 10 * 60 * 1000;
/// ... and this often when there is no watcher.
const RESCAN_UNWATCHED_MS: u64 = 20 * 1000;
/// Paths that could not be written are tried again after this.
const STUCK_RETRY_MS: u64 = 15_000;
/// Versions set aside are looked through this often ...
const KEPT_LOOK_MS: u64 = 60 * 60 * 1000;
/// ... and dropped after this, when nobody has signed for having them ...
const KEPT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// ... or after this, when every seeder of the folder has.
const KEPT_BACKED_UP_MAX: Duration = Duration::from_secs(24 * 3600);
/// Ops per message when a log is handed to a seeder.
const CLAIM_OPS_PART: usize = 256;

/// What the daemon around a folder provides.
pub(crate) trait Surroundings: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
    /// Fresh random bytes.
    fn random(&self) -> [u8; 32];
    /// Something happened that people may want to know.
    fn tell(&self, folder: &FolderConfig, what: Happened);
    /// How others reach this device.
    fn ticket(&self) -> Option<Ticket>;
}

/// What happened in a folder.
#[derive(Debug, Clone)]
pub(crate) enum Happened {
    Engine(Event),
    BackupComplete { seeder: SigKey },
    PeersChanged,
    Problem { message: String },
}

/// What a folder is made from.
pub(crate) struct Parts {
    pub(crate) config: FolderConfig,
    pub(crate) config_path: std::path::PathBuf,
    pub(crate) device: DeviceSecret,
    pub(crate) slot: Slot,
    pub(crate) keys: Option<FolderKeys>,
    pub(crate) replica: Replica,
    pub(crate) records: Records,
    pub(crate) blocks: Arc<dyn BlockStore>,
    pub(crate) db_path: std::path::PathBuf,
    pub(crate) disk: Option<Arc<DiskTree>>,
    pub(crate) root_lost: Option<String>,
    pub(crate) keep_keys: Box<dyn Fn(&FolderKeys) + Send>,
}

/// How a seeder or member device stands.
#[derive(Debug, Clone)]
pub(crate) struct PeerRow {
    pub(crate) who: Who,
    /// What it last said it has joined and how many files it lacks.
    pub(crate) progress: Option<(Cid, u64)>,
    pub(crate) peer: Peer,
}

/// A question or command for the folder's thread.
type Question = Box<dyn FnOnce(&mut FolderActor) + Send>;

/// A running folder, from outside.
#[derive(Clone)]
pub(crate) struct FolderHandle {
    pub(crate) id: FolderId,
    pub(crate) inbox: Inbox,
    questions: mpsc::UnboundedSender<Question>,
}

impl std::fmt::Debug for FolderHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FolderHandle({})", self.id.short())
    }
}

impl FolderHandle {
    /// Asks the folder's thread; `None` if it has stopped.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut FolderActor) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |actor| {
            let _ = answer.send(f(actor));
        });
        self.questions.send(question).ok()?;
        answered.await.ok()
    }
}

/// From the folder's own threads.
enum Inner {
    Applied(Applied),
    Hashed(Vec<Hashed>),
    Looked(Looked),
    Served(Served),
    Watched(WatchEvent),
}

struct Disk {
    tree: Arc<DiskTree>,
    applier: Orders,
    hasher: Asks,
    looker: std_mpsc::Sender<Vec<FolderPath>>,
    watcher: Option<Watcher>,
}

/// See the module.
pub(crate) struct FolderActor {
    pub(crate) config: FolderConfig,
    config_path: std::path::PathBuf,
    pub(crate) folder: FolderId,
    pub(crate) device: DeviceSecret,
    pub(crate) slot: Slot,
    pub(crate) replica: Replica,
    pub(crate) engine: Option<Engine>,
    keys: Option<Arc<FolderKeys>>,
    keep_keys: Box<dyn Fn(&FolderKeys) + Send>,
    records: Records,
    blocks: Arc<dyn BlockStore>,
    db: FolderDb,
    disk: Option<Disk>,
    server: std_mpsc::Sender<Serve>,
    around: Arc<dyn Surroundings>,
    inner: mpsc::UnboundedSender<Inner>,
    pub(crate) peers: BTreeMap<PeerId, PeerRow>,
    /// Seeders to whom the log is to be handed when their channel opens.
    claims: BTreeMap<SigKey, oneshot::Sender<Result<(), String>>>,
    /// Channels on which only a claim is spoken.
    claiming: BTreeMap<PeerId, (Peer, oneshot::Sender<Result<(), String>>)>,
    attaching: BTreeMap<PeerId, oneshot::Sender<Result<(), String>>>,
    /// Paths to look at, and since when they wait; an empty list is everything.
    look_next: Option<(u64, Vec<FolderPath>)>,
    looking: bool,
    reading: u64,
    next_rescan_ms: u64,
    next_retry_ms: u64,
    wake_ms: Option<u64>,
    scan_waiters: Vec<oneshot::Sender<()>>,
    scan_requested: VecDeque<oneshot::Sender<()>>,
    /// Blocks whose bytes wait for the replica's word.
    arriving: Option<bytes::Bytes>,
    engine_wants: BTreeSet<Cid>,
    pub(crate) root_lost: Option<String>,
    pub(crate) skipped: Vec<(String, String)>,
    pub(crate) unreadable: Vec<(FolderPath, String)>,
    told_progress: Option<(Cid, u64)>,
    announced: Option<Ticket>,
    db_path: std::path::PathBuf,
    next_attach_ms: u64,
    next_kept_look_ms: u64,
    stopping: bool,
}

/// Starts a folder's thread. `runtime` is where blocks are sent from.
pub(crate) fn start(
    parts: Parts,
    around: Arc<dyn Surroundings>,
    runtime: tokio::runtime::Handle,
) -> Result<FolderHandle, super::db::DbError> {
    let folder = parts.replica.folder();
    let (inbox, inbox_rx) = mpsc::channel(cobox_net::INBOX_MAX);
    let (questions, questions_rx) = mpsc::unbounded_channel();
    let (inner, inner_rx) = mpsc::unbounded_channel();
    let db = FolderDb::open(&parts.db_path)?;
    let (server, server_rx) = std_mpsc::channel();
    let serving =
        Server { disk: parts.disk.clone(), db: FolderDb::open(&parts.db_path)?, blocks: parts.blocks.clone(), runtime };
    let tell = inner.clone();
    spawn(&folder, "serve", move || serving.run(&server_rx, move |served| drop(tell.send(Inner::Served(served)))));
    let mut actor = FolderActor {
        config: parts.config,
        config_path: parts.config_path,
        folder,
        device: parts.device,
        slot: parts.slot,
        replica: parts.replica,
        engine: None,
        keys: None,
        keep_keys: parts.keep_keys,
        records: parts.records,
        blocks: parts.blocks,
        db,
        disk: None,
        server,
        around,
        inner,
        peers: BTreeMap::new(),
        claims: BTreeMap::new(),
        claiming: BTreeMap::new(),
        attaching: BTreeMap::new(),
        look_next: None,
        looking: false,
        reading: 0,
        next_rescan_ms: 0,
        next_retry_ms: u64::MAX,
        wake_ms: None,
        scan_waiters: Vec::new(),
        scan_requested: VecDeque::new(),
        arriving: None,
        engine_wants: BTreeSet::new(),
        root_lost: parts.root_lost,
        skipped: Vec::new(),
        unreadable: Vec::new(),
        told_progress: None,
        announced: None,
        db_path: parts.db_path.clone(),
        next_attach_ms: 0,
        next_kept_look_ms: 0,
        stopping: false,
    };
    if let Some(keys) = parts.keys {
        actor.take_keys(keys);
    }
    if let Some(disk) = parts.disk {
        actor.attach_disk(disk, &parts.db_path)?;
    }
    spawn(&folder, "folder", move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        match runtime {
            Ok(runtime) => runtime.block_on(actor.run(inbox_rx, questions_rx, inner_rx)),
            Err(why) => tracing::error!(%why, "a folder's thread could not start"),
        }
    });
    Ok(FolderHandle { id: folder, inbox, questions })
}

fn spawn(folder: &FolderId, job: &str, work: impl FnOnce() + Send + 'static) {
    let name = format!("{job}-{}", folder.short());
    std::thread::Builder::new().name(name).spawn(work).expect("the system has room for another thread");
}

impl FolderActor {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<FolderEvent>,
        mut questions: mpsc::UnboundedReceiver<Question>,
        mut inner: mpsc::UnboundedReceiver<Inner>,
    ) {
        self.membership_changed();
        self.look_at(Vec::new());
        self.carry_out();
        while !self.stopping {
            let now = self.around.now_ms();
            let due = self.due_ms(now);
            tokio::select! {
                event = inbox.recv() => match event {
                    Some(event) => self.peer_event(event),
                    None => break,
                },
                question = questions.recv() => match question {
                    Some(question) => question(&mut self),
                    None => break,
                },
                Some(inner) = inner.recv() => self.inner_event(inner),
                () = tokio::time::sleep(Duration::from_millis(due.saturating_sub(now))) => self.time_passed(),
            }
            self.carry_out();
        }
        if let Some(disk) = &self.disk {
            let _ = disk.applier.send(Order::Stop);
            let _ = disk.hasher.send(Ask::Stop);
        }
        for row in self.peers.values() {
            row.peer.close();
        }
    }

    fn due_ms(&self, now: u64) -> u64 {
        let look = self.look_next.as_ref().filter(|_| !self.looking).map(|(since, _)| since + SETTLE_MS);
        let rescan = self.disk.as_ref().map(|_| self.next_rescan_ms);
        [self.replica.poll_timeout(), self.wake_ms, look, rescan, Some(self.next_retry_ms)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now + 60_000)
            .min(now + 60_000)
    }

    fn time_passed(&mut self) {
        let now = self.around.now_ms();
        self.replica.handle(now, replicate::Input::Tick);
        if self.wake_ms.is_some_and(|due| due <= now) {
            self.wake_ms = None;
            self.tell_engine(Input::Woken);
        }
        if self.next_retry_ms <= now {
            self.next_retry_ms = u64::MAX;
            if let Some(engine) = &mut self.engine {
                engine.retry_stuck();
            }
        }
        if self.disk.is_some() && self.next_rescan_ms <= now {
            self.look_at(Vec::new());
        }
        self.find_root_again(now);
        self.drop_old_versions(now);
        self.announce();
        self.look_if_due(now);
    }

    /// Versions set aside serve their blocks until others are known to have them, and do not fill the disk for ever.
    fn drop_old_versions(&mut self, now: u64) {
        let Some(disk) = self.disk.as_ref().filter(|_| self.next_kept_look_ms <= now) else { return };
        self.next_kept_look_ms = now + KEPT_LOOK_MS;
        let seeders = self.replica.membership().roster().seeders();
        let safe = !seeders.is_empty() && seeders.iter().all(|seeder| self.backed_up(&seeder.key).is_some());
        let age_max = if safe { KEPT_BACKED_UP_MAX } else { KEPT_MAX };
        let kept = disk.tree.list_kept().unwrap_or_default();
        let old = kept
            .into_iter()
            .filter(|id| id.kept_at().and_then(|at| at.elapsed().ok()).is_some_and(|age| age > age_max));
        for id in old {
            let dropped = self.db.drop_kept(&id).map_err(|why| why.to_string());
            if let Err(why) = dropped.and_then(|()| disk.tree.drop_kept(&id).map_err(|why| why.to_string())) {
                tracing::warn!(why, "an old version set aside could not be dropped");
            }
        }
    }

    /// A directory that was not there at the start may have come back.
    fn find_root_again(&mut self, now: u64) {
        let Some(path) = self.config.path.clone().filter(|_| self.disk.is_none() && self.next_attach_ms <= now) else {
            return;
        };
        self.next_attach_ms = now + RESCAN_UNWATCHED_MS;
        if let Ok(tree) = DiskTree::open(&path, self.folder) {
            let db_path = self.db_path.clone();
            match self.attach_disk(Arc::new(tree), &db_path) {
                Ok(()) => {
                    self.root_lost = None;
                    self.look_at(Vec::new());
                }
                Err(why) => self.trouble(why.to_string()),
            }
        }
    }

    fn tell_engine(&mut self, input: Input) {
        let now = self.around.now_ms();
        if let Some(engine) = &mut self.engine {
            engine.handle(now, input);
        }
    }

    // ---- peers ---------------------------------------------------------------------------------------------------

    fn peer_event(&mut self, event: FolderEvent) {
        let now = self.around.now_ms();
        match event {
            FolderEvent::MayEnter { who, answer } => {
                if !self.config.paused && self.replica.reach(&who, now).is_some() {
                    let _ = answer.send(self.pass());
                }
            }
            FolderEvent::Opened { peer, who } => self.peer_opened(now, peer, who),
            FolderEvent::Closed { peer } => {
                self.peers.remove(&peer);
                self.claiming.remove(&peer);
                self.attaching.remove(&peer);
                self.replica.handle(now, replicate::Input::PeerClosed { peer });
                self.around.tell(&self.config, Happened::PeersChanged);
            }
            FolderEvent::Message { peer, message } => self.message(now, peer, message),
            FolderEvent::Block { peer, cid, bytes } => {
                let len = bytes.len() as u64;
                self.arriving = Some(bytes);
                self.replica.handle(now, replicate::Input::BlockArrived { peer, cid, bytes: len });
                self.carry_out_replica();
                self.arriving = None;
            }
        }
    }

    /// Our key here.
    pub(crate) fn pass(&self) -> Pass {
        Pass { kind: KeyKind::Device, key: self.device.sig.clone() }
    }

    fn peer_opened(&mut self, now: u64, peer: Peer, who: Who) {
        if who.kind == KeyKind::Seeder
            && let Some(answer) = self.claims.remove(&who.key)
        {
            for part in self.log_parts() {
                peer.send(Message::Claim(part));
            }
            self.claiming.insert(peer.id, (peer, answer));
            return;
        }
        let id = peer.id;
        self.peers.insert(id, PeerRow { who, progress: None, peer });
        self.replica.handle(now, replicate::Input::PeerOpened { peer: id, who, ours: KeyKind::Device });
        self.told_progress = None;
        self.around.tell(&self.config, Happened::PeersChanged);
        // A holder of what was missing may be here now.
        self.next_retry_ms = self.next_retry_ms.min(now + 200);
    }

    fn message(&mut self, now: u64, peer: PeerId, message: Message) {
        if let Some((channel, answer)) = self.claiming.remove(&peer) {
            let told = match message {
                Message::Claimed => Ok(()),
                Message::ClaimRefused(why) => Err(why.to_string()),
                _ => Err("the seeder answered something else".into()),
            };
            channel.close();
            let _ = answer.send(told);
            return;
        }
        match message {
            Message::VaultAttached | Message::VaultRefused(_) => {
                if let Some(answer) = self.attaching.remove(&peer) {
                    let told = if let Message::VaultRefused(why) = message { Err(why.to_string()) } else { Ok(()) };
                    let _ = answer.send(told);
                }
            }
            Message::Progress { root, missing_files } => {
                if let Some(row) = self.peers.get_mut(&peer) {
                    row.progress = Some((root, missing_files));
                }
            }
            message => self.replica.handle(now, replicate::Input::Received { peer, message }),
        }
    }

    /// The log in pieces, for a seeder that does not know the folder.
    pub(crate) fn log_parts(&self) -> Vec<LogPart> {
        let log = self.replica.membership().log();
        let ops: Vec<Vec<u8>> = log.ops().map(|op| op.bytes().to_vec()).collect();
        let parts = ops.len().div_ceil(CLAIM_OPS_PART).max(1);
        (0..parts)
            .map(|i| LogPart {
                genesis: if i == 0 { log.genesis().to_bytes() } else { Vec::new() },
                ops: ops.iter().skip(i * CLAIM_OPS_PART).take(CLAIM_OPS_PART).cloned().collect(),
                last: i + 1 == parts,
            })
            .collect()
    }

    /// Hands the log to a seeder as soon as a channel to it is open; the answer says whether it keeps the folder.
    pub(crate) fn claim_when_open(&mut self, seeder: SigKey) -> oneshot::Receiver<Result<(), String>> {
        let (answer, answered) = oneshot::channel();
        self.claims.insert(seeder, answer);
        answered
    }

    /// Asks a connected seeder of this folder to keep the person's vault too.
    pub(crate) fn attach_vault(
        &mut self,
        seeder: SigKey,
        vault: Vec<LogPart>,
    ) -> Option<oneshot::Receiver<Result<(), String>>> {
        let row = self.peers.values().find(|row| row.who.kind == KeyKind::Seeder && row.who.key == seeder)?;
        for part in vault {
            row.peer.send(Message::AttachVault(part));
        }
        let (answer, answered) = oneshot::channel();
        self.attaching.insert(row.peer.id, answer);
        Some(answered)
    }

    // ---- carrying out --------------------------------------------------------------------------------------------

    /// Carries out what both brains ask until neither asks more.
    fn carry_out(&mut self) {
        loop {
            let replica = self.carry_out_replica();
            let engine = self.carry_out_engine();
            if !replica && !engine {
                break;
            }
        }
        self.tell_progress();
    }

    fn carry_out_replica(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.replica.poll_output() {
            any = true;
            self.replica_output(output);
        }
        any
    }

    fn replica_output(&mut self, output: replicate::Output) {
        use replicate::Output as O;
        match output {
            O::Send { peer, message } => {
                if let Some(row) = self.peers.get(&peer) {
                    row.peer.send(message);
                }
            }
            O::SendBlock { peer, cid } => {
                if let Some(row) = self.peers.get(&peer) {
                    let _ = self.server.send(Serve { peer: row.peer.clone(), cid, keys: self.keys.clone() });
                }
            }
            O::OpsAdded(ids) => {
                let ops: Vec<&SignedOp> = ids.iter().filter_map(|id| self.replica.membership().op(id)).collect();
                if let Err(why) = self.records.put_ops(ops.iter().copied()) {
                    self.trouble(why.to_string());
                }
                self.membership_changed();
            }
            O::EnvelopesAdded(sent) => {
                if let Err(why) = self.records.put_envelopes(&sent) {
                    self.trouble(why.to_string());
                }
                self.membership_changed();
            }
            O::HeadAccepted(id) => {
                let Some(head) = self.replica.heads().get(&id).cloned() else { return };
                if let Err(why) = self.records.put_head(&head, HeadState::Accepted, self.around.now_ms()) {
                    self.trouble(why.to_string());
                }
                self.tell_engine(Input::Head(Box::new(head)));
            }
            O::HeadQuarantined(id) => {
                if let Some(head) = self.replica.heads().get(&id)
                    && let Err(why) = self.records.put_head(head, HeadState::Quarantined, self.around.now_ms())
                {
                    tracing::warn!(%why, "a head in quarantine could not be kept");
                }
            }
            O::HeadRefused { device, why, .. } => {
                self.trouble(format!("device {} sent a state that was refused: {why}", device.short()));
            }
            O::DeviceForked { device, .. } => {
                self.trouble(format!(
                    "device {} seems to be duplicated: two copies of it write at once",
                    device.short()
                ));
            }
            O::BlockTaken { cid, .. } => self.block_taken(cid),
            O::BlockDropped { .. } => {}
            O::ReceiptArrived(receipt) => self.receipt_arrived(&receipt),
            O::SeederRolledBack { seeder, .. } => {
                self.trouble(format!("seeder {} has lost a state it signed for", seeder.short()));
            }
            O::AddressesArrived(note) => {
                if let Err(why) = self.records.put_address(&note) {
                    tracing::warn!(%why, "an address could not be kept");
                }
                self.around.tell(&self.config, Happened::PeersChanged);
            }
            O::Stale { .. } => self.membership_changed(),
            O::ClosePeer { peer, why } => {
                tracing::debug!(%why, "a peer is closed");
                if let Some(row) = self.peers.remove(&peer) {
                    row.peer.close();
                }
            }
        }
    }

    fn trouble(&self, message: String) {
        tracing::warn!(folder = %self.folder.short(), message, "trouble");
        self.around.tell(&self.config, Happened::Problem { message });
    }

    fn receipt_arrived(&mut self, receipt: &SignedReceipt) {
        let r = receipt.receipt();
        if let Err(why) = self.records.put_receipt(receipt) {
            tracing::warn!(%why, "a receipt could not be kept");
        }
        if r.holding == Holding::Complete {
            self.around.tell(&self.config, Happened::BackupComplete { seeder: r.seeder });
        }
    }

    fn block_taken(&mut self, cid: Cid) {
        let Some(bytes) = self.arriving.take() else { return };
        if self.engine_wants.remove(&cid) {
            if let Err(why) = self.blocks.put_many(&[(cid, &bytes)]) {
                self.trouble(why.to_string());
            }
            self.tell_engine(Input::Block { cid, bytes: bytes.to_vec() });
        } else if let Some(disk) = &self.disk {
            let _ = disk.applier.send(Order::Block(cid, bytes));
        } else if let Err(why) = self.blocks.put_many(&[(cid, &bytes)]) {
            self.trouble(why.to_string());
        }
    }

    fn carry_out_engine(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.engine.as_mut().and_then(Engine::poll_output) {
            any = true;
            self.engine_output(output);
        }
        any
    }

    fn engine_output(&mut self, output: Output) {
        let now = self.around.now_ms();
        match output {
            Output::Hash(files) => {
                if let (Some(disk), Some(keys)) = (&self.disk, &self.keys)
                    && let Some(epoch) = self.epoch()
                {
                    self.reading += files.len() as u64;
                    let _ = disk.hasher.send(Ask::Read(files, keys.clone(), epoch));
                }
            }
            Output::Store(blocks) => {
                let rows: Vec<(Cid, &[u8])> = blocks.iter().map(|b| (b.cid, b.bytes.as_slice())).collect();
                if let Err(why) = self.blocks.put_many(&rows) {
                    self.trouble(why.to_string());
                }
            }
            Output::Remember(memory) => {
                if let Err(why) = self.db.remember(&memory) {
                    self.trouble(why.to_string());
                }
            }
            Output::Publish(head) => {
                if let Err(why) = self.records.put_head(&head, HeadState::Accepted, now) {
                    return self.trouble(why.to_string());
                }
                self.replica.handle(now, replicate::Input::LocalHead(head));
            }
            Output::Want(cids) => self.engine_wanted(now, cids),
            Output::Do(steps) => {
                if let Some(disk) = &self.disk {
                    let _ = disk.applier.send(Order::Do(steps));
                }
            }
            Output::Cancel(id) => {
                if let Some(disk) = &self.disk {
                    let _ = disk.applier.send(Order::Cancel(id));
                }
            }
            Output::Rescan(paths) => self.look_at(paths),
            Output::Tell(event) => self.around.tell(&self.config, Happened::Engine(event)),
            Output::WakeAt(at) => self.wake_ms = Some(self.wake_ms.map_or(at, |due| due.min(at))),
        }
    }

    /// Nodes of a tree: from the kept blocks, else from peers.
    fn engine_wanted(&mut self, now: u64, cids: Vec<Cid>) {
        let mut missing = Vec::new();
        for cid in cids {
            match self.blocks.get(&cid) {
                Ok(Some(bytes)) => self.tell_engine(Input::Block { cid, bytes }),
                _ => {
                    if self.engine_wants.insert(cid) {
                        missing.push(cid);
                    }
                }
            }
        }
        if !missing.is_empty() {
            self.replica.handle(now, replicate::Input::Want { cids: missing, priority: Priority::Tree });
        }
    }

    /// Tells connected members how far we are, so that they can say whether all are in step.
    fn tell_progress(&mut self) {
        let Some(engine) = &self.engine else { return };
        let summary = engine.summary_pending();
        let now = (engine.root(), summary);
        if self.told_progress == Some(now) {
            return;
        }
        self.told_progress = Some(now);
        for row in self.peers.values().filter(|row| row.who.kind == KeyKind::Device) {
            row.peer.send(Message::Progress { root: now.0, missing_files: now.1 });
        }
    }

    // ---- membership ----------------------------------------------------------------------------------------------

    fn author(&self) -> Option<Author<'_>> {
        let (_, member) = self.replica.membership().roster().device(&self.device.public().sig)?;
        Some(Author { grant: member.grant, key: &self.device.sig })
    }

    /// The epoch to write under, if its secret is here.
    pub(crate) fn epoch(&self) -> Option<EpochTag> {
        let epoch = self.replica.membership().roster().writable_epoch()?.tag();
        self.keys.as_ref().filter(|keys| keys.has_epoch(&epoch)).map(|_| epoch)
    }

    /// The keys held here.
    pub(crate) fn keys(&self) -> Option<&Arc<FolderKeys>> {
        self.keys.as_ref()
    }

    fn standing(&self) -> Standing {
        let roster = self.replica.membership().roster();
        Standing {
            auth: self.replica.membership().frontier(),
            epoch: self.epoch(),
            can_write: roster.can_write(&self.device.public().sig) && self.epoch().is_some(),
            depths: roster.epochs().map(|epoch| (epoch.id.tag(), epoch.depth.into())).collect(),
        }
    }

    /// The log or its envelopes grew: new keys are opened, joins witnessed, missing grants given.
    fn membership_changed(&mut self) {
        self.open_keys();
        self.witness_joins();
        self.give_missing_grants();
        self.start_engine();
        let standing = self.standing();
        self.tell_engine(Input::Standing(standing));
        self.announce();
    }

    fn open_keys(&mut self) {
        let membership = self.replica.membership();
        let envelopes: Vec<_> = membership
            .log()
            .ops()
            .filter_map(|op| self.replica.envelopes().of(&op.id()))
            .flat_map(|sent| sent.envelopes)
            .collect();
        let known = self.keys.as_deref().cloned();
        let opened = open_epochs(
            membership.log(),
            membership.roster(),
            &envelopes,
            &[&self.device.hpke, &self.slot.hpke],
            known,
        );
        if !opened.new.is_empty()
            && let Some(keys) = opened.keys
        {
            self.take_keys(keys);
        }
    }

    fn take_keys(&mut self, keys: FolderKeys) {
        (self.keep_keys)(&keys);
        self.tell_engine(Input::Keys(Box::new(keys.clone())));
        let keys = Arc::new(keys);
        if let Some(disk) = &self.disk {
            let _ = disk.applier.send(Order::Keys(keys.clone()));
        }
        self.keys = Some(keys);
    }

    /// Whoever sees a join first lets it take effect, if the invite still stands by our clock (rule R13).
    fn witness_joins(&mut self) {
        let now = self.around.now_ms();
        let Some(author) = self.author() else { return };
        let membership = self.replica.membership();
        let roster = membership.roster();
        if membership.roster().policy().approve_joins {
            return;
        }
        let witnessed: BTreeSet<OpId> = membership
            .log()
            .ops()
            .filter_map(|op| match &op.op().body {
                OpBody::Witness { join, .. } => Some(*join),
                _ => None,
            })
            .collect();
        let mut due = Vec::new();
        for op in membership.log().ops() {
            let OpBody::Join { invite, .. } = &op.op().body else { continue };
            let open = roster.invite(invite).is_some_and(|i| i.open && now <= i.expires_ms);
            if open && !witnessed.contains(&op.id()) && roster.member(&op.id()).is_none() {
                match witness(membership.log(), author, op.id(), now) {
                    Ok(op) => due.push(op),
                    Err(why) => tracing::warn!(%why, "a join could not be witnessed"),
                }
            }
        }
        if !due.is_empty() {
            self.add_ops(due, Vec::new());
        }
    }

    fn give_missing_grants(&mut self) {
        let random = self.around.random();
        let (Some(author), Some(keys)) = (self.author(), self.keys.clone()) else { return };
        let membership = self.replica.membership();
        if membership.roster().missing_grants().is_empty() {
            return;
        }
        match repair_grants(membership.log(), membership.roster(), &keys, author, &random) {
            Ok(granted) if !granted.is_empty() => {
                let envelopes = granted.iter().map(|g| grant_envelope(g.op.id(), g.envelope.clone())).collect();
                self.add_ops(granted.into_iter().map(|g| g.op).collect(), envelopes);
            }
            Ok(_) => {}
            Err(why) => tracing::debug!(%why, "keys could not be handed on"),
        }
    }

    /// Makes ops durable, then lets everybody have them.
    pub(crate) fn add_ops(&mut self, ops: Vec<SignedOp>, envelopes: Vec<OpEnvelopes>) {
        let now = self.around.now_ms();
        if let Err(why) = self.records.put_ops(ops.iter()) {
            return self.trouble(why.to_string());
        }
        for sent in &envelopes {
            if let Err(why) = self.records.put_envelopes(sent) {
                return self.trouble(why.to_string());
            }
        }
        self.replica.handle(now, replicate::Input::LocalOps { ops, envelopes });
    }

    /// The names members gave themselves, by the op that admitted them.
    pub(crate) fn member_name(&self, grant: &OpId) -> Option<String> {
        let membership = self.replica.membership();
        let keys = self.keys.as_deref()?;
        if let Some(op) = membership.op(grant) {
            return open_label(keys, op.op()).ok().flatten();
        }
        // The founder came in by the genesis, which has no room for a name: their first policy says it.
        let named = |op: &&SignedOp| {
            matches!(op.op().body, OpBody::Policy { .. }) && op.op().signers.iter().any(|signer| signer.grant == *grant)
        };
        let op = membership.log().ops().find(named)?;
        open_label(keys, op.op()).ok().flatten()
    }

    /// Writes an op of our own.
    pub(crate) fn propose(&mut self, body: OpBody) -> Result<OpId, String> {
        let author = self.author().ok_or("this device is no member of the folder")?;
        let op = propose(self.replica.membership().log(), author, body).map_err(|why| why.to_string())?;
        let id = op.id();
        self.add_ops(vec![op], Vec::new());
        Ok(id)
    }

    /// Our role, if we are a member.
    pub(crate) fn role(&self) -> Option<Role> {
        self.replica.membership().roster().device(&self.device.public().sig).map(|(_, member)| member.role)
    }

    /// The author for ops that others build.
    pub(crate) fn with_author<T>(&self, f: impl FnOnce(&Replica, Author<'_>, &FolderKeys) -> T) -> Option<T> {
        Some(f(&self.replica, self.author()?, self.keys.as_deref()?))
    }

    /// A label under the current epoch.
    pub(crate) fn label<'a>(&'a self, text: &'a str) -> Option<Label<'a>> {
        Some(Label { keys: self.keys.as_deref()?, epoch: self.epoch()?, text })
    }

    // ---- the engine ----------------------------------------------------------------------------------------------

    /// Starts the engine once there are keys: with what was remembered, or empty.
    fn start_engine(&mut self) {
        if self.engine.is_some() {
            return;
        }
        let (Some(keys), Some(epoch)) = (self.keys.clone(), self.epoch()) else { return };
        let setup = || Setup {
            folder: self.folder,
            keys: (*keys).clone(),
            device: self.device.sig.clone(),
            entropy: self.around.random(),
            standing: self.standing(),
        };
        let heads: Vec<_> =
            self.replica.heads().iter().filter(|head| self.replica.heads().counts(&head.id())).cloned().collect();
        let remembered = self.db.remembered().ok().flatten();
        let engine = remembered.and_then(|remembered| {
            let (state, tree) = load(&*self.blocks, remembered.root, &keys)?;
            let synced = self.db.synced().ok()?;
            Some(Engine::new(setup(), state, tree, remembered.frontier, &heads, synced))
        });
        let mut engine = match engine {
            Some(engine) => engine,
            None => {
                // Nothing was remembered, or it can not be read: begin empty. The heads are joined again, and what lies on
                // the disk is compared with them file by file; equal content merges, nothing is deleted (I5).
                let mut engine = Engine::empty(setup(), epoch);
                let now = self.around.now_ms();
                for head in heads {
                    engine.handle(now, Input::Head(Box::new(head)));
                }
                engine
            }
        };
        if self.config.sort == Sort::Vault {
            engine.run_without_disk();
        }
        self.engine = Some(engine);
        self.look_at(Vec::new());
    }

    // ---- addresses and settings ----------------------------------------------------------------------------------

    /// Machines to be called about this folder: its seeders, members that an invite named, members that said where they are.
    pub(crate) fn contacts(&self) -> Vec<Ticket> {
        let seeders = self.config.seeders.iter().filter_map(|seeder| seeder.ticket());
        let contacts = self.config.contacts.iter().filter_map(|text| Ticket::from_text(text).ok());
        let own = self.device.public().sig;
        let notes = self.replica.addresses().filter(|note| note.device != own).filter_map(|note| self.open_note(note));
        seeders.chain(contacts).chain(notes).collect()
    }

    fn open_note(&self, note: &AddressNote) -> Option<Ticket> {
        let (epoch, sealed) = note.sealed.split_first_chunk::<16>()?;
        let plain = self.keys.as_deref()?.open_note(&EpochTag(*epoch), "addresses", &note.device.0, sealed).ok()?;
        Ticket::from_bytes(&plain).ok()
    }

    /// Tells the other members, sealed, where this device is, if that is news.
    fn announce(&mut self) {
        let now = self.around.now_ms();
        let (Some(ticket), Some(epoch)) = (self.around.ticket(), self.epoch()) else { return };
        if self.announced.as_ref() == Some(&ticket) || self.author().is_none() {
            return;
        }
        let device = self.device.public().sig;
        let Some(Ok(sealed)) =
            self.keys.as_deref().map(|keys| keys.seal_note(&epoch, "addresses", &device.0, &ticket.to_bytes()))
        else {
            return;
        };
        let note = AddressNote::sign(&self.device.sig, &self.folder, now, [&epoch.0[..], &sealed].concat());
        self.announced = Some(ticket);
        self.replica.handle(now, replicate::Input::LocalAddresses(note));
    }

    /// Whether this machine has the folder open with us already.
    pub(crate) fn has_peer_at(&self, remote: &SigKey) -> bool {
        self.peers.values().any(|row| row.peer.remote == *remote)
            || self.claiming.values().any(|(p, _)| p.remote == *remote)
    }

    /// Neither sends nor receives from now on, or does again.
    pub(crate) fn set_paused(&mut self, paused: bool) {
        self.config.paused = paused;
        self.save_config();
        if paused {
            for row in self.peers.values() {
                row.peer.close();
            }
        }
    }

    /// A person decided about held deletions.
    pub(crate) fn decide(&mut self, approve: bool) {
        self.tell_engine(Input::Decide { approve });
    }

    /// Whether every head that is known is joined, and at least one is.
    pub(crate) fn tree_is_known(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| !engine.frontier().is_empty() && engine.is_merged())
    }

    /// Saves the folder's settings.
    pub(crate) fn save_config(&mut self) {
        if let Err(why) = self.config.save(&self.config_path) {
            self.trouble(why.to_string());
        }
    }

    /// Ends the thread after this.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// A receipt of this seeder for a head of our root.
    pub(crate) fn backed_up(&self, seeder: &SigKey) -> Option<&SignedReceipt> {
        let root = self.engine.as_ref()?.root();
        self.replica.receipts().find(|receipt| {
            let r = receipt.receipt();
            r.seeder == *seeder
                && r.holding == Holding::Complete
                && self.replica.heads().get(&r.head).is_some_and(|head| head.head().root == root)
        })
    }

    /// The newest receipt of this seeder, whatever it says.
    pub(crate) fn newest_receipt(&self, seeder: &SigKey) -> Option<&SignedReceipt> {
        self.replica.receipts().filter(|r| r.receipt().seeder == *seeder).max_by_key(|r| r.receipt().received_ms)
    }

    /// Whether everything seen on this disk is joined, published, at every connected member and at every connected seeder.
    pub(crate) fn in_step(&self) -> bool {
        let Some(engine) = &self.engine else { return false };
        let summary = engine.summary();
        let disk_settled = self.disk.is_none()
            || self.look_next.is_none() && !self.looking && self.reading == 0 && self.root_lost.is_none();
        let peers_settled = self.peers.values().all(|row| match row.who.kind {
            KeyKind::Device => row.progress == Some((engine.root(), 0)),
            KeyKind::Seeder => self.backed_up(&row.who.key).is_some(),
            _ => true,
        });
        disk_settled && summary.settled && summary.pending_files == 0 && peers_settled
    }

    /// A file of a vault, whole. Vault files are small.
    pub(crate) fn vault_file(&self, path: &FolderPath) -> Option<Vec<u8>> {
        let (_, _, body) = self.engine.as_ref()?.leaf_at(path)?;
        match &body.content {
            cobox_core::state::Content::Inline(bytes) => Some(bytes.to_vec()),
            cobox_core::state::Content::Refs(refs) => {
                let keys = self.keys.as_deref()?;
                let mut whole = Vec::new();
                for r in refs.iter() {
                    let sealed = self.blocks.get(&r.cid).ok()??;
                    whole.extend(cobox_core::content::open_chunk(keys, r, &sealed).ok()?);
                }
                Some(whole)
            }
            cobox_core::state::Content::Manifest(_) => None,
        }
    }

    /// Writes a file of a vault.
    pub(crate) fn put_vault_file(&mut self, path: &FolderPath, bytes: &[u8]) {
        let now = self.around.now_ms();
        let (Some(keys), Some(epoch)) = (self.keys.clone(), self.epoch()) else { return };
        let sealed = cobox_core::content::seal_small(&keys, epoch, bytes, (now as i64).saturating_mul(1_000_000));
        let rows: Vec<(Cid, &[u8])> = sealed.blocks.iter().map(|b| (b.cid, b.bytes.as_slice())).collect();
        if let Err(why) = self.blocks.put_many(&rows) {
            return self.trouble(why.to_string());
        }
        if let Some(engine) = &mut self.engine {
            engine.put_virtual(now, path, sealed.body);
        }
    }

    /// Asks for the chunks of the vault's files that are not here.
    pub(crate) fn want_vault_blocks(&mut self) -> bool {
        let Some(engine) = &self.engine else { return false };
        let mut missing = Vec::new();
        for leaf in engine.view().entries.values().filter_map(cobox_core::state::ViewEntry::shown) {
            if let Some(cobox_core::state::Content::Refs(refs)) = leaf.body(engine.state()).map(|b| b.content.clone()) {
                missing.extend(refs.iter().map(|r| r.cid).filter(|cid| !self.blocks.has(cid).unwrap_or(false)));
            }
        }
        if missing.is_empty() {
            return false;
        }
        let now = self.around.now_ms();
        self.replica.handle(now, replicate::Input::Want { cids: missing, priority: Priority::Now });
        true
    }

    // ---- the disk ------------------------------------------------------------------------------------------------

    fn attach_disk(&mut self, tree: Arc<DiskTree>, db_path: &std::path::Path) -> Result<(), super::db::DbError> {
        let (applier, applier_rx) = std_mpsc::channel();
        let (hasher, hasher_rx) = std_mpsc::channel();
        let (looker, looker_rx) = std_mpsc::channel();
        let folder = self.folder;
        if let Some(keys) = self.keys.clone() {
            self.spawn_applier(tree.clone(), db_path, keys, applier_rx)?;
        } else {
            // Without keys there is nothing to write; the keys come as the first order.
            let tell = self.inner.clone();
            let db = FolderDb::open(db_path)?;
            let (disk, blocks) = (tree.clone(), self.blocks.clone());
            spawn(&folder, "apply", move || {
                while let Ok(order) = applier_rx.recv() {
                    match order {
                        Order::Keys(keys) => {
                            let tell = Box::new(move |applied| drop(tell.send(Inner::Applied(applied))));
                            return Applier::new(disk, db, blocks, keys, tell).run(&applier_rx);
                        }
                        Order::Stop => return,
                        _ => {}
                    }
                }
            });
        }
        let (disk, db, tell) = (tree.clone(), FolderDb::open(db_path)?, self.inner.clone());
        spawn(&folder, "hash", move || {
            hash::run(&disk, db, &hasher_rx, &|hashed| drop(tell.send(Inner::Hashed(hashed))));
        });
        let (disk, tell) = (tree.clone(), self.inner.clone());
        spawn(&folder, "look", move || {
            look::run(&disk, &looker_rx, &|looked| drop(tell.send(Inner::Looked(looked))));
        });
        let tell = self.inner.clone();
        let watcher = Watcher::start(&tree, Box::new(move |event| drop(tell.send(Inner::Watched(event)))));
        let watcher = match watcher {
            Ok(watcher) => Some(watcher),
            Err(why) => {
                tracing::warn!(%why, "changes can not be watched; the folder is listed instead");
                None
            }
        };
        self.disk = Some(Disk { tree, applier, hasher, looker, watcher });
        Ok(())
    }

    fn spawn_applier(
        &self,
        tree: Arc<DiskTree>,
        db_path: &std::path::Path,
        keys: Arc<FolderKeys>,
        orders: std_mpsc::Receiver<Order>,
    ) -> Result<(), super::db::DbError> {
        let tell = self.inner.clone();
        let tell = Box::new(move |applied| drop(tell.send(Inner::Applied(applied))));
        let applier = Applier::new(tree, FolderDb::open(db_path)?, self.blocks.clone(), keys, tell);
        spawn(&self.folder, "apply", move || applier.run(&orders));
        Ok(())
    }

    /// Plans a look at these paths; an empty list means everything.
    fn look_at(&mut self, paths: Vec<FolderPath>) {
        if self.disk.is_none() {
            return;
        }
        let now = self.around.now_ms();
        match &mut self.look_next {
            Some((_, waiting)) if waiting.is_empty() || paths.is_empty() => waiting.clear(),
            Some((_, waiting)) => waiting.extend(paths),
            None => self.look_next = Some((now, paths)),
        }
    }

    fn look_if_due(&mut self, now: u64) {
        if self.looking || self.engine.is_none() {
            return;
        }
        let Some((_, _)) = self.look_next.as_ref().filter(|(since, _)| since + SETTLE_MS <= now) else { return };
        let Some((_, mut paths)) = self.look_next.take() else { return };
        paths.sort();
        paths.dedup();
        let everything = paths.is_empty();
        if everything {
            let unwatched = self.disk.as_ref().is_some_and(|disk| disk.watcher.is_none());
            self.next_rescan_ms = now + if unwatched { RESCAN_UNWATCHED_MS } else { RESCAN_MS };
        }
        self.scan_waiters.extend(self.scan_requested.drain(..));
        self.looking = true;
        self.tell_engine(Input::ScanBegun { under: paths.clone() });
        if let Some(disk) = &self.disk {
            let _ = disk.looker.send(paths);
        }
    }

    /// Looks at everything; the receiver hears when what was found is committed.
    pub(crate) fn rescan(&mut self) -> Option<oneshot::Receiver<()>> {
        self.next_attach_ms = 0;
        self.find_root_again(self.around.now_ms());
        self.disk.as_ref()?;
        let (done, waits) = oneshot::channel();
        self.scan_requested.push_back(done);
        self.look_at(Vec::new());
        Some(waits)
    }

    fn inner_event(&mut self, inner: Inner) {
        let now = self.around.now_ms();
        match inner {
            Inner::Applied(Applied::Want(cids)) => {
                self.replica.handle(now, replicate::Input::Want { cids, priority: Priority::Recent });
            }
            Inner::Applied(Applied::Unwant(cids)) => self.replica.handle(now, replicate::Input::Unwant { cids }),
            Inner::Applied(Applied::Done(id, now_there)) => self.step_done(id, now_there),
            Inner::Applied(Applied::Failed(id, why)) => {
                self.next_retry_ms = self.next_retry_ms.min(now + STUCK_RETRY_MS);
                self.tell_engine(Input::StepFailed { id, why });
            }
            Inner::Hashed(hashed) => self.hashed(hashed),
            Inner::Looked(looked) => self.looked(looked),
            Inner::Served(Served::Sent(peer, cid)) => {
                self.replica.handle(now, replicate::Input::BlockSent { peer, cid })
            }
            Inner::Served(Served::Missing(peer, cid)) => {
                self.replica.handle(now, replicate::Input::BlockMissing { peer, cid });
            }
            Inner::Watched(WatchEvent::Changed(paths)) => self.look_at(paths.into_iter().collect()),
            Inner::Watched(WatchEvent::Rescan { why } | WatchEvent::Dead { why }) => {
                tracing::debug!(%why, "everything is looked at");
                self.look_at(Vec::new());
            }
        }
        self.look_if_due(now);
    }

    fn step_done(&mut self, id: StepId, now_there: Option<Stat>) {
        self.tell_engine(Input::StepDone { id, now_there });
    }

    fn hashed(&mut self, hashed: Vec<Hashed>) {
        for result in hashed {
            self.reading = self.reading.saturating_sub(1);
            match result {
                Hashed::Done { path, stamp, body, blocks } => {
                    if !blocks.is_empty() {
                        let rows: Vec<(Cid, &[u8])> = blocks.iter().map(|b| (b.cid, b.bytes.as_slice())).collect();
                        if let Err(why) = self.blocks.put_many(&rows) {
                            self.trouble(why.to_string());
                        }
                    }
                    self.tell_engine(Input::Hashed { path, stamp, body });
                }
                Hashed::Failed { path, why } => {
                    tracing::debug!(%why, "a file could not be read");
                    if why.is_lasting() {
                        self.unreadable.push((path.clone(), why.to_string()));
                    } else {
                        self.look_at(vec![path.clone()]);
                    }
                    self.tell_engine(Input::HashFailed { path });
                }
            }
        }
        self.scan_maybe_over();
    }

    fn looked(&mut self, looked: Looked) {
        match looked {
            Looked::Listed(entries) => self.tell_engine(Input::Listed(entries)),
            Looked::Ended { unreadable, skipped } => {
                self.root_lost = None;
                self.unreadable = unreadable.clone();
                self.skipped = skipped;
                self.tell_engine(Input::ScanEnded {
                    unreadable: unreadable.into_iter().map(|(path, _)| path).collect(),
                });
            }
            Looked::RootLost(lost) => {
                self.lost_root(&lost);
                self.tell_engine(Input::ScanEnded { unreadable: vec![FolderPath::root()] });
            }
        }
        self.carry_out_engine();
        self.scan_maybe_over();
    }

    fn lost_root(&mut self, lost: &RootError) {
        if self.root_lost.is_none() {
            self.trouble(lost.to_string());
        }
        self.root_lost = Some(lost.to_string());
    }

    fn scan_maybe_over(&mut self) {
        if self.looking && self.engine.as_ref().is_some_and(|engine| !engine.is_scanning()) {
            self.looking = false;
            for waiter in self.scan_waiters.drain(..) {
                let _ = waiter.send(());
            }
        }
    }

    /// The folder's directory, if it has one.
    pub(crate) fn disk_tree(&self) -> Option<&Arc<DiskTree>> {
        self.disk.as_ref().map(|disk| &disk.tree)
    }

    /// The heads whose join the state is, for the newest state's date and author.
    pub(crate) fn frontier_heads(&self) -> Vec<HeadId> {
        self.engine.as_ref().map(|engine| engine.frontier().iter().copied().collect()).unwrap_or_default()
    }
}

/// Reads a whole state back from kept blocks; `None` if one is missing or damaged.
fn load(blocks: &dyn BlockStore, root: Cid, keys: &FolderKeys) -> Option<(State, cobox_core::tree::Tree)> {
    let mut fetch = Fetch::new(root, None);
    loop {
        let wanted = fetch.wanted(256);
        if wanted.is_empty() {
            break;
        }
        for cid in wanted {
            let bytes = blocks.get(&cid).ok()??;
            fetch.supply(cid, &bytes, keys).ok()?;
        }
    }
    let mut state = State::new();
    let remote = fetch.done(&state, keys).ok()?;
    state.join_with(&remote.ctx, &remote.forks, &remote.theirs, &|_: &EpochTag| 0);
    Some((state, remote.tree))
}
