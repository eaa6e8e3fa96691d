//! `campaign kill` and `campaign power`: worlds of real processes in `cobox-storm`, one after another.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::ledger::{self, Entry};
use crate::run::{command, root, run};

/// Runs worlds of one kind with what `cobox-storm` understands, and enters what came of it.
pub(super) fn run_worlds(kind: &'static str, args: &[&str]) -> Result<()> {
    run(
        "cargo",
        &["build", "--quiet", "--locked", "-p", "cobox", "-p", "cobox-seeder", "-p", "cobox-storm", "--bins"],
    )?;
    let before = ledger::children_cpu_seconds();
    let program = root().join("target/debug/cobox-storm");
    let mut storm = command(program.to_str().context("a checkout has a plain path")?, &[&[kind], args].concat());
    let mut child = storm.stdout(Stdio::piped()).spawn().context("could not start cobox-storm")?;
    let mut findings = Vec::new();
    let mut told = None;
    for line in BufReader::new(child.stdout.take().context("its output is read")?).lines() {
        let line = line?;
        println!("{line}");
        if let Some((seed, why)) = line.split_once(" FAILED: ") {
            // The first words name the oracle; the rest would fill the table.
            findings.push(format!("{seed}: {}", why.chars().take(160).collect::<String>()));
        }
        told = serde_json::from_str::<Value>(&line).ok().or(told);
    }
    let ended = child.wait()?;
    let told = told.with_context(|| format!("cobox-storm ended {ended} without its last line"))?;
    let number = |name: &str| told[name].as_u64().unwrap_or_default();
    ensure!(number("worlds") > 0, "no world ran: {told}");
    let faults = if kind == "kill" { "kills" } else { "cuts" };
    ledger::append(&Entry {
        kind,
        what: format!(
            "{} worlds, {} min, seeds from {}",
            number("worlds"),
            number("seconds") / 60,
            number("first_seed")
        ),
        counts: format!(
            "{} {faults} ({} during start or recovery), {} halts, {} deeds of people, {} quiet phases judged",
            number("faults"),
            number("early"),
            number("halts"),
            number("deeds"),
            number("rests")
        ),
        cpu_hours: (ledger::children_cpu_seconds() - before) / 3600.0,
        findings: if findings.is_empty() { "none".into() } else { findings.join("; ") },
    })?;
    if !ended.success() {
        bail!("{} of the worlds failed", told["failed_seeds"]);
    }
    Ok(())
}
