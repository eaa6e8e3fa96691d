//! Every access to the folder's files: relative to the handle of the root, one component at a time or in one call that promises the same,
//! never through a symlink. A [`Name`](cobox_core::path::Name) has no slash and is never `..`, so a path can not leave the root, whatever others rename
//! meanwhile (l8, l9, x1, x2).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use cobox_core::path::{CONTROL_DIR, FolderPath};
#[cfg(target_os = "linux")]
use rustix::fs::ResolveFlags;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use super::Inner;

/// Opens a directory to look names up in; it needs no permission to list it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const PASS: OFlags = LIST;
/// Opens a directory to list or sync it.
pub(crate) const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Opens a file to read it: a pipe does not block, a terminal does not become ours.
pub(crate) const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A call to the disk failed.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A directory above it is missing, or is no directory (a symlink is none).
    #[error("the directory of \"{path}\" is not there")]
    NoDirectory {
        /// What was looked for.
        path: FolderPath,
    },
    /// The control directory is missing, so the folder itself may be: open it anew.
    #[error("{CONTROL_DIR} has been removed from this folder; nothing is written until it is opened again")]
    ControlGone,
    /// Anything else the system says.
    #[error("can not {doing} \"{path}\": {}", Trouble::of(source).say(source))]
    Io {
        /// A verb: "read", "move".
        doing: &'static str,
        /// What it was done to; a path inside the folder or the control directory.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

impl DiskError {
    pub(crate) fn io(doing: &'static str, path: impl std::fmt::Display, source: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: path.to_string(), source: source.into() }
    }
    /// What kind of trouble it is, for deciding whether to wait, pause or report.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Io { source, .. } => Trouble::of(source),
            Self::NoDirectory { .. } | Self::ControlGone => Trouble::Other,
        }
    }
}

/// Kinds of trouble with a disk (d1, d5, d10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No space, or the quota is used up: pause the folder, go on alone when space returns.
    DiskFull,
    /// The whole file system refuses writes.
    ReadOnly,
    /// Permission is missing: a matter of this path only.
    NotAllowed,
    /// Too many files are open: try later.
    TooManyOpen,
    /// A name or path that this disk can not hold.
    NameTooLong,
    /// The target lies on another disk than the control directory.
    OtherDisk,
    /// The device fails: nothing read from it may be believed.
    Failing,
    /// Anything else.
    Other,
}

impl Trouble {
    /// Sorts an error.
    pub fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Self::DiskFull,
            Some(Errno::ROFS) => Self::ReadOnly,
            Some(Errno::ACCESS | Errno::PERM) => Self::NotAllowed,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Self::TooManyOpen,
            Some(Errno::NAMETOOLONG) => Self::NameTooLong,
            Some(Errno::XDEV) => Self::OtherDisk,
            Some(Errno::IO | Errno::STALE | Errno::NXIO | Errno::NODEV) => Self::Failing,
            _ => Self::Other,
        }
    }

    fn say(self, source: &io::Error) -> String {
        match self {
            Self::DiskFull => "the disk is full; free some space".into(),
            Self::ReadOnly => "the disk is mounted read-only".into(),
            Self::NotAllowed => "permission is missing; check who owns it".into(),
            Self::TooManyOpen => "too many files are open on this machine".into(),
            Self::NameTooLong => "the name is too long for this disk; rename it".into(),
            Self::OtherDisk => "another disk is mounted inside this folder; add that one as a folder of its own".into(),
            Self::Failing => format!("the disk does not answer as it should ({source}); check it"),
            Self::Other => source.to_string(),
        }
    }
}

/// Where an entry lies or will lie: its directory, opened, and what this disk calls it.
pub(crate) struct Place {
    pub(crate) dir: Rc<OwnedFd>,
    pub(crate) name: String,
    pub(crate) path: FolderPath,
}

impl Place {
    pub(crate) fn stat(&self) -> Result<Option<Stat>, DiskError> {
        stat_at(&self.dir, &self.name).map_err(|error| DiskError::io("look at", &self.path, error))
    }
    pub(crate) fn io(&self, doing: &'static str) -> impl Fn(Errno) -> DiskError {
        move |error| DiskError::io(doing, &self.path, error)
    }
}

impl Inner {
    /// The directory of an existing or known entry, and its name on this disk.
    pub(crate) fn place(&self, path: &FolderPath) -> Result<Place, DiskError> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Err(DiskError::io("change", "the folder itself", Errno::INVAL));
        };
        let dir = self.open_dir(&parent, PASS)?;
        let name = self.read_names().local(&parent, &name).to_owned();
        Ok(Place { dir: Rc::new(dir), name, path: path.clone() })
    }

    /// Opens a directory of the folder; [`LIST`] to read it.
    pub(crate) fn open_dir(&self, path: &FolderPath, flags: OFlags) -> Result<OwnedFd, DiskError> {
        if !path.is_root()
            && let Some(dir) = open_at_once(&self.root, &self.read_names().local_path(path), flags)
        {
            return Ok(dir);
        }
        let mut dir = open_at(&self.root, ".", if path.is_root() { flags } else { PASS })
            .map_err(|error| DiskError::io("open", "the folder", error))?;
        let mut above = FolderPath::root();
        for (next, name) in path.descent().zip(path.iter()) {
            let local = self.read_names().local(&above, &name).to_owned();
            dir = open_at(&dir, &local, if next == *path { flags } else { PASS }).map_err(|error| match error {
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP => DiskError::NoDirectory { path: path.clone() },
                error => DiskError::io("open", path, error),
            })?;
            above = next;
        }
        Ok(dir)
    }

    /// The control directory, which is never made anew here: it holds the marker.
    pub(crate) fn control(&self) -> Result<OwnedFd, DiskError> {
        open_at(&self.root, CONTROL_DIR, LIST).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => DiskError::ControlGone,
            error => DiskError::io("open", CONTROL_DIR, error),
        })
    }

    /// A directory of the control directory, made again if someone removed it (l17).
    pub(crate) fn control_part(&self, part: &'static str) -> Result<OwnedFd, DiskError> {
        if let Some(dir) = open_at_once(&self.root, &format!("{CONTROL_DIR}/{part}"), LIST) {
            return Ok(dir);
        }
        let control = self.control()?;
        let failed = |error| DiskError::io("open", format!("{CONTROL_DIR}/{part}"), error);
        match open_at(&control, part, LIST) {
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => {
                // A file or link where ours should be.
                rustix::fs::unlinkat(&control, part, AtFlags::empty()).map_err(failed)?;
            }
            opened => return opened.map_err(failed),
        }
        match rustix::fs::mkdirat(&control, part, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        open_at(&control, part, LIST).map_err(failed)
    }
}

/// Opens a directory below another in one call of the system, which follows no symlink on the way and leaves the other not even by a rename
/// meanwhile. `None` says nothing but that it was not to be had so: older systems have no such call, some containers refuse it, paths may be too
/// long for it, and why a directory is not there is told by going to it one component at a time.
#[cfg(target_os = "linux")]
fn open_at_once(dir: &OwnedFd, path: &str, flags: OFlags) -> Option<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    again(|| rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve)).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_at_once(_: &OwnedFd, _: &str, _: OFlags) -> Option<OwnedFd> {
    None
}

pub(crate) fn open_at(dir: impl AsFd, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    again(|| rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty()))
}

/// Of the entry itself, never of what a symlink points to.
pub(crate) fn stat_at(dir: impl AsFd, name: &str) -> Result<Option<Stat>, Errno> {
    match again(|| rustix::fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Repeats a call that a signal interrupted.
pub(crate) fn again<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// All names in a directory. A failure half way is the failure of the whole: a part of a list says nothing (d6).
pub(crate) fn list(dir: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    Ok(list_with_types(dir)?.into_iter().map(|(name, _)| name).collect())
}

/// The same with what each is, where the disk tells so without being asked.
pub(crate) fn list_with_types(dir: impl AsFd) -> Result<Vec<(Vec<u8>, FileType)>, Errno> {
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push((name.to_vec(), entry.file_type()));
        }
    }
    Ok(found)
}

/// One end of a rename.
pub(crate) type End<'a> = (&'a OwnedFd, &'a str);

impl Inner {
    /// Renames, and fails with `EXIST` rather than replace anything.
    pub(crate) fn rename_new(&self, from: End<'_>, to: End<'_>) -> Result<(), Errno> {
        if self.kind.renames_without_replacing {
            return again(|| rustix::fs::renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE));
        }
        // A link is the other way to never replace.
        match again(|| rustix::fs::linkat(from.0, from.1, to.0, to.1, AtFlags::empty())) {
            Ok(()) => again(|| rustix::fs::unlinkat(from.0, from.1, AtFlags::empty())),
            Err(Errno::EXIST) => Err(Errno::EXIST),
            // Directories, and disks without links: what is left is to look first.
            Err(_) => match stat_at(to.0, to.1)? {
                Some(_) => Err(Errno::EXIST),
                None => again(|| rustix::fs::renameat(from.0, from.1, to.0, to.1)),
            },
        }
    }

    /// Swaps two names at one moment.
    pub(crate) fn exchange(&self, one: End<'_>, other: End<'_>) -> Result<(), Errno> {
        again(|| rustix::fs::renameat_with(one.0, one.1, other.0, other.1, RenameFlags::EXCHANGE))
    }
}
