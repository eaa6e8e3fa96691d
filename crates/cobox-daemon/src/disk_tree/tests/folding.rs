//! Disks that can not hold every name (l1, l2). The kind is claimed: the disk below could hold them all, which shows that what is on it was chosen.

use super::*;

const FOLDING: DiskKind = DiskKind { folds_case: true, folds_form: true, ..DiskKind::ORDINARY };
const WINDOWS: DiskKind = DiskKind { refuses_windows_names: true, ..FOLDING };

fn on_disk(desk: &Desk, dir: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(desk.at(dir))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".cobox")
        .collect();
    names.sort();
    names
}

#[test]
fn this_disk_is_what_it_is_found_to_be() {
    let desk = Desk::new();
    if cfg!(target_os = "linux") {
        assert_eq!(desk.tree.kind(), DiskKind::ORDINARY);
    }
    assert_eq!(std::fs::read_dir(desk.at(".cobox/tmp")).unwrap().count(), 0, "probing leaves nothing");
    assert!(!desk.at(".cobox/names").exists());
}

#[test]
fn l2_colliding_names_live_side_by_side_and_keep_their_names_for_everyone_else() {
    let desk = Desk::of_kind(FOLDING);
    for name in ["Foo.txt", "foo.txt", "FOO.txt", "caf\u{e9}", "cafe\u{301}"] {
        desk.replace(name, name.as_bytes(), Expect::Absent).unwrap();
    }
    assert_eq!(on_disk(&desk, ""), ["FOO~3.txt", "Foo.txt", "cafe\u{301}~2", "caf\u{e9}", "foo~2.txt"]);
    let desk = desk.reopened();
    let mut expected = ["FOO.txt", "Foo.txt", "cafe\u{301}", "caf\u{e9}", "foo.txt"];
    expected.sort();
    assert_eq!(desk.paths(), expected);
    for name in expected {
        let mut bytes = Vec::new();
        desk.tree.read_stable(&path(name), &mut |part| bytes.extend_from_slice(part)).unwrap();
        assert_eq!(bytes, name.as_bytes());
    }
    // An edit stays where it is; removing one does not move the others.
    desk.replace("foo.txt", b"edited", desk.expect("foo.txt")).unwrap();
    desk.tree.remove(&path("Foo.txt"), desk.expect("Foo.txt")).unwrap();
    assert_eq!(desk.read("foo~2.txt"), "edited");
    assert!(desk.paths().contains(&"foo.txt".to_owned()));
    // With the last mapped name the table is empty again.
    for name in ["FOO.txt", "cafe\u{301}", "foo.txt"] {
        desk.tree.remove(&path(name), desk.expect(name)).unwrap();
    }
    desk.write("foo~2.txt", "the person's own");
    assert_eq!(desk.reopened().paths(), ["caf\u{e9}", "foo~2.txt"]);
}

#[test]
fn l2_directories_collide_too_and_what_is_in_them_follows_renames() {
    let desk = Desk::of_kind(WINDOWS);
    for dir in ["Dir", "dir"] {
        desk.tree.make_dir(&path(dir)).unwrap();
        desk.replace(&format!("{dir}/a:b"), dir.as_bytes(), Expect::Absent).unwrap();
    }
    assert_eq!(on_disk(&desk, ""), ["Dir", "dir~2"]);
    assert_eq!(on_disk(&desk, "dir~2"), ["a%3Ab"]);
    desk.tree.rename(&path("dir"), &path("moved"), desk.expect("dir")).unwrap();
    assert_eq!(on_disk(&desk, ""), ["Dir", "moved"]);
    let desk = desk.reopened();
    assert_eq!(desk.paths(), ["Dir", "Dir/a:b", "moved", "moved/a:b"]);
    assert_eq!(desk.read("moved/a%3Ab"), "dir");
    desk.tree.remove(&path("moved/a:b"), desk.expect("moved/a:b")).unwrap();
    desk.tree.remove_dir(&path("moved")).unwrap();
    assert_eq!(desk.paths(), ["Dir", "Dir/a:b"]);
}

#[test]
fn l1_a_case_only_rename_goes_through_another_name_and_ends_with_its_own() {
    let desk = Desk::of_kind(FOLDING);
    desk.write("A.txt", "a");
    desk.write("Dir/b", "b");
    let inode = desk.stamp("A.txt").ino;
    let renamed = desk.tree.rename(&path("A.txt"), &path("a.txt"), desk.expect("A.txt")).unwrap();
    desk.tree.rename(&path("Dir"), &path("DIR"), desk.expect("Dir")).unwrap();
    assert_eq!(on_disk(&desk, ""), ["DIR", "a.txt"]);
    assert_eq!(renamed.stamp().unwrap().ino, inode);
    assert_eq!(desk.reopened().paths(), ["DIR", "DIR/b", "a.txt"]);
}

#[test]
fn l1_a_crash_in_the_middle_of_a_case_only_rename_is_no_deletion() {
    let desk = Desk::of_kind(FOLDING);
    desk.write("A.txt", "a");
    let target = desk.tree.0.place_new(&path("a.txt")).unwrap();
    assert_eq!(target.name, "a~2.txt");
    std::fs::rename(desk.at("A.txt"), desk.at("a~2.txt")).unwrap();
    assert_eq!(desk.reopened().paths(), ["a.txt"], "found under its new name");
}

#[test]
fn l2_a_file_that_takes_a_mapped_name_is_reported_not_mixed_up() {
    let desk = Desk::of_kind(FOLDING);
    desk.replace("Foo", b"Foo", Expect::Absent).unwrap();
    desk.replace("foo", b"foo", Expect::Absent).unwrap();
    std::fs::remove_file(desk.at("Foo")).unwrap();
    desk.write("foo", "the person's");
    let (seen, report) = desk.walk();
    assert_eq!(seen.keys().map(FolderPath::to_string).collect::<Vec<_>>(), ["foo"]);
    assert_eq!(report.skipped[0].reason, SkipReason::NameTaken);
    assert_eq!(desk.read("foo"), "the person's");
}

#[test]
fn i5_a_damaged_table_of_names_is_an_error_not_a_wrong_name() {
    let desk = Desk::of_kind(FOLDING);
    desk.replace("Foo", b"Foo", Expect::Absent).unwrap();
    desk.replace("foo", b"foo", Expect::Absent).unwrap();
    let table = std::fs::read(desk.at(".cobox/names")).unwrap();
    std::fs::write(desk.at(".cobox/names"), &table[1..]).unwrap();
    let result = DiskTree::open_as(desk.tree.path(), &FOLDER, FOLDING);
    assert!(matches!(result, Err(RootError::Names { source: NamesError::Damaged, .. })));
}
