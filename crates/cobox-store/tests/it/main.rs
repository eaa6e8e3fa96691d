//! Stores as their users see them: one suite for every store of blocks, then crashes, damage and the records of folders.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, helpers included")]

mod conformance;
mod crash;
mod damage;
mod faults;
mod folders;
mod stumbles;

use cobox_proto::block::{BlockHeader, SALT_BYTES, TAG_BYTES};
use cobox_proto::id::{Cid, EpochTag};
use cobox_store::{BlockStore, DiskStore};

/// Not a test: serves the disks of the others, in a process of its own.
#[test]
#[ignore = "run by the tests that need a disk which fails"]
fn fault_disk_server() {
    cobox_faultfs::serve().unwrap();
}

/// A block that differs from every other `n`, `body` bytes behind its header.
fn block_with(n: u64, links: &[Cid], body: usize) -> (Cid, Vec<u8>) {
    let mut links = links.to_vec();
    links.sort();
    let mut bytes = BlockHeader { epoch: EpochTag([1; 16]), links }.to_bytes();
    let mut filler = n.to_le_bytes().iter().copied().cycle().take(body.max(SALT_BYTES + TAG_BYTES)).collect();
    bytes.append(&mut filler);
    (Cid::of(&bytes), bytes)
}

fn block(n: u64) -> (Cid, Vec<u8>) {
    block_with(n, &[], 1000)
}

fn blocks(numbers: std::ops::Range<u64>) -> Vec<(Cid, Vec<u8>)> {
    numbers.map(block).collect()
}

fn put(store: &dyn BlockStore, blocks: &[(Cid, Vec<u8>)]) {
    let borrowed: Vec<(Cid, &[u8])> = blocks.iter().map(|(cid, bytes)| (*cid, bytes.as_slice())).collect();
    store.put_many(&borrowed).unwrap();
}

/// Every block is here and right.
fn assert_holds(store: &dyn BlockStore, blocks: &[(Cid, Vec<u8>)]) {
    for (cid, bytes) in blocks {
        assert_eq!(store.get(cid).unwrap().as_ref(), Some(bytes), "{cid:?}");
    }
}

fn cids(blocks: &[(Cid, Vec<u8>)]) -> Vec<Cid> {
    blocks.iter().map(|(cid, _)| *cid).collect()
}

fn segment_files(store: &DiskStore) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(store.dir()).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("seg-")).collect();
    segments.sort();
    segments
}
