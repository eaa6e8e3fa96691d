//! Every truncation and every flipped bit of the nodes in `spec/vectors/tree.json`, put where their parents say: refused, or the tree
//! of another state, which is then written just so.

use std::collections::BTreeMap;

use cobox_core::seal::BlockKind;
use cobox_core::state::{Manifest, State};
use cobox_core::tree::manifest::{Listing, Step};
use cobox_core::tree::{Delta, Tree, TreeKeys};
use cobox_proto::codec::Reader;
use cobox_proto::id::{Cid, EpochTag};
use serde_json::Value;

use super::{Blocks, GlassKeys, JUNE, MAY, applied};
use crate::fixtures::{damaged, vectors};
use crate::vector_file::{list, unhex};

fn links(node: &Value) -> Vec<Cid> {
    node["links"].as_array().unwrap().iter().map(|link| Cid::from_slice(&unhex(link)).unwrap()).collect()
}

/// Reads the tree and, if it is taken, writes the state again: the same blocks must come out.
fn refused_or_written_so(what: &str, root: Cid, blocks: &Blocks) -> bool {
    let Ok(remote) = blocks.fetch(root, None, &State::new()) else { return false };
    let state = applied(&remote, &State::new());
    let (tree, written) = Tree::build(&state, &GlassKeys::default(), MAY).unwrap();
    assert_eq!(tree.root(), root, "{what}");
    assert!(written.iter().all(|block| blocks.0.get(&block.cid) == Some(&block.bytes)), "{what}");
    true
}

#[test]
fn i1_every_truncation_and_bit_flip_of_a_trees_nodes_is_refused_or_is_another_state_written_so() {
    let keys = GlassKeys::default();
    let file = vectors("tree.json");
    let [leaf, root] = list(&file["small_state"]) else { panic!("a leaf and a root") };
    let (leaf_links, leaf_bytes, root_bytes) = (links(leaf), unhex(&leaf["payload"]), unhex(&root["payload"]));
    let tree = |leaf: &[u8], root: &[u8]| {
        let leaf = keys.seal(MAY, BlockKind::Node, &leaf_links, leaf).unwrap();
        let root = keys.seal(MAY, BlockKind::Root, &[leaf.cid], root).unwrap();
        (root.cid, Blocks::of(vec![leaf, root]))
    };
    let (good, blocks) = tree(&leaf_bytes, &root_bytes);
    assert!(refused_or_written_so("as it is", good, &blocks));
    for (what, damaged) in damaged(&leaf_bytes) {
        let (root, blocks) = tree(&damaged, &root_bytes);
        refused_or_written_so(&format!("leaf, {what}"), root, &blocks);
    }
    for (what, damaged) in damaged(&root_bytes) {
        let (root, blocks) = tree(&leaf_bytes, &damaged);
        refused_or_written_so(&format!("root, {what}"), root, &blocks);
    }
}

#[test]
fn i1_every_truncation_and_bit_flip_of_a_delta_is_refused_or_is_another_delta_written_so() {
    let keys = GlassKeys::default();
    let delta = &vectors("tree.json")["delta"];
    let links = links(delta);
    let sealed = |payload: &[u8]| keys.seal(JUNE, BlockKind::Delta, &links, payload).unwrap().bytes;
    let good = unhex(&delta["payload"]);
    assert!(Delta::open(&sealed(&good), &keys).is_ok());
    for (what, damaged) in damaged(&good) {
        let bytes = sealed(&damaged);
        if let Ok(other) = Delta::open(&bytes, &keys) {
            assert_eq!(other.seal(&keys).unwrap().unwrap().bytes, bytes, "{what}");
        }
    }
}

#[test]
fn i1_every_truncation_and_bit_flip_of_a_chunk_list_is_refused_or_lists_the_same_chunks() {
    let keys = GlassKeys::default();
    let file = vectors("tree.json");
    let [node] = list(&file["manifest"]["nodes"]) else { panic!("one node") };
    let (links, good) = (links(node), unhex(&node["payload"]));
    let refs_digest = <[u8; 32]>::try_from(unhex(&file["manifest"]["refs_digest"])).unwrap();
    let refs = file["manifest"]["chunks"].as_u64().unwrap();
    let walk = |payload: &[u8], size: u64| {
        let block = keys.seal(MAY, BlockKind::Manifest, &links, payload).unwrap();
        let manifest = Manifest { cid: block.cid, refs, oldest_epoch: MAY, refs_digest };
        let blocks = BTreeMap::from([(block.cid, block.bytes)]);
        let mut listing = Listing::new(&manifest, size);
        let mut chunks = Vec::new();
        loop {
            match listing.step().ok()? {
                Step::Chunk(listed) => chunks.push((listed.chunk.cid, listed.chunk.len)),
                Step::Want(cid) => listing.supply(blocks.get(&cid)?, &keys).ok()?,
                Step::End => return Some(chunks),
            }
        }
    };
    let mut r = Reader::new(&good);
    assert_eq!(r.u8(), Ok(0), "a leaf");
    r.list::<EpochTag>(9, "epochs").unwrap();
    let mut size = 0;
    while r.left() > 0 {
        // link, length, epoch, mark
        size += (r.varint().unwrap(), r.varint().unwrap(), r.varint().unwrap(), r.take(16, "mark").unwrap()).1;
    }
    let chunks = walk(&good, size).unwrap();
    for (what, damaged) in damaged(&good) {
        if let Some(others) = walk(&damaged, size) {
            let cids = |chunks: &[(Cid, u32)]| chunks.iter().map(|(cid, _)| *cid).collect::<Vec<_>>();
            assert_eq!(cids(&others), cids(&chunks), "{what}");
        }
    }
}
