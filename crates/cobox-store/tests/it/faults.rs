//! Every operation of a store, with every single call to the disk failing: once, for ever, or as the last before a power cut; and the
//! power goes a second time while what the first left is put right.

use std::fs;
use std::path::Path;

use cobox_faultfs::FaultDisk;
use cobox_faultfs::trial::{self, Operation, tried};
use cobox_proto::id::{Cid, FolderId, HeadId};
use cobox_store::{BlockStore, DiskStore, FolderStore, HeadState, StoreError, StoredHead};

use crate::{assert_holds, block_with, cids};

type Blocks = Vec<(Cid, Vec<u8>)>;

fn old() -> Blocks {
    (0..6).map(|n| block_with(n, &[], 9000)).collect()
}

fn new() -> Blocks {
    (10..14).map(|n| block_with(n, &[], 9000)).collect()
}

fn open(dir: &Path) -> DiskStore {
    DiskStore::open(&dir.join("blocks")).unwrap()
}

fn put(store: &DiskStore, blocks: &[(Cid, Vec<u8>)]) -> Result<(), StoreError> {
    let borrowed: Vec<(Cid, &[u8])> = blocks.iter().map(|(cid, bytes)| (*cid, bytes.as_slice())).collect();
    store.put_many(&borrowed)
}

fn with_old(dir: &Path) {
    put(&open(dir), &old()).unwrap();
}

fn has_old(dir: &Path) {
    let store = open(dir);
    assert_holds(&store, &old());
    is_whole(&store);
}

fn open_blocks(dir: &Path) {
    let place = dir.join("blocks");
    if place.exists() {
        let _unfinished = DiskStore::open(&place);
    }
}

fn open_records(dir: &Path) {
    let place = dir.join("folders.db");
    if place.exists() {
        let _unfinished = FolderStore::open(&place);
    }
}

/// What it lists it can give, and what it says of itself is so.
fn is_whole(store: &DiskStore) {
    let listed = store.list(None, 1000).unwrap();
    assert!(listed.iter().all(|entry| store.get(&entry.cid).unwrap().is_some()));
    assert_eq!(store.stats().unwrap().blocks, listed.len() as u64);
    assert_eq!(store.check(false).unwrap().damaged, []);
}

/// With three of six blocks gone, there is something to give back.
fn with_gaps(dir: &Path) {
    let store = open(dir);
    put(&store, &old()).unwrap();
    store.set_complete(&cids(&old()[4..]), true).unwrap();
    store.delete_many(&cids(&old()[..4])).unwrap();
}

fn has_rest(dir: &Path) {
    let store = open(dir);
    assert_holds(&store, &old()[4..]);
    assert!(old()[4..].iter().all(|(cid, _)| store.entry(cid).unwrap().unwrap().complete));
    is_whole(&store);
}

const FOLDER: FolderId = FolderId([7; 32]);

fn records(dir: &Path) -> FolderStore {
    FolderStore::open(&dir.join("folders.db")).unwrap()
}

fn head(n: u8) -> StoredHead {
    StoredHead { id: HeadId([n; 32]), state: HeadState::Accepted, received_at_ms: 5, bytes: vec![n; 300] }
}

fn with_records(dir: &Path) {
    records(dir).write(&FOLDER, |batch| batch.put_head(&head(1)).and_then(|()| batch.put_value("a", b"1"))).unwrap();
}

/// Both records of a batch or none of them.
fn has_records(dir: &Path) {
    let store = records(dir);
    assert_eq!(store.head(&FOLDER, &head(1).id).unwrap(), Some(head(1)));
    let second = store.head(&FOLDER, &head(2).id).unwrap();
    let value = store.value(&FOLDER, "a").unwrap().unwrap();
    match value.as_slice() {
        b"1" => assert_eq!(second, None),
        _ => assert_eq!((value.as_slice(), second), (b"2".as_slice(), Some(head(2)))),
    }
}

const OPERATIONS: [Operation<StoreError>; 11] = [
    Operation {
        name: "make a store",
        before: |_| {},
        work: |dir, _| DiskStore::open(&dir.join("blocks")).map(drop),
        recover: open_blocks,
        always: |dir| is_whole(&open(dir)),
        done: |_| {},
    },
    Operation {
        name: "open a store",
        before: with_old,
        work: |dir, _| DiskStore::open(&dir.join("blocks")).map(drop),
        recover: open_blocks,
        always: has_old,
        done: |_| {},
    },
    Operation {
        name: "open a store whose index is gone",
        before: |dir| {
            with_old(dir);
            fs::remove_file(dir.join("blocks/index.db")).unwrap();
        },
        work: |dir, _| DiskStore::open(&dir.join("blocks")).map(drop),
        recover: open_blocks,
        always: has_old,
        done: |_| {},
    },
    Operation {
        name: "open a store whose index is damaged",
        before: |dir| {
            with_old(dir);
            fs::write(dir.join("blocks/index.db"), [7; 5000]).unwrap();
        },
        work: |dir, _| DiskStore::open(&dir.join("blocks")).map(drop),
        recover: open_blocks,
        always: has_old,
        done: |_| {},
    },
    Operation {
        name: "put the first blocks",
        before: |dir| drop(open(dir)),
        work: |dir, mends| tried(&DiskStore::open(&dir.join("blocks"))?, mends, |store| put(store, &new())),
        recover: open_blocks,
        always: |dir| is_whole(&open(dir)),
        done: |dir| assert_holds(&open(dir), &new()),
    },
    Operation {
        name: "put further blocks",
        before: with_old,
        work: |dir, mends| tried(&DiskStore::open(&dir.join("blocks"))?, mends, |store| put(store, &new())),
        recover: open_blocks,
        always: has_old,
        done: |dir| assert_holds(&open(dir), &new()),
    },
    Operation {
        name: "read a block",
        before: with_old,
        work: |dir, mends| {
            let wanted = &old()[2];
            tried(&DiskStore::open(&dir.join("blocks"))?, mends, |store| {
                let found = store.get(&wanted.0)?;
                assert_eq!(found.as_ref(), Some(&wanted.1), "a block that is there");
                Ok(())
            })
        },
        recover: open_blocks,
        always: has_old,
        done: |_| {},
    },
    Operation {
        name: "mark and delete",
        before: with_old,
        work: |dir, mends| {
            tried(&DiskStore::open(&dir.join("blocks"))?, mends, |store| {
                store.set_complete(&cids(&old()[4..]), true)?;
                store.delete_many(&cids(&old()[..4]))
            })
        },
        recover: open_blocks,
        always: |dir| {
            let store = open(dir);
            assert_holds(&store, &old()[4..]);
            is_whole(&store);
        },
        done: |dir| {
            has_rest(dir);
            assert_eq!(open(dir).stats().unwrap().blocks, 2);
        },
    },
    Operation {
        name: "compact",
        before: with_gaps,
        work: |dir, mends| {
            tried(&DiskStore::open(&dir.join("blocks"))?, mends, |store| {
                let compacted = store.compact()?;
                assert_eq!(compacted.damaged, []);
                Ok(())
            })
        },
        recover: open_blocks,
        always: has_rest,
        done: |dir| {
            // What a failed attempt moved in vain goes with the next.
            let store = open(dir);
            store.compact().unwrap();
            let bytes: u64 = crate::segment_files(&store).iter().map(|path| path.metadata().unwrap().len()).sum();
            assert!(bytes < 30_000, "what was deleted takes no room: {bytes} bytes");
            drop(store);
            assert_eq!(open(dir).stats().unwrap().blocks, 2);
        },
    },
    Operation {
        name: "make the records' database",
        before: |_| {},
        work: |dir, _| FolderStore::open(&dir.join("folders.db")).map(drop),
        recover: open_records,
        always: |dir| assert_eq!(records(dir).folders().unwrap(), []),
        done: |_| {},
    },
    Operation {
        name: "write records",
        before: with_records,
        work: |dir, mends| {
            tried(&FolderStore::open(&dir.join("folders.db"))?, mends, |store| {
                store.write(&FOLDER, |batch| batch.put_head(&head(2)).and_then(|()| batch.put_value("a", b"2")))?;
                assert_eq!(store.head(&FOLDER, &head(2).id)?, Some(head(2)));
                Ok(())
            })
        },
        recover: open_records,
        always: has_records,
        done: |dir| assert_eq!(records(dir).value(&FOLDER, "a").unwrap().unwrap(), b"2"),
    },
];

#[test]
fn d6_every_call_to_the_disk_fails_once_and_for_ever() {
    trial::every_call_fails(FaultDisk::new, &OPERATIONS);
}

#[test]
fn k1_k3_k6_the_power_goes_at_every_change_and_again_in_the_recovery() {
    trial::the_power_goes_everywhere(FaultDisk::new, &OPERATIONS);
}
