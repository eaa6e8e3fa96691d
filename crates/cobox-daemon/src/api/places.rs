//! Directories of this computer, so that a person can choose one without typing its path.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::dto::{Place, PlaceRequest};
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::folders::absolute;
use super::{Api, Ask, Body};

/// Which directory.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PlaceFilter {
    /// An absolute path; the person's own directory when left out.
    path: Option<String>,
}

/// The directories in a directory.
#[utoipa::path(
    get,
    path = "/places",
    tag = "page",
    params(PlaceFilter),
    responses((status = 200, body = Place), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(super) async fn place(State(api): State<Api>, Ask(filter): Ask<PlaceFilter>) -> Result<Json<Place>, ApiError> {
    filter.path.as_deref().map_or(Ok(()), absolute)?;
    api.service.place(filter.path).await.map(Json)
}

/// Make a directory.
#[utoipa::path(
    post,
    path = "/places",
    tag = "page",
    request_body = PlaceRequest,
    responses((status = 200, body = Place), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(super) async fn make_place(
    State(api): State<Api>,
    Body(request): Body<PlaceRequest>,
) -> Result<Json<Place>, ApiError> {
    absolute(&request.parent)?;
    let plain = !request.name.is_empty()
        && !matches!(request.name.as_str(), "." | "..")
        && !request.name.contains('/')
        && !request.name.chars().any(char::is_control);
    if !plain {
        return Err(ApiError::new(ErrorCode::BadRequest, "this can not be the name of a directory")
            .hint("give one name, without /"));
    }
    api.service.make_place(request).await.map(Json)
}
