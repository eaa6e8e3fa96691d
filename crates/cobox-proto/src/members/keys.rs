//! Public keys of principals: an Ed25519 key that signs and an X-Wing key that secrets are sealed to. A principal is a
//! member (its slot keys, formats F6), a device of a member, or an open invite.

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::id::{FolderId, Hash, OpId, SigKey};
use crate::sign::{SecretKey, Signature};

/// An X-Wing public key: ML-KEM-768 (1184 bytes) and X25519 (32 bytes). Clones share its bytes and its id: a log names each key many
/// times over, and whoever judges it asks for the id each time.
#[derive(Clone)]
pub struct HpkeKey(Arc<Inner>);

struct Inner {
    bytes: [u8; HpkeKey::LEN],
    id: OnceLock<Hash>,
}

impl HpkeKey {
    /// Length in bytes.
    pub const LEN: usize = 1216;

    /// From a slice of exactly [`Self::LEN`] bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.try_into().ok()?;
        Some(Self(Arc::new(Inner { bytes, id: OnceLock::new() })))
    }
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }
    /// The short name by which bundles, grants and envelopes call the key.
    pub fn id(&self) -> Hash {
        *self.0.id.get_or_init(|| Hash(blake3::derive_key("cobox v1 hpke key id", self.as_bytes())))
    }
}

impl PartialEq for HpkeKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for HpkeKey {}

impl PartialOrd for HpkeKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for HpkeKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::fmt::Debug for HpkeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HpkeKey({})", self.id().short())
    }
}

impl Canonical for HpkeKey {
    fn encode(&self, w: &mut Writer) {
        w.fixed(self.as_bytes());
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = r.take(Self::LEN, "X-Wing key")?;
        Ok(Self::from_slice(bytes).expect("so many bytes were taken"))
    }
}

/// Both public keys of one principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// Signs.
    pub sig: SigKey,
    /// Secrets are sealed to it.
    pub hpke: HpkeKey,
}

impl KeyPair {
    /// What a new device signs to show that it holds the key it asks a certificate for: without this a member could
    /// certify another member's device as its own and answer for its heads.
    pub fn prove_device(&self, device: &SecretKey, folder: &FolderId, member: &OpId) -> Signature {
        device.sign("device", folder, &self.proof_body(member))
    }
    /// Whether `proof` is from this device for this member of this folder.
    pub fn device_proved(&self, proof: &Signature, folder: &FolderId, member: &OpId) -> bool {
        self.sig.verifies("device", folder, &self.proof_body(member), proof)
    }

    fn proof_body(&self, member: &OpId) -> Vec<u8> {
        let mut w = Writer::new();
        w.put(member).put(self);
        w.into_bytes()
    }
}

impl Canonical for KeyPair {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.sig).put(&self.hpke);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { sig: r.get()?, hpke: r.get()? })
    }
}
