//! Who may speak to the API. Every request passes here before any route is chosen: it must name exactly our address as its host, come
//! from no web page at all, and carry the token of `api.json`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::{ApiError, ErrorCode};

/// What a wrong token waits for its refusal: this only keeps logs and processors quiet.
const REFUSAL_DELAY: Duration = Duration::from_millis(100);

/// What the guard compares with. Of the token it keeps the hash: comparing hashes takes the same time whatever the guess.
#[derive(Clone)]
pub(super) struct Guard {
    token: blake3::Hash,
    hosts: Arc<[String]>,
}

impl Guard {
    pub(super) fn new(token: &str, listening: SocketAddr) -> Self {
        let hosts = [listening.to_string(), format!("localhost:{}", listening.port())].into();
        Self { token: blake3::hash(token.as_bytes()), hosts }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let foreign = |what: &str| Err(ApiError::new(ErrorCode::ForeignOrigin, format!("refused: {what}"), ""));
        if !only(headers, &HOST).is_some_and(|host| self.hosts.iter().any(|ours| ours == host)) {
            return foreign("the host is not this service's own address");
        }
        // There is no page of ours, so whatever a browser sends on behalf of one is somebody else's.
        let from_page = [ORIGIN, HeaderName::from_static("sec-fetch-site")];
        if from_page.iter().any(|name| headers.contains_key(name)) {
            return foreign("the request comes from a web page");
        }
        let given = only(headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        if given.is_some_and(|guess| self.token == blake3::hash(guess.as_bytes())) {
            return Ok(());
        }
        let hint = "send \"Authorization: Bearer TOKEN\" with the token of api.json in the state directory";
        Err(ApiError::new(ErrorCode::Unauthorized, "the token is missing or wrong", hint))
    }
}

/// The one value of a header; `None` also if it stands there twice or is not plain text.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

pub(super) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match guard.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            tracing::warn!(code = refusal.code.as_str(), "refused a request");
            if refusal.code == ErrorCode::Unauthorized {
                tokio::time::sleep(REFUSAL_DELAY).await;
            }
            refusal.into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST_OURS: (&str, &str) = ("host", "127.0.0.1:4321");
    const TOKEN: (&str, &str) = ("authorization", "Bearer secret");

    fn passes(headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Guard::new("secret", SocketAddr::from(([127, 0, 0, 1], 4321))).check(&map).is_ok()
    }

    #[test]
    fn w2_only_the_exact_host_passes() {
        assert!(passes(&[HOST_OURS, TOKEN]) && passes(&[("host", "localhost:4321"), TOKEN]));
        for host in
            ["evil", "evil:4321", "localhost", "127.0.0.1", "127.0.0.1:4322", "127.0.0.1:4321.", "[::1]:4321", ""]
        {
            assert!(!passes(&[("host", host), TOKEN]), "{host:?}");
        }
        assert!(!passes(&[TOKEN]) && !passes(&[HOST_OURS, HOST_OURS, TOKEN]));
    }

    #[test]
    fn w1_w3_nothing_that_a_web_page_sends_passes() {
        for header in [("origin", "http://127.0.0.1:4321"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
            assert!(!passes(&[HOST_OURS, TOKEN, header]), "{header:?}");
        }
    }

    #[test]
    fn w11_only_the_whole_token_in_the_one_header_passes() {
        for wrong in ["Bearer secre", "Bearer secrets", "Bearer ", "bearer secret", "secret", "Bearer  secret"] {
            assert!(!passes(&[HOST_OURS, ("authorization", wrong)]), "{wrong:?}");
        }
        assert!(!passes(&[HOST_OURS]) && !passes(&[HOST_OURS, TOKEN, TOKEN]));
    }
}
