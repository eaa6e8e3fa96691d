//! The devices of one person.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FolderName, Secret, Time};

/// `GET devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Devices {
    /// This one first, then by name.
    pub devices: Vec<DeviceStatus>,
}

/// One device of the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceStatus {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// Whether it is the one that answers.
    pub this: bool,
    /// Whether it is connected.
    pub online: bool,
    /// In how many of the person's folders it takes part.
    pub folders: u64,
}

/// `POST devices/link`: a secret that makes one more device the person's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceLink {
    /// For `cobox up --link`.
    #[schema(value_type = String)]
    pub code: Secret,
    /// Until when it is good.
    pub expires_at: Time,
}

/// `POST devices/use`: become a device of the person who made the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UseLinkRequest {
    /// The code.
    #[schema(value_type = String)]
    pub code: Secret,
    /// The device's name; that of the computer when left out.
    pub name: Option<String>,
    /// Where the folders go; `cobox` in the home directory when left out.
    pub to: Option<String>,
}

/// Whose device this is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Linked {
    /// The person's name.
    pub name: String,
    /// Their CoBox key.
    pub cobox_key: String,
    /// Their folders, which are here now.
    pub folders: Vec<FolderName>,
    /// What did not work, in sentences.
    pub warnings: Vec<String>,
}

/// `POST devices/{device}/name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceNameRequest {
    /// From now on.
    pub name: String,
}

/// `POST devices/{device}/remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceRemoved {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// The folders it is out of, or would be.
    pub folders: Vec<String>,
    /// What whoever has it keeps, in sentences.
    pub keeps: Vec<String>,
}
