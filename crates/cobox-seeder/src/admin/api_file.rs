//! `api.json`: where the API answers and the token that opens it. Mode 0600, whole or absent, removed at a clean stop. One that a
//! crash left behind is told by the lock, which nobody holds then.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::replace;
use crate::keys::random;

const API_FILE_BYTES_MAX: u64 = 4096;

/// What a client needs.
#[derive(Clone, Serialize, Deserialize)]
pub struct ApiFile {
    /// Where the API answers.
    pub address: SocketAddr,
    /// What goes into the Authorization header.
    pub token: String,
    /// The service's process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
}

impl std::fmt::Debug for ApiFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiFile({}, process {})", self.address, self.pid)
    }
}

/// Why the file can not be used.
#[derive(Debug, thiserror::Error)]
pub enum ApiFileError {
    /// There is none.
    #[error("there is no {0}")]
    Absent(PathBuf),
    /// The system refused.
    #[error("{path} can not be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Damaged.
    #[error("{0} is damaged")]
    Damaged(PathBuf),
}

impl ApiFile {
    /// For the API of this process, with a fresh token.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let token = data_encoding::HEXLOWER.encode(&*random::<32>());
        Self { address, token, pid: std::process::id(), version: env!("CARGO_PKG_VERSION").into() }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), ApiFileError> {
        let json = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        json.and_then(|json| replace(path, &json)).map_err(|source| ApiFileError::Io { path: path.into(), source })
    }

    /// Reads it.
    pub fn read(path: &Path) -> Result<Self, ApiFileError> {
        let io = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => ApiFileError::Absent(path.into()),
            _ => ApiFileError::Io { path: path.into(), source },
        };
        let damaged = || ApiFileError::Damaged(path.into());
        if fs::metadata(path).map_err(io)?.len() > API_FILE_BYTES_MAX {
            return Err(damaged());
        }
        let file: Self = serde_json::from_slice(&fs::read(path).map_err(io)?).map_err(|_| damaged())?;
        if file.address.ip().is_loopback() { Ok(file) } else { Err(damaged()) }
    }

    pub(crate) fn remove(path: &Path) -> Result<(), ApiFileError> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ApiFileError::Io { path: path.into(), source })
            }
            _ => Ok(()),
        }
    }
}
