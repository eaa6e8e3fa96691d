//! Asks the running service. Its address and token come from `api.json`, and only while the lock of the home is held: what a crash left
//! behind is not sent to whoever has the port now.

use std::time::Duration;

use cobox_seeder::admin::{BASE, ErrorBody, ErrorCode};
use cobox_seeder::{ApiFile, ApiFileError, Home, RunError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::{Agent, Body, http};
use zeroize::Zeroizing;

use crate::output::Failure;

const ANSWER_BYTES_MAX: u64 = 64 << 20;
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
        if home.holder().map_err(RunError::from)?.is_none() {
            return Err(Failure::not_running());
        }
        match ApiFile::read(&home.api_file()) {
            Ok(file) => Ok(Self::new(&file)),
            Err(ApiFileError::Absent(_)) => Err(Failure::new(
                ErrorCode::NotRunning,
                "cobox-seeder is just starting or stopping",
                "try again in a moment",
            )),
            Err(error) => Err(RunError::from(error).into()),
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

    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(self.agent.get(self.url(path)).header("authorization", self.authorization.as_str()).call())
    }

    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        read(self.agent.post(self.url(path)).header("authorization", self.authorization.as_str()).send_json(body))
    }

    pub(crate) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(self.agent.delete(self.url(path)).header("authorization", self.authorization.as_str()).call())
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }
}

/// What a person typed, as one part of an address. Ids are hex; anything else is no id, and is asked for as such.
pub(crate) fn part(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn read<T: DeserializeOwned>(response: Result<http::Response<Body>, ureq::Error>) -> Result<T, Failure> {
    let mut response = response.map_err(|error| match error {
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => Failure::not_running(),
        error => lost(&error),
    })?;
    let status = response.status();
    if !status.is_success() {
        let body: ErrorBody = response.body_mut().read_json().map_err(|_| {
            Failure::new(ErrorCode::Failed, format!("the service answered {status} without saying why"), "see its log")
        })?;
        return Err(Failure::answered(body));
    }
    response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_json().map_err(|error| lost(&error))
}

fn lost(error: &ureq::Error) -> Failure {
    Failure::new(
        ErrorCode::NotRunning,
        format!("the service went away before it had answered ({error})"),
        "`cobox-seeder up` starts it again; its log says why it stopped",
    )
}
