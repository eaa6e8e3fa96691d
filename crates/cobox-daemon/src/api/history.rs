//! What happened in a folder, and having it again as it was.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::dto::{History, RestoreRequest, Restored, TrashRestoreRequest, UndoRequest};
use super::error::{ApiError, ErrorBody};
use super::{Api, Ask, At, Body, FolderParam};

/// Which part of history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// A file, or a directory with all that is in it; everything when left out. It is followed through its renames.
    pub path: Option<String>,
    /// Where the page begins: `next` of the one before.
    pub from: Option<String>,
    /// Entries at most, 1 to 1000; 100 when left out.
    pub limit: Option<u32>,
}

/// A folder's changes, newest first.
#[utoipa::path(
    get,
    path = "/folders/{folder}/history",
    tag = "time",
    params(FolderParam, HistoryQuery),
    responses((status = 200, body = History), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn history(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Ask(query): Ask<HistoryQuery>,
) -> Result<Json<History>, ApiError> {
    api.service.history(at.folder, query).await.map(Json)
}

/// What was deleted, newest first; only files, and only those that are still gone.
#[utoipa::path(
    get,
    path = "/folders/{folder}/trash",
    tag = "time",
    params(FolderParam, HistoryQuery),
    responses((status = 200, body = History), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn trash(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Ask(query): Ask<HistoryQuery>,
) -> Result<Json<History>, ApiError> {
    api.service.trash(at.folder, query).await.map(Json)
}

/// Bring back something that was deleted, as a new change.
#[utoipa::path(
    post,
    path = "/folders/{folder}/trash/restore",
    tag = "time",
    params(FolderParam),
    request_body = TrashRestoreRequest,
    responses((status = 200, body = Restored), (status = 404, body = ErrorBody))
)]
pub(super) async fn trash_restore(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<TrashRestoreRequest>,
) -> Result<Json<Restored>, ApiError> {
    api.service.trash_restore(at.folder, request).await.map(Json)
}

/// Have files again as they were at a time, in the folder as new changes, or below another directory.
#[utoipa::path(
    post,
    path = "/folders/{folder}/restore",
    tag = "time",
    params(FolderParam),
    request_body = RestoreRequest,
    responses((status = 200, body = Restored), (status = 404, body = ErrorBody))
)]
pub(super) async fn restore(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<RestoreRequest>,
) -> Result<Json<Restored>, ApiError> {
    api.service.restore(at.folder, request).await.map(Json)
}

/// Set a whole folder back to a time, as new changes.
#[utoipa::path(
    post,
    path = "/folders/{folder}/undo",
    tag = "time",
    params(FolderParam),
    request_body = UndoRequest,
    responses((status = 200, body = Restored), (status = 404, body = ErrorBody))
)]
pub(super) async fn undo(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<UndoRequest>,
) -> Result<Json<Restored>, ApiError> {
    api.service.undo(at.folder, request).await.map(Json)
}
