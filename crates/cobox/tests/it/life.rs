//! The life of a service: up, found, refused, crashed, healed, down.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, getsid, kill_process};

use crate::sealed::{Place, finished};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn up_status_down_and_up_again() {
    let place = Place::new();
    let up = place.run(&["up", "--name", "Ana"]);
    let api = place.api();
    let line = format!("cobox is running for Ana: http://{}/ (process {})\n", api.address, api.pid);
    assert_eq!((up.code, up.out, up.err), (Some(0), line.clone(), String::new()));

    let again = place.run(&["up"]);
    assert_eq!((again.code, again.out), (Some(0), line.replace("is running", "already runs")));
    assert_eq!(place.run(&["status"]).code, Some(0));
    let whoami = place.run(&["whoami", "--json"]).json();
    assert_eq!(whoami["name"], "Ana");
    assert_eq!(whoami["api"], format!("http://{}/", api.address));

    let down = place.run(&["down"]);
    assert_eq!((down.code, down.out.as_str()), (Some(0), "cobox has stopped\n"));
    assert!(!place.api_file().exists() && place.service().is_none());
    assert_eq!(place.run(&["down", "--json"]).json_error(), (4, "not_running".into()));

    let renamed = place.run(&["up", "--json", "--name", "Ana Maria"]).json();
    assert_eq!((renamed["name"].as_str(), renamed["already"].as_bool()), (Some("Ana Maria"), Some(false)));
    assert_eq!(place.run(&["whoami", "--json"]).json()["device_key"], whoami["device_key"], "the same device");
    assert_eq!(place.run(&["down", "--json"]).json()["stopped"], true);
    assert_eq!(place.run(&["up", "--json"]).json()["name"], "Ana Maria", "a name is kept");
}

#[test]
fn w7_everything_in_the_home_is_private_whatever_the_umask() {
    let place = Place::new();
    let open = "umask 000; exec \"$0\" \"$@\"";
    let program = env!("CARGO_BIN_EXE_cobox");
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", open, program, "up", "--name", "Ana"]).env_clear().env("HOME", place.path());
    assert_eq!(finished(shell.output().unwrap()).code, Some(0));
    let mut seen = 0;
    let mut directories = vec![place.home()];
    while let Some(directory) = directories.pop() {
        assert_eq!(mode(&directory), 0o700, "{}", directory.display());
        for entry in fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()) {
            seen += 1;
            if entry.is_dir() {
                directories.push(entry)
            } else {
                assert_eq!(mode(&entry), 0o600, "{}", entry.display())
            }
        }
    }
    assert!(seen >= 7, "{seen}");
}

#[test]
fn w6_the_token_is_in_no_process_title_log_or_output() {
    let place = Place::new();
    let mut said = place.run(&["up", "--name", "Ana"]).out;
    let token = place.api().token;
    said += &place.run(&["whoami", "--json"]).out;
    said += &place.run(&["open", "--print"]).out;
    for entry in fs::read_dir(place.home().join("log")).unwrap() {
        said += &fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    if cfg!(target_os = "linux") {
        let pid = place.service().unwrap().as_raw_nonzero();
        said += &String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap());
        said += &String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/environ")).unwrap());
    }
    assert!(said.contains("started") && !said.contains(&token), "{said}");
}

#[test]
fn the_service_has_a_session_of_its_own() {
    let place = Place::new();
    place.run(&["up", "--name", "Ana"]);
    let service = place.service().unwrap();
    assert_eq!(getsid(Some(service)).unwrap(), service);
}

#[test]
fn a_crash_heals_by_itself() {
    let place = Place::new();
    place.run(&["up", "--name", "Ana"]);
    let first = place.api();
    place.crash();
    assert!(place.api_file().exists(), "left behind");

    // Whoever took the port since must not be sent the token.
    let other = TcpListener::bind(first.address).unwrap();
    other.set_nonblocking(true).unwrap();
    assert_eq!(place.run(&["status", "--json"]).json_error(), (4, "not_running".into()));
    assert!(other.accept().is_err(), "nobody connected");

    let config = place.home().join("config.toml");
    fs::write(&config, "wrong").unwrap();
    assert_eq!(place.run(&["up"]).code, Some(1));
    assert!(!place.api_file().exists(), "whoever takes the lock clears it away first");
    fs::remove_file(config).unwrap();

    let up = place.run(&["up", "--json"]).json();
    assert_eq!(up["already"], false);
    assert_ne!(place.api().token, first.token);
    assert_eq!(place.run(&["status"]).code, Some(0));
}

/// `up --foreground`, once it runs; stdout's first line.
fn foreground(place: &Place) -> (Child, String) {
    let mut command = place.command(&["up", "--foreground", "--name", "Ana"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), signal).unwrap();
}

#[test]
fn in_the_foreground_it_says_where_it_is_and_stops_on_a_signal() {
    for stop in [Signal::INT, Signal::TERM, Signal::HUP] {
        let place = Place::new();
        let (child, line) = foreground(&place);
        assert_eq!(line, format!("cobox is running: http://{}/ (Ctrl-C stops it)\n", place.api().address));
        signal(&child, stop);
        let ended = finished(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(0), "{stop:?}: {ended:?}");
        assert!(ended.err.contains("started") && ended.err.contains("stopped"), "its log is on stderr: {ended:?}");
        assert!(!place.api_file().exists());
    }
}

#[test]
fn a_second_service_in_the_foreground_is_refused_and_names_the_first() {
    let place = Place::new();
    let (child, _) = foreground(&place);
    let second = place.run(&["up", "--foreground"]);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.err.contains(&format!("process {}", child.id())), "{second:?}");
    assert_eq!(place.run(&["up", "--foreground", "--json"]).json_error(), (1, "already_running".into()));
    assert_eq!(place.run(&["up", "--json"]).json()["pid"], child.id(), "in the background it says where it is");
    assert_eq!(place.run(&["down"]).code, Some(0));
    assert_eq!(finished(child.wait_with_output().unwrap()).code, Some(0));
}

#[test]
fn many_starts_at_once_make_one_service() {
    let place = Place::new();
    let start = || {
        place.command(&["up", "--json", "--name", "Ana"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = (0..4).map(|_| start()).collect();
    let ran: Vec<_> = children.into_iter().map(|child| finished(child.wait_with_output().unwrap())).collect();
    let up: Vec<_> = ran.iter().map(|ran| ran.json()).collect();
    assert!(up.iter().all(|up| up["pid"] == up_pid(&place)), "{up:?}");
    assert_eq!(up.iter().filter(|up| up["already"] == false).count(), 1, "{up:?}");
}

fn up_pid(place: &Place) -> serde_json::Value {
    place.api().pid.into()
}

#[test]
fn w12_the_api_listens_where_asked_but_only_on_this_machine() {
    let place = Place::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        assert_eq!(
            place.run(&["up", "--json", "--name", "Ana", "--api", address]).json_error(),
            (2, "usage".into()),
            "{address}"
        );
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = place.run(&["up", "--json", "--name", "Ana", "--api", &address]);
    assert_eq!(refused.json_error(), (1, "port_taken".into()));
    assert!(refused.err.contains(&address) && refused.err.contains("--api"), "{refused:?}");
    drop(taken);
    assert_eq!(
        place.run(&["up", "--json", "--name", "Ana", "--api", &address]).json()["api"],
        format!("http://{address}/")
    );
}

#[test]
fn i4_wrong_settings_stop_the_start_with_their_line() {
    let place = Place::new();
    place.run(&["up", "--name", "Ana"]);
    place.run(&["down"]);
    let config = place.home().join("config.toml");
    assert!(fs::read_to_string(&config).unwrap().contains("#rescan_interval_s = 600"));
    fs::write(&config, "lan_discovery = true\nlan_discovry = false\n").unwrap();
    for args in [&["up"][..], &["up", "--foreground"]] {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("config.toml, line 2: ") && ran.err.contains("lan_discovry"), "{ran:?}");
    }
    assert_eq!(place.run(&["up", "--json"]).json_error(), (1, "config_wrong".into()));
    fs::write(&config, "").unwrap();
    assert_eq!(
        crate::sealed::ran(place.command(&["up", "--json"]).env("COBOX_LOG", "loud!")).json_error(),
        (1, "config_wrong".into())
    );
    assert_eq!(place.run(&["up"]).code, Some(0));
}

#[test]
fn homes_side_by_side_and_unsuitable_ones() {
    let place = Place::new();
    let (one, two) = (place.path().join("one"), place.path().join("two"));
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    assert_eq!(place.run(&["--home", one, "up", "--name", "Ana"]).code, Some(0));
    assert_eq!(place.run(&["up", "--home", "two", "--name", "Ben"]).code, Some(0), "relative is fine");
    let name = |home: &str| place.run(&["whoami", "--json", "--home", home]).json()["name"].clone();
    assert_eq!((name(one), name(two)), ("Ana".into(), "Ben".into()));
    for home in [one, two] {
        assert_eq!(place.run(&["down", "--home", home]).code, Some(0));
    }

    let mine = place.path().join("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("thesis.odt"), "x").unwrap();
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o755)).unwrap();
    for home in ["/", mine.to_str().unwrap(), place.path().to_str().unwrap()] {
        let refused = place.run(&["up", "--json", "--name", "Ana", "--home", home]);
        assert_eq!(refused.json_error(), (2, "home_unsuitable".into()), "{home}");
    }
    assert_eq!((mode(&mine), fs::read_dir(&mine).unwrap().count()), (0o755, 1), "left alone");
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
    place.run(&["up", "--name", "Ana"]);
    place.run(&["down"]);
    let logs = place.home().join("log");
    old_logs(&logs);
    place.run(&["up", "--name", "Ana"]);
    let files = || fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap());
    let bytes: u64 = files().map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes <= 20_000_000, "{bytes}");
    let names: Vec<_> = files().map(|file| file.file_name().into_string().unwrap()).collect();
    assert!(names.contains(&"2026-10-22.11.log".into()), "the newest stay: {names:?}");
    assert!(!names.contains(&"2026-10-20.0.log".into()), "the oldest went: {names:?}");
}
