//! The seeder on this computer: whether it runs, what it keeps for whom, new offers, and ending.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::dto::{KeptDropRequest, KeptDropped, Offer, OfferRequest, Seeding, SeedingStart};
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::{Api, At, Body};

/// A name or a label that is longer says no more.
const TEXT_CHARS_MAX: usize = 200;

/// A kept folder in an address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct KeptParam {
    /// The beginning of its id, at least six characters.
    id: String,
}

/// The seeder on this computer, and what it keeps.
#[utoipa::path(get, path = "/seeding", tag = "seeding", responses((status = 200, body = Seeding)))]
pub(super) async fn seeding(State(api): State<Api>) -> Result<Json<Seeding>, ApiError> {
    api.service.seeding().await.map(Json)
}

/// Start it; answers when it can be asked.
#[utoipa::path(
    post,
    path = "/seeding/start",
    tag = "seeding",
    request_body = SeedingStart,
    responses((status = 200, body = Seeding), (status = 409, body = ErrorBody))
)]
pub(super) async fn seeding_start(
    State(api): State<Api>,
    Body(request): Body<SeedingStart>,
) -> Result<Json<Seeding>, ApiError> {
    request.name.as_deref().map_or(Ok(()), |name| plain("the name", name))?;
    api.service.seeding_start(request).await.map(Json)
}

/// Stop it until it is started again; what it keeps stays.
#[utoipa::path(post, path = "/seeding/stop", tag = "seeding", responses((status = 200, body = Seeding)))]
pub(super) async fn seeding_stop(State(api): State<Api>) -> Result<Json<Seeding>, ApiError> {
    api.service.seeding_stop().await.map(Json)
}

/// Make an offer: whoever has it may place one folder here, once. A secret.
#[utoipa::path(
    post,
    path = "/seeding/offers",
    tag = "seeding",
    request_body = OfferRequest,
    responses((status = 200, body = Offer), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(super) async fn seeding_offer(
    State(api): State<Api>,
    Body(request): Body<OfferRequest>,
) -> Result<Json<Offer>, ApiError> {
    plain("the label", &request.label)?;
    api.service.seeding_offer(request).await.map(Json)
}

/// Delete what is kept of a folder, at once and for good, or only say what would go.
#[utoipa::path(
    post,
    path = "/seeding/folders/{id}/drop",
    tag = "seeding",
    params(KeptParam),
    request_body = KeptDropRequest,
    responses((status = 200, body = KeptDropped), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(super) async fn seeding_drop(
    State(api): State<Api>,
    At(at): At<KeptParam>,
    Body(request): Body<KeptDropRequest>,
) -> Result<Json<KeptDropped>, ApiError> {
    if !at.id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ApiError::new(ErrorCode::FolderNotFound, format!("{} is no folder's id", at.id)));
    }
    api.service.seeding_drop(at.id, request).await.map(Json)
}

/// It becomes a word of a command.
fn plain(what: &str, text: &str) -> Result<(), ApiError> {
    if text.chars().any(char::is_control) || text.chars().count() > TEXT_CHARS_MAX {
        return Err(ApiError::new(ErrorCode::BadRequest, format!("{what} can not be used"))
            .hint(format!("give one line of at most {TEXT_CHARS_MAX} characters")));
    }
    Ok(())
}
