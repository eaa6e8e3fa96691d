//! How a command ends badly: one shape for what the service answered, what this program found, and what the person typed.

use std::io;

use cobox_daemon::api::{ApiError, ErrorBody, ErrorCode, Exit};
use cobox_daemon::{ApiFileError, HomeError, LockError, RunError};
use serde::{Deserialize, Serialize};

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be said on stderr.
    Said {
        /// Code, message and hint.
        body: ErrorBody,
        /// How the program ends.
        exit: Exit,
    },
    /// Nobody reads our output any more: nothing to say, and nothing wrong.
    NobodyReads,
}

/// As it stands on stderr with `--json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorLine {
    /// Code, message and hint.
    pub(crate) error: ErrorBody,
}

impl Failure {
    /// A failure found here.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        ApiError::new(code, message).hint(hint).into()
    }

    /// Whether the service refused because it would have been the last whole copy.
    pub(crate) fn is_last_copy(&self) -> bool {
        matches!(self, Self::Said { body, .. } if body.code == ErrorCode::LastCopy.as_str())
    }

    /// Used wrongly.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorCode::Usage, message, hint)
    }

    /// The service does not run.
    pub(crate) fn not_running() -> Self {
        Self::new(ErrorCode::NotRunning, "cobox is not running", "start it with `cobox up`")
    }

    /// What the service answered.
    pub(crate) fn answered(status: u16, body: ErrorBody) -> Self {
        let exit = body.exit(status);
        Self::Said { body, exit }
    }

    /// A file or stream that can not be used.
    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        Self::new(ErrorCode::Disk, format!("{what}: {error}"), "see that it exists, and that you may read and write it")
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Said { body: error.body(), exit: error.code.exit() }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        RunError::from(error).into()
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        RunError::from(error).into()
    }
}

impl From<ApiFileError> for Failure {
    fn from(error: ApiFileError) -> Self {
        RunError::from(error).into()
    }
}
