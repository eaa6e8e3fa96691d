//! One level of the tree: drawing its nodes anew from the first one a change touches until the boundaries fall on old ones
//! again, and keeping all others. A tree built from nothing is the same with no old nodes.

use std::sync::Arc;

use cobox_proto::id::{ActorId, Cid};

use super::bounds::take_node;
use super::node::{CHILD_WEIGHT, Child, Payload, encode_inner, encode_leaf};
use super::press::Press;
use super::records::Records;
use super::{TreeError, TreeKeys, record};
use crate::seal::{BlockKind, SealedBlock};
use crate::state::{Item, Key};

/// Domain of the boundary hash of the items' tree.
const BOUND: &[u8] = b"bound";

/// What is kept in memory of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Key of its last record.
    pub(super) last: Key,
    /// The sealed block.
    pub(super) cid: Cid,
    /// Records beneath it.
    pub(super) count: u64,
    /// Bytes of the sealed block.
    pub(super) stored_bytes: u32,
    /// Whether it ends by its own last row, whatever comes after.
    pub(super) closed: bool,
    /// Greatest counter of each actor in a leaf, so that it can be held against any context; empty in inner nodes.
    pub(super) dots: Box<[(ActorId, u64)]>,
}

impl Node {
    pub(super) fn child(&self) -> Child {
        Child { last: self.last, cid: self.cid, count: self.count }
    }
}

/// What the rows of a level are.
pub(super) trait Layer {
    type Row: Copy;
    /// Rows greater than a key, with what they weigh.
    fn after(&self, after: Option<Key>) -> impl Iterator<Item = (Self::Row, u32)>;
    fn key(row: &Self::Row) -> Key;
    fn payload(rows: &[Self::Row]) -> Result<Payload, TreeError>;
    /// How many records stand in or beneath these rows.
    fn count(rows: &[Self::Row]) -> u64;
    fn dots(rows: &[Self::Row]) -> Box<[(ActorId, u64)]>;
}

/// Level 0: records.
pub(super) struct Leaves<'a, R>(pub(super) &'a R);

impl<'a, R: Records> Layer for Leaves<'a, R> {
    type Row = (Key, &'a Item);
    fn after(&self, after: Option<Key>) -> impl Iterator<Item = (Self::Row, u32)> {
        let records: &'a R = self.0;
        records.after(after).map(|(key, item)| ((key, item), record::weight(key.inode, item)))
    }
    fn key(row: &Self::Row) -> Key {
        row.0
    }
    fn payload(rows: &[Self::Row]) -> Result<Payload, TreeError> {
        for (key, item) in rows {
            if let Some(rule) = record::flaw(item) {
                return Err(TreeError::BadItem { inode: key.inode, rule });
            }
        }
        Ok(encode_leaf(rows.iter().map(|(key, item)| (key.inode, *item))))
    }
    fn count(rows: &[Self::Row]) -> u64 {
        rows.len() as u64
    }
    fn dots(rows: &[Self::Row]) -> Box<[(ActorId, u64)]> {
        let mut dots = std::collections::BTreeMap::new();
        for (_, item) in rows {
            record::each_dot(item, |dot| {
                let counter = dots.entry(dot.actor).or_insert(0);
                *counter = dot.counter.max(*counter);
            });
        }
        dots.into_iter().collect()
    }
}

/// Every other level: the nodes of the level below.
pub(super) struct Inner<'a>(pub(super) &'a [Arc<Node>]);

impl Layer for Inner<'_> {
    type Row = Child;
    fn after(&self, after: Option<Key>) -> impl Iterator<Item = (Child, u32)> {
        let from = self.0.partition_point(|node| Some(node.last) <= after);
        self.0[from..].iter().map(|node| (node.child(), CHILD_WEIGHT))
    }
    fn key(row: &Child) -> Key {
        row.last
    }
    fn payload(rows: &[Child]) -> Result<Payload, TreeError> {
        Ok(encode_inner(rows))
    }
    fn count(rows: &[Child]) -> u64 {
        rows.iter().map(|row| row.count).sum()
    }
    fn dots(_: &[Child]) -> Box<[(ActorId, u64)]> {
        Box::default()
    }
}

/// The nodes of `level` after a change of the rows at `touched` (sorted), given the nodes before it; and which rows of the
/// level above that touches. New blocks go to the press.
pub(super) fn redraw<L: Layer, K: TreeKeys>(
    layer: &L,
    level: u8,
    old: &[Arc<Node>],
    touched: &[Key],
    press: &mut Press<'_, K>,
) -> Result<(Vec<Arc<Node>>, Vec<Key>), TreeError> {
    let keys = press.keys;
    let hash = |row: &L::Row| {
        let key = L::key(row);
        keys.bound(BOUND, level, &[key.parent.0, key.inode.0].concat())
    };
    let mut nodes: Vec<Arc<Node>> = Vec::with_capacity(old.len() + 4);
    let mut changed = Vec::new();
    let mut touched = touched.iter().peekable();
    // Old nodes before this index were kept or replaced.
    let mut next = 0;
    while let Some(first) = touched.peek() {
        let mut from = next + old[next..].partition_point(|node| node.last < **first);
        if from > next && !old[from - 1].closed {
            // That node ends only because of the row after it, which may be the one that changed.
            from -= 1;
        }
        nodes.extend_from_slice(&old[next..from]);
        next = from;
        let mut rows = layer.after(nodes.last().map(|node| node.last)).peekable();
        loop {
            let (taken, closed) = take_node(&mut rows, hash);
            let Some(last) = taken.last().map(L::key) else {
                // No rows are left: whatever old nodes are, all they held is gone.
                changed.extend(old[next..].iter().map(|gone| gone.last));
                return Ok((nodes, changed));
            };
            let covered = next + old[next..].partition_point(|node| node.last <= last);
            let replaced = &old[next..covered];
            changed.extend(replaced.iter().map(|gone| gone.last).filter(|gone| *gone != last));
            next = covered;
            // An old node that ends here too: from here on the old boundaries hold until the next change.
            let twin = replaced.last().filter(|node| node.last == last);
            let block = seal_node::<L, K>(&taken, last, press)?;
            match twin {
                Some(twin) if twin.cid == block.cid => nodes.push(Arc::clone(twin)),
                _ => {
                    changed.push(last);
                    nodes.push(Arc::new(Node {
                        last,
                        cid: block.cid,
                        count: L::count(&taken),
                        stored_bytes: block.bytes.len() as u32,
                        closed,
                        dots: L::dots(&taken),
                    }));
                    (press.emit)(block);
                }
            }
            while touched.next_if(|key| **key <= last).is_some() {}
            if twin.is_some() {
                break;
            }
        }
    }
    nodes.extend_from_slice(&old[next..]);
    Ok((nodes, changed))
}

fn seal_node<L: Layer, K: TreeKeys>(
    rows: &[L::Row],
    last: Key,
    press: &Press<'_, K>,
) -> Result<SealedBlock, TreeError> {
    press.seal_only(BlockKind::Node, &L::payload(rows)?).map_err(|error| match error {
        // Only a node of a single record can be larger than a block.
        TreeError::TooLarge => {
            TreeError::BadItem { inode: last.inode, rule: "its concurrent versions do not fit into one block" }
        }
        other => other,
    })
}
