//! Reading a tree block by block: what to fetch next, what of it differs from a tree we have, and whether it is right.
//!
//! [`Fetch`] walks from a root downwards and leaves out what the base tree shares. It decodes each block at once and keeps
//! its rows only. Every block is checked by itself when it comes; at the end the state that was read is written again over
//! the base and must give the very root asked for. That one comparison covers all that spans several nodes: the cuts,
//! counts, order across borders, levels, an item standing twice. The base state must be the one the base tree was written
//! from, so run a fetch to its end in one step, over blocks that are already here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cobox_proto::id::{Cid, EpochTag, HeadId, Inode};
use cobox_proto::limits::ACTORS_MAX;

use super::node::{decode_inner, decode_leaf};
use super::press::Press;
use super::records::Overlay;
use super::root::{CtxPlace, Root, decode_ctx_inner, decode_ctx_leaf};
use super::{Frame, Tree, TreeError, TreeKeys};
use crate::seal::{BlockKind, OpenBlock};
use crate::state::{Ctx, Differences, Item, Key, State};

/// A state that was read, told by how it differs from a state we hold.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Its tree.
    pub tree: Tree,
    /// Its context.
    pub ctx: Ctx,
    /// Its fork points.
    pub forks: BTreeSet<HeadId>,
    /// Every item that differs, as it is there; `None` where it is absent there.
    pub theirs: Differences,
}

impl Remote {
    /// The state itself: nothing differs.
    pub fn same(state: &State, tree: &Tree) -> Self {
        let (ctx, forks) = (state.ctx.clone(), state.forks.clone());
        Self { tree: tree.clone(), ctx, forks, theirs: BTreeMap::new() }
    }

    /// Writes the state that `theirs` over `state` is, as a change of `base`, and holds it against `root`: what every
    /// tree from outside must pass.
    pub(super) fn checked<K: TreeKeys>(
        root: Cid,
        base: Option<&Tree>,
        state: &State,
        (ctx, forks, theirs): (Ctx, BTreeSet<HeadId>, Differences),
        touched: BTreeSet<Key>,
        press: &mut Press<'_, K>,
    ) -> Result<Self, TreeError> {
        let overlay = Overlay::new(state, &theirs);
        let frame = Frame { ctx: &ctx, forks: &forks };
        let tree = match base {
            Some(base) => base.redrawn(&overlay, frame, touched.into_iter(), press)?,
            None => Tree::draw(None, &overlay, frame, &[super::EVERYTHING], press)?,
        };
        if tree.root != root {
            return Err(TreeError::NotTheTree { root });
        }
        if !tree.within(&ctx) {
            return Err(TreeError::BeyondContext { root });
        }
        Ok(Self { tree, ctx, forks, theirs })
    }
}

/// What a block must be, by the one that names it.
#[derive(Debug, Clone)]
enum Expected {
    Root,
    /// A context node of this level.
    Ctx(u8),
    /// A node of the items' tree.
    Node {
        level: u8,
        after: Option<Key>,
        last: Option<Key>,
        count: u64,
    },
}

/// The walk through one tree.
#[derive(Debug, Clone)]
pub struct Fetch {
    root: Cid,
    base: Option<Tree>,
    epoch: Option<EpochTag>,
    expected: BTreeMap<Cid, Expected>,
    /// Everything that was ever expected: no block has two parents in one tree, or walking could take for ever.
    seen: BTreeSet<Cid>,
    /// The order in which blocks became known: breadth first, by key. Holds names no longer expected until they surface.
    order: VecDeque<Cid>,
    ctx: Ctx,
    forks: BTreeSet<HeadId>,
    items: BTreeMap<Inode, Arc<Item>>,
    /// Leaves of the base that stand in this tree too, by index.
    shared: Vec<bool>,
}

impl Fetch {
    /// Reads the tree under `root`, leaving out what `base` has; without a base all of it.
    pub fn new(root: Cid, base: Option<&Tree>) -> Self {
        Self {
            root,
            base: base.cloned(),
            epoch: None,
            expected: BTreeMap::from([(root, Expected::Root)]),
            seen: BTreeSet::from([root]),
            order: VecDeque::from([root]),
            ctx: Ctx::new(),
            forks: BTreeSet::new(),
            items: BTreeMap::new(),
            shared: vec![false; base.map_or(0, |base| base.leaves().len())],
        }
    }

    /// Up to `max` of the blocks still missing, in the order in which they are best read. Ask again after each
    /// [`Self::supply`]; the answer repeats what has not been supplied.
    pub fn wanted(&mut self, max: usize) -> Vec<Cid> {
        while self.order.front().is_some_and(|cid| !self.expected.contains_key(cid)) {
            self.order.pop_front();
        }
        self.order.iter().filter(|cid| self.expected.contains_key(cid)).take(max).copied().collect()
    }

    /// Whether every block was supplied.
    pub fn is_complete(&self) -> bool {
        self.expected.is_empty()
    }

    /// Takes one wanted block, in any order. The bytes must hash to `cid`. After an error, except `NotWanted`, the tree
    /// is to be refused and the fetch dropped.
    pub fn supply(&mut self, cid: Cid, bytes: &[u8], keys: &impl TreeKeys) -> Result<(), TreeError> {
        if !self.expected.contains_key(&cid) || Cid::of(bytes) != cid {
            return Err(TreeError::NotWanted(cid));
        }
        let block = keys.open(bytes)?;
        let Some(expected) = self.expected.remove(&cid) else { return Err(TreeError::NotWanted(cid)) };
        let broken = |rule| Err(TreeError::Broken { what: "block", rule });
        let kind = match expected {
            Expected::Root => BlockKind::Root,
            Expected::Ctx(_) => BlockKind::Ctx,
            Expected::Node { .. } => BlockKind::Node,
        };
        if block.kind != kind {
            return broken("it is of another kind than its parent says");
        }
        if *self.epoch.get_or_insert(block.epoch) != block.epoch {
            return broken("it is sealed under another epoch than its root");
        }
        match expected {
            Expected::Root => self.read_root(block),
            Expected::Ctx(level) => self.read_ctx(level, &block),
            Expected::Node { level: 0, after, last, count } => {
                let records = decode_leaf(block, keys)?;
                let (first, end) = (records[0].0, records[records.len() - 1].0);
                check_range(after, first, last, end, count, records.len() as u64)?;
                for (key, item) in records {
                    if self.items.insert(key.inode, Arc::new(item)).is_some() {
                        return Err(TreeError::Broken { what: "leaf", rule: "an item stands in the tree twice" });
                    }
                }
                Ok(())
            }
            Expected::Node { level, after, last, count } => {
                let children = decode_inner(block)?;
                let (first, end) = (children[0].last, children[children.len() - 1].last);
                let sum = children.iter().fold(0u64, |sum, child| sum.saturating_add(child.count));
                check_range(after, first, last, end, count, sum)?;
                let mut after = after;
                for child in children {
                    if !self.is_shared(level - 1, child.last, child.cid) {
                        let (last, count) = (Some(child.last), child.count);
                        self.expect(child.cid, Expected::Node { level: level - 1, after, last, count })?;
                    }
                    after = Some(child.last);
                }
                Ok(())
            }
        }
    }

    /// The state that was read. `base` is the state of the base tree, an empty one without a base.
    ///
    /// Errors: blocks are missing; or the tree is not exactly that of the state it holds, and its head is to be refused.
    pub fn done(self, base: &State, keys: &impl TreeKeys) -> Result<Remote, TreeError> {
        let epoch = match self.epoch {
            Some(epoch) if self.expected.is_empty() => epoch,
            _ => return Err(TreeError::Incomplete { missing: self.expected.len() }),
        };
        let base_len = self.base.as_ref().map_or(0, Tree::len);
        debug_assert_eq!(base_len, base.len() as u64, "the base state is the one the base tree was written from");
        let mut theirs = Differences::new();
        let mut touched = BTreeSet::new();
        // What the base has in leaves that are not in this tree, and this tree does not have elsewhere, is absent there.
        for (inode, item) in base_items(self.base.as_ref(), &self.shared, base) {
            if !self.items.contains_key(&inode) {
                touched.extend(item.key(inode));
                theirs.insert(inode, None);
            }
        }
        for (inode, item) in self.items {
            let ours = base.get(&inode);
            if ours != Some(&*item) {
                touched.extend(ours.and_then(|item| item.key(inode)));
                touched.extend(item.key(inode));
                theirs.insert(inode, Some(item));
            }
        }
        let mut press = Press { keys, epoch, emit: &mut drop };
        let read = (self.ctx, self.forks, theirs);
        Remote::checked(self.root, self.base.as_ref(), base, read, touched, &mut press)
    }

    fn read_root(&mut self, block: OpenBlock) -> Result<(), TreeError> {
        let root = Root::decode(block)?;
        self.forks = root.forks;
        match root.ctx {
            CtxPlace::Inline(ctx) => self.ctx = ctx,
            CtxPlace::Nodes(levels, cid) => self.expect(cid, Expected::Ctx(levels - 1))?,
        }
        if let Some((level, cid)) = root.top {
            let last = self.base.as_ref().and_then(|base| base.levels.get(usize::from(level))?.last()).map(|n| n.last);
            if !last.is_some_and(|last| self.is_shared(level, last, cid)) {
                self.expect(cid, Expected::Node { level, after: None, last: None, count: root.items })?;
            }
        }
        Ok(())
    }

    fn read_ctx(&mut self, level: u8, block: &OpenBlock) -> Result<(), TreeError> {
        if level > 0 {
            for child in decode_ctx_inner(block)? {
                self.expect(child.cid, Expected::Ctx(level - 1))?;
            }
            return Ok(());
        }
        for (actor, row) in decode_ctx_leaf(block)? {
            self.ctx.set(actor, Some(row));
        }
        if self.ctx.len() > ACTORS_MAX {
            return Err(TreeError::Broken { what: "context", rule: "it names too many actors" });
        }
        Ok(())
    }

    fn expect(&mut self, cid: Cid, expected: Expected) -> Result<(), TreeError> {
        if !self.seen.insert(cid) {
            return Err(TreeError::Broken { what: "tree", rule: "a node stands in it twice" });
        }
        self.order.push_back(cid);
        self.expected.insert(cid, expected);
        Ok(())
    }

    /// Whether the base has this node at this place; then notes its leaves.
    fn is_shared(&mut self, level: u8, last: Key, cid: Cid) -> bool {
        let Some(base) = &self.base else { return false };
        let Some(nodes) = base.levels.get(usize::from(level)) else { return false };
        match nodes.binary_search_by_key(&last, |node| node.last) {
            Ok(index) if nodes[index].cid == cid => {
                let leaf_after = |key: Key| base.leaves().partition_point(|leaf| leaf.last <= key);
                let from = index.checked_sub(1).map_or(0, |before| leaf_after(nodes[before].last));
                self.shared[from..leaf_after(last)].fill(true);
                true
            }
            _ => false,
        }
    }
}

/// Whether a node's rows are what its parent says of them.
pub(super) fn check_range(
    after: Option<Key>,
    first: Key,
    last: Option<Key>,
    end: Key,
    count: u64,
    found: u64,
) -> Result<(), TreeError> {
    let broken = |rule| Err(TreeError::Broken { what: "node", rule });
    if after.is_some_and(|after| first <= after) || last.is_some_and(|last| last != end) {
        return broken("its keys are not those its parent says");
    }
    if count != found {
        return broken("it does not hold as many records as its parent says");
    }
    Ok(())
}

/// The base state's items that stand in leaves of the base tree not marked as shared.
fn base_items<'a>(
    tree: Option<&'a Tree>,
    shared: &'a [bool],
    state: &'a State,
) -> impl Iterator<Item = (Inode, &'a Item)> {
    let leaves = tree.map_or(&[][..], Tree::leaves);
    leaves.iter().enumerate().filter(|(index, _)| !shared[*index]).flat_map(move |(index, leaf)| {
        let after = index.checked_sub(1).map(|before| leaves[before].last);
        let rows = super::Records::after(state, after).take_while(|(key, _)| *key <= leaf.last);
        rows.map(|(key, item)| (key.inode, item))
    })
}
