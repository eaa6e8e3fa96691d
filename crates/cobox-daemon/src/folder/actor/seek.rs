//! Blocks that are asked for from outside of the engine, by whoever looks back: nodes of earlier states, contents to restore.
//!
//! What must hold: everybody who asks is answered for each block, with nothing if nobody who is connected has it; a block that is
//! wanted for other reasons too stays wanted when the seeker gives up.

use bytes::Bytes;

use super::*;

/// A block, or nothing if nobody has it now.
pub(in crate::folder) type Sought = (Cid, Option<Bytes>);

#[derive(Default)]
struct Seek {
    tell: Vec<std_mpsc::Sender<Sought>>,
    /// Whether the engine or a step wants it too.
    is_shared: bool,
}

/// Who waits for which block.
#[derive(Default)]
pub(super) struct Seekers(BTreeMap<Cid, Seek>);

impl FolderActor {
    /// Asks all who are connected; `tell` hears of each of these once.
    pub(crate) fn seek(&mut self, cids: Vec<Cid>, tell: &std_mpsc::Sender<Sought>) {
        for cid in &cids {
            let is_shared = self.replica.wants(cid);
            let seek = self.seekers.0.entry(*cid).or_insert_with(|| Seek { tell: Vec::new(), is_shared });
            seek.tell.push(tell.clone());
        }
        let now = self.around.now_ms();
        self.replica.handle(now, replicate::Input::Want { cids, priority: Priority::Now });
    }

    /// Nobody waits for these any more.
    pub(crate) fn seek_no_more(&mut self, cids: &[Cid]) {
        for cid in cids {
            self.answer_seekers(cid, None);
        }
    }

    /// The engine or a step wants these, too.
    pub(super) fn note_shared(&mut self, cids: &[Cid]) {
        if self.seekers.0.is_empty() {
            return;
        }
        for cid in cids {
            if let Some(seek) = self.seekers.0.get_mut(cid) {
                seek.is_shared = true;
            }
        }
    }

    /// A block came.
    pub(super) fn sought_came(&mut self, cid: &Cid, bytes: &Bytes) {
        if !self.seekers.0.is_empty() {
            self.answer_seekers(cid, Some(bytes));
        }
    }

    /// Tells those who wait in vain.
    pub(super) fn give_up_seeking(&mut self) {
        if self.seekers.0.is_empty() {
            return;
        }
        let lost: Vec<Cid> = match self.peers.is_empty() {
            true => self.seekers.0.keys().copied().collect(),
            false => self.replica.wanted().stranded().filter(|cid| self.seekers.0.contains_key(cid)).copied().collect(),
        };
        self.seek_no_more(&lost);
    }

    fn answer_seekers(&mut self, cid: &Cid, found: Option<&Bytes>) {
        let Some(Seek { tell, is_shared }) = self.seekers.0.remove(cid) else { return };
        for tell in tell {
            // Whoever is gone needs no answer.
            let _ = tell.send((*cid, found.cloned()));
        }
        if found.is_none() && !is_shared {
            let now = self.around.now_ms();
            self.replica.handle(now, replicate::Input::Unwant { cids: vec![*cid] });
        }
    }
}
