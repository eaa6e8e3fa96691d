//! Somebody who was sent away and kept everything: keys, codes, old state, a copy of all that a seeder has, and a clock of their own.

use cobox_core::keys::{DeviceSecret, FolderKeys, HpkeSecret, Profile};
use cobox_core::members::{
    Deed, InviteCode, InviteRandom, Moment, Terms, add_device, device_proof, duty, invite, join, mint_epoch, propose,
    remove_member, seeder_grant, witness,
};
use cobox_core::seal::BlockKind;
use cobox_proto::id::Hash;
use cobox_proto::members::{Envelope, Log, OpBody, Retention, Role, SignedOp, resolve};
use cobox_proto::sign::SecretKey;

use crate::cast::{Folder, Person};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// All that lies at a seeder which loses nothing.
struct Store {
    blocks: Vec<Vec<u8>>,
}

impl Store {
    /// Somebody writes content and a note under what is written under now.
    fn takes(&mut self, folder: &Folder, from: &Person, text: &str) {
        let epoch = folder.roster().writable_epoch().expect("there is an epoch").tag();
        for kind in [BlockKind::Chunk, BlockKind::Node] {
            self.blocks.push(from.keys().seal_block(&epoch, kind, &[], text.as_bytes()).unwrap().bytes);
        }
    }

    /// How many of the blocks somebody reads.
    fn read_by(&self, keys: &FolderKeys) -> usize {
        self.blocks.iter().filter(|block| keys.open_block(block).is_ok()).count()
    }
}

fn invites(folder: &mut Folder, who: &Person, max_uses: u16) -> InviteCode {
    let terms = Terms { role: Role::Editor, max_uses, expires_ms: 1000, grant: true };
    let random = InviteRandom { seed: folder.random(), encapsulation: folder.random() };
    let made = invite(&folder.log, &folder.roster(), who.keys(), who.author(), terms, vec![], &random).unwrap();
    made.ops.into_iter().for_each(|op| assert!(folder.add(op)));
    folder.envelopes.extend(made.envelopes);
    made.code
}

fn carry_out(folder: &mut Folder, who: &mut Person, deed: Deed) {
    deed.ops.into_iter().for_each(|op| assert!(folder.add(op)));
    folder.envelopes.extend(deed.envelopes.into_iter().flat_map(|sent| sent.envelopes));
    who.keys = deed.keys.or(who.keys.take());
}

/// Mallory's world: the log as it was before she was sent away, to which she adds what she likes, dated as she likes.
struct Past {
    log: Log,
    envelopes: Vec<Envelope>,
    ops: Vec<SignedOp>,
}

impl Past {
    fn add(&mut self, op: SignedOp) {
        self.log.add(op.clone()).unwrap();
        self.ops.push(op);
    }
}

#[test]
fn m1_an_admin_who_kept_every_secret_code_and_copy_reads_nothing_written_after_she_was_sent_away() {
    let (mut alice, mut bob, mut mallory) = (Person::new(1), Person::new(2), Person::new(3));
    let mut folder = Folder::founded_by(&mut alice);
    let seeder = SecretKey::from_seed(&[80; 32]);
    let hired = {
        let (by, key) = (alice.author(), seeder.public());
        seeder_grant(&folder.log, by, key, Hash([5; 32]), 1 << 30, Retention::default(), 50).unwrap()
    };
    let hired_id = hired.id();
    assert!(folder.add(hired));
    let body = OpBody::Grant { member: bob.slot.public(), device: bob.device.public(), role: Role::Editor };
    bob.grant = folder.does(&alice, body);
    // She came by a code that is good for more, has one of her own that nobody used and one that was closed, and a tablet.
    let came_by = invites(&mut folder, &alice, 5);
    folder.joins(&mut mallory, &came_by, "Mallory", &alice);
    folder.does(&alice, OpBody::SetRole { grant: mallory.grant, role: Role::Admin, cut: vec![] });
    let (own, closed) = (invites(&mut folder, &mallory, 3), invites(&mut folder, &mallory, 1));
    folder.does(&mallory, OpBody::CancelInvite { invite: closed.invite, at_ms: 5 });
    let tablet = DeviceSecret::from_seed(&[33; 32]);
    let proof = device_proof(&tablet, &folder.log.folder(), &mallory.grant);
    let op = add_device(&folder.log, mallory.author(), tablet.public(), proof).unwrap();
    assert!(folder.add(op));
    folder.rotates(&mut alice);
    folder.refreshes(&mut bob);
    let mut store = Store { blocks: vec![] };
    store.takes(&folder, &alice, "for all three");
    let old = store.blocks.len();
    let mut past = Past { log: folder.log.clone(), envelopes: folder.envelopes.clone(), ops: vec![] };

    // Alice sends her away. Nothing that Mallory does from then on is dated after it.
    let roster = folder.roster();
    let seat = alice.seat(&folder, &roster);
    let change = remove_member(&seat, mallory.grant, vec![], &[50; 64]).unwrap();
    let mut codes = change.closed_invites.clone();
    codes.sort();
    let mut expected = vec![came_by.invite, own.invite];
    expected.sort();
    assert_eq!(codes, expected, "Alice is shown which codes fall with her");
    carry_out(&mut folder, &mut alice, change.deed);
    store.takes(&folder, &alice, "not for Mallory");

    let puppets: Vec<Person> = (60..64).map(Person::new).collect();
    let watch = DeviceSecret::from_seed(&[34; 32]);
    for (code, puppet) in [(&came_by, &puppets[0]), (&own, &puppets[1])] {
        let op = join(&past.log, code, &puppet.slot, &puppet.device, None).unwrap();
        let id = op.id();
        past.add(op);
        // By a seeder that helps her, or did not know.
        let by = cobox_core::members::Author { grant: hired_id, key: &seeder };
        past.add(witness(&past.log, by, id, 5).unwrap());
    }
    let keys_of = |who: &Person| (who.slot.public(), who.device.public());
    for (n, role) in [(2, Role::Admin), (3, Role::Reader)] {
        let (member, device) = keys_of(&puppets[n]);
        past.add(propose(&past.log, mallory.author(), OpBody::Grant { member, device, role }).unwrap());
    }
    let proof = device_proof(&watch, &past.log.folder(), &mallory.grant);
    past.add(add_device(&past.log, mallory.author(), watch.public(), proof).unwrap());
    past.add(propose(&past.log, mallory.author(), OpBody::Remove { grant: bob.grant, cut: vec![] }).unwrap());
    // An epoch of her own, sealed to all of hers and as deep as may be.
    let mut hers = mallory.keys().clone();
    let everything = cobox_core::members::open_epochs(
        &past.log,
        &resolve(&past.log),
        &past.envelopes,
        &[&mallory.device.hpke, &mallory.slot.hpke],
        Some(hers.clone()),
    );
    hers = everything.keys.unwrap();
    for n in 0..3 {
        let params = FolderKeys::params_for(Profile::Cdc, false);
        let roster = resolve(&past.log);
        let minted = mint_epoch(&past.log, &roster, &mut hers, mallory.author(), params, &[70 + n; 64]).unwrap();
        past.add(minted.op);
        past.envelopes.extend(minted.envelopes.clone());
        folder.envelopes.extend(minted.envelopes);
    }
    // All of it reaches everybody, one after the other.
    let honest = folder.roster();
    for op in &past.ops {
        folder.log.add(op.clone()).unwrap();
        let roster = folder.roster();
        assert_eq!(roster.writable_epoch(), honest.writable_epoch(), "after her {}", op.op().body.name());
        assert_eq!(roster.members().count(), 2, "after her {}", op.op().body.name());
        assert!(!roster.accepted(&op.id()), "her {}", op.op().body.name());
        store.takes(&folder, &alice, op.op().body.name());
    }
    folder.refreshes(&mut bob);
    store.takes(&folder, &bob, "Bob goes on");

    // For a year the others' devices do what they do unasked.
    let mut since_ms = 0;
    for day in (0..400).step_by(20) {
        for n in 0..2 {
            let mut random = [0; 64];
            random[..32].copy_from_slice(&folder.random::<32>());
            let who = if n == 0 { &mut alice } else { &mut bob };
            folder.refreshes(who);
            let moment =
                Moment { now_ms: day * DAY_MS, epochless_since_ms: None, epoch_since_ms: Some(since_ms), random };
            let roster = folder.roster();
            let seat = who.seat(&folder, &roster);
            if let Some(deed) = duty(&seat, &moment).unwrap().deed {
                since_ms = day * DAY_MS;
                carry_out(&mut folder, who, deed);
                store.takes(&folder, who, "a quarter later");
            }
        }
    }
    assert!(folder.roster().epochs().count() > 5, "they have new keys each quarter");

    // She tries everything she has on everything there is.
    let codes = [came_by.secret(), own.secret(), closed.secret()];
    let devices = puppets.iter().flat_map(|puppet| [&puppet.device.hpke, &puppet.slot.hpke]);
    let mut secrets: Vec<&HpkeSecret> = vec![&mallory.device.hpke, &mallory.slot.hpke, &tablet.hpke, &watch.hpke];
    secrets.extend(codes.iter().map(|code| &code.hpke).chain(devices));
    for log in [&folder.log, &past.log] {
        let envelopes: Vec<Envelope> = folder.envelopes.iter().chain(&past.envelopes).cloned().collect();
        let opened = cobox_core::members::open_epochs(log, &resolve(log), &envelopes, &secrets, Some(hers.clone()));
        let keys = opened.keys.unwrap();
        assert_eq!(store.read_by(&keys), old, "what was written while she belonged here, and no more");
    }
    folder.refreshes(&mut bob);
    assert_eq!(store.read_by(bob.keys()), store.blocks.len(), "and the others read all of it");
    assert!(store.blocks.len() > old + 20);
}

/// No old right revives, and nothing that was written in between is out of reach.
#[test]
fn m9_who_is_let_in_again_reads_what_was_written_meanwhile_and_has_no_right_of_before() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    let body = OpBody::Grant { member: bob.slot.public(), device: bob.device.public(), role: Role::Admin };
    bob.grant = folder.does(&alice, body);
    folder.rotates(&mut alice);
    let mut store = Store { blocks: vec![] };
    store.takes(&folder, &alice, "while he was here");
    for n in 0..3 {
        let roster = folder.roster();
        if n == 0 {
            let seat = alice.seat(&folder, &roster);
            let change = remove_member(&seat, bob.grant, vec![], &[50; 64]).unwrap();
            carry_out(&mut folder, &mut alice, change.deed);
        } else {
            folder.rotates(&mut alice);
        }
        store.takes(&folder, &alice, "while he was not");
    }
    // He comes by a code, with keys of his own that are new to the folder.
    let code = invites(&mut folder, &alice, 1);
    let mut again = Person { slot: bob.root.slot(2), device: DeviceSecret::from_seed(&[40; 32]), ..Person::new(2) };
    folder.joins(&mut again, &code, "Bob", &alice);
    folder.rotates(&mut alice);
    folder.refreshes(&mut again);
    assert_eq!(store.read_by(again.keys()), store.blocks.len());
    let roster = folder.roster();
    assert_eq!(roster.member(&again.grant).unwrap().role, Role::Editor);
    assert!(roster.member(&bob.grant).is_none() && !roster.is_reader(&bob.device.sig.public()));
    // With the keys of before he is nobody, whatever he was.
    let carol = Person::new(3);
    let body = OpBody::Grant { member: carol.slot.public(), device: carol.device.public(), role: Role::Reader };
    let by_old_keys = propose(&folder.log, bob.author(), body).unwrap();
    assert!(!folder.add(by_old_keys));
}
