//! Making membership ops. Every op depends on the log's frontier, so it is judged with all that its author knew.

use cobox_proto::id::{FolderId, Hash, OpId, SigKey};
use cobox_proto::limits::OP_DEPS_MAX;
use cobox_proto::members::{KeyPair, Log, Op, OpBody, OpError, Retention, SignedOp, Signer};
use cobox_proto::sign::{SecretKey, Signature};

use super::names::{Label, LabelError};
use crate::keys::DeviceSecret;

/// Who signs an op: a member's device, its slot key, or a seeder.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// The op that admitted the author: genesis, `Grant`, `Join` or `SeederGrant`.
    pub grant: OpId,
    /// The key that signs.
    pub key: &'a SecretKey,
}

impl Author<'_> {
    fn signer(&self) -> Signer {
        Signer { grant: self.grant, key: self.key.public() }
    }
}

/// Makes an op of any kind that one author signs and that has no label.
pub fn propose(log: &Log, author: Author<'_>, body: OpBody) -> Result<SignedOp, OpError> {
    propose_after(log.folder(), frontier(log), author, body)
}

/// [`propose`] with a name or label for the members to read.
pub fn propose_labelled(log: &Log, author: Author<'_>, body: OpBody, label: Label<'_>) -> Result<SignedOp, LabelError> {
    let mut op = unsigned(log.folder(), frontier(log), vec![author.signer()], body);
    label.seal_into(&mut op)?;
    Ok(SignedOp::sign(op, &[author.key])?)
}

/// [`propose`] on top of given ops: for ops made one after the other.
pub(super) fn propose_after(
    folder: FolderId,
    deps: Vec<OpId>,
    author: Author<'_>,
    body: OpBody,
) -> Result<SignedOp, OpError> {
    SignedOp::sign(unsigned(folder, deps, vec![author.signer()], body), &[author.key])
}

pub(super) fn unsigned(folder: FolderId, deps: Vec<OpId>, signers: Vec<Signer>, body: OpBody) -> Op {
    Op { folder, signers, deps, body, sealed: Vec::new() }
}

/// The log's frontier; of one that is wider than an op may name, the first: the rest is joined by later ops.
pub(super) fn frontier(log: &Log) -> Vec<OpId> {
    let mut deps = log.frontier();
    deps.truncate(OP_DEPS_MAX);
    deps
}

/// What a new device shows to the device that certifies it.
pub fn device_proof(device: &DeviceSecret, folder: &FolderId, member: &OpId) -> Signature {
    device.public().prove_device(&device.sig, folder, member)
}

/// Certifies another device of the author's own member: after linking by another device, in recovery by the slot key.
pub fn add_device(log: &Log, author: Author<'_>, device: KeyPair, proof: Signature) -> Result<SignedOp, OpError> {
    propose(log, author, OpBody::AddDevice { device, proof })
}

/// Lets a join take effect. The clock is the author's; it decides whether the invite had expired.
pub fn witness(log: &Log, author: Author<'_>, join: OpId, at_ms: u64) -> Result<SignedOp, OpError> {
    propose(log, author, OpBody::Witness { join, at_ms })
}

/// Hires a seeder for the offer with this hash.
pub fn seeder_grant(
    log: &Log,
    author: Author<'_>,
    seeder: SigKey,
    offer_hash: Hash,
    quota_bytes: u64,
    retention: Retention,
    member_share: u8,
) -> Result<SignedOp, OpError> {
    propose(log, author, OpBody::SeederGrant { seeder, offer_hash, quota_bytes, retention, member_share })
}
