//! What a person changed here who may only read the folder: it is set aside beside the folder when the person wants the folder as it is,
//! or when others have something else in its place.
//!
//! What must hold: nothing of it is lost or written over; what can not be set aside stays where it is, and what belongs there waits.

use std::path::PathBuf;

use super::*;
use crate::disk_tree::DiskError;

/// How the directory beside the folder is marked.
const MARK: &str = "changed here";
/// What could not be set aside is tried again after this.
const AGAIN_MS: u64 = 60_000;

/// Why nothing could be set aside at a path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSetAside {
    /// It is nothing that was changed here.
    #[error("nothing was changed here at \"{0}\"")]
    NoEdit(FolderPath),
    /// The directory is not there.
    #[error("the folder's directory is not there")]
    NoDirectory,
    /// The disk refuses.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl FolderActor {
    /// What was changed or added here and stands on this disk alone.
    pub(crate) fn edits_here(&self) -> Vec<FolderPath> {
        self.engine.as_ref().map(|engine| engine.edits_here().cloned().collect()).unwrap_or_default()
    }

    /// What stands at one of these places goes beside the folder, and what belongs there comes. Where it is then; nothing if it has gone
    /// meanwhile.
    pub(crate) fn set_aside(&mut self, path: &FolderPath) -> Result<Option<PathBuf>, NotSetAside> {
        let is_one = self.engine.as_ref().is_some_and(|engine| engine.edits_here().any(|edit| edit == path));
        if !is_one {
            return Err(NotSetAside::NoEdit(path.clone()));
        }
        let there = self.disk_tree().ok_or(NotSetAside::NoDirectory)?.set_beside(path, MARK)?;
        self.look_at(vec![path.clone()]);
        Ok(there)
    }

    /// Sets aside what others have something else in place of.
    pub(super) fn make_way(&mut self) {
        let Some(engine) = &self.engine else { return };
        let mut overtaken: Vec<FolderPath> = engine.edits_overtaken().cloned().collect();
        if overtaken.is_empty() {
            return self.no_room_beside.clear();
        }
        // A look under way may be about to tell something else of it.
        if self.looks.is_under_way() || self.disk.is_none() {
            return;
        }
        let now = self.around.now_ms();
        self.no_room_beside.retain(|_, again_ms| *again_ms > now && *again_ms - now <= AGAIN_MS);
        overtaken.retain(|path| !self.no_room_beside.contains_key(path) && !self.looks.waits_for(path));
        for path in overtaken {
            match self.set_aside(&path) {
                Ok(Some(to)) => self.around.tell(&self.config, Happened::SetAside { path, to }),
                Ok(None) => {}
                Err(why) => {
                    self.trouble(why.to_string());
                    self.no_room_beside.insert(path, now + AGAIN_MS);
                }
            }
        }
    }
}
