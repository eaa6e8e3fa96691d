//! New keys for what is there already: contents sealed anew, by a person's wish, and complete at the seeder afterwards.

use std::fs;

use serde_json::Value;

use crate::e2e_world::{World, ana_and_ben, becomes, noise, same};

#[test]
fn contents_sealed_anew_lie_complete_at_the_seeder_and_nobody_edited_anything() {
    let world = World::new();
    let the_box = world.seeder("box");
    let (mut ana, mut ben) = ana_and_ben(&world, |root| {
        fs::write(root.join("large"), noise(1, 3 << 20)).unwrap();
        fs::create_dir(root.join("many")).unwrap();
        for n in 0..40_u8 {
            fs::write(root.join("many").join(n.to_string()), noise(u64::from(n), 5_000)).unwrap();
        }
        fs::write(root.join("small"), "la").unwrap();
    });
    let whole = same(&[&ana.folder("docs"), &ben.folder("docs")]);
    ana.back_up("docs", &the_box);
    let before = ana.json(&["history", "docs"])["entries"].as_array().unwrap().len();
    assert_eq!(ben.refused(&["rekey", "docs", "--content"]), (5, "role_forbids".into()), "an editor makes no new keys");
    let sent_before = ana.traffic("docs").sent_blocks;
    ana.json(&["rekey", "docs", "--content"]);
    assert_eq!(ana.status("docs")["resealing"], Value::Null);
    ana.wait_for_receipt("docs");
    let sent = ana.traffic("docs").sent_blocks - sent_before;
    assert!(sent >= 43, "all contents went to the seeder once more: {sent} blocks");
    ben.wait("docs");
    for who in [&ana, &ben] {
        assert!(who.json(&["check", "docs"])["damaged"].as_array().unwrap().is_empty());
        assert!(who.json(&["conflicts", "list", "docs"])["conflicts"].as_array().unwrap().is_empty());
    }
    assert_eq!(ana.json(&["history", "docs"])["entries"].as_array().unwrap().len(), before, "no edit was made of it");
    // Who comes next gets all of it from the seeder alone.
    let code = ana.json(&["invite", "docs"])["code"].as_str().unwrap().to_owned();
    ana.wait("docs");
    ana.down();
    ben.down();
    let carol = world.person("Carol");
    let root = carol.join("docs", &code);
    becomes(&root, &whole);
}
