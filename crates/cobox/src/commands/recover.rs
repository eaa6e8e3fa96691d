//! `recover`: everything back from twelve words and a seeder.

use std::fs::File;
use std::path::{Path, PathBuf};

use cobox_daemon::api::dto::{FoundState, RecoverRequest, Recovered, Secret, Time};
use rustix::fs::fstat;
use zeroize::Zeroizing;

use crate::commands::status;
use crate::error::Failure;
use crate::text::clean;
use crate::units::show_ago;
use crate::{Context, place, prompt};

/// Bring back your identity and folders on a new device
///
/// Needs your twelve recovery words and the ticket of at least one seeder that keeps a copy. The new device must run (`cobox up`) and have
/// no folders yet.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read the words from this file, which only you can read; `-` is standard input. Otherwise they are asked for
    #[arg(long, value_name = "FILE")]
    words_file: Option<PathBuf>,
    /// The ticket of a seeder; may be given several times
    #[arg(long, value_name = "TICKET")]
    seeder: Vec<String>,
    /// Put the folders here, otherwise into cobox in your home directory
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Stay until the files are here too, and show how far they are and how long the rest takes
    #[arg(long)]
    wait: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let to = self.to.as_deref().map(place::absolute).transpose()?;
        let words = Secret(words(self.words_file.as_deref())?);
        let seeders = if self.seeder.is_empty() {
            vec![prompt::line("Ticket of a seeder: ", "--seeder TICKET")?]
        } else {
            self.seeder
        };
        let progress = context.out.progress();
        progress.say("asking the seeders");
        let recovered: Recovered = client.post("recovery/recover", &RecoverRequest { words, seeders, to })?;
        drop(progress);
        context.out.data(&recovered, show)?;
        for found in &recovered.found {
            context.out.note(&told(found, Time::now()));
        }
        for warning in &recovered.warnings {
            context.out.note(&clean(warning));
        }
        if self.wait {
            // An interruption ends the waiting alone.
            status::wait(context, &client, None, None)?;
            context.out.note("all files are here");
        }
        Ok(())
    }
}

fn words(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    match file {
        None => {
            prompt::secret("Your twelve recovery words: ", "--words-file FILE, or `--words-file -` for standard input")
        }
        Some(path) if path == Path::new("-") => prompt::stdin(),
        Some(path) => {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|error| Failure::io(&format!("{name} can not be read"), &error))?;
            if fstat(&file).is_ok_and(|stat| stat.st_mode & 0o077 != 0) {
                return Err(Failure::usage(
                    format!("others can read the words in {name}"),
                    format!("`chmod 600 {name}` first"),
                ));
            }
            prompt::read_text(file, &name)
        }
    }
}

fn show(recovered: &Recovered) -> String {
    let mut text = format!("{} is back, with {} folders\n", clean(&recovered.name), recovered.folders.len());
    for folder in &recovered.folders {
        text.push_str(&format!("  {} in {}\n", clean(&folder.name), clean(&folder.path)));
    }
    if !recovered.folders.is_empty() {
        text.push_str(
            "Their files follow; `cobox status` says how far they are and how long they will take, and they go on coming after any interruption.\n",
        );
    }
    text
}

fn told(found: &FoundState, now: Time) -> String {
    let made = found.head_at.map_or_else(|| "of unknown age".into(), |at| format!("made {}", show_ago(at, now)));
    let taken = if found.taken { "taken" } else { "not taken" };
    let vouched = match found.vouched_by {
        0 => "nobody else vouched for it".into(),
        n => format!("{n} others vouched for it"),
    };
    let (folder, seeder, by) = (clean(&found.folder), clean(&found.seeder), clean(&found.signed_by));
    format!("{folder}: the state at {seeder} was {made}, signed by {by}; {vouched}; {taken}")
}
