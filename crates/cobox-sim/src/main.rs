//! `cobox-sim run --seed N`: tells the story of one seed; `cobox-sim campaign --from N --count M`: looks for seeds that fail, on all
//! cores, and for the shortest storm in which each still does.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::Result;
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
    Campaign(Campaign),
}

#[derive(Debug, Parser)]
struct Campaign {
    /// The first.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Stop after so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Things that happen in each storm.
    #[arg(long, default_value_t = Options::default().storm_steps)]
    steps: usize,
    /// How many at once; as many as there are cores if it is not said.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> Result<ExitCode> {
    let cast = Cast::gather()?;
    let failed = match Args::parse().verb {
        Verb::Run { seed, steps, verbose, follow } => {
            let report = run(&cast, seed, &Options { storm_steps: steps, verbose, follow, ..Options::default() });
            println!("seed {seed}: {} contents, {} heads", report.contents, report.heads);
            report.failure.map(|why| println!("{why}")).is_some()
        }
        Verb::Campaign(campaign) => go_through(&cast, &campaign) > 0,
    };
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// How many seeds failed.
fn go_through(cast: &Cast, campaign: &Campaign) -> u64 {
    let begun = Instant::now();
    let until = campaign.minutes.map(|minutes| begun + Duration::from_secs(60 * minutes));
    let [next, tried, contents, failed] = [campaign.from, 0, 0, 0].map(AtomicU64::new);
    let add = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
    let work = || {
        while until.is_none_or(|until| Instant::now() < until) {
            let seed = add(&next, 1);
            if seed >= campaign.from.saturating_add(campaign.count) {
                return;
            }
            let report = run(cast, seed, &Options { storm_steps: campaign.steps, ..Options::default() });
            add(&tried, 1);
            add(&contents, report.contents);
            if let Some(why) = report.failure {
                add(&failed, 1);
                let steps = shortest(cast, seed, campaign.steps);
                println!("{seed} (--steps {steps}) {}", why.lines().next().unwrap_or_default());
            }
        }
    };
    let threads = campaign.threads.or(available_parallelism().ok().map(Into::into)).unwrap_or(1);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let [tried, contents, failed] = [tried, contents, failed].map(AtomicU64::into_inner);
    let seconds = begun.elapsed().as_secs_f64();
    println!("{tried} seeds, {contents} contents, {failed} failed, {seconds:.0} s on {threads} threads");
    failed
}

/// The shortest storm found in which this seed still fails: a shorter story is a better one to read.
fn shortest(cast: &Cast, seed: u64, steps: usize) -> usize {
    let fails = |steps| run(cast, seed, &Options { storm_steps: steps, ..Options::default() }).failure.is_some();
    (1..=10).map(|tenth| steps * tenth / 10).find(|steps| fails(*steps)).unwrap_or(steps)
}
