//! Joins that wait: at the folder that is asked, and at the device that asks.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::dto::{ApproveRequest, JoinStatus, Joining, JoiningStatus, Joins, JoinsRefused};
use super::error::{ApiError, ErrorBody};
use super::{Api, At, Body, FolderParam};

/// Who asks to be let in.
#[utoipa::path(
    get,
    path = "/folders/{folder}/joins",
    tag = "joins",
    params(FolderParam),
    responses((status = 200, body = Joins), (status = 404, body = ErrorBody))
)]
pub(super) async fn joins(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<Joins>, ApiError> {
    api.service.joins(at.folder).await.map(Json)
}

/// Somebody who asks, in an address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct JoinParam {
    /// A folder's name, id prefix or absolute path.
    folder: String,
    /// What they call themselves, or the beginning of their key.
    who: String,
}

/// Let somebody in who asks. Compare the six words with them first.
#[utoipa::path(
    post,
    path = "/folders/{folder}/joins/{who}/approve",
    tag = "joins",
    params(JoinParam),
    request_body = ApproveRequest,
    responses((status = 200, body = JoinStatus), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn join_approve(
    State(api): State<Api>,
    At(at): At<JoinParam>,
    Body(request): Body<ApproveRequest>,
) -> Result<Json<JoinStatus>, ApiError> {
    api.service.join_approve(at.folder, at.who, request).await.map(Json)
}

/// Refuse somebody who asks. The invite is closed with it: whoever has its code could ask again with other keys. So all who ask by it
/// are refused.
#[utoipa::path(
    post,
    path = "/folders/{folder}/joins/{who}/refuse",
    tag = "joins",
    params(JoinParam),
    responses((status = 200, body = JoinsRefused), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn join_refuse(State(api): State<Api>, At(at): At<JoinParam>) -> Result<Json<JoinsRefused>, ApiError> {
    api.service.join_refuse(at.folder, at.who).await.map(Json)
}

/// Folders this device asks to be let into.
#[utoipa::path(get, path = "/joins", tag = "joins", responses((status = 200, body = Joining)))]
pub(super) async fn joining(State(api): State<Api>) -> Result<Json<Joining>, ApiError> {
    api.service.joining().await.map(Json)
}

/// Stop asking, or put out of sight what was refused.
#[utoipa::path(
    delete,
    path = "/joins/{folder}",
    tag = "joins",
    params(FolderParam),
    responses((status = 200, body = JoiningStatus), (status = 404, body = ErrorBody))
)]
pub(super) async fn join_withdraw(
    State(api): State<Api>,
    At(at): At<FolderParam>,
) -> Result<Json<JoiningStatus>, ApiError> {
    api.service.join_withdraw(at.folder).await.map(Json)
}
