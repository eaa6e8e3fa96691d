//! `join`.

use std::path::PathBuf;

use cobox_daemon::api::dto::{FolderReply, JoinRequest};
use cobox_daemon::is_open_code;

use super::folder_line;
use crate::error::Failure;
use crate::{Context, place, prompt};

/// Join a folder with an invite code
///
/// Comes back when somebody has let you in and the folder's list of files is known; the files follow.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The invite code; `-` reads it from standard input, and it is asked for when left out
    code: Option<String>,
    /// Where to put the folder; files that are there are kept and merged. Otherwise cobox/NAME in your home directory
    path: Option<PathBuf>,
    /// How many seconds to look for somebody who lets you in
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let code = match self.code.as_deref() {
            Some("-") => prompt::stdin()?.to_string(),
            Some(code) => {
                if is_open_code(code) {
                    context.out.note(
                        "whoever has this code may join, and others on this computer may have seen you type it; `cobox join -` reads \
                         it from standard input",
                    );
                }
                code.to_owned()
            }
            None => prompt::line("Invite code: ", "the code, or `-` to read it from standard input")?,
        };
        let path = self.path.as_deref().map(place::absolute).transpose()?;
        let progress = context.out.progress();
        progress.say("looking for somebody who lets us in");
        let reply: FolderReply = client.post("join", &JoinRequest { code, path, timeout_ms: self.timeout * 1000 })?;
        drop(progress);
        context.out.data(&reply, |reply| folder_line(reply, "joined", "you have this folder already"))
    }
}
