//! Joins what others published. A head is joined only when every node of its tree is here and verified (design 2.7), its
//! context claims nothing that signed heads do not prove, and its ancestors are known. One head is fetched at a time.

use std::collections::{BTreeMap, BTreeSet};

use cobox_proto::head::SignedHead;
use cobox_proto::id::{ActorId, Cid, EpochTag, HeadId};
use cobox_proto::limits::COUNTER_JUMP_MAX;

use super::publish::counter_of;
use super::{Engine, Event, Output};
use crate::state::{Alarm, Ctx};
use crate::tree::{Fetch, Remote};

/// How many blocks are asked for at once.
const WANTS_MAX: usize = 512;

/// What is kept of every known head.
#[derive(Debug)]
struct Row {
    parents: Vec<HeadId>,
    root: Cid,
    epoch: EpochTag,
    actor: ActorId,
}

/// The heads known, joined and waiting.
#[derive(Debug)]
pub(super) struct Merging {
    rows: BTreeMap<HeadId, Row>,
    frontier: BTreeSet<HeadId>,
    /// Everything at or below the frontier.
    past: BTreeSet<HeadId>,
    waiting: BTreeSet<HeadId>,
    /// What is being fetched, and the root of our tree it is compared with.
    fetching: Option<(HeadId, Cid, Fetch)>,
    /// The greatest counter each actor's heads prove.
    counters: BTreeMap<ActorId, u64>,
    refused: BTreeSet<HeadId>,
    /// Heads of epochs whose secret is not here yet: their counters are read once it is.
    unread: BTreeMap<HeadId, SignedHead>,
}

impl Merging {
    pub(super) fn new(frontier: BTreeSet<HeadId>) -> Self {
        Self {
            rows: BTreeMap::new(),
            frontier,
            past: BTreeSet::new(),
            waiting: BTreeSet::new(),
            fetching: None,
            counters: BTreeMap::new(),
            refused: BTreeSet::new(),
            unread: BTreeMap::new(),
        }
    }

    pub(super) fn frontier(&self) -> &BTreeSet<HeadId> {
        &self.frontier
    }

    pub(super) fn frontier_has_root(&self, root: Cid) -> bool {
        self.frontier.iter().any(|id| self.rows.get(id).is_some_and(|row| row.root == root))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.fetching.is_none() && self.waiting.is_empty()
    }

    /// A head that joins all of the frontier takes its place.
    pub(super) fn advance(&mut self, id: HeadId) {
        self.add_past(id);
        let below: BTreeSet<HeadId> =
            self.rows.get(&id).map(|row| row.parents.iter().copied().collect()).unwrap_or_default();
        self.frontier.retain(|old| !below.contains(old));
        self.frontier.insert(id);
    }

    /// A joined head stands beside the frontier, minus what is in its past.
    fn join(&mut self, id: HeadId) {
        let mut below = BTreeSet::new();
        self.ancestors(id, &mut below);
        self.frontier.retain(|old| !below.contains(old));
        self.frontier.insert(id);
        self.past.extend(below);
        self.past.insert(id);
    }

    fn ancestors(&self, id: HeadId, into: &mut BTreeSet<HeadId>) {
        let mut todo: Vec<HeadId> = self.rows.get(&id).map(|row| row.parents.clone()).unwrap_or_default();
        while let Some(at) = todo.pop() {
            if into.insert(at) {
                todo.extend(self.rows.get(&at).map(|row| row.parents.clone()).unwrap_or_default());
            }
        }
    }

    fn add_past(&mut self, id: HeadId) {
        let mut todo = vec![id];
        while let Some(at) = todo.pop() {
            if self.past.insert(at) {
                todo.extend(self.rows.get(&at).map(|row| row.parents.clone()).unwrap_or_default());
            }
        }
    }
}

impl Engine {
    /// Learns of a head: its place in the graph and the counter it proves.
    pub(super) fn note_head(&mut self, signed: &SignedHead) {
        let head = signed.head();
        let parents = head.prev.iter().chain(&head.merged).copied().collect();
        self.merging.rows.insert(signed.id(), Row { parents, root: head.root, epoch: head.epoch, actor: head.actor });
        match counter_of(self, signed) {
            Some(counter) => {
                let proven = self.merging.counters.entry(head.actor).or_insert(0);
                *proven = (*proven).max(counter);
            }
            None => {
                self.merging.unread.insert(signed.id(), signed.clone());
            }
        }
    }

    /// New keys: heads that could not be read before are read now, and joined.
    pub(super) fn keys_arrived(&mut self, now_ms: u64) {
        for (_, head) in std::mem::take(&mut self.merging.unread) {
            self.note_head(&head);
        }
        self.fetch_next();
        self.finish_fetch(now_ms);
    }

    /// Counts everything below the remembered frontier as joined; once, when the known heads are in.
    pub(super) fn seal_past(&mut self) {
        for id in self.merging.frontier.clone() {
            self.merging.add_past(id);
        }
        let waiting: BTreeSet<HeadId> =
            self.merging.rows.keys().filter(|id| !self.merging.past.contains(*id)).copied().collect();
        self.merging.waiting = waiting;
        self.fetch_next();
    }

    pub(super) fn head_arrived(&mut self, now_ms: u64, signed: SignedHead) {
        let id = signed.id();
        if self.merging.rows.contains_key(&id) {
            return;
        }
        self.note_head(&signed);
        if signed.head().actor == self.own.actor && !self.own.published(&id) {
            // Somebody else holds this device's key and goes on with its chain: never write under that name again.
            self.own.fresh_actor();
            self.out.push_back(Output::Tell(Event::Duplicated { head: id }));
        }
        if self.merging.past.contains(&id) {
            return;
        }
        self.merging.waiting.insert(id);
        self.fetch_next();
        self.finish_fetch(now_ms);
    }

    /// Starts on a waiting head that no other waiting head has in its past: joining it joins those below as well.
    fn fetch_next(&mut self) {
        if self.merging.fetching.is_some() {
            return;
        }
        let mut below = BTreeSet::new();
        for id in &self.merging.waiting {
            self.merging.ancestors(*id, &mut below);
        }
        let past = &self.merging.past;
        self.merging.waiting.retain(|id| !past.contains(id));
        let openable = |id: &HeadId| self.merging.rows.get(id).is_some_and(|row| self.keys.has_epoch(&row.epoch));
        let next = self.merging.waiting.iter().find(|id| !below.contains(*id) && openable(id)).copied();
        let Some(id) = next else { return };
        let Some(row) = self.merging.rows.get(&id) else { return };
        let mut fetch = Fetch::new(row.root, Some(&self.tree));
        let wanted = fetch.wanted(WANTS_MAX);
        self.merging.fetching = Some((id, self.tree.root(), fetch));
        if !wanted.is_empty() {
            self.out.push_back(Output::Want(wanted));
        }
    }

    pub(super) fn block_arrived(&mut self, now_ms: u64, cid: Cid, bytes: &[u8]) {
        let Some((id, _, fetch)) = &mut self.merging.fetching else { return };
        if let Err(why) = fetch.supply(cid, bytes, &self.keys) {
            let id = *id;
            self.refuse(id, why.to_string());
            self.fetch_next();
            return;
        }
        let wanted = fetch.wanted(WANTS_MAX);
        if !wanted.is_empty() {
            self.out.push_back(Output::Want(wanted));
        }
        self.finish_fetch(now_ms);
    }

    /// A head whose tree breaks the rules is never joined, nor is anything of its author that rests on it.
    fn refuse(&mut self, id: HeadId, why: String) {
        self.merging.fetching = None;
        self.merging.waiting.remove(&id);
        self.merging.refused.insert(id);
        self.out.push_back(Output::Tell(Event::BadHead { head: id, why }));
    }

    fn finish_fetch(&mut self, now_ms: u64) {
        while let Some((id, base, fetch)) = &mut self.merging.fetching {
            if !fetch.is_complete() {
                return;
            }
            let id = *id;
            if *base != self.tree.root() {
                // Something was committed meanwhile; what the walk left out as "the same" is measured against it again.
                // The blocks are held by now, so this costs no network.
                self.merging.fetching = None;
                self.fetch_next();
                if let Some((_, _, fetch)) = &self.merging.fetching
                    && !fetch.is_complete()
                {
                    return;
                }
                continue;
            }
            let Some((_, _, fetch)) = self.merging.fetching.take() else { return };
            match fetch.done(&self.state, &self.keys) {
                Ok(remote) => self.join_remote(now_ms, id, remote),
                Err(why) => self.refuse(id, why.to_string()),
            }
            self.fetch_next();
        }
        self.publish_merge_soon(now_ms);
        self.replan();
    }

    fn join_remote(&mut self, now_ms: u64, id: HeadId, remote: Remote) {
        if let Err(why) = self.check_context(&remote.ctx) {
            return self.refuse(id, why);
        }
        self.merging.waiting.remove(&id);
        let (touched, alarms) = self.state.join_with(&remote.ctx, &remote.forks, &remote.theirs, &self.standing);
        for alarm in alarms {
            self.out.push_back(Output::Tell(Event::BadHead { head: id, why: alarm_text(&alarm) }));
        }
        self.merging.join(id);
        self.settle_state(&touched);
        self.remember(BTreeSet::new());
        self.out.push_back(Output::Tell(Event::Joined { head: id }));
        let _ = now_ms;
    }

    /// Every counter must be proven by a signed head of that actor, else a member could cover, and so delete, edits that
    /// do not exist yet; and none may jump far ahead, else it would win every tie for ever (design 4.1, R11).
    fn check_context(&self, ctx: &Ctx) -> Result<(), String> {
        let known_max = self.merging.counters.values().copied().max().unwrap_or(0).max(self.state.ctx.counter_max());
        for (actor, row) in ctx.iter() {
            let proven = self.merging.counters.get(actor).copied().unwrap_or(0);
            let ours = self.state.ctx.get(actor).map_or(0, |row| row.counter);
            if row.counter > proven.max(ours) {
                return Err(format!("it claims {} writes of an actor that has shown {proven}", row.counter));
            }
            if row.counter > known_max + COUNTER_JUMP_MAX {
                return Err("its counter jumps too far ahead".into());
            }
        }
        Ok(())
    }

    /// Whether a head of this actor was refused.
    pub fn has_refused(&self, actor: &ActorId) -> bool {
        self.merging.refused.iter().any(|id| self.merging.rows.get(id).is_some_and(|row| row.actor == *actor))
    }
}

fn alarm_text(alarm: &Alarm) -> String {
    match alarm {
        Alarm::TwoValues { dot, .. } => format!("actor {} signed two values for one change", dot.actor.short()),
        Alarm::TwoKinds { inode } => format!("item {} is of two kinds", inode.short()),
    }
}
