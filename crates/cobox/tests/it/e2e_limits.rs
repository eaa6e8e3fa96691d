//! A service that is given too little (K8): where a control group of the system may limit memory, the service is ended by it, which is told, and
//! harms nothing.
//!
//! Needs Linux and root; elsewhere the test says so and is skipped.

use std::fs;
use std::path::{Path, PathBuf};

use crate::e2e_world::{PATIENCE, World, noise, same_and, until};

/// A control group of our own that can bound memory; removed with the value.
struct Group {
    dir: PathBuf,
    usage: &'static str,
    bound: &'static str,
}

/// By how much the bound is lowered at a time.
const STEP_BYTES: u64 = 256 << 10;

impl Group {
    /// `None`, with the reason told, where there can be none.
    fn new() -> Option<Self> {
        let kinds = [
            ("/sys/fs/cgroup/memory", "memory.usage_in_bytes", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.current", "memory.max"),
        ];
        for (root, usage, bound) in kinds {
            let dir = Path::new(root).join(format!("cobox-{}", std::process::id()));
            let group = Self { dir, usage, bound };
            if fs::create_dir(&group.dir).is_ok() && group.dir.join(bound).exists() {
                return Some(group);
            }
        }
        eprintln!("skipped: no control group may be made here");
        None
    }

    /// Words that run a program inside.
    fn prefix(&self) -> Vec<String> {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.dir.display());
        ["sh", "-c", &script, "sh"].map(String::from).to_vec()
    }

    /// What is inside gets nothing more: the bound is lowered until the system refuses, or has ended somebody for it.
    fn tighten(&self) {
        let usage = fs::read_to_string(self.dir.join(self.usage)).unwrap();
        let mut bound: u64 = usage.trim().parse().unwrap();
        while bound > STEP_BYTES && fs::write(self.dir.join(self.bound), bound.to_string()).is_ok() {
            bound -= STEP_BYTES;
            if fs::read_to_string(self.dir.join("cgroup.procs")).unwrap_or_default().trim().is_empty() {
                return;
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _already_gone = fs::remove_dir(&self.dir);
    }
}

#[test]
fn k8_a_service_that_runs_out_of_memory_is_gone_and_not_half_there() {
    let Some(group) = Group::new() else { return };
    let mut world = World::new();
    let ana = world.person("Ana");
    let mine = ana.create("docs");
    fs::write(mine.join("first"), "first").unwrap();
    // Ben's service runs in the group; what he types does not.
    world.behind(group.prefix());
    let mut ben = world.person("Ben");
    ben.types_without_prefix();
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    same_and(&[&mine, &theirs], "the first file", |tree| tree.files() == 1);
    fs::write(theirs.join("of Ben"), "saved before").unwrap();
    same_and(&[&mine, &theirs], "his file", |tree| tree.files() == 2);

    group.tighten();
    for n in 0..2_000u64 {
        fs::write(mine.join(format!("file {n}")), noise(n, 700)).unwrap();
    }
    let ended = until("the system ends it", PATIENCE * 2, || ben.has_ended().ok_or(()));
    assert!(!ended.success(), "it must not look as if it had stopped by itself: {ended:?}");
    assert_eq!(ben.refused(&["status"]), (4, "not_running".into()), "nobody is left to say that all is well");
    assert_eq!(fs::read(theirs.join("of Ben")).unwrap(), b"saved before");

    // With room it goes on where it was.
    ben.up();
    let whole = same_and(&[&mine, &theirs], "all files", |tree| tree.files() == 2_002);
    assert!(whole.bytes() > 2_000 * 700);
    assert_eq!(ana.status("docs")["held_changes"], 0);
}
