//! Asks a service for JSON: one request per connection, over TCP on loopback or over a Unix socket. Cheaper than a command for
//! every look, so that looking disturbs what is measured as little as can be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::meter::note_own_bytes;

const PATIENCE: Duration = Duration::from_secs(120);

/// Asks over TCP; what that costs is told to the meter.
pub(super) fn get(address: SocketAddr, path: &str, header: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = request("GET", &address.to_string(), path, header);
    let answer = exchange(&mut stream, &request)?;
    note_own_bytes((request.len() + answer.len()) as u64);
    parse(&answer, path)
}

/// Asks over a Unix socket, which no network interface counts.
pub(super) fn ask_unix(socket: &Path, method: &str, path: &str, header: &str) -> Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let answer = exchange(&mut stream, &request(method, "localhost", path, header))?;
    parse(&answer, path)
}

fn request(method: &str, host: &str, path: &str, header: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn parse(answer: &[u8], path: &str) -> Result<Value> {
    let text = std::str::from_utf8(answer).context("an answer that is not text")?;
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without an end of its head")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {}", head.lines().next().unwrap_or_default());
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body)? } else { body.to_owned() };
    if body.trim().is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&body)?) }
}

fn unchunked(mut body: &str) -> Result<String> {
    let mut whole = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n").context("a chunk without a length")?;
        let length = usize::from_str_radix(length.split(';').next().unwrap_or_default().trim(), 16)?;
        if length == 0 {
            return Ok(whole);
        }
        whole.push_str(rest.get(..length).context("a chunk that was cut off")?);
        body = rest.get(length + 2..).context("a chunk that was cut off")?;
    }
}
