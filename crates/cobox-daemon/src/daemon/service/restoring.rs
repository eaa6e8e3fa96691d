//! Restoring, undoing, and bringing back from the trash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cobox_core::engine::Synced;
use cobox_core::history::{Cursor, PageOf, Restoration, Then, Version, state_at, state_of};
use cobox_core::path::FolderPath;
use cobox_core::state::{View, ViewEntry, view};
use cobox_proto::id::{Cid, HeadId, SigKey};

use super::super::{Daemon, Running};
use super::history::{entry, folder_path, on_a_thread, page_of};
use super::{failed, stopped};
use crate::api::dto::{History, MovedAside, Problem, RestoreRequest, Restored, Time, TrashRestoreRequest, UndoRequest};
use crate::api::{ApiError, ErrorCode, HistoryQuery, ProblemCode};
use crate::disk_tree::DiskTree;
use crate::folder::{self, FolderActor, FolderDb, LookBack, Restorer, Target};

/// How many of the files concerned are named.
const EXAMPLES_MAX: usize = 10;
/// The disk is looked through at most this long before and after.
const LOOK_MAX: Duration = Duration::from_secs(600);
/// Entries of the trash that are looked through for one path.
const TRASH_ENTRIES_MAX: usize = 200_000;
const TRASH_PAGE: usize = 1000;

/// What is to be done, and what it rests on.
struct Planned {
    plan: Restoration,
    state_at_ms: Option<u64>,
    exact: bool,
}

/// What the folder's thread gives to whoever writes in its directory.
struct Ground {
    disk: DiskTree,
    db: FolderDb,
    device: SigKey,
    synced: BTreeMap<FolderPath, Arc<Synced>>,
    can_write: bool,
    forgotten: BTreeMap<Cid, (String, u64)>,
}

fn ground(actor: &mut FolderActor) -> Option<Result<Ground, String>> {
    let engine = actor.engine.as_ref()?;
    let (disk, synced) = (actor.disk_tree()?.clone(), engine.synced().clone());
    let (device, can_write) = (actor.device.public().sig, actor.standing().can_write);
    let db = match actor.places() {
        Ok(db) => db,
        Err(why) => return Some(Err(why.to_string())),
    };
    let forgotten = actor.forgotten();
    Some(Ok(Ground { disk, db, device, synced, can_write, forgotten }))
}

impl Daemon {
    pub(super) async fn restore_files(&self, folder: String, request: RestoreRequest) -> Result<Restored, ApiError> {
        let running = self.find(&folder)?;
        let paths = request.paths.iter().map(|path| folder_path(path)).collect::<Result<Vec<_>, _>>()?;
        let paths: Vec<FolderPath> = paths.into_iter().filter(|path| !path.is_root()).collect();
        let to = request.to.as_deref().map(directory).transpose()?;
        let moment = moment(&request)?;
        self.look_first(&running).await;
        let elsewhere = to.is_some();
        let (look_back, planned) = self
            .planned(&running, move |look_back| {
                let then = then(look_back, moment)?;
                // Elsewhere nothing is there yet.
                let shows = if elsewhere { view(&cobox_core::state::State::new()) } else { view(&look_back.state) };
                let plan = Restoration::plan((&look_back.state, &shows), &then, &paths, false);
                if plan.absent.len() == paths.len() && !paths.is_empty() {
                    return Err(ApiError::new(
                        ErrorCode::NotInHistory,
                        format!("there was no \"{}\" in the folder at that time", plan.absent[0]),
                    )
                    .hint("`cobox history FOLDER PATH` shows what it was called when"));
                }
                Ok(Planned { plan, state_at_ms: Some(then.at_ms), exact: then.is_exact })
            })
            .await?;
        self.carry_out(&running, look_back, planned, to, request.dry_run).await
    }

    pub(super) async fn undo_folder(&self, folder: String, request: UndoRequest) -> Result<Restored, ApiError> {
        let running = self.find(&folder)?;
        self.look_first(&running).await;
        let moment = Moment::At(to_ms(request.to));
        let (look_back, planned) = self
            .planned(&running, move |look_back| {
                let then = then(look_back, moment)?;
                let plan = Restoration::plan((&look_back.state, &view(&look_back.state)), &then, &[], true);
                Ok(Planned { plan, state_at_ms: Some(then.at_ms), exact: then.is_exact })
            })
            .await?;
        self.carry_out(&running, look_back, planned, None, request.dry_run).await
    }

    pub(super) async fn list_trash(&self, folder: String, query: HistoryQuery) -> Result<History, ApiError> {
        let running = self.find(&folder)?;
        let of = page_of(&query, true)?;
        let mut look_back = self.look_back(&running).await?;
        on_a_thread(move || {
            let shows = view(&look_back.state);
            let page = look_back.page(&of).map_err(failed)?;
            let gone = page.entries.into_iter().filter(|dated| is_gone(&shows, &dated.entry.path));
            let entries = gone.map(|dated| entry(&look_back, dated)).collect();
            Ok(History { entries, next: page.next.map(|cursor| cursor.to_string()), thinned: page.thinned })
        })
        .await
    }

    pub(super) async fn restore_trash(
        &self,
        folder: String,
        request: TrashRestoreRequest,
    ) -> Result<Restored, ApiError> {
        let running = self.find(&folder)?;
        let path = folder_path(&request.path)?;
        self.look_first(&running).await;
        let (look_back, planned) = self.planned(&running, move |look_back| from_trash(look_back, path)).await?;
        self.carry_out(&running, look_back, planned, None, request.dry_run).await
    }

    /// What is on the disk and was not looked at is the newest there is: it is taken in first.
    pub(super) async fn look_first(&self, running: &Running) {
        if let Some(Some(look)) = running.handle.ask(FolderActor::rescan).await {
            let _the_rest_is_seen_later = tokio::time::timeout(LOOK_MAX, look).await;
        }
    }

    async fn planned(
        &self,
        running: &Running,
        plan: impl FnOnce(&mut LookBack) -> Result<Planned, ApiError> + Send + 'static,
    ) -> Result<(LookBack, Planned), ApiError> {
        let mut look_back = self.look_back(running).await?;
        on_a_thread(move || {
            let planned = plan(&mut look_back)?;
            Ok((look_back, planned))
        })
        .await
    }

    async fn carry_out(
        &self,
        running: &Running,
        look_back: LookBack,
        planned: Planned,
        to: Option<PathBuf>,
        dry_run: bool,
    ) -> Result<Restored, ApiError> {
        if dry_run || planned.plan.is_empty() {
            return Ok(preview(&planned, dry_run));
        }
        let Some(ground) = running.handle.ask(ground).await.ok_or_else(stopped)? else {
            return Err(ApiError::new(ErrorCode::PathUnsuitable, "the folder's directory is not there")
                .hint("bring it back and try again"));
        };
        let Ground { disk, db, device, synced, can_write, forgotten } = ground.map_err(failed)?;
        let is_into_folder = to.is_none();
        if is_into_folder && !can_write {
            return Err(ApiError::new(ErrorCode::RoleForbids, "whoever may only read a folder can not set it back")
                .hint("restore into another directory with --to"));
        }
        let target = to.map_or(Target::Folder(synced), Target::Directory);
        if is_into_folder {
            let (files, dirs) = (&planned.plan.remove, &planned.plan.remove_dirs);
            let agreed: BTreeSet<FolderPath> = files.iter().chain(dirs).cloned().collect();
            running.handle.ask(move |actor| actor.agree(agreed)).await.ok_or_else(stopped)?;
        }
        let keys = look_back.keys.clone();
        let mut restorer = Restorer::new(keys, db, disk, device, look_back.reach);
        let restored = on_a_thread(move || {
            let done = restorer.run(&planned.plan, &target);
            Ok(result(&planned, done, &forgotten))
        })
        .await?;
        if is_into_folder {
            self.look_first(running).await;
            running.handle.ask(|actor| actor.agree(BTreeSet::new())).await.ok_or_else(stopped)?;
        }
        Ok(restored)
    }
}

/// Which state of the folder is meant.
#[derive(Clone, Copy)]
enum Moment {
    /// What stood at a time, milliseconds since 1970.
    At(u64),
    /// What one head says.
    Of(HeadId),
}

fn moment(request: &RestoreRequest) -> Result<Moment, ApiError> {
    let bad = |what: &str, hint: &str| Err(ApiError::new(ErrorCode::BadRequest, what).hint(hint));
    match (request.at, &request.state) {
        (Some(at), None) => Ok(Moment::At(to_ms(at))),
        (None, Some(state)) => match state.parse() {
            Ok(head) => Ok(Moment::Of(head)),
            Err(_) => bad("this names no state", "an entry of the history names the state in which it stands"),
        },
        _ => bad("either a time or a state is to be restored", "give one of `at` and `state`"),
    }
}

/// The folder as it was.
fn then(look_back: &mut LookBack, moment: Moment) -> Result<Then, ApiError> {
    let chronicle = look_back.chronicle().map_err(failed)?;
    let mut past = look_back.past();
    let (keys, standing) = (look_back.keys.clone(), look_back.standing().clone());
    let nodes = &mut look_back.reach;
    let then = match moment {
        Moment::At(at_ms) => state_at(&chronicle, at_ms, &mut past, nodes, &keys, &standing),
        Moment::Of(head) => state_of(&chronicle, &head, &mut past, nodes, &keys),
    };
    then.map_err(failed)?.ok_or_else(|| {
        ApiError::new(ErrorCode::NotInHistory, "no state of that time is kept by anybody who can be reached")
            .hint("`cobox history FOLDER` shows how far back it goes; seeders that are connected keep more")
    })
}

/// Everything at and below a path that was deleted last and is still gone.
fn from_trash(look_back: &mut LookBack, path: FolderPath) -> Result<Planned, ApiError> {
    let shows = view(&look_back.state);
    let mut found: BTreeMap<FolderPath, Version> = BTreeMap::new();
    let (mut from, mut looked_at): (Option<Cursor>, usize) = (None, 0);
    loop {
        let of = PageOf { path: path.clone(), deleted_only: true, from, entries_max: TRASH_PAGE };
        let page = look_back.page(&of).map_err(failed)?;
        looked_at += page.entries.len();
        for dated in page.entries {
            let (at, kind) = (dated.entry.path, dated.entry.kind);
            if let Some(body) = dated.entry.body.filter(|_| at.starts_with(&path) && is_gone(&shows, &at)) {
                // Newest first: what was deleted before under the same name is older.
                found.entry(at.clone()).or_insert(Version { path: at, kind, body });
            }
        }
        let is_one_file = found.contains_key(&path);
        match page.next {
            Some(next) if looked_at < TRASH_ENTRIES_MAX && !is_one_file => from = Some(next),
            _ => break,
        }
    }
    if found.is_empty() {
        return Err(ApiError::new(
            ErrorCode::NotInHistory,
            format!("nothing called \"{path}\" was deleted and is gone"),
        )
        .hint("`cobox trash list FOLDER` shows what was"));
    }
    let plan = Restoration { write: found.into_values().collect(), ..Restoration::default() };
    Ok(Planned { plan, state_at_ms: None, exact: true })
}

fn is_gone(shows: &View, path: &FolderPath) -> bool {
    shows.lookup(path).is_none_or(|entry| matches!(entry, ViewEntry::Dir { .. }))
}

fn to_ms(time: Time) -> u64 {
    // Times have no finer part than a second for whoever types them: all of that second counts.
    u64::try_from(time.as_ms().saturating_add(999)).unwrap_or(0)
}

/// Where restored files are to go.
fn directory(typed: &str) -> Result<PathBuf, ApiError> {
    let path = Path::new(typed);
    if !path.is_absolute() {
        return Err(ApiError::new(ErrorCode::BadRequest, "the directory to restore to must be an absolute path"));
    }
    match path.symlink_metadata() {
        Ok(there) if !there.is_dir() && !path.is_dir() => {
            Err(ApiError::new(ErrorCode::PathUnsuitable, format!("{typed} is no directory")).hint("choose another one"))
        }
        _ => Ok(path.to_path_buf()),
    }
}

fn preview(planned: &Planned, dry_run: bool) -> Restored {
    let plan = &planned.plan;
    let examples = |paths: &mut dyn Iterator<Item = &FolderPath>| -> Vec<String> {
        paths.take(EXAMPLES_MAX).map(ToString::to_string).collect()
    };
    Restored {
        dry_run,
        state_at: planned.state_at_ms.map(|ms| Time::from_ms(ms.try_into().unwrap_or(i64::MAX))),
        exact: planned.exact,
        written_files: plan.write.len() as u64,
        written_bytes: plan.write_bytes(),
        removed_files: plan.remove.len() as u64,
        same_files: plan.same,
        written_examples: examples(&mut plan.write.iter().map(|version| &version.path)),
        removed_examples: examples(&mut plan.remove.iter()),
        absent: plan.absent.iter().map(ToString::to_string).collect(),
        moved_aside: Vec::new(),
        problems: Vec::new(),
    }
}

fn result(planned: &Planned, done: folder::Restored, forgotten: &BTreeMap<Cid, (String, u64)>) -> Restored {
    let problem = |(path, why): (FolderPath, folder::NotRestored)| {
        let version = planned.plan.write.iter().find(|version| version.path == path);
        let by = version.and_then(|version| version.body.content.cids().find_map(|cid| forgotten.get(&cid)));
        if let (folder::NotRestored::NotKept, Some((name, at_ms))) = (&why, by) {
            let at = Time::from_ms((*at_ms).try_into().unwrap_or(i64::MAX));
            return Problem {
                code: ProblemCode::Forgotten.into(),
                path: Some(path.to_string()),
                message: format!("it was removed from history by {name} on {at}"),
                hint: Some("it can not be had again, unless somebody has a copy outside the folder".into()),
            };
        }
        let (code, hint) = match why {
            folder::NotRestored::NotKept => {
                (ProblemCode::Waiting, "connect a seeder or member who has it, and try again")
            }
            _ => (ProblemCode::NotWritten, "see what stands in the way, and try again"),
        };
        Problem { code: code.into(), path: Some(path.to_string()), message: why.to_string(), hint: Some(hint.into()) }
    };
    Restored {
        written_files: done.written,
        written_bytes: done.written_bytes,
        removed_files: done.removed,
        moved_aside: done
            .moved_aside
            .into_iter()
            .map(|(path, now_at)| MovedAside { path: path.to_string(), now_at })
            .collect(),
        problems: done.failed.into_iter().map(problem).collect(),
        ..preview(planned, false)
    }
}
