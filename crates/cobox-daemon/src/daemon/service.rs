//! The daemon as the API sees it. Each verb resolves the folder, asks its thread, and puts the answer into the API's shapes.

pub(super) mod backups;
mod conflicts;
mod devices;
mod drill;
mod edits;
pub(super) mod entering;
mod files;
mod folders;
mod forgets;
mod held;
mod history;
mod invites;
mod joins;
mod missing;
mod page;
mod people;
mod policy;
mod quarantine;
mod recovery;
mod restoring;
pub(super) mod settings;
pub(super) mod spoken;
pub(super) mod status;

use std::sync::Arc;

use cobox_proto::id::FolderId;
use futures_util::future::{BoxFuture, FutureExt};

use super::{Daemon, Running};
use crate::api::dto::{
    ApproveRequest, BackupAddRequest, BackupAdded, BackupEnd, Backups, CheckReport, Conflicts, CreateRequest,
    DeviceLink, DeviceNameRequest, DeviceRemoved, Devices, Differences, DrillReport, Edits, EditsReset, FileAdded,
    FileList, FolderName, FolderPolicy, FolderReply, FolderRow, FolderState, Folders, ForgetRequest, ForgetStatus,
    Forgets, Forgotten, HeldChanges, HeldRequest, History, IgnoreMatches, IgnoreRequest, IgnoreRules, Invite,
    InviteRequest, InviteStatus, Invites, JoinReply, JoinRequest, JoinStatus, Joining, JoiningStatus, Joins,
    JoinsRefused, KeptDropRequest, KeptDropped, LeaveReply, LeaveRequest, Linked, MemberChange, MemberName, Members,
    MissingFiles, MissingRequest, NicknameRequest, Offer, OfferRequest, PageSettings, Place, PlaceRequest,
    PolicyRequest, Quarantine, QuarantineRequest, RecoverRequest, Recovered, RecoveryKit, RemoveRequest, RenameRequest,
    ResetRequest, RestoreRequest, Restored, RoleRequest, Seeding, SeedingStart, SettingsReply, SettingsRequest,
    SettleRequest, Settled, SpokenInvite, SpokenRequest, SpokenWaitRequest, Status, TrashRestoreRequest, UndoRequest,
    UseLinkRequest, WaitRequest, Whoami,
};
use crate::api::{
    Answer, ApiError, Bytestream, ErrorCode, EventLog, FileContent, FilesQuery, HistoryQuery, Service, find_folder,
};
use crate::folder::Sort;
use crate::seeding;

impl Service for Daemon {
    fn whoami(&self) -> Answer<'_, Whoami> {
        async { Ok(self.who_am_i()) }.boxed()
    }
    fn rename(&self, request: RenameRequest) -> Answer<'_, ()> {
        self.take_name(request).boxed()
    }
    fn status(&self, folder: Option<String>) -> Answer<'_, Status> {
        self.status_of(folder).boxed()
    }
    fn wait(&self, request: WaitRequest) -> Answer<'_, Status> {
        self.wait_in_step(request).boxed()
    }
    fn create(&self, request: CreateRequest) -> Answer<'_, FolderReply> {
        self.create_folder(request).boxed()
    }
    fn folders(&self) -> Answer<'_, Folders> {
        async { Ok(Folders { folders: self.rows().await }) }.boxed()
    }
    fn join(&self, request: JoinRequest) -> Answer<'_, JoinReply> {
        self.join_folder(request).boxed()
    }
    fn joining(&self) -> Answer<'_, Joining> {
        async { Ok(Joining { joins: self.list_joining() }) }.boxed()
    }
    fn join_withdraw(&self, folder: String) -> Answer<'_, JoiningStatus> {
        async move { self.withdraw_join(&folder) }.boxed()
    }
    fn joins(&self, folder: String) -> Answer<'_, Joins> {
        self.list_joins(folder).boxed()
    }
    fn join_approve(&self, folder: String, who: String, request: ApproveRequest) -> Answer<'_, JoinStatus> {
        self.approve_join(folder, who, request).boxed()
    }
    fn join_refuse(&self, folder: String, who: String) -> Answer<'_, JoinsRefused> {
        self.refuse_join(folder, who).boxed()
    }
    fn leave(&self, folder: String, request: LeaveRequest) -> Answer<'_, LeaveReply> {
        self.leave_folder(folder, request).boxed()
    }
    fn pause(&self, folder: String) -> Answer<'_, FolderReply> {
        self.set_paused(folder, true).boxed()
    }
    fn resume(&self, folder: String) -> Answer<'_, FolderReply> {
        self.set_paused(folder, false).boxed()
    }
    fn check(&self, folder: String) -> Answer<'_, CheckReport> {
        self.check_folder(folder).boxed()
    }
    fn drill(&self, folder: String) -> Answer<'_, DrillReport> {
        self.drill_folder(folder).boxed()
    }
    fn show(&self, folder: String) -> Answer<'_, FolderReply> {
        self.show_folder(folder).boxed()
    }
    fn files(&self, folder: String, query: FilesQuery) -> Answer<'_, FileList> {
        self.list_files(folder, query).boxed()
    }
    fn content(&self, folder: String, path: String) -> Answer<'_, FileContent> {
        self.file_content(folder, path).boxed()
    }
    fn add_file(&self, folder: String, path: String, bytes: Bytestream) -> Answer<'_, FileAdded> {
        self.put_file(folder, path, bytes).boxed()
    }
    fn ignore_rules(&self, folder: String) -> Answer<'_, IgnoreRules> {
        self.read_ignore_rules(folder).boxed()
    }
    fn keep_ignore_rules(&self, folder: String, request: IgnoreRequest) -> Answer<'_, IgnoreRules> {
        self.write_ignore_rules(folder, request).boxed()
    }
    fn test_ignore_rules(&self, folder: String, request: IgnoreRequest) -> Answer<'_, IgnoreMatches> {
        self.try_ignore_rules(folder, request).boxed()
    }
    fn invite(&self, folder: String, request: InviteRequest) -> Answer<'_, Invite> {
        self.make_invite(folder, request).boxed()
    }
    fn invites(&self, folder: String) -> Answer<'_, Invites> {
        self.list_invites(folder).boxed()
    }
    fn invite_cancel(&self, folder: String, invite: String) -> Answer<'_, InviteStatus> {
        self.cancel_invite(folder, invite).boxed()
    }
    fn spoken(&self, folder: String, request: SpokenRequest) -> Answer<'_, SpokenInvite> {
        self.invite_by_words(folder, request).boxed()
    }
    fn spoken_wait(&self, folder: String, nameplate: u16, request: SpokenWaitRequest) -> Answer<'_, SpokenInvite> {
        self.wait_for_words(folder, nameplate, request).boxed()
    }
    fn spoken_cancel(&self, folder: String, nameplate: u16) -> Answer<'_, SpokenInvite> {
        async move { self.cancel_words(&folder, nameplate) }.boxed()
    }
    fn members(&self, folder: String) -> Answer<'_, Members> {
        self.list_members(folder).boxed()
    }
    fn member_remove(&self, folder: String, who: String, request: RemoveRequest) -> Answer<'_, MemberChange> {
        self.remove_member(folder, who, request).boxed()
    }
    fn member_role(&self, folder: String, who: String, request: RoleRequest) -> Answer<'_, MemberChange> {
        self.change_role(folder, who, request).boxed()
    }
    fn member_nickname(&self, folder: String, who: String, request: NicknameRequest) -> Answer<'_, MemberName> {
        self.nickname_member(folder, who, request).boxed()
    }
    fn policy(&self, folder: String) -> Answer<'_, FolderPolicy> {
        self.read_policy(folder).boxed()
    }
    fn policy_set(&self, folder: String, request: PolicyRequest) -> Answer<'_, FolderPolicy> {
        self.write_policy(folder, request).boxed()
    }
    fn rekey(&self, folder: String) -> Answer<'_, FolderReply> {
        self.new_keys(folder).boxed()
    }
    fn rekey_content(&self, folder: String) -> Answer<'_, FolderReply> {
        self.reseal_contents(folder).boxed()
    }
    fn quarantine(&self, folder: String) -> Answer<'_, Quarantine> {
        self.list_quarantine(folder).boxed()
    }
    fn quarantine_adopt(&self, folder: String, request: QuarantineRequest) -> Answer<'_, Quarantine> {
        self.decide_quarantine(folder, request, true).boxed()
    }
    fn quarantine_discard(&self, folder: String, request: QuarantineRequest) -> Answer<'_, Quarantine> {
        self.decide_quarantine(folder, request, false).boxed()
    }
    fn devices(&self) -> Answer<'_, Devices> {
        self.list_devices().boxed()
    }
    fn device_link(&self) -> Answer<'_, DeviceLink> {
        self.link_device().boxed()
    }
    fn device_use(&self, request: UseLinkRequest) -> Answer<'_, Linked> {
        self.use_link(request).boxed()
    }
    fn device_name(&self, device: String, request: DeviceNameRequest) -> Answer<'_, Devices> {
        self.name_device(device, request).boxed()
    }
    fn device_remove(&self, device: String, request: RemoveRequest) -> Answer<'_, DeviceRemoved> {
        self.remove_device(device, request).boxed()
    }
    fn backup_add(&self, folder: String, request: BackupAddRequest) -> Answer<'_, BackupAdded> {
        self.add_backup(folder, request).boxed()
    }
    fn backup_list(&self, folder: String) -> Answer<'_, Backups> {
        self.list_backups(folder).boxed()
    }
    fn backup_remove(&self, folder: String, seeder: String, even_the_last_copy: bool) -> Answer<'_, BackupEnd> {
        self.remove_backup(folder, seeder, even_the_last_copy).boxed()
    }
    fn conflicts(&self, folder: String) -> Answer<'_, Conflicts> {
        self.list_conflicts(folder).boxed()
    }
    fn conflict_differences(&self, folder: String, path: String) -> Answer<'_, Differences> {
        self.compare_versions(folder, path).boxed()
    }
    fn conflict_settle(&self, folder: String, request: SettleRequest) -> Answer<'_, Settled> {
        self.settle_conflict(folder, request).boxed()
    }
    fn held_list(&self, folder: Option<String>) -> Answer<'_, HeldChanges> {
        self.list_held(folder).boxed()
    }
    fn held_approve(&self, folder: String, request: HeldRequest) -> Answer<'_, HeldChanges> {
        self.decide_held(folder, request, true).boxed()
    }
    fn held_reject(&self, folder: String, request: HeldRequest) -> Answer<'_, HeldChanges> {
        self.decide_held(folder, request, false).boxed()
    }
    fn missing(&self, folder: String) -> Answer<'_, MissingFiles> {
        self.list_missing(folder).boxed()
    }
    fn missing_drop(&self, folder: String, request: MissingRequest) -> Answer<'_, MissingFiles> {
        self.drop_missing(folder, request).boxed()
    }
    fn edits(&self, folder: String) -> Answer<'_, Edits> {
        self.list_edits(folder).boxed()
    }
    fn edits_reset(&self, folder: String, request: ResetRequest) -> Answer<'_, EditsReset> {
        self.reset_edits(folder, request).boxed()
    }
    fn forgets(&self, folder: String) -> Answer<'_, Forgets> {
        self.list_forgets(folder).boxed()
    }
    fn forget(&self, folder: String, request: ForgetRequest) -> Answer<'_, Forgotten> {
        self.forget_path(folder, request).boxed()
    }
    fn forget_withdraw(&self, folder: String, forget: String) -> Answer<'_, ForgetStatus> {
        self.take_back_forget(folder, forget).boxed()
    }
    fn history(&self, folder: String, query: HistoryQuery) -> Answer<'_, History> {
        self.read_history(folder, query).boxed()
    }
    fn restore(&self, folder: String, request: RestoreRequest) -> Answer<'_, Restored> {
        self.restore_files(folder, request).boxed()
    }
    fn undo(&self, folder: String, request: UndoRequest) -> Answer<'_, Restored> {
        self.undo_folder(folder, request).boxed()
    }
    fn trash(&self, folder: String, query: HistoryQuery) -> Answer<'_, History> {
        self.list_trash(folder, query).boxed()
    }
    fn trash_restore(&self, folder: String, request: TrashRestoreRequest) -> Answer<'_, Restored> {
        self.restore_trash(folder, request).boxed()
    }
    fn seeding(&self) -> Answer<'_, Seeding> {
        seeding::look().boxed()
    }
    fn seeding_start(&self, request: SeedingStart) -> Answer<'_, Seeding> {
        seeding::start(request).boxed()
    }
    fn seeding_stop(&self) -> Answer<'_, Seeding> {
        seeding::stop().boxed()
    }
    fn seeding_offer(&self, request: OfferRequest) -> Answer<'_, Offer> {
        seeding::offer(request).boxed()
    }
    fn seeding_drop(&self, id: String, request: KeptDropRequest) -> Answer<'_, KeptDropped> {
        async move { seeding::drop(&id, &request).await }.boxed()
    }
    fn recovery_kit(&self) -> Answer<'_, RecoveryKit> {
        async { Ok(self.make_kit()) }.boxed()
    }
    fn recover(&self, request: RecoverRequest) -> Answer<'_, Recovered> {
        self.recover_person(request).boxed()
    }
    fn settings(&self) -> Answer<'_, SettingsReply> {
        async { Ok(self.read_settings()) }.boxed()
    }
    fn change_settings(&self, request: SettingsRequest) -> Answer<'_, SettingsReply> {
        self.write_settings(request).boxed()
    }
    fn page_settings(&self) -> Answer<'_, PageSettings> {
        self.read_page_settings().boxed()
    }
    fn keep_page_settings(&self, settings: PageSettings) -> Answer<'_, PageSettings> {
        self.write_page_settings(settings).boxed()
    }
    fn place(&self, path: Option<String>) -> Answer<'_, Place> {
        self.list_place(path).boxed()
    }
    fn make_place(&self, request: PlaceRequest) -> Answer<'_, Place> {
        self.make_directory(request).boxed()
    }
    fn events(&self) -> Arc<EventLog> {
        self.events.clone()
    }
    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.stop_folders()
    }
}

/// A folder's thread has ended.
fn stopped() -> ApiError {
    ApiError::new(ErrorCode::Stopping, "this folder is being stopped").hint("try again in a moment")
}

pub(super) fn failed(why: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Failed, why.to_string())
}

impl Daemon {
    /// The folders with files, by name, without their figures.
    fn plain_rows(&self) -> Vec<FolderRow> {
        let mut rows: Vec<FolderRow> = self
            .running()
            .into_iter()
            .filter(|running| running.config.sort == Sort::Folder)
            .map(|running| FolderRow {
                id: running.config.id.clone(),
                name: running.config.name.clone(),
                path: running.config.path.as_ref().map(|p| p.display().to_string()).unwrap_or_default(),
                state: FolderState::Offline,
                files: 0,
                bytes: 0,
            })
            .collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    }

    /// The folder that a person means.
    fn find(&self, typed: &str) -> Result<Running, ApiError> {
        let rows = self.plain_rows();
        let row = find_folder(&rows, typed)?;
        let id: FolderId = row.id.parse().map_err(failed)?;
        self.running_folder(&id).ok_or_else(stopped)
    }
}

fn folder_name(running: &Running) -> FolderName {
    FolderName {
        id: running.config.id.clone(),
        name: running.config.name.clone(),
        path: running.config.path.as_ref().map(|p| p.display().to_string()).unwrap_or_default(),
    }
}
