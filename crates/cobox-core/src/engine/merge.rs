//! Joins what others published. A head is joined only when every node of its tree is here and verified (design 2.7), its
//! context claims nothing that signed heads do not prove, and its ancestors are known. Of heads that rest on each other only the
//! newest is fetched: its state holds the others'. Where nothing of it comes, because it lies nowhere whole any more, the newest
//! beneath it of which others have all is joined meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use cobox_proto::head::SignedHead;
use cobox_proto::id::{ActorId, Cid, EpochTag, HeadId};
use cobox_proto::limits::COUNTER_JUMP_MAX;

use super::forks::{Barrier, Forks};
use super::{Engine, Event, HeadNote, Output};
use crate::path::FolderPath;
use crate::state::{Alarm, Ctx, History, Kind, Touched};
use crate::tree::{Fetch, Remote, TreeError};

/// How many blocks of one head are asked for at once.
const WANTS_MAX: usize = 512;
/// How many heads are fetched side by side: one whose blocks nobody present has must not keep others waiting.
const FETCHES_MAX: usize = 4;
/// After so long without a block a head gives way to one that waits, or to older ones: what it needs may be nowhere any more.
pub const PATIENCE_MS: u64 = 30_000;

/// What is kept of every known head.
#[derive(Debug, Clone)]
pub(super) struct Row {
    parents: Vec<HeadId>,
    pub(super) root: Cid,
    pub(super) delta: Option<Cid>,
    epoch: EpochTag,
    pub(super) actor: ActorId,
    pub(super) prev: Option<HeadId>,
    pub(super) seq: u64,
    /// The counter it proves itself; `None` while it can not be read.
    pub(super) counter: Option<u64>,
    /// The greatest counter that this head and those in its past prove.
    counter_max: u64,
    /// Whether this device wrote it in an earlier run; or a twin of it.
    forgotten: bool,
    /// Whether it rests on a head that this run of the engine published.
    pub(super) rests_on_us: bool,
}

#[derive(Debug, Clone)]
struct Fetching {
    /// The root of our tree it is compared with.
    base: Cid,
    walk: Fetch,
    asked: BTreeSet<Cid>,
    /// When it last went on.
    moved_ms: u64,
}

impl Fetching {
    /// Whether nothing came for long.
    fn is_stuck(&mut self, now_ms: u64) -> bool {
        self.moved_ms = self.moved_ms.min(now_ms);
        now_ms - self.moved_ms >= PATIENCE_MS
    }

    /// What to ask for that was not asked for yet.
    fn ask(&mut self) -> Vec<Cid> {
        let mut wanted = self.walk.wanted(WANTS_MAX);
        wanted.retain(|cid| self.asked.insert(*cid));
        wanted
    }
}

/// What joining a state did.
pub(super) struct Joined {
    pub(super) touched: Touched,
    pub(super) alarms: Vec<Alarm>,
    /// Paths of the synced tree that name other dots now.
    pub(super) renamed: BTreeSet<FolderPath>,
}

/// Heads so that each comes after those it rests on.
pub(super) fn parents_first(heads: &[SignedHead]) -> Vec<&SignedHead> {
    let by_id: BTreeMap<HeadId, &SignedHead> = heads.iter().map(|head| (head.id(), head)).collect();
    let (mut sorted, mut done, mut todo) = (Vec::new(), BTreeSet::new(), Vec::new());
    for id in by_id.keys() {
        todo.push((*id, false));
        while let Some((id, parents_done)) = todo.pop() {
            let Some(head) = by_id.get(&id) else { continue };
            if parents_done {
                sorted.push(*head);
            } else if done.insert(id) {
                todo.push((id, true));
                todo.extend(head.head().parents().map(|parent| (parent, false)));
            }
        }
    }
    sorted
}

/// The heads known, joined and waiting.
#[derive(Debug, Clone)]
pub(super) struct Merging {
    rows: BTreeMap<HeadId, Row>,
    frontier: BTreeSet<HeadId>,
    /// Everything at or below the frontier.
    past: BTreeSet<HeadId>,
    waiting: BTreeSet<HeadId>,
    /// What is being fetched.
    fetching: BTreeMap<HeadId, Fetching>,
    /// Those that gave way, and when.
    gave_way: BTreeMap<HeadId, u64>,
    /// Those of which nothing came for long, though somebody was there to ask.
    in_vain: BTreeSet<HeadId>,
    /// Older ones that are fetched meanwhile.
    instead: BTreeSet<HeadId>,
    /// Those in vain, and what is beneath them: nothing more of these comes from whoever is there, once no older one comes.
    given_up: BTreeSet<HeadId>,
    /// Fetched, and not to be joined before more is known of a fork.
    stalled: BTreeSet<HeadId>,
    /// What was known when the engine began.
    known_at_start: BTreeSet<HeadId>,
    pub(super) forks: Forks,
    /// The greatest counter each actor's heads prove.
    counters: BTreeMap<ActorId, u64>,
    refused: BTreeSet<HeadId>,
    /// Heads of epochs whose secret is not here yet: their counters are read once it is.
    unread: BTreeMap<HeadId, SignedHead>,
}

impl Merging {
    pub(super) fn new(frontier: BTreeSet<HeadId>, known: &[SignedHead]) -> Self {
        Self {
            rows: BTreeMap::new(),
            frontier,
            past: BTreeSet::new(),
            waiting: BTreeSet::new(),
            fetching: BTreeMap::new(),
            gave_way: BTreeMap::new(),
            in_vain: BTreeSet::new(),
            instead: BTreeSet::new(),
            given_up: BTreeSet::new(),
            stalled: BTreeSet::new(),
            known_at_start: known.iter().map(SignedHead::id).collect(),
            forks: Forks::default(),
            counters: BTreeMap::new(),
            refused: BTreeSet::new(),
            unread: BTreeMap::new(),
        }
    }

    pub(super) fn row(&self, id: &HeadId) -> Option<&Row> {
        self.rows.get(id)
    }

    pub(super) fn frontier(&self) -> &BTreeSet<HeadId> {
        &self.frontier
    }

    pub(super) fn frontier_has_root(&self, root: Cid) -> bool {
        self.frontier.iter().any(|id| self.rows.get(id).is_some_and(|row| row.root == root))
    }

    pub(super) fn frontier_is_of_root(&self, root: Cid) -> bool {
        self.frontier.iter().all(|id| self.rows.get(id).is_some_and(|row| row.root == root))
    }

    /// Every joined head.
    pub(super) fn past(&self) -> &BTreeSet<HeadId> {
        &self.past
    }

    /// A head and all that it rests on.
    pub(super) fn with_past(&self, id: HeadId) -> BTreeSet<HeadId> {
        let mut all = BTreeSet::from([id]);
        self.ancestors(id, &mut all);
        all
    }

    /// Whether a head rests on, or is, one of this device's that is not joined yet.
    fn brings_forgotten(&self, id: HeadId) -> bool {
        let new = self.with_past(id);
        new.difference(&self.past).any(|id| self.rows.get(id).is_some_and(|row| row.forgotten))
    }

    /// Whether every known head is joined, or given up.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_subset(&self.given_up) && self.instead.is_subset(&self.in_vain)
    }

    /// A head that does not count any more is not to be joined.
    pub(super) fn wait_no_more(&mut self, id: &HeadId) {
        for waits in [&mut self.waiting, &mut self.stalled, &mut self.instead, &mut self.in_vain] {
            waits.remove(id);
        }
        self.fetching.remove(id);
        self.gave_way.remove(id);
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

    /// Of `whole` those that are beneath a head in vain, and beneath no other of them.
    fn newest_beneath_what_is_in_vain(&self, whole: &BTreeSet<HeadId>) -> BTreeSet<HeadId> {
        let parents = |id: &HeadId| self.rows.get(id).map(|row| row.parents.clone()).unwrap_or_default();
        let (mut seen, mut found, mut beneath) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut todo: Vec<HeadId> = self.in_vain.iter().flat_map(parents).collect();
        while let Some(id) = todo.pop() {
            if self.past.contains(&id) || !seen.insert(id) {
                continue;
            }
            if whole.contains(&id) && self.waiting.contains(&id) && !self.in_vain.contains(&id) {
                found.insert(id);
                self.ancestors(id, &mut beneath);
            } else {
                todo.extend(parents(&id));
            }
        }
        found.retain(|id| !beneath.contains(id));
        found
    }

    /// A head that others rest on came after them: until now nothing beneath it was known to be in the past.
    fn came_late(&mut self, id: HeadId) {
        for parent in self.rows.get(&id).map(|row| row.parents.clone()).unwrap_or_default() {
            self.add_past(parent);
        }
        self.prune_frontier();
    }

    /// No head of the frontier is in the past of another: a head that merged both would be refused by everybody.
    fn prune_frontier(&mut self) {
        let mut below = BTreeSet::new();
        for id in &self.frontier {
            self.ancestors(*id, &mut below);
        }
        self.frontier.retain(|top| !below.contains(top));
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
    /// Learns of a head: its place in the graph and the counter it proves. Refuses one that jumps far ahead of all it rests
    /// on, else it would win every tie for ever (design 4.1, R11).
    pub(super) fn note_head(&mut self, signed: &SignedHead) {
        let (id, head) = (signed.id(), signed.head());
        let parents: Vec<HeadId> = head.parents().collect();
        let before = parents.iter().filter_map(|id| self.merging.rows.get(id)).map(|row| row.counter_max).max();
        let mut counter_max = before.unwrap_or(0);
        let counter = HeadNote::open(&self.keys, signed).map(|note| note.counter);
        match counter {
            Some(counter) if counter > counter_max.saturating_add(COUNTER_JUMP_MAX) => {
                self.refuse(id, "its counter jumps too far ahead".into());
            }
            Some(counter) => {
                counter_max = counter_max.max(counter);
                let proven = self.merging.counters.entry(head.actor).or_insert(0);
                *proven = (*proven).max(counter);
            }
            None => {
                self.merging.unread.insert(id, signed.clone());
            }
        }
        let (actor, prev, seq) = (head.actor, head.prev, head.seq);
        let (root, delta, epoch) = (head.root, head.delta, head.epoch);
        self.merging.forks.note(id, head);
        self.merging.stalled.clear();
        let forgotten = head.device == self.own.device && !self.own.published(&id);
        let rests_on_us = parents.iter().any(|parent| {
            self.own.published(parent) || self.merging.rows.get(parent).is_some_and(|row| row.rests_on_us)
        });
        let row = Row { parents, root, delta, epoch, actor, prev, seq, counter, counter_max, forgotten, rests_on_us };
        self.merging.rows.insert(id, row);
    }

    /// New keys: heads that could not be read before are read now, and joined.
    pub(super) fn keys_arrived(&mut self, now_ms: u64) {
        for (_, head) in std::mem::take(&mut self.merging.unread) {
            self.note_head(&head);
        }
        self.go_on(now_ms);
    }

    /// Counts everything below the remembered frontier as joined; once, when the known heads are in.
    pub(super) fn seal_past(&mut self, now_ms: u64) {
        for id in self.merging.frontier.clone() {
            self.merging.add_past(id);
        }
        self.merging.prune_frontier();
        let waiting: BTreeSet<HeadId> =
            self.merging.rows.keys().filter(|id| !self.merging.past.contains(*id)).copied().collect();
        self.merging.waiting = waiting.difference(&self.merging.refused).copied().collect();
        self.fetch_more(now_ms);
    }

    pub(super) fn head_arrived(&mut self, now_ms: u64, signed: SignedHead) {
        let id = signed.id();
        // One that counts again needs nobody to vouch for it.
        self.own.vouches_for.remove(&id);
        if self.merging.rows.contains_key(&id) {
            // Perhaps it was put aside, and counts again.
            if !self.merging.past.contains(&id)
                && !self.merging.refused.contains(&id)
                && self.merging.waiting.insert(id)
            {
                self.go_on(now_ms);
            }
            return;
        }
        self.note_head(&signed);
        self.look_for_a_twin(now_ms, &signed);
        if self.merging.past.contains(&id) {
            self.merging.came_late(id);
            return self.go_on(now_ms);
        }
        if self.merging.refused.contains(&id) {
            return;
        }
        self.merging.waiting.insert(id);
        if self.join_by_delta(id) {
            self.publish_merge_soon(now_ms);
            self.replan();
        }
        self.go_on(now_ms);
    }

    /// Nothing is joined before the disk was looked at. A stop may have come between a step and the memory of it: what it wrote is
    /// told from a person's edit by what the folder showed then, which a join would change (K5). Where nothing is remembered of the
    /// disk, only the heads that were known here are joined before: beside a newer one, a file that nobody touched would be taken for an
    /// edit of it (i5). Who knew of none begins with what comes.
    pub(super) fn may_join(&self, id: &HeadId) -> bool {
        self.scanned_once
            || self.synced.is_empty()
                && (self.merging.known_at_start.is_empty() || self.merging.known_at_start.contains(id))
    }

    /// Starts on the newest waiting heads, and drops those that meanwhile are in the past of another.
    fn fetch_more(&mut self, now_ms: u64) {
        let Merging { past, waiting, .. } = &mut self.merging;
        waiting.retain(|id| !past.contains(id));
        let Merging { rows, waiting, stalled, .. } = &self.merging;
        let has_keys = |id: &HeadId| rows.get(id).is_some_and(|row| self.keys.has_epoch(&row.epoch));
        let openable: BTreeSet<HeadId> =
            waiting.iter().filter(|id| self.may_join(id) && has_keys(id) && !stalled.contains(id)).copied().collect();
        let fetching = &mut self.merging.fetching;
        fetching.retain(|id, _| openable.contains(id));
        let mut below = BTreeSet::new();
        for id in &openable {
            self.merging.ancestors(*id, &mut below);
        }
        let Merging { fetching, gave_way, in_vain, instead, .. } = &mut self.merging;
        instead.retain(|id| openable.contains(id));
        in_vain.retain(|id| openable.contains(id));
        fetching.retain(|id, _| !below.contains(id) || instead.contains(id));
        let mut wanted: Vec<HeadId> = openable.difference(&below).chain(instead.iter()).copied().collect();
        gave_way.retain(|id, _| openable.contains(id));
        if wanted.len() > FETCHES_MAX {
            let gives_way = fetching.extract_if(.., |_, fetch| fetch.is_stuck(now_ms));
            gave_way.extend(gives_way.map(|(id, _)| (id, now_ms)));
            wanted.sort_by_key(|id| gave_way.get(id).copied());
            self.out.push_back(Output::WakeAt(now_ms + PATIENCE_MS));
        }
        for id in wanted {
            if self.merging.fetching.len() >= FETCHES_MAX {
                break;
            }
            if !self.merging.fetching.contains_key(&id) {
                self.begin_fetch(now_ms, id);
            }
        }
    }

    /// Others say that they have all of these heads. Beneath each that is fetched in vain, the newest of them are fetched, too: joining
    /// them now takes nothing from what is joined later.
    pub(super) fn lie_whole(&mut self, now_ms: u64, whole: &BTreeSet<HeadId>) {
        let Merging { fetching, gave_way, in_vain, .. } = &mut self.merging;
        let stuck = fetching.iter_mut().filter_map(|(id, fetch)| fetch.is_stuck(now_ms).then_some(*id));
        in_vain.extend(stuck.chain(gave_way.keys().copied()));
        let newest = self.merging.newest_beneath_what_is_in_vain(whole);
        self.merging.instead.extend(newest);
        self.go_on(now_ms);
        self.merging.given_up = self.merging.in_vain.iter().flat_map(|id| self.merging.with_past(*id)).collect();
    }

    /// Whether a head is not joined yet; perhaps it never will be.
    pub fn waits_for_heads(&self) -> bool {
        !self.merging.waiting.is_empty()
    }

    /// The heads of which nothing came for long, though somebody was there to ask: as far as is known they lie nowhere whole.
    pub fn in_vain(&self) -> &BTreeSet<HeadId> {
        &self.merging.in_vain
    }

    fn begin_fetch(&mut self, now_ms: u64, id: HeadId) {
        let Some(row) = self.merging.rows.get(&id) else { return };
        let walk = Fetch::new(row.root, Some(&self.tree));
        let mut fetching = Fetching { base: self.tree.root(), walk, asked: BTreeSet::new(), moved_ms: now_ms };
        self.out.push_back(Output::Want(fetching.ask()));
        self.merging.fetching.insert(id, fetching);
    }

    pub(super) fn block_arrived(&mut self, now_ms: u64, cid: Cid, bytes: &[u8]) {
        let mut broken = Vec::new();
        let mut wanted = BTreeSet::new();
        let Merging { fetching, in_vain, given_up, .. } = &mut self.merging;
        for (id, fetching) in fetching {
            match fetching.walk.supply(cid, bytes, &self.keys) {
                Ok(()) => {
                    fetching.moved_ms = now_ms;
                    if in_vain.remove(id) {
                        given_up.clear();
                    }
                    wanted.extend(fetching.ask());
                }
                Err(TreeError::NotWanted(_)) => {}
                Err(why) => broken.push((*id, with_cause(&why))),
            }
        }
        for (id, why) in broken {
            self.refuse(id, why);
        }
        if !wanted.is_empty() {
            self.out.push_back(Output::Want(wanted.into_iter().collect()));
        }
        self.go_on(now_ms);
    }

    /// A head whose tree breaks the rules is never joined.
    fn refuse(&mut self, id: HeadId, why: String) {
        self.merging.fetching.remove(&id);
        self.merging.waiting.remove(&id);
        if self.merging.refused.insert(id) {
            self.out.push_back(Output::Tell(Event::BadHead { head: id, why }));
        }
    }

    /// Joins what is complete and starts on what waits.
    pub(super) fn go_on(&mut self, now_ms: u64) {
        let mut joined = false;
        self.fetch_more(now_ms);
        while let Some(id) =
            self.merging.fetching.iter().find(|(_, fetching)| fetching.walk.is_complete()).map(|(id, _)| *id)
        {
            let Some(Fetching { base, walk, .. }) = self.merging.fetching.remove(&id) else { break };
            if base != self.tree.root() {
                // Something was committed or joined meanwhile; what the walk left out as "the same" is measured against it
                // again. The blocks are held by now, so this costs no network.
                self.begin_fetch(now_ms, id);
                continue;
            }
            match walk.done(&self.state, &self.keys) {
                Ok(remote) => joined |= self.join_remote(id, &remote),
                Err(why) => self.refuse(id, with_cause(&why)),
            }
            self.fetch_more(now_ms);
        }
        if joined {
            self.publish_merge_soon(now_ms);
            self.replan();
        }
    }

    pub(super) fn join_remote(&mut self, id: HeadId, remote: &Remote) -> bool {
        let joined =
            if self.meets_forks(remote) { self.join_across_forks(id, remote) } else { self.join_plainly(remote) };
        let Joined { touched, alarms, mut renamed } = match joined {
            Ok(joined) => joined,
            Err(Barrier::Missing) => {
                self.merging.stalled.insert(id);
                return false;
            }
            Err(Barrier::Broken(why)) => {
                self.refuse(id, why);
                return false;
            }
        };
        self.merging.waiting.remove(&id);
        let author = self.merging.row(&id).and_then(|row| self.state.ctx.get(&row.actor)).map(|row| row.device);
        self.last_joined = author.or(self.last_joined);
        for alarm in alarms {
            self.out.push_back(Output::Tell(Event::BadHead { head: id, why: alarm_text(&alarm) }));
        }
        let brings_forgotten = !self.moved_at_start.is_empty() && self.merging.brings_forgotten(id);
        self.merging.join(id);
        self.settle_state(&touched);
        if brings_forgotten {
            self.keep_what_was_moved(&mut renamed);
        }
        self.note_published();
        self.remember(renamed);
        self.out.push_back(Output::Tell(Event::Joined { head: id }));
        true
    }

    /// This device was set back, and now learns what it had published before. If that took away a file that was only moved, and was
    /// caught in the middle of it, the file stays and is published anew.
    fn keep_what_was_moved(&mut self, dirty: &mut BTreeSet<FolderPath>) {
        let is_lost = |path: &&FolderPath| {
            self.synced.get(*path).is_some_and(|known| {
                let item = self.state.get(&known.inode);
                known.kind != Kind::Dir
                    && !item.is_some_and(|item| item.body.iter().any(|(dot, _)| known.seen.contains(dot)))
            })
        };
        let lost: Vec<FolderPath> = self.moved_at_start.iter().filter(is_lost).cloned().collect();
        for path in &lost {
            self.unplace(path, dirty);
        }
        if !lost.is_empty() {
            self.out.push_back(Output::Rescan(lost));
        }
    }

    fn join_plainly(&mut self, remote: &Remote) -> Result<Joined, Barrier> {
        self.check_context(&remote.ctx, &History::new())?;
        Ok(self.join_state(remote))
    }

    pub(super) fn join_state(&mut self, remote: &Remote) -> Joined {
        let (touched, alarms) = self.state.join_with(&remote.ctx, &remote.forks, &remote.theirs, &self.standing);
        Joined { touched, alarms, renamed: BTreeSet::new() }
    }

    /// Every counter must be proven by a signed head of that actor, else a member could cover, and so delete, edits that
    /// do not exist yet (design 4.1). `told` are the chains of those whose counters were compared already.
    pub(super) fn check_context(&self, ctx: &Ctx, told: &History) -> Result<(), Barrier> {
        for (actor, row) in ctx.iter().filter(|(actor, _)| told.chain(actor).is_empty()) {
            let proven = self.merging.counters.get(actor).copied().unwrap_or(0);
            let ours = self.state.ctx.get(actor).map_or(0, |row| row.counter);
            if row.counter > proven.max(ours) {
                let why = format!("it claims {} writes of an actor that has shown {proven}", row.counter);
                return Err(Barrier::Broken(why));
            }
        }
        Ok(())
    }

    /// Whether a head of this actor was refused.
    pub fn has_refused(&self, actor: &ActorId) -> bool {
        self.merging.refused.iter().any(|id| self.merging.rows.get(id).is_some_and(|row| row.actor == *actor))
    }
}

/// What is wrong with a tree, and why: the one without the other names no deed.
fn with_cause(why: &TreeError) -> String {
    std::error::Error::source(why).map_or_else(|| why.to_string(), |cause| format!("{why}: {cause}"))
}

fn alarm_text(alarm: &Alarm) -> String {
    match alarm {
        Alarm::TwoValues { dot, .. } => format!("actor {} signed two values for one change", dot.actor.short()),
        Alarm::TwoKinds { inode } => format!("item {} is of two kinds", inode.short()),
    }
}
