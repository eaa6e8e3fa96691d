//! What each kind of op needs in its own causal past (design 6.2, rule 1). The answer is fixed when the op is written: it is
//! worked out once and kept. Whether the op then *stands* among ops it has not seen is `resolve`'s to say.
//!
//! | op | who | and |
//! |---|---|---|
//! | `Grant` | admin | role at most its own; keys not known yet |
//! | `Invite` | admin | role at most its own; no keys in it where joins need approval, or if it makes admins |
//! | `CancelInvite` | admin, the inviter, or an editor after expiry | the invite is not closed |
//! | `Join` | invite key and new device | the invite is open; keys not known yet |
//! | `Witness` | a seeder or any member; where the join needs approval, who could have made the invite | in time, the invite is open, the join seen |
//! | `AddDevice` | the member's key or one of its devices | key not known yet; not while key updates compete |
//! | `RemoveDevice` | the member's key or one of its devices | it is the member's and in force |
//! | `SetRole`, `Remove`, one signer | admin | below admin: any; an admin: signer strictly more senior and of no lower role; new role at most its own; not itself. Who is not an admin may remove itself |
//! | `SetRole`, `Remove`, quorum | most of the admins (or `policy.quorum`) | none of them the target |
//! | `SeederGrant`, `SeederEnd` | admin; owner in a vault | |
//! | `Policy` | owner; admin when there is no owner | |
//! | `KeyUpdate` | the member's own key; while two compete: an admin senior to it, picking one of them | |
//! | `EpochBundle` | admin; editor when no epoch is usable | parents known, tag new, all recipients in force |
//! | `EpochGrant` | any member | epochs known, the key is `member`'s and in force |
//! | `Forget` | owner | the log has room for it |
//! | `ForgetEnd` | owner | the statements stand |

use crate::id::{Cid, EpochId, Hash, HeadTag, OpId, SigKey};
use crate::limits::FORGET_BYTES_MAX;
use crate::members::epoch::epoch_depth;
use crate::members::genesis::FolderKind;
use crate::members::keys::KeyPair;
use crate::members::log::{At, Log};
use crate::members::op::{Op, OpBody, Role, Signer};
use crate::members::past::Past;
use crate::members::standing::{Holder, Standing, keys_set_by};

/// What an op that had authority rests on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Valid {
    /// The ops in its past that gave its signers their place, key and role. If one is void, so is this.
    pub(super) supports: Vec<At>,
    /// The least role a signer had to have.
    pub(super) needs: Option<Role>,
    /// The op that certified the signing device; none if a member key signed.
    pub(super) signer_device: Option<At>,
    /// Joins in force in its past that it is the first third party to build upon (rule R13).
    pub(super) acks: Vec<At>,
    /// For bundles: how many epochs lie before it.
    pub(super) depth: u32,
}

/// Why an op had no authority in its own past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// The signer is not in force, or signs with a key that is not its own.
    #[error("its signer was not a member of the folder then")]
    NotMember,
    /// The signer's key update is disputed.
    #[error("its signer's key was disputed; an admin must pick one")]
    Frozen,
    /// The signer's role is too low.
    #[error("its signer's role did not allow this")]
    RoleTooLow,
    /// The target is as senior as the signer.
    #[error("only somebody more senior, or most admins together, may do this to an admin")]
    NotSenior,
    /// Too few admins signed, or the target is one of them.
    #[error("too few admins signed, or the one concerned did")]
    NoQuorum,
    /// What it is about is unknown, or over.
    #[error("what it is about did not exist then or was over")]
    NoTarget,
    /// A key that is in use already, or once was.
    #[error("it brings a key that is known already")]
    KnownKey,
    /// The invite is used up, expired, closed or does not fit the policy.
    #[error("the invite was closed, used up or expired")]
    InviteClosed,
    /// It lets somebody in, or gives them keys, who has to wait for an owner or admin.
    #[error("an owner or admin has to approve this join first")]
    NeedsApproval,
    /// Recipients, parents or id of an epoch do not fit.
    #[error("the epoch does not fit the ones before it, or is sealed to somebody outside")]
    BadEpoch,
    /// The log has no room for another statement of what to forget.
    #[error("the folder's log has no room to forget more")]
    TooMuchForgotten,
    /// The chain of grants or certificates is longer than the format allows.
    #[error("the chain of grants is too long")]
    TooDeep,
}

/// Judges `op`, whose past is `past`, resolved as `st`.
pub(super) fn judge(log: &Log, st: &Standing, past: &Past, op: &Op) -> Result<Valid, Void> {
    let judge = Judge { log, st, past };
    if let OpBody::Join { invite, member, device } = &op.body {
        return judge.join(op, invite, [&member.sig, &device.sig], [&member.hpke.id(), &device.hpke.id()]);
    }
    if let OpBody::Witness { join, at_ms } = &op.body {
        return judge.witness(&op.signers[0], join, *at_ms);
    }
    if op.signers.len() > 1 {
        return judge.quorum(op);
    }
    let author = judge.author(&op.signers[0])?;
    let mut valid = Valid { supports: author.supports.clone(), signer_device: author.device, ..Valid::default() };
    valid.needs = Some(judge.single(&author, op)?);
    if let OpBody::EpochBundle { parents, .. } = &op.body {
        valid.depth = judge.depth(parents);
    }
    valid.acks = judge.acks(author.member);
    Ok(valid)
}

/// What a statement of what to forget takes in the log, the rest of the op apart.
pub(super) fn forget_bytes(states: usize, blocks: usize) -> usize {
    states * HeadTag::LEN + blocks * Cid::LEN
}

/// A signer found in force.
struct Author {
    member: At,
    role: Role,
    /// The certificate of the signing device; none for the member key.
    device: Option<At>,
    supports: Vec<At>,
}

struct Judge<'a> {
    log: &'a Log,
    st: &'a Standing,
    past: &'a Past,
}

impl Judge<'_> {
    /// Finds an op of the past.
    fn seen(&self, id: &OpId) -> Option<At> {
        self.log.at(id).filter(|at| self.past.contains(*at))
    }

    fn author(&self, signer: &Signer) -> Result<Author, Void> {
        let member = self.seen(&signer.grant).filter(|at| self.st.live(*at)).ok_or(Void::NotMember)?;
        let role = self.st.role(self.log, member).ok_or(Void::NotMember)?;
        let mut supports = vec![member];
        supports.extend(&self.st.decided(member).roles);
        let device = if self.st.device_live(member, &signer.key) {
            let op = self.st.members[&member].devices[&signer.key];
            supports.push(op);
            Some(op)
        } else {
            let set_by = self.st.key_ops(member);
            let mine = |at: &At| keys_set_by(self.log, *at).is_some_and(|keys| keys.sig == signer.key);
            if !set_by.iter().any(mine) {
                return Err(Void::NotMember);
            }
            if self.st.frozen(self.log, member) {
                return Err(Void::Frozen);
            }
            supports.extend(set_by.iter().filter(|at| mine(at)));
            None
        };
        supports.sort_unstable();
        supports.dedup();
        Ok(Author { member, role, device, supports })
    }

    /// Judges an op with one member as signer; answers the least role it needs.
    fn single(&self, author: &Author, op: &Op) -> Result<Role, Void> {
        let at_least = |role: Role| if author.role >= role { Ok(role) } else { Err(Void::RoleTooLow) };
        match &op.body {
            OpBody::Grant { member, device, role } => {
                let needs = at_least(Role::Admin.max(*role))?;
                self.fresh_keys([&member.sig, &device.sig], [&member.hpke.id(), &device.hpke.id()])?;
                Ok(needs)
            }
            OpBody::Invite { role, hpke, grant, .. } => {
                let needs = at_least(Role::Admin.max(*role))?;
                if *grant && (self.st.policy(self.log).approve_joins || *role >= Role::Admin) {
                    return Err(Void::NeedsApproval);
                }
                self.fresh_keys([], [&hpke.id()])?;
                Ok(needs)
            }
            OpBody::CancelInvite { invite, at_ms } => {
                let invite = self.seen(invite).ok_or(Void::NoTarget)?;
                if self.st.invites.get(&invite).is_none_or(|state| state.closed) {
                    return Err(Void::NoTarget);
                }
                let Some(invite_op) = self.log.node(invite).op() else { return Err(Void::NoTarget) };
                let OpBody::Invite { expires_ms, .. } = &invite_op.body else { return Err(Void::NoTarget) };
                if self.seen(&invite_op.signers[0].grant) == Some(author.member) {
                    Ok(Role::Reader)
                } else if *at_ms > *expires_ms {
                    at_least(Role::Editor)
                } else {
                    at_least(Role::Admin)
                }
            }
            OpBody::AddDevice { device, .. } => {
                if self.st.frozen(self.log, author.member) {
                    return Err(Void::Frozen);
                }
                self.fresh_keys([&device.sig], [&device.hpke.id()])?;
                Ok(Role::Reader)
            }
            OpBody::RemoveDevice { device, .. } => {
                if !self.st.device_live(author.member, device) {
                    return Err(Void::NoTarget);
                }
                Ok(Role::Reader)
            }
            OpBody::Remove { grant, .. } => {
                let target = self.target(grant)?;
                if target == author.member && author.role < Role::Admin {
                    return Ok(Role::Reader);
                }
                at_least(Role::Admin)?;
                self.above(author, target)
            }
            OpBody::SetRole { grant, role, .. } => {
                let target = self.target(grant)?;
                at_least(Role::Admin.max(*role))?;
                Ok(self.above(author, target)?.max(*role))
            }
            OpBody::SeederGrant { .. } => at_least(self.hosting_role()),
            OpBody::SeederEnd { seeder } => {
                let seeder = self.seen(seeder).ok_or(Void::NoTarget)?;
                match self.st.seeders.get(&seeder) {
                    Some(false) => at_least(self.hosting_role()),
                    _ => Err(Void::NoTarget),
                }
            }
            OpBody::Policy { .. } => {
                let owned = self.st.live_with(self.log, Role::Owner).next().is_some();
                at_least(if owned { Role::Owner } else { Role::Admin })
            }
            OpBody::KeyUpdate { grant, keys } => self.key_update(author, grant, keys),
            OpBody::EpochBundle { parents, id, recipients, .. } => {
                self.bundle(parents, id, recipients)?;
                if author.role < Role::Admin && self.st.usable_epochs(self.log).is_empty() {
                    return at_least(Role::Editor);
                }
                at_least(Role::Admin)
            }
            OpBody::EpochGrant { epochs, recipient, member, .. } => {
                if !epochs.iter().all(|id| self.st.epochs.with_id(id).next().is_some()) {
                    return Err(Void::BadEpoch);
                }
                self.recipient_of(recipient, member)?;
                Ok(Role::Reader)
            }
            OpBody::Forget { states, blocks, .. } => {
                if self.st.forget_bytes + forget_bytes(states.len(), blocks.len()) > FORGET_BYTES_MAX {
                    return Err(Void::TooMuchForgotten);
                }
                at_least(Role::Owner)
            }
            OpBody::ForgetEnd { forgets } => {
                let stands = |id: &OpId| self.seen(id).is_some_and(|at| self.st.forgets.get(&at) == Some(&false));
                if forgets.iter().all(stands) { at_least(Role::Owner) } else { Err(Void::NoTarget) }
            }
            // Two signers or a signer that is no member: judged elsewhere.
            OpBody::Join { .. } | OpBody::Witness { .. } => Err(Void::NotMember),
        }
    }

    fn target(&self, grant: &OpId) -> Result<At, Void> {
        self.seen(grant).filter(|at| self.st.live(*at)).ok_or(Void::NoTarget)
    }

    /// Whether one admin alone may remove or change the target.
    fn above(&self, author: &Author, target: At) -> Result<Role, Void> {
        let role = self.st.role(self.log, target).ok_or(Void::NoTarget)?;
        let senior = self.log.node(author.member).rank < self.log.node(target).rank && author.role >= role;
        if target == author.member || (role >= Role::Admin && !senior) {
            return Err(Void::NotSenior);
        }
        Ok(Role::Admin.max(role))
    }

    fn quorum(&self, op: &Op) -> Result<Valid, Void> {
        let (OpBody::Remove { grant, .. } | OpBody::SetRole { grant, .. }) = &op.body else {
            return Err(Void::NotMember);
        };
        let target = self.target(grant)?;
        let mut valid = Valid { needs: Some(Role::Admin), ..Valid::default() };
        for signer in &op.signers {
            let author = self.author(signer)?;
            if author.role < Role::Admin {
                return Err(Void::RoleTooLow);
            }
            if author.member == target {
                return Err(Void::NoQuorum);
            }
            valid.supports.extend(author.supports);
        }
        let majority = self.st.live_with(self.log, Role::Admin).count() / 2 + 1;
        let enough = match self.st.policy(self.log).quorum {
            0 => majority,
            most => majority.min(most.into()),
        };
        if op.signers.len() < enough {
            return Err(Void::NoQuorum);
        }
        valid.supports.sort_unstable();
        valid.supports.dedup();
        Ok(valid)
    }

    fn join(&self, op: &Op, invite: &OpId, sigs: [&SigKey; 2], hpke: [&Hash; 2]) -> Result<Valid, Void> {
        let invite = self.seen(invite).ok_or(Void::InviteClosed)?;
        let Some(OpBody::Invite { sig, .. }) = self.log.node(invite).body() else { return Err(Void::InviteClosed) };
        if !self.st.invite_open(self.log, invite) {
            return Err(Void::InviteClosed);
        }
        if *sig != op.signers[0].key {
            return Err(Void::NotMember);
        }
        self.fresh_keys(sigs, hpke)?;
        Ok(Valid { supports: vec![invite], ..Valid::default() })
    }

    fn witness(&self, signer: &Signer, join: &OpId, at_ms: u64) -> Result<Valid, Void> {
        let join = self.seen(join).ok_or(Void::NoTarget)?;
        let Some(OpBody::Join { invite, .. }) = self.log.node(join).body() else { return Err(Void::NoTarget) };
        if self.log.node(join).verdict.is_err() || self.st.members.contains_key(&join) {
            return Err(Void::NoTarget);
        }
        let invite = self.seen(invite).ok_or(Void::InviteClosed)?;
        let Some(OpBody::Invite { expires_ms, role, .. }) = self.log.node(invite).body() else {
            return Err(Void::NoTarget);
        };
        if !self.st.invite_open(self.log, invite) || at_ms > *expires_ms {
            return Err(Void::InviteClosed);
        }
        let waits = self.st.waits_for_approval(self.log, invite);
        let grant = self.seen(&signer.grant).ok_or(Void::NotMember)?;
        let mut valid = if let Some(ended) = self.st.seeders.get(&grant) {
            let Some(OpBody::SeederGrant { seeder, .. }) = self.log.node(grant).body() else {
                return Err(Void::NotMember);
            };
            if *ended || *seeder != signer.key {
                return Err(Void::NotMember);
            }
            if waits {
                return Err(Void::NeedsApproval);
            }
            Valid { supports: vec![grant], ..Valid::default() }
        } else {
            let author = self.author(signer)?;
            // To approve is to invite: it needs the same right.
            let needs = if waits { Role::Admin.max(*role) } else { Role::Reader };
            if author.role < needs {
                return Err(Void::NeedsApproval);
            }
            let acks = self.acks(author.member);
            Valid {
                supports: author.supports,
                needs: Some(needs),
                signer_device: author.device,
                acks,
                ..Valid::default()
            }
        };
        valid.supports.push(invite);
        Ok(valid)
    }

    fn hosting_role(&self) -> Role {
        match self.log.genesis().kind {
            FolderKind::Folder => Role::Admin,
            FolderKind::Vault => Role::Owner,
        }
    }

    fn key_update(&self, author: &Author, grant: &OpId, keys: &KeyPair) -> Result<Role, Void> {
        let target = self.target(grant)?;
        if self.st.frozen(self.log, target) {
            let competing = self.st.key_ops(target);
            if author.role < Role::Admin {
                return Err(Void::Frozen);
            }
            if !competing.iter().any(|at| keys_set_by(self.log, *at) == Some(keys)) {
                return Err(Void::KnownKey);
            }
            return self.above(author, target);
        }
        if author.member != target || author.device.is_some() {
            return Err(Void::NotMember);
        }
        self.fresh_keys([&keys.sig], [&keys.hpke.id()])?;
        Ok(Role::Reader)
    }

    /// No key enters twice, not even one that left: old rights must not revive with it.
    fn fresh_keys<const S: usize, const H: usize>(&self, sigs: [&SigKey; S], hpke: [&Hash; H]) -> Result<(), Void> {
        let known_sig = sigs.iter().any(|key| self.st.sigs.contains(*key));
        let known_hpke = hpke.iter().any(|id| self.st.holders.contains_key(*id));
        if known_sig || known_hpke { Err(Void::KnownKey) } else { Ok(()) }
    }

    fn bundle(&self, parents: &[EpochId], id: &EpochId, recipients: &[Hash]) -> Result<(), Void> {
        let epochs = &self.st.epochs;
        let parents_stand = parents.iter().all(|id| epochs.standing.contains_key(&id.tag()));
        let first = epochs.standing.is_empty();
        let all_live = recipients.iter().all(|key| self.st.key_live(self.log, key));
        if !parents_stand || parents.is_empty() != first || epochs.has_tag(id.tag()) || !all_live {
            return Err(Void::BadEpoch);
        }
        Ok(())
    }

    fn depth(&self, parents: &[EpochId]) -> u32 {
        let bundles = parents.iter().flat_map(|id| self.st.epochs.with_id(id));
        bundles.map(|at| 1 + epoch_depth(self.log, at)).max().unwrap_or(0)
    }

    /// Whether the key is that principal's and in force.
    fn recipient_of(&self, key: &Hash, principal: &OpId) -> Result<(), Void> {
        let principal = self.seen(principal).ok_or(Void::NoTarget)?;
        let holders = self.st.holders.get(key).ok_or(Void::NoTarget)?;
        let fits = holders.iter().any(|holder| {
            let (Holder::Device(of, _) | Holder::Member(of, _) | Holder::Invite(of)) = holder;
            *of == principal && self.st.holder_live(self.log, holder)
        });
        if fits { Ok(()) } else { Err(Void::NoTarget) }
    }

    /// Joins that this author, being neither joiner nor witness, is the first to build upon.
    fn acks(&self, author: At) -> Vec<At> {
        let id = self.log.node(author).id;
        let third = |join: &At| {
            let mut witnesses = self.log.node(*join).witnesses.iter().filter(|w| self.past.contains(**w));
            *join != author && !witnesses.any(|w| self.log.node(*w).op().is_some_and(|op| op.signers[0].grant == id))
        };
        self.st.unacked.iter().copied().filter(third).collect()
    }
}
