//! Entering a folder of which one knows no more than its id and a key that opens its door: an invite's, or one's own member
//! key after a loss. Speaks only of the log: receives it, verifies it from the folder id, and hands in the ops that make this
//! device a member. Nothing is kept until that is done; whoever gives up leaves nothing half-made.

use std::time::Duration;

use cobox_net::{FolderEvent, INBOX_MAX, Inbox, Peer};
use cobox_proto::id::FolderId;
use cobox_proto::members::{Envelope, Genesis, Log, Roster, SignedOp, resolve};
use cobox_proto::wire::{Message, OpEnvelopes};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A guest in a folder.
pub(crate) struct Guest {
    folder: FolderId,
    events: mpsc::Receiver<FolderEvent>,
    peer: Option<Peer>,
    log: Option<Log>,
    envelopes: Vec<OpEnvelopes>,
    waiting: Vec<OpEnvelopes>,
}

/// What a guest leaves with.
pub(crate) struct Entered {
    pub(crate) genesis: Genesis,
    pub(crate) ops: Vec<SignedOp>,
    pub(crate) envelopes: Vec<OpEnvelopes>,
}

impl Guest {
    /// A guest and the inbox through which it is to be reached.
    pub(crate) fn new(folder: FolderId) -> (Self, Inbox) {
        let (inbox, events) = mpsc::channel(INBOX_MAX);
        let (envelopes, waiting) = (Vec::new(), Vec::new());
        (Self { folder, events, peer: None, log: None, envelopes, waiting }, inbox)
    }

    /// The log and what it amounts to.
    pub(crate) fn log(&self) -> Option<(&Log, Roster)> {
        self.log.as_ref().map(|log| (log, resolve(log)))
    }

    /// All envelopes received.
    pub(crate) fn envelopes(&self) -> Vec<Envelope> {
        self.envelopes.iter().flat_map(|sent| sent.envelopes.iter().cloned()).collect()
    }

    /// Listens until `ready` finds what it waits for; `None` when the time is over or the other end has gone.
    pub(crate) async fn until<T>(&mut self, deadline: Instant, mut ready: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = ready(self) {
                return Some(found);
            }
            let event = tokio::time::timeout_at(deadline, self.events.recv()).await.ok()??;
            match event {
                FolderEvent::Opened { peer, .. } => {
                    peer.send(Message::GenesisWanted);
                    // We name an empty log, so that all of theirs is told.
                    peer.send(Message::LogHave { entries: Vec::new(), last: true });
                    self.peer = Some(peer);
                }
                FolderEvent::Message { message, .. } => self.message(message),
                FolderEvent::Closed { .. } => return ready(self),
                FolderEvent::Block { .. } | FolderEvent::MayEnter { .. } => {}
            }
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Genesis { bytes } => {
                // The id hashes the genesis, so nobody can bring another one.
                if let Ok(genesis) = Genesis::from_bytes(&bytes)
                    && genesis.folder_id() == self.folder
                    && self.log.is_none()
                {
                    self.log = Some(Log::new(genesis));
                }
            }
            Message::Ops { ops } => {
                let Some(log) = &mut self.log else { return };
                for bytes in ops {
                    if let Ok(op) = SignedOp::from_bytes(&bytes) {
                        // An op that can not stand in this log is dropped; the rest speaks for itself.
                        let _ = log.add(op);
                    }
                }
                for sent in std::mem::take(&mut self.waiting) {
                    self.take(sent);
                }
            }
            Message::Envelopes(sent) => self.take(sent),
            _ => {}
        }
    }

    fn take(&mut self, sent: OpEnvelopes) {
        if self.log.as_ref().is_some_and(|log| log.contains(&sent.op)) {
            self.envelopes.push(sent);
        } else {
            self.waiting.push(sent);
        }
    }

    /// Hands in ops of our own and adds them to the log.
    pub(crate) fn hand_in(&mut self, ops: Vec<SignedOp>, envelopes: Vec<OpEnvelopes>) {
        let (Some(log), Some(peer)) = (&mut self.log, &self.peer) else { return };
        peer.send(Message::Ops { ops: ops.iter().map(|op| op.bytes().to_vec()).collect() });
        for op in ops {
            let _ = log.add(op);
        }
        for sent in envelopes {
            peer.send(Message::Envelopes(sent.clone()));
            self.envelopes.push(sent);
        }
    }

    /// Leaves with all that was learnt.
    pub(crate) async fn leave(self) -> Option<Entered> {
        if let Some(peer) = &self.peer {
            peer.close();
        }
        // What was handed in is ahead of the close on the same channel.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let log = self.log?;
        Some(Entered { genesis: log.genesis().clone(), ops: log.ops().cloned().collect(), envelopes: self.envelopes })
    }
}
