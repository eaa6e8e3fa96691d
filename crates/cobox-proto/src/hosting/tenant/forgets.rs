//! What a tenant lets go of because an owner had it forgotten, and how states stay whole but for that.

use super::*;
use crate::hosting::forgetting::Beneath;

impl Tenant {
    /// Takes note of what stands in the log now.
    pub(super) fn hear_what_to_forget(&mut self, now_ms: u64) {
        let roster = self.replica.membership().roster();
        let standing: BTreeSet<OpId> = roster.forgets().iter().map(|forget| forget.op).collect();
        if self.forgetting.hear(now_ms, &standing, &roster.policy()) {
            self.is_swept = false;
        }
    }

    /// What may be missing beneath which heads: beneath those alone that another one rests on which is complete here, or was and is
    /// repaired. The newest states stay whole whatever anybody says.
    pub(super) fn work_out_let_go(&mut self) {
        if self.forgetting.counting().next().is_none() {
            self.let_go = LetGo::default();
            return;
        }
        let heads = self.replica.heads();
        let mut past: BTreeSet<HeadId> = BTreeSet::new();
        let here = || self.complete.keys().chain(self.repairing.keys());
        for parent in here().filter_map(|head| heads.get(head)).flat_map(|head| head.head().parents()) {
            heads.past(&parent, |head| past.insert(head.id()));
        }
        let old = here().filter(|head| past.contains(*head)).copied().collect::<Vec<_>>();
        self.let_go = LetGo::new(self.replica.membership().log(), self.forgetting.counting(), old.into_iter());
    }

    /// Whether all beneath a head is here that was not let go.
    pub(super) fn is_whole(&self, head: &HeadId, shelf: &dyn Shelf) -> bool {
        let Some(root) = self.root(head) else { return false };
        let without = self.let_go.beneath(head);
        shelf.status(&root) == Status::Complete
            || self.let_go.group(head).is_some()
                && missing_without(shelf, &root, |cid| without.contains(cid)).is_empty()
    }

    /// [`Self::count_use`] where something was let go. What a walk that stops early has seen is no reason for another one to stop there,
    /// so the heads of which the same was let go are walked together and apart from others, as far as the whole ones did not come.
    pub(super) fn count_with_gaps(&self, order: &[HeadId], shelf: &dyn Shelf) -> (Quota, BTreeSet<Cid>) {
        let root_of = |head: &&HeadId| self.root(head).map(|root| (**head, root));
        let (mut seen, mut first) = (BTreeSet::new(), BTreeMap::new());
        for (head, root) in order.iter().filter_map(|head| root_of(&head)) {
            let member = self.replica.heads().member(&head).unwrap_or(OpId::ZERO);
            reach(shelf, &root, &mut seen, |cid| {
                first.insert(*cid, member);
            });
        }
        drop(seen);
        let mut groups: BTreeMap<Option<usize>, Vec<(HeadId, Cid)>> = BTreeMap::new();
        for (head, root) in order.iter().filter_map(|head| root_of(&head)) {
            groups.entry(self.let_go.group(&head)).or_default().push((head, root));
        }
        let mut whole = BTreeSet::new();
        for (_, root) in groups.remove(&None).unwrap_or_default() {
            reach(shelf, &root, &mut whole, |_| {});
        }
        let mut rest = BTreeSet::new();
        for heads in groups.into_values() {
            let mut seen = BTreeSet::new();
            for (head, root) in heads {
                let beneath = self.let_go.beneath(&head);
                reach_without(shelf, &root, |cid| whole.contains(cid) || beneath.contains(cid), &mut seen, |_| {});
            }
            rest.append(&mut seen);
        }
        whole.append(&mut rest);
        let mut quota = Quota::default();
        for cid in &whole {
            quota.charge(first.get(cid).copied().unwrap_or(OpId::ZERO), shelf.bytes(cid));
        }
        (quota, whole)
    }

    /// Wants what was lost beneath these heads, and nothing that was let go. Returns those that lack nothing.
    pub(super) fn mend(
        &mut self,
        holed: &[HeadId],
        shelf: &dyn Shelf,
        unwanted: &mut Vec<Cid>,
        step: &mut Step,
    ) -> Vec<HeadId> {
        let mut mending = std::mem::take(&mut self.mending);
        let before = mending.all();
        let heads = holed.iter().filter_map(|head| Some((*head, (self.root(head)?, self.let_go.beneath(head)))));
        let heads: BTreeMap<HeadId, (Cid, Beneath<'_>)> = heads.collect();
        let mended = mending.retarget(shelf, &heads);
        let now = mending.all();
        self.mending = mending;
        step.wants.extend(now.difference(&before));
        unwanted.extend(before.difference(&now));
        unwanted.retain(|cid| !now.contains(cid) && !self.ingest.wants(cid));
        mended
    }
}
