//! Ops with their signatures: the form in which they travel and rest. A [`SignedOp`] exists only if its bytes are canonical
//! and every named signer has signed; whether the signers were entitled is the log's to say.

use crate::codec::{DecodeError, Reader};
use crate::id::{OpId, SigKey};
use crate::limits::{OP_BYTES_MAX, OP_SEALED_BYTES_MAX};
use crate::members::op::{Op, OpBody};
use crate::sign::{SecretKey, Signature, object_id};

/// Why bytes are not an op.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// The bytes.
    #[error("the membership op can not be read: {0}")]
    Malformed(#[from] DecodeError),
    /// A signature does not hold.
    #[error("the membership op is not signed by {key}", key = .key.short())]
    Forged {
        /// Who is claimed.
        key: SigKey,
    },
    /// The keys given to sign are not the signers named.
    #[error("the membership op names other signers than the keys given")]
    WrongKeys,
    /// The device to be certified did not sign for it.
    #[error("device {device} did not ask to be certified", device = .device.short())]
    Unproved {
        /// The device.
        device: SigKey,
    },
}

/// An op with the bytes it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedOp {
    op: Op,
    id: OpId,
    bytes: Vec<u8>,
}

impl SignedOp {
    /// Signs with the keys of all signers, in their order.
    ///
    /// Errors: the op breaks a bound of the format, or the keys are not the signers'.
    pub fn sign(op: Op, keys: &[&SecretKey]) -> Result<Self, OpError> {
        let named = op.signers.iter().map(|s| s.key);
        if !named.eq(keys.iter().map(|k| k.public())) {
            return Err(OpError::WrongKeys);
        }
        if op.sealed.len() > OP_SEALED_BYTES_MAX {
            let (found, limit) = (op.sealed.len() as u64, OP_SEALED_BYTES_MAX as u64);
            return Err(DecodeError::TooLarge { what: "op note", found, limit }.into());
        }
        let mut bytes = op.to_bytes();
        let signatures: Vec<Signature> = keys.iter().map(|key| key.sign("op", &op.folder, &bytes)).collect();
        for signature in signatures {
            bytes.extend_from_slice(&signature.0);
        }
        // Reading back what was just written applies every bound of the decoder to what this program sends.
        Self::from_bytes(&bytes)
    }

    /// Reads and verifies form and all signatures.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpError> {
        if bytes.len() > OP_BYTES_MAX {
            let (found, limit) = (bytes.len() as u64, OP_BYTES_MAX as u64);
            return Err(DecodeError::TooLarge { what: "op", found, limit }.into());
        }
        let mut r = Reader::new(bytes);
        let op = Op::decode(&mut r)?;
        let body = &bytes[..r.position()];
        let mut signatures = Vec::with_capacity(op.signers.len());
        for _ in &op.signers {
            signatures.push(r.get::<Signature>()?);
        }
        r.finish()?;
        for (signer, signature) in op.signers.iter().zip(&signatures) {
            if !signer.key.verifies("op", &op.folder, body, signature) {
                return Err(OpError::Forged { key: signer.key });
            }
        }
        if let OpBody::AddDevice { device, proof } = &op.body
            && !device.device_proved(proof, &op.folder, &op.signers[0].grant)
        {
            return Err(OpError::Unproved { device: device.sig });
        }
        let id = OpId(object_id("op", &op.folder, body));
        Ok(Self { op, id, bytes: bytes.to_vec() })
    }

    /// What it says.
    pub fn op(&self) -> &Op {
        &self.op
    }
    /// Its name.
    pub fn id(&self) -> OpId {
        self.id
    }
    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
