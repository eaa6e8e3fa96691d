//! Reading files that others write (l3, l4, l6, l7).

use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;

use super::*;

fn set_mtime(file: &Path, ns: i64) {
    let times = rustix::fs::Timestamps { last_access: seen::timespec(ns), last_modification: seen::timespec(ns) };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, file, &times, flags).unwrap();
}

#[test]
fn a_file_is_read_whole_and_in_parts() {
    let desk = Desk::new();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    desk.write("x", &bytes);
    let (mut read, mut parts) = (Vec::new(), 0);
    let stamp = desk
        .tree
        .read_stable(&path("x"), &mut |part| {
            read.extend_from_slice(part);
            parts += 1;
        })
        .unwrap();
    assert!(read == bytes && parts == 3);
    assert_eq!(stamp, desk.stamp("x"));
    assert_eq!(desk.tree.read_at(&path("x"), &stamp, 1000, 500).unwrap(), bytes[1000..1500]);
    desk.write("empty", "");
    desk.tree.read_stable(&path("empty"), &mut |_| panic!("nothing to read")).unwrap();
    for gone in ["y", "x/y", "."] {
        let Ok(gone) = FolderPath::parse(gone) else { continue };
        assert!(matches!(desk.tree.read_stable(&gone, &mut |_| {}), Err(ReadError::Gone { .. })));
    }
}

#[test]
fn l3_a_file_changed_while_it_is_read_is_busy_however_it_changes() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("overwritten in place", |file| {
            let mut file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
            file.seek(SeekFrom::Start(5)).unwrap();
            file.write_all(b"!").unwrap();
        }),
        ("appended", |file| {
            std::fs::OpenOptions::new().append(true).open(file).unwrap().write_all(b"more").unwrap();
        }),
        ("cut", |file| std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(10).unwrap()),
        ("replaced", |file| {
            let new = file.with_extension("new");
            std::fs::write(&new, vec![1; 2_000_000]).unwrap();
            std::fs::rename(new, file).unwrap();
        }),
        ("removed", |file| std::fs::remove_file(file).unwrap()),
        ("made executable", |file| {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }),
    ];
    for (how, change) in changes {
        let desk = Desk::new();
        desk.write("x", vec![0; 2_000_000]);
        let file = desk.at("x");
        let mut change = Some(change);
        let result = desk.tree.read_stable(&path("x"), &mut |_| {
            if let Some(change) = change.take() {
                change(&file);
            }
        });
        assert!(matches!(result, Err(ReadError::Busy { .. })), "{how}: {result:?}");
    }
}

#[test]
fn l3_a_file_whose_directory_was_swapped_while_it_was_read_is_busy() {
    let desk = Desk::new();
    desk.write("dir/x", "yesterday's");
    desk.write("other/x", "today's");
    let result = desk.tree.read_stable(&path("dir/x"), &mut |_| {
        std::fs::rename(desk.at("dir"), desk.at("old")).unwrap();
        std::fs::rename(desk.at("other"), desk.at("dir")).unwrap();
    });
    assert!(matches!(result, Err(ReadError::Busy { .. })));
}

#[test]
fn l3_a_kept_file_that_is_still_written_is_busy() {
    let desk = Desk::new();
    desk.write("x", "draft");
    let mut editor = std::fs::OpenOptions::new().write(true).open(desk.at("x")).unwrap();
    let id = desk.replace("x", b"theirs", desk.expect("x")).unwrap().kept.unwrap();
    let kept = desk.tree.open_kept(&id).unwrap();
    let result = kept.read_stable(&mut |_| editor.write_all(b"DRAFT").unwrap());
    assert!(matches!(result, Err(ReadError::Busy { .. })));
    assert!(matches!(kept.read_at(0, 5), Err(ReadError::Busy { .. })));
}

#[test]
fn l4_a_log_that_grows_faster_than_it_is_read_does_not_hold_the_reader() {
    let desk = Desk::new();
    desk.write("log", vec![b'x'; 1 << 20]);
    let mut log = std::fs::OpenOptions::new().append(true).open(desk.at("log")).unwrap();
    let mut parts = 0;
    let result = desk.tree.read_stable(&path("log"), &mut |_| {
        parts += 1;
        log.write_all(&vec![b'y'; 2 << 20]).unwrap();
    });
    assert!(matches!(result, Err(ReadError::Busy { .. })));
    assert_eq!(parts, 1, "given up as soon as it is longer than it was");
}

#[test]
fn l6_an_edit_that_hides_size_and_mtime_is_seen() {
    let desk = Desk::new();
    desk.write("x", "one");
    let before = desk.stamp("x");
    std::fs::write(desk.at("x"), "two").unwrap();
    set_mtime(&desk.at("x"), before.mtime_ns);
    let after = desk.stamp("x");
    assert_eq!((after.size, after.mtime_ns, after.ino), (before.size, before.mtime_ns, before.ino));
    assert_ne!(after, before);
    assert!(matches!(desk.tree.read_at(&path("x"), &before, 0, 3), Err(ReadError::Changed { .. })));
}

#[test]
fn l6_a_fresh_stamp_is_known_not_to_be_settled() {
    let desk = Desk::new();
    desk.write("x", "one");
    let stamp = desk.stamp("x");
    assert!(!stamp.is_settled(stamp.ctime_ns + 1_000_000_000));
    assert!(stamp.is_settled(stamp.ctime_ns + 3_000_000_000));
    let future = Stamp { mtime_ns: i64::MAX, ..stamp };
    assert!(future.is_settled(stamp.ctime_ns + 3_000_000_000) && !future.is_settled(stamp.ctime_ns));
}

#[test]
fn l7_odd_times_are_read_as_they_are() {
    let desk = Desk::new();
    for (name, ns) in [
        ("epoch", 0),
        ("before", -1),
        ("long-before", -1_500_000_000_250_000_000),
        ("y2106", 4_294_967_296_123_456_789),
        ("y2200", 7_258_118_400_000_000_001),
    ] {
        desk.write(name, name);
        set_mtime(&desk.at(name), ns);
        assert_eq!(desk.stamp(name).mtime_ns, ns, "{name}");
        let applied = desk.tree.replace(desk.received(b"new"), &path(name), desk.expect(name), ns, false).unwrap();
        assert_eq!((applied.stamp.mtime_ns, mtime_ns(&desk.at(name))), (ns, ns), "{name}");
    }
}
