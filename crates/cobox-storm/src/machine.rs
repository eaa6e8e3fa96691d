//! One computer of a storm: a home, a folder, and a real service that is started, halted and killed.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::tale::{TALE, tell};

/// The longest anything ordinary may take on two busy cores.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long between two looks at something awaited.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The name of the one folder.
pub const FOLDER: &str = "docs";

/// Where the two programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// A member's.
    pub cobox: PathBuf,
    /// A seeder's.
    pub seeder: PathBuf,
}

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A person's, with a folder.
    Member,
    /// A box that keeps sealed copies.
    Seeder,
}

/// One computer.
pub struct Machine {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub role: Role,
    dir: PathBuf,
    /// What the service prints. Not on a disk that may be cut off.
    said: PathBuf,
    program: PathBuf,
    listen: SocketAddr,
    service: Option<Child>,
    /// When its service was started last.
    pub started: Instant,
}

/// How a command ended.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Machine {
    /// One whose home and folder lie in this directory, with nothing running.
    pub fn new(dir: PathBuf, said: PathBuf, name: &str, role: Role, programs: &Programs) -> Result<Self> {
        let program = if role == Role::Member { &programs.cobox } else { &programs.seeder }.clone();
        let listen = own_address()?;
        fs::create_dir_all(dir.join("home")).with_context(|| dir.display().to_string())?;
        if role == Role::Member {
            fs::create_dir_all(dir.join(FOLDER))?;
            fs::write(dir.join("home/config.toml"), "lan_discovery = false\n")?;
        }
        Ok(Self { name: name.into(), role, dir, said, program, listen, service: None, started: Instant::now() })
    }

    /// Where its folder lies.
    pub fn root(&self) -> PathBuf {
        self.dir.join(FOLDER)
    }

    /// All that is its own: home, folder, and what a script put beside them.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its home.
    pub fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// All that the service has written to its log.
    pub fn logged(&self) -> String {
        let files = fs::read_dir(self.home().join("log")).into_iter().flatten().flatten();
        files.map(|file| read(&file.path())).collect()
    }

    /// The most memory the service had so far. Linux alone tells.
    pub fn resident_bytes_max(&self) -> Option<u64> {
        let status = read(Path::new(&format!("/proc/{}/status", self.service.as_ref()?.id())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
    }

    /// Where it listens.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--home").arg(self.dir.join("home")).args(args);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("HOME", &self.dir).env("PATH", path).current_dir(&self.dir).stdin(Stdio::null());
        for name in ["COBOX_LOG", "COBOX_SEEDER_LOG"] {
            command.envs(std::env::var_os(name).map(|level| (name, level)));
        }
        command.process_group(0);
        command
    }

    fn run(&self, args: &[&str], patience: Duration) -> Result<Ran> {
        // Beside the machine's own disk: that one may be cut off.
        let (out, err) = (tempfile::NamedTempFile::new()?, tempfile::NamedTempFile::new()?);
        let mut child = self.command(args).stdout(out.reopen()?).stderr(err.reopen()?).spawn()?;
        let until = Instant::now() + patience;
        let code = loop {
            match child.try_wait()? {
                Some(status) => break status.code(),
                None if Instant::now() > until => {
                    let _already_gone = kill_process_group(Pid::from_child(&child), Signal::KILL);
                    child.wait()?;
                    bail!("o7: {} hangs in {args:?}, {patience:?}", self.name);
                }
                None => std::thread::sleep(Duration::from_millis(3)),
            }
        };
        Ok(Ran { code, out: read(out.path()), err: read(err.path()) })
    }

    /// Types a command with --json that must succeed; what it printed.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        self.json_within(args, PATIENCE)
    }
    /// [`Self::json`], in so much time.
    pub fn json_within(&self, args: &[&str], patience: Duration) -> Result<Value> {
        let ran = self.run(&[args, &["--json"]].concat(), patience)?;
        ensure!(ran.code == Some(0), "{}: {args:?} ended {:?}: {}{}", self.name, ran.code, ran.out, ran.err);
        serde_json::from_str(&ran.out).with_context(|| format!("{}: {args:?} printed {}", self.name, ran.out))
    }

    /// Starts the service and waits for nothing.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.service.is_none(), "{} runs already", self.name);
        let said = File::options().append(true).create(true).open(&self.said)?;
        let listen = format!("--listen={}", self.listen);
        let args = ["up", "--foreground", "--json", "--quiet", "--name", &self.name, &listen];
        self.service = Some(self.command(&args).stdout(Stdio::null()).stderr(said).spawn()?);
        self.started = Instant::now();
        self.note("starts")
    }
    /// Whether it was started and not stopped.
    pub fn runs(&self) -> bool {
        self.service.is_some()
    }

    /// Waits until the service answers.
    pub fn answers(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.still_runs()?;
            let last = match self.json(&["status"]) {
                Ok(_) => return Ok(()),
                Err(last) => last,
            };
            ensure!(Instant::now() < until, "o7: {} does not answer: {last}", self.name);
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// A service ends because somebody ended it, or not at all.
    pub fn still_runs(&mut self) -> Result<()> {
        let Some(child) = self.service.as_mut() else { bail!("{} was not started", self.name) };
        if let Some(ended) = child.try_wait()? {
            self.service = None;
            bail!("o7: {} ended by itself, {ended}: {}", self.name, last_lines(&read(&self.said), 15));
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.service.as_ref().with_context(|| format!("{} was not started", self.name))?;
        kill_process(Pid::from_child(child), signal).with_context(|| format!("{}: {signal:?}", self.name))?;
        self.note(&format!("hears {signal:?}"))
    }

    /// Tells of the service between what people do.
    fn note(&self, what: &str) -> Result<()> {
        tell(&self.said.with_file_name(TALE), &format!("{}'s service {what}", self.name))
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(&mut self) -> Result<()> {
        self.still_runs()?;
        self.signal(Signal::KILL)?;
        let ended = self.service.take().context("it runs")?.wait()?;
        ensure!(ended.signal() == Some(9), "o7: {} ended by itself, {ended}", self.name);
        Ok(())
    }

    /// Ends it whatever state it is in, as a power cut does.
    pub fn put_out(&mut self) -> Result<()> {
        if let Some(mut child) = self.service.take() {
            let _already_gone = kill_process(Pid::from_child(&child), Signal::KILL);
            child.wait()?;
        }
        Ok(())
    }

    /// Halts it where it stands, as a lid that closes does.
    pub fn halt(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }
    /// Lets it go on.
    pub fn go_on(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to stop, without waiting.
    pub fn ask_to_stop(&mut self) -> Result<()> {
        self.still_runs()?;
        self.signal(Signal::TERM)
    }

    /// Ends what was asked to stop, if it has not.
    pub fn kill_stopping(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        let ended = self.service.take().context("it runs")?.wait()?;
        // In its first moments nothing listens for the friendly signal yet, and there is nothing to end in order.
        let is_by_us = matches!(ended.signal(), Some(9 | 15));
        ensure!(ended.success() || is_by_us, "o7: {} stopped badly, {ended}", self.name);
        Ok(())
    }

    /// Stops it as a person would, and waits for that.
    pub fn stop(&mut self) -> Result<()> {
        self.ask_to_stop()?;
        let until = Instant::now() + PATIENCE;
        let mut child = self.service.take().context("it runs")?;
        loop {
            if let Some(ended) = child.try_wait()? {
                ensure!(ended.success(), "o7: {} stopped badly, {ended}: {}", self.name, read(&self.said));
                return Ok(());
            }
            if Instant::now() > until {
                self.service = Some(child);
                bail!("o7: {} does not stop", self.name);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Everything it said and logged that tells of a broken program.
    pub fn panics(&self) -> Result<Vec<String>> {
        let mut files = vec![self.said.clone()];
        if let Ok(logs) = fs::read_dir(self.dir.join("home/log")) {
            files.extend(logs.flatten().map(|entry| entry.path()));
        }
        let mut found = Vec::new();
        for file in files {
            let text = read(&file);
            found.extend(
                text.lines().filter(|line| line.contains("panicked at")).map(|line| format!("{}: {line}", self.name)),
            );
        }
        Ok(found)
    }

    /// Looks at every block and file again.
    pub fn check(&self) -> Result<()> {
        let args: &[&str] = if self.role == Role::Member { &["check", FOLDER] } else { &["check"] };
        let ran = self.run(args, PATIENCE)?;
        ensure!(ran.code == Some(0), "{}: check ended {:?}: {}{}", self.name, ran.code, ran.out, ran.err);
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut child) = self.service.take() {
            let _already_gone = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _reaped = child.wait();
        }
    }
}

/// An address that nobody else takes between two starts of a service: no system gives ports below 32,768 to who asks for any.
pub fn own_address() -> Result<SocketAddr> {
    const PORTS: std::ops::Range<u32> = 20_000..32_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.len() as u32;
    // Processes that run at one time begin at different places.
    let first = std::process::id().wrapping_mul(97);
    for _ in PORTS {
        let at = first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % count;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, (PORTS.start + at) as u16));
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("all ports from {} to {} are taken", PORTS.start, PORTS.end)
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn last_lines(text: &str, lines_max: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(lines_max)..].join("\n")
}
