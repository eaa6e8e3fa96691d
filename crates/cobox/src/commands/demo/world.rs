//! A temporary world of real processes: places with a home each, the services that run in them, and the commands typed there.
//!
//! Owns everything it started and made. What must hold: nothing outlives it, neither a process nor a file (unless it is to be kept),
//! whether the story ends well, badly or by Ctrl-C; nobody's real home is read or written; only loopback is listened on.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use serde_json::Value;

/// How long a start, a stop or one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(40);
/// How often to look whether something has happened.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// Settings of every home here: no multicast.
const CONFIG: &str = "# Written by the demonstration.\nlan_discovery = false\n";

/// Why the story could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorldError {
    /// The other program is not there.
    #[error("cobox-seeder is not beside cobox: {0} does not exist")]
    NoSeeder(PathBuf),
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// A service ended by itself.
    #[error("the service of {who} ended ({status}): {said}")]
    Ended {
        /// Whose.
        who: String,
        /// How.
        status: ExitStatus,
        /// Its last words.
        said: String,
    },
    /// A command failed.
    #[error("`{command}` at {who} failed ({status}): {said}")]
    Command {
        /// Where it was typed.
        who: String,
        /// What was typed.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// A command printed something else than one JSON document.
    #[error("`{command}` did not print JSON: {source}")]
    NotJson {
        /// What was typed.
        command: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Something took too long.
    #[error("{what} within {seconds} seconds: {last}")]
    TooSlow {
        /// What should have happened.
        what: String,
        /// How long was waited.
        seconds: u64,
        /// How it stood at last.
        last: String,
    },
    /// Something is not as it should be.
    #[error("{0}")]
    NotSo(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

pub(crate) type Result<T> = std::result::Result<T, WorldError>;

/// Says what was tried when the system refuses.
pub(crate) fn tried<T>(what: impl Into<String>, result: io::Result<T>) -> Result<T> {
    result.map_err(|source| WorldError::Io { what: what.into(), source })
}

/// Which program runs in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// A member's.
    Cobox,
    /// A blind host's.
    Seeder,
}

/// The temporary directory and all processes.
pub(crate) struct World {
    shared: Arc<Shared>,
    cobox: PathBuf,
    seeder: PathBuf,
}

/// What the thread that waits for Ctrl-C needs too.
struct Shared {
    root: PathBuf,
    keep: bool,
    processes: Mutex<Processes>,
}

#[derive(Default)]
struct Processes {
    /// Leaders of process groups that may still run.
    groups: Vec<Pid>,
    /// Set at the end: nothing starts any more.
    closed: bool,
}

/// One computer of the story: a home, a directory for folders, and a service that may run.
pub(crate) struct Place {
    /// Who sits there.
    pub(crate) who: String,
    /// Everything of this place.
    pub(crate) dir: PathBuf,
    program: Program,
    listen: SocketAddr,
    service: Option<Child>,
}

impl Place {
    /// The state directory.
    pub(crate) fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// Where this person keeps folders.
    pub(crate) fn documents(&self) -> PathBuf {
        self.dir.join("documents")
    }

    /// What the programs of this place said on stderr.
    pub(crate) fn said(&self) -> PathBuf {
        self.dir.join("said")
    }
}

impl World {
    /// An empty one below the system's temporary directory; kept at the end if asked for.
    pub(crate) fn new(keep: bool) -> Result<Self> {
        let cobox = tried("where this program lies", std::env::current_exe())?;
        let seeder = cobox.with_file_name("cobox-seeder");
        if !seeder.is_file() {
            return Err(WorldError::NoSeeder(seeder));
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("cobox-demo-{}-{:x}", std::process::id(), since.as_nanos());
        let root = std::env::temp_dir().join(name);
        tried(format!("{} can not be made", root.display()), DirBuilder::new().mode(0o700).create(&root))?;
        let shared = Arc::new(Shared { root, keep, processes: Mutex::default() });
        Ok(Self { shared, cobox, seeder })
    }

    /// Everything lies here.
    pub(crate) fn root(&self) -> &Path {
        &self.shared.root
    }

    /// Ends the world and this process at Ctrl-C, SIGTERM or SIGHUP. `said` is called before the process ends with that exit code.
    pub(crate) fn end_on_signals(&self, exit: i32, said: impl Fn() + Send + 'static) {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        let shared = Arc::clone(&self.shared);
        let _no_threads_left = std::thread::Builder::new().name("interrupt".into()).spawn(move || {
            let signalled = runtime.block_on(async {
                let mut interrupt = signal(SignalKind::interrupt())?;
                let mut terminate = signal(SignalKind::terminate())?;
                let mut hang_up = signal(SignalKind::hangup())?;
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
                io::Result::Ok(())
            });
            if signalled.is_ok() {
                shared.end();
                said();
                std::process::exit(exit);
            }
        });
    }

    /// What failed because a signal just ended everything is not worth telling: waits for the process to end. Returns at once otherwise.
    pub(crate) fn wait_if_ending(&self) {
        while self.shared.processes().closed {
            std::thread::park();
        }
    }

    /// A new computer for somebody.
    pub(crate) fn place(&self, who: &str, directory: &str, program: Program) -> Result<Place> {
        let place = Place {
            who: who.into(),
            dir: self.shared.root.join(directory),
            program,
            listen: free_port()?,
            service: None,
        };
        let made = |dir: &Path| DirBuilder::new().recursive(true).mode(0o700).create(dir);
        tried(format!("a place for {who}"), made(&place.documents()).and_then(|()| made(&place.said())))?;
        if program == Program::Cobox {
            let written = made(&place.home()).and_then(|()| fs::write(place.home().join("config.toml"), CONFIG));
            tried(format!("the settings of {who}"), written)?;
        }
        Ok(place)
    }

    /// Starts the service of a place and waits until it answers.
    pub(crate) fn start(&self, place: &mut Place, name: &str) -> Result<()> {
        let listen = place.listen.to_string();
        let mut command = self.command(place, &["up", "--foreground", "--quiet", "--name", name, "--listen", &listen]);
        let said = place.said().join("service");
        command.stdout(Stdio::null()).stderr(tried("a file for last words", append(&said))?);
        let mut child = self.spawn(&mut command)?;
        let until = Instant::now() + COMMAND_TIMEOUT;
        loop {
            let ended = tried("the service is lost", child.try_wait())?;
            if let Some(status) = ended {
                let said = last_lines(&said);
                return Err(WorldError::Ended { who: place.who.clone(), status, said });
            }
            match self.run(place, &["status"]) {
                Ok(_) => break,
                Err(WorldError::Command { .. }) if Instant::now() < until => std::thread::sleep(LOOK_AGAIN),
                Err(error) => return Err(error),
            }
        }
        place.service = Some(child);
        Ok(())
    }

    /// Asks the service to stop and makes sure that its process is gone.
    pub(crate) fn stop(&self, place: &mut Place) -> Result<u32> {
        let Some(mut child) = place.service.take() else {
            return Err(WorldError::NotSo(format!("no service runs at {}", place.who)));
        };
        let pid = pid_of(&child);
        let _already_gone = kill_process(pid, Signal::TERM);
        let status = self.wait(&mut child, &format!("the service of {} stops", place.who))?;
        if !status.success() {
            let said = last_lines(&place.said().join("service"));
            return Err(WorldError::Ended { who: place.who.clone(), status, said });
        }
        if test_kill_process(pid).is_ok() {
            return Err(WorldError::NotSo(format!("process {} of {} still runs", child.id(), place.who)));
        }
        Ok(child.id())
    }

    /// Types a command in a place and reads the JSON it prints.
    pub(crate) fn run(&self, place: &Place, args: &[&str]) -> Result<Value> {
        let (out, err) = (place.said().join("out"), place.said().join("err"));
        let typed = shown(place.program, args);
        let mut command = self.command(place, args);
        let files = File::create(&out).and_then(|out| Ok((out, File::create(&err)?)));
        let (stdout, stderr) = tried("a file for what is said", files)?;
        let mut child = self.spawn(command.stdout(stdout).stderr(stderr))?;
        let status = self.wait(&mut child, &format!("`{typed}` at {} ends", place.who))?;
        if !status.success() {
            return Err(WorldError::Command { who: place.who.clone(), command: typed, status, said: last_lines(&err) });
        }
        let printed = tried("what was printed", fs::read(&out))?;
        serde_json::from_slice(&printed).map_err(|source| WorldError::NotJson { command: typed, source })
    }

    /// Waits until something is so. `look` says `Err` with how it stands as long as it is not.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut look: impl FnMut() -> Result<std::result::Result<T, String>>,
    ) -> Result<T> {
        let until = Instant::now() + timeout;
        loop {
            match look()? {
                Ok(value) => return Ok(value),
                Err(last) if Instant::now() >= until => {
                    return Err(WorldError::TooSlow { what: what.into(), seconds: timeout.as_secs(), last });
                }
                Err(_) => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }

    /// A command of this place's program, in an environment that knows this place alone.
    fn command(&self, place: &Place, args: &[&str]) -> Command {
        let program = if place.program == Program::Cobox { &self.cobox } else { &self.seeder };
        let mut command = Command::new(program);
        command.arg("--json").arg("--home").arg(place.home()).args(args);
        command.env_clear().env("HOME", &place.dir).env("TMPDIR", &place.dir).current_dir(&place.dir);
        command.env("COBOX_LOG", "debug").env("COBOX_SEEDER_LOG", "debug");
        // A group of its own: Ctrl-C at the terminal reaches us alone, and we end the groups.
        command.stdin(Stdio::null()).process_group(0);
        command
    }

    fn spawn(&self, command: &mut Command) -> Result<Child> {
        let mut processes = self.shared.processes();
        if processes.closed {
            return Err(WorldError::Interrupted);
        }
        let child = tried(format!("{} can not be started", command.get_program().display()), command.spawn())?;
        processes.groups.push(pid_of(&child));
        Ok(child)
    }

    /// Waits for an end, within bounds.
    fn wait(&self, child: &mut Child, what: &str) -> Result<ExitStatus> {
        let until = Instant::now() + COMMAND_TIMEOUT;
        let pid = pid_of(child);
        loop {
            if let Some(status) = tried("a process is lost", child.try_wait())? {
                self.shared.processes().groups.retain(|group| *group != pid);
                return Ok(status);
            }
            if Instant::now() >= until {
                let _already_gone = kill_process_group(pid, Signal::KILL);
                let last = "it was ended".into();
                return Err(WorldError::TooSlow { what: what.into(), seconds: COMMAND_TIMEOUT.as_secs(), last });
            }
            std::thread::sleep(Duration::from_millis(4));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Shared {
    fn processes(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every process, at once, and removes every file. A second call does nothing.
    fn end(&self) {
        let mut processes = self.processes();
        if std::mem::replace(&mut processes.closed, true) {
            return;
        }
        for group in processes.groups.drain(..) {
            let _already_gone = kill_process_group(group, Signal::KILL);
        }
        if self.keep {
            return;
        }
        // A process that is just ending may still make a file.
        for _ in 0..40 {
            match fs::remove_dir_all(&self.root) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => std::thread::sleep(LOOK_AGAIN),
                _ => return,
            }
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// A UDP port on loopback that is free now.
fn free_port() -> Result<SocketAddr> {
    let bound = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    tried("a free port on loopback", bound)
}

fn append(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

/// The command as a person would type it; what is long (codes, offers) is cut.
fn shown(program: Program, args: &[&str]) -> String {
    let program = if program == Program::Cobox { "cobox" } else { "cobox-seeder" };
    let args = args.iter().map(|arg| match arg.char_indices().nth(40) {
        Some((end, _)) => format!(" {}…", &arg[..end]),
        None => format!(" {arg}"),
    });
    args.fold(program.to_owned(), |line, arg| line + &arg)
}

/// The end of what a program said.
fn last_lines(path: &Path) -> String {
    let said = fs::read(path).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(6)..].join("\n")
}
