//! The frames of one connection: who we are, which folders are opened, and the messages on their channels. A frame is one kind
//! byte and its fields; the transport keeps frames apart.

use super::message::{Message, Removal};
use super::nameplate::{Guess, Half, Nameplate, Told};
use super::proof::{KeyProof, Proof};
use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::id::{BlindedFolder, EndpointId, FolderId, SigKey};
use crate::limits::{BATCH_ITEMS_MAX, FIND_PROOFS_MAX, INTRODUCTION_OPS_MAX, OP_BYTES_MAX, SPOKEN_SEALED_BYTES_MAX};

/// The protocol of this program; spoken are all versions from the lowest to the highest.
pub const VERSIONS: (u16, u16) = (1, 1);

/// A folder's number on one connection: even ones are given by the dialer, odd ones by the acceptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel(pub u32);

impl Canonical for Channel {
    fn encode(&self, w: &mut Writer) {
        w.varint(self.0.into());
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(r.varint_max(u32::MAX.into(), "channel")? as u32))
    }
}

/// What sort of program speaks. It decides nothing; keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// A member's device.
    Member = 1,
    /// A seeder.
    Seeder = 2,
}

impl Canonical for Party {
    fn encode(&self, w: &mut Writer) {
        w.u8(*self as u8);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match r.u8()? {
            1 => Party::Member,
            2 => Party::Seeder,
            other => return Err(DecodeError::BadValue { what: "party", found: other.into() }),
        })
    }
}

/// The first frame of each end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// Lowest version spoken.
    pub version_min: u16,
    /// Highest version spoken.
    pub version_max: u16,
    /// What sort of program.
    pub party: Party,
}

impl Hello {
    /// This program's.
    pub fn ours(party: Party) -> Self {
        Self { version_min: VERSIONS.0, version_max: VERSIONS.1, party }
    }

    /// The highest version both speak.
    pub fn common_version(&self, other: &Self) -> Option<u16> {
        let version = self.version_max.min(other.version_max);
        (version >= self.version_min && version >= other.version_min).then_some(version)
    }
}

impl Canonical for Hello {
    fn encode(&self, w: &mut Writer) {
        w.u16(self.version_min).u16(self.version_max).put(&self.party);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let hello = Self { version_min: r.u16()?, version_max: r.u16()?, party: r.get()? };
        if hello.version_min > hello.version_max {
            return Err(DecodeError::BadValue { what: "version range", found: hello.version_min.into() });
        }
        Ok(hello)
    }
}

/// Whether a folder holds files or a person's own recovery data; numbers as in the genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundFolder {
    /// The member key it is about.
    pub key: SigKey,
    /// A folder in which that key is live.
    pub folder: FolderId,
    /// Whether it is a vault.
    pub vault: bool,
}

impl Canonical for FoundFolder {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.key).put(&self.folder).bool(self.vault);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { key: r.get()?, folder: r.get()?, vault: r.bool("vault")? })
    }
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoodbyeReason {
    /// Nothing is left to do, or the program stops.
    Done = 1,
    /// Nothing was proved in time.
    NothingProved = 2,
    /// The protocol was broken.
    Misbehaved = 3,
    /// Too many are here already; come again later.
    Busy = 4,
    /// No common version.
    Version = 5,
}

impl Canonical for GoodbyeReason {
    fn encode(&self, w: &mut Writer) {
        w.u8(*self as u8);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match r.u8()? {
            1 => GoodbyeReason::Done,
            2 => GoodbyeReason::NothingProved,
            3 => GoodbyeReason::Misbehaved,
            4 => GoodbyeReason::Busy,
            5 => GoodbyeReason::Version,
            other => return Err(DecodeError::BadValue { what: "goodbye", found: other.into() }),
        })
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Versions; the first frame of each end, and only the first.
    Hello(Hello),
    /// "I hold a key of this folder; let me in."
    Open {
        /// Its number from now on.
        channel: Channel,
        /// The folder, blinded.
        blinded: BlindedFolder,
        /// The key.
        proof: Proof,
    },
    /// "Come in; and this is who I am to it."
    Opened {
        /// The opener's number.
        channel: Channel,
        /// Our key of the same folder.
        proof: KeyProof,
    },
    /// "No." The same whether the folder is unknown here or the key may not enter.
    Refused {
        /// The opener's number.
        channel: Channel,
    },
    /// The channel ends; its number is not used again.
    Close {
        /// Which.
        channel: Channel,
    },
    /// "In which folders are these member keys live?" Proofs are over [`FolderId::ZERO`].
    Find {
        /// The keys, proved.
        proofs: Vec<KeyProof>,
    },
    /// The answer; folders in which none of the keys is live are not in it.
    Found {
        /// What was found.
        folders: Vec<FoundFolder>,
    },
    /// A message about one open folder.
    On {
        /// Which.
        channel: Channel,
        /// What.
        message: Message,
    },
    /// The connection ends.
    Goodbye {
        /// Why.
        reason: GoodbyeReason,
    },
    /// "Should you not know the key I am about to open this folder with: these ops admitted it." Never answered; counts for the
    /// next `Open` alone.
    Introduce {
        /// The folder, blinded.
        blinded: BlindedFolder,
        /// Ops, each after those it depends on.
        ops: Vec<Vec<u8>>,
    },
    /// "No: you were sent away, and these ops say so." In place of `Refused`, to a device that proved a key which was a member's; in
    /// as many frames as it takes.
    Removed {
        /// The opener's number.
        channel: Channel,
        /// What says so, or a part of it.
        told: Removal,
        /// Whether no more follow.
        last: bool,
    },
    /// "Keep this nameplate for whoever asks for it." From an inviter to a mailbox that knows it.
    Lay {
        /// The number.
        nameplate: Nameplate,
        /// The inviter's half.
        half: Half,
        /// For how many seconds.
        for_s: u16,
    },
    /// The answer to `Lay`.
    Laid {
        /// The number.
        nameplate: Nameplate,
        /// Whether it lies there now; if not, the number is taken, or there are too many.
        yes: bool,
    },
    /// "Nobody is to be let in by it any more." From the inviter.
    Lift {
        /// The number.
        nameplate: Nameplate,
    },
    /// "Who is behind this nameplate?" From a joiner, whom nobody needs to know.
    Ask {
        /// The number.
        nameplate: Nameplate,
    },
    /// The answer to `Ask`; it looks the same for a nameplate that does not lie there.
    Told {
        /// The number.
        nameplate: Nameplate,
        /// What is told.
        told: Told,
    },
    /// "These are the words." From the joiner, once after `Told`.
    Guess {
        /// The number.
        nameplate: Nameplate,
        /// What shows it.
        guess: Guess,
    },
    /// The guess, passed on to the inviter.
    Knock {
        /// The number.
        nameplate: Nameplate,
        /// The joiner's machine.
        joiner: EndpointId,
        /// What it says.
        guess: Guess,
    },
    /// The inviter's answer to `Knock`.
    Give {
        /// The number.
        nameplate: Nameplate,
        /// The sealed invite; empty: the words were wrong.
        sealed: Vec<u8>,
    },
    /// The answer to `Guess`.
    Given {
        /// The number.
        nameplate: Nameplate,
        /// The sealed invite; empty, after a fixed while, if the words were wrong or the nameplate does not lie there.
        sealed: Vec<u8>,
    },
}

impl Canonical for Frame {
    fn encode(&self, w: &mut Writer) {
        match self {
            Frame::Hello(hello) => w.u8(1).put(hello),
            Frame::Open { channel, blinded, proof } => w.u8(2).put(channel).put(blinded).put(proof),
            Frame::Opened { channel, proof } => w.u8(3).put(channel).put(proof),
            Frame::Refused { channel } => w.u8(4).put(channel),
            Frame::Close { channel } => w.u8(5).put(channel),
            Frame::Find { proofs } => w.u8(6).list(proofs),
            Frame::Found { folders } => w.u8(7).list(folders),
            Frame::On { channel, message } => w.u8(8).put(channel).put(message),
            Frame::Goodbye { reason } => w.u8(9).put(reason),
            Frame::Introduce { blinded, ops } => put_ops(w.u8(10).put(blinded), ops),
            Frame::Removed { channel, told, last } => {
                put_ops(w.u8(11).put(channel), &told.ops).list(&told.envelopes).bool(*last)
            }
            Frame::Lay { nameplate, half, for_s } => w.u8(12).put(nameplate).put(half).u16(*for_s),
            Frame::Laid { nameplate, yes } => w.u8(13).put(nameplate).bool(*yes),
            Frame::Lift { nameplate } => w.u8(14).put(nameplate),
            Frame::Ask { nameplate } => w.u8(15).put(nameplate),
            Frame::Told { nameplate, told } => w.u8(16).put(nameplate).put(told),
            Frame::Guess { nameplate, guess } => w.u8(17).put(nameplate).put(guess),
            Frame::Knock { nameplate, joiner, guess } => w.u8(18).put(nameplate).put(joiner).put(guess),
            Frame::Give { nameplate, sealed } => w.u8(19).put(nameplate).bytes(sealed),
            Frame::Given { nameplate, sealed } => w.u8(20).put(nameplate).bytes(sealed),
        };
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match r.u8()? {
            1 => Frame::Hello(r.get()?),
            2 => Frame::Open { channel: r.get()?, blinded: r.get()?, proof: r.get()? },
            3 => Frame::Opened { channel: r.get()?, proof: r.get()? },
            4 => Frame::Refused { channel: r.get()? },
            5 => Frame::Close { channel: r.get()? },
            6 => Frame::Find { proofs: r.list(FIND_PROOFS_MAX, "member proofs")? },
            7 => Frame::Found { folders: r.list(BATCH_ITEMS_MAX, "found folders")? },
            8 => Frame::On { channel: r.get()?, message: r.get()? },
            9 => Frame::Goodbye { reason: r.get()? },
            10 => Frame::Introduce { blinded: r.get()?, ops: ops(r, "introduction")? },
            11 => {
                let (channel, ops) = (r.get()?, ops(r, "removal")?);
                let envelopes = r.list(INTRODUCTION_OPS_MAX, "envelopes of a removal")?;
                Frame::Removed { channel, told: Removal { ops, envelopes }, last: r.bool("last")? }
            }
            12 => Frame::Lay { nameplate: r.get()?, half: r.get()?, for_s: r.u16()? },
            13 => Frame::Laid { nameplate: r.get()?, yes: r.bool("laid")? },
            14 => Frame::Lift { nameplate: r.get()? },
            15 => Frame::Ask { nameplate: r.get()? },
            16 => Frame::Told { nameplate: r.get()?, told: r.get()? },
            17 => Frame::Guess { nameplate: r.get()?, guess: r.get()? },
            18 => Frame::Knock { nameplate: r.get()?, joiner: r.get()?, guess: r.get()? },
            19 => Frame::Give { nameplate: r.get()?, sealed: sealed(r)? },
            20 => Frame::Given { nameplate: r.get()?, sealed: sealed(r)? },
            other => return Err(DecodeError::BadValue { what: "frame kind", found: other.into() }),
        })
    }
}

fn put_ops<'w>(w: &'w mut Writer, ops: &[Vec<u8>]) -> &'w mut Writer {
    ops.iter().fold(w.varint(ops.len() as u64), |w, op| w.bytes(op))
}

fn ops(r: &mut Reader<'_>, what: &'static str) -> Result<Vec<Vec<u8>>, DecodeError> {
    let count = r.varint_max(INTRODUCTION_OPS_MAX as u64, what)?;
    (0..count).map(|_| Ok(r.bytes(OP_BYTES_MAX, "op")?.to_vec())).collect()
}

fn sealed(r: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(r.bytes(SPOKEN_SEALED_BYTES_MAX, "sealed invite")?.to_vec())
}
