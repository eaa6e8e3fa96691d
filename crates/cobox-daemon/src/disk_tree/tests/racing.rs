//! Another program acts between the last comparison and the rename (c5, c11). On disks that can swap names and on those that can not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const PLAIN: DiskKind = DiskKind { exchanges: false, ..DiskKind::ORDINARY };
const PLAINEST: DiskKind = DiskKind { exchanges: false, renames_without_replacing: false, ..DiskKind::ORDINARY };
const KINDS: [DiskKind; 3] = [DiskKind::ORDINARY, PLAIN, PLAINEST];

type Act = fn(&Path);

/// What programs do to a file, and what the person has then.
const EDITS: [(&str, Act, &str); 4] = [
    ("written in place", |file| std::fs::write(file, "the person's edit").unwrap(), "the person's edit"),
    (
        "saved by rename",
        |file| {
            std::fs::write(file.with_extension("tmp"), "the person's edit").unwrap();
            std::fs::rename(file.with_extension("tmp"), file).unwrap();
        },
        "the person's edit",
    ),
    (
        "removed and made again",
        |file| {
            std::fs::remove_file(file).unwrap();
            std::fs::write(file, "the person's edit").unwrap();
        },
        "the person's edit",
    ),
    (
        "swapped for a directory",
        |file| {
            std::fs::remove_file(file).unwrap();
            std::fs::create_dir(file).unwrap();
            std::fs::write(file.join("inner"), "the person's edit").unwrap();
        },
        "inner",
    ),
];

fn edited(desk: &Desk, name: &str, expected: &str) {
    match expected {
        "inner" => assert_eq!(desk.read(&format!("{name}/inner")), "the person's edit"),
        text => assert_eq!(desk.read(name), text),
    }
}

#[test]
fn c11_an_edit_between_decision_and_replacement_survives_at_its_place() {
    for kind in KINDS {
        for (how, act, expected) in EDITS {
            let desk = Desk::of_kind(kind);
            desk.write("x.txt", "old");
            let file = desk.at("x.txt");
            desk.meanwhile(move || act(&file));
            let result = desk.replace("x.txt", b"theirs", desk.expect("x.txt"));
            assert!(matches!(result, Err(ApplyError::Changed { .. })), "{how} on {kind:?}: {result:?}");
            edited(&desk, "x.txt", expected);
            assert_eq!(desk.tree.list_kept().unwrap(), [], "{how} on {kind:?}");
            // What was received is still there for another try.
            assert_eq!(desk.tree.temp("received").unwrap().read_at(0, 10).unwrap(), b"theirs");
        }
    }
}

#[test]
fn c5_c11_an_edit_between_decision_and_removal_survives_at_its_place() {
    for kind in KINDS {
        for (how, act, expected) in EDITS {
            let desk = Desk::of_kind(kind);
            desk.write("x.txt", "old");
            let file = desk.at("x.txt");
            desk.meanwhile(move || act(&file));
            let result = desk.tree.remove(&path("x.txt"), desk.expect("x.txt"));
            assert!(matches!(result, Err(ApplyError::Changed { .. })), "{how} on {kind:?}");
            edited(&desk, "x.txt", expected);
            assert_eq!(desk.tree.list_kept().unwrap(), []);
        }
    }
}

#[test]
fn c11_an_edit_before_the_comparison_is_seen_by_it() {
    for (how, act, expected) in EDITS {
        let desk = Desk::new();
        desk.write("x.txt", "old");
        let decided = desk.expect("x.txt");
        act(&desk.at("x.txt"));
        assert!(matches!(desk.replace("x.txt", b"theirs", decided), Err(ApplyError::Changed { .. })), "{how}");
        assert!(matches!(desk.tree.remove(&path("x.txt"), decided), Err(ApplyError::Changed { .. })), "{how}");
        assert!(matches!(desk.tree.set_meta(&path("x.txt"), decided, 0, true), Err(ApplyError::Changed { .. })));
        assert!(matches!(desk.tree.rename(&path("x.txt"), &path("y"), decided), Err(ApplyError::Changed { .. })));
        edited(&desk, "x.txt", expected);
    }
}

#[test]
fn c11_a_file_made_where_none_was_expected_is_not_replaced() {
    for kind in KINDS {
        let desk = Desk::of_kind(kind);
        let file = desk.at("new.txt");
        if kind != PLAINEST {
            desk.meanwhile(move || std::fs::write(&file, "mine").unwrap());
        } else {
            // A link can not be made either over what is there.
            std::fs::write(&file, "mine").unwrap();
        }
        assert!(matches!(desk.replace("new.txt", b"theirs", Expect::Absent), Err(ApplyError::Changed { .. })));
        assert_eq!(desk.read("new.txt"), "mine");
        let link = desk.tree.make_symlink(&path("new.txt"), "x", Expect::Absent);
        assert!(matches!(link, Err(ApplyError::Changed { .. })));
    }
}

#[test]
fn c11_an_edit_just_after_the_replacement_is_not_taken_for_it() {
    for expect_old in [true, false] {
        let desk = Desk::new();
        if expect_old {
            desk.write("x", "old");
        }
        let expect = if expect_old { desk.expect("x") } else { Expect::Absent };
        let file = desk.at("x");
        desk.just_after(move || std::fs::write(&file, "the person's").unwrap());
        let applied = desk.replace("x", b"theirs", expect).unwrap();
        assert_ne!(applied.stamp, desk.stamp("x"), "the next scan sees an edit");
        assert_eq!(desk.read("x"), "the person's");
    }
}

#[test]
fn c11_a_file_removed_in_the_last_moment_stays_removed_for_the_scan_to_see() {
    for kind in KINDS {
        let desk = Desk::of_kind(kind);
        desk.write("x", "old");
        let file = desk.at("x");
        desk.meanwhile(move || std::fs::remove_file(&file).unwrap());
        assert!(matches!(desk.replace("x", b"theirs", desk.expect("x")), Err(ApplyError::Changed { .. })));
        assert_eq!(desk.paths(), [""; 0]);
        assert_eq!(desk.tree.list_kept().unwrap(), []);
    }
}

#[test]
fn c11_a_file_edited_while_it_is_renamed_goes_back() {
    let desk = Desk::new();
    desk.write("from", "old");
    let file = desk.at("from");
    desk.meanwhile(move || std::fs::write(&file, "edited").unwrap());
    let result = desk.tree.rename(&path("from"), &path("to"), desk.expect("from"));
    assert!(matches!(result, Err(ApplyError::Changed { .. })));
    assert_eq!((desk.paths(), desk.read("from").as_str()), (vec!["from".to_owned()], "edited"));
}

#[test]
fn what_can_not_go_back_to_its_place_goes_beside_it() {
    let desk = Desk::new();
    desk.write("x.txt", "someone's");
    desk.write("x~2.txt", "also someone's");
    desk.write("found", "moved by mistake");
    let from = desk.tree.0.place(&path("found")).unwrap();
    let place = desk.tree.0.place(&path("x.txt")).unwrap();
    desk.tree.0.return_to(&place, (&from.dir, &from.name)).unwrap();
    assert_eq!(desk.paths(), ["x.txt", "x~2.txt", "x~3.txt"]);
    assert_eq!(desk.read("x~3.txt"), "moved by mistake");
}

#[test]
fn c11_racer_no_save_is_ever_lost() {
    // A person saves as fast as the disk allows, in both ways that editors do; others' versions arrive as fast. Each saved
    // version must be found: at the place, kept aside, or read by the scan before it was replaced.
    for kind in [DiskKind::ORDINARY, PLAIN] {
        let desk = Desk::of_kind(kind);
        desk.write("x", "save 0");
        let done = Arc::new(AtomicBool::new(false));
        let editor = {
            let (file, done) = (desk.at("x"), done.clone());
            std::thread::spawn(move || {
                let new = file.with_extension("new");
                let mut saved = 0;
                while !done.load(Ordering::Relaxed) && saved < 20_000 {
                    saved += 1;
                    std::fs::write(&new, format!("save {saved}")).unwrap();
                    // A save over what is not there would make the file anew: editors do that.
                    std::fs::rename(&new, &file).unwrap();
                }
                saved
            })
        };
        let mut found = std::collections::BTreeSet::new();
        let (mut replaced, mut refused) = (0, 0);
        for round in 0..2000 {
            let mut bytes = Vec::new();
            let Ok(stamp) = desk.tree.read_stable(&path("x"), &mut |part| bytes.extend_from_slice(part)) else {
                continue;
            };
            found.insert(bytes);
            match desk.replace("x", format!("theirs {round}").as_bytes(), Expect::Stamp(stamp)) {
                Ok(applied) => {
                    replaced += 1;
                    assert!(applied.kept.is_some());
                }
                Err(ApplyError::Changed { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        done.store(true, Ordering::Relaxed);
        let saved = editor.join().unwrap();
        // The editor itself replaces its earlier saves; what must be there is every save we moved away, and the last.
        for kept in desk.tree.list_kept().unwrap() {
            assert!(kept.intact, "what was replaced is what was read");
            assert!(found.contains(desk.kept_text(&kept.id).as_bytes()), "kept a version that no scan had read");
        }
        let last = format!("save {saved}");
        let mut names: Vec<String> = desk.paths();
        names.retain(|name| name != "x.new");
        let somewhere = names.iter().any(|name| desk.read(name) == last)
            || desk.tree.list_kept().unwrap().iter().any(|kept| desk.kept_text(&kept.id) == last);
        assert!(somewhere, "the last save, {last}, is lost ({replaced} replaced, {refused} refused)");
    }
}
