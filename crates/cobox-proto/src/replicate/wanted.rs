//! Which blocks are wanted, who is asked for which, and what happens when nobody answers. Knows names and times, no bytes and
//! no trees.
//!
//! Must hold: a block is asked for only while it is wanted; nobody is asked for more than its window; whoever falls silent loses
//! what it was asked for to others and is tried again later; who said a block is gone is not asked for it again before it has
//! news.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::id::Cid;
use crate::limits::WANT_CIDS_MAX;
use crate::replicate::PeerId;

/// Blocks asked of a peer we know nothing about.
const WINDOW_START: usize = 16;
/// Blocks asked of the best of peers.
const WINDOW_MAX: usize = 256;
/// Bytes asked of one peer, by the average of what it sent.
const WINDOW_BYTES: u64 = 32 << 20;
/// Silence after which others are asked.
pub const BLOCK_TIMEOUT_MS: u64 = 15_000;
/// The longest pause before a silent peer is tried again.
const PAUSE_MAX_MS: u64 = 300_000;
/// After this time a block that nobody present has is asked for again.
pub const STRANDED_RETRY_MS: u64 = 60_000;
/// At the end, idle peers are asked for blocks that others owe us this long.
const ENDGAME_AFTER_MS: u64 = 2_000;
/// The end: so many blocks are left.
const ENDGAME_BLOCKS: usize = 16;

/// How urgent a block is; the smaller goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody waits for this file.
    Now,
    /// Nodes of a tree: what else to want is read from them.
    Tree,
    /// New contents.
    Recent,
    /// All the rest.
    Bulk,
}

#[derive(Debug)]
struct Want {
    priority: Priority,
    order: u64,
    asked: BTreeMap<PeerId, u64>,
    gone: BTreeSet<PeerId>,
}

#[derive(Debug)]
struct Source {
    asked: BTreeSet<Cid>,
    window: usize,
    blocks: u64,
    bytes: u64,
    /// When it last sent something, or was first asked after being idle.
    alive_ms: u64,
    strikes: u32,
    paused_until_ms: u64,
}

impl Source {
    fn room(&self, now_ms: u64) -> usize {
        if now_ms < self.paused_until_ms {
            return 0;
        }
        let by_bytes = match self.bytes.checked_div(self.blocks) {
            Some(average) => (WINDOW_BYTES / average.max(1)).max(1) as usize,
            None => WINDOW_MAX,
        };
        self.window.min(by_bytes).saturating_sub(self.asked.len())
    }
}

/// What is to be said to peers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// Ask for these.
    pub want: BTreeMap<PeerId, Vec<Cid>>,
    /// Ask no longer for these.
    pub unwant: BTreeMap<PeerId, Vec<Cid>>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Wanted {
    wants: BTreeMap<Cid, Want>,
    /// Wanted, and nobody is asked.
    queue: BTreeSet<(Priority, u64, Cid)>,
    /// Wanted, and everybody present said it is gone.
    stranded: BTreeSet<Cid>,
    retry_stranded_ms: u64,
    sources: BTreeMap<PeerId, Source>,
    next_order: u64,
}

impl Wanted {
    /// Whether the block is wanted.
    pub fn wants(&self, cid: &Cid) -> bool {
        self.wants.contains_key(cid)
    }
    /// How many are wanted.
    pub fn len(&self) -> usize {
        self.wants.len()
    }
    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }
    /// Blocks that nobody present has.
    pub fn stranded(&self) -> impl Iterator<Item = &Cid> {
        self.stranded.iter()
    }

    /// Wants a block; a wanted one may become more urgent, never less.
    pub fn want(&mut self, cid: Cid, priority: Priority) {
        if let Some(want) = self.wants.get_mut(&cid) {
            if priority < want.priority {
                let queued = self.queue.remove(&(want.priority, want.order, cid));
                want.priority = priority;
                if queued {
                    self.queue.insert((priority, want.order, cid));
                }
            }
            return;
        }
        let order = self.next_order;
        self.next_order += 1;
        self.wants.insert(cid, Want { priority, order, asked: BTreeMap::new(), gone: BTreeSet::new() });
        self.queue.insert((priority, order, cid));
    }

    /// Wants it no longer. Returns who is still asked for it.
    pub fn unwant(&mut self, cid: &Cid) -> Vec<PeerId> {
        let Some(want) = self.wants.remove(cid) else { return vec![] };
        self.queue.remove(&(want.priority, want.order, *cid));
        self.stranded.remove(cid);
        for peer in want.asked.keys() {
            if let Some(source) = self.sources.get_mut(peer) {
                source.asked.remove(cid);
            }
        }
        want.asked.into_keys().collect()
    }

    /// A peer that may be asked is here.
    pub fn peer_opened(&mut self, now_ms: u64, peer: PeerId) {
        let source = Source {
            asked: BTreeSet::new(),
            window: WINDOW_START,
            blocks: 0,
            bytes: 0,
            alive_ms: now_ms,
            strikes: 0,
            paused_until_ms: 0,
        };
        self.sources.insert(peer, source);
        self.unstrand();
    }

    /// A peer is gone; what it owed is asked of others.
    pub fn peer_closed(&mut self, peer: PeerId) {
        if let Some(source) = self.sources.remove(&peer) {
            for cid in source.asked {
                self.unasked(&cid, peer);
            }
        }
        for want in self.wants.values_mut() {
            want.gone.remove(&peer);
        }
    }

    /// A peer has new heads: it may have what it had not.
    pub fn peer_has_news(&mut self, peer: PeerId) {
        if !self.stranded.is_empty() && self.sources.contains_key(&peer) {
            for want in self.wants.values_mut() {
                want.gone.remove(&peer);
            }
            self.unstrand();
        }
    }

    /// A peer says that it has not this block.
    pub fn gone(&mut self, now_ms: u64, peer: PeerId, cid: &Cid) {
        let Some(source) = self.sources.get_mut(&peer) else { return };
        if !source.asked.remove(cid) {
            return;
        }
        source.alive_ms = now_ms;
        if let Some(want) = self.wants.get_mut(cid) {
            want.gone.insert(peer);
        }
        self.unasked(cid, peer);
    }

    /// Bytes of some block are arriving from this peer: it is slow at most.
    pub fn alive(&mut self, now_ms: u64, peer: PeerId) {
        if let Some(source) = self.sources.get_mut(&peer) {
            source.alive_ms = now_ms;
        }
    }

    /// A verified block came. `None` if it is not wanted: drop it. Else the others that need not send it any more.
    ///
    /// What is not wanted is no sign of life: who sends anything but what it was asked for loses its wants as the silent do.
    pub fn arrived(&mut self, now_ms: u64, peer: PeerId, cid: &Cid, bytes: u64) -> Option<Vec<PeerId>> {
        if !self.wants(cid) {
            return None;
        }
        if let Some(source) = self.sources.get_mut(&peer) {
            source.alive_ms = now_ms;
            source.strikes = 0;
            source.paused_until_ms = 0;
            source.blocks += 1;
            source.bytes = source.bytes.saturating_add(bytes);
            source.window = (source.window + 1).min(WINDOW_MAX);
        }
        let mut others = self.unwant(cid);
        others.retain(|other| *other != peer);
        Some(others)
    }

    /// Takes from the silent, gives to those with room. Call after every change and when [`Self::poll_timeout`] is due.
    pub fn assign(&mut self, now_ms: u64) -> Asks {
        let mut asks = Asks::default();
        if self.wants.is_empty() {
            // Nobody owes anything. Whose pause is over is found when something is wanted again.
            return asks;
        }
        self.time_out(now_ms, &mut asks);
        if !self.stranded.is_empty() && now_ms >= self.retry_stranded_ms {
            for cid in &self.stranded {
                if let Some(want) = self.wants.get_mut(cid) {
                    want.gone.clear();
                }
            }
            self.unstrand();
        }
        let mut room: usize = self.sources.values().map(|source| source.room(now_ms)).sum();
        // Far more than fits is never looked through: what has no source with room waits for the next call.
        let mut looked_at = 0;
        let mut next = self.queue.first().copied();
        while let Some(entry) = next.filter(|_| room > 0 && looked_at < 4 * WANT_CIDS_MAX) {
            looked_at += 1;
            next = self.queue.range((Bound::Excluded(entry), Bound::Unbounded)).next().copied();
            let cid = entry.2;
            let gone = &self.wants[&cid].gone;
            if self.sources.keys().all(|peer| gone.contains(peer)) {
                if self.stranded.is_empty() {
                    self.retry_stranded_ms = now_ms.saturating_add(STRANDED_RETRY_MS);
                }
                self.queue.remove(&entry);
                self.stranded.insert(cid);
            } else if let Some(peer) = self.pick(now_ms, &cid) {
                self.queue.remove(&entry);
                self.ask(now_ms, peer, cid, &mut asks);
                room -= 1;
            }
        }
        if self.queue.is_empty() {
            self.endgame(now_ms, &mut asks);
        }
        asks
    }

    /// When [`Self::assign`] should be called although nothing happened.
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.wants.is_empty() {
            return None;
        }
        let silent = self.sources.values().filter(|s| !s.asked.is_empty()).map(|s| s.alive_ms + BLOCK_TIMEOUT_MS);
        let paused = self.sources.values().filter(|s| s.paused_until_ms > 0 && !self.queue.is_empty());
        let paused = paused.map(|s| s.paused_until_ms);
        let stranded = (!self.stranded.is_empty() && !self.sources.is_empty()).then_some(self.retry_stranded_ms);
        let endgame = self
            .late()
            .filter(|(cid, _)| self.idle_for(cid).is_some())
            .map(|(_, asked)| asked + ENDGAME_AFTER_MS)
            .min();
        silent.chain(paused).chain(stranded).chain(endgame).min()
    }

    /// The clock was set back: what was due then is due as long from now (T2).
    pub fn clock_set_back(&mut self, by_ms: u64) {
        let back = |at_ms: &mut u64| *at_ms = at_ms.saturating_sub(by_ms);
        back(&mut self.retry_stranded_ms);
        self.wants.values_mut().flat_map(|want| want.asked.values_mut()).for_each(back);
        for source in self.sources.values_mut() {
            back(&mut source.alive_ms);
            back(&mut source.paused_until_ms);
        }
    }

    fn time_out(&mut self, now_ms: u64, asks: &mut Asks) {
        let mut lost = Vec::new();
        for (peer, source) in &mut self.sources {
            if now_ms >= source.paused_until_ms {
                source.paused_until_ms = 0;
            }
            if !source.asked.is_empty() && now_ms >= source.alive_ms.saturating_add(BLOCK_TIMEOUT_MS) {
                source.strikes = (source.strikes + 1).min(16);
                let pause = (BLOCK_TIMEOUT_MS << (source.strikes - 1)).min(PAUSE_MAX_MS);
                source.paused_until_ms = now_ms.saturating_add(pause);
                source.window = 1;
                let cids: Vec<Cid> = std::mem::take(&mut source.asked).into_iter().collect();
                lost.extend(cids.iter().map(|cid| (*cid, *peer)));
                asks.unwant.insert(*peer, cids);
            }
        }
        for (cid, peer) in lost {
            self.unasked(&cid, peer);
        }
    }

    /// Of those with room that may have it, the one with most room.
    fn pick(&self, now_ms: u64, cid: &Cid) -> Option<PeerId> {
        let want = &self.wants[cid];
        let able = self.sources.iter().filter(|(peer, _)| !want.gone.contains(peer) && !want.asked.contains_key(peer));
        let able = able.map(|(peer, source)| (source.room(now_ms), *peer)).filter(|(room, _)| *room > 0);
        able.max_by_key(|(room, peer)| (*room, std::cmp::Reverse(*peer))).map(|(_, peer)| peer)
    }

    fn ask(&mut self, now_ms: u64, peer: PeerId, cid: Cid, asks: &mut Asks) {
        if let (Some(source), Some(want)) = (self.sources.get_mut(&peer), self.wants.get_mut(&cid)) {
            if source.asked.is_empty() {
                source.alive_ms = now_ms;
            }
            source.asked.insert(cid);
            want.asked.insert(peer, now_ms);
            asks.want.entry(peer).or_default().push(cid);
        }
    }

    /// The blocks that are left at the end and that one peer alone owes, with the time it was asked.
    fn late(&self) -> impl Iterator<Item = (Cid, u64)> {
        let ending = self.queue.is_empty() && self.wants.len() - self.stranded.len() <= ENDGAME_BLOCKS;
        let owed = ending.then(|| self.sources.values().flat_map(|source| &source.asked)).into_iter().flatten();
        owed.filter_map(|cid| {
            let asked = &self.wants[cid].asked;
            (asked.len() == 1).then(|| asked.values().next().map(|at| (*cid, *at))).flatten()
        })
    }

    /// A source with nothing to do that may have the block.
    fn idle_for(&self, cid: &Cid) -> Option<PeerId> {
        let want = &self.wants[cid];
        let idle = |source: &Source| source.paused_until_ms == 0 && source.asked.is_empty();
        let mut able = self.sources.iter().filter(|(peer, source)| idle(source) && !want.gone.contains(peer));
        able.next().map(|(peer, _)| *peer)
    }

    fn endgame(&mut self, now_ms: u64, asks: &mut Asks) {
        let late: Vec<Cid> = self
            .late()
            .filter(|(_, asked)| now_ms >= asked.saturating_add(ENDGAME_AFTER_MS))
            .map(|(cid, _)| cid)
            .collect();
        for cid in late {
            if let Some(peer) = self.idle_for(&cid) {
                self.ask(now_ms, peer, cid, asks);
            }
        }
    }

    fn unasked(&mut self, cid: &Cid, peer: PeerId) {
        if let Some(want) = self.wants.get_mut(cid) {
            want.asked.remove(&peer);
            if want.asked.is_empty() {
                self.queue.insert((want.priority, want.order, *cid));
            }
        }
    }

    fn unstrand(&mut self) {
        for cid in std::mem::take(&mut self.stranded) {
            if let Some(want) = self.wants.get(&cid) {
                self.queue.insert((want.priority, want.order, cid));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: PeerId = PeerId(1);
    const BEN: PeerId = PeerId(2);

    fn cid(n: u8) -> Cid {
        Cid([n; 32])
    }

    fn asked(asks: &Asks, peer: PeerId) -> Vec<Cid> {
        asks.want.get(&peer).cloned().unwrap_or_default()
    }

    fn of(count: u8, peers: &[PeerId]) -> Wanted {
        let mut wanted = Wanted::default();
        for peer in peers {
            wanted.peer_opened(0, *peer);
        }
        for n in 0..count {
            wanted.want(cid(n), Priority::Bulk);
        }
        wanted
    }

    #[test]
    fn blocks_are_spread_over_the_holders_and_urgent_ones_go_first() {
        let mut wanted = of(40, &[ANNA, BEN]);
        wanted.want(cid(99), Priority::Now);
        let asks = wanted.assign(0);
        assert_eq!((asked(&asks, ANNA).len(), asked(&asks, BEN).len()), (WINDOW_START, WINDOW_START));
        assert_eq!(asked(&asks, ANNA)[0], cid(99));
        assert_eq!(wanted.assign(0), Asks::default(), "the windows are full");
        wanted.arrived(1, ANNA, &cid(99), 100).unwrap();
        assert_eq!(asked(&wanted.assign(1), ANNA).len(), 2, "a window grows with what comes");
    }

    #[test]
    fn n9_who_hangs_loses_its_wants_to_others_and_is_tried_again_later() {
        let mut wanted = of(4, &[ANNA, BEN]);
        let first = wanted.assign(0);
        for cid in asked(&first, BEN) {
            wanted.arrived(10, BEN, &cid, 100).unwrap();
        }
        let due = wanted.poll_timeout().unwrap();
        assert!(due <= BLOCK_TIMEOUT_MS, "a timeout is always armed");
        let asks = wanted.assign(BLOCK_TIMEOUT_MS);
        assert_eq!(asks.unwant[&ANNA], asked(&first, ANNA));
        assert_eq!(asked(&asks, BEN), asked(&first, ANNA));
        assert_eq!(asked(&asks, ANNA), []);
        // Alone, the slow one is asked again once its pause is over, one block at a time; a late block still counts.
        wanted.peer_closed(BEN);
        assert_eq!(wanted.assign(BLOCK_TIMEOUT_MS + 1), Asks::default());
        let later = wanted.poll_timeout().unwrap();
        assert_eq!(asked(&wanted.assign(later), ANNA).len(), 1);
        let late = wanted.wants.keys().next().copied().unwrap();
        assert_eq!(wanted.arrived(later, ANNA, &late, 100), Some(vec![]));
    }

    #[test]
    fn a4_who_sends_other_blocks_keeps_nothing_from_those_who_have_them() {
        let mut wanted = of(40, &[ANNA, BEN]);
        let first = wanted.assign(0);
        let owed = asked(&first, ANNA);
        assert_eq!(owed.len(), WINDOW_START);
        let (mut now_ms, mut lies) = (0, 0u32);
        let mut from_ben: BTreeSet<Cid> = asked(&first, BEN).into_iter().collect();
        // Anna sends something every second, and none of it is what she was asked for.
        while !wanted.is_empty() {
            now_ms += 1000;
            assert!(now_ms <= 2 * BLOCK_TIMEOUT_MS, "{} are kept back", wanted.len());
            lies += 1;
            let lie = Cid([&[0xff; 28][..], &lies.to_be_bytes()].concat().try_into().unwrap());
            assert_eq!(wanted.arrived(now_ms, ANNA, &lie, 100), None);
            for cid in std::mem::take(&mut from_ben) {
                wanted.arrived(now_ms, BEN, &cid, 100);
            }
            from_ben.extend(asked(&wanted.assign(now_ms), BEN));
        }
        // When more is wanted, she is asked for no more than she was at first.
        (50..200).for_each(|n| wanted.want(cid(n), Priority::Bulk));
        let again = wanted.assign(now_ms + PAUSE_MAX_MS);
        assert!(asked(&again, ANNA).len() <= 1 && asked(&again, BEN).len() > WINDOW_START);
    }

    #[test]
    fn t2_who_hangs_loses_its_wants_in_time_although_the_clock_was_set_back_by_a_year() {
        const YEAR_MS: u64 = 365 * 86_400_000;
        let mut wanted = of(4, &[ANNA]);
        let first = asked(&wanted.assign(YEAR_MS), ANNA);
        wanted.clock_set_back(YEAR_MS);
        wanted.peer_opened(0, BEN);
        let due = wanted.poll_timeout().unwrap();
        assert!(due <= BLOCK_TIMEOUT_MS, "it is due in {due} ms");
        let mut asks = wanted.assign(BLOCK_TIMEOUT_MS);
        assert_eq!(asks.unwant.remove(&ANNA), Some(first));
        // ... and who was told to pause until a far date is asked again.
        let mut paused = of(1, &[ANNA]);
        paused.assign(YEAR_MS);
        paused.assign(YEAR_MS + BLOCK_TIMEOUT_MS);
        paused.clock_set_back(YEAR_MS);
        let later = paused.poll_timeout().unwrap();
        assert!(later <= 2 * BLOCK_TIMEOUT_MS, "it is due in {later} ms");
        assert_eq!(asked(&paused.assign(later), ANNA).len(), 1);
    }

    #[test]
    fn a_large_block_on_a_slow_line_is_not_taken_for_silence() {
        let mut wanted = of(1, &[ANNA]);
        wanted.assign(0);
        for second in 1..100 {
            wanted.alive(second * 1000, ANNA);
            assert_eq!(wanted.assign(second * 1000), Asks::default());
        }
    }

    #[test]
    fn gone_sends_us_to_the_next_holder_and_news_let_us_ask_again() {
        let mut wanted = of(1, &[ANNA, BEN]);
        assert_eq!(asked(&wanted.assign(0), ANNA), [cid(0)]);
        wanted.gone(0, ANNA, &cid(0));
        assert_eq!(asked(&wanted.assign(0), BEN), [cid(0)]);
        wanted.gone(0, BEN, &cid(0));
        assert_eq!(wanted.assign(0), Asks::default());
        assert_eq!(wanted.stranded().count(), 1);
        wanted.peer_has_news(ANNA);
        assert_eq!(asked(&wanted.assign(0), ANNA), [cid(0)]);
        wanted.gone(0, ANNA, &cid(0));
        wanted.assign(0);
        let retry = wanted.poll_timeout().unwrap();
        assert_eq!(wanted.assign(retry).want.len(), 1, "after a while somebody is asked again anyway");
    }

    #[test]
    fn the_last_blocks_are_asked_of_two_and_the_slower_is_told_to_stop() {
        let mut wanted = of(1, &[ANNA, BEN]);
        assert_eq!(asked(&wanted.assign(0), ANNA), [cid(0)]);
        assert_eq!(wanted.poll_timeout(), Some(ENDGAME_AFTER_MS));
        assert_eq!(asked(&wanted.assign(ENDGAME_AFTER_MS), BEN), [cid(0)]);
        assert_eq!(wanted.arrived(ENDGAME_AFTER_MS, BEN, &cid(0), 5), Some(vec![ANNA]));
        assert_eq!(wanted.arrived(ENDGAME_AFTER_MS, ANNA, &cid(0), 5), None, "the second copy is dropped");
    }

    #[test]
    fn n2_what_a_lost_peer_owed_is_asked_of_others() {
        let mut wanted = of(8, &[ANNA]);
        wanted.assign(0);
        wanted.peer_closed(ANNA);
        assert_eq!(wanted.poll_timeout(), None);
        wanted.peer_opened(5, BEN);
        assert_eq!(asked(&wanted.assign(5), BEN).len(), 8);
        assert_eq!(wanted.unwant(&cid(3)), [BEN]);
        assert!(!wanted.wants(&cid(3)));
    }
}
