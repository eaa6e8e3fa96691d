//! The owner of one folder: a thread that feeds the folder's two brains, the blind [`Replica`] and the member's [`Engine`],
//! and carries out what they ask, in order. Disk work goes to the folder's own worker threads; nothing here waits for a peer.
//!
//! What must hold: an op or head is durable before it is sent; the engine sees only heads the replica accepted; a vanished
//! folder is never taken for deletions. What a stop loses: steps not begun and blocks under way; they are asked for again.

mod brain;
mod collect;
mod disk;
mod drilling;
mod editing;
mod forgetting;
mod in_vain;
mod membership;
mod own_edits;
mod parted;
mod peers;
mod people;
mod seek;
mod standing;
mod timers;
mod unkept;
mod upkeep;
mod vault;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak, mpsc as std_mpsc};
use std::time::Duration;

use cobox_core::editing::{EditedElsewhere, EditedHere};
use cobox_core::engine::{
    Brake, Engine, Event, GiveUpError, Input, Memory, NotLetOut, Output, Setup, Standing, Stat, StepError, StepId,
    VaultMark,
};
use cobox_core::keys::{DeviceSecret, FolderKeys, Slot};
use cobox_core::members::{
    Author, Deed, Duty, Label, Moment, Seat, WaitingJoin, duty, join_words, joiner_name, open_epochs, open_label,
    propose, waiting_joins,
};
use cobox_core::path::FolderPath;
use cobox_core::seal::SealedBlock;
use cobox_core::state::State;
use cobox_core::tree::{Fetch, Tree};
use cobox_net::{Answer, FolderEvent, Inbox, Pass, Peer, end_inbox};
use cobox_proto::codec::{Canonical, Reader};
use cobox_proto::head::SignedHead;
use cobox_proto::hosting::{Holding, SignedReceipt, Ticket};
use cobox_proto::id::{Cid, EndpointId, EpochTag, FolderId, HeadId, Inode, OpId, SigKey};
use cobox_proto::limits::{ADDRESS_NOTE_BYTES_MAX, WANT_CIDS_MAX};
use cobox_proto::members::{OpBody, Role, SignedOp};
use cobox_proto::replicate::{self, Closed, PeerId, Priority, Replica};
use cobox_proto::wire::proof::{KeyKind, Who};
use cobox_proto::wire::{AddressNote, LogPart, Message, OpEnvelopes, Party};
use cobox_store::{BlockStore, HeadState};
pub(crate) use drilling::{DrillSetup, NoDrill};
pub(super) use forgetting::Forgetful;
pub(crate) use forgetting::{NotSaid, Wish};
use tokio::sync::{mpsc, oneshot};
use unkept::Unkept;

use crate::disk_tree::{DiskTree, IGNORE_FILE, Ignore, ReadError, RootError, Watch, WatchEvent, WatchSettings};
use crate::folder::apply::{Applied, Applier, Order, Orders};
use crate::folder::config::{FolderConfig, SeederConfig, Sort};
use crate::folder::db::{DbError, FolderDb};
use crate::folder::hash::{self, Ask, Asks, Hashed};
use crate::folder::left_out::LeftOut;
use crate::folder::look::{self, Looked};
use crate::folder::looks::Looks;
use crate::folder::records::Records;
use crate::folder::rest::Rest;
use crate::folder::seen;
use crate::folder::serve::{Serve, Served, Server};

/// How long it waits until a place is looked at once more that was not as expected: whoever is at work there goes on.
const SETTLE_MS: u64 = 60;
/// Without a watcher everything is listed again at least this often.
const RESCAN_UNWATCHED_MS: u64 = 20 * 1000;
/// How long after a file was written it is looked at once more: longer than the coarsest clock of a disk.
const UNSETTLED_MS: u64 = 2_200;
/// At most this often everything is looked at because something came or went that can be no content.
const NO_CONTENT_MS: u64 = 60 * 1000;
/// So many reports of the folder's own threads are worked off before others get their turn.
const TOGETHER_MAX: usize = 256;
/// While more bytes than this wait to be written, nothing is taken from peers, who then hold back what they send.
const UNWRITTEN_BYTES_MAX: u64 = 32 << 20;
/// How soon it is looked whether the disk has caught up.
const BEHIND_LOOK_MS: u64 = 5;
/// How long the system's events are gathered while a program writes.
const WATCH_QUIET_MS: u64 = 50;
/// Steps that could not be done are tried again this often.
const STUCK_RETRY_MS: u64 = 15_000;
/// Tickets in an address note: the device's and those of seeders. And their bytes: what is left of a note when it is sealed and padded.
const NOTE_TICKETS_MAX: usize = 9;
const NOTE_PLAIN_BYTES_MAX: usize = ADDRESS_NOTE_BYTES_MAX - 256;
/// Ops per message when a log is handed to a seeder.
const CLAIM_OPS_PART: usize = 256;

/// Where the database notes which copy of the folder's directory its knowledge is about.
const COPY_NOTE: &str = "copy";

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
    /// By what changes are held back.
    fn brake(&self) -> Brake;
    /// How often everything is looked at, whatever the watcher says, milliseconds.
    fn rescan_ms(&self) -> u64;
    /// The newest head of the person's vault.
    fn vault_mark(&self) -> Option<VaultMark>;
    /// The vault was written, here or on another device of the person.
    fn vault_written(&self, mark: VaultMark);
}

/// What happened in a folder.
#[derive(Debug, Clone)]
pub(crate) enum Happened {
    Engine(Event),
    BackupComplete {
        seeder: SigKey,
    },
    PeersChanged,
    /// The folder's settings, as they are saved.
    ConfigChanged,
    /// This device is no member's any more.
    Out,
    /// Something that was changed here, where one may only read, gave way to what others have there.
    SetAside {
        path: FolderPath,
        to: std::path::PathBuf,
    },
    /// Somebody belongs to the folder now.
    MemberJoined {
        name: String,
        key: SigKey,
    },
    /// Somebody asks to be let in.
    JoinWaiting {
        name: String,
        key: SigKey,
    },
    /// An owner had something forgotten.
    ForgetAsked {
        name: String,
        path: Option<String>,
        counts_at_ms: u64,
    },
    /// An owner took such a wish back.
    ForgetWithdrawn,
    /// Another device has a file open, or has it open no more.
    Editing {
        name: String,
        key: SigKey,
        path: FolderPath,
        open: bool,
    },
    Problem {
        message: String,
    },
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
    pub(crate) disk: Option<DiskTree>,
    pub(crate) root_lost: Option<String>,
    pub(crate) keep_keys: Box<dyn Fn(&FolderKeys) + Send>,
}

/// How a seeder or member device stands.
#[derive(Debug, Clone)]
pub(crate) struct PeerRow {
    pub(crate) who: Who,
    /// What it last said it has joined and how many files it lacks.
    pub(crate) progress: Option<(Cid, u64)>,
    /// The newest heads it had before we told it of any; nothing until it has named them.
    pub(crate) came_with: Option<Vec<HeadId>>,
    /// Blocks it sent and nobody had asked for: late ones, or wrong ones.
    pub(crate) unasked_blocks: u64,
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
    /// One of a folder that has stopped.
    #[cfg(test)]
    pub(crate) fn stopped(id: FolderId) -> Self {
        Self { id, inbox: mpsc::channel(1).0, questions: mpsc::unbounded_channel().0 }
    }

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
    /// From those that work in the directory, begun in this life of the engine.
    Disk(u64, FromDisk),
    Served(Served),
}

/// From the threads that work in the folder's directory.
enum FromDisk {
    Applied(Applied),
    Hashed(Vec<Hashed>),
    Looked(Looked),
    Watched(WatchEvent),
}

struct Disk {
    tree: DiskTree,
    applier: Orders,
    /// Bytes of blocks the applier was sent and has not written.
    unwritten: Arc<AtomicU64>,
    hasher: Asks,
    looker: std_mpsc::Sender<look::Request>,
    watch: Option<Watch>,
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
    /// Alive while the applier of the directory that was detached last still works.
    applier_before: Weak<AtomicU64>,
    /// Counts the engines that ended before their threads: what those still tell is not for the next one.
    life: u64,
    server: std_mpsc::Sender<Serve>,
    around: Arc<dyn Surroundings>,
    inner: mpsc::UnboundedSender<Inner>,
    pub(crate) peers: BTreeMap<PeerId, PeerRow>,
    /// Seeders to whom the log is to be handed when their channel opens.
    claims: BTreeMap<SigKey, oneshot::Sender<Result<(), String>>>,
    /// Channels on which only a claim is spoken.
    claiming: BTreeMap<PeerId, (Peer, oneshot::Sender<Result<(), String>>)>,
    attaching: BTreeMap<PeerId, oneshot::Sender<Result<(), String>>>,
    /// What is no content here, as the last look or the watcher read it.
    rules: Option<Arc<Ignore>>,
    looks: Looks,
    told_set_aside: bool,
    reading: u64,
    /// What the engine wants remembered and is not durable yet.
    memory: Option<Memory>,
    next_rescan_ms: u64,
    next_retry_ms: u64,
    /// When it is looked what comes for a newest state in vain.
    next_older_ms: u64,
    wake_ms: Option<u64>,
    scan_waiters: Vec<oneshot::Sender<()>>,
    scan_requested: VecDeque<oneshot::Sender<()>>,
    /// Blocks whose bytes wait for the replica's word.
    arriving: Option<bytes::Bytes>,
    engine_wants: BTreeSet<Cid>,
    fresh_nodes: brain::FreshNodes,
    seekers: seek::Seekers,
    drilling: drilling::Drilling,
    pub(crate) root_lost: Option<String>,
    /// What could not be made durable last; while it stands there is no engine.
    pub(crate) unkept: Option<Unkept>,
    pub(crate) left_out: LeftOut,
    /// Since the start.
    pub(crate) sent_blocks: u64,
    pub(crate) received_blocks: u64,
    /// How far the last look for blocks that nobody needs came.
    collected_to: Option<Cid>,
    /// With more than this it is worth looking again.
    collect_over_bytes: u64,
    /// How often each machine was asked to let us in since it last did.
    asked_to_enter: BTreeMap<SigKey, u32>,
    told_progress: Option<(Cid, u64)>,
    told_vault: Option<VaultMark>,
    rest: Rest,
    edited_here: EditedHere,
    pub(crate) edited_elsewhere: EditedElsewhere,
    /// What stood on the disk alone when that was last looked at, after the person or the device was sent away.
    pub(crate) unsent: Option<parted::Unsent>,
    /// Who was sent away calls again then.
    next_call_ms: u64,
    /// Machines where somebody without a place here was met, and when they may be called again.
    outsiders: BTreeMap<SigKey, (Who, u64)>,
    /// What the last address note said.
    announced: Option<Vec<u8>>,
    db_path: std::path::PathBuf,
    next_attach_ms: u64,
    next_upkeep_ms: u64,
    /// Who belonged to the folder when that was last looked at; nothing before the first look.
    known_members: Option<BTreeSet<OpId>>,
    known_asking: Option<BTreeSet<OpId>>,
    known_forgets: Option<BTreeSet<OpId>>,
    /// What owners had forgotten, as it was heard here.
    forgetful: Forgetful,
    /// Since when nothing may be written because no epoch is usable.
    epochless_since_ms: Option<u64>,
    /// When there may be something to do for the folder unasked.
    duty_again_ms: Option<u64>,
    /// What could not be set aside, and when it is tried again.
    no_room_beside: BTreeMap<FolderPath, u64>,
    /// The time when it last looked.
    clock_ms: u64,
    stopping: bool,
}

/// Starts a folder's thread. `runtime` is where blocks are sent from.
pub(crate) fn start(
    parts: Parts,
    around: Arc<dyn Surroundings>,
    runtime: tokio::runtime::Handle,
) -> Result<FolderHandle, DbError> {
    let folder = parts.replica.folder();
    let (inbox, inbox_rx) = mpsc::channel(cobox_net::INBOX_MAX);
    let (questions, questions_rx) = mpsc::unbounded_channel();
    let (inner, inner_rx) = mpsc::unbounded_channel();
    let db = FolderDb::open_sound(&parts.db_path, &parts.device.public().sig)?;
    // What can not be read is heard anew, and counts later.
    let forgetful = parts.records.forgetful().unwrap_or_default();
    let (server, server_rx) = std_mpsc::channel();
    let serving = Server { db: FolderDb::open(&parts.db_path)?, blocks: parts.blocks.clone(), runtime };
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
        applier_before: Weak::new(),
        life: 0,
        server,
        around,
        inner,
        peers: BTreeMap::new(),
        claims: BTreeMap::new(),
        claiming: BTreeMap::new(),
        attaching: BTreeMap::new(),
        rules: None,
        looks: Looks::default(),
        told_set_aside: false,
        reading: 0,
        memory: None,
        next_rescan_ms: 0,
        next_retry_ms: u64::MAX,
        next_older_ms: u64::MAX,
        wake_ms: None,
        scan_waiters: Vec::new(),
        scan_requested: VecDeque::new(),
        arriving: None,
        engine_wants: BTreeSet::new(),
        fresh_nodes: brain::FreshNodes::default(),
        seekers: seek::Seekers::default(),
        drilling: drilling::Drilling::default(),
        root_lost: parts.root_lost,
        unkept: None,
        left_out: LeftOut::default(),
        collected_to: None,
        collect_over_bytes: 0,
        asked_to_enter: BTreeMap::new(),
        sent_blocks: 0,
        received_blocks: 0,
        told_progress: None,
        told_vault: None,
        rest: Rest::default(),
        edited_here: EditedHere::default(),
        edited_elsewhere: EditedElsewhere::default(),
        unsent: None,
        next_call_ms: 0,
        outsiders: BTreeMap::new(),
        announced: None,
        db_path: parts.db_path.clone(),
        next_attach_ms: 0,
        next_upkeep_ms: u64::MAX,
        known_members: None,
        known_asking: None,
        known_forgets: None,
        forgetful,
        epochless_since_ms: None,
        duty_again_ms: None,
        no_room_beside: BTreeMap::new(),
        clock_ms: 0,
        stopping: false,
    };
    if let Some(keys) = parts.keys {
        actor.take_keys(keys);
    }
    if let Some(disk) = parts.disk {
        actor.attach_disk(disk)?;
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
            self.note_clock(now);
            let (due, behind) = (self.due_ms(now), self.disk_is_behind());
            let due = if behind { due.min(now + BEHIND_LOOK_MS) } else { due };
            tokio::select! {
                event = inbox.recv(), if !behind => match event {
                    Some(event) => self.peer_event(event),
                    None => break,
                },
                question = questions.recv() => match question {
                    Some(question) => question(&mut self),
                    None => break,
                },
                Some(first) = inner.recv() => {
                    self.inner_event(first);
                    // What came meanwhile is worked off together: its effects become durable in one go.
                    for next in std::iter::from_fn(|| inner.try_recv().ok()).take(TOGETHER_MAX) {
                        self.inner_event(next);
                    }
                }
                () = tokio::time::sleep(Duration::from_millis(due.saturating_sub(now))) => {
                    // What the disk has said by now comes before what time has brought.
                    for next in std::iter::from_fn(|| inner.try_recv().ok()).take(TOGETHER_MAX) {
                        self.inner_event(next);
                    }
                    self.time_passed();
                }
            }
            self.carry_out();
        }
        self.keep_nodes();
        self.detach_disk();
        for row in self.peers.values() {
            row.peer.close();
        }
        end_inbox(inbox).await;
    }

    /// Carries out what both brains ask until neither asks more.
    fn carry_out(&mut self) {
        loop {
            let replica = self.carry_out_replica();
            let engine = self.carry_out_engine();
            if !replica && !engine {
                break;
            }
        }
        self.make_way();
        self.give_up_seeking();
        self.keep_memory();
        self.keep_nodes_if_due();
        self.tell_progress();
        self.note_rest();
        self.tell_editing();
        self.pass_vault_mark();
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
                    let _ = self.server.send(Serve {
                        peer: row.peer.clone(),
                        cid,
                        keys: self.keys.clone(),
                        disk: self.disk_tree().cloned(),
                    });
                }
            }
            O::OpsAdded(ids) => {
                let ops: Vec<&SignedOp> = ids.iter().filter_map(|id| self.replica.membership().op(id)).collect();
                if let Err(why) = self.records.put_ops(ops.iter().copied()) {
                    self.not_kept(why);
                }
                self.membership_changed();
            }
            O::EnvelopesAdded(sent) => {
                if let Err(why) = self.records.put_envelopes(&sent) {
                    self.not_kept(why);
                }
                self.membership_changed();
            }
            O::HeadAccepted(id) => {
                let Some(head) = self.replica.heads().get(&id).cloned() else { return };
                if let Err(why) = self.records.put_head(&head, HeadState::Accepted, self.around.now_ms()) {
                    return self.not_kept(why);
                }
                self.adoption_is_done(&id);
                self.tell_engine(Input::Head(Box::new(head)));
            }
            O::HeadQuarantined(id) => {
                if let Some(head) = self.replica.heads().get(&id)
                    && let Err(why) = self.records.put_head(head, HeadState::Quarantined, self.around.now_ms())
                {
                    tracing::warn!(%why, "a head in quarantine could not be kept");
                }
                self.tell_engine(Input::Quarantined(id));
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
            O::DeltaArrived { cid, bytes } => self.tell_engine(Input::Delta { cid, bytes }),
            O::BlockTaken { cid, .. } => self.block_taken(cid),
            O::BlockDropped { peer, cid } => self.block_unasked(peer, cid),
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
                self.drill_peer_closed(peer);
                if let Some(row) = self.peers.remove(&peer) {
                    let key = row.who.key.short();
                    row.peer.close();
                    if why == Closed::NotEntitled && row.who.kind == KeyKind::Invite {
                        // So it ends for everybody who was let in by it: their machine is a member's now, and may be called.
                        tracing::debug!(%key, "an invite is used up or not valid any more: what it opened is closed");
                        return;
                    }
                    tracing::warn!(%key, %why, "a peer is closed");
                    if why == Closed::NotEntitled {
                        self.met_outsider(row.peer.remote, row.who);
                    }
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
        if self.unkept.is_some() {
            // Asked for by an engine that is gone; the next one asks anew.
            return;
        }
        self.sought_came(&cid, &bytes);
        if self.engine_wants.remove(&cid) {
            self.node_came(cid, bytes);
        } else if let Some(disk) = &self.disk {
            disk.unwritten.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let _ = disk.applier.send(Order::Block(cid, bytes));
        } else if let Err(why) = self.blocks.put_many(&[(cid, &bytes)]) {
            self.trouble(why.to_string());
        }
    }
}
