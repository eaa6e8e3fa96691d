//! What a web page from elsewhere, another name for this machine, or a flood may try (failures B.11).

use cobox_daemon::api::dto::LoginLink;

use crate::scripted::{Scripted, Server, TOKEN, folder};

fn server() -> Server {
    Server::start(Scripted { folders: vec![folder("abcdef01", "docs", "/home/ana/docs")], ..Scripted::default() })
}

#[test]
fn w1_a_page_from_elsewhere_can_change_nothing() {
    let server = server();
    let host = server.address.to_string();
    let create = r#"{"path":"/home/ana/docs"}"#;
    for (what, headers, status) in [
        ("a form or beacon without the token", vec![("Content-Type", "text/plain")], 401),
        ("the same, said to be JSON", vec![("Content-Type", "application/json")], 401),
        ("a cookie is no authority", vec![("Cookie", TOKEN), ("Content-Type", "application/json")], 401),
        ("from another origin, even with the token", vec![("Origin", "http://evil"), ("Authorization", TOKEN)], 403),
        ("from a sandboxed frame", vec![("Origin", "null")], 403),
        ("cross-site as the browser says", vec![("Sec-Fetch-Site", "cross-site")], 403),
    ] {
        let mut all = vec![("Host", host.as_str())];
        all.extend(headers);
        let answer = server.send("POST", "/api/v1/folders", &all, create);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(!answer.head.contains("access-control"), "{what}");
    }
    let bearer = format!("Bearer {TOKEN}");
    let text = [("Host", host.as_str()), ("Authorization", &bearer), ("Content-Type", "text/plain")];
    assert_eq!(server.send("POST", "/api/v1/folders", &text, create).status, 400, "JSON must be called JSON");
    let preflight = [("Host", host.as_str()), ("Origin", "http://evil"), ("Access-Control-Request-Method", "POST")];
    assert_eq!(server.send("OPTIONS", "/api/v1/folders", &preflight, "").status, 403);
    assert!(server.service.asked().is_empty());
}

#[test]
fn w1_reading_never_changes_anything() {
    let server = server();
    for (method, path) in server.operations() {
        if method == "GET" && !path.ends_with("/events") {
            assert_eq!(server.good("GET", &path, "").status, 200, "{path}");
        } else if method != "GET" {
            let answer = server.good("GET", &path, "");
            assert!(answer.status == 405 || answer.status == 200, "{path}: {answer:?}");
            assert_eq!(server.good("HEAD", &path, "").status, answer.status, "{path}");
        }
    }
    assert!(server.service.asked().is_empty(), "{:?}", server.service.asked());
    assert!(!server.stop.is_cancelled());
}

#[test]
fn w2_another_name_for_this_machine_is_refused_before_routing_everywhere() {
    let server = server();
    let port = server.address.port();
    let bearer = format!("Bearer {TOKEN}");
    let mut paths: Vec<String> = server.operations().into_iter().map(|(_, path)| path).collect();
    paths.extend(
        ["/", "/no/such/route", "/api/v1/openapi.json", "/index.html", "/assets/x.js", "/favicon.svg"]
            .map(String::from),
    );
    for path in &paths {
        let evil = format!("evil.example:{port}");
        let answer = server.send("GET", path, &[("Host", &evil), ("Authorization", &bearer)], "");
        assert_eq!((answer.status, answer.code().as_str()), (403, "foreign_origin"), "{path}");
    }
    let ours = server.address.to_string();
    for hosts in [
        vec![],
        vec![ours.as_str(), ours.as_str()],
        vec!["127.0.0.1"],
        vec!["localhost.evil"],
        vec!["127.0.0.1.nip.io"],
        vec!["ana@127.0.0.1"],
        vec!["0.0.0.0"],
        vec!["[::1]"],
    ] {
        let headers: Vec<(&str, &str)> =
            hosts.iter().map(|h| ("Host", *h)).chain([("Authorization", bearer.as_str())]).collect();
        let status = server.send("GET", "/api/v1/whoami", &headers, "").status;
        assert!(matches!(status, 400 | 403), "{hosts:?}: {status}");
    }
    let absolute = format!("GET http://evil/ HTTP/1.1\r\nHost: {ours}\r\nConnection: close\r\n\r\n");
    assert_eq!(server.raw(absolute.as_bytes()).status, 403);
    assert_eq!(server.raw(b"GET / HTTP/1.0\r\n\r\n").status, 403, "without any host");
    let localhost = format!("localhost:{port}");
    assert_eq!(server.send("GET", "/", &[("Host", &localhost)], "").status, 200);
}

#[test]
fn w4_nobody_else_follows_the_events() {
    let server = server();
    let host = server.address.to_string();
    let bearer = format!("Bearer {TOKEN}");
    let other = server.address.port() ^ 1;
    let other_port = format!("http://127.0.0.1:{other}");
    for origin in ["http://evil", "null", &other_port] {
        let headers = [("Host", host.as_str()), ("Authorization", &bearer), ("Origin", origin)];
        assert_eq!(server.send("GET", "/api/v1/events", &headers, "").status, 403, "{origin}");
    }
    assert_eq!(server.send("GET", "/api/v1/events", &[("Host", &host)], "").status, 401);
}

#[test]
fn w5_every_answer_forbids_framing_sniffing_and_caching() {
    let server = server();
    let host = server.address.to_string();
    let mut answers =
        vec![server.good("GET", "/", ""), server.good("GET", "/api/v1/whoami", ""), server.good("GET", "/no", "")];
    answers.push(server.send("GET", "/api/v1/whoami", &[("Host", &host)], ""));
    answers.push(server.send("GET", "/", &[("Host", "evil")], ""));
    assert_eq!(answers.iter().map(|a| a.status).collect::<Vec<_>>(), [200, 200, 404, 401, 403]);
    for answer in answers {
        for header in [
            "frame-ancestors 'none'",
            "default-src 'none'",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            "cross-origin-opener-policy: same-origin",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.head.contains(header), "{header}: {answer:?}");
        }
        assert!(!answer.head.contains("unsafe-inline") && !answer.head.contains("set-cookie"), "{answer:?}");
    }
}

#[test]
fn w6_the_token_is_nowhere_but_in_the_header_and_a_login_link_opens_once() {
    let server = server();
    let host = server.address.to_string();
    let only_host = [("Host", host.as_str())];
    assert_eq!(server.send("GET", &format!("/api/v1/whoami?token={TOKEN}"), &only_host, "").status, 401);
    assert!(!server.send("GET", "/", &only_host, "").body.contains(TOKEN));

    let link: LoginLink = serde_json::from_str(&server.good("POST", "/api/v1/login-links", "null").body).unwrap();
    let (page, code) = link.url.0.split_once("#login=").unwrap();
    assert_eq!(page, format!("http://{host}/"));
    assert!(!link.url.0.contains(TOKEN));
    let json = [("Host", host.as_str()), ("Content-Type", "application/json")];
    let exchange = |code: &str| server.send("POST", "/api/v1/login", &json, &format!(r#"{{"code":"{code}"}}"#));
    assert_eq!(exchange("guess").code(), "login_spent");
    assert_eq!(exchange(code).body, format!(r#"{{"token":"{TOKEN}"}}"#));
    assert_eq!(exchange(code).code(), "login_spent", "a second time");
}

#[test]
fn w9_floods_are_refused_before_they_are_read() {
    let server = server();
    let (host, bearer) = (server.address.to_string(), format!("Bearer {TOKEN}"));
    let head = |more: &str| {
        format!("POST /api/v1/folders HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{more}")
    };
    let announced = head("Content-Length: 10000000000\r\n\r\n");
    assert_eq!(server.raw(announced.as_bytes()).status, 401, "before any body is read");
    let announced = head(&format!("Authorization: {bearer}\r\nContent-Length: 10000000000\r\n\r\n"));
    assert_eq!(server.raw(announced.as_bytes()).status, 413);
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let chunked = head(&format!("Authorization: {bearer}\r\nTransfer-Encoding: chunked\r\n\r\n")) + &chunk.repeat(3);
    assert_eq!(server.raw(chunked.as_bytes()).status, 413);
    let many = head(&"X: y\r\n".repeat(100_000));
    assert!(matches!(server.raw(many.as_bytes()).status, 400 | 431 | 0), "too many headers");
    let long = format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "a".repeat(1 << 20));
    assert!(matches!(server.raw(long.as_bytes()).status, 400 | 414 | 431 | 0), "too long an address");
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(server.good("POST", "/api/v1/folders", &deep).code(), "bad_request");
    assert!(server.service.asked().is_empty());
    assert_eq!(server.good("GET", "/api/v1/whoami", "").status, 200, "and it still answers");
}
