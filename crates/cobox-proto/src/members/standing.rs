//! What a set of ops amounts to: the members, devices, invites, seeders and epochs in force. Built by applying the ops that
//! stand in any topological order; which ones stand is `resolve`'s to say.
//!
//! What must hold: the result depends on the set alone, never on log positions. Where concurrent ops compete, the maximal ones
//! are kept side by side and a rule that looks at their content decides when asked.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Hash, OpId, SigKey};
use crate::members::authority::forget_bytes;
use crate::members::epoch::Epochs;
use crate::members::genesis::Policy;
use crate::members::keys::KeyPair;
use crate::members::log::{At, Log};
use crate::members::op::{OpBody, Role};
use crate::members::past::Past;

/// A resolved set. Names ops by their position in the log it was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) set: Past,
    pub(super) accepted: BTreeSet<At>,
    pub(super) members: BTreeMap<At, MemberState>,
    /// What was decided about members. Apart from them, for somebody may be admitted twice over (by two witnesses of one join, a device by two
    /// certificates), and the one that stands may be the one that the decision had not seen.
    decided: BTreeMap<At, Decided>,
    pub(super) invites: BTreeMap<At, InviteState>,
    /// Seeder grants, with whether they ended.
    pub(super) seeders: BTreeMap<At, bool>,
    /// What is to be forgotten, with whether that was taken back.
    pub(super) forgets: BTreeMap<At, bool>,
    /// What that takes in the log.
    pub(super) forget_bytes: usize,
    /// The maximal policy ops.
    policies: Vec<At>,
    /// Joins that were too many for their invite.
    pub(super) barred: BTreeSet<At>,
    /// Joins in force that nobody but joiner and witness has built upon yet (rule R13).
    pub(super) unacked: BTreeSet<At>,
    /// Joins that somebody else has built upon.
    acked: BTreeSet<At>,
    /// Who holds an X-Wing key, or once did.
    pub(super) holders: BTreeMap<Hash, BTreeSet<Holder>>,
    /// Every signing key that a member or device ever had.
    pub(super) sigs: BTreeSet<SigKey>,
    pub(super) epochs: Epochs,
}

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    /// A device of a member.
    Device(At, SigKey),
    /// A member; the op that set the key.
    Member(At, At),
    /// An invite.
    Invite(At),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct MemberState {
    /// The maximal key updates.
    pub(super) keys: Vec<At>,
    /// Every device it ever had, with the op that certified it: of several the least in (lam, id).
    pub(super) devices: BTreeMap<SigKey, At>,
}

/// What was decided about a member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Decided {
    pub(super) removals: Vec<At>,
    /// The maximal role changes.
    pub(super) roles: Vec<At>,
    /// All that ever took the right to write; for heads.
    pub(super) demotions: Vec<At>,
    pub(super) device_removals: BTreeMap<SigKey, Vec<At>>,
}

/// Nothing was decided.
static NOTHING: Decided =
    Decided { removals: Vec::new(), roles: Vec::new(), demotions: Vec::new(), device_removals: BTreeMap::new() };

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct InviteState {
    /// Cancelled; or its author lost the right to invite; or it carries keys and somebody who used it was sent away.
    pub(super) closed: bool,
    /// The joins in force.
    pub(super) joins: BTreeSet<At>,
}

impl Standing {
    /// Of the genesis alone.
    pub(super) fn genesis(log: &Log) -> Self {
        let mut standing = Self {
            set: log.past_of(&[0]),
            accepted: [0].into(),
            members: BTreeMap::new(),
            decided: BTreeMap::new(),
            invites: BTreeMap::new(),
            seeders: BTreeMap::new(),
            forgets: BTreeMap::new(),
            forget_bytes: 0,
            policies: Vec::new(),
            barred: BTreeSet::new(),
            unacked: BTreeSet::new(),
            acked: BTreeSet::new(),
            holders: BTreeMap::new(),
            sigs: BTreeSet::new(),
            epochs: Epochs::default(),
        };
        standing.admit(log, 0);
        standing
    }

    /// Grows the set by an op that has all of it in its past.
    pub(super) fn extend(&mut self, log: &Log, at: At) {
        self.set = log.past_of(&[at]);
        self.apply(log, at, log.node(at).verdict.is_ok());
    }

    /// Applies one op after all of its past that is in the set. `stands` says whether it counts; one that does not
    /// may still have given secrets away.
    pub(super) fn apply(&mut self, log: &Log, at: At, stands: bool) {
        let node = log.node(at);
        let (Some(op), Ok(valid)) = (node.op(), &node.verdict) else { return };
        self.epochs.apply(log, at, stands);
        if !stands {
            return;
        }
        // A join takes effect with its witness, not by itself.
        if !matches!(op.body, OpBody::Join { .. }) {
            self.accepted.insert(at);
        }
        for join in &valid.acks {
            self.unacked.remove(join);
            self.acked.insert(*join);
        }
        match &op.body {
            OpBody::Grant { .. } => self.admit(log, at),
            OpBody::Invite { .. } => {
                self.invites.insert(at, InviteState::default());
                self.hold(node.key_ids[0], Holder::Invite(at));
            }
            OpBody::CancelInvite { invite, .. } => {
                if let Some(state) = log.at(invite).and_then(|at| self.invites.get_mut(&at)) {
                    state.closed = true;
                }
            }
            OpBody::Join { .. } => {}
            OpBody::Witness { join, .. } => self.witnessed(log, join),
            OpBody::AddDevice { device, .. } => {
                if let Some(member) = log.at(&op.signers[0].grant) {
                    self.certify(log, member, device, at, node.key_ids[0]);
                }
            }
            OpBody::RemoveDevice { device, .. } => {
                let Some(member) = log.at(&op.signers[0].grant) else { return };
                let decided = self.decided.entry(member).or_default();
                decided.device_removals.entry(*device).or_default().push(at);
                if joined_with(log, member, device) {
                    self.close_invite_used_by(log, member);
                }
            }
            OpBody::SetRole { grant, role, .. } => {
                let Some(member) = log.at(grant) else { return };
                let decided = self.decided.entry(member).or_default();
                keep_maximal(log, &mut decided.roles, at);
                if *role < Role::Editor {
                    decided.demotions.push(at);
                }
                if *role < Role::Admin {
                    self.close_invites_of(log, member);
                }
            }
            OpBody::Remove { grant, .. } => {
                let Some(member) = log.at(grant) else { return };
                self.decided.entry(member).or_default().removals.push(at);
                self.close_invites_of(log, member);
                self.close_invite_used_by(log, member);
            }
            OpBody::SeederGrant { .. } => {
                self.seeders.insert(at, false);
            }
            OpBody::SeederEnd { seeder } => {
                if let Some(ended) = log.at(seeder).and_then(|at| self.seeders.get_mut(&at)) {
                    *ended = true;
                }
            }
            OpBody::Policy { .. } => keep_maximal(log, &mut self.policies, at),
            OpBody::KeyUpdate { grant, keys } => {
                let Some(member) = log.at(grant) else { return };
                self.sigs.insert(keys.sig);
                self.hold(node.key_ids[0], Holder::Member(member, at));
                if let Some(state) = self.members.get_mut(&member) {
                    keep_maximal(log, &mut state.keys, at);
                }
            }
            OpBody::EpochBundle { .. } | OpBody::EpochGrant { .. } => {}
            OpBody::Forget { states, blocks, .. } => {
                self.forget_bytes += forget_bytes(states.len(), blocks.len());
                self.forgets.insert(at, false);
            }
            OpBody::ForgetEnd { forgets } => {
                for forget in forgets.iter().filter_map(|id| log.at(id)) {
                    self.forgets.entry(forget).and_modify(|ended| *ended = true);
                }
            }
        }
    }

    /// A removed admin knows the seeds of its own invites and must not come back through them.
    fn close_invites_of(&mut self, log: &Log, member: At) {
        let id = log.node(member).id;
        for (at, state) in &mut self.invites {
            if log.node(*at).op().is_some_and(|op| op.signers[0].grant == id) {
                state.closed = true;
            }
        }
    }

    /// Whoever joined has the code, and must neither come back by it nor be given keys through it.
    fn close_invite_used_by(&mut self, log: &Log, join: At) {
        let Some(invite) = invite_of(log, join).filter(|invite| carries_keys(log, *invite)) else { return };
        if let Some(state) = self.invites.get_mut(&invite) {
            state.closed = true;
        }
    }

    fn witnessed(&mut self, log: &Log, join: &OpId) {
        let Some(join) = log.at(join) else { return };
        let Some(OpBody::Join { invite, .. }) = log.node(join).body() else { return };
        if self.members.contains_key(&join) || self.barred.contains(&join) {
            return;
        }
        if let Some(state) = log.at(invite).and_then(|at| self.invites.get_mut(&at)) {
            state.joins.insert(join);
        }
        if !self.acked.contains(&join) {
            self.unacked.insert(join);
        }
        self.accepted.insert(join);
        self.admit(log, join);
    }

    fn admit(&mut self, log: &Log, at: At) {
        let node = log.node(at);
        let device = match node.body() {
            None => &log.genesis().device,
            Some(OpBody::Grant { device, .. } | OpBody::Join { device, .. }) => device,
            Some(_) => return,
        };
        self.members.insert(at, MemberState::default());
        self.sigs.extend(keys_set_by(log, at).map(|keys| keys.sig));
        self.hold(node.key_ids[0], Holder::Member(at, at));
        self.certify(log, at, device, at, node.key_ids[1]);
    }

    fn certify(&mut self, log: &Log, member: At, device: &KeyPair, op: At, key_id: Hash) {
        let Some(state) = self.members.get_mut(&member) else { return };
        let first = state.devices.entry(device.sig).or_insert(op);
        if log.node(op).order() < log.node(*first).order() {
            *first = op;
        }
        self.sigs.insert(device.sig);
        self.hold(key_id, Holder::Device(member, device.sig));
    }

    fn hold(&mut self, key: Hash, holder: Holder) {
        self.holders.entry(key).or_default().insert(holder);
    }

    /// What was decided about a member, in force or not.
    pub(super) fn decided(&self, member: At) -> &Decided {
        self.decided.get(&member).unwrap_or(&NOTHING)
    }

    /// Whether a member is in force.
    pub(super) fn live(&self, member: At) -> bool {
        self.members.contains_key(&member) && self.decided(member).removals.is_empty()
    }

    /// Whether a device of a member is in force.
    pub(super) fn device_live(&self, member: At, device: &SigKey) -> bool {
        self.live(member)
            && self.members[&member].devices.contains_key(device)
            && !self.decided(member).device_removals.contains_key(device)
    }

    /// The role of a member, also of a removed one. Of concurrent changes the lowest counts.
    pub(super) fn role(&self, log: &Log, member: At) -> Option<Role> {
        self.members.get(&member)?;
        let set = self.decided(member).roles.iter().filter_map(|at| match log.node(*at).body() {
            Some(OpBody::SetRole { role, .. }) => Some(*role),
            _ => None,
        });
        set.min().or_else(|| first_role(log, member))
    }

    /// The live members of at least this role.
    pub(super) fn live_with(&self, log: &Log, role: Role) -> impl Iterator<Item = At> {
        self.members.keys().copied().filter(move |m| self.live(*m) && self.role(log, *m) >= Some(role))
    }

    /// Whether two key updates compete: then the member key can do nothing until an admin picks one (rule R12).
    pub(super) fn frozen(&self, log: &Log, member: At) -> bool {
        let Some(state) = self.members.get(&member) else { return false };
        state.keys.iter().any(|at| keys_set_by(log, *at) != keys_set_by(log, state.keys[0]))
    }

    /// The ops that set the member's current keys: one, or the competing ones.
    pub(super) fn key_ops(&self, member: At) -> Vec<At> {
        match self.members.get(&member) {
            Some(state) if !state.keys.is_empty() => state.keys.clone(),
            _ => vec![member],
        }
    }

    /// The member's keys; while frozen those it had last without dispute are of no use, so the least candidate in
    /// (lam, id) is shown.
    pub(super) fn keys<'l>(&self, log: &'l Log, member: At) -> Option<&'l KeyPair> {
        let op = self.key_ops(member).into_iter().min_by_key(|at| log.node(*at).order())?;
        keys_set_by(log, op)
    }

    /// Whether whoever holds the key is in force.
    pub(super) fn holder_live(&self, log: &Log, holder: &Holder) -> bool {
        match holder {
            Holder::Device(member, device) => self.device_live(*member, device),
            Holder::Member(member, op) => self.live(*member) && self.key_ops(*member).contains(op),
            // Whoever joined holds the invite's key as well.
            Holder::Invite(at) => {
                let live = |s: &InviteState| !s.closed && s.joins.iter().all(|join| self.live(*join));
                self.invites.get(at).is_some_and(live) && carries_keys(log, *at)
            }
        }
    }

    /// Whether a new joiner may still use the invite, expiry apart.
    pub(super) fn invite_open(&self, log: &Log, at: At) -> bool {
        let Some(OpBody::Invite { max_uses, .. }) = log.node(at).body() else { return false };
        self.invites.get(&at).is_some_and(|s| !s.closed && s.joins.len() < usize::from(*max_uses))
    }

    /// Whether who joins by it has to be approved: the folder wants that of all, or the invite carries no keys.
    pub(super) fn waits_for_approval(&self, log: &Log, invite: At) -> bool {
        self.policy(log).approve_joins || !carries_keys(log, invite)
    }

    /// The policy: of competing ones that of the most senior author, then the least in (lam, id).
    pub(super) fn policy(&self, log: &Log) -> Policy {
        let author = |at: At| {
            let op = log.node(at).op().and_then(|op| log.at(&op.signers[0].grant));
            op.map(|grant| &log.node(grant).rank)
        };
        let first = self.policies.iter().min_by_key(|at| (author(**at), log.node(**at).order()));
        match first.and_then(|at| log.node(*at).body()) {
            Some(OpBody::Policy { policy }) => *policy,
            _ => log.genesis().policy,
        }
    }
}

/// The role a member was admitted with.
fn first_role(log: &Log, member: At) -> Option<Role> {
    match log.node(member).body() {
        None => Some(Role::Owner),
        Some(OpBody::Grant { role, .. }) => Some(*role),
        Some(OpBody::Join { invite, .. }) => match log.at(invite).and_then(|at| log.node(at).body()) {
            Some(OpBody::Invite { role, .. }) => Some(*role),
            _ => None,
        },
        Some(_) => None,
    }
}

/// The invite of a join.
pub(super) fn invite_of(log: &Log, join: At) -> Option<At> {
    match log.node(join).body() {
        Some(OpBody::Join { invite, .. }) => log.at(invite),
        _ => None,
    }
}

/// Whether an invite carries keys: then whoever has the code needs nobody's consent.
pub(super) fn carries_keys(log: &Log, invite: At) -> bool {
    matches!(log.node(invite).body(), Some(OpBody::Invite { grant: true, .. }))
}

/// Whether this is the device that joined, and so had the code.
fn joined_with(log: &Log, join: At, key: &SigKey) -> bool {
    matches!(log.node(join).body(), Some(OpBody::Join { device, .. }) if device.sig == *key)
}

/// The keys that an admission or key update gives a member.
pub(super) fn keys_set_by(log: &Log, op: At) -> Option<&KeyPair> {
    match log.node(op).body() {
        None => Some(&log.genesis().member),
        Some(OpBody::Grant { member, .. } | OpBody::Join { member, .. }) => Some(member),
        Some(OpBody::KeyUpdate { keys, .. }) => Some(keys),
        Some(_) => None,
    }
}

/// Adds an op to a list of mutually concurrent ones and drops those it has seen.
fn keep_maximal(log: &Log, ops: &mut Vec<At>, new: At) {
    ops.retain(|at| !log.node(new).past.contains(*at));
    ops.push(new);
}
