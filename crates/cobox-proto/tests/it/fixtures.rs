//! Every truncation and every flipped bit of every fixture in `spec/vectors` that a stranger reads. Ops, geneses and frames have the
//! same beside their own vectors.

// Vectors live in files outside the crate.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::path::Path;

use cobox_proto::block::BlockHeader;
use cobox_proto::codec::Canonical;
use cobox_proto::head::SignedHead;
use cobox_proto::hosting::{OFFER_PREFIX, Offer, SignedReceipt, TICKET_PREFIX, Ticket};
use cobox_proto::members::{Genesis, SignedOp};
use cobox_proto::text;
use data_encoding::HEXLOWER;
use serde_json::Value;

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn unhex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

/// All damaged forms of these bytes, with what was done to them.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    let cuts = (0..bytes.len()).map(|cut| (format!("cut at {cut}"), bytes[..cut].to_vec()));
    let flips = (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        (format!("bit {bit}"), flipped)
    });
    cuts.chain(flips)
}

/// What is signed is refused however it is damaged.
fn all_refused(bytes: &[u8], read: impl Fn(&[u8]) -> bool) {
    assert!(read(bytes), "the fixture itself is good");
    for (what, bytes) in damaged(bytes) {
        assert!(!read(&bytes), "{what}");
    }
}

#[test]
fn i1_every_truncation_and_bit_flip_of_every_head_and_receipt_is_refused() {
    for head in vectors("head.json")["heads"].as_array().unwrap() {
        all_refused(&unhex(&head["bytes"]), |bytes| SignedHead::from_bytes(bytes).is_ok());
    }
    let receipts = vectors("receipt.json");
    for name in ["complete", "no_room"] {
        all_refused(&unhex(&receipts[name]), |bytes| SignedReceipt::from_bytes(bytes).is_ok());
    }
}

#[test]
fn i1_every_truncation_and_bit_flip_of_an_epochs_ops_is_refused_and_of_its_genesis_gives_another_folder() {
    let file = vectors("epoch.json");
    for op in file["ops"].as_array().unwrap() {
        all_refused(&unhex(op), |bytes| SignedOp::from_bytes(bytes).is_ok());
    }
    let bytes = unhex(&file["genesis"]);
    let genesis = Genesis::from_bytes(&bytes).unwrap();
    for (what, damaged) in damaged(&bytes) {
        if let Ok(other) = Genesis::from_bytes(&damaged) {
            assert_eq!(other.to_bytes(), damaged, "{what}");
            assert_ne!(other.folder_id(), genesis.folder_id(), "{what}");
        }
    }
}

#[test]
fn i1_every_truncation_and_bit_flip_of_every_blocks_header_is_refused_or_says_something_else() {
    let file = vectors("block.json");
    // Of a very large one the file keeps the name alone.
    for case in file["accept"].as_array().unwrap().iter().filter(|case| case["block"].is_string()) {
        let block = unhex(&case["block"]);
        let (header, at) = BlockHeader::parse(&block).unwrap();
        // What is behind the header is not a stranger's to read; the least of it must be there.
        for (what, bytes) in damaged(&block[..at + 48]) {
            if let Ok((other, at)) = BlockHeader::parse(&bytes) {
                assert_eq!(other.to_bytes(), bytes[..at], "{what}");
                assert!(other != header || bytes[..at] == block[..at], "{what}");
            }
        }
    }
}

/// The letters' own damage shows by the checksum; this is damage beneath a true one, as who makes up a code would send.
#[test]
fn i1_every_truncation_and_bit_flip_beneath_a_true_checksum_is_refused_or_is_another_ticket() {
    let file = vectors("offer.json");
    let offer = text::read(OFFER_PREFIX, file["offer"].as_str().unwrap()).unwrap();
    all_refused(&offer, |bytes| Offer::from_text(&text::write(OFFER_PREFIX, bytes)).is_ok());
    let ticket = text::read(TICKET_PREFIX, file["ticket"].as_str().unwrap()).unwrap();
    for (what, bytes) in damaged(&ticket) {
        if let Ok(other) = Ticket::from_text(&text::write(TICKET_PREFIX, &bytes)) {
            assert_eq!(other.to_bytes(), bytes, "{what}");
        }
    }
}
