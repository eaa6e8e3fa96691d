//! Real services, one of them with its folder on a disk that finds names in any case.

use std::fs;
use std::path::Path;

use cobox_faultfs::FaultDisk;
use cobox_storm::{FOLDER, Machine, PATIENCE, Programs, Role};

use crate::e2e_tree::Tree;
use crate::e2e_world::{holds, programs, until};

/// Waits until each of them has these files and no other, by their names on disk.
fn have(machines: [(&Machine, &[(&str, &str)]); 2], story: &str) {
    until(story, PATIENCE, || {
        for (machine, expected) in machines {
            let tree = Tree::read(&machine.root()).map_err(|error| error.to_string())?;
            if tree.files() != expected.len()
                || !expected.iter().all(|(name, text)| holds(&tree, name, text.as_bytes()))
            {
                return Err(format!("{} has {:?} instead of {expected:?}", machine.name, tree.0));
            }
        }
        Ok(())
    });
}

/// As a file manager does it on a disk that takes the two names for one.
fn spell(root: &Path, from: &str, to: &str) {
    fs::rename(root.join(from), root.join("between")).unwrap();
    fs::rename(root.join("between"), root.join(to)).unwrap();
}

#[test]
fn l1_l2_names_that_differ_in_case_are_two_for_everybody_and_changing_case_deletes_nothing() {
    if let Some(why) = FaultDisk::missing() {
        return eprintln!("skipped: {why}");
    }
    let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::folding().unwrap());
    let (cobox, seeder) = programs();
    let programs = Programs { cobox, seeder };
    let machine = |place: &Path, name: &str| {
        let said = dir.path().join(format!("{name}.said"));
        Machine::new(place.join(name), said, name, Role::Member, &programs).unwrap()
    };
    let (mut ana, mut ben) = (machine(dir.path(), "Ana"), machine(&disk.path(), "Ben"));
    for machine in [&mut ana, &mut ben] {
        machine.start().unwrap();
        machine.answers().unwrap();
    }
    let text = |answer: serde_json::Value, field: &str| answer[field].as_str().unwrap().to_owned();
    let root = |machine: &Machine| machine.root().to_str().unwrap().to_owned();
    fs::create_dir_all(ana.root().join("sub")).unwrap();
    for (name, bytes) in [("Notes", "notes"), ("sub/list", "list")] {
        fs::write(ana.root().join(name), bytes).unwrap();
    }
    ana.json(&["create", &root(&ana)]).unwrap();
    let key = text(ben.json(&["whoami"]).unwrap(), "cobox_key");
    let code = text(ana.json(&["invite", FOLDER, "--to", &key]).unwrap(), "code");
    ben.json(&["join", &code, &root(&ben)]).unwrap();
    let both = |expected: &[(&str, &str)], story: &str| have([(&ana, expected), (&ben, expected)], story);
    both(&[("Notes", "notes"), ("sub/list", "list")], "Ben has joined");
    fs::rename(ana.root().join("Notes"), ana.root().join("NOTES")).unwrap();
    fs::rename(ana.root().join("sub"), ana.root().join("Sub")).unwrap();
    both(&[("NOTES", "notes"), ("Sub/list", "list")], "Ana spells them anew");
    spell(&ben.root(), "NOTES", "notes");
    spell(&ben.root(), "Sub", "SUB");
    both(&[("SUB/list", "list"), ("notes", "notes")], "Ben spells them anew");
    fs::write(ana.root().join("Notes"), "others").unwrap();
    let hers = |others| [("Notes", others), ("SUB/list", "list"), ("notes", "notes")];
    let his = |others| [("Notes~2", others), ("SUB/list", "list"), ("notes", "notes")];
    have([(&ana, &hers("others")), (&ben, &his("others"))], "Ana has two that differ in case");
    fs::write(ben.root().join("Notes~2"), "edited").unwrap();
    have([(&ana, &hers("edited")), (&ben, &his("edited"))], "Ben edits the one with a number");
    // He sets it right himself: the other one goes, and this one gets its own name.
    fs::remove_file(ben.root().join("notes")).unwrap();
    fs::rename(ben.root().join("Notes~2"), ben.root().join("Notes")).unwrap();
    both(&[("Notes", "edited"), ("SUB/list", "list")], "Ben takes the number off");
    for machine in [&mut ana, &mut ben] {
        machine.stop().unwrap();
        assert_eq!(machine.panics().unwrap(), [""; 0], "o7");
    }
}
