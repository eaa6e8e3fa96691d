//! What a seeder has given its word on, as its machine can be asked at any time: what its store keeps, what is beneath each head that it
//! calls complete, and that it can read none of it. A word that is broken is noted where it is seen.

use std::collections::BTreeSet;

use cobox_proto::id::{Cid, HeadId};
use cobox_store::{BlockStore, Recovered};

use super::Host;
use crate::segments::Store;

impl Host<'_> {
    pub(super) fn breaks(&mut self, promise: String) {
        self.broken.get_or_insert(promise);
    }

    /// The promise of the store: what it said it keeps, it has after any stop.
    pub(super) fn has_what_it_kept(&mut self, store: &Store) {
        let is_gone = |cid: &&Cid| !self.rotten.contains(*cid) && !matches!(store.has(cid), Ok(true));
        if let Some(cid) = self.kept.iter().find(is_gone) {
            self.breaks(format!("O1: {} had {} and lost it, {:?}", self.name, cid.short(), store.recovered()));
        }
        if self.tells_of_disk && store.recovered() != Recovered::default() {
            self.events.push(format!("mends its store: {:?}", store.recovered()));
        }
        // What was spoiled before the index was lost is not found any more. What the store has now it must have from now on.
        self.rotten.retain(|cid| self.disk.has(cid));
        self.kept = self.disk.cids().into_iter().filter(|cid| !self.rotten.contains(cid)).collect();
    }

    /// What it has said to be complete stays, and so does what is left of that while it is repaired: a block that lies beneath a bad one
    /// may be nowhere else.
    pub(super) fn throws_away(&mut self, due: &[Cid]) {
        let Some(live) = &self.live else { return };
        let heads = live.tenant.replica().heads();
        for id in live.tenant.complete().keys().chain(&self.in_repair) {
            let (mut reached, mut todo) = (BTreeSet::new(), Vec::from_iter(heads.get(id).map(|head| head.head().root)));
            while let Some(cid) = todo.pop() {
                if reached.insert(cid) {
                    todo.extend(self.beneath.get(&cid).into_iter().flatten());
                }
            }
            if let Some(cid) = due.iter().find(|cid| reached.contains(*cid)) {
                let (name, cid, id) = (self.name, cid.short(), id.short());
                return self.breaks(format!("O1: {name} throws away {cid}, which lies beneath {id}"));
            }
        }
    }

    /// What is here beneath a block, it included, and all that is named there.
    fn beneath(&self, root: Cid) -> (BTreeSet<Cid>, BTreeSet<Cid>) {
        let (mut here, mut named, mut todo) = (BTreeSet::new(), BTreeSet::from([root]), vec![root]);
        while let Some(cid) = todo.pop() {
            if self.disk.has(&cid) && here.insert(cid) {
                let links = self.beneath.get(&cid).into_iter().flatten();
                named.extend(links.clone().copied());
                todo.extend(links);
            }
        }
        (here, named)
    }

    /// Blocks beneath a head that are not here.
    pub(crate) fn lacks(&self, head: &HeadId) -> Vec<Cid> {
        let Some(live) = &self.live else { return Vec::new() };
        let Some(root) = live.tenant.replica().heads().get(head).map(|head| head.head().root) else {
            return Vec::new();
        };
        let (here, named) = self.beneath(root);
        named.difference(&here).copied().collect()
    }

    pub(crate) fn is_complete(&self, head: &HeadId) -> bool {
        self.live.as_ref().is_some_and(|live| live.tenant.complete().contains_key(head))
    }

    /// Whether every block beneath every head that it calls complete is there; and whether none of them can be read.
    pub(crate) fn keeps_its_word(&mut self) -> Result<(), String> {
        let Some(live) = &self.live else { return Err(format!("O8: {} does not run", self.name)) };
        for cid in self.disk.cids() {
            if !self.rotten.contains(&cid) && self.looked_into.insert(cid) {
                let bytes = live.store.get(&cid).ok().flatten();
                if bytes.is_none_or(|bytes| can_be_read(&bytes)) {
                    return Err(format!("O5: {} can read block {}, or has it not", self.name, cid.short()));
                }
            }
        }
        for id in live.tenant.complete().keys() {
            let Some(head) = self.durable.heads.get(id) else {
                return Err(format!("O1: {} calls {} complete and does not have it", self.name, id.short()));
            };
            let (here, named) = self.beneath(head.head().root);
            if let Some(missing) = named.difference(&here).next() {
                let (id, missing) = (id.short(), missing.short());
                return Err(format!("O1: {} calls {id} complete and lacks block {missing}", self.name));
            }
        }
        Ok(())
    }
}

/// Whether what a person wrote stands in a block as it is.
fn can_be_read(bytes: &[u8]) -> bool {
    const WRITTEN: &[u8] = b" wrote no.";
    let before = &WRITTEN[..WRITTEN.len() - 1];
    let mut rest = bytes;
    // By the last byte it is told how far on it can begin: in sealed bytes most often behind it (Horspool 1980).
    while let Some(here) = rest.first_chunk::<{ WRITTEN.len() }>() {
        if here == WRITTEN {
            return true;
        }
        let last = here[before.len()];
        let again = before.iter().rev().position(|byte| *byte == last);
        rest = &rest[again.map_or(WRITTEN.len(), |behind| behind + 1)..];
    }
    false
}
