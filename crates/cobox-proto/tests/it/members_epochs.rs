//! Epochs: who may start one, which may be written under, who lacks a key (formats F2).

use cobox_proto::id::{EpochId, Hash, OpId};
use cobox_proto::members::{HpkeKey, OpBody, Role, Void, resolve};

use crate::members_world::{Dice, World, bundle, check_invariants, hpke, pair, redelivered, remove, secret, set_role};

fn key_grant(epoch: EpochId, to: &HpkeKey, member: OpId) -> OpBody {
    OpBody::EpochGrant { epochs: vec![epoch], recipient: to.id(), envelope: Hash([2; 32]), member }
}

#[test]
fn m7_after_a_removal_the_old_epoch_is_closed_and_any_editor_starts_the_next() {
    let mut world = World::new();
    let founder = world.founder;
    let (alice, bob) = (world.grant_now(founder, Role::Editor), world.grant_now(founder, Role::Editor));
    let (_, first) = world.epoch(&world.all(), founder);
    assert_eq!(world.roster().writable_epoch(), Some(first));
    let (early, _) = world.epoch(&world.all(), alice);
    assert_eq!(world.log.refusal(&early), Some(Void::RoleTooLow), "an editor may not force rotations");
    world.remove_now(founder, bob);
    assert_eq!(world.roster().writable_epoch(), None);
    let (_, second) = world.epoch(&world.all(), alice);
    let roster = world.roster();
    assert_eq!(roster.writable_epoch(), Some(second));
    assert!(!roster.epoch_usable(&first.tag()) && roster.epoch_usable(&second.tag()));
    assert_eq!(roster.epoch(&second.tag()).unwrap().depth, 1);
}

#[test]
fn two_concurrent_removals_leave_no_usable_epoch() {
    let mut world = World::new();
    let founder = world.founder;
    let admin = world.grant_now(founder, Role::Admin);
    let (bob, carol) = (world.grant_now(founder, Role::Editor), world.grant_now(founder, Role::Editor));
    let dave = world.grant_now(founder, Role::Editor);
    world.epoch(&world.all(), founder);
    let view = world.all();
    for (by, target) in [(founder, bob), (admin, carol)] {
        let id = world.by(&view, &[by], remove(target));
        let seen = world.closed(&[id]);
        world.epoch(&seen, by);
    }
    assert_eq!(world.roster().writable_epoch(), None);
    let (_, healed) = world.epoch(&world.all(), dave);
    assert_eq!(world.roster().writable_epoch(), Some(healed));
}

#[test]
fn an_older_epoch_known_through_the_history_of_a_closed_one_is_closed_too() {
    let mut world = World::new();
    let founder = world.founder;
    let (_, first) = world.epoch(&world.all(), founder);
    let bob = world.grant_now(founder, Role::Editor);
    world.epoch(&world.all(), founder);
    // Bob got the first epoch only inside the second one's history; no recipient list of the first names him.
    assert!(
        !world.roster().epoch(&first.tag()).unwrap().recipients.contains(&world.people[&bob].device_keys().hpke.id())
    );
    world.remove_now(founder, bob);
    assert_eq!(world.roster().writable_epoch(), None);
}

#[test]
fn m11_the_key_of_a_removed_device_of_a_cancelled_invite_or_of_a_replaced_member_key_closes_the_epoch() {
    let mut world = World::new();
    let founder = world.founder;
    let phone = pair("phone");
    let proof = phone.prove_device(&secret("phone"), &world.log.folder(), &founder);
    world.now(founder, OpBody::AddDevice { device: phone.clone(), proof });
    let (_, first) = world.epoch(&world.all(), founder);
    assert!(world.roster().epoch(&first.tag()).unwrap().recipients.contains(&phone.hpke.id()));
    world.now(founder, OpBody::RemoveDevice { device: phone.sig, cut: vec![] });
    assert_eq!(world.roster().writable_epoch(), None);

    let (invite, _) = world.invite(&world.all(), founder, Role::Editor, 1);
    let (_, second) = world.epoch(&world.all(), founder);
    assert_eq!(world.roster().writable_epoch(), Some(second));
    world.now(founder, OpBody::CancelInvite { invite, at_ms: 0 });
    assert_eq!(world.roster().writable_epoch(), None);

    let (_, third) = world.epoch(&world.all(), founder);
    assert_eq!(world.roster().writable_epoch(), Some(third));
    let member = world.people[&founder].member.clone();
    let update = OpBody::KeyUpdate { grant: founder, keys: pair("founder's next member key") };
    world.raw(world.log.frontier(), &[(founder, &member)], update);
    assert_eq!(world.roster().writable_epoch(), None);
}

#[test]
fn a_used_invites_key_closes_the_epoch_when_whoever_used_it_is_removed() {
    let mut world = World::new();
    let (founder, seeder) = (world.founder, world.seeder(world.founder));
    let (invite, seed) = world.invite(&world.all(), founder, Role::Editor, 1);
    let (_, epoch) = world.epoch(&world.all(), founder);
    let join = world.join(&world.all(), invite, &seed);
    world.witness(&world.all(), seeder, join, 5);
    let roster = world.roster();
    assert_eq!(roster.writable_epoch(), Some(epoch), "using an invite up is no reason to rotate");
    assert!(!roster.recipients_wanted().iter().any(|r| r.key_id == hpke(&seed).id()));
    world.remove_now(founder, join);
    assert_eq!(world.roster().writable_epoch(), None);
}

#[test]
fn missing_grants_name_who_lacks_the_epoch_and_vanish_once_given() {
    let mut world = World::new();
    let founder = world.founder;
    let (_, epoch) = world.epoch(&world.all(), founder);
    assert!(world.roster().missing_grants().is_empty());
    let bob = world.grant_now(founder, Role::Reader);
    let missing = world.roster().missing_grants().to_vec();
    assert_eq!(missing.len(), 2, "his device and his recovery key");
    assert!(missing.iter().all(|m| m.recipient.member == bob && m.epochs == [epoch]));
    for m in &missing {
        world.now(founder, key_grant(epoch, &m.recipient.hpke, m.recipient.member));
    }
    assert!(world.roster().missing_grants().is_empty());
    assert_eq!(world.roster().writable_epoch(), Some(epoch));
    world.remove_now(founder, bob);
    assert_eq!(world.roster().writable_epoch(), None, "recipients of grants count like those of bundles");
}

#[test]
fn a_grant_counts_for_every_bundle_of_its_epoch_also_one_it_has_not_seen() {
    let mut world = World::new();
    let founder = world.founder;
    let (admin, bob) = (world.grant_now(founder, Role::Admin), world.grant_now(founder, Role::Reader));
    let view = world.all();
    // Two bundles of one epoch: somebody who knows the secret writes another.
    let (first, epoch) = world.epoch(&view, founder);
    world.by(&view, &[admin], bundle(vec![], epoch, vec![hpke(&format!("{} device", world.people[&admin].name)).id()]));
    let late = world.grant(&world.closed(&[first]), founder, Role::Reader);
    let to_late = hpke(&format!("{} device", world.people[&late].name));
    world.by(&world.closed(&[late]), &[founder], key_grant(epoch, &to_late, late));
    world.now(founder, remove(late));
    for seed in 0..40 {
        let roster = resolve(&redelivered(&world.log, &mut Dice::new(seed)));
        assert_eq!(roster, world.roster(), "seed {seed}");
        assert_eq!(roster.writable_epoch(), None, "the one who was given it is gone");
    }
    assert!(world.roster().member(&bob).is_some());
}

#[test]
fn an_epoch_outside_the_writable_ones_history_is_repaired_too() {
    let mut world = World::new();
    let founder = world.founder;
    let admin = world.grant_now(founder, Role::Admin);
    world.epoch(&world.all(), founder);
    let view = world.all();
    let bob = world.grant(&view, founder, Role::Reader);
    let (_, a) = world.epoch(&view, admin);
    let seen = world.closed(&[bob]);
    let (_, b) = world.epoch(&seen, founder);
    let roster = world.roster();
    let writable = roster.writable_epoch().unwrap();
    assert_eq!(writable, a.max(b));
    // Bob was sealed the one of the founder; the other he lacks whether or not it is the writable one.
    assert!(roster.missing_grants().iter().all(|m| m.recipient.member == bob && m.epochs == [a]));
    assert_eq!(roster.missing_grants().len(), 2);
}

#[test]
fn bundles_and_grants_that_do_not_fit_are_void() {
    let mut world = World::new();
    let founder = world.founder;
    let (_, first) = world.epoch(&world.all(), founder);
    let bob = world.grant_now(founder, Role::Admin);
    let bob_key = world.people[&bob].device_keys().hpke;
    world.remove_now(founder, bob);
    let own = world.people[&founder].device_keys().hpke.id();
    let mut same_tag = first;
    same_tag.0[31] ^= 1;
    let wrong = [
        bundle(vec![], EpochId([1; 32]), vec![own]),
        bundle(vec![EpochId([9; 32])], EpochId([1; 32]), vec![own]),
        bundle(vec![first], same_tag, vec![own]),
        bundle(vec![first], EpochId([1; 32]), vec![bob_key.id()]),
        bundle(vec![first], EpochId([1; 32]), vec![hpke("nobody").id()]),
        key_grant(first, &bob_key, bob),
        key_grant(EpochId([1; 32]), &world.people[&founder].device_keys().hpke, founder),
    ];
    for body in wrong {
        let view = world.all();
        let id = world.by(&view, &[founder], body.clone());
        assert!(matches!(world.log.refusal(&id), Some(Void::BadEpoch | Void::NoTarget)), "{body:?}");
    }
}

fn random_history(seed: u64) -> World {
    let (mut world, mut dice) = (World::new(), Dice::new(seed));
    let founder = world.founder;
    let seeder = world.seeder(founder);
    for role in [Role::Admin, Role::Admin, Role::Editor, Role::Editor] {
        world.grant_now(founder, role);
    }
    world.epoch(&world.all(), founder);
    let mut invites: Vec<(OpId, String)> = Vec::new();
    let mut views = vec![world.all(); 3];
    for _ in 0..5 + dice.below(12) {
        let v = dice.below(3);
        if dice.chance(25) {
            let other = views[dice.below(3)].clone();
            views[v].extend(other);
            continue;
        }
        let base = views[v].clone();
        let roster = world.roster_at(&base);
        let live: Vec<OpId> = roster.members().map(|m| m.grant).collect();
        let author = dice.pick(&live);
        let id = match dice.below(8) {
            0 => world.grant(&base, author, Role::Editor),
            1 => world.by(&base, &[author], remove(dice.pick(&live))),
            2 => world.by(&base, &[author], set_role(dice.pick(&live), dice.pick(&[Role::Reader, Role::Admin]))),
            3 => {
                let (id, seed) = world.invite(&base, author, Role::Editor, 1 + dice.below(3) as u16);
                invites.push((id, seed));
                id
            }
            4 => {
                let seen: Vec<&(OpId, String)> = invites.iter().filter(|(i, _)| base.contains(i)).collect();
                if seen.is_empty() {
                    continue;
                }
                let (invite, seed) = seen[dice.below(seen.len())].clone();
                let join = world.join(&base, invite, &seed);
                let seen = world.closed(&[join]);
                world.witness(&seen, seeder, join, 5)
            }
            5 => match roster.missing_grants() {
                [] => continue,
                missing => {
                    let m = &missing[dice.below(missing.len())];
                    world.by(&base, &[author], key_grant(m.epochs[0], &m.recipient.hpke, m.recipient.member))
                }
            },
            _ => world.epoch(&base, author).0,
        };
        views[v].extend(world.closed(&[id]));
    }
    world
}

#[test]
fn nothing_is_ever_writable_that_somebody_removed_can_open() {
    let (mut writable, mut none) = (0, 0);
    for seed in 0..1500 {
        let world = random_history(seed);
        check_invariants(&world.log, &seed);
        let roster = world.roster();
        let Some(id) = roster.writable_epoch() else {
            none += 1;
            continue;
        };
        writable += 1;
        let usable = |e: &&cobox_proto::members::EpochInfo| e.usable;
        let best = roster.epochs().filter(usable).map(|e| (e.depth, e.id)).max();
        assert_eq!(best.map(|(_, id)| id), Some(id), "seed {seed}");
        // Every key that was ever told this secret, directly or inside the history of a later epoch.
        let mut told: Vec<EpochId> = vec![id];
        let mut keys: Vec<Hash> = Vec::new();
        while let Some(epoch) = told.pop() {
            for op in world.log.ops().filter(|op| roster.accepted(&op.id())) {
                match &op.op().body {
                    OpBody::EpochBundle { id, recipients, .. } if *id == epoch => keys.extend(recipients),
                    OpBody::EpochBundle { id, parents, .. } if parents.contains(&epoch) => told.push(*id),
                    OpBody::EpochGrant { epochs, recipient, .. } if epochs.contains(&epoch) => keys.push(*recipient),
                    _ => {}
                }
            }
        }
        for op in world.log.ops() {
            let (OpBody::Grant { member, device, .. } | OpBody::Join { member, device, .. }) = &op.op().body else {
                continue;
            };
            if roster.member(&op.id()).is_none() {
                let theirs = [member.hpke.id(), device.hpke.id()];
                assert!(!keys.iter().any(|key| theirs.contains(key)), "seed {seed}: {} can read on", op.id());
            }
        }
        // Whoever has it all can start the next one, and that one is then the one.
        let mut world = world;
        let (_, next) = world.epoch(&world.all(), world.founder);
        assert_eq!(world.roster().writable_epoch(), Some(next), "seed {seed}");
    }
    assert!(writable > 300 && none > 100, "{writable} {none}");
}

#[test]
fn epochs_do_not_depend_on_the_order_of_delivery() {
    for seed in 0..300 {
        let world = random_history(seed);
        let (roster, mut dice) = (world.roster(), Dice::new(seed));
        for _ in 0..5 {
            assert_eq!(resolve(&redelivered(&world.log, &mut dice)), roster, "seed {seed}");
        }
    }
}
