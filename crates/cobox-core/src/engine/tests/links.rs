//! X2, L8: links that would lead outside from where their directory has come.

use super::*;
use crate::engine::links::leads_outside;
use crate::symlink::stays_inside;

/// Alice's disk, on which every step is done at once, and another member who changes the folder again and again.
struct Scene {
    folder: Folder,
    other: Mallory,
    disk: BTreeMap<FolderPath, Stat>,
    numbers: u64,
}

impl Scene {
    /// Alice's folder as her disk shows it.
    fn of(listed: &[(&str, Stat)]) -> Self {
        let mut folder = Folder::new();
        assert_eq!(folder.alice_sees(listed), []);
        let other = Mallory::new(&folder);
        let disk = listed.iter().map(|(path, stat)| (at(path), stat.clone())).collect();
        Self { folder, other, disk, numbers: 100 }
    }

    /// The other member changes what Alice's folder has.
    fn others(&mut self, change: impl FnOnce(&mut Commit<'_>)) {
        self.other.state = self.folder.alice.state().clone();
        let (key, shape) = (self.other.key.public(), self.folder.keys.shape());
        let mut commit = Commit::new(&mut self.other.state, self.other.actor, key, shape);
        change(&mut commit);
        commit.finish();
        let (root, blocks) = self.other.seals(&self.folder);
        let head = self.other.publishes(&self.folder, root, self.other.counter());
        self.folder.mallory(&head, &blocks);
        self.folder.tell(Input::Woken);
        assert!(self.folder.refused().is_empty(), "{:?}", self.folder.told);
    }

    /// What Alice's engine wants done next is done; no link may lead outside meanwhile.
    fn step(&mut self) -> Option<Step> {
        let (id, step) = self.folder.alice.jobs.iter().next().map(|(id, step)| (*id, step.clone()))?;
        self.numbers += 1;
        let stamp = Stamp { id: FileId { dev: 1, ino: self.numbers }, ..stamp(self.numbers) };
        let now_there = match &step {
            Step::MakeDir { path } => self.disk.insert(path.clone(), Stat::Dir(stamp.id)).map_or(Some(path), |_| None),
            Step::RenameDir { from, to } => {
                let below: Vec<FolderPath> = self.disk.keys().filter(|path| path.starts_with(from)).cloned().collect();
                for path in below {
                    let stat = self.disk.remove(&path).unwrap();
                    self.disk.insert(path.rebased(from, to).unwrap(), stat);
                }
                Some(to)
            }
            Step::RenameFile { from, to, .. } => {
                let stat = self.disk.remove(from).unwrap();
                assert!(self.disk.insert(to.clone(), stat).is_none());
                Some(to)
            }
            Step::Write { path, kind, body, .. } => {
                let Content::Inline(bytes) = &body.content else { panic!("all is small here") };
                let text = || String::from_utf8(bytes.to_vec()).unwrap();
                let stat = if *kind == Kind::Symlink { Stat::Symlink(stamp, text()) } else { Stat::File(stamp) };
                self.disk.insert(path.clone(), stat);
                Some(path)
            }
            Step::SetMeta { path, .. } => Some(path),
            Step::Remove { path, .. } | Step::RemoveDir { path } => {
                assert!(self.disk.remove(path).is_some(), "{path} is there");
                None
            }
        };
        let now_there = now_there.and_then(|path| self.disk.get(path).cloned());
        self.folder.tell(Input::StepDone { id, now_there });
        for (path, stat) in &self.disk {
            let Stat::Symlink(_, text) = stat else { continue };
            assert!(stays_inside(path, text), "{path} leads to {text} after {step:?}");
        }
        Some(step)
    }

    /// All that is wanted is done.
    fn rest(&mut self) -> Vec<Step> {
        std::iter::from_fn(|| self.step()).take(1_000).collect()
    }

    /// A person has done this to the disk, and Alice's engine looks.
    fn looks(&mut self) {
        let listed: Vec<(String, Stat)> =
            self.disk.iter().map(|(path, stat)| (path.to_string(), stat.clone())).collect();
        let listed: Vec<(&str, Stat)> = listed.iter().map(|(path, stat)| (path.as_str(), stat.clone())).collect();
        self.folder.alice_sees(&listed);
    }

    fn moves_below(&mut self, from: &str, to: &str) {
        let below: Vec<FolderPath> = self.disk.keys().filter(|path| path.starts_with(&at(from))).cloned().collect();
        for path in below {
            let stat = self.disk.remove(&path).unwrap();
            self.disk.insert(path.rebased(&at(from), &at(to)).unwrap(), stat);
        }
    }

    fn dir(&self, path: &str) -> Inode {
        self.folder.alice.view().lookup(&at(path)).and_then(ViewEntry::dir).unwrap()
    }

    fn outside(&self) -> Vec<String> {
        self.folder.alice.summary().outside.iter().map(ToString::to_string).collect()
    }

    fn on_disk(&self) -> Vec<String> {
        self.disk.keys().map(ToString::to_string).collect()
    }
}

fn stamp(ino: u64) -> Stamp {
    Stamp { size: 1, mtime_ns: 5, ctime_ns: 5, id: FileId { dev: 1, ino }, executable: false }
}

fn dir(ino: u64) -> Stat {
    Stat::Dir(FileId { dev: 1, ino })
}

fn link(ino: u64, text: &str) -> Stat {
    Stat::Symlink(stamp(ino), text.into())
}

/// Two directories deep, the link leads to the root's `x`.
fn deep_link() -> Scene {
    Scene::of(&[
        ("a", dir(1)),
        ("a/b", dir(2)),
        ("a/b/l", link(3, "../../x")),
        ("a/b/stays", link(4, "x")),
        ("x", file(5)),
    ])
}

#[test]
fn x2_a_link_is_taken_away_before_others_move_its_directory_to_where_it_leads_outside() {
    let mut scene = deep_link();
    let b = scene.dir("a/b");
    scene.others(|commit| commit.rename(b, Inode::ZERO, &"b".parse().unwrap()).unwrap());
    let steps = scene.rest();
    assert!(
        matches!(&steps[..], [Step::Remove { path, .. }, Step::RenameDir { to, .. }] if *path == at("a/b/l") && *to == at("b")),
        "{steps:?}"
    );
    assert_eq!(scene.on_disk(), ["a", "b", "b/stays", "x"]);
    assert_eq!(scene.outside(), ["b/l"], "it is told");
    let summary = scene.folder.alice.summary();
    assert_eq!((summary.pending_files, summary.stuck.len()), (0, 0), "nothing waits for it");

    // A look finds it missing, which is nobody's deletion; and where it leads inside it is there again.
    scene.looks();
    assert!(scene.folder.shows().contains(&"b/l".to_owned()));
    let (a, b) = (scene.dir("a"), scene.dir("b"));
    scene.others(|commit| commit.rename(b, a, &"c".parse().unwrap()).unwrap());
    scene.rest();
    assert_eq!(scene.on_disk(), ["a", "a/c", "a/c/l", "a/c/stays", "x"]);
    assert_eq!(scene.outside(), [""; 0]);
}

#[test]
fn x2_a_link_that_leads_outside_after_a_person_moved_its_directory_is_taken_away_and_not_forgotten() {
    let mut scene = deep_link();
    scene.moves_below("a/b", "b");
    scene.looks();
    assert_eq!(scene.folder.shows(), ["a", "b", "b/l", "b/stays", "x"], "nobody deleted it");
    let steps = scene.rest();
    assert!(matches!(&steps[..], [Step::Remove { path, .. }] if *path == at("b/l")), "{steps:?}");
    scene.looks();
    assert_eq!(scene.folder.shows(), ["a", "b", "b/l", "b/stays", "x"]);
    scene.moves_below("b", "a/b");
    scene.looks();
    scene.rest();
    assert_eq!(scene.on_disk(), ["a", "a/b", "a/b/l", "a/b/stays", "x"]);
}

#[test]
fn x2_a_move_waits_for_a_link_that_is_just_being_written() {
    let mut scene = deep_link();
    let (b, new) = (scene.dir("a/b"), symlink_body(&scene.folder.keys, "../../x", 5));
    scene.others(|commit| {
        commit.create(b, &"new".parse().unwrap(), Kind::Symlink, new);
    });
    scene.others(|commit| commit.rename(b, Inode::ZERO, &"b".parse().unwrap()).unwrap());
    let moves = |step: &Step| matches!(step, Step::RenameDir { .. });
    assert!(!scene.folder.alice.jobs.values().any(moves), "{:?}", scene.folder.alice.jobs);
    // It was begun before it could be called off.
    let first = scene.step();
    assert!(matches!(&first, Some(Step::Write { path, .. }) if *path == at("a/b/new")), "{first:?}");
    scene.rest();
    assert_eq!(scene.on_disk(), ["a", "b", "b/stays", "x"]);
    assert_eq!(scene.outside(), ["b/l", "b/new"]);
}

#[test]
fn x2_who_deletes_a_directory_deletes_the_links_that_stand_on_no_disk_with_it() {
    let mut scene = deep_link();
    let b = scene.dir("a/b");
    scene.others(|commit| commit.rename(b, Inode::ZERO, &"b".parse().unwrap()).unwrap());
    scene.rest();
    scene.disk.retain(|path, _| !path.starts_with(&at("b")));
    scene.looks();
    scene.rest();
    assert_eq!(scene.folder.shows(), ["a", "x"], "the directory does not come back for it");
    assert_eq!(scene.outside(), [""; 0]);
}

#[test]
fn l8_a_persons_own_link_that_leads_outside_is_no_content() {
    let mut scene = Scene::of(&[("d", dir(1)), ("d/in", link(2, "../x")), ("x", file(3))]);
    for (path, text) in [("way out", "/etc"), ("d/up", "../../x"), ("d/control", "../.cobox/keep")] {
        scene.disk.insert(at(path), link(9, text));
    }
    scene.looks();
    assert_eq!(scene.folder.shows(), ["d", "d/in", "x"]);
    assert!(scene.rest().is_empty(), "it is left alone");
    // Whoever lets one that was content lead outside takes it out of the folder.
    scene.disk.insert(at("d/in"), link(10, "/etc"));
    scene.looks();
    assert_eq!(scene.folder.shows(), ["d", "x"]);
}

/// Others move directories with links in them about in any order: no link leads outside at any moment, and what stands on the disk in the end is
/// what the folder shows but for those that may not.
#[test]
fn x2_no_link_ever_leads_outside_whatever_others_move() {
    for seed in 0..200u64 {
        let mut random = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
        let mut below = |n: usize| {
            let mut byte = [0; 2];
            random.fill(&mut byte);
            usize::from(u16::from_le_bytes(byte)) % n
        };
        let mut scene = Scene::of(&[
            ("a", dir(1)),
            ("a/b", dir(2)),
            ("a/b/c", dir(3)),
            ("a/b/c/three", link(4, "../../../x")),
            ("a/b/two", link(5, "../../x")),
            ("d", dir(6)),
            ("d/one", link(7, "../x")),
            ("x", file(8)),
        ]);
        for round in 0..12 {
            let shown = scene.folder.alice.view().entries.clone();
            let dirs: Vec<Inode> = shown.values().filter_map(ViewEntry::dir).chain([Inode::ZERO]).collect();
            let (what, into) = (dirs[below(dirs.len() - 1)], dirs[below(dirs.len())]);
            let new = symlink_body(&scene.folder.keys, &"../".repeat(below(4)), round as i64);
            let (name, makes_link) = (format!("n{round}"), below(3) == 0);
            scene.others(|commit| {
                if makes_link {
                    commit.create(into, &name.parse().unwrap(), Kind::Symlink, new);
                } else {
                    commit.rename(what, into, &name.parse().unwrap()).unwrap();
                }
            });
            // The next change may come while these are still under way.
            for _ in 0..below(6) {
                scene.step();
            }
        }
        scene.rest();
        let alice = &scene.folder.alice;
        let may_stand = |(path, entry): &(&FolderPath, &ViewEntry)| !leads_outside(alice.state(), path, entry);
        let shown: Vec<String> =
            alice.view().entries.iter().filter(may_stand).map(|(path, _)| path.to_string()).collect();
        assert_eq!(scene.on_disk(), shown, "seed {seed}");
    }
}
