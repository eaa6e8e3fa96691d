//! Folders of kind vault: their few small files live in the state alone.

use std::collections::BTreeSet;

use cobox_proto::id::Inode;

use super::Engine;
use crate::path::FolderPath;
use crate::state::{Body, Dot, Kind, ViewEntry};

impl Engine {
    /// For folders of kind vault: there is no disk to look at, and nothing is ever planned for one.
    pub fn run_without_disk(&mut self) {
        self.without_disk = true;
        self.scanned_once = true;
    }

    /// Writes a file without a disk: for folders of kind vault, which live in the state alone.
    ///
    /// An equal file is left as it is.
    pub fn put_virtual(&mut self, now_ms: u64, path: &FolderPath, body: Body) {
        let (Some(name), true) = (path.name(), self.may_publish()) else { return };
        let current = self.leaf_at(path);
        if current.as_ref().is_some_and(|(_, _, old)| old.plain_digest == body.plain_digest) {
            return;
        }
        let mut commit = crate::state::Commit::new(&mut self.state, self.own.actor, self.own.device, self.keys.shape());
        match current {
            Some((inode, dots, _)) => {
                commit.edit(inode, &dots, body).expect("the view shows items of the state");
            }
            None => {
                let mut parent = Inode::ZERO;
                for dir in path.parent().iter().flat_map(FolderPath::descent) {
                    let known = self.view.lookup(&dir).and_then(ViewEntry::dir);
                    let name = dir.name().expect("a descent does not name the root");
                    parent = known.unwrap_or_else(|| commit.make_dir(parent, &name));
                }
                commit.create(parent, &name, Kind::File, body);
            }
        }
        let written = commit.finish();
        self.finish_commit(now_ms, written, BTreeSet::new(), 1, 0);
    }

    /// The file shown at a path: inode, the dots behind it, its body.
    pub fn leaf_at(&self, path: &FolderPath) -> Option<(Inode, Vec<Dot>, Body)> {
        let leaf = self.view.lookup(path)?.shown()?;
        Some((leaf.inode, leaf.seen(), leaf.body(&self.state)?.clone()))
    }
}
