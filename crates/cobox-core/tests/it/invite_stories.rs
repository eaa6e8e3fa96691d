//! Inviting and joining.

use cobox_core::keys::RootSecret;
use cobox_core::members::{
    Author, InviteCode, InviteError, InviteRandom, InviteText, JOIN_WORDS, RemovalError, Terms, approve_join, invite,
    invited_name, join, join_waiting, join_words, joiner_name, open_label, propose, refuse_join, repair_grants,
    seeder_grant, waiting_joins, witness,
};
use cobox_proto::codec::Canonical;
use cobox_proto::id::{FolderId, Hash, OpId};
use cobox_proto::members::{KeyPair, Op, OpBody, Policy, Retention, Role};
use cobox_proto::sign::SecretKey;
use cobox_proto::text::TextError;

use crate::cast::{Folder, Person};

#[test]
fn bob_joins_and_reads_with_nobody_but_a_seeder_online() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    let seeder = SecretKey::from_seed(&[80; 32]);
    let hired =
        seeder_grant(&folder.log, alice.author(), seeder.public(), Hash([5; 32]), 1 << 30, Retention::default(), 50)
            .unwrap();
    let hired_id = hired.id();
    assert!(folder.add(hired));
    let code = folder.invites(&alice, true);

    // From here on Alice is asleep. The code travels as a text.
    let Ok(InviteText::Code(code)) = code.to_text().parse() else { panic!("the code reads back") };
    bob.keys = folder.opens(&[&code.secret().hpke], None).keys;
    let epoch = folder.roster().writable_epoch().unwrap().tag();
    let label = cobox_core::members::Label { keys: bob.keys(), epoch, text: "Bob" };
    let op = join(&folder.log, &code, &bob.slot, &bob.device, Some(label)).unwrap();
    bob.grant = op.id();
    assert_eq!(open_label(alice.keys(), op.op()), Ok(Some("Bob".to_owned())));
    folder.add(op);
    assert!(!folder.roster().can_write(&bob.device.sig.public()));
    let seen = Author { grant: hired_id, key: &seeder };
    let op = witness(&folder.log, seen, bob.grant, 999).unwrap();
    assert!(folder.add(op));
    assert!(folder.roster().can_write(&bob.device.sig.public()));
    assert_eq!(*bob.keys().to_storage(), *alice.keys().to_storage());
}

#[test]
fn a_code_without_keys_lets_bob_in_but_not_read_until_somebody_grants() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    folder.does(&alice, OpBody::Policy { policy: Policy { approve_joins: true, ..Policy::default() } });
    let code = folder.invites(&alice, false);
    folder.joins(&mut bob, &code, "Bob", &alice);
    assert!(bob.keys.is_none());
    let epoch = folder.rotates(&mut alice);
    folder.refreshes(&mut bob);
    assert!(bob.keys().has_epoch(&epoch.id.tag()));
    assert_eq!(bob.keys().epochs().count(), 2, "the epoch before comes by its history");
}

#[test]
fn m6_who_waits_shows_six_words_that_no_interceptor_has_and_reads_nothing() {
    let (mut alice, mut bob, mut eve) = (Person::new(1), Person::new(2), Person::new(3));
    let mut folder = Folder::founded_by(&mut alice);
    let code = folder.invites(&alice, false);
    assert!(folder.opens(&[&code.secret().hpke], None).keys.is_none(), "the code opens nothing");
    let mut asks = |who: &mut Person, name: &str| {
        let op = join_waiting(&folder.log, &code, &who.slot, &who.device, name).unwrap();
        who.grant = op.id();
        let words = join_words(&folder.log.folder(), op.op()).unwrap();
        assert!(!folder.add(op));
        words
    };
    // Somebody read the mail and was first.
    let (eves, bobs) = (asks(&mut eve, "Bob"), asks(&mut bob, "Bob"));
    assert_ne!(eves, bobs);
    assert_eq!(bobs.split(' ').count(), JOIN_WORDS);
    let roster = folder.roster();
    let seat = alice.seat(&folder, &roster);
    let waiting = waiting_joins(&seat, 5);
    let said: Vec<(&str, Option<&str>)> = waiting.iter().map(|w| (w.words.as_str(), w.name.as_deref())).collect();
    assert_eq!(said, [(eves.as_str(), Some("Bob")), (bobs.as_str(), Some("Bob"))], "only the words tell them apart");
    assert_eq!(invited_name(alice.keys(), folder.log.get(&code.invite).unwrap().op()), Some("Choir".into()));
    let change = approve_join(&seat, bob.grant, 5, &[9; 64]).unwrap();
    assert_eq!(approve_join(&seat, alice.grant, 5, &[9; 64]).unwrap_err(), RemovalError::NoTarget);
    for op in change.deed.ops {
        assert!(folder.add(op));
    }
    assert!(folder.roster().can_write(&bob.device.sig.public()));
    assert!(!folder.roster().is_reader(&eve.device.sig.public()));
    let roster = folder.roster();
    let missing: Vec<OpId> = roster.missing_grants().iter().map(|missing| missing.recipient.member).collect();
    assert_eq!(missing, [bob.grant, bob.grant], "keys are due to Bob's device and words alone");
    let granted = repair_grants(&folder.log, &roster, alice.keys(), alice.author(), &[8; 32]).unwrap();
    for given in granted {
        assert!(folder.add(given.op));
        folder.envelopes.push(given.envelope);
    }
    folder.refreshes(&mut bob);
    folder.refreshes(&mut eve);
    assert!(bob.keys.is_some() && eve.keys.is_none());
    assert_eq!(
        joiner_name(bob.keys(), folder.log.get(&code.invite).unwrap().op(), folder.log.get(&bob.grant).unwrap().op()),
        Some("Bob".into())
    );
}

#[test]
fn m6_a_refusal_closes_the_code_for_all_who_wait_by_it() {
    let (mut alice, bob, eve) = (Person::new(1), Person::new(2), Person::new(3));
    let mut folder = Folder::founded_by(&mut alice);
    let code = folder.invites(&alice, false);
    let mut joins = Vec::new();
    for who in [&bob, &eve] {
        let op = join_waiting(&folder.log, &code, &who.slot, &who.device, "Bob").unwrap();
        joins.push(op.id());
        folder.add(op);
    }
    let before = folder.roster();
    let seat = alice.seat(&folder, &before);
    let change = refuse_join(&seat, joins[1], 5, &[9; 64]).unwrap();
    assert_eq!(change.closed_invites, [code.invite]);
    assert!(change.deed.keys.is_none(), "nobody had keys: none are changed");
    for op in change.deed.ops {
        assert!(folder.add(op));
    }
    let roster = folder.roster();
    let seat = alice.seat(&folder, &roster);
    assert!(waiting_joins(&seat, 5).is_empty());
    assert_eq!(approve_join(&seat, joins[0], 5, &[9; 64]).unwrap_err(), RemovalError::NoTarget);
}

#[test]
fn m6_words_cover_the_folder_the_invite_and_every_key() {
    let (mut alice, bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    let code = folder.invites(&alice, false);
    let op = join_waiting(&folder.log, &code, &bob.slot, &bob.device, "Bob").unwrap();
    let words = |op: &Op| join_words(&folder.log.folder(), op).unwrap();
    let op = op.op();
    let mut all = vec![words(op), join_words(&FolderId([1; 32]), op).unwrap()];
    let OpBody::Join { invite, member, device } = &op.body else { panic!("a join") };
    let (invite, member, device, other) = (*invite, member.clone(), device.clone(), Person::new(4).slot.public());
    let other = |f: fn(&KeyPair, &KeyPair) -> KeyPair, keys: &KeyPair| f(keys, &other);
    let signs = |keys: &KeyPair, other: &KeyPair| KeyPair { sig: other.sig, hpke: keys.hpke.clone() };
    let opens = |keys: &KeyPair, other: &KeyPair| KeyPair { sig: keys.sig, hpke: other.hpke.clone() };
    for body in [
        OpBody::Join { invite: OpId([1; 32]), member: member.clone(), device: device.clone() },
        OpBody::Join { invite, member: other(signs, &member), device: device.clone() },
        OpBody::Join { invite, member: other(opens, &member), device: device.clone() },
        OpBody::Join { invite, member: member.clone(), device: other(signs, &device) },
        OpBody::Join { invite, member: member.clone(), device: other(opens, &device) },
        OpBody::Join { invite, member: device, device: member },
    ] {
        all.push(words(&Op { body, ..op.clone() }));
    }
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "{all:?}");
    assert_eq!(words(&Op { sealed: vec![], deps: vec![], ..op.clone() }), words(op), "and nothing else");
    assert_eq!(join_words(&folder.log.folder(), folder.log.get(&code.invite).unwrap().op()), None);
}

#[test]
fn an_epoch_started_while_an_invite_is_open_is_for_its_holder_too() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    let code = folder.invites(&alice, true);
    let epoch = folder.rotates(&mut alice);
    folder.joins(&mut bob, &code, "Bob", &alice);
    assert!(bob.keys().has_epoch(&epoch.id.tag()));
}

#[test]
fn a_late_or_second_join_and_one_by_a_closed_invite_do_not_stand() {
    let (mut alice, mut bob, mallory) = (Person::new(1), Person::new(2), Person::new(3));
    let mut folder = Folder::founded_by(&mut alice);
    let code = folder.invites(&alice, true);
    let late = join(&folder.log, &code, &bob.slot, &bob.device, None).unwrap();
    let id = late.id();
    let mut elsewhere = folder.log.clone();
    elsewhere.add(late).unwrap();
    let op = witness(&elsewhere, alice.author(), id, 1001).unwrap();
    elsewhere.add(op).unwrap();
    assert!(!cobox_proto::members::resolve(&elsewhere).accepted(&id), "the invite had expired");

    folder.joins(&mut bob, &code, "Bob", &alice);
    let second = join(&folder.log, &code, &mallory.slot, &mallory.device, None).unwrap();
    let id = second.id();
    folder.add(second);
    let op = witness(&folder.log, alice.author(), id, 500).unwrap();
    assert!(!folder.add(op), "the invite was for one");

    let code = folder.invites(&alice, true);
    folder.does(&alice, OpBody::CancelInvite { invite: code.invite, at_ms: 10 });
    let third = join(&folder.log, &code, &mallory.slot, &mallory.device, None).unwrap();
    let id = third.id();
    folder.add(third);
    let op = witness(&folder.log, alice.author(), id, 500).unwrap();
    assert!(!folder.add(op), "the invite was cancelled");
    assert_eq!(folder.roster().writable_epoch(), None, "who held the code had the keys: they must change");
}

#[test]
fn a_code_fits_its_own_folder_only() {
    let (mut alice, mut mallory, bob) = (Person::new(1), Person::new(3), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    let other = Folder::founded_by(&mut mallory);
    let early = folder.log.clone();
    let code = folder.invites(&alice, true);
    let wrong = |log| join(log, &code, &bob.slot, &bob.device, None).map(|_| ());
    assert_eq!(wrong(&other.log), Err(InviteError::OtherFolder));
    assert_eq!(wrong(&early), Err(InviteError::OtherFolder));
    assert_eq!(wrong(&folder.log), Ok(()));
}

#[test]
fn a_sealed_code_is_for_one_person() {
    let (mut alice, bob, mallory) = (Person::new(1), Person::new(2), Person::new(3));
    let mut folder = Folder::founded_by(&mut alice);
    let code = folder.invites(&alice, true);
    let text = code.seal_to(&bob.root.contact().public(), &[9; 32]).unwrap();
    let Ok(InviteText::Sealed(sealed)) = text.parse() else { panic!("a sealed code") };
    assert_eq!(sealed.open(&bob.root.contact()), Ok(code.clone()));
    assert_eq!(sealed.open(&mallory.root.contact()), Err(InviteError::NotForYou));
    let mut bad = bob.root.contact().public();
    bad.x25519 = [0; 32];
    assert_eq!(code.seal_to(&bad, &[9; 32]), Err(InviteError::BadKey));
}

#[test]
fn i1_i7_every_cut_and_every_changed_letter_of_a_code_is_pointed_out() {
    let mut alice = Person::new(1);
    let mut folder = Folder::founded_by(&mut alice);
    let code = folder.invites(&alice, true);
    let contact = RootSecret::from_entropy([2; 16]).contact().public();
    for text in [code.to_text().to_string(), code.seal_to(&contact, &[9; 32]).unwrap()] {
        let read: InviteText = text.parse().unwrap();
        let mailed = format!("> {}\r\n> {}=\r\n", &text[..50].to_uppercase(), &text[50..]);
        assert_eq!(mailed.replace("CBI1", "CBI1 ").parse(), Ok(read));
        for cut in 0..text.len() {
            assert!(text[..cut].parse::<InviteText>().is_err(), "cut at {cut}");
        }
        for at in 4..text.len() {
            for letter in ['a', 'k', '5'] {
                let mut letters: Vec<char> = text.chars().collect();
                if std::mem::replace(&mut letters[at], letter) == letter {
                    continue;
                }
                let changed: String = letters.into_iter().collect();
                let damaged = InviteError::Text(TextError::Damaged { kind: "invite code" });
                assert_eq!(changed.parse::<InviteText>(), Err(damaged), "letter {at}");
            }
        }
    }
    let key = contact.to_string().parse::<InviteText>();
    let other = TextError::Other { found: "CoBox key", expected: "invite code" };
    assert_eq!(key, Err(InviteError::Text(other)));
}

#[test]
fn i2_changed_bytes_of_a_code_are_refused_or_are_another_code() {
    let mut alice = Person::new(1);
    let mut folder = Folder::founded_by(&mut alice);
    let mut code = folder.invites(&alice, true);
    code.tickets = vec![vec![1, 2, 3], vec![]];
    let bytes = code.to_bytes();
    let mut refused = 0;
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        match InviteCode::from_bytes(&changed) {
            Ok(other) => assert!(other != code && other.to_bytes() == changed, "bit {bit}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 8, "version and lengths are checked");
}

#[test]
fn i1_no_flipped_bit_of_a_code_lets_anybody_in() {
    let (mut alice, bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    let mut code = folder.invites(&alice, true);
    code.tickets = vec![vec![1, 2, 3]];
    let bytes = code.to_bytes();
    let (mut refused, mut elsewhere, mut void, mut other_place) = (0, 0, 0, 0);
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let Ok(other) = InviteCode::from_bytes(&changed) else {
            refused += 1;
            continue;
        };
        assert_eq!(
            folder.opens(&[&other.secret().hpke], None).keys.is_some(),
            other.secret().hpke.public() == code.secret().hpke.public(),
            "bit {bit}"
        );
        match join(&folder.log, &other, &bob.slot, &bob.device, None) {
            Err(why) => {
                assert_eq!(why, InviteError::OtherFolder, "bit {bit}");
                elsewhere += 1;
            }
            Ok(op) if op.op().signers[0].key == code.secret().sig.public() => {
                assert_eq!((other.folder, other.invite), (code.folder, code.invite), "bit {bit}");
                other_place += 1;
            }
            Ok(op) => {
                let (id, mut log) = (op.id(), folder.log.clone());
                log.add(op).unwrap();
                let op = witness(&log, alice.author(), id, 500).unwrap();
                log.add(op).unwrap();
                assert_eq!(cobox_proto::members::resolve(&log).members().count(), 1, "bit {bit}");
                void += 1;
            }
        }
    }
    assert!(refused > 8 && elsewhere == 512 && void == 128 && other_place > 8);
}

#[test]
fn a_code_prints_as_nothing_and_holds_few_tickets() {
    let mut alice = Person::new(1);
    let mut folder = Folder::founded_by(&mut alice);
    let code = folder.invites(&alice, true);
    assert_eq!(format!("{code:?}"), format!("InviteCode({})", code.folder.short()));
    let terms = Terms { role: Role::Reader, max_uses: 1, expires_ms: 1, grant: false };
    let random = InviteRandom { seed: [1; 16], encapsulation: [2; 32] };
    for tickets in [vec![vec![]; 4], vec![vec![0; 1025]]] {
        let made = invite(&folder.log, &folder.roster(), alice.keys(), alice.author(), terms, tickets, &random);
        assert!(matches!(made, Err(InviteError::TooManyTickets)));
    }
    let owner = Terms { role: Role::Owner, ..terms };
    let made = invite(&folder.log, &folder.roster(), alice.keys(), alice.author(), owner, vec![], &random);
    assert!(matches!(made, Err(InviteError::Op(_))), "nobody becomes owner by a code");
}

#[test]
fn ops_by_somebody_outside_do_not_stand() {
    let (mut alice, mut mallory) = (Person::new(1), Person::new(3));
    let mut folder = Folder::founded_by(&mut alice);
    mallory.grant = OpId(folder.log.folder().0);
    let body = OpBody::Grant { member: mallory.slot.public(), device: mallory.device.public(), role: Role::Owner };
    let op = propose(&folder.log, mallory.author(), body).unwrap();
    assert!(!folder.add(op));
}
