//! Files that are not on this device.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// `GET folders/{folder}/missing`, and what `POST .../drop` gave up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingFiles {
    /// By path; at most the first 1,000.
    pub missing: Vec<MissingFile>,
    /// How many more there are.
    pub more: u64,
}

/// A file the folder has and this device has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingFile {
    /// Where it belongs.
    pub path: String,
    /// Who wrote this version: their name, or their device's key where it has none.
    pub by: String,
    /// Their device's key, short.
    pub device: String,
    /// When they last changed it, by their clock.
    pub at: Option<Time>,
    /// Its size.
    pub size_bytes: u64,
    /// Why it is not here.
    pub state: MissingState,
    /// The same in words.
    pub why: String,
}

/// Why a file is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingState {
    /// It is being fetched, or will be.
    Coming,
    /// Nobody who is connected has it.
    Waiting,
    /// What was published as this file can not be put together.
    Unusable,
    /// It is here in pieces and can not be written.
    NotWritten,
}

/// `POST folders/{folder}/missing/drop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MissingRequest {
    /// The file, within the folder.
    pub path: String,
}
