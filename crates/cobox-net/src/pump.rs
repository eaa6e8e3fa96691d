//! Drives one connection: feeds what arrives to a [`Link`], carries out what it asks, and hands each folder's messages and
//! blocks to whoever owns the folder. Owns one task per connection, which ends with it; the folders it was open for are then
//! told. Knows no folder's contents: who may enter is the [`Host`]'s to say.
//!
//! What must hold: a folder that does not take its messages stops this peer, and no other; nothing reaches a folder before
//! its channel is open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cobox_proto::id::{Cid, EndpointId, FolderId, OfferId, SigKey};
use cobox_proto::link::{Ending, Link, LinkError, Output};
use cobox_proto::replicate::PeerId;
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::{KeyKind, KeyProof, Proof, Session, Side, Who};
use cobox_proto::wire::{Channel, FoundFolder, GoodbyeReason, Message, Party, Removal};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::connection::{CloseReason, Connection, Event};
use crate::error::NetError;
use crate::post::{Knock, Post};

mod meeting;

use meeting::{Meet, Meeting};

/// Messages and blocks a folder has not taken yet, per folder.
pub const INBOX_MAX: usize = 8;

static NEXT_PEER: AtomicU64 = AtomicU64::new(1);

/// What a folder is told.
#[derive(Debug)]
pub enum FolderEvent {
    /// A peer has opened the folder, or let us in; its key is proved.
    Opened {
        /// The peer, for answers.
        peer: Peer,
        /// Which key it proved, as what.
        who: Who,
    },
    /// It said something.
    Message {
        /// Who.
        peer: PeerId,
        /// What.
        message: Message,
    },
    /// It sent a block; `cid` is the hash of `bytes`.
    Block {
        /// Who.
        peer: PeerId,
        /// Its name.
        cid: Cid,
        /// The block.
        bytes: Bytes,
    },
    /// It is gone.
    Closed {
        /// Who.
        peer: PeerId,
    },
    /// Somebody proved this key and asks to enter.
    MayEnter {
        /// Which key, as what.
        who: Who,
        /// Ops by which it became what it says, unverified, should they be news here; mostly none.
        introduction: Vec<Vec<u8>>,
        /// The answer; dropping it says no.
        answer: oneshot::Sender<Answer>,
    },
    /// Who was asked to let us in says that we were sent away.
    Removed {
        /// What should show it, unverified.
        told: Removal,
    },
}

/// What somebody hears who proved a key and asks to enter.
#[derive(Debug)]
pub enum Answer {
    /// Come in.
    Enter(Box<Pass>),
    /// You were sent away: these ops say so. Without any it is a no like any other.
    Removed(Removal),
}

/// Where a folder takes its events from.
pub type Inbox = mpsc::Sender<FolderEvent>;

/// The end of an inbox from which nothing is taken any more: whoever came in and is not known of yet is sent away, as all are who come later.
/// Dropped as it is, it would leave them inside a folder in which nobody hears them.
pub async fn end_inbox(mut inbox: mpsc::Receiver<FolderEvent>) {
    inbox.close();
    while let Some(event) = inbox.recv().await {
        if let FolderEvent::Opened { peer, .. } = event {
            peer.close();
        }
    }
}

/// A folder open at a peer: the way to answer. Clones are the same.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its number.
    pub id: PeerId,
    /// The key of its machine.
    pub remote: SigKey,
    channel: Channel,
    conn: Connection,
    commands: mpsc::UnboundedSender<Command>,
}

impl Peer {
    /// Queues a message. Lost if the connection is over; [`FolderEvent::Closed`] tells.
    pub fn send(&self, message: Message) {
        let _ = self.commands.send(Command::Send { channel: self.channel, message });
    }

    /// Queues a block; waits while the peer takes nothing.
    pub async fn send_block(&self, bytes: Bytes) -> Result<(), NetError> {
        self.conn.send_block(self.channel.0, bytes).await
    }

    /// Ends this folder on the connection.
    pub fn close(&self) {
        let _ = self.commands.send(Command::Close { channel: self.channel });
    }
}

/// A key with which to enter a folder.
#[derive(Debug, Clone)]
pub struct Pass {
    /// As what.
    pub kind: KeyKind,
    /// The key.
    pub key: SecretKey,
    /// The ops that admitted it, for an end that may not have heard of them; none otherwise.
    pub introduction: Vec<Vec<u8>>,
}

/// The answer to somebody who claims a hosting offer.
#[derive(Debug)]
pub struct Admitted {
    /// Our key in the folder.
    pub pass: Pass,
    /// Where its messages go.
    pub inbox: Inbox,
}

/// The program behind the network: knows which folders are here and who may enter.
pub trait Host: Send + Sync + 'static {
    /// What sort of program.
    fn party(&self) -> Party;
    /// Which folder is meant: the one for which `is_it` is true. Decided from what is in memory.
    fn folder_called(&self, is_it: &dyn Fn(&FolderId) -> bool) -> Option<FolderId>;
    /// Where a folder's messages go; `None`: it is not here.
    fn inbox(&self, folder: &FolderId) -> Option<Inbox>;
    /// The secret of an offer that may still be claimed.
    fn offer_secret(&self, offer: OfferId) -> BoxFuture<'_, Option<[u8; 16]>>;
    /// Somebody knows the offer's secret and claims it for this folder.
    fn claimed(&self, offer: OfferId, folder: FolderId) -> BoxFuture<'_, Option<Admitted>>;
    /// In which folders are these member keys live?
    fn find(&self, keys: Vec<SigKey>) -> BoxFuture<'_, Vec<FoundFolder>>;
    /// A connection stands: the folders to be opened on it, each with our key there.
    fn greet(&self, remote: SigKey, opener: Opener);
    /// A connection ended.
    fn parted(&self, remote: SigKey);
    /// Where nameplates lie; `None`: nobody is met here.
    fn post(&self) -> Option<&Post> {
        None
    }
    /// Somebody guesses the words of a nameplate of ours: the sealed invite, if they are right. There is one guess.
    fn knocked(&self, _: Knock) -> BoxFuture<'_, Option<Vec<u8>>> {
        Box::pin(std::future::ready(None))
    }
}

#[derive(Debug)]
pub(crate) enum Command {
    Open {
        folder: FolderId,
        pass: OpenWith,
        answer: Option<oneshot::Sender<Opened>>,
    },
    Send {
        channel: Channel,
        message: Message,
    },
    Close {
        channel: Channel,
    },
    Find {
        keys: Vec<SecretKey>,
        answer: oneshot::Sender<Vec<FoundFolder>>,
    },
    Meet(Meet),
    /// A guess to be passed on to the inviter at the other end.
    Knock(Knock),
    Goodbye,
}

#[derive(Debug)]
pub(crate) enum OpenWith {
    Key(Box<Pass>),
    Offer(OfferId, [u8; 16]),
}

/// What came of asking to enter a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// It is open from now on.
    Yes,
    /// It is open on this connection, or being opened, for whoever asked before.
    Already,
    /// It is not: refused, or the connection ended first.
    No,
}

/// Opens folders on a connection. Clones are the same connection.
#[derive(Debug, Clone)]
pub struct Opener {
    remote: SigKey,
    is_dialer: bool,
    commands: mpsc::UnboundedSender<Command>,
}

impl Opener {
    /// The key of the machine at the other end.
    pub fn remote(&self) -> SigKey {
        self.remote
    }
    /// Whether this side dialed.
    pub fn is_dialer(&self) -> bool {
        self.is_dialer
    }
    /// Asks to enter a folder; success comes as [`FolderEvent::Opened`].
    pub fn open(&self, folder: FolderId, pass: Pass) {
        let _ = self.commands.send(Command::Open { folder, pass: OpenWith::Key(Box::new(pass)), answer: None });
    }
    /// Asks to enter a folder and waits for the answer; `false` also when the connection ends first.
    pub async fn open_and_wait(&self, folder: FolderId, pass: Pass) -> bool {
        self.ask_to_open(folder, OpenWith::Key(Box::new(pass))).await != Opened::No
    }
    /// The same for somebody who is not whoever has, or asked for, the folder on this connection before.
    pub async fn open_anew(&self, folder: FolderId, pass: Pass) -> Opened {
        self.ask_to_open(folder, OpenWith::Key(Box::new(pass))).await
    }
    async fn ask_to_open(&self, folder: FolderId, pass: OpenWith) -> Opened {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Command::Open { folder, pass, answer: Some(answer) });
        answered.await.unwrap_or(Opened::No)
    }
    /// Shows a hosting offer for a folder and waits for the answer.
    pub async fn claim(&self, folder: FolderId, offer: OfferId, secret: [u8; 16]) -> bool {
        self.ask_to_open(folder, OpenWith::Offer(offer, secret)).await != Opened::No
    }
    /// Asks in which folders these member keys are live. Empty also when the connection ends first.
    pub async fn find(&self, keys: Vec<SecretKey>) -> Vec<FoundFolder> {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Command::Find { keys, answer });
        answered.await.unwrap_or_default()
    }
    /// Ends the connection once what was queued is out.
    pub fn goodbye(&self) {
        let _ = self.commands.send(Command::Goodbye);
    }
    /// Whether the connection is over.
    pub fn is_over(&self) -> bool {
        self.commands.is_closed()
    }
}

/// Starts driving a connection. `us` is our endpoint's key. The returned opener is also handed to [`Host::greet`].
pub fn drive(conn: Connection, us: SigKey, host: Arc<dyn Host>) -> Opener {
    let (commands, queued) = mpsc::unbounded_channel();
    let opener = Opener { remote: conn.remote_key(), is_dialer: conn.is_dialer(), commands: commands.clone() };
    let begun = Instant::now();
    let side = if conn.is_dialer() { Side::Dialer } else { Side::Acceptor };
    let (ours, theirs) = (EndpointId(us.0), EndpointId(conn.remote_key().0));
    let (dialer, acceptor) = if conn.is_dialer() { (ours, theirs) } else { (theirs, ours) };
    let session = Session { exporter: conn.exporter(b"cobox/1 open", b""), dialer, acceptor };
    let link = Link::new(0, session, side, host.party());
    let pump = Pump {
        conn,
        host: host.clone(),
        link,
        begun,
        commands,
        open: BTreeMap::new(),
        answers: BTreeMap::new(),
        finding: None,
        meeting: Meeting::default(),
    };
    tokio::spawn(pump.run(queued));
    host.greet(opener.remote, opener.clone());
    opener
}

/// Who asks to enter which folder, and whether it may; if not because it was sent away, the ops that say so.
type Entering = (FolderId, Who, Result<Admitted, Removal>);

struct Pump {
    conn: Connection,
    host: Arc<dyn Host>,
    link: Link,
    begun: Instant,
    /// For the peers of folders. The receiver ends with the task, and with it `is_over` becomes true.
    commands: mpsc::UnboundedSender<Command>,
    open: BTreeMap<Channel, (PeerId, Inbox)>,
    answers: BTreeMap<Channel, oneshot::Sender<Opened>>,
    finding: Option<oneshot::Sender<Vec<FoundFolder>>>,
    meeting: Meeting,
}

impl Pump {
    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    async fn run(mut self, mut queued: mpsc::UnboundedReceiver<Command>) {
        let remote = self.conn.remote_key();
        loop {
            if self.carry_out().await.is_err() {
                break;
            }
            let wait = self.link.poll_timeout().map(|at| Duration::from_millis(at.saturating_sub(self.now_ms())));
            let alarm = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.conn.next() => match event {
                    Event::Frame(frame) => self.link.receive(self.now_ms(), &frame),
                    Event::Block { channel, cid, bytes } => self.block(Channel(channel), cid, bytes).await,
                    Event::Closed { reason } => {
                        // A stranger's noise is not worth a line of the log; what somebody does who has proved a key is.
                        if self.link.is_proved() && matches!(reason, CloseReason::Violation(_)) {
                            tracing::warn!(peer = %remote.short(), %reason, "a connection is closed");
                        } else {
                            tracing::debug!(peer = %remote.short(), %reason, "connection over");
                        }
                        break;
                    }
                },
                Some(command) = queued.recv() => self.command(command),
                () = alarm => self.link.tick(self.now_ms()),
            }
        }
        for (_, (peer, inbox)) in std::mem::take(&mut self.open) {
            let _ = inbox.send(FolderEvent::Closed { peer }).await;
        }
        self.conn.close("done");
        // From here on it is over, and the host sees so.
        drop(queued);
        self.host.parted(remote);
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Open { folder, pass, answer } => {
                let (proof, introduction) = match pass {
                    OpenWith::Key(pass) => (Proof::Key(self.prove(&folder, &pass)), pass.introduction),
                    OpenWith::Offer(offer, secret) => {
                        let mac = self.link.session().claim_mac(&secret, &folder);
                        (Proof::Claim { offer, folder, mac }, vec![])
                    }
                };
                match (self.link.open_introduced(folder, proof, introduction), answer) {
                    (Ok(channel), Some(answer)) => {
                        self.answers.insert(channel, answer);
                    }
                    (Err(why), Some(answer)) => {
                        tracing::debug!(%why, "a folder was not asked for");
                        let is_open = why == LinkError::AlreadyOpen;
                        let _ = answer.send(if is_open { Opened::Already } else { Opened::No });
                    }
                    (_, None) => {}
                }
            }
            Command::Send { channel, message } => {
                if let Err(why) = self.link.send(channel, message) {
                    tracing::debug!(%why, "a message was not sent");
                }
            }
            Command::Close { channel } => {
                self.link.close(channel);
                self.open.remove(&channel);
            }
            Command::Find { keys, answer } => {
                let proofs = keys
                    .iter()
                    .map(|key| {
                        let pass = Pass { kind: KeyKind::Member, key: key.clone(), introduction: vec![] };
                        self.prove(&FolderId::ZERO, &pass)
                    })
                    .collect();
                if self.link.find(proofs).is_ok() {
                    self.finding = Some(answer);
                }
            }
            Command::Meet(meet) => self.meet(meet),
            Command::Knock(Knock { nameplate, joiner, guess }) => self.link.knock(nameplate, joiner, guess),
            Command::Goodbye => self.link.goodbye(GoodbyeReason::Done),
        }
    }

    fn prove(&self, folder: &FolderId, pass: &Pass) -> KeyProof {
        self.link.session().prove(self.link.side(), folder, pass.kind, &pass.key)
    }

    async fn block(&mut self, channel: Channel, cid: Cid, bytes: Bytes) {
        if let Some((peer, inbox)) = self.open.get(&channel) {
            let _ = inbox.send(FolderEvent::Block { peer: *peer, cid, bytes }).await;
        }
    }

    /// Does what the link asks; `Err` when the connection is to end.
    async fn carry_out(&mut self) -> Result<(), ()> {
        while let Some(output) = self.link.poll_output() {
            match output {
                Output::Send(frame) => self.conn.send_frame(frame).await.map_err(|_| ())?,
                Output::Met { .. } => {}
                Output::Proved => self.conn.set_authenticated(),
                Output::OpenAsked { channel, proof, .. } => self.asked(channel, proof).await,
                Output::Opened { channel, folder, who } => {
                    let inbox = self.host.inbox(&folder);
                    let answer = self.answers.remove(&channel);
                    match inbox {
                        Some(inbox) => self.enter(channel, who, inbox).await,
                        None => self.link.close(channel),
                    }
                    if let Some(answer) = answer {
                        let _ = answer.send(Opened::Yes);
                    }
                }
                Output::Refused { channel, .. } => {
                    if let Some(answer) = self.answers.remove(&channel) {
                        let _ = answer.send(Opened::No);
                    }
                }
                Output::Removed { channel, folder, told } => {
                    if let Some(answer) = self.answers.remove(&channel) {
                        let _ = answer.send(Opened::No);
                    }
                    if let Some(inbox) = self.host.inbox(&folder) {
                        let _ = inbox.send(FolderEvent::Removed { told }).await;
                    }
                }
                Output::ToFolder { channel, message } => {
                    if let Some((peer, inbox)) = self.open.get(&channel) {
                        let _ = inbox.send(FolderEvent::Message { peer: *peer, message }).await;
                    }
                }
                Output::Closed { channel } => {
                    if let Some((peer, inbox)) = self.open.remove(&channel) {
                        let _ = inbox.send(FolderEvent::Closed { peer }).await;
                    }
                }
                Output::FindAsked { keys } => {
                    let folders = self.host.find(keys).await;
                    self.link.found(folders);
                }
                Output::Found { folders } => {
                    if let Some(answer) = self.finding.take() {
                        let _ = answer.send(folders);
                    }
                }
                meeting @ (Output::LayAsked { .. }
                | Output::Laid { .. }
                | Output::Lifted { .. }
                | Output::Asked { .. }
                | Output::Told { .. }
                | Output::Guessed { .. }
                | Output::Knocked { .. }
                | Output::Gave { .. }
                | Output::Given { .. }) => self.met(meeting),
                Output::Ended { why } => {
                    let broke_rules = matches!(why, Ending::Unreadable(_) | Ending::OutOfTurn(_));
                    if self.link.is_proved() && broke_rules {
                        tracing::warn!(peer = %self.conn.remote_key().short(), %why, "a connection is closed");
                    } else {
                        tracing::debug!(%why, "link ended");
                    }
                    self.conn.close_when_sent(&why.to_string()).await;
                    return Err(());
                }
            }
        }
        Ok(())
    }

    async fn asked(&mut self, channel: Channel, proof: Proof) {
        let entering = match proof {
            Proof::Key(_) => self.asked_with_key(channel).await,
            Proof::Claim { offer, .. } => self.asked_with_offer(channel, offer).await,
        };
        let now_ms = self.now_ms();
        let (folder, who, admitted) = match entering {
            Some((folder, who, Ok(admitted))) => (folder, who, admitted),
            Some((_, _, Err(removal))) => return self.link.refuse_removed(now_ms, channel, removal),
            None => return self.link.refuse(now_ms, channel),
        };
        let ours = self.prove(&folder, &admitted.pass);
        match self.link.accept(channel, folder, ours) {
            Ok(()) => self.enter(channel, who, admitted.inbox).await,
            Err(_) => self.link.refuse(now_ms, channel),
        }
    }

    async fn asked_with_key(&mut self, channel: Channel) -> Option<Entering> {
        let link = &self.link;
        let folder = self.host.folder_called(&|folder| link.asked(channel, folder).is_some())?;
        let who = link.asked(channel, &folder)?;
        let inbox = self.host.inbox(&folder)?;
        let (answer, answered) = oneshot::channel();
        let introduction = self.link.introduction(&folder);
        inbox.send(FolderEvent::MayEnter { who, introduction, answer }).await.ok()?;
        let admitted = match answered.await.ok()? {
            Answer::Enter(pass) => Ok(Admitted { pass: *pass, inbox }),
            Answer::Removed(told) => Err(told),
        };
        Some((folder, who, admitted))
    }

    async fn asked_with_offer(&self, channel: Channel, offer: OfferId) -> Option<Entering> {
        let secret = self.host.offer_secret(offer).await?;
        let folder = self.link.claim_holds(channel, &secret)?;
        let admitted = self.host.claimed(offer, folder).await?;
        // A claimant has shown an offer, not a key; what it may do is only to bring the log.
        let who = Who { kind: KeyKind::Invite, key: SigKey::ZERO };
        Some((folder, who, Ok(admitted)))
    }

    async fn enter(&mut self, channel: Channel, who: Who, inbox: Inbox) {
        let id = PeerId(NEXT_PEER.fetch_add(1, Ordering::Relaxed));
        let (conn, commands) = (self.conn.clone(), self.commands.clone());
        let peer = Peer { id, remote: conn.remote_key(), channel, conn, commands };
        if inbox.send(FolderEvent::Opened { peer, who }).await.is_ok() {
            self.open.insert(channel, (id, inbox));
        } else {
            self.link.close(channel);
        }
    }
}
