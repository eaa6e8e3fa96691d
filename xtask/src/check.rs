//! `cargo xtask check`: all of CI, in the order in which it fails soonest. Tools it needs are installed below `target/tools`.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::Result;

use crate::campaign::fuzz;
use crate::run::{command, root, run, run_command};
use crate::tidy::tidy;
use crate::web;

/// A tool from crates.io at the version the project is checked with.
struct Tool {
    krate: &'static str,
    program: &'static str,
    version: &'static str,
}

/// A check's name, and the check.
type Step = (&'static str, fn() -> Result<()>);

const DENY: Tool = Tool { krate: "cargo-deny", program: "cargo-deny", version: "0.20.2" };

/// What cargo is asked for to run the tests.
const TESTS: [&str; 3] = ["test", "--workspace", "--locked"];
/// Tests beside each other for each core: those of real processes mostly wait, for a disk, a quiet moment or each other.
const TESTS_PER_CORE: usize = 3;

/// Cargo that runs all tests, with more arguments.
pub(crate) fn tests_with(args: &[&str]) -> Command {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut cargo = command("cargo", &[&TESTS[..], args].concat());
    cargo.env("RUST_TEST_THREADS", (cores * TESTS_PER_CORE).to_string());
    cargo
}

/// Where the dice of property tests begin in `check`: a change is judged by what it is, not by its luck. Run by hand, and by
/// `campaign flaky`, they begin anywhere.
const DICE: &str = "20261201";

/// `check --tests`: all tests and nothing else.
pub(crate) fn tests() -> Result<()> {
    run_tests(&[])
}

fn run_tests(args: &[&str]) -> Result<()> {
    run_command(tests_with(args).env("PROPTEST_RNG_SEED", DICE))
}

/// What `check` leaves out of the tests: those of the simulator run with the storm, in the profile that its worlds are built in anyway.
const BUT_THE_SIMULATOR: [&str; 2] = ["--exclude", "cobox-sim"];

pub(crate) fn check() -> Result<()> {
    let begun = Instant::now();
    let mut ahead = None;
    let steps: [Step; 10] = [
        ("fmt", || run("cargo", &["fmt", "--all", "--check"])),
        ("tidy", tidy),
        ("clippy", || run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])),
        ("web", web::check),
        ("tests", || run_tests(&BUT_THE_SIMULATOR)),
        ("browser", web::stories),
        ("fuzz", fuzz::check),
        ("storm", crate::campaign::sim::check),
        ("docs", docs),
        ("deny", deny),
    ];
    for (name, step) in steps {
        println!("== {name}");
        let at = Instant::now();
        match name {
            "tests" => {
                run_command(&mut tests_with(&[&BUT_THE_SIMULATOR[..], &["--no-run"]].concat()))?;
                ahead = Ahead::begin();
            }
            "fuzz" => ahead.take().into_iter().for_each(Ahead::end),
            _ => {}
        }
        step()?;
        println!(
            "== {name}: {:.1} s, {:.1} s since the beginning",
            at.elapsed().as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
    }
    println!("all checks passed in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// `check --ahead`: builds what the steps after the tests need, each as its step would. What fails is left to that step, which says so.
pub(crate) fn build_ahead() {
    let builds: [fn() -> Result<()>; 4] =
        [crate::campaign::sim::build_for_check, fuzz::build_for_check, docs, || installed(&DENY).map(drop)];
    for build in builds {
        // The step does it again.
        drop(build());
    }
}

/// This program building ahead beside the tests, which wait a good third of their time, with what the processors have left.
struct Ahead(Child);

impl Ahead {
    /// `None` where there is no `nice`: then each step builds for itself.
    fn begin() -> Option<Self> {
        let program = std::env::current_exe().ok()?;
        let mut nice = command("nice", &["-n", "19", &program.to_string_lossy(), "check", "--ahead"]);
        nice.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok().map(Self)
    }

    /// Waits until all is built. How that ended does not matter, as in [`build_ahead`].
    fn end(mut self) {
        drop(self.0.wait());
    }
}

impl Drop for Ahead {
    /// The checks ended early: nothing more is begun. A compiler that runs ends by itself.
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn docs() -> Result<()> {
    let mut doc = command("cargo", &["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
    run_command(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Licences, sources and bans need no network; the advisory database does, so it is asked only where it can be reached.
fn deny() -> Result<()> {
    let deny = installed(&DENY)?;
    let deny = deny.to_string_lossy();
    run(&deny, &["--locked", "check", "bans", "licenses", "sources"])?;
    let advisories = command(&deny, &["--locked", "check", "advisories"]).output()?;
    let said = String::from_utf8_lossy(&advisories.stderr);
    if advisories.status.success() {
        println!("advisories ok");
    } else if said.contains("failed to fetch")
        || said.contains("unable to clone")
        || said.contains("failed to load advisory")
    {
        println!("advisories: the database can not be reached from here; not checked");
    } else {
        print!("{said}");
        anyhow::bail!("an advisory stands against a dependency");
    }
    Ok(())
}

/// Where the tool is, built once into `target/tools`. Built without optimisation: it runs for a second, and building it
/// is what costs.
fn installed(tool: &Tool) -> Result<PathBuf> {
    let home = root().join("target/tools").join(format!("{}-{}", tool.krate, tool.version));
    let program = home.join("bin").join(tool.program);
    if !program.exists() {
        println!("installing {} {} into {}", tool.krate, tool.version, home.display());
        let home = home.to_string_lossy();
        let args =
            ["install", tool.krate, "--version", tool.version, "--locked", "--debug", "--quiet", "--root", &home];
        let mut install = command("cargo", &args);
        run_command(install.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_OPT_LEVEL", "0"))?;
    }
    Ok(program)
}
