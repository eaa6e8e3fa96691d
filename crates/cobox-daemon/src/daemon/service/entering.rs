//! Coming into folders by an invite, and what every way into a folder shares.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cobox_core::keys::{DeviceSecret, FolderKeys, HpkeSecret};
use cobox_core::members::{
    Author, InviteCode, InviteText, Label, SpokenCode, invited_name, join, join_waiting, open_epochs,
};
use cobox_net::{Opened, Opener, Pass};
use cobox_proto::codec::Canonical;
use cobox_proto::hosting::Ticket;
use cobox_proto::id::FolderId;
use cobox_proto::members::FolderKind;
use cobox_proto::wire::proof::KeyKind;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::super::joining::Asked;
use super::super::{Daemon, NewFolder, now_ms, random};
use super::{failed, folder_name, spoken};
use crate::api::dto::{FolderName, JoinReply, JoinRequest, JoiningStatus};
use crate::api::{ApiError, ErrorCode, EventKind, News};
use crate::disk_tree::DiskTree;
use crate::folder::{FolderConfig, FolderHandle, SeederConfig, Sort};
use crate::guest::{Entered, Guest};

/// How long one step of entering may take once somebody answers.
pub(in crate::daemon) const STEP_WAIT: Duration = Duration::from_secs(30);
/// What a folder that was left still asked for is answered within this.
const LEFT_OPEN_WAIT: Duration = Duration::from_secs(10);
const LEFT_OPEN_PAUSE: Duration = Duration::from_millis(50);
/// How long an invite that was just made may take to the places it names.
const NEWS_WAIT: Duration = Duration::from_secs(10);
/// How long is waited for a folder's newest state before the answer says what there is.
pub(super) const TREE_WAIT: Duration = Duration::from_secs(20);

/// Into which folder, and how.
pub(in crate::daemon) struct Entering<'a> {
    /// The invite.
    pub(in crate::daemon) code: &'a InviteCode,
    /// The directory that the person named.
    pub(in crate::daemon) typed: Option<&'a Path>,
    /// The member slot that joined.
    pub(in crate::daemon) slot: u16,
    /// To somebody who lets this device in.
    pub(in crate::daemon) link: Opener,
    /// Until when the newest state is waited for.
    pub(in crate::daemon) deadline: Instant,
}

/// What came of a code that somebody answered to.
enum Came {
    /// One is a member.
    In(Box<Entered>, FolderKeys, Zeroizing<[u8; 32]>, Opener),
    /// Somebody has to approve first.
    Waits(JoiningStatus),
}

impl Daemon {
    pub(super) async fn join_folder(&self, request: JoinRequest) -> Result<JoinReply, ApiError> {
        let unreadable = |why: String| {
            ApiError::new(ErrorCode::CodeUnreadable, why).hint("copy the whole code again, or ask for a new one")
        };
        let typed = request.path.as_deref().map(Path::new);
        let deadline = Instant::now() + Duration::from_millis(request.timeout_ms);
        // What somebody gave a moment ago may be news at the places it names.
        let mut news = None;
        let code = if SpokenCode::is_meant_by(&request.code) {
            let said = request.code.parse::<SpokenCode>().map_err(|why| spoken::unreadable(&why))?;
            // Before the one try: a wrong path costs no words.
            typed.map(|path| self.prepare_root(path)).transpose()?;
            let code = self.say_words(&said, request.via.as_deref(), deadline).await?;
            news = Some(Instant::now() + NEWS_WAIT);
            code
        } else {
            let pasted: InviteText =
                request.code.parse().map_err(|why: cobox_core::members::InviteError| unreadable(why.to_string()))?;
            match pasted {
                InviteText::Code(code) => code,
                InviteText::Sealed(sealed) => sealed.open(&self.identity().root.contact()).map_err(|why| {
                    ApiError::new(ErrorCode::CodeForAnother, why.to_string())
                        .hint("your CoBox key is in `cobox whoami`")
                })?,
            }
        };
        if let Some(running) = self.running_folder(&code.folder) {
            let folder = folder_name(&running);
            // Nobody comes back under the keys of then: the code is for new ones.
            if running.handle.ask(|actor| actor.is_out()).await == Some(true) {
                let message = format!("you were sent away from {}, and the folder of then is still here", folder.name);
                let hint = format!(
                    "type `cobox leave {}` (the files stay), then join again: the code is not used up",
                    folder.name
                );
                return Err(ApiError::new(ErrorCode::Refused, message).hint(hint));
            }
            return Ok(JoinReply { folder, already: true, waiting: None });
        }
        if let Some(waiting) = self.asks_by(&code) {
            return Ok(JoinReply { already: true, ..waits(waiting) });
        }
        // Looked at before anything is asked of anybody, so that a wrong path costs no invite.
        let root = typed.map(|path| self.prepare_root(path)).transpose()?;
        let slot = self.slot_of_a_new_folder()?;
        // By another code: what was asked by the one before is over.
        self.forget_joining(&code.folder).map_err(failed)?;
        let deadline = deadline.max(news.unwrap_or(deadline));
        match self.enter_by_invite(&code, root.as_deref(), slot, deadline, news).await? {
            Came::In(entered, keys, device_seed, link) => {
                let entering = Entering { code: &code, typed, slot, link, deadline };
                let folder = self.enter(entering, *entered, keys, device_seed).await?;
                Ok(JoinReply { folder, already: false, waiting: None })
            }
            Came::Waits(waiting) => Ok(waits(waiting)),
        }
    }

    /// Makes a folder this device's in which one is a member since a moment ago.
    pub(in crate::daemon) async fn enter(
        &self,
        entering: Entering<'_>,
        entered: Entered,
        keys: FolderKeys,
        device_seed: Zeroizing<[u8; 32]>,
    ) -> Result<FolderName, ApiError> {
        let Entering { code, typed, slot, link, deadline } = entering;
        let name = typed
            .and_then(|path| path.file_name().map(|n| n.to_string_lossy().into_owned()))
            .or_else(|| {
                let invite = entered.ops.iter().find(|op| op.id() == code.invite)?;
                invited_name(&keys, invite.op())
            })
            .unwrap_or_else(|| format!("folder {}", code.folder.short()));
        let name = self.free_name(&name);
        let root = match typed {
            Some(path) => self.prepare_root(path)?,
            None => self.make_root(&self.default_place(None), &name)?,
        };
        let contacts = tickets(code).iter().map(Ticket::to_text).collect();
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
        Ok(FolderName { id: code.folder.to_string(), name, path: root.display().to_string() })
    }

    /// Becomes a member by an invite, or asks to become one, through the first of its places that answers. Until `news` the invite may be
    /// unknown there yet, and a closed door is knocked at again.
    async fn enter_by_invite(
        &self,
        code: &InviteCode,
        root: Option<&Path>,
        slot: u16,
        deadline: Instant,
        news: Option<Instant>,
    ) -> Result<Came, ApiError> {
        let tickets = tickets(code);
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
                let step = deadline.min(Instant::now() + STEP_WAIT);
                if guest.until(step, |guest| approved_first(guest, code)).await == Some(true) {
                    let asked = self.ask_as(&mut guest, code, root, slot);
                    self.forget_guest(&code.folder);
                    guest.leave();
                    return Ok(Came::Waits(self.begin_asking(asked?)));
                }
                let joined = self.join_as(&mut guest, code, slot, step).await;
                self.forget_guest(&code.folder);
                let left = guest.leave();
                if let (Some((keys, device_seed)), Some(entered)) = (joined, left) {
                    return Ok(Came::In(Box::new(entered), keys, device_seed, link));
                }
            }
            let is_news = news.is_some_and(|until| Instant::now() < until);
            if let Some(spent) = spent.take_if(|_| !is_news) {
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

    /// Asks to be let in: what was asked is kept before anybody hears of it.
    fn ask_as(&self, guest: &mut Guest, code: &InviteCode, root: Option<&Path>, slot: u16) -> Result<Asked, ApiError> {
        let device_seed = Zeroizing::new(random::<32>());
        let device = DeviceSecret::from_seed(&device_seed);
        let (person, name) = (self.identity().slot(slot), self.identity().name);
        let learnt = guest.learnt().ok_or_else(|| failed("the folder's members could not be read"))?;
        let membership = guest.replica().ok_or_else(super::stopped)?.membership();
        let info = membership.roster().invite(&code.invite).ok_or_else(super::stopped)?;
        let (role, expires_ms) = (info.role, info.expires_ms);
        // Where the folder wants all joins approved, an older code may have keys in it all the same.
        let opened = membership.roster().writable_epoch().zip(open(guest, &[&code.secret().hpke]));
        let join = match &opened {
            Some((epoch, keys)) => {
                join(membership.log(), code, &person, &device, Some(Label { keys, epoch: epoch.tag(), text: &name }))
            }
            None => join_waiting(membership.log(), code, &person, &device, &name),
        };
        let join = join.map_err(failed)?;
        let asked = Asked {
            code: code.clone(),
            device_seed,
            slot,
            path: root.map(Path::to_path_buf),
            join,
            role,
            expires_ms,
            asked_ms: now_ms(),
        };
        self.keep_joining(&asked, &learnt)?;
        guest.hand_in(vec![asked.join.clone()], Vec::new());
        Ok(asked)
    }

    /// A guest of a folder, to whom from now on goes what is told of it.
    pub(in crate::daemon) fn seat_guest(&self, folder: FolderId, ours: KeyKind) -> Guest {
        let (guest, inbox) = Guest::new(folder, ours, now_ms);
        self.guests.write().expect("no thread panics while it holds this lock").insert(folder, inbox);
        guest
    }

    /// Nothing goes to the folder's guest any more.
    pub(in crate::daemon) fn forget_guest(&self, folder: &FolderId) {
        self.guests.write().expect("no thread panics while it holds this lock").remove(folder);
    }

    /// Asks at a folder's door with a key; `None` if it is not opened.
    pub(in crate::daemon) async fn knock(
        &self,
        link: &Opener,
        folder: FolderId,
        pass: Pass,
        ours: KeyKind,
    ) -> Option<Guest> {
        let guest = self.seat_guest(folder, ours);
        if opens(link, folder, pass).await {
            return Some(guest);
        }
        self.forget_guest(&folder);
        None
    }

    /// Receives the log, opens the keys with the invite, joins, waits for a witness, and gives the keys to its own device and
    /// words.
    async fn join_as(
        &self,
        guest: &mut Guest,
        code: &InviteCode,
        slot: u16,
        deadline: Instant,
    ) -> Option<(FolderKeys, Zeroizing<[u8; 32]>)> {
        let invite = code.secret();
        let keys = guest.until(deadline, |guest| open(guest, &[&invite.hpke])).await?;
        let device_seed = Zeroizing::new(random::<32>());
        let device = DeviceSecret::from_seed(&device_seed);
        let slot = self.identity().slot(slot);
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
        let config = FolderConfig { seeders, contacts, ..FolderConfig::new(id, sort, name, root, slot) };
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

/// Asks to enter for a guest. What the folder of then, which was left, asked for last may not be answered yet.
pub(in crate::daemon) async fn opens(link: &Opener, folder: FolderId, pass: Pass) -> bool {
    let deadline = Instant::now() + LEFT_OPEN_WAIT;
    loop {
        match link.open_anew(folder, pass.clone()).await {
            Opened::Yes => return true,
            Opened::Already if Instant::now() < deadline => tokio::time::sleep(LEFT_OPEN_PAUSE).await,
            Opened::Already | Opened::No => return false,
        }
    }
}

/// Whether who joins by this code has to be approved, once the log is here.
fn approved_first(guest: &Guest, code: &InviteCode) -> Option<bool> {
    let roster = guest.replica()?.membership().roster();
    Some(roster.invite(&code.invite).is_some_and(|invite| invite.approve))
}

/// Where the folder is found.
fn tickets(code: &InviteCode) -> Vec<Ticket> {
    code.tickets.iter().filter_map(|bytes| Ticket::from_bytes(bytes).ok()).collect()
}

fn waits(waiting: JoiningStatus) -> JoinReply {
    let folder = FolderName {
        id: waiting.folder.clone(),
        name: waiting.name.clone(),
        path: waiting.path.clone().unwrap_or_default(),
    };
    JoinReply { folder, already: false, waiting: Some(waiting) }
}

/// The folder's keys, once the log and an envelope for one of these keys are here.
pub(in crate::daemon) fn open(guest: &Guest, secrets: &[&HpkeSecret]) -> Option<FolderKeys> {
    let membership = guest.replica()?.membership();
    let writable = membership.roster().writable_epoch()?.tag();
    let opened = open_epochs(membership.log(), membership.roster(), &guest.envelopes(), secrets, None);
    opened.keys.filter(|keys| keys.has_epoch(&writable))
}
