//! Coming into folders: by an invite, or back into one's own with twelve words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cobox_core::keys::phrase::Words;
use cobox_core::keys::{DeviceSecret, FolderKeys, HpkeSecret, RootSecret};
use cobox_core::members::{
    Author, InviteCode, InviteText, Label, add_device, device_proof, join, open_epochs, open_label,
};
use cobox_net::{Opener, Pass};
use cobox_proto::codec::Canonical;
use cobox_proto::hosting::Ticket;
use cobox_proto::id::FolderId;
use cobox_proto::limits::{FIND_PROOFS_MAX, MEMBER_SLOTS};
use cobox_proto::members::FolderKind;
use cobox_proto::wire::proof::KeyKind;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::super::{Daemon, NewFolder, now_ms, random};
use super::{failed, folder_name};
use crate::api::dto::{FolderName, FolderReply, FoundState, JoinRequest, RecoverRequest, Recovered, Time};
use crate::api::{ApiError, ErrorCode, EventKind, News};
use crate::disk_tree::DiskTree;
use crate::folder::{FolderConfig, FolderHandle, SeederConfig, Sort};
use crate::guest::{Entered, Guest};

/// How long one step of entering may take once somebody answers.
const STEP_WAIT: Duration = Duration::from_secs(30);
/// How long is waited for a folder's newest state before the answer says what there is.
const TREE_WAIT: Duration = Duration::from_secs(20);

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
        let seeders = seeders_of(&entered, &tickets);
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
            seeders,
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
                let pass = Pass { kind: KeyKind::Invite, key: secret.sig.clone() };
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
    async fn knock(&self, link: &Opener, folder: FolderId, pass: Pass, ours: KeyKind) -> Option<Guest> {
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
    fn settle_in(
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
        let config =
            FolderConfig { id: id.to_string(), sort, name, path: root, slot, paused: false, seeders, contacts };
        let Entered { genesis, ops, envelopes } = entered;
        let new = NewFolder { config, genesis, ops, envelopes, keys: Some(keys), device_seed };
        self.take_folder(new).map_err(|why| ApiError::new(why.code(), why.to_string()).hint(why.hint()))
    }

    /// Waits until the newest state is known; files come behind.
    async fn wait_for_tree(&self, folder: &FolderHandle, deadline: Instant) {
        let deadline = deadline.min(Instant::now() + TREE_WAIT);
        while Instant::now() < deadline {
            if folder.ask(|actor| actor.tree_is_known()).await != Some(false) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn default_place(&self, to: Option<&str>) -> PathBuf {
        match to {
            Some(to) => PathBuf::from(to),
            None => std::env::var_os("HOME").map(PathBuf::from).unwrap_or_else(|| PathBuf::from("/")).join("cobox"),
        }
    }

    /// A name that no folder here has: `NAME`, `NAME (2)`, ...
    fn free_name(&self, wanted: &str) -> String {
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
    fn make_root(&self, place: &Path, name: &str) -> Result<PathBuf, ApiError> {
        let plain: String = name.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
        let mut root = place.join(&plain);
        let mut n = 2;
        while root.exists() {
            root = place.join(format!("{plain} ({n})"));
            n += 1;
        }
        self.prepare_root(&root)
    }

    // ---- recovery ------------------------------------------------------------------------------------------------

    pub(super) async fn recover_person(&self, request: RecoverRequest) -> Result<Recovered, ApiError> {
        let words = Words::parse(&request.words.0).map_err(|why| {
            ApiError::new(ErrorCode::WordsWrong, why.to_string())
                .hint("compare them with your recovery kit, word by word")
        })?;
        if self.running().iter().any(|running| running.config.sort == Sort::Folder) {
            return Err(ApiError::new(ErrorCode::IdentityInUse, "this device has folders of its own already")
                .hint("recover into another home: `cobox --home DIR up`, then `cobox --home DIR recover`"));
        }
        let tickets: Vec<Ticket> =
            request.seeders.iter().map(|text| Ticket::from_text(text)).collect::<Result<_, _>>().map_err(|why| {
                ApiError::new(ErrorCode::CodeUnreadable, why.to_string()).hint("copy the seeder's ticket again")
            })?;
        if tickets.is_empty() {
            return Err(ApiError::new(ErrorCode::BadRequest, "where your copies lie is not said")
                .hint("give the ticket from your recovery kit with --seeder"));
        }
        let root = RootSecret::from_words(&words);
        let (found, links) = self.find_folders(&root, &tickets).await?;
        if found.is_empty() {
            return Err(ApiError::new(
                ErrorCode::Refused,
                "no such vault here: these seeders know no folder of these words",
            )
            .hint("check the words, and that this is the seeder that kept your copies"));
        }
        self.bring_back(request, root, found, links, &tickets).await
    }

    /// Which folders the seeders know for the person's keys: folder -> (slot, vault, index of the seeder).
    async fn find_folders(
        &self,
        root: &RootSecret,
        tickets: &[Ticket],
    ) -> Result<(Found, Vec<Option<Opener>>), ApiError> {
        let slots: Vec<_> = (0..MEMBER_SLOTS as u16).map(|n| root.slot(n)).collect();
        let mut found = Found::new();
        let mut links = Vec::new();
        let mut reached = false;
        for (i, ticket) in tickets.iter().enumerate() {
            let Ok(link) = self.call_ticket(ticket).await else {
                links.push(None);
                continue;
            };
            reached = true;
            for some in slots.chunks(FIND_PROOFS_MAX) {
                for answer in link.find(some.iter().map(|slot| slot.sig.clone()).collect()).await {
                    let slot = slots.iter().find(|slot| slot.sig.public() == answer.key).map(|slot| slot.number());
                    if let Some(slot) = slot {
                        found.entry(answer.folder).or_insert((slot, answer.vault, i));
                    }
                }
            }
            links.push(Some(link));
        }
        if !reached {
            return Err(ApiError::new(ErrorCode::Unreachable, "none of the seeders could be reached")
                .hint("see that they run and that this computer is connected to them"));
        }
        Ok((found, links))
    }

    async fn bring_back(
        &self,
        request: RecoverRequest,
        root: RootSecret,
        found: Found,
        links: Vec<Option<Opener>>,
        tickets: &[Ticket],
    ) -> Result<Recovered, ApiError> {
        // The identity that was made here has nothing yet; it gives way.
        if let Some(own) = self.vault() {
            self.forget_folder(&own.handle.id).await;
        }
        {
            let mut identity = self.identity.write().expect("no thread panics while it holds this lock");
            identity.replace_root(&self.keystore, root).map_err(failed)?;
        }
        let place = self.default_place(request.to.as_deref());
        let deadline = Instant::now() + STEP_WAIT;
        let mut in_order: Vec<_> = found.into_iter().collect();
        in_order.sort_by_key(|(_, (_, vault, _))| !vault);
        let mut vault: Option<FolderHandle> = None;
        let (mut folders, mut states) = (Vec::new(), Vec::new());
        for (id, (slot, is_vault, seeder)) in in_order {
            let (Some(link), Some(ticket)) = (links[seeder].clone(), tickets.get(seeder)) else { continue };
            let Some((entered, keys, device_seed)) =
                self.return_to(&link, id, slot, deadline.max(Instant::now() + STEP_WAIT)).await
            else {
                tracing::warn!(folder = %id.short(), "a folder that the seeder knows could not be entered");
                continue;
            };
            let told = match &vault {
                Some(vault) => self.vault_folder(vault, id.to_string()).await,
                None => None,
            };
            let name = told.as_ref().map_or_else(|| format!("folder {}", id.short()), |told| told.name.clone());
            let name = if is_vault { "vault".into() } else { self.free_name(&name) };
            let root = if is_vault { None } else { Some(self.make_root(&place, &name)?) };
            let mut seeders = seeders_of(&entered, std::slice::from_ref(ticket));
            for more in told.map(|told| told.seeders).unwrap_or_default() {
                if !seeders.iter().any(|known| known.key == more.key) {
                    seeders.push(more);
                }
            }
            let handle =
                self.settle_in(id, entered, keys, device_seed, slot, name.clone(), root.clone(), seeders, Vec::new())?;
            let pass = handle.ask(|actor| actor.pass()).await.ok_or_else(super::stopped)?;
            link.open_and_wait(id, pass).await;
            self.wait_for_tree(&handle, Instant::now() + TREE_WAIT).await;
            if is_vault {
                self.read_vault(&handle).await;
                vault = Some(handle);
                continue;
            }
            states.push(self.newest_state(&handle, &name, ticket).await);
            folders.push(FolderName {
                id: id.to_string(),
                name,
                path: root.map(|p| p.display().to_string()).unwrap_or_default(),
            });
        }
        if self.vault().is_none() {
            self.found_vault().map_err(failed)?;
        }
        self.write_vault().await;
        let identity = self.identity();
        Ok(Recovered { name: identity.name.clone(), cobox_key: identity.cobox_key(), folders, found: states })
    }

    /// Comes back into a folder with the person's own slot key: certifies this device, without asking anybody.
    async fn return_to(
        &self,
        link: &Opener,
        id: FolderId,
        slot: u16,
        deadline: Instant,
    ) -> Option<(Entered, FolderKeys, Zeroizing<[u8; 32]>)> {
        let slot = self.identity().slot(slot);
        let pass = Pass { kind: KeyKind::Member, key: slot.sig.clone() };
        let mut guest = self.knock(link, id, pass, KeyKind::Member).await?;
        let keys = guest.until(deadline, |guest| open(guest, &[&slot.hpke])).await;
        self.guests.write().expect("no thread panics while it holds this lock").remove(&id);
        let keys = keys?;
        let device_seed = Zeroizing::new(random::<32>());
        let device = DeviceSecret::from_seed(&device_seed);
        let membership = guest.replica()?.membership();
        let member = membership.roster().member_by_key(&slot.sig.public())?.grant;
        let author = Author { grant: member, key: &slot.sig };
        let op = add_device(membership.log(), author, device.public(), device_proof(&device, &id, &member)).ok()?;
        guest.hand_in(vec![op], Vec::new());
        guest.give_missing_grants(Author { grant: member, key: &device.sig }, &keys, &random());
        guest.leave().map(|entered| (entered, keys, device_seed))
    }

    /// Takes the person's name from the vault, once its files are here.
    async fn read_vault(&self, vault: &FolderHandle) {
        let deadline = Instant::now() + TREE_WAIT;
        while Instant::now() < deadline {
            if let Some(me) = self.vault_me(vault).await {
                let identity = {
                    let mut identity = self.identity.write().expect("no thread panics while it holds this lock");
                    identity.name = me.name;
                    identity.clone()
                };
                if let Err(why) = identity.keep_name(&self.home) {
                    tracing::warn!(%why, "the name could not be kept");
                }
                return;
            }
            vault.ask(|actor| actor.want_vault_blocks()).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tracing::warn!("the vault's entries did not come; folders keep their ids as names");
    }

    /// When the state that came back was made, and by whom.
    async fn newest_state(&self, folder: &FolderHandle, name: &str, ticket: &Ticket) -> FoundState {
        let newest = folder
            .ask(|actor| {
                let heads = actor.frontier_heads();
                let newest = heads
                    .iter()
                    .filter_map(|id| actor.replica.heads().get(id))
                    .max_by_key(|h| h.head().claimed_time_ms)?;
                let member = actor.replica.membership().roster().device(&newest.head().device).map(|(_, m)| m.grant);
                let by = member.and_then(|grant| actor.member_name(&grant));
                Some((newest.head().claimed_time_ms, by.unwrap_or_else(|| newest.head().device.short())))
            })
            .await
            .flatten();
        FoundState {
            folder: name.to_owned(),
            seeder: ticket.endpoint.short(),
            head_at: newest.as_ref().map(|(at, _)| Time::from_ms(*at as i64)),
            signed_by: newest.map(|(_, by)| by).unwrap_or_default(),
            vouched_by: 0,
            taken: true,
        }
    }
}

/// Folder -> (slot, whether it is the vault, which seeder).
type Found = BTreeMap<FolderId, (u16, bool, usize)>;

/// The folder's keys, once the log and an envelope for one of these keys are here.
fn open(guest: &Guest, secrets: &[&HpkeSecret]) -> Option<FolderKeys> {
    let membership = guest.replica()?.membership();
    let writable = membership.roster().writable_epoch()?.tag();
    let opened = open_epochs(membership.log(), membership.roster(), &guest.envelopes(), secrets, None);
    opened.keys.filter(|keys| keys.has_epoch(&writable))
}

/// The folder's seeders among these machines. A seeder's key is its machine's key only by name, so each ticket of a seeder is
/// noted for every seeder of the log whose own ticket is not known.
fn seeders_of(entered: &Entered, tickets: &[Ticket]) -> Vec<SeederConfig> {
    let membership = cobox_proto::replicate::Membership::of(entered.genesis.clone(), entered.ops.clone());
    let machines: Vec<&Ticket> = tickets.iter().filter(|t| t.party == cobox_proto::wire::Party::Seeder).collect();
    membership
        .roster()
        .seeders()
        .iter()
        .zip(machines)
        .map(|(seeder, ticket)| SeederConfig {
            key: seeder.key.to_string(),
            ticket: ticket.to_text(),
            quota_bytes: seeder.quota_bytes,
        })
        .collect()
}
