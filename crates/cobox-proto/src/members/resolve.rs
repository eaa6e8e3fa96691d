//! Which ops of a set stand: a pure function of the set (design 6.2). Every op was judged in its own past already; here they
//! meet ops they have not seen.
//!
//! *Strong removal*: a removal voids what its target did outside the removal's past. What can void another op is called a
//! *voider*: `Remove`, `SetRole`, `RemoveDevice`, `CancelInvite`, `SeederEnd`. An op stands iff it had authority in its past,
//! everything that authority rests on stands, and no accepted voider that has not seen it is aimed at its signer.
//!
//! 1. Phase Q: quorum ops, by (number of signers, descending; id).
//! 2. Phase S: other voiders, from the most senior signer to the most junior, inside a member the member key first, then
//!    devices by their certificates' path; then (lam, id). Each is accepted unless one accepted earlier voids it.
//! 3. If an accepted one turns out to rest on something void, it is excluded and the evaluation restarts. A quorum op once accepted
//!    is not voided by a removal of its signers: two that conflict both stand.
//! 4. If more joins than an invite allows stand, the surplus is barred (rule R13) and the evaluation restarts; the most
//!    senior such invite first.
//!
//! Both sets only grow, so it ends. The order is by static seniority, so mutual removals have no cycle.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::id::{OpId, SigKey};
use crate::members::log::{At, Log, Rank};
use crate::members::op::{OpBody, Role};
use crate::members::past::Past;
use crate::members::roster::Roster;
use crate::members::standing::{Standing, carries_keys, invite_of};

/// Resolves all of a log. The result depends on the set of ops alone, not on the order in which they came.
pub fn resolve(log: &Log) -> Roster {
    Roster::of(log, &log.standing(&log.all()))
}

/// Resolves the given ops with their pasts: the membership as it was seen from there.
///
/// None if one of them is not in the log.
pub fn resolve_at(log: &Log, frontier: &[OpId]) -> Option<Roster> {
    Some(Roster::of(log, &log.standing(&log.past_of_ids(frontier)?)))
}

/// Resolves a downward closed set of ops of the log.
pub(super) fn settle(log: &Log, set: Past) -> Standing {
    let (stands, barred) = Resolver::new(log, &set).run();
    let mut standing = Standing::genesis(log);
    standing.barred = barred;
    for at in set.iter().skip(1) {
        standing.apply(log, at, stands.contains(&at));
    }
    standing.set = set;
    standing
}

/// What a voider is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Member(At),
    Device(At, SigKey),
    Invite(At),
    Seeder(At),
}

struct Resolver<'l> {
    log: &'l Log,
    set: &'l Past,
    /// All that had authority in their past, in the order of the phases.
    voiders: Vec<At>,
    accepted: BTreeMap<Target, Vec<At>>,
    accepted_set: BTreeSet<At>,
    excluded: BTreeSet<At>,
    barred: BTreeSet<At>,
    /// Of invites that carry keys: the joins by them.
    joins: BTreeMap<At, Vec<At>>,
}

impl<'l> Resolver<'l> {
    fn new(log: &'l Log, set: &'l Past) -> Self {
        let mut voiders: Vec<At> =
            set.iter().filter(|at| log.node(*at).verdict.is_ok() && target(log, *at).is_some()).collect();
        voiders.sort_by_cached_key(|at| phase_order(log, *at));
        let mut joins: BTreeMap<At, Vec<At>> = BTreeMap::new();
        for join in set.iter() {
            if let Some(invite) = invite_of(log, join).filter(|invite| carries_keys(log, *invite)) {
                joins.entry(invite).or_default().push(join);
            }
        }
        Self {
            log,
            set,
            voiders,
            accepted: BTreeMap::new(),
            accepted_set: BTreeSet::new(),
            excluded: BTreeSet::new(),
            barred: BTreeSet::new(),
            joins,
        }
    }

    /// The ops that stand, and the joins that were too many.
    fn run(mut self) -> (BTreeSet<At>, BTreeSet<At>) {
        loop {
            self.accept_voiders();
            let stands = self.all_standing();
            let baseless: Vec<At> = self.accepted_set.difference(&stands).copied().collect();
            if !baseless.is_empty() {
                self.excluded.extend(baseless);
                continue;
            }
            let surplus = self.surplus_joins(&stands);
            if surplus.is_empty() {
                return (stands, self.barred);
            }
            self.barred.extend(surplus);
        }
    }

    fn accept_voiders(&mut self) {
        self.accepted.clear();
        self.accepted_set.clear();
        for i in 0..self.voiders.len() {
            let at = self.voiders[i];
            if !self.excluded.contains(&at)
                && self.stands_so_far(at)
                && let Some(target) = target(self.log, at)
            {
                self.accepted.entry(target).or_default().push(at);
                self.accepted_set.insert(at);
            }
        }
    }

    /// Whether an op and all it rests on are untouched by the voiders accepted so far.
    fn stands_so_far(&self, at: At) -> bool {
        let (mut needed, mut todo) = (BTreeSet::from([at]), vec![at]);
        while let Some(at) = todo.pop() {
            let node = self.log.node(at);
            let supports = node.verdict.iter().flat_map(|valid| &valid.supports);
            // A witness stands in for its join; those outside the past of what rests on the join are not asked below.
            for more in supports.chain(&node.witnesses) {
                if self.set.contains(*more) && needed.insert(*more) {
                    todo.push(*more);
                }
            }
        }
        let mut standing = BTreeSet::new();
        for needed in &needed {
            if self.stands(*needed, &standing) {
                standing.insert(*needed);
            }
        }
        standing.contains(&at)
    }

    fn all_standing(&self) -> BTreeSet<At> {
        let mut standing = BTreeSet::new();
        for at in self.set.iter() {
            if self.stands(at, &standing) {
                standing.insert(at);
            }
        }
        standing
    }

    /// Whether an op stands, given which of its past do.
    fn stands(&self, at: At, standing: &BTreeSet<At>) -> bool {
        let node = self.log.node(at);
        let Ok(valid) = &node.verdict else { return false };
        let supported = valid.supports.iter().all(|support| {
            standing.contains(support) && (!self.is_join(*support) || self.witnessed(*support, at, standing))
        });
        if !supported || self.excluded.contains(&at) || self.barred.contains(&at) {
            return false;
        }
        let is_quorum = node.op().is_some_and(|op| op.signers.len() > 1 && !matches!(op.body, OpBody::Join { .. }));
        (is_quorum && self.accepted_set.contains(&at)) || !self.voided(at)
    }

    fn is_join(&self, at: At) -> bool {
        matches!(self.log.node(at).body(), Some(OpBody::Join { .. }))
    }

    /// Whether a join has a standing witness that `by` has seen.
    fn witnessed(&self, join: At, by: At, standing: &BTreeSet<At>) -> bool {
        let past = &self.log.node(by).past;
        self.log.node(join).witnesses.iter().any(|w| past.contains(*w) && standing.contains(w))
    }

    /// Whether an accepted voider that has not seen the op is aimed at one of its signers, or at the invite it serves.
    fn voided(&self, at: At) -> bool {
        let Some(op) = self.log.node(at).op() else { return false };
        if let OpBody::Witness { join, .. } = &op.body {
            return self.witness_voided(at, join) || self.signer_voided(at, &op.signers[0].grant, &op.signers[0].key);
        }
        // A join is signed by its invite, and what closes an invite is aimed at the witness.
        !matches!(op.body, OpBody::Join { .. })
            && op.signers.iter().any(|signer| self.signer_voided(at, &signer.grant, &signer.key))
    }

    fn signer_voided(&self, at: At, grant: &OpId, key: &SigKey) -> bool {
        let Some(grant) = self.log.at(grant) else { return true };
        let needs = self.log.node(at).verdict.as_ref().ok().and_then(|valid| valid.needs);
        self.hits(Target::Seeder(grant), at)
            || self.hits(Target::Device(grant, *key), at)
            || self.unseen(Target::Member(grant), at).any(|voider| match self.log.node(voider).body() {
                Some(OpBody::SetRole { role, .. }) => Some(*role) < needs && !self.overruled(voider, at),
                _ => true,
            })
    }

    fn hits(&self, target: Target, at: At) -> bool {
        self.unseen(target, at).next().is_some()
    }

    /// The accepted voiders aimed at a target that have not seen `at` and are not `at`.
    fn unseen(&self, target: Target, at: At) -> impl Iterator<Item = At> + '_ {
        let voiders = self.accepted.get(&target).into_iter().flatten().copied();
        voiders.filter(move |v| *v != at && !self.log.node(*v).past.contains(at))
    }

    /// Whether the op's role was given by a change that has seen the demotion.
    fn overruled(&self, demotion: At, at: At) -> bool {
        let supports = self.log.node(at).verdict.iter().flat_map(|valid| &valid.supports);
        supports.into_iter().any(|s| {
            let sets_role = matches!(self.log.node(*s).body(), Some(OpBody::SetRole { .. }));
            sets_role && (*s == demotion || self.log.node(*s).past.contains(demotion))
        })
    }

    /// A cancel voids the witnesses it has not seen; so does what takes the inviter's right to invite, for a removed admin
    /// knows the seeds of its own invites; and the removal of whoever used the invite, for they know it too.
    fn witness_voided(&self, at: At, join: &OpId) -> bool {
        let invite = self.log.at(join).and_then(|join| match self.log.node(join).body() {
            Some(OpBody::Join { invite, .. }) => self.log.at(invite),
            _ => None,
        });
        let Some(invite) = invite else { return true };
        let inviter = self.log.node(invite).op().and_then(|op| self.log.at(&op.signers[0].grant));
        self.hits(Target::Invite(invite), at)
            || self.joins.get(&invite).into_iter().flatten().any(|join| self.gone_unseen(*join, at))
            || inviter.is_some_and(|inviter| {
                self.unseen(Target::Member(inviter), at).any(|voider| match self.log.node(voider).body() {
                    Some(OpBody::SetRole { role, .. }) => *role < Role::Admin,
                    _ => true,
                })
            })
    }

    /// Whether whoever joined, or the device that did, was sent away without having seen `at`.
    fn gone_unseen(&self, join: At, at: At) -> bool {
        let is_removal = |voider: At| matches!(self.log.node(voider).body(), Some(OpBody::Remove { .. }));
        let device = match self.log.node(join).body() {
            Some(OpBody::Join { device, .. }) => device.sig,
            _ => return false,
        };
        self.unseen(Target::Member(join), at).any(is_removal) || self.hits(Target::Device(join, device), at)
    }

    /// The joins too many of the most senior invite that has too many. Those somebody else has built upon stay first, then
    /// those witnessed first.
    fn surplus_joins(&self, stands: &BTreeSet<At>) -> Vec<At> {
        let mut by_invite: BTreeMap<At, Vec<At>> = BTreeMap::new();
        for at in stands {
            if let Some(OpBody::Join { invite, .. }) = self.log.node(*at).body()
                && self.first_witness(*at, stands).is_some()
                && let Some(invite) = self.log.at(invite)
            {
                by_invite.entry(invite).or_default().push(*at);
            }
        }
        let uses = |invite: At| match self.log.node(invite).body() {
            Some(OpBody::Invite { max_uses, .. }) => usize::from(*max_uses),
            _ => 0,
        };
        let over = by_invite.into_iter().filter(|(invite, joins)| joins.len() > uses(*invite));
        let Some((invite, mut joins)) = over.min_by_key(|(invite, _)| &self.log.node(*invite).rank) else {
            return Vec::new();
        };
        let valid = stands.iter().filter_map(|at| self.log.node(*at).verdict.as_ref().ok());
        let built_upon: BTreeSet<At> = valid.flat_map(|valid| valid.acks.iter().copied()).collect();
        joins.sort_by_key(|join| (!built_upon.contains(join), self.first_witness(*join, stands)));
        joins.split_off(uses(invite))
    }

    /// The least (lam, id) of a join's standing witnesses.
    fn first_witness(&self, join: At, stands: &BTreeSet<At>) -> Option<(u64, OpId)> {
        self.log.node(join).witnesses.iter().filter(|w| stands.contains(w)).map(|w| self.log.node(*w).order()).min()
    }
}

fn target(log: &Log, at: At) -> Option<Target> {
    let op = log.node(at).op()?;
    match &op.body {
        OpBody::Remove { grant, .. } | OpBody::SetRole { grant, .. } => log.at(grant).map(Target::Member),
        OpBody::RemoveDevice { device, .. } => {
            log.at(&op.signers[0].grant).map(|member| Target::Device(member, *device))
        }
        OpBody::CancelInvite { invite, .. } => log.at(invite).map(Target::Invite),
        OpBody::SeederEnd { seeder } => log.at(seeder).map(Target::Seeder),
        _ => None,
    }
}

/// Phase Q before phase S; see above.
type PhaseOrder = (Reverse<usize>, Rank, Rank, (u64, OpId));

fn phase_order(log: &Log, at: At) -> PhaseOrder {
    let node = log.node(at);
    let Some(op) = node.op() else { return (Reverse(0), Rank::new(), Rank::new(), node.order()) };
    if op.signers.len() > 1 {
        return (Reverse(op.signers.len()), Rank::new(), Rank::new(), (0, node.id));
    }
    let member = log.at(&op.signers[0].grant).map(|grant| log.node(grant).rank.clone());
    let device = node.verdict.as_ref().ok().and_then(|valid| valid.signer_device);
    let device = device.map(|at| log.node(at).device_rank.clone());
    (Reverse(1), member.unwrap_or_default(), device.unwrap_or_default(), node.order())
}
