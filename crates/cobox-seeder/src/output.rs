//! What a command says, and how it ends badly. Data goes to stdout, as text or as JSON; talk goes to stderr. Labels come from the
//! operator's own hand; still, nothing printed here can move the cursor of a terminal.

use std::io::{self, Write};
use std::process::ExitCode;

use cobox_seeder::RunError;
use cobox_seeder::admin::{ApiError, ErrorBody, ErrorCode, ErrorLine, Exit};
use serde::Serialize;

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be said on stderr.
    Said(ErrorBody),
    /// Nobody reads our output any more: nothing to say, and nothing wrong.
    NobodyReads,
}

impl Failure {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        ApiError::new(code, message, hint).into()
    }

    pub(crate) fn not_running() -> Self {
        Self::new(ErrorCode::NotRunning, "cobox-seeder is not running", "start it with `cobox-seeder up`")
    }

    /// What the service answered.
    pub(crate) fn answered(body: ErrorBody) -> Self {
        Self::Said(body)
    }

    /// A file or stream that can not be used.
    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        Self::new(ErrorCode::Disk, format!("{what}: {error}"), "see that it exists, and that you may use it")
    }

    pub(crate) fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Said(body) => ErrorCode::from_word(&body.code),
            Self::NobodyReads => None,
        }
    }

    pub(crate) fn exit(&self) -> ExitCode {
        match self {
            Self::Said(_) => ExitCode::from(self.code().map_or(Exit::Failed, ErrorCode::exit) as u8),
            Self::NobodyReads => ExitCode::SUCCESS,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Said(error.body())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        ApiError::from(error).into()
    }
}

/// How this command speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// JSON on stdout, errors as JSON on stderr, no talk.
    pub(crate) json: bool,
    /// No talk.
    pub(crate) quiet: bool,
}

impl Output {
    /// The one result of a command.
    pub(crate) fn data<T: Serialize>(self, value: &T, human: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        if self.json {
            let json = serde_json::to_string(value).expect("our own shapes have text keys and finite numbers");
            return print(&format!("{json}\n"));
        }
        let text = human(value);
        print(&format!("{}{}", clean(&text), if text.is_empty() || text.ends_with('\n') { "" } else { "\n" }))
    }

    /// Something worth knowing besides the result.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet && !self.json {
            say(&format!("{}\n", clean(text)));
        }
    }

    /// Why the command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        let Failure::Said(body) = failure else { return };
        if self.json {
            let line = serde_json::to_string(&ErrorLine { error: body.clone() }).expect("our own shape has text keys");
            return say(&format!("{line}\n"));
        }
        let hint = body.hint.as_ref().map(|hint| format!("hint: {}\n", clean(hint))).unwrap_or_default();
        say(&format!("error: {}\n{hint}", clean(&body.message)));
    }
}

/// Text that is already fit for stdout.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::NobodyReads,
        _ => Failure::io("the output can not be written", &error),
    })
}

/// Text that is already fit for stderr; if nobody listens there, there is nobody to tell.
pub(crate) fn say(text: &str) {
    let _nobody_listens = io::stderr().lock().write_all(text.as_bytes());
}

/// Characters that a terminal would obey, or that turn the reading direction around, are written out.
fn clean(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        let misleads =
            c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
        if misleads && c != '\n' {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

/// Rows as columns, each as wide as its widest cell; nothing for no rows.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<&str>> = std::iter::once(header.to_vec())
        .chain(rows.iter().map(|row| row.iter().map(String::as_str).collect()))
        .collect();
    let width = |i: usize| rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &Vec<&str>| {
        let cells: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        format!("{}\n", cells.trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l12_labels_can_not_mislead_a_terminal() {
        assert_eq!(clean("Bélla 文 😀\n"), "Bélla 文 😀\n");
        assert_eq!(clean("\u{1b}[2J a\u{202e}b"), "\\u{1b}[2J a\\u{202e}b");
        assert_eq!(table(&["A", "B"], &[vec!["long".into(), "1".into()]]), "A     B\nlong  1\n");
        assert_eq!(table(&["A"], &[]), "");
    }
}
