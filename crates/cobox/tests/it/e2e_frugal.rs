//! Only what is new is sent, and no file is held in memory, however large. Sizes are those that a test may take; `cargo xtask bench`
//! asserts the same with 1 and 4 GiB and 10,000 and 100,000 files.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use crate::e2e_sick_disk::Sickness;
use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, World, ana_and_ben, becomes, noise, same, same_and};

const MIB: usize = 1 << 20;
/// The most memory a service may take, whatever goes through it.
const RESIDENT_BYTES_MAX: u64 = 300_000_000;

/// What an act sent from a computer: blocks of the folder, and bytes over the wire.
fn sent(computer: &Computer, act: impl FnOnce()) -> (u64, u64) {
    computer.wait("docs");
    let before = computer.traffic("docs");
    act();
    computer.wait("docs");
    let after = computer.traffic("docs");
    (after.sent_blocks - before.sent_blocks, after.sent_bytes - before.sent_bytes)
}

fn fill(dir: &Path, files: u64) {
    fs::create_dir_all(dir).unwrap();
    for n in 0..files {
        fs::write(dir.join(format!("page {n:04}.txt")), noise(n, 1500)).unwrap();
    }
}

#[test]
fn e6_a_directory_that_moves_sends_its_name_alone() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fill(&root.join("a/deep/place"), 2000));
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let (blocks, bytes) = sent(&ana, || {
        fs::rename(mine.join("a/deep"), mine.join("b")).unwrap();
        let tree = same_and(&[&mine, &theirs], "it moved", |tree| tree.0.contains_key(Path::new("b/place")));
        assert_eq!(tree.files(), 2000);
    });
    // The contents alone are 2,000 blocks of 3 MB.
    assert!(blocks <= 16 && bytes < 200_000, "{blocks} blocks, {bytes} bytes");

    // Each file by itself is a name each: lists of them, no contents.
    let (blocks, bytes) = sent(&ana, || {
        fs::create_dir(mine.join("c")).unwrap();
        for entry in fs::read_dir(mine.join("b/place")).unwrap() {
            let entry = entry.unwrap();
            fs::rename(entry.path(), mine.join("c").join(entry.file_name())).unwrap();
        }
        fs::remove_dir(mine.join("b/place")).unwrap();
        same_and(&[&mine, &theirs], "all moved", |tree| !tree.0.contains_key(Path::new("b/place")));
    });
    assert!(blocks <= 64 && bytes < 1_500_000, "{blocks} blocks, {bytes} bytes");
}

#[test]
fn what_is_known_of_thousands_of_files_comes_with_few_syncs() {
    let Some((world, disk, _library)) = Sickness::world() else { return };
    let (_ana, ben) = ana_and_ben(&world, |root| {
        for dir in 0..40 {
            fs::create_dir(root.join(format!("{dir}"))).unwrap();
            (0..100).for_each(|n| fs::write(root.join(format!("{dir}/{n}")), noise(dir * 100 + n, 200)).unwrap());
        }
    });
    ben.wait("docs");
    assert_eq!(Tree::read(&ben.folder("docs")).unwrap().files(), 4000);
    // They are 1.1 MB of nodes, some seventy: each with a sync of its own, and one of their index, would be more than all the rest.
    let synced = disk.synced_below(&ben.home());
    let of_segments: usize =
        synced.iter().filter(|(path, _)| path.contains("/blocks/seg-")).map(|(_, times)| times).sum();
    assert!((1..20).contains(&of_segments) && synced.values().sum::<usize>() < 250, "{synced:#?}");
}

#[test]
fn an_edit_sends_what_it_changed_and_a_copy_nothing() {
    const LARGE: usize = 64 * MIB;
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("recording.raw"), noise(5, LARGE)).unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let (blocks, bytes) = sent(&ana, || {
        let mut file = fs::File::options().write(true).open(mine.join("recording.raw")).unwrap();
        file.seek(SeekFrom::Start(LARGE as u64 / 3)).unwrap();
        file.write_all(b"!").unwrap();
        drop(file);
        becomes(&theirs, &Tree::read(&mine).unwrap());
    });
    assert!((1..=8).contains(&blocks) && bytes < 8 * MIB as u64, "{blocks} blocks, {bytes} bytes");

    // A byte more in the middle moves all that follows; places to cut are found again behind it.
    let (blocks, bytes) = sent(&ana, || {
        let mut whole = fs::read(mine.join("recording.raw")).unwrap();
        whole.insert(LARGE / 2, b'?');
        fs::write(mine.join("recording.raw"), whole).unwrap();
        becomes(&theirs, &Tree::read(&mine).unwrap());
    });
    assert!((1..=8).contains(&blocks) && bytes < 8 * MIB as u64, "{blocks} blocks, {bytes} bytes");

    let (blocks, bytes) = sent(&ana, || {
        fs::copy(mine.join("recording.raw"), mine.join("copy.raw")).unwrap();
        becomes(&theirs, &Tree::read(&mine).unwrap());
    });
    assert!(blocks <= 4 && bytes < 200_000, "{blocks} blocks, {bytes} bytes");
}

#[test]
fn a_large_file_passes_through_everybody_in_little_memory() {
    const LARGE: usize = 256 * MIB;
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: the memory of a process is read from /proc");
        return;
    }
    let world = World::new();
    let (mut ana, ben, the_box) = (world.person("Ana"), world.person("Ben"), world.seeder("box"));
    let root = ana.create("docs");
    fs::write(root.join("film.mkv"), noise(11, LARGE)).unwrap();
    ana.back_up("docs", &the_box);
    let code = ana.invite("docs", &ben);
    ana.wait_for_receipt("docs");
    let sent_bytes = ana.traffic("docs").sent_bytes;
    assert!((LARGE as u64..LARGE as u64 * 11 / 10).contains(&sent_bytes), "{sent_bytes} bytes to the seeder");
    let first = ana.resident_bytes_max();
    ana.down();
    let theirs = ben.join("docs", &code);
    same(&[&root, &theirs]);
    let received_bytes = ben.traffic("docs").received_bytes;
    assert!((LARGE as u64..LARGE as u64 * 11 / 10).contains(&received_bytes), "{received_bytes} bytes from the seeder");
    let all = [("Ana", first), ("Ben", ben.resident_bytes_max()), ("the box", the_box.resident_bytes_max())];
    assert!(all.iter().all(|(_, bytes)| (1..RESIDENT_BYTES_MAX).contains(bytes)), "{all:?}");
}
