//! Does what a tenant's brain asks for: keeps records, writes blocks, reads and sends them, speaks to visitors, deletes garbage.
//!
//! What must hold: whatever is said rests on what is durable, so first marks and records are written, then messages go. Blocks that
//! arrive while others are being written are gathered and written together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use cobox_net::Peer;
use cobox_proto::block::BlockHeader;
use cobox_proto::hosting::{Pace, TenantInput, TenantOutput, Trash};
use cobox_proto::id::{Cid, HeadId};
use cobox_proto::replicate::{Closed, Input, Output, PeerId};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::Message;
use cobox_proto::wire::proof::KeyKind;
use cobox_store::{BlockStore, CheckMark, CheckReport, DiskStore, HeadState, StoreError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::actor::{Brain, Visitor};
use super::records::{Record, Records};
use super::scrub::{STEP_BYTES, Scrub};
use super::{Setup, Trouble, View};
use crate::clock::Clock;

/// Bytes of blocks that wait for the disk; with as many no more are taken.
pub(super) const GATHERED_BYTES_MAX: usize = 8 << 20;
/// Room on the disk that blocks never take, so that records can always be written and members can always restore.
const DISK_RESERVE_BYTES: u64 = 64 << 20;
/// How long to wait after the disk refused for the first time, and at most after many times.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 2_000..=60_000;
/// Marks of completeness that wait to be written.
const MARKS_MAX: usize = 4096;
/// How long to wait after the disk did not let blocks be read again.
const SCRUB_AGAIN_MS: u64 = 3_600_000;
/// Damaged blocks that are remembered by name, and shown.
const DAMAGED_MAX: usize = 100;
/// So many of them are named in words.
const NAMED_MAX: usize = 3;

/// What was done elsewhere.
#[derive(Debug)]
pub(super) enum Inner {
    /// The gathered blocks are on disk, or are not.
    Written(Vec<Cid>, Result<(), StoreError>),
    /// A block is on its way to a peer.
    Sent(PeerId, Cid),
    /// It is not here, or the peer is gone.
    Missing(PeerId, Cid),
    /// It is damaged.
    Damaged(PeerId, Cid),
    /// Space was given back, and these were found damaged.
    Compacted(Vec<Cid>),
    /// Some blocks were read again; the damaged ones are off the shelf.
    Scrubbed(Result<(CheckReport, Option<CheckMark>), StoreError>),
}

/// What is said once everything before it is durable.
#[derive(Debug)]
enum Word {
    Say(PeerId, Message),
    Send(PeerId, Cid),
    Close(PeerId),
}

/// See the module's text.
pub(super) struct Carrier {
    key: SecretKey,
    clock: Clock,
    runtime: Handle,
    blocks: Arc<DiskStore>,
    records: Records,
    tell: mpsc::UnboundedSender<Inner>,
    pub(super) visitors: BTreeMap<PeerId, Visitor>,
    /// When a member's device was last here.
    pub(super) last_seen_ms: Option<u64>,
    unkept: Vec<Record>,
    unsaid: VecDeque<Word>,
    gathered: Vec<(Cid, Bytes)>,
    gathered_bytes: usize,
    writing: bool,
    /// When blocks that the disk refused are asked for again; until then no others are kept.
    pub(super) retry_ms: Option<u64>,
    /// How often it refused since it last took some.
    refusals: u32,
    /// What is garbage.
    pub(super) trash: Trash,
    /// Time as it may be believed.
    pub(super) pace: Pace,
    /// Whether very much is garbage, and waits for weeks.
    much_waits: bool,
    compacting: bool,
    scrub: Scrub,
    scrubbing: bool,
    /// After the disk refused.
    pub(super) scrub_again_ms: Option<u64>,
    /// Blocks off the shelf that somebody may still need.
    suspects: BTreeSet<Cid>,
    /// Those that are needed, and are not here again yet.
    pub(super) damaged: BTreeSet<Cid>,
}

impl Carrier {
    pub(super) fn new(
        setup: &Setup,
        blocks: Arc<DiskStore>,
        records: Records,
        tell: mpsc::UnboundedSender<Inner>,
    ) -> Self {
        Self {
            key: setup.key.clone(),
            clock: setup.clock.clone(),
            runtime: setup.runtime.clone(),
            blocks,
            records,
            tell,
            visitors: BTreeMap::new(),
            last_seen_ms: None,
            unkept: Vec::new(),
            unsaid: VecDeque::new(),
            gathered: Vec::new(),
            gathered_bytes: 0,
            writing: false,
            retry_ms: None,
            refusals: 0,
            trash: Trash::default(),
            pace: Pace::default(),
            much_waits: false,
            compacting: false,
            scrub: Scrub::begin(setup.clock.now_ms()),
            scrubbing: false,
            scrub_again_ms: None,
            suspects: BTreeSet::new(),
            damaged: BTreeSet::new(),
        }
    }

    pub(super) fn gathered_bytes(&self) -> usize {
        self.gathered_bytes
    }

    /// Whether nothing waits for the disk.
    pub(super) fn is_idle(&self) -> bool {
        !self.writing && self.gathered.is_empty() && !self.compacting && !self.scrubbing
    }

    /// Somebody left.
    pub(super) fn parted(&mut self, now_ms: u64, peer: PeerId) {
        if self.visitors.remove(&peer).is_some_and(|visitor| visitor.who.kind == KeyKind::Device) {
            self.last_seen_ms = Some(now_ms);
            self.unkept.push(Record::LastSeen(now_ms));
        }
    }

    /// What the brain said before it was thrown away counts for nothing.
    pub(super) fn forget_unsaid(&mut self) {
        self.unkept.clear();
        self.unsaid.clear();
        self.gathered.clear();
        self.gathered_bytes = 0;
    }

    /// Takes what the brain asks for. `block` is what just arrived, should the brain want it kept.
    pub(super) fn drain(&mut self, brain: &mut Brain, block: Option<&Bytes>) {
        while let Some(output) = brain.tenant.poll_output() {
            match output {
                TenantOutput::Replica(output) => self.replica(brain, output, block),
                TenantOutput::Completed { head, received_ms } => {
                    tracing::info!(head = %head.short(), "a head is complete");
                    self.unkept.push(Record::Complete(head, received_ms));
                    self.keep_receipt(brain, &head);
                }
                TenantOutput::Lost(head) => {
                    tracing::warn!(head = %head.short(), "a head lost a block, which is fetched again");
                }
                TenantOutput::Released(head) => self.unkept.push(Record::Released(head)),
                TenantOutput::Refused { head, holding } => {
                    tracing::info!(head = %head.short(), ?holding, "a head is refused");
                    self.keep_receipt(brain, &head);
                }
            }
        }
    }

    fn replica(&mut self, brain: &Brain, output: Output, block: Option<&Bytes>) {
        let replica = brain.tenant.replica();
        match output {
            Output::Send { peer, message } => self.unsaid.push_back(Word::Say(peer, message)),
            Output::SendBlock { peer, cid } => self.unsaid.push_back(Word::Send(peer, cid)),
            Output::ClosePeer { peer, why } => {
                match self.visitors.get(&peer) {
                    Some(visitor) if matches!(why, Closed::Misbehaved(_)) => {
                        let (key, kind) = (visitor.who.key.short(), visitor.who.kind);
                        tracing::warn!(key, ?kind, %why, "a peer is closed");
                    }
                    _ => tracing::debug!(%why, "a peer is sent away"),
                }
                self.unsaid.push_back(Word::Close(peer));
            }
            Output::OpsAdded(ids) => {
                let ops = ids.iter().filter_map(|id| replica.membership().op(id));
                self.unkept.extend(ops.map(|op| Record::Op(op.clone())));
            }
            Output::EnvelopesAdded(sent) => self.unkept.push(Record::Envelopes(sent)),
            Output::HeadAccepted(id) => self.keep_head(brain, &id, HeadState::Accepted),
            Output::HeadQuarantined(id) => self.keep_head(brain, &id, HeadState::Quarantined),
            Output::ReceiptArrived(receipt) => self.unkept.push(Record::Receipt(receipt)),
            Output::AddressesArrived(note) => self.unkept.push(Record::Address(note)),
            Output::BlockTaken { cid, .. } => {
                if let Some(bytes) = block {
                    self.gather(cid, bytes.clone());
                }
            }
            Output::BlockDropped { peer, cid } => self.block_unasked(peer, &cid),
            Output::HeadRefused { head, device, why } => {
                tracing::warn!(head = %head.short(), device = %device.short(), %why, "a head breaks the rules");
            }
            Output::DeviceForked { device, .. } => tracing::warn!(device = %device.short(), "a device forked"),
            Output::SeederRolledBack { seeder, .. } => {
                tracing::warn!(seeder = %seeder.short(), "a seeder denies what it signed");
            }
            Output::Stale { .. } | Output::DeltaArrived { .. } => {} // Nothing for a seeder.
        }
    }

    /// A block is known by its bytes alone, so a wrong one is one that nobody asked for. An honest device sends few: it had not heard yet
    /// that they came from elsewhere.
    fn block_unasked(&mut self, peer: PeerId, cid: &Cid) {
        let Some(visitor) = self.visitors.get_mut(&peer) else { return };
        visitor.unasked_blocks += 1;
        if visitor.unasked_blocks.is_power_of_two() {
            let (device, count) = (visitor.who.key.short(), visitor.unasked_blocks);
            tracing::warn!(device, count, last = %cid.short(), "blocks that were not asked for are dropped");
        }
    }

    fn keep_head(&mut self, brain: &Brain, id: &HeadId, state: HeadState) {
        if let Some(head) = brain.tenant.replica().heads().get(id) {
            self.unkept.push(Record::Head(head.clone(), state, self.clock.now_ms()));
        }
    }

    /// Our own receipts are served again after a restart.
    fn keep_receipt(&mut self, brain: &Brain, head: &HeadId) {
        let ours = self.key.public();
        let mut receipts = brain.tenant.replica().receipts();
        let found = receipts.find(|signed| signed.receipt().seeder == ours && signed.receipt().head == *head);
        self.unkept.extend(found.map(|receipt| Record::Receipt(receipt.clone())));
    }

    fn gather(&mut self, cid: Cid, bytes: Bytes) {
        if self.retry_ms.is_some() {
            return; // The disk is full; it is asked for again later.
        }
        match BlockHeader::parse(&bytes) {
            Ok(_) => {
                self.gathered_bytes += bytes.len();
                self.gathered.push((cid, bytes));
            }
            // Its name is right, so whoever linked to it meant no block: its head never becomes complete.
            Err(why) => tracing::warn!(cid = %cid.short(), %why, "what a head links to is no block"),
        }
    }

    /// Writes what must be kept.
    pub(super) fn keep(&mut self, brain: &mut Brain) -> Result<(), Trouble> {
        self.drain(brain, None);
        // Marks only save work after a restart, except those beneath a head that is called complete.
        let completed = self.unkept.iter().any(|record| matches!(record, Record::Complete(..)));
        if completed || brain.shelf.marks() > MARKS_MAX {
            brain.shelf.flush()?;
        }
        if !self.unkept.is_empty() {
            self.records.keep(&self.unkept)?;
            self.unkept.clear();
        }
        Ok(())
    }

    /// Says what waits to be said, and lets the disk have what was gathered.
    pub(super) fn go_on(&mut self) {
        while let Some(word) = self.unsaid.pop_front() {
            self.say(word);
        }
        self.write_gathered();
    }

    fn say(&mut self, word: Word) {
        match word {
            Word::Say(id, message) => {
                if let Some(visitor) = self.visitors.get(&id) {
                    visitor.peer.send(message);
                }
            }
            Word::Send(id, cid) => match self.visitors.get(&id) {
                Some(visitor) => self.send_block(visitor.peer.clone(), cid),
                None => drop(self.tell.send(Inner::Missing(id, cid))),
            },
            Word::Close(id) => {
                if let Some(visitor) = self.visitors.remove(&id) {
                    visitor.peer.close();
                }
            }
        }
    }

    fn send_block(&self, peer: Peer, cid: Cid) {
        let (blocks, tell, runtime) = (self.blocks.clone(), self.tell.clone(), self.runtime.clone());
        // The brain asks for few blocks at a time, so few of these wait.
        self.runtime.spawn(async move {
            let read = runtime.spawn_blocking(move || blocks.look(&cid)).await;
            let done = match read {
                Ok(Ok(Some(bytes))) => match peer.send_block(bytes.into()).await {
                    Ok(()) => Inner::Sent(peer.id, cid),
                    Err(_) => Inner::Missing(peer.id, cid),
                },
                Ok(Err(StoreError::DamagedBlock { .. })) => Inner::Damaged(peer.id, cid),
                Ok(Err(error)) => {
                    tracing::error!(%error, "a block can not be read");
                    Inner::Missing(peer.id, cid)
                }
                Ok(Ok(None)) | Err(_) => Inner::Missing(peer.id, cid),
            };
            let _ended = tell.send(done);
        });
    }

    fn write_gathered(&mut self) {
        if self.writing || self.gathered.is_empty() {
            return;
        }
        self.writing = true;
        self.gathered_bytes = 0;
        let gathered = std::mem::take(&mut self.gathered);
        let (blocks, tell) = (self.blocks.clone(), self.tell.clone());
        self.runtime.spawn_blocking(move || {
            let group: Vec<(Cid, &[u8])> = gathered.iter().map(|(cid, bytes)| (*cid, &bytes[..])).collect();
            let result = has_room(&blocks).and_then(|()| blocks.put_many(&group));
            let _ended = tell.send(Inner::Written(group.into_iter().map(|(cid, _)| cid).collect(), result));
        });
    }

    /// Something asked for elsewhere is done.
    pub(super) fn done(&mut self, brain: &mut Brain, inner: Inner) -> Result<(), Trouble> {
        self.done_without_brain(&inner);
        let now_ms = self.clock.now_ms();
        match inner {
            Inner::Written(cids, Ok(())) => {
                self.refusals = 0;
                for cid in cids {
                    if self.damaged.remove(&cid) {
                        self.unkept.push(Record::Healed(cid));
                    }
                    brain.handle(now_ms, TenantInput::BlockStored(cid))?;
                }
                self.forget_needless(brain);
            }
            Inner::Written(_, Err(error)) => {
                tracing::error!(%error, "blocks can not be kept");
                self.wait_for_room();
                brain.tenant.disk_full(now_ms);
            }
            Inner::Sent(peer, cid) => brain.handle(now_ms, TenantInput::Replica(Input::BlockSent { peer, cid }))?,
            Inner::Missing(peer, cid) => {
                brain.handle(now_ms, TenantInput::Replica(Input::BlockMissing { peer, cid }))?;
            }
            Inner::Damaged(peer, cid) => {
                tracing::warn!(cid = %cid.short(), "a block was damaged; it is wanted again");
                self.records.set_in_doubt(true)?;
                // Only now does it count as missing: should the power go before, it is still found to be damaged.
                let _damaged = self.blocks.get(&cid);
                brain.handle(now_ms, TenantInput::Replica(Input::BlockMissing { peer, cid }))?;
                self.suspect([cid]);
                self.recheck(brain, now_ms)?;
            }
            Inner::Compacted(damaged) if damaged.is_empty() => {}
            Inner::Compacted(damaged) => {
                self.records.set_in_doubt(true)?;
                self.suspect(damaged);
                self.recheck(brain, now_ms)?;
            }
            Inner::Scrubbed(Ok((report, next))) => {
                let ends = self.scrub.stepped(now_ms, report.bytes, next);
                self.unkept.push(Record::Scrubbed(self.scrub));
                if !report.damaged.is_empty() {
                    tracing::warn!(blocks = report.damaged.len(), "blocks were damaged; they are wanted again");
                    self.suspect(report.damaged);
                    self.recheck(brain, now_ms)?;
                } else if ends {
                    // What is called complete is held against what is here once in a while, too.
                    self.recheck(brain, now_ms)?;
                }
            }
            Inner::Scrubbed(Err(error)) => {
                tracing::warn!(%error, "blocks can not be read again now");
                self.scrub_again_ms = Some(now_ms + SCRUB_AGAIN_MS);
            }
        }
        Ok(())
    }

    /// Looks at all that stands above lost blocks, which are then wanted again, and remembers the suspects among them.
    pub(super) fn recheck(&mut self, brain: &mut Brain, now_ms: u64) -> Result<(), Trouble> {
        brain.handle(now_ms, TenantInput::BlockLost(Cid::ZERO))?;
        brain.shelf.flush()?;
        self.records.set_in_doubt(false)?;
        for cid in std::mem::take(&mut self.suspects) {
            if self.damaged.len() < DAMAGED_MAX && self.damaged.insert(cid) {
                self.unkept.push(Record::Damaged(cid));
            }
        }
        self.forget_needless(brain);
        Ok(())
    }

    /// A lost block that nothing needs any more is no damage. Of one beneath another lost block that is not known before the
    /// upper one is here again.
    fn forget_needless(&mut self, brain: &Brain) {
        if !brain.tenant.is_fetching() {
            let needless = self.damaged.extract_if(.., |cid| !brain.tenant.replica().wants(cid));
            self.unkept.extend(needless.map(Record::Healed));
        }
    }

    /// These are off the shelf because they were damaged; to be followed by [`Self::recheck`].
    pub(super) fn suspect(&mut self, cids: impl IntoIterator<Item = Cid>) {
        self.suspects.extend(cids);
    }

    fn wait_for_room(&mut self) {
        self.retry_ms = Some(self.clock.now_ms() + pause_ms(self.refusals));
        self.refusals = self.refusals.saturating_add(1);
    }

    /// Whether blocks are to be asked for again: nobody sends any in vain while the disk is plainly full.
    pub(super) fn has_room_again(&mut self) -> bool {
        self.retry_ms = None;
        if has_room(&self.blocks).is_err() {
            self.wait_for_room();
        }
        self.retry_ms.is_none()
    }

    /// Where the last run of the program left off; the first one begins.
    pub(super) fn go_on_scrubbing(&mut self, kept: Option<Scrub>) {
        match kept {
            Some(scrub) => self.scrub = scrub,
            None => self.unkept.push(Record::Scrubbed(self.scrub)),
        }
    }

    /// When some blocks are to be read again.
    pub(super) fn scrub_due_ms(&self, brain: &Brain) -> u64 {
        match (self.scrubbing, self.scrub_again_ms) {
            (true, _) => u64::MAX,
            (false, Some(again_ms)) => again_ms,
            (false, None) => self.scrub.due_ms(self.clock.now_ms(), brain.tenant.quota().used()),
        }
    }

    /// Reads some blocks again. The marks above a damaged one are put in doubt before it leaves the shelf, in case the power goes.
    pub(super) fn scrub(&mut self) {
        self.scrub_again_ms = None;
        if std::mem::replace(&mut self.scrubbing, true) {
            return;
        }
        let (blocks, records, tell) = (self.blocks.clone(), self.records.clone(), self.tell.clone());
        let from = self.scrub.from;
        self.runtime.spawn_blocking(move || {
            let read = blocks.check_some(from, STEP_BYTES, false).and_then(|(mut report, next)| {
                if !report.damaged.is_empty() {
                    records.set_in_doubt(true)?;
                }
                // Read once more: what can be read now is not dropped.
                let (mut gone, mut next) = (Vec::new(), next);
                for cid in report.damaged {
                    match blocks.get(&cid) {
                        Ok(_) => {}
                        Err(StoreError::DamagedBlock { .. }) => gone.push(cid),
                        Err(error) if gone.is_empty() => return Err(error),
                        // Those that went are looked to now, the others when this is read again.
                        Err(_) => {
                            next = Some(from);
                            break;
                        }
                    }
                }
                report.damaged = gone;
                Ok((report, next))
            });
            let _ended = tell.send(Inner::Scrubbed(read));
        });
    }

    /// What is to be done about it while there is no brain to be told.
    pub(super) fn done_without_brain(&mut self, inner: &Inner) {
        match inner {
            Inner::Written(..) => self.writing = false,
            Inner::Compacted(_) => self.compacting = false,
            Inner::Scrubbed(_) => self.scrubbing = false,
            _ => {}
        }
    }

    /// Deletes what has been garbage long enough. Returns how many blocks went. What is due was found to be garbage by this very look, so
    /// that a block which somebody needs again is never among it.
    pub(super) fn sweep(&mut self, brain: &mut Brain, now_ms: u64) -> Result<usize, Trouble> {
        let steady_ms = self.pace.look(now_ms);
        let found = brain.tenant.sweep(steady_ms, &mut brain.shelf);
        brain.shelf.trouble()?;
        self.forget_needless(brain);
        let blocks = usize::try_from(self.blocks.stats()?.blocks).unwrap_or(usize::MAX);
        let look = self.trash.look(steady_ms, &found.into_iter().collect(), blocks);
        if look.waits && !self.much_waits {
            tracing::warn!(blocks = self.trash.len(), "very much is garbage; it lies for weeks before it is deleted");
        }
        self.much_waits = look.waits;
        // What is remembered goes before what is done: after a stop nothing is due too early.
        let mut records: Vec<Record> = vec![Record::Pace(self.pace)];
        records.extend(brain.tenant.agreed().map(|agreed| Record::Agreed(*agreed)));
        records.push(Record::Forgetting(brain.tenant.forgetting().clone()));
        records.extend(look.put.iter().map(|cid| Record::Trashed(*cid, steady_ms)));
        records.extend(look.taken.iter().map(|cid| Record::Untrashed(*cid)));
        self.records.keep(&records)?;
        if look.due.is_empty() {
            return Ok(0);
        }
        // Of blocks that stay, for good or in the trash, some link to what goes: their marks are not to be believed then.
        let due: BTreeSet<Cid> = look.due.iter().copied().collect();
        let leaves_gaps = due.iter().any(|cid| brain.tenant.lets_go(cid)) || self.trash.leaves_gaps(&due, &brain.shelf);
        brain.shelf.trouble()?;
        if leaves_gaps {
            self.records.set_in_doubt(true)?;
        }
        self.blocks.delete_many(&look.due)?;
        brain.shelf.forget(&look.due);
        self.trash.deleted(&look.due);
        let gone: Vec<Record> = look.due.iter().map(|cid| Record::Untrashed(*cid)).collect();
        self.records.keep(&gone)?;
        if leaves_gaps {
            self.recheck(brain, now_ms)?;
        }
        tracing::info!(blocks = look.due.len(), "garbage is deleted");
        self.compact();
        Ok(look.due.len())
    }

    fn compact(&mut self) {
        if std::mem::replace(&mut self.compacting, true) {
            return;
        }
        let (blocks, records, tell) = (self.blocks.clone(), self.records.clone(), self.tell.clone());
        self.runtime.spawn_blocking(move || {
            let mut damaged = Vec::new();
            let compacted = blocks.compact_telling(|cids| {
                damaged.extend(cids);
                // Should the power go while they vanish, the marks above them are not believed at the next start.
                records.set_in_doubt(true)
            });
            if let Err(error) = compacted {
                tracing::warn!(%error, "space can not be given back");
            }
            let _ended = tell.send(Inner::Compacted(damaged));
        });
    }

    /// How the folder stands now.
    pub(super) fn describe(&self, brain: &Brain, view: &mut View) {
        let (tenant, replica) = (&brain.tenant, brain.tenant.replica());
        view.loaded = true;
        view.used_bytes = tenant.quota().used();
        view.history_bytes = tenant.history_bytes();
        view.states = tenant.complete().len();
        view.trash_blocks = self.trash.len();
        view.hired = tenant.terms().is_some();
        view.quota_bytes = tenant.terms().map_or(view.quota_bytes, |terms| terms.quota_bytes);
        let complete = tenant.complete();
        let mut newest = replica.heads().maximal().map(|head| head.id()).peekable();
        view.complete = newest.peek().is_some() && newest.all(|head| complete.contains_key(&head));
        view.head_at_ms = complete.values().max().copied();
        view.member_keys = replica.membership().roster().members().map(|member| member.sig).collect();
        view.visitors = self.visitors.values().filter(|visitor| visitor.who.kind == KeyKind::Device).count();
        view.last_seen_ms = if view.visitors > 0 { Some(self.clock.now_ms()) } else { self.last_seen_ms };
        view.damaged = self.damaged.iter().copied().collect();
        view.checked_at_ms = self.scrub.whole_ms;
        view.problem = match self.retry_ms {
            Some(_) => Some("the disk takes no more blocks; free some space".into()),
            None if self.much_waits => Some(
                "more than a fifth of what is kept is needed no more; it lies for four weeks, in case that is a mistake".into(),
            ),
            None => self.damage_in_words(),
        };
    }
}

impl Carrier {
    fn damage_in_words(&self) -> Option<String> {
        let names: Vec<String> = self.damaged.iter().take(NAMED_MAX).map(Cid::short).collect();
        let more = if self.damaged.len() > NAMED_MAX { " and others" } else { "" };
        let (count, names) = (self.damaged.len(), names.join(", "));
        match count {
            0 => None,
            1 => Some(format!("block {names} was damaged; members are asked to bring it again")),
            _ => Some(format!("{count} blocks were damaged ({names}{more}); members are asked to bring them again")),
        }
    }
}

/// How long to wait after the disk refused, having refused so often before.
pub(super) fn pause_ms(refusals: u32) -> u64 {
    PAUSE_MS.start().saturating_mul(1 << refusals.min(16)).min(*PAUSE_MS.end())
}

/// Whether the disk has room besides the reserve.
fn has_room(blocks: &DiskStore) -> Result<(), StoreError> {
    let path = blocks.dir();
    let stat = rustix::fs::statvfs(path).map_err(|e| StoreError::Io {
        doing: "look at the room of",
        path: path.into(),
        source: e.into(),
    })?;
    if stat.f_bavail.saturating_mul(stat.f_frsize) < DISK_RESERVE_BYTES {
        return Err(StoreError::DiskFull { path: path.into() });
    }
    Ok(())
}
