//! The running seeder: its endpoint, its hub, and what its operator may ask of it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use cobox_net::{Endpoint, EndpointAddrs, Listen, NetError, Rates, drive};
use cobox_proto::hosting::{Address, Ticket};
use cobox_proto::id::{EndpointId, FolderId, OfferId, SigKey};
use cobox_proto::limits::{ADDRESSES_MAX, LABEL_BYTES_MAX};
use cobox_proto::sign::SecretKey;
use cobox_proto::wire::Party;
use cobox_store::{BlockStore, FolderStore, StoreError};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::Clock;
use crate::dto::{CheckReply, Damage, FolderRow, Kind, Sees, Status, Time};
use crate::home::Home;
use crate::hub::{Hosted, Hub};
use crate::keys::{Keys, KeysError, random};
use crate::register::{Hosting, OfferRecord};
use crate::tenant::{Order, TenantHandle};

/// The kept name and UDP address.
const NAME: &str = "name";
const LISTEN: &str = "listen";
/// Characters of an id that tell a folder from all others, at least.
const ID_PREFIX_MIN: usize = 6;

/// How a seeder starts.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// Its name from now on; the kept one, or the machine's, if not said.
    pub name: Option<String>,
    /// The UDP address from now on; the kept one, or a free port, if not said.
    pub listen: Option<SocketAddr>,
    /// Relays through which it can be reached too.
    pub relays: Vec<String>,
    /// Connections at a time.
    pub connections_max: usize,
    /// How fast it sends and receives.
    pub rates: Rates,
    /// The time.
    pub clock: Clock,
}

impl Default for StartOptions {
    fn default() -> Self {
        let connections_max = cobox_net::Config::default().connections_max;
        Self {
            name: None,
            listen: None,
            relays: vec![],
            connections_max,
            rates: Rates::default(),
            clock: Clock::system(),
        }
    }
}

/// What an offer promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferTerms {
    /// Room.
    pub space_bytes: u64,
    /// For whom, as the operator calls them; at most 128 bytes.
    pub label: String,
    /// Days for which history is kept, at least.
    pub keep_days: u32,
    /// Milliseconds within which it must be claimed.
    pub expires_in_ms: u64,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum SeederError {
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kept port is taken.
    #[error("UDP port {} is taken by another program", .0.port())]
    PortTaken(SocketAddr),
    /// The network.
    #[error(transparent)]
    Net(NetError),
    /// A name or label that is none.
    #[error("\"{0}\" can not be a name: it must be 1 to {LABEL_BYTES_MAX} bytes of one line")]
    BadName(String),
    /// An offer of nothing.
    #[error("an offer needs some space")]
    NoSpace,
    /// No folder has this id.
    #[error("no folder here has an id that begins with \"{0}\"")]
    NoSuchFolder(String),
    /// Several have.
    #[error("several folders have ids that begin with \"{0}\"")]
    Ambiguous(String),
    /// Too short.
    #[error("\"{0}\" is too short for a folder's id; give at least {ID_PREFIX_MIN} characters")]
    ShortId(String),
    /// A thread of ours died.
    #[error("a part of the service ended by a mistake of its own; see the log")]
    Broken,
}

impl From<NetError> for SeederError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::PortTaken { addr } => Self::PortTaken(addr),
            other => Self::Net(other),
        }
    }
}

/// See the module's text. Share it in an `Arc`.
pub struct Seeder {
    name: String,
    key: SecretKey,
    clock: Clock,
    state: PathBuf,
    endpoint: Arc<Endpoint>,
    hub: Arc<Hub>,
    _accepting: AbortOnDropHandle<()>,
}

impl std::fmt::Debug for Seeder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seeder({})", self.key.public().short())
    }
}

impl Seeder {
    /// Starts the seeder of a prepared and locked home.
    ///
    /// Errors: the keys or records can not be read, the port is taken.
    pub async fn start(home: &Home, options: StartOptions) -> Result<Self, SeederError> {
        let (keys, clock, state) = (Keys::open(home)?, options.clock, home.state());
        let store = Arc::new(FolderStore::open(&state.join("folders.db"))?);
        let name = kept_name(&store, options.name)?;
        let config = cobox_net::Config {
            listen: listen(&store, options.listen)?,
            relays: options.relays,
            connections_max: options.connections_max,
            ..cobox_net::Config::default()
        };
        let wanted = config.listen;
        let endpoint = Arc::new(Endpoint::bind(config, &keys.endpoint).await?);
        endpoint.set_rates(options.rates);
        keep_listen(&store, wanted, endpoint.port())?;
        let (key, of_hub) = (keys.seeder.clone(), clock.clone());
        let opening = {
            let (state, store) = (state.clone(), store);
            tokio::task::spawn_blocking(move || Hub::open(&state, store, keys.seeder, of_hub))
        };
        let hub = opening.await.map_err(|_| SeederError::Broken)??;
        let (accepting, host) = (endpoint.clone(), hub.clone());
        let accepting = tokio::spawn(async move {
            while let Some(connection) = accepting.accept().await {
                drive(connection, accepting.id(), host.clone());
            }
        });
        let _accepting = AbortOnDropHandle::new(accepting);
        Ok(Self { name, key, clock, state, endpoint, hub, _accepting })
    }

    /// Tells everybody that it goes, and ends with everything written.
    pub async fn shutdown(&self) {
        self.endpoint.close().await;
        let hub = self.hub.clone();
        if tokio::task::spawn_blocking(move || hub.stop()).await.is_err() {
            tracing::error!("the folders' threads did not end well");
        }
    }

    /// Where it is.
    pub fn addrs(&self) -> EndpointAddrs {
        self.endpoint.addrs()
    }

    /// The key by which folders know it.
    pub fn key(&self) -> SigKey {
        self.key.public()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Room left on the disk, in bytes.
    pub fn disk_free_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.state).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Makes an offer and remembers it. Returns its name, its code (a secret), and until when it can be claimed, milliseconds since
    /// 1970.
    ///
    /// Errors: no space, a bad label, the disk.
    pub fn offer(&self, terms: OfferTerms) -> Result<(OfferId, String, u64), SeederError> {
        if terms.space_bytes == 0 {
            return Err(SeederError::NoSpace);
        }
        if !terms.label.is_empty() && !is_name(&terms.label) {
            return Err(SeederError::BadName(terms.label));
        }
        let record = OfferRecord {
            id: OfferId(*random()),
            secret: *random(),
            label: terms.label,
            space_bytes: terms.space_bytes,
            keep_days: terms.keep_days,
            expires_ms: self.clock.now_ms().saturating_add(terms.expires_in_ms),
            used_by: None,
        };
        let mut offer = record.to_offer(self.key.public());
        offer.ticket = self.ticket();
        let (id, expires_ms) = (record.id, record.expires_ms);
        self.hub.register().add_offer(record)?;
        Ok((id, offer.to_text(&self.key), expires_ms))
    }

    /// How to reach it.
    pub fn ticket(&self) -> Ticket {
        let addrs = self.endpoint.addrs();
        let relays = addrs.relays.into_iter().map(Address::Relay);
        // Relays first if there is not room for all: they work from everywhere.
        let room = ADDRESSES_MAX.saturating_sub(relays.len());
        let skipped = addrs.addrs.len().saturating_sub(room);
        let direct = addrs.addrs.into_iter().skip(skipped).map(Address::from);
        let addresses = direct.chain(relays).take(ADDRESSES_MAX).collect();
        Ticket { party: Party::Seeder, endpoint: EndpointId(addrs.key.0), addresses }
    }

    /// How it stands.
    pub async fn status(&self) -> Status {
        let folders = self.folders().await;
        let now_ms = self.clock.now_ms();
        let open: Vec<u64> = {
            let register = self.hub.register();
            let open = register.offers().filter(|offer| offer.used_by.is_none() && offer.expires_ms >= now_ms);
            open.map(|offer| offer.space_bytes).collect()
        };
        let sum = |bytes: &mut dyn Iterator<Item = u64>| bytes.fold(0, u64::saturating_add);
        Status {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            key: self.key().to_string(),
            ticket: self.ticket().to_text(),
            addresses: self.addrs().addrs.iter().map(ToString::to_string).collect(),
            // A vault's room is part of its folder's.
            space_bytes: sum(&mut folders
                .iter()
                .filter(|row| row.kind == Kind::Folder)
                .map(|row| row.quota_bytes)
                .chain(open.iter().copied())),
            used_bytes: sum(&mut folders.iter().map(|row| row.used_bytes)),
            folders: folders.len(),
            open_offers: open.len(),
            problems: folders
                .iter()
                .filter_map(|row| Some(format!("{}: {}", short(&row.id), row.problem.as_ref()?)))
                .collect(),
        }
    }

    /// All that it hosts, by id.
    pub async fn folders(&self) -> Vec<FolderRow> {
        let mut rows = Vec::new();
        for (folder, hosted) in self.hub.tenants() {
            let hosting = self.hub.register().hosting(&folder).cloned();
            if let Some(hosting) = hosting {
                rows.push(row(&hosting, &hosted).await);
            }
        }
        rows
    }

    /// The folder whose id begins so.
    ///
    /// Errors: none, or several.
    pub async fn folder(&self, prefix: &str) -> Result<FolderRow, SeederError> {
        let id = self.find(prefix)?;
        let rows = self.folders().await;
        rows.into_iter().find(|row| row.id == id.to_string()).ok_or_else(|| SeederError::NoSuchFolder(prefix.into()))
    }

    /// What is known here of a folder's people.
    pub async fn sees(&self, prefix: &str) -> Result<Sees, SeederError> {
        let id = self.find(prefix)?;
        let tenant = self.hub.running(&id).ok_or_else(|| SeederError::NoSuchFolder(prefix.into()))?;
        let (answer, answered) = oneshot::channel();
        tenant.order(Order::Look(answer));
        // A folder that can not be read sees nothing.
        Ok(answered.await.unwrap_or_default())
    }

    /// How many vaults would go with a folder.
    pub fn vaults_beside(&self, prefix: &str) -> Result<usize, SeederError> {
        let id = self.find(prefix)?;
        Ok(self.hub.register().vaults_beside(&id).len())
    }

    /// Ends hosting the folder whose id begins so, and deletes all of it and the vaults beside it.
    ///
    /// Errors: none, or several, or the disk.
    pub async fn drop_folder(&self, prefix: &str) -> Result<(), SeederError> {
        let (hub, id) = (self.hub.clone(), self.find(prefix)?);
        let forgetting = tokio::task::spawn_blocking(move || hub.forget(id));
        forgetting.await.map_err(|_| SeederError::Broken)??;
        Ok(())
    }

    fn find(&self, prefix: &str) -> Result<FolderId, SeederError> {
        let typed = prefix.trim().to_ascii_lowercase();
        if typed.chars().count() < ID_PREFIX_MIN {
            return Err(SeederError::ShortId(prefix.into()));
        }
        let register = self.hub.register();
        let mut matching =
            register.hosted().map(|hosting| hosting.folder).filter(|id| id.to_string().starts_with(&typed));
        match (matching.next(), matching.next()) {
            (None, _) => Err(SeederError::NoSuchFolder(prefix.into())),
            (Some(id), None) => Ok(id),
            (Some(_), Some(_)) => Err(SeederError::Ambiguous(prefix.into())),
        }
    }

    /// Reads every block against its name. With `repair`, damaged ones are fetched again from whoever has them.
    ///
    /// Errors: the disk refuses in a way that says nothing about a block.
    pub async fn check(&self, repair: bool) -> Result<CheckReply, SeederError> {
        let mut reply = CheckReply { blocks: 0, bytes: 0, damaged: vec![], repaired: repair };
        for (folder, hosted) in self.hub.tenants() {
            let damage = |block: Option<String>, message: &str| Damage {
                folder: folder.to_string(),
                block,
                message: message.into(),
            };
            let tenant = match hosted {
                Hosted::Running(tenant) => tenant,
                Hosted::Broken(why) => {
                    reply.damaged.push(damage(None, &why));
                    continue;
                }
            };
            let report = check_one(tenant, repair).await?;
            reply.blocks += report.blocks;
            reply.bytes += report.bytes;
            let message = if repair { "damaged; it is wanted again" } else { "damaged" };
            reply.damaged.extend(report.damaged.iter().map(|cid| damage(Some(cid.to_string()), message)));
        }
        Ok(reply)
    }

    /// Looks for garbage in all folders now. Returns how many blocks were deleted.
    pub async fn sweep(&self) -> usize {
        let mut swept = 0;
        for hosted in self.hub.tenants().into_values() {
            if let Hosted::Running(tenant) = hosted {
                let (done, waiting) = oneshot::channel();
                tenant.order(Order::Sweep(done));
                swept += waiting.await.unwrap_or(0);
            }
        }
        swept
    }
}

async fn check_one(tenant: Arc<TenantHandle>, repair: bool) -> Result<cobox_store::CheckReport, SeederError> {
    let (blocks, records) = (tenant.blocks.clone(), tenant.records.clone());
    let checking = tokio::task::spawn_blocking(move || {
        if repair {
            // Should the power go while blocks vanish, the marks above them are not believed at the next start.
            records.set_in_doubt(true)?;
        }
        blocks.check(repair)
    });
    let report = checking.await.map_err(|_| SeederError::Broken)??;
    if repair {
        let (done, waiting) = oneshot::channel();
        tenant.order(Order::Recheck(report.damaged.clone(), done));
        // It has ended: the doubt stays for the next start.
        let _ended = waiting.await;
    }
    Ok(report)
}

async fn row(hosting: &Hosting, hosted: &Hosted) -> FolderRow {
    let (view, blocks, broken) = match hosted {
        Hosted::Running(tenant) => {
            let (view, store) = (tenant.loaded_view().await, tenant.blocks.clone());
            let stats = tokio::task::spawn_blocking(move || store.stats()).await;
            (view, stats.map_or(0, |stats| stats.map_or(0, |stats| stats.blocks)), None)
        }
        Hosted::Broken(why) => (Default::default(), 0, Some(why.clone())),
    };
    FolderRow {
        id: hosting.folder.to_string(),
        kind: if view.vault { Kind::Vault } else { Kind::Folder },
        label: hosting.label.clone(),
        since: Time::from_ms(hosting.since_ms),
        used_bytes: view.used_bytes,
        history_bytes: view.history_bytes,
        states: view.states,
        trash_blocks: view.trash_blocks,
        quota_bytes: view.quota_bytes,
        complete: view.complete,
        head_at: view.head_at_ms.map(Time::from_ms),
        blocks,
        members: view.member_keys.len(),
        connected: view.visitors,
        last_seen: view.last_seen_ms.map(Time::from_ms),
        hired: view.hired,
        checked_at: view.checked_at_ms.map(Time::from_ms),
        damaged: view.damaged.iter().map(ToString::to_string).collect(),
        problem: view.problem.or(broken),
    }
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LABEL_BYTES_MAX && !text.chars().any(char::is_control)
}

fn kept_name(store: &FolderStore, typed: Option<String>) -> Result<String, SeederError> {
    if let Some(name) = typed {
        if !is_name(&name) {
            return Err(SeederError::BadName(name));
        }
        let name = name.trim().to_owned();
        store.put_value(&FolderId::ZERO, NAME, name.as_bytes())?;
        return Ok(name);
    }
    let kept = store.value(&FolderId::ZERO, NAME)?.and_then(|bytes| String::from_utf8(bytes).ok());
    let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(kept.unwrap_or_else(|| Some(machine()).filter(|name| is_name(name)).unwrap_or_else(|| "seeder".into())))
}

fn listen(store: &FolderStore, typed: Option<SocketAddr>) -> Result<Listen, SeederError> {
    let kept = || -> Result<Option<SocketAddr>, StoreError> {
        let text = store.value(&FolderId::ZERO, LISTEN)?.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(text.and_then(|text| text.parse().ok()))
    };
    let wanted = match typed {
        Some(address) => Some(address),
        None => kept()?,
    };
    Ok(match wanted {
        None => Listen::AllInterfaces { port: 0 },
        Some(address) if address.ip() == IpAddr::from([0, 0, 0, 0]) => Listen::AllInterfaces { port: address.port() },
        Some(address) => Listen::Address(address),
    })
}

/// Offers and printed kits name the port, so it stays.
fn keep_listen(store: &FolderStore, listen: Listen, port: u16) -> Result<(), StoreError> {
    let ip = match listen {
        Listen::AllInterfaces { .. } => IpAddr::from([0, 0, 0, 0]),
        Listen::Address(address) => address.ip(),
    };
    store.put_value(&FolderId::ZERO, LISTEN, SocketAddr::new(ip, port).to_string().as_bytes())
}
