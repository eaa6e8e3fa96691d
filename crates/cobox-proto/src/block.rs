//! Sealed blocks as a stranger sees them: a cleartext header with strictly increasing links, then ciphertext (formats F1).
//! A block's name is the hash of its bytes, so whoever holds the name can verify whoever brings the block.

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{Cid, EpochTag};
use crate::limits::{BLOCK_BYTES_MAX, BLOCK_LINKS_MAX};

/// The block format of this program.
pub const BLOCK_VERSION: u8 = 1;
/// AES-256-GCM under a synthetic per-block key.
pub const SUITE_AES256GCM: u8 = 1;
/// Bytes of the salt before the ciphertext.
pub const SALT_BYTES: usize = 32;
/// Bytes of the tag after it.
pub const TAG_BYTES: usize = 16;

/// The part of a block that everybody may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHeader {
    /// The epoch whose secret opens it.
    pub epoch: EpochTag,
    /// The blocks beneath it; strictly increasing.
    pub links: Vec<Cid>,
}

impl BlockHeader {
    /// The bytes before the salt; they are also associated data of the seal.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(BLOCK_VERSION).u8(SUITE_AES256GCM).put(&self.epoch).list(&self.links);
        w.into_bytes()
    }

    /// Length of [`Self::to_bytes`] for `links` links.
    pub fn encoded_len(links: usize) -> usize {
        let varint = if links < 0x80 { 1 } else { 2 };
        2 + EpochTag::LEN + varint + links * Cid::LEN
    }

    /// Parses the header of a block and returns it with the offset of the salt.
    ///
    /// Errors: too large, unknown version or suite, links not strictly increasing, no room for salt and tag.
    pub fn parse(block: &[u8]) -> Result<(Self, usize), DecodeError> {
        if block.len() > BLOCK_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                what: "block",
                found: block.len() as u64,
                limit: BLOCK_BYTES_MAX as u64,
            });
        }
        let mut r = Reader::new(block);
        let version = r.u8()?;
        if version != BLOCK_VERSION {
            return Err(DecodeError::UnknownVersion { what: "block", found: version.into() });
        }
        let suite = r.u8()?;
        if suite != SUITE_AES256GCM {
            return Err(DecodeError::UnknownVersion { what: "block suite", found: suite.into() });
        }
        let epoch = r.get()?;
        let links = r.sorted_list(BLOCK_LINKS_MAX, "block links")?;
        if r.left() < SALT_BYTES + TAG_BYTES {
            return Err(DecodeError::Truncated { what: "block body" });
        }
        Ok((Self { epoch, links }, r.position()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_unsorted_links_are_refused() {
        let header = BlockHeader { epoch: EpochTag([3; 16]), links: vec![Cid([1; 32]), Cid([2; 32])] };
        let mut block = header.to_bytes();
        assert_eq!(block.len(), BlockHeader::encoded_len(2));
        block.extend_from_slice(&[0; SALT_BYTES + TAG_BYTES]);
        let (parsed, at) = BlockHeader::parse(&block).unwrap();
        assert_eq!((parsed, at), (header, BlockHeader::encoded_len(2)));
        for wrong in [vec![Cid([2; 32]), Cid([1; 32])], vec![Cid([1; 32]), Cid([1; 32])]] {
            let mut block = BlockHeader { epoch: EpochTag([3; 16]), links: wrong }.to_bytes();
            block.extend_from_slice(&[0; SALT_BYTES + TAG_BYTES]);
            assert!(BlockHeader::parse(&block).is_err());
        }
    }
}
