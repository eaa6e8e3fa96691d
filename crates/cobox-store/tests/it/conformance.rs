//! What every store of blocks must do. A new store joins by a line in `suite!` at the end.

use std::collections::BTreeMap;

use cobox_proto::id::Cid;
use cobox_store::{BlockStore, DiskStore, Entry, Fair, MemDisk, MemStore, Stats, Status, StoreError};
use proptest::prelude::*;

use crate::{assert_holds, block, block_with, blocks, cids, put};

fn blocks_come_back_as_they_went_in(store: &dyn BlockStore) {
    let all = blocks(0..300);
    put(store, &all);
    assert_holds(store, &all);
    let (absent, _) = block(999);
    assert_eq!(store.get(&absent).unwrap(), None);
    assert_eq!(store.links(&absent).unwrap(), None);
    assert_eq!(store.status(&absent).unwrap(), Status::Missing);
    assert_eq!(store.entry(&absent).unwrap(), None);
    let (cid, bytes) = &all[7];
    let entry = Entry { cid: *cid, len: bytes.len() as u32, complete: false };
    assert_eq!(store.entry(cid).unwrap(), Some(entry));
    assert!(store.has(&all[7].0).unwrap() && !store.has(&absent).unwrap());
    store.put_many(&[]).unwrap();
}

fn putting_twice_is_putting_once(store: &dyn BlockStore) {
    let (cid, bytes) = block(1);
    store.put_many(&[(cid, &bytes), (cid, &bytes)]).unwrap();
    store.set_complete(&[cid], true).unwrap();
    store.put_many(&[(cid, &bytes)]).unwrap();
    assert_eq!(store.status(&cid).unwrap(), Status::Complete, "the mark stays");
    assert_eq!(store.stats().unwrap().blocks, 1);
}

fn a_wrong_block_stops_its_whole_group(store: &dyn BlockStore) {
    let (good, bad) = (block(1), block(2));
    let misnamed = store.put_many(&[(good.0, &good.1), (bad.0, &good.1)]).unwrap_err();
    assert!(matches!(misnamed, StoreError::Misnamed { cid } if cid == bad.0), "{misnamed}");
    let (unsorted, forged) = {
        let mut links = vec![Cid([9; 32]), Cid([1; 32])];
        let (_, mut bytes) = block_with(3, &links, 100);
        links.sort();
        bytes[19..51].copy_from_slice(&links[1].0);
        bytes[51..83].copy_from_slice(&links[0].0);
        (Cid::of(&bytes), bytes)
    };
    let no_block = store.put_many(&[(good.0, &good.1), (unsorted, &forged)]).unwrap_err();
    assert!(matches!(no_block, StoreError::NotABlock { cid, .. } if cid == unsorted), "{no_block}");
    assert_eq!(store.stats().unwrap(), Stats::default());
}

fn links_are_those_of_the_header(store: &dyn BlockStore) {
    let children = cids(&blocks(0..100));
    let (parent, bytes) = block_with(7, &children, 500);
    let leaf = block(8);
    store.put_many(&[(parent, &bytes), (leaf.0, &leaf.1)]).unwrap();
    let mut sorted = children;
    sorted.sort();
    assert_eq!(store.links(&parent).unwrap(), Some(sorted));
    assert_eq!(store.links(&leaf.0).unwrap(), Some(vec![]));
}

fn complete_is_a_mark_the_caller_sets_and_takes(store: &dyn BlockStore) {
    let all = blocks(0..3);
    put(store, &all);
    let (absent, _) = block(999);
    store.set_complete(&[all[0].0, all[1].0, absent], true).unwrap();
    store.set_complete(&[all[1].0], false).unwrap();
    let states: Vec<Status> = all.iter().map(|(cid, _)| store.status(cid).unwrap()).collect();
    assert_eq!(states, [Status::Complete, Status::Held, Status::Held]);
    assert_eq!(store.status(&absent).unwrap(), Status::Missing);
    // A block that was away comes back without its mark.
    store.delete_many(&[all[0].0]).unwrap();
    put(store, &all);
    assert_eq!(store.status(&all[0].0).unwrap(), Status::Held);
}

fn listing_walks_all_blocks_once_in_order(store: &dyn BlockStore) {
    let all = blocks(0..50);
    put(store, &all);
    store.set_complete(&[all[3].0], true).unwrap();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(after.as_ref(), 7).unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 7);
        after = Some(last.cid);
        listed.extend(page);
    }
    let mut expected = cids(&all);
    expected.sort();
    assert_eq!(listed.iter().map(|entry| entry.cid).collect::<Vec<_>>(), expected);
    assert!(listed.iter().all(|entry| entry.len as usize == all[0].1.len()));
    assert!(listed.iter().all(|entry| entry.complete == (entry.cid == all[3].0)));
}

fn what_is_deleted_is_gone_and_the_rest_survives_compaction(store: &dyn BlockStore) {
    let all: Vec<_> = (0..200).map(|n| block_with(n, &[], 20_000)).collect();
    put(store, &all);
    let (gone, kept) = all.split_at(150);
    store.set_complete(&cids(kept), true).unwrap();
    store.delete_many(&cids(gone)).unwrap();
    store.delete_many(&cids(gone)).unwrap();
    let before = store.stats().unwrap();
    assert_eq!(before.blocks, 50);
    assert_eq!(before.stored_bytes, kept.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    store.compact().unwrap();
    let after = store.stats().unwrap();
    assert_eq!((after.blocks, after.stored_bytes), (before.blocks, before.stored_bytes));
    assert!(after.disk_bytes < after.stored_bytes + 100_000, "{after:?}");
    assert_holds(store, kept);
    assert!(kept.iter().all(|(cid, _)| store.status(cid).unwrap() == Status::Complete));
    assert!(gone.iter().all(|(cid, _)| store.get(cid).unwrap().is_none()));
    put(store, gone);
    assert_holds(store, &all);
    let checked = store.check(false).unwrap();
    assert_eq!((checked.blocks, checked.damaged), (200, vec![]));
}

fn readers_and_writers_do_not_disturb_each_other(store: &dyn BlockStore) {
    let (steady, coming) = (blocks(0..40), blocks(100..300));
    put(store, &steady);
    std::thread::scope(|scope| {
        scope.spawn(|| coming.chunks(10).for_each(|group| put(store, group)));
        scope.spawn(|| {
            for n in 1000..1040 {
                let passing = blocks(n * 10..n * 10 + 10);
                put(store, &passing);
                store.delete_many(&cids(&passing)).unwrap();
                store.compact().unwrap();
            }
        });
        for _ in 0..20 {
            assert_holds(store, &steady);
        }
    });
    assert_holds(store, &coming);
    assert_eq!(store.stats().unwrap().blocks, 240);
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<u64>),
    Delete(Vec<u64>),
    Complete(Vec<u64>, bool),
    Compact,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || proptest::collection::vec(0..24u64, 0..8);
    let step = prop_oneof![
        4 => some().prop_map(Step::Put),
        3 => some().prop_map(Step::Delete),
        2 => (some(), any::<bool>()).prop_map(|(which, complete)| Step::Complete(which, complete)),
        1 => Just(Step::Compact),
    ];
    proptest::collection::vec(step, 1..20)
}

/// The store and a map go through the same steps and must agree after each of them.
fn agrees_with_a_map(store: &dyn BlockStore, steps: Vec<Step>) {
    let named: Vec<Cid> = (0..24).map(|n| block(n).0).collect();
    let mut map: BTreeMap<Cid, bool> = BTreeMap::new();
    let chosen = |which: &[u64]| which.iter().map(|n| named[*n as usize]).collect::<Vec<_>>();
    for step in steps {
        match step {
            Step::Put(which) => {
                put(store, &which.iter().map(|n| block(*n)).collect::<Vec<_>>());
                chosen(&which).into_iter().for_each(|cid| _ = map.entry(cid).or_insert(false));
            }
            Step::Delete(which) => {
                store.delete_many(&chosen(&which)).unwrap();
                map.retain(|cid, _| !chosen(&which).contains(cid));
            }
            Step::Complete(which, complete) => {
                store.set_complete(&chosen(&which), complete).unwrap();
                chosen(&which).iter().filter_map(|cid| map.get_mut(cid).map(|mark| *mark = complete)).count();
            }
            Step::Compact => assert!(store.compact().unwrap().damaged.is_empty()),
        }
        let listed: BTreeMap<Cid, bool> =
            store.list(None, 100).unwrap().into_iter().map(|entry| (entry.cid, entry.complete)).collect();
        assert_eq!(listed, map);
        assert_eq!(store.stats().unwrap().blocks, map.len() as u64);
    }
    for n in 0..24 {
        let (cid, bytes) = block(n);
        assert_eq!(store.get(&cid).unwrap(), map.contains_key(&cid).then_some(bytes));
    }
}

macro_rules! suite {
    ($store:ident, $with_store:expr) => {
        mod $store {
            use super::*;
            suite!(@ $with_store,
                blocks_come_back_as_they_went_in, putting_twice_is_putting_once, a_wrong_block_stops_its_whole_group,
                links_are_those_of_the_header, complete_is_a_mark_the_caller_sets_and_takes,
                listing_walks_all_blocks_once_in_order, what_is_deleted_is_gone_and_the_rest_survives_compaction,
                readers_and_writers_do_not_disturb_each_other);

            proptest! {
                #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
                #[test]
                fn agrees_with_a_map_through_any_history(steps in steps()) {
                    $with_store(&|store: &dyn BlockStore| super::agrees_with_a_map(store, steps.clone()));
                }
            }
        }
    };
    (@ $with_store:expr, $($case:ident),*) => {
        $(#[test] fn $case() { $with_store(&super::$case); })*
    };
}

suite!(mem, |case: &dyn Fn(&dyn BlockStore)| case(&MemStore::new()));
suite!(disk, |case: &dyn Fn(&dyn BlockStore)| {
    let dir = tempfile::tempdir().unwrap();
    case(&DiskStore::open(dir.path()).unwrap());
});
// Segments so small that there are many of them.
suite!(segments_in_memory, |case: &dyn Fn(&dyn BlockStore)| {
    case(&DiskStore::open_on(MemDisk::new(Fair), 20_000).unwrap());
});
