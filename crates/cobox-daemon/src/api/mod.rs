//! The daemon's HTTP API: one route table, one guard, one place for JSON and one for errors. The command line and the web page are
//! ordinary clients of it.
//!
//! What must hold: the listener is on loopback; nothing is routed before the guard has passed it; GET never changes anything; every
//! refusal is `{code, message, hint}`. Handlers parse, call one method of [`Service`] and answer.

// The expansion of `utoipa::path` names parameter types by longer paths than needed.
#![allow(unused_qualifications)]

mod backups;
mod conflicts;
mod devices;
pub mod dto;
mod edits;
mod error;
mod events;
mod files;
mod folders;
mod forgets;
mod guard;
mod held;
mod history;
mod joins;
mod login;
mod members;
mod missing;
mod page;
mod places;
mod problem;
mod quarantine;
mod recovery;
mod seeding;
mod server;
mod service;
mod settings;
mod spoken;
mod status;
mod web;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoParams, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

pub use dto::EventKind;
pub use error::{ApiError, ErrorBody, ErrorCode, Exit};
pub use events::{EventLog, News};
pub use files::{Bytestream, FileContent, FilesQuery};
pub use folders::find_folder;
pub use history::HistoryQuery;
pub(crate) use joins::KEY_CHARS_MIN;
pub use joins::find_join;
pub use problem::ProblemCode;
pub use server::{ServeError, serve};
pub use service::{Answer, Service};

use guard::{Guard, Token, guard};

/// Where the API's routes begin.
pub const BASE: &str = "/api/v1";
/// The one route that needs no token, since it hands the token out.
const LOGIN_PATH: &str = "/api/v1/login";
/// Bytes of a request's body: a code, a dozen tickets, a path.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What every handler gets.
#[derive(Clone)]
struct Api {
    service: Arc<dyn Service>,
    shutdown: CancellationToken,
    links: Arc<login::Links>,
    token: Zeroizing<String>,
    address: SocketAddr,
}

impl Api {
    fn new(
        service: Arc<dyn Service>,
        token: Zeroizing<String>,
        address: SocketAddr,
        shutdown: CancellationToken,
    ) -> Self {
        Self { service, shutdown, links: Arc::default(), token, address }
    }

    /// Where the web page is.
    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "cobox",
        description = "The local API of a cobox member's service. Token in the Authorization header, from api.json in the state directory.",
        license(name = "AGPL-3.0-or-later")
    ),
    security(("token" = []))
)]
struct Document;

/// The route table.
fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(status::whoami, status::rename))
        .routes(routes!(status::status))
        .routes(routes!(status::wait))
        .routes(routes!(status::down))
        .routes(routes!(settings::settings, settings::change_settings))
        .routes(routes!(events::events))
        .routes(routes!(login::login_link))
        .routes(routes!(login::login))
        .routes(routes!(page::page_settings, page::keep_page_settings))
        .routes(routes!(places::place, places::make_place))
        .routes(routes!(folders::folders, folders::create))
        .routes(routes!(folders::join))
        .routes(routes!(folders::leave))
        .routes(routes!(folders::pause))
        .routes(routes!(folders::resume))
        .routes(routes!(folders::check))
        .routes(routes!(folders::drill))
        .routes(routes!(folders::show))
        .routes(routes!(files::files))
        .routes(routes!(files::content, files::add_file))
        .routes(routes!(files::ignore_rules, files::keep_ignore_rules))
        .routes(routes!(files::test_ignore_rules))
        .routes(routes!(members::members))
        .routes(routes!(members::remove))
        .routes(routes!(members::role))
        .routes(routes!(members::nickname))
        .routes(routes!(members::invite, members::invites))
        .routes(routes!(members::invite_cancel))
        .routes(routes!(spoken::spoken))
        .routes(routes!(spoken::spoken_cancel))
        .routes(routes!(spoken::spoken_wait))
        .routes(routes!(joins::joins))
        .routes(routes!(joins::join_approve))
        .routes(routes!(joins::join_refuse))
        .routes(routes!(joins::joining))
        .routes(routes!(joins::join_withdraw))
        .routes(routes!(members::policy, members::policy_set))
        .routes(routes!(members::rekey))
        .routes(routes!(members::rekey_content))
        .routes(routes!(quarantine::quarantine))
        .routes(routes!(quarantine::adopt))
        .routes(routes!(quarantine::discard))
        .routes(routes!(devices::devices))
        .routes(routes!(devices::device_link))
        .routes(routes!(devices::device_use))
        .routes(routes!(devices::device_name))
        .routes(routes!(devices::device_remove))
        .routes(routes!(backups::backup_list, backups::backup_add))
        .routes(routes!(backups::backup_remove))
        .routes(routes!(conflicts::conflicts))
        .routes(routes!(conflicts::differences))
        .routes(routes!(conflicts::settle))
        .routes(routes!(history::history))
        .routes(routes!(history::restore))
        .routes(routes!(history::undo))
        .routes(routes!(forgets::forgets, forgets::forget))
        .routes(routes!(forgets::forget_withdraw))
        .routes(routes!(history::trash))
        .routes(routes!(history::trash_restore))
        .routes(routes!(held::held_list))
        .routes(routes!(held::held_approve))
        .routes(routes!(held::held_reject))
        .routes(routes!(missing::missing))
        .routes(routes!(missing::missing_drop))
        .routes(routes!(edits::edits))
        .routes(routes!(edits::edits_reset))
        .routes(routes!(recovery::recovery_kit))
        .routes(routes!(recovery::recover))
        .routes(routes!(seeding::seeding))
        .routes(routes!(seeding::seeding_start))
        .routes(routes!(seeding::seeding_stop))
        .routes(routes!(seeding::seeding_offer))
        .routes(routes!(seeding::seeding_drop))
}

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().1
}

fn described() -> (Router<Api>, utoipa::openapi::OpenApi) {
    let (router, mut document) =
        OpenApiRouter::with_openapi(Document::openapi()).nest(BASE, routes()).split_for_parts();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme("token", scheme);
    may_refuse(&mut document);
    (router, document)
}

/// Every route may refuse for reasons that are not its own: no token, a body that can not be read, a service that stops. Each refusal has
/// one shape, so it is said once, as what is answered otherwise.
fn may_refuse(document: &mut utoipa::openapi::OpenApi) {
    let shape = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    let refusal =
        ResponseBuilder::new().description("Refused: `code` says why").content("application/json", shape).build();
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten() {
            operation.responses.responses.entry("default".to_owned()).or_insert_with(|| RefOr::T(refusal.clone()));
        }
    }
}

/// Routes beneath the guard.
fn router(api: Api) -> Router {
    let (router, document) = described();
    let document = Arc::new(document);
    let check = Guard::new(Token::new(&api.token), api.address);
    router
        .route("/api/v1/openapi.json", get(move || async move { Json(document.as_ref().clone()) }))
        .route("/", get(web::serve))
        .route("/favicon.svg", get(web::serve))
        .route("/assets/{*name}", get(web::serve))
        .fallback(|| async {
            ApiError::new(ErrorCode::NoSuchRoute, "the API has no such address").hint("see /api/v1/openapi.json")
        })
        .method_not_allowed_fallback(|| async {
            ApiError::new(ErrorCode::WrongMethod, "not with this method").hint("see /api/v1/openapi.json")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(api.shutdown.clone(), until_shutdown))
        .layer(middleware::from_fn_with_state(check, guard))
        .with_state(api)
}

/// Nobody waits for an answer of a service that stops.
async fn until_shutdown(State(shutdown): State<CancellationToken>, request: Request, next: Next) -> Response {
    tokio::select! {
        biased;
        response = next.run(request) => response,
        () = shutdown.cancelled() => ApiError::new(ErrorCode::Stopping, "cobox is stopping").into_response(),
    }
}

/// What names a folder in an address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct FolderParam {
    /// A folder's name, id prefix or absolute path.
    folder: String,
}

/// The parts of an address; what is wrong with it comes back in our own form.
struct At<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(_) => Err(ApiError::new(ErrorCode::BadRequest, "the address is not readable text")),
        }
    }
}

/// What follows `?` in an address; what is wrong with it comes back in our own form.
struct Ask<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Ask<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(_) => Err(ApiError::new(ErrorCode::BadRequest, "what follows ? in the address is not understood")
                .hint("see /api/v1/openapi.json")),
        }
    }
}

/// A JSON body; what is wrong with it comes back in our own form.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if announced_bytes(&request) > BODY_BYTES_MAX as u64 {
            return Err(too_large());
        }
        match tokio::time::timeout(BODY_TIMEOUT, Json::<T>::from_request(request, state)).await {
            Ok(Ok(Json(value))) => Ok(Self(value)),
            Ok(Err(rejection)) => Err(refuse_body(&rejection)),
            Err(_) => Err(ApiError::new(ErrorCode::BadRequest, "the body took too long to arrive")),
        }
    }
}

fn announced_bytes(request: &Request) -> u64 {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    announced.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn too_large() -> ApiError {
    ApiError::new(ErrorCode::TooLarge, format!("the request is larger than {BODY_BYTES_MAX} bytes"))
}

fn refuse_body(rejection: &JsonRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    // Says where in the body, and quotes nothing of it but names of fields.
    let reason = match rejection {
        JsonRejection::JsonDataError(_) => "the JSON does not have the fields of this request, each of its type",
        JsonRejection::JsonSyntaxError(_) => "the body is not JSON",
        JsonRejection::MissingJsonContentType(_) => "the content type must be application/json",
        _ => "the body can not be read",
    };
    ApiError::new(ErrorCode::BadRequest, reason).hint("see /api/v1/openapi.json")
}
