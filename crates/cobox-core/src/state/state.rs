//! A whole folder state: context, fork points and items, findable by inode and walkable in the order of the tree. Owns the
//! agreement between its maps: every item has a place, hence a key, and stands under that key exactly once. Items are
//! shared between clones, so that keeping a second state costs its maps and its differences only.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::Bound;
use std::sync::Arc;

use cobox_proto::id::{HeadId, Inode};

use super::{Ctx, Item, Key, Kind};

/// Everything a folder is at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Which dots were seen.
    pub ctx: Ctx,
    /// Points at which an actor's chain of heads was found to fork (design 4.3).
    pub forks: BTreeSet<HeadId>,
    items: BTreeMap<Inode, Arc<Item>>,
    order: BTreeSet<Key>,
    bodiless: BTreeSet<Inode>,
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
        self.items.get(inode).map(|item| &**item)
    }

    /// Items in key order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Item)> {
        self.range(Bound::Unbounded)
    }

    /// Items from a bound on, in key order.
    pub fn range(&self, from: Bound<Key>) -> impl Iterator<Item = (Key, &Item)> {
        self.order.range((from, Bound::Unbounded)).filter_map(|key| Some((*key, self.get(&key.inode)?)))
    }

    /// Items whose effective parent this is, by inode; trashed and empty ones too.
    pub fn children(&self, parent: &Inode) -> impl Iterator<Item = Inode> {
        let first = Key { parent: *parent, inode: Inode::ZERO };
        let last = Key { parent: *parent, inode: Inode([0xff; Inode::LEN]) };
        self.order.range(first..=last).map(|key| key.inode)
    }

    /// Puts an item in place of what stood under the inode. One without a place can not be stored and counts as absent.
    pub fn insert(&mut self, inode: Inode, item: impl Into<Arc<Item>>) {
        self.put(inode, Some(item.into()));
    }

    /// Takes an item out.
    pub fn remove(&mut self, inode: &Inode) -> Option<Item> {
        let item = self.items.get(inode).map(Arc::clone)?;
        self.put(*inode, None);
        Some(Arc::unwrap_or_clone(item))
    }

    /// Items in inode order, as they are shared.
    pub(super) fn shared(&self) -> btree_map::Iter<'_, Inode, Arc<Item>> {
        self.items.iter()
    }

    /// Files and symlinks all of whose bodies are gone: dead, but for the records.
    pub(super) fn bodiless(&self) -> &BTreeSet<Inode> {
        &self.bodiless
    }

    /// Replaces or removes an item; the key it had before.
    pub(super) fn put(&mut self, inode: Inode, item: Option<Arc<Item>>) -> Option<Key> {
        let before = self.items.get(&inode).and_then(|old| old.key(inode));
        let placed = item.and_then(|item| Some((item.key(inode)?, item)));
        let after = placed.as_ref().map(|(key, _)| *key);
        if before != after {
            if let Some(key) = before {
                self.order.remove(&key);
            }
            self.order.extend(after);
        }
        match placed {
            Some((_, item)) => {
                if item.kind != Kind::Dir && item.body.is_empty() {
                    self.bodiless.insert(inode);
                } else {
                    self.bodiless.remove(&inode);
                }
                self.items.insert(inode, item);
            }
            None => {
                self.bodiless.remove(&inode);
                self.items.remove(&inode);
            }
        }
        before
    }
}

/// Which items a change touched, each with the key it had before; `None` where it was absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched(BTreeMap<Inode, Option<Key>>);

impl Touched {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes an item; of several notes the earliest counts.
    pub fn note(&mut self, inode: Inode, before: Option<Key>) {
        self.0.entry(inode).or_insert(before);
    }

    /// Adds what a later change touched.
    pub fn merge(&mut self, later: Touched) {
        for (inode, before) in later.0 {
            self.note(inode, before);
        }
    }

    /// Whether an item was touched.
    pub fn contains(&self, inode: &Inode) -> bool {
        self.0.contains_key(inode)
    }

    /// In inode order.
    pub fn iter(&self) -> impl Iterator<Item = (&Inode, &Option<Key>)> {
        self.0.iter()
    }

    /// How many items.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no item was touched.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets items that were absent before and are absent in `now` again.
    pub(super) fn drop_passing(&mut self, now: &State) {
        self.0.retain(|inode, before| before.is_some() || now.get(inode).is_some());
    }
}
