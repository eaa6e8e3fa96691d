//! What happened in a folder, and what restoring does.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Problem, Time};

/// What happened to a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// Its content is another.
    Edited,
    /// It has another place, with all that is in it.
    Renamed,
    /// It is gone.
    Deleted,
}

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// When; where states in between are kept no longer, when it was seen at the latest.
    pub at: Time,
    /// By whom; unknown where several wrote and the states in between are kept no longer.
    pub by: Option<String>,
    /// On which device.
    pub device: Option<String>,
    /// Where it is since; of what was deleted, where it was.
    pub path: String,
    /// What happened.
    pub change: ChangeKind,
    /// File, directory or link.
    pub kind: EntryKind,
    /// How large it is since; of what was deleted, how large it was. Unknown for directories.
    pub size_bytes: Option<u64>,
    /// Where it was before, if it was renamed.
    pub from_path: Option<String>,
    /// Names the state of the folder in which it stands so, for `restore`.
    pub state: String,
}

/// `GET folders/{folder}/history`: a page of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// Newest first.
    pub entries: Vec<HistoryEntry>,
    /// What to ask with, as `from`, for the next page; nothing at the end. A page may have no entry and yet a next one.
    pub next: Option<String>,
    /// Some states in between are kept by nobody who can be reached; their changes stand with the next newer one.
    pub thinned: bool,
}

/// `POST folders/{folder}/restore`: have files again as they were at a time, or in a state. One of both is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Files and directories within the folder, as they were called then; everything when empty.
    #[serde(default)]
    pub paths: Vec<String>,
    /// The time. Of what several wrote at one time, that is what the folder showed.
    pub at: Option<Time>,
    /// A state, as an entry of `history` names it: what its author had before them, whatever others wrote at the same time.
    pub state: Option<String>,
    /// An absolute path of a directory to write them below; into the folder itself when left out.
    pub to: Option<String>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST folders/{folder}/undo`: set a whole folder back, as new changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoRequest {
    /// The time.
    pub to: Time,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST folders/{folder}/trash/restore`: bring back what was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrashRestoreRequest {
    /// A file, or a directory with all that was deleted in it, as `trash` shows it.
    pub path: String,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// A file that was moved aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MovedAside {
    /// Where it was.
    pub path: String,
    /// Where it stands now.
    pub now_at: String,
}

/// What restoring did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restored {
    /// Whether nothing was done yet.
    pub dry_run: bool,
    /// The newest change in the state that was restored; unknown where files of several states were.
    pub state_at: Option<Time>,
    /// Whether that is all that stood at the time; otherwise an earlier state stands for one that is kept no longer.
    pub exact: bool,
    /// Files written.
    pub written_files: u64,
    /// Their size.
    pub written_bytes: u64,
    /// Files taken away, because they were not there then.
    pub removed_files: u64,
    /// Files that were right already.
    pub same_files: u64,
    /// Some of the files written.
    pub written_examples: Vec<String>,
    /// Some of the files taken away.
    pub removed_examples: Vec<String>,
    /// Which of the paths asked for were not there then.
    pub absent: Vec<String>,
    /// Files that had been changed a moment before, and stand beside now.
    pub moved_aside: Vec<MovedAside>,
    /// What could not be restored, and why.
    pub problems: Vec<Problem>,
}
