//! Homes and processes of one run, on loopback alone; everything is ended and removed when they are dropped.

use std::fs::{self, File};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The longest a run may take.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How often to look: asking costs some milliseconds of processor time itself.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The one folder.
const FOLDER: &str = "data";

/// A directory for the computers of one run.
pub(crate) struct Place {
    root: PathBuf,
    programs: PathBuf,
}

impl Place {
    pub(crate) fn new(below: &Path, programs: &Path) -> Result<Self> {
        let root = below.join(format!("run-{}", std::process::id()));
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        fs::create_dir_all(&root)?;
        Ok(Self { root, programs: programs.into() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A member's computer, running.
    pub(crate) fn member(&self, name: &str) -> Result<Computer> {
        self.computer(name, "cobox")
    }

    /// A seeder, running.
    pub(crate) fn seeder(&self, name: &str) -> Result<Computer> {
        self.computer(name, "cobox-seeder")
    }

    fn computer(&self, name: &str, program: &str) -> Result<Computer> {
        let dir = self.root.join(name);
        fs::create_dir_all(dir.join("documents"))?;
        if program == "cobox" {
            fs::create_dir_all(dir.join("home"))?;
            fs::write(dir.join("home/config.toml"), "lan_discovery = false\n")?;
        }
        let listen = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let program = self.programs.join(program);
        let mut command = Command::new(&program);
        command.args(["up", "--foreground", "--json", "--quiet", "--name", name, "--listen", &listen]);
        command.arg("--home").arg(dir.join("home")).env("HOME", &dir).env_remove("COBOX_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(dir.join("said"))?);
        let service = command.spawn().with_context(|| format!("{} can not be started", program.display()))?;
        let computer = Computer { name: name.into(), dir, program, service };
        computer.until("it answers", Duration::from_secs(30), || Ok(computer.type_in(&["status"]).is_ok()))?;
        Ok(computer)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _left_in_target = fs::remove_dir_all(&self.root);
    }
}

/// One computer.
pub(crate) struct Computer {
    pub(crate) name: String,
    dir: PathBuf,
    program: PathBuf,
    service: Child,
}

impl Computer {
    /// Where its folder lies.
    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.join("documents").join(FOLDER)
    }

    fn type_in(&self, args: &[&str]) -> Result<Value> {
        let mut command = Command::new(&self.program);
        let out = command
            .args(args)
            .arg("--json")
            .arg("--home")
            .arg(self.dir.join("home"))
            .env("HOME", &self.dir)
            .output()?;
        ensure!(out.status.success(), "{args:?} at {}: {}", self.name, String::from_utf8_lossy(&out.stderr));
        Ok(serde_json::from_slice(&out.stdout)?)
    }

    fn text(&self, args: &[&str], key: &str) -> Result<String> {
        let answer = self.type_in(args)?;
        answer[key].as_str().map(str::to_owned).with_context(|| format!("{args:?} printed no {key}"))
    }

    pub(crate) fn create(&self, root: &Path) -> Result<()> {
        self.type_in(&["create", &root.to_string_lossy()]).map(drop)
    }

    pub(crate) fn key(&self) -> Result<String> {
        self.text(&["whoami"], "cobox_key")
    }

    pub(crate) fn invite(&self, key: &str) -> Result<String> {
        self.text(&["invite", FOLDER, "--to", key], "code")
    }

    pub(crate) fn join(&self, code: &str) -> Result<()> {
        self.type_in(&["join", code, &self.folder().to_string_lossy(), "--timeout", "600"]).map(drop)
    }

    pub(crate) fn offer(&self) -> Result<String> {
        self.text(&["offer", "--space", "50GB"], "offer")
    }

    /// Places a copy and waits until it is complete and signed for.
    pub(crate) fn back_up(&self, offer: &str) -> Result<()> {
        self.type_in(&["backup", "add", FOLDER, offer])?;
        self.until("the seeder has signed", PATIENCE, || {
            let backup = self.status()?["backups"][0].take();
            Ok(backup["complete"] == true && backup["receipt_at"].is_string())
        })
    }

    /// The recovery words, and the tickets.
    pub(crate) fn kit(&self) -> Result<(String, Vec<String>)> {
        let kit = self.type_in(&["recovery", "kit"])?;
        let words = kit["words"].as_str().context("no words")?.to_owned();
        let tickets = kit["seeders"].as_array().into_iter().flatten();
        Ok((words, tickets.filter_map(|ticket| ticket.as_str().map(str::to_owned)).collect()))
    }

    pub(crate) fn recover(&self, words: &str, tickets: &[String]) -> Result<()> {
        let file = self.dir.join("words");
        fs::write(&file, words)?;
        let private = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
        fs::set_permissions(&file, private)?;
        let (file, to) = (file.to_string_lossy(), self.dir.join("documents"));
        let to = to.to_string_lossy();
        let mut args = vec!["recover", "--words-file", &file, "--to", &to];
        tickets.iter().for_each(|ticket| args.extend(["--seeder", ticket]));
        self.type_in(&args).map(drop)
    }

    fn status(&self) -> Result<Value> {
        Ok(self.type_in(&["status", FOLDER])?["folders"][0].take())
    }

    /// Waits until the folder has so many files and nothing is to come.
    pub(crate) fn until_files(&self, files: u64) -> Result<()> {
        self.until("all files are there", PATIENCE, || {
            let status = self.status()?;
            Ok(status["files"] == files && status["pending_files"] == 0)
        })
    }

    /// Waits until in step with all that can be reached.
    pub(crate) fn until_in_step(&self) -> Result<()> {
        self.until("all is in step", PATIENCE, || Ok(self.status()?["state"] == "in_step"))
    }

    fn until(&self, what: &str, patience: Duration, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
        let until = Instant::now() + patience;
        while !look()? {
            if Instant::now() > until {
                let said = fs::read_to_string(self.dir.join("said")).unwrap_or_default();
                bail!("{}: not within {patience:?}: {what}; {said}", self.name);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Processor seconds of the service so far.
    pub(crate) fn cpu_s(&self) -> Result<f64> {
        let stat = self.proc("stat")?;
        // Behind the program's name in parentheses; user and system time, in hundredths on every Linux.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        Ok((ticks(11) + ticks(12)) / 100.0)
    }

    /// The most memory the service had at once, in MB.
    pub(crate) fn peak_mb(&self) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        let kib: f64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
        Ok(kib * 1024.0 / 1e6)
    }

    fn proc(&self, file: &str) -> Result<String> {
        if !cfg!(target_os = "linux") {
            return Ok(String::new());
        }
        fs::read_to_string(format!("/proc/{}/{file}", self.service.id())).context("the service has ended")
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        let _already_gone = self.service.kill();
        let _reaped = self.service.wait();
    }
}
