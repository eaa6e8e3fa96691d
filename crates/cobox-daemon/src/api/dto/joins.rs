//! Joins that wait: who asks to be let in here, and where this device asks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FolderName, Role, Time};

/// `GET folders/{folder}/joins`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Joins {
    /// Who asks to be let in, the first to ask first.
    pub joins: Vec<JoinStatus>,
}

/// Somebody who asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinStatus {
    /// The key they would have in this folder.
    pub key: String,
    /// What they call themselves. Anybody can call themselves anything.
    pub name: Option<String>,
    /// What they would be allowed.
    pub role: Role,
    /// Six words. Who asks has them on their screen too; if theirs are others, it is somebody else who asks here.
    pub words: String,
    /// The invite they ask by.
    pub invite: String,
    /// Who made it.
    pub invited_by: String,
    /// Until when they can be let in.
    pub expires_at: Time,
}

/// `POST folders/{folder}/joins/{who}/approve`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// The six words as they were compared. Whoever becomes an admin is let in only with them.
    pub words: Option<String>,
}

/// What was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinsRefused {
    /// All who asked by the invite, which is closed now.
    pub refused: Vec<JoinStatus>,
}

/// `POST join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinReply {
    /// The folder. It is not here yet as long as it waits.
    pub folder: FolderName,
    /// Whether one had it already, or asked already.
    #[serde(default)]
    pub already: bool,
    /// Present if an owner or admin has to approve first. The service goes on asking.
    #[serde(default)]
    pub waiting: Option<JoiningStatus>,
}

/// `GET joins`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Joining {
    /// Folders this device asks to be let into, the first asked first.
    pub joins: Vec<JoiningStatus>,
}

/// How an own join stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoiningState {
    /// Nobody has decided.
    Waiting,
    /// It was refused, or its invite was cancelled, or somebody else was let in by it.
    Refused,
    /// The invite's time is over.
    Expired,
}

/// A folder this device asks to be let into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoiningStatus {
    /// The folder's id.
    pub folder: String,
    /// What it is called here until its name is known.
    pub name: String,
    /// Where it is to lie; none if that was left open.
    pub path: Option<String>,
    /// What one would be allowed.
    pub role: Role,
    /// Six words. Whoever approves sees them too: read them to each other.
    pub words: String,
    /// How it stands.
    pub state: JoiningState,
    /// Since when it is asked.
    pub asked_at: Time,
    /// Until when one can be let in.
    pub expires_at: Time,
}
