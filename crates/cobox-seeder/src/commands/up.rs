//! `up`: becomes the service (`--foreground`), or starts one in a session of its own and waits until it answers.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cobox_seeder::admin::{ErrorCode, ErrorLine};
use cobox_seeder::dto::Status;
use cobox_seeder::{ApiFile, Home, RunError, UpOptions};
use serde::Serialize;

use crate::Context;
use crate::client::Client;
use crate::output::Failure;

/// Set in the environment of a service that `up` starts: it leaves the terminal's session.
const DETACHED: &str = "COBOX_SEEDER_DETACHED";
/// How long a start may take.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How often to look whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(30);

/// Start the seeder
///
/// It stays in the background until `cobox-seeder down`. It does not start by itself with the machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to call this seeder; otherwise the machine's name
    #[arg(long)]
    name: Option<String>,
    /// Stay in this terminal, until Ctrl-C
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Where members find this seeder (UDP); otherwise a free port, chosen once and kept
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where these commands find the seeder, on this machine; port 0 takes any free one
    #[arg(long, value_name = "127.0.0.1:PORT")]
    admin: Option<SocketAddr>,
}

/// `up --json`.
#[derive(Debug, Serialize)]
struct Up {
    name: String,
    addresses: Vec<String>,
    admin: String,
    pid: u32,
    already: bool,
}

/// `up --foreground --json`.
#[derive(Debug, Serialize)]
struct ForegroundUp {
    admin: String,
    pid: u32,
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
        let (out, log_to_stderr) = (context.out, !detached && !context.out.quiet);
        let options = UpOptions {
            name: self.name,
            admin: self.admin,
            listen: self.listen,
            log_to_stderr,
            ..UpOptions::default()
        };
        cobox_seeder::run(home, options, |api| {
            let up = ForegroundUp { admin: format!("http://{}/", api.address), pid: api.pid };
            let _nobody_reads = out.data(&up, |_| "cobox-seeder is running (Ctrl-C stops it)".into());
        })?;
        Ok(())
    }

    fn start_service(self, context: &Context, home: &Home) -> Result<(), Failure> {
        if home.holder().map_err(RunError::from)?.is_some() {
            return self.already_running(context, home);
        }
        home.prepare().map_err(RunError::from)?;
        let last_words = home.logs().join(format!("start-{}.err", std::process::id()));
        let mut child = self.spawn(home, &last_words)?;
        let started = wait_until_it_answers(home, &mut child, &last_words);
        let _nothing_to_tidy = fs::remove_file(&last_words);
        match started {
            Err(failure) if failure.code() == Some(ErrorCode::AlreadyRunning) => self.already_running(context, home),
            started => say_up(context, &started?, false),
        }
    }

    /// The program itself once more, without our terminal.
    fn spawn(&self, home: &Home, last_words: &Path) -> Result<Child, Failure> {
        let cannot = |error: std::io::Error| Failure::io("the service can not be started", &error);
        let stderr = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(last_words);
        let stderr = stderr.map_err(|error| Failure::io(&last_words.display().to_string(), &error))?;
        let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
        command.args(["up", "--foreground", "--json"]).arg("--home").arg(home.root());
        if let Some(name) = &self.name {
            command.arg(format!("--name={name}"));
        }
        for (option, address) in [("--admin", self.admin), ("--listen", self.listen)] {
            if let Some(address) = address {
                command.arg(option).arg(address.to_string());
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        command.current_dir("/").env(DETACHED, "1").spawn().map_err(cannot)
    }

    fn already_running(&self, context: &Context, home: &Home) -> Result<(), Failure> {
        let until = Instant::now() + START_TIMEOUT;
        let api = loop {
            match ApiFile::read(&home.api_file()) {
                Ok(api) => break api,
                Err(_) if Instant::now() < until && home.holder().map_err(RunError::from)?.is_some() => {
                    std::thread::sleep(LOOK_AGAIN);
                }
                Err(error) => return Err(RunError::from(error).into()),
            }
        };
        if self.name.is_some() || self.admin.is_some() || self.listen.is_some() {
            context.out.note("options of `up` count at the next start: `cobox-seeder down`, then `up` again");
        }
        say_up(context, &api, true)
    }
}

fn say_up(context: &Context, api: &ApiFile, already: bool) -> Result<(), Failure> {
    let status: Status = Client::new(api).get("status")?;
    let admin = format!("http://{}/", api.address);
    let up = Up { name: status.name, addresses: status.addresses, admin, pid: api.pid, already };
    context.out.data(&up, |up| {
        let runs = if up.already { "already runs" } else { "is running" };
        let at = up.addresses.first().map(|address| format!(" at {address}")).unwrap_or_default();
        format!("cobox-seeder {runs} as {}{at} (process {})", up.name, up.pid)
    })
}

fn wait_until_it_answers(home: &Home, child: &mut Child, last_words: &Path) -> Result<ApiFile, Failure> {
    let until = Instant::now() + START_TIMEOUT;
    loop {
        if let Some(api) = ApiFile::read(&home.api_file()).ok().filter(|api| api.pid == child.id()) {
            return Ok(api);
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
        Some(ErrorLine { error }) => Failure::answered(error),
        None => Failure::new(ErrorCode::Failed, format!("the service ended at once: {}", words.trim()), "see its log"),
    }
}
