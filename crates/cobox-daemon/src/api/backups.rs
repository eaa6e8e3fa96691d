//! Where encrypted copies lie.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::dto::{BackupAddRequest, BackupAdded, BackupEnd, Backups};
use super::error::{ApiError, ErrorBody};
use super::{Api, Ask, At, Body, FolderParam};

/// What names a backup in an address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct BackupParam {
    /// A folder's name, id prefix or absolute path.
    folder: String,
    /// The seeder's name or key prefix.
    seeder: String,
}

/// Where a folder's encrypted copies lie.
#[utoipa::path(
    get,
    path = "/folders/{folder}/backups",
    tag = "backups",
    params(FolderParam),
    responses((status = 200, body = Backups), (status = 404, body = ErrorBody))
)]
pub(super) async fn backup_list(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<Backups>, ApiError> {
    api.service.backup_list(at.folder).await.map(Json)
}

/// Take up a hosting offer.
#[utoipa::path(
    post,
    path = "/folders/{folder}/backups",
    tag = "backups",
    params(FolderParam),
    request_body = BackupAddRequest,
    responses((status = 200, body = BackupAdded), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(super) async fn backup_add(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<BackupAddRequest>,
) -> Result<Json<BackupAdded>, ApiError> {
    api.service.backup_add(at.folder, request).await.map(Json)
}

/// How a backup is to be ended.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupRemoveQuery {
    /// Also if it is the last whole copy that is known, besides the one on this computer.
    #[serde(default)]
    even_the_last_copy: bool,
}

/// End a backup.
#[utoipa::path(
    delete,
    path = "/folders/{folder}/backups/{seeder}",
    tag = "backups",
    params(BackupParam, BackupRemoveQuery),
    responses((status = 200, body = BackupEnd), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(super) async fn backup_remove(
    State(api): State<Api>,
    At(at): At<BackupParam>,
    Ask(query): Ask<BackupRemoveQuery>,
) -> Result<Json<BackupEnd>, ApiError> {
    api.service.backup_remove(at.folder, at.seeder, query.even_the_last_copy).await.map(Json)
}
