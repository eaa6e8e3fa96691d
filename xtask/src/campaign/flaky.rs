//! `cargo xtask campaign flaky`: the tests again and again, on a machine at rest or with every core kept busy by somebody else. A failure
//! stops nothing; it is counted by name and its run's output is kept below `target/flaky`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::ledger::{self, Entry};
use crate::check::tests_with;
use crate::run::{command, root, run_command};

/// Spins until it is killed, or its parent is gone.
const SPIN: &str = "while kill -0 $PPID 2>/dev/null; do i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; done";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    runs: u32,
    loaded: bool,
}

impl Asked {
    fn of(args: &[&str], usage: &str) -> Result<Self> {
        let (mut runs, mut loaded) = (None, false);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--runs" => {
                    let number = args.next().with_context(|| usage.to_owned())?;
                    runs = Some(number.parse().with_context(|| format!("{number:?} is not a number of runs"))?);
                }
                "--loaded" => loaded = true,
                _ => bail!("{usage}"),
            }
        }
        let runs = runs.filter(|runs| *runs > 0).with_context(|| usage.to_owned())?;
        Ok(Self { runs, loaded })
    }
}

/// A neighbour on every core, each of the same priority as the tests: they get half of the machine. Gone when dropped.
struct Load {
    spinning: Vec<Child>,
}

impl Load {
    fn new() -> Result<Self> {
        let mut load = Self { spinning: Vec::new() };
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            let mut spin = command("sh", &["-c", SPIN]);
            load.spinning.push(spin.stdin(Stdio::null()).spawn().context("could not keep a core busy")?);
        }
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.spinning {
            let _already_gone = child.kill();
            let _already_gone = child.wait();
        }
    }
}

/// So many runs of the tests; a row in the ledger; an error if any failed.
pub(super) fn campaign(args: &[&str], usage: &str) -> Result<()> {
    let Asked { runs, loaded } = Asked::of(args, usage)?;
    run_command(&mut tests_with(&["--no-run", "--quiet"]))?;
    let logs = root().join("target/flaky");
    fs::create_dir_all(&logs).with_context(|| format!("could not make {}", logs.display()))?;
    let cpu = ledger::children_cpu_seconds();
    let load = loaded.then(Load::new).transpose()?;
    let (mut failed_runs, mut passed, mut slowest) = (0_u32, 0_u64, 0.0_f64);
    let mut failed = BTreeMap::<String, u32>::new();
    for number in 1..=runs {
        let begun = Instant::now();
        let log = logs.join(format!("run-{number}.log"));
        let told = one_run(&log)?;
        let seconds = begun.elapsed().as_secs_f64();
        slowest = slowest.max(seconds);
        passed += told.passed;
        println!("run {number} of {runs}: {seconds:.0} s, {} passed, {} failed", told.passed, told.failed.len());
        if told.failed.is_empty() {
            fs::remove_file(&log).with_context(|| format!("could not remove {}", log.display()))?;
            continue;
        }
        failed_runs += 1;
        for name in told.failed {
            println!("  {name}");
            *failed.entry(name).or_default() += 1;
        }
        println!("  its output is in {}", log.display());
    }
    // Read while the neighbours still run: those that were not waited for are not in it.
    let cpu = ledger::children_cpu_seconds() - cpu;
    drop(load);
    let found: Vec<String> = failed.iter().map(|(name, times)| format!("{name}: {times}")).collect();
    let beside = if loaded { ", every core kept busy beside them" } else { "" };
    ledger::append(&Entry {
        kind: "flaky",
        what: format!("{runs} runs of `cargo xtask check --tests`{beside}"),
        counts: format!("{passed} tests passed, {failed_runs} runs with a failure, the slowest run {slowest:.0} s"),
        cpu_hours: cpu / 3600.0,
        findings: if found.is_empty() { "none".into() } else { found.join(", ") },
    })?;
    ensure!(failed.is_empty(), "{failed_runs} of {runs} runs failed: {}", found.join(", "));
    Ok(())
}

/// What a run said of its tests.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    passed: u64,
    failed: Vec<String>,
}

impl Told {
    /// A line of libtest's: `test some::name ... FAILED`. Under load other output can stand between the name and its end.
    fn hear(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test ") else { return };
        if rest.ends_with("... ok") {
            self.passed += 1;
        } else if let Some(name) = rest.strip_suffix(" ... FAILED") {
            self.failed.push(name.into());
        }
    }

    /// What cargo says of programs of tests that failed, if no test of theirs has a name: one that was killed or aborted.
    fn hear_cargo(&mut self, said: &str) {
        if self.failed.is_empty() {
            let programs =
                said.lines().filter_map(|line| line.split_once("to rerun pass ")).map(|(_, program)| program);
            self.failed.extend(programs.map(|program| format!("the whole of {}", program.trim().trim_matches('`'))));
        }
    }
}

/// All tests once, whichever fail. What they print goes to the log.
fn one_run(log: &std::path::Path) -> Result<Told> {
    let mut tests = tests_with(&["--no-fail-fast"]);
    let mut child = tests.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut told = Told::default();
    let (out, mut err) = (child.stdout.take().context("it is piped")?, child.stderr.take().context("it is piped")?);
    let said = thread::spawn(move || {
        let mut said = Vec::new();
        err.read_to_end(&mut said).map(|_| said)
    });
    let mut kept = Vec::new();
    for line in BufReader::new(out).split(b'\n') {
        let line = line?;
        told.hear(&String::from_utf8_lossy(&line));
        kept.extend_from_slice(&line);
        kept.push(b'\n');
    }
    let said = said.join().map_err(|_| anyhow::anyhow!("the reader of the tests' messages failed"))??;
    let ended = child.wait()?;
    kept.extend_from_slice(&said);
    fs::write(log, kept).with_context(|| format!("could not keep {}", log.display()))?;
    if !ended.success() {
        told.hear_cargo(&String::from_utf8_lossy(&said));
        ensure!(!told.failed.is_empty(), "the tests ended {ended} and none has failed; see {}", log.display());
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_understood_or_refused() {
        assert_eq!(Asked::of(&["--runs", "20"], "").unwrap(), Asked { runs: 20, loaded: false });
        assert_eq!(Asked::of(&["--loaded", "--runs", "5"], "").unwrap(), Asked { runs: 5, loaded: true });
        for wrong in [&[][..], &["--runs"], &["--runs", "0"], &["--runs", "x"], &["--loaded"], &["--runs", "1", "x"]] {
            assert!(Asked::of(wrong, "usage").is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn failed_tests_are_told_by_name_and_a_program_that_died_by_its_own() {
        let mut told = Told::default();
        let said = "running 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\ntest d ... ignored\ntest e: note ... ok\n";
        said.lines().for_each(|line| told.hear(line));
        assert_eq!(told, Told { passed: 2, failed: vec!["a::c".into()] });
        told.hear_cargo("error: test failed, to rerun pass `-p x --test it`\n");
        assert_eq!(told.failed.len(), 1, "its test has a name");
        let mut told = Told::default();
        told.hear_cargo("error: test failed, to rerun pass `-p x --test it`\n\nCaused by:\n  signal: 9\n");
        assert_eq!(told.failed, ["the whole of -p x --test it"]);
    }

    #[test]
    fn a_load_keeps_cores_busy_until_it_is_dropped() {
        let load = Load::new().unwrap();
        let ids: Vec<u32> = load.spinning.iter().map(Child::id).collect();
        let there = |id: &u32| std::path::Path::new(&format!("/proc/{id}")).exists();
        assert!(!ids.is_empty() && (!cfg!(target_os = "linux") || ids.iter().all(there)));
        drop(load);
        assert!(!ids.iter().any(there));
    }
}
