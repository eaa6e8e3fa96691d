//! Bringing others' changes onto the disk without losing what the person did a moment ago (c11, l9). Every change says what it expects to find. It
//! compares at the last moment, and what it moved away is looked at once more: if that is not what was expected, it goes
//! back, and the caller scans again. Nothing is unlinked but our own staged files and symlinks, whose text is known.

use std::os::fd::OwnedFd;

use cobox_core::names::numbered;
use cobox_core::path::FolderPath;
use cobox_core::symlink::stays_inside;
use rustix::fs::{AtFlags, FileType, Mode, Timestamps};
use rustix::io::Errno;

use super::beneath::{End, LIST, Place, READ, again, list, open_at, stat_at};
use super::kept::{KeptId, find};
use super::names::texts;
use super::read::look;
use super::root::{KEEP, TMP};
use super::seen::{Seen, Stamp, file_type, ino_dev, stamp_of, timespec};
use super::{DiskError, DiskTree, Inner, TempFile};
use crate::files::persons_mode;

/// How many numbers are tried to put an unexpected file beside its place.
const BESIDE_MAX: u32 = 1000;

/// What a change expects at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// A file or symlink, unchanged.
    Stamp(Stamp),
    /// This directory.
    Dir {
        /// Inode number.
        ino: u64,
        /// Its device.
        dev: u64,
    },
}

impl Expect {
    fn meets(&self, found: Option<&rustix::fs::Stat>) -> bool {
        match (self, found) {
            (Self::Absent, None) => true,
            (Self::Stamp(expected), Some(found)) => stamp_of(found) == *expected,
            (Self::Dir { ino, dev }, Some(found)) => {
                file_type(found) == FileType::Directory && ino_dev(found) == (*ino, *dev)
            }
            _ => false,
        }
    }
}

impl From<&Seen> for Expect {
    /// Expects what was seen. For [`Seen::Other`] that is nothing, which fails as long as it is there.
    fn from(seen: &Seen) -> Self {
        match seen {
            Seen::Dir { ino, dev } => Self::Dir { ino: *ino, dev: *dev },
            Seen::File(stamp) | Seen::Symlink { stamp, .. } => Self::Stamp(*stamp),
            Seen::Other => Self::Absent,
        }
    }
}

/// A change is on the disk; durable after [`DiskTree::sync_dirs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Of the new file. If it was edited in the same moment, this is no stamp of anything on disk: the next scan sees an edit.
    pub stamp: Stamp,
    /// What was replaced.
    pub kept: Option<KeptId>,
}

/// A change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Something else lies there than expected, and still does: scan it. It may lie beside, under a numbered name, if its own was taken.
    #[error("\"{path}\" has been changed on this machine meanwhile; nothing was overwritten")]
    Changed {
        /// What was to be changed.
        path: FolderPath,
    },
    /// A directory with something in it: ignored files, or ones that are not synced yet (l16).
    #[error("the directory \"{path}\" stays: it holds files that are not part of the folder, or not yet")]
    NotEmpty {
        /// The directory.
        path: FolderPath,
    },
    /// A symlink that would lead outside.
    #[error("the symlink \"{path}\" is not made: it would lead outside of the folder")]
    LeadsOutside {
        /// The link.
        path: FolderPath,
    },
    /// The disk failed to store what was written to the temporary file; it must be written anew.
    #[error("what was received for \"{path}\" did not reach the disk; it is fetched again")]
    NotStored {
        /// The file.
        path: FolderPath,
    },
    /// The system refuses.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl DiskTree {
    /// Makes a received file the content of a path. It is synced first if [`DiskTree::sync_temps`] has not done so. Permissions of the file replaced stay, but for the executable bit.
    ///
    /// On an error the temporary file is still there.
    pub fn replace(
        &self,
        mut temp: TempFile,
        path: &FolderPath,
        expect: Expect,
        mtime_ns: i64,
        executable: bool,
    ) -> Result<Applied, ApplyError> {
        if !temp.make_durable()? {
            return Err(ApplyError::NotStored { path: path.clone() });
        }
        let inner = &self.0;
        let (place, old) = inner.expected_place(path, &expect)?;
        let all = Mode::RWXU | Mode::RWXG | Mode::RWXO;
        let mode = match &old {
            Some(old) => Mode::from_raw_mode(old.st_mode) & all,
            // As the person's own programs would make it, not as this process does.
            None => Mode::from_raw_mode(persons_mode(0o666)),
        };
        rustix::fs::fchmod(&temp.file, with_executable(mode, executable)).map_err(place.io("set permissions of"))?;
        let times = Timestamps { last_access: timespec(mtime_ns), last_modification: timespec(mtime_ns) };
        rustix::fs::futimens(&temp.file, &times).map_err(place.io("set the time of"))?;
        let own = stamp_of(&rustix::fs::fstat(&temp.file).map_err(place.io("look at"))?);
        let tmp = inner.control_part(TMP)?;
        let kept = inner.put((&tmp, &temp.name), &own, &place, &expect)?;
        inner.others_turn();
        let now = stamp_of(&rustix::fs::fstat(&temp.file).map_err(place.io("look at"))?);
        // ctime before the rename belongs to nothing on disk any more, which is what an edit since deserves.
        let stamp = if now.same_but_moved(&own) { now } else { own };
        Ok(Applied { stamp, kept })
    }

    /// Makes a symlink, if it stays inside the folder.
    pub fn make_symlink(&self, path: &FolderPath, target: &str, expect: Expect) -> Result<Applied, ApplyError> {
        if !stays_inside(path, target) {
            return Err(ApplyError::LeadsOutside { path: path.clone() });
        }
        let inner = &self.0;
        let (place, _) = inner.expected_place(path, &expect)?;
        let tmp = inner.control_part(TMP)?;
        let name = format!("link-{}", KeptId::fresh(&Stamp::NONE)?.as_str());
        rustix::fs::symlinkat(target, &tmp, &name).map_err(place.io("make"))?;
        let staged = stat_at(&tmp, &name).map_err(place.io("look at"))?.map(|stat| stamp_of(&stat));
        let own = staged.ok_or_else(|| place.io("make")(Errno::NOENT))?;
        let kept = inner.put((&tmp, &name), &own, &place, &expect).inspect_err(|_| {
            let _ = rustix::fs::unlinkat(&tmp, &name, AtFlags::empty());
        })?;
        let now = place.stat()?.map(|stat| stamp_of(&stat)).filter(|now| now.same_but_moved(&own));
        Ok(Applied { stamp: now.unwrap_or(own), kept })
    }

    /// Takes a file or symlink away; a file is kept aside. What is absent already is fine with [`Expect::Absent`].
    pub fn remove(&self, path: &FolderPath, expect: Expect) -> Result<Option<KeptId>, ApplyError> {
        let inner = &self.0;
        let place = match inner.place(path) {
            Err(DiskError::NoDirectory { .. }) if expect == Expect::Absent => return Ok(None),
            place => place?,
        };
        let found = place.stat()?;
        if !expect.meets(found.as_ref()) {
            return Err(ApplyError::Changed { path: path.clone() });
        }
        let kept = match expect {
            Expect::Absent => None,
            Expect::Dir { .. } => return self.remove_dir(path).map(|()| None),
            Expect::Stamp(expected) => {
                let keep = inner.control_part(KEEP)?;
                let id = KeptId::fresh(&expected)?;
                inner.others_turn();
                inner.move_aside(&place, &expected, &keep, &id)?;
                settle(&keep, id)?
            }
        };
        inner.forget_name(path)?;
        Ok(kept)
    }

    /// Makes a directory; one that is there already is fine. Returns it as it is.
    pub fn make_dir(&self, path: &FolderPath) -> Result<Seen, ApplyError> {
        let place = self.0.place_new(path)?;
        match again(|| rustix::fs::mkdirat(&place.dir, place.name.as_str(), Mode::RWXU | Mode::RWXG | Mode::RWXO)) {
            Ok(()) => {
                let mode = Mode::from_raw_mode(persons_mode(0o777));
                let widened = again(|| rustix::fs::chmodat(&place.dir, place.name.as_str(), mode, AtFlags::empty()));
                // Moved away by somebody in this very moment: they have it with our narrower mode.
                widened.or_else(
                    |why| if why == Errno::NOENT { Ok(()) } else { Err(place.io("set permissions of")(why)) },
                )?;
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(place.io("make")(error).into()),
        }
        match look(&place)? {
            Some(dir @ Seen::Dir { .. }) => Ok(dir),
            _ => Err(ApplyError::Changed { path: path.clone() }),
        }
    }

    /// Removes an empty directory; one that is gone already is fine.
    pub fn remove_dir(&self, path: &FolderPath) -> Result<(), ApplyError> {
        let place = match self.0.place(path) {
            Err(DiskError::NoDirectory { .. }) => return Ok(()),
            place => place?,
        };
        match again(|| rustix::fs::unlinkat(&place.dir, place.name.as_str(), AtFlags::REMOVEDIR)) {
            Ok(()) | Err(Errno::NOENT) => Ok(self.0.forget_name(path)?),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(ApplyError::NotEmpty { path: path.clone() }),
            Err(Errno::NOTDIR) => Err(ApplyError::Changed { path: path.clone() }),
            Err(error) => Err(place.io("remove")(error).into()),
        }
    }

    /// Moves a file, symlink or directory to a path where nothing is. A new name that differs in case only is no special case for the caller (l1).
    pub fn rename(&self, from: &FolderPath, to: &FolderPath, expect: Expect) -> Result<Seen, ApplyError> {
        let inner = &self.0;
        let source = inner.place(from)?;
        let changed = |path: &FolderPath| ApplyError::Changed { path: path.clone() };
        if expect == Expect::Absent || !expect.meets(source.stat()?.as_ref()) {
            return Err(changed(from));
        }
        if to.starts_with(from) && to != from {
            return Err(source.io("move into itself")(Errno::INVAL).into());
        }
        if let Some(Seen::Symlink { target, .. }) = look(&source)?
            && !stays_inside(to, &target)
        {
            return Err(ApplyError::LeadsOutside { path: to.clone() });
        }
        let mut target = inner.place_new(to)?;
        let is_dir = matches!(expect, Expect::Dir { .. });
        // Known under both paths until it is done: mapped names below keep their meaning after a crash.
        if is_dir {
            inner.change_names(|names| names.copy_dir(from, to))?;
        }
        inner.others_turn();
        inner.rename_new((&source.dir, &source.name), (&target.dir, &target.name)).map_err(|error| match error {
            Errno::EXIST => changed(to),
            Errno::NOENT => changed(from),
            error => source.io("move")(error).into(),
        })?;
        let moved = target.stat()?;
        let as_expected = match (&expect, &moved) {
            (Expect::Stamp(expected), Some(found)) => stamp_of(found).same_but_moved(expected),
            (expect, found) => expect.meets(found.as_ref()),
        };
        if !as_expected {
            inner.return_to(&source, (&target.dir, &target.name))?;
            return Err(changed(from));
        }
        inner.change_names(|names| names.moved_away(from, is_dir))?;
        inner.take_own_name(&mut target)?;
        look(&target)?.ok_or_else(|| changed(to))
    }

    /// Sets mtime and executable bit of a file. Where the mtime changes, the stamp that is returned belongs to nothing on disk: an edit
    /// in the same moment would hide behind the new time, so the next scan reads the file again.
    pub fn set_meta(
        &self,
        path: &FolderPath,
        expect: Expect,
        mtime_ns: i64,
        executable: bool,
    ) -> Result<Stamp, ApplyError> {
        let changed = || ApplyError::Changed { path: path.clone() };
        let place = self.0.place(path)?;
        let found = place.stat()?.filter(|stat| expect.meets(Some(stat)) && file_type(stat) == FileType::RegularFile);
        let before = stamp_of(&found.ok_or_else(changed)?);
        let file = open_at(&place.dir, &place.name, READ).map_err(place.io("open"))?;
        let stat = rustix::fs::fstat(&file).map_err(place.io("look at"))?;
        if stamp_of(&stat) != before {
            return Err(changed());
        }
        if before.executable != executable {
            let mode = Mode::from_raw_mode(stat.st_mode) & (Mode::RWXU | Mode::RWXG | Mode::RWXO);
            rustix::fs::fchmod(&file, with_executable(mode, executable)).map_err(place.io("set permissions of"))?;
        }
        let now = stamp_of(&rustix::fs::fstat(&file).map_err(place.io("look at"))?);
        if now.mtime_ns != before.mtime_ns || now.size != before.size {
            return Err(changed());
        }
        if before.mtime_ns == mtime_ns {
            return Ok(now);
        }
        let times = Timestamps { last_access: timespec(mtime_ns), last_modification: timespec(mtime_ns) };
        rustix::fs::futimens(&file, &times).map_err(place.io("set the time of"))?;
        let set = stamp_of(&rustix::fs::fstat(&file).map_err(place.io("look at"))?);
        Ok(Stamp { ctime_ns: now.ctime_ns.min(set.ctime_ns.saturating_sub(1)), ..set })
    }
}

impl Stamp {
    const NONE: Self = Self { size: 0, mtime_ns: 0, ctime_ns: 0, ino: 0, dev: 0, executable: false };
}

fn with_executable(mode: Mode, executable: bool) -> Mode {
    let may_run = Mode::XUSR | Mode::XGRP | Mode::XOTH;
    if !executable {
        return mode - may_run;
    }
    // Whoever may read may run.
    let readers = Mode::from_raw_mode((mode & (Mode::RUSR | Mode::RGRP | Mode::ROTH)).as_raw_mode() >> 2);
    mode | readers | Mode::XUSR
}

impl Inner {
    /// The place of a change, and what lies there, which is as expected.
    fn expected_place(
        &self,
        path: &FolderPath,
        expect: &Expect,
    ) -> Result<(Place, Option<rustix::fs::Stat>), ApplyError> {
        let place = match expect {
            Expect::Absent => self.place_new(path)?,
            _ => self.place(path)?,
        };
        let found = place.stat()?;
        // A directory is never replaced; it is removed first.
        match expect.meets(found.as_ref()) && !matches!(expect, Expect::Dir { .. }) {
            true => Ok((place, found)),
            false => Err(ApplyError::Changed { path: path.clone() }),
        }
    }

    /// Brings a staged file or link, which looks like `own`, to its place. On an error it is where it was.
    fn put(&self, staged: End<'_>, own: &Stamp, place: &Place, expect: &Expect) -> Result<Option<KeptId>, ApplyError> {
        let changed = || ApplyError::Changed { path: place.path.clone() };
        let Expect::Stamp(expected) = expect else {
            self.others_turn();
            return match self.rename_new(staged, (&place.dir, &place.name)) {
                Ok(()) => Ok(None),
                Err(Errno::EXIST) => Err(changed()),
                Err(error) => Err(place.io("write")(error).into()),
            };
        };
        let keep = self.control_part(KEEP)?;
        let id = KeptId::fresh(expected)?;
        if !self.kind.exchanges {
            self.write_note(&keep, &id, &place.path)?;
            self.others_turn();
            let put = self.put_in_steps(staged, place, expected, &keep, &id);
            self.drop_note(&keep, &id);
            put?;
            return Ok(settle(&keep, id)?);
        }
        // Through the name under which the old file will be kept: whenever a crash comes, the old file is at its place or kept.
        let aside = (&keep, id.as_str());
        self.rename_new(staged, aside).map_err(place.io("stage"))?;
        self.others_turn();
        if let Err(error) = self.exchange(aside, (&place.dir, &place.name)) {
            self.rename_new(aside, staged).map_err(place.io("unstage"))?;
            return Err(if error == Errno::NOENT { changed() } else { place.io("replace")(error).into() });
        }
        match stat_at(&keep, id.as_str()).map_err(place.io("look at"))? {
            Some(stat) if stamp_of(&stat).same_but_moved(expected) => return Ok(settle(&keep, id)?),
            _ => {}
        }
        // Not the file we compared: it goes back at once.
        match self.exchange(aside, (&place.dir, &place.name)) {
            Ok(()) => match stat_at(&keep, id.as_str()).map_err(place.io("look at"))? {
                Some(stat) if stamp_of(&stat).same_but_moved(own) => {
                    self.rename_new(aside, staged).map_err(place.io("unstage"))?;
                }
                // Ours was replaced or edited in that moment: a second edit.
                _ => self.put_beside(place, aside),
            },
            Err(_) => self.return_to(place, aside)?,
        }
        Err(changed())
    }

    /// For disks that can not swap: the old file aside, then the new one in.
    fn put_in_steps(
        &self,
        staged: End<'_>,
        place: &Place,
        expected: &Stamp,
        keep: &OwnedFd,
        id: &KeptId,
    ) -> Result<(), ApplyError> {
        self.move_aside(place, expected, keep, id)?;
        match self.rename_new(staged, (&place.dir, &place.name)) {
            Ok(()) => Ok(()),
            // Someone made a new file meanwhile. The old one stays kept.
            Err(Errno::EXIST) => Err(ApplyError::Changed { path: place.path.clone() }),
            Err(error) => {
                self.return_to(place, (keep, id.as_str()))?;
                Err(place.io("write")(error).into())
            }
        }
    }

    /// Moves what lies at a place into `keep`, if it is what was expected.
    fn move_aside(&self, place: &Place, expected: &Stamp, keep: &OwnedFd, id: &KeptId) -> Result<(), ApplyError> {
        let aside = (keep, id.as_str());
        self.rename_new((&place.dir, &place.name), aside).map_err(|error| match error {
            Errno::NOENT => ApplyError::Changed { path: place.path.clone() },
            error => place.io("move aside")(error).into(),
        })?;
        match stat_at(keep, id.as_str()).map_err(place.io("look at"))? {
            Some(stat) if stamp_of(&stat).same_but_moved(expected) => Ok(()),
            _ => {
                self.return_to(place, aside)?;
                Err(ApplyError::Changed { path: place.path.clone() })
            }
        }
    }

    /// Puts something back that should not have been moved; beside its place if that is taken.
    pub(crate) fn return_to(&self, place: &Place, from: End<'_>) -> Result<(), DiskError> {
        match self.rename_new(from, (&place.dir, &place.name)) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                self.put_beside(place, from);
                Ok(())
            }
            Err(error) => Err(place.io("put back")(error)),
        }
    }

    /// The scan finds it there as a new file. If even that fails it stays in `keep`, listed as not intact.
    fn put_beside(&self, place: &Place, from: End<'_>) {
        for number in 2..BESIDE_MAX {
            match self.rename_new(from, (&place.dir, &numbered(&place.name, number))) {
                Err(Errno::EXIST) => {}
                _ => return,
            }
        }
    }

    /// After a rename on a disk that folds names: a mapped name is given up if the entry's own has become free by it.
    fn take_own_name(&self, place: &mut Place) -> Result<(), DiskError> {
        let (Some(parent), Some(name)) = (place.path.parent(), place.path.name()) else { return Ok(()) };
        if place.name == name.as_str() {
            return Ok(());
        }
        let dir = self.open_dir(&parent, LIST)?;
        let present = list(&dir).map_err(place.io("list"))?;
        let others: Vec<String> =
            texts(present.iter()).filter(|local| *local != place.name).map(str::to_owned).collect();
        // A stop in between is noticed by whoever lists the directory next.
        self.change_names(|names| {
            if !names.can_have_its_own(&parent, &name, &others) {
                return false;
            }
            match self.rename_new((&place.dir, &place.name), (&place.dir, name.as_str())) {
                Ok(()) => {
                    place.name = name.as_str().to_owned();
                    names.unbind(&parent, &name)
                }
                // Taken in that moment: the mapped name does.
                Err(_) => false,
            }
        })
    }

    #[cfg(test)]
    fn others_turn(&self) {
        let mut hook = self.before_swap.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(hook) = hook.as_mut() {
            hook();
        }
    }
    #[cfg(not(test))]
    fn others_turn(&self) {}
}

/// What was moved aside as expected: files are kept, of links the text is known.
fn settle(keep: &OwnedFd, id: KeptId) -> Result<Option<KeptId>, DiskError> {
    match find(keep, &id)? {
        Some(kept) if !kept.intact => {
            let is_link = stat_at(keep, id.as_str())
                .map_err(|error| DiskError::io("look at", id.as_str(), error))?
                .is_some_and(|stat| file_type(&stat) == FileType::Symlink);
            if is_link {
                super::temp::remove_leftover(keep, id.as_str())
                    .map_err(|error| DiskError::io("remove", id.as_str(), error))?;
                return Ok(None);
            }
            Ok(Some(id))
        }
        Some(_) => Ok(Some(id)),
        None => Ok(None),
    }
}
