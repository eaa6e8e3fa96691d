//! Invites, joins, witnesses, cancels and removals in every order (formats F7, rule R13).

use std::collections::BTreeSet;

use cobox_proto::hosting::{joins_to_witness, joins_waiting};
use cobox_proto::id::{Hash, OpId};
use cobox_proto::limits::JOINS_WAITING_MAX;
use cobox_proto::members::{FolderKind, OpBody, Policy, Role, Void, resolve};

use crate::members_world::{Dice, World, check_invariants, hpke, redelivered, remove, set_role};

fn cancel(invite: OpId, at_ms: u64) -> OpBody {
    OpBody::CancelInvite { invite, at_ms }
}

fn in_force(world: &World, join: OpId) -> bool {
    world.roster().member(&join).is_some()
}

#[test]
fn a_join_takes_effect_with_a_seeders_witness_and_nobody_else_online() {
    let mut world = World::new();
    let seeder = world.seeder(world.founder);
    let (invite, seed) = world.invite(&world.all(), world.founder, Role::Editor, 1);
    let join = world.join(&world.all(), invite, &seed);
    assert!(!in_force(&world, join) && !world.roster().accepted(&join));
    let witness = world.witness(&world.all(), seeder, join, 999);
    let roster = world.roster();
    let member = roster.member(&join).unwrap();
    assert_eq!((member.role, member.invite, member.devices.len()), (Role::Editor, Some(invite), 1));
    assert!(roster.can_write(&member.devices[0].sig) && roster.accepted(&join) && roster.accepted(&witness));
    assert_eq!((roster.invites_open().count(), roster.invite(&invite).unwrap().used), (0, 1));
}

#[test]
fn m5_an_invite_is_refused_when_used_up_expired_or_cancelled() {
    let mut world = World::new();
    let (founder, seeder) = (world.founder, world.seeder(world.founder));
    let (invite, seed) = world.invite(&world.all(), founder, Role::Editor, 1);
    let first = world.join(&world.all(), invite, &seed);
    let late = world.witness(&world.all(), seeder, first, 1001);
    assert_eq!(world.log.refusal(&late), Some(Void::InviteClosed));
    world.witness(&world.all(), seeder, first, 1000);
    assert!(in_force(&world, first));
    let second = world.join(&world.all(), invite, &seed);
    assert_eq!(world.log.refusal(&second), Some(Void::InviteClosed));

    let (invite, seed) = world.invite(&world.all(), founder, Role::Editor, 1);
    world.now(founder, cancel(invite, 0));
    let third = world.join(&world.all(), invite, &seed);
    assert_eq!(world.log.refusal(&third), Some(Void::InviteClosed));
    let stranger = world.join(&world.all(), invite, "a guessed seed");
    assert!(world.log.refusal(&stranger).is_some());
}

#[test]
fn m5_of_two_devices_using_one_invite_at_the_same_instant_the_one_others_built_upon_stays() {
    for swap in [false, true] {
        let mut world = World::new();
        let founder = world.founder;
        let (s1, s2) = (world.seeder(founder), world.seeder(founder));
        let (invite, seed) = world.invite(&world.all(), founder, Role::Editor, 1);
        let base = world.all();
        let (j1, j2) = (world.join(&base, invite, &seed), world.join(&base, invite, &seed));
        let (v1, v2) = (world.closed(&[j1]), world.closed(&[j2]));
        let w1 = world.witness(&v1, s1, j1, 5);
        let w2 = world.witness(&v2, s2, j2, 5);
        // Without further evidence the smaller witness wins.
        let first = if w1 < w2 { j1 } else { j2 };
        assert!(in_force(&world, first) && world.roster().members().count() == 2);
        // The founder has seen only one of the two and goes on from there; that one stays, and for good.
        let (seen, stays) = if swap { (w2, j2) } else { (w1, j1) };
        let seen = world.closed(&[seen]);
        world.grant(&seen, founder, Role::Reader);
        assert!(in_force(&world, stays) && world.roster().members().count() == 3);
        world.grant_now(founder, Role::Reader);
        assert!(in_force(&world, stays) && world.roster().members().count() == 4);
    }
}

#[test]
fn a_cancel_beats_a_witness_it_has_not_seen_but_not_one_before_it() {
    let mut world = World::new();
    let (founder, seeder) = (world.founder, world.seeder(world.founder));
    let (invite, seed) = world.invite(&world.all(), founder, Role::Editor, 2);
    let before = world.join(&world.all(), invite, &seed);
    world.witness(&world.all(), seeder, before, 5);
    let view = world.all();
    let after = world.join(&view, invite, &seed);
    let after_view = world.closed(&[after]);
    world.witness(&after_view, seeder, after, 5);
    assert!(in_force(&world, before) && in_force(&world, after));
    world.by(&view, &[founder], cancel(invite, 0));
    assert!(in_force(&world, before) && !in_force(&world, after));
}

#[test]
fn an_editor_cancels_only_what_has_expired_and_the_inviter_any_time() {
    let mut world = World::new();
    let founder = world.founder;
    let (admin, editor) = (world.grant_now(founder, Role::Admin), world.grant_now(founder, Role::Editor));
    let reader = world.grant_now(founder, Role::Reader);
    let (invite, _) = world.invite(&world.all(), admin, Role::Editor, 1);
    let view = world.all();
    let early = world.by(&view, &[editor], cancel(invite, 1000));
    assert_eq!(world.log.refusal(&early), Some(Void::RoleTooLow));
    let by_reader = world.by(&view, &[reader], cancel(invite, 1001));
    assert_eq!(world.log.refusal(&by_reader), Some(Void::RoleTooLow));
    let late = world.by(&view, &[editor], cancel(invite, 1001));
    let own = world.by(&view, &[admin], cancel(invite, 0));
    assert!(world.roster().accepted(&late) && world.roster().accepted(&own));
    assert_eq!(world.roster().invites_open().count(), 0);
}

#[test]
fn m9_a_removed_admin_does_not_come_back_through_its_own_invite() {
    for end in [remove as fn(OpId) -> OpBody, |grant| set_role(grant, Role::Editor)] {
        let mut world = World::new();
        let (founder, seeder) = (world.founder, world.seeder(world.founder));
        let mallory = world.grant_now(founder, Role::Admin);
        let (invite, seed) = world.invite(&world.all(), mallory, Role::Editor, 5);
        let view = world.all();
        world.now(founder, end(mallory));
        // Afterwards, and as if it had been before.
        for view in [world.all(), view] {
            let join = world.join(&view, invite, &seed);
            let seen = world.closed(&[join]);
            world.witness(&seen, seeder, join, 5);
            assert!(!in_force(&world, join));
        }
    }
}

#[test]
fn m9_whoever_was_sent_away_does_not_come_back_by_the_code_they_came_by() {
    // By a removal, by leaving, by the loss of the very device that joined.
    for end in 0..3 {
        let mut world = World::new();
        let (founder, seeder) = (world.founder, world.seeder(world.founder));
        let (invite, seed) = world.invite(&world.all(), founder, Role::Reader, 5);
        let mallory = world.join(&world.all(), invite, &seed);
        world.witness(&world.all(), seeder, mallory, 5);
        let ben = world.join(&world.all(), invite, &seed);
        world.witness(&world.all(), seeder, ben, 5);
        let name = world.people[&mallory].name.clone();
        let view = world.all();
        match end {
            0 => world.now(founder, remove(mallory)),
            1 => world.now(mallory, remove(mallory)),
            _ => world.remove_device(&world.all(), mallory, &format!("{name} member"), &format!("{name} device")),
        };
        assert_eq!(world.roster().invites_open().count(), 0, "end {end}");
        assert!(in_force(&world, ben), "who came before by the same code stays");
        // Afterwards, and as if it had been before, with the help of a seeder that does not know yet.
        let after = world.join(&world.all(), invite, &seed);
        assert_eq!(world.log.refusal(&after), Some(Void::InviteClosed));
        let before = world.join(&view, invite, &seed);
        let seen = world.closed(&[before]);
        world.witness(&seen, seeder, before, 5);
        assert!(!in_force(&world, before), "end {end}");
        // And an epoch can be started, sealed to nobody who has the code.
        let (_, epoch) = world.epoch(&world.all(), founder);
        let roster = world.roster();
        assert_eq!(roster.writable_epoch(), Some(epoch));
        assert!(!roster.epoch(&epoch.tag()).unwrap().recipients.contains(&hpke(&seed).id()));
    }
}

#[test]
fn m9_a_code_that_opens_nothing_stays_good_for_others_when_somebody_who_used_it_goes() {
    let mut world = World::new();
    let founder = world.founder;
    let (invite, seed) = world.invite_with(&world.all(), founder, Role::Editor, 5, false);
    let mallory = world.join(&world.all(), invite, &seed);
    world.witness(&world.all(), founder, mallory, 5);
    world.remove_now(founder, mallory);
    let ben = world.join(&world.all(), invite, &seed);
    assert!(!in_force(&world, ben), "nobody comes in unasked");
    world.witness(&world.all(), founder, ben, 5);
    assert!(in_force(&world, ben));
}

#[test]
fn where_joins_need_approval_a_seeders_witness_is_not_enough() {
    let mut world = World::with(FolderKind::Folder, Policy { approve_joins: true, ..Policy::default() });
    let (founder, seeder) = (world.founder, world.seeder(world.founder));
    let (invite, seed) = world.invite(&world.all(), founder, Role::Editor, 1);
    let join = world.join(&world.all(), invite, &seed);
    world.witness(&world.all(), seeder, join, 5);
    assert!(!in_force(&world, join));
    world.witness(&world.all(), founder, join, 5);
    assert!(in_force(&world, join));
}

#[test]
fn m6_a_join_without_keys_waits_for_whoever_could_have_invited() {
    let mut world = World::new();
    let (founder, seeder) = (world.founder, world.seeder(world.founder));
    let (admin, editor) = (world.grant_now(founder, Role::Admin), world.grant_now(founder, Role::Editor));
    let (invite, seed) = world.invite_with(&world.all(), admin, Role::Reader, 1, false);
    let (stranger, ben) = (world.join(&world.all(), invite, &seed), world.join(&world.all(), invite, &seed));
    let waiting = |world: &World, now_ms| joins_waiting(&world.log, &world.roster(), now_ms);
    let mut both = waiting(&world, 5);
    both.sort();
    let mut expected = vec![stranger, ben];
    expected.sort();
    assert_eq!(both, expected, "both are shown, whoever came first");
    assert!(joins_to_witness(&world.log, &world.roster(), 5).is_empty(), "nobody lets them in unasked");
    assert!(waiting(&world, 1001).is_empty(), "the invite has run out");
    for by in [seeder, editor] {
        let void = world.witness(&world.all(), by, stranger, 5);
        assert_eq!(world.log.refusal(&void), Some(Void::NeedsApproval));
    }
    assert!(!in_force(&world, stranger) && world.roster().recipients_wanted().len() == 6, "and nobody gives them keys");
    let (_, epoch) = world.epoch(&world.all(), founder);
    let to_the_code = OpBody::EpochGrant {
        epochs: vec![epoch],
        recipient: hpke(&seed).id(),
        envelope: Hash([1; 32]),
        member: invite,
    };
    let granted = world.now(admin, to_the_code);
    assert!(!world.roster().accepted(&granted), "the code opens nothing");
    world.witness(&world.all(), admin, ben, 5);
    assert!(in_force(&world, ben) && !in_force(&world, stranger));
    assert!(waiting(&world, 5).is_empty(), "the one use is used");
    world.witness(&world.all(), founder, stranger, 5);
    assert!(!in_force(&world, stranger));
}

#[test]
fn m6_nobody_becomes_admin_unseen() {
    let mut world = World::new();
    let (founder, seeder) = (world.founder, world.seeder(world.founder));
    let (with_keys, _) = world.invite_with(&world.all(), founder, Role::Admin, 1, true);
    assert_eq!(world.log.refusal(&with_keys), Some(Void::NeedsApproval));
    let (invite, seed) = world.invite_with(&world.all(), founder, Role::Admin, 1, false);
    let join = world.join(&world.all(), invite, &seed);
    world.witness(&world.all(), seeder, join, 5);
    assert!(!in_force(&world, join));
    world.witness(&world.all(), founder, join, 5);
    assert_eq!(world.roster().member(&join).map(|member| member.role), Some(Role::Admin));
}

#[test]
fn m6_an_approval_falls_with_the_right_of_who_gave_it() {
    let mut world = World::new();
    let founder = world.founder;
    let admin = world.grant_now(founder, Role::Admin);
    let (invite, seed) = world.invite_with(&world.all(), founder, Role::Editor, 1, false);
    let join = world.join(&world.all(), invite, &seed);
    let view = world.all();
    world.witness(&view, admin, join, 5);
    assert!(in_force(&world, join));
    // Made an editor by somebody who had not seen the approval.
    world.by(&view, &[founder], set_role(admin, Role::Editor));
    assert!(!in_force(&world, join));
}

#[test]
fn m6_who_was_approved_twice_is_removed_or_made_less_whichever_approval_stands() {
    for end in [remove as fn(OpId) -> OpBody, |grant| set_role(grant, Role::Reader)] {
        let mut world = World::new();
        let founder = world.founder;
        let (one, other) = (world.grant_now(founder, Role::Admin), world.grant_now(founder, Role::Admin));
        let (invite, seed) = world.invite_with(&world.all(), founder, Role::Editor, 1, false);
        let join = world.join(&world.all(), invite, &seed);
        let view = world.all();
        let approved = world.witness(&view, one, join, 5);
        world.by(&world.closed(&[approved]), &[other], end(join));
        world.by(&view, &[founder], remove(one));
        world.witness(&view, founder, join, 5);
        let name = world.people[&join].name.clone();
        for seed in 0..40 {
            let roster = resolve(&redelivered(&world.log, &mut Dice::new(seed)));
            assert!(!roster.can_write(&world.people[&join].device_keys().sig), "{name}, seed {seed}");
            assert_eq!(roster, world.roster());
        }
    }
}

#[test]
fn m6_of_one_code_only_so_many_who_wait_are_shown() {
    let mut world = World::new();
    let (invite, seed) = world.invite_with(&world.all(), world.founder, Role::Editor, 1, false);
    for _ in 0..JOINS_WAITING_MAX + 5 {
        world.join(&world.all(), invite, &seed);
    }
    assert_eq!(joins_waiting(&world.log, &world.roster(), 5).len(), JOINS_WAITING_MAX);
}

#[test]
fn a_join_by_an_ended_seeders_later_witness_is_void() {
    let mut world = World::new();
    let (founder, seeder) = (world.founder, world.seeder(world.founder));
    let (invite, seed) = world.invite(&world.all(), founder, Role::Editor, 1);
    let view = world.all();
    world.now(founder, OpBody::SeederEnd { seeder });
    let join = world.join(&view, invite, &seed);
    let seen = world.closed(&[join]);
    world.witness(&seen, seeder, join, 5);
    assert!(!in_force(&world, join) && world.roster().seeders().is_empty());
}

/// Random folders where everything about admission happens at once. Expected from the rules, op by op, with no look at how
/// the resolver works.
fn random_history(seed: u64) -> World {
    let (mut world, mut dice) = (World::new(), Dice::new(seed));
    let founder = world.founder;
    let mut witnesses = vec![world.seeder(founder), world.seeder(founder)];
    witnesses.extend([Role::Admin, Role::Admin, Role::Editor].map(|role| world.grant_now(founder, role)));
    let mut invites = Vec::new();
    let mut joins = Vec::new();
    let mut views = vec![world.all(); 3];
    for _ in 0..6 + dice.below(16) {
        let v = dice.below(3);
        if dice.chance(25) {
            let other = views[dice.below(3)].clone();
            views[v].extend(other);
            continue;
        }
        let mut base = views[v].clone();
        if dice.chance(15) {
            let from: Vec<OpId> = base.iter().copied().collect();
            base = world.closed(&[dice.pick(&from)]);
        }
        let people: Vec<OpId> = world.people.keys().filter(|g| base.contains(g)).copied().collect();
        let live: Vec<OpId> = world.roster_at(&base).members().map(|m| m.grant).collect();
        let author = if dice.chance(85) { dice.pick(&live) } else { dice.pick(&people) };
        let open: Vec<(OpId, String)> = invites.iter().filter(|(i, _)| base.contains(i)).cloned().collect();
        let seen: Vec<OpId> = joins.iter().filter(|j| base.contains(j)).copied().collect();
        let id = match dice.below(10) {
            0 | 1 if invites.len() < 2 => {
                let role = if dice.chance(12) { Role::Admin } else { Role::Editor };
                let (id, seed) = world.invite(&base, author, role, 1 + dice.below(2) as u16);
                invites.push((id, seed));
                id
            }
            2..=4 if !open.is_empty() => {
                let (invite, seed) = open[dice.below(open.len())].clone();
                let id = world.join(&base, invite, &seed);
                joins.push(id);
                if dice.chance(60) {
                    let seen = world.closed(&[id]);
                    let seeder = if base.contains(&witnesses[1]) { witnesses[1] } else { founder };
                    world.witness(&seen, seeder, id, 5)
                } else {
                    id
                }
            }
            5..=7 if !seen.is_empty() => {
                let by: Vec<OpId> = witnesses.iter().filter(|w| base.contains(w)).copied().chain([author]).collect();
                world.witness(&base, dice.pick(&by), dice.pick(&seen), 980 + dice.below(30) as u64)
            }
            8 if !open.is_empty() => {
                world.by(&base, &[author], cancel(open[dice.below(open.len())].0, 990 + dice.below(20) as u64))
            }
            9 => {
                let target = dice.pick(&people);
                let body = if dice.chance(70) {
                    remove(target)
                } else {
                    set_role(target, dice.pick(&[Role::Editor, Role::Admin]))
                };
                world.by(&base, &[author], body)
            }
            _ => world.grant(&base, author, Role::Editor),
        };
        views[v].extend(world.closed(&[id]));
    }
    world
}

#[test]
fn admissions_hold_to_the_rules_in_thousands_of_random_histories() {
    let (mut joined, mut cancelled, mut crowded) = (0, 0, 0);
    for seed in 0..3000 {
        let world = random_history(seed);
        let (log, roster) = (&world.log, world.roster());
        check_invariants(log, &seed);
        for op in log.ops() {
            let OpBody::Join { invite, .. } = &op.op().body else { continue };
            let Some(OpBody::Invite { max_uses, expires_ms, .. }) = log.get(invite).map(|op| &op.op().body) else {
                panic!("joins name invites")
            };
            let cancels: Vec<OpId> = log
                .ops()
                .filter(|c| {
                    roster.accepted(&c.id())
                        && matches!(&c.op().body, OpBody::CancelInvite { invite: i, .. } if i == invite)
                })
                .map(|c| c.id())
                .collect();
            let standing = log.ops().filter(|w| match &w.op().body {
                OpBody::Witness { join, at_ms } => {
                    *join == op.id()
                        && at_ms <= expires_ms
                        && roster.accepted(&w.id())
                        && cancels.iter().all(|c| log.precedes(&w.id(), c))
                }
                _ => false,
            });
            let uses = log.ops().filter(|other| {
                roster.accepted(&other.id())
                    && matches!(&other.op().body, OpBody::Join { invite: i, .. } if i == invite)
            });
            let (standing, uses) = (standing.count(), uses.count());
            assert!(uses <= usize::from(*max_uses), "seed {seed}: more joins than uses");
            if roster.accepted(&op.id()) {
                assert!(standing > 0 && roster.accepted(invite), "seed {seed}: a join without a witness in time");
                joined += 1;
            } else if standing > 0 {
                assert_eq!(uses, usize::from(*max_uses), "seed {seed}: a witnessed join is void without need");
                crowded += 1;
            }
            cancelled += usize::from(!cancels.is_empty() && standing == 0);
        }
    }
    assert!(joined > 500 && cancelled > 100 && crowded > 20, "{joined} {cancelled} {crowded}");
}

#[test]
fn admissions_do_not_depend_on_the_order_of_delivery() {
    for seed in 0..400 {
        let world = random_history(seed);
        let (roster, mut dice) = (world.roster(), Dice::new(seed));
        for _ in 0..5 {
            assert_eq!(resolve(&redelivered(&world.log, &mut dice)), roster, "seed {seed}");
        }
    }
}

#[test]
fn what_a_view_decided_is_kept_by_whoever_extends_it() {
    // An op that has seen everything changes nothing but what it says: this is what makes a long log cheap.
    for seed in 0..300 {
        let mut world = random_history(seed);
        let before: BTreeSet<OpId> = world.roster().members().map(|m| m.grant).collect();
        let new = world.grant_now(world.founder, Role::Reader);
        let mut after: BTreeSet<OpId> = world.roster().members().map(|m| m.grant).collect();
        assert!(after.remove(&new) && after == before, "seed {seed}");
    }
}
