//! `cobox-sim run --seed N`: tells the story of one seed; `cobox-sim campaign --from N --count M`: looks for seeds that fail, on all
//! cores, and for the shortest storm in which each still does. `cobox-sim case` and `cases` do the same with cases of the state alone,
//! `plan` and `plans` with those of the steps that bring a disk to it.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, Subcommand};
#[cfg(debug_assertions)]
use cobox_proto::guard::{self, Guard};
use cobox_sim::{Cast, Options, cases, plans, run};

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
    /// Tells one case of the state against its naive twin.
    Case {
        /// Which.
        #[arg(long)]
        seed: u64,
    },
    /// Many cases; prints those that fail.
    Cases {
        /// The first.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 100_000)]
        count: u64,
        /// Stop after so many minutes.
        #[arg(long)]
        minutes: Option<u64>,
    },
    /// Tells one case of the plan.
    Plan {
        /// Which.
        #[arg(long)]
        seed: u64,
    },
    /// Many cases of the plan; prints those that fail.
    Plans {
        /// The first.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        count: u64,
        /// Stop after so many minutes.
        #[arg(long)]
        minutes: Option<u64>,
    },
    /// Takes one guard of the product away after the other, and looks whether these worlds notice.
    Planted {
        /// The first seed.
        #[arg(long, default_value_t = FIRST_PLANTED)]
        from: u64,
        /// How many seeds to try for each.
        #[arg(long, default_value_t = 2_000)]
        count: u64,
        /// This one only.
        #[arg(long)]
        guard: Option<String>,
    },
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
    /// Print the trace of each world: what made it quicker must not make it another one.
    #[arg(long)]
    traces: bool,
}

/// Seeds whose failure is known and not mended yet, each with a word on it. They are told of and do not count.
const OPEN: &str = include_str!("../open.txt");
/// One seed in so many is run twice, and must tell the same story to the last byte (O10).
const TWICE_EVERY: u64 = 100;
/// The first world in which planted mistakes are looked for: one with all kinds of weather.
const FIRST_PLANTED: u64 = 100_000;

fn main() -> Result<ExitCode> {
    let cast = Cast::gather()?;
    let failed = match Args::parse().verb {
        Verb::Run { seed, steps, verbose, follow } => {
            let report = run(&cast, seed, &Options { storm_steps: steps, verbose, follow, ..Options::default() });
            println!("seed {seed}: {} contents, {} heads", report.contents, report.heads);
            report.failure.map(|why| println!("{why}")).is_some()
        }
        Verb::Campaign(campaign) => go_through(&cast, &campaign) > 0,
        Verb::Case { seed } => {
            let why = cases::run(seed, true);
            println!("case {seed} ({:?}): {}", cases::Kind::of(seed), why.as_deref().unwrap_or("well"));
            why.is_some()
        }
        Verb::Cases { from, count, minutes } => try_cases((from, count), minutes, |seed| cases::run(seed, false)) > 0,
        Verb::Plan { seed } => {
            let why = plans::run(&cast, seed, true);
            println!("plan {seed}: {}", why.as_deref().unwrap_or("well"));
            why.is_some()
        }
        Verb::Plans { from, count, minutes } => {
            try_cases((from, count), minutes, |seed| plans::run(&cast, seed, false)) > 0
        }
        Verb::Planted { from, count, guard } => planted(&cast, (from, count), guard.as_deref()) > 0,
    };
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// How many guards were not missed.
#[cfg(debug_assertions)]
fn planted(cast: &Cast, (from, count): (u64, u64), only: Option<&str>) -> u64 {
    tell_no_panics();
    let wanted = |guard: &&Guard| only.is_none_or(|only| format!("{guard:?}") == only);
    let guards: Vec<&Guard> = Guard::ALL.iter().filter(wanted).collect();
    let (next, unnoticed) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while let Some(guard) = guards.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let begun = Instant::now();
            guard::take_away(Some(**guard));
            let found = (from..from + count).filter(|seed| !is_open(*seed)).find_map(|seed| {
                let why = run(cast, seed, &Options::default()).failure?;
                guard::take_away(None);
                let is_well_with_it = run(cast, seed, &Options::default()).failure.is_none();
                guard::take_away(Some(**guard));
                is_well_with_it.then_some((seed, why))
            });
            guard::take_away(None);
            let seconds = begun.elapsed().as_secs_f64();
            match found {
                Some((seed, why)) => {
                    let why = why.lines().next().unwrap_or_default();
                    println!("{guard:?} {seed}, noticed within {seconds:.1} s: {why}");
                }
                None => {
                    unnoticed.fetch_add(1, Ordering::Relaxed);
                    println!("{guard:?}: NOT noticed in {count} worlds, {seconds:.1} s");
                }
            }
        }
    };
    let threads = available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    unnoticed.into_inner()
}

/// Guards can be taken away only where assertions are on.
#[cfg(not(debug_assertions))]
fn planted(_: &Cast, _: (u64, u64), _: Option<&str>) -> u64 {
    eprintln!("build the simulator with assertions: cargo xtask sim planted");
    1
}

/// How many seeds failed.
fn go_through(cast: &Cast, campaign: &Campaign) -> u64 {
    tell_no_panics();
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
            let options = Options { storm_steps: campaign.steps, ..Options::default() };
            let report = run(cast, seed, &options);
            add(&tried, 1);
            add(&contents, report.contents);
            if campaign.traces {
                println!("{seed} traces {}", blake3::Hash::from_bytes(report.trace).to_hex());
            }
            let again = seed.is_multiple_of(TWICE_EVERY).then(|| run(cast, seed, &options));
            let differs = again.filter(|again| *again != report).map(|_| "O10: it tells another story".to_owned());
            if let Some(why) = report.failure.or(differs) {
                if is_open(seed) {
                    println!("{seed} is known: {}", why.lines().next().unwrap_or_default());
                    continue;
                }
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

/// How many cases failed.
fn try_cases((from, count): (u64, u64), minutes: Option<u64>, case: impl Fn(u64) -> Option<String> + Sync) -> u64 {
    const AT_ONCE: u64 = 256;
    tell_no_panics();
    let begun = Instant::now();
    let until = minutes.map(|minutes| begun + Duration::from_secs(60 * minutes));
    let end = from.saturating_add(count);
    let [next, tried, failed] = [from, 0, 0].map(AtomicU64::new);
    let work = || {
        while until.is_none_or(|until| Instant::now() < until) {
            let first = next.fetch_add(AT_ONCE, Ordering::Relaxed);
            if first >= end {
                return;
            }
            let seeds = first..end.min(first.saturating_add(AT_ONCE));
            tried.fetch_add(seeds.end - seeds.start, Ordering::Relaxed);
            for seed in seeds {
                if let Some(why) = case(seed) {
                    failed.fetch_add(1, Ordering::Relaxed);
                    println!("case {seed}: {}", why.lines().next().unwrap_or_default());
                }
            }
        }
    };
    let threads = available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let [tried, failed] = [tried, failed].map(AtomicU64::into_inner);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{tried} cases, {failed} failed, {seconds:.0} s on {threads} threads, {:.0} a second",
        tried as f64 / seconds
    );
    failed
}

/// Among many worlds a panic is one world's failure, told with its seed; `run` tells all of it.
fn tell_no_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}

fn is_open(seed: u64) -> bool {
    OPEN.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).any(|open: u64| open == seed)
}

/// The shortest storm found in which this seed still fails: a shorter story is a better one to read.
fn shortest(cast: &Cast, seed: u64, steps: usize) -> usize {
    let fails = |steps| run(cast, seed, &Options { storm_steps: steps, ..Options::default() }).failure.is_some();
    (1..=10).map(|tenth| steps * tenth / 10).find(|steps| fails(*steps)).unwrap_or(steps)
}
