//! One home twice, and a home that goes back in time: disk images, snapshots, backups of the whole machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::e2e_tree::{Entry, Tree};
use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, same, same_and, until};

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["-a", "--"]).args([from, to]).status().unwrap();
    assert!(done.success());
}

fn holds(tree: &Tree, path: &str, content: &str) -> bool {
    matches!(tree.0.get(Path::new(path)), Some(Entry::File { bytes, .. }) if bytes == content.as_bytes())
}

fn pages(root: &Path) {
    for n in 0..30 {
        fs::write(root.join(format!("page {n}.txt")), format!("page {n}")).unwrap();
    }
}

/// The state goes back, the files do not: nothing newer is reverted, nothing deleted comes back, nothing is deleted anew.
#[test]
fn k10_a_home_restored_from_an_old_copy_reverts_and_deletes_nothing() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, pages);
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.wait("docs");
    ben.down();
    let old = world.path().join("old home");
    copy(&ben.home(), &old);
    ben.up();
    fs::write(theirs.join("page 1.txt"), "Ben, later").unwrap();
    fs::remove_file(theirs.join("page 2.txt")).unwrap();
    fs::write(theirs.join("new.txt"), "made later").unwrap();
    fs::rename(theirs.join("page 3.txt"), theirs.join("third page.txt")).unwrap();
    let later = |tree: &Tree| {
        holds(tree, "page 1.txt", "Ben, later")
            && !tree.0.contains_key(Path::new("page 2.txt"))
            && holds(tree, "new.txt", "made later")
            && holds(tree, "third page.txt", "page 3")
            && !tree.0.contains_key(Path::new("page 3.txt"))
            && tree.files() == 30
    };
    let whole = same_and(&[&mine, &theirs], "Ben's later work", later);
    ben.wait("docs");
    ben.down();
    fs::remove_dir_all(ben.home()).unwrap();
    copy(&old, &ben.home());
    ben.up();
    ben.wait("docs");
    ana.wait("docs");
    assert_eq!(same_and(&[&mine, &theirs], "as it was", later), whole);
    // And he goes on writing: no number is used twice, so nobody takes the new for the old.
    fs::write(theirs.join("page 1.txt"), "Ben, after the restore").unwrap();
    same_and(&[&mine, &theirs], "he goes on", |tree| holds(tree, "page 1.txt", "Ben, after the restore"));
}

/// State and files go back together, as from a disk image: the others' newer versions come again.
#[test]
fn k10_a_whole_computer_restored_from_an_image_takes_the_newer_and_deletes_nothing() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, pages);
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.wait("docs");
    ben.down();
    let (old_home, old_files) = (world.path().join("old home"), world.path().join("old files"));
    copy(&ben.home(), &old_home);
    copy(&theirs, &old_files);
    ben.up();
    for n in 0..10 {
        fs::write(theirs.join(format!("page {n}.txt")), format!("Ben, later {n}")).unwrap();
    }
    fs::remove_file(mine.join("page 20.txt")).unwrap();
    fs::write(mine.join("new.txt"), "made later").unwrap();
    let later = |tree: &Tree| {
        (0..10).all(|n| holds(tree, &format!("page {n}.txt"), &format!("Ben, later {n}")))
            && holds(tree, "new.txt", "made later")
            && !tree.0.contains_key(Path::new("page 20.txt"))
            && tree.files() == 30
    };
    let whole = same_and(&[&mine, &theirs], "later work", later);
    ben.down();
    for (old, now) in [(&old_home, &ben.home()), (&old_files, &theirs)] {
        fs::remove_dir_all(now).unwrap();
        copy(old, now);
    }
    ben.up();
    assert_eq!(same_and(&[&mine, &theirs], "the newer comes again", later), whole);
}

/// The same identity runs twice: both write, nothing of either is lost, and both are told.
#[test]
fn n8_a_cloned_home_running_beside_the_original_loses_nothing_and_both_are_told() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, pages);
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.wait("docs");
    ben.down();
    // A clone of the disk: the same paths would be on another machine, so here the settings are pointed at the copied files.
    let mut twin = world.absent_person("Ben's twin");
    copy(&ben.home(), &twin.home());
    copy(&theirs, &twin.folder("docs"));
    repoint(&twin, &theirs, &twin.folder("docs"));
    ben.up();
    twin.up();
    fs::write(theirs.join("from Ben.txt"), "the original").unwrap();
    fs::write(twin.folder("docs").join("from the twin.txt"), "the clone").unwrap();
    fs::write(theirs.join("page 1.txt"), "Ben's version").unwrap();
    fs::write(twin.folder("docs").join("page 1.txt"), "the twin's version").unwrap();
    fs::write(mine.join("from Ana.txt"), "Ana").unwrap();
    // Two with one address book entry push one another off the line; whoever is on it brings its work, one after the other.
    let all = |tree: &Tree| {
        let texts: Vec<&[u8]> = tree
            .0
            .values()
            .filter_map(|entry| match entry {
                Entry::File { bytes, .. } => Some(bytes.as_slice()),
                _ => None,
            })
            .collect();
        ["the original", "the clone", "Ben's version", "the twin's version", "Ana"]
            .iter()
            .all(|text| texts.contains(&text.as_bytes()))
    };
    let is_told = |who: &Computer| {
        let status = who.json(&["status"]);
        let problems = status["folders"][0]["problems"].as_array().cloned().unwrap_or_default();
        if problems.iter().any(|problem| problem["code"] == "duplicated") { Ok(()) } else { Err(status) }
    };
    // Two with one key push one another off the line; each has it in turn, while the other sleeps. Who writes has what the other wrote
    // before, so that it rests on it: that is how the other knows.
    let turn = |one: &Computer, other: &Computer, file: &str| {
        let docs = one.folder("docs");
        other.sleep();
        same(&[&mine, &docs]);
        fs::write(docs.join(file), file).unwrap();
        same_and(&[&mine, &docs], file, |tree| holds(tree, file, file));
        other.wake();
    };
    turn(&ben, &twin, "Ben, alone");
    turn(&twin, &ben, "the twin, alone");
    turn(&ben, &twin, "Ben, once more");
    turn(&twin, &ben, "the twin, once more");
    for who in [&ben, &twin] {
        until(&format!("{} is told", who.name), PATIENCE, || is_told(who));
    }
    twin.down();
    let tree = same_and(&[&mine, &theirs], "everything at Ana and Ben", all);
    assert!(tree.files() > 30 + 7, "both versions of one page: {}", tree.files());
    ben.down();
    twin.up();
    same_and(&[&mine, &twin.folder("docs")], "everything at Ana and the twin", all);
}

/// Writes another directory into the settings of a copied home, as a person who moved the files would have to.
fn repoint(computer: &Computer, from: &Path, to: &Path) {
    let state = computer.home().join("state");
    for entry in fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path().join("folder.json")) {
        if let Ok(text) = fs::read_to_string(&entry) {
            fs::write(&entry, text.replace(from.to_str().unwrap(), to.to_str().unwrap())).unwrap();
        }
    }
}
