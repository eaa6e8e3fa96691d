//! The service itself: who this is, how everything stands, stopping.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::dto::{RenameRequest, Status, Stopping, WaitRequest, Whoami};
use super::error::{ApiError, ErrorBody};
use super::{Api, Ask, Body};

/// One folder, or all.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FolderFilter {
    /// A folder's name, id prefix or absolute path.
    pub(super) folder: Option<String>,
}

/// Name, CoBox key, device and addresses.
#[utoipa::path(get, path = "/whoami", tag = "service", responses((status = 200, body = Whoami)))]
pub(super) async fn whoami(State(api): State<Api>) -> Result<Json<Whoami>, ApiError> {
    let mut whoami = api.service.whoami().await?;
    whoami.api = api.url();
    Ok(Json(whoami))
}

/// Take another name. Folders that one is in already go on with the one they were entered by.
#[utoipa::path(
    put,
    path = "/whoami",
    tag = "service",
    request_body = RenameRequest,
    responses((status = 200, body = Whoami), (status = 400, body = ErrorBody))
)]
pub(super) async fn rename(
    State(api): State<Api>,
    Body(request): Body<RenameRequest>,
) -> Result<Json<Whoami>, ApiError> {
    api.service.rename(request).await?;
    whoami(State(api)).await
}

/// How everything stands, or one folder.
#[utoipa::path(
    get,
    path = "/status",
    tag = "service",
    params(FolderFilter),
    responses((status = 200, body = Status), (status = 404, body = ErrorBody))
)]
pub(super) async fn status(State(api): State<Api>, Ask(filter): Ask<FolderFilter>) -> Result<Json<Status>, ApiError> {
    api.service.status(filter.folder).await.map(Json)
}

/// Wait until in step; looks at the disk again first if asked to.
#[utoipa::path(
    post,
    path = "/status/wait",
    tag = "service",
    request_body = WaitRequest,
    responses((status = 200, body = Status), (status = 404, body = ErrorBody))
)]
pub(super) async fn wait(State(api): State<Api>, Body(request): Body<WaitRequest>) -> Result<Json<Status>, ApiError> {
    api.service.wait(request).await.map(Json)
}

/// Stop the service.
#[utoipa::path(post, path = "/down", tag = "service", responses((status = 200, body = Stopping)))]
pub(super) async fn down(State(api): State<Api>) -> Json<Stopping> {
    api.shutdown.cancel();
    Json(Stopping { stopping: true })
}
