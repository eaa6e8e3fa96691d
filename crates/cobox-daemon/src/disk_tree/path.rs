//! From a path within the folder to a path of this machine: here only, and only for people, the watcher and the marker.
//! Everything else goes through handles.

use std::path::{Path, PathBuf};

use cobox_core::path::{FolderPath, Name};

/// The machine's path.
pub(super) fn to_machine(root: &Path, path: &FolderPath) -> PathBuf {
    path.iter().fold(root.to_path_buf(), |at, name| at.join(name.as_str()))
}

/// The path within the folder; `None` outside it, for the control directory, and for names that can not be synced.
pub(super) fn from_machine(root: &Path, path: &Path) -> Option<FolderPath> {
    let below = path.strip_prefix(root).ok()?;
    below.components().try_fold(FolderPath::root(), |at, part| {
        let name = Name::new(part.as_os_str().to_str()?).ok()?;
        Some(at.join(name))
    })
}
