//! Help, wrong usage, and everything that is said when no service runs.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use crate::sealed::{Place, ran};

const VERBS: [&str; 33] = [
    "up",
    "down",
    "status",
    "open",
    "whoami",
    "create",
    "folders",
    "leave",
    "pause",
    "resume",
    "invite",
    "invites",
    "join",
    "joins",
    "members",
    "devices",
    "quarantine",
    "edits",
    "rekey",
    "policy",
    "backup",
    "conflicts",
    "held",
    "ignore",
    "missing",
    "forget",
    "check",
    "drill",
    "config",
    "recovery",
    "recover",
    "events",
    "completions",
];

#[test]
fn help_is_plain_english_and_goes_to_stdout() {
    let place = Place::new();
    let mut texts = vec![place.run(&["--help"])];
    texts.extend(VERBS.iter().map(|verb| place.run(&[verb, "--help"])));
    for nested in [
        "config get",
        "config list",
        "config set",
        "invites list",
        "invites cancel",
        "members list",
        "devices list",
        "devices link",
        "devices name",
        "devices remove",
        "members remove",
        "members role",
        "members nickname",
        "joins list",
        "joins approve",
        "joins refuse",
        "joins mine",
        "joins withdraw",
        "quarantine list",
        "quarantine adopt",
        "quarantine discard",
        "edits list",
        "edits reset",
        "policy show",
        "policy set",
        "backup add",
        "backup list",
        "backup remove",
        "conflicts list",
        "held list",
        "held approve",
        "held reject",
        "ignore list",
        "ignore test",
        "missing list",
        "missing drop",
        "recovery kit",
    ] {
        let args: Vec<&str> = nested.split(' ').chain(["--help"]).collect();
        texts.push(place.run(&args));
    }
    for ran in texts {
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
        let words: Vec<String> = ran.out.split(|c: char| !c.is_alphabetic()).map(str::to_lowercase).collect();
        for never in ["node", "nodes", "peer", "peers", "epoch", "block", "blocks", "daemon"] {
            assert!(!words.iter().any(|word| word == never), "{never:?} in\n{}", ran.out);
        }
        assert!(!ran.out.contains('\u{1b}'), "no colours without a terminal");
    }
    let short = place.run(&["pause", "-h"]);
    assert!(
        short.out.starts_with("Stop sending and receiving a folder's changes on this device, until `resume`\n"),
        "{short:?}"
    );
}

#[test]
fn wrong_usage_ends_with_2_on_stderr_in_the_form_asked_for() {
    let place = Place::new();
    for args in [
        &["frobnicate"][..],
        &[],
        &["status", "a", "b"],
        &["status", "--timeout", "5"],
        &["create"],
        &["create", "x", "--profile", "odd"],
        &["invite", "docs", "--expires", "7 lightyears"],
        &["invite", "docs", "--role", "owner"],
        &["invite", "docs", "--words", "--to", "c1ben"],
        &["invite", "docs", "--words", "--uses", "2"],
        &["join", "code", "x", "--timeout", "0"],
        &["policy", "set", "docs"],
        &["policy", "set", "docs", "--approve-joins", "perhaps"],
        &["up", "--api", "nowhere"],
        &["backup"],
        &["leave", "\u{1b}[2J", "\u{202e}"],
    ] {
        let ran = place.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{args:?}");
        assert!(!ran.err.is_empty() && !ran.err.contains(['\u{1b}', '\u{202e}']), "{ran:?}");
        if !args.is_empty() {
            let json: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
            assert_eq!(place.run(&json).json_error(), (2, "usage".into()), "{args:?}");
        }
    }
}

#[test]
fn without_a_service_every_verb_ends_with_4_and_says_what_to_type() {
    let place = Place::new();
    for args in [
        &["down"][..],
        &["status"],
        &["whoami"],
        &["open"],
        &["open", "--print"],
        &["create", "docs"],
        &["folders"],
        &["leave", "docs"],
        &["pause", "docs"],
        &["resume", "docs"],
        &["invite", "docs"],
        &["join", "cbi1"],
        &["members", "list", "docs"],
        &["backup", "add", "docs", "cbo1"],
        &["conflicts", "list", "docs"],
        &["held", "list"],
        &["ignore", "test", "docs"],
        &["missing", "list", "docs"],
        &["missing", "drop", "docs", "x"],
        &["check", "docs"],
        &["recovery", "kit"],
        &["recover"],
        &["events"],
    ] {
        let ran = place.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(4), ""), "{args:?}: {ran:?}");
        assert_eq!(ran.err, "error: cobox is not running\nhint: start it with `cobox up`\n", "{args:?}");
        let json: Vec<&str> = ["--json"].iter().chain(args).copied().collect();
        assert_eq!(place.run(&json).json_error(), (4, "not_running".into()), "{args:?}");
    }
    assert!(!place.home().exists(), "looking makes nothing");
}

#[test]
fn the_first_start_without_a_terminal_needs_a_name() {
    let place = Place::new();
    for args in [&["up"][..], &["up", "--foreground"]] {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("name") && ran.err.contains("--name"), "{ran:?}");
    }
    assert_eq!(place.run(&["up", "--json"]).json_error(), (2, "name_needed".into()));
    assert_eq!(place.run(&["up", "--json", "--name", "  "]).json_error(), (2, "name_needed".into()));
    assert_eq!(place.run(&["up", "--json", "--name", "two\nlines"]).json_error(), (2, "name_needed".into()));
}

#[test]
fn i8_without_a_home_directory_it_says_why() {
    let place = Place::new();
    let without = ran(place.command(&["status"]).env_remove("HOME"));
    assert_eq!(without.code, Some(2), "{without:?}");
    assert!(without.err.contains("no HOME") && without.err.contains("--home"), "{without:?}");
    let relative = ran(place.command(&["--json", "status"]).env("HOME", "ana"));
    assert_eq!(relative.json_error(), (2, "home_unsuitable".into()));
    let named = ran(place.command(&["status"]).env_remove("HOME").env("COBOX_HOME", place.path().join("h")));
    assert_eq!(named.code, Some(4), "{named:?}");
}

#[test]
fn i8_a_name_that_is_not_utf_8_is_refused_with_a_reason() {
    let place = Place::new();
    let odd = OsStr::from_bytes(b"caf\xe9");
    let refused = ran(&mut place.command(&[OsStr::new("create"), odd]));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("not UTF-8"), "{refused:?}");
    assert_eq!(ran(&mut place.command(&[OsStr::new("pause"), odd])).code, Some(2));
}

#[test]
fn i8_a_closed_or_full_output_is_no_panic() {
    let place = Place::new();
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let closed = ran(place.command(&["completions", "bash"]).stdout(write));
    assert_eq!((closed.code, closed.err.as_str()), (Some(0), ""));
    if cfg!(target_os = "linux") {
        let full = ran(place.command(&["completions", "bash"]).stdout(File::create("/dev/full").unwrap()));
        assert_eq!(full.code, Some(1));
        assert!(full.err.contains("output can not be written"), "{full:?}");
        let mute = ran(place.command(&["status"]).stderr(File::create("/dev/full").unwrap()).stdout(Stdio::null()));
        assert_eq!(mute.code, Some(4));
    }
}

#[test]
fn completions_know_the_verbs() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = place.run(&["completions", shell]);
        assert_eq!(ran.code, Some(0));
        assert!(VERBS.iter().all(|verb| ran.out.contains(verb)), "{shell}");
    }
}
