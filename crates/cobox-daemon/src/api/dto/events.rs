//! What happens, as it is told to whoever follows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A folder was created, joined or recovered.
    FolderAdded,
    /// A folder was left.
    FolderLeft,
    /// A folder stands differently; ask for its status.
    FolderChanged,
    /// Files of others arrived on this device.
    FilesReceived,
    /// Somebody joined a folder.
    MemberJoined,
    /// A member's device connected.
    MemberOnline,
    /// A member's last device disconnected.
    MemberOffline,
    /// A seeder signed for the newest state.
    BackupComplete,
    /// A file has two versions.
    Conflict,
    /// The brake holds a change back.
    Held,
    /// Something needs a person.
    Problem,
    /// Events are missing before this one: read the status again.
    Missed,
    /// Somebody asks to be let into a folder, and one may decide that.
    JoinWaiting,
    /// One was not let in.
    JoinRefused,
    /// Somebody else has a file open, or has it open no more; `editing` in the status says which.
    Editing,
    /// An owner has something removed from history, in some days.
    ForgetAsked,
    /// An owner took such a wish back.
    ForgetWithdrawn,
    /// A restore from a seeder was rehearsed, and everything came back.
    Drilled,
}

/// One thing that happened, oldest first in the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the stream; `Last-Event-ID` resumes after it.
    pub id: String,
    /// When.
    pub at: Time,
    /// What.
    pub kind: EventKind,
    /// The folder's id, if it is about one.
    pub folder: Option<String>,
    /// The path within the folder, if it is about a file.
    pub path: Option<String>,
    /// The member or seeder, if it is about one.
    pub who: Option<String>,
    /// In plain English.
    pub message: String,
}
