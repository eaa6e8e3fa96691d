//! Disks that refuse: write errors and sync errors, quotas, disks that may only be read. It is said in words, nothing is lost, and the
//! folder goes on once the disk is well again.
//!
//! Under the files the disks are real ones, which needs root. Under the home a small library before the C library answers for the disk,
//! as SQLite hears it. What can not be had is skipped, saying so.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::e2e_crash::state_file;
use crate::e2e_full_disk::SmallDisk;
use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, holds, noise, same, same_and, until};

/// Stands before the C library. While the file named in `COBOX_TEST_SICK` says `CALL ERRNO DIRECTORY`, that call fails for files there. What is
/// synced is named in the file of `COBOX_TEST_SYNCED`, a line each.
const SICK_DISK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int sick(const char *call, int fd) {
    const char *order = getenv("COBOX_TEST_SICK");
    char what[16], dir[512], link[64], path[512];
    int code = 0, kept = errno, hit = 0;
    FILE *file = order ? fopen(order, "re") : NULL;
    if (file) {
        if (fscanf(file, "%15s %d %511s", what, &code, dir) == 3 && strcmp(what, call) == 0) {
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            ssize_t len = readlink(link, path, sizeof path - 1);
            if (len > 0) {
                path[len] = 0;
                hit = strncmp(path, dir, strlen(dir)) == 0;
            }
        }
        fclose(file);
    }
    errno = hit ? code : kept;
    return hit;
}

static int synced(int fd) {
    const char *to = getenv("COBOX_TEST_SYNCED");
    char link[64], path[512];
    int kept = errno, list = to ? open(to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (list >= 0) {
        dprintf(list, "%.*s\n", len > 0 ? (int)len : 0, path);
        close(list);
    }
    errno = kept;
    return sick("sync", fd);
}

#define REAL(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

ssize_t write(int fd, const void *bytes, size_t len) {
    return sick("write", fd) ? -1 : REAL(ssize_t, "write", int, const void *, size_t)(fd, bytes, len);
}
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) {
    return sick("write", fd) ? -1 : REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)(fd, bytes, len, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    return sick("write", fd) ? -1 : REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)(fd, bytes, len, at);
}
int fsync(int fd) { return synced(fd) ? -1 : REAL(int, "fsync", int)(fd); }
int fdatasync(int fd) { return synced(fd) ? -1 : REAL(int, "fdatasync", int)(fd); }
int syncfs(int fd) { return synced(fd) ? -1 : REAL(int, "syncfs", int)(fd); }
"#;

const IO_ERROR: i32 = rustix::io::Errno::IO.raw_os_error();
const OVER_QUOTA: i32 = rustix::io::Errno::DQUOT.raw_os_error();

/// Where it is written which disk is sick, and how; beside it, what was synced.
pub(crate) struct Sickness(PathBuf);

impl Sickness {
    /// A world in which disks may fall sick.
    pub(crate) fn world() -> Option<(World, Self, tempfile::TempDir)> {
        let dir = tempfile::tempdir().unwrap();
        let (source, library) = (dir.path().join("sick.c"), dir.path().join("sick.so"));
        fs::write(&source, SICK_DISK).unwrap();
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").output();
        let preload = format!("LD_PRELOAD={}", library.display());
        let runs = || Command::new("env").args([&preload, "true"]).output().is_ok_and(|ran| ran.status.success());
        if !cfg!(target_os = "linux") || !built.as_ref().is_ok_and(|built| built.status.success()) || !runs() {
            eprintln!("skipped: a sick disk needs Linux and a C compiler: {built:?}");
            return None;
        }
        let order = dir.path().join("order");
        let says = format!("COBOX_TEST_SICK={}", order.display());
        let synced = format!("COBOX_TEST_SYNCED={}", order.with_extension("synced").display());
        Some((World::inside(&["env", &preload, &says, &synced], "lan_discovery = false\n"), Self(order), dir))
    }

    /// What was synced below this directory, as the C library hears it, and how often.
    pub(crate) fn synced_below(&self, dir: &Path) -> BTreeMap<String, usize> {
        let mut synced = BTreeMap::new();
        for path in fs::read_to_string(self.0.with_extension("synced")).unwrap_or_default().lines() {
            if let Ok(below) = Path::new(path).strip_prefix(dir) {
                *synced.entry(below.display().to_string()).or_insert(0) += 1;
            }
        }
        synced
    }

    /// From now on this call fails for files below `dir`.
    fn begins(&self, call: &str, errno: i32, dir: &Path) {
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{call} {errno} {}", dir.display())).unwrap();
        fs::rename(new, &self.0).unwrap();
    }

    fn ends(&self) {
        fs::remove_file(&self.0).unwrap();
    }
}

/// A problem with this word, told with what happened and what to do.
fn says(computer: &Computer, code: &str) -> Value {
    until(&format!("{} says {code}", computer.name), PATIENCE, || {
        let status = computer.status("docs");
        let told =
            |problem: &&Value| problem["code"] == code && problem["message"].is_string() && problem["hint"].is_string();
        let said = status["problems"].as_array().unwrap().iter().find(told).cloned();
        said.filter(|_| status["state"] == "problem").ok_or(status)
    })
}

/// All is well: no problem is left, and both hear of each other's next edit.
fn all_is_well(mine: &Path, ben: &Computer, theirs: &Path) {
    until("no problem is left", PATIENCE, || {
        let status = ben.wait("docs");
        if status["problems"].as_array().unwrap().is_empty() { Ok(()) } else { Err(status) }
    });
    fs::write(theirs.join("next"), "Ben").unwrap();
    same_and(&[mine, theirs], "Ana hears of Ben", |tree| holds(tree, "next", b"Ben"));
    fs::remove_file(mine.join("next")).unwrap();
    same_and(&[mine, theirs], "Ben hears of Ana", |tree| !tree.0.contains_key(Path::new("next")));
}

#[test]
fn k1_write_and_sync_errors_under_the_home_are_said_and_the_folder_goes_on_when_the_disk_is_well() {
    let Some((world, sickness, _library)) = Sickness::world() else { return };
    let (ana, mut ben) = ana_and_ben(&world, |root| {
        (0..20).for_each(|n| fs::write(root.join(format!("page {n}")), noise(n, 3000)).unwrap());
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    for (round, (call, errno)) in
        [("write", IO_ERROR), ("sync", IO_ERROR), ("write", OVER_QUOTA)].into_iter().enumerate()
    {
        ben.wait("docs");
        sickness.begins(call, errno, &ben.home().join("state"));
        let (bens, anas) = (noise(200 + round as u64, 50_000), noise(300 + round as u64, 50_000));
        fs::write(theirs.join("from Ben"), &bens).unwrap();
        fs::write(mine.join("from Ana"), &anas).unwrap();
        fs::remove_file(mine.join(format!("page {round}"))).unwrap();
        let problem = says(&ben, "not_kept");
        assert!(problem["message"].as_str().unwrap().contains("state"), "o9: names the file: {problem}");
        let waited = ben.run(&["status", "docs", "--wait", "--timeout", "2", "--json"]);
        assert_eq!(waited.code, Some(1), "o8: {call} {errno}: it is not in step: {waited:?}");
        let killed = round == 2;
        if killed {
            // A start finds the disk as sick as it was: one sentence, and no end of starts.
            ben.crash();
            let ran = ben.run(&["up", "--json"]);
            assert_eq!(ran.code, Some(1), "{ran:?}");
            let error: Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
            assert!(error["error"]["message"].as_str().unwrap().contains("state"), "o9: {error}");
            assert!(error["error"]["hint"].is_string(), "o9: {error}");
        }
        sickness.ends();
        if killed {
            ben.up();
        }
        let whole = |tree: &Tree| holds(tree, "from Ben", &bens) && holds(tree, "from Ana", &anas);
        let tree = same_and(&[&mine, &theirs], &format!("it heals by itself: {call} {errno}"), whole);
        assert_eq!(tree.files(), 20 + 2 - 1 - round, "o3, o4: {call} {errno}");
        all_is_well(&mine, &ben, &theirs);
    }
    assert_eq!(ben.run(&["check", "docs"]).code, Some(0));
}

/// A disk that lies in a file. What it can not write there, the system reports as an input/output error.
struct DiskInFile {
    mounted: PathBuf,
    file: PathBuf,
}

impl DiskInFile {
    fn mounted(at: &Path) -> Option<Self> {
        let disk = Self { mounted: at.to_owned(), file: at.with_extension("disk") };
        fs::create_dir_all(at).unwrap();
        fs::File::create(&disk.file).unwrap().set_len(32 << 20).unwrap();
        let (file, at) = (disk.file.to_str().unwrap(), at.to_str().unwrap());
        // Without a journal it goes on when its disk does.
        let steps: [&[&str]; 4] = [
            &["mkfs.ext4", "-q", "-O", "^has_journal", file],
            &["mount", "-o", "loop,errors=continue", file, at],
            &["chattr", "+i", file],
            &["chattr", "-i", file],
        ];
        for step in steps {
            let done = Command::new(step[0]).args(&step[1..]).output();
            if !done.as_ref().is_ok_and(|done| done.status.success()) {
                eprintln!("skipped: a disk in a file needs root, ext4 and loop devices: {step:?}: {done:?}");
                return None;
            }
        }
        Some(disk)
    }

    fn breaks(&self) {
        self.run("+i");
    }

    fn is_well(&self) {
        self.run("-i");
    }

    fn run(&self, how: &str) {
        assert!(Command::new("chattr").arg(how).arg(&self.file).status().unwrap().success());
    }
}

impl Drop for DiskInFile {
    fn drop(&mut self) {
        let _well = Command::new("chattr").arg("-i").arg(&self.file).output();
        let _unmounted = Command::new("umount").arg("-l").arg(&self.mounted).output();
    }
}

#[test]
fn k1_io_errors_under_the_files_are_said_and_the_folder_goes_on_when_the_disk_is_well() {
    let world = World::new();
    let Some(disk) = DiskInFile::mounted(&world.path().join("Ben/documents")) else { return };
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("letter"), "first").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.wait("docs");
    let synced = Command::new("sync").arg("-f").arg(&theirs).status().unwrap();
    assert!(synced.success(), "what is there so far lies on the disk");
    disk.breaks();
    let (edited, new) = (noise(10, 300_000), noise(20, 3 << 20));
    fs::write(mine.join("letter"), &edited).unwrap();
    fs::write(mine.join("new"), &new).unwrap();
    let problem = says(&ben, "not_written");
    assert!(problem["path"].is_string(), "o9: {problem}");
    assert_eq!(fs::read(theirs.join("letter")).unwrap(), b"first", "the old file is intact");
    assert!(!theirs.join("new").exists(), "o3: nothing is shown that may be half on the disk");
    let waited = ben.run(&["status", "docs", "--wait", "--timeout", "2", "--json"]);
    assert_eq!(waited.code, Some(1), "o8: it is not in step: {waited:?}");
    disk.is_well();
    let whole = |tree: &Tree| holds(tree, "letter", &edited) && holds(tree, "new", &new);
    same_and(&[&mine, &theirs], "it heals by itself", whole);
    all_is_well(&mine, &ben, &theirs);
}

#[test]
fn k1_files_on_a_disk_that_becomes_read_only_are_intact_and_it_goes_on_when_it_can_be_written() {
    let world = World::new();
    let Some(disk) = SmallDisk::mounted(&world.path().join("Ben/documents/docs"), "24m") else { return };
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("letter"), "first").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.wait("docs");
    disk.remount("ro");
    fs::write(mine.join("letter"), "second").unwrap();
    fs::write(mine.join("new"), noise(1, 300_000)).unwrap();
    let problem = says(&ben, "not_written");
    assert!(problem["path"].is_string(), "{problem}");
    assert_eq!(fs::read(theirs.join("letter")).unwrap(), b"first");
    disk.remount("rw");
    same_and(&[&mine, &theirs], "it goes on", |tree| holds(tree, "letter", b"second") && tree.files() == 2);
    all_is_well(&mine, &ben, &theirs);
}

/// `up` ends with one sentence that names something in the home and says what to do.
fn stops_clearly(ben: &Computer, what: &str) {
    let ran = ben.run(&["up", "--json"]);
    assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
    let error: Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
    let error = &error["error"];
    assert!(error["message"].as_str().unwrap().contains("Ben/home"), "o9: {what} names the file: {error}");
    assert!(error["code"].is_string() && error["hint"].is_string(), "o9: {what}: {error}");
}

#[test]
fn i5_a_home_on_a_disk_that_may_only_be_read_is_a_clear_stop() {
    let world = World::new();
    let Some(disk) = SmallDisk::mounted(&world.path().join("Ben/home"), "24m") else { return };
    let (ana, mut ben) = ana_and_ben(&world, |root| fs::write(root.join("letter"), "first").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.wait("docs");
    ben.down();
    let whole = same(&[&mine, &theirs]);
    disk.remount("ro");
    (0..2).for_each(|_| stops_clearly(&ben, "the whole home"));
    assert_eq!(Tree::read(&theirs).unwrap(), whole, "nothing was touched");
    disk.remount("rw");
    fs::write(mine.join("letter"), "second").unwrap();
    ben.up();
    same_and(&[&mine, &theirs], "it goes on", |tree| holds(tree, "letter", b"second"));
    all_is_well(&mine, &ben, &theirs);
}

/// A world whose programs the modes of files bind, also where root runs the tests.
fn world_with_modes() -> Option<World> {
    if !rustix::process::geteuid().is_root() {
        return Some(World::new());
    }
    let prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"];
    let runs = Command::new(prefix[0]).args(&prefix[1..]).arg("true").output();
    if !runs.as_ref().is_ok_and(|ran| ran.status.success()) {
        eprintln!("skipped: root can not be bound to the modes of files here: {runs:?}");
        return None;
    }
    Some(World::inside(&prefix, "lan_discovery = false\n"))
}

#[test]
fn i5_databases_that_may_only_be_read_are_named_and_nothing_is_lost() {
    let Some(world) = world_with_modes() else { return };
    let (ana, mut ben) = ana_and_ben(&world, |root| {
        (0..12).for_each(|n| fs::write(root.join(format!("page {n}")), noise(n, 3000)).unwrap());
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    for (round, name) in ["tree.db", "folders.db"].into_iter().enumerate() {
        ben.wait("docs");
        ben.down();
        let database = state_file(&ben, name);
        let mode = |mode| fs::set_permissions(&database, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o400);
        fs::write(mine.join("page 1"), format!("Ana {round}")).unwrap();
        fs::write(theirs.join("page 2"), format!("Ben {round}")).unwrap();
        if name == "tree.db" {
            // One folder can not be opened: it is named, and the service runs.
            ben.up();
            let problem = until("the folder is named", PATIENCE, || {
                let status = ben.json(&["status"]);
                let problem = status["folders"][0]["problems"][0].clone();
                if problem["code"] == "not_opened" { Ok(problem) } else { Err(status) }
            });
            assert!(problem["message"].as_str().unwrap().contains("tree.db"), "o9: {problem}");
            assert!(problem["message"].as_str().unwrap().contains("writable"), "o9: {problem}");
            ben.down();
        } else {
            (0..2).for_each(|_| stops_clearly(&ben, name));
        }
        mode(0o600);
        ben.up();
        let both = |tree: &Tree| {
            let written = |path, text: String| holds(tree, path, text.as_bytes());
            written("page 1", format!("Ana {round}")) && written("page 2", format!("Ben {round}")) && tree.files() == 12
        };
        same_and(&[&mine, &theirs], &format!("it goes on: {name}"), both);
    }
}
