//! Members of a folder, and those who are invited.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Reader,
    /// Reads and writes.
    Editor,
    /// Also invites, removes and places backups.
    Admin,
    /// Founded it, or was made its owner.
    Owner,
}

/// A member of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberStatus {
    /// What they call themselves.
    pub name: String,
    /// The key in this folder.
    pub key: String,
    /// What they may do.
    pub role: Role,
    /// Whether it is oneself.
    pub you: bool,
    /// Whether one of their devices is connected.
    pub online: bool,
    /// Whether they have everything we have.
    pub in_step: bool,
    /// When one of their devices was last connected.
    pub last_seen: Option<Time>,
}

/// `GET folders/{folder}/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Members {
    /// By seniority.
    pub members: Vec<MemberStatus>,
}

/// `POST folders/{folder}/invites`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteRequest {
    /// The CoBox key of the one person it is for.
    pub to: Option<String>,
    /// What they may do.
    pub role: Role,
    /// How long it is good.
    pub expires_s: u64,
    /// How many may join with it.
    pub uses: u32,
}

/// An invite code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invite {
    /// The code to send.
    pub code: String,
    /// What who joins may do.
    pub role: Role,
    /// Until when it is good.
    pub expires_at: Time,
    /// How many may join with it.
    pub uses: u32,
}

// ---- backups -----------------------------------------------------------------------------------------------------
