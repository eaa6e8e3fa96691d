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
fn state_file(computer: &Computer, name: &str) -> PathBuf {
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
