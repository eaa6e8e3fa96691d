//! The formats that travel or rest as bytes. What decodes must encode to the very bytes that were read. Where a signature stands
//! before what is behind it, a second reading signs the bytes first: whoever has a key can sign whatever it likes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cobox_core::editing::EditingNote;
use cobox_core::engine::HeadNote;
use cobox_core::keys::{DeviceSecret, EpochSecret, FolderKeys, Profile, RootSecret, ShapeKey};
use cobox_core::members::{Founded, Founding, FoundingRandom, found, open_epochs, open_label};
use cobox_core::seal::BlockKind;
use cobox_proto::block::BlockHeader;
use cobox_proto::codec::{Canonical, Reader};
use cobox_proto::head::SignedHead;
use cobox_proto::hosting::{Forgetting, SignedReceipt};
use cobox_proto::id::{Cid, EpochTag, FolderId};
use cobox_proto::members::{Envelope, EnvelopeList, FolderKind, Genesis, Log, Policy, Roster, SignedOp, resolve};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::{Frame, Message, OpEnvelopes};

use crate::feed::Feed;
use crate::stage::{genesis as founded_by_key_1, key};

/// A folder's keys, and the epoch they seal under.
static KEYS: LazyLock<(FolderKeys, EpochTag)> = LazyLock::new(|| {
    let mut keys = FolderKeys::new(FolderId([0x11; 32]), ShapeKey::from_bytes([0x22; 32]), Profile::Cdc);
    let params = FolderKeys::params_for(Profile::Cdc, false);
    let epoch = keys.insert_epoch(EpochSecret::from_bytes([0x33; 32]), params).expect("a fresh folder takes an epoch");
    (keys, epoch)
});

/// A folder whose first epoch is sealed to one device.
static SEALED: LazyLock<(Founded, Roster, DeviceSecret)> = LazyLock::new(|| {
    let (slot, device) = (RootSecret::from_entropy([1; 16]).slot(1), DeviceSecret::from_seed(&[2; 32]));
    let (kind, policy) = (FolderKind::Folder, Policy::default());
    let founding = Founding { kind, slot: &slot, device: &device, profile: Profile::Cdc, high_privacy: false, policy };
    let random = FoundingRandom { nonce: [3; 32], shape: [4; 32], epoch: [5; 64] };
    let founded = found(founding, &random).expect("a slot other than 0 founds a folder");
    let roster = resolve(&founded.log);
    (founded, roster, device)
});

fn same<T: Canonical>(bytes: &[u8]) {
    if let Ok(value) = T::from_bytes(bytes) {
        assert_eq!(value.to_bytes(), bytes, "one value, one encoding");
    }
}

/// The bytes with `key` where a device's or seeder's key stands, and its signature behind them.
fn signed(object: &str, bytes: &[u8], folder_at: usize, key_at: Option<usize>, key: &SecretKey) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    if let Some(at) = key_at {
        bytes.get_mut(at..at + 32)?.copy_from_slice(&key.public().0);
    }
    let folder = FolderId::from_slice(bytes.get(folder_at..folder_at + 32)?)?;
    let signature = key.sign(object, &folder, &bytes);
    bytes.extend_from_slice(&signature.0);
    Some(bytes)
}

/// A sealed block as a stranger and as a member reads it, and the same content sealed and opened again.
pub(crate) fn block(bytes: &[u8]) {
    if let Ok((header, at)) = BlockHeader::parse(bytes) {
        assert_eq!(header.to_bytes(), bytes[..at]);
    }
    let (keys, epoch) = &*KEYS;
    if let Ok(open) = keys.open_block(bytes) {
        let again = keys.seal_block(&open.epoch, open.kind, &open.links, &open.payload);
        assert_eq!(again.map(|block| block.bytes).as_deref(), Ok(bytes), "sealing is a function of the content");
    }
    let mut feed = Feed::new(bytes);
    let links: Vec<Cid> = (0..feed.u8() % 4).map(|n| Cid([n; 32])).collect();
    let kind = if links.is_empty() { BlockKind::Chunk } else { BlockKind::Node };
    let (flip, payload) = (usize::from(feed.u16()), feed.rest());
    let mut sealed = keys.seal_block(epoch, kind, &links, payload).expect("it is small enough").bytes;
    assert_eq!(keys.open_block(&sealed).map(|open| open.payload).as_deref(), Ok(payload));
    let at = flip % (sealed.len() * 8);
    sealed[at / 8] ^= 1 << (at % 8);
    assert!(keys.open_block(&sealed).is_err(), "a flipped bit shows");
}

/// A head, as it came and signed by its device.
pub(crate) fn head(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        if let Ok(head) = SignedHead::from_bytes(bytes) {
            let again = head.head().clone().sign(&key(1)).expect("it fitted before");
            assert_eq!(again.id(), head.id());
            assert_eq!(head.bytes(), bytes);
            let _ = HeadNote::open(&KEYS.0, &head);
            if head.head().device == key(1).public() {
                assert_eq!(again.bytes(), bytes, "one head, one encoding");
            }
        }
    };
    read(bytes);
    // version, suite, folder, device
    if let Some(bytes) = signed("head", bytes, 2, Some(34), &key(1)) {
        read(&bytes);
    }
}

/// A membership op, as it came and signed by its one signer.
pub(crate) fn op(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        if let Ok(op) = SignedOp::from_bytes(bytes) {
            let body = op.op().to_bytes();
            assert_eq!(body, bytes[..body.len()]);
            assert_eq!(body.len() + 64 * op.op().signers.len(), bytes.len());
            let _ = open_label(&KEYS.0, op.op());
            // In whatever order ops come, a log takes or refuses them.
            let mut log = Log::new(founded_by_key_1());
            let _ = log.add(op);
            resolve(&log);
        }
    };
    read(bytes);
    // version, suite, folder, kind, one signer: grant, key
    if let Some(bytes) = signed("op", bytes, 2, Some(68), &key(1)) {
        read(&bytes);
    }
}

/// A folder's beginning.
pub(crate) fn genesis(bytes: &[u8]) {
    if let Ok(genesis) = Genesis::from_bytes(bytes) {
        assert_eq!(genesis.to_bytes(), bytes);
        let log = Log::new(genesis);
        resolve(&log);
    }
}

/// All that is said on a connection.
pub(crate) fn frame(bytes: &[u8]) {
    same::<Frame>(bytes);
    same::<Message>(bytes);
    if let Ok(Message::Addresses(note)) = Message::from_bytes(bytes) {
        note.verifies(&FolderId([0x0f; 32]));
    }
}

/// A seeder's receipt, as it came and signed by it.
pub(crate) fn receipt(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        if let Ok(receipt) = SignedReceipt::from_bytes(bytes) {
            assert_eq!(receipt.bytes(), bytes);
            if receipt.receipt().seeder == key(1).public() {
                assert_eq!(receipt.receipt().clone().sign(&key(1)).bytes(), bytes, "one receipt, one encoding");
            }
        }
    };
    read(bytes);
    same::<Forgetting>(bytes);
    if let Some(bytes) = signed("receipt", bytes, 2, Some(34), &key(1)) {
        read(&bytes);
    }
}

/// Envelopes: their lists, and what a device does with those that are for it.
pub(crate) fn envelopes(bytes: &[u8]) {
    same::<Envelope>(bytes);
    same::<EnvelopeList>(bytes);
    same::<OpEnvelopes>(bytes);
    let (founded, roster, device) = &*SEALED;
    let true_ones = &founded.epoch.envelopes;
    let mut feed = Feed::new(bytes);
    let mut envelopes = Vec::new();
    while !feed.is_empty() && envelopes.len() < 3 {
        // What was really sealed, changed at one place; or anything.
        let Some(one) = feed.pick(true_ones) else { return };
        let mut bytes = if feed.flag() { feed.bytes().to_vec() } else { one.bytes.clone() };
        if let Some(byte) = bytes.get_mut(usize::from(feed.u16())) {
            *byte ^= feed.u8();
        }
        envelopes.push(Envelope { recipient: one.recipient, bytes });
    }
    let opened = open_epochs(&founded.log, roster, &envelopes, &[&device.hpke], None);
    let for_us = |envelope: &Envelope| envelope.recipient == device.hpke.public().id() && true_ones.contains(envelope);
    let has_keys = opened.keys.is_some_and(|keys| keys.epochs().count() > 0);
    assert_eq!(has_keys, envelopes.iter().any(for_us), "what was sealed opens, and nothing else");
}

/// Notes sealed to the members, and what stands in them.
pub(crate) fn note(bytes: &[u8]) {
    same::<HeadNote>(bytes);
    same::<EditingNote>(bytes);
    let (keys, epoch) = &*KEYS;
    for object in ["head", "op", "history", "addresses", "editing"] {
        if let Ok(plain) = keys.open_note(epoch, object, b"", bytes) {
            assert_eq!(keys.seal_note(epoch, object, b"", &plain).as_deref(), Ok(bytes));
        }
    }
    let mut feed = Feed::new(bytes);
    let (flip, plain) = (usize::from(feed.u16()), feed.rest());
    let mut sealed = keys.seal_note(epoch, "op", b"", plain).expect("it is small enough");
    assert_eq!(keys.open_note(epoch, "op", b"", &sealed).as_deref(), Ok(plain));
    let at = flip % (sealed.len() * 8);
    sealed[at / 8] ^= 1 << (at % 8);
    assert!(keys.open_note(epoch, "op", b"", &sealed).is_err(), "a flipped bit shows");
}

/// A folder's keys as they are kept.
pub(crate) fn stored_keys(bytes: &[u8]) {
    if let Ok(keys) = FolderKeys::from_storage(bytes) {
        assert_eq!(&**keys.to_storage(), bytes);
        let epochs: BTreeMap<_, _> = keys.epochs().collect();
        assert!(epochs.keys().all(|tag| keys.has_epoch(tag)));
    }
    let mut reader = Reader::new(bytes);
    while reader.left() > 0 {
        if let Ok(number) = reader.varint() {
            let mut w = cobox_proto::codec::Writer::new();
            w.varint(number);
            assert!(bytes[..reader.position()].ends_with(w.as_slice()), "one number, one encoding");
        }
    }
}
