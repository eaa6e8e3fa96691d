//! Names and links that try to lead elsewhere (x1, x2, x3, l9). Paths of a folder can not spell `..` at all; what is left are links.

use super::*;

/// Every way to touch something at a path; all must fail or see nothing.
fn touch_everything(desk: &Desk, at: &FolderPath, stamp: Stamp) {
    let expect = Expect::Stamp(stamp);
    assert_eq!(desk.tree.stat(at).unwrap(), None);
    assert!(desk.tree.read_stable(at, &mut |_| panic!("read {at}")).is_err());
    assert!(desk.tree.read_at(at, &stamp, 0, 1).is_err());
    for expect in [Expect::Absent, expect] {
        assert!(desk.tree.replace(desk.received(b"evil"), at, expect, 0, true).is_err());
        assert!(desk.tree.make_symlink(at, "x", expect).is_err());
        assert!(desk.tree.set_meta(at, expect, 0, true).is_err());
        assert!(desk.tree.rename(at, &path("stolen"), expect).is_err());
        assert!(desk.tree.rename(&path("mine"), at, desk.expect("mine")).is_err());
    }
    assert!(desk.tree.remove(at, expect).is_err());
    assert!(desk.tree.make_dir(at).is_err());
    let _ = desk.tree.remove_dir(at);
    assert!(desk.walk_with(&Ignore::default(), Some(at)).0.is_empty());
}

fn snapshot(dir: &Path) -> Vec<(PathBuf, i64, i64, u32, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap().path();
        let meta = std::fs::symlink_metadata(&entry).unwrap();
        let bytes = if meta.is_file() { std::fs::read(&entry).unwrap() } else { Vec::new() };
        found.push((entry.clone(), meta.ctime(), meta.ctime_nsec(), meta.mode(), bytes));
        if meta.is_dir() {
            found.extend(snapshot(&entry));
        }
    }
    found.sort();
    found
}

#[test]
fn x2_nothing_is_ever_done_through_a_symlink() {
    let desk = Desk::new();
    desk.write("mine", "mine");
    desk.write("inside/x", "x");
    std::fs::create_dir_all(desk.beside("etc/dir")).unwrap();
    std::fs::write(desk.beside("etc/x"), "victim").unwrap();
    std::fs::write(desk.beside("etc/dir/x"), "victim").unwrap();
    symlink(desk.beside("etc").to_str().unwrap(), desk.at("d"));
    symlink("../etc", desk.at("up"));
    symlink("inside", desk.at("in"));
    let before = snapshot(&desk.beside("etc"));
    let inside = snapshot(&desk.at("inside"));
    let victim = seen::stamp_of(&rustix::fs::stat(desk.beside("etc/x")).unwrap());
    for at in ["d/x", "d/new", "d/dir", "d/dir/x", "up/x", "up/dir", "in/x", "in/new"] {
        touch_everything(&desk, &path(at), victim);
    }
    assert_eq!(snapshot(&desk.beside("etc")), before);
    assert_eq!(snapshot(&desk.at("inside")), inside, "not through links inside either");
    // The links themselves are looked at, and nothing that lies behind them.
    let (seen, _) = desk.walk();
    for link in ["d", "up", "in"].map(path) {
        assert!(seen.keys().all(|path| *path == link || !path.starts_with(&link)), "{seen:?}");
    }
}

#[test]
fn x2_links_that_lead_outside_are_not_made() {
    let desk = Desk::new();
    desk.write("dir/x", "");
    for target in ["/etc", "../../etc", "../..", "x/../../../etc", "", "../.cobox/marker", "..\0"] {
        let result = desk.tree.make_symlink(&path("dir/d"), target, Expect::Absent);
        assert!(matches!(result, Err(ApplyError::LeadsOutside { .. })), "{target:?}");
    }
    assert_eq!(desk.paths(), ["dir", "dir/x"]);
}

#[test]
fn x2_a_link_is_not_moved_to_where_it_would_lead_outside() {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.at("a/b")).unwrap();
    symlink("../../x", desk.at("a/b/link"));
    let moved = desk.tree.rename(&path("a/b/link"), &path("link"), desk.expect("a/b/link"));
    assert!(matches!(moved, Err(ApplyError::LeadsOutside { .. })), "{moved:?}");
    desk.tree.rename(&path("a/b/link"), &path("a/b/again"), desk.expect("a/b/link")).unwrap();
    assert_eq!(desk.paths(), ["a", "a/b", "a/b/again"]);
}

#[test]
fn x2_replacing_and_removing_a_link_leaves_its_target_alone() {
    let desk = Desk::new();
    std::fs::write(desk.beside("victim"), "victim").unwrap();
    symlink(desk.beside("victim").to_str().unwrap(), desk.at("link"));
    let link = seen::stamp_of(&rustix::fs::lstat(desk.at("link")).unwrap());
    assert!(desk.tree.set_meta(&path("link"), Expect::Stamp(link), 0, true).is_err());
    desk.replace("link", b"a file now", Expect::Stamp(link)).unwrap();
    assert_eq!(std::fs::read(desk.beside("victim")).unwrap(), b"victim");
    assert_eq!(desk.read("link"), "a file now");
}

#[test]
fn x3_temporary_names_can_not_lead_elsewhere_and_traps_in_their_place_are_not_written() {
    let desk = Desk::new();
    for name in ["", ".", "..", "../marker", "a/b", "/etc/x", "a\0", "é", &"a".repeat(129)] {
        assert!(desk.tree.temp(name).is_err(), "{name:?}");
    }
    desk.write("document", "precious");
    std::fs::hard_link(desk.at("document"), desk.at(".cobox/tmp/hard")).unwrap();
    symlink("../../document", desk.at(".cobox/tmp/soft"));
    rustix::fs::mknodat(rustix::fs::CWD, desk.at(".cobox/tmp/pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    std::fs::create_dir(desk.at(".cobox/tmp/dir")).unwrap();
    for trap in ["hard", "soft", "pipe", "dir"] {
        let mut temp = desk.tree.temp(trap).unwrap();
        assert!(temp.is_empty(), "{trap}");
        temp.write_at(0, b"evil").unwrap();
    }
    assert_eq!(desk.read("document"), "precious");
}

#[test]
fn x3_l17_nothing_of_the_control_directory_has_a_path() {
    for disguise in [".cobox", ".COBOX", ".co\u{200c}box", "a/.cobox/keep"] {
        assert!(FolderPath::parse(disguise).is_err());
    }
    let desk = Desk::new();
    assert!(desk.paths().is_empty());
    for root in [desk.tree.make_dir(&path("")).err(), desk.tree.remove_dir(&path("")).err()] {
        assert!(root.is_some(), "the folder itself is not changed");
    }
    assert!(desk.replace("", b"x", Expect::Absent).is_err());
}

#[test]
fn l9_a_directory_swapped_for_a_link_in_the_last_moment_changes_nothing_outside() {
    let desk = Desk::new();
    desk.write("dir/x", "old");
    std::fs::create_dir(desk.beside("outside")).unwrap();
    std::fs::write(desk.beside("outside/x"), "victim").unwrap();
    let (dir, moved, outside) = (desk.at("dir"), desk.at("moved"), desk.beside("outside"));
    desk.meanwhile(move || {
        std::fs::rename(&dir, &moved).unwrap();
        std::os::unix::fs::symlink(&outside, &dir).unwrap();
    });
    desk.replace("dir/x", b"new", desk.expect("dir/x")).unwrap();
    assert_eq!(std::fs::read(desk.beside("outside/x")).unwrap(), b"victim");
    assert_eq!(desk.read("moved/x"), "new", "it landed in the directory that was meant");
}
