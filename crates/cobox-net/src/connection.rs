//! One connection: a control stream of frames and block streams towards the peer and from it. Owns the tasks that read and
//! write the streams; they talk to the caller through queues bounded in bytes.
//!
//! What must hold: frames arrive whole and in order; blocks arrive whole, named by the hash of what arrived, in any order;
//! frames never wait for blocks; what the caller does not take, the peer cannot send.
//! What it does not know: what frames mean, and who the peer is beyond its key.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use cobox_proto::id::{Cid, SigKey};
use cobox_proto::limits::{BLOCK_BYTES_MAX, FRAME_BYTES_BEFORE_AUTH_MAX, FRAME_BYTES_MAX};
use iroh::TransportAddr;
use iroh::endpoint::{ConnectionError, RecvStream, SendStream, VarInt};
use tokio::sync::{Mutex, oneshot, watch};

use crate::admission::Ticket;
use crate::congestion::NEAR_RTT_MAX;
use crate::error::NetError;
use crate::frame::{self, StreamEnd};
use crate::queue::{Receiver, Sender, queue};
use crate::throttle::{Direction, PIECE_BYTES, Rate, Throttle};
use crate::transport::{BLOCK_STREAMS_MAX, Side, WINDOW_BYTES};

/// Frames read and not yet taken, or sent and not yet written.
const FRAMES_QUEUE_BYTES: usize = 2 * FRAME_BYTES_MAX;
/// Blocks read and not yet taken, or sent and not yet written.
const BLOCKS_QUEUE_BYTES: usize = 2 * BLOCK_BYTES_MAX;
/// Block streams we use towards a near peer; more cost throughput there (845 MB/s with four, 1048 with one).
const BLOCK_STREAMS_NEAR: u32 = 2;
/// How long [`Connection::close_when_sent`] waits for the peer to confirm.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// Bytes of a peer's reason we keep.
const REASON_BYTES_MAX: usize = 128;

/// Codes on the wire: why a side closed.
mod code {
    pub(super) const DONE: u32 = 0;
    pub(super) const VIOLATION: u32 = 1;
    pub(super) const NO_PROOF: u32 = 2;
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// We closed it.
    #[error("closed here: {0}")]
    ByUs(String),
    /// The peer closed it, with these words (cut and cleaned, but its own).
    #[error("closed by the peer: {0}")]
    ByPeer(String),
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Violation(String),
    /// The peer proved nothing in time.
    #[error("the peer proved nothing in time")]
    NoProof,
    /// Nothing was heard for too long.
    #[error("nothing was heard from the peer for 30 seconds")]
    Silence,
    /// The transport gave up.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// What a peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A control frame; never empty.
    Frame(Vec<u8>),
    /// A block.
    Block {
        /// The channel the peer named.
        channel: u32,
        /// The hash of `bytes`, computed here: whether it was asked for is the caller's to check.
        cid: Cid,
        /// The block.
        bytes: Bytes,
    },
    /// The connection is over; repeated for ever.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// How a connection reaches its peer just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The peer's address; `None` when a relay stands between.
    pub address: Option<SocketAddr>,
    /// The round trip.
    pub rtt: Duration,
}

/// A connection to one peer. Clones are the same connection; it closes when the last one is dropped.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    tasks: Tasks,
    side: Side,
    remote: SigKey,
    frames_out: Sender<Outgoing>,
    blocks_out: Sender<Block>,
    incoming: Mutex<Incoming>,
    authenticated: watch::Sender<bool>,
}

struct Incoming {
    frames: Receiver<Vec<u8>>,
    blocks: Receiver<(Block, Cid)>,
}

struct Block {
    channel: u32,
    bytes: Bytes,
}

/// What the streams of one connection on which blocks go out share.
#[derive(Clone)]
struct Lane {
    to_write: Arc<Mutex<Receiver<Block>>>,
    /// Held by the one that writes at a rate.
    alone: Arc<Mutex<()>>,
}

enum Outgoing {
    Frame(Vec<u8>),
    /// Finish the stream and tell when the peer has confirmed all of it.
    Finish(oneshot::Sender<()>),
}

/// Why we closed; the first reason stays.
type Verdict = Arc<OnceLock<CloseReason>>;

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({}, {:?})", self.0.remote.short(), self.0.side)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.quic.close(VarInt::from(code::DONE), b"");
    }
}

impl Connection {
    /// Takes over an established connection and starts its tasks.
    pub(crate) fn start(
        quic: iroh::endpoint::Connection,
        side: Side,
        auth_timeout: Duration,
        ticket: Option<Ticket>,
        throttle: Throttle,
    ) -> Self {
        let remote = SigKey(*quic.remote_id().as_bytes());
        let (frames_out, frames_to_write) = queue(FRAMES_QUEUE_BYTES);
        let (blocks_out, blocks_to_write) = queue(BLOCKS_QUEUE_BYTES);
        let (frames_in, frames) = queue(FRAMES_QUEUE_BYTES);
        let (blocks_in, blocks) = queue(BLOCKS_QUEUE_BYTES);
        let authenticated = watch::Sender::new(false);
        let tasks = Tasks { quic: quic.clone(), verdict: Verdict::default(), throttle };

        tokio::spawn(tasks.clone().expect_proof(authenticated.subscribe(), auth_timeout, ticket));
        tokio::spawn(tasks.clone().control(side, frames_to_write, frames_in, authenticated.subscribe()));
        tokio::spawn(tasks.clone().send_blocks(blocks_to_write));
        tokio::spawn(tasks.clone().receive_blocks(blocks_in));

        let incoming = Mutex::new(Incoming { frames, blocks });
        Self(Arc::new(Inner { tasks, side, remote, frames_out, blocks_out, incoming, authenticated }))
    }

    /// The peer's key, proved by the handshake.
    pub fn remote_key(&self) -> SigKey {
        self.0.remote
    }

    /// Whether this side dialed.
    pub fn is_dialer(&self) -> bool {
        self.0.side == Side::Dialer
    }

    /// 32 secret bytes of this connection that both sides compute alike and nobody else knows (RFC 5705).
    pub fn exporter(&self, label: &[u8], context: &[u8]) -> [u8; 32] {
        let mut secret = [0; 32];
        self.0
            .tasks
            .quic
            .export_keying_material(&mut secret, label, context)
            .expect("TLS 1.3 exports 32 bytes for any label once the handshake is done, which it is here");
        secret
    }

    /// The way packets take just now; `None` when the connection is over.
    pub fn path(&self) -> Option<Path> {
        path_of(&self.0.tasks.quic)
    }

    /// The caller vouches for the peer: large frames and blocks may come now, and the clock for the proof stops.
    pub fn set_authenticated(&self) {
        if !self.0.authenticated.send_replace(true) {
            self.0.tasks.quic.set_receive_window(VarInt::from(WINDOW_BYTES));
            self.0.tasks.allow_streams();
        }
    }

    /// Queues a frame; waits while the queue is full. It overtakes blocks. Before the peer vouches for us it takes small
    /// frames only. Cancel safe: a frame is queued whole or not at all.
    pub async fn send_frame(&self, frame: Vec<u8>) -> Result<(), NetError> {
        let bytes = frame.len();
        if bytes > FRAME_BYTES_MAX {
            return Err(NetError::TooLarge { what: "a frame", bytes, bytes_max: FRAME_BYTES_MAX });
        }
        self.queue_frame(bytes, Outgoing::Frame(frame)).await
    }

    /// Queues a block; waits while the queue is full, and for as long as the peer has not vouched for us. Cancel safe.
    pub async fn send_block(&self, channel: u32, bytes: Bytes) -> Result<(), NetError> {
        let len = bytes.len();
        if len == 0 || len > BLOCK_BYTES_MAX {
            return Err(NetError::TooLarge { what: "a block", bytes: len, bytes_max: BLOCK_BYTES_MAX });
        }
        let queued = self.0.blocks_out.reserve(len).await.is_some_and(|slot| slot.put(Block { channel, bytes }));
        if queued { Ok(()) } else { Err(NetError::Closed(self.close_reason().await)) }
    }

    /// The next thing the peer sent; what arrived before the end comes before [`Event::Closed`]. Frames come before blocks.
    /// One consumer at a time. Cancel safe.
    pub async fn next(&self) -> Event {
        let mut incoming = self.0.incoming.lock().await;
        let Incoming { frames, blocks } = &mut *incoming;
        tokio::select! {
            biased;
            Some(frame) = frames.recv() => Event::Frame(frame),
            Some((Block { channel, bytes }, cid)) = blocks.recv() => Event::Block { channel, cid, bytes },
            else => Event::Closed { reason: self.close_reason().await },
        }
    }

    /// Closes at once. Frames and blocks on their way may be lost.
    pub fn close(&self, reason: &str) {
        close(&self.0.tasks.quic, &self.0.tasks.verdict, CloseReason::ByUs(reason.to_owned()));
    }

    /// Closes as soon as the peer's machine has confirmed every frame queued so far, or after a few seconds.
    pub async fn close_when_sent(&self, reason: &str) {
        let (confirmed, confirmation) = oneshot::channel();
        let all_sent = async {
            if self.queue_frame(0, Outgoing::Finish(confirmed)).await.is_ok() {
                // An error means that the writer is gone, and with it the connection.
                let _ = confirmation.await;
            }
        };
        if tokio::time::timeout(CLOSE_WAIT, all_sent).await.is_err() {
            tracing::debug!(peer = %self.0.remote.short(), "closing without confirmation of the last frames");
        }
        self.close(reason);
    }

    /// Waits for the end and tells why.
    pub async fn closed(&self) -> CloseReason {
        self.close_reason().await
    }

    async fn queue_frame(&self, bytes: usize, frame: Outgoing) -> Result<(), NetError> {
        let queued = self.0.frames_out.reserve(bytes).await.is_some_and(|slot| slot.put(frame));
        if queued { Ok(()) } else { Err(NetError::Closed(self.close_reason().await)) }
    }

    async fn close_reason(&self) -> CloseReason {
        let error = self.0.tasks.quic.closed().await;
        self.0.tasks.verdict.get().cloned().unwrap_or_else(|| reason_of(&error))
    }
}

/// What the tasks of one connection share.
#[derive(Clone)]
struct Tasks {
    quic: iroh::endpoint::Connection,
    verdict: Verdict,
    throttle: Throttle,
}

impl Tasks {
    /// Holds the peer's place at the door until the end, and closes if it proves nothing in time.
    async fn expect_proof(self, mut authenticated: watch::Receiver<bool>, timeout: Duration, ticket: Option<Ticket>) {
        let mut ticket = ticket;
        tokio::select! {
            _ = self.quic.closed() => return,
            proved = tokio::time::timeout(timeout, authenticated.wait_for(|yes| *yes)) => match proved {
                Ok(Ok(_)) => {}
                // The caller dropped the connection.
                Ok(Err(_)) => return,
                Err(_) => return close(&self.quic, &self.verdict, CloseReason::NoProof),
            }
        }
        if let Some(ticket) = &mut ticket {
            ticket.vouch();
        }
        let mut rates = self.throttle.changes();
        while tokio::select! {
            _ = self.quic.closed() => false,
            changed = rates.changed() => changed.is_ok(),
        } {
            self.allow_streams();
        }
    }

    /// How many block streams the peer may open: one alone while we receive no faster than at a rate, since on each it may send ahead as
    /// much as a stream's window holds. Those that are open stay.
    fn allow_streams(&self) {
        let streams = match self.rate(Direction::Receive) {
            Rate::Unlimited => BLOCK_STREAMS_MAX,
            Rate::BytesPerSecond(_) | Rate::Paused => 1,
        };
        self.quic.set_max_concurrent_uni_streams(VarInt::from(streams));
    }

    fn rate(&self, direction: Direction) -> Rate {
        if self.throttle.is_idle(direction) { Rate::Unlimited } else { self.throttle.rate(direction, self.peer()) }
    }

    /// Where the peer is just now.
    fn peer(&self) -> Option<SocketAddr> {
        path_of(&self.quic).and_then(|path| path.address)
    }

    /// Waits until so much of a block may pass; `false` if the connection is over first.
    async fn pass(&self, direction: Direction, bytes: usize) -> bool {
        if self.rate(direction) == Rate::Unlimited {
            return true;
        }
        tokio::select! {
            () = self.throttle.pass(direction, self.peer(), bytes) => true,
            _ = self.quic.closed() => false,
        }
    }

    /// A frame passes without waiting.
    fn count(&self, direction: Direction, bytes: usize) {
        if !self.throttle.is_idle(direction) {
            self.throttle.count(direction, self.peer(), bytes);
        }
    }

    /// Opens or awaits the control stream, then reads and writes it until the end.
    async fn control(
        self,
        side: Side,
        to_write: Receiver<Outgoing>,
        frames_in: Sender<Vec<u8>>,
        authenticated: watch::Receiver<bool>,
    ) {
        let opened = match side {
            Side::Dialer => self.quic.open_bi().await,
            Side::Acceptor => self.quic.accept_bi().await,
        };
        let Ok((mut send, recv)) = opened else { return };
        // Above the block streams, which have priority 0. Fails only on a closed stream.
        let _ = send.set_priority(1);
        if side == Side::Dialer && frame::write_frame(&mut send, Vec::new()).await.is_err() {
            return;
        }
        tokio::spawn(self.clone().write_frames(send, to_write));
        let end = self.read_frames(recv, frames_in, authenticated).await;
        self.end(end);
    }

    /// Writes blocks on a few streams. They are opened when the first block needs them, which is when we know the distance, and as the
    /// peer allows them; no block but the first waits for a stream of its own.
    async fn send_blocks(self, mut to_write: Receiver<Block>) {
        let Some(first) = to_write.recv().await else { return };
        let near = self.quic.paths().iter().any(|path| path.rtt() <= NEAR_RTT_MAX);
        let lanes = if near { BLOCK_STREAMS_NEAR } else { BLOCK_STREAMS_MAX };
        let Ok(stream) = self.quic.open_uni().await else { return };
        let lane = Lane { to_write: Arc::new(Mutex::new(to_write)), alone: Arc::default() };
        tokio::spawn(self.clone().write_blocks(stream, Some(first), lane.clone()));
        for _ in 1..lanes {
            let (tasks, lane) = (self.clone(), lane.clone());
            tokio::spawn(async move {
                let stream = tasks.quic.open_uni().await.ok()?;
                tasks.write_blocks(stream, None, lane).await
            });
        }
    }

    /// Reads every block stream the peer opens; the transport allows none before the peer has proved itself.
    async fn receive_blocks(self, blocks_in: Sender<(Block, Cid)>) {
        while let Ok(stream) = self.quic.accept_uni().await {
            let (tasks, blocks_in) = (self.clone(), blocks_in.clone());
            tokio::spawn(async move {
                let end = tasks.read_blocks(stream, blocks_in).await;
                tasks.end(end);
            });
        }
    }

    fn end(&self, end: StreamEnd) {
        if let StreamEnd::Violation(what) = end {
            close(&self.quic, &self.verdict, CloseReason::Violation(what));
        }
    }

    async fn write_frames(self, mut stream: SendStream, mut to_write: Receiver<Outgoing>) {
        while let Some(outgoing) = to_write.recv().await {
            match outgoing {
                Outgoing::Frame(frame) => {
                    self.count(Direction::Send, frame.len());
                    if frame::write_frame(&mut stream, frame).await.is_err() {
                        return;
                    }
                }
                Outgoing::Finish(confirmed) => {
                    if stream.finish().is_ok() {
                        // Whether it was confirmed or the connection broke, nothing more can be done.
                        let _ = stream.stopped().await;
                    }
                    let _ = confirmed.send(());
                    return;
                }
            }
        }
    }

    async fn read_frames(
        &self,
        mut stream: RecvStream,
        frames_in: Sender<Vec<u8>>,
        mut authenticated: watch::Receiver<bool>,
    ) -> StreamEnd {
        let mut any = false;
        loop {
            let len = match frame::read_frame_len(&mut stream).await {
                Ok(0) => continue,
                Ok(len) => len,
                Err(end) => return end,
            };
            if len > FRAME_BYTES_BEFORE_AUTH_MAX && !*authenticated.borrow() {
                if !any {
                    return StreamEnd::Violation(format!("a first frame of {len} bytes"));
                }
                // The proof may be in a frame the caller has not judged yet. Nothing is read meanwhile, and the clock runs.
                if authenticated.wait_for(|yes| *yes).await.is_err() {
                    return StreamEnd::Over;
                }
            }
            let Some(slot) = frames_in.reserve(len).await else { return StreamEnd::Over };
            match frame::read_body(&mut stream, len).await {
                Ok(frame) => slot.put(frame),
                Err(end) => return end,
            };
            self.count(Direction::Receive, len);
            any = true;
        }
    }

    async fn write_blocks(self, mut stream: SendStream, first: Option<Block>, lane: Lane) -> Option<()> {
        let mut block = match first {
            Some(block) => block,
            None => lane.to_write.lock().await.recv().await?,
        };
        loop {
            if self.rate(Direction::Send) == Rate::Unlimited {
                frame::write_block(&mut stream, block.channel, block.bytes).await.ok()?;
            } else {
                // One after the other: many at once would each take so long that the peer gives up on all of them.
                let _alone = lane.alone.lock().await;
                self.write_slowly(&mut stream, block).await?;
            }
            block = lane.to_write.lock().await.recv().await?;
        }
    }

    async fn write_slowly(&self, stream: &mut SendStream, block: Block) -> Option<()> {
        let Block { channel, mut bytes } = block;
        frame::write_block_head(stream, channel, bytes.len()).await.ok()?;
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
            if !self.pass(Direction::Send, piece.len()).await {
                return None;
            }
            stream.write_chunk(piece).await.ok()?;
        }
        Some(())
    }

    async fn read_blocks(&self, mut stream: RecvStream, blocks_in: Sender<(Block, Cid)>) -> StreamEnd {
        loop {
            let head = match frame::read_block_head(&mut stream).await {
                Ok(head) => head,
                Err(end) => return end,
            };
            let Some(slot) = blocks_in.reserve(head.len).await else { return StreamEnd::Over };
            let body = if self.rate(Direction::Receive) == Rate::Unlimited {
                frame::read_body(&mut stream, head.len).await
            } else {
                self.read_slowly(&mut stream, head.len).await
            };
            let bytes = match body {
                Ok(bytes) => bytes,
                Err(end) => return end,
            };
            // 4.7 GB/s on one core: under a millisecond for the largest block, so it stays on this thread.
            let cid = Cid::of(&bytes);
            slot.put((Block { channel: head.channel, bytes: bytes.into() }, cid));
        }
    }

    async fn read_slowly(&self, stream: &mut RecvStream, len: usize) -> Result<Vec<u8>, StreamEnd> {
        let mut body = Vec::with_capacity(len);
        while body.len() < len {
            let piece = (len - body.len()).min(PIECE_BYTES);
            if !self.pass(Direction::Receive, piece).await {
                return Err(StreamEnd::Over);
            }
            body.extend(frame::read_body(stream, piece).await?);
        }
        Ok(body)
    }
}

fn path_of(quic: &iroh::endpoint::Connection) -> Option<Path> {
    let paths = quic.paths();
    let path = paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next())?;
    let address = match path.remote_addr() {
        TransportAddr::Ip(address) => Some(*address),
        _ => None,
    };
    Some(Path { address, rtt: path.rtt() })
}

fn close(quic: &iroh::endpoint::Connection, verdict: &Verdict, reason: CloseReason) {
    if quic.close_reason().is_some() {
        return;
    }
    let (code, words) = match &reason {
        CloseReason::Violation(what) => (code::VIOLATION, what.clone()),
        CloseReason::NoProof => (code::NO_PROOF, "no proof in time".to_owned()),
        CloseReason::ByUs(words) => (code::DONE, words.clone()),
        other => (code::DONE, other.to_string()),
    };
    // The first reason stays.
    let _ = verdict.set(reason);
    quic.close(VarInt::from(code), words.as_bytes());
}

fn reason_of(error: &ConnectionError) -> CloseReason {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let words = String::from_utf8_lossy(&close.reason[..close.reason.len().min(REASON_BYTES_MAX)]);
            CloseReason::ByPeer(words.chars().filter(|c| !c.is_control()).collect())
        }
        ConnectionError::TimedOut => CloseReason::Silence,
        ConnectionError::LocallyClosed => CloseReason::ByUs("the network was shut down".to_owned()),
        other => CloseReason::Broken(other.to_string()),
    }
}
