//! Every verb against a service that answers by script: what it asks for, what it prints, how it ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::atomic::Ordering;

use cobox_daemon::api::dto::{Direction, HeldChange, MissingFile, MissingState, Problem, Time};
use cobox_daemon::api::{ApiError, ErrorCode, EventKind, News};
use cobox_daemon::{ApiFile, Lock};
use rustix::process::{Pid, Signal, kill_process};
use zeroize::Zeroizing;

use crate::scripted::{Scripted, Server, TOKEN, folder};
use crate::sealed::{Place, finished, ran};

const JOIN_WAITS: &str = "joined: waits until an owner or admin lets you in, by 1970-01-01T00:00:00Z; your words: legal winner thank year \
    wave sausage. It is asked on by itself: `cobox joins mine`\n";
const JOINS: &str = "SAYS  ROLE    INVITED BY  GOOD UNTIL            KEY       SIX WORDS\n\
    Ben   editor  Ana         1970-01-01T00:00:00Z  bb77cc88  legal winner thank year wave sausage\n";
const HOSTILE: &str = "a\u{1b}[2J\u{202e}b\nok: in step";

/// A place whose service is scripted.
struct Scene {
    place: Place,
    server: Server,
    _lock: Lock,
}

impl Scene {
    fn new(service: Scripted) -> Self {
        let place = Place::new();
        fs::create_dir_all(place.home()).unwrap();
        let lock = Lock::acquire(&place.home().join("lock")).unwrap();
        let server = Server::start(service);
        ApiFile::new(server.address, &Zeroizing::new(TOKEN.into())).write(&place.api_file()).unwrap();
        Self { place, server, _lock: lock }
    }

    fn with_docs() -> Self {
        Self::new(Scripted { folders: vec![folder("abcdef0123", "docs", "/home/ana/docs")], ..Scripted::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.server.service.asked()
    }
}

fn held() -> HeldChange {
    HeldChange {
        id: "h1".into(),
        folder: "docs".into(),
        device: "phone".into(),
        by: "Ben".into(),
        at: Some(Time::from_ms(0)),
        deleted_files: 40,
        changed_files: 1,
        direction: Direction::Incoming,
        examples: vec![HOSTILE.into()],
        why: "many files would be deleted at once".into(),
    }
}

#[test]
fn the_verbs_as_transcripts() {
    let scene = Scene::with_docs();
    let api = scene.server.address;
    for (args, out) in [
        ("whoami", format!("name        Ana\nCoBox key   c1key\ndevice      dd\naddresses   127.0.0.1:7\nweb page    http://{api}/\n")),
        ("folders", "FOLDER  STATE    FILES  SIZE    ID        PATH\ndocs    in step  2      3.0 kB  abcdef01  /home/ana/docs\n".into()),
        ("status", "docs: in step\n  2 files, 3.0 kB in /home/ana/docs\n".into()),
        ("status /home/ana/docs", "docs: in step\n  2 files, 3.0 kB in /home/ana/docs\n".into()),
        ("pause docs", "docs: paused (/home/ana/docs)\n".into()),
        ("resume abcdef", "docs: goes on (/home/ana/docs)\n".into()),
        ("create /new/photos --profile uniform", "new: a folder now (/new/photos)\n".into()),
        ("join cbi1abc /new/joined", "joined: joined (/new/joined)\n".into()),
        ("invite docs --to c1ben --role reader -q", "cbi1code\n".into()),
        ("invite docs --words --role reader -q", "7-apple-river-moon\n".into()),
        ("join 7-apple-river-moon --via cbt1seeder", "joined: joined ()\n".into()),
        ("members list docs", String::new()),
        ("invites list docs", "ID    ROLE    BY   USED    GOOD UNTIL  LETS IN\naa11  editor  Ana  0 of 1  expired     at once\n".into()),
        ("invites cancel docs aa11", "aa11: closed; nobody joins with it\n".into()),
        ("members remove docs Ben --dry-run", "Ben (editor, 1 device) is sent away.\nWhat is written from then on has new keys.\n".into()),
        ("members remove docs Ben --yes -q", "Ben was sent away; what is written from now on has new keys\n".into()),
        ("members role docs Ben reader --yes -q", "Ben is reader now\n".into()),
        ("members nickname docs Ben Benny", "bb is Benny here\n".into()),
        ("members nickname docs Ben", "bb is Ben here\n".into()),
        ("join cbi1waits --timeout 1", JOIN_WAITS.into()),
        ("joins list docs", JOINS.into()),
        ("joins approve docs Ben --yes", "Ben (bb77cc88) was let in as editor\n".into()),
        ("joins approve docs bb77cc --words other", "Ben (bb77cc88) was let in as editor\n".into()),
        ("joins refuse docs Ben --yes", "Ben (bb77cc88): not let in; the invite is closed\n".into()),
        ("joins withdraw joined", "joined: not asked any more\n".into()),
        ("quarantine list docs -q", String::new()),
        ("edits list docs", "mine.txt\n".into()),
        ("edits reset docs --dry-run", "mine.txt would be set aside beside the folder\n".into()),
        ("edits reset docs mine.txt", "mine.txt is in /home/ana/docs (changed here)/mine.txt now\n".into()),
        ("policy show docs", "joins     take effect at once\nnew keys  every 91 days, and when somebody is sent away\n".into()),
        (
            "policy set docs --approve-joins yes",
            "joins     wait until an owner or admin approves\nnew keys  every 91 days, and when somebody is sent away\n".into(),
        ),
        ("rekey docs", "docs: has new keys (/home/ana/docs)\n".into()),
        (
            "rekey docs --content",
            "docs: has new keys, and its contents on this computer are under them (/home/ana/docs)\n".into(),
        ),
        ("devices list", "DEVICE  SEEN      FOLDERS  KEY\nlaptop  this one  2        dd\n".into()),
        ("devices link -q", "cbl1code\n".into()),
        ("devices name laptop desk", "DEVICE  SEEN      FOLDERS  KEY\nlaptop  this one  2        dd\n".into()),
        (
            "devices remove laptop --yes",
            "laptop was sent away, out of 1 folder; what is written from now on has new keys\n".into(),
        ),
        ("quarantine discard docs", "0 changes put out of sight\n".into()),
        ("backup add docs cbo1offer", "shed keeps an encrypted copy, up to 50.0 GB\n".into()),
        ("backup remove docs shed", "shed: ended; it keeps its encrypted copy until 1970-01-01T00:00:00Z\n".into()),
        ("leave docs -q", "docs: left, files stay (/home/ana/docs)\n".into()),
        ("config get send_max_bytes_s", "none\n".into()),
        ("config get lan_discovery", "off\n".into()),
        ("config set schedule none", "schedule: none\n".into()),
        ("config set send_max_bytes_s 500kB", "send_max_bytes_s: none\n".into()),
        ("ignore list docs", "*.log\n".into()),
        ("ignore test docs", "a.log\n".into()),
        ("ignore test docs -q --rule *.tmp", String::new()),
        ("check docs", "docs: 2 files, 3.0 kB read\neverything is as it should be\n".into()),
    ] {
        let ran = scene.place.run(&args.split(' ').collect::<Vec<_>>());
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), out.as_str()), "{args}: {ran:?}");
    }
    let asked = [
        "pause docs",
        "resume abcdef",
        "create /new/photos Uniform",
        "join cbi1abc 30000",
        "invite docs Some(\"c1ben\") Reader",
        "spoken docs Reader",
        "join 7-apple-river-moon 30000",
        "cancel docs aa11",
        "remove docs Ben true",
        "remove docs Ben true",
        "remove docs Ben false",
        "role docs Ben Reader true",
        "role docs Ben Reader false",
        "nickname docs Ben Some(\"Benny\")",
        "nickname docs Ben None",
        "join cbi1waits 1000",
        "let in docs bb77cc88dd Some(\"legal winner thank year wave sausage\")",
        "let in docs bb77cc88dd Some(\"other\")",
        "refuse docs bb77cc88dd",
        "withdraw joined",
        "reset docs [] dry=true",
        "reset docs [\"mine.txt\"] dry=false",
        "policy docs true",
        "rekey docs",
        "rekey docs",
        "rekey content docs",
        "link",
        "name laptop desk",
        "remove laptop true",
        "remove laptop false",
        "discard docs None",
        "backup docs cbo1offer",
        "unbackup docs shed",
        "leave docs false",
        "set {\"schedule\":[]}",
        "set {\"send_max_bytes_s\":500000}",
        "check docs",
    ];
    assert_eq!(scene.asked(), asked);
}

#[test]
fn a_time_without_a_zone_is_read_by_this_computers_clock() {
    let scene = Scene::with_docs();
    let mut restore = scene.place.command(&["restore", "docs", "--at", "2026-11-22 14:00", "--to", "/x", "--json"]);
    let ran = ran(restore.env("TZ", "JST-9"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(scene.asked().iter().any(|asked| asked.contains("2026-11-22T05:00:00Z")), "{:?}", scene.asked());
}

#[test]
fn json_has_the_keys_of_the_contract() {
    let scene = Scene::with_docs();
    for (args, keys) in [
        ("status", &["device", "folders", "in_step", "joining"][..]),
        ("folders", &["folders"]),
        ("config list", &["at_next_start", "bandwidth", "settings"]),
        ("config get log", &["name", "value"]),
        ("whoami", &["addresses", "api", "cobox_key", "device_key", "name"]),
        ("create /x", &["already", "folder"]),
        ("join code", &["already", "folder", "waiting"]),
        ("joins list docs", &["joins"]),
        ("joins mine", &["joins"]),
        ("joins approve docs Ben", &["expires_at", "invite", "invited_by", "key", "name", "role", "words"]),
        ("joins refuse docs Ben", &["refused"]),
        ("invite docs", &["anybody", "approve", "code", "expires_at", "id", "role", "uses"]),
        ("invites list docs", &["invites"]),
        ("policy show docs", &["approve_joins", "new_keys_days"]),
        ("members list docs", &["members"]),
        (
            "members remove docs Ben",
            &[
                "also_gone",
                "closed_invites",
                "devices",
                "dry_run",
                "keeps",
                "loses",
                "member",
                "new_keys",
                "role",
                "words",
            ],
        ),
        ("quarantine list docs", &["held_aside"]),
        ("edits list docs", &["edits", "more"]),
        ("edits reset docs", &["dry_run", "problems", "set_aside"]),
        ("devices list", &["devices"]),
        ("devices link", &["code", "expires_at"]),
        ("devices remove laptop", &["dry_run", "folders", "keeps", "key", "name"]),
        ("up --link cbl1code", &["cobox_key", "folders", "name", "warnings"]),
        ("quarantine adopt docs", &["held_aside"]),
        ("backup list docs", &["backups"]),
        ("conflicts list docs", &["conflicts"]),
        ("held list", &["held"]),
        ("ignore list docs", &["bad_lines", "rules"]),
        ("ignore test docs", &["bad_lines", "examples", "matches"]),
        ("missing list docs", &["missing", "more"]),
        ("forget docs", &["forgets"]),
        ("recovery kit", &["seeders", "words"]),
        ("open --print", &["expires_at", "url"]),
        ("leave docs --dry-run", &["bytes", "delete_files", "dry_run", "files", "folder"]),
    ] {
        let ran = scene.place.run(&args.split(' ').chain(["--json"]).collect::<Vec<_>>());
        let json = ran.json();
        assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), keys, "{args}");
        assert_eq!((ran.out.lines().count(), ran.err.as_str()), (1, ""), "{args}: {ran:?}");
    }
    let row = &scene.place.run(&["--json", "folders"]).json()["folders"][0];
    assert_eq!(row.as_object().unwrap().keys().collect::<Vec<_>>(), ["bytes", "files", "id", "name", "path", "state"]);
}

#[test]
fn refusals_end_with_their_exit_code() {
    for (code, exit) in [
        (ErrorCode::RoleForbids, 5),
        (ErrorCode::CodeSpent, 5),
        (ErrorCode::Unreachable, 1),
        (ErrorCode::CodeUnreadable, 2),
        (ErrorCode::NotYet, 2),
    ] {
        let refusal = ApiError::new(code, format!("refused {HOSTILE}")).hint("try otherwise");
        let scene = Scene::new(Scripted { refusal: Some(refusal), ..Scripted::default() });
        let ran = scene.place.run(&["join", "cbi1"]);
        let shown = ran.err.lines().last();
        assert_eq!((ran.code, ran.out.as_str(), shown), (Some(exit), "", Some("hint: try otherwise")), "{ran:?}");
        assert!(!ran.err.contains(['\u{1b}', '\u{202e}']), "{ran:?}");
        assert_eq!(scene.place.run(&["join", "cbi1", "--json"]).json_error(), (exit, code.as_str().into()));
    }
    let scene = Scene::with_docs();
    assert_eq!(scene.place.run(&["pause", "photos", "--json"]).json_error(), (6, "folder_not_found".into()));
}

#[test]
fn damage_found_by_a_check_ends_with_3_and_names_the_files() {
    let problem =
        Problem { code: "damaged".into(), path: Some("a.txt".into()), message: "is damaged".into(), hint: None };
    let docs = folder("abcdef0123", "docs", "/home/ana/docs");
    let scene = Scene::new(Scripted { folders: vec![docs], damaged: vec![problem], ..Scripted::default() });
    let ran = scene.place.run(&["check", "docs"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), "docs: 2 files, 3.0 kB read\n  a.txt: is damaged\n"));
    let json = scene.place.run(&["check", "docs", "--json"]);
    assert_eq!(json.json_error(), (3, "damage_found".into()));
    assert!(json.out.contains("a.txt"), "the report stands on stdout all the same");
}

#[test]
fn waiting_looks_at_the_disk_first_and_gives_up_with_1() {
    let scene = Scene::with_docs();
    assert_eq!(scene.place.run(&["status", "--wait", "--json"]).json()["in_step"], true);
    assert_eq!(scene.asked(), ["wait rescan=true"]);
    scene.server.service.in_step.store(false, Ordering::Relaxed);
    let late = scene.place.run(&["status", "--wait", "--timeout", "0", "--json"]);
    assert_eq!(late.json_error(), (1, "timed_out".into()));
    assert!(late.out.contains("\"in_step\":false"), "{late:?}");
}

#[test]
fn what_destroys_is_shown_and_asked_unless_told_otherwise() {
    let docs = folder("abcdef0123", "docs", "/home/ana/docs");
    let scene = Scene::new(Scripted { folders: vec![docs], held: vec![held()], ..Scripted::default() });
    for args in [&["leave", "docs", "--delete-files"][..], &["held", "approve", "docs"]] {
        let refused = scene.place.run(args);
        assert_eq!(refused.code, Some(2), "nobody to ask: {refused:?}");
        assert!(refused.err.contains("--yes"), "{refused:?}");
        let dry: Vec<&str> = args.iter().copied().chain(["--dry-run"]).collect();
        let preview = scene.place.run(&dry);
        assert_eq!(preview.code, Some(0));
        assert!(preview.out.contains("docs") && !preview.out.contains(['\u{1b}', '\u{202e}']), "{preview:?}");
    }
    assert!(scene.asked().is_empty(), "{:?}", scene.asked());
    assert_eq!(scene.place.run(&["leave", "docs", "--delete-files", "--json"]).json()["files_deleted"], true);
    assert_eq!(scene.place.run(&["--yes", "held", "approve", "docs", "h1"]).out, "1 held change let through\n");
    assert_eq!(scene.place.run(&["held", "reject", "docs"]).out, "1 held change turned back\n");
    assert_eq!(
        scene.place.run(&["held", "approve", "docs", "h9", "--json"]).json_error(),
        (6, "held_not_found".into())
    );
    assert_eq!(scene.asked(), ["leave docs true", "approve docs Some(\"h1\")", "reject docs None"]);
}

#[test]
fn what_is_to_be_forgotten_is_shown_and_asked_and_can_be_taken_back() {
    let scene = Scene::with_docs();
    let listed = scene.place.run(&["forget", "docs"]);
    let out = "0123456789ab  secret.odt: 1 piece in 2 states, asked for by Ana on 2023-11-14T22:13:20Z, counts from 2023-11-21T22:13:20Z\n  \
        members' devices: until 2023-11-21T22:13:20Z, or until each has been on long enough since\n";
    assert_eq!((listed.code, listed.out.as_str()), (Some(0), out));
    let asked = scene.place.run(&["forget", "docs", "secret.odt"]);
    assert_eq!(asked.code, Some(2), "nobody to ask: {asked:?}");
    assert!(asked.err.contains("--yes"), "{asked:?}");
    let preview = scene.place.run(&["forget", "docs", "secret.odt", "--dry-run"]);
    let out = "secret.odt: 1 version of 3.0 kB would be removed from history (1 piece in 2 states)\n  \
        members' devices: until 2023-11-21T22:13:20Z, or until each has been on long enough since\n\
        copies that people made outside the folder are not reached\n";
    assert_eq!((preview.code, preview.out.as_str()), (Some(0), out));
    let said = scene.place.run(&["forget", "docs", "secret.odt", "--unnamed", "--yes"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("is being removed") && said.err.contains("--withdraw 0123456789ab"), "{said:?}");
    let kept = scene.place.run(&["forget", "docs", "--withdraw", "0123"]);
    assert_eq!((kept.code, kept.out.as_str()), (Some(0), "secret.odt: stays in history\n"));
    let both = scene.place.run(&["forget", "docs", "secret.odt", "--withdraw", "0123"]);
    assert_eq!(both.code, Some(2), "{both:?}");
    let asked = [
        "forget docs secret.odt true false",
        "forget docs secret.odt true false",
        "forget docs secret.odt true true",
        "forget docs secret.odt false true",
        "keep docs 0123",
    ];
    assert_eq!(scene.asked(), asked);
}

#[test]
fn a_missing_file_is_given_up_by_its_name_and_no_other() {
    let docs = folder("abcdef0123", "docs", "/home/ana/docs");
    let missing = MissingFile {
        path: "lost\u{202e}.bin".into(),
        by: HOSTILE.into(),
        device: "ab12".into(),
        at: None,
        size_bytes: 1500,
        state: MissingState::Waiting,
        why: "nobody who is connected has its content".into(),
    };
    let scene = Scene::new(Scripted { folders: vec![docs], missing: vec![missing], ..Scripted::default() });
    let listed = scene.place.run(&["missing", "list", "docs"]);
    assert!(listed.out.contains("nobody who is connected") && listed.out.contains("1.5 kB"), "{listed:?}");
    assert!(!listed.out.contains(['\u{1b}', '\u{202e}']), "{listed:?}");
    let name = "lost\u{202e}.bin";
    let asked = scene.place.run(&["missing", "drop", "docs", name]);
    assert_eq!(asked.code, Some(2), "nobody to ask: {asked:?}");
    assert!(asked.err.contains("--yes"), "{asked:?}");
    let preview = scene.place.run(&["missing", "drop", "docs", name, "--dry-run"]);
    assert_eq!((preview.code, preview.out.as_str()), (Some(0), listed.out.as_str()));
    let other = scene.place.run(&["missing", "drop", "docs", "lost.bin", "--json"]);
    assert_eq!(other.json_error(), (6, "file_not_found".into()));
    assert!(scene.asked().is_empty(), "{:?}", scene.asked());
    let dropped = scene.place.run(&["missing", "drop", "docs", name, "--json"]);
    assert_eq!(dropped.json()["missing"][0]["state"], "waiting");
    assert_eq!(scene.asked(), ["drop docs lost\u{202e}.bin"]);
}

#[test]
fn l12_x11_hostile_names_stay_harmless_in_every_list() {
    let mut docs = folder("abcdef0123", HOSTILE, "/home/ana/\u{1b}]0;x\u{7}");
    docs.problems.push(Problem { code: "x".into(), path: Some(HOSTILE.into()), message: HOSTILE.into(), hint: None });
    let scene = Scene::new(Scripted { folders: vec![docs], held: vec![held()], ..Scripted::default() });
    let misleads = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    for args in [&["status"][..], &["folders"], &["held", "list"], &["pause", "abcdef"], &["check", "abcdef"]] {
        let human = scene.place.run(args);
        assert_eq!(human.code, Some(0), "{human:?}");
        assert!(human.out.contains("\\u{202e}") && !human.out.chars().any(misleads), "{human:?}");
        assert!(!human.out.lines().any(|line| line.starts_with("ok: in step")), "{human:?}");
        let json: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let json = scene.place.run(&json);
        assert!(!json.out.chars().any(misleads), "{json:?}");
        assert!(json.json().to_string().contains("\u{202e}"), "the same value to a program");
    }
}

#[test]
fn secrets_come_from_stdin_or_a_private_file_and_go_to_a_private_place() {
    let scene = Scene::with_docs();
    let place = &scene.place;
    let words = place.path().join("words");
    fs::write(&words, "abandon ability").unwrap();
    fs::set_permissions(&words, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = place.run(&["recover", "--words-file", "words", "--seeder", "cbt1"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("others can read") && refused.err.contains("chmod 600"), "{refused:?}");
    fs::set_permissions(&words, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.run(&["recover", "--words-file", "words", "--seeder", "cbt1", "--to", "back"]).code, Some(0));
    assert_eq!(
        place.run_with(&["recover", "--words-file", "-", "--seeder", "a", "--seeder", "b"], "able about").code,
        Some(0)
    );
    assert_eq!(place.run_with(&["join", "-"], "cbi1 from a pipe").code, Some(0));
    let to = place.path().canonicalize().unwrap().join("back");
    let asked = [
        format!("recover abandon ability [\"cbt1\"] Some({to:?})"),
        "recover able about [\"a\", \"b\"] None".into(),
        "join cbi1 from a pipe 30000".into(),
    ];
    assert_eq!(scene.asked(), asked);
    for args in [&["recover"][..], &["recover", "--words-file", "words"], &["join"]] {
        let nobody = place.run(args);
        assert_eq!(nobody.code, Some(2), "nobody to ask: {nobody:?}");
    }

    let kit = place.path().join("kit");
    fs::write(&kit, "").unwrap();
    fs::set_permissions(&kit, fs::Permissions::from_mode(0o644)).unwrap();
    let open = ran(place.command(&["recovery", "kit"]).stdout(fs::File::create(&kit).unwrap()));
    assert_eq!((open.code, fs::metadata(&kit).unwrap().len()), (Some(2), 0), "{open:?}");
    assert_eq!(place.run(&["recovery", "kit", "--to", "kit"]).code, Some(1), "never over a file");
    assert_eq!(place.run(&["recovery", "kit", "--to", "new-kit"]).code, Some(0));
    let written = place.path().join("new-kit");
    assert_eq!(fs::metadata(&written).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&written).unwrap().contains(" 2. ability"));
}

#[test]
fn events_come_as_lines_of_json_and_ctrl_c_ends_with_130() {
    let scene = Scene::with_docs();
    scene.server.service.events.publish(News::new(EventKind::Problem, "old"));
    scene.server.service.events.publish(News::new(EventKind::Problem, HOSTILE).path(HOSTILE));
    let mut command = scene.place.command(&["events", "--after", "run-1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((event["id"].as_str(), event["message"].as_str()), (Some("run-2"), Some(HOSTILE)));
    assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::INT).unwrap();
    let ended = finished(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.err.contains("cobox itself goes on"), "{ended:?}");
}

#[test]
fn a_service_that_stops_ends_the_events_with_4() {
    let scene = Scene::with_docs();
    let child = scene
        .place
        .command(&["events", "--json", "--after", "old-1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("missed"), "{line}");
    scene.server.stop.cancel();
    assert_eq!(finished(child.wait_with_output().unwrap()).json_error(), (4, "not_running".into()));
}
