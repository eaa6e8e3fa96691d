//! Files that the folder has and this device has not: why, by whom they are, and giving one up.

use std::collections::BTreeSet;

use cobox_core::content::ManifestReader;
use cobox_core::engine::{Engine, GiveUpError, StepError, Summary};
use cobox_core::path::FolderPath;
use cobox_core::state::{Body, Content, Dot};
use cobox_proto::id::Cid;

use super::super::Daemon;
use super::stopped;
use crate::api::dto::{MissingFile, MissingFiles, MissingRequest, MissingState, Time};
use crate::api::{ApiError, ErrorCode};
use crate::folder::FolderActor;

/// Files named at once.
const NAMED_MAX: usize = 1_000;

/// Who wrote a version: the member's name and the device's short key.
pub(super) fn author(actor: &FolderActor, engine: &Engine, dot: &Dot) -> (String, String) {
    let device = engine.state().ctx.get(&dot.actor).map(|row| row.device);
    let by = device.and_then(|device| {
        let (_, member) = actor.replica.membership().roster().device(&device)?;
        actor.member_name(&member.grant)
    });
    let device = device.map(|device| device.short()).unwrap_or_default();
    (by.unwrap_or_else(|| device.clone()), device)
}

/// The files that are missing, as far as they are named, and how many more there are. While nobody is connected none of them is coming.
pub(super) fn missing_of(actor: &FolderActor) -> MissingFiles {
    missing(actor, actor.peers.is_empty())
}

/// The same, told of what was asked for in vain alone: that nobody is connected at the moment is no trouble.
pub(super) fn missing_in_vain(actor: &FolderActor) -> MissingFiles {
    missing(actor, false)
}

fn missing(actor: &FolderActor, alone: bool) -> MissingFiles {
    let Some(engine) = &actor.engine else { return MissingFiles { missing: Vec::new(), more: 0 } };
    let stranded: BTreeSet<Cid> = actor.replica.wanted().stranded().copied().collect();
    let stuck = engine.summary().stuck;
    let mut all = engine.missing();
    let named = all.by_ref().take(NAMED_MAX).map(|(path, shown, body)| {
        let (by, device) = author(actor, engine, &shown.dot);
        let (state, why) = match stuck.iter().find(|(at, _)| at == path).map(|(_, why)| why) {
            Some(StepError::Unusable(why)) => (MissingState::Unusable, why.clone()),
            Some(StepError::Failed(why)) => (MissingState::NotWritten, why.clone()),
            _ if is_stranded(actor, body, &stranded) => {
                (MissingState::Waiting, "nobody who is connected has its content".into())
            }
            _ if alone => (MissingState::Waiting, "nobody who could have its content is connected".into()),
            _ => (MissingState::Coming, "its content is being asked for".into()),
        };
        let at = Some(Time::from_ms(body.mtime_ns / 1_000_000));
        MissingFile { path: path.to_string(), by, device, at, size_bytes: body.size, state, why }
    });
    let missing = named.collect();
    MissingFiles { missing, more: all.count() as u64 }
}

/// Whether any of what is missing may not come: asked with every status, while thousands of files are on their way.
pub(super) fn may_stay_missing(actor: &FolderActor, summary: &Summary) -> bool {
    let is_unusable = |(_, why): &(FolderPath, StepError)| matches!(why, StepError::Unusable(_));
    summary.stuck.iter().any(is_unusable) || actor.replica.wanted().stranded().next().is_some()
}

/// Whether somebody was asked for a piece of it and nobody has it.
fn is_stranded(actor: &FolderActor, body: &Body, stranded: &BTreeSet<Cid>) -> bool {
    if stranded.is_empty() {
        return false;
    }
    match &body.content {
        Content::Inline(_) => false,
        Content::Refs(refs) => refs.iter().any(|piece| stranded.contains(&piece.cid)),
        Content::Manifest(manifest) => {
            let Some(keys) = actor.keys() else { return false };
            let mut reader = ManifestReader::new(manifest, body.size);
            while let Some(cid) = reader.wanted() {
                match actor.kept_block(&cid) {
                    Some(bytes) => reader.supply(&bytes, keys),
                    None => return stranded.contains(&cid),
                }
            }
            reader.finish().is_ok_and(|refs| refs.iter().any(|piece| stranded.contains(&piece.cid)))
        }
    }
}

impl Daemon {
    pub(super) async fn list_missing(&self, folder: String) -> Result<MissingFiles, ApiError> {
        let running = self.find(&folder)?;
        running.handle.ask(|actor| missing_of(actor)).await.ok_or_else(stopped)
    }

    pub(super) async fn drop_missing(&self, folder: String, request: MissingRequest) -> Result<MissingFiles, ApiError> {
        let running = self.find(&folder)?;
        let not_missing = || {
            let why = format!("no file is missing at \"{}\" in {}", request.path, running.config.name);
            ApiError::new(ErrorCode::FileNotFound, why).hint("`cobox missing list FOLDER` shows what is")
        };
        let path = FolderPath::parse(&request.path).map_err(|_| not_missing())?;
        let given_up = running
            .handle
            .ask(move |actor| {
                let named = missing_of(actor).missing.into_iter().find(|file| file.path == path.as_str());
                actor.give_up(&path).map(|()| named)
            })
            .await
            .ok_or_else(stopped)?;
        match given_up {
            Ok(named) => Ok(MissingFiles { missing: named.into_iter().collect(), more: 0 }),
            Err(GiveUpError::NotMissing) => Err(not_missing()),
            Err(why @ GiveUpError::MayNotWrite) => {
                Err(ApiError::new(ErrorCode::RoleForbids, why.to_string())
                    .hint("ask a member who may write to give it up"))
            }
        }
    }
}
