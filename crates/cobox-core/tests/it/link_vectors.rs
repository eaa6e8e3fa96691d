//! `link.json`: codes that link a device, what they open, and texts that are none.

use cobox_core::keys::RootSecret;
use cobox_core::members::LinkCode;
use cobox_proto::codec::Canonical;
use cobox_proto::id::FolderId;
use cobox_proto::text;
use serde_json::{Value, json};

use crate::vector_file::{check, hex, list, text as string, unhex};

const SEED: [u8; 16] = [0x55; 16];
const ENTROPY: [u8; 16] = [9; 16];

fn code() -> LinkCode {
    LinkCode::new(FolderId([7; 32]), SEED, 1_800_000_000_000, vec![vec![1, 2, 3], vec![]])
}

fn refused(code: &LinkCode) -> Vec<Value> {
    let bytes = code.to_bytes();
    let changed = |at: usize, to: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = to;
        text::write("cbl1", &bytes)
    };
    let tickets_at = bytes.len() - 6;
    assert_eq!(bytes[tickets_at], 2, "two tickets");
    let whole = code.to_text();
    [
        ("nothing", String::new()),
        ("the prefix alone", "cbl1".to_owned()),
        ("unknown version", changed(0, 2)),
        ("one ticket too few", changed(tickets_at, 1)),
        ("one ticket too many", changed(tickets_at, 3)),
        ("more tickets than allowed", changed(tickets_at, 4)),
        ("ticket longer than the code", changed(tickets_at + 1, 9)),
        ("one byte too many", text::write("cbl1", &[&bytes[..], &[0]].concat())),
        ("one byte too few", text::write("cbl1", &bytes[..bytes.len() - 1])),
        ("last letter lost", whole[..whole.len() - 1].to_owned()),
        ("checksum of another kind of code", format!("cbl1{}", &text::write("cbi1", &bytes)[4..])),
        ("an invite", text::write("cbi1", &bytes)),
    ]
    .into_iter()
    .map(|(why, text)| json!({ "why": why, "text": text }))
    .collect()
}

fn made() -> Value {
    let code = code();
    let sealed = code.seal_root(&RootSecret::from_entropy(ENTROPY), &[0x99; 32]).unwrap();
    let mut forged = sealed.clone();
    *forged.last_mut().unwrap() ^= 1;
    let other = LinkCode::new(code.vault, [0x56; 16], code.expires_ms, vec![]);
    json!({
        "vault": code.vault.to_string(), "seed": hex(SEED), "expires_ms": code.expires_ms,
        "tickets": code.tickets.iter().map(hex).collect::<Vec<_>>(), "text": *code.to_text(),
        "linking_key": code.device().public().sig.to_string(), "linking_key_seed": hex(*code.device_seed()),
        "root_entropy": hex(ENTROPY), "sealed_root": hex(&sealed),
        "refuse": refused(&code),
        "refuse_sealed_root": [
            { "why": "a changed byte", "sealed_root": hex(&forged), "text": *code.to_text() },
            { "why": "cut short", "sealed_root": hex(&sealed[..sealed.len() - 1]), "text": *code.to_text() },
            { "why": "another code", "sealed_root": hex(&sealed), "text": *other.to_text() },
        ],
    })
}

#[test]
fn codes_are_what_they_were_open_what_they_opened_and_other_texts_are_refused() {
    let file = check("link", made());
    assert_eq!(string(&file["text"]).parse(), Ok(code()));
    let opened = code().open_root(&unhex(&file["sealed_root"])).unwrap();
    assert_eq!(*opened.words().entropy(), ENTROPY);
    for case in list(&file["refuse"]) {
        assert!(string(&case["text"]).parse::<LinkCode>().is_err(), "{}", string(&case["why"]));
    }
    for case in list(&file["refuse_sealed_root"]) {
        let code: LinkCode = string(&case["text"]).parse().unwrap();
        assert!(code.open_root(&unhex(&case["sealed_root"])).is_err(), "{}", string(&case["why"]));
    }
}
