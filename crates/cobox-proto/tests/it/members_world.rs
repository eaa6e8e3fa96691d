//! A folder and its people, for tests: deterministic keys, and ops signed in one line.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use cobox_proto::id::{EpochId, Hash, OpId};
use cobox_proto::members::{
    Added, EnvelopeList, EpochParams, FolderKind, Genesis, HpkeKey, KeyPair, Log, Op, OpBody, Padding, Policy,
    Retention, Role, Roster, SignedOp, Signer, resolve, resolve_at,
};
use cobox_proto::sign::SecretKey;

/// Somebody with a member key and a first device.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) member: SecretKey,
    pub(crate) device: SecretKey,
}

pub(crate) fn secret(name: &str) -> SecretKey {
    SecretKey::from_seed(&blake3::derive_key("cobox test key", name.as_bytes()))
}

/// Stands for an X-Wing key; nothing here opens envelopes.
pub(crate) fn hpke(name: &str) -> HpkeKey {
    let mut bytes = vec![0; HpkeKey::LEN];
    blake3::Hasher::new_derive_key("cobox test hpke").update(name.as_bytes()).finalize_xof().fill(&mut bytes);
    HpkeKey::from_slice(&bytes).unwrap()
}

pub(crate) fn pair(name: &str) -> KeyPair {
    KeyPair { sig: secret(name).public(), hpke: hpke(name) }
}

impl Person {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), member: secret(&format!("{name} member")), device: secret(&format!("{name} device")) }
    }
    pub(crate) fn member_keys(&self) -> KeyPair {
        pair(&format!("{} member", self.name))
    }
    pub(crate) fn device_keys(&self) -> KeyPair {
        pair(&format!("{} device", self.name))
    }
}

thread_local! {
    // Keys are made once: enumerations use the same few people a million times.
    static PEOPLE: RefCell<BTreeMap<String, Person>> = const { RefCell::new(BTreeMap::new()) };
}

pub(crate) fn person(name: &str) -> Person {
    PEOPLE.with_borrow_mut(|people| people.entry(name.into()).or_insert_with(|| Person::new(name)).clone())
}

pub(crate) fn genesis(kind: FolderKind, policy: Policy) -> Genesis {
    let founder = person("founder");
    let genesis = Genesis {
        kind,
        nonce: [7; 32],
        member: founder.member_keys(),
        device: founder.device_keys(),
        shape: [8; 32],
        policy,
        founder_sig: None,
    };
    if kind == FolderKind::Vault { genesis.sign_founder(&founder.member) } else { genesis }
}

/// Writes ops into one log that knows everything; authors may pretend to know less.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) log: Log,
    pub(crate) founder: OpId,
    /// Grant -> who was admitted by it.
    pub(crate) people: BTreeMap<OpId, Person>,
    pub(crate) seeders: BTreeMap<OpId, SecretKey>,
    serial: u32,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(FolderKind::Folder, Policy::default())
    }

    pub(crate) fn with(kind: FolderKind, policy: Policy) -> Self {
        let log = Log::new(genesis(kind, policy));
        let founder = log.genesis().op_id();
        let people = [(founder, person("founder"))].into();
        Self { log, founder, people, seeders: BTreeMap::new(), serial: 0 }
    }

    pub(crate) fn roster(&self) -> Roster {
        resolve(&self.log)
    }
    pub(crate) fn roster_at(&self, view: &BTreeSet<OpId>) -> Roster {
        resolve_at(&self.log, &self.maximal(view)).unwrap()
    }

    /// The maximal ops of a set.
    pub(crate) fn maximal(&self, view: &BTreeSet<OpId>) -> Vec<OpId> {
        view.iter().filter(|id| !view.iter().any(|other| self.log.precedes(id, other))).copied().collect()
    }
    /// The ops with their pasts.
    pub(crate) fn closed(&self, ops: &[OpId]) -> BTreeSet<OpId> {
        self.log.ids().filter(|id| ops.contains(id) || ops.iter().any(|op| self.log.precedes(id, op))).collect()
    }
    pub(crate) fn all(&self) -> BTreeSet<OpId> {
        self.log.ids().collect()
    }

    /// Signs with given keys on top of `deps`.
    pub(crate) fn raw(&mut self, deps: Vec<OpId>, signers: &[(OpId, &SecretKey)], body: OpBody) -> OpId {
        let op = Op {
            folder: self.log.folder(),
            signers: signers.iter().map(|(grant, key)| Signer { grant: *grant, key: key.public() }).collect(),
            deps,
            body,
            sealed: Vec::new(),
        };
        let keys: Vec<&SecretKey> = signers.iter().map(|(_, key)| *key).collect();
        let signed = SignedOp::sign(op, &keys).unwrap();
        let id = signed.id();
        assert!(matches!(self.log.add(signed), Ok(Added::New(_) | Added::Known)));
        id
    }

    /// By the first devices of members who know `view`.
    pub(crate) fn by(&mut self, view: &BTreeSet<OpId>, authors: &[OpId], body: OpBody) -> OpId {
        let mut authors = authors.to_vec();
        authors.sort();
        let people: Vec<(OpId, Person)> = authors.iter().map(|a| (*a, self.people[a].clone())).collect();
        let signers: Vec<(OpId, &SecretKey)> = people.iter().map(|(grant, p)| (*grant, &p.device)).collect();
        self.raw(self.maximal(view), &signers, body)
    }

    /// By one member who knows everything.
    pub(crate) fn now(&mut self, author: OpId, body: OpBody) -> OpId {
        self.by(&self.all(), &[author], body)
    }

    pub(crate) fn fresh(&mut self, what: &str) -> String {
        self.serial += 1;
        format!("{what} {}", self.serial)
    }

    pub(crate) fn grant(&mut self, view: &BTreeSet<OpId>, author: OpId, role: Role) -> OpId {
        let who = person(&self.fresh("person"));
        let body = OpBody::Grant { member: who.member_keys(), device: who.device_keys(), role };
        let id = self.by(view, &[author], body);
        self.people.insert(id, who);
        id
    }
    pub(crate) fn grant_now(&mut self, author: OpId, role: Role) -> OpId {
        self.grant(&self.all(), author, role)
    }
    pub(crate) fn remove_now(&mut self, author: OpId, target: OpId) -> OpId {
        self.now(author, remove(target))
    }

    /// `by` and `device` name test keys.
    pub(crate) fn add_device(&mut self, view: &BTreeSet<OpId>, member: OpId, by: &str, device: &str) -> OpId {
        let keys = pair(device);
        let proof = keys.prove_device(&secret(device), &self.log.folder(), &member);
        self.raw(self.maximal(view), &[(member, &secret(by))], OpBody::AddDevice { device: keys, proof })
    }
    pub(crate) fn remove_device(&mut self, view: &BTreeSet<OpId>, member: OpId, by: &str, device: &str) -> OpId {
        let body = OpBody::RemoveDevice { device: secret(device).public(), cut: vec![] };
        self.raw(self.maximal(view), &[(member, &secret(by))], body)
    }

    /// The name of an invite's keys doubles as its seed. It carries keys where it may.
    pub(crate) fn invite(&mut self, view: &BTreeSet<OpId>, author: OpId, role: Role, max_uses: u16) -> (OpId, String) {
        let grant = !self.log.genesis().policy.approve_joins && role < Role::Admin;
        self.invite_with(view, author, role, max_uses, grant)
    }

    /// An invite by which who joins waits for approval, if it carries no keys.
    pub(crate) fn invite_with(
        &mut self,
        view: &BTreeSet<OpId>,
        author: OpId,
        role: Role,
        max_uses: u16,
        grant: bool,
    ) -> (OpId, String) {
        let seed = self.fresh("invite");
        let body =
            OpBody::Invite { sig: secret(&seed).public(), hpke: hpke(&seed), role, max_uses, expires_ms: 1000, grant };
        (self.by(view, &[author], body), seed)
    }

    pub(crate) fn join(&mut self, view: &BTreeSet<OpId>, invite: OpId, seed: &str) -> OpId {
        let who = person(&self.fresh("joiner"));
        let body = OpBody::Join { invite, member: who.member_keys(), device: who.device_keys() };
        let id = self.raw(self.maximal(view), &[(invite, &secret(seed)), (OpId::ZERO, &who.device)], body);
        self.people.insert(id, who);
        id
    }

    pub(crate) fn seeder(&mut self, author: OpId) -> OpId {
        let key = secret(&self.fresh("seeder"));
        let body = OpBody::SeederGrant {
            seeder: key.public(),
            offer_hash: Hash([1; 32]),
            quota_bytes: 1 << 30,
            retention: Retention::default(),
            member_share: 50,
        };
        let id = self.now(author, body);
        self.seeders.insert(id, key);
        id
    }

    pub(crate) fn witness(&mut self, view: &BTreeSet<OpId>, witness: OpId, join: OpId, at_ms: u64) -> OpId {
        match self.seeders.get(&witness).cloned() {
            Some(key) => self.raw(self.maximal(view), &[(witness, &key)], OpBody::Witness { join, at_ms }),
            None => self.by(view, &[witness], OpBody::Witness { join, at_ms }),
        }
    }

    /// An epoch sealed to whom the view wants it sealed to.
    pub(crate) fn epoch(&mut self, view: &BTreeSet<OpId>, author: OpId) -> (OpId, EpochId) {
        let roster = self.roster_at(view);
        let recipients = roster.recipients_wanted().iter().map(|r| r.key_id).collect();
        let parents = roster.epoch_tips(&self.log);
        let id = EpochId(blake3::derive_key("cobox test epoch", self.fresh("epoch").as_bytes()));
        (self.by(view, &[author], bundle(parents, id, recipients)), id)
    }
}

pub(crate) fn bundle(parents: Vec<EpochId>, id: EpochId, recipients: Vec<Hash>) -> OpBody {
    OpBody::EpochBundle {
        parents,
        id,
        params: EpochParams { block_ver: 1, suite: 1, codec: 0, padding: Padding::Padme },
        recipients,
        envelopes: EnvelopeList::default().hash(),
        history: vec![],
    }
}

pub(crate) fn remove(grant: OpId) -> OpBody {
    OpBody::Remove { grant, cut: vec![] }
}
pub(crate) fn set_role(grant: OpId, role: Role) -> OpBody {
    OpBody::SetRole { grant, role, cut: vec![] }
}

/// Small, seeded, good enough to pick histories.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03)
    }
    pub(crate) fn below(&mut self, n: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Delivers all ops of a log in another order to a new one; each op enters as soon as its deps are there.
pub(crate) fn redelivered(log: &Log, dice: &mut Dice) -> Log {
    let mut ops: Vec<SignedOp> = log.ops().cloned().collect();
    dice.shuffle(&mut ops);
    let mut other = Log::new(log.genesis().clone());
    for op in ops {
        other.add(op).unwrap();
    }
    assert_eq!(other.len(), log.len());
    assert!(other.missing().is_empty());
    other
}

/// What must hold in every folder whatever was written: somebody can administer it; nothing stands that a removed authority
/// did behind the removal's back; nothing stands on a void admission.
pub(crate) fn check_invariants(log: &Log, context: &dyn std::fmt::Debug) {
    let roster = resolve(log);
    assert!(roster.members().any(|m| m.role >= Role::Admin), "no admin left: {context:?}");
    let accepted: Vec<&SignedOp> = log.ops().filter(|op| roster.accepted(&op.id())).collect();
    for op in &accepted {
        let is_join = matches!(op.op().body, OpBody::Join { .. });
        for signer in op.op().signers.iter().filter(|s| s.grant != OpId::ZERO) {
            assert!(roster.accepted(&signer.grant), "{} by a void grant: {context:?}", op.op().body.name());
        }
        // Quorum ops that conflict both stand; a join is its invite's, not a member's.
        if op.op().signers.len() > 1 || is_join {
            continue;
        }
        for removal in &accepted {
            let OpBody::Remove { grant, .. } = &removal.op().body else { continue };
            let unseen = op.id() != removal.id() && !log.precedes(&op.id(), &removal.id());
            assert!(
                !(unseen && op.op().signers[0].grant == *grant),
                "{} by somebody removed: {context:?}",
                op.op().body.name()
            );
        }
    }
    for member in roster.members() {
        let removed = |op: &&&SignedOp| matches!(&op.op().body, OpBody::Remove { grant, .. } if *grant == member.grant);
        assert!(!accepted.iter().any(|op| removed(&op)), "a removed member is in force: {context:?}");
    }
    // Nobody out of force holds what is written under.
    if let Some(writable) = roster.writable_epoch() {
        let live: BTreeSet<Hash> = roster.recipients_wanted().iter().map(|r| r.key_id).collect();
        let used: BTreeSet<Hash> = log
            .ops()
            .filter_map(|op| match &op.op().body {
                OpBody::Invite { hpke, .. } => {
                    roster.invite(&op.id()).filter(|i| !i.open && i.used > 0).map(|_| hpke.id())
                }
                _ => None,
            })
            .collect();
        for key in &roster.epoch(&writable.tag()).unwrap().recipients {
            assert!(live.contains(key) || used.contains(key), "a removed key can open the writable epoch: {context:?}");
        }
    }
}
