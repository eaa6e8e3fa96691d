//! `cargo xtask campaign members`: every history of five membership ops among three people, to its end. The numbers of histories are a
//! property of the rules; they change when the rules do.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::ledger::{self, Entry};
use crate::run::{command, run_command};

/// What the tests print, one line for each part of a long form.
const MARK: &str = "histories of ";
/// Parts have the histories of up to so many ops in common.
const DEALT_OPS: usize = 2;

fn long_form(args: &[&str]) -> std::process::Command {
    let mut tests =
        command("cargo", &["test", "--release", "--locked", "--quiet", "--package", "cobox-proto", "--test", "it"]);
    tests.args(args);
    tests
}

pub(super) fn campaign() -> Result<()> {
    run_command(&mut long_form(&["--no-run"]))?;
    let cpu = ledger::children_cpu_seconds();
    let mut long = long_form(&["--", "--ignored", "--nocapture", "members_every::long"]);
    let out = long.stderr(Stdio::inherit()).output().context("the tests could not be started")?;
    let told = String::from_utf8_lossy(&out.stdout);
    print!("{told}");
    let counted = counts(&told);
    let named: Vec<String> = counted.iter().map(|(what, n)| format!("{} {what}", n.iter().sum::<u64>())).collect();
    let is_good = out.status.success();
    ledger::append(&Entry {
        kind: "members",
        what: "every history of at most five ops among three people".into(),
        counts: format!("histories: {}", named.join(", ")),
        cpu_hours: (ledger::children_cpu_seconds() - cpu) / 3600.0,
        findings: if is_good { "none".into() } else { "a rule was broken".into() },
    })?;
    ensure!(is_good && !counted.is_empty(), "a history broke a rule, or none was looked at");
    Ok(())
}

/// How many histories there are of each number of ops, over all parts.
fn counts(told: &str) -> BTreeMap<String, Vec<u64>> {
    let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in told.lines() {
        // Tests that run beside each other share lines.
        let Some((what, numbers)) = line.split_once(MARK).and_then(|(_, rest)| rest.split_once(": [")) else {
            continue;
        };
        let numbers = numbers.split(']').next().unwrap_or_default().split(", ").filter_map(|n| n.parse().ok());
        let sum = all.entry(what.to_owned()).or_default();
        for (ops, number) in numbers.enumerate() {
            match sum.get_mut(ops) {
                Some(sum) if ops > DEALT_OPS => *sum += number,
                Some(_) => {}
                None => sum.push(number),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_added_up() {
        let told = "test a ... histories of roles: [1, 18, 363, 10, 7]\nok\nhistories of devices: [1, 2]\n\
                    test b ... histories of roles: [1, 18, 363, 5, 1]\nok\n";
        let counted = counts(told);
        assert_eq!(counted["roles"], [1, 18, 363, 15, 8]);
        assert_eq!(counted["devices"], [1, 2]);
        assert_eq!(counted.len(), 2);
    }
}
