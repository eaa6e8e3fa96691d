//! The person's own small folder with what recovery wants beside the keys: their name, and for each folder its name, slot and
//! seeders. An ordinary folder of kind vault; its files are these entries.
//!
//! ```text
//! me.json              {"name"}
//! folders/ID.json      {"name","slot","seeders":[{"key","ticket","quota_bytes"}]}
//! ```
//!
//! What must hold: every seeder that keeps one of the person's folders, and takes vaults, has the vault too; where that failed, or
//! was cut off by a stop, it is tried again.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use cobox_core::path::FolderPath;
use cobox_proto::id::{Hash, SigKey};
use cobox_proto::limits::VAULT_BYTES_MAX;
use cobox_proto::members::OpBody;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::service::backups::{ANSWER_WAIT, MEMBER_SHARE, RETENTION};
use super::{Daemon, Running};
use crate::folder::{FolderActor, FolderConfig, FolderHandle, SeederConfig, Sort};

/// It is looked at least this often whether a seeder lacks the vault.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// A seeder that did not take it is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// Places the vault wherever it is lacking, until the daemon is gone.
pub(super) async fn keep_placed(daemon: Weak<Daemon>) {
    let mut not_before: BTreeMap<SigKey, Instant> = BTreeMap::new();
    loop {
        let Some(changed) = daemon.upgrade().map(|daemon| daemon.seeders_changed.clone()) else { return };
        let _ = tokio::time::timeout(LOOK_MAX, changed.notified()).await;
        let Some(daemon) = daemon.upgrade() else { return };
        for running in daemon.running().into_iter().filter(|running| running.config.sort == Sort::Folder) {
            let Some(here) = running.handle.ask(|actor| actor.connected_seeders()).await else { continue };
            for (seeder, entry) in here {
                if not_before.get(&seeder).is_some_and(|at| *at > Instant::now()) {
                    continue;
                }
                if let Err(why) = daemon.place_vault(&running, seeder, entry).await {
                    tracing::warn!(why, seeder = %seeder.short(), "the vault is not placed yet");
                    not_before.insert(seeder, Instant::now() + ASK_AGAIN);
                }
            }
        }
    }
}

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

    /// The person's vault goes wherever one of their folders goes, so that words and one seeder bring back everything. `running` is a
    /// folder that this seeder keeps and that is open with it.
    pub(crate) async fn place_vault(
        &self,
        running: &Running,
        seeder: SigKey,
        entry: SeederConfig,
    ) -> Result<(), String> {
        let _one_at_a_time = self.placing.lock().await;
        let Some(vault) = self.vault() else { return Ok(()) };
        if vault.config.seeders.iter().any(|known| known.sig_key() == Some(seeder)) {
            return Ok(());
        }
        let gone = || "the vault's thread has stopped".to_owned();
        // The grant may stand since an earlier try.
        let parts = vault.handle.ask(move |actor| hired(actor, seeder).map(|()| actor.log_parts())).await;
        let parts = parts.ok_or_else(gone)??;
        let asked = wait_for(|| {
            let parts = parts.clone();
            running.handle.ask(move |actor| actor.attach_vault(seeder, parts))
        });
        let answer = asked.await.ok_or("the seeder is not connected")?;
        match tokio::time::timeout(ANSWER_WAIT, answer).await {
            Ok(Ok(told)) => told?,
            _ => return Err("the seeder did not answer".into()),
        }
        let config = vault.handle.ask(move |actor| {
            actor.config.seeders.push(entry);
            actor.save_config();
            actor.config.clone()
        });
        self.note_config(config.await.ok_or_else(gone)?);
        self.write_vault().await;
        let machine = running.handle.ask(move |actor| actor.machine_of(&seeder)).await.flatten();
        let pass = vault.handle.ask(|actor| actor.pass()).await;
        if let (Some(link), Some(pass)) = (machine.and_then(|machine| self.link(&machine)), pass) {
            link.open_and_wait(vault.handle.id, pass).await;
        }
        Ok(())
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

/// Sees to it that the vault's log lets this seeder keep it.
fn hired(vault: &mut FolderActor, seeder: SigKey) -> Result<(), String> {
    if vault.replica.membership().roster().seeders().iter().any(|hired| hired.key == seeder) {
        return Ok(());
    }
    let body = OpBody::SeederGrant {
        seeder,
        offer_hash: Hash::ZERO,
        quota_bytes: VAULT_BYTES_MAX,
        retention: RETENTION,
        member_share: MEMBER_SHARE,
    };
    vault.propose(body).map(|_| ())
}

/// Asks again for a few seconds until there is an answer.
async fn wait_for<T, F>(mut ask: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<Option<T>>>,
{
    for _ in 0..200 {
        if let Some(Some(found)) = ask().await {
            return Some(found);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn reads<T: for<'de> Deserialize<'de>>(text: &Value) -> Option<T> {
        serde_json::from_str(text.as_str().unwrap()).ok()
    }

    #[test]
    fn what_lies_in_a_vault_is_as_written_down_and_other_texts_are_refused() {
        let vectors: Value = serde_json::from_str(include_str!("../../../../spec/vectors/vault.json")).unwrap();
        let seeder = SeederConfig { key: "0e0e".into(), ticket: "cbt1abc".into(), quota_bytes: 50_000_000_000 };
        let folder = VaultFolder { name: "Choir".into(), slot: 7, seeders: vec![seeder] };
        let me = Me { name: "Zoë".into() };
        assert_eq!(serde_json::to_string(&me).unwrap(), vectors["me.json"].as_str().unwrap());
        assert_eq!(serde_json::to_string(&folder).unwrap(), vectors["folders/ID.json"].as_str().unwrap());
        assert_eq!(reads(&vectors["me.json"]), Some(me));
        assert_eq!(reads(&vectors["folders/ID.json"]), Some(folder));
        let refused = |name: &str| vectors["refused"][name].as_array().filter(|all| !all.is_empty()).unwrap().clone();
        for text in refused("me.json") {
            assert_eq!(reads::<Me>(&text), None, "{text}");
        }
        for text in refused("folders/ID.json") {
            assert_eq!(reads::<VaultFolder>(&text), None, "{text}");
        }
    }
}
