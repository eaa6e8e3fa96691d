//! Keys that hide nothing: a node's payload stands plain behind a real block header. A member holds the real keys and can seal
//! whatever it likes, so this is what its nodes are to whoever opens them.

use cobox_core::seal::{BlockKind, OpenBlock, SealError, SealedBlock};
use cobox_core::tree::TreeKeys;
use cobox_proto::block::{BlockHeader, SALT_BYTES, TAG_BYTES};
use cobox_proto::id::{Cid, EpochTag};

/// See the module's text.
pub(crate) struct Glass;

/// Every kind of block.
pub(crate) const KINDS: [BlockKind; 7] = [
    BlockKind::Chunk,
    BlockKind::Node,
    BlockKind::Root,
    BlockKind::Manifest,
    BlockKind::Delta,
    BlockKind::Ctx,
    BlockKind::Bundle,
];

impl TreeKeys for Glass {
    fn seal(&self, epoch: EpochTag, kind: BlockKind, links: &[Cid], payload: &[u8]) -> Result<SealedBlock, SealError> {
        let mut bytes = BlockHeader { epoch, links: links.to_vec() }.to_bytes();
        bytes.extend_from_slice(&[0; SALT_BYTES]);
        bytes.push(kind as u8);
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&[0; TAG_BYTES]);
        Ok(SealedBlock { cid: Cid::of(&bytes), bytes })
    }
    fn open(&self, block: &[u8]) -> Result<OpenBlock, SealError> {
        let (header, at) = BlockHeader::parse(block)?;
        let [kind, payload @ ..] = &block[at + SALT_BYTES..block.len() - TAG_BYTES] else {
            return Err(SealError::Forged);
        };
        let kind = KINDS.into_iter().find(|known| *known as u8 == *kind).ok_or(SealError::Forged)?;
        let BlockHeader { epoch, links } = header;
        Ok(OpenBlock { kind, epoch, links, payload: payload.to_vec(), digest: [0; 32] })
    }
    fn bound(&self, domain: &[u8], level: u8, key: &[u8]) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&[7; 32]);
        hasher.update(domain).update(&[level]).update(key);
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
    fn inline_digest(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&[8; 32], bytes).as_bytes()
    }
}
