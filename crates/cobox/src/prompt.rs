//! Questions to the person at the keyboard. Without a terminal nothing is ever asked.

use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::Mutex;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::Failure;
use crate::output::say;
use crate::text::clean_lines;

/// Bytes of an answer or of a file with words or a code.
const INPUT_BYTES_MAX: u64 = 64 << 10;

/// How the terminal was before its echo was put off.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Whether somebody can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line, or says which option to give instead.
pub(crate) fn line(question: &str, instead: &str) -> Result<String, Failure> {
    asked(question, instead)?;
    read_line().map(|line| line.trim().to_owned())
}

/// Asks for a secret line with the terminal's echo off.
pub(crate) fn secret(question: &str, instead: &str) -> Result<Zeroizing<String>, Failure> {
    asked(question, instead)?;
    echo_off();
    let answer = read_line();
    echo_on();
    answer.map(Zeroizing::new)
}

/// Asks for a yes.
pub(crate) fn yes(question: &str) -> Result<bool, Failure> {
    let answer = line(&format!("{question} [y/N] "), "--yes")?;
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}

/// All of stdin, for `-`.
pub(crate) fn stdin() -> Result<Zeroizing<String>, Failure> {
    read_text(io::stdin().lock(), "standard input")
}

/// All of a small text.
pub(crate) fn read_text(from: impl Read, what: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = from.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::io(&format!("{what} can not be read"), &error))?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::usage(format!("{what} is longer than 64 KiB"), "give the right file"));
    }
    Ok(text)
}

/// Gives the terminal its echo back.
pub(crate) fn echo_on() {
    if let Some(before) = BEFORE.lock().ok().and_then(|mut before| before.take()) {
        let _no_terminal_left = tcsetattr(io::stdin(), OptionalActions::Flush, &before);
        // The line end that was typed did not show either.
        say("\n");
    }
}

fn echo_off() {
    let Ok(before) = tcgetattr(io::stdin()) else { return };
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    if let Ok(mut kept) = BEFORE.lock() {
        *kept = Some(before);
    }
    let _stays_visible = tcsetattr(io::stdin(), OptionalActions::Flush, &silent);
}

fn asked(question: &str, instead: &str) -> Result<(), Failure> {
    if !can_ask() {
        let question = question.trim_end().trim_end_matches([':', '?']);
        return Err(Failure::usage(
            format!("nobody can be asked without a terminal: {question}"),
            format!("give {instead}"),
        ));
    }
    say(&clean_lines(question));
    Ok(())
}

fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    let read = io::stdin().lock().take(INPUT_BYTES_MAX).read_line(&mut line);
    match read {
        Ok(0) => Err(Failure::usage("no answer", "answer the question, or give the option for it")),
        Ok(_) => Ok(line),
        Err(error) => Err(Failure::io("standard input can not be read", &error)),
    }
}
