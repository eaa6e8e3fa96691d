//! `cargo xtask api`: asks a running service everything its document allows, and much that it does not, with the token and without
//! (schemathesis, from PyPI, in `target`). No answer may be one the document does not tell of, and none may say that the service broke.
//!
//! What is asked names directories of this computer, too: to make a folder of, to restore into. So the service runs in a mount namespace
//! where it can write below its own directory alone; without `unshare` it is not run at all. Not a part of `check`: it needs Python and
//! takes minutes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run::{root, run, run_command};

/// The version the API was tried with.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// How long the service may take to answer.
const START_MAX: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Nobody is there to be reached, and that takes its time to find out.
const ANSWER_S_MAX: &str = "90";
/// What is looked at in an answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// What would end the run: the service stops, or tells for ever.
const LEFT_OUT: [&str; 2] = ["/api/v1/down", "/api/v1/events"];
/// Takes away what the other questions are about: asked at the end.
const LAST: &str = "/api/v1/folders/{folder}/leave";

/// Everything is for reading only, but `$1`; then the rest of the words is run.
const LOCKED_IN: &str = r#"
set -e
here=$1; shift
mount --bind "$here" "$here"
cut -d' ' -f2 /proc/self/mounts | sort -r | while read -r at; do
  [ "$at" = "$here" ] || mount -o remount,bind,ro "$at" 2>/dev/null || true
done
if touch / 2>/dev/null; then echo "this place can not be locked" >&2; exit 1; fi
exec "$@"
"#;

/// Names that stand for something that is there, and a refusal that is no fault: nobody could be reached in time.
const SETTINGS: &str = r#"
[parameters]
folder = "Choir"
path = "song 1.txt"

[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 504]
"#;
/// The same with whatever comes to mind for names.
const SETTINGS_FREE: &str = r#"
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 504]
"#;

/// A service that is stopped when this goes.
struct Service {
    here: PathBuf,
    child: Child,
    url: String,
    token: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _ended = self.child.wait();
        // One of the questions starts a seeder, which outlives who asked.
        let _none_was_started =
            in_place(Command::new(root().join("target/debug/cobox-seeder")).arg("down"), &self.here)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
    }
}

/// Installs, starts, asks.
pub(crate) fn api() -> Result<()> {
    let asker = installed()?;
    run("cargo", &["build", "--locked", "--bin", "cobox", "--bin", "cobox-seeder"])?;
    let here = root().join("target/api-world");
    let _of_an_earlier_run = fs::remove_dir_all(&here);
    let docs = here.join("Choir");
    fs::create_dir_all(&docs)?;
    for n in 1..=3 {
        fs::write(docs.join(format!("song {n}.txt")), format!("la {n}\n"))?;
    }
    fs::write(here.join("fixed.toml"), SETTINGS)?;
    fs::write(here.join("free.toml"), SETTINGS_FREE)?;
    let service = start(&here)?;
    make_folder(&here, &docs)?;
    let document = root().join("spec/openapi.json");
    let ask = |settings: &str, token: Option<&str>, more: &[&str]| {
        let mut ask = Command::new(&asker);
        ask.current_dir(&here).arg("--config-file").arg(here.join(settings)).arg("run").arg(&document);
        ask.args(["--url", &service.url, "--checks", CHECKS, "--request-timeout", ANSWER_S_MAX]);
        ask.args(["--continue-on-failure", "--warnings", "off", "--workers", "2"]);
        for path in LEFT_OUT {
            ask.args(["--exclude-path", path]);
        }
        if let Some(token) = token {
            ask.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        run_quietly(ask.args(more))
    };
    let token = Some(service.token.as_str());
    println!("== with the token, of what is there");
    ask(
        "fixed.toml",
        token,
        &["--exclude-path", LAST, "--phases", "examples,coverage,fuzzing", "--max-examples", "20"],
    )?;
    println!("== without the token");
    ask("fixed.toml", None, &["--phases", "coverage,fuzzing", "--max-examples", "3"])?;
    println!("== with the token, of whatever comes to mind");
    ask("free.toml", token, &["--phases", "examples,coverage,fuzzing", "--max-examples", "20"])?;
    println!("every answer is one that the document tells of");
    Ok(())
}

/// The token stands among the words of the command, so they are not shown.
fn run_quietly(command: &mut Command) -> Result<()> {
    let status = command.status().context("schemathesis could not be started")?;
    if !status.success() {
        bail!("the API answered as its document does not say: see above, or \"st explain\"");
    }
    Ok(())
}

/// Where schemathesis is, installed once.
fn installed() -> Result<PathBuf> {
    let home = root().join("target/tools").join(SCHEMATHESIS.replace("==", "-"));
    let program = home.join("bin/schemathesis");
    if !program.exists() {
        println!("installing {SCHEMATHESIS} into {}", home.display());
        let made = Command::new("python3").args(["-m", "venv"]).arg(&home).status();
        if !made.is_ok_and(|status| status.success()) {
            bail!(
                "the API is asked with schemathesis: install Python 3 with venv (on Debian: apt-get install python3-venv)"
            );
        }
        run_command(Command::new(home.join("bin/pip")).args(["install", "--quiet", SCHEMATHESIS]))?;
    }
    Ok(program)
}

/// Everything that looks for its place in the environment finds it below `here`.
fn in_place<'a>(command: &'a mut Command, here: &Path) -> &'a mut Command {
    command.env("HOME", here).env_remove("XDG_DATA_HOME").env_remove("COBOX_SEEDER_HOME")
}

/// Starts the service where it can write below `here` alone.
fn start(here: &Path) -> Result<Service> {
    let (home, program) = (here.join("home"), root().join("target/debug/cobox"));
    let log = fs::File::create(here.join("service.log"))?;
    let mut locked_in = Command::new("unshare");
    locked_in
        .args(["--map-root-user", "--mount", "--propagation", "private", "sh", "-c", LOCKED_IN, "sh"])
        .arg(here)
        .arg(&program)
        .arg("--home")
        .arg(&home)
        .args(["up", "--foreground", "--name", "Ana", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let mut child =
        in_place(&mut locked_in, here).spawn().context("the service is locked in with unshare, which is not there")?;
    let begun = Instant::now();
    loop {
        let said = fs::read(home.join("api.json")).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        if let Some((address, token)) = said.as_ref().and_then(|s| Some((s["address"].as_str()?, s["token"].as_str()?)))
        {
            return Ok(Service { here: here.into(), child, url: format!("http://{address}"), token: token.to_owned() });
        }
        let has_ended = child.try_wait()?.is_some();
        if has_ended || begun.elapsed() > START_MAX {
            let _gone_already = child.kill();
            let why = fs::read_to_string(here.join("service.log")).unwrap_or_default();
            bail!("the service did not start, locked in as it must be:\n{why}");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn make_folder(here: &Path, docs: &Path) -> Result<()> {
    let program = root().join("target/debug/cobox");
    let cobox = |args: &[&str]| {
        let mut cobox = Command::new(&program);
        run_command(cobox.arg("--home").arg(here.join("home")).arg("--quiet").args(args).current_dir(here))
    };
    cobox(&["create", &docs.to_string_lossy()])?;
    cobox(&["status", "--wait", "--timeout", "30"])
}
