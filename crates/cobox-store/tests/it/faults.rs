//! Every operation of a store, with every single call to the disk failing: once, for ever, or as the last before a power cut; and the
//! power goes a second time while what the first left is put right.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cobox_faultfs::{Counts, Fault, FaultDisk, Image, Left, Plan};
use cobox_proto::id::{Cid, FolderId, HeadId};
use cobox_store::{BlockStore, DiskStore, FolderStore, HeadState, StoreError, StoredHead};

use crate::{assert_holds, block_with, cids};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// Of the calls that a recovery makes, one of so many is the last before a second power cut.
const STRIDE: u64 = 7;

/// What brings the stores of a directory to order again.
const RECOVERIES: [(&str, fn(&Path)); 2] =
    [("blocks", |place| drop(DiskStore::open(place))), ("folders.db", |place| drop(FolderStore::open(place)))];

/// More calls than any operation here makes.
const CALLS_MAX: u64 = 1000;

type Blocks = Vec<(Cid, Vec<u8>)>;

/// From now on the disk is well, for whoever tries again; `false`: it stays as it is.
type Mends<'a> = &'a dyn Fn() -> bool;

/// An operation of a store in a directory.
struct Operation {
    name: &'static str,
    /// Makes what was there before it.
    before: fn(&Path),
    /// Opens the store and does it.
    work: fn(&Path, mends: Mends<'_>) -> Result<(), StoreError>,
    /// Holds before, after, and in the middle.
    always: fn(&Path),
    /// Holds when it has been done.
    done: fn(&Path),
}

/// Works with what an open store gives; tried again once the disk is well, it must succeed: nothing was left half done.
fn tried<S>(store: &S, mends: Mends<'_>, work: impl Fn(&S) -> Result<(), StoreError>) -> Result<(), StoreError> {
    work(store).or_else(|first| {
        if !mends() {
            return Err(first);
        }
        work(store).unwrap_or_else(|second| panic!("after {first}, on a disk that is well: {second}"));
        Ok(())
    })
}

fn old() -> Blocks {
    (0..6).map(|n| block_with(n, &[], 9000)).collect()
}

fn new() -> Blocks {
    (10..14).map(|n| block_with(n, &[], 9000)).collect()
}

fn open(dir: &Path) -> DiskStore {
    DiskStore::open(&dir.join("blocks")).unwrap()
}

fn put(store: &DiskStore, blocks: &Blocks) -> Result<(), StoreError> {
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
    assert_holds(&store, &old()[4..].to_vec());
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

const OPERATIONS: [Operation; 11] = [
    Operation {
        name: "make a store",
        before: |_| {},
        work: |dir, _| DiskStore::open(&dir.join("blocks")).map(drop),
        always: |dir| is_whole(&open(dir)),
        done: |_| {},
    },
    Operation {
        name: "open a store",
        before: with_old,
        work: |dir, _| DiskStore::open(&dir.join("blocks")).map(drop),
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
        always: has_old,
        done: |_| {},
    },
    Operation {
        name: "put the first blocks",
        before: |dir| drop(open(dir)),
        work: |dir, mends| tried(&DiskStore::open(&dir.join("blocks"))?, mends, |store| put(store, &new())),
        always: |dir| is_whole(&open(dir)),
        done: |dir| assert_holds(&open(dir), &new()),
    },
    Operation {
        name: "put further blocks",
        before: with_old,
        work: |dir, mends| tried(&DiskStore::open(&dir.join("blocks"))?, mends, |store| put(store, &new())),
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
        always: |dir| {
            let store = open(dir);
            assert_holds(&store, &old()[4..].to_vec());
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
        always: has_records,
        done: |dir| assert_eq!(records(dir).value(&FOLDER, "a").unwrap().unwrap(), b"2"),
    },
];

/// Tells what happened before a panic.
struct Story(String);

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// A disk, and for each operation what is there before it.
fn disk() -> Option<(FaultDisk, Vec<(&'static Operation, Image)>)> {
    if let Some(why) = FaultDisk::missing() {
        eprintln!("skipped: {why}");
        return None;
    }
    let disk = FaultDisk::new().unwrap();
    let empty = disk.image(Left::All);
    let before = |operation: &'static Operation| {
        disk.load(&empty);
        (operation.before)(&disk.path());
        (operation, disk.image(Left::All))
    };
    let before = OPERATIONS.iter().map(before).collect();
    Some((disk, before))
}

#[test]
fn d6_every_call_to_the_disk_fails_once_and_for_ever() {
    let Some((disk, operations)) = disk() else { return };
    for (operation, before) in operations {
        for fault in [Fault::Once(EIO), Fault::ForEver(EIO), Fault::Once(ENOSPC), Fault::ForEver(ENOSPC)] {
            for at in 1.. {
                assert!(at < CALLS_MAX, "{}: no end of it", operation.name);
                disk.load(&before);
                disk.arm(Plan { at, fault, counts: Counts::All });
                let mends = || {
                    disk.heal();
                    true
                };
                let result = (operation.work)(&disk.path(), &mends);
                let fired = disk.fired();
                disk.heal();
                let _story = Story(format!("{}, {fault:?} at {at}: {fired:?}, {result:?}", operation.name));
                (operation.always)(&disk.path());
                if result.is_ok() {
                    (operation.done)(&disk.path());
                    disk.load(&disk.image(Left::Synced));
                    (operation.done)(&disk.path());
                }
                if fired.is_none() {
                    break;
                }
            }
        }
    }
}

#[test]
fn k1_k3_k6_the_power_goes_at_every_change_and_again_in_the_recovery() {
    let Some((disk, operations)) = disk() else { return };
    let cut = |image: &Image, at: u64, work: &dyn Fn(&Path)| {
        assert!(at < CALLS_MAX, "no end of it");
        disk.load(image);
        disk.arm(Plan { at, fault: Fault::PowerCut, counts: Counts::Changes });
        work(&disk.path());
        (disk.fired(), Left::EVERY.map(|left| (left, disk.image(left))))
    };
    let recover = |dir: &Path| {
        for (place, open) in RECOVERIES {
            if dir.join(place).exists() {
                open(&dir.join(place));
            }
        }
    };
    for (operation, before) in operations {
        // What was recovered from, and what was judged.
        let (mut recovered, mut judged) = (BTreeSet::new(), BTreeSet::new());
        let mut judge = |story: String, image: &Image| {
            if judged.insert(image.digest) {
                let _story = Story(story);
                disk.load(image);
                (operation.always)(&disk.path());
            }
        };
        for at in 1.. {
            let (first, found) = cut(&before, at, &|dir| drop((operation.work)(dir, &|| false)));
            for (left, found) in found.into_iter().filter(|(_, image)| recovered.insert(image.digest)) {
                // Each call of a recovery is the last one after some first cut, though not after all.
                for again in (1 + at % STRIDE..).step_by(STRIDE as usize) {
                    let (second, found) = cut(&found, again, &recover);
                    for (then, image) in found {
                        judge(format!("{}, cut at {first:?}, {left:?}, {second:?}, {then:?}", operation.name), &image);
                    }
                    if second.is_none() {
                        break;
                    }
                }
            }
            if first.is_none() {
                break;
            }
        }
    }
}
