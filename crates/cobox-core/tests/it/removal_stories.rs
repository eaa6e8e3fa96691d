//! Sending people and devices away, and what devices do for their folder unasked.

use cobox_core::keys::DeviceSecret;
use cobox_core::members::{
    Author, Deed, Duty, EPOCH_AGE_MS_MAX, EXPIRED_INVITE_STAYS_MS, Moment, RemovalError, add_device, cancel_invite,
    device_proof, duty, rekey, remove_device, remove_member, set_role,
};
use cobox_proto::id::HeadId;
use cobox_proto::members::{OpBody, Role, Void};

use crate::cast::{Folder, Person};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Alice's folder with somebody more; each has the keys.
fn folder_of(roles: &[Role]) -> (Folder, Person, Vec<Person>) {
    let mut alice = Person::new(1);
    let mut folder = Folder::founded_by(&mut alice);
    let mut others = Vec::new();
    for (n, role) in roles.iter().enumerate() {
        let mut person = Person::new(2 + n as u8);
        let body = OpBody::Grant { member: person.slot.public(), device: person.device.public(), role: *role };
        person.grant = folder.does(&alice, body);
        others.push(person);
    }
    folder.rotates(&mut alice);
    others.iter_mut().for_each(|person| folder.refreshes(person));
    (folder, alice, others)
}

fn at(now_ms: u64) -> Moment {
    Moment { now_ms, epochless_since_ms: None, epoch_since_ms: None, random: [77; 64] }
}

/// What somebody has to do now.
fn due(folder: &Folder, who: &Person, moment: Moment) -> Duty {
    duty(&who.seat(folder, &folder.roster()), &moment).unwrap()
}

impl Folder {
    /// Somebody carries out what was decided; all of it must stand.
    #[track_caller]
    fn carries_out(&mut self, who: &mut Person, deed: Deed) {
        for op in deed.ops {
            let name = op.op().body.name();
            assert!(self.add(op), "the {name} must stand");
        }
        self.envelopes.extend(deed.envelopes.into_iter().flat_map(|sent| sent.envelopes));
        who.keys = deed.keys.or(who.keys.take());
    }
}

fn kinds(deed: &Deed) -> Vec<&'static str> {
    deed.ops.iter().map(|op| op.op().body.name()).collect()
}

#[test]
fn m1_a_removal_brings_its_epoch_along() {
    let (mut folder, mut alice, mut others) = folder_of(&[Role::Editor, Role::Editor]);
    let [bob, carol] = &mut others[..] else { unreachable!() };
    let before = folder.roster().writable_epoch();
    let cut = vec![HeadId([7; 32])];
    let change = remove_member(&alice.seat(&folder, &folder.roster()), bob.grant, cut.clone(), &[50; 64]).unwrap();
    assert_eq!(kinds(&change.deed), ["remove", "epoch_bundle"]);
    assert_eq!(change.gone, [bob.grant]);
    assert!(folder.roster().member(&bob.grant).is_some(), "so far it is a preview");
    folder.carries_out(&mut alice, change.deed);

    let roster = folder.roster();
    assert_eq!(roster.removals_of(&bob.device.public().sig)[0].cut, cut);
    let now = roster.writable_epoch().expect("nobody has to wait for it");
    assert_ne!(Some(now), before);
    folder.refreshes(bob);
    folder.refreshes(carol);
    assert!(!bob.keys().has_epoch(&now.tag()) && carol.keys().has_epoch(&now.tag()));
    assert!(due(&folder, carol, at(1)).deed.is_none(), "nothing is left to do");
}

#[test]
fn m3_who_may_send_away_whom() {
    let (folder, alice, others) = folder_of(&[Role::Admin, Role::Admin, Role::Editor, Role::Reader]);
    let [bob, carol, dan, eve] = &others[..] else { unreachable!() };
    let tries = |who: &Person, whom: &Person| {
        let change = remove_member(&who.seat(&folder, &folder.roster()), whom.grant, vec![], &[50; 64]);
        change.map(|change| kinds(&change.deed))
    };
    let may = Ok(vec!["remove", "epoch_bundle"]);
    assert_eq!(tries(&alice, bob), may);
    assert_eq!(tries(bob, carol), may, "Bob was there before");
    assert_eq!(tries(carol, dan), may);
    assert_eq!(tries(carol, bob), Err(RemovalError::Refused(Void::NotSenior)));
    assert_eq!(tries(bob, &alice), Err(RemovalError::Refused(Void::NotSenior)));
    assert_eq!(tries(bob, bob), Err(RemovalError::Refused(Void::NotSenior)), "admins do not go by themselves");
    assert_eq!(tries(dan, eve), Err(RemovalError::Refused(Void::RoleTooLow)));
    assert_eq!(tries(eve, eve), Ok(vec!["remove"]), "a reader goes by herself, and another starts the epoch");
    let stranger = Person::new(99);
    assert_eq!(tries(&stranger, dan), Err(RemovalError::NotMember));
    assert_eq!(tries(&alice, &stranger), Err(RemovalError::NoTarget));
}

/// Bob, an admin, sends Carol away, an admin who came after him, while she sends Dan away. Both orders, and whoever hears of both.
#[test]
fn m3_what_the_junior_of_two_admins_did_unseen_is_void_in_every_order() {
    let (folder, _, others) = folder_of(&[Role::Admin, Role::Admin, Role::Editor]);
    let [bob, carol, dan] = &others[..] else { unreachable!() };
    let removes = |who: &Person, whom: &Person, random: u8| {
        remove_member(&who.seat(&folder, &folder.roster()), whom.grant, vec![], &[random; 64]).unwrap().deed
    };
    let (bobs, carols) = (removes(bob, carol, 50), removes(carol, dan, 51));
    let rosters = [[&bobs, &carols], [&carols, &bobs]].map(|order| {
        let mut log = folder.log.clone();
        for op in order.into_iter().flat_map(|deed| &deed.ops) {
            log.add(op.clone()).unwrap();
        }
        cobox_proto::members::resolve(&log)
    });
    assert_eq!(rosters[0], rosters[1]);
    assert!(rosters[0].member(&carol.grant).is_none() && rosters[0].member(&dan.grant).is_some());
    assert!(rosters[0].members().any(|member| member.role >= Role::Admin));
}

/// Each of two removals leaves out its own victim and is sealed to the other's.
#[test]
fn m3_after_two_removals_at_once_somebody_starts_an_epoch_unasked() {
    let (mut folder, alice, others) = folder_of(&[Role::Admin, Role::Editor, Role::Editor, Role::Editor, Role::Reader]);
    let [bob, carol, dan, eve, finn] = &others[..] else { unreachable!() };
    let removes = |who: &Person, whom: &Person, random: u8| {
        remove_member(&who.seat(&folder, &folder.roster()), whom.grant, vec![], &[random; 64]).unwrap().deed
    };
    for deed in [removes(&alice, carol, 50), removes(bob, dan, 51)] {
        for op in deed.ops {
            folder.log.add(op).unwrap();
        }
        folder.envelopes.extend(deed.envelopes.into_iter().flat_map(|sent| sent.envelopes));
    }
    assert_eq!(folder.roster().writable_epoch(), None);
    let mut eve = Person { keys: eve.keys.clone(), grant: eve.grant, ..Person::new(5) };
    folder.refreshes(&mut eve);

    let unasked = |who: &Person, now_ms| due(&folder, who, Moment { epochless_since_ms: Some(1_000), ..at(now_ms) });
    let waits: Vec<u64> = [&alice, bob, &eve].iter().filter_map(|who| unasked(who, 1_000).again_ms).collect();
    assert!(waits.len() == 3 && waits.iter().all(|at_ms| (2_000..6_000).contains(at_ms)), "{waits:?}");
    assert!(waits[0] != waits[1] && waits[1] != waits[2], "not all at once: {waits:?}");
    assert!(unasked(finn, 1 << 40).deed.is_none(), "who may only read does not");
    assert!(unasked(carol, 1 << 40).deed.is_none(), "nor who was sent away");

    let deed = unasked(&eve, waits[2]).deed.expect("it is time");
    assert_eq!(kinds(&deed), ["epoch_bundle"]);
    folder.carries_out(&mut eve, deed);
    let now = folder.roster().writable_epoch().unwrap().tag();
    for (who, reads) in [(&alice, true), (bob, true), (finn, true), (carol, false), (dan, false)] {
        let opened = folder.opens(&[&who.device.hpke, &who.slot.hpke], who.keys.clone()).keys.unwrap();
        assert_eq!(opened.has_epoch(&now), reads);
    }
}

#[test]
fn m5_an_invite_that_was_cancelled_or_expired_gets_no_more_keys() {
    let (mut folder, mut alice, mut others) = folder_of(&[Role::Editor, Role::Reader]);
    let [bob, carol] = &mut others[..] else { unreachable!() };
    let code = folder.invites(&alice, true);
    folder.rotates(&mut alice);
    folder.refreshes(bob);
    let opened = |folder: &Folder| {
        let opened = folder.opens(&[&code.secret().hpke], None).keys;
        let now = folder.roster().writable_epoch();
        opened.zip(now).is_some_and(|(keys, now)| keys.has_epoch(&now.tag()))
    };
    assert!(opened(&folder), "it is open");

    // It expires at 1000. Nobody closes it early, nobody who may only read does, and an editor does it for all.
    let expired_ms = 1_000 + EXPIRED_INVITE_STAYS_MS;
    let waits = due(&folder, bob, at(expired_ms - 1));
    assert!(waits.deed.is_none() && waits.again_ms.is_some_and(|at_ms| at_ms <= expired_ms + EXPIRED_INVITE_STAYS_MS));
    assert!(due(&folder, carol, at(1 << 40)).deed.is_none());
    let deed = due(&folder, bob, at(waits.again_ms.unwrap())).deed.unwrap();
    assert_eq!(kinds(&deed), ["cancel_invite"]);
    folder.carries_out(bob, deed);
    let late = Moment { epochless_since_ms: Some(0), ..at(1 << 40) };
    let deed = due(&folder, bob, late).deed.unwrap();
    assert_eq!(kinds(&deed), ["epoch_bundle"]);
    folder.carries_out(bob, deed);
    assert!(!opened(&folder));

    // And a person can do it at any time.
    folder.refreshes(&mut alice);
    let code = folder.invites(&alice, true);
    let roster = folder.roster();
    let change = cancel_invite(&alice.seat(&folder, &roster), code.invite, 5, &[60; 64]).unwrap();
    assert_eq!(
        (kinds(&change.deed), change.closed_invites),
        (vec!["cancel_invite", "epoch_bundle"], vec![code.invite])
    );
    folder.carries_out(&mut alice, change.deed);
    let again = cancel_invite(&alice.seat(&folder, &folder.roster()), code.invite, 6, &[61; 64]);
    assert_eq!(again.unwrap_err(), RemovalError::NoTarget);
}

#[test]
fn m11_after_a_quarter_an_admin_starts_a_new_epoch_and_a_year_later_all_is_read() {
    let (mut folder, mut alice, mut others) = folder_of(&[Role::Editor]);
    let bob = &mut others[0];
    let mut since_ms = 0;
    let mut epochs = vec![folder.roster().writable_epoch().unwrap()];
    let young = due(&folder, &alice, at(5));
    assert!(
        young.deed.is_none() && young.again_ms == Some(5 + DAY_MS),
        "it has no age before somebody writes under it"
    );
    assert_eq!(due(&folder, bob, at(5)).again_ms, None);
    for _ in 0..4 {
        let aged = |now_ms| Moment { epoch_since_ms: Some(since_ms), ..at(now_ms) };
        assert!(due(&folder, &alice, aged(since_ms + EPOCH_AGE_MS_MAX - 1)).deed.is_none());
        let now_ms = since_ms + EPOCH_AGE_MS_MAX + DAY_MS;
        assert!(due(&folder, bob, aged(now_ms)).deed.is_none(), "editors do not");
        let mut moment = aged(now_ms);
        moment.random = folder.random();
        let deed = due(&folder, &alice, moment).deed.unwrap();
        folder.carries_out(&mut alice, deed);
        epochs.push(folder.roster().writable_epoch().unwrap());
        since_ms = now_ms;
    }
    // Bob was away all the while.
    folder.refreshes(bob);
    assert!(epochs.iter().all(|epoch| bob.keys().has_epoch(&epoch.tag())));
    assert_eq!(*bob.keys().to_storage(), *alice.keys().to_storage());
}

#[test]
fn m7_a_lost_laptop_is_sent_away_from_another_device_without_an_admin() {
    let (mut folder, _, mut others) = folder_of(&[Role::Editor]);
    let bob = &mut others[0];
    let laptop = DeviceSecret::from_seed(&[40; 32]);
    let id = folder.log.folder();
    let proof = device_proof(&laptop, &id, &bob.grant);
    let op = add_device(&folder.log, bob.author(), laptop.public(), proof).unwrap();
    assert!(folder.add(op));
    let deed = due(&folder, bob, at(1)).deed.expect("the laptop lacks the keys");
    folder.carries_out(bob, deed);
    assert!(folder.opens(&[&laptop.hpke], None).keys.is_some());

    let roster = folder.roster();
    let change = remove_device(&bob.seat(&folder, &roster), laptop.sig.public(), vec![], &[50; 64]).unwrap();
    assert_eq!(kinds(&change.deed), ["remove_device", "epoch_bundle"]);
    folder.carries_out(bob, change.deed);
    let now = folder.roster().writable_epoch().unwrap().tag();
    assert!(!folder.opens(&[&laptop.hpke], None).keys.unwrap().has_epoch(&now));
    assert!(folder.roster().can_write(&bob.device.sig.public()));

    // Nor can it send the other away now.
    let author = Author { grant: bob.grant, key: &laptop.sig };
    assert!(
        !folder.add(
            cobox_core::members::propose(
                &folder.log,
                author,
                OpBody::RemoveDevice { device: bob.device.sig.public(), cut: vec![] }
            )
            .unwrap()
        )
    );
}

#[test]
fn m8_a_demotion_carries_its_cut_and_changes_no_keys() {
    let (folder, alice, others) = folder_of(&[Role::Editor]);
    let roster = folder.roster();
    let place = alice.seat(&folder, &roster);
    let cut = vec![HeadId([7; 32])];
    let change = set_role(&place, others[0].grant, Role::Reader, cut.clone(), &[50; 64]).unwrap();
    assert_eq!(kinds(&change.deed), ["set_role"]);
    let OpBody::SetRole { cut: told, .. } = &change.deed.ops[0].op().body else { unreachable!() };
    assert_eq!(*told, cut);
    let same = set_role(&place, others[0].grant, Role::Editor, cut.clone(), &[50; 64]);
    assert_eq!(same.unwrap_err(), RemovalError::SameRole);
    let up = set_role(&place, others[0].grant, Role::Admin, cut, &[50; 64]).unwrap();
    let OpBody::SetRole { cut, .. } = &up.deed.ops[0].op().body else { unreachable!() };
    assert!(cut.is_empty(), "who rises loses nothing");
}

#[test]
fn m1_an_admin_may_start_a_new_epoch_at_any_time_and_an_editor_may_not() {
    let (mut folder, mut alice, others) = folder_of(&[Role::Editor]);
    let before = folder.roster().writable_epoch();
    let refused = rekey(&others[0].seat(&folder, &folder.roster()), &[50; 64]);
    assert_eq!(refused.unwrap_err(), RemovalError::Refused(Void::RoleTooLow));
    let change = rekey(&alice.seat(&folder, &folder.roster()), &[51; 64]).unwrap();
    folder.carries_out(&mut alice, change.deed);
    assert_ne!(folder.roster().writable_epoch(), before);
}
