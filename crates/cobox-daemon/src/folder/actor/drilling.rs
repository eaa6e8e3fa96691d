//! Blocks that a rehearsed restore asks of one seeder, whatever lies here and whoever else has them: it shows what that seeder can give.
//!
//! What must hold: nothing of it comes from anybody else, is kept, or changes what the folder itself wants; whoever asks hears of each
//! block once, or that the seeder is gone.

use bytes::Bytes;

use super::seek::Sought;
use super::*;

/// Who waits for which block of which seeder.
#[derive(Default)]
pub(super) struct Drilling(BTreeMap<PeerId, BTreeMap<Cid, std_mpsc::Sender<Sought>>>);

/// What a rehearsal with a seeder begins with.
pub(crate) struct DrillSetup {
    pub(crate) keys: Arc<FolderKeys>,
    /// The newest state that the seeder signed for as whole.
    pub(crate) head: SignedHead,
    pub(crate) peer: PeerId,
    /// Blocks that owners had removed from history.
    pub(crate) forgotten: BTreeSet<Cid>,
}

/// Why there can be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoDrill {
    /// The seeder is not connected.
    Away,
    /// It has signed for no whole state that is known here, or the folder's keys are not here yet.
    NothingWhole,
}

impl FolderActor {
    /// The seeders of the folder, each once.
    pub(crate) fn hired_seeders(&self) -> BTreeSet<SigKey> {
        self.replica.membership().roster().seeders().iter().map(|seeder| seeder.key).collect()
    }

    /// What a rehearsal with this seeder needs.
    pub(crate) fn drill_setup(&self, seeder: &SigKey) -> Result<DrillSetup, NoDrill> {
        let is_it = |row: &&PeerRow| row.who.kind == KeyKind::Seeder && row.who.key == *seeder;
        let row = self.peers.values().find(is_it).ok_or(NoDrill::Away)?;
        let keys = self.keys().ok_or(NoDrill::NothingWhole)?.clone();
        let receipts = self.replica.receipts().map(|receipt| receipt.receipt());
        let whole = receipts.filter(|r| r.seeder == *seeder && r.holding == Holding::Complete);
        let known = whole.filter_map(|r| Some((r.received_ms, self.replica.heads().get(&r.head)?)));
        // What was sealed under keys that are still to come can not be opened by anybody here.
        let readable = known.filter(|(_, head)| keys.has_epoch(&head.head().epoch));
        let (_, head) = readable.max_by_key(|(received_ms, _)| *received_ms).ok_or(NoDrill::NothingWhole)?;
        let forgotten = self.forgotten().into_keys().collect();
        Ok(DrillSetup { keys, head: head.clone(), peer: row.peer.id, forgotten })
    }

    /// Asks this peer for blocks; `tell` hears of each, and is dropped if the peer goes. False: it is gone already.
    pub(crate) fn drill_ask(&mut self, peer: PeerId, cids: &[Cid], tell: &std_mpsc::Sender<Sought>) -> bool {
        let Some(row) = self.peers.get(&peer) else { return false };
        self.drilling.0.entry(peer).or_default().extend(cids.iter().map(|cid| (*cid, tell.clone())));
        for cids in cids.chunks(WANT_CIDS_MAX) {
            row.peer.send(Message::Want { cids: cids.to_vec() });
        }
        true
    }

    /// Nobody waits for what this peer was asked for any more.
    pub(crate) fn drill_ends(&mut self, peer: PeerId) {
        let asked = self.drilling.0.remove(&peer).unwrap_or_default();
        let Some(row) = self.peers.get(&peer) else { return };
        let left: Vec<Cid> = asked.into_keys().filter(|cid| !self.replica.wants(cid)).collect();
        for cids in left.chunks(WANT_CIDS_MAX) {
            row.peer.send(Message::Unwant { cids: cids.to_vec() });
        }
    }

    /// A block came. True if it was for a rehearsal, and for nothing else.
    pub(super) fn drill_block(&mut self, peer: PeerId, cid: &Cid, bytes: &Bytes) -> bool {
        let Some(tell) = self.drilling.0.get_mut(&peer).and_then(|asked| asked.remove(cid)) else { return false };
        // Whoever is gone needs no answer.
        let _ = tell.send((*cid, Some(bytes.clone())));
        !self.replica.wants(cid)
    }

    /// The peer has not these.
    pub(super) fn drill_gone(&mut self, peer: PeerId, cids: &[Cid]) {
        let Some(asked) = self.drilling.0.get_mut(&peer) else { return };
        for cid in cids {
            if let Some(tell) = asked.remove(cid) {
                let _ = tell.send((*cid, None));
            }
        }
    }

    /// The peer sent something else: whoever waits is told of a block that it did not ask for.
    pub(super) fn drill_other(&mut self, peer: PeerId, cid: Cid) {
        if let Some(tell) = self.drilling.0.get(&peer).and_then(|asked| asked.values().next()) {
            let _ = tell.send((cid, None));
        }
    }

    /// The peer is gone.
    pub(super) fn drill_peer_closed(&mut self, peer: PeerId) {
        self.drilling.0.remove(&peer);
    }

    /// Where these items stand in the folder now.
    pub(crate) fn paths_of(&self, inodes: &BTreeSet<Inode>) -> BTreeMap<Inode, FolderPath> {
        let Some(engine) = &self.engine else { return BTreeMap::new() };
        let shown = engine.view().entries.iter().filter_map(|(path, entry)| Some((entry.shown()?.inode, path)));
        shown.filter(|(inode, _)| inodes.contains(inode)).map(|(inode, path)| (inode, path.clone())).collect()
    }
}
