//! Heads: a device's signed pointer to a state of the folder (formats F4). Heads form a hash DAG through `prev` and
//! `merged`, so nobody can hide or reorder what a device published without it showing.
//!
//! A [`SignedHead`] keeps the exact bytes it came in; its id covers everything but the signature.

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{ActorId, Cid, EpochTag, FolderId, HeadId, OpId, SigKey};
use crate::limits::{HEAD_AUTH_MAX, HEAD_BYTES_MAX, HEAD_MERGED_MAX};
use crate::sign::{SUITE_ED25519, SecretKey, Signature, object_id};

/// The head format of this program.
pub const HEAD_VERSION: u8 = 1;

/// What a head says. Everything is readable by a blind seeder except `sealed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The folder.
    pub folder: FolderId,
    /// The per-folder key of the device that signs.
    pub device: SigKey,
    /// The incarnation that writes.
    pub actor: ActorId,
    /// Proves `actor` belongs to `device`; stands in the first head of an actor only.
    pub actor_nonce: Option<[u8; 16]>,
    /// 1, 2, 3 ... per actor.
    pub seq: u64,
    /// The actor's head before this one; absent at seq 1.
    pub prev: Option<HeadId>,
    /// The actor's head with `seq & (seq - 1)` (rule R1); absent when that is 0.
    pub skip: Option<HeadId>,
    /// The root block of the state.
    pub root: Cid,
    /// The epoch the root is sealed under.
    pub epoch: EpochTag,
    /// The membership ops this head rests on: the frontier the device knew; sorted.
    pub auth: Vec<OpId>,
    /// Heads of other actors joined into this one and not in the past of `prev` or each other; sorted.
    pub merged: Vec<HeadId>,
    /// How many blocks this head brings that its ancestors did not reach.
    pub new_blocks: u64,
    /// Their bytes.
    pub new_bytes: u64,
    /// The device's own clock, milliseconds since 1970; shown to people, never used for order.
    pub claimed_time_ms: u64,
    /// A delta block with the same change (formats F4).
    pub delta: Option<Cid>,
    /// Counter and note, sealed to the epoch's holders.
    pub sealed: Vec<u8>,
}

impl Head {
    /// All fields before `sealed`: the associated data of the seal.
    pub fn clear_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.encode_clear(&mut w);
        w.into_bytes()
    }

    /// The heads it builds on: `prev` and those merged.
    pub fn parents(&self) -> impl Iterator<Item = HeadId> + '_ {
        self.prev.into_iter().chain(self.merged.iter().copied())
    }

    fn encode_clear(&self, w: &mut Writer) {
        w.u8(HEAD_VERSION).u8(SUITE_ED25519).put(&self.folder).put(&self.device).put(&self.actor);
        if let Some(nonce) = &self.actor_nonce {
            w.u8(1).fixed(nonce);
        } else {
            w.u8(0);
        }
        w.varint(self.seq).option(self.prev.as_ref()).option(self.skip.as_ref());
        w.put(&self.root).put(&self.epoch).list(&self.auth).list(&self.merged);
        w.varint(self.new_blocks).varint(self.new_bytes).u64(self.claimed_time_ms).option(self.delta.as_ref());
    }

    fn body(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.encode_clear(&mut w);
        w.bytes(&self.sealed);
        w.into_bytes()
    }

    fn decode_body(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = r.u8()?;
        if version != HEAD_VERSION {
            return Err(DecodeError::UnknownVersion { what: "head", found: version.into() });
        }
        let suite = r.u8()?;
        if suite != SUITE_ED25519 {
            return Err(DecodeError::UnknownVersion { what: "head suite", found: suite.into() });
        }
        let (folder, device, actor) = (r.get()?, r.get()?, r.get()?);
        let actor_nonce = if r.bool("actor nonce")? { Some(r.fixed()?) } else { None };
        let seq = r.varint()?;
        let (prev, skip): (Option<HeadId>, Option<HeadId>) = (r.option("prev")?, r.option("skip")?);
        if seq == 0 || (seq == 1) != actor_nonce.is_some() || (seq == 1) != prev.is_none() {
            return Err(DecodeError::BadValue { what: "head seq", found: seq });
        }
        if (seq & (seq - 1) == 0) != skip.is_none() {
            return Err(DecodeError::BadValue { what: "head skip", found: seq });
        }
        let (root, epoch) = (r.get()?, r.get()?);
        let auth = r.sorted_list(HEAD_AUTH_MAX, "head auth")?;
        let merged = r.sorted_list(HEAD_MERGED_MAX, "head merged")?;
        let (new_blocks, new_bytes, claimed_time_ms) = (r.varint()?, r.varint()?, r.u64()?);
        let delta = r.option("delta")?;
        let sealed = r.bytes(HEAD_BYTES_MAX, "head note")?.to_vec();
        Ok(Self {
            folder,
            device,
            actor,
            actor_nonce,
            seq,
            prev,
            skip,
            root,
            epoch,
            auth,
            merged,
            new_blocks,
            new_bytes,
            claimed_time_ms,
            delta,
            sealed,
        })
    }

    /// Signs with the device's key.
    ///
    /// Errors: the head is over 8 KiB.
    pub fn sign(self, key: &SecretKey) -> Result<SignedHead, DecodeError> {
        let body = self.body();
        let signature = key.sign("head", &self.folder, &body);
        let id = HeadId(object_id("head", &self.folder, &body));
        let mut bytes = body;
        bytes.extend_from_slice(&signature.0);
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                what: "head",
                found: bytes.len() as u64,
                limit: HEAD_BYTES_MAX as u64,
            });
        }
        Ok(SignedHead { head: self, id, bytes })
    }
}

/// A head with the bytes it came in. Decoding checks form, signature and, at seq 1, that the actor is the device's own;
/// whether the device may write is the membership's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    head: Head,
    id: HeadId,
    bytes: Vec<u8>,
}

/// Why bytes are not a head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The bytes.
    #[error("the head can not be read: {0}")]
    Malformed(#[from] DecodeError),
    /// The signature does not hold.
    #[error("the head is not signed by device {device}", device = .device.short())]
    Forged {
        /// Who is claimed.
        device: SigKey,
    },
    /// The actor is not derived from device and nonce.
    #[error("the head's actor does not belong to device {device}", device = .device.short())]
    ForeignActor {
        /// Who signed.
        device: SigKey,
    },
}

impl SignedHead {
    /// Reads and verifies.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                what: "head",
                found: bytes.len() as u64,
                limit: HEAD_BYTES_MAX as u64,
            }
            .into());
        }
        let mut r = Reader::new(bytes);
        let head = Head::decode_body(&mut r)?;
        let body = &bytes[..r.position()];
        let signature = Signature(r.fixed()?);
        r.finish()?;
        if !head.device.verifies("head", &head.folder, body, &signature) {
            return Err(HeadError::Forged { device: head.device });
        }
        if let Some(nonce) = &head.actor_nonce
            && ActorId::of(&head.folder, &head.device, nonce) != head.actor
        {
            return Err(HeadError::ForeignActor { device: head.device });
        }
        let id = HeadId(object_id("head", &head.folder, body));
        Ok(Self { head, id, bytes: bytes.to_vec() })
    }
    /// What it says.
    pub fn head(&self) -> &Head {
        &self.head
    }
    /// Its name.
    pub fn id(&self) -> HeadId {
        self.id
    }
    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(key: &SecretKey) -> Head {
        let folder = FolderId([9; 32]);
        let nonce = [4; 16];
        Head {
            folder,
            device: key.public(),
            actor: ActorId::of(&folder, &key.public(), &nonce),
            actor_nonce: Some(nonce),
            seq: 1,
            prev: None,
            skip: None,
            root: Cid([1; 32]),
            epoch: EpochTag([2; 16]),
            auth: vec![OpId([5; 32])],
            merged: vec![],
            new_blocks: 3,
            new_bytes: 4096,
            claimed_time_ms: 1,
            delta: None,
            sealed: vec![1, 2, 3],
        }
    }

    #[test]
    fn i1_every_cut_and_every_flipped_bit_of_a_head_is_refused() {
        let signed = first(&SecretKey::from_seed(&[1; 32])).sign(&SecretKey::from_seed(&[1; 32])).unwrap();
        assert_eq!(SignedHead::from_bytes(signed.bytes()).unwrap(), signed);
        for cut in 0..signed.bytes().len() {
            assert!(SignedHead::from_bytes(&signed.bytes()[..cut]).is_err());
        }
        for bit in 0..signed.bytes().len() * 8 {
            let mut bytes = signed.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SignedHead::from_bytes(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_head_with_another_devices_actor_is_refused() {
        let key = SecretKey::from_seed(&[1; 32]);
        let mut head = first(&key);
        head.actor = ActorId([7; 16]);
        let signed = head.sign(&key).unwrap();
        assert_eq!(SignedHead::from_bytes(signed.bytes()), Err(HeadError::ForeignActor { device: key.public() }));
    }
}
