//! A store on a disk in memory that fails at a chosen step: what a second failure must not make of the first.

use std::io::ErrorKind;

use cobox_store::{BlockStore, DiskStore, MemDisk, Outcome, Status, StoreError, Weather};

use crate::{assert_holds, blocks, cids, put};

/// What becomes of the next steps; all after them are done.
#[derive(Debug, Default)]
struct Script(Vec<Outcome>);

impl Script {
    /// So many steps are done, then the machine stops.
    fn stops_after(steps: usize) -> Self {
        let mut outcomes = vec![Outcome::Off; 20];
        outcomes.extend(vec![Outcome::Done; steps]);
        Self(outcomes)
    }
}

impl Weather for Script {
    fn step(&mut self) -> Outcome {
        self.0.pop().unwrap_or(Outcome::Done)
    }
    fn hides(&mut self) -> bool {
        false
    }
    /// All that was not synced goes, and what may be there is.
    fn below(&mut self, _: usize) -> usize {
        0
    }
}

fn open(disk: &MemDisk<Script>) -> DiskStore<MemDisk<Script>> {
    disk.weather(|script| *script = Script::default());
    DiskStore::open_on(disk.clone(), 1 << 20).unwrap()
}

/// The bytes as they are handed over.
fn try_to_put(store: &DiskStore<MemDisk<Script>>, all: &[(cobox_proto::id::Cid, Vec<u8>)]) -> Result<(), StoreError> {
    let borrowed: Vec<_> = all.iter().map(|(cid, bytes)| (*cid, bytes.as_slice())).collect();
    store.put_many(&borrowed)
}

#[test]
fn k1_k3_what_a_start_finds_is_durable_before_it_counts() {
    let disk = MemDisk::new(Script::default());
    let (before, after) = (blocks(0..3), blocks(3..6));
    put(&open(&disk), &before);
    let store = open(&disk);
    // It is written, and neither synced nor indexed.
    disk.weather(|script| *script = Script::stops_after(1));
    try_to_put(&store, &after).unwrap_err();
    drop(store);
    let store = open(&disk);
    assert_eq!(store.recovered().reindexed_blocks, 3, "a kill leaves what was written");
    assert_holds(&store, &after);
    drop(store);
    disk.cut_power();
    let store = open(&disk);
    assert_holds(&store, &before);
    assert_holds(&store, &after);
}

#[test]
fn d6_k3_what_may_be_indexed_is_not_written_over() {
    let disk = MemDisk::new(Script::default());
    let (first, second, third) = (blocks(0..3), blocks(3..6), blocks(6..12));
    let store = open(&disk);
    put(&store, &first);
    // The index says that it failed, and will be found to have the group.
    disk.weather(|script| script.0 = vec![Outcome::FailsDone(ErrorKind::Other), Outcome::Done, Outcome::Done]);
    try_to_put(&store, &second).unwrap_err();
    assert_eq!(store.status(&second[0].0).unwrap(), Status::Missing);
    for steps in 0..4 {
        disk.weather(|script| *script = Script::stops_after(steps));
        try_to_put(&store, &third).unwrap_err();
    }
    drop(store);
    let store = open(&disk);
    assert_holds(&store, &first);
    assert_eq!(store.check(false).unwrap().damaged, []);
}

#[test]
fn k3_who_has_the_room_given_back_hears_of_damage_before_it_counts_as_missing() {
    let disk = MemDisk::new(Script::default());
    let store = open(&disk);
    let all = blocks(0..10);
    put(&store, &all);
    store.delete_many(&cids(&all[..7])).unwrap();
    let bad = all[8].0;
    assert!(disk.spoil(&bad));
    let full = || StoreError::DiskFull { path: "records".into() };
    assert!(store.compact_telling(|_| Err(full())).is_err());
    assert_eq!(store.status(&bad).unwrap(), Status::Held, "nobody could write down that it is damaged");
    for _ in 0..2 {
        assert!(matches!(store.look(&bad), Err(StoreError::DamagedBlock { .. })), "as often as it is asked for");
        assert!(matches!(store.look_at_links(&all[9].0), Ok(Some(links)) if links.is_empty()));
    }
    let mut told = Vec::new();
    let compacted = store.compact_telling(|cids| {
        told.extend_from_slice(cids);
        Ok(())
    });
    assert_eq!((told, compacted.unwrap().damaged), (vec![bad], vec![bad]));
    assert_eq!(store.status(&bad).unwrap(), Status::Missing);
    assert_holds(&store, &[all[7].clone(), all[9].clone()]);
}
