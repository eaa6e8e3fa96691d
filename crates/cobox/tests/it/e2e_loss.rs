//! Nothing is lost: deletes that arrive late, directories that vanish, receivers that are killed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, World, ana_and_ben, becomes, noise, same, same_and, until};

fn has(tree: &Tree, path: &str) -> bool {
    tree.0.contains_key(Path::new(path))
}

#[test]
fn c8_a_delete_stays_when_a_long_absent_member_returns() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, |root| {
        for n in 0..10 {
            fs::write(root.join(format!("page {n}.txt")), format!("page {n}")).unwrap();
        }
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.down();
    fs::remove_file(mine.join("page 3.txt")).unwrap();
    ana.wait("docs");
    for n in 0..40 {
        fs::write(mine.join("diary.txt"), format!("day {n}")).unwrap();
        ana.wait("docs");
    }
    fs::write(theirs.join("from far away.txt"), "here I am again").unwrap();
    ben.up();
    let gone = |tree: &Tree| has(tree, "from far away.txt") && !has(tree, "page 3.txt");
    let tree = same_and(&[&mine, &theirs], "the delete arrived", gone);
    assert_eq!(tree.files(), 9 + 2);
    ben.restart();
    ana.wait("docs");
    ben.wait("docs");
    assert_eq!(same_and(&[&mine, &theirs], "it stays", gone), tree, "nothing came back");
}

#[test]
fn c2_an_edit_beats_a_delete_and_nothing_is_lost() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, |root| fs::write(root.join("minutes.txt"), "draft").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.down();
    fs::remove_file(mine.join("minutes.txt")).unwrap();
    fs::write(mine.join("other.txt"), "x").unwrap();
    ana.wait("docs");
    fs::write(theirs.join("minutes.txt"), "edited on the train").unwrap();
    ben.up();
    same_and(&[&mine, &theirs], "the edit survives", |tree| has(tree, "minutes.txt") && has(tree, "other.txt"));
    assert_eq!(fs::read_to_string(mine.join("minutes.txt")).unwrap(), "edited on the train");
}

fn thirty(root: &Path) {
    fs::create_dir(root.join("deep")).unwrap();
    for n in 0..30 {
        fs::write(root.join(format!("deep/page {n}.txt")), noise(n, 3000 + n as usize)).unwrap();
    }
}

fn held(computer: &Computer) -> bool {
    computer.status("docs")["held_changes"].as_u64() == Some(1)
}

#[test]
fn h1_an_emptied_folder_is_held_and_reject_brings_everything_back() {
    let world = World::new();
    let (mut ana, ben) = ana_and_ben(&world, thirty);
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let whole = Tree::read(&mine).unwrap();
    for restarted in [false, true] {
        fs::remove_dir_all(mine.join("deep")).unwrap();
        until("it is held", Duration::from_secs(60), || if held(&ana) { Ok(()) } else { Err(ana.status("docs")) });
        if restarted {
            ana.restart();
            until("it is held again", Duration::from_secs(60), || {
                if held(&ana) { Ok(()) } else { Err(ana.status("docs")) }
            });
        }
        let listed = ana.json(&["held", "list", "docs"]);
        let change = &listed["held"][0];
        assert_eq!((change["deleted_files"].as_u64(), change["direction"].as_str()), (Some(30), Some("outgoing")));
        assert_eq!(ana.status("docs")["state"], "held");
        // Something else still goes through, and so has had time to carry the deletes with it.
        fs::write(theirs.join("meanwhile.txt"), format!("{restarted}")).unwrap();
        until("others' work still arrives", Duration::from_secs(60), || {
            let arrived = fs::read_to_string(mine.join("meanwhile.txt")).unwrap_or_default();
            if arrived == format!("{restarted}") { Ok(()) } else { Err(ana.status("docs")) }
        });
        assert_eq!(fs::read_dir(theirs.join("deep")).unwrap().count(), 30, "nobody else lost anything");
        ana.json(&["held", "reject", "docs"]);
        let tree = same_and(&[&mine, &theirs], "everything is back", |tree| tree.files() == 31);
        assert_eq!(tree.0.iter().filter(|(path, entry)| whole.0.get(*path) == Some(entry)).count(), whole.0.len());
        assert!(!held(&ana));
    }
}

#[test]
fn h1_held_deletes_happen_once_approved() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, thirty);
    fs::remove_dir_all(ana.folder("docs").join("deep")).unwrap();
    // First on its way out, and then by whoever receives it, who has not been asked yet.
    for asked in [&ana, &ben] {
        until("it is held", Duration::from_secs(60), || if held(asked) { Ok(()) } else { Err(asked.status("docs")) });
        assert_eq!(asked.json(&["held", "approve", "docs"])["held"].as_array().unwrap().len(), 1);
    }
    same_and(&[&ana.folder("docs"), &ben.folder("docs")], "approved", |tree| tree.files() == 0);
}

#[test]
fn h1_a_directory_that_is_moved_away_deletes_nothing() {
    let world = World::new();
    let (mut ana, ben) = ana_and_ben(&world, thirty);
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let whole = Tree::read(&mine).unwrap();
    let away = world.path().join("away");
    for restarted in [false, true] {
        fs::rename(&mine, &away).unwrap();
        if restarted {
            ana.restart();
        }
        // Waiting looks at the disk; in step it can not be.
        let waited = ana.run(&["status", "docs", "--wait", "--timeout", "2", "--json"]);
        assert_eq!(waited.code, Some(1), "{waited:?}");
        let status = ana.status("docs");
        assert!(status["state"] == "problem" || status["state"] == "held", "{status}");
        assert!(!status["problems"].as_array().unwrap().is_empty() || status["held_changes"] == 1, "{status}");
        assert_eq!(Tree::read(&theirs).unwrap(), whole, "nobody else lost anything");
        // An empty directory in its place, like a disk that is not mounted.
        fs::create_dir(&mine).unwrap();
        let waited = ana.run(&["status", "docs", "--wait", "--timeout", "2", "--json"]);
        assert_eq!(waited.code, Some(1), "{waited:?}");
        assert_eq!(fs::read_dir(&mine).unwrap().count(), 0, "nothing is written where the disk is missing");
        assert_eq!(Tree::read(&theirs).unwrap(), whole, "nobody else lost anything");
        fs::remove_dir(&mine).unwrap();
        fs::rename(&away, &mine).unwrap();
        ana.wait("docs");
        assert_eq!(ana.status("docs")["held_changes"], 0);
        assert_eq!(same(&[&mine, &theirs]), whole);
    }
}

/// What stands on the disk of files that are still under assembly.
fn unfinished_bytes(root: &Path) -> u64 {
    let entries = fs::read_dir(root.join(".cobox/tmp")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|there| there.blocks() * 512).sum()
}

#[test]
fn k2_a_receiver_killed_in_the_middle_of_a_large_file_completes_it() {
    const LARGE: usize = 256 << 20;
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, |root| fs::write(root.join("small.txt"), "hello").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let (mut recordings, mut kills) = (0, 0);
    while kills < 2 {
        recordings += 1;
        assert!(recordings <= 6, "each was there before the receiver could be killed");
        let (name, content) = (format!("recording {recordings}.raw"), noise(recordings as u64, LARGE));
        let before_bytes = unfinished_bytes(&theirs);
        fs::write(mine.join(&name), &content).unwrap();
        // Looked at on the disk and without a pause: who asks a program first is told when all is there.
        let until = Instant::now() + Duration::from_secs(90);
        while unfinished_bytes(&theirs) < before_bytes + (LARGE / 16) as u64
            && fs::metadata(theirs.join(&name)).is_err()
        {
            assert!(Instant::now() < until, "nothing comes");
            std::thread::sleep(Duration::from_millis(1));
        }
        if fs::metadata(theirs.join(&name)).is_ok() {
            // A busy machine looked too late: another one.
            continue;
        }
        ben.crash();
        kills += 1;
        if let Ok(there) = fs::read(theirs.join(&name)) {
            assert!(there == content, "o3: whole or not there");
        }
        ben.up();
    }
    becomes(&theirs, &Tree::read(&mine).unwrap());
    let sent_bytes = ana.traffic("docs").sent_bytes;
    // What was under way when it was killed comes twice, and each kill loses some of it.
    let written_bytes = (recordings * LARGE) as u64;
    assert!(sent_bytes < written_bytes * 12 / 10, "{sent_bytes} bytes went over the wire for {written_bytes}");
    assert_eq!(ben.run(&["check", "docs"]).code, Some(0));
}

#[test]
fn i5_damage_in_the_folders_own_records_is_found_by_a_check_and_mended() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, thirty);
    let whole = same(&[&ana.folder("docs"), &ben.folder("docs")]);
    assert_eq!(ben.run(&["check", "docs"]).code, Some(0));
    let states = fs::read_dir(ben.home().join("state")).unwrap().map(|entry| entry.unwrap().path());
    let of_docs =
        |state: &std::path::PathBuf| fs::read_to_string(state.join("folder.json")).is_ok_and(|c| c.contains("docs"));
    let segment = states.filter(of_docs).map(|state| state.join("blocks/seg-00000001")).next().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes.iter_mut().skip(64).for_each(|byte| *byte = !*byte);
    fs::write(&segment, bytes).unwrap();

    let found = ben.run(&["check", "docs", "--json"]);
    assert_eq!(found.code, Some(3), "{found:?}");
    assert!(found.out.contains("records of the folder could not be read; they were written anew"), "{found:?}");
    assert_eq!(ben.run(&["check", "docs"]).code, Some(0), "mended");
    ben.restart();
    assert_eq!(same(&[&ana.folder("docs"), &ben.folder("docs")]), whole);
    fs::write(ben.folder("docs").join("on.txt"), "and on").unwrap();
    same_and(&[&ana.folder("docs"), &ben.folder("docs")], "they go on", |tree| has(tree, "on.txt"));
}
