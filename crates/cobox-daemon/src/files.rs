//! Small files of the home: whole or absent, and nobody else's to read, whatever the umask.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::OnceLock;

/// What the person's own umask takes away; known once [`keep_private`] has set another.
static PERSON_UMASK: OnceLock<u32> = OnceLock::new();

/// From now on nothing this process makes is for others to read, unless its mode is set outright.
pub(crate) fn keep_private() {
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // A second call would find our own mask: the first one counts.
    let _ = PERSON_UMASK.set(before.as_raw_mode());
}

/// The mode a person's own programs would give a file or directory.
pub(crate) fn persons_mode(mode: u32) -> u32 {
    mode & !PERSON_UMASK.get().copied().unwrap_or(0o022)
}

/// Replaces the file in one step, with mode 0600: a temporary file beside it, synced, renamed, and the directory synced.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_parent(path)
}

/// Makes the file with mode 0600; an error if there is one.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_parent(path)
}

/// Gives a file of a directory another name there, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_parent(to)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
