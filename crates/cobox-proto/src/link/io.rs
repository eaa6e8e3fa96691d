//! What a link says: what it wants done or known, why it ended, and why a call is not possible.

use crate::codec::DecodeError;
use crate::id::{BlindedFolder, EndpointId, FolderId, SigKey};
use crate::limits::{AUTH_TIMEOUT_MS, CHANNELS_PER_CONNECTION_MAX, FIND_PROOFS_MAX};
use crate::wire::proof::{Proof, Who};
use crate::wire::{Channel, FoundFolder, GoodbyeReason, Guess, Half, Message, Nameplate, Party, Removal, Told};

/// What a link wants done or known. Ask again after every call that takes `&mut self`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this frame.
    Send(Vec<u8>),
    /// The other end greeted.
    Met {
        /// The version both speak.
        version: u16,
        /// What sort of program it says it is.
        party: Party,
    },
    /// The other end has proved something; larger frames ([`super::Link::frame_bytes_max`]) and blocks may come.
    Proved,
    /// The other end asks to enter a folder. Answer with [`super::Link::accept`] or [`super::Link::refuse`].
    OpenAsked {
        /// Its number.
        channel: Channel,
        /// The folder's name in this session.
        blinded: BlindedFolder,
        /// What it shows; not verified yet, for only the folder's id allows that: [`super::Link::asked`].
        proof: Proof,
    },
    /// The other end let us in and proved a key of the folder. Whether that key still counts is the host's to judge.
    Opened {
        /// The number given by [`super::Link::open`].
        channel: Channel,
        /// The folder.
        folder: FolderId,
        /// Who answered.
        who: Who,
    },
    /// The other end does not let us in, or does not know the folder.
    Refused {
        /// The number given by [`super::Link::open`].
        channel: Channel,
        /// The folder.
        folder: FolderId,
    },
    /// The other end does not let us in, for we were sent away. Whether that is so, the ops have to show.
    Removed {
        /// The number given by [`super::Link::open`].
        channel: Channel,
        /// The folder.
        folder: FolderId,
        /// What should show it, unverified.
        told: Removal,
    },
    /// A message about an open folder.
    ToFolder {
        /// The channel.
        channel: Channel,
        /// The message.
        message: Message,
    },
    /// The other end closed a channel.
    Closed {
        /// Which.
        channel: Channel,
    },
    /// The other end proved these member keys and asks where they are live. Answer with [`super::Link::found`].
    FindAsked {
        /// The keys.
        keys: Vec<SigKey>,
    },
    /// The answer to [`super::Link::find`].
    Found {
        /// Folders, with the key each is about.
        folders: Vec<FoundFolder>,
    },
    /// The other end, which has proved something, wants to lay a nameplate here. Answer with [`super::Link::laid`].
    LayAsked {
        /// Its number.
        nameplate: Nameplate,
        /// The inviter's half.
        half: Half,
        /// For how many seconds.
        for_s: u16,
    },
    /// The answer to [`super::Link::lay`].
    Laid {
        /// The number.
        nameplate: Nameplate,
        /// Whether it lies there.
        yes: bool,
    },
    /// The other end takes a nameplate back, if it laid it.
    Lifted {
        /// The number.
        nameplate: Nameplate,
    },
    /// The other end asks for a nameplate. Answer with [`super::Link::tell`], whether it lies here or not.
    Asked {
        /// The number.
        nameplate: Nameplate,
    },
    /// The answer to [`super::Link::ask`].
    Told {
        /// The number.
        nameplate: Nameplate,
        /// What was told.
        told: Told,
    },
    /// The other end says the words of a nameplate. Answer with [`super::Link::given`].
    Guessed {
        /// The number.
        nameplate: Nameplate,
        /// Its guess.
        guess: Guess,
    },
    /// Somebody says the words of a nameplate of ours at the other end. Answer with [`super::Link::give`].
    Knocked {
        /// The number.
        nameplate: Nameplate,
        /// The machine it comes from, as the other end says.
        joiner: EndpointId,
        /// The guess.
        guess: Guess,
    },
    /// The answer to [`super::Link::knock`].
    Gave {
        /// The number.
        nameplate: Nameplate,
        /// The sealed invite; none if the words were wrong.
        sealed: Option<Vec<u8>>,
    },
    /// The answer to [`super::Link::guess`].
    Given {
        /// The number.
        nameplate: Nameplate,
        /// The sealed invite; none if the words were wrong or nobody is there.
        sealed: Option<Vec<u8>>,
    },
    /// The connection is over; close it once what was sent is out.
    Ended {
        /// Why.
        why: Ending,
    },
}

/// Why a link ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// The other end said so.
    #[error("the other end closed the connection ({0:?})")]
    ByPeer(GoodbyeReason),
    /// We said so.
    #[error("the connection was closed here ({0:?})")]
    ByUs(GoodbyeReason),
    /// A frame that is none.
    #[error("the other end sent a frame that can not be read: {0}")]
    Unreadable(DecodeError),
    /// A frame where it may not stand.
    #[error("the other end broke the protocol: {0}")]
    OutOfTurn(&'static str),
    /// No proof came in time.
    #[error("the other end proved nothing within {} seconds", AUTH_TIMEOUT_MS / 1000)]
    NothingProved,
    /// It speaks other versions only.
    #[error("the other end speaks versions {min} to {max} of the protocol; update the older program")]
    NoCommonVersion {
        /// Its lowest.
        min: u16,
        /// Its highest.
        max: u16,
    },
}

/// Why a call on a link is not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// There is no such channel in the state that the call needs; it may just have been closed.
    #[error("channel {} is not in that state", .0.0)]
    NoSuchChannel(Channel),
    /// The folder is open, or being opened, on this connection.
    #[error("the folder is open on this connection already")]
    AlreadyOpen,
    /// The proof is not good for that folder.
    #[error("the proof does not hold for this folder")]
    BadProof,
    /// 4,096 folders are open.
    #[error("no more than {CHANNELS_PER_CONNECTION_MAX} folders fit on one connection")]
    TooManyChannels,
    /// The message is larger than a frame.
    #[error("the message has {bytes} bytes, more than fit in a frame")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// More member keys than one question may name.
    #[error("{keys} member keys are more than the {FIND_PROOFS_MAX} of one question; ask in parts")]
    TooManyKeys {
        /// How many.
        keys: usize,
    },
    /// What is asked rests on an answer that is not here yet, or there is too much of it.
    #[error("this can not be asked now on this connection")]
    OutOfTurn,
    /// The connection is over.
    #[error("the connection has ended")]
    Ended,
}
