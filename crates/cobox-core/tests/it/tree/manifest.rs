//! Lists of chunks: short ones in the record, long ones in nodes that a change at the end hardly touches.

use std::collections::BTreeSet;

use cobox_core::seal::{BlockKind, SealedBlock};
use cobox_core::state::{Content, Manifest, Ref};
use cobox_core::tree::manifest::{Listed, Listing, Step, list};
use cobox_core::tree::{TreeError, TreeKeys};
use cobox_proto::id::{Cid, EpochTag};
use proptest::prelude::*;

use super::{Blocks, Dice, GlassKeys, JUNE, MAY};

/// Chunks of a file; the same seed gives the same beginning.
fn chunks(seed: u64, count: usize) -> Vec<Listed> {
    let mut dice = Dice(seed);
    let one = |_| Listed {
        chunk: Ref {
            cid: Cid(dice.bytes()),
            len: 1 + dice.roll(1 << 21) as u32,
            epoch: [MAY, JUNE][dice.roll(2) as usize],
        },
        mark: dice.bytes(),
    };
    (0..count).map(one).collect()
}

fn size(chunks: &[Listed]) -> u64 {
    chunks.iter().map(|listed| u64::from(listed.chunk.len)).sum()
}

/// May is older than June.
fn depth(epoch: &EpochTag) -> u64 {
    u64::from(*epoch == JUNE)
}

fn long_list(chunks: &[Listed]) -> (Manifest, Vec<SealedBlock>) {
    let (content, blocks) = list(chunks, depth, &GlassKeys::default(), MAY).unwrap();
    let Content::Manifest(manifest) = content else { panic!("{} chunks make a manifest", chunks.len()) };
    (*manifest, blocks)
}

fn read(manifest: &Manifest, size: u64, blocks: &Blocks) -> Result<Vec<Listed>, TreeError> {
    let mut listing = Listing::new(manifest, size);
    let mut chunks = Vec::new();
    loop {
        match listing.step()? {
            Step::Chunk(listed) => chunks.push(listed),
            Step::Want(cid) => listing.supply(&blocks.0[&cid], &GlassKeys::default())?,
            Step::End => return Ok(chunks),
        }
    }
}

#[test]
fn short_lists_stand_in_the_record() {
    let keys = GlassKeys::default();
    let all = chunks(1, 65);
    assert_eq!(list(&[], depth, &keys, MAY).unwrap().0, Content::Inline([].into()));
    for count in [1, 64] {
        let (content, blocks) = list(&all[..count], depth, &keys, MAY).unwrap();
        assert!(matches!(content, Content::Refs(refs) if refs.len() == count));
        assert!(blocks.is_empty());
    }
    let (manifest, blocks) = long_list(&all);
    assert_eq!((manifest.refs, manifest.oldest_epoch, blocks.len()), (65, MAY, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn a_list_reads_back_in_file_order(seed: u64, count in 65usize..6_000) {
        let chunks = chunks(seed, count);
        let (manifest, blocks) = long_list(&chunks);
        prop_assert_eq!(read(&manifest, size(&chunks), &Blocks::of(blocks)).unwrap(), chunks);
    }
}

#[test]
fn appending_to_a_huge_file_rewrites_the_tail_of_its_list() {
    let mut chunks = chunks(2, 100_000);
    let (_, before) = long_list(&chunks);
    let before: BTreeSet<Cid> = before.iter().map(|block| block.cid).collect();
    chunks.extend(super::manifest::chunks(3, 1));
    let (_, after) = long_list(&chunks);
    let new = after.iter().filter(|block| !before.contains(&block.cid)).count();
    assert!(new <= 4, "{new} of {} blocks", after.len());
}

#[test]
fn equal_content_is_cut_alike_whatever_epoch_sealed_it() {
    let old = chunks(4, 3_000);
    let new: Vec<Listed> = old
        .iter()
        .map(|listed| Listed { chunk: Ref { cid: Cid([9; 32]), epoch: JUNE, ..listed.chunk }, mark: listed.mark })
        .collect();
    let (old, new) = (long_list(&old).1, long_list(&new).1);
    assert_eq!(new.len(), old.len());
}

#[test]
fn a_file_of_one_repeated_chunk_takes_few_blocks() {
    let chunks = vec![chunks(5, 1)[0]; 50_000];
    let (manifest, blocks) = long_list(&chunks);
    assert!(blocks.len() < 10, "{}", blocks.len());
    assert_eq!(read(&manifest, size(&chunks), &Blocks::of(blocks)).unwrap(), chunks);
}

#[test]
fn a_list_that_is_not_what_its_record_says_is_refused() {
    let chunks = chunks(6, 2_000);
    let size = size(&chunks);
    let (manifest, blocks) = long_list(&chunks);
    let blocks = Blocks::of(blocks);
    assert!(read(&manifest, size, &blocks).is_ok());
    let refused =
        |manifest: &Manifest, size| assert!(matches!(read(manifest, size, &blocks), Err(TreeError::Broken { .. })));
    refused(&manifest, size + 1);
    refused(&Manifest { refs: 1_999, ..manifest.clone() }, size);
    refused(&Manifest { refs_digest: [0; 32], ..manifest.clone() }, size);
    refused(&Manifest { oldest_epoch: EpochTag([1; 16]), ..manifest }, size);
}

#[test]
fn malformed_nodes_of_a_list_are_refused() {
    let honest = leaf_of(&row(0, 10));
    assert!(refusal(BlockKind::Manifest, &honest, 10).is_none(), "the honest node");
    assert!(refusal(BlockKind::Node, &honest, 10).is_some(), "another kind");
    for (why, payload, size) in malformed() {
        assert!(refusal(BlockKind::Manifest, &payload, size).is_some(), "{why}");
    }
}

const LINK: Cid = Cid([1; 32]);

fn leaf_of(rows: &[u8]) -> Vec<u8> {
    [&[0, 1][..], &MAY.0, rows].concat()
}

fn row(link: u8, len: u8) -> Vec<u8> {
    [&[link, len, 0][..], &[7; 16]].concat()
}

/// Nodes with one link that no reader may take, each as the only one of a file of so many bytes.
pub(crate) fn malformed() -> Vec<(&'static str, Vec<u8>, u64)> {
    vec![
        ("empty", leaf_of(&[]), 0),
        ("bytes after the end", leaf_of(&[row(0, 10), vec![0]].concat()), 10),
        ("an index beyond the links", leaf_of(&row(1, 10)), 10),
        ("an empty chunk", leaf_of(&row(0, 0)), 0),
        ("a length in a long form", leaf_of(&[&[0, 0x8a, 0, 0][..], &[7; 16]].concat()), 10),
        ("too deep", [&[8, 0, 10, 1][..], &[7; 16]].concat(), 10),
        ("an inner node without children", vec![1], 10),
    ]
}

/// What a reader says of a file of one chunk whose list is this node.
pub(crate) fn refusal(kind: BlockKind, payload: &[u8], size: u64) -> Option<TreeError> {
    let block = GlassKeys::default().seal(MAY, kind, &[LINK], payload).unwrap();
    let manifest =
        Manifest { cid: block.cid, refs: 1, oldest_epoch: MAY, refs_digest: *blake3::hash(&LINK.0).as_bytes() };
    read(&manifest, size, &Blocks::of(vec![block])).err()
}

/// The nodes of a list of so many chunks, and what its record says of it.
pub(crate) fn listed(count: usize) -> (Manifest, Vec<SealedBlock>) {
    long_list(&chunks(7, count))
}
