//! How a folder comes to a seeder: on a channel opened with an offer's secret the claimant delivers the folder's log in pieces; the
//! seeder verifies it from the genesis and finds in it the grant that names the offer. A vault comes the same way, on the channel
//! of a folder whose member owns it, without an offer.
//!
//! Binding an offer to a folder must be one transaction of the host's; these functions only judge.

use crate::hosting::{Offer, Promise};
use crate::id::{FolderId, OpId, SigKey};
use crate::limits::{CLAIM_BYTES_MAX, LOG_OPS_MAX};
use crate::members::{FolderKind, Genesis, SignedOp};
use crate::replicate::{Kept, Membership};
use crate::wire::{ClaimRefusal, LogPart};

/// A log that is arriving.
#[derive(Debug, Default)]
pub struct Arriving {
    genesis: Option<Genesis>,
    ops: Vec<SignedOp>,
    bytes: usize,
}

/// A folder whose log was delivered whole and verified.
#[derive(Debug)]
pub struct Delivered {
    /// Its genesis.
    pub genesis: Genesis,
    /// Its ops.
    pub ops: Vec<SignedOp>,
    /// The log, resolved.
    pub membership: Membership,
}

impl Arriving {
    /// Takes the next piece. Returns the whole after the last.
    ///
    /// Errors: not this folder's genesis, an op that is none, more than fits, or ops whose past is missing.
    pub fn take(&mut self, folder: &FolderId, part: LogPart) -> Result<Option<Delivered>, ClaimRefusal> {
        self.bytes += part.genesis.len() + part.ops.iter().map(Vec::len).sum::<usize>();
        if self.bytes > CLAIM_BYTES_MAX || self.ops.len() + part.ops.len() > LOG_OPS_MAX {
            return Err(ClaimRefusal::BadLog);
        }
        if self.genesis.is_none() {
            let genesis = Genesis::from_bytes(&part.genesis).map_err(|_| ClaimRefusal::BadLog)?;
            if genesis.folder_id() != *folder {
                return Err(ClaimRefusal::BadLog);
            }
            self.genesis = Some(genesis);
        } else if !part.genesis.is_empty() {
            return Err(ClaimRefusal::BadLog);
        }
        for bytes in &part.ops {
            self.ops.push(SignedOp::from_bytes(bytes).map_err(|_| ClaimRefusal::BadLog)?);
        }
        if !part.last {
            return Ok(None);
        }
        let genesis = self.genesis.take().ok_or(ClaimRefusal::BadLog)?;
        let ops = std::mem::take(&mut self.ops);
        let membership = Membership::of(genesis.clone(), ops.clone());
        if ops.iter().any(|op| !membership.contains(&op.id())) {
            return Err(ClaimRefusal::BadLog);
        }
        Ok(Some(Delivered { genesis, ops, membership }))
    }
}

impl Delivered {
    /// As the first thing kept of the folder.
    pub fn into_kept(self) -> (Genesis, Kept) {
        (self.genesis, Kept { ops: self.ops, ..Kept::default() })
    }

    /// Whether this offer may be used for this folder. `used_by` is the folder it is bound to already; claiming again for the same
    /// one changes nothing and is allowed, also after the offer's date.
    pub fn judge_claim(&self, now_ms: u64, offer: &Offer, used_by: Option<&FolderId>) -> Result<OpId, ClaimRefusal> {
        let folder = self.genesis.folder_id();
        match used_by {
            Some(used) if *used != folder => return Err(ClaimRefusal::Used),
            None if now_ms > offer.expires_ms => return Err(ClaimRefusal::Expired),
            _ => {}
        }
        self.grant_of(&offer.seeder, &Promise::of(&folder, [offer])).ok_or(ClaimRefusal::NotGranted)
    }

    /// Whether this is a vault that may be kept beside a hosted folder: signed by its founder, and its owner asks this seeder.
    pub fn judge_vault(&self, seeder: &SigKey, vaults_of_member: usize) -> Result<OpId, ClaimRefusal> {
        if self.genesis.kind != FolderKind::Vault || vaults_of_member > 0 {
            return Err(ClaimRefusal::VaultRefused);
        }
        let refusal =
            if self.membership.is_seeder(seeder) { ClaimRefusal::VaultRefused } else { ClaimRefusal::NotGranted };
        self.grant_of(seeder, &Promise::Vault).ok_or(refusal)
    }

    fn grant_of(&self, seeder: &SigKey, promise: &Promise) -> Option<OpId> {
        self.membership.hired(seeder, promise).map(|grant| grant.grant)
    }
}
