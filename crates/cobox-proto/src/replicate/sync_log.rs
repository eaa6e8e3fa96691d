//! Keeping logs equal: a summary each way; if they differ, both name all they have and send what the other lacks. What is new
//! later is passed on at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::guard::Guard;
use crate::id::{Hash, OpId};
use crate::limits::{
    BATCH_BYTES_TARGET, BATCH_ITEMS_MAX, LOG_OPS_MAX, LOG_PENDING_BYTES_MAX, LOG_PENDING_OPS_MAX, OPS_FROM_GUEST_MAX,
};
use crate::members::SignedOp;
use crate::replicate::{Envelopes, Output, PeerId, Reach, Replica, log_entry};
use crate::wire::{LogEntry, Message, OpEnvelopes};

/// Ops in a row that may come before the envelopes of the first of them: fewer than may wait anywhere.
const OPS_BEFORE_ENVELOPES: usize = 256;

impl Replica {
    pub(super) fn summarise_log(&mut self, to: PeerId) {
        let (ops, digest) = self.log_summary();
        self.send(to, Message::LogSummary { ops, digest });
    }

    pub(super) fn log_summarised(&mut self, id: PeerId, ops: u32, digest: Hash) {
        if (ops, digest) != self.log_summary() {
            self.name_log(id);
        }
    }

    fn log_summary(&self) -> (u32, Hash) {
        let mut h = blake3::Hasher::new_derive_key("cobox v1 log summary");
        let mut count = 0;
        for op in self.membership.op_ids() {
            let entry = log_entry(op, &self.envelopes);
            h.update(&entry.op.0).update(&entry.envelopes.to_le_bytes());
            count += 1;
        }
        (count, Hash(*h.finalize().as_bytes()))
    }

    fn name_log(&mut self, to: PeerId) {
        match self.peers.get_mut(&to) {
            Some(peer) if !peer.log_named => peer.log_named = true,
            _ => return,
        }
        let entries: Vec<LogEntry> = self.membership.op_ids().map(|op| log_entry(op, &self.envelopes)).collect();
        let batches = entries.len().div_ceil(BATCH_ITEMS_MAX).max(1);
        for batch in 0..batches {
            let from = batch * BATCH_ITEMS_MAX;
            let entries = entries[from..entries.len().min(from + BATCH_ITEMS_MAX)].to_vec();
            self.send(to, Message::LogHave { entries, last: batch + 1 == batches });
        }
    }

    pub(super) fn log_named(&mut self, id: PeerId, entries: Vec<LogEntry>, last: bool) {
        self.name_log(id);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.log_listing.extend(entries.into_iter().map(|entry| (entry.op, entry.envelopes)));
        if peer.log_listing.len() > LOG_OPS_MAX {
            return self.misbehaved(id, "its log has no end");
        }
        if !last {
            return;
        }
        let theirs = std::mem::take(&mut peer.log_listing);
        let ours: Vec<OpId> = self.membership.op_ids_in_order().collect();
        let lacking: Vec<OpId> = ours.iter().filter(|op| !theirs.contains_key(op)).copied().collect();
        self.send_ops(id, &lacking);
        let lacking: BTreeSet<OpId> = lacking.into_iter().collect();
        for op in ours.into_iter().filter(|op| !lacking.contains(op)) {
            if self.envelopes.count(&op) > theirs.get(&op).copied().unwrap_or(0)
                && let Some(envelopes) = self.envelopes.of(&op)
            {
                self.send_envelopes(id, &envelopes);
            }
        }
    }

    /// Sends ops, in the order given, in messages of bounded size, with their envelopes right after them.
    pub(super) fn send_ops(&mut self, to: PeerId, ids: &[OpId]) {
        for ids in ids.chunks(OPS_BEFORE_ENVELOPES) {
            let found = ids.iter().filter_map(|id| self.membership.op(id)).map(|op| op.bytes().to_vec());
            for ops in batches(found.collect()) {
                self.send(to, Message::Ops { ops });
            }
            for sent in ids.iter().filter_map(|id| self.envelopes.of(id)).collect::<Vec<_>>() {
                self.send_envelopes(to, &sent);
            }
        }
    }

    fn send_envelopes(&mut self, to: PeerId, all: &OpEnvelopes) {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for envelope in &all.envelopes {
            bytes += envelope.bytes.len();
            batch.push(envelope.clone());
            if bytes >= BATCH_BYTES_TARGET {
                let envelopes = std::mem::take(&mut batch);
                bytes = 0;
                self.send(to, Message::Envelopes(OpEnvelopes { op: all.op, list: all.list.clone(), envelopes }));
            }
        }
        if !batch.is_empty() {
            let rest = OpEnvelopes { op: all.op, list: all.list.clone(), envelopes: batch };
            self.send(to, Message::Envelopes(rest));
        }
    }

    pub(super) fn ops_received(&mut self, id: PeerId, bytes: &[Vec<u8>]) {
        let mut ops = Vec::new();
        for bytes in bytes {
            match SignedOp::from_bytes(bytes) {
                Ok(op) if op.op().folder == self.folder => ops.push(op),
                Ok(_) => return self.misbehaved(id, "it sent an op of another folder"),
                Err(error) => return self.misbehaved(id, error.to_string()),
            }
        }
        self.add_ops(Some(id), ops);
    }

    /// Takes ops into the log and does all that follows from it.
    pub(super) fn add_ops(&mut self, from: Option<PeerId>, mut ops: Vec<SignedOp>) {
        ops.retain(|op| !self.membership.contains(&op.id()));
        if let Some(peer) = from.and_then(|id| self.peers.get_mut(&id))
            && peer.entitled != Reach::Everything
        {
            peer.ops_brought += ops.len();
            if peer.ops_brought > OPS_FROM_GUEST_MAX {
                return self.misbehaved(from.expect("the peer was just found by it"), "a guest brings too many ops");
            }
        }
        if let Some(id) = from {
            ops.retain(|op| !self.waits_for_envelopes(id, op));
        }
        let added = self.membership.add(ops);
        if added.is_empty() {
            return;
        }
        for op in &added {
            self.asked.remove(&super::Lack::Op(*op));
        }
        self.outputs.push_back(Output::OpsAdded(added.clone()));
        for peer in self.others(from, Reach::Log) {
            self.send_ops(peer, &added);
        }
        let events = self.heads.ops_changed(&mut self.membership);
        self.heads_happened(None, events);
        self.report_stale();
    }

    /// Takes envelopes and returns what is new. `None` if the op does not cover them.
    pub(super) fn take_envelopes(&mut self, sent: OpEnvelopes) -> Option<OpEnvelopes> {
        let op = self.membership.op(&sent.op)?;
        self.envelopes.add(op, sent)
    }

    /// An op that hands on keys is taken into the log with all its envelopes and not before (rule R19): else everybody would have to
    /// write under an epoch that nobody can open, should whoever started it never be heard of again. Kept until they come; true if it
    /// lacks some. Each peer has room of its own for that, so that none keeps out what another brings.
    fn waits_for_envelopes(&mut self, from: PeerId, op: &SignedOp) -> bool {
        if self.envelopes.are_whole(op) || !Guard::EpochsComeWhole.stands() {
            return false;
        }
        let peer = self.peers.get_mut(&from).filter(|peer| peer.unsealed.ops.len() < LOG_PENDING_OPS_MAX);
        if let Some(peer) = peer {
            peer.unsealed.ops.insert(op.id(), op.clone());
        }
        true
    }

    pub(super) fn add_envelopes(&mut self, from: Option<PeerId>, sent: OpEnvelopes) {
        if let Some(id) =
            from.filter(|id| self.peers.get(id).is_some_and(|peer| peer.unsealed.ops.contains_key(&sent.op)))
        {
            return self.add_envelopes_of_unsealed(id, sent);
        }
        if self.membership.op(&sent.op).is_none() {
            return; // The op still waits for another; its envelopes come again when logs are next compared.
        }
        match (self.take_envelopes(sent), from) {
            (Some(new), _) if !new.envelopes.is_empty() => {
                for peer in self.others(from, Reach::Log) {
                    self.send_envelopes(peer, &new);
                }
                self.outputs.push_back(Output::EnvelopesAdded(new));
            }
            (None, Some(id)) => self.misbehaved(id, "it sent an envelope that its op does not cover"),
            _ => {}
        }
    }

    fn add_envelopes_of_unsealed(&mut self, from: PeerId, sent: OpEnvelopes) {
        let Some(unsealed) = self.peers.get_mut(&from).map(|peer| &mut peer.unsealed) else { return };
        let Some(op) = unsealed.ops.get(&sent.op).cloned() else { return };
        let Some(new) = unsealed.envelopes.add(&op, sent) else {
            return self.misbehaved(from, "it sent an envelope that its op does not cover");
        };
        unsealed.bytes += new.envelopes.iter().map(|envelope| envelope.bytes.len()).sum::<usize>();
        if unsealed.envelopes.are_whole(&op) {
            unsealed.ops.remove(&op.id());
            let whole = unsealed.envelopes.of(&op.id());
            if unsealed.ops.is_empty() {
                *unsealed = Unsealed::default();
            }
            // Kept first: an op without its envelopes helps nobody.
            let new = whole.and_then(|sent| self.envelopes.add(&op, sent)).filter(|new| !new.envelopes.is_empty());
            self.outputs.extend(new.map(Output::EnvelopesAdded));
            self.add_ops(Some(from), vec![op]);
        } else if unsealed.bytes > LOG_PENDING_BYTES_MAX {
            // What it meant to end comes again when logs are next compared.
            *unsealed = Unsealed::default();
        }
    }
}

/// Ops that are no part of the log while some of their envelopes are not here.
#[derive(Debug, Default)]
pub(super) struct Unsealed {
    ops: BTreeMap<OpId, SignedOp>,
    /// Those that are here.
    envelopes: Envelopes,
    /// All that those had which came since none was missing.
    bytes: usize,
}

/// Cuts a list of byte strings into pieces that fit a message.
pub(super) fn batches(items: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let mut batches: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut bytes = usize::MAX;
    for item in items {
        if bytes >= BATCH_BYTES_TARGET || batches.last().is_none_or(|batch| batch.len() >= BATCH_ITEMS_MAX) {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += item.len();
        batches.last_mut().expect("one was just pushed").push(item);
    }
    batches
}
