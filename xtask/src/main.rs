//! cobox's own automation: `cargo xtask COMMAND`. Everything CI does is here, so that it can be run at home.

mod api;
mod bench;
mod campaign;
mod check;
mod licences;
mod run;
mod tidy;
mod up;
mod web;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask COMMAND

  up        build everything, the web page too, and start cobox on this computer
  web       builds the web page, which cobox then carries; needs Node.js; web browser tries it in Chromium
  check     every check and test, as CI runs them; with --tests the tests alone
  api       asks a running service all that its document allows, and more; needs Python and Linux, takes minutes
  tidy      the house rules alone: borders, module heads, names, the lock file's size
  bench     timings beside rsync, Syncthing and restic, memory, and how both grow; bench alone says what there is
  sim       the simulator: sim run --seed N --verbose tells the story of one seed
  campaign  the storms, for as long as wanted: campaign KIND --minutes M; each adds a row to docs/campaigns.md";

fn main() -> ExitCode {
    if let Some(compiled) = campaign::fuzz::wrapped() {
        return compiled;
    }
    match asked() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn asked() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["up", rest @ ..] => up::up(rest),
        ["web"] => web::web(),
        ["web", "browser"] => web::browser(),
        ["check"] => check::check(),
        ["check", "--tests"] => check::tests(),
        ["check", "--ahead"] => {
            check::build_ahead();
            Ok(())
        }
        ["api"] => api::api(),
        ["tidy"] => tidy::tidy(),
        ["bench", rest @ ..] => bench::bench(rest),
        ["sim", rest @ ..] => campaign::sim::sim(rest),
        ["campaign", rest @ ..] => campaign::campaign(rest),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        [other, ..] => bail!("no command {other:?}\n\n{HELP}"),
    }
}
