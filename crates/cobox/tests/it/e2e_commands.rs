//! Commands at the worst moment: while files arrive (C12), and with the power going (K4). Whatever is typed, it happens before or after
//! everything else, never half, and no file goes with it that nobody meant.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::e2e_evil::logged;
use crate::e2e_tree::Tree;
use crate::e2e_world::{PATIENCE, World, noise, same_and, until};

/// What a switch answered: which way it was thrown, and whether it stood so already.
type Thrown = (bool, bool);

/// Whether these answers have one order: of a switch that was off, those that changed something alternate, beginning with "on".
fn have_one_order(thrown: &[Thrown], is_on_at_the_end: bool) -> bool {
    let changed = |on: bool| thrown.iter().filter(|(to, already)| *to == on && !already).count();
    let (on, off) = (changed(true), changed(false));
    on == off + usize::from(is_on_at_the_end)
}

/// Three people at one computer pause, resume, check, look and ask, while another member's files arrive.
#[test]
fn c12_commands_while_files_arrive_have_one_order_and_lose_nothing() {
    let world = World::new();
    let (ana, ben) = (world.person("Ana"), world.person("Ben"));
    let mine = ana.create("docs");
    fs::write(mine.join("first"), "first").unwrap();
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    same_and(&[&mine, &theirs], "the first file", |tree| tree.files() == 1);
    let thrown: Mutex<Vec<Thrown>> = Mutex::default();
    let writing = AtomicBool::new(true);
    let lock = || thrown.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for seed in 0..3u64 {
            let (ben, writing, lock) = (&ben, &writing, &lock);
            scope.spawn(move || {
                let mut dice = noise(seed, 1 << 16).into_iter();
                // Each types at a terminal of their own.
                let types = |args: &[&str]| {
                    let ran = ben.command(&[args, &["--json"]].concat()).output().unwrap();
                    let what = String::from_utf8_lossy(&ran.stdout).into_owned();
                    assert!(ran.status.success(), "{args:?}: {ran:?}");
                    serde_json::from_str::<Value>(&what).unwrap()
                };
                let mut typed = 0;
                while writing.load(Ordering::Relaxed) || typed < 12 {
                    match dice.next().unwrap() % 7 {
                        0 | 1 => {
                            let already = types(&["pause", "docs"])["already"] == true;
                            lock().push((true, already));
                        }
                        2 | 3 => {
                            let already = types(&["resume", "docs"])["already"] == true;
                            lock().push((false, already));
                        }
                        4 => drop(types(&["status", "docs"])),
                        5 => drop(types(&["missing", "list", "docs"])),
                        _ => drop(types(&["check", "docs"])),
                    }
                    typed += 1;
                }
            });
        }
        for n in 0..120u64 {
            fs::write(mine.join(format!("file {n}")), noise(n, 20_000)).unwrap();
            if n % 3 == 0 {
                fs::write(theirs.join(format!("of Ben {n}")), noise(1000 + n, 900)).unwrap();
            }
            thread::sleep(Duration::from_millis(10));
        }
        writing.store(false, Ordering::Relaxed);
    });
    let is_paused = ben.status("docs")["state"] == "paused";
    let answers = std::mem::take(&mut *lock());
    assert!(answers.len() > 10 && have_one_order(&answers, is_paused), "paused {is_paused} after {answers:?}");
    ben.json(&["resume", "docs"]);
    same_and(&[&mine, &theirs], "all that was written", |tree| tree.files() == 1 + 120 + 40);
    assert_eq!(ben.status("docs")["conflicts"], 0);

    // Two leave at one time, and a third asks: one of the two leaves, and the files stay.
    let whole = Tree::read(&theirs).unwrap();
    let left: Vec<i32> = thread::scope(|scope| {
        let leaving: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let ran = ben.command(&["leave", "docs", "--json"]).output().unwrap();
                    ran.status.code().unwrap()
                })
            })
            .collect();
        let asks = ben.command(&["status", "--json"]).output().unwrap();
        assert!(asks.status.success(), "{asks:?}");
        leaving.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(left.contains(&0) && left.iter().all(|code| [0, 1, 6].contains(code)), "{left:?}");
    assert!(
        left.iter().filter(|code| **code == 0).count() == 1,
        "one of the two left, the other found nothing: {left:?}"
    );
    assert!(whole.difference(&Tree::read(&theirs).unwrap()).is_none(), "the files stay");
    for computer in [&ana, &ben] {
        assert!(!logged(computer).contains("panic"), "{}", logged(computer));
    }
}

/// The service ends at some moment of `leave`. Afterwards the folder is left or it is not, and nobody's files are gone: neither
/// those of who left, nor, as a deletion, those of the others.
#[test]
fn k4_a_stop_in_the_middle_of_leaving_deletes_nothing() {
    let world = World::new();
    let (ana, mut ben) = (world.person("Ana"), world.person("Ben"));
    let mine = ana.create("docs");
    for n in 0..30u64 {
        fs::write(mine.join(format!("file {n}")), noise(n, 3_000)).unwrap();
    }
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    let whole = same_and(&[&mine, &theirs], "all files", |tree| tree.files() == 30);
    let mut has_left = 0;
    for (round, die) in noise(4, 6).into_iter().enumerate() {
        // From before the request arrives to after it was answered.
        let after = Duration::from_millis(u64::from(die) % (4 << round));
        let mut leaving = ben.command(&["leave", "docs", "--json"]);
        leaving.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut leaving = leaving.spawn().unwrap();
        thread::sleep(after);
        ben.crash();
        leaving.wait().unwrap();
        ben.up();
        let folders = ben.json(&["folders"])["folders"].as_array().unwrap().len();
        assert!(whole.difference(&Tree::read(&theirs).unwrap()).is_none(), "round {round}: files of who left are gone");
        if folders == 0 {
            has_left += 1;
            ben.json(&["join", &ana.invite("docs", &ben), theirs.to_str().unwrap()]);
        }
        until("both are in step again", PATIENCE, || {
            let status = ben.status("docs");
            if status["state"] == "in_step" && status["held_changes"] == 0 { Ok(()) } else { Err(status) }
        });
        assert!(whole.difference(&Tree::read(&mine).unwrap()).is_none(), "round {round}: it was taken for deletions");
        assert_eq!(ana.status("docs")["held_changes"], 0, "round {round}");
    }
    println!("left in {has_left} of 6 rounds");
}
