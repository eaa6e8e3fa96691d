//! Disks that are full, where the home lies and where the files lie: nothing is lost, it is said, and it heals by itself when there is
//! room again. Needs root, to mount small disks in memory; elsewhere it says so and is skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::e2e_tree::{Entry, Tree};
use crate::e2e_world::{Computer, PATIENCE, World, noise, same_and, until};

/// A small disk, unmounted when dropped.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mounted(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=0700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "cobox-test"]).arg(at).output();
        match done {
            Ok(done) if done.status.success() => Some(Self(at.to_owned())),
            other => {
                eprintln!("skipped: a small disk can only be mounted by root on Linux: {other:?}");
                None
            }
        }
    }

    /// From now on it may only be read (`ro`), or be written again (`rw`).
    pub(crate) fn remount(&self, how: &str) {
        until(&format!("the disk is {how}"), PATIENCE, || {
            // Refused while somebody is writing.
            let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).output().unwrap();
            if done.status.success() { Ok(()) } else { Err(done) }
        });
    }

    /// Takes all the room there is.
    fn fill(&self) -> Ballast {
        self.fill_but(0)
    }

    /// Takes all the room there is but so many bytes.
    fn fill_but(&self, left_bytes: u64) -> Ballast {
        let path = self.0.join("ballast");
        let mut bytes = 64 << 20;
        let mut written = fs::File::create(&path).unwrap();
        if left_bytes > 0 {
            let stat = rustix::fs::statvfs(&self.0).unwrap();
            let free_bytes = stat.f_bavail * stat.f_frsize;
            rustix::fs::fallocate(&written, rustix::fs::FallocateFlags::empty(), 0, free_bytes - left_bytes).unwrap();
            bytes = 0;
        }
        while bytes > 0 {
            match std::io::Write::write(&mut written, &vec![1; bytes]) {
                Ok(0) | Err(_) => bytes /= 2,
                Ok(_) => {}
            }
        }
        Ballast(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _already_gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// What fills a disk; dropped, there is room.
struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _already_gone = fs::remove_file(&self.0);
    }
}

fn holds(tree: &Tree, path: &str, content: &[u8]) -> bool {
    matches!(tree.0.get(Path::new(path)), Some(Entry::File { bytes, .. }) if bytes == content)
}

/// A problem about the full disk, with its hint, or without one.
fn says_full(computer: &Computer) {
    until(&format!("{} says that the disk is full", computer.name), PATIENCE, || {
        let status = computer.status("docs");
        let full = |problem: &serde_json::Value| problem["code"] == "disk_full" && problem["message"].is_string();
        let said = status["problems"].as_array().unwrap().iter().any(full);
        if said && status["state"] == "problem" { Ok(()) } else { Err(status) }
    });
}

#[test]
fn k1_d1_a_full_disk_under_the_files_is_said_and_heals_by_itself() {
    let world = World::new();
    let ana = world.person("Ana");
    let small = world.path().join("Ben/documents/docs");
    let Some(disk) = SmallDisk::mounted(&small, "24m") else { return };
    let ben = world.person("Ben");
    let mine = ana.create("docs");
    fs::write(mine.join("small.txt"), "first").unwrap();
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    same_and(&[&mine, &theirs], "they have the same", |tree| tree.files() == 1);
    fs::write(theirs.join(".cobox-ignore"), "/ballast\n").unwrap();
    ben.wait("docs");
    let ballast = disk.fill();
    fs::write(mine.join("large.bin"), noise(1, 6 << 20)).unwrap();
    fs::write(mine.join("small.txt"), noise(2, 300_000)).unwrap();
    says_full(&ben);
    assert_eq!(fs::read(theirs.join("small.txt")).unwrap(), b"first", "d1: the old file is intact");
    assert!(!theirs.join("large.bin").exists(), "o3: nothing half-written is shown");
    // Others go on, and what Ben changes without needing room still travels.
    fs::remove_file(theirs.join("small.txt")).unwrap();
    drop(ballast);
    let whole =
        |tree: &Tree| holds(tree, "large.bin", &noise(1, 6 << 20)) && holds(tree, "small.txt", &noise(2, 300_000));
    same_and(&[&mine, &theirs], "it heals by itself; the edit beat the deletion that had not seen it", whole);
    let status = ben.wait("docs");
    assert_eq!(status["problems"].as_array().unwrap().len(), 0, "{status}");
}

#[test]
fn k1_d2_a_full_disk_under_the_home_is_said_and_heals_by_itself() {
    let world = World::new();
    let ana = world.person("Ana");
    let Some(disk) = SmallDisk::mounted(&world.path().join("Ben/home"), "24m") else { return };
    let mut ben = world.person("Ben");
    let mine = ana.create("docs");
    for n in 0..20 {
        fs::write(mine.join(format!("page {n}.txt")), noise(n, 3000)).unwrap();
    }
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    same_and(&[&mine, &theirs], "they have the same", |tree| tree.files() == 20);
    ben.wait("docs");
    for restarted in [false, true] {
        let ballast = disk.fill();
        // Ben saves, and so does Ana; what Ben's service would have to remember does not fit.
        let (bens, anas) = (noise(200 + u64::from(restarted), 50_000), noise(300 + u64::from(restarted), 50_000));
        fs::write(theirs.join("from Ben.txt"), &bens).unwrap();
        for n in 20..60 {
            fs::write(theirs.join(format!("from Ben {n}.txt")), noise(n, 2000)).unwrap();
        }
        fs::write(mine.join("from Ana.txt"), &anas).unwrap();
        fs::remove_file(mine.join(if restarted { "page 2.txt" } else { "page 1.txt" })).unwrap();
        says_full(&ben);
        let waited = ben.run(&["status", "docs", "--wait", "--timeout", "2", "--json"]);
        assert_eq!(waited.code, Some(1), "o8: it is not in step: {waited:?}");
        if restarted {
            ben.crash();
        }
        drop(ballast);
        if restarted {
            ben.up();
        }
        let whole = |tree: &Tree| {
            holds(tree, "from Ben.txt", &bens)
                && holds(tree, "from Ana.txt", &anas)
                && (20..60).all(|n| holds(tree, &format!("from Ben {n}.txt"), &noise(n, 2000)))
        };
        let tree = same_and(&[&mine, &theirs], "it heals by itself", whole);
        assert_eq!(tree.files(), 20 + 40 + 2 - 1 - usize::from(restarted), "o4: what Ana deleted stays deleted");
        let status = ben.wait("docs");
        assert_eq!(status["problems"].as_array().unwrap().len(), 0, "{status}");
        // And both still hear of each other's next edit.
        fs::write(theirs.join("next.txt"), &anas).unwrap();
        same_and(&[&mine, &theirs], "they go on", |tree| holds(tree, "next.txt", &anas));
        fs::remove_file(mine.join("next.txt")).unwrap();
        same_and(&[&mine, &theirs], "they go on", |tree| !tree.0.contains_key(Path::new("next.txt")));
    }
}

#[test]
fn d4_k7_a_full_disk_under_a_seeder_signs_for_nothing_keeps_the_old_and_heals_by_itself() {
    let world = World::new();
    let Some(disk) = SmallDisk::mounted(&world.path().join("box/home"), "160m") else { return };
    let (ana, ben, mut the_box) = (world.person("Ana"), world.person("Ben"), world.seeder("box"));
    let mine = ana.create("docs");
    fs::write(mine.join("report"), noise(1, 3 << 20)).unwrap();
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    ana.json(&["backup", "add", "docs", &the_box.offer("50MB")]);
    let signed = ana.wait_for_receipt("docs")["backups"][0]["receipt_at"].clone();
    let before = the_box.blocks();
    let quota = |status: &serde_json::Value| {
        status["problems"].as_array().unwrap().iter().any(|problem| problem["code"] == "quota")
    };

    // Nearly full: it can still write that it takes no more, and says so.
    let ballast = disk.fill_but(40 << 20);
    fs::write(mine.join("photos"), noise(2, 2 << 20)).unwrap();
    until("Ana is told that the box has no room", PATIENCE, || {
        let status = ana.status("docs");
        if quota(&status) { Ok(()) } else { Err(status) }
    });
    let status = ana.status("docs");
    assert_eq!((&status["backups"][0]["complete"], &status["backups"][0]["receipt_at"]), (&false.into(), &signed));
    let said = the_box.json(&["status"])["problems"][0].as_str().unwrap().to_owned();
    assert!(said.contains("free some space"), "its operator is told, too: {said}");
    assert!(the_box.blocks() >= before, "what it had stays");
    same_and(&[&mine, &theirs], "members go on", |tree| holds(tree, "photos", &noise(2, 2 << 20)));
    drop(ballast);
    let status = ana.wait_for_receipt("docs");
    assert!(!quota(&status), "it heals by itself: {status}");

    // Not a byte is left, and the box is stopped with that.
    let ballast = disk.fill();
    fs::write(mine.join("minutes"), noise(3, 1 << 20)).unwrap();
    same_and(&[&mine, &theirs], "members go on", |tree| holds(tree, "minutes", &noise(3, 1 << 20)));
    until("the box says what is wrong", PATIENCE, || {
        let status = the_box.json(&["status"]);
        if status["problems"].as_array().unwrap().is_empty() { Err(status) } else { Ok(()) }
    });
    let status = ana.status("docs");
    assert_eq!(status["backups"][0]["complete"], false, "nothing is acknowledged that is not kept: {status}");
    the_box.down();
    drop(ballast);
    the_box.up();
    ana.wait_for_receipt("docs");
    // What is acknowledged survives a power cut.
    the_box.crash();
    the_box.up();
    let shown = the_box.shown();
    assert_eq!((&shown["folder"]["complete"], the_box.run(&["check"]).code), (&true.into(), Some(0)), "{shown}");
}

#[test]
fn d4_a_seeder_whose_disk_was_full_to_the_last_byte_heals_without_a_restart() {
    let world = World::new();
    let Some(disk) = SmallDisk::mounted(&world.path().join("box/home"), "160m") else { return };
    let (ana, the_box) = (world.person("Ana"), world.seeder("box"));
    let mine = ana.create("docs");
    fs::write(mine.join("report"), noise(1, 1 << 20)).unwrap();
    ana.json(&["backup", "add", "docs", &the_box.offer("50MB")]);
    ana.wait_for_receipt("docs");
    let ballast = disk.fill();
    fs::write(mine.join("minutes"), noise(3, 1 << 20)).unwrap();
    until("the box says what is wrong", PATIENCE, || {
        let status = the_box.json(&["status"]);
        if status["problems"].as_array().unwrap().is_empty() { Err(status) } else { Ok(()) }
    });
    drop(ballast);
    ana.wait_for_receipt("docs");
    assert_eq!(the_box.run(&["check"]).code, Some(0));
}
