//! Making, leaving, pausing and checking folders.

use std::path::Path;

use cobox_core::chunk::Cutter;
use cobox_core::content::ContentWriter;
use cobox_core::keys::FolderKeys;
use cobox_core::path::FolderPath;
use cobox_core::state::Kind;
use cobox_proto::id::{Cid, EpochTag};
use cobox_proto::limits::MEMBER_SLOTS;
use cobox_proto::members::FolderKind;

use super::super::{Daemon, Running};
use super::status::Snapshot;
use super::{failed, folder_name, stopped};
use crate::api::dto::{
    BackupEnd, CheckReport, CreateRequest, FolderName, FolderReply, LeaveReply, LeaveRequest, Problem, Profile, Time,
};
use crate::api::{ApiError, ErrorCode, EventKind, News, ProblemCode};
use crate::disk_tree::DiskTree;
use crate::folder::{FolderActor, Sort};

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
        let slot = self.slot_of_a_new_folder()?;
        let new = self.found(FolderKind::Folder, slot, name.clone(), Some(root.clone()), profile).map_err(failed)?;
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

    /// The keys by which the person will belong to one folder more.
    pub(super) fn slot_of_a_new_folder(&self) -> Result<u16, ApiError> {
        self.free_slot().ok_or_else(|| {
            let folders = MEMBER_SLOTS - 1;
            ApiError::new(
                ErrorCode::FoldersUsedUp,
                format!("you have been in {folders} folders, and your twelve words hold keys for no more, even where you left some"),
            )
            .hint("`cobox up --home OTHER-DIRECTORY` begins another identity on this computer, with words of its own")
        })
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
        let other_complete_copy = snapshot.lies_whole_elsewhere(None);
        if request.delete_files && !other_complete_copy && !request.even_the_last_copy && snapshot.files() > 0 {
            return Err(last_copy(&running, &snapshot));
        }
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
        if !self.forget_folder(&running.handle.id).await.map_err(failed)? {
            return Err(stopped());
        }
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
        let (already, config) = running
            .handle
            .ask(move |actor| {
                // As it stands at this moment: others may throw the switch, too.
                let already = actor.config.paused == paused;
                actor.set_paused(paused);
                (already, actor.config.clone())
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
}

/// Deleting the files here would delete the last that is known of.
fn last_copy(running: &Running, snapshot: &Snapshot) -> ApiError {
    let (name, files) = (&running.config.name, snapshot.files());
    let files = if files == 1 { "1 file".into() } else { format!("{files} files") };
    ApiError::new(
        ErrorCode::LastCopy,
        format!("no other whole copy of {name} is known: no seeder has signed for its newest state, and no member who is connected has \
                 it; its {files} would be gone"),
    )
    .hint(
        "wait until a seeder or member has all of it (`cobox status --wait`), or leave without --delete-files; \
         --even-the-last-copy deletes it all the same",
    )
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
