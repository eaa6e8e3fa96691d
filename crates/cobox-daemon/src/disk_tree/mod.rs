//! The plain folder on this machine's disk. Every access starts at a handle of the folder's root and goes down one component
//! at a time without following a symbolic link, so nothing outside the folder is ever read, written, moved or removed.
//!
//! It owns `.cobox/` at the folder's root: the marker that says which folder this is, `tmp/` where files are put together,
//! `keep/` where replaced and removed versions are set aside. What must hold: a vanished or foreign root is an error, never
//! an empty folder; a listing that failed is never an empty directory; nothing is replaced or removed that is not what the
//! caller last saw.

mod apply;
mod ignore;
mod kept;
mod path;
mod read;
mod root;
mod temp;
#[cfg(test)]
mod tests;
mod walk;
mod watch;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use cobox_core::engine::{FileId, Stamp, Stat};
use cobox_core::path::{FolderPath, Name};
use cobox_proto::id::FolderId;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

pub(crate) use apply::{ApplyError, Expect};
pub(crate) use ignore::Ignore;
pub(crate) use kept::KeptId;
pub(crate) use read::ReadError;
pub(crate) use root::RootError;
pub(crate) use temp::TempFile;
pub(crate) use watch::{WatchEvent, Watcher};

/// The control directory's name.
pub(crate) const CONTROL: &str = ".cobox";

/// A folder's directory.
#[derive(Debug)]
pub(crate) struct DiskTree {
    root: PathBuf,
    folder: FolderId,
    handle: OwnedFd,
    tmp: OwnedFd,
    keep: OwnedFd,
}

impl DiskTree {
    /// Where it lies.
    pub(crate) fn root(&self) -> &std::path::Path {
        &self.root
    }

    /// A handle of a directory below the root; symbolic links on the way are refused.
    fn open_dir(&self, path: &FolderPath) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = rustix::fs::openat(&self.handle, ".", flags, Mode::empty())?;
        for name in path.iter() {
            at = rustix::fs::openat(&at, name.as_str(), flags, Mode::empty())?;
        }
        Ok(at)
    }

    /// The handle of a path's directory, and its name there.
    fn open_parent<'p>(&self, path: &'p FolderPath) -> Result<(OwnedFd, &'p Name), Errno> {
        let name = path.name().ok_or(Errno::ISDIR)?;
        let parent = path.parent().unwrap_or_else(FolderPath::root);
        Ok((self.open_dir(&parent)?, name))
    }

    /// What stands at a path; `None` if nothing does, or something that is never synced.
    pub(crate) fn stat(&self, path: &FolderPath) -> Result<Option<Stat>, std::io::Error> {
        let looked = self.open_parent(path).and_then(|(dir, name)| stat_at(&dir, name.as_str()));
        match looked {
            Ok(stat) => Ok(stat),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(why) => Err(why.into()),
        }
    }
}

/// What stands under a name; `None` for what is never synced.
fn stat_at(dir: &OwnedFd, name: &str) -> Result<Option<Stat>, Errno> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Some(Stat::Dir(file_id(&stat))),
        FileType::RegularFile => Some(Stat::File(stamp(&stat))),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
            target.into_string().ok().map(|target| Stat::Symlink(stamp(&stat), target))
        }
        _ => None,
    })
}

fn file_id(stat: &rustix::fs::Stat) -> FileId {
    FileId { dev: stat.st_dev, ino: stat.st_ino }
}

fn stamp(stat: &rustix::fs::Stat) -> Stamp {
    let ns = |s: i64, ns: i64| s.saturating_mul(1_000_000_000).saturating_add(ns);
    Stamp {
        size: stat.st_size as u64,
        mtime_ns: ns(stat.st_mtime, stat.st_mtime_nsec as i64),
        ctime_ns: ns(stat.st_ctime, stat.st_ctime_nsec as i64),
        id: file_id(stat),
        executable: stat.st_mode & 0o100 != 0,
    }
}
