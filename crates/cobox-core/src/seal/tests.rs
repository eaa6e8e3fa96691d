//! Sealing and opening blocks: what must come out, and every way in which it must not.

use super::*;
use crate::keys::{EpochSecret, Profile, ShapeKey};
use cobox_proto::id::FolderId;
use cobox_proto::members::{EpochParams, Padding};
use proptest::prelude::*;

const KINDS: [BlockKind; 7] = [
    BlockKind::Chunk,
    BlockKind::Node,
    BlockKind::Root,
    BlockKind::Manifest,
    BlockKind::Delta,
    BlockKind::Ctx,
    BlockKind::Bundle,
];

fn folder(id: u8, padding: Padding) -> (FolderKeys, EpochTag) {
    let mut keys = FolderKeys::new(FolderId([id; 32]), ShapeKey::from_bytes([2; 32]), Profile::Cdc);
    let params = EpochParams { padding, ..FolderKeys::params_for(Profile::Cdc, false) };
    let epoch = keys.insert_epoch(EpochSecret::from_bytes([3; 32]), params).unwrap();
    (keys, epoch)
}

/// Seals like [`seal`] but with everything under the caller's hand: what a member who means harm can make.
fn crafted(
    keys: &FolderKeys,
    epoch: &EpochTag,
    links: &[Cid],
    plain: &[u8],
    salt: impl Fn(&EpochKeys, &[u8]) -> [u8; 32],
) -> Vec<u8> {
    let header = BlockHeader { epoch: *epoch, links: links.to_vec() }.to_bytes();
    let ad = keys.associated("block", &header);
    let epoch = keys.usable(epoch).unwrap();
    let salt = salt(epoch, &ad);
    let mut ct = plain.to_vec();
    aead(epoch, &salt).seal_in_place_append_tag(zero_nonce(), Aad::from(&ad), &mut ct).unwrap();
    [header, salt.to_vec(), ct].concat()
}

/// The plaintext of a block of `total` bytes without links.
fn framed(codec: u8, kind: u8, len: u32, payload: &[u8], total: usize) -> Vec<u8> {
    let mut plain = vec![codec, kind];
    plain.extend_from_slice(&len.to_le_bytes());
    plain.extend_from_slice(payload);
    plain.resize(total - BlockHeader::encoded_len(0) - SALT_BYTES - TAG_BYTES, 0);
    plain
}

fn honest_salt(keys: &FolderKeys, kind: u8, payload: &[u8], total: usize) -> impl Fn(&EpochKeys, &[u8]) -> [u8; 32] {
    let digest = keys.shape().digest(payload);
    let len = payload.len();
    move |epoch, ad| *Frame { kind, total, digest }.salt(epoch, ad, len).as_bytes()
}

/// Opens a block, and sees that one that is opened where it lies holds the same, or is refused, too.
fn opened(keys: &FolderKeys, block: &[u8]) -> Result<OpenBlock, SealError> {
    let found = keys.open_block(block);
    let mut place = block.to_vec();
    let in_place = keys.open_chunk_in_place(&mut place).map(|(plain, digest)| (place[plain].to_vec(), digest));
    match &found {
        Ok(block) if block.kind == BlockKind::Chunk => {
            assert_eq!(in_place, Ok((block.payload.clone(), block.digest)));
        }
        _ => assert!(in_place.is_err(), "{in_place:?}"),
    }
    found
}

#[test]
fn sealing_is_deterministic_and_says_nothing_but_a_class_size() {
    let (keys, epoch) = folder(1, Padding::Padme);
    let seal = |payload: &[u8]| keys.seal_block(&epoch, BlockKind::Chunk, &[], payload).unwrap();
    assert_eq!(seal(b"hello"), seal(b"hello"));
    assert_ne!(seal(b"hello").cid, seal(b"hellp").cid);
    assert_eq!(seal(b"hello").bytes.len(), 1024);
    assert_eq!(seal(b"hello").cid, Cid::of(&seal(b"hello").bytes));
    let (other, _) = folder(9, Padding::Padme);
    assert_ne!(seal(b"hello").cid, other.seal_block(&epoch, BlockKind::Chunk, &[], b"hello").unwrap().cid);
}

#[test]
fn s1_no_flipped_bit_and_no_cut_of_a_block_opens() {
    let (keys, epoch) = folder(1, Padding::Padme);
    let links = [Cid([1; 32]), Cid([2; 32])];
    let block = keys.seal_block(&epoch, BlockKind::Node, &links, b"a node").unwrap().bytes;
    assert!(opened(&keys, &block).is_ok());
    for bit in 0..block.len() * 8 {
        let mut changed = block.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(opened(&keys, &changed).is_err(), "bit {bit}");
    }
    for cut in 0..block.len() {
        assert!(opened(&keys, &block[..cut]).is_err(), "cut at {cut}");
    }
    assert!(opened(&keys, &[&block[..], b"\0"].concat()).is_err());
}

#[test]
fn s2_a_block_opens_in_its_own_folder_and_with_its_own_links_only() {
    let (keys, epoch) = folder(1, Padding::Padme);
    let (other, _) = folder(2, Padding::Padme);
    let block = keys.seal_block(&epoch, BlockKind::Node, &[Cid([1; 32])], b"a node").unwrap().bytes;
    assert_eq!(opened(&other, &block), Err(SealError::Forged));
    let at = BlockHeader::encoded_len(1);
    let relinked = [BlockHeader { epoch, links: vec![Cid([2; 32])] }.to_bytes(), block[at..].to_vec()].concat();
    assert_eq!(opened(&keys, &relinked), Err(SealError::Forged));
    let unlinked = [BlockHeader { epoch, links: vec![] }.to_bytes(), block[at..].to_vec()].concat();
    assert!(opened(&keys, &unlinked).is_err());
    let unknown = BlockHeader { epoch: EpochTag([7; 16]), links: vec![Cid([1; 32])] }.to_bytes();
    let moved = [unknown, block[at..].to_vec()].concat();
    assert_eq!(opened(&keys, &moved), Err(SealError::UnknownEpoch { epoch: EpochTag([7; 16]) }));
}

#[test]
fn x10_a_block_that_does_not_commit_to_its_content_never_opens() {
    let (keys, epoch) = folder(1, Padding::Padme);
    let plain = framed(CODEC_RAW, 1, 5, b"hello", 1024);
    let honest = crafted(&keys, &epoch, &[], &plain, honest_salt(&keys, 1, b"hello", 1024));
    assert_eq!(opened(&keys, &honest).unwrap().payload, b"hello");
    assert_eq!(honest, keys.seal_block(&epoch, BlockKind::Chunk, &[], b"hello").unwrap().bytes);

    // Any salt of the author's choosing decrypts, but is not the one that this content has.
    let chosen = crafted(&keys, &epoch, &[], &plain, |_, _| [5; 32]);
    assert_eq!(opened(&keys, &chosen), Err(SealError::Uncommitted));
    for (kind, payload, total) in [(2, b"hello", 1024), (1, b"hellp", 1024), (1, b"hello", 1088)] {
        let other = crafted(&keys, &epoch, &[], &plain, honest_salt(&keys, kind, payload, total));
        assert_eq!(opened(&keys, &other), Err(SealError::Uncommitted), "{kind} {total}");
    }

    // Two members with different shape keys but the same epoch secret do not see two contents either.
    let mut carol = FolderKeys::new(FolderId([1; 32]), ShapeKey::from_bytes([8; 32]), Profile::Cdc);
    carol.insert_epoch(EpochSecret::from_bytes([3; 32]), FolderKeys::params_for(Profile::Cdc, false)).unwrap();
    assert_eq!(opened(&carol, &honest), Err(SealError::Uncommitted));
}

#[test]
fn a_member_can_not_make_a_second_form_of_a_block() {
    let (keys, epoch) = folder(1, Padding::Padme);
    let make = |plain: Vec<u8>, kind: u8, payload: &[u8], total: usize| {
        crafted(&keys, &epoch, &[], &plain, honest_salt(&keys, kind, payload, total))
    };
    let malformed = |block: Vec<u8>, what: &str| match opened(&keys, &block) {
        Err(SealError::Malformed(error)) => assert!(error.to_string().contains(what), "{error}"),
        other => panic!("{what}: {other:?}"),
    };
    let mut dirty = framed(CODEC_RAW, 1, 5, b"hello", 1024);
    *dirty.last_mut().unwrap() = 1;
    malformed(make(dirty, 1, b"hello", 1024), "padding");
    malformed(make(framed(CODEC_RAW, 1, 5, b"hello", 1088), 1, b"hello", 1088), "block size");
    malformed(make(framed(CODEC_RAW, 1, 5, b"hello", 512), 1, b"hello", 512), "block size");
    malformed(make(framed(1, 1, 5, b"hello", 1024), 1, b"hello", 1024), "codec");
    malformed(make(framed(CODEC_RAW, 0, 5, b"hello", 1024), 0, b"hello", 1024), "block kind");
    malformed(make(framed(CODEC_RAW, 8, 5, b"hello", 1024), 8, b"hello", 1024), "block kind");
    malformed(make(framed(CODEC_RAW, 1, 5000, b"hello", 1024), 1, b"hello", 1024), "content");
    malformed(make(framed(CODEC_RAW, 1, u32::MAX, b"hello", 1024), 1, b"hello", 1024), "content");

    let plain = framed(CODEC_RAW, 1, 5, b"hello", 1024 - 32);
    let linked = crafted(&keys, &epoch, &[Cid([1; 32])], &plain, honest_salt(&keys, 1, b"hello", 1024));
    assert_eq!(opened(&keys, &linked), Err(SealError::Links));
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_sealed() {
    let (keys, epoch) = folder(1, Padding::Padme);
    let seal = |kind, links: &[Cid], len| keys.seal_block(&epoch, kind, links, &vec![0; len]);
    let (a, b) = (Cid([1; 32]), Cid([2; 32]));
    assert_eq!(seal(BlockKind::Node, &[b, a], 1), Err(SealError::Links));
    assert_eq!(seal(BlockKind::Node, &[a, a], 1), Err(SealError::Links));
    assert_eq!(seal(BlockKind::Chunk, &[a], 1), Err(SealError::Links));
    assert!(seal(BlockKind::Chunk, &[], BLOCK_PAYLOAD_BYTES_MAX).is_ok());
    let found = BLOCK_PAYLOAD_BYTES_MAX + 1;
    assert_eq!(seal(BlockKind::Chunk, &[], found), Err(SealError::TooLarge { what: "content", found }));
    let (uniform, epoch) = folder(1, Padding::Uniform);
    let chunk = |len: usize| uniform.seal_block(&epoch, BlockKind::Chunk, &[], &vec![0; len]);
    assert_eq!(chunk(1).unwrap().bytes.len(), chunk(crate::chunk::UNIFORM_CHUNK_BYTES).unwrap().bytes.len());
    assert!(matches!(chunk(crate::chunk::UNIFORM_CHUNK_BYTES + 300), Err(SealError::TooLarge { .. })));
}

#[test]
fn a_known_digest_saves_a_hash_and_changes_nothing() {
    let (keys, epoch) = folder(1, Padding::Step4);
    let digest = keys.shape().digest(b"chunk");
    let sealed = keys.seal_digested(&epoch, BlockKind::Chunk, &[], b"chunk", digest).unwrap();
    assert_eq!(sealed, keys.seal_block(&epoch, BlockKind::Chunk, &[], b"chunk").unwrap());
    assert_eq!(opened(&keys, &sealed.bytes).unwrap().digest, digest);
    let wrong = keys.seal_digested(&epoch, BlockKind::Chunk, &[], b"chunk", [0; 32]).unwrap();
    assert_eq!(opened(&keys, &wrong.bytes), Err(SealError::Uncommitted));
}

#[test]
fn notes_open_for_their_object_only_and_hide_their_length_a_little() {
    let (keys, epoch) = folder(1, Padding::Padme);
    let note = keys.seal_note(&epoch, "head", b"fields", b"Bob").unwrap();
    assert_eq!(note.len(), 64);
    assert_eq!(keys.seal_note(&epoch, "head", b"fields", &[0; 11]).unwrap().len(), 128);
    assert_eq!(keys.open_note(&epoch, "head", b"fields", &note).unwrap(), b"Bob");
    assert_eq!(keys.open_note(&epoch, "op", b"fields", &note), Err(SealError::Forged));
    assert_eq!(keys.open_note(&epoch, "head", b"other", &note), Err(SealError::Forged));
    for bit in 0..note.len() * 8 {
        let mut changed = note.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(keys.open_note(&epoch, "head", b"fields", &changed), Err(SealError::Forged), "bit {bit}");
    }
    for cut in 0..note.len() {
        assert!(keys.open_note(&epoch, "head", b"fields", &note[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_member_can_not_make_a_second_form_of_a_note() {
    let (keys, tag) = folder(1, Padding::Padme);
    let epoch = keys.usable(&tag).unwrap();
    let ad = keys.associated("head", b"fields");
    let make = |kind, total| {
        let frame = Frame { kind, total, digest: keys.shape().digest(b"Bob") };
        keys.open_note(&tag, "head", b"fields", &seal(epoch, &ad, frame, Vec::new(), b"Bob"))
    };
    assert_eq!(make(KIND_NOTE, 64), Ok(b"Bob".to_vec()));
    let size = DecodeError::NotCanonical { what: "note size" };
    assert_eq!(make(KIND_NOTE, 128), Err(SealError::Malformed(size.clone())));
    assert_eq!(make(KIND_NOTE, 57), Err(SealError::Malformed(size)));
    let kind = DecodeError::BadValue { what: "note kind", found: 1 };
    assert_eq!(make(1, 64), Err(SealError::Malformed(kind)));
    let found = NOTE_BYTES_MAX;
    assert_eq!(keys.seal_note(&tag, "head", b"", &vec![0; found]), Err(SealError::TooLarge { what: "note", found }));
}

#[test]
fn a_chunk_is_announced_with_the_length_that_its_block_has() {
    for padding in [Padding::Padme, Padding::Step4, Padding::Uniform] {
        let (keys, epoch) = folder(1, padding);
        for len in [0, 1, 900, 5000, 100_000, 256 << 10] {
            let sealed = keys.seal_block(&epoch, BlockKind::Chunk, &[], &vec![7; len]).unwrap();
            let chunk = Ref { cid: sealed.cid, len: len as u32, epoch };
            assert_eq!(chunk_block_bytes(&keys, &chunk), sealed.bytes.len() as u64, "{padding:?}, {len}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_sealed_opens_to_itself(
        payload in proptest::collection::vec(any::<u8>(), 0..20_000),
        kind in 0_usize..7,
        links in proptest::collection::btree_set(any::<[u8; 32]>(), 0..5),
        padding in 0_usize..3,
    ) {
        let (keys, epoch) = folder(1, [Padding::Padme, Padding::Step4, Padding::Uniform][padding]);
        let kind = KINDS[kind];
        let links: Vec<Cid> =
            if kind == BlockKind::Chunk { vec![] } else { links.into_iter().map(Cid).collect() };
        let sealed = keys.seal_block(&epoch, kind, &links, &payload).unwrap();
        let open = opened(&keys, &sealed.bytes).unwrap();
        prop_assert_eq!((open.kind, open.epoch, open.links), (kind, epoch, links));
        prop_assert_eq!(open.digest, keys.shape().digest(&payload));
        prop_assert!(open.payload == payload);
    }
}
