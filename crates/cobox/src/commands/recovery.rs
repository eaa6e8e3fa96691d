//! `recovery kit`: what brings everything back after a loss.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use cobox_daemon::api::dto::RecoveryKit;
use rustix::fs::{FileType, fstat};
use serde::Serialize;

use crate::Context;
use crate::error::Failure;
use crate::text::clean;

/// Prepare for the loss of this device
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print your twelve recovery words and where your backups lie
    ///
    /// Whoever has the words has everything you have: write them down on paper and keep them where you keep what is dear to you.
    Kit {
        /// Write it into this new file, which only you can read, instead of the screen
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

/// `recovery kit --to --json`.
#[derive(Debug, Serialize)]
struct Written {
    written_to: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let What::Kit { to } = self.what;
        if to.is_none() {
            refuse_readable_file()?;
        }
        let kit: RecoveryKit = context.client()?.post("recovery/kit", &())?;
        match to {
            None => context.out.data(&kit, show),
            Some(path) => {
                write(&path, &if context.out.json { json(&kit) } else { show(&kit) })?;
                let written = Written { written_to: path.display().to_string() };
                context.out.data(&written, |written| format!("written to {}", clean(&written.written_to)))
            }
        }
    }
}

/// A secret goes to a terminal, a pipe, or a file nobody else can read.
fn refuse_readable_file() -> Result<(), Failure> {
    let Ok(stat) = fstat(io::stdout()) else { return Ok(()) };
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_mode & 0o077 != 0 {
        return Err(Failure::usage(
            "others could read the file this would be written to",
            "use --to FILE, or `chmod 600` it first",
        ));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::io(&format!("{} can not be written", path.display()), &error))
}

fn json(kit: &RecoveryKit) -> String {
    serde_json::to_string(kit).expect("our own shape has text keys")
}

fn show(kit: &RecoveryKit) -> String {
    let mut text = String::from("Your recovery words. Write them down; whoever has them has everything you have.\n\n");
    for (n, word) in kit.words.0.split_whitespace().enumerate() {
        text.push_str(&format!("  {:>2}. {word}\n", n + 1));
    }
    text.push_str("\nSeeders that keep your encrypted copies (tickets, no secret):\n");
    if kit.seeders.is_empty() {
        text.push_str("  none yet: without a backup the words bring nothing back, see `cobox backup add`\n");
    }
    for ticket in &kit.seeders {
        text.push_str(&format!("  {ticket}\n"));
    }
    text + "\nAfter a loss: `cobox up` on a new device, then `cobox recover`.\n"
}
