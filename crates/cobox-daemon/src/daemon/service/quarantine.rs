//! What people wrote who were sent away, as far as nobody had seen it before.

use cobox_proto::id::HeadId;

use super::super::Daemon;
use super::stopped;
use crate::api::dto::{HeldAside, Quarantine, QuarantineRequest, Time};
use crate::api::{ApiError, ErrorCode};
use crate::folder::FolderActor;

/// Characters of an id that are shown, and the fewest that name one.
const ID_CHARS: usize = 12;

impl Daemon {
    pub(super) async fn list_quarantine(&self, folder: String) -> Result<Quarantine, ApiError> {
        let running = self.find(&folder)?;
        let held = running.handle.ask(|actor| held_aside(actor)).await.ok_or_else(stopped)?;
        Ok(Quarantine { held_aside: held.into_iter().map(|(_, shown)| shown).collect() })
    }

    pub(super) async fn decide_quarantine(
        &self,
        folder: String,
        request: QuarantineRequest,
        adopt: bool,
    ) -> Result<Quarantine, ApiError> {
        let running = self.find(&folder)?;
        let decided = running.handle.ask(move |actor| decide(actor, request.id.as_deref(), adopt));
        let (decided, config) = decided.await.ok_or_else(stopped)??;
        self.note_config(config);
        Ok(Quarantine { held_aside: decided })
    }
}

fn decide(
    actor: &mut FolderActor,
    wanted: Option<&str>,
    adopt: bool,
) -> Result<(Vec<HeldAside>, crate::folder::FolderConfig), ApiError> {
    if adopt && actor.seat().member().is_none_or(|member| member.role < cobox_proto::members::Role::Editor) {
        return Err(ApiError::new(ErrorCode::RoleForbids, "only who may write in a folder takes changes into it")
            .hint("ask somebody who may: `cobox members list`"));
    }
    let wanted = wanted.map(str::to_ascii_lowercase);
    let mut held = held_aside(actor);
    held.retain(|(_, shown)| wanted.as_ref().is_none_or(|id| !id.is_empty() && shown.id.starts_with(id.as_str())));
    if held.is_empty() {
        let name = &actor.config.name;
        return Err(ApiError::new(ErrorCode::HeldAsideNotFound, format!("nothing like that is held aside in {name}"))
            .hint("`cobox quarantine list` shows what is"));
    }
    for (head, _) in &held {
        if adopt { actor.adopt(*head) } else { actor.discard(*head) }
    }
    Ok((held.into_iter().map(|(_, shown)| shown).collect(), actor.config.clone()))
}

/// What is held aside, the newest first.
pub(super) fn held_aside(actor: &FolderActor) -> Vec<(HeadId, HeldAside)> {
    let heads = actor.replica.heads();
    let shown = |id: HeadId| {
        let head = heads.get(&id)?.head();
        let by = heads.member(&id).and_then(|grant| actor.member_name(&grant));
        let aside = HeldAside {
            id: id.to_string()[..ID_CHARS].to_owned(),
            by: by.unwrap_or_else(|| head.device.short()),
            device: head.device.short(),
            at: i64::try_from(head.claimed_time_ms).ok().map(Time::from_ms),
            changes: heads.past(&id, |head| !heads.counts(&head.id())).len() as u64,
        };
        Some((id, aside))
    };
    let mut all: Vec<(HeadId, HeldAside)> = actor.quarantined().into_iter().filter_map(shown).collect();
    all.sort_by(|a, b| b.1.at.cmp(&a.1.at).then(a.0.cmp(&b.0)));
    all
}
