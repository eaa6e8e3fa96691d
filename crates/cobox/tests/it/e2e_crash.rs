//! Killed at any moment, with any damage to what it remembers: a service that starts again goes on, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::e2e_tree::{Entry, Tree};
use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, noise, same, same_and, until};

/// The same moments and edits in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// What one person does in a directory of their own, and what must therefore be there in the end.
struct Person {
    name: &'static str,
    root: PathBuf,
    /// Where it was saved last, by its content.
    saved: BTreeMap<PathBuf, Vec<u8>>,
    deleted: BTreeSet<Vec<u8>>,
    count: u64,
}

impl Person {
    fn new(name: &'static str, root: PathBuf) -> Self {
        Self { name, root, saved: BTreeMap::new(), deleted: BTreeSet::new(), count: 0 }
    }

    /// Some work: new files, a large one, an edit, a move, a deletion.
    fn work(&mut self, dice: &mut Dice) {
        for _ in 0..6 {
            self.count += 1;
            let dir = PathBuf::from(format!("{} {}", self.name, dice.roll(3)));
            let path = dir.join(format!("file {}", self.count));
            let bytes = if dice.roll(8) == 0 { 5 << 20 } else { 1 + dice.roll(40_000) as usize };
            self.save(path, bytes);
        }
        let some = |saved: &BTreeMap<PathBuf, Vec<u8>>, dice: &mut Dice| {
            saved.keys().nth(dice.roll(saved.len() as u64) as usize).unwrap().clone()
        };
        let edited = some(&self.saved, dice);
        self.deleted.insert(self.saved[&edited].clone());
        self.save(edited, 1000 + dice.roll(3000) as usize);
        let moved = some(&self.saved, dice);
        let content = self.saved.remove(&moved).unwrap();
        self.count += 1;
        let to = PathBuf::from(format!("{} {}/moved {}", self.name, dice.roll(3), self.count));
        fs::create_dir_all(self.root.join(&to).parent().unwrap()).unwrap();
        fs::rename(self.root.join(&moved), self.root.join(&to)).unwrap();
        self.saved.insert(to, content);
        let gone = some(&self.saved, dice);
        fs::remove_file(self.root.join(&gone)).unwrap();
        self.deleted.insert(self.saved.remove(&gone).unwrap());
    }

    /// Saves as editors do: a new file moved over the old one.
    fn save(&mut self, path: PathBuf, bytes: usize) {
        self.count += 1;
        let content = noise(self.count * 2 + u64::from(self.name == "Ben"), bytes.max(64));
        let at = self.root.join(&path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        let new = self.root.join(format!(".{} saving", self.name));
        fs::write(&new, &content).unwrap();
        fs::rename(new, at).unwrap();
        self.saved.insert(path, content);
    }
}

fn contents(tree: &Tree) -> BTreeSet<&[u8]> {
    let bytes = |entry: &'_ Entry| matches!(entry, Entry::File { .. });
    tree.0
        .values()
        .filter(|entry| bytes(entry))
        .map(|entry| match entry {
            Entry::File { bytes, .. } => bytes.as_slice(),
            _ => &[],
        })
        .collect()
}

#[test]
fn i5_k2_twenty_kills_at_any_moment_of_a_busy_sync_lose_nothing() {
    let world = World::new();
    let (mut ana, mut ben) = ana_and_ben(&world, |root| fs::write(root.join("first"), "first").unwrap());
    let mut the_box = world.seeder("box");
    ana.back_up("docs", &the_box);
    let mut people = [Person::new("Ana", ana.folder("docs")), Person::new("Ben", ben.folder("docs"))];
    let mut dice = Dice(20);
    for round in 0..20 {
        people.iter_mut().for_each(|person| person.work(&mut dice));
        // The moment is the point: scanning, sealing, publishing, fetching, moving into place.
        std::thread::sleep(Duration::from_millis(dice.roll(900)));
        let victim: &mut Computer = match dice.roll(5) {
            0 | 1 => &mut ana,
            2 | 3 => &mut ben,
            _ => &mut the_box,
        };
        victim.crash();
        if round % 3 == 0 {
            // Somebody works while the service lies dead.
            people.iter_mut().for_each(|person| person.work(&mut dice));
        }
        victim.up();
    }
    ana.wait("docs");
    ben.wait("docs");
    let all_saved = |tree: &Tree| {
        people.iter().all(|person| {
            person
                .saved
                .iter()
                .all(|(path, content)| matches!(tree.0.get(path), Some(Entry::File { bytes, .. }) if bytes == content))
        })
    };
    let tree = same_and(&[&people[0].root, &people[1].root], "everything saved is on both sides", all_saved);
    let there = contents(&tree);
    for person in &people {
        let back = person.deleted.iter().filter(|content| there.contains(content.as_slice())).count();
        assert_eq!(back, 0, "o4: what {} deleted or replaced came back", person.name);
    }
    let wanted = 1 + people.iter().map(|person| person.saved.len()).sum::<usize>();
    assert_eq!(tree.files(), wanted, "o3: nobody wrote anything else: {:?}", odd(&tree, &people));
    ana.wait_for_receipt("docs");
    for one in [&ana, &ben] {
        assert_eq!(one.run(&["check", "docs"]).code, Some(0), "{}", one.name);
    }
    assert_eq!(the_box.run(&["check"]).code, Some(0));
}

/// Files nobody wrote, for the message.
fn odd(tree: &Tree, people: &[Person]) -> Vec<PathBuf> {
    let known = |path: &PathBuf| people.iter().any(|person| person.saved.contains_key(path));
    tree.0
        .iter()
        .filter(|(path, entry)| matches!(entry, Entry::File { .. }) && !known(path))
        .map(|(path, _)| path.clone())
        .collect()
}

/// The file of this name below a home's state.
pub(crate) fn state_file(computer: &Computer, name: &str) -> PathBuf {
    let mut dirs = vec![computer.home().join("state")];
    let mut found = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                dirs.push(entry);
            } else if entry.file_name().is_some_and(|there| there == name) {
                found.push(entry);
            }
        }
    }
    // Of several, that of the folder, not of the vault: it is the one whose settings name a path.
    let of_folder = |path: &PathBuf| {
        let config = path.ancestors().map(|dir| dir.join("folder.json")).find(|config| config.exists());
        config.is_none_or(|config| fs::read_to_string(config).unwrap().contains("docs"))
    };
    found.into_iter().find(of_folder).unwrap_or_else(|| panic!("{name} is in no state directory"))
}

/// The database and what SQLite keeps beside it.
fn with_companions(file: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| PathBuf::from(format!("{}{end}", file.display())))
}

/// A way to spoil a file.
type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 8] = [
    ("empty", |file| fs::write(file, b"").unwrap()),
    ("cut in its header", |file| cut(file, 1, 60)),
    ("cut in half", |file| cut(file, 2, 0)),
    ("cut by one byte", |file| {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
    }),
    ("its first page zeroed", |file| zero(file, 0)),
    ("a page in the middle zeroed", |file| zero(file, 1)),
    ("garbage", |file| fs::write(file, noise(5, 20_000)).unwrap()),
    ("gone", |file| fs::remove_file(file).unwrap()),
];

fn cut(file: &Path, part: usize, most: usize) {
    let bytes = fs::read(file).unwrap();
    let len = if most > 0 { most } else { bytes.len() / part };
    fs::write(file, &bytes[..len]).unwrap();
}

fn zero(file: &Path, which: usize) {
    let mut bytes = fs::read(file).unwrap();
    let pages = bytes.len() / 4096;
    let page = (if which == 0 { 0 } else { pages / 2 }) * 4096;
    let end = (page + 4096).min(bytes.len());
    bytes[page..end].fill(0);
    fs::write(file, bytes).unwrap();
}

/// What the folder remembers of its disk is damaged in every way, and files were changed meanwhile on both sides: it is built anew from
/// the folder and the others, without deleting or reverting anything, and status says so at no point that all is well when it is not.
#[test]
fn i5_a_damaged_memory_of_the_folder_is_built_anew_and_deletes_nothing() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, |root| {
        fs::create_dir(root.join("deep")).unwrap();
        for n in 0..40 {
            fs::write(root.join(format!("deep/page {n}.txt")), noise(n, 3000)).unwrap();
        }
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let database = state_file(&ben, "tree.db");
    for (n, (name, damage)) in DAMAGES.iter().enumerate() {
        ben.wait("docs");
        ben.down();
        with_companions(&database)[1..].iter().for_each(|file| drop(fs::remove_file(file)));
        damage(&database);
        fs::write(mine.join(format!("deep/page {n}.txt")), format!("Ana, while Ben was away {n}")).unwrap();
        fs::write(theirs.join(format!("deep/page {}.txt", n + 20)), format!("Ben, while away {n}")).unwrap();
        ana.wait("docs");
        ben.up();
        until(&format!("the folder is there again: {name}"), PATIENCE, || {
            let status = ben.json(&["status"]);
            if status["folders"][0]["name"] == "docs" { Ok(()) } else { Err(status) }
        });
        let both = |tree: &Tree| {
            let holds = |path: String, content: String| matches!(tree.0.get(Path::new(&path)), Some(Entry::File { bytes, .. }) if *bytes == content.as_bytes());
            holds(format!("deep/page {n}.txt"), format!("Ana, while Ben was away {n}"))
                && holds(format!("deep/page {}.txt", n + 20), format!("Ben, while away {n}"))
        };
        let tree = same_and(&[&mine, &theirs], &format!("all is there again: {name}"), both);
        assert!(tree.files() >= 40, "{name}: {} files", tree.files());
        // An edit that Ben's service no longer knew the age of may stand beside the old version; nothing is gone.
        for path in tree.0.keys().filter(|path| path.to_string_lossy().contains("(conflict")) {
            fs::remove_file(mine.join(path)).unwrap();
        }
        same_and(&[&mine, &theirs], "tidied up", |tree| tree.files() == 40);
    }
}

/// Sealed nodes and the membership log: found again, or a clear stop that harms nothing; put back, all goes on.
#[test]
fn i5_a_damaged_store_is_healed_or_named_and_harms_nothing() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, |root| {
        for n in 0..12 {
            fs::write(root.join(format!("page {n}.txt")), noise(n, 3000)).unwrap();
        }
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let whole = same(&[&mine, &theirs]);
    ben.down();
    let log = state_file(&ben, "folders.db");
    let kept = world.path().join("kept");
    fs::create_dir(&kept).unwrap();
    for file in with_companions(&log).iter().filter(|file| file.exists()) {
        fs::copy(file, kept.join(file.file_name().unwrap())).unwrap();
    }
    let put_back = || {
        with_companions(&log).iter().for_each(|file| drop(fs::remove_file(file)));
        for file in fs::read_dir(&kept).unwrap().map(|file| file.unwrap().path()) {
            fs::copy(&file, log.with_file_name(file.file_name().unwrap())).unwrap();
        }
    };
    let mut named = 0;
    // Gone altogether is another matter: a home without it is a new one.
    for (name, damage) in DAMAGES.iter().filter(|(name, _)| *name != "gone") {
        put_back();
        with_companions(&log)[1..].iter().for_each(|file| drop(fs::remove_file(file)));
        damage(&log);
        let before = fs::read(&log).unwrap();
        let ran = ben.run(&["up", "--json"]);
        if ran.code == Some(0) {
            // Damage in one record alone: the folder it belongs to is named and the service runs.
            let status = ben.json(&["status"]);
            let problem = &status["folders"][0]["problems"][0];
            assert_eq!(problem["code"], "not_opened", "{name}: {status}");
            assert!(problem["message"].as_str().unwrap().contains("folders.db"), "o9: {name}: {status}");
            assert!(problem["hint"].is_string(), "o9: {name}: {status}");
            assert_eq!(ben.run(&["down"]).code, Some(0), "{name}");
            named += 1;
            continue;
        }
        assert_eq!(ran.code, Some(1), "{name}: {ran:?}");
        let error: Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
        let error = &error["error"];
        assert!(error["message"].as_str().unwrap().contains("folders.db"), "o9: {name} names the file: {error}");
        assert!(error["code"].is_string() && error["hint"].is_string(), "o9: {name}: {error}");
        named += 1;
        assert_eq!(fs::read(&log).unwrap(), before, "{name}: what may still be saved is left alone");
        assert_eq!(Tree::read(&theirs).unwrap(), whole, "{name}");
    }
    assert_eq!(named, DAMAGES.len() - 1);
    assert_eq!(Tree::read(&theirs).unwrap(), whole, "nothing was touched");
    put_back();
    fs::write(mine.join("page 1.txt"), "edited meanwhile").unwrap();
    ben.up();
    let edited = |tree: &Tree| matches!(tree.0.get(Path::new("page 1.txt")), Some(Entry::File { bytes, .. }) if bytes == b"edited meanwhile");
    assert_eq!(same_and(&[&mine, &theirs], "they go on", edited).files(), 12);
}

/// Puts a database, with what SQLite keeps beside it, in the place of another.
fn put(database: &Path, in_place_of: &Path) {
    for (from, to) in with_companions(database).iter().zip(with_companions(in_place_of)) {
        drop(fs::remove_file(&to));
        if from.exists() {
            fs::copy(from, to).unwrap();
        }
    }
}

/// What another device remembers of the same folder, and what this one remembers of another folder: neither is believed.
#[test]
fn i5_the_memory_of_another_device_or_folder_is_built_anew_and_deletes_nothing() {
    let world = World::new();
    let (mut ana, mut ben) = ana_and_ben(&world, |root| {
        (0..12).for_each(|n| fs::write(root.join(format!("page {n}")), noise(n, 3000)).unwrap());
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let other = ben.create("other");
    fs::write(other.join("private"), "of Ben's alone").unwrap();
    ben.wait("other");
    let database = state_file(&ben, "tree.db");
    let of_other = {
        let id = ben.status("other")["id"].as_str().unwrap().to_owned();
        ben.home().join("state").join(id).join("tree.db")
    };
    let of_ana = state_file(&ana, "tree.db");
    for (n, (whose, foreign)) in [("Ana's", &of_ana), ("another folder's", &of_other)].into_iter().enumerate() {
        ana.wait("docs");
        ben.wait("docs");
        ana.down();
        ben.down();
        put(foreign, &database);
        fs::write(mine.join("page 1"), format!("Ana, while both were away {n}")).unwrap();
        fs::write(theirs.join("page 2"), format!("Ben, while both were away {n}")).unwrap();
        ana.up();
        ben.up();
        // Where an edit was known before the disk was looked at, the old version there looks like another's: then either has the name.
        let both = |tree: &Tree| {
            let holds = |content: String| {
                tree.0.values().any(|entry| matches!(entry, Entry::File { bytes, .. } if *bytes == content.as_bytes()))
            };
            holds(format!("Ana, while both were away {n}")) && holds(format!("Ben, while both were away {n}"))
        };
        let tree = same_and(&[&mine, &theirs], &format!("all is there again: {whose}"), both);
        assert!(tree.files() >= 12, "{whose}: {} files", tree.files());
        // An edit that Ben's service no longer knew the age of may stand beside the old version; nothing is gone.
        for path in tree.0.keys().filter(|path| path.to_string_lossy().contains("(conflict")) {
            fs::remove_file(mine.join(path)).unwrap();
        }
        same_and(&[&mine, &theirs], "tidied up", |tree| tree.files() == 12);
        let status = ben.wait("docs");
        assert_eq!(status["problems"].as_array().unwrap().len(), 0, "{whose}: {status}");
        assert_eq!(fs::read_to_string(other.join("private")).unwrap(), "of Ben's alone");
        assert!(!mine.join("private").exists(), "{whose}: nothing of another folder is shown");
    }
}

/// An older copy of what this device remembers of the folder, beside everything else as it is: what was saved, replaced and deleted since
/// then stays so.
#[test]
fn i5_an_older_memory_of_the_folder_reverts_and_deletes_nothing() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, |root| {
        (0..12).for_each(|n| fs::write(root.join(format!("page {n}")), noise(n, 3000)).unwrap());
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let database = state_file(&ben, "tree.db");
    let older = world.path().join("older.db");
    for n in 0..3 {
        ben.wait("docs");
        ben.down();
        put(&database, &older);
        ben.up();
        let (edited, new) = (format!("edited by Ben {n}"), format!("new {n}"));
        fs::write(theirs.join("page 3"), &edited).unwrap();
        fs::write(theirs.join(&new), "new").unwrap();
        fs::remove_file(theirs.join(format!("page {}", 4 + n))).unwrap();
        fs::write(mine.join("page 7"), format!("edited by Ana {n}")).unwrap();
        let holds = |tree: &Tree, path: &str, content: &str| matches!(tree.0.get(Path::new(path)), Some(Entry::File { bytes, .. }) if *bytes == content.as_bytes());
        let all = |tree: &Tree| {
            holds(tree, "page 3", &edited)
                && holds(tree, &new, "new")
                && holds(tree, "page 7", &format!("edited by Ana {n}"))
        };
        same_and(&[&mine, &theirs], "they have the same", all);
        ben.wait("docs");
        ben.down();
        put(&older, &database);
        fs::write(mine.join("page 1"), format!("Ana, while Ben was away {n}")).unwrap();
        fs::write(theirs.join("page 2"), format!("Ben, while away {n}")).unwrap();
        ben.up();
        let all = |tree: &Tree| {
            all(tree)
                && holds(tree, "page 1", &format!("Ana, while Ben was away {n}"))
                && holds(tree, "page 2", &format!("Ben, while away {n}"))
        };
        let tree = same_and(&[&mine, &theirs], &format!("all is as it was last: {n}"), all);
        assert_eq!(tree.files(), 12, "o4: what was deleted stays so: {:?}", tree.0.keys());
        let status = ben.wait("docs");
        assert_eq!(status["problems"].as_array().unwrap().len(), 0, "{status}");
    }
}

/// Records of another home, or none where there were some: a clear stop each time, and all goes on when they are put back.
#[test]
fn i5_records_of_another_home_or_none_are_a_clear_stop() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, |root| fs::write(root.join("letter"), "first").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let stranger = world.person("Stranger");
    ben.wait("docs");
    ben.down();
    let whole = same(&[&mine, &theirs]);
    let log = state_file(&ben, "folders.db");
    let kept = world.path().join("kept.db");
    put(&log, &kept);
    let others = [("Ana's", Some(&ana)), ("a stranger's", Some(&stranger)), ("none", None)];
    for (whose, owner) in others {
        match owner {
            // As it lies there while its owner works.
            Some(owner) => put(&owner.home().join("state/folders.db"), &log),
            None => with_companions(&log).iter().for_each(|file| drop(fs::remove_file(file))),
        }
        for _ in 0..2 {
            let ran = ben.run(&["up", "--json"]);
            assert_eq!(ran.code, Some(1), "{whose}: {ran:?}");
            let error: Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
            let error = &error["error"];
            assert!(error["message"].as_str().unwrap().contains("folders.db"), "o9: {whose}: {error}");
            assert!(error["hint"].as_str().unwrap().contains("copy"), "o9: {whose}: {error}");
        }
        assert_eq!(Tree::read(&theirs).unwrap(), whole, "{whose}: nothing was touched");
    }
    put(&kept, &log);
    fs::write(mine.join("letter"), "second").unwrap();
    ben.up();
    let edited =
        |tree: &Tree| matches!(tree.0.get(Path::new("letter")), Some(Entry::File { bytes, .. }) if bytes == b"second");
    same_and(&[&mine, &theirs], "they go on", edited);
}
