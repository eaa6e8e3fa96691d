//! Files on their way in: `.cobox/tmp/<name>`. They outlive a crash, so that a long transfer goes on where it stopped, and become content
//! only when their bytes are on the disk (k3).
//!
//! A failed sync is never repeated and believed: the kernel may have dropped the bytes and forgotten that it did. Temporary files
//! that were open before it are refused and must be written anew.

use std::collections::BTreeSet;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cobox_core::path::FolderPath;
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::fs::Advice;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{LIST, again, list};
use super::read::open_file;
use super::root::{KEEP, TMP};
use super::seen::file_type;
use super::{DiskError, DiskTree, Inner, ReadError};

/// Bytes of a temporary file's name.
const TEMP_NAME_BYTES_MAX: usize = 128;
/// More files than this are synced with the whole disk, where the system can do that; fewer need not wait for what others write.
pub(crate) const FILES_SYNCED_ALONE_MAX: usize = 16;

/// The system is asked to begin to write what is written in pieces at least so large. It would wait for half a minute or for gigabytes by
/// itself, and the sync in the end for all of it.
const BEGUN_AT_ONCE_BYTES_MIN: usize = 256 << 10;

/// What `statfs` says of a disk that a program serves.
#[cfg(any(target_os = "linux", target_os = "android"))]
const FUSE_SUPER_MAGIC: rustix::fs::FsWord = 0x6573_5546;

/// Which writes are on the disk. A write belongs to the generation that runs when it is done; a sync ends a generation.
#[derive(Default)]
pub(crate) struct Syncs {
    generation: AtomicU64,
    /// Writes of generations below are durable.
    durable: AtomicU64,
    /// Files opened in generations below are not to be trusted.
    failed: AtomicU64,
}

/// A file being received. Dropping it leaves it for the next try.
pub struct TempFile {
    inner: Arc<Inner>,
    pub(crate) file: OwnedFd,
    pub(crate) name: String,
    len: u64,
    opened: u64,
    /// Generation of the last write.
    written: Option<u64>,
}

impl std::fmt::Debug for TempFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TempFile({})", self.name)
    }
}

impl DiskTree {
    /// Opens a temporary file, with what an earlier try left in it. Names are ours: ASCII letters, digits, `-` and `_`. What lies in it has to be checked before it is believed.
    pub fn temp(&self, name: &str) -> Result<TempFile, DiskError> {
        let path = format!(".cobox/{TMP}/{name}");
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > TEMP_NAME_BYTES_MAX || !name.bytes().all(good) {
            return Err(DiskError::io("make", path, Errno::INVAL));
        }
        let failed = |error| DiskError::io("make", &path, error);
        let dir = self.0.control_part(TMP)?;
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // Closed to others until it becomes an ordinary file.
        let mode = Mode::RUSR | Mode::WUSR;
        let open = |flags| again(|| rustix::fs::openat(&dir, name, flags, mode));
        let usable = match open(flags) {
            Ok(file) => {
                let stat = rustix::fs::fstat(&file).map_err(failed)?;
                // One that has another name too may be someone's document: writing it would change that.
                let ours = file_type(&stat) == FileType::RegularFile && stat.st_nlink == 1;
                ours.then_some((file, stat.st_size as u64))
            }
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::ACCESS) => None,
            Err(error) => return Err(failed(error)),
        };
        let (file, len) = match usable {
            Some(found) => found,
            None => {
                remove_leftover(&dir, name).map_err(failed)?;
                (open(flags | OFlags::EXCL).map_err(failed)?, 0)
            }
        };
        let opened = self.0.syncs.generation.load(Ordering::SeqCst);
        // What an earlier life wrote may still be on its way to the disk.
        let written = (len > 0).then_some(opened);
        Ok(TempFile { inner: self.0.clone(), file, name: name.to_owned(), len, opened, written })
    }

    /// Brings everything written to temporary files onto the disk, in one go. On an error all that are open must be written anew.
    ///
    /// Where the system can not sync a whole disk this does nothing, and [`DiskTree::replace`] syncs each file.
    pub fn sync_temps(&self) -> Result<(), DiskError> {
        let syncs = &self.0.syncs;
        let ended = syncs.generation.fetch_add(1, Ordering::SeqCst) + 1;
        match sync_disk(&self.0.root) {
            Ok(true) => {
                syncs.durable.fetch_max(ended, Ordering::SeqCst);
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) => {
                syncs.failed.fetch_max(ended, Ordering::SeqCst);
                Err(DiskError::io("sync", "the folder's disk", error))
            }
        }
    }

    /// Makes what people wrote to these files durable, and that the files are there: many programs do not, and a power cut would leave
    /// them empty or missing here after others were told of them. What is gone by now is left out.
    pub(crate) fn sync_files(&self, paths: &[FolderPath]) -> Result<(), DiskError> {
        let all_at_once = paths.len() > FILES_SYNCED_ALONE_MAX;
        if all_at_once && sync_disk(&self.0.root).map_err(|error| DiskError::io("sync", "the folder's disk", error))? {
            return Ok(());
        }
        let mut dirs = BTreeSet::new();
        for path in paths {
            let opened = match self.0.place(path) {
                Ok(place) => open_file(&place.dir, &place.name, &path.to_string()),
                Err(DiskError::NoDirectory { .. }) => continue,
                Err(error) => return Err(error),
            };
            match opened {
                Ok((file, _)) => again(|| sync_file(&file)).map_err(|error| DiskError::io("sync", path, error))?,
                Err(ReadError::Unreadable(error)) => return Err(error),
                Err(_) => continue,
            }
            dirs.extend(path.parent());
        }
        self.sync_entries(&dirs)
    }

    /// Makes renames in these directories durable, and the files put aside.
    pub fn sync_dirs(&self, dirs: &BTreeSet<FolderPath>) -> Result<(), DiskError> {
        let keep = self.0.control_part(KEEP)?;
        again(|| rustix::fs::fsync(&keep)).map_err(|error| DiskError::io("sync", format!(".cobox/{KEEP}"), error))?;
        self.sync_entries(dirs)
    }

    fn sync_entries(&self, dirs: &BTreeSet<FolderPath>) -> Result<(), DiskError> {
        for path in dirs {
            match self.0.open_dir(path, LIST) {
                Ok(dir) => {
                    again(|| rustix::fs::fsync(&dir)).map_err(|error| DiskError::io("sync", path, error))?;
                }
                // Gone again: nothing to make durable.
                Err(DiskError::NoDirectory { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes leftovers of transfers nobody waits for; returns how many (k1).
    pub fn clear_temps(&self, except: &BTreeSet<String>) -> Result<usize, DiskError> {
        let dir = self.0.control_part(TMP)?;
        let path = || format!(".cobox/{TMP}");
        let mut cleared = 0;
        for name in list(&dir).map_err(|error| DiskError::io("list", path(), error))? {
            if std::str::from_utf8(&name).is_ok_and(|name| except.contains(name)) {
                continue;
            }
            remove_leftover(&dir, name.as_slice()).map_err(|error| DiskError::io("clear", path(), error))?;
            cleared += 1;
        }
        Ok(cleared)
    }
}

impl TempFile {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Bytes it has.
    pub fn len(&self) -> u64 {
        self.len
    }
    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes at an offset. Zeros beyond the end take no space: a sparse file stays one (l11).
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| i64::try_from(*end).is_ok());
        let end = end.ok_or_else(|| self.failed("write")(Errno::FBIG))?;
        if offset >= self.len && bytes.iter().all(|byte| *byte == 0) {
            return if end > self.len { self.set_len(end) } else { Ok(()) };
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = end - rest.len() as u64;
            let written = again(|| rustix::io::pwrite(&self.file, rest, at)).map_err(self.failed("write"))?;
            rest = &rest[written..];
        }
        self.len = self.len.max(end);
        self.mark_written();
        if bytes.len() >= BEGUN_AT_ONCE_BYTES_MIN {
            begin_to_write(&self.file, offset, bytes.len());
        }
        Ok(())
    }

    /// Reads what is there, up to `len` bytes.
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        let there = self.len.saturating_sub(offset).min(len as u64) as usize;
        let mut bytes = vec![0; there];
        let mut filled = 0;
        while filled < there {
            let at = offset + filled as u64;
            match again(|| rustix::io::pread(&self.file, &mut bytes[filled..], at)).map_err(self.failed("read"))? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Cuts it, or lengthens it with zeros that take no space.
    pub fn set_len(&mut self, len: u64) -> Result<(), DiskError> {
        again(|| rustix::fs::ftruncate(&self.file, len)).map_err(self.failed("write"))?;
        self.len = len;
        self.mark_written();
        Ok(())
    }

    /// Removes it.
    pub fn discard(self) -> Result<(), DiskError> {
        let dir = self.inner.control_part(TMP)?;
        remove_leftover(&dir, self.name.as_str()).map_err(self.failed("remove"))
    }

    /// Brings it onto the disk unless a sync since its last write did. `false`: it may not be trusted any more.
    pub(crate) fn make_durable(&mut self) -> Result<bool, DiskError> {
        let syncs = &self.inner.syncs;
        let failed = syncs.failed.load(Ordering::SeqCst);
        if self.opened < failed {
            // What is opened from here on has not been through it: a file that is synced alone ends no generation.
            syncs.generation.fetch_max(failed, Ordering::SeqCst);
            return Ok(false);
        }
        let durable = syncs.durable.load(Ordering::SeqCst);
        if self.written.is_some_and(|generation| generation >= durable) {
            if let Err(error) = again(|| sync_file(&self.file)) {
                let failed = self.failed("sync")(error);
                self.inner.syncs.failed.fetch_max(self.opened + 1, Ordering::SeqCst);
                return Err(failed);
            }
            self.written = None;
        }
        Ok(true)
    }

    /// After the write: a sync that began meanwhile has ended the generation, and does not count for it.
    fn mark_written(&mut self) {
        self.written = Some(self.inner.syncs.generation.load(Ordering::SeqCst));
    }

    fn failed(&self, doing: &'static str) -> impl Fn(Errno) -> DiskError {
        move |error| DiskError::io(doing, format!(".cobox/{TMP}/{}", self.name), error)
    }
}

/// Linux begins to write what is said not to be needed soon, without anybody waiting for it. What it has not written yet stays in memory, and
/// no error of a later sync is lost by it. A hint: if it is refused, the sync does it all.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn begin_to_write(file: &OwnedFd, offset: u64, bytes: usize) {
    let _only_a_hint = rustix::fs::fadvise(file, offset, NonZeroU64::new(bytes as u64), Advice::DontNeed);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn begin_to_write(_: &OwnedFd, _: u64, _: usize) {}

/// Apple's fsync stops at the disk's own cache.
#[cfg(target_vendor = "apple")]
fn sync_file(file: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::fcntl_fullfsync(file)
}

#[cfg(not(target_vendor = "apple"))]
fn sync_file(file: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::fdatasync(file)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn sync_disk(root: &OwnedFd) -> Result<bool, Errno> {
    // A disk served by a program (ntfs-3g, sshfs, gocryptfs, ...) is asked to sync a file, and never to sync itself.
    if again(|| rustix::fs::fstatfs(root))?.f_type == FUSE_SUPER_MAGIC {
        return Ok(false);
    }
    again(|| rustix::fs::syncfs(root)).map(|()| true)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn sync_disk(_: &OwnedFd) -> Result<bool, Errno> {
    Ok(false)
}

/// Removes a file or an empty directory of the control directory. A directory with something in it is not ours and stays.
pub(crate) fn remove_leftover(dir: &OwnedFd, name: impl rustix::path::Arg + Copy) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
impl Syncs {
    pub(crate) fn fail_for_tests(&self) {
        let ended = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        self.failed.fetch_max(ended, Ordering::SeqCst);
    }
}

#[cfg(test)]
impl TempFile {
    pub(crate) fn fail_alone_for_tests(&self) {
        self.inner.syncs.failed.fetch_max(self.opened + 1, Ordering::SeqCst);
    }
    pub(crate) fn is_synced_for_tests(&self) -> bool {
        self.written.is_none_or(|generation| generation < self.inner.syncs.durable.load(Ordering::SeqCst))
    }
}
