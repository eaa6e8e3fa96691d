//! Reads files that people may be writing at the same moment: what comes out is one whole version, or nothing (L3, L4).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use cobox_core::engine::Stamp;
use cobox_core::path::FolderPath;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::kept::KeptId;
use super::{DiskTree, stamp};

/// Bytes read at once.
const BUFFER_BYTES: usize = 1 << 20;
/// No piece of a file is longer.
const PIECE_BYTES_MAX: u32 = 8 << 20;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It is not there any more, or is no file.
    #[error("{path} is gone")]
    Gone {
        /// Which.
        path: FolderPath,
    },
    /// It changed while it was read.
    #[error("{path} is being written; it is read when it rests")]
    Busy {
        /// Which.
        path: FolderPath,
    },
    /// The system refused.
    #[error("{path} can not be read: {source}")]
    Unreadable {
        /// Which.
        path: FolderPath,
        /// Why.
        source: std::io::Error,
    },
}

impl ReadError {
    /// Whether looking again soon is of no use.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self, ReadError::Unreadable { .. })
    }
}

impl DiskTree {
    /// Reads a file from its first byte to its last. The stamp is the same before and after, and the path still leads to the
    /// file that was read; otherwise `Busy`, and what was handed to `sink` is to be thrown away.
    pub(crate) fn read_stable(&self, path: &FolderPath, sink: &mut dyn FnMut(&[u8])) -> Result<Stamp, ReadError> {
        let mut file = self.open_file(path)?;
        let before = self.stamp_of(&file, path)?;
        let mut buffer = vec![0; BUFFER_BYTES.min(before.size.max(1) as usize)];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => sink(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ReadError::Unreadable { path: path.clone(), source }),
            }
        }
        let after = self.stamp_of(&file, path)?;
        let named = self.open_file(path).and_then(|now| self.stamp_of(&now, path)).ok();
        if before == after && named == Some(after) { Ok(after) } else { Err(ReadError::Busy { path: path.clone() }) }
    }

    /// Reads a piece of a file as it is now; the caller compares it with the name of the block it should be.
    pub(crate) fn read_now(&self, path: &FolderPath, offset: u64, len: u32) -> Result<Vec<u8>, ReadError> {
        let file = self.open_file(path)?;
        piece(&file, path, offset, len)
    }

    /// Reads a piece of a version that was set aside.
    pub(crate) fn read_kept(&self, kept: &KeptId, offset: u64, len: u32) -> Result<Vec<u8>, ReadError> {
        let path = FolderPath::root();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(&self.keep, kept.as_str(), flags, Mode::empty())
            .map_err(|_| ReadError::Gone { path: path.clone() })?;
        piece(&File::from(file), &path, offset, len)
    }

    /// Opens a regular file; a pipe put in its place does not block (L10).
    fn open_file(&self, path: &FolderPath) -> Result<File, ReadError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = self
            .open_parent(path)
            .and_then(|(dir, name)| rustix::fs::openat(&dir, name.as_str(), flags, Mode::empty()));
        match opened {
            Ok(file) => Ok(File::from(file)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Err(ReadError::Gone { path: path.clone() }),
            Err(why) => Err(ReadError::Unreadable { path: path.clone(), source: why.into() }),
        }
    }

    fn stamp_of(&self, file: &File, path: &FolderPath) -> Result<Stamp, ReadError> {
        let stat =
            rustix::fs::fstat(file).map_err(|why| ReadError::Unreadable { path: path.clone(), source: why.into() })?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(ReadError::Gone { path: path.clone() });
        }
        Ok(stamp(&stat))
    }
}

fn piece(file: &File, path: &FolderPath, offset: u64, len: u32) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0; len.min(PIECE_BYTES_MAX) as usize];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(bytes),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(ReadError::Busy { path: path.clone() }),
        Err(source) => Err(ReadError::Unreadable { path: path.clone(), source }),
    }
}
