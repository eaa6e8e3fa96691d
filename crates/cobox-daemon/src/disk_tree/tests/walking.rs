//! Listing a folder (d6, l8, l10, l11, l12, l14).

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_walk_shows_everything_in_the_order_of_paths() {
    let desk = Desk::new();
    for file in ["b", "a/x", "a/sub/deep", "a-b", "a b", "empty/.keep"] {
        desk.write(file, file);
    }
    std::fs::create_dir(desk.at("nothing")).unwrap();
    symlink("../b", desk.at("a/link"));
    let (seen, report) = desk.walk();
    let shown: Vec<String> = seen.keys().map(FolderPath::to_string).collect();
    let all = ["a", "a/link", "a/sub", "a/sub/deep", "a/x", "a b", "a-b", "b", "empty", "empty/.keep", "nothing"];
    assert_eq!(shown, all);
    assert_eq!(report, WalkReport::default());
    assert!(matches!(&seen[&path("a/link")], Seen::Symlink { target, .. } if target == "../b"));
    for (at, entry) in &seen {
        assert_eq!(desk.tree.stat(at).unwrap().as_ref(), Some(entry), "stat and walk agree on {at}");
    }
}

#[test]
fn a_walk_below_a_path_shows_that_part() {
    let desk = Desk::new();
    for file in ["a/x", "a/y/z", "ab", "b/x"] {
        desk.write(file, "");
    }
    let below = |under: &str| -> Vec<String> {
        desk.walk_with(&Ignore::parse("b/"), Some(&path(under))).0.keys().map(FolderPath::to_string).collect()
    };
    assert_eq!(below("a"), ["a", "a/x", "a/y", "a/y/z"]);
    assert_eq!(below("ab"), ["ab"]);
    assert_eq!(below("gone"), [""; 0]);
    assert_eq!(below("gone/x"), [""; 0]);
    assert_eq!(below("b/x"), [""; 0], "ignored above");
    assert_eq!(below("ab/x"), [""; 0], "below a file is nothing");
}

#[test]
fn l15_ignored_directories_are_not_entered() {
    let desk = Desk::new();
    for file in ["target/debug/x", "src/main.rs", "src/.main.rs.swp", "notes.log"] {
        desk.write(file, "");
    }
    desk.write(".cobox-ignore", "target/\n*.log\n");
    let ignore = Ignore::load(&desk.tree).unwrap();
    let (seen, report) = desk.walk_with(&ignore, None);
    let shown: Vec<String> = seen.keys().map(FolderPath::to_string).collect();
    assert_eq!(shown, [".cobox-ignore", "src", "src/main.rs"], "the rules themselves are content");
    assert_eq!(report.ignored, 3);
}

#[test]
fn l8_l10_what_is_no_content_is_skipped_with_a_reason_and_never_blocks() {
    let desk = Desk::new();
    std::fs::write(desk.beside("secret"), "secret").unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, desk.at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(desk.at("socket")).unwrap();
    symlink("/etc/passwd", desk.at("absolute"));
    symlink("../secret", desk.at("outside"));
    symlink("x/../../secret", desk.at("winding"));
    symlink("loop", desk.at("loop"));
    symlink(".", desk.at("self"));
    symlink("dangling-target", desk.at("dangling"));
    let (seen, report) = desk.walk();
    let shown: Vec<String> = seen.keys().map(FolderPath::to_string).collect();
    let links = ["absolute", "dangling", "loop", "outside", "self", "winding"];
    assert_eq!(shown, links, "links are told with their text, whatever they point to");
    let skipped: Vec<&str> = report.skipped.iter().map(|skipped| skipped.shown.as_str()).collect();
    assert_eq!(skipped, ["absolute", "outside", "pipe", "socket", "winding"]);
    assert!(report.skipped.iter().all(|skipped| skipped.reason == SkipReason::NoContent && skipped.path.is_some()));
    for odd in ["pipe", "socket", "outside", "self"] {
        assert!(matches!(desk.tree.read_stable(&path(odd), &mut |_| {}), Err(ReadError::Gone { .. })), "{odd}");
    }
    assert_eq!(desk.tree.stat(&path("pipe")).unwrap(), Some(Seen::Other));
    assert_eq!(desk.tree.stat(&path("self/loop")).unwrap(), None, "nothing lies behind a link");
}

#[test]
fn l12_odd_names_come_through_and_others_are_reported() {
    let desk = Desk::new();
    let longest = "é".repeat(127) + "x";
    let odd = ["-rf", "\u{1b}[31mred", "\u{202e}txt.exe", "a\nb", "ends ", "👩‍👩‍👧", "e\u{301}", "\u{e9}", &longest];
    for name in odd {
        desk.write(name, name);
    }
    for hidden in [b"\xff\xfe".as_slice(), b"caf\xe9"] {
        std::fs::write(desk.tree.path().join(std::ffi::OsStr::from_bytes(hidden)), "").unwrap();
    }
    desk.write(".Cobox/x", "");
    desk.write("sub/.cobox/x", "");
    let (seen, report) = desk.walk();
    for name in odd {
        let mut bytes = Vec::new();
        desk.tree.read_stable(&path(name), &mut |part| bytes.extend_from_slice(part)).unwrap();
        assert_eq!(bytes, name.as_bytes());
        assert!(seen.contains_key(&path(name)));
    }
    assert_eq!(seen.len(), odd.len() + 1);
    let mut reasons: Vec<_> = report.skipped.iter().map(|s| (s.reason, s.shown.as_str())).collect();
    reasons.sort();
    assert_eq!(
        reasons,
        [
            (SkipReason::NotUtf8, "caf\u{fffd}"),
            (SkipReason::NotUtf8, "\u{fffd}\u{fffd}"),
            (SkipReason::BadName, ".Cobox"),
            (SkipReason::BadName, "sub/.cobox")
        ]
    );
}

#[test]
fn l14_a_folder_that_appears_inside_is_not_entered_and_nothing_is_concluded() {
    let desk = Desk::new();
    desk.write("mine/x", "");
    desk.write("other/y", "");
    std::fs::create_dir(desk.beside("other")).unwrap();
    DiskTree::adopt(&desk.beside("other"), FolderId([8; 32]), &OffLimits::default()).unwrap();
    std::fs::rename(desk.beside("other").join(".cobox"), desk.at("other/.cobox")).unwrap();
    let (seen, report) = desk.walk();
    assert_eq!(seen.keys().map(FolderPath::to_string).collect::<Vec<_>>(), ["mine", "mine/x"]);
    assert!(!report.says_about(&path("other/y")) && report.says_about(&path("mine/gone")));
    assert_eq!(report.skipped[0].reason, SkipReason::FolderRoot);
}

#[test]
fn e1_ten_thousand_files_are_walked() {
    let desk = Desk::new();
    for dir in 0..100 {
        std::fs::create_dir(desk.at(&format!("d{dir}"))).unwrap();
        for file in 0..100 {
            std::fs::File::create(desk.at(&format!("d{dir}/f{file}"))).unwrap();
        }
    }
    let (seen, report) = desk.walk();
    assert_eq!((seen.len(), report), (10_100, WalkReport::default()));
}

#[test]
fn x5_a_tree_deeper_than_any_path_is_walked_to_a_bound_and_the_rest_reported() {
    let desk = Desk::new();
    let mut dir = std::fs::File::open(desk.tree.path()).unwrap().into();
    for _ in 0..300 {
        rustix::fs::mkdirat(&dir, "dddddddddddddddddddd", 0o700.into()).unwrap();
        dir = beneath::open_at(&dir, "dddddddddddddddddddd", beneath::LIST).unwrap();
    }
    let (seen, report) = desk.walk();
    assert!(seen.len() >= 256 && seen.len() < 300);
    let (deep, why) = &report.unreadable[0];
    assert!(deep.depth() >= 256 && why.contains("deep"), "{why}");
}

#[test]
fn l11_sparse_files_cost_nothing_to_list_and_to_read_a_part_of() {
    let desk = Desk::new();
    let file = std::fs::File::create(desk.at("sparse")).unwrap();
    file.set_len(1 << 40).unwrap();
    let stamp = *desk.walk().0[&path("sparse")].stamp().unwrap();
    assert_eq!(stamp.size, 1 << 40);
    assert_eq!(desk.tree.read_at(&path("sparse"), &stamp, (1 << 40) - 3, 3).unwrap(), [0, 0, 0]);
    assert!(desk.tree.read_at(&path("sparse"), &stamp, (1 << 40) - 3, 4).is_err());
    assert!(desk.tree.read_at(&path("sparse"), &stamp, u64::MAX, 1).is_err());
}

/// Root may read everything: then the test runs itself once more without that privilege.
fn without_privilege(name: &str, story: impl FnOnce()) {
    const MARK: &str = "COBOX_TEST_WITHOUT_PRIVILEGE";
    if std::env::var_os(MARK).is_some() || !rustix::process::geteuid().is_root() {
        return story();
    }
    let caps = "-dac_override,-dac_read_search";
    let status = std::process::Command::new("setpriv")
        .args([format!("--bounding-set={caps}"), format!("--inh-caps={caps}")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(MARK, "1")
        .output();
    match status {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
        }
        Err(error) => eprintln!("not run as root without setpriv: {error}"),
    }
}

#[test]
fn d5_d6_l11_what_may_not_be_read_is_reported_by_path_and_the_rest_goes_on() {
    without_privilege(
        "disk_tree::tests::walking::d5_d6_l11_what_may_not_be_read_is_reported_by_path_and_the_rest_goes_on",
        || {
            let desk = Desk::new();
            for file in ["closed/x", "half/y", "open/z", "private"] {
                desk.write(file, "");
            }
            let mode = |at: &str, mode| {
                std::fs::set_permissions(desk.at(at), std::fs::Permissions::from_mode(mode)).unwrap();
            };
            mode("closed", 0o000);
            mode("half", 0o400);
            mode("private", 0o000);
            mode("open", 0o555);
            let (seen, report) = desk.walk();
            let shown: Vec<String> = seen.keys().map(FolderPath::to_string).collect();
            assert_eq!(shown, ["closed", "half", "open", "open/z", "private"]);
            for silent in ["closed/x", "half/y"] {
                assert!(!report.says_about(&path(silent)), "{silent}");
            }
            assert!(report.says_about(&path("open/gone")));
            assert!(report.unreadable[0].1.contains("permission"));
            let error = desk.tree.read_stable(&path("private"), &mut |_| {}).unwrap_err();
            assert!(matches!(&error, ReadError::Unreadable(disk) if disk.trouble() == Trouble::NotAllowed), "{error}");
            assert!(error.to_string().contains("private"));
            let error = desk.replace("open/new", b"x", Expect::Absent).unwrap_err();
            assert!(matches!(&error, ApplyError::Disk(disk) if disk.trouble() == Trouble::NotAllowed), "{error}");
            mode("closed", 0o700);
            mode("half", 0o700);
        },
    );
}
