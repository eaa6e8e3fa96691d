//! Changes the folder. Each change says what it expects to find, compares at the last moment, and sets the old version aside
//! instead of unlinking it. If something else is found, nothing is lost: the unexpected version stays, or goes back, in its place,
//! and the caller is told to look again (C11, L9).

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use cobox_core::engine::{Stamp, Stat};
use cobox_core::path::FolderPath;
use rustix::fs::{AtFlags, Mode, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::kept::KeptId;
use super::temp::TempFile;
use super::{DiskTree, stat_at};
use crate::files::persons_mode;

/// What must stand at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Nothing.
    Absent,
    /// Exactly this.
    Stamp(Stamp),
}

impl From<Option<Stamp>> for Expect {
    fn from(stamp: Option<Stamp>) -> Self {
        stamp.map_or(Expect::Absent, Expect::Stamp)
    }
}

/// A file put in place.
#[derive(Debug)]
pub(crate) struct Applied {
    /// As it stands now.
    pub stamp: Stamp,
    /// The version it replaced.
    pub kept: Option<KeptId>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// Something else is there: look again.
    #[error("{path} has changed; it is looked at again before anything is done to it")]
    Changed {
        /// Where.
        path: FolderPath,
    },
    /// The directory holds something.
    #[error("{path} is not empty: files that are ignored or not synced lie in it")]
    NotEmpty {
        /// Which.
        path: FolderPath,
    },
    /// No room.
    #[error("the disk is full; make room, cobox goes on by itself")]
    DiskFull,
    /// The system refused.
    #[error("{path} can not be written: {source}")]
    Io {
        /// Where.
        path: FolderPath,
        /// Why.
        source: std::io::Error,
    },
}

impl ApplyError {
    pub(super) fn temp(source: std::io::Error) -> Self {
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC | Errno::DQUOT) => ApplyError::DiskFull,
            _ => ApplyError::Io { path: FolderPath::root(), source },
        }
    }
}

pub(super) fn io_error(path: &FolderPath, why: Errno) -> ApplyError {
    match why {
        Errno::NOSPC | Errno::DQUOT => ApplyError::DiskFull,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::EXIST | Errno::ISDIR => {
            ApplyError::Changed { path: path.clone() }
        }
        Errno::NOTEMPTY => ApplyError::NotEmpty { path: path.clone() },
        why => ApplyError::Io { path: path.clone(), source: why.into() },
    }
}

impl DiskTree {
    /// Puts a finished file in place. Its bytes must be durable already ([`DiskTree::sync_temps`]).
    pub(crate) fn replace(
        &self,
        temp: TempFile,
        path: &FolderPath,
        expect: Expect,
        mtime_ns: i64,
        executable: bool,
    ) -> Result<Applied, ApplyError> {
        let failed = |why| io_error(path, why);
        // What the person's umask allows, as for any file they make; the owner's bit alone is synced.
        let mode = persons_mode(if executable { 0o777 } else { 0o666 });
        rustix::fs::fchmod(&temp.file, Mode::from_raw_mode(mode)).map_err(failed)?;
        set_time(&temp.file, mtime_ns).map_err(failed)?;
        let (dir, name) = self.open_parent(path).map_err(failed)?;
        let kept = match expect {
            Expect::Absent => {
                rename_new(&self.tmp, &temp.name, &dir, name.as_str()).map_err(failed)?;
                None
            }
            Expect::Stamp(stamp) => Some(self.exchange(&temp.name, &dir, path, &stamp)?),
        };
        match stat_at(&dir, name.as_str()) {
            Ok(Some(Stat::File(stamp))) => Ok(Applied { stamp, kept }),
            Ok(_) => Err(ApplyError::Changed { path: path.clone() }),
            Err(why) => Err(failed(why)),
        }
    }

    /// Swaps the file under assembly with the one in place, in one step, so that there is no moment without a file; then looks
    /// at what came out, and swaps back if it is not what was expected.
    fn exchange(&self, temp: &str, dir: &OwnedFd, path: &FolderPath, expect: &Stamp) -> Result<KeptId, ApplyError> {
        let failed = |why| io_error(path, why);
        let changed = || ApplyError::Changed { path: path.clone() };
        let name = path.name().ok_or_else(changed)?.as_str();
        if !unchanged(&stat_at(dir, name).map_err(failed)?, expect) {
            return Err(changed());
        }
        match rustix::fs::renameat_with(&self.tmp, temp, dir, name, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // A file system without the swap: aside first, then in.
            Err(Errno::INVAL | Errno::NOSYS) => {
                let kept = self.aside(dir, path, expect)?;
                rename_new(&self.tmp, temp, dir, name).map_err(failed)?;
                return Ok(kept);
            }
            Err(why) => return Err(failed(why)),
        }
        let out = stat_at(&self.tmp, temp).map_err(failed)?;
        if !same_version(&out, expect) {
            rustix::fs::renameat_with(&self.tmp, temp, dir, name, RenameFlags::EXCHANGE).map_err(failed)?;
            return Err(changed());
        }
        let kept = KeptId::new(expect.id.ino);
        rustix::fs::renameat(&self.tmp, temp, &self.keep, kept.as_str()).map_err(failed)?;
        Ok(kept)
    }

    /// Sets a file or link aside; puts it back if it is not what was expected.
    fn aside(&self, dir: &OwnedFd, path: &FolderPath, expect: &Stamp) -> Result<KeptId, ApplyError> {
        let failed = |why| io_error(path, why);
        let changed = || ApplyError::Changed { path: path.clone() };
        let name = path.name().ok_or_else(changed)?.as_str();
        if !unchanged(&stat_at(dir, name).map_err(failed)?, expect) {
            return Err(changed());
        }
        let kept = KeptId::new(expect.id.ino);
        rustix::fs::renameat(dir, name, &self.keep, kept.as_str()).map_err(failed)?;
        let out = stat_at(&self.keep, kept.as_str()).map_err(failed)?;
        if !same_version(&out, expect) {
            rename_new(&self.keep, kept.as_str(), dir, name).map_err(failed)?;
            return Err(changed());
        }
        Ok(kept)
    }

    /// Removes a file or link: it is set aside.
    pub(crate) fn remove(&self, path: &FolderPath, expect: Expect) -> Result<Option<KeptId>, ApplyError> {
        let (dir, _) = match self.open_parent(path) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(None),
            Err(why) => return Err(io_error(path, why)),
        };
        let Expect::Stamp(stamp) = expect else { return Err(ApplyError::Changed { path: path.clone() }) };
        let name = path.name().map_or("", |name| name.as_str());
        match stat_at(&dir, name) {
            Err(Errno::NOENT) => Ok(None),
            _ => self.aside(&dir, path, &stamp).map(Some),
        }
    }

    /// Makes a directory; one that is there already is as good.
    pub(crate) fn make_dir(&self, path: &FolderPath) -> Result<Stat, ApplyError> {
        let failed = |why| io_error(path, why);
        let (dir, name) = self.open_parent(path).map_err(failed)?;
        match rustix::fs::mkdirat(&dir, name.as_str(), Mode::from_raw_mode(0o777)) {
            Ok(()) => {
                let mode = Mode::from_raw_mode(persons_mode(0o777));
                rustix::fs::chmodat(&dir, name.as_str(), mode, AtFlags::empty()).map_err(failed)?;
            }
            Err(Errno::EXIST) => {}
            Err(why) => return Err(failed(why)),
        }
        match stat_at(&dir, name.as_str()).map_err(failed)? {
            Some(stat @ Stat::Dir(_)) => Ok(stat),
            _ => Err(ApplyError::Changed { path: path.clone() }),
        }
    }

    /// Removes an empty directory.
    pub(crate) fn remove_dir(&self, path: &FolderPath) -> Result<(), ApplyError> {
        let removed = self
            .open_parent(path)
            .and_then(|(dir, name)| rustix::fs::unlinkat(&dir, name.as_str(), AtFlags::REMOVEDIR));
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(ApplyError::NotEmpty { path: path.clone() }),
            Err(why) => Err(io_error(path, why)),
        }
    }

    /// Moves a file or link to a place where nothing is.
    pub(crate) fn rename(&self, from: &FolderPath, to: &FolderPath, expect: Expect) -> Result<Stat, ApplyError> {
        let (dir, name) = self.open_parent(from).map_err(|why| io_error(from, why))?;
        let Expect::Stamp(stamp) = expect else { return Err(ApplyError::Changed { path: from.clone() }) };
        let there = stat_at(&dir, name.as_str()).map_err(|why| io_error(from, why))?;
        if !unchanged(&there, &stamp) {
            return Err(ApplyError::Changed { path: from.clone() });
        }
        self.move_to(&dir, from, to)
    }

    /// Moves a directory with all that is in it to a place where nothing is.
    pub(crate) fn rename_dir(&self, from: &FolderPath, to: &FolderPath) -> Result<Stat, ApplyError> {
        let (dir, name) = self.open_parent(from).map_err(|why| io_error(from, why))?;
        match stat_at(&dir, name.as_str()).map_err(|why| io_error(from, why))? {
            Some(Stat::Dir(_)) => self.move_to(&dir, from, to),
            _ => Err(ApplyError::Changed { path: from.clone() }),
        }
    }

    fn move_to(&self, from_dir: &OwnedFd, from: &FolderPath, to: &FolderPath) -> Result<Stat, ApplyError> {
        let failed = |why| io_error(to, why);
        let (to_dir, to_name) = self.open_parent(to).map_err(failed)?;
        let from_name = from.name().map_or("", |name| name.as_str());
        rename_new(from_dir, from_name, &to_dir, to_name.as_str()).map_err(failed)?;
        let there = stat_at(&to_dir, to_name.as_str()).map_err(failed)?;
        there.ok_or_else(|| ApplyError::Changed { path: to.clone() })
    }

    /// Sets time and executable bit of a file.
    pub(crate) fn set_meta(
        &self,
        path: &FolderPath,
        expect: Expect,
        mtime_ns: i64,
        executable: bool,
    ) -> Result<Stamp, ApplyError> {
        let failed = |why| io_error(path, why);
        let changed = || ApplyError::Changed { path: path.clone() };
        let (dir, name) = self.open_parent(path).map_err(failed)?;
        let flags = rustix::fs::OFlags::RDONLY
            | rustix::fs::OFlags::NOFOLLOW
            | rustix::fs::OFlags::CLOEXEC
            | rustix::fs::OFlags::NONBLOCK;
        let file = rustix::fs::openat(&dir, name.as_str(), flags, Mode::empty()).map_err(failed)?;
        let before = rustix::fs::fstat(&file).map_err(failed)?;
        if Expect::Stamp(super::stamp(&before)) != expect {
            return Err(changed());
        }
        let mode = if executable { before.st_mode | 0o111 } else { before.st_mode & !0o111 };
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o777)).map_err(failed)?;
        set_time(&file, mtime_ns).map_err(failed)?;
        match stat_at(&dir, name.as_str()).map_err(failed)? {
            Some(Stat::File(stamp)) => Ok(stamp),
            _ => Err(changed()),
        }
    }

    /// Makes a symbolic link that stays inside the folder; anything else is refused.
    pub(crate) fn make_symlink(
        &self,
        path: &FolderPath,
        target: &str,
        expect: Expect,
    ) -> Result<(Stamp, Option<KeptId>), ApplyError> {
        let failed = |why| io_error(path, why);
        let (dir, name) = self.open_parent(path).map_err(failed)?;
        let kept = match expect {
            Expect::Absent => None,
            Expect::Stamp(stamp) => Some(self.aside(&dir, path, &stamp)?),
        };
        rustix::fs::symlinkat(target, &dir, name.as_str()).map_err(failed)?;
        match stat_at(&dir, name.as_str()).map_err(failed)? {
            Some(Stat::Symlink(stamp, _)) => Ok((stamp, kept)),
            _ => Err(ApplyError::Changed { path: path.clone() }),
        }
    }

    /// Makes moves in the directories of these paths durable.
    pub(crate) fn sync_parents<'p>(&self, paths: impl Iterator<Item = &'p FolderPath>) {
        let dirs: BTreeSet<FolderPath> = paths.map(|path| path.parent().unwrap_or_else(FolderPath::root)).collect();
        for dir in dirs {
            // A directory that is gone meanwhile has nothing left to make durable.
            if let Ok(dir) = self.open_dir(&dir) {
                let _ = rustix::fs::fsync(&dir);
            }
        }
    }
}

fn unchanged(there: &Option<Stat>, expect: &Stamp) -> bool {
    matches!(there, Some(Stat::File(stamp) | Stat::Symlink(stamp, _)) if stamp == expect)
}

/// The same but for the change time, which the move itself sets.
fn same_version(there: &Option<Stat>, expect: &Stamp) -> bool {
    matches!(there, Some(Stat::File(stamp) | Stat::Symlink(stamp, _))
        if Stamp { ctime_ns: expect.ctime_ns, ..*stamp } == *expect)
}

/// Renames to a name where nothing may be.
fn rename_new(from_dir: &OwnedFd, from: &str, to_dir: &OwnedFd, to: &str) -> Result<(), Errno> {
    match rustix::fs::renameat_with(from_dir, from, to_dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => match stat_at(to_dir, to) {
            Err(Errno::NOENT) => rustix::fs::renameat(from_dir, from, to_dir, to),
            Ok(_) => Err(Errno::EXIST),
            Err(why) => Err(why),
        },
        other => other,
    }
}

fn set_time(file: &impl std::os::fd::AsFd, mtime_ns: i64) -> Result<(), Errno> {
    let time = Timespec { tv_sec: mtime_ns.div_euclid(1_000_000_000), tv_nsec: mtime_ns.rem_euclid(1_000_000_000) };
    rustix::fs::futimens(file, &Timestamps { last_access: time, last_modification: time })
}
