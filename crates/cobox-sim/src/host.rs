//! A seeder's machine: the tenant and the store of blocks as they are shipped, over a disk in memory. What survives a stop is what the
//! shipped host writes before it says anything: records, which are whole and durable here, and what the store makes of marks and of
//! groups of blocks.

mod word;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cobox_proto::block::BlockHeader;
use cobox_proto::head::SignedHead;
use cobox_proto::hosting::{Promise, SignedReceipt, Tenant, TenantInput, TenantOutput};
use cobox_proto::id::{Cid, HeadId};
use cobox_proto::members::SignedOp;
use cobox_proto::replicate::{self, Kept, PeerId};
use cobox_proto::wire::proof::{KeyKind, Who};
use cobox_proto::wire::{Message, OpEnvelopes, Removal};
use cobox_store::{BlockStore, CheckMark, StoreError};

use crate::cast::{Cast, Hired};
use crate::dice::Dice;
use crate::faults::{Faults, Machine};
use crate::member::{Block, Packet};
use crate::segments::{Segments, Shelf, Store};

/// How often garbage is looked for, and how long it lies before it goes.
const SWEEP_MS: u64 = 3_600_000;
/// How long to wait after the disk refused.
const RETRY_MS: u64 = 2_000;

/// What a stop leaves, besides the blocks and their marks.
#[derive(Debug, Clone, Default)]
struct Durable {
    heads: BTreeMap<HeadId, SignedHead>,
    receipts: Vec<SignedReceipt>,
    /// Of the log, what all did not begin with.
    ops: Vec<SignedOp>,
    envelopes: Vec<OpEnvelopes>,
    complete: BTreeMap<HeadId, u64>,
    /// A block went that marks may rest on, and they were not looked through since.
    in_doubt: bool,
}

/// What is said once everything before it is durable.
#[derive(Debug)]
enum Word {
    Say(PeerId, Message),
    Send(PeerId, Cid),
    Close(PeerId),
}

#[derive(Debug)]
enum Record {
    Head(Box<SignedHead>),
    Receipt(SignedReceipt),
    Ops(Vec<SignedOp>),
    Envelopes(OpEnvelopes),
    Complete(HeadId, u64),
    Released(HeadId),
}

/// What runs.
#[derive(Debug)]
struct Live {
    tenant: Tenant,
    shelf: Shelf,
    store: Arc<Store>,
    /// Who is connected.
    peers: BTreeSet<PeerId>,
    unkept: Vec<Record>,
    unsaid: VecDeque<Word>,
    gathered: Vec<(Cid, Block)>,
    garbage: BTreeMap<Cid, u64>,
    sweep_ms: u64,
    retry_ms: Option<u64>,
    clock_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Host<'c> {
    pub(crate) name: char,
    cast: &'c Cast,
    hired: &'c Hired,
    durable: Durable,
    disk: Segments,
    live: Option<Live>,
    /// Its disk is one that misbehaves: what it does is part of the story. Other stories are what they were.
    tells_of_disk: bool,
    pub(crate) outbox: Vec<(PeerId, Packet)>,
    pub(crate) close: Vec<PeerId>,
    pub(crate) events: Vec<String>,
    pub(crate) machine: Machine,
    /// Blocks of which the store said that they are kept, and which neither went bad nor were deleted since.
    kept: BTreeSet<Cid>,
    /// Blocks that went bad on the disk, which nobody has found out yet.
    rotten: BTreeSet<Cid>,
    /// Blocks that were found to be sealed: their bytes are their names'.
    looked_into: BTreeSet<Cid>,
    /// What lies beneath each block that was ever here.
    beneath: BTreeMap<Cid, Vec<Cid>>,
    /// Heads that were complete until a block of them went bad, and are not again. A start finds them out anew.
    in_repair: BTreeSet<HeadId>,
    /// It has sent everybody away to begin anew.
    pub(crate) is_alone: bool,
    /// A promise that this machine broke by itself.
    pub(crate) broken: Option<String>,
}

impl<'c> Host<'c> {
    pub(crate) fn at(cast: &'c Cast, index: usize, machine: Machine, dice: Dice) -> Self {
        Self {
            name: (b'S' + index as u8) as char,
            cast,
            hired: &cast.hired[index],
            durable: Durable::default(),
            disk: Segments::new(dice, machine.faults.clone()),
            live: None,
            tells_of_disk: machine.faults.segments,
            outbox: Vec::new(),
            close: Vec::new(),
            events: Vec::new(),
            machine,
            kept: BTreeSet::new(),
            rotten: BTreeSet::new(),
            looked_into: BTreeSet::new(),
            beneath: BTreeMap::new(),
            in_repair: BTreeSet::new(),
            is_alone: false,
            broken: None,
        }
    }

    pub(crate) fn who(&self) -> Who {
        Who { kind: KeyKind::Seeder, key: self.hired.key.public() }
    }

    /// How somebody who calls was sent away, if they were.
    pub(crate) fn removal_of(&self, who: &Who) -> Removal {
        self.live.as_ref().map_or_else(Removal::default, |live| live.tenant.replica().removal_of(who))
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    pub(crate) fn start(&mut self, now_ms: u64) {
        match self.disk.open() {
            Ok(store) => {
                self.has_what_it_kept(&store);
                self.load(now_ms, store);
            }
            Err(error) => {
                self.events.push(format!("does not start: {error}"));
                self.stop();
            }
        }
    }

    /// The brain is made from what is durable.
    fn load(&mut self, now_ms: u64, store: Arc<Store>) -> Option<()> {
        let clock_ms = self.machine.clock_ms(now_ms);
        let mut shelf = Shelf::new(store.clone());
        let kept = Kept {
            ops: self.cast.hosted_ops.iter().chain(&self.durable.ops).cloned().collect(),
            envelopes: self.durable.envelopes.clone(),
            heads: self.durable.heads.values().cloned().collect(),
            receipts: self.durable.receipts.clone(),
            ..Kept::default()
        };
        let promise = Promise::of(&self.cast.genesis.folder_id(), [&self.hired.offer]);
        let (genesis, complete) = (self.cast.genesis.clone(), self.durable.complete.clone());
        self.in_repair.clear();
        let tenant = Tenant::restore(clock_ms, genesis, kept, complete, self.hired.key.clone(), promise, &mut shelf);
        let answered = shelf.trouble();
        self.live = Some(Live {
            tenant,
            shelf,
            store,
            peers: BTreeSet::new(),
            unkept: Vec::new(),
            unsaid: VecDeque::new(),
            gathered: Vec::new(),
            garbage: BTreeMap::new(),
            sweep_ms: clock_ms + SWEEP_MS,
            retry_ms: None,
            clock_ms,
        });
        self.went(now_ms, answered)?;
        if self.durable.in_doubt {
            self.recheck(now_ms)?;
        }
        self.carry_out(now_ms, None)
    }

    pub(crate) fn stop(&mut self) {
        self.live = None;
        if self.disk.stopped() {
            self.events.push("its index is gone".into());
        }
        self.outbox.clear();
        self.close.clear();
    }

    /// After so many durable things the machine stops.
    pub(crate) fn stop_after(&mut self, durable: u32) {
        self.disk.stop_after(Some(durable));
    }

    /// The storm is over: all works again.
    pub(crate) fn recover(&mut self) {
        self.disk.stop_after(None);
        self.suffer(Faults::default());
        self.machine.recover();
    }

    /// Its disk is as well or ill as these faults say.
    pub(crate) fn suffer(&mut self, faults: Faults) {
        self.disk.suffers(faults.clone());
        self.machine.faults = faults;
    }

    fn stops_now(&mut self) -> bool {
        let stops = self.disk.stops_now();
        if stops {
            self.stop();
        }
        stops
    }

    /// What the store did, if it did. `None`: the machine has stopped, or the folder begins anew.
    fn went<T>(&mut self, now_ms: u64, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(done) => Some(done),
            Err(error) => {
                self.begin_anew(now_ms, error);
                None
            }
        }
    }

    /// Nothing that the brain concluded is to be believed.
    fn begin_anew(&mut self, now_ms: u64, error: StoreError) {
        let Some(live) = self.live.take() else { return };
        match error {
            _ if self.disk.is_off() => self.stop(),
            StoreError::DamagedBlock { cid, .. } => {
                self.close.extend(&live.peers);
                self.is_alone = true;
                let store = live.store.clone();
                self.live = Some(live);
                if self.doubts() && self.drops(now_ms, &store, cid).is_some() {
                    self.live = None;
                    self.load(now_ms, store);
                }
            }
            error => {
                self.events.push(format!("goes no further: {error}"));
                drop(live);
                self.stop();
            }
        }
    }

    pub(crate) fn tell(&mut self, now_ms: u64, input: replicate::Input) {
        match (&input, &mut self.live) {
            (replicate::Input::PeerOpened { peer, .. }, Some(live)) => drop(live.peers.insert(*peer)),
            (replicate::Input::PeerClosed { peer }, Some(live)) => drop(live.peers.remove(peer)),
            _ => {}
        }
        self.replica(now_ms, input);
    }

    fn replica(&mut self, now_ms: u64, input: replicate::Input) -> Option<()> {
        self.handle(now_ms, TenantInput::Replica(input), None)
    }

    pub(crate) fn receive(&mut self, now_ms: u64, peer: PeerId, packet: Packet) {
        match packet {
            Packet::Message(message) => self.tell(now_ms, replicate::Input::Received { peer, message }),
            Packet::Block(cid, bytes) => {
                let input = replicate::Input::BlockArrived { peer, cid, bytes: bytes.len() as u64 };
                self.handle(now_ms, TenantInput::Replica(input), Some(&bytes));
            }
        }
    }

    /// `None`: the machine has stopped, or the folder begins anew.
    fn handle(&mut self, now_ms: u64, input: TenantInput, block: Option<&Block>) -> Option<()> {
        let clock_ms = self.note_clock(now_ms);
        let live = self.live.as_mut()?;
        live.tenant.handle(clock_ms, input, &mut live.shelf);
        let answered = live.shelf.trouble();
        self.went(now_ms, answered)?;
        self.carry_out(now_ms, block)
    }

    /// The clock may be set back: what was due then is due as long from now, as in the shipped host.
    fn note_clock(&mut self, now_ms: u64) -> u64 {
        let clock_ms = self.machine.clock_ms(now_ms);
        if let Some(live) = &mut self.live {
            let back_ms = std::mem::replace(&mut live.clock_ms, clock_ms).saturating_sub(clock_ms);
            live.sweep_ms = live.sweep_ms.saturating_sub(back_ms);
            live.retry_ms = live.retry_ms.map(|due| due.saturating_sub(back_ms));
        }
        clock_ms
    }

    /// Writes down what must be kept, then says what rests on it.
    fn carry_out(&mut self, now_ms: u64, block: Option<&Block>) -> Option<()> {
        self.drain(block);
        let unkept = std::mem::take(&mut self.live.as_mut()?.unkept);
        if unkept.iter().any(|record| matches!(record, Record::Complete(..))) {
            if self.stops_now() {
                return None;
            }
            self.flush(now_ms)?;
        }
        if !unkept.is_empty() {
            if self.stops_now() {
                return None;
            }
            unkept.into_iter().for_each(|record| self.keep(record));
        }
        while let Some(word) = self.live.as_mut()?.unsaid.pop_front() {
            match word {
                Word::Say(peer, message) => self.outbox.push((peer, Packet::Message(message))),
                Word::Close(peer) => self.close.push(peer),
                Word::Send(peer, cid) => self.send(now_ms, peer, cid)?,
            }
        }
        Some(())
    }

    fn flush(&mut self, now_ms: u64) -> Option<()> {
        let flushed = self.live.as_mut()?.shelf.flush();
        self.went(now_ms, flushed)
    }

    fn keep(&mut self, record: Record) {
        match record {
            Record::Head(head) => drop(self.durable.heads.insert(head.id(), *head)),
            Record::Receipt(receipt) => self.durable.receipts.push(receipt),
            Record::Ops(ops) => self.durable.ops.extend(ops),
            Record::Envelopes(sent) => self.durable.envelopes.push(sent),
            Record::Complete(head, at_ms) => drop(self.durable.complete.insert(head, at_ms)),
            Record::Released(head) => drop(self.durable.complete.remove(&head)),
        }
    }

    fn drain(&mut self, block: Option<&Block>) {
        let Some(live) = &mut self.live else { return };
        while let Some(output) = live.tenant.poll_output() {
            use replicate::Output as O;
            let ours = self.hired.key.public();
            let replica = live.tenant.replica();
            let receipt = |head: &HeadId| {
                let found =
                    replica.receipts().find(|signed| signed.receipt().seeder == ours && signed.receipt().head == *head);
                found.cloned().map(Record::Receipt)
            };
            match output {
                TenantOutput::Completed { head, received_ms } => {
                    self.events.push(format!("has all of {}", head.short()));
                    self.in_repair.remove(&head);
                    let receipt = receipt(&head);
                    live.unkept.push(Record::Complete(head, received_ms));
                    live.unkept.extend(receipt);
                }
                TenantOutput::Lost(head) => {
                    self.events.push(format!("lost a block of {}", head.short()));
                    self.in_repair.insert(head);
                }
                TenantOutput::Released(head) => {
                    self.events.push(format!("lets go of {}", head.short()));
                    self.in_repair.remove(&head);
                    live.unkept.push(Record::Released(head));
                }
                TenantOutput::Refused { head, holding } => {
                    self.events.push(format!("refuses {}: {holding:?}", head.short()));
                    live.unkept.extend(receipt(&head));
                }
                TenantOutput::Replica(O::Send { peer, message }) => live.unsaid.push_back(Word::Say(peer, message)),
                TenantOutput::Replica(O::SendBlock { peer, cid }) => live.unsaid.push_back(Word::Send(peer, cid)),
                TenantOutput::Replica(O::ClosePeer { peer, .. }) => live.unsaid.push_back(Word::Close(peer)),
                TenantOutput::Replica(O::HeadAccepted(id) | O::HeadQuarantined(id)) => {
                    live.unkept.extend(replica.heads().get(&id).cloned().map(|head| Record::Head(Box::new(head))));
                }
                TenantOutput::Replica(O::OpsAdded(ids)) => {
                    let ops = ids.iter().filter_map(|id| replica.membership().op(id)).cloned().collect();
                    live.unkept.push(Record::Ops(ops));
                }
                TenantOutput::Replica(O::EnvelopesAdded(sent)) => live.unkept.push(Record::Envelopes(sent)),
                TenantOutput::Replica(O::ReceiptArrived(receipt)) => live.unkept.push(Record::Receipt(receipt)),
                TenantOutput::Replica(O::BlockTaken { cid, .. }) => {
                    if let Some(bytes) = block.filter(|_| live.retry_ms.is_none()) {
                        live.gathered.push((cid, bytes.clone()));
                    }
                }
                TenantOutput::Replica(_) => {}
            }
        }
    }

    fn send(&mut self, now_ms: u64, peer: PeerId, cid: Cid) -> Option<()> {
        let store = self.live.as_ref()?.store.clone();
        match store.look(&cid) {
            Ok(Some(bytes)) => {
                self.outbox.push((peer, Packet::Block(cid, Arc::new(bytes))));
                self.replica(now_ms, replicate::Input::BlockSent { peer, cid })
            }
            Err(StoreError::DamagedBlock { .. }) => {
                if !self.doubts() {
                    return None;
                }
                self.drops(now_ms, &store, cid)?;
                self.replica(now_ms, replicate::Input::BlockMissing { peer, cid })?;
                self.recheck(now_ms)
            }
            Err(error) if self.disk.is_off() => self.went(now_ms, Err(error)),
            Ok(None) | Err(_) => self.replica(now_ms, replicate::Input::BlockMissing { peer, cid }),
        }
    }

    /// Marks are in doubt from here on. False: the machine stops before.
    fn doubts(&mut self) -> bool {
        let stops = self.machine.faults.segments && self.stops_now();
        self.durable.in_doubt |= !stops;
        !stops
    }

    /// Only now does a damaged block count as missing.
    fn drops(&mut self, now_ms: u64, store: &Store, cid: Cid) -> Option<()> {
        match store.get(&cid) {
            Err(StoreError::DamagedBlock { .. }) => self.finds_damaged(cid),
            Err(error) if self.disk.is_off() => return self.went(now_ms, Err(error)),
            _ => {}
        }
        Some(())
    }

    /// The store could not read it and counts it as missing.
    fn finds_damaged(&mut self, cid: Cid) {
        self.events.push(format!("finds {} damaged", cid.short()));
        self.kept.remove(&cid);
        // A disk that will not be read twice in a row is as bad as one whose bits changed.
        if !self.rotten.remove(&cid) && !self.machine.faults.sick_disks {
            self.breaks(format!("O1: {} finds {} damaged, which nothing had spoiled", self.name, cid.short()));
        }
    }

    fn recheck(&mut self, now_ms: u64) -> Option<()> {
        self.handle(now_ms, TenantInput::BlockLost(Cid::ZERO), None)?;
        self.flush(now_ms)?;
        self.durable.in_doubt = false;
        Some(())
    }

    pub(crate) fn has_work(&self) -> bool {
        self.live.as_ref().is_some_and(|live| !live.gathered.is_empty())
    }

    /// Writes the blocks that were gathered, as one group.
    pub(crate) fn work(&mut self, now_ms: u64) {
        let Some(live) = &mut self.live else { return };
        let gathered = std::mem::take(&mut live.gathered);
        if !gathered.is_empty() && !self.stops_now() {
            self.put(now_ms, &gathered);
        }
    }

    fn put(&mut self, now_ms: u64, gathered: &[(Cid, Block)]) -> Option<()> {
        let clock_ms = self.note_clock(now_ms);
        let is_full = self.machine.fails(8);
        self.disk.is_busy();
        for (cid, bytes) in gathered {
            // Whatever becomes of it now, a later start may find it.
            let links = || BlockHeader::parse(bytes).map(|(header, _)| header.links).unwrap_or_default();
            self.beneath.entry(*cid).or_insert_with(links);
        }
        let live = self.live.as_mut()?;
        let group: Vec<(Cid, &[u8])> = gathered.iter().map(|(cid, bytes)| (*cid, &bytes[..])).collect();
        let full = || Err(StoreError::DiskFull { path: "memory".into() });
        match if is_full { full() } else { live.store.put_many(&group) } {
            Ok(()) => {
                self.kept.extend(gathered.iter().map(|(cid, _)| *cid));
                gathered.iter().try_for_each(|(cid, _)| self.handle(now_ms, TenantInput::BlockStored(*cid), None))
            }
            Err(error) if self.disk.is_off() => self.went(now_ms, Err(error)),
            Err(error) => {
                let is_full = matches!(error, StoreError::DiskFull { .. });
                self.events.push(if is_full {
                    "its disk is full".into()
                } else {
                    format!("can not keep blocks: {error}")
                });
                live.retry_ms = Some(clock_ms + RETRY_MS);
                live.tenant.disk_full(clock_ms);
                self.carry_out(now_ms, None)
            }
        }
    }

    pub(crate) fn due_ms(&self) -> Option<u64> {
        let live = self.live.as_ref()?;
        let own = live.retry_ms.into_iter().chain([live.sweep_ms]);
        live.tenant.poll_timeout().into_iter().chain(own).min().map(|due| self.machine.world_ms(due))
    }

    pub(crate) fn time_passed(&mut self, now_ms: u64) {
        self.tell(now_ms, replicate::Input::Tick);
        let clock_ms = self.note_clock(now_ms);
        let Some(live) = &mut self.live else { return };
        if live.retry_ms.is_some_and(|due| due <= clock_ms) {
            live.retry_ms = None;
            self.recheck(now_ms);
        }
        let due_ms = |host: &Self| host.live.as_ref().map(|live| live.sweep_ms).filter(|due| *due <= clock_ms);
        if let Some(due) = due_ms(self) {
            if self.tells_of_disk && due + SWEEP_MS < clock_ms && self.sweep(now_ms, due).is_none() {
                return; // What was garbage at the beginning of a night is deleted in it.
            }
            self.sweep(now_ms, clock_ms);
        }
    }

    /// Reads everything again, and deletes what has been garbage for long enough.
    fn sweep(&mut self, now_ms: u64, clock_ms: u64) -> Option<()> {
        self.read_again(now_ms)?;
        let live = self.live.as_mut()?;
        live.sweep_ms = clock_ms + SWEEP_MS;
        let found = live.tenant.sweep(clock_ms, &mut live.shelf);
        let answered = live.shelf.trouble();
        self.went(now_ms, answered)?;
        let live = self.live.as_mut()?;
        let since = |cid: Cid| (cid, live.garbage.get(&cid).copied().unwrap_or(clock_ms));
        live.garbage = found.into_iter().map(since).collect();
        let old = |since: u64| clock_ms.saturating_sub(since) >= SWEEP_MS;
        let due: Vec<Cid> = live.garbage.iter().filter(|(_, since)| old(**since)).map(|(cid, _)| *cid).collect();
        live.garbage.retain(|_, since| !old(*since));
        self.carry_out(now_ms, None)?;
        if due.is_empty() {
            return Some(());
        }
        if self.stops_now() {
            return None;
        }
        self.events.push(format!("deletes {} blocks", due.len()));
        self.throws_away(&due);
        for cid in &due {
            self.kept.remove(cid);
        }
        let live = self.live.as_mut()?;
        let deleted = live.store.delete_many(&due);
        live.shelf.forget(&due);
        self.went(now_ms, deleted)?;
        self.rotten.retain(|cid| !due.contains(cid));
        self.compact(now_ms)
    }

    /// Damaged blocks leave the shelf once what stands above them is in doubt. Where nothing was spoiled, there is none.
    fn read_again(&mut self, now_ms: u64) -> Option<()> {
        if self.rotten.is_empty() {
            return Some(());
        }
        let store = self.live.as_ref()?.store.clone();
        let damaged: BTreeSet<Cid> = match store.check_some(CheckMark::default(), u64::MAX, false) {
            Ok((report, _)) => report.damaged.into_iter().collect(),
            Err(error) if self.disk.is_off() => return self.went(now_ms, Err(error)),
            Err(_) => return Some(()),
        };
        if damaged.is_empty() {
            return Some(());
        }
        if !self.doubts() {
            return None;
        }
        damaged.into_iter().try_for_each(|cid| self.drops(now_ms, &store, cid))?;
        self.recheck(now_ms)
    }

    fn compact(&mut self, now_ms: u64) -> Option<()> {
        self.disk.is_busy();
        let store = self.live.as_ref()?.store.clone();
        let mut damaged = Vec::new();
        let in_doubt = &mut self.durable.in_doubt;
        let compacted = store.compact_telling(|cids| {
            damaged.extend(cids);
            *in_doubt = true;
            Ok(())
        });
        match compacted {
            Err(error) if self.disk.is_off() => return self.went(now_ms, Err(error)),
            Err(error) => self.events.push(format!("gives no room back: {error}")),
            Ok(compacted) if self.tells_of_disk && compacted.freed_bytes > 0 => {
                let (freed, moved) = (compacted.freed_bytes, compacted.moved_bytes);
                self.events.push(format!("gives {freed} bytes back and moves {moved}"));
            }
            Ok(_) => {}
        }
        if damaged.is_empty() {
            return Some(());
        }
        damaged.into_iter().for_each(|cid| self.finds_damaged(cid));
        self.recheck(now_ms)
    }

    /// A block goes bad on its disk.
    pub(crate) fn rot(&mut self) -> Option<Cid> {
        let cid = self.machine.luck.pick(&self.disk.cids()).copied()?;
        if self.rotten.insert(cid) {
            self.disk.spoil(&cid);
        }
        Some(cid)
    }

    pub(crate) fn has(&self, cid: &Cid) -> bool {
        self.disk.has(cid)
    }
}
