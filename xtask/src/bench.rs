//! `cargo xtask bench`: how long cobox takes and what it needs, beside rsync, Syncthing and restic on the same data. What was seen
//! stands in `docs/performance.md`; how peers are installed and what the workloads are, in `bench/README.md`.
//!
//! Each run begins with empty homes. Peers take turns, and medians and ratios count: they stand beside each other in the same run of
//! the same machine. With `--json` each run is printed too, as one object a line.

mod data;
mod http;
mod line;
mod members;
mod meter;
mod place;
mod report;
mod restic;
mod rsync;
mod scale;
mod stories;
mod syncthing;
mod time;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::data::{Data, Workload};
use self::meter::Run;
use self::place::Place;
use self::report::Report;
use crate::run::{root, run, run_command};
use crate::web;

const USAGE: &str = "\
cargo xtask bench WHAT [WORKLOAD…] [--quick] [--runs N] [--scale N] [--without PEER] [--json] [--record] [--programs DIR]

  ingest   a directory becomes a folder: everything read, cut, sealed and noted
  sync     from one member's full directory to another member's empty one; to a blind seeder alone; back from it with twelve words
  daily    afterwards: an edit, a copy and a move of what is there, small files saved, nothing to do for a minute, a new start
  all      sync and daily
  time     looking back in a folder with 10,000 states: a page of history, one file as it was at any moment, what history takes at a
           seeder; half an hour, once unless --runs says more
  resume   a receiver killed at half of the large file: all that went over the wire stays below 1.1 times the file
  line     sync over 50 Mbit/s, 50 ms there and back, 1 % loss: a large file of 64 MiB, and 10,000 files; needs root
  members  a membership log of 10,000 ops resolved, an epoch started for 200 devices, names sealed anew; alone
  web      the page: first paint, a folder of 100,000 files, its size; alone
  scale    how it grows: 1,000 to 100,000 files, 1 to 100 folders at one seeder, 200 folders of 50 members with an edit a second;
           with --million up to 1,000,000 files and 1,000 folders, which takes long. --record draws the curves, too
  memory   the peak of every process's memory with one file of 4 GiB, and with 100,000 files: each stays below 300 MB

  WORKLOAD big (one file of 1 GiB), small (10,000 files, 160 MB), tree100k (100,000 files, 20 MB); what fits if none is named
  --quick  one run of an eighth of the data: minutes instead of an hour
  --runs   how often; medians are printed (3)
  --scale  divides sizes and counts, to try it out (1)
  --without  leaves out rsync, syncthing or restic; those not installed are left out anyway
  --json   every run as one JSON object a line
  --record  adds the table to docs/performance.md, with commit and machine
  --programs  measures the programs in DIR, instead of building them for release";

/// What `--quick` divides the data by.
const QUICK_SCALE: u64 = 8;

/// What was typed.
struct Asked {
    workloads: Vec<Workload>,
    runs: Option<usize>,
    scale: u64,
    without: Vec<String>,
    json: bool,
    record: bool,
    million: bool,
    programs: Option<PathBuf>,
}

pub(crate) fn bench(args: &[&str]) -> Result<()> {
    let (what, rest) = args.split_first().context(USAGE)?;
    match (*what, rest) {
        ("web", []) => return web::bench(),
        ("members", []) => return members::bench(),
        _ => {}
    }
    let asked = Asked::parse(rest)?;
    let (parts, workloads): (&[&str], &[Workload]) = match *what {
        "all" => (&["sync", "daily"], &Workload::USUAL),
        "ingest" => (&["ingest"], &Workload::USUAL),
        "sync" => (&["sync"], &Workload::USUAL),
        "daily" => (&["daily"], &Workload::USUAL),
        "time" => (&["time"], &[Workload::Tree100k]),
        "resume" => (&["resume"], &[Workload::Big]),
        "memory" => (&["memory"], &[Workload::Large, Workload::Tree100k]),
        "line" => (&["line"], &[Workload::Big, Workload::Small]),
        "scale" => (&["scale"], &[]),
        _ => bail!(USAGE),
    };
    ensure!(cfg!(target_os = "linux"), "processor time and memory are read from /proc");
    let programs = asked.programs()?;
    if *what == "line" {
        line::prepare()?;
    }
    if !meter::is_alone() {
        let programs = programs.to_string_lossy().into_owned();
        let mut again: Vec<&str> = args.to_vec();
        again.extend(["--programs", &programs]);
        if meter::run_alone(&again)?.is_some() {
            return Ok(());
        }
        println!("no network namespace can be made here: bytes on the wire are not counted");
    }
    let workloads = if asked.workloads.is_empty() { workloads } else { &asked.workloads };
    place::clear(&root().join("target/bench"));
    let bench = Bench { programs, scale: asked.scale, without: asked.without.clone() };
    if *what == "scale" {
        return scale::scale(&bench, args, asked.million, asked.record);
    }
    // Ten thousand states take half an hour to live through.
    let runs = asked.runs.unwrap_or(if *what == "time" { 1 } else { 3 });
    let mut report = Report::begin(args)?;
    for workload in workloads {
        let scale = match (*what, workload) {
            ("line", Workload::Big) => asked.scale * line::BIG_SCALE,
            _ => asked.scale,
        };
        let data = Data::make(*workload, scale, &data_place(scale))?;
        report.workload(&data);
        for _ in 0..runs {
            for part in parts {
                let runs = bench.part(part, &data)?;
                if asked.json {
                    runs.iter().for_each(|run| println!("{}", report::json(run)));
                }
                report.add(runs);
            }
        }
        if *workload == Workload::Large {
            // Four gigabytes are not kept for the next time.
            std::fs::remove_dir_all(&data.root).context("the large file")?;
        }
    }
    place::clear(&root().join("target/bench"));
    let text = report.text()?;
    println!("{text}");
    if asked.record {
        report::record(&text)?;
    }
    Ok(())
}

impl Asked {
    fn parse(args: &[&str]) -> Result<Self> {
        let mut asked = Self {
            workloads: vec![],
            runs: None,
            scale: 1,
            without: vec![],
            json: false,
            record: false,
            million: false,
            programs: None,
        };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|n| n.parse::<u64>().ok()).filter(|n| *n > 0).context(USAGE);
            match *word {
                "--json" => asked.json = true,
                "--quick" => (asked.runs, asked.scale) = (Some(1), QUICK_SCALE),
                "--record" => asked.record = true,
                "--million" => asked.million = true,
                "--without" => asked.without.extend(words.next().map(ToString::to_string)),
                "--programs" => asked.programs = Some(words.next().map(PathBuf::from).context(USAGE)?),
                "--runs" => asked.runs = Some(number()? as usize),
                "--scale" => asked.scale = number()?,
                name => asked.workloads.push(Workload::named(name).context(USAGE)?),
            }
        }
        Ok(asked)
    }

    /// Where the programs are; builds them if none were named.
    fn programs(&self) -> Result<PathBuf> {
        if let Some(programs) = &self.programs {
            return Ok(std::path::absolute(programs)?);
        }
        run("cargo", &["build", "--release", "--locked", "--bin", "cobox", "--bin", "cobox-seeder"])?;
        Ok(root().join("target/release"))
    }
}

/// Generated data stays between runs: it is the same every time.
fn data_place(scale: u64) -> PathBuf {
    root().join("target/bench").join(format!("data-{scale}"))
}

/// What is the same for all runs.
struct Bench {
    programs: PathBuf,
    scale: u64,
    without: Vec<String>,
}

impl Bench {
    fn place(&self, data: &Data) -> Result<Place> {
        Place::new(&root().join("target/bench"), &self.programs, data.files > 100)
    }

    /// For runs that make their few files themselves.
    fn empty_place(&self) -> Result<Place> {
        Place::new(&root().join("target/bench"), &self.programs, true)
    }

    fn has(&self, peer: &str, installed: fn() -> bool) -> bool {
        !self.without.iter().any(|without| without == peer) && installed()
    }

    fn rsync(&self, data: &Data, op: &'static str) -> Result<Vec<Run>> {
        if !self.has("rsync", rsync::is_installed) {
            return Ok(vec![]);
        }
        let place = self.place(data)?;
        let rsync = rsync::Rsync::start(place.root())?;
        let run = rsync.sync(data, op)?;
        rsync.check(data)?;
        Ok(vec![run])
    }

    fn part(&self, part: &str, data: &Data) -> Result<Vec<Run>> {
        match part {
            "ingest" => self.ingest(data),
            "sync" => self.sync(data),
            "daily" => self.daily(data),
            "resume" => stories::resume(self, data),
            "line" => line::over_it(self, data),
            "time" => time::time(self, data),
            _ => stories::memory(self, data),
        }
    }

    fn daily(&self, data: &Data) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        if data.workload == Workload::Big && self.has("rsync", rsync::is_installed) {
            let place = self.place(data)?;
            let edited = stories::edited(&data.root, place.root())?;
            let rsync = rsync::Rsync::start(place.root())?;
            rsync.sync(data, "sync")?;
            runs.push(rsync.sync_from(&edited, data, "edit")?);
        }
        runs.extend(stories::daily(self, data)?);
        Ok(runs)
    }

    fn ingest(&self, data: &Data) -> Result<Vec<Run>> {
        let mut runs = self.rsync(data, "ingest")?;
        let place = self.place(data)?;
        let ana = place.member("ana")?;
        fill(data, &ana.folder())?;
        let meter = meter::Meter::begin(&[&ana])?;
        ana.create(&ana.folder())?;
        ana.until_files(data.files)?;
        let mut run = meter.end("cobox", data.workload, "ingest", &[&ana])?;
        run.state_mb_by.insert("ana".into(), ana.state_mb()?);
        runs.push(run);
        Ok(runs)
    }

    fn sync(&self, data: &Data) -> Result<Vec<Run>> {
        let mut runs = self.rsync(data, "sync")?;
        runs.push(stories::sync(self, data)?);
        if self.has("syncthing", syncthing::is_installed) {
            runs.extend(syncthing::sync(self.place(data)?.root(), data)?);
        }
        if self.has("restic", restic::is_installed) {
            runs.extend(restic::there_and_back(self.place(data)?.root(), data)?);
        }
        runs.extend(stories::there_and_back(self, data)?);
        Ok(runs)
    }
}

/// A copy of the data, warm in the page cache and safe on the disk before anything is measured.
fn fill(data: &Data, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut copy = Command::new("cp");
    run_command(copy.arg("--archive").arg(format!("{}/.", data.root.display())).arg(folder))?;
    settle(folder)
}

/// Waits until everything written so far is on the disk.
fn settle(folder: &Path) -> Result<()> {
    run("sync", &["--file-system", &folder.to_string_lossy()])
}

fn installed(program: &str, version: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(version).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits for something; looks every 20 ms.
fn until(what: &str, patience: Duration, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + patience;
    while !look()? {
        ensure!(Instant::now() < end, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
