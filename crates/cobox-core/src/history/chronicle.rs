//! The heads of a folder in the order of time.
//!
//! A head says itself when it was written, and devices' clocks go wrong or lie (T1, T3). So its time is put right by what can not be
//! wrong: a head is not older than what it rests on, and not younger than the moment it came here or a seeder signed for it.

use std::collections::BTreeMap;

use cobox_proto::head::{Head, SignedHead};
use cobox_proto::id::HeadId;

use crate::engine::HeadNote;
use crate::keys::FolderKeys;

/// A head, and when it was there at the latest.
#[derive(Debug, Clone)]
pub struct Told {
    /// The head.
    pub head: SignedHead,
    /// When it came here, or when a seeder signed that it has it, milliseconds since 1970; the earliest that is known.
    pub there_ms: Option<u64>,
}

#[derive(Debug, Clone)]
struct Moment {
    head: SignedHead,
    at_ms: u64,
    /// Longest way from a head without known parents: orders those of one millisecond.
    depth: u64,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Chronicle {
    moments: BTreeMap<HeadId, Moment>,
    /// Newest first; whatever a head rests on comes after it.
    order: Vec<HeadId>,
}

impl Chronicle {
    /// Of these heads. What they rest on and is not among them is not known.
    pub fn new(told: Vec<Told>) -> Self {
        let mut left: BTreeMap<HeadId, Told> = told.into_iter().map(|told| (told.head.id(), told)).collect();
        let mut moments: BTreeMap<HeadId, Moment> = BTreeMap::new();
        let mut stack: Vec<HeadId> = left.keys().copied().collect();
        while let Some(id) = stack.last().copied() {
            let Some(told) = left.get(&id) else {
                stack.pop();
                continue;
            };
            let first: Vec<HeadId> = told.head.head().parents().filter(|parent| left.contains_key(parent)).collect();
            // Heads name each other by hash, so there is no way round in a circle.
            if !first.is_empty() {
                stack.extend(first);
                continue;
            }
            stack.pop();
            let Some(Told { head, there_ms }) = left.remove(&id) else { continue };
            let parents = || head.head().parents().filter_map(|parent| moments.get(&parent));
            let (after_ms, depth) =
                parents().fold((0, 0), |(at, depth), parent| (parent.at_ms.max(at), (parent.depth + 1).max(depth)));
            let at_ms = head.head().claimed_time_ms.min(there_ms.unwrap_or(u64::MAX)).max(after_ms);
            moments.insert(id, Moment { head, at_ms, depth });
        }
        let mut order: Vec<HeadId> = moments.keys().copied().collect();
        order.sort_by_key(|id| std::cmp::Reverse((moments[id].at_ms, moments[id].depth, *id)));
        Self { moments, order }
    }

    /// All heads, newest first.
    pub fn newest_first(&self) -> &[HeadId] {
        &self.order
    }

    /// A head.
    pub fn head(&self, id: &HeadId) -> Option<&Head> {
        self.moments.get(id).map(|moment| moment.head.head())
    }

    /// When it was written, as far as that can be told; milliseconds since 1970.
    pub fn at_ms(&self, id: &HeadId) -> Option<u64> {
        self.moments.get(id).map(|moment| moment.at_ms)
    }

    /// What it rests on, as far as it is known.
    pub fn parents(&self, id: &HeadId) -> Vec<HeadId> {
        let known = |parent: &HeadId| self.moments.contains_key(parent);
        self.head(id).map(|head| head.parents().filter(known).collect()).unwrap_or_default()
    }

    /// Whether the head says something that none before it said. Heads that only join others say nothing.
    pub fn wrote(&self, id: &HeadId, keys: &FolderKeys) -> bool {
        let counter = |id: &HeadId| HeadNote::open(keys, &self.moments.get(id)?.head).map(|note| note.counter);
        let before = self.head(id).and_then(|head| head.prev).and_then(|prev| counter(&prev)).unwrap_or(0);
        // One that can not be read is looked at.
        counter(id).is_none_or(|now| now > before)
    }

    /// The heads that stood at this time: whatever else was there they rest on. Newest first; empty before the first.
    pub fn standing_at(&self, time_ms: u64) -> Vec<HeadId> {
        let there = |id: &&HeadId| self.moments[*id].at_ms <= time_ms;
        let mut below: std::collections::BTreeSet<HeadId> = std::collections::BTreeSet::new();
        let mut standing = Vec::new();
        for id in self.order.iter().filter(there) {
            if !below.contains(id) {
                standing.push(*id);
            }
            below.extend(self.parents(id));
        }
        standing
    }
}
