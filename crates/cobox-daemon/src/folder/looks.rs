//! When the folder's directory is looked at, and where: at the places somebody was seen to change, or at all of it.
//!
//! Owns what waits to be looked at and the times. What must hold: whatever is wanted is looked at, after it was wanted; looks at all of a
//! large folder that nobody asked for take no more than half of the time, however often they are wanted, and nothing else waits for them.

use cobox_core::path::FolderPath;

use super::pace::Pace;

/// A look at everything is followed by as long without one as it took, but by no more than this: it may have slept meanwhile.
const REST_MS_MAX: u64 = 60_000;
/// More places than this are looked at by looking at everything.
const PLACES_MAX: usize = 50_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Looks {
    pace: Pace,
    /// Places to look at with what is below them, and when.
    places: Option<(u64, Vec<FolderPath>)>,
    /// When everything is to be looked at.
    all_ms: Option<u64>,
    /// What is wanted once more at a later time; everything if it names no place.
    later: Option<(u64, Vec<FolderPath>)>,
    /// When the look that is under way began, and whether it goes everywhere.
    under_way: Option<(u64, bool)>,
    /// Before this no look at everything begins by itself.
    rested_ms: u64,
}

impl Looks {
    /// These places are to be looked at from then on; everything if there are none.
    pub(super) fn want(&mut self, due_ms: u64, places: Vec<FolderPath>) {
        let earlier = |due: Option<u64>| due.map_or(due_ms, |due| due.min(due_ms));
        if places.is_empty() {
            self.all_ms = Some(earlier(self.all_ms));
            return;
        }
        let (due, waiting) = self.places.take().unzip();
        let mut waiting: Vec<FolderPath> = waiting.unwrap_or_default();
        waiting.extend(places);
        match waiting.len() > PLACES_MAX {
            true => self.want(earlier(due), Vec::new()),
            false => self.places = Some((earlier(due), waiting)),
        }
    }

    /// The same for what has to wait, with what waits already.
    pub(super) fn want_later(&mut self, due_ms: u64, places: Vec<FolderPath>) {
        match &mut self.later {
            Some((_, waiting))
                if waiting.is_empty() || places.is_empty() || waiting.len() + places.len() > PLACES_MAX =>
            {
                waiting.clear();
            }
            Some((_, waiting)) => waiting.extend(places),
            None => self.later = Some((due_ms, places)),
        }
    }

    /// What had to wait until now.
    pub(super) fn wait_is_over(&mut self, now_ms: u64) {
        if let Some((due_ms, places)) = self.later.take_if(|(due_ms, _)| *due_ms <= now_ms) {
            self.want(due_ms, places);
        }
    }

    /// When something is to be done next, if no look is under way. `asked`: a person waits for a look at everything.
    pub(super) fn due_ms(&self, asked: bool) -> Option<u64> {
        let wanted = self.all_due_ms(asked).into_iter().chain(self.places.as_ref().map(|(due_ms, _)| *due_ms)).min();
        let look = wanted.filter(|_| !self.is_under_way()).map(|due_ms| due_ms.max(self.pace.due_ms()));
        look.into_iter().chain(self.later.as_ref().map(|(due_ms, _)| *due_ms)).min()
    }

    fn all_due_ms(&self, asked: bool) -> Option<u64> {
        self.all_ms.map(|due_ms| if asked { due_ms } else { due_ms.max(self.rested_ms) })
    }

    /// Whether a look can begin.
    pub(super) fn is_due(&self, now_ms: u64, asked: bool) -> bool {
        let places = self.places.as_ref().map(|(due_ms, _)| *due_ms);
        let is_over = |due_ms: u64| due_ms <= now_ms;
        !self.is_under_way()
            && is_over(self.pace.due_ms())
            && self.all_due_ms(asked).into_iter().chain(places).any(is_over)
    }

    /// Begins a look at the places it returns, or at everything if there are none. `None`: nothing is due.
    pub(super) fn begin(&mut self, now_ms: u64, asked: bool) -> Option<Vec<FolderPath>> {
        if !self.is_due(now_ms, asked) {
            return None;
        }
        let all = self.all_due_ms(asked).is_some_and(|due_ms| due_ms <= now_ms);
        let mut places = self.places.take().map(|(_, places)| places).unwrap_or_default();
        if all {
            // It goes to those places, too.
            places.clear();
            self.all_ms = None;
        }
        places.sort();
        places.dedup();
        self.pace.begins(now_ms);
        self.under_way = Some((now_ms, all));
        Some(places)
    }

    /// The look is over; `false` if none was under way.
    pub(super) fn end(&mut self, now_ms: u64) -> bool {
        let Some((began_ms, all)) = self.under_way.take() else { return false };
        if all {
            self.rested_ms = now_ms + now_ms.saturating_sub(began_ms).min(REST_MS_MAX);
        }
        true
    }

    /// Whether one was begun and is not over.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether nothing is under way or wanted now.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_under_way() && self.all_ms.is_none() && self.places.is_none()
    }

    /// Whether a place is about to be looked at.
    pub(super) fn waits_for(&self, path: &FolderPath) -> bool {
        self.all_ms.is_some() || self.places.iter().flat_map(|(_, places)| places).any(|place| path.starts_with(place))
    }

    /// There is nobody to look: nothing is wanted any more.
    pub(super) fn forget_wanted(&mut self) {
        (self.all_ms, self.places, self.later) = (None, None, None);
    }

    /// The clock was set back: what was due then is due as long from now (T2).
    pub(super) fn clock_set_back(&mut self, by_ms: u64) {
        let wanted = [&mut self.places, &mut self.later].into_iter().flatten().map(|(due_ms, _)| due_ms);
        let began = self.under_way.as_mut().map(|(began_ms, _)| began_ms);
        for at_ms in wanted.chain(&mut self.all_ms).chain(began).chain([&mut self.rested_ms]) {
            *at_ms = at_ms.saturating_sub(by_ms);
        }
        self.pace.clock_set_back(by_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FolderPath {
        FolderPath::parse(text).unwrap()
    }

    const NOW: u64 = 1_000_000;

    #[test]
    fn places_are_looked_at_together_and_a_look_at_everything_goes_to_them_too() {
        let mut looks = Looks::default();
        assert!(looks.is_idle() && looks.begin(NOW, false).is_none());
        looks.want(NOW + 60, vec![path("b")]);
        looks.want(NOW, vec![path("a"), path("b")]);
        assert!(looks.waits_for(&path("a/below")) && !looks.waits_for(&path("c")));
        assert_eq!(looks.begin(NOW, false), Some(vec![path("a"), path("b")]));
        looks.want(NOW, vec![path("c")]);
        looks.want(NOW, Vec::new());
        assert!(looks.waits_for(&path("d")));
        assert_eq!(looks.begin(NOW, false), None, "one is under way");
        assert!(looks.end(NOW) && !looks.end(NOW));
        assert_eq!(looks.begin(NOW, false), Some(Vec::new()));
        looks.end(NOW);
        assert!(looks.is_idle());
    }

    #[test]
    fn looks_at_a_large_folder_take_half_of_the_time_at_most_and_no_single_file_waits_for_them() {
        let mut looks = Looks::default();
        looks.want(NOW, Vec::new());
        assert_eq!(looks.begin(NOW, false), Some(Vec::new()));
        looks.want(NOW + 100, Vec::new());
        looks.end(NOW + 8_000);
        assert_eq!(looks.due_ms(false), Some(NOW + 16_000));
        assert!(!looks.is_idle(), "nobody says all is seen while it waits");
        looks.want(NOW + 9_000, vec![path("saved")]);
        assert_eq!(looks.begin(NOW + 9_000, false), Some(vec![path("saved")]));
        looks.end(NOW + 9_001);
        assert_eq!(looks.begin(NOW + 15_999, false), None);
        assert_eq!(looks.begin(NOW + 16_000, false), Some(Vec::new()));
    }

    #[test]
    fn whoever_asks_for_a_look_at_everything_does_not_wait_for_that() {
        let mut looks = Looks::default();
        looks.want(NOW, Vec::new());
        looks.begin(NOW, false);
        looks.end(NOW + 8_000);
        looks.want(NOW + 8_000, Vec::new());
        assert!(!looks.is_due(NOW + 8_000, false));
        assert_eq!(looks.due_ms(true), Some(NOW + 8_000));
        assert_eq!(looks.begin(NOW + 8_000, true), Some(Vec::new()));
    }

    #[test]
    fn what_is_wanted_later_comes_then_and_nobody_waits_for_a_computer_that_slept() {
        let mut looks = Looks::default();
        looks.want_later(NOW + 2_000, vec![path("a")]);
        looks.want_later(NOW + 9_000, vec![path("b")]);
        looks.wait_is_over(NOW + 1_999);
        assert!(looks.is_idle());
        assert_eq!(looks.due_ms(false), Some(NOW + 2_000));
        looks.wait_is_over(NOW + 2_000);
        assert_eq!(looks.begin(NOW + 2_000, false), Some(vec![path("a"), path("b")]));
        looks.want_later(NOW + 9_000, vec![path("c")]);
        looks.want_later(NOW + 9_000, Vec::new());
        looks.end(NOW + 2_000);
        looks.wait_is_over(NOW + 9_000);
        assert_eq!(looks.begin(NOW + 9_000, false), Some(Vec::new()));
        // The lid was closed in the middle of it.
        let woken_ms = NOW + 86_400_000;
        looks.end(woken_ms);
        looks.want(woken_ms, Vec::new());
        assert_eq!(looks.due_ms(false), Some(woken_ms + REST_MS_MAX));
    }

    #[test]
    fn more_places_than_are_worth_telling_apart_become_a_look_at_everything() {
        let many = |from: usize| (from..from + PLACES_MAX / 2).map(|n| path(&n.to_string())).collect::<Vec<_>>();
        let mut looks = Looks::default();
        for from in [0, PLACES_MAX, 2 * PLACES_MAX] {
            looks.want(NOW, many(from));
            looks.want_later(NOW + 1, many(from));
        }
        assert_eq!(looks.begin(NOW, false), Some(Vec::new()));
        looks.end(NOW);
        looks.wait_is_over(NOW + 1);
        assert_eq!(looks.begin(NOW + 1, false), Some(Vec::new()));
        looks.end(NOW + 1);
        assert!(looks.is_idle());
    }

    #[test]
    fn t2_a_clock_that_is_set_back_puts_no_look_off() {
        const YEAR_MS: u64 = 365 * 86_400_000;
        let mut looks = Looks::default();
        looks.want(YEAR_MS, Vec::new());
        looks.begin(YEAR_MS, false);
        looks.end(YEAR_MS + 5_000);
        looks.want(YEAR_MS + 5_000, Vec::new());
        looks.want_later(YEAR_MS + 5_000, Vec::new());
        looks.clock_set_back(YEAR_MS);
        assert_eq!(looks.due_ms(false), Some(5_000));
        looks.wait_is_over(5_000);
        assert_eq!(looks.due_ms(false), Some(10_000));
    }
}
