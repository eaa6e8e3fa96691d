//! The person's own small folder with what recovery wants beside the keys: their name, and for each folder its name, slot and
//! seeders. An ordinary folder of kind vault; its files are these entries.
//!
//! ```text
//! me.json              {"name"}
//! folders/ID.json      {"name","slot","seeders":[{"key","ticket","quota_bytes"}]}
//! ```

use cobox_core::path::FolderPath;
use serde::{Deserialize, Serialize};

use super::Daemon;
use crate::folder::{FolderActor, FolderConfig, FolderHandle, SeederConfig, Sort};

/// The person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Me {
    pub(crate) name: String,
}

/// One of the person's folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VaultFolder {
    pub(crate) name: String,
    pub(crate) slot: u16,
    pub(crate) seeders: Vec<SeederConfig>,
}

fn me_path() -> FolderPath {
    FolderPath::parse("me.json").expect("a fixed name that can be synced")
}

fn folder_path(id: &str) -> FolderPath {
    FolderPath::parse(&format!("folders/{id}.json")).expect("an id is hex, which can be synced")
}

impl Daemon {
    /// Writes into the vault what recovery will want to know.
    pub(crate) async fn write_vault(&self) {
        let Some(vault) = self.vault() else { return };
        let me = Me { name: self.identity().name };
        let folders: Vec<FolderConfig> = self
            .running()
            .into_iter()
            .filter(|running| running.config.sort == Sort::Folder)
            .map(|running| running.config)
            .collect();
        vault
            .handle
            .ask(move |actor| {
                put(actor, &me_path(), &me);
                for config in folders {
                    let entry = VaultFolder { name: config.name, slot: config.slot, seeders: config.seeders };
                    put(actor, &folder_path(&config.id), &entry);
                }
            })
            .await;
    }

    /// What the vault says of the person; `None` until it is here.
    pub(crate) async fn vault_me(&self, vault: &FolderHandle) -> Option<Me> {
        vault.ask(|actor| get(actor, &me_path())).await.flatten()
    }

    /// What the vault says of a folder.
    pub(crate) async fn vault_folder(&self, vault: &FolderHandle, id: String) -> Option<VaultFolder> {
        vault.ask(move |actor| get(actor, &folder_path(&id))).await.flatten()
    }
}

fn put<T: Serialize>(actor: &mut FolderActor, path: &FolderPath, entry: &T) {
    let bytes = serde_json::to_vec(entry).expect("strings and numbers have a JSON form");
    actor.put_vault_file(path, &bytes);
}

fn get<T: for<'de> Deserialize<'de>>(actor: &mut FolderActor, path: &FolderPath) -> Option<T> {
    serde_json::from_slice(&actor.vault_file(path)?).ok()
}
