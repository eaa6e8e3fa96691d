//! Files under assembly, in `.cobox/tmp`. A name found again after a stop is opened, not made anew: its pieces are verified
//! by whoever takes it up.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags};

use super::DiskTree;
use super::apply::{ApplyError, io_error};

/// A file under assembly.
#[derive(Debug)]
pub(crate) struct TempFile {
    pub(super) name: String,
    pub(super) file: File,
}

impl DiskTree {
    /// Makes, or finds again, a file under assembly.
    pub(crate) fn temp(&self, name: &str) -> Result<TempFile, ApplyError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.tmp, name, flags, Mode::from_raw_mode(0o600))
            .map_err(|why| io_error(&cobox_core::path::FolderPath::root(), why))?;
        Ok(TempFile { name: name.to_owned(), file: File::from(file) })
    }

    /// Makes everything written to files under assembly durable: one call for a whole group.
    pub(crate) fn sync_temps(&self) -> Result<(), std::io::Error> {
        #[cfg(target_os = "linux")]
        {
            rustix::fs::syncfs(&self.tmp).map_err(Into::into)
        }
        #[cfg(not(target_os = "linux"))]
        {
            rustix::fs::sync();
            Ok(())
        }
    }
}

impl TempFile {
    /// Its length.
    pub(crate) fn len(&self) -> Result<u64, ApplyError> {
        self.file.metadata().map(|m| m.len()).map_err(ApplyError::temp)
    }
    /// Sets its length; what is new reads as zeros and takes no room.
    pub(crate) fn set_len(&mut self, bytes: u64) -> Result<(), ApplyError> {
        self.file.set_len(bytes).map_err(ApplyError::temp)
    }
    /// Writes a piece.
    pub(crate) fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<(), ApplyError> {
        self.file.write_all_at(bytes, offset).map_err(ApplyError::temp)
    }
    /// Reads a piece back.
    pub(crate) fn read_at(&mut self, offset: u64, len: u32) -> Result<Vec<u8>, ApplyError> {
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, offset).map_err(ApplyError::temp)?;
        Ok(bytes)
    }
}
