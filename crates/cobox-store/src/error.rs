//! What can go wrong in a store, with the path and the next step.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cobox_proto::codec::DecodeError;
use cobox_proto::id::Cid;

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space is left, or the quota is used up. Nothing of the call was kept; what was there before is intact.
    #[error("the disk with {} is full; free some space, then try again", .path.display())]
    DiskFull {
        /// Where it was written to.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A block's bytes are not what its name says. It counts as missing from now on.
    #[error("block {} in {} is damaged; it must be fetched again", .cid.short(), .path.display())]
    DamagedBlock {
        /// The block.
        cid: Cid,
        /// Where it lay.
        path: PathBuf,
    },
    /// Bytes were offered under a name that is not their hash.
    #[error("bytes offered as block {} hash to another name", .cid.short())]
    Misnamed {
        /// The name.
        cid: Cid,
    },
    /// Bytes were offered that are no sealed block.
    #[error("{} is no block: {source}", .cid.short())]
    NotABlock {
        /// The name.
        cid: Cid,
        /// What is wrong with its header.
        source: DecodeError,
    },
    /// A database that is cut, overwritten or something else altogether.
    #[error(
        "{} is damaged ({reason}); move it away and restore it from a backup, or start anew and fetch from your devices \
         and seeders", .path.display()
    )]
    DamagedDatabase {
        /// The database.
        path: PathBuf,
        /// How that showed.
        reason: String,
    },
    /// A database written by a newer program.
    #[error(
        "{} has format {found}, this program knows up to {known}; use the newer program", .path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// It may only be read.
    #[error("{} can only be read; make it and its directory writable for you", .path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// Another process uses the store.
    #[error("{} is in use by another process; stop that one first", .path.display())]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("database {}: {source}", .path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Sorts an IO error: a full disk is a case of its own.
    pub(crate) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path: path.to_owned() },
            _ => Self::Io { doing, path: path.to_owned(), source },
        }
    }

    /// Sorts an SQLite error: full disks and damage are cases of their own.
    pub(crate) fn database(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase, ReadOnly};
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(DiskFull) => Self::DiskFull { path },
            Some(ReadOnly) => Self::ReadOnly { path },
            Some(DatabaseCorrupt | NotADatabase) => Self::DamagedDatabase { path, reason: source.to_string() },
            _ => Self::Database { path, source },
        }
    }
}
