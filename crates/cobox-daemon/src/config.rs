//! The few settings of a device: defaults, then `config.toml`, then the environment, then what was typed.
//!
//! The defaults are `defaults.toml`, which is also, commented out, the example written into a new home. A file that can not be
//! understood stops the start with the line that is wrong; nothing is guessed.

mod change;

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cobox_core::engine::Brake;
use serde::Deserialize;

use crate::bandwidth::{Bandwidth, NoRule, RATE_BYTES_S_MAX, RATE_BYTES_S_MIN, RULES_MAX, Rule};
use crate::files::{replace, write_new};

const DEFAULTS: &str = include_str!("defaults.toml");
/// Bytes of a settings file.
const CONFIG_BYTES_MAX: u64 = 64 << 10;
/// Looking more often than this wears the disk and finds nothing new.
const RESCAN_INTERVAL_S_MIN: u64 = 10;
const RESCAN_INTERVAL_S_MAX: u64 = 7 * 24 * 3600;
const RELAYS_MAX: usize = 16;
const BRAKE_WINDOW_S_MAX: u64 = 7 * 24 * 3600;
const DRILL_DAYS_MAX: u32 = 3650;

/// What the settings mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Find members in the local network.
    pub lan_discovery: bool,
    /// Relays, as URLs.
    pub relays: Vec<String>,
    /// The UDP address asked for; a free port, kept in the home, when none.
    pub listen: Option<SocketAddr>,
    /// What the log says: a level, or directives of `tracing`.
    pub log: String,
    /// How often all folders are looked through.
    pub rescan_interval: Duration,
    /// By what the brake judges.
    pub brake: Brake,
    /// Every how many days a restore from each seeder is rehearsed; 0: never.
    pub drill_days: u32,
    /// How fast it sends and receives, and when.
    pub bandwidth: Bandwidth,
}

/// What stands in a file. Every key may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    lan_discovery: Option<bool>,
    relays: Option<Vec<String>>,
    listen: Option<String>,
    log: Option<String>,
    rescan_interval_s: Option<u64>,
    brake_files: Option<usize>,
    brake_percent: Option<usize>,
    brake_files_free: Option<usize>,
    brake_window_s: Option<u64>,
    drill_days: Option<u32>,
    send_max_bytes_s: Option<u64>,
    receive_max_bytes_s: Option<u64>,
    limits_on_lan: Option<bool>,
    schedule: Option<Vec<String>>,
}

/// Why the settings can not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can not be read or written.
    #[error("the settings {path} can not be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not text, or far too long.
    #[error("the settings {path} are {what}")]
    NotSettings {
        /// The file.
        path: PathBuf,
        /// What they are instead.
        what: &'static str,
    },
    /// A line is wrong.
    #[error("{path}, line {line}: {message}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A setting can not have this value.
    #[error("{message}")]
    Value {
        /// What is wrong with it.
        message: String,
    },
}

impl Config {
    /// Reads the file if there is one; writes the commented example if there is none.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = match File::open(path) {
            Ok(file) => read(path, file)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                write_new(path, example().as_bytes())
                    .map_err(|source| ConfigError::Io { path: path.into(), source })?;
                String::new()
            }
            Err(source) => return Err(ConfigError::Io { path: path.into(), source }),
        };
        Self::parse(path, &text)
    }

    /// Reads the text of the file at `path`, which errors name.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::defaults();
        config.apply(path, text)?;
        Ok(config)
    }

    /// Sets some settings in the file, keeping all else in it; what the settings mean then. Changes by hand since the start count from
    /// now on, too. Nothing is written unless all of it can be understood.
    ///
    /// Errors: a value can not be, the file has a mistake, or the disk refuses.
    pub fn change(path: &Path, settings: &[(&str, toml::Value)]) -> Result<Self, ConfigError> {
        // Where a link leads: whoever keeps the file elsewhere goes on doing so.
        let place = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let mut text = match File::open(&place) {
            Ok(file) => read(path, file)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => example(),
            Err(source) => return Err(ConfigError::Io { path: path.into(), source }),
        };
        Self::parse(path, &text)?;
        for (key, value) in settings {
            let wrong =
                |e: toml::de::Error| ConfigError::Line { path: path.into(), line: 1, message: e.message().into() };
            text = change::set(&text, key, value).map_err(wrong)?;
        }
        if text.len() as u64 > CONFIG_BYTES_MAX {
            return Err(ConfigError::Value { message: "with this the settings would be longer than 64 KiB".into() });
        }
        let config = Self::parse(path, &text).map_err(|why| match why {
            ConfigError::Line { message, .. } => ConfigError::Value { message },
            other => other,
        })?;
        replace(&place, text.as_bytes()).map_err(|source| ConfigError::Io { path: path.into(), source })?;
        Ok(config)
    }

    fn defaults() -> Self {
        let mut config = Self {
            lan_discovery: false,
            relays: Vec::new(),
            listen: None,
            log: String::new(),
            rescan_interval: Duration::ZERO,
            brake: Brake::default(),
            drill_days: 0,
            bandwidth: Bandwidth::default(),
        };
        config.apply(Path::new("defaults.toml"), DEFAULTS).expect("a test reads the embedded defaults");
        config
    }

    fn apply(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let wrong = |line, message: String| ConfigError::Line { path: path.into(), line, message };
        let file: ConfigFile = toml::from_str(text).map_err(|e| {
            wrong(e.span().map_or(1, |span| line_of(text, span.start)), e.message().replace('\n', "; "))
        })?;
        let at = |key: &str, message: String| wrong(line_of_key(text, key), message);
        if let Some(on) = file.lan_discovery {
            self.lan_discovery = on;
        }
        if let Some(relays) = file.relays {
            if relays.len() > RELAYS_MAX {
                return Err(at("relays", format!("at most {RELAYS_MAX} relays")));
            }
            let is_relay = |text: &str| text.starts_with("https://") && cobox_net::is_relay(text);
            if let Some(bad) = relays.iter().find(|relay| !is_relay(relay)) {
                return Err(at("relays", format!("\"{bad}\" is not a relay's address; one begins with https://")));
            }
            self.relays = relays;
        }
        if let Some(listen) = file.listen {
            self.listen = match listen.as_str() {
                "" => None,
                text => Some(text.parse().map_err(|_| {
                    at("listen", format!("\"{text}\" is not an address and port, like \"0.0.0.0:41234\""))
                })?),
            };
        }
        if let Some(log) = file.log {
            if crate::log::filter(&log).is_err() {
                return Err(at("log", format!("\"{log}\" is none of error, warn, info, debug, trace")));
            }
            self.log = log;
        }
        if let Some(seconds) = file.rescan_interval_s {
            if !(RESCAN_INTERVAL_S_MIN..=RESCAN_INTERVAL_S_MAX).contains(&seconds) {
                let message =
                    format!("rescan_interval_s lies between {RESCAN_INTERVAL_S_MIN} and {RESCAN_INTERVAL_S_MAX}");
                return Err(at("rescan_interval_s", message));
            }
            self.rescan_interval = Duration::from_secs(seconds);
        }
        if let Some(files) = file.brake_files {
            if files == 0 {
                return Err(at("brake_files", "brake_files is at least 1".into()));
            }
            self.brake.files_max = files;
        }
        if let Some(percent) = file.brake_percent {
            if !(1..=100).contains(&percent) {
                return Err(at("brake_percent", "brake_percent lies between 1 and 100".into()));
            }
            self.brake.percent = percent;
        }
        if let Some(files) = file.brake_files_free {
            self.brake.files_free = files;
        }
        if let Some(seconds) = file.brake_window_s {
            if !(1..=BRAKE_WINDOW_S_MAX).contains(&seconds) {
                return Err(at("brake_window_s", format!("brake_window_s lies between 1 and {BRAKE_WINDOW_S_MAX}")));
            }
            self.brake.window_ms = seconds * 1000;
        }
        if let Some(days) = file.drill_days {
            if days > DRILL_DAYS_MAX {
                return Err(at(
                    "drill_days",
                    format!("drill_days is 0 for never, or lies between 1 and {DRILL_DAYS_MAX}"),
                ));
            }
            self.drill_days = days;
        }
        for (key, typed, ours) in [
            ("send_max_bytes_s", file.send_max_bytes_s, &mut self.bandwidth.send_max_bytes_s),
            ("receive_max_bytes_s", file.receive_max_bytes_s, &mut self.bandwidth.receive_max_bytes_s),
        ] {
            match typed {
                None => {}
                Some(0) => *ours = None,
                Some(bytes_s) if (RATE_BYTES_S_MIN..=RATE_BYTES_S_MAX).contains(&bytes_s) => *ours = Some(bytes_s),
                Some(_) => {
                    let message =
                        format!("{key} is 0 for no limit, or lies between {RATE_BYTES_S_MIN} and {RATE_BYTES_S_MAX}");
                    return Err(at(key, message));
                }
            }
        }
        if let Some(on) = file.limits_on_lan {
            self.bandwidth.on_lan = on;
        }
        if let Some(lines) = file.schedule {
            if lines.len() > RULES_MAX {
                return Err(at("schedule", format!("at most {RULES_MAX} lines")));
            }
            let rules: Result<Vec<Rule>, NoRule> = lines.iter().map(|line| line.parse()).collect();
            self.bandwidth.schedule = rules.map_err(|why| at("schedule", why.to_string()))?;
        }
        Ok(())
    }
}

/// The defaults with every setting commented out.
fn example() -> String {
    DEFAULTS
        .lines()
        .map(|line| if line.is_empty() || line.starts_with('#') { format!("{line}\n") } else { format!("#{line}\n") })
        .collect()
}

fn read(path: &Path, file: File) -> Result<String, ConfigError> {
    let mut bytes = Vec::new();
    file.take(CONFIG_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ConfigError::Io { path: path.into(), source })?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        return Err(ConfigError::NotSettings { path: path.into(), what: "longer than 64 KiB" });
    }
    String::from_utf8(bytes).map_err(|_| ConfigError::NotSettings { path: path.into(), what: "not UTF-8 text" })
}

fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|b| *b == b'\n').count() + 1
}

fn line_of_key(text: &str, key: &str) -> usize {
    let is_key =
        |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    text.lines().position(is_key).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("config.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn the_example_changes_nothing_and_names_every_setting() {
        assert_eq!(parse(&example()), parse(""));
        let config = Config::defaults();
        assert!(config.lan_discovery && config.relays.is_empty() && config.listen.is_none());
        assert_eq!((config.log.as_str(), config.rescan_interval), ("info", Duration::from_secs(600)));
        assert_eq!((config.bandwidth, config.drill_days), (Bandwidth::default(), 30));
        assert_eq!(config.brake, Brake::default(), "what stands in the file is what holds without one");
        assert!(example().lines().all(|line| line.is_empty() || line.starts_with('#')));
    }

    #[test]
    fn settings_are_taken_over() {
        let config =
            parse("lan_discovery = false\nlisten = '127.0.0.1:7'\nrelays=['https://r.example']\nrescan_interval_s=60")
                .unwrap();
        assert!(!config.lan_discovery);
        assert_eq!(config.listen, Some(([127, 0, 0, 1], 7).into()));
        assert_eq!(config.relays, ["https://r.example"]);
        assert_eq!(config.rescan_interval, Duration::from_secs(60));
        let config = parse(
            "send_max_bytes_s = 50000\nreceive_max_bytes_s = 0\nlimits_on_lan = true\nschedule = [\n 'weekend 0:00-24:00 paused',\n]",
        );
        let bandwidth = config.unwrap().bandwidth;
        assert_eq!((bandwidth.send_max_bytes_s, bandwidth.receive_max_bytes_s), (Some(50_000), None));
        assert!(bandwidth.on_lan && bandwidth.schedule.len() == 1);
    }

    #[test]
    fn i4_every_mistake_is_named_with_its_line() {
        for (text, line, says) in [
            ("lan_discovery = true\nfrom_the_future = 1\n", 2, "from_the_future"),
            ("\n\nlan_discovery = \"yes\"\n", 3, "expected a boolean"),
            ("lan_discovery = true\r\n\r\nlisten = 'nowhere'\r\n", 3, "nowhere"),
            ("log = 'loud!'", 1, "loud!"),
            ("# a\nrescan_interval_s = 1", 2, "between 10 and"),
            ("rescan_interval_s = -1", 1, "-1"),
            ("brake_files = 0", 1, "at least 1"),
            ("log = 'info'\nbrake_percent = 101", 2, "between 1 and 100"),
            ("brake_window_s = 0", 1, "between 1 and"),
            ("drill_days = 3651", 1, "0 for never"),
            ("relays = [\n'http://plain'\n]", 1, "https://"),
            ("listen = '0.0.0.0:1'\nlisten = '0.0.0.0:2'", 2, "duplicate key"),
            ("log = 'info'\nsend_max_bytes_s = 9999", 2, "0 for no limit"),
            ("receive_max_bytes_s = 100000000001", 1, "0 for no limit"),
            ("limits_on_lan = 1", 1, "expected a boolean"),
            ("\nschedule = ['22:00-06:00 unlimited', 'at night']", 2, "at night"),
            ("listen = ", 1, ""),
            ("=", 1, ""),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(&format!("config.toml, line {line}: ")), "{text:?}: {error}");
            assert!(error.contains(says) && !error.contains('\n'), "{text:?}: {error}");
        }
    }

    #[test]
    fn i4_empty_byte_order_mark_and_crlf_are_fine() {
        assert_eq!(parse(""), Ok(Config::defaults()));
        assert!(!parse("\u{feff}lan_discovery = false\r\n").unwrap().lan_discovery);
    }

    #[test]
    fn i4_a_huge_or_binary_file_is_refused_without_reading_it_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        File::create(&path).unwrap().set_len(1 << 30).unwrap();
        assert!(Config::load(&path).unwrap_err().to_string().contains("longer than 64 KiB"));
        std::fs::write(&path, b"log = '\xff'").unwrap();
        assert!(Config::load(&path).unwrap_err().to_string().contains("not UTF-8"));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(Config::load(&path).unwrap_err().to_string().contains("can not be read"));
    }

    #[test]
    fn the_example_is_written_once_and_never_over_anything() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        Config::load(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), example());
        std::fs::write(&path, "log = 'debug'").unwrap();
        assert_eq!(Config::load(&path).unwrap().log, "debug");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "log = 'debug'");
    }
    #[test]
    fn a_changed_setting_keeps_the_file_and_what_can_not_be_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "# mine\nlog = 'debug'\n").unwrap();
        let config = Config::change(&path, &[("send_max_bytes_s", toml::Value::Integer(50_000))]).unwrap();
        assert_eq!((config.log.as_str(), config.bandwidth.send_max_bytes_s), ("debug", Some(50_000)));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "# mine\nlog = 'debug'\nsend_max_bytes_s = 50000\n");
        for (key, value) in [("send_max_bytes_s", 1), ("brake_percent", 101), ("rescan_interval_s", 9), ("no_such", 1)]
        {
            let settings = [("limits_on_lan", toml::Value::Boolean(true)), (key, toml::Value::Integer(value))];
            assert!(matches!(Config::change(&path, &settings), Err(ConfigError::Value { .. })), "{key}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        // A mistake by hand is told with its line, and left alone.
        std::fs::write(&path, "\nlog = 3\n").unwrap();
        let refused = Config::change(&path, &[("brake_files", toml::Value::Integer(5))]);
        assert!(matches!(refused, Err(ConfigError::Line { line: 2, .. })), "{refused:?}");
    }
}
