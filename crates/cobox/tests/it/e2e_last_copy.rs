//! The last whole copy of a folder does not go unnoticed: not with a device, not with a seeder.

use std::fs;

use crate::e2e_drill::folder_id;
use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, noise, until};

fn key(the_box: &Computer) -> String {
    the_box.json(&["status"])["key"].as_str().unwrap().to_owned()
}

/// Waits until this seeder has signed for the newest state.
fn signs(ana: &Computer, the_box: &Computer) {
    let key = key(the_box);
    until("it signs", PATIENCE * 2, || {
        let status = ana.wait("docs");
        let mut backups = status["backups"].as_array().unwrap().iter();
        let signed = backups.any(|b| key.starts_with(b["seeder"].as_str().unwrap()) && b["complete"] == true);
        if signed { Ok(()) } else { Err(status) }
    });
}

#[test]
fn a6_who_leaves_with_the_last_copy_is_stopped_and_may_insist() {
    let world = World::new();
    let ana = world.person("Ana");
    let mine = ana.create("docs");
    fs::write(mine.join("song"), noise(1, 30_000)).unwrap();
    ana.wait("docs");
    let whole = Tree::read(&mine).unwrap();
    for say in [&["--yes"][..], &[], &["--yes", "--quiet"]] {
        let refused = ana.refused(&[&["leave", "docs", "--delete-files"], say].concat());
        assert_eq!(refused, (5, "last_copy".into()), "{say:?} is not enough");
    }
    assert_eq!(whole.difference(&Tree::read(&mine).unwrap()), None);
    assert_eq!(ana.status("docs")["state"], "offline", "it is a folder as before");

    // What a seeder has signed for may go from here; so may what a member has.
    let the_box = world.seeder("box");
    ana.back_up("docs", &the_box);
    let left = ana.json(&["leave", "docs", "--delete-files"]);
    assert_eq!((&left["files_deleted"], &left["other_complete_copy"]), (&true.into(), &true.into()), "{left}");
    assert!(!mine.exists());

    // Nothing is lost where nothing is, and whoever says it in so many words is believed.
    ana.create("empty");
    ana.json(&["leave", "empty", "--delete-files"]);
    let diary = ana.create("diary");
    fs::write(diary.join("page"), "dear diary").unwrap();
    ana.wait("diary");
    assert_eq!(ana.run(&["leave", "diary", "--even-the-last-copy", "--yes"]).code, Some(2), "it is about files");
    ana.json(&["leave", "diary", "--delete-files", "--even-the-last-copy"]);
    assert!(!diary.exists());
}

#[test]
fn a6_the_last_seeder_with_a_whole_copy_goes_only_if_that_is_said() {
    let world = World::new();
    let (ana, first, second) = (world.person("Ana"), world.seeder("first"), world.seeder("second"));
    let mine = ana.create("docs");
    fs::write(mine.join("song"), noise(1, 30_000)).unwrap();
    ana.back_up("docs", &first);
    let remove = |the_box: &Computer| ana.refused(&["backup", "remove", "docs", &key(the_box), "--yes"]);
    assert_eq!(remove(&first), (5, "last_copy".into()));
    assert_eq!(ana.status("docs")["backups"].as_array().unwrap().len(), 1, "it is still there");
    // Once another one has signed, it may go.
    ana.json(&["backup", "add", "docs", &second.offer("1GB")]);
    signs(&ana, &second);
    ana.json(&["backup", "remove", "docs", &key(&first)]);
    assert_eq!(remove(&second), (5, "last_copy".into()));
    // The seeder's owner does not know who else has it.
    let id = folder_id(&second);
    assert_eq!(second.refused(&["drop", &id, "--yes"]), (5, "last_copy".into()));
    assert_eq!(ana.json(&["drill", "docs"])["passed"], true, "all of it is there");
    ana.json(&["backup", "remove", "docs", &key(&second), "--even-the-last-copy"]);
    until("the seeder hears that it was ended", PATIENCE, || {
        let ran = second.run(&["drop", &id, "--dry-run", "--json"]);
        if ran.json()["may_be_last"] == false { Ok(()) } else { Err(ran) }
    });
    second.json(&["drop", &id]);
    assert_eq!(first.run(&["drop", &folder_id(&first), "--yes"]).code, Some(0), "who was ended may clear away");
}
