//! Looking through a folder's files, taking one out, putting one in; its ignore rules.
//!
//! What must hold: what is put in replaces nothing, and is whole and on the disk before it has its name; what is taken out is one
//! version, or breaks off.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use cobox_core::names::numbered;
use cobox_core::path::{FolderPath, Name};
use cobox_proto::members::Role as MemberRole;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::super::listing::{self, Wanted};
use super::super::{Daemon, Running, now_ms};
use super::{failed, stopped};
use crate::api::dto::{BadLine, FileAdded, FileList, IgnoreMatches, IgnoreRequest, IgnoreRules};
use crate::api::{ApiError, Bytestream, ErrorCode, FileContent, FilesQuery};
use crate::disk_tree::{ApplyError, DiskTree, Expect, IGNORE_FILE, Ignore, Seen, Stamp};
use crate::random_token;

/// Bytes read at once for who takes a file out.
const PART_BYTES: u64 = 1 << 20;
/// Parts of a file that wait to be written.
const PARTS_WAITING: usize = 4;
/// Names that are tried for a file whose own is taken.
const NAMES_TRIED_MAX: u32 = 10_000;
/// Matches of ignore rules that are named.
const MATCHES_NAMED_MAX: usize = 100;

impl Daemon {
    pub(super) async fn list_files(&self, folder: String, query: FilesQuery) -> Result<FileList, ApiError> {
        let running = self.find(&folder)?;
        let dir = path_of(&query.dir)?;
        let wanted = Wanted {
            folder: running.handle.id,
            dir: dir.clone(),
            search: query.search.to_lowercase(),
            order: query.order,
            descending: query.descending,
        };
        let none = || file_not_found(&query.dir);
        let version =
            running.handle.ask(|actor| listing::version(actor)).await.ok_or_else(stopped)?.ok_or_else(none)?;
        let all = match self.listings.get(&wanted, &version) {
            Some(kept) => kept,
            None => {
                let search = wanted.search.clone();
                let gathered = running
                    .handle
                    .ask(move |actor| Some((listing::version(actor)?, listing::gather(actor, &dir, &search)?)));
                let (version, files) = gathered.await.ok_or_else(stopped)?.ok_or_else(none)?;
                let listings = self.listings.clone();
                tokio::task::spawn_blocking(move || listings.keep(wanted, version, files)).await.map_err(failed)?
            }
        };
        let from = usize::try_from(query.offset).unwrap_or(usize::MAX).min(all.len());
        let some = all[from..].iter().take(query.limit() as usize).cloned().collect();
        Ok(FileList { dir: query.dir, total: all.len() as u64, offset: from as u64, files: some })
    }

    pub(super) async fn file_content(&self, folder: String, path: String) -> Result<FileContent, ApiError> {
        let running = self.find(&folder)?;
        let file = path_of(&path)?;
        let disk = disk_of(&running).await?;
        let look = (disk.clone(), file.clone());
        let seen = tokio::task::spawn_blocking(move || look.0.stat(&look.1)).await.map_err(failed)?;
        let Some(Seen::File(stamp)) = seen.map_err(|why| disk_error(&why))? else {
            return Err(file_not_found(&path));
        };
        let name = file.name().map(|name| name.as_str().to_owned()).unwrap_or_default();
        Ok(FileContent { name, size_bytes: stamp.size, bytes: parts(disk, file, stamp) })
    }

    pub(super) async fn put_file(
        &self,
        folder: String,
        path: String,
        bytes: Bytestream,
    ) -> Result<FileAdded, ApiError> {
        let running = self.find(&folder)?;
        let file = path_of(&path)?;
        let name = file.name().ok_or_else(|| file_not_found(&path))?;
        refuse_readers(&running).await?;
        let disk = disk_of(&running).await?;
        let added = write(disk, file, name, bytes).await?;
        let seen = path_of(&added.path)?;
        running.handle.ask(move |actor| actor.look_at(vec![seen])).await.ok_or_else(stopped)?;
        Ok(added)
    }

    pub(super) async fn read_ignore_rules(&self, folder: String) -> Result<IgnoreRules, ApiError> {
        let disk = disk_of(&self.find(&folder)?).await?;
        let ignore = tokio::task::spawn_blocking(move || Ignore::load(&disk)).await.map_err(failed)?;
        Ok(told(&ignore.map_err(|why| disk_error(&why))?))
    }

    pub(super) async fn write_ignore_rules(
        &self,
        folder: String,
        request: IgnoreRequest,
    ) -> Result<IgnoreRules, ApiError> {
        let running = self.find(&folder)?;
        refuse_readers(&running).await?;
        let disk = disk_of(&running).await?;
        let rules = request.rules.unwrap_or_default();
        let ignore = Ignore::parse(&rules);
        let path = path_of(IGNORE_FILE)?;
        let place = path.clone();
        let written = tokio::task::spawn_blocking(move || {
            let expect = match disk.stat(&place)?.as_ref().and_then(Seen::stamp) {
                Some(stamp) => Expect::Stamp(*stamp),
                None => Expect::Absent,
            };
            let mut temp = disk.temp(&temp_name())?;
            temp.write_at(0, rules.as_bytes())?;
            disk.replace(temp, &place, expect, now_ns(), false).map(drop)
        });
        written.await.map_err(failed)?.map_err(|why| apply_error(&why))?;
        running.handle.ask(move |actor| actor.look_at(vec![path])).await.ok_or_else(stopped)?;
        Ok(told(&ignore))
    }

    pub(super) async fn try_ignore_rules(
        &self,
        folder: String,
        request: IgnoreRequest,
    ) -> Result<IgnoreMatches, ApiError> {
        let disk = disk_of(&self.find(&folder)?).await?;
        let tried = tokio::task::spawn_blocking(move || {
            let ignore = request.rules.map_or_else(|| Ignore::load(&disk), |rules| Ok(Ignore::parse(&rules)))?;
            let mut matches = 0;
            let mut examples = BTreeSet::new();
            let mut ahead = vec![FolderPath::root()];
            while let Some(dir) = ahead.pop() {
                for (path, is_dir) in disk.entries(&dir)? {
                    if !ignore.is_ignored_here(&path, is_dir) {
                        ahead.extend(is_dir.then_some(path));
                        continue;
                    }
                    matches += 1;
                    examples.insert(path.to_string());
                    if examples.len() > MATCHES_NAMED_MAX {
                        examples.pop_last();
                    }
                }
            }
            Ok(IgnoreMatches { matches, examples: examples.into_iter().collect(), bad_lines: bad_lines(&ignore) })
        });
        tried.await.map_err(failed)?.map_err(|why| disk_error(&why))
    }
}

fn path_of(typed: &str) -> Result<FolderPath, ApiError> {
    FolderPath::parse(typed).map_err(|why| {
        ApiError::new(ErrorCode::BadRequest, format!("this can be no path within the folder: {why}"))
            .hint("give names with single slashes between, like Minutes/2026.odt")
    })
}

fn file_not_found(path: &str) -> ApiError {
    ApiError::new(ErrorCode::FileNotFound, format!("there is no \"{path}\" in the folder on this computer now"))
        .hint("if it is on its way, wait until it has arrived")
}

fn disk_error(why: &crate::disk_tree::DiskError) -> ApiError {
    ApiError::new(ErrorCode::Disk, why.to_string()).hint("see that the folder can be read and written")
}

fn apply_error(why: &ApplyError) -> ApiError {
    ApiError::new(ErrorCode::Disk, why.to_string()).hint("try again")
}

async fn disk_of(running: &Running) -> Result<DiskTree, ApiError> {
    let disk = running.handle.ask(|actor| actor.disk_tree().cloned()).await.ok_or_else(stopped)?;
    disk.ok_or_else(|| {
        ApiError::new(ErrorCode::PathUnsuitable, "the folder's directory is not there").hint("bring it back first")
    })
}

/// What a reader writes goes nowhere: better said at once.
async fn refuse_readers(running: &Running) -> Result<(), ApiError> {
    let role = running.handle.ask(|actor| actor.role()).await.ok_or_else(stopped)?;
    if role.is_none_or(|role| role < MemberRole::Editor) {
        return Err(ApiError::new(ErrorCode::RoleForbids, "readers of a folder change nothing in it")
            .hint("ask an owner or admin of the folder to make you an editor"));
    }
    Ok(())
}

fn temp_name() -> String {
    format!("in-{}", &random_token()[..16])
}

fn now_ns() -> i64 {
    i64::try_from(now_ms()).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

fn told(ignore: &Ignore) -> IgnoreRules {
    IgnoreRules { rules: ignore.text().to_owned(), bad_lines: bad_lines(ignore) }
}

fn bad_lines(ignore: &Ignore) -> Vec<BadLine> {
    let bad = ignore.bad_patterns().iter();
    bad.map(|bad| BadLine { line: bad.line as u64, message: bad.message.clone() }).collect()
}

/// The file's bytes, part by part.
fn parts(disk: DiskTree, file: FolderPath, stamp: Stamp) -> Bytestream {
    let at = Arc::new((disk, file, stamp));
    let parts = stream::try_unfold(0, move |offset| {
        let at = at.clone();
        async move {
            let len = PART_BYTES.min(at.2.size - offset);
            if len == 0 {
                return Ok(None);
            }
            let read = tokio::task::spawn_blocking(move || at.0.read_at(&at.1, &at.2, offset, len as usize)).await;
            let part = read.map_err(io::Error::other)?.map_err(io::Error::other)?;
            Ok(Some((Bytes::from(part), offset + len)))
        }
    });
    parts.boxed()
}

/// Receives a file beside the folder's content and gives it the first name that is free.
async fn write(disk: DiskTree, file: FolderPath, name: Name, mut bytes: Bytestream) -> Result<FileAdded, ApiError> {
    let (parts, mut arriving) = mpsc::channel::<Bytes>(PARTS_WAITING);
    let (whole, is_whole) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::task::spawn_blocking(move || -> Result<FileAdded, ApiError> {
        let mut temp = disk.temp(&temp_name()).map_err(|why| disk_error(&why))?;
        while let Some(part) = arriving.blocking_recv() {
            let end = temp.len();
            if let Err(why) = temp.write_at(end, &part) {
                let _its_error_came_first = temp.discard();
                return Err(disk_error(&why));
            }
        }
        if is_whole.blocking_recv().is_err() {
            let _broken_off = temp.discard();
            return Err(ApiError::new(ErrorCode::BadRequest, "the file broke off on its way; nothing was kept")
                .hint("send it again"));
        }
        settle(&disk, temp, &file, &name)
    });
    loop {
        match bytes.next().await {
            Some(Ok(part)) if !part.is_empty() => {
                if parts.send(part).await.is_err() {
                    break;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(_)) => {
                drop(whole);
                break;
            }
            None => {
                let _writer_is_gone = whole.send(());
                break;
            }
        }
    }
    drop(parts);
    writing.await.map_err(failed)?
}

/// Gives a received file its name.
fn settle(
    disk: &DiskTree,
    temp: crate::disk_tree::TempFile,
    file: &FolderPath,
    name: &Name,
) -> Result<FileAdded, ApiError> {
    let dir = file.parent().unwrap_or_default();
    let size_bytes = temp.len();
    let temp_name = temp.name().to_owned();
    let mut waiting = Some(temp);
    let placed = (|| {
        for above in dir.descent() {
            disk.make_dir(&above)?;
        }
        for number in 1..=NAMES_TRIED_MAX {
            let other = if number == 1 { name.as_str().to_owned() } else { numbered(name.as_str(), number) };
            let Ok(other) = Name::new(&other) else { break };
            let path = dir.join(&other);
            if disk.stat(&path)?.is_some() {
                continue;
            }
            let temp = match waiting.take() {
                Some(temp) => temp,
                None => disk.temp(&temp_name)?,
            };
            match disk.replace(temp, &path, Expect::Absent, now_ns(), false) {
                Ok(_) => {
                    disk.sync_dirs(&[dir.clone()].into())?;
                    return Ok(Some(path));
                }
                // Somebody else was quicker with this name.
                Err(ApplyError::Changed { .. }) => {}
                Err(why) => return Err(why),
            }
        }
        Ok(None)
    })();
    match placed {
        Ok(Some(path)) => Ok(FileAdded { path: path.to_string(), size_bytes }),
        other => {
            let _told_below = disk.temp(&temp_name).and_then(|temp| temp.discard());
            Err(match other {
                Err(why) => apply_error(&why),
                _ => ApiError::new(ErrorCode::PathUnsuitable, format!("no name is free for \"{file}\""))
                    .hint("give it another name"),
            })
        }
    }
}
