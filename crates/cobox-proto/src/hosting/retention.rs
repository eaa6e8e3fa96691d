//! Which complete heads a seeder keeps as time passes: all of the last hours, then the first and the last of each hour, day and
//! month of each device (rule R6). A pure function of receive times; what is newest is kept for other reasons, by the tenant.
//!
//! Must hold: a bucket stays or goes as one, so it does not matter how often, or how seldom, history is thinned.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{HeadId, SigKey};
use crate::members::Retention;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const MONTH_MS: u64 = 30 * DAY_MS;

/// A complete head in the eyes of retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aging {
    /// The head.
    pub head: HeadId,
    /// Whose: buckets are per device.
    pub device: SigKey,
    /// When it became complete here, by the seeder's clock, milliseconds since 1970.
    pub received_ms: u64,
}

/// How long a head stays that has just become complete, even if newer ones come (rule R7).
pub fn sure_until_ms(terms: &Retention, received_ms: u64) -> u64 {
    received_ms.saturating_add(u64::from(terms.all_hours).max(1).saturating_mul(HOUR_MS))
}

/// When a head that became complete then has gone by its age at the latest, whatever else came.
pub fn gone_by_ms(terms: &Retention, received_ms: u64) -> u64 {
    let end_ms = |(width_ms, term_ms): (u64, u64)| match term_ms {
        0 => 0,
        _ => (received_ms / width_ms).saturating_add(1).saturating_mul(width_ms).saturating_add(term_ms),
    };
    tiers(terms).into_iter().map(end_ms).max().unwrap_or(0).max(sure_until_ms(terms, received_ms))
}

/// Each with the width of its buckets and its term.
fn tiers(terms: &Retention) -> [(u64, u64); 3] {
    [
        (HOUR_MS, u64::from(terms.hourly_days) * DAY_MS),
        (DAY_MS, u64::from(terms.daily_days) * DAY_MS),
        (MONTH_MS, u64::from(terms.monthly_months) * MONTH_MS),
    ]
}

/// The heads that stay by their age. A clock that ran back makes heads look young, never old.
pub fn kept_by_age(heads: &[Aging], terms: &Retention, now_ms: u64) -> BTreeSet<HeadId> {
    let mut kept = BTreeSet::new();
    let mut buckets: BTreeMap<(SigKey, u64, u64), (&Aging, &Aging)> = BTreeMap::new();
    for aging in heads {
        if now_ms < sure_until_ms(terms, aging.received_ms) {
            kept.insert(aging.head);
        }
        for (width_ms, term_ms) in tiers(terms) {
            let number = aging.received_ms / width_ms;
            // Its first and its last go together, when no head of it can be within the term any more.
            let end_ms = number.saturating_add(1).saturating_mul(width_ms);
            if term_ms > 0 && now_ms < end_ms.saturating_add(term_ms) {
                let bucket = (aging.device, width_ms, number);
                let (first, last) = buckets.entry(bucket).or_insert((aging, aging));
                let order = |a: &Aging| (a.received_ms, a.head);
                if order(aging) < order(first) {
                    *first = aging;
                }
                if order(aging) > order(last) {
                    *last = aging;
                }
            }
        }
    }
    kept.extend(buckets.values().flat_map(|(first, last)| [first.head, last.head]));
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TERMS: Retention = Retention { all_hours: 1, hourly_days: 7, daily_days: 90, monthly_months: 0 };
    /// A time in bucket-friendly distance from 1970.
    const START_MS: u64 = 20_000 * DAY_MS;

    fn head(device: u8, n: u32, received_ms: u64) -> Aging {
        let mut id = [device; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        Aging { head: HeadId(id), device: SigKey([device; 32]), received_ms }
    }

    #[test]
    fn history_thins_to_two_an_hour_then_two_a_day_then_nothing() {
        let heads: Vec<Aging> =
            (0..48 * 60).map(|minute| head(1, minute, START_MS + u64::from(minute) * 60_000)).collect();
        let end = START_MS + 48 * HOUR_MS;
        let kept = |now| kept_by_age(&heads, &TERMS, now).len();
        assert_eq!(kept(end), 47 * 2 + 60, "the last hour whole, two for each of the others");
        assert_eq!(kept(end + 30 * DAY_MS), 4);
        assert_eq!(kept(end + 91 * DAY_MS), 0);
    }

    #[test]
    fn a_busy_device_does_not_push_out_a_quiet_one() {
        let mut heads: Vec<Aging> = (0..1000).map(|n| head(1, n, START_MS + u64::from(n))).collect();
        heads.push(head(2, 0, START_MS + 500));
        let kept = kept_by_age(&heads, &TERMS, START_MS + 30 * DAY_MS);
        assert_eq!(kept.len(), 3);
        assert!(kept.contains(&heads[1000].head));
    }

    #[test]
    fn t4_a_clock_that_ran_back_deletes_nothing() {
        let heads = [head(1, 0, START_MS), head(1, 1, START_MS + 1)];
        assert_eq!(kept_by_age(&heads, &TERMS, 5).len(), 2);
    }

    #[test]
    fn what_a_receipt_promises_is_kept() {
        for all_hours in [0, 1, 48] {
            let terms = Retention { all_hours, hourly_days: 0, daily_days: 0, monthly_months: 0 };
            let heads: Vec<Aging> = (0..10).map(|n| head(1, n, START_MS)).collect();
            let until = sure_until_ms(&terms, START_MS);
            assert!(until >= START_MS + HOUR_MS);
            assert_eq!(kept_by_age(&heads, &terms, until - 1).len(), 10);
            assert_eq!(kept_by_age(&heads, &terms, until).len(), 0);
        }
    }

    /// The rule as a person would say it.
    fn must_stay(of: &Aging, all: &[Aging], terms: &Retention, now_ms: u64) -> bool {
        let young = now_ms < of.received_ms + u64::from(terms.all_hours.max(1)) * HOUR_MS;
        let order = |aging: &Aging| (aging.received_ms, aging.head);
        let at_an_end_of = |width_ms: u64, term_ms: u64| {
            let bucket = of.received_ms / width_ms;
            let inside = all.iter().filter(|a| a.device == of.device && a.received_ms / width_ms == bucket);
            let (first, last) = (inside.clone().map(order).min(), inside.map(order).max());
            term_ms > 0
                && now_ms < (bucket + 1) * width_ms + term_ms
                && (first == Some(order(of)) || last == Some(order(of)))
        };
        young
            || at_an_end_of(HOUR_MS, u64::from(terms.hourly_days) * DAY_MS)
            || at_an_end_of(DAY_MS, u64::from(terms.daily_days) * DAY_MS)
            || at_an_end_of(MONTH_MS, u64::from(terms.monthly_months) * MONTH_MS)
    }

    fn some_terms() -> impl Strategy<Value = Retention> {
        let days = prop_oneof![Just(0u16), 1u16..10];
        (0u16..4, days.clone(), days, prop_oneof![3 => Just(0u16), 1 => 1u16..3]).prop_map(
            |(all_hours, hourly_days, daily_days, monthly_months)| Retention {
                all_hours,
                hourly_days,
                daily_days,
                monthly_months,
            },
        )
    }

    proptest! {
        #[test]
        fn what_stays_is_what_the_rule_says_however_often_history_is_thinned(
            pauses in prop::collection::vec((0u8..3, prop_oneof![0..600_000u64, 0..4 * HOUR_MS, 0..3 * DAY_MS]), 1..80),
            looks in prop::collection::vec(0..100 * DAY_MS, 1..6),
            terms in some_terms(),
        ) {
            let mut at = START_MS;
            let all: Vec<Aging> = pauses
                .iter()
                .enumerate()
                .map(|(n, (device, pause_ms))| {
                    at += pause_ms;
                    head(*device, n as u32, at)
                })
                .collect();
            let mut looks: Vec<u64> = looks.into_iter().map(|ms| START_MS + ms).collect();
            looks.sort();
            let mut left: Vec<Aging> = Vec::new();
            let mut known = 0;
            for now_ms in looks {
                let here = all.iter().filter(|a| a.received_ms <= now_ms).count();
                left.extend(&all[known..here]);
                known = here;
                let kept = kept_by_age(&left, &terms, now_ms);
                let gone = |aging: &&Aging| gone_by_ms(&terms, aging.received_ms) <= now_ms;
                prop_assert!(!left.iter().filter(gone).any(|aging| kept.contains(&aging.head)));
                left.retain(|aging| kept.contains(&aging.head));
                let expected: BTreeSet<HeadId> = all[..here]
                    .iter()
                    .filter(|aging| must_stay(aging, &all[..here], &terms, now_ms))
                    .map(|aging| aging.head)
                    .collect();
                prop_assert_eq!(&kept, &expected);
            }
        }
    }
}
