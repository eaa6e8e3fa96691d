//! Random histories of a folder at two places that meet now and then: people are admitted, invited, removed, get devices,
//! start epochs and repair grants, knowing only what their place knows. When the places have met and the most senior member has
//! settled what is open, two things must hold: every device in force reads everything, and nobody removed reads what is
//! written from then on.

use cobox_core::keys::{DeviceSecret, FolderKeys, HpkeSecret, Profile};
use cobox_core::members::{
    InviteRandom, Label, Terms, device_proof, invite, join, mint_epoch, open_epochs, propose, repair_grants, witness,
};
use cobox_core::seal::BlockKind;
use cobox_proto::members::{Envelope, Log, OpBody, Role, Roster, SignedOp, resolve};
use proptest::prelude::*;

use crate::cast::{Folder, Person};

#[derive(Debug, Clone, Copy)]
enum Deed {
    Grant,
    InviteAndJoin,
    Remove { whom: usize },
    Rotate,
    Repair,
    AddDevice,
    Meet,
}

fn deed() -> impl Strategy<Value = (usize, usize, Deed)> {
    let deed = prop_oneof![
        3 => Just(Deed::Grant),
        2 => Just(Deed::InviteAndJoin),
        3 => (0_usize..8).prop_map(|whom| Deed::Remove { whom }),
        3 => Just(Deed::Rotate),
        2 => Just(Deed::Repair),
        1 => Just(Deed::AddDevice),
        2 => Just(Deed::Meet),
    ];
    (0_usize..2, 0_usize..8, deed)
}

/// What one place knows.
#[derive(Clone)]
struct Place {
    log: Log,
    envelopes: Vec<Envelope>,
}

impl Place {
    fn roster(&self) -> Roster {
        resolve(&self.log)
    }
    fn opens(&self, secrets: &[&HpkeSecret]) -> Option<FolderKeys> {
        open_epochs(&self.log, &self.roster(), &self.envelopes, secrets, None).keys
    }
    fn add(&mut self, op: SignedOp) {
        self.log.add(op).unwrap();
    }
    fn learn(&mut self, other: &Place) {
        for op in other.log.ops() {
            self.add(op.clone());
        }
        for envelope in &other.envelopes {
            if !self.envelopes.contains(envelope) {
                self.envelopes.push(envelope.clone());
            }
        }
    }
    fn repair(&mut self, by: &Person, keys: &FolderKeys, random: u8) {
        for granted in repair_grants(&self.log, &self.roster(), keys, by.author(), &[random; 32]).unwrap() {
            self.add(granted.op);
            self.envelopes.push(granted.envelope);
        }
    }
    fn rotate(&mut self, by: &Person, keys: &mut FolderKeys, random: u8) {
        let params = FolderKeys::params_for(Profile::Cdc, false);
        if let Ok(epoch) = mint_epoch(&self.log, &self.roster(), keys, by.author(), params, &[random; 64]) {
            self.add(epoch.op);
            self.envelopes.extend(epoch.envelopes);
        }
    }
}

struct Storm {
    places: [Place; 2],
    people: Vec<Person>,
    /// Devices added later, with whose they are.
    more_devices: Vec<(usize, DeviceSecret)>,
    random: u8,
}

impl Storm {
    fn new() -> Self {
        let mut alice = Person::new(1);
        let folder = Folder::founded_by(&mut alice);
        let place = Place { log: folder.log, envelopes: folder.envelopes };
        Self { places: [place.clone(), place], people: vec![alice], more_devices: vec![], random: 100 }
    }

    fn happens(&mut self, place: usize, who: usize, deed: Deed) {
        let who = who % self.people.len();
        self.random += 1;
        let random = self.random;
        let [here, there] = &mut self.places;
        let (here, there) = if place == 0 { (here, there) } else { (there, here) };
        let by = &self.people[who];
        let keys = here.opens(&[&by.device.hpke]);
        match deed {
            Deed::Grant => {
                let mut new = Person::new(random);
                let (member, device) = (new.slot.public(), new.device.public());
                let op = propose(&here.log, by.author(), OpBody::Grant { member, device, role: Role::Admin }).unwrap();
                new.grant = op.id();
                here.add(op);
                self.people.push(new);
            }
            Deed::InviteAndJoin => {
                let Some(keys) = keys else { return };
                let terms = Terms { role: Role::Editor, max_uses: 1, expires_ms: 10, grant: true };
                let seed = InviteRandom { seed: [random; 16], encapsulation: [random; 32] };
                let made = invite(&here.log, &here.roster(), &keys, by.author(), terms, vec![], &seed);
                let Ok(made) = made else { return };
                made.ops.into_iter().for_each(|op| here.add(op));
                here.envelopes.extend(made.envelopes);
                let mut new = Person::new(random);
                let opened = here.opens(&[&made.code.secret().hpke]);
                let epoch = here.roster().writable_epoch().map(|id| id.tag());
                let name = opened.as_ref().zip(epoch).map(|(keys, epoch)| Label { keys, epoch, text: "x" });
                let op =
                    join(&here.log, &made.code, &new.slot, &new.device, name.filter(|n| n.keys.has_epoch(&n.epoch)));
                let op = op.unwrap();
                new.grant = op.id();
                here.add(op);
                let op = witness(&here.log, by.author(), new.grant, 5).unwrap();
                here.add(op);
                self.people.push(new);
            }
            Deed::Remove { whom } => {
                let grant = self.people[whom % self.people.len()].grant;
                let op = propose(&here.log, by.author(), OpBody::Remove { grant, cut: vec![] }).unwrap();
                here.add(op);
            }
            Deed::Rotate => {
                if let Some(mut keys) = keys {
                    here.rotate(by, &mut keys, random);
                }
            }
            Deed::Repair => {
                if let Some(keys) = keys {
                    here.repair(by, &keys, random);
                }
            }
            Deed::AddDevice => {
                let device = DeviceSecret::from_seed(&[random; 32]);
                let proof = device_proof(&device, &here.log.folder(), &by.grant);
                let body = OpBody::AddDevice { device: device.public(), proof };
                here.add(propose(&here.log, by.author(), body).unwrap());
                self.more_devices.push((who, device));
            }
            Deed::Meet => {
                here.learn(there);
                there.learn(here);
            }
        }
    }

    /// The places meet; the founder starts an epoch if none can be written under, and gives everybody what they lack.
    fn settle(mut self) -> (Place, Vec<Person>, Vec<(usize, DeviceSecret)>) {
        let [mut place, other] = self.places;
        place.learn(&other);
        let founder = &self.people[0];
        for _ in 0..3 {
            self.random += 1;
            let mut keys = place.opens(&[&founder.device.hpke, &founder.slot.hpke]).unwrap();
            if place.roster().writable_epoch().is_none() {
                place.rotate(founder, &mut keys, self.random);
            }
            place.repair(founder, &keys, self.random);
        }
        (place, self.people, self.more_devices)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn who_is_in_reads_all_and_who_is_out_reads_nothing_new(deeds in proptest::collection::vec(deed(), 1..24)) {
        let mut storm = Storm::new();
        for (place, who, deed) in deeds {
            storm.happens(place, who, deed);
        }
        let (place, people, more_devices) = storm.settle();
        let roster = place.roster();
        let epoch = roster.writable_epoch().expect("the founder has started one").tag();
        let all = place.opens(&[&people[0].device.hpke]).unwrap();
        let block = all.seal_block(&epoch, BlockKind::Chunk, &[], b"new").unwrap().bytes;
        prop_assert!(roster.missing_grants().is_empty());

        let devices = people.iter().enumerate().map(|(i, person)| (i, &person.device));
        for (i, device) in devices.chain(more_devices.iter().map(|(i, device)| (*i, device))) {
            let keys = place.opens(&[&device.hpke]);
            if roster.is_reader(&device.sig.public()) {
                let keys = keys.expect("a device in force has keys");
                prop_assert!(keys.open_block(&block).is_ok());
                let lacking = roster.epochs().filter(|e| !keys.has_epoch(&e.id.tag())).count();
                prop_assert_eq!(lacking, 0, "epochs that stand and a device of person {} can not open", i);
            } else {
                let keys = place.opens(&[&device.hpke, &people[i].slot.hpke]);
                let reads = keys.is_some_and(|keys| keys.open_block(&block).is_ok());
                let slot_in_force = roster.member(&people[i].grant).is_some();
                prop_assert!(!reads || slot_in_force, "person {} is out and reads on", i);
            }
        }
    }
}
