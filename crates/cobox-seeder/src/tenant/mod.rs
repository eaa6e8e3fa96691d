//! One hosted folder: a thread of its own that feeds the folder's blind brain, its blocks and its records. From outside it is a
//! [`TenantHandle`]: an inbox for what peers say, orders from the seeder, and a view that anybody may look at without waiting.

mod actor;
mod carry;
mod records;
mod scrub;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use cobox_net::{INBOX_MAX, Inbox};
use cobox_proto::hosting::{Delivered, Promise};
use cobox_proto::id::{Cid, FolderId, OpId, SigKey};
use cobox_proto::members::SignedOp;
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::ClaimRefusal;
use cobox_store::{DiskStore, FolderStore, StoreError};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::dto::Sees;

pub(crate) use records::Records;

/// Why a tenant can not go on as it is; it begins anew from disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// A block was found damaged, and is off the shelf; what stands above it must be looked at.
    #[error("block {} was damaged", .0.short())]
    Damaged(Cid),
    /// The disk.
    #[error(transparent)]
    Store(StoreError),
    /// Its genesis is gone.
    #[error("the folder's records are gone")]
    Unknown,
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DamagedBlock { cid, .. } => Self::Damaged(cid),
            other => Self::Store(other),
        }
    }
}

/// Takes in a member's vault that came over a hosted folder.
pub(crate) trait VaultDesk: Send + Sync {
    /// Judges and keeps it.
    fn attach(&self, folder: FolderId, member: OpId, vault: Delivered) -> Result<(), ClaimRefusal>;
}

/// What a tenant is made from.
pub(crate) struct Setup {
    pub(crate) folder: FolderId,
    pub(crate) store: Arc<FolderStore>,
    pub(crate) key: SecretKey,
    pub(crate) promise: Promise,
    pub(crate) clock: Clock,
    /// Where blocks are read, written and sent.
    pub(crate) runtime: Handle,
    pub(crate) vaults: Arc<dyn VaultDesk>,
    /// The folder beside which it lies, if it is a vault.
    pub(crate) beside: Option<FolderId>,
    pub(crate) vault_bytes: Arc<VaultBytes>,
}

/// What the vaults take, by the folder beside which they lie: they are charged to its offer.
#[derive(Debug, Default)]
pub(crate) struct VaultBytes(Mutex<BTreeMap<FolderId, BTreeMap<FolderId, u64>>>);

impl VaultBytes {
    /// A vault takes so much now.
    pub(crate) fn set(&self, beside: FolderId, vault: FolderId, bytes: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(beside).or_default().insert(vault, bytes);
    }

    /// What the vaults beside a folder take together.
    pub(crate) fn beside(&self, folder: &FolderId) -> u64 {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.get(folder).into_iter().flat_map(BTreeMap::values).fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// The folder is dropped, and its vaults with it.
    pub(crate) fn forget(&self, folder: &FolderId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(folder);
    }
}

/// How a hosted folder stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct View {
    /// What follows is known: the folder has been read, or can not be.
    pub(crate) loaded: bool,
    pub(crate) vault: bool,
    pub(crate) used_bytes: u64,
    /// Of that, what no newest state needs.
    pub(crate) history_bytes: u64,
    /// Complete states.
    pub(crate) states: usize,
    /// Blocks that nothing needs any more and that are not deleted yet.
    pub(crate) trash_blocks: usize,
    pub(crate) quota_bytes: u64,
    /// Every newest head is complete here.
    pub(crate) complete: bool,
    /// When the newest of the complete heads became so, by our clock.
    pub(crate) head_at_ms: Option<u64>,
    pub(crate) member_keys: Vec<SigKey>,
    /// Members' devices that are connected.
    pub(crate) visitors: usize,
    pub(crate) last_seen_ms: Option<u64>,
    /// Whether its members still want it here.
    pub(crate) hired: bool,
    pub(crate) problem: Option<String>,
    /// Blocks that were damaged and are not here again yet.
    pub(crate) damaged: Vec<Cid>,
    /// When all of it had been read and compared with its names last.
    pub(crate) checked_at_ms: Option<u64>,
}

/// What a tenant is told by the seeder.
pub(crate) enum Order {
    /// A log that came with a second claim, and what is promised from now on.
    Claimed(Vec<SignedOp>, Promise),
    /// These blocks are gone: look at everything again, and say when that is done.
    Recheck(Vec<Cid>, oneshot::Sender<()>),
    /// Collect garbage; the answer is how many blocks went.
    Sweep(oneshot::Sender<usize>),
    /// Say what is seen of its people.
    Look(oneshot::Sender<Sees>),
    /// End, with everything written.
    Stop,
}

/// A hosted folder, from outside.
pub(crate) struct TenantHandle {
    pub(crate) inbox: Inbox,
    pub(crate) blocks: Arc<DiskStore>,
    pub(crate) records: Records,
    orders: mpsc::UnboundedSender<Order>,
    view: watch::Receiver<View>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl TenantHandle {
    /// Opens the folder's blocks in `dir` and starts its thread.
    pub(crate) fn start(setup: Setup, dir: &Path) -> Result<Self, StoreError> {
        let blocks = Arc::new(DiskStore::open(dir)?);
        let records = Records::new(setup.store.clone(), setup.folder);
        let (inbox, events) = mpsc::channel(INBOX_MAX);
        let (orders, ordered) = mpsc::unbounded_channel();
        let (tell_view, view) = watch::channel(View { hired: true, ..View::default() });
        let name = format!("folder-{}", setup.folder.short());
        let actor = actor::Actor::new(setup, blocks.clone(), records.clone(), tell_view);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_time().build() {
                Ok(runtime) => runtime.block_on(actor.run(events, ordered)),
                Err(error) => tracing::error!(%error, "a folder's thread can not start"),
            }
        });
        let thread =
            thread.map_err(|source| StoreError::Io { doing: "start a thread for", path: dir.into(), source })?;
        Ok(Self { inbox, blocks, records, orders, view, thread: Mutex::new(Some(thread)) })
    }

    /// How it stands as of the last thing that happened, once that is known.
    pub(crate) async fn loaded_view(&self) -> View {
        loaded(self.view.clone()).await
    }

    /// Tells it something; lost if it has ended.
    pub(crate) fn order(&self, order: Order) {
        let _ended = self.orders.send(order);
    }

    /// Waits until it has ended. Blocks.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a folder's thread ended by a mistake of its own");
        }
    }
}

async fn loaded(mut view: watch::Receiver<View>) -> View {
    // What was waited for keeps whoever tells of a change waiting as long as it is held. To look again meanwhile would be to wait for them.
    let seen = view.wait_for(|view| view.loaded).await.map(|view| view.clone());
    // The thread has ended; then the last view counts.
    seen.unwrap_or_else(|_ended| view.borrow().clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Asked again and again while all of it changes, a folder answers and goes on.
    #[test]
    fn who_asks_how_it_stands_does_not_stop_the_folder() {
        let (tell, view) = watch::channel(View { loaded: true, ..View::default() });
        let (done, ended) = std::sync::mpsc::channel();
        let told = done.clone();
        std::thread::spawn(move || {
            (0..200_000).for_each(|states| tell.send_modify(|view| view.states = states));
            told.send(()).unwrap();
        });
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            (0..200_000).for_each(|_| assert!(runtime.block_on(loaded(view.clone())).loaded));
            done.send(()).unwrap();
        });
        for _ in 0..2 {
            ended.recv_timeout(Duration::from_secs(60)).expect("neither waits for the other for ever");
        }
    }
}
