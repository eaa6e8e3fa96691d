//! All that crosses the border of a [`super::Replica`]: what the world tells it and what it asks of the world.

use crate::head::SignedHead;
use crate::hosting::SignedReceipt;
use crate::id::{Cid, HeadId, OpId, SigKey};
use crate::members::SignedOp;
use crate::replicate::{Priority, Refusal};
use crate::wire::proof::{KeyKind, Who};
use crate::wire::{AddressNote, Message, OpEnvelopes, Removal};

/// One open channel to one peer. The world gives a new number to every channel it opens and never uses one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// What the world tells a replica.
#[derive(Debug, Clone)]
pub enum Input {
    /// A channel is open, and both ends have proved a key.
    PeerOpened {
        /// The channel.
        peer: PeerId,
        /// What the other end proved.
        who: Who,
        /// As what we proved ours: as a guest (invite or member key) we speak of the log alone.
        ours: KeyKind,
    },
    /// A channel is closed, or its connection is lost.
    PeerClosed {
        /// The channel.
        peer: PeerId,
    },
    /// A message came.
    Received {
        /// From whom.
        peer: PeerId,
        /// What.
        message: Message,
    },
    /// A device asks to enter and brings the ops that admitted it, in case they are not known here.
    Introduced {
        /// What it proved.
        who: Who,
        /// Ops, unverified.
        ops: Vec<Vec<u8>>,
    },
    /// Somebody who was asked to let our device in says that it was sent away.
    ToldRemoved {
        /// Our device.
        device: SigKey,
        /// What should show it, unverified.
        told: Removal,
    },
    /// Ops written here, already durable, with their envelopes.
    LocalOps {
        /// The ops, each after those it depends on.
        ops: Vec<SignedOp>,
        /// Their envelopes.
        envelopes: Vec<OpEnvelopes>,
    },
    /// The delta of the head that is written here next. Devices connected now get it with that head; it is not kept.
    LocalDelta {
        /// Its name.
        cid: Cid,
        /// The sealed block.
        bytes: Vec<u8>,
    },
    /// A head written here, already durable.
    LocalHead(Box<SignedHead>),
    /// These blocks are needed.
    Want {
        /// Their names.
        cids: Vec<Cid>,
        /// How urgently.
        priority: Priority,
    },
    /// These are needed no longer.
    Unwant {
        /// Their names.
        cids: Vec<Cid>,
    },
    /// Bytes of a block are coming in from this peer.
    BlockReceiving {
        /// From whom.
        peer: PeerId,
    },
    /// A whole block came whose bytes have this name. Ask [`super::Replica::wants`] before storing it; tell it here in any case.
    BlockArrived {
        /// From whom.
        peer: PeerId,
        /// Its name.
        cid: Cid,
        /// Its length in bytes.
        bytes: u64,
    },
    /// A block asked for by [`Output::SendBlock`] is not here, or can not be made again.
    BlockMissing {
        /// Who wanted it.
        peer: PeerId,
        /// Its name.
        cid: Cid,
    },
    /// A block asked for by [`Output::SendBlock`] is out.
    BlockSent {
        /// Who wanted it.
        peer: PeerId,
        /// Its name.
        cid: Cid,
    },
    /// Much came in since others were last told what is here: they may ask again for what they did not get.
    HoldsMore,
    /// A receipt to publish: our own, if we are the seeder.
    LocalReceipt(SignedReceipt),
    /// Our own addresses.
    LocalAddresses(AddressNote),
    /// Time passed; see [`super::Replica::poll_timeout`].
    Tick,
}

/// What a replica asks of the world, or tells it. Ask again after every [`super::Replica::handle`].
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this message.
    Send {
        /// To whom.
        peer: PeerId,
        /// What.
        message: Message,
    },
    /// Send this block of *this folder's* store, and answer with `BlockSent` or `BlockMissing`.
    SendBlock {
        /// To whom.
        peer: PeerId,
        /// Which.
        cid: Cid,
    },
    /// Keep these ops; they are in the log.
    OpsAdded(Vec<OpId>),
    /// Keep these envelopes.
    EnvelopesAdded(OpEnvelopes),
    /// Keep this head; it counts. Also said of one that was in quarantine and is vouched for now.
    HeadAccepted(HeadId),
    /// Keep this head; it does not count. Also said of one that counted before its device was removed.
    HeadQuarantined(HeadId),
    /// A head that will never be taken.
    HeadRefused {
        /// The head.
        head: HeadId,
        /// Who signed it.
        device: SigKey,
        /// Why.
        why: Refusal,
    },
    /// A device signed two heads with one number.
    DeviceForked {
        /// Who signed both.
        device: SigKey,
        /// The one known longer.
        first: HeadId,
        /// The other.
        second: HeadId,
    },
    /// The block just told of was wanted: keep it.
    BlockTaken {
        /// Who brought it.
        peer: PeerId,
        /// Its name.
        cid: Cid,
    },
    /// The block just told of was not wanted: drop it (rule R15).
    BlockDropped {
        /// Who brought it.
        peer: PeerId,
        /// Its name.
        cid: Cid,
    },
    /// A delta came, before the head that names it. Use it soon or drop it: the head's tree can be fetched without.
    DeltaArrived {
        /// Its name, by its bytes.
        cid: Cid,
        /// The sealed block.
        bytes: Vec<u8>,
    },
    /// A receipt not known before.
    ReceiptArrived(SignedReceipt),
    /// A seeder denies a head that it signed for and must still have.
    SeederRolledBack {
        /// The seeder.
        seeder: SigKey,
        /// What it signed: the proof.
        receipt: SignedReceipt,
    },
    /// Newer addresses of a device.
    AddressesArrived(AddressNote),
    /// A peer says that this head rests on an old log; all that it names is in the log now (rule R9).
    Stale {
        /// The head.
        head: HeadId,
    },
    /// Close this channel; nothing of it is known here any more.
    ClosePeer {
        /// Which.
        peer: PeerId,
        /// Why.
        why: Closed,
    },
}

/// Why a replica has a channel closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The key is nothing to this folder, or is no more.
    #[error("the peer's key is not entitled to this folder")]
    NotEntitled,
    /// What no honest program sends.
    #[error("the peer broke the protocol: {0}")]
    Misbehaved(String),
}
