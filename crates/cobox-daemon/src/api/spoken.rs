//! Invites by a nameplate and three words, for somebody who is there now.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::dto::{Role, SpokenInvite, SpokenRequest, SpokenWaitRequest};
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::members::EXPIRES_S_MAX;
use super::{Api, At, Body, FolderParam};

/// Words wait for a quarter of an hour at most.
const WAIT_S_MAX: u64 = 15 * 60;

/// Make an invite by a number and three words, to be said to somebody who types them now. They are good for one try: after a wrong one nobody
/// is let in. Wait for somebody who says them; when nobody waits for half a minute, they end.
#[utoipa::path(
    post,
    path = "/folders/{folder}/spoken",
    tag = "members",
    params(FolderParam),
    request_body = SpokenRequest,
    responses((status = 200, body = SpokenInvite), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn spoken(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<SpokenRequest>,
) -> Result<Json<SpokenInvite>, ApiError> {
    sensible(&request)?;
    api.service.spoken(at.folder, request).await.map(Json)
}

/// An invite by words in an address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct SpokenParam {
    /// A folder's name, id prefix or absolute path.
    folder: String,
    /// Its number.
    nameplate: u16,
}

/// Wait until somebody said the words, or nobody will any more; answers after `timeout_ms` with how it stands. Words end soon after nobody
/// waits for them.
#[utoipa::path(
    post,
    path = "/folders/{folder}/spoken/{nameplate}/wait",
    tag = "members",
    params(SpokenParam),
    request_body = SpokenWaitRequest,
    responses((status = 200, body = SpokenInvite), (status = 404, body = ErrorBody))
)]
pub(super) async fn spoken_wait(
    State(api): State<Api>,
    At(at): At<SpokenParam>,
    Body(request): Body<SpokenWaitRequest>,
) -> Result<Json<SpokenInvite>, ApiError> {
    api.service.spoken_wait(at.folder, at.nameplate, request).await.map(Json)
}

/// End an invite by words before its time. An invite that was given stays: cancel it among the invites.
#[utoipa::path(
    delete,
    path = "/folders/{folder}/spoken/{nameplate}",
    tag = "members",
    params(SpokenParam),
    responses((status = 200, body = SpokenInvite), (status = 404, body = ErrorBody))
)]
pub(super) async fn spoken_cancel(
    State(api): State<Api>,
    At(at): At<SpokenParam>,
) -> Result<Json<SpokenInvite>, ApiError> {
    api.service.spoken_cancel(at.folder, at.nameplate).await.map(Json)
}

fn sensible(request: &SpokenRequest) -> Result<(), ApiError> {
    let wrong = |message: &str, hint: &str| Err(ApiError::new(ErrorCode::BadRequest, message).hint(hint));
    if request.role == Role::Owner {
        return wrong("nobody is invited as owner", "invite as admin");
    }
    if request.expires_s == 0 || request.expires_s > EXPIRES_S_MAX {
        return wrong("an invite is good for one second to a year", "for example --expires 7d");
    }
    if request.wait_s == 0 || request.wait_s > WAIT_S_MAX {
        return wrong("words wait for one second to a quarter of an hour", "for example --wait 10m");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_by_words_must_make_sense() {
        let good = SpokenRequest { role: Role::Editor, approve: false, expires_s: 60, wait_s: WAIT_S_MAX };
        assert!(sensible(&good).is_ok());
        for bad in [
            SpokenRequest { role: Role::Owner, ..good.clone() },
            SpokenRequest { expires_s: 0, ..good.clone() },
            SpokenRequest { expires_s: u64::MAX, ..good.clone() },
            SpokenRequest { wait_s: 0, ..good.clone() },
            SpokenRequest { wait_s: WAIT_S_MAX + 1, ..good },
        ] {
            assert!(sensible(&bad).is_err(), "{bad:?}");
        }
    }
}
