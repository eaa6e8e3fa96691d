//! What a run costs: seconds, processor time and memory by process, bytes over the loopback interface, blocks on the disk.
//!
//! Bytes on the wire are those of the loopback interface in a network namespace of the run's own, less what the harness itself
//! asked the programs for; without a namespace they are not counted.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::data::Workload;

/// Set in the process that runs in a network namespace of its own.
pub(super) const ALONE: &str = "COBOX_BENCH_ALONE";
/// What a request and its answer cost on loopback beside their bytes: some ten packets with their headers.
const REQUEST_OVERHEAD_BYTES: u64 = 660;
/// How often a short-lived process is looked at for its memory.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

thread_local! {
    /// Bytes that the harness itself sent over loopback.
    static OWN_BYTES: Cell<u64> = const { Cell::new(0) };
}

/// One measured run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) peer: &'static str,
    pub(super) workload: Workload,
    pub(super) op: &'static str,
    pub(super) wall_s: f64,
    /// Seconds of processor time and megabytes of memory at most, by process.
    pub(super) cpu_by: BTreeMap<String, f64>,
    pub(super) peak_mb_by: BTreeMap<String, f64>,
    pub(super) wire_mb: Option<f64>,
    /// Megabytes of state beside the files themselves, by process.
    pub(super) state_mb_by: BTreeMap<String, f64>,
    /// Figures that only this operation has.
    pub(super) more: BTreeMap<&'static str, f64>,
}

impl Run {
    pub(super) fn cpu_s(&self) -> f64 {
        self.cpu_by.values().sum()
    }
}

/// A process that lives through the run.
pub(super) trait Lasting {
    /// What it is called in the table.
    fn name(&self) -> &str;
    /// Its number.
    fn pid(&self) -> u32;
}

/// A measurement under way.
pub(super) struct Meter {
    begun: Instant,
    cpu_before: BTreeMap<String, f64>,
    commands_before: f64,
    wire_before: Option<u64>,
    peaks: BTreeMap<String, f64>,
}

impl Meter {
    /// Begins. From here on the peak of each process's memory counts anew.
    pub(super) fn begin(processes: &[&dyn Lasting]) -> Result<Self> {
        let mut cpu_before = BTreeMap::new();
        for process in processes {
            cpu_before.insert(process.name().to_owned(), cpu_s(process.pid())?);
            // Not every system lets us; then the peak is that since the process began.
            for pid in children(process.pid()).into_iter().chain([process.pid()]) {
                let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
            }
        }
        Ok(Self {
            begun: Instant::now(),
            cpu_before,
            commands_before: commands_cpu_s()?,
            wire_before: wire_bytes(),
            peaks: BTreeMap::new(),
        })
    }

    /// Runs a command to its end, watching its memory.
    pub(super) fn command(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let status = loop {
            if let Ok(now) = peak_mb(child.id()) {
                let peak = self.peaks.entry(name.to_owned()).or_default();
                *peak = peak.max(now);
            }
            match child.try_wait()? {
                Some(status) => break status,
                None => std::thread::sleep(LOOK_AGAIN),
            }
        };
        if !status.success() {
            let mut said = String::new();
            if let Some(mut err) = child.stderr.take() {
                std::io::Read::read_to_string(&mut err, &mut said)?;
            }
            bail!("{name} ended with {status}: {said}");
        }
        Ok(())
    }

    /// Seconds so far.
    pub(super) fn so_far_s(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Bytes over the wire so far.
    pub(super) fn wire_so_far(&self) -> Option<u64> {
        Some(wire_bytes()?.saturating_sub(self.wire_before?))
    }

    /// Ends.
    pub(super) fn end(
        self,
        peer: &'static str,
        workload: Workload,
        op: &'static str,
        processes: &[&dyn Lasting],
    ) -> Result<Run> {
        let wall_s = self.so_far_s();
        let wire_mb = self.wire_so_far().map(|bytes| bytes as f64 / 1e6);
        let (mut cpu_by, mut peak_mb_by) = (BTreeMap::new(), self.peaks);
        for process in processes {
            let before = self.cpu_before.get(process.name()).copied().unwrap_or(0.0);
            cpu_by.insert(process.name().to_owned(), cpu_s(process.pid())? - before);
            peak_mb_by.insert(process.name().to_owned(), peak_mb(process.pid())?);
        }
        cpu_by.insert("commands".into(), commands_cpu_s()? - self.commands_before);
        let (state_mb_by, more) = (BTreeMap::new(), BTreeMap::new());
        Ok(Run { peer, workload, op, wall_s, cpu_by, peak_mb_by, wire_mb, state_mb_by, more })
    }
}

/// Whether bytes on the wire can be told.
pub(super) fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// Runs this program again in a network namespace of its own; `None` where the system lets us make none.
pub(super) fn run_alone(args: &[&str]) -> Result<Option<()>> {
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        // Only root may make one as it is; others as the same user in a user namespace.
        let who: &[&str] = if super::is_root() { &[] } else { &["--map-current-user", "--keep-caps"] };
        command.arg("--net").args(who).args(["--", "sh", "-c", script]).arg(std::env::current_exe()?);
        anyhow::Ok(command)
    };
    let works = inside("ip link set lo up")?.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !works {
        return Ok(None);
    }
    let mut again = inside("ip link set lo up && exec \"$0\" \"$@\"")?;
    let status = again.arg("bench").args(args).env(ALONE, "1").status()?;
    ensure!(status.success(), "the benchmark ended with {status}");
    Ok(Some(()))
}

/// The harness asked a program something over loopback.
pub(super) fn note_own_bytes(bytes: u64) {
    OWN_BYTES.with(|own| own.set(own.get() + bytes + REQUEST_OVERHEAD_BYTES));
}

fn wire_bytes() -> Option<u64> {
    if !is_alone() {
        return None;
    }
    let devices = fs::read_to_string("/proc/net/dev").ok()?;
    let counters = devices.lines().find_map(|line| line.trim_start().strip_prefix("lo:"))?;
    let received: u64 = counters.split_whitespace().next()?.parse().ok()?;
    Some(received.saturating_sub(OWN_BYTES.with(Cell::get)))
}

/// Processor seconds of a process, of its children, and of those they have waited for.
pub(super) fn cpu_s(pid: u32) -> Result<f64> {
    let own: f64 = times(&format!("/proc/{pid}/stat"))?.iter().sum();
    let below = children(pid).into_iter().map(|child| cpu_s(child).unwrap_or(0.0));
    Ok(own + below.sum::<f64>())
}

/// The children a process has now.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Of the commands we ran and waited for.
fn commands_cpu_s() -> Result<f64> {
    Ok(times("/proc/self/stat")?[2..].iter().sum())
}

/// User and system time, own and of children, in seconds.
fn times(stat: &str) -> Result<[f64; 4]> {
    if !cfg!(target_os = "linux") {
        return Ok([0.0; 4]);
    }
    let stat = fs::read_to_string(stat).context("the process has ended")?;
    // Behind the program's name in parentheses; in hundredths on every Linux.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
    Ok([ticks(11), ticks(12), ticks(13), ticks(14)])
}

/// The most memory a process and its children had at once, in MB.
pub(super) fn peak_mb(pid: u32) -> Result<f64> {
    memory_mb(pid, "VmHWM:")
}

/// What it has now.
pub(super) fn resident_mb(pid: u32) -> Result<f64> {
    memory_mb(pid, "VmRSS:")
}

fn memory_mb(pid: u32, which: &str) -> Result<f64> {
    let below = children(pid).into_iter().map(|child| memory_mb(child, which).unwrap_or(0.0));
    Ok(own_memory_mb(pid, which)? + below.sum::<f64>())
}

fn own_memory_mb(pid: u32, which: &str) -> Result<f64> {
    if !cfg!(target_os = "linux") {
        return Ok(0.0);
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap_or_default();
    let kib: f64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
    Ok(kib * 1024.0 / 1e6)
}

/// What a directory takes on the disk, in MB.
pub(super) fn disk_mb(root: &Path) -> Result<f64> {
    use std::os::unix::fs::MetadataExt;
    if !root.exists() {
        return Ok(0.0);
    }
    let (mut blocks, mut todo) = (0, vec![root.to_path_buf()]);
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            // What is removed while we look counts nothing.
            let Ok(about) = entry.metadata() else { continue };
            blocks += about.blocks();
            if about.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    Ok(blocks as f64 * 512.0 / 1e6)
}
