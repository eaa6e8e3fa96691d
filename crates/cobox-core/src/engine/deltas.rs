//! Small changes travel with their head (design 8.2): whoever stands at the state before it writes the tree itself and
//! compares roots, and needs no further question. Whoever stands elsewhere walks the tree, which costs O(changes).
//!
//! What must hold: a delta only ever saves questions. One that is lost, late or wrong changes nothing but the time it takes:
//! whether a head is joined or refused is decided by its tree alone.

use std::collections::{BTreeSet, VecDeque};

use cobox_proto::id::{Cid, EpochTag, HeadId};

use super::Engine;
use super::merge::Row;
use crate::keys::FolderKeys;
use crate::seal::SealedBlock;
use crate::state::{Ctx, State, Touched};
use crate::tree::{Delta, Remote, Tree};

/// A change of more items is walked: its delta would be too large anyway.
const ITEMS_MAX: usize = 1024;
/// Deltas kept until their head comes; it comes right behind.
const KEPT_MAX: usize = 8;

/// The newest published state that ours builds on, and what changed since.
#[derive(Debug, Clone)]
pub(super) struct Since {
    tree: Tree,
    ctx: Ctx,
    forks: BTreeSet<HeadId>,
    touched: Touched,
}

/// What is known of deltas: for the next head of ours, and of the next heads of others.
#[derive(Debug, Clone, Default)]
pub(super) struct Deltas {
    since: Option<Since>,
    arrived: VecDeque<(Cid, Vec<u8>)>,
}

impl Deltas {
    /// The state is one that a known head has: the next change starts from here.
    pub(super) fn start(&mut self, state: &State, tree: &Tree) {
        let (ctx, forks) = (state.ctx.clone(), state.forks.clone());
        self.since = Some(Since { tree: tree.clone(), ctx, forks, touched: Touched::new() });
    }

    /// The state changed.
    pub(super) fn changed(&mut self, touched: &Touched) {
        if let Some(since) = &mut self.since {
            since.touched.merge(touched.clone());
            if since.touched.len() > ITEMS_MAX {
                self.since = None;
            }
        }
    }

    /// The change as a block, if it is small enough.
    pub(super) fn seal(&self, state: &State, epoch: EpochTag, keys: &FolderKeys) -> Option<SealedBlock> {
        let Since { tree, ctx, forks, touched } = self.since.as_ref()?;
        Delta::between(tree, (ctx, forks), state, touched, epoch)?.seal(keys).ok()?
    }

    /// One of somebody else's came.
    pub(super) fn arrived(&mut self, cid: Cid, bytes: Vec<u8>) {
        if self.arrived.len() >= KEPT_MAX {
            self.arrived.pop_front();
        }
        self.arrived.push_back((cid, bytes));
    }

    fn take(&mut self, cid: &Cid) -> Option<Vec<u8>> {
        let at = self.arrived.iter().position(|(known, _)| known == cid)?;
        self.arrived.remove(at).map(|(_, bytes)| bytes)
    }
}

impl Engine {
    /// Joins a head by its delta, if that came with it and starts from our state. `false`: its tree is to be walked.
    pub(super) fn join_by_delta(&mut self, id: HeadId) -> bool {
        if !self.may_join(&id) {
            return false;
        }
        let Some(Row { root, delta: Some(delta), .. }) = self.merging.row(&id) else { return false };
        let (root, delta) = (*root, *delta);
        let Some(bytes) = self.deltas.take(&delta) else { return false };
        let base = Remote::same(&self.state, &self.tree);
        let applied =
            Delta::open(&bytes, &self.keys).and_then(|delta| delta.apply(base, &self.state, root, &self.keys));
        match applied {
            // Its blocks are written once more by the join, which stores them.
            Ok((remote, _)) => self.join_remote(id, &remote),
            Err(_) => false,
        }
    }

    /// Notes if the state is one that a known head has.
    pub(super) fn note_published(&mut self) {
        if self.root_is_published() {
            self.deltas.start(&self.state, &self.tree);
            self.new_nodes = (0, 0);
        }
    }
}
