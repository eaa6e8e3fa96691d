//! Reading a few files of a tree, drawn by chance, and of the tree no more than what leads to them: the way down that whoever restores
//! one file takes, without the rest of the folder.
//!
//! Each block is checked as when the whole tree is read ([`super::Fetch`]); what only the whole tree can show, such as where its nodes
//! are cut, is not.

use std::collections::{BTreeMap, BTreeSet};

use cobox_proto::id::{Cid, EpochTag, Inode};

use super::node::{decode_inner, decode_leaf};
use super::read::check_range;
use super::root::Root;
use super::{TreeError, TreeKeys};
use crate::seal::BlockKind;
use crate::state::{Item, Key, Kind};

/// A block that is wanted, and which of the tree's items are to be read beneath it, counted from its first.
#[derive(Debug, Clone)]
enum Wanted {
    Root,
    Node { level: u8, after: Option<Key>, last: Option<Key>, count: u64, drawn: BTreeSet<u64> },
}

/// The walk.
#[derive(Debug, Clone)]
pub struct Sample {
    seed: [u8; 32],
    how_many: fn(u64) -> u64,
    epoch: Option<EpochTag>,
    wanted: BTreeMap<Cid, Wanted>,
    items: u64,
    files: BTreeMap<Inode, Item>,
}

impl Sample {
    /// Of the tree under `root`, which says how many items it has, `how_many` of so many are drawn by the chance that `seed` is.
    pub fn new(root: Cid, seed: [u8; 32], how_many: fn(u64) -> u64) -> Self {
        let wanted = BTreeMap::from([(root, Wanted::Root)]);
        Self { seed, how_many, epoch: None, wanted, items: 0, files: BTreeMap::new() }
    }

    /// Up to `max` of the blocks still missing.
    pub fn wanted(&self, max: usize) -> Vec<Cid> {
        self.wanted.keys().take(max).copied().collect()
    }

    /// How many items the tree has, of all kinds; nothing before its root was read.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// The files, in the order of the draw. Where something else than a file was drawn, the next file of the same node stands for it.
    pub fn files(self) -> Vec<(Inode, Item)> {
        let seed = self.seed;
        let mut files: Vec<(Inode, Item)> = self.files.into_iter().collect();
        files.sort_by_cached_key(|(inode, _)| *blake3::keyed_hash(&seed, &inode.0).as_bytes());
        files
    }

    /// Takes one wanted block, in any order.
    ///
    /// Errors: the bytes are not that block (`NotWanted`), or the block is not as it should be.
    pub fn supply(&mut self, cid: Cid, bytes: &[u8], keys: &impl TreeKeys) -> Result<(), TreeError> {
        if Cid::of(bytes) != cid {
            return Err(TreeError::NotWanted(cid));
        }
        let Some(wanted) = self.wanted.remove(&cid) else { return Err(TreeError::NotWanted(cid)) };
        let block = keys.open(bytes)?;
        let broken = |rule| Err(TreeError::Broken { what: "block", rule });
        let kind = if matches!(wanted, Wanted::Root) { BlockKind::Root } else { BlockKind::Node };
        if block.kind != kind {
            return broken("it is of another kind than its parent says");
        }
        if *self.epoch.get_or_insert(block.epoch) != block.epoch {
            return broken("it is sealed under another epoch than its root");
        }
        match wanted {
            Wanted::Root => {
                let root = Root::decode(block)?;
                self.items = root.items;
                if let Some((level, cid)) = root.top {
                    let drawn = draw(&self.seed, (self.how_many)(root.items), root.items);
                    self.want(cid, Wanted::Node { level, after: None, last: None, count: root.items, drawn })?;
                }
            }
            Wanted::Node { level: 0, after, last, count, drawn } => {
                let records = decode_leaf(block, keys)?;
                let (first, end) = (records[0].0, records[records.len() - 1].0);
                check_range(after, first, last, end, count, records.len() as u64)?;
                self.take_files(records, &drawn);
            }
            Wanted::Node { level, after, last, count, drawn } => {
                let children = decode_inner(block)?;
                let (first, end) = (children[0].last, children[children.len() - 1].last);
                let sum = children.iter().fold(0u64, |sum, child| sum.saturating_add(child.count));
                check_range(after, first, last, end, count, sum)?;
                let (mut after, mut from) = (after, 0u64);
                for child in children {
                    let to = from.saturating_add(child.count);
                    let drawn: BTreeSet<u64> = drawn.range(from..to).map(|at| at - from).collect();
                    if !drawn.is_empty() {
                        let (last, count) = (Some(child.last), child.count);
                        self.want(child.cid, Wanted::Node { level: level - 1, after, last, count, drawn })?;
                    }
                    (after, from) = (Some(child.last), to);
                }
            }
        }
        Ok(())
    }

    fn want(&mut self, cid: Cid, wanted: Wanted) -> Result<(), TreeError> {
        match self.wanted.insert(cid, wanted) {
            None => Ok(()),
            Some(_) => Err(TreeError::Broken { what: "tree", rule: "a node stands in it twice" }),
        }
    }

    fn take_files(&mut self, records: Vec<(Key, Item)>, drawn: &BTreeSet<u64>) {
        let is_file = |at: &usize| records[*at].1.kind == Kind::File && !records[*at].1.body.is_empty();
        let mut taken: BTreeSet<usize> = BTreeSet::new();
        for at in drawn.iter().map(|at| *at as usize) {
            let around = (at..records.len()).chain(0..at);
            let file = around.filter(is_file).find(|at| !taken.contains(at));
            taken.extend(file);
        }
        let files = records.into_iter().enumerate().filter(|(at, _)| taken.contains(at));
        self.files.extend(files.map(|(_, (key, item))| (key.inode, item)));
    }
}

/// `count` different numbers below `of`.
fn draw(seed: &[u8; 32], count: u64, of: u64) -> BTreeSet<u64> {
    if count >= of {
        return (0..of).collect();
    }
    let mut chances = blake3::Hasher::new_keyed(seed).finalize_xof();
    let mut drawn = BTreeSet::new();
    while (drawn.len() as u64) < count {
        let mut chance = [0; 8];
        chances.fill(&mut chance);
        drawn.insert(u64::from_le_bytes(chance) % of);
    }
    drawn
}
