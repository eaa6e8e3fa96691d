//! Coming into folders by an invite, and what every way into a folder shares.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cobox_core::keys::{DeviceSecret, FolderKeys, HpkeSecret};
use cobox_core::members::{Author, InviteCode, InviteText, Label, join, open_epochs, open_label};
use cobox_net::{Opener, Pass};
use cobox_proto::codec::Canonical;
use cobox_proto::hosting::Ticket;
use cobox_proto::id::FolderId;
use cobox_proto::members::FolderKind;
use cobox_proto::wire::proof::KeyKind;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::super::{Daemon, NewFolder, now_ms, random};
use super::folder_name;
use crate::api::dto::{FolderName, FolderReply, JoinRequest};
use crate::api::{ApiError, ErrorCode, EventKind, News};
use crate::disk_tree::DiskTree;
use crate::folder::{FolderConfig, FolderHandle, SeederConfig, Sort};
use crate::guest::{Entered, Guest};

/// How long one step of entering may take once somebody answers.
pub(super) const STEP_WAIT: Duration = Duration::from_secs(30);
/// How long is waited for a folder's newest state before the answer says what there is.
pub(super) const TREE_WAIT: Duration = Duration::from_secs(20);

impl Daemon {
    pub(super) async fn join_folder(&self, request: JoinRequest) -> Result<FolderReply, ApiError> {
        let unreadable = |why: String| {
            ApiError::new(ErrorCode::CodeUnreadable, why).hint("copy the whole code again, or ask for a new one")
        };
        let pasted: InviteText =
            request.code.parse().map_err(|why: cobox_core::members::InviteError| unreadable(why.to_string()))?;
        let code = match pasted {
            InviteText::Code(code) => code,
            InviteText::Sealed(sealed) => sealed.open(&self.identity().root.contact()).map_err(|why| {
                ApiError::new(ErrorCode::CodeForAnother, why.to_string()).hint("your CoBox key is in `cobox whoami`")
            })?,
        };
        if let Some(running) = self.running_folder(&code.folder) {
            return Ok(FolderReply { folder: folder_name(&running), already: true });
        }
        // Looked at before anything is asked of anybody, so that a wrong path costs no invite.
        let typed = request.path.as_deref().map(Path::new);
        if let Some(path) = typed {
            self.prepare_root(path)?;
        }
        let deadline = Instant::now() + Duration::from_millis(request.timeout_ms);
        let (entered, keys, device_seed, link, tickets) = self.enter_by_invite(&code, deadline).await?;
        let name = typed
            .and_then(|path| path.file_name().map(|n| n.to_string_lossy().into_owned()))
            .or_else(|| {
                let invite = entered.ops.iter().find(|op| op.id() == code.invite)?;
                open_label(&keys, invite.op()).ok().flatten()
            })
            .unwrap_or_else(|| format!("folder {}", code.folder.short()));
        let name = self.free_name(&name);
        let root = match typed {
            Some(path) => self.prepare_root(path)?,
            None => self.make_root(&self.default_place(None), &name)?,
        };
        let contacts = tickets.iter().map(Ticket::to_text).collect();
        let slot = self.free_slot();
        let handle = self.settle_in(
            code.folder,
            entered,
            keys,
            device_seed,
            slot,
            name.clone(),
            Some(root.clone()),
            Vec::new(),
            contacts,
        )?;
        let pass = handle.ask(|actor| actor.pass()).await.ok_or_else(super::stopped)?;
        link.open_and_wait(code.folder, pass).await;
        self.wait_for_tree(&handle, deadline).await;
        self.write_vault().await;
        self.events
            .publish(News::new(EventKind::FolderAdded, format!("{name} was joined")).folder(code.folder.to_string()));
        let folder = FolderName { id: code.folder.to_string(), name, path: root.display().to_string() };
        Ok(FolderReply { folder, already: false })
    }

    /// Becomes a member by an invite, through the first of its places that answers.
    async fn enter_by_invite(
        &self,
        code: &InviteCode,
        deadline: Instant,
    ) -> Result<(Entered, FolderKeys, Zeroizing<[u8; 32]>, Opener, Vec<Ticket>), ApiError> {
        let tickets: Vec<Ticket> = code.tickets.iter().filter_map(|bytes| Ticket::from_bytes(bytes).ok()).collect();
        let secret = code.secret();
        let mut spent = None;
        loop {
            for ticket in &tickets {
                let Ok(Ok(link)) = tokio::time::timeout_at(deadline, self.call_ticket(ticket)).await else { continue };
                let pass = Pass { kind: KeyKind::Invite, key: secret.sig.clone(), introduction: vec![] };
                let Some(mut guest) = self.knock(&link, code.folder, pass, KeyKind::Invite).await else {
                    spent = Some(
                        ApiError::new(ErrorCode::CodeSpent, "the invite is used up, cancelled or expired")
                            .hint("ask for a new one"),
                    );
                    continue;
                };
                let joined = self.join_as(&mut guest, code, deadline.min(Instant::now() + STEP_WAIT)).await;
                self.guests.write().expect("no thread panics while it holds this lock").remove(&code.folder);
                let left = guest.leave();
                if let (Some((keys, device_seed)), Some(entered)) = (joined, left) {
                    return Ok((entered, keys, device_seed, link, tickets));
                }
            }
            if let Some(spent) = spent {
                return Err(spent);
            }
            if Instant::now() + Duration::from_millis(500) >= deadline {
                return Err(ApiError::new(
                    ErrorCode::Unreachable,
                    "nobody who could let you in was reached; the code is not used up",
                )
                .hint("try again when the person who invited you, or a seeder of the folder, is connected"));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Asks at a folder's door with a key; `None` if it is not opened.
    pub(super) async fn knock(&self, link: &Opener, folder: FolderId, pass: Pass, ours: KeyKind) -> Option<Guest> {
        let (guest, inbox) = Guest::new(folder, ours, now_ms);
        self.guests.write().expect("no thread panics while it holds this lock").insert(folder, inbox);
        if link.open_and_wait(folder, pass).await {
            return Some(guest);
        }
        self.guests.write().expect("no thread panics while it holds this lock").remove(&folder);
        None
    }

    /// Receives the log, opens the keys with the invite, joins, waits for a witness, and gives the keys to its own device and
    /// words.
    async fn join_as(
        &self,
        guest: &mut Guest,
        code: &InviteCode,
        deadline: Instant,
    ) -> Option<(FolderKeys, Zeroizing<[u8; 32]>)> {
        let invite = code.secret();
        let keys = guest.until(deadline, |guest| open(guest, &[&invite.hpke])).await?;
        let device_seed = Zeroizing::new(random::<32>());
        let device = DeviceSecret::from_seed(&device_seed);
        let slot = self.identity().slot(self.free_slot());
        let name = self.identity().name;
        let membership = guest.replica()?.membership();
        let epoch = membership.roster().writable_epoch()?.tag();
        let label = keys.has_epoch(&epoch).then_some(Label { keys: &keys, epoch, text: &name });
        let op = join(membership.log(), code, &slot, &device, label).ok()?;
        let grant = op.id();
        guest.hand_in(vec![op], Vec::new());
        let me = device.public().sig;
        guest.until(deadline, |guest| guest.replica()?.membership().roster().device(&me).map(|_| ())).await?;
        guest.give_missing_grants(Author { grant, key: &device.sig }, &keys, &random());
        Some((keys, device_seed))
    }

    /// Makes an entered folder this device's.
    #[allow(clippy::too_many_arguments)] // each is a fact of the new folder; a struct would name them once more
    pub(super) fn settle_in(
        &self,
        id: FolderId,
        entered: Entered,
        keys: FolderKeys,
        device_seed: Zeroizing<[u8; 32]>,
        slot: u16,
        name: String,
        root: Option<PathBuf>,
        seeders: Vec<SeederConfig>,
        contacts: Vec<String>,
    ) -> Result<FolderHandle, ApiError> {
        if let Some(root) = &root {
            DiskTree::adopt(root, id, &self.off_limits())
                .map_err(|why| ApiError::from(why).hint("choose another directory"))?;
        }
        let sort = if entered.genesis.kind == FolderKind::Vault { Sort::Vault } else { Sort::Folder };
        let config = FolderConfig {
            id: id.to_string(),
            sort,
            name,
            path: root,
            slot,
            paused: false,
            seeders,
            contacts,
            discarded: Vec::new(),
            adopted: Vec::new(),
            changes: 0,
        };
        let Entered { genesis, ops, envelopes } = entered;
        let new = NewFolder { config, genesis, ops, envelopes, keys: Some(keys), device_seed };
        self.take_folder(new).map_err(|why| ApiError::new(why.code(), why.to_string()).hint(why.hint()))
    }

    /// Waits until the newest state is known; files come behind.
    pub(super) async fn wait_for_tree(&self, folder: &FolderHandle, deadline: Instant) {
        let deadline = deadline.min(Instant::now() + TREE_WAIT);
        while Instant::now() < deadline {
            if folder.ask(|actor| actor.tree_is_known()).await != Some(false) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) fn default_place(&self, to: Option<&str>) -> PathBuf {
        match to {
            Some(to) => PathBuf::from(to),
            None => std::env::var_os("HOME").map(PathBuf::from).unwrap_or_else(|| PathBuf::from("/")).join("cobox"),
        }
    }

    /// A name that no folder here has: `NAME`, `NAME (2)`, ...
    pub(super) fn free_name(&self, wanted: &str) -> String {
        let taken = |name: &str| self.running().iter().any(|r| r.config.sort == Sort::Folder && r.config.name == name);
        let mut name = wanted.to_owned();
        let mut n = 2;
        while taken(&name) {
            name = format!("{wanted} ({n})");
            n += 1;
        }
        name
    }

    /// A directory a person named: made if it is not there.
    fn prepare_root(&self, path: &Path) -> Result<PathBuf, ApiError> {
        std::fs::create_dir_all(path).map_err(|e| {
            ApiError::new(ErrorCode::PathUnsuitable, format!("{} can not be made: {e}", path.display()))
                .hint("choose another directory")
        })?;
        let root = DiskTree::may_adopt(path, &self.off_limits())
            .map_err(|why| ApiError::from(why).hint("choose another directory"))?;
        self.refuse_overlap(&root)?;
        Ok(root)
    }

    /// A new directory `PLACE/NAME`, or `PLACE/NAME (2)` if that exists.
    pub(super) fn make_root(&self, place: &Path, name: &str) -> Result<PathBuf, ApiError> {
        let plain: String = name.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
        let mut root = place.join(&plain);
        let mut n = 2;
        while root.exists() {
            root = place.join(format!("{plain} ({n})"));
            n += 1;
        }
        self.prepare_root(&root)
    }
}

/// The folder's keys, once the log and an envelope for one of these keys are here.
pub(super) fn open(guest: &Guest, secrets: &[&HpkeSecret]) -> Option<FolderKeys> {
    let membership = guest.replica()?.membership();
    let writable = membership.roster().writable_epoch()?.tag();
    let opened = open_epochs(membership.log(), membership.roster(), &guest.envelopes(), secrets, None);
    opened.keys.filter(|keys| keys.has_epoch(&writable))
}
