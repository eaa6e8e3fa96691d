//! The people of a world and the folder they share: one founder, the others joined by invites. Made once, for all seeds: what
//! is tried here is the folder, not the way into it.

use anyhow::{Context, Result};
use cobox_core::keys::{DeviceSecret, FolderKeys, Profile, RootSecret, Slot};
use cobox_core::members::{
    Author, Founding, FoundingRandom, InviteRandom, Terms, found, invite, join, open_epochs, repair_grants,
    seeder_grant, witness,
};
use cobox_proto::hosting::{Offer, Ticket};
use cobox_proto::id::{EndpointId, EpochTag, OfferId};
use cobox_proto::members::{Envelope, FolderKind, Genesis, Policy, Retention, Role, SignedOp, resolve};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::Party;

/// How many people there are at most, but for crowds.
pub(crate) const PEOPLE_MAX: usize = 5;
/// How many there are in a crowd at most.
pub(crate) const CROWD_MAX: usize = 8;
/// How many seeders there are at most.
pub(crate) const HOSTS_MAX: usize = 3;
/// Room at each seeder: more than any story needs.
const QUOTA_BYTES: u64 = 1 << 30;

/// One person's device in the folder.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) device: DeviceSecret,
    pub(crate) keys: FolderKeys,
}

/// A seeder that may be hired.
#[derive(Debug)]
pub(crate) struct Hired {
    pub(crate) key: SecretKey,
    pub(crate) offer: Offer,
}

/// Everybody, with their keys, and the membership log.
#[derive(Debug)]
pub struct Cast {
    pub(crate) genesis: Genesis,
    /// The log of the first five people.
    pub(crate) ops: Vec<SignedOp>,
    /// The log that goes on: all people, and the seeders.
    pub(crate) hosted_ops: Vec<SignedOp>,
    pub(crate) people: Vec<Person>,
    pub(crate) hired: Vec<Hired>,
    /// All begin with it, in either log.
    pub(crate) epoch: EpochTag,
}

impl Cast {
    /// Founds the folder and lets the others join.
    pub fn gather() -> Result<Self> {
        let mut secrets: Vec<(Slot, DeviceSecret)> = (0..CROWD_MAX as u8)
            .map(|n| (RootSecret::from_entropy([n + 1; 16]).slot(1), DeviceSecret::from_seed(&[n + 1; 32])))
            .collect();
        let (slot, device) = &secrets[0];
        let (kind, profile, policy) = (FolderKind::Folder, Profile::Uniform, Policy::default());
        let founding = Founding { kind, slot, device, profile, high_privacy: false, policy };
        let founded = found(founding, &FoundingRandom { nonce: [1; 32], shape: [2; 32], epoch: [3; 64] })?;
        let (mut log, founder_keys) = (founded.log, founded.keys);
        let mut envelopes: Vec<Envelope> = founded.epoch.envelopes;
        let author = Author { grant: log.genesis().op_id(), key: &secrets[0].1.sig };
        let mut ops = Vec::new();
        for (n, (slot, device)) in secrets.iter().enumerate().skip(1) {
            if n == PEOPLE_MAX {
                ops = log.ops().cloned().collect();
            }
            let terms = Terms { role: Role::Editor, max_uses: 1, expires_ms: 1_000, grant: true };
            let random = InviteRandom { seed: [n as u8; 16], encapsulation: [100 + n as u8; 32] };
            let made = invite(&log, &resolve(&log), &founder_keys, author, terms, vec![], &random)?;
            for op in made.ops {
                log.add(op)?;
            }
            let joined = join(&log, &made.code, slot, device, None)?;
            let id = joined.id();
            log.add(joined)?;
            log.add(witness(&log, author, id, 500)?)?;
            for granted in repair_grants(&log, &resolve(&log), &founder_keys, author, &[200 + n as u8; 32])? {
                envelopes.push(granted.envelope);
                log.add(granted.op)?;
            }
        }
        let mut hired = Vec::new();
        for n in 0..HOSTS_MAX as u8 {
            let key = SecretKey::from_seed(&[50 + n; 32]);
            let ticket = Ticket { party: Party::Seeder, endpoint: EndpointId([50 + n; 32]), addresses: vec![] };
            let (id, secret, seeder) = (OfferId([50 + n; 16]), [70 + n; 16], key.public());
            let (quota_bytes, keep_days, expires_ms) = (QUOTA_BYTES, 90, u64::MAX);
            let offer = Offer { seeder, ticket, id, secret, quota_bytes, keep_days, expires_ms };
            let hash = offer.grant_hash(&log.folder());
            log.add(seeder_grant(&log, author, seeder, hash, QUOTA_BYTES, Retention::default(), 50)?)?;
            hired.push(Hired { key, offer });
        }
        let roster = resolve(&log);
        let mut people = Vec::new();
        for (slot, device) in secrets.drain(..) {
            let keys = open_epochs(&log, &roster, &envelopes, &[&device.hpke, &slot.hpke], None).keys;
            people.push(Person { device, keys: keys.context("everybody can open the folder")? });
        }
        let hosted_ops = log.ops().cloned().collect();
        let epoch = roster.writable_epoch().context("the founder started an epoch")?.tag();
        Ok(Self { genesis: log.genesis().clone(), ops, hosted_ops, people, hired, epoch })
    }
}
