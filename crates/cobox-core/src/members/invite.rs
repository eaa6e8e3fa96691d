//! Invites: an op in the log that opens a way in, and a code that carries the seed of its keys (formats F7). Whoever holds
//! the code needs nobody but a seeder: the code proves itself, the log proves itself from the folder id in the code, and a
//! grant in the log opens to the code's key.
//!
//! ```text
//! code   = 1 u8 | folder [32] | invite op [32] | seed [16] | list of tickets (bytes)     text cbi1...
//! sealed = 2 u8 | hpke_x25519(CoBox key, code)                                          text cbi1...
//! ```
//!
//! A code is a bearer secret: who reads it may join. The sealed form is for one person only.

use cobox_proto::codec::{Canonical, DecodeError, Reader, Writer};
use cobox_proto::id::{EpochId, FolderId, OpId};
use cobox_proto::limits::{INVITE_TICKETS_MAX, TICKET_BYTES_MAX};
use cobox_proto::members::{Envelope, Log, OpBody, OpError, Recipient, Role, Roster, SignedOp, Signer};
use cobox_proto::text::{self, TextError};
use zeroize::{Zeroize, Zeroizing};

use super::epochs::{EpochError, grant_after};
use super::joins::{name_keys, name_label, waiting_label};
use super::names::{Label, LabelError};
use super::ops::{Author, frontier, propose, propose_labelled, unsigned};
use super::places::{put_tickets, tickets, tickets_fit};
use crate::keys::hpke::{EnvelopeError, Purpose, open_contact, seal_contact};
use crate::keys::{ContactKey, ContactSecret, DeviceSecret, FolderKeys, InviteSecret, Slot, labels};

/// How an invite code begins.
pub const INVITE_PREFIX: &str = "cbi1";
const CODE_VERSION: u8 = 1;
const SEALED_VERSION: u8 = 2;

/// Why an invite can not be made, read or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// The text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Sealed to somebody else's CoBox key, or changed.
    #[error("this invite is for another person's CoBox key; ask for one that is sealed to yours")]
    NotForYou,
    /// The CoBox key to seal to is not valid.
    #[error("the CoBox key is not valid; ask for it again")]
    BadKey,
    /// The log given is of another folder, or lacks the invite.
    #[error("this invite does not belong to the folder that was fetched; fetch again")]
    OtherFolder,
    /// More places to find the folder than a code holds.
    #[error("an invite code holds at most {INVITE_TICKETS_MAX} tickets of {TICKET_BYTES_MAX} bytes")]
    TooManyTickets,
    /// The grant of the keys.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The op.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The joiner's name.
    #[error(transparent)]
    Label(#[from] LabelError),
}

/// What an invite allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What joiners may do; never owner.
    pub role: Role,
    /// How many may join.
    pub max_uses: u16,
    /// Until when, by the witness's clock, milliseconds since 1970.
    pub expires_ms: u64,
    /// Whether the code opens the folder's keys. If not, an owner or admin must approve whoever joins; so it is for admins always.
    pub grant: bool,
}

/// 48 fresh random bytes.
#[derive(Debug, Clone, Copy)]
pub struct InviteRandom {
    /// Becomes the code's seed.
    pub seed: [u8; 16],
    /// For sealing the keys.
    pub encapsulation: [u8; 32],
}

/// An invite that was made.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// The `Invite` and, with keys, the `EpochGrant`, in their order.
    pub ops: Vec<SignedOp>,
    /// Beside the grant.
    pub envelopes: Vec<Envelope>,
    /// For the person invited.
    pub code: InviteCode,
}

/// What an invited person holds.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode {
    /// The folder.
    pub folder: FolderId,
    /// The `Invite`.
    pub invite: OpId,
    seed: [u8; 16],
    /// Where to find the folder: at most 3 tickets in their canonical bytes.
    pub tickets: Vec<Vec<u8>>,
}

impl Drop for InviteCode {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

impl std::fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InviteCode({})", self.folder.short())
    }
}

/// A code that only one person can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedInvite(Vec<u8>);

/// What a pasted `cbi1...` text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InviteText {
    /// For whoever holds it.
    Code(InviteCode),
    /// For one person's CoBox key.
    Sealed(SealedInvite),
}

impl std::str::FromStr for InviteText {
    type Err = InviteError;
    fn from_str(pasted: &str) -> Result<Self, InviteError> {
        let body = Zeroizing::new(text::read(INVITE_PREFIX, pasted)?);
        let unreadable = |source| TextError::Content { kind: "invite code", source };
        match body.first() {
            Some(&SEALED_VERSION) => Ok(Self::Sealed(SealedInvite(body[1..].to_vec()))),
            _ => Ok(Self::Code(InviteCode::from_bytes(&body).map_err(unreadable)?)),
        }
    }
}

impl SealedInvite {
    /// Opens it with the person's own contact keys.
    pub fn open(&self, contact: &ContactSecret) -> Result<InviteCode, InviteError> {
        let plain = open_contact(contact.x25519(), sealing(), &self.0).map_err(|_| InviteError::NotForYou)?;
        let unreadable = |source| TextError::Content { kind: "invite code", source };
        Ok(InviteCode::from_bytes(&plain).map_err(unreadable)?)
    }
}

/// Who opens a sealed code does not know its folder yet, so none is bound.
fn sealing() -> Purpose<'static> {
    Purpose { label: labels::SEALED_INVITE, folder: &FolderId::ZERO, subject: &[0; 32] }
}

impl InviteCode {
    /// The code as a text for whoever holds it.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(text::write_value(INVITE_PREFIX, self))
    }

    /// The code as a text for one person. `random` are 32 fresh random bytes.
    pub fn seal_to(&self, key: &ContactKey, random: &[u8; 32]) -> Result<String, InviteError> {
        let plain = Zeroizing::new(self.to_bytes());
        let sealed = seal_contact(&key.x25519, sealing(), &plain, random).map_err(|error| match error {
            EnvelopeError::BadKey => InviteError::BadKey,
            EnvelopeError::Malformed(_) | EnvelopeError::Forged => InviteError::NotForYou,
        })?;
        Ok(text::write(INVITE_PREFIX, &[&[SEALED_VERSION], &sealed[..]].concat()))
    }

    /// The keys the code carries: `sig` proves it to a seeder and signs the join, `hpke` opens the grant.
    pub fn secret(&self) -> InviteSecret {
        InviteSecret::from_seed(&self.seed)
    }
}

impl Canonical for InviteCode {
    fn encode(&self, w: &mut Writer) {
        w.u8(CODE_VERSION).put(&self.folder).put(&self.invite).fixed(&self.seed);
        put_tickets(w, &self.tickets);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = r.u8()?;
        if version != CODE_VERSION {
            return Err(DecodeError::UnknownVersion { what: "invite code", found: version.into() });
        }
        let (folder, invite, seed) = (r.get()?, r.get()?, r.fixed()?);
        Ok(Self { folder, invite, seed, tickets: tickets(r, "tickets of an invite")? })
    }
}

/// Makes an invite. `tickets` say where the folder is found.
///
/// Errors: see [`InviteError`]. Whether the author may invite is the log's to judge.
pub fn invite(
    log: &Log,
    roster: &Roster,
    keys: &FolderKeys,
    author: Author<'_>,
    terms: Terms,
    tickets: Vec<Vec<u8>>,
    random: &InviteRandom,
) -> Result<Invitation, InviteError> {
    invite_labelled(log, roster, keys, author, terms, tickets, None, random)
}

/// [`invite`] with a label in the op, for whoever has the folder's keys, or gets them by the code: the folder's name. In an invite without
/// keys it holds what opens the joiners' names as well.
#[allow(clippy::too_many_arguments)] // the facts of an invite; a struct would name them once more
pub fn invite_labelled(
    log: &Log,
    roster: &Roster,
    keys: &FolderKeys,
    author: Author<'_>,
    terms: Terms,
    tickets: Vec<Vec<u8>>,
    label: Option<Label<'_>>,
    random: &InviteRandom,
) -> Result<Invitation, InviteError> {
    if !tickets_fit(&tickets) {
        return Err(InviteError::TooManyTickets);
    }
    let public = InviteSecret::from_seed(&random.seed).public();
    let Terms { role, max_uses, expires_ms, grant } = terms;
    let body = OpBody::Invite { sig: public.sig, hpke: public.hpke.clone(), role, max_uses, expires_ms, grant };
    let op = match label {
        Some(label) if grant => propose_labelled(log, author, body, label)?,
        Some(label) => {
            let text = Zeroizing::new(waiting_label(&random.seed, label.text));
            propose_labelled(log, author, body, Label { text: &text, ..label })?
        }
        None => propose(log, author, body)?,
    };
    let code = InviteCode { folder: log.folder(), invite: op.id(), seed: random.seed, tickets };
    let (mut ops, mut envelopes) = (vec![op], vec![]);
    if grant {
        let recipient = Recipient { key_id: public.hpke.id(), hpke: public.hpke, member: code.invite };
        let epochs: Vec<EpochId> = roster.writable_epoch().into_iter().chain(roster.epoch_tips(log)).collect();
        let deps = vec![code.invite];
        let granted = grant_after(log, deps, keys, author, &recipient, &epochs, &random.encapsulation)?;
        ops.push(granted.op);
        envelopes.push(granted.envelope);
    }
    Ok(Invitation { ops, envelopes, code })
}

/// [`join`] by an invite that carries no keys: the name is sealed so that only members read it, and who holds the same code.
///
/// Errors: the log is not the one the code is for; the name is too long.
pub fn join_waiting(
    log: &Log,
    code: &InviteCode,
    slot: &Slot,
    device: &DeviceSecret,
    name: &str,
) -> Result<SignedOp, InviteError> {
    let keys = name_keys(code.folder, &code.seed);
    join(log, code, slot, device, Some(name_label(&keys, name)))
}

/// Uses an invite: a `Join` with the joiner's member slot and first device, signed by invite and device. It takes effect with
/// a witness. `name` needs the keys that the code opened; without them the joiner has none at first.
///
/// Errors: the log is not the one the code is for.
pub fn join(
    log: &Log,
    code: &InviteCode,
    slot: &Slot,
    device: &DeviceSecret,
    name: Option<Label<'_>>,
) -> Result<SignedOp, InviteError> {
    if log.folder() != code.folder || !log.contains(&code.invite) {
        return Err(InviteError::OtherFolder);
    }
    let invite = code.secret();
    let signers = vec![
        Signer { grant: code.invite, key: invite.sig.public() },
        Signer { grant: OpId::ZERO, key: device.sig.public() },
    ];
    let body = OpBody::Join { invite: code.invite, member: slot.public(), device: device.public() };
    let mut op = unsigned(log.folder(), frontier(log), signers, body);
    if let Some(name) = name {
        name.seal_into(&mut op)?;
    }
    Ok(SignedOp::sign(op, &[&invite.sig, &device.sig])?)
}
