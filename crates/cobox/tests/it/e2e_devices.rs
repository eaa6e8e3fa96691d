//! One person, several devices: a laptop is linked, works, and is lost.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, becomes, same_and, until};

/// Within this, members and seeders end the connections of a lost device.
const CUT_WITHIN: Duration = Duration::from_secs(10);

fn online(computer: &Computer, folder: &str) -> bool {
    let status = computer.status(folder);
    let connected = |rows: &Value| rows.as_array().unwrap().iter().any(|r| r["online"] == true && r["you"] != true);
    connected(&status["members"]) || connected(&status["backups"])
}

#[test]
fn m7_a_linked_laptop_has_every_folder_and_when_lost_is_sent_away_without_an_admin() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("song"), "la").unwrap());
    let shed = world.seeder("shed");
    ana.back_up("docs", &shed);
    let diary = ben.create("diary");
    fs::write(diary.join("today"), "alone").unwrap();
    ben.wait("diary");
    ben.wait("docs");

    // Nothing is asked twice: one code, and every folder is there.
    let code = ben.json(&["devices", "link"])["code"].as_str().unwrap().to_owned();
    let laptop = world.person("laptop");
    let to = laptop.folder("cobox");
    let linked = laptop.json(&["up", "--link", &code, "--to", to.to_str().unwrap(), "--name", "Laptop"]);
    assert_eq!((&linked["name"], linked["folders"].as_array().unwrap().len()), (&"Ben".into(), 2), "{linked}");
    assert_eq!(linked["cobox_key"], ben.json(&["whoami"])["cobox_key"]);
    becomes(&to.join("docs"), &Tree::read(&ana.folder("docs")).unwrap());
    becomes(&to.join("diary"), &Tree::read(&diary).unwrap());
    fs::write(to.join("docs/from the laptop"), "do").unwrap();
    same_and(&[&ana.folder("docs"), &ben.folder("docs"), &to.join("docs")], "all have it", |tree| tree.files() == 2);
    let names = |computer: &Computer| -> Vec<String> {
        let devices = computer.json(&["devices", "list"]);
        let devices = devices["devices"].as_array().unwrap();
        devices.iter().map(|device| device["name"].as_str().unwrap().to_owned()).collect()
    };
    until("each knows of the other", PATIENCE, || {
        let (bens, laptops) = (names(&ben), names(&laptop));
        let know = bens.len() == 2 && bens[1] == "Laptop" && laptops.len() == 2 && laptops[0] == "Laptop";
        if know { Ok(()) } else { Err((bens, laptops)) }
    });

    // The code has served.
    let thief = world.person("thief");
    until("it opens nothing any more", PATIENCE, || match thief.run(&["up", "--link", &code, "--json"]) {
        ran if ran.code == Some(5) => Ok(()),
        ran => Err(ran),
    });
    assert!(thief.json(&["folders"])["folders"].as_array().unwrap().is_empty());

    // The laptop is lost. Ben is no admin of the choir's folder, and needs none.
    let preview = ben.json(&["devices", "remove", "Laptop", "--dry-run"]);
    assert_eq!(preview["folders"].as_array().unwrap().len(), 2, "{preview}");
    assert!(online(&laptop, "docs"));
    ben.json(&["devices", "remove", "Laptop"]);
    until("the laptop is alone", CUT_WITHIN, || {
        let alone = !online(&laptop, "docs") && !online(&laptop, "diary");
        if alone { Ok(()) } else { Err(laptop.json(&["status"])) }
    });
    fs::write(ana.folder("docs").join("after the loss"), "mi").unwrap();
    fs::write(diary.join("tomorrow"), "still alone").unwrap();
    same_and(&[&ana.folder("docs"), &ben.folder("docs")], "Ben goes on", |tree| tree.files() == 3);
    ana.wait_for_receipt("docs");
    assert_eq!(Tree::read(&to.join("docs")).unwrap().files(), 2, "the laptop keeps what it had");
    assert!(!to.join("diary/tomorrow").exists());
    assert_eq!(names(&ben).len(), 1);
    assert_eq!(ben.refused(&["devices", "remove", "Laptop"]), (6, "device_not_found".into()));
}
