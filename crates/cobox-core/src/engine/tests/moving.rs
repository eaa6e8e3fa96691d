//! Looks at a disk on which things were moved, deleted or given other kinds, and steps that were under way there meanwhile.

use super::*;

/// The directory is new, the one that moves into it is known, and where the new one stands a file is known.
#[test]
fn k2_a_directory_moved_into_one_that_was_a_file_stays_there() {
    let mut folder = Folder::new();
    let id = |ino| FileId { dev: 1, ino };
    let stamp = |ino| Stamp { size: 1, mtime_ns: 5, ctime_ns: 5, id: id(ino), executable: false };
    let before = [("d", Stat::Dir(id(1))), ("d/x", Stat::File(stamp(2))), ("f", Stat::File(stamp(3)))];
    assert_eq!(folder.alice_sees(&before), []);
    assert_eq!(folder.shows(), ["d", "d/x", "f"]);
    let after = [("f", Stat::Dir(id(4))), ("f/d", Stat::Dir(id(1))), ("f/d/x", Stat::File(stamp(2)))];
    assert_eq!(folder.alice_sees(&after), [], "nothing on the disk is moved");
    assert_eq!(folder.shows(), ["f", "f/d", "f/d/x"]);
}

/// A person deletes a file and moves a directory to its place; or a new directory there has, from the disk, the number of one that is gone.
/// The file does not come back once the directory goes on.
#[test]
fn k2_a_directory_takes_the_place_of_a_file_for_good() {
    let dir = |ino| Stat::Dir(FileId { dev: 1, ino });
    let before = [("d", dir(1)), ("d/x", file(2)), ("f", file(3))];
    let moved = [("f", dir(1)), ("f/x", file(2))];
    let numbered = [("f", dir(1)), ("f/was a file", file(3))];
    for there in [moved, numbered] {
        let mut folder = Folder::new();
        folder.alice_sees(&before);
        assert_eq!(folder.alice_sees(&there), [], "nothing is to be done on the disk");
        assert_eq!(folder.shows(), there.clone().map(|(path, _)| path.to_owned()));
        let on = there[1].0.replace("f/", "g/");
        assert_eq!(folder.alice_sees(&[("g", dir(1)), (&on, there[1].1.clone())]), []);
        assert_eq!(folder.shows(), ["g".to_owned(), on]);
    }
}

/// The same where the file came along with the directory above, which is one that moved.
#[test]
fn k2_a_directory_takes_the_place_of_a_file_in_one_that_moved_for_good() {
    let dir = |ino| Stat::Dir(FileId { dev: 1, ino });
    let mut folder = Folder::new();
    folder.alice_sees(&[("d", dir(1)), ("d/x", file(2)), ("e", dir(3)), ("e/y", file(4))]);
    assert_eq!(folder.alice_sees(&[("f", dir(1)), ("f/x", dir(3)), ("f/x/y", file(4))]), []);
    assert_eq!(folder.shows(), ["f", "f/x", "f/x/y"]);
    assert_eq!(folder.alice_sees(&[("f", dir(1)), ("g", dir(3)), ("g/y", file(4))]), []);
    assert_eq!(folder.shows(), ["f", "g", "g/y"]);
}

/// Directories that moved into what was made anew where others had stood, seen in one look: whichever is listed first, the folder has
/// them where they stand, and nothing is to be done on the disk.
#[test]
fn k2_directories_that_moved_into_what_was_made_anew_in_each_others_places_stand_where_they_do() {
    let dir = |ino| Stat::Dir(FileId { dev: 1, ino });
    // d -> e, d made anew, and what had been d/d/e -> d/e.
    let mut folder = Folder::new();
    folder.alice_sees(&[("d", dir(1)), ("d/d", dir(2)), ("d/d/b", file(3)), ("d/d/e", dir(4)), ("d/d/e/c", file(5))]);
    let now = [("d", dir(6)), ("d/e", dir(4)), ("d/e/c", file(5)), ("e", dir(1)), ("e/d", dir(2)), ("e/d/b", file(3))];
    assert!(folder.alice_sees(&now).is_empty());
    assert_eq!(folder.shows(), now.map(|(path, _)| path.to_owned()));
    let inode = |folder: &Folder, path: &str| folder.alice.view().lookup(&at(path)).and_then(ViewEntry::dir);
    assert!(inode(&folder, "d").is_some() && inode(&folder, "d") != inode(&folder, "e"));

    // a -> b/p and b -> a/q, both made anew.
    let mut folder = Folder::new();
    folder.alice_sees(&[("a", dir(1)), ("a/x", file(3)), ("b", dir(2)), ("b/y", file(4))]);
    let (a, b) = (inode(&folder, "a"), inode(&folder, "b"));
    let now = [("a", dir(5)), ("a/q", dir(2)), ("a/q/y", file(4)), ("b", dir(6)), ("b/p", dir(1)), ("b/p/x", file(3))];
    assert!(folder.alice_sees(&now).is_empty());
    assert_eq!(folder.shows(), now.map(|(path, _)| path.to_owned()));
    assert_eq!((inode(&folder, "b/p"), inode(&folder, "a/q")), (a, b), "moved, and not written anew");
}

/// The disk gives the number of a deleted file to the next new one. It is not the old one moved and edited: what others do to the old one
/// must not come to it.
#[test]
fn k2_a_new_file_with_the_number_of_a_deleted_one_is_not_the_deleted_one() {
    let mut folder = Folder::new();
    let file = |ino, ctime_ns| {
        Stat::File(Stamp { size: 1, mtime_ns: 5, ctime_ns, id: FileId { dev: 1, ino }, executable: false })
    };
    folder.alice_sees(&[("minutes", file(1, 5)), ("stays", file(2, 5))]);
    let minutes = folder.item("minutes");
    folder.alice_sees(&[("holidays", file(1, 9)), ("stays", file(2, 5))]);
    assert_eq!(folder.shows(), ["holidays", "stays"]);
    assert_ne!(folder.item("holidays"), minutes);
}

/// A look caught a file in the middle of a move and knows it at both places. It goes to where others moved it from one of the two; the
/// other is cleared away once it is there and not before, since the first may be empty by now.
#[test]
fn k2_what_may_be_the_only_one_left_is_not_cleared_away_before_it_stands_where_it_should() {
    let mut folder = Folder::new();
    folder.alice_sees(&[("here", file(1))]);
    let known = folder.alice.synced[&at("here")].clone();
    folder.alice.synced.insert(at("was here"), known);
    folder.alice.at_rest.changed(&at("was here"), false);
    let item = folder.item("here");
    let steps = folder.another_writes(|commit| commit.rename(item, Inode::ZERO, &"there".parse().unwrap()).unwrap());
    assert!(matches!(&steps[..], [Step::RenameFile { to, .. }] if *to == at("there")), "{steps:?}");
}

/// A file moves into a directory that is not here yet, and another takes its place. To write the one and to move the other are not two
/// steps at one time: the first to end would leave the place to the next look, which would take what the second did for a person's deed.
#[test]
fn k2_a_place_is_never_part_of_two_steps() {
    let mut folder = Folder::new();
    folder.alice_sees(&[("a", file(1))]);
    let (item, new) = (folder.item("a"), body(&folder.keys, b"new"));
    let steps = folder.another_writes(|commit| {
        let dir = commit.make_dir(Inode::ZERO, &"d".parse().unwrap());
        commit.rename(item, dir, &"b".parse().unwrap()).unwrap();
        commit.create(Inode::ZERO, &"a".parse().unwrap(), Kind::File, new);
    });
    let mut places: Vec<&FolderPath> = steps.iter().flat_map(Step::paths).collect();
    assert!(places.contains(&&at("a")), "{steps:?}");
    let count = places.len();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), count, "{steps:?}");
}

/// A file goes to where another is deleted, and where it stood is a directory now. Its bytes are written over the other first; only then
/// does it make way.
#[test]
fn k2_what_is_written_over_another_does_not_make_way_for_a_directory_in_the_same_moment() {
    let mut folder = Folder::new();
    folder.alice_sees(&[("d", file(1)), ("e", file(2))]);
    let [gone, item] = ["d", "e"].map(|path| folder.item(path));
    let seen = folder.alice.state().get(&gone).unwrap().body[0].0;
    let steps = folder.another_writes(|commit| {
        commit.remove(gone, &[seen]);
        commit.rename(item, Inode::ZERO, &"d".parse().unwrap()).unwrap();
        commit.make_dir(Inode::ZERO, &"e".parse().unwrap());
    });
    let [Step::Write { path, source: Some((from, _)), .. }] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!((path, from), (&at("d"), &at("e")));
}

/// A file is moved away or deleted before it was told that it has been written. The look that comes of it finds nothing where nothing is
/// known, as if it were not written yet; nobody would look there again before the next whole look.
#[test]
fn k2_what_goes_before_its_step_is_told_is_looked_for_once_it_is() {
    let looks_after = |end: fn(StepId) -> Input| {
        let mut folder = Folder::new();
        folder.alice_sees(&[]);
        let new = body(&folder.keys, b"new");
        let steps = folder.another_writes(|commit| {
            commit.create(Inode::ZERO, &"f".parse().unwrap(), Kind::File, new);
        });
        assert!(matches!(&steps[..], [Step::Write { .. }]), "{steps:?}");
        folder.alice_sees(&[]);
        let id = *folder.alice.jobs.keys().next().unwrap();
        folder.alice.handle(1_000, end(id));
        let mut looks = Vec::new();
        while let Some(output) = folder.alice.poll_output() {
            looks.extend(if let Output::Rescan(places) = output { places } else { Vec::new() });
        }
        assert!(folder.alice.seen_empty.is_empty());
        looks
    };
    assert_eq!(looks_after(|id| Input::StepDone { id, now_there: Some(file(1)) }), [at("f")]);
    assert_eq!(looks_after(|id| Input::StepFailed { id, why: StepError::NoContent }), [], "nothing came");
}

/// No file is pending then, and still the disk is not what the folder shows.
#[test]
fn o8_while_something_is_to_be_moved_or_removed_here_nobody_is_told_that_all_is_in_step() {
    let changes: [fn(&mut Commit<'_>, Inode, &[Dot]); 2] = [
        |commit, item, seen| commit.remove(item, seen),
        |commit, item, _| commit.rename(item, Inode::ZERO, &"moved".parse().unwrap()).unwrap(),
    ];
    for change in changes {
        let mut folder = Folder::new();
        folder.alice_sees(&[("f", file(1)), ("stays", file(2))]);
        let (item, seen) = (folder.item("f"), folder.alice.leaf_at(&at("f")).unwrap().1);
        let steps = folder.another_writes(|commit| change(commit, item, &seen));
        let is_quiet = |folder: &Folder| folder.alice.summary().in_step();
        assert!(
            matches!(&steps[..], [Step::Remove { .. } | Step::RenameFile { .. }]) && !is_quiet(&folder),
            "{steps:?}"
        );
        let id = *folder.alice.jobs.keys().next().unwrap();
        let now_there = matches!(&steps[..], [Step::RenameFile { .. }]).then(|| file(1));
        folder.tell(Input::StepDone { id, now_there });
        folder.tell(Input::Woken);
        folder.alice.handle(10_000, Input::Woken);
        while folder.alice.poll_output().is_some() {}
        assert!(is_quiet(&folder), "{:?}", folder.alice.summary());
    }
}

/// It is tried again later, and until then it stands there.
#[test]
fn o8_while_something_could_not_be_removed_here_nobody_is_told_that_all_is_in_step() {
    let mut folder = Folder::new();
    folder.alice_sees(&[("f", file(1)), ("stays", file(2))]);
    let (f, f_seen) = (folder.item("f"), folder.alice.leaf_at(&at("f")).unwrap().1);
    let steps = folder.another_writes(|commit| commit.remove(f, &f_seen));
    assert!(matches!(&steps[..], [Step::Remove { .. }]), "{steps:?}");
    let fails = |folder: &mut Folder, why: StepError| {
        let id = *folder.alice.jobs.keys().next().unwrap();
        folder.tell(Input::StepFailed { id, why });
        folder.alice.handle(10_000, Input::Woken);
        while folder.alice.poll_output().is_some() {}
        folder.alice.summary().in_step()
    };
    assert!(!fails(&mut folder, StepError::Changed));
    for why in [StepError::Changed, StepError::Failed("EBUSY".into()), StepError::DiskFull] {
        folder.alice.retry_stuck();
        while folder.alice.poll_output().is_some() {}
        assert!(!fails(&mut folder, why));
    }
    folder.alice.retry_stuck();
    while folder.alice.poll_output().is_some() {}
    let id = *folder.alice.jobs.keys().next().unwrap();
    folder.tell(Input::StepDone { id, now_there: None });
    folder.alice.handle(20_000, Input::Woken);
    while folder.alice.poll_output().is_some() {}
    assert!(folder.alice.summary().in_step(), "{:?}", folder.alice.summary());
}

/// A file is moved away from where a step is under way. That nothing is told of its old place, look after look, is no sign that it still
/// stands there.
#[test]
fn k2_a_file_moved_while_a_step_is_under_way_at_its_old_place_is_no_copy() {
    let mut folder = Folder::new();
    let looks = |folder: &mut Folder, name: &str, s: i64| {
        let (mtime_ns, id) = (s * 1_000_000_000, FileId { dev: 1, ino: 1 });
        let stamp = Stamp { size: 1, mtime_ns, ctime_ns: mtime_ns, id, executable: false };
        folder.alice_reads(&[(name, Stat::File(stamp))], |_| "text".into())
    };
    // A second is no change of a time, but many of them are one that the folder takes back.
    assert_eq!([looks(&mut folder, "a", 0), looks(&mut folder, "a", 1)], [[], []]);
    let item = folder.item("a");
    let steps = looks(&mut folder, "a", 2);
    assert!(matches!(&steps[..], [Step::SetMeta { .. }]), "{steps:?}");
    for _ in 0..3 {
        looks(&mut folder, "b", 2);
        assert_eq!(folder.shows(), ["a"], "it is not known yet what became of it");
    }
    let id = *folder.alice.jobs.keys().next().unwrap();
    folder.tell(Input::StepFailed { id, why: StepError::Changed });
    looks(&mut folder, "b", 2);
    assert_eq!((folder.shows(), folder.item("b")), (vec!["b".to_owned()], item));
}

/// Somebody makes a file executable and moves it, and Alice deletes it when the one has come to her disk and the other is on its way there.
/// A look at the place where a step is under way says nothing of it: she did not see what she deleted.
#[test]
fn c2_a_mode_that_came_survives_a_deletion_that_is_first_seen_while_a_step_is_under_way() {
    let mut folder = Folder::new();
    let stamp = |executable| Stamp { size: 1, mtime_ns: 0, ctime_ns: 0, id: FileId { dev: 1, ino: 1 }, executable };
    let other = ("other", file(2));
    folder.alice_sees(&[("a", Stat::File(stamp(false))), other.clone()]);
    let item = folder.item("a");
    let seen = folder.alice.view().lookup(&at("a")).and_then(ViewEntry::shown).unwrap().seen().to_vec();
    let executable = Body { executable: true, ..body(&folder.keys, b"a") };
    let steps = folder.another_writes(|commit| commit.edit(item, &seen, executable).unwrap());
    assert!(matches!(&steps[..], [Step::SetMeta { .. }]), "{steps:?}");
    let id = *folder.alice.jobs.keys().next().unwrap();
    folder.tell(Input::StepDone { id, now_there: Some(Stat::File(stamp(true))) });
    let steps =
        folder.another_writes(|commit| commit.rename(item, Inode::ZERO, &"b".parse().unwrap()).map(drop).unwrap());
    assert!(matches!(&steps[..], [Step::RenameFile { .. }]), "{steps:?}");
    folder.alice_sees(std::slice::from_ref(&other));
    let id = *folder.alice.jobs.keys().next().unwrap();
    folder.tell(Input::StepFailed { id, why: StepError::Changed });
    folder.alice_sees(&[other]);
    assert_eq!((folder.shows(), folder.item("b")), (vec!["b".to_owned(), "other".to_owned()], item));
}

/// What is content is settled before anything else is done. A directory that the rules move into is needed for that.
#[test]
fn l15_rules_that_move_into_a_new_directory_get_there() {
    let mut folder = Folder::new();
    folder.alice_sees(&[(crate::path::IGNORE_FILE, file(1)), ("x", file(2))]);
    let [rules, x] = [crate::path::IGNORE_FILE, "x"].map(|path| folder.item(path));
    let steps = folder.another_writes(|commit| {
        let dir = commit.make_dir(Inode::ZERO, &"d".parse().unwrap());
        commit.rename(rules, dir, &"old rules".parse().unwrap()).unwrap();
        commit.rename(x, Inode::ZERO, &"y".parse().unwrap()).unwrap();
    });
    assert!(matches!(&steps[..], [Step::MakeDir { .. }, Step::RenameFile { .. }]), "{steps:?}");
}

/// The service stops before it has moved a file as others did, or just after it, before that is remembered.
fn stops_where_others_move_minutes_to_protocol(folder: &mut Folder) -> Inode {
    folder.alice_sees(&[("minutes", file(1)), ("stays", file(2))]);
    let item = folder.item("minutes");
    let steps = folder.another_writes(|commit| {
        commit.rename(item, Inode::ZERO, &"protocol".parse().unwrap()).map(drop).unwrap();
    });
    assert!(matches!(&steps[..], [Step::RenameFile { .. }]), "{steps:?}");
    folder.alice_starts_again();
    item
}

/// Meanwhile a person deletes it. Shown at its new place it might be waited for by everybody for ever: hers may have been the only one.
#[test]
fn k2_what_a_person_deletes_while_nothing_runs_is_deleted_wherever_others_moved_it() {
    let mut folder = Folder::new();
    stops_where_others_move_minutes_to_protocol(&mut folder);
    assert_eq!(folder.alice_sees(&[("stays", file(2))]), [], "nothing is written anew");
    assert_eq!(folder.shows(), ["stays"]);
}

/// The service stops when it has written a file, before that is remembered and before the directory is moved as others moved it.
#[test]
fn k5_what_a_step_wrote_before_a_stop_into_a_directory_that_others_moved_is_nobodys_file() {
    let dir = || Stat::Dir(FileId { dev: 1, ino: 1 });
    let mut folder = Folder::new();
    folder.alice_sees(&[("d", dir()), ("d/old", file(2))]);
    let d = folder.alice.view().lookup(&at("d")).and_then(ViewEntry::dir).unwrap();
    let written = body(&folder.keys, b"what others wrote");
    folder.another_writes(|commit| {
        commit.create(d, &"new".parse().unwrap(), Kind::File, written);
        commit.rename(d, Inode::ZERO, &"e".parse().unwrap()).unwrap();
    });
    let item = folder.item("e/new");
    folder.alice_starts_again();
    let here = [("d", dir()), ("d/new", file(3)), ("d/old", file(2))];
    let steps = folder.alice_reads(&here, |path| match path.to_string().as_str() {
        "d/new" => "what others wrote".into(),
        path => path.into(),
    });
    assert!(matches!(&steps[..], [Step::RenameDir { .. }]), "{steps:?}");
    assert_eq!((folder.shows(), folder.item("e/new")), (["e", "e/new", "e/old"].map(str::to_owned).into(), item));
    let state = folder.alice.state();
    assert_eq!(state.iter().filter(|(_, item)| item.kind == Kind::File).count(), 2, "none is made a second time");
}

#[test]
fn k5_what_a_step_moved_before_a_stop_is_not_deleted_whatever_its_number_is_now() {
    for number in [1, 9] {
        let mut folder = Folder::new();
        let item = stops_where_others_move_minutes_to_protocol(&mut folder);
        let steps = folder.alice_reads(&[("protocol", file(number)), ("stays", file(2))], |path| {
            if *path == at("protocol") { "minutes".into() } else { path.to_string() }
        });
        assert_eq!(steps, [], "number {number}");
        assert_eq!((folder.shows(), folder.item("protocol")), (vec!["protocol".into(), "stays".into()], item));
    }
}

/// It may stand where nothing could be read.
#[test]
fn k5_what_may_stand_where_a_first_look_could_not_see_is_not_deleted() {
    let mut folder = Folder::new();
    let item = stops_where_others_move_minutes_to_protocol(&mut folder);
    folder.tell(Input::ScanBegun { under: Vec::new() });
    folder.tell(Input::Listed(vec![(at("stays"), file(2))]));
    folder.tell(Input::ScanEnded { unreadable: vec![at("protocol")] });
    assert_eq!((folder.shows(), folder.item("protocol")), (vec!["protocol".into(), "stays".into()], item));
}
