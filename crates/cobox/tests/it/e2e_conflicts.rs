//! Two people change one file without knowing of each other: both versions stand side by side, and both people are told of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, same_and, until};

/// `cobox events --json`, running.
struct Events {
    child: Child,
    lines: PathBuf,
}

impl Events {
    /// Follows what happens from now on.
    fn of(computer: &Computer, folder: &str) -> Self {
        let lines = computer.folder("events");
        let out = File::create(&lines).unwrap();
        let child = computer.command(&["events", "--json"]).stdout(out).stderr(Stdio::null()).spawn().unwrap();
        let events = Self { child, lines };
        until("events come", PATIENCE, || {
            // Each makes an event; the first that is heard shows that somebody listens.
            computer.json(&["pause", folder]);
            computer.json(&["resume", folder]);
            let heard = events.heard();
            if heard.is_empty() { Err(heard) } else { Ok(()) }
        });
        events
    }

    fn heard(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.lines).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn conflicts(&self) -> Vec<Value> {
        self.heard().into_iter().filter(|event| event["kind"] == "conflict").collect()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn c1_both_people_hear_once_of_every_new_conflict_copy() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("letter.txt"), "Dear all").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let (hears_ana, hears_ben) = (Events::of(&ana, "docs"), Events::of(&ben, "docs"));
    ana.wait("docs");
    ben.json(&["pause", "docs"]);
    fs::write(mine.join("letter.txt"), "Dear all, says Ana").unwrap();
    fs::write(theirs.join("letter.txt"), "Dear all, says Ben").unwrap();
    ben.wait("docs");
    ben.json(&["resume", "docs"]);
    let tree = same_and(&[&mine, &theirs], "both versions are on both sides", |tree| tree.files() == 2);
    let copy = tree.0.keys().find(|path| path.to_string_lossy().contains("(conflict")).unwrap().to_str().unwrap();
    let events = [&hears_ana, &hears_ben];
    for heard in events {
        until(
            "the conflict is told",
            PATIENCE,
            || if heard.conflicts().is_empty() { Err(heard.heard()) } else { Ok(()) },
        );
    }
    // What happens next is no news of the same copy.
    fs::write(mine.join("another.txt"), "unrelated").unwrap();
    same_and(&[&mine, &theirs], "life goes on", |tree| tree.0.contains_key(Path::new("another.txt")));
    let id = &ana.status("docs")["id"];
    for heard in events {
        let told = heard.conflicts();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((&told[0]["path"], &told[0]["folder"]), (&copy.into(), id), "{told:?}");
        assert!(told[0]["message"].as_str().unwrap().contains(copy), "{told:?}");
    }
    let listed = ana.json(&["conflicts", "list", "docs"]);
    assert_eq!(listed["conflicts"].as_array().unwrap().len(), 1, "{listed}");
}
