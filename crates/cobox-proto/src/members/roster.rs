//! The resolved membership as others ask for it: who is in, with which keys and role, who may write, what an epoch must be
//! sealed to. A plain value: it holds copies and stays true for the set of ops it was resolved from.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{EpochId, EpochTag, Hash, HeadId, OpId, SigKey};
use crate::members::epoch::epoch_depth;
use crate::members::genesis::Policy;
use crate::members::keys::{HpkeKey, KeyPair};
use crate::members::log::{At, Log};
use crate::members::op::{EpochParams, OpBody, Retention, Role};
use crate::members::standing::Standing;

/// A certified device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Signs heads and ops.
    pub sig: SigKey,
    /// Epochs are sealed to it.
    pub hpke: HpkeKey,
    /// The op that certified it.
    pub op: OpId,
    /// Its label, sealed to the members; empty for first devices.
    pub sealed_label: Vec<u8>,
}

/// A member in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The op that admitted it.
    pub grant: OpId,
    /// Signs for the member itself: device certificates, recovery.
    pub sig: SigKey,
    /// The recovery key that epochs are sealed to.
    pub hpke: HpkeKey,
    /// What it may do.
    pub role: Role,
    /// Devices in force, by key.
    pub devices: Vec<Device>,
    /// Its name, sealed to the members.
    pub sealed_name: Vec<u8>,
    /// The invite it joined by.
    pub invite: Option<OpId>,
    /// Two key updates compete; an admin must pick one (rule R12). No new devices until then.
    pub frozen: bool,
}

/// A hired seeder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeder {
    /// The `SeederGrant`.
    pub grant: OpId,
    /// Its key.
    pub key: SigKey,
    /// Shows which of its offers was taken.
    pub offer_hash: Hash,
    /// Bytes it may be asked to store.
    pub quota_bytes: u64,
    /// What it keeps.
    pub retention: Retention,
    /// Percent of the free quota one member may use.
    pub member_share: u8,
}

/// A statement of what is to be forgotten that stands; the op in the log names states and blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forget {
    /// The op.
    pub op: OpId,
    /// Who signed: the op that admitted them.
    pub by: OpId,
    /// When, by their clock, milliseconds since 1970.
    pub at_ms: u64,
}

/// An invite that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteInfo {
    /// The op.
    pub id: OpId,
    /// Signs joins.
    pub sig: SigKey,
    /// Sealed to while it carries keys.
    pub hpke: HpkeKey,
    /// What joiners may do.
    pub role: Role,
    /// How many may join.
    pub max_uses: u16,
    /// How many have.
    pub used: usize,
    /// Until when, by the witness's clock.
    pub expires_ms: u64,
    /// Whether it carries keys.
    pub grant: bool,
    /// Whether who joins by it waits until an owner or admin approves: the folder wants that of all, or it carries no keys.
    pub approve: bool,
    /// Neither closed nor used up. It may have expired: no clock decides here.
    pub open: bool,
}

/// An epoch that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochInfo {
    /// Its full id.
    pub id: EpochId,
    /// How its blocks are made.
    pub params: EpochParams,
    /// The `EpochBundle`.
    pub bundle: OpId,
    /// How many epochs lie before it.
    pub depth: u32,
    /// Ids of all keys it was given to, by the bundle or by grants.
    pub recipients: BTreeSet<Hash>,
    /// Whether it may be written under.
    pub usable: bool,
}

/// A key that a new epoch must be sealed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The key's id.
    pub key_id: Hash,
    /// The key.
    pub hpke: HpkeKey,
    /// Whose it is: a member's grant, or an invite.
    pub member: OpId,
}

/// Epochs that somebody entitled was not given; any holder may write the `EpochGrant`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingGrant {
    /// Who.
    pub recipient: Recipient,
    /// Which, sorted.
    pub epochs: Vec<EpochId>,
}

/// Why a device's heads count no more, or only up to a cut (formats F8, rule R18).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removal {
    /// The `Remove`, `RemoveDevice` or demoting `SetRole`.
    pub op: OpId,
    /// The last heads of the device or member that its author knew.
    pub cut: Vec<HeadId>,
}

/// The membership of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    members: Vec<Member>,
    by_device: BTreeMap<SigKey, (usize, usize)>,
    seeders: Vec<Seeder>,
    forgets: Vec<Forget>,
    invites: Vec<InviteInfo>,
    accepted: BTreeSet<OpId>,
    removals: BTreeMap<SigKey, Vec<Removal>>,
    epochs: BTreeMap<EpochTag, EpochInfo>,
    writable: Option<EpochId>,
    wanted: Vec<Recipient>,
    missing: Vec<MissingGrant>,
    policy: Policy,
}

impl Roster {
    pub(super) fn of(log: &Log, st: &Standing) -> Self {
        let mut live: Vec<At> = st.members.keys().copied().filter(|at| st.live(*at)).collect();
        live.sort_by(|a, b| log.node(*a).rank.cmp(&log.node(*b).rank));
        let members: Vec<Member> = live.into_iter().filter_map(|at| member(log, st, at)).collect();
        let mut by_device = BTreeMap::new();
        for (m, member) in members.iter().enumerate() {
            for (d, device) in member.devices.iter().enumerate() {
                by_device.entry(device.sig).or_insert((m, d));
            }
        }
        let mut invites: Vec<InviteInfo> = st.invites.keys().filter_map(|at| invite(log, st, *at)).collect();
        invites.sort_by_key(|invite| invite.id);
        let mut seeders: Vec<Seeder> =
            st.seeders.iter().filter(|(_, ended)| !**ended).filter_map(|(at, _)| seeder(log, *at)).collect();
        seeders.sort_by_key(|seeder| seeder.grant);
        let mut forgets: Vec<Forget> =
            st.forgets.iter().filter(|(_, ended)| !**ended).filter_map(|(at, _)| forget(log, *at)).collect();
        forgets.sort_by_key(|forget| (forget.at_ms, forget.op));
        let usable = st.usable_epochs(log);
        let epochs: BTreeMap<EpochTag, EpochInfo> = st
            .epochs
            .standing
            .iter()
            .filter_map(|(tag, at)| Some((*tag, epoch(log, st, *at, usable.contains(at))?)))
            .collect();
        let mut roster = Self {
            members,
            by_device,
            seeders,
            forgets,
            invites,
            accepted: st.accepted.iter().map(|at| log.node(*at).id).collect(),
            removals: removals(log, st),
            epochs,
            writable: st.writable_epoch(log).and_then(|at| crate::members::epoch::epoch_id(log, at)),
            wanted: Vec::new(),
            missing: Vec::new(),
            policy: st.policy(log),
        };
        roster.wanted = roster.wanted_now();
        roster.missing = roster.missing_now(log, st);
        roster
    }

    /// The members in force, the most senior first.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }
    /// A member by the op that admitted it.
    pub fn member(&self, grant: &OpId) -> Option<&Member> {
        self.members.iter().find(|member| member.grant == *grant)
    }
    /// A member by its member key; the most senior if several use one.
    pub fn member_by_key(&self, key: &SigKey) -> Option<&Member> {
        self.members.iter().find(|member| member.sig == *key)
    }
    /// A device in force, with its member.
    pub fn device(&self, key: &SigKey) -> Option<(&Device, &Member)> {
        self.by_device.get(key).map(|(m, d)| (&self.members[*m].devices[*d], &self.members[*m]))
    }
    /// Whether a device may publish changes.
    pub fn can_write(&self, device: &SigKey) -> bool {
        self.device(device).is_some_and(|(_, member)| member.role >= Role::Editor)
    }
    /// Whether a device may read.
    pub fn is_reader(&self, device: &SigKey) -> bool {
        self.device(device).is_some()
    }
    /// The seeders in force.
    pub fn seeders(&self) -> &[Seeder] {
        &self.seeders
    }
    /// What is to be forgotten and was not taken back, by time.
    pub fn forgets(&self) -> &[Forget] {
        &self.forgets
    }
    /// The invites that may still be used, expiry apart.
    pub fn invites_open(&self) -> impl Iterator<Item = &InviteInfo> {
        self.invites.iter().filter(|invite| invite.open)
    }
    /// An invite that stands, also a closed or used one.
    pub fn invite(&self, id: &OpId) -> Option<&InviteInfo> {
        self.invites.iter().find(|invite| invite.id == *id)
    }
    /// Whether an op stands. A join stands once it has taken effect.
    pub fn accepted(&self, id: &OpId) -> bool {
        self.accepted.contains(id)
    }
    /// The policy in force.
    pub fn policy(&self) -> Policy {
        self.policy
    }
    /// Every removal or demotion that concerns a device, by its own key or through its member; sorted. Also of members that
    /// were promoted again since.
    pub fn removals_of(&self, device: &SigKey) -> &[Removal] {
        self.removals.get(device).map_or(&[], Vec::as_slice)
    }
    /// The devices that some removal concerns.
    pub fn removed_devices(&self) -> impl Iterator<Item = (&SigKey, &[Removal])> {
        self.removals.iter().map(|(key, removals)| (key, removals.as_slice()))
    }
    /// The epoch to write under: of the usable ones the greatest (depth, id). None: an editor must start a new one.
    pub fn writable_epoch(&self) -> Option<EpochId> {
        self.writable
    }
    /// An epoch that stands.
    pub fn epoch(&self, tag: &EpochTag) -> Option<&EpochInfo> {
        self.epochs.get(tag)
    }
    /// All epochs that stand.
    pub fn epochs(&self) -> impl Iterator<Item = &EpochInfo> {
        self.epochs.values()
    }
    /// Whether heads may be sealed under it.
    pub fn epoch_usable(&self, tag: &EpochTag) -> bool {
        self.epochs.get(tag).is_some_and(|epoch| epoch.usable)
    }
    /// The epochs a new one names as parents: the standing ones that no other names; sorted.
    pub fn epoch_tips(&self, log: &Log) -> Vec<EpochId> {
        let mut tips: BTreeSet<EpochId> = self.epochs.values().map(|epoch| epoch.id).collect();
        for epoch in self.epochs.values() {
            if let Some(OpBody::EpochBundle { parents, .. }) = log.get(&epoch.bundle).map(|op| &op.op().body) {
                parents.iter().for_each(|parent| {
                    tips.remove(parent);
                });
            }
        }
        tips.into_iter().collect()
    }
    /// All keys a new epoch must be sealed to: devices and recovery keys of members, and open invites that carry keys. Sorted
    /// by key id.
    pub fn recipients_wanted(&self) -> &[Recipient] {
        &self.wanted
    }
    /// What entitled keys were not given: the writable epoch, and those that its history does not hold.
    pub fn missing_grants(&self) -> &[MissingGrant] {
        &self.missing
    }

    fn wanted_now(&self) -> Vec<Recipient> {
        let mut wanted = BTreeMap::new();
        let mut add = |hpke: &HpkeKey, member: OpId| {
            let key_id = hpke.id();
            wanted.entry(key_id).or_insert_with(|| Recipient { key_id, hpke: hpke.clone(), member });
        };
        for member in &self.members {
            add(&member.hpke, member.grant);
            member.devices.iter().for_each(|device| add(&device.hpke, member.grant));
        }
        self.invites_open().filter(|invite| invite.grant).for_each(|invite| add(&invite.hpke, invite.id));
        wanted.into_values().collect()
    }

    fn missing_now(&self, log: &Log, st: &Standing) -> Vec<MissingGrant> {
        let Some(current) = st.writable_epoch(log) else { return Vec::new() };
        let in_history = st.epochs.closure(log, current);
        let due: Vec<At> =
            st.epochs.known.keys().copied().filter(|at| *at == current || !in_history.contains(at)).collect();
        let missing = |recipient: &Recipient| {
            let lacks = |at: &&At| !st.epochs.known[*at].contains(&recipient.key_id);
            let ids = due.iter().filter(lacks).filter_map(|at| crate::members::epoch::epoch_id(log, *at));
            let epochs: BTreeSet<EpochId> = ids.collect();
            let epochs: Vec<EpochId> = epochs.into_iter().collect();
            (!epochs.is_empty()).then(|| MissingGrant { recipient: recipient.clone(), epochs })
        };
        self.wanted.iter().filter_map(missing).collect()
    }
}

fn member(log: &Log, st: &Standing, at: At) -> Option<Member> {
    let keys = st.keys(log, at)?;
    let state = &st.members[&at];
    let devices =
        state.devices.iter().filter(|(key, _)| st.device_live(at, key)).filter_map(|(_, op)| device(log, *op));
    Some(Member {
        grant: log.node(at).id,
        sig: keys.sig,
        hpke: keys.hpke.clone(),
        role: st.role(log, at)?,
        devices: devices.collect(),
        sealed_name: log.node(at).op().map_or_else(Vec::new, |op| op.sealed.clone()),
        invite: match log.node(at).body() {
            Some(OpBody::Join { invite, .. }) => Some(*invite),
            _ => None,
        },
        frozen: st.frozen(log, at),
    })
}

fn device(log: &Log, certificate: At) -> Option<Device> {
    let node = log.node(certificate);
    let (keys, label): (&KeyPair, &[u8]) = match node.op().map(|op| (&op.body, &op.sealed)) {
        None => (&log.genesis().device, &[]),
        Some((OpBody::Grant { device, .. } | OpBody::Join { device, .. }, _)) => (device, &[]),
        Some((OpBody::AddDevice { device, .. }, label)) => (device, label),
        Some(_) => return None,
    };
    Some(Device { sig: keys.sig, hpke: keys.hpke.clone(), op: node.id, sealed_label: label.to_vec() })
}

fn invite(log: &Log, st: &Standing, at: At) -> Option<InviteInfo> {
    let Some(OpBody::Invite { sig, hpke, role, max_uses, expires_ms, grant }) = log.node(at).body() else {
        return None;
    };
    Some(InviteInfo {
        id: log.node(at).id,
        sig: *sig,
        hpke: hpke.clone(),
        role: *role,
        max_uses: *max_uses,
        used: st.invites[&at].joins.len(),
        expires_ms: *expires_ms,
        grant: *grant,
        approve: st.waits_for_approval(log, at),
        open: st.invite_open(log, at),
    })
}

fn seeder(log: &Log, at: At) -> Option<Seeder> {
    let node = log.node(at);
    let Some(OpBody::SeederGrant { seeder, offer_hash, quota_bytes, retention, member_share }) = node.body() else {
        return None;
    };
    Some(Seeder {
        grant: node.id,
        key: *seeder,
        offer_hash: *offer_hash,
        quota_bytes: *quota_bytes,
        retention: *retention,
        member_share: *member_share,
    })
}

fn forget(log: &Log, at: At) -> Option<Forget> {
    let node = log.node(at);
    let op = node.op()?;
    let OpBody::Forget { at_ms, .. } = op.body else { return None };
    Some(Forget { op: node.id, by: op.signers[0].grant, at_ms })
}

fn epoch(log: &Log, st: &Standing, at: At, usable: bool) -> Option<EpochInfo> {
    let Some(OpBody::EpochBundle { id, params, .. }) = log.node(at).body() else { return None };
    Some(EpochInfo {
        id: *id,
        params: *params,
        bundle: log.node(at).id,
        depth: epoch_depth(log, at),
        recipients: st.epochs.known[&at].clone(),
        usable,
    })
}

fn removals(log: &Log, st: &Standing) -> BTreeMap<SigKey, Vec<Removal>> {
    let removal = |at: &At| {
        let cut = match log.node(*at).body() {
            Some(OpBody::Remove { cut, .. } | OpBody::RemoveDevice { cut, .. } | OpBody::SetRole { cut, .. }) => cut,
            _ => return None,
        };
        Some(Removal { op: log.node(*at).id, cut: cut.clone() })
    };
    // Two members can have one key, if two admins let somebody in at once.
    let mut found: BTreeMap<SigKey, BTreeSet<Removal>> = BTreeMap::new();
    for (at, member) in &st.members {
        let decided = st.decided(*at);
        for key in member.devices.keys() {
            let device = decided.device_removals.get(key).into_iter().flatten();
            let all = decided.removals.iter().chain(&decided.demotions).chain(device);
            let mut all = all.filter_map(removal).peekable();
            if all.peek().is_some() {
                found.entry(*key).or_default().extend(all);
            }
        }
    }
    found.into_iter().map(|(key, removals)| (key, removals.into_iter().collect())).collect()
}
