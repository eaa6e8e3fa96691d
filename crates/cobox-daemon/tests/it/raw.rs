//! Requests byte by byte, since no HTTP library would send the wrong ones.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::scripted::{Server, TOKEN};

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let keys: Vec<&String> = json.as_object().map(|o| o.keys().collect()).unwrap_or_default();
        assert_eq!(keys, ["code", "hint", "message"], "an error has another form: {self:?}");
        json["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Server {
    /// Sends these bytes and reads until the other side closes.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The other side may refuse and close before it has read everything.
        let _refused_early = stream.write_all(request);
        let mut bytes = Vec::new();
        let _reset_after_answer = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_lowercase(), body: body.into() }
    }

    /// A request with exactly these headers besides `Connection` and the body's length.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        self.raw(format!("{request}\r\n{body}").as_bytes())
    }

    /// A request as the command line sends it.
    pub(crate) fn good(&self, method: &str, path: &str, body: &str) -> Answer {
        let (host, bearer) = (self.address.to_string(), format!("Bearer {TOKEN}"));
        let headers = [("Host", host.as_str()), ("Authorization", &bearer), ("Content-Type", "application/json")];
        self.send(method, path, &headers, body)
    }

    /// Every operation of the OpenAPI document, with its path filled in.
    pub(crate) fn operations(&self) -> Vec<(String, String)> {
        let document: serde_json::Value =
            serde_json::from_str(&self.good("GET", "/api/v1/openapi.json", "").body).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, methods)| {
            let path = path.replace("{folder}", "docs").replace("{seeder}", "shed");
            let path = if path.ends_with("/content") { path + "?path=a" } else { path };
            methods
                .as_object()
                .unwrap()
                .keys()
                .map(move |method| (method.to_uppercase(), path.clone()))
                .collect::<Vec<_>>()
        });
        operations.collect()
    }
}
