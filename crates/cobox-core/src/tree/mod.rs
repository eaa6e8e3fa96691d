//! The state as sealed blocks (design 3, formats F3): a prolly tree over records sorted by (effective parent, inode). The
//! root is a function of (state, epoch): everybody who holds both writes the same blocks, so equal states show by one hash
//! and unequal ones differ in few nodes. A change draws again only what it touches.
//!
//! [`Tree`] writes, [`Fetch`] reads, [`Sample`] reads a few files alone; [`Delta`] is a change small enough to travel with its head;
//! [`manifest`] lists the chunks of long files. Reading trusts nothing: a tree is accepted only if writing the state it holds gives its
//! root.

mod bounds;
mod delta;
mod error;
mod keys;
mod level;
pub mod manifest;
mod node;
mod press;
mod read;
mod record;
mod records;
mod root;
mod sample;

use std::collections::BTreeSet;
use std::sync::Arc;

use cobox_proto::id::{Cid, EpochTag, HeadId, Inode};
use cobox_proto::limits::TREE_DEPTH_MAX;

pub use bounds::{NODE_WEIGHT_MAX, NODE_WEIGHT_MIN, threshold};
pub use delta::Delta;
pub use error::TreeError;
pub use keys::TreeKeys;
pub use read::{Fetch, Remote};
pub use records::{Overlay, Records};
pub use sample::Sample;

use crate::seal::{BlockKind, SealedBlock};
use crate::state::{Ctx, Key, State, Touched};
use level::{Inner, Leaves, Node, redraw};
use press::Press;
use root::{Root, place_ctx};

/// The shape of a written state: its root and, per level, what is needed to write the next one. About 150 bytes per
/// leaf of some hundred items. A clone shares the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    root: Cid,
    root_bytes: u32,
    epoch: EpochTag,
    /// Leaves first, the single top node last; empty without items.
    levels: Vec<Vec<Arc<Node>>>,
    /// Names and stored bytes of the context's nodes.
    ctx_nodes: Vec<(Cid, u32)>,
}

/// What a tree is made of besides its items.
#[derive(Clone, Copy)]
struct Frame<'a> {
    ctx: &'a Ctx,
    forks: &'a BTreeSet<HeadId>,
}

impl Tree {
    /// Writes a whole state. Returns all its blocks.
    pub fn build(state: &State, keys: &impl TreeKeys, epoch: EpochTag) -> Result<(Self, Vec<SealedBlock>), TreeError> {
        let mut blocks = Vec::new();
        let tree = Self::build_into(state, keys, epoch, &mut |block| blocks.push(block))?;
        Ok((tree, blocks))
    }

    /// [`Self::build`] that hands on each block as it is sealed, so that a large tree never stands in memory.
    pub fn build_into(
        state: &State,
        keys: &impl TreeKeys,
        epoch: EpochTag,
        emit: &mut dyn FnMut(SealedBlock),
    ) -> Result<Self, TreeError> {
        let frame = Frame { ctx: &state.ctx, forks: &state.forks };
        Self::draw(None, state, frame, &[EVERYTHING], &mut Press { keys, epoch, emit })
    }

    /// Writes the state after a change of the items in `touched`; `self` is the tree before it. Returns the same tree as
    /// [`Self::build`] and those of its blocks that `self` does not have. Under another epoch everything is written anew.
    pub fn update(
        &self,
        state: &State,
        touched: &Touched,
        keys: &impl TreeKeys,
        epoch: EpochTag,
    ) -> Result<(Self, Vec<SealedBlock>), TreeError> {
        let mut blocks = Vec::new();
        let now = |inode: &Inode| state.get(inode).and_then(|item| item.key(*inode));
        let before_and_now = touched.iter().flat_map(|(inode, before)| [*before, now(inode)]).flatten();
        let frame = Frame { ctx: &state.ctx, forks: &state.forks };
        let mut emit = |block| blocks.push(block);
        let tree = self.redrawn(state, frame, before_and_now, &mut Press { keys, epoch, emit: &mut emit })?;
        Ok((tree, blocks))
    }

    /// The tree of `records` within `frame`, which differ from this tree's at most at `touched`.
    fn redrawn<K: TreeKeys>(
        &self,
        records: &impl Records,
        frame: Frame<'_>,
        touched: impl Iterator<Item = Key>,
        press: &mut Press<'_, K>,
    ) -> Result<Self, TreeError> {
        if press.epoch != self.epoch {
            return Self::draw(None, records, frame, &[EVERYTHING], press);
        }
        let touched: BTreeSet<Key> = touched.collect();
        Self::draw(Some(self), records, frame, &Vec::from_iter(touched), press)
    }

    fn draw<K: TreeKeys>(
        old: Option<&Self>,
        records: &impl Records,
        frame: Frame<'_>,
        touched: &[Key],
        press: &mut Press<'_, K>,
    ) -> Result<Self, TreeError> {
        let old_level = |level: usize| old.and_then(|old| old.levels.get(level)).map_or(&[][..], Vec::as_slice);
        let (mut nodes, mut touched) = redraw(&Leaves(records), 0, old_level(0), touched, press)?;
        let mut levels = Vec::new();
        while nodes.len() > 1 {
            let level = levels.len() + 1;
            if level >= TREE_DEPTH_MAX {
                return Err(TreeError::TooLarge);
            }
            let above = redraw(&Inner(&nodes), level as u8, old_level(level), &touched, press)?;
            levels.push(std::mem::replace(&mut nodes, above.0));
            touched = above.1;
        }
        if !nodes.is_empty() {
            levels.push(nodes);
        }
        let known =
            |cid: &Cid| old.is_some_and(|old| old.root == *cid || old.ctx_nodes.iter().any(|node| node.0 == *cid));
        let emit = &mut *press.emit;
        let mut new_only = |block: SealedBlock| {
            if !known(&block.cid) {
                emit(block)
            }
        };
        let mut press = Press { keys: press.keys, epoch: press.epoch, emit: &mut new_only };
        let mut ctx_nodes = Vec::new();
        let ctx = place_ctx(frame.ctx, &mut press, &mut ctx_nodes)?;
        let top = levels.last().map(|top| ((levels.len() - 1) as u8, top[0].cid));
        let items = levels.last().map_or(0, |top| top[0].count);
        let root = Root { ctx, forks: frame.forks.clone(), items, top };
        let (root, root_bytes) = press.seal(BlockKind::Root, &root.encode())?;
        Ok(Self { root, root_bytes, epoch: press.epoch, levels, ctx_nodes })
    }

    /// The root block's name: the state's fingerprint under this epoch.
    pub fn root(&self) -> Cid {
        self.root
    }
    /// The epoch all its blocks are sealed under.
    pub fn epoch(&self) -> EpochTag {
        self.epoch
    }
    /// How many items it holds.
    pub fn len(&self) -> u64 {
        self.levels.last().map_or(0, |top| top[0].count)
    }
    /// Whether it holds no item.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }
    /// Names of all its blocks: the root, the context's nodes, the items' nodes from the top down in key order. Blocks
    /// of contents are not among them.
    pub fn cids(&self) -> impl Iterator<Item = Cid> {
        let nodes = self.levels.iter().rev().flatten().map(|node| node.cid);
        std::iter::once(self.root).chain(self.ctx_nodes.iter().map(|node| node.0)).chain(nodes)
    }
    /// Stored bytes of all its blocks.
    pub fn stored_bytes(&self) -> u64 {
        let nodes = self.levels.iter().flatten().map(|node| node.stored_bytes);
        let ctx_nodes = self.ctx_nodes.iter().map(|node| node.1);
        nodes.chain(ctx_nodes).chain([self.root_bytes]).map(u64::from).sum()
    }

    fn leaves(&self) -> &[Arc<Node>] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// Whether every dot in it is covered.
    fn within(&self, ctx: &Ctx) -> bool {
        let dots = self.leaves().iter().flat_map(|leaf| &leaf.dots);
        dots.into_iter().all(|(actor, counter)| ctx.get(actor).is_some_and(|row| *counter <= row.counter))
    }
}

/// Stands for a change that begins at the very first row of a tree that has none yet.
const EVERYTHING: Key = Key { parent: Inode::ZERO, inode: Inode::ZERO };
