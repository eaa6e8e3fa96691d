//! Who a person and a device are. One root secret, twelve words on paper, gives a person's contact keys (their CoBox key, for
//! receiving invites) and the member slots they use in folders, one each, so that folders can not be linked by keys (formats
//! F6). A device has keys of its own in every folder, from a random seed.

use cobox_proto::codec::{Canonical, DecodeError, Reader, Writer};
use cobox_proto::id::SigKey;
use cobox_proto::limits::MEMBER_SLOTS;
use cobox_proto::members::KeyPair;
use cobox_proto::sign::SecretKey;
use cobox_proto::text::{self, TextError};
use zeroize::Zeroizing;

use super::hpke::{HpkeSecret, contact_public};
use super::labels;
use super::phrase::Words;

/// R: the 128 bits behind a person's twelve words.
#[derive(Clone)]
pub struct RootSecret(Zeroizing<[u8; 16]>);

/// Both secret keys of a principal: a member slot, a device or an invite.
#[derive(Debug, Clone)]
pub struct PrincipalSecret {
    /// Signs.
    pub sig: SecretKey,
    /// Opens what is sealed to it.
    pub hpke: HpkeSecret,
}

/// The keys a person has as a member of one folder; slot 0 is the vault's.
#[derive(Debug, Clone)]
pub struct Slot {
    number: u16,
    keys: PrincipalSecret,
}

/// The keys one installation has in one folder.
#[derive(Debug, Clone)]
pub struct DeviceSecret(PrincipalSecret);

/// The keys that whoever holds an invite's code has.
#[derive(Debug, Clone)]
pub struct InviteSecret(PrincipalSecret);

/// A person's contact keys.
#[derive(Clone)]
pub struct ContactSecret {
    sig: SecretKey,
    x25519: Zeroizing<[u8; 32]>,
}

/// A CoBox key: what a person gives to others so that they can send invites. Text `c1...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContactKey {
    /// Ed25519.
    pub sig: SigKey,
    /// X25519.
    pub x25519: [u8; 32],
}

/// How a CoBox key begins.
const CONTACT_PREFIX: &str = "c1";

macro_rules! prints_as_nothing {
    ($($name:ident)*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
prints_as_nothing!(RootSecret ContactSecret);

macro_rules! is_principal {
    ($($name:ident.$field:tt)*) => {$(
        impl std::ops::Deref for $name {
            type Target = PrincipalSecret;
            fn deref(&self) -> &PrincipalSecret {
                &self.$field
            }
        }
    )*};
}
is_principal!(Slot.keys DeviceSecret.0 InviteSecret.0);

impl RootSecret {
    /// From 16 random bytes.
    pub fn from_entropy(entropy: [u8; 16]) -> Self {
        Self(Zeroizing::new(entropy))
    }
    /// From the words on paper.
    pub fn from_words(words: &Words) -> Self {
        Self(words.entropy())
    }
    /// The words to write down.
    pub fn words(&self) -> Words {
        Words::from_entropy(&self.0)
    }
    /// The person's contact keys.
    pub fn contact(&self) -> ContactSecret {
        let (sig, x25519) = two_seeds(labels::CONTACT, &[self.0.as_slice()]);
        ContactSecret { sig: SecretKey::from_seed(&sig), x25519 }
    }
    /// The keys of a member slot.
    ///
    /// Panics: `number` is not below [`MEMBER_SLOTS`], which no caller may take from outside unchecked.
    pub fn slot(&self, number: u16) -> Slot {
        assert!(usize::from(number) < MEMBER_SLOTS, "there are {MEMBER_SLOTS} member slots");
        Slot { number, keys: PrincipalSecret::derive(labels::MEMBER, &[self.0.as_slice(), &number.to_le_bytes()]) }
    }
}

impl PrincipalSecret {
    fn derive(label: &'static str, parts: &[&[u8]]) -> Self {
        let (sig, hpke) = two_seeds(label, parts);
        Self { sig: SecretKey::from_seed(&sig), hpke: HpkeSecret::from_seed(hpke) }
    }
    /// The public halves.
    pub fn public(&self) -> KeyPair {
        KeyPair { sig: self.sig.public(), hpke: self.hpke.public().clone() }
    }
}

impl Slot {
    /// Which one.
    pub fn number(&self) -> u16 {
        self.number
    }
}

impl DeviceSecret {
    /// From 32 random bytes, fresh for every folder.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(PrincipalSecret::derive(labels::DEVICE, &[seed]))
    }
}

impl InviteSecret {
    /// From 16 random bytes: what the invite's code carries.
    pub fn from_seed(seed: &[u8; 16]) -> Self {
        Self(PrincipalSecret::derive(labels::INVITE, &[seed]))
    }
}

impl ContactSecret {
    /// The public half.
    pub fn public(&self) -> ContactKey {
        ContactKey { sig: self.sig.public(), x25519: contact_public(&self.x25519) }
    }
    /// Signs in the person's own name.
    pub fn sig(&self) -> &SecretKey {
        &self.sig
    }
    /// The X25519 half.
    pub(crate) fn x25519(&self) -> &[u8; 32] {
        &self.x25519
    }
}

impl Canonical for ContactKey {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.sig).fixed(&self.x25519);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { sig: r.get()?, x25519: r.fixed()? })
    }
}

impl std::fmt::Display for ContactKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&text::write_value(CONTACT_PREFIX, self))
    }
}

impl std::str::FromStr for ContactKey {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, TextError> {
        text::read_value(CONTACT_PREFIX, text)
    }
}

fn two_seeds(label: &'static str, parts: &[&[u8]]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let mut h = blake3::Hasher::new_derive_key(label);
    for part in parts {
        h.update(part);
    }
    let mut xof = h.finalize_xof();
    let mut seeds = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    xof.fill(seeds.0.as_mut_slice());
    xof.fill(seeds.1.as_mut_slice());
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> RootSecret {
        RootSecret::from_entropy([7; 16])
    }

    #[test]
    fn the_words_bring_every_key_back() {
        let again = RootSecret::from_words(&Words::parse(&root().words().to_text()).unwrap());
        assert_eq!(again.contact().public(), root().contact().public());
        for slot in [0, 1, 255] {
            assert_eq!(again.slot(slot).public(), root().slot(slot).public());
        }
    }

    #[test]
    fn no_two_principals_share_a_key() {
        let all = [
            root().slot(0).public(),
            root().slot(1).public(),
            RootSecret::from_entropy([8; 16]).slot(0).public(),
            DeviceSecret::from_seed(&[7; 32]).public(),
            InviteSecret::from_seed(&[7; 16]).public(),
        ];
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                assert!(a.sig != b.sig && a.hpke != b.hpke);
            }
            assert_ne!(a.sig, root().contact().public().sig);
        }
    }

    #[test]
    fn i1_i7_every_cut_and_every_wrong_letter_of_a_cobox_key_is_pointed_out() {
        let key = root().contact().public();
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(format!(" \"{}\n{}\" ", &text[..40].to_uppercase(), &text[40..]).parse(), Ok(key));
        for cut in 0..text.len() {
            assert!(text[..cut].parse::<ContactKey>().is_err(), "cut at {cut}");
        }
        for at in 0..text.len() {
            for letter in "abcdefghijklmnopqrstuvwxyz234567".chars() {
                let mut letters: Vec<char> = text.chars().collect();
                if std::mem::replace(&mut letters[at], letter) == letter || (at == 1 && letter == 'l') {
                    continue;
                }
                let changed: String = letters.into_iter().collect();
                assert!(changed.parse::<ContactKey>().is_err(), "letter {at} as {letter}");
            }
        }
        assert!(matches!("cbi1aaaa".parse::<ContactKey>(), Err(TextError::Other { found: "invite code", .. })));
    }

    #[test]
    fn secrets_print_as_nothing() {
        let device = DeviceSecret::from_seed(&[7; 32]);
        let printed = format!("{:?} {:?} {:?} {device:?}", root(), root().contact(), root().slot(3));
        assert_eq!(
            printed,
            "RootSecret ContactSecret Slot { number: 3, keys: PrincipalSecret { sig: SecretKey, hpke: HpkeSecret } } \
             DeviceSecret(PrincipalSecret { sig: SecretKey, hpke: HpkeSecret })"
        );
    }
}
