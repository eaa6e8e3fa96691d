//! The table of a benchmark: medians with their spread, and how cobox stands to each peer that did the same in the same run.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::data::Data;
use super::meter::Run;
use crate::run::root;

/// Where runs are recorded, below the text that explains them.
const RECORD: &str = "docs/performance.md";

/// What was measured so far.
pub(super) struct Report {
    command: String,
    load_before: String,
    workloads: Vec<(String, u64, u64)>,
    runs: Vec<Run>,
}

impl Report {
    pub(super) fn begin(args: &[&str]) -> Result<Self> {
        let command = command(args);
        Ok(Self { command, load_before: load()?, workloads: vec![], runs: vec![] })
    }

    pub(super) fn workload(&mut self, data: &Data) {
        self.workloads.push((data.workload.name().to_owned(), data.files, data.bytes));
    }

    pub(super) fn add(&mut self, runs: Vec<Run>) {
        self.runs.extend(runs);
    }

    /// As Markdown.
    pub(super) fn text(&self) -> Result<String> {
        let mut text = heading(&self.command, &self.load_before)?;
        let of =
            |(name, files, bytes): &(String, u64, u64)| format!("{name}: {files} files, {:.1} MB", *bytes as f64 / 1e6);
        writeln!(text, "{}.\n", self.workloads.iter().map(of).collect::<Vec<_>>().join("; "))?;
        text.push_str(
            "| workload | op | peer | n | wall s (min..max) | CPU s | peak RSS MB | wire MB | state MB | more |\n",
        );
        text.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
        for (workload, op, peer) in self.kinds() {
            text.push_str(&row(&self.of_kind(workload, op, peer), workload, op, peer));
        }
        let ratios = self.ratios();
        if !ratios.is_empty() {
            writeln!(text, "\nWall time of cobox to that of peers: {}.", ratios.join("; "))?;
        }
        Ok(text)
    }

    fn kinds(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let mut kinds = Vec::new();
        for run in &self.runs {
            let kind = (run.workload.name(), run.op, run.peer);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds.sort_by_key(|(workload, op, _)| {
            self.runs.iter().position(|run| (run.workload.name(), run.op) == (*workload, *op))
        });
        kinds
    }

    fn of_kind(&self, workload: &str, op: &str, peer: &str) -> Vec<&Run> {
        self.runs.iter().filter(|run| (run.workload.name(), run.op, run.peer) == (workload, op, peer)).collect()
    }

    /// The median of the ratios of runs that stood beside each other.
    fn ratios(&self) -> Vec<String> {
        let mut ratios = Vec::new();
        for (workload, op, peer) in self.kinds().into_iter().filter(|(_, _, peer)| *peer != "cobox") {
            let (ours, theirs) = (self.of_kind(workload, op, "cobox"), self.of_kind(workload, op, peer));
            let pairs = ours.iter().zip(&theirs).map(|(ours, theirs)| ours.wall_s / theirs.wall_s);
            if !ours.is_empty() {
                ratios.push(format!("{workload} {op} {:.2} x {peer}", median(pairs.collect())));
            }
        }
        ratios
    }
}

/// What was typed. Where the programs lie is ours to know, and not part of the command that repeats this.
pub(super) fn command(args: &[&str]) -> String {
    let mut words = args.iter();
    let mut shown = Vec::new();
    while let Some(word) = words.next() {
        match *word {
            "--programs" => drop(words.next()),
            "--record" => {}
            word => shown.push(word),
        }
    }
    format!("cargo xtask bench {}", shown.join(" "))
}

/// What stands above figures: the command, the commit, the machine and what else it did.
pub(super) fn heading(command: &str, load_before: &str) -> Result<String> {
    let mut text = format!("`{command}` at {}\n\n{}\n", commit()?, machine()?);
    writeln!(text, "Load average before {load_before}, after {}.", load()?)?;
    Ok(text)
}

fn row(runs: &[&Run], workload: &str, op: &str, peer: &str) -> String {
    let walls = || runs.iter().map(|run| run.wall_s);
    let (least, most) = (walls().fold(f64::MAX, f64::min), walls().fold(0.0, f64::max));
    let cpu = median(runs.iter().map(|run| run.cpu_s()).collect());
    let wire: Vec<f64> = runs.iter().filter_map(|run| run.wire_mb).collect();
    let wire = if wire.is_empty() { "-".to_owned() } else { figure(median(wire)) };
    let by = |of: fn(&Run) -> Vec<(&str, f64)>| {
        let names: Vec<&str> =
            runs.first().map(|run| of(run).into_iter().map(|(name, _)| name).collect()).unwrap_or_default();
        let each = names.iter().map(|name| {
            let values = runs.iter().flat_map(|run| of(run)).filter(|(n, _)| n == name).map(|(_, value)| value);
            format!("{name} {}", figure(median(values.collect())))
        });
        each.collect::<Vec<_>>().join(", ")
    };
    let peaks = by(|run| run.peak_mb_by.iter().map(|(name, value)| (name.as_str(), *value)).collect());
    let state = by(|run| run.state_mb_by.iter().map(|(name, value)| (name.as_str(), *value)).collect());
    let more = by(|run| run.more.iter().map(|(name, value)| (*name, *value)).collect());
    let wall = median(walls().collect());
    let n = runs.len();
    format!(
        "| {workload} | {op} | {peer} | {n} | {wall:.2} ({least:.2}..{most:.2}) | {cpu:.2} | {peaks} | {wire} | {state} | {more} |\n"
    )
}

pub(super) fn figure(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// One run as JSON.
pub(super) fn json(run: &Run) -> serde_json::Value {
    json!({
        "peer": run.peer, "workload": run.workload.name(), "op": run.op, "wall_s": run.wall_s, "cpu_s": run.cpu_s(),
        "cpu_by": run.cpu_by, "peak_mb_by": run.peak_mb_by, "wire_mb": run.wire_mb, "state_mb_by": run.state_mb_by,
        "more": run.more,
    })
}

/// Adds a table to the page of results.
pub(super) fn record(text: &str) -> Result<()> {
    let path = root().join(RECORD);
    let before = fs::read_to_string(&path).with_context(|| format!("{RECORD} is missing"))?;
    fs::write(&path, format!("{}\n\n### {}\n\n{text}", before.trim_end(), today()?))?;
    Ok(())
}

fn said(program: &str, args: &[&str]) -> Result<String> {
    let out = Command::new(program).args(args).current_dir(root()).output()?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

fn today() -> Result<String> {
    said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])
}

fn commit() -> Result<String> {
    let id = said("git", &["rev-parse", "--short", "HEAD"])?;
    let changed = !said("git", &["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Ok(if changed { format!("{id} with changes") } else { id })
}

pub(super) fn load() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(load.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// The machine in one line.
fn machine() -> Result<String> {
    let value = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':').map(str::trim));
        line.unwrap_or("unknown").to_owned()
    };
    let kib: f64 =
        value("/proc/meminfo", "MemTotal").split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    Ok(format!(
        "{cores} cores ({}), {:.0} GiB, {}, {} on {}.",
        value("/proc/cpuinfo", "model name"),
        kib / 1024.0 / 1024.0,
        said("uname", &["-sr"])?,
        said("findmnt", &["--noheadings", "--output", "FSTYPE", "--target", "target"])?,
        said("uname", &["-m"])?,
    ))
}
