//! Sending people and devices away, and what else a person changes about who may do what: the op, and the epoch that follows from it
//! at once, so that nobody has to wait for another to start it.
//!
//! Whether one may is not decided twice: the op is tried on a copy of the log, and what the rules make of it is the answer. The same
//! trial is the preview.

use std::collections::BTreeSet;

use cobox_proto::id::{HeadId, OpId, SigKey};
use cobox_proto::limits::OP_CUT_HEADS_MAX;
use cobox_proto::members::{Log, LogError, OpBody, OpError, Policy, Role, Roster, Void, resolve};

use super::duties::{Deed, Seat, start_epoch};
use super::epochs::EpochError;
use super::ops::propose;

/// Why something can not be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemovalError {
    /// The device is none of the folder's.
    #[error("this device is no member of the folder any more")]
    NotMember,
    /// Nobody of this grant is in the folder, or no such device or invite.
    #[error("there is nobody and nothing like that in the folder now")]
    NoTarget,
    /// The rules say no.
    #[error("{0}")]
    Refused(Void),
    /// Somebody more senior has decided otherwise meanwhile.
    #[error("somebody more senior has just decided otherwise; look again who belongs to the folder")]
    Overruled,
    /// The role is the one that stands.
    #[error("that is the role they have")]
    SameRole,
    /// The new epoch.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The op.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The log is full.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What a change would do: the ops, and who and what is affected beside its target.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// To carry out.
    pub deed: Deed,
    /// The members that would be gone, the target first if it is one; others rest on what the target did unseen.
    pub gone: Vec<OpId>,
    /// Open invites that would close.
    pub closed_invites: Vec<OpId>,
}

/// Takes a member out. `cut` are the last heads of its devices that are known here (rule R18).
pub fn remove_member(
    seat: &Seat<'_>,
    member: OpId,
    cut: Vec<HeadId>,
    random: &[u8; 64],
) -> Result<Change, RemovalError> {
    seat.roster.member(&member).ok_or(RemovalError::NoTarget)?;
    change(seat, OpBody::Remove { grant: member, cut: bounded(cut) }, random)
}

/// Changes what a member may do. Of a demotion `cut` are the last heads of its devices that are known here.
pub fn set_role(
    seat: &Seat<'_>,
    member: OpId,
    role: Role,
    cut: Vec<HeadId>,
    random: &[u8; 64],
) -> Result<Change, RemovalError> {
    let now = seat.roster.member(&member).ok_or(RemovalError::NoTarget)?.role;
    if now == role {
        return Err(RemovalError::SameRole);
    }
    let cut = if role < now { bounded(cut) } else { Vec::new() };
    change(seat, OpBody::SetRole { grant: member, role, cut }, random)
}

/// Takes a device of the own member out: a lost laptop.
pub fn remove_device(
    seat: &Seat<'_>,
    device: SigKey,
    cut: Vec<HeadId>,
    random: &[u8; 64],
) -> Result<Change, RemovalError> {
    let member = seat.member().ok_or(RemovalError::NotMember)?;
    member.devices.iter().find(|known| known.sig == device).ok_or(RemovalError::NoTarget)?;
    change(seat, OpBody::RemoveDevice { device, cut: bounded(cut) }, random)
}

/// Closes an invite.
pub fn cancel_invite(seat: &Seat<'_>, invite: OpId, now_ms: u64, random: &[u8; 64]) -> Result<Change, RemovalError> {
    seat.roster.invite(&invite).filter(|invite| invite.open).ok_or(RemovalError::NoTarget)?;
    change(seat, OpBody::CancelInvite { invite, at_ms: now_ms }, random)
}

/// Says whether whoever joins has to be approved from now on, by whatever code they come. The rest of the policy stays as it is.
///
/// Errors: the rules do not let this device's member decide it.
pub fn set_approve_joins(seat: &Seat<'_>, approve_joins: bool, random: &[u8; 64]) -> Result<Change, RemovalError> {
    let policy = Policy { approve_joins, ..seat.roster.policy() };
    change(seat, OpBody::Policy { policy }, random)
}

/// Starts a new epoch because a person wants one.
pub fn rekey(seat: &Seat<'_>, random: &[u8; 64]) -> Result<Change, RemovalError> {
    let author = seat.author().ok_or(RemovalError::NotMember)?;
    let keys = seat.keys.ok_or(EpochError::NoKeys)?;
    let mut after = seat.log.clone();
    let mut deed = Deed::default();
    let (epoch, keys) = start_epoch(seat.sealing, seat.log, seat.roster, keys, author, random)?;
    let id = epoch.op.id();
    after.add(epoch.op.clone())?;
    stands(&after, &resolve(&after), &id)?;
    deed.and_epoch(epoch, keys);
    Ok(Change { deed, gone: Vec::new(), closed_invites: Vec::new() })
}

pub(super) fn change(seat: &Seat<'_>, body: OpBody, random: &[u8; 64]) -> Result<Change, RemovalError> {
    let author = seat.author().ok_or(RemovalError::NotMember)?;
    let op = propose(seat.log, author, body)?;
    let id = op.id();
    let mut after = seat.log.clone();
    after.add(op.clone())?;
    let roster = resolve(&after);
    stands(&after, &roster, &id)?;
    let mut deed = Deed::of(op);
    let still_writes = roster.device(&author.key.public()).is_some_and(|(_, member)| member.role >= Role::Editor);
    if roster.writable_epoch().is_none()
        && still_writes
        && let Some(keys) = seat.keys
    {
        let (epoch, keys) = start_epoch(seat.sealing, &after, &roster, keys, author, random)?;
        deed.and_epoch(epoch, keys);
    }
    let gone =
        seat.roster.members().map(|member| member.grant).filter(|grant| roster.member(grant).is_none()).collect();
    let open: BTreeSet<OpId> = roster.invites_open().map(|invite| invite.id).collect();
    let closed_invites = seat.roster.invites_open().map(|invite| invite.id).filter(|id| !open.contains(id)).collect();
    Ok(Change { deed, gone, closed_invites })
}

fn stands(log: &Log, roster: &Roster, op: &OpId) -> Result<(), RemovalError> {
    match log.refusal(op) {
        Some(why) => Err(RemovalError::Refused(why)),
        None if roster.accepted(op) => Ok(()),
        None => Err(RemovalError::Overruled),
    }
}

/// More than a cut may name are not known of an honest member; the rest counts if somebody else has merged it.
fn bounded(mut cut: Vec<HeadId>) -> Vec<HeadId> {
    cut.sort_unstable();
    cut.dedup();
    cut.truncate(OP_CUT_HEADS_MAX);
    cut
}
