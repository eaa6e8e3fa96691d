//! What is passed along beside log and heads: receipts of seeders, addresses of devices, and the word that a head is stale.

use std::collections::BTreeMap;

use crate::head::SignedHead;
use crate::hosting::{Holding, SignedReceipt};
use crate::id::{HeadId, OpId, SigKey};
use crate::limits::{HEAD_AUTH_MAX, RECEIPTS_PER_SEEDER_MAX};
use crate::replicate::{Output, PeerId, Reach, Replica};
use crate::wire::proof::KeyKind;
use crate::wire::{AddressNote, Message, Tip};

/// A receipt counts against its seeder once it has been known for so long before the seeder came: what it says as it comes may have
/// been on the way while the receipt came by way of others.
const RECEIPT_RIPE_MS: u64 = 5_000;
/// Heads called stale that wait for ops; more than a device can have in flight.
const STALE_WAITING_MAX: usize = 64;

/// A head called stale.
#[derive(Debug)]
pub(super) struct Stale {
    /// By whom.
    pub(super) from: PeerId,
    head: HeadId,
    /// What must be here before the author can do better.
    pub(super) ops: Vec<OpId>,
}

#[derive(Debug)]
struct Known {
    signed: SignedReceipt,
    /// Since when it is known here.
    since_ms: u64,
}

impl Known {
    fn received_ms(&self) -> u64 {
        self.signed.receipt().received_ms
    }
}

/// The newest receipts of each seeder, at most one for a head.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    by_seeder: BTreeMap<SigKey, BTreeMap<HeadId, Known>>,
}

impl Receipts {
    /// Keeps a receipt. False if it says nothing newer about its head, or gives way to what is kept. Refusals give way first, but for the
    /// newest receipt of all: however many a seeder without room has refused, it is known what it has whole.
    pub(super) fn add(&mut self, since_ms: u64, signed: SignedReceipt) -> bool {
        let head = signed.receipt().head;
        let of_seeder = self.by_seeder.entry(signed.receipt().seeder).or_default();
        let order = |s: &SignedReceipt| (s.receipt().received_ms, s.receipt().keep_until_ms);
        if of_seeder.get(&head).is_some_and(|known| order(&known.signed) >= order(&signed)) {
            return false;
        }
        of_seeder.insert(head, Known { signed, since_ms });
        if of_seeder.len() > RECEIPTS_PER_SEEDER_MAX {
            let newest_ms = of_seeder.values().map(Known::received_ms).max().unwrap_or(0);
            let is_dear =
                |known: &Known| known.received_ms() == newest_ms || known.signed.receipt().holding == Holding::Complete;
            let least =
                of_seeder.iter().min_by_key(|(_, known)| (is_dear(known), known.received_ms())).map(|(id, _)| *id);
            least.and_then(|id| of_seeder.remove(&id));
        }
        of_seeder.contains_key(&head)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &SignedReceipt> {
        self.by_seeder.values().flat_map(BTreeMap::values).map(|known| &known.signed)
    }

    /// Of a seeder that came at a certain time: what it must stand by.
    fn ripe(&self, seeder: &SigKey, opened_ms: u64) -> impl Iterator<Item = &SignedReceipt> {
        let all = self.by_seeder.get(seeder).into_iter().flat_map(BTreeMap::values);
        let is_ripe = move |known: &&Known| known.since_ms.saturating_add(RECEIPT_RIPE_MS) <= opened_ms;
        all.filter(is_ripe).map(|known| &known.signed)
    }
}

impl Replica {
    /// What a peer that just opened has not heard.
    pub(super) fn pass_gossip(&mut self, to: PeerId) {
        let notes: Vec<AddressNote> = self.addresses.values().cloned().collect();
        for note in notes {
            self.send(to, Message::Addresses(note));
        }
        if self.is_device(to) {
            let receipts: Vec<Vec<u8>> = self.receipts.iter().map(|receipt| receipt.bytes().to_vec()).collect();
            for bytes in receipts {
                self.send(to, Message::Receipt { bytes });
            }
        }
    }

    pub(super) fn receipt_received(&mut self, id: PeerId, bytes: &[u8]) {
        match SignedReceipt::from_bytes(bytes) {
            Ok(receipt) if receipt.receipt().folder == self.folder => self.add_receipt(Some(id), receipt),
            Ok(_) => self.misbehaved(id, "it sent a receipt of another folder"),
            Err(error) => self.misbehaved(id, error.to_string()),
        }
    }

    pub(super) fn add_receipt(&mut self, from: Option<PeerId>, receipt: SignedReceipt) {
        if !self.membership.is_seeder(&receipt.receipt().seeder) || !self.receipts.add(self.now_ms, receipt.clone()) {
            return;
        }
        for peer in self.others(from, Reach::Everything) {
            if self.is_device(peer) {
                self.send(peer, Message::Receipt { bytes: receipt.bytes().to_vec() });
            }
        }
        if from.is_some() {
            self.outputs.push_back(Output::ReceiptArrived(receipt));
        }
    }

    /// A seeder named all its heads: those it signed for and must still have are among them, or it stands convicted.
    pub(super) fn check_promises(&mut self, now_ms: u64, id: PeerId, tips: &[Tip]) {
        let Some(peer) = self.peers.get(&id).filter(|peer| peer.who.kind == KeyKind::Seeder) else { return };
        let (seeder, opened_ms) = (peer.who.key, peer.opened_ms);
        let mut newest = BTreeMap::new();
        for tip in tips {
            let seq = newest.entry(tip.actor).or_insert(0);
            *seq = tip.seq.max(*seq);
        }
        let denied = self.receipts.ripe(&seeder, opened_ms).filter(|signed| {
            let receipt = signed.receipt();
            let promised = receipt.holding == Holding::Complete && receipt.keep_until_ms > now_ms;
            let head = self.heads.get(&receipt.head).map(SignedHead::head);
            promised && head.is_some_and(|head| newest.get(&head.actor).is_none_or(|seq| *seq < head.seq))
        });
        let denied: Vec<SignedReceipt> = denied.cloned().collect();
        for receipt in denied {
            self.outputs.push_back(Output::SeederRolledBack { seeder, receipt });
        }
    }

    pub(super) fn add_addresses(&mut self, from: Option<PeerId>, note: AddressNote) {
        let newer = self.addresses.get(&note.device).is_none_or(|known| known.stamp_ms < note.stamp_ms);
        if !newer || !self.membership.is_device(&note.device) {
            return;
        }
        if !note.verifies(&self.folder) {
            if let Some(id) = from {
                self.misbehaved(id, "it sent forged addresses");
            }
            return;
        }
        self.addresses.insert(note.device, note.clone());
        for peer in self.others(from, Reach::Everything) {
            self.send(peer, Message::Addresses(note.clone()));
        }
        if from.is_some() {
            self.outputs.push_back(Output::AddressesArrived(note));
        }
    }

    /// Tells the author of a head, if it is the one who brought it, that its epoch is void by ops it did not know (rule R9).
    pub(super) fn answer_stale(&mut self, from: Option<PeerId>, head: &HeadId) {
        let Some((id, peer)) = from.and_then(|id| self.peers.get(&id).map(|peer| (id, peer))) else { return };
        let Some(signed) = self.heads.get(head) else { return };
        let by_author = peer.who.kind == KeyKind::Device && peer.who.key == signed.head().device;
        if by_author && !self.membership.epoch_usable(&signed.head().epoch) {
            let mut ops = self.membership.frontier();
            ops.truncate(HEAD_AUTH_MAX);
            self.send(id, Message::Stale { head: *head, ops });
        }
    }

    pub(super) fn called_stale(&mut self, from: PeerId, head: HeadId, ops: Vec<OpId>) {
        if self.heads.get(&head).is_some() && self.stale.len() < STALE_WAITING_MAX {
            self.stale.push(Stale { from, head, ops });
            self.report_stale();
        }
    }

    pub(super) fn report_stale(&mut self) {
        let known = |stale: &Stale| stale.ops.iter().all(|op| self.membership.contains(op));
        let (ready, waiting) = std::mem::take(&mut self.stale).into_iter().partition::<Vec<_>, _>(known);
        self.stale = waiting;
        self.outputs.extend(ready.into_iter().map(|stale| Output::Stale { head: stale.head }));
    }

    fn is_device(&self, id: PeerId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.who.kind == KeyKind::Device)
    }
}
