//! What a person changed here who may only read the folder.

use axum::Json;
use axum::extract::State;

use super::dto::{Edits, EditsReset, ResetRequest};
use super::error::{ApiError, ErrorBody};
use super::{Api, At, Body, FolderParam};

/// What was changed or added on this device and is nobody else's.
#[utoipa::path(
    get,
    path = "/folders/{folder}/edits",
    tag = "files",
    params(FolderParam),
    responses((status = 200, body = Edits), (status = 404, body = ErrorBody))
)]
pub(super) async fn edits(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<Edits>, ApiError> {
    api.service.edits(at.folder).await.map(Json)
}

/// Set it aside beside the folder; the folder's own comes back.
#[utoipa::path(
    post,
    path = "/folders/{folder}/edits/reset",
    tag = "files",
    params(FolderParam),
    request_body = ResetRequest,
    responses((status = 200, body = EditsReset), (status = 404, body = ErrorBody))
)]
pub(super) async fn edits_reset(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<ResetRequest>,
) -> Result<Json<EditsReset>, ApiError> {
    api.service.edits_reset(at.folder, request).await.map(Json)
}
