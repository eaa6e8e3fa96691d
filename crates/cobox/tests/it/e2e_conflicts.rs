//! Two people change one file without knowing of each other: both versions stand side by side, and both people are told of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, same_and, until};

/// `cobox events --json`, running.
pub(crate) struct Events {
    child: Child,
    lines: PathBuf,
}

impl Events {
    /// Follows what happens from now on.
    pub(crate) fn of(computer: &Computer, folder: &str) -> Self {
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

    pub(crate) fn heard(&self) -> Vec<Value> {
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

/// What Ben is told of open files, once it is as it should be.
fn ben_sees(ben: &Computer, what: &str, so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    until(what, PATIENCE, || {
        let status = ben.status("docs");
        let editing = status["editing"].as_array().unwrap_or_else(|| panic!("{status}")).clone();
        if so(&editing) { Ok(editing) } else { Err(status["editing"].clone()) }
    })
}

#[test]
fn c1_who_has_a_file_open_is_shown_to_the_others_and_kept_nowhere() {
    let world = World::new();
    let seeder = world.seeder("box");
    let (ana, mut ben) = ana_and_ben(&world, |root| {
        fs::write(root.join("letter.odt"), "Dear all").unwrap();
        fs::write(root.join("Minutes.docx"), "Present: all").unwrap();
    });
    ana.back_up("docs", &seeder);
    ana.wait("docs");
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let hears = Events::of(&ben, "docs");
    let states = ana.json(&["history", "docs"])["entries"].as_array().unwrap().len();

    // As LibreOffice and Word do when a file is opened.
    let lock = mine.join(".~lock.letter.odt#");
    fs::write(&lock, ",Ana,ana,desk,01.12.2026 14:02,file:///home/ana;").unwrap();
    let open = ben_sees(&ben, "Ana has the letter open", |editing| editing.len() == 1);
    assert_eq!((&open[0]["path"], &open[0]["by"]), (&"letter.odt".into(), &"Ana".into()), "{open:?}");
    assert!(open[0]["since"].is_string() && open[0]["device"].is_string(), "{open:?}");
    let said = ben.run(&["status", "docs"]).out;
    assert!(said.contains("letter.odt: Ana has this open since "), "{said}");
    fs::write(mine.join("~$nutes.docx"), "Ana").unwrap();
    ben_sees(&ben, "Ana has both open", |editing| {
        editing.iter().map(|open| open["path"].as_str().unwrap()).collect::<Vec<_>>() == ["Minutes.docx", "letter.odt"]
    });
    until("Ben hears of both", PATIENCE, || {
        let told = hears.heard().into_iter().filter(|event| event["kind"] == "editing");
        let told: Vec<Value> = told.map(|event| event["path"].clone()).collect();
        if told == ["letter.odt", "Minutes.docx"] { Ok(()) } else { Err(told) }
    });
    let own = ana.status("docs");
    assert_eq!(own["editing"], Value::Array(vec![]), "what one has open oneself is no news: {own}");

    // It is a sign, and no more: Ben saves, and there is no conflict of it. Nothing of it is synced, kept or sealed for the seeder.
    fs::write(theirs.join("letter.odt"), "Dear all, and Ben").unwrap();
    ben.wait("docs");
    ana.wait("docs");
    assert_eq!(fs::read_to_string(mine.join("letter.odt")).unwrap(), "Dear all, and Ben");
    assert!(ben.json(&["conflicts", "list", "docs"])["conflicts"].as_array().unwrap().is_empty());
    assert!(!theirs.join(".~lock.letter.odt#").exists() && !theirs.join("~$nutes.docx").exists());
    assert_eq!(ana.json(&["history", "docs"])["entries"].as_array().unwrap().len(), states + 1);

    // Who comes later, or again, hears of it too; and when it is closed, that.
    ben.restart();
    ben_sees(&ben, "both are open still", |editing| editing.len() == 2);
    fs::remove_file(&lock).unwrap();
    fs::remove_file(mine.join("~$nutes.docx")).unwrap();
    ben_sees(&ben, "nothing is open any more", <[Value]>::is_empty);
}

#[test]
fn c1_who_may_only_read_has_nothing_open_that_is_anybody_elses() {
    let world = World::new();
    let (ana, ben) = (world.person("Ana"), world.person("Ben"));
    let root = ana.create("docs");
    fs::write(root.join("letter.odt"), "Dear all").unwrap();
    let invite = ana.json(&["invite", "docs", "--to", &ben.key(), "--role", "reader"]);
    let theirs = ben.join("docs", invite["code"].as_str().unwrap());
    ana.wait("docs");
    fs::write(theirs.join(".~lock.letter.odt#"), ",Ben,ben,desk,;").unwrap();
    fs::write(root.join(".~lock.letter.odt#"), ",Ana,ana,desk,;").unwrap();
    ben_sees(&ben, "Ben sees what Ana has open", |editing| editing.len() == 1);
    assert_eq!(ana.status("docs")["editing"], Value::Array(vec![]));
}
