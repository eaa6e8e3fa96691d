//! What is set aside beside the folder.

use super::*;

const MARK: &str = "changed here";

#[test]
fn m8_what_is_set_aside_keeps_its_path_and_replaces_nothing() {
    let desk = Desk::new();
    desk.write("a/b/song", "first");
    let there = desk.tree.set_beside(&path("a/b/song"), MARK).unwrap().unwrap();
    assert_eq!(there, desk.tree.path().with_file_name("folder (changed here)").join("a/b/song"));
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "first");
    assert!(!desk.at("a/b/song").exists() && desk.at("a/b").is_dir());

    desk.write("a/b/song", "second");
    let second = desk.tree.set_beside(&path("a/b/song"), MARK).unwrap().unwrap();
    assert_eq!(second, desk.beside("folder (changed here 2)").join("a/b/song"));
    assert_eq!(
        (std::fs::read_to_string(&there).unwrap(), std::fs::read_to_string(second).unwrap()),
        ("first".into(), "second".into())
    );
    assert_eq!(desk.tree.set_beside(&path("a/b/song"), MARK).unwrap(), None, "nothing is there");
}

#[test]
fn m8_a_whole_directory_goes_and_whoever_writes_on_writes_there() {
    use std::io::Write;
    let desk = Desk::new();
    desk.write("new/a", "1");
    desk.write("new/deep/b", "2");
    let mut open = std::fs::OpenOptions::new().append(true).open(desk.at("new/a")).unwrap();
    let there = desk.tree.set_beside(&path("new"), MARK).unwrap().unwrap();
    open.write_all(b" and more").unwrap();
    assert_eq!(std::fs::read_to_string(there.join("a")).unwrap(), "1 and more");
    assert_eq!(std::fs::read_to_string(there.join("deep/b")).unwrap(), "2");
}

#[test]
fn x2_a_link_in_the_place_beside_leads_nowhere() {
    let desk = Desk::new();
    let elsewhere = desk.beside("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::create_dir(desk.beside("folder (changed here)")).unwrap();
    symlink(elsewhere.to_str().unwrap(), desk.beside("folder (changed here)/a"));
    symlink(elsewhere.to_str().unwrap(), desk.beside("folder (changed here 2)"));
    desk.write("a/song", "la");
    let there = desk.tree.set_beside(&path("a/song"), MARK).unwrap().unwrap();
    assert_eq!(there, desk.beside("folder (changed here 3)").join("a/song"));
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);

    // A link that was made here is moved as a link.
    symlink("song", desk.at("a/link"));
    let there = desk.tree.set_beside(&path("a/link"), MARK).unwrap().unwrap();
    assert_eq!(std::fs::read_link(there).unwrap(), Path::new("song"));
}
