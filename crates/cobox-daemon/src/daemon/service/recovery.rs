//! Back into one's own folders with twelve words and the address of a seeder.
//!
//! What must hold: nothing of this device changes before a seeder has shown that it knows the words; what came back says how old
//! it is and who vouches for it.

use std::collections::BTreeMap;
use std::time::Duration;

use cobox_core::keys::phrase::Words;
use cobox_core::keys::{DeviceSecret, FolderKeys, RootSecret};
use cobox_core::members::{Author, add_device, device_proof};
use cobox_net::{Opener, Pass};
use cobox_proto::hosting::Ticket;
use cobox_proto::id::{FolderId, SigKey};
use cobox_proto::limits::{FIND_PROOFS_MAX, MEMBER_SLOTS};
use cobox_proto::wire::proof::KeyKind;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::super::{Daemon, random};
use super::entering::{STEP_WAIT, TREE_WAIT, open};
use super::failed;
use crate::api::dto::{FolderName, FoundState, RecoverRequest, Recovered, Time};
use crate::api::{ApiError, ErrorCode};
use crate::folder::{FolderActor, FolderHandle};
use crate::guest::Entered;

/// How long is waited until each seeder has said what it has, once the newest state is here.
const HEADS_WAIT: Duration = Duration::from_secs(2);
/// A folder's heads know of a vault that the seeders did not show.
const OLD_VAULT: &str = "your vault came back older than your devices knew it: names or folders may be missing; recover again \
                         with the ticket of another seeder, if you have one";
/// No seeder had the vault.
const NO_VAULT: &str = "no seeder had your vault: your name and the names of your folders are to be given again";

/// A machine that was reached: a seeder's, or another device of the person.
pub(super) struct Reached {
    pub(super) ticket: Ticket,
    pub(super) link: Opener,
}

/// A folder that seeders know for one of the person's keys.
pub(super) struct Known {
    pub(super) slot: u16,
    pub(super) is_vault: bool,
    /// Which of the machines have it.
    pub(super) machines: Vec<usize>,
}

pub(super) type Found = BTreeMap<FolderId, Known>;

/// What this device needs to go on as a member: the log, the keys, its own seed.
type Returned = (Entered, FolderKeys, Zeroizing<[u8; 32]>);

impl Daemon {
    pub(super) async fn recover_person(&self, request: RecoverRequest) -> Result<Recovered, ApiError> {
        let words = Words::parse(&request.words.0).map_err(|why| {
            ApiError::new(ErrorCode::WordsWrong, why.to_string())
                .hint("compare them with your recovery kit, word by word")
        })?;
        if self.has_folders() {
            return Err(ApiError::new(
                ErrorCode::IdentityInUse,
                "this device has folders of its own already, or asks to join one",
            )
            .hint("recover into another home: `cobox --home DIR up`, then `cobox --home DIR recover`"));
        }
        let tickets: Vec<Ticket> =
            request.seeders.iter().map(|text| Ticket::from_text(text)).collect::<Result<_, _>>().map_err(|why| {
                ApiError::new(ErrorCode::CodeUnreadable, why.to_string()).hint("copy the seeder's ticket again")
            })?;
        if tickets.is_empty() {
            return Err(ApiError::new(ErrorCode::BadRequest, "where your copies lie is not said")
                .hint("give the ticket from your recovery kit with --seeder"));
        }
        let root = RootSecret::from_words(&words);
        let (found, machines) = self.find_folders(&root, &tickets).await?;
        if found.is_empty() {
            return Err(ApiError::new(
                ErrorCode::Refused,
                "no such vault here: these seeders know no folder of these words",
            )
            .hint("check the words, and that this is the seeder that kept your copies"));
        }
        self.bring_back(request.to, root, found, machines).await
    }

    /// Which folders the seeders know for the person's keys, and the machines that were reached.
    async fn find_folders(&self, root: &RootSecret, tickets: &[Ticket]) -> Result<(Found, Vec<Reached>), ApiError> {
        let slots: Vec<_> = (0..MEMBER_SLOTS as u16).map(|n| root.slot(n)).collect();
        let mut found = Found::new();
        let mut machines = Vec::new();
        for ticket in tickets {
            let Ok(link) = self.call_ticket(ticket).await else { continue };
            for some in slots.chunks(FIND_PROOFS_MAX) {
                for answer in link.find(some.iter().map(|slot| slot.sig.clone()).collect()).await {
                    let slot = slots.iter().find(|slot| slot.sig.public() == answer.key).map(|slot| slot.number());
                    if let Some(slot) = slot {
                        let known = found.entry(answer.folder).or_insert_with(|| Known {
                            slot,
                            is_vault: answer.vault,
                            machines: Vec::new(),
                        });
                        known.machines.push(machines.len());
                    }
                }
            }
            machines.push(Reached { ticket: ticket.clone(), link });
        }
        if machines.is_empty() {
            return Err(ApiError::new(ErrorCode::Unreachable, "none of the seeders could be reached")
                .hint(
                    "see that they run and that this computer is connected to them; if one has moved, ask its owner for its new \
                     ticket (`cobox-seeder status` there)",
                ));
        }
        Ok((found, machines))
    }

    /// Makes this device one of the person with this root secret, in all that was found.
    pub(super) async fn bring_back(
        &self,
        to: Option<String>,
        root: RootSecret,
        found: Found,
        machines: Vec<Reached>,
    ) -> Result<Recovered, ApiError> {
        // The identity that was made here has nothing yet; it gives way.
        if let Some(own) = self.vault() {
            self.forget_folder(&own.handle.id).await.map_err(failed)?;
        }
        {
            let mut identity = self.identity.write().expect("no thread panics while it holds this lock");
            identity.replace_root(&self.keystore, root).map_err(failed)?;
        }
        let place = self.default_place(to.as_deref());
        let mut in_order: Vec<_> = found.into_iter().collect();
        in_order.sort_by_key(|(_, known)| !known.is_vault);
        let mut vault: Option<FolderHandle> = None;
        let (mut folders, mut states, mut marks) = (Vec::new(), Vec::new(), Vec::new());
        let mut warnings = Vec::new();
        for (id, known) in in_order {
            let holders: Vec<&Reached> = known.machines.iter().map(|at| &machines[*at]).collect();
            let Some((by, (entered, keys, device_seed))) = self.return_by_any(&holders, id, known.slot).await else {
                warnings.push(format!("folder {} is known to a seeder, which did not let you in", id.short()));
                continue;
            };
            for (_, other) in holders.iter().enumerate().filter(|(at, _)| *at != by) {
                self.introduce(&other.link, id, known.slot, &entered).await;
            }
            let told = match &vault {
                Some(vault) => self.vault_folder(vault, id.to_string()).await,
                None => None,
            };
            let name = told.as_ref().map_or_else(|| format!("folder {}", id.short()), |told| told.name.clone());
            let name = if known.is_vault { "vault".into() } else { self.free_name(&name) };
            let root = if known.is_vault { None } else { Some(self.make_root(&place, &name)?) };
            let seeders = told.map(|told| told.seeders).unwrap_or_default();
            let contacts = machines.iter().map(|machine| machine.ticket.to_text()).collect();
            let handle = self.settle_in(
                id,
                entered,
                keys,
                device_seed,
                known.slot,
                name.clone(),
                root.clone(),
                seeders,
                contacts,
            )?;
            for machine in &machines {
                // The vault may know an older place than the tickets given now.
                let (at, ticket) = (machine.ticket.endpoint, machine.ticket.to_text());
                handle.ask(move |actor| actor.seeder_moved(at, &ticket)).await;
            }
            for holder in &holders {
                let pass = handle.ask(|actor| actor.pass()).await.ok_or_else(super::stopped)?;
                holder.link.open_and_wait(id, pass).await;
            }
            self.wait_for_tree(&handle, Instant::now() + TREE_WAIT).await;
            if known.is_vault {
                self.read_vault(&handle).await;
                vault = Some(handle);
                continue;
            }
            states.extend(self.states_of(&handle, &name, &holders).await);
            marks.extend(handle.ask(|actor| actor.vault_marks()).await.unwrap_or_default());
            folders.push(FolderName {
                id: id.to_string(),
                name,
                path: root.map(|p| p.display().to_string()).unwrap_or_default(),
            });
        }
        match &vault {
            Some(vault) => {
                let unknown =
                    vault.ask(move |actor| marks.iter().any(|mark| !actor.replica.heads().knows(&mark.head))).await;
                if unknown == Some(true) {
                    warnings.push(OLD_VAULT.into());
                }
            }
            None => {
                warnings.push(NO_VAULT.into());
                self.found_vault().map_err(failed)?;
            }
        }
        self.write_vault().await;
        let identity = self.identity();
        let (name, cobox_key) = (identity.name.clone(), identity.cobox_key());
        Ok(Recovered { name, cobox_key, folders, found: states, warnings })
    }

    /// Comes back by the first of these that lets us in: which, and with what.
    async fn return_by_any(&self, holders: &[&Reached], id: FolderId, slot: u16) -> Option<(usize, Returned)> {
        for (at, holder) in holders.iter().enumerate() {
            if let Some(returned) = self.return_to(&holder.link, id, slot, Instant::now() + STEP_WAIT).await {
                return Some((at, returned));
            }
        }
        None
    }

    /// Tells another seeder of this device, which it would not let in otherwise: nobody else may be left to tell it.
    async fn introduce(&self, link: &Opener, id: FolderId, slot: u16, entered: &Entered) {
        let pass = Pass { kind: KeyKind::Member, key: self.identity().slot(slot).sig.clone(), introduction: vec![] };
        let Some(mut guest) = self.knock(link, id, pass, KeyKind::Member).await else { return };
        let arrived = guest.until(Instant::now() + STEP_WAIT, |guest| guest.replica().map(|_| ())).await;
        self.forget_guest(&id);
        if arrived.is_some() {
            guest.hand_in(entered.ops.clone(), entered.envelopes.clone());
        }
        guest.leave();
    }

    /// Comes back into a folder with the person's own slot key: certifies this device, without asking anybody.
    async fn return_to(&self, link: &Opener, id: FolderId, slot: u16, deadline: Instant) -> Option<Returned> {
        let slot = self.identity().slot(slot);
        let pass = Pass { kind: KeyKind::Member, key: slot.sig.clone(), introduction: vec![] };
        let mut guest = self.knock(link, id, pass, KeyKind::Member).await?;
        let keys = guest.until(deadline, |guest| open(guest, &[&slot.hpke])).await;
        self.forget_guest(&id);
        let keys = keys?;
        let device_seed = Zeroizing::new(random::<32>());
        let device = DeviceSecret::from_seed(&device_seed);
        let membership = guest.replica()?.membership();
        let member = membership.roster().member_by_key(&slot.sig.public())?.grant;
        let author = Author { grant: member, key: &slot.sig };
        let op = add_device(membership.log(), author, device.public(), device_proof(&device, &id, &member)).ok()?;
        guest.hand_in(vec![op], Vec::new());
        guest.give_missing_grants(Author { grant: member, key: &device.sig }, &keys, &random());
        guest.leave().map(|entered| (entered, keys, device_seed))
    }

    /// Takes the person's name from the vault, once its files are here.
    async fn read_vault(&self, vault: &FolderHandle) {
        let deadline = Instant::now() + TREE_WAIT;
        while Instant::now() < deadline {
            if let Some(me) = self.vault_me(vault).await {
                let identity = {
                    let mut identity = self.identity.write().expect("no thread panics while it holds this lock");
                    identity.name = me.name;
                    identity.clone()
                };
                if let Err(why) = identity.keep_name(&self.home) {
                    tracing::warn!(%why, "the name could not be kept");
                }
                return;
            }
            vault.ask(|actor| actor.want_vault_blocks()).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tracing::warn!("the vault's entries did not come; folders keep their ids as names");
    }

    /// What each seeder came with, once all have spoken: its newest state, who wrote that, who else has it.
    async fn states_of(&self, folder: &FolderHandle, name: &str, holders: &[&Reached]) -> Vec<FoundState> {
        let machines: Vec<SigKey> = holders.iter().map(|holder| SigKey(holder.ticket.endpoint.0)).collect();
        let deadline = Instant::now() + HEADS_WAIT;
        loop {
            let (asked, name) = (machines.clone(), name.to_owned());
            let Some(states) = folder.ask(move |actor| shown_states(actor, &name, &asked)).await else {
                return Vec::new();
            };
            if states.iter().all(|state| state.head_at.is_some()) || Instant::now() >= deadline {
                return states;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What the seeders on these machines came with.
fn shown_states(actor: &FolderActor, folder: &str, machines: &[SigKey]) -> Vec<FoundState> {
    let heads = actor.replica.heads();
    let newest = |machine: &SigKey| {
        let named = actor.seeder_came_with(machine)?.iter().filter_map(|head| heads.get(head));
        named.max_by_key(|head| head.head().claimed_time_ms)
    };
    let found: Vec<_> = machines.iter().map(newest).collect();
    let state = |at: usize| {
        let seeder = machines[at].short();
        let Some(head) = found[at] else {
            return FoundState {
                folder: folder.to_owned(),
                seeder,
                head_at: None,
                signed_by: String::new(),
                vouched_by: 0,
                taken: false,
            };
        };
        let others = || found.iter().enumerate().filter(|(other, _)| *other != at).filter_map(|(_, head)| *head);
        let vouched = others().filter(|other| heads.is_past_or_same(&head.id(), &other.id())).count();
        let older = others().any(|other| other.id() != head.id() && heads.is_past_or_same(&head.id(), &other.id()));
        let device = head.head().device;
        let member = actor.replica.membership().roster().device(&device).map(|(_, member)| member.grant);
        FoundState {
            folder: folder.to_owned(),
            seeder,
            head_at: Some(Time::from_ms(head.head().claimed_time_ms as i64)),
            signed_by: member.and_then(|grant| actor.member_name(&grant)).unwrap_or_else(|| device.short()),
            vouched_by: vouched as u32,
            taken: !older,
        }
    };
    (0..machines.len()).map(state).collect()
}
