//! One person, several devices: linking another, listing, naming, and sending a lost one away.
//!
//! What must hold: nothing of a new device changes before a code has opened the person's vault; a lost device is sent out of every
//! folder, the vault last, for there it stands which keys are its.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use cobox_core::keys::RootSecret;
use cobox_core::members::{LinkCode, add_device, device_proof};
use cobox_net::Pass;
use cobox_proto::codec::Canonical;
use cobox_proto::hosting::Ticket;
use cobox_proto::id::{FolderId, SigKey};
use cobox_proto::limits::INVITE_TICKETS_MAX;
use cobox_proto::wire::proof::KeyKind;
use data_encoding::HEXLOWER;
use tokio::time::Instant;

use super::super::vault::{Link, Machine, VaultFolder};
use super::super::{Daemon, Running, VAULT_SLOT, now_ms, random};
use super::entering::{STEP_WAIT, TREE_WAIT, open};
use super::recovery::{Found, Known, Reached};
use super::{failed, stopped};
use crate::api::dto::{
    DeviceLink, DeviceNameRequest, DeviceRemoved, DeviceStatus, Devices, Linked, RemoveRequest, Time, UseLinkRequest,
};
use crate::api::{ApiError, ErrorCode, EventKind, KEY_CHARS_MIN, News};
use crate::folder::{FolderHandle, Sort};

/// How long a link code is good.
const LINK_GOOD_MS: u64 = 60 * 60 * 1000;
/// How long somebody who has the vault is looked for.
const LOOK_FOR_VAULT: Duration = Duration::from_secs(30);
/// How long entries of the vault that are not here are waited for.
const LOOK_FOR_ENTRIES: Duration = Duration::from_secs(2);

impl Daemon {
    pub(super) async fn link_device(&self) -> Result<DeviceLink, ApiError> {
        let vault = self.vault().ok_or_else(no_vault)?;
        self.write_vault().await;
        let mut tickets = vec![self.ticket().to_bytes()];
        let seeders = vault.config.seeders.iter().filter_map(|seeder| seeder.ticket());
        tickets.extend(seeders.map(|ticket| ticket.to_bytes()).take(INVITE_TICKETS_MAX - 1));
        let code = LinkCode::new(vault.handle.id, random(), now_ms() + LINK_GOOD_MS, tickets);
        let root = code.seal_root(&self.identity().root, &random()).map_err(failed)?;
        let link = Link { root: HEXLOWER.encode(&root), expires_ms: code.expires_ms };
        let (device, vault_id) = (code.device(), code.vault);
        let certified = vault.handle.ask(move |actor| {
            let author = actor.seat().author().ok_or("this device was sent away")?;
            let proof = device_proof(&device, &vault_id, &author.grant);
            let op = add_device(actor.replica.membership().log(), author, device.public(), proof);
            let op = op.map_err(|why| why.to_string())?;
            actor.add_ops(vec![op], Vec::new());
            actor.put_entry(&Link::path(&device.public().sig), &link);
            Ok::<(), String>(())
        });
        certified.await.ok_or_else(stopped)?.map_err(failed)?;
        let expires_at = Time::from_ms(code.expires_ms as i64);
        Ok(DeviceLink { code: code.to_text().to_string().into(), expires_at })
    }

    pub(super) async fn use_link(&self, request: UseLinkRequest) -> Result<Linked, ApiError> {
        let unreadable = |why: cobox_proto::text::TextError| {
            ApiError::new(ErrorCode::CodeUnreadable, why.to_string())
                .hint("make one with `cobox devices link` on a device that you have already")
        };
        let code: LinkCode = request.code.0.parse().map_err(unreadable)?;
        if self.has_folders() {
            return Err(ApiError::new(
                ErrorCode::IdentityInUse,
                "this device has folders of its own already, or asks to join one",
            )
            .hint("link into another home: `cobox --home DIR up --link CODE`"));
        }
        let tickets: Vec<Ticket> = code.tickets.iter().filter_map(|bytes| Ticket::from_bytes(bytes).ok()).collect();
        let vault = self.enter_vault(&code, &tickets).await?;
        let (root, folders) = self.read_link(&vault, &code).await.ok_or_else(|| {
            ApiError::new(ErrorCode::CodeSpent, "the code has been used, or its time is over").hint("make a new one")
        })?;
        let mut tickets: Vec<Ticket> = tickets;
        for ticket in folders.values().flat_map(|folder| &folder.seeders).filter_map(|seeder| seeder.ticket()) {
            if tickets.iter().all(|known| known.endpoint != ticket.endpoint) {
                tickets.push(ticket);
            }
        }
        let mut machines = Vec::new();
        for ticket in tickets {
            if let Ok(link) = self.call_ticket(&ticket).await {
                machines.push(Reached { ticket, link });
            }
        }
        let all: Vec<usize> = (0..machines.len()).collect();
        let known = |slot, is_vault| Known { slot, is_vault, machines: all.clone() };
        let mut found = Found::new();
        found.insert(code.vault, known(VAULT_SLOT, true));
        found.extend(folders.iter().map(|(id, folder)| (*id, known(folder.slot, false))));
        let back = self.bring_back(request.to, root, found, machines).await?;
        self.end_link(code.device().public().sig).await;
        if let Some(name) = request.name {
            self.name_device(self.endpoint.id().to_string(), DeviceNameRequest { name }).await?;
        }
        self.events.publish(News::new(EventKind::FolderAdded, "this device was linked"));
        Ok(Linked { name: back.name, cobox_key: back.cobox_key, folders: back.folders, warnings: back.warnings })
    }

    /// Opens the person's vault with the key that grows from the code, for as long as it takes to read it.
    async fn enter_vault(&self, code: &LinkCode, tickets: &[Ticket]) -> Result<FolderHandle, ApiError> {
        let deadline = Instant::now() + LOOK_FOR_VAULT;
        let device = code.device();
        let mut refused = false;
        while Instant::now() < deadline && !refused {
            for ticket in tickets {
                let Ok(Ok(link)) = tokio::time::timeout_at(deadline, self.call_ticket(ticket)).await else { continue };
                let pass = Pass { kind: KeyKind::Device, key: device.sig.clone(), introduction: vec![] };
                let Some(mut guest) = self.knock(&link, code.vault, pass, KeyKind::Device).await else {
                    refused = true;
                    continue;
                };
                let keys = guest.until(Instant::now() + STEP_WAIT, |guest| open(guest, &[&device.hpke])).await;
                self.forget_guest(&code.vault);
                let (Some(keys), Some(entered)) = (keys, guest.leave()) else { continue };
                if let Some(own) = self.vault() {
                    // The vault that was made here has nothing yet; it gives way.
                    self.forget_folder(&own.handle.id).await.map_err(failed)?;
                }
                let contacts = tickets.iter().map(Ticket::to_text).collect();
                let (seed, name) = (code.device_seed(), "vault".to_owned());
                let handle = self.settle_in(
                    code.vault,
                    entered,
                    keys,
                    seed,
                    VAULT_SLOT,
                    name,
                    None::<PathBuf>,
                    Vec::new(),
                    contacts,
                )?;
                let pass = handle.ask(|actor| actor.pass()).await.ok_or_else(stopped)?;
                link.open_and_wait(code.vault, pass).await;
                self.wait_for_tree(&handle, Instant::now() + TREE_WAIT).await;
                return Ok(handle);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Err(match refused {
            true => ApiError::new(ErrorCode::CodeSpent, "the code has been used, or its time is over")
                .hint("make a new one with `cobox devices link` on a device that you have already"),
            false => ApiError::new(ErrorCode::Unreachable, "none of your devices and seeders was reached")
                .hint("see that the device that made the code is running, and connected"),
        })
    }

    /// The root secret and the person's folders, once they are here.
    async fn read_link(
        &self,
        vault: &FolderHandle,
        code: &LinkCode,
    ) -> Option<(RootSecret, BTreeMap<FolderId, VaultFolder>)> {
        let deadline = Instant::now() + TREE_WAIT;
        let path = Link::path(&code.device().public().sig);
        while Instant::now() < deadline {
            let path = path.clone();
            let read = vault.ask(move |actor| {
                let waits = actor.want_vault_blocks();
                let link: Option<Link> = actor.entry(&path);
                link.filter(|_| !waits).map(|link| (link, actor.vault_folders()))
            });
            if let Some((link, folders)) = read.await? {
                return Some((code.open_root(&HEXLOWER.decode(link.root.as_bytes()).ok()?).ok()?, folders));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// A linking key has served, or its time is over: it opens nothing from then on.
    pub(in crate::daemon) async fn end_link(&self, device: SigKey) {
        let Some(vault) = self.vault() else { return };
        let ended = vault.handle.ask(move |actor| {
            actor.put_entry(&Link::path(&device), &Link { root: String::new(), expires_ms: 0 });
            actor.remove_device(device, false).map(|_| ())
        });
        if let Some(Err(why)) = ended.await {
            tracing::warn!(%why, "a link code could not be ended");
        }
    }

    pub(super) async fn list_devices(&self) -> Result<Devices, ApiError> {
        self.write_vault().await;
        let machines = self.machines().await?;
        let own = self.endpoint.id();
        let mut devices: Vec<DeviceStatus> = machines
            .into_iter()
            .filter(|(_, machine)| !machine.gone)
            .map(|(key, machine)| DeviceStatus {
                name: machine.name,
                this: key == own,
                online: key == own || self.link(&key).is_some(),
                key: key.to_string(),
                folders: machine.devices.len().saturating_sub(1) as u64,
            })
            .collect();
        devices.sort_by(|a, b| b.this.cmp(&a.this).then(a.name.cmp(&b.name)));
        Ok(Devices { devices })
    }

    pub(super) async fn name_device(&self, typed: String, request: DeviceNameRequest) -> Result<Devices, ApiError> {
        let (key, mut machine) = self.find_device(&typed).await?;
        let name = request.name.trim().to_owned();
        if name.is_empty() || name.len() > cobox_proto::limits::LABEL_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(ApiError::new(
                ErrorCode::BadRequest,
                "a device's name has 1 to 128 bytes and no control characters",
            )
            .hint("choose another"));
        }
        machine.name = name;
        let vault = self.vault().ok_or_else(no_vault)?;
        vault.handle.ask(move |actor| actor.put_entry(&Machine::path(&key), &machine)).await.ok_or_else(stopped)?;
        self.list_devices().await
    }

    pub(super) async fn remove_device(&self, typed: String, request: RemoveRequest) -> Result<DeviceRemoved, ApiError> {
        let (key, machine) = self.find_device(&typed).await?;
        if key == self.endpoint.id() {
            return Err(ApiError::new(ErrorCode::Refused, "this is the device you are using")
                .hint("send it away from another one; to stop taking part here, `cobox leave` each folder"));
        }
        let mut running: Vec<Running> = self.running();
        running.sort_by_key(|running| running.config.sort == Sort::Vault);
        let mut folders = Vec::new();
        for running in running {
            let Some(device) = machine.devices.get(&running.config.id).and_then(|key| key.parse::<SigKey>().ok())
            else {
                continue;
            };
            let dry_run = request.dry_run;
            let gone = machine.clone();
            let removed = running.handle.ask(move |actor| {
                let removed = actor.remove_device(device, dry_run);
                if removed.is_ok() && !dry_run && actor.config.sort == Sort::Vault {
                    actor.put_entry(&Machine::path(&key), &Machine { gone: true, ..gone });
                }
                removed.map(|_| ())
            });
            match removed.await.ok_or_else(stopped)? {
                Ok(()) if running.config.sort == Sort::Folder => folders.push(running.config.name),
                Ok(()) | Err(cobox_core::members::RemovalError::NoTarget) => {}
                Err(why) => return Err(failed(format!("{}: {why}", running.config.name))),
            }
        }
        if !request.dry_run {
            let text = format!("the device {} was sent away", machine.name);
            self.events.publish(News::new(EventKind::FolderChanged, text));
        }
        let keeps = [
            "the files and the keys that are on it now",
            "your recovery words, if its disk can be read: see the threat model; to be safe against a clever thief, found new folders",
        ];
        let keeps = keeps.map(str::to_owned).to_vec();
        Ok(DeviceRemoved { dry_run: request.dry_run, name: machine.name, key: key.to_string(), folders, keeps })
    }

    async fn machines(&self) -> Result<BTreeMap<SigKey, Machine>, ApiError> {
        let vault = self.vault().ok_or_else(no_vault)?;
        let deadline = Instant::now() + LOOK_FOR_ENTRIES;
        // What other devices wrote may lie elsewhere still; without them it is as much as is here.
        while vault.handle.ask(|actor| actor.want_vault_blocks()).await.ok_or_else(stopped)?
            && Instant::now() < deadline
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        vault.handle.ask(|actor| actor.machines()).await.ok_or_else(stopped)
    }

    /// The device that a person means by a name or the beginning of a key.
    async fn find_device(&self, typed: &str) -> Result<(SigKey, Machine), ApiError> {
        self.write_vault().await;
        let mut machines = self.machines().await?;
        machines.retain(|_, machine| !machine.gone);
        let prefix = typed.to_ascii_lowercase();
        let named: BTreeSet<SigKey> =
            machines.iter().filter(|(_, machine)| machine.name == typed).map(|(key, _)| *key).collect();
        let found: Vec<SigKey> = if named.is_empty() && typed.len() >= KEY_CHARS_MIN {
            machines.keys().filter(|key| key.to_string().starts_with(&prefix)).copied().collect()
        } else {
            named.into_iter().collect()
        };
        match found[..] {
            [key] => Ok((key, machines.remove(&key).expect("it was just found"))),
            [] => Err(ApiError::new(ErrorCode::DeviceNotFound, format!("you have no device called \"{typed}\""))
                .hint("`cobox devices list` names them, with their keys")),
            _ => {
                Err(ApiError::new(ErrorCode::DeviceNotFound, format!("{} devices are called \"{typed}\"", found.len()))
                    .hint("give the beginning of the key instead: `cobox devices list` shows it"))
            }
        }
    }
}

fn no_vault() -> ApiError {
    ApiError::new(ErrorCode::Disk, "your vault, where it stands which devices are yours, could not be opened")
        .hint("its log says why; `cobox down`, then `cobox up`")
}
