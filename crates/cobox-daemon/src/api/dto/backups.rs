//! Where encrypted copies of a folder lie.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DrillOutcome, Time};

/// An encrypted copy at a seeder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupStatus {
    /// The seeder's name, or its key where it has none.
    pub seeder: String,
    /// Whether it is connected.
    pub online: bool,
    /// Whether it holds the newest state whole.
    pub complete: bool,
    /// When the newest state it holds whole was made.
    pub head_at: Option<Time>,
    /// When it last signed for what it holds.
    pub receipt_at: Option<Time>,
    /// When it last proved it.
    pub audited_at: Option<Time>,
    /// How much it keeps for this folder.
    pub held_bytes: u64,
    /// How much it may be asked to keep.
    #[serde(default)]
    pub quota_bytes: u64,
    /// For so many days it keeps at least one state a day of what was.
    #[serde(default)]
    pub history_days: u16,
    /// How the last restore from it that was rehearsed on this device ended; nothing before the first.
    #[serde(default)]
    pub drill: Option<DrillOutcome>,
    /// When that was.
    #[serde(default)]
    pub drill_at: Option<Time>,
    /// When one last passed.
    #[serde(default)]
    pub drill_passed_at: Option<Time>,
}

/// `GET folders/{folder}/backups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backups {
    /// By name of the seeder.
    pub backups: Vec<BackupStatus>,
}

/// `POST folders/{folder}/backups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupAddRequest {
    /// The hosting offer of a seeder.
    pub offer: String,
}

/// A new backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupAdded {
    /// How it stands.
    pub backup: BackupStatus,
    /// The space the seeder signed for.
    pub quota_bytes: u64,
}

/// Until when a seeder keeps a copy that is no longer wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupEnd {
    /// The seeder.
    pub seeder: String,
    /// Until when; unknown when it could not be asked.
    pub kept_until: Option<Time>,
}

// ---- conflicts and held changes ----------------------------------------------------------------------------------
