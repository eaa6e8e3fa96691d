//! The person's own seeder on this computer. It is a program of its own, with its own home, disk and port, and it must be able to read
//! nothing: so nothing of it runs in this process. What the page shows and does goes through its command line, as a person would do it.
//!
//! Owns nothing. The seeder outlives the service of this device and is found again by its home, where its command line finds it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::api::dto::{
    KeptDropRequest, KeptDropped, KeptFolder, Offer, OfferRequest, OwnSeeder, Seeding, SeedingStart,
};
use crate::api::{ApiError, ErrorBody, ErrorCode};

/// The program, which lies beside ours.
const PROGRAM: &str = "cobox-seeder";
/// Starting takes longest; the command itself gives up before.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(45);
/// Starting and stopping take turns: a seeder that is just doing the one can not be told the other.
static TURN: Mutex<()> = Mutex::const_new(());
const KEEP_DAYS: u32 = 90;
const EXPIRES_DAYS: u32 = 14;

/// What it says of itself, as far as it is shown.
#[derive(Deserialize)]
struct Status {
    name: String,
    addresses: Vec<String>,
    ticket: String,
    space_bytes: u64,
    used_bytes: u64,
    open_offers: u64,
    problems: Vec<String>,
}

#[derive(Deserialize)]
struct Folders {
    folders: Vec<KeptFolder>,
}

/// The last line of a command that failed.
#[derive(Deserialize)]
struct Refusal {
    error: ErrorBody,
}

/// How the person's seeder stands.
pub(crate) async fn look() -> Result<Seeding, ApiError> {
    if !program().is_some_and(|program| program.is_file()) {
        return Ok(Seeding { installed: false, seeder: None });
    }
    let seeder = match run::<Status>(&["status"]).await {
        Ok(Status { name, addresses, ticket, space_bytes, used_bytes, open_offers, problems }) => {
            let Folders { folders } = run(&["folders"]).await?;
            Some(OwnSeeder { name, addresses, ticket, space_bytes, used_bytes, open_offers, problems, folders })
        }
        Err(error) if error.code == ErrorCode::NotRunning => None,
        Err(error) => return Err(error),
    };
    Ok(Seeding { installed: true, seeder })
}

/// Starts it; it goes on when this service stops.
pub(crate) async fn start(request: SeedingStart) -> Result<Seeding, ApiError> {
    let name = request.name.map(|name| format!("--name={name}"));
    let mut words = vec!["up"];
    words.extend(name.as_deref());
    let _turn = TURN.lock().await;
    running(run::<IgnoredAny>(&words).await)?;
    look().await
}

/// Stops it.
pub(crate) async fn stop() -> Result<Seeding, ApiError> {
    let _turn = TURN.lock().await;
    match run::<IgnoredAny>(&["down"]).await {
        Err(error) if error.code != ErrorCode::NotRunning => Err(error),
        _ => look().await,
    }
}

/// Makes an offer.
pub(crate) async fn offer(request: OfferRequest) -> Result<Offer, ApiError> {
    let space = format!("--space={}B", request.space_bytes);
    let label = format!("--for={}", request.label);
    let keep = format!("--keep={}d", request.keep_days.unwrap_or(KEEP_DAYS));
    let expires = format!("--expires={}d", request.expires_days.unwrap_or(EXPIRES_DAYS));
    running(run(&["offer", &space, &label, &keep, &expires]).await)
}

/// Deletes what is kept of a folder, or says what would go.
pub(crate) async fn drop(id: &str, request: &KeptDropRequest) -> Result<KeptDropped, ApiError> {
    let mut words = vec!["drop", id, if request.dry_run { "--dry-run" } else { "--yes" }];
    words.extend(request.even_the_last_copy.then_some("--even-the-last-copy"));
    running(run(&words).await)
}

/// Of this service it is said with 503 that it does not run; of the seeder it is a refusal like others.
fn running<T>(answer: Result<T, ApiError>) -> Result<T, ApiError> {
    answer.map_err(|error| match error.code {
        ErrorCode::NotRunning => ApiError { code: ErrorCode::Refused, ..error },
        _ => error,
    })
}

fn program() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.with_file_name(PROGRAM))
}

/// Has the program do one thing and reads what it says.
async fn run<T: DeserializeOwned>(words: &[&str]) -> Result<T, ApiError> {
    let absent = || {
        ApiError::new(ErrorCode::Refused, "the program cobox-seeder is not on this computer")
            .hint("put it beside cobox; it comes with it")
    };
    let mut command = Command::new(program().ok_or_else(absent)?);
    command.args(words).arg("--json").stdin(Stdio::null()).kill_on_drop(true);
    let ended = match tokio::time::timeout(ANSWER_TIMEOUT, command.output()).await {
        Ok(ended) => ended.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => absent(),
            _ => ApiError::new(ErrorCode::Failed, format!("cobox-seeder can not be run: {error}")),
        })?,
        Err(_) => return Err(ApiError::new(ErrorCode::TimedOut, "cobox-seeder does not answer").hint("see its log")),
    };
    if ended.status.success() {
        return serde_json::from_slice(&ended.stdout).map_err(|_| unreadable());
    }
    let last = ended.stderr.trim_ascii_end().rsplit(|b| *b == b'\n').next().unwrap_or_default();
    let error = serde_json::from_slice::<Refusal>(last).map_err(|_| unreadable())?.error;
    let refused = ApiError::new(ErrorCode::from_word(&error.code).unwrap_or(ErrorCode::Failed), error.message);
    Err(match error.hint {
        Some(hint) => refused.hint(hint),
        None => refused,
    })
}

fn unreadable() -> ApiError {
    ApiError::new(ErrorCode::Failed, "cobox-seeder said something that can not be understood")
        .hint("see that it is of the same version as cobox")
}
