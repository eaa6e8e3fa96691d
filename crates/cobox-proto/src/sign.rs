//! Ed25519 signatures over `"cobox v1 <object>\0" | suite u8 | folder | body` and ids over the same bytes (formats, top).
//! Verification is strict: no small-order keys, no malleable signatures.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::id::{FolderId, SigKey};

/// The signature suite of v1: Ed25519.
pub const SUITE_ED25519: u8 = 1;

/// A signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signature({})", data_encoding::HEXLOWER.encode(&self.0[..4]))
    }
}

impl crate::codec::Canonical for Signature {
    fn encode(&self, w: &mut crate::codec::Writer) {
        w.fixed(&self.0);
    }
    fn decode(r: &mut crate::codec::Reader<'_>) -> Result<Self, crate::codec::DecodeError> {
        Ok(Self(r.fixed()?))
    }
}

/// A signing key; wiped when dropped, prints as nothing.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey")
    }
}

impl SecretKey {
    /// From 32 secret bytes (RFC 8032 seed).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }
    /// The seed, for the keystore only.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }
    /// The public half.
    pub fn public(&self) -> SigKey {
        SigKey(self.0.verifying_key().to_bytes())
    }
    /// Signs the body of an object of a folder. Objects that belong to no folder pass [`FolderId::ZERO`].
    pub fn sign(&self, object: &str, folder: &FolderId, body: &[u8]) -> Signature {
        let bytes = signed_bytes(object, folder, body);
        let signature = Signature(self.0.sign(&bytes).to_bytes());
        #[cfg(debug_assertions)]
        remembered::note(&self.public(), &bytes, &signature, true);
        signature
    }
}

impl SigKey {
    /// Whether `signature` is this key's over the object. False for keys that are no valid point.
    pub fn verifies(&self, object: &str, folder: &FolderId, body: &[u8], signature: &Signature) -> bool {
        let bytes = signed_bytes(object, folder, body);
        #[cfg(debug_assertions)]
        if let Some(known) = remembered::known(self, &bytes, signature) {
            return known;
        }
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        let holds = key.verify_strict(&bytes, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok();
        #[cfg(debug_assertions)]
        remembered::note(self, &bytes, signature, holds);
        holds
    }
}

/// A simulator checks one signature many times over: on a thread that asks for it, what was found is remembered. Absent from
/// release builds.
#[cfg(debug_assertions)]
mod remembered {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::Signature;
    use crate::id::SigKey;

    /// Signatures that are kept; beyond that, all are forgotten.
    const KEPT_MAX: usize = 20_000;

    /// By signature: whose it should be, over what, and whether it is.
    type Verdicts = BTreeMap<[u8; 64], Vec<(SigKey, Vec<u8>, bool)>>;

    thread_local! {
        static VERDICTS: RefCell<Option<Verdicts>> = const { RefCell::new(None) };
    }

    /// From here on this thread remembers which signatures hold; what it remembers already, it goes on to.
    pub fn remember_verified() {
        VERDICTS.with_borrow_mut(|verdicts| {
            verdicts.get_or_insert_default();
        });
    }

    pub(super) fn known(key: &SigKey, bytes: &[u8], signature: &Signature) -> Option<bool> {
        VERDICTS.with_borrow(|verdicts| {
            let of_it = verdicts.as_ref()?.get(&signature.0)?;
            of_it.iter().find(|(whose, over, _)| whose == key && over == bytes).map(|(.., holds)| *holds)
        })
    }

    pub(super) fn note(key: &SigKey, bytes: &[u8], signature: &Signature, holds: bool) {
        VERDICTS.with_borrow_mut(|verdicts| {
            if let Some(verdicts) = verdicts {
                if verdicts.len() >= KEPT_MAX {
                    verdicts.clear();
                }
                verdicts.entry(signature.0).or_default().push((*key, bytes.to_vec(), holds));
            }
        });
    }
}

#[cfg(debug_assertions)]
pub use remembered::remember_verified;

/// The id of an object: BLAKE3 `derive_key` with the object's label over suite, folder and body, signatures left out.
pub fn object_id(object: &str, folder: &FolderId, body: &[u8]) -> [u8; 32] {
    let mut h = blake3::Hasher::new_derive_key(&format!("cobox v1 {object} id"));
    h.update(&[SUITE_ED25519]).update(&folder.0).update(body);
    *h.finalize().as_bytes()
}

fn signed_bytes(object: &str, folder: &FolderId, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(object.len() + body.len() + 64);
    bytes.extend_from_slice(b"cobox v1 ");
    bytes.extend_from_slice(object.as_bytes());
    bytes.push(0);
    bytes.push(SUITE_ED25519);
    bytes.extend_from_slice(&folder.0);
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x13_a_signature_holds_for_one_object_in_one_folder_only() {
        let key = SecretKey::from_seed(&[7; 32]);
        let (here, there) = (FolderId([1; 32]), FolderId([2; 32]));
        let sig = key.sign("head", &here, b"body");
        assert!(key.public().verifies("head", &here, b"body", &sig));
        assert!(!key.public().verifies("head", &there, b"body", &sig));
        assert!(!key.public().verifies("op", &here, b"body", &sig));
        assert!(!key.public().verifies("head", &here, b"bodz", &sig));
        assert!(!SigKey([0; 32]).verifies("head", &here, b"body", &sig));
    }

    #[test]
    #[cfg(debug_assertions)]
    fn what_is_remembered_of_signatures_is_what_the_work_would_give() {
        let told = || {
            let (alice, bob) = (SecretKey::from_seed(&[7; 32]), SecretKey::from_seed(&[8; 32]));
            let here = FolderId([1; 32]);
            let sig = alice.sign("head", &here, b"body");
            let mut changed = sig;
            changed.0[5] ^= 1;
            let tries =
                [(&alice, sig, b"body"), (&bob, sig, b"body"), (&alice, sig, b"bodz"), (&alice, changed, b"body")];
            (sig, tries.map(|(key, sig, body)| key.public().verifies("head", &here, body, &sig)))
        };
        let worked = told();
        assert_eq!(worked.1, [true, false, false, false]);
        remember_verified();
        assert_eq!(told(), worked, "the first time");
        assert_eq!(told(), worked, "and from memory");
    }
}
