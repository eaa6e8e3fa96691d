//! What people do to one folder at the same time, by the case ids of the failure list.

use cobox_core::path::{FolderPath, Name};
use cobox_core::state::{Body, Commit, EditError, Kind, Shown, State, View, ViewEntry, view};
use cobox_proto::id::Inode;
use cobox_proto::limits::{NAME_BYTES_MAX, PATH_DEPTH_MAX};

use super::world::{DAY_NS, actor, body, depths, device, listing, name, path, prf};

/// A person with one device.
#[derive(Clone)]
struct Person {
    number: u64,
    state: State,
}

impl Person {
    fn new(number: u64) -> Self {
        Self { number, state: State::new() }
    }

    fn commit(&mut self) -> Commit<'_> {
        Commit::new(&mut self.state, actor(self.number), device(self.number), &prf)
    }

    fn view(&self) -> View {
        view(&self.state)
    }

    fn lines(&self) -> Vec<String> {
        listing(&self.state, &self.view())
    }

    fn dir(&self, at: &str) -> Inode {
        self.view().lookup(&path(at)).unwrap().dir().unwrap()
    }

    fn shown(&self, at: &str) -> Shown {
        self.view().lookup(&path(at)).unwrap().shown().unwrap().clone()
    }

    fn place(&self, at: &str) -> (Inode, Name) {
        let (above, last) = at.rsplit_once('/').unwrap_or(("", at));
        (self.dir(above), name(last))
    }

    fn mkdir(&mut self, at: &str) {
        let (parent, name) = self.place(at);
        let mut commit = self.commit();
        commit.make_dir(parent, &name);
        commit.finish().unwrap();
    }

    fn create(&mut self, at: &str, value: u64) {
        self.create_as(at, Kind::File, body(value));
    }

    fn create_as(&mut self, at: &str, kind: Kind, body: Body) {
        let (parent, name) = self.place(at);
        let mut commit = self.commit();
        commit.create(parent, &name, kind, body);
        commit.finish().unwrap();
    }

    fn edit(&mut self, at: &str, value: u64) {
        let shown = self.shown(at);
        let mut commit = self.commit();
        commit.edit(shown.inode, &shown.seen(), body(value)).unwrap();
        commit.remove_twins(&shown);
        commit.finish().unwrap();
    }

    fn rename(&mut self, from: &str, to: &str) {
        let (parent, name) = self.place(to);
        let inodes = match self.view().lookup(&path(from)).unwrap() {
            ViewEntry::Dir { inodes } => inodes.clone(),
            entry => vec![entry.shown().unwrap().inode],
        };
        let mut commit = self.commit();
        for inode in inodes {
            commit.rename(inode, parent, &name).unwrap();
        }
        commit.finish().unwrap();
    }

    fn remove(&mut self, at: &str) {
        let shown = self.shown(at);
        let mut commit = self.commit();
        commit.remove(shown.inode, &shown.seen());
        commit.remove_twins(&shown);
        commit.finish().unwrap();
    }

    fn remove_dir(&mut self, at: &str) {
        let view = self.view();
        let top = path(at);
        let inside = |p: &FolderPath| top.iter().eq(p.iter().take(top.iter().count()));
        let mut commit = self.commit();
        for (_, entry) in view.entries.iter().filter(|(p, _)| inside(p)) {
            match entry {
                ViewEntry::Dir { inodes } => inodes.iter().for_each(|inode| commit.trash_dir(*inode)),
                ViewEntry::File(shown) | ViewEntry::Symlink(shown) => commit.remove(shown.inode, &shown.seen()),
            }
        }
        commit.finish().unwrap();
    }

    fn hear(&mut self, other: &Person) {
        let (_, alarms) = self.state.join(&other.state, &depths());
        assert_eq!(alarms, []);
    }
}

/// Both hear of each other; they must then hold the same.
fn meet(a: &mut Person, b: &mut Person) {
    let before = a.clone();
    a.hear(b);
    b.hear(&before);
    assert_eq!(a.state, b.state);
}

fn two_with(setup: impl FnOnce(&mut Person)) -> (Person, Person) {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    setup(&mut alice);
    meet(&mut alice, &mut bob);
    (alice, bob)
}

/// How a losing side is called: the device of whoever wrote it, the date of `world::body`.
fn copy_of(stem: &str, who: u64, extension: &str) -> String {
    format!("{stem} (conflict {} 2024-10-04){extension}", &device(who).short()[..6])
}

#[test]
fn c1_two_edits_keep_both_and_the_copy_is_named_after_its_writer() {
    let (mut alice, mut bob) = two_with(|alice| alice.create("plan.txt", 1));
    alice.edit("plan.txt", 2);
    bob.edit("plan.txt", 3);
    meet(&mut alice, &mut bob);
    let (winner, loser) = if actor(1) > actor(2) { ((2, 1), (3, 2)) } else { ((3, 2), (2, 1)) };
    let copy = copy_of("plan", loser.1, ".txt");
    assert_eq!(alice.lines(), [format!("{copy} = {}!", loser.0), format!("plan.txt = {}", winner.0)]);
    let ViewEntry::File(shown) = alice.view().entries.remove(&path(&copy)).unwrap() else { panic!("not a file") };
    assert_eq!(shown.conflict.unwrap().of, path("plan.txt"));
}

#[test]
fn c1_the_same_edit_twice_is_no_conflict_and_is_undone_as_one() {
    let (mut alice, mut bob) = two_with(|alice| alice.create("plan.txt", 1));
    alice.edit("plan.txt", 2);
    bob.edit("plan.txt", 2);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines(), ["plan.txt = 2"]);
    assert_eq!(alice.shown("plan.txt").also.len(), 1);
    alice.edit("plan.txt", 3);
    assert_eq!(alice.lines(), ["plan.txt = 3"]);
}

#[test]
fn c1_both_import_one_tree_and_nothing_is_doubled() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    for person in [&mut alice, &mut bob] {
        person.mkdir("photos");
        person.create("photos/cat.jpg", 1);
    }
    bob.create("photos/dog.jpg", 2);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines(), ["photos/", "photos/cat.jpg = 1", "photos/dog.jpg = 2"]);
    assert_eq!(alice.state.len(), 3);
}

#[test]
fn c1_saving_one_side_of_a_conflict_keeps_the_other_until_it_is_deleted() {
    let (mut alice, mut bob) = two_with(|alice| alice.create("plan", 1));
    alice.edit("plan", 2);
    bob.edit("plan", 3);
    meet(&mut alice, &mut bob);
    bob.edit("plan", 4);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines().len(), 2);
    let copy = alice.view().entries.into_iter().find_map(|(p, e)| e.shown()?.conflict.is_some().then_some(p)).unwrap();
    alice.remove(copy.as_str());
    meet(&mut alice, &mut bob);
    assert_eq!(bob.lines(), ["plan = 4"]);
}

#[test]
fn a_conflict_copy_that_is_renamed_becomes_a_file_of_its_own() {
    let (mut alice, mut bob) = two_with(|alice| alice.create("plan", 1));
    alice.edit("plan", 2);
    bob.edit("plan", 3);
    meet(&mut alice, &mut bob);
    let view = alice.view();
    let loser = view.entries.values().find_map(|e| e.shown().filter(|s| s.conflict.is_some())).unwrap();
    let value = loser.body(&alice.state).unwrap().size;
    let mut commit = alice.commit();
    let own = commit.split_off(loser.inode, &loser.seen(), Inode::ZERO, &name("mine")).unwrap();
    commit.finish().unwrap();
    assert_ne!(own, loser.inode);
    meet(&mut alice, &mut bob);
    assert_eq!(bob.lines(), [format!("mine = {value}"), format!("plan = {}", 5 - value)]);
}

#[test]
fn splitting_off_the_only_value_is_a_rename() {
    let (mut alice, _) = two_with(|alice| alice.create("plan", 1));
    let shown = alice.shown("plan");
    let mut commit = alice.commit();
    assert_eq!(commit.split_off(shown.inode, &shown.seen(), Inode::ZERO, &name("b")), Ok(shown.inode));
    commit.finish().unwrap();
    assert_eq!(alice.lines(), ["b = 1"]);
}

#[test]
fn c2_an_edit_survives_a_concurrent_delete() {
    let (mut alice, mut bob) = two_with(|alice| alice.create("plan", 1));
    alice.remove("plan");
    bob.edit("plan", 2);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines(), ["plan = 2"]);
}

#[test]
fn c2_a_delete_that_saw_the_edit_stands_and_leaves_no_record() {
    let (mut alice, mut bob) = two_with(|alice| alice.create("plan", 1));
    bob.edit("plan", 2);
    alice.hear(&bob);
    alice.remove("plan");
    meet(&mut alice, &mut bob);
    assert!(bob.state.is_empty());
}

#[test]
fn c2_both_sides_of_a_conflict_deleted_apart_leave_nothing_that_lasts() {
    let (mut alice, mut bob) = two_with(|alice| alice.create("plan", 1));
    alice.edit("plan", 2);
    bob.edit("plan", 3);
    meet(&mut alice, &mut bob);
    let all: Vec<Shown> = alice.view().entries.values().filter_map(|e| e.shown()).cloned().collect();
    for (person, shown) in [&mut alice, &mut bob].into_iter().zip(&all) {
        let mut commit = person.commit();
        commit.remove(shown.inode, &shown.seen());
        commit.finish().unwrap();
    }
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines(), [""; 0]);
    assert_eq!(alice.state.len(), 1);
    alice.create("other", 4);
    assert_eq!(alice.state.len(), 1, "the next commit tidies up");
}

#[test]
fn c3_a_file_added_to_a_directory_that_moves_goes_with_it() {
    let (mut alice, mut bob) = two_with(|alice| alice.mkdir("photos"));
    alice.rename("photos", "pictures");
    bob.create("photos/cat", 1);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines(), ["pictures/", "pictures/cat = 1"]);
}

#[test]
fn c3_of_two_renames_one_name_stays() {
    let (mut alice, mut bob) = two_with(|alice| alice.create("a", 1));
    alice.rename("a", "b");
    bob.rename("a", "c");
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines(), [if actor(1) > actor(2) { "b = 1" } else { "c = 1" }]);
}

#[test]
fn c3_a_rename_and_an_edit_both_count() {
    let (mut alice, mut bob) = two_with(|alice| alice.create("a", 1));
    alice.rename("a", "b");
    bob.edit("a", 2);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines(), ["b = 2"]);
}

#[test]
fn c3_two_directories_moved_into_each_other_are_both_there() {
    let (mut alice, mut bob) = two_with(|alice| {
        alice.mkdir("x");
        alice.mkdir("y");
        alice.create("x/a", 1);
        alice.create("y/b", 2);
    });
    alice.rename("x", "y/x");
    bob.rename("y", "x/y");
    meet(&mut alice, &mut bob);
    let inner = if actor(1) > actor(2) {
        ["x/", "x/a = 1", "x/y/", "x/y/b = 2"]
    } else {
        ["y/", "y/b = 2", "y/x/", "y/x/a = 1"]
    };
    assert_eq!(alice.lines(), inner);
}

#[test]
fn c4_file_directory_and_symlink_of_one_name_are_all_there() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let mut carol = Person::new(3);
    alice.mkdir("notes");
    alice.create("notes/a", 1);
    bob.create("notes", 2);
    carol.create_as("notes", Kind::Symlink, body(3));
    alice.hear(&bob);
    alice.hear(&carol);
    let mut copies = [2, 3].map(|n| format!("{} = {n}!", copy_of("notes", n, "")));
    copies.sort();
    let expected = ["notes/".to_owned(), "notes/a = 1".into()].into_iter().chain(copies);
    assert_eq!(alice.lines(), expected.collect::<Vec<_>>());
}

#[test]
fn c4_directories_of_one_name_are_one_and_the_smallest_takes_new_children() {
    let (mut alice, mut bob) = two_with(|alice| {
        alice.mkdir("x");
        alice.mkdir("y");
        alice.create("x/a", 1);
        alice.create("y/a", 2);
    });
    alice.rename("x", "z");
    bob.rename("y", "z");
    meet(&mut alice, &mut bob);
    let Some(ViewEntry::Dir { inodes }) = alice.view().entries.remove(&path("z")) else { panic!("no directory") };
    assert!(inodes.len() == 2 && inodes.is_sorted());
    assert_eq!(alice.lines().len(), 3);
    alice.rename("z", "w");
    assert_eq!(alice.lines()[0], "w/");
    assert_eq!(alice.lines().len(), 3);
}

#[test]
fn c5_a_file_edited_deep_inside_keeps_its_parents_when_they_are_deleted() {
    let (mut alice, mut bob) = two_with(|alice| {
        alice.mkdir("a");
        alice.mkdir("a/b");
        alice.create("a/b/keep", 1);
        alice.create("a/b/drop", 2);
    });
    alice.remove_dir("a");
    assert_eq!(alice.lines(), [""; 0]);
    bob.edit("a/b/keep", 3);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines(), ["a/", "a/b/", "a/b/keep = 3"]);
    alice.remove("a/b/keep");
    assert_eq!(alice.lines(), [""; 0]);
}

#[test]
fn c5_a_directory_made_again_at_its_old_place_is_the_old_one() {
    let (mut alice, _) = two_with(|alice| alice.mkdir("a"));
    let old = alice.dir("a");
    alice.remove_dir("a");
    alice.mkdir("a");
    assert_eq!(alice.dir("a"), old);
    assert_eq!(alice.lines(), ["a/"]);
}

#[test]
fn c6_names_that_differ_in_case_only_are_two_files_in_the_state() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    alice.create("Foo", 1);
    bob.create("foo", 2);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines(), ["Foo = 1", "foo = 2"]);
}

#[test]
fn c7_a_copy_that_is_edited_and_conflicts_again_adds_no_copy_of_a_copy() {
    let (mut alice, mut bob) = two_with(|alice| alice.create("a.txt", 0));
    for level in 1..=100 {
        alice.edit("a.txt", level * 10);
        bob.edit("a.txt", level * 10 + 1);
        meet(&mut alice, &mut bob);
    }
    let lines = alice.lines();
    assert_eq!(lines.len(), 101);
    let names: Vec<FolderPath> = alice.view().entries.into_keys().collect();
    assert!(names.iter().all(|p| p.iter().all(|n| n.as_str().len() <= NAME_BYTES_MAX)));
    assert!(lines.iter().all(|line| line.matches("conflict").count() <= 1));
}

#[test]
fn c7_a_real_file_with_the_name_of_a_copy_keeps_it() {
    let (mut alice, mut bob) = two_with(|alice| {
        alice.create("a.txt", 1);
        alice.create(&copy_of("a", 1, ".txt"), 8);
        alice.create(&copy_of("a", 2, ".txt"), 9);
    });
    alice.edit("a.txt", 2);
    bob.edit("a.txt", 3);
    meet(&mut alice, &mut bob);
    let loser = if actor(1) > actor(2) { (2, 3) } else { (1, 2) };
    let copy = format!("{} = {}!", copy_of("a", loser.0, " 2.txt"), loser.1);
    assert!(alice.lines().contains(&copy), "{copy} not in {:?}", alice.lines());
    assert_eq!(alice.lines().len(), 4);
}

#[test]
fn c8_someone_away_for_years_undoes_nobodys_deletes_and_loses_no_edit() {
    let (mut alice, mut bob) = two_with(|alice| {
        for n in 0..20 {
            alice.create(&format!("file {n:02}"), n);
        }
    });
    for n in 0..10 {
        alice.remove(&format!("file {n:02}"));
    }
    bob.edit("file 03", 103);
    bob.edit("file 12", 112);
    bob.remove("file 13");
    for n in 0..50 {
        alice.edit("file 19", 200 + n);
    }
    meet(&mut alice, &mut bob);
    let shown: Vec<String> = alice.lines();
    assert_eq!(shown.len(), 10);
    assert!(shown.contains(&"file 03 = 103".into()));
    assert!(shown.contains(&"file 12 = 112".into()));
    assert!(shown.contains(&"file 19 = 249".into()));
}

#[test]
fn c9_the_same_change_by_three_routes_and_twice_is_one_change() {
    let (alice, mut bob) = two_with(|alice| alice.create("a", 1));
    bob.edit("a", 2);
    let mut routes = [3, 4, 5].map(Person::new);
    routes.iter_mut().for_each(|route| route.hear(&bob));
    let mut end = alice;
    for route in [&routes[2], &routes[0], &bob, &routes[1], &routes[0]] {
        end.hear(route);
        assert_eq!(end.state, bob.state);
    }
    assert!(end.state.join(&bob.state, &depths()).0.is_empty());
}

#[test]
fn l1_a_rename_that_changes_case_only_is_the_same_file_and_directory() {
    let (mut alice, mut bob) = two_with(|alice| {
        alice.mkdir("Docs");
        alice.create("Docs/A.txt", 1);
    });
    alice.rename("Docs/A.txt", "Docs/a.txt");
    alice.rename("Docs", "docs");
    bob.edit("Docs/A.txt", 2);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines(), ["docs/", "docs/a.txt = 2"]);
}

#[test]
fn l2_names_that_some_disks_fold_together_stay_apart_and_as_written() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let names = ["caf\u{e9}", "cafe\u{301}", "con", "a:b", "end. "];
    for (n, text) in names.iter().enumerate() {
        if n % 2 == 0 { &mut alice } else { &mut bob }.create(text, n as u64);
    }
    meet(&mut alice, &mut bob);
    let view = alice.view();
    assert_eq!(view.entries.len(), names.len());
    assert!(names.iter().all(|text| view.lookup(&path(text)).is_some()));
}

#[test]
fn files_of_equal_content_moved_to_one_name_show_once_and_change_as_one() {
    let (mut alice, mut bob) = two_with(|alice| {
        alice.create("a", 1);
        alice.create("b", 1);
    });
    alice.rename("a", "c");
    bob.rename("b", "c");
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines(), ["c = 1"]);
    assert_eq!(alice.shown("c").twins.len(), 1);
    alice.edit("c", 2);
    assert_eq!(alice.lines(), ["c = 2"]);
    bob.remove("c");
    assert_eq!(bob.lines(), [""; 0]);
}

#[test]
fn two_sides_of_one_conflict_edited_in_one_batch_both_stay() {
    let (mut alice, mut bob) = two_with(|alice| alice.create("plan", 1));
    alice.edit("plan", 2);
    bob.edit("plan", 3);
    meet(&mut alice, &mut bob);
    let sides: Vec<Shown> = alice.view().entries.values().filter_map(|e| e.shown()).cloned().collect();
    let before = alice.state.ctx.counter_max();
    let mut commit = alice.commit();
    for (n, shown) in sides.iter().enumerate() {
        commit.edit(shown.inode, &shown.seen(), body(10 + n as u64)).unwrap();
    }
    let (dot, _) = commit.finish().unwrap();
    assert_eq!(dot.counter, before + 2);
    assert!(alice.state.ctx.covers(dot));
    let mut values: Vec<u64> = alice.state.iter().flat_map(|(_, i)| i.body.iter().map(|(_, b)| b.size)).collect();
    values.sort();
    assert_eq!(values, [10, 11]);
}

#[test]
fn a_commit_that_writes_nothing_changes_nothing() {
    let (mut alice, _) = two_with(|alice| alice.create("plan", 1));
    let before = alice.clone();
    let shown = alice.shown("plan");
    let mut commit = alice.commit();
    commit.rename(shown.inode, Inode::ZERO, &name("plan")).unwrap();
    commit.remove(Inode([9; 16]), &shown.seen());
    commit.remove(shown.inode, &[]);
    commit.trash_dir(shown.inode);
    let gone = Inode([9; 16]);
    assert_eq!(commit.edit(gone, &[], body(2)), Err(EditError::Gone { inode: gone }));
    assert_eq!(commit.finish(), None);
    assert_eq!(alice.state, before.state);
}

#[test]
fn a_commit_that_is_dropped_leaves_no_dot_outside_the_context() {
    let mut alice = Person::new(1);
    let mut commit = alice.commit();
    commit.create(Inode::ZERO, &name("a"), Kind::File, body(1));
    drop(commit);
    let dots: Vec<_> = alice.state.iter().flat_map(|(_, item)| item.body.iter().map(|(dot, _)| *dot)).collect();
    assert!(dots.iter().all(|dot| alice.state.ctx.covers(*dot)));
}

#[test]
fn only_what_a_person_can_see_makes_a_conflict() {
    let (mut alice, mut bob) = two_with(|alice| alice.create("run.sh", 1));
    let touch = |person: &mut Person, executable: bool, mtime_ns: i64| {
        let shown = person.shown("run.sh");
        let mut commit = person.commit();
        commit.edit(shown.inode, &shown.seen(), Body { executable, mtime_ns, ..body(1) }).unwrap();
        commit.finish().unwrap();
    };
    touch(&mut alice, false, DAY_NS);
    touch(&mut bob, false, 2 * DAY_NS);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines(), ["run.sh = 1"]);
    touch(&mut alice, true, DAY_NS);
    touch(&mut bob, false, DAY_NS);
    meet(&mut alice, &mut bob);
    assert_eq!(alice.lines().len(), 2);
}

#[test]
fn x5_a_very_deep_chain_of_directories_is_shown_in_pieces() {
    let mut alice = Person::new(1);
    let mut commit = alice.commit();
    let mut parent = Inode::ZERO;
    for n in 0..20_000 {
        parent = commit.make_dir(parent, &name(&format!("d{n}")));
    }
    commit.create(parent, &name("deep"), Kind::File, body(1));
    commit.finish().unwrap();
    let view = alice.view();
    assert_eq!(view.entries.len(), 20_001);
    assert!(view.entries.keys().all(|p| p.iter().count() <= PATH_DEPTH_MAX + 1));
}

#[test]
fn a_large_folder_is_shown_whole_and_joins_by_what_changed() {
    let mut alice = Person::new(1);
    let mut commit = alice.commit();
    for d in 0..100 {
        let dir = commit.make_dir(Inode::ZERO, &name(&format!("directory {d}")));
        for f in 0..1_000 {
            commit.create(dir, &name(&format!("file {f}.txt")), Kind::File, body(f));
        }
    }
    commit.finish().unwrap();
    let mut bob = Person::new(2);
    bob.hear(&alice);
    bob.create("one more", 1);
    let (touched, _) = alice.state.join(&bob.state, &depths());
    assert_eq!(touched.len(), 1);
    assert_eq!(alice.view().entries.len(), 100_101);
}
