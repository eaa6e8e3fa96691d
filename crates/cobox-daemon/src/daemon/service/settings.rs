//! The settings while the service runs: read, changed in their file, and put to use.

use std::sync::{Arc, Weak};
use std::time::Duration;

use cobox_net::Rates;
use jiff::Zoned;

use super::super::Daemon;
use super::failed;
use crate::api::dto::{Bandwidth, Settings, SettingsReply, SettingsRequest};
use crate::api::{ApiError, ErrorCode};
use crate::bandwidth::{Holds, Wall};
use crate::config::{Config, ConfigError};
use crate::folder::FolderActor;

/// How often it is looked what the schedule says: a clock may be set, a computer may have slept.
const LOOK: Duration = Duration::from_secs(10);
/// Settings that are read at the start alone.
const AT_START: [&str; 3] = ["listen", "relays", "log"];

/// Has the network keep to the limits and the schedule, until the daemon is gone.
pub(in crate::daemon) async fn keep_rates(daemon: Weak<Daemon>) {
    let Some(changed) = daemon.upgrade().map(|daemon| daemon.settings_changed.clone()) else { return };
    loop {
        let Some(daemon) = daemon.upgrade() else { return };
        let has_schedule = daemon.set_rates();
        drop(daemon);
        if has_schedule {
            tokio::select! {
                () = changed.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        } else {
            changed.notified().await;
        }
    }
}

/// The clock of this computer.
fn wall() -> Wall {
    let now = Zoned::now();
    let minute = u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs());
    Wall { weekday: now.weekday().to_monday_zero_offset().unsigned_abs(), minute }
}

impl Daemon {
    /// Puts the limits to use; whether they are others at other times.
    pub(in crate::daemon) fn set_rates(&self) -> bool {
        self.endpoint.set_rates(self.rates_now());
        !self.config().bandwidth.schedule.is_empty()
    }

    /// The rates that limits and schedule come to just now.
    pub(in crate::daemon) fn rates_now(&self) -> Rates {
        self.config().bandwidth.rates(wall())
    }

    /// What limits and schedule come to just now.
    pub(in crate::daemon) fn bandwidth_now(&self) -> Bandwidth {
        match self.config().bandwidth.at(wall()) {
            Holds::Unlimited => Bandwidth::Unlimited,
            Holds::Limited => Bandwidth::Limited,
            Holds::Paused => Bandwidth::Paused,
        }
    }

    pub(super) fn read_settings(&self) -> SettingsReply {
        let (settings, at_start) = (settings_of(&self.config()), settings_of(&self.started_with));
        let is_other =
            [settings.listen != at_start.listen, settings.relays != at_start.relays, settings.log != at_start.log];
        let at_next_start = AT_START.iter().zip(is_other).filter(|(_, other)| *other).map(|(name, _)| (*name).into());
        SettingsReply { at_next_start: at_next_start.collect(), settings, bandwidth: self.bandwidth_now() }
    }

    pub(super) async fn write_settings(&self, request: SettingsRequest) -> Result<SettingsReply, ApiError> {
        let _one_at_a_time = self.changing_settings.lock().await;
        let (path, values) = (self.home.config(), values_of(request));
        let changed = tokio::task::spawn_blocking(move || Config::change(&path, &values)).await.map_err(failed)?;
        let config = Arc::new(changed.map_err(refused)?);
        let before = self.config();
        *self.config.write().expect("no thread panics while it holds this lock") = config.clone();
        if config.lan_discovery != before.lan_discovery
            && let Err(why) = self.endpoint.set_lan_discovery(config.lan_discovery)
        {
            tracing::warn!(%why, "the local network is not looked through");
        }
        if config.brake != before.brake {
            for running in self.running() {
                running.handle.ask(FolderActor::brake_changed).await;
            }
        }
        self.set_rates();
        self.drills.look_again.notify_one();
        self.settings_changed.notify_one();
        Ok(self.read_settings())
    }
}

fn settings_of(config: &Config) -> Settings {
    let Config { lan_discovery, relays, listen, log, rescan_interval, brake, drill_days, bandwidth } = config;
    Settings {
        lan_discovery: *lan_discovery,
        send_max_bytes_s: bandwidth.send_max_bytes_s.unwrap_or(0),
        receive_max_bytes_s: bandwidth.receive_max_bytes_s.unwrap_or(0),
        limits_on_lan: bandwidth.on_lan,
        schedule: bandwidth.schedule.iter().map(ToString::to_string).collect(),
        rescan_interval_s: rescan_interval.as_secs(),
        brake_window_s: brake.window_ms / 1000,
        brake_files: brake.files_max as u64,
        brake_percent: brake.percent as u64,
        brake_files_free: brake.files_free as u64,
        drill_days: u64::from(*drill_days),
        listen: listen.map(|address| address.to_string()).unwrap_or_default(),
        relays: relays.clone(),
        log: log.clone(),
    }
}

/// What is asked for, as it stands in the file.
fn values_of(request: SettingsRequest) -> Vec<(&'static str, toml::Value)> {
    let SettingsRequest {
        lan_discovery,
        send_max_bytes_s,
        receive_max_bytes_s,
        limits_on_lan,
        schedule,
        rescan_interval_s,
        brake_window_s,
        brake_files,
        brake_percent,
        brake_files_free,
        drill_days,
        listen,
        relays,
        log,
    } = request;
    use toml::Value::{Array, Boolean, Integer, String};
    // The file knows signed numbers; none of the settings reaches so far.
    let number = |n: u64| Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let list = |lines: Vec<std::string::String>| Array(lines.into_iter().map(String).collect());
    [
        ("lan_discovery", lan_discovery.map(Boolean)),
        ("send_max_bytes_s", send_max_bytes_s.map(number)),
        ("receive_max_bytes_s", receive_max_bytes_s.map(number)),
        ("limits_on_lan", limits_on_lan.map(Boolean)),
        ("schedule", schedule.map(list)),
        ("rescan_interval_s", rescan_interval_s.map(number)),
        ("brake_window_s", brake_window_s.map(number)),
        ("brake_files", brake_files.map(number)),
        ("brake_percent", brake_percent.map(number)),
        ("brake_files_free", brake_files_free.map(number)),
        ("drill_days", drill_days.map(number)),
        ("listen", listen.map(String)),
        ("relays", relays.map(list)),
        ("log", log.map(String)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

fn refused(why: ConfigError) -> ApiError {
    match why {
        ConfigError::Value { .. } => {
            ApiError::new(ErrorCode::BadRequest, why.to_string()).hint("`cobox config list` shows what is set")
        }
        ConfigError::Line { .. } | ConfigError::NotSettings { .. } => {
            ApiError::new(ErrorCode::Refused, format!("the settings have a mistake already: {why}"))
                .hint("put it right in that file; nothing was changed")
        }
        ConfigError::Io { .. } => ApiError::new(ErrorCode::Disk, why.to_string())
            .hint("see that the disk has room and can be written; nothing was changed"),
    }
}
