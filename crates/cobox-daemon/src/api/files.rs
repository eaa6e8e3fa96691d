//! The files of a folder: looking through them, taking one out, putting one in; and what is left out.
//!
//! What must hold: a file's content leaves only as a download that no browser shows, whatever the file calls itself; putting one in
//! never replaces another.

use std::io;
use std::time::Duration;

use axum::Json;
use axum::body::Body as RawBody;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::Deserialize;
use utoipa::IntoParams;

use super::dto::{FileAdded, FileList, FileOrder, IgnoreMatches, IgnoreRequest, IgnoreRules};
use super::error::{ApiError, ErrorBody};
use super::{Api, Ask, At, Body, FolderParam};

/// Files in one answer.
pub(crate) const FILES_MAX: u64 = 1_000;
/// ... if nothing is said.
const FILES_USUAL: u64 = 200;
/// How long the next bytes of a file that is put in may take.
const NEXT_BYTES_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a file on their way.
pub type Bytestream = BoxStream<'static, io::Result<Bytes>>;

/// A file's content.
pub struct FileContent {
    /// Its name.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its bytes; an error in them says that the file changed meanwhile or can not be read.
    pub bytes: Bytestream,
}

/// Which files, in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FilesQuery {
    /// A directory within the folder; the folder itself when left out.
    #[serde(default)]
    pub dir: String,
    /// Only those whose name holds this, in all directories beneath.
    #[serde(default)]
    pub search: String,
    /// The order.
    #[serde(default)]
    #[param(inline)]
    pub order: FileOrder,
    /// The other way round.
    #[serde(default)]
    pub descending: bool,
    /// How many to leave out at the beginning.
    #[serde(default)]
    pub offset: u64,
    /// How many to list: 200 when left out, 1000 at most.
    pub limit: Option<u64>,
}

impl FilesQuery {
    /// How many to list.
    pub fn limit(&self) -> u64 {
        self.limit.unwrap_or(FILES_USUAL).min(FILES_MAX)
    }
}

/// Which file.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FileParam {
    /// Its path within the folder.
    path: String,
}

/// The files in a directory of the folder, or those of a name.
#[utoipa::path(
    get,
    path = "/folders/{folder}/files",
    tag = "files",
    params(FolderParam, FilesQuery),
    responses((status = 200, body = FileList), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn files(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Ask(query): Ask<FilesQuery>,
) -> Result<Json<FileList>, ApiError> {
    api.service.files(at.folder, query).await.map(Json)
}

/// The content of a file.
#[utoipa::path(
    get,
    path = "/folders/{folder}/files/content",
    tag = "files",
    params(FolderParam, FileParam),
    responses(
        (status = 200, body = String, content_type = "application/octet-stream"),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn content(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Ask(file): Ask<FileParam>,
) -> Result<Response, ApiError> {
    let content = api.service.content(at.folder, file.path).await?;
    let mut response = RawBody::from_stream(content.bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content.size_bytes));
    headers.insert(header::CONTENT_DISPOSITION, attachment(&content.name));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    Ok(response)
}

/// Put a file into the folder. Never replaces one: if the name is taken, it gets another.
#[utoipa::path(
    post,
    path = "/folders/{folder}/files/content",
    tag = "files",
    params(FolderParam, FileParam),
    request_body(content = String, content_type = "application/octet-stream"),
    responses(
        (status = 200, body = FileAdded),
        (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 500, body = ErrorBody)
    )
)]
pub(super) async fn add_file(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Ask(file): Ask<FileParam>,
    request: Request,
) -> Result<Json<FileAdded>, ApiError> {
    let bytes = request.into_body().into_data_stream();
    let bytes = futures_util::stream::unfold(Some(bytes), |bytes| async {
        let mut bytes = bytes?;
        match tokio::time::timeout(NEXT_BYTES_TIMEOUT, bytes.next()).await {
            Ok(Some(Ok(some))) => Some((Ok(some), Some(bytes))),
            Ok(Some(Err(why))) => Some((Err(io::Error::other(why)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(io::Error::from(io::ErrorKind::TimedOut)), None)),
        }
    });
    api.service.add_file(at.folder, file.path, bytes.boxed()).await.map(Json)
}

/// The folder's ignore rules.
#[utoipa::path(
    get,
    path = "/folders/{folder}/ignore",
    tag = "files",
    params(FolderParam),
    responses((status = 200, body = IgnoreRules), (status = 404, body = ErrorBody))
)]
pub(super) async fn ignore_rules(
    State(api): State<Api>,
    At(at): At<FolderParam>,
) -> Result<Json<IgnoreRules>, ApiError> {
    api.service.ignore_rules(at.folder).await.map(Json)
}

/// Change the folder's ignore rules. They are an ordinary file of the folder, which the others get too.
#[utoipa::path(
    put,
    path = "/folders/{folder}/ignore",
    tag = "files",
    params(FolderParam),
    request_body = IgnoreRequest,
    responses((status = 200, body = IgnoreRules), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn keep_ignore_rules(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<IgnoreRequest>,
) -> Result<Json<IgnoreRules>, ApiError> {
    api.service.keep_ignore_rules(at.folder, request).await.map(Json)
}

/// What such rules would leave out of what lies in the directory now. Changes nothing.
#[utoipa::path(
    post,
    path = "/folders/{folder}/ignore/test",
    tag = "files",
    params(FolderParam),
    request_body = IgnoreRequest,
    responses((status = 200, body = IgnoreMatches), (status = 404, body = ErrorBody))
)]
pub(super) async fn test_ignore_rules(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<IgnoreRequest>,
) -> Result<Json<IgnoreMatches>, ApiError> {
    api.service.test_ignore_rules(at.folder, request).await.map(Json)
}

/// The header that makes it a download, with the name in the encoding of RFC 8187, in which nothing of a name can end the header.
fn attachment(name: &str) -> HeaderValue {
    let mut value = String::from("attachment; filename*=UTF-8''");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => value.push(char::from(byte)),
            other => value.push_str(&format!("%{other:02X}")),
        }
    }
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w8_no_name_ends_the_header_or_is_shown() {
        for (name, value) in [
            ("a b.txt", "attachment; filename*=UTF-8''a%20b.txt"),
            ("x\"\r\nSet-Cookie: y", "attachment; filename*=UTF-8''x%22%0D%0ASet-Cookie%3A%20y"),
            ("ä.html", "attachment; filename*=UTF-8''%C3%A4.html"),
        ] {
            assert_eq!(attachment(name), value);
        }
    }

    #[test]
    fn e1_an_answer_lists_a_thousand_files_at_most() {
        let with = |limit| FilesQuery { limit, ..FilesQuery::default() }.limit();
        assert_eq!((with(None), with(Some(5)), with(Some(u64::MAX))), (200, 5, 1000));
    }
}
