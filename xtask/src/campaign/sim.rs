//! The simulator: fast, with every assertion. A campaign goes on where the last one in the ledger ended; `cargo xtask check` runs the
//! same seeds each time.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::ledger::{self, Entry};
use crate::run::{command, root, run};

/// The histories of `cargo xtask check`: from where on, how many, and how many deeds each storm has. In half of the worlds from the second
/// row on people come to go; from the third on, folders are not mounted for a while, too; in half of those from 6,000,000 on people are in
/// a hurry, or, in the last, files and directories take each other's names, and nothing else happens. A short world costs a third of a
/// long one.
const CHECKED: [(u64, u64, u64); 6] = [
    (300_000, 3_000, 400),
    (500_000, 1_500, 400),
    (2_000_000, 1_500, 400),
    (2_500_000, 12_000, 100),
    (6_000_000, 1_000, 400),
    (7_000_000, 1_000, 400),
];
/// The profile in which it is built in a minute...
const QUICK_TO_BUILD: &str = "sim";
/// ... and the one in which it runs a seventh faster.
const QUICK_TO_RUN: &str = "campaign";
/// Where the first campaign with all the weather there is begins: half of the worlds have all of it at once; in a quarter people are in a
/// hurry, and in a quarter files and directories take each other's names.
const FIRST_SEED: u64 = 7_100_000;
/// Seeds of a campaign are written so in the ledger.
const SEEDS: &str = "seeds ";
/// How many cases of the state against its twin `cargo xtask check` tries, from 0 on.
const CASES_CHECKED: u64 = 1_000_000;
/// ... and how many of the plan.
const PLANS_CHECKED: u64 = 50_000;
/// Where the first campaign of cases begins.
const FIRST_CASE: u64 = 1_000_000_000;
/// Cases of a campaign are written so in the ledger.
const CASES: &str = "| model | cases ";
/// Cases of the plan, likewise.
const PLANS: &str = "| plans | cases ";

/// Builds it in one of the two profiles of the workspace that are the simulator's.
fn build(profile: &str) -> Result<String> {
    run("cargo", &["build", "--quiet", "--locked", "--profile", profile, "--package", "cobox-sim"])?;
    Ok(root().join("target").join(profile).join("cobox-sim").to_string_lossy().into_owned())
}

/// `cargo xtask sim ...`: the simulator's own commands.
pub(crate) fn sim(args: &[&str]) -> Result<()> {
    run(&build(QUICK_TO_BUILD)?, args)
}

/// The simulator's own tests, where building them takes seconds and running them half as long.
const TESTS: [&str; 6] = ["test", "--locked", "--profile", QUICK_TO_BUILD, "--package", "cobox-sim"];

/// What the short form needs.
pub(crate) fn build_for_check() -> Result<()> {
    build(QUICK_TO_BUILD)?;
    run("cargo", &[&TESTS[..], &["--no-run", "--quiet"]].concat())
}

/// The short form.
pub(crate) fn check() -> Result<()> {
    let sim = build(QUICK_TO_BUILD)?;
    run("cargo", &TESTS)?;
    run(&sim, &["cases", "--count", &CASES_CHECKED.to_string()])?;
    run(&sim, &["plans", "--count", &PLANS_CHECKED.to_string()])?;
    CHECKED.iter().try_for_each(|(from, count, steps)| {
        let [from, count, steps] = [from, count, steps].map(u64::to_string);
        run(&sim, &["campaign", "--from", &from, "--count", &count, "--steps", &steps])
    })
}

pub(super) fn campaign(time: Duration) -> Result<()> {
    let (failures, mut entry) = long_run("campaign", SEEDS, FIRST_SEED, time)?;
    entry.kind = "sim";
    entry.what = format!("{SEEDS}{}", entry.what);
    append(&failures, entry)
}

/// The long form of the cases of the state against its twin.
pub(super) fn model(time: Duration) -> Result<()> {
    try_cases(("cases", CASES), "model", time)
}

/// The long form of the cases of the plan.
pub(super) fn plans(time: Duration) -> Result<()> {
    try_cases(("plans", PLANS), "plans", time)
}

fn try_cases((verb, mark): (&str, &str), kind: &'static str, time: Duration) -> Result<()> {
    let (failures, mut entry) = long_run(verb, mark, FIRST_CASE, time)?;
    entry.kind = kind;
    entry.what = format!("cases {}", entry.what);
    append(&failures, entry)
}

fn append(failures: &[String], entry: Entry) -> Result<()> {
    let findings = if failures.is_empty() { "none".to_owned() } else { failures.join("; ") };
    ledger::append(&Entry { findings, ..entry })
}

/// Runs a verb of the simulator for so long, from the number on at which its last campaign ended: what failed, and its row in the
/// ledger but for the names in it.
fn long_run(verb: &str, mark: &str, first: u64, time: Duration) -> Result<(Vec<String>, Entry)> {
    let sim = build(QUICK_TO_RUN)?;
    let ledger = std::fs::read_to_string(root().join("docs/campaigns.md")).unwrap_or_default();
    let from = next(&ledger, mark, first);
    let minutes = (time.as_secs() / 60).max(1).to_string();
    let before = ledger::children_cpu_seconds();
    let mut campaign =
        command(&sim, &[verb, "--from", &from.to_string(), "--count", "1000000000000", "--minutes", &minutes]);
    let told = campaign.output().context("the simulator could not be started")?;
    let told = String::from_utf8_lossy(&told.stdout);
    print!("{told}");
    let (failures, summary) = told.trim_end().rsplit_once('\n').unwrap_or(("", told.trim_end()));
    let Some(tried) = summary.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()) else {
        bail!("the simulator said nothing of what it did");
    };
    let failing = failures.lines().filter(|line| !line.contains("is known:")).map(str::to_owned).collect();
    let entry = Entry {
        kind: "",
        what: format!("{from}..{}, {minutes} min", from + tried),
        counts: summary.to_owned(),
        cpu_hours: (ledger::children_cpu_seconds() - before) / 3600.0,
        findings: String::new(),
    };
    Ok((failing, entry))
}

/// After the last one that any campaign tried whose rows have this mark; none before the first.
fn next(ledger: &str, mark: &str, first: u64) -> u64 {
    let ends = ledger.split(mark).skip(1).filter_map(|rest| {
        let (_, end) = rest.split_once("..")?;
        end.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    });
    ends.fold(first, u64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_goes_on_where_the_last_one_ended() {
        assert_eq!(next("", SEEDS, FIRST_SEED), FIRST_SEED);
        let ledger = "| sim | seeds 8000000..8002000, 1 min | x |\n| sim | seeds 8002000..8005000, 2 min | x |\n";
        assert_eq!(next(ledger, SEEDS, FIRST_SEED), 8_005_000);
        let older = "| sim | seeds 3000000..3011040, 5 min | x |\n";
        assert_eq!(next(older, SEEDS, FIRST_SEED), FIRST_SEED, "those had less weather");
        assert_eq!(next(ledger, CASES, FIRST_CASE), FIRST_CASE);
        let ledger = "| x | abc | model | cases 1000000000..1000009000, 1 min | 9000 cases, 0 failed |\n";
        assert_eq!(next(ledger, CASES, FIRST_CASE), 1_000_009_000);
    }
}
