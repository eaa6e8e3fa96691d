//! Removing something from history, for owners who ask; and what of that is under way, for everybody.

use std::collections::BTreeSet;

use cobox_core::history::{ForgetError, Forgettable, forgettable};
use cobox_proto::hosting::{LARGE_BLOCKS, LARGE_TRASH_MS, TRASH_MS, forget_after_ms, gone_by_ms};
use cobox_proto::id::{HeadTag, SigKey};
use cobox_proto::limits::FORGET_PATH_BYTES_MAX;
use cobox_proto::members::Role;
use cobox_proto::wire::proof::KeyKind;

use super::super::{Daemon, Running, now_ms};
use super::history::{folder_path, on_a_thread};
use super::{failed, stopped};
use crate::api::dto::{CopyHolder, ForgetRequest, ForgetStatus, Forgets, Forgotten, RemainingCopy, Time};
use crate::api::{ApiError, ErrorCode};
use crate::folder::{FolderActor, NotSaid, Wish};

/// How many of the names concerned are told.
const EXAMPLES_MAX: usize = 10;
/// Characters of the id by which a wish is named.
const ID_CHARS: usize = 12;

impl Daemon {
    pub(super) async fn list_forgets(&self, folder: String) -> Result<Forgets, ApiError> {
        let running = self.find(&folder)?;
        let forgets = running.handle.ask(|actor| actor.wishes().iter().map(|wish| shown(actor, wish)).collect());
        Ok(Forgets { forgets: forgets.await.ok_or_else(stopped)? })
    }

    pub(super) async fn forget_path(&self, folder: String, request: ForgetRequest) -> Result<Forgotten, ApiError> {
        let running = self.find(&folder)?;
        let path = folder_path(&request.path)?;
        if path.is_root() {
            return Err(ApiError::new(ErrorCode::BadRequest, "a whole folder is not forgotten piece by piece")
                .hint("name a file or directory; `cobox leave` and `cobox backup remove` end a folder"));
        }
        if path.as_str().len() > FORGET_PATH_BYTES_MAX && !request.unnamed {
            return Err(ApiError::new(
                ErrorCode::BadRequest,
                format!("the path has more than {FORGET_PATH_BYTES_MAX} bytes, for which the log has no room"),
            )
            .hint("leave it unsaid with --unnamed"));
        }
        may_decide(&running).await?;
        self.look_first(&running).await;
        let mut look_back = self.look_back(&running).await?;
        let asked = path.clone();
        let found = on_a_thread(move || {
            let chronicle = look_back.chronicle().map_err(failed)?;
            let (mut past, keys) = (look_back.past(), look_back.keys.clone());
            forgettable(&chronicle, &asked, &mut past, &mut look_back.reach, &keys).map_err(refused)
        })
        .await?;
        let said = running.handle.ask(move |actor| say(actor, &found, &path.to_string(), &request));
        said.await.ok_or_else(stopped)?
    }

    pub(super) async fn take_back_forget(&self, folder: String, typed: String) -> Result<ForgetStatus, ApiError> {
        let running = self.find(&folder)?;
        may_decide(&running).await?;
        running.handle.ask(move |actor| take_back(actor, &typed)).await.ok_or_else(stopped)?
    }
}

async fn may_decide(running: &Running) -> Result<(), ApiError> {
    let role = running.handle.ask(|actor| actor.role()).await.ok_or_else(stopped)?;
    if role == Some(Role::Owner) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::RoleForbids, "only an owner of the folder may remove something from its history")
        .hint("ask one of them: `cobox members list`"))
}

fn refused(why: ForgetError) -> ApiError {
    let text = why.to_string();
    match why {
        ForgetError::StillThere(_) => ApiError::new(ErrorCode::StillInFolder, text)
            .hint("delete it first, on any device; what is in the folder stays in the folder"),
        ForgetError::LivesOn(..) => ApiError::new(ErrorCode::StillInFolder, text)
            .hint("delete what is to be forgotten, and name it as it was called last"),
        ForgetError::Unknown(_) => ApiError::new(ErrorCode::NotInHistory, text)
            .hint("`cobox history FOLDER` shows what there was; seeders that are connected keep more"),
        ForgetError::Past(why) => failed(why),
    }
}

/// Says to all what is to be forgotten, unless that was only asked for or stands already.
fn say(
    actor: &mut FolderActor,
    found: &Forgettable,
    path: &str,
    request: &ForgetRequest,
) -> Result<Forgotten, ApiError> {
    if found.blocks.is_empty() {
        let (what, hint) = match found.inline_versions == found.versions {
            true => (
                "it never had more than 512 bytes: such contents lie in the records of the folder's states",
                "they go when the last state that has them is kept no more; `cobox backup list` and docs/time.md say more",
            ),
            false => (
                "all that it had is in other files too, and stays with them",
                "forget those as well, or let history grow old",
            ),
        };
        return Err(ApiError::new(ErrorCode::NothingToForget, what).hint(hint));
    }
    let wishes = actor.wishes();
    let is_said = |state: &HeadTag| {
        let all = wishes.iter().filter(|wish| wish.states.contains(state));
        let said: BTreeSet<_> = all.flat_map(|wish| &wish.blocks).collect();
        found.blocks.iter().all(|cid| said.contains(cid))
    };
    let states: BTreeSet<HeadTag> =
        found.states.iter().map(|head| head.tag()).filter(|state| !is_said(state)).collect();
    let mut forgotten = described(actor, found, path);
    forgotten.already = states.is_empty();
    if request.dry_run || states.is_empty() {
        return Ok(forgotten);
    }
    let named = (!request.unnamed).then(|| path.to_owned());
    let id = actor.forget(&states, &found.blocks, named).map_err(not_said)?;
    Ok(Forgotten { dry_run: false, id: Some(id.to_string()[..ID_CHARS].to_owned()), ..forgotten })
}

fn not_said(why: NotSaid) -> ApiError {
    let text = why.to_string();
    match why {
        NotSaid::TooMuch => ApiError::new(ErrorCode::Refused, text)
            .hint("forget parts of it, one after the other, beginning with what matters most"),
        NotSaid::Refused(_) => {
            ApiError::new(ErrorCode::Refused, text).hint("`cobox forget FOLDER` shows what is to be forgotten already")
        }
        NotSaid::Failed(_) => ApiError::new(ErrorCode::Failed, text).hint("`cobox status` says what is the matter"),
    }
}

fn described(actor: &FolderActor, found: &Forgettable, path: &str) -> Forgotten {
    let roster = actor.replica.membership().roster();
    let counts_at_ms = now_ms().saturating_add(forget_after_ms(&roster.policy()));
    let terms = roster.seeders().iter().filter_map(|seeder| Some(gone_by_ms(&seeder.retention, found.latest_ms?)));
    let examples = |paths: &BTreeSet<_>| paths.iter().take(EXAMPLES_MAX).map(ToString::to_string).collect();
    Forgotten {
        dry_run: true,
        id: None,
        path: path.to_owned(),
        already: false,
        versions: found.versions,
        bytes: found.bytes,
        blocks: found.blocks.len() as u64,
        states: found.states.len() as u64,
        small_versions: found.inline_versions,
        shared_versions: found.shared_versions,
        records_until: terms.max().map(time),
        names: examples(&found.names),
        names_count: found.names.len() as u64,
        elsewhere: examples(&found.elsewhere),
        states_not_seen: found.states_not_seen,
        counts_at: time(counts_at_ms),
        copies: copies(actor, counts_at_ms, found.blocks.len()),
    }
}

/// Where so many blocks remain until when, if they count then.
fn copies(actor: &FolderActor, counts_at_ms: u64, blocks: usize) -> Vec<RemainingCopy> {
    let trash_ms = if blocks > LARGE_BLOCKS { LARGE_TRASH_MS } else { TRASH_MS };
    let seeders: BTreeSet<_> = actor.replica.membership().roster().seeders().iter().map(|seeder| seeder.key).collect();
    let at_seeder = |key: SigKey| {
        let online = actor.peers.values().any(|row| row.who.kind == KeyKind::Seeder && row.who.key == key);
        let until = online.then(|| time(counts_at_ms.saturating_add(trash_ms)));
        RemainingCopy { holder: CopyHolder::Seeder, seeder: Some(key.short()), online, until }
    };
    let devices =
        RemainingCopy { holder: CopyHolder::Devices, seeder: None, online: true, until: Some(time(counts_at_ms)) };
    seeders.into_iter().map(at_seeder).chain([devices]).collect()
}

fn shown(actor: &FolderActor, wish: &Wish) -> ForgetStatus {
    ForgetStatus {
        id: wish.ops[0].to_string()[..ID_CHARS].to_owned(),
        path: wish.path.clone(),
        by: actor.member_name(&wish.by),
        at: time(wish.at_ms),
        blocks: wish.blocks.len() as u64,
        states: wish.states.len() as u64,
        counts_at: time(wish.counts_at_ms),
        counts: wish.counts_at_ms <= now_ms(),
        copies: copies(actor, wish.counts_at_ms, wish.blocks.len()),
    }
}

fn take_back(actor: &mut FolderActor, typed: &str) -> Result<ForgetStatus, ApiError> {
    let wanted = typed.to_ascii_lowercase();
    let is_meant = |wish: &Wish| !wanted.is_empty() && wish.ops[0].to_string().starts_with(&wanted);
    let mut found: Vec<Wish> = actor.wishes().into_iter().filter(is_meant).collect();
    let (Some(wish), true) = (found.pop(), found.is_empty()) else {
        return Err(ApiError::new(
            ErrorCode::ForgetNotFound,
            format!("\"{typed}\" names nothing that is to be forgotten"),
        )
        .hint("`cobox forget FOLDER` shows what is, with the ids"));
    };
    let status = shown(actor, &wish);
    if status.counts {
        return Err(ApiError::new(ErrorCode::Refused, "it counts by now, and seeders are letting go of it")
            .hint("whoever still has a copy can put it into the folder again"));
    }
    actor.withdraw_forget(wish).map_err(not_said)?;
    Ok(status)
}

fn time(ms: u64) -> Time {
    Time::from_ms(ms.try_into().unwrap_or(i64::MAX))
}
