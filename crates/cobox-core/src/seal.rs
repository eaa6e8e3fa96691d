//! Plaintext to sealed block and back (formats F1).

use cobox_proto::id::{Cid, EpochTag};

/// What a block holds; stands encrypted in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockKind {
    /// A piece of a file.
    Chunk = 1,
    /// A node of the state's tree.
    Node = 2,
    /// The root of a state.
    Root = 3,
    /// A node of a long file's list of chunks.
    Manifest = 4,
    /// The change from one root to the next.
    Delta = 5,
    /// A node of the context.
    Ctx = 6,
    /// Epoch secrets in bulk.
    Bundle = 7,
}

/// A block ready to be stored or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBlock {
    /// Its name.
    pub cid: Cid,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A block as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBlock {
    /// What it holds.
    pub kind: BlockKind,
    /// The epoch it was sealed under.
    pub epoch: EpochTag,
    /// The blocks beneath it, sorted.
    pub links: Vec<Cid>,
    /// Its content.
    pub payload: Vec<u8>,
    /// Keyed digest of the content.
    pub digest: [u8; 32],
}

/// Why something can not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Wrong key, changed bytes, or sealed for another folder or place.
    #[error("the block was not sealed for this place by a member, or was changed on its way; fetch it elsewhere")]
    Forged,
}
