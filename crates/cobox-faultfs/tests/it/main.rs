//! What a program finds on such a disk, before and after it fails.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, helpers included")]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::process::Command;

use cobox_faultfs::{Counts, Fault, FaultDisk, Left, Plan};

const EIO: i32 = 5;

/// Not a test: serves the disks of the others, in a process of its own.
#[test]
#[ignore = "run by the tests that need a disk which fails"]
fn fault_disk_server() {
    cobox_faultfs::serve().unwrap();
}

fn disk() -> Option<FaultDisk> {
    match FaultDisk::missing() {
        Some(why) => {
            eprintln!("skipped: {why}");
            None
        }
        None => Some(FaultDisk::new().unwrap()),
    }
}

fn names(disk: &FaultDisk) -> Vec<String> {
    let entries = fs::read_dir(disk.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn it_finds_names_in_any_case_if_asked_to() {
    let Some(_) = disk() else { return };
    let disk = FaultDisk::folding().unwrap();
    let at = |name: &str| disk.path().join(name);
    fs::write(at("One"), "one").unwrap();
    assert_eq!(fs::read_to_string(at("oNE")).unwrap(), "one");
    fs::write(at("ONE"), "changed").unwrap();
    assert_eq!((names(&disk), fs::read_to_string(at("One")).unwrap()), (vec!["One".into()], "changed".into()));
    assert!(File::create_new(at("one")).is_err() && fs::create_dir(at("one")).is_err());
    fs::rename(at("one"), at("two")).unwrap();
    fs::rename(at("two"), at("one")).unwrap();
    assert_eq!(names(&disk), ["one"]);
    fs::create_dir(at("Dir")).unwrap();
    fs::rename(at("ONE"), at("dir/ONE")).unwrap();
    assert_eq!(fs::read_to_string(at("DIR/one")).unwrap(), "changed");
    fs::remove_file(at("Dir/One")).unwrap();
    fs::remove_dir(at("dIR")).unwrap();
    assert!(names(&disk).is_empty() && !at("Dir").exists());
}

#[test]
fn it_is_a_disk_like_others() {
    let Some(disk) = disk() else { return };
    let at = |name: &str| disk.path().join(name);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("a/b/one"), "one").unwrap();
    fs::rename(at("a"), at("c")).unwrap();
    fs::hard_link(at("c/b/one"), at("same")).unwrap();
    symlink("c/b", at("link")).unwrap();
    assert_eq!(fs::read_to_string(at("link/one")).unwrap(), "one");
    assert_eq!(fs::metadata(at("same")).unwrap().nlink(), 2);
    OpenOptions::new().append(true).open(at("same")).unwrap().write_all(b", two").unwrap();
    assert_eq!(fs::read_to_string(at("c/b/one")).unwrap(), "one, two");
    assert!(fs::remove_dir(at("c")).is_err(), "it is not empty");
    assert!(fs::rename(at("c"), at("c/b/in")).is_err(), "a directory does not go into itself");
    fs::remove_file(at("same")).unwrap();
    let many: Vec<String> = (0..3000).map(|n| format!("a file with a rather long name, {n:04}")).collect();
    for name in &many {
        File::create(at(name)).unwrap();
    }
    for name in many.iter().step_by(2) {
        fs::remove_file(at(name)).unwrap();
    }
    assert_eq!(names(&disk).len(), 1500 + 2);
}

#[test]
fn the_nth_operation_fails_once_or_for_ever() {
    let Some(disk) = disk() else { return };
    let save = |name: &str| fs::write(disk.path().join(name), name).map_err(|error| error.raw_os_error());
    // Each is a creation and a write.
    disk.arm(Plan { at: 4, fault: Fault::Once(EIO), counts: Counts::Changes });
    assert_eq!((save("one"), save("two"), save("three")), (Ok(()), Err(Some(EIO)), Ok(())));
    assert_eq!(disk.fired().as_deref(), Some("write two"));
    disk.arm(Plan { at: 3, fault: Fault::ForEver(28), counts: Counts::Changes });
    assert_eq!((save("four"), save("five"), save("six")), (Ok(()), Err(Some(28)), Err(Some(28))));
    disk.heal();
    assert_eq!(save("seven"), Ok(()));
    assert_eq!(names(&disk), ["four", "one", "seven", "three", "two"]);
}

#[test]
fn after_a_power_cut_there_is_what_was_synced() {
    let Some(disk) = disk() else { return };
    let file = File::create(disk.path().join("file")).unwrap();
    file.write_all_at(b"0123456789", 0).unwrap();
    file.sync_all().unwrap();
    file.write_all_at(b"abcdefghij", 10).unwrap();
    file.write_all_at(b"ABCDEFGHIJ", 0).unwrap();
    fs::write(disk.path().join("other"), "lost").unwrap();
    drop(file);
    let read = || fs::read_to_string(disk.path().join("file")).unwrap();
    let (torn, all) = (disk.image(Left::Torn), disk.image(Left::All));
    disk.arm(Plan { at: 1, fault: Fault::PowerCut, counts: Counts::Changes });
    File::create(disk.path().join("third")).unwrap_err();
    fs::read(disk.path().join("file")).unwrap_err();
    disk.load(&disk.image(Left::Synced));
    assert_eq!((read(), names(&disk)), ("0123456789".into(), vec!["file".into()]));
    disk.load(&torn);
    assert_eq!(read(), "ABCDE56789abcdefghij");
    assert_eq!(
        fs::read(disk.path().join("other")).unwrap(),
        b"",
        "of a file that never was synced nothing may be there"
    );
    disk.load(&all);
    assert_eq!((read(), names(&disk)), ("ABCDEFGHIJabcdefghij".into(), vec!["file".into(), "other".into()]));
}

#[test]
fn who_asks_is_killed_in_the_middle() {
    let Some(disk) = disk() else { return };
    disk.arm(Plan { at: 3, fault: Fault::Kill, counts: Counts::Changes });
    let script = "for name in one two three; do echo $name > $name; done";
    let ended = Command::new("sh").args(["-c", script]).current_dir(disk.path()).status().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
    disk.heal();
    assert_eq!(names(&disk), ["one"]);
}
