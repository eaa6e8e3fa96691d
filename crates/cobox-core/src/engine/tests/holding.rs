//! The brake at work: what waits on its way out and in, and what comes of a person's word (H1, H2).

use super::*;

const START_MS: u64 = 1_000;

/// What Alice's engine did in answer.
#[derive(Default)]
struct Answer {
    published: usize,
    steps: Vec<Step>,
    wakes_ms: Option<u64>,
    looks_again: Vec<FolderPath>,
}

/// Alice's folder of files that lie on her disk.
struct Desk {
    folder: Folder,
    /// Path, number of the file, content.
    disk: BTreeMap<FolderPath, (u64, Vec<u8>)>,
    now_ms: u64,
    numbers: u64,
}

impl Desk {
    fn with(files: usize) -> Self {
        let mut desk = Self { folder: Folder::new(), disk: BTreeMap::new(), now_ms: START_MS, numbers: 0 };
        (0..files).for_each(|n| desk.write(&name(n), format!("words of {n}").as_bytes()));
        desk.look();
        assert_eq!(desk.folder.alice.view().entries.len(), files);
        desk
    }

    fn write(&mut self, path: &str, content: &[u8]) {
        self.numbers += 1;
        self.disk.insert(at(path), (self.numbers, content.to_vec()));
    }

    fn stamp(number: u64, content: &[u8]) -> Stamp {
        let (size, id) = (content.len() as u64, FileId { dev: 1, ino: number });
        Stamp { size, mtime_ns: 0, ctime_ns: number as i64, id, executable: false }
    }

    fn input(&mut self, input: Input) -> Answer {
        self.folder.alice.handle(self.now_ms, input);
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let mut answer = Answer::default();
        while let Some(output) = self.folder.alice.poll_output() {
            match output {
                Output::Publish(_) => answer.published += 1,
                Output::Do(steps) => answer.steps.extend(steps.into_iter().map(|(_, step)| step)),
                Output::WakeAt(at_ms) => answer.wakes_ms = Some(answer.wakes_ms.unwrap_or(0).max(at_ms)),
                Output::Rescan(paths) => answer.looks_again.extend(paths),
                Output::Hash(files) => {
                    let content = |path: &FolderPath| self.disk[path].1.clone();
                    let noise = files.iter().filter(|(path, _)| is_noise(&content(path))).map(|(path, _)| path.clone());
                    let noise: Vec<FolderPath> = noise.collect();
                    self.folder.alice.handle(self.now_ms, Input::Noise(noise));
                    for (path, stamp) in files {
                        let body = Box::new(body(&self.folder.keys, &content(&path)));
                        self.folder.alice.handle(self.now_ms, Input::Hashed { path, stamp, body });
                    }
                }
                _ => {}
            }
        }
        answer
    }

    /// Looks at everything.
    fn look(&mut self) -> Answer {
        let listed =
            self.disk.iter().map(|(path, (number, content))| (path.clone(), Stat::File(Self::stamp(*number, content))));
        let listed = listed.collect();
        self.folder.alice.handle(self.now_ms, Input::ScanBegun { under: Vec::new() });
        self.folder.alice.handle(self.now_ms, Input::Listed(listed));
        self.folder.alice.handle(self.now_ms, Input::ScanEnded { unreadable: Vec::new() });
        self.answer()
    }

    fn wake(&mut self, at_ms: u64) -> Answer {
        self.now_ms = at_ms;
        self.input(Input::Woken)
    }

    fn shown(&self) -> usize {
        self.folder.alice.view().entries.len()
    }

    /// Another member's change is here and joined.
    fn another(&mut self, change: impl FnOnce(&mut Commit<'_>, &View)) -> Answer {
        let view = self.folder.alice.view().clone();
        let mut other = Mallory::new(&self.folder);
        other.state = self.folder.alice.state().clone();
        let mut commit = Commit::new(&mut other.state, other.actor, other.key.public(), self.folder.keys.shape());
        change(&mut commit, &view);
        commit.finish();
        let (root, blocks) = other.seals(&self.folder);
        let counter = other.counter();
        let head = other.publishes(&self.folder, root, counter);
        self.folder.alice.handle(self.now_ms, Input::Head(Box::new(head)));
        for block in blocks.iter().rev().chain(&blocks) {
            self.folder.alice.handle(self.now_ms, Input::Block { cid: block.cid, bytes: block.bytes.clone() });
        }
        self.answer()
    }
}

fn name(n: usize) -> String {
    format!("page {n:03}")
}

fn sealed(n: usize) -> Vec<u8> {
    let mut out = vec![0; 300];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

fn removed(steps: &[Step]) -> usize {
    steps.iter().filter(|step| matches!(step, Step::Remove { .. })).count()
}

fn remove_all(numbers: std::ops::Range<usize>) -> impl FnOnce(&mut Commit<'_>, &View) {
    move |commit, view| {
        for n in numbers {
            let leaf = view.lookup(&at(&name(n))).and_then(ViewEntry::shown).unwrap();
            commit.remove(leaf.inode, &leaf.seen());
        }
    }
}

/// Takes away pages.
fn take(desk: &mut Desk, numbers: std::ops::Range<usize>) {
    numbers.for_each(|n| drop(desk.disk.remove(&at(&name(n)))));
}

/// Looks as a watcher has it: at these places.
fn look_under(desk: &mut Desk, numbers: std::ops::Range<usize>) -> Answer {
    look_at(desk, numbers.map(|n| at(&name(n))).collect())
}

fn look_at(desk: &mut Desk, under: Vec<FolderPath>) -> Answer {
    let there = under.iter().filter_map(|path| Some((path.clone(), desk.disk.get(path)?)));
    let listed = there.map(|(path, (number, content))| (path, Stat::File(Desk::stamp(*number, content)))).collect();
    desk.folder.alice.handle(desk.now_ms, Input::ScanBegun { under });
    desk.folder.alice.handle(desk.now_ms, Input::Listed(listed));
    desk.folder.alice.handle(desk.now_ms, Input::ScanEnded { unreadable: Vec::new() });
    desk.answer()
}

#[test]
fn h2_a_burst_waits_for_its_end_and_then_passes_or_is_held_as_a_whole() {
    // One, or twelve, of a hundred: nothing more comes, so they go.
    for files in [1, 12] {
        let mut desk = Desk::with(100);
        take(&mut desk, 0..files);
        let answer = desk.look();
        assert_eq!((answer.published, desk.shown()), (0, 100), "not before it is known what more comes");
        assert!(desk.folder.alice.held().is_none() && !desk.folder.alice.summary().settled);
        let at_ms = answer.wakes_ms.unwrap();
        assert!(at_ms - desk.now_ms < 1_000, "a file that is deleted by hand is soon gone everywhere");
        assert_eq!(desk.wake(at_ms - 1).published, 0);
        let answer = desk.wake(at_ms);
        assert_eq!((answer.published, desk.shown()), (1, 100 - files));
        assert!(desk.folder.alice.summary().settled);
    }

    // The same, and then many more: not one of them leaves.
    let mut desk = Desk::with(100);
    take(&mut desk, 0..12);
    desk.look();
    take(&mut desk, 12..80);
    let answer = desk.look();
    assert_eq!((answer.published, desk.shown()), (0, 100));
    assert_eq!(desk.folder.alice.held().unwrap().paths.len(), 80);
    let later = desk.wake(START_MS + 60_000);
    assert_eq!((later.published, desk.shown()), (0, 100), "it waits for a person, not for time");
    let answer = desk.input(Input::Decide { approve: true });
    assert_eq!((answer.published, desk.shown()), (1, 20));
}

#[test]
fn h2_of_files_that_go_one_after_the_other_none_leaves_before_all_are_judged() {
    let mut desk = Desk::with(100);
    for n in 0..51 {
        assert!(desk.folder.alice.held().is_none(), "{n} of a hundred");
        take(&mut desk, n..n + 1);
        desk.now_ms += 100;
        assert_eq!(look_under(&mut desk, n..n + 1).published, 0);
        let woken_ms = desk.now_ms + 300;
        assert_eq!(desk.wake(woken_ms).published, 0);
    }
    assert_eq!((desk.folder.alice.held().unwrap().paths.len(), desk.shown()), (51, 100));
    // What goes on going belongs to it, and is one burst no more.
    take(&mut desk, 51..60);
    look_under(&mut desk, 51..60);
    assert_eq!((desk.folder.alice.held().unwrap().paths.len(), desk.shown()), (60, 100));
    let answer = desk.input(Input::Decide { approve: false });
    let written = answer.steps.iter().filter(|step| matches!(step, Step::Write { .. })).count();
    assert_eq!((answer.published, written), (0, 60), "nobody ever hears of it");
}

#[test]
fn h2_a_folder_that_is_emptied_file_by_file_is_held() {
    let mut desk = Desk::with(5);
    for n in 0..5 {
        take(&mut desk, n..n + 1);
        assert_eq!(look_under(&mut desk, n..n + 1).published, 0);
    }
    assert_eq!((desk.folder.alice.held().unwrap().paths.len(), desk.shown()), (5, 5));
}

#[test]
fn h2_what_went_with_pauses_counts_as_one_with_what_goes_now() {
    let mut desk = Desk::with(60);
    desk.now_ms += 86_400_000;
    for n in 0..30 {
        take(&mut desk, n..n + 1);
        let answer = look_under(&mut desk, n..n + 1);
        assert_eq!(desk.wake(answer.wakes_ms.unwrap()).published, 1);
    }
    // More than half of what was here ten minutes ago.
    take(&mut desk, 30..31);
    look_under(&mut desk, 30..31);
    assert_eq!((desk.folder.alice.held().unwrap().paths.len(), desk.shown()), (1, 30));
}

#[test]
fn h2_who_deletes_a_little_without_a_pause_is_not_kept_waiting_for_ever() {
    let mut desk = Desk::with(200);
    let mut gone = 0;
    while desk.shown() == 200 {
        take(&mut desk, gone..gone + 1);
        let answer = look_under(&mut desk, gone..gone + 1);
        gone += 1;
        assert!(gone < 20, "it never leaves");
        let next_ms = desk.now_ms + 600;
        if let Some(at_ms) = answer.wakes_ms.filter(|at_ms| *at_ms <= next_ms) {
            desk.wake(at_ms);
        }
        desk.now_ms = next_ms;
    }
    assert!(desk.now_ms - START_MS < 12_000);
    assert_eq!(desk.shown(), 200 - gone);
}

#[test]
fn h2_while_somebody_is_heard_at_work_a_burst_waits_a_little_longer() {
    let mut desk = Desk::with(100);
    take(&mut desk, 0..1);
    let first_ms = desk.look().wakes_ms.unwrap();
    let mut at_ms = first_ms;
    let passed_ms = loop {
        desk.now_ms = at_ms;
        desk.input(Input::Heard);
        let answer = desk.wake(at_ms);
        match answer.wakes_ms {
            Some(next_ms) if answer.published == 0 => at_ms = next_ms,
            _ => break at_ms,
        }
    };
    assert!(passed_ms > first_ms && passed_ms <= START_MS + 3_000, "at {passed_ms} ms");
    assert_eq!(desk.shown(), 99);
}

#[test]
fn h2_a_wave_in_whose_middle_the_machine_stood_still_is_held_as_one() {
    const STANDSTILL_MS: u64 = 5_000;
    // Whatever is told first when the machine goes on: that time has passed, what went next, or the end of a look that found nothing.
    for first in ["time", "wave", "look"] {
        let mut desk = Desk::with(100);
        take(&mut desk, 0..15);
        desk.now_ms += 100;
        let answer = look_under(&mut desk, 0..15);
        let planned_ms = answer.wakes_ms.unwrap();
        if first == "look" {
            desk.folder.alice.handle(desk.now_ms, Input::ScanBegun { under: vec![at(&name(99))] });
        }
        desk.now_ms = planned_ms + STANDSTILL_MS;
        let on_waking = match first {
            "time" => desk.wake(planned_ms + STANDSTILL_MS),
            "wave" => Answer::default(),
            _ => {
                let (number, content) = &desk.disk[&at(&name(99))];
                let listed = vec![(at(&name(99)), Stat::File(Desk::stamp(*number, content)))];
                desk.folder.alice.handle(desk.now_ms, Input::Listed(listed));
                desk.folder.alice.handle(desk.now_ms, Input::ScanEnded { unreadable: Vec::new() });
                let over = desk.answer();
                assert_eq!(over.published, 0, "{first}");
                desk.wake(desk.now_ms)
            }
        };
        assert_eq!((on_waking.published, desk.shown()), (0, 100), "{first}: nobody listened meanwhile");
        // The rest of the wave.
        for n in (15..60).step_by(5) {
            take(&mut desk, n..n + 5);
            desk.now_ms += 50;
            assert_eq!(look_under(&mut desk, n..n + 5).published, 0, "{first}");
        }
        let held = desk.folder.alice.held().map_or(0, |held| held.paths.len());
        assert_eq!((held, desk.shown()), (60, 100), "{first}");
    }
}

#[test]
fn h2_a_wave_that_stands_still_again_and_again_is_held_as_one() {
    let mut desk = Desk::with(100);
    for n in (0..60).step_by(6) {
        take(&mut desk, n..n + 6);
        desk.now_ms += 100;
        let answer = look_under(&mut desk, n..n + 6);
        assert_eq!(answer.published, 0);
        if let Some(planned_ms) = answer.wakes_ms {
            // More than the brake's whole window.
            assert_eq!(desk.wake(planned_ms + 3_600_000).published, 0);
        }
    }
    assert_eq!((desk.folder.alice.held().unwrap().paths.len(), desk.shown()), (60, 100));
}

#[test]
fn h2_a_small_clean_up_goes_although_every_wake_up_is_late() {
    for late_ms in [150, 250, 1_500, 60_000] {
        let mut desk = Desk::with(100);
        take(&mut desk, 0..12);
        let mut answer = desk.look();
        let mut wakes = 0;
        while answer.published == 0 {
            wakes += 1;
            assert!(wakes < 5, "it never leaves");
            let planned_ms = answer.wakes_ms.expect("it asks to be woken");
            assert!(planned_ms - desk.now_ms < 1_000, "one silence at a time");
            answer = desk.wake(planned_ms + late_ms);
        }
        let expected = if late_ms < 200 { 1 } else { 4 };
        assert_eq!((wakes, desk.shown()), (expected, 88), "{late_ms} ms late");
    }
    // Once a silence is listened to, it goes.
    let mut desk = Desk::with(100);
    take(&mut desk, 0..12);
    let answer = desk.look();
    let answer = desk.wake(answer.wakes_ms.unwrap() + 5_000);
    assert_eq!(answer.published, 0);
    assert_eq!(desk.wake(answer.wakes_ms.unwrap()).published, 1);
}

#[test]
fn h2_who_deletes_a_little_without_a_pause_on_a_machine_that_is_always_late_is_not_kept_waiting_for_ever() {
    let mut desk = Desk::with(400);
    let (mut gone, mut planned_ms) = (0, None);
    while desk.shown() == 400 {
        assert!(gone < 20, "it never leaves");
        take(&mut desk, gone..gone + 1);
        gone += 1;
        let answer = look_under(&mut desk, gone - 1..gone);
        planned_ms = answer.wakes_ms.or(planned_ms);
        desk.wake(planned_ms.unwrap() + 300);
    }
    assert!(desk.now_ms - START_MS < 20_000, "{} ms", desk.now_ms - START_MS);
}

#[test]
fn t5_a_week_asleep_is_no_silence_and_keeps_nothing_waiting_afterwards() {
    const WEEK_MS: u64 = 7 * 24 * 3_600_000;
    let mut desk = Desk::with(100);
    take(&mut desk, 0..15);
    let planned_ms = desk.look().wakes_ms.unwrap();
    assert_eq!(desk.wake(planned_ms + WEEK_MS).published, 0);
    take(&mut desk, 15..60);
    assert_eq!(desk.look().published, 0);
    assert_eq!(
        (desk.folder.alice.held().unwrap().paths.len(), desk.shown()),
        (60, 100),
        "one wave, whatever lay between"
    );

    let mut desk = Desk::with(100);
    take(&mut desk, 0..12);
    let planned_ms = desk.look().wakes_ms.unwrap();
    let awake = desk.wake(planned_ms + WEEK_MS);
    assert_eq!(awake.published, 0);
    assert_eq!(desk.wake(awake.wakes_ms.unwrap()).published, 1, "a small clean-up goes with the first silence");
    assert_eq!(desk.shown(), 88);
}

#[test]
fn h1_a_folder_that_is_emptied_around_a_standstill_is_held() {
    let mut desk = Desk::with(15);
    take(&mut desk, 0..10);
    let planned_ms = desk.look().wakes_ms.unwrap();
    assert_eq!(desk.wake(planned_ms + 30_000).published, 0);
    take(&mut desk, 10..15);
    assert_eq!(desk.look().published, 0);
    assert_eq!((desk.folder.alice.held().unwrap().paths.len(), desk.shown()), (15, 15));
}

#[test]
fn t2_a_clock_that_is_set_back_keeps_no_burst_waiting() {
    let mut desk = Desk::with(100);
    desk.now_ms += 86_400_000;
    take(&mut desk, 0..3);
    desk.look();
    let answer = desk.wake(START_MS);
    assert_eq!(answer.published, 0, "more may follow");
    assert_eq!(desk.wake(answer.wakes_ms.unwrap()).published, 1);
    assert!(desk.now_ms < START_MS + 1_000);
}

#[test]
fn h2_a_file_whose_old_place_waits_is_taken_up_at_its_new_place_at_once() {
    let mut desk = Desk::with(100);
    let moved = desk.disk.remove(&at(&name(0))).unwrap();
    let answer = look_under(&mut desk, 0..1);
    assert_eq!((answer.published, desk.shown()), (0, 100));
    let passes_ms = answer.wakes_ms.unwrap();
    desk.disk.insert(at("moved"), moved);
    let answer = look_at(&mut desk, vec![at("moved")]);
    assert_eq!((answer.published, answer.looks_again, desk.shown()), (1, vec![], 100), "it moved, and nothing waits");
    desk.wake(passes_ms);
    assert_eq!(desk.shown(), 100);
    assert!(desk.folder.alice.view().lookup(&at("moved")).is_some());
}

#[test]
fn h2_edits_and_moves_do_not_wait_for_what_is_deleted() {
    let mut desk = Desk::with(100);
    take(&mut desk, 0..3);
    desk.write(&name(50), b"other words");
    desk.write("new", b"news");
    let moved = desk.disk.remove(&at(&name(60))).unwrap();
    desk.disk.insert(at("moved"), moved);
    assert_eq!(desk.look().published, 1);
    let view = desk.folder.alice.view();
    assert!(view.lookup(&at("new")).is_some() && view.lookup(&at("moved")).is_some());
    assert_eq!((view.lookup(&at(&name(60))).is_none(), desk.shown()), (true, 101));
}

#[test]
fn h2_what_comes_back_before_the_burst_ends_was_never_gone() {
    let mut desk = Desk::with(100);
    let taken: Vec<_> = (0..12).map(|n| (n, desk.disk.remove(&at(&name(n))).unwrap())).collect();
    let answer = desk.look();
    taken.into_iter().for_each(|(n, file)| drop(desk.disk.insert(at(&name(n)), file)));
    assert_eq!(desk.look().published, 0);
    let answer = desk.wake(answer.wakes_ms.unwrap());
    assert_eq!((answer.published, answer.steps.len(), desk.shown()), (0, 0, 100));
    assert!(desk.folder.alice.summary().settled);
}

#[test]
fn h2_noise_is_held_and_turned_back_to_what_was() {
    let mut desk = Desk::with(60);
    for n in 0..40 {
        if n % 2 == 0 {
            desk.write(&name(n), &sealed(n));
        } else {
            desk.disk.remove(&at(&name(n)));
            desk.write(&format!("{}.locked", name(n)), &sealed(n));
        }
    }
    // An ordinary edit in the same look passes.
    desk.write(&name(59), b"other words");
    let answer = desk.look();
    assert_eq!((answer.published, desk.shown()), (1, 60));
    let held = desk.folder.alice.held().unwrap();
    assert_eq!((held.paths.len(), held.noise.len()), (20, 40));
    assert_eq!(desk.look().published, 0, "however often it is looked at");
    let answer = desk.input(Input::Decide { approve: false });
    let written = answer.steps.iter().filter(|step| matches!(step, Step::Write { .. })).count();
    assert_eq!((written, removed(&answer.steps)), (40, 20), "{:?}", answer.steps);
    assert!(desk.folder.alice.held().is_none());
    assert_eq!(answer.published, 0, "nobody ever hears of it");
}

/// The service stops when it has written what others made, before that is remembered; and before it has looked, they go on.
#[test]
fn k5_noise_that_a_step_wrote_before_a_stop_is_nobodys_edit() {
    let mut desk = Desk::with(5);
    let keys = desk.folder.keys.clone();
    let writes = |content: &[u8]| {
        let body = body(&keys, content);
        move |commit: &mut Commit<'_>, view: &View| {
            let shown = view.lookup(&at(&name(0))).and_then(ViewEntry::shown).unwrap();
            commit.edit(shown.inode, &shown.seen(), body).unwrap();
        }
    };
    let answer = desk.another(writes(&sealed(0)));
    assert!(matches!(&answer.steps[..], [Step::Write { .. }]), "{:?}", answer.steps);
    desk.write(&name(0), &sealed(0));
    desk.folder.alice_starts_again();
    desk.look();
    let answer = desk.another(writes(b"newer words"));
    assert!(matches!(&answer.steps[..], [Step::Write { .. }]), "{:?}", answer.steps);
    assert_eq!((desk.look().published, desk.shown()), (0, 5));
}

#[test]
fn h2_files_that_turned_into_noise_in_place_count_once_in_the_folder_they_are_a_part_of() {
    for (noise, files, is_held) in [(20, 30, false), (21, 30, true), (25, 30, true), (30, 60, false), (31, 60, true)] {
        let mut desk = Desk::with(files);
        (0..noise).for_each(|n| desk.write(&name(n), &sealed(n)));
        // Ordinary edits count as well, and not twice either.
        (noise..files).for_each(|n| desk.write(&name(n), b"other words"));
        desk.look();
        assert_eq!(desk.folder.alice.held().is_some(), is_held, "{noise} of {files}");
    }
}

#[test]
fn h2_noise_that_is_approved_is_published() {
    let mut desk = Desk::with(30);
    (0..25).for_each(|n| desk.write(&name(n), &sealed(n)));
    desk.look();
    assert_eq!(desk.folder.alice.held().unwrap().noise.len(), 25);
    let answer = desk.input(Input::Decide { approve: true });
    assert_eq!(answer.looks_again.len(), 25);
    assert_eq!(desk.look().published, 1);
    assert!(desk.folder.alice.held().is_none());
    let shown = desk.folder.alice.view().lookup(&at(&name(3))).and_then(ViewEntry::shown).unwrap().clone();
    assert_eq!(shown.body(desk.folder.alice.state()).unwrap().size, 300);
    // What was noise and stays noise is nothing to ask about.
    (0..25).for_each(|n| desk.write(&name(n), &sealed(n + 100)));
    desk.look();
    assert!(desk.folder.alice.held().is_some(), "the disk can not tell what stood there before");
}

#[test]
fn h1_what_can_not_be_said_to_others_now_is_refused_and_stays_held_until_it_is_approved_again() {
    let mut desk = Desk::with(100);
    (0..60).for_each(|n| drop(desk.disk.remove(&at(&name(n)))));
    desk.look();
    assert_eq!((desk.folder.alice.held().unwrap().paths.len(), desk.folder.alice.may_let_out()), (60, Ok(())));
    let whole = desk.folder.alice.standing.clone();
    // Somebody was sent away, and the new keys are not here.
    desk.input(Input::Standing(Standing { epoch: None, ..whole.clone() }));
    assert_eq!(desk.folder.alice.may_let_out(), Err(NotLetOut::NoEpoch));
    assert_eq!(desk.input(Input::Decide { approve: true }).published, 0);
    // One of them comes back meanwhile: what was not let out then is not let out now.
    desk.write(&name(0), b"back again");
    desk.look();
    desk.input(Input::Standing(whole.clone()));
    assert_eq!(desk.look().published, 1, "the one that is back");
    assert_eq!((desk.folder.alice.held().unwrap().paths.len(), desk.shown()), (59, 100));
    assert_eq!(desk.input(Input::Decide { approve: true }).published, 1);
    assert_eq!((desk.folder.alice.held().is_none(), desk.shown()), (true, 41));

    let mut desk = Desk::with(100);
    (0..60).for_each(|n| drop(desk.disk.remove(&at(&name(n)))));
    desk.look();
    desk.input(Input::Standing(Standing { can_write: false, ..whole }));
    assert_eq!(desk.folder.alice.may_let_out(), Err(NotLetOut::MayNotWrite));
}

#[test]
fn h2_what_others_took_away_stays_here_until_a_person_says_so() {
    for approve in [true, false] {
        let mut desk = Desk::with(100);
        let answer = desk.another(remove_all(0..60));
        assert_eq!((removed(&answer.steps), desk.shown()), (0, 40));
        assert_eq!(desk.folder.alice.held_incoming().unwrap().removed.len(), 60);
        assert_eq!(desk.look().published, 0, "what stands here still is no news");
        let answer = desk.input(Input::DecideIncoming { approve });
        assert!(desk.folder.alice.held_incoming().is_none());
        if approve {
            assert_eq!(removed(&answer.steps), 60);
            continue;
        }
        assert_eq!((removed(&answer.steps), answer.looks_again.len()), (0, 60));
        let answer = desk.look();
        assert_eq!((answer.published, desk.shown(), answer.steps.len()), (1, 100, 0));
    }
}

#[test]
fn h2_a_few_deletions_of_others_and_all_that_only_moved_pass() {
    let mut desk = Desk::with(100);
    let answer = desk.another(remove_all(0..20));
    assert_eq!(removed(&answer.steps), 20);
    assert!(desk.folder.alice.held_incoming().is_none());
    // A clean-up that only moves: a rename of every file.
    let mut desk = Desk::with(100);
    let answer = desk.another(|commit, view| {
        for n in 0..100 {
            let leaf = view.lookup(&at(&name(n))).and_then(ViewEntry::shown).unwrap();
            commit.rename(leaf.inode, Inode::ZERO, &format!("new {n}").parse().unwrap()).unwrap();
        }
    });
    assert!(desk.folder.alice.held_incoming().is_none());
    assert_eq!(answer.steps.iter().filter(|step| matches!(step, Step::RenameFile { .. })).count(), 100);
}

#[test]
fn h2_noise_from_others_waits_when_it_is_much_and_passes_when_it_is_little() {
    for (files, is_held) in [(5, false), (40, true)] {
        let mut desk = Desk::with(60);
        let keys = desk.folder.keys.clone();
        let edit = |commit: &mut Commit<'_>, view: &View| {
            for n in 0..files {
                let leaf = view.lookup(&at(&name(n))).and_then(ViewEntry::shown).unwrap();
                commit.edit(leaf.inode, &leaf.seen(), body(&keys, &sealed(n))).unwrap();
            }
        };
        let head = desk.another(edit);
        let writes = head.steps.iter().filter(|step| matches!(step, Step::Write { let_in: false, .. })).count();
        assert_eq!(writes, files);
        // Whoever writes them sees what they are.
        let ids: Vec<StepId> = desk.folder.alice.jobs.keys().copied().collect();
        let mut again = Vec::new();
        for id in ids {
            again.extend(desk.input(Input::StepFailed { id, why: StepError::Noise }).steps);
        }
        let held = desk.folder.alice.held_incoming().map_or(0, |held| held.noise.len());
        assert_eq!(held, if is_held { files } else { 0 });
        let let_in = again.iter().filter(|step| matches!(step, Step::Write { let_in: true, .. })).count();
        assert_eq!(let_in, if is_held { 0 } else { files });
        if is_held {
            // Turned back: what stands here is published in its place.
            desk.input(Input::DecideIncoming { approve: false });
            let answer = desk.look();
            assert_eq!((answer.published, answer.steps.len()), (1, 0), "{:?}", answer.steps);
            let leaf = desk.folder.alice.view().lookup(&at(&name(3))).and_then(ViewEntry::shown).unwrap().clone();
            let now = leaf.body(desk.folder.alice.state()).unwrap();
            assert_eq!(now.plain_digest, body(&desk.folder.keys, b"words of 3").plain_digest);
        }
    }
}

#[test]
fn h2_what_undoes_a_disaster_is_none() {
    let mut desk = Desk::with(60);
    let others: Vec<usize> = (0..40).collect();
    let keys = desk.folder.keys.clone();
    // Others have encrypted copies of forty files, which are here; then they take them away again, and bring news.
    for n in &others {
        desk.write(&format!("{}.locked", name(*n)), &sealed(*n));
    }
    let answer = desk.look();
    desk.wake(answer.wakes_ms.unwrap());
    desk.look();
    assert_eq!(desk.shown(), 100);
    let answer = desk.another(|commit, view| {
        for n in &others {
            let leaf = view.lookup(&at(&format!("{}.locked", name(*n)))).and_then(ViewEntry::shown).unwrap();
            commit.remove(leaf.inode, &leaf.seen());
        }
        let news = body(&keys, b"news");
        commit.create(Inode::ZERO, &"news".parse().unwrap(), Kind::File, news);
    });
    assert!(desk.folder.alice.held_incoming().is_none());
    assert_eq!((removed(&answer.steps), answer.steps.len()), (40, 41));
}

#[test]
fn what_a_person_asked_to_go_is_not_asked_about_again() {
    let mut desk = Desk::with(50);
    let all: BTreeSet<FolderPath> = desk.disk.keys().cloned().collect();
    desk.input(Input::Agreed(all));
    desk.disk.clear();
    let answer = desk.look();
    assert_eq!((answer.published, desk.shown()), (1, 0));
    assert!(desk.folder.alice.held().is_none());
}

#[test]
fn h2_the_last_few_of_a_disaster_belong_to_it() {
    let mut desk = Desk::with(100);
    (0..80).for_each(|n| drop(desk.disk.remove(&at(&name(n)))));
    desk.look();
    (80..83).for_each(|n| drop(desk.disk.remove(&at(&name(n)))));
    assert_eq!((desk.look().published, desk.folder.alice.held().unwrap().paths.len()), (0, 83));
    // Much later, a single deletion is one again.
    desk.now_ms += Brake::default().window_ms;
    desk.disk.remove(&at(&name(90)));
    let answer = desk.look();
    assert_eq!((answer.published, desk.folder.alice.held().unwrap().paths.len()), (0, 83));
    assert_eq!(desk.wake(answer.wakes_ms.unwrap()).published, 1);
    assert_eq!((desk.shown(), desk.folder.alice.held().unwrap().paths.len()), (99, 83));
    // A second disaster is one, too, and none of it leaves because the first still waits.
    desk.now_ms += Brake::default().window_ms;
    for n in 83..90 {
        desk.disk.remove(&at(&name(n)));
        assert_eq!(look_under(&mut desk, n..n + 1).published, 0);
    }
    assert_eq!((desk.shown(), desk.folder.alice.held().unwrap().paths.len()), (99, 83));
}

#[test]
fn h2_a_file_in_the_place_of_a_directory_waits_with_what_was_in_that() {
    let mut folder = Folder::new();
    let others: Vec<(String, Stat)> = (20..30).map(|n| (format!("page {n}"), file(n))).collect();
    let others = || others.iter().map(|(path, stat)| (path.as_str(), stat.clone()));
    let dir = [("d", Stat::Dir(FileId { dev: 1, ino: 1 })), ("d/a", file(2)), ("d/b", file(3))];
    folder.alice_sees(&dir.into_iter().chain(others()).collect::<Vec<_>>());
    let shown = folder.shows();
    assert_eq!(shown.len(), 13);
    // Both leave as one when the burst is over: nobody sees a file and a directory that want one name.
    let listed: Vec<(FolderPath, Stat)> =
        [("d", file(4))].into_iter().chain(others()).map(|(path, stat)| (at(path), stat)).collect();
    let look = |folder: &mut Folder, now_ms| {
        folder.alice.handle(now_ms, Input::ScanBegun { under: Vec::new() });
        folder.alice.handle(now_ms, Input::Listed(listed.clone()));
        let Stat::File(stamp) = file(4) else { unreachable!() };
        let body = Box::new(body(&folder.keys, b"d"));
        folder.alice.handle(now_ms, Input::Hashed { path: at("d"), stamp, body });
        folder.alice.handle(now_ms, Input::ScanEnded { unreadable: Vec::new() });
    };
    look(&mut folder, 2_000);
    assert_eq!(folder.shows(), shown);
    folder.alice.handle(2_700, Input::Woken);
    let mut again = Vec::new();
    while let Some(output) = folder.alice.poll_output() {
        if let Output::Rescan(paths) = output {
            again.extend(paths);
        }
    }
    assert_eq!(again, [at("d")]);
    look(&mut folder, 3_100);
    let leaf = folder.alice.view().lookup(&at("d")).and_then(ViewEntry::shown);
    assert!(leaf.is_some_and(|leaf| leaf.conflict.is_none()), "{:?}", folder.shows());
    assert_eq!(folder.shows().len(), 11);
}

/// What begins with "page" is no content.
#[derive(Debug)]
struct NoPages;

impl IgnoreRules for NoPages {
    fn matches(&self, path: &FolderPath, _: bool) -> bool {
        path.as_str().starts_with("page")
    }
}

#[test]
fn l15_what_was_deleted_before_new_rules_named_it_is_deleted_for_all() {
    let mut desk = Desk::with(30);
    take(&mut desk, 0..1);
    assert_eq!(desk.look().published, 0, "more may follow");
    desk.input(Input::Rules(Arc::new(NoPages)));
    assert_eq!(desk.shown(), 29, "what stands here, and is ignored, is deleted for nobody");
    assert!(desk.folder.alice.view().lookup(&at(&name(0))).is_none());
}

#[test]
fn t2_a_burst_passes_though_the_clock_was_set_back_by_a_year() {
    let mut desk = Desk::with(30);
    desk.now_ms += 365 * 24 * 3_600_000;
    take(&mut desk, 0..1);
    desk.look();
    desk.now_ms = START_MS;
    let passes_ms = desk.look().wakes_ms.expect("it is known when it passes");
    assert!(passes_ms < START_MS + 10_000);
    assert_eq!(desk.wake(passes_ms).published, 1);
    assert_eq!(desk.shown(), 29);
}
