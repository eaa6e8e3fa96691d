//! The settings of this device, as they stand in its file of settings.

use axum::Json;
use axum::extract::State;

use super::dto::{SettingsReply, SettingsRequest};
use super::error::{ApiError, ErrorBody};
use super::{Api, Body};

/// The settings, and what the limits and the schedule come to just now.
#[utoipa::path(get, path = "/config", tag = "service", responses((status = 200, body = SettingsReply)))]
pub(super) async fn settings(State(api): State<Api>) -> Result<Json<SettingsReply>, ApiError> {
    api.service.settings().await.map(Json)
}

/// Set some of them. They hold at once, but for those that are named in the answer.
#[utoipa::path(
    put,
    path = "/config",
    tag = "service",
    request_body = SettingsRequest,
    responses((status = 200, body = SettingsReply), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(super) async fn change_settings(
    State(api): State<Api>,
    Body(request): Body<SettingsRequest>,
) -> Result<Json<SettingsReply>, ApiError> {
    api.service.change_settings(request).await.map(Json)
}
