//! Holds back changes that look like a disaster: a folder emptied, unmounted or replaced must never be taken for a person deleting
//! (H1, D7), nor many files gone, or turned into noise, at once for a person at work (H2). Pure rules; `holding` keeps what is held.

use std::collections::{BTreeMap, VecDeque};

use cobox_proto::guard::Guard;

use crate::path::FolderPath;

/// A folder of at least this many files that is suddenly empty is held.
const EMPTIED_FILES_MIN: usize = 3;
/// How long nothing more goes when a burst has ended: long enough for somebody's next thought, short enough that a file deleted by hand is
/// soon gone everywhere. Longer than it takes the watcher to hand over what it heard, and the disk to be looked at.
pub(super) const BURST_QUIET_MS: u64 = 700;
/// A burst waits so long at most after the last of it while somebody is heard at work in the folder: that may be anything.
pub(super) const BURST_HEARD_MS: u64 = 3_000;
/// A burst that never pauses, and is no more than what passes unasked, waits no longer than this. A greater one waits until it pauses, or
/// the brake's whole window: then it has been judged as what it is.
pub(super) const BURST_SMALL_MS: u64 = 10_000;

/// A burst that is looked at so much later than planned was watched by nobody meanwhile: the machine slept, or its program was stopped or
/// not let run. That was no silence. Timers of a busy machine are late by some tens of milliseconds.
pub(super) const BURST_LATE_MS: u64 = 200;
/// So often in a row that makes a burst wait for one more silence while nothing more goes: on a machine that is always late, a file deleted
/// by hand goes with the fourth.
pub(super) const BURST_LATE_IN_A_ROW_MAX: u8 = 3;
/// ... and so often in all, for a burst that goes on all the time.
pub(super) const BURST_LATE_MAX: u8 = 12;

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
    /// anything; of the others nothing is known because a step is under way or their place can not be read. `before`: what
    /// went before it within the window.
    pub(super) fn holds_outgoing(&self, lost: usize, judged: usize, known: usize, before: Before) -> bool {
        if !Guard::EmptiedIsHeld.stands() {
            return false;
        }
        // What went in small parts is a part of the folder, too.
        let Before { files, not_replaced } = before;
        let by_and_by = lost > 0 && self.is_large_part(lost + not_replaced, judged + not_replaced);
        self.is_much(lost, judged, files) || by_and_by || (lost == judged && known >= EMPTIED_FILES_MIN)
    }

    /// Whether no more went than passes unasked.
    pub(super) fn is_little(&self, lost: usize, before: Before) -> bool {
        lost + before.not_replaced <= self.files_free
    }

    /// Whether what others took away, or turned into noise, must wait here.
    pub(super) fn holds_incoming(&self, lost: usize, known: usize, lately: usize) -> bool {
        Guard::EmptiedIsHeld.stands() && self.is_much(lost, known, lately)
    }

    fn is_much(&self, lost: usize, of: usize, lately: usize) -> bool {
        lost > 0 && lost + lately > self.files_max || self.is_large_part(lost, of)
    }

    fn is_large_part(&self, lost: usize, of: usize) -> bool {
        lost > self.files_free && lost * 100 > of * self.percent
    }
}

/// What went from this disk within the window before a burst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Before {
    /// How many files.
    pub(super) files: usize,
    /// How many more than new ones were made meanwhile: a program that makes files and deletes them again empties no folder.
    pub(super) not_replaced: usize,
}

/// Which files went from this disk, each once however often it went, and how many were made.
#[derive(Debug, Clone, Default)]
pub(super) struct Gone {
    files: BTreeMap<FolderPath, u64>,
    made: Lately,
}

impl Gone {
    pub(super) fn note(&mut self, now_ms: u64, files: impl IntoIterator<Item = FolderPath>) {
        self.files.extend(files.into_iter().map(|path| (path, now_ms)));
    }

    pub(super) fn note_made(&mut self, now_ms: u64, files: usize) {
        self.made.note(now_ms, files);
    }

    /// A file stands there again.
    pub(super) fn came_back(&mut self, path: &FolderPath) {
        self.files.remove(path);
    }

    /// Within the window before `now_ms`, without those that are counted elsewhere. A clock that was set back makes it longer, never shorter.
    pub(super) fn before(&mut self, now_ms: u64, window_ms: u64, counted: impl Fn(&FolderPath) -> bool) -> Before {
        self.files.retain(|_, at_ms| at_ms.saturating_add(window_ms) >= now_ms);
        let files = self.files.keys().filter(|path| !counted(path)).count();
        Before { files, not_replaced: files.saturating_sub(self.made.sum(now_ms, window_ms)) }
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
        let holds = |lost, judged, known| Brake::default().holds_outgoing(lost, judged, known, Before::default());
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

    fn names(from: usize, count: usize) -> impl Iterator<Item = FolderPath> {
        (from..from + count).map(|n| format!("page {n}").parse().unwrap())
    }

    #[test]
    fn h2_what_goes_bit_by_bit_is_added_up_and_forgotten_in_time() {
        let brake = Brake::default();
        let (mut gone, mut lately) = (Gone::default(), Lately::default());
        let before = |gone: &mut Gone, now_ms| gone.before(now_ms, brake.window_ms, |_| false);
        let mut now_ms = 0;
        for round in 0..10 {
            assert!(!brake.holds_outgoing(100, 50_000, 50_000, before(&mut gone, now_ms)));
            gone.note(now_ms, names(round * 100, 100));
            lately.note(now_ms, 100);
            now_ms += 10_000;
        }
        assert!(brake.holds_outgoing(100, 50_000, 50_000, before(&mut gone, now_ms)));
        assert!(brake.holds_incoming(100, 50_000, lately.sum(now_ms, brake.window_ms)));
        now_ms += brake.window_ms;
        assert!(!brake.holds_outgoing(100, 50_000, 50_000, before(&mut gone, now_ms)));
    }

    #[test]
    fn h2_a_small_folder_does_not_go_bit_by_bit_either() {
        let brake = Brake::default();
        let mut gone = Gone::default();
        gone.note(0, names(0, 15));
        // Of thirty files fifteen went before, and six more are half and more.
        let before = gone.before(1_000, brake.window_ms, |_| false);
        assert!(!brake.holds_outgoing(5, 15, 15, before));
        assert!(brake.holds_outgoing(6, 15, 15, before));
        let later = gone.clone().before(brake.window_ms + 1, brake.window_ms, |_| false);
        assert!(!brake.holds_outgoing(6, 15, 15, later));
        // Whoever deletes what they have just made, or the same again and again, empties nothing.
        for round in 0..100 {
            gone.note_made(2_000 + round, 1);
            gone.note(2_000 + round, names(1_000 + round as usize, 1));
            gone.note(2_000 + round, names(7, 1));
        }
        let before = gone.before(3_000, brake.window_ms, |_| false);
        assert_eq!(before, Before { files: 115, not_replaced: 15 });
        gone.came_back(&names(7, 1).next().unwrap());
        assert_eq!(gone.before(3_000, brake.window_ms, |_| false).files, 114);
    }

    #[test]
    fn h2_a_clean_up_of_twenty_files_passes_unasked_on_both_sides() {
        for known in [21, 40, 100_000] {
            assert!(!Brake::default().holds_outgoing(20, known, known, Before::default()));
            assert!(!Brake::default().holds_incoming(20, known, 0));
        }
        assert!(Brake::default().holds_incoming(4500, 5000, 0));
        assert!(Brake::default().holds_incoming(21, 41, 0));
        assert!(!Brake::default().holds_incoming(0, 0, 5000));
    }
}
