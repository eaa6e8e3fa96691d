//! Bringing back lost blocks beneath states of which other blocks were let go. The plain way ([`Ingest`](super::Ingest)) wants all that is
//! beneath a root; here some of it must not be wanted again.
//!
//! Level by level: what is seen to be missing is asked for together, and when all of it came it is looked again. So a state is walked
//! once for each level of its tree, however many blocks come.

use std::collections::{BTreeMap, BTreeSet};

use crate::hosting::forgetting::Beneath;
use crate::hosting::shelf::{Shelf, missing_without};
use crate::id::{Cid, HeadId};

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Mending {
    missing: BTreeMap<HeadId, BTreeSet<Cid>>,
}

impl Mending {
    /// Whether the block is missing and needed.
    pub(super) fn wants(&self, cid: &Cid) -> bool {
        self.missing.values().any(|missing| missing.contains(cid))
    }

    /// All that is missing and needed, as far as it is known by name.
    pub(super) fn all(&self) -> BTreeSet<Cid> {
        self.missing.values().flatten().copied().collect()
    }

    /// Goes for exactly these heads: each with its root and what may be missing beneath it. Returns those that lack nothing.
    pub(super) fn retarget(&mut self, shelf: &dyn Shelf, heads: &BTreeMap<HeadId, (Cid, Beneath<'_>)>) -> Vec<HeadId> {
        self.missing.retain(|head, missing| heads.contains_key(head) && !missing.is_empty());
        let mut whole = Vec::new();
        for (head, (root, without)) in heads {
            if self.missing.contains_key(head) {
                continue;
            }
            let missing = missing_without(shelf, root, |cid| without.contains(cid));
            if missing.is_empty() {
                whole.push(*head);
            } else {
                self.missing.insert(*head, missing);
            }
        }
        whole
    }

    /// A block is on the shelf. True if it is time to look again.
    pub(super) fn stored(&mut self, cid: &Cid) -> bool {
        let mut is_time = false;
        for missing in self.missing.values_mut() {
            is_time |= missing.remove(cid) && missing.is_empty();
        }
        is_time
    }
}
