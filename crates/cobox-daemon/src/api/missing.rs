//! Files of a folder that are not on this device, and giving one up.

use axum::Json;
use axum::extract::State;

use super::dto::{MissingFiles, MissingRequest};
use super::error::{ApiError, ErrorBody};
use super::{Api, At, Body, FolderParam};

/// A folder's files whose content is not here, and why.
#[utoipa::path(
    get,
    path = "/folders/{folder}/missing",
    tag = "missing files",
    params(FolderParam),
    responses((status = 200, body = MissingFiles), (status = 404, body = ErrorBody))
)]
pub(super) async fn missing(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<MissingFiles>, ApiError> {
    api.service.missing(at.folder).await.map(Json)
}

/// Give up a missing file: it is deleted for everybody.
#[utoipa::path(
    post,
    path = "/folders/{folder}/missing/drop",
    tag = "missing files",
    params(FolderParam),
    request_body = MissingRequest,
    responses(
        (status = 200, body = MissingFiles),
        (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn missing_drop(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<MissingRequest>,
) -> Result<Json<MissingFiles>, ApiError> {
    api.service.missing_drop(at.folder, request).await.map(Json)
}
