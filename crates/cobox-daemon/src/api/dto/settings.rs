//! The settings of this device.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How fast contents may go just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bandwidth {
    /// As fast as they can.
    #[default]
    Unlimited,
    /// Within the limits that are set.
    Limited,
    /// Not at all, by the schedule: small messages alone go.
    Paused,
}

/// Every setting, by the name that it has in the file of settings and in `cobox config`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Settings {
    /// Whether members are looked for in the local network.
    pub lan_discovery: bool,
    /// Bytes a second that are sent at most, all folders together; 0: as many as go.
    pub send_max_bytes_s: u64,
    /// ... and received.
    pub receive_max_bytes_s: u64,
    /// Whether limits and pauses hold in the local network, too.
    pub limits_on_lan: bool,
    /// When the limits hold and when not, by this computer's clock: `22:00-06:00 unlimited`, `weekdays 08:00-17:00 paused`. The first
    /// line that fits counts; at all other times the limits hold.
    pub schedule: Vec<String>,
    /// Every how many seconds all folders are looked through.
    pub rescan_interval_s: u64,
    /// Within so many seconds the brake judges.
    pub brake_window_s: u64,
    /// More files than this, deleted or turned into noise, are always held.
    pub brake_files: u64,
    /// Fewer are held if they are more than so many percent of the folder ...
    pub brake_percent: u64,
    /// ... but so many always pass.
    pub brake_files_free: u64,
    /// Every how many days a restore from each seeder is rehearsed; 0: never.
    #[serde(default)]
    pub drill_days: u64,
    /// The UDP address and port to listen on; empty: a free port that is kept.
    pub listen: String,
    /// Relays, as URLs.
    pub relays: Vec<String>,
    /// How much the log says.
    pub log: String,
}

/// `GET config`, and what came of a change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct SettingsReply {
    /// The settings as they stand in the file.
    pub settings: Settings,
    /// What the limits and the schedule come to just now.
    pub bandwidth: Bandwidth,
    /// Settings that hold only from the next start on, by name.
    pub at_next_start: Vec<String>,
}

/// `PUT config`: what is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsRequest {
    /// Whether members are looked for in the local network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lan_discovery: Option<bool>,
    /// Bytes a second that are sent at most; 0: as many as go, otherwise from 10000 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_max_bytes_s: Option<u64>,
    /// ... and received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_max_bytes_s: Option<u64>,
    /// Whether limits and pauses hold in the local network, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits_on_lan: Option<bool>,
    /// All lines of the schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Vec<String>>,
    /// Every how many seconds all folders are looked through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rescan_interval_s: Option<u64>,
    /// Within so many seconds the brake judges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brake_window_s: Option<u64>,
    /// More files than this are always held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brake_files: Option<u64>,
    /// Fewer are held if they are more than so many percent of the folder ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brake_percent: Option<u64>,
    /// ... but so many always pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brake_files_free: Option<u64>,
    /// Every how many days a restore from each seeder is rehearsed; 0: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill_days: Option<u64>,
    /// The UDP address and port to listen on; empty: a free port that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Relays, as URLs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relays: Option<Vec<String>>,
    /// How much the log says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}
