//! Rehearsed restores: from one seeder alone, and what it says is true.

use std::fs;
use std::path::{Path, PathBuf};

use cobox_store::{BlockStore, DiskStore};
use serde_json::{Value, json};

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, noise, until};

/// Bytes of blocks as they lie on the disk of a seeder that is switched off, of one folder, the largest first.
pub(crate) fn blocks_at(the_box: &Computer, folder: &str) -> Vec<Vec<u8>> {
    let store = DiskStore::open(&the_box.home().join("state").join(folder)).unwrap();
    let mut blocks: Vec<Vec<u8>> =
        store.list(None, usize::MAX).unwrap().iter().filter_map(|entry| store.get(&entry.cid).unwrap()).collect();
    blocks.sort_by_key(|block| std::cmp::Reverse(block.len()));
    blocks
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Flips a bit of a block where it lies.
pub(crate) fn rots(the_box: &Computer, folder: &str, block: &[u8]) {
    let mut damaged = 0;
    for path in files(&the_box.home().join("state").join(folder)) {
        let mut bytes = fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(block.len()).position(|window| window == block) {
            bytes[at + block.len() / 2] ^= 1;
            fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1, "it lies in one place");
}

pub(crate) fn folder_id(the_box: &Computer) -> String {
    the_box.shown()["folder"]["id"].as_str().unwrap().to_owned()
}

/// Ana's folder of so many files, backed up.
fn backed_up(world: &World, files: u64) -> (Computer, Computer) {
    let (ana, the_box) = (world.person("Ana"), world.seeder("box"));
    let mine = ana.create("docs");
    fs::create_dir(mine.join("sub")).unwrap();
    for n in 0..files {
        fs::write(mine.join(format!("sub/{n}.bin")), noise(n + 1, 20_000 + n as usize)).unwrap();
    }
    ana.back_up("docs", &the_box);
    (ana, the_box)
}

fn drill_of(status: &Value) -> (&Value, &Value) {
    (&status["backups"][0]["drill"], &status["backups"][0]["drill_passed_at"])
}

#[test]
fn a5_a_rehearsed_restore_takes_a_few_files_from_the_seeder_alone_and_leaves_nothing_behind() {
    let world = World::new();
    let (ana, the_box) = backed_up(&world, 40);
    let before = Tree::read(&ana.folder("docs")).unwrap();
    let status = ana.status("docs");
    assert_eq!(drill_of(&status), (&Value::Null, &Value::Null), "{status}");

    let report = ana.json(&["drill", "docs"]);
    let drill = &report["seeders"][0];
    assert_eq!((&report["passed"], &drill["outcome"]), (&json!(true), &json!("passed")), "{report}");
    let key = the_box.json(&["status"])["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with(drill["seeder"].as_str().unwrap()), "the seeder is named: {report}");
    assert_eq!(drill["files"], 5, "of forty, five: {report}");
    let (bytes, fetched) = (drill["bytes"].as_u64().unwrap(), drill["fetched_bytes"].as_u64().unwrap());
    assert!((100_000..=100_200).contains(&bytes), "{report}");
    assert!(fetched > bytes, "all of it came over the wire, and the records that lead to it: {report}");
    assert!(drill["head_at"].is_string() && drill["failed"] == json!([]), "{report}");

    assert_eq!(before.difference(&Tree::read(&ana.folder("docs")).unwrap()), None);
    let left = ana.home().join("state").join(folder_id(&the_box)).join("drill");
    assert!(!left.exists(), "nothing stays of it");
    let status = ana.status("docs");
    assert_eq!(drill_of(&status).0, "passed", "{status}");
    assert!(drill_of(&status).1.is_string() && status["problems"] == json!([]), "{status}");
    let words = ana.run(&["drill", "docs"]);
    assert_eq!(words.code, Some(0));
    assert!(words.out.contains("passed: 5 files of the state of"), "{words:?}");
    // It stands there, too, after the next start.
    let mut ana = ana;
    ana.restart();
    assert_eq!(drill_of(&ana.status("docs")).0, "passed");
}

#[test]
fn a5_where_there_is_nobody_to_take_from_it_says_so_and_is_no_success() {
    let world = World::new();
    let ana = world.person("Ana");
    ana.create("docs");
    assert_eq!(ana.refused(&["drill", "docs"]), (6, "seeder_not_found".into()));
    assert_eq!(ana.refused(&["drill", "dogs"]), (6, "folder_not_found".into()));
    let mut the_box = world.seeder("box");
    ana.json(&["backup", "add", "docs", &the_box.offer("1GB")]);
    fs::write(ana.folder("docs").join("a"), "a").unwrap();
    ana.wait_for_receipt("docs");
    ana.json(&["drill", "docs"]);
    the_box.down();
    until("the box is gone", PATIENCE, || {
        let status = ana.status("docs");
        if status["backups"][0]["online"] == false { Ok(()) } else { Err(status) }
    });
    assert_eq!(ana.refused(&["drill", "docs"]), (1, "unreachable".into()));
    let status = ana.status("docs");
    assert_eq!(drill_of(&status).0, "passed", "who is away has failed nothing: {status}");
    let mut ana = ana;
    ana.down();
    assert_eq!(ana.refused(&["drill", "docs"]).0, 4);
}

#[test]
fn a5_what_rots_at_a_seeder_fails_the_rehearsal_although_everything_is_here_and_passes_once_it_is_mended() {
    let world = World::new();
    let (ana, mut the_box) = backed_up(&world, 4);
    let folder = folder_id(&the_box);
    the_box.down();
    let largest = blocks_at(&the_box, &folder).remove(0);
    rots(&the_box, &folder, &largest);
    the_box.up();
    let report = until("the box is asked", PATIENCE * 2, || {
        let ran = ana.run(&["drill", "docs", "--json"]);
        match ran.code {
            Some(3) => Ok(ran),
            Some(1) if ran.err.contains("unreachable") => Err(ran),
            other => panic!("{other:?}: {ran:?}"),
        }
    });
    let told: Value = serde_json::from_str(&report.out).unwrap();
    let drill = &told["seeders"][0];
    assert_eq!((&told["passed"], &drill["outcome"], &drill["files"]), (&json!(false), &json!("failed"), &json!(3)));
    let lost = &drill["failed"][0];
    assert!(lost["path"].as_str().unwrap().starts_with("sub/"), "the file is named: {told}");
    assert!(lost["message"].as_str().unwrap().contains("says that it does not have"), "{told}");
    assert!(report.err.contains("damage_found") && report.err.contains(drill["seeder"].as_str().unwrap()));
    let status = ana.status("docs");
    let problem = status["problems"].as_array().unwrap().iter().find(|problem| problem["code"] == "drill_failed");
    let problem = problem.unwrap_or_else(|| panic!("{status}"));
    assert!(problem["message"].as_str().unwrap().contains(drill["seeder"].as_str().unwrap()), "{status}");
    assert_eq!((&status["state"], drill_of(&status).0), (&json!("problem"), &json!("failed")));

    // The seeder noticed by it, and has Ana bring the block again.
    until("it is mended", PATIENCE * 2, || {
        let ran = ana.run(&["drill", "docs", "--json"]);
        if ran.code == Some(0) { Ok(()) } else { Err(ran) }
    });
    let status = ana.status("docs");
    assert_eq!((&status["problems"], drill_of(&status).0), (&json!([]), &json!("passed")), "{status}");
}

#[test]
fn a5_what_this_computer_itself_holds_back_is_no_seeders_failure() {
    let world = World::new();
    let (ana, _the_box) = backed_up(&world, 3);
    ana.json(&["config", "set", "limits_on_lan", "on"]);
    ana.json(&["config", "set", "schedule", "0:00-24:00 paused"]);
    let ran = ana.run(&["drill", "docs", "--json"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let drill = &told["seeders"][0];
    assert_eq!((ran.code, &drill["outcome"]), (Some(3), &json!("unfinished")), "{told}");
    assert!(drill["message"].as_str().unwrap().contains("this computer's own limits or schedule"), "{told}");
    assert_eq!(ana.status("docs")["problems"], json!([]));
}

/// Nobody types anything: what was due while the computer was off is made up for.
#[test]
fn a5_a_rehearsal_that_is_due_comes_by_itself_and_never_if_so_set() {
    let world = World::new();
    let (mut ana, the_box) = backed_up(&world, 3);
    let kept = ana.home().join("state").join(folder_id(&the_box)).join("drill.json");
    let key = the_box.json(&["status"])["key"].as_str().unwrap().to_owned();
    ana.down();
    let long_ago = json!({ &key: { "since_ms": 1, "last": null, "passed_ms": null } });
    fs::write(&kept, long_ago.to_string()).unwrap();
    fs::write(ana.home().join("config.toml"), "lan_discovery = false\ndrill_days = 0\n").unwrap();
    ana.up();
    ana.wait("docs");
    assert_eq!(drill_of(&ana.status("docs")).0, &Value::Null);
    // When it is set again, it comes.
    ana.json(&["config", "set", "drill_days", "30"]);
    until("it comes by itself", PATIENCE * 2, || {
        let status = ana.status("docs");
        if drill_of(&status).0 == "passed" { Ok(()) } else { Err(status) }
    });
    let events = fs::read_to_string(&kept).unwrap();
    assert!(events.contains("3 files of the state of"), "what came of it is kept, with its date: {events}");
}
