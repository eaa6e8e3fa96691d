//! Homes and processes of one run, on loopback alone; everything is ended and removed when they are dropped.

use std::fs::{self, File};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::line::{Line, Machine};
use super::meter::{Lasting, disk_mb};

/// The longest a run may take.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How often to look: asking costs processor time itself.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// ... where it takes a command, which costs far more.
const LOOK_AGAIN_BY_COMMAND: Duration = Duration::from_millis(250);
/// What runs left, below the place of all runs.
const TRASH: &str = "trash";
/// Where a service listens on a line: each has an address of its own.
const LINE_PORT: u16 = 4747;
/// The one folder.
pub(crate) const FOLDER: &str = "data";

/// A directory for the computers of one run.
pub(crate) struct Place {
    root: PathBuf,
    programs: PathBuf,
    many_files: bool,
    line: Option<Line>,
}

impl Place {
    pub(crate) fn new(below: &Path, programs: &Path, many_files: bool) -> Result<Self> {
        let root = below.join(format!("run-{}", std::process::id()));
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        fs::create_dir_all(&root)?;
        Ok(Self { root, programs: programs.into(), many_files, line: None })
    }

    /// With a line between its computers, of which there are two then.
    pub(crate) fn on(mut self, line: Line) -> Self {
        self.line = Some(line);
        self
    }

    /// The line, which is the place's no more.
    pub(crate) fn take_line(&mut self) -> Option<Line> {
        self.line.take()
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
        let (prefix, listen) = match &self.line {
            Some(line) => {
                let Machine { prefix, address } = line.next_machine()?;
                (prefix, SocketAddr::new(address, LINE_PORT))
            }
            None => (Vec::new(), UdpSocket::bind("127.0.0.1:0")?.local_addr()?),
        };
        let service = Service { prefix, program: self.programs.join(program), dir };
        let process = service.up(listen, Some(name))?;
        Ok(Computer { name: name.into(), service, listen, process })
    }
}

/// How a service is started and asked.
struct Service {
    /// Words before every program.
    prefix: Vec<String>,
    program: PathBuf,
    dir: PathBuf,
}

impl Service {
    fn command(&self) -> Command {
        let mut words = self.prefix.iter().map(AsRef::as_ref).chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).env("HOME", &self.dir).env_remove("COBOX_LOG");
        command
    }

    /// Starts it and waits until it answers.
    fn up(&self, listen: SocketAddr, name: Option<&str>) -> Result<Child> {
        let mut command = self.command();
        command.args(["up", "--foreground", "--json", "--quiet", "--listen", &listen.to_string()]);
        if let Some(name) = name {
            command.args(["--name", name]);
        }
        command.arg("--home").arg(self.dir.join("home"));
        let said = File::options().create(true).append(true).open(self.dir.join("said"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let _from_before_a_crash = fs::remove_file(self.dir.join("home/api.json"));
        let process = command.spawn().with_context(|| format!("{} can not be started", self.program.display()))?;
        let until = Instant::now() + Duration::from_secs(60);
        while self.status().is_err() {
            if Instant::now() > until {
                bail!("it does not answer: {}", fs::read_to_string(self.dir.join("said")).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(process)
    }

    /// Types a command; what it printed.
    fn type_in(&self, args: &[&str]) -> Result<Value> {
        let out = self.command().args(args).arg("--json").arg("--home").arg(self.dir.join("home")).output()?;
        ensure!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(serde_json::from_slice(&out.stdout)?)
    }

    /// How it stands. In another network than ours its API can not be asked but from there.
    fn status(&self) -> Result<Value> {
        if !self.prefix.is_empty() {
            return self.type_in(&["status"]);
        }
        let api: Value = serde_json::from_str(&fs::read_to_string(self.dir.join("home/api.json"))?)?;
        let text = |key: &str| api[key].as_str().with_context(|| format!("api.json has no {key}"));
        let header = format!("Authorization: Bearer {}", text("token")?);
        super::http::get(text("address")?.parse()?, "/api/v1/status", &header)
    }
}

impl Drop for Place {
    /// Many files are put aside only: ext4 searches long for a free inode as long as many have just been freed, and the next run
    /// would pay.
    fn drop(&mut self) {
        if !self.many_files {
            let _left_in_target = fs::remove_dir_all(&self.root);
            return;
        }
        let aside = self.root.with_file_name(TRASH);
        let count = fs::read_dir(&aside).map_or(0, Iterator::count);
        let _left_in_target =
            fs::create_dir_all(&aside).and_then(|()| fs::rename(&self.root, aside.join(count.to_string())));
    }
}

/// Removes what the runs left.
pub(crate) fn clear(below: &Path) {
    let _left_in_target = fs::remove_dir_all(below.join(TRASH));
}

/// One computer.
pub(crate) struct Computer {
    pub(crate) name: String,
    service: Service,
    listen: SocketAddr,
    process: Child,
}

impl Lasting for Computer {
    fn name(&self) -> &str {
        &self.name
    }
    fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Computer {
    /// Where its folder lies.
    pub(crate) fn folder(&self) -> PathBuf {
        self.service.dir.join("documents").join(FOLDER)
    }

    /// Types a command; what it printed.
    pub(crate) fn type_in(&self, args: &[&str]) -> Result<Value> {
        self.service.type_in(args).with_context(|| format!("at {}", self.name))
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
        self.offer_of("50GB")
    }

    pub(crate) fn offer_of(&self, space: &str) -> Result<String> {
        self.text(&["offer", "--space", space], "offer")
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
        let file = self.service.dir.join("words");
        fs::write(&file, words)?;
        let private = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
        fs::set_permissions(&file, private)?;
        let (file, to) = (file.to_string_lossy(), self.service.dir.join("documents"));
        let to = to.to_string_lossy();
        let mut args = vec!["recover", "--words-file", &file, "--to", &to];
        tickets.iter().for_each(|ticket| args.extend(["--seeder", ticket]));
        self.type_in(&args).map(drop)
    }

    /// At a seeder: the folder that is no vault.
    pub(crate) fn folder_id(&self) -> Result<String> {
        let folders = self.type_in(&["folders"])?;
        let is_it = |folder: &&Value| folder["kind"] == "folder";
        let folder =
            folders["folders"].as_array().and_then(|folders| folders.iter().find(is_it)).context("a folder")?;
        folder["id"].as_str().map(str::to_owned).context("its id")
    }

    /// At a seeder: how many states of it are complete and kept.
    pub(crate) fn states(&self, id: &str) -> Result<u64> {
        let shown = self.type_in(&["show", id])?;
        shown["folder"]["states"].as_u64().with_context(|| format!("{shown} names no states"))
    }

    /// How each of its folders stands.
    pub(crate) fn folders(&self) -> Result<Vec<Value>> {
        Ok(self.service.status()?["folders"].as_array().cloned().unwrap_or_default())
    }

    /// How its folder stands.
    pub(crate) fn status(&self) -> Result<Value> {
        Ok(self.service.status()?["folders"][0].take())
    }

    /// How many sealed blocks it has sent.
    pub(crate) fn sent_blocks(&self) -> Result<u64> {
        self.status()?["sent_blocks"].as_u64().context("the status names no blocks")
    }

    /// How many bytes it has received since it started.
    pub(crate) fn received_bytes(&self) -> Result<u64> {
        self.service.status()?["device"]["received_bytes"].as_u64().context("the status names no bytes")
    }

    /// Looks at the disk, and waits until in step with everybody who is there.
    pub(crate) fn wait(&self) -> Result<()> {
        self.type_in(&["status", FOLDER, "--wait", "--timeout", "3600"]).map(drop)
    }

    /// Ends it as a power cut would.
    pub(crate) fn crash(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Starts it again where it was; how long until its API answered.
    pub(crate) fn up_again(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.process = self.service.up(self.listen, None)?;
        Ok(begun.elapsed())
    }

    /// Stops it as a person would.
    pub(crate) fn down(&mut self) -> Result<()> {
        self.type_in(&["down"])?;
        self.process.wait()?;
        Ok(())
    }

    /// What it keeps beside the files themselves, in MB.
    pub(crate) fn state_mb(&self) -> Result<f64> {
        Ok(disk_mb(&self.service.dir.join("home"))? + disk_mb(&self.folder().join(".cobox"))?)
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
        let again = if self.service.prefix.is_empty() { LOOK_AGAIN } else { LOOK_AGAIN_BY_COMMAND };
        while !look()? {
            if Instant::now() > until {
                let said = fs::read_to_string(self.service.dir.join("said")).unwrap_or_default();
                bail!("{}: not within {patience:?}: {what}; {said}", self.name);
            }
            std::thread::sleep(again);
        }
        Ok(())
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}
