//! How long what is still to come will take, by how fast it came lately.

use std::collections::VecDeque;
use std::time::Duration;

/// What was left longer ago says nothing of now.
const WINDOW: Duration = Duration::from_secs(30);
/// Before so much time a guess would jump about.
const GUESS_AFTER: Duration = Duration::from_secs(3);

/// See the module. Times are since any one moment.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    left: VecDeque<(Duration, u64)>,
}

impl Pace {
    /// So many bytes are left now. More than before means that something was added: it begins anew.
    pub(crate) fn note(&mut self, now: Duration, left_bytes: u64) {
        if self.left.back().is_some_and(|(_, before)| left_bytes > *before) {
            self.left.clear();
        }
        self.left.push_back((now, left_bytes));
        while self.left.front().is_some_and(|(at, _)| now.saturating_sub(*at) > WINDOW) {
            self.left.pop_front();
        }
    }

    /// How long the rest takes; nothing as long as that can not be told.
    pub(crate) fn rest(&self) -> Option<Duration> {
        let ((from, before), (to, left)) = (*self.left.front()?, *self.left.back()?);
        let (took, came) = (to.saturating_sub(from), before.saturating_sub(left));
        if took < GUESS_AFTER || came == 0 || left == 0 {
            return None;
        }
        Duration::try_from_secs_f64(took.as_secs_f64() * left as f64 / came as f64).ok()
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
        let mut pace = Pace::default();
        for (at, left) in [(0, 1000), (1, 950), (2, 900)] {
            pace.note(s(at), left);
            assert_eq!(pace.rest(), None, "too early to tell");
        }
        pace.note(s(4), 800);
        assert_eq!(pace.rest(), Some(s(16)));
        // It stands still: for a while that is slower, and then nobody knows.
        pace.note(s(8), 800);
        assert_eq!(pace.rest(), Some(s(32)));
        pace.note(s(60), 800);
        assert_eq!(pace.rest(), None);
        pace.note(s(64), 0);
        assert_eq!(pace.rest(), None, "nothing is left");
    }

    #[test]
    fn what_is_added_begins_anew() {
        let mut pace = Pace::default();
        pace.note(s(0), 1000);
        pace.note(s(5), 500);
        pace.note(s(6), 5000);
        assert_eq!(pace.rest(), None);
        pace.note(s(10), 4000);
        assert_eq!(pace.rest(), Some(s(16)));
    }
}
