//! Files with more than one version.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::dto::{Conflicts, Differences, SettleRequest, Settled};
use super::error::{ApiError, ErrorBody};
use super::{Api, Ask, At, Body, FolderParam};

/// Which conflict.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConflictFilter {
    /// Its path within the folder.
    #[serde(default)]
    pub(super) path: String,
}

/// A folder's files with more than one version.
#[utoipa::path(
    get,
    path = "/folders/{folder}/conflicts",
    tag = "conflicts",
    params(FolderParam),
    responses((status = 200, body = Conflicts), (status = 404, body = ErrorBody))
)]
pub(super) async fn conflicts(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<Conflicts>, ApiError> {
    api.service.conflicts(at.folder).await.map(Json)
}

/// In what the versions of a text differ.
#[utoipa::path(
    get,
    path = "/folders/{folder}/conflicts/differences",
    tag = "conflicts",
    params(FolderParam, ConflictFilter),
    responses((status = 200, body = Differences), (status = 404, body = ErrorBody))
)]
pub(super) async fn differences(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Ask(filter): Ask<ConflictFilter>,
) -> Result<Json<Differences>, ApiError> {
    api.service.conflict_differences(at.folder, filter.path).await.map(Json)
}

/// End a conflict: one version keeps the name, or each becomes a file of its own.
#[utoipa::path(
    post,
    path = "/folders/{folder}/conflicts/settle",
    tag = "conflicts",
    params(FolderParam),
    request_body = SettleRequest,
    responses((status = 200, body = Settled), (status = 404, body = ErrorBody))
)]
pub(super) async fn settle(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<SettleRequest>,
) -> Result<Json<Settled>, ApiError> {
    api.service.conflict_settle(at.folder, request).await.map(Json)
}
