//! `note.json`: what heads say under seal, and how a device says where it is; bytes that are no such notes.

use cobox_core::editing::{EditedFile, EditingNote};
use cobox_core::engine::{HeadNote, VaultMark};
use cobox_core::keys::{EpochSecret, FolderKeys, Profile, ShapeKey};
use cobox_core::path::FolderPath;
use cobox_proto::codec::Canonical;
use cobox_proto::hosting::{Address, Ticket};
use cobox_proto::id::{EndpointId, FolderId, HeadId, SigKey};
use cobox_proto::wire::Party;
use serde_json::{Value, json};

use crate::vector_file::{check, hex, list, text, unhex};

const FOLDER: [u8; 32] = [0x11; 32];
const DEVICE: SigKey = SigKey([0x44; 32]);

fn ticket(party: Party, endpoint: u8) -> Ticket {
    let address = std::net::SocketAddr::from(([192, 0, 2, endpoint], 4433));
    Ticket { party, endpoint: EndpointId([endpoint; 32]), addresses: vec![Address::from(address)] }
}

fn made() -> Value {
    let mark = VaultMark { seq: 300, head: HeadId([7; 32]) };
    let long = HeadNote { counter: 5, vault: Some(mark) }.to_bytes();
    let short = HeadNote { counter: 128, vault: None }.to_bytes();
    let refused = [
        ("unknown version", vec![2, 5, 0]),
        ("cut", long[..long.len() - 1].to_vec()),
        ("a byte too many", [&short[..], &[0]].concat()),
        ("counter in a long form", vec![1, 0x85, 0, 0]),
        ("a vault that is neither there nor not", vec![1, 5, 2]),
    ];
    let refused: Vec<Value> =
        refused.into_iter().map(|(name, bytes)| json!({ "name": name, "bytes": hex(bytes) })).collect();

    let mut keys = FolderKeys::new(FolderId(FOLDER), ShapeKey::from_bytes([0x22; 32]), Profile::Cdc);
    let params = FolderKeys::params_for(Profile::Cdc, false);
    let epoch = keys.insert_epoch(EpochSecret::from_bytes([0x33; 32]), params).unwrap();
    let plain = [ticket(Party::Member, 1).to_bytes(), ticket(Party::Seeder, 2).to_bytes()].concat();
    let note = keys.seal_note(&epoch, "addresses", &DEVICE.0, &plain).unwrap();
    assert_eq!(keys.open_note(&epoch, "addresses", &DEVICE.0, &note).unwrap(), plain);
    assert!(keys.open_note(&epoch, "addresses", &[0x45; 32], &note).is_err(), "another device's");
    let open = |path: &str, open_s| EditedFile { path: FolderPath::parse(path).unwrap(), open_s };
    let editing = EditingNote::of([open("letters/to Ana.odt", 300), open("minutes.docx", 0)]).to_bytes();
    let sealed_editing = keys.seal_note(&epoch, "editing", &DEVICE.0, &editing).unwrap();
    let refused_editing = [
        ("unknown version", vec![2, 0]),
        ("cut", editing[..editing.len() - 1].to_vec()),
        ("a byte too many", [&editing[..], &[0]].concat()),
        ("out of order", b"\x01\x02\x01b\x00\x01a\x00".to_vec()),
        ("twice", b"\x01\x02\x01a\x00\x01a\x00".to_vec()),
        ("the folder itself", b"\x01\x01\x00\x00".to_vec()),
        ("out of the folder", b"\x01\x01\x04../x\x00".to_vec()),
        ("more than a year", b"\x01\x01\x01a\xff\xff\xff\xff\x0f".to_vec()),
        ("too many", b"\x01\x21".to_vec()),
    ];
    let refused_editing: Vec<Value> =
        refused_editing.into_iter().map(|(name, bytes)| json!({ "name": name, "bytes": hex(bytes) })).collect();
    json!({
        "editing": {
            "plain": hex(&editing), "sealed": hex([&epoch.0[..], &sealed_editing].concat()), "refused": refused_editing,
        },
        "head": { "with a vault": hex(long), "without": hex(short), "refused": refused },
        "addresses": {
            "folder": hex(FOLDER), "shape_key": hex([0x22; 32]), "epoch_secret": hex([0x33; 32]), "device": DEVICE.to_string(),
            "plain": hex(plain), "sealed": hex([&epoch.0[..], &note].concat()),
        },
    })
}

#[test]
fn notes_are_as_written_down_and_others_are_refused() {
    let file = check("note", made());
    for name in ["with a vault", "without"] {
        let bytes = unhex(&file["head"][name]);
        assert_eq!(HeadNote::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    }
    for case in list(&file["head"]["refused"]) {
        assert!(HeadNote::from_bytes(&unhex(&case["bytes"])).is_err(), "{}", text(&case["name"]));
    }
    let open = unhex(&file["editing"]["plain"]);
    assert_eq!(EditingNote::from_bytes(&open).unwrap().to_bytes(), open);
    for case in list(&file["editing"]["refused"]) {
        assert!(EditingNote::from_bytes(&unhex(&case["bytes"])).is_err(), "{}", text(&case["name"]));
    }
}
