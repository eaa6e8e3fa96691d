//! `cobox-sim run --seed N`: tells the story of one seed; `cobox-sim campaign --from N --count M`: looks for seeds that fail.

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use cobox_sim::{Cast, Options, run};

#[derive(Debug, Parser)]
#[command(about = "A deterministic world of cobox members from one seed")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One seed.
    Run {
        /// Which.
        #[arg(long)]
        seed: u64,
        /// Things that happen in each storm.
        #[arg(long, default_value_t = Options::default().storm_steps)]
        steps: usize,
        /// Tell the story.
        #[arg(long)]
        verbose: bool,
        /// Tell where contents are that have this text in them.
        #[arg(long)]
        follow: Option<String>,
    },
    /// Many seeds; prints those that fail.
    Campaign {
        /// The first.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 1000)]
        count: u64,
        /// Things that happen in each storm.
        #[arg(long, default_value_t = Options::default().storm_steps)]
        steps: usize,
    },
}

fn main() -> Result<()> {
    let cast = Cast::gather()?;
    match Args::parse().verb {
        Verb::Run { seed, steps, verbose, follow } => {
            let report = run(&cast, seed, &Options { storm_steps: steps, verbose, follow, ..Options::default() });
            println!("seed {seed}: {} contents, {} heads", report.contents, report.heads);
            if let Some(why) = report.failure {
                bail!("seed {seed}: {why}");
            }
        }
        Verb::Campaign { from, count, steps } => {
            let (mut failed, mut contents) = (0, 0);
            for seed in from..from + count {
                let report = run(&cast, seed, &Options { storm_steps: steps, ..Options::default() });
                contents += report.contents;
                if let Some(why) = report.failure {
                    failed += 1;
                    println!("{seed} {}", why.lines().next().unwrap_or_default());
                }
            }
            println!("{count} seeds, {contents} contents, {failed} failed");
            if failed > 0 {
                bail!("{failed} seeds failed");
            }
        }
    }
    Ok(())
}
