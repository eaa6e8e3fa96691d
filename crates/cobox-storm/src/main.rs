//! `cobox-storm`: one storm after another, from the command line. The campaigns run it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use cobox_storm::{KillStorm, PowerStorm, Programs, Tally, Weather, Wire};
use serde_json::json;

/// Real cobox processes in bad weather
#[derive(Debug, Parser)]
struct Storm {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Services are killed at any moment
    Kill(Options),
    /// The power of a machine's disk is cut at any moment
    Power(Options),
    /// Two machines with a bad line between them, until the input ends: says how to run programs there, then what passed
    Line(LineOptions),
}

#[derive(Debug, Args)]
struct LineOptions {
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Bytes a second that fit through, each way
    #[arg(long)]
    bytes_per_s: u64,
    /// How long a packet is on its way
    #[arg(long)]
    delay_ms: u64,
    /// Of a thousand packets so many are lost
    #[arg(long)]
    loss: u16,
}

#[derive(Debug, Args)]
struct Options {
    /// The first world's seed; the next world has the next
    #[arg(long)]
    seed: Option<u64>,
    /// Stop after so many faults
    #[arg(long)]
    faults: Option<usize>,
    /// Begin no world after so many minutes
    #[arg(long)]
    minutes: Option<f64>,
    /// Faults in one world
    #[arg(long, default_value_t = 100)]
    world: usize,
    /// Where cobox and cobox-seeder are; else beside this program
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Members in each world; else 2 or 3
    #[arg(long)]
    members: Option<usize>,
    /// A service is halted for so many seconds at most
    #[arg(long, default_value_t = 3)]
    halt_s: u64,
    /// Where worlds are built; else a temporary directory. A world that failed stays
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let ran = match Storm::parse().kind {
        Kind::Kill(options) => options.run(one_kill_storm),
        Kind::Power(options) => options.run(one_power_storm),
        Kind::Line(options) => options.run().map(|()| 0),
    };
    match ran {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

impl LineOptions {
    fn run(&self) -> Result<()> {
        let wire = Wire::new(2, self.seed)?;
        let delay = Duration::from_millis(self.delay_ms);
        wire.everywhere(Weather { loss: self.loss, delay, ..Weather::rate(self.bytes_per_s) });
        let machine = |n| json!({ "prefix": wire.prefix(n), "address": wire.v4(n) });
        println!("{}", json!({ "machines": [machine(0), machine(1)] }));
        io::stdout().flush()?;
        io::copy(&mut io::stdin(), &mut io::sink())?;
        let ways = [wire.passed(0, 1), wire.passed(1, 0)];
        let [sent, bytes, dropped] = [
            ways.iter().map(|way| way.sent).sum::<u64>(),
            ways.iter().map(|way| way.sent_bytes).sum(),
            ways.iter().map(|way| way.dropped).sum(),
        ];
        println!("{}", json!({ "sent": sent, "sent_bytes": bytes, "dropped": dropped }));
        Ok(())
    }
}

impl Options {
    /// How many worlds failed.
    fn run(&self, kind: One) -> Result<usize> {
        let beside = std::env::current_exe()?.parent().context("a program lies in a directory")?.to_path_buf();
        let programs = self.programs.clone().unwrap_or(beside);
        let programs = Programs { cobox: programs.join("cobox"), seeder: programs.join("cobox-seeder") };
        let seed = self.seed.unwrap_or_else(|| {
            std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs() % 1_000_000 * 1000)
        });
        let begun = Instant::now();
        let enough = |faults: usize| {
            self.faults.is_some_and(|most| faults >= most)
                || self.minutes.is_some_and(|most| begun.elapsed().as_secs_f64() >= most * 60.0)
        };
        let (mut all, mut failed, mut worlds) = (Tally::default(), Vec::new(), 0_u64);
        loop {
            let world = seed + worlds;
            let left = self.faults.map_or(self.world, |most| most.saturating_sub(all.faults).min(self.world));
            match one(kind, self, &programs, world, left) {
                Ok(tally) => {
                    println!("seed {world}: {tally:?}");
                    all.faults += tally.faults;
                    all.early += tally.early;
                    all.halts += tally.halts;
                    all.deeds += tally.deeds;
                    all.rests += tally.rests;
                    all.returned += tally.returned;
                    all.asked += tally.asked;
                    if tally.returned > 0 {
                        println!("seed {world} FAILED: o4: {} files came back", tally.returned);
                        failed.push(world);
                    }
                }
                Err(error) => {
                    println!("seed {world} FAILED: {error:#}");
                    failed.push(world);
                    all.faults += left;
                }
            }
            worlds += 1;
            if enough(all.faults) || (self.faults, self.minutes) == (None, None) {
                break;
            }
        }
        let told = json!({
            "first_seed": seed, "worlds": worlds, "faults": all.faults, "early": all.early, "halts": all.halts,
            "deeds": all.deeds, "rests": all.rests, "returned": all.returned, "asked": all.asked, "failed_seeds": failed, "seconds": begun.elapsed().as_secs(),
        });
        println!("{told}");
        Ok(failed.len())
    }
}

/// One world of a kind of storm: in this directory, with this seed and so many faults.
type One = fn(&Options, &Programs, &Path, u64, usize) -> Result<Tally>;

/// One world. It is left where it is if it failed.
fn one(kind: One, options: &Options, programs: &Programs, seed: u64, faults: usize) -> Result<Tally> {
    let mut dir = match &options.dir {
        Some(dir) => tempfile::Builder::new().prefix("storm").tempdir_in(dir)?,
        None => tempfile::Builder::new().prefix("storm").tempdir()?,
    };
    let ended = kind(options, programs, dir.path(), seed, faults);
    if ended.is_err() {
        dir.disable_cleanup(true);
    }
    ended.with_context(|| format!("the world is in {}", dir.path().display()))
}

fn members(options: &Options, seed: u64) -> usize {
    options.members.unwrap_or(2 + (seed % 2) as usize)
}

fn one_kill_storm(options: &Options, programs: &Programs, dir: &Path, seed: u64, faults: usize) -> Result<Tally> {
    let halt_max = Duration::from_secs(options.halt_s);
    KillStorm { seed, kills: faults, members: members(options, seed), seeders: 1, halt_max, programs, dir }.run()
}

fn one_power_storm(options: &Options, programs: &Programs, dir: &Path, seed: u64, faults: usize) -> Result<Tally> {
    PowerStorm { seed, cuts: faults, members: members(options, seed), programs, dir }.run()
}
