//! Whether the membership lets a head count (formats F4 blind checks, F8 cut, rules R9 and R18). Knows heads only by their
//! author, `auth` and epoch; which heads lie in whose past is the head graph's to say.

use std::collections::BTreeSet;

use crate::id::{EpochTag, HeadId, OpId, SigKey};
use crate::members::log::Log;
use crate::members::op::Role;
use crate::members::resolve::resolve_at;
use crate::members::roster::Roster;

/// What the membership says to a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadAuthority {
    /// Its author may write.
    Full {
        /// The author's member.
        member: OpId,
    },
    /// The author was removed, demoted or its admission is void since: the head counts only if it is in the past of one of these
    /// heads, or of an accepted head of another principal. Else it is quarantined.
    Cut {
        /// The heads; empty if nobody vouched for any.
        heads: BTreeSet<HeadId>,
    },
    /// The log lacks these ops that `auth` names: fetch them and ask again.
    Pending {
        /// The missing ops.
        missing: Vec<OpId>,
    },
    /// Never, and the same everywhere: at `auth` the device had no right to write.
    NoWriter,
    /// Never: at `auth` the epoch was not usable.
    EpochNotUsable,
}

impl Roster {
    /// Whether a device may write at this frontier under this epoch; the member it belongs to. `self` is resolved at `auth`.
    pub fn auth_ok(&self, device: &SigKey, epoch: &EpochTag) -> Result<OpId, HeadAuthority> {
        let writer = self.device(device).map(|(_, member)| member).filter(|member| member.role >= Role::Editor);
        match writer {
            None => Err(HeadAuthority::NoWriter),
            Some(_) if !self.epoch_usable(epoch) => Err(HeadAuthority::EpochNotUsable),
            Some(member) => Ok(member.grant),
        }
    }

    /// The cut for a head of a device that was a writer of `member` at `auth`; none if nothing limits it. `self` is the whole
    /// log resolved. Of several removals each vouches for the heads in its cut.
    pub fn cut_of(&self, log: &Log, device: &SigKey, member: &OpId, auth: &[OpId]) -> Option<BTreeSet<HeadId>> {
        let seen = |op: &OpId| auth.contains(op) || auth.iter().any(|a| log.precedes(op, a));
        let unseen: Vec<_> = self.removals_of(device).iter().filter(|removal| !seen(&removal.op)).collect();
        let void = !self.accepted(member) || (unseen.is_empty() && !self.can_write(device));
        (void || !unseen.is_empty()).then(|| unseen.iter().flat_map(|removal| removal.cut.iter().copied()).collect())
    }
}

impl Log {
    /// What the membership says to a head by `device` under `epoch` that rests on `auth`; `now` is the whole log resolved.
    ///
    /// Resolving at `auth` is quick for a frontier asked lately and linear in the log otherwise.
    pub fn head_authority(&self, now: &Roster, device: &SigKey, epoch: &EpochTag, auth: &[OpId]) -> HeadAuthority {
        let missing: Vec<OpId> = auth.iter().filter(|id| !self.contains(id)).copied().collect();
        if !missing.is_empty() {
            return HeadAuthority::Pending { missing };
        }
        let Some(then) = resolve_at(self, auth) else { return HeadAuthority::Pending { missing } };
        let member = match then.auth_ok(device, epoch) {
            Ok(member) => member,
            Err(refused) => return refused,
        };
        if let Some(heads) = now.cut_of(self, device, &member, auth) {
            return HeadAuthority::Cut { heads };
        }
        HeadAuthority::Full { member }
    }

    /// What to show the author of a head that arrives under an epoch which is void by now: all ops its `auth` lacks (rule
    /// R9, `STALE`). None if the epoch is usable. Old heads fetched as history are not stale: they stay valid.
    pub fn stale(&self, now: &Roster, epoch: &EpochTag, auth: &[OpId]) -> Option<Vec<OpId>> {
        let unseen = |id: &OpId| !auth.contains(id) && !auth.iter().any(|a| self.precedes(id, a));
        (!now.epoch_usable(epoch)).then(|| self.ids().filter(unseen).collect())
    }
}
