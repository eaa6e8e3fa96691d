//! Three words said by telephone: they let a friend in through a seeder, directly, and in a local network without anything else; one wrong
//! word ends them, and who guesses learns nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use cobox_storm::Wire;
use serde_json::Value;

use crate::e2e_world::{Computer, PATIENCE, World, same, until};
use crate::sealed::Ran;

/// Nobody hears a no before this.
const REFUSED_AFTER: Duration = Duration::from_secs(4);

/// `cobox invite --words` that waits.
struct Saying {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    made: Value,
}

impl Saying {
    fn start(who: &Computer, dir: &Path, more: &[&str]) -> Self {
        let (out, err) = (dir.join(format!("{} says", who.name)), dir.join(format!("{} complains", who.name)));
        let mut command = who.command(&[&["invite", "docs", "--words", "--json"], more].concat());
        let child = command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap()).spawn().unwrap();
        let made = until("there are words", PATIENCE, || {
            let said = fs::read_to_string(&out).unwrap();
            said.lines().next().and_then(|line| serde_json::from_str(line).ok()).ok_or(said)
        });
        Self { child, out, err, made }
    }

    fn words(&self) -> &str {
        self.made["words"].as_str().unwrap()
    }

    fn via(&self, n: usize) -> &str {
        self.made["via"][n].as_str().unwrap()
    }

    /// The same number with one other word.
    fn misheard(&self) -> String {
        let mut parts: Vec<&str> = self.words().split('-').collect();
        parts[2] = if parts[2] == "moon" { "river" } else { "moon" };
        parts.join("-")
    }

    /// How it ended, and the last line it said.
    fn ended(mut self) -> (Ran, Value) {
        let status = until("the inviter is told", PATIENCE, || self.child.try_wait().unwrap().ok_or(()));
        let (out, err) = (fs::read_to_string(&self.out).unwrap(), fs::read_to_string(&self.err).unwrap());
        let last = out.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        (Ran { code: status.code(), out, err }, last)
    }
}

impl Drop for Saying {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn docs_of(ana: &Computer) -> PathBuf {
    let mine = ana.create("docs");
    fs::write(mine.join("song"), "la").unwrap();
    mine
}

#[test]
fn i7_three_words_let_a_friend_in_through_a_seeder_whatever_way_they_are_typed() {
    let world = World::new();
    let (ana, the_box, ben) = (world.person("Ana"), world.seeder("box"), world.person("Ben"));
    let mine = docs_of(&ana);
    ana.back_up("docs", &the_box);
    let saying = Saying::start(&ana, world.path(), &["--role", "reader"]);
    assert_eq!((&saying.made["state"], &saying.made["seeders"]), (&"waiting".into(), &1.into()), "{}", saying.made);
    assert!(ana.json(&["invites", "list", "docs"])["invites"].as_array().unwrap().is_empty(), "no invite for nobody");
    let root = ben.folder("docs");
    let typed = saying.words().to_uppercase().replace('-', ", ");
    // The seeder's ticket is all that Ben knows.
    let via = saying.via(0).to_owned();
    ben.json(&["join", &typed, root.to_str().unwrap(), "--via", &via]);
    same(&[&mine, &root]);
    until("Ana sees him", PATIENCE, || {
        let members = ana.json(&["members", "list", "docs"]);
        if members["members"][1]["role"] == "reader" { Ok(()) } else { Err(members) }
    });
    let words = saying.words().to_owned();
    let (ran, last) = saying.ended();
    assert_eq!((ran.code, &last["state"]), (Some(0), &"given".into()), "{ran:?}");

    let carol = world.person("Carol");
    let late = carol.refused(&["join", &words, "--via", &via]);
    assert_eq!(late, (5, "code_spent".into()), "they are good once");
}

#[test]
fn g4_one_wrong_word_ends_them_and_sounds_like_a_number_that_nobody_has() {
    let world = World::new();
    let (ana, the_box, ben) = (world.person("Ana"), world.seeder("box"), world.person("Ben"));
    docs_of(&ana);
    ana.back_up("docs", &the_box);
    let saying = Saying::start(&ana, world.path(), &[]);
    let via = saying.via(0).to_owned();
    let asked = |typed: &str| {
        let begun = Instant::now();
        let ran = ben.run(&["join", typed, "--via", &via, "--json"]);
        (ran, begun.elapsed())
    };
    let free = if saying.made["nameplate"] == 999 { "998" } else { "999" };
    let absent = asked(&saying.words().replacen(&saying.made["nameplate"].to_string(), free, 1));
    let wrong = asked(&saying.misheard());
    let spent = asked(saying.words());
    for (ran, took) in [&absent, &wrong, &spent] {
        assert_eq!((ran.code, ran.err.as_str()), (Some(5), absent.0.err.as_str()), "{ran:?}");
        assert!(*took >= REFUSED_AFTER, "{took:?}");
    }
    let (ran, _) = saying.ended();
    assert_eq!(ran.json_error(), (5, "code_spent".into()));
    assert!(ran.err.contains("other words"), "{ran:?}");
    assert!(ana.json(&["invites", "list", "docs"])["invites"].as_array().unwrap().is_empty(), "nothing was given");
    assert_eq!(ana.json(&["members", "list", "docs"])["members"].as_array().unwrap().len(), 1);
    assert!(ben.json(&["folders"])["folders"].as_array().unwrap().is_empty());
}

#[test]
fn m6_an_admin_by_three_words_waits_for_six_all_the_same() {
    let world = World::new();
    let (ana, ben) = (world.person("Ana"), world.person("Ben"));
    let mine = docs_of(&ana);
    // Without a seeder: Ben calls Ana's computer itself.
    let saying = Saying::start(&ana, world.path(), &["--role", "admin"]);
    assert_eq!((&saying.made["seeders"], &saying.made["approve"]), (&0.into(), &true.into()), "{}", saying.made);
    let root = ben.folder("docs");
    let join = ["join", saying.words(), root.to_str().unwrap(), "--via", saying.via(0), "--timeout", "10"];
    let waits = ben.json(&join);
    let words = waits["waiting"]["words"].as_str().unwrap_or_else(|| panic!("{waits}"));
    assert_eq!(saying.ended().0.code, Some(0));
    until("Ana is asked", PATIENCE, || {
        let joins = ana.json(&["joins", "list", "docs"]);
        if joins["joins"][0]["words"] == words { Ok(()) } else { Err(joins) }
    });
    ana.json(&["joins", "approve", "docs", "Ben", "--words", words]);
    until("Ben is in", PATIENCE, || {
        let folders = ben.json(&["folders"]);
        if folders["folders"].as_array().is_some_and(|all| !all.is_empty()) { Ok(()) } else { Err(folders) }
    });
    same(&[&mine, &root]);
}

#[test]
fn words_end_with_whoever_shows_them() {
    let world = World::new();
    let (ana, ben) = (world.person("Ana"), world.person("Ben"));
    docs_of(&ana);
    let saying = Saying::start(&ana, world.path(), &["--wait", "2s"]);
    let (words, via) = (saying.words().to_owned(), saying.via(0).to_owned());
    let (ran, _) = saying.ended();
    assert_eq!(ran.json_error(), (1, "timed_out".into()));
    assert_eq!(ben.refused(&["join", &words, "--via", &via]), (5, "code_spent".into()));
    assert_eq!(ben.refused(&["join", "7-apple-river", "--via", &via]), (2, "code_unreadable".into()));
    assert_eq!(ben.refused(&["join", "7-apple-river-moon", "--via", "cbt1nonsense"]), (2, "code_unreadable".into()));
    assert_eq!(ben.refused(&["invite", "docs", "--words"]), (6, "folder_not_found".into()));
}

#[test]
fn three_words_are_enough_in_one_local_network() {
    if let Some(why) = Wire::missing() {
        return eprintln!("skipped: {why}");
    }
    let wire = Wire::new(3, 5).unwrap();
    let mut world = World::inside(&[], "lan_discovery = true\n").everywhere();
    let mut person = |machine: usize, name: &str| {
        world.behind(wire.prefix(machine));
        world.person(name)
    };
    // Carol is in the same network and knows nothing: she is asked, too, and what is said to her helps nobody.
    let (ana, ben, carol) = (person(0, "Ana"), person(1, "Ben"), person(2, "Carol"));
    let mine = docs_of(&ana);
    let saying = Saying::start(&ana, world.path(), &[]);
    let root = ben.folder("docs");
    ben.json(&["join", saying.words(), root.to_str().unwrap()]);
    same(&[&mine, &root]);
    assert_eq!(saying.ended().0.code, Some(0));
    drop(carol);
}
