//! What a seeder's operator has promised a folder. A folder's admins write grants as they like; those that go beyond the promise, or
//! name an offer that was never claimed, are no grants to the seeder.

use std::collections::BTreeMap;

use crate::hosting::Offer;
use crate::id::{FolderId, Hash};
use crate::limits::VAULT_BYTES_MAX;
use crate::members::Seeder;

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promise {
    /// Offers were claimed for the folder: the hash by which its grants name each, and the room it promises.
    Offers(BTreeMap<Hash, u64>),
    /// It is a member's vault, beside a hosted folder.
    Vault,
}

impl Promise {
    /// By these offers, to this folder.
    pub fn of<'o>(folder: &FolderId, offers: impl IntoIterator<Item = &'o Offer>) -> Self {
        Self::Offers(offers.into_iter().map(|offer| (offer.grant_hash(folder), offer.quota_bytes)).collect())
    }

    /// Whether a grant stays within it.
    pub fn covers(&self, grant: &Seeder) -> bool {
        match self {
            Self::Offers(offers) => offers.get(&grant.offer_hash).is_some_and(|bytes| grant.quota_bytes <= *bytes),
            Self::Vault => grant.quota_bytes <= VAULT_BYTES_MAX,
        }
    }
}
