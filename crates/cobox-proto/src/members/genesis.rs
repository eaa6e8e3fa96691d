//! The first words of a folder: who founded it, with which device, under which policy (formats F6). The folder id is the
//! hash of these bytes, so whoever knows the id can verify the genesis whoever brings it, and everything else from there.
//!
//! In the membership log the genesis acts as an op whose id has the folder id's bytes; it admits the founder as owner.

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::id::{FolderId, OpId};
use crate::members::keys::KeyPair;
use crate::sign::{SUITE_ED25519, SecretKey, Signature};

/// The genesis format of this program.
pub const GENESIS_VERSION: u8 = 1;

/// What kind of folder it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FolderKind {
    /// Shared files.
    Folder,
    /// One person's keys and addresses, for recovery. Only its owner may change who hosts it.
    Vault,
}

/// Rules the owners may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Joins must be witnessed by a member, not by a seeder, and no invite may carry keys.
    pub approve_joins: bool,
    /// How many admins a quorum op needs at most; 0 means always a majority. 1 is no quorum and refused.
    pub quorum: u8,
    /// Days between the wish to shorten retention and its effect.
    pub delay_days: u16,
}

impl Default for Policy {
    fn default() -> Self {
        Self { approve_joins: false, quorum: 0, delay_days: 7 }
    }
}

impl Canonical for Policy {
    fn encode(&self, w: &mut Writer) {
        w.bool(self.approve_joins).u8(self.quorum).u16(self.delay_days);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (approve_joins, quorum, delay_days) = (r.bool("policy approve_joins")?, r.u8()?, r.u16()?);
        if quorum == 1 {
            return Err(DecodeError::BadValue { what: "policy quorum", found: 1 });
        }
        Ok(Self { approve_joins, quorum, delay_days })
    }
}

/// A folder's founding document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// Folder or vault.
    pub kind: FolderKind,
    /// Makes the id unique.
    pub nonce: [u8; 32],
    /// The founder's member keys.
    pub member: KeyPair,
    /// The founder's first device.
    pub device: KeyPair,
    /// Commits to the folder's shape key and chunking profile without showing them.
    pub shape: [u8; 32],
    /// The policy to begin with.
    pub policy: Policy,
    /// By the member key over all of the above; a vault must have it, so that recovery by words can not be given a vault
    /// that somebody else founded in the person's name.
    pub founder_sig: Option<Signature>,
}

/// Why bytes are not a genesis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The bytes.
    #[error("the folder's genesis can not be read: {0}")]
    Malformed(#[from] DecodeError),
    /// The founder's signature does not hold.
    #[error("the folder's genesis is not signed by its founder")]
    Forged,
    /// A vault without the founder's signature.
    #[error("the vault's genesis lacks its founder's signature")]
    Unsigned,
}

impl Genesis {
    /// The folder's id.
    pub fn folder_id(&self) -> FolderId {
        FolderId(blake3::derive_key("cobox v1 folder", &self.to_bytes()))
    }

    /// The id of the genesis as an op, and so of the founder's grant.
    pub fn op_id(&self) -> OpId {
        OpId(self.folder_id().0)
    }

    /// Adds the founder's signature; it is part of what the folder id hashes.
    pub fn sign_founder(mut self, member: &SecretKey) -> Self {
        self.founder_sig = Some(member.sign("genesis", &FolderId::ZERO, &self.body()));
        self
    }

    /// The encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.fixed(&self.body()).option(self.founder_sig.as_ref());
        w.into_bytes()
    }

    /// Reads and verifies.
    ///
    /// Errors: not canonical, the founder's signature is wrong, or is missing in a vault.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GenesisError> {
        let mut r = Reader::new(bytes);
        let version = r.u8()?;
        if version != GENESIS_VERSION {
            return Err(DecodeError::UnknownVersion { what: "genesis", found: version.into() }.into());
        }
        let suite = r.u8()?;
        if suite != SUITE_ED25519 {
            return Err(DecodeError::UnknownVersion { what: "genesis suite", found: suite.into() }.into());
        }
        let kind = match r.u8()? {
            0 => FolderKind::Folder,
            1 => FolderKind::Vault,
            other => return Err(DecodeError::BadValue { what: "folder kind", found: other.into() }.into()),
        };
        let genesis = Self {
            kind,
            nonce: r.fixed()?,
            member: r.get()?,
            device: r.get()?,
            shape: r.fixed()?,
            policy: r.get()?,
            founder_sig: r.option("founder signature")?,
        };
        r.finish()?;
        match &genesis.founder_sig {
            None if kind == FolderKind::Vault => Err(GenesisError::Unsigned),
            Some(sig) if !genesis.member.sig.verifies("genesis", &FolderId::ZERO, &genesis.body(), sig) => {
                Err(GenesisError::Forged)
            }
            _ => Ok(genesis),
        }
    }

    fn body(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(GENESIS_VERSION).u8(SUITE_ED25519).u8(u8::from(self.kind == FolderKind::Vault)).fixed(&self.nonce);
        w.put(&self.member).put(&self.device).fixed(&self.shape).put(&self.policy);
        w.into_bytes()
    }
}
