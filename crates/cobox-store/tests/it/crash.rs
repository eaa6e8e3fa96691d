//! The power goes. A copy of the directory, taken while a crash point passes, is what a kill there leaves on disk; cutting
//! or spoiling what was not synced yet makes it a power cut.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use cobox_proto::id::Cid;
use cobox_store::{BlockStore, DiskStore, FolderStore, Recovered, Status, StoreError, crash_point};
use tempfile::TempDir;

use crate::{assert_holds, block, block_with, blocks, cids, put, segment_files};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        // A segment may be removed between the listing and the copy only by ourselves, and we stand still.
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Runs `work` on a store and returns an image of its directory for every crash point passed.
fn images(dir: &Path, work: impl FnOnce()) -> Vec<(&'static str, TempDir)> {
    let images = Rc::new(RefCell::new(Vec::new()));
    let taken = images.clone();
    let source: PathBuf = dir.to_owned();
    let watch = crash_point::watch(move |name| {
        let image = tempfile::tempdir().unwrap();
        copy(&source, image.path());
        taken.borrow_mut().push((name, image));
    });
    work();
    drop(watch);
    images.take()
}

fn names(images: &[(&'static str, TempDir)]) -> Vec<&'static str> {
    images.iter().map(|(name, _)| *name).collect()
}

#[test]
fn k1_a_put_killed_anywhere_happened_wholly_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    let (before, after) = (blocks(0..20), blocks(20..40));
    put(&store, &before);
    let images = images(dir.path(), || put(&store, &after));
    assert_eq!(names(&images), ["put.appended", "put.synced", "put.indexed"]);
    for (name, image) in images {
        let store = DiskStore::open(image.path()).unwrap();
        assert_holds(&store, &before);
        // A kill does not lose what was written, so even the unindexed group is found.
        assert_holds(&store, &after);
        let reindexed = if name == "put.indexed" { 0 } else { 20 };
        assert_eq!(store.recovered().reindexed_blocks, reindexed, "{name}");
        put(&store, &blocks(40..50));
        assert_eq!(store.stats().unwrap().blocks, 50);
        assert!(store.check(false).unwrap().damaged.is_empty());
    }
}

/// Not a test of its own: the process that dies in the next one.
#[test]
#[ignore = "run by the test after it, in a process of its own"]
fn a_process_that_puts_blocks() {
    let Some(dir) = std::env::var_os("COBOX_TEST_DIR") else { return };
    let store = DiskStore::open(Path::new(&dir)).unwrap();
    put(&store, &blocks(0..10));
    put(&store, &blocks(10..20));
}

#[test]
fn k1_a_process_dies_where_it_is_told_to_and_its_store_opens_again() {
    for (point, held) in [("put.appended", 10), ("put.synced", 10), ("put.indexed", 10), ("put.never", 20)] {
        let dir = tempfile::tempdir().unwrap();
        let died = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::a_process_that_puts_blocks", "--ignored"])
            .env("COBOX_TEST_DIR", dir.path())
            .env("COBOX_CRASH_AT", point)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(died.success(), point == "put.never");
        let store = DiskStore::open(dir.path()).unwrap();
        assert_holds(&store, &blocks(0..held));
        assert_eq!(store.stats().unwrap().blocks, held, "{point}");
    }
}

#[test]
fn k3_k7_a_torn_write_is_cut_off_and_what_was_acknowledged_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    let (before, after) = (blocks(0..5), blocks(5..8));
    put(&store, &before);
    let acknowledged = fs::metadata(&segment_files(&store)[0]).unwrap().len();
    let image = images(dir.path(), || put(&store, &after)).remove(0).1;
    let torn = fs::read(image.path().join("seg-00000001")).unwrap();
    let record = (torn.len() as u64 - acknowledged) / 3;
    // Every length the file may have, and a hole where the disk wrote later pages first.
    for len in (acknowledged..=torn.len() as u64).step_by(97) {
        for hole in [false, true] {
            let cut = tempfile::tempdir().unwrap();
            copy(image.path(), cut.path());
            let mut bytes = torn[..len as usize].to_vec();
            if hole && let Some(first) = bytes.get_mut(acknowledged as usize + 60) {
                *first ^= 0xff;
            }
            fs::write(cut.path().join("seg-00000001"), &bytes).unwrap();
            let store = DiskStore::open(cut.path()).unwrap();
            assert_holds(&store, &before);
            let spoiled = u64::from(hole && len >= acknowledged + record);
            let whole = (len - acknowledged) / record - spoiled;
            assert_eq!(store.recovered().reindexed_blocks, whole, "length {len}, hole {hole}");
            let left = fs::metadata(cut.path().join("seg-00000001")).unwrap().len();
            let whole_end = acknowledged + if whole == 0 { 0 } else { (whole + spoiled) * record };
            assert_eq!((left, store.recovered().torn_bytes), (whole_end, len - whole_end), "length {len}, hole {hole}");
            put(&store, &after);
            assert_holds(&store, &after);
            drop(store);
            let again = DiskStore::open(cut.path()).unwrap();
            assert_eq!(again.recovered(), Recovered::default(), "one repair is enough");
            assert_holds(&again, &before);
            assert_holds(&again, &after);
        }
    }
}

#[test]
fn a2_a_compaction_killed_anywhere_loses_nothing_and_brings_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    let all: Vec<_> = (0..40).map(|n| block_with(n, &[], 10_000)).collect();
    put(&store, &all);
    let (gone, kept) = all.split_at(25);
    store.set_complete(&cids(kept), true).unwrap();
    store.delete_many(&cids(gone)).unwrap();
    let images = images(dir.path(), || drop(store.compact().unwrap()));
    assert_eq!(names(&images), ["put.appended", "put.synced", "compact.moved", "compact.indexed", "compact.removed"]);
    for (name, image) in images {
        let store = DiskStore::open(image.path()).unwrap();
        assert_holds(&store, kept);
        assert!(kept.iter().all(|(cid, _)| store.status(cid).unwrap() == Status::Complete), "{name}");
        assert!(gone.iter().all(|(cid, _)| store.get(cid).unwrap().is_none()), "{name}");
        assert_eq!(store.stats().unwrap().blocks, 15, "{name}");
        store.compact().unwrap();
        assert_eq!(segment_files(&store).len(), 1, "{name}: no file stays behind");
        assert_holds(&store, kept);
        put(&store, gone);
        assert_holds(&store, &all);
    }
}

#[test]
fn k6_a_crash_during_recovery_is_recovered_from() {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    let all = blocks(0..10);
    let first = images(dir.path(), || put(&store, &all)).remove(1).1;
    // Each image is taken from the one before, at the first thing done after its recovery.
    let mut image = first;
    for n in 100..103 {
        let store = DiskStore::open(image.path()).unwrap();
        assert_holds(&store, &all);
        let next = images(image.path(), || put(&store, &blocks(n..n + 1))).remove(1).1;
        image = next;
    }
    assert_eq!(DiskStore::open(image.path()).unwrap().stats().unwrap().blocks, 13);
}

#[test]
fn k9_a_second_process_is_refused_and_a_stale_lock_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    let second = DiskStore::open(dir.path()).unwrap_err();
    assert!(matches!(second, StoreError::InUse { .. }), "{second}");
    drop(store);
    DiskStore::open(dir.path()).unwrap();
}

#[test]
fn k10_an_older_index_beside_newer_segments_finds_everything() {
    let dir = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    let all: Vec<_> = (0..30).map(|n| block_with(n, &[], 5_000)).collect();
    let (first, second) = all.split_at(20);
    {
        let store = DiskStore::open(dir.path()).unwrap();
        put(&store, first);
    }
    copy(dir.path(), old.path());
    {
        let store = DiskStore::open(dir.path()).unwrap();
        put(&store, second);
        store.delete_many(&cids(&all[..25])).unwrap();
        store.compact().unwrap();
    }
    fs::copy(old.path().join("index.db"), dir.path().join("index.db")).unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    assert_holds(&store, &all[25..]);
    // The blocks whose segment is gone count as missing, not as damaged.
    assert!(all[..20].iter().all(|(cid, _)| store.get(cid).unwrap().is_none()));
    assert_eq!(store.recovered().lost_blocks, 20);
}

#[test]
fn d1_d4_a_full_disk_refuses_the_group_and_keeps_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let before = blocks(0..5);
    {
        let store = DiskStore::open(dir.path()).unwrap();
        put(&store, &before);
        store.delete_many(&cids(&before)).unwrap();
    }
    // A segment on a device that is always full.
    fs::remove_file(dir.path().join("seg-00000001")).unwrap();
    std::os::unix::fs::symlink("/dev/full", dir.path().join("seg-00000001")).unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    let (cid, bytes) = block(9);
    let full = store.put_many(&[(cid, &bytes)]).unwrap_err();
    assert!(matches!(full, StoreError::DiskFull { .. }), "{full}");
    assert_eq!(store.status(&cid).unwrap(), Status::Missing);
    assert_eq!(store.stats().unwrap().blocks, 0);
    drop(store);
    fs::remove_file(dir.path().join("seg-00000001")).unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    put(&store, &before);
    assert_holds(&store, &before);
}

#[test]
fn k1_a_batch_of_records_killed_before_its_commit_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("folders.db");
    let store = FolderStore::open(&path).unwrap();
    let folder = cobox_proto::id::FolderId([1; 32]);
    store.put_value(&folder, "n", b"1").unwrap();
    let images = images(dir.path(), || {
        store
            .write(&folder, |batch| {
                batch.put_value("n", b"2")?;
                batch.put_value("m", b"2")
            })
            .unwrap();
    });
    assert_eq!(names(&images), ["folder.written", "folder.committed"]);
    for (name, image) in images {
        let store = FolderStore::open(&image.path().join("folders.db")).unwrap();
        let values: Vec<Vec<u8>> = store.values(&folder, "").unwrap().into_iter().map(|(_, value)| value).collect();
        let expected: &[&[u8]] = if name == "folder.written" { &[b"1"] } else { &[b"2", b"2"] };
        assert_eq!(values, expected, "{name}");
    }
}

#[test]
fn many_segments_hold_what_one_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<(Cid, Vec<u8>)> = (0..36).map(|n| block_with(n, &[], 4 << 20)).collect();
    {
        let store = DiskStore::open(dir.path()).unwrap();
        put(&store, &all[..30]);
        put(&store, &all[30..]);
        assert!(segment_files(&store).len() >= 2);
    }
    let store = DiskStore::open(dir.path()).unwrap();
    assert_eq!(store.recovered(), Recovered::default());
    assert_holds(&store, &all);
    // Half of the first segment goes, the others stay where they are.
    store.delete_many(&cids(&all[..10])).unwrap();
    let compacted = store.compact().unwrap();
    assert!(compacted.freed_bytes > 60 << 20 && compacted.moved_bytes < 40 << 20, "{compacted:?}");
    assert_holds(&store, &all[10..]);
}
