//! The brain of one folder at one party, member or seeder alike. It keeps the membership log, the envelopes and the graph of heads
//! equal among all who may have them, and decides which block is asked of whom and sent to whom. Blind: it opens nothing.
//!
//! Owns what is known of the folder's peers. Does not own blocks, time, connections or disk: it is told of them by [`Input`] and
//! speaks by [`Output`]; after each [`Replica::handle`] take all outputs and note [`Replica::poll_timeout`].
//!
//! Must hold: only certified devices and granted seeders get heads and blocks, and whoever loses its certificate loses its
//! channel; what arrives by three routes, twice and out of order has the effect of arriving once; every list a peer can make
//! grow has a bound in [`crate::limits`].

mod envelopes;
mod gossip;
mod heads;
mod introduce;
mod io;
mod membership;
mod newcomer;
mod parting;
mod serving;
mod sync_heads;
mod sync_log;
#[cfg(test)]
pub(crate) mod tests;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use envelopes::Envelopes;
pub use heads::{HeadEvent, HeadGraph, MissingHead, Refusal, Rights};
pub use io::{Closed, Input, Output, PeerId};
pub use membership::{Membership, Reach};
pub use newcomer::{Newcomer, NewcomerError};
pub use parting::tells_refusal;
pub use serving::{AsksTooMuch, Serving};
pub use wanted::{Asks, BLOCK_TIMEOUT_MS, Priority, STRANDED_RETRY_MS, Wanted};

use gossip::{Receipts, Stale};
use sync_log::Unsealed;

use crate::guard::Guard;
use crate::head::SignedHead;
use crate::hosting::SignedReceipt;
use crate::id::{Cid, FolderId, HeadId, OpId, SigKey};
use crate::limits::{HEADS_TOLD_MAX, WANT_CIDS_MAX};
use crate::members::{Genesis, SignedOp};
use crate::wire::proof::{KeyKind, Who};
use crate::wire::{AddressNote, LogEntry, Message, OpEnvelopes, Tip};

/// After this time something that was asked for and did not come is asked of somebody else.
pub const ASK_AGAIN_MS: u64 = 10_000;

/// What of a folder is kept between two runs of the program.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    /// Ops, in any order.
    pub ops: Vec<SignedOp>,
    /// Envelopes.
    pub envelopes: Vec<OpEnvelopes>,
    /// Heads, in any order.
    pub heads: Vec<SignedHead>,
    /// Receipts.
    pub receipts: Vec<SignedReceipt>,
    /// Addresses.
    pub addresses: Vec<AddressNote>,
}

/// Something that is lacking and was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lack {
    Op(OpId),
    Head(HeadId),
}

#[derive(Debug)]
struct Peer {
    who: Who,
    /// When it came.
    opened_ms: u64,
    /// What its key may have.
    entitled: Reach,
    /// What passes here: less, if we are the guest.
    reach: Reach,
    /// Whether our whole log was named to it.
    log_named: bool,
    /// The log it is naming to us.
    log_listing: BTreeMap<OpId, u32>,
    /// The tips it is naming to us.
    tips_listing: Vec<Tip>,
    /// Whether it has named them all.
    heads_named: bool,
    /// Tips it has and we have not.
    ahead: BTreeMap<HeadId, Tip>,
    /// Heads it is known to have.
    told: BTreeSet<HeadId>,
    /// Ops it brought, if it is a guest.
    ops_brought: usize,
    /// What it brought of epochs that are not whole.
    unsealed: Unsealed,
}

impl Peer {
    /// Notes that it has this head. True if that is news.
    fn tell(&mut self, head: HeadId) -> bool {
        if self.told.len() >= HEADS_TOLD_MAX {
            self.told.clear(); // It will be told some heads again, which does no harm.
        }
        self.told.insert(head)
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Replica {
    folder: FolderId,
    membership: Membership,
    envelopes: Envelopes,
    heads: HeadGraph,
    wanted: Wanted,
    serving: Serving,
    receipts: Receipts,
    addresses: BTreeMap<SigKey, AddressNote>,
    peers: BTreeMap<PeerId, Peer>,
    /// How long the membership log was when all channels were last looked at for whether their keys still have their right.
    rights_of_log: usize,
    /// Of whom, and when it is asked again.
    asked: BTreeMap<Lack, (PeerId, u64)>,
    /// Heads called stale that wait for ops.
    stale: Vec<Stale>,
    /// Devices that brought ops which let them in by somebody who had lost the right to, with the ops that took it; the latest first.
    void_introductions: VecDeque<(SigKey, Vec<OpId>)>,
    /// The delta of our next head.
    delta: Option<(Cid, Vec<u8>)>,
    /// The latest time it was told.
    now_ms: u64,
    outputs: VecDeque<Output>,
}

impl Replica {
    /// A folder of which only the genesis is known.
    pub fn new(genesis: Genesis) -> Self {
        Self::restore(genesis, Kept::default())
    }

    /// A folder as it was kept. Nothing is told about what was kept.
    pub fn restore(genesis: Genesis, kept: Kept) -> Self {
        let folder = genesis.folder_id();
        let mut replica = Self {
            folder,
            membership: Membership::of(genesis, parents_first(kept.ops, SignedOp::id, |op| op.op().deps.clone())),
            envelopes: Envelopes::default(),
            heads: HeadGraph::default(),
            wanted: Wanted::default(),
            serving: Serving::default(),
            receipts: Receipts::default(),
            addresses: BTreeMap::new(),
            peers: BTreeMap::new(),
            rights_of_log: 0,
            asked: BTreeMap::new(),
            stale: Vec::new(),
            void_introductions: VecDeque::new(),
            delta: None,
            now_ms: 0,
            outputs: VecDeque::new(),
        };
        for sent in kept.envelopes {
            replica.take_envelopes(sent);
        }
        for head in parents_first(kept.heads, SignedHead::id, |head| head.head().parents().collect()) {
            replica.heads.offer(head, None, &mut replica.membership);
        }
        for receipt in kept.receipts {
            replica.receipts.add(0, receipt);
        }
        for note in kept.addresses {
            replica.addresses.insert(note.device, note);
        }
        replica
    }

    /// The folder.
    pub fn folder(&self) -> FolderId {
        self.folder
    }
    /// Log and roster.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }
    /// Sealed epoch secrets.
    pub fn envelopes(&self) -> &Envelopes {
        &self.envelopes
    }
    /// All heads.
    pub fn heads(&self) -> &HeadGraph {
        &self.heads
    }
    /// The newest receipts of each seeder.
    pub fn receipts(&self) -> impl Iterator<Item = &SignedReceipt> {
        self.receipts.iter()
    }
    /// The newest addresses of each device.
    pub fn addresses(&self) -> impl Iterator<Item = &AddressNote> {
        self.addresses.values()
    }
    /// Whether a peer has said which heads it has, and has none.
    pub fn has_no_heads(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.heads_named && peer.told.is_empty())
    }
    /// Whether this block is wanted.
    pub fn wants(&self, cid: &Cid) -> bool {
        self.wanted.wants(cid)
    }
    /// What is wanted, and who is asked.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }
    /// The open channels and whose they are.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, Who)> {
        self.peers.iter().map(|(id, peer)| (*id, peer.who))
    }
    /// What this key may have of the folder now; `None`: refuse it.
    pub fn reach(&self, who: &Who, now_ms: u64) -> Option<Reach> {
        self.membership.reach(who, now_ms)
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due. Ask again after every [`Self::handle`].
    pub fn poll_timeout(&self) -> Option<u64> {
        let asked = self.asked.values().map(|(_, due)| *due).min();
        asked.into_iter().chain(self.wanted.poll_timeout()).min()
    }

    /// Something happened. The time may be set at will, forth and back (T2): nothing is asked for later than it would have been.
    pub fn handle(&mut self, now_ms: u64, input: Input) {
        let set_back_ms = self.now_ms.saturating_sub(now_ms);
        if set_back_ms > 0 && Guard::SetBackPutsNothingOff.stands() {
            self.asked.values_mut().for_each(|(_, due)| *due = due.saturating_sub(set_back_ms));
            self.wanted.clock_set_back(set_back_ms);
        }
        self.now_ms = now_ms;
        match input {
            Input::PeerOpened { peer, who, ours } => self.peer_opened(now_ms, peer, who, ours),
            Input::PeerClosed { peer } => self.forget(peer),
            Input::Received { peer, message } => self.received(now_ms, peer, message),
            Input::LocalOps { ops, envelopes } => {
                self.add_ops(None, ops);
                for sent in envelopes {
                    self.add_envelopes(None, sent);
                }
            }
            Input::Introduced { who, ops } => self.introduced(now_ms, &who, &ops),
            Input::ToldRemoved { device, told } => self.told_removed(&device, told),
            Input::LocalDelta { cid, bytes } => self.delta = Some((cid, bytes)),
            Input::LocalHead(head) => self.add_local_head(*head),
            Input::Want { cids, priority } => cids.into_iter().for_each(|cid| self.wanted.want(cid, priority)),
            Input::Unwant { cids } => {
                for cid in cids {
                    for peer in self.wanted.unwant(&cid) {
                        self.send(peer, Message::Unwant { cids: vec![cid] });
                    }
                }
            }
            Input::BlockReceiving { peer } => self.wanted.alive(now_ms, peer),
            Input::BlockArrived { peer, cid, bytes } => self.block_arrived(now_ms, peer, cid, bytes),
            Input::BlockMissing { peer, cid } => {
                if self.serving.finished(peer, &cid) {
                    self.send(peer, Message::Gone { cids: vec![cid] });
                }
            }
            Input::BlockSent { peer, cid } => {
                self.serving.finished(peer, &cid);
            }
            Input::HoldsMore => self.others(None, Reach::Everything).into_iter().for_each(|peer| self.name_heads(peer)),
            Input::LocalReceipt(receipt) => self.add_receipt(None, receipt),
            Input::LocalAddresses(note) => self.add_addresses(None, note),
            Input::Tick => {}
        }
        self.expel(now_ms);
        self.ask_lacking(now_ms);
        self.ask_blocks(now_ms);
        while let Some((peer, cid)) = self.serving.next_to_send() {
            self.outputs.push_back(Output::SendBlock { peer, cid });
        }
    }

    fn peer_opened(&mut self, now_ms: u64, id: PeerId, who: Who, ours: KeyKind) {
        let Some(entitled) = self.membership.reach(&who, now_ms) else {
            return self.outputs.push_back(Output::ClosePeer { peer: id, why: Closed::NotEntitled });
        };
        let reach = match ours {
            KeyKind::Device | KeyKind::Seeder => entitled,
            KeyKind::Member | KeyKind::Invite => Reach::Log,
        };
        let peer = Peer {
            who,
            opened_ms: now_ms,
            entitled,
            reach,
            log_named: false,
            log_listing: BTreeMap::new(),
            tips_listing: Vec::new(),
            heads_named: false,
            ahead: BTreeMap::new(),
            told: BTreeSet::new(),
            ops_brought: 0,
            unsealed: Unsealed::default(),
        };
        self.peers.insert(id, peer);
        self.summarise_log(id);
        if reach == Reach::Everything {
            self.wanted.peer_opened(now_ms, id);
            self.serving.peer_opened(id);
            self.name_heads(id);
            self.pass_gossip(id);
        }
    }

    fn received(&mut self, now_ms: u64, id: PeerId, message: Message) {
        let Some(peer) = self.peers.get(&id) else { return };
        let about_log = matches!(
            message,
            Message::GenesisWanted
                | Message::Genesis { .. }
                | Message::LogSummary { .. }
                | Message::LogHave { .. }
                | Message::Ops { .. }
                | Message::OpsWanted { .. }
                | Message::Envelopes(_)
        );
        if !about_log && peer.reach != Reach::Everything {
            return self.misbehaved(id, "a guest may speak of the log alone");
        }
        match message {
            Message::GenesisWanted => {
                let bytes = self.membership.log().genesis().to_bytes();
                self.send(id, Message::Genesis { bytes });
            }
            Message::Genesis { .. } => {} // It is known; whoever has a replica has it.
            Message::LogSummary { ops, digest } => self.log_summarised(id, ops, digest),
            Message::LogHave { entries, last } => self.log_named(id, entries, last),
            Message::Ops { ops } => self.ops_received(id, &ops),
            Message::OpsWanted { ops } => self.send_ops(id, &ops),
            Message::Envelopes(sent) => self.add_envelopes(Some(id), sent),
            Message::HeadsHave { tips, last } => self.heads_named(now_ms, id, tips, last),
            Message::HeadsWanted { chains } => self.heads_asked(id, &chains),
            Message::Heads { heads } => self.heads_received(id, &heads),
            Message::Want { cids } => {
                if self.serving.want(id, &cids).is_err() {
                    self.misbehaved(id, "it asks for too many blocks at once");
                }
            }
            Message::Unwant { cids } => self.serving.unwant(id, &cids),
            Message::Gone { cids } => cids.iter().for_each(|cid| self.wanted.gone(now_ms, id, cid)),
            Message::Receipt { bytes } => self.receipt_received(id, &bytes),
            Message::Addresses(note) => self.add_addresses(Some(id), note),
            Message::Stale { head, ops } => self.called_stale(id, head, ops),
            Message::Claim(_)
            | Message::Claimed
            | Message::ClaimRefused(_)
            | Message::AttachVault(_)
            | Message::VaultAttached
            | Message::VaultRefused(_) => self.misbehaved(id, "hosting is not agreed on here"),
            Message::Delta { bytes } => self.delta_received(id, bytes),
            // For whoever owns the folder; it has looked at them already.
            Message::Progress { .. } | Message::Editing { .. } => {}
        }
    }

    fn block_arrived(&mut self, now_ms: u64, peer: PeerId, cid: Cid, bytes: u64) {
        match self.wanted.arrived(now_ms, peer, &cid, bytes) {
            Some(others) => {
                self.outputs.push_back(Output::BlockTaken { peer, cid });
                for other in others {
                    self.send(other, Message::Unwant { cids: vec![cid] });
                }
            }
            None => self.outputs.push_back(Output::BlockDropped { peer, cid }),
        }
    }

    fn ask_blocks(&mut self, now_ms: u64) {
        let asks = self.wanted.assign(now_ms);
        for (peer, cids) in asks.unwant {
            for cids in cids.chunks(WANT_CIDS_MAX) {
                self.send(peer, Message::Unwant { cids: cids.to_vec() });
            }
        }
        for (peer, cids) in asks.want {
            for cids in cids.chunks(WANT_CIDS_MAX) {
                self.send(peer, Message::Want { cids: cids.to_vec() });
            }
        }
    }

    /// Closes channels whose key has lost its right: by an op, or, an invite's, by its age. After each input only the few are asked that can
    /// have: a supernode has channels with all who seed there, and hears from one of them at a time.
    fn expel(&mut self, now_ms: u64) {
        let log_len = self.membership.log().len();
        let is_longer = std::mem::replace(&mut self.rights_of_log, log_len) != log_len;
        let lost = |(id, peer): (&PeerId, &Peer)| {
            let may_have = is_longer || peer.who.kind == KeyKind::Invite;
            (may_have && self.membership.reach(&peer.who, now_ms) != Some(peer.entitled)).then_some(*id)
        };
        for id in self.peers.iter().filter_map(lost).collect::<Vec<_>>() {
            self.close(id, Closed::NotEntitled);
        }
    }

    fn misbehaved(&mut self, id: PeerId, what: impl Into<String>) {
        self.close(id, Closed::Misbehaved(what.into()));
    }

    fn close(&mut self, peer: PeerId, why: Closed) {
        self.forget(peer);
        self.outputs.push_back(Output::ClosePeer { peer, why });
    }

    fn forget(&mut self, id: PeerId) {
        if self.peers.remove(&id).is_some() {
            self.wanted.peer_closed(id);
            self.serving.peer_closed(id);
            self.heads.forget_waiting_of(id);
            self.asked.retain(|_, (of, _)| *of != id);
            self.stale.retain(|stale| stale.from != id);
        }
    }

    fn send(&mut self, peer: PeerId, message: Message) {
        self.outputs.push_back(Output::Send { peer, message });
    }

    /// Everybody with this reach but the one it came from.
    fn others(&self, from: Option<PeerId>, reach: Reach) -> Vec<PeerId> {
        let able = self.peers.iter().filter(|(id, peer)| Some(**id) != from && peer.reach >= reach);
        able.map(|(id, _)| *id).collect()
    }
}

/// Orders the nodes of a DAG so that each comes after those it builds on, whatever order they were kept in: so none has to wait for
/// another, and the bounds on what waits do not matter.
fn parents_first<T, K: Ord + Copy>(items: Vec<T>, key: impl Fn(&T) -> K, parents: impl Fn(&T) -> Vec<K>) -> Vec<T> {
    let mut left: BTreeMap<K, T> = items.into_iter().map(|item| (key(&item), item)).collect();
    let mut ordered = Vec::with_capacity(left.len());
    let mut opened = BTreeSet::new();
    let mut stack: Vec<K> = left.keys().copied().collect();
    while let Some(id) = stack.last().copied() {
        if let Some(item) = left.get(&id)
            && opened.insert(id)
        {
            stack.extend(parents(item).into_iter().filter(|parent| left.contains_key(parent)));
        } else {
            stack.pop();
            ordered.extend(left.remove(&id));
        }
    }
    ordered
}

/// The entry by which an op is named to others.
fn log_entry(op: OpId, envelopes: &Envelopes) -> LogEntry {
    LogEntry { op, envelopes: envelopes.count(&op) }
}
