//! `join`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::{FolderName, Folders, JoinReply, JoinRequest, Joining, JoiningState, JoiningStatus};
use cobox_daemon::is_open_code;

use crate::client::Client;
use crate::error::Failure;
use crate::text::clean;
use crate::{Context, place, prompt, waiting};

/// Join a folder with an invite code, or with a number and three words
///
/// Words like 7-apple-river-moon are said by somebody who waits for you: they are good for one try, and only now.
///
/// Comes back when somebody has let you in and the folder's list of files is known; the files follow. Where an owner or admin has to
/// approve first, it shows six words to compare with them and waits a while; cobox goes on asking by itself after that.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The invite code, or a number and three words; `-` reads it from standard input, and it is asked for when left out
    code: Option<String>,
    /// Where to put the folder; files that are there are kept and merged. Otherwise cobox/NAME in your home directory
    path: Option<PathBuf>,
    /// For words: where to say them, as whoever invites you is shown. Otherwise they are said to everybody in the local network and to all
    /// seeders you know, in a way that tells nobody what they are
    #[arg(long, value_name = "TICKET")]
    via: Option<String>,
    /// How many seconds to look for somebody who lets us in, and to wait for approval
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
        let until = Instant::now().checked_add(Duration::from_secs(self.timeout));
        let progress = context.out.progress();
        progress.say("looking for somebody who lets us in");
        let request = JoinRequest { code, via: self.via, path, timeout_ms: self.timeout * 1000 };
        let reply: JoinReply = client.post("join", &request)?;
        drop(progress);
        let reply = match &reply.waiting {
            Some(waiting) => {
                context.out.note(&asks(waiting));
                wait(context, &client, waiting, until)?
            }
            None => reply,
        };
        context.out.data(&reply, show)
    }
}

/// Waits until it is decided or the time is over.
fn wait(
    context: &Context,
    client: &Client,
    asked: &JoiningStatus,
    until: Option<Instant>,
) -> Result<JoinReply, Failure> {
    let progress = context.out.progress();
    progress.say("waiting until an owner or admin lets us in");
    waiting::until(|| {
        let joining: Joining = client.get("joins")?;
        match joining.joins.into_iter().find(|join| join.folder == asked.folder) {
            // It is let in, or was withdrawn elsewhere.
            None => {
                let all: Folders = client.get("folders")?;
                let found = all.folders.into_iter().find(|row| row.id == asked.folder);
                let Some(row) = found else {
                    return Err(Failure::new(
                        ErrorCode::JoinNotFound,
                        "it is not asked any more",
                        "join again with the code",
                    ));
                };
                let folder = FolderName { id: row.id, name: row.name, path: row.path };
                Ok(Some(JoinReply { folder, already: false, waiting: None }))
            }
            Some(join) if join.state != JoiningState::Waiting => Err(over(join.state)),
            Some(join) if until.is_some_and(|until| Instant::now() >= until) => {
                let path = join.path.clone().unwrap_or_default();
                let folder = FolderName { id: join.folder.clone(), name: join.name.clone(), path };
                Ok(Some(JoinReply { folder, already: false, waiting: Some(join) }))
            }
            Some(_) => Ok(None),
        }
    })
}

fn over(state: JoiningState) -> Failure {
    let why = match state {
        JoiningState::Expired => "nobody let you in before the invite's time was over",
        _ => "you were not let in: the invite was refused, cancelled, or used by somebody else",
    };
    Failure::new(ErrorCode::Refused, why, "ask whoever invited you for a new code")
}

fn asks(waiting: &JoiningStatus) -> String {
    format!(
        "an owner or admin of the folder has to let you in. Your six words:\n\n    {}\n\nRead them to who invited you, best by telephone: \
         if other words stand on their screen, somebody else uses your code.",
        clean(&waiting.words)
    )
}

fn show(reply: &JoinReply) -> String {
    let (name, path) = (clean(&reply.folder.name), clean(&reply.folder.path));
    match &reply.waiting {
        Some(waiting) => format!(
            "{name}: waits until an owner or admin lets you in, by {}; your words: {}. It is asked on by itself: `cobox joins mine`",
            waiting.expires_at,
            clean(&waiting.words)
        ),
        None if reply.already => format!("{name}: you have this folder already ({path})"),
        None => format!("{name}: joined ({path})"),
    }
}
