//! `conflicts`: files with more than one version.

use clap::Subcommand;
use cobox_daemon::api::dto::{Conflicts, Differences, SettleRequest, Settled};

use crate::client::part;
use crate::error::Failure;
use crate::text::{clean, clean_lines};
use crate::units::{count, show_bytes};
use crate::{Context, place};

/// Files that two people changed at the same time
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List a folder's files with more than one version; all versions are kept
    List {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
    },
    /// Show in what the versions of a text differ
    Compare {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// The file, as the list shows it
        path: String,
    },
    /// End a conflict: keep one version under the name, or make each a file of its own
    Settle {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// The file, as the list shows it
        path: String,
        /// The id of the version to keep, as the list shows it, or "both"; the others stay in the history
        #[arg(long, value_name = "VERSION|both")]
        keep: String,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.what {
            What::List { folder } => {
                let folder = part(&place::folder(&folder)?);
                let conflicts: Conflicts = client.get(&format!("folders/{folder}/conflicts"))?;
                if conflicts.conflicts.is_empty() {
                    context.out.note("no conflicts");
                }
                context.out.data(&conflicts, show)
            }
            What::Compare { folder, path } => {
                let (folder, path) = (part(&place::folder(&folder)?), part(&path));
                let found: Differences = client.get(&format!("folders/{folder}/conflicts/differences?path={path}"))?;
                context.out.data(&found, show_differences)
            }
            What::Settle { folder, path, keep } => {
                let address = format!("folders/{}/conflicts/settle", part(&place::folder(&folder)?));
                let settled: Settled = client.post(&address, &SettleRequest { path, keep })?;
                context.out.data(&settled, show_settled)
            }
        }
    }
}

fn show(conflicts: &Conflicts) -> String {
    let mut text = String::new();
    for conflict in &conflicts.conflicts {
        text.push_str(&format!("{}\n", clean(&conflict.path)));
        for v in &conflict.versions {
            let at = v.at.map(|at| format!(", {at}")).unwrap_or_default();
            let (by, device, path) = (clean(&v.by), clean(&v.device), clean(&v.path));
            text.push_str(&format!("  {}  {by} on {device}{at}, {}: {path}\n", clean(&v.id), show_bytes(v.size_bytes)));
        }
    }
    text
}

fn show_differences(found: &Differences) -> String {
    let one = |difference: &cobox_daemon::api::dto::Difference| {
        let text = difference.text.as_deref().unwrap_or("no text, too long to compare, or not on this device\n");
        format!("{}:\n{}", clean(&difference.version), clean_lines(text))
    };
    found.differences.iter().map(one).collect()
}

fn show_settled(settled: &Settled) -> String {
    let versions = count(settled.versions, "version");
    match settled.kept.as_str() {
        "both" => format!("{}: each of {versions} is a file of its own now", clean(&settled.path)),
        kept => format!("{}: version {} is kept, of {versions}", clean(&settled.path), clean(kept)),
    }
}
