//! Changes the brake holds back.

use axum::Json;
use axum::extract::State;

use super::dto::{HeldChanges, HeldRequest};
use super::error::{ApiError, ErrorBody};
use super::status::FolderFilter;
use super::{Api, Ask, At, Body, FolderParam};

/// Changes held back, everywhere or in one folder.
#[utoipa::path(
    get,
    path = "/held",
    tag = "held changes",
    params(FolderFilter),
    responses((status = 200, body = HeldChanges), (status = 404, body = ErrorBody))
)]
pub(super) async fn held_list(
    State(api): State<Api>,
    Ask(filter): Ask<FolderFilter>,
) -> Result<Json<HeldChanges>, ApiError> {
    api.service.held_list(filter.folder).await.map(Json)
}

/// Let held changes through.
#[utoipa::path(
    post,
    path = "/folders/{folder}/held/approve",
    tag = "held changes",
    params(FolderParam),
    request_body = HeldRequest,
    responses((status = 200, body = HeldChanges), (status = 404, body = ErrorBody))
)]
pub(super) async fn held_approve(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<HeldRequest>,
) -> Result<Json<HeldChanges>, ApiError> {
    api.service.held_approve(at.folder, request).await.map(Json)
}

/// Turn held changes back.
#[utoipa::path(
    post,
    path = "/folders/{folder}/held/reject",
    tag = "held changes",
    params(FolderParam),
    request_body = HeldRequest,
    responses((status = 200, body = HeldChanges), (status = 404, body = ErrorBody))
)]
pub(super) async fn held_reject(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<HeldRequest>,
) -> Result<Json<HeldChanges>, ApiError> {
    api.service.held_reject(at.folder, request).await.map(Json)
}
