//! Messages about one folder, once both ends have shown a key of it: the membership log, heads, wants, receipts, addresses, and
//! the two ways in which a log comes to a seeder that does not know it yet.

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::id::{ActorId, Cid, FolderId, Hash, HeadId, OpId, SigKey};
use crate::limits::{
    ADDRESS_NOTE_BYTES_MAX, BATCH_ITEMS_MAX, DELTA_BLOCK_BYTES_MAX, EDITING_SEALED_BYTES_MAX, EPOCH_RECIPIENTS_MAX,
    HEAD_AUTH_MAX, HEAD_BYTES_MAX, LOG_OPS_MAX, OP_BYTES_MAX, RECEIPT_BYTES_MAX, WANT_CIDS_MAX,
};
use crate::members::{Envelope, EnvelopeList};
use crate::sign::{SecretKey, Signature};

/// An op that the sender holds, and with how many envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEntry {
    /// The op.
    pub op: OpId,
    /// How many of its envelopes.
    pub envelopes: u32,
}

impl Canonical for LogEntry {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.op).varint(self.envelopes.into());
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { op: r.get()?, envelopes: r.varint_max(EPOCH_RECIPIENTS_MAX as u64, "envelope count")? as u32 })
    }
}

/// The newest head of one actor (one branch of it, should it have forked) that the sender holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tip {
    /// Whose.
    pub actor: ActorId,
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub head: HeadId,
}

impl Canonical for Tip {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.actor).varint(self.seq).put(&self.head);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { actor: r.get()?, seq: r.varint()?, head: r.get()? })
    }
}

/// A wish for a head and those before it by the same actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainWanted {
    /// The last head of the chain.
    pub head: HeadId,
    /// The receiver has all up to this number.
    pub above_seq: u64,
}

impl Canonical for ChainWanted {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.head).varint(self.above_seq);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { head: r.get()?, above_seq: r.varint()? })
    }
}

/// Envelopes of one op, or some of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpEnvelopes {
    /// The op.
    pub op: OpId,
    /// What the op hashes, should it be an epoch's: lets each envelope be verified alone. Empty for a grant.
    pub list: EnvelopeList,
    /// The envelopes.
    pub envelopes: Vec<Envelope>,
}

impl Canonical for OpEnvelopes {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.op).put(&self.list).list(&self.envelopes);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { op: r.get()?, list: r.get()?, envelopes: r.list(EPOCH_RECIPIENTS_MAX, "envelopes")? })
    }
}

/// What a device that was sent away is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// The ops by which it was, and all that they rest on, each after those it depends on.
    pub ops: Vec<Vec<u8>>,
    /// Of those of them that hand on keys, the latest first.
    pub envelopes: Vec<OpEnvelopes>,
}

/// A piece of a log for a seeder that does not know the folder; the last piece says so. Envelopes follow later, once
/// a device has opened the folder there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// The genesis, in the first piece alone.
    pub genesis: Vec<u8>,
    /// Ops, each after those it depends on.
    pub ops: Vec<Vec<u8>>,
    /// Whether this is the last piece.
    pub last: bool,
}

impl Canonical for LogPart {
    fn encode(&self, w: &mut Writer) {
        w.bytes(&self.genesis);
        put_items(w, &self.ops);
        w.bool(self.last);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let genesis = r.bytes(OP_BYTES_MAX, "genesis")?.to_vec();
        let ops = items(r, OP_BYTES_MAX, "op")?;
        Ok(Self { genesis, ops, last: r.bool("last")? })
    }
}

/// Why a seeder does not take a folder. The claimant showed the offer's secret before it is told any of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefusal {
    /// Past its date.
    #[error("the hosting offer has expired; ask the seeder for a new one")]
    Expired = 1,
    /// It hosts another folder already.
    #[error("the hosting offer is already used by another folder; ask the seeder for a new one")]
    Used = 2,
    /// The genesis or an op is broken, or ops are missing.
    #[error("the folder's membership log can not be read by the seeder")]
    BadLog = 3,
    /// Nobody entitled granted the seeder this offer.
    #[error("the folder does not name this seeder; an admin must accept the offer first")]
    NotGranted = 4,
    /// A vault is larger than 16 MiB, or this member attached one already.
    #[error("the seeder keeps one vault of at most 16 MiB for each member of a folder")]
    VaultRefused = 5,
    /// The seeder has no room.
    #[error("the seeder has no room left")]
    NoRoom = 6,
}

impl Canonical for ClaimRefusal {
    fn encode(&self, w: &mut Writer) {
        w.u8(*self as u8);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match r.u8()? {
            1 => ClaimRefusal::Expired,
            2 => ClaimRefusal::Used,
            3 => ClaimRefusal::BadLog,
            4 => ClaimRefusal::NotGranted,
            5 => ClaimRefusal::VaultRefused,
            6 => ClaimRefusal::NoRoom,
            other => return Err(DecodeError::BadValue { what: "claim refusal", found: other.into() }),
        })
    }
}

/// Where a device can be reached, sealed for members, signed so that nobody else can replace it; the newest one counts.
/// Seeders keep and pass it on without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressNote {
    /// Whose addresses.
    pub device: SigKey,
    /// The device's clock, milliseconds since 1970.
    pub stamp_ms: u64,
    /// Sealed addresses.
    pub sealed: Vec<u8>,
    /// The device's.
    pub signature: Signature,
}

impl AddressNote {
    /// Signs a note.
    pub fn sign(key: &SecretKey, folder: &FolderId, stamp_ms: u64, sealed: Vec<u8>) -> Self {
        let signature = key.sign("addresses", folder, &Self::body(stamp_ms, &sealed));
        Self { device: key.public(), stamp_ms, sealed, signature }
    }

    /// Whether the device signed it for this folder.
    pub fn verifies(&self, folder: &FolderId) -> bool {
        self.device.verifies("addresses", folder, &Self::body(self.stamp_ms, &self.sealed), &self.signature)
    }

    fn body(stamp_ms: u64, sealed: &[u8]) -> Vec<u8> {
        let mut w = Writer::new();
        w.u64(stamp_ms).bytes(sealed);
        w.into_bytes()
    }
}

impl Canonical for AddressNote {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.device).u64(self.stamp_ms).bytes(&self.sealed).put(&self.signature);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            device: r.get()?,
            stamp_ms: r.u64()?,
            sealed: r.bytes(ADDRESS_NOTE_BYTES_MAX, "address note")?.to_vec(),
            signature: r.get()?,
        })
    }
}

/// One message about one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// "Send me the genesis": from whoever knows the folder's id and nothing else of it yet.
    GenesisWanted,
    /// The genesis; the folder's id is its hash.
    Genesis {
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// What the sender's log is, in short; equal logs need no more words.
    LogSummary {
        /// How many ops.
        ops: u32,
        /// Over all ids and envelope counts.
        digest: Hash,
    },
    /// The whole of the sender's log by name, in as many messages as it takes.
    LogHave {
        /// Ops and their envelope counts.
        entries: Vec<LogEntry>,
        /// Whether no more follow.
        last: bool,
    },
    /// Ops, each after those it depends on.
    Ops {
        /// Their bytes.
        ops: Vec<Vec<u8>>,
    },
    /// Ops the sender misses.
    OpsWanted {
        /// Their ids.
        ops: Vec<OpId>,
    },
    /// Envelopes of one op.
    Envelopes(OpEnvelopes),
    /// The newest head of each actor that the sender holds, in as many messages as it takes.
    HeadsHave {
        /// The tips.
        tips: Vec<Tip>,
        /// Whether no more follow.
        last: bool,
    },
    /// Chains of heads the sender misses.
    HeadsWanted {
        /// The chains.
        chains: Vec<ChainWanted>,
    },
    /// Heads, each after the one before it.
    Heads {
        /// Their bytes.
        heads: Vec<Vec<u8>>,
    },
    /// Blocks the sender asks for, most urgent first.
    Want {
        /// Their names.
        cids: Vec<Cid>,
    },
    /// Blocks no longer asked for.
    Unwant {
        /// Their names.
        cids: Vec<Cid>,
    },
    /// Blocks that were asked for and are not here.
    Gone {
        /// Their names.
        cids: Vec<Cid>,
    },
    /// What a seeder holds, signed by it.
    Receipt {
        /// The signed receipt.
        bytes: Vec<u8>,
    },
    /// A head of the receiver rests on an old log: these ops void its epoch or are missing in its past (rule R9).
    Stale {
        /// The head.
        head: HeadId,
        /// What its author should know before writing again.
        ops: Vec<OpId>,
    },
    /// A device's addresses.
    Addresses(AddressNote),
    /// To a seeder, on a channel opened with an offer: the folder's log.
    Claim(LogPart),
    /// "It is yours": the folder is hosted from now on. Open it with a device's proof.
    Claimed,
    /// "No", and why.
    ClaimRefused(ClaimRefusal),
    /// To a seeder of this folder: the log of the sender's vault, to be kept too.
    AttachVault(LogPart),
    /// The vault is kept.
    VaultAttached,
    /// The vault is not kept, and why.
    VaultRefused(ClaimRefusal),
    /// Between members: how far the sender is. Says nothing to a seeder, which is never told.
    Progress {
        /// The root of the state it has joined.
        root: Cid,
        /// How many files of that state its disk does not show yet.
        missing_files: u64,
    },
    /// Between members, before the head that names it: the sealed change from an older state to that head's (formats F4).
    Delta {
        /// The block.
        bytes: Vec<u8>,
    },
    /// Between members: which files the sender has open. It lasts until it is not repeated, and is kept nowhere.
    Editing {
        /// An epoch's tag, and the note sealed under it.
        sealed: Vec<u8>,
    },
}

impl Canonical for Message {
    fn encode(&self, w: &mut Writer) {
        match self {
            Message::LogSummary { ops, digest } => w.u8(1).varint((*ops).into()).put(digest),
            Message::LogHave { entries, last } => w.u8(2).list(entries).bool(*last),
            Message::Ops { ops } => put_items(w.u8(3), ops),
            Message::OpsWanted { ops } => w.u8(4).list(ops),
            Message::Envelopes(envelopes) => w.u8(5).put(envelopes),
            Message::HeadsHave { tips, last } => w.u8(6).list(tips).bool(*last),
            Message::HeadsWanted { chains } => w.u8(7).list(chains),
            Message::Heads { heads } => put_items(w.u8(8), heads),
            Message::Want { cids } => w.u8(9).list(cids),
            Message::Unwant { cids } => w.u8(10).list(cids),
            Message::Gone { cids } => w.u8(11).list(cids),
            Message::Receipt { bytes } => w.u8(12).bytes(bytes),
            Message::Stale { head, ops } => w.u8(13).put(head).list(ops),
            Message::Addresses(note) => w.u8(14).put(note),
            Message::Claim(part) => w.u8(15).put(part),
            Message::Claimed => w.u8(16),
            Message::ClaimRefused(why) => w.u8(17).put(why),
            Message::AttachVault(part) => w.u8(18).put(part),
            Message::VaultAttached => w.u8(19),
            Message::VaultRefused(why) => w.u8(20).put(why),
            Message::GenesisWanted => w.u8(21),
            Message::Genesis { bytes } => w.u8(22).bytes(bytes),
            Message::Progress { root, missing_files } => w.u8(23).put(root).varint(*missing_files),
            Message::Delta { bytes } => w.u8(24).bytes(bytes),
            Message::Editing { sealed } => w.u8(25).bytes(sealed),
        };
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match r.u8()? {
            1 => Message::LogSummary { ops: r.varint_max(LOG_OPS_MAX as u64, "log length")? as u32, digest: r.get()? },
            2 => Message::LogHave { entries: r.list(BATCH_ITEMS_MAX, "log entries")?, last: r.bool("last")? },
            3 => Message::Ops { ops: items(r, OP_BYTES_MAX, "op")? },
            4 => Message::OpsWanted { ops: r.list(BATCH_ITEMS_MAX, "ops wanted")? },
            5 => Message::Envelopes(r.get()?),
            6 => Message::HeadsHave { tips: r.list(BATCH_ITEMS_MAX, "tips")?, last: r.bool("last")? },
            7 => Message::HeadsWanted { chains: r.list(BATCH_ITEMS_MAX, "heads wanted")? },
            8 => Message::Heads { heads: items(r, HEAD_BYTES_MAX, "head")? },
            9 => Message::Want { cids: r.list(WANT_CIDS_MAX, "blocks wanted")? },
            10 => Message::Unwant { cids: r.list(WANT_CIDS_MAX, "blocks unwanted")? },
            11 => Message::Gone { cids: r.list(WANT_CIDS_MAX, "blocks gone")? },
            12 => Message::Receipt { bytes: r.bytes(RECEIPT_BYTES_MAX, "receipt")?.to_vec() },
            13 => Message::Stale { head: r.get()?, ops: r.list(HEAD_AUTH_MAX, "ops not known")? },
            14 => Message::Addresses(r.get()?),
            15 => Message::Claim(r.get()?),
            16 => Message::Claimed,
            17 => Message::ClaimRefused(r.get()?),
            18 => Message::AttachVault(r.get()?),
            19 => Message::VaultAttached,
            20 => Message::VaultRefused(r.get()?),
            21 => Message::GenesisWanted,
            22 => Message::Genesis { bytes: r.bytes(OP_BYTES_MAX, "genesis")?.to_vec() },
            23 => Message::Progress { root: r.get()?, missing_files: r.varint()? },
            24 => Message::Delta { bytes: r.bytes(DELTA_BLOCK_BYTES_MAX, "delta")?.to_vec() },
            25 => Message::Editing { sealed: r.bytes(EDITING_SEALED_BYTES_MAX, "open files")?.to_vec() },
            other => return Err(DecodeError::BadValue { what: "message kind", found: other.into() }),
        })
    }
}

/// Writes a count and that many byte strings.
fn put_items<'w>(w: &'w mut Writer, list: &[Vec<u8>]) -> &'w mut Writer {
    w.varint(list.len() as u64);
    for item in list {
        w.bytes(item);
    }
    w
}

/// Reads at most [`BATCH_ITEMS_MAX`] byte strings of at most `each_max` bytes.
fn items(r: &mut Reader<'_>, each_max: usize, what: &'static str) -> Result<Vec<Vec<u8>>, DecodeError> {
    let count = r.varint_max(BATCH_ITEMS_MAX as u64, what)?;
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(r.bytes(each_max, what)?.to_vec());
    }
    Ok(list)
}
