//! `cobox`, the command line of a member: it parses, asks the running service over its local API, prints, and ends with an exit code.
//! Only `up` does more: it is the service.
//!
//! The doc comments of the arguments are the help texts.

mod client;
mod commands;
mod error;
mod interrupt;
mod output;
mod place;
mod prompt;
mod text;
mod units;
mod waiting;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser};
use cobox_daemon::Home;
use cobox_daemon::api::Exit;

use client::Client;
use commands::Verb;
use error::Failure;
use output::{Output, say};

/// Folders that stay in step between the people who share them, with encrypted backups that nobody else can read.
///
/// Start with `cobox up --name YOUR-NAME`, then `cobox create PATH` makes a folder, `cobox invite` lets others in and `cobox backup add`
/// places an encrypted copy with a seeder.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a check found a problem, 4 cobox is not running, 5 refused or held, 6 not found,
/// 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "cobox", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Before or after the verb.
#[derive(Debug, Clone, Args)]
struct Global {
    /// Use this state directory instead of COBOX_HOME or the usual one
    #[arg(long, global = true, value_name = "DIR", display_order = 900)]
    home: Option<PathBuf>,
    /// Print JSON, for scripts
    #[arg(long, global = true, display_order = 901)]
    json: bool,
    /// Print results only
    #[arg(long, short, global = true, display_order = 902)]
    quiet: bool,
    /// Do not ask, do it
    #[arg(long, short, global = true, display_order = 903)]
    yes: bool,
}

/// What every command gets.
struct Context {
    global: Global,
    out: Output,
}

impl Context {
    fn home(&self) -> Result<Home, Failure> {
        Ok(Home::resolve(self.global.home.as_deref(), |name| std::env::var_os(name))?)
    }

    /// The running service.
    fn client(&self) -> Result<Client, Failure> {
        Client::connect(&self.home()?)
    }

    /// Whether nothing is asked, since everything was said to be right beforehand.
    fn is_unasked(&self) -> bool {
        self.global.yes || self.global.json
    }

    /// The service refused because it would have been the last whole copy: asks once more, where somebody can be asked. Else, and with
    /// `--yes` and `--json`, which do not stand for this, it stays refused.
    fn confirm_last_copy(&self, refused: Failure) -> Result<bool, Failure> {
        let Failure::Said { body, .. } = &refused else { return Err(refused) };
        if !refused.is_last_copy() || self.is_unasked() || !prompt::can_ask() {
            return Err(refused);
        }
        say(&format!("{}\n", text::clean_lines(&body.message)));
        prompt::yes("Go on, with the last copy?")
    }

    /// Before something is destroyed or somebody is sent away: shows what would happen and asks, unless told not to.
    fn confirm(&self, preview: &str) -> Result<bool, Failure> {
        if self.is_unasked() {
            return Ok(true);
        }
        say(&format!("{}\n", text::clean_lines(preview)));
        prompt::yes("Go on?")
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse_usage(&error, arguments.iter().any(|a| a == "--json")),
    };
    let out = Output { json: cli.global.json, quiet: cli.global.quiet };
    if !cli.verb.minds_interrupts() {
        interrupt::watch(out);
    }
    match cli.verb.run(&Context { global: cli.global, out }) {
        Ok(()) | Err(Failure::NobodyReads) => ExitCode::SUCCESS,
        Err(failure) => {
            out.failure(&failure);
            match failure {
                Failure::Said { exit, .. } => ExitCode::from(exit as u8),
                Failure::NobodyReads => ExitCode::SUCCESS,
            }
        }
    }
}

/// Help and version are no errors; anything else is wrong usage, in the form that was asked for.
fn refuse_usage(error: &clap::Error, json: bool) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _nobody_reads = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    if json {
        let message = text.strip_prefix("error: ").unwrap_or(&text);
        let message = message.split("\n\n").next().unwrap_or(message).split_whitespace().collect::<Vec<_>>().join(" ");
        Output { json, quiet: false }.failure(&Failure::usage(message, "see `cobox --help`"));
    } else {
        say(&text::clean_lines(&text));
    }
    ExitCode::from(Exit::Usage as u8)
}
