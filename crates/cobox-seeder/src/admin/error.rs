//! The one place where a failure becomes `{code, message, hint}`, an HTTP status and the command line's exit code. A code never changes
//! its meaning; the words are those of the member's API where they mean the same.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cobox_store::StoreError;
use serde::{Deserialize, Serialize};

use crate::home::HomeError;
use crate::process::RunError;
use crate::seeder::SeederError;

/// How the command line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It failed.
    Failed = 1,
    /// It was asked wrongly.
    Usage = 2,
    /// A check found a problem.
    Problem = 3,
    /// The service is not running.
    NotRunning = 4,
    /// Refused unless it is said once more.
    Refused = 5,
    /// There is no such thing.
    NotFound = 6,
    /// Ctrl-C.
    Interrupted = 130,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $exit:ident;)*) => {
        /// What went wrong, in a word that scripts may compare.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// The word itself.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => $text,)* }
            }
            /// The HTTP status it travels with.
            pub fn status(self) -> u16 {
                match self { $(ErrorCode::$name => $status,)* }
            }
            /// The exit code of a command that ends so.
            pub fn exit(self) -> Exit {
                match self { $(ErrorCode::$name => Exit::$exit,)* }
            }
            /// The code this word stands for.
            pub fn from_word(word: &str) -> Option<ErrorCode> {
                match word { $($text => Some(ErrorCode::$name),)* _ => None }
            }
        }
    };
}

codes! {
    /// Something failed that has no narrower code.
    Failed = "failed", 500, Failed;
    /// The request makes no sense.
    BadRequest = "bad_request", 400, Usage;
    /// The token is missing or wrong.
    Unauthorized = "unauthorized", 401, Failed;
    /// The request comes from a web page, or names another host.
    ForeignOrigin = "foreign_origin", 403, Failed;
    /// The API has no such address or method.
    NoSuchRoute = "no_such_route", 404, NotFound;
    /// No folder has this id.
    FolderNotFound = "folder_not_found", 404, NotFound;
    /// Several folders match.
    FolderAmbiguous = "folder_ambiguous", 409, Usage;
    /// The disk refused.
    Disk = "disk", 500, Failed;
    /// It took longer than allowed.
    TimedOut = "timed_out", 504, Failed;
    /// The command line was used wrongly.
    Usage = "usage", 400, Usage;
    /// The service does not run.
    NotRunning = "not_running", 503, NotRunning;
    /// The service runs already.
    AlreadyRunning = "already_running", 409, Failed;
    /// The port is taken by another program.
    PortTaken = "port_taken", 409, Failed;
    /// The settings can not be understood.
    ConfigWrong = "config_wrong", 500, Failed;
    /// This directory can not be the state directory.
    HomeUnsuitable = "home_unsuitable", 409, Usage;
    /// A check found damage.
    DamageFound = "damage_found", 500, Problem;
    /// Ctrl-C.
    Interrupted = "interrupted", 499, Interrupted;
    /// It may be the last copy of the folder.
    LastCopy = "last_copy", 409, Refused;
}

/// A failure as people and scripts see it. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Which failure.
    pub code: ErrorCode,
    /// What failed, naming the thing.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

impl ApiError {
    /// A failure.
    pub fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into() }
    }

    /// As it stands in JSON.
    pub fn body(&self) -> ErrorBody {
        let hint = Some(self.hint.clone()).filter(|hint| !hint.is_empty());
        ErrorBody { code: self.code.as_str().into(), message: self.message.clone(), hint }
    }
}

/// An error as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A word that never changes its meaning.
    pub code: String,
    /// What failed.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// An error as it stands on stderr with `--json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorLine {
    /// Code, message and hint.
    pub error: ErrorBody,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.body())).into_response()
    }
}

impl From<SeederError> for ApiError {
    fn from(error: SeederError) -> Self {
        let (code, hint) = match &error {
            SeederError::PortTaken(_) => (
                ErrorCode::PortTaken,
                "stop that program, or choose another port with --listen; new offers name it then",
            ),
            SeederError::BadName(_) | SeederError::NoSpace => (ErrorCode::Usage, "see `cobox-seeder --help`"),
            SeederError::NoSuchFolder(_) => (ErrorCode::FolderNotFound, "`cobox-seeder folders` lists them"),
            SeederError::Ambiguous(_) => (ErrorCode::FolderAmbiguous, "give more of the id"),
            SeederError::ShortId(_) => (ErrorCode::Usage, "`cobox-seeder folders` lists the ids"),
            SeederError::Store(StoreError::InUse { .. }) => (ErrorCode::Disk, "stop the other process first"),
            SeederError::Keys(_) | SeederError::Store(_) => {
                (ErrorCode::Disk, "see that the disk has room and can be written")
            }
            SeederError::Net(_) => (ErrorCode::Failed, "choose another address with --listen"),
            SeederError::Broken => (ErrorCode::Failed, "its log says more"),
        };
        Self::new(code, error.to_string(), hint)
    }
}

impl From<RunError> for ApiError {
    fn from(error: RunError) -> Self {
        let (code, hint) = match error {
            RunError::Seeder(error) => return error.into(),
            RunError::Home(HomeError::Held { .. }) => {
                (ErrorCode::AlreadyRunning, "`cobox-seeder status` shows it, `cobox-seeder down` stops it")
            }
            RunError::Home(HomeError::Io { .. }) => (ErrorCode::Disk, "name another one with --home"),
            RunError::Home(_) => (ErrorCode::HomeUnsuitable, "name another one with --home or COBOX_SEEDER_HOME"),
            RunError::Config(_) => (ErrorCode::ConfigWrong, "correct the line, or delete it to have the default"),
            RunError::LogLevel(_) => (ErrorCode::ConfigWrong, "unset COBOX_LOG, or set it to info"),
            RunError::NotLoopback(_) => (ErrorCode::Usage, "for example --admin 127.0.0.1:0"),
            RunError::Listen { .. } => {
                (ErrorCode::PortTaken, "choose another with --admin, or 127.0.0.1:0 for any free one")
            }
            RunError::Log { .. } | RunError::ApiFile(_) => {
                (ErrorCode::Disk, "see that the disk has room and can be written")
            }
            RunError::System(_) => (ErrorCode::Failed, "try again"),
        };
        Self::new(code, error.to_string(), hint)
    }
}
