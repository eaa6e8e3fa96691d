//! Blocks that peers asked us for: a bounded queue for each, and a few at a time on their way, so that neither a greedy peer nor
//! a slow one fills memory or starves the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::id::Cid;
use crate::limits::{SERVE_QUEUE_MAX, SERVING_MAX, SERVING_PER_PEER_MAX};
use crate::replicate::PeerId;

#[derive(Debug, Default)]
struct Asker {
    queue: VecDeque<Cid>,
    queued: BTreeSet<Cid>,
    on_the_way: BTreeSet<Cid>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Serving {
    askers: BTreeMap<PeerId, Asker>,
    /// In all their queues.
    waiting: usize,
    on_the_way: usize,
    /// Whose turn comes after.
    last_served: Option<PeerId>,
}

/// A peer asks for more than the protocol lets it have waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsksTooMuch;

impl Serving {
    /// A peer that may have blocks is here.
    pub fn peer_opened(&mut self, peer: PeerId) {
        self.askers.entry(peer).or_default();
    }

    /// It is gone.
    pub fn peer_closed(&mut self, peer: PeerId) {
        if let Some(asker) = self.askers.remove(&peer) {
            self.waiting -= asker.queue.len();
            self.on_the_way -= asker.on_the_way.len();
        }
    }

    /// A peer asks.
    ///
    /// Errors: more than [`SERVE_QUEUE_MAX`] of its wishes wait. No honest peer asks for so much.
    pub fn want(&mut self, peer: PeerId, cids: &[Cid]) -> Result<(), AsksTooMuch> {
        let Some(asker) = self.askers.get_mut(&peer) else { return Ok(()) };
        for cid in cids {
            if !asker.on_the_way.contains(cid) && asker.queued.insert(*cid) {
                asker.queue.push_back(*cid);
                self.waiting += 1;
            }
        }
        if asker.queued.len() > SERVE_QUEUE_MAX { Err(AsksTooMuch) } else { Ok(()) }
    }

    /// It asks no longer.
    pub fn unwant(&mut self, peer: PeerId, cids: &[Cid]) {
        let Some(asker) = self.askers.get_mut(&peer) else { return };
        for cid in cids {
            asker.queued.remove(cid);
        }
        let before = asker.queue.len();
        asker.queue.retain(|cid| asker.queued.contains(cid));
        self.waiting -= before - asker.queue.len();
    }

    /// A block is out, or could not be served. False if it was not on its way.
    pub fn finished(&mut self, peer: PeerId, cid: &Cid) -> bool {
        let removed = self.askers.get_mut(&peer).is_some_and(|asker| asker.on_the_way.remove(cid));
        self.on_the_way -= usize::from(removed);
        removed
    }

    /// The next block to send, peers in turn.
    pub fn next_to_send(&mut self) -> Option<(PeerId, Cid)> {
        if self.waiting == 0 || self.on_the_way >= SERVING_MAX {
            return None;
        }
        let ready = |(peer, asker): (&PeerId, &Asker)| {
            (!asker.queue.is_empty() && asker.on_the_way.len() < SERVING_PER_PEER_MAX).then_some(*peer)
        };
        let after = self.askers.iter().filter(|(peer, _)| Some(**peer) > self.last_served).find_map(ready);
        let peer = after.or_else(|| self.askers.iter().find_map(ready))?;
        self.last_served = Some(peer);
        let asker = self.askers.get_mut(&peer)?;
        let cid = asker.queue.pop_front()?;
        self.waiting -= 1;
        asker.queued.remove(&cid);
        asker.on_the_way.insert(cid);
        self.on_the_way += 1;
        Some((peer, cid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cids(range: std::ops::Range<u16>) -> Vec<Cid> {
        range
            .map(|n| {
                let mut id = [0; 32];
                id[..2].copy_from_slice(&n.to_be_bytes());
                Cid(id)
            })
            .collect()
    }

    #[test]
    fn n6_a_slow_reader_holds_a_few_places_and_the_others_go_on() {
        let mut serving = Serving::default();
        let (slow, quick) = (PeerId(1), PeerId(2));
        serving.peer_opened(slow);
        serving.peer_opened(quick);
        serving.want(slow, &cids(0..100)).unwrap();
        serving.want(quick, &cids(0..20)).unwrap();
        let mut sent = BTreeMap::new();
        while let Some((peer, cid)) = serving.next_to_send() {
            *sent.entry(peer).or_insert(0) += 1;
            if peer == quick {
                assert!(serving.finished(peer, &cid));
            }
        }
        assert_eq!((sent[&slow], sent[&quick]), (SERVING_PER_PEER_MAX, 20));
        serving.peer_closed(slow);
        assert_eq!(serving.on_the_way, 0);
    }

    #[test]
    fn what_is_unwanted_is_not_sent_and_too_many_wishes_are_an_error() {
        let mut serving = Serving::default();
        serving.peer_opened(PeerId(1));
        serving.want(PeerId(1), &cids(0..3)).unwrap();
        serving.unwant(PeerId(1), &cids(0..2));
        assert_eq!(serving.next_to_send(), Some((PeerId(1), cids(2..3)[0])));
        assert_eq!(serving.next_to_send(), None);
        assert_eq!(serving.want(PeerId(1), &cids(0..SERVE_QUEUE_MAX as u16 + 2)), Err(AsksTooMuch));
        assert!(serving.want(PeerId(9), &cids(0..3)).is_ok(), "a stranger's wish is nothing");
        assert_eq!(serving.next_to_send().map(|(peer, _)| peer), Some(PeerId(1)));
    }
}
