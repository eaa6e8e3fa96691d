//! The state directory, "the home": where it is, what lies in it, and that nobody else can look into it. It also holds the lock: one
//! service per home. The lock is the kernel's and ends with its process, so a crash leaves nothing to heal.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Looking who holds the lock takes it for an instant: so often, so soon to try again.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The state directory of one seeder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Why a directory can not be the home.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither HOME nor anything else says where.
    #[error("no place for the state directory: the environment has no absolute HOME")]
    NoPlace,
    /// Not fit.
    #[error("{path} can not be the state directory: {why}")]
    Unsuitable {
        /// The directory.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// Another service has this home.
    #[error("cobox-seeder already runs here{}", pid.map_or_else(String::new, |pid| format!(", as process {pid}")))]
    Held {
        /// Its process id, if it has written it yet.
        pid: Option<u32>,
    },
    /// The system refused.
    #[error("{path} can not be used: {source}")]
    Io {
        /// The directory, or a file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A held lock; given back when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// The process that holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its id, if it has written it yet.
    pub pid: Option<u32>,
}

impl Home {
    /// Where the home is: what was typed, else `COBOX_SEEDER_HOME`, else the platform's data directory.
    pub fn resolve(typed: Option<&Path>, env: impl Fn(&str) -> Option<OsString>) -> Result<Self, HomeError> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = typed.map(Path::to_path_buf).or_else(|| set("COBOX_SEEDER_HOME")) {
            let root = std::path::absolute(&path).map_err(|source| HomeError::Io { path, source })?;
            return Ok(Self { root });
        }
        let macos = cfg!(target_os = "macos");
        let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute() && !macos);
        let beneath = if macos { "Library/Application Support" } else { ".local/share" };
        let data = data.or_else(|| set("HOME").filter(|home| home.is_absolute()).map(|home| home.join(beneath)));
        Ok(Self { root: data.ok_or(HomeError::NoPlace)?.join("cobox-seeder") })
    }

    /// Makes the directory and what lies in it, or heals its modes; refuses what is not fit.
    pub fn prepare(&self) -> Result<(), HomeError> {
        let unsuitable = |why| Err(HomeError::Unsuitable { path: self.root.clone(), why });
        let io = |path: &Path, source| HomeError::Io { path: path.into(), source };
        if self.root.parent().is_none() {
            return unsuitable("it is the root of the disk");
        }
        if self.root.ancestors().any(|dir| dir.join(".cobox").is_dir()) {
            return unsuitable("it lies in a shared folder, whose members would get its keys");
        }
        match fs::metadata(&self.root) {
            Ok(found) if !found.is_dir() => return unsuitable("it is not a directory"),
            Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
                return unsuitable("it belongs to another user");
            }
            Ok(_) => {
                let mut entries = fs::read_dir(&self.root).map_err(|e| io(&self.root, e))?;
                if !self.keys().is_dir() && !self.config().is_file() && entries.next().is_some() {
                    return unsuitable("it holds other things");
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(io(&self.root, e)),
        }
        for dir in [self.root.clone(), self.keys(), self.state(), self.logs()] {
            private_dir(&dir).map_err(|e| io(&dir, e))?;
        }
        Ok(())
    }

    /// Takes the lock, or says who has it.
    pub fn lock(&self) -> Result<Lock, HomeError> {
        let path = self.lock_path();
        let io = |source| HomeError::Io { path: path.clone(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = file.map_err(io)?;
        let mut tries = 0;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if tries < LOCK_TRIES => std::thread::sleep(LOCK_PAUSE),
                Err(Errno::WOULDBLOCK) => return Err(HomeError::Held { pid: pid(&mut file) }),
                Err(error) => return Err(io(error.into())),
            }
            tries += 1;
        }
        let written = file.set_len(0).and_then(|()| file.rewind());
        written.and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io)?;
        Ok(Lock { _file: file })
    }

    /// Who holds the lock, if anybody does.
    pub fn holder(&self) -> Result<Option<Holder>, HomeError> {
        let path = self.lock_path();
        let io = |source| HomeError::Io { path: path.clone(), source };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io(source)),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(Errno::WOULDBLOCK) => Ok(Some(Holder { pid: pid(&mut file) })),
            Err(error) => Err(io(error.into())),
        }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Secrets.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }
    /// Records and blocks.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }
    /// Logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("log")
    }
    /// The settings.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }
    /// Where the admin API is, and its token.
    pub fn api_file(&self) -> PathBuf {
        self.root.join("api.json")
    }
    fn lock_path(&self) -> PathBuf {
        self.root.join("lock")
    }
}

fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if fs::metadata(dir)?.mode() & 0o777 != 0o700 {
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(typed: Option<&str>, vars: &[(&str, &str)]) -> Option<PathBuf> {
        let env = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        Home::resolve(typed.map(Path::new), env).ok().map(|home| home.root)
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn i8_the_home_is_what_was_typed_then_the_variable_then_the_data_directory() {
        let all = [("COBOX_SEEDER_HOME", "/var"), ("XDG_DATA_HOME", "/xdg"), ("HOME", "/home/ana")];
        assert_eq!(resolve(Some("/typed"), &all), Some("/typed".into()));
        assert_eq!(resolve(None, &all), Some("/var".into()));
        assert_eq!(resolve(None, &all[1..]), Some("/xdg/cobox-seeder".into()));
        assert_eq!(resolve(None, &all[2..]), Some("/home/ana/.local/share/cobox-seeder".into()));
        assert_eq!(resolve(None, &[("HOME", "ana")]), None);
    }

    #[test]
    fn w7_the_home_is_private_and_nobody_else_s() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { root: dir.path().join("a/b") };
        home.prepare().unwrap();
        for path in [home.root().to_path_buf(), home.keys(), home.state(), home.logs()] {
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700, "{}", path.display());
        }
        fs::set_permissions(home.keys(), Permissions::from_mode(0o777)).unwrap();
        home.prepare().unwrap();
        assert_eq!(fs::metadata(home.keys()).unwrap().mode() & 0o777, 0o700);

        let full = dir.path().join("full");
        fs::create_dir(&full).unwrap();
        fs::write(full.join("thesis.odt"), "x").unwrap();
        let shared = dir.path().join("shared");
        fs::create_dir_all(shared.join(".cobox")).unwrap();
        for root in [PathBuf::from("/"), full.clone(), full.join("thesis.odt"), shared.join("deep")] {
            let refused = Home { root: root.clone() }.prepare();
            assert!(matches!(refused, Err(HomeError::Unsuitable { .. })), "{}", root.display());
        }
        assert_eq!(fs::read_dir(&full).unwrap().count(), 1, "left alone");
    }

    #[test]
    fn a_second_service_learns_who_is_there_and_a_stale_lock_heals() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { root: dir.path().into() };
        assert_eq!(home.holder().unwrap(), None);
        fs::write(home.lock_path(), "4294967295 left by a crash").unwrap();
        assert_eq!(home.holder().unwrap(), None, "a file alone is no lock");
        let lock = home.lock().unwrap();
        let me = Some(std::process::id());
        assert_eq!(home.holder().unwrap(), Some(Holder { pid: me }));
        assert!(matches!(home.lock(), Err(HomeError::Held { pid }) if pid == me));
        drop(lock);
        assert_eq!(home.holder().unwrap(), None);
        home.lock().unwrap();
    }
}
