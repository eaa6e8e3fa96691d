//! Placing a folder with a seeder, and ending that.

use std::collections::BTreeMap;
use std::time::Duration;

use cobox_core::state::ViewEntry;
use cobox_proto::hosting::{Offer, OfferError, Ticket};
use cobox_proto::members::{OpBody, Retention, Role};

use super::super::{Daemon, Running, now_ms};
use super::status::{Snapshot, snapshot};
use super::{failed, stopped};
use crate::api::dto::{BackupAddRequest, BackupAdded, BackupEnd, BackupStatus, Backups, Time};
use crate::api::{ApiError, ErrorCode};
use crate::folder::{FolderActor, SeederConfig};

/// How long a seeder may take to answer.
pub(in crate::daemon) const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// One member may use at most this share of what is free, in percent (rule R8).
pub(in crate::daemon) const MEMBER_SHARE: u8 = 50;
/// What is asked of a seeder: every head for an hour, then one an hour for a week, one a day for 90 days.
pub(in crate::daemon) const RETENTION: Retention =
    Retention { all_hours: 1, hourly_days: 7, daily_days: 90, monthly_months: 0 };

/// Bytes of content that a copy of the folder holds at least: what stands at two places counts once.
fn bytes_to_keep(actor: &mut FolderActor) -> u64 {
    let Some(engine) = &actor.engine else { return 0 };
    let shown = engine.view().entries.values().filter_map(ViewEntry::shown);
    let bodies = shown.filter_map(|leaf| leaf.body(engine.state()));
    let distinct: BTreeMap<[u8; 32], u64> = bodies.map(|body| (body.plain_digest, body.size)).collect();
    distinct.values().sum()
}

impl Daemon {
    pub(super) async fn add_backup(&self, folder: String, request: BackupAddRequest) -> Result<BackupAdded, ApiError> {
        let running = self.find(&folder)?;
        if let Ok(ticket) = Ticket::from_text(&request.offer) {
            return self.seeder_moved(&running, ticket).await;
        }
        let offer = Offer::from_text(&request.offer).map_err(|why| match why {
            OfferError::Text(_) | OfferError::Forged => ApiError::new(ErrorCode::CodeUnreadable, why.to_string()),
        })?;
        let has = running.config.seeders.iter().find(|known| known.sig_key() == Some(offer.seeder));
        if has.is_some_and(|known| known.quota_bytes >= offer.quota_bytes) {
            // It brings no more room; but where the seeder is now may be news.
            return self.seeder_moved(&running, offer.ticket).await;
        }
        if now_ms() > offer.expires_ms {
            return Err(ApiError::new(ErrorCode::CodeSpent, "the hosting offer has expired")
                .hint("ask the seeder for a new one"));
        }
        may_decide_on_backups(&running).await?;
        let seeder = offer.seeder;
        let needed_bytes = running.handle.ask(bytes_to_keep).await.ok_or_else(stopped)?;
        if needed_bytes > offer.quota_bytes {
            let (needed, offered) = (needed_bytes.div_ceil(1_000_000), offer.quota_bytes / 1_000_000);
            return Err(ApiError::new(
                ErrorCode::QuotaExceeded,
                format!("the folder's files are {needed} MB, and the offer is for {offered} MB"),
            )
            .hint("ask the seeder for a larger offer; this one is not used up"));
        }
        let link = self.call_ticket(&offer.ticket).await.map_err(|why| {
            ApiError::new(ErrorCode::Unreachable, format!("the seeder could not be reached: {why}"))
                .hint("see that it is running and that this computer is connected to it")
        })?;
        let id = running.handle.id;
        let body = OpBody::SeederGrant {
            seeder,
            offer_hash: offer.grant_hash(&id),
            quota_bytes: offer.quota_bytes,
            retention: RETENTION,
            member_share: MEMBER_SHARE,
        };
        let (granted, answer) = running
            .handle
            .ask(move |actor| (actor.propose(body), actor.claim_when_open(seeder)))
            .await
            .ok_or_else(stopped)?;
        let grant = granted.map_err(failed)?;
        let spent = |why: String| {
            ApiError::new(ErrorCode::CodeSpent, format!("the seeder does not take the folder: {why}"))
                .hint("ask the seeder for a new offer")
        };
        let silent = || {
            ApiError::new(ErrorCode::Unreachable, "the connection to the seeder ended before it answered")
                .hint("try again; the offer is not used up")
        };
        let taken = if link.claim(id, offer.id, offer.secret).await {
            match tokio::time::timeout(ANSWER_WAIT, answer).await {
                Ok(Ok(told)) => told.map_err(spent),
                _ => Err(silent()),
            }
        } else if link.is_over() {
            Err(silent())
        } else {
            Err(spent("the hosting offer is already used, or the seeder does not know it".into()))
        };
        if let Err(why) = taken {
            // The grant is taken back: nobody hosts by it.
            let _ = running.handle.ask(move |actor| actor.propose(OpBody::SeederEnd { seeder: grant })).await;
            return Err(why);
        }
        let entry =
            SeederConfig { key: seeder.to_string(), ticket: offer.ticket.to_text(), quota_bytes: offer.quota_bytes };
        let config = running
            .handle
            .ask({
                let entry = entry.clone();
                move |actor| {
                    actor.config.seeders.retain(|known| known.key != entry.key);
                    actor.config.seeders.push(entry);
                    actor.save_config();
                    actor.config.clone()
                }
            })
            .await
            .ok_or_else(stopped)?;
        self.note_config(config);
        let pass = running.handle.ask(|actor| actor.pass()).await.ok_or_else(stopped)?;
        link.open_and_wait(id, pass).await;
        if let Err(why) = self.place_vault(&running, seeder, entry).await {
            tracing::warn!(why, "the vault is not placed yet; this is tried again");
        }
        let shown = running.handle.ask(snapshot).await.ok_or_else(stopped)?;
        let backup =
            shown.backups.into_iter().find(|b| b.seeder == seeder.short()).ok_or_else(|| failed("no such backup"))?;
        Ok(BackupAdded { backup, quota_bytes: offer.quota_bytes })
    }

    /// A seeder of the folder is found at another address from now on, for all folders that it keeps.
    async fn seeder_moved(&self, running: &Running, ticket: Ticket) -> Result<BackupAdded, ApiError> {
        let (here, now_at) = (ticket.endpoint, ticket.to_text());
        let known = running.config.seeders.iter().find(|entry| entry.ticket().is_some_and(|old| old.endpoint == here));
        let Some(entry) = known.cloned() else {
            return Err(ApiError::new(
                ErrorCode::SeederNotFound,
                "this is the ticket of a seeder that does not keep this folder",
            )
            .hint("to place a copy there, ask its owner for an offer"));
        };
        for running in self.running() {
            let now_at = now_at.clone();
            let config =
                running.handle.ask(move |actor| actor.seeder_moved(here, &now_at).then(|| actor.config.clone()));
            if let Some(config) = config.await.flatten() {
                self.note_config(config);
            }
        }
        self.call_ticket(&ticket).await.map_err(|why| {
            ApiError::new(
                ErrorCode::Unreachable,
                format!("its new address is noted, but it does not answer there: {why}"),
            )
            .hint("it is called again by itself; see that it is running")
        })?;
        let key = entry.sig_key().map(|key| key.short()).unwrap_or_default();
        let shown = running.handle.ask(snapshot).await.ok_or_else(stopped)?;
        let backup = shown.backups.into_iter().find(|b| b.seeder == key).ok_or_else(|| failed("no such backup"))?;
        Ok(BackupAdded { backup, quota_bytes: entry.quota_bytes })
    }

    pub(super) async fn list_backups(&self, folder: String) -> Result<Backups, ApiError> {
        let status = self.status_of(Some(folder)).await?;
        Ok(Backups { backups: status.folders.into_iter().flat_map(|f| f.backups).collect() })
    }

    pub(super) async fn remove_backup(
        &self,
        folder: String,
        typed: String,
        even_the_last_copy: bool,
    ) -> Result<BackupEnd, ApiError> {
        let running = self.find(&folder)?;
        may_decide_on_backups(&running).await?;
        let wanted = typed.to_ascii_lowercase();
        if !even_the_last_copy {
            let snapshot = self.folder_snapshot(&running).await?;
            refuse_last_copy(&running, &snapshot, &wanted)?;
        }
        let ended = running
            .handle
            .ask(move |actor| {
                let seeders = actor.replica.membership().roster().seeders();
                let found =
                    seeders.iter().find(|s| wanted.len() >= 6 && s.key.to_string().starts_with(&wanted))?.clone();
                let kept_until =
                    actor.newest_receipt(&found.key).map(|r| Time::from_ms(r.receipt().keep_until_ms as i64));
                let told = actor.propose(OpBody::SeederEnd { seeder: found.grant });
                actor.config.seeders.retain(|s| s.sig_key() != Some(found.key));
                actor.save_config();
                Some((told, actor.config.clone(), BackupEnd { seeder: found.key.short(), kept_until }))
            })
            .await
            .ok_or_else(stopped)?;
        let (told, config, end) = ended.ok_or_else(|| {
            ApiError::new(ErrorCode::SeederNotFound, format!("no seeder \"{typed}\" keeps this folder"))
                .hint("`cobox backup list` names them")
        })?;
        told.map_err(failed)?;
        self.note_config(config);
        self.write_vault().await;
        Ok(end)
    }
}

/// A copy that a seeder has signed for goes only if the newest state lies whole somewhere else than on this computer, too.
fn refuse_last_copy(running: &Running, snapshot: &Snapshot, wanted: &str) -> Result<(), ApiError> {
    let is_it = |backup: &&BackupStatus| wanted.len() >= 6 && wanted.starts_with(backup.seeder.as_str());
    let is_meant = |backup: &&BackupStatus| is_it(backup) || wanted.len() >= 6 && backup.seeder.starts_with(wanted);
    let Some(backup) = snapshot.backups.iter().find(is_meant) else { return Ok(()) };
    if backup.head_at.is_none() || snapshot.files() == 0 || snapshot.lies_whole_elsewhere(Some(&backup.seeder)) {
        return Ok(());
    }
    let (name, seeder) = (&running.config.name, &backup.seeder);
    let what = match snapshot.is_whole_here() {
        true => format!("{name} would lie on this computer alone: nobody else but {seeder} is known to have it whole"),
        false => format!("nobody but {seeder} is known to have {name} whole, and this computer has not"),
    };
    Err(ApiError::new(ErrorCode::LastCopy, what).hint(
        "wait until another seeder or a member has all of it (`cobox status --wait`); --even-the-last-copy ends it all the same",
    ))
}

/// What an editor says of backups counts for nobody.
async fn may_decide_on_backups(running: &Running) -> Result<(), ApiError> {
    let role = running.handle.ask(|actor| actor.role()).await.ok_or_else(stopped)?;
    match role.is_some_and(|role| role >= Role::Admin) {
        true => Ok(()),
        false => {
            Err(ApiError::new(ErrorCode::RoleForbids, "only owners and admins of a folder decide where backups are")
                .hint("ask one of them: `cobox members list`"))
        }
    }
}
