//! A world for end-to-end tests: people and boxes with real processes on loopback, in temporary homes, bounded in time, gone at the end.

use std::fmt::Debug;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use cobox_storm::own_address;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use serde_json::Value;

use crate::e2e_clock::SetClock;
use crate::e2e_tree::{Entry, Tree};
use crate::sealed::Ran;

/// The longest anything ordinary may take on two busy cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// The two programs, side by side. Testing the workspace builds both; testing this package alone takes the seeder that is there, and builds
/// it only if there is none.
pub(crate) fn programs() -> (PathBuf, PathBuf) {
    static BUILT: Once = Once::new();
    let cobox = PathBuf::from(env!("CARGO_BIN_EXE_cobox"));
    let seeder = cobox.with_file_name("cobox-seeder");
    BUILT.call_once(|| {
        if seeder.is_file() {
            return;
        }
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--workspace", "--bin", "cobox-seeder"]);
        if cobox.parent().is_some_and(|dir| dir.ends_with("release")) {
            build.arg("--release");
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(built.is_ok_and(|status| status.success()) && seeder.is_file(), "cobox-seeder can not be built");
    });
    (cobox, seeder)
}

/// With `COBOX_E2E_KEEP` set, homes stay after a test, and logs tell more.
fn kept() -> bool {
    std::env::var_os("COBOX_E2E_KEEP").is_some()
}

/// A temporary directory for several computers.
pub(crate) struct World {
    dir: tempfile::TempDir,
    /// Words put before every program, like `ip netns exec NAME`.
    prefix: Vec<String>,
    config: &'static str,
    everywhere: bool,
}

/// One computer: a home, documents, and a service that may run.
pub(crate) struct Computer {
    pub(crate) name: String,
    dir: PathBuf,
    program: PathBuf,
    prefix: Vec<String>,
    listen: Option<SocketAddr>,
    service: Option<Child>,
    /// Of a seeder for which time goes by as a test says.
    clock: Option<SetClock>,
}

/// Of one computer.
pub(crate) struct Traffic {
    /// Blocks of one folder.
    pub(crate) sent_blocks: u64,
    /// Of all folders, with all that goes around them.
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::inside(&[], "lan_discovery = false\n")
    }

    /// One whose programs run behind these words, with these settings.
    pub(crate) fn inside(prefix: &[&str], config: &'static str) -> Self {
        let prefix = prefix.iter().map(ToString::to_string).collect();
        let mut dir = tempfile::tempdir().unwrap();
        if kept() {
            dir.disable_cleanup(true);
            eprintln!("kept in {}", dir.path().display());
        }
        Self { dir, prefix, config, everywhere: false }
    }

    /// Listens where a new installation would, on all interfaces, not on loopback alone.
    pub(crate) fn everywhere(mut self) -> Self {
        self.everywhere = true;
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A member's computer with its service running.
    pub(crate) fn person(&self, name: &str) -> Computer {
        let mut computer = self.computer(name, programs().0);
        fs::create_dir_all(computer.home()).unwrap();
        fs::write(computer.home().join("config.toml"), self.config).unwrap();
        computer.up();
        computer
    }

    /// From here on programs run behind these words: new computers are in another network.
    pub(crate) fn behind(&mut self, prefix: Vec<String>) {
        self.prefix = prefix;
    }

    /// A member's computer that is switched off, with nothing on it yet.
    pub(crate) fn absent_person(&self, name: &str) -> Computer {
        self.computer(name, programs().0)
    }

    /// A seeder with its service running.
    pub(crate) fn seeder(&self, name: &str) -> Computer {
        let mut computer = self.computer(name, programs().1);
        computer.up();
        computer
    }

    /// A seeder whose clock shows what the test says.
    pub(crate) fn seeder_with_clock(&self, name: &str) -> Computer {
        let mut computer = self.computer(name, programs().1);
        computer.clock = Some(SetClock::new(computer.dir.join("ahead")));
        computer.up();
        computer
    }

    fn computer(&self, name: &str, program: PathBuf) -> Computer {
        let dir = self.path().join(name);
        fs::create_dir_all(dir.join("documents")).unwrap();
        let port = || own_address().unwrap();
        let listen = (!self.everywhere).then(port);
        Computer { name: name.into(), dir, program, prefix: self.prefix.clone(), listen, service: None, clock: None }
    }
}

impl Computer {
    pub(crate) fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// Where a folder of this name lies.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.dir.join("documents").join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut words = self.prefix.iter().map(PathBuf::from).chain([self.program.clone()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg("--home").arg(self.home()).args(args);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("HOME", &self.dir).env("PATH", path).current_dir(&self.dir).stdin(Stdio::null());
        if kept() {
            command.env("COBOX_LOG", "debug").env("COBOX_SEEDER_LOG", "debug");
        }
        command.process_group(0);
        command
    }

    /// Lets so many hours go by for a seeder that has a clock of its own, which looks after its folder in each of them.
    pub(crate) fn hours_pass(&self, hours: u64) {
        for _ in 0..hours {
            self.clock.as_ref().unwrap().pass(Duration::from_secs(3600));
            // Whoever is asked sees what time it is.
            self.shown();
        }
    }

    /// The same for days, each of which goes by in one go.
    pub(crate) fn days_pass(&self, days: u64) {
        for _ in 0..days {
            self.clock.as_ref().unwrap().pass(Duration::from_secs(24 * 3600));
            self.shown();
        }
    }

    /// Types a command; how it ended.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_within(args, PATIENCE)
    }

    pub(crate) fn run_within(&self, args: &[&str], patience: Duration) -> Ran {
        let (out, err) = (self.dir.join("out"), self.dir.join("err"));
        // Recovery words go to no file that others could read.
        let private = |path: &Path| File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
        let mut command = self.command(args);
        let mut child = command.stdout(private(&out).unwrap()).stderr(private(&err).unwrap()).spawn().unwrap();
        let until = Instant::now() + patience;
        let code = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status.code(),
                None if Instant::now() > until => {
                    let _already_gone = kill_process_group(Pid::from_child(&child), Signal::KILL);
                    child.wait().unwrap();
                    panic!("{} still runs {args:?} after {patience:?}: {}", self.name, read(&err));
                }
                None => std::thread::sleep(Duration::from_millis(4)),
            }
        };
        Ran { code, out: read(&out), err: read(&err) }
    }

    /// Types a command with --json that must succeed; what it printed.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        self.run(&[args, &["--json"]].concat()).json()
    }

    /// Types a command with --json that must fail; its exit code and the word for why.
    pub(crate) fn refused(&self, args: &[&str]) -> (i32, String) {
        self.run(&[args, &["--json"]].concat()).json_error()
    }

    /// Starts the service and waits until it answers.
    pub(crate) fn up(&mut self) {
        assert!(self.service.is_none(), "{} runs already", self.name);
        let log = File::options().append(true).create(true).open(self.dir.join("said")).unwrap();
        let listen = self.listen.map(|address| format!("--listen={address}"));
        let mut args = vec!["up", "--foreground", "--json", "--quiet"];
        // A name at a later start would rename who came back from a loss.
        if !self.home().join("keys").exists() {
            args.extend(["--name", &self.name]);
        }
        args.extend(listen.as_deref());
        let mut command = match &self.clock {
            Some(clock) => clock.service(self.command(&[]), &self.home(), &self.name, self.listen),
            None => self.command(&args),
        };
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.service = Some(child);
        until(&format!("{} answers", self.name), PATIENCE, || {
            let ended = self.service.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{} ended: {ended:?}: {}", self.name, read(&self.dir.join("said")));
            let status = self.run(&["status", "--json"]);
            if status.code == Some(0) { Ok(()) } else { Err(status) }
        });
    }

    /// Programs of this computer run without the words before them from here on; the service that runs stays where it is.
    pub(crate) fn types_without_prefix(&mut self) {
        self.prefix.clear();
    }

    /// How the service ended, if it has by itself.
    pub(crate) fn has_ended(&mut self) -> Option<std::process::ExitStatus> {
        let ended = self.service.as_mut()?.try_wait().unwrap()?;
        self.service = None;
        Some(ended)
    }

    /// Stops it as a person would.
    pub(crate) fn down(&mut self) {
        let mut child = self.service.take().unwrap();
        self.end(&child, Signal::TERM);
        let name = &self.name;
        until(&format!("{name} stops"), PATIENCE, || match child.try_wait().unwrap() {
            Some(status) if status.success() => Ok(()),
            Some(status) => panic!("{name} ended badly: {status:?}: {}", read(&self.dir.join("said"))),
            None => Err(()),
        });
    }

    /// At another address from the next start on.
    pub(crate) fn moves(&mut self) {
        let other = own_address().unwrap();
        self.listen = Some(other);
    }

    /// Ends it as a power cut would.
    pub(crate) fn crash(&mut self) {
        let mut child = self.service.take().unwrap();
        self.end(&child, Signal::KILL);
        child.wait().unwrap();
    }

    /// Halts the service where it stands, as a lid that closes does.
    pub(crate) fn sleep(&self) {
        self.end(self.service.as_ref().unwrap(), Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn wake(&self) {
        self.end(self.service.as_ref().unwrap(), Signal::CONT);
    }

    pub(crate) fn restart(&mut self) {
        self.down();
        self.up();
    }

    fn end(&self, child: &Child, signal: Signal) {
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Makes a directory a folder.
    pub(crate) fn create(&self, name: &str) -> PathBuf {
        let root = self.folder(name);
        fs::create_dir_all(&root).unwrap();
        self.json(&["create", root.to_str().unwrap()]);
        root
    }

    pub(crate) fn key(&self) -> String {
        self.json(&["whoami"])["cobox_key"].as_str().unwrap().into()
    }

    /// A code for somebody.
    pub(crate) fn invite(&self, folder: &str, who: &Computer) -> String {
        self.json(&["invite", folder, "--to", &who.key()])["code"].as_str().unwrap().into()
    }

    /// Joins with a code.
    pub(crate) fn join(&self, name: &str, code: &str) -> PathBuf {
        let root = self.folder(name);
        self.json(&["join", code, root.to_str().unwrap()]);
        root
    }

    /// A hosting offer.
    pub(crate) fn offer(&self, space: &str) -> String {
        self.json(&["offer", "--space", space])["offer"].as_str().unwrap().into()
    }

    /// The one folder's status.
    pub(crate) fn status(&self, folder: &str) -> Value {
        self.json(&["status", folder])["folders"][0].take()
    }

    /// What went over the wire since the service started.
    pub(crate) fn traffic(&self, folder: &str) -> Traffic {
        let status = self.json(&["status", folder]);
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{status}"));
        Traffic {
            sent_blocks: number(&status["folders"][0]["sent_blocks"]),
            sent_bytes: number(&status["device"]["sent_bytes"]),
            received_bytes: number(&status["device"]["received_bytes"]),
        }
    }

    /// The service's process.
    pub(crate) fn pid(&self) -> u32 {
        self.service.as_ref().unwrap().id()
    }

    /// The most memory the service had so far. Linux alone tells.
    pub(crate) fn resident_bytes_max(&self) -> u64 {
        let pid = self.pid();
        let status = read(Path::new(&format!("/proc/{pid}/status")));
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Waits until in step with everybody who can be reached.
    pub(crate) fn wait(&self, folder: &str) -> Value {
        let args = ["status", folder, "--wait", "--timeout", "120", "--json"];
        self.run_within(&args, Duration::from_secs(150)).json()["folders"][0].take()
    }

    /// Waits until a seeder has signed for the newest state.
    pub(crate) fn wait_for_receipt(&self, folder: &str) -> Value {
        until("the seeder signs", PATIENCE * 2, || {
            let status = self.wait(folder);
            let backup = &status["backups"][0];
            if backup["complete"] == true && backup["receipt_at"].is_string() { Ok(status) } else { Err(status) }
        })
    }

    /// Places a copy and waits until the seeder has signed for it.
    pub(crate) fn back_up(&self, folder: &str, seeder: &Computer) {
        self.json(&["backup", "add", folder, &seeder.offer("1GB")]);
        self.wait_for_receipt(folder);
    }

    /// At a seeder: the only folder that is not a vault, as `show` tells it.
    pub(crate) fn shown(&self) -> Value {
        let folders = self.json(&["folders"]);
        let folders = folders["folders"].as_array().unwrap();
        let folder = folders.iter().find(|folder| folder["kind"] == "folder").unwrap();
        self.json(&["show", folder["id"].as_str().unwrap()])
    }

    /// At a seeder: how many blocks it keeps of that folder.
    pub(crate) fn blocks(&self) -> u64 {
        let shown = self.shown();
        shown["folder"]["blocks"].as_u64().unwrap_or_else(|| panic!("{shown}"))
    }

    /// The recovery words, in a file, and the tickets.
    pub(crate) fn kit(&self) -> (PathBuf, String, Vec<String>) {
        let kit = self.json(&["recovery", "kit"]);
        let words = kit["words"].as_str().unwrap().to_owned();
        let path = self.words_file(&words);
        let tickets = kit["seeders"].as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_owned()).collect();
        (path, words, tickets)
    }

    pub(crate) fn words_file(&self, words: &str) -> PathBuf {
        let path = self.dir.join("words");
        fs::write(&path, words).unwrap();
        let private = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
        fs::set_permissions(&path, private).unwrap();
        path
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        if let Some(mut child) = self.service.take() {
            let _already_gone = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _reaped = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{} said at last:\n{}", self.name, last_lines(&self.dir.join("said"), 15));
            let log = newest_in(&self.home().join("log"));
            eprintln!("{} logged at last:\n{}", self.name, log.map_or_else(String::new, |log| last_lines(&log, 40)));
        }
    }
}

/// A state of the folder, as it was and as history calls it.
pub(crate) struct Was {
    pub(crate) state: String,
    pub(crate) tree: Tree,
}

/// Saves the folder's state once the seeder has signed for it.
pub(crate) fn remembered(who: &Computer, root: &Path) -> Was {
    who.wait_for_receipt("docs");
    let newest = who.json(&["history", "docs", "--limit", "1"])["entries"][0]["state"].clone();
    Was { state: newest.as_str().unwrap_or_else(|| panic!("{newest}")).to_owned(), tree: Tree::read(root).unwrap() }
}

/// These are gone for good: their services are killed, and no process with their number is left.
pub(crate) fn gone<const N: usize>(computers: [Computer; N]) {
    for mut computer in computers {
        let pid = computer.service.as_ref().map(Pid::from_child);
        if pid.is_some() {
            computer.crash();
        }
        let runs = pid.is_some_and(|pid| test_kill_process(pid).is_ok());
        assert!(!runs, "{} still runs", computer.name);
    }
}

/// Waits for something, within bounds; `look` tells how it stands as long as it is not so.
pub(crate) fn until<T, E: Debug>(what: &str, patience: Duration, mut look: impl FnMut() -> Result<T, E>) -> T {
    let end = Instant::now() + patience;
    loop {
        match look() {
            Ok(value) => return value,
            Err(last) if Instant::now() > end => panic!("not within {patience:?}: {what}; at last: {last:?}"),
            Err(_) => std::thread::sleep(LOOK_AGAIN),
        }
    }
}

/// Whether this file is there with this content.
pub(crate) fn holds(tree: &Tree, path: &str, content: &[u8]) -> bool {
    matches!(tree.0.get(Path::new(path)), Some(Entry::File { bytes, .. }) if bytes == content)
}

/// Waits until these directories hold the same, and this holds of it.
pub(crate) fn same_and(roots: &[&Path], what: &str, and: impl Fn(&Tree) -> bool) -> Tree {
    until(what, PATIENCE * 2, || {
        let first = Tree::read(roots[0]).map_err(|e| e.to_string())?;
        for other in &roots[1..] {
            let other_tree = Tree::read(other).map_err(|e| e.to_string())?;
            if let Some(difference) = first.difference(&other_tree) {
                return Err(format!("{}: {difference}", other.display()));
            }
        }
        if and(&first) { Ok(first) } else { Err("the same, but not yet so".into()) }
    })
}

/// Waits until these directories hold the same.
pub(crate) fn same(roots: &[&Path]) -> Tree {
    same_and(roots, "all have the same", |_| true)
}

/// Waits until a directory holds this.
pub(crate) fn becomes(root: &Path, whole: &Tree) {
    until(&format!("{} is whole", root.display()), PATIENCE * 3, || {
        whole.difference(&Tree::read(root).map_err(|e| e.to_string())?).map_or(Ok(()), Err)
    });
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn last_lines(path: &Path, lines_max: usize) -> String {
    let text = read(path);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(lines_max)..].join("\n")
}

fn newest_in(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?.flatten();
    entries.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok()).map(|entry| entry.path())
}

/// Ana and Ben with one folder, "docs".
pub(crate) fn ana_and_ben(world: &World, fill: impl FnOnce(&Path)) -> (Computer, Computer) {
    let (ana, ben) = (world.person("Ana"), world.person("Ben"));
    let root = ana.folder("docs");
    fs::create_dir_all(&root).unwrap();
    fill(&root);
    ana.create("docs");
    let ben_root = ben.join("docs", &ana.invite("docs", &ben));
    same(&[&root, &ben_root]);
    (ana, ben)
}

/// Reproducible bytes that nothing compresses.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(bytes);
    out
}
