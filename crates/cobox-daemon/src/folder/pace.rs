//! How often a folder is looked at because something changed in it. The first changes after a calm are looked at as they come;
//! when they keep coming each look waits until it is due, so that a program that saves many times a second makes few versions.
//!
//! Owns nothing but times. What must hold: in any stretch of time no more looks begin than [`AT_ONCE`] and one for every
//! [`INTERVAL_MS`] in it.

/// Looks that follow each other without a pause after a calm.
const AT_ONCE: u64 = 8;
/// Afterwards one look begins in so many milliseconds.
const INTERVAL_MS: u64 = 100;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When as many looks as began could have begun one by one, each [`INTERVAL_MS`] after the last.
    caught_up_ms: u64,
}

impl Pace {
    /// The earliest time for the next look; in the past if it may begin now.
    pub(super) fn due_ms(&self) -> u64 {
        self.caught_up_ms.saturating_sub((AT_ONCE - 1) * INTERVAL_MS)
    }

    /// A look begins.
    pub(super) fn begins(&mut self, now_ms: u64) {
        self.caught_up_ms = self.caught_up_ms.max(now_ms).saturating_add(INTERVAL_MS);
    }

    /// The clock was set back: what was due then is due as long from now (T2).
    pub(super) fn clock_set_back(&mut self, by_ms: u64) {
        self.caught_up_ms = self.caught_up_ms.saturating_sub(by_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins looks as soon as they are due, from `from_ms` on; when the last of them began.
    fn looks(pace: &mut Pace, from_ms: u64, count: u64) -> u64 {
        (0..count).fold(from_ms, |now_ms, _| {
            let begins_ms = now_ms.max(pace.due_ms());
            pace.begins(begins_ms);
            begins_ms
        })
    }

    #[test]
    fn what_changes_after_a_calm_is_looked_at_at_once_and_what_never_stops_changing_ten_times_a_second() {
        let mut pace = Pace::default();
        assert_eq!(looks(&mut pace, 1_000_000, AT_ONCE), 1_000_000);
        assert_eq!(looks(&mut pace, 1_000_000, 1), 1_000_000 + INTERVAL_MS);
        assert_eq!(looks(&mut pace, 1_000_000, 100), 1_000_000 + 101 * INTERVAL_MS);
        // A second of calm, and the next ones are at once again.
        let later_ms = 1_000_000 + 101 * INTERVAL_MS + 1_000;
        assert_eq!(looks(&mut pace, later_ms, AT_ONCE), later_ms);
    }

    #[test]
    fn t2_a_clock_that_is_set_back_by_a_year_keeps_nobody_waiting() {
        const YEAR_MS: u64 = 365 * 86_400_000;
        let mut pace = Pace::default();
        looks(&mut pace, YEAR_MS, 20);
        pace.clock_set_back(YEAR_MS);
        assert!(pace.due_ms() <= 20 * INTERVAL_MS, "due in {} ms", pace.due_ms());
    }
}
