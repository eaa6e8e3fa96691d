//! A newest state that lies nowhere whole: whoever published it is gone before anybody had all of it, or a seeder had no room for it.
//!
//! What must hold: as long as somebody is there who may still bring it, it is waited for first; after that the newest of the older
//! states that others have whole is joined meanwhile, and it is said whose state is missing.

use super::*;
use cobox_core::engine::PATIENCE_MS;

impl FolderActor {
    /// Nodes of a state are asked for, or somebody came who may have them: they have time to come.
    pub(super) fn expect_tree(&mut self, now: u64) {
        self.next_older_ms = self.next_older_ms.min(now.saturating_add(PATIENCE_MS));
    }

    /// Tells the engine which states those who are here have whole, if it waits for one.
    pub(super) fn look_for_older(&mut self, now: u64) {
        self.next_older_ms = u64::MAX;
        if self.peers.is_empty() || !self.engine.as_ref().is_some_and(Engine::waits_for_heads) {
            return;
        }
        self.tell_engine(Input::LieWhole(self.heads_whole_elsewhere()));
        self.expect_tree(now);
    }

    /// Heads that seeders who are here signed for, and those whose state a member who is here says to have joined.
    fn heads_whole_elsewhere(&self) -> BTreeSet<HeadId> {
        let is_here = |key: &SigKey| self.peers.values().any(|row| row.who.key == *key);
        let receipts = self.replica.receipts().map(SignedReceipt::receipt);
        let signed_for = receipts.filter(|r| r.holding == Holding::Complete && is_here(&r.seeder)).map(|r| r.head);
        let roots: BTreeSet<Cid> = self.peers.values().filter_map(|row| row.progress).map(|(root, _)| root).collect();
        let joined = self.replica.heads().iter().filter(|head| roots.contains(&head.head().root)).map(SignedHead::id);
        signed_for.chain(joined).collect()
    }

    /// Newest states that nobody who was here could bring: who wrote each, and when.
    pub(crate) fn states_in_vain(&self) -> Vec<(String, u64)> {
        let heads =
            self.engine.iter().flat_map(|engine| engine.in_vain()).filter_map(|id| self.replica.heads().get(id));
        let roster = self.replica.membership().roster();
        let told = |head: &SignedHead| {
            let device = head.head().device;
            let member = roster.device(&device).and_then(|(_, member)| self.member_name(&member.grant));
            (member.unwrap_or_else(|| device.short()), head.head().claimed_time_ms)
        };
        heads.map(told).collect()
    }
}
