//! A service without a daemon: it has the folders it is given, does nothing, and remembers what it was asked. Serves the real API over
//! a real socket.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cobox_daemon::api::dto::*;
use cobox_daemon::api::{
    Answer, ApiError, Bytestream, ErrorCode, EventLog, FileContent, FilesQuery, HistoryQuery, Service, find_folder,
    serve,
};
use futures_util::future::{self, BoxFuture};
use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

pub(crate) const TOKEN: &str = "0123456789abcdef";
/// What every file of the scripted service holds.
pub(crate) const CONTENT: &str = "<script>alert(1)</script>";

pub(crate) struct Scripted {
    pub(crate) folders: Vec<FolderStatus>,
    pub(crate) held: Vec<HeldChange>,
    pub(crate) missing: Vec<MissingFile>,
    pub(crate) held_aside: Vec<HeldAside>,
    pub(crate) damaged: Vec<Problem>,
    /// What every change is refused with.
    pub(crate) refusal: Option<ApiError>,
    pub(crate) in_step: AtomicBool,
    pub(crate) events: Arc<EventLog>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Default for Scripted {
    fn default() -> Self {
        Self {
            folders: vec![],
            held: vec![],
            missing: vec![],
            held_aside: vec![],
            damaged: vec![],
            refusal: None,
            in_step: AtomicBool::new(true),
            events: EventLog::new("run"),
            asked: Mutex::default(),
        }
    }
}

pub(crate) fn folder(id: &str, name: &str, path: &str) -> FolderStatus {
    let row = FolderRow {
        id: id.into(),
        name: name.into(),
        path: path.into(),
        state: FolderState::InStep,
        files: 2,
        bytes: 3000,
    };
    FolderStatus {
        row,
        pending_files: 0,
        pending_bytes: 0,
        remaining_s: None,
        sent_blocks: 0,
        received_blocks: 0,
        members: vec![],
        backups: vec![],
        conflicts: 0,
        held_changes: 0,
        joins_waiting: 0,
        resealing: None,
        editing: vec![],
        problems: vec![],
    }
}

impl Scripted {
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn note(&self, what: impl Into<String>) {
        self.asked.lock().unwrap().push(what.into());
    }

    fn rows(&self) -> Vec<FolderRow> {
        self.folders.iter().map(|f| f.row.clone()).collect()
    }

    fn named(&self, typed: &str) -> Result<FolderName, ApiError> {
        let rows = self.rows();
        find_folder(&rows, typed).map(|f| FolderName { id: f.id.clone(), name: f.name.clone(), path: f.path.clone() })
    }

    fn all(&self, typed: Option<&str>) -> Result<Status, ApiError> {
        let id = typed.map(|typed| self.named(typed)).transpose()?.map(|f| f.id);
        let folders = self.folders.iter().filter(|f| id.as_ref().is_none_or(|id| f.row.id == *id)).cloned().collect();
        let device = Device {
            name: "laptop".into(),
            key: "dd".into(),
            version: "0".into(),
            sent_bytes: 0,
            received_bytes: 0,
            connections: 0,
            bandwidth: Bandwidth::Unlimited,
        };
        Ok(Status { device, folders, joining: vec![], in_step: self.in_step.load(Ordering::Relaxed) })
    }

    /// Records a change, and refuses it if so scripted.
    fn change<T>(&self, what: String, answer: Result<T, ApiError>) -> Answer<'_, T>
    where
        T: Send + 'static,
    {
        self.note(what);
        let refused = self.refusal.clone().map_or(Ok(()), Err);
        future::ready(refused.and(answer)).boxed()
    }
}

fn look<T: Send + 'static>(answer: Result<T, ApiError>) -> Answer<'static, T> {
    future::ready(answer).boxed()
}

/// Three files written, one taken away.
/// Something that an owner has forgotten.
fn wish() -> ForgetStatus {
    let counts_at = Time::from_ms(1_700_604_800_000);
    ForgetStatus {
        id: "0123456789ab".into(),
        path: Some("secret.odt".into()),
        by: Some("Ana".into()),
        at: Time::from_ms(1_700_000_000_000),
        blocks: 1,
        states: 2,
        counts_at,
        counts: false,
        copies: vec![RemainingCopy { holder: CopyHolder::Devices, seeder: None, online: true, until: Some(counts_at) }],
    }
}

fn restored(dry_run: bool) -> Restored {
    Restored {
        dry_run,
        state_at: Some(Time::from_ms(1_795_356_000_000)),
        exact: true,
        written_files: 3,
        written_bytes: 3000,
        removed_files: 1,
        same_files: 5,
        written_examples: vec!["a.txt".into()],
        removed_examples: vec!["b.txt".into()],
        absent: vec![],
        moved_aside: vec![],
        problems: vec![],
    }
}

fn a_device() -> Devices {
    let (name, key) = ("laptop".into(), "dd".into());
    Devices { devices: vec![DeviceStatus { name, key, this: true, online: true, folders: 2 }] }
}

fn a_spoken_invite(state: SpokenState) -> SpokenInvite {
    SpokenInvite {
        nameplate: 7,
        words: "7-apple-river-moon".into(),
        role: Role::Editor,
        approve: false,
        until: Time::from_ms(0),
        seeders: 1,
        via: vec!["cbt1seeder".into(), "cbt1device".into()],
        state,
        invite: (state == SpokenState::Given).then(|| "aa11".into()),
    }
}

fn an_invite() -> InviteStatus {
    InviteStatus {
        id: "aa11".into(),
        role: Role::Editor,
        by: "Ana".into(),
        uses: 1,
        used: 0,
        expires_at: Time::from_ms(0),
        expired: true,
        approve: false,
    }
}

fn a_join() -> JoinStatus {
    JoinStatus {
        key: "bb77cc88dd".into(),
        name: Some("Ben".into()),
        role: Role::Editor,
        words: "legal winner thank year wave sausage".into(),
        invite: "aa11".into(),
        invited_by: "Ana".into(),
        expires_at: Time::from_ms(0),
    }
}

fn a_joining() -> JoiningStatus {
    JoiningStatus {
        folder: "ee".into(),
        name: "joined".into(),
        path: None,
        role: Role::Editor,
        words: "legal winner thank year wave sausage".into(),
        state: JoiningState::Waiting,
        asked_at: Time::from_ms(0),
        expires_at: Time::from_ms(0),
    }
}

fn changed(who: &str, role: Option<Role>, dry_run: bool) -> MemberChange {
    MemberChange {
        dry_run,
        member: MemberName { name: who.into(), key: "bb".into(), role: Role::Editor },
        role,
        words: None,
        devices: 1,
        also_gone: vec![],
        closed_invites: 0,
        new_keys: role.is_none(),
        keeps: vec![],
        loses: vec![],
    }
}

fn reply(folder: Result<FolderName, ApiError>) -> Result<FolderReply, ApiError> {
    folder.map(|folder| FolderReply { folder, already: false })
}

impl Service for Scripted {
    fn whoami(&self) -> Answer<'_, Whoami> {
        let (name, cobox_key, device_key) = ("Ana".into(), "c1key".into(), "dd".into());
        look(Ok(Whoami { name, cobox_key, device_key, addresses: vec!["127.0.0.1:7".into()], api: String::new() }))
    }
    fn rename(&self, request: RenameRequest) -> Answer<'_, ()> {
        self.change(format!("rename {}", request.name), Ok(()))
    }
    fn status(&self, folder: Option<String>) -> Answer<'_, Status> {
        look(self.all(folder.as_deref()))
    }
    fn wait(&self, request: WaitRequest) -> Answer<'_, Status> {
        self.note(format!("wait rescan={}", request.rescan));
        async move {
            if !self.in_step.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(request.timeout_ms)).await;
            }
            self.all(request.folder.as_deref())
        }
        .boxed()
    }
    fn create(&self, request: CreateRequest) -> Answer<'_, FolderReply> {
        let name = request.name.clone().unwrap_or("new".into());
        let folder = FolderName { id: "ee".into(), name, path: request.path.clone() };
        self.change(format!("create {} {:?}", request.path, request.profile), reply(Ok(folder)))
    }
    fn folders(&self) -> Answer<'_, Folders> {
        look(Ok(Folders { folders: self.rows() }))
    }
    fn join(&self, request: JoinRequest) -> Answer<'_, JoinReply> {
        let folder =
            FolderName { id: "ee".into(), name: "joined".into(), path: request.path.clone().unwrap_or_default() };
        let waiting = (request.code == "cbi1waits").then(a_joining);
        let joined = JoinReply { folder, already: false, waiting };
        self.change(format!("join {} {}", request.code, request.timeout_ms), Ok(joined))
    }
    fn joining(&self) -> Answer<'_, Joining> {
        look(Ok(Joining { joins: vec![a_joining()] }))
    }
    fn join_withdraw(&self, folder: String) -> Answer<'_, JoiningStatus> {
        self.change(format!("withdraw {folder}"), Ok(a_joining()))
    }
    fn joins(&self, folder: String) -> Answer<'_, Joins> {
        look(self.named(&folder).map(|_| Joins { joins: vec![a_join()] }))
    }
    fn join_approve(&self, folder: String, who: String, request: ApproveRequest) -> Answer<'_, JoinStatus> {
        let asked = format!("let in {folder} {who} {:?}", request.words);
        self.change(asked, self.named(&folder).map(|_| a_join()))
    }
    fn join_refuse(&self, folder: String, who: String) -> Answer<'_, JoinsRefused> {
        let refused = JoinsRefused { refused: vec![a_join()] };
        self.change(format!("refuse {folder} {who}"), self.named(&folder).map(|_| refused))
    }
    fn leave(&self, folder: String, request: LeaveRequest) -> Answer<'_, LeaveReply> {
        let files_deleted = request.delete_files;
        let left = |folder| LeaveReply { folder, files_deleted, other_complete_copy: false, backups: vec![] };
        self.change(format!("leave {folder} {files_deleted}"), self.named(&folder).map(left))
    }
    fn pause(&self, folder: String) -> Answer<'_, FolderReply> {
        self.change(format!("pause {folder}"), reply(self.named(&folder)))
    }
    fn resume(&self, folder: String) -> Answer<'_, FolderReply> {
        self.change(format!("resume {folder}"), reply(self.named(&folder)))
    }
    fn check(&self, folder: String) -> Answer<'_, CheckReport> {
        let damaged = self.damaged.clone();
        let report = |folder| CheckReport { folder, files: 2, bytes: 3000, damaged };
        self.change(format!("check {folder}"), self.named(&folder).map(report))
    }
    fn drill(&self, folder: String) -> Answer<'_, DrillReport> {
        let report = |folder| DrillReport { folder, at: Time::from_ms(0), passed: true, seeders: vec![] };
        self.change(format!("drill {folder}"), self.named(&folder).map(report))
    }
    fn show(&self, folder: String) -> Answer<'_, FolderReply> {
        self.change(format!("show {folder}"), reply(self.named(&folder)))
    }
    fn files(&self, folder: String, query: FilesQuery) -> Answer<'_, FileList> {
        let files = FileList { dir: query.dir, total: 0, offset: query.offset, files: vec![] };
        look(self.named(&folder).map(|_| files))
    }
    fn content(&self, folder: String, path: String) -> Answer<'_, FileContent> {
        let bytes = || futures_util::stream::iter([Ok(CONTENT.as_bytes().into())]).boxed();
        let size_bytes = CONTENT.len() as u64;
        look(self.named(&folder).map(|_| FileContent { name: path, size_bytes, bytes: bytes() }))
    }
    fn add_file(&self, folder: String, path: String, mut bytes: Bytestream) -> Answer<'_, FileAdded> {
        async move {
            let mut size_bytes = 0;
            while let Some(Ok(part)) = bytes.next().await {
                size_bytes += part.len() as u64;
            }
            let added = FileAdded { path: path.clone(), size_bytes };
            self.change(format!("add {folder} {path} {size_bytes}"), self.named(&folder).map(|_| added)).await
        }
        .boxed()
    }
    fn ignore_rules(&self, folder: String) -> Answer<'_, IgnoreRules> {
        look(self.named(&folder).map(|_| IgnoreRules { rules: "*.log\n".into(), bad_lines: vec![] }))
    }
    fn keep_ignore_rules(&self, folder: String, request: IgnoreRequest) -> Answer<'_, IgnoreRules> {
        let rules = request.rules.unwrap_or_default();
        let kept = IgnoreRules { rules: rules.clone(), bad_lines: vec![] };
        self.change(format!("ignore {folder} {rules}"), self.named(&folder).map(|_| kept))
    }
    fn test_ignore_rules(&self, folder: String, request: IgnoreRequest) -> Answer<'_, IgnoreMatches> {
        let examples = request.rules.map_or(vec!["a.log".into()], |_| vec![]);
        let matches = IgnoreMatches { matches: examples.len() as u64, examples, bad_lines: vec![] };
        look(self.named(&folder).map(|_| matches))
    }
    fn invite(&self, folder: String, request: InviteRequest) -> Answer<'_, Invite> {
        let InviteRequest { to, role, expires_s, uses, approve } = request;
        let (code, id, anybody) = ("cbi1code".into(), "aa11".into(), to.is_none());
        let expires_at = Time::from_ms(expires_s as i64 * 1000);
        let invite = Invite { code, role, expires_at, uses, id, anybody, approve };
        self.change(format!("invite {folder} {to:?} {role:?}"), self.named(&folder).map(|_| invite))
    }
    fn invites(&self, folder: String) -> Answer<'_, Invites> {
        look(self.named(&folder).map(|_| Invites { invites: vec![an_invite()] }))
    }
    fn invite_cancel(&self, folder: String, invite: String) -> Answer<'_, InviteStatus> {
        self.change(format!("cancel {folder} {invite}"), self.named(&folder).map(|_| an_invite()))
    }
    fn policy(&self, folder: String) -> Answer<'_, FolderPolicy> {
        look(self.named(&folder).map(|_| FolderPolicy { approve_joins: false, new_keys_days: 91 }))
    }
    fn policy_set(&self, folder: String, request: PolicyRequest) -> Answer<'_, FolderPolicy> {
        let policy = FolderPolicy { approve_joins: request.approve_joins, new_keys_days: 91 };
        self.change(format!("policy {folder} {}", request.approve_joins), self.named(&folder).map(|_| policy))
    }
    fn spoken(&self, folder: String, request: SpokenRequest) -> Answer<'_, SpokenInvite> {
        let invite = SpokenInvite { role: request.role, ..a_spoken_invite(SpokenState::Waiting) };
        self.change(format!("spoken {folder} {:?}", request.role), self.named(&folder).map(|_| invite))
    }
    fn spoken_wait(&self, folder: String, nameplate: u16, _: SpokenWaitRequest) -> Answer<'_, SpokenInvite> {
        // Folders of other names tell other ends.
        let state = if folder == "docs" { SpokenState::Given } else { SpokenState::Wrong };
        look(self.named(&folder).map(|_| SpokenInvite { nameplate, ..a_spoken_invite(state) }))
    }
    fn spoken_cancel(&self, folder: String, nameplate: u16) -> Answer<'_, SpokenInvite> {
        let ended = self.named(&folder).map(|_| a_spoken_invite(SpokenState::Over));
        self.change(format!("silence {folder} {nameplate}"), ended)
    }
    fn members(&self, folder: String) -> Answer<'_, Members> {
        look(self.all(Some(&folder)).map(|mut s| Members { members: s.folders.remove(0).members }))
    }
    fn member_remove(&self, folder: String, who: String, request: RemoveRequest) -> Answer<'_, MemberChange> {
        let change = changed(&who, None, request.dry_run);
        self.change(format!("remove {folder} {who} {}", request.dry_run), self.named(&folder).map(|_| change))
    }
    fn member_role(&self, folder: String, who: String, request: RoleRequest) -> Answer<'_, MemberChange> {
        let change = changed(&who, Some(request.role), request.dry_run);
        let asked = format!("role {folder} {who} {:?} {}", request.role, request.dry_run);
        self.change(asked, self.named(&folder).map(|_| change))
    }
    fn member_nickname(&self, folder: String, who: String, request: NicknameRequest) -> Answer<'_, MemberName> {
        let name = request.name.clone().unwrap_or("Ben".into());
        let named = MemberName { name, key: "bb".into(), role: Role::Editor };
        self.change(format!("nickname {folder} {who} {:?}", request.name), self.named(&folder).map(|_| named))
    }
    fn rekey(&self, folder: String) -> Answer<'_, FolderReply> {
        self.change(format!("rekey {folder}"), reply(self.named(&folder)))
    }
    fn rekey_content(&self, folder: String) -> Answer<'_, FolderReply> {
        self.change(format!("rekey content {folder}"), reply(self.named(&folder)))
    }
    fn quarantine(&self, folder: String) -> Answer<'_, Quarantine> {
        look(self.named(&folder).map(|_| Quarantine { held_aside: self.held_aside.clone() }))
    }
    fn quarantine_adopt(&self, folder: String, request: QuarantineRequest) -> Answer<'_, Quarantine> {
        let held = Quarantine { held_aside: self.held_aside.clone() };
        self.change(format!("adopt {folder} {:?}", request.id), Ok(held))
    }
    fn quarantine_discard(&self, folder: String, request: QuarantineRequest) -> Answer<'_, Quarantine> {
        let held = Quarantine { held_aside: self.held_aside.clone() };
        self.change(format!("discard {folder} {:?}", request.id), Ok(held))
    }
    fn devices(&self) -> Answer<'_, Devices> {
        look(Ok(a_device()))
    }
    fn device_link(&self) -> Answer<'_, DeviceLink> {
        let link = DeviceLink { code: "cbl1code".to_string().into(), expires_at: Time::from_ms(0) };
        self.change("link".into(), Ok(link))
    }
    fn device_use(&self, request: UseLinkRequest) -> Answer<'_, Linked> {
        let (name, cobox_key) = ("Ana".into(), "c1key".into());
        let linked = Linked { name, cobox_key, folders: vec![], warnings: vec![] };
        self.change(format!("use {} {:?} {:?}", *request.code.0, request.name, request.to), Ok(linked))
    }
    fn device_name(&self, device: String, request: DeviceNameRequest) -> Answer<'_, Devices> {
        self.change(format!("name {device} {}", request.name), Ok(a_device()))
    }
    fn device_remove(&self, device: String, request: RemoveRequest) -> Answer<'_, DeviceRemoved> {
        let dry_run = request.dry_run;
        let removed = DeviceRemoved {
            dry_run,
            name: device.clone(),
            key: "dd".into(),
            folders: vec!["docs".into()],
            keeps: vec![],
        };
        self.change(format!("remove {device} {dry_run}"), Ok(removed))
    }
    fn backup_add(&self, folder: String, request: BackupAddRequest) -> Answer<'_, BackupAdded> {
        let backup = BackupStatus {
            seeder: "shed".into(),
            online: true,
            complete: false,
            head_at: None,
            receipt_at: None,
            audited_at: None,
            held_bytes: 0,
            quota_bytes: 50_000_000_000,
            history_days: 90,
            drill: None,
            drill_at: None,
            drill_passed_at: None,
        };
        let added = BackupAdded { backup, quota_bytes: 50_000_000_000 };
        self.change(format!("backup {folder} {}", request.offer), self.named(&folder).map(|_| added))
    }
    fn backup_list(&self, folder: String) -> Answer<'_, Backups> {
        look(self.all(Some(&folder)).map(|mut s| Backups { backups: s.folders.remove(0).backups }))
    }
    fn backup_remove(&self, folder: String, seeder: String, _: bool) -> Answer<'_, BackupEnd> {
        let end = BackupEnd { seeder: seeder.clone(), kept_until: Some(Time::from_ms(0)) };
        self.change(format!("unbackup {folder} {seeder}"), self.named(&folder).map(|_| end))
    }
    fn conflicts(&self, folder: String) -> Answer<'_, Conflicts> {
        look(self.named(&folder).map(|_| Conflicts { conflicts: vec![] }))
    }
    fn conflict_differences(&self, folder: String, path: String) -> Answer<'_, Differences> {
        look(self.named(&folder).map(|_| Differences { path, differences: vec![] }))
    }
    fn conflict_settle(&self, folder: String, request: SettleRequest) -> Answer<'_, Settled> {
        let SettleRequest { path, keep } = request;
        let what = format!("settle {folder} {path} {keep}");
        self.change(what, self.named(&folder).map(|_| Settled { path, versions: 2, kept: keep }))
    }
    fn held_list(&self, _: Option<String>) -> Answer<'_, HeldChanges> {
        look(Ok(HeldChanges { held: self.held.clone() }))
    }
    fn held_approve(&self, folder: String, request: HeldRequest) -> Answer<'_, HeldChanges> {
        let held = HeldChanges { held: self.held.clone() };
        self.change(format!("approve {folder} {:?}", request.id), Ok(held))
    }
    fn held_reject(&self, folder: String, request: HeldRequest) -> Answer<'_, HeldChanges> {
        let held = HeldChanges { held: self.held.clone() };
        self.change(format!("reject {folder} {:?}", request.id), Ok(held))
    }
    fn missing(&self, folder: String) -> Answer<'_, MissingFiles> {
        look(self.named(&folder).map(|_| MissingFiles { missing: self.missing.clone(), more: 0 }))
    }
    fn missing_drop(&self, folder: String, request: MissingRequest) -> Answer<'_, MissingFiles> {
        let missing = self.missing.iter().filter(|file| file.path == request.path).cloned().collect();
        self.change(format!("drop {folder} {}", request.path), Ok(MissingFiles { missing, more: 0 }))
    }
    fn edits(&self, folder: String) -> Answer<'_, Edits> {
        let edits = vec![Edit { path: "mine.txt".into() }];
        look(self.named(&folder).map(|_| Edits { edits, more: 0 }))
    }
    fn edits_reset(&self, folder: String, request: ResetRequest) -> Answer<'_, EditsReset> {
        let answer = self.named(&folder).map(|_| EditsReset {
            dry_run: request.dry_run,
            set_aside: vec![EditSetAside {
                path: "mine.txt".into(),
                to: (!request.dry_run).then(|| "/home/ana/docs (changed here)/mine.txt".into()),
            }],
            problems: vec![],
        });
        self.change(format!("reset {folder} {:?} dry={}", request.paths, request.dry_run), answer)
    }
    fn history(&self, folder: String, _: HistoryQuery) -> Answer<'_, History> {
        look(self.named(&folder).map(|_| History { entries: vec![], next: None, thinned: false }))
    }
    fn restore(&self, folder: String, request: RestoreRequest) -> Answer<'_, Restored> {
        let then = request.at.map(|at| at.to_string()).or(request.state).unwrap_or_default();
        let what = format!("restore {folder} {:?} {then} {:?} {}", request.paths, request.to, request.dry_run);
        self.change(what, self.named(&folder).map(|_| restored(request.dry_run)))
    }
    fn undo(&self, folder: String, request: UndoRequest) -> Answer<'_, Restored> {
        let what = format!("undo {folder} {} {}", request.to, request.dry_run);
        self.change(what, self.named(&folder).map(|_| restored(request.dry_run)))
    }
    fn forgets(&self, folder: String) -> Answer<'_, Forgets> {
        look(self.named(&folder).map(|_| Forgets { forgets: vec![wish()] }))
    }
    fn forget(&self, folder: String, request: ForgetRequest) -> Answer<'_, Forgotten> {
        let what = format!("forget {folder} {} {} {}", request.path, request.dry_run, request.unnamed);
        let wish = wish();
        let answer = self.named(&folder).map(|_| Forgotten {
            dry_run: request.dry_run,
            id: (!request.dry_run).then_some(wish.id),
            path: request.path,
            already: false,
            versions: 1,
            bytes: 3000,
            blocks: 1,
            states: 2,
            small_versions: 0,
            shared_versions: 0,
            records_until: None,
            names: vec![],
            names_count: 0,
            elsewhere: vec![],
            states_not_seen: 0,
            counts_at: wish.counts_at,
            copies: wish.copies,
        });
        self.change(what, answer)
    }
    fn forget_withdraw(&self, folder: String, forget: String) -> Answer<'_, ForgetStatus> {
        self.change(format!("keep {folder} {forget}"), self.named(&folder).map(|_| wish()))
    }
    fn trash(&self, folder: String, _: HistoryQuery) -> Answer<'_, History> {
        look(self.named(&folder).map(|_| History { entries: vec![], next: None, thinned: false }))
    }
    fn trash_restore(&self, folder: String, request: TrashRestoreRequest) -> Answer<'_, Restored> {
        let what = format!("untrash {folder} {} {}", request.path, request.dry_run);
        self.change(what, self.named(&folder).map(|_| restored(request.dry_run)))
    }
    fn recovery_kit(&self) -> Answer<'_, RecoveryKit> {
        look(Ok(RecoveryKit { words: "abandon ability able".to_string().into(), seeders: vec!["cbt1ticket".into()] }))
    }
    fn recover(&self, request: RecoverRequest) -> Answer<'_, Recovered> {
        let asked = format!("recover {} {:?} {:?}", *request.words.0, request.seeders, request.to);
        let back = Recovered {
            name: "Ana".into(),
            cobox_key: "c1key".into(),
            folders: vec![],
            found: vec![],
            warnings: vec![],
        };
        self.change(
            asked,
            if request.words.0.is_empty() { Err(ApiError::new(ErrorCode::WordsWrong, "no words")) } else { Ok(back) },
        )
    }
    fn settings(&self) -> Answer<'_, SettingsReply> {
        look(Ok(SettingsReply::default()))
    }
    fn change_settings(&self, request: SettingsRequest) -> Answer<'_, SettingsReply> {
        let asked = serde_json::to_string(&request).unwrap();
        self.change(format!("set {asked}"), Ok(SettingsReply::default()))
    }
    fn page_settings(&self) -> Answer<'_, PageSettings> {
        look(Ok(PageSettings::default()))
    }
    fn keep_page_settings(&self, settings: PageSettings) -> Answer<'_, PageSettings> {
        self.change(format!("keep {:?}", settings.language), Ok(settings))
    }
    fn seeding(&self) -> Answer<'_, Seeding> {
        look(Ok(Seeding { installed: true, seeder: None }))
    }
    fn seeding_start(&self, _: SeedingStart) -> Answer<'_, Seeding> {
        self.change("start the seeder".into(), Ok(Seeding { installed: true, seeder: None }))
    }
    fn seeding_stop(&self) -> Answer<'_, Seeding> {
        self.change("stop the seeder".into(), Ok(Seeding { installed: true, seeder: None }))
    }
    fn seeding_offer(&self, request: OfferRequest) -> Answer<'_, Offer> {
        self.change(format!("offer to {}", request.label), Err(ApiError::new(ErrorCode::Refused, "no seeder runs")))
    }
    fn seeding_drop(&self, id: String, _: KeptDropRequest) -> Answer<'_, KeptDropped> {
        self.change(format!("drop {id}"), Err(ApiError::new(ErrorCode::FolderNotFound, "no such folder")))
    }
    fn place(&self, path: Option<String>) -> Answer<'_, Place> {
        let path = path.unwrap_or("/home/ana".into());
        look(Ok(Place { path, parent: Some("/".into()), directories: vec!["docs".into()], more: false }))
    }
    fn make_place(&self, request: PlaceRequest) -> Answer<'_, Place> {
        let path = format!("{}/{}", request.parent, request.name);
        self.change(format!("make {path}"), Ok(Place { path, parent: None, directories: vec![], more: false }))
    }
    fn events(&self) -> Arc<EventLog> {
        self.events.clone()
    }
    fn shutdown(&self) -> BoxFuture<'_, ()> {
        future::ready(()).boxed()
    }
}

/// The API of a scripted service, in threads of its own until dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) service: Arc<Scripted>,
    pub(crate) stop: CancellationToken,
    runtime: Option<tokio::runtime::Runtime>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(service: Scripted) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let service = Arc::new(service);
        let stop = CancellationToken::new();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let served = serve(listener, Zeroizing::new(TOKEN.into()), service.clone(), stop.clone());
        let task = Some(runtime.spawn(async { served.await.unwrap() }));
        Self { address, service, stop, runtime: Some(runtime), task }
    }

    /// Waits until the API has stopped by itself.
    #[allow(dead_code, reason = "the tests of the command line stop it by dropping")]
    pub(crate) fn ended(mut self) {
        let task = self.task.take().unwrap();
        self.runtime.as_ref().unwrap().block_on(task).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
