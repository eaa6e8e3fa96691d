//! X4-X7, X9, T3: states of impossible shape. They are sealed and signed as they should be; what is wrong is what they say.

use anyhow::{Result, ensure};
use cobox_core::content::{ManifestReader, open_chunk, seal_small};
use cobox_core::engine::HeadNote;
use cobox_core::path::Name;
use cobox_core::seal::{BlockKind, SealedBlock};
use cobox_core::state::{Body, Content, CtxRow, Dot, Item, Kind, Loc, Manifest, Ref, State, Values, ViewEntry, view};
use cobox_proto::codec::{Canonical, Writer};
use cobox_proto::id::{ActorId, Cid, Inode};
use cobox_proto::limits::{COUNTER_JUMP_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX, RECORD_VALUES_MAX};

use super::forgery::{Forge, Inside};
use super::mind::Mind;
use crate::home::{Home, cid};
use crate::{Against, Role, Script, Verdict, pure};

pub(crate) const SCRIPTS: &[Script] = &[
    shape("x5", "a directory is its own parent", Verdict::Contained, own_parent),
    shape("x5", "two directories are each inside the other", Verdict::Contained, two_ring),
    shape("x5", "a thousand directories are a ring", Verdict::Contained, long_ring),
    shape("x5", "an item has a parent that nobody made", Verdict::Contained, orphan),
    shape("x5", "a file is inside a file", Verdict::Contained, inside_a_file),
    shape("x5", "directories go a hundred thousand deep", Verdict::Contained, deep),
    shape("x5", "directories with the longest names go deep", Verdict::Contained, long_paths),
    shape("x5", "a tree says that it has two hundred levels", Verdict::Named, levels),
    shape("x5", "a tree says that it holds ten million items and holds one", Verdict::Named, million_items),
    shape("x5", "a node names the same child twice", Verdict::Named, same_child),
    shape("x5", "a root is a chunk of a file", Verdict::Named, chunk_as_root),
    shape("x6", "the context claims writes that nobody signed", Verdict::Named, unproven_writes),
    shape("x6", "a counter is the last one there is", Verdict::Named, last_counter),
    shape("x6", "the context says that it has a million writers", Verdict::Named, million_writers),
    shape("x6", "a head says that its number is the last there is", Verdict::Named, last_seq),
    shape("x6", "a number is longer than any number", Verdict::RefusedAtDecode, long_number),
    shape("x7", "a file says a tebibyte and has three bytes", Verdict::RefusedAtDecode, tebibyte),
    shape("x7", "a piece says four gibibytes and has three bytes", Verdict::RefusedAtDecode, four_gibibytes),
    shape("x7", "a list of pieces is longer than the file", Verdict::RefusedAtDecode, list_too_long),
    shape("x9", "a file has more versions than an item may", Verdict::RefusedAtDecode, many_versions),
    shape("x9", "a thousand files want one name", Verdict::Contained, one_name),
    shape("x9", "names fall together in every table keyed by them", Verdict::Contained, folding_names),
    shape("x4", "one change has two contents", Verdict::Named, two_values),
    shape("x4", "one item is a file and a directory", Verdict::Named, two_kinds),
    shape("t3", "a counter jumps a million writes ahead to win for ever", Verdict::Named, counter_jump),
    shape("t3", "a version comes from the year 292 billion", Verdict::Contained, far_future),
];

const fn shape(case: &'static str, name: &'static str, verdict: Verdict, play: fn() -> Result<Verdict>) -> Script {
    pure(case, name, Role::Member, Against::Member, verdict, play)
}

fn inode(n: u64) -> Inode {
    let mut id = [0xaa; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    Inode(id)
}

/// States by Mallory, written by hand.
struct Draft<'h> {
    home: &'h Home,
    state: State,
    dot: Dot,
}

impl<'h> Draft<'h> {
    fn of(home: &'h Home) -> Self {
        let dot = Dot { counter: 1, actor: home.actor(&home.mallory, 1) };
        let mut state = State::new();
        state.ctx.raise(dot.actor, home.mallory.key(), 1);
        Self { home, state, dot }
    }

    fn put(&mut self, id: Inode, kind: Kind, parent: Inode, name: &str) -> Result<()> {
        let loc = Loc { vd: self.dot, parent, name: Name::new(name)?, trashed: false };
        let mut body = Values::new();
        if kind != Kind::Dir {
            body.push((self.dot, self.home.text(&[name.as_bytes(), &id.0].concat())));
        }
        let mut places = Values::new();
        places.push((self.dot, loc));
        self.state.insert(id, Item { kind, loc: places, body });
        Ok(())
    }

    /// Alice joins it, and everything is shown somewhere, once, within the bounds of a path.
    fn joined_and_shown(&self) -> Result<Verdict> {
        let (tree, blocks) = self.home.tree(&self.state)?;
        let head = self.home.signed(&self.home.mallory, 1, None, tree.root())?;
        let mut alice = Mind::of_alice(self.home);
        alice.may_ask_for(blocks);
        alice.sees(&head)?;
        let shown = alice.engine.view();
        for path in shown.entries.keys() {
            ensure!(path.depth() <= PATH_DEPTH_MAX + 1, "it goes {} deep", path.depth());
            ensure!(path.as_str().len() <= PATH_BYTES_MAX + 256, "a path of {} bytes", path.as_str().len());
        }
        let files = self.state.iter().filter(|(_, item)| item.kind == Kind::File).count();
        let found = shown.entries.values().filter(|entry| matches!(entry, ViewEntry::File(_))).count();
        ensure!(files == found, "{files} files were sent, {found} are shown");
        alice.judged(&head, "")
    }
}

fn own_parent() -> Result<Verdict> {
    let home = Home::new()?;
    let mut draft = Draft::of(&home);
    draft.put(inode(1), Kind::Dir, inode(1), "ouroboros")?;
    draft.put(inode(2), Kind::File, inode(1), "inside")?;
    draft.joined_and_shown()
}

fn ring(count: u64) -> Result<Verdict> {
    let home = Home::new()?;
    let mut draft = Draft::of(&home);
    for n in 0..count {
        draft.put(inode(n), Kind::Dir, inode((n + 1) % count), &format!("d{n}"))?;
    }
    draft.put(inode(count), Kind::File, inode(count / 2), "inside")?;
    draft.joined_and_shown()
}

fn two_ring() -> Result<Verdict> {
    ring(2)
}

fn long_ring() -> Result<Verdict> {
    ring(1000)
}

fn orphan() -> Result<Verdict> {
    let home = Home::new()?;
    let mut draft = Draft::of(&home);
    draft.put(inode(1), Kind::File, inode(77), "orphan")?;
    draft.put(inode(2), Kind::Dir, inode(78), "alone")?;
    draft.joined_and_shown()
}

fn inside_a_file() -> Result<Verdict> {
    let home = Home::new()?;
    let mut draft = Draft::of(&home);
    draft.put(inode(1), Kind::File, Inode::ZERO, "file")?;
    draft.put(inode(2), Kind::File, inode(1), "inside")?;
    draft.put(inode(3), Kind::Symlink, Inode::ZERO, "link")?;
    draft.put(inode(4), Kind::File, inode(3), "behind")?;
    draft.joined_and_shown()
}

fn deep() -> Result<Verdict> {
    let home = Home::new()?;
    let mut draft = Draft::of(&home);
    let mut up = Inode::ZERO;
    for n in 0..100_000 {
        draft.put(inode(n), Kind::Dir, up, "d")?;
        up = inode(n);
    }
    draft.put(inode(200_000), Kind::File, up, "bottom")?;
    draft.joined_and_shown()
}

fn long_paths() -> Result<Verdict> {
    let home = Home::new()?;
    let mut draft = Draft::of(&home);
    let (mut up, name) = (Inode::ZERO, "n".repeat(255));
    for n in 0..PATH_DEPTH_MAX as u64 {
        draft.put(inode(n), Kind::Dir, up, &name)?;
        draft.put(inode(10_000 + n), Kind::File, up, "file")?;
        up = inode(n);
    }
    draft.joined_and_shown()
}

/// Alice sees a head over a root of these bytes.
fn judged_root(home: &Home, root: SealedBlock, others: Vec<SealedBlock>, reason: &str) -> Result<Verdict> {
    let head = home.signed(&home.mallory, 1, None, root.cid)?;
    let mut alice = Mind::of_alice(home);
    alice.may_ask_for(others);
    alice.may_ask_for(vec![root]);
    alice.sees(&head)?;
    ensure!(alice.engine.view().entries.is_empty(), "nothing of it is shown");
    alice.judged(&head, reason)
}

/// A root's content: one writer, so many items below the node `link` of this level.
fn root(home: &Home, items: u64, level: u8, top: Cid) -> Result<SealedBlock> {
    let mut w = Writer::new();
    w.u8(1).u8(0).list(&[home.mallory.key()]).u8(1).put(&home.actor(&home.mallory, 1)).u8(0).varint(1);
    w.u8(0).varint(items).u8(level).u8(0);
    Ok(home.keys.seal_block(&home.epoch, BlockKind::Root, &[top], w.as_slice())?)
}

fn levels() -> Result<Verdict> {
    let home = Home::new()?;
    judged_root(&home, root(&home, 1, 200, cid(1))?, vec![], "tree level")
}

fn honest_leaf(home: &Home) -> Result<SealedBlock> {
    let mut draft = Draft::of(home);
    draft.put(inode(1), Kind::File, Inode::ZERO, "one")?;
    let (_, blocks) = home.tree(&draft.state)?;
    let is_leaf =
        |block: &SealedBlock| home.keys.open_block(&block.bytes).is_ok_and(|open| open.kind == BlockKind::Node);
    anyhow::Context::context(blocks.into_iter().find(is_leaf), "a tree of one item has a leaf")
}

fn million_items() -> Result<Verdict> {
    let home = Home::new()?;
    let leaf = honest_leaf(&home)?;
    judged_root(&home, root(&home, 10_000_000, 0, leaf.cid)?, vec![leaf], "as many records")
}

fn same_child() -> Result<Verdict> {
    let home = Home::new()?;
    let leaf = honest_leaf(&home)?;
    let mut w = Writer::new();
    for last in [inode(1), inode(2)] {
        w.put(&Inode::ZERO).put(&last).varint(0).varint(1);
    }
    let top = home.keys.seal_block(&home.epoch, BlockKind::Node, &[leaf.cid], w.as_slice())?;
    judged_root(&home, root(&home, 2, 1, top.cid)?, vec![leaf, top], "stands in it twice")
}

fn chunk_as_root() -> Result<Verdict> {
    let home = Home::new()?;
    let chunk = home.keys.seal_block(&home.epoch, BlockKind::Chunk, &[], b"a piece of a file")?;
    judged_root(&home, chunk, vec![], "another kind")
}

/// Alice sees Mallory's tree under a head whose note says this counter.
fn with_counter(counter: u64, ctx: impl FnOnce(&mut State, ActorId), reason: &str) -> Result<Verdict> {
    let home = Home::new()?;
    let mut draft = Draft::of(&home);
    draft.put(inode(1), Kind::File, Inode::ZERO, "file")?;
    ctx(&mut draft.state, draft.dot.actor);
    let (tree, blocks) = home.tree(&draft.state)?;
    let mut head = home.head(&home.mallory, 1, None, tree.root())?;
    let note = HeadNote { counter, vault: None }.to_bytes();
    head.sealed = home.keys.seal_note(&home.epoch, "head", &head.clear_bytes(), &note)?;
    let head = head.sign(&home.mallory.device.sig)?;
    let mut alice = Mind::of_alice(&home);
    alice.may_ask_for(blocks);
    alice.sees(&head)?;
    ensure!(alice.engine.state().ctx.counter_max() <= 1, "no counter of it is taken over");
    alice.judged(&head, reason)
}

fn unproven_writes() -> Result<Verdict> {
    let theirs = |state: &mut State, _: ActorId| {
        state.ctx.set(
            ActorId([9; 16]),
            Some(CtxRow {
                counter: 5,
                device: Home::new().map_or_else(|_| cobox_proto::id::SigKey::ZERO, |home| home.alice.key()),
            }),
        );
    };
    with_counter(1, theirs, "has shown 0")
}

fn last_counter() -> Result<Verdict> {
    let last = |state: &mut State, actor: ActorId| {
        let row = state.ctx.get(&actor).copied();
        state.ctx.set(actor, row.map(|row| CtxRow { counter: u64::MAX, ..row }));
    };
    with_counter(u64::MAX, last, "jumps too far ahead")
}

fn counter_jump() -> Result<Verdict> {
    let jump = |state: &mut State, actor: ActorId| {
        let row = state.ctx.get(&actor).copied();
        state.ctx.set(actor, row.map(|row| CtxRow { counter: COUNTER_JUMP_MAX + 1, ..row }));
    };
    with_counter(COUNTER_JUMP_MAX + 1, jump, "jumps too far ahead")
}

fn million_writers() -> Result<Verdict> {
    let home = Home::new()?;
    let mut w = Writer::new();
    w.u8(1).u8(0).list(&[home.mallory.key()]).varint(1 << 20).fixed(&[0; 64]);
    let root = home.keys.seal_block(&home.epoch, BlockKind::Root, &[], w.as_slice())?;
    judged_root(&home, root, vec![], "")
}

fn last_seq() -> Result<Verdict> {
    let mut visit = crate::home::Visit::by_mallory()?;
    let first = visit.home.signed(&visit.home.mallory, 1, None, cid(1))?;
    let mut head = visit.home.head(&visit.home.mallory, 1, Some(&first), cid(2))?;
    (head.seq, head.skip) = (u64::MAX, Some(first.id()));
    let head = head.sign(&visit.home.mallory.device.sig)?;
    visit.hears_heads(&[&first, &head]);
    ensure!(visit.replica.heads().len() == 1, "the first is there, the other is not");
    Ok(if visit.named(&visit.home.mallory.key()) { Verdict::Named } else { Verdict::Ignored })
}

fn long_number() -> Result<Verdict> {
    use cobox_proto::wire::Message;
    for number in
        [&[0xff; 11][..], &[0xff; 10], &[0x80; 40], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]]
    {
        for kind in [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 22, 24] {
            ensure!(Message::from_bytes(&[&[kind], number].concat()).is_err(), "kind {kind}, {number:02x?}");
        }
    }
    Ok(Verdict::RefusedAtDecode)
}

fn tebibyte() -> Result<Verdict> {
    let home = Home::new()?;
    let three = home.keys.seal_block(&home.epoch, BlockKind::Manifest, &[], &[0, 0, 3])?;
    let manifest = Manifest { cid: three.cid, refs: 1 << 40, oldest_epoch: home.epoch, refs_digest: [0; 32] };
    for size in [1 << 40, 1 << 63, u64::MAX] {
        let mut reader = ManifestReader::new(&manifest, size);
        ensure!(reader.wanted().is_none_or(|cid| cid == three.cid), "one block at a time is asked for");
        reader.supply(&three.bytes, &home.keys);
        ensure!(reader.wanted().is_none() && reader.finish().is_err(), "{size} bytes");
    }
    Ok(Verdict::RefusedAtDecode)
}

fn four_gibibytes() -> Result<Verdict> {
    let home = Home::new()?;
    let three = home.keys.seal_block(&home.epoch, BlockKind::Chunk, &[], b"abc")?;
    for len in [0, 2, 4, u32::MAX] {
        let piece = Ref { cid: three.cid, len, epoch: home.epoch };
        ensure!(open_chunk(&home.keys, &piece, &three.bytes).is_err(), "{len} bytes");
    }
    let forge = Forge::of(&home.keys)?;
    let long = forge.honestly(&Inside { len: u32::MAX, ..Inside::of(BlockKind::Chunk, b"abc") })?;
    ensure!(home.keys.open_block(&long.bytes).is_err(), "nor when its seal says so");
    Ok(Verdict::RefusedAtDecode)
}

fn list_too_long() -> Result<Verdict> {
    let home = Home::new()?;
    // A true list of a file of 200 pieces, for a file that says it has ten bytes.
    let written = seal_small(&home.keys, home.epoch, &vec![7; 600], 0);
    let Content::Refs(refs) = written.body.content else { anyhow::bail!("600 bytes are in pieces") };
    let mut w = Writer::new();
    w.u8(0).list(&[home.epoch]);
    for _ in 0..200 {
        w.varint(0).varint(u64::from(refs[0].len)).varint(0).fixed(&[1; 16]);
    }
    let list = home.keys.seal_block(&home.epoch, BlockKind::Manifest, &[refs[0].cid], w.as_slice())?;
    let manifest = Manifest { cid: list.cid, refs: 200, oldest_epoch: home.epoch, refs_digest: [0; 32] };
    let mut reader = ManifestReader::new(&manifest, 10);
    reader.supply(&list.bytes, &home.keys);
    ensure!(reader.finish().is_err(), "its pieces are longer than the file");
    Ok(Verdict::RefusedAtDecode)
}

fn many_versions() -> Result<Verdict> {
    let home = Home::new()?;
    let mut draft = Draft::of(&home);
    draft.put(inode(1), Kind::File, Inode::ZERO, "file")?;
    let mut item = draft.state.get(&inode(1)).cloned().ok_or_else(|| anyhow::anyhow!("it was put there"))?;
    let key = home.mallory.key();
    item.body = (0..=RECORD_VALUES_MAX as u32)
        .map(|n| {
            let mut actor = [0; 16];
            actor[..4].copy_from_slice(&n.to_be_bytes());
            let dot = Dot { counter: 1, actor: ActorId(actor) };
            draft.state.ctx.raise(dot.actor, key, 1);
            (dot, home.text(&n.to_be_bytes()))
        })
        .collect();
    draft.state.insert(inode(1), item);
    ensure!(home.tree(&draft.state).is_err(), "no tree can say it");
    Ok(Verdict::RefusedAtDecode)
}

fn one_name() -> Result<Verdict> {
    let home = Home::new()?;
    let mut draft = Draft::of(&home);
    for n in 0..1000 {
        draft.put(inode(n), Kind::File, Inode::ZERO, "song.txt")?;
        let body = home.text(&n.to_be_bytes());
        let mut item = draft.state.get(&inode(n)).cloned().ok_or_else(|| anyhow::anyhow!("it was put there"))?;
        item.body[0].1 = body;
        draft.state.insert(inode(n), item);
    }
    let verdict = draft.joined_and_shown()?;
    ensure!(view(&draft.state).entries.keys().all(|path| path.as_str().len() <= 255), "copies have names");
    Ok(verdict)
}

fn folding_names() -> Result<Verdict> {
    let home = Home::new()?;
    let mut draft = Draft::of(&home);
    for n in 0..4096_u64 {
        // All 4096 ways to write twelve letters large or small.
        let name: String = "hashflooding"
            .chars()
            .enumerate()
            .map(|(at, c)| if n >> at & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        draft.put(inode(n), Kind::File, Inode::ZERO, &name)?;
    }
    draft.joined_and_shown()
}

/// Alice has joined one of two heads that give one dot different meanings, and sees the other.
fn twice(one: &Draft<'_>, other: &Draft<'_>, reason: &str) -> Result<Verdict> {
    let home = one.home;
    let mut alice = Mind::of_alice(home);
    let mut heads = vec![];
    let mut prev = None;
    for draft in [one, other] {
        let (tree, blocks) = home.tree(&draft.state)?;
        alice.may_ask_for(blocks);
        let head = home.signed(&home.mallory, 1, prev.as_ref(), tree.root())?;
        alice.sees(&head)?;
        prev = Some(head.clone());
        heads.push(head);
    }
    ensure!(alice.joined.contains(&heads[0].id()), "the first is honest");
    let told = alice.refused.iter().find(|(id, _)| *id == heads[1].id());
    Ok(match told {
        Some((_, why)) => {
            ensure!(why.contains(reason), "{why}");
            Verdict::Named
        }
        None => Verdict::Ignored,
    })
}

fn two_values() -> Result<Verdict> {
    let home = Home::new()?;
    let (mut one, mut other) = (Draft::of(&home), Draft::of(&home));
    one.put(inode(1), Kind::File, Inode::ZERO, "file")?;
    other.put(inode(1), Kind::File, Inode::ZERO, "file")?;
    let mut item = other.state.get(&inode(1)).cloned().ok_or_else(|| anyhow::anyhow!("it was put there"))?;
    item.body[0].1 = home.text(b"something else");
    other.state.insert(inode(1), item);
    twice(&one, &other, "two values")
}

fn two_kinds() -> Result<Verdict> {
    let home = Home::new()?;
    let (mut one, mut other) = (Draft::of(&home), Draft::of(&home));
    one.put(inode(1), Kind::File, Inode::ZERO, "thing")?;
    other.put(inode(1), Kind::Dir, Inode::ZERO, "thing")?;
    twice(&one, &other, "two kinds")
}

fn far_future() -> Result<Verdict> {
    // The same edits beside each other, once with honest times and once with the last one there is: the same one wins.
    let home = Home::new()?;
    let shown = |mtime_ns: i64| -> Result<(Vec<String>, Vec<[u8; 32]>)> {
        let mut draft = Draft::of(&home);
        draft.put(inode(1), Kind::File, Inode::ZERO, "song.txt")?;
        let mut item = draft.state.get(&inode(1)).cloned().ok_or_else(|| anyhow::anyhow!("it was put there"))?;
        let alice = Dot { counter: 1, actor: home.actor(&home.alice, 1) };
        draft.state.ctx.raise(alice.actor, home.alice.key(), 1);
        let evil = Body { mtime_ns, ..home.text(b"Mallory's") };
        item.body = [(alice, home.text(b"Alice's")), (draft.dot, evil)].into_iter().collect();
        item.body.sort_by_key(|(dot, _)| *dot);
        draft.state.insert(inode(1), item);
        let view = view(&draft.state);
        let digest = |entry: &ViewEntry| entry.shown().and_then(|s| s.body(&draft.state)).map(|body| body.plain_digest);
        let digests: Vec<[u8; 32]> = view.entries.values().filter_map(digest).collect();
        Ok((
            view.entries.keys().map(|path| path.as_str().split(" (").next().unwrap_or("").to_owned()).collect(),
            digests,
        ))
    };
    let (honest, evil) = (shown(0)?, shown(i64::MAX)?);
    ensure!(honest.1.len() == 2, "both are shown");
    ensure!(honest.1.iter().all(|digest| evil.1.contains(digest)), "and both stay");
    ensure!(shown(i64::MIN)?.1.len() == 2, "from before the first day, too");
    ensure!(honest.0.len() == evil.0.len(), "under as many names");
    Ok(Verdict::Contained)
}
