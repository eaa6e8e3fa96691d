//! The folder on a real disk: what is found, what is refused, and that nothing is lost on the way.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::apply::Applied;
use super::walk::SkipReason;
use super::*;

const FOLDER: FolderId = FolderId([7; 32]);

fn path(text: &str) -> FolderPath {
    FolderPath::parse(text).unwrap()
}

fn adopted() -> (tempfile::TempDir, DiskTree) {
    let dir = tempfile::tempdir().unwrap();
    let tree = DiskTree::adopt(dir.path(), FOLDER).unwrap();
    (dir, tree)
}

fn listed(tree: &DiskTree) -> Vec<String> {
    let mut all = Vec::new();
    let report = tree.walk(&Ignore::parse(""), None, &mut |path, _| all.push(path.to_string()));
    assert!(report.unreadable.is_empty(), "{:?}", report.unreadable);
    all
}

fn stamp_at(tree: &DiskTree, at: &str) -> Stamp {
    match tree.stat(&path(at)).unwrap() {
        Some(Stat::File(stamp) | Stat::Symlink(stamp, _)) => stamp,
        other => panic!("{at}: {other:?}"),
    }
}

fn put(tree: &DiskTree, at: &str, bytes: &[u8], expect: Expect) -> Result<Applied, ApplyError> {
    let mut temp = tree.temp("t").unwrap();
    temp.set_len(0).unwrap();
    temp.write_at(bytes, 0).unwrap();
    tree.sync_temps().unwrap();
    tree.replace(temp, &path(at), expect, 1_000_000_000, false)
}

#[test]
fn a_new_file_is_put_in_place_with_its_time_and_bit() {
    let (dir, tree) = adopted();
    let mut temp = tree.temp("t").unwrap();
    temp.write_at(b"hello", 0).unwrap();
    let applied = tree.replace(temp, &path("a.sh"), Expect::Absent, -1_500_000_000, true).unwrap();
    assert_eq!((applied.stamp.mtime_ns, applied.stamp.executable, applied.stamp.size), (-1_500_000_000, true, 5));
    assert_eq!(fs::read(dir.path().join("a.sh")).unwrap(), b"hello");
    assert!(applied.kept.is_none());
}

#[test]
fn c11_a_file_that_changed_at_the_last_moment_is_never_overwritten() {
    let (dir, tree) = adopted();
    fs::write(dir.path().join("a"), "seen").unwrap();
    let seen = stamp_at(&tree, "a");
    fs::write(dir.path().join("a"), "saved just now").unwrap();
    assert!(matches!(put(&tree, "a", b"remote", Expect::Stamp(seen)), Err(ApplyError::Changed { .. })));
    assert!(matches!(put(&tree, "a", b"remote", Expect::Absent), Err(ApplyError::Changed { .. })));
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"saved just now");
    assert!(matches!(tree.remove(&path("a"), Expect::Stamp(seen)), Err(ApplyError::Changed { .. })));
    assert!(dir.path().join("a").exists());
}

#[test]
fn what_is_replaced_or_removed_is_set_aside_and_still_readable() {
    let (dir, tree) = adopted();
    fs::write(dir.path().join("a"), "first").unwrap();
    let replaced = put(&tree, "a", b"second", Expect::Stamp(stamp_at(&tree, "a"))).unwrap();
    let removed = tree.remove(&path("a"), Expect::Stamp(replaced.stamp)).unwrap();
    assert!(!dir.path().join("a").exists());
    let (first, second) = (replaced.kept.unwrap(), removed.unwrap());
    assert_eq!(tree.read_kept(&first, 0, 5).unwrap(), b"first");
    assert_eq!(tree.read_kept(&second, 2, 4).unwrap(), b"cond");
    assert_eq!(tree.list_kept().unwrap().len(), 2);
    tree.drop_kept(&first).unwrap();
    assert_eq!(tree.list_kept().unwrap(), [second]);
}

#[test]
fn x2_nothing_is_reached_through_a_link_that_stands_where_a_directory_should() {
    let (dir, tree) = adopted();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "theirs").unwrap();
    symlink(outside.path(), dir.path().join("d")).unwrap();
    assert!(put(&tree, "d/x", b"evil", Expect::Absent).is_err());
    assert!(tree.make_dir(&path("d/sub")).is_err());
    assert!(tree.read_now(&path("d/secret"), 0, 6).is_err());
    assert!(matches!(tree.stat(&path("d/secret")), Ok(None)));
    let stamp = Stamp { ..stamp_at(&tree, "d") };
    assert!(tree.remove(&path("d/secret"), Expect::Stamp(stamp)).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "nothing was made or removed outside");
}

#[test]
fn l8_l10_links_that_lead_out_and_special_files_are_named_and_skipped() {
    let (dir, tree) = adopted();
    symlink("/etc/passwd", dir.path().join("absolute")).unwrap();
    symlink("../../up", dir.path().join("climbs")).unwrap();
    symlink("inside", dir.path().join("fine")).unwrap();
    fs::create_dir(dir.path().join("s")).unwrap();
    symlink("../inside", dir.path().join("s/also")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .unwrap();
    let mut seen = Vec::new();
    let report = tree.walk(&Ignore::parse(""), None, &mut |path, _| seen.push(path.to_string()));
    assert_eq!(seen, ["fine", "s", "s/also"]);
    let skipped: Vec<_> = report.skipped.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(skipped, ["absolute", "climbs", "pipe"]);
    assert!(tree.read_now(&path("pipe"), 0, 1).is_err(), "opening a pipe must not wait for a writer");
}

#[test]
fn l12_names_that_disks_and_terminals_dislike_are_listed_as_they_are() {
    let (dir, tree) = adopted();
    let long = "n".repeat(255);
    for name in ["two words", "new\nline", "-rf", "emoji \u{1F3B5}", long.as_str(), "\u{202e}rtl"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    assert_eq!(listed(&tree).len(), 6);
}

#[test]
fn l15_ignored_files_are_not_seen_and_the_rules_themselves_are() {
    let (dir, tree) = adopted();
    fs::write(dir.path().join(".cobox-ignore"), "*.log\nbuild/\n").unwrap();
    fs::write(dir.path().join("a.log"), "x").unwrap();
    fs::write(dir.path().join("a.txt"), "x").unwrap();
    fs::create_dir(dir.path().join("build")).unwrap();
    fs::write(dir.path().join("build/out"), "x").unwrap();
    let mut seen = Vec::new();
    let report = tree.walk(&Ignore::load(&tree), None, &mut |path, _| seen.push(path.to_string()));
    assert_eq!(seen, [".cobox-ignore", "a.txt"]);
    assert_eq!(report.ignored, 2);
}

#[test]
fn l16_a_directory_with_something_in_it_stays() {
    let (dir, tree) = adopted();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/ignored"), "x").unwrap();
    assert!(matches!(tree.remove_dir(&path("d")), Err(ApplyError::NotEmpty { .. })));
    fs::remove_file(dir.path().join("d/ignored")).unwrap();
    tree.remove_dir(&path("d")).unwrap();
    tree.remove_dir(&path("d")).unwrap();
}

#[test]
fn l1_a_case_only_rename_keeps_one_file() {
    let (dir, tree) = adopted();
    fs::write(dir.path().join("A.txt"), "x").unwrap();
    tree.rename(&path("A.txt"), &path("a.txt"), Expect::Stamp(stamp_at(&tree, "A.txt"))).unwrap();
    assert_eq!(listed(&tree), ["a.txt"]);
}

#[test]
fn a_rename_never_lands_on_a_file() {
    let (dir, tree) = adopted();
    fs::write(dir.path().join("a"), "a").unwrap();
    fs::write(dir.path().join("b"), "b").unwrap();
    let moved = tree.rename(&path("a"), &path("b"), Expect::Stamp(stamp_at(&tree, "a")));
    assert!(matches!(moved, Err(ApplyError::Changed { .. })));
    assert_eq!(
        (fs::read(dir.path().join("a")).unwrap(), fs::read(dir.path().join("b")).unwrap()),
        (b"a".into(), b"b".into())
    );
}

#[test]
fn l3_a_file_that_changes_while_it_is_read_is_busy_not_mixed() {
    let (dir, tree) = adopted();
    let file = dir.path().join("a");
    fs::write(&file, vec![1; 3 << 20]).unwrap();
    let mut first = true;
    let read = tree.read_stable(&path("a"), &mut |_| {
        if std::mem::take(&mut first) {
            fs::write(&file, vec![2; 3 << 20]).unwrap();
        }
    });
    assert!(matches!(read, Err(ReadError::Busy { .. })), "{read:?}");
    let read = tree.read_stable(&path("a"), &mut |_| {});
    assert_eq!(read.unwrap().size, 3 << 20);
}

#[test]
fn h1_a_missing_foreign_or_unmarked_directory_is_an_error_never_an_empty_folder() {
    let (dir, tree) = adopted();
    tree.verify_root().unwrap();
    let marker = dir.path().join(CONTROL).join("folder");
    fs::write(&marker, FolderId([8; 32]).to_string()).unwrap();
    assert!(matches!(tree.verify_root(), Err(RootError::OtherFolder { .. })));
    fs::remove_file(&marker).unwrap();
    assert!(matches!(tree.verify_root(), Err(RootError::MarkerMissing { .. })));
    let away = dir.path().with_extension("away");
    fs::rename(dir.path(), &away).unwrap();
    assert!(matches!(tree.verify_root(), Err(RootError::Missing { .. })));
    fs::create_dir(dir.path()).unwrap();
    assert!(tree.verify_root().is_err(), "an empty directory of the same name is not the folder");
    fs::remove_dir(dir.path()).unwrap();
    fs::rename(&away, dir.path()).unwrap();
}

#[test]
fn l14_places_that_can_not_be_folders_are_refused_with_a_reason() {
    let (dir, _tree) = adopted();
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::create_dir(dir.path().join("inner")).unwrap();
    let forbidden = [home.path().to_path_buf(), state.clone()];
    let refused = |root: &Path| DiskTree::may_adopt(root, &forbidden).unwrap_err().to_string();
    assert!(refused(Path::new("/")).contains("whole disk"));
    assert!(refused(home.path()).contains("home directory"));
    assert!(refused(&state).contains("state"));
    assert!(refused(&dir.path().join("inner")).contains("another folder"));
    assert!(refused(&dir.path().join("nothing")).contains("not there"));
    fs::write(dir.path().join("file"), "x").unwrap();
    assert!(refused(&dir.path().join("file")).contains("not a directory"));
    fs::create_dir(home.path().join("fine")).unwrap();
    DiskTree::may_adopt(&home.path().join("fine"), &forbidden).unwrap();
}

#[test]
fn h4_letting_go_takes_the_mark_and_leaves_the_files() {
    let (dir, tree) = adopted();
    fs::write(dir.path().join("a"), "mine").unwrap();
    tree.release().unwrap();
    assert!(!dir.path().join(CONTROL).exists());
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"mine");
}

#[test]
fn l17_the_control_directory_is_private_and_never_listed() {
    let (dir, tree) = adopted();
    fs::write(dir.path().join(CONTROL).join("tmp/left"), "x").unwrap();
    assert!(listed(&tree).is_empty());
    let mode = fs::metadata(dir.path().join(CONTROL)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_folder_inside_the_folder_is_left_alone() {
    let (dir, tree) = adopted();
    fs::create_dir_all(dir.path().join("inner").join(CONTROL)).unwrap();
    fs::write(dir.path().join("inner/x"), "theirs").unwrap();
    let report = tree.walk(&Ignore::parse(""), None, &mut |path, _| panic!("{path} was listed"));
    assert_eq!(report.skipped, [("inner".to_string(), SkipReason::OtherFolder)]);
}

#[test]
fn one_path_is_listed_with_the_directories_above_it() {
    let (dir, tree) = adopted();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fs::write(dir.path().join("a/b/c"), "x").unwrap();
    fs::write(dir.path().join("a/other"), "x").unwrap();
    let mut seen = Vec::new();
    tree.walk(&Ignore::parse(""), Some(&path("a/b/c")), &mut |path, _| seen.push(path.to_string()));
    assert_eq!(seen, ["a", "a/b", "a/b/c"]);
}

#[test]
fn l11_a_sparse_file_stays_cheap_to_resume() {
    let (_dir, tree) = adopted();
    let mut temp = tree.temp("big").unwrap();
    temp.set_len(1 << 40).unwrap();
    temp.write_at(b"end", (1 << 40) - 3).unwrap();
    drop(temp);
    let mut again = tree.temp("big").unwrap();
    assert_eq!(again.len().unwrap(), 1 << 40);
    assert_eq!(again.read_at((1 << 40) - 3, 3).unwrap(), b"end");
}

#[test]
fn changes_are_heard_of_also_in_a_directory_that_has_just_come() {
    let (dir, tree) = adopted();
    let (tell, heard) = std::sync::mpsc::channel();
    let tree = std::sync::Arc::new(tree);
    let _watcher = Watcher::start(&tree, Box::new(move |event| drop(tell.send(event)))).unwrap();
    fs::create_dir(dir.path().join("new")).unwrap();
    fs::write(dir.path().join("new/file"), "x").unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let left = until.saturating_duration_since(std::time::Instant::now());
        let WatchEvent::Changed(paths) = heard.recv_timeout(left).unwrap() else { continue };
        // The directory stands for what is in it.
        if paths.contains(&path("new")) || paths.contains(&path("new/file")) {
            break;
        }
    }
}
