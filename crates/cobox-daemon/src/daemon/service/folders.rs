//! Making, leaving, pausing and checking folders; conflicts and held changes.

use std::path::{Path, PathBuf};

use cobox_core::chunk::Cutter;
use cobox_core::content::ContentWriter;
use cobox_core::keys::FolderKeys;
use cobox_core::path::FolderPath;
use cobox_core::state::{Kind, ViewEntry};
use cobox_proto::id::{Cid, EpochTag};
use cobox_proto::members::FolderKind;

use super::super::{Daemon, Running, now_ms};
use super::missing::author;
use super::{failed, folder_name, stopped};
use crate::api::dto::{
    BackupEnd, CheckReport, Conflict, Conflicts, CreateRequest, Direction, FolderName, FolderReply, HeldChange,
    HeldChanges, HeldRequest, LeaveReply, LeaveRequest, Problem, Profile, Time, Version,
};
use crate::api::{ApiError, ErrorCode, EventKind, News, ProblemCode};
use crate::disk_tree::DiskTree;
use crate::folder::{FolderActor, Sort};

/// How many of the files concerned are named.
const EXAMPLES_MAX: usize = 5;

impl Daemon {
    pub(super) async fn create_folder(&self, request: CreateRequest) -> Result<FolderReply, ApiError> {
        let root = DiskTree::may_adopt(Path::new(&request.path), &self.off_limits())
            .map_err(|why| ApiError::from(why).hint("choose or make another directory"))?;
        self.refuse_overlap(&root)?;
        let name = match request.name {
            Some(name) => name,
            None => root.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        };
        self.refuse_name(&name)?;
        let profile = match request.profile {
            Profile::Cdc => cobox_core::keys::Profile::Cdc,
            Profile::Uniform => cobox_core::keys::Profile::Uniform,
        };
        let new = self
            .found(FolderKind::Folder, self.free_slot(), name.clone(), Some(root.clone()), profile)
            .map_err(failed)?;
        let id = new.genesis.folder_id();
        DiskTree::adopt(&root, id, &self.off_limits())
            .map_err(|why| ApiError::from(why).hint("choose another directory"))?;
        self.take_folder(new).map_err(|why| ApiError::new(why.code(), why.to_string()).hint(why.hint()))?;
        self.write_vault().await;
        self.events
            .publish(News::new(EventKind::FolderAdded, format!("{name} is a folder now")).folder(id.to_string()));
        let folder = FolderName { id: id.to_string(), name, path: root.display().to_string() };
        Ok(FolderReply { folder, already: false })
    }

    /// A folder may lie neither in another nor above one.
    pub(super) fn refuse_overlap(&self, root: &Path) -> Result<(), ApiError> {
        for running in self.running() {
            let Some(path) = &running.config.path else { continue };
            if path == root || root.starts_with(path) || path.starts_with(root) {
                return Err(ApiError::new(
                    ErrorCode::PathUnsuitable,
                    format!("{} is, holds or lies in the folder {}", root.display(), running.config.name),
                )
                .hint("choose a directory outside your other folders"));
            }
        }
        Ok(())
    }

    pub(super) fn refuse_name(&self, name: &str) -> Result<(), ApiError> {
        if name.is_empty() || name.len() > cobox_proto::limits::LABEL_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(ApiError::new(
                ErrorCode::BadRequest,
                "a folder's name has 1 to 128 bytes and no control characters",
            )
            .hint("give one with --name"));
        }
        if self.running().iter().any(|r| r.config.sort == Sort::Folder && r.config.name == name) {
            return Err(ApiError::new(
                ErrorCode::FolderNameInUse,
                format!("you have a folder called \"{name}\" already"),
            )
            .hint("give another name with --name"));
        }
        Ok(())
    }

    pub(super) async fn leave_folder(&self, folder: String, request: LeaveRequest) -> Result<LeaveReply, ApiError> {
        let running = self.find(&folder)?;
        let snapshot = self.folder_snapshot(&running).await?;
        let other_complete_copy =
            snapshot.backups.iter().any(|backup| backup.complete) || snapshot.in_step_with_members();
        let backups = running
            .handle
            .ask(|actor| {
                let seeders = actor.replica.membership().roster().seeders();
                seeders
                    .iter()
                    .map(|seeder| BackupEnd {
                        seeder: seeder.key.short(),
                        kept_until: actor
                            .newest_receipt(&seeder.key)
                            .map(|r| Time::from_ms(r.receipt().keep_until_ms as i64)),
                    })
                    .collect::<Vec<_>>()
            })
            .await
            .ok_or_else(stopped)?;
        let folder = folder_name(&running);
        self.forget_folder(&running.handle.id).await;
        let mut files_deleted = false;
        if request.delete_files
            && let Some(path) = &running.config.path
        {
            std::fs::remove_dir_all(path)
                .map_err(|e| ApiError::new(ErrorCode::Disk, format!("{} could not be removed: {e}", path.display())))?;
            files_deleted = true;
        }
        self.events
            .publish(News::new(EventKind::FolderLeft, format!("{} was left", folder.name)).folder(folder.id.clone()));
        Ok(LeaveReply { folder, files_deleted, other_complete_copy, backups })
    }

    pub(super) async fn set_paused(&self, folder: String, paused: bool) -> Result<FolderReply, ApiError> {
        let running = self.find(&folder)?;
        let already = running.config.paused == paused;
        let config = running
            .handle
            .ask(move |actor| {
                actor.set_paused(paused);
                actor.config.clone()
            })
            .await
            .ok_or_else(stopped)?;
        self.note_config(config);
        Ok(FolderReply { folder: folder_name(&running), already })
    }

    pub(super) async fn check_folder(&self, folder: String) -> Result<CheckReport, ApiError> {
        let running = self.find(&folder)?;
        let wanted = running.handle.ask(to_check).await.ok_or_else(stopped)?;
        let Some(ToCheck { disk, keys, epoch, files, records }) = wanted else {
            return Err(ApiError::new(ErrorCode::PathUnsuitable, "the folder's directory is not there")
                .hint("bring it back and check again"));
        };
        let name = folder_name(&running);
        let mut report = tokio::task::spawn_blocking(move || {
            let cutter = Cutter::new(keys.shape(), keys.profile());
            let mut report = CheckReport { folder: name, files: 0, bytes: 0, damaged: Vec::new() };
            for (path, digest) in files {
                let mut writer = ContentWriter::new(&keys, &cutter, epoch);
                let read = disk.read_stable(&path, &mut |bytes| writer.push(bytes));
                let written = writer.finish();
                report.files += 1;
                report.bytes += written.size;
                let message = match read {
                    Ok(_) if written.plain_digest == digest => continue,
                    Ok(_) => format!("{path} is not what the folder's state says, and nobody saved it so"),
                    Err(why) => why.to_string(),
                };
                report.damaged.push(Problem {
                    code: ProblemCode::Damaged.into(),
                    path: Some(path.to_string()),
                    message,
                    hint: Some(
                        "if you changed the file just now, check again; otherwise restore it from a backup".into(),
                    ),
                });
            }
            report
        })
        .await
        .map_err(failed)?;
        report.damaged.extend(check_records(&running, records).await?);
        Ok(report)
    }

    pub(super) async fn list_conflicts(&self, folder: String) -> Result<Conflicts, ApiError> {
        let running = self.find(&folder)?;
        let conflicts = running.handle.ask(conflicts_of).await.ok_or_else(stopped)?;
        Ok(Conflicts { conflicts })
    }

    pub(super) async fn list_held(&self, folder: Option<String>) -> Result<HeldChanges, ApiError> {
        let wanted: Vec<Running> = match folder {
            Some(typed) => vec![self.find(&typed)?],
            None => self.running().into_iter().filter(|r| r.config.sort == Sort::Folder).collect(),
        };
        let person = self.identity().name;
        let mut held = Vec::new();
        for running in wanted {
            let person = person.clone();
            held.extend(running.handle.ask(move |actor| held_of(actor, person)).await.flatten());
        }
        Ok(HeldChanges { held })
    }

    pub(super) async fn decide_held(
        &self,
        folder: String,
        request: HeldRequest,
        approve: bool,
    ) -> Result<HeldChanges, ApiError> {
        let running = self.find(&folder)?;
        let person = self.identity().name;
        let decided = running
            .handle
            .ask(move |actor| {
                let held = held_of(actor, person).filter(|held| request.id.as_ref().is_none_or(|id| *id == held.id))?;
                actor.decide(approve);
                Some(held)
            })
            .await
            .ok_or_else(stopped)?;
        match decided {
            Some(held) => Ok(HeldChanges { held: vec![held] }),
            None => {
                Err(ApiError::new(ErrorCode::HeldNotFound, format!("nothing is held back in {}", running.config.name))
                    .hint("`cobox held list` shows what is"))
            }
        }
    }
}

/// What a check reads again.
struct ToCheck {
    disk: DiskTree,
    keys: FolderKeys,
    epoch: EpochTag,
    files: Vec<(FolderPath, [u8; 32])>,
    /// The sealed tree of the state.
    records: Vec<Cid>,
}

fn to_check(actor: &mut FolderActor) -> Option<ToCheck> {
    let engine = actor.engine.as_ref()?;
    let files = engine
        .synced()
        .iter()
        .filter(|(_, synced)| synced.kind == Kind::File)
        .map(|(path, synced)| (path.clone(), synced.digest))
        .collect();
    let (disk, keys, epoch) = (actor.disk_tree()?.clone(), (**actor.keys()?).clone(), actor.epoch()?);
    Some(ToCheck { disk, keys, epoch, files, records: engine.tree().cids().collect() })
}

/// Reads the folder's own records again. They follow from the state in memory, so that damaged ones are written anew at once.
async fn check_records(running: &Running, records: Vec<Cid>) -> Result<Option<Problem>, ApiError> {
    let all = records.len();
    let unread = running.handle.ask(move |actor| actor.unreadable_records(&records)).await.ok_or_else(stopped)?;
    if unread == 0 {
        return Ok(None);
    }
    let written = running.handle.ask(FolderActor::write_records_anew).await.ok_or_else(stopped)?;
    let (outcome, hint) = match written {
        Ok(()) => ("they were written anew".to_owned(), "if this comes again, the disk may be failing: back it up"),
        Err(why) => (
            format!("they could not be written anew: {why}"),
            "see that the disk is whole and has room, and check again",
        ),
    };
    Ok(Some(Problem {
        code: ProblemCode::Damaged.into(),
        path: None,
        message: format!("{unread} of the {all} records of the folder could not be read; {outcome}"),
        hint: Some(hint.into()),
    }))
}

fn conflicts_of(actor: &mut FolderActor) -> Vec<Conflict> {
    let Some(engine) = &actor.engine else { return Vec::new() };
    let state = engine.state();
    let version = |path: &FolderPath, shown: &cobox_core::state::Shown| {
        let body = shown.body(state);
        let (by, device) = author(actor, engine, &shown.dot);
        Version {
            id: format!("{}-{}", shown.dot.counter, shown.dot.actor.short()),
            by,
            device,
            at: body.map(|b| Time::from_ms(b.mtime_ns / 1_000_000)),
            size_bytes: body.map_or(0, |b| b.size),
            path: path.to_string(),
        }
    };
    let mut all: std::collections::BTreeMap<PathBuf, Conflict> = std::collections::BTreeMap::new();
    for (path, entry) in &engine.view().entries {
        let Some(shown) = entry.shown() else { continue };
        let Some(conflict) = &shown.conflict else { continue };
        let of = conflict.of.to_string();
        let listed = all.entry(PathBuf::from(&of)).or_insert_with(|| {
            let winner = engine.view().lookup(&conflict.of).and_then(ViewEntry::shown);
            let versions = winner.map(|winner| version(&conflict.of, winner)).into_iter().collect();
            Conflict { path: of.clone(), versions }
        });
        listed.versions.push(version(path, shown));
    }
    all.into_values().collect()
}

fn held_of(actor: &mut FolderActor, person: String) -> Option<HeldChange> {
    let engine = actor.engine.as_ref()?;
    let held = engine.held()?;
    let files: Vec<_> =
        held.paths.iter().filter(|path| engine.synced().get(*path).is_some_and(|s| s.kind != Kind::Dir)).collect();
    Some(HeldChange {
        id: format!("{:x}", held.since_ms),
        folder: actor.config.name.clone(),
        device: actor.device.public().sig.short(),
        by: person,
        at: Some(Time::from_ms(held.since_ms.min(now_ms()) as i64)),
        deleted_files: files.len() as u64,
        changed_files: 0,
        direction: Direction::Outgoing,
        examples: files.iter().take(EXAMPLES_MAX).map(|path| path.to_string()).collect(),
        why: "so many files are gone at once that it may be a mistake or a missing disk".into(),
    })
}
