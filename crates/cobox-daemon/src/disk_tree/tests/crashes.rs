//! The process dies between two steps (k1): what the next start finds is made by hand here.

use super::*;
use crate::disk_tree::root::KEEP;

#[test]
fn k1_a_crash_before_the_swap_leaves_the_old_file_and_a_copy_that_is_looked_at() {
    let desk = Desk::new();
    desk.write("x", "old");
    let id = KeptId::fresh(&desk.stamp("x")).unwrap();
    std::fs::write(desk.at(&format!(".cobox/{KEEP}/{}", id.as_str())), "received").unwrap();
    let desk = desk.reopened();
    assert_eq!(desk.read("x"), "old");
    let kept = desk.tree.list_kept().unwrap();
    assert!(
        !kept[0].intact && !desk.tree.drop_kept(&id).unwrap(),
        "nobody knows what it is: it is read before it goes"
    );
}

#[test]
fn k1_a_crash_between_the_two_steps_of_a_plain_disk_is_undone() {
    let kind = DiskKind { exchanges: false, ..DiskKind::ORDINARY };
    let desk = Desk::of_kind(kind);
    desk.write("dir/x", "old");
    let stamp = desk.stamp("dir/x");
    let id = KeptId::fresh(&stamp).unwrap();
    let keep = desk.tree.0.control_part(KEEP).unwrap();
    desk.tree.0.write_note(&keep, &id, &path("dir/x")).unwrap();
    let desk = desk.reopened();
    assert_eq!(desk.read("dir/x"), "old", "before the first step: nothing to undo");

    desk.tree.0.write_note(&keep, &id, &path("dir/x")).unwrap();
    std::fs::rename(desk.at("dir/x"), desk.at(&format!(".cobox/{KEEP}/{}", id.as_str()))).unwrap();
    let desk = desk.reopened();
    assert_eq!(desk.read("dir/x"), "old", "the scan that follows sees no deletion");
    assert_eq!(desk.tree.list_kept().unwrap(), []);

    // After the second step only the note was left.
    let applied = desk.replace("dir/x", b"new", desk.expect("dir/x")).unwrap();
    desk.tree.0.write_note(&keep, &applied.kept.clone().unwrap(), &path("dir/x")).unwrap();
    let desk = desk.reopened();
    assert_eq!(desk.read("dir/x"), "new");
    assert_eq!(desk.kept_text(&applied.kept.unwrap()), "old");
    let notes = std::fs::read_dir(desk.at(".cobox/keep")).unwrap().count();
    assert_eq!(notes, 1, "notes are gone");
}

#[test]
fn k1_torn_notes_and_foreign_files_in_keep_harm_nothing() {
    let desk = Desk::new();
    desk.write("x", "x");
    let id = KeptId::fresh(&desk.stamp("x")).unwrap();
    std::fs::write(desk.at(&format!(".cobox/keep/{}.from", id.as_str())), [255, 255, 1]).unwrap();
    std::fs::write(desk.at(".cobox/keep/README"), "mine").unwrap();
    std::fs::create_dir(desk.at(".cobox/keep/dir")).unwrap();
    let desk = desk.reopened();
    assert_eq!(desk.tree.list_kept().unwrap(), []);
    assert_eq!(std::fs::read(desk.at(".cobox/keep/README")).unwrap(), b"mine");
    for bad in ["", "..", "../marker", "0123456789abcdef-1-2-3/x", "0123456789abcdef-1-2", "0123456789ABCDEG-1-2-3"] {
        assert!(bad.parse::<KeptId>().is_err(), "{bad}");
    }
}

#[test]
fn k1_adopting_is_finished_by_doing_it_again() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join(".cobox")).unwrap();
    std::fs::write(place.path().join(".cobox/marker.new"), "torn").unwrap();
    DiskTree::adopt(place.path(), FOLDER, &OffLimits::default()).unwrap();
    DiskTree::open(place.path(), &FOLDER).unwrap();
}
