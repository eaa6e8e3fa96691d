//! What runs behind the API: the person's identity, the network, and one thread per folder. It owns the list of folders, the
//! connections and who is to be called; folders own everything about themselves.
//!
//! What a stop loses: nothing that was answered for. Blocks under way are asked for again at the next start.

mod dial;
mod drill;
mod host;
mod joining;
mod leaving;
mod links;
mod listing;
mod service;
mod vault;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use cobox_core::engine::{Brake, VaultMark};
use cobox_core::keys::{DeviceSecret, FolderKeys};
use cobox_core::members::{
    Author, Founded, Founding, FoundingRandom, Label, bundle_envelopes, found, propose_labelled,
};
use cobox_net::{Config as NetConfig, Endpoint, Inbox, Listen, NetError, Post};
use cobox_proto::hosting::Ticket;
use cobox_proto::id::{FolderId, SigKey};
use cobox_proto::limits::MEMBER_SLOTS;
use cobox_proto::members::{FolderKind, Genesis, OpBody, Policy, SignedOp};
use cobox_proto::wire::OpEnvelopes;
use cobox_store::{DiskStore, FolderStore, StoreError};
use futures_util::future::BoxFuture;

use crate::api::{ErrorCode, EventLog, Service};
use crate::disk_tree::{DiskTree, OffLimits, RootError};
use crate::folder::{
    self, DbError, FolderConfig, FolderConfigError, FolderHandle, Happened, Parts, Records, Sort, Surroundings,
};
use crate::identity::Identity;
use crate::keystore::{Keystore, KeystoreError};
use crate::{Config, Home, random_token};

pub use crate::identity::has_identity;

/// Slot 0 is the vault's.
const VAULT_SLOT: u16 = 0;
/// The home's database.
const RECORDS: &str = "folders.db";
/// In a folder's own directory: a folder is this device's as long as its settings have this name.
const SETTINGS: &str = "folder.json";
/// Under this name the database and the keys keep a random number that says that they belong together.
const MARK: &str = "records";
/// Under this name the database keeps the highest slot of the folders that were left, as a u16le.
const SLOT_LEFT: &str = "slot-left";

/// What the daemon starts with.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// The prepared and locked home.
    pub home: Home,
    /// The settings.
    pub config: Config,
    /// The person's name, if it was typed.
    pub name: Option<String>,
    /// The UDP address asked for.
    pub listen: Option<SocketAddr>,
}

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The first start needs a name.
    #[error("the first start needs your name")]
    NameNeeded,
    /// No name for a person.
    #[error("this can not be a name: it must have 1 to 128 bytes and no control characters")]
    NameUnsuitable,
    /// A key is damaged.
    #[error("the key {path} is damaged", path = .path.display())]
    KeyDamaged {
        /// The file.
        path: PathBuf,
    },
    /// A key can not be read.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The home's database can not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The home's database is not the one this home's keys were made with.
    #[error("{path} is not the one of this home: it is gone, or another's lies in its place; your files are untouched", path = .path.display())]
    ForeignRecords {
        /// The database.
        path: PathBuf,
    },
    /// The home's database knows nothing of a folder that is here.
    #[error("{path} holds nothing of this folder, or what it holds is damaged", path = .path.display())]
    NoRecords {
        /// The database.
        path: PathBuf,
    },
    /// A folder's own database can not be used.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A folder's settings can not be used.
    #[error(transparent)]
    FolderConfig(#[from] FolderConfigError),
    /// The network can not be used.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The system has no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// The system refused.
    #[error("{path} can not be used: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl StartError {
    /// Its code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NameNeeded | Self::NameUnsuitable => ErrorCode::NameNeeded,
            Self::Net(NetError::PortTaken { .. }) => ErrorCode::PortTaken,
            Self::Net(_) | Self::Random(_) => ErrorCode::Failed,
            _ => ErrorCode::Disk,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NameNeeded | Self::NameUnsuitable => "give it with --name, like `cobox up --name Ana`",
            Self::KeyDamaged { .. }
            | Self::Keystore(_)
            | Self::ForeignRecords { .. }
            | Self::NoRecords { .. }
            | Self::FolderConfig(FolderConfigError::Damaged { .. }) => {
                "put the file back from a copy, or start with another --home and `cobox recover`"
            }
            Self::Store(StoreError::DamagedDatabase { .. }) => {
                "move it away only if you have a copy of the home or your recovery words"
            }
            Self::Net(_) => "choose another with --listen, for example --listen 0.0.0.0:0",
            _ => "see that the disk has room and can be written",
        }
    }
}

/// A folder that runs.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) handle: FolderHandle,
    pub(crate) config: FolderConfig,
}

/// A folder that is this device's and could not be opened.
#[derive(Debug, Clone)]
pub(crate) struct Unopened {
    pub(crate) config: FolderConfig,
    /// Why not.
    pub(crate) why: String,
}

/// See the module.
pub(crate) struct Daemon {
    home: Home,
    keystore: Arc<Keystore>,
    store: Arc<FolderStore>,
    identity: RwLock<Identity>,
    endpoint: Arc<Endpoint>,
    events: Arc<EventLog>,
    runtime: tokio::runtime::Handle,
    me: Weak<Daemon>,
    folders: RwLock<BTreeMap<FolderId, Running>>,
    unopened: RwLock<Vec<Unopened>>,
    /// Folders being entered: not ours yet.
    guests: RwLock<BTreeMap<FolderId, Inbox>>,
    /// Folders it is asked to be let into.
    joinings: joining::Joinings,
    links: links::Links,
    /// Nameplates of this device.
    post: Post,
    /// Words that wait to be said.
    meetings: service::spoken::Meetings,
    /// Whom to call about which folders; filled by `dial`.
    dialing: RwLock<BTreeSet<SigKey>>,
    last_seen_ms: RwLock<BTreeMap<SigKey, u64>>,
    /// A seeder came, or its place became known.
    seeders_changed: Arc<tokio::sync::Notify>,
    /// A folder, a connection or somebody's place came or went: it is time to look whom to call.
    to_call: Arc<tokio::sync::Notify>,
    /// One vault is placed at a time.
    placing: tokio::sync::Mutex<()>,
    /// The newest head of the person's vault.
    vault_mark: RwLock<Option<VaultMark>>,
    /// Files as they were listed last.
    listings: Arc<listing::Listings>,
    drills: drill::Drills,
    /// The settings as they are now, and as they were at the start.
    config: RwLock<Arc<Config>>,
    started_with: Arc<Config>,
    settings_changed: Arc<tokio::sync::Notify>,
    /// Settings are changed by one at a time.
    changing_settings: tokio::sync::Mutex<()>,
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gave random bytes at the start and does so while it runs");
    bytes
}

/// Starts the daemon of a prepared and locked home.
pub(crate) async fn start(options: StartOptions) -> Result<Arc<dyn Service>, StartError> {
    let StartOptions { home, config, name, listen } = options;
    let keystore = Arc::new(Keystore::open(&home.keys())?);
    let identity = Identity::open(&home, &keystore, name)?;
    let store = Arc::new(open_records(&home, &keystore)?);
    let endpoint = bind(&home, &config, listen, &identity).await?;
    let config = Arc::new(config);
    let daemon = Arc::new_cyclic(|me| Daemon {
        keystore,
        store,
        identity: RwLock::new(identity),
        links: links::Links::new(endpoint.id()),
        endpoint: Arc::new(endpoint),
        events: EventLog::new(&random_token()[..8]),
        runtime: tokio::runtime::Handle::current(),
        me: me.clone(),
        folders: RwLock::new(BTreeMap::new()),
        unopened: RwLock::new(Vec::new()),
        guests: RwLock::new(BTreeMap::new()),
        joinings: joining::Joinings::default(),
        post: Post::for_us(random()),
        meetings: service::spoken::Meetings::default(),
        dialing: RwLock::new(BTreeSet::new()),
        last_seen_ms: RwLock::new(BTreeMap::new()),
        seeders_changed: Arc::default(),
        to_call: Arc::default(),
        placing: tokio::sync::Mutex::default(),
        vault_mark: RwLock::new(None),
        listings: Arc::default(),
        drills: drill::Drills::default(),
        config: RwLock::new(config.clone()),
        started_with: config,
        settings_changed: Arc::default(),
        changing_settings: tokio::sync::Mutex::default(),
        home,
    });
    // Before anybody is called.
    daemon.set_rates();
    let opening = daemon.clone();
    tokio::task::spawn_blocking(move || opening.open_folders())
        .await
        .map_err(|e| StartError::Io { path: daemon.home.state(), source: std::io::Error::other(e) })??;
    tokio::spawn(dial::accept(daemon.clone()));
    tokio::spawn(dial::keep_calling(Arc::downgrade(&daemon)));
    tokio::spawn(vault::keep_placed(Arc::downgrade(&daemon)));
    tokio::spawn(drill::keep_drilling(Arc::downgrade(&daemon)));
    tokio::spawn(service::settings::keep_rates(Arc::downgrade(&daemon)));
    Ok(daemon)
}

/// Opens the home's database. It and the keys carry the same mark: with another home's records, or with none, the keys of this one
/// open nothing, and what is published then would be wrong (i5).
fn open_records(home: &Home, keystore: &Keystore) -> Result<FolderStore, StartError> {
    let path = home.state().join(RECORDS);
    let store = FolderStore::open(&path)?;
    let marked = store.value(&FolderId::ZERO, MARK)?;
    match (marked, keystore.get(MARK)?) {
        (Some(there), Some(ours)) if there == *ours => {}
        (None | Some(_), Some(_)) => return Err(StartError::ForeignRecords { path }),
        // The database first: a mark among the keys then always has its other half.
        (marked, None) => {
            let mark = marked.unwrap_or_else(|| random::<16>().to_vec());
            store.put_value(&FolderId::ZERO, MARK, &mark)?;
            keystore.put(MARK, &mark)?;
        }
    }
    Ok(store)
}

/// Binds the UDP socket: to the address asked for, else to the port kept in the home, else to a free one that is then kept.
async fn bind(
    home: &Home,
    config: &Config,
    asked: Option<SocketAddr>,
    identity: &Identity,
) -> Result<Endpoint, StartError> {
    let kept_file = home.state().join("port");
    let kept: Option<u16> = std::fs::read_to_string(&kept_file).ok().and_then(|text| text.trim().parse().ok());
    let listen = match asked {
        Some(address) if address.ip().is_unspecified() => Listen::AllInterfaces { port: address.port() },
        Some(address) => Listen::Address(address),
        None => Listen::AllInterfaces { port: kept.unwrap_or(0) },
    };
    let net = NetConfig {
        listen,
        lan_discovery: config.lan_discovery,
        relays: config.relays.clone(),
        ..NetConfig::default()
    };
    let endpoint = Endpoint::bind(net, &identity.endpoint_seed).await?;
    if asked.is_none() && kept != Some(endpoint.port()) {
        let port = endpoint.port().to_string();
        crate::files::replace(&kept_file, port.as_bytes())
            .map_err(|source| StartError::Io { path: kept_file, source })?;
    }
    Ok(endpoint)
}

/// What a folder becomes this device's by: founded here, joined, or brought back.
pub(crate) struct NewFolder {
    pub(crate) config: FolderConfig,
    pub(crate) genesis: Genesis,
    pub(crate) ops: Vec<SignedOp>,
    pub(crate) envelopes: Vec<OpEnvelopes>,
    pub(crate) keys: Option<FolderKeys>,
    pub(crate) device_seed: zeroize::Zeroizing<[u8; 32]>,
}

impl Daemon {
    pub(crate) fn identity(&self) -> Identity {
        self.identity.read().expect("no thread panics while it holds this lock").clone()
    }

    /// The settings as they are now.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.read().expect("no thread panics while it holds this lock").clone()
    }

    pub(crate) fn running(&self) -> Vec<Running> {
        self.folders.read().expect("no thread panics while it holds this lock").values().cloned().collect()
    }

    pub(crate) fn running_folder(&self, id: &FolderId) -> Option<Running> {
        self.folders.read().expect("no thread panics while it holds this lock").get(id).cloned()
    }

    pub(crate) fn vault(&self) -> Option<Running> {
        self.running().into_iter().find(|running| running.config.sort == Sort::Vault)
    }

    /// How others reach this device.
    pub(crate) fn ticket(&self) -> Ticket {
        crate::tickets::of_endpoint(&self.endpoint.addrs(), cobox_proto::wire::Party::Member)
    }

    fn folder_dir(&self, id: &FolderId) -> PathBuf {
        self.home.state().join(id.to_string())
    }

    fn open_folders(&self) -> Result<(), StartError> {
        let mut known = Vec::new();
        let state = self.home.state();
        let io = |source| StartError::Io { path: state.clone(), source };
        for entry in std::fs::read_dir(&state).map_err(io)? {
            let dir = entry.map_err(io)?.path();
            let path = dir.join(SETTINGS);
            if path.exists() {
                known.push(FolderConfig::load(&path)?);
            } else {
                self.finish_leaving(&dir);
            }
        }
        let mut has_vault = false;
        for config in known {
            has_vault |= config.sort == Sort::Vault;
            if let Err(why) = self.open_folder(config.clone()) {
                // One broken folder never stops the rest; its files are untouched, and status names it.
                tracing::error!(folder = config.id, %why, "a folder could not be opened");
                let unopened = Unopened { config, why: why.to_string() };
                self.unopened.write().expect("no thread panics while it holds this lock").push(unopened);
            }
        }
        // One that can not be opened now is still the person's vault: a second would hide it.
        if !has_vault {
            self.found_vault()?;
        }
        Ok(self.open_joinings()?)
    }

    fn open_folder(&self, config: FolderConfig) -> Result<FolderHandle, StartError> {
        let Some(id) = config.folder() else {
            return Err(StartError::KeyDamaged { path: PathBuf::from(config.id) });
        };
        let records = Records::new(self.store.clone(), id);
        let no_records = || StartError::NoRecords { path: self.home.state().join(RECORDS) };
        let damaged = || StartError::KeyDamaged { path: self.home.keys().join(format!("device-{id}")) };
        let replica = records.replica()?.ok_or_else(no_records)?;
        let seed = self.keystore.get(&format!("device-{id}"))?.ok_or_else(damaged)?;
        let seed: [u8; 32] = seed.as_slice().try_into().map_err(|_| damaged())?;
        let keys = self.keystore.get(&format!("folder-{id}"))?;
        let keys = keys.and_then(|bytes| FolderKeys::from_storage(&bytes).ok());
        let (mut disk, mut root_lost) = (None, None);
        if let Some(path) = &config.path {
            match DiskTree::open(path, &id) {
                Ok(tree) => disk = Some(tree),
                Err(why) => root_lost = Some(why.to_string()),
            }
        }
        let dir = self.folder_dir(&id);
        let keystore = self.keystore.clone();
        let parts = Parts {
            config: config.clone(),
            config_path: dir.join(SETTINGS),
            device: DeviceSecret::from_seed(&seed),
            slot: self.identity().slot(config.slot),
            keys,
            replica,
            records,
            blocks: Arc::new(DiskStore::open(&dir.join("blocks"))?),
            db_path: dir.join("tree.db"),
            disk,
            root_lost,
            keep_keys: Box::new(move |keys| {
                if let Err(why) = keystore.put(&format!("folder-{}", keys.folder()), &keys.to_storage()) {
                    tracing::error!(%why, "a folder's keys could not be kept");
                }
            }),
        };
        let around: Arc<dyn Surroundings> = Arc::new(Around { daemon: self.me.clone() });
        let handle = folder::start(parts, around, self.runtime.clone())?;
        let running = Running { handle: handle.clone(), config };
        self.folders.write().expect("no thread panics while it holds this lock").insert(id, running);
        self.to_call.notify_one();
        Ok(handle)
    }

    /// Makes a new folder this device's, durably, and starts it.
    pub(crate) fn take_folder(&self, new: NewFolder) -> Result<FolderHandle, StartError> {
        let NewFolder { config, genesis, ops, envelopes, keys, device_seed } = new;
        let id = genesis.folder_id();
        let dir = self.folder_dir(&id);
        std::fs::create_dir_all(&dir).map_err(|source| StartError::Io { path: dir.clone(), source })?;
        self.keystore.put(&format!("device-{id}"), device_seed.as_slice())?;
        if let Some(keys) = &keys {
            self.keystore.put(&format!("folder-{id}"), &keys.to_storage())?;
        }
        Records::new(self.store.clone(), id).found(&genesis, &ops, &envelopes)?;
        // Last: a folder is here when its settings are.
        config.save(&dir.join(SETTINGS))?;
        self.open_folder(config)
    }

    /// Founds a folder or vault.
    pub(crate) fn found(
        &self,
        kind: FolderKind,
        slot: u16,
        name: String,
        path: Option<PathBuf>,
        profile: cobox_core::keys::Profile,
    ) -> Result<NewFolder, String> {
        let device_seed = zeroize::Zeroizing::new(random());
        let device = DeviceSecret::from_seed(&device_seed);
        let slot_keys = self.identity().slot(slot);
        let founding = Founding {
            kind,
            slot: &slot_keys,
            device: &device,
            profile,
            high_privacy: false,
            policy: Policy::default(),
        };
        let chances = FoundingRandom { nonce: random(), shape: random(), epoch: random() };
        let Founded { log, keys, epoch } = found(founding, &chances).map_err(|why| why.to_string())?;
        let envelopes = bundle_envelopes(epoch.op.id(), epoch.envelopes);
        let sort = if kind == FolderKind::Vault { Sort::Vault } else { Sort::Folder };
        let config = FolderConfig::new(log.folder(), sort, name, path, slot);
        let mut ops: Vec<SignedOp> = log.ops().cloned().collect();
        if kind == FolderKind::Folder {
            // The genesis has no room for the founder's name; the first op of theirs says it to the members.
            let author = Author { grant: log.genesis().op_id(), key: &device.sig };
            let label = Label { keys: &keys, epoch: epoch.id.tag(), text: &self.identity().name };
            let policy = OpBody::Policy { policy: Policy::default() };
            ops.push(propose_labelled(&log, author, policy, label).map_err(|why| why.to_string())?);
        }
        Ok(NewFolder {
            config,
            genesis: log.genesis().clone(),
            ops,
            envelopes: vec![envelopes],
            keys: Some(keys),
            device_seed,
        })
    }

    fn found_vault(&self) -> Result<FolderHandle, StartError> {
        let new = self
            .found(FolderKind::Vault, VAULT_SLOT, "vault".into(), None, cobox_core::keys::Profile::Cdc)
            .map_err(StartError::Random)?;
        self.take_folder(new)
    }

    /// Folders that could not be opened.
    pub(crate) fn unopened(&self) -> Vec<Unopened> {
        self.unopened.read().expect("no thread panics while it holds this lock").clone()
    }

    /// Whether the person has folders here, or asked for one: their member slots grow from the identity that is here.
    fn has_folders(&self) -> bool {
        self.running().iter().any(|running| running.config.sort == Sort::Folder) || self.joinings.is_waiting()
    }

    fn unopened_folder(&self, id: &FolderId) -> bool {
        self.unopened().iter().any(|unopened| unopened.config.folder() == Some(*id))
    }

    /// The next member slot that no folder here uses or used. A slot is for one stay in one folder: its key would be known again in another
    /// one, and in the same one it is spent. `None` if the last one is used.
    pub(crate) fn free_slot(&self) -> Option<u16> {
        self.highest_slot().checked_add(1).filter(|next| usize::from(*next) < MEMBER_SLOTS)
    }

    fn highest_slot(&self) -> u16 {
        let slots = self.running().into_iter().map(|running| running.config.slot);
        let unopened = self.unopened().into_iter().map(|unopened| unopened.config.slot);
        let left = self.store.value(&FolderId::ZERO, SLOT_LEFT).ok().flatten();
        let left = left.and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes);
        let asked = self.joinings.slots().into_iter();
        slots.chain(unopened).chain(left).chain(asked).max().unwrap_or(VAULT_SLOT)
    }

    /// A folder with this slot is about to be left.
    fn note_slot(&self, slot: u16) -> Result<(), StartError> {
        let highest = slot.max(self.highest_slot());
        Ok(self.store.put_value(&FolderId::ZERO, SLOT_LEFT, &highest.to_le_bytes())?)
    }

    /// Updates what is known of a folder's settings, unless later ones are known already: who changes them at the same time may be told of it
    /// in any order.
    pub(crate) fn note_config(&self, config: FolderConfig) {
        if let Some(id) = config.folder()
            && let Some(running) = self.folders.write().expect("no thread panics while it holds this lock").get_mut(&id)
            && running.config.changes <= config.changes
        {
            running.config = config;
        }
        self.to_call.notify_one();
    }

    /// Places that may not become folders.
    pub(crate) fn off_limits(&self) -> OffLimits {
        OffLimits { home: std::env::var_os("HOME").map(PathBuf::from), state: Some(self.home.root().to_path_buf()) }
    }

    fn stop_folders(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for running in self.running() {
                running.handle.ask(folder::FolderActor::stop).await;
            }
            self.endpoint.close().await;
        })
    }
}

/// The daemon as its folders see it.
struct Around {
    daemon: Weak<Daemon>,
}

impl Surroundings for Around {
    fn now_ms(&self) -> u64 {
        now_ms()
    }
    fn random(&self) -> [u8; 32] {
        random()
    }
    fn ticket(&self) -> Option<Ticket> {
        self.daemon.upgrade().map(|daemon| daemon.ticket())
    }
    fn vault_mark(&self) -> Option<VaultMark> {
        *self.daemon.upgrade()?.vault_mark.read().expect("no thread panics while it holds this lock")
    }
    fn vault_written(&self, mark: VaultMark) {
        if let Some(daemon) = self.daemon.upgrade() {
            *daemon.vault_mark.write().expect("no thread panics while it holds this lock") = Some(mark);
        }
    }
    fn rescan_ms(&self) -> u64 {
        self.daemon.upgrade().map_or(u64::from(u32::MAX), |daemon| daemon.config().rescan_interval.as_millis() as u64)
    }
    fn brake(&self) -> Brake {
        self.daemon.upgrade().map(|daemon| daemon.config().brake).unwrap_or_default()
    }
    fn tell(&self, config: &FolderConfig, what: Happened) {
        if let Some(daemon) = self.daemon.upgrade() {
            daemon.happened(config, what);
        }
    }
}

impl From<RootError> for crate::api::ApiError {
    fn from(why: RootError) -> Self {
        crate::api::ApiError::new(ErrorCode::PathUnsuitable, why.to_string())
    }
}
