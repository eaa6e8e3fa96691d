//! `api.json`: where the API answers and the token that opens it. Mode 0600, whole or absent, removed at a clean stop. One that a
//! crash left behind is told by the lock, which nobody holds then: its token is never sent to whoever took the port since.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files::replace;

/// Bytes of the file.
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
    #[error("there is no {path}")]
    Absent {
        /// Where it would be.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{path} can not be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Damaged.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl ApiFile {
    /// For the API of this process.
    pub fn new(address: SocketAddr, token: &Zeroizing<String>) -> Self {
        Self { address, token: token.to_string(), pid: std::process::id(), version: env!("CARGO_PKG_VERSION").into() }
    }

    /// Writes it in one step.
    pub fn write(&self, path: &Path) -> Result<(), ApiFileError> {
        let json =
            serde_json::to_vec_pretty(self).map_err(|e| ApiFileError::Io { path: path.into(), source: e.into() })?;
        replace(path, &json).map_err(|source| ApiFileError::Io { path: path.into(), source })
    }

    /// Reads it.
    pub fn read(path: &Path) -> Result<Self, ApiFileError> {
        let io = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => ApiFileError::Absent { path: path.into() },
            _ => ApiFileError::Io { path: path.into(), source },
        };
        if fs::metadata(path).map_err(io)?.len() > API_FILE_BYTES_MAX {
            return Err(ApiFileError::Damaged { path: path.into() });
        }
        let text = fs::read(path).map_err(io)?;
        let file: Self = serde_json::from_slice(&text).map_err(|_| ApiFileError::Damaged { path: path.into() })?;
        if !file.address.ip().is_loopback() {
            return Err(ApiFileError::Damaged { path: path.into() });
        }
        Ok(file)
    }

    /// Removes it; already gone is fine.
    pub fn remove(path: &Path) -> Result<(), ApiFileError> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ApiFileError::Io { path: path.into(), source })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn sample() -> ApiFile {
        ApiFile::new(([127, 0, 0, 1], 4321).into(), &Zeroizing::new("s3cret".into()))
    }

    #[test]
    fn w6_the_token_lies_in_a_file_only_we_can_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        sample().write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(ApiFile::read(&path).unwrap().token, "s3cret");
        assert!(!format!("{:?}", sample()).contains("s3cret"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing temporary stays");
        ApiFile::remove(&path).unwrap();
        ApiFile::remove(&path).unwrap();
        assert!(matches!(ApiFile::read(&path), Err(ApiFileError::Absent { .. })));
    }

    #[test]
    fn a_damaged_file_or_one_that_points_elsewhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.json");
        let whole = serde_json::to_string(&sample()).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(matches!(ApiFile::read(&path), Err(ApiFileError::Damaged { .. })), "cut at {cut}");
        }
        fs::write(&path, whole.replace("127.0.0.1", "198.51.100.7")).unwrap();
        assert!(matches!(ApiFile::read(&path), Err(ApiFileError::Damaged { .. })));
    }
}
