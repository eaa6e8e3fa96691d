//! `spec/vectors/wire.json`: a frame of every kind, proofs of a known session, and frames that must be refused with the reason.

use cobox_proto::codec::{Canonical, DecodeError};
use cobox_proto::id::{ActorId, Cid, EndpointId, FolderId, Hash, HeadId, OfferId, OpId};
use cobox_proto::members::{Envelope, EnvelopeList};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::{KeyKind, KeyProof, Proof, Session, Side, Who};
use cobox_proto::wire::{
    AddressNote, ChainWanted, Channel, ClaimRefusal, FoundFolder, Frame, GoodbyeReason, Guess, Half, Hello, LogEntry,
    LogPart, Message, Nameplate, OpEnvelopes, Party, Removal, Tip, Told,
};
use data_encoding::HEXLOWER;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::vector_file::compare;

const FOLDER: FolderId = FolderId([0x0f; 32]);

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn session() -> Session {
    Session { exporter: [0x0e; 32], dialer: EndpointId([0x0d; 32]), acceptor: EndpointId([0x0a; 32]) }
}

fn messages() -> Vec<(&'static str, Message)> {
    let (cids, op, head) = (vec![Cid([1; 32]), Cid([2; 32])], OpId([3; 32]), HeadId([4; 32]));
    let envelopes = vec![Envelope { recipient: Hash([5; 32]), bytes: vec![6; 3] }];
    let list = EnvelopeList::of(&envelopes);
    let part = LogPart { genesis: vec![7; 4], ops: vec![vec![8; 2], vec![9]], last: true };
    vec![
        ("genesis_wanted", Message::GenesisWanted),
        ("genesis", Message::Genesis { bytes: vec![1, 2] }),
        ("log_summary", Message::LogSummary { ops: 300, digest: Hash([1; 32]) }),
        ("log_have", Message::LogHave { entries: vec![LogEntry { op, envelopes: 200 }], last: true }),
        ("ops", Message::Ops { ops: vec![vec![1, 2, 3], vec![]] }),
        ("ops_wanted", Message::OpsWanted { ops: vec![op] }),
        ("envelopes", Message::Envelopes(OpEnvelopes { op, list, envelopes })),
        ("heads_have", Message::HeadsHave { tips: vec![Tip { actor: ActorId([2; 16]), seq: 129, head }], last: false }),
        ("heads_wanted", Message::HeadsWanted { chains: vec![ChainWanted { head, above_seq: u64::MAX }] }),
        ("heads", Message::Heads { heads: vec![vec![1; 5]] }),
        ("want", Message::Want { cids: cids.clone() }),
        ("unwant", Message::Unwant { cids: cids.clone() }),
        ("gone", Message::Gone { cids }),
        ("receipt", Message::Receipt { bytes: vec![1; 9] }),
        ("stale", Message::Stale { head, ops: vec![op] }),
        ("addresses", Message::Addresses(AddressNote::sign(&key(1), &FOLDER, 77, vec![1, 2, 3]))),
        ("claim", Message::Claim(part.clone())),
        ("claimed", Message::Claimed),
        ("claim_refused", Message::ClaimRefused(ClaimRefusal::Expired)),
        ("attach_vault", Message::AttachVault(part)),
        ("vault_attached", Message::VaultAttached),
        ("vault_refused", Message::VaultRefused(ClaimRefusal::VaultRefused)),
        ("progress", Message::Progress { root: Cid([3; 32]), missing_files: 300 }),
        ("delta", Message::Delta { bytes: vec![4; 6] }),
        ("editing", Message::Editing { sealed: vec![5; 7] }),
    ]
}

fn frames() -> Vec<(&'static str, Frame)> {
    let (channel, session) = (Channel(300), session());
    let blinded = session.blind(&FOLDER);
    let proof = session.prove(Side::Dialer, &FOLDER, KeyKind::Device, &key(1));
    let claim = Proof::Claim { offer: OfferId([1; 16]), folder: FOLDER, mac: session.claim_mac(&[2; 16], &FOLDER) };
    let member = session.prove(Side::Dialer, &FolderId::ZERO, KeyKind::Member, &key(3));
    let found = FoundFolder { key: key(3).public(), folder: FOLDER, vault: true };
    let mut frames = vec![
        ("hello", Frame::Hello(Hello { version_min: 1, version_max: 2, party: Party::Seeder })),
        ("open_device", Frame::Open { channel, blinded, proof: Proof::Key(proof) }),
        ("open_claim", Frame::Open { channel, blinded, proof: claim }),
        ("opened", Frame::Opened { channel, proof: session.prove(Side::Acceptor, &FOLDER, KeyKind::Seeder, &key(2)) }),
        ("refused", Frame::Refused { channel }),
        ("close", Frame::Close { channel }),
        ("find", Frame::Find { proofs: vec![member] }),
        ("found", Frame::Found { folders: vec![found] }),
        ("goodbye", Frame::Goodbye { reason: GoodbyeReason::Busy }),
        ("introduce", Frame::Introduce { blinded, ops: vec![vec![1; 3], vec![2; 5]] }),
        ("removed", Frame::Removed { channel, told: removal(), last: true }),
    ];
    frames.extend(meeting());
    frames.extend(messages().into_iter().map(|(name, message)| (name, Frame::On { channel: Channel(0), message })));
    frames
}

/// What a device that was sent away is told.
fn removal() -> Removal {
    let envelopes = vec![Envelope { recipient: Hash([5; 32]), bytes: vec![6; 3] }];
    let sent = OpEnvelopes { op: OpId([7; 32]), list: EnvelopeList::of(&envelopes), envelopes };
    Removal { ops: vec![vec![3; 4], vec![4; 2]], envelopes: vec![sent] }
}

/// The frames by which people meet.
fn meeting() -> Vec<(&'static str, Frame)> {
    let (nameplate, machine) = (Nameplate::new(999).unwrap(), EndpointId([0x0d; 32]));
    let (half, guess) = (Half([1; 32]), Guess { half: Half([2; 32]), confirmation: Hash([3; 32]) });
    vec![
        ("lay", Frame::Lay { nameplate, half, for_s: 600 }),
        ("laid", Frame::Laid { nameplate, yes: true }),
        ("lift", Frame::Lift { nameplate }),
        ("ask", Frame::Ask { nameplate: Nameplate::new(1).unwrap() }),
        ("told", Frame::Told { nameplate, told: Told { inviter: machine, half } }),
        ("guess", Frame::Guess { nameplate, guess }),
        ("knock", Frame::Knock { nameplate, joiner: machine, guess }),
        ("give", Frame::Give { nameplate, sealed: vec![4; 3] }),
        ("given", Frame::Given { nameplate, sealed: vec![] }),
    ]
}

fn refusals() -> Vec<(&'static str, Vec<u8>, DecodeError)> {
    let bad = |what, found| DecodeError::BadValue { what, found };
    let large = |what, found, limit| DecodeError::TooLarge { what, found, limit };
    let hello = |min: u8, max: u8, party: u8| vec![1, min, 0, max, 0, party];
    let mut long_channel = Frame::Close { channel: Channel(1) }.to_bytes();
    long_channel.splice(1.., [0x81, 0x00]);
    let mut trailing = Frame::Close { channel: Channel(1) }.to_bytes();
    trailing.push(0);
    let want = [8, 0, 9, 0x81, 0x08].to_vec();
    let mut unsorted = vec![8, 0, 5];
    unsorted.extend([0; 32]);
    unsorted.push(2);
    unsorted.extend([[2; 64], [1; 64]].concat());
    unsorted.push(0);
    vec![
        ("empty", vec![], DecodeError::Truncated { what: "fixed field" }),
        ("unknown frame", vec![0], bad("frame kind", 0)),
        ("unknown message", vec![8, 0, 99], bad("message kind", 99)),
        ("unknown party", hello(1, 1, 3), bad("party", 3)),
        ("versions upside down", hello(2, 1, 1), bad("version range", 2)),
        ("channel in a long form", long_channel, DecodeError::NotCanonical { what: "varint" }),
        ("channel over 32 bits", vec![5, 0x80, 0x80, 0x80, 0x80, 0x10], large("channel", 1 << 32, u32::MAX.into())),
        ("trailing byte", trailing, DecodeError::Trailing { left: 1 }),
        ("too many wants", want, large("blocks wanted", 1025, 1024)),
        ("too many member proofs", vec![6, 65], large("member proofs", 65, 64)),
        ("too much that is open", vec![8, 0, 25, 0x81, 0x80, 0x01], large("open files", 16_385, 16_384)),
        ("a bool of 2", [vec![8, 0, 2, 0], vec![2]].concat(), bad("last", 2)),
        ("nameplate 0", vec![15, 0, 0], bad("nameplate", 0)),
        ("a nameplate of four digits", vec![15, 0xe8, 0x03], bad("nameplate", 1000)),
        ("a sealed invite that is too long", vec![20, 1, 0, 0x81, 0x20], large("sealed invite", 4097, 4096)),
        ("an envelope list out of order", unsorted, DecodeError::NotCanonical { what: "envelope list" }),
    ]
}

#[test]
fn frames_are_as_written_down_and_refusals_too() {
    let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
    let mut made = serde_json::Map::new();
    for (name, frame) in frames() {
        let bytes = frame.to_bytes();
        assert_eq!(Frame::from_bytes(&bytes), Ok(frame), "{name}");
        made.insert(name.to_owned(), json!(hex(&bytes)));
    }
    let mut refused = serde_json::Map::new();
    for (name, bytes, error) in refusals() {
        assert_eq!(Frame::from_bytes(&bytes), Err(error.clone()), "{name}");
        refused.insert(name.to_owned(), json!({ "bytes": hex(&bytes), "error": error.to_string() }));
    }
    let s = session();
    let proof = s.prove(Side::Dialer, &FOLDER, KeyKind::Device, &key(1));
    let session: Value = json!({
        "exporter": hex(&s.exporter),
        "dialer": s.dialer.to_string(),
        "acceptor": s.acceptor.to_string(),
        "folder": FOLDER.to_string(),
        "blinded": s.blind(&FOLDER).to_string(),
        "device_seed": hex(&[1; 32]),
        "device_proof_by_dialer": hex(&proof.to_bytes()),
        "offer_secret": hex(&[2; 16]),
        "claim_mac": s.claim_mac(&[2; 16], &FOLDER).to_string(),
    });
    // Proofs of the same key that say something else than the one of the session.
    let other = Session { exporter: [0x1e; 32], ..s.clone() };
    let elsewhere = Session { acceptor: EndpointId([0x1a; 32]), ..s.clone() };
    let forged = {
        let mut forged = proof;
        forged.signature.0[63] ^= 1;
        forged
    };
    let wrong_proofs = [
        ("of another session", other.prove(Side::Dialer, &FOLDER, KeyKind::Device, &key(1))),
        ("for another end", elsewhere.prove(Side::Dialer, &FOLDER, KeyKind::Device, &key(1))),
        ("by the other side", s.prove(Side::Acceptor, &FOLDER, KeyKind::Device, &key(1))),
        ("for another folder", s.prove(Side::Dialer, &FolderId([1; 32]), KeyKind::Device, &key(1))),
        ("as another kind of key", KeyProof { who: Who { kind: KeyKind::Member, ..proof.who }, ..proof }),
        ("with a changed signature", forged),
    ];
    assert!(s.verify(Side::Dialer, &FOLDER, &proof));
    let mut refused_proofs = serde_json::Map::new();
    for (name, wrong) in wrong_proofs {
        assert!(!s.verify(Side::Dialer, &FOLDER, &wrong), "{name}");
        refused_proofs.insert(name.to_owned(), json!(hex(&wrong.to_bytes())));
    }
    let note = AddressNote::sign(&key(1), &FOLDER, 77, vec![1, 2, 3]);
    let wrong_notes = [
        ("for another folder", AddressNote::sign(&key(1), &FolderId([1; 32]), 77, vec![1, 2, 3])),
        ("with a later stamp", AddressNote { stamp_ms: 78, ..note.clone() }),
        ("of another device", AddressNote { device: key(2).public(), ..note.clone() }),
    ];
    assert!(note.verifies(&FOLDER));
    let mut refused_notes = serde_json::Map::new();
    for (name, wrong) in wrong_notes {
        assert!(!wrong.verifies(&FOLDER), "{name}");
        refused_notes.insert(name.to_owned(), json!(hex(&wrong.to_bytes())));
    }
    let wrong = json!({ "proofs_by_dialer": refused_proofs, "address_notes": refused_notes });
    compare("wire.json", &json!({ "not_verified": wrong, "session": session, "frames": made, "refused": refused }));
}

#[test]
fn i1_every_cut_of_every_frame_is_refused_and_every_flipped_bit_is_refused_or_says_something_else() {
    for (name, frame) in frames() {
        let bytes = frame.to_bytes();
        for cut in 0..bytes.len() {
            assert!(Frame::from_bytes(&bytes[..cut]).is_err(), "{name} cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Frame::from_bytes(&flipped) {
                assert_ne!(other, frame, "{name} bit {bit}");
                assert_eq!(other.to_bytes(), flipped, "{name} bit {bit}");
            }
        }
    }
}

proptest! {
    #[test]
    fn i2_whatever_decodes_encodes_to_the_same_bytes(kind in 0u8..21, sub in 0u8..24, rest: Vec<u8>) {
        let bytes = [vec![kind, 0, sub], rest].concat();
        if let Ok(frame) = Frame::from_bytes(&bytes) {
            prop_assert_eq!(frame.to_bytes(), bytes);
        }
    }
}

#[test]
fn every_kind_of_frame_and_message_has_a_vector() {
    let kinds: std::collections::BTreeSet<u8> = frames().iter().map(|(_, frame)| frame.to_bytes()[0]).collect();
    let messages: std::collections::BTreeSet<u8> =
        messages().into_iter().map(|(_, message)| Frame::On { channel: Channel(0), message }.to_bytes()[2]).collect();
    // A kind is known if what follows it is missed, not the kind refused.
    let known = |bytes: &[u8], what: &str| !matches!(Frame::from_bytes(bytes), Err(DecodeError::BadValue { what: refused, .. }) if refused == what);
    let all = |known: &dyn Fn(u8) -> bool| (0..=u8::MAX).filter(|kind| known(*kind)).collect();
    assert_eq!(kinds, all(&|kind| known(&[kind], "frame kind")));
    assert_eq!(messages, all(&|kind| known(&[8, 0, kind], "message kind")));
}
