//! What was changed on this device by somebody who may only read the folder.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET folders/{folder}/edits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Edits {
    /// By path; at most the first 1,000.
    pub edits: Vec<Edit>,
    /// How many more there are.
    pub more: u64,
}

/// Something that stands on this device alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Edit {
    /// Where, within the folder. A new directory stands for all that is in it.
    pub path: String,
}

/// `POST folders/{folder}/edits/reset`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// Some of them, as they are listed; all when left out.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Only says what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was set aside, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EditsReset {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Each, with where it is now.
    pub set_aside: Vec<EditSetAside>,
    /// What could not be set aside; it stays where it is.
    pub problems: Vec<NotReset>,
}

/// Something that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EditSetAside {
    /// Where it was, within the folder.
    pub path: String,
    /// Where it is now, an absolute path; none if it would be set aside, or had gone.
    pub to: Option<String>,
}

/// Something that could not be set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotReset {
    /// Where it is, within the folder.
    pub path: String,
    /// Why.
    pub message: String,
}
