//! When which part of a folder's blocks is read again, to find what a disk has spoiled while nobody looked: all of it every thirty
//! days, a few megabytes at a time, evenly over the time that is left.
//!
//! Must hold: a step is small and steps are far enough apart to be felt by nobody; a restart loses one step at most.

use cobox_store::CheckMark;

/// Read in one go.
pub(super) const STEP_BYTES: u64 = 8 << 20;
/// Everything is read once in so long.
const PASS_MS: u64 = 30 * 24 * 3_600_000;
/// Between two steps, even if the seeder was off for most of the time.
const PAUSE_MS_MIN: u64 = 1_000;

/// How far it has come. Times are milliseconds since 1970 by the seeder's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scrub {
    /// When this pass began.
    began_ms: u64,
    /// When the last step was made.
    last_ms: u64,
    /// Read so far in this pass.
    done_bytes: u64,
    /// Where the next step begins.
    pub(super) from: CheckMark,
    /// When the last pass ended.
    pub(super) whole_ms: Option<u64>,
}

impl Scrub {
    /// Nothing is read yet.
    pub(super) fn begin(now_ms: u64) -> Self {
        Self { began_ms: now_ms, last_ms: now_ms, done_bytes: 0, from: CheckMark::default(), whole_ms: None }
    }

    /// When the next step is due, if about `total_bytes` lie here.
    pub(super) fn due_ms(&self, now_ms: u64, total_bytes: u64) -> u64 {
        // A clock that ran back does not stop it.
        let (began_ms, last_ms) = (self.began_ms.min(now_ms), self.last_ms.min(now_ms));
        let left_ms = began_ms.saturating_add(PASS_MS).saturating_sub(last_ms);
        let left_bytes = total_bytes.saturating_sub(self.done_bytes).max(1);
        let pause_ms = u128::from(left_ms) * u128::from(left_bytes.min(STEP_BYTES)) / u128::from(left_bytes);
        last_ms.saturating_add(u64::try_from(pause_ms).unwrap_or(PASS_MS).max(PAUSE_MS_MIN))
    }

    /// A step read so many bytes and ended there; `None`: at the end. True if this was the last of a pass.
    pub(super) fn stepped(&mut self, now_ms: u64, bytes: u64, next: Option<CheckMark>) -> bool {
        self.last_ms = now_ms;
        match next {
            Some(from) => {
                self.from = from;
                self.done_bytes = self.done_bytes.saturating_add(bytes);
            }
            None => *self = Self { whole_ms: Some(now_ms), ..Self::begin(now_ms) },
        }
        next.is_none()
    }

    /// As it is kept.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let numbers = [
            self.began_ms,
            self.last_ms,
            self.done_bytes,
            self.from.segment.into(),
            self.from.at,
            self.whole_ms.unwrap_or(0),
        ];
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// As it was kept; `None`: it is begun anew.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<8>() else { return None };
        let [began_ms, last_ms, done_bytes, segment, at, whole_ms]: [u64; 6] =
            numbers.iter().map(|number| u64::from_le_bytes(*number)).collect::<Vec<_>>().try_into().ok()?;
        let from = CheckMark { segment: u32::try_from(segment).ok()?, at };
        Some(Self { began_ms, last_ms, done_bytes, from, whole_ms: Some(whole_ms).filter(|ms| *ms > 0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3_600_000;
    const START_MS: u64 = 20_000 * DAY_MS;

    /// Lives until the pass ends; awake only when `awake` says so. Returns when that was and how many steps it took.
    fn pass(total_bytes: u64, awake: impl Fn(u64) -> bool) -> (u64, u64) {
        let (mut scrub, mut now_ms, mut steps) = (Scrub::begin(START_MS), START_MS, 0);
        loop {
            now_ms = now_ms.max(scrub.due_ms(now_ms, total_bytes));
            while !awake(now_ms) {
                now_ms += 60_000;
            }
            let before_ms = scrub.last_ms;
            assert!(steps == 0 || now_ms >= before_ms + PAUSE_MS_MIN);
            steps += 1;
            let bytes = STEP_BYTES.min(total_bytes - scrub.done_bytes);
            let ends = scrub.done_bytes + bytes == total_bytes;
            let at = scrub.done_bytes + bytes;
            if scrub.stepped(now_ms, bytes, (!ends).then_some(CheckMark { segment: 1, at })) {
                assert_eq!(scrub.whole_ms, Some(now_ms));
                return (now_ms - START_MS, steps);
            }
            scrub = Scrub::from_bytes(&scrub.to_bytes()).unwrap();
        }
    }

    #[test]
    fn everything_is_read_once_in_thirty_days_however_much_it_is() {
        for total_bytes in [1, STEP_BYTES, 3 * STEP_BYTES + 1, 1 << 30, 1 << 40] {
            let (took_ms, steps) = pass(total_bytes, |_| true);
            assert_eq!(steps, total_bytes.div_ceil(STEP_BYTES));
            assert!((29 * DAY_MS..=31 * DAY_MS).contains(&took_ms), "{total_bytes}: {} days", took_ms / DAY_MS);
        }
    }

    #[test]
    fn a_seeder_that_is_on_for_an_hour_a_day_gets_there_too() {
        let an_hour_a_day = |now_ms: u64| now_ms % DAY_MS < DAY_MS / 24;
        let (took_ms, _) = pass(50 << 30, an_hour_a_day);
        assert!(took_ms < 32 * DAY_MS, "{} days", took_ms / DAY_MS);
    }

    #[test]
    fn t4_a_clock_that_ran_back_does_not_stop_it_and_one_that_ran_ahead_makes_no_storm() {
        let scrub = Scrub::begin(START_MS + 1000 * DAY_MS);
        assert!(scrub.due_ms(START_MS, 1 << 30) <= START_MS + 30 * DAY_MS);
        let late = Scrub::begin(START_MS);
        let now_ms = START_MS + 1000 * DAY_MS;
        let mut after = late;
        after.stepped(now_ms, STEP_BYTES, Some(CheckMark { segment: 1, at: 9 }));
        assert_eq!(after.due_ms(now_ms, 1 << 40), now_ms + PAUSE_MS_MIN);
    }

    #[test]
    fn i1_what_was_kept_badly_is_begun_anew() {
        let kept = Scrub::begin(5).to_bytes();
        assert_eq!(Scrub::from_bytes(&kept), Some(Scrub::begin(5)));
        for cut in 0..kept.len() {
            assert_eq!(Scrub::from_bytes(&kept[..cut]), None);
        }
    }
}
