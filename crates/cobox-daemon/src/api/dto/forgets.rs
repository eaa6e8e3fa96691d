//! What owners have forgotten: removed from history before its time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// `POST folders/{folder}/forgets`: remove from history all that a path ever had. It must be gone from the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgetRequest {
    /// A file, or a directory with all that ever was in it, as the folder last called it.
    pub path: String,
    /// Only say what would go, and from where until when.
    #[serde(default)]
    pub dry_run: bool,
    /// Do not say the path to the members. Otherwise it stays in the membership log for good, sealed for them.
    #[serde(default)]
    pub unnamed: bool,
}

/// Who has copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CopyHolder {
    /// A seeder.
    Seeder,
    /// The members' devices.
    Devices,
}

/// Where copies remain, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemainingCopy {
    /// A seeder, or all the members' devices.
    pub holder: CopyHolder,
    /// The seeder's key, in short; nothing for devices.
    pub seeder: Option<String>,
    /// Whether it is connected. One that is not hears of it later.
    pub online: bool,
    /// Until when at the latest, if it is connected and stays on. Unknown of one that is not connected: so long after it hears of it.
    pub until: Option<Time>,
}

/// What is forgotten, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Forgotten {
    /// Whether nothing was said to anybody yet.
    pub dry_run: bool,
    /// Names the wish; nothing if nothing was said.
    pub id: Option<String>,
    /// What was asked for.
    pub path: String,
    /// Nothing is left to say: all that can be named is to be forgotten already.
    pub already: bool,
    /// How many different contents it had.
    pub versions: u64,
    /// Their size together.
    pub bytes: u64,
    /// How many blocks are named, and in how many states.
    pub blocks: u64,
    /// In so many states of the folder.
    pub states: u64,
    /// Contents of 512 bytes at most, which lie in the records of the states and go with them.
    pub small_versions: u64,
    /// Contents of which something is in other files too, and stays.
    pub shared_versions: u64,
    /// When the last state goes by itself that has the names and small contents; nothing if no seeder keeps any.
    pub records_until: Option<Time>,
    /// Some of the names that it had.
    pub names: Vec<String>,
    /// How many names in all.
    pub names_count: u64,
    /// Files that once lay there and live on elsewhere: nothing of them goes.
    pub elsewhere: Vec<String>,
    /// States that nobody who is connected keeps whole; whoever does keeps all of them.
    pub states_not_seen: u64,
    /// When it counts on this device, and at seeders that are connected; it can be withdrawn before.
    pub counts_at: Time,
    /// Where copies remain until when.
    pub copies: Vec<RemainingCopy>,
}

/// One wish of an owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForgetStatus {
    /// Names it.
    pub id: String,
    /// What is forgotten; unknown if the owner did not say it.
    pub path: Option<String>,
    /// Who said so.
    pub by: Option<String>,
    /// When, by their clock.
    pub at: Time,
    /// How many blocks are named.
    pub blocks: u64,
    /// In so many states of the folder.
    pub states: u64,
    /// When it counts on this device.
    pub counts_at: Time,
    /// Whether it counts here by now. Then it can not be withdrawn any more.
    pub counts: bool,
    /// Where copies remain until when.
    pub copies: Vec<RemainingCopy>,
}

/// `GET folders/{folder}/forgets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Forgets {
    /// By time.
    pub forgets: Vec<ForgetStatus>,
}
