//! Two seeders of one folder, of which one is out of reach while somebody comes in: it lets them in later, though nobody has told it of
//! them who is still there.

use std::fs;

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, becomes, gone, noise, until};

/// Waits until this seeder has signed for the newest state of a folder.
fn signs(computer: &Computer, folder: &str, seeder: &Computer) {
    let key = seeder.json(&["status"])["key"].as_str().unwrap().to_owned();
    until(&format!("{} signs", seeder.name), PATIENCE, || {
        let status = computer.status(folder);
        let backups = status["backups"].as_array().unwrap();
        let there = |backup: &&serde_json::Value| key.starts_with(backup["seeder"].as_str().unwrap());
        let backup = backups.iter().find(there).unwrap_or_else(|| panic!("{key}: {status}"));
        if backup["complete"] == true && backup["online"] == true { Ok(()) } else { Err(status) }
    });
}

/// Ana's folder, at a seeder that is always there and at one that is not.
fn twice_backed_up(world: &World) -> (Computer, Computer, Computer) {
    let (ana, near, far) = (world.person("Ana"), world.seeder("near"), world.seeder("far"));
    let mine = ana.create("docs");
    fs::write(mine.join("report"), noise(1, 100_000)).unwrap();
    for seeder in [&near, &far] {
        ana.json(&["backup", "add", "docs", &seeder.offer("1GB")]);
        signs(&ana, "docs", seeder);
    }
    (ana, near, far)
}

#[test]
fn r5_a_device_recovered_at_one_seeder_is_let_in_at_the_other_with_nobody_else_there() {
    let world = World::new();
    let (ana, mut near, mut far) = twice_backed_up(&world);
    ana.wait("docs");
    let (_, words, _) = ana.kit();
    let ticket = near.json(&["status"])["ticket"].as_str().unwrap().to_owned();
    let whole = Tree::read(&ana.folder("docs")).unwrap();
    gone([ana]);
    far.down();

    let new = world.person("new");
    let (file, to) = (new.words_file(&words), new.folder("back"));
    let to_text = to.to_str().unwrap();
    new.json(&["recover", "--words-file", file.to_str().unwrap(), "--seeder", &ticket, "--to", to_text]);
    becomes(&to.join("docs"), &whole);
    near.down();
    far.up();
    fs::write(to.join("docs/after the loss"), noise(2, 1000)).unwrap();
    signs(&new, "docs", &far);
}

#[test]
fn who_joins_while_a_seeder_is_away_is_let_in_there_with_nobody_else_there() {
    let world = World::new();
    let (mut ana, mut near, mut far) = twice_backed_up(&world);
    let ben = world.person("Ben");
    let code = ana.invite("docs", &ben);
    ana.wait("docs");
    far.down();
    let theirs = ben.join("docs", &code);
    becomes(&theirs, &Tree::read(&ana.folder("docs")).unwrap());
    ben.wait("docs");
    ana.down();
    near.down();
    far.up();
    fs::write(theirs.join("from Ben"), noise(2, 1000)).unwrap();
    signs(&ben, "docs", &far);
}

#[test]
fn who_was_there_before_a_seeder_was_hired_finds_it_without_the_hirer() {
    let world = World::new();
    let (mut ana, mut ben) = ana_and_ben(&world, |root| fs::write(root.join("report"), noise(1, 100_000)).unwrap());
    let near = world.seeder("near");
    ana.back_up("docs", &near);
    signs(&ben, "docs", &near);
    ana.down();
    ben.restart();
    fs::write(ben.folder("docs").join("from Ben"), noise(2, 1000)).unwrap();
    signs(&ben, "docs", &near);
}
