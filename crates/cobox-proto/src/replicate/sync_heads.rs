//! Keeping heads equal: each names its newest of every actor; who lacks one asks for the chain up to it; what is new later is
//! passed on at once. What waits for a head or an op asks for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::head::SignedHead;
use crate::id::{Cid, HeadId, OpId};
use crate::limits::{BATCH_BYTES_TARGET, BATCH_ITEMS_MAX, TIPS_MAX};
use crate::replicate::sync_log::batches;
use crate::replicate::{ASK_AGAIN_MS, HeadEvent, Lack, Output, PeerId, Reach, Replica};
use crate::wire::proof::KeyKind;
use crate::wire::{ChainWanted, Message, Tip};

impl Replica {
    pub(super) fn name_heads(&mut self, to: PeerId) {
        let tips: Vec<Tip> = self.heads.tips().collect();
        let count = tips.len().div_ceil(BATCH_ITEMS_MAX).max(1);
        for batch in 0..count {
            let from = batch * BATCH_ITEMS_MAX;
            let tips = tips[from..tips.len().min(from + BATCH_ITEMS_MAX)].to_vec();
            self.send(to, Message::HeadsHave { tips, last: batch + 1 == count });
        }
    }

    pub(super) fn heads_named(&mut self, now_ms: u64, id: PeerId, tips: Vec<Tip>, last: bool) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.tips_listing.extend(tips);
        if peer.tips_listing.len() > TIPS_MAX {
            return self.misbehaved(id, "its list of heads has no end");
        }
        if !last {
            return;
        }
        let tips = std::mem::take(&mut peer.tips_listing);
        peer.heads_named = true;
        for tip in &tips {
            peer.tell(tip.head);
        }
        peer.ahead = tips.iter().filter(|tip| !self.heads.knows(&tip.head)).map(|tip| (tip.head, *tip)).collect();
        self.wanted.peer_has_news(id);
        self.check_promises(now_ms, id, &tips);
    }

    /// Answers with as much of the chains as fits one message, oldest first; the asker asks on.
    pub(super) fn heads_asked(&mut self, id: PeerId, chains: &[ChainWanted]) {
        let (mut heads, mut bytes): (Vec<&SignedHead>, usize) = (Vec::new(), 0);
        let wanted = chains.iter().flat_map(|chain| self.heads.chain(&chain.head, chain.above_seq));
        for head in wanted.filter_map(|head| self.heads.get(&head)) {
            if bytes >= BATCH_BYTES_TARGET || heads.len() >= BATCH_ITEMS_MAX {
                break;
            }
            bytes += head.bytes().len();
            heads.push(head);
        }
        let sent: Vec<HeadId> = heads.iter().map(|head| head.id()).collect();
        let heads: Vec<Vec<u8>> = heads.into_iter().map(|head| head.bytes().to_vec()).collect();
        if let Some(peer) = self.peers.get_mut(&id) {
            for head in sent {
                peer.tell(head);
            }
        }
        if !heads.is_empty() {
            self.send(id, Message::Heads { heads });
        }
    }

    pub(super) fn heads_received(&mut self, id: PeerId, bytes: &[Vec<u8>]) {
        let mut heads = Vec::new();
        for bytes in bytes {
            match SignedHead::from_bytes(bytes) {
                Ok(head) if head.head().folder == self.folder => heads.push(head),
                Ok(_) => return self.misbehaved(id, "it sent a head of another folder"),
                Err(error) => return self.misbehaved(id, error.to_string()),
            }
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            for head in &heads {
                peer.tell(head.id());
            }
        }
        self.add_heads(Some(id), heads);
    }

    /// A head of our own goes out with its delta, to whoever can read it; seeders can not.
    pub(super) fn add_local_head(&mut self, head: SignedHead) {
        let delta = self.delta.take().filter(|(cid, _)| head.head().delta == Some(*cid));
        if let Some((_, bytes)) = delta {
            for id in self.others(None, Reach::Everything) {
                if self.peers.get(&id).is_some_and(|peer| peer.who.kind == KeyKind::Device) {
                    self.send(id, Message::Delta { bytes: bytes.clone() });
                }
            }
        }
        self.add_heads(None, vec![head]);
    }

    pub(super) fn delta_received(&mut self, id: PeerId, bytes: Vec<u8>) {
        if self.peers.get(&id).is_some_and(|peer| peer.who.kind == KeyKind::Device) {
            self.outputs.push_back(Output::DeltaArrived { cid: Cid::of(&bytes), bytes });
        }
    }

    pub(super) fn add_heads(&mut self, from: Option<PeerId>, heads: Vec<SignedHead>) {
        let mut events = Vec::new();
        for head in heads {
            self.asked.remove(&Lack::Head(head.id()));
            events.extend(self.heads.offer(head, from, &mut self.membership));
        }
        // What it answered once it may be asked again at once: an answer may have been the first part of a long chain.
        if let Some(id) = from
            && !events.is_empty()
        {
            self.asked.retain(|lack, (of, _)| *of != id || matches!(lack, Lack::Op(_)));
            self.wanted.peer_has_news(id);
        }
        self.heads_happened(from, events);
    }

    /// Tells the world and the other peers what became of heads.
    pub(super) fn heads_happened(&mut self, from: Option<PeerId>, events: Vec<HeadEvent>) {
        let mut new = Vec::new();
        for event in events {
            match event {
                HeadEvent::Accepted(head) => {
                    new.push(head);
                    self.outputs.push_back(Output::HeadAccepted(head));
                    self.answer_stale(from, &head);
                }
                HeadEvent::Quarantined(head) => {
                    new.push(head);
                    self.outputs.push_back(Output::HeadQuarantined(head));
                }
                HeadEvent::Refused { head, device, why } => {
                    self.outputs.push_back(Output::HeadRefused { head, device, why });
                }
                HeadEvent::Forked { device, first, second } => {
                    self.outputs.push_back(Output::DeviceForked { device, first, second });
                }
            }
        }
        if new.is_empty() {
            return;
        }
        for id in self.others(None, Reach::Everything) {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            peer.ahead.retain(|head, _| !self.heads.knows(head));
            let untold: Vec<HeadId> = new.iter().filter(|head| peer.tell(**head)).copied().collect();
            let bytes = untold.iter().filter_map(|head| self.heads.get(head)).map(|head| head.bytes().to_vec());
            for heads in batches(bytes.collect()) {
                self.send(id, Message::Heads { heads });
            }
        }
    }

    /// Asks for heads and ops that something waits for, and for chains that peers have and we lack.
    pub(super) fn ask_lacking(&mut self, now_ms: u64) {
        let mut lacking = BTreeSet::new();
        let mut chains: BTreeMap<PeerId, Vec<ChainWanted>> = BTreeMap::new();
        for missing in self.heads.missing_heads() {
            let lack = Lack::Head(missing.head);
            lacking.insert(lack);
            let wish = ChainWanted { head: missing.head, above_seq: missing.above_seq };
            if let Some(peer) = self.whom_to_ask(now_ms, lack, missing.from, Reach::Everything) {
                chains.entry(peer).or_default().push(wish);
            }
        }
        for (id, peer) in &self.peers {
            for tip in peer.ahead.values().filter(|tip| !self.heads.knows(&tip.head)) {
                let fresh = lacking.insert(Lack::Head(tip.head)) && self.may_ask(now_ms, Lack::Head(tip.head));
                let list = chains.entry(*id).or_default();
                if fresh && list.len() < BATCH_ITEMS_MAX {
                    list.push(ChainWanted { head: tip.head, above_seq: self.heads.reached(&tip.actor, tip.seq) });
                }
            }
        }
        for (id, mut wishes) in chains {
            wishes.truncate(BATCH_ITEMS_MAX);
            for wish in &wishes {
                self.asked.insert(Lack::Head(wish.head), (id, now_ms.saturating_add(ASK_AGAIN_MS)));
            }
            if !wishes.is_empty() {
                self.send(id, Message::HeadsWanted { chains: wishes });
            }
        }
        self.ask_ops(now_ms, &mut lacking);
        self.asked.retain(|lack, _| lacking.contains(lack));
    }

    fn ask_ops(&mut self, now_ms: u64, lacking: &mut BTreeSet<Lack>) {
        let mut ops = self.heads.missing_ops(&self.membership);
        ops.extend(self.membership.missing_ops());
        ops.extend(self.stale.iter().flat_map(|stale| &stale.ops).filter(|op| !self.membership.contains(op)));
        let mut wishes: BTreeMap<PeerId, Vec<OpId>> = BTreeMap::new();
        for op in ops {
            lacking.insert(Lack::Op(op));
            if let Some(peer) = self.whom_to_ask(now_ms, Lack::Op(op), None, Reach::Log) {
                wishes.entry(peer).or_default().push(op);
            }
        }
        for (id, mut ops) in wishes {
            ops.truncate(BATCH_ITEMS_MAX);
            for op in &ops {
                self.asked.insert(Lack::Op(*op), (id, now_ms.saturating_add(ASK_AGAIN_MS)));
            }
            self.send(id, Message::OpsWanted { ops });
        }
    }

    fn may_ask(&self, now_ms: u64, lack: Lack) -> bool {
        self.asked.get(&lack).is_none_or(|(_, due)| *due <= now_ms)
    }

    /// Somebody to ask for what is lacking: who spoke of it; if that one did not answer, the next in turn. `None`: an answer may
    /// still come, or nobody is here.
    fn whom_to_ask(&self, now_ms: u64, lack: Lack, from: Option<PeerId>, reach: Reach) -> Option<PeerId> {
        if !self.may_ask(now_ms, lack) {
            return None;
        }
        let able = self.others(None, reach);
        let silent = self.asked.get(&lack).map(|(peer, _)| *peer);
        match (silent, from) {
            (None, Some(from)) if able.contains(&from) => Some(from),
            _ => able.iter().find(|id| Some(**id) > silent).or(able.first()).copied(),
        }
    }
}
