//! What a store of blocks needs of a disk: files by name in one directory that is its own, and an index beside them. [`LocalDisk`] is
//! the computer's, with SQLite; [`crate::MemDisk`] is one in memory that can be made to fail.
//!
//! Nothing is durable before it is synced: bytes with their file, names with [`Disk::sync_names`], the index when a change returns.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::index::Index;
use super::sqlite::SqliteIndex;
use crate::database::sync_dir;
use crate::error::StoreError;

/// A directory of segments and their index. Nobody else changes it.
pub trait Disk: Debug + Send + Sync {
    /// An open file.
    type File: DiskFile;
    /// The index.
    type Index: Index;

    /// Where a file lies, for messages.
    fn path(&self, name: &str) -> PathBuf;
    /// The names there are, in any order.
    fn names(&self) -> io::Result<Vec<String>>;
    /// The length of a file by its name.
    fn length_of(&self, name: &str) -> io::Result<u64>;
    /// A new empty file, for reading and writing; an error if there is one.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// A file that is there, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Takes a name away.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names durable that were made or taken away.
    fn sync_names(&self) -> Result<(), StoreError>;

    /// Whether there is an index.
    fn has_index(&self) -> bool;
    /// Opens the index, or makes an empty one.
    ///
    /// Errors: [`StoreError::DamagedDatabase`], and then it can be set aside.
    fn open_index(&self) -> Result<Self::Index, StoreError>;
    /// Moves a damaged index away.
    fn set_index_aside(&self) -> Result<(), StoreError>;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Debug + Send + Sync {
    /// Fills `bytes` from `at` on.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;
    /// Writes all of `bytes` to `at`.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes bytes and length durable; times need not be.
    fn sync(&self) -> io::Result<()>;
    /// Its length.
    fn length(&self) -> io::Result<u64>;
    /// Cuts it off, durably.
    fn cut_off(&self, length: u64) -> io::Result<()>;
}

/// A directory of this computer, and the lock that keeps other processes out of it.
#[derive(Debug)]
pub struct LocalDisk {
    dir: PathBuf,
    lock: File,
}

impl LocalDisk {
    /// Takes the directory, made (private to the user) if needed.
    ///
    /// Errors: [`StoreError::InUse`], or the disk's.
    pub(super) fn take(dir: &Path) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| StoreError::io("create", dir, e))?;
        let path = dir.join("lock");
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = open.map_err(|e| StoreError::io("open", &path, e))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { dir: dir.to_owned(), lock }),
            Err(Errno::WOULDBLOCK) => Err(StoreError::InUse { path: dir.to_owned() }),
            Err(e) => Err(StoreError::io("lock", &path, e.into())),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn index_path(&self) -> PathBuf {
        self.dir.join("index.db")
    }
}

impl Drop for LocalDisk {
    /// Closing alone would leave the lock with a child process that is just being started and has not closed its copy yet.
    fn drop(&mut self) {
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

impl Disk for LocalDisk {
    type File = File;
    type Index = SqliteIndex;

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn length_of(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path(name))?.len())
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.path(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.path(name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_names(&self) -> Result<(), StoreError> {
        sync_dir(&self.dir)
    }

    fn has_index(&self) -> bool {
        self.index_path().exists()
    }

    fn open_index(&self) -> Result<SqliteIndex, StoreError> {
        SqliteIndex::open(&self.index_path())
    }

    fn set_index_aside(&self) -> Result<(), StoreError> {
        for suffix in ["", "-wal", "-shm"] {
            let [from, to] = ["", ".damaged"].map(|aside| self.dir.join(format!("index.db{aside}{suffix}")));
            match fs::rename(&from, &to) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("move aside", &from, e));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl DiskFile for File {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(bytes, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn cut_off(&self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.sync_all()
    }
}
