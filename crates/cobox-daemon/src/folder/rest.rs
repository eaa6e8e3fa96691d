//! How long what is still to come will take, by how fast it came lately. Kept by the folder, so that whoever asks once is told at once.

use std::collections::VecDeque;
use std::time::Duration;

/// What was left longer ago says nothing of now.
const WINDOW_MS: u64 = 30_000;
/// Before so much time a guess would jump about.
const GUESS_AFTER_MS: u64 = 3_000;
/// It is noted so often at most: what is kept stays small, however much happens.
const NOTED_MS: u64 = 500;

/// See the module. Times are milliseconds since any one moment.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    left: VecDeque<(u64, u64)>,
}

impl Rest {
    /// So many bytes are left now. More than before means that something was added, and a clock that was set back that nothing is
    /// known: it begins anew.
    pub(crate) fn note(&mut self, now_ms: u64, left_bytes: u64) {
        let begins_anew = |(at_ms, before): &(u64, u64)| left_bytes > *before || now_ms < *at_ms;
        if left_bytes == 0 || self.left.back().is_some_and(begins_anew) {
            self.left.clear();
        }
        if left_bytes == 0 || self.left.back().is_some_and(|(at_ms, _)| now_ms - at_ms < NOTED_MS) {
            return;
        }
        self.left.push_back((now_ms, left_bytes));
        while self.left.front().is_some_and(|(at_ms, _)| now_ms - at_ms > WINDOW_MS) {
            self.left.pop_front();
        }
    }

    /// How long the rest takes; nothing as long as that can not be told.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        let ((from_ms, before), (to_ms, left)) = (*self.left.front()?, *self.left.back()?);
        let (took_ms, came) = (to_ms - from_ms, before.saturating_sub(left));
        if took_ms < GUESS_AFTER_MS || came == 0 {
            return None;
        }
        Duration::try_from_secs_f64(took_ms as f64 / 1000.0 * left as f64 / came as f64).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_rest_is_told_from_how_fast_it_came_and_not_before_that_is_known() {
        let mut rest = Rest::default();
        for (at, left) in [(0, 1000), (1, 950), (2, 900)] {
            rest.note(at * 1000, left);
            assert_eq!(rest.lasts(), None, "too early to tell");
        }
        rest.note(4_000, 800);
        assert_eq!(rest.lasts(), Some(s(16)));
        // It stands still: for a while that is slower, and then nobody knows.
        rest.note(8_000, 800);
        assert_eq!(rest.lasts(), Some(s(32)));
        rest.note(60_000, 800);
        assert_eq!(rest.lasts(), None);
        rest.note(64_000, 0);
        assert_eq!(rest.lasts(), None, "nothing is left");
    }

    #[test]
    fn what_is_added_and_a_clock_that_is_set_back_begin_anew() {
        let mut rest = Rest::default();
        for (at, left) in [(0, 1000), (5, 500), (6, 5000)] {
            rest.note(at * 1000, left);
        }
        assert_eq!(rest.lasts(), None);
        rest.note(10_000, 4000);
        assert_eq!(rest.lasts(), Some(s(16)));
        rest.note(1_000, 3900);
        assert_eq!(rest.lasts(), None);
        rest.note(5_000, 3500);
        assert_eq!(rest.lasts(), Some(s(35)));
    }

    #[test]
    fn g2_however_often_it_is_noted_little_is_kept() {
        let mut rest = Rest::default();
        (0..1_000_000).for_each(|n| rest.note(n, 2_000_000 - n));
        assert!(rest.left.len() <= (WINDOW_MS / NOTED_MS) as usize + 1);
        assert_eq!(rest.lasts().map(|lasts| lasts.as_secs()), Some(1000));
    }
}
