//! `missing`: files that are not on this device.

use clap::Subcommand;
use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::{MissingFile, MissingFiles, MissingRequest};

use crate::client::{Client, part};
use crate::error::Failure;
use crate::text::clean;
use crate::units::{count, show_bytes};
use crate::{Context, place};

/// Files of a folder that are not on this device, and giving one up
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List them, with who wrote them and why they are not here
    List {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
    },
    /// Give one up: it is deleted for everybody
    Drop {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// The file, as `missing list` names it
        path: String,
        /// Only show what would happen
        #[arg(long)]
        dry_run: bool,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.what {
            What::List { folder } => {
                let missing = list(&client, &folder)?;
                if missing.missing.is_empty() {
                    context.out.note("nothing is missing");
                }
                context.out.data(&missing, show)
            }
            What::Drop { folder, path, dry_run } => give_up(context, &client, &folder, path, dry_run),
        }
    }
}

fn give_up(context: &Context, client: &Client, folder: &str, path: String, dry_run: bool) -> Result<(), Failure> {
    let mut missing = list(client, folder)?;
    // Of many not all are named: whether it is missing is then for the service to say.
    if missing.more == 0 && !missing.missing.iter().any(|file| file.path == path) {
        let hint = "`cobox missing list FOLDER` shows what is missing";
        return Err(Failure::new(ErrorCode::FileNotFound, format!("no file is missing at \"{}\"", clean(&path)), hint));
    }
    missing.missing.retain(|file| file.path == path);
    missing.more = 0;
    if dry_run {
        return context.out.data(&missing, show);
    }
    let question = format!(
        "This file is deleted for everybody. Whoever still has it finds their copy set aside, in .cobox/keep of the folder:\n{}",
        show(&missing)
    );
    if !context.confirm(&question)? {
        context.out.note("nothing was done");
        return Ok(());
    }
    let address = format!("folders/{}/missing/drop", part(&place::folder(folder)?));
    let dropped: MissingFiles = client.post(&address, &MissingRequest { path: path.clone() })?;
    context.out.data(&dropped, |_| format!("{} is given up", clean(&path)))
}

fn list(client: &Client, folder: &str) -> Result<MissingFiles, Failure> {
    client.get(&format!("folders/{}/missing", part(&place::folder(folder)?)))
}

fn show(missing: &MissingFiles) -> String {
    let mut text: String = missing.missing.iter().map(show_file).collect();
    if missing.more > 0 {
        text.push_str(&format!("and {}\n", count(missing.more, "file")));
    }
    text
}

fn show_file(file: &MissingFile) -> String {
    let at = file.at.map(|at| format!(", {at}")).unwrap_or_default();
    format!(
        "{}  {}, by {} on {}{at}\n  {}\n",
        clean(&file.path),
        show_bytes(file.size_bytes),
        clean(&file.by),
        clean(&file.device),
        clean(&file.why)
    )
}
