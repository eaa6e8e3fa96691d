//! The person's own screen: has their programs open a file, a directory or an address.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Who knows the person's programs.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
/// An opener that fails does so at once; one that goes on has found a program.
const FAILS_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Opens it with whatever program the person has for such. Blocks for a moment, to hear whether there is one. What is opened stands in
/// the list of processes for everybody on the machine to see: it must be no secret.
pub fn open(what: &OsStr) -> io::Result<()> {
    let mut opener = Command::new(OPENER);
    let mut opener = opener.arg(what).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let begun = Instant::now();
    while begun.elapsed() < FAILS_WITHIN {
        match opener.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(_) => return Err(io::Error::other(format!("{OPENER} found no program for it"))),
            None => std::thread::sleep(LOOK_AGAIN),
        }
    }
    // Some openers stay as long as the program does.
    std::thread::spawn(move || opener.wait());
    Ok(())
}
