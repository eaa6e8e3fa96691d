//! Making a directory a folder, finding it again, letting it go. The marker in `.cobox/` names the folder; without it, or with
//! another one, nothing is concluded about the files (H1).

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cobox_proto::id::FolderId;
use rustix::fs::{Mode, OFlags};

use super::{CONTROL, DiskTree};

const MARKER: &str = "folder";

/// Why a directory is not this folder.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Nothing is there.
    #[error("{path} is not there; its files are not taken for deleted. Bring the disk or directory back", path = .path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Not a directory, or a link to one.
    #[error("{path} is not a directory; give a directory, not a file or a link", path = .path.display())]
    NotADirectory {
        /// What was named.
        path: PathBuf,
    },
    /// The marker is gone: another disk, or somebody removed it.
    #[error("{path} is not marked as this folder (its .cobox directory is missing); its files are not taken for deleted. Bring the right disk or directory back", path = .path.display())]
    MarkerMissing {
        /// The directory.
        path: PathBuf,
    },
    /// Marked as another folder.
    #[error("{path} belongs to another folder already; choose another directory", path = .path.display())]
    OtherFolder {
        /// The directory.
        path: PathBuf,
    },
    /// A place that can not be a folder.
    #[error("{path} can not be a folder: {why}", path = .path.display())]
    Unsuitable {
        /// The directory.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The system refused.
    #[error("{path} can not be used: {source}", path = .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl DiskTree {
    /// Whether a directory may become a folder. `forbidden` are places that may not, nor any directory above them: the home
    /// directory, the state directory.
    pub(crate) fn may_adopt(root: &Path, forbidden: &[PathBuf]) -> Result<PathBuf, RootError> {
        let unsuitable = |why| Err(RootError::Unsuitable { path: root.to_path_buf(), why });
        let io = |source| RootError::Io { path: root.to_path_buf(), source };
        let is_link = fs::symlink_metadata(root).map(|m| m.file_type().is_symlink());
        match is_link {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(RootError::Missing { path: root.to_path_buf() });
            }
            Err(e) => return Err(io(e)),
            Ok(true) => return Err(RootError::NotADirectory { path: root.to_path_buf() }),
            Ok(false) => {}
        }
        let real = fs::canonicalize(root).map_err(io)?;
        if !real.is_dir() {
            return Err(RootError::NotADirectory { path: root.to_path_buf() });
        }
        if real.parent().is_none() {
            return unsuitable("it is the whole disk");
        }
        for place in forbidden.iter().filter_map(|place| fs::canonicalize(place).ok()) {
            if place == real {
                return unsuitable("it is your home directory or cobox's own state; choose a directory in it");
            }
            if place.starts_with(&real) {
                return unsuitable("your home directory or cobox's own state lies in it; choose a smaller directory");
            }
        }
        let state_above = forbidden.iter().skip(1).filter_map(|place| fs::canonicalize(place).ok());
        if state_above.into_iter().any(|state| real.starts_with(state)) {
            return unsuitable("it lies in cobox's own state");
        }
        if real.ancestors().skip(1).any(|above| above.join(CONTROL).join(MARKER).exists()) {
            return unsuitable("it lies in another folder");
        }
        Ok(real)
    }

    /// Marks a directory as this folder; what lies there is adopted. Marking it again changes nothing.
    pub(crate) fn adopt(root: &Path, folder: FolderId) -> Result<Self, RootError> {
        let io = |source| RootError::Io { path: root.to_path_buf(), source };
        let control = root.join(CONTROL);
        let marker = control.join(MARKER);
        match read_marker(&marker) {
            Some(found) if found != folder => return Err(RootError::OtherFolder { path: root.to_path_buf() }),
            Some(_) => {}
            None => {
                let mut private = DirBuilder::new();
                private.mode(0o700);
                match private.create(&control) {
                    Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(io(e)),
                    _ => {}
                }
                crate::files::replace(&marker, format!("{folder}\n").as_bytes()).map_err(io)?;
            }
        }
        Self::open(root, folder)
    }

    /// The folder's directory, found again.
    pub(crate) fn open(root: &Path, folder: FolderId) -> Result<Self, RootError> {
        check_marker(root, &folder)?;
        let io = |source: std::io::Error| RootError::Io { path: root.to_path_buf(), source };
        let control = root.join(CONTROL);
        for name in ["tmp", "keep"] {
            let mut private = DirBuilder::new();
            private.mode(0o700);
            match private.create(control.join(name)) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(io(e)),
                _ => {}
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open =
            |path: &Path, more: OFlags| rustix::fs::open(path, flags | more, Mode::empty()).map_err(|e| io(e.into()));
        Ok(Self {
            handle: open(root, OFlags::empty())?,
            tmp: open(&control.join("tmp"), OFlags::NOFOLLOW)?,
            keep: open(&control.join("keep"), OFlags::NOFOLLOW)?,
            root: root.to_path_buf(),
            folder,
        })
    }

    /// Whether the directory is still there, still the one that was opened, and still marked.
    pub(crate) fn verify_root(&self) -> Result<(), RootError> {
        check_marker(&self.root, &self.folder)?;
        let same = rustix::fs::fstat(&self.handle)
            .and_then(|opened| rustix::fs::stat(&self.root).map(|named| (opened, named)))
            .is_ok_and(|(opened, named)| (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino));
        if same { Ok(()) } else { Err(RootError::Missing { path: self.root.clone() }) }
    }

    /// Takes the mark away; the files stay.
    pub(crate) fn release(&self) -> Result<(), RootError> {
        match fs::remove_dir_all(self.root.join(CONTROL)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(RootError::Io { path: self.root.clone(), source: e })
            }
            _ => Ok(()),
        }
    }
}

fn read_marker(marker: &Path) -> Option<FolderId> {
    fs::read_to_string(marker).ok()?.trim().parse().ok()
}

fn check_marker(root: &Path, folder: &FolderId) -> Result<(), RootError> {
    let path = root.to_path_buf();
    match fs::symlink_metadata(root) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(RootError::Missing { path }),
        Err(source) => return Err(RootError::Io { path, source }),
        Ok(found) if !found.is_dir() => return Err(RootError::NotADirectory { path }),
        Ok(_) => {}
    }
    match read_marker(&root.join(CONTROL).join(MARKER)) {
        Some(found) if found == *folder => Ok(()),
        Some(_) => Err(RootError::OtherFolder { path }),
        None => Err(RootError::MarkerMissing { path }),
    }
}
