//! Where the rows of a tree come from: a state, or a state with some items replaced.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use cobox_proto::id::Inode;

use crate::state::{Differences, Item, Key, State};

/// Items in key order.
pub trait Records {
    /// One item.
    fn item(&self, inode: &Inode) -> Option<&Item>;
    /// All items whose key is greater than `after`, in key order; all there are if `None`.
    fn after(&self, after: Option<Key>) -> Box<dyn Iterator<Item = (Key, &Item)> + '_>;
}

fn bound(after: Option<Key>) -> Bound<Key> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

impl Records for State {
    fn item(&self, inode: &Inode) -> Option<&Item> {
        self.get(inode)
    }
    fn after(&self, after: Option<Key>) -> Box<dyn Iterator<Item = (Key, &Item)> + '_> {
        Box::new(self.range(bound(after)))
    }
}

/// A state as it would be with the items in `theirs` in place of its own (`None`: absent), without a copy of it.
#[derive(Debug)]
pub struct Overlay<'a> {
    state: &'a State,
    theirs: &'a Differences,
    by_key: BTreeMap<Key, &'a Item>,
}

impl<'a> Overlay<'a> {
    /// `theirs` over `state`.
    pub fn new(state: &'a State, theirs: &'a Differences) -> Self {
        let keyed = |(inode, item): (&Inode, &'a Option<Arc<Item>>)| {
            let item = item.as_deref()?;
            Some((item.key(*inode)?, item))
        };
        Self { state, theirs, by_key: theirs.iter().filter_map(keyed).collect() }
    }
}

impl Records for Overlay<'_> {
    fn item(&self, inode: &Inode) -> Option<&Item> {
        match self.theirs.get(inode) {
            Some(item) => item.as_deref(),
            None => self.state.get(inode),
        }
    }
    fn after(&self, after: Option<Key>) -> Box<dyn Iterator<Item = (Key, &Item)> + '_> {
        let from = bound(after);
        let mut theirs = self.by_key.range((from, Bound::Unbounded)).map(|(key, item)| (*key, *item)).peekable();
        let ours = self.state.range(from).filter(|(key, _)| !self.theirs.contains_key(&key.inode));
        let mut ours = ours.peekable();
        Box::new(std::iter::from_fn(move || match (ours.peek(), theirs.peek()) {
            (Some(a), Some(b)) if a.0 < b.0 => ours.next(),
            (_, Some(_)) => theirs.next(),
            _ => ours.next(),
        }))
    }
}
