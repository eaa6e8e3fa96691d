//! The person's own small folder with what recovery wants beside the keys: their name, and for each folder its name, slot and
//! seeders. An ordinary folder of kind vault; its files are these entries.
//!
//! ```text
//! me.json              {"name"}
//! folders/ID.json      {"name","slot","seeders":[{"key","ticket","quota_bytes"}]}
//! machines/KEY.json    {"name","devices":{FOLDER: device key},"gone"}      by the network key of each of the person's devices
//! links/KEY.json       {"root","expires_ms"}                               by the linking key; an empty root: used, or over
//! ```
//!
//! What must hold: every seeder that keeps one of the person's folders, and takes vaults, has the vault too; where that failed, or
//! was cut off by a stop, it is tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;
use std::time::Duration;

use cobox_core::path::FolderPath;
use cobox_proto::id::{FolderId, Hash, SigKey};
use cobox_proto::limits::VAULT_BYTES_MAX;
use cobox_proto::members::OpBody;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::service::backups::{ANSWER_WAIT, MEMBER_SHARE, RETENTION};
use super::{Daemon, Running, now_ms};
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
        daemon.end_links().await;
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

/// One of the person's devices: its name, and its key in each folder, the vault among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) devices: BTreeMap<String, String>,
    /// It was sent away.
    #[serde(default)]
    pub(crate) gone: bool,
}

impl Machine {
    pub(crate) fn path(key: &SigKey) -> FolderPath {
        FolderPath::parse(&format!("machines/{key}.json")).expect("a key is hex, which can be synced")
    }
}

/// A code by which one more device may come: the person's root secret, sealed to the key that grows from the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// Hex.
    pub(crate) root: String,
    pub(crate) expires_ms: u64,
}

impl Link {
    pub(crate) fn path(key: &SigKey) -> FolderPath {
        FolderPath::parse(&format!("links/{key}.json")).expect("a key is hex, which can be synced")
    }
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
        let mut devices = BTreeMap::new();
        let mut folders: Vec<FolderConfig> = Vec::new();
        for running in self.running() {
            if running.config.sort == Sort::Folder {
                folders.push(running.config.clone());
            }
            if let Some(device) = running.handle.ask(|actor| actor.device.public().sig).await {
                devices.insert(running.config.id, device.to_string());
            }
        }
        let unopened: BTreeSet<String> = self.unopened().into_iter().map(|folder| folder.config.id).collect();
        let path = Machine::path(&self.endpoint.id());
        vault
            .handle
            .ask(move |actor| {
                actor.put_entry(&me_path(), &me);
                for config in folders {
                    let entry = VaultFolder { name: config.name, slot: config.slot, seeders: config.seeders };
                    actor.put_entry(&folder_path(&config.id), &entry);
                }
                // Another device may have given it another name.
                let known: Option<Machine> = actor.entry(&path);
                let mut machine = known.unwrap_or_else(|| Machine { name: host_name(), ..Machine::default() });
                machine.devices.retain(|id, _| unopened.contains(id));
                machine.devices.extend(devices);
                actor.put_entry(&path, &machine);
            })
            .await;
    }

    /// Ends the link codes whose time is over.
    async fn end_links(&self) {
        let Some(vault) = self.vault() else { return };
        let now_ms = now_ms();
        let over = vault.handle.ask(move |actor| {
            let links = actor.entries_in::<Link>("links");
            let over = links.into_iter().filter(|(_, link)| !link.root.is_empty() && link.expires_ms < now_ms);
            over.map(|(key, _)| key).collect::<Vec<SigKey>>()
        });
        for key in over.await.unwrap_or_default() {
            self.end_link(key).await;
        }
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
        vault.ask(|actor| actor.entry(&me_path())).await.flatten()
    }

    /// What the vault says of a folder.
    pub(crate) async fn vault_folder(&self, vault: &FolderHandle, id: String) -> Option<VaultFolder> {
        vault.ask(move |actor| actor.entry(&folder_path(&id))).await.flatten()
    }
}

/// What lies in a vault, for the vault's own thread.
impl FolderActor {
    pub(crate) fn put_entry<T: Serialize>(&mut self, path: &FolderPath, entry: &T) {
        let bytes = serde_json::to_vec(entry).expect("strings and numbers have a JSON form");
        self.put_vault_file(path, &bytes);
    }

    pub(crate) fn entry<T: for<'de> Deserialize<'de>>(&self, path: &FolderPath) -> Option<T> {
        serde_json::from_slice(&self.vault_file(path)?).ok()
    }

    /// The entries of a directory that are named by keys or ids.
    fn entries_in<T: for<'de> Deserialize<'de>>(&self, dir: &str) -> Vec<(SigKey, T)> {
        let Some(engine) = &self.engine else { return Vec::new() };
        let named = |path: &FolderPath| {
            let key = path.to_string().strip_prefix(dir)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok()?;
            Some((key, self.entry(path)?))
        };
        engine.view().entries.keys().filter_map(named).collect()
    }

    /// The person's devices, by their network keys.
    pub(crate) fn machines(&self) -> BTreeMap<SigKey, Machine> {
        self.entries_in("machines").into_iter().collect()
    }

    /// The person's folders.
    pub(crate) fn vault_folders(&self) -> BTreeMap<FolderId, VaultFolder> {
        self.entries_in("folders").into_iter().map(|(id, folder)| (FolderId(id.0), folder)).collect()
    }
}

/// What this computer is called.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().trim().to_owned();
    if name.is_empty() { "computer".into() } else { name.chars().take(64).collect() }
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
        let devices = BTreeMap::from([("0a0a".into(), "0b0b".into())]);
        let machine = Machine { name: "laptop".into(), devices, gone: false };
        let link = Link { root: "00ff".into(), expires_ms: 1_700_000_000_000 };
        assert_eq!(serde_json::to_string(&machine).unwrap(), vectors["machines/KEY.json"].as_str().unwrap());
        assert_eq!(serde_json::to_string(&link).unwrap(), vectors["links/KEY.json"].as_str().unwrap());
        assert_eq!(reads(&vectors["machines/KEY.json"]), Some(machine));
        assert_eq!(reads(&vectors["links/KEY.json"]), Some(link));
        assert_eq!(reads(&vectors["me.json"]), Some(me));
        assert_eq!(reads(&vectors["folders/ID.json"]), Some(folder));
        let refused = |name: &str| vectors["refused"][name].as_array().filter(|all| !all.is_empty()).unwrap().clone();
        for text in refused("me.json") {
            assert_eq!(reads::<Me>(&text), None, "{text}");
        }
        for text in refused("machines/KEY.json") {
            assert_eq!(reads::<Machine>(&text), None, "{text}");
        }
        for text in refused("links/KEY.json") {
            assert_eq!(reads::<Link>(&text), None, "{text}");
        }
        for text in refused("folders/ID.json") {
            assert_eq!(reads::<VaultFolder>(&text), None, "{text}");
        }
    }
}
