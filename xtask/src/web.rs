//! `cargo xtask web`: installs what the web page is built from, exactly as its lock file says, and builds it into `web/dist`, from
//! where cobox takes it. Needs Node.js; cobox itself is built without.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::licences;
use crate::run::{output, root, run, run_command};

/// The oldest Node.js that the tools run on.
const NODE_MIN: u32 = 20;
/// Where Debian's package puts it; `CHROMIUM` names another.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Installs and builds.
pub(crate) fn web() -> Result<()> {
    match node() {
        Some(major) if major >= NODE_MIN => build(),
        Some(major) => bail!("Node.js {major} is too old for the web page: install {NODE_MIN} or newer"),
        None => bail!("the web page is built with Node.js: install Node.js {NODE_MIN} or newer, with npm"),
    }
}

/// The same where Node.js is there; otherwise says what is left out.
pub(crate) fn web_if_possible() -> Result<()> {
    if node().is_some_and(|major| major >= NODE_MIN) {
        return build();
    }
    println!(
        "without the web page: it is built with Node.js {NODE_MIN} or newer; install that and call `cargo xtask web`"
    );
    Ok(())
}

/// `check`: types, texts, size, and what can be tried without a browser.
pub(crate) fn check() -> Result<()> {
    web()?;
    npm(&["run", "--silent", "unit"])
}

/// `web browser`: builds the page, and tries it.
pub(crate) fn browser() -> Result<()> {
    web()?;
    run("cargo", &["build", "--locked", "--bin", "cobox", "--bin", "cobox-seeder"])?;
    stories()
}

/// Stories in a real browser, of the page and with the programs as they were last built. The tests need those too: what builds the
/// tests has built them.
pub(crate) fn stories() -> Result<()> {
    have_chromium()?;
    npm(&["run", "--silent", "browser"])
}

/// `bench web`: how fast the page is, in the browser's own timings.
pub(crate) fn bench() -> Result<()> {
    have_chromium()?;
    web()?;
    run("cargo", &["build", "--release", "--locked", "--bin", "cobox", "--bin", "cobox-seeder"])?;
    let mut speed = Command::new("npm");
    speed.args(["run", "--silent", "speed"]).current_dir(directory()).env("COBOX_PROGRAMS", "../../target/release");
    run_command(&mut speed)
}

/// Debian's package is installed where that can be done; elsewhere it is said what to install.
fn have_chromium() -> Result<()> {
    let there = || Path::new(CHROMIUM).exists() || std::env::var_os("CHROMIUM").is_some();
    if there() {
        return Ok(());
    }
    if is_root()? && Path::new("/usr/bin/apt-get").exists() {
        println!("installing chromium");
        run("apt-get", &["update", "--quiet"])?;
        run("apt-get", &["install", "--yes", "--quiet", "--no-install-recommends", "chromium"])?;
    }
    if !there() {
        bail!(
            "the page is tried in Chromium: install it (on Debian: apt-get install chromium), or name it in CHROMIUM"
        );
    }
    Ok(())
}

fn is_root() -> Result<bool> {
    Ok(output("id", &["--user"])?.trim() == "0")
}

/// One of the scripts in `package.json`.
fn npm(args: &[&str]) -> Result<()> {
    run_command(Command::new("npm").args(args).current_dir(directory()))
}

fn build() -> Result<()> {
    install()?;
    npm(&["run", "--silent", "build"])?;
    licences::write(&directory().join("dist/assets/crates.json"))
}

/// Installs by the lock file, unless that was done already.
fn install() -> Result<()> {
    let lock = fs::read(directory().join("package-lock.json"))?;
    let done = directory().join("node_modules/.installed-by-xtask");
    if fs::read(&done).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    npm(&["ci", "--no-audit", "--no-fund"])?;
    Ok(fs::write(done, lock)?)
}

fn directory() -> PathBuf {
    root().join("web")
}

/// The major version of Node.js, if there is one.
fn node() -> Option<u32> {
    let said = Command::new("node").arg("--version").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    said.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}
