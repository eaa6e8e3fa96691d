//! The log: files in `HOME/log/`, a new one each day, seven kept; with `--foreground` standard error too. It holds no labels, addresses
//! or secrets, and a full disk loses lines, nothing else.

use std::io;
use std::path::Path;

use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const DAYS_KEPT: usize = 7;
/// Our own crates; others tell of errors alone, since they do not know what is private.
const OURS: [&str; 4] = ["cobox_seeder", "cobox_proto", "cobox_store", "cobox_net"];

/// What the words of `log` and `COBOX_LOG` mean: a level for our own crates, or directives of `tracing`.
pub(crate) fn filter(words: &str) -> Result<EnvFilter, ParseError> {
    if words.contains(['=', ',']) {
        return EnvFilter::builder().parse(words);
    }
    let level = words.parse::<tracing::Level>().map_or_else(|_| words.to_owned(), |level| level.to_string());
    let ours: Vec<String> = OURS.iter().map(|name| format!("{name}={level}")).collect();
    EnvFilter::builder().parse(format!("error,{}", ours.join(",")))
}

/// Starts logging for this process; a second call changes nothing.
pub(crate) fn start(directory: &Path, filter: EnvFilter, foreground: bool) -> io::Result<()> {
    let files = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_suffix("log")
        .max_log_files(DAYS_KEPT)
        .build(directory)
        .map_err(io::Error::other)?;
    let to_file = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::sync::Mutex::new(files));
    let to_stderr = foreground.then(|| tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr));
    let _already_started = tracing_subscriber::registry().with(filter).with(to_file).with(to_stderr).try_init();
    Ok(())
}
