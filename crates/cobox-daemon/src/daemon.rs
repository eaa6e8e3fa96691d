//! What runs behind the API: here an identity, made the first time and renamed by `up --name`.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cobox_proto::id::SigKey;
use cobox_proto::sign::SecretKey;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use zeroize::Zeroizing;

use crate::api::dto::{
    BackupAddRequest, BackupAdded, BackupEnd, Backups, CheckReport, Conflicts, CreateRequest, Device, FolderReply,
    Folders, HeldChanges, HeldRequest, Invite, InviteRequest, JoinRequest, LeaveReply, LeaveRequest, Members,
    RecoverRequest, Recovered, RecoveryKit, Status, WaitRequest, Whoami,
};
use crate::api::{Answer, ApiError, ErrorCode, EventLog, Service, find_folder};
use crate::files::{replace, write_new};
use crate::{Config, Home, random_token};

/// Bytes of a person's name.
const NAME_BYTES_MAX: usize = cobox_proto::limits::LABEL_BYTES_MAX;

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
    #[error("this can not be a name: it must have 1 to {NAME_BYTES_MAX} bytes and no control characters")]
    NameUnsuitable,
    /// The device's key is damaged.
    #[error("the key {path} is damaged")]
    KeyDamaged {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{path} can not be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl StartError {
    /// Its code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NameNeeded | Self::NameUnsuitable => ErrorCode::NameNeeded,
            Self::KeyDamaged { .. } | Self::Io { .. } => ErrorCode::Disk,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NameNeeded | Self::NameUnsuitable => "give it with --name, like `cobox up --name Ana`",
            Self::KeyDamaged { .. } => {
                "put the file back from a copy, or start with another --home and `cobox recover`"
            }
            Self::Io { .. } => "see that the disk has room and can be written",
        }
    }
}

/// Whether this home has an identity, so that `up` need not ask for a name.
pub fn has_identity(home: &Home) -> bool {
    key_path(home).exists()
}

/// Starts the daemon of a prepared and locked home.
pub(crate) async fn start(options: StartOptions) -> Result<Arc<dyn Service>, StartError> {
    let StartOptions { home, name, .. } = options;
    let identity = tokio::task::spawn_blocking(move || Identity::open(&home, name)).await;
    let identity = identity.expect("the task neither panics nor is cancelled")?;
    Ok(Arc::new(IdentityOnly { identity, events: EventLog::new(&random_token()[..8]) }))
}

fn key_path(home: &Home) -> PathBuf {
    home.keys().join("device")
}

struct Identity {
    name: String,
    device: SigKey,
}

impl Identity {
    fn open(home: &Home, typed: Option<String>) -> Result<Self, StartError> {
        let (key, name_file) = (key_path(home), home.state().join("name"));
        let typed = typed.map(|name| name.trim().to_owned());
        if typed.as_ref().is_some_and(|n| n.is_empty() || n.len() > NAME_BYTES_MAX || n.chars().any(char::is_control)) {
            return Err(StartError::NameUnsuitable);
        }
        let kept = if key.exists() { Some(read_name(&name_file)?) } else { None };
        let name = typed.or_else(|| kept.clone()).ok_or(StartError::NameNeeded)?;
        if kept.as_ref() != Some(&name) {
            replace(&name_file, name.as_bytes()).map_err(|source| StartError::Io { path: name_file, source })?;
        }
        Ok(Self { name, device: device_key(&key)? })
    }
}

fn read_name(path: &Path) -> Result<String, StartError> {
    fs::read_to_string(path).map_err(|source| StartError::Io { path: path.into(), source })
}

/// The device's key, made the first time.
fn device_key(path: &Path) -> Result<SigKey, StartError> {
    let io = |source| StartError::Io { path: path.into(), source };
    if !path.exists() {
        let mut seed = Zeroizing::new([0_u8; 32]);
        getrandom::fill(&mut *seed).map_err(|e| io(io::Error::other(e)))?;
        write_new(path, &*seed).map_err(io)?;
    }
    let seed: [u8; 32] = Zeroizing::new(fs::read(path).map_err(io)?)
        .as_slice()
        .try_into()
        .map_err(|_| StartError::KeyDamaged { path: path.into() })?;
    Ok(SecretKey::from_seed(&Zeroizing::new(seed)).public())
}

/// A device that has an identity and takes no part in folders.
struct IdentityOnly {
    identity: Identity,
    events: Arc<EventLog>,
}

impl IdentityOnly {
    fn status_now(&self) -> Status {
        let Identity { name, device } = &self.identity;
        let version = env!("CARGO_PKG_VERSION").into();
        Status {
            device: Device { name: name.clone(), key: device.to_string(), version },
            folders: vec![],
            in_step: true,
        }
    }

    fn whoami_now(&self) -> Whoami {
        let Identity { name, device } = &self.identity;
        Whoami {
            name: name.clone(),
            cobox_key: String::new(),
            device_key: device.to_string(),
            addresses: vec![],
            api: String::new(),
        }
    }
}

fn ready<T: Send + 'static>(answer: Result<T, ApiError>) -> Answer<'static, T> {
    future::ready(answer).boxed()
}

fn no_folder<T: Send + 'static>(folder: &str) -> Answer<'static, T> {
    ready(find_folder(&[], folder).and_then(|_| not_yet()))
}

fn not_yet<T>() -> Result<T, ApiError> {
    Err(ApiError::new(ErrorCode::NotYet, "this service takes no part in folders yet"))
}

impl Service for IdentityOnly {
    fn whoami(&self) -> Answer<'_, Whoami> {
        ready(Ok(self.whoami_now()))
    }
    fn status(&self, folder: Option<String>) -> Answer<'_, Status> {
        folder.map_or_else(|| ready(Ok(self.status_now())), |folder| no_folder(&folder))
    }
    fn wait(&self, request: WaitRequest) -> Answer<'_, Status> {
        self.status(request.folder)
    }
    fn create(&self, _: CreateRequest) -> Answer<'_, FolderReply> {
        ready(not_yet())
    }
    fn folders(&self) -> Answer<'_, Folders> {
        ready(Ok(Folders { folders: vec![] }))
    }
    fn join(&self, _: JoinRequest) -> Answer<'_, FolderReply> {
        ready(not_yet())
    }
    fn leave(&self, folder: String, _: LeaveRequest) -> Answer<'_, LeaveReply> {
        no_folder(&folder)
    }
    fn pause(&self, folder: String) -> Answer<'_, FolderReply> {
        no_folder(&folder)
    }
    fn resume(&self, folder: String) -> Answer<'_, FolderReply> {
        no_folder(&folder)
    }
    fn check(&self, folder: String) -> Answer<'_, CheckReport> {
        no_folder(&folder)
    }
    fn invite(&self, folder: String, _: InviteRequest) -> Answer<'_, Invite> {
        no_folder(&folder)
    }
    fn members(&self, folder: String) -> Answer<'_, Members> {
        no_folder(&folder)
    }
    fn backup_add(&self, folder: String, _: BackupAddRequest) -> Answer<'_, BackupAdded> {
        no_folder(&folder)
    }
    fn backup_list(&self, folder: String) -> Answer<'_, Backups> {
        no_folder(&folder)
    }
    fn backup_remove(&self, folder: String, _: String) -> Answer<'_, BackupEnd> {
        no_folder(&folder)
    }
    fn conflicts(&self, folder: String) -> Answer<'_, Conflicts> {
        no_folder(&folder)
    }
    fn held_list(&self, folder: Option<String>) -> Answer<'_, HeldChanges> {
        folder.map_or_else(|| ready(Ok(HeldChanges { held: vec![] })), |folder| no_folder(&folder))
    }
    fn held_approve(&self, folder: String, _: HeldRequest) -> Answer<'_, HeldChanges> {
        no_folder(&folder)
    }
    fn held_reject(&self, folder: String, _: HeldRequest) -> Answer<'_, HeldChanges> {
        no_folder(&folder)
    }
    fn recovery_kit(&self) -> Answer<'_, RecoveryKit> {
        ready(not_yet())
    }
    fn recover(&self, _: RecoverRequest) -> Answer<'_, Recovered> {
        ready(not_yet())
    }
    fn events(&self) -> Arc<EventLog> {
        self.events.clone()
    }
    fn shutdown(&self) -> BoxFuture<'_, ()> {
        future::ready(()).boxed()
    }
}
