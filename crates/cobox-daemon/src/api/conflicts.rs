//! Files with more than one version.

use axum::Json;
use axum::extract::State;

use super::dto::Conflicts;
use super::error::{ApiError, ErrorBody};
use super::{Api, At, FolderParam};

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
