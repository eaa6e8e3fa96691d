//! One service per home. The lock is the kernel's, on the file `lock`: it ends with the process that holds it however that ends, so
//! a crash leaves nothing to heal. The process id inside is only there to be named.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How often and how soon to try again: [`Lock::holder`] takes the lock for an instant.
const TRIES_MAX: u32 = 5;
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// A held lock; given back when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another service has this home.
    #[error("cobox already runs here{}", pid.map_or_else(String::new, |pid| format!(", as process {pid}")))]
    Held {
        /// Its process id, if it has written it yet.
        pid: Option<u32>,
    },
    /// The system refused.
    #[error("the lock {path} can not be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.into(), source };
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = options.map_err(io)?;
        let mut tries = 0;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                // Perhaps only somebody who looks whether we are here, which takes an instant.
                Err(Errno::WOULDBLOCK) if tries < TRIES_MAX => std::thread::sleep(TRY_AGAIN),
                Err(Errno::WOULDBLOCK) => return Err(LockError::Held { pid: pid(&mut file) }),
                Err(source) => return Err(io(source.into())),
            }
            tries += 1;
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io)?;
        Ok(Self { _file: file })
    }

    /// Who holds the lock: nobody, or somebody whose process id may not be known yet.
    pub fn holder(path: &Path) -> Result<Option<Holder>, LockError> {
        let io = |source| LockError::Io { path: path.into(), source };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io(source)),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(Errno::WOULDBLOCK) => Ok(Some(Holder { pid: pid(&mut file) })),
            Err(source) => Err(io(source.into())),
        }
    }
}

/// The process that holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its id, if it has written it yet.
    pub pid: Option<u32>,
}

fn pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_service_learns_who_is_there_and_the_lock_heals() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(Lock::holder(&path).unwrap(), None);
        std::fs::write(&path, "4294967295 left by a crash").unwrap();
        assert_eq!(Lock::holder(&path).unwrap(), None, "a file alone is no lock");

        let lock = Lock::acquire(&path).unwrap();
        let me = Some(std::process::id());
        assert_eq!(Lock::holder(&path).unwrap(), Some(Holder { pid: me }));
        assert!(matches!(Lock::acquire(&path), Err(LockError::Held { pid }) if pid == me));
        drop(lock);
        assert_eq!(Lock::holder(&path).unwrap(), None);
        Lock::acquire(&path).unwrap();
    }
}
