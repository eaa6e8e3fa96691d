//! Bringing changes onto the disk when nobody interferes (l1, l11, l16, l17, k1, k3).

use std::os::unix::fs::PermissionsExt;

use super::*;

const MTIME: i64 = 1_600_000_000_123_456_789;

#[test]
fn a_new_file_has_its_content_time_and_bit() {
    let desk = Desk::new();
    desk.tree.make_dir(&path("bin")).unwrap();
    let temp = desk.received(b"#!/bin/sh\n");
    let applied = desk.tree.replace(temp, &path("bin/run"), Expect::Absent, MTIME, true).unwrap();
    assert_eq!(applied, Applied { stamp: desk.stamp("bin/run"), kept: None });
    assert_eq!(desk.read("bin/run"), "#!/bin/sh\n");
    assert_eq!(mtime_ns(&desk.at("bin/run")), MTIME);
    assert!(applied.stamp.executable);
    assert_eq!(std::fs::read_dir(desk.at(".cobox/tmp")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(desk.at(".cobox/keep")).unwrap().count(), 0);
    desk.tree.sync_dirs(&[path("bin"), path("gone")].into()).unwrap();
}

#[test]
fn a_replaced_file_is_kept_and_can_be_served_until_it_is_dropped() {
    let desk = Desk::new();
    desk.write("x", "the only copy");
    let before = desk.stamp("x");
    let applied = desk.replace("x", b"theirs", desk.expect("x")).unwrap();
    assert_eq!((desk.read("x").as_str(), applied.stamp), ("theirs", desk.stamp("x")));
    let id = applied.kept.unwrap();
    let kept = desk.tree.list_kept().unwrap();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].intact && kept[0].id == id && kept[0].stamp.ino == before.ino);
    let file = desk.tree.open_kept(&id).unwrap();
    assert_eq!(file.read_at(4, 4).unwrap(), b"only");
    assert_eq!(desk.kept_text(&id), "the only copy");
    assert_eq!(id.as_str().parse(), Ok(id.clone()));
    assert!(desk.tree.drop_kept(&id).unwrap());
    assert!(desk.tree.drop_kept(&id).unwrap(), "gone already is fine");
    assert!(matches!(desk.tree.open_kept(&id), Err(ReadError::Gone { .. })));
}

#[test]
fn l5_a_program_that_writes_on_into_a_kept_file_keeps_it_from_being_dropped() {
    let desk = Desk::new();
    desk.write("x", "draft");
    let mut editor = std::fs::OpenOptions::new().append(true).open(desk.at("x")).unwrap();
    let id = desk.replace("x", b"theirs", desk.expect("x")).unwrap().kept.unwrap();
    std::io::Write::write_all(&mut editor, b", and more").unwrap();
    let kept = desk.tree.list_kept().unwrap().remove(0);
    assert!(!kept.intact);
    assert!(!desk.tree.drop_kept(&id).unwrap());
    assert_eq!(desk.kept_text(&id), "draft, and more");
    std::io::Write::write_all(&mut editor, b"!").unwrap();
    assert!(!desk.tree.drop_changed_kept(&id, &kept.stamp).unwrap(), "changed since it was read");
    let read = *desk.tree.open_kept(&id).unwrap().stamp();
    assert!(desk.tree.drop_changed_kept(&id, &read).unwrap());
}

#[test]
fn l11_permissions_stay_but_for_the_executable_bit_and_setuid_is_never_set() {
    let desk = Desk::new();
    for (before, executable, after) in [
        (0o600, false, 0o600),
        (0o640, true, 0o750),
        (0o755, false, 0o644),
        (0o4755, true, 0o755),
        (0o444, true, 0o555),
    ] {
        desk.write("x", "old");
        std::fs::set_permissions(desk.at("x"), std::fs::Permissions::from_mode(before)).unwrap();
        let applied =
            desk.tree.replace(desk.received(b"new"), &path("x"), desk.expect("x"), MTIME, executable).unwrap();
        assert_eq!(std::fs::metadata(desk.at("x")).unwrap().mode() & 0o7777, after, "{before:o}");
        assert_eq!(applied.stamp, desk.stamp("x"));
        std::fs::remove_file(desk.at("x")).unwrap();
    }
}

#[test]
fn l11_a_sparse_file_stays_sparse_on_its_way_in() {
    let desk = Desk::new();
    let mut temp = desk.tree.temp("big").unwrap();
    temp.write_at(0, b"head").unwrap();
    for at in 1..200 {
        temp.write_at(at << 20, &vec![0; 1 << 20]).unwrap();
    }
    temp.write_at(1 << 40, b"tail").unwrap();
    assert_eq!(temp.read_at(100 << 20, 4).unwrap(), [0; 4]);
    assert!(temp.write_at(u64::MAX - 1, b"xy").is_err() && temp.write_at(i64::MAX as u64, b"x").is_err());
    desk.tree.replace(temp, &path("big"), Expect::Absent, MTIME, false).unwrap();
    let meta = std::fs::metadata(desk.at("big")).unwrap();
    assert_eq!(meta.len(), (1 << 40) + 4);
    assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
}

#[test]
fn zeros_over_bytes_are_written() {
    let desk = Desk::new();
    let mut temp = desk.tree.temp("t").unwrap();
    temp.write_at(0, b"abcdef").unwrap();
    temp.write_at(2, &[0, 0]).unwrap();
    temp.write_at(5, &[0, 0]).unwrap();
    assert_eq!(temp.read_at(0, 100).unwrap(), b"ab\0\0e\0\0");
    temp.write_at(3, &[]).unwrap();
    assert_eq!(temp.len(), 7);
}

#[test]
fn removing_moves_aside_and_says_when_there_is_something_else() {
    let desk = Desk::new();
    desk.write("x", "bytes");
    let expected = desk.expect("x");
    let id = desk.tree.remove(&path("x"), expected).unwrap().unwrap();
    assert!(!desk.at("x").exists());
    assert_eq!(desk.kept_text(&id), "bytes");
    assert!(matches!(desk.tree.remove(&path("x"), expected), Err(ApplyError::Changed { .. })));
    assert_eq!(desk.tree.remove(&path("x"), Expect::Absent).unwrap(), None);
    assert_eq!(desk.tree.remove(&path("no/dir/x"), Expect::Absent).unwrap(), None);
    desk.write("x", "new");
    assert!(matches!(desk.tree.remove(&path("x"), Expect::Absent), Err(ApplyError::Changed { .. })));
    assert_eq!(desk.read("x"), "new");
}

#[test]
fn l16_a_directory_with_something_in_it_stays() {
    let desk = Desk::new();
    desk.write("dir/ignored.log", "mine");
    let dir = desk.expect("dir");
    assert!(matches!(desk.tree.remove_dir(&path("dir")), Err(ApplyError::NotEmpty { .. })));
    assert!(matches!(desk.tree.remove(&path("dir"), dir), Err(ApplyError::NotEmpty { .. })));
    assert_eq!(desk.read("dir/ignored.log"), "mine");
    assert!(matches!(desk.tree.remove_dir(&path("dir/ignored.log")), Err(ApplyError::Changed { .. })));
    std::fs::remove_file(desk.at("dir/ignored.log")).unwrap();
    desk.tree.remove_dir(&path("dir")).unwrap();
    desk.tree.remove_dir(&path("dir")).unwrap();
    desk.tree.remove_dir(&path("dir/below")).unwrap();
}

#[test]
fn making_a_directory_twice_is_one_directory_and_a_file_in_the_way_is_said() {
    let desk = Desk::new();
    let first = desk.tree.make_dir(&path("dir")).unwrap();
    assert_eq!(desk.tree.make_dir(&path("dir")).unwrap(), first);
    desk.write("file", "");
    assert!(matches!(desk.tree.make_dir(&path("file")), Err(ApplyError::Changed { .. })));
    assert!(desk.tree.make_dir(&path("no/dir")).is_err());
    let expect = desk.expect("dir");
    assert!(matches!(desk.replace("dir", b"x", expect), Err(ApplyError::Changed { .. })), "never over a directory");
}

#[test]
fn files_links_and_whole_directories_are_renamed() {
    let desk = Desk::new();
    desk.write("dir/x", "x");
    desk.write("file", "f");
    symlink("file", desk.at("link"));
    for (from, to) in [("file", "dir/file"), ("link", "link2"), ("dir", "dir2")] {
        let before = desk.tree.stat(&path(from)).unwrap().unwrap();
        let after = desk.tree.rename(&path(from), &path(to), Expect::from(&before)).unwrap();
        assert_eq!(desk.tree.stat(&path(to)).unwrap(), Some(after.clone()));
        match (before, after) {
            (Seen::Dir { ino, .. }, Seen::Dir { ino: now, .. }) => assert_eq!(ino, now),
            (before, after) => assert_eq!(before.stamp().unwrap().ino, after.stamp().unwrap().ino),
        }
    }
    assert_eq!(desk.paths(), ["dir2", "dir2/file", "dir2/x", "link2"]);
    desk.write("taken", "taken");
    let file = desk.expect("dir2/file");
    assert!(
        matches!(desk.tree.rename(&path("dir2/file"), &path("taken"), file), Err(ApplyError::Changed { path }) if path.to_string() == "taken")
    );
    assert_eq!((desk.read("taken").as_str(), desk.read("dir2/file").as_str()), ("taken", "f"));
    assert!(desk.tree.rename(&path("dir2"), &path("dir2/below"), desk.expect("dir2")).is_err());
    assert!(matches!(desk.tree.rename(&path("gone"), &path("x"), file), Err(ApplyError::Changed { .. })));
}

#[test]
fn l1_a_case_only_rename_is_one_file_with_the_new_name() {
    let desk = Desk::new();
    desk.write("A.txt", "a");
    desk.write("Dir/b", "b");
    desk.tree.rename(&path("A.txt"), &path("a.txt"), desk.expect("A.txt")).unwrap();
    desk.tree.rename(&path("Dir"), &path("dir"), desk.expect("Dir")).unwrap();
    assert_eq!(desk.paths(), ["a.txt", "dir", "dir/b"]);
}

#[test]
fn symlinks_are_made_replaced_and_removed() {
    let desk = Desk::new();
    desk.write("dir/x", "x");
    let made = desk.tree.make_symlink(&path("dir/link"), "../dir/x", Expect::Absent).unwrap();
    assert_eq!(made, Applied { stamp: desk.stamp("dir/link"), kept: None });
    let other = desk.tree.make_symlink(&path("dir/link"), "x", Expect::Stamp(made.stamp)).unwrap();
    assert_eq!(other.kept, None, "a link's text is known; nothing to keep");
    assert_eq!(std::fs::read_link(desk.at("dir/link")).unwrap(), Path::new("x"));
    assert!(matches!(desk.tree.make_symlink(&path("dir/link"), "y", Expect::Absent), Err(ApplyError::Changed { .. })));
    // A link becomes a file, and a file a link.
    let file = desk.replace("dir/link", b"file", desk.expect("dir/link")).unwrap();
    assert_eq!((desk.read("dir/link").as_str(), desk.read("dir/x").as_str(), file.kept), ("file", "x", None));
    let link = desk.tree.make_symlink(&path("dir/link"), "x", desk.expect("dir/link")).unwrap();
    assert_eq!(desk.kept_text(&link.kept.unwrap()), "file");
    assert_eq!(desk.tree.remove(&path("dir/link"), desk.expect("dir/link")).unwrap(), None);
    assert_eq!(desk.paths(), ["dir", "dir/x"]);
    assert_eq!(std::fs::read_dir(desk.at(".cobox/tmp")).unwrap().count(), 0);
}

#[test]
fn meta_is_set_and_an_mtime_asks_for_another_look() {
    let desk = Desk::new();
    desk.write("x", "x");
    let before = desk.stamp("x");
    let bit = desk.tree.set_meta(&path("x"), Expect::Stamp(before), before.mtime_ns, true).unwrap();
    assert_eq!(bit, desk.stamp("x"));
    assert!(bit.executable);
    assert!(matches!(
        desk.tree.set_meta(&path("x"), Expect::Stamp(before), before.mtime_ns, true),
        Err(ApplyError::Changed { .. })
    ));
    let timed = desk.tree.set_meta(&path("x"), Expect::Stamp(bit), MTIME, false).unwrap();
    let now = desk.stamp("x");
    assert_eq!((now.mtime_ns, now.executable), (MTIME, false));
    assert_eq!(Stamp { ctime_ns: 0, ..timed }, Stamp { ctime_ns: 0, ..now });
    assert_ne!(timed, now);
}

#[test]
fn k1_temporary_files_outlive_a_crash_and_leftovers_are_cleared() {
    let desk = Desk::new();
    desk.tree.temp("half").unwrap().write_at(0, b"first half, ").unwrap();
    drop(desk.tree.temp("forgotten").unwrap());
    std::fs::create_dir(desk.at(".cobox/tmp/odd")).unwrap();
    let desk = desk.reopened();
    assert_eq!(desk.tree.clear_temps(&["half".to_owned()].into()).unwrap(), 2);
    let mut temp = desk.tree.temp("half").unwrap();
    assert_eq!(temp.read_at(0, 100).unwrap(), b"first half, ");
    temp.write_at(12, b"second half").unwrap();
    desk.tree.sync_temps().unwrap();
    desk.tree.replace(temp, &path("x"), Expect::Absent, MTIME, false).unwrap();
    assert_eq!(desk.read("x"), "first half, second half");
    desk.tree.temp("waste").unwrap().discard().unwrap();
    assert_eq!(desk.tree.clear_temps(&Default::default()).unwrap(), 0);
}

#[test]
fn k3_a_temporary_file_that_a_failed_sync_may_have_lost_is_refused() {
    let desk = Desk::new();
    desk.write("x", "old");
    let temp = desk.received(b"maybe lost");
    desk.tree.0.syncs.fail_for_tests();
    let error = desk.tree.replace(temp, &path("x"), desk.expect("x"), MTIME, false).unwrap_err();
    assert!(matches!(error, ApplyError::NotStored { .. }));
    assert_eq!(desk.read("x"), "old");
    desk.replace("x", b"written anew", desk.expect("x")).unwrap();
    assert_eq!(desk.read("x"), "written anew");
}

#[test]
fn k3_a_file_whose_own_sync_failed_is_refused_until_it_is_written_anew() {
    let desk = Desk::new();
    let temp = desk.received(b"maybe lost");
    temp.fail_alone_for_tests();
    drop(temp);
    let again = desk.tree.temp("received").unwrap();
    let error = desk.tree.replace(again, &path("x"), Expect::Absent, MTIME, false).unwrap_err();
    assert!(matches!(error, ApplyError::NotStored { .. }), "its bytes can be read, and may be nowhere on the disk");
    desk.tree.temp("received").unwrap().discard().unwrap();
    desk.replace("x", b"written anew", Expect::Absent).unwrap();
    assert_eq!(desk.read("x"), "written anew");
}

#[test]
fn k3_a_sync_counts_for_what_was_written_before_it_only() {
    let desk = Desk::new();
    let mut temp = desk.received(b"one");
    assert!(!temp.is_synced_for_tests());
    desk.tree.sync_temps().unwrap();
    assert!(temp.is_synced_for_tests());
    temp.write_at(3, b"two").unwrap();
    assert!(!temp.is_synced_for_tests());
    assert!(temp.make_durable().unwrap() && temp.is_synced_for_tests());
    drop(temp);
    assert!(!desk.tree.temp("received").unwrap().is_synced_for_tests(), "an earlier life's bytes may be on their way");
}
