//! `folders`.

use cobox_daemon::api::dto::Folders;

use super::status::state;
use crate::Context;
use crate::error::Failure;
use crate::text::{clean, table};
use crate::units::show_bytes;

/// List your folders
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let folders: Folders = context.client()?.get("folders")?;
        context.out.data(&folders, show)?;
        if folders.folders.is_empty() {
            context.out.note("no folders yet; make one with `cobox create PATH`, or `cobox join CODE`");
        }
        Ok(())
    }
}

fn show(folders: &Folders) -> String {
    let row = |f: &cobox_daemon::api::dto::FolderRow| {
        let id = f.id.get(..8).unwrap_or(&f.id);
        vec![clean(&f.name), state(f.state).into(), f.files.to_string(), show_bytes(f.bytes), clean(id), clean(&f.path)]
    };
    let rows: Vec<Vec<String>> = folders.folders.iter().map(row).collect();
    table(&["FOLDER", "STATE", "FILES", "SIZE", "ID", "PATH"], &rows)
}
