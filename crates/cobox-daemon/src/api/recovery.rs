//! Before and after a loss: the recovery kit, and coming back with it.

use axum::Json;
use axum::extract::State;

use super::dto::{RecoverRequest, Recovered, RecoveryKit};
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::folders::absolute;
use super::{Api, Body};

/// The recovery words and where copies lie: a secret. A POST, so that no cache or prefetch ever asks for it.
#[utoipa::path(post, path = "/recovery/kit", tag = "recovery", responses((status = 200, body = RecoveryKit)))]
pub(super) async fn recovery_kit(State(api): State<Api>) -> Result<Json<RecoveryKit>, ApiError> {
    api.service.recovery_kit().await.map(Json)
}

/// Bring back an identity and its folders.
#[utoipa::path(
    post,
    path = "/recovery/recover",
    tag = "recovery",
    request_body = RecoverRequest,
    responses((status = 200, body = Recovered), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody), (status = 504, body = ErrorBody))
)]
pub(super) async fn recover(
    State(api): State<Api>,
    Body(request): Body<RecoverRequest>,
) -> Result<Json<Recovered>, ApiError> {
    request.to.as_deref().map_or(Ok(()), absolute)?;
    if request.seeders.is_empty() {
        return Err(ApiError::new(ErrorCode::BadRequest, "no seeder to ask")
            .hint("give at least one ticket, from the recovery kit or from the seeder's owner"));
    }
    api.service.recover(request).await.map(Json)
}
