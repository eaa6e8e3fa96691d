//! Sealing small secrets to public keys: HPKE base mode (RFC 9180), HKDF-SHA256 (0x0001), ChaCha20-Poly1305 (0x0003).
//!
//! Epoch secrets go to X-Wing keys (KEM 0x647a, ML-KEM-768 with X25519: what a seeder stores today must not open for a quantum
//! computer later); invite codes go to CoBox keys (KEM 0x0020, DHKEM-X25519), which are short enough to type.
//!
//! ```text
//! sealed = kem id u16le | encapsulation | ciphertext with tag
//! info   = "cobox v1 <purpose>" | folder [32] | subject [32] | recipient key
//! ```
//!
//! Nonce rule: one message per encapsulation. The encapsulation's randomness is derived from the caller's 32 random bytes
//! together with info and content, so that even a repeated seed never repeats it for another message or recipient.

use cobox_proto::codec::{DecodeError, Reader, Writer};
use cobox_proto::id::FolderId;
use cobox_proto::limits::ENVELOPE_BYTES_MAX;
use cobox_proto::members::HpkeKey;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256, XWing};
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable};
use zeroize::Zeroizing;

use super::labels;

/// Why something can not be sealed to or opened with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The bytes.
    #[error("the sealed message is damaged: {0}")]
    Malformed(#[from] DecodeError),
    /// No valid point or lattice key: nothing may be sealed to it.
    #[error("the recipient's key is not valid; ask for it again")]
    BadKey,
    /// Sealed to another key or for another purpose, or changed on its way.
    #[error("the sealed message does not open with this key")]
    Forged,
}

/// What a sealed message is for; bound into it, so that it opens in no other place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose<'a> {
    /// One of [`labels`].
    pub(crate) label: &'static str,
    /// The folder.
    pub(crate) folder: &'a FolderId,
    /// The epoch or op it belongs to.
    pub(crate) subject: &'a [u8; 32],
}

impl Purpose<'_> {
    fn info(&self, recipient: &[u8]) -> Vec<u8> {
        [self.label.as_bytes(), &self.folder.0, self.subject, recipient].concat()
    }
}

/// The secret half of an [`HpkeKey`].
#[derive(Clone)]
pub struct HpkeSecret {
    seed: Zeroizing<[u8; 32]>,
    public: HpkeKey,
}

impl std::fmt::Debug for HpkeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HpkeSecret")
    }
}

impl HpkeSecret {
    /// From the 32-byte seed that is an X-Wing private key.
    pub(crate) fn from_seed(seed: Zeroizing<[u8; 32]>) -> Self {
        let secret = private::<XWing>(&seed);
        let public = XWing::sk_to_pk(&secret).to_bytes();
        let public = HpkeKey::from_slice(&public).expect("an X-Wing public key has the length of an HpkeKey");
        Self { seed, public }
    }
    /// The public half.
    pub fn public(&self) -> &HpkeKey {
        &self.public
    }
}

/// Seals to an X-Wing key. `random` is 32 fresh random bytes.
pub(crate) fn seal_xwing(
    to: &HpkeKey,
    purpose: Purpose<'_>,
    plain: &[u8],
    random: &[u8; 32],
) -> Result<Vec<u8>, EnvelopeError> {
    let sealed = seal::<XWing>(to.as_bytes(), purpose, plain, random)?;
    #[cfg(debug_assertions)]
    remembered::note(to, &purpose, &sealed, plain);
    Ok(sealed)
}

/// Opens what [`seal_xwing`] sealed for the same purpose.
pub(crate) fn open_xwing(
    secret: &HpkeSecret,
    purpose: Purpose<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    #[cfg(debug_assertions)]
    if let Some(known) = remembered::opened(&secret.public, &purpose, sealed) {
        return known;
    }
    open::<XWing>(&secret.seed, secret.public.as_bytes(), purpose, sealed)
}

/// The X25519 public key of a secret.
pub(crate) fn contact_public(secret: &[u8; 32]) -> [u8; 32] {
    X25519HkdfSha256::sk_to_pk(&private::<X25519HkdfSha256>(secret)).to_bytes().into()
}

/// Seals to an X25519 key. `random` is 32 fresh random bytes.
pub(crate) fn seal_contact(
    to: &[u8; 32],
    purpose: Purpose<'_>,
    plain: &[u8],
    random: &[u8; 32],
) -> Result<Vec<u8>, EnvelopeError> {
    seal::<X25519HkdfSha256>(to, purpose, plain, random)
}

/// Opens what [`seal_contact`] sealed for the same purpose.
pub(crate) fn open_contact(
    secret: &[u8; 32],
    purpose: Purpose<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    open::<X25519HkdfSha256>(secret, &contact_public(secret), purpose, sealed)
}

fn private<K: Kem>(seed: &[u8; 32]) -> K::PrivateKey {
    K::PrivateKey::from_bytes(seed).expect("any 32 bytes are a private key of both KEMs")
}

fn seal<K: Kem>(to: &[u8], purpose: Purpose<'_>, plain: &[u8], random: &[u8; 32]) -> Result<Vec<u8>, EnvelopeError> {
    let key = K::PublicKey::from_bytes(to).map_err(|_| EnvelopeError::BadKey)?;
    let info = purpose.info(to);
    let mut rng = Encapsulation::new(random, &info, plain);
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, K>(
        &OpModeS::Base,
        &key,
        &info,
        plain,
        &[],
        &mut rng,
    )
    .map_err(|_| EnvelopeError::BadKey)?;
    let mut w = Writer::new();
    w.u16(K::KEM_ID).fixed(&encapsulated.to_bytes()).fixed(&ciphertext);
    Ok(w.into_bytes())
}

fn open<K: Kem>(
    seed: &[u8; 32],
    public: &[u8],
    purpose: Purpose<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    if sealed.len() > ENVELOPE_BYTES_MAX {
        let (found, limit) = (sealed.len() as u64, ENVELOPE_BYTES_MAX as u64);
        return Err(DecodeError::TooLarge { what: "sealed message", found, limit }.into());
    }
    let mut r = Reader::new(sealed);
    let suite = r.u16()?;
    if suite != K::KEM_ID {
        return Err(DecodeError::UnknownVersion { what: "sealing suite", found: suite }.into());
    }
    let encapsulated = r.take(K::EncappedKey::size(), "encapsulation")?;
    let encapsulated = K::EncappedKey::from_bytes(encapsulated).map_err(|_| EnvelopeError::Forged)?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, K>(
        &OpModeR::Base,
        &private::<K>(seed),
        &encapsulated,
        &purpose.info(public),
        r.rest(),
        &[],
    )
    .map(Zeroizing::new)
    .map_err(|_| EnvelopeError::Forged)
}

/// The randomness of one encapsulation: a BLAKE3 output stream, seeded by the caller.
struct Encapsulation(blake3::OutputReader);

impl Encapsulation {
    fn new(random: &[u8; 32], info: &[u8], plain: &[u8]) -> Self {
        let mut h = blake3::Hasher::new_derive_key(labels::ENCAPSULATION);
        h.update(random).update(&(info.len() as u64).to_le_bytes()).update(info).update(plain);
        Self(h.finalize_xof())
    }
}

impl TryRng for Encapsulation {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(out);
        Ok(())
    }
}

// A keyed output stream of BLAKE3 is unpredictable to who lacks the seed.
impl TryCryptoRng for Encapsulation {}

/// A simulator's members open the same envelopes many times over: on a thread that asks for it, what is in them for whom is
/// remembered. Absent from release builds.
#[cfg(debug_assertions)]
mod remembered {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use cobox_proto::members::HpkeKey;
    use zeroize::Zeroizing;

    use super::{EnvelopeError, Purpose};

    /// Envelopes that are kept; beyond that, all are forgotten.
    const KEPT_MAX: usize = 10_000;

    type Opened = Result<Zeroizing<Vec<u8>>, EnvelopeError>;
    /// By all its bytes: for whom and for what purpose it was sealed, and what is in it; with any other key or purpose it does not open.
    type Envelopes = BTreeMap<Vec<u8>, (HpkeKey, Vec<u8>, Zeroizing<Vec<u8>>)>;

    thread_local! {
        static ENVELOPES: RefCell<Option<Envelopes>> = const { RefCell::new(None) };
    }

    /// From here on this thread remembers what it seals to public keys; what it remembers already, it goes on to.
    pub fn remember_envelopes() {
        ENVELOPES.with_borrow_mut(|envelopes| {
            envelopes.get_or_insert_default();
        });
    }

    pub(super) fn opened(whose: &HpkeKey, purpose: &Purpose<'_>, sealed: &[u8]) -> Option<Opened> {
        ENVELOPES.with_borrow(|envelopes| {
            let (key, info, plain) = envelopes.as_ref()?.get(sealed)?;
            let is_meant = key == whose && *info == purpose.info(&[]);
            Some(if is_meant { Ok(plain.clone()) } else { Err(EnvelopeError::Forged) })
        })
    }

    pub(super) fn note(to: &HpkeKey, purpose: &Purpose<'_>, sealed: &[u8], plain: &[u8]) {
        ENVELOPES.with_borrow_mut(|envelopes| {
            let Some(envelopes) = envelopes else { return };
            if envelopes.len() >= KEPT_MAX {
                envelopes.clear();
            }
            envelopes.insert(sealed.to_vec(), (to.clone(), purpose.info(&[]), Zeroizing::new(plain.to_vec())));
        });
    }
}

#[cfg(debug_assertions)]
pub use remembered::remember_envelopes;

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: FolderId = FolderId([1; 32]);

    fn purpose<'a>(label: &'static str, subject: &'a [u8; 32]) -> Purpose<'a> {
        Purpose { label, folder: &HERE, subject }
    }

    fn secret(seed: u8) -> HpkeSecret {
        HpkeSecret::from_seed(Zeroizing::new([seed; 32]))
    }

    #[test]
    fn an_envelope_opens_for_its_recipient_and_purpose_only() {
        let (bob, carol) = (secret(1), secret(2));
        let here = purpose(labels::BUNDLE_ENVELOPE, &[7; 32]);
        let sealed = seal_xwing(bob.public(), here, b"secret", &[9; 32]).unwrap();
        assert_eq!(sealed.len(), 2 + 1120 + 6 + 16);
        assert_eq!(&**open_xwing(&bob, here, &sealed).unwrap(), b"secret");
        assert_eq!(open_xwing(&carol, here, &sealed), Err(EnvelopeError::Forged));
        let elsewhere = Purpose { folder: &FolderId([2; 32]), ..here };
        for other in [elsewhere, purpose(labels::GRANT_ENVELOPE, &[7; 32]), purpose(labels::BUNDLE_ENVELOPE, &[8; 32])]
        {
            assert_eq!(open_xwing(&bob, other, &sealed), Err(EnvelopeError::Forged));
        }
    }

    #[test]
    #[cfg(debug_assertions)]
    fn what_is_remembered_of_envelopes_is_what_the_work_would_give() {
        let told = || {
            let (bob, carol) = (secret(1), secret(2));
            let here = purpose(labels::BUNDLE_ENVELOPE, &[7; 32]);
            let there = purpose(labels::BUNDLE_ENVELOPE, &[8; 32]);
            let sealed = seal_xwing(bob.public(), here, b"secret", &[9; 32]).unwrap();
            let mut damaged = sealed.clone();
            *damaged.last_mut().unwrap() ^= 1;
            let tries =
                [(&bob, here, &sealed), (&carol, here, &sealed), (&bob, there, &sealed), (&bob, here, &damaged)];
            (tries.map(|(whose, what, bytes)| open_xwing(whose, what, bytes)), sealed.clone())
        };
        let worked = told();
        remember_envelopes();
        assert_eq!(told(), worked, "the first time");
        assert_eq!(told(), worked, "and from memory");
    }

    #[test]
    fn s3_i1_every_cut_and_flipped_bit_of_an_envelope_is_refused() {
        let here = purpose(labels::SEALED_INVITE, &[7; 32]);
        let contact = [3; 32];
        let sealed = seal_contact(&contact_public(&contact), here, b"code", &[9; 32]).unwrap();
        assert_eq!(&**open_contact(&contact, here, &sealed).unwrap(), b"code");
        for cut in 0..sealed.len() {
            assert!(open_contact(&contact, here, &sealed[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open_contact(&contact, here, &changed).is_err(), "bit {bit}");
        }
        let bob = secret(1);
        let sealed = seal_xwing(bob.public(), here, b"code", &[9; 32]).unwrap();
        for cut in 0..sealed.len() {
            assert!(open_xwing(&bob, here, &sealed[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open_xwing(&bob, here, &changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn one_seed_for_two_messages_or_recipients_does_not_repeat_an_encapsulation() {
        let (bob, carol) = (secret(1), secret(2));
        let here = purpose(labels::BUNDLE_ENVELOPE, &[7; 32]);
        let encapsulation = |to: &HpkeSecret, plain: &[u8]| seal_xwing(to.public(), here, plain, &[9; 32]).unwrap();
        assert_eq!(encapsulation(&bob, b"a"), encapsulation(&bob, b"a"));
        assert_ne!(encapsulation(&bob, b"a")[..1122], encapsulation(&bob, b"b")[..1122]);
        assert_ne!(encapsulation(&bob, b"a")[1090..1122], encapsulation(&carol, b"a")[1090..1122]);
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        let here = purpose(labels::SEALED_INVITE, &[7; 32]);
        assert_eq!(seal_contact(&[0; 32], here, b"code", &[9; 32]), Err(EnvelopeError::BadKey));
        let bad = HpkeKey::from_slice(&[0xff; HpkeKey::LEN]).unwrap();
        assert_eq!(seal_xwing(&bad, here, b"code", &[9; 32]), Err(EnvelopeError::BadKey));
    }
}
