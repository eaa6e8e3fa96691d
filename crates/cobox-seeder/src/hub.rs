//! All that this seeder hosts: offers, tenants, and who may come to which. Owns the register and the tenants' handles; the network
//! asks it through [`Host`], the operator through [`crate::Seeder`].
//!
//! What must hold: a folder is hosted only by a claimed offer or as the vault of a member; what a tenant is told here it learns from
//! its own channel, so that nobody waits for a busy one.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use cobox_net::{Admitted, Host, INBOX_MAX, Inbox, Opener, Pass, Post};
use cobox_proto::hosting::{Delivered, Promise};
use cobox_proto::id::{FolderId, OfferId, OpId, SigKey};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::proof::KeyKind;
use cobox_proto::wire::{ClaimRefusal, FoundFolder, Party};
use cobox_store::{FolderStore, StoreError};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

use crate::claim::Claim;
use crate::clock::Clock;
use crate::keys::random;
use crate::register::{Hosting, Register, Source};
use crate::tenant::{Order, Records, Setup, TenantHandle, VaultBytes, VaultDesk};

/// Claims at a time: each may hold 16 MiB.
const CLAIMS_MAX: usize = 8;
/// What a folder's directory is called while it is being deleted.
const DROPPED: &str = "dropped";

/// A folder that is hosted, or should be.
#[derive(Clone)]
pub(crate) enum Hosted {
    /// It runs.
    Running(Arc<TenantHandle>),
    /// Its blocks can not be opened.
    Broken(String),
}

/// See the module's text.
pub(crate) struct Hub {
    me: Weak<Hub>,
    key: SecretKey,
    clock: Clock,
    store: Arc<FolderStore>,
    /// Where the folders' directories are.
    state: PathBuf,
    runtime: Handle,
    register: Mutex<Register>,
    tenants: RwLock<BTreeMap<FolderId, Hosted>>,
    claims: Arc<Semaphore>,
    vault_bytes: Arc<VaultBytes>,
    /// Nameplates of those it serves; in memory alone.
    post: Post,
}

impl Hub {
    /// Starts all that is hosted. Must be called within the runtime that is to serve it.
    pub(crate) fn open(
        state: &Path,
        store: Arc<FolderStore>,
        key: SecretKey,
        clock: Clock,
    ) -> Result<Arc<Self>, StoreError> {
        let register = Register::open(store.clone())?;
        let hub = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            key,
            clock,
            store,
            state: state.into(),
            runtime: Handle::current(),
            register: Mutex::new(register),
            tenants: RwLock::default(),
            claims: Arc::new(Semaphore::new(CLAIMS_MAX)),
            vault_bytes: Arc::default(),
            post: Post::for_others(*random()),
        });
        hub.forget_what_was_left()?;
        let folders: Vec<Hosting> = hub.register().hosted().cloned().collect();
        for hosting in folders {
            let promise = hub.register().promise(&hosting.folder, hub.key.public());
            let _broken_is_shown = hub.run(&hosting, promise);
        }
        Ok(hub)
    }

    /// Records of claims that never became hosted, and directories that were being deleted.
    fn forget_what_was_left(&self) -> Result<(), StoreError> {
        for folder in self.store.folders()? {
            if self.register().hosting(&folder).is_none() {
                self.store.delete_folder(&folder)?;
            }
        }
        let entries = fs::read_dir(&self.state).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == DROPPED)) {
            delete_dir(&path);
        }
        Ok(())
    }

    pub(crate) fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_tenants(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<FolderId, Hosted>> {
        self.tenants.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that is hosted.
    pub(crate) fn tenants(&self) -> BTreeMap<FolderId, Hosted> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A folder that could be opened.
    pub(crate) fn running(&self, folder: &FolderId) -> Option<Arc<TenantHandle>> {
        match self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(folder)? {
            Hosted::Running(tenant) => Some(tenant.clone()),
            Hosted::Broken(_) => None,
        }
    }

    /// Starts a hosted folder. One that can not be started stays hosted, and is tried again at the next start.
    fn run(&self, hosting: &Hosting, promise: Promise) -> Result<(), StoreError> {
        let folder = hosting.folder;
        let setup = Setup {
            folder,
            store: self.store.clone(),
            key: self.key.clone(),
            promise,
            clock: self.clock.clone(),
            runtime: self.runtime.clone(),
            vaults: Arc::new(self.me.clone()),
            beside: match hosting.source {
                Source::Vault { beside, .. } => Some(beside),
                Source::Offer(_) => None,
            },
            vault_bytes: self.vault_bytes.clone(),
        };
        let (hosted, result) = match TenantHandle::start(setup, &self.dir(&folder)) {
            Ok(tenant) => (Hosted::Running(Arc::new(tenant)), Ok(())),
            Err(error) => {
                tracing::error!(folder = %folder.short(), %error, "a folder can not be opened");
                (Hosted::Broken(error.to_string()), Err(error))
            }
        };
        self.write_tenants().insert(folder, hosted);
        result
    }

    fn dir(&self, folder: &FolderId) -> PathBuf {
        self.state.join(folder.to_string())
    }

    /// Somebody who knows an offer's secret delivered a log: hosts the folder, if the log says so. Blocks.
    pub(crate) fn claim(&self, offer: OfferId, delivered: Delivered) -> Result<(), ClaimRefusal> {
        let now_ms = self.clock.now_ms();
        let mut register = self.register();
        let record = register.offer(&offer).cloned().ok_or(ClaimRefusal::Used)?;
        delivered.judge_claim(now_ms, &record.to_offer(self.key.public()), record.used_by.as_ref())?;
        let folder = delivered.genesis.folder_id();
        let hosting = Hosting { folder, label: record.label, since_ms: now_ms, source: Source::Offer(offer) };
        self.host(&mut register, hosting, Some(offer), delivered)
    }

    /// Keeps a delivered log and everything that follows it. What is hosted already learns what is new.
    fn host(
        &self,
        register: &mut Register,
        hosting: Hosting,
        offer: Option<OfferId>,
        delivered: Delivered,
    ) -> Result<(), ClaimRefusal> {
        let no_room = |error: StoreError| {
            tracing::error!(%error, "a folder can not be taken in");
            ClaimRefusal::NoRoom
        };
        let folder = hosting.folder;
        if let Some(tenant) = self.running(&folder) {
            register.host(hosting, offer).map_err(no_room)?;
            let promise = register.promise(&folder, self.key.public());
            tenant.order(Order::Claimed(delivered.ops, promise));
            return Ok(());
        }
        if register.hosting(&folder).is_some() {
            return Err(ClaimRefusal::NoRoom); // Hosted, but broken.
        }
        Records::new(self.store.clone(), folder).found(&delivered.genesis, &delivered.ops).map_err(no_room)?;
        register.host(hosting.clone(), offer).map_err(no_room)?;
        let promise = register.promise(&folder, self.key.public());
        self.run(&hosting, promise).map_err(no_room)
    }

    /// Ends hosting a folder and the vaults beside it, and deletes all of it. Blocks. `false`: it is not hosted.
    pub(crate) fn forget(&self, folder: FolderId) -> Result<bool, StoreError> {
        let gone = {
            let mut register = self.register();
            if register.hosting(&folder).is_none() {
                return Ok(false);
            }
            let vaults = register.vaults_beside(&folder).into_iter().map(|(vault, _)| vault);
            let folders: Vec<FolderId> = vaults.chain([folder]).collect();
            register.forget(&folders)?;
            let mut tenants = self.write_tenants();
            folders.into_iter().map(|folder| (folder, tenants.remove(&folder))).collect::<Vec<_>>()
        };
        for (folder, hosted) in gone {
            if let Some(Hosted::Running(tenant)) = hosted {
                tenant.order(Order::Stop);
                tenant.join();
            }
            self.vault_bytes.forget(&folder);
            Records::new(self.store.clone(), folder).forget()?;
            let (dir, dropped) = (self.dir(&folder), self.dir(&folder).with_extension(DROPPED));
            match fs::rename(&dir, &dropped) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::error!(%error, "a dropped folder can not be moved away");
                }
                _ => delete_dir(&dropped),
            }
        }
        Ok(true)
    }

    /// Ends all tenants, with everything written. Blocks.
    pub(crate) fn stop(&self) {
        let tenants = std::mem::take(&mut *self.write_tenants());
        let running = tenants.values().filter_map(|hosted| match hosted {
            Hosted::Running(tenant) => Some(tenant),
            Hosted::Broken(_) => None,
        });
        let running: Vec<_> = running.inspect(|tenant| tenant.order(Order::Stop)).collect();
        running.into_iter().for_each(|tenant| tenant.join());
    }
}

impl VaultDesk for Weak<Hub> {
    fn attach(&self, beside: FolderId, member: OpId, vault: Delivered) -> Result<(), ClaimRefusal> {
        let hub = self.upgrade().ok_or(ClaimRefusal::NoRoom)?;
        let mut register = hub.register();
        let folder = vault.genesis.folder_id();
        // One for each member; bringing the same one again changes nothing.
        let others = register.vaults_beside(&beside).iter().filter(|(v, m)| *m == member && *v != folder).count();
        vault.judge_vault(&hub.key.public(), others)?;
        let label = register.hosting(&beside).map_or_else(String::new, |hosting| hosting.label.clone());
        let source = Source::Vault { beside, member };
        let hosting = Hosting { folder, label, since_ms: hub.clock.now_ms(), source };
        hub.host(&mut register, hosting, None, vault)
    }
}

impl Host for Hub {
    fn party(&self) -> Party {
        Party::Seeder
    }

    fn folder_called(&self, is_it: &dyn Fn(&FolderId) -> bool) -> Option<FolderId> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.keys().find(|folder| is_it(folder)).copied()
    }

    fn inbox(&self, folder: &FolderId) -> Option<Inbox> {
        self.running(folder).map(|tenant| tenant.inbox.clone())
    }

    fn offer_secret(&self, offer: OfferId) -> BoxFuture<'_, Option<[u8; 16]>> {
        let secret = self.register().offer(&offer).map(|record| record.secret);
        async move { secret }.boxed()
    }

    fn claimed(&self, offer: OfferId, folder: FolderId) -> BoxFuture<'_, Option<Admitted>> {
        let admitted = (|| {
            let (hub, place) = (self.me.upgrade()?, self.claims.clone().try_acquire_owned().ok()?);
            let (inbox, events) = mpsc::channel(INBOX_MAX);
            self.runtime.spawn(Claim { hub, offer, folder, place }.run(events));
            Some(Admitted { pass: Pass { kind: KeyKind::Seeder, key: self.key.clone(), introduction: vec![] }, inbox })
        })();
        async move { admitted }.boxed()
    }

    fn find(&self, keys: Vec<SigKey>) -> BoxFuture<'_, Vec<FoundFolder>> {
        async move {
            let mut found = Vec::new();
            for (folder, hosted) in self.tenants() {
                let Hosted::Running(tenant) = hosted else { continue };
                let view = tenant.loaded_view().await;
                let live = keys.iter().filter(|key| view.member_keys.contains(key));
                found.extend(live.map(|key| FoundFolder { key: *key, folder, vault: view.vault }));
            }
            found
        }
        .boxed()
    }

    /// A seeder comes to nobody; members come to it.
    fn greet(&self, _: SigKey, _: Opener) {}

    fn parted(&self, _: SigKey) {}

    fn post(&self) -> Option<&Post> {
        Some(&self.post)
    }
}

/// What can not be deleted now is deleted at the next start.
fn delete_dir(dir: &Path) {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, "a dropped folder is not all deleted yet");
        }
        _ => {}
    }
}
