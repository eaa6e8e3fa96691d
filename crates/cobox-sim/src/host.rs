//! A seeder's machine: the tenant as it is shipped, over blocks in memory. What survives a stop is what the shipped host writes before
//! it says anything: records, marks of completeness, and groups of blocks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cobox_proto::block::BlockHeader;
use cobox_proto::head::SignedHead;
use cobox_proto::hosting::{Promise, Shelf, SignedReceipt, Status, Tenant, TenantInput, TenantOutput, reach};
use cobox_proto::id::{Cid, HeadId};
use cobox_proto::members::SignedOp;
use cobox_proto::replicate::{self, Kept, PeerId};
use cobox_proto::wire::proof::{KeyKind, Who};
use cobox_proto::wire::{Message, OpEnvelopes, Removal};

use crate::cast::{Cast, Hired};
use crate::faults::{Machine, counts_down};
use crate::member::{Block, Packet};

/// How often garbage is looked for, and how long it lies before it goes.
const SWEEP_MS: u64 = 3_600_000;
/// How long to wait after the disk refused.
const RETRY_MS: u64 = 2_000;

/// What a stop leaves.
#[derive(Debug, Clone, Default)]
struct Durable {
    heads: BTreeMap<HeadId, SignedHead>,
    receipts: Vec<SignedReceipt>,
    /// Of the log, what all did not begin with.
    ops: Vec<SignedOp>,
    envelopes: Vec<OpEnvelopes>,
    complete: BTreeMap<HeadId, u64>,
    blocks: BTreeMap<Cid, Block>,
    marks: BTreeSet<Cid>,
    /// Damaged, and not read since.
    rotten: BTreeSet<Cid>,
    /// A block went that marks may rest on, and they were not looked through since.
    in_doubt: bool,
}

/// Blocks by name: what is beneath each, how long it is, whether all beneath it is here.
#[derive(Debug, Default)]
struct Blocks {
    here: BTreeMap<Cid, (Vec<Cid>, u64)>,
    marks: BTreeSet<Cid>,
}

impl Blocks {
    fn add(&mut self, cid: Cid, bytes: &[u8]) {
        let links = BlockHeader::parse(bytes).map(|(header, _)| header.links).unwrap_or_default();
        self.here.insert(cid, (links, bytes.len() as u64));
    }
}

impl Shelf for Blocks {
    fn status(&self, cid: &Cid) -> Status {
        match (self.here.contains_key(cid), self.marks.contains(cid)) {
            (false, _) => Status::Missing,
            (true, false) => Status::Held,
            (true, true) => Status::Complete,
        }
    }

    fn links(&self, cid: &Cid) -> Vec<Cid> {
        self.here.get(cid).map(|(links, _)| links.clone()).unwrap_or_default()
    }

    fn bytes(&self, cid: &Cid) -> u64 {
        self.here.get(cid).map_or(0, |(_, bytes)| *bytes)
    }

    fn set_complete(&mut self, cid: &Cid, complete: bool) {
        match complete && self.here.contains_key(cid) {
            true => drop(self.marks.insert(*cid)),
            false => drop(self.marks.remove(cid)),
        }
    }

    fn cids(&self) -> Vec<Cid> {
        self.here.keys().copied().collect()
    }
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
    shelf: Blocks,
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
    live: Option<Live>,
    /// After so many durable things the machine stops.
    pub(crate) stop_after: Option<u32>,
    pub(crate) outbox: Vec<(PeerId, Packet)>,
    pub(crate) close: Vec<PeerId>,
    pub(crate) events: Vec<String>,
    pub(crate) machine: Machine,
    /// Blocks that were found to be sealed: their bytes are their names'.
    looked_into: BTreeSet<Cid>,
    /// What lies beneath each block that was ever here.
    beneath: BTreeMap<Cid, Vec<Cid>>,
    /// Heads that were complete until a block of them went bad, and are not again. It is known while the machine runs.
    in_repair: BTreeSet<HeadId>,
    /// A block went bad, and it is found out which heads are hit.
    loses: bool,
    /// A promise that this machine broke by itself.
    pub(crate) broken: Option<String>,
}

impl<'c> Host<'c> {
    pub(crate) fn at(cast: &'c Cast, index: usize, machine: Machine) -> Self {
        Self {
            name: (b'S' + index as u8) as char,
            cast,
            hired: &cast.hired[index],
            durable: Durable::default(),
            live: None,
            stop_after: None,
            outbox: Vec::new(),
            close: Vec::new(),
            events: Vec::new(),
            machine,
            looked_into: BTreeSet::new(),
            beneath: BTreeMap::new(),
            in_repair: BTreeSet::new(),
            loses: false,
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
        let clock_ms = self.machine.clock_ms(now_ms);
        let mut shelf = Blocks { marks: self.durable.marks.clone(), ..Blocks::default() };
        for (cid, bytes) in &self.durable.blocks {
            shelf.add(*cid, bytes);
        }
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
        self.live = Some(Live {
            tenant,
            shelf,
            unkept: Vec::new(),
            unsaid: VecDeque::new(),
            gathered: Vec::new(),
            garbage: BTreeMap::new(),
            sweep_ms: clock_ms + SWEEP_MS,
            retry_ms: None,
            clock_ms,
        });
        self.stop_after = None;
        if self.durable.in_doubt {
            self.recheck(now_ms);
        }
        self.carry_out(now_ms, None);
    }

    pub(crate) fn stop(&mut self) {
        self.live = None;
        self.stop_after = None;
        self.outbox.clear();
        self.close.clear();
    }

    fn stops_now(&mut self) -> bool {
        let stops = counts_down(&mut self.stop_after);
        if stops {
            self.stop();
        }
        stops
    }

    pub(crate) fn tell(&mut self, now_ms: u64, input: replicate::Input) {
        self.handle(now_ms, TenantInput::Replica(input), None);
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

    fn handle(&mut self, now_ms: u64, input: TenantInput, block: Option<&Block>) {
        let clock_ms = self.note_clock(now_ms);
        if let Some(live) = &mut self.live {
            live.tenant.handle(clock_ms, input, &mut live.shelf);
        }
        self.carry_out(now_ms, block);
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
    fn carry_out(&mut self, now_ms: u64, block: Option<&Block>) {
        self.drain(block);
        let Some(live) = &mut self.live else { return };
        let unkept = std::mem::take(&mut live.unkept);
        if unkept.iter().any(|record| matches!(record, Record::Complete(..))) {
            if self.stops_now() {
                return;
            }
            let Some(live) = &self.live else { return };
            self.durable.marks.clone_from(&live.shelf.marks);
        }
        if !unkept.is_empty() {
            if self.stops_now() {
                return;
            }
            unkept.into_iter().for_each(|record| self.keep(record));
        }
        while let Some(word) = self.live.as_mut().and_then(|live| live.unsaid.pop_front()) {
            match word {
                Word::Say(peer, message) => self.outbox.push((peer, Packet::Message(message))),
                Word::Close(peer) => self.close.push(peer),
                Word::Send(peer, cid) => self.send(now_ms, peer, cid),
            }
        }
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
                TenantOutput::Released(head) => {
                    self.events.push(format!("lets go of {}", head.short()));
                    self.in_repair.extend(self.loses.then_some(head));
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

    fn send(&mut self, now_ms: u64, peer: PeerId, cid: Cid) {
        if self.durable.rotten.contains(&cid) {
            self.lose_rotten([cid]);
            self.tell(now_ms, replicate::Input::BlockMissing { peer, cid });
            return self.recheck(now_ms);
        }
        match self.durable.blocks.get(&cid) {
            Some(bytes) => {
                self.outbox.push((peer, Packet::Block(cid, bytes.clone())));
                self.tell(now_ms, replicate::Input::BlockSent { peer, cid });
            }
            None => self.tell(now_ms, replicate::Input::BlockMissing { peer, cid }),
        }
    }

    /// These can not be read: they leave the shelf, and the marks above them are in doubt.
    fn lose_rotten(&mut self, cids: impl IntoIterator<Item = Cid>) {
        self.durable.in_doubt = true;
        for cid in cids {
            self.events.push(format!("finds {} damaged", cid.short()));
            self.forget(&cid);
        }
    }

    fn forget(&mut self, cid: &Cid) {
        self.durable.rotten.remove(cid);
        self.durable.blocks.remove(cid);
        self.durable.marks.remove(cid);
        if let Some(live) = &mut self.live {
            live.shelf.here.remove(cid);
            live.shelf.marks.remove(cid);
        }
    }

    fn recheck(&mut self, now_ms: u64) {
        self.loses = true;
        self.handle(now_ms, TenantInput::BlockLost(Cid::ZERO), None);
        self.loses = false;
        if let Some(live) = &self.live {
            self.durable.marks.clone_from(&live.shelf.marks);
            self.durable.in_doubt = false;
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        self.live.as_ref().is_some_and(|live| !live.gathered.is_empty())
    }

    /// Writes the blocks that were gathered, as one group.
    pub(crate) fn work(&mut self, now_ms: u64) {
        let Some(live) = &mut self.live else { return };
        let gathered = std::mem::take(&mut live.gathered);
        if gathered.is_empty() || self.stops_now() {
            return;
        }
        let clock_ms = self.note_clock(now_ms);
        let Some(live) = &mut self.live else { return };
        if self.machine.fails(8) {
            self.events.push("its disk is full".into());
            live.retry_ms = Some(clock_ms + RETRY_MS);
            live.tenant.disk_full(clock_ms);
            return self.carry_out(now_ms, None);
        }
        for (cid, bytes) in gathered {
            let Some(live) = &mut self.live else { return };
            live.shelf.add(cid, &bytes);
            self.beneath.entry(cid).or_insert_with(|| live.shelf.links(&cid));
            self.durable.rotten.remove(&cid);
            self.durable.blocks.insert(cid, bytes);
            self.handle(now_ms, TenantInput::BlockStored(cid), None);
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
        if self.live.as_ref().is_some_and(|live| live.sweep_ms <= clock_ms) {
            self.sweep(now_ms);
        }
    }

    /// Reads everything again, and deletes what has been garbage for long enough.
    fn sweep(&mut self, now_ms: u64) {
        let rotten = std::mem::take(&mut self.durable.rotten);
        if !rotten.is_empty() {
            self.lose_rotten(rotten);
            self.recheck(now_ms);
        }
        let clock_ms = self.note_clock(now_ms);
        let Some(live) = &mut self.live else { return };
        live.sweep_ms = clock_ms + SWEEP_MS;
        let found = live.tenant.sweep(clock_ms, &mut live.shelf);
        let since = |cid: Cid| (cid, live.garbage.get(&cid).copied().unwrap_or(clock_ms));
        live.garbage = found.into_iter().map(since).collect();
        let old = |since: u64| clock_ms.saturating_sub(since) >= SWEEP_MS;
        let due: Vec<Cid> = live.garbage.iter().filter(|(_, since)| old(**since)).map(|(cid, _)| *cid).collect();
        live.garbage.retain(|_, since| !old(*since));
        self.carry_out(now_ms, None);
        if !due.is_empty() && !self.stops_now() {
            self.events.push(format!("deletes {} blocks", due.len()));
            self.throws_away(&due);
            due.iter().for_each(|cid| self.forget(cid));
        }
    }

    /// What it has said to be complete stays, and so does what is left of that while it is repaired: a block that lies beneath a bad one
    /// may be nowhere else.
    fn throws_away(&mut self, due: &[Cid]) {
        let Some(live) = &self.live else { return };
        let heads = live.tenant.replica().heads();
        for id in live.tenant.complete().keys().chain(&self.in_repair) {
            let (mut reached, mut todo) = (BTreeSet::new(), Vec::from_iter(heads.get(id).map(|head| head.head().root)));
            while let Some(cid) = todo.pop() {
                if reached.insert(cid) {
                    todo.extend(self.beneath.get(&cid).into_iter().flatten());
                }
            }
            if let Some(cid) = due.iter().find(|cid| reached.contains(*cid)) {
                let (name, cid, id) = (self.name, cid.short(), id.short());
                self.broken = Some(format!("O1: {name} throws away {cid}, which lies beneath {id}"));
                return;
            }
        }
    }

    /// A block goes bad on its disk.
    pub(crate) fn rot(&mut self) -> Option<Cid> {
        let cids: Vec<Cid> = self.durable.blocks.keys().copied().collect();
        let cid = self.machine.luck.pick(&cids).copied()?;
        self.durable.rotten.insert(cid);
        Some(cid)
    }

    pub(crate) fn has(&self, cid: &Cid) -> bool {
        self.durable.blocks.contains_key(cid)
    }

    /// Blocks beneath a head that are not here.
    pub(crate) fn lacks(&self, head: &HeadId) -> Vec<Cid> {
        let Some(live) = &self.live else { return Vec::new() };
        let Some(root) = live.tenant.replica().heads().get(head).map(|head| head.head().root) else {
            return Vec::new();
        };
        let mut reached = BTreeSet::new();
        reach(&live.shelf, &root, &mut reached, |_| {});
        let named: BTreeSet<Cid> = reached.iter().flat_map(|cid| live.shelf.links(cid)).chain([root]).collect();
        named.difference(&reached).copied().collect()
    }

    pub(crate) fn is_complete(&self, head: &HeadId) -> bool {
        self.live.as_ref().is_some_and(|live| live.tenant.complete().contains_key(head))
    }

    /// Whether every block beneath every head that it calls complete is there; and whether none of them can be read.
    pub(crate) fn keeps_its_word(&mut self) -> Result<(), String> {
        let mut all = Blocks::default();
        for (cid, bytes) in &self.durable.blocks {
            all.add(*cid, bytes);
            if self.looked_into.insert(*cid) && can_be_read(bytes) {
                return Err(format!("O5: {} can read block {}", self.name, cid.short()));
            }
        }
        for id in self.live.iter().flat_map(|live| live.tenant.complete().keys()) {
            let Some(head) = self.durable.heads.get(id) else {
                return Err(format!("O1: {} calls {} complete and does not have it", self.name, id.short()));
            };
            let mut reached = BTreeSet::new();
            reach(&all, &head.head().root, &mut reached, |_| {});
            let named = reached.iter().flat_map(|cid| all.links(cid)).chain([head.head().root]);
            if let Some(missing) = named.into_iter().find(|cid| !reached.contains(cid)) {
                let (id, missing) = (id.short(), missing.short());
                return Err(format!("O1: {} calls {id} complete and lacks block {missing}", self.name));
            }
        }
        Ok(())
    }
}

/// Whether what a person wrote stands in a block as it is.
fn can_be_read(bytes: &[u8]) -> bool {
    const WRITTEN: &[u8] = b" wrote no.";
    let before = &WRITTEN[..WRITTEN.len() - 1];
    let mut rest = bytes;
    // By the last byte it is told how far on it can begin: in sealed bytes most often behind it (Horspool 1980).
    while let Some(here) = rest.first_chunk::<{ WRITTEN.len() }>() {
        if here == WRITTEN {
            return true;
        }
        let last = here[before.len()];
        let again = before.iter().rev().position(|byte| *byte == last);
        rest = &rest[again.map_or(WRITTEN.len(), |behind| behind + 1)..];
    }
    false
}
