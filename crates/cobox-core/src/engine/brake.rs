//! Holds back changes that look like a disaster: a folder emptied, unmounted or replaced must never be taken for a person deleting
//! (H1, D7), nor many files gone, or turned into noise, at once for a person at work (H2). Pure rules; `holding` keeps what is held.

use std::collections::VecDeque;

use cobox_proto::guard::Guard;

/// A folder of at least this many files that is suddenly empty is held.
const EMPTIED_FILES_MIN: usize = 3;
/// So many are gone at once that more may be about to go: it is waited for the end of it before it is judged.
pub(super) const BURST_FILES: usize = 10;
/// How long nothing more goes when a burst has ended.
pub(super) const BURST_QUIET_MS: u64 = 700;

/// By what the brake judges. A person can set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brake {
    /// More files than this, gone or turned into noise within [`Brake::window_ms`], are always held.
    pub files_max: usize,
    /// Of fewer, those that are more than this part of the folder, in percent, at once.
    pub percent: usize,
    /// Up to this many pass unasked, whatever their share, unless nothing is left.
    pub files_free: usize,
    /// How long what went before counts.
    pub window_ms: u64,
}

impl Default for Brake {
    fn default() -> Self {
        Self { files_max: 1000, percent: 50, files_free: 20, window_ms: 10 * 60 * 1000 }
    }
}

impl Brake {
    /// Whether what went in one burst, `lost` of `known` files, must wait for a person. `judged`: of how many files the look could say
    /// anything; of the others nothing is known because a step is under way or their place can not be read. `lately`: what
    /// went before it within the window.
    pub(super) fn holds_outgoing(&self, lost: usize, judged: usize, known: usize, lately: usize) -> bool {
        if !Guard::EmptiedIsHeld.stands() {
            return false;
        }
        self.is_much(lost, judged, lately) || (lost == judged && known >= EMPTIED_FILES_MIN)
    }

    /// Whether what others took away, or turned into noise, must wait here.
    pub(super) fn holds_incoming(&self, lost: usize, known: usize, lately: usize) -> bool {
        Guard::EmptiedIsHeld.stands() && self.is_much(lost, known, lately)
    }

    fn is_much(&self, lost: usize, of: usize, lately: usize) -> bool {
        lost > 0 && lost + lately > self.files_max || (lost > self.files_free && lost * 100 > of * self.percent)
    }
}

/// How much went, and when.
#[derive(Debug, Clone, Default)]
pub(super) struct Lately(VecDeque<(u64, usize)>);

impl Lately {
    pub(super) fn note(&mut self, now_ms: u64, files: usize) {
        if files > 0 {
            self.0.push_back((now_ms, files));
        }
    }

    /// Within the window before `now_ms`. A clock that was set back makes it longer, never shorter.
    pub(super) fn sum(&mut self, now_ms: u64, window_ms: u64) -> usize {
        while self.0.front().is_some_and(|(at_ms, _)| at_ms.saturating_add(window_ms) < now_ms) {
            self.0.pop_front();
        }
        self.0.iter().map(|(_, files)| files).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_an_emptied_folder_is_held_and_a_clean_up_is_not() {
        let holds = |lost, judged, known| Brake::default().holds_outgoing(lost, judged, known, 0);
        assert!(holds(5, 5, 5));
        assert!(holds(30, 50, 50));
        assert!(holds(1001, 1_000_000, 1_000_000));
        assert!(!holds(20, 30, 30));
        assert!(!holds(20, 10_000, 10_000));
        assert!(!holds(1, 1, 1));
        assert!(!holds(0, 0, 0));
        assert!(holds(2, 2, 3), "of the third nothing is known");
        assert!(holds(0, 0, 3), "directories of which the files are on their way");
        assert!(!holds(2, 3, 3));
    }

    #[test]
    fn h2_what_goes_bit_by_bit_is_added_up_and_forgotten_in_time() {
        let brake = Brake::default();
        let mut lately = Lately::default();
        let mut now_ms = 0;
        for _ in 0..10 {
            assert!(!brake.holds_outgoing(100, 50_000, 50_000, lately.sum(now_ms, brake.window_ms)));
            lately.note(now_ms, 100);
            now_ms += 10_000;
        }
        assert!(brake.holds_outgoing(100, 50_000, 50_000, lately.sum(now_ms, brake.window_ms)));
        assert!(brake.holds_incoming(100, 50_000, lately.sum(now_ms, brake.window_ms)));
        now_ms += brake.window_ms;
        assert!(!brake.holds_outgoing(100, 50_000, 50_000, lately.sum(now_ms, brake.window_ms)));
    }

    #[test]
    fn h2_a_clean_up_of_twenty_files_passes_unasked_on_both_sides() {
        for known in [21, 40, 100_000] {
            assert!(!Brake::default().holds_outgoing(20, known, known, 0));
            assert!(!Brake::default().holds_incoming(20, known, 0));
        }
        assert!(Brake::default().holds_incoming(4500, 5000, 0));
        assert!(Brake::default().holds_incoming(21, 41, 0));
        assert!(!Brake::default().holds_incoming(0, 0, 5000));
    }
}
