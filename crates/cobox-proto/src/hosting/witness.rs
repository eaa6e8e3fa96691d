//! Which joins deserve a witness now (formats F7, rule R13): their invite is open, its date has not passed by the witness's clock, and
//! no more joins than it allows have one. Seeders and members judge alike. Joins that need approval are never among them: those
//! wait for a person, and are listed apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::OpId;
use crate::limits::JOINS_WAITING_MAX;
use crate::members::{InviteInfo, Log, OpBody, Roster};

/// The joins to witness, oldest first; none that needs approval.
pub fn joins_to_witness(log: &Log, roster: &Roster, now_ms: u64) -> Vec<OpId> {
    let witnessed = witnessed(log);
    let mut used: BTreeMap<OpId, usize> = BTreeMap::new();
    for (_, invite) in joins(log).filter(|(join, _)| witnessed.contains(join)) {
        *used.entry(invite).or_default() += 1;
    }
    let mut due = Vec::new();
    for (join, id) in joins(log).filter(|(join, _)| !witnessed.contains(join)) {
        let Some(invite) = usable(roster, &id, now_ms).filter(|invite| !invite.approve) else { continue };
        let count = used.entry(id).or_default();
        if *count < usize::from(invite.max_uses) {
            *count += 1;
            due.push(join);
        }
    }
    due
}

/// The joins that wait until somebody approves, oldest first. Whoever has the code may write any number of them, so of each invite only
/// the first few count.
pub fn joins_waiting(log: &Log, roster: &Roster, now_ms: u64) -> Vec<OpId> {
    let mut shown: BTreeMap<OpId, usize> = BTreeMap::new();
    let mut waiting = Vec::new();
    for (join, id) in joins(log).filter(|(join, _)| !roster.accepted(join)) {
        let count = shown.entry(id).or_default();
        if usable(roster, &id, now_ms).is_some_and(|invite| invite.approve) && *count < JOINS_WAITING_MAX {
            *count += 1;
            waiting.push(join);
        }
    }
    waiting
}

/// The invite, if somebody may still come in by it.
fn usable<'r>(roster: &'r Roster, id: &OpId, now_ms: u64) -> Option<&'r InviteInfo> {
    roster.invite(id).filter(|invite| invite.open && now_ms <= invite.expires_ms)
}

/// Joins that had authority in their own past, each with its invite.
fn joins(log: &Log) -> impl Iterator<Item = (OpId, OpId)> + '_ {
    log.ops().filter_map(|op| match &op.op().body {
        OpBody::Join { invite, .. } if log.refusal(&op.id()).is_none() => Some((op.id(), *invite)),
        _ => None,
    })
}

/// Joins that some witness names.
fn witnessed(log: &Log) -> BTreeSet<OpId> {
    let named = log.ops().filter_map(|op| match &op.op().body {
        OpBody::Witness { join, .. } => Some(*join),
        _ => None,
    });
    named.collect()
}
