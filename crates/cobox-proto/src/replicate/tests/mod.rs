//! A folder with real membership, and a net of replicas under virtual time: packets of one channel keep their order, those of
//! different channels overtake each other by a seeded choice.

mod graph;
mod hostile;
mod people;
mod stories;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Input, Kept, Output, PeerId, Priority, Replica};
use crate::head::{Head, SignedHead};
use crate::id::{ActorId, Cid, EpochId, FolderId, Hash, HeadId, OpId, SigKey};
use crate::members::{
    Envelope, EnvelopeList, EpochParams, FolderKind, Genesis, HpkeKey, KeyPair, Log, Op, OpBody, Padding, Policy,
    Retention, Role, SignedOp, Signer, resolve,
};
use crate::sign::SecretKey;
use crate::wire::proof::{KeyKind, Who};
use crate::wire::{Message, OpEnvelopes};

/// Person `n`'s device key; the member key is that of `n + 100`.
pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

pub(crate) fn pair(n: u8) -> KeyPair {
    KeyPair { sig: key(n).public(), hpke: HpkeKey::from_slice(&[n; HpkeKey::LEN]).unwrap() }
}

pub(crate) fn cid(n: u16) -> Cid {
    Cid::of(&n.to_be_bytes())
}

/// A folder founded by person 1, who writes all ops.
#[derive(Clone)]
pub(crate) struct Folder {
    pub(crate) log: Log,
    pub(crate) ops: Vec<SignedOp>,
    pub(crate) envelopes: Vec<OpEnvelopes>,
    epochs: u8,
}

impl Folder {
    /// With person 1, those given as editors, seeder 50 and one epoch.
    pub(crate) fn of(people: &[u8]) -> Self {
        let genesis = Genesis {
            kind: FolderKind::Folder,
            nonce: [7; 32],
            member: pair(101),
            device: pair(1),
            shape: [0; 32],
            policy: Policy::default(),
            founder_sig: None,
        };
        let mut folder = Self { log: Log::new(genesis), ops: vec![], envelopes: vec![], epochs: 0 };
        for n in people {
            folder.grant(*n);
        }
        folder.hire(50, 1 << 30);
        folder.epoch();
        folder
    }

    /// The same, as somebody else goes on from it.
    pub(crate) fn fork(&self) -> Self {
        let (ops, envelopes) = (self.ops.clone(), self.envelopes.clone());
        Self { log: self.log.clone(), ops, envelopes, epochs: self.epochs }
    }

    /// Hears of all that was written elsewhere.
    pub(crate) fn learn(&mut self, other: &Self) {
        for op in other.ops.iter().filter(|op| !self.ops.contains(op)).cloned().collect::<Vec<_>>() {
            self.log.add(op.clone()).unwrap();
            self.ops.push(op);
        }
        let new = other.envelopes.iter().filter(|sent| !self.envelopes.contains(sent));
        self.envelopes.extend(new.cloned().collect::<Vec<_>>());
    }

    pub(crate) fn id(&self) -> FolderId {
        self.log.folder()
    }

    pub(crate) fn genesis(&self) -> Genesis {
        self.log.genesis().clone()
    }

    /// Adds an op signed by `by` in the right of `grant`.
    pub(crate) fn write(&mut self, grant: OpId, by: &SecretKey, body: OpBody) -> SignedOp {
        let op = Op {
            folder: self.id(),
            signers: vec![Signer { grant, key: by.public() }],
            deps: self.log.frontier(),
            body,
            sealed: vec![],
        };
        let signed = SignedOp::sign(op, &[by]).unwrap();
        self.log.add(signed.clone()).unwrap();
        assert_eq!(self.log.refusal(&signed.id()), None);
        self.ops.push(signed.clone());
        signed
    }

    fn founder(&mut self, body: OpBody) -> OpId {
        let grant = self.log.genesis().op_id();
        self.write(grant, &key(1), body).id()
    }

    pub(crate) fn grant(&mut self, n: u8) -> OpId {
        self.founder(OpBody::Grant { member: pair(n + 100), device: pair(n), role: Role::Editor })
    }

    pub(crate) fn hire(&mut self, n: u8, quota_bytes: u64) -> OpId {
        self.founder(OpBody::SeederGrant {
            seeder: key(n).public(),
            offer_hash: Hash([0; 32]),
            quota_bytes,
            retention: Retention::default(),
            member_share: 50,
        })
    }

    pub(crate) fn invite(&mut self, n: u8, max_uses: u16, expires_ms: u64) -> OpId {
        let KeyPair { sig, hpke } = pair(n);
        self.founder(OpBody::Invite { sig, hpke, role: Role::Editor, max_uses, expires_ms, grant: true })
    }

    pub(crate) fn join(&mut self, invite: OpId, invite_key: u8, n: u8) -> SignedOp {
        let op = Op {
            folder: self.id(),
            signers: vec![
                Signer { grant: invite, key: key(invite_key).public() },
                Signer { grant: OpId::ZERO, key: key(n).public() },
            ],
            deps: self.log.frontier(),
            body: OpBody::Join { invite, member: pair(n + 100), device: pair(n) },
            sealed: vec![],
        };
        let signed = SignedOp::sign(op, &[&key(invite_key), &key(n)]).unwrap();
        self.log.add(signed.clone()).unwrap();
        self.ops.push(signed.clone());
        signed
    }

    pub(crate) fn cancel(&mut self, invite: OpId) -> OpId {
        self.founder(OpBody::CancelInvite { invite, at_ms: 0 })
    }

    pub(crate) fn witness(&mut self, join: OpId) -> OpId {
        self.founder(OpBody::Witness { join, at_ms: 5 })
    }

    pub(crate) fn remove(&mut self, n: u8, cut: Vec<HeadId>) -> OpId {
        let roster = resolve(&self.log);
        let grant = roster.device(&key(n).public()).unwrap().1.grant;
        self.founder(OpBody::Remove { grant, cut })
    }

    pub(crate) fn epoch(&mut self) -> OpId {
        let roster = resolve(&self.log);
        let envelope = |key_id| Envelope { recipient: key_id, bytes: vec![self.epochs; 1200] };
        let envelopes: Vec<Envelope> = roster.recipients_wanted().iter().map(|r| envelope(r.key_id)).collect();
        let list = EnvelopeList::of(&envelopes);
        let id = EpochId([self.epochs + 1; 32]);
        let parents = roster.epoch_tips(&self.log);
        let op = self.founder(OpBody::EpochBundle {
            parents,
            id,
            params: EpochParams { block_ver: 1, suite: 1, codec: 0, padding: Padding::Padme },
            recipients: list.recipients(),
            envelopes: list.hash(),
            history: vec![],
        });
        self.epochs += 1;
        self.envelopes.push(OpEnvelopes { op, list, envelopes });
        op
    }

    /// A device's next head; `n` as person and as actor, so that a person has one actor here.
    pub(crate) fn head(&self, n: u8, prev: Option<&SignedHead>, merged: &[&SignedHead], root: Cid) -> SignedHead {
        self.unsigned_head(n, prev, merged, root).sign(&key(n)).unwrap()
    }

    pub(crate) fn unsigned_head(&self, n: u8, prev: Option<&SignedHead>, merged: &[&SignedHead], root: Cid) -> Head {
        let seq = prev.map_or(1, |prev| prev.head().seq + 1);
        // Chains here are told by their newest head alone, so the skip is found through a registry of ids by (chain, seq).
        let mut merged: Vec<HeadId> = merged.iter().map(|head| head.id()).collect();
        merged.sort();
        Head {
            folder: self.id(),
            device: key(n).public(),
            actor: ActorId::of(&self.id(), &key(n).public(), &[n; 16]),
            actor_nonce: (seq == 1).then_some([n; 16]),
            seq,
            prev: prev.map(SignedHead::id),
            skip: None,
            root,
            epoch: EpochId([self.epochs; 32]).tag(),
            auth: self.log.frontier(),
            merged,
            new_blocks: 10,
            new_bytes: 10_000,
            claimed_time_ms: 0,
            delta: None,
            sealed: vec![],
        }
    }

    /// A chain of `count` heads of one device, with the skip pointers they must have.
    pub(crate) fn chain(&self, n: u8, count: u64) -> Vec<SignedHead> {
        let mut chain: Vec<SignedHead> = Vec::new();
        for seq in 1..=count {
            let mut head = self.unsigned_head(n, chain.last(), &[], cid(seq as u16));
            let skip = seq & (seq - 1);
            head.skip = (skip > 0).then(|| chain[skip as usize - 1].id());
            chain.push(head.sign(&key(n)).unwrap());
        }
        chain
    }

    pub(crate) fn kept(&self) -> Kept {
        Kept { ops: self.ops.clone(), envelopes: self.envelopes.clone(), ..Kept::default() }
    }

    pub(crate) fn replica(&self) -> Replica {
        Replica::restore(self.genesis(), self.kept())
    }
}

pub(crate) fn device(n: u8) -> Who {
    Who { kind: KeyKind::Device, key: key(n).public() }
}

pub(crate) fn seeder(n: u8) -> Who {
    Who { kind: KeyKind::Seeder, key: key(n).public() }
}

enum Packet {
    Message(Message),
    Block(Cid),
}

struct Party {
    who: Who,
    replica: Replica,
    blocks: BTreeSet<Cid>,
    /// Takes requests and never answers.
    hangs: bool,
    log: Vec<Output>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    party: usize,
    peer: PeerId,
}

/// Parties and the channels between them.
struct Net {
    parties: Vec<Party>,
    /// Each end of a channel, and the other.
    other: BTreeMap<End, End>,
    /// What is on its way to an end.
    queues: BTreeMap<End, VecDeque<Packet>>,
    now_ms: u64,
    next_peer: u64,
    dice: u64,
    delivered: usize,
}

impl Net {
    fn new(seed: u64) -> Self {
        let (other, queues) = (BTreeMap::new(), BTreeMap::new());
        Self { parties: vec![], other, queues, now_ms: 1_000_000, next_peer: 0, dice: seed, delivered: 0 }
    }

    fn join(&mut self, who: Who, replica: Replica) -> usize {
        self.parties.push(Party { who, replica, blocks: BTreeSet::new(), hangs: false, log: vec![] });
        self.parties.len() - 1
    }

    fn connect(&mut self, a: usize, b: usize) {
        let ends = [a, b].map(|party| {
            self.next_peer += 1;
            End { party, peer: PeerId(self.next_peer) }
        });
        for (here, there) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            self.other.insert(here, there);
            self.queues.insert(here, VecDeque::new());
        }
        for (here, there) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            let (who, ours) = (self.parties[there.party].who, self.parties[here.party].who.kind);
            self.tell(here.party, Input::PeerOpened { peer: here.peer, who, ours });
        }
    }

    /// Cuts all channels between two; what is on its way is lost.
    fn cut(&mut self, a: usize, b: usize) {
        let ends: Vec<End> = self.other.keys().filter(|end| end.party == a).copied().collect();
        for end in ends {
            if self.other[&end].party == b {
                self.close(end);
            }
        }
    }

    fn close(&mut self, end: End) {
        if let Some(there) = self.other.remove(&end) {
            self.other.remove(&there);
            self.queues.remove(&end);
            self.queues.remove(&there);
            for end in [end, there] {
                self.tell(end.party, Input::PeerClosed { peer: end.peer });
            }
        }
    }

    fn tell(&mut self, party: usize, input: Input) {
        let now_ms = self.now_ms;
        self.parties[party].replica.handle(now_ms, input);
        while let Some(output) = self.parties[party].replica.poll_output() {
            match &output {
                Output::Send { peer, message } => self.post(party, *peer, Packet::Message(message.clone())),
                Output::SendBlock { peer, cid } => {
                    let (peer, cid) = (*peer, *cid);
                    let here = &self.parties[party];
                    if here.hangs {
                        // Nothing, for ever.
                    } else if here.blocks.contains(&cid) {
                        self.post(party, peer, Packet::Block(cid));
                        self.parties[party].replica.handle(now_ms, Input::BlockSent { peer, cid });
                    } else {
                        self.parties[party].replica.handle(now_ms, Input::BlockMissing { peer, cid });
                    }
                }
                Output::ClosePeer { peer, .. } => self.close(End { party, peer: *peer }),
                _ => {}
            }
            self.parties[party].log.push(output);
        }
    }

    fn post(&mut self, party: usize, peer: PeerId, packet: Packet) {
        if let Some(there) = self.other.get(&End { party, peer })
            && let Some(queue) = self.queues.get_mut(there)
        {
            queue.push_back(packet);
        }
    }

    fn roll(&mut self, below: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) as usize % below
    }

    /// Delivers one packet. False if none is on its way.
    fn step(&mut self) -> bool {
        let ready: Vec<End> = self.queues.iter().filter(|(_, q)| !q.is_empty()).map(|(end, _)| *end).collect();
        if ready.is_empty() {
            return false;
        }
        let end = ready[self.roll(ready.len())];
        self.delivered += 1;
        assert!(self.delivered < 2_000_000, "the talk never ends");
        match self.queues.get_mut(&end).and_then(VecDeque::pop_front) {
            Some(Packet::Message(message)) => self.tell(end.party, Input::Received { peer: end.peer, message }),
            Some(Packet::Block(cid)) => {
                let party = &mut self.parties[end.party];
                if party.replica.wants(&cid) {
                    party.blocks.insert(cid);
                }
                self.tell(end.party, Input::BlockArrived { peer: end.peer, cid, bytes: 1000 });
            }
            None => {}
        }
        true
    }

    fn settle(&mut self) {
        while self.step() {}
    }

    /// Lets time pass, telling each party when it asked to be told, and settles in between.
    fn pass(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        let mut turns = 0;
        loop {
            self.settle();
            let due = self.parties.iter().filter_map(|p| p.replica.poll_timeout()).min();
            match due {
                Some(due) if due <= end_ms => {
                    turns += 1;
                    assert!(turns < 10_000, "timers that never rest");
                    self.now_ms = self.now_ms.max(due);
                    for party in 0..self.parties.len() {
                        self.tell(party, Input::Tick);
                    }
                }
                _ => break,
            }
        }
        self.now_ms = end_ms;
    }

    fn said(&self, party: usize, wanted: impl Fn(&Output) -> bool) -> usize {
        self.parties[party].log.iter().filter(|output| wanted(output)).count()
    }

    fn publish(&mut self, party: usize, head: &SignedHead) {
        self.tell(party, Input::LocalHead(Box::new(head.clone())));
    }

    fn want(&mut self, party: usize, cids: Vec<Cid>) {
        self.tell(party, Input::Want { cids, priority: Priority::Bulk });
    }

    fn heads(&self, party: usize) -> BTreeSet<HeadId> {
        self.parties[party].replica.heads().iter().map(SignedHead::id).collect()
    }

    fn ops(&self, party: usize) -> BTreeSet<OpId> {
        self.parties[party].replica.membership().log().ids().collect()
    }

    /// Whether `party` would open a channel to `other`, by what it knows.
    fn lets_in(&self, party: usize, other: usize) -> bool {
        self.parties[party].replica.reach(&self.parties[other].who, self.now_ms).is_some()
    }

    fn key(&self, party: usize) -> SigKey {
        self.parties[party].who.key
    }
}
