//! Coming and going: a folder that is left, and a home whose service is
//! stopped but not gone.

use std::fs;
use std::path::Path;

use crate::e2e_tree::Tree;
use crate::e2e_world::{World, ana_and_ben, same, same_and};

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
