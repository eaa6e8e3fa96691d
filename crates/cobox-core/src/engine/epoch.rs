//! What a new epoch means here: everything that is written from then on is sealed under it, and all metadata once more, so that who was
//! sent away reads no names either, whoever helps them.
//!
//! What must hold: nothing is published under an epoch that may not be written under; a person's edit that can not be published yet is
//! not lost and not taken back; a stop in between is made good at the next start, for the tree says what it is sealed under.

use std::collections::BTreeSet;

use cobox_proto::id::{EpochTag, HeadId};

use super::io::Standing;
use super::scan::{Finding, Found};
use super::{Engine, Output};
use crate::state::{Content, Touched};

impl Engine {
    /// The epoch to write under, if its secret is here.
    pub(super) fn epoch_in_use(&self) -> Option<EpochTag> {
        self.standing.epoch.filter(|epoch| self.keys.has_epoch(epoch))
    }

    /// Whether heads of this device would be taken now.
    pub(super) fn may_publish(&self) -> bool {
        self.standing.can_write && self.epoch_in_use().is_some()
    }

    pub(super) fn standing_changed(&mut self, now_ms: u64, standing: Standing) {
        let could = self.may_publish();
        self.standing = standing;
        self.take_up_epoch();
        if self.standing.can_write {
            self.edits_here.clear();
        }
        if self.may_publish() && !could {
            // What was changed here before is published now.
            self.out.push_back(Output::Rescan(Vec::new()));
        }
        self.publish_merge_soon(now_ms);
    }

    /// Seals the whole tree under the epoch in use if it is sealed under another one. All members do so and come to the same blocks;
    /// the first head that says so spares the others theirs. Contents stay as they are: who was sent away had them.
    pub(super) fn take_up_epoch(&mut self) {
        if self.epoch_in_use().is_none_or(|epoch| epoch == self.tree.epoch()) {
            return;
        }
        self.settle_state(&Touched::new());
        self.note_published();
        self.remember(BTreeSet::new());
    }

    /// Whether a look came too early: there is no epoch to publish under what it found, or that was sealed while the epoch changed. Then
    /// nothing is concluded, and the same places are looked at again.
    pub(super) fn must_wait_for_epoch(&mut self, finding: &Finding) -> bool {
        if !self.standing.can_write {
            return false;
        }
        // Once there is one, everything is looked at: see `standing_changed`.
        let Some(epoch) = self.epoch_in_use() else { return !finding.is_empty() };
        let too_early = |found: &Found| match found {
            Found::Leaf(_, _, body) => match &body.content {
                Content::Inline(_) => false,
                Content::Refs(refs) => refs.iter().any(|chunk| chunk.epoch != epoch),
                Content::Manifest(manifest) => manifest.oldest_epoch != epoch,
            },
            Found::Dir(_) | Found::Same(_) => false,
        };
        let waits = finding.found.values().any(too_early);
        if waits {
            self.out.push_back(Output::Rescan(finding.places()));
        }
        waits
    }

    /// A head of a removed device. One that was joined before its removal was known was seen to come first, so it stays, and the next head
    /// of this device says so to everybody; any other is not joined, unless it counts again.
    pub(super) fn quarantined(&mut self, now_ms: u64, head: HeadId) {
        if !self.merging.past().contains(&head) {
            self.merging.wait_no_more(&head);
            self.go_on(now_ms);
        } else if self.standing.can_write {
            self.own.vouches_for.insert(head);
            self.publish_merge_soon(now_ms);
        }
    }
}
