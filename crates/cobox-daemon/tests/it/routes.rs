//! The API as a good client uses it: routes, errors in one form, events, stopping.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cobox_daemon::api::{ApiError, ErrorCode, EventKind, News};

use crate::scripted::{Scripted, Server, TOKEN, folder};

fn server() -> Server {
    Server::start(Scripted { folders: vec![folder("abcdef01", "docs", "/home/ana/docs")], ..Scripted::default() })
}

#[test]
fn every_operation_needs_the_token_except_the_exchange_of_a_login_link() {
    let server = server();
    let host = server.address.to_string();
    let operations = server.operations();
    assert!(operations.len() > 20, "{operations:?}");
    for (method, path) in operations {
        let answer = server.send(&method, &path, &[("Host", &host)], "");
        let status = if path == "/api/v1/login" { 400 } else { 401 };
        assert_eq!(answer.status, status, "{method} {path}");
    }
    assert_eq!(server.send("GET", "/api/v1/openapi.json", &[("Host", &host)], "").status, 401);
    assert!(server.service.asked().is_empty());
}

#[test]
fn the_document_names_every_shape_and_every_error() {
    let server = server();
    let document: serde_json::Value =
        serde_json::from_str(&server.good("GET", "/api/v1/openapi.json", "").body).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for shape in ["Status", "FolderStatus", "Whoami", "Invite", "Recovered", "HeldChanges", "Event", "ErrorBody"] {
        assert!(schemas.contains_key(shape), "{shape}");
    }
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    assert_eq!(document["paths"]["/api/v1/login"]["post"]["security"], serde_json::json!([{}]));
}

#[test]
fn the_document_in_spec_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/openapi.json");
    let served = serde_json::to_string_pretty(&cobox_daemon::api::openapi()).unwrap() + "\n";
    if std::env::var_os("COBOX_BLESS").is_some() {
        std::fs::write(path, &served).unwrap();
    }
    // The types of the web page are made from it.
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == served,
        "the API changed: COBOX_BLESS=1 cargo test -p cobox-daemon --test it writes spec/openapi.json"
    );
}

#[test]
fn the_page_remembers_and_chooses_directories_within_bounds() {
    let server = server();
    assert_eq!(server.good("PUT", "/api/v1/page", r#"{"language":"de","appearance":"dark"}"#).status, 200);
    assert_eq!(server.good("PUT", "/api/v1/whoami", r#"{"name":"Ana B"}"#).status, 200);
    assert_eq!(server.good("POST", "/api/v1/places", r#"{"parent":"/home/ana","name":"Choir"}"#).status, 200);
    assert_eq!(server.service.asked(), ["keep Some(\"de\")", "rename Ana B", "make /home/ana/Choir"]);
    for (method, path, body) in [
        ("PUT", "/api/v1/page", r#"{"language":"<script>"}"#),
        ("PUT", "/api/v1/page", r#"{"appearance":"blink"}"#),
        ("GET", "/api/v1/places?path=home", ""),
        ("GET", "/api/v1/places?path=%2Fhome%00", ""),
        ("POST", "/api/v1/places", r#"{"parent":"home","name":"x"}"#),
        ("POST", "/api/v1/places", r#"{"parent":"/home","name":".."}"#),
        ("POST", "/api/v1/places", r#"{"parent":"/home","name":"a/b"}"#),
        ("POST", "/api/v1/places", r#"{"parent":"/home","name":"a\u0000"}"#),
    ] {
        assert_eq!(server.good(method, path, body).code(), "bad_request", "{method} {path} {body}");
    }
    assert_eq!(server.service.asked().len(), 3);
}

#[test]
fn what_becomes_a_word_of_the_seeders_command_is_plain_and_short() {
    let server = server();
    assert_eq!(server.good("POST", "/api/v1/seeding/start", r#"{"name":"--home=/"}"#).status, 200);
    assert_eq!(server.good("POST", "/api/v1/seeding/folders/3e034a/drop", "{}").code(), "folder_not_found");
    let long = format!(r#"{{"space_bytes":1,"label":"{}"}}"#, "x".repeat(201));
    for (path, body, code) in [
        ("/api/v1/seeding/start", r#"{"name":"a\u0000b"}"#, "bad_request"),
        ("/api/v1/seeding/offers", &*long, "bad_request"),
        ("/api/v1/seeding/offers", r#"{"space_bytes":-1}"#, "bad_request"),
        ("/api/v1/seeding/folders/--yes/drop", "{}", "folder_not_found"),
        ("/api/v1/seeding/folders/..%2F..%2Fdown/drop", "{}", "folder_not_found"),
    ] {
        assert_eq!(server.good("POST", path, body).code(), code, "{path} {body}");
    }
    assert_eq!(server.service.asked(), ["start the seeder", "drop 3e034a"]);
}

#[test]
fn settings_are_set_by_name_and_none_that_there_is_not() {
    let server = server();
    let body = r#"{"schedule":["22:00-06:00 unlimited"],"send_max_bytes_s":50000}"#;
    assert_eq!(server.good("PUT", "/api/v1/config", body).status, 200);
    let settings: serde_json::Value = serde_json::from_str(&server.good("GET", "/api/v1/config", "").body).unwrap();
    assert_eq!(settings["bandwidth"], "unlimited");
    assert_eq!(server.service.asked(), [r#"set {"send_max_bytes_s":50000,"schedule":["22:00-06:00 unlimited"]}"#]);
    for body in [r#"{"speed":1}"#, r#"{"send_max_bytes_s":-1}"#, r#"{"schedule":"at night"}"#, r#"{"limits_on_lan":1}"#]
    {
        assert_eq!(server.good("PUT", "/api/v1/config", body).code(), "bad_request", "{body}");
    }
    assert_eq!(server.service.asked().len(), 1);
}

#[test]
fn w8_a_files_content_comes_only_as_a_download() {
    let server = server();
    let answer = server.good("GET", "/api/v1/folders/docs/files/content?path=evil.html", "");
    assert_eq!((answer.status, answer.body.as_str()), (200, crate::scripted::CONTENT));
    for header in [
        "content-type: application/octet-stream",
        "content-disposition: attachment; filename*=utf-8''evil.html",
        "content-security-policy: sandbox; default-src 'none'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(answer.head.contains(header), "{header}: {answer:?}");
    }
    assert_eq!(answer.head.matches("content-security-policy").count(), 1);
}

#[test]
fn a_file_that_is_put_in_may_be_larger_than_other_requests() {
    let server = server();
    let large = "x".repeat(300_000);
    let answer = server.good("POST", "/api/v1/folders/docs/files/content?path=a%2Fb.bin", &large);
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"path":"a/b.bin","size_bytes":300000}"#));
    assert_eq!(server.service.asked(), ["add docs a/b.bin 300000"]);
    assert_eq!(server.good("POST", "/api/v1/folders/docs/files/content", &large).code(), "bad_request");
}

#[test]
fn w10_a_folder_in_the_address_may_be_a_path_and_stays_one_part() {
    let server = server();
    for typed in ["docs", "abcdef", "%2Fhome%2Fana%2Fdocs"] {
        assert_eq!(server.good("POST", &format!("/api/v1/folders/{typed}/pause"), "").status, 200, "{typed}");
    }
    assert_eq!(server.service.asked(), ["pause docs", "pause abcdef", "pause /home/ana/docs"]);
    for hostile in ["..%2f..%2fdown", "%00", "%2e%2e", "docs%0apause", "nothere"] {
        let answer = server.good("POST", &format!("/api/v1/folders/{hostile}/pause"), "");
        assert_eq!((answer.status, answer.code().as_str()), (404, "folder_not_found"), "{hostile}");
    }
    assert_eq!(server.good("POST", "/api/v1/folders/%ff/pause", "").code(), "bad_request");
    assert_eq!(server.good("POST", "/api/v1/folders", r#"{"path":"../etc"}"#).code(), "bad_request");
    assert!(!server.stop.is_cancelled());
}

#[test]
fn whatever_is_wrong_comes_back_in_one_form() {
    let server = server();
    for (method, path, body, status, code) in [
        ("GET", "/api/v1/nothing", "", 404, "no_such_route"),
        ("GET", "/nothing", "", 404, "no_such_route"),
        ("DELETE", "/api/v1/folders", "", 405, "wrong_method"),
        ("POST", "/api/v1/folders", "{", 400, "bad_request"),
        ("POST", "/api/v1/folders", "{}", 400, "bad_request"),
        ("POST", "/api/v1/folders", r#"{"path":1}"#, 400, "bad_request"),
        ("POST", "/api/v1/folders", r#"{"path":"/x","future":1}"#, 400, "bad_request"),
        ("POST", "/api/v1/folders", r#"{"path":"/x","profile":"odd"}"#, 400, "bad_request"),
        ("POST", "/api/v1/folders", "", 400, "bad_request"),
        ("GET", "/api/v1/status?folder=a&folder=b", "", 400, "bad_request"),
        ("GET", "/api/v1/status?folder=nothere", "", 404, "folder_not_found"),
        ("POST", "/api/v1/folders/docs/invites", r#"{"role":"owner","expires_s":1,"uses":1}"#, 400, "bad_request"),
        ("POST", "/api/v1/recovery/recover", r#"{"words":"a","seeders":[]}"#, 400, "bad_request"),
    ] {
        let answer = server.good(method, path, body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {path} {body}: {answer:?}");
    }
    assert!(server.service.asked().is_empty());
}

#[test]
fn a_refusal_of_the_service_keeps_its_code_message_and_hint() {
    let refusal = ApiError::new(ErrorCode::RoleForbids, "only admins").hint("ask Bella");
    let server = Server::start(Scripted { refusal: Some(refusal), ..Scripted::default() });
    let answer = server.good("POST", "/api/v1/join", r#"{"code":"cbi1","timeout_ms":1}"#);
    assert_eq!(answer.status, 403);
    assert_eq!(answer.body, r#"{"code":"role_forbids","message":"only admins","hint":"ask Bella"}"#);
}

/// The data lines of the event stream, after this event.
fn follow(server: &Server, after: Option<&str>) -> impl Iterator<Item = serde_json::Value> {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let resume = after.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let host = server.address;
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n{resume}\r\n")
        .unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
}

#[test]
fn events_are_followed_and_resumed() {
    let server = server();
    let say = |text: &str| server.service.events.publish(News::new(EventKind::FolderChanged, text).folder("abcdef01"));
    say("one");
    say("two");
    let mut again = follow(&server, Some("run-1"));
    let two = again.next().unwrap();
    assert_eq!((two["id"].as_str(), two["message"].as_str()), (Some("run-2"), Some("two")));
    assert_eq!((two["kind"].as_str(), two["folder"].as_str()), (Some("folder_changed"), Some("abcdef01")));
    say("three");
    assert_eq!(again.next().unwrap()["message"], "three");
    assert_eq!(follow(&server, Some("earlier-7")).next().unwrap()["kind"], "missed");
    server.stop.cancel();
    assert!(again.next().is_none(), "the stream ends when the service stops");
}

#[test]
fn down_ends_the_api_and_who_waits_is_told() {
    let server = server();
    server.service.in_step.store(false, Ordering::Relaxed);
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.good("POST", "/api/v1/status/wait", r#"{"timeout_ms":600000}"#));
        while server.service.asked().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(server.good("POST", "/api/v1/down", "").body, r#"{"stopping":true}"#);
        waiting.join().unwrap()
    });
    assert_eq!((waiting.status, waiting.code().as_str()), (503, "stopping"));
    let address = server.address;
    server.ended();
    assert!(TcpStream::connect(address).is_err());
}
