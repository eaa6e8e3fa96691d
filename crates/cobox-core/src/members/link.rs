//! Linking one more device of the same person: a code with a seed that serves once. The device that makes it certifies the key which grows
//! from the seed in the person's vault, and lays the root secret there, sealed to that key. Whoever has the code opens the
//! vault with it, takes the root secret, and is the person from then on: with keys of its own in every folder.
//!
//! ```text
//! code = 1 u8 | vault [32] | seed [16] | expires u64 | list of tickets (bytes)        text cbl1...
//! sealed root = hpke_xwing(linking key, root secret [16])                               info subject: the linking key
//! ```
//!
//! What must hold: the code alone opens nothing once the linking key was taken out of the vault, which happens when it was used, and
//! when its time is over; who had it *and* has a seeder's help can open what the vault held until then, the sealed root among it.

use cobox_proto::codec::{Canonical, DecodeError, Reader, Writer};
use cobox_proto::id::FolderId;
use cobox_proto::text::{self, TextError};
use zeroize::{Zeroize, Zeroizing};

use super::places::{put_tickets, tickets, tickets_that_fit};
use crate::keys::hpke::{EnvelopeError, Purpose, open_xwing, seal_xwing};
use crate::keys::{DeviceSecret, RootSecret, labels};

/// How a device link code begins.
pub const LINK_PREFIX: &str = "cbl1";
const CODE_VERSION: u8 = 1;

/// What the new device is given. A secret: whoever uses it first is the person.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkCode {
    /// The person's vault.
    pub vault: FolderId,
    seed: [u8; 16],
    /// Until when it is good, by the clock of the devices that are there, milliseconds since 1970.
    pub expires_ms: u64,
    /// Where the vault is found: at most 3 tickets in their canonical bytes.
    pub tickets: Vec<Vec<u8>>,
}

impl Drop for LinkCode {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

impl std::fmt::Debug for LinkCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinkCode({})", self.vault.short())
    }
}

impl LinkCode {
    /// A new code. `seed` are 16 fresh random bytes; of `tickets` the first that fit are taken.
    pub fn new(vault: FolderId, seed: [u8; 16], expires_ms: u64, tickets: Vec<Vec<u8>>) -> Self {
        Self { vault, seed, expires_ms, tickets: tickets_that_fit(tickets) }
    }

    /// The seed of the linking key: a device of the vault until the code was used.
    pub fn device_seed(&self) -> Zeroizing<[u8; 32]> {
        let mut h = blake3::Hasher::new_derive_key(labels::LINK);
        h.update(&self.seed).update(&self.vault.0);
        Zeroizing::new(*h.finalize().as_bytes())
    }

    /// The linking key.
    pub fn device(&self) -> DeviceSecret {
        DeviceSecret::from_seed(&self.device_seed())
    }

    /// The person's root secret, for whoever has the code. `random` are 32 fresh random bytes.
    pub fn seal_root(&self, root: &RootSecret, random: &[u8; 32]) -> Result<Vec<u8>, EnvelopeError> {
        let device = self.device().public();
        let purpose = Purpose { label: labels::LINKED_ROOT, folder: &self.vault, subject: &device.sig.0 };
        seal_xwing(&device.hpke, purpose, root.words().entropy().as_slice(), random)
    }

    /// Opens what [`Self::seal_root`] sealed.
    ///
    /// Errors: it was sealed for another code, or changed.
    pub fn open_root(&self, sealed: &[u8]) -> Result<RootSecret, EnvelopeError> {
        let device = self.device();
        let subject = device.public().sig.0;
        let purpose = Purpose { label: labels::LINKED_ROOT, folder: &self.vault, subject: &subject };
        let plain = open_xwing(&device.hpke, purpose, sealed)?;
        let entropy: [u8; 16] = plain.as_slice().try_into().map_err(|_| EnvelopeError::Forged)?;
        Ok(RootSecret::from_entropy(entropy))
    }

    /// The code as a text.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(text::write_value(LINK_PREFIX, self))
    }
}

impl std::str::FromStr for LinkCode {
    type Err = TextError;
    fn from_str(pasted: &str) -> Result<Self, TextError> {
        text::read_value(LINK_PREFIX, pasted)
    }
}

impl Canonical for LinkCode {
    fn encode(&self, w: &mut Writer) {
        w.u8(CODE_VERSION).put(&self.vault).fixed(&self.seed).u64(self.expires_ms);
        put_tickets(w, &self.tickets);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = r.u8()?;
        if version != CODE_VERSION {
            return Err(DecodeError::UnknownVersion { what: "device link code", found: version.into() });
        }
        let (vault, seed, expires_ms) = (r.get()?, r.fixed()?, r.u64()?);
        Ok(Self { vault, seed, expires_ms, tickets: tickets(r, "tickets of a device link code")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> LinkCode {
        LinkCode::new(FolderId([7; 32]), [5; 16], 1_700_000_000_000, vec![vec![1, 2, 3]])
    }

    #[test]
    fn m7_the_code_and_nothing_else_opens_the_root_secret() {
        let root = RootSecret::from_entropy([9; 16]);
        let sealed = code().seal_root(&root, &[3; 32]).unwrap();
        let read: LinkCode = code().to_text().parse().unwrap();
        assert_eq!(read, code());
        assert_eq!(*read.open_root(&sealed).unwrap().words().entropy(), [9; 16]);
        let other = LinkCode::new(FolderId([7; 32]), [6; 16], 1_700_000_000_000, vec![]);
        assert!(other.open_root(&sealed).is_err());
        let elsewhere = LinkCode::new(FolderId([8; 32]), [5; 16], 1_700_000_000_000, vec![]);
        assert!(elsewhere.open_root(&sealed).is_err());
        assert_eq!(format!("{:?}", code()), "LinkCode(07070707)");
    }

    #[test]
    fn i1_every_cut_and_every_flipped_bit_of_a_code_or_of_what_it_opens_is_refused() {
        let bytes = code().to_bytes();
        for cut in 0..bytes.len() {
            assert!(LinkCode::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(LinkCode::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        let text = code().to_text();
        for cut in 0..text.len() {
            assert!(text[..cut].parse::<LinkCode>().is_err(), "cut at {cut}");
        }
        let sealed = code().seal_root(&RootSecret::from_entropy([9; 16]), &[3; 32]).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(code().open_root(&changed).is_err(), "bit {bit}");
        }
        for cut in (0..sealed.len()).step_by(7) {
            assert!(code().open_root(&sealed[..cut]).is_err());
        }
    }
}
