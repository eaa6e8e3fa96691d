//! How the folder stands, for people who ask, and the settings they change.

use super::*;

impl FolderActor {
    /// The folder's signed records.
    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    /// The blocks kept here.
    pub(crate) fn blocks(&self) -> &Arc<dyn BlockStore> {
        &self.blocks
    }

    /// Where blocks' bytes lie in the folder's files, for a thread of its own.
    pub(crate) fn places(&self) -> Result<FolderDb, DbError> {
        FolderDb::open_for_places(&self.db_path)
    }

    /// A person wants these to go, and nothing else: the brake does not ask about them.
    pub(crate) fn agree(&mut self, paths: BTreeSet<FolderPath>) {
        self.tell_engine(Input::Agreed(paths));
    }

    /// Neither sends nor receives from now on, or does again.
    pub(crate) fn set_paused(&mut self, paused: bool) {
        self.config.paused = paused;
        self.save_config();
        if paused {
            // Who closes is not told that it is closed; one that still stood here would never be opened again.
            let now = self.around.now_ms();
            for (peer, row) in std::mem::take(&mut self.peers) {
                row.peer.close();
                self.drill_peer_closed(peer);
                self.replica.handle(now, replicate::Input::PeerClosed { peer });
            }
        }
    }

    /// The brake judges by other numbers from now on; what is held stays held.
    pub(crate) fn brake_changed(&mut self) {
        self.tell_engine(Input::Brake(self.around.brake()));
    }

    /// Saves the folder's settings.
    pub(crate) fn save_config(&mut self) {
        self.config.changes += 1;
        if let Err(why) = self.config.save(&self.config_path) {
            self.trouble(why.to_string());
        }
        // It may know of other seeders now.
        self.announce();
    }

    /// Ends the thread after this.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Notes how much is still to come.
    pub(super) fn note_rest(&mut self) {
        if let Some(engine) = &self.engine {
            self.rest.note(self.around.now_ms(), engine.pending_bytes());
        }
    }

    /// How long what is still to come will take, as far as that can be told.
    pub(crate) fn rest(&mut self) -> Option<Duration> {
        self.note_rest();
        self.rest.lasts()
    }

    /// A receipt of this seeder for a head of our root.
    pub(crate) fn backed_up(&self, seeder: &SigKey) -> Option<&SignedReceipt> {
        let root = self.engine.as_ref()?.root();
        self.replica.receipts().find(|receipt| {
            let r = receipt.receipt();
            r.seeder == *seeder
                && r.holding == Holding::Complete
                && self.replica.heads().get(&r.head).is_some_and(|head| head.head().root == root)
        })
    }

    /// Whether nothing was ever in the folder, and this seeder, who is connected, says so too: it signs for no state then.
    pub(crate) fn has_nothing_to_keep(&self, seeder: &SigKey) -> bool {
        let agrees = |(id, row): (&PeerId, &PeerRow)| {
            row.who.kind == KeyKind::Seeder && row.who.key == *seeder && self.replica.has_no_heads(id)
        };
        self.replica.heads().is_empty() && self.peers.iter().any(agrees)
    }

    /// The newest receipt of this seeder, whatever it says.
    pub(crate) fn newest_receipt(&self, seeder: &SigKey) -> Option<&SignedReceipt> {
        self.replica.receipts().filter(|r| r.receipt().seeder == *seeder).max_by_key(|r| r.receipt().received_ms)
    }

    /// Whether everything seen on this disk is joined, published, at every connected member and at every connected seeder.
    pub(crate) fn in_step(&self) -> bool {
        let Some(engine) = &self.engine else { return false };
        let summary = engine.summary();
        let looked = self.looks.is_idle() && self.reading == 0;
        let disk_settled = self.root_lost.is_none() && (self.disk.is_none() || looked);
        let peers_settled = self.peers.values().all(|row| match row.who.kind {
            KeyKind::Device => row.progress == Some((engine.root(), 0)),
            KeyKind::Seeder => self.backed_up(&row.who.key).is_some() || self.has_nothing_to_keep(&row.who.key),
            _ => true,
        });
        disk_settled && summary.in_step() && peers_settled
    }
}
