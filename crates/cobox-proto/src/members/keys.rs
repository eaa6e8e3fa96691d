//! Public keys of principals: an Ed25519 key that signs and an X-Wing key that secrets are sealed to. A principal is a
//! member (its slot keys, formats F6), a device of a member, or an open invite.

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::id::{FolderId, Hash, OpId, SigKey};
use crate::sign::{SecretKey, Signature};

/// An X-Wing public key: ML-KEM-768 (1184 bytes) and X25519 (32 bytes).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HpkeKey(Vec<u8>);

impl HpkeKey {
    /// Length in bytes.
    pub const LEN: usize = 1216;

    /// From a slice of exactly [`Self::LEN`] bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == Self::LEN).then(|| Self(bytes.to_vec()))
    }
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    /// The short name by which bundles, grants and envelopes call the key.
    pub fn id(&self) -> Hash {
        Hash(blake3::derive_key("cobox v1 hpke key id", &self.0))
    }
}

impl std::fmt::Debug for HpkeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HpkeKey({})", self.id().short())
    }
}

impl Canonical for HpkeKey {
    fn encode(&self, w: &mut Writer) {
        w.fixed(&self.0);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(r.take(Self::LEN, "X-Wing key")?.to_vec()))
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
