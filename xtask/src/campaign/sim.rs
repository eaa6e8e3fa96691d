//! The simulator: fast, with every assertion. A campaign goes on where the last one in the ledger ended; `cargo xtask check` runs the
//! same seeds each time.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::ledger::{self, Entry};
use crate::run::{command, root, run};

/// The histories of `cargo xtask check`.
const CHECKED: (u64, u64) = (300_000, 8_000);
/// Where the first campaign begins.
const FIRST_SEED: u64 = 1_000_000;
/// Seeds of a campaign are written so in the ledger.
const SEEDS: &str = "seeds ";

fn build() -> Result<String> {
    run("cargo", &["build", "--quiet", "--locked", "--profile", "sim", "--package", "cobox-sim"])?;
    Ok(root().join("target/sim/cobox-sim").to_string_lossy().into_owned())
}

/// `cargo xtask sim ...`: the simulator's own commands.
pub(crate) fn sim(args: &[&str]) -> Result<()> {
    run(&build()?, args)
}

/// The short form.
pub(crate) fn check() -> Result<()> {
    let (from, count) = (CHECKED.0.to_string(), CHECKED.1.to_string());
    run(&build()?, &["campaign", "--from", &from, "--count", &count])
}

pub(super) fn campaign(time: Duration) -> Result<()> {
    let sim = build()?;
    let ledger = std::fs::read_to_string(root().join("docs/campaigns.md")).unwrap_or_default();
    let from = next_seed(&ledger);
    let minutes = (time.as_secs() / 60).max(1).to_string();
    let before = ledger::children_cpu_seconds();
    let mut campaign =
        command(&sim, &["campaign", "--from", &from.to_string(), "--count", "1000000000", "--minutes", &minutes]);
    let told = campaign.output().context("the simulator could not be started")?;
    let told = String::from_utf8_lossy(&told.stdout);
    print!("{told}");
    let (failures, summary) = told.trim_end().rsplit_once('\n').unwrap_or(("", told.trim_end()));
    let Some(tried) = summary.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()) else {
        bail!("the simulator said nothing of what it did");
    };
    let failing: Vec<&str> = failures.lines().filter(|line| !line.contains("is known:")).collect();
    ledger::append(&Entry {
        kind: "sim",
        what: format!("{SEEDS}{from}..{}, {minutes} min", from + tried),
        counts: summary.to_owned(),
        cpu_hours: (ledger::children_cpu_seconds() - before) / 3600.0,
        findings: if failing.is_empty() { "none".to_owned() } else { failing.join("; ") },
    })
}

/// After the last seed that any campaign tried.
fn next_seed(ledger: &str) -> u64 {
    let ends = ledger.split(SEEDS).skip(1).filter_map(|rest| {
        let (_, end) = rest.split_once("..")?;
        end.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    });
    ends.max().unwrap_or(FIRST_SEED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_goes_on_where_the_last_one_ended() {
        assert_eq!(next_seed(""), FIRST_SEED);
        let ledger = "| sim | seeds 1000000..1002000, 1 min | x |\n| sim | seeds 1002000..1005000, 2 min | x |\n";
        assert_eq!(next_seed(ledger), 1_005_000);
    }
}
