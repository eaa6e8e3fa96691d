//! `cargo xtask campaign fuzz`: each target of `fuzz/` under libFuzzer, two at a time. What goes new ways is kept in `fuzz/corpus`, as
//! few and as short inputs as go all of them; what ends a run is kept beside them as `found-...` and counts as a finding.
//!
//! libFuzzer is built and steered from here: only our own crates are compiled with its counters (as the wrapper of rustc this very
//! program adds the flags), so that dependencies are those of the tests and a build takes a minute. No sanitizer: the code is safe
//! Rust, it works on stable, and inputs are tried twice as often.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::ledger::{self, Entry};
use crate::run::{command, output, root, run_command};

/// Seconds of each target in `cargo xtask check`...
const CHECK_SECONDS: u64 = 30;
/// ... but of these, which have been everywhere they can go within a second of their kept inputs.
const SOON_EVERYWHERE: [&str; 3] = ["receipt", "stored_keys", "words"];
/// Their seconds.
const SOON_SECONDS: u64 = 5;
/// Targets that run beside each other.
const AT_ONCE: usize = 2;
/// Bytes of the kept inputs of one target; of more the shortest are kept.
const KEPT_BYTES_MAX: u64 = 72 << 10;
/// An input that takes longer is a finding.
const TIMEOUT_SECONDS: u64 = 10;
/// Resident memory of a run, libFuzzer's own included.
const RESIDENT_MB_MAX: u64 = 1024;
/// Set for the compiler that this program wraps.
const WRAPPER: &str = "COBOX_FUZZ_WRAPPER";
/// What makes rustc put in libFuzzer's counters; see `cargo fuzz build --sanitizer none -v`.
const COUNTERS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "--cfg=fuzzing",
];

/// Which targets are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Those that need no more than the pure crates: a third of the compiling.
    Pure,
}

/// A target, and the program it is in.
#[derive(Debug, Clone)]
struct Target {
    name: String,
    program: PathBuf,
    bytes_max: usize,
}

/// What a run of a target came to.
#[derive(Debug, Default)]
struct Ran {
    executions: u64,
    found: Vec<PathBuf>,
}

/// If cargo called this program as its compiler: compiles with counters, and says how that went.
pub(crate) fn wrapped() -> Option<ExitCode> {
    std::env::var_os(WRAPPER)?;
    let mut args = std::env::args_os().skip(1);
    let mut compiler = Command::new(args.next()?);
    let args: Vec<_> = args.collect();
    // What runs at build time counts nothing, and has nobody to count for it.
    let is_build_script = args.iter().any(|arg| arg.to_string_lossy().starts_with("build_script_"));
    let counters: &[&str] = if is_build_script { &[] } else { &COUNTERS };
    let status = compiler.args(args).args(counters).status();
    Some(match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The short form: every target from its kept inputs on; nothing is kept but findings.
pub(crate) fn check() -> Result<()> {
    let Some(targets) = build(Which::Pure)? else { return Ok(()) };
    let seconds = |target: &Target| match SOON_EVERYWHERE.contains(&target.name.as_str()) {
        true => SOON_SECONDS,
        false => CHECK_SECONDS,
    };
    let ran = all(&targets, |target| Duration::from_secs(seconds(target)))?;
    let executions: u64 = ran.values().map(|ran| ran.executions).sum();
    let long = targets.iter().filter(|target| seconds(target) == CHECK_SECONDS).count();
    println!("{} targets, {long} of them for {CHECK_SECONDS} s, {executions} executions", targets.len());
    refuse_findings(&ran)
}

/// What the short form needs.
pub(crate) fn build_for_check() -> Result<()> {
    build(Which::Pure).map(drop)
}

/// The long form: as many minutes in all as given, corpora grown and made small again, a row in the ledger.
pub(crate) fn campaign(time: Duration) -> Result<()> {
    let Some(targets) = build(Which::All)? else { return Ok(()) };
    let each = time.mul_f64(AT_ONCE as f64) / targets.len() as u32;
    let cpu = ledger::children_cpu_seconds();
    let ran = all(&targets, |_| each)?;
    for target in &targets {
        minimise(target)?;
    }
    let executions: u64 = ran.values().map(|ran| ran.executions).sum();
    let found: Vec<String> = ran
        .iter()
        .filter(|(_, ran)| !ran.found.is_empty())
        .map(|(name, ran)| format!("{name}: {}", ran.found.len()))
        .collect();
    ledger::append(&Entry {
        kind: "fuzz",
        what: format!("{} targets, {:.0} s each", targets.len(), each.as_secs_f64()),
        counts: format!("{:.1} million executions", executions as f64 / 1e6),
        cpu_hours: (ledger::children_cpu_seconds() - cpu) / 3600.0,
        findings: if found.is_empty() { "none".into() } else { found.join(", ") },
    })?;
    refuse_findings(&ran)
}

fn refuse_findings(ran: &BTreeMap<String, Ran>) -> Result<()> {
    let found: Vec<String> = ran.values().flat_map(|ran| &ran.found).map(|path| path.display().to_string()).collect();
    ensure!(found.is_empty(), "inputs that something does not hold for:\n  {}", found.join("\n  "));
    Ok(())
}

/// The targets, built. `None`, with the reason printed, where they can not be.
fn build(which: Which) -> Result<Option<Vec<Target>>> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let there = Command::new(&compiler).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        println!("fuzz: skipped: libFuzzer needs a C++ compiler, and {compiler:?} does not run here");
        return Ok(None);
    }
    if !cfg!(target_os = "linux") {
        println!("fuzz: skipped: the counters are tried on Linux alone");
        return Ok(None);
    }
    // The whole workspace's features, so that dependencies are built as for the tests and not once more.
    let (features, programs): (&[&str], &[&str]) = match which {
        Which::All => (&[], &["--bin", "fuzz-pure", "--bin", "fuzz-programs"]),
        Which::Pure => (&["--no-default-features"], &["--bin", "fuzz-pure"]),
    };
    let fixed = ["build", "--workspace", "--locked", "--quiet", "--features", "cobox-fuzz/libfuzzer"];
    let mut cargo = command("cargo", &[&fixed, features, programs].concat());
    run_command(cargo.env("RUSTC_WORKSPACE_WRAPPER", std::env::current_exe()?).env(WRAPPER, "1"))?;
    let seeds = root().join("target/fuzz/seeds");
    fresh(&seeds)?;
    let seeds = seeds.to_string_lossy();
    let lists = [&["run", "--quiet", "--locked"], features, &["--bin", "fuzz-seed", &seeds]].concat();
    let listed = output("cargo", &lists)?;
    let mut targets = Vec::new();
    for line in listed.lines() {
        let [program, name, bytes_max] = line.split(' ').collect::<Vec<_>>()[..] else {
            bail!("{line:?} is no target")
        };
        let program = root().join("target/debug").join(program);
        targets.push(Target { name: name.into(), program, bytes_max: bytes_max.parse()? });
    }
    ensure!(targets.len() >= 16, "only {} targets were found", targets.len());
    Ok(Some(targets))
}

fn seeds(target: &Target) -> PathBuf {
    root().join("target/fuzz/seeds").join(&target.name)
}

fn kept(target: &Target) -> PathBuf {
    root().join("fuzz/corpus").join(&target.name)
}

/// Where a target's runs leave what is not kept.
fn scratch(target: &Target, what: &str) -> PathBuf {
    root().join("target/fuzz").join(&target.name).join(what)
}

fn fresh(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("could not empty {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("could not make {}", dir.display()))
}

/// All targets, [`AT_ONCE`] beside each other, each for as long as is said.
fn all(targets: &[Target], time: impl Fn(&Target) -> Duration + Sync) -> Result<BTreeMap<String, Ran>> {
    let queue = Mutex::new(targets.iter());
    let ran = Mutex::new(BTreeMap::new());
    let worker = || -> Result<()> {
        loop {
            let next = queue.lock().map_err(|_| anyhow::anyhow!("another target's run failed"))?.next();
            let Some(target) = next else { return Ok(()) };
            let one = run_target(target, time(target))?;
            println!("  {:<12} {:>10} executions, {} found", target.name, one.executions, one.found.len());
            ran.lock().map_err(|_| anyhow::anyhow!("another target's run failed"))?.insert(target.name.clone(), one);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker failed")))
    })?;
    ran.into_inner().map_err(|_| anyhow::anyhow!("a target's run failed"))
}

fn libfuzzer(target: &Target) -> Command {
    let mut command = Command::new(&target.program);
    command.env("COBOX_FUZZ_TARGET", &target.name).stdin(Stdio::null()).stdout(Stdio::null());
    command.arg(format!("-max_len={}", target.bytes_max));
    command.arg(format!("-timeout={TIMEOUT_SECONDS}")).arg(format!("-rss_limit_mb={RESIDENT_MB_MAX}"));
    command
}

/// One target for this long. What it learns goes to its scratch directory; a finding ends it early.
fn run_target(target: &Target, time: Duration) -> Result<Ran> {
    let (grown, found, log) = (scratch(target, "grown"), scratch(target, "found"), scratch(target, "log"));
    fresh(&grown)?;
    fresh(&found)?;
    fs::create_dir_all(kept(target))?;
    let mut command = libfuzzer(target);
    command.arg(format!("-max_total_time={}", time.as_secs().max(1))).arg("-print_final_stats=1");
    command.arg(format!("-artifact_prefix={}/", found.display())).arg(&grown).arg(kept(target)).arg(seeds(target));
    let ended = command.stderr(fs::File::create(&log)?).status()?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    let executions = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let mut ran = Ran { executions: executions.and_then(|n| n.trim().parse().ok()).unwrap_or(0), found: vec![] };
    for entry in fs::read_dir(&found)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let lasting = kept(target).join(format!("found-{name}"));
        fs::copy(&path, &lasting).with_context(|| format!("could not keep {}", path.display()))?;
        ran.found.push(lasting);
    }
    if !ended.success() && ran.found.is_empty() {
        bail!("target {} could not run; see {}", target.name, log.display());
    }
    Ok(ran)
}

/// Leaves of the kept and the grown inputs as few as go all their ways, the shortest first, and all findings.
fn minimise(target: &Target) -> Result<()> {
    let (grown, merged, kept) = (scratch(target, "grown"), scratch(target, "merged"), kept(target));
    fresh(&merged)?;
    let log = fs::File::create(scratch(target, "merge-log"))?;
    let ended = libfuzzer(target)
        .arg("-merge=1")
        .arg(&merged)
        .arg(&kept)
        .arg(&grown)
        .arg(seeds(target))
        .stderr(log)
        .status()?;
    ensure!(ended.success(), "the inputs of {} could not be merged", target.name);
    let mut inputs = Vec::new();
    for entry in fs::read_dir(&merged)? {
        let bytes = fs::read(entry?.path())?;
        inputs.push(bytes);
    }
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    for entry in fs::read_dir(&kept)? {
        let path = entry?.path();
        let is_finding = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("found-"));
        if !is_finding {
            fs::remove_file(&path).with_context(|| format!("could not remove {}", path.display()))?;
        }
    }
    let mut total = 0;
    for (at, bytes) in inputs.iter().enumerate() {
        total += bytes.len() as u64;
        if total > KEPT_BYTES_MAX {
            break;
        }
        fs::write(kept.join(format!("{at:04}")), bytes)?;
    }
    Ok(())
}
