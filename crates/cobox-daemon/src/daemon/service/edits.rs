//! What a person changed here who may only read the folder.

use cobox_core::path::FolderPath;

use super::super::Daemon;
use super::stopped;
use crate::api::dto::{Edit, EditSetAside, Edits, EditsReset, NotReset, ResetRequest};
use crate::api::{ApiError, ErrorCode};
use crate::folder::FolderActor;

/// Files named at once.
const NAMED_MAX: usize = 1_000;

impl Daemon {
    pub(super) async fn list_edits(&self, folder: String) -> Result<Edits, ApiError> {
        let running = self.find(&folder)?;
        let edits = running.handle.ask(|actor| actor.edits_here()).await.ok_or_else(stopped)?;
        let more = edits.len().saturating_sub(NAMED_MAX) as u64;
        let shown = |path: FolderPath| Edit { path: path.to_string() };
        Ok(Edits { edits: edits.into_iter().take(NAMED_MAX).map(shown).collect(), more })
    }

    pub(super) async fn reset_edits(&self, folder: String, request: ResetRequest) -> Result<EditsReset, ApiError> {
        let running = self.find(&folder)?;
        let parsed = |typed: &String| FolderPath::parse(typed).map_err(|_| no_edit(typed));
        let wanted = request.paths.iter().map(parsed).collect::<Result<Vec<_>, _>>()?;
        running.handle.ask(move |actor| reset(actor, wanted, request.dry_run)).await.ok_or_else(stopped)?
    }
}

fn no_edit(path: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::FileNotFound, format!("nothing was changed here at \"{path}\""))
        .hint("`cobox edits list` names what was")
}

fn reset(actor: &mut FolderActor, wanted: Vec<FolderPath>, dry_run: bool) -> Result<EditsReset, ApiError> {
    let edits = actor.edits_here();
    if let Some(unknown) = wanted.iter().find(|path| !edits.contains(path)) {
        return Err(no_edit(unknown));
    }
    let chosen = if wanted.is_empty() { edits } else { wanted };
    let mut done = EditsReset { dry_run, set_aside: vec![], problems: vec![] };
    for path in chosen {
        if dry_run {
            done.set_aside.push(EditSetAside { path: path.to_string(), to: None });
            continue;
        }
        match actor.set_aside(&path) {
            Ok(to) => {
                let to = to.map(|to| to.display().to_string());
                done.set_aside.push(EditSetAside { path: path.to_string(), to });
            }
            Err(why) => done.problems.push(NotReset { path: path.to_string(), message: why.to_string() }),
        }
    }
    Ok(done)
}
