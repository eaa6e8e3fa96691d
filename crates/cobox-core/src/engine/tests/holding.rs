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

#[test]
fn h2_a_burst_waits_for_its_end_and_then_passes_or_is_held_as_a_whole() {
    // Twelve of a hundred: nothing more comes, so they go.
    let mut desk = Desk::with(100);
    (0..12).for_each(|n| drop(desk.disk.remove(&at(&name(n)))));
    let answer = desk.look();
    assert_eq!((answer.published, desk.shown()), (0, 100), "not before it is known what more comes");
    assert!(desk.folder.alice.held().is_none() && !desk.folder.alice.summary().settled);
    let answer = desk.wake(answer.wakes_ms.unwrap());
    assert_eq!((answer.published, desk.shown()), (1, 88));
    assert!(desk.folder.alice.summary().settled);

    // The same, and then many more: not one of them leaves.
    let mut desk = Desk::with(100);
    (0..12).for_each(|n| drop(desk.disk.remove(&at(&name(n)))));
    desk.look();
    (12..80).for_each(|n| drop(desk.disk.remove(&at(&name(n)))));
    let answer = desk.look();
    assert_eq!((answer.published, desk.shown()), (0, 100));
    assert_eq!(desk.folder.alice.held().unwrap().paths.len(), 80);
    let later = desk.wake(START_MS + 60_000);
    assert_eq!((later.published, desk.shown()), (0, 100), "it waits for a person, not for time");
    let answer = desk.input(Input::Decide { approve: true });
    assert_eq!((answer.published, desk.shown()), (1, 20));
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
    assert_eq!((desk.look().published, desk.folder.alice.held().unwrap().paths.len()), (1, 83));
}
