//! The tree of sealed blocks. Keys here seal nothing: they put the plain payload behind a real block header, so that a test
//! can write any block a malicious member could.

mod delta;
mod fixtures;
mod joining;
mod manifest;
mod refusals;
mod sampling;
mod vectors;
mod walking;
mod writing;

use std::cell::Cell;
use std::collections::BTreeMap;

use cobox_core::path::Name;
use cobox_core::seal::{BlockKind, OpenBlock, SealError, SealedBlock};
use cobox_core::state::{Body, Content, Dot, Item, Kind, Loc, Manifest, Ref, State, Touched};
use cobox_core::tree::{Fetch, Remote, Tree, TreeError, TreeKeys};
use cobox_proto::block::BlockHeader;
use cobox_proto::id::{ActorId, Cid, EpochTag, HeadId, Inode, SigKey};

pub(crate) const MAY: EpochTag = EpochTag([5; 16]);
pub(crate) const JUNE: EpochTag = EpochTag([6; 16]);

/// Blocks anybody can read; counts what it seals and opens.
#[derive(Default)]
pub(crate) struct GlassKeys {
    /// Boundary hashes that never allow a cut: every node ends because the next row does not fit.
    pub(crate) uncut: bool,
    /// Boundary hashes this many bits shorter: small nodes, so that small trees have many inner ones.
    pub(crate) haste: u32,
    pub(crate) sealed: Cell<usize>,
    pub(crate) opened: Cell<usize>,
}

impl TreeKeys for GlassKeys {
    fn seal(&self, epoch: EpochTag, kind: BlockKind, links: &[Cid], payload: &[u8]) -> Result<SealedBlock, SealError> {
        self.sealed.set(self.sealed.get() + 1);
        let mut bytes = BlockHeader { epoch, links: links.to_vec() }.to_bytes();
        bytes.extend_from_slice(blake3::hash(payload).as_bytes());
        bytes.push(kind as u8);
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&[0; 16]);
        Ok(SealedBlock { cid: Cid::of(&bytes), bytes })
    }
    fn open(&self, block: &[u8]) -> Result<OpenBlock, SealError> {
        self.opened.set(self.opened.get() + 1);
        let (header, at) = BlockHeader::parse(block).map_err(|_| SealError::Forged)?;
        let body = &block[at + 32..block.len() - 16];
        let kinds =
            [BlockKind::Chunk, BlockKind::Node, BlockKind::Root, BlockKind::Manifest, BlockKind::Delta, BlockKind::Ctx];
        let kind = kinds.into_iter().find(|kind| *kind as u8 == body[0]).ok_or(SealError::Forged)?;
        Ok(OpenBlock { kind, epoch: header.epoch, links: header.links, payload: body[1..].to_vec(), digest: [0; 32] })
    }
    fn bound(&self, domain: &[u8], level: u8, key: &[u8]) -> u64 {
        if self.uncut {
            return u64::MAX;
        }
        let mut hasher = blake3::Hasher::new_keyed(&[7; 32]);
        hasher.update(domain).update(&[level]).update(key);
        u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().unwrap()) >> self.haste
    }
    fn inline_digest(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&[8; 32], bytes).as_bytes()
    }
}

/// A small generator of its own, so that a story is a number.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.roll(256) as u8)
    }
}

/// A folder that changes by chance.
pub(crate) struct Folder {
    pub(crate) state: State,
    pub(crate) dice: Dice,
    pub(crate) touched: Touched,
    pub(crate) actors: u64,
    counter: u64,
    inodes: Vec<Inode>,
    dirs: Vec<Inode>,
}

impl Folder {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: State::new(),
            dice: Dice(seed),
            touched: Touched::default(),
            actors: 3,
            counter: 0,
            inodes: Vec::new(),
            dirs: vec![Inode::ZERO],
        }
    }

    /// A folder of so many items of the usual kinds.
    pub(crate) fn with_items(seed: u64, items: usize) -> Self {
        let mut folder = Self::new(seed);
        while folder.state.len() < items {
            folder.create();
        }
        folder.touched = Touched::default();
        folder
    }

    pub(crate) fn dot(&mut self) -> Dot {
        self.counter += 1;
        let mut actor = [0; 16];
        actor[0] = self.dice.roll(self.actors) as u8;
        actor[1] = (self.dice.roll(self.actors) >> 8) as u8;
        let dot = Dot { counter: self.counter, actor: ActorId(actor) };
        self.state.ctx.raise(dot.actor, SigKey([actor[0] % 5; 32]), dot.counter);
        dot
    }

    pub(crate) fn put(&mut self, inode: Inode, item: Item) {
        let key = self.state.get(&inode).and_then(|item| item.key(inode));
        self.touched.note(inode, key);
        self.state.insert(inode, item);
    }

    pub(crate) fn remove(&mut self, inode: Inode) {
        let key = self.state.get(&inode).and_then(|item| item.key(inode));
        self.touched.note(inode, key);
        self.state.remove(&inode);
    }

    pub(crate) fn loc(&mut self, vd: Dot, parent: Inode) -> Loc {
        let name = format!("name {}", self.dice.roll(1_000_000));
        Loc { vd, parent, name: Name::new(&name).unwrap(), trashed: self.dice.roll(20) == 0 }
    }

    pub(crate) fn body(&mut self) -> Body {
        let mtime_ns = self.dice.roll(u64::MAX) as i64;
        let executable = self.dice.roll(9) == 0;
        let (size, content) = match self.dice.roll(20) {
            0..12 => {
                let len = self.dice.roll(513) as usize;
                (len as u64, Content::Inline(vec![self.dice.roll(256) as u8; len].into()))
            }
            12 => {
                let manifest = Manifest {
                    cid: Cid(self.dice.bytes()),
                    refs: 65 + self.dice.roll(1000),
                    oldest_epoch: MAY,
                    refs_digest: self.dice.bytes(),
                };
                (1 << 30, Content::Manifest(Box::new(manifest)))
            }
            more => {
                let count = if more == 13 { 64 } else { 1 + self.dice.roll(3) };
                let refs: Box<[Ref]> = (0..count).map(|_| self.chunk()).collect();
                (refs.iter().map(|r| u64::from(r.len)).sum(), Content::Refs(refs))
            }
        };
        let plain_digest = match &content {
            Content::Inline(bytes) => GlassKeys::default().inline_digest(bytes),
            _ => self.dice.bytes(),
        };
        Body { size, mtime_ns, executable, plain_digest, content }
    }

    fn chunk(&mut self) -> Ref {
        let epoch = [MAY, JUNE][self.dice.roll(2) as usize];
        Ref { cid: Cid(self.dice.bytes()), len: 1 + self.dice.roll(1 << 21) as u32, epoch }
    }

    pub(crate) fn create(&mut self) -> Inode {
        let inode = Inode(self.dice.bytes());
        let parent = self.dirs[self.dice.roll(self.dirs.len() as u64) as usize];
        let dot = self.dot();
        let loc = self.loc(dot, parent);
        let kind = [Kind::Dir, Kind::Symlink, Kind::File][self.dice.roll(30).min(2) as usize];
        let mut item = Item { kind, loc: [(dot, loc)].into_iter().collect(), body: Default::default() };
        if kind == Kind::Dir {
            self.dirs.push(inode);
        } else {
            item.body.push((dot, self.body()));
        }
        self.inodes.push(inode);
        self.put(inode, item);
        inode
    }

    /// One random change: new, edited, moved, removed, in conflict.
    pub(crate) fn change(&mut self) {
        let inode = match self.inodes.len() as u64 {
            0 => self.create(),
            some => self.inodes[self.dice.roll(some) as usize],
        };
        let Some(mut item) = self.state.get(&inode).cloned() else { return };
        let dot = self.dot();
        match self.dice.roll(10) {
            0..3 => drop(self.create()),
            3..5 if item.kind != Kind::Dir => {
                let body = self.body();
                item.loc[0].0 = dot;
                item.body = [(dot, body)].into_iter().collect();
                item.loc.truncate(1);
                self.put(inode, item);
            }
            5..7 => {
                let parent = self.dirs[self.dice.roll(self.dirs.len() as u64) as usize];
                let loc = self.loc(dot, parent);
                item.loc = [(dot, loc)].into_iter().collect();
                self.put(inode, item);
            }
            7 => {
                let loc = self.loc(dot, Inode::ZERO);
                item.loc.push((dot, loc));
                for _ in 0..if item.kind == Kind::Dir { 0 } else { self.dice.roll(30) } {
                    let dot = self.dot();
                    let body = self.body();
                    item.body.push((dot, body));
                }
                self.put(inode, item);
            }
            _ => self.remove(inode),
        }
    }

    /// The tree after all changes since the last call, as an update of the tree before them.
    pub(crate) fn update(&mut self, before: &Tree, epoch: EpochTag) -> (Tree, Vec<SealedBlock>) {
        let touched = self.take_touched();
        before.update(&self.state, &touched, &GlassKeys::default(), epoch).unwrap()
    }

    pub(crate) fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }
}

/// Blocks by name.
#[derive(Default)]
pub(crate) struct Blocks(pub BTreeMap<Cid, Vec<u8>>);

impl Blocks {
    pub(crate) fn keep(&mut self, blocks: Vec<SealedBlock>) {
        self.0.extend(blocks.into_iter().map(|block| (block.cid, block.bytes)));
    }

    pub(crate) fn of(blocks: Vec<SealedBlock>) -> Self {
        let mut kept = Self::default();
        kept.keep(blocks);
        kept
    }

    /// Reads a tree, the last wanted block first, so that nothing comes in the expected order.
    pub(crate) fn fetch(&self, root: Cid, base: Option<&Tree>, state: &State) -> Result<Remote, TreeError> {
        let keys = GlassKeys::default();
        let mut fetch = Fetch::new(root, base);
        while let Some(cid) = fetch.wanted(7).last().copied() {
            fetch.supply(cid, &self.0[&cid], &keys)?;
        }
        fetch.done(state, &keys)
    }
}

/// The remote state in full.
pub(crate) fn applied(remote: &Remote, base: &State) -> State {
    let mut state = base.clone();
    state.ctx = remote.ctx.clone();
    state.forks = remote.forks.clone();
    for (inode, item) in &remote.theirs {
        match item {
            Some(item) => state.insert(*inode, item.clone()),
            None => drop(state.remove(inode)),
        }
    }
    state
}

pub(crate) fn fork_point(n: u8) -> HeadId {
    HeadId([n; 32])
}
