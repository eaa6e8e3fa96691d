//! Epochs with their secrets: starting one, opening those one was given, handing them to who lacks them (formats F2).
//!
//! ```text
//! bundle envelope = hpke(S_e | K_shape | profile u8)                info subject: the epoch's id
//! grant envelope  = hpke(K_shape | profile u8 | list of (id, S))    info subject: the recipient's grant or invite
//! history         = note("history", ad = epoch id, list of (id, S)) under the new epoch
//! ```
//!
//! Whoever receives a secret computes the epoch's id from it and checks the shape key against the genesis. So it does not
//! matter who sent an envelope, and a false one can do nothing but fail to open.

use std::collections::{BTreeMap, BTreeSet};

use cobox_proto::codec::{Canonical, DecodeError, Reader};
use cobox_proto::id::{EpochId, EpochTag, Hash, OpId};
use cobox_proto::limits::{EPOCH_GRANT_EPOCHS_MAX, EPOCH_HISTORY_BYTES_MAX, EPOCH_PARENTS_MAX, EPOCH_RECIPIENTS_MAX};
use cobox_proto::members::{
    Envelope, EnvelopeList, EpochParams, HpkeKey, Log, OpBody, OpError, Recipient, Roster, SignedOp,
};
use zeroize::Zeroizing;

use super::ops::{Author, frontier, propose_after};
use crate::keys::hpke::{EnvelopeError, HpkeSecret, Purpose, open_xwing, seal_xwing};
use crate::keys::{EpochSecret, FolderKeys, KeysError, Profile, ShapeKey, labels};
use crate::seal::SealError;

/// Bytes of one (id, S).
const PAIR_BYTES: usize = 64;
/// Epochs whose secrets fit into a history; older ones follow from the histories of the parents.
const HISTORY_EPOCHS_MAX: usize = (EPOCH_HISTORY_BYTES_MAX - 128) / PAIR_BYTES;

/// Why an epoch can not be started or handed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// More keys than a bundle can name.
    #[error("{found} devices, members and invites are more than the {EPOCH_RECIPIENTS_MAX} a folder can have")]
    TooManyRecipients {
        /// How many there are.
        found: usize,
    },
    /// None of the epochs in question is held here.
    #[error("this device lacks the folder's newest keys; let a device that has them come online first")]
    NoKeys,
    /// It would not be the one to write under.
    #[error("new keys that this device made would not be used now; they are tried again later")]
    NotTaken,
    /// The parameters.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The seal of the history.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The recipient's key.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The op.
    #[error(transparent)]
    Op(#[from] OpError),
}

/// A started epoch; its secret is in the [`FolderKeys`] it was made with.
#[derive(Debug, Clone)]
pub struct NewEpoch {
    /// Its id.
    pub id: EpochId,
    /// The `EpochBundle`.
    pub op: SignedOp,
    /// One for each recipient; they travel beside the op.
    pub envelopes: Vec<Envelope>,
}

/// Epochs handed to one recipient.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The `EpochGrant`.
    pub op: SignedOp,
    /// Travels beside it.
    pub envelope: Envelope,
}

/// What [`open_epochs`] found.
#[derive(Debug, Clone, Default)]
pub struct OpenedEpochs {
    /// The folder's keys; `None` if nothing could be opened and nothing was known.
    pub keys: Option<FolderKeys>,
    /// The epochs that were not known before.
    pub new: Vec<EpochTag>,
    /// Epochs that were opened but can not be used, with the reason.
    pub refused: Vec<KeysError>,
}

/// One envelope of an epoch that is being started. It needs nothing of the others, so whoever has several processors may make several
/// at a time.
#[derive(Debug)]
pub struct SealJob<'a> {
    to: &'a Recipient,
    purpose: Purpose<'a>,
    plain: &'a Zeroizing<Vec<u8>>,
    seed: &'a [u8; 32],
}

impl SealJob<'_> {
    /// Makes it: the same, whoever does and when.
    ///
    /// Errors: the recipient's key is no valid key.
    pub fn run(&self) -> Result<Envelope, EnvelopeError> {
        let bytes = seal_xwing(&self.to.hpke, self.purpose, self.plain, self.seed)?;
        Ok(Envelope { recipient: self.to.key_id, bytes })
    }
}

/// Makes all envelopes, and answers in their order.
pub type Sealing = fn(&[SealJob<'_>]) -> Vec<Result<Envelope, EnvelopeError>>;

/// One after the other.
pub fn seal_in_turn(jobs: &[SealJob<'_>]) -> Vec<Result<Envelope, EnvelopeError>> {
    jobs.iter().map(SealJob::run).collect()
}

/// [`mint_epoch_by`] with all envelopes made here, one after the other.
pub fn mint_epoch(
    log: &Log,
    roster: &Roster,
    keys: &mut FolderKeys,
    author: Author<'_>,
    params: EpochParams,
    random: &[u8; 64],
) -> Result<NewEpoch, EpochError> {
    mint_epoch_by(seal_in_turn, log, roster, keys, author, params, random)
}

/// Starts an epoch for all who are entitled now, and takes it into `keys`. `random` are 64 fresh random bytes.
///
/// A recipient whose key is no valid key is left out: else one member could keep the folder from ever changing its keys.
///
/// Errors: see [`EpochError`]; `keys` is unchanged then. Whether the author may start one is the log's to judge.
pub fn mint_epoch_by(
    sealing: Sealing,
    log: &Log,
    roster: &Roster,
    keys: &mut FolderKeys,
    author: Author<'_>,
    params: EpochParams,
    random: &[u8; 64],
) -> Result<NewEpoch, EpochError> {
    let (secret, seed) = (Zeroizing::new(half(random, 0)), Zeroizing::new(half(random, 32)));
    let secret = EpochSecret::from_bytes(*secret);
    let id = secret.id();
    let parents = parents(log, roster, keys)?;

    let wanted = roster.recipients_wanted();
    if wanted.len() > EPOCH_RECIPIENTS_MAX {
        return Err(EpochError::TooManyRecipients { found: wanted.len() });
    }
    let folder = log.folder();
    let purpose = Purpose { label: labels::BUNDLE_ENVELOPE, folder: &folder, subject: &id.0 };
    let mut plain = Zeroizing::new(Vec::with_capacity(65));
    plain.extend_from_slice(secret.expose());
    push_shape(&mut plain, keys);
    let jobs: Vec<SealJob<'_>> = wanted.iter().map(|to| SealJob { to, purpose, plain: &plain, seed: &seed }).collect();
    let mut envelopes = Vec::with_capacity(jobs.len());
    for sealed in sealing(&jobs) {
        match sealed {
            Ok(envelope) => envelopes.push(envelope),
            Err(EnvelopeError::BadKey) => {}
            Err(other) => return Err(other.into()),
        }
    }

    let mut with_new = keys.clone();
    let tag = with_new.insert_epoch(secret, params)?;
    let history = with_new.seal_note(&tag, "history", &id.0, &history(roster, keys))?;
    let list = EnvelopeList::of(&envelopes);
    let (recipients, envelopes_hash) = (list.recipients(), list.hash());
    let body = OpBody::EpochBundle { parents, id, params, recipients, envelopes: envelopes_hash, history };
    let op = propose_after(folder, frontier(log), author, body)?;
    *keys = with_new;
    Ok(NewEpoch { id, op, envelopes })
}

/// The epochs the new one follows: those at the end of the known lines whose secrets the history will hold.
fn parents(log: &Log, roster: &Roster, keys: &FolderKeys) -> Result<Vec<EpochId>, EpochError> {
    let tips = roster.epoch_tips(log);
    let none_yet = tips.is_empty();
    let mut held: Vec<EpochId> = tips.into_iter().filter(|id| holds(keys, id)).collect();
    if held.is_empty() && !none_yet {
        return Err(EpochError::NoKeys);
    }
    held.truncate(EPOCH_PARENTS_MAX);
    Ok(held)
}

/// The pairs of all epochs held, the deepest first if they are too many for one history.
fn history(roster: &Roster, keys: &FolderKeys) -> Zeroizing<Vec<u8>> {
    let mut held: Vec<EpochId> = keys.epochs().map(|(_, epoch)| epoch.id()).collect();
    if held.len() > HISTORY_EPOCHS_MAX {
        held.sort_by_key(|id| std::cmp::Reverse(roster.epoch(&id.tag()).map(|info| info.depth)));
        held.truncate(HISTORY_EPOCHS_MAX);
        held.sort_unstable();
    }
    let mut plain = Zeroizing::new(Vec::with_capacity(2 + held.len() * PAIR_BYTES));
    push_pairs(&mut plain, keys, &held);
    plain
}

/// Hands those of `epochs` that are held here to one recipient. `random` are 32 fresh random bytes.
///
/// Errors: none is held; the recipient's key is not valid.
pub fn grant_epochs(
    log: &Log,
    keys: &FolderKeys,
    author: Author<'_>,
    recipient: &Recipient,
    epochs: &[EpochId],
    random: &[u8; 32],
) -> Result<Granted, EpochError> {
    grant_after(log, frontier(log), keys, author, recipient, epochs, random)
}

/// [`grant_epochs`] on top of given ops.
pub(super) fn grant_after(
    log: &Log,
    deps: Vec<OpId>,
    keys: &FolderKeys,
    author: Author<'_>,
    recipient: &Recipient,
    epochs: &[EpochId],
    random: &[u8; 32],
) -> Result<Granted, EpochError> {
    let held: BTreeSet<EpochId> = epochs.iter().copied().filter(|id| holds(keys, id)).collect();
    let epochs: Vec<EpochId> = held.into_iter().take(EPOCH_GRANT_EPOCHS_MAX).collect();
    if epochs.is_empty() {
        return Err(EpochError::NoKeys);
    }
    let mut plain = Zeroizing::new(Vec::with_capacity(33 + 2 + epochs.len() * PAIR_BYTES));
    push_shape(&mut plain, keys);
    push_pairs(&mut plain, keys, &epochs);
    let folder = log.folder();
    let purpose = Purpose { label: labels::GRANT_ENVELOPE, folder: &folder, subject: &recipient.member.0 };
    let bytes = seal_xwing(&recipient.hpke, purpose, &plain, random)?;
    let envelope = Envelope { recipient: recipient.key_id, bytes };
    let (recipient, member) = (recipient.key_id, recipient.member);
    let body = OpBody::EpochGrant { epochs, recipient, envelope: envelope.hash(), member };
    Ok(Granted { op: propose_after(folder, deps, author, body)?, envelope })
}

/// Grants for everybody who is entitled and was left out, as far as the keys are here (design 5.4). Each op follows the one
/// before. One random seed serves all: no two encapsulations repeat (see `keys::hpke`).
pub fn repair_grants(
    log: &Log,
    roster: &Roster,
    keys: &FolderKeys,
    author: Author<'_>,
    random: &[u8; 32],
) -> Result<Vec<Granted>, EpochError> {
    let mut grants = Vec::new();
    let mut deps = frontier(log);
    for missing in roster.missing_grants() {
        match grant_after(log, deps.clone(), keys, author, &missing.recipient, &missing.epochs, random) {
            Ok(granted) => {
                deps = vec![granted.op.id()];
                grants.push(granted);
            }
            Err(EpochError::NoKeys | EpochError::Envelope(EnvelopeError::BadKey)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(grants)
}

/// Opens every epoch that the envelopes and `secrets` (a device's, a member slot's, an invite's) give, and through their
/// histories all older ones. `known` are the keys held before.
///
/// Envelopes that are not for these secrets, or are false, are passed over.
pub fn open_epochs(
    log: &Log,
    roster: &Roster,
    envelopes: &[Envelope],
    secrets: &[&HpkeSecret],
    known: Option<FolderKeys>,
) -> OpenedEpochs {
    let mut opening = Opening::new(log, roster, known);
    let by_key: BTreeMap<Hash, &HpkeSecret> = secrets.iter().map(|s| (s.public().id(), *s)).collect();
    for envelope in envelopes {
        if let Some(secret) = by_key.get(&envelope.recipient) {
            opening.open_grant(envelope, secret);
        }
    }
    for envelope in envelopes {
        if let Some(secret) = by_key.get(&envelope.recipient) {
            opening.open_bundle(envelope, secret);
        }
    }
    opening.open_histories();
    opening.found
}

/// The work of [`open_epochs`].
struct Opening<'l> {
    log: &'l Log,
    /// All bundles by epoch, also void ones; of several for one epoch first the one that stands.
    bundles: BTreeMap<EpochId, Vec<&'l OpBody>>,
    /// Their epochs, the newest first: who has the newest has all.
    newest_first: Vec<EpochId>,
    found: OpenedEpochs,
    /// Epochs whose history was not read yet.
    unread: Vec<EpochId>,
}

impl<'l> Opening<'l> {
    fn new(log: &'l Log, roster: &Roster, known: Option<FolderKeys>) -> Self {
        let mut bundles: BTreeMap<EpochId, Vec<&OpBody>> = BTreeMap::new();
        let mut newest_first = Vec::new();
        for signed in log.ops() {
            let OpBody::EpochBundle { id, .. } = &signed.op().body else { continue };
            let same = bundles.entry(*id).or_default();
            let stands = roster.epoch(&id.tag()).is_some_and(|info| info.bundle == signed.id());
            same.insert(if stands { 0 } else { same.len() }, &signed.op().body);
            newest_first.push(*id);
        }
        newest_first.reverse();
        let unread = known.iter().flat_map(|keys| keys.epochs().map(|(_, epoch)| epoch.id())).collect();
        let found = OpenedEpochs { keys: known, ..OpenedEpochs::default() };
        let mut opening = Self { log, bundles, newest_first, found, unread };
        opening.refresh_params();
        opening
    }

    /// Which of two bundles for one epoch stands can change as ops arrive; then its parameters do.
    fn refresh_params(&mut self) {
        let Some(keys) = &mut self.found.keys else { return };
        let changed: Vec<(EpochSecret, EpochParams)> = keys
            .epochs()
            .filter_map(|(_, epoch)| {
                let params = params(self.bundles.get(&epoch.id())?)?;
                (params != epoch.params()).then(|| (epoch.secret().clone(), params))
            })
            .collect();
        for (secret, params) in changed {
            if let Err(refused) = keys.insert_epoch(secret, params) {
                self.found.refused.push(refused);
            }
        }
    }

    fn open_grant(&mut self, envelope: &Envelope, secret: &HpkeSecret) {
        let hash = envelope.hash();
        let granted = self.log.ops().find_map(|signed| match &signed.op().body {
            OpBody::EpochGrant { envelope, member, .. } if *envelope == hash => Some(*member),
            _ => None,
        });
        let Some(member) = granted else { return };
        let folder = self.log.folder();
        let purpose = Purpose { label: labels::GRANT_ENVELOPE, folder: &folder, subject: &member.0 };
        let Ok(plain) = open_xwing(secret, purpose, &envelope.bytes) else { return };
        let mut r = Reader::new(&plain);
        if self.take_shape(&mut r).is_ok()
            && let Ok(pairs) = read_pairs(&mut r)
        {
            pairs.into_iter().for_each(|secret| self.take(secret));
        }
    }

    fn open_bundle(&mut self, envelope: &Envelope, secret: &HpkeSecret) {
        let folder = self.log.folder();
        let candidates: Vec<EpochId> = self
            .newest_first
            .iter()
            .copied()
            .filter(|id| !self.has(id) && self.sealed_to(id, secret.public()))
            .collect();
        for id in candidates {
            let purpose = Purpose { label: labels::BUNDLE_ENVELOPE, folder: &folder, subject: &id.0 };
            let Ok(plain) = open_xwing(secret, purpose, &envelope.bytes) else { continue };
            let mut r = Reader::new(&plain);
            if let Ok(secret) = r.fixed().map(EpochSecret::from_bytes)
                && self.take_shape(&mut r).is_ok()
            {
                self.take(secret);
            }
            return;
        }
    }

    fn sealed_to(&self, id: &EpochId, key: &HpkeKey) -> bool {
        let key = key.id();
        self.bundles[id].iter().any(|body| match body {
            OpBody::EpochBundle { recipients, .. } => recipients.binary_search(&key).is_ok(),
            _ => false,
        })
    }

    fn has(&self, id: &EpochId) -> bool {
        self.found.keys.as_ref().is_some_and(|keys| holds(keys, id))
    }

    /// Reads `K_shape | profile`; what contradicts the genesis is refused.
    fn take_shape(&mut self, r: &mut Reader<'_>) -> Result<(), DecodeError> {
        let shape = ShapeKey::from_bytes(r.fixed()?);
        let profile: Profile = r.get()?;
        if shape.id(profile) != self.log.genesis().shape {
            return Err(DecodeError::BadValue { what: "shape key", found: 0 });
        }
        if self.found.keys.is_none() {
            self.found.keys = Some(FolderKeys::new(self.log.folder(), shape, profile));
        }
        Ok(())
    }

    /// Takes a secret in if the log knows its epoch.
    fn take(&mut self, secret: EpochSecret) {
        let id = secret.id();
        let Some(params) = self.bundles.get(&id).and_then(|bodies| params(bodies)) else { return };
        let Some(keys) = &mut self.found.keys else { return };
        if holds(keys, &id) {
            return;
        }
        match keys.insert_epoch(secret, params) {
            Ok(tag) => {
                self.found.new.push(tag);
                self.unread.push(id);
            }
            Err(refused) => self.found.refused.push(refused),
        }
    }

    fn open_histories(&mut self) {
        while let Some(id) = self.unread.pop() {
            for body in self.bundles.get(&id).cloned().unwrap_or_default() {
                let (OpBody::EpochBundle { history, .. }, Some(keys)) = (body, &self.found.keys) else { continue };
                let Ok(plain) = keys.open_note(&id.tag(), "history", &id.0, history).map(Zeroizing::new) else {
                    continue;
                };
                if let Ok(pairs) = read_pairs(&mut Reader::new(&plain)) {
                    pairs.into_iter().for_each(|secret| self.take(secret));
                }
            }
        }
    }
}

fn params(bodies: &[&OpBody]) -> Option<EpochParams> {
    match bodies.first()? {
        OpBody::EpochBundle { params, .. } => Some(*params),
        _ => None,
    }
}

/// Whether this very epoch is held, not another one with its tag.
fn holds(keys: &FolderKeys, id: &EpochId) -> bool {
    keys.epoch(&id.tag()).is_some_and(|epoch| epoch.id() == *id)
}

fn push_shape(plain: &mut Vec<u8>, keys: &FolderKeys) {
    plain.extend_from_slice(keys.shape().expose());
    plain.extend_from_slice(&keys.profile().to_bytes());
}

/// `count u16le | (id, S)*` in the order given; all are held.
fn push_pairs(plain: &mut Vec<u8>, keys: &FolderKeys, epochs: &[EpochId]) {
    plain.extend_from_slice(&(epochs.len() as u16).to_le_bytes());
    for epoch in epochs.iter().filter_map(|id| keys.epoch(&id.tag())) {
        plain.extend_from_slice(&epoch.id().0);
        plain.extend_from_slice(epoch.secret().expose());
    }
}

/// Reads what [`push_pairs`] wrote to the end; a secret that does not give its id is refused with all others.
fn read_pairs(r: &mut Reader<'_>) -> Result<Vec<EpochSecret>, DecodeError> {
    let count = r.u16()?;
    let mut secrets = Vec::with_capacity(usize::from(count).min(r.left() / PAIR_BYTES));
    for _ in 0..count {
        let id: EpochId = r.get()?;
        let secret = EpochSecret::from_bytes(r.fixed()?);
        if secret.id() != id {
            return Err(DecodeError::BadValue { what: "epoch secret", found: 0 });
        }
        secrets.push(secret);
    }
    r.finish()?;
    Ok(secrets)
}

fn half(random: &[u8; 64], at: usize) -> [u8; 32] {
    let mut half = [0; 32];
    half.copy_from_slice(&random[at..at + 32]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{DeviceSecret, RootSecret};
    use crate::members::{Founding, FoundingRandom, found};
    use cobox_proto::id::FolderId;
    use cobox_proto::members::{FolderKind, Policy, resolve};

    #[test]
    fn a_long_history_keeps_the_newest_and_fits_its_op() {
        let (slot, device) = (RootSecret::from_entropy([1; 16]).slot(1), DeviceSecret::from_seed(&[1; 32]));
        let founding = Founding {
            kind: FolderKind::Folder,
            slot: &slot,
            device: &device,
            profile: Profile::Cdc,
            high_privacy: false,
            policy: Policy::default(),
        };
        let random = FoundingRandom { nonce: [1; 32], shape: [2; 32], epoch: [3; 64] };
        let mut founded = found(founding, &random).unwrap();
        let params = FolderKeys::params_for(Profile::Cdc, false);
        for n in 0..600_u16 {
            let secret = *blake3::hash(&n.to_le_bytes()).as_bytes();
            founded.keys.insert_epoch(EpochSecret::from_bytes(secret), params).unwrap();
        }
        let roster = resolve(&founded.log);
        let plain = history(&roster, &founded.keys);
        let secrets = read_pairs(&mut Reader::new(&plain)).unwrap();
        assert_eq!(secrets.len(), HISTORY_EPOCHS_MAX);
        let known = roster.writable_epoch().unwrap();
        assert!(secrets.iter().any(|secret| secret.id() == known), "one the log knows goes before ones it does not");
        let note = founded.keys.seal_note(&known.tag(), "history", &known.0, &plain).unwrap();
        assert!(note.len() <= EPOCH_HISTORY_BYTES_MAX);
    }

    #[test]
    fn secrets_beside_false_ids_and_cut_lists_are_refused() {
        let mut keys = FolderKeys::new(FolderId([1; 32]), ShapeKey::from_bytes([2; 32]), Profile::Cdc);
        for secret in [3, 4] {
            let params = FolderKeys::params_for(Profile::Cdc, false);
            keys.insert_epoch(EpochSecret::from_bytes([secret; 32]), params).unwrap();
        }
        let ids: Vec<EpochId> = keys.epochs().map(|(_, epoch)| epoch.id()).collect();
        let mut plain = Vec::new();
        push_pairs(&mut plain, &keys, &ids);
        assert_eq!(read_pairs(&mut Reader::new(&plain)).unwrap().len(), 2);
        for cut in 0..plain.len() {
            assert!(read_pairs(&mut Reader::new(&plain[..cut])).is_err(), "cut at {cut}");
        }
        for byte in 0..plain.len() {
            let mut changed = plain.clone();
            changed[byte] ^= 1;
            assert!(read_pairs(&mut Reader::new(&changed)).is_err(), "byte {byte}");
        }
    }
}
