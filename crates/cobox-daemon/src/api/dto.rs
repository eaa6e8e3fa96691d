//! The only JSON of the daemon: what the command line, the web page and scripts read. Keys are stable; keys may be added.
//! Times are RFC 3339 UTC, sizes are bytes and end in `_bytes`. Converted by hand from the daemon's own types, never derived on them.

mod backups;
mod devices;
mod drill;
mod edits;
mod events;
mod files;
mod forgets;
mod history;
mod joins;
mod missing;
mod page;
mod people;
mod seeding;
mod settings;
mod values;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use backups::{BackupAddRequest, BackupAdded, BackupEnd, BackupStatus, Backups};
pub use devices::{DeviceLink, DeviceNameRequest, DeviceRemoved, DeviceStatus, Devices, Linked, UseLinkRequest};
pub use drill::{DrillOutcome, DrillReport, NotGiven, SeederDrill};
pub use edits::{Edit, EditSetAside, Edits, EditsReset, NotReset, ResetRequest};
pub use events::{Event, EventKind};
pub use files::{
    BadLine, FileAdded, FileEntry, FileKind, FileList, FileOrder, IgnoreMatches, IgnoreRequest, IgnoreRules, OpenFile,
};
pub use forgets::{CopyHolder, ForgetRequest, ForgetStatus, Forgets, Forgotten, RemainingCopy};
pub use history::{
    ChangeKind, EntryKind, History, HistoryEntry, MovedAside, RestoreRequest, Restored, TrashRestoreRequest,
    UndoRequest,
};
pub use joins::{ApproveRequest, JoinReply, JoinStatus, Joining, JoiningState, JoiningStatus, Joins, JoinsRefused};
pub use missing::{MissingFile, MissingFiles, MissingRequest, MissingState};
pub use page::{Appearance, PageSettings, Place, PlaceRequest};
pub use people::{
    FolderPolicy, HeldAside, Invite, InviteRequest, InviteStatus, Invites, MemberChange, MemberName, MemberStatus,
    Members, NicknameRequest, PolicyRequest, Quarantine, QuarantineRequest, RemoveRequest, Role, RoleRequest,
    SpokenInvite, SpokenRequest, SpokenState, SpokenWaitRequest,
};
pub use seeding::{
    KeptDropRequest, KeptDropped, KeptFolder, KeptKind, Offer, OfferRequest, OwnSeeder, Seeding, SeedingStart,
};
pub use settings::{Bandwidth, Settings, SettingsReply, SettingsRequest};
pub use values::{Secret, Time};

// ---- this device -------------------------------------------------------------------------------------------------

/// Who this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    /// The person's name.
    pub name: String,
    /// The CoBox key others invite.
    pub cobox_key: String,
    /// This device's key.
    pub device_key: String,
    /// Where this device listens, loopback last.
    pub addresses: Vec<String>,
    /// Where the API answers.
    pub api: String,
}

/// `PUT whoami`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameRequest {
    /// The person's name from now on.
    pub name: String,
}

/// This device, as `status` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// The version of cobox it runs.
    pub version: String,
    /// Bytes it sent to others since it started, all folders together, as they go over the wire.
    pub sent_bytes: u64,
    /// ... and received.
    pub received_bytes: u64,
    /// Connections that stand. One machine needs one.
    pub connections: u64,
    /// How fast contents may go just now, by the settings.
    pub bandwidth: Bandwidth,
}

// ---- folders -----------------------------------------------------------------------------------------------------

/// How a folder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FolderState {
    /// The same as with everybody who can be reached.
    InStep,
    /// Changes are on their way.
    Syncing,
    /// Nobody can be reached.
    Offline,
    /// Paused here.
    Paused,
    /// The brake holds changes back.
    Held,
    /// Something needs a person; see `problems`.
    Problem,
}

/// A folder in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FolderRow {
    /// Its id, 64 hex characters.
    pub id: String,
    /// Its name on this device.
    pub name: String,
    /// Where it lies.
    pub path: String,
    /// How it stands.
    pub state: FolderState,
    /// Files in it.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

/// `GET folders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Folders {
    /// By name.
    pub folders: Vec<FolderRow>,
}

/// Which folder was made, joined, paused or left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FolderName {
    /// Its id, 64 hex characters.
    pub id: String,
    /// Its name on this device.
    pub name: String,
    /// Where it lies.
    pub path: String,
}

/// An answer about one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FolderReply {
    /// The folder.
    pub folder: FolderName,
    /// True when nothing had to be done: joining a folder one has, pausing a paused one.
    #[serde(default)]
    pub already: bool,
}

/// How a folder is cut into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// At places the content decides: small changes to large files stay small.
    #[default]
    Cdc,
    /// All alike: sizes say less to a seeder.
    Uniform,
}

/// `POST folders`: make a directory a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// An absolute path; what lies there is adopted.
    pub path: String,
    /// Its name here; the directory's name when left out.
    pub name: Option<String>,
    /// How it is cut.
    #[serde(default)]
    pub profile: Profile,
}

/// `POST join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The invite code, or a number and three words.
    pub code: String,
    /// Where to say the words: a ticket, or a hosting offer. Otherwise wherever the inviter may be heard. Not for codes.
    #[serde(default)]
    pub via: Option<String>,
    /// An absolute path, which may hold files (they are merged); the home directory's `cobox/NAME` when left out.
    pub path: Option<String>,
    /// How long to look for somebody who lets us in.
    pub timeout_ms: u64,
}

/// `POST folders/{folder}/leave`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveRequest {
    /// Remove the files from this device too.
    #[serde(default)]
    pub delete_files: bool,
    /// With `delete_files`: also where no other whole copy of the folder is known.
    #[serde(default)]
    pub even_the_last_copy: bool,
}

/// What leaving did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaveReply {
    /// The folder that was left.
    pub folder: FolderName,
    /// Whether its files were removed from this device.
    pub files_deleted: bool,
    /// Whether another complete copy is known: a member in step, or a seeder with a receipt.
    pub other_complete_copy: bool,
    /// Until when each seeder keeps its copy.
    pub backups: Vec<BackupEnd>,
}

/// A file or a fact that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A word that never changes its meaning.
    pub code: String,
    /// Which file within the folder, if it is one.
    pub path: Option<String>,
    /// What is the matter.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// One folder in `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FolderStatus {
    /// Id, name, path, state, files and bytes.
    #[serde(flatten)]
    pub row: FolderRow,
    /// Files still to come or to go.
    pub pending_files: u64,
    /// Their size.
    pub pending_bytes: u64,
    /// About how many seconds they will take, by how fast they came lately; nothing as long as that can not be told.
    #[serde(default)]
    pub remaining_s: Option<u64>,
    /// Sealed blocks sent to members and seeders since the service started: contents and what lists them.
    pub sent_blocks: u64,
    /// ... and received.
    pub received_blocks: u64,
    /// Who belongs, oneself too.
    pub members: Vec<MemberStatus>,
    /// Where encrypted copies lie.
    pub backups: Vec<BackupStatus>,
    /// Files with more than one version.
    pub conflicts: u64,
    /// Changes the brake holds back.
    pub held_changes: u64,
    /// Who asks to be let in, where one may decide that.
    #[serde(default)]
    pub joins_waiting: u64,
    /// While contents are sealed under new keys: what is left on this device.
    #[serde(default)]
    pub resealing: Option<Resealing>,
    /// What others have open now, as far as their devices are connected: a sign, and no lock.
    #[serde(default)]
    pub editing: Vec<OpenFile>,
    /// What needs a person.
    pub problems: Vec<Problem>,
}

/// What is left to be sealed under new keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resealing {
    /// Files.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

/// `GET status` and `POST status/wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// This device.
    pub device: Device,
    /// By name; one alone when asked for one.
    pub folders: Vec<FolderStatus>,
    /// Folders this device asks to be let into; none when asked for one folder.
    #[serde(default)]
    pub joining: Vec<JoiningStatus>,
    /// Whether everything seen is at every reachable member, and the newest state complete and receipted at every reachable
    /// seeder, for all folders of this answer.
    pub in_step: bool,
}

/// `POST status/wait`: answers when in step, or after the time with `in_step` false.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitRequest {
    /// One folder only.
    pub folder: Option<String>,
    /// Look at the disk first, so that a file saved just now counts.
    #[serde(default)]
    pub rescan: bool,
    /// How long to wait at most.
    pub timeout_ms: u64,
}

/// `POST folders/{folder}/check`: what re-reading everything found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckReport {
    /// The folder.
    pub folder: FolderName,
    /// Files read.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// What is not as it should be.
    pub damaged: Vec<Problem>,
}

// ---- members -----------------------------------------------------------------------------------------------------

/// One version of a file with several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Its id, for settling.
    pub id: String,
    /// Who wrote it.
    pub by: String,
    /// On which device.
    pub device: String,
    /// When.
    pub at: Option<Time>,
    /// How large it is.
    pub size_bytes: u64,
    /// Where it lies within the folder.
    pub path: String,
}

/// A file with several versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Conflict {
    /// Its path within the folder.
    pub path: String,
    /// All of them.
    pub versions: Vec<Version>,
}

/// `GET folders/{folder}/conflicts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Conflicts {
    /// By path.
    pub conflicts: Vec<Conflict>,
}

/// `POST folders/{folder}/conflicts/settle`: end a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleRequest {
    /// The path of the conflict.
    pub path: String,
    /// The id of the version to keep under that name, or `both`: each becomes a file of its own.
    pub keep: String,
}

/// A conflict that was settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Settled {
    /// Its path.
    pub path: String,
    /// How many versions there were.
    pub versions: u64,
    /// What was kept: the id of a version, or `both`.
    pub kept: String,
}

/// In what the versions of a text differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Differences {
    /// The path of the conflict.
    pub path: String,
    /// One for each version beside the one that has the name, in the order of the list.
    pub differences: Vec<Difference>,
}

/// In what one version differs from the one that has the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// The version.
    pub version: String,
    /// Lines that begin with `-` are in the version that has the name alone, with `+` in this one alone. Nothing if one of them is no
    /// text, too long, or not on this device.
    pub text: Option<String>,
}

/// Which way a held change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From others to this device.
    Incoming,
    /// From this device to others.
    Outgoing,
}

/// A change the brake holds back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldChange {
    /// Its id, for approving or rejecting.
    pub id: String,
    /// The folder's name.
    pub folder: String,
    /// The device it comes from.
    pub device: String,
    /// Whose it is.
    pub by: String,
    /// When.
    pub at: Option<Time>,
    /// Files it would delete.
    pub deleted_files: u64,
    /// Files it would change.
    pub changed_files: u64,
    /// Which way.
    pub direction: Direction,
    /// Some of the files.
    pub examples: Vec<String>,
    /// Why it was held.
    pub why: String,
}

/// `GET held`, and what was approved or rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldChanges {
    /// Oldest first.
    pub held: Vec<HeldChange>,
}

/// `POST folders/{folder}/held/approve` and `.../reject`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldRequest {
    /// One of them; all of the folder's when left out.
    pub id: Option<String>,
}

// ---- recovery ----------------------------------------------------------------------------------------------------

/// `POST recovery/kit`: a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecoveryKit {
    /// Twelve words.
    pub words: Secret,
    /// Where copies lie: tickets.
    pub seeders: Vec<String>,
}

/// `POST recovery/recover`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoverRequest {
    /// The twelve words.
    pub words: Secret,
    /// Tickets of the seeders to ask.
    pub seeders: Vec<String>,
    /// An absolute path under which the folders land; the home directory's `cobox` when left out.
    pub to: Option<String>,
}

/// What one seeder offered for a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundState {
    /// The folder's name.
    pub folder: String,
    /// The seeder.
    pub seeder: String,
    /// When the state was made.
    pub head_at: Option<Time>,
    /// Who signed it.
    pub signed_by: String,
    /// How many other seeders showed the same or a newer state; with none, nobody else vouched for it.
    pub vouched_by: u32,
    /// Whether it was taken.
    pub taken: bool,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recovered {
    /// The person's name.
    pub name: String,
    /// Their CoBox key.
    pub cobox_key: String,
    /// Their folders; files come behind.
    pub folders: Vec<FolderName>,
    /// What each seeder offered.
    pub found: Vec<FoundState>,
    /// What did not come back as it should, in sentences.
    pub warnings: Vec<String>,
}

// ---- the service itself ------------------------------------------------------------------------------------------

/// `POST down`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stopping {
    /// Always true.
    pub stopping: bool,
}

/// `POST login-links`: opens the web page once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginLink {
    /// The link; what follows `#` never leaves the browser.
    pub url: Secret,
    /// Until when it is good.
    pub expires_at: Time,
}

/// `POST login`: the web page exchanges the link for the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// What followed `#login=`.
    pub code: Secret,
}

/// What the web page puts into its `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Login {
    /// The token.
    pub token: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_status_holds_the_keys_of_the_contract_flat() {
        let row = FolderRow {
            id: "ab".into(),
            name: "docs".into(),
            path: "/d".into(),
            state: FolderState::InStep,
            files: 1,
            bytes: 2,
        };
        let folder = FolderStatus {
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
        };
        let json = serde_json::to_value(&folder).unwrap();
        let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted = [
            "id",
            "name",
            "path",
            "state",
            "files",
            "bytes",
            "pending_files",
            "pending_bytes",
            "remaining_s",
            "sent_blocks",
            "received_blocks",
            "members",
            "backups",
            "conflicts",
            "held_changes",
            "joins_waiting",
            "resealing",
            "editing",
            "problems",
        ];
        wanted.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, wanted);
        assert_eq!(json["state"], "in_step");
        assert_eq!(serde_json::from_value::<FolderStatus>(json).unwrap(), folder);
    }
}
