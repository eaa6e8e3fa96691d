//! Everything secret: the only code of cobox that sees key bytes. Keys are wiped when dropped and print as nothing; they
//! leave this module as what they are good for (a seal, a signature, a digest), or as bytes for the keystore.
//!
//! Primitives: BLAKE3 (`derive_key` with the labels of [`labels`], keyed mode), AES-256-GCM in [`crate::seal`], HPKE (RFC
//! 9180) in `hpke`, Ed25519 (RFC 8032) in `cobox_proto::sign`, BIP-39 words in [`phrase`], SPAKE2 in `pake`.

mod folder;
pub(crate) mod hpke;
mod identity;
pub mod labels;
pub(crate) mod pake;
pub mod phrase;

pub use folder::{EpochKeys, EpochSecret, FolderKeys, KeysError, Profile, ShapeKey};
#[cfg(debug_assertions)]
pub use hpke::remember_envelopes;
pub use hpke::{EnvelopeError, HpkeSecret};
pub use identity::{ContactKey, ContactSecret, DeviceSecret, InviteSecret, PrincipalSecret, RootSecret, Slot};
