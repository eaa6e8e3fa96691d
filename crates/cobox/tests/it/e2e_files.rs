//! Plain files stay plain files: any name, any shape, and cheaply.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::e2e_tree::{Entry, Tree};
use crate::e2e_world::{PATIENCE, World, ana_and_ben, noise, same, same_and, until};

#[test]
fn l12_plain_files_of_every_kind_arrive_as_they_are() {
    let world = World::new();
    let long = format!("{}.txt", "n".repeat(251));
    let accents = format!("{}a", "é".repeat(127));
    let deep = (0..60).map(|n| format!("level {n}")).collect::<Vec<_>>().join("/");
    let names = [
        "with spaces  and more .txt",
        "two\nlines\nin a name",
        "emoji 🎶👩‍👩‍👧 and 文字 and Ελληνικά",
        "-rf",
        "$HOME `ls` \"quoted\" 'single' \\back",
        "esc\u{1b}[2J and bell\u{7}",
        "e\u{301} decomposed",
        "right\u{202e}to left",
        ".hidden",
        "...",
        "~backup~",
        &long,
        &accents,
    ];
    let moment = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    let (ana, ben) = ana_and_ben(&world, |root| {
        for (n, name) in names.iter().enumerate() {
            fs::write(root.join(name), format!("content {n}")).unwrap();
        }
        fs::write(root.join("empty"), "").unwrap();
        fs::create_dir(root.join("empty directory")).unwrap();
        fs::create_dir_all(root.join(&deep)).unwrap();
        fs::write(root.join(&deep).join("treasure"), noise(1, 100_000)).unwrap();
        fs::write(root.join("run me"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("run me"), Permissions::from_mode(0o755)).unwrap();
        symlink("with spaces  and more .txt", root.join("link")).unwrap();
        symlink("../somewhere/not there", root.join("empty directory/dangling")).unwrap();
        for (name, at) in [("old", moment), ("empty", SystemTime::UNIX_EPOCH)] {
            let file = File::options().append(true).create(true).open(root.join(name)).unwrap();
            file.set_times(FileTimes::new().set_modified(at)).unwrap();
        }
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let tree = same(&[&mine, &theirs]);
    for name in names {
        assert!(matches!(tree.0.get(Path::new(name)), Some(Entry::File { .. })), "{name:?}");
    }
    let modified = |root: &Path, name: &str| fs::metadata(root.join(name)).unwrap().modified().unwrap();
    assert_eq!(modified(&theirs, "old"), moment, "l7: to the nanosecond");
    assert_eq!(modified(&theirs, "empty"), SystemTime::UNIX_EPOCH, "l7: 1970 is a time like any other");
    for path in tree.0.iter().filter(|(_, entry)| matches!(entry, Entry::File { .. })).map(|(path, _)| path) {
        let times = [&mine, &theirs].map(|root| fs::metadata(root.join(path)).unwrap().modified().unwrap());
        assert_eq!(times[0], times[1], "{path:?}");
    }

    // Changes of shape travel too.
    fs::set_permissions(mine.join("run me"), Permissions::from_mode(0o644)).unwrap();
    fs::remove_file(mine.join("link")).unwrap();
    symlink("run me", mine.join("link")).unwrap();
    fs::remove_dir(mine.join("level 0").join("x")).unwrap_err();
    fs::rename(mine.join("old"), mine.join("OLD")).unwrap();
    let changed = |tree: &Tree| {
        matches!(tree.0.get(Path::new("run me")), Some(Entry::File { executable: false, .. }))
            && tree.0.get(Path::new("link")) == Some(&Entry::Link("run me".into()))
            && tree.0.contains_key(Path::new("OLD"))
            && !tree.0.contains_key(Path::new("old"))
    };
    same_and(&[&mine, &theirs], "the changes arrived", changed);
    assert_eq!(modified(&theirs, "OLD"), moment, "l1: renamed by case alone, the same file");
}

#[test]
fn l12_a_name_that_is_no_text_is_reported_and_stops_nothing() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("good"), "x").unwrap());
    fs::write(ana.folder("docs").join(OsStr::from_bytes(b"latin \xe9t\xe9")), "x").unwrap();
    fs::write(ana.folder("docs").join("also good"), "x").unwrap();
    let status = ana.wait("docs");
    assert_eq!((status["files"].as_u64(), status["problems"].as_array().unwrap().len()), (Some(2), 1), "{status}");
    let mut there: Vec<_> = Tree::read(&ben.folder("docs")).unwrap().0.into_keys().collect();
    there.sort_unstable();
    assert_eq!(there, [Path::new("also good"), Path::new("good")]);

    // It is not forgotten because of what is saved beside it, until it has a name that is text.
    fs::write(ana.folder("docs").join("good"), "better").unwrap();
    until("the edit arrives", PATIENCE, || match fs::read_to_string(ben.folder("docs").join("good")) {
        Ok(text) if text == "better" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(ana.status("docs")["problems"].as_array().unwrap().len(), 1);
    fs::rename(ana.folder("docs").join(OsStr::from_bytes(b"latin \xe9t\xe9")), ana.folder("docs").join("latin été"))
        .unwrap();
    let status = ana.wait("docs");
    assert_eq!((status["files"].as_u64(), status["problems"].as_array().unwrap().len()), (Some(3), 0), "{status}");
}

#[test]
fn ten_thousand_small_files_arrive() {
    let world = World::new();
    let (ana, ben) = (world.person("Ana"), world.person("Ben"));
    let root = ana.folder("docs");
    for n in 0..10_000 {
        let dir = root.join(format!("dir {:03}", n % 100));
        if n < 100 {
            fs::create_dir_all(&dir).unwrap();
        }
        fs::write(dir.join(format!("file {n:05}.txt")), noise(n, 100 + (n as usize * 37) % 2000)).unwrap();
    }
    ana.create("docs");
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    let tree = same(&[&root, &theirs]);
    assert_eq!(tree.files(), 10_000);
    let status = ben.wait("docs");
    assert_eq!((status["files"].as_u64(), status["state"].as_str()), (Some(10_000), Some("in_step")));
}

#[test]
fn copying_and_moving_within_the_folder_sends_metadata_only() {
    let world = World::new();
    let (ana, the_box) = (world.person("Ana"), world.seeder("box"));
    let root = ana.create("docs");
    fs::create_dir(root.join("a")).unwrap();
    fs::write(root.join("a/large.bin"), noise(3, 24 << 20)).unwrap();
    for n in 0..50 {
        fs::write(root.join(format!("a/small {n}")), noise(100 + n, 9000)).unwrap();
    }
    ana.back_up("docs", &the_box);
    let before = the_box.blocks();
    assert!(before > 50 + 12, "content lies there: {before}");

    fs::copy(root.join("a/large.bin"), root.join("copy of large.bin")).unwrap();
    fs::rename(root.join("a"), root.join("b")).unwrap();
    fs::create_dir(root.join("c")).unwrap();
    fs::rename(root.join("b/large.bin"), root.join("c/renamed.bin")).unwrap();
    ana.wait_for_receipt("docs");
    let after = the_box.blocks();
    // A few nodes of the tree, its root and what names them; the 24 MiB twice over would be about 48 blocks.
    assert!(after - before <= 10, "{before} blocks before, {after} after");
}

#[test]
fn a_small_file_is_at_the_other_side_soon() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("first"), "x").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ana.wait("docs");
    let mut took: Vec<Duration> = Vec::new();
    for n in 0..5 {
        let content = noise(n, 100);
        let at = Instant::now();
        fs::write(mine.join(format!("note {n}")), &content).unwrap();
        until("the file is there", PATIENCE, || match fs::read(theirs.join(format!("note {n}"))) {
            Ok(there) if there == content => Ok(()),
            other => Err(other.map(|there| there.len())),
        });
        took.push(at.elapsed());
    }
    took.sort_unstable();
    // Two busy cores: what is held to is that no timer of many seconds stands in between.
    assert!(took[2] < Duration::from_secs(5), "{took:?}");

    // `status --wait` looks at the disk itself: what was saved before the command counts.
    fs::write(mine.join("the last"), "saved just now").unwrap();
    ana.wait("docs");
    assert_eq!(fs::read_to_string(theirs.join("the last")).unwrap_or_default(), "saved just now");
}

/// A directory renamed before anybody had its files: each file is as it was to the disk, so nothing reads it again, and it must be found
/// all the same when others ask for its content.
#[test]
fn k2_files_in_a_renamed_directory_still_reach_a_seeder_and_a_newcomer() {
    let world = World::new();
    let (ana, ben, the_box) = (world.person("Ana"), world.person("Ben"), world.seeder("box"));
    let mine = ana.folder("docs");
    for dir in ["first", "second"] {
        fs::create_dir_all(mine.join(dir)).unwrap();
        fs::write(mine.join(dir).join("large"), noise(dir.len() as u64, 300_000)).unwrap();
    }
    ana.create("docs");
    ana.wait("docs");
    // They swap their names, and then move into each other.
    fs::rename(mine.join("first"), mine.join("aside")).unwrap();
    fs::rename(mine.join("second"), mine.join("first")).unwrap();
    fs::rename(mine.join("aside"), mine.join("second")).unwrap();
    ana.wait("docs");
    fs::rename(mine.join("second"), mine.join("first/within")).unwrap();
    ana.wait("docs");
    ana.back_up("docs", &the_box);
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    same_and(&[&mine, &theirs], "all files are there", |tree| tree.files() == 2);
}
