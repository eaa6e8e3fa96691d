//! The few settings of a seeder, from `config.toml`. A commented example is written into a new home. What is typed at `up` goes before
//! the file; a file that can not be understood stops the start, nothing is guessed.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use cobox_net::{Rate, Rates};
use serde::Deserialize;

use crate::files::write_new;

const EXAMPLE: &str = "\
# Settings of this seeder. Remove a # to change a value; `cobox-seeder down`, then `up` again.

# The UDP address and port to listen on. Empty: a free port, chosen once and kept.
#listen = \"\"

# Relays through which this seeder can be reached too, as URLs.
#relays = []

# Connections at a time.
#connections_max = 1024

# How many bytes a second are sent at most, all folders together, and received; 10000 at least, 0 for as many as go. The local network is
# left out.
#send_max_bytes_s = 0
#receive_max_bytes_s = 0

# How much the log says: error, warn, info, debug or trace. The environment's COBOX_LOG goes before it.
#log = \"info\"
";
const RELAYS_MAX: usize = 4;
/// Bytes a second below which hardly anything would move, and above which there is no line to be spared.
const RATE_BYTES_S: RangeInclusive<u64> = 10_000..=100_000_000_000;

/// What the settings mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The UDP address asked for.
    pub listen: Option<SocketAddr>,
    /// Relays, as URLs.
    pub relays: Vec<String>,
    /// Connections at a time.
    pub connections_max: usize,
    /// How fast it sends and receives.
    pub rates: Rates,
    /// What the log says.
    pub log: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    listen: Option<String>,
    relays: Option<Vec<String>>,
    connections_max: Option<usize>,
    send_max_bytes_s: Option<u64>,
    receive_max_bytes_s: Option<u64>,
    log: Option<String>,
}

/// Why the settings can not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can not be read or written.
    #[error("the settings {path} can not be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{path}: {message}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
}

impl Config {
    /// Reads the file; writes the example if there is none.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let io = |source| ConfigError::Io { path: path.into(), source };
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|message| ConfigError::Wrong { path: path.into(), message }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_new(path, EXAMPLE.as_bytes()).map_err(io)?;
                Ok(Self::of(ConfigFile::default(), None))
            }
            Err(error) => Err(io(error)),
        }
    }

    /// Reads the file's text.
    ///
    /// Errors: what is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: ConfigFile = toml::from_str(text).map_err(|error| error.to_string().trim().replace('\n', " "))?;
        let listen = match file.listen.as_deref() {
            None | Some("") => None,
            Some(text) => {
                let wrong = |_| format!("listen: \"{text}\" is not an address and port, like \"0.0.0.0:41234\"");
                Some(text.parse().map_err(wrong)?)
            }
        };
        let relays = file.relays.as_deref().unwrap_or_default();
        if relays.len() > RELAYS_MAX || relays.iter().any(|relay| !relay.starts_with("https://")) {
            return Err(format!("relays: at most {RELAYS_MAX}, each beginning with https://"));
        }
        for (name, bytes_s) in
            [("send_max_bytes_s", file.send_max_bytes_s), ("receive_max_bytes_s", file.receive_max_bytes_s)]
        {
            if bytes_s.is_some_and(|bytes_s| bytes_s != 0 && !RATE_BYTES_S.contains(&bytes_s)) {
                let (least, most) = (RATE_BYTES_S.start(), RATE_BYTES_S.end());
                return Err(format!("{name}: 0 for no limit, or between {least} and {most}"));
            }
        }
        if file.connections_max == Some(0) {
            return Err("connections_max: at least 1".into());
        }
        if file.log.as_deref().is_some_and(|words| crate::log::filter(words).is_err()) {
            return Err("log: none of error, warn, info, debug, trace".into());
        }
        Ok(Self::of(file, listen))
    }

    fn of(file: ConfigFile, listen: Option<SocketAddr>) -> Self {
        let connections_max = file.connections_max.unwrap_or(cobox_net::Config::default().connections_max);
        let log = file.log.unwrap_or_else(|| "info".into());
        let rate = |bytes_s: Option<u64>| match bytes_s {
            None | Some(0) => Rate::Unlimited,
            Some(bytes_s) => Rate::BytesPerSecond(bytes_s),
        };
        let (send, receive) = (rate(file.send_max_bytes_s), rate(file.receive_max_bytes_s));
        let rates = Rates { send, receive, on_lan: false };
        Self { listen, relays: file.relays.unwrap_or_default(), connections_max, rates, log }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i4_the_example_says_the_defaults_and_nonsense_is_refused() {
        let typed = EXAMPLE.replace("\n#", "\n").replace("\n Remove", "\n# Remove");
        let typed: String = typed.lines().filter(|line| line.contains(" = ")).map(|line| format!("{line}\n")).collect();
        assert_eq!(Config::parse(&typed), Config::parse(""));
        assert_eq!(Config::parse("listen = \"127.0.0.1:7\"").unwrap().listen, Some(([127, 0, 0, 1], 7).into()));
        let rates = Config::parse("send_max_bytes_s = 50000").unwrap().rates;
        assert_eq!((rates.send, rates.receive), (Rate::BytesPerSecond(50_000), Rate::Unlimited));
        for wrong in [
            "listn = \"\"",
            "listen = \"here\"",
            "relays = [\"http://relay\"]",
            "connections_max = 0",
            "send_max_bytes_s = 9999",
            "receive_max_bytes_s = -1",
            "log = \"loud!\"",
            "log = 3",
            "=",
        ] {
            assert!(Config::parse(wrong).is_err(), "{wrong}");
        }
    }
}
