//! One connection, without the connection: greets, opens folders as numbered channels, answers and asks for proofs, and keeps a
//! peer that has proved nothing on a short leash. Owns channel numbers and deadlines; knows no folder's contents, no roster and
//! no key. The host looks at [`Output::OpenAsked`], finds the folder by its blinded id, asks [`Link::asked`] who is there, and
//! answers.
//!
//! Must hold: a stranger learns nothing, not even by the clock, of which folders are here; nothing of a folder passes before its
//! channel is open; a folder has at most one open channel on a connection; after [`Output::Ended`] nothing more comes out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::codec::{Canonical, DecodeError};
use crate::id::{BlindedFolder, FolderId};
use crate::limits::{
    AUTH_TIMEOUT_MS, BATCH_ITEMS_MAX, CHANNELS_PER_CONNECTION_MAX, FIND_PROOFS_MAX, FRAME_BYTES_BEFORE_AUTH_MAX,
    FRAME_BYTES_MAX, INTRODUCTION_BYTES_MAX, INTRODUCTION_OPS_MAX, OPENS_WAITING_MAX, REFUSAL_DELAY_MS,
    REFUSALS_BEFORE_AUTH_MAX, REMOVAL_FRAMES_MAX,
};
use crate::wire::proof::{KeyProof, Proof, Session, Side, Who};
use crate::wire::{Channel, FoundFolder, Frame, GoodbyeReason, Hello, Message, OpEnvelopes, Party, Removal};

mod io;
mod meeting;
#[cfg(test)]
mod tests;

pub use io::{Ending, LinkError, Output};

#[derive(Debug)]
enum ChannelState {
    /// We asked; no answer yet.
    Asking { folder: FolderId, removed: Removal, frames: usize },
    /// They asked; the host has not answered yet.
    Asked { blinded: BlindedFolder, proof: Proof },
    /// They asked; the refusal waits for its time.
    Refusing,
    /// Messages pass.
    Open { folder: FolderId },
}

impl ChannelState {
    fn folder(&self) -> Option<&FolderId> {
        match self {
            ChannelState::Asking { folder, .. } | ChannelState::Open { folder } => Some(folder),
            ChannelState::Asked { .. } | ChannelState::Refusing => None,
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Link {
    session: Session,
    side: Side,
    channels: BTreeMap<Channel, ChannelState>,
    /// The next number we give.
    next_ours: u32,
    /// The lowest number they may still give.
    next_theirs: u32,
    hello: Hello,
    met: bool,
    proved: bool,
    asked_to_find: bool,
    /// We asked where member keys are live, and were not answered yet.
    finding: bool,
    refused: usize,
    /// Refusals not yet told, with the time to tell them and what is to be told by them.
    refusals: VecDeque<(u64, Channel, Removal)>,
    /// Folders about which the other end was told that it was sent away.
    told_removed: BTreeSet<BlindedFolder>,
    prove_until_ms: u64,
    outputs: VecDeque<Output>,
    ended: bool,
    /// What came before the next open.
    introduced: Option<(BlindedFolder, Vec<Vec<u8>>)>,
    meetings: meeting::Meetings,
}

impl Link {
    /// A fresh connection of which we are the end `side`; greets at once.
    pub fn new(now_ms: u64, session: Session, side: Side, party: Party) -> Self {
        let (next_ours, next_theirs) = match side {
            Side::Dialer => (0, 1),
            Side::Acceptor => (1, 0),
        };
        let hello = Hello::ours(party);
        let mut link = Self {
            session,
            side,
            channels: BTreeMap::new(),
            next_ours,
            next_theirs,
            hello,
            met: false,
            proved: false,
            introduced: None,
            meetings: meeting::Meetings::default(),
            asked_to_find: false,
            finding: false,
            refused: 0,
            refusals: VecDeque::new(),
            told_removed: BTreeSet::new(),
            prove_until_ms: now_ms.saturating_add(AUTH_TIMEOUT_MS),
            outputs: VecDeque::new(),
            ended: false,
        };
        link.send_frame(&Frame::Hello(hello));
        link
    }

    /// The session proofs are made for: `link.session().prove(link.side(), ..)`.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Which end we are.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Whether the other end has proved anything yet.
    pub fn is_proved(&self) -> bool {
        self.proved
    }

    /// The largest frame to read from the other end now.
    pub fn frame_bytes_max(&self) -> usize {
        if self.proved { FRAME_BYTES_MAX } else { FRAME_BYTES_BEFORE_AUTH_MAX }
    }

    /// The folder of an open channel.
    pub fn folder(&self, channel: Channel) -> Option<&FolderId> {
        match self.channels.get(&channel)? {
            ChannelState::Open { folder } => Some(folder),
            _ => None,
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::tick`] is due. Ask again after every call that takes `&mut self`.
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.ended {
            return None;
        }
        let refusal = self.refusals.front().map(|(due, ..)| *due);
        let proof = (!self.proved).then_some(self.prove_until_ms);
        refusal.into_iter().chain(proof).min()
    }

    /// Time passes.
    pub fn tick(&mut self, now_ms: u64) {
        if self.ended {
            return;
        }
        while self.refusals.front().is_some_and(|(due, ..)| *due <= now_ms)
            && let Some((_, channel, told)) = self.refusals.pop_front()
        {
            self.channels.remove(&channel);
            self.send_refusal(channel, told);
        }
        if !self.proved && now_ms >= self.prove_until_ms {
            self.end(GoodbyeReason::NothingProved, Ending::NothingProved);
        }
    }

    /// Asks for a folder. `proof` is one of `session().prove(..)`, or a claim.
    ///
    /// Errors: the folder is open or asked for here already; too many channels; the link ended.
    pub fn open(&mut self, folder: FolderId, proof: Proof) -> Result<Channel, LinkError> {
        self.open_introduced(folder, proof, vec![])
    }

    /// The same, with the ops that admitted the key: the other end may not have heard of them.
    pub fn open_introduced(&mut self, folder: FolderId, proof: Proof, ops: Vec<Vec<u8>>) -> Result<Channel, LinkError> {
        self.running()?;
        if self.channels.values().any(|state| state.folder() == Some(&folder)) {
            return Err(LinkError::AlreadyOpen);
        }
        if self.channels.len() >= CHANNELS_PER_CONNECTION_MAX {
            return Err(LinkError::TooManyChannels);
        }
        let channel = Channel(self.next_ours);
        self.next_ours = self.next_ours.checked_add(2).ok_or(LinkError::TooManyChannels)?;
        let blinded = self.session.blind(&folder);
        self.channels.insert(channel, ChannelState::Asking { folder, removed: Removal::default(), frames: 0 });
        if !ops.is_empty() {
            self.send_frame(&Frame::Introduce { blinded, ops });
        }
        self.send_frame(&Frame::Open { channel, blinded, proof });
        Ok(channel)
    }

    /// Who asks on `channel`, if its proof holds for `folder`. `None`: refuse it. For a claim use [`Self::claim_holds`].
    pub fn asked(&self, channel: Channel, folder: &FolderId) -> Option<Who> {
        match self.channels.get(&channel)? {
            ChannelState::Asked { blinded, proof: Proof::Key(proof) } => {
                let holds =
                    *blinded == self.session.blind(folder) && self.session.verify(self.side.other(), folder, proof);
                holds.then_some(proof.who)
            }
            _ => None,
        }
    }

    /// What came with the last [`Output::OpenAsked`], if it was for this folder: ops that admitted the key, unverified. They are
    /// given once.
    pub fn introduction(&mut self, folder: &FolderId) -> Vec<Vec<u8>> {
        match self.introduced.take() {
            Some((blinded, ops)) if blinded == self.session.blind(folder) => ops,
            _ => vec![],
        }
    }

    /// The folder that is claimed on `channel`, if the claim knows the offer's secret.
    pub fn claim_holds(&self, channel: Channel, secret: &[u8; 16]) -> Option<FolderId> {
        match self.channels.get(&channel)? {
            ChannelState::Asked { blinded, proof: Proof::Claim { folder, mac, .. } } => {
                let holds = *blinded == self.session.blind(folder) && self.session.claim_holds(secret, folder, mac);
                holds.then_some(*folder)
            }
            _ => None,
        }
    }

    /// Lets the other end in, and shows it a key of ours. Only after [`Self::asked`] or [`Self::claim_holds`] answered and the
    /// host found the key entitled.
    ///
    /// Errors: nobody asks there; `ours` is not our proof for this folder; the folder is open on another channel.
    pub fn accept(&mut self, channel: Channel, folder: FolderId, ours: KeyProof) -> Result<(), LinkError> {
        self.running()?;
        let Some(ChannelState::Asked { blinded, .. }) = self.channels.get(&channel) else {
            return Err(LinkError::NoSuchChannel(channel));
        };
        if *blinded != self.session.blind(&folder) || !self.session.verify(self.side, &folder, &ours) {
            return Err(LinkError::BadProof);
        }
        if self.channels.values().any(|state| matches!(state, ChannelState::Open { folder: open } if *open == folder)) {
            return Err(LinkError::AlreadyOpen);
        }
        self.channels.insert(channel, ChannelState::Open { folder });
        self.send_frame(&Frame::Opened { channel, proof: ours });
        self.proved();
        Ok(())
    }

    /// Says no, a fixed while later, so that the clock does not tell why.
    pub fn refuse(&mut self, now_ms: u64, channel: Channel) {
        self.refuse_with(now_ms, channel, Removal::default());
    }

    /// Says no to a device that was sent away, and that it was: the ops show it. Only after [`Self::asked`] answered, and with ops that
    /// this very key may have. Told once for a folder on a connection; whoever asks on
    /// is refused like anybody, and what is too much to tell is not told.
    pub fn refuse_removed(&mut self, now_ms: u64, channel: Channel, told: Removal) {
        let Some(ChannelState::Asked { blinded, .. }) = self.channels.get(&channel) else { return };
        let is_news = removal_frames(&told).is_some() && self.told_removed.insert(*blinded);
        self.refuse_with(now_ms, channel, if is_news { told } else { Removal::default() });
    }

    fn refuse_with(&mut self, now_ms: u64, channel: Channel, told: Removal) {
        if self.ended || !matches!(self.channels.get(&channel), Some(ChannelState::Asked { .. })) {
            return;
        }
        self.channels.insert(channel, ChannelState::Refusing);
        self.refusals.push_back((now_ms.saturating_add(REFUSAL_DELAY_MS), channel, told));
        self.refused += 1;
        if !self.proved && self.refused >= REFUSALS_BEFORE_AUTH_MAX {
            self.end(GoodbyeReason::NothingProved, Ending::NothingProved);
        }
    }

    /// Sends a message about an open folder.
    ///
    /// Errors: the channel is not open; the message is over a frame's size.
    pub fn send(&mut self, channel: Channel, message: Message) -> Result<(), LinkError> {
        self.running()?;
        if self.folder(channel).is_none() {
            return Err(LinkError::NoSuchChannel(channel));
        }
        let bytes = Frame::On { channel, message }.to_bytes();
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(LinkError::TooLarge { bytes: bytes.len() });
        }
        self.outputs.push_back(Output::Send(bytes));
        Ok(())
    }

    /// Closes a channel. Messages of the other end that are on their way are dropped.
    pub fn close(&mut self, channel: Channel) {
        let ours_to_close =
            matches!(self.channels.get(&channel), Some(ChannelState::Open { .. } | ChannelState::Asking { .. }));
        if !self.ended && ours_to_close {
            self.channels.remove(&channel);
            self.send_frame(&Frame::Close { channel });
        }
    }

    /// Asks in which folders these member keys are live; at most [`crate::limits::FIND_PROOFS_MAX`] at a time, one question at
    /// a time.
    pub fn find(&mut self, proofs: Vec<KeyProof>) -> Result<(), LinkError> {
        self.running()?;
        if proofs.len() > FIND_PROOFS_MAX {
            return Err(LinkError::TooManyKeys { keys: proofs.len() });
        }
        self.finding = true;
        self.send_frame(&Frame::Find { proofs });
        Ok(())
    }

    /// Answers [`Output::FindAsked`], with the first 1,024 folders if there are more.
    pub fn found(&mut self, mut folders: Vec<FoundFolder>) {
        folders.truncate(BATCH_ITEMS_MAX);
        if self.ended || !std::mem::take(&mut self.asked_to_find) {
            return;
        }
        if folders.is_empty() {
            self.refused += 1;
        } else {
            self.proved();
        }
        self.send_frame(&Frame::Found { folders });
    }

    /// Ends the connection politely.
    pub fn goodbye(&mut self, reason: GoodbyeReason) {
        if !self.ended {
            self.end(reason, Ending::ByUs(reason));
        }
    }

    /// A frame arrived.
    pub fn receive(&mut self, now_ms: u64, bytes: &[u8]) {
        if self.ended {
            return;
        }
        let limit = self.frame_bytes_max();
        let frame = if bytes.len() > limit {
            Err(DecodeError::TooLarge { what: "frame", found: bytes.len() as u64, limit: limit as u64 })
        } else {
            Frame::from_bytes(bytes)
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return self.end(GoodbyeReason::Misbehaved, Ending::Unreadable(error)),
        };
        if let Err(what) = self.handle(now_ms, frame) {
            self.end(GoodbyeReason::Misbehaved, Ending::OutOfTurn(what));
        }
    }

    fn handle(&mut self, now_ms: u64, frame: Frame) -> Result<(), &'static str> {
        if self.met == matches!(frame, Frame::Hello(_)) {
            return Err("each end greets once, and first");
        }
        match frame {
            Frame::Hello(theirs) => self.greeted(theirs),
            Frame::Open { channel, blinded, proof } => self.open_asked(now_ms, channel, blinded, proof)?,
            Frame::Opened { channel, proof } => self.opened(channel, &proof)?,
            Frame::Refused { channel } => self.refused(channel)?,
            Frame::Removed { channel, told, last } => self.removed(channel, told, last)?,
            Frame::Close { channel } => {
                let open = matches!(self.channels.get(&channel), Some(ChannelState::Open { .. }));
                if open || matches!(self.channels.get(&channel), Some(ChannelState::Asked { .. })) {
                    self.channels.remove(&channel);
                    self.outputs.push_back(Output::Closed { channel });
                } else if !self.was_used(channel) {
                    return Err("closed a channel that never was");
                }
            }
            Frame::Find { proofs } => {
                if std::mem::replace(&mut self.asked_to_find, true) {
                    return Err("asked again before the answer");
                }
                if !self.proved && self.refused >= REFUSALS_BEFORE_AUTH_MAX {
                    return Err("asked too often in vain");
                }
                let theirs = self.side.other();
                if proofs.iter().any(|proof| !self.session.verify(theirs, &FolderId::ZERO, proof)) {
                    return Err("a member proof does not hold");
                }
                let keys = proofs.iter().map(|proof| proof.who.key).collect();
                self.outputs.push_back(Output::FindAsked { keys });
            }
            Frame::Found { folders } => {
                // Else a stranger would count as proved by answering what nobody asked.
                if !std::mem::take(&mut self.finding) {
                    return Err("answered a question that was not asked");
                }
                if !folders.is_empty() {
                    self.proved();
                }
                self.outputs.push_back(Output::Found { folders });
            }
            Frame::On { channel, message } => match self.channels.get(&channel) {
                Some(ChannelState::Open { .. }) => self.outputs.push_back(Output::ToFolder { channel, message }),
                None if self.was_used(channel) => {} // It crossed our Close on the way.
                _ => return Err("spoke about a folder that is not open"),
            },
            // One at a time, no larger than a frame may be.
            Frame::Introduce { blinded, ops } => self.introduced = Some((blinded, ops)),
            Frame::Lay { .. }
            | Frame::Laid { .. }
            | Frame::Lift { .. }
            | Frame::Ask { .. }
            | Frame::Told { .. }
            | Frame::Guess { .. }
            | Frame::Knock { .. }
            | Frame::Give { .. }
            | Frame::Given { .. } => self.meet(frame)?,
            Frame::Goodbye { reason } => {
                self.ended = true;
                self.outputs.push_back(Output::Ended { why: Ending::ByPeer(reason) });
            }
        }
        Ok(())
    }

    fn greeted(&mut self, theirs: Hello) {
        self.met = true;
        match self.hello.common_version(&theirs) {
            Some(version) => self.outputs.push_back(Output::Met { version, party: theirs.party }),
            None => {
                let why = Ending::NoCommonVersion { min: theirs.version_min, max: theirs.version_max };
                self.end(GoodbyeReason::Version, why);
            }
        }
    }

    fn open_asked(
        &mut self,
        now_ms: u64,
        channel: Channel,
        blinded: BlindedFolder,
        proof: Proof,
    ) -> Result<(), &'static str> {
        if channel.0 % 2 != self.next_theirs % 2 || channel.0 < self.next_theirs {
            return Err("a channel number that is not its to give");
        }
        self.next_theirs = channel.0.checked_add(2).ok_or("the last channel number")?;
        let waiting = |state: &&ChannelState| matches!(state, ChannelState::Asked { .. } | ChannelState::Refusing);
        let waiting = self.channels.values().filter(waiting).count();
        if (waiting >= OPENS_WAITING_MAX && !self.proved) || self.channels.len() >= CHANNELS_PER_CONNECTION_MAX {
            return Err("opens too many folders at once");
        }
        // Both ends may ask for one folder at the same time: then the dialer's channel is the one.
        let ours_first = self.side == Side::Dialer
            && self.channels.values().any(|s| s.folder().is_some_and(|folder| self.session.blind(folder) == blinded));
        self.channels.insert(channel, ChannelState::Asked { blinded, proof });
        if ours_first {
            self.refuse(now_ms, channel);
        } else {
            self.outputs.push_back(Output::OpenAsked { channel, blinded, proof });
        }
        Ok(())
    }

    fn opened(&mut self, channel: Channel, proof: &KeyProof) -> Result<(), &'static str> {
        let folder = match self.channels.get(&channel) {
            Some(ChannelState::Asking { folder, .. }) => *folder,
            None if self.was_used(channel) => return Ok(()), // We gave up waiting.
            _ => return Err("answered a question that was not asked"),
        };
        if !self.session.verify(self.side.other(), &folder, proof) {
            return Err("its proof does not hold");
        }
        self.channels.insert(channel, ChannelState::Open { folder });
        self.proved();
        self.outputs.push_back(Output::Opened { channel, folder, who: proof.who });
        Ok(())
    }

    fn refused(&mut self, channel: Channel) -> Result<(), &'static str> {
        match self.channels.get(&channel) {
            Some(ChannelState::Asking { folder, .. }) => {
                let folder = *folder;
                self.channels.remove(&channel);
                // Refused only because the other end's own channel came first: nothing to tell.
                if !self.channels.values().any(|state| state.folder() == Some(&folder)) {
                    self.outputs.push_back(Output::Refused { channel, folder });
                }
                Ok(())
            }
            None if self.was_used(channel) => Ok(()),
            _ => Err("refused a question that was not asked"),
        }
    }

    fn removed(&mut self, channel: Channel, told: Removal, last: bool) -> Result<(), &'static str> {
        let was_used = self.was_used(channel);
        match self.channels.get_mut(&channel) {
            Some(ChannelState::Asking { folder, removed, frames }) => {
                *frames += 1;
                if *frames > REMOVAL_FRAMES_MAX {
                    return Err("told a removal without end");
                }
                removed.ops.extend(told.ops);
                removed.envelopes.extend(told.envelopes);
                if last {
                    let (folder, told) = (*folder, std::mem::take(removed));
                    self.channels.remove(&channel);
                    self.outputs.push_back(Output::Removed { channel, folder, told });
                }
                Ok(())
            }
            None if was_used => Ok(()), // We gave up waiting.
            _ => Err("refused a question that was not asked"),
        }
    }

    fn send_refusal(&mut self, channel: Channel, told: Removal) {
        let Some(frames) = removal_frames(&told) else { return self.send_frame(&Frame::Refused { channel }) };
        let count = frames.len();
        for (n, told) in frames.into_iter().enumerate() {
            self.send_frame(&Frame::Removed { channel, told, last: n + 1 == count });
        }
    }

    fn was_used(&self, channel: Channel) -> bool {
        let next = if channel.0 % 2 == self.next_ours % 2 { self.next_ours } else { self.next_theirs };
        channel.0 < next
    }

    fn proved(&mut self) {
        if !std::mem::replace(&mut self.proved, true) {
            self.outputs.push_back(Output::Proved);
        }
    }

    fn running(&self) -> Result<(), LinkError> {
        if self.ended { Err(LinkError::Ended) } else { Ok(()) }
    }

    fn send_frame(&mut self, frame: &Frame) {
        self.outputs.push_back(Output::Send(frame.to_bytes()));
    }

    fn end(&mut self, reason: GoodbyeReason, why: Ending) {
        self.send_frame(&Frame::Goodbye { reason });
        self.ended = true;
        self.outputs.push_back(Output::Ended { why });
    }
}

/// What is told of a removal, in pieces that a peer takes before we have proved anything to it; `None` if nothing is to be told or the ops
/// do not fit. Of the envelopes come as many as fit.
fn removal_frames(told: &Removal) -> Option<Vec<Removal>> {
    let mut frames: Vec<(Removal, usize)> = Vec::new();
    for op in &told.ops {
        frame_for(&mut frames, op.len())?.ops.push(op.clone());
    }
    for piece in told.envelopes.iter().flat_map(pieces) {
        let Some(frame) = frame_for(&mut frames, piece.to_bytes().len()) else { break };
        frame.envelopes.push(piece);
    }
    (!told.ops.is_empty()).then(|| frames.into_iter().map(|(frame, _)| frame).collect())
}

/// The frame that still takes something so long, or a new one; `None` if it is too long for any, or there are too many.
fn frame_for(frames: &mut Vec<(Removal, usize)>, bytes: usize) -> Option<&mut Removal> {
    let is_full = |(frame, held): &(Removal, usize)| {
        frame.ops.len() + frame.envelopes.len() >= INTRODUCTION_OPS_MAX || held + bytes > INTRODUCTION_BYTES_MAX
    };
    if frames.last().is_none_or(is_full) {
        if bytes > INTRODUCTION_BYTES_MAX || frames.len() == REMOVAL_FRAMES_MAX {
            return None;
        }
        frames.push((Removal::default(), 0));
    }
    let (frame, held) = frames.last_mut()?;
    *held += bytes;
    Some(frame)
}

/// The envelopes of one op in pieces that fit a frame, if any do.
fn pieces(sent: &OpEnvelopes) -> Vec<OpEnvelopes> {
    let none = OpEnvelopes { op: sent.op, list: sent.list.clone(), envelopes: vec![] };
    let around = none.to_bytes().len() + 1; // A count of more than 127 takes a byte more.
    let (mut pieces, mut bytes): (Vec<OpEnvelopes>, usize) = (vec![], 0);
    for envelope in &sent.envelopes {
        let more = envelope.to_bytes().len();
        if pieces.is_empty() || bytes + more > INTRODUCTION_BYTES_MAX {
            pieces.push(none.clone());
            bytes = around;
        }
        bytes += more;
        pieces.last_mut().expect("one was just pushed").envelopes.push(envelope.clone());
    }
    pieces
}
