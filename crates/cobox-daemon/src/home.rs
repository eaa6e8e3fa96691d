//! The state directory, "the home": where it is, what lies in it, and that nobody else can look into it.
//!
//! Owns the names inside. What must hold before anything is written: the directory is ours (made by us, or empty, or already a home), has
//! mode 0700, and lies in no folder that is shared, since that would share the keys.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What a shared folder carries at its root.
const FOLDER_MARK: &str = ".cobox";

/// The state directory of one identity on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Why a directory can not be the home.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither HOME nor anything else says where.
    #[error("no place for the state directory: the environment has no HOME")]
    NoPlace,
    /// A relative HOME or the like.
    #[error("the environment's HOME is not an absolute path")]
    RelativeHome,
    /// Not fit.
    #[error("{path} can not be the state directory: {why}")]
    Unsuitable {
        /// The directory.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The system refused.
    #[error("the state directory {path} can not be used: {source}")]
    Io {
        /// The directory or the part of it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Home {
    /// Where the home is: what was typed, else `COBOX_HOME`, else the platform's data directory. Touches no disk except to learn the
    /// working directory.
    pub fn resolve(typed: Option<&Path>, env: impl Fn(&str) -> Option<OsString>) -> Result<Self, HomeError> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = typed.map(Path::to_path_buf).or_else(|| set("COBOX_HOME")) {
            let root = std::path::absolute(&path).map_err(|source| HomeError::Io { path, source })?;
            return Ok(Self { root });
        }
        let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
        if let Some(data) = data.filter(|_| !cfg!(target_os = "macos")) {
            return Ok(Self { root: data.join("cobox") });
        }
        let home = set("HOME").ok_or(HomeError::NoPlace)?;
        if !home.is_absolute() {
            return Err(HomeError::RelativeHome);
        }
        let data = if cfg!(target_os = "macos") { "Library/Application Support/cobox" } else { ".local/share/cobox" };
        Ok(Self { root: home.join(data) })
    }

    /// Makes the directory and what lies in it, or heals its modes; refuses what is not fit.
    pub fn prepare(&self, user_home: Option<&Path>) -> Result<(), HomeError> {
        self.refuse_places_of_others(user_home)?;
        match fs::metadata(&self.root) {
            Ok(found) => self.refuse_unsuitable(&found)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(self.io(&self.root, source)),
        }
        for dir in [self.root.clone(), self.keys(), self.state(), self.logs()] {
            private_dir(&dir).map_err(|source| self.io(&dir, source))?;
        }
        Ok(())
    }

    fn refuse_places_of_others(&self, user_home: Option<&Path>) -> Result<(), HomeError> {
        if self.root.parent().is_none() {
            return Err(self.unsuitable("it is the root of the disk"));
        }
        if user_home.is_some_and(|home| same(home, &self.root)) {
            return Err(self.unsuitable("it is your home directory itself"));
        }
        match self.root.ancestors().find(|dir| dir.join(FOLDER_MARK).is_dir()) {
            Some(folder) => Err(self.unsuitable(&format!(
                "it lies in the folder {}, with which your keys would be shared",
                folder.display()
            ))),
            None => Ok(()),
        }
    }

    fn refuse_unsuitable(&self, found: &Metadata) -> Result<(), HomeError> {
        if !found.is_dir() {
            return Err(self.unsuitable("it is not a directory"));
        }
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(self.unsuitable("it belongs to another user"));
        }
        let mut entries = fs::read_dir(&self.root).map_err(|source| self.io(&self.root, source))?;
        let is_home = self.keys().is_dir() || self.state().is_dir() || self.config().is_file();
        if !is_home && entries.next().is_some() {
            return Err(self.unsuitable("it holds other things"));
        }
        Ok(())
    }

    fn unsuitable(&self, why: &str) -> HomeError {
        HomeError::Unsuitable { path: self.root.clone(), why: why.into() }
    }

    fn io(&self, path: &Path, source: io::Error) -> HomeError {
        HomeError::Io { path: path.into(), source }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Secrets.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Databases and blocks.
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

    /// Held by the running service.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Where the API is, and its token.
    pub fn api_file(&self) -> PathBuf {
        self.root.join("api.json")
    }
}

fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if fs::metadata(dir)?.mode() & 0o777 != 0o700 {
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn same(a: &Path, b: &Path) -> bool {
    a == b || matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(typed: Option<&str>, vars: &[(&str, &str)]) -> Result<PathBuf, String> {
        let env = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        Home::resolve(typed.map(Path::new), env).map(|h| h.root).map_err(|e| e.to_string())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn i8_the_home_is_what_was_typed_then_the_variable_then_the_data_directory() {
        let all = [("COBOX_HOME", "/var"), ("XDG_DATA_HOME", "/xdg"), ("HOME", "/home/ana")];
        assert_eq!(resolve(Some("/typed"), &all), Ok("/typed".into()));
        assert_eq!(resolve(None, &all), Ok("/var".into()));
        assert_eq!(resolve(None, &all[1..]), Ok("/xdg/cobox".into()));
        assert_eq!(resolve(None, &all[2..]), Ok("/home/ana/.local/share/cobox".into()));
        assert_eq!(
            resolve(None, &[("COBOX_HOME", ""), ("XDG_DATA_HOME", "rel"), ("HOME", "/h")]),
            Ok("/h/.local/share/cobox".into())
        );
        assert_eq!(resolve(Some("rel"), &[]), Ok(std::env::current_dir().unwrap().join("rel")));
        assert!(resolve(None, &[]).unwrap_err().contains("no HOME"));
        assert!(resolve(None, &[("HOME", "ana")]).unwrap_err().contains("not an absolute path"));
    }

    #[test]
    fn w7_the_home_and_what_is_in_it_are_made_private_and_healed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { root: dir.path().join("a/b") };
        home.prepare(None).unwrap();
        for path in [home.root().to_path_buf(), home.keys(), home.state(), home.logs()] {
            assert_eq!(mode(&path), 0o700, "{}", path.display());
        }
        fs::set_permissions(home.root(), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(home.keys(), Permissions::from_mode(0o777)).unwrap();
        home.prepare(None).unwrap();
        assert_eq!((mode(home.root()), mode(&home.keys())), (0o700, 0o700));
    }

    #[test]
    fn places_that_are_something_else_are_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |root: &Path, user_home: Option<&Path>| match (Home { root: root.into() }).prepare(user_home) {
            Err(HomeError::Unsuitable { why, .. }) => why,
            other => panic!("{}: {other:?}", root.display()),
        };
        assert!(refused(Path::new("/"), None).contains("root of the disk"));
        assert!(refused(dir.path(), Some(dir.path())).contains("home directory"));

        let folder = dir.path().join("shared");
        fs::create_dir_all(folder.join(".cobox")).unwrap();
        assert!(refused(&folder.join("deep/home"), None).contains("keys would be shared"));
        assert!(!folder.join("deep").exists());

        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(refused(&file, None).contains("not a directory"));

        let full = dir.path().join("full");
        fs::create_dir(&full).unwrap();
        fs::write(full.join("thesis.odt"), "x").unwrap();
        fs::set_permissions(&full, Permissions::from_mode(0o755)).unwrap();
        assert!(refused(&full, None).contains("other things"));
        assert_eq!((mode(&full), fs::read_dir(&full).unwrap().count()), (0o755, 1));

        let empty = dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        Home { root: empty }.prepare(None).unwrap();
    }
}
