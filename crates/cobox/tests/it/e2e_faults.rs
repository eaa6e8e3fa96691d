//! Real services, killed at a chosen change that one of them makes to its disk, and again while they recover; what was not synced is there,
//! is gone or is torn. Which service it hits follows from the change. All lie on one disk that fails on command.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use cobox_faultfs::{Counts, Fault, FaultDisk, Image, Left, Plan};
use cobox_storm::{FOLDER, Machine, PATIENCE, Programs, Role};

use crate::e2e_world::{noise, programs};

/// Of the changes that the services make, so many are the last of one.
const KILLS: u64 = 12;

type Files = BTreeMap<String, Vec<u8>>;

struct Scene {
    disk: FaultDisk,
    /// Ana, Ben and their seeder.
    machines: [Machine; 3],
}

impl Scene {
    /// Everybody has the folder, with a few files, and nobody runs.
    fn set_up(dir: &Path) -> Self {
        let (cobox, seeder) = programs();
        let programs = Programs { cobox, seeder };
        let disk = FaultDisk::new().unwrap();
        let machine = |name: &str, role| {
            let said = dir.join(format!("{name}.said"));
            Machine::new(disk.path().join(name), said, name, role, &programs).unwrap()
        };
        let machines = [machine("Ana", Role::Member), machine("Ben", Role::Member), machine("box", Role::Seeder)];
        let mut scene = Self { disk, machines };
        scene.start();
        let [ana, ben, the_box] = &scene.machines;
        let text = |answer: serde_json::Value, field: &str| answer[field].as_str().unwrap().to_owned();
        let root = |machine: &Machine| machine.root().to_str().unwrap().to_owned();
        for (name, bytes) in first() {
            save(&ana.root(), &name, &bytes);
        }
        ana.json(&["create", &root(ana)]).unwrap();
        let key = text(ben.json(&["whoami"]).unwrap(), "cobox_key");
        let code = text(ana.json(&["invite", FOLDER, "--to", &key]).unwrap(), "code");
        ben.json(&["join", &code, &root(ben)]).unwrap();
        let offer = text(the_box.json(&["offer", "--space", "1GB"]).unwrap(), "offer");
        ana.json(&["backup", "add", FOLDER, &offer]).unwrap();
        scene.comes_to_rest();
        scene.stop();
        scene
    }

    fn start(&mut self) {
        self.machines.iter_mut().for_each(|machine| machine.start().unwrap());
        self.machines.iter_mut().for_each(|machine| machine.answers().unwrap());
    }

    fn stop(&mut self) {
        self.machines.iter_mut().for_each(|machine| machine.stop().unwrap());
    }

    /// Why a member is not in step yet, and backed up.
    fn unfinished(&self) -> Option<String> {
        self.machines[..2].iter().find_map(|member| {
            let args = ["status", FOLDER, "--wait", "--timeout", "2"];
            match member.json(&args) {
                Err(why) => Some(why.to_string()),
                Ok(status) => {
                    let backup = &status["folders"][0]["backups"][0];
                    let done = backup["complete"] == true && backup["receipt_at"].is_string();
                    (!done).then(|| status.to_string())
                }
            }
        })
    }

    fn comes_to_rest(&mut self) {
        let until = Instant::now() + PATIENCE * 2;
        while let Some(why) = self.unfinished() {
            self.machines.iter_mut().for_each(|machine| machine.still_runs().unwrap());
            assert!(Instant::now() < until, "o2, o7: not at rest: {why}");
        }
    }

    /// The machines start with what is on the disk, one is killed at a change, and the others are put out.
    fn start_and_kill(&mut self, image: &Image, at: u64) -> Option<String> {
        self.disk.load(image);
        self.disk.arm(Plan { at, fault: Fault::Kill, counts: Counts::Changes });
        for machine in &mut self.machines {
            if let Err(why) = machine.start() {
                // The first to start may have come to that change already: then nobody finds the disk any more.
                assert!(self.disk.fired().is_some(), "{}: {why:#}", machine.name);
            }
        }
        let until = Instant::now() + PATIENCE * 2;
        while self.disk.fired().is_none() && self.unfinished().is_some() {
            assert!(Instant::now() < until, "neither killed nor at rest");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.machines.iter_mut().for_each(|machine| machine.put_out().unwrap());
        self.disk.fired()
    }

    /// Everybody starts again and has everything.
    fn all_is_well(&mut self, image: &Image) {
        self.disk.load(image);
        self.start();
        self.comes_to_rest();
        for member in &self.machines[..2] {
            let there = files(&member.root());
            let names =
                |files: &Files| files.iter().map(|(name, bytes)| (name.clone(), bytes.len())).collect::<Vec<_>>();
            assert_eq!(names(&there), names(&second()), "o1, o2: {}", member.name);
            assert!(there == second(), "o3: {} has other bytes", member.name);
        }
        for machine in &self.machines {
            machine.check().unwrap();
            assert_eq!(machine.panics().unwrap(), [""; 0], "o7");
        }
        self.stop();
    }
}

/// What the folder holds when all are in step.
fn first() -> Files {
    let files = [("notes", 900), ("photo", 400_000), ("old/a", 5000), ("old/b", 70_000), ("gone", 3000)];
    files.iter().zip(0..).map(|((name, bytes), seed)| ((*name).into(), noise(seed, *bytes))).collect()
}

/// What Ana makes of it while nobody runs: an edit, a new file, a directory with another name, and one file less.
fn second() -> Files {
    let mut files = first();
    files.insert("notes".into(), noise(20, 1200));
    files.insert("new/film".into(), noise(21, 300_000));
    for name in ["a", "b"] {
        let bytes = files.remove(&format!("old/{name}")).unwrap();
        files.insert(format!("moved/{name}"), bytes);
    }
    files.remove("gone");
    files
}

/// As careful people save.
fn save(root: &Path, name: &str, bytes: &[u8]) {
    let place = root.join(name);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, bytes).unwrap();
    File::open(&place).unwrap().sync_all().unwrap();
}

fn files(root: &Path) -> Files {
    let mut files = Files::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let place = entry.unwrap().path();
            let name = place.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            match place.is_dir() {
                true if name == ".cobox" => {}
                true => dirs.push(place),
                false => drop(files.insert(name, fs::read(&place).unwrap())),
            }
        }
    }
    files
}

#[test]
fn k1_k6_k7_services_killed_at_chosen_changes_of_their_disk_recover() {
    if let Some(why) = FaultDisk::missing() {
        return eprintln!("skipped: {why}");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::set_up(dir.path());
    let root = scene.machines[0].root();
    fs::rename(root.join("old"), root.join("moved")).unwrap();
    fs::remove_file(root.join("gone")).unwrap();
    for name in ["notes", "new/film"] {
        save(&root, name, &second()[name]);
    }
    let before = scene.disk.image(Left::All);
    assert_eq!(scene.start_and_kill(&before, u64::MAX), None);
    let changes = scene.disk.count();
    assert!(changes > 100, "{changes} changes are few for all that");
    let after = scene.disk.image(Left::All);
    scene.all_is_well(&after);
    for n in 0..KILLS {
        let at = 1 + changes * n / KILLS + n;
        let left = Left::EVERY[n as usize % Left::EVERY.len()];
        let killed = scene.start_and_kill(&before, at);
        let mut found = scene.disk.image(left);
        let mut again = None;
        if n % 2 == 1 {
            again = scene.start_and_kill(&found, 1 + at % 60);
            found = scene.disk.image(left);
        }
        println!("killed at change {at} of {changes}, {killed:?}, {left:?}; then at {again:?}");
        scene.all_is_well(&found);
    }
}
