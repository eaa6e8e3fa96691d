//! Limits on what is sent and received (N10): files take as long as the limit says, arrive whole, and hold up nothing small.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, gone, noise, same, same_and, until};

/// Bytes a second.
const LIMIT: usize = 1_000_000;

fn set(who: &Computer, name: &str, values: &[&str]) {
    let set = who.json(&[&["config", "set", name], values].concat());
    assert_eq!(set["name"], name);
}

fn is_there(root: &Path, name: &str) -> Result<(), ()> {
    if root.join(name).exists() { Ok(()) } else { Err(()) }
}

/// Saves a file of so many seconds of the limit and more; how long it took to be at the other one.
fn carried(mine: &Path, theirs: &Path, name: &str, seconds: usize) -> Duration {
    let content = noise(name.len() as u64, seconds * LIMIT + LIMIT / 10);
    let begun = Instant::now();
    fs::write(mine.join(name), &content).unwrap();
    until(name, 2 * PATIENCE, || is_there(theirs, name));
    let took = begun.elapsed();
    assert!(fs::read(theirs.join(name)).unwrap() == content, "{name} arrived as another");
    took
}

#[test]
fn n10_what_is_sent_takes_as_long_as_the_limit_says_and_small_changes_do_not_wait_for_it() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("first"), "first").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    same_and(&[&mine, &theirs], "the first file", |tree: &Tree| tree.files() == 1);
    // Both are on one machine: without this they are neighbours.
    set(&ana, "limits_on_lan", &["on"]);
    set(&ana, "send_max_bytes_s", &["1MB"]);
    assert_eq!(ana.json(&["status"])["device"]["bandwidth"], "limited");
    let took = carried(&mine, &theirs, "song", 4);
    assert!(took >= Duration::from_secs(4), "{took:?}");

    fs::write(mine.join("long song"), noise(9, 10 * LIMIT)).unwrap();
    until("it is on its way", PATIENCE, || match ben.status("docs")["pending_files"].as_u64() {
        Some(n) if n > 0 => Ok(()),
        other => Err(other),
    });
    fs::write(mine.join("note"), "a note").unwrap();
    until("the note", PATIENCE, || is_there(&theirs, "note"));
    assert!(is_there(&theirs, "long song").is_err(), "the note came behind what takes ten seconds");
    // Another limit holds for what is on its way already.
    set(&ana, "send_max_bytes_s", &["none"]);
    same(&[&mine, &theirs]);
    gone([ana, ben]);
}

#[test]
fn n10_what_is_received_takes_as_long_as_the_limit_says_after_a_restart_too() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, |root| fs::write(root.join("first"), "first").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    same_and(&[&mine, &theirs], "the first file", |tree: &Tree| tree.files() == 1);
    set(&ben, "limits_on_lan", &["on"]);
    set(&ben, "receive_max_bytes_s", &["1MB"]);
    for name in ["song", "the same after a restart"] {
        let took = carried(&mine, &theirs, name, 3);
        assert!(took >= Duration::from_secs(3), "{name}: {took:?}");
        ben.restart();
    }
    let kept = fs::read_to_string(ben.home().join("config.toml")).unwrap();
    assert_eq!(kept, "lan_discovery = false\nlimits_on_lan = true\nreceive_max_bytes_s = 1000000\n");
    same(&[&mine, &theirs]);
    gone([ana, ben]);
}

#[test]
fn n10_a_schedule_that_pauses_lets_nothing_through_until_it_ends() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("first"), "first").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    same_and(&[&mine, &theirs], "the first file", |tree: &Tree| tree.files() == 1);
    set(&ben, "limits_on_lan", &["on"]);
    set(&ben, "schedule", &["00:00-12:00 paused", "12:00-24:00 paused"]);
    assert_eq!(ben.json(&["status"])["device"]["bandwidth"], "paused");
    fs::write(mine.join("song"), noise(7, LIMIT)).unwrap();
    let waited = ana.run(&["status", "docs", "--wait", "--timeout", "3", "--json"]);
    assert_eq!(waited.code, Some(1), "{waited:?}");
    assert!(is_there(&theirs, "song").is_err());
    // The same on the way out.
    fs::write(theirs.join("of Ben"), noise(8, LIMIT)).unwrap();
    let waited = ben.run(&["status", "docs", "--wait", "--timeout", "3", "--json"]);
    assert_eq!(waited.code, Some(1), "{waited:?}");
    assert!(is_there(&mine, "of Ben").is_err());
    set(&ben, "schedule", &["none"]);
    assert_eq!(ben.json(&["status"])["device"]["bandwidth"], "unlimited");
    same_and(&[&mine, &theirs], "both songs", |tree: &Tree| tree.files() == 3);

    assert_eq!(ben.refused(&["config", "set", "schedule", "at night"]), (2, "bad_request".into()));
    assert_eq!(ben.refused(&["config", "set", "send_max_bytes_s", "1B"]), (2, "bad_request".into()));
    assert_eq!(ben.refused(&["config", "get", "speed"]), (2, "bad_request".into()));
    gone([ana, ben]);
}
