//! Secrets at rest: one file each in `HOME/keys`, mode 0600, replaced whole. The frame tells a cut or damaged file from a
//! whole one, so that no wrong key is ever taken as right.
//!
//! ```text
//! file = "cobox key\n" | version u8 (1) | length u32le | secret | blake3(secret)[..8]
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::files::replace;

const MAGIC: &[u8] = b"cobox key\n";
const VERSION: u8 = 1;
const SUM_BYTES: usize = 8;

/// Why a secret can not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// The system refused.
    #[error("the key {path} can not be read or written: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Cut off or changed.
    #[error("the key {path} is damaged; put it back from a copy, or recover with your twelve words", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The secrets of one home.
#[derive(Debug, Clone)]
pub(crate) struct Keystore {
    dir: PathBuf,
}

impl Keystore {
    /// In this directory, which exists with mode 0700.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// One secret; `None` if there is none of that name.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeystoreError> {
        let path = self.path(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeystoreError::Io { path, source }),
        };
        unframe(&bytes).map(|secret| Some(Zeroizing::new(secret.to_vec()))).ok_or(KeystoreError::Damaged { path })
    }

    /// Keeps a secret, durably.
    pub(crate) fn put(&self, name: &str, secret: &[u8]) -> Result<(), KeystoreError> {
        let path = self.path(name);
        let mut framed = Zeroizing::new(Vec::with_capacity(MAGIC.len() + 5 + secret.len() + SUM_BYTES));
        framed.extend_from_slice(MAGIC);
        framed.push(VERSION);
        framed.extend_from_slice(&(secret.len() as u32).to_le_bytes());
        framed.extend_from_slice(secret);
        framed.extend_from_slice(&blake3::hash(secret).as_bytes()[..SUM_BYTES]);
        replace(&path, &framed).map_err(|source| KeystoreError::Io { path, source })
    }

    /// Forgets a secret.
    pub(crate) fn remove(&self, name: &str) -> Result<(), KeystoreError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(KeystoreError::Io { path, source }),
            _ => Ok(()),
        }
    }
}

fn unframe(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    let (secret, sum) = rest.split_at_checked(len)?;
    (sum == &blake3::hash(secret).as_bytes()[..SUM_BYTES]).then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i6_a_key_file_that_is_cut_or_changed_is_named_and_never_used() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keystore::new(dir.path());
        assert!(keys.get("root").unwrap().is_none());
        keys.put("root", b"sixteen bytes ok").unwrap();
        assert_eq!(keys.get("root").unwrap().unwrap().as_slice(), b"sixteen bytes ok");
        let whole = fs::read(dir.path().join("root")).unwrap();
        for cut in 0..whole.len() {
            fs::write(dir.path().join("root"), &whole[..cut]).unwrap();
            assert!(matches!(keys.get("root"), Err(KeystoreError::Damaged { .. })), "cut at {cut}");
        }
        for i in 0..whole.len() {
            let mut changed = whole.clone();
            changed[i] ^= 1;
            fs::write(dir.path().join("root"), &changed).unwrap();
            assert!(keys.get("root").is_err(), "byte {i}");
        }
        let error = keys.get("root").unwrap_err().to_string();
        assert!(error.contains("root") && error.contains("twelve words"), "{error}");
        keys.remove("root").unwrap();
        keys.remove("root").unwrap();
    }

    #[test]
    fn r8_secrets_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        Keystore::new(dir.path()).put("root", b"secret").unwrap();
        let mode = fs::metadata(dir.path().join("root")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
