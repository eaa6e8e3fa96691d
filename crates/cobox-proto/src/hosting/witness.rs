//! Which joins deserve a witness now (formats F7, rule R13): their invite is open, its date has not passed by the witness's clock, and
//! no more joins than it allows have one. Seeders and members judge alike; where the policy wants joins approved, only a member's
//! program may ask its person, and a seeder keeps still.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::OpId;
use crate::members::{Log, OpBody, Roster};

/// The joins to witness, oldest first. Empty where the policy wants joins approved by members.
pub fn joins_to_witness(log: &Log, roster: &Roster, now_ms: u64) -> Vec<OpId> {
    if roster.policy().approve_joins {
        return vec![];
    }
    let witnessed: BTreeSet<OpId> = log
        .ops()
        .filter_map(|op| match &op.op().body {
            OpBody::Witness { join, .. } => Some(*join),
            _ => None,
        })
        .collect();
    let mut used: BTreeMap<OpId, usize> = BTreeMap::new();
    let joins: Vec<(OpId, OpId)> = log
        .ops()
        .filter_map(|op| match &op.op().body {
            OpBody::Join { invite, .. } if log.refusal(&op.id()).is_none() => Some((op.id(), *invite)),
            _ => None,
        })
        .collect();
    for (_, invite) in joins.iter().filter(|(join, _)| witnessed.contains(join)) {
        *used.entry(*invite).or_default() += 1;
    }
    let mut due = Vec::new();
    for (join, id) in joins.into_iter().filter(|(join, _)| !witnessed.contains(join)) {
        let Some(invite) = roster.invite(&id).filter(|invite| invite.open && now_ms <= invite.expires_ms) else {
            continue;
        };
        let count = used.entry(id).or_default();
        if *count < usize::from(invite.max_uses) {
            *count += 1;
            due.push(join);
        }
    }
    due
}
