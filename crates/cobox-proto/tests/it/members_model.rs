//! The resolver against a naive twin: a direct transcription of the rules for grants, removals and quorum removals, which
//! re-resolves the past of every op and knows no shortcuts. Random histories with back-dated ops; all small ones are in `members_every`.

use std::collections::{BTreeMap, BTreeSet};

use cobox_proto::id::OpId;
use cobox_proto::members::{Log, OpBody, Role, resolve};

use crate::members_world::{Dice, World, check_invariants, redelivered, remove};

type Ids = BTreeSet<OpId>;
type Resolved = (Ids, Ids);

pub(crate) struct Twin<'l> {
    log: &'l Log,
    pasts: BTreeMap<OpId, Ids>,
    memo: BTreeMap<Ids, Resolved>,
}

impl<'l> Twin<'l> {
    pub(crate) fn new(log: &'l Log) -> Self {
        let mut pasts: BTreeMap<OpId, Ids> = BTreeMap::new();
        for id in log.ids() {
            let deps = log.get(&id).map_or(&[][..], |op| &op.op().deps);
            pasts.insert(id, deps.iter().flat_map(|d| pasts[d].iter().copied().chain([*d])).collect());
        }
        Self { log, pasts, memo: BTreeMap::new() }
    }
    fn auths(&self, id: &OpId) -> Vec<OpId> {
        self.log.get(id).map_or_else(Vec::new, |op| op.op().signers.iter().map(|s| s.grant).collect())
    }
    fn target(&self, id: &OpId) -> Option<OpId> {
        match self.log.get(id).map(|op| &op.op().body) {
            Some(OpBody::Remove { grant, .. }) => Some(*grant),
            _ => None,
        }
    }
    fn quorum(&self, id: &OpId) -> bool {
        self.auths(id).len() > 1
    }
    fn admin(&self, grant: &OpId) -> bool {
        match self.log.get(grant).map(|op| &op.op().body) {
            None => true,
            Some(OpBody::Grant { role, .. }) => *role >= Role::Admin,
            _ => false,
        }
    }
    fn admits(&self, id: &OpId) -> bool {
        self.target(id).is_none()
    }
    fn rank(&self, grant: &OpId) -> Vec<(u64, OpId)> {
        let mut rank = self.auths(grant).first().map_or_else(Vec::new, |by| self.rank(by));
        rank.push((self.log.lam(grant).unwrap(), *grant));
        rank
    }

    /// (accepted ops, live grants)
    pub(crate) fn resolve(&mut self, ids: &Ids) -> Resolved {
        if let Some(known) = self.memo.get(ids) {
            return known.clone();
        }
        let mut excluded = Ids::new();
        let (accepted, removed) = loop {
            let (accepted, removed) = self.pass(ids, &excluded);
            let baseless = |id: &&OpId| self.quorum(id) && self.auths(id).iter().any(|g| !accepted.contains(g));
            let bad: Vec<OpId> = accepted.iter().filter(baseless).copied().collect();
            if bad.is_empty() {
                break (accepted, removed);
            }
            excluded.extend(bad);
        };
        let live = accepted.iter().filter(|id| self.admits(id) && !removed.contains_key(*id)).copied().collect();
        self.memo.insert(ids.clone(), (accepted.clone(), live));
        self.memo[ids].clone()
    }

    fn authorised_in_past(&mut self, id: &OpId) -> bool {
        let (_, live) = self.resolve(&self.pasts[id].clone());
        let auths = self.auths(id);
        if !auths.iter().all(|g| live.contains(g) && self.admin(g)) {
            return false;
        }
        let Some(target) = self.target(id) else { return true };
        if !live.contains(&target) {
            return false;
        }
        if self.quorum(id) {
            let admins = live.iter().filter(|g| self.admin(g)).count();
            return auths.len() > admins / 2 && !auths.contains(&target);
        }
        !self.admin(&target) || self.rank(&auths[0]) < self.rank(&target)
    }

    fn pass(&mut self, ids: &Ids, excluded: &Ids) -> (Ids, BTreeMap<OpId, Vec<OpId>>) {
        let (mut accepted, mut removed) = (Ids::new(), BTreeMap::<OpId, Vec<OpId>>::new());
        let cut_off = |twin: &Self, removed: &BTreeMap<OpId, Vec<OpId>>, grant: &OpId, id: &OpId| {
            removed.get(grant).is_some_and(|by| by.iter().any(|r| !twin.pasts[r].contains(id)))
        };
        let mut quorums: Vec<OpId> =
            ids.iter().filter(|id| self.quorum(id) && !excluded.contains(id)).copied().collect();
        quorums.sort_by_key(|id| (std::cmp::Reverse(self.auths(id).len()), *id));
        for id in quorums {
            let cut = self.auths(&id).iter().any(|g| cut_off(self, &removed, g, &id));
            if self.authorised_in_past(&id) && !cut {
                accepted.insert(id);
                removed.entry(self.target(&id).unwrap()).or_default().push(id);
            }
        }
        let mut singles: Vec<OpId> = ids.iter().filter(|id| !self.quorum(id)).copied().collect();
        singles.sort_by_key(|id| {
            let rank = self.auths(id).first().map_or_else(Vec::new, |by| self.rank(by));
            (rank, self.log.lam(id), *id)
        });
        for id in singles {
            let Some(by) = self.auths(&id).first().copied() else {
                accepted.insert(id);
                continue;
            };
            if !accepted.contains(&by) || cut_off(self, &removed, &by, &id) || !self.authorised_in_past(&id) {
                continue;
            }
            accepted.insert(id);
            if let Some(target) = self.target(&id) {
                removed.entry(target).or_default().push(id);
            }
        }
        (accepted, removed)
    }
}

fn random_history(seed: u64) -> (World, usize) {
    let (mut world, mut dice) = (World::new(), Dice::new(seed));
    for _ in 0..4 {
        let admins = admins(&world, &world.all());
        let role = dice.pick(&[Role::Admin, Role::Admin, Role::Editor]);
        world.grant_now(dice.pick(&admins), role);
    }
    let mut views = vec![world.all(); 4];
    for _ in 0..4 + dice.below(12) {
        let v = dice.below(4);
        if dice.chance(30) {
            let other = views[dice.below(4)].clone();
            views[v].extend(other);
            continue;
        }
        // One in five is back-dated by somebody who pretends not to have seen what came later.
        let mut base = views[v].clone();
        if dice.chance(20) {
            let from: Vec<OpId> = base.iter().copied().collect();
            base = world.closed(&[dice.pick(&from)]);
        }
        let admins = admins(&world, &base);
        let everybody: Vec<OpId> = world.people.keys().filter(|g| base.contains(g)).copied().collect();
        let id = match dice.below(4) {
            0 => world.grant(&base, dice.pick(&admins), dice.pick(&[Role::Admin, Role::Editor])),
            1 | 2 => {
                // Now and then somebody without the right tries.
                let author = if dice.chance(90) { dice.pick(&admins) } else { dice.pick(&everybody) };
                let target = dice.pick(&everybody);
                if target == author {
                    continue;
                }
                world.by(&base, &[author], remove(target))
            }
            _ => {
                let mut signers = admins.clone();
                dice.shuffle(&mut signers);
                signers.truncate(if dice.chance(90) { admins.len() / 2 + 1 } else { 2 });
                let targets: Vec<OpId> = everybody.iter().filter(|g| !signers.contains(g)).copied().collect();
                if signers.len() < 2 || targets.is_empty() {
                    continue;
                }
                world.by(&base, &signers, remove(dice.pick(&targets)))
            }
        };
        views[v].extend(world.closed(&[id]));
    }
    let ops = world.log.len();
    (world, ops)
}

fn admins(world: &World, view: &Ids) -> Vec<OpId> {
    world.roster_at(view).members().filter(|m| m.role >= Role::Admin).map(|m| m.grant).collect()
}

#[test]
fn thousands_of_random_histories_resolve_as_the_rules_say() {
    let (mut ops, mut accepted, mut restarts) = (0, 0, 0);
    for seed in 0..3000 {
        let (world, n) = random_history(seed);
        let mut twin = Twin::new(&world.log);
        let (expected, live) = twin.resolve(&world.all());
        let roster = world.roster();
        let found: Ids = world.log.ids().filter(|id| roster.accepted(id)).collect();
        assert_eq!(found, expected, "seed {seed}");
        assert_eq!(roster.members().map(|m| m.grant).collect::<Ids>(), live, "seed {seed}");
        check_invariants(&world.log, &seed);
        ops += n;
        accepted += found.len();
        restarts += usize::from(found.len() < n);
    }
    assert!(accepted * 2 > ops && restarts > 500, "the histories must hold conflicts: {accepted} of {ops}, {restarts}");
}

#[test]
fn every_order_of_delivery_gives_the_same_roster() {
    for seed in 0..400 {
        let (world, _) = random_history(seed);
        let (roster, mut dice) = (world.roster(), Dice::new(seed));
        for _ in 0..6 {
            let other = redelivered(&world.log, &mut dice);
            assert_eq!(resolve(&other), roster, "seed {seed}");
            assert_eq!(other.frontier(), world.log.frontier());
        }
    }
}
