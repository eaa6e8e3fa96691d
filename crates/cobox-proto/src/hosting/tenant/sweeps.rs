//! Which heads of a tenant stay as time passes, and which blocks are garbage then.

use super::*;
use crate::hosting::retention::{Aging, kept_by_age};
use crate::id::SigKey;
use crate::limits::UNMERGED_ACTORS_PER_DEVICE_MAX;
use crate::members::Retention;

/// How long heads in quarantine stay (rule R6).
const QUARANTINE_MS: u64 = 90 * 24 * 3_600_000;

impl Tenant {
    /// Says which blocks belong to nothing that must be kept, and lets go of heads that grew old. To be called now and then; the
    /// host deletes after a pause of its own, and not blindly if it is told to delete very much.
    pub fn sweep(&mut self, now_ms: u64, shelf: &mut dyn Shelf) -> Vec<Cid> {
        let Some(terms) = self.terms().cloned() else { return vec![] };
        let agreed = self.agreed.get_or_insert(Agreed::on(terms.retention));
        agreed.hear(now_ms, &terms.retention);
        let retention = *agreed.terms();
        self.hear_what_to_forget(now_ms);
        let kept = self.heads_to_keep(now_ms, &retention);
        if self.is_swept && self.complete.keys().all(|head| kept.contains(head)) {
            return vec![];
        }
        let held = self.complete.keys().chain(self.repairing.keys());
        for head in held.filter(|head| !kept.contains(head)).copied().collect::<Vec<_>>() {
            self.complete.remove(&head);
            self.repairing.remove(&head);
            self.outputs.push_back(TenantOutput::Released(head));
        }
        self.work_out_let_go();
        let reached = self.count_use(shelf);
        self.history_bytes = self.quota.used().saturating_sub(self.newest_bytes(shelf));
        self.follow(now_ms, shelf);
        if !self.repairing.is_empty() && Guard::RepairThrowsNothingAway.stands() {
            // What lies beneath a lost block is not known before it is here again, and may be nowhere else.
            return vec![];
        }
        let garbage: Vec<Cid> = shelf.cids().into_iter().filter(|cid| !reached.contains(cid)).collect();
        self.is_swept = garbage.is_empty();
        garbage
    }

    /// Bytes that the newest states need.
    fn newest_bytes(&self, shelf: &dyn Shelf) -> u64 {
        let newest = self.complete.keys().filter(|head| !self.superseded.contains(head));
        let (mut seen, mut bytes) = (BTreeSet::new(), 0);
        for root in newest.filter_map(|head| self.root(head)) {
            reach(shelf, &root, &mut seen, |cid| bytes += shelf.bytes(cid));
        }
        bytes
    }

    /// Heads that stay, complete or in repair: by age; unmerged ones always, up to 64 actors of a device; those in quarantine for 90
    /// days. None that is complete grows old earlier because another one is in repair.
    fn heads_to_keep(&self, now_ms: u64, retention: &Retention) -> BTreeSet<HeadId> {
        let heads = self.replica.heads();
        let mut aging = Vec::new();
        let mut unmerged: BTreeMap<SigKey, Vec<(u64, HeadId)>> = BTreeMap::new();
        let mut kept = BTreeSet::new();
        for (id, received_ms) in self.complete.iter().chain(&self.repairing) {
            let Some(head) = heads.get(id).map(SignedHead::head) else { continue };
            aging.push(Aging { head: *id, device: head.device, received_ms: *received_ms });
            if !heads.counts(id) && now_ms.saturating_sub(*received_ms) <= QUARANTINE_MS {
                kept.insert(*id);
            }
            if !self.superseded.contains(id) && heads.counts(id) {
                unmerged.entry(head.device).or_default().push((*received_ms, *id));
            }
        }
        for newest in unmerged.values_mut() {
            newest.sort_by(|a, b| b.cmp(a));
            kept.extend(newest.iter().take(UNMERGED_ACTORS_PER_DEVICE_MAX).map(|(_, id)| *id));
        }
        kept.extend(kept_by_age(&aging, retention, now_ms));
        if !self.repairing.is_empty() {
            aging.retain(|aging| self.complete.contains_key(&aging.head));
            kept.extend(kept_by_age(&aging, retention, now_ms));
        }
        kept
    }
}
