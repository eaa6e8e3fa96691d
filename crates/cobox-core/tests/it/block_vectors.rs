//! `block.json`: blocks and notes that open, and crafted ones that must not (formats F1). The crafted ones come from a second
//! implementation of the format, written down here from the formulas alone, which must also agree with the first.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use cobox_core::keys::{EpochSecret, FolderKeys, Profile, ShapeKey};
use cobox_core::seal::BlockKind;
use cobox_proto::id::{Cid, EpochTag, FolderId};
use cobox_proto::members::{EpochParams, Padding};
use serde_json::{Value, json};

use crate::vector_file::{check, hex, list, text, unhex};

const FOLDER: [u8; 32] = [0x11; 32];
const SHAPE: [u8; 32] = [0x22; 32];
const SECRET: [u8; 32] = [0x33; 32];

const KINDS: [(&str, BlockKind); 7] = [
    ("chunk", BlockKind::Chunk),
    ("node", BlockKind::Node),
    ("root", BlockKind::Root),
    ("manifest", BlockKind::Manifest),
    ("delta", BlockKind::Delta),
    ("ctx", BlockKind::Ctx),
    ("bundle", BlockKind::Bundle),
];

fn folder(padding: Padding) -> (FolderKeys, EpochTag) {
    let mut keys = FolderKeys::new(FolderId(FOLDER), ShapeKey::from_bytes(SHAPE), Profile::Cdc);
    let params = EpochParams { padding, ..FolderKeys::params_for(Profile::Cdc, false) };
    let tag = keys.insert_epoch(EpochSecret::from_bytes(SECRET), params).unwrap();
    (keys, tag)
}

/// The second implementation: every part can be set to what it must not be.
struct Craft {
    header: Vec<u8>,
    plain: Vec<u8>,
    salt_over: Vec<u8>,
}

impl Craft {
    /// An honest block of `total` bytes without links.
    fn new(kind: u8, payload: &[u8], total: usize) -> Self {
        let epoch = blake3::derive_key("cobox v1 epoch id", &SECRET);
        let header = [&[1, 1][..], &epoch[..16], &[0]].concat();
        let frame = [&[0, kind][..], &(payload.len() as u32).to_le_bytes()].concat();
        let mut plain = [&frame[..], payload].concat();
        plain.resize(total - header.len() - 48, 0);
        let digest_key = blake3::derive_key("cobox v1 digest", &SHAPE);
        let digest = *blake3::keyed_hash(&digest_key, payload).as_bytes();
        Self { header, plain, salt_over: [&frame[..], &(total as u32).to_le_bytes(), &digest].concat() }
    }
    fn seal(self) -> Vec<u8> {
        let ad = [&b"cobox/block/v1\0"[..], &FOLDER, &self.header].concat();
        let siv = blake3::derive_key("cobox v1 siv", &SECRET);
        let salt = *blake3::keyed_hash(&siv, &[&ad[..], &self.salt_over].concat()).as_bytes();
        let enc = blake3::derive_key("cobox v1 enc", &SECRET);
        let key = blake3::keyed_hash(&enc, &salt);
        let mut ct = self.plain;
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_bytes()).unwrap())
            .seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::from(ad), &mut ct)
            .unwrap();
        [self.header, salt.to_vec(), ct].concat()
    }
}

fn refused() -> Vec<Value> {
    let honest = || Craft::new(1, b"hello", 1024);
    let change = |mut block: Vec<u8>, at: usize| {
        block[at] ^= 1;
        block
    };
    let with = |edit: &dyn Fn(&mut Craft)| {
        let mut craft = honest();
        edit(&mut craft);
        craft.seal()
    };
    let linked = |links: &[u8], count: u8| {
        let mut craft = honest();
        craft.header.pop();
        craft.header.push(count);
        craft.header.extend_from_slice(links);
        craft.plain.truncate(craft.plain.len() - links.len());
        craft.seal()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("unknown version", change(honest().seal(), 0)),
        ("unknown suite", change(honest().seal(), 1)),
        ("unknown epoch", change(honest().seal(), 2)),
        (
            "long form of the link count",
            with(&|c| {
                c.header.pop();
                c.header.extend_from_slice(&[0x80, 0]);
                c.plain.pop();
            }),
        ),
        ("salt changed", change(honest().seal(), 19)),
        ("ciphertext changed", change(honest().seal(), 60)),
        ("tag changed", change(honest().seal(), 1023)),
        ("cut short", honest().seal()[..1000].to_vec()),
        ("one byte too many", [honest().seal(), vec![0]].concat()),
        ("no room for a tag", honest().seal()[..40].to_vec()),
        ("salt of another content", with(&|c| c.salt_over[20] ^= 1)),
        ("salt of another kind", with(&|c| c.salt_over[1] = 2)),
        ("salt of another size", with(&|c| c.salt_over[7] ^= 1)),
        ("padding not zero", with(&|c| *c.plain.last_mut().unwrap() = 1)),
        ("larger class than needed", Craft::new(1, b"hello", 1088).seal()),
        ("smaller than the smallest class", Craft::new(1, b"hello", 512).seal()),
        ("size between classes", Craft::new(1, &[7; 1000], 1100).seal()),
        ("unknown codec", with(&|c| (c.plain[0], c.salt_over[0]) = (1, 1))),
        ("kind 0", Craft::new(0, b"hello", 1024).seal()),
        ("unknown kind", Craft::new(8, b"hello", 1024).seal()),
        ("length beyond the block", with(&|c| (c.plain[4], c.salt_over[4]) = (1, 1))),
        ("chunk with a link", linked(&[9; 32], 1)),
        ("links not increasing", linked(&[9; 64], 2)),
    ];
    cases.into_iter().map(|(why, block)| json!({ "why": why, "block": hex(block) })).collect()
}

fn made() -> Value {
    let mut accept = vec![];
    for (padding_name, padding) in [("padme", Padding::Padme), ("step4", Padding::Step4), ("uniform", Padding::Uniform)]
    {
        let (keys, tag) = folder(padding);
        for (i, (kind_name, kind)) in KINDS.into_iter().enumerate() {
            let payload: Vec<u8> = (0..i * 300).map(|n| (n % 251) as u8).collect();
            let links: Vec<Cid> =
                (0..if kind == BlockKind::Chunk { 0 } else { i }).map(|n| Cid([n as u8; 32])).collect();
            let sealed = keys.seal_block(&tag, kind, &links, &payload).unwrap();
            // One whole block for each padding; of the others the name says as much.
            let whole = (padding != Padding::Uniform && i < 2).then(|| hex(&sealed.bytes));
            accept.push(json!({
                "padding": padding_name, "kind": kind_name, "links": links.iter().map(|l| l.to_string()).collect::<Vec<_>>(),
                "payload": hex(&payload), "digest": hex(keys.shape().digest(&payload)),
                "bytes": sealed.bytes.len(), "cid": sealed.cid.to_string(), "block": whole,
            }));
        }
    }
    let (keys, tag) = folder(Padding::Padme);
    let notes: Vec<Value> = [("head", "", "Bob"), ("op", "fields", ""), ("op", "fields", "0123456789")]
        .into_iter()
        .map(|(object, ad, plain)| {
            let note = keys.seal_note(&tag, object, ad.as_bytes(), plain.as_bytes()).unwrap();
            json!({ "object": object, "ad": ad, "plain": plain, "note": hex(note) })
        })
        .collect();
    let sizes: Vec<Value> = [0, 1024, 1025, 5000, 70_000, 1 << 20, 1_048_650, 2_097_225, 4_194_304]
        .into_iter()
        .map(|len| {
            let class = |padding| cobox_core::padding::block_len(padding, true, len);
            json!({ "bytes": len, "padme": class(Padding::Padme), "step4": class(Padding::Step4),
                    "uniform": class(Padding::Uniform) })
        })
        .collect();
    json!({
        "folder": hex(FOLDER), "shape_key": hex(SHAPE), "epoch_secret": hex(SECRET), "epoch_tag": tag.to_string(),
        "accept": accept, "refuse": refused(), "notes": notes, "chunk_block_bytes": sizes,
    })
}

#[test]
fn blocks_are_what_they_were_and_crafted_ones_are_refused() {
    let file = check("block", made());
    for case in list(&file["accept"]) {
        let padding = match text(&case["padding"]) {
            "padme" => Padding::Padme,
            "step4" => Padding::Step4,
            _ => Padding::Uniform,
        };
        let Some(block) = case["block"].as_str().map(|_| unhex(&case["block"])) else { continue };
        let (keys, tag) = folder(padding);
        let open = keys.open_block(&block).unwrap();
        assert_eq!(Cid::of(&block).to_string(), text(&case["cid"]));
        assert_eq!((open.payload, open.epoch), (unhex(&case["payload"]), tag));
    }
    let (keys, tag) = folder(Padding::Padme);
    let mut reasons = std::collections::BTreeSet::new();
    for case in list(&file["refuse"]) {
        let refused = keys.open_block(&unhex(&case["block"]));
        let Err(error) = refused else { panic!("{} opened", text(&case["why"])) };
        reasons.insert(error.to_string());
    }
    assert!(reasons.len() >= 10, "each case must fail for its own reason: {reasons:#?}");
    for case in list(&file["notes"]) {
        let (object, ad) = (text(&case["object"]), text(&case["ad"]).as_bytes());
        let plain = keys.open_note(&tag, object, ad, &unhex(&case["note"])).unwrap();
        assert_eq!(plain, text(&case["plain"]).as_bytes());
        assert!(keys.open_note(&tag, "receipt", ad, &unhex(&case["note"])).is_err());
    }
}

#[test]
fn x10_two_implementations_make_the_same_block() {
    let (keys, tag) = folder(Padding::Padme);
    let sealed = keys.seal_block(&tag, BlockKind::Chunk, &[], b"hello").unwrap();
    assert_eq!(sealed.bytes, Craft::new(1, b"hello", 1024).seal());
}
