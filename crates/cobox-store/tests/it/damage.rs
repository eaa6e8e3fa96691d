//! Bits rot, files go missing, somebody pours coffee. What is lost is named; everything else stays readable.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cobox_proto::id::Cid;
use cobox_store::{BlockStore, DiskStore, MemStore, Recovered, Status, StoreError};

use crate::{assert_holds, blocks, cids, put, segment_files};

/// Flips a bit in the middle of a block inside the first segment.
fn rot(dir: &Path, bytes: &[u8]) {
    let path = dir.join("seg-00000001");
    let mut segment = fs::read(&path).unwrap();
    let at = segment.windows(bytes.len()).position(|window| window == bytes).unwrap();
    segment[at + bytes.len() / 2] ^= 4;
    fs::write(&path, segment).unwrap();
}

fn damaged(result: Result<Option<Vec<u8>>, StoreError>) -> Cid {
    match result {
        Err(StoreError::DamagedBlock { cid, .. }) => cid,
        other => panic!("expected a damaged block, got {other:?}"),
    }
}

#[test]
fn d9_a_rotten_block_is_named_once_then_missing_and_a_fresh_copy_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    let all = blocks(0..10);
    put(&store, &all);
    store.set_complete(&cids(&all), true).unwrap();
    rot(dir.path(), &all[4].1);
    assert_eq!(damaged(store.get(&all[4].0)), all[4].0);
    assert_eq!(store.get(&all[4].0).unwrap(), None);
    assert_eq!(store.status(&all[4].0).unwrap(), Status::Missing);
    put(&store, &all);
    assert_holds(&store, &all);
    assert_eq!(store.status(&all[4].0).unwrap(), Status::Held, "complete no more");

    let memory = MemStore::new();
    put(&memory, &all);
    assert!(memory.damage(&all[4].0));
    assert_eq!(memory.check(false).unwrap().damaged, [all[4].0]);
    assert_eq!(damaged(memory.get(&all[4].0)), all[4].0);
    assert_eq!(memory.get(&all[4].0).unwrap(), None);
}

#[test]
fn a3_check_finds_all_damage_and_repair_drops_only_that() {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    let all = blocks(0..50);
    put(&store, &all);
    assert!(store.check(true).unwrap().damaged.is_empty(), "repair of a healthy store changes nothing");
    rot(dir.path(), &all[7].1);
    rot(dir.path(), &all[30].1);
    let mut expected = vec![all[7].0, all[30].0];
    expected.sort();
    for repair in [false, true] {
        let report = store.check(repair).unwrap();
        let mut found = report.damaged;
        found.sort();
        assert_eq!((report.blocks, &found), (50, &expected));
    }
    assert_eq!(store.stats().unwrap().blocks, 48);
    let healthy: Vec<_> = all.into_iter().filter(|(cid, _)| !expected.contains(cid)).collect();
    assert_holds(&store, &healthy);
    assert!(store.check(false).unwrap().damaged.is_empty());
}

/// Whatever bytes of the segments are changed, cut off or zeroed: a repair names what can not be read any more, and everything that could be read
/// before it is there after it, byte for byte, also after the room is given back.
#[test]
fn a3_no_damage_makes_a_repair_drop_what_is_readable() {
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |max: usize| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        (noise % max as u64) as usize
    };
    for case in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let all = blocks(0..40);
        let store = DiskStore::open(dir.path()).unwrap();
        put(&store, &all);
        let path = dir.path().join("seg-00000001");
        let mut segment = fs::read(&path).unwrap();
        for _ in 0..below(6) {
            let (at, len) = (below(segment.len()), 1 + below(5_000));
            let end = (at + len).min(segment.len());
            match below(3) {
                0 => segment[at] ^= 1 << below(8),
                1 => segment[at..end].fill(0),
                _ => segment.truncate(at.max(64)),
            }
        }
        fs::write(&path, &segment).unwrap();
        let is_whole = |bytes: &[u8]| segment.windows(bytes.len()).any(|window| window == bytes);
        let (whole, broken): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, bytes)| is_whole(bytes));
        let broken: BTreeSet<Cid> = broken.into_iter().map(|(cid, _)| cid).collect();

        let looked = store.check(false).unwrap();
        assert_eq!(looked.damaged.iter().copied().collect::<BTreeSet<_>>(), broken, "case {case}: a look names it all");
        assert_eq!(store.stats().unwrap().blocks, 40, "case {case}: and changes nothing");
        let repaired = store.check(true).unwrap();
        assert_eq!(repaired.damaged.into_iter().collect::<BTreeSet<_>>(), broken, "case {case}");
        assert_holds(&store, &whole);
        store.compact().unwrap();
        assert_holds(&store, &whole);
        drop(store);
        assert_holds(&DiskStore::open(dir.path()).unwrap(), &whole);
    }
}

#[test]
fn a3_repair_drops_nothing_when_it_is_the_access_that_fails() {
    let dir = tempfile::tempdir().unwrap();
    let all = blocks(0..5);
    put(&DiskStore::open(dir.path()).unwrap(), &all);
    let store = DiskStore::open(dir.path()).unwrap();
    let (segment, aside) = (dir.path().join("seg-00000001"), dir.path().join("aside"));
    fs::rename(&segment, &aside).unwrap();
    std::os::unix::fs::symlink(&segment, &segment).unwrap();
    assert!(matches!(store.check(true), Err(StoreError::Io { .. })));
    assert!(matches!(store.get(&all[0].0), Err(StoreError::Io { .. })));
    fs::rename(&aside, &segment).unwrap();
    assert_holds(&store, &all);
}

#[test]
fn a3_compaction_reports_damage_and_moves_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    let all = blocks(0..20);
    put(&store, &all);
    rot(dir.path(), &all[19].1);
    store.delete_many(&cids(&all[..10])).unwrap();
    assert_eq!(store.compact().unwrap().damaged, [all[19].0]);
    assert_holds(&store, &all[10..19]);
    assert_eq!(store.status(&all[19].0).unwrap(), Status::Missing);
}

#[test]
fn i5_whatever_happens_to_the_index_the_blocks_are_found_again() {
    let template = tempfile::tempdir().unwrap();
    let all = blocks(0..300);
    drop({
        let store = DiskStore::open(template.path()).unwrap();
        put(&store, &all);
        store
    });
    let index = fs::read(template.path().join("index.db")).unwrap();
    for (case, bytes) in spoiled(&index) {
        let dir = tempfile::tempdir().unwrap();
        for file in ["seg-00000001", "index.db"] {
            fs::copy(template.path().join(file), dir.path().join(file)).unwrap();
        }
        fs::write(dir.path().join("index.db"), bytes).unwrap();
        let store = DiskStore::open(dir.path()).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(store.recovered().index_rebuilt && dir.path().join("index.db.damaged").exists(), "{case}");
        assert_holds(&store, &all);
        drop(store);
        assert_eq!(DiskStore::open(dir.path()).unwrap().recovered(), Recovered::default(), "{case}");
    }
    fs::remove_file(template.path().join("index.db")).unwrap();
    let store = DiskStore::open(template.path()).unwrap();
    assert!(store.recovered().index_rebuilt);
    assert_holds(&store, &all);
}

#[test]
fn k10_i5_an_old_or_new_index_finds_what_lies_behind_damage_in_the_middle() {
    for old_index in [false, true] {
        behind_damage_in_the_middle(old_index);
    }
}

fn behind_damage_in_the_middle(old_index: bool) {
    let dir = tempfile::tempdir().unwrap();
    let all = blocks(0..30);
    put(&DiskStore::open(dir.path()).unwrap(), &all[..2]);
    let old = fs::read(dir.path().join("index.db")).unwrap();
    put(&DiskStore::open(dir.path()).unwrap(), &all[2..]);
    rot(dir.path(), &all[3].1);
    fs::remove_file(dir.path().join("index.db")).unwrap();
    if old_index {
        fs::write(dir.path().join("index.db"), old).unwrap();
    }
    let store = DiskStore::open(dir.path()).unwrap();
    assert_holds(&store, &all[..3]);
    assert_holds(&store, &all[4..]);
    assert_eq!(store.recovered().reindexed_blocks, if old_index { 27 } else { 29 });
}

#[test]
fn u2_an_index_of_a_newer_program_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    put(&DiskStore::open(dir.path()).unwrap(), &blocks(0..3));
    let path = dir.path().join("index.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let error = DiskStore::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(path.exists());
}

#[test]
fn w7_files_are_private_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("blocks");
    let store = DiskStore::open(&home).unwrap();
    put(&store, &blocks(0..3));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home), 0o700);
    for entry in fs::read_dir(&home).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    assert_eq!(segment_files(&store).len(), 1);
}

/// Twenty ways in which a database file may be spoiled.
pub(crate) fn spoiled(good: &[u8]) -> Vec<(String, Vec<u8>)> {
    let page = 4096;
    let mut cases = Vec::new();
    for len in [0, 1, 15, 16, 100, 1000, page - 1, page, page + 1, good.len() / 2, good.len() - page] {
        cases.push((format!("cut to {len} bytes"), good[..len.min(good.len())].to_vec()));
    }
    let pages = good.len() / page;
    for n in [0, 1, 2, pages / 2, pages - 1] {
        let mut bytes = good.to_vec();
        bytes[n * page..(n + 1) * page].fill(0);
        cases.push((format!("page {n} zeroed"), bytes));
    }
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise as u8
    };
    let mut garbage_page = good.to_vec();
    garbage_page[page..2 * page].fill_with(&mut random);
    cases.push(("a page of garbage".into(), garbage_page));
    let mut garbage = good.to_vec();
    garbage.fill_with(&mut random);
    cases.push(("garbage".into(), garbage));
    cases.push(("zeros".into(), vec![0; good.len()]));
    let mut magic = good.to_vec();
    magic[..16].copy_from_slice(b"SQLite format 4\0");
    cases.push(("wrong magic".into(), magic));
    cases
}
