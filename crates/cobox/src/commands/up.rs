//! `up`: becomes the service (`--foreground`), or starts one in a session of its own and waits until it answers.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::{Linked, Secret, UseLinkRequest, Whoami};
use cobox_daemon::{ApiFile, Home, Lock, RunError, StartError, UpOptions, has_identity};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::client::Client;
use crate::error::{ErrorLine, Failure};
use crate::{Context, place, prompt, text};

/// Set in the environment of a service that `up` starts: it leaves the terminal's session.
const DETACHED: &str = "COBOX_DETACHED";
/// How long a start may take.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How often to look whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(30);

/// Start this device's service; the first time, make your identity
///
/// The service stays in the background until `cobox down`. It does not start by itself when you log in.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Your name, as others see it; asked for the first time, renames you later
    #[arg(long)]
    name: Option<String>,
    /// Become another device of yours: the code of `cobox devices link`; `-` reads it from standard input. --name names the device
    #[arg(long, value_name = "CODE", conflicts_with = "foreground")]
    link: Option<String>,
    /// With --link: put your folders here, otherwise into cobox in your home directory
    #[arg(long, value_name = "DIR", requires = "link")]
    to: Option<PathBuf>,
    /// Stay in this terminal, until Ctrl-C
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Where the web page and scripts find the service; port 0 takes any free one
    #[arg(long, value_name = "127.0.0.1:PORT")]
    api: Option<SocketAddr>,
    /// Where other devices find this one (UDP); otherwise a free port, chosen once and kept
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
}

/// `up --json`.
#[derive(Debug, Serialize)]
struct Up {
    name: String,
    cobox_key: String,
    api: String,
    pid: u32,
    already: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let home = context.home()?;
        if self.foreground { self.become_service(context, &home) } else { self.start_service(context, &home) }
    }

    fn become_service(self, context: &Context, home: &Home) -> Result<(), Failure> {
        let detached = std::env::var_os(DETACHED).is_some();
        if detached {
            rustix::process::setsid().map_err(|e| Failure::io("no session of its own", &e.into()))?;
        }
        let out = context.out;
        let name = self.name_or_ask(home)?;
        let options = UpOptions { name, api: self.api, listen: self.listen, log_to_stderr: !detached && !out.quiet };
        cobox_daemon::run(home, options, |api| {
            let up = ForegroundUp { api: format!("http://{}/", api.address), pid: api.pid };
            let _nobody_reads = out.data(&up, |up| format!("cobox is running: {} (Ctrl-C stops it)", up.api));
        })?;
        Ok(())
    }

    fn start_service(self, context: &Context, home: &Home) -> Result<(), Failure> {
        if let Some(code) = &self.link {
            return self.link_up(context, home, code);
        }
        match self.start(home)? {
            Some((api, whoami)) => say_up(context, &api, whoami, false),
            None => self.already_running(context, home),
        }
    }

    /// Starts a service and waits until it answers; `None`: one runs already.
    fn start(&self, home: &Home) -> Result<Option<(ApiFile, Whoami)>, Failure> {
        if Lock::holder(&home.lock())?.is_some() {
            return Ok(None);
        }
        let name = self.name_or_ask(home)?;
        if name.is_none() && !has_identity(home) {
            return Err(RunError::from(StartError::NameNeeded).into());
        }
        home.prepare(std::env::var_os("HOME").map(PathBuf::from).as_deref())?;
        let last_words = home.logs().join(format!("start-{}.err", std::process::id()));
        let mut child = self.spawn(home, name.as_deref(), &last_words)?;
        let started = wait_until_it_answers(home, &mut child, &last_words);
        let _nothing_to_tidy = fs::remove_file(&last_words);
        match started {
            Err(Failure::Said { body, .. }) if body.code == ErrorCode::AlreadyRunning.as_str() => Ok(None),
            started => started.map(Some),
        }
    }

    /// Starts a service, if none runs, and makes it one more device of the person who made the code.
    fn link_up(&self, context: &Context, home: &Home, code: &str) -> Result<(), Failure> {
        let code = if code == "-" { prompt::stdin()?.to_string() } else { code.to_owned() };
        let to = self.to.as_deref().map(place::absolute).transpose()?;
        // The person's name comes with their folders.
        let name = (!has_identity(home)).then(|| "new device".to_owned());
        let plain = Self { name, link: None, to: None, foreground: false, api: self.api, listen: self.listen };
        plain.start(home)?;
        let progress = context.out.progress();
        progress.say("looking for your other devices");
        let request = UseLinkRequest { code: Secret(Zeroizing::new(code)), name: self.name.clone(), to };
        let linked: Linked = Client::connect(home)?.post("devices/use", &request)?;
        drop(progress);
        context.out.data(&linked, show_linked)?;
        linked.warnings.iter().for_each(|warning| context.out.note(&text::clean(warning)));
        Ok(())
    }

    /// The program itself once more, without our terminal.
    fn spawn(&self, home: &Home, name: Option<&str>, last_words: &Path) -> Result<Child, Failure> {
        let cannot = |error: std::io::Error| Failure::io("the service can not be started", &error);
        let stderr = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(last_words);
        let stderr = stderr.map_err(|error| Failure::io(&last_words.display().to_string(), &error))?;
        let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
        command.args(["up", "--foreground", "--json"]).arg("--home").arg(home.root());
        if let Some(name) = name {
            command.arg(format!("--name={name}"));
        }
        for (option, address) in [("--api", self.api), ("--listen", self.listen)] {
            if let Some(address) = address {
                command.arg(option).arg(address.to_string());
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).current_dir("/").env(DETACHED, "1");
        command.spawn().map_err(cannot)
    }

    fn already_running(&self, context: &Context, home: &Home) -> Result<(), Failure> {
        let until = Instant::now() + START_TIMEOUT;
        let api = loop {
            match ApiFile::read(&home.api_file()) {
                Ok(api) => break api,
                Err(_) if Instant::now() < until && Lock::holder(&home.lock())?.is_some() => {
                    std::thread::sleep(LOOK_AGAIN)
                }
                Err(error) => return Err(error.into()),
            }
        };
        let whoami: Whoami = Client::new(&api).get("whoami")?;
        if self.name.as_ref().is_some_and(|name| *name != whoami.name) || self.api.is_some() || self.listen.is_some() {
            context.out.note("options of `up` count at the next start: `cobox down`, then `cobox up` again");
        }
        say_up(context, &api, whoami, true)
    }

    fn name_or_ask(&self, home: &Home) -> Result<Option<String>, Failure> {
        if self.name.is_some() || has_identity(home) || !prompt::can_ask() {
            return Ok(self.name.clone());
        }
        prompt::line("Your name, as others shall see it: ", "--name NAME").map(Some)
    }
}

fn show_linked(linked: &Linked) -> String {
    let mut text = format!("this computer is one of {}'s devices now\n", text::clean(&linked.name));
    for folder in &linked.folders {
        text.push_str(&format!("  {} in {}\n", text::clean(&folder.name), text::clean(&folder.path)));
    }
    text
}

/// `up --foreground --json`.
#[derive(Debug, Serialize)]
struct ForegroundUp {
    api: String,
    pid: u32,
}

fn say_up(context: &Context, api: &ApiFile, whoami: Whoami, already: bool) -> Result<(), Failure> {
    let Whoami { name, cobox_key, api: url, .. } = whoami;
    let up = Up { name, cobox_key, api: url, pid: api.pid, already };
    context.out.data(&up, |up| {
        let runs = if up.already { "already runs" } else { "is running" };
        format!("cobox {runs} for {}: {} (process {})", text::clean(&up.name), up.api, up.pid)
    })
}

fn wait_until_it_answers(home: &Home, child: &mut Child, last_words: &Path) -> Result<(ApiFile, Whoami), Failure> {
    let until = Instant::now() + START_TIMEOUT;
    loop {
        if let Some(api) = ApiFile::read(&home.api_file()).ok().filter(|api| api.pid == child.id()) {
            let whoami = Client::new(&api).get("whoami")?;
            return Ok((api, whoami));
        }
        match child.try_wait() {
            Ok(Some(_)) => return Err(why_it_ended(last_words)),
            Ok(None) if Instant::now() < until => std::thread::sleep(LOOK_AGAIN),
            Ok(None) => {
                let hint = "look into its log, or start it with --foreground to see what it does";
                return Err(Failure::new(ErrorCode::TimedOut, "the service does not answer after 30 seconds", hint));
            }
            Err(error) => return Err(Failure::io("the service is lost", &error)),
        }
    }
}

/// What the service wrote to stderr before it ended, in the form it has with `--json`.
fn why_it_ended(last_words: &Path) -> Failure {
    let words = fs::read_to_string(last_words).unwrap_or_default();
    let said = words.lines().rev().find_map(|line| serde_json::from_str::<ErrorLine>(line).ok());
    match said {
        Some(ErrorLine { error }) => {
            let status = ErrorCode::from_word(&error.code).map_or(500, ErrorCode::status);
            Failure::answered(status, error)
        }
        None => Failure::new(ErrorCode::Failed, format!("the service ended at once: {}", words.trim()), "see its log"),
    }
}
