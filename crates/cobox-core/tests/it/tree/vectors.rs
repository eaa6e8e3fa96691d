//! spec/vectors/tree.json: states with the exact bytes of their nodes, cuts with their thresholds, and refused bytes.
//! Rewritten only when COBOX_BLESS=1 is set; a change of the file is a change of the format.

use std::path::PathBuf;

use cobox_core::seal::BlockKind;
use cobox_core::state::State;
use cobox_core::tree::{Delta, Tree, TreeKeys, threshold};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::refusals::{FileRecord, Forge, Leaf, record, refs, refs_leaf, refused};
use super::{Folder, GlassKeys, JUNE, MAY, fork_point, manifest};
use cobox_proto::id::{ActorId, Cid};

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn unhex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

/// What stands behind the header: links and payload as they are before the seal.
fn shown(block: &[u8]) -> Value {
    let open = GlassKeys::default().open(block).unwrap();
    let links: Vec<String> = open.links.iter().map(|cid| hex(&cid.0)).collect();
    json!({ "kind": open.kind as u8, "links": links, "payload": hex(&open.payload) })
}

fn vectors() -> Value {
    let keys = GlassKeys::default();
    let weights = [0, 1, 150, 4_000, 4_096, 8_192, 12_000, 16_384, 18_000, 32_768, 65_535, 65_536, 1 << 20];
    let thresholds: Vec<Value> = weights
        .windows(2)
        .chain([[0, 16_384].as_slice(), &[16_300, 16_384], &[0, 8_000]])
        .map(|w| json!({ "before": w[0], "after": w[1], "threshold": threshold(w[0], w[1]).to_string() }))
        .collect();

    let empty = Tree::build(&State::new(), &keys, MAY).unwrap().1;
    let mut small = Folder::with_items(41, 6);
    small.state.forks.insert(fork_point(2));
    let (small_tree, small_blocks) = Tree::build(&small.state, &keys, MAY).unwrap();
    let before = small.state.clone();
    (0..3).for_each(|_| small.change());
    let touched = small.take_touched();
    let delta = Delta::between(&small_tree, (&before.ctx, &before.forks), &small.state, &touched, JUNE).unwrap();
    let delta = delta.seal(&keys).unwrap().unwrap();

    let large = Folder::with_items(42, 5_000);
    let (_, large_blocks) = Tree::build(&large.state, &keys, MAY).unwrap();
    let cids: Vec<String> = large_blocks.iter().map(|block| hex(&block.cid.0)).collect();
    let shown_all =
        |blocks: &[cobox_core::seal::SealedBlock]| -> Vec<Value> { blocks.iter().map(|b| shown(&b.bytes)).collect() };
    json!({
        "about": "Nodes before the seal. Boundary hashes: first 8 bytes, little-endian, of BLAKE3 keyed with 32 bytes 07 over domain | level | key.",
        "thresholds": thresholds,
        "empty_state": shown_all(&empty),
        "small_state": shown_all(&small_blocks),
        "delta": shown(&delta.bytes),
        "large_state_cids": cids,
        "refused_leaves": refused_leaves(),
        "manifest": manifest(),
        "refused_manifests": refused_manifests(),
        "refused_roots": refused_roots(),
        "refused_deltas": refused_deltas(&shown(&delta.bytes)),
    })
}

/// The list of a file's chunks, as nodes and as its record names it.
fn manifest() -> Value {
    let (named, blocks) = manifest::listed(70);
    let nodes: Vec<Value> = blocks.iter().map(|block| shown(&block.bytes)).collect();
    json!({ "nodes": nodes, "chunks": named.refs, "top": hex(&named.cid.0), "refs_digest": hex(&named.refs_digest) })
}

fn refused_manifests() -> Value {
    let shown = |(why, payload, size): (&str, Vec<u8>, u64)| json!({ "why": why, "file_bytes": size, "payload": hex(&payload) });
    manifest::malformed().into_iter().map(shown).collect()
}

/// Roots over one good leaf with one record that no reader may take.
fn refused_roots() -> Value {
    let rows = [&[1][..], &[9; 32], &[1], &[1; 16], &[0, 5]].concat();
    let root = |format: u8, levels: u8, rows: &[u8], rest: &[u8]| [&[format, levels][..], rows, rest].concat();
    let roots = [
        ("unknown format", root(2, 0, &rows, &[0, 1, 0, 0])),
        ("context too deep", root(1, 9, &[0], &[0, 1, 0, 0])),
        ("device that no row uses", root(1, 0, &[&[2][..], &[8; 32], &rows[1..]].concat(), &[0, 1, 0, 0])),
        ("more items than there are", root(1, 0, &rows, &[0, 2, 0, 0])),
        ("a level too many", root(1, 0, &rows, &[0, 1, 1, 0])),
        ("no tree for its items", root(1, 0, &rows, &[0, 1])),
        ("a byte too many", root(1, 0, &rows, &[0, 1, 0, 0, 0])),
    ];
    roots.into_iter().map(|(why, payload)| json!({ "why": why, "payload": hex(&payload) })).collect()
}

/// Deltas that no reader may take.
fn refused_deltas(good: &Value) -> Value {
    let payload = unhex(&good["payload"]);
    let with_format = |format| [&[format][..], &payload[1..]].concat();
    let deltas = [
        ("unknown format", with_format(2)),
        ("cut", payload[..payload.len() - 1].to_vec()),
        ("a byte too many", [&payload[..], &[0]].concat()),
    ];
    deltas
        .into_iter()
        .map(|(why, payload)| json!({ "why": why, "links": good["links"], "payload": hex(&payload) }))
        .collect()
}

/// Leaves that no reader may take, each with words of the reason.
fn refused_leaves() -> Value {
    let file = FileRecord::default;
    let plain = file().leaf();
    let leaves = [
        ("it is empty", Leaf::new(vec![])),
        ("not sorted by key", Leaf::new(vec![record(2), record(1)])),
        ("not sorted by key", Leaf::new(vec![record(1), record(1)])),
        ("canonical", Leaf { actors: vec![ActorId([1; 16]), ActorId([2; 16])], ..plain.clone() }),
        ("canonical", Leaf { epochs: vec![MAY], ..plain.clone() }),
        ("canonical", Leaf { links: vec![Cid([3; 32])], ..plain.clone() }),
        ("actor: 0", Leaf { actors: vec![], ..plain }),
        ("link: 1", refs_leaf(refs(1, 1, 0))),
        ("chunk reference kind: 1", refs_leaf(refs(1, 0, 1))),
        ("chunks of a record: 65", refs_leaf(refs(65, 0, 0))),
        ("content kind: 3", FileRecord { body_flags: 3 << 2, ..file() }.leaf()),
        ("canonical", FileRecord { loc_flags: 1, vd: vec![0, 5], ..file() }.leaf()),
        ("canonical", FileRecord { body_flags: 1, body_dot: vec![0, 5], ..file() }.leaf()),
        ("name", FileRecord { name: "..", ..file() }.leaf()),
        ("too early", Leaf::new(vec![[record(1), vec![0]].concat()])),
        ("context does not cover", FileRecord { loc_flags: 1, vd: vec![0, 6], ..file() }.leaf()),
    ];
    let shown = |(reason, leaf): (&str, Leaf)| {
        let links: Vec<String> = leaf.links.iter().map(|cid| hex(&cid.0)).collect();
        json!({ "reason": reason, "records": leaf.records.len(), "links": links, "payload": hex(&leaf.payload()) })
    };
    leaves.into_iter().map(shown).collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the crate is pure, its vectors are files")]
fn the_vectors_hold_and_refused_ones_are_refused() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/tree.json");
    if std::env::var_os("COBOX_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
    }
    let pinned: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let now = vectors();
    for (name, value) in now.as_object().unwrap() {
        assert_eq!(&pinned[name], value, "{name}");
    }
    for leaf in pinned["refused_leaves"].as_array().unwrap() {
        let links: Vec<Cid> =
            leaf["links"].as_array().unwrap().iter().map(|cid| Cid::from_slice(&unhex(cid)).unwrap()).collect();
        let mut forge = Forge::default();
        let top = forge.seal(MAY, BlockKind::Node, &links, &unhex(&leaf["payload"]));
        let root = forge.root(5, leaf["records"].as_u64().unwrap().max(1), 0, top);
        refused(forge.read(root), leaf["reason"].as_str().unwrap());
    }
    for node in pinned["refused_manifests"].as_array().unwrap() {
        let size = node["file_bytes"].as_u64().unwrap();
        let refused = manifest::refusal(BlockKind::Manifest, &unhex(&node["payload"]), size);
        assert!(refused.is_some(), "{}", node["why"]);
    }
    for root in pinned["refused_roots"].as_array().unwrap() {
        let mut forge = Forge::default();
        let leaf = FileRecord::default().leaf();
        let top = forge.seal(MAY, BlockKind::Node, &leaf.links, &leaf.payload());
        let sound = forge.root(5, 1, 0, top);
        forge.read(sound).unwrap();
        let root_of = forge.seal(MAY, BlockKind::Root, &[top], &unhex(&root["payload"]));
        assert!(forge.read(root_of).is_err(), "{}", root["why"]);
    }
    for delta in pinned["refused_deltas"].as_array().unwrap() {
        let links: Vec<Cid> =
            delta["links"].as_array().unwrap().iter().map(|cid| Cid::from_slice(&unhex(cid)).unwrap()).collect();
        let block = GlassKeys::default().seal(JUNE, BlockKind::Delta, &links, &unhex(&delta["payload"])).unwrap();
        assert!(Delta::open(&block.bytes, &GlassKeys::default()).is_err(), "{}", delta["why"]);
    }
}
