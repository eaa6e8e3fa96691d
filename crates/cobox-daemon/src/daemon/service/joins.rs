//! Joins that wait at a folder of ours: who asks, letting them in, refusing them.

use cobox_core::members::{RemovalError, WaitingJoin, same_words};
use cobox_proto::members::{Role as MemberRole, Void};

use super::super::Daemon;
use super::invites::{ID_CHARS, invited_by};
use super::status::role as shown_role;
use super::{failed, stopped};
use crate::api::dto::{ApproveRequest, JoinStatus, Joins, JoinsRefused, Time};
use crate::api::{ApiError, ErrorCode, EventKind, News, find_join};
use crate::folder::FolderActor;

impl Daemon {
    pub(super) async fn list_joins(&self, folder: String) -> Result<Joins, ApiError> {
        let running = self.find(&folder)?;
        let joins = running.handle.ask(|actor| {
            let waiting = actor.waiting_joins();
            waiting.iter().map(|join| shown(actor, join)).collect()
        });
        Ok(Joins { joins: joins.await.ok_or_else(stopped)? })
    }

    pub(super) async fn approve_join(
        &self,
        folder: String,
        who: String,
        request: ApproveRequest,
    ) -> Result<JoinStatus, ApiError> {
        let running = self.find(&folder)?;
        let approved = running.handle.ask(move |actor| {
            let join = find(actor, &who)?;
            compared(&join, request.words.as_deref())?;
            let told = shown(actor, &join);
            actor.approve_join(join.join).map_err(|why| refused(&why))?;
            Ok::<_, ApiError>(told)
        });
        approved.await.ok_or_else(stopped)?
    }

    pub(super) async fn refuse_join(&self, folder: String, who: String) -> Result<JoinsRefused, ApiError> {
        let running = self.find(&folder)?;
        let refused = running.handle.ask(move |actor| {
            let join = find(actor, &who)?;
            let by_it = actor.waiting_joins().into_iter().filter(|other| other.invite == join.invite);
            let told: Vec<JoinStatus> = by_it.map(|other| shown(actor, &other)).collect();
            actor.refuse_join(join.join).map_err(|why| refused(&why))?;
            Ok::<_, ApiError>(told)
        });
        let refused = refused.await.ok_or_else(stopped)??;
        for join in &refused {
            let text = format!("{}: {} was not let in", running.config.name, named(join));
            let news = News::new(EventKind::FolderChanged, text).folder(running.config.id.clone());
            self.events.publish(news.who(join.key.clone()));
        }
        Ok(JoinsRefused { refused })
    }
}

/// How people call somebody who asks.
fn named(join: &JoinStatus) -> &str {
    join.name.as_deref().unwrap_or(&join.key[..join.key.len().min(8)])
}

fn shown(actor: &FolderActor, join: &WaitingJoin) -> JoinStatus {
    JoinStatus {
        key: join.member.to_string(),
        name: join.name.clone(),
        role: shown_role(join.role),
        words: join.words.clone(),
        invite: join.invite.to_string()[..ID_CHARS].to_owned(),
        invited_by: invited_by(actor, &join.invite).unwrap_or_default(),
        expires_at: Time::from_ms(i64::try_from(join.expires_ms).unwrap_or(i64::MAX)),
    }
}

/// Who is meant by a name or the beginning of a key.
fn find(actor: &FolderActor, typed: &str) -> Result<WaitingJoin, ApiError> {
    let mut waiting = actor.waiting_joins();
    let told: Vec<JoinStatus> = waiting.iter().map(|join| shown(actor, join)).collect();
    Ok(waiting.swap_remove(find_join(&told, typed)?))
}

/// Whoever becomes an admin is let in with compared words only; words that were compared must be theirs.
fn compared(join: &WaitingJoin, words: Option<&str>) -> Result<(), ApiError> {
    match words {
        Some(typed) if !same_words(&join.words, typed) => Err(ApiError::new(
            ErrorCode::Refused,
            "these are not the words of who asks here: it is somebody else, or a typing error",
        )
        .hint("`cobox joins list` shows the words; if theirs are others, refuse, and make a new invite")),
        None if join.role >= MemberRole::Admin => Err(ApiError::new(
            ErrorCode::BadRequest,
            "who becomes an admin is let in only with their six words compared",
        )
        .hint("have them read the words to you, and give them: --words \"...\"")),
        _ => Ok(()),
    }
}

fn refused(why: &RemovalError) -> ApiError {
    match why {
        RemovalError::Refused(Void::NeedsApproval | Void::RoleTooLow) => {
            ApiError::new(ErrorCode::RoleForbids, "only owners and admins decide who is let in")
                .hint("ask one of them: `cobox members list`")
        }
        RemovalError::NoTarget | RemovalError::Refused(_) | RemovalError::Overruled => {
            ApiError::new(ErrorCode::JoinNotFound, "they do not ask any more: the invite is closed, used up or over")
                .hint("`cobox joins list` names who asks")
        }
        RemovalError::NotMember => ApiError::new(ErrorCode::RoleForbids, why.to_string())
            .hint("nothing can be changed from here; `cobox leave` ends it, your files stay"),
        _ => failed(why),
    }
}
