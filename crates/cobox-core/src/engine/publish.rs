//! The device's own chain of heads. Every start draws a fresh actor from random bytes, so a restored backup, a cloned
//! machine or a lost database can never use a counter twice (design 4.3); it costs some 50 bytes of context per start that
//! writes.

use std::collections::{BTreeMap, BTreeSet};

use cobox_proto::codec::Canonical;
use cobox_proto::guard::Guard;
use cobox_proto::head::{Head, SignedHead};
use cobox_proto::id::{ActorId, FolderId, HeadId, Inode, SigKey};
use cobox_proto::limits::HEAD_MERGED_MAX;
use cobox_proto::sign::SecretKey;

use super::{Engine, Event, HeadNote, Output, VaultMark};
use crate::keys::{FolderKeys, Profile};
use crate::padding::UNIFORM_BLOCK_BYTES;
use crate::path::FolderPath;
use crate::seal::chunk_block_bytes;
use crate::state::{Content, Dot, State, Touched};

/// Merges without a write of our own wait a random time up to this, so that not everybody publishes the same join (R2).
const MERGE_DELAY_MS_MAX: u64 = 2_000;
/// A head of this device that somebody else wrote so long after our start is no late arrival from an earlier run, even if the clock
/// was put right meanwhile.
const TWIN_AFTER_MS: u64 = 10 * 60 * 1_000;

/// This device's incarnation and what it has published.
#[derive(Debug, Clone)]
pub(super) struct OwnChain {
    folder: FolderId,
    key: SecretKey,
    entropy: [u8; 32],
    draws: u64,
    pub(super) device: SigKey,
    pub(super) actor: ActorId,
    nonce: [u8; 16],
    seq: u64,
    newest: Option<HeadId>,
    by_seq: BTreeMap<u64, HeadId>,
    /// Everything published since the start, under whatever actor.
    this_run: BTreeSet<HeadId>,
    started_ms: Option<u64>,
    /// The latest time it was told.
    pub(super) now_ms: u64,
    twin_told: bool,
    merge_due_ms: Option<u64>,
    /// Joined heads that do not count by themselves any more; the next head of ours vouches for them.
    pub(super) vouches_for: BTreeSet<HeadId>,
    pub(super) vault: Option<VaultMark>,
}

impl OwnChain {
    pub(super) fn new(folder: FolderId, key: SecretKey, entropy: [u8; 32]) -> Self {
        let device = key.public();
        let mut own = Self {
            folder,
            key,
            entropy,
            draws: 0,
            device,
            actor: ActorId::ZERO,
            nonce: [0; 16],
            seq: 0,
            newest: None,
            by_seq: BTreeMap::new(),
            this_run: BTreeSet::new(),
            started_ms: None,
            now_ms: 0,
            twin_told: false,
            merge_due_ms: None,
            vouches_for: BTreeSet::new(),
            vault: None,
        };
        own.fresh_actor(None);
        own
    }

    fn draw(&mut self) -> [u8; 32] {
        self.draws += 1;
        *blake3::keyed_hash(&self.entropy, &self.draws.to_le_bytes()).as_bytes()
    }

    /// Starts a new incarnation: at start-up, and when a head of somebody else continues this one's chain. That somebody may be
    /// a copy of this very process with the same random bytes ahead of it; what the two do not share is whose head they met.
    pub(super) fn fresh_actor(&mut self, met: Option<&HeadId>) {
        if let Some(met) = met {
            self.entropy = *blake3::keyed_hash(&self.entropy, met.as_bytes()).as_bytes();
        }
        let random = if Guard::FreshNameEachStart.stands() || met.is_some() { self.draw() } else { [0; 32] };
        self.nonce.copy_from_slice(&random[..16]);
        self.actor = ActorId::of(&self.folder, &self.device, &self.nonce);
        (self.seq, self.newest) = (0, None);
        self.by_seq.clear();
    }

    pub(super) fn published(&self, id: &HeadId) -> bool {
        self.this_run.contains(id)
    }

    /// If the clock was set back, what was due then is due as long from now (T2): when, if there is such a thing.
    pub(super) fn note_time(&mut self, now_ms: u64) -> Option<u64> {
        self.started_ms.get_or_insert(now_ms);
        let set_back_ms = std::mem::replace(&mut self.now_ms, now_ms).saturating_sub(now_ms);
        if set_back_ms == 0 {
            return None;
        }
        self.started_ms = self.started_ms.map(|at| at.saturating_sub(set_back_ms));
        self.merge_due_ms = self.merge_due_ms.map(|due| due.saturating_sub(set_back_ms));
        self.merge_due_ms
    }
}

impl Engine {
    /// Whether this head shows that somebody else writes with this device's key, now and not in an earlier run: it goes on with
    /// this run's chain, rests on what this run published, or was written long after the start (N8). Nothing is lost by it,
    /// but a person should know.
    pub(super) fn look_for_a_twin(&mut self, now_ms: u64, signed: &SignedHead) {
        let (id, head) = (signed.id(), signed.head());
        if head.device != self.own.device || self.own.published(&id) {
            return;
        }
        let continued = head.actor == self.own.actor;
        if continued && Guard::TwinsPart.stands() {
            // Never write under that name again.
            self.own.fresh_actor(Some(&id));
        }
        let rests_on_us = self.merging.row(&id).is_some_and(|row| row.rests_on_us);
        let started_ms = self.own.started_ms.unwrap_or(now_ms);
        let later = head.claimed_time_ms > started_ms.saturating_add(TWIN_AFTER_MS);
        if (continued || rests_on_us || later) && !std::mem::replace(&mut self.own.twin_told, true) {
            self.out.push_back(Output::Tell(Event::Duplicated { head: id }));
        }
    }

    /// Whether somebody else was seen to write with this device's key.
    pub fn knows_of_a_twin(&self) -> bool {
        self.own.twin_told
    }

    /// Ends a commit: seals, remembers, publishes if heads of this device would be taken now. `written` is `None` when only the synced tree changed.
    pub(super) fn finish_commit(
        &mut self,
        now_ms: u64,
        written: Option<(Dot, Touched)>,
        dirty: BTreeSet<FolderPath>,
        changed: u64,
        removed: u64,
    ) {
        let Some((_, touched)) = written else {
            if !dirty.is_empty() {
                self.remember(dirty);
            }
            return;
        };
        self.settle_state(&touched);
        let announced = announced_bytes(&self.state, &self.keys, touched.iter().map(|(inode, _)| *inode));
        if self.may_publish() {
            self.publish(now_ms, announced, dirty);
        } else {
            // It is said as soon as there is an epoch to say it under, with all that it brings.
            self.new_nodes = (self.new_nodes.0 + announced.0, self.new_nodes.1 + announced.1);
            self.remember(dirty);
        }
        self.out.push_back(Output::Tell(Event::Committed { changed, removed }));
    }

    /// Whether some known head has our root.
    pub(super) fn root_is_published(&self) -> bool {
        self.merging.frontier_has_root(self.tree.root()) || self.state.is_empty() && self.merging.frontier().is_empty()
    }

    /// Whether all newest heads have our root. One that has another would stay a newest head for ever, and a seeder would ask for its
    /// content, which may be nowhere any more.
    fn has_one_root(&self) -> bool {
        let is_of_one_root = self.merging.frontier_is_of_root(self.tree.root());
        self.root_is_published() && (is_of_one_root || !Guard::AllNewestAreMerged.stands())
    }

    /// Whether no head of ours is lacking: neither to join others' nor to vouch for one.
    fn has_nothing_to_say(&self) -> bool {
        self.has_one_root() && self.own.vouches_for.is_empty()
    }

    /// Plans the publication of a join that nobody has published yet.
    pub(super) fn publish_merge_soon(&mut self, now_ms: u64) {
        if self.has_nothing_to_say() || !self.may_publish() {
            self.own.merge_due_ms = None;
            return;
        }
        if self.own.merge_due_ms.is_none() {
            let random = self.own.draw();
            let wait = u64::from(u16::from_le_bytes([random[0], random[1]])) * MERGE_DELAY_MS_MAX / u64::from(u16::MAX);
            self.own.merge_due_ms = Some(now_ms + wait);
            self.out.push_back(Output::WakeAt(now_ms + wait));
        }
    }

    pub(super) fn publish_merge_if_due(&mut self, now_ms: u64) {
        let Some(due) = self.own.merge_due_ms else { return };
        if now_ms < due {
            self.out.push_back(Output::WakeAt(due));
            return;
        }
        self.own.merge_due_ms = None;
        if !self.has_nothing_to_say() && self.may_publish() {
            self.publish(now_ms, (0, 0), BTreeSet::new());
        }
    }

    fn publish(&mut self, now_ms: u64, content: (u64, u64), dirty: BTreeSet<FolderPath>) {
        let seq = self.own.seq + 1;
        let skip = seq & (seq - 1);
        let merged: Vec<HeadId> = self
            .merging
            .frontier()
            .iter()
            .filter(|id| Some(**id) != self.own.newest)
            .take(HEAD_MERGED_MAX)
            .copied()
            .collect();
        let (nodes, node_bytes) = std::mem::take(&mut self.new_nodes);
        let epoch = self.tree.epoch();
        let delta = self.deltas.seal(&self.state, epoch, &self.keys);
        let mut head = Head {
            folder: self.folder,
            device: self.own.device,
            actor: self.own.actor,
            actor_nonce: (seq == 1).then_some(self.own.nonce),
            seq,
            prev: self.own.newest,
            skip: self.own.by_seq.get(&skip).copied(),
            root: self.tree.root(),
            epoch,
            auth: self.standing.auth.clone(),
            merged: merged.clone(),
            new_blocks: nodes + content.0,
            new_bytes: node_bytes + content.1,
            claimed_time_ms: now_ms,
            delta: delta.as_ref().map(|delta| delta.cid),
            sealed: Vec::new(),
        };
        let counter = self.state.ctx.get(&self.own.actor).map_or(0, |row| row.counter);
        let note = HeadNote { counter, vault: self.own.vault }.to_bytes();
        head.sealed = match self.keys.seal_note(&epoch, "head", &head.clear_bytes(), &note) {
            Ok(sealed) => sealed,
            Err(_) => return self.remember(dirty),
        };
        let Ok(signed) = head.sign(&self.own.key) else { return self.remember(dirty) };
        self.own.seq = seq;
        self.own.newest = Some(signed.id());
        self.own.by_seq.insert(seq, signed.id());
        self.own.this_run.insert(signed.id());
        self.own.merge_due_ms = None;
        self.own.vouches_for.clear();
        self.note_head(&signed);
        self.merging.advance(signed.id());
        self.note_published();
        if !Guard::DurableBeforeTold.stands() {
            self.out.push_back(Output::Publish(Box::new(signed)));
            return self.remember(dirty);
        }
        // State, disk and head are made durable as one: a stop may come before or after all of it, never in between.
        self.remember_with(dirty, Some(Box::new(signed.clone())));
        self.out.extend(delta.map(Output::SendDelta));
        self.out.push_back(Output::Publish(Box::new(signed)));
    }
}

/// How many blocks and bytes of sealed content the touched items refer to, at most: what a head announces. A seeder refuses a head
/// that brings more.
pub(super) fn announced_bytes(state: &State, keys: &FolderKeys, inodes: impl Iterator<Item = Inode>) -> (u64, u64) {
    let (mut blocks, mut bytes) = (0, 0);
    let items = inodes.filter_map(|inode| state.get(&inode));
    for (_, body) in items.flat_map(|item| &item.body) {
        match &body.content {
            Content::Inline(_) => {}
            Content::Refs(refs) => {
                blocks += refs.len() as u64;
                bytes += refs.iter().map(|chunk| chunk_block_bytes(keys, chunk)).sum::<u64>();
            }
            Content::Manifest(manifest) => {
                blocks += manifest.refs + manifest.refs / 16 + 8;
                bytes += 4096 * manifest.refs;
                bytes += match keys.profile() {
                    Profile::Uniform => manifest.refs * UNIFORM_BLOCK_BYTES as u64,
                    // The coarsest classes are a fifth apart.
                    Profile::Cdc => body.size + body.size / 5,
                };
            }
        }
    }
    (blocks, bytes)
}
