//! "I hold this head": what a seeder states about one head, signed. Receipts are passed on between members; a seeder that later
//! denies what it signed is convicted by its own signature (design 9.4).

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::id::{FolderId, HeadId, OpId, SigKey};
use crate::limits::RECEIPT_BYTES_MAX;
use crate::sign::{SUITE_ED25519, SecretKey, Signature};

/// The receipt format of this program.
pub const RECEIPT_VERSION: u8 = 1;

/// How a head stands at a seeder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holding {
    /// Every block of it is here.
    Complete = 1,
    /// Known, but its blocks are refused: the folder's room is used up. What was kept before stays.
    NoRoom = 2,
    /// Known, but its blocks are refused: its member has used up its share of the room.
    ShareUsed = 3,
    /// Known, but it brought more blocks than it announced.
    MoreThanAnnounced = 4,
}

impl Canonical for Holding {
    fn encode(&self, w: &mut Writer) {
        w.u8(*self as u8);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match r.u8()? {
            1 => Holding::Complete,
            2 => Holding::NoRoom,
            3 => Holding::ShareUsed,
            4 => Holding::MoreThanAnnounced,
            other => return Err(DecodeError::BadValue { what: "holding", found: other.into() }),
        })
    }
}

/// What a seeder states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The folder.
    pub folder: FolderId,
    /// Who states it.
    pub seeder: SigKey,
    /// About which head.
    pub head: HeadId,
    /// What.
    pub holding: Holding,
    /// When the head became complete, or was refused, by the seeder's clock; milliseconds since 1970. Later than in any earlier receipt of
    /// the seeder about this head.
    pub received_ms: u64,
    /// Until when this head stays even if newer ones come (rule R7); 0 unless complete.
    pub keep_until_ms: u64,
    /// Room left for the folder, in bytes.
    pub free_bytes: u64,
    /// The grant whose terms hold.
    pub terms: OpId,
}

impl Receipt {
    fn encode_body(&self, w: &mut Writer) {
        w.u8(RECEIPT_VERSION).u8(SUITE_ED25519).put(&self.folder).put(&self.seeder).put(&self.head).put(&self.holding);
        w.u64(self.received_ms).u64(self.keep_until_ms).u64(self.free_bytes).put(&self.terms);
    }

    /// Signs with the seeder's key.
    pub fn sign(self, key: &SecretKey) -> SignedReceipt {
        let mut w = Writer::new();
        self.encode_body(&mut w);
        let signature = key.sign("receipt", &self.folder, w.as_slice());
        w.put(&signature);
        SignedReceipt { receipt: self, bytes: w.into_bytes() }
    }
}

/// A receipt with the bytes it came in; form and signature hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReceipt {
    receipt: Receipt,
    bytes: Vec<u8>,
}

/// Why bytes are not a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The bytes.
    #[error("the receipt can not be read: {0}")]
    Malformed(#[from] DecodeError),
    /// The signature.
    #[error("the receipt is not signed by seeder {seeder}", seeder = .seeder.short())]
    Forged {
        /// Who is claimed.
        seeder: SigKey,
    },
}

impl SignedReceipt {
    /// Reads and verifies.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            let (found, limit) = (bytes.len() as u64, RECEIPT_BYTES_MAX as u64);
            return Err(DecodeError::TooLarge { what: "receipt", found, limit }.into());
        }
        let mut r = Reader::new(bytes);
        for (what, known) in [("receipt", RECEIPT_VERSION), ("receipt suite", SUITE_ED25519)] {
            let found = r.u8()?;
            if found != known {
                return Err(DecodeError::UnknownVersion { what, found: found.into() }.into());
            }
        }
        let receipt = Receipt {
            folder: r.get()?,
            seeder: r.get()?,
            head: r.get()?,
            holding: r.get()?,
            received_ms: r.u64()?,
            keep_until_ms: r.u64()?,
            free_bytes: r.u64()?,
            terms: r.get()?,
        };
        if receipt.holding != Holding::Complete && receipt.keep_until_ms != 0 {
            return Err(DecodeError::BadValue { what: "keep until", found: receipt.keep_until_ms }.into());
        }
        let body = &bytes[..r.position()];
        let signature: Signature = r.get()?;
        r.finish()?;
        if !receipt.seeder.verifies("receipt", &receipt.folder, body, &signature) {
            return Err(ReceiptError::Forged { seeder: receipt.seeder });
        }
        Ok(Self { receipt, bytes: bytes.to_vec() })
    }
    /// What it states.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }
    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_every_cut_and_every_flipped_bit_of_a_receipt_is_refused() {
        let key = SecretKey::from_seed(&[1; 32]);
        let receipt = Receipt {
            folder: FolderId([1; 32]),
            seeder: key.public(),
            head: HeadId([2; 32]),
            holding: Holding::Complete,
            received_ms: 5,
            keep_until_ms: 3_600_005,
            free_bytes: 10,
            terms: OpId([3; 32]),
        };
        let signed = receipt.clone().sign(&key);
        assert_eq!(SignedReceipt::from_bytes(signed.bytes()).unwrap(), signed);
        for cut in 0..signed.bytes().len() {
            assert!(SignedReceipt::from_bytes(&signed.bytes()[..cut]).is_err());
        }
        for bit in 0..signed.bytes().len() * 8 {
            let mut bytes = signed.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SignedReceipt::from_bytes(&bytes).is_err(), "bit {bit}");
        }
        let impossible = Receipt { holding: Holding::NoRoom, ..receipt }.sign(&key);
        assert!(SignedReceipt::from_bytes(impossible.bytes()).is_err(), "refused, yet promised");
    }
}
