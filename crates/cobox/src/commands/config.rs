//! `config`: the settings of this device.

use clap::Subcommand;
use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::{Bandwidth, SettingsReply};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Context;
use crate::error::Failure;
use crate::text::{clean, table};
use crate::units::{show_bytes, size_bytes};

/// What stands for nothing: no limit, no line, no address.
const NONE: &str = "none";

/// The settings of this device: limits on what is sent and received and when, the local network, the brake
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List all settings; config.toml in the state directory says what each means
    List,
    /// Show one setting
    Get {
        /// Its name, as `cobox config list` shows it
        name: String,
    },
    /// Set one, also in config.toml
    ///
    /// Limits are in bytes a second, like 500kB or 2MB, or none. The schedule has a line for each stretch of the day, by the clock of this
    /// computer: "22:00-06:00 unlimited" "weekdays 08:00-17:00 paused"; the first line that fits counts, and at all other times the limits
    /// hold.
    #[command(
        after_help = "Examples:\n  cobox config set send_max_bytes_s 500kB\n  cobox config set schedule \"22:00-06:00 unlimited\"\n  \
                            cobox config set schedule none\n  cobox config set lan_discovery off"
    )]
    Set {
        /// Its name, as `cobox config list` shows it
        name: String,
        /// What it is to be; none for no limit, no line or no address
        #[arg(required = true, value_name = "VALUE")]
        values: Vec<String>,
    },
}

/// `config get --json`.
#[derive(Debug, Serialize)]
struct One {
    name: String,
    value: Value,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let reply: SettingsReply = client.get("config")?;
        match self.what {
            What::List => context.out.data(&reply, show),
            What::Get { name } => {
                let value = one(&reply, &name)?;
                context.out.data(&One { name, value }, One::words)
            }
            What::Set { name, values } => {
                let value = typed(&name, &one(&reply, &name)?, &values)?;
                let body: Map<String, Value> = [(name.clone(), value)].into_iter().collect();
                let reply: SettingsReply = client.put("config", &body)?;
                if reply.at_next_start.contains(&name) {
                    context.out.note("this holds from the next start on: `cobox down`, then `cobox up`");
                }
                let value = one(&reply, &name)?;
                context.out.data(&One { name, value }, |one| format!("{}: {}", one.name, one.words()))
            }
        }
    }
}

/// The settings, by name.
fn all(reply: &SettingsReply) -> Map<String, Value> {
    match serde_json::to_value(&reply.settings) {
        Ok(Value::Object(all)) => all,
        _ => Map::new(),
    }
}

fn one(reply: &SettingsReply, name: &str) -> Result<Value, Failure> {
    all(reply).remove(name).ok_or_else(|| {
        let text = format!("there is no setting called \"{name}\"");
        Failure::new(ErrorCode::BadRequest, text, "`cobox config list` names them all")
    })
}

/// What a person typed, as a value like the one that is there.
fn typed(name: &str, now: &Value, words: &[String]) -> Result<Value, Failure> {
    let wrong = |what: &str| {
        let hint = format!("`cobox config get {name}` shows what it is now");
        Failure::usage(format!("{name} is {what}"), hint)
    };
    if now.is_array() {
        let lines: Vec<&String> = words.iter().filter(|word| *word != NONE).collect();
        return Ok(json!(lines));
    }
    let [word] = words else { return Err(wrong("one value")) };
    match now {
        Value::Bool(_) => match word.as_str() {
            "on" | "true" | "yes" => Ok(json!(true)),
            "off" | "false" | "no" => Ok(json!(false)),
            _ => Err(wrong("on or off")),
        },
        Value::Number(_) if word == NONE => Ok(json!(0)),
        Value::Number(_) => match word.parse::<u64>() {
            Ok(number) => Ok(json!(number)),
            Err(_) if name.ends_with("_bytes_s") => {
                let size = word.strip_suffix("/s").unwrap_or(word);
                Ok(json!(size_bytes(size).map_err(|_| wrong("so many bytes a second, like 500kB or 2MB, or none"))?))
            }
            Err(_) => Err(wrong("a number")),
        },
        _ if word == NONE => Ok(json!("")),
        _ => Ok(json!(word)),
    }
}

impl One {
    /// The value for people.
    fn words(&self) -> String {
        match &self.value {
            Value::Bool(on) => if *on { "on" } else { "off" }.into(),
            Value::String(text) if text.is_empty() => NONE.into(),
            Value::String(text) => clean(text),
            Value::Array(lines) if lines.is_empty() => NONE.into(),
            Value::Array(lines) => lines.iter().filter_map(Value::as_str).map(clean).collect::<Vec<_>>().join("; "),
            Value::Number(bytes_s) if self.name.ends_with("_max_bytes_s") => match bytes_s.as_u64() {
                None | Some(0) => NONE.into(),
                Some(bytes_s) => format!("{}/s", show_bytes(bytes_s)),
            },
            other => other.to_string(),
        }
    }
}

fn show(reply: &SettingsReply) -> String {
    let late =
        |name: &str| if reply.at_next_start.iter().any(|one| one == name) { "from the next start on" } else { "" };
    let row = |(name, value): (String, Value)| {
        let late = late(&name).to_owned();
        let one = One { name, value };
        vec![one.name.clone(), one.words(), late]
    };
    let rows: Vec<Vec<String>> = all(reply).into_iter().map(row).collect();
    let now = match reply.bandwidth {
        Bandwidth::Unlimited => "no limit holds now",
        Bandwidth::Limited => "the limits hold now",
        Bandwidth::Paused => "nothing is sent or received now, by the schedule",
    };
    format!("{}\n{now}\n", table(&["SETTING", "VALUE", ""], &rows).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, now: Value, typed_words: &[&str]) -> Option<Value> {
        let typed_words: Vec<String> = typed_words.iter().map(ToString::to_string).collect();
        typed(name, &now, &typed_words).ok()
    }

    #[test]
    fn what_is_typed_becomes_a_value_of_the_settings_own_kind() {
        for (name, now, typed, value) in [
            ("send_max_bytes_s", json!(0), &["500kB"][..], Some(json!(500_000))),
            ("send_max_bytes_s", json!(0), &["2 MB/s"], Some(json!(2_000_000))),
            ("send_max_bytes_s", json!(7), &["none"], Some(json!(0))),
            ("send_max_bytes_s", json!(7), &["20000"], Some(json!(20_000))),
            ("send_max_bytes_s", json!(7), &["fast"], None),
            ("brake_files", json!(7), &["3"], Some(json!(3))),
            ("brake_files", json!(7), &["3kB"], None),
            ("brake_files", json!(7), &["3", "4"], None),
            ("limits_on_lan", json!(false), &["on"], Some(json!(true))),
            ("limits_on_lan", json!(true), &["maybe"], None),
            ("schedule", json!([]), &["22:00-06:00 unlimited", "x"], Some(json!(["22:00-06:00 unlimited", "x"]))),
            ("schedule", json!(["x"]), &["none"], Some(json!([]))),
            ("listen", json!("x"), &["none"], Some(json!(""))),
        ] {
            assert_eq!(set(name, now, typed), value, "{name} {typed:?}");
        }
    }
}
