//! Files with several versions: listing, comparing and settling.

use std::path::PathBuf;

use cobox_core::engine::{Keep, SettleError, version_name};
use cobox_core::path::FolderPath;
use cobox_core::state::ViewEntry;
use similar::TextDiff;

use super::super::{Daemon, now_ms};
use super::history::{folder_path, on_a_thread};
use super::stopped;
use crate::api::dto::{Conflict, Conflicts, Difference, Differences, SettleRequest, Settled, Time, Version};
use crate::api::{ApiError, ErrorCode};
use crate::disk_tree::{DiskTree, Seen};
use crate::folder::FolderActor;

/// Longer texts are not compared.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Lines around a difference.
const CONTEXT_LINES: usize = 3;
/// The word for keeping all versions.
const BOTH: &str = "both";

impl Daemon {
    pub(super) async fn list_conflicts(&self, folder: String) -> Result<Conflicts, ApiError> {
        let running = self.find(&folder)?;
        let conflicts = running.handle.ask(conflicts_of).await.ok_or_else(stopped)?;
        Ok(Conflicts { conflicts })
    }

    pub(super) async fn compare_versions(&self, folder: String, path: String) -> Result<Differences, ApiError> {
        let running = self.find(&folder)?;
        let path = folder_path(&path)?;
        let asked = path.clone();
        let taken = running.handle.ask(move |actor| versions_of(actor, &asked)).await.ok_or_else(stopped)?;
        let Some((disk, versions)) = taken.filter(|(_, versions)| versions.len() > 1) else {
            return Err(no_conflict(&SettleError::NoConflict { path }));
        };
        on_a_thread(move || {
            let mut texts = versions.iter().map(|(at, _)| text(&disk, at));
            let first = texts.next().flatten();
            let differences = versions[1..].iter().zip(texts).map(|((_, version), other)| Difference {
                version: version.clone(),
                text: first.as_deref().zip(other.as_deref()).map(|(first, other)| compare(first, other)),
            });
            Ok(Differences { path: path.to_string(), differences: differences.collect() })
        })
        .await
    }

    pub(super) async fn settle_conflict(&self, folder: String, request: SettleRequest) -> Result<Settled, ApiError> {
        let running = self.find(&folder)?;
        let path = folder_path(&request.path)?;
        let keep = match request.keep.as_str() {
            BOTH => Keep::Each,
            version => Keep::One(version.to_owned()),
        };
        let settle = move |actor: &mut FolderActor| actor.engine.as_mut().map(|e| e.settle(now_ms(), &path, &keep));
        let settled = running.handle.ask(settle).await.flatten().ok_or_else(stopped)?;
        let versions = settled.map_err(|why| no_conflict(&why))? as u64;
        Ok(Settled { path: request.path, versions, kept: request.keep })
    }
}

fn no_conflict(why: &SettleError) -> ApiError {
    let (code, hint) = match why {
        SettleError::ReadOnly => (ErrorCode::RoleForbids, "ask an editor of the folder"),
        SettleError::Directory { .. } => (ErrorCode::BadRequest, "use --keep both"),
        _ => (ErrorCode::ConflictNotFound, "`cobox conflicts list` shows the versions and their ids"),
    };
    ApiError::new(code, why.to_string()).hint(hint)
}

/// Where the versions of a file stand, with their ids, the one that has the name first.
fn versions_of(actor: &mut FolderActor, path: &FolderPath) -> Option<(DiskTree, Vec<(FolderPath, String)>)> {
    let disk = actor.disk_tree()?.clone();
    let versions = actor.engine.as_ref()?.versions(path);
    Some((disk, versions.into_iter().map(|(at, leaf)| (at, version_name(&leaf.dot))).collect()))
}

/// A file as text, if it is one.
fn text(disk: &DiskTree, path: &FolderPath) -> Option<String> {
    let Ok(Some(Seen::File(stamp))) = disk.stat(path) else { return None };
    if stamp.size > TEXT_BYTES_MAX {
        return None;
    }
    let bytes = disk.read_at(path, &stamp, 0, stamp.size as usize).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

fn compare(first: &str, other: &str) -> String {
    TextDiff::from_lines(first, other).unified_diff().context_radius(CONTEXT_LINES).to_string()
}

fn conflicts_of(actor: &mut FolderActor) -> Vec<Conflict> {
    let Some(engine) = &actor.engine else { return Vec::new() };
    let state = engine.state();
    let version = |path: &FolderPath, shown: &cobox_core::state::Shown| {
        let body = shown.body(state);
        let device = state.ctx.get(&shown.dot.actor).map(|row| row.device);
        let by = device.and_then(|device| {
            let (_, member) = actor.replica.membership().roster().device(&device)?;
            actor.member_name(&member.grant)
        });
        Version {
            id: version_name(&shown.dot),
            by: by.unwrap_or_else(|| device.map(|d| d.short()).unwrap_or_default()),
            device: device.map(|d| d.short()).unwrap_or_default(),
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
