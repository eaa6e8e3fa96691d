//! Removing something from history before its time.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::dto::{ForgetRequest, ForgetStatus, Forgets, Forgotten};
use super::error::{ApiError, ErrorBody};
use super::{Api, At, Body, FolderParam};

/// What owners have forgotten, and where copies remain until when.
#[utoipa::path(
    get,
    path = "/folders/{folder}/forgets",
    tag = "time",
    params(FolderParam),
    responses((status = 200, body = Forgets), (status = 404, body = ErrorBody))
)]
pub(super) async fn forgets(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<Forgets>, ApiError> {
    api.service.forgets(at.folder).await.map(Json)
}

/// Remove from history all that a path ever had, after the delay and in sight of all. Owners may.
#[utoipa::path(
    post,
    path = "/folders/{folder}/forgets",
    tag = "time",
    params(FolderParam),
    request_body = ForgetRequest,
    responses((status = 200, body = Forgotten), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn forget(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<ForgetRequest>,
) -> Result<Json<Forgotten>, ApiError> {
    api.service.forget(at.folder, request).await.map(Json)
}

/// What names a wish in an address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ForgetParam {
    /// A folder's name, id prefix or absolute path.
    folder: String,
    /// The beginning of the wish's id.
    forget: String,
}

/// Take a wish back before it counts.
#[utoipa::path(
    delete,
    path = "/folders/{folder}/forgets/{forget}",
    tag = "time",
    params(ForgetParam),
    responses((status = 200, body = ForgetStatus), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn forget_withdraw(
    State(api): State<Api>,
    At(at): At<ForgetParam>,
) -> Result<Json<ForgetStatus>, ApiError> {
    api.service.forget_withdraw(at.folder, at.forget).await.map(Json)
}
