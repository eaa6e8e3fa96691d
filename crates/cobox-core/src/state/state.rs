//! A whole folder state: context, fork points and items, findable by inode and walkable in tree order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use cobox_proto::id::{HeadId, Inode};

use super::{Ctx, Item, Key};

/// Everything a folder is at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Which dots were seen.
    pub ctx: Ctx,
    /// Last common heads of devices that forked (design 4.3).
    pub forks: BTreeSet<HeadId>,
    items: BTreeMap<Key, Item>,
    keys: BTreeMap<Inode, Key>,
}

impl State {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }
    /// How many items.
    pub fn len(&self) -> usize {
        self.items.len()
    }
    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
    /// An item.
    pub fn get(&self, inode: &Inode) -> Option<&Item> {
        self.items.get(self.keys.get(inode)?)
    }
    /// Puts an item in place of what stood under the inode; one without a place removes it.
    pub fn insert(&mut self, inode: Inode, item: Item) {
        self.remove(&inode);
        if let Some(key) = item.key(inode) {
            self.keys.insert(inode, key);
            self.items.insert(key, item);
        }
    }
    /// Takes an item out.
    pub fn remove(&mut self, inode: &Inode) -> Option<Item> {
        self.items.remove(&self.keys.remove(inode)?)
    }
    /// All items in key order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Item)> {
        self.range(Bound::Unbounded)
    }
    /// Items from a bound on, in key order.
    pub fn range(&self, from: Bound<Key>) -> impl Iterator<Item = (Key, &Item)> {
        self.items.range((from, Bound::Unbounded)).map(|(key, item)| (*key, item))
    }
}

/// Which items a change touched, each with the key it had before; `None` where it was absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched(BTreeMap<Inode, Option<Key>>);

impl Touched {
    /// Notes an item; the earliest key wins.
    pub fn note(&mut self, inode: Inode, before: Option<Key>) {
        self.0.entry(inode).or_insert(before);
    }
    /// In inode order.
    pub fn iter(&self) -> impl Iterator<Item = (&Inode, &Option<Key>)> {
        self.0.iter()
    }
}
