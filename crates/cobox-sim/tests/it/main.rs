//! Seeds that must hold, for ever and a fresh few hundred; `COBOX_SIM_SEEDS=from..to` runs a campaign instead.

#![allow(clippy::unwrap_used, reason = "a panic with its line is what a test wants")]

mod people;
mod stories;

use std::collections::BTreeMap;

use cobox_proto::guard::{self, Guard};
use cobox_sim::{Cast, Options, cases, plans, run};

/// Which worlds, and how many things happen in each of their storms.
fn seeds() -> Vec<(u64, usize)> {
    let steps = Options::default().storm_steps;
    if let Ok(range) = std::env::var("COBOX_SIM_SEEDS") {
        let (from, to) = range.split_once("..").expect("COBOX_SIM_SEEDS is written from..to");
        let number = |text: &str| text.parse::<u64>().expect("seeds are numbers");
        return (number(from)..number(to)).map(|seed| (seed, steps)).collect();
    }
    let kept = include_str!("../../seeds.txt").lines().filter_map(|line| {
        let (seed, story) = line.split_once(' ')?;
        // As a campaign tells of a seed that failed in a shorter storm.
        let told = story.strip_prefix("(--steps ").and_then(|story| story.split_once(')')?.0.parse().ok());
        Some((seed.parse().ok()?, told.unwrap_or(steps)))
    });
    kept.chain((10_000..10_100).chain(60_000..60_100).map(|seed| (seed, steps))).collect()
}

#[test]
fn nothing_is_lost_invented_revived_or_left_different() {
    let cast = Cast::gather().unwrap();
    let mut failed = Vec::new();
    for (seed, storm_steps) in seeds() {
        let report = run(&cast, seed, &Options { storm_steps, ..Options::default() });
        failed.extend(report.failure.map(|why| format!("seed {seed}: {why}")));
    }
    assert!(failed.is_empty(), "{} seeds failed:\n{}", failed.len(), failed.join("\n"));
}

/// Each planted mistake is noticed in a world that is well without it: the storm is a storm.
#[test]
fn without_any_one_of_its_guards_cobox_breaks_a_promise() {
    let cast = Cast::gather().unwrap();
    let kept = include_str!("../../planted.txt").lines().filter(|line| !line.starts_with('#'));
    let kept: BTreeMap<&str, &str> = kept.map(|line| line.split_once(' ').unwrap()).collect();
    for guard in Guard::ALL {
        let seed = kept[format!("{guard:?}").as_str()];
        if seed.starts_with("unknown") {
            continue;
        }
        let seed: u64 = seed.parse().unwrap();
        guard::take_away(Some(guard));
        let without = run(&cast, seed, &Options::default());
        guard::take_away(None);
        assert!(without.failure.is_some(), "nobody misses {guard:?} in the world {seed}");
        assert_eq!(run(&cast, seed, &Options::default()).failure, None, "the world {seed} for {guard:?}");
    }
}

#[test]
fn o10_one_seed_is_one_story() {
    let cast = Cast::gather().unwrap();
    for seed in 0..10 {
        assert_eq!(run(&cast, seed, &Options::default()), run(&cast, seed, &Options::default()), "seed {seed}");
    }
    assert_ne!(run(&cast, 1, &Options::default()).trace, run(&cast, 2, &Options::default()).trace);
}

#[test]
fn the_state_and_its_twin_agree_in_every_case() {
    let kept = include_str!("../../cases.txt").lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    let failed: Vec<String> =
        kept.chain(0..2_000).filter_map(|seed| Some(format!("case {seed}: {}", cases::run(seed, false)?))).collect();
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn a_disk_comes_to_what_the_state_shows_in_every_case() {
    let cast = Cast::gather().unwrap();
    let kept = include_str!("../../plans.txt").lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    let failed: Vec<String> = kept
        .chain(0..2_000)
        .filter_map(|seed| Some(format!("plan {seed}: {}", plans::run(&cast, seed, false)?)))
        .collect();
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

/// The cases can fail: these guards are missed, by cases that are well with them.
#[test]
fn without_a_guard_of_the_plan_a_case_fails() {
    let cast = Cast::gather().unwrap();
    for guard in [Guard::TimesArrive, Guard::OwnStepsAreNoEdits] {
        guard::take_away(Some(guard));
        let found = (0..20_000).find(|seed| plans::run(&cast, *seed, false).is_some());
        guard::take_away(None);
        let seed = found.unwrap_or_else(|| panic!("nothing misses {guard:?}"));
        assert_eq!(plans::run(&cast, seed, false), None, "plan {seed} for {guard:?}");
    }
}

/// The cases can fail: each guard of the state is missed, by cases that are well with it.
#[test]
fn without_any_one_of_the_guards_of_the_state_a_case_fails() {
    let of_the_state = [
        Guard::SeenForEver,
        Guard::EditReplacesWhatWasSeen,
        Guard::ConflictKeepsBoth,
        Guard::EditOutlivesDeletion,
        Guard::DeletedStaysDeleted,
    ];
    for guard in of_the_state {
        guard::take_away(Some(guard));
        let found = (0..5_000).find_map(|seed| Some((seed, cases::run(seed, false)?)));
        guard::take_away(None);
        let Some((seed, why)) = found else { panic!("nobody misses {guard:?}") };
        println!("{guard:?}: case {seed}: {}", why.lines().next().unwrap_or_default());
        assert_eq!(cases::run(seed, false), None, "case {seed} for {guard:?}");
    }
}
