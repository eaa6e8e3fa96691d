//! A member's device, made by hand: a replica that can serve blocks, driven by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use cobox_net::{
    Admitted, Config, Endpoint, EndpointAddrs, FolderEvent, Host, INBOX_MAX, Inbox, Opener, Pass, Peer, drive,
};
use cobox_proto::head::SignedHead;
use cobox_proto::hosting::{Holding, Offer, Receipt, SignedReceipt};
use cobox_proto::id::{Cid, FolderId, HeadId, OfferId, SigKey};
use cobox_proto::replicate::{Input, Output, PeerId, Priority, Replica};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::KeyKind;
use cobox_proto::wire::{ClaimRefusal, FoundFolder, LogPart, Message, Party};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::folder::{Folder, Tree, key};
use crate::soon;

/// Gives every folder the same inbox and lets nobody in.
struct Visiting {
    inbox: Inbox,
}

impl Host for Visiting {
    fn party(&self) -> Party {
        Party::Member
    }
    fn folder_called(&self, _: &dyn Fn(&FolderId) -> bool) -> Option<FolderId> {
        None
    }
    fn inbox(&self, _: &FolderId) -> Option<Inbox> {
        Some(self.inbox.clone())
    }
    fn offer_secret(&self, _: OfferId) -> BoxFuture<'_, Option<[u8; 16]>> {
        async { None }.boxed()
    }
    fn claimed(&self, _: OfferId, _: FolderId) -> BoxFuture<'_, Option<Admitted>> {
        async { None }.boxed()
    }
    fn find(&self, _: Vec<SigKey>) -> BoxFuture<'_, Vec<FoundFolder>> {
        async { vec![] }.boxed()
    }
    fn greet(&self, _: SigKey, _: Opener) {}
    fn parted(&self, _: SigKey) {}
}

/// One connection to a seeder.
pub(crate) struct Line {
    _endpoint: Endpoint,
    pub(crate) opener: Opener,
    pub(crate) events: mpsc::Receiver<FolderEvent>,
}

impl Line {
    pub(crate) async fn to(seeder: &EndpointAddrs) -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        let endpoint = Endpoint::bind(Config::loopback(), &seed).await.unwrap();
        let (inbox, events) = mpsc::channel(INBOX_MAX);
        let connection = soon(endpoint.dial(seeder)).await.unwrap();
        let opener = drive(connection, endpoint.id(), Arc::new(Visiting { inbox }));
        Self { _endpoint: endpoint, opener, events }
    }

    /// Whether the seeder lets this key in.
    pub(crate) async fn open(&self, folder: FolderId, kind: KeyKind, key: SecretKey) -> bool {
        soon(self.opener.open_and_wait(folder, Pass { kind, key, introduction: vec![] })).await
    }

    pub(crate) async fn next(&mut self) -> FolderEvent {
        soon(self.events.recv()).await.expect("the inbox lives as long as the line")
    }

    /// The peer of a folder that was just opened.
    pub(crate) async fn opened(&mut self) -> Peer {
        loop {
            if let FolderEvent::Opened { peer, .. } = self.next().await {
                return peer;
            }
        }
    }

    pub(crate) async fn message(&mut self) -> Message {
        loop {
            if let FolderEvent::Message { message, .. } = self.next().await {
                return message;
            }
        }
    }

    /// Hands a folder over with an offer. `None`: the offer's secret opened nothing.
    pub(crate) async fn claim(
        &mut self,
        folder: FolderId,
        offer: &Offer,
        log: &[LogPart],
    ) -> Option<Result<(), ClaimRefusal>> {
        if !soon(self.opener.claim(folder, offer.id, offer.secret)).await {
            return None;
        }
        let peer = self.opened().await;
        for part in log {
            peer.send(Message::Claim(part.clone()));
        }
        let answer = loop {
            match self.message().await {
                Message::Claimed => break Ok(()),
                Message::ClaimRefused(why) => break Err(why),
                _ => {}
            }
        };
        peer.close();
        Some(answer)
    }
}

/// A device with a folder open at a seeder.
pub(crate) struct Device {
    pub(crate) line: Line,
    pub(crate) replica: Replica,
    peers: BTreeMap<PeerId, Peer>,
    blocks: BTreeMap<Cid, Bytes>,
    /// Blocks it does not give away for now, and those that were asked for meanwhile.
    pub(crate) withheld: BTreeSet<Cid>,
    pub(crate) asked: BTreeSet<Cid>,
    /// Blocks it was sent.
    pub(crate) got: BTreeMap<Cid, Bytes>,
    pub(crate) receipts: Vec<Receipt>,
    waiting: Vec<(PeerId, Cid)>,
}

impl Device {
    /// Device `n` of a folder, let in at a seeder.
    pub(crate) async fn open(folder: &Folder, n: u8, seeder: &EndpointAddrs) -> Self {
        let line = Line::to(seeder).await;
        Self::on(line, folder, n).await
    }

    pub(crate) async fn on(line: Line, folder: &Folder, n: u8) -> Self {
        assert!(line.open(folder.id(), KeyKind::Device, key(n)).await, "the seeder lets a member's device in");
        let mut device = Self {
            line,
            replica: folder.replica(),
            peers: BTreeMap::new(),
            blocks: BTreeMap::new(),
            withheld: BTreeSet::new(),
            asked: BTreeSet::new(),
            got: BTreeMap::new(),
            receipts: vec![],
            waiting: vec![],
        };
        device.until(|device| !device.peers.is_empty()).await;
        device
    }

    pub(crate) fn publish(&mut self, tree: &Tree, head: &SignedHead) {
        self.blocks.extend(tree.blocks.clone());
        self.tell(Input::LocalHead(Box::new(head.clone())));
    }

    /// Ops that the folder's founder wrote meanwhile.
    pub(crate) fn learn(&mut self, folder: &Folder) {
        self.tell(Input::LocalOps { ops: folder.ops(), envelopes: folder.envelopes.clone() });
    }

    pub(crate) fn want(&mut self, cids: Vec<Cid>) {
        self.tell(Input::Want { cids, priority: Priority::Bulk });
    }

    /// Gives away what was withheld.
    pub(crate) fn release(&mut self) {
        self.withheld.clear();
        for (peer, cid) in std::mem::take(&mut self.waiting) {
            self.serve(peer, cid);
        }
    }

    pub(crate) fn holding(&self, head: &HeadId) -> Option<Holding> {
        self.receipts.iter().rev().find(|receipt| receipt.head == *head).map(|receipt| receipt.holding)
    }

    pub(crate) async fn until_held(&mut self, head: &HeadId, holding: Holding) {
        self.until(|device| device.holding(head) == Some(holding)).await;
    }

    /// Lives until something holds.
    pub(crate) async fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            match self.line.next().await {
                FolderEvent::Opened { peer, who } => {
                    let id = peer.id;
                    self.peers.insert(id, peer);
                    self.tell(Input::PeerOpened { peer: id, who, ours: KeyKind::Device });
                }
                FolderEvent::Closed { peer } => {
                    self.peers.remove(&peer);
                    self.tell(Input::PeerClosed { peer });
                }
                FolderEvent::Message { peer, message } => {
                    if let Message::Receipt { bytes } = &message {
                        self.receipts.push(SignedReceipt::from_bytes(bytes).unwrap().receipt().clone());
                    }
                    self.tell(Input::Received { peer, message });
                }
                FolderEvent::Block { peer, cid, bytes } => {
                    let len = bytes.len() as u64;
                    self.got.insert(cid, bytes);
                    self.tell(Input::BlockArrived { peer, cid, bytes: len });
                }
                FolderEvent::MayEnter { .. } | FolderEvent::Removed { .. } => {}
            }
        }
    }

    pub(crate) fn is_inside(&self) -> bool {
        !self.peers.is_empty()
    }

    /// The way to say something by hand.
    pub(crate) fn peer(&self) -> &Peer {
        self.peers.values().next().unwrap()
    }

    fn tell(&mut self, input: Input) {
        self.replica.handle(now_ms(), input);
        while let Some(output) = self.replica.poll_output() {
            match output {
                Output::Send { peer, message } => self.peers.get(&peer).iter().for_each(|p| p.send(message.clone())),
                Output::SendBlock { peer, cid } => {
                    self.asked.insert(cid);
                    if self.withheld.contains(&cid) { self.waiting.push((peer, cid)) } else { self.serve(peer, cid) }
                }
                Output::ClosePeer { peer, why } => panic!("{peer:?}: {why}"),
                _ => {}
            }
        }
    }

    fn serve(&mut self, id: PeerId, cid: Cid) {
        let (Some(peer), Some(bytes)) = (self.peers.get(&id).cloned(), self.blocks.get(&cid).cloned()) else {
            return self.tell(Input::BlockMissing { peer: id, cid });
        };
        tokio::spawn(async move { peer.send_block(bytes).await });
        self.tell(Input::BlockSent { peer: id, cid });
    }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
