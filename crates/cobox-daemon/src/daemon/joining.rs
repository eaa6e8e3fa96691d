//! Joins of this device that wait until an owner or admin approves them (M6). Each is kept, so that a restart goes on asking; a task asks
//! at the places the code names until somebody is let in, refused, or the invite's time is over.
//!
//! What must hold: who waits has no keys and gets none before somebody approved; nothing of a folder is made on the disk before that;
//! a join is asked with the same keys however often, since its six words stand for them. A door that stays closed means nothing: refused
//! is only what the log says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, RwLock, Weak};
use std::time::Duration;

use cobox_core::keys::{DeviceSecret, FolderKeys};
use cobox_core::members::{InviteCode, InviteText, join_words};
use cobox_net::{FolderEvent, Opener, Pass};
use cobox_proto::codec::Canonical;
use cobox_proto::hosting::Ticket;
use cobox_proto::id::FolderId;
use cobox_proto::limits::MEMBER_SLOTS;
use cobox_proto::members::{Log, OpBody, Role, SignedOp};
use cobox_proto::replicate::tells_refusal;
use cobox_proto::wire::proof::KeyKind;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;
use zeroize::{Zeroize, Zeroizing};

use super::service::entering::{Entering, STEP_WAIT, open, opens};
use super::{Daemon, now_ms};
use crate::api::dto::{JoiningState, JoiningStatus, Time};
use crate::api::{ApiError, ErrorCode, EventKind, News};
use crate::folder::Records;
use crate::guest::{Entered, Guest};
use crate::keystore::KeystoreError;

/// Under this name, with the folder's id, the keystore keeps a join that waits.
const KEPT: &str = "joining-";
/// As long as somebody is connected, it is asked there for so long; then at the next place.
const SESSION: Duration = Duration::from_secs(60);
/// Between two rounds, growing from this ...
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// ... to this.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// What follows a refusal at the door comes within this.
const TOLD_WAIT: Duration = Duration::from_millis(500);
/// So long after its time an invite is given up: clocks differ.
const EXPIRED_STAYS_MS: u64 = 10 * 60 * 1000;

/// A join as it is kept: a secret, since it holds the code and the device's seed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    code: String,
    device_seed: String,
    slot: u16,
    path: Option<PathBuf>,
    /// The `Join`, hex.
    join: String,
    role: u8,
    expires_ms: u64,
    asked_ms: u64,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.code.zeroize();
        self.device_seed.zeroize();
    }
}

/// A join that was asked.
pub(super) struct Asked {
    pub(super) code: InviteCode,
    pub(super) device_seed: Zeroizing<[u8; 32]>,
    pub(super) slot: u16,
    pub(super) path: Option<PathBuf>,
    pub(super) join: SignedOp,
    pub(super) role: Role,
    pub(super) expires_ms: u64,
    pub(super) asked_ms: u64,
}

impl Asked {
    fn device(&self) -> DeviceSecret {
        DeviceSecret::from_seed(&self.device_seed)
    }

    fn kept(&self) -> Zeroizing<Vec<u8>> {
        let hex = data_encoding::HEXLOWER;
        let kept = Kept {
            code: self.code.to_text().to_string(),
            device_seed: hex.encode(self.device_seed.as_slice()),
            slot: self.slot,
            path: self.path.clone(),
            join: hex.encode(self.join.bytes()),
            role: self.role.to_bytes()[0],
            expires_ms: self.expires_ms,
            asked_ms: self.asked_ms,
        };
        Zeroizing::new(serde_json::to_vec(&kept).expect("plain values are always JSON"))
    }

    fn from_kept(bytes: &[u8]) -> Option<Self> {
        let hex = data_encoding::HEXLOWER;
        let kept: Kept = serde_json::from_slice(bytes).ok()?;
        let Ok(InviteText::Code(code)) = kept.code.parse() else { return None };
        let mut device_seed = Zeroizing::new([0; 32]);
        let seed = Zeroizing::new(hex.decode(kept.device_seed.as_bytes()).ok()?);
        device_seed.copy_from_slice(seed.get(..32)?);
        if usize::from(kept.slot) >= MEMBER_SLOTS {
            return None;
        }
        Some(Self {
            code,
            device_seed,
            slot: kept.slot,
            path: kept.path.clone(),
            join: SignedOp::from_bytes(&hex.decode(kept.join.as_bytes()).ok()?).ok()?,
            role: Role::from_bytes(&[kept.role]).ok()?,
            expires_ms: kept.expires_ms,
            asked_ms: kept.asked_ms,
        })
    }
}

/// One of them, with how it stands.
struct Entry {
    asked: Arc<Asked>,
    state: JoiningState,
    /// It was withdrawn.
    over: Arc<Notify>,
}

/// All joins of this device that wait, or were refused since the start.
#[derive(Default)]
pub(super) struct Joinings(RwLock<BTreeMap<FolderId, Entry>>);

/// What came of asking once.
enum Answer {
    LetIn(Box<Entered>, FolderKeys, Opener),
    Refused,
    Nothing,
}

impl Joinings {
    fn get(&self, folder: &FolderId) -> Option<(Arc<Asked>, JoiningState, Arc<Notify>)> {
        let all = self.0.read().expect("no thread panics while it holds this lock");
        all.get(folder).map(|entry| (entry.asked.clone(), entry.state, entry.over.clone()))
    }

    fn put(&self, asked: Arc<Asked>) {
        let entry = Entry { state: JoiningState::Waiting, over: Arc::default(), asked };
        let folder = entry.asked.code.folder;
        self.0.write().expect("no thread panics while it holds this lock").insert(folder, entry);
    }

    fn end(&self, folder: &FolderId, state: JoiningState) {
        if let Some(entry) = self.0.write().expect("no thread panics while it holds this lock").get_mut(folder) {
            entry.state = state;
        }
    }

    fn remove(&self, folder: &FolderId) {
        let entry = self.0.write().expect("no thread panics while it holds this lock").remove(folder);
        if let Some(entry) = entry {
            entry.over.notify_one();
        }
    }

    /// The slots of the joins that wait.
    pub(super) fn slots(&self) -> Vec<u16> {
        self.0.read().expect("no thread panics while it holds this lock").values().map(|e| e.asked.slot).collect()
    }

    /// Whether something is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        let all = self.0.read().expect("no thread panics while it holds this lock");
        all.values().any(|entry| entry.state == JoiningState::Waiting)
    }

    fn all(&self) -> Vec<JoiningStatus> {
        let all = self.0.read().expect("no thread panics while it holds this lock");
        let mut shown: Vec<JoiningStatus> = all.values().map(|entry| shown(&entry.asked, entry.state)).collect();
        shown.sort_by_key(|join| join.asked_at);
        shown
    }
}

fn shown(asked: &Asked, state: JoiningState) -> JoiningStatus {
    let time = |ms: u64| Time::from_ms(i64::try_from(ms).unwrap_or(i64::MAX));
    let folder = asked.code.folder;
    let called = asked.path.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    JoiningStatus {
        folder: folder.to_string(),
        name: called.unwrap_or_else(|| format!("folder {}", folder.short())),
        path: asked.path.as_ref().map(|path| path.display().to_string()),
        role: super::service::status::role(asked.role),
        words: join_words(&folder, asked.join.op()).unwrap_or_default(),
        state,
        asked_at: time(asked.asked_ms),
        expires_at: time(asked.expires_ms),
    }
}

impl Daemon {
    /// Goes on with what was asked before the start. What can not be read is left where it is, and nobody is let in by it.
    pub(super) fn open_joinings(&self) -> Result<(), KeystoreError> {
        for name in self.keystore.list()? {
            let Some(folder) = name.strip_prefix(KEPT).and_then(|id| id.parse::<FolderId>().ok()) else { continue };
            if self.running_folder(&folder).is_some() || self.unopened_folder(&folder) {
                // The stop came between entering and forgetting that it was asked.
                self.keystore.remove(&name)?;
                continue;
            }
            match self.keystore.get(&name)?.and_then(|bytes| Asked::from_kept(&bytes)) {
                Some(asked) => {
                    self.joinings.put(Arc::new(asked));
                    self.runtime.spawn(keep_asking(self.me.clone(), folder));
                }
                None => {
                    tracing::warn!(folder = %folder.short(), "a join that waited can not be read; join again with the code")
                }
            }
        }
        Ok(())
    }

    /// Keeps a join and its folder's log, before anybody hears of it.
    pub(super) fn keep_joining(&self, asked: &Asked, entered: &Entered) -> Result<(), ApiError> {
        let disk =
            |why: String| ApiError::new(ErrorCode::Disk, why).hint("see that the disk has room and can be written");
        let folder = asked.code.folder;
        let records = Records::new(self.store.clone(), folder);
        records.found(&entered.genesis, &entered.ops, &[]).map_err(|why| disk(why.to_string()))?;
        self.keystore.put(&kept_name(&folder), &asked.kept()).map_err(|why| disk(why.to_string()))
    }

    /// Asks from now on.
    pub(super) fn begin_asking(&self, asked: Asked) -> JoiningStatus {
        let folder = asked.code.folder;
        let shown = shown(&asked, JoiningState::Waiting);
        self.joinings.put(Arc::new(asked));
        self.runtime.spawn(keep_asking(self.me.clone(), folder));
        shown
    }

    /// Whether, and how, it is asked already by this code.
    pub(super) fn asks_by(&self, code: &InviteCode) -> Option<JoiningStatus> {
        let (asked, state, _) = self.joinings.get(&code.folder)?;
        (state == JoiningState::Waiting && asked.code.invite == code.invite).then(|| shown(&asked, state))
    }

    /// Where this device asks to be let in.
    pub(super) fn list_joining(&self) -> Vec<JoiningStatus> {
        self.joinings.all()
    }

    /// Stops asking, or forgets that it was refused. `typed` is an id or its beginning, or what the list calls it.
    pub(super) fn withdraw_join(&self, typed: &str) -> Result<JoiningStatus, ApiError> {
        let wanted = typed.to_ascii_lowercase();
        let is_meant =
            |join: &JoiningStatus| join.name == typed || (wanted.len() >= 6 && join.folder.starts_with(&wanted));
        let found: Vec<JoiningStatus> = self.joinings.all().into_iter().filter(is_meant).collect();
        let [join] = &found[..] else {
            return Err(ApiError::new(
                ErrorCode::JoinNotFound,
                format!("this device does not ask to join \"{typed}\""),
            )
            .hint("`cobox joins mine` names where it asks"));
        };
        let folder: FolderId = join.folder.parse().map_err(super::service::failed)?;
        self.forget_joining(&folder).map_err(super::service::failed)?;
        Ok(join.clone())
    }

    /// Gives a join up for good, if there is one: its slot is spent, its secrets and what was learnt go.
    pub(super) fn forget_joining(&self, folder: &FolderId) -> Result<(), super::StartError> {
        let Some((asked, _, _)) = self.joinings.get(folder) else { return Ok(()) };
        self.spend(&asked)?;
        self.joinings.remove(folder);
        Ok(())
    }

    fn spend(&self, asked: &Asked) -> Result<(), super::StartError> {
        let folder = &asked.code.folder;
        self.note_slot(asked.slot)?;
        self.keystore.remove(&kept_name(folder))?;
        if self.running_folder(folder).is_none() {
            Records::new(self.store.clone(), *folder).delete()?;
        }
        Ok(())
    }

    async fn ask_everywhere(&self, asked: &Asked) -> Answer {
        for ticket in asked.code.tickets.iter().filter_map(|bytes| Ticket::from_bytes(bytes).ok()) {
            let Ok(link) = self.call_ticket(&ticket).await else { continue };
            match self.ask_at(asked, link).await {
                Answer::Nothing => {}
                answer => return answer,
            }
        }
        Answer::Nothing
    }

    /// Asks at one place for as long as it is connected.
    async fn ask_at(&self, asked: &Asked, link: Opener) -> Answer {
        let (folder, device) = (asked.code.folder, asked.device());
        let me = device.public().sig;
        let pass = Pass { kind: KeyKind::Invite, key: asked.code.secret().sig.clone(), introduction: vec![] };
        let mut introduction = Vec::new();
        if let Some(mut guest) = self.knock(&link, folder, pass, KeyKind::Invite).await {
            let arrived = guest.until(Instant::now() + STEP_WAIT, |guest| guest.replica().map(|_| ())).await;
            if arrived.is_some() {
                guest.hand_in(vec![asked.join.clone()], Vec::new());
            }
            let decided = guest.until(Instant::now() + SESSION, |guest| decided(guest, asked)).await;
            self.forget_guest(&folder);
            if let Some(replica) = guest.replica() {
                introduction = replica.introduction(&me);
                let log = replica.membership().log();
                if let Err(why) = Records::new(self.store.clone(), folder).put_ops(log.ops()) {
                    tracing::warn!(%why, "what was learnt of a folder could not be kept");
                }
            }
            guest.leave();
            if decided == Some(false) {
                return Answer::Refused;
            }
        }
        // The invite's door may be closed because this very join stands: then the device's is open.
        let pass = Pass { kind: KeyKind::Device, key: device.sig.clone(), introduction };
        let mut guest = self.seat_guest(folder, KeyKind::Device);
        let answer = match opens(&link, folder, pass).await {
            true => {
                let slot = self.identity().slot(asked.slot);
                let secrets = [&device.hpke, &slot.hpke];
                let keys = guest.until(Instant::now() + SESSION, |guest| open(guest, &secrets)).await;
                match (keys, guest.leave()) {
                    (Some(keys), Some(entered)) => Answer::LetIn(Box::new(entered), keys, link),
                    _ => Answer::Nothing,
                }
            }
            false => match self.was_refused(asked, guest.told(TOLD_WAIT).await) {
                true => Answer::Refused,
                false => Answer::Nothing,
            },
        };
        self.forget_guest(&folder);
        answer
    }

    /// Whether what was told at a closed door says that nobody will be let in by this join.
    fn was_refused(&self, asked: &Asked, told: Option<FolderEvent>) -> bool {
        let Some(FolderEvent::Removed { told }) = told else { return false };
        let known = Records::new(self.store.clone(), asked.code.folder).replica();
        let Ok(Some(replica)) = known else { return false };
        let log: &Log = replica.membership().log();
        tells_refusal(log, &asked.join, &told.ops)
    }
}

/// Whether the log says that the join stands, or that it never will; `None` while nobody has decided.
fn decided(guest: &Guest, asked: &Asked) -> Option<bool> {
    let roster = guest.replica()?.membership().roster();
    if roster.accepted(&asked.join.id()) {
        return Some(true);
    }
    let OpBody::Join { invite, .. } = &asked.join.op().body else { return None };
    roster.invite(invite).is_some_and(|invite| !invite.open).then_some(false)
}

fn kept_name(folder: &FolderId) -> String {
    format!("{KEPT}{folder}")
}

/// Asks until it is decided, withdrawn, or the daemon is gone.
async fn keep_asking(daemon: Weak<Daemon>, folder: FolderId) {
    let mut pause = PAUSE_MIN;
    loop {
        let begun = Instant::now();
        let Some(daemon) = daemon.upgrade() else { return };
        let Some((asked, JoiningState::Waiting, over)) = daemon.joinings.get(&folder) else { return };
        let answer = tokio::select! {
            answer = daemon.ask_everywhere(&asked) => answer,
            () = over.notified() => {
                daemon.forget_guest(&folder);
                return;
            }
        };
        match answer {
            Answer::LetIn(entered, keys, link) => match daemon.come_in(&asked, *entered, keys, link).await {
                Ok(()) => return,
                Err(why) => daemon.tell_joining(EventKind::Problem, &asked, why.message),
            },
            Answer::Refused => return daemon.end_asking(&asked, JoiningState::Refused),
            Answer::Nothing if now_ms() > asked.expires_ms.saturating_add(EXPIRED_STAYS_MS) => {
                return daemon.end_asking(&asked, JoiningState::Expired);
            }
            Answer::Nothing => {}
        }
        drop(daemon);
        // Somebody was there for a while: what was decided in between is not to wait.
        if begun.elapsed() >= SESSION / 2 {
            pause = PAUSE_MIN;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            () = over.notified() => return,
        }
    }
}

impl Daemon {
    /// It was approved: the folder becomes this device's.
    async fn come_in(&self, asked: &Asked, entered: Entered, keys: FolderKeys, link: Opener) -> Result<(), ApiError> {
        let deadline = Instant::now() + STEP_WAIT;
        let entering = Entering { code: &asked.code, typed: asked.path.as_deref(), slot: asked.slot, link, deadline };
        self.enter(entering, entered, keys, asked.device_seed.clone()).await?;
        let folder = asked.code.folder;
        self.keystore.remove(&kept_name(&folder)).map_err(super::service::failed)?;
        self.joinings.remove(&folder);
        Ok(())
    }

    fn end_asking(&self, asked: &Asked, state: JoiningState) {
        let folder = asked.code.folder;
        if let Err(why) = self.spend(asked) {
            tracing::warn!(%why, "a join that is over could not be forgotten");
        }
        self.joinings.end(&folder, state);
        let text = match state {
            JoiningState::Expired => "nobody let you in before the invite's time was over; ask for a new one",
            _ => "you were not let in: the invite was refused, cancelled, or used by somebody else",
        };
        self.tell_joining(EventKind::JoinRefused, asked, text.into());
    }

    fn tell_joining(&self, kind: EventKind, asked: &Asked, text: String) {
        let name = shown(asked, JoiningState::Waiting).name;
        self.events.publish(News::new(kind, format!("{name}: {text}")).folder(asked.code.folder.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cobox_core::keys::{Profile, RootSecret};
    use cobox_core::members::{Author, Founding, FoundingRandom, InviteRandom, Terms, found, invite, join_waiting};
    use cobox_proto::members::{FolderKind, Policy, resolve};

    #[test]
    fn m6_a_join_that_waits_is_the_same_after_a_restart() {
        let root = RootSecret::from_entropy([1; 16]);
        let (slot, device) = (root.slot(1), DeviceSecret::from_seed(&[1; 32]));
        let founding = Founding {
            kind: FolderKind::Folder,
            slot: &slot,
            device: &device,
            profile: Profile::Cdc,
            high_privacy: false,
            policy: Policy::default(),
        };
        let random = FoundingRandom { nonce: [1; 32], shape: [2; 32], epoch: [3; 64] };
        let mut founded = found(founding, &random).unwrap();
        let author = Author { grant: founded.log.genesis().op_id(), key: &device.sig };
        let terms = Terms { role: Role::Admin, max_uses: 1, expires_ms: 7, grant: false };
        let random = InviteRandom { seed: [4; 16], encapsulation: [5; 32] };
        let roster = resolve(&founded.log);
        let made = invite(&founded.log, &roster, &founded.keys, author, terms, vec![vec![1]], &random).unwrap();
        for op in made.ops {
            founded.log.add(op).unwrap();
        }
        let joiner = DeviceSecret::from_seed(&[9; 32]);
        let join = join_waiting(&founded.log, &made.code, &root.slot(2), &joiner, "Ben").unwrap();
        let asked = Asked {
            code: made.code,
            device_seed: Zeroizing::new([9; 32]),
            slot: 2,
            path: Some("/home/ben/Choir".into()),
            join,
            role: Role::Admin,
            expires_ms: 7,
            asked_ms: 5,
        };
        let again = Asked::from_kept(&asked.kept()).unwrap();
        let (before, after) = (shown(&asked, JoiningState::Waiting), shown(&again, JoiningState::Waiting));
        assert_eq!(before, after);
        assert_eq!((after.name.as_str(), after.words.split(' ').count()), ("Choir", 6));
        assert_eq!(again.device().public().sig, joiner.public().sig);
        assert!(again.code == asked.code && again.join == asked.join && again.slot == 2);
        assert!(Asked::from_kept(b"{}").is_none() && Asked::from_kept(&asked.kept()[1..]).is_none());
    }
}
