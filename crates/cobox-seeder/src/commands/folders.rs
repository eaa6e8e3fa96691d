//! `folders`.

use cobox_seeder::dto::{FolderRow, Folders};

use super::{label, now, short, state};
use crate::Context;
use crate::output::{Failure, table};
use crate::units::{show_ago, show_bytes};

/// List the folders kept here
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let folders: Folders = context.client()?.get("folders")?;
        context.out.data(&folders, show)?;
        if folders.folders.is_empty() {
            context.out.note("no folders yet; `cobox-seeder offer --space 50GB` prints an offer for one");
        }
        Ok(())
    }
}

fn show(folders: &Folders) -> String {
    let now = now();
    let row = |row: &FolderRow| {
        let seen = match row.last_seen {
            _ if row.connected > 0 => "now".into(),
            Some(at) => show_ago(at, now),
            None => "never".into(),
        };
        let used = format!("{} of {}", show_bytes(row.used_bytes), show_bytes(row.quota_bytes));
        vec![short(&row.id).into(), label(row), state(row).into(), used, seen]
    };
    let rows: Vec<Vec<String>> = folders.folders.iter().map(row).collect();
    table(&["ID", "FOR", "STATE", "USED", "LAST SEEN"], &rows)
}
