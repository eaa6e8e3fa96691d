//! The ids of the format as distinct types, so that a head can not be taken for a block. Each parses from and prints as
//! lower-case hex; `Debug` prints the first eight characters, which is what logs show.

use std::cmp::Ordering;

use crate::codec::{Canonical, DecodeError, Reader, Writer};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: expected {expected} hex characters")]
pub struct ParseIdError {
    /// What was expected.
    pub kind: &'static str,
    /// How many characters it has.
    pub expected: usize,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident [$len:literal];)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;
            /// All zero; never a real id.
            pub const ZERO: $name = $name([0; $len]);

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// From a slice of exactly the right length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The first eight hex characters: for logs and people.
            pub fn short(&self) -> String {
                data_encoding::HEXLOWER.encode(&self.0[..4])
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        // As bytes are ordered. Nearly all ids part within the first eight, and tables of ids are compared through and through.
        impl Ord for $name {
            #[inline]
            fn cmp(&self, other: &Self) -> Ordering {
                let first = |id: &Self| id.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                first(self).cmp(&first(other)).then_with(|| self.0.cmp(&other.0))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let wrong = ParseIdError { kind: stringify!($name), expected: $len * 2 };
                let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| wrong.clone())?;
                Self::from_slice(&bytes).ok_or(wrong)
            }
        }

        impl Canonical for $name {
            fn encode(&self, w: &mut Writer) {
                w.fixed(&self.0);
            }
            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self(r.fixed()?))
            }
        }
    )*};
}

ids! {
    /// A folder: `derive_key("cobox v1 folder", genesis)` (formats F6), so it certifies its own founding.
    FolderId[32];
    /// A block's name: BLAKE3-256 of the block's bytes (formats F1).
    Cid[32];
    /// A head without its signature, hashed (formats F4).
    HeadId[32];
    /// A membership op without its signatures, hashed (formats F8). The genesis has one too: it equals the folder id's bytes.
    OpId[32];
    /// An epoch: `derive_key("cobox v1 epoch id", S_e)`; the full form stands in ops.
    EpochId[32];
    /// The first 16 bytes of an [`EpochId`]; stands in blocks and heads.
    EpochTag[16];
    /// The first 16 bytes of a [`HeadId`]; stands where many heads are named that must be known anyway to be of use.
    HeadTag[16];
    /// One incarnation of a device's folder database: `derive_key("cobox v1 actor", folder | device | nonce)[..16]`.
    ActorId[16];
    /// The stable identity of a file, symlink or directory inside a folder.
    Inode[16];
    /// A hosting offer.
    OfferId[16];
    /// A machine on the network: the public key that its transport proves.
    EndpointId[32];
    /// A folder id as it travels before the peer proved anything: keyed with the session's secret (formats F9).
    BlindedFolder[32];
    /// An Ed25519 public key: of a device, a member slot, an invite or a seeder.
    SigKey[32];
    /// A plain BLAKE3 hash where no narrower type exists.
    Hash[32];
}

impl EpochId {
    /// The prefix that stands in blocks and heads.
    pub fn tag(&self) -> EpochTag {
        let mut tag = [0; 16];
        tag.copy_from_slice(&self.0[..16]);
        EpochTag(tag)
    }
}

impl HeadId {
    /// The prefix that stands where many heads are named.
    pub fn tag(&self) -> HeadTag {
        let mut tag = [0; 16];
        tag.copy_from_slice(&self.0[..16]);
        HeadTag(tag)
    }
}

impl Cid {
    /// The name of a block with these bytes.
    pub fn of(block: &[u8]) -> Self {
        #[cfg(debug_assertions)]
        return remembered::name(block);
        #[cfg(not(debug_assertions))]
        return Self(*blake3::hash(block).as_bytes());
    }
}

/// A simulator names the same blocks many times over: on a thread that asks for it, names are remembered with all that they name. Absent
/// from release builds.
#[cfg(debug_assertions)]
mod remembered {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::Cid;

    /// Bytes that are kept; beyond that, all are forgotten.
    const KEPT_BYTES_MAX: usize = 64 << 20;

    /// Blocks by their last bytes, which are a seal's tag.
    type Known = BTreeMap<[u8; 16], Vec<(Vec<u8>, Cid)>>;

    thread_local! {
        static NAMES: RefCell<Option<(Known, usize)>> = const { RefCell::new(None) };
    }

    /// From here on this thread remembers the names of blocks, and nothing that it remembered before.
    pub fn remember_names() {
        NAMES.set(Some((Known::new(), 0)));
    }

    pub(super) fn name(block: &[u8]) -> Cid {
        let hash = || Cid(*blake3::hash(block).as_bytes());
        NAMES.with_borrow_mut(|names| {
            let (Some((known, bytes)), Some(tag)) = (names, block.last_chunk()) else { return hash() };
            if *bytes > KEPT_BYTES_MAX {
                (*known, *bytes) = (Known::new(), 0);
            }
            let alike = known.entry(*tag).or_default();
            if let Some((_, cid)) = alike.iter().find(|(bytes, _)| bytes == block) {
                return *cid;
            }
            *bytes += block.len();
            let cid = hash();
            alike.push((block.to_vec(), cid));
            cid
        })
    }
}

#[cfg(debug_assertions)]
pub use remembered::remember_names;

impl ActorId {
    /// The actor of `device` in `folder` for this `nonce` (formats F4).
    pub fn of(folder: &FolderId, device: &SigKey, nonce: &[u8; 16]) -> Self {
        let mut h = blake3::Hasher::new_derive_key("cobox v1 actor");
        h.update(&folder.0).update(&device.0).update(nonce);
        let mut id = [0; 16];
        id.copy_from_slice(&h.finalize().as_bytes()[..16]);
        Self(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_as_their_bytes() {
        let ids = [[0, 0], [0, 9], [1, 0], [1, 1], [200, 3], [255, 255]].map(|[first, last]| {
            let mut id = [7; 32];
            (id[0], id[31]) = (first, last);
            id
        });
        for a in ids {
            for b in ids {
                assert_eq!(Cid(a).cmp(&Cid(b)), a.cmp(&b), "{a:?} {b:?}");
                let [Some(c), Some(d)] = [a, b].map(|id| Inode::from_slice(&id[16..])) else { unreachable!() };
                assert_eq!(c.cmp(&d), c.0.cmp(&d.0));
            }
        }
    }

    #[test]
    #[cfg(debug_assertions)]
    fn what_is_remembered_of_names_is_what_the_work_would_give() {
        // Two of them end alike, one is too short to be remembered.
        let blocks = [&b"one block and what ends it"[..], b"another, and what ends it", b"short", b""];
        let told = || blocks.map(Cid::of);
        let worked = told();
        assert_eq!(worked[2].0, *blake3::hash(b"short").as_bytes());
        remember_names();
        assert_eq!(told(), worked, "the first time");
        assert_eq!(told(), worked, "and from memory");
    }
}
