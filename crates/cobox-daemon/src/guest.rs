//! Entering a folder of which one knows no more than its id and a key that opens its door: an invite's, or one's own member
//! key after a loss. Receives the log, verifies it from the folder id, and hands in the ops that make this device a member.
//! Nothing is kept until that is done; whoever gives up leaves nothing half-made.

use std::time::Duration;

use cobox_core::members::Author;
use cobox_net::{FolderEvent, INBOX_MAX, Inbox, Peer};
use cobox_proto::id::FolderId;
use cobox_proto::members::{Envelope, Genesis, SignedOp};
use cobox_proto::replicate::{Input, Newcomer, Output, Replica};
use cobox_proto::wire::OpEnvelopes;
use cobox_proto::wire::proof::{KeyKind, Who};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A guest in a folder.
pub(crate) struct Guest {
    ours: KeyKind,
    newcomer: Option<Newcomer>,
    events: mpsc::Receiver<FolderEvent>,
    peer: Option<(Peer, Who)>,
    /// Nothing comes any more.
    closed: bool,
    replica: Option<Replica>,
    now_ms: fn() -> u64,
    folder: FolderId,
}

/// What a guest leaves with.
pub(crate) struct Entered {
    pub(crate) genesis: Genesis,
    pub(crate) ops: Vec<SignedOp>,
    pub(crate) envelopes: Vec<OpEnvelopes>,
}

impl Guest {
    /// A guest and the inbox through which it is to be reached. `ours` is the kind of key it enters with.
    pub(crate) fn new(folder: FolderId, ours: KeyKind, now_ms: fn() -> u64) -> (Self, Inbox) {
        let (inbox, events) = mpsc::channel(INBOX_MAX);
        (Self { ours, newcomer: None, events, peer: None, closed: false, replica: None, now_ms, folder }, inbox)
    }

    /// The folder's log, once it is here whole.
    pub(crate) fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    /// All envelopes received.
    pub(crate) fn envelopes(&self) -> Vec<Envelope> {
        self.op_envelopes().into_iter().flat_map(|sent| sent.envelopes).collect()
    }

    fn op_envelopes(&self) -> Vec<OpEnvelopes> {
        let Some(replica) = &self.replica else { return Vec::new() };
        replica.membership().log().ops().filter_map(|op| replica.envelopes().of(&op.id())).collect()
    }

    /// Listens until `ready` finds what it waits for; `None` when the time is over or the other end has gone.
    pub(crate) async fn until<T>(&mut self, deadline: Instant, mut ready: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        loop {
            self.carry_out();
            if let Some(found) = ready(self) {
                return Some(found);
            }
            if self.closed {
                return None;
            }
            let event = tokio::time::timeout_at(deadline, self.events.recv()).await.ok()??;
            let now = (self.now_ms)();
            match event {
                FolderEvent::Opened { peer, who } => {
                    let (newcomer, greeting) = Newcomer::new(self.folder);
                    for message in greeting {
                        peer.send(message);
                    }
                    self.newcomer = Some(newcomer);
                    self.peer = Some((peer, who));
                }
                FolderEvent::Message { peer, message } => match (&mut self.newcomer, &mut self.replica) {
                    (_, Some(replica)) => replica.handle(now, Input::Received { peer, message }),
                    (Some(newcomer), None) => match newcomer.take(message) {
                        Ok(Some((genesis, kept))) => self.arrived(now, Replica::restore(genesis, kept)),
                        Ok(None) => {}
                        Err(why) => {
                            tracing::warn!(%why, "a folder could not be entered");
                            self.closed = true;
                        }
                    },
                    (None, None) => {}
                },
                FolderEvent::Closed { .. } => self.closed = true,
                FolderEvent::Block { .. } | FolderEvent::MayEnter { .. } | FolderEvent::Removed { .. } => {}
            }
        }
    }

    /// What is told after a closed door, within this time.
    pub(crate) async fn told(&mut self, within: Duration) -> Option<FolderEvent> {
        tokio::time::timeout(within, self.events.recv()).await.ok()?
    }

    fn arrived(&mut self, now: u64, mut replica: Replica) {
        if let Some((peer, who)) = &self.peer {
            replica.handle(now, Input::PeerOpened { peer: peer.id, who: *who, ours: self.ours });
        }
        self.replica = Some(replica);
    }

    fn carry_out(&mut self) {
        let (Some(replica), Some((peer, _))) = (&mut self.replica, &self.peer) else { return };
        while let Some(output) = replica.poll_output() {
            match output {
                Output::Send { message, .. } => peer.send(message),
                Output::ClosePeer { why, .. } => tracing::debug!(%why, "the door of a folder was closed"),
                _ => {}
            }
        }
    }

    /// Hands in ops of our own.
    pub(crate) fn hand_in(&mut self, ops: Vec<SignedOp>, envelopes: Vec<OpEnvelopes>) {
        let now = (self.now_ms)();
        if let Some(replica) = &mut self.replica {
            replica.handle(now, Input::LocalOps { ops, envelopes });
        }
        self.carry_out();
    }

    /// Hands every epoch on to keys that lack it: first of all our own, so that this device and our words open them.
    pub(crate) fn give_missing_grants(
        &mut self,
        author: Author<'_>,
        keys: &cobox_core::keys::FolderKeys,
        random: &[u8; 32],
    ) {
        let Some(replica) = &self.replica else { return };
        let membership = replica.membership();
        match cobox_core::members::repair_grants(membership.log(), membership.roster(), keys, author, random) {
            Ok(granted) => {
                let envelopes = granted
                    .iter()
                    .map(|g| cobox_core::members::grant_envelope(g.op.id(), g.envelope.clone()))
                    .collect();
                self.hand_in(granted.into_iter().map(|g| g.op).collect(), envelopes);
            }
            Err(why) => tracing::warn!(%why, "keys could not be handed on"),
        }
    }

    /// All that was learnt so far.
    pub(crate) fn learnt(&self) -> Option<Entered> {
        let log = self.replica.as_ref()?.membership().log();
        let envelopes = self.op_envelopes();
        Some(Entered { genesis: log.genesis().clone(), ops: log.ops().cloned().collect(), envelopes })
    }

    /// Leaves with all that was learnt. What was handed in is ahead of the close on the same channel.
    pub(crate) fn leave(self) -> Option<Entered> {
        if let Some((peer, _)) = &self.peer {
            peer.close();
        }
        self.learnt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cobox_proto::replicate::PeerId;
    use futures_util::FutureExt;

    #[test]
    fn whoever_was_shown_out_waits_for_nothing_more() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let (mut guest, inbox) = Guest::new(FolderId([1; 32]), KeyKind::Invite, || 0);
        let in_an_hour = Instant::now() + Duration::from_secs(3600);
        assert_eq!(guest.until(in_an_hour, |_| None::<()>).now_or_never(), None, "somebody may still open");
        inbox.try_send(FolderEvent::Closed { peer: PeerId(1) }).unwrap();
        for _ in 0..3 {
            assert_eq!(guest.until(in_an_hour, |_| None::<()>).now_or_never(), Some(None));
        }
        assert_eq!(guest.until(in_an_hour, |_| Some(7)).now_or_never(), Some(Some(7)), "what is known stays known");
    }
}
