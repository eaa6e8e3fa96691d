//! Every truncation and every flipped bit of every fixture in `spec/vectors` that a member reads: sealed blocks and notes, what stands
//! in them, stored keys, codes beneath a true checksum. Nodes of the tree have the same in `tree/fixtures.rs`.

#![allow(clippy::disallowed_methods, reason = "the crate is pure; its vectors lie on a disk")]

use std::path::Path;
use std::str::FromStr;

use cobox_core::engine::HeadNote;
use cobox_core::keys::{ContactKey, EpochSecret, FolderKeys, Profile, ShapeKey};
use cobox_core::members::{INVITE_PREFIX, InviteText};
use cobox_proto::codec::Canonical;
use cobox_proto::id::FolderId;
use cobox_proto::members::{EpochParams, Padding};
use cobox_proto::text;
use serde_json::Value;

use crate::vector_file::{list, text as string, unhex};

pub(crate) fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Bytes of a fixture of which every single bit is flipped; of a larger one those of its beginning and end, and some between.
const EVERY_BIT_BYTES_MAX: usize = 4096;

/// All damaged forms of these bytes, with what was done to them.
pub(crate) fn damaged(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    let (len, large) = (bytes.len(), bytes.len() > EVERY_BIT_BYTES_MAX);
    let near = move |at: usize| !large || at < 128 || at + 64 > len || at.is_multiple_of(4099);
    let cuts = (0..len).filter(move |at| near(*at)).map(|cut| (format!("cut at {cut}"), bytes[..cut].to_vec()));
    let flips = (0..len * 8).filter(move |bit| near(bit / 8)).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        (format!("bit {bit}"), flipped)
    });
    cuts.chain(flips)
}

fn all_refused(bytes: &[u8], read: impl Fn(&[u8]) -> bool) {
    assert!(read(bytes), "the fixture itself is good");
    for (what, bytes) in damaged(bytes) {
        assert!(!read(&bytes), "{what}");
    }
}

fn keys(file: &Value, padding: Padding) -> FolderKeys {
    let fixed = |name: &str| <[u8; 32]>::try_from(unhex(&file[name])).unwrap();
    let shape = ShapeKey::from_bytes(fixed("shape_key"));
    let profile = if padding == Padding::Uniform { Profile::Uniform } else { Profile::Cdc };
    let mut keys = FolderKeys::new(FolderId(fixed("folder")), shape, profile);
    let params = EpochParams { padding, ..FolderKeys::params_for(profile, false) };
    keys.insert_epoch(EpochSecret::from_bytes(fixed("epoch_secret")), params).unwrap();
    keys
}

#[test]
fn i1_every_truncation_and_bit_flip_of_every_sealed_block_and_note_is_refused() {
    let file = vectors("block.json");
    // Of a very large one the file keeps the name alone.
    for case in list(&file["accept"]).iter().filter(|case| case["block"].is_string()) {
        let padding = match string(&case["padding"]) {
            "padme" => Padding::Padme,
            "step4" => Padding::Step4,
            "uniform" => Padding::Uniform,
            other => panic!("{other}"),
        };
        let keys = keys(&file, padding);
        all_refused(&unhex(&case["block"]), |bytes| keys.open_block(bytes).is_ok());
    }
    let keys = keys(&file, Padding::Padme);
    let (epoch, _) = keys.epochs().next().unwrap();
    for case in list(&file["notes"]) {
        let (object, ad) = (string(&case["object"]), string(&case["ad"]).as_bytes());
        all_refused(&unhex(&case["note"]), |bytes| keys.open_note(epoch, object, ad, bytes).is_ok());
    }
}

#[test]
fn i1_every_truncation_and_bit_flip_of_a_heads_note_is_refused_or_says_something_else() {
    let file = vectors("note.json");
    for name in ["with a vault", "without"] {
        let bytes = unhex(&file["head"][name]);
        let note = HeadNote::from_bytes(&bytes).unwrap();
        for (what, damaged) in damaged(&bytes) {
            if let Ok(other) = HeadNote::from_bytes(&damaged) {
                assert_eq!(other.to_bytes(), damaged, "{name}: {what}");
                assert_ne!(other, note, "{name}: {what}");
            }
        }
    }
}

#[test]
fn i1_every_truncation_and_bit_flip_of_stored_keys_is_refused_or_holds_other_keys() {
    for stored in [&vectors("keys.json")["stored_folder_keys"], &vectors("epoch.json")["keys_as_stored"]] {
        let bytes = unhex(stored);
        assert!(FolderKeys::from_storage(&bytes).is_ok());
        for (what, damaged) in damaged(&bytes) {
            if let Ok(other) = FolderKeys::from_storage(&damaged) {
                assert_eq!(*other.to_storage(), damaged, "{what}");
            }
        }
    }
}

/// The letters' own damage shows by the checksum; this is damage beneath a true one, as who makes up a code would send.
#[test]
fn i1_every_truncation_and_bit_flip_beneath_a_true_checksum_is_refused_or_is_another_code() {
    let invite = text::read(INVITE_PREFIX, string(&vectors("invite.json")["text"])).unwrap();
    for (what, bytes) in damaged(&invite) {
        // Another version byte may say that the rest is sealed to somebody.
        if let Ok(InviteText::Code(code)) = InviteText::from_str(&text::write(INVITE_PREFIX, &bytes)) {
            assert_eq!(code.to_bytes(), bytes, "{what}");
        }
    }
    let key = text::read("c1", string(&vectors("keys.json")["cobox_key"])).unwrap();
    for (what, bytes) in damaged(&key) {
        if let Ok(key) = ContactKey::from_str(&text::write("c1", &bytes)) {
            assert_eq!(key.to_bytes(), bytes, "{what}");
        }
    }
}
