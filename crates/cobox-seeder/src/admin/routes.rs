//! The route table and its handlers: each asks the seeder once and answers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::api_file::ApiFile;
use super::error::{ApiError, ErrorCode};
use super::guard::{Guard, guard};
use crate::dto::{
    CheckReply, CheckRequest, DropReply, FolderReply, FolderRow, Folders, OfferReply, OfferRequest, Status, Stopping,
    Time,
};
use crate::seeder::{OfferTerms, Seeder};

/// Where the API begins.
pub const BASE: &str = "/api/v1";

#[derive(Clone)]
struct Api {
    seeder: Arc<Seeder>,
    stop: CancellationToken,
}

type Answer<T> = Result<Json<T>, ApiError>;

/// Serves the API until `stop`, which `POST down` triggers too; then answers what is under way.
pub(crate) fn serve(
    listener: TcpListener,
    address: SocketAddr,
    file: &ApiFile,
    seeder: Arc<Seeder>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let guarding = Guard::new(&file.token, address);
    let routes = Router::new()
        .route("/status", get(status))
        .route("/folders", get(folders))
        .route("/folders/{id}", get(show).delete(drop_folder))
        .route("/folders/{id}/drop", get(preview_drop))
        .route("/offers", post(offer))
        .route("/check", post(check))
        .route("/down", post(down));
    let router = Router::new()
        .nest(BASE, routes)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_route)
        .with_state(Api { seeder, stop: stop.clone() })
        .layer(middleware::from_fn_with_state(guarding, guard));
    async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "the API has ended");
        }
    }
}

async fn no_such_route(request: Request) -> ApiError {
    let message = format!("the API has no {} {}", request.method(), request.uri().path());
    ApiError::new(ErrorCode::NoSuchRoute, message, "see `cobox-seeder --help`")
}

async fn status(State(api): State<Api>) -> Answer<Status> {
    Ok(Json(api.seeder.status().await))
}

async fn folders(State(api): State<Api>) -> Answer<Folders> {
    Ok(Json(Folders { folders: api.seeder.folders().await }))
}

async fn show(State(api): State<Api>, Path(id): Path<String>) -> Answer<FolderReply> {
    let folder = api.seeder.folder(&id).await?;
    let sees = api.seeder.sees(&folder.id).await?;
    Ok(Json(FolderReply { folder, sees }))
}

async fn preview_drop(State(api): State<Api>, Path(id): Path<String>) -> Answer<DropReply> {
    let (folder, vaults) = (api.seeder.folder(&id).await?, api.seeder.vaults_beside(&id)?);
    let may_be_last = may_be_last(&folder);
    Ok(Json(DropReply { folder, vaults, may_be_last, dropped: false }))
}

/// What is to be dropped without more ado.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DropQuery {
    #[serde(default)]
    even_the_last_copy: bool,
}

async fn drop_folder(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<DropQuery>,
) -> Answer<DropReply> {
    let (folder, vaults) = (api.seeder.folder(&id).await?, api.seeder.vaults_beside(&id)?);
    let may_be_last = may_be_last(&folder);
    if may_be_last && !query.even_the_last_copy {
        return Err(ApiError::new(
            ErrorCode::LastCopy,
            "this may be the last copy: its members want it kept here, and what lies with them is not known here",
            "ask them first, and to end it with `cobox backup remove`; --even-the-last-copy deletes it all the same",
        ));
    }
    api.seeder.drop_folder(&folder.id).await?;
    Ok(Json(DropReply { folder, vaults, may_be_last, dropped: true }))
}

/// Other copies are out of a seeder's sight: members tell seeders nothing of what others signed for. One that lacks a block may be the last,
/// too.
fn may_be_last(folder: &FolderRow) -> bool {
    folder.hired && folder.blocks > 0
}

async fn offer(State(api): State<Api>, body: Result<Json<OfferRequest>, JsonRejection>) -> Answer<OfferReply> {
    let Json(request) = body.map_err(bad_body)?;
    let OfferRequest { space_bytes, label, keep_days, expires_s } = request;
    let terms =
        OfferTerms { space_bytes, label: label.clone(), keep_days, expires_in_ms: expires_s.saturating_mul(1000) };
    let (id, offer, expires_ms) = api.seeder.offer(terms)?;
    Ok(Json(OfferReply {
        offer,
        id: id.to_string(),
        label,
        space_bytes,
        keep_days,
        expires_at: Time::from_ms(expires_ms),
        disk_free_bytes: api.seeder.disk_free_bytes(),
    }))
}

async fn check(State(api): State<Api>, body: Result<Json<CheckRequest>, JsonRejection>) -> Answer<CheckReply> {
    let Json(request) = body.map_err(bad_body)?;
    Ok(Json(api.seeder.check(request.repair).await?))
}

async fn down(State(api): State<Api>) -> (StatusCode, Json<Stopping>) {
    api.stop.cancel();
    (StatusCode::ACCEPTED, Json(Stopping { stopping: true }))
}

fn bad_body(rejection: JsonRejection) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, rejection.body_text(), "send the documented JSON")
}
