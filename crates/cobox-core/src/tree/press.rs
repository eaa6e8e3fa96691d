//! Turns payloads into sealed blocks of one epoch and hands the new ones on.

use cobox_proto::id::{Cid, EpochTag};
use cobox_proto::limits::{BLOCK_LINKS_MAX, BLOCK_PAYLOAD_BYTES_MAX};

use super::node::Payload;
use super::{TreeError, TreeKeys};
use crate::seal::{BlockKind, SealedBlock};

/// Seals under one epoch. Blocks go to `emit` one by one, so that writing a large tree never holds all of it.
pub(super) struct Press<'a, K> {
    pub(super) keys: &'a K,
    pub(super) epoch: EpochTag,
    pub(super) emit: &'a mut dyn FnMut(SealedBlock),
}

impl<K: TreeKeys> Press<'_, K> {
    /// Seals and hands on; returns the block's name and stored bytes.
    pub(super) fn seal(&mut self, kind: BlockKind, payload: &Payload) -> Result<(Cid, u32), TreeError> {
        let block = self.seal_only(kind, payload)?;
        let sealed = (block.cid, block.bytes.len() as u32);
        (self.emit)(block);
        Ok(sealed)
    }

    /// Seals without handing on.
    pub(super) fn seal_only(&self, kind: BlockKind, payload: &Payload) -> Result<SealedBlock, TreeError> {
        if payload.bytes.len() > BLOCK_PAYLOAD_BYTES_MAX || payload.links.len() > BLOCK_LINKS_MAX {
            return Err(TreeError::TooLarge);
        }
        Ok(self.keys.seal(self.epoch, kind, &payload.links, &payload.bytes)?)
    }
}
