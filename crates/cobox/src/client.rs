//! Asks the running service. Its address and token come from `api.json`, and only while the lock of the home is held: what a crash
//! left behind is not sent to whoever has the port now.

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cobox_daemon::api::{BASE, ErrorBody, ErrorCode};
use cobox_daemon::{ApiFile, ApiFileError, Home, Lock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::{Agent, Body, http};
use zeroize::Zeroizing;

use crate::error::Failure;

/// Whether this process has asked the service for something, which then goes on without us.
pub(crate) static ASKED: AtomicBool = AtomicBool::new(false);

/// Bytes of an answer: a status of a thousand folders stays far below.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to the service of one home.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    authorization: Zeroizing<String>,
}

impl Client {
    /// To the service that runs in this home.
    pub(crate) fn connect(home: &Home) -> Result<Self, Failure> {
        if Lock::holder(&home.lock())?.is_none() {
            return Err(Failure::not_running());
        }
        match ApiFile::read(&home.api_file()) {
            Ok(file) => Ok(Self::new(&file)),
            Err(ApiFileError::Absent { .. }) => {
                Err(Failure::new(ErrorCode::NotRunning, "cobox is just starting or stopping", "try again in a moment"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// To the service this file describes.
    pub(crate) fn new(file: &ApiFile) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build();
        Self {
            agent: config.new_agent(),
            base: format!("http://{}{BASE}", file.address),
            authorization: Zeroizing::new(format!("Bearer {}", file.token)),
        }
    }

    /// Reads something.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let request = self.agent.get(self.url(path)).header("authorization", self.authorization.as_str());
        ASKED.store(true, Ordering::Relaxed);
        read(request.call())
    }

    /// Does something.
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let request = self.agent.post(self.url(path)).header("authorization", self.authorization.as_str());
        ASKED.store(true, Ordering::Relaxed);
        read(request.send_json(body))
    }

    /// Has something be so from now on.
    pub(crate) fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let request = self.agent.put(self.url(path)).header("authorization", self.authorization.as_str());
        ASKED.store(true, Ordering::Relaxed);
        read(request.send_json(body))
    }

    /// Ends something.
    pub(crate) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let request = self.agent.delete(self.url(path)).header("authorization", self.authorization.as_str());
        ASKED.store(true, Ordering::Relaxed);
        read(request.call())
    }

    /// The data of server-sent events, one by one, until the service stops.
    pub(crate) fn follow(
        &self,
        path: &str,
        last_seen: Option<&str>,
    ) -> Result<impl Iterator<Item = String> + use<>, Failure> {
        let mut request = self.agent.get(self.url(path)).header("authorization", self.authorization.as_str());
        if let Some(id) = last_seen {
            request = request.header("last-event-id", id);
        }
        ASKED.store(true, Ordering::Relaxed);
        let response = refused(request.call())?;
        let lines = BufReader::new(response.into_body().into_reader()).lines().map_while(Result::ok);
        Ok(lines.filter_map(|line| line.strip_prefix("data:").map(|data| data.trim_start().to_owned())))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }
}

/// A person's words as one part of an address.
pub(crate) fn part(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string can not fail");
        }
        out
    })
}

type Response = http::Response<Body>;

fn read<T: DeserializeOwned>(response: Result<Response, ureq::Error>) -> Result<T, Failure> {
    let mut response = refused(response)?;
    response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_json().map_err(|error| lost(&error))
}

fn refused(response: Result<Response, ureq::Error>) -> Result<Response, Failure> {
    let mut response = response.map_err(|error| match error {
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => Failure::not_running(),
        error => lost(&error),
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body: ErrorBody = response.body_mut().read_json().map_err(|_| {
        Failure::new(ErrorCode::Failed, format!("the service answered {status} without saying why"), "see its log")
    })?;
    Err(Failure::answered(status.as_u16(), body))
}

fn lost(error: &ureq::Error) -> Failure {
    Failure::new(
        ErrorCode::NotRunning,
        format!("the service went away before it had answered ({error})"),
        "`cobox up` starts it again; its log says why it stopped",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w10_what_a_person_types_stays_one_part_of_the_address() {
        assert_eq!(part("docs-1_a"), "docs-1_a");
        assert_eq!(part("../down?x#y%2f"), "%2E%2E%2Fdown%3Fx%23y%252f");
        assert_eq!(part("größe \0\n"), "gr%C3%B6%C3%9Fe%20%00%0A");
    }
}
