//! What can be wrong with a tree, and what to do about it.

use cobox_proto::codec::DecodeError;
use cobox_proto::id::{Cid, Inode};

use crate::seal::SealError;

/// Why a tree can not be written or read. Everything but [`TreeError::Seal`], [`TreeError::TooLarge`] and the
/// errors of use (`Incomplete`, `NotWanted`, `OtherBase`) says that the author of the root made it wrong: the head is refused.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A block could not be opened or sealed. Only a missing epoch is no fault of the author: wait for its keys.
    #[error("a block of the tree can not be opened or sealed")]
    Seal(#[from] SealError),
    /// A block's content does not decode.
    #[error("{what} does not decode")]
    Malformed {
        /// Which kind of block.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// A block decodes but breaks a rule of the format.
    #[error("{what}: {rule}")]
    Broken {
        /// Which kind of block.
        what: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// An item of a state that no record can hold.
    #[error("item {inode:?} can not be written into a tree: {rule}; delete some of its conflict copies or the item")]
    BadItem {
        /// Which.
        inode: Inode,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A root, or a tree in all, larger than the format allows.
    #[error("the state is larger than a tree can hold: too many fork points or items; split the folder")]
    TooLarge,
    /// All nodes are well-formed, yet they are not the tree of the state they hold: wrong cuts, counts or levels.
    #[error("the nodes under root {root:?} are not the tree of the state they hold")]
    NotTheTree {
        /// The root that was claimed.
        root: Cid,
    },
    /// A value's dot is not covered by the context.
    #[error("the tree under root {root:?} holds a change that its own context does not cover")]
    BeyondContext {
        /// The root.
        root: Cid,
    },
    /// A block that was not asked for.
    #[error("block {0:?} was not asked for")]
    NotWanted(Cid),
    /// Asked for the result before every block was there.
    #[error("{missing} blocks of the tree are still missing; fetch them first")]
    Incomplete {
        /// How many are known to be missing.
        missing: usize,
    },
    /// A delta over a root other than the one given; walk the tree instead.
    #[error("the delta starts from root {wanted:?}; walk the tree instead")]
    OtherBase {
        /// The root it starts from.
        wanted: Cid,
    },
}

impl TreeError {
    pub(super) fn malformed(what: &'static str) -> impl FnOnce(DecodeError) -> Self {
        move |source| Self::Malformed { what, source }
    }
}
