//! How editors save, and how logs grow: whatever they do with temporary names, both sides end with the saved text, once.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, same_and, until};

/// One way of saving a text under a path.
type Save = fn(&Path, &str);

const WAYS: [(&str, Save); 6] = [
    ("truncate and write.txt", |path, text| fs::write(path, text).unwrap()),
    ("write beside and rename over.txt", |path, text| {
        let beside = path.with_extension("tmp");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, path).unwrap();
    }),
    ("exchange.txt", |path, text| {
        let beside = path.with_extension("swp");
        fs::write(&beside, text).unwrap();
        renameat_with(CWD, &beside, CWD, path, RenameFlags::EXCHANGE).unwrap();
        fs::remove_file(&beside).unwrap();
    }),
    ("rename away and write anew.txt", |path, text| {
        let old = path.with_extension("txt~");
        fs::rename(path, &old).unwrap();
        fs::write(path, text).unwrap();
        fs::remove_file(&old).unwrap();
    }),
    ("link, write beside, rename over.txt", |path, text| {
        let (old, beside) = (path.with_extension("bak"), path.with_extension("new"));
        fs::hard_link(path, &old).unwrap();
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, path).unwrap();
        fs::remove_file(&old).unwrap();
    }),
    ("under a lock.txt", |path, text| {
        let lock = path.with_file_name(".~lock.under a lock.txt#");
        fs::write(&lock, "somebody edits").unwrap();
        let mut file = File::options().write(true).truncate(true).open(path).unwrap();
        for part in text.as_bytes().chunks(7) {
            file.write_all(part).unwrap();
            file.sync_all().unwrap();
        }
        drop(file);
        fs::remove_file(&lock).unwrap();
    }),
];

fn has_only(tree: &Tree, count: usize) -> bool {
    tree.files() == count && !tree.0.keys().any(|path| path.to_string_lossy().contains("(conflict "))
}

fn no_conflicts(who: &Computer) {
    let list = who.json(&["conflicts", "list", "docs"]);
    assert_eq!(list["conflicts"].as_array().map(Vec::len), Some(0), "{list}");
}

#[test]
fn l5_whatever_way_an_editor_saves_both_have_the_text_once() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| {
        for (name, _) in WAYS {
            fs::write(root.join(name), "as it was").unwrap();
        }
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.wait("docs");
    // Slowly, so that each save is seen by itself; then fast, so that looks fall between its parts.
    for (round, pause_ms) in [(0, 150), (1, 15), (2, 0), (3, 0), (4, 0)] {
        for (name, save) in WAYS {
            save(&mine.join(name), &format!("{name}, saved by Ana in round {round}"));
            std::thread::sleep(Duration::from_millis(pause_ms));
        }
    }
    let newest = |by: &str, round: u32| {
        let by = by.to_owned();
        move |root: &Path| {
            WAYS.iter().all(|(name, _)| {
                let text = fs::read_to_string(root.join(name)).unwrap_or_default();
                text == format!("{name}, saved by {by} in round {round}")
            })
        }
    };
    let anas = newest("Ana", 4);
    same_and(&[&mine, &theirs], "what Ana saved", |tree| has_only(tree, WAYS.len()) && anas(&mine));
    // Ben's editor goes on with what came.
    for (name, save) in WAYS {
        save(&theirs.join(name), &format!("{name}, saved by Ben in round 5"));
    }
    let bens = newest("Ben", 5);
    same_and(&[&mine, &theirs], "what Ben saved", |tree| has_only(tree, WAYS.len()) && bens(&mine));
    no_conflicts(&ana);
    no_conflicts(&ben);
}

/// Tells the writer of a log to end.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn l4_a_log_that_grows_for_ever_keeps_nothing_else_waiting() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("grows.log"), "").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.wait("docs");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also when the wait below ends in a panic: else the scope would wait for the writer for ever.
        let _stops = Stops(&stop);
        scope.spawn(|| {
            let mut log = File::options().append(true).open(mine.join("grows.log")).unwrap();
            let mut line = 0;
            while !stop.load(Ordering::Relaxed) {
                writeln!(log, "line {line}").unwrap();
                line += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        fs::write(mine.join("letter.txt"), "a letter").unwrap();
        until("the letter comes", PATIENCE, || fs::read_to_string(theirs.join("letter.txt")));
    });
    same_and(&[&mine, &theirs], "the log, too, once it rests", |tree| has_only(tree, 2));
    no_conflicts(&ben);
}
