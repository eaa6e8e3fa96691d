//! Every history of a few ops among three people, for each kind of thing that they can do to each other. The short forms run each
//! time; the long ones, `cargo xtask campaign members`, go one or two ops further. How many there are is written down here, so that nothing
//! falls out of them unnoticed.

use std::collections::BTreeSet;

use cobox_proto::id::{EpochId, OpId};
use cobox_proto::members::{Log, OpBody, Role, SignedOp, resolve};
use cobox_proto::sign::SecretKey;

use crate::members_enumeration::{Enumeration, History, Part, Tries, Try};
use crate::members_model::Twin;
use crate::members_world::{World, bundle, check_invariants, pair, person, remove, secret, set_role};

/// Somebody as they were admitted: the grant and the name of the keys.
type Principal = (OpId, String);

/// Three admins, the founder the first; each came by the one before or both by the founder.
fn three_admins(in_a_row: bool) -> (World, Vec<Principal>) {
    let mut world = World::new();
    let founder = world.founder;
    let second = world.grant_now(founder, Role::Admin);
    let third = world.grant_now(if in_a_row { second } else { founder }, Role::Admin);
    let principals = [founder, second, third].map(|grant| (grant, world.people[&grant].name.clone()));
    (world, principals.into())
}

/// The keys somebody comes back with: no key enters twice.
fn again(name: &str) -> String {
    format!("{name} again")
}

fn device(name: &str) -> SecretKey {
    person(name).device
}

/// Those of the beginning and who was let in again since.
fn principals(first: &[Principal], view: &[&SignedOp]) -> Vec<Principal> {
    let returned = view.iter().filter_map(|op| match &op.op().body {
        OpBody::Grant { device, .. } => {
            let who =
                first.iter().map(|(_, name)| again(name)).find(|name| person(name).device_keys().sig == device.sig);
            who.map(|name| (op.id(), name))
        }
        _ => None,
    });
    first.iter().cloned().chain(returned).collect()
}

/// Whether both are one person.
fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches(" again") == other.trim_end_matches(" again")
}

fn by_one(who: &Principal, body: OpBody) -> Try {
    Try { signers: vec![(who.0, device(&who.1))], body }
}

/// Each to each, and each two to the third.
fn to_each(all: &[Principal], body: impl Fn(OpId) -> OpBody) -> Vec<Try> {
    let mut tries = Vec::new();
    for (grant, target) in all {
        let others: Vec<&Principal> = all.iter().filter(|(_, name)| !same(name, target)).collect();
        tries.extend(others.iter().map(|by| by_one(by, body(*grant))));
        for (n, one) in others.iter().enumerate() {
            for other in others[..n].iter().filter(|other| !same(&other.1, &one.1)) {
                let signers = vec![(one.0, device(&one.1)), (other.0, device(&other.1))];
                tries.push(Try { signers, body: body(*grant) });
            }
        }
    }
    tries
}

/// Whoever was sent away by an op of the view is let in again by each of the others.
fn readmissions(all: &[Principal], view: &[&SignedOp]) -> Vec<Try> {
    let removed =
        |grant: &OpId| view.iter().any(|op| matches!(&op.op().body, OpBody::Remove { grant: g, .. } if g == grant));
    let gone = all.iter().filter(|(grant, name)| removed(grant) && !name.ends_with("again"));
    gone.flat_map(|(_, name)| {
        let who = person(&again(name));
        let body = OpBody::Grant { member: who.member_keys(), device: who.device_keys(), role: Role::Admin };
        all.iter().filter(|(_, other)| !same(other, name)).map(|by| by_one(by, body.clone())).collect::<Vec<_>>()
    })
    .collect()
}

/// Nobody comes back but by a grant that stands, and what an admin did without having seen that it is one no more does not stand.
fn check_rights(log: &Log) {
    let roster = resolve(log);
    assert!(roster.members().all(|member| roster.accepted(&member.grant)), "a member whose admission is void");
    let accepted: Vec<&SignedOp> = log.ops().filter(|op| roster.accepted(&op.id())).collect();
    for demotion in &accepted {
        let OpBody::SetRole { grant, role, .. } = &demotion.op().body else { continue };
        if *role >= Role::Admin {
            continue;
        }
        for op in &accepted {
            let as_admin = matches!(
                op.op().body,
                OpBody::Remove { .. } | OpBody::SetRole { .. } | OpBody::Grant { .. } | OpBody::Invite { .. }
            );
            let by_them = op.op().signers.len() == 1 && op.op().signers[0].grant == *grant;
            let apart = !log.precedes(&op.id(), &demotion.id()) && !log.precedes(&demotion.id(), &op.id());
            let left = matches!(&op.op().body, OpBody::Remove { grant: who, .. } if who == grant);
            assert!(!(as_admin && by_them && apart && !left), "{} by a demoted admin", op.op().body.name());
        }
    }
}

fn check(base: &Log, history: &History<'_>, orders: usize) {
    let roster = resolve(&history.log);
    check_invariants(&history.log, &history.ops.len());
    check_rights(&history.log);
    for other in history.redelivered(base, orders) {
        assert_eq!(resolve(&other), roster, "in another order");
    }
}

/// How far to go.
#[derive(Clone, Copy)]
struct Reach {
    /// Histories of at most so many ops.
    ops: usize,
    /// Each is delivered in at most so many other orders.
    orders: usize,
    part: Part,
}

/// All of it, in every order there is.
fn all(ops: usize) -> Reach {
    Reach { ops, orders: usize::MAX, part: (0, 1) }
}

/// Looks at all histories; answers how many there are of each number of ops.
fn every(world: &World, reach: Reach, tries: Tries<'_>, more: &dyn Fn(&Log)) -> Vec<usize> {
    let mut all = Enumeration::new(&world.log, tries, reach.part);
    all.each(reach.ops, &mut |history| {
        check(&world.log, history, reach.orders);
        more(&history.log);
    });
    all.counts
}

/// Removals by one and by most, and those who were let in again.
fn removals(in_a_row: bool, reach: Reach) -> Vec<usize> {
    let (world, first) = three_admins(in_a_row);
    let tries = |_: &Log, view: &[&SignedOp]| {
        let all = principals(&first, view);
        let mut tries = to_each(&all, remove);
        tries.extend(readmissions(&all, view));
        tries
    };
    every(&world, reach, &tries, &|log| {
        let roster = resolve(log);
        let (accepted, live) = Twin::new(log).resolve(&log.ids().collect());
        let found: BTreeSet<OpId> = log.ids().filter(|id| roster.accepted(id)).collect();
        assert_eq!((found, roster.members().map(|m| m.grant).collect()), (accepted, live), "as the rules say");
    })
}

/// Removals and changes of roles, by one and by most, and those who were let in again.
fn roles(reach: Reach) -> Vec<usize> {
    let (world, first) = three_admins(false);
    let tries = |_: &Log, view: &[&SignedOp]| {
        let all = principals(&first, view);
        let mut tries = to_each(&all, remove);
        tries.extend(to_each(&all, |grant| set_role(grant, Role::Editor)));
        tries.extend(to_each(&all, |grant| set_role(grant, Role::Admin)));
        tries.extend(readmissions(&all, view));
        tries
    };
    every(&world, reach, &tries, &|_| ())
}

/// Devices of one member that certify and remove each other, replace the member's key, and let people in.
fn devices(reach: Reach) -> Vec<usize> {
    let mut world = World::new();
    let founder = world.founder;
    world.add_device(&world.all(), founder, "founder device", "phone");
    let folder = world.log.folder();
    let tries = |_: &Log, view: &[&SignedOp]| {
        let mut ring = vec!["founder member", "founder device", "phone"];
        let added = |name: &str| {
            view.iter().any(|op| matches!(&op.op().body, OpBody::AddDevice { device, .. } if *device == pair(name)))
        };
        ring.extend(added("tablet").then_some("tablet"));
        let mut tries = Vec::new();
        for by in &ring {
            let signs = |body| Try { signers: vec![(founder, secret(by))], body };
            let proof = pair("tablet").prove_device(&secret("tablet"), &folder, &founder);
            tries.push(signs(OpBody::AddDevice { device: pair("tablet"), proof }));
            for gone in &ring[1..] {
                tries.push(signs(OpBody::RemoveDevice { device: secret(gone).public(), cut: vec![] }));
            }
            let guest = person("guest");
            let body = OpBody::Grant { member: guest.member_keys(), device: guest.device_keys(), role: Role::Reader };
            tries.push(signs(body));
        }
        tries.push(Try {
            signers: vec![(founder, secret("founder member"))],
            body: OpBody::KeyUpdate { grant: founder, keys: pair("founder's next") },
        });
        tries
    };
    every(&world, reach, &tries, &|_| ())
}

/// A member's keys are replaced by the member and by a thief, each of whom has the keys before; the founder picks one, and sends the member
/// away; a device is certified by each of the keys.
fn key_updates(reach: Reach) -> Vec<usize> {
    let mut world = World::new();
    let founder = world.founder;
    let bob = world.grant_now(founder, Role::Editor);
    let (name, folder) = (world.people[&bob].name.clone(), world.log.folder());
    let tries = |_: &Log, view: &[&SignedOp]| {
        let keys = ["mine", "the thief's"];
        let updated = |name: &str| {
            view.iter().any(|op| matches!(&op.op().body, OpBody::KeyUpdate { keys, .. } if *keys == pair(name)))
        };
        let mut ring = vec![format!("{name} member"), format!("{name} device")];
        ring.extend(keys.iter().filter(|name| updated(name)).map(|name| (*name).to_owned()));
        let mut tries = Vec::new();
        for by in ring.iter().map(|by| secret(by)) {
            let signs = |body| Try { signers: vec![(bob, by.clone())], body };
            tries.extend(keys.map(|name| signs(OpBody::KeyUpdate { grant: bob, keys: pair(name) })));
            let proof = pair("tablet").prove_device(&secret("tablet"), &folder, &bob);
            tries.push(signs(OpBody::AddDevice { device: pair("tablet"), proof }));
            tries.push(signs(OpBody::RemoveDevice { device: pair("tablet").sig, cut: vec![] }));
        }
        let founders = (founder, world.people[&founder].name.clone());
        tries.extend(keys.map(|name| by_one(&founders, OpBody::KeyUpdate { grant: bob, keys: pair(name) })));
        tries.push(by_one(&founders, remove(bob)));
        tries
    };
    every(&world, reach, &tries, &|_| ())
}

/// One invite, for one or for two, by the junior of two admins; two who join by it; a seeder and both admins who witness, and who close it.
fn invites(uses: u16, reach: Reach) -> Vec<usize> {
    let mut world = World::new();
    let (founder, seeder) = (world.founder, world.seeder(world.founder));
    let admin = world.grant_now(founder, Role::Admin);
    let (invite, seed) = world.invite(&world.all(), admin, Role::Editor, uses);
    let admins = [founder, admin].map(|grant| (grant, world.people[&grant].name.clone()));
    let seeder_key = world.seeders[&seeder].clone();
    let tries = |_: &Log, view: &[&SignedOp]| {
        let mut tries = Vec::new();
        for joiner in ["Ben", "Mallory"] {
            let who = person(joiner);
            let body = OpBody::Join { invite, member: who.member_keys(), device: who.device_keys() };
            tries.push(Try { signers: vec![(invite, secret(&seed)), (OpId::ZERO, who.device)], body });
        }
        for join in view.iter().filter(|op| matches!(op.op().body, OpBody::Join { .. })).map(|op| op.id()) {
            let body = OpBody::Witness { join, at_ms: 5 };
            tries.push(Try { signers: vec![(seeder, seeder_key.clone())], body: body.clone() });
            tries.extend(admins.iter().map(|by| by_one(by, body.clone())));
            tries.push(by_one(&admins[0], remove(join)));
        }
        tries.extend(admins.iter().map(|by| by_one(by, OpBody::CancelInvite { invite, at_ms: 0 })));
        tries.push(by_one(&admins[0], remove(admin)));
        tries.push(by_one(&admins[0], set_role(admin, Role::Editor)));
        tries.push(by_one(&admins[0], OpBody::SeederEnd { seeder }));
        tries
    };
    every(&world, reach, &tries, &|log| {
        let roster = resolve(log);
        let used = roster.invite(&invite).map_or(0, |invite| invite.used);
        assert!(used <= usize::from(uses), "more joined than may");
        let gone = log.ops().any(|op| match &op.op().body {
            OpBody::Remove { grant, .. } => roster.accepted(&op.id()) && is_join(log, grant),
            _ => false,
        });
        assert!(!gone || roster.invites_open().count() == 0, "who was sent away has the code");
    })
}

fn is_join(log: &Log, id: &OpId) -> bool {
    matches!(log.get(id).map(|op| &op.op().body), Some(OpBody::Join { .. }))
}

/// A code that carries no keys, for two; each of two admins approves, sends away, makes a reader of whom the other approved, and sends
/// the other away; the founder does so too.
fn approvals(reach: Reach) -> Vec<usize> {
    let (mut world, admins) = three_admins(false);
    let founder = world.founder;
    let (invite, seed) = world.invite_with(&world.all(), founder, Role::Editor, 2, false);
    let tries = |_: &Log, view: &[&SignedOp]| {
        let who = person("Ben");
        let body = OpBody::Join { invite, member: who.member_keys(), device: who.device_keys() };
        let mut tries = vec![Try { signers: vec![(invite, secret(&seed)), (OpId::ZERO, who.device)], body }];
        for join in view.iter().filter(|op| matches!(op.op().body, OpBody::Join { .. })).map(|op| op.id()) {
            for body in [OpBody::Witness { join, at_ms: 5 }, remove(join), set_role(join, Role::Reader)] {
                tries.extend(admins.iter().map(|by| by_one(by, body.clone())));
            }
        }
        tries.extend(admins[1..].iter().map(|gone| by_one(&admins[0], remove(gone.0))));
        tries.push(by_one(&admins[1], remove(admins[2].0)));
        tries
    };
    every(&world, reach, &tries, &|_| ())
}

/// Removals, those who were let in again, and epochs that each of them starts.
fn epochs(reach: Reach) -> Vec<usize> {
    let (mut world, first) = three_admins(false);
    world.epoch(&world.all(), world.founder);
    let tries = |log: &Log, view: &[&SignedOp]| {
        let all = principals(&first, view);
        let mut tries = to_each(&all, remove);
        tries.extend(readmissions(&all, view));
        let roster = resolve(log);
        let recipients: Vec<_> = roster.recipients_wanted().iter().map(|r| r.key_id).collect();
        for by in &all {
            let id = EpochId(blake3::derive_key("cobox test epoch", format!("{} {}", by.1, view.len()).as_bytes()));
            tries.push(by_one(by, bundle(roster.epoch_tips(log), id, recipients.clone())));
        }
        tries
    };
    every(&world, reach, &tries, &|_| ())
}

#[test]
fn m3_no_history_of_removals_and_returns_among_three_admins_breaks_a_rule() {
    assert_eq!(removals(false, all(4)), [1, 6, 33, 260, 2673]);
    assert_eq!(removals(true, all(4)), [1, 6, 33, 260, 2671]);
}

#[test]
fn m3_no_history_of_removals_roles_and_returns_among_three_admins_breaks_a_rule() {
    assert_eq!(roles(all(3)), [1, 18, 363, 9400]);
}

#[test]
fn m7_no_history_of_a_members_devices_breaks_a_rule() {
    assert_eq!(devices(all(3)), [1, 13, 209, 4237]);
}

#[test]
fn no_history_of_replaced_keys_breaks_a_rule() {
    assert_eq!(key_updates(all(4)), [1, 5, 28, 188, 1501]);
}

#[test]
fn m5_no_history_of_one_invite_breaks_a_rule() {
    assert_eq!(invites(1, all(4)), [1, 7, 57, 596, 8189]);
    assert_eq!(invites(2, all(4)), [1, 7, 57, 602, 8599]);
}

#[test]
fn m6_no_history_of_approvals_breaks_a_rule() {
    assert_eq!(approvals(all(4)), [1, 4, 19, 148, 1802]);
}

#[test]
fn m1_no_history_of_removals_and_epochs_lets_who_is_out_read() {
    assert_eq!(epochs(all(3)), [1, 9, 93, 1256]);
}

/// So many other orders of each history in the long forms, the most different first.
const ORDERS: usize = 2;

/// One half of a long form.
fn half(ops: usize, half: usize) -> Reach {
    Reach { ops, orders: ORDERS, part: (half, 2) }
}

/// What a long form tells `cargo xtask campaign members`.
fn tell(what: &str, counts: &[usize]) {
    println!("histories of {what}: {counts:?}");
}

#[test]
#[ignore = "the long form"]
fn long_removals() {
    tell("removals", &removals(false, all(5)));
    tell("removals in a row", &removals(true, all(5)));
}

#[test]
#[ignore = "the long form"]
fn long_roles_of_four() {
    tell("roles, of four ops", &roles(Reach { orders: ORDERS, ..all(4) }));
}

#[test]
#[ignore = "the long form"]
fn long_roles_0() {
    tell("roles", &roles(half(5, 0)));
}

#[test]
#[ignore = "the long form"]
fn long_roles_1() {
    tell("roles", &roles(half(5, 1)));
}

#[test]
#[ignore = "the long form"]
fn long_devices_0() {
    tell("devices", &devices(half(5, 0)));
}

#[test]
#[ignore = "the long form"]
fn long_devices_1() {
    tell("devices", &devices(half(5, 1)));
}

#[test]
#[ignore = "the long form"]
fn long_invites() {
    tell("an invite for one", &invites(1, Reach { orders: ORDERS, ..all(5) }));
    tell("an invite for two", &invites(2, Reach { orders: ORDERS, ..all(5) }));
}

#[test]
#[ignore = "the long form"]
fn long_key_updates() {
    tell("key updates", &key_updates(Reach { orders: ORDERS, ..all(5) }));
}

#[test]
#[ignore = "the long form"]
fn long_approvals() {
    tell("approvals", &approvals(Reach { orders: ORDERS, ..all(6) }));
}

#[test]
#[ignore = "the long form"]
fn long_epochs() {
    tell("epochs", &epochs(Reach { orders: ORDERS, ..all(5) }));
}
