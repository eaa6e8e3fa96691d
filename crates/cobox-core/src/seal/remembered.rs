//! A simulator's members seal and open the very same blocks many times over: on a thread that asks for it, what was sealed once
//! is known by its salt, which names all that is sealed. Absent from release builds.
//!
//! What must hold: whoever asks gets what the work itself would have given. What is to be opened is compared with what was sealed to the
//! last byte, beside which place and under which epoch included.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use cobox_proto::block::SALT_BYTES;
use cobox_proto::id::{Cid, EpochId};

use super::Opened;

/// Bytes that are kept; beyond that, all are forgotten.
const KEPT_BYTES_MAX: usize = 128 << 20;

thread_local! {
    static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Known {
    by_salt: BTreeMap<[u8; SALT_BYTES], Rc<Seal>>,
    bytes: usize,
}

/// What was sealed: where it belongs, what came of it, what is in it.
pub(super) struct Seal {
    epoch: EpochId,
    ad: Vec<u8>,
    /// With whatever stands before the salt.
    pub(super) bytes: Vec<u8>,
    salt_at: usize,
    opened: Opened,
    cid: OnceCell<Cid>,
}

/// From here on this thread remembers what it seals.
pub fn remember_sealed() {
    KNOWN.with_borrow_mut(|known| *known = Some(Known::default()));
}

/// Whether this thread does.
pub(super) fn is_asked_for() -> bool {
    KNOWN.with_borrow(Option::is_some)
}

/// What was sealed with this salt.
pub(super) fn sealed(salt: &[u8; SALT_BYTES]) -> Option<Rc<Seal>> {
    KNOWN.with_borrow(|known| known.as_ref()?.by_salt.get(salt).cloned())
}

/// The name of the block that was sealed with this salt.
pub(super) fn name(salt: &[u8; SALT_BYTES]) -> Option<Cid> {
    let seal = sealed(salt)?;
    Some(*seal.cid.get_or_init(|| Cid::of(&seal.bytes)))
}

/// What is in `salt | ct | tag`, if it is known.
pub(super) fn opened(epoch: &EpochId, ad: &[u8], bytes: &[u8]) -> Option<Opened> {
    let seal = sealed(bytes.first_chunk()?)?;
    (seal.epoch == *epoch && seal.ad == ad && seal.bytes[seal.salt_at..] == *bytes).then(|| seal.opened.clone())
}

/// Something was sealed; its salt stands at `salt_at`.
pub(super) fn note(epoch: EpochId, ad: &[u8], bytes: &[u8], salt_at: usize, opened: Opened) {
    let Some(salt) = bytes[salt_at..].first_chunk().copied() else { return };
    let size = bytes.len() + opened.payload.len();
    let (ad, bytes) = (ad.to_vec(), bytes.to_vec());
    let seal = Seal { epoch, ad, bytes, salt_at, opened, cid: OnceCell::new() };
    KNOWN.with_borrow_mut(|known| {
        let Some(known) = known else { return };
        if known.bytes >= KEPT_BYTES_MAX {
            *known = Known::default();
        }
        known.bytes += size;
        known.by_salt.insert(salt, Rc::new(seal));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{EpochSecret, FolderKeys, Profile, ShapeKey};
    use crate::seal::{BlockKind, SealError};
    use cobox_proto::id::{EpochTag, FolderId};

    fn keys(folder: u8) -> (FolderKeys, [EpochTag; 2]) {
        let mut keys = FolderKeys::new(FolderId([folder; 32]), ShapeKey::from_bytes([2; 32]), Profile::Cdc);
        let params = FolderKeys::params_for(Profile::Cdc, false);
        let epochs = [3, 4].map(|secret| keys.insert_epoch(EpochSecret::from_bytes([secret; 32]), params).unwrap());
        (keys, epochs)
    }

    /// All that sealing and opening give, in an order that is always the same.
    fn told() -> Vec<String> {
        let mut told = Vec::new();
        for folder in [1, 9] {
            let (keys, epochs) = keys(folder);
            for epoch in epochs {
                for payload in [&b"one"[..], b"two", b""] {
                    let sealed = keys.seal_block(&epoch, BlockKind::Node, &[Cid([7; 32])], payload).unwrap();
                    told.push(format!("{sealed:?} {:?}", keys.open_block(&sealed.bytes)));
                    let mut damaged = sealed.bytes.clone();
                    *damaged.last_mut().unwrap() ^= 1;
                    assert_eq!(keys.open_block(&damaged), Err(SealError::Forged));
                    let mut elsewhere = sealed.bytes;
                    elsewhere[20] ^= 1;
                    assert!(keys.open_block(&elsewhere).is_err());
                    let note = keys.seal_note(&epoch, "head", b"here", payload).unwrap();
                    told.push(format!("{note:?} {:?}", keys.open_note(&epoch, "head", b"here", &note)));
                    assert_eq!(keys.open_note(&epoch, "head", b"there", &note), Err(SealError::Forged));
                    let other = epochs[usize::from(epoch == epochs[0])];
                    assert_eq!(keys.open_note(&other, "head", b"here", &note), Err(SealError::Forged));
                }
            }
        }
        told
    }

    #[test]
    fn what_is_remembered_is_what_the_work_would_give() {
        let worked = told();
        remember_sealed();
        assert_eq!(told(), worked, "the first time");
        assert_eq!(told(), worked, "and from memory");
    }
}
