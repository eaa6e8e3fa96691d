//! What is being edited on this device, and when the others are to be told.

use std::collections::BTreeMap;

use super::RENEWED_MS;
use super::lock::{file_of, is_lock};
use super::note::{EditedFile, EditingNote};
use crate::path::FolderPath;

/// Changes are told at most this often.
const PACE_MS: u64 = 1_000;
/// A lock may lie there before the file it speaks of is known: so often, and this far apart, it is looked for.
const LOOK_AGAIN_MS: u64 = 2_000;
const LOOKS_MAX: u32 = 5;
/// A lock that nobody took away is left by a crash: so long after it was laid, or after the last save of its file, it says nothing more.
const LOCK_MS_MAX: u64 = 12 * 3600 * 1000;
/// So many saves, each so long after the one before, and none later than that, are somebody at work. A program that writes all the
/// time never pauses, and one that writes once an hour is nobody.
const RUN_SAVES: u32 = 3;
const RUN_PAUSE_MS: u64 = 5_000;
const RUN_GAP_MS: u64 = 15 * 60 * 1000;
/// They are over so long after the last.
const RUN_OVER_MS: u64 = 5 * 60 * 1000;
/// Locks that are remembered, and files whose saves are counted; both far more than one person has open.
const LOCKS_MAX: usize = 64;
const RUNS_MAX: usize = 256;

/// A lock on the disk.
#[derive(Debug)]
struct Lock {
    since_ms: u64,
    /// The file it speaks of, once that is known.
    file: Option<FolderPath>,
    looks: u32,
}

/// Saves of one file.
#[derive(Debug)]
struct Run {
    first_ms: u64,
    last_ms: u64,
    saves: u32,
}

/// See the module. Times are milliseconds since 1970.
#[derive(Debug, Default)]
pub struct EditedHere {
    locks: BTreeMap<FolderPath, Lock>,
    runs: BTreeMap<FolderPath, Run>,
    /// What the others were told last, and when.
    told: BTreeMap<FolderPath, u64>,
    told_ms: u64,
    /// Somebody is here who was not told.
    tell_again: bool,
    due_ms: Option<u64>,
}

impl EditedHere {
    /// An editor's lock lies there, made at this time by the disk's clock. Anything else is no concern of this.
    pub fn locked(&mut self, now_ms: u64, lock: FolderPath, made_ms: u64) {
        let is_one = lock.name().is_some_and(|name| is_lock(name.as_str()));
        if !is_one || self.locks.contains_key(&lock) || self.locks.len() >= LOCKS_MAX {
            return;
        }
        self.locks.insert(lock, Lock { since_ms: made_ms.min(now_ms), file: None, looks: 0 });
        self.plan(now_ms);
    }

    /// It does not lie there any more.
    pub fn unlocked(&mut self, now_ms: u64, lock: &FolderPath) {
        if self.locks.remove(lock).is_some() {
            self.plan(now_ms);
        }
    }

    /// The locks that are believed to be there: whoever sees the disk may look whether they are.
    pub fn locks(&self) -> impl Iterator<Item = &FolderPath> {
        self.locks.keys()
    }

    /// A person, or a program, wrote another content into a file that was there before.
    pub fn saved(&mut self, now_ms: u64, path: &FolderPath) {
        if self.runs.len() >= RUNS_MAX && !self.runs.contains_key(path) {
            let oldest = self.runs.iter().min_by_key(|(_, run)| run.last_ms).map(|(path, _)| path.clone());
            if let Some(oldest) = oldest {
                self.runs.remove(&oldest);
            }
        }
        let fresh = || Run { first_ms: now_ms, last_ms: now_ms, saves: 1 };
        let run = self.runs.entry(path.clone()).or_insert_with(fresh);
        let pause_ms = now_ms.saturating_sub(run.last_ms);
        if pause_ms > RUN_GAP_MS {
            *run = fresh();
        } else if pause_ms >= RUN_PAUSE_MS {
            run.saves = run.saves.saturating_add(1);
        }
        run.last_ms = now_ms;
        if run.saves >= RUN_SAVES && !self.told.contains_key(path) {
            self.plan(now_ms);
        }
    }

    /// Somebody is connected now who was told nothing.
    pub fn somebody_came(&mut self, now_ms: u64) {
        if !self.locks.is_empty() || !self.told.is_empty() {
            self.tell_again = true;
            self.plan(now_ms);
        }
    }

    /// When to ask [`Self::tell`]; changes with every other call.
    pub fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// What to tell everybody who is connected, if it is time and there is something to say. `shown` is what the folder shows.
    pub fn tell<V>(&mut self, now_ms: u64, shown: &BTreeMap<FolderPath, V>) -> Option<EditingNote> {
        self.due_ms.take_if(|due| *due <= now_ms)?;
        let mut is_unclear = false;
        for (path, lock) in &mut self.locks {
            if lock.file.as_ref().is_none_or(|file| !shown.contains_key(file)) {
                lock.file = file_of(path, shown);
                lock.looks += 1;
                is_unclear |= lock.file.is_none() && lock.looks < LOOKS_MAX;
            }
        }
        self.runs.retain(|_, run| now_ms.saturating_sub(run.last_ms) <= RUN_GAP_MS);
        let open = self.open(now_ms);
        if is_unclear {
            self.due_ms = Some(now_ms + LOOK_AGAIN_MS);
        } else if !self.locks.is_empty() || !open.is_empty() {
            self.due_ms = Some(now_ms + RENEWED_MS);
        }
        let is_renewed = self.tell_again || now_ms.saturating_sub(self.told_ms) >= RENEWED_MS;
        if open == self.told && (open.is_empty() || !is_renewed) {
            self.tell_again &= !open.is_empty();
            return None;
        }
        (self.told_ms, self.tell_again) = (now_ms, false);
        self.told = open;
        // Should there be too many for one note, those that were opened last.
        let mut newest: Vec<(&FolderPath, u64)> = self.told.iter().map(|(path, since_ms)| (path, *since_ms)).collect();
        newest.sort_by_key(|(_, since_ms)| std::cmp::Reverse(*since_ms));
        let open_s = |since_ms: u64| now_ms.saturating_sub(since_ms) / 1000;
        Some(EditingNote::of(
            newest.into_iter().map(|(path, since_ms)| EditedFile { path: path.clone(), open_s: open_s(since_ms) }),
        ))
    }

    /// The clock was set back: what was due then is due as long from now (T2).
    pub fn clock_set_back(&mut self, by_ms: u64) {
        let runs = self.runs.values_mut().flat_map(|run| [&mut run.first_ms, &mut run.last_ms]);
        let due = self.due_ms.as_mut();
        for at_ms in runs.chain(due).chain([&mut self.told_ms]) {
            *at_ms = at_ms.saturating_sub(by_ms);
        }
    }

    /// Which files are being edited, and since when.
    fn open(&self, now_ms: u64) -> BTreeMap<FolderPath, u64> {
        let is_fresh = |run: &&Run| now_ms.saturating_sub(run.last_ms) <= RUN_OVER_MS;
        let at_work = |(_, run): &(&FolderPath, &Run)| run.saves >= RUN_SAVES && is_fresh(run);
        let mut open: BTreeMap<FolderPath, u64> =
            self.runs.iter().filter(at_work).map(|(path, run)| (path.clone(), run.first_ms)).collect();
        for lock in self.locks.values() {
            let Some(file) = &lock.file else { continue };
            let saved_ms = self.runs.get(file).map_or(0, |run| run.last_ms);
            if now_ms.saturating_sub(lock.since_ms.max(saved_ms)) <= LOCK_MS_MAX {
                let since_ms = open.entry(file.clone()).or_insert(lock.since_ms);
                *since_ms = lock.since_ms.min(*since_ms);
            }
        }
        open
    }

    fn plan(&mut self, now_ms: u64) {
        let due_ms = now_ms.max(self.told_ms.saturating_add(PACE_MS));
        self.due_ms = Some(self.due_ms.map_or(due_ms, |due| due.min(due_ms)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000_000;
    const MINUTE_MS: u64 = 60_000;

    fn path(text: &str) -> FolderPath {
        FolderPath::parse(text).unwrap()
    }

    fn shown() -> BTreeMap<FolderPath, ()> {
        ["a.odt", "b.txt"].map(|text| (path(text), ())).into()
    }

    fn told(here: &mut EditedHere, now_ms: u64) -> Option<Vec<(String, u64)>> {
        let note = here.tell(now_ms, &shown())?;
        Some(note.files.into_iter().map(|file| (file.path.to_string(), file.open_s)).collect())
    }

    fn a(open_s: u64) -> Option<Vec<(String, u64)>> {
        Some(vec![("a.odt".into(), open_s)])
    }

    #[test]
    fn c1_a_lock_is_told_renewed_and_its_end_is_told_once() {
        let mut here = EditedHere::default();
        assert_eq!((here.due_ms(), told(&mut here, NOW)), (None, None));
        here.locked(NOW, path(".~lock.a.odt#"), NOW - 90_000);
        assert_eq!(told(&mut here, NOW), a(90));
        assert_eq!(told(&mut here, NOW), None, "once");
        assert_eq!(here.due_ms(), Some(NOW + RENEWED_MS));
        assert_eq!(told(&mut here, NOW + RENEWED_MS), a(150));
        here.somebody_came(NOW + RENEWED_MS + 5_000);
        assert_eq!(told(&mut here, NOW + RENEWED_MS + 5_000), a(155), "who comes later hears of it too");
        here.unlocked(NOW + 70_000, &path(".~lock.a.odt#"));
        assert_eq!(told(&mut here, NOW + 70_000), Some(vec![]));
        assert_eq!(here.due_ms(), None, "nothing more is said");
        here.somebody_came(NOW + 80_000);
        assert_eq!(here.due_ms(), None);
    }

    #[test]
    fn c1_changes_are_told_at_a_bounded_pace() {
        let mut here = EditedHere::default();
        here.locked(NOW, path(".~lock.a.odt#"), NOW);
        assert!(told(&mut here, NOW).is_some());
        for n in 0..100 {
            here.unlocked(NOW + n, &path(".~lock.a.odt#"));
            here.locked(NOW + n, path(".~lock.a.odt#"), NOW + n);
            assert_eq!(told(&mut here, NOW + n), None);
        }
        assert_eq!(here.due_ms(), Some(NOW + PACE_MS));
    }

    #[test]
    fn c1_a_lock_whose_file_is_not_known_yet_is_told_once_it_is() {
        let mut here = EditedHere::default();
        here.locked(NOW, path("~$new.docx"), NOW);
        assert_eq!(told(&mut here, NOW), None);
        assert_eq!(here.due_ms(), Some(NOW + LOOK_AGAIN_MS));
        let with_it: BTreeMap<FolderPath, ()> = [(path("new.docx"), ())].into();
        let note = here.tell(NOW + LOOK_AGAIN_MS, &with_it).unwrap();
        assert_eq!(note.files.len(), 1);
        // One that never gets a file is not looked for all the time.
        let mut here = EditedHere::default();
        here.locked(NOW, path("~$never.docx"), NOW);
        let mut now = NOW;
        for _ in 0..20 {
            assert_eq!(told(&mut here, now), None);
            now = here.due_ms().unwrap();
        }
        assert!(now >= NOW + 10 * RENEWED_MS, "{}", now - NOW);
    }

    #[test]
    fn c1_what_a_crash_left_behind_says_nothing_for_ever() {
        let mut here = EditedHere::default();
        here.locked(NOW, path(".~lock.a.odt#"), NOW - LOCK_MS_MAX - 1);
        assert_eq!(told(&mut here, NOW), None);
        here.saved(NOW + RENEWED_MS, &path("a.odt"));
        assert!(told(&mut here, NOW + RENEWED_MS).is_some(), "somebody saves it: it is open after all");
    }

    #[test]
    fn c1_saves_with_pauses_are_somebody_at_work_and_the_sign_ends_with_them() {
        let (mut here, b) = (EditedHere::default(), path("b.txt"));
        here.saved(NOW, &b);
        here.saved(NOW + MINUTE_MS, &b);
        assert_eq!(here.due_ms(), None, "twice is nothing");
        here.saved(NOW + 2 * MINUTE_MS, &b);
        assert_eq!(told(&mut here, NOW + 2 * MINUTE_MS), Some(vec![("b.txt".into(), 120)]));
        let mut now = NOW + 2 * MINUTE_MS;
        while let Some(due) = here.due_ms() {
            now = due;
            told(&mut here, now);
        }
        let over_ms = now - (NOW + 2 * MINUTE_MS);
        assert!((RUN_OVER_MS..=RUN_OVER_MS + 2 * RENEWED_MS).contains(&over_ms), "{over_ms}");
    }

    #[test]
    fn c1_a_program_that_never_stops_writing_and_one_that_seldom_does_are_nobody() {
        let (mut here, b) = (EditedHere::default(), path("b.txt"));
        (0..1000).for_each(|n| here.saved(NOW + n * 1_000, &b));
        (0..100).for_each(|n| here.saved(NOW + n * 2 * RUN_GAP_MS, &path("a.odt")));
        assert_eq!(here.due_ms(), None);
    }

    #[test]
    fn g2_whatever_lies_on_the_disk_little_is_remembered() {
        let mut here = EditedHere::default();
        for n in 0..10_000u64 {
            here.locked(NOW, path(&format!(".#{n}")), NOW);
            (0..3).for_each(|round| here.saved(NOW + n + round * RUN_PAUSE_MS, &path(&n.to_string())));
        }
        assert!(here.locks.len() <= LOCKS_MAX && here.runs.len() <= RUNS_MAX);
    }

    #[test]
    fn t2_a_clock_that_is_set_back_puts_nothing_off() {
        let mut here = EditedHere::default();
        here.locked(NOW, path(".~lock.a.odt#"), NOW);
        assert!(told(&mut here, NOW).is_some());
        let back_ms = 365 * 24 * 3600 * 1000;
        here.clock_set_back(back_ms);
        assert_eq!(here.due_ms(), Some(NOW - back_ms + RENEWED_MS));
        assert_eq!(told(&mut here, NOW - back_ms + RENEWED_MS), a(0), "it was opened in what is the future now");
    }
}
