//! What this device knows of one of its folders beside keys and log: where it lies, what it is called, which seeders keep it.
//! A small JSON file, replaced whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cobox_proto::hosting::Ticket;
use cobox_proto::id::{FolderId, SigKey};
use cobox_proto::limits::MEMBER_SLOTS;
use serde::{Deserialize, Serialize};

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
    #[error("{path} is damaged: {why}", path = .path.display())]
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
    /// Its id.
    pub(crate) fn folder(&self) -> Option<FolderId> {
        self.id.parse().ok()
    }

    /// Reads it.
    pub(crate) fn load(path: &Path) -> Result<Self, FolderConfigError> {
        let bytes = std::fs::read(path).map_err(|source| FolderConfigError::Io { path: path.into(), source })?;
        let damaged = |why: String| FolderConfigError::Damaged { path: path.into(), why };
        let config: Self = serde_json::from_slice(&bytes).map_err(|why| damaged(why.to_string()))?;
        config.folder().ok_or_else(|| damaged("its id is no folder id".into()))?;
        if usize::from(config.slot) >= MEMBER_SLOTS {
            return Err(damaged(format!("there is no member slot {}", config.slot)));
        }
        Ok(config)
    }

    /// Writes it, whole or not at all.
    pub(crate) fn save(&self, path: &Path) -> Result<(), FolderConfigError> {
        let bytes = serde_json::to_vec_pretty(self).expect("strings, numbers and lists have a JSON form");
        crate::files::replace(path, &bytes).map_err(|source| FolderConfigError::Io { path: path.into(), source })
    }
}
