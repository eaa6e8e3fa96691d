//! Changes that the brake holds, for people who ask and decide.

use std::collections::BTreeSet;

use cobox_core::engine::NotLetOut;
use cobox_core::path::FolderPath;
use cobox_core::state::Kind;

use super::super::{Daemon, Running, now_ms};
use super::stopped;
use crate::api::dto::{Direction, HeldChange, HeldChanges, HeldRequest, Time};
use crate::api::{ApiError, ErrorCode};
use crate::folder::{FolderActor, Sort};

/// How many of the files concerned are named.
const EXAMPLES_MAX: usize = 5;

impl Daemon {
    pub(super) async fn list_held(&self, folder: Option<String>) -> Result<HeldChanges, ApiError> {
        let wanted: Vec<Running> = match folder {
            Some(typed) => vec![self.find(&typed)?],
            None => self.running().into_iter().filter(|r| r.config.sort == Sort::Folder).collect(),
        };
        let person = self.identity().name;
        let mut held = Vec::new();
        for running in wanted {
            let person = person.clone();
            held.extend(running.handle.ask(move |actor| held_in(actor, &person)).await.unwrap_or_default());
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
        let decide = move |actor: &mut FolderActor| {
            let mut held = held_in(actor, &person);
            held.retain(|held| request.id.as_ref().is_none_or(|id| *id == held.id));
            // What goes out stands first: if it can not be decided now, nothing is.
            for change in &held {
                match change.direction {
                    Direction::Outgoing => actor.decide(approve)?,
                    Direction::Incoming => actor.decide_incoming(approve),
                }
            }
            Ok::<_, NotLetOut>(held)
        };
        let decided = running.handle.ask(decide).await.ok_or_else(stopped)?;
        let decided = decided.map_err(|why| not_let_out(&running.config.name, why))?;
        if decided.is_empty() {
            return Err(ApiError::new(
                ErrorCode::HeldNotFound,
                format!("nothing is held back in {}", running.config.name),
            )
            .hint("`cobox held list` shows what is"));
        }
        Ok(HeldChanges { held: decided })
    }
}

fn not_let_out(folder: &str, why: NotLetOut) -> ApiError {
    let (code, hint) = match why {
        NotLetOut::MayNotWrite => {
            (ErrorCode::RoleForbids, "`cobox held reject` brings the files back; or ask an admin for another role")
        }
        NotLetOut::NoEpoch => (
            ErrorCode::KeysAwaited,
            "it stays held; approve it again in a while: an owner's or admin's device makes the new keys once it is connected",
        ),
    };
    ApiError::new(code, format!("the change in {folder} stays held: {why}")).hint(hint)
}

/// What a folder holds, outgoing first.
fn held_in(actor: &mut FolderActor, person: &str) -> Vec<HeldChange> {
    let mut all = Vec::new();
    let Some(engine) = &actor.engine else { return all };
    let is_file = |path: &&FolderPath| engine.synced().get(*path).is_some_and(|known| known.kind != Kind::Dir);
    let at = |since_ms: u64| Some(Time::from_ms(since_ms.min(now_ms()).try_into().unwrap_or(i64::MAX)));
    if let Some(held) = engine.held() {
        let gone: BTreeSet<&FolderPath> = held.paths.iter().filter(is_file).collect();
        let examples = gone.iter().copied().chain(held.noise.keys());
        all.push(HeldChange {
            id: format!("{:x}", held.since_ms),
            folder: actor.config.name.clone(),
            device: actor.device.public().sig.short(),
            by: person.to_owned(),
            at: at(held.since_ms),
            deleted_files: gone.len() as u64,
            changed_files: held.noise.len() as u64,
            direction: Direction::Outgoing,
            examples: examples.take(EXAMPLES_MAX).map(ToString::to_string).collect(),
            why: why(gone.len(), held.noise.len(), "here, so that it may be a mistake, a missing disk or malware"),
        });
    }
    if let Some(held) = engine.held_incoming() {
        let member = held.device.as_ref().and_then(|device| actor.replica.membership().roster().device(device));
        let by = member.and_then(|(_, member)| actor.member_name(&member.grant));
        let device = held.device.map(|device| device.short()).unwrap_or_default();
        all.push(HeldChange {
            id: format!("in-{:x}", held.since_ms),
            folder: actor.config.name.clone(),
            by: by.unwrap_or_else(|| device.clone()),
            device,
            at: at(held.since_ms),
            deleted_files: held.removed.len() as u64,
            changed_files: held.noise.len() as u64,
            direction: Direction::Incoming,
            examples: held.removed.iter().chain(&held.noise).take(EXAMPLES_MAX).map(ToString::to_string).collect(),
            why: why(held.removed.len(), held.noise.len(), "by others; here they stay until you decide"),
        });
    }
    all
}

fn why(deleted: usize, noise: usize, end: &str) -> String {
    let what = match (deleted, noise) {
        (_, 0) => "so many files are gone at once",
        (0, _) => "so many files became unreadable noise at once",
        _ => "so many files are gone or became unreadable noise at once",
    };
    format!("{what} {end}")
}
