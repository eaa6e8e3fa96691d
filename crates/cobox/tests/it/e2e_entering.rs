//! Coming and going: a folder that is left, and a home whose service is
//! stopped but not gone.

use std::fs;
use std::path::Path;

use crate::e2e_tree::{Entry, Tree};
use crate::e2e_world::{World, ana_and_ben, noise, same, same_and};

#[test]
fn h4_who_leaves_keeps_the_files_and_takes_none_from_others() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, |root| {
        fs::write(root.join("song.txt"), "la").unwrap();
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/note.txt"), "do re mi").unwrap();
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.wait("docs");
    let whole = Tree::read(&mine).unwrap();
    ben.json(&["leave", "docs", "--yes"]);
    assert_eq!(whole.difference(&Tree::read(&theirs).unwrap()), None, "h4: the files stay");
    assert_eq!(ben.refused(&["status", "docs"]).0, 6, "it is no folder any more");

    // What happens in the directory since concerns nobody else, nor the other way round.
    fs::remove_dir_all(theirs.join("sub")).unwrap();
    ben.restart();
    fs::write(mine.join("later.txt"), "later").unwrap();
    ana.wait("docs");
    assert_eq!(fs::read_to_string(mine.join("sub/note.txt")).unwrap(), "do re mi");
    assert!(!theirs.join("later.txt").exists());
    assert_eq!(fs::read_to_string(theirs.join("song.txt")).unwrap(), "la");
}

/// Leaving is no farewell: with a new invite one is a member as before, and what one changed meanwhile counts.
#[test]
fn h4_who_left_can_come_back() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("song.txt"), "la").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    for stay in ["second", "third"] {
        ben.json(&["leave", "docs", "--yes"]);
        fs::write(theirs.join(format!("{stay}.txt")), stay).unwrap();
        ben.json(&["join", &ana.invite("docs", &ben), theirs.to_str().unwrap()]);
        let tree =
            same_and(&[&mine, &theirs], "back again", |tree| tree.0.contains_key(Path::new(&format!("{stay}.txt"))));
        assert_eq!(tree.difference(&Tree::read(&mine).unwrap()), None);
    }
}

/// Ben gives the folder a directory in which he worked already: what is equal is left as it is and not fetched, what differs stands
/// beside the other, and nothing is deleted on either side.
#[test]
fn h3_joining_onto_a_full_directory_merges_and_deletes_nothing() {
    let world = World::new();
    let (ana, ben) = (world.person("Ana"), world.person("Ben"));
    let mine = ana.create("docs");
    let big = noise(3, 4 << 20);
    for root in [&mine, &ben.folder("docs")] {
        fs::create_dir_all(root.join("songs/old")).unwrap();
        fs::write(root.join("songs/big.bin"), &big).unwrap();
        fs::write(root.join("songs/old/equal.txt"), "la la la").unwrap();
    }
    let theirs = ben.folder("docs");
    fs::write(mine.join("songs/plan.txt"), "Ana's plan").unwrap();
    fs::write(theirs.join("songs/plan.txt"), "Ben's plan, and longer").unwrap();
    fs::write(mine.join("only Ana.txt"), "A").unwrap();
    fs::write(theirs.join("only Ben.txt"), "B").unwrap();
    fs::create_dir_all(theirs.join("empty of Ben")).unwrap();
    fs::write(mine.join("kind"), "a file at Ana's").unwrap();
    fs::create_dir_all(theirs.join("kind")).unwrap();
    fs::write(theirs.join("kind/inside.txt"), "a directory at Ben's").unwrap();
    ana.wait("docs");
    ben.join("docs", &ana.invite("docs", &ben));

    let texts = |tree: &Tree| -> Vec<String> {
        tree.0
            .values()
            .filter_map(|entry| match entry {
                Entry::File { bytes, .. } if bytes.len() < 100 => Some(String::from_utf8_lossy(bytes).into_owned()),
                _ => None,
            })
            .collect()
    };
    let all = ["Ana's plan", "Ben's plan, and longer", "A", "B", "a file at Ana's", "a directory at Ben's", "la la la"];
    let tree = same_and(&[&mine, &theirs], "what both had", |tree| {
        let texts = texts(tree);
        all.iter().all(|text| texts.iter().any(|have| have == text))
    });
    assert_eq!(tree.files(), all.len() + 1, "h3: no copy of what is equal, one of what differs: {tree:?}");
    assert!(theirs.join("empty of Ben").is_dir() && mine.join("empty of Ben").is_dir());
    let conflicts = ana.json(&["conflicts", "list", "docs"]);
    assert!(!conflicts["conflicts"].as_array().unwrap().is_empty(), "{conflicts}");
    // The equal ones were recognised: nothing like their size went over the wire.
    assert!(ben.traffic("docs").received_bytes < (big.len() / 4) as u64, "h3: what is equal is not fetched");
    assert!(ana.traffic("docs").received_bytes < (big.len() / 4) as u64, "h3: what is equal is not fetched");
    // From then on it is a folder like any other.
    fs::write(mine.join("songs/old/equal.txt"), "la la la la").unwrap();
    fs::remove_file(theirs.join("only Ana.txt")).unwrap();
    same_and(&[&mine, &theirs], "they go on", |tree| {
        tree.files() == all.len() && texts(tree).iter().any(|text| text == "la la la la")
    });
}

/// A laptop that sleeps: its service holds the lock, a second one is refused, and when it wakes it takes nothing back.
#[test]
fn k9_a_stopped_service_holds_its_home_and_wakes_without_harm() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("song.txt"), "la").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.wait("docs");
    ben.sleep();
    let second = ben.run(&["up", "--foreground", "--json", "--quiet"]);
    assert_ne!(second.code, Some(0), "a second service is refused: {second:?}");
    let api = fs::read(ben.home().join("api.json"));
    assert!(api.is_ok(), "what belongs to the sleeping one is left alone");

    fs::write(mine.join("song.txt"), "la la").unwrap();
    fs::write(mine.join("new.txt"), "new").unwrap();
    fs::write(theirs.join("saved meanwhile.txt"), "mine").unwrap();
    ben.wake();
    let tree = same_and(&[&mine, &theirs], "both have all", |tree| tree.files() == 3);
    assert!(tree.0.contains_key(Path::new("saved meanwhile.txt")), "{tree:?}");
    assert_eq!(fs::read_to_string(theirs.join("song.txt")).unwrap(), "la la");
    same(&[&mine, &theirs]);
}
