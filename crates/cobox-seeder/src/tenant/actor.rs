//! The life of one tenant: it loads, lives, and after trouble begins anew from disk. Owns the inbox, the clock and the visitors; what
//! the brain asks for is done in `carry`.
//!
//! What must hold: nobody goes on talking to a brain that did not hear what was said to the one before: after trouble every visitor
//! is sent away, and begins anew too. What a stop loses: blocks not yet on disk. They are asked for again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cobox_net::{Answer, FolderEvent, Pass, Peer, end_inbox};
use cobox_proto::head::{Head, SignedHead};
use cobox_proto::hosting::{Arriving, Before, Tenant, TenantInput};
use cobox_proto::id::FolderId;
use cobox_proto::members::{FolderKind, Genesis, Member};
use cobox_proto::replicate::{Input, PeerId, Reach, Replica};
use cobox_proto::wire::proof::{KeyKind, Who};
use cobox_proto::wire::{ClaimRefusal, LogPart, Message};
use cobox_store::{BlockStore, DiskShelf, DiskStore};
use tokio::sync::{mpsc, watch};

use super::carry::{Carrier, GATHERED_BYTES_MAX, Inner, pause_ms};
use super::records::Records;
use super::{Order, Setup, Trouble, View};
use crate::dto::{MemberSeen, Sees, StateSeen, Time};

/// Events taken before what they led to is written and told.
const EVENTS_PER_TURN: usize = 64;
/// How often garbage is looked for.
const SWEEP_MS: u64 = 3_600_000;
/// The first time is soon, in case the last run ended before it; which of the minutes from here on says the folder, so that a host
/// of many never looks through all of them at once.
const FIRST_SWEEP_MS: u64 = 10 * 60_000;
/// After so long a life the next trouble counts as the first.
const LONG_LIFE: Duration = Duration::from_secs(600);
/// How long a thread may go without looking at the clock.
const LOOK_MS: u64 = 60_000;
/// So many of the newest states are shown.
const STATES_SHOWN_MAX: usize = 10;

/// Somebody who has the folder open.
pub(super) struct Visitor {
    pub(super) peer: Peer,
    pub(super) who: Who,
    /// Blocks it sent and nobody had asked for: late ones, or wrong ones.
    pub(super) unasked_blocks: u64,
}

/// The brain and what it thinks about: thrown away together.
pub(super) struct Brain {
    pub(super) tenant: Tenant,
    pub(super) shelf: DiskShelf,
}

impl Brain {
    /// Tells the brain something. After an error it must not be asked any more.
    pub(super) fn handle(&mut self, now_ms: u64, input: TenantInput) -> Result<(), Trouble> {
        self.tenant.handle(now_ms, input, &mut self.shelf);
        Ok(self.shelf.trouble()?)
    }

    fn replica(&mut self, now_ms: u64, input: Input) -> Result<(), Trouble> {
        self.handle(now_ms, TenantInput::Replica(input))
    }
}

/// See the module's text.
pub(super) struct Actor {
    setup: Setup,
    blocks: Arc<DiskStore>,
    records: Records,
    view: watch::Sender<View>,
    carrier: Carrier,
    inner: mpsc::UnboundedReceiver<Inner>,
    /// Vaults that are arriving, by who brings them.
    vaults: BTreeMap<PeerId, (FolderId, Arriving)>,
    next_sweep_ms: u64,
    /// The time when it last looked.
    clock_ms: u64,
    stopping: bool,
}

impl Actor {
    pub(super) fn new(setup: Setup, blocks: Arc<DiskStore>, records: Records, view: watch::Sender<View>) -> Self {
        let (tell, inner) = mpsc::unbounded_channel();
        let carrier = Carrier::new(&setup, blocks.clone(), records.clone(), tell);
        let clock_ms = setup.clock.now_ms();
        let next_sweep_ms = clock_ms + FIRST_SWEEP_MS + u64::from(setup.folder.0[0]) * SWEEP_MS / 256;
        let vaults = BTreeMap::new();
        Self { setup, blocks, records, view, carrier, inner, vaults, next_sweep_ms, clock_ms, stopping: false }
    }

    pub(super) async fn run(
        mut self,
        mut events: mpsc::Receiver<FolderEvent>,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) {
        let mut failures = 0;
        while !self.stopping {
            let began = tokio::time::Instant::now();
            let trouble = match self.load() {
                Ok(mut brain) => match self.live(&mut brain, &mut events, &mut orders).await {
                    Ok(()) => break,
                    Err(trouble) => trouble,
                },
                Err(trouble) => trouble,
            };
            self.carrier.forget_unsaid();
            self.vaults.clear();
            for visitor in std::mem::take(&mut self.carrier.visitors).into_values() {
                visitor.peer.close();
            }
            tracing::warn!(folder = %self.setup.folder.short(), %trouble, "a folder begins anew");
            if let Trouble::Damaged(cid) = trouble
                && self.records.set_in_doubt(true).is_ok()
            {
                // Now it may count as missing, whenever the power goes.
                let _damaged = self.blocks.get(&cid);
                self.carrier.suspect([cid]);
                continue;
            }
            self.show(|view| {
                view.loaded = true;
                view.problem = Some(trouble.to_string());
            });
            if began.elapsed() > LONG_LIFE {
                failures = 0;
            }
            self.sit_out(pause_ms(failures), &mut events, &mut orders).await;
            failures += 1;
        }
        for visitor in self.carrier.visitors.values() {
            visitor.peer.close();
        }
        end_inbox(events).await;
    }

    fn load(&mut self) -> Result<Brain, Trouble> {
        let now_ms = self.setup.clock.now_ms();
        let restored = self.records.restore()?.ok_or(Trouble::Unknown)?;
        let mut shelf = DiskShelf::new(self.blocks.clone());
        let (genesis, kept) = (restored.genesis, restored.kept);
        let before = Before { complete: restored.complete, forgetting: restored.forgetting };
        self.show(|view| view.vault = genesis.kind == FolderKind::Vault);
        let (key, promise) = (self.setup.key.clone(), self.setup.promise.clone());
        let mut tenant = Tenant::restore(now_ms, genesis, kept, before, key, promise, &mut shelf);
        if let Some(agreed) = restored.agreed {
            tenant.remember_agreed(agreed);
        }
        shelf.trouble()?;
        let mut brain = Brain { tenant, shelf };
        self.carrier.damaged = restored.damaged;
        (self.carrier.trash, self.carrier.pace) = (restored.trash, restored.pace);
        self.carrier.go_on_scrubbing(restored.scrub);
        if self.records.is_in_doubt()? {
            self.carrier.recheck(&mut brain, now_ms)?;
        }
        self.carrier.last_seen_ms = self.carrier.last_seen_ms.max(restored.last_seen_ms);
        Ok(brain)
    }

    /// Until it is told to stop.
    async fn live(
        &mut self,
        brain: &mut Brain,
        events: &mut mpsc::Receiver<FolderEvent>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<(), Trouble> {
        self.finish_turn(brain)?;
        while !(self.stopping && self.carrier.is_idle()) {
            self.note_clock();
            let due = Duration::from_millis(self.due_ms(brain));
            let has_room = self.carrier.gathered_bytes() < GATHERED_BYTES_MAX;
            tokio::select! {
                event = events.recv(), if has_room && !self.stopping => match event {
                    Some(event) => self.take_events(brain, event, events, orders)?,
                    None => self.stopping = true,
                },
                order = orders.recv() => match order {
                    Some(order) => self.obey(brain, order)?,
                    None => self.stopping = true,
                },
                Some(inner) = self.inner.recv() => self.carrier.done(brain, inner)?,
                () = tokio::time::sleep(due) => self.time_passed(brain)?,
            }
            self.finish_turn(brain)?;
        }
        Ok(brain.shelf.flush()?)
    }

    /// The clock may be set back: what was due then is due as long from now (T2).
    fn note_clock(&mut self) {
        let now_ms = self.setup.clock.now_ms();
        let set_back_ms = std::mem::replace(&mut self.clock_ms, now_ms).saturating_sub(now_ms);
        let own = [Some(&mut self.next_sweep_ms), self.carrier.retry_ms.as_mut(), self.carrier.scrub_again_ms.as_mut()];
        for due_ms in own.into_iter().flatten() {
            *due_ms = due_ms.saturating_sub(set_back_ms);
        }
    }

    fn due_ms(&self, brain: &Brain) -> u64 {
        let scrub_ms = if self.stopping { u64::MAX } else { self.carrier.scrub_due_ms(brain) };
        let own = [self.next_sweep_ms, scrub_ms];
        let due = brain.tenant.poll_timeout().into_iter().chain(self.carrier.retry_ms).chain(own).min();
        due.map_or(LOOK_MS, |due| due.saturating_sub(self.setup.clock.now_ms()).min(LOOK_MS))
    }

    /// Writes what must be kept, then shows and says what rests on it.
    fn finish_turn(&mut self, brain: &mut Brain) -> Result<(), Trouble> {
        if let Some(folder) = self.setup.beside {
            self.setup.vault_bytes.set(folder, self.setup.folder, brain.tenant.quota().used());
        }
        self.carrier.keep(brain)?;
        self.show(|view| self.carrier.describe(brain, view));
        self.carrier.go_on();
        Ok(())
    }

    /// Takes an event and what else waits. An order given before an event came is obeyed before it: who was told that its claim
    /// is accepted finds it so.
    fn take_events(
        &mut self,
        brain: &mut Brain,
        first: FolderEvent,
        events: &mut mpsc::Receiver<FolderEvent>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<(), Trouble> {
        brain.tenant.charge_beside(self.setup.vault_bytes.beside(&self.setup.folder));
        let mut event = first;
        for turn in 1.. {
            while let Ok(order) = orders.try_recv() {
                self.obey(brain, order)?;
            }
            self.take(brain, event)?;
            if turn == EVENTS_PER_TURN || self.carrier.gathered_bytes() >= GATHERED_BYTES_MAX {
                break;
            }
            match events.try_recv() {
                Ok(next) => event = next,
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, brain: &mut Brain, event: FolderEvent) -> Result<(), Trouble> {
        let now_ms = self.setup.clock.now_ms();
        match event {
            FolderEvent::MayEnter { who, introduction, answer } => {
                if !introduction.is_empty() {
                    brain.replica(now_ms, Input::Introduced { who, ops: introduction })?;
                }
                let replica = brain.tenant.replica();
                let told = match replica.reach(&who, now_ms) {
                    Some(_) => Answer::Enter(Box::new(Pass {
                        kind: KeyKind::Seeder,
                        key: self.setup.key.clone(),
                        introduction: vec![],
                    })),
                    None => Answer::Removed(replica.removal_of(&who)),
                };
                let _gone = answer.send(told);
                Ok(())
            }
            FolderEvent::Removed { .. } => Ok(()), // A seeder asks nobody to let it in.
            FolderEvent::Opened { peer, who } => self.opened(brain, now_ms, peer, who),
            FolderEvent::Closed { peer } => {
                self.vaults.remove(&peer);
                self.carrier.parted(now_ms, peer);
                brain.replica(now_ms, Input::PeerClosed { peer })
            }
            FolderEvent::Message { peer, message: Message::AttachVault(part) } => {
                self.vault_part(brain, peer, part);
                Ok(())
            }
            // Not for a seeder's ears.
            FolderEvent::Message { message: Message::Progress { .. } | Message::Editing { .. }, .. } => Ok(()),
            FolderEvent::Message { peer, message } => brain.replica(now_ms, Input::Received { peer, message }),
            FolderEvent::Block { peer, cid, bytes } => {
                let len = bytes.len() as u64;
                brain.replica(now_ms, Input::BlockArrived { peer, cid, bytes: len })?;
                self.carrier.drain(brain, Some(&bytes));
                Ok(())
            }
        }
    }

    fn opened(&mut self, brain: &mut Brain, now_ms: u64, peer: Peer, who: Who) -> Result<(), Trouble> {
        let id = peer.id;
        // Whoever comes with an invite or a member key knows the folder's id alone.
        if brain.tenant.replica().reach(&who, now_ms) == Some(Reach::Log) {
            let bytes = brain.tenant.replica().membership().log().genesis().to_bytes();
            peer.send(Message::Genesis { bytes });
        }
        self.carrier.visitors.insert(id, Visitor { peer, who, unasked_blocks: 0 });
        brain.replica(now_ms, Input::PeerOpened { peer: id, who, ours: KeyKind::Seeder })
    }

    fn obey(&mut self, brain: &mut Brain, order: Order) -> Result<(), Trouble> {
        let now_ms = self.setup.clock.now_ms();
        match order {
            Order::Claimed(ops, promise) => {
                self.setup.promise = promise.clone();
                brain.replica(now_ms, Input::LocalOps { ops, envelopes: vec![] })?;
                brain.tenant.promise(now_ms, promise, &mut brain.shelf);
                Ok(brain.shelf.trouble()?)
            }
            Order::Recheck(damaged, done) => {
                self.carrier.suspect(damaged);
                self.carrier.recheck(brain, now_ms)?;
                self.finish_turn(brain)?;
                let _nobody_waits = done.send(());
                Ok(())
            }
            Order::Sweep(done) => {
                let gone = self.sweep(brain, now_ms)?;
                // What is said of the folder from now on is what this look found.
                self.finish_turn(brain)?;
                let _nobody_waits = done.send(gone);
                Ok(())
            }
            Order::Look(answer) => {
                let _nobody_waits = answer.send(sees(brain.tenant.replica()));
                Ok(())
            }
            Order::Stop => {
                self.stopping = true;
                Ok(())
            }
        }
    }

    fn time_passed(&mut self, brain: &mut Brain) -> Result<(), Trouble> {
        let now_ms = self.setup.clock.now_ms();
        brain.replica(now_ms, Input::Tick)?;
        if self.carrier.retry_ms.is_some_and(|due| due <= now_ms) && self.carrier.has_room_again() {
            // Blocks that the disk did not take count as lost: they are wanted again.
            self.carrier.recheck(brain, now_ms)?;
        }
        if self.next_sweep_ms <= now_ms {
            self.sweep(brain, now_ms)?;
        }
        if !self.stopping && self.carrier.scrub_due_ms(brain) <= now_ms {
            self.carrier.scrub();
        }
        Ok(())
    }

    fn sweep(&mut self, brain: &mut Brain, now_ms: u64) -> Result<usize, Trouble> {
        self.next_sweep_ms = now_ms + SWEEP_MS;
        self.carrier.sweep(brain, now_ms)
    }

    /// A piece of a member's vault. Whoever brings it must be a member's device; one vault at a time.
    fn vault_part(&mut self, brain: &Brain, from: PeerId, part: LogPart) {
        let Some(visitor) = self.carrier.visitors.get(&from) else { return };
        let roster = brain.tenant.replica().membership().roster();
        let Some((_, member)) = roster.device(&visitor.who.key).filter(|_| visitor.who.kind == KeyKind::Device) else {
            return visitor.peer.send(Message::VaultRefused(ClaimRefusal::VaultRefused));
        };
        let arriving = self.vaults.remove(&from).or_else(|| {
            let vault = Genesis::from_bytes(&part.genesis).ok()?.folder_id();
            Some((vault, Arriving::default()))
        });
        let judged = match arriving {
            None => Err(ClaimRefusal::BadLog),
            Some((vault, mut arriving)) => match arriving.take(&vault, part) {
                Ok(None) => {
                    self.vaults.insert(from, (vault, arriving));
                    return;
                }
                Ok(Some(delivered)) => self.setup.vaults.attach(self.setup.folder, member.grant, delivered),
                Err(refusal) => Err(refusal),
            },
        };
        visitor.peer.send(judged.map_or_else(Message::VaultRefused, |()| Message::VaultAttached));
    }

    /// Waits before the next attempt. Nobody is let in meanwhile.
    async fn sit_out(
        &mut self,
        pause_ms: u64,
        events: &mut mpsc::Receiver<FolderEvent>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) {
        let until = tokio::time::Instant::now() + Duration::from_millis(pause_ms);
        while !self.stopping {
            tokio::select! {
                () = tokio::time::sleep_until(until) => break,
                event = events.recv() => match event {
                    Some(FolderEvent::Opened { peer, .. }) => peer.close(),
                    Some(_) => {}
                    None => self.stopping = true,
                },
                order = orders.recv() => self.stopping |= matches!(order, None | Some(Order::Stop)),
                Some(inner) = self.inner.recv() => self.carrier.done_without_brain(&inner),
            }
        }
    }

    /// Tells those who look, if anything changed.
    fn show(&self, change: impl FnOnce(&mut View)) {
        self.view.send_if_modified(|view| {
            let before = view.clone();
            change(view);
            *view != before
        });
    }
}

/// Keys and times: all that can be seen without a folder's keys.
fn sees(replica: &Replica) -> Sees {
    let member = |member: &Member| MemberSeen {
        key: member.sig.short(),
        devices: member.devices.iter().map(|device| device.sig.short()).collect(),
    };
    let mut heads: Vec<_> = replica.heads().iter().map(SignedHead::head).collect();
    heads.sort_by_key(|head| std::cmp::Reverse(head.claimed_time_ms));
    let state = |head: &&Head| StateSeen {
        device: head.device.short(),
        written_at: Time::from_ms(head.claimed_time_ms),
        new_bytes: head.new_bytes,
    };
    Sees {
        members: replica.membership().roster().members().map(member).collect(),
        states: heads.iter().take(STATES_SHOWN_MAX).map(state).collect(),
        states_all: heads.len(),
    }
}
