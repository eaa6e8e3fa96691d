//! The tale of a world: what people did and what happened to services, with times, in one file beside the machines.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;

/// What the file is called.
pub(crate) const TALE: &str = "tale";

/// Adds a line.
pub(crate) fn tell(tale: &Path, what: &str) -> Result<()> {
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut tale = File::options().append(true).create(true).open(tale)?;
    Ok(writeln!(tale, "{at:?} {what}")?)
}
