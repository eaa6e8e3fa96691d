//! Leaving a folder: its thread, records, keys and state go, the files stay. It is left from one moment on, which is when its settings get
//! another name; whatever is still there of it then is cleared away, at the next start if a stop comes in between (K4).
//!
//! What must hold: what is left of a folder is never taken for a folder, nor its absence for deletions.

use std::path::Path;

use cobox_proto::id::FolderId;

use super::{Daemon, RECORDS, SETTINGS, StartError};
use crate::disk_tree::{DiskTree, RootError};
use crate::folder::{FolderConfig, Records};

/// The settings of a folder that was left, until all of it is gone.
const LEFT: &str = "left.json";

impl Daemon {
    /// Leaves a folder. `false`: it is none of this device's, or somebody leaves it at this moment.
    ///
    /// On an error it is not left, and goes on.
    pub(crate) async fn forget_folder(&self, id: &FolderId) -> Result<bool, StartError> {
        let running = self.folders.write().expect("no thread panics while it holds this lock").remove(id);
        let Some(running) = running else { return Ok(false) };
        let released = running.handle.ask(|actor| {
            let disk = actor.disk_tree().cloned();
            actor.stop();
            disk
        });
        let disk = released.await.flatten();
        let dir = self.folder_dir(id);
        let left = self.note_slot(running.config.slot).and_then(|()| {
            crate::files::rename(&dir.join(SETTINGS), &dir.join(LEFT))
                .map_err(|source| StartError::Io { path: dir.clone(), source })
        });
        if let Err(why) = left {
            self.open_folder(running.config)?;
            return Err(why);
        }
        self.clear_away(id, &dir, disk);
        self.forget_drills(id);
        Ok(true)
    }

    /// If this is what is left of a folder, clears it away.
    pub(super) fn finish_leaving(&self, dir: &Path) {
        let Ok(config) = FolderConfig::load(&dir.join(LEFT)) else { return };
        let Some(id) = config.folder() else { return };
        let disk = config.path.and_then(|path| DiskTree::open(&path, &id).ok());
        self.clear_away(&id, dir, disk);
    }

    fn clear_away(&self, id: &FolderId, dir: &Path, disk: Option<DiskTree>) {
        if let Some(disk) = disk
            && let Err(why) = release(disk)
        {
            tracing::warn!(%why, "the mark of a folder could not be taken away");
        }
        if let Err(why) = Records::new(self.store.clone(), *id).delete() {
            tracing::warn!(%why, "{RECORDS} still has records of a folder that was left");
        }
        for key in ["device", "folder"] {
            if let Err(why) = self.keystore.remove(&format!("{key}-{id}")) {
                tracing::warn!(%why, "a key of a folder that was left could not be removed");
            }
        }
        if let Err(why) = remove_but(dir, LEFT).and_then(|()| std::fs::remove_dir_all(dir)) {
            tracing::warn!(%why, "what was kept of a folder could not be removed");
        }
    }
}

/// Removes what is in a directory, but for one file: that is the last to go, for as long as it is there the rest is looked for.
fn remove_but(dir: &Path, stays: &str) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_name() == stays {
            true => {}
            false if entry.file_type()?.is_dir() => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Makes a folder's directory an ordinary one again. Versions set aside go: the others' versions took their places, or nobody
/// has the folder any more. What was changed after it was set aside stays, and with it the mark.
fn release(disk: DiskTree) -> Result<(), RootError> {
    for kept in disk.list_kept().unwrap_or_default() {
        if let Err(why) = disk.drop_kept(&kept.id) {
            tracing::warn!(%why, "a version set aside could not be dropped");
        }
    }
    disk.release()
}
