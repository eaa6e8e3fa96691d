//! The first inputs of every target, from the vectors in `spec/vectors` and a few texts: the same ones each time.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::glass::KINDS;

/// An input to begin with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seed {
    /// Of which target.
    pub target: &'static str,
    /// The input.
    pub bytes: Vec<u8>,
}

/// Files of vectors, and the targets that their bytes are for.
const VECTORS: [(&str, &[&str]); 9] = [
    ("block", &["block", "note"]),
    ("head", &["head"]),
    ("ops", &["op", "genesis"]),
    ("epoch", &["envelopes", "stored_keys"]),
    ("wire", &["frame", "link"]),
    ("receipt", &["receipt"]),
    ("note", &["note"]),
    ("keys", &["stored_keys"]),
    ("codec", &["stored_keys", "frame"]),
];
/// Files whose texts are pasted codes, words and names.
const TEXTS: [(&str, &[&str]); 4] =
    [("invite", &["codes"]), ("offer", &["codes"]), ("keys", &["codes", "words"]), ("path", &["path"])];
/// Longer seeds teach nothing more and are slow to take.
const SEED_BYTES_MAX: usize = 4096;

const LOCAL: [(&str, &str); 14] = [
    ("settings", "lan_discovery = false\nlisten = '127.0.0.1:7'\nrelays = ['https://r.example']\n"),
    ("settings", "rescan_interval_s = 60\nlog = 'info,cobox=debug'\nconnections_max = 9\n"),
    ("settings", "\u{feff}# nothing\r\nlisten = \"\"\r\n[table]\nx = 1979-05-27T07:32:00Z"),
    ("ignore", "*.tmp\n!keep.tmp\n/build/\n**/node_modules\n[a-z]?.o\n\\#x\nfoo/**/bar\n"),
    ("ignore", "{a,b}\n[!a]\n[z-a]\n***\n a \n\\\ndeep/er/x~"),
    ("api", r#"{"path":"/home/a","name":"A","profile":"cdc"}"#),
    ("api", r#"{"code":"cbi1","path":null,"timeout_ms":1000}"#),
    ("api", r#"{"space_bytes":1,"label":"x","keep_days":2,"expires_s":3}"#),
    ("api", r#"{"folder":"a","role":"editor","max_uses":1,"expires_s":60,"approve":false}"#),
    ("api", r#"{"words":"legal winner","ticket":"cbt1","path":"/x","folder":"\u0000\ud83d\ude00"}"#),
    ("words", "Legal winner thank YEAR wave sausage, worth useful legal winner thank yellow"),
    ("words", "7-Apple river, MOON"),
    ("path", "Straße/ﬁ/İ/a\u{301}"),
    ("path", "\u{1}a"),
];

/// All of them, in order, each once.
pub fn seeds() -> Result<Vec<Seed>> {
    let mut seeds = BTreeSet::new();
    let mut add = |target: &'static str, bytes: Vec<u8>| {
        if bytes.len() <= SEED_BYTES_MAX {
            seeds.insert(Seed { target, bytes });
        }
    };
    for (file, targets) in VECTORS {
        for text in texts(&vectors(file)?) {
            let Ok(bytes) = HEXLOWER.decode(text.as_bytes()) else { continue };
            for target in targets {
                match *target {
                    // A connection takes many frames.
                    "link" => add("link", [&[0, 0][..], &chunk(&bytes)].concat()),
                    "frame" => {
                        add("frame", bytes.get(2..).unwrap_or_default().to_vec());
                        add("frame", bytes.clone());
                    }
                    target => add(target, bytes.clone()),
                }
            }
            // A message as a peer says it: `On`, channel 0, message.
            if file == "wire" && bytes.starts_with(&[8, 0]) {
                let said = [&[0, 0, 2, 0, 0][..], &chunk(&bytes[2..])].concat();
                add("replica", [&[0, 0, 1, 0][..], &said].concat());
                add("newcomer", [&[5, 0][..], &chunk(&bytes[2..])].concat());
                add("hosting", [&[7][..], &said].concat());
            }
        }
    }
    for (file, targets) in TEXTS {
        for text in texts(&vectors(file)?) {
            targets.iter().for_each(|target| add(target, text.clone().into_bytes()));
        }
    }
    LOCAL.iter().for_each(|(target, text)| add(target, text.as_bytes().to_vec()));
    for target in ["replica", "hosting", "newcomer", "link", "tree", "delta", "manifest"] {
        // Stories without a plan.
        for n in 0..24u8 {
            let mut story = vec![0; 40 + 10 * usize::from(n)];
            blake3::Hasher::new_derive_key("cobox fuzz seed").update(&[n]).finalize_xof().fill(&mut story);
            add(target, story);
        }
    }
    tree_seeds(&vectors("tree")?, &mut add);
    Ok(seeds.into_iter().collect())
}

/// Nodes before the seal, put one upon the other.
fn tree_seeds(file: &Value, add: &mut impl FnMut(&'static str, Vec<u8>)) {
    let small = list(&file["small_state"]);
    for based in 0..2 {
        add("tree", [&[based][..], &nodes(small)].concat());
        add("tree", [&[based][..], &nodes(list(&file["empty_state"]))].concat());
        for leaf in list(&file["refused_leaves"]) {
            add("tree", [&[based][..], &node(leaf, 2, &[]), &over_one(1)].concat());
        }
        for root in list(&file["refused_roots"]) {
            let leaf = small.first().map(|leaf| node(leaf, 2, &[])).unwrap_or_default();
            add("tree", [&[based][..], &leaf, &node(root, 3, &[0])].concat());
        }
        for delta in list(&file["refused_deltas"]).iter().chain([&file["delta"]]) {
            let links = list(&delta["links"]).len() as u8;
            add("delta", [&[based, links][..], &unhex(&delta["payload"])].concat());
        }
    }
    let long = &file["manifest"];
    let head = |size: u64, refs: u64| [&size.to_le_bytes()[..], &refs.to_le_bytes(), &[1]].concat();
    add("manifest", [head(70, long["chunks"].as_u64().unwrap_or(0)), nodes(list(&long["nodes"]))].concat());
    for wrong in list(&file["refused_manifests"]) {
        let size = wrong["file_bytes"].as_u64().unwrap_or(0);
        add("manifest", [head(size, 1), node(wrong, 4, &[])].concat());
    }
}

/// A root with one row of context over one leaf.
fn over_one(items: u8) -> Vec<u8> {
    let payload = [&[1, 0, 1][..], &[9; 32], &[1], &[1; 16], &[0, 5, 0, items, 0, 0]].concat();
    [&[kind_byte(3), 1, 0][..], &chunk(&payload)].concat()
}

fn nodes(blocks: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let kind = block["kind"].as_u64().unwrap_or(0) as u8;
        let on = if at > 0 && list(&block["links"]).len() == 1 { &[0][..] } else { &[] };
        out.extend(node(block, kind, on));
    }
    out
}

/// One block: its kind, links to the earlier ones in `on` or else to nowhere, its payload.
fn node(block: &Value, kind: u8, on: &[u8]) -> Vec<u8> {
    let links = if on.is_empty() { list(&block["links"]).len().min(95) as u8 } else { on.len() as u8 };
    let mut out = vec![kind_byte(kind), links];
    if on.is_empty() {
        out.extend(128..128 + links)
    } else {
        out.extend(on)
    }
    out.extend(chunk(&unhex(&block["payload"])));
    out
}

fn kind_byte(kind: u8) -> u8 {
    KINDS.iter().position(|known| *known as u8 == kind).unwrap_or(0) as u8
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&len.to_le_bytes()[..], bytes].concat()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn unhex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap_or_default().as_bytes()).unwrap_or_default()
}

fn vectors(name: &str) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors").join(name).with_extension("json");
    let text = std::fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))
}

/// Every text of a file, wherever it stands.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => vec![],
    }
}
