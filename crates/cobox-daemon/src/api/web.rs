//! The web page's own files, as `cargo xtask web` built them: in a release they lie in the program, in a development build they are
//! read from `web/dist`. Without them a short text says how they come in.
//!
//! What must hold: they hold nothing of anybody, since whoever knows our address gets them without the token; names below
//! `/assets/` carry a hash of their content, so that a browser may keep them.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::Embed;

use super::error::{ApiError, ErrorCode};

/// The page itself.
const PAGE: &str = "index.html";
/// What has a hash in its name.
const ASSETS: &str = "/assets/";

#[derive(Embed)]
#[folder = "../../web/dist"]
struct Files;

/// Whether a path is the page's: such need no token.
pub(super) fn is_page(path: &str) -> bool {
    matches!(path, "/" | "/favicon.svg") || path.starts_with(ASSETS)
}

/// The file at a path of the page's.
pub(super) async fn serve(request: Request) -> Response {
    let path = request.uri().path();
    let name = if path == "/" { PAGE } else { path.trim_start_matches('/') };
    match Files::get(name) {
        Some(file) => {
            let mut response = (StatusCode::OK, file.data.into_owned()).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
            if path.starts_with(ASSETS) {
                let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
                headers.insert(header::CACHE_CONTROL, for_ever);
            }
            response
        }
        None if path == "/" => without_page(),
        None => ApiError::new(ErrorCode::NoSuchRoute, "the page has no such file").hint("open / again").into_response(),
    }
}

/// What stands at `/` in a build that carries no web page.
fn without_page() -> Response {
    let text = "cobox is running.\n\nThis build has no web page. To add it, install Node.js (20 or newer), run `cargo xtask web`, and build \
                cobox again.\nThe command line does everything: `cobox status`, `cobox --help`.\n";
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// By the end of the name: what the build makes, nothing else.
fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pages_own_paths_go_without_the_token() {
        for ours in ["/", "/favicon.svg", "/assets/index-abc.js"] {
            assert!(is_page(ours), "{ours}");
        }
        for other in ["/api/v1/status", "/index.html", "/assets", "/favicon.svg/x", "//assets/x", "/ASSETS/x", ""] {
            assert!(!is_page(other), "{other}");
        }
    }
}
