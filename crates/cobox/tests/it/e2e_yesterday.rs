//! Somebody took over an editor's computer, and has a day. Real members, and a real blind seeder for which the days go by (H2, S5, S10).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, Was, World, gone, noise, remembered, same, until};

/// His computer is his: it holds nothing back.
const NO_BRAKE: &str =
    "lan_discovery = false\nbrake_files = 1000000\nbrake_files_free = 1000000\nbrake_percent = 100\n";
/// He can not write more than that.
const SPACE: &str = "30MB";

/// All of what was is had again, to the byte.
fn is_had_again(who: &Computer, name: &str, was: &Was) {
    let to: PathBuf = who.folder(name);
    let restored = who.json(&["restore", "docs", "--state", &was.state, "--to", to.to_str().unwrap()]);
    assert_eq!(
        (&restored["problems"], &restored["exact"]),
        (&Value::Array(vec![]), &true.into()),
        "{name}: {restored}"
    );
    let again = Tree::read(&to).unwrap();
    assert_eq!(was.tree.difference(&again), None, "{name}");
}

/// Takes away all there is.
fn clear(root: &Path) {
    for entry in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.ends_with(".cobox") {
            continue;
        }
        if entry.is_dir() { fs::remove_dir_all(entry).unwrap() } else { fs::remove_file(entry).unwrap() }
    }
}

/// Deletes what he finds and leaves noise in its place, never twice the same.
fn wreck(root: &Path, round: u64) {
    clear(root);
    for n in 0..4 {
        let name = if round.is_multiple_of(2) { format!("letter {n}.txt") } else { format!("letter {n}.txt.locked") };
        fs::write(root.join(name), noise(round * 10 + n, 400_000)).unwrap();
    }
}

#[test]
fn h2_s5_s10_an_editor_with_a_whole_day_removes_no_state_of_yesterday_from_a_seeder() {
    let world = World::new();
    let (the_box, mut ana) = (world.seeder_with_clock("box"), world.person("Ana"));
    let root = ana.folder("docs");
    fs::create_dir_all(root.join("plans")).unwrap();
    for n in 0..4u64 {
        fs::write(root.join(format!("letter {n}.txt")), format!("Dear all, {n}")).unwrap();
        fs::write(root.join(format!("plans/{n}.odt")), noise(n, 50_000)).unwrap();
    }
    ana.create("docs");
    let mut mal = world.absent_person("Mal");
    fs::create_dir_all(mal.home()).unwrap();
    fs::write(mal.home().join("config.toml"), NO_BRAKE).unwrap();
    mal.up();
    let theirs = mal.join("docs", &ana.invite("docs", &mal));
    same(&[&root, &theirs]);
    ana.json(&["backup", "add", "docs", &the_box.offer(SPACE)]);
    let kit = ana.kit();

    // Yesterday: three states, some hours apart.
    ana.wait_for_receipt("docs");
    let mut yesterday = Vec::new();
    for n in 0..3u64 {
        the_box.hours_pass(5);
        fs::write(root.join("letter 0.txt"), format!("Dear all, written anew for the {n}. time")).unwrap();
        fs::write(root.join("plans/2.odt"), noise(100 + n, 60_000)).unwrap();
        fs::remove_file(root.join(format!("letter {}.txt", n + 1))).unwrap();
        yesterday.push(remembered(&ana, &root));
    }
    // Ana is away from here on.
    mal.wait("docs");
    ana.down();
    the_box.hours_pass(12);

    // What an editor may not do is refused to him: nothing of a backup, of others, or of their keys.
    let seeder = mal.status("docs")["backups"][0]["seeder"].as_str().unwrap().to_owned();
    assert_eq!(mal.refused(&["backup", "remove", "docs", &seeder]), (5, "role_forbids".into()));
    assert_eq!(mal.refused(&["backup", "add", "docs", &the_box.offer("100MB")]), (5, "role_forbids".into()));
    assert_eq!(mal.refused(&["members", "remove", "docs", "Ana"]).0, 5);
    // What he may do he does, every hour of a day: until the room is used up, and on.
    let mut used_up = false;
    for round in 0..24 {
        wreck(&theirs, round);
        // Once there is no room it never is in step again.
        let patience_s = if used_up { "1" } else { "3" };
        mal.run(&["status", "docs", "--wait", "--timeout", patience_s]);
        until("the seeder has it, or has no room", PATIENCE, || {
            // What takes away all of a folder is held, whatever he set; he says that he means it.
            mal.run(&["held", "approve", "docs", "--yes"]);
            let status = mal.status("docs");
            let has = |problem: &Value| problem["code"] == "quota";
            used_up |= status["problems"].as_array().unwrap().iter().any(has);
            let complete = status["backups"][0]["complete"] == true && status["state"] == "in_step";
            if complete || used_up { Ok(()) } else { Err(status) }
        });
        the_box.hours_pass(1);
        if round == 11 {
            mal.restart();
        }
    }
    assert!(used_up, "or he did not try hard enough");
    // At last he leaves a note, which is small enough for the room that is kept free.
    clear(&theirs);
    fs::write(theirs.join("READ ME.txt"), "pay").unwrap();
    until("the seeder has the note", PATIENCE, || {
        mal.run(&["status", "docs", "--wait", "--timeout", "1"]);
        mal.run(&["held", "approve", "docs", "--yes"]);
        let status = mal.status("docs");
        if status["files"] == 1 && status["backups"][0]["complete"] == true { Ok(()) } else { Err(status) }
    });
    assert_eq!(the_box.run(&["check"]).code, Some(0));

    // Everybody's computer is lost, and twelve words are left.
    gone([mal, ana]);
    let new = world.person("new");
    let (words, tickets) = (new.words_file(&kit.1), kit.2);
    new.json(&[
        "recover",
        "--words-file",
        words.to_str().unwrap(),
        "--seeder",
        &tickets[0],
        "--to",
        new.folder("back").to_str().unwrap(),
    ]);
    for (n, was) in yesterday.iter().enumerate() {
        is_had_again(&new, &format!("state {n}"), was);
    }
    // Weeks later the last of that day is there still.
    the_box.days_pass(30);
    is_had_again(&new, "a month later", &yesterday[2]);
}
