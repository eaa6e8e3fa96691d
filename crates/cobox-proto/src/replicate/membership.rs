//! The membership log as the replica needs it: who may have what, who may write, what heads rest on. The rules are
//! [`crate::members`]'s; here they are only asked.

use std::collections::{BTreeSet, VecDeque};

use crate::hosting::Promise;
use crate::id::{EpochTag, HeadId, OpId, SigKey};
use crate::members::HeadAuthority;
use crate::members::{Added, Genesis, InviteInfo, Log, Roster, Seeder, SignedOp, resolve, resolve_at};
use crate::replicate::heads::{Refusal, Rights};
use crate::wire::proof::{KeyKind, Who};

/// What a key may have of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The log and its envelopes: what a newcomer needs to become one.
    Log,
    /// Heads and blocks too.
    Everything,
}

/// A log and what it amounts to.
#[derive(Debug)]
pub struct Membership {
    log: Log,
    roster: Roster,
    /// Membership as some heads saw it, the latest asked for last: the heads of a chain mostly rest on the same ops.
    seen_from: VecDeque<(Vec<OpId>, Roster)>,
}

/// How many of these are remembered.
const SEEN_FROM_MAX: usize = 8;

impl Membership {
    /// Of a genesis and ops; those that can not be in this log are dropped.
    pub fn of(genesis: Genesis, ops: Vec<SignedOp>) -> Self {
        let log = Log::new(genesis);
        let roster = resolve(&log);
        let mut membership = Self { log, roster, seen_from: VecDeque::new() };
        membership.add(ops);
        membership
    }
    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }
    /// What it amounts to now.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Takes ops; those that can never be in this log are dropped. Returns what is new in the log, each after its deps.
    pub(super) fn add(&mut self, ops: Vec<SignedOp>) -> Vec<OpId> {
        let mut new = Vec::new();
        for op in ops {
            if let Ok(Added::New(ids)) = self.log.add(op) {
                new.extend(ids);
            }
        }
        if !new.is_empty() {
            self.roster = resolve(&self.log);
        }
        new
    }

    /// Whether the op, or the genesis, is in the log.
    pub fn contains(&self, op: &OpId) -> bool {
        self.log.contains(op)
    }
    /// The op, if it is in the log and not the genesis.
    pub fn op(&self, op: &OpId) -> Option<&SignedOp> {
        self.log.get(op)
    }
    /// All ops but the genesis, by id.
    pub(super) fn op_ids(&self) -> impl Iterator<Item = OpId> {
        self.log.ops().map(SignedOp::id).collect::<BTreeSet<_>>().into_iter()
    }
    /// All ops but the genesis, each after its deps.
    pub(super) fn op_ids_in_order(&self) -> impl Iterator<Item = OpId> + '_ {
        self.log.ops().map(SignedOp::id)
    }
    /// What the next op depends on.
    pub fn frontier(&self) -> Vec<OpId> {
        self.log.frontier()
    }
    /// What ops wait for.
    pub(super) fn missing_ops(&self) -> Vec<OpId> {
        self.log.missing()
    }

    /// What this key may have of the folder now; `None` is nothing.
    pub fn reach(&self, who: &Who, now_ms: u64) -> Option<Reach> {
        match who.kind {
            KeyKind::Device => self.is_device(&who.key).then_some(Reach::Everything),
            KeyKind::Seeder => self.is_seeder(&who.key).then_some(Reach::Everything),
            KeyKind::Member => self.roster.member_by_key(&who.key).map(|_| Reach::Log),
            KeyKind::Invite => {
                let usable = |invite: &InviteInfo| invite.sig == who.key && now_ms <= invite.expires_ms;
                self.roster.invites_open().any(usable).then_some(Reach::Log)
            }
        }
    }

    /// Whether it is a certified device of a member.
    pub fn is_device(&self, key: &SigKey) -> bool {
        self.roster.device(key).is_some()
    }
    /// Whether it is a granted seeder.
    pub fn is_seeder(&self, key: &SigKey) -> bool {
        self.roster.seeders().iter().any(|seeder| seeder.key == *key)
    }
    /// The grant of a seeder that stays within what it promised; of several the one that gives most room, then the least id.
    pub fn hired(&self, key: &SigKey, promise: &Promise) -> Option<&Seeder> {
        let grants = self.roster.seeders().iter().filter(|grant| grant.key == *key && promise.covers(grant));
        grants.max_by_key(|grant| (grant.quota_bytes, std::cmp::Reverse(grant.grant)))
    }
    /// Whether one may write under this epoch by all that is known now.
    pub fn epoch_usable(&self, epoch: &EpochTag) -> bool {
        self.roster.epoch_usable(epoch)
    }
}

impl Rights for Membership {
    fn knows(&self, op: &OpId) -> bool {
        self.log.contains(op)
    }
    fn covers(&self, auth: &[OpId], earlier: &[OpId]) -> bool {
        self.log.dominates(auth, earlier)
    }
    fn check(&mut self, auth: &[OpId], device: &SigKey, epoch: &EpochTag) -> Result<OpId, Refusal> {
        if !self.seen_from.iter().any(|(seen, _)| seen == auth) {
            // The caller knows all of `auth` to be in the log; none at all is no authority.
            let roster = resolve_at(&self.log, auth).filter(|_| !auth.is_empty()).ok_or(Refusal::NoWriter)?;
            self.seen_from.push_back((auth.to_vec(), roster));
            if self.seen_from.len() > SEEN_FROM_MAX {
                self.seen_from.pop_front();
            }
        }
        let then = self.seen_from.iter().find(|(seen, _)| seen == auth);
        let verdict = then.map(|(_, roster)| roster.auth_ok(device, epoch));
        match verdict {
            Some(Ok(member)) => Ok(member),
            Some(Err(HeadAuthority::EpochNotUsable)) => Err(Refusal::BadEpoch),
            _ => Err(Refusal::NoWriter),
        }
    }
    fn cut(&self, device: &SigKey, member: &OpId, auth: &[OpId]) -> Option<BTreeSet<HeadId>> {
        self.roster.cut_of(&self.log, device, member, auth)
    }
}
