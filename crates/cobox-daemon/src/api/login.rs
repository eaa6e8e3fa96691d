//! How the web page comes to the token: `cobox open` asks for a link that is good once and for a minute. What follows `#` stays in
//! the browser: it is never part of a request, a referrer or a log, and the page exchanges it at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;

use super::dto::{Login, LoginLink, LoginRequest, Secret, Time};
use super::error::{ApiError, ErrorCode};
use super::guard::Token;
use super::{Api, Body};
use crate::random_token;

/// How long a link waits to be opened.
const LINK_LIFE: Duration = Duration::from_secs(60);
/// Links that may be open at once.
const LINKS_MAX: usize = 8;

/// Links nobody has used yet.
#[derive(Default)]
pub(super) struct Links(Mutex<Vec<Link>>);

struct Link {
    code: Token,
    until: Instant,
}

impl Links {
    /// Remembers a code; the oldest falls out.
    fn add(&self, code: &str, now: Instant) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.until > now);
        if links.len() == LINKS_MAX {
            links.remove(0);
        }
        links.push(Link { code: Token::new(code), until: now + LINK_LIFE });
    }

    /// Whether the code was good; it never is again.
    fn take(&self, code: &str, now: Instant) -> bool {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.until > now);
        let found = links.iter().position(|link| link.code.is(code));
        found.map(|at| links.remove(at)).is_some()
    }
}

/// Make a link that opens the web page once.
#[utoipa::path(post, path = "/login-links", tag = "service", responses((status = 200, body = LoginLink)))]
pub(super) async fn login_link(State(api): State<Api>) -> Result<Json<LoginLink>, ApiError> {
    let code = random_token();
    api.links.add(&code, Instant::now());
    let expires_at = Time::from_ms(Time::now().as_ms() + LINK_LIFE.as_millis() as i64);
    Ok(Json(LoginLink { url: Secret::from(format!("{}#login={}", api.url(), *code)), expires_at }))
}

/// Exchange what followed `#login=` for the token.
#[utoipa::path(
    post,
    path = "/login",
    tag = "service",
    request_body = LoginRequest,
    responses((status = 200, body = Login), (status = 403, body = super::error::ErrorBody)),
    security(())
)]
pub(super) async fn login(State(api): State<Api>, Body(request): Body<LoginRequest>) -> Result<Json<Login>, ApiError> {
    if !api.links.take(&request.code.0, Instant::now()) {
        return Err(ApiError::new(
            ErrorCode::LoginSpent,
            "this login link was used already, or is older than a minute",
        )
        .hint("run `cobox open` for a new one"));
    }
    Ok(Json(Login { token: Secret(api.token.clone()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w6_a_link_opens_once_and_not_after_its_minute() {
        let links = Links::default();
        let now = Instant::now();
        links.add("one", now);
        links.add("two", now);
        assert!(!links.take("other", now));
        assert!(links.take("one", now));
        assert!(!links.take("one", now), "a second time");
        assert!(!links.take("two", now + LINK_LIFE), "too late");
    }

    #[test]
    fn links_are_few() {
        let links = Links::default();
        let now = Instant::now();
        for n in 0..=LINKS_MAX {
            links.add(&n.to_string(), now);
        }
        assert!(!links.take("0", now));
        assert!(links.take("1", now));
    }
}
