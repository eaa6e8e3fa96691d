//! What a head says to members alone, sealed in it: the counter it proves, and how new its author's vault was.

use cobox_proto::codec::{Canonical, DecodeError, Reader, Writer};
use cobox_proto::head::SignedHead;
use cobox_proto::id::HeadId;

use crate::keys::FolderKeys;

/// The format of this program.
const FORMAT: u8 = 1;

/// The newest head of a person's vault that one of their devices knew. Whoever recovers and is given an older vault learns of
/// it from any folder (formats F6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultMark {
    /// Its number in its chain.
    pub seq: u64,
    /// Its name.
    pub head: HeadId,
}

/// A head's sealed note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadNote {
    /// The greatest counter of the head's actor.
    pub counter: u64,
    /// The author's vault, if it has one that was written.
    pub vault: Option<VaultMark>,
}

impl HeadNote {
    /// Opens the note of a head; `None` without the key, or if it is not in the format of this program.
    pub fn open(keys: &FolderKeys, head: &SignedHead) -> Option<Self> {
        let clear = head.head().clear_bytes();
        let note = keys.open_note(&head.head().epoch, "head", &clear, &head.head().sealed).ok()?;
        Self::from_bytes(&note).ok()
    }
}

impl Canonical for VaultMark {
    fn encode(&self, w: &mut Writer) {
        w.varint(self.seq).put(&self.head);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { seq: r.varint()?, head: r.get()? })
    }
}

impl Canonical for HeadNote {
    fn encode(&self, w: &mut Writer) {
        w.u8(FORMAT).varint(self.counter).option(self.vault.as_ref());
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match r.u8()? {
            FORMAT => Ok(Self { counter: r.varint()?, vault: r.option("vault")? }),
            found => Err(DecodeError::UnknownVersion { what: "note of a head", found: found.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_a_note_has_these_bytes_and_every_cut_or_other_version_is_refused() {
        let mark = VaultMark { seq: 300, head: HeadId([7; 32]) };
        let long = HeadNote { counter: 5, vault: Some(mark) }.to_bytes();
        assert_eq!(long, [&[1, 5, 1, 0xac, 0x02][..], &[7; 32]].concat());
        assert_eq!(HeadNote::from_bytes(&long).unwrap().vault, Some(mark));
        assert_eq!(HeadNote { counter: 128, vault: None }.to_bytes(), [1, 0x80, 1, 0]);
        for cut in 0..long.len() {
            assert!(HeadNote::from_bytes(&long[..cut]).is_err());
        }
        assert!(HeadNote::from_bytes(&[&long[..], &[0]].concat()).is_err());
        assert!(HeadNote::from_bytes(&[2, 5, 0]).is_err());
    }
}
