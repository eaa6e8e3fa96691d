//! The synced tree: what the folder's disk and the state last agreed on, path by path.
//!
//! Owns the entries and how many of them show each item. What must hold: the count is that of the entries, whoever changes them.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use cobox_proto::id::Inode;

use super::io::Synced;
use crate::path::FolderPath;

/// Reads like the map it is.
#[derive(Debug, Clone, Default)]
pub(super) struct SyncedTree {
    entries: BTreeMap<FolderPath, Arc<Synced>>,
    /// At how many paths an item stands, by one half of its random name: two items that share it are taken to stand twice, which costs a
    /// closer look and nothing else.
    standing: BTreeMap<u64, u32>,
}

fn half(inode: Inode) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&inode.0[..8]);
    u64::from_le_bytes(half)
}

impl SyncedTree {
    pub(super) fn insert(&mut self, path: FolderPath, entry: Arc<Synced>) -> Option<Arc<Synced>> {
        *self.standing.entry(half(entry.inode)).or_insert(0) += 1;
        let old = self.entries.insert(path, entry);
        if let Some(old) = &old {
            self.leaves(old.inode);
        }
        old
    }

    pub(super) fn remove(&mut self, path: &FolderPath) -> Option<Arc<Synced>> {
        let old = self.entries.remove(path)?;
        self.leaves(old.inode);
        Some(old)
    }

    fn leaves(&mut self, inode: Inode) {
        if let Some(count) = self.standing.get_mut(&half(inode)) {
            *count -= 1;
            if *count == 0 {
                self.standing.remove(&half(inode));
            }
        }
    }

    /// All entries, to be changed in anything but the item they show.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&FolderPath, &mut Arc<Synced>)> {
        self.entries.iter_mut()
    }

    /// Whether an item may stand at two paths or more. If not, it surely does not.
    pub(super) fn may_stand_twice(&self, inode: Inode) -> bool {
        self.standing.get(&half(inode)).is_some_and(|count| *count > 1)
    }
}

impl Deref for SyncedTree {
    type Target = BTreeMap<FolderPath, Arc<Synced>>;

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

impl From<BTreeMap<FolderPath, Arc<Synced>>> for SyncedTree {
    fn from(entries: BTreeMap<FolderPath, Arc<Synced>>) -> Self {
        let mut standing = BTreeMap::new();
        for entry in entries.values() {
            *standing.entry(half(entry.inode)).or_insert(0) += 1;
        }
        Self { entries, standing }
    }
}

#[cfg(test)]
mod tests {
    use cobox_proto::id::Inode;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::FileId;

    proptest! {
        #[test]
        fn an_item_at_two_paths_is_known_to_stand_twice_whatever_came_and_went(
            deeds in proptest::collection::vec((0_u8..6, 0_u8..4, any::<bool>()), 0..40),
        ) {
            let mut tree = SyncedTree::default();
            for (path, item, stays) in deeds {
                let path: FolderPath = FolderPath::parse(&format!("file {path}")).unwrap();
                if stays {
                    tree.insert(path, Arc::new(Synced::dir(Inode([item; 16]), FileId { dev: 1, ino: 1 })));
                } else {
                    tree.remove(&path);
                }
                for item in 0..4 {
                    let count = tree.values().filter(|entry| entry.inode == Inode([item; 16])).count();
                    prop_assert_eq!(tree.may_stand_twice(Inode([item; 16])), count > 1);
                }
                prop_assert_eq!(SyncedTree::from(tree.entries.clone()).standing, tree.standing.clone());
            }
        }
    }
}
