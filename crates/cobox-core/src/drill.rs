//! Rehearsing a restore from a seeder: how many files are tried, which of those that were drawn fit in, and when the next one is due.
//!
//! What must hold: a rehearsal stays small however large the folder is; a clock that is set puts none off for good.

use cobox_proto::id::{FolderId, SigKey};

/// One file in so many is restored, ...
const ONE_IN: u64 = 100;
/// ... so many at least, or all there are, ...
const FILES_MIN: u64 = 5;
/// ... and so many at most: each may need a record node of its own, some ten KiB.
const FILES_MAX: u64 = 500;
/// Bytes of content that are restored at a time.
pub const DRILL_BYTES_MAX: u64 = 64 << 20;
/// If not one of the files fits in that, the smallest is restored all the same, up to so many bytes.
pub const DRILL_FILE_BYTES_MAX: u64 = 1 << 30;

const DAY_MS: u64 = 24 * 3600 * 1000;
/// The first one comes within so many days of the first look, however rare they are.
const FIRST_DAYS: u64 = 7;

/// Of how many of a state's items the files are drawn.
pub fn drawn_of(items: u64) -> u64 {
    items.div_ceil(ONE_IN).clamp(FILES_MIN, FILES_MAX).min(items)
}

/// Which of the drawn files are restored, given their sizes in the order in which they were drawn.
pub fn that_fit(sizes: &[u64]) -> Vec<usize> {
    let mut bytes = 0u64;
    let mut fits = |size: &u64| {
        let with = bytes.saturating_add(*size);
        let fits = with <= DRILL_BYTES_MAX;
        bytes = if fits { with } else { bytes };
        fits
    };
    let all: Vec<usize> = (0..sizes.len()).filter(|at| fits(&sizes[*at])).collect();
    if !all.is_empty() {
        return all;
    }
    let smallest = (0..sizes.len()).min_by_key(|at| sizes[*at]);
    smallest.filter(|at| sizes[*at] <= DRILL_FILE_BYTES_MAX).into_iter().collect()
}

/// How the last rehearsal with a seeder ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastDrill {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Whether everything came back as it was.
    pub passed: bool,
}

/// Whose rehearsals are spread over time, so that not all of them are due at one moment.
#[derive(Debug, Clone, Copy)]
pub struct DrillOf {
    /// The folder.
    pub folder: FolderId,
    /// The seeder.
    pub seeder: SigKey,
    /// This device.
    pub device: SigKey,
}

impl DrillOf {
    /// When the next rehearsal is due, milliseconds since 1970; `None`: never. `since_ms` is when this was asked for the first time.
    ///
    /// The first is due within a week; then one every so many days, up to a tenth earlier; a day later what failed is tried again. A time
    /// that has not come yet is one of a clock that was wrong, and counts as now.
    pub fn due_ms(&self, every_days: u32, since_ms: u64, last: Option<LastDrill>, now_ms: u64) -> Option<u64> {
        let every_days = u64::from(every_days);
        if every_days == 0 {
            return None;
        }
        let since = |at_ms: u64| at_ms.min(now_ms);
        Some(match last {
            None => since(since_ms) + self.part_of(every_days.min(FIRST_DAYS) * DAY_MS),
            Some(LastDrill { at_ms, passed: true }) => {
                since(at_ms) + every_days * DAY_MS - self.part_of(every_days * DAY_MS / 10)
            }
            Some(LastDrill { at_ms, passed: false }) => since(at_ms) + DAY_MS,
        })
    }

    /// Always the same part of a stretch of time.
    fn part_of(&self, stretch_ms: u64) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"drill").update(&self.folder.0).update(&self.seeder.0).update(&self.device.0);
        let mut chance = [0; 8];
        hasher.finalize_xof().fill(&mut chance);
        u64::from_le_bytes(chance) % stretch_ms.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_000 * DAY_MS;

    fn of(n: u8) -> DrillOf {
        DrillOf { folder: FolderId([1; 32]), seeder: SigKey([n; 32]), device: SigKey([3; 32]) }
    }

    #[test]
    fn a5_one_file_in_a_hundred_is_drawn_at_least_five_and_at_most_five_hundred() {
        for (items, drawn) in
            [(0, 0), (1, 1), (4, 4), (5, 5), (500, 5), (501, 6), (10_000, 100), (1_000_000, 500), (u64::MAX, 500)]
        {
            assert_eq!(drawn_of(items), drawn, "of {items}");
        }
    }

    #[test]
    fn a5_what_is_restored_is_bounded_and_one_large_file_is_tried_all_the_same() {
        let (max, one) = (DRILL_BYTES_MAX, DRILL_FILE_BYTES_MAX);
        assert_eq!(that_fit(&[]), []);
        assert_eq!(that_fit(&[0, max, 1, 0]), [0, 1, 3], "what does not fit in any more is left out");
        assert_eq!(that_fit(&[max + 1, 7, u64::MAX, max]), [1]);
        assert_eq!(that_fit(&[max + 3, max + 1, max + 2]), [1], "the smallest");
        assert_eq!(that_fit(&[one]), [0]);
        assert!(that_fit(&[one + 1, u64::MAX]).is_empty());
    }

    #[test]
    fn a5_one_is_due_every_month_a_day_after_one_that_failed_and_never_if_so_set() {
        let due = |last| of(1).due_ms(30, NOW_MS, last, NOW_MS);
        let first = due(None).unwrap();
        assert!((NOW_MS..NOW_MS + 7 * DAY_MS).contains(&first));
        let next = due(Some(LastDrill { at_ms: NOW_MS, passed: true })).unwrap();
        assert!((NOW_MS + 27 * DAY_MS..=NOW_MS + 30 * DAY_MS).contains(&next));
        assert_eq!(due(Some(LastDrill { at_ms: NOW_MS, passed: false })), Some(NOW_MS + DAY_MS));
        assert_eq!(of(1).due_ms(0, 0, None, NOW_MS), None);
        assert!(of(1).due_ms(1, NOW_MS, None, NOW_MS).unwrap() < NOW_MS + DAY_MS);
        let all: std::collections::BTreeSet<_> = (0..50).map(|n| of(n).due_ms(30, NOW_MS, None, NOW_MS)).collect();
        assert!(all.len() > 40, "not all of them at one moment");
    }

    #[test]
    fn t2_a_clock_that_was_ten_years_ahead_puts_none_off() {
        let then_ms = NOW_MS + 3650 * DAY_MS;
        for last in [None, Some(true), Some(false)] {
            let last = last.map(|passed| LastDrill { at_ms: then_ms, passed });
            assert!(of(1).due_ms(30, then_ms, last, NOW_MS).unwrap() <= NOW_MS + 30 * DAY_MS);
        }
    }
}
