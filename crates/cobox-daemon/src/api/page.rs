//! What the web page remembers of the person. It is kept here and not by the browser, for which the page is another at each start:
//! its port is.

use axum::Json;
use axum::extract::State;

use super::dto::PageSettings;
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::{Api, Body};

/// Characters of a language's code.
const LANGUAGE_CHARS_MAX: usize = 16;

/// What the web page remembers.
#[utoipa::path(get, path = "/page", tag = "page", responses((status = 200, body = PageSettings)))]
pub(super) async fn page_settings(State(api): State<Api>) -> Result<Json<PageSettings>, ApiError> {
    api.service.page_settings().await.map(Json)
}

/// Remember this instead.
#[utoipa::path(
    put,
    path = "/page",
    tag = "page",
    request_body = PageSettings,
    responses((status = 200, body = PageSettings), (status = 400, body = ErrorBody))
)]
pub(super) async fn keep_page_settings(
    State(api): State<Api>,
    Body(settings): Body<PageSettings>,
) -> Result<Json<PageSettings>, ApiError> {
    let is_code = |code: &String| {
        (1..=LANGUAGE_CHARS_MAX).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if settings.language.as_ref().is_some_and(|code| !is_code(code)) {
        return Err(ApiError::new(ErrorCode::BadRequest, "this is no language's code").hint("for example \"de\""));
    }
    api.service.keep_page_settings(settings).await.map(Json)
}
