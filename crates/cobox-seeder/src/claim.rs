//! One claim: the channel that an offer's secret opened, on which the folder's log comes in pieces. Owns what has arrived; ends with
//! the answer, with the channel, or with the time.

use std::sync::Arc;
use std::time::Duration;

use cobox_net::{FolderEvent, Peer};
use cobox_proto::hosting::Arriving;
use cobox_proto::id::{FolderId, OfferId};
use cobox_proto::wire::{ClaimRefusal, Message};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::hub::Hub;

/// How long a claim may take: 16 MiB over a slow line.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(300);

/// See the module's text.
pub(crate) struct Claim {
    pub(crate) hub: Arc<Hub>,
    pub(crate) offer: OfferId,
    pub(crate) folder: FolderId,
    /// Few claims run at a time.
    pub(crate) place: OwnedSemaphorePermit,
}

impl Claim {
    pub(crate) async fn run(self, mut events: mpsc::Receiver<FolderEvent>) {
        let mut claimant: Option<Peer> = None;
        let mut arriving = Arriving::default();
        let judged = tokio::time::timeout(CLAIM_TIMEOUT, async {
            loop {
                match events.recv().await? {
                    FolderEvent::Opened { peer, .. } => claimant = Some(peer),
                    FolderEvent::Closed { .. } => return None,
                    FolderEvent::Message { message: Message::Claim(part), .. } => {
                        let (hub, offer, folder) = (self.hub.clone(), self.offer, self.folder);
                        // Signatures are verified and records written: nothing for a thread that serves others.
                        let taken = tokio::task::spawn_blocking(move || {
                            let taken = match arriving.take(&folder, part) {
                                Ok(None) => return (arriving, None),
                                Ok(Some(delivered)) => hub.claim(offer, delivered),
                                Err(refusal) => Err(refusal),
                            };
                            (arriving, Some(taken))
                        });
                        let (rest, judged) = taken.await.ok()?;
                        arriving = rest;
                        if judged.is_some() {
                            return judged;
                        }
                    }
                    FolderEvent::Message { .. }
                    | FolderEvent::Block { .. }
                    | FolderEvent::MayEnter { .. }
                    | FolderEvent::Removed { .. } => {
                        return Some(Err(ClaimRefusal::BadLog));
                    }
                }
            }
        });
        let (offer, folder) = (self.offer.short(), self.folder.short());
        let answer = match judged.await {
            Ok(Some(Ok(()))) => {
                tracing::info!(offer, folder, "an offer was claimed");
                Some(Message::Claimed)
            }
            Ok(Some(Err(refusal))) => {
                tracing::info!(offer, folder, %refusal, "a claim was refused");
                Some(Message::ClaimRefused(refusal))
            }
            Ok(None) | Err(_) => None,
        };
        match (claimant, answer) {
            (Some(peer), Some(answer)) => peer.send(answer),
            (Some(peer), None) => peer.close(),
            (None, _) => {}
        }
        drop(self.place);
    }
}
