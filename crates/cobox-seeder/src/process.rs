//! The life of a seeder as a process: home, lock, settings, log, seeder, API; then waiting for a reason to stop; then all of it
//! backwards.
//!
//! What must hold: the lock is held before anything in the home is written and until everything else is closed; `api.json` stands
//! there only while the API answers; a stop takes ten seconds at most; a broken invariant ends the process at once and loudly.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::admin::{ApiFile, ApiFileError, Exit, serve};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::home::{Home, HomeError};
use crate::log;
use crate::seeder::{Seeder, SeederError, StartOptions};

/// How long a graceful stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of that answers under way may take.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(2);
/// The exit code of a broken invariant, as Rust itself uses it.
const EXIT_PANIC: i32 = 101;

/// What was typed at `up`.
#[derive(Debug, Clone, Default)]
pub struct UpOptions {
    /// The seeder's name.
    pub name: Option<String>,
    /// Where the API listens; a free port on 127.0.0.1 if not said.
    pub admin: Option<SocketAddr>,
    /// The UDP address; the settings' or the kept one if not said.
    pub listen: Option<SocketAddr>,
    /// Log to standard error too.
    pub log_to_stderr: bool,
    /// The time; the machine's if not said.
    pub clock: Clock,
}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The home is not fit, or somebody has it.
    #[error(transparent)]
    Home(#[from] HomeError),
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
    /// Only this machine may speak to the API.
    #[error("the API listens on this machine only, but {0} is reachable from others; use 127.0.0.1")]
    NotLoopback(SocketAddr),
    /// The API's port is taken.
    #[error("the API can not listen on {address}: {source}")]
    Listen {
        /// Where it should listen.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// `api.json` can not be written.
    #[error(transparent)]
    ApiFile(#[from] ApiFileError),
    /// The seeder itself does not start.
    #[error(transparent)]
    Seeder(#[from] SeederError),
}

/// Runs the seeder of this home until it is asked to stop. `ready` is called once the API answers.
pub fn run(home: &Home, options: UpOptions, ready: impl FnOnce(&ApiFile)) -> Result<(), RunError> {
    if let Some(address) = options.admin.filter(|a| !a.ip().is_loopback()) {
        return Err(RunError::NotLoopback(address));
    }
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    home.prepare()?;
    let _lock = home.lock()?;
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
    let address = options.admin.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
    let listening = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = listening.map_err(|source| RunError::Listen { address, source })?;
    let start = StartOptions {
        name: options.name,
        listen: options.listen.or(config.listen),
        relays: config.relays,
        connections_max: config.connections_max,
        clock: options.clock,
        rates: config.rates,
    };
    let seeder = Arc::new(Seeder::start(home, start).await?);
    let api_file = ApiFile::new(address);
    api_file.write(&home.api_file())?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
    let mut server = tokio::spawn(serve(listener, address, &api_file, seeder.clone(), stop.clone()));
    ready(&api_file);
    tokio::select! {
        () = stop.cancelled() => {
            // A client that does not read its answer is not waited for.
            let _late = tokio::time::timeout(ANSWERS_TIMEOUT, &mut server).await;
        }
        _ended = &mut server => {}
    }
    tracing::info!("stopping");
    if tokio::time::timeout(STOP_TIMEOUT - ANSWERS_TIMEOUT, seeder.shutdown()).await.is_err() {
        tracing::warn!("work was still under way after ten seconds; it goes on at the next start");
    }
    ApiFile::remove(&home.api_file())?;
    Ok(())
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

/// A service that goes on after a broken invariant could lose what people rely on; one that stops is seen, and starts again from disk.
fn stop_loudly_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "cobox-seeder stops: this is a mistake in it, please report it");
        let message = panic.payload_as_str().unwrap_or("no message");
        let _nowhere_to_say = io::Write::write_all(
            &mut io::stderr(),
            format!("cobox-seeder stops at {place}: {message}\nThis is a mistake in it, please report it.\n")
                .as_bytes(),
        );
        std::process::exit(EXIT_PANIC);
    }));
}
