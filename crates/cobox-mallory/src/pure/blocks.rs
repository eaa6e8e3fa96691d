//! S1, S2, X8, X10: what a seeder may do to sealed blocks, and what a member may seal into them.

use anyhow::{Result, ensure};
use cobox_core::content::{ManifestReader, inline_digest, is_what_was_said, open_chunk, open_digested, seal_small};
use cobox_core::keys::{EpochSecret, FolderKeys, Profile, ShapeKey};
use cobox_core::seal::{BlockKind, SealError};
use cobox_core::state::{Body, Content, Kind, Ref};
use cobox_core::tree::Fetch;
use cobox_proto::block::{BlockHeader, SALT_BYTES};
use cobox_proto::id::{Cid, EpochTag, Inode};

use super::forgery::{Forge, Inside, SMALL};
use super::mind::Mind;
use crate::home::{Home, cid};
use crate::{Against, Role, Script, Verdict, pure};

pub(crate) const SCRIPTS: &[Script] = &[
    seeder("s1", "a bit flips in a block's header", flipped_header),
    seeder("s1", "a bit flips in a block's salt, content or tag", flipped_content),
    seeder("s1", "a block is cut short", cut),
    seeder("s1", "something is added to a block", added),
    seeder("s1", "two blocks of one folder are swapped", swapped),
    seeder("s1", "two pieces of one file are swapped", swapped_pieces),
    seeder("s1", "a file loses its last piece", last_piece),
    seeder("s2", "a block of another folder is served", other_folder),
    seeder("s2", "a piece of one file is served for another's", other_file),
    seeder("s2", "a piece of a file is served as a node of the tree", piece_as_node),
    seeder("s2", "a block gets the links of another", other_links),
    seeder("s2", "a block is moved to another epoch", other_epoch),
    seeder("s2", "a head's sealed note is put into another head", note_of_other_head),
    member("x8", "a block says that it is compressed", Verdict::RefusedAtDecode, compressed),
    member("x8", "a block holds more than a block can", Verdict::RefusedAtDecode, too_much_inside),
    member("x10", "a block is sealed with a salt of mallory's choosing", Verdict::RefusedAtDecode, chosen_salt),
    member("x10", "a salt belongs to another content", Verdict::RefusedAtDecode, salt_of_other_content),
    member("x10", "bob and carol have different secrets for one epoch", Verdict::RefusedAtDecode, two_secrets),
    member("x10", "bob and carol have different shape keys", Verdict::RefusedAtDecode, two_shapes),
    member("x10", "a block has a second form with the same content", Verdict::RefusedAtDecode, second_form),
    member("x10", "the root of a state opens to two contents", Verdict::Named, root_of_two_contents),
    member("x10", "pieces are not the content that the record names", Verdict::RefusedAtDecode, other_pieces),
    member("x10", "a file's digest is that of another content", Verdict::Contained, digest_of_other),
];

const fn seeder(case: &'static str, name: &'static str, play: fn() -> Result<Verdict>) -> Script {
    pure(case, name, Role::Seeder, Against::Member, Verdict::RefusedAtDecode, play)
}

const fn member(case: &'static str, name: &'static str, verdict: Verdict, play: fn() -> Result<Verdict>) -> Script {
    pure(case, name, Role::Member, Against::Member, verdict, play)
}

/// An honest node with two links.
fn node(home: &Home) -> Result<Vec<u8>> {
    let mut links = [cid(1), cid(2)];
    links.sort();
    Ok(home.keys.seal_block(&home.epoch, BlockKind::Node, &links, b"a node")?.bytes)
}

/// None of these opens, and none has the name that the true block is asked for by.
fn none_opens(home: &Home, truth: &[u8], lies: impl IntoIterator<Item = Vec<u8>>) -> Result<Verdict> {
    let mut told = 0;
    for lie in lies {
        told += 1;
        ensure!(Cid::of(&lie) != Cid::of(truth), "no. {told} passes for the true one");
        ensure!(home.keys.open_block(&lie).is_err(), "no. {told} opens");
        let mut fetch = Fetch::new(Cid::of(truth), None);
        ensure!(fetch.supply(Cid::of(truth), &lie, &home.keys).is_err(), "no. {told} is taken");
    }
    ensure!(told > 0, "there are some");
    Ok(Verdict::RefusedAtDecode)
}

fn flips(truth: &[u8], bytes: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    let flip = |bit: usize| {
        let mut lie = truth.to_vec();
        lie[bit / 8] ^= 1 << (bit % 8);
        lie
    };
    (bytes.start * 8..bytes.end * 8).map(flip).collect()
}

fn flipped_header() -> Result<Verdict> {
    let home = Home::new()?;
    let truth = node(&home)?;
    none_opens(&home, &truth, flips(&truth, 0..BlockHeader::encoded_len(2)))
}

fn flipped_content() -> Result<Verdict> {
    let home = Home::new()?;
    let truth = node(&home)?;
    let at = BlockHeader::encoded_len(2);
    none_opens(&home, &truth, flips(&truth, at..truth.len()))
}

fn cut() -> Result<Verdict> {
    let home = Home::new()?;
    let truth = node(&home)?;
    none_opens(&home, &truth, (0..truth.len()).map(|len| truth[..len].to_vec()))
}

fn added() -> Result<Verdict> {
    let home = Home::new()?;
    let truth = node(&home)?;
    let tails: [&[u8]; 4] = [&[0], &[0; 16], &[1; 1024], &truth];
    none_opens(&home, &truth, tails.map(|tail| [&truth, tail].concat()))
}

fn swapped() -> Result<Verdict> {
    let home = Home::new()?;
    let one = home.keys.seal_block(&home.epoch, BlockKind::Node, &[], b"one")?;
    let other = home.keys.seal_block(&home.epoch, BlockKind::Node, &[], b"other")?;
    for (asked, given) in [(&one, &other), (&other, &one)] {
        let mut fetch = Fetch::new(asked.cid, None);
        ensure!(fetch.supply(asked.cid, &given.bytes, &home.keys).is_err(), "it is taken for the other");
    }
    Ok(Verdict::RefusedAtDecode)
}

/// A file of two pieces of different length.
fn two_pieces(home: &Home) -> Result<[(Ref, Vec<u8>); 2]> {
    let piece = |text: &[u8]| -> Result<(Ref, Vec<u8>)> {
        let block = home.keys.seal_block(&home.epoch, BlockKind::Chunk, &[], text)?;
        Ok((Ref { cid: block.cid, len: text.len() as u32, epoch: home.epoch }, block.bytes))
    };
    Ok([piece(b"the first piece")?, piece(b"and the second")?])
}

fn swapped_pieces() -> Result<Verdict> {
    let home = Home::new()?;
    let [first, second] = two_pieces(&home)?;
    ensure!(open_chunk(&home.keys, &first.0, &first.1)? == b"the first piece", "the honest way");
    ensure!(
        open_chunk(&home.keys, &first.0, &second.1).is_err() && open_chunk(&home.keys, &second.0, &first.1).is_err(),
        "swapped"
    );
    // Of equal length they have other names: who asks for one can not be given the other.
    ensure!(Cid::of(&first.1) != first.0.cid || Cid::of(&second.1) != first.0.cid, "by name");
    Ok(Verdict::RefusedAtDecode)
}

fn last_piece() -> Result<Verdict> {
    let home = Home::new()?;
    // A list of pieces that stops before the file does.
    let mut w = cobox_proto::codec::Writer::new();
    let [(first, _), _] = two_pieces(&home)?;
    w.u8(0).list(&[home.epoch]);
    for _ in 0..64 {
        w.varint(0).varint(u64::from(first.len)).varint(0).fixed(&[1; 16]);
    }
    let list = home.keys.seal_block(&home.epoch, BlockKind::Manifest, &[first.cid], w.as_slice())?;
    let manifest =
        cobox_core::state::Manifest { cid: list.cid, refs: 65, oldest_epoch: home.epoch, refs_digest: [0; 32] };
    let mut reader = ManifestReader::new(&manifest, 65 * u64::from(first.len));
    reader.supply(&list.bytes, &home.keys);
    ensure!(reader.finish().is_err(), "the last one is not missed");
    Ok(Verdict::RefusedAtDecode)
}

fn other_folder() -> Result<Verdict> {
    let (home, other) = (Home::new()?, Home::number(40)?);
    let theirs = other.keys.seal_block(&other.epoch, BlockKind::Node, &[], b"a node")?;
    ensure!(matches!(home.keys.open_block(&theirs.bytes), Err(SealError::UnknownEpoch { .. })), "of another epoch");
    // The very same secrets in two folders: the folder's id is sealed in.
    let stored = home.keys.to_storage();
    let secret: [u8; 32] = stored[70..102].try_into()?;
    let mut moved = FolderKeys::new(other.id(), home.keys.shape().clone(), Profile::Cdc);
    moved.insert_epoch(EpochSecret::from_bytes(secret), FolderKeys::params_for(Profile::Cdc, false))?;
    ensure!(moved.open_block(&node(&home)?) == Err(SealError::Forged), "nor with the same secrets");
    Ok(Verdict::RefusedAtDecode)
}

fn other_file() -> Result<Verdict> {
    let home = Home::new()?;
    let one = seal_small(&home.keys, home.epoch, &vec![1; 700], 0);
    let other = seal_small(&home.keys, home.epoch, &vec![2; 701], 0);
    let Content::Refs(refs) = &one.body.content else { anyhow::bail!("700 bytes are a piece") };
    ensure!(open_chunk(&home.keys, &refs[0], &one.blocks[0].bytes).is_ok(), "the honest way");
    ensure!(open_chunk(&home.keys, &refs[0], &other.blocks[0].bytes).is_err(), "the other's");
    Ok(Verdict::RefusedAtDecode)
}

fn piece_as_node() -> Result<Verdict> {
    let home = Home::new()?;
    let chunk = home.keys.seal_block(&home.epoch, BlockKind::Chunk, &[], b"piece")?;
    let mut fetch = Fetch::new(chunk.cid, None);
    ensure!(fetch.supply(chunk.cid, &chunk.bytes, &home.keys).is_err(), "a piece is no root");
    let node = home.keys.seal_block(&home.epoch, BlockKind::Node, &[], b"piece")?;
    let piece = Ref { cid: node.cid, len: 5, epoch: home.epoch };
    ensure!(open_chunk(&home.keys, &piece, &node.bytes).is_err(), "a node is no piece");
    Ok(Verdict::RefusedAtDecode)
}

fn other_links() -> Result<Verdict> {
    let home = Home::new()?;
    let truth = node(&home)?;
    let inside = &truth[BlockHeader::encoded_len(2)..];
    let with = |mut links: Vec<Cid>| {
        links.sort();
        [&BlockHeader { epoch: home.epoch, links }.to_bytes(), inside].concat()
    };
    none_opens(
        &home,
        &truth,
        [with(vec![]), with(vec![cid(1)]), with(vec![cid(3), cid(4)]), with(vec![cid(1), cid(2), cid(3)])],
    )
}

fn other_epoch() -> Result<Verdict> {
    let mut home = Home::new()?;
    let truth = node(&home)?;
    let params = FolderKeys::params_for(Profile::Cdc, false);
    let second = home.keys.insert_epoch(EpochSecret::from_bytes([77; 32]), params)?;
    let parsed = BlockHeader::parse(&truth)?.0;
    let moved = |epoch: EpochTag| {
        [BlockHeader { epoch, links: parsed.links.clone() }.to_bytes(), truth[BlockHeader::encoded_len(2)..].to_vec()]
            .concat()
    };
    none_opens(&home, &truth, [moved(second), moved(EpochTag([9; 16]))])
}

fn note_of_other_head() -> Result<Verdict> {
    let home = Home::new()?;
    let one = home.head(&home.mallory, 1, None, cid(1))?;
    let other = home.head(&home.mallory, 1, None, cid(2))?;
    let opened = home.keys.open_note(&home.epoch, "head", &other.clear_bytes(), &one.sealed);
    ensure!(opened == Err(SealError::Forged), "a note stays with its head");
    let as_op = home.keys.open_note(&home.epoch, "op", &one.clear_bytes(), &one.sealed);
    ensure!(as_op == Err(SealError::Forged), "and with its kind of object");
    Ok(Verdict::RefusedAtDecode)
}

fn compressed() -> Result<Verdict> {
    let home = Home::new()?;
    let forge = Forge::of(&home.keys)?;
    for codec in [1, 2, 255] {
        let block = forge.honestly(&Inside { codec, ..Inside::of(BlockKind::Chunk, b"bomb") })?;
        ensure!(matches!(home.keys.open_block(&block.bytes), Err(SealError::Malformed(_))), "codec {codec}");
    }
    Ok(Verdict::RefusedAtDecode)
}

fn too_much_inside() -> Result<Verdict> {
    let home = Home::new()?;
    let forge = Forge::of(&home.keys)?;
    for len in [5, 1000, (4 << 20) + 1, u32::MAX] {
        let block = forge.honestly(&Inside { len, ..Inside::of(BlockKind::Chunk, b"bomb") })?;
        ensure!(home.keys.open_block(&block.bytes).is_err(), "{len} bytes in {SMALL}");
    }
    Ok(Verdict::RefusedAtDecode)
}

fn uncommitted(home: &Home, bytes: &[u8]) -> Result<()> {
    let said = home.keys.open_block(bytes);
    ensure!(matches!(said, Err(SealError::Uncommitted)), "it must be called uncommitted: {said:?}");
    Ok(())
}

fn chosen_salt() -> Result<Verdict> {
    let home = Home::new()?;
    let forge = Forge::of(&home.keys)?;
    let inside = Inside::of(BlockKind::Chunk, b"for Bob");
    let honest = forge.honestly(&inside)?;
    ensure!(home.keys.open_block(&honest.bytes)?.payload == b"for Bob", "the forge makes what the product makes");
    for salt in [[0; SALT_BYTES], [5; SALT_BYTES], [255; SALT_BYTES]] {
        uncommitted(&home, &forge.seal(&inside, salt)?.bytes)?;
    }
    Ok(Verdict::RefusedAtDecode)
}

fn salt_of_other_content() -> Result<Verdict> {
    let home = Home::new()?;
    let forge = Forge::of(&home.keys)?;
    let shown = Inside::of(BlockKind::Chunk, b"for Carol");
    for other in [
        Inside::of(BlockKind::Chunk, b"for Bobby"),
        Inside::of(BlockKind::Node, b"for Carol"),
        Inside { total: 2 * SMALL, ..shown.clone() },
    ] {
        uncommitted(&home, &forge.seal(&shown, forge.salt(&other))?.bytes)?;
    }
    Ok(Verdict::RefusedAtDecode)
}

fn two_secrets() -> Result<Verdict> {
    let home = Home::new()?;
    let params = FolderKeys::params_for(Profile::Cdc, false);
    let mut carol = FolderKeys::new(home.id(), home.keys.shape().clone(), Profile::Cdc);
    let other = carol.insert_epoch(EpochSecret::from_bytes([66; 32]), params)?;
    ensure!(other != home.epoch, "an epoch's name follows from its secret, so she has no such epoch");
    let opened = carol.open_block(&node(&home)?);
    ensure!(matches!(opened, Err(SealError::UnknownEpoch { .. })), "{opened:?}");
    Ok(Verdict::RefusedAtDecode)
}

fn two_shapes() -> Result<Verdict> {
    let home = Home::new()?;
    let secret: [u8; 32] = home.keys.to_storage()[70..102].try_into()?;
    let mut carol = FolderKeys::new(home.id(), ShapeKey::from_bytes([88; 32]), Profile::Cdc);
    carol.insert_epoch(EpochSecret::from_bytes(secret), FolderKeys::params_for(Profile::Cdc, false))?;
    ensure!(carol.open_block(&node(&home)?) == Err(SealError::Uncommitted), "who has another shape key sees nothing");
    Ok(Verdict::RefusedAtDecode)
}

fn second_form() -> Result<Verdict> {
    let home = Home::new()?;
    let forge = Forge::of(&home.keys)?;
    let inside = Inside::of(BlockKind::Chunk, b"content");
    for other in [
        Inside { last: 1, ..inside.clone() },
        Inside { total: 2 * SMALL, ..inside.clone() },
        Inside { total: SMALL / 2, ..inside.clone() },
        Inside { kind: 0, ..inside.clone() },
        Inside { kind: 8, ..inside.clone() },
    ] {
        let block = forge.honestly(&other)?;
        ensure!(home.keys.open_block(&block.bytes).is_err(), "a second form opens");
    }
    Ok(Verdict::RefusedAtDecode)
}

fn root_of_two_contents() -> Result<Verdict> {
    let home = Home::new()?;
    let body = home.text(b"for Bob");
    let state = home.state(&home.mallory, |commit| {
        let name = "letter.txt".parse();
        if let Ok(name) = name {
            commit.create(Inode::ZERO, &name, Kind::File, body);
        }
    })?;
    let (tree, mut blocks) = home.tree(&state)?;
    let at = blocks.iter().position(|block| block.cid == tree.root());
    let honest = blocks.remove(at.ok_or_else(|| anyhow::anyhow!("a tree has its root"))?);
    let open = home.keys.open_block(&honest.bytes)?;
    let inside = Inside { links: open.links, total: honest.bytes.len(), ..Inside::of(BlockKind::Root, &open.payload) };
    let evil = Forge::of(&home.keys)?.seal(&inside, [5; SALT_BYTES])?;
    let head = home.signed(&home.mallory, 1, None, evil.cid)?;
    let mut alice = Mind::of_alice(&home);
    alice.may_ask_for(blocks);
    alice.may_ask_for(vec![evil]);
    alice.sees(&head)?;
    alice.judged(&head, "does not commit to its content")
}

fn digest_of_other() -> Result<Verdict> {
    // Content that stands in the record has no digest of its author's choosing: whoever reads it works it out.
    let home = Home::new()?;
    let lie = Body { plain_digest: inline_digest(&home.keys, b"truth"), ..home.text(b"a lie") };
    let state = home.state(&home.mallory, |commit| {
        if let Ok(name) = "letter.txt".parse() {
            commit.create(Inode::ZERO, &name, Kind::File, lie);
        }
    })?;
    let (tree, blocks) = home.tree(&state)?;
    let head = home.signed(&home.mallory, 1, None, tree.root())?;
    let mut alice = Mind::of_alice(&home);
    alice.may_ask_for(blocks);
    alice.sees(&head)?;
    let read = alice.engine.state().iter().flat_map(|(_, item)| item.body.iter().map(|(_, body)| body.plain_digest));
    ensure!(read.collect::<Vec<_>>() == [inline_digest(&home.keys, b"a lie")], "it is taken for what it is");
    alice.judged(&head, "")
}

fn other_pieces() -> Result<Verdict> {
    // Who has the named content already would keep it, and others would write another: so what is put together is held against its name.
    let home = Home::new()?;
    let (truth, lie) =
        (seal_small(&home.keys, home.epoch, &[1; 700], 0), seal_small(&home.keys, home.epoch, &[2; 700], 0));
    let Content::Refs(pieces) = &lie.body.content else { anyhow::bail!("700 bytes are a piece") };
    let (_, digest) = open_digested(&home.keys, &pieces[0], &lie.blocks[0].bytes)?;
    ensure!(is_what_was_said(&home.keys, &lie.body, pieces, &[digest]), "the honest record");
    let body = Body { plain_digest: truth.body.plain_digest, ..lie.body.clone() };
    ensure!(!is_what_was_said(&home.keys, &body, pieces, &[digest]), "the other's name");
    ensure!(!is_what_was_said(&home.keys, &lie.body, pieces, &[]), "a piece that was never looked at");
    Ok(Verdict::RefusedAtDecode)
}
