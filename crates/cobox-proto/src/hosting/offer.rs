//! An offer to host one folder, written by a seeder's operator and carried to a folder's admin as `cbo1...`. Whoever holds it may
//! use it, once: it contains a secret. The admin's grant names the offer by a hash ([`Offer::grant_hash`]); the claim then shows
//! the secret inside the session that delivers the log.

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::hosting::ticket::Ticket;
use crate::id::{FolderId, Hash, OfferId, SigKey};
use crate::sign::{SUITE_ED25519, SecretKey, Signature};
use crate::text::{self, TextError};
use crate::wire::Party;

/// The prefix of an offer.
pub const OFFER_PREFIX: &str = "cbo1";
/// The offer format of this program.
pub const OFFER_VERSION: u8 = 1;

/// What a seeder offers.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    /// The key under which it will give receipts for the folder and prove itself.
    pub seeder: SigKey,
    /// Where it is.
    pub ticket: Ticket,
    /// The offer's name.
    pub id: OfferId,
    /// What the claimant must know.
    pub secret: [u8; 16],
    /// Room, in bytes.
    pub quota_bytes: u64,
    /// For how many days it keeps history at least; 0 is its default.
    pub keep_days: u32,
    /// The last moment at which it can be claimed, milliseconds since 1970.
    pub expires_ms: u64,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Offer({} of seeder {})", self.id.short(), self.seeder.short())
    }
}

/// Why bytes are not an offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Not the seeder's signature.
    #[error("this hosting offer is not signed by the seeder it names; ask the seeder for a new one")]
    Forged,
}

impl Offer {
    /// The hash by which a folder's grant names this offer for that folder alone (formats F9).
    pub fn grant_hash(&self, folder: &FolderId) -> Hash {
        let mut h = blake3::Hasher::new_derive_key("cobox v1 offer grant");
        h.update(&self.id.0).update(&self.secret).update(&folder.0);
        Hash(*h.finalize().as_bytes())
    }

    /// Signs and writes the offer as a code. `key` must be the seeder's.
    pub fn to_text(&self, key: &SecretKey) -> String {
        let mut w = Writer::new();
        self.encode(&mut w);
        let signature = key.sign("offer", &FolderId::ZERO, w.as_slice());
        w.put(&signature);
        text::write(OFFER_PREFIX, w.as_slice())
    }

    /// Reads and verifies a pasted code.
    ///
    /// Errors: not an offer, damaged, not signed by the seeder it names.
    pub fn from_text(text: &str) -> Result<Self, OfferError> {
        let bytes = text::read(OFFER_PREFIX, text)?;
        let unreadable = |source| TextError::Content { kind: "hosting offer", source };
        let mut r = Reader::new(&bytes);
        let offer: Self = r.get().map_err(unreadable)?;
        let body = &bytes[..r.position()];
        let signature: Signature = r.get().map_err(unreadable)?;
        r.finish().map_err(unreadable)?;
        if !offer.seeder.verifies("offer", &FolderId::ZERO, body, &signature) {
            return Err(OfferError::Forged);
        }
        Ok(offer)
    }
}

impl Canonical for Offer {
    fn encode(&self, w: &mut Writer) {
        w.u8(OFFER_VERSION).u8(SUITE_ED25519).put(&self.seeder).put(&self.ticket).put(&self.id).fixed(&self.secret);
        w.u64(self.quota_bytes).u32(self.keep_days).u64(self.expires_ms);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = r.u8()?;
        if version != OFFER_VERSION {
            return Err(DecodeError::UnknownVersion { what: "offer", found: version.into() });
        }
        let suite = r.u8()?;
        if suite != SUITE_ED25519 {
            return Err(DecodeError::UnknownVersion { what: "offer suite", found: suite.into() });
        }
        let (seeder, ticket) = (r.get()?, r.get::<Ticket>()?);
        if ticket.party != Party::Seeder {
            return Err(DecodeError::BadValue { what: "offer's ticket", found: ticket.party as u64 });
        }
        Ok(Self {
            seeder,
            ticket,
            id: r.get()?,
            secret: r.fixed()?,
            quota_bytes: r.u64()?,
            keep_days: r.u32()?,
            expires_ms: r.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosting::ticket::Address;
    use crate::id::EndpointId;

    fn offer(key: &SecretKey) -> Offer {
        let address = Address::Relay("https://relay.example".into());
        Offer {
            seeder: key.public(),
            ticket: Ticket { party: Party::Seeder, endpoint: EndpointId([5; 32]), addresses: vec![address] },
            id: OfferId([6; 16]),
            secret: [7; 16],
            quota_bytes: 1 << 30,
            keep_days: 90,
            expires_ms: 1_000,
        }
    }

    #[test]
    fn an_offer_is_signed_by_the_seeder_it_names() {
        let key = SecretKey::from_seed(&[1; 32]);
        let text = offer(&key).to_text(&key);
        assert_eq!(Offer::from_text(&text).unwrap(), offer(&key));
        let mallory = SecretKey::from_seed(&[2; 32]);
        assert_eq!(Offer::from_text(&offer(&key).to_text(&mallory)), Err(OfferError::Forged));
    }

    #[test]
    fn i1_every_cut_of_an_offer_is_pointed_out() {
        let key = SecretKey::from_seed(&[1; 32]);
        let text = offer(&key).to_text(&key);
        for cut in 0..text.len() {
            assert!(matches!(Offer::from_text(&text[..cut]), Err(OfferError::Text(_))), "cut at {cut}");
        }
    }

    #[test]
    fn a_grant_names_an_offer_for_one_folder_without_telling_its_secret() {
        let offer = offer(&SecretKey::from_seed(&[1; 32]));
        let here = offer.grant_hash(&FolderId([1; 32]));
        assert_ne!(here, offer.grant_hash(&FolderId([2; 32])));
        assert_ne!(here, Offer { secret: [8; 16], ..offer.clone() }.grant_hash(&FolderId([1; 32])));
        assert!(!format!("{offer:?}").contains("7, 7"), "the secret does not reach logs");
    }
}
