//! Devices, roles, quorums, key updates, the log itself and what the membership says to heads: one short story each.

use std::collections::BTreeSet;

use cobox_proto::id::{Cid, FolderId, HeadId, OpId};
use cobox_proto::limits::LOG_PENDING_OPS_MAX;
use cobox_proto::members::{
    Added, FolderKind, HeadAuthority, Log, LogError, Op, OpBody, OpError, Policy, Role, SignedOp, Signer, Void, resolve,
};

use crate::members_world::{World, genesis, pair, person, remove, secret, set_role};

#[test]
fn m7_a_lost_laptop_is_taken_out_by_the_phone_and_the_person_stays() {
    let mut world = World::new();
    let founder = world.founder;
    world.add_device(&world.all(), founder, "founder device", "phone");
    assert!(world.roster().can_write(&pair("phone").sig));
    world.remove_device(&world.all(), founder, "phone", "founder device");
    let roster = world.roster();
    assert!(!roster.can_write(&pair("founder device").sig) && roster.can_write(&pair("phone").sig));
    assert_eq!(roster.members().count(), 1);
    // The key never returns, not even with a new certificate.
    let again = world.add_device(&world.all(), founder, "phone", "founder device");
    assert_eq!(world.log.refusal(&again), Some(Void::KnownKey));
}

#[test]
fn two_devices_that_remove_each_other_are_settled_by_seniority_and_the_words_outrank_both() {
    let mut world = World::new();
    let founder = world.founder;
    world.add_device(&world.all(), founder, "founder device", "phone");
    let view = world.all();
    world.remove_device(&view, founder, "phone", "founder device");
    assert!(!world.roster().can_write(&pair("founder device").sig));
    world.remove_device(&view, founder, "founder device", "phone");
    let roster = world.roster();
    assert!(roster.can_write(&pair("founder device").sig) && !roster.can_write(&pair("phone").sig));
    // The thief of the senior device is thrown out by whoever has the words.
    world.remove_device(&view, founder, "founder member", "founder device");
    let roster = world.roster();
    assert!(!roster.can_write(&pair("founder device").sig) && roster.can_write(&pair("phone").sig));
}

#[test]
fn what_a_removed_device_did_unseen_is_void_with_all_that_rests_on_it() {
    let mut world = World::new();
    let founder = world.founder;
    world.add_device(&world.all(), founder, "founder device", "phone");
    let view = world.all();
    let tablet = world.add_device(&view, founder, "phone", "tablet");
    let seen = world.closed(&[tablet]);
    let watch = world.add_device(&seen, founder, "tablet", "watch");
    assert!(world.roster().can_write(&pair("watch").sig));
    world.remove_device(&view, founder, "founder device", "phone");
    let roster = world.roster();
    assert!(!roster.accepted(&tablet) && !roster.accepted(&watch));
    assert_eq!(roster.members().next().unwrap().devices.len(), 1);
}

#[test]
fn only_an_owner_lets_go_of_what_history_holds_and_takes_it_back() {
    let mut world = World::new();
    let founder = world.founder;
    let blocks = |n: u16| (0..n).map(|n| Cid([n.to_be_bytes(); 16].concat().try_into().unwrap())).collect();
    let forget = |at_ms: u64, n: u16| OpBody::Forget { at_ms, states: vec![HeadId([1; 32]).tag()], blocks: blocks(n) };
    let (admin, editor) = (world.grant_now(founder, Role::Admin), world.grant_now(founder, Role::Editor));
    for who in [admin, editor] {
        let refused = world.now(who, forget(1, 1));
        assert_eq!(world.log.refusal(&refused), Some(Void::RoleTooLow));
    }
    let said = world.now(founder, forget(2, 1));
    let other = world.now(founder, forget(1, 2));
    let forgets: Vec<OpId> = world.roster().forgets().iter().map(|forget| forget.op).collect();
    assert_eq!(forgets, [other, said], "by time");
    let end = |of: Vec<OpId>| OpBody::ForgetEnd { forgets: of };
    let refused = world.now(admin, end(vec![said]));
    assert_eq!(world.log.refusal(&refused), Some(Void::RoleTooLow));
    world.now(founder, end(vec![said]));
    assert_eq!(world.roster().forgets().iter().map(|forget| forget.op).collect::<Vec<_>>(), [other]);
    let twice = world.now(founder, end(vec![said]));
    assert_eq!(world.log.refusal(&twice), Some(Void::NoTarget));
    // The log still has to be delivered to a new seeder.
    let last = (0..520).map(|n| world.now(founder, forget(n, 256))).last().unwrap();
    assert_eq!(world.log.refusal(&last), Some(Void::TooMuchForgotten));
}

#[test]
fn what_a_removed_owner_had_forgotten_unseen_is_void() {
    let mut world = World::new();
    let founder = world.founder;
    let other = world.grant_now(founder, Role::Owner);
    let view = world.all();
    let body = OpBody::Forget { at_ms: 1, states: vec![HeadId([1; 32]).tag()], blocks: vec![Cid([2; 32])] };
    let forget = world.by(&view, &[other], body);
    assert!(world.roster().accepted(&forget));
    world.by(&view, &[founder], remove(other));
    assert!(!world.roster().accepted(&forget) && world.roster().forgets().is_empty());
}

#[test]
fn nobody_certifies_a_device_that_did_not_ask() {
    let world = World::new();
    let (founder, device) = (world.founder, pair("somebody else's phone"));
    let proof = device.prove_device(&secret("founder device"), &world.log.folder(), &founder);
    let op = Op {
        folder: world.log.folder(),
        signers: vec![Signer { grant: founder, key: secret("founder device").public() }],
        deps: world.log.frontier(),
        body: OpBody::AddDevice { device: device.clone(), proof },
        sealed: vec![],
    };
    let refused = SignedOp::sign(op, &[&secret("founder device")]);
    assert_eq!(refused, Err(OpError::Unproved { device: device.sig }));
}

#[test]
fn m3_two_admins_who_remove_each_other_leave_the_senior_one() {
    let mut world = World::new();
    let founder = world.founder;
    let (alice, bob) = (world.grant_now(founder, Role::Admin), world.grant_now(founder, Role::Admin));
    let view = world.all();
    let junior = world.by(&view, &[bob], remove(alice));
    assert_eq!(world.log.refusal(&junior), Some(Void::NotSenior));
    world.by(&view, &[alice], remove(bob));
    assert!(world.roster().member(&alice).is_some() && world.roster().member(&bob).is_none());
}

#[test]
fn most_admins_together_remove_even_the_founder_and_policy_may_ask_for_fewer() {
    for (quorum, needed) in [(0, 3), (2, 2)] {
        let mut world = World::with(FolderKind::Folder, Policy { quorum, ..Policy::default() });
        let founder = world.founder;
        let admins: Vec<OpId> = (0..4).map(|_| world.grant_now(founder, Role::Admin)).collect();
        let view = world.all();
        let few = world.by(&view, &admins[..needed - 1], remove(founder));
        assert!(world.log.refusal(&few).is_some());
        let enough = world.by(&view, &admins[..needed], remove(founder));
        assert!(world.roster().accepted(&enough) && world.roster().member(&founder).is_none());
        // Without an owner an admin may set the policy, and a quorum may make a new one.
        let policy = world.now(admins[0], OpBody::Policy { policy: Policy::default() });
        assert!(world.roster().accepted(&policy));
        let crowned = world.by(&world.all(), &admins[..3], set_role(admins[3], Role::Owner));
        assert_eq!(world.roster().member(&admins[3]).unwrap().role, Role::Owner);
        assert!(world.roster().accepted(&crowned));
        let late = world.now(admins[0], OpBody::Policy { policy: Policy::default() });
        assert_eq!(world.log.refusal(&late), Some(Void::RoleTooLow));
    }
}

#[test]
fn a_quorum_op_lacking_one_signature_is_no_op() {
    let mut world = World::new();
    let founder = world.founder;
    let (a, b) = (world.grant_now(founder, Role::Admin), world.grant_now(founder, Role::Admin));
    let id = world.by(&world.all(), &[a, b], remove(founder));
    let bytes = world.log.get(&id).unwrap().bytes().to_vec();
    assert!(SignedOp::from_bytes(&bytes[..bytes.len() - 64]).is_err());
    let mut twice = bytes.clone();
    let (first, second) = (bytes.len() - 128, bytes.len() - 64);
    twice.copy_within(first..second, second);
    assert!(matches!(SignedOp::from_bytes(&twice), Err(OpError::Forged { .. })));
}

#[test]
fn a_demotion_voids_what_needed_the_higher_role_and_keeps_the_rest() {
    let mut world = World::new();
    let founder = world.founder;
    let admin = world.grant_now(founder, Role::Admin);
    let view = world.all();
    let granted = world.grant(&view, admin, Role::Reader);
    let device = format!("{} device", world.people[&admin].name);
    let phone = world.add_device(&view, admin, &device, "admin's phone");
    world.by(&view, &[founder], set_role(admin, Role::Editor));
    let roster = world.roster();
    assert!(!roster.accepted(&granted) && roster.accepted(&phone));
    assert_eq!(roster.member(&admin).unwrap().role, Role::Editor);
    // Promoted again, it may again; the old op stays void.
    world.now(founder, set_role(admin, Role::Admin));
    let again = world.grant_now(admin, Role::Reader);
    assert!(world.roster().accepted(&again) && !world.roster().accepted(&granted));
}

#[test]
fn of_concurrent_role_changes_the_lowest_counts() {
    let mut world = World::new();
    let founder = world.founder;
    let admin = world.grant_now(founder, Role::Admin);
    let bob = world.grant_now(founder, Role::Editor);
    let view = world.all();
    world.by(&view, &[founder], set_role(bob, Role::Admin));
    world.by(&view, &[admin], set_role(bob, Role::Reader));
    assert_eq!(world.roster().member(&bob).unwrap().role, Role::Reader);
}

#[test]
fn who_is_no_admin_may_leave_and_admins_may_not_abandon_the_folder() {
    let mut world = World::new();
    let founder = world.founder;
    let bob = world.grant_now(founder, Role::Reader);
    world.remove_now(bob, bob);
    assert!(world.roster().member(&bob).is_none());
    let left = world.remove_now(founder, founder);
    assert_eq!(world.log.refusal(&left), Some(Void::NotSenior));
}

#[test]
fn m9_a_member_invited_again_has_new_rights_only() {
    let mut world = World::new();
    let founder = world.founder;
    let bob = world.grant_now(founder, Role::Admin);
    let view = world.all();
    world.remove_now(founder, bob);
    let behind = world.grant(&view, bob, Role::Editor);
    let who = world.people[&bob].clone();
    let same_keys = OpBody::Grant { member: who.member_keys(), device: pair("new device"), role: Role::Editor };
    let same = world.now(founder, same_keys);
    assert_eq!(world.log.refusal(&same), Some(Void::KnownKey));
    let again = world.grant_now(founder, Role::Editor);
    let roster = world.roster();
    assert!(roster.member(&again).is_some() && !roster.accepted(&behind));
    assert!(!roster.is_reader(&who.device_keys().sig));
}

#[test]
fn competing_key_updates_freeze_a_member_until_an_admin_picks_one() {
    let mut world = World::new();
    let founder = world.founder;
    let bob = world.grant_now(founder, Role::Editor);
    let (member, device) = (world.people[&bob].member.clone(), world.people[&bob].name.clone() + " device");
    let view = world.all();
    for name in ["mine", "the thief's"] {
        let body = OpBody::KeyUpdate { grant: bob, keys: pair(name) };
        world.raw(world.maximal(&view), &[(bob, &member)], body);
    }
    assert!(world.roster().member(&bob).unwrap().frozen);
    let phone = world.add_device(&world.all(), bob, &device, "bob's phone");
    assert_eq!(world.log.refusal(&phone), Some(Void::Frozen));
    let other = world.now(founder, OpBody::KeyUpdate { grant: bob, keys: pair("the admin's own") });
    assert_eq!(world.log.refusal(&other), Some(Void::KnownKey));
    world.now(founder, OpBody::KeyUpdate { grant: bob, keys: pair("mine") });
    let roster = world.roster();
    let found = roster.member(&bob).unwrap();
    assert!(!found.frozen && found.sig == pair("mine").sig);
    world.add_device(&world.all(), bob, "mine", "bob's tablet");
    assert!(world.roster().can_write(&pair("bob's tablet").sig));
}

#[test]
fn only_the_owner_hosts_a_vault() {
    let mut world = World::with(FolderKind::Vault, Policy::default());
    let founder = world.founder;
    let admin = world.grant_now(founder, Role::Admin);
    let hired = world.seeder(founder);
    assert_eq!(world.roster().seeders()[0].grant, hired);
    let not_hired = world.seeder(admin);
    assert_eq!(world.log.refusal(&not_hired), Some(Void::RoleTooLow));
}

#[test]
fn x13_ops_of_another_folder_and_repeated_ones_do_not_enter() {
    let mut world = World::new();
    let bob = world.grant_now(world.founder, Role::Editor);
    let op = world.log.get(&bob).unwrap().clone();
    assert_eq!(world.log.add(op.clone()), Ok(Added::Known));
    let mut other = genesis(FolderKind::Folder, Policy::default());
    other.nonce = [9; 32];
    let mut other = Log::new(other);
    assert_eq!(other.add(op), Err(LogError::ForeignFolder { found: world.log.folder() }));
}

#[test]
fn ops_wait_for_their_deps_in_bounded_number() {
    let mut world = World::new();
    let founder = world.founder;
    let ids: Vec<OpId> = (0..3).map(|_| world.grant_now(founder, Role::Reader)).collect();
    let ops: Vec<SignedOp> = world.log.ops().cloned().collect();
    let mut late = Log::new(world.log.genesis().clone());
    assert_eq!(late.add(ops[2].clone()), Ok(Added::Pending(vec![ids[1]])));
    assert_eq!(late.add(ops[1].clone()), Ok(Added::Pending(vec![ids[0]])));
    assert_eq!(late.add(ops[1].clone()), Ok(Added::Known));
    assert_eq!((late.missing(), late.len()), (vec![ids[0]], 1));
    assert_eq!(late.add(ops[0].clone()), Ok(Added::New(ids.clone())));
    assert_eq!((late.missing(), resolve(&late)), (vec![], world.roster()));

    let mut flooded = Log::new(world.log.genesis().clone());
    let orphan = |n: usize| {
        let mut dep = [1; 32];
        dep[..8].copy_from_slice(&n.to_le_bytes());
        let key = secret("founder device");
        let op = Op {
            folder: world.log.folder(),
            signers: vec![Signer { grant: founder, key: key.public() }],
            deps: vec![OpId(dep)],
            body: OpBody::SeederEnd { seeder: OpId([1; 32]) },
            sealed: vec![],
        };
        SignedOp::sign(op, &[&key]).unwrap()
    };
    for n in 0..LOG_PENDING_OPS_MAX {
        assert!(matches!(flooded.add(orphan(n)), Ok(Added::Pending(_))));
    }
    assert_eq!(flooded.add(orphan(LOG_PENDING_OPS_MAX)), Err(LogError::TooManyPending));
    // What depends on nothing unknown still enters.
    assert!(matches!(flooded.add(ops[0].clone()), Ok(Added::New(_))));
    flooded.forget_pending();
    assert!(flooded.missing().is_empty());
    assert!(matches!(flooded.add(orphan(0)), Ok(Added::Pending(_))));
}

#[test]
fn more_branches_than_one_op_can_name_are_merged_by_two() {
    let mut world = World::new();
    let (founder, base) = (world.founder, world.all());
    let reader = world.grant_now(founder, Role::Reader);
    let seen = world.all();
    for _ in 0..40 {
        world.grant(&base, founder, Role::Reader);
        // Without authority: never preferred to what has it.
        world.grant(&seen, reader, Role::Reader);
    }
    assert_eq!((world.log.frontier().len(), world.log.next_deps().len()), (80, 64));
    let merge = |world: &mut World| {
        let key = secret("founder device");
        let deps = world.log.next_deps();
        world.raw(deps, &[(founder, &key)], OpBody::Policy { policy: Policy::default() })
    };
    let first = merge(&mut world);
    assert!(world.roster().members().all(|m| m.grant == founder || world.log.precedes(&m.grant, &first)));
    merge(&mut world);
    assert_eq!(world.log.frontier().len(), 1);
}

#[test]
fn deps_in_each_others_past_are_refused() {
    let mut world = World::new();
    let founder = world.founder;
    let bob = world.grant_now(founder, Role::Reader);
    let key = secret("founder device");
    let mut deps = vec![founder, bob];
    deps.sort();
    let op = Op {
        folder: world.log.folder(),
        signers: vec![Signer { grant: founder, key: key.public() }],
        deps,
        body: remove(bob),
        sealed: vec![],
    };
    let signed = SignedOp::sign(op, &[&key]).unwrap();
    let id = signed.id();
    assert_eq!(world.log.add(signed), Err(LogError::DepsNotMaximal { id }));
    assert!(!world.log.contains(&id));
}

#[test]
fn m2_a_head_counts_fully_before_the_removal_is_known_and_up_to_the_cut_after() {
    let mut world = World::new();
    let founder = world.founder;
    let bob = world.grant_now(founder, Role::Editor);
    let (_, epoch) = world.epoch(&world.all(), founder);
    let device = world.people[&bob].device_keys().sig;
    let auth = world.log.frontier();
    let ask = |world: &World, auth: &[OpId]| world.log.head_authority(&world.roster(), &device, &epoch.tag(), auth);
    assert_eq!(ask(&world, &auth), HeadAuthority::Full { member: bob });
    assert_eq!(ask(&world, &[OpId([5; 32])]), HeadAuthority::Pending { missing: vec![OpId([5; 32])] });
    assert_eq!(ask(&world, &[founder]), HeadAuthority::NoWriter);
    let before_epoch = [bob];
    assert_eq!(ask(&world, &before_epoch), HeadAuthority::EpochNotUsable);
    assert_eq!(world.log.stale(&world.roster(), &epoch.tag(), &auth), None);

    let last = HeadId([3; 32]);
    let removal = world.now(founder, OpBody::Remove { grant: bob, cut: vec![last] });
    assert_eq!(ask(&world, &auth), HeadAuthority::Cut { heads: [last].into() });
    assert_eq!(ask(&world, &[removal]), HeadAuthority::NoWriter);
    assert_eq!(world.log.stale(&world.roster(), &epoch.tag(), &auth), Some(vec![removal]));
    assert_eq!(world.roster().removals_of(&device).len(), 1);
}

#[test]
fn m8_a_demoted_editors_heads_are_cut_and_count_again_once_promoted() {
    let mut world = World::new();
    let founder = world.founder;
    let bob = world.grant_now(founder, Role::Editor);
    let (_, epoch) = world.epoch(&world.all(), founder);
    let device = world.people[&bob].device_keys().sig;
    let before = world.log.frontier();
    world.now(founder, OpBody::SetRole { grant: bob, role: Role::Reader, cut: vec![] });
    let ask = |world: &World, auth: &[OpId]| world.log.head_authority(&world.roster(), &device, &epoch.tag(), auth);
    assert_eq!(ask(&world, &before), HeadAuthority::Cut { heads: BTreeSet::new() });
    assert_eq!(ask(&world, &world.log.frontier()), HeadAuthority::NoWriter);
    world.now(founder, set_role(bob, Role::Editor));
    assert_eq!(ask(&world, &world.log.frontier()), HeadAuthority::Full { member: bob });
    assert_eq!(ask(&world, &before), HeadAuthority::Cut { heads: BTreeSet::new() });
}

#[test]
fn a_writer_whose_admission_turns_out_void_is_cut_off_entirely() {
    let mut world = World::new();
    let founder = world.founder;
    let admin = world.grant_now(founder, Role::Admin);
    let (_, epoch) = world.epoch(&world.all(), founder);
    let view = world.all();
    let bob = world.grant(&view, admin, Role::Editor);
    let device = world.people[&bob].device_keys().sig;
    world.by(&view, &[founder], remove(admin));
    let verdict = world.log.head_authority(&world.roster(), &device, &epoch.tag(), &[bob]);
    assert_eq!(verdict, HeadAuthority::Cut { heads: BTreeSet::new() });
}

#[test]
fn a_vault_must_be_signed_by_its_founder() {
    use cobox_proto::members::{Genesis, GenesisError};
    let vault = genesis(FolderKind::Vault, Policy::default());
    assert_eq!(Genesis::from_bytes(&vault.to_bytes()), Ok(vault.clone()));
    assert_ne!(vault.folder_id(), FolderId::ZERO);
    let mut unsigned = vault.clone();
    unsigned.founder_sig = None;
    assert_eq!(Genesis::from_bytes(&unsigned.to_bytes()), Err(GenesisError::Unsigned));
    let forged = unsigned.sign_founder(&person("mallory").member);
    assert_eq!(Genesis::from_bytes(&forged.to_bytes()), Err(GenesisError::Forged));
}
