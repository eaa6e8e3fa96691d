//! Who may speak to the API. Every request passes here before any route is chosen, the page at `/` too.
//!
//! What must hold: only programs that can read `api.json` act. A web page from elsewhere can neither act nor read, whatever name it
//! reaches us by: the Host and Origin must be exactly ours, port included; the browser's word on where a request comes from
//! (Sec-Fetch-Site) is believed when it is there; and authority lies in the Authorization header alone, which no page can make a browser add. There are no cookies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::{ApiError, ErrorCode};

/// What a wrong token waits for its refusal. With 256 random bits this only keeps logs and processors quiet.
const REFUSAL_DELAY: Duration = Duration::from_millis(100);

/// Sent with every answer, unless it says one of them more narrowly itself. Nothing may be cached, framed, sniffed, or read by another
/// origin. `blob:` is a text that the page made of a file's content: it is shown in a frame without an origin.
const HEADERS: [(HeaderName, HeaderValue); 7] = [
    (HeaderName::from_static("cache-control"), HeaderValue::from_static("no-store")),
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
    (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; \
             frame-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
];

/// The secret of `api.json`, kept only as its hash: comparing hashes takes the same time whatever the guess.
#[derive(Clone)]
pub(super) struct Token(blake3::Hash);

impl Token {
    pub(super) fn new(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }

    /// `blake3::Hash` compares in constant time.
    pub(super) fn is(&self, guess: &str) -> bool {
        self.0 == blake3::hash(guess.as_bytes())
    }
}

/// What the guard compares with.
#[derive(Clone)]
pub(super) struct Guard {
    token: Token,
    /// `127.0.0.1:4321`, `localhost:4321`.
    hosts: Arc<[String]>,
}

impl Guard {
    pub(super) fn new(token: Token, listening: SocketAddr) -> Self {
        Self { token, hosts: [listening.to_string(), format!("localhost:{}", listening.port())].into() }
    }

    /// Refuses what does not come from this machine's own programs or from our own page.
    fn check_source(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let foreign = |what: &str| Err(ApiError::new(ErrorCode::ForeignOrigin, format!("refused: {what}")));
        let host = match only(headers, &HOST) {
            Ok(Some(host)) => host,
            _ => return foreign("the request must name exactly one host"),
        };
        if !self.hosts.iter().any(|ours| ours == host) {
            return foreign("the host is not this service's own address");
        }
        if uri.authority().is_some_and(|authority| authority.as_str() != host) {
            return foreign("the request line and the Host header disagree");
        }
        match only(headers, &ORIGIN) {
            Ok(None) => {}
            Ok(Some(origin)) if self.hosts.iter().any(|h| origin.strip_prefix("http://") == Some(h)) => {}
            _ => return foreign("the request comes from another web page"),
        }
        match only(headers, &HeaderName::from_static("sec-fetch-site")) {
            Ok(None | Some("same-origin" | "none")) => Ok(()),
            Ok(Some("cross-site")) if opens_the_page(method, uri, headers) => Ok(()),
            _ => foreign("the request comes from another web page"),
        }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let given = only(headers, &AUTHORIZATION).ok().flatten().and_then(|v| v.strip_prefix("Bearer "));
        if given.is_some_and(|guess| self.token.is(guess)) {
            return Ok(());
        }
        Err(ApiError::new(ErrorCode::Unauthorized, "the token is missing or wrong")
            .hint("send \"Authorization: Bearer TOKEN\" with the token of api.json in the state directory"))
    }
}

/// Whether a person follows a link to the page, from wherever it stands: `cobox open` has the browser go there from a file of its own.
/// The page alone comes by it, in a window without a tie to the other, and it holds nothing of anybody.
fn opens_the_page(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let says = |name: &'static str, what: &str| only(headers, &HeaderName::from_static(name)) == Ok(Some(what));
    method == Method::GET
        && uri.path() == "/"
        && !headers.contains_key(ORIGIN)
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
}

/// The one value of a header; an error if it stands there twice or is not plain text.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match (first, values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Before routing: the source, for everything; the token, for all of the API except the exchange of a login link.
pub(super) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match admit(&guard, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            tracing::warn!(code = refusal.code.as_str(), "refused a request");
            if refusal.code == ErrorCode::Unauthorized {
                tokio::time::sleep(REFUSAL_DELAY).await;
            }
            refusal.into_response()
        }
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

fn admit(guard: &Guard, request: &Request) -> Result<(), ApiError> {
    guard.check_source(request.method(), request.uri(), request.headers())?;
    match request.uri().path() {
        super::LOGIN_PATH => Ok(()),
        path if super::web::is_page(path) => Ok(()),
        _ => guard.check_token(request.headers()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(Token::new("secret"), SocketAddr::from(([127, 0, 0, 1], 4321)))
    }

    fn check(uri: &str, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        guard().check_source(&Method::GET, &uri.parse().unwrap(), &map).is_ok()
    }

    #[test]
    fn w2_only_the_exact_host_passes() {
        for ours in ["127.0.0.1:4321", "localhost:4321"] {
            assert!(check("/", &[("host", ours)]), "{ours}");
        }
        for host in [
            "evil",
            "evil:4321",
            "localhost.evil:4321",
            "127.0.0.1.nip.io:4321",
            "127.0.0.1",
            "localhost",
            "127.0.0.1:4322",
            "user@127.0.0.1:4321",
            "127.0.0.1:4321.",
            "127.1:4321",
            "0.0.0.0:4321",
            "[::1]:4321",
            "[::ffff:127.0.0.1]:4321",
            "127.0.0.1:04321",
            "LOCALHOST:4321",
            "",
            " 127.0.0.1:4321",
        ] {
            assert!(!check("/", &[("host", host)]), "{host:?}");
        }
        assert!(!check("/", &[]), "missing");
        assert!(!check("/", &[("host", "127.0.0.1:4321"), ("host", "127.0.0.1:4321")]), "twice");
        assert!(!check("http://evil/", &[("host", "127.0.0.1:4321")]), "in the request line");
    }

    #[test]
    fn w3_only_our_own_origin_passes() {
        let from = |origin: &str| check("/", &[("host", "127.0.0.1:4321"), ("origin", origin)]);
        assert!(from("http://127.0.0.1:4321") && from("http://localhost:4321"));
        for origin in [
            "null",
            "",
            "http://evil",
            "http://127.0.0.1:4322",
            "http://127.0.0.1",
            "https://127.0.0.1:4321",
            "http://0.0.0.0:4321",
            "http://[::1]:4321",
            "http://[::ffff:127.0.0.1]:4321",
            "http://127.0.0.1:4321/",
            "http://127.0.0.1:4321.evil",
            "file://",
            "127.0.0.1:4321",
        ] {
            assert!(!from(origin), "{origin:?}");
        }
    }

    #[test]
    fn w1_what_the_browser_calls_cross_site_is_refused_even_without_an_origin() {
        let site = |site: &str| check("/", &[("host", "127.0.0.1:4321"), ("sec-fetch-site", site)]);
        assert!(site("same-origin") && site("none"));
        for other in ["cross-site", "same-site", "", "anything"] {
            assert!(!site(other), "{other:?}");
        }
    }

    #[test]
    fn w1_a_link_from_elsewhere_opens_the_page_and_nothing_else() {
        let link = [
            ("host", "127.0.0.1:4321"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert!(check("/", &link));
        for path in ["/api/v1/openapi.json", "/api/v1/status", "/assets/index.js", "/favicon.svg"] {
            assert!(!check(path, &link), "{path}");
        }
        let but = |at: usize, value: &'static str| {
            let mut other = link;
            other[at].1 = value;
            check("/", &other)
        };
        assert!(!but(3, "iframe") && !but(3, "empty") && !but(2, "no-cors") && !but(1, "same-site"));
        let with_origin = [&link[..], &[("origin", "http://127.0.0.1:4321")]].concat();
        assert!(!check("/", &with_origin), "a form sent from elsewhere");
        let headers: HeaderMap =
            link.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
        assert!(guard().check_source(&Method::POST, &"/".parse().unwrap(), &headers).is_err());
    }

    #[test]
    fn w11_only_the_whole_token_in_the_one_header_passes() {
        let with = |values: &[&str]| {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            guard().check_token(&map).is_ok()
        };
        assert!(with(&["Bearer secret"]));
        for wrong in
            ["Bearer secre", "Bearer secrets", "Bearer ", "bearer secret", "secret", "Basic secret", "Bearer  secret"]
        {
            assert!(!with(&[wrong]), "{wrong:?}");
        }
        assert!(!with(&[]));
        assert!(!with(&["Bearer secret", "Bearer secret"]));
    }
}
