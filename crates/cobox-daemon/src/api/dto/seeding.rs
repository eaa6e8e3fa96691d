//! The seeder on this computer, which keeps encrypted copies for others.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Secret, Time};

/// `GET seeding`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Seeding {
    /// Whether the program `cobox-seeder` is on this computer.
    pub installed: bool,
    /// The seeder, while it runs.
    pub seeder: Option<OwnSeeder>,
}

/// A seeder that belongs to the person at this computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnSeeder {
    /// What its owner calls it.
    pub name: String,
    /// Where it is reached, loopback last.
    pub addresses: Vec<String>,
    /// The same as one code, for members who have to find it again.
    pub ticket: String,
    /// Promised, to folders and in open offers.
    pub space_bytes: u64,
    /// Used of that.
    pub used_bytes: u64,
    /// Offers nobody has claimed yet.
    pub open_offers: u64,
    /// What is wrong, in the seeder's words.
    pub problems: Vec<String>,
    /// What it keeps.
    pub folders: Vec<KeptFolder>,
}

/// A folder that is kept for others. Its name is not known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptFolder {
    /// Its id.
    pub id: String,
    /// A folder, or one person's recovery data.
    pub kind: KeptKind,
    /// For whom the offer was made.
    pub label: String,
    /// Since when it is here.
    pub since: Time,
    /// Bytes that count against the quota.
    pub used_bytes: u64,
    /// Of those, what only its history needs.
    pub history_bytes: u64,
    /// Bytes it may use.
    pub quota_bytes: u64,
    /// Whether the newest state is here with everything in it.
    pub complete: bool,
    /// When the newest complete state became so.
    pub head_at: Option<Time>,
    /// Members.
    pub members: u64,
    /// Members' devices that are connected now.
    pub connected: u64,
    /// When one was last here.
    pub last_seen: Option<Time>,
    /// Whether its members still want it to be kept here.
    pub hired: bool,
    /// When all of it had been read and compared with its names last.
    pub checked_at: Option<Time>,
    /// What is wrong with it, in the seeder's words.
    pub problem: Option<String>,
}

/// What sort of folder is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeptKind {
    /// Files of several people.
    Folder,
    /// One person's recovery data.
    Vault,
}

/// `POST seeding/start`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeedingStart {
    /// What to call the seeder; the computer's name when left out. Ignored by one that runs already.
    pub name: Option<String>,
}

/// `POST seeding/offers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferRequest {
    /// Room for one folder.
    pub space_bytes: u64,
    /// For whom, so that one recognises it later; nobody else sees it.
    #[serde(default)]
    pub label: String,
    /// History is kept at least so long; 90 when left out.
    pub keep_days: Option<u32>,
    /// It must be claimed within so long; 14 when left out.
    pub expires_days: Option<u32>,
}

/// An offer: a secret, since whoever has it may use it, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Offer {
    /// The code to hand over.
    #[schema(value_type = String)]
    pub offer: Secret,
    /// Its name, which is no secret.
    pub id: String,
    /// For whom.
    pub label: String,
    /// Room.
    pub space_bytes: u64,
    /// History is kept at least so long.
    pub keep_days: u32,
    /// Until when it can be claimed.
    pub expires_at: Time,
    /// Room left on the disk.
    pub disk_free_bytes: u64,
}

/// `POST seeding/folders/{id}/drop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeptDropRequest {
    /// Only says what would go.
    #[serde(default)]
    pub dry_run: bool,
    /// Also if its members want it kept here, and it may be the last copy.
    #[serde(default)]
    pub even_the_last_copy: bool,
}

/// What goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptDropped {
    /// The folder, as it was.
    pub folder: KeptFolder,
    /// Members' recovery data that goes with it.
    pub vaults: u64,
    /// Whether it may be the last copy: its members want it kept here, and what lies elsewhere is not known here.
    pub may_be_last: bool,
    /// Whether it is gone; a dry run only says what would go.
    pub dropped: bool,
}
