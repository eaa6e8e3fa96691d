//! The heads of one folder as a graph: which are in it, which wait for something, which are refused for ever, which are in
//! quarantine (formats F4, F8). Owns the heads' bytes and their order; asks [`Rights`] who may write.
//!
//! Must hold: a head is in the graph only when all it names is, so what is in the graph never waits; nothing ever leaves it, so
//! an older head replaces nothing; acceptance depends on the head and its past alone and therefore is the same everywhere;
//! only quarantine follows the newest membership.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::head::{Head, SignedHead};
use crate::id::{ActorId, EpochTag, HeadId, OpId, SigKey};
use crate::limits::{HEADS_PENDING_MAX, HEADS_PENDING_PER_PEER_MAX, HEADS_REFUSED_KEPT_MAX};
use crate::replicate::PeerId;
use crate::wire::Tip;

/// What the graph must know of the membership.
pub trait Rights {
    /// Whether the op is here with all it depends on.
    fn knows(&self, op: &OpId) -> bool;
    /// Whether every one of `earlier` is one of `auth` or in its past.
    fn covers(&self, auth: &[OpId], earlier: &[OpId]) -> bool;
    /// Whether the device could write under this epoch, judged by `auth` and its past alone, and for which member.
    fn check(&mut self, auth: &[OpId], device: &SigKey, epoch: &EpochTag) -> Result<OpId, Refusal>;
    /// By all that is known now: `None` if a head of this author resting on `auth` counts by itself; else the last heads that
    /// count by the removals it had not seen (formats F8).
    fn cut(&self, device: &SigKey, member: &OpId, auth: &[OpId]) -> Option<BTreeSet<HeadId>>;
}

/// Why a head is refused, now and for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// Signed for another folder.
    #[error("it belongs to another folder")]
    OtherFolder,
    /// `prev` is not the head before it of the same actor and device.
    #[error("it does not follow the head it names as its predecessor")]
    BrokenChain,
    /// `skip` is not the head that rule R1 names.
    #[error("its skip pointer is wrong")]
    WrongSkip,
    /// `merged` names a head of its own actor, or one in the past of another parent.
    #[error("it claims to merge what it already contains")]
    IdleMerge,
    /// Its authority lacks ops its predecessor knew.
    #[error("it forgets membership changes that its predecessor knew")]
    ForgottenOps,
    /// The device was no writer.
    #[error("its device may not write")]
    NoWriter,
    /// The epoch was not usable.
    #[error("its epoch may not be written under")]
    BadEpoch,
    /// `prev` or a merged head is refused.
    #[error("it builds on a refused head")]
    RefusedParent,
}

/// What became of heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadEvent {
    /// It is in the graph and counts.
    Accepted(HeadId),
    /// It is in the graph and does not count unless somebody vouches for it by merging it.
    Quarantined(HeadId),
    /// It will never be in the graph.
    Refused {
        /// The head.
        head: HeadId,
        /// Who signed it.
        device: SigKey,
        /// Why.
        why: Refusal,
    },
    /// A device signed two heads with one number: it is duplicated, or it lies. Both are in the graph; the two heads are the proof.
    Forked {
        /// Who signed both.
        device: SigKey,
        /// The one known longer.
        first: HeadId,
        /// The other.
        second: HeadId,
    },
}

#[derive(Debug)]
struct Node {
    signed: SignedHead,
    /// 1 + the greatest of the parents': a head in the past of another has a smaller one.
    lam: u64,
    /// The member it was written for.
    member: OpId,
    counts: bool,
}

impl Node {
    fn head(&self) -> &Head {
        self.signed.head()
    }
}

#[derive(Debug)]
struct Waiting {
    signed: SignedHead,
    from: Option<PeerId>,
}

/// A head that others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingHead {
    /// Which.
    pub head: HeadId,
    /// The number up to which its actor's chain is here, if the actor is known; else only the head itself is asked for.
    pub above_seq: u64,
    /// Who brought the head that waits.
    pub from: Option<PeerId>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct HeadGraph {
    nodes: BTreeMap<HeadId, Node>,
    waiting: BTreeMap<HeadId, Waiting>,
    refused: BTreeMap<HeadId, Refusal>,
    /// In the order of refusal, to forget the oldest; a forgotten one is refused again when it comes again.
    refused_order: VecDeque<HeadId>,
    /// Heads of an actor without a successor of that actor.
    tips: BTreeMap<ActorId, BTreeSet<HeadId>>,
    /// The first head seen after each point of an actor; a second one is a fork.
    successor: BTreeMap<(ActorId, Option<HeadId>), HeadId>,
    /// Heads without any child.
    maximal: BTreeSet<HeadId>,
}

impl HeadGraph {
    /// The head, if it is in the graph.
    pub fn get(&self, id: &HeadId) -> Option<&SignedHead> {
        self.nodes.get(id).map(|node| &node.signed)
    }
    /// How many heads are in the graph.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
    /// All heads, by id.
    pub fn iter(&self) -> impl Iterator<Item = &SignedHead> {
        self.nodes.values().map(|node| &node.signed)
    }
    /// Whether the head counts: in the graph and not in quarantine.
    pub fn counts(&self, id: &HeadId) -> bool {
        self.nodes.get(id).is_some_and(|node| node.counts)
    }
    /// The member in whose right the head was written, by the op that admitted it.
    pub fn member(&self, id: &HeadId) -> Option<OpId> {
        self.nodes.get(id).map(|node| node.member)
    }
    /// Why the head is refused, if it is.
    pub fn refusal(&self, id: &HeadId) -> Option<Refusal> {
        self.refused.get(id).copied()
    }
    /// Whether the head is in the graph, waits or is refused: asking for it would bring nothing new.
    pub fn knows(&self, id: &HeadId) -> bool {
        self.nodes.contains_key(id) || self.waiting.contains_key(id) || self.refused.contains_key(id)
    }
    /// How many heads wait.
    pub fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// The newest head of each actor, of each branch should it have forked.
    pub fn tips(&self) -> impl Iterator<Item = Tip> {
        self.tips.iter().flat_map(|(actor, heads)| {
            heads.iter().map(|head| Tip { actor: *actor, seq: self.nodes[head].head().seq, head: *head })
        })
    }

    /// Heads that count and that no other head that counts has merged or followed.
    pub fn maximal(&self) -> impl Iterator<Item = &SignedHead> {
        self.maximal.iter().map(|id| &self.nodes[id]).filter(|node| node.counts).map(|node| &node.signed)
    }

    /// The newest heads that count among those of some authors (device, member): no head that counts rests on them. What a removal
    /// names as its cut (rule R18): the others of the author are in the past of these, or somebody else has built upon them.
    pub fn last_of(&self, is_author: impl Fn(&SigKey, &OpId) -> bool) -> Vec<HeadId> {
        let counting = || self.nodes.iter().filter(|(_, node)| node.counts);
        let built_upon: BTreeSet<HeadId> = counting().flat_map(|(_, node)| node.head().parents()).collect();
        let is_last =
            |(id, node): &(&HeadId, &Node)| is_author(&node.head().device, &node.member) && !built_upon.contains(*id);
        counting().filter(is_last).map(|(id, _)| *id).collect()
    }

    /// The newest heads in quarantine: all others there are in the past of these.
    pub fn quarantined(&self) -> Vec<HeadId> {
        let held = || self.nodes.iter().filter(|(_, node)| !node.counts);
        let below: BTreeSet<HeadId> = held().flat_map(|(_, node)| node.head().parents()).collect();
        held().map(|(id, _)| *id).filter(|id| !below.contains(id)).collect()
    }

    /// `head` and those before it of its actor with numbers over `above_seq`, oldest first.
    pub fn chain(&self, head: &HeadId, above_seq: u64) -> Vec<HeadId> {
        let mut chain = Vec::new();
        let mut at = Some(*head);
        while let Some(id) = at
            && let Some(node) = self.nodes.get(&id)
            && (chain.is_empty() || node.head().seq > above_seq)
        {
            chain.push(id);
            at = node.head().prev;
        }
        chain.reverse();
        chain
    }

    /// Whether `old` is `new` or in its past. False if either is not in the graph.
    pub fn is_past_or_same(&self, old: &HeadId, new: &HeadId) -> bool {
        let Some(floor) = self.nodes.get(old).map(|node| node.lam) else { return false };
        let (mut stack, mut seen) = (vec![*new], BTreeSet::new());
        while let Some(id) = stack.pop() {
            if id == *old {
                return true;
            }
            let Some(node) = self.nodes.get(&id) else { continue };
            if node.lam > floor && seen.insert(id) {
                stack.extend(node.head().parents());
            }
        }
        false
    }

    /// The past of `head`, itself first, as far as `into` allows: what `into` says no to is not returned and not entered.
    pub fn past(&self, head: &HeadId, mut into: impl FnMut(&SignedHead) -> bool) -> Vec<HeadId> {
        let (mut stack, mut seen, mut past) = (vec![*head], BTreeSet::new(), Vec::new());
        while let Some(id) = stack.pop() {
            let Some(node) = self.nodes.get(&id) else { continue };
            if seen.insert(id) && into(&node.signed) {
                past.push(id);
                stack.extend(node.head().parents());
            }
        }
        past
    }

    /// The heads that whoever joined `frontier` begins with: those that count, and all that the frontier rests on, whether that counts
    /// still or not.
    pub fn counting_or_behind(&self, frontier: &BTreeSet<HeadId>) -> BTreeSet<HeadId> {
        let behind = frontier.iter().flat_map(|top| self.past(top, |_| true));
        self.nodes.keys().filter(|id| self.counts(id)).copied().chain(behind).collect()
    }

    /// A head arrived whose form and signature hold. Tells what became of it and of those that waited for it. A head for which
    /// there is no room to wait is dropped; it can be asked for again. Each that counts is told after those it rests on.
    pub fn offer(&mut self, signed: SignedHead, from: Option<PeerId>, rights: &mut impl Rights) -> Vec<HeadEvent> {
        let mut events = Vec::new();
        if !self.knows(&signed.id()) {
            self.settle(Waiting { signed, from }, rights, &mut events);
        }
        events
    }

    /// New ops are here: what waited for them is judged, and quarantine follows the new membership.
    pub fn ops_changed(&mut self, rights: &mut impl Rights) -> Vec<HeadEvent> {
        let mut events = self.requarantine(rights);
        for id in self.waiting.keys().copied().collect::<Vec<_>>() {
            if let Some(waiting) = self.waiting.remove(&id) {
                self.settle(waiting, rights, &mut events);
            }
        }
        events
    }

    /// Heads that are waited for and not themselves waiting.
    pub fn missing_heads(&self) -> Vec<MissingHead> {
        let mut missing = BTreeMap::new();
        for waiting in self.waiting.values() {
            let head = waiting.signed.head();
            for parent in head.parents().filter(|id| !self.nodes.contains_key(id) && !self.waiting.contains_key(id)) {
                let above_seq =
                    if head.prev == Some(parent) { self.reached(&head.actor, head.seq - 1) } else { u64::MAX };
                missing.insert(parent, MissingHead { head: parent, above_seq, from: waiting.from });
            }
        }
        missing.into_values().collect()
    }

    /// Ops that waiting heads name and that are not here.
    pub fn missing_ops(&self, rights: &impl Rights) -> BTreeSet<OpId> {
        let auths = self.waiting.values().flat_map(|waiting| &waiting.signed.head().auth);
        auths.filter(|op| !rights.knows(op)).copied().collect()
    }

    /// Up to which number, below `seq`, the chain of `actor` is here. Where a branch begins is not known: then a stretch is
    /// asked for anew.
    pub fn reached(&self, actor: &ActorId, seq: u64) -> u64 {
        let tips = self.tips.get(actor).into_iter().flatten();
        let newest = tips.map(|id| self.nodes[id].head().seq).max().unwrap_or(0);
        if newest < seq { newest } else { seq.saturating_sub(64) }
    }

    /// Drops what a peer brought and what still waits.
    pub fn forget_waiting_of(&mut self, peer: PeerId) {
        self.waiting.retain(|_, waiting| waiting.from != Some(peer));
    }

    fn settle(&mut self, first: Waiting, rights: &mut impl Rights, events: &mut Vec<HeadEvent>) {
        let mut queue = VecDeque::from([first]);
        while let Some(waiting) = queue.pop_front() {
            let id = waiting.signed.id();
            match self.judge(waiting.signed.head(), rights) {
                Judgement::Wait => {
                    self.wait(waiting);
                    continue;
                }
                Judgement::Refuse(why) => {
                    events.push(HeadEvent::Refused { head: id, device: waiting.signed.head().device, why });
                    self.refuse(id, why);
                }
                Judgement::Accept(member) => self.insert(waiting.signed, member, rights, events),
            }
            let unblocked = self.waiting.iter().filter(|(_, w)| w.signed.head().parents().any(|parent| parent == id));
            for child in unblocked.map(|(child, _)| *child).collect::<Vec<_>>() {
                queue.extend(self.waiting.remove(&child));
            }
        }
    }

    fn judge(&self, head: &Head, rights: &mut impl Rights) -> Judgement {
        if head.parents().any(|id| self.refused.contains_key(&id)) {
            return Judgement::Refuse(Refusal::RefusedParent);
        }
        if head.parents().any(|id| !self.nodes.contains_key(&id)) || head.auth.iter().any(|op| !rights.knows(op)) {
            return Judgement::Wait;
        }
        match self.check(head, rights) {
            Ok(member) => Judgement::Accept(member),
            Err(why) => Judgement::Refuse(why),
        }
    }

    /// All that can be said once everything named is here.
    fn check(&self, head: &Head, rights: &mut impl Rights) -> Result<OpId, Refusal> {
        if let Some(prev) = head.prev.and_then(|id| self.nodes.get(&id)).map(Node::head) {
            let follows =
                prev.actor == head.actor && prev.device == head.device && prev.seq.checked_add(1) == Some(head.seq);
            if !follows || prev.folder != head.folder {
                return Err(Refusal::BrokenChain);
            }
            if head.skip.is_some() && head.skip != self.ancestor(head.prev, head.seq & (head.seq - 1)) {
                return Err(Refusal::WrongSkip);
            }
            if !rights.covers(&head.auth, &prev.auth) {
                return Err(Refusal::ForgottenOps);
            }
        }
        for merged in &head.merged {
            let node = &self.nodes[merged];
            if node.head().folder != head.folder {
                return Err(Refusal::OtherFolder);
            }
            let contained = head.parents().any(|other| other != *merged && self.is_past_or_same(merged, &other));
            if node.head().actor == head.actor || contained {
                return Err(Refusal::IdleMerge);
            }
        }
        rights.check(&head.auth, &head.device, &head.epoch)
    }

    /// The head with this number on the chain that ends in `from`, along skip pointers.
    fn ancestor(&self, from: Option<HeadId>, seq: u64) -> Option<HeadId> {
        let mut at = from?;
        loop {
            let head = self.nodes.get(&at)?.head();
            if head.seq <= seq {
                return (head.seq == seq).then_some(at);
            }
            at = if head.seq & (head.seq - 1) >= seq && head.skip.is_some() { head.skip? } else { head.prev? };
        }
    }

    fn insert(&mut self, signed: SignedHead, member: OpId, rights: &impl Rights, events: &mut Vec<HeadEvent>) {
        let (id, head) = (signed.id(), signed.head());
        let (device, actor, prev) = (head.device, head.actor, head.prev);
        let lam = 1 + head.parents().map(|parent| self.nodes[&parent].lam).max().unwrap_or(0);
        let counts = rights.cut(&device, &member, &head.auth).is_none_or(|cut| cut.contains(&id));
        for parent in head.parents() {
            self.maximal.remove(&parent);
        }
        self.maximal.insert(id);
        let tips = self.tips.entry(actor).or_default();
        if let Some(prev) = &prev {
            tips.remove(prev);
        }
        tips.insert(id);
        self.nodes.insert(id, Node { signed, lam, member, counts: false });
        match self.successor.get(&(actor, prev)) {
            Some(first) => events.push(HeadEvent::Forked { device, first: *first, second: id }),
            None => {
                self.successor.insert((actor, prev), id);
            }
        }
        if counts {
            self.count(id, events);
        } else {
            events.push(HeadEvent::Quarantined(id));
        }
    }

    /// This head counts, and with it all of its past: its author vouches. What it rests on is told first.
    fn count(&mut self, id: HeadId, events: &mut Vec<HeadEvent>) {
        let (mut stack, mut counted) = (vec![id], Vec::new());
        while let Some(id) = stack.pop() {
            let Some(node) = self.nodes.get_mut(&id) else { continue };
            if !std::mem::replace(&mut node.counts, true) {
                stack.extend(node.head().parents());
                counted.push((node.lam, id));
            }
        }
        counted.sort_unstable();
        events.extend(counted.into_iter().map(|(_, id)| HeadEvent::Accepted(id)));
    }

    fn requarantine(&mut self, rights: &impl Rights) -> Vec<HeadEvent> {
        let before: BTreeMap<HeadId, bool> = self.nodes.iter().map(|(id, node)| (*id, node.counts)).collect();
        let by_itself = |(id, node): (&HeadId, &mut Node)| {
            node.counts = false;
            let head = node.signed.head();
            let cut = rights.cut(&head.device, &node.member, &head.auth);
            cut.is_none_or(|cut| cut.contains(id)).then_some(*id)
        };
        let counting: Vec<HeadId> = self.nodes.iter_mut().filter_map(by_itself).collect();
        for id in counting {
            self.count(id, &mut Vec::new());
        }
        let mut events = Vec::new();
        let mut parents_first: Vec<(HeadId, bool)> = before.into_iter().collect();
        parents_first.sort_by_key(|(id, _)| self.nodes[id].lam);
        for (id, counted) in parents_first {
            match (counted, self.nodes[&id].counts) {
                (false, true) => events.push(HeadEvent::Accepted(id)),
                (true, false) => events.push(HeadEvent::Quarantined(id)),
                _ => {}
            }
        }
        events
    }

    fn wait(&mut self, waiting: Waiting) {
        let from = waiting.from;
        let of_peer = self.waiting.values().filter(|w| w.from == from).count();
        if self.waiting.len() < HEADS_PENDING_MAX && (from.is_none() || of_peer < HEADS_PENDING_PER_PEER_MAX) {
            self.waiting.insert(waiting.signed.id(), waiting);
        }
    }

    fn refuse(&mut self, id: HeadId, why: Refusal) {
        if self.refused.insert(id, why).is_none() {
            self.refused_order.push_back(id);
        }
        if self.refused_order.len() > HEADS_REFUSED_KEPT_MAX
            && let Some(oldest) = self.refused_order.pop_front()
        {
            self.refused.remove(&oldest);
        }
    }
}

enum Judgement {
    Accept(OpId),
    Wait,
    Refuse(Refusal),
}
