//! `cargo xtask bench ingest|sync|memory`: how long cobox takes and how much memory it needs, beside rsync on the same data.
//! What was seen stands in `docs/performance.md`.
//!
//! Each run begins with empty homes. Medians over the runs are printed; with `--json` also each run, one object a line, with the keys
//! `peer`, `workload`, `op`, `rep`, `wall_s`, `cpu_s`, `cpu_by`, `peak_mb_by`, `ok`.

mod data;
mod place;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use self::data::{Data, Workload};
use self::place::{Computer, Place};
use crate::run::{root, run, run_command};

const USAGE: &str = "\
cargo xtask bench ingest|sync|memory [WORKLOAD…] [--runs N] [--scale N] [--json] [--programs DIR]

  ingest   a directory becomes a folder: everything read, cut, sealed and kept
  sync     from one member's full directory to another member's empty one; then to a seeder; then back from it with twelve words
  memory   the peak of every process's memory with one file of 4 GiB, and with 100,000 files

  WORKLOAD big (one file of 1 GiB), small (10,000 files, 160 MB), tree100k (100,000 files, 20 MB); all three if none is named
  --runs   how often; medians are printed (3)
  --scale  divides sizes and counts, to try it out (1)
  --json   every run as one JSON object a line
  --programs  measure the programs in DIR, instead of building them for release";

/// What was typed.
struct Asked {
    workloads: Vec<Workload>,
    runs: usize,
    scale: u64,
    json: bool,
    programs: Option<PathBuf>,
}

/// One measured run.
struct Run {
    peer: &'static str,
    workload: Workload,
    op: &'static str,
    rep: usize,
    wall_s: f64,
    /// Seconds of processor time and megabytes of memory at most, by process.
    cpu_by: BTreeMap<String, f64>,
    peak_mb_by: BTreeMap<String, f64>,
}

pub(crate) fn bench(args: &[&str]) -> Result<()> {
    let (what, rest) = args.split_first().context(USAGE)?;
    let asked = Asked::parse(rest)?;
    let programs = match &asked.programs {
        Some(programs) => programs.clone(),
        None => {
            run("cargo", &["build", "--release", "--locked", "--bin", "cobox", "--bin", "cobox-seeder"])?;
            root().join("target/release")
        }
    };
    let bench: fn(&Bench, &Data, usize) -> Result<Vec<Run>> = match *what {
        "ingest" => Bench::ingest,
        "sync" => Bench::sync,
        "memory" => return memory(&asked, &programs),
        _ => bail!(USAGE),
    };
    measure(&asked, &programs, bench)
}

impl Asked {
    fn parse(args: &[&str]) -> Result<Self> {
        let mut asked = Self { workloads: vec![], runs: 3, scale: 1, json: false, programs: None };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|n| n.parse::<u64>().ok()).filter(|n| *n > 0).context(USAGE);
            match *word {
                "--json" => asked.json = true,
                "--programs" => asked.programs = Some(words.next().map(PathBuf::from).context(USAGE)?),
                "--runs" => asked.runs = number()? as usize,
                "--scale" => asked.scale = number()?,
                name => asked.workloads.push(Workload::named(name).context(USAGE)?),
            }
        }
        if asked.workloads.is_empty() {
            asked.workloads = Workload::USUAL.to_vec();
        }
        Ok(asked)
    }
}

/// Runs a benchmark over its workloads and prints the medians.
fn measure(asked: &Asked, programs: &Path, bench: fn(&Bench, &Data, usize) -> Result<Vec<Run>>) -> Result<()> {
    println!(
        "{:<10} {:<8} {:<8} {:>8} {:>8} {:>9} {:>9}",
        "workload", "peer", "op", "wall s", "cpu s", "MB/s", "files/s"
    );
    for workload in &asked.workloads {
        let data = Data::make(*workload, asked.scale, &data_place(asked.scale))?;
        let mut runs = Vec::new();
        for rep in 0..asked.runs {
            runs.extend(bench(&Bench::new(programs)?, &data, rep)?);
        }
        if asked.json {
            runs.iter().for_each(|run| println!("{}", run.json()));
        }
        for (peer, op) in kinds(&runs) {
            let of_kind: Vec<&Run> = runs.iter().filter(|run| (run.peer, run.op) == (peer, op)).collect();
            let wall_s = median(of_kind.iter().map(|run| run.wall_s).collect());
            let cpu_s = median(of_kind.iter().map(|run| run.cpu_by.values().sum()).collect());
            let (mb_s, files_s) = (data.bytes as f64 / 1e6 / wall_s, data.files as f64 / wall_s);
            println!("{:<10} {peer:<8} {op:<8} {wall_s:8.2} {cpu_s:8.2} {mb_s:9.1} {files_s:9.0}", workload.name());
        }
    }
    Ok(())
}

/// The pairs of peer and operation, in the order in which they came.
fn kinds(runs: &[Run]) -> Vec<(&'static str, &'static str)> {
    let mut kinds = Vec::new();
    for run in runs {
        if !kinds.contains(&(run.peer, run.op)) {
            kinds.push((run.peer, run.op));
        }
    }
    kinds
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Generated data stays between runs: it is the same every time.
fn data_place(scale: u64) -> PathBuf {
    root().join("target/bench").join(format!("data-{scale}"))
}

impl Run {
    fn json(&self) -> serde_json::Value {
        json!({
            "peer": self.peer, "workload": self.workload.name(), "op": self.op, "rep": self.rep, "wall_s": self.wall_s,
            "cpu_s": self.cpu_by.values().sum::<f64>(), "cpu_by": self.cpu_by, "peak_mb_by": self.peak_mb_by, "ok": true,
        })
    }
}

/// One run's homes and folders.
struct Bench {
    place: Place,
}

impl Bench {
    fn new(programs: &Path) -> Result<Self> {
        Ok(Self { place: Place::new(&root().join("target/bench"), programs)? })
    }

    fn ingest(&self, data: &Data, rep: usize) -> Result<Vec<Run>> {
        let copied = self.rsync(data, rep, "copy")?;
        let mut ana = self.place.member("ana")?;
        let folder = self.stage(data, &ana)?;
        let ingested = self.timed(data, rep, "ingest", &mut [&mut ana], |computers| {
            computers[0].create(&folder)?;
            computers[0].until_files(data.files)
        })?;
        Ok(vec![copied, ingested])
    }

    fn sync(&self, data: &Data, rep: usize) -> Result<Vec<Run>> {
        let copied = self.rsync(data, rep, "sync")?;
        let (mut ana, mut ben) = (self.place.member("ana")?, self.place.member("ben")?);
        let folder = self.stage(data, &ana)?;
        let synced = self.timed(data, rep, "sync", &mut [&mut ana, &mut ben], |computers| {
            let [ana, ben] = computers else { bail!("two computers") };
            ana.create(&folder)?;
            ben.join(&ana.invite(&ben.key()?)?)?;
            ben.until_files(data.files)?;
            ben.until_in_step()
        })?;
        data.same(&ben.folder()).context("what arrived at the other member is not the same")?;
        drop(ben);

        let mut seeder = self.place.seeder("box")?;
        let backed_up = self.timed(data, rep, "backup", &mut [&mut ana, &mut seeder], |computers| {
            let [ana, seeder] = computers else { bail!("two computers") };
            ana.back_up(&seeder.offer()?)
        })?;
        let (words, tickets) = ana.kit()?;
        drop(ana);
        let mut new = self.place.member("new")?;
        let restored = self.timed(data, rep, "restore", &mut [&mut new, &mut seeder], |computers| {
            computers[0].recover(&words, &tickets)?;
            computers[0].until_files(data.files)?;
            computers[0].until_in_step()
        })?;
        data.same(&new.folder()).context("what came back from the seeder is not the same")?;
        Ok(vec![copied, synced, backed_up, restored])
    }

    /// The floor: no encryption, no history, no index. The disk is made to hold it, as cobox does.
    fn rsync(&self, data: &Data, rep: usize, op: &'static str) -> Result<Run> {
        let to = self.place.root().join("rsync");
        let begun = Instant::now();
        let mut rsync = std::process::Command::new("rsync");
        run_command(rsync.arg("--archive").arg(format!("{}/", data.root.display())).arg(&to))?;
        run("sync", &["--file-system", &to.to_string_lossy()])?;
        let wall_s = begun.elapsed().as_secs_f64();
        std::fs::remove_dir_all(&to)?;
        let (cpu_by, peak_mb_by) = (BTreeMap::new(), BTreeMap::new());
        Ok(Run { peer: "rsync", workload: data.workload, op, rep, wall_s, cpu_by, peak_mb_by })
    }

    /// A member's copy of the data, warm in the page cache and safe on the disk before anything is measured.
    fn stage(&self, data: &Data, member: &Computer) -> Result<PathBuf> {
        let folder = member.folder();
        let mut copy = std::process::Command::new("cp");
        run_command(copy.arg("--archive").arg(&data.root).arg(&folder))?;
        run("sync", &["--file-system", &folder.to_string_lossy()])?;
        Ok(folder)
    }

    fn timed(
        &self,
        data: &Data,
        rep: usize,
        op: &'static str,
        computers: &mut [&mut Computer],
        act: impl FnOnce(&mut [&mut Computer]) -> Result<()>,
    ) -> Result<Run> {
        let before: Vec<f64> = computers.iter().map(|one| one.cpu_s()).collect::<Result<_>>()?;
        let begun = Instant::now();
        act(computers)?;
        let wall_s = begun.elapsed().as_secs_f64();
        let (mut cpu_by, mut peak_mb_by) = (BTreeMap::new(), BTreeMap::new());
        for (one, before) in computers.iter().zip(before) {
            cpu_by.insert(one.name.clone(), one.cpu_s()? - before);
            peak_mb_by.insert(one.name.clone(), one.peak_mb()?);
        }
        Ok(Run { peer: "cobox", workload: data.workload, op, rep, wall_s, cpu_by, peak_mb_by })
    }
}

/// The peak of each process's memory, after a member made the folder, a seeder got it, and a second member received it.
fn memory(asked: &Asked, programs: &Path) -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "the peak of a process's memory is read from /proc");
    println!("{:<10} {:>8} {:>8} {:>8}   peak MB", "workload", "member", "seeder", "receiver");
    for workload in [Workload::Large, Workload::Tree100k] {
        let data = Data::make(workload, asked.scale, &data_place(asked.scale))?;
        let bench = Bench::new(programs)?;
        let (ana, ben, seeder) = (bench.place.member("ana")?, bench.place.member("ben")?, bench.place.seeder("box")?);
        let folder = bench.stage(&data, &ana)?;
        ana.create(&folder)?;
        ana.until_files(data.files)?;
        ana.back_up(&seeder.offer()?)?;
        ben.join(&ana.invite(&ben.key()?)?)?;
        ben.until_files(data.files)?;
        ben.until_in_step()?;
        println!("{:<10} {:8.0} {:8.0} {:8.0}", workload.name(), ana.peak_mb()?, seeder.peak_mb()?, ben.peak_mb()?);
        remove_large(&data, workload)?;
    }
    Ok(())
}

/// Four gigabytes are not kept for the next time.
fn remove_large(data: &Data, workload: Workload) -> Result<()> {
    let root: &Path = &data.root;
    if workload == Workload::Large { std::fs::remove_dir_all(root).context("the large file") } else { Ok(()) }
}
