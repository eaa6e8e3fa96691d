//! An owner has something removed from history: real members, and a real blind seeder for which the days go by.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cobox_proto::id::Cid;
use cobox_store::{BlockStore, DiskStore};
use serde_json::Value;

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, Was, World, gone, noise, remembered, same, until};

/// What was said is at the seeder: a state that rests on it is.
fn is_heard(who: &Computer, root: &Path, n: u64) {
    save(root, "letter.txt", format!("Dear all, {n}").as_bytes());
    who.wait_for_receipt("docs");
}

/// Restores what was elsewhere; the problems that it tells of, and what came.
fn had_again(who: &Computer, name: &str, was: &Was) -> (Vec<Value>, Tree) {
    let to: PathBuf = who.folder(name);
    fs::create_dir_all(&to).unwrap();
    let ran = who.run(&["restore", "docs", "--state", &was.state, "--to", to.to_str().unwrap(), "--json"]);
    let restored: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(restored["exact"], true, "{name}: {restored}");
    (restored["problems"].as_array().unwrap().clone(), Tree::read(&to).unwrap())
}

/// Contents are longer than this, and records of so few files shorter.
const CONTENT_BYTES: u32 = 8_000;

/// Saves a file in one go.
fn save(root: &Path, path: &str, bytes: &[u8]) {
    let draft = root.with_extension("draft");
    fs::write(&draft, bytes).unwrap();
    fs::rename(&draft, root.join(path)).unwrap();
}

/// Which contents are in a seeder's store of the only folder that is not a vault. It is stopped for that.
fn stored(seeder: &mut Computer) -> BTreeSet<Cid> {
    let id = seeder.shown()["folder"]["id"].as_str().unwrap().to_owned();
    seeder.down();
    let state = seeder.home().join("state");
    let dir = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
    let dir = dir.filter(|path| path.is_dir()).find(|path| path.to_string_lossy().contains(&id)).unwrap();
    let cids = {
        let store = DiskStore::open(&dir).unwrap();
        let all = store.list(None, usize::MAX).unwrap().into_iter();
        all.filter(|entry| entry.len > CONTENT_BYTES).map(|entry| entry.cid).collect()
    };
    seeder.up();
    cids
}

#[test]
fn an_owner_has_a_file_forgotten_and_after_the_delay_no_piece_of_it_is_at_the_seeder_and_all_else_is() {
    let world = World::new();
    let (mut the_box, ana) = (world.seeder_with_clock("box"), world.person("Ana"));
    let root = ana.folder("docs");
    fs::create_dir_all(root.join("plans")).unwrap();
    fs::write(root.join("letter.txt"), "Dear all").unwrap();
    fs::write(root.join("plans/garden.odt"), noise(1, 90_000)).unwrap();
    fs::write(root.join("plans/twin.odt"), noise(2, 90_000)).unwrap();
    ana.create("docs");
    let ben = world.person("Ben");
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    same(&[&root, &theirs]);
    ana.json(&["backup", "add", "docs", &the_box.offer("1GB")]);
    ana.wait_for_receipt("docs");
    let before = stored(&mut the_box);

    // A file comes, is edited, is renamed. One that is a copy of another comes as well.
    the_box.days_pass(1);
    save(&root, "secret.odt", &noise(10, 1_500_000));
    save(&root, "copy.odt", &noise(2, 90_000));
    let mut states = vec![remembered(&ana, &root)];
    the_box.days_pass(1);
    save(&root, "secret.odt", &noise(11, 700_000));
    states.push(remembered(&ana, &root));
    the_box.days_pass(1);
    fs::rename(root.join("secret.odt"), root.join("plans/hidden.odt")).unwrap();
    fs::write(root.join("letter.txt"), "Dear all, once more").unwrap();
    states.push(remembered(&ana, &root));
    the_box.days_pass(1);
    let with = stored(&mut the_box);
    ana.wait("docs");

    // It is in the folder still.
    assert_eq!(ana.refused(&["forget", "docs", "plans/hidden.odt"]), (5, "still_in_folder".into()));
    fs::remove_file(root.join("plans/hidden.odt")).unwrap();
    fs::remove_file(root.join("copy.odt")).unwrap();
    let last = remembered(&ana, &root);
    same(&[&root, &theirs]);

    // Who is no owner is refused, an admin too.
    assert_eq!(ben.refused(&["forget", "docs", "plans/hidden.odt"]), (5, "role_forbids".into()));
    ana.json(&["members", "role", "docs", "Ben", "admin"]);
    until("Ben knows that he is an admin", PATIENCE, || {
        let members = ben.json(&["members", "list", "docs"]);
        let own = members["members"].as_array().unwrap().iter().find(|member| member["you"] == true).cloned();
        if own.is_some_and(|own| own["role"] == "admin") { Ok(()) } else { Err(members) }
    });
    assert_eq!(ben.refused(&["forget", "docs", "plans/hidden.odt"]), (5, "role_forbids".into()));
    assert_eq!(ana.refused(&["forget", "docs", "nothing.odt"]), (6, "not_in_history".into()));
    // All of the copy is in another file.
    assert_eq!(ana.refused(&["forget", "docs", "copy.odt"]), (5, "nothing_to_forget".into()));

    let preview = ana.json(&["forget", "docs", "plans/hidden.odt", "--dry-run"]);
    assert_eq!((&preview["versions"], &preview["id"]), (&2.into(), &Value::Null), "{preview}");
    assert_eq!(preview["names"], serde_json::json!(["plans/hidden.odt", "secret.odt"]));
    assert_eq!(preview["bytes"], 2_200_000);
    assert_eq!(preview["copies"].as_array().unwrap().len(), 2, "{preview}");
    let none = ana.json(&["forget", "docs"]);
    assert_eq!(none["forgets"], Value::Array(vec![]));

    // What is withdrawn in time is as if it had not been said.
    let said = ana.json(&["forget", "docs", "plans/hidden.odt"]);
    is_heard(&ana, &root, 1);
    let id = said["id"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned();
    until("Ben sees it", PATIENCE, || {
        let seen = ben.json(&["forget", "docs"]);
        let first = &seen["forgets"][0];
        let is_it = first["id"] == *id && first["by"] == "Ana" && first["path"] == "plans/hidden.odt";
        if is_it { Ok(()) } else { Err(seen) }
    });
    assert_eq!(ben.refused(&["forget", "docs", "--withdraw", &id]), (5, "role_forbids".into()));
    the_box.days_pass(5);
    ana.json(&["forget", "docs", "--withdraw", &id]);
    assert_eq!(ana.json(&["forget", "docs"])["forgets"], Value::Array(vec![]));
    assert_eq!(ana.refused(&["forget", "docs", "--withdraw", &id]), (6, "forget_not_found".into()));
    is_heard(&ana, &root, 2);
    the_box.days_pass(4);
    assert!(stored(&mut the_box).is_superset(&with), "nothing has gone");

    // Said once more, and meant. Until the delay is over all of it can be had again.
    let said = ana.json(&["forget", "docs", "plans/hidden.odt"]);
    assert_eq!((&said["already"], &said["dry_run"]), (&false.into(), &false.into()), "{said}");
    assert_eq!(ana.json(&["forget", "docs", "plans/hidden.odt"])["already"], true, "there is no more to say");
    is_heard(&ana, &root, 3);
    the_box.days_pass(6);
    for (n, was) in states.iter().enumerate() {
        let (problems, again) = had_again(&ben, &format!("before {n}"), was);
        assert_eq!((problems, was.tree.difference(&again)), (vec![], None), "state {n}");
    }
    assert!(stored(&mut the_box).is_superset(&with), "not before its time");

    // A week later it counts, and after another week in the trash it is gone.
    let mut now = stored(&mut the_box);
    for _ in 0..8 {
        if !now.is_superset(&with) {
            break;
        }
        the_box.days_pass(4);
        the_box.hours_pass(2);
        now = stored(&mut the_box);
    }
    let gone_now: BTreeSet<Cid> = with.difference(&now).copied().collect();
    let own: BTreeSet<Cid> = with.difference(&before).copied().collect();
    assert_eq!(gone_now, own, "all that came with the file, and nothing that was there before");
    assert_eq!(the_box.run(&["check"]).code, Some(0), "a seeder misses nothing");
    ana.wait_for_receipt("docs");
    assert_eq!(the_box.shown()["folder"]["complete"], true);
    the_box.days_pass(3);
    assert_eq!(stored(&mut the_box), now, "nothing of it comes again, and nothing else goes");

    // Everybody's computer is lost; twelve words have all of it back but that file.
    let kit = ana.kit();
    gone([ana, ben]);
    let new = world.person("new");
    let (words, tickets) = (new.words_file(&kit.1), kit.2);
    let back = new.folder("back");
    new.json(&[
        "recover",
        "--words-file",
        words.to_str().unwrap(),
        "--seeder",
        &tickets[0],
        "--to",
        back.to_str().unwrap(),
    ]);
    for (n, mut was) in states.into_iter().enumerate() {
        let (problems, again) = had_again(&new, &format!("state {n}"), &was);
        let path = if n < 2 { "secret.odt" } else { "plans/hidden.odt" };
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!((&problems[0]["code"], &problems[0]["path"]), (&"forgotten".into(), &path.into()), "{problems:?}");
        let message = problems[0]["message"].as_str().unwrap();
        assert!(message.starts_with("it was removed from history by "), "{message}");
        was.tree.0.remove(Path::new(path)).unwrap();
        assert_eq!(was.tree.difference(&again), None, "state {n}");
    }
    let (problems, again) = had_again(&new, "the last", &last);
    assert_eq!((problems, last.tree.difference(&again)), (vec![], None));
}

/// Every seeder that is connected, so many of them, holds the newest state.
fn is_at(who: &Computer, seeders: usize) {
    who.wait("docs");
    until("the newest state is at the seeders", PATIENCE, || {
        let status = who.status("docs");
        let backups = status["backups"].as_array().unwrap();
        let there = backups.iter().filter(|backup| backup["online"] == true && backup["complete"] == true).count();
        if there == seeders { Ok(()) } else { Err(status) }
    });
}

#[test]
fn a_seeder_that_was_away_hears_of_it_later_and_takes_as_long_from_then() {
    let world = World::new();
    let (mut here, mut away) = (world.seeder_with_clock("here"), world.seeder_with_clock("away"));
    let ana = world.person("Ana");
    let root = ana.folder("docs");
    fs::create_dir_all(root.join("people")).unwrap();
    fs::write(root.join("letter.txt"), "Dear all").unwrap();
    fs::write(root.join("garden.odt"), noise(1, 90_000)).unwrap();
    ana.create("docs");
    for seeder in [&here, &away] {
        ana.json(&["backup", "add", "docs", &seeder.offer("1GB")]);
    }
    is_at(&ana, 2);
    let before = stored(&mut here);
    save(&root, "people/cleo.odt", &noise(2, 90_000));
    save(&root, "people/dan.odt", &noise(3, 200_000));
    is_at(&ana, 2);
    for seeder in [&here, &away] {
        seeder.days_pass(1);
    }
    let with = stored(&mut here);
    assert_eq!(with, stored(&mut away), "both keep the same");
    let own: BTreeSet<Cid> = with.difference(&before).copied().collect();
    fs::remove_dir_all(root.join("people")).unwrap();
    is_at(&ana, 2);
    away.down();

    let said = ana.json(&["forget", "docs", "people", "--unnamed"]);
    assert_eq!((&said["versions"], said["copies"].as_array().unwrap().len()), (&2.into(), 3), "{said}");
    let copies = said["copies"].as_array().unwrap().iter();
    let unknown = copies.filter(|copy| copy["online"] == false && copy["until"].is_null()).count();
    assert_eq!(unknown, 1, "{said}");
    let wish = ana.json(&["forget", "docs"])["forgets"][0].clone();
    assert_eq!((&wish["path"], &wish["by"]), (&Value::Null, &"Ana".into()), "{wish}");
    save(&root, "letter.txt", b"Dear all, of whom we speak no more");
    is_at(&ana, 1);
    here.days_pass(18);
    here.hours_pass(2);
    assert_eq!(with.difference(&stored(&mut here)).copied().collect::<BTreeSet<_>>(), own);

    // Later the other one is back, and begins to count.
    away.up();
    is_at(&ana, 2);
    away.days_pass(6);
    assert_eq!(stored(&mut away), with, "not before its time");
    is_at(&ana, 2);
    away.days_pass(13);
    away.hours_pass(2);
    assert_eq!(with.difference(&stored(&mut away)).copied().collect::<BTreeSet<_>>(), own);
    assert_eq!(away.run(&["check"]).code, Some(0));
    is_at(&ana, 2);
}
