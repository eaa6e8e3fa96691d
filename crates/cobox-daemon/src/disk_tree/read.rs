//! Reading files that others may be writing. A read counts only if the file is the same before and after, by its handle and by its
//! path (l3); otherwise the caller hears that it is busy and decides when to try again (l4).

use std::os::fd::OwnedFd;
use std::sync::PoisonError;

use cobox_core::path::FolderPath;
use cobox_proto::limits::BLOCK_PAYLOAD_BYTES_MAX;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::beneath::{Place, READ, again, open_at, stat_at};
use super::names::Spelling;
use super::seen::{Seen, Stamp, file_type, ino_dev, stamp_of};
use super::{DiskError, DiskTree, Inner};

const BUFFER_BYTES: usize = 1 << 20;

/// A file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing is there, or no regular file: look again.
    #[error("\"{path}\" is gone")]
    Gone {
        /// The file.
        path: String,
    },
    /// It is not the version that was asked for: look again.
    #[error("\"{path}\" has been changed since it was looked at")]
    Changed {
        /// The file.
        path: String,
    },
    /// It changed while it was read: try again later.
    #[error("\"{path}\" is being written by another program; it is read again when that is done")]
    Busy {
        /// The file.
        path: String,
    },
    /// The system refuses. Nothing may be concluded about the file.
    #[error(transparent)]
    Unreadable(#[from] DiskError),
}

impl DiskTree {
    /// What lies at a path now; `None` if nothing does. Where a directory above is missing, is a symlink or a file, nothing lies at it.
    pub fn stat(&self, path: &FolderPath) -> Result<Option<Seen>, DiskError> {
        match Spelling::new(self).is_so(path)? {
            true => self.find(path),
            false => Ok(None),
        }
    }

    /// The same for a caller who would know what lies there: a disk that folds names finds what is spelled otherwise, too, and is not asked
    /// for lists.
    pub(crate) fn find(&self, path: &FolderPath) -> Result<Option<Seen>, DiskError> {
        if path.is_root() {
            let stat =
                rustix::fs::fstat(&self.0.root).map_err(|error| DiskError::io("look at", "the folder", error))?;
            let (ino, dev) = ino_dev(&stat);
            return Ok(Some(Seen::Dir { ino, dev }));
        }
        match self.0.place(path) {
            Ok(place) => look(&place),
            Err(DiskError::NoDirectory { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a whole file, as one version. On an error what the sink got is worth nothing.
    pub fn read_stable(&self, path: &FolderPath, sink: &mut dyn FnMut(&[u8])) -> Result<Stamp, ReadError> {
        let place = self.readable_place(path)?;
        let (file, before) = open_file(&place.dir, &place.name, &path.to_string())?;
        self.0.stream(&file, &before, &path.to_string(), sink)?;
        // The path may lead to another file by now: then this one is yesterday's.
        match self.find(path)? {
            Some(Seen::File(now)) if now == before => Ok(before),
            _ => Err(ReadError::Busy { path: path.to_string() }),
        }
    }

    /// Reads a part of a version that was looked at before, to make its ciphertext again. Exactly `len` bytes or an error.
    pub fn read_at(&self, path: &FolderPath, version: &Stamp, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        let place = self.readable_place(path)?;
        let (file, now) = open_file(&place.dir, &place.name, &path.to_string())?;
        if now != *version {
            return Err(ReadError::Changed { path: path.to_string() });
        }
        part(&file, version, &path.to_string(), offset, len)
    }

    fn readable_place(&self, path: &FolderPath) -> Result<Place, ReadError> {
        if path.is_root() {
            return Err(ReadError::Gone { path: path.to_string() });
        }
        self.0.place(path).map_err(|error| match error {
            DiskError::NoDirectory { .. } => ReadError::Gone { path: path.to_string() },
            error => error.into(),
        })
    }
}

/// What lies at a place.
pub(crate) fn look(place: &Place) -> Result<Option<Seen>, DiskError> {
    let Some(stat) = place.stat()? else { return Ok(None) };
    let stamp = stamp_of(&stat);
    Ok(Some(match file_type(&stat) {
        FileType::Directory => Seen::Dir { ino: stamp.ino, dev: stamp.dev },
        FileType::RegularFile => Seen::File(stamp),
        FileType::Symlink => match again(|| rustix::fs::readlinkat(&place.dir, place.name.as_str(), Vec::new())) {
            Ok(target) => target.into_string().map_or(Seen::Other, |target| Seen::Symlink { stamp, target }),
            // Replaced since by something that is no link.
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::INVAL) => Seen::Other,
            Err(error) => return Err(place.io("read")(error)),
        },
        _ => Seen::Other,
    }))
}

/// Opens a regular file and takes its stamp.
pub(crate) fn open_file(dir: &OwnedFd, name: &str, path: &str) -> Result<(OwnedFd, Stamp), ReadError> {
    let gone = || ReadError::Gone { path: path.to_owned() };
    // Looked at first: opening a device or pipe may do something.
    match stat_at(dir, name).map_err(|error| DiskError::io("look at", path, error))? {
        Some(stat) if file_type(&stat) == FileType::RegularFile => {}
        _ => return Err(gone()),
    }
    let file = open_at(dir, name, READ).map_err(|error| match error {
        Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO => gone(),
        error => DiskError::io("read", path, error).into(),
    })?;
    let stat = rustix::fs::fstat(&file).map_err(|error| DiskError::io("look at", path, error))?;
    if file_type(&stat) != FileType::RegularFile {
        return Err(gone());
    }
    Ok((file, stamp_of(&stat)))
}

impl Inner {
    /// Feeds a file's bytes through a reused buffer. Ends early when there are more bytes than the stamp says: a log that
    /// grows for ever is not followed.
    pub(crate) fn stream(
        &self,
        file: &OwnedFd,
        version: &Stamp,
        path: &str,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ReadError> {
        let pool = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = pool().pop().unwrap_or_else(|| vec![0; BUFFER_BYTES]);
        let mut total = 0;
        let end = loop {
            match again(|| rustix::io::read(file, &mut buffer)) {
                Ok(0) => break Ok(()),
                Ok(read) => {
                    total += read as u64;
                    if total > version.size {
                        break Err(ReadError::Busy { path: path.to_owned() });
                    }
                    sink(&buffer[..read]);
                }
                Err(error) => break Err(DiskError::io("read", path, error).into()),
            }
        };
        pool().push(buffer);
        end?;
        match total == version.size && same_version(file, version, path)? {
            true => Ok(()),
            false => Err(ReadError::Busy { path: path.to_owned() }),
        }
    }
}

/// Reads a part of an open file and looks whether it is still this version.
pub(crate) fn part(file: &OwnedFd, version: &Stamp, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
    let beyond = offset.checked_add(len as u64).is_none_or(|end| end > version.size);
    if len > BLOCK_PAYLOAD_BYTES_MAX || beyond {
        return Err(ReadError::Changed { path: path.to_owned() });
    }
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match again(|| rustix::io::pread(file, &mut bytes[filled..], offset + filled as u64)) {
            Ok(0) => return Err(ReadError::Busy { path: path.to_owned() }),
            Ok(read) => filled += read,
            Err(error) => return Err(DiskError::io("read", path, error).into()),
        }
    }
    match same_version(file, version, path)? {
        true => Ok(bytes),
        false => Err(ReadError::Busy { path: path.to_owned() }),
    }
}

fn same_version(file: &OwnedFd, version: &Stamp, path: &str) -> Result<bool, ReadError> {
    let stat = rustix::fs::fstat(file).map_err(|error| DiskError::io("look at", path, error))?;
    Ok(stamp_of(&stat) == *version)
}
