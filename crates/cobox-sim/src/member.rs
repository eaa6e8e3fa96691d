//! One member's machine: what survives a stop (blocks, records, memory, the disk) and what does not (engine, replica, work
//! under way). It carries out what both brains ask, in order; a stop may come between any two durable things.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cobox_core::chunk::Cutter;
use cobox_core::engine::{Engine, Event, Input, Memory, Output, PATIENCE_MS, Setup, Step, StepError, StepId, Synced};
use cobox_core::keys::FolderKeys;
use cobox_core::path::FolderPath;
use cobox_core::state::{Ref, State};
use cobox_core::tree::{Fetch, Tree};
use cobox_proto::head::SignedHead;
use cobox_proto::hosting::{Holding, SignedReceipt};
use cobox_proto::id::{Cid, EpochTag, HeadId};
use cobox_proto::members::SignedOp;
use cobox_proto::replicate::{self, Kept, PeerId, Priority, Replica};
use cobox_proto::wire::proof::{KeyKind, Who};
use cobox_proto::wire::{Message, OpEnvelopes};

use crate::cast::{Cast, Person};
use crate::disk::Disk;
use crate::faults::{Machine, counts_down};
use crate::ignore::Rules;
use crate::membership::Duties;
use crate::scan::Scan;
use crate::witness::Witness;

/// A sealed block; all who have it share its bytes.
pub(crate) type Block = Arc<Vec<u8>>;

/// What a member sends over a channel.
#[derive(Debug, Clone)]
pub(crate) enum Packet {
    Message(Message),
    Block(Cid, Block),
}

/// What a stop leaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durable {
    pub(crate) disk: Disk,
    pub(crate) blocks: BTreeMap<Cid, Block>,
    heads: BTreeMap<HeadId, SignedHead>,
    receipts: Vec<SignedReceipt>,
    /// Of the log, what all did not begin with.
    pub(crate) ops: Vec<SignedOp>,
    pub(crate) envelopes: Vec<OpEnvelopes>,
    /// The keys, once there are more than all began with.
    pub(crate) keys: Option<FolderKeys>,
    pub(crate) memory: Option<(Cid, BTreeSet<HeadId>)>,
    /// Remembered and perhaps not yet among the heads.
    head: Option<SignedHead>,
    pub(crate) synced: BTreeMap<FolderPath, Arc<Synced>>,
    /// Where the bytes of a chunk are: in files of this content, from this byte on.
    pub(crate) pieces: BTreeMap<Cid, ([u8; 32], usize, Ref)>,
}

impl Durable {
    pub(crate) fn block_count(&self) -> usize {
        self.blocks.len()
    }
}

/// What runs.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) replica: Replica,
    pub(crate) engine: Engine,
    pub(crate) steps: VecDeque<(StepId, Step)>,
    pub(crate) waiting: Vec<(StepId, Step)>,
    /// Ended steps the engine has not heard of.
    pub(crate) reports: VecDeque<Input>,
    /// The disk before each of them that was done, and its ticks right after it.
    pub(crate) undo: VecDeque<(Disk, u64)>,
    /// A step failed that may have set something aside.
    pub(crate) tells_set_aside: bool,
    pub(crate) scan: Option<Scan>,
    pub(crate) rules: Option<Arc<Rules>>,
    pub(crate) rescan: Option<Vec<FolderPath>>,
    pub(crate) wake_ms: Option<u64>,
    /// When it is looked what is waited for in vain; of the world's time.
    pub(crate) older_ms: Option<u64>,
    pub(crate) wants: BTreeSet<Cid>,
    pub(crate) duties: Duties,
    /// Nothing is done at the disk: this device was sent away.
    pub(crate) left_disk: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Member<'c> {
    pub(crate) name: char,
    pub(crate) cast: &'c Cast,
    /// The membership log.
    pub(crate) ops: &'c [SignedOp],
    /// Which of the people.
    pub(crate) index: usize,
    pub(crate) person: &'c Person,
    pub(crate) cutter: Cutter,
    /// What is read is sealed under.
    pub(crate) epoch: Option<EpochTag>,
    /// Whether the log goes on.
    pub(crate) keeps_log: bool,
    /// Whether an older state is joined where the newest lies nowhere whole.
    pub(crate) takes_older: bool,
    pub(crate) durable: Durable,
    pub(crate) live: Option<Live>,
    /// After so many durable things the machine stops.
    pub(crate) stop_after: Option<u32>,
    pub(crate) outbox: Vec<(PeerId, Packet)>,
    pub(crate) close: Vec<PeerId>,
    pub(crate) events: Vec<String>,
    pub(crate) published: u64,
    pub(crate) machine: Machine,
    pub(crate) witness: Witness,
}

impl<'c> Member<'c> {
    pub(crate) fn at(cast: &'c Cast, ops: &'c [SignedOp], index: usize) -> Self {
        let person = &cast.people[index];
        Self {
            name: (b'A' + index as u8) as char,
            cast,
            ops,
            index,
            person,
            cutter: Cutter::new(person.keys.shape(), person.keys.profile()),
            epoch: Some(cast.epoch),
            keeps_log: false,
            takes_older: false,
            durable: Durable::default(),
            live: None,
            stop_after: None,
            outbox: Vec::new(),
            close: Vec::new(),
            events: Vec::new(),
            published: 0,
            machine: Machine::healthy(),
            witness: Witness::default(),
        }
    }

    /// On a machine with its faults.
    pub(crate) fn on(self, machine: Machine) -> Self {
        Self { machine, ..self }
    }

    /// In a world where people come to go.
    pub(crate) fn with_a_log(self, keeps_log: bool) -> Self {
        Self { keeps_log, ..self }
    }

    /// In a world where older states are joined.
    pub(crate) fn taking_older(self, takes_older: bool) -> Self {
        Self { takes_older, ..self }
    }

    pub(crate) fn who(&self) -> Who {
        Who { kind: KeyKind::Device, key: self.person.device.sig.public() }
    }

    /// Starts the program on what is there.
    pub(crate) fn start(&mut self, now_ms: u64, entropy: [u8; 32]) {
        let clock_ms = self.machine.clock_ms(now_ms);
        self.durable.disk.grain_ns = self.machine.grain_ns;
        self.durable.disk.reuses_numbers = self.machine.faults.kinds;
        if self.machine.faults.new_numbers && self.machine.luck.one_in(2) {
            self.durable.disk.number_anew();
            self.events.push("finds its files with other numbers".into());
        }
        if let Some(head) = self.durable.head.clone() {
            self.durable.heads.insert(head.id(), head);
        }
        let replica = self.replica();
        let standing = self.standing_in(&replica);
        self.epoch = standing.epoch;
        let empty_under = self.epoch.or_else(|| self.keys().epochs().map(|(tag, _)| *tag).last());
        let empty_under = empty_under.expect("everybody began with an epoch");
        let setup = Setup {
            folder: self.cast.genesis.folder_id(),
            keys: self.keys().clone(),
            device: self.person.device.sig.clone(),
            entropy,
            standing,
        };
        let frontier = self.durable.memory.as_ref().map_or_else(BTreeSet::new, |(_, frontier)| frontier.clone());
        let known = replica.heads().counting_or_behind(&frontier);
        let heads: Vec<SignedHead> = known.iter().filter_map(|id| replica.heads().get(id)).cloned().collect();
        let engine = match &self.durable.memory {
            Some((root, _)) => {
                let (state, tree) = self.load(*root).expect("the blocks of a remembered root are stored before it");
                Engine::new(setup, clock_ms, state, tree, frontier, &heads, self.durable.synced.clone())
            }
            None => Engine::anew(setup, clock_ms, empty_under, &heads),
        };
        self.live = Some(Live {
            replica,
            engine,
            steps: VecDeque::new(),
            waiting: Vec::new(),
            reports: VecDeque::new(),
            undo: VecDeque::new(),
            tells_set_aside: false,
            scan: None,
            rules: None,
            rescan: Some(Vec::new()),
            wake_ms: None,
            older_ms: None,
            wants: BTreeSet::new(),
            duties: Duties::default(),
            left_disk: false,
        });
        self.stop_after = None;
        if self.keeps_log {
            self.membership_changed(now_ms);
        }
        self.carry_out(now_ms);
    }

    pub(crate) fn load(&self, root: Cid) -> Option<(State, Tree)> {
        let mut walk = Fetch::new(root, None);
        loop {
            let wanted = walk.wanted(256);
            if wanted.is_empty() {
                break;
            }
            for cid in wanted {
                walk.supply(cid, self.durable.blocks.get(&cid)?, self.keys()).ok()?;
            }
        }
        let mut state = State::new();
        let remote = walk.done(&state, self.keys()).ok()?;
        let standing = self.standing_in(&self.replica());
        state.join_with(&remote.ctx, &remote.forks, &remote.theirs, &standing);
        Some((state, remote.tree))
    }

    /// The machine stops: nothing but the durable stays. What was done and not reported may be undone by it.
    pub(crate) fn stop(&mut self) {
        if let Some(live) = &mut self.live
            && self.machine.faults.power_cuts
        {
            let undone = self.machine.luck.below(live.undo.len() + 1);
            for (before, ticks_after) in live.undo.drain(..).rev().take(undone) {
                if self.durable.disk.ticks() != ticks_after {
                    break;
                }
                self.durable.disk.undo(before);
                self.events.push("loses what it did last".into());
            }
        }
        self.live = None;
        self.stop_after = None;
        self.outbox.clear();
        self.close.clear();
    }

    /// What was asked for before is asked for again.
    pub(crate) fn ask_again(&mut self, now_ms: u64) {
        let Some(live) = &self.live else { return };
        let cids = live.wants.iter().copied().collect();
        self.tell_replica(now_ms, replicate::Input::Want { cids, priority: Priority::Tree });
    }

    pub(crate) fn replica(&self) -> Replica {
        restored(self.cast, self.ops, &self.durable)
    }

    /// Counts a durable thing; true if the machine stops before it.
    pub(crate) fn stops_now(&mut self) -> bool {
        let stops = counts_down(&mut self.stop_after);
        if stops {
            self.stop();
        }
        stops
    }

    pub(crate) fn tell_engine(&mut self, now_ms: u64, input: Input) {
        let clock_ms = self.machine.clock_ms(now_ms);
        self.witness.is_told_to_delete = matches!(input, Input::Decide { approve: true });
        self.forget_what_went();
        if let Some(live) = &mut self.live {
            live.engine.handle(clock_ms, input);
        }
        self.carry_out(now_ms);
        self.witness.is_told_to_delete = false;
    }

    pub(crate) fn tell_replica(&mut self, now_ms: u64, input: replicate::Input) {
        let clock_ms = self.machine.clock_ms(now_ms);
        if let Some(live) = &mut self.live {
            live.replica.handle(clock_ms, input);
        }
        self.carry_out(now_ms);
    }

    /// A packet came over a channel.
    pub(crate) fn receive(&mut self, now_ms: u64, peer: PeerId, packet: Packet) {
        let clock_ms = self.machine.clock_ms(now_ms);
        match packet {
            Packet::Message(message) => self.tell_replica(now_ms, replicate::Input::Received { peer, message }),
            Packet::Block(cid, bytes) => {
                let Some(live) = &mut self.live else { return };
                let wanted = live.replica.wants(&cid);
                live.replica.handle(clock_ms, replicate::Input::BlockArrived { peer, cid, bytes: bytes.len() as u64 });
                if wanted {
                    if self.stops_now() {
                        return;
                    }
                    self.durable.blocks.insert(cid, bytes.clone());
                    let Some(live) = &mut self.live else { return };
                    if live.wants.remove(&cid) {
                        live.engine.handle(clock_ms, Input::Block { cid, bytes: bytes.to_vec() });
                    }
                    let waiting = std::mem::take(&mut live.waiting);
                    live.steps.extend(waiting);
                }
                self.carry_out(now_ms);
            }
        }
    }

    /// Carries out what both brains ask until neither asks more.
    pub(crate) fn carry_out(&mut self, now_ms: u64) {
        loop {
            let Some(live) = &mut self.live else { return };
            if let Some(output) = live.replica.poll_output() {
                self.replica_output(now_ms, output);
            } else if let Some(output) = live.engine.poll_output() {
                self.engine_output(now_ms, output);
            } else {
                return;
            }
        }
    }

    fn replica_output(&mut self, now_ms: u64, output: replicate::Output) {
        let clock_ms = self.machine.clock_ms(now_ms);
        use replicate::Output as O;
        match output {
            O::Send { peer, message } => self.outbox.push((peer, Packet::Message(message))),
            O::SendBlock { peer, cid } => {
                let block = self.block(&cid);
                let Some(live) = &mut self.live else { return };
                match block {
                    Some(bytes) => {
                        self.outbox.push((peer, Packet::Block(cid, bytes)));
                        live.replica.handle(clock_ms, replicate::Input::BlockSent { peer, cid });
                    }
                    None => live.replica.handle(clock_ms, replicate::Input::BlockMissing { peer, cid }),
                }
            }
            O::DeltaArrived { cid, bytes } => {
                if let Some(live) = &mut self.live {
                    live.engine.handle(clock_ms, Input::Delta { cid, bytes });
                }
            }
            O::HeadAccepted(id) => {
                let Some(head) = self.live.as_ref().and_then(|live| live.replica.heads().get(&id)).cloned() else {
                    return;
                };
                if self.stops_now() {
                    return;
                }
                self.durable.heads.insert(id, head.clone());
                if let Some(live) = &mut self.live {
                    live.engine.handle(clock_ms, Input::Head(Box::new(head)));
                }
            }
            O::OpsAdded(ids) => self.ops_came(now_ms, &ids),
            O::EnvelopesAdded(sent) => self.envelopes_came(now_ms, sent),
            O::Stale { .. } if self.keeps_log => self.membership_changed(now_ms),
            O::HeadQuarantined(id) => {
                self.events.push(format!("puts {} aside", id.short()));
                let Some(live) = &mut self.live else { return };
                if let Some(head) = live.replica.heads().get(&id) {
                    self.durable.heads.insert(id, head.clone());
                }
                live.engine.handle(clock_ms, Input::Quarantined(id));
            }
            O::ReceiptArrived(receipt) => self.durable.receipts.push(receipt),
            O::SeederRolledBack { seeder, receipt } => {
                self.witness.broken = Some(format!(
                    "{} says that seeder {} denies what it signed, {}",
                    self.name,
                    seeder.short(),
                    receipt.receipt().head.short()
                ));
            }
            O::HeadRefused { head, device, why } => {
                self.events.push(format!("refuses {}: {why}", head.short()));
                // Nobody here breaks the rules; and whoever rests on it, as its author does, is heard by nobody any more.
                let (name, head, device) = (self.name, head.short(), device.short());
                self.witness
                    .broken
                    .get_or_insert_with(|| format!("O2: {name} refuses {head} of device {device}: {why}"));
            }
            O::ClosePeer { peer, .. } => self.close.push(peer),
            _ => {}
        }
    }

    fn engine_output(&mut self, now_ms: u64, output: Output) {
        let clock_ms = self.machine.clock_ms(now_ms);
        match output {
            Output::Hash(files) => {
                if let Some(scan) = self.live.as_mut().and_then(|live| live.scan.as_mut()) {
                    scan.to_read.extend(files.into_iter().map(|(path, _)| path));
                }
            }
            Output::Store(blocks) => {
                if !self.stops_now() {
                    self.durable.blocks.extend(blocks.into_iter().map(|block| (block.cid, Arc::new(block.bytes))));
                }
            }
            Output::Remember(memory) => {
                if !self.stops_now() {
                    self.remember(memory);
                }
            }
            Output::SendDelta(delta) => {
                if let Some(live) = &mut self.live {
                    live.replica.handle(clock_ms, replicate::Input::LocalDelta { cid: delta.cid, bytes: delta.bytes });
                }
            }
            Output::Publish(head) => {
                if !self.stops_now() {
                    self.durable.heads.insert(head.id(), (*head).clone());
                    self.published += 1;
                    self.events.push(format!("publishes {}", head.id().short()));
                    if let Some(live) = &mut self.live {
                        live.replica.handle(clock_ms, replicate::Input::LocalHead(head));
                    }
                }
            }
            Output::Want(cids) => {
                let Some(live) = &mut self.live else { return };
                let mut missing = Vec::new();
                for cid in cids {
                    match self.durable.blocks.get(&cid) {
                        Some(bytes) => live.engine.handle(clock_ms, Input::Block { cid, bytes: bytes.to_vec() }),
                        None => {
                            live.wants.insert(cid);
                            missing.push(cid);
                        }
                    }
                }
                if !missing.is_empty() {
                    live.replica.handle(clock_ms, replicate::Input::Want { cids: missing, priority: Priority::Tree });
                    self.expect_tree(now_ms);
                }
            }
            // They are planned again should it be let in again.
            Output::Do(steps) if self.is_out() => {
                if let Some(live) = &mut self.live {
                    live.reports.extend(steps.into_iter().map(|(id, _)| not_done(id)));
                }
            }
            Output::Do(steps) => {
                if let Some(live) = &mut self.live {
                    live.steps.extend(steps);
                }
            }
            Output::Cancel(id) => {
                let Some(live) = &mut self.live else { return };
                let known = live.steps.len() + live.waiting.len();
                live.steps.retain(|(step, _)| *step != id);
                live.waiting.retain(|(step, _)| *step != id);
                if live.steps.len() + live.waiting.len() < known {
                    live.reports.push_back(Input::StepFailed { id, why: StepError::Changed });
                }
            }
            Output::Rescan(paths) => self.look_at(paths),
            Output::Tell(Event::BadHead { head, why }) => self.events.push(format!("BAD HEAD {}: {why}", head.short())),
            Output::Tell(Event::Committed { removed, .. }) if self.emptied_unseen(removed) => {}
            Output::Tell(event) => self.events.push(format!("{event:?}")),
            Output::WakeAt(at) => {
                if let Some(live) = &mut self.live {
                    live.wake_ms = Some(live.wake_ms.map_or(at, |due| due.min(at)));
                }
            }
        }
    }

    /// The folder is not mounted any more, or again. Whether it is.
    pub(crate) fn mount(&mut self) -> bool {
        self.machine.unmounted = !self.machine.unmounted;
        let disk = &self.durable.disk.tree;
        let files = disk.iter().filter(|(_, node)| node.content().is_some()).map(|(path, _)| path);
        let known =
            |path: &&FolderPath| self.live.as_ref().is_some_and(|live| live.engine.synced().contains_key(*path));
        self.machine.stood_there = files.filter(known).cloned().collect();
        self.look_at(Vec::new());
        !self.machine.unmounted
    }

    fn remember(&mut self, memory: Memory) {
        if let Some(live) = &mut self.live {
            // Records and folder are on one disk: what is made durable takes along what was done before.
            live.undo.clear();
        }
        self.durable.memory = Some((memory.root, memory.frontier.into_iter().collect()));
        if let Some(head) = memory.head {
            self.durable.head = Some(*head);
        }
        for (path, entry) in memory.synced {
            self.witness.note_synced(&path, self.durable.synced.get(&path).map(|known| &**known), entry.as_deref());
            match entry {
                Some(entry) => drop(self.durable.synced.insert(path, entry)),
                None => drop(self.durable.synced.remove(&path)),
            }
        }
    }

    /// A block as it is kept, or made again from a file that has the bytes.
    pub(crate) fn block(&self, cid: &Cid) -> Option<Block> {
        if let Some(bytes) = self.durable.blocks.get(cid) {
            return Some(bytes.clone());
        }
        let (_, start, piece) = self.durable.pieces.get(cid)?;
        let plain = self.plain(cid)?;
        debug_assert!(*start < usize::MAX);
        cobox_core::content::reseal(self.keys(), piece, &plain).map(|sealed| Arc::new(sealed.bytes))
    }

    /// The bytes of a chunk from a file here that holds them, or from one that was set aside.
    pub(crate) fn plain(&self, cid: &Cid) -> Option<Vec<u8>> {
        let (hash, start, piece) = self.durable.pieces.get(cid)?;
        let disk = &self.durable.disk;
        let mut files = disk.tree.values().filter_map(|node| node.content()).chain(disk.kept_contents());
        let content = files.find(|content| content.hash == *hash)?;
        Some(content.bytes[*start..*start + piece.len as usize].to_vec())
    }

    /// Plans a look at these places; at everything if there are none.
    pub(crate) fn look_at(&mut self, paths: Vec<FolderPath>) {
        if self.is_out() {
            return;
        }
        let Some(live) = &mut self.live else { return };
        match &mut live.rescan {
            Some(waiting) if waiting.is_empty() || paths.is_empty() => waiting.clear(),
            Some(waiting) => waiting.extend(paths),
            None => live.rescan = Some(paths),
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        self.live.as_ref().is_some_and(|live| {
            !live.steps.is_empty() || !live.reports.is_empty() || live.scan.is_some() || live.rescan.is_some()
        })
    }

    /// Does one of the things at hand; `choice` says which.
    pub(crate) fn work(&mut self, now_ms: u64, choice: usize) {
        let Some(live) = &mut self.live else { return };
        for turn in 0..3 {
            match (choice + turn) % 3 {
                0 if !live.reports.is_empty() => {
                    let report = live.reports.pop_front().expect("there is one");
                    // Told one by one, and what was done before is durable then.
                    live.undo.clear();
                    live.tells_set_aside |=
                        matches!(report, Input::StepFailed { why: StepError::DiskFull | StepError::Failed(_), .. });
                    return self.tell_engine(now_ms, report);
                }
                1 if !live.steps.is_empty() => {
                    let (id, step) = live.steps.pop_front().expect("there is one");
                    return self.step(now_ms, id, step);
                }
                2 if live.scan.is_some() || live.rescan.is_some() => return self.scan(now_ms, 1 + choice % 7),
                _ => {}
            }
        }
    }

    /// When it wants to be told that time has passed.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let live = self.live.as_ref()?;
        let own = [live.wake_ms, live.duties.due_ms()].into_iter().flatten();
        let by_clock = live.replica.poll_timeout().into_iter().chain(own).min().map(|due| self.machine.world_ms(due));
        by_clock.into_iter().chain(live.older_ms).min()
    }

    pub(crate) fn time_passed(&mut self, now_ms: u64) {
        let clock_ms = self.machine.clock_ms(now_ms);
        self.tell_replica(now_ms, replicate::Input::Tick);
        self.duty_if_due(now_ms);
        if let Some(live) = &mut self.live
            && live.wake_ms.is_some_and(|due| due <= clock_ms)
        {
            live.wake_ms = None;
            self.tell_engine(now_ms, Input::Woken);
        }
        if self.live.as_ref().is_some_and(|live| live.older_ms.is_some_and(|due| due <= now_ms)) {
            self.look_for_older(now_ms);
        }
    }

    /// Nodes of a state are asked for: they have time to come.
    fn expect_tree(&mut self, now_ms: u64) {
        if let Some(live) = self.live.as_mut().filter(|_| self.takes_older) {
            live.older_ms = live.older_ms.or(Some(now_ms + PATIENCE_MS));
        }
    }

    /// The engine, if it waits for a state, hears what lies whole with seeders.
    fn look_for_older(&mut self, now_ms: u64) {
        let Some(live) = &mut self.live else { return };
        live.older_ms = None;
        if !live.engine.waits_for_heads() {
            return;
        }
        let receipts = live.replica.receipts().map(SignedReceipt::receipt);
        let whole =
            receipts.filter(|receipt| receipt.holding == Holding::Complete).map(|receipt| receipt.head).collect();
        self.tell_engine(now_ms, Input::LieWhole(whole));
        self.expect_tree(now_ms);
    }

    /// What could not be written is tried again.
    pub(crate) fn retry(&mut self, now_ms: u64) {
        if let Some(live) = &mut self.live {
            live.engine.retry_stuck();
        }
        self.carry_out(now_ms);
    }
}

/// What is told of a step when there is no disk to do it at.
pub(crate) fn not_done(id: StepId) -> Input {
    Input::StepFailed { id, why: StepError::NoContent }
}

fn restored(cast: &Cast, ops: &[SignedOp], durable: &Durable) -> Replica {
    let (heads, receipts) = (durable.heads.values().cloned().collect(), durable.receipts.clone());
    let (ops, envelopes) = (ops.iter().chain(&durable.ops).cloned().collect(), durable.envelopes.clone());
    Replica::restore(cast.genesis.clone(), Kept { ops, envelopes, heads, receipts, ..Kept::default() })
}
