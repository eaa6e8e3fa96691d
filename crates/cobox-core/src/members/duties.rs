//! What a member's device does for its folder without being asked: it lets joins take effect that came in time, starts an epoch
//! when none may be written under, hands keys to those who lack them, closes invites that have expired, and starts a new epoch
//! after a quarter of a year.
//!
//! Decisions only: who carries a [`Deed`] out makes it durable, sends it, and asks again. What must hold: whoever is asked with
//! the same log decides alike but for time and chance; devices that could all do the same do it one after the other, so that
//! mostly only the first has to.

use cobox_proto::hosting::joins_to_witness;
use cobox_proto::id::OpId;
use cobox_proto::members::{Envelope, EnvelopeList, InviteInfo, Log, Member, OpBody, Role, Roster, SignedOp, resolve};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::OpEnvelopes;

use super::epochs::{EpochError, Granted, NewEpoch, Sealing, mint_epoch_by, repair_grants};
use super::ops::{Author, propose, witness};
use crate::keys::FolderKeys;

/// A new epoch is started when the last is so old: what somebody learnt in secret serves for a quarter at most.
pub const EPOCH_AGE_MS_MAX: u64 = 91 * DAY_MS;
/// An invite that has expired is closed so long after: clocks differ.
pub const EXPIRED_INVITE_STAYS_MS: u64 = 10 * 60 * 1000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Whoever could start the epoch that is lacking waits between this ...
const LACKING_EPOCH_WAIT_MS_MIN: u64 = 1_000;
/// ... and so much more, each device another time.
const LACKING_EPOCH_WAIT_MS_SPREAD: u64 = 4_000;

/// Who asks: a device with what it knows of the folder.
#[derive(Debug, Clone, Copy)]
pub struct Seat<'a> {
    /// The log.
    pub log: &'a Log,
    /// What it amounts to.
    pub roster: &'a Roster,
    /// The keys held here.
    pub keys: Option<&'a FolderKeys>,
    /// The device's signing key.
    pub device: &'a SecretKey,
    /// How the many envelopes of a new epoch are made here.
    pub sealing: Sealing,
}

impl<'a> Seat<'a> {
    /// The member whose device this is, while it is one.
    pub fn member(&self) -> Option<&'a Member> {
        self.roster.device(&self.device.public()).map(|(_, member)| member)
    }

    /// The device as the author of ops, while it is a member's.
    pub fn author(&self) -> Option<Author<'a>> {
        self.member().map(|member| Author { grant: member.grant, key: self.device })
    }

    fn may(&self, role: Role) -> bool {
        self.member().is_some_and(|member| member.role >= role)
    }

    /// A wait that differs from device to device and from one state of the log to the next, below `spread_ms`.
    fn turn_ms(&self, spread_ms: u64) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.device.public().0);
        for op in self.log.frontier() {
            hasher.update(&op.0);
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first) % spread_ms
    }
}

/// When it is asked, and with which chances.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The device's clock, milliseconds since 1970.
    pub now_ms: u64,
    /// Since when no epoch may be written under; none while one may.
    pub epochless_since_ms: Option<u64>,
    /// When the writable epoch was first written under, by what its heads claim.
    pub epoch_since_ms: Option<u64>,
    /// Fresh random bytes.
    pub random: [u8; 64],
}

/// Ops to add, with what travels beside them.
#[derive(Debug, Clone, Default)]
pub struct Deed {
    /// In an order in which they can be added.
    pub ops: Vec<SignedOp>,
    /// Of these ops.
    pub envelopes: Vec<OpEnvelopes>,
    /// The keys from then on, if an epoch was started. They must be kept before the ops are sent.
    pub keys: Option<FolderKeys>,
}

impl Deed {
    pub(super) fn of(op: SignedOp) -> Self {
        Self { ops: vec![op], ..Self::default() }
    }

    /// Adds a new epoch.
    pub(super) fn and_epoch(&mut self, epoch: NewEpoch, keys: FolderKeys) {
        self.envelopes.push(bundle_envelopes(epoch.op.id(), epoch.envelopes));
        self.ops.push(epoch.op);
        self.keys = Some(keys);
    }
}

/// The answer to [`duty`].
#[derive(Debug, Clone, Default)]
pub struct Duty {
    /// What is to be done now. Ask again when it is.
    pub deed: Option<Deed>,
    /// When to ask again, milliseconds since 1970; the log or the keys may change before.
    pub again_ms: Option<u64>,
}

/// The envelope of a grant, as it travels.
pub fn grant_envelope(op: OpId, envelope: Envelope) -> OpEnvelopes {
    OpEnvelopes { op, list: EnvelopeList::default(), envelopes: vec![envelope] }
}

/// The envelopes of a new epoch, as they travel.
pub fn bundle_envelopes(op: OpId, envelopes: Vec<Envelope>) -> OpEnvelopes {
    OpEnvelopes { op, list: EnvelopeList::of(&envelopes), envelopes }
}

/// The next thing that this device has to do for its folder.
///
/// Errors: an epoch or grant that is due can not be made; see [`EpochError`].
pub fn duty(seat: &Seat<'_>, moment: &Moment) -> Result<Duty, EpochError> {
    let Some(author) = seat.author() else { return Ok(Duty::default()) };
    if let Some(deed) = witness_joins(seat, author, moment.now_ms)? {
        return Ok(Duty { deed: Some(deed), again_ms: None });
    }
    let mut again_ms: Option<u64> = None;
    if let (Some(due_ms), Some(keys)) = (epoch_due_ms(seat, moment), seat.keys) {
        if due_ms <= moment.now_ms {
            let (epoch, keys) = start_epoch(seat.sealing, seat.log, seat.roster, keys, author, &moment.random)?;
            // One that would not be taken is not started again and again.
            let mut after = seat.log.clone();
            let added = after.add(epoch.op.clone()).is_ok();
            if !added || resolve(&after).writable_epoch() != Some(epoch.id) {
                return Err(EpochError::NotTaken);
            }
            let mut deed = Deed::default();
            deed.and_epoch(epoch, keys);
            return Ok(Duty { deed: Some(deed), again_ms: None });
        }
        again_ms = Some(due_ms);
    } else if seat.may(Role::Admin) && seat.keys.is_some() {
        // Nobody has written under the epoch yet, and it has no age. A service may run for years without being asked for another reason.
        again_ms = Some(moment.now_ms.saturating_add(DAY_MS));
    }
    if let Some(deed) = hand_on_keys(seat, author, &moment.random)? {
        return Ok(Duty { deed: Some(deed), again_ms: None });
    }
    for (invite, due_ms) in expiring_invites(seat) {
        if due_ms <= moment.now_ms {
            let body = OpBody::CancelInvite { invite: invite.id, at_ms: moment.now_ms };
            return Ok(Duty { deed: Some(Deed::of(propose(seat.log, author, body)?)), again_ms: None });
        }
        again_ms = Some(again_ms.map_or(due_ms, |at_ms| at_ms.min(due_ms)));
    }
    Ok(Duty { deed: None, again_ms })
}

/// Starts an epoch for all who are entitled, with the parameters of the last one. Whether the author may is the log's to judge.
pub(super) fn start_epoch(
    sealing: Sealing,
    log: &Log,
    roster: &Roster,
    keys: &FolderKeys,
    author: Author<'_>,
    random: &[u8; 64],
) -> Result<(NewEpoch, FolderKeys), EpochError> {
    let newest = roster.epochs().filter(|epoch| keys.has_epoch(&epoch.id.tag())).max_by_key(|e| (e.depth, e.id));
    let params = newest.map_or_else(|| FolderKeys::params_for(keys.profile(), false), |epoch| epoch.params);
    let mut keys = keys.clone();
    let epoch = mint_epoch_by(sealing, log, roster, &mut keys, author, params, random)?;
    Ok((epoch, keys))
}

/// When this device is to start an epoch, if it may.
fn epoch_due_ms(seat: &Seat<'_>, moment: &Moment) -> Option<u64> {
    if seat.roster.writable_epoch().is_none() {
        let since_ms = moment.epochless_since_ms.unwrap_or(moment.now_ms);
        let wait_ms = LACKING_EPOCH_WAIT_MS_MIN + seat.turn_ms(LACKING_EPOCH_WAIT_MS_SPREAD);
        return seat.may(Role::Editor).then(|| since_ms.saturating_add(wait_ms));
    }
    let since_ms = moment.epoch_since_ms.filter(|_| seat.may(Role::Admin))?;
    Some(since_ms.saturating_add(EPOCH_AGE_MS_MAX + seat.turn_ms(DAY_MS)))
}

/// Whoever sees a join first lets it take effect, if the invite still stands by our clock (rule R13).
fn witness_joins(seat: &Seat<'_>, author: Author<'_>, now_ms: u64) -> Result<Option<Deed>, EpochError> {
    let due = joins_to_witness(seat.log, seat.roster, now_ms);
    let ops: Result<Vec<SignedOp>, _> = due.into_iter().map(|join| witness(seat.log, author, join, now_ms)).collect();
    let ops = ops?;
    Ok((!ops.is_empty()).then_some(Deed { ops, ..Deed::default() }))
}

fn hand_on_keys(seat: &Seat<'_>, author: Author<'_>, random: &[u8; 64]) -> Result<Option<Deed>, EpochError> {
    let Some(keys) = seat.keys.filter(|_| !seat.roster.missing_grants().is_empty()) else { return Ok(None) };
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    seed.copy_from_slice(&random[..32]);
    let granted = match repair_grants(seat.log, seat.roster, keys, author, &seed) {
        Ok(granted) => granted,
        Err(EpochError::NoKeys) => Vec::new(),
        Err(other) => return Err(other),
    };
    let envelopes = granted.iter().map(|Granted { op, envelope }| grant_envelope(op.id(), envelope.clone())).collect();
    let ops: Vec<SignedOp> = granted.into_iter().map(|granted| granted.op).collect();
    Ok((!ops.is_empty()).then_some(Deed { ops, envelopes, keys: None }))
}

/// Open invites that carry keys, and when this device closes them: whoever has the code of one that expired unused could still read
/// with a seeder's help.
fn expiring_invites<'a>(seat: &'a Seat<'_>) -> impl Iterator<Item = (&'a InviteInfo, u64)> {
    let wait_ms = EXPIRED_INVITE_STAYS_MS + seat.turn_ms(EXPIRED_INVITE_STAYS_MS);
    let closes = seat.may(Role::Editor);
    let carrying = seat.roster.invites_open().filter(move |invite| closes && invite.grant);
    carrying.map(move |invite| (invite, invite.expires_ms.saturating_add(wait_ms)))
}
