//! Rehearsed restores.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FolderName, Time};

/// `POST folders/{folder}/drill`: what came back from each seeder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrillReport {
    /// The folder.
    pub folder: FolderName,
    /// When it began.
    pub at: Time,
    /// Whether everything that was tried came back as it was, from every seeder that is connected.
    pub passed: bool,
    /// By name of the seeder.
    pub seeders: Vec<SeederDrill>,
}

/// How a rehearsed restore ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrillOutcome {
    /// Everything that was tried came back as it was.
    Passed,
    /// Something did not.
    Failed,
    /// It ended before everything was tried: the connection ended, or this computer's disk refused.
    Unfinished,
    /// The seeder is not connected.
    Away,
    /// It has signed for no whole state yet.
    NothingWhole,
}

/// A rehearsed restore from one seeder alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeederDrill {
    /// The seeder's name, or its key where it has none.
    pub seeder: String,
    /// How it ended.
    pub outcome: DrillOutcome,
    /// When the state was made that was restored from.
    pub head_at: Option<Time>,
    /// Files that came back as they were.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// What the seeder sent for it.
    pub fetched_bytes: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Files that were drawn and are too large for a rehearsal.
    pub left_out: u64,
    /// What did not come back, and why.
    pub failed: Vec<NotGiven>,
    /// How many more there are.
    pub failed_more: u64,
    /// Blocks that the seeder sent instead of those that it was asked for.
    pub other_blocks: u64,
    /// In a sentence.
    pub message: String,
}

/// Something that did not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotGiven {
    /// The file, as the folder calls it now; nothing: the records that lead to the files.
    pub path: Option<String>,
    /// Why.
    pub message: String,
}
