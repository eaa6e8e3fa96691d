//! What holds for a folder as a whole: whether joins wait, and when there are new keys.

use cobox_core::members::{EPOCH_AGE_MS_MAX, RemovalError};
use cobox_proto::members::Void;

use super::super::Daemon;
use super::{failed, stopped};
use crate::api::dto::{FolderPolicy, PolicyRequest};
use crate::api::{ApiError, ErrorCode, EventKind, News};
use crate::folder::FolderActor;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Daemon {
    pub(super) async fn read_policy(&self, folder: String) -> Result<FolderPolicy, ApiError> {
        let running = self.find(&folder)?;
        running.handle.ask(|actor| shown(actor)).await.ok_or_else(stopped)
    }

    pub(super) async fn write_policy(&self, folder: String, request: PolicyRequest) -> Result<FolderPolicy, ApiError> {
        let running = self.find(&folder)?;
        let wanted = request.approve_joins;
        let set = running.handle.ask(move |actor| {
            let differs = shown(actor).approve_joins != wanted;
            if differs {
                actor.set_approve_joins(wanted).map_err(|why| refused(&why))?;
            }
            Ok::<_, ApiError>((shown(actor), differs))
        });
        let (policy, differs) = set.await.ok_or_else(stopped)??;
        if differs {
            let how = if wanted {
                "whoever joins waits until you or another admin approves"
            } else {
                "a code lets in at once"
            };
            let news = News::new(EventKind::FolderChanged, format!("{}: {how} from now on", running.config.name));
            self.events.publish(news.folder(running.config.id.clone()));
        }
        Ok(policy)
    }
}

fn shown(actor: &FolderActor) -> FolderPolicy {
    FolderPolicy {
        approve_joins: actor.replica.membership().roster().policy().approve_joins,
        new_keys_days: EPOCH_AGE_MS_MAX / DAY_MS,
    }
}

fn refused(why: &RemovalError) -> ApiError {
    match why {
        RemovalError::Refused(Void::RoleTooLow) => ApiError::new(
            ErrorCode::RoleForbids,
            "what holds for the whole folder is decided by its owners, and by admins where there is no owner",
        )
        .hint("ask one of them: `cobox members list`"),
        RemovalError::NotMember => ApiError::new(ErrorCode::RoleForbids, why.to_string())
            .hint("nothing can be changed from here; `cobox leave` ends it, your files stay"),
        RemovalError::Overruled => {
            ApiError::new(ErrorCode::Refused, why.to_string()).hint("look again: `cobox policy show`")
        }
        _ => failed(why),
    }
}
