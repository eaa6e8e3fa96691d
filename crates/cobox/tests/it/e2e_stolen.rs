//! A stolen disk of a seeder (G7): what lies on it names nobody and nothing, and every length on it is one of few.

use std::collections::BTreeSet;
use std::fs;

use cobox_core::padding::block_len;
use cobox_proto::head::SignedHead;
use cobox_proto::members::Padding;
use cobox_store::{BlockStore, DiskStore, FolderStore};

use crate::e2e_canary::Search;
use crate::e2e_world::{World, noise, same_and};

/// What nobody else may learn: names of people, of the folder, of directories and files, contents, and texts of links.
const PLANTED: &[&str] = &[
    "Anastasia-Kanarienvogel",
    "Benedikt-Zaunkoenig",
    "Quartalsbericht-Genossenschaft",
    "Lohnabrechnungen-vertraulich",
    "Kuendigung-Eisvogel.txt",
    "Wir-kuendigen-hiermit-den-Vertrag",
    "Seitenweise-Geheimnisse-zum-Wiederholen",
    "Verknuepfung-zum-Eisvogel",
];

#[test]
fn g7_a_stolen_seeders_disk_names_nothing_and_every_length_is_one_of_few() {
    let world = World::new();
    let (ana, ben, mut the_box) = (world.person(PLANTED[0]), world.person(PLANTED[1]), world.seeder("box"));
    let mine = ana.create(PLANTED[2]);
    let dir = mine.join(PLANTED[3]);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(PLANTED[4]), PLANTED[5]).unwrap();
    fs::write(dir.join("long.txt"), PLANTED[6].repeat(60_000)).unwrap();
    std::os::unix::fs::symlink(PLANTED[4], dir.join(PLANTED[7])).unwrap();
    for n in 0..200u64 {
        fs::write(dir.join(format!("small {n}")), noise(n, 600 + 13 * n as usize)).unwrap();
    }
    ana.back_up(PLANTED[2], &the_box);
    let theirs = ben.join(PLANTED[2], &ana.invite(PLANTED[2], &ben));
    same_and(&[&mine, &theirs], "everything", |tree| tree.files() >= 202);
    fs::write(theirs.join("later"), PLANTED[5]).unwrap();
    ben.wait(PLANTED[2]);
    ana.wait_for_receipt(PLANTED[2]);
    let shown = the_box.shown();
    // As a thief takes it, in the middle of its work.
    the_box.crash();

    let search = Search::new(PLANTED);
    assert!(search.finds_everything(), "{} forms are looked for", search.forms());
    let home = the_box.home();
    let searched = search.below(&[&home]).unwrap();
    assert!(searched.files > 3 && searched.bytes > 2 << 20, "{} files are too few to be a store", searched.files);
    assert!(searched.found.is_empty(), "{:#?}", searched.found);

    // How long a block is says in which class it is, and nothing else. How many there are is what the seeder shows its owner, too.
    let id = shown["folder"]["id"].as_str().unwrap();
    let state = home.join("state");
    let store = DiskStore::open(&state.join(id)).unwrap();
    let blocks = store.list(None, usize::MAX).unwrap();
    assert_eq!(shown["folder"]["blocks"], blocks.len());
    assert!(blocks.len() > 200, "each of the small files has a block of its own");
    for block in &blocks {
        let len = block.len as usize;
        assert_eq!(block_len(Padding::Padme, false, len), Some(len), "{len} bytes are no class");
    }
    let lengths: BTreeSet<u32> = blocks.iter().map(|block| block.len).collect();
    assert!(lengths.len() < 80, "two hundred sizes of files became {} lengths", lengths.len());

    // Heads and ops are in the clear, but for what their authors sealed.
    let records = FolderStore::open(&state.join("folders.db")).unwrap();
    let heads = records.heads(&id.parse().unwrap()).unwrap();
    assert!(!heads.is_empty());
    for head in heads {
        let head = SignedHead::from_bytes(&head.bytes).unwrap();
        assert!(!head.head().sealed.is_empty(), "what a head says to members is sealed");
    }
}
