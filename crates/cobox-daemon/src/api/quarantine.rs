//! What people wrote who were sent away, as far as nobody had seen it before.

use axum::Json;
use axum::extract::State;

use super::dto::{Quarantine, QuarantineRequest};
use super::error::{ApiError, ErrorBody};
use super::{Api, At, Body, FolderParam};

/// What is held aside.
#[utoipa::path(
    get,
    path = "/folders/{folder}/quarantine",
    tag = "members",
    params(FolderParam),
    responses((status = 200, body = Quarantine), (status = 404, body = ErrorBody))
)]
pub(super) async fn quarantine(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<Quarantine>, ApiError> {
    api.service.quarantine(at.folder).await.map(Json)
}

/// Take it into the folder after all; answers with what was taken.
#[utoipa::path(
    post,
    path = "/folders/{folder}/quarantine/adopt",
    tag = "members",
    params(FolderParam),
    request_body = QuarantineRequest,
    responses((status = 200, body = Quarantine), (status = 404, body = ErrorBody))
)]
pub(super) async fn adopt(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<QuarantineRequest>,
) -> Result<Json<Quarantine>, ApiError> {
    api.service.quarantine_adopt(at.folder, request).await.map(Json)
}

/// Put it out of sight on this device; answers with what was.
#[utoipa::path(
    post,
    path = "/folders/{folder}/quarantine/discard",
    tag = "members",
    params(FolderParam),
    request_body = QuarantineRequest,
    responses((status = 200, body = Quarantine), (status = 404, body = ErrorBody))
)]
pub(super) async fn discard(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<QuarantineRequest>,
) -> Result<Json<Quarantine>, ApiError> {
    api.service.quarantine_discard(at.folder, request).await.map(Json)
}
