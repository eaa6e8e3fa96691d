//! What a host lets go of before its time, because an owner of the folder said so: which blocks, beneath which states, and from when on.
//!
//! Must hold: nothing counts before it stood in sight of all for days, by the host's own clock, however the policy changed meanwhile; what
//! was taken back before counts for nothing, and what counts is not taken back, because its blocks may be gone; of a state that no
//! statement names, and of the newest ones, nothing is let go. So whoever takes over an owner's computer removes neither what is there
//! now nor, for days, what was.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::hosting::agreed::SHORTER_AFTER_MS;
use crate::id::{Cid, HeadId, HeadTag, OpId};
use crate::limits::LOG_OPS_MAX;
use crate::members::{Log, OpBody, Policy};

const DAY_MS: u64 = 24 * 3_600_000;

/// How long a statement has to stand in sight before it counts: as long as the policy says, and never less than for any other wish that
/// shortens history.
pub fn forget_after_ms(policy: &Policy) -> u64 {
    (u64::from(policy.delay_days) * DAY_MS).max(SHORTER_AFTER_MS)
}

/// One statement, as it was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heard {
    since_ms: u64,
    /// The longest that the policy said since.
    delay_ms: u64,
    /// It stood long enough.
    counts: bool,
}

impl Canonical for Heard {
    fn encode(&self, w: &mut Writer) {
        w.varint(self.since_ms).varint(self.delay_ms).bool(self.counts);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { since_ms: r.varint()?, delay_ms: r.varint()?, counts: r.bool("whether a forget counts")? })
    }
}

/// The statements somebody heard, and since when. For a host, and for a member that lets go of its own copies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgetting {
    heard: BTreeMap<OpId, Heard>,
}

impl Forgetting {
    /// These statements stand now. True if something changed that is to be kept.
    pub fn hear(&mut self, now_ms: u64, standing: &BTreeSet<OpId>, policy: &Policy) -> bool {
        let before = self.clone();
        self.heard.retain(|op, heard| heard.counts || standing.contains(op));
        let delay_ms = forget_after_ms(policy);
        for op in standing {
            let heard = self.heard.entry(*op).or_insert(Heard { since_ms: now_ms, delay_ms, counts: false });
            if !heard.counts {
                heard.since_ms = heard.since_ms.min(now_ms);
                heard.delay_ms = heard.delay_ms.max(delay_ms);
                heard.counts = now_ms - heard.since_ms >= heard.delay_ms;
            }
        }
        *self != before
    }

    /// Those that stood long enough.
    pub fn counting(&self) -> impl Iterator<Item = &OpId> {
        self.heard.iter().filter(|(_, heard)| heard.counts).map(|(op, _)| op)
    }

    /// Whether a statement stood long enough.
    pub fn counts(&self, op: &OpId) -> bool {
        self.heard.get(op).is_some_and(|heard| heard.counts)
    }

    /// When a statement counts, by the clock that heard it.
    pub fn counts_at_ms(&self, op: &OpId) -> Option<u64> {
        self.heard.get(op).map(|heard| heard.since_ms.saturating_add(heard.delay_ms))
    }
}

impl Canonical for Forgetting {
    fn encode(&self, w: &mut Writer) {
        w.varint(self.heard.len() as u64);
        for (op, heard) in &self.heard {
            w.put(op).put(heard);
        }
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = r.varint()?;
        if count > LOG_OPS_MAX as u64 {
            return Err(DecodeError::TooLarge { what: "forgets", found: count, limit: LOG_OPS_MAX as u64 });
        }
        let mut heard = BTreeMap::new();
        for _ in 0..count {
            let (op, one): (OpId, Heard) = (r.get()?, r.get()?);
            if heard.last_key_value().is_some_and(|(last, _)| *last >= op) {
                return Err(DecodeError::NotCanonical { what: "forgets" });
            }
            heard.insert(op, one);
        }
        Ok(Self { heard })
    }
}

/// Which blocks may be missing beneath which heads. Takes no more memory than the statements themselves, however they overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetGo {
    /// Which statements name each block; also those on heads that are gone.
    named: BTreeMap<Cid, Vec<usize>>,
    /// Heads that the same statements are about share a group.
    of: BTreeMap<HeadId, usize>,
    /// The statements of each group, in order.
    groups: Vec<Vec<usize>>,
}

/// What may be missing beneath one head.
#[derive(Debug, Clone, Copy)]
pub struct Beneath<'l> {
    named: &'l BTreeMap<Cid, Vec<usize>>,
    by: &'l [usize],
}

impl Beneath<'_> {
    /// Whether this block may.
    pub fn contains(&self, cid: &Cid) -> bool {
        self.named.get(cid).is_some_and(|by| by.iter().any(|statement| self.by.binary_search(statement).is_ok()))
    }
}

impl LetGo {
    /// What these statements say of these heads.
    pub fn new<'o>(log: &Log, statements: impl Iterator<Item = &'o OpId>, heads: impl Iterator<Item = HeadId>) -> Self {
        let mut let_go = Self::default();
        let mut by_state: BTreeMap<HeadTag, Vec<usize>> = BTreeMap::new();
        for (n, op) in statements.filter_map(|op| log.get(op)).enumerate() {
            let OpBody::Forget { states, blocks, .. } = &op.op().body else { continue };
            states.iter().for_each(|state| by_state.entry(*state).or_default().push(n));
            blocks.iter().for_each(|cid| let_go.named.entry(*cid).or_default().push(n));
        }
        let mut known: BTreeMap<&[usize], usize> = BTreeMap::new();
        for head in heads {
            let Some(by) = by_state.get(&head.tag()) else { continue };
            let group = *known.entry(by).or_insert_with(|| {
                let_go.groups.push(by.clone());
                let_go.groups.len() - 1
            });
            let_go.of.insert(head, group);
        }
        let_go
    }

    /// What may be missing beneath a head.
    pub fn beneath(&self, head: &HeadId) -> Beneath<'_> {
        let by = self.group(head).map_or(&[][..], |group| &self.groups[group]);
        Beneath { named: &self.named, by }
    }

    /// Which heads may lack the same: equal for equal sets; `None` for those that may lack nothing.
    pub(super) fn group(&self, head: &HeadId) -> Option<usize> {
        self.of.get(head).copied()
    }

    /// Whether a block may be missing beneath some head, or might beneath one that is gone: what stands above it there may be in the
    /// trash still, marked complete, and come out again.
    pub fn contains(&self, cid: &Cid) -> bool {
        self.named.contains_key(cid)
    }

    /// Whether nothing may be missing anywhere.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 20_000 * DAY_MS;
    const WEEK_MS: u64 = SHORTER_AFTER_MS;

    fn op(n: u8) -> OpId {
        OpId([n; 32])
    }

    fn policy(delay_days: u16) -> Policy {
        Policy { delay_days, ..Policy::default() }
    }

    #[test]
    fn a_statement_counts_after_the_delay_and_is_taken_back_before_it() {
        let mut forgetting = Forgetting::default();
        let both: BTreeSet<OpId> = [op(1), op(2)].into();
        assert!(forgetting.hear(START_MS, &both, &policy(7)));
        assert!(!forgetting.hear(START_MS + WEEK_MS - 1, &both, &policy(7)));
        assert_eq!(forgetting.counting().count(), 0);
        assert_eq!(forgetting.counts_at_ms(&op(1)), Some(START_MS + WEEK_MS));
        assert_eq!(
            Forgetting::from_bytes(&forgetting.to_bytes()).unwrap(),
            forgetting,
            "a restart does not begin anew"
        );
        // The second is taken back in time.
        forgetting.hear(START_MS + WEEK_MS, &[op(1)].into(), &policy(7));
        assert_eq!(forgetting.counting().collect::<Vec<_>>(), [&op(1)]);
        // The first is taken back too late; the second, said once more, begins anew.
        forgetting.hear(START_MS + WEEK_MS, &[op(2)].into(), &policy(7));
        forgetting.hear(START_MS + 2 * WEEK_MS - 1, &[op(2)].into(), &policy(7));
        assert_eq!(forgetting.counting().collect::<Vec<_>>(), [&op(1)]);
    }

    #[test]
    fn s5_no_policy_makes_the_delay_shorter_than_a_week_or_shorter_than_it_was() {
        let mut forgetting = Forgetting::default();
        let one: BTreeSet<OpId> = [op(1)].into();
        forgetting.hear(START_MS, &one, &policy(30));
        forgetting.hear(START_MS + WEEK_MS, &one, &policy(0));
        assert_eq!(forgetting.counting().count(), 0, "it was said under a longer one");
        forgetting.hear(START_MS + 30 * DAY_MS, &one, &policy(0));
        assert_eq!(forgetting.counting().count(), 1);
        assert_eq!(forget_after_ms(&policy(0)), WEEK_MS);
    }

    #[test]
    fn t2_a_clock_that_is_set_back_makes_the_delay_longer() {
        let mut forgetting = Forgetting::default();
        let one: BTreeSet<OpId> = [op(1)].into();
        forgetting.hear(START_MS, &one, &policy(7));
        forgetting.hear(START_MS - 100 * DAY_MS, &one, &policy(7));
        forgetting.hear(START_MS - 94 * DAY_MS, &one, &policy(7));
        assert_eq!(forgetting.counting().count(), 0);
    }

    #[test]
    fn i1_every_cut_of_what_was_kept_is_refused() {
        let mut forgetting = Forgetting::default();
        forgetting.hear(START_MS, &[op(1), op(2)].into(), &policy(7));
        let kept = forgetting.to_bytes();
        for cut in 0..kept.len() {
            assert!(Forgetting::from_bytes(&kept[..cut]).is_err(), "{cut}");
        }
        let mut swapped = kept.clone();
        swapped[1] = 3;
        assert!(Forgetting::from_bytes(&swapped).is_err(), "not in order");
    }
}
