//! What goes into the log (`cobox_log` keeps its files within bounds): no labels, addresses or secrets.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Our own crates; others tell of errors alone, since they do not know what is private.
const OURS: [&str; 4] = ["cobox_seeder", "cobox_proto", "cobox_store", "cobox_net"];

/// What the words of `log` and `COBOX_LOG` mean.
pub(crate) fn filter(words: &str) -> Result<EnvFilter, ParseError> {
    cobox_log::filter(words, &OURS)
}
