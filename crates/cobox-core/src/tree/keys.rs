//! What the tree needs of a folder's keys, and nothing more.

use cobox_proto::id::{Cid, EpochTag};

use crate::keys::FolderKeys;
use crate::seal::{BlockKind, OpenBlock, SealError, SealedBlock};

/// A folder's keys as the tree sees them.
pub trait TreeKeys {
    /// Seals a block (formats F1). Equal arguments give equal bytes.
    fn seal(&self, epoch: EpochTag, kind: BlockKind, links: &[Cid], payload: &[u8]) -> Result<SealedBlock, SealError>;
    /// Opens a block and checks everything F1 says.
    fn open(&self, block: &[u8]) -> Result<OpenBlock, SealError>;
    /// First eight bytes, little-endian, of `keyed_BLAKE3(K_shape, domain | level | key)` (formats F3).
    fn bound(&self, domain: &[u8], level: u8, key: &[u8]) -> u64;
    /// `plain_digest` of content that stands inline (formats F3).
    fn inline_digest(&self, bytes: &[u8]) -> [u8; 32];
}

impl TreeKeys for FolderKeys {
    fn seal(&self, epoch: EpochTag, kind: BlockKind, links: &[Cid], payload: &[u8]) -> Result<SealedBlock, SealError> {
        self.seal_block(&epoch, kind, links, payload)
    }
    fn open(&self, block: &[u8]) -> Result<OpenBlock, SealError> {
        self.open_block(block)
    }
    fn bound(&self, domain: &[u8], level: u8, key: &[u8]) -> u64 {
        self.shape().bound(domain, level, key)
    }
    fn inline_digest(&self, bytes: &[u8]) -> [u8; 32] {
        crate::content::inline_digest(self, bytes)
    }
}
