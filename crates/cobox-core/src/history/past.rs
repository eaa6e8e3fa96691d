//! A state of the folder at some head, and the way from it to another: only the nodes in which both differ are read.

use cobox_proto::id::Cid;

use crate::state::State;
use crate::tree::{Fetch, Remote, Tree, TreeError, TreeKeys};

/// Nodes asked for at once.
const NODES_AT_ONCE: usize = 256;

/// Where sealed nodes come from: this disk, members, seeders.
pub trait Nodes {
    /// As many of these blocks as can be had now, in any order, each with the bytes that its name is the hash of.
    fn fetch(&mut self, cids: &[Cid]) -> Vec<(Cid, Vec<u8>)>;
}

/// Why an earlier state can not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// Some node of it is kept nowhere that can be reached.
    #[error("the state under root {} is not kept by anybody who can be reached now", .root.short())]
    NotKept {
        /// Its root.
        root: Cid,
    },
    /// It is not what its author should have written.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// A state with its sealed tree. A clone shares items and nodes.
#[derive(Debug, Clone)]
pub struct Past {
    state: State,
    tree: Tree,
}

impl Past {
    /// Begins at a state that is at hand, most often that of now.
    pub fn new(state: State, tree: Tree) -> Self {
        Self { state, tree }
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }
    /// Its root.
    pub fn root(&self) -> Cid {
        self.tree.root()
    }

    /// How the state under `root` differs from this one.
    ///
    /// Errors: not all of it can be had, or it is not as it should be.
    pub fn differences(&self, root: Cid, nodes: &mut dyn Nodes, keys: &impl TreeKeys) -> Result<Remote, PastError> {
        if root == self.root() {
            return Ok(Remote::same(&self.state, &self.tree));
        }
        let mut fetch = Fetch::new(root, Some(&self.tree));
        loop {
            let wanted = fetch.wanted(NODES_AT_ONCE);
            if wanted.is_empty() {
                return Ok(fetch.done(&self.state, keys)?);
            }
            let mut is_stuck = true;
            for (cid, bytes) in nodes.fetch(&wanted) {
                match fetch.supply(cid, &bytes, keys) {
                    Ok(()) => is_stuck = false,
                    // Bytes of another name are as good as none.
                    Err(TreeError::NotWanted(_)) => {}
                    Err(why) => return Err(why.into()),
                }
            }
            if is_stuck {
                return Err(PastError::NotKept { root });
            }
        }
    }

    /// Goes on to a state of which the differences are known.
    pub fn become_remote(&mut self, remote: Remote) {
        let Remote { tree, ctx, forks, theirs } = remote;
        for (inode, item) in theirs {
            match item {
                Some(item) => self.state.insert(inode, item),
                None => drop(self.state.remove(&inode)),
            }
        }
        self.state.ctx = ctx;
        self.state.forks = forks;
        self.tree = tree;
    }
}
