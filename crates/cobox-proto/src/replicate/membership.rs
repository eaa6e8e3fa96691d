//! The membership log as the replica needs it: who may have what, who may write, what heads rest on. The rules are
//! [`crate::members`]'s; here they are only asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::id::{EpochTag, HeadId, OpId, SigKey};
use crate::members::{Added, Genesis, Log, Roster, SignedOp, resolve, resolve_at};
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
}

impl Membership {
    /// Of the genesis alone.
    pub fn new(genesis: Genesis) -> Self {
        let log = Log::new(genesis);
        let roster = resolve(&log);
        Self { log, roster }
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
                let open = self.roster.invites_open().into_iter().any(|i| i.sig == who.key && now_ms <= i.expires_ms);
                open.then_some(Reach::Log)
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
    fn check(&self, auth: &[OpId], device: &SigKey, epoch: &EpochTag) -> Result<(), Refusal> {
        let then: Arc<Roster> = resolve_at(&self.log, auth).into();
        if !then.can_write(device) {
            return Err(Refusal::NoWriter);
        }
        if !then.epoch_usable(epoch) {
            return Err(Refusal::BadEpoch);
        }
        Ok(())
    }
    fn writes_now(&self, device: &SigKey) -> bool {
        self.roster.can_write(device)
    }
    fn cuts(&self) -> BTreeSet<HeadId> {
        self.roster.cuts()
    }
}
