//! `conflicts`: files with more than one version.

use clap::Subcommand;
use cobox_daemon::api::dto::Conflicts;

use crate::client::part;
use crate::error::Failure;
use crate::text::clean;
use crate::units::show_bytes;
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
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let What::List { folder } = self.what;
        let folder = part(&place::folder(&folder)?);
        let conflicts: Conflicts = context.client()?.get(&format!("folders/{folder}/conflicts"))?;
        if conflicts.conflicts.is_empty() {
            context.out.note("no conflicts");
        }
        context.out.data(&conflicts, show)
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
