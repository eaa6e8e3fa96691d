//! How a peer proves, inside one encrypted session, which key of a folder it holds (formats F9). A proof is bound to the
//! session's exported secret, to both machines, to the direction and to the folder, so that it is worth nothing anywhere else;
//! the folder itself is named only by a hash keyed with that secret.
//!
//! What a key may do is not decided here: membership says.

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::id::{BlindedFolder, EndpointId, FolderId, Hash, OfferId, SigKey};
use crate::sign::{SecretKey, Signature};

/// Which end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It called.
    Dialer,
    /// It was called.
    Acceptor,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Side::Dialer => Side::Acceptor,
            Side::Acceptor => Side::Dialer,
        }
    }
}

/// What a key is to the folder, as its holder claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// A member's device.
    Device = 1,
    /// A member slot: recovery without any device.
    Member = 2,
    /// An invite not used yet.
    Invite = 3,
    /// A seeder.
    Seeder = 4,
}

impl Canonical for KeyKind {
    fn encode(&self, w: &mut Writer) {
        w.u8(*self as u8);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match r.u8()? {
            1 => KeyKind::Device,
            2 => KeyKind::Member,
            3 => KeyKind::Invite,
            4 => KeyKind::Seeder,
            other => return Err(DecodeError::BadValue { what: "proof kind", found: other.into() }),
        })
    }
}

/// A key and what it is to the folder: what a verified proof leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    /// What the key claims to be.
    pub kind: KeyKind,
    /// The key that was proved.
    pub key: SigKey,
}

/// A signature that shows possession of a key in this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyProof {
    /// Which key, as what.
    pub who: Who,
    /// Over session, direction, folder and kind.
    pub signature: Signature,
}

impl Canonical for KeyProof {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.who.kind).put(&self.who.key).put(&self.signature);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { who: Who { kind: r.get()?, key: r.get()? }, signature: r.get()? })
    }
}

/// What an opener shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A key of a folder that the other end knows already.
    Key(KeyProof),
    /// An unused hosting offer: the folder is new to the seeder and therefore named openly.
    Claim {
        /// The offer.
        offer: OfferId,
        /// The folder to be hosted.
        folder: FolderId,
        /// [`Session::claim_mac`].
        mac: Hash,
    },
}

impl Canonical for Proof {
    fn encode(&self, w: &mut Writer) {
        match self {
            Proof::Key(proof) => w.u8(1).put(proof),
            Proof::Claim { offer, folder, mac } => w.u8(2).put(offer).put(folder).put(mac),
        };
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match r.u8()? {
            1 => Proof::Key(r.get()?),
            2 => Proof::Claim { offer: r.get()?, folder: r.get()?, mac: r.get()? },
            other => return Err(DecodeError::BadValue { what: "proof", found: other.into() }),
        })
    }
}

/// What makes one encrypted session unlike every other. The exporter is a secret of its two ends.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// Keying material exported from the transport, the same at both ends.
    pub exporter: [u8; 32],
    /// Who called.
    pub dialer: EndpointId,
    /// Who was called.
    pub acceptor: EndpointId,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({} -> {})", self.dialer.short(), self.acceptor.short())
    }
}

impl Session {
    /// How `folder` is named in this session.
    pub fn blind(&self, folder: &FolderId) -> BlindedFolder {
        BlindedFolder(*blake3::keyed_hash(&self.exporter, &folder.0).as_bytes())
    }

    /// Proves, as the end `by`, a key of `folder` ([`FolderId::ZERO`] when asking which folders know the key).
    pub fn prove(&self, by: Side, folder: &FolderId, kind: KeyKind, key: &SecretKey) -> KeyProof {
        let signature = key.sign("open", folder, &self.statement(by, kind));
        KeyProof { who: Who { kind, key: key.public() }, signature }
    }

    /// Whether the end `by` made this proof here for this folder.
    pub fn verify(&self, by: Side, folder: &FolderId, proof: &KeyProof) -> bool {
        proof.who.key.verifies("open", folder, &self.statement(by, proof.who.kind), &proof.signature)
    }

    /// Shows knowledge of an offer's secret for this folder.
    pub fn claim_mac(&self, secret: &[u8; 16], folder: &FolderId) -> Hash {
        Hash(*self.mac(secret, folder).as_bytes())
    }

    /// Whether a claim's mac was made with this secret; takes the same time for every wrong one.
    pub fn claim_holds(&self, secret: &[u8; 16], folder: &FolderId, mac: &Hash) -> bool {
        self.mac(secret, folder) == blake3::Hash::from_bytes(mac.0)
    }

    fn mac(&self, secret: &[u8; 16], folder: &FolderId) -> blake3::Hash {
        let key = blake3::derive_key("cobox v1 claim mac", secret);
        let mut h = blake3::Hasher::new_keyed(&key);
        h.update(&self.exporter).update(&folder.0);
        h.finalize()
    }

    fn statement(&self, by: Side, kind: KeyKind) -> Vec<u8> {
        let mut w = Writer::new();
        w.fixed(&self.exporter).put(&self.dialer).put(&self.acceptor);
        w.u8(u8::from(by == Side::Acceptor)).put(&kind);
        w.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session { exporter: [1; 32], dialer: EndpointId([2; 32]), acceptor: EndpointId([3; 32]) }
    }

    #[test]
    fn x13_a_proof_is_worth_nothing_in_another_session_direction_folder_or_role() {
        let (key, folder) = (SecretKey::from_seed(&[9; 32]), FolderId([7; 32]));
        let here = session();
        let proof = here.prove(Side::Dialer, &folder, KeyKind::Device, &key);
        assert!(here.verify(Side::Dialer, &folder, &proof));
        assert!(!here.verify(Side::Acceptor, &folder, &proof), "reflected");
        assert!(!here.verify(Side::Dialer, &FolderId([8; 32]), &proof), "other folder");
        let seeder = KeyProof { who: Who { kind: KeyKind::Seeder, ..proof.who }, ..proof };
        assert!(!here.verify(Side::Dialer, &folder, &seeder), "other kind");
        for other in [
            Session { exporter: [4; 32], ..here.clone() },
            Session { dialer: EndpointId([4; 32]), ..here.clone() },
            Session { acceptor: EndpointId([4; 32]), ..here.clone() },
        ] {
            assert!(!other.verify(Side::Dialer, &folder, &proof), "relayed");
            assert_ne!(
                other.claim_mac(&[5; 16], &folder) == here.claim_mac(&[5; 16], &folder),
                other.exporter != [1; 32]
            );
        }
    }

    #[test]
    fn g4_a_blinded_folder_tells_nothing_outside_its_session() {
        let folder = FolderId([7; 32]);
        let other = Session { exporter: [4; 32], ..session() };
        assert_ne!(session().blind(&folder), other.blind(&folder));
    }
}
