//! What this device knows of one of its folders beside keys and log: where it lies, what it is called, which seeders keep it.
//! A small JSON file, replaced whole, and a copy beside it for when it is damaged: without it a service can not say which member slots are
//! used up, and does not start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cobox_proto::hosting::Ticket;
use cobox_proto::id::{FolderId, SigKey};
use cobox_proto::limits::MEMBER_SLOTS;
use serde::{Deserialize, Serialize};

/// The copy, beside it.
const COPY: &str = "folder-copy.json";
/// Where what was damaged is kept.
const DAMAGED: &str = "folder-damaged.json";

/// Why the file can not be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderConfigError {
    /// The system refused.
    #[error("{path} can not be read or written: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not what this program writes.
    #[error("{path} is damaged, and no copy beside it is whole: {why}", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Folder or vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sort {
    /// Files in a directory.
    Folder,
    /// The person's own recovery data; no directory.
    Vault,
}

/// A seeder that keeps this folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeederConfig {
    /// Its key, hex.
    pub key: String,
    /// How to reach it: a ticket.
    pub ticket: String,
    /// The space it signed for.
    pub quota_bytes: u64,
}

impl SeederConfig {
    /// Its key.
    pub(crate) fn sig_key(&self) -> Option<SigKey> {
        self.key.parse().ok()
    }
    /// Its ticket.
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        Ticket::from_text(&self.ticket).ok()
    }
}

/// One folder on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FolderConfig {
    /// Its id, hex.
    pub id: String,
    /// Folder or vault.
    pub sort: Sort,
    /// Its name here.
    pub name: String,
    /// Where it lies; none for a vault.
    pub path: Option<PathBuf>,
    /// Which of the person's member slots it uses.
    pub slot: u16,
    /// Neither sends nor receives.
    pub paused: bool,
    /// Where encrypted copies lie.
    pub seeders: Vec<SeederConfig>,
    /// Members' machines that an invite named: tickets.
    pub contacts: Vec<String>,
    /// Changes of people who were sent away that are put out of sight here: the ids of their heads.
    #[serde(default)]
    pub discarded: Vec<String>,
    /// ... and those that are to be taken in, until a head that counts has done so.
    #[serde(default)]
    pub adopted: Vec<String>,
    /// Contents are being sealed under the newest keys, because a person wanted it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reseal: bool,
    /// What the person calls members here, by the op that admitted them. Never sent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nicknames: BTreeMap<String, String>,
    /// How often they were changed since the start: of two, those that were changed more often are the later ones.
    #[serde(skip)]
    pub changes: u64,
}

impl FolderConfig {
    /// Of a folder that this device gets to know: nobody keeps it, nobody was named, nothing was decided about it.
    pub(crate) fn new(folder: FolderId, sort: Sort, name: String, path: Option<PathBuf>, slot: u16) -> Self {
        Self {
            id: folder.to_string(),
            sort,
            name,
            path,
            slot,
            paused: false,
            seeders: Vec::new(),
            contacts: Vec::new(),
            discarded: Vec::new(),
            adopted: Vec::new(),
            reseal: false,
            nicknames: BTreeMap::new(),
            changes: 0,
        }
    }

    /// Its id.
    pub(crate) fn folder(&self) -> Option<FolderId> {
        self.id.parse().ok()
    }

    /// Reads it. If it is damaged, the copy takes its place; what was there is kept under another name, for somebody may have edited it.
    pub(crate) fn load(path: &Path) -> Result<Self, FolderConfigError> {
        let io = |source| FolderConfigError::Io { path: path.into(), source };
        let bytes = std::fs::read(path).map_err(io)?;
        let copy = path.with_file_name(COPY);
        let why = match Self::parse(&bytes) {
            Ok(config) => {
                keep_copy(&copy, &bytes);
                return Ok(config);
            }
            Err(why) => why,
        };
        let kept = std::fs::read(&copy).ok().and_then(|kept| Some((Self::parse(&kept).ok()?, kept)));
        let Some((config, kept)) = kept else {
            return Err(FolderConfigError::Damaged { path: path.into(), why });
        };
        tracing::warn!(%why, "{} is damaged: its copy takes its place, and it is kept as {DAMAGED}", path.display());
        // Never moved away: a folder without settings would be taken for one that was left.
        crate::files::replace(&path.with_file_name(DAMAGED), &bytes).map_err(io)?;
        crate::files::replace(path, &kept).map_err(io)?;
        Ok(config)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        config.folder().ok_or("its id is no folder id")?;
        if usize::from(config.slot) >= MEMBER_SLOTS {
            return Err(format!("there is no member slot {}", config.slot));
        }
        Ok(config)
    }

    /// Writes it, whole or not at all.
    pub(crate) fn save(&self, path: &Path) -> Result<(), FolderConfigError> {
        let bytes = serde_json::to_vec_pretty(self).expect("strings, numbers and lists have a JSON form");
        crate::files::replace(path, &bytes).map_err(|source| FolderConfigError::Io { path: path.into(), source })?;
        keep_copy(&path.with_file_name(COPY), &bytes);
        Ok(())
    }
}

/// A copy that can not be written is an older one, or none: nothing depends on it today.
fn keep_copy(copy: &Path, bytes: &[u8]) {
    if std::fs::read(copy).is_ok_and(|kept| kept == bytes) {
        return;
    }
    if let Err(why) = crate::files::replace(copy, bytes) {
        tracing::warn!(%why, "{} can not be written", copy.display());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config(name: &str) -> FolderConfig {
        FolderConfig::new(FolderId([7; 32]), Sort::Folder, name.into(), Some("/somewhere".into()), 3)
    }

    fn is_damaged(path: &Path) -> bool {
        matches!(FolderConfig::load(path), Err(FolderConfigError::Damaged { path: named, .. }) if named == path)
    }

    #[test]
    fn i5_damaged_settings_are_made_good_from_their_copy_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder.json");
        config("docs").save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() / 2], &[], &[0; 400], br#"{"id":"7","slot":3}"#] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(FolderConfig::load(&path).unwrap(), config("docs"));
            assert_eq!(fs::read(&path).unwrap(), whole);
            assert_eq!(fs::read(dir.path().join(DAMAGED)).unwrap(), damaged);
        }
    }

    #[test]
    fn the_copy_is_as_new_as_the_last_change_or_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder.json");
        config("docs").save(&path).unwrap();
        config("papers").save(&path).unwrap();
        // By hand, or by a program that knew of no copy.
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("papers", "letters")).unwrap();
        FolderConfig::load(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(FolderConfig::load(&path).unwrap(), config("letters"));
    }

    #[test]
    fn i5_settings_damaged_with_their_copy_are_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder.json");
        config("docs").save(&path).unwrap();
        for copy in [Some("{"), None] {
            fs::write(&path, "no settings").unwrap();
            match copy {
                Some(copy) => fs::write(dir.path().join(COPY), copy).unwrap(),
                None => fs::remove_file(dir.path().join(COPY)).unwrap(),
            }
            assert!(is_damaged(&path));
            assert_eq!(fs::read_to_string(&path).unwrap(), "no settings");
        }
    }

    #[test]
    fn a_slot_that_nobody_has_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder.json");
        let slot = MEMBER_SLOTS as u16;
        fs::write(&path, serde_json::to_vec(&FolderConfig { slot, ..config("docs") }).unwrap()).unwrap();
        assert!(is_damaged(&path));
    }
}
