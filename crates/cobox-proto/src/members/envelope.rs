//! Sealed epoch secrets on their way to one recipient. Envelopes travel beside the op that hashes them: they are large, and
//! a recipient that has an envelope of a later epoch needs the earlier one no more, so they may be pruned.
//!
//! A bundle's op holds the hash of an [`EnvelopeList`]; with the list, each envelope can be verified alone.

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::id::Hash;
use crate::limits::{ENVELOPE_BYTES_MAX, EPOCH_RECIPIENTS_MAX};

/// Something sealed to one X-Wing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The [`crate::members::HpkeKey::id`] of the key that opens it.
    pub recipient: Hash,
    /// Suite, encapsulation, ciphertext. Opaque here.
    pub bytes: Vec<u8>,
}

impl Envelope {
    /// The hash that an `EpochGrant` or a list names it by.
    pub fn hash(&self) -> Hash {
        Hash(*blake3::hash(&self.bytes).as_bytes())
    }
}

impl Canonical for Envelope {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.recipient).bytes(&self.bytes);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { recipient: r.get()?, bytes: r.bytes(ENVELOPE_BYTES_MAX, "envelope")?.to_vec() })
    }
}

/// Which key gets which envelope: the preimage of the hash in an `EpochBundle`. Sorted by key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvelopeList(Vec<Entry>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    recipient: Hash,
    envelope: Hash,
}

impl Canonical for Entry {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.recipient).put(&self.envelope);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { recipient: r.get()?, envelope: r.get()? })
    }
}

impl EnvelopeList {
    /// Of these envelopes; of two to one key the first counts.
    pub fn of(envelopes: &[Envelope]) -> Self {
        let mut entries: Vec<Entry> =
            envelopes.iter().map(|e| Entry { recipient: e.recipient, envelope: e.hash() }).collect();
        entries.sort_by_key(|e| e.recipient);
        entries.dedup_by_key(|e| e.recipient);
        Self(entries)
    }
    /// What the op commits to.
    pub fn hash(&self) -> Hash {
        Hash(*blake3::hash(&self.to_bytes()).as_bytes())
    }
    /// The keys, sorted: the `recipients` of the op.
    pub fn recipients(&self) -> Vec<Hash> {
        self.0.iter().map(|e| e.recipient).collect()
    }
    /// Whether this is an envelope of the list.
    pub fn holds(&self, envelope: &Envelope) -> bool {
        let found = self.0.binary_search_by_key(&envelope.recipient, |e| e.recipient);
        found.is_ok_and(|i| self.0[i].envelope == envelope.hash())
    }
}

impl Canonical for EnvelopeList {
    fn encode(&self, w: &mut Writer) {
        w.list(&self.0);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let entries: Vec<Entry> = r.list(EPOCH_RECIPIENTS_MAX, "envelope list")?;
        if entries.windows(2).any(|pair| pair[0].recipient >= pair[1].recipient) {
            return Err(DecodeError::NotCanonical { what: "envelope list" });
        }
        Ok(Self(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_verifies_each_envelope_alone_and_does_not_depend_on_their_order() {
        let envelope = |key: u8, bytes: &[u8]| Envelope { recipient: Hash([key; 32]), bytes: bytes.to_vec() };
        let (a, b) = (envelope(2, b"a"), envelope(1, b"b"));
        let list = EnvelopeList::of(&[a.clone(), b.clone()]);
        assert_eq!(list.hash(), EnvelopeList::of(&[b.clone(), a.clone()]).hash());
        assert_eq!(list.recipients(), [Hash([1; 32]), Hash([2; 32])]);
        assert!(list.holds(&a) && list.holds(&b));
        assert!(!list.holds(&envelope(2, b"b")) && !list.holds(&envelope(3, b"a")));
        assert_eq!(EnvelopeList::from_bytes(&list.to_bytes()), Ok(list.clone()));
        let mut swapped = list.clone();
        swapped.0.swap(0, 1);
        assert!(EnvelopeList::from_bytes(&swapped.to_bytes()).is_err());
    }
}
