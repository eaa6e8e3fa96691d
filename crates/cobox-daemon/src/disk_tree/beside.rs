//! Sets aside beside the folder what stands in it and is not the folder's: by renaming, so that a program which has it open writes on into
//! the same file.
//!
//! What must hold: nothing that stands there already is replaced, no symlink is followed, and what is not moved stays where it was.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use cobox_core::path::FolderPath;
use rustix::fs::{CWD, Mode};
use rustix::io::Errno;

use super::beneath::{LIST, open_at, stat_at};
use super::{DiskError, DiskTree};

/// Directories that are tried.
const ASIDE_MAX: u32 = 1000;

/// Why there is no room for it in a directory.
enum Taken {
    /// Something stands there.
    There,
    /// The disk refuses.
    Disk(Errno),
}

impl From<Errno> for Taken {
    fn from(error: Errno) -> Self {
        match error {
            Errno::EXIST | Errno::NOTDIR | Errno::LOOP => Self::There,
            error => Self::Disk(error),
        }
    }
}

impl DiskTree {
    /// Moves what stands at a path, a file, a link or a whole directory, out of the folder: to the same path in a directory beside it
    /// that is called like the folder with `mark` behind. Where it stands then; nothing if nothing was there.
    ///
    /// Errors: the place beside the folder is on another disk, or may not be written.
    pub fn set_beside(&self, path: &FolderPath, mark: &str) -> Result<Option<PathBuf>, DiskError> {
        let place = self.0.place(path)?;
        if place.stat()?.is_none() {
            return Ok(None);
        }
        let root = self.path();
        let (Some(above), Some(name)) = (root.parent(), root.file_name()) else {
            return Err(place.io("move out of the folder")(Errno::XDEV));
        };
        let name = name.to_string_lossy();
        let names: Vec<String> = path.iter().map(|name| name.as_str().to_owned()).collect();
        let names = match names.split_last() {
            // What this disk calls it.
            Some((_, dirs)) => [dirs, std::slice::from_ref(&place.name)].concat(),
            None => return Ok(None),
        };
        for n in 1..=ASIDE_MAX {
            let aside = if n == 1 { format!("{name} ({mark})") } else { format!("{name} ({mark} {n})") };
            let target = above.join(&aside);
            match self.move_to(above, &aside, &names, (&place.dir, &place.name)) {
                Ok(()) => return Ok(Some(names.iter().fold(target, |at, name| at.join(name)))),
                Err(Taken::There) => {}
                Err(Taken::Disk(Errno::XDEV)) => {
                    let why = "the folder is a disk of its own, so it can not be moved beside it; move it away by hand";
                    return Err(DiskError::io("set aside", path, io::Error::other(why)));
                }
                Err(Taken::Disk(error)) => return Err(DiskError::io("set aside beside the folder", path, error)),
            }
        }
        Err(place.io("set aside beside the folder")(Errno::EXIST))
    }

    fn move_to(&self, above: &Path, aside: &str, names: &[String], from: (&OwnedFd, &str)) -> Result<(), Taken> {
        let above = rustix::fs::openat(CWD, OsStr::new(above), LIST, Mode::empty())?;
        let mut dir = make(&above, aside)?;
        let Some((last, dirs)) = names.split_last() else { return Err(Taken::There) };
        for name in dirs {
            dir = make(&dir, name)?;
        }
        if stat_at(&dir, last)?.is_some() {
            return Err(Taken::There);
        }
        Ok(self.0.rename_new(from, (&dir, last))?)
    }
}

/// A directory in another, made if nothing is there.
fn make(dir: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkdirat(dir, name, Mode::RWXU | Mode::RWXG | Mode::RWXO) {
        Ok(()) | Err(Errno::EXIST) => open_at(dir, name, LIST),
        Err(error) => Err(error),
    }
}
