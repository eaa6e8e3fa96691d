//! `keys.json`: everything that is derived from a secret, where files are cut, and texts that are no CoBox key or words.

use cobox_core::chunk::Cutter;
use cobox_core::keys::phrase::Words;
use cobox_core::keys::{
    ContactKey, DeviceSecret, EpochSecret, FolderKeys, InviteSecret, Profile, RootSecret, ShapeKey,
};
use cobox_core::path::Name;
use cobox_core::state::Kind;
use cobox_proto::id::{FolderId, Inode};
use cobox_proto::members::KeyPair;
use serde_json::{Value, json};

use crate::vector_file::{check, hex, list, text, unhex};

fn pair(keys: &KeyPair) -> Value {
    // The X-Wing key has 1216 bytes; its id says as much.
    json!({ "sig": keys.sig.to_string(), "hpke_id": keys.hpke.id().to_string() })
}

fn cuts(shape: &ShapeKey, profile: Profile) -> Vec<usize> {
    let mut data = vec![0; 5_000_000];
    blake3::Hasher::new().finalize_xof().fill(&mut data);
    let cutter = Cutter::new(shape, profile);
    let (mut rest, mut lens) = (&data[..], vec![]);
    while let Some(len) = cutter.cut(rest, true) {
        lens.push(len);
        rest = &rest[len..];
    }
    lens
}

fn wrong_keys(right: &str) -> Vec<String> {
    let mut last_changed = right.to_owned();
    let last = if last_changed.pop() == Some('a') { 'b' } else { 'a' };
    last_changed.push(last);
    vec![
        String::new(),
        "c1".to_owned(),
        right[..right.len() - 1].to_owned(),
        right[2..].to_owned(),
        format!("{right}a"),
        last_changed,
        right.replacen("c1", "cbi1", 1),
    ]
}

fn made() -> Value {
    let root = RootSecret::from_entropy([0x7f; 16]);
    let shape = ShapeKey::from_bytes([0x22; 32]);
    let secret = EpochSecret::from_bytes([0x33; 32]);
    let mut keys = FolderKeys::new(FolderId([0x11; 32]), shape.clone(), Profile::Cdc);
    keys.insert_epoch(secret.clone(), FolderKeys::params_for(Profile::Cdc, false)).unwrap();
    let contact = root.contact().public().to_string();
    let (a, name) = (Inode([0x44; 16]), Name::new("plan.txt").unwrap());
    let inode = |kind, n| shape.inode(kind, a, &name, n).to_string();
    let slots: Vec<Value> =
        [0, 1, 255].into_iter().map(|i| json!({ "slot": i, "keys": pair(&root.slot(i).public()) })).collect();
    let mut other_profile = keys.to_storage().to_vec();
    other_profile[65] = 2;
    let mut other_codec = keys.to_storage().to_vec();
    other_codec[104] = 1;
    let right = root.words();
    let right = right.to_text();
    json!({
        "entropy": hex([0x7f; 16]), "words": *right, "cobox_key": contact,
        "slots": slots,
        "device": { "seed": hex([0x55; 32]), "keys": pair(&DeviceSecret::from_seed(&[0x55; 32]).public()) },
        "invite": { "seed": hex([0x66; 16]), "keys": pair(&InviteSecret::from_seed(&[0x66; 16]).public()) },
        "shape_key": hex([0x22; 32]),
        "shape_id": { "cdc": hex(shape.id(Profile::Cdc)), "uniform": hex(shape.id(Profile::Uniform)) },
        "digest_of_hello": hex(shape.digest(b"hello")), "file_digest_of_hello": hex(shape.inline_digest(b"hello")),
        "file_digest_of_nothing": hex(shape.inline_digest(b"")),
        "bound_0_of_key": shape.bound(b"bound", 0, b"key").to_string(),
        "inodes": { "parent": a.to_string(), "name": "plan.txt", "dir_0": inode(Kind::Dir, 0), "file_0": inode(Kind::File, 0),
                    "file_1": inode(Kind::File, 1), "symlink_0": inode(Kind::Symlink, 0) },
        "epoch_secret": hex([0x33; 32]), "epoch_id": secret.id().to_string(),
        "stored_folder_keys": hex(&*keys.to_storage()),
        "chunks_of_5000000_bytes_of_the_blake3_stream_of_nothing":
            { "cdc": cuts(&shape, Profile::Cdc), "uniform": cuts(&shape, Profile::Uniform) },
        "refused_words": [
            right.replacen("legal", "legale", 1), right.replacen("legal ", "", 1), right.replacen("legal", "zoo", 1),
            right.replacen("legal winner", "winner legal", 1), format!("{} legal", *right), String::new(),
        ],
        "refused_cobox_keys": wrong_keys(&contact),
        "refused_stored_folder_keys": {
            "cut": hex(&keys.to_storage()[..100]), "unknown version": hex([&[2], &keys.to_storage()[1..]].concat()),
            "unknown profile": hex(other_profile),
            "longer": hex([&keys.to_storage()[..], &[0]].concat()),
            "unknown codec": hex(other_codec),
        },
    })
}

#[test]
fn keys_are_derived_as_they_were_and_wrong_texts_are_refused() {
    let file = check("keys", made());
    assert_eq!(hex(*Words::parse(text(&file["words"])).unwrap().entropy()), text(&file["entropy"]));
    assert!(text(&file["cobox_key"]).parse::<ContactKey>().is_ok());
    assert!(FolderKeys::from_storage(&unhex(&file["stored_folder_keys"])).is_ok());
    for words in list(&file["refused_words"]) {
        assert!(Words::parse(text(words)).is_err(), "{words}");
    }
    for key in list(&file["refused_cobox_keys"]) {
        assert!(text(key).parse::<ContactKey>().is_err(), "{key}");
    }
    for (why, stored) in file["refused_stored_folder_keys"].as_object().unwrap() {
        assert!(FolderKeys::from_storage(&unhex(stored)).is_err(), "{why}");
    }
}
