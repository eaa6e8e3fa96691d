//! The life of a service as a process: home, lock, settings, log, daemon, API; then waiting for a reason to stop; then all of it
//! backwards.
//!
//! What must hold: the lock is held before anything in the home is written and until everything else is closed; `api.json` stands
//! there only while the API answers; a stop takes ten seconds at most; a broken invariant ends the process at once and loudly.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::api::{ApiError, ErrorCode, Exit, ServeError, serve};
use crate::daemon::{StartError, StartOptions};
use crate::files::keep_private;
use crate::{ApiFile, ApiFileError, Config, ConfigError, Home, HomeError, Lock, LockError, daemon, log, random_token};

/// How long a graceful stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of that answers under way may take.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(2);
/// How many files may be open at once, if the system agrees.
const OPEN_FILES_WANTED: u64 = 16_384;
/// The exit code of a broken invariant, as Rust itself uses it.
const EXIT_PANIC: i32 = 101;

/// What was typed at `up`.
#[derive(Debug, Clone, Default)]
pub struct UpOptions {
    /// The person's name: needed the first time, renames later.
    pub name: Option<String>,
    /// Where the API listens; a free port on 127.0.0.1 if not said.
    pub api: Option<SocketAddr>,
    /// The UDP address for other devices; the settings' or the kept one if not said.
    pub listen: Option<SocketAddr>,
    /// Log to standard error too.
    pub log_to_stderr: bool,
}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The home is not fit.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Another service has the home.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `COBOX_LOG` is wrong.
    #[error("COBOX_LOG is \"{0}\", which is none of error, warn, info, debug, trace")]
    LogLevel(String),
    /// The log can not be written.
    #[error("the log {path} can not be written: {source}")]
    Log {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refused threads or signals.
    #[error("the system does not let the service start: {0}")]
    System(io::Error),
    /// The API's port is taken.
    #[error("the API can not listen on {address}: {source}")]
    Listen {
        /// Where it should listen.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The API can not be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// `api.json` can not be written.
    #[error(transparent)]
    ApiFile(#[from] ApiFileError),
    /// The daemon itself does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl From<RunError> for ApiError {
    fn from(error: RunError) -> Self {
        let (code, hint) = match &error {
            RunError::Home(HomeError::Io { .. }) => (ErrorCode::Disk, "name another one with --home or COBOX_HOME"),
            RunError::Home(_) => (ErrorCode::HomeUnsuitable, "name another one with --home or COBOX_HOME"),
            RunError::Lock(LockError::Held { .. }) => {
                (ErrorCode::AlreadyRunning, "`cobox status` shows it, `cobox down` stops it")
            }
            RunError::Config(_) => (ErrorCode::ConfigWrong, "correct the line, or delete it to have the default"),
            RunError::LogLevel(_) => (ErrorCode::ConfigWrong, "unset COBOX_LOG, or set it to info"),
            RunError::Listen { .. } => {
                (ErrorCode::PortTaken, "choose another with --api, or 127.0.0.1:0 for any free one")
            }
            RunError::Serve(ServeError::NotLoopback { .. }) => (ErrorCode::Usage, "for example --api 127.0.0.1:0"),
            RunError::Lock(LockError::Io { .. }) | RunError::Log { .. } | RunError::ApiFile(_) => {
                (ErrorCode::Disk, "see that the disk has room and can be written")
            }
            RunError::System(_) | RunError::Serve(ServeError::Listen { .. }) => (ErrorCode::Failed, "try again"),
            RunError::Start(start) => (start.code(), start.hint()),
        };
        ApiError::new(code, error.to_string()).hint(hint)
    }
}

/// Asks the system for room for files under assembly: how many may be open at once is set low by default, for the sake of programs
/// older than thirty years. Without it the service works in smaller groups.
fn allow_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(OPEN_FILES_WANTED, |most| most.min(OPEN_FILES_WANTED));
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        if let Err(why) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%why, "the limit of open files stays as it is");
        }
    }
}

/// Runs the service of this home until it is asked to stop. `ready` is called once the API answers.
pub fn run(home: &Home, options: UpOptions, ready: impl FnOnce(&ApiFile)) -> Result<(), RunError> {
    if let Some(address) = options.api.filter(|a| !a.ip().is_loopback()) {
        return Err(ServeError::NotLoopback { address }.into());
    }
    keep_private();
    allow_open_files();
    home.prepare(std::env::var_os("HOME").map(PathBuf::from).as_deref())?;
    let _lock = Lock::acquire(&home.lock())?;
    // What a crash left behind would look valid from now on, since the lock is held.
    ApiFile::remove(&home.api_file())?;
    let config = Config::load(&home.config())?;
    let words = match std::env::var("COBOX_LOG") {
        Ok(words) if !words.is_empty() => words,
        _ => config.log.clone(),
    };
    let filter = log::filter(&words).map_err(|_| RunError::LogLevel(words))?;
    cobox_log::start(&home.logs(), filter, options.log_to_stderr)
        .map_err(|source| RunError::Log { path: home.logs(), source })?;
    stop_loudly_on_panic();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(RunError::System)?;
    let result = runtime.block_on(live(home, config, options, ready));
    runtime.shutdown_timeout(Duration::from_secs(1));
    tracing::info!("stopped");
    result
}

async fn live(home: &Home, config: Config, options: UpOptions, ready: impl FnOnce(&ApiFile)) -> Result<(), RunError> {
    let stop = CancellationToken::new();
    stop_on_signals(&stop).map_err(RunError::System)?;
    let address = options.api.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
    let listening = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = listening.map_err(|source| RunError::Listen { address, source })?;
    let listen = options.listen.or(config.listen);
    let service = daemon::start(StartOptions { home: home.clone(), config, name: options.name, listen }).await?;

    let token = random_token();
    let api_file = ApiFile::new(address, &token);
    api_file.write(&home.api_file())?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
    ready(&api_file);
    let mut server = tokio::spawn(serve(listener, token, service.clone(), stop.clone()));
    let mut served = None;
    tokio::select! {
        () = stop.cancelled() => {}
        ended = &mut server => served = Some(ended),
    }

    tracing::info!("stopping");
    if served.is_none() {
        // A client that does not read its answer is not waited for.
        served = tokio::time::timeout(ANSWERS_TIMEOUT, server).await.ok();
    }
    if tokio::time::timeout(STOP_TIMEOUT - ANSWERS_TIMEOUT, service.shutdown()).await.is_err() {
        tracing::warn!("work was still under way after ten seconds; it goes on at the next start");
    }
    ApiFile::remove(&home.api_file())?;
    match served {
        Some(Ok(ended)) => Ok(ended?),
        Some(Err(join)) => Err(RunError::System(io::Error::other(join))),
        None => Ok(()),
    }
}

/// The first SIGINT, SIGTERM or SIGHUP asks for a stop; a second SIGINT ends the process at once.
fn stop_on_signals(stop: &CancellationToken) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let stop = stop.clone();
    tokio::spawn(async move {
        loop {
            let interrupted = tokio::select! {
                () = next(&mut interrupt) => true,
                () = next(&mut terminate) => false,
                () = next(&mut hang_up) => false,
            };
            if interrupted && stop.is_cancelled() {
                std::process::exit(Exit::Interrupted as i32);
            }
            stop.cancel();
        }
    });
    Ok(())
}

async fn next(signal: &mut Signal) {
    signal.recv().await;
}

/// A service that goes on after a broken invariant could lose somebody's work; one that stops is seen, and starts again from what is on
/// disk.
fn stop_loudly_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        // The message may hold names or paths: the log gets the place alone.
        tracing::error!(place, "cobox stops: this is a mistake in cobox, please report it");
        let message = panic.payload_as_str().unwrap_or("no message");
        let _nowhere_to_say = io::Write::write_all(
            &mut io::stderr(),
            format!("cobox stops at {place}: {message}\nThis is a mistake in cobox, please report it.\n").as_bytes(),
        );
        std::process::exit(EXIT_PANIC);
    }));
}
