//! What the API asks of the daemon. The HTTP layer knows nothing else of it, so that the guard, the JSON and the error codes can
//! be tested without a network and the daemon without HTTP.
//!
//! Every method may be called at any time and concurrently. A dropped future means that nobody waits any more; work that began goes on.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::dto::{
    ApproveRequest, BackupAddRequest, BackupAdded, BackupEnd, Backups, CheckReport, Conflicts, CreateRequest,
    DeviceLink, DeviceNameRequest, DeviceRemoved, Devices, Differences, DrillReport, Edits, EditsReset, FileAdded,
    FileList, FolderPolicy, FolderReply, Folders, ForgetRequest, ForgetStatus, Forgets, Forgotten, HeldChanges,
    HeldRequest, History, IgnoreMatches, IgnoreRequest, IgnoreRules, Invite, InviteRequest, InviteStatus, Invites,
    JoinReply, JoinRequest, JoinStatus, Joining, JoiningStatus, Joins, JoinsRefused, KeptDropRequest, KeptDropped,
    LeaveReply, LeaveRequest, Linked, MemberChange, MemberName, Members, MissingFiles, MissingRequest, NicknameRequest,
    Offer, OfferRequest, PageSettings, Place, PlaceRequest, PolicyRequest, Quarantine, QuarantineRequest,
    RecoverRequest, Recovered, RecoveryKit, RemoveRequest, RenameRequest, ResetRequest, RestoreRequest, Restored,
    RoleRequest, Seeding, SeedingStart, SettingsReply, SettingsRequest, SettleRequest, Settled, SpokenInvite,
    SpokenRequest, SpokenWaitRequest, Status, TrashRestoreRequest, UndoRequest, UseLinkRequest, WaitRequest, Whoami,
};
use super::error::ApiError;
use super::events::EventLog;
use super::files::{Bytestream, FileContent, FilesQuery};
use super::history::HistoryQuery;

/// An answer that may take its time.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ApiError>>;

/// The daemon behind the API. `folder` is what a person typed: a name, at least six characters of an id, or an absolute path;
/// [`super::find_folder`] resolves it.
pub trait Service: Send + Sync + 'static {
    /// Name, CoBox key, device and addresses. The `api` field is filled in by the API.
    fn whoami(&self) -> Answer<'_, Whoami>;
    /// Takes another name, for folders to come.
    fn rename(&self, request: RenameRequest) -> Answer<'_, ()>;
    /// How everything stands, or one folder.
    fn status(&self, folder: Option<String>) -> Answer<'_, Status>;
    /// Looks at the disk again if asked to; answers when in step or when the time is over.
    fn wait(&self, request: WaitRequest) -> Answer<'_, Status>;

    /// Makes a directory a folder; answers when it is registered, the scan goes on.
    fn create(&self, request: CreateRequest) -> Answer<'_, FolderReply>;
    /// All folders, by name.
    fn folders(&self) -> Answer<'_, Folders>;
    /// Joins; answers when admitted and the tree is known, or when it is asked and somebody has to approve. Nothing half-made stays
    /// behind a failure.
    fn join(&self, request: JoinRequest) -> Answer<'_, JoinReply>;
    /// Folders this device asks to be let into.
    fn joining(&self) -> Answer<'_, Joining>;
    /// Stops asking. `folder` is the beginning of its id, or what the list calls it.
    fn join_withdraw(&self, folder: String) -> Answer<'_, JoiningStatus>;
    /// Stops taking part.
    fn leave(&self, folder: String, request: LeaveRequest) -> Answer<'_, LeaveReply>;
    /// Stops sending and receiving, not looking.
    fn pause(&self, folder: String) -> Answer<'_, FolderReply>;
    /// Undoes `pause`.
    fn resume(&self, folder: String) -> Answer<'_, FolderReply>;
    /// Re-reads all files and metadata against their hashes.
    fn check(&self, folder: String) -> Answer<'_, CheckReport>;
    /// Rehearses a restore from each seeder.
    fn drill(&self, folder: String) -> Answer<'_, DrillReport>;

    /// Opens the folder's directory on this computer's screen.
    fn show(&self, folder: String) -> Answer<'_, FolderReply>;

    /// The files in a directory of the folder, or those of a name.
    fn files(&self, folder: String, query: FilesQuery) -> Answer<'_, FileList>;
    /// The content of a file, as one version.
    fn content(&self, folder: String, path: String) -> Answer<'_, FileContent>;
    /// Puts a file into the folder; replaces none.
    fn add_file(&self, folder: String, path: String, bytes: Bytestream) -> Answer<'_, FileAdded>;
    /// What is left out.
    fn ignore_rules(&self, folder: String) -> Answer<'_, IgnoreRules>;
    /// Leaves this out from now on.
    fn keep_ignore_rules(&self, folder: String, request: IgnoreRequest) -> Answer<'_, IgnoreRules>;
    /// What such rules would leave out.
    fn test_ignore_rules(&self, folder: String, request: IgnoreRequest) -> Answer<'_, IgnoreMatches>;

    /// Makes an invite code.
    fn invite(&self, folder: String, request: InviteRequest) -> Answer<'_, Invite>;
    /// Invites by which somebody may still join.
    fn invites(&self, folder: String) -> Answer<'_, Invites>;
    /// Closes one; `invite` is the beginning of its id.
    fn invite_cancel(&self, folder: String, invite: String) -> Answer<'_, InviteStatus>;
    /// Makes an invite by a nameplate and three words; answers when they can be said.
    fn spoken(&self, folder: String, request: SpokenRequest) -> Answer<'_, SpokenInvite>;
    /// Waits until it is decided, or the time is over; answers with how it stands. It ends soon after nobody waits.
    fn spoken_wait(&self, folder: String, nameplate: u16, request: SpokenWaitRequest) -> Answer<'_, SpokenInvite>;
    /// Ends one before its time.
    fn spoken_cancel(&self, folder: String, nameplate: u16) -> Answer<'_, SpokenInvite>;
    /// Who asks to be let in.
    fn joins(&self, folder: String) -> Answer<'_, Joins>;
    /// Lets somebody in. `who` is a name or the beginning of a key.
    fn join_approve(&self, folder: String, who: String, request: ApproveRequest) -> Answer<'_, JoinStatus>;
    /// Refuses somebody, and closes the invite.
    fn join_refuse(&self, folder: String, who: String) -> Answer<'_, JoinsRefused>;
    /// Who belongs.
    fn members(&self, folder: String) -> Answer<'_, Members>;
    /// Sends a member away. `who` is a name or the beginning of a key.
    fn member_remove(&self, folder: String, who: String, request: RemoveRequest) -> Answer<'_, MemberChange>;
    /// Changes what a member may do.
    fn member_role(&self, folder: String, who: String, request: RoleRequest) -> Answer<'_, MemberChange>;

    /// Calls a member something else on this device.
    fn member_nickname(&self, folder: String, who: String, request: NicknameRequest) -> Answer<'_, MemberName>;

    /// What holds for the folder as a whole.
    fn policy(&self, folder: String) -> Answer<'_, FolderPolicy>;
    /// Changes it; answers with what holds now.
    fn policy_set(&self, folder: String, request: PolicyRequest) -> Answer<'_, FolderPolicy>;

    /// Gives the folder new keys.
    fn rekey(&self, folder: String) -> Answer<'_, FolderReply>;
    /// Seals the contents on this device under the newest keys; answers when it has begun.
    fn rekey_content(&self, folder: String) -> Answer<'_, FolderReply>;
    /// What people wrote who were sent away, as far as nobody had seen it.
    fn quarantine(&self, folder: String) -> Answer<'_, Quarantine>;
    /// Takes it into the folder; answers with what.
    fn quarantine_adopt(&self, folder: String, request: QuarantineRequest) -> Answer<'_, Quarantine>;
    /// Puts it out of sight on this device; answers with what.
    fn quarantine_discard(&self, folder: String, request: QuarantineRequest) -> Answer<'_, Quarantine>;

    /// The person's devices.
    fn devices(&self) -> Answer<'_, Devices>;
    /// Makes a code that makes one more device the person's.
    fn device_link(&self) -> Answer<'_, DeviceLink>;
    /// Makes this device one of the person who made the code.
    fn device_use(&self, request: UseLinkRequest) -> Answer<'_, Linked>;
    /// Names a device. `device` is a name or the beginning of a key.
    fn device_name(&self, device: String, request: DeviceNameRequest) -> Answer<'_, Devices>;
    /// Sends a device away, out of all folders.
    fn device_remove(&self, device: String, request: RemoveRequest) -> Answer<'_, DeviceRemoved>;

    /// Places a backup; answers when the seeder has signed.
    fn backup_add(&self, folder: String, request: BackupAddRequest) -> Answer<'_, BackupAdded>;
    /// Where encrypted copies lie.
    fn backup_list(&self, folder: String) -> Answer<'_, Backups>;
    /// Ends a backup.
    fn backup_remove(&self, folder: String, seeder: String, even_the_last_copy: bool) -> Answer<'_, BackupEnd>;

    /// Files with several versions.
    fn conflicts(&self, folder: String) -> Answer<'_, Conflicts>;
    /// In what the versions of a text differ.
    fn conflict_differences(&self, folder: String, path: String) -> Answer<'_, Differences>;
    /// Ends a conflict.
    fn conflict_settle(&self, folder: String, request: SettleRequest) -> Answer<'_, Settled>;

    /// Changes held back, everywhere or in one folder.
    fn held_list(&self, folder: Option<String>) -> Answer<'_, HeldChanges>;
    /// Lets held changes through; answers with which.
    fn held_approve(&self, folder: String, request: HeldRequest) -> Answer<'_, HeldChanges>;
    /// Turns held changes back; answers with which.
    fn held_reject(&self, folder: String, request: HeldRequest) -> Answer<'_, HeldChanges>;

    /// Files that are not on this device, and why.
    fn missing(&self, folder: String) -> Answer<'_, MissingFiles>;
    /// Gives up a missing file; answers with what was known of it.
    fn missing_drop(&self, folder: String, request: MissingRequest) -> Answer<'_, MissingFiles>;

    /// What was changed on this device where one may only read.
    fn edits(&self, folder: String) -> Answer<'_, Edits>;
    /// Sets it aside beside the folder, which then is as everybody's.
    fn edits_reset(&self, folder: String, request: ResetRequest) -> Answer<'_, EditsReset>;

    /// What happened, a page at a time.
    fn history(&self, folder: String, query: HistoryQuery) -> Answer<'_, History>;
    /// Has files again as they were at a time; answers when they are written.
    fn restore(&self, folder: String, request: RestoreRequest) -> Answer<'_, Restored>;
    /// Sets a whole folder back, as new changes.
    fn undo(&self, folder: String, request: UndoRequest) -> Answer<'_, Restored>;
    /// What owners have forgotten.
    fn forgets(&self, folder: String) -> Answer<'_, Forgets>;
    /// Removes from history all that a path ever had, after the delay; or only says what that would be.
    fn forget(&self, folder: String, request: ForgetRequest) -> Answer<'_, Forgotten>;
    /// Takes such a wish back; `forget` is the beginning of its id.
    fn forget_withdraw(&self, folder: String, forget: String) -> Answer<'_, ForgetStatus>;
    /// What was deleted and is still gone, a page at a time.
    fn trash(&self, folder: String, query: HistoryQuery) -> Answer<'_, History>;
    /// Brings back something that was deleted.
    fn trash_restore(&self, folder: String, request: TrashRestoreRequest) -> Answer<'_, Restored>;

    /// The person's own seeder on this computer, and what it keeps.
    fn seeding(&self) -> Answer<'_, Seeding>;
    /// Starts it; answers when it can be asked.
    fn seeding_start(&self, request: SeedingStart) -> Answer<'_, Seeding>;
    /// Stops it; what it keeps stays.
    fn seeding_stop(&self) -> Answer<'_, Seeding>;
    /// Makes an offer.
    fn seeding_offer(&self, request: OfferRequest) -> Answer<'_, Offer>;
    /// Deletes what is kept of a folder. `id` is the beginning of its id.
    fn seeding_drop(&self, id: String, request: KeptDropRequest) -> Answer<'_, KeptDropped>;

    /// The recovery words and tickets.
    fn recovery_kit(&self) -> Answer<'_, RecoveryKit>;
    /// Brings back an identity and its folders.
    fn recover(&self, request: RecoverRequest) -> Answer<'_, Recovered>;

    /// The settings of this device.
    fn settings(&self) -> Answer<'_, SettingsReply>;
    /// Sets some of them, at once where that can be.
    fn change_settings(&self, request: SettingsRequest) -> Answer<'_, SettingsReply>;

    /// What the web page remembers of the person.
    fn page_settings(&self) -> Answer<'_, PageSettings>;
    /// Remembers this from now on.
    fn keep_page_settings(&self, settings: PageSettings) -> Answer<'_, PageSettings>;
    /// The directories in one of this computer's, or in the person's own.
    fn place(&self, path: Option<String>) -> Answer<'_, Place>;
    /// Makes a directory; answers with it.
    fn make_place(&self, request: PlaceRequest) -> Answer<'_, Place>;

    /// Where the daemon says what happens.
    fn events(&self) -> Arc<EventLog>;
    /// Stops gracefully: finishes what may not be cut in half and leaves everything durable. Called once, after the API has stopped.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}
