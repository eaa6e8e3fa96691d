//! A seeder's brain of one folder: a [`Replica`] that also wants, blindly, all blocks of each actor's newest head (rule R5), gives
//! receipts for what is complete, refuses what there is no room for, witnesses joins, and says what is garbage.
//!
//! Owns what the folder uses and which heads are complete; the blocks and the notes of completeness are on the [`Shelf`]. Must
//! hold: a receipt says complete only when every block beneath the head is on the shelf; what is kept is never given up for
//! what is new; what a receipt promises to keep is not garbage before its time, unless the folder's owners said so for days.

mod forgets;
mod sweeps;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::guard::Guard;
use crate::head::SignedHead;
use crate::hosting::agreed::Agreed;
use crate::hosting::forgetting::{Forgetting, LetGo};
use crate::hosting::ingest::{Ingest, Step};
use crate::hosting::mending::Mending;
use crate::hosting::promise::Promise;
use crate::hosting::quota::{Quota, Room};
use crate::hosting::receipt::{Holding, Receipt, SignedReceipt};
use crate::hosting::retention::sure_until_ms;
use crate::hosting::shelf::{Shelf, Status, missing_without, reach, reach_without, recheck};
use crate::hosting::witness::joins_to_witness;
use crate::id::{Cid, HeadId, OpId};
use crate::members::{Genesis, Op, OpBody, Role, Seeder, SignedOp, Signer};
use crate::replicate::{self, Kept, Priority, Replica};
use crate::sign::SecretKey;

/// What the world tells a tenant.
#[derive(Debug, Clone)]
pub enum TenantInput {
    /// For the replica; [`replicate::Input::Want`] and the other local inputs are the tenant's own to make.
    Replica(replicate::Input),
    /// A block that [`replicate::Output::BlockTaken`] told to keep is on the shelf, durably.
    BlockStored(Cid),
    /// A block was found damaged or lost, and is off the shelf.
    BlockLost(Cid),
}

/// What a tenant tells the world.
#[derive(Debug, Clone, PartialEq)]
pub enum TenantOutput {
    /// From the replica.
    Replica(replicate::Output),
    /// Keep this: the head is complete since then, by our clock.
    Completed {
        /// The head.
        head: HeadId,
        /// Since when.
        received_ms: u64,
    },
    /// A complete head lost a block, which is fetched again. Whatever was kept of it stays: a restart goes on with that.
    Lost(HeadId),
    /// The head is not held any more: it grew old.
    Released(HeadId),
    /// The folder's blocks do not fit, or the head lies; its author gets a receipt that says so.
    Refused {
        /// The head.
        head: HeadId,
        /// Why.
        holding: Holding,
    },
}

/// What a host kept of a tenant besides its replica and its blocks.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// The heads that [`TenantOutput::Completed`] told, and since when.
    pub complete: BTreeMap<HeadId, u64>,
    /// [`Tenant::forgetting`].
    pub forgetting: Forgetting,
}

impl From<BTreeMap<HeadId, u64>> for Before {
    fn from(complete: BTreeMap<HeadId, u64>) -> Self {
        Self { complete, forgetting: Forgetting::default() }
    }
}

/// Bytes and blocks a head may bring, and has brought.
#[derive(Debug, Clone, Copy, Default)]
struct Budget {
    blocks: u64,
    bytes: u64,
    /// The bytes are all the room there is: less than was announced by the heads before, which it may not need any more. With what
    /// is here of it already.
    room: Option<u64>,
}

impl Budget {
    /// What these heads announce together.
    fn announced<'h>(heads: impl Iterator<Item = &'h SignedHead>) -> Self {
        heads.map(SignedHead::head).fold(Self::default(), |sum, head| Self {
            blocks: sum.blocks.saturating_add(head.new_blocks),
            bytes: sum.bytes.saturating_add(head.new_bytes),
            room: None,
        })
    }
    fn plus(self, other: Self) -> Self {
        let blocks = self.blocks.saturating_add(other.blocks);
        Self { blocks, bytes: self.bytes.saturating_add(other.bytes), room: self.room }
    }
    fn minus(self, blocks: u64, bytes: u64) -> Self {
        Self { blocks: self.blocks.saturating_sub(blocks), bytes: self.bytes.saturating_sub(bytes), room: self.room }
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Tenant {
    replica: Replica,
    key: SecretKey,
    promise: Promise,
    ingest: Ingest,
    quota: Quota,
    /// Heads that are complete here, and since when.
    complete: BTreeMap<HeadId, u64>,
    /// Heads in the past of complete ones; with them, what is settled and never fetched for its own sake.
    superseded: BTreeSet<HeadId>,
    /// What all settled heads once announced.
    settled: Budget,
    /// Blocks on the shelf that some head needs.
    blocks_used: u64,
    /// Bytes of the folder's room that are used elsewhere.
    beside_bytes: u64,
    /// How long history stays; as the grant said at the first look.
    agreed: Option<Agreed>,
    /// What is to be forgotten, and since when that stands.
    forgetting: Forgetting,
    /// What of it counts, beneath the heads that are complete or repaired.
    let_go: LetGo,
    /// Fetches what heads lost of which something else was let go.
    mending: Mending,
    /// Bytes that no newest state needs, at the last look.
    history_bytes: u64,
    /// Complete heads that lost a block and are fetched again; since when they were complete.
    repairing: BTreeMap<HeadId, u64>,
    /// Heads that are being fetched, with what they may still bring.
    coming: BTreeMap<HeadId, Budget>,
    refused: BTreeMap<HeadId, Holding>,
    /// Heads that came as far as there was room, and the room, what is here of them included.
    overran: BTreeMap<HeadId, u64>,
    /// The last look found no garbage, and nothing was told since: it would find none again.
    is_swept: bool,
    outputs: VecDeque<TenantOutput>,
}

impl Tenant {
    /// A hosted folder as it was kept. Completeness itself is read from the shelf, use of room is counted anew. What was complete and
    /// is not is looked through: marks can be lost without their blocks, and what really lost a block is fetched again.
    pub fn restore(
        now_ms: u64,
        genesis: Genesis,
        kept: Kept,
        before: impl Into<Before>,
        key: SecretKey,
        promise: Promise,
        shelf: &mut dyn Shelf,
    ) -> Self {
        let Before { mut complete, forgetting } = before.into();
        let replica = Replica::restore(genesis, kept);
        complete.retain(|head, _| replica.heads().get(head).is_some());
        let mut tenant = Self {
            replica,
            key,
            promise,
            ingest: Ingest::default(),
            quota: Quota::default(),
            complete,
            superseded: BTreeSet::new(),
            settled: Budget::default(),
            blocks_used: 0,
            beside_bytes: 0,
            agreed: None,
            forgetting,
            let_go: LetGo::default(),
            mending: Mending::default(),
            history_bytes: 0,
            repairing: BTreeMap::new(),
            coming: BTreeMap::new(),
            refused: BTreeMap::new(),
            overran: BTreeMap::new(),
            is_swept: false,
            outputs: VecDeque::new(),
        };
        tenant.work_out_let_go();
        if tenant.complete.keys().all(|head| tenant.is_whole(head, &*shelf)) {
            tenant.settle_all();
            tenant.count_use(shelf);
            tenant.follow(now_ms, shelf);
        } else {
            tenant.block_lost(now_ms, shelf);
        }
        tenant
    }

    /// The replica.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }
    /// What is used of the room.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }
    /// The heads that are complete here, and since when.
    pub fn complete(&self) -> &BTreeMap<HeadId, u64> {
        &self.complete
    }
    /// How long history stays, for the host to keep: nobody may shorten it by waiting for a restart.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }
    /// What was kept of [`Self::agreed`].
    pub fn remember_agreed(&mut self, agreed: Agreed) {
        self.is_swept = false;
        self.agreed = Some(agreed);
    }
    /// What is to be forgotten and since when that stands, for the host to keep. Worked out by [`Self::sweep`].
    pub fn forgetting(&self) -> &Forgetting {
        &self.forgetting
    }
    /// Whether a block may go although blocks that stay link to it: when it is gone, what stands above it is to be looked at again
    /// ([`TenantInput::BlockLost`]).
    pub fn lets_go(&self, cid: &Cid) -> bool {
        self.let_go.contains(cid)
    }
    /// What the folder's history takes of the room: bytes that none of the newest states needs. Worked out by [`Self::sweep`].
    pub fn history_bytes(&self) -> u64 {
        self.history_bytes
    }
    /// Whether a head is on its way, or comes again because it lost a block: then not all that is needed is known by name.
    pub fn is_fetching(&self) -> bool {
        !self.coming.is_empty()
    }
    /// The grant under which the folder is hosted. `None`: its members ended it; nothing new is taken in.
    pub fn terms(&self) -> Option<&Seeder> {
        self.replica.membership().hired(&self.key.public(), &self.promise)
    }

    /// The host promises more, or something else.
    pub fn promise(&mut self, now_ms: u64, promise: Promise, shelf: &mut dyn Shelf) {
        self.promise = promise;
        self.is_swept = false;
        self.follow(now_ms, shelf);
    }

    /// The members' vaults beside the folder take so much of its room.
    pub fn charge_beside(&mut self, bytes: u64) {
        self.is_swept &= self.beside_bytes == bytes;
        self.beside_bytes = bytes;
    }

    /// The disk takes no more blocks. Whoever waits for a receipt is told, once for each head; the head stays wanted, and a receipt
    /// that says complete follows when it is.
    pub fn disk_full(&mut self, now_ms: u64) {
        self.is_swept = false;
        for head in self.coming.keys().copied().collect::<Vec<_>>() {
            if self.refused.insert(head, Holding::NoRoom) != Some(Holding::NoRoom) {
                self.outputs.push_back(TenantOutput::Refused { head, holding: Holding::NoRoom });
                self.receipt(now_ms, head, Holding::NoRoom);
            }
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<TenantOutput> {
        self.outputs.pop_front()
    }
    /// When `Replica(Tick)` is due.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.replica.poll_timeout()
    }

    /// Something happened.
    pub fn handle(&mut self, now_ms: u64, input: TenantInput, shelf: &mut dyn Shelf) {
        self.is_swept &= matches!(input, TenantInput::Replica(replicate::Input::Tick));
        match input {
            TenantInput::Replica(input) => self.tell_replica(now_ms, input, shelf),
            TenantInput::BlockStored(cid) => self.block_stored(now_ms, &cid, shelf),
            TenantInput::BlockLost(_) => self.block_lost(now_ms, shelf),
        }
    }

    fn tell_replica(&mut self, now_ms: u64, input: replicate::Input, shelf: &mut dyn Shelf) {
        self.replica.handle(now_ms, input);
        let (mut heads_changed, mut ops_changed) = (false, false);
        while let Some(output) = self.replica.poll_output() {
            match &output {
                replicate::Output::HeadAccepted(_) | replicate::Output::HeadQuarantined(_) => heads_changed = true,
                replicate::Output::OpsAdded(_) => ops_changed = true,
                _ => {}
            }
            self.outputs.push_back(TenantOutput::Replica(output));
        }
        if ops_changed {
            self.witness(now_ms, shelf);
        }
        if heads_changed || ops_changed {
            self.follow(now_ms, shelf);
        }
    }

    /// Signs that joins came in time (rule R13).
    fn witness(&mut self, now_ms: u64, shelf: &mut dyn Shelf) {
        let Some(grant) = self.terms().map(|terms| terms.grant) else { return };
        let membership = self.replica.membership();
        let Some(join) = joins_to_witness(membership.log(), membership.roster(), now_ms).into_iter().next() else {
            return;
        };
        let op = Op {
            folder: self.replica.folder(),
            signers: vec![Signer { grant, key: self.key.public() }],
            deps: membership.frontier(),
            body: OpBody::Witness { join, at_ms: now_ms },
            sealed: vec![],
        };
        if let Ok(op) = SignedOp::sign(op, &[&self.key]) {
            // The next join, if there is one, is witnessed as this op is added.
            self.tell_replica(now_ms, replicate::Input::LocalOps { ops: vec![op], envelopes: vec![] }, shelf);
        }
    }

    /// Goes for the newest head of each actor, as far as there is room.
    fn follow(&mut self, now_ms: u64, shelf: &mut dyn Shelf) {
        let targets = self.targets();
        let overran = self.overran.len();
        self.overran.retain(|head, _| targets.contains(head));
        if self.overran.len() < overran {
            self.count_use(shelf); // What came of it takes nobody's room any more.
        }
        self.coming.retain(|head, _| targets.contains(head));
        for head in targets {
            if self.coming.contains_key(&head) || self.refused.get(&head) == Some(&Holding::MoreThanAnnounced) {
                continue;
            }
            match self.admit(&head, shelf) {
                Ok(budget) => {
                    self.refused.remove(&head);
                    self.coming.insert(head, budget);
                }
                Err(holding) => self.refuse(now_ms, head, holding),
            }
        }
        self.retarget(now_ms, shelf);
    }

    /// The newest head of each actor that counts, unless it is settled; unmerged ones first. And what is to be repaired.
    fn targets(&self) -> Vec<HeadId> {
        let heads = self.replica.heads();
        if self.terms().is_none() {
            return vec![];
        }
        let maximal: BTreeSet<HeadId> = heads.maximal().map(SignedHead::id).collect();
        let tips = heads.tips().map(|tip| tip.head).filter(|id| heads.counts(id) && !self.is_settled(id));
        let (first, then): (Vec<_>, Vec<_>) = tips.partition(|id| maximal.contains(id));
        first.into_iter().chain(then).chain(self.repairing.keys().copied()).collect()
    }

    fn is_settled(&self, head: &HeadId) -> bool {
        self.complete.contains_key(head) || self.superseded.contains(head)
    }

    /// Notes that a head and all of its past need not be fetched any more.
    fn settle(&mut self, head: &HeadId) {
        let (heads, superseded) = (self.replica.heads(), &mut self.superseded);
        let known = superseded.contains(head);
        let Some(parents) = heads.get(head).map(|head| head.head().parents().collect::<Vec<_>>()) else { return };
        let mut new: Vec<HeadId> = if known { vec![] } else { vec![*head] };
        for parent in parents {
            // A complete head in the past was counted when it became complete.
            let complete = &self.complete;
            let past = heads.past(&parent, |head| superseded.insert(head.id()));
            new.extend(past.into_iter().filter(|id| !complete.contains_key(id)));
        }
        self.settled = self.settled.plus(Budget::announced(new.iter().filter_map(|id| heads.get(id))));
    }

    fn settle_all(&mut self) {
        self.superseded.clear();
        self.settled = Budget::default();
        for head in std::mem::take(&mut self.complete) {
            self.settle(&head.0);
            self.complete.insert(head.0, head.1);
        }
    }

    /// Whether a head may come in, and what it may bring: what it and the heads before it that are not settled announce, and what
    /// settled ones once announced and is not here any more, because history thins.
    fn admit(&self, head: &HeadId, shelf: &dyn Shelf) -> Result<Budget, Holding> {
        let terms = self.terms().ok_or(Holding::NoRoom)?;
        let heads = self.replica.heads();
        let news = |of: &HeadId| heads.past(of, |head| !self.is_settled(&head.id()));
        let expected: BTreeSet<HeadId> = self.coming.keys().flat_map(news).collect();
        let own = news(head);
        let mut quota = self.quota.clone();
        for id in &expected {
            if let (Some(member), Some(head)) = (heads.member(id), heads.get(id)) {
                quota.charge(member, head.head().new_bytes);
            }
        }
        let member = heads.member(head).unwrap_or(OpId::ZERO);
        let added = own.iter().filter(|id| !expected.contains(id)).filter_map(|id| heads.get(id));
        // What came before a restart is on the shelf and counted as used already.
        let held = self.held_of(head, shelf);
        let added = Budget::announced(added).minus(0, held);
        let thinned = self.settled.minus(self.blocks_used, self.quota.used());
        let budget = Budget::announced(own.iter().filter_map(|id| heads.get(id))).plus(thinned);
        let room = self.room(terms);
        // What is here of a head that overran the room counts as nobody's; of another one it is part of what is used.
        let counted = if self.overran.contains_key(head) { 0 } else { held };
        let total = quota.left_for(&room, &member).saturating_add(counted);
        let mut left = total.saturating_sub(held);
        match quota.admit(&room, &member, added.bytes) {
            Ok(()) => left = left.max(added.bytes),
            Err(refusal) if own.len() < 2 => return Err(refusal),
            Err(_) => {
                // Much of what the heads before it announced may be gone again: it is tried, if it fits by itself.
                let alone = Budget::announced(heads.get(head).into_iter()).minus(0, held);
                quota.admit(&room, &member, alone.bytes)?;
                left = left.max(quota.left_for_small(&room, alone.bytes));
            }
        }
        match self.overran.get(head) {
            _ if budget.bytes <= left => Ok(budget),
            Some(before) if total <= *before => Err(Holding::NoRoom),
            // It comes as far as there is room.
            _ => Ok(Budget { bytes: left, room: Some(total), ..budget }),
        }
    }

    /// Bytes that are here of a head which is not complete.
    fn held_of(&self, head: &HeadId, shelf: &dyn Shelf) -> u64 {
        let mut bytes = 0;
        if let Some(root) = self.root(head).filter(|root| shelf.status(root) == Status::Held) {
            reach(shelf, &root, &mut BTreeSet::new(), |cid| bytes += shelf.bytes(cid));
        }
        bytes
    }

    fn room(&self, terms: &Seeder) -> Room {
        let writers = self.replica.membership().roster().members().filter(|member| member.role >= Role::Editor);
        let quota_bytes = terms.quota_bytes.saturating_sub(self.beside_bytes);
        Room { quota_bytes, member_share: terms.member_share, shared: writers.count() > 1 }
    }

    fn root(&self, head: &HeadId) -> Option<Cid> {
        self.replica.heads().get(head).map(|head| head.head().root)
    }

    /// Wants what the coming heads need, and nothing else.
    fn retarget(&mut self, now_ms: u64, shelf: &mut dyn Shelf) {
        let (holed, whole): (Vec<HeadId>, Vec<HeadId>) =
            self.coming.keys().copied().partition(|head| self.let_go.group(head).is_some());
        let roots: BTreeSet<Cid> = whole.iter().filter_map(|head| self.root(head)).collect();
        let (mut unwanted, mut step) = self.ingest.retarget(shelf, &roots);
        let mended = self.mend(&holed, shelf, &mut unwanted, &mut step);
        if !unwanted.is_empty() {
            self.pass(now_ms, replicate::Input::Unwant { cids: unwanted });
        }
        self.stepped(now_ms, step, shelf);
        if !mended.is_empty() {
            mended.into_iter().for_each(|head| self.completed(now_ms, head));
            self.follow(now_ms, shelf);
        }
    }

    fn stepped(&mut self, now_ms: u64, step: Step, shelf: &mut dyn Shelf) {
        if !step.wants.is_empty() {
            self.pass(now_ms, replicate::Input::Want { cids: step.wants, priority: Priority::Recent });
        }
        if step.complete.is_empty() {
            return;
        }
        let done = |head: &&HeadId| self.root(head).is_some_and(|root| step.complete.contains(&root));
        for head in self.coming.keys().filter(done).copied().collect::<Vec<_>>() {
            self.completed(now_ms, head);
        }
        self.follow(now_ms, shelf);
    }

    fn completed(&mut self, now_ms: u64, head: HeadId) {
        self.coming.remove(&head);
        self.refused.remove(&head);
        self.overran.remove(&head);
        self.repairing.remove(&head);
        self.settle(&head);
        self.complete.insert(head, now_ms);
        if !self.repairing.is_empty() {
            // What rests beneath it need not come again whole.
            self.work_out_let_go();
        }
        self.outputs.push_back(TenantOutput::Completed { head, received_ms: now_ms });
        self.receipt(now_ms, head, Holding::Complete);
    }

    fn refuse(&mut self, now_ms: u64, head: HeadId, holding: Holding) {
        self.coming.remove(&head);
        if self.refused.insert(head, holding) != Some(holding) {
            self.outputs.push_back(TenantOutput::Refused { head, holding });
            self.receipt(now_ms, head, holding);
        }
    }

    fn receipt(&mut self, now_ms: u64, head: HeadId, holding: Holding) {
        let Some(terms) = self.terms() else { return };
        let keep_until_ms = match holding {
            Holding::Complete => sure_until_ms(&terms.retention, now_ms),
            _ => 0,
        };
        let seeder = self.key.public();
        // Members keep the newest word about a head: a clock that was set back must not make this one the older (T2).
        let receipts = self.replica.receipts().map(SignedReceipt::receipt);
        let said_ms = receipts.filter(|said| said.seeder == seeder && said.head == head).map(|said| said.received_ms);
        let received_ms = said_ms.max().map_or(now_ms, |said_ms| now_ms.max(said_ms.saturating_add(1)));
        let receipt = Receipt {
            folder: self.replica.folder(),
            seeder,
            head,
            holding,
            received_ms,
            keep_until_ms,
            free_bytes: self.quota.free(&self.room(terms)),
            terms: terms.grant,
        };
        let signed = receipt.sign(&self.key);
        self.pass(now_ms, replicate::Input::LocalReceipt(signed));
    }

    fn block_stored(&mut self, now_ms: u64, cid: &Cid, shelf: &mut dyn Shelf) {
        if !self.ingest.wants(cid) && !self.mending.wants(cid) {
            return; // Its head was given up meanwhile; the next sweep finds it.
        }
        let bytes = shelf.bytes(cid);
        let above = self.ingest.roots_above(cid);
        let heads: Vec<HeadId> = self
            .coming
            .keys()
            .filter(|head| self.root(head).is_some_and(|root| above.contains(&root)))
            .copied()
            .collect();
        // The one that is waited for with most right pays: the first in a fixed order.
        if let Some(member) = heads.first().and_then(|head| self.replica.heads().member(head)) {
            self.quota.charge(member, bytes);
            self.blocks_used += 1;
        }
        let looks_again = self.mending.stored(cid);
        let step = self.ingest.stored(shelf, cid);
        let mut liars = Vec::new();
        for head in heads {
            if let Some(budget) = self.coming.get_mut(&head) {
                match (budget.blocks.checked_sub(1), budget.bytes.checked_sub(bytes)) {
                    (Some(blocks), Some(bytes)) => *budget = Budget { blocks, bytes, ..*budget },
                    _ => liars.push((head, budget.room)),
                }
            }
        }
        for (head, room) in &liars {
            let holding = match room {
                None => Holding::MoreThanAnnounced,
                Some(room) => {
                    self.overran.insert(*head, *room);
                    Holding::NoRoom
                }
            };
            self.refuse(now_ms, *head, holding);
        }
        self.stepped(now_ms, step, shelf);
        if !liars.is_empty() {
            self.count_use(shelf);
            self.follow(now_ms, shelf);
        } else if looks_again {
            self.retarget(now_ms, shelf);
        }
    }

    fn block_lost(&mut self, now_ms: u64, shelf: &mut dyn Shelf) {
        let roots: Vec<Cid> =
            self.complete.keys().chain(self.coming.keys()).filter_map(|head| self.root(head)).collect();
        if Guard::LostIsLookedThrough.stands() {
            recheck(shelf, &roots);
        }
        // What is on its way is admitted anew: it is not its fault if it brings again what was lost here.
        self.coming.clear();
        self.work_out_let_go();
        let broken = |head: &&HeadId| !self.is_whole(head, &*shelf);
        for head in self.complete.keys().filter(broken).copied().collect::<Vec<_>>() {
            self.repairing.extend(self.complete.remove_entry(&head));
            self.outputs.push_back(TenantOutput::Lost(head));
        }
        // What these announced was announced once; they may bring again whatever they lost.
        let any = Budget { blocks: u64::MAX, bytes: u64::MAX, room: None };
        self.coming.extend(self.repairing.keys().map(|head| (*head, any)));
        self.settle_all();
        self.count_use(shelf);
        // What was known of unfinished walks rested on blocks that are gone.
        self.ingest = Ingest::default();
        self.mending = Mending::default();
        self.follow(now_ms, shelf);
    }

    fn pass(&mut self, now_ms: u64, input: replicate::Input) {
        self.replica.handle(now_ms, input);
        self.outputs.extend(std::iter::from_fn(|| self.replica.poll_output()).map(TenantOutput::Replica));
    }

    /// Charges every kept block once, to the member of the oldest head that reaches it. Returns all that is reached from heads
    /// that are kept or coming.
    fn count_use(&mut self, shelf: &dyn Shelf) -> BTreeSet<Cid> {
        let mut order: Vec<(u64, HeadId)> = self.complete.iter().map(|(head, ms)| (*ms, *head)).collect();
        order.sort();
        let honest = |head: &HeadId| {
            self.refused.get(head) != Some(&Holding::MoreThanAnnounced) && !self.overran.contains_key(head)
        };
        if Guard::WhatComesIsNoGarbage.stands() {
            order.extend(self.targets().into_iter().filter(honest).map(|head| (u64::MAX, head)));
        }
        let (mut quota, mut reached) = (Quota::default(), BTreeSet::new());
        if self.let_go.is_empty() {
            for (_, head) in order {
                let member = self.replica.heads().member(&head).unwrap_or(OpId::ZERO);
                if let Some(root) = self.root(&head) {
                    reach(shelf, &root, &mut reached, |cid| quota.charge(member, shelf.bytes(cid)));
                }
            }
        } else {
            let order: Vec<HeadId> = order.into_iter().map(|(_, head)| head).collect();
            (quota, reached) = self.count_with_gaps(&order, shelf);
        }
        self.quota = quota;
        self.blocks_used = reached.len() as u64;
        reached
    }
}
