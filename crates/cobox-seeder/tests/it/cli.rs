//! The program in a sealed environment: life of the service, exit codes, JSON.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Stdio};

use cobox_proto::hosting::Offer;
use rustix::process::{Pid, Signal, getsid, kill_process};

use crate::place::{Place, finished};

#[test]
fn up_status_down_and_up_again() {
    let place = Place::new();
    let up = place.run(&["up", "--name", "Sam", "--listen", "127.0.0.1:0"]);
    assert_eq!((up.code, up.err.as_str()), (Some(0), ""));
    assert!(up.out.starts_with("cobox-seeder is running as Sam at 127.0.0.1:"), "{up:?}");
    let again = place.run(&["up"]);
    assert_eq!((again.code, again.out), (Some(0), up.out.replace("is running", "already runs")));
    let status = place.run(&["status", "--json"]).json();
    for key in ["name", "version", "addresses", "space_bytes", "used_bytes", "folders"] {
        assert!(status.get(key).is_some(), "{key}: {status}");
    }
    assert_eq!((status["name"].as_str(), status["folders"].as_u64()), (Some("Sam"), Some(0)));
    assert!(place.run(&["status"]).out.starts_with("Sam (cobox-seeder "));
    let service = place.service().unwrap();
    assert_eq!(getsid(Some(service)).unwrap(), service, "a session of its own");

    assert_eq!(place.run(&["down"]).out, "cobox-seeder has stopped\n");
    assert!(!place.home().api_file().exists() && place.service().is_none());
    assert_eq!(place.run(&["down", "--json"]).json_error(), (4, "not_running".into()));
    assert_eq!(place.run(&["up", "--json"]).json()["name"], "Sam", "the name is kept");
    assert_eq!(place.run(&["status", "--json"]).json()["addresses"], status["addresses"], "and the port");
    assert_eq!(place.run(&["--json", "down"]).json()["stopped"], true);
}

#[test]
fn without_a_service_commands_say_so() {
    let place = Place::new();
    for args in [
        &["status", "--json"][..],
        &["folders", "--json"],
        &["show", "abcdef", "--json"],
        &["drop", "abcdef", "--json"],
        &["check", "--json"],
        &["offer", "--space", "1GB", "--json"],
    ] {
        assert_eq!(place.run(args).json_error(), (4, "not_running".into()), "{args:?}");
    }
    assert!(!place.root().exists(), "nothing was written");
}

#[test]
fn wrong_usage_ends_with_two_and_what_is_not_there_with_six() {
    let place = Place::new();
    for args in [
        &["offer", "--json"][..],
        &["offer", "--space", "fifty", "--json"],
        &["offer", "--space", "50", "--json"],
        &["offer", "--space", "1GB", "--keep", "soon", "--json"],
        &["frobnicate", "--json"],
        &["show", "--json"],
        &["up", "--admin", "here", "--json"],
        &["up", "--admin", "0.0.0.0:0", "--json"],
        &["--json"],
    ] {
        assert_eq!(place.run(args).json_error(), (2, "usage".into()), "{args:?}");
    }
    place.up();
    assert_eq!(place.run(&["show", "abcdef12", "--json"]).json_error(), (6, "folder_not_found".into()));
    assert_eq!(place.run(&["show", "../status", "--json"]).json_error(), (6, "folder_not_found".into()));
    assert_eq!(place.run(&["show", "abc", "--json"]).json_error(), (2, "usage".into()));
    assert_eq!(place.run(&["offer", "--space", "0GB", "--json"]).json_error(), (2, "usage".into()));
    assert_eq!(
        place.run(&["offer", "--space", "1GB", "--for", &"x".repeat(200), "--json"]).json_error(),
        (2, "usage".into())
    );
    assert!(place.run(&["--help"]).out.contains("Exit codes"));
    assert!(place.run(&["completions", "bash"]).out.contains("cobox-seeder"));
}

#[test]
fn an_offer_is_one_line_signed_and_in_no_log() {
    let place = Place::new();
    place.up();
    let printed =
        place.run(&["offer", "--space", "50GB", "--for", "Bella's choir", "--keep", "30d", "--expires", "7d"]);
    assert_eq!((printed.code, printed.out.lines().count()), (Some(0), 1));
    assert!(printed.err.contains("50.0 GB"), "{printed:?}");
    let offer = Offer::from_text(&printed.out).unwrap();
    assert_eq!((offer.quota_bytes, offer.keep_days), (50_000_000_000, 30));
    let json = place.run(&["offer", "--space", "1GiB", "--json"]).json();
    for key in ["offer", "space_bytes", "expires_at"] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["space_bytes"], 1_u64 << 30);
    let status = place.run(&["status", "--json"]).json();
    assert_eq!(
        (status["open_offers"].as_u64(), status["space_bytes"].as_u64()),
        (Some(2), Some(50_000_000_000 + (1 << 30)))
    );
    let quiet = place.run(&["offer", "--space", "1GB", "--quiet"]);
    assert_eq!(quiet.err, "");

    let mut said = String::new();
    for entry in fs::read_dir(place.home().logs()).unwrap() {
        said += &fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    if cfg!(target_os = "linux") {
        let pid = place.service().unwrap().as_raw_nonzero();
        said += &String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap());
    }
    assert!(said.contains("started"));
    for secret in [printed.out.trim(), &place.api().token, "Bella"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn w7_everything_in_the_home_is_private_whatever_the_umask() {
    let place = Place::new();
    let open = "umask 000; exec \"$0\" \"$@\"";
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", open, env!("CARGO_BIN_EXE_cobox-seeder"), "up"]).env_clear().env("HOME", place.path());
    assert_eq!(finished(shell.output().unwrap()).code, Some(0));
    place.run(&["offer", "--space", "1GB"]);
    let mut directories = vec![place.root()];
    let mut seen = 0;
    while let Some(directory) = directories.pop() {
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700, "{}", directory.display());
        for path in fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()) {
            seen += 1;
            if path.is_dir() { directories.push(path) } else { assert_eq!(mode(&path), 0o600, "{}", path.display()) }
        }
    }
    assert!(seen >= 8, "{seen}");
}

#[test]
fn a_crash_heals_by_itself() {
    let place = Place::new();
    place.up();
    let first = place.api();
    place.crash();
    assert!(place.home().api_file().exists(), "left behind");
    // Whoever took the port since must not be sent the token.
    let other = TcpListener::bind(first.address).unwrap();
    other.set_nonblocking(true).unwrap();
    assert_eq!(place.run(&["status", "--json"]).json_error(), (4, "not_running".into()));
    assert!(other.accept().is_err(), "nobody connected");
    let config = place.home().config();
    fs::write(&config, "wrong").unwrap();
    assert_eq!(place.run(&["up", "--json"]).json_error(), (1, "config_wrong".into()));
    fs::remove_file(config).unwrap();
    assert_eq!(place.run(&["up", "--json"]).json()["already"], false);
    assert_ne!(place.api().token, first.token);
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let place = Place::new();
    let addresses = place.up()["addresses"].clone();
    place.run(&["down"]);
    let address = addresses[0].as_str().unwrap();
    let taken = UdpSocket::bind(address).unwrap();
    let refused = place.run(&["up", "--json"]);
    assert_eq!(refused.json_error(), (1, "port_taken".into()));
    let port = address.rsplit(':').next().unwrap();
    assert!(refused.err.contains(port) && refused.err.contains("--listen"), "{refused:?}");
    drop(taken);
    assert_eq!(place.run(&["up", "--json"]).json()["addresses"], addresses);

    let other = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = taken.local_addr().unwrap().to_string();
    assert_eq!(other.run(&["up", "--json", "--admin", &admin]).json_error(), (1, "port_taken".into()));
    drop(taken);
    assert_eq!(other.run(&["up", "--json", "--admin", &admin]).json()["admin"], format!("http://{admin}/"));
}

/// `up --foreground`, once it runs.
fn foreground(place: &Place) -> Child {
    let mut command = place.command(&["up", "--foreground", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("cobox-seeder is running"), "{line}");
    child
}

#[test]
fn in_the_foreground_it_stops_on_a_signal_and_a_second_one_is_refused() {
    for stop in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        let child = foreground(&place);
        let second = place.run(&["up", "--foreground", "--json"]);
        assert_eq!(second.json_error(), (1, "already_running".into()));
        assert!(second.err.contains(&format!("process {}", child.id())), "{second:?}");
        assert_eq!(place.run(&["up", "--json"]).json()["pid"], child.id(), "in the background it says where it is");
        kill_process(Pid::from_raw(child.id() as i32).unwrap(), stop).unwrap();
        let ended = finished(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.err.contains("started") && ended.err.contains("stopped"), "its log is on stderr: {ended:?}");
        assert!(!place.home().api_file().exists());
    }
}

#[test]
fn many_starts_at_once_make_one_service() {
    let place = Place::new();
    let start = || place.command(&["up", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let children: Vec<Child> = (0..3).map(|_| start()).collect();
    let up: Vec<_> = children.into_iter().map(|child| finished(child.wait_with_output().unwrap()).json()).collect();
    assert!(up.iter().all(|up| up["pid"] == place.api().pid), "{up:?}");
    assert_eq!(up.iter().filter(|up| up["already"] == false).count(), 1, "{up:?}");
}

#[test]
fn homes_side_by_side_and_unsuitable_ones() {
    let place = Place::new();
    for home in ["one", "two"] {
        assert_eq!(place.run(&["--home", home, "up", "--name", home]).code, Some(0));
    }
    for home in ["one", "two"] {
        assert_eq!(place.run(&["status", "--json", "--home", home]).json()["name"], home);
        assert_eq!(place.run(&["down", "--home", home]).code, Some(0));
    }
    let mine = place.path().join("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("thesis.odt"), "x").unwrap();
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o755)).unwrap();
    for home in ["/", "mine"] {
        assert_eq!(place.run(&["up", "--json", "--home", home]).json_error(), (2, "home_unsuitable".into()), "{home}");
    }
    assert_eq!(fs::read_dir(&mine).unwrap().count(), 1, "left alone");
}

#[test]
fn w2_w11_the_api_answers_only_those_who_have_the_token() {
    let place = Place::new();
    place.up();
    let api = place.api();
    let ask = |header: &str, value: &str| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.get(format!("http://{}/api/v1/status", api.address)).header(header, value);
        request.call().unwrap().status().as_u16()
    };
    let token = format!("Bearer {}", api.token);
    assert_eq!(ask("authorization", &token), 200);
    assert_eq!(ask("authorization", "Bearer wrong"), 401);
    assert_eq!(ask("x-nothing", "x"), 401);
    assert_eq!(ask("origin", "http://evil.example"), 403);
    assert_eq!(ask("host", "evil.example"), 403);
}

/// Files of a busy month, as big as they get.
fn old_logs(directory: &Path) {
    for n in 0..12 {
        let file = fs::File::create(directory.join(format!("2026-10-{:02}.{n}.log", 20 + n / 4))).unwrap();
        file.set_len(2_500_000).unwrap();
    }
}

#[test]
fn d3_logs_take_20_mb_at_most() {
    let place = Place::new();
    place.run(&["up", "--listen", "127.0.0.1:0"]);
    place.run(&["down"]);
    let logs = place.home().logs();
    old_logs(&logs);
    place.run(&["up", "--listen", "127.0.0.1:0"]);
    let files = || fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap());
    let bytes: u64 = files().map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes <= 20_000_000, "{bytes}");
    let names: Vec<_> = files().map(|file| file.file_name().into_string().unwrap()).collect();
    assert!(names.contains(&"2026-10-22.11.log".into()), "the newest stay: {names:?}");
    assert!(!names.contains(&"2026-10-20.0.log".into()), "the oldest went: {names:?}");
}
