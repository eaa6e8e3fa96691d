//! `quarantine`: what people wrote who were sent away, as far as nobody had seen it before.

use clap::Subcommand;
use cobox_daemon::api::dto::{HeldAside, Quarantine, QuarantineRequest, Time};

use crate::client::{Client, part};
use crate::error::Failure;
use crate::text::{clean, table};
use crate::units::{count, show_ago};
use crate::{Context, place};

/// Changes of people who were sent away, which wait for your word
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what is held aside
    List {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
    },
    /// Take it into the folder after all, for everybody
    Adopt {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// One of them, otherwise all of the folder
        id: Option<String>,
    },
    /// Put it out of sight on this device; seeders keep it for 90 days
    Discard {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// One of them, otherwise all of the folder
        id: Option<String>,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.what {
            What::List { folder } => {
                let held: Quarantine = client.get(&format!("folders/{}/quarantine", part(&place::folder(&folder)?)))?;
                if held.held_aside.is_empty() {
                    context.out.note("nothing is held aside");
                }
                context.out.data(&held, show)
            }
            What::Adopt { folder, id } => settle(context, &client, &folder, id, "adopt", "taken into the folder"),
            What::Discard { folder, id } => settle(context, &client, &folder, id, "discard", "put out of sight"),
        }
    }
}

fn settle(
    context: &Context,
    client: &Client,
    folder: &str,
    id: Option<String>,
    verb: &str,
    did: &str,
) -> Result<(), Failure> {
    let address = format!("folders/{}/quarantine/{verb}", part(&place::folder(folder)?));
    let settled: Quarantine = client.post(&address, &QuarantineRequest { id })?;
    context.out.data(&settled, |settled| {
        let changes = settled.held_aside.iter().map(|held| held.changes).sum();
        format!("{} {did}", count(changes, "change"))
    })
}

fn show(held: &Quarantine) -> String {
    let now = Time::now();
    let row = |held: &HeldAside| {
        let at = held.at.map_or_else(|| "unknown".into(), |at| show_ago(at, now));
        vec![clean(&held.id), clean(&held.by), clean(&held.device), at, held.changes.to_string()]
    };
    let rows: Vec<Vec<String>> = held.held_aside.iter().map(row).collect();
    table(&["ID", "BY", "DEVICE", "WRITTEN", "CHANGES"], &rows)
}
