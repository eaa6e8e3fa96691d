//! The one place where a failure becomes `{code, message, hint}`, an HTTP status and the command line's exit code.
//!
//! A code never changes its meaning: the table below is a contract that scripts read. New codes are added at the end.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// Refused by policy, or held back.
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
            /// Every code there is.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

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
    /// The request makes no sense: a missing field, a wrong type, a value out of range.
    BadRequest = "bad_request", 400, Usage;
    /// The token is missing or wrong.
    Unauthorized = "unauthorized", 401, Failed;
    /// The request comes from another web page, or names another host.
    ForeignOrigin = "foreign_origin", 403, Failed;
    /// The request is larger than anything the API needs.
    TooLarge = "too_large", 413, Usage;
    /// The API has no such address.
    NoSuchRoute = "no_such_route", 404, NotFound;
    /// The address exists, but not for this method.
    WrongMethod = "wrong_method", 405, Usage;
    /// The service is about to stop.
    Stopping = "stopping", 503, Failed;
    /// No folder of this name, id or path.
    FolderNotFound = "folder_not_found", 404, NotFound;
    /// Several folders match.
    FolderAmbiguous = "folder_ambiguous", 409, Usage;
    /// No member of this name or key.
    MemberNotFound = "member_not_found", 404, NotFound;
    /// No seeder of this name or key in the folder.
    SeederNotFound = "seeder_not_found", 404, NotFound;
    /// No such file or directory in the folder, or not on this computer now.
    FileNotFound = "file_not_found", 404, NotFound;
    /// No held change of this id.
    HeldNotFound = "held_not_found", 404, NotFound;
    /// The local name is taken by another folder.
    FolderNameInUse = "folder_name_in_use", 409, Usage;
    /// This place can not be a folder, or not this one.
    PathUnsuitable = "path_unsuitable", 409, Usage;
    /// A CoBox key, invite code, offer or ticket is damaged or of another kind.
    CodeUnreadable = "code_unreadable", 400, Usage;
    /// The code was used already, was cancelled, or its time is over.
    CodeSpent = "code_spent", 409, Refused;
    /// The code was made for another CoBox key.
    CodeForAnother = "code_for_another", 403, Refused;
    /// One's role does not allow this.
    RoleForbids = "role_forbids", 403, Refused;
    /// The seeder's space is used up.
    QuotaExceeded = "quota_exceeded", 409, Refused;
    /// The other side refused.
    Refused = "refused", 409, Refused;
    /// The change is held back until somebody approves it.
    Held = "held", 409, Refused;
    /// The recovery words do not fit together.
    WordsWrong = "words_wrong", 400, Usage;
    /// This device has an identity with folders, which nothing may replace.
    IdentityInUse = "identity_in_use", 409, Refused;
    /// Nobody could be reached in time.
    Unreachable = "unreachable", 504, Failed;
    /// It took longer than allowed.
    TimedOut = "timed_out", 504, Failed;
    /// The disk refused: full, read-only, or a file that can not be read.
    Disk = "disk", 500, Failed;
    /// Not possible in this version.
    NotYet = "not_yet", 501, Usage;
    /// A once-only login link that was used or is too old.
    LoginSpent = "login_spent", 403, Refused;
    /// The command line was used wrongly.
    Usage = "usage", 400, Usage;
    /// The service does not run.
    NotRunning = "not_running", 503, NotRunning;
    /// The service runs already.
    AlreadyRunning = "already_running", 409, Failed;
    /// The first start needs a name.
    NameNeeded = "name_needed", 400, Usage;
    /// The port is taken by another program.
    PortTaken = "port_taken", 409, Failed;
    /// The settings can not be understood.
    ConfigWrong = "config_wrong", 500, Failed;
    /// This directory can not be the state directory.
    HomeUnsuitable = "home_unsuitable", 409, Usage;
    /// No state of that time is kept by anybody who can be reached, or there was no such file in it.
    NotInHistory = "not_in_history", 404, NotFound;
    /// No conflict at this path, or no version of this id.
    ConflictNotFound = "conflict_not_found", 404, NotFound;
    /// A check found damage.
    DamageFound = "damage_found", 500, Problem;
    /// Ctrl-C.
    Interrupted = "interrupted", 499, Interrupted;
    /// Several members match.
    MemberAmbiguous = "member_ambiguous", 409, Usage;
    /// Nothing of this id is held aside.
    HeldAsideNotFound = "held_aside_not_found", 404, NotFound;
    /// No open invite of this id.
    InviteNotFound = "invite_not_found", 404, NotFound;
    /// The person has no device of this name or key, or several.
    DeviceNotFound = "device_not_found", 404, NotFound;
    /// Nobody of this name or key asks to be let in, or this device does not ask there.
    JoinNotFound = "join_not_found", 404, NotFound;
    /// This computer has no screen, or no program that shows directories.
    NoScreen = "no_screen", 409, Failed;
    /// The folder's new keys are not here yet, and nothing can be sent to others before.
    KeysAwaited = "keys_awaited", 409, Refused;
    /// What is to be forgotten is in the folder now, under this name or another.
    StillInFolder = "still_in_folder", 409, Refused;
    /// Nothing of it can be let go of by itself.
    NothingToForget = "nothing_to_forget", 409, Refused;
    /// No wish to forget something has this id.
    ForgetNotFound = "forget_not_found", 404, NotFound;
    /// It would take away the last whole copy that is known, or leave it on this computer alone.
    LastCopy = "last_copy", 409, Refused;
    /// The person has been in as many folders as their recovery words hold keys for.
    FoldersUsedUp = "folders_used_up", 409, Refused;
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// A failure as people and scripts see it. Fit for a screen: it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Which failure.
    pub code: ErrorCode,
    /// What failed, naming the thing.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl ApiError {
    /// An error without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same with what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As it stands in JSON.
    pub fn body(&self) -> ErrorBody {
        ErrorBody { code: self.code.as_str().into(), message: self.message.clone(), hint: self.hint.clone() }
    }
}

/// An error as it travels; `code` is one of the words of the table in `docs/api.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// A word that never changes its meaning.
    pub code: String,
    /// What failed.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl ErrorBody {
    /// How a command ends that got this answer. A code from a newer version is judged by its HTTP status.
    pub fn exit(&self, status: u16) -> Exit {
        ErrorCode::from_word(&self.code).map_or(
            match status {
                404 => Exit::NotFound,
                403 | 409 => Exit::Refused,
                400..=499 => Exit::Usage,
                _ => Exit::Failed,
            },
            ErrorCode::exit,
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.body())).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_one_word_of_its_own_with_an_error_status() {
        let mut seen = std::collections::BTreeSet::new();
        for code in ErrorCode::ALL {
            let word = code.as_str();
            assert!(seen.insert(word), "{word} stands twice");
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{word}");
            assert_eq!(ErrorCode::from_word(word), Some(*code));
            assert!((400..600).contains(&code.status()), "{word}");
        }
    }

    #[test]
    fn the_table_in_the_documentation_is_this_one() {
        let documented = include_str!("../../../../docs/api.md");
        for code in ErrorCode::ALL {
            let row = format!("| `{}` | {} | {} |", code.as_str(), code.status(), code.exit() as u8);
            assert!(documented.contains(&row), "docs/api.md lacks {row}");
        }
        let errors = documented.split("\n## Errors\n").nth(1).and_then(|rest| rest.split("\n## ").next());
        assert_eq!(errors.map(|table| table.matches("\n| `").count()), Some(ErrorCode::ALL.len()));
    }

    #[test]
    fn a_code_of_a_newer_version_still_ends_a_command_sensibly() {
        let body = ErrorBody { code: "from_the_future".into(), message: String::new(), hint: None };
        assert_eq!(body.exit(404), Exit::NotFound);
        assert_eq!(body.exit(409), Exit::Refused);
        assert_eq!(body.exit(422), Exit::Usage);
        assert_eq!(body.exit(502), Exit::Failed);
    }
}
