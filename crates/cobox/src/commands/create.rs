//! `create`.

use std::path::PathBuf;

use clap::ValueEnum;
use cobox_daemon::api::dto::{CreateRequest, FolderReply, Profile};

use super::folder_line;
use crate::error::Failure;
use crate::{Context, place};

/// Make a directory a folder that you can share; what is in it stays and is adopted
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory; made if it does not exist
    path: PathBuf,
    /// What to call it on this device, otherwise the directory's name
    #[arg(long)]
    name: Option<String>,
    /// How files are cut before they are encrypted
    #[arg(long, value_enum, default_value = "cdc")]
    profile: Cut,
}

/// The profiles as typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Cut {
    /// where the content says: small changes to large files stay small
    Cdc,
    /// all pieces alike: sizes tell a seeder less
    Uniform,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let profile = match self.profile {
            Cut::Cdc => Profile::Cdc,
            Cut::Uniform => Profile::Uniform,
        };
        let request = CreateRequest { path: place::absolute(&self.path)?, name: self.name, profile };
        let reply: FolderReply = context.client()?.post("folders", &request)?;
        context.out.data(&reply, |reply| folder_line(reply, "a folder now", "is a folder already"))
    }
}
