//! Who can read what, over the life of a folder.

use cobox_core::keys::phrase::Words;
use cobox_core::keys::{DeviceSecret, FolderKeys, Profile, RootSecret};
use cobox_core::members::{
    Author, EpochError, Founding, FoundingError, FoundingRandom, Label, LabelError, add_device, device_proof, found,
    grant_epochs, mint_epoch, open_epochs, open_label, propose_labelled, repair_grants,
};
use cobox_core::seal::{BlockKind, SealError};
use cobox_proto::id::EpochTag;
use cobox_proto::members::{Envelope, FolderKind, Genesis, HpkeKey, KeyPair, OpBody, Policy, Role};

use crate::cast::{Folder, Person};

fn writes(who: &Person, epoch: &EpochTag, text: &[u8]) -> Vec<u8> {
    who.keys().seal_block(epoch, BlockKind::Chunk, &[], text).unwrap().bytes
}

fn grant_to(person: &Person, role: Role) -> OpBody {
    OpBody::Grant { member: person.slot.public(), device: person.device.public(), role }
}

#[test]
fn the_founder_opens_the_folder_with_device_or_slot_and_nobody_else_does() {
    let mut alice = Person::new(1);
    let folder = Folder::founded_by(&mut alice);
    let epoch = folder.roster().writable_epoch().unwrap().tag();
    let block = writes(&alice, &epoch, b"hello");
    for secret in [&alice.device.hpke, &alice.slot.hpke] {
        let keys = folder.opens(&[secret], None).keys.unwrap();
        assert_eq!(keys.open_block(&block).unwrap().payload, b"hello");
        assert_eq!(*keys.to_storage(), *alice.keys().to_storage());
    }
    assert!(folder.opens(&[&Person::new(2).device.hpke], None).keys.is_none());
    assert!(folder.opens(&[], None).keys.is_none());
}

#[test]
fn removed_member_cannot_read_new_edit() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    let code = folder.invites(&alice, true);
    folder.joins(&mut bob, &code, "Bob", &alice);
    let before = folder.roster().writable_epoch().unwrap().tag();
    let old = writes(&alice, &before, b"for us both");

    folder.does(&alice, OpBody::Remove { grant: bob.grant, cut: vec![] });
    assert_eq!(folder.roster().writable_epoch(), None, "what Bob was given is not written under any more");
    let epoch = folder.rotates(&mut alice).id.tag();
    assert_eq!(folder.roster().writable_epoch().unwrap().tag(), epoch);
    let new = writes(&alice, &epoch, b"not for Bob");

    let invite = code.secret();
    bob.keys = folder.opens(&[&bob.device.hpke, &bob.slot.hpke, &invite.hpke], bob.keys).keys;
    let bob = bob.keys.unwrap();
    assert_eq!(bob.open_block(&old).unwrap().payload, b"for us both");
    assert_eq!(bob.open_block(&new), Err(SealError::UnknownEpoch { epoch }));
}

#[test]
fn newcomer_reads_all_history_through_the_newest_epoch() {
    let (mut alice, bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    let mut blocks = vec![];
    for year in 0..5 {
        let epoch = folder.roster().writable_epoch().unwrap().tag();
        blocks.push(writes(&alice, &epoch, &[year]));
        folder.rotates(&mut alice);
    }
    folder.does(&alice, grant_to(&bob, Role::Reader));
    // Older envelopes are pruned: only those of the newest epoch are left.
    let newest = folder.rotates(&mut alice);
    folder.envelopes = newest.envelopes;
    let opened = folder.opens(&[&bob.device.hpke], None);
    assert_eq!(opened.new.len(), 7);
    let keys = opened.keys.unwrap();
    for (year, block) in blocks.iter().enumerate() {
        assert_eq!(keys.open_block(block).unwrap().payload, [year as u8]);
    }
    let again = folder.opens(&[&bob.device.hpke], Some(keys));
    assert!(again.new.is_empty() && again.refused.is_empty());
}

#[test]
fn any_holder_repairs_what_a_newcomer_was_not_given() {
    let (mut alice, bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    folder.does(&alice, grant_to(&bob, Role::Reader));
    assert!(folder.opens(&[&bob.device.hpke], None).keys.is_none());
    let grants = repair_grants(&folder.log, &folder.roster(), alice.keys(), alice.author(), &[9; 32]).unwrap();
    assert_eq!(grants.len(), 2, "Bob's device and his slot");
    for granted in grants {
        assert!(folder.add(granted.op));
        folder.envelopes.push(granted.envelope);
    }
    assert!(folder.roster().missing_grants().is_empty());
    let keys = folder.opens(&[&bob.device.hpke], None).keys.unwrap();
    assert_eq!(*keys.to_storage(), *alice.keys().to_storage());
    assert!(repair_grants(&folder.log, &folder.roster(), alice.keys(), alice.author(), &[9; 32]).unwrap().is_empty());
}

#[test]
fn two_epochs_at_once_are_both_opened_and_joined_by_the_next() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    bob.grant = folder.does(&alice, grant_to(&bob, Role::Admin));
    folder.rotates(&mut alice);
    folder.refreshes(&mut bob);

    let (log, random) = (folder.log.clone(), folder.random());
    let mut keys = bob.keys.clone().unwrap();
    let params = FolderKeys::params_for(Profile::Cdc, false);
    let concurrent = mint_epoch(&log, &folder.roster(), &mut keys, bob.author(), params, &random).unwrap();
    folder.rotates(&mut alice);
    assert!(folder.add(concurrent.op));
    folder.envelopes.extend(concurrent.envelopes);

    folder.refreshes(&mut alice);
    folder.refreshes(&mut bob);
    assert_eq!(*alice.keys().to_storage(), *bob.keys().to_storage());
    assert_eq!(folder.roster().epoch_tips(&folder.log).len(), 2);
    folder.rotates(&mut alice);
    assert_eq!(folder.roster().epoch_tips(&folder.log).len(), 1);
}

#[test]
fn an_epoch_of_others_must_be_known_before_the_next_is_started() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    bob.grant = folder.does(&alice, grant_to(&bob, Role::Admin));
    let mut keys = FolderKeys::new(folder.log.folder(), alice.keys().shape().clone(), Profile::Cdc);
    let params = FolderKeys::params_for(Profile::Cdc, false);
    let refused = mint_epoch(&folder.log, &folder.roster(), &mut keys, bob.author(), params, &[7; 64]);
    assert!(matches!(refused, Err(EpochError::NoKeys)));
    assert_eq!(keys.epochs().count(), 0, "nothing is taken in if it fails");
}

#[test]
fn s3_a_member_with_an_unusable_key_does_not_stop_the_folder_from_changing_its_keys() {
    let (mut alice, mallory) = (Person::new(1), Person::new(3));
    let mut folder = Folder::founded_by(&mut alice);
    let broken = |of: KeyPair, byte| KeyPair { hpke: HpkeKey::from_slice(&[byte; HpkeKey::LEN]).unwrap(), ..of };
    let (member, device) = (broken(mallory.slot.public(), 0xff), broken(mallory.device.public(), 0xfe));
    folder.does(&alice, OpBody::Grant { member, device, role: Role::Editor });
    let epoch = folder.rotates(&mut alice);
    assert_eq!(epoch.envelopes.len(), 2, "Alice's device and slot");
    assert!(repair_grants(&folder.log, &folder.roster(), alice.keys(), alice.author(), &[9; 32]).unwrap().is_empty());
}

#[test]
fn s3_a_false_envelope_opens_nothing_and_stands_in_nobodys_way() {
    let (mut alice, mut mallory) = (Person::new(1), Person::new(3));
    let mut folder = Folder::founded_by(&mut alice);
    // A folder of Mallory's own, with another shape key: its envelopes are real, but not for this folder.
    let own = Folder::founded_by(&mut mallory);
    let device = alice.device.public().hpke.id();
    let mut false_ones: Vec<Envelope> =
        own.envelopes.iter().map(|e| Envelope { recipient: device, bytes: e.bytes.clone() }).collect();
    for at in [0, 1, 2, 600, 1121, 1130, 1200] {
        let mut changed = folder.envelopes.iter().find(|e| e.recipient == device).unwrap().clone();
        changed.bytes[at] ^= 1;
        false_ones.push(changed);
    }
    let honest = std::mem::replace(&mut folder.envelopes, false_ones);
    assert!(folder.opens(&[&alice.device.hpke], None).keys.is_none());
    folder.envelopes.extend(honest);
    assert!(folder.opens(&[&alice.device.hpke], None).keys.is_some());
}

#[test]
fn i1_damaged_envelopes_leave_the_keys_as_they_were() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    bob.grant = folder.does(&alice, grant_to(&bob, Role::Editor));
    let first = folder.rotates(&mut alice);
    folder.refreshes(&mut bob);
    let before = bob.keys().to_storage();
    let second = folder.rotates(&mut alice);
    let to_bob = |envelope: &&Envelope| envelope.recipient == bob.device.hpke.public().id();
    let whole = second.envelopes.iter().find(to_bob).unwrap().clone();
    let damaged = |bytes: Vec<u8>| {
        let envelopes = [Envelope { bytes, ..whole.clone() }];
        open_epochs(&folder.log, &folder.roster(), &envelopes, &[&bob.device.hpke], Some(bob.keys().clone()))
    };
    assert!(damaged(whole.bytes.clone()).keys.unwrap().has_epoch(&second.id.tag()));
    for at in (0..whole.bytes.len()).step_by(29) {
        let mut flipped = whole.bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        for bytes in [flipped, whole.bytes[..at].to_vec()] {
            let opened = damaged(bytes);
            assert!(opened.new.is_empty() && opened.refused.is_empty(), "byte {at}");
            assert_eq!(*opened.keys.unwrap().to_storage(), *before, "byte {at}");
        }
    }
    assert!(bob.keys().has_epoch(&first.id.tag()));
}

#[test]
fn s3_a_grant_with_another_shape_key_is_refused() {
    let (mut alice, bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    folder.does(&alice, grant_to(&bob, Role::Reader));
    let mut false_keys =
        FolderKeys::new(folder.log.folder(), cobox_core::keys::ShapeKey::from_bytes([66; 32]), Profile::Cdc);
    let secret = cobox_core::keys::EpochSecret::from_bytes([3; 32]);
    let current = folder.roster().writable_epoch().unwrap();
    assert_eq!(secret.id(), current, "the true secret beside a false shape key");
    false_keys.insert_epoch(secret, FolderKeys::params_for(Profile::Cdc, false)).unwrap();
    let roster = folder.roster();
    let to = roster.missing_grants()[0].recipient.clone();
    let granted = grant_epochs(&folder.log, &false_keys, alice.author(), &to, &[current], &[9; 32]).unwrap();
    assert!(folder.add(granted.op));
    folder.envelopes.push(granted.envelope);
    assert!(folder.opens(&[&bob.device.hpke, &bob.slot.hpke], None).keys.is_none());
}

#[test]
fn words_alone_bring_a_lost_device_back_with_the_log_from_any_seeder() {
    let mut alice = Person::new(1);
    let mut folder = Folder::founded_by(&mut alice);
    let block = writes(&alice, &folder.roster().writable_epoch().unwrap().tag(), b"hello");
    let words = alice.root.words().to_text();

    let root = RootSecret::from_words(&Words::parse(&words).unwrap());
    let slot = root.slot(1);
    let member = folder.roster().member_by_key(&slot.sig.public()).unwrap().grant;
    let device = DeviceSecret::from_seed(&[50; 32]);
    let by_slot = Author { grant: member, key: &slot.sig };
    let proof = device_proof(&device, &folder.log.folder(), &member);
    let op = add_device(&folder.log, by_slot, device.public(), proof).unwrap();
    assert!(folder.add(op));
    let keys = folder.opens(&[&slot.hpke, &device.hpke], None).keys.unwrap();
    assert_eq!(keys.open_block(&block).unwrap().payload, b"hello");

    let lost = alice.device.sig.public();
    let body = OpBody::RemoveDevice { device: lost, cut: vec![] };
    let op = cobox_core::members::propose(&folder.log, by_slot, body).unwrap();
    assert!(folder.add(op));
    let again = Person { root, slot, device, grant: member, keys: Some(keys) };
    let mut again = again;
    let epoch = folder.rotates(&mut again);
    folder.refreshes(&mut alice);
    assert!(!alice.keys().has_epoch(&epoch.id.tag()), "a stolen device learns no new epoch");
}

#[test]
fn names_are_read_by_members_and_bound_to_their_op() {
    let (mut alice, bob) = (Person::new(1), Person::new(2));
    let mut folder = Folder::founded_by(&mut alice);
    let epoch = folder.roster().writable_epoch().unwrap().tag();
    let label = |text| Label { keys: alice.keys(), epoch, text };
    let op = propose_labelled(&folder.log, alice.author(), grant_to(&bob, Role::Reader), label("Bob ✿")).unwrap();
    assert_eq!(open_label(alice.keys(), op.op()), Ok(Some("Bob ✿".to_owned())));
    assert!(!String::from_utf8_lossy(op.bytes()).contains("Bob"));

    let mut moved = op.op().clone();
    moved.body = grant_to(&bob, Role::Admin);
    assert_eq!(open_label(alice.keys(), &moved), Err(LabelError::Seal(SealError::Forged)));
    moved.sealed.clear();
    assert_eq!(open_label(alice.keys(), &moved), Ok(None));
    moved.sealed = vec![1; 20];
    assert!(open_label(alice.keys(), &moved).is_err());

    for text in ["", &"x".repeat(129)] {
        let refused = propose_labelled(&folder.log, alice.author(), grant_to(&bob, Role::Reader), label(text));
        assert_eq!(refused.map(|_| ()), Err(LabelError::Length { bytes: text.len(), most: 128 }));
    }
    assert!(folder.add(op));
}

#[test]
fn a_vault_is_founded_by_slot_0_signed_and_nothing_else_is() {
    let alice = Person::new(1);
    let vault_slot = alice.root.slot(0);
    let founding = Founding {
        kind: FolderKind::Vault,
        slot: &vault_slot,
        device: &alice.device,
        profile: Profile::Uniform,
        high_privacy: false,
        policy: Policy::default(),
    };
    let random = FoundingRandom { nonce: [1; 32], shape: [2; 32], epoch: [3; 64] };
    let vault = found(founding, &random).unwrap();
    assert!(Genesis::from_bytes(&vault.log.genesis().to_bytes()).is_ok());
    assert_eq!(vault.keys.profile(), Profile::Uniform);
    let roster = cobox_proto::members::resolve(&vault.log);
    let by_words = open_epochs(&vault.log, &roster, &vault.epoch.envelopes, &[&vault_slot.hpke], None);
    assert!(by_words.keys.is_some());
    let wrong = [Founding { slot: &alice.slot, ..founding }, Founding { kind: FolderKind::Folder, ..founding }];
    for wrong in wrong {
        assert!(matches!(found(wrong, &random), Err(FoundingError::WrongSlot { .. })));
    }
}
