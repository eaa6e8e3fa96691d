//! What a command says. Data goes to stdout, as text or as JSON; talk goes to stderr. Everything passes through `text` on its way,
//! so that no name can speak to the terminal.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::error::{ErrorLine, Failure};
use crate::text::{clean_json, clean_lines};

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
            return self.json_line(value);
        }
        let text = human(value);
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        print(&format!("{}{end}", clean_lines(&text)))
    }

    /// One of a stream of results.
    pub(crate) fn json_line<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        let json = serde_json::to_string(value).expect("our own shapes have text keys and finite numbers");
        print(&format!("{}\n", clean_json(&json)))
    }

    /// Something worth knowing besides the result.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet && !self.json {
            say(&format!("{}\n", clean_lines(text)));
        }
    }

    /// Why the command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        let Failure::Said { body, .. } = failure else { return };
        if self.json {
            let line = serde_json::to_string(&ErrorLine { error: body.clone() }).expect("our own shape has text keys");
            return say(&format!("{}\n", clean_json(&line)));
        }
        let (red, plain) = if colour() { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
        let hint = body.hint.as_ref().map(|hint| format!("hint: {}\n", clean_lines(hint))).unwrap_or_default();
        say(&format!("{red}error:{plain} {}\n{hint}", clean_lines(&body.message)));
    }

    /// Long work: a moving line on a terminal, plain lines otherwise, nothing with `--quiet` or `--json`.
    pub(crate) fn progress(self) -> Progress {
        let silent = self.quiet || self.json;
        let bar = (!silent && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Progress { silent, bar, last: RefCell::default() }
    }
}

/// Says how far long work has come; cleared away when dropped.
pub(crate) struct Progress {
    silent: bool,
    bar: Option<ProgressBar>,
    last: RefCell<String>,
}

impl Progress {
    /// Where it stands; the same twice is said once.
    pub(crate) fn say(&self, text: &str) {
        if self.silent || *self.last.borrow() == text {
            return;
        }
        text.clone_into(&mut self.last.borrow_mut());
        match &self.bar {
            Some(bar) => bar.set_message(clean_lines(text)),
            None => say(&format!("{}\n", clean_lines(text))),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
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

fn colour() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() && !dumb
}
