//! From a path of this machine, as the watcher names it, to a path within the folder. The other way there is none: everything
//! goes through handles.

use std::path::Path;

use cobox_core::path::{FolderPath, Name};

/// The path within the folder; `None` outside it, for the control directory, and for names that can not be synced.
pub(super) fn from_machine(root: &Path, path: &Path) -> Option<FolderPath> {
    let below = path.strip_prefix(root).ok()?;
    below.components().try_fold(FolderPath::root(), |at, part| {
        let name = Name::new(part.as_os_str().to_str()?).ok()?;
        Some(at.join(name))
    })
}
