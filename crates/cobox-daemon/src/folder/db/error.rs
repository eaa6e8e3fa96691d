//! Why a folder's database can not be used, with the next step.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the folder's database can not be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The disk, or SQLite, said no.
    #[error("{path}: {source}; see that the disk is well and can be written; the folder's files are untouched", path = .path.display())]
    Disk {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// It is no database, or a spoiled one.
    #[error("{path}: {source}; the folder's files are untouched. Move this file away and start again: it is rebuilt", path = .path.display())]
    Spoiled {
        /// The database.
        path: PathBuf,
        /// How that showed.
        #[source]
        source: rusqlite::Error,
    },
    /// It may only be read.
    #[error("{path} can only be read; make it and its directory writable for you; the folder's files are untouched", path = .path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// What another device, or another folder of this one, remembers.
    #[error("{path} belongs to another device or folder", path = .path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// Written by a newer program.
    #[error("{path} was written by a newer cobox (schema {found}); update cobox", path = .path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// It is damaged and can not be put aside.
    #[error("{path} is damaged and can not be put aside: {source}; move it away yourself and start again: it is rebuilt", path = .path.display())]
    PutAside {
        /// The database.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A row that this program can not have written.
    #[error("{path} is damaged ({what}); the folder's files are untouched. Move this file away and start again: it is rebuilt", path = .path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// Which part.
        what: &'static str,
    },
}

impl DbError {
    /// Sorts an SQLite error.
    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Spoiled { path, source },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            _ => Self::Disk { path, source },
        }
    }

    /// Whether there was no room.
    pub(crate) fn is_disk_full(&self) -> bool {
        match self {
            Self::Disk { source, .. } => source.sqlite_error_code() == Some(ErrorCode::DiskFull),
            Self::PutAside { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }

    /// Whether the file is not what this program wrote here.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Spoiled { .. } | Self::Damaged { .. } | Self::Foreign { .. })
    }
}
