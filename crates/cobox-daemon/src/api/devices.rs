//! One person, several devices.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::dto::{DeviceLink, DeviceNameRequest, DeviceRemoved, Devices, Linked, RemoveRequest, UseLinkRequest};
use super::error::{ApiError, ErrorBody};
use super::{Api, At, Body};

/// A device in an address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct DeviceParam {
    /// A device's name, or the beginning of its key.
    device: String,
}

/// The person's devices.
#[utoipa::path(get, path = "/devices", tag = "devices", responses((status = 200, body = Devices)))]
pub(super) async fn devices(State(api): State<Api>) -> Result<Json<Devices>, ApiError> {
    api.service.devices().await.map(Json)
}

/// Make a code that makes one more device the person's. A secret.
#[utoipa::path(post, path = "/devices/link", tag = "devices", responses((status = 200, body = DeviceLink)))]
pub(super) async fn device_link(State(api): State<Api>) -> Result<Json<DeviceLink>, ApiError> {
    api.service.device_link().await.map(Json)
}

/// Become a device of the person who made the code; answers when their folders are here and their lists of files are known.
#[utoipa::path(
    post,
    path = "/devices/use",
    tag = "devices",
    request_body = UseLinkRequest,
    responses((status = 200, body = Linked), (status = 409, body = ErrorBody))
)]
pub(super) async fn device_use(
    State(api): State<Api>,
    Body(request): Body<UseLinkRequest>,
) -> Result<Json<Linked>, ApiError> {
    api.service.device_use(request).await.map(Json)
}

/// Name a device.
#[utoipa::path(
    post,
    path = "/devices/{device}/name",
    tag = "devices",
    params(DeviceParam),
    request_body = DeviceNameRequest,
    responses((status = 200, body = Devices), (status = 404, body = ErrorBody))
)]
pub(super) async fn device_name(
    State(api): State<Api>,
    At(at): At<DeviceParam>,
    Body(request): Body<DeviceNameRequest>,
) -> Result<Json<Devices>, ApiError> {
    api.service.device_name(at.device, request).await.map(Json)
}

/// Send a lost device away, out of all folders.
#[utoipa::path(
    post,
    path = "/devices/{device}/remove",
    tag = "devices",
    params(DeviceParam),
    request_body = RemoveRequest,
    responses((status = 200, body = DeviceRemoved), (status = 404, body = ErrorBody))
)]
pub(super) async fn device_remove(
    State(api): State<Api>,
    At(at): At<DeviceParam>,
    Body(request): Body<RemoveRequest>,
) -> Result<Json<DeviceRemoved>, ApiError> {
    api.service.device_remove(at.device, request).await.map(Json)
}
