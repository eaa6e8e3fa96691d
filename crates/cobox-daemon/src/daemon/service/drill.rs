//! A rehearsed restore that a person wants now.

use super::super::drill::stopped as cut_short;
use super::super::{Daemon, Running, now_ms};
use super::{failed, folder_name, stopped};
use crate::api::dto::{DrillOutcome, DrillReport, Time};
use crate::api::{ApiError, ErrorCode};

impl Daemon {
    pub(super) async fn drill_folder(&self, folder: String) -> Result<DrillReport, ApiError> {
        let running = self.find(&folder)?;
        let daemon = self.me.upgrade().ok_or_else(stopped)?;
        // On a task of its own: what came of it is kept, also when nobody waits for it any more.
        tokio::spawn(async move { daemon.drill_now(&running).await }).await.map_err(failed)?
    }

    async fn drill_now(&self, running: &Running) -> Result<DrillReport, ApiError> {
        let at = Time::from_ms(now_ms().try_into().unwrap_or(i64::MAX));
        let hired = running.handle.ask(|actor| actor.hired_seeders()).await.ok_or_else(stopped)?;
        if hired.is_empty() {
            return Err(ApiError::new(ErrorCode::SeederNotFound, "no seeder keeps this folder")
                .hint("a seeder's owner gives you an offer for `cobox backup add`"));
        }
        let mut seeders = Vec::new();
        for seeder in hired {
            seeders.push(self.drill(running, seeder).await.unwrap_or_else(|| cut_short(&seeder)));
        }
        seeders.sort_by(|a, b| a.seeder.cmp(&b.seeder));
        let any = |outcome| seeders.iter().any(|drill| drill.outcome == outcome);
        let passed = !any(DrillOutcome::Failed) && !any(DrillOutcome::Unfinished);
        if passed && !any(DrillOutcome::Passed) {
            return Err(if any(DrillOutcome::NothingWhole) {
                ApiError::new(ErrorCode::NotInHistory, "no seeder that is connected has signed for a whole state yet")
                    .hint("`cobox status --wait` comes back when the folder is backed up")
            } else {
                ApiError::new(
                    ErrorCode::Unreachable,
                    "no seeder of this folder is connected, so nothing could be tried",
                )
                .hint("see that one runs and that this computer is connected to it: `cobox backup list`")
            });
        }
        Ok(DrillReport { folder: folder_name(running), at, passed, seeders })
    }
}
