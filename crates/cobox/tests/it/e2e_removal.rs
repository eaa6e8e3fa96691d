//! Somebody is sent away: with real services, a real seeder that keeps everything, and the keys of who had to go.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use cobox_core::keys::FolderKeys;
use cobox_daemon::keystore::Keystore;
use cobox_proto::id::{Cid, FolderId};
use cobox_store::{BlockStore, DiskStore};
use serde_json::Value;

use crate::e2e_evil::logged;
use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, noise, same_and, until};

/// Within this, members and seeders end the connections of who was sent away.
const CUT_WITHIN: Duration = Duration::from_secs(10);

fn id(computer: &Computer) -> FolderId {
    computer.status("docs")["id"].as_str().unwrap().parse().unwrap()
}

/// The keys of the folder that lie in somebody's home.
fn keys_of(computer: &Computer, folder: &FolderId) -> FolderKeys {
    let keystore = Keystore::open(&computer.home().join("keys")).unwrap();
    FolderKeys::from_storage(&keystore.get(&format!("folder-{folder}")).unwrap().unwrap()).unwrap()
}

/// All blocks of the folder that a seeder which is switched off has on its disk.
fn blocks_of(seeder: &Computer, folder: &FolderId) -> Vec<(Cid, Vec<u8>)> {
    let store = DiskStore::open(&seeder.home().join("state").join(folder.to_string())).unwrap();
    let mut all = Vec::new();
    while let Some(next) = Some(store.list(all.last().map(|(cid, _)| cid), 1000).unwrap()).filter(|l| !l.is_empty()) {
        all.extend(next.into_iter().map(|entry| (entry.cid, store.get(&entry.cid).unwrap().unwrap())));
    }
    all
}

fn has_problem(status: &Value, code: &str) -> bool {
    status["problems"].as_array().unwrap().iter().any(|problem| problem["code"] == code)
}

fn members(computer: &Computer) -> Vec<String> {
    let members = computer.json(&["members", "list", "docs"]);
    let members = members["members"].as_array().unwrap();
    members.iter().map(|member| member["name"].as_str().unwrap().to_owned()).collect()
}

fn online(computer: &Computer) -> bool {
    let status = computer.status("docs");
    let connected = |rows: &Value| rows.as_array().unwrap().iter().any(|r| r["online"] == true && r["you"] != true);
    connected(&status["members"]) || connected(&status["backups"])
}

/// How often the computer closed what it had open with somebody who has no place in a folder.
fn times_met_an_outsider(computer: &Computer) -> usize {
    let closed = |line: &&str| line.contains("a peer is closed") && line.contains("not entitled");
    logged(computer).lines().filter(closed).count()
}

#[test]
fn m1_m4_removed_member_with_all_of_the_seeders_disk_reads_nothing_written_after() {
    let world = World::new();
    let (ana, mut ben) = ana_and_ben(&world, |root| {
        fs::write(root.join("old small"), "what Ben may keep").unwrap();
        fs::write(root.join("old large"), noise(1, 200_000)).unwrap();
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let mut shed = world.seeder("shed");
    ana.back_up("docs", &shed);
    ben.wait("docs");
    let folder = id(&ana);
    shed.down();
    let before: BTreeSet<Cid> = blocks_of(&shed, &folder).into_iter().map(|(cid, _)| cid).collect();
    shed.up();
    until("Ben meets the seeder", PATIENCE, || {
        let status = ben.status("docs");
        if status["backups"][0]["online"] == true { Ok(()) } else { Err(status) }
    });

    // What would happen is shown, and nothing happens.
    let preview = ana.json(&["members", "remove", "docs", "Ben", "--dry-run"]);
    assert_eq!(
        (&preview["dry_run"], &preview["new_keys"], &preview["devices"]),
        (&true.into(), &true.into(), &1.into())
    );
    assert!(!preview["keeps"].as_array().unwrap().is_empty() && !preview["loses"].as_array().unwrap().is_empty());
    assert_eq!(members(&ana), ["Ana", "Ben"]);
    assert_eq!(ana.run(&["members", "remove", "docs", "Ben"]).code, Some(2), "nobody is there to be asked");
    assert_eq!(ana.refused(&["members", "remove", "docs", "Bea"]), (6, "member_not_found".into()));
    assert_eq!(ben.refused(&["members", "remove", "docs", "Ana"]), (5, "role_forbids".into()));
    assert_eq!(ana.refused(&["members", "remove", "docs", "Ana"]), (5, "role_forbids".into()));

    let sent_away = Instant::now();
    let done = ana.json(&["members", "remove", "docs", "Ben"]);
    assert_eq!((&done["dry_run"], &done["member"]["name"]), (&false.into(), &"Ben".into()));
    until("Ben is alone", CUT_WITHIN, || if online(&ben) { Err(ben.status("docs")) } else { Ok(()) });
    assert!(sent_away.elapsed() < CUT_WITHIN);
    assert_eq!(members(&ana), ["Ana"]);
    assert!(has_problem(&ben.status("docs"), "removed"), "Ben is told: {}", ben.status("docs"));

    fs::write(mine.join("a new secret name"), "what Ben may not have").unwrap();
    fs::write(mine.join("new large"), noise(2, 200_000)).unwrap();
    fs::write(mine.join("old small"), "changed after Ben").unwrap();
    ana.wait_for_receipt("docs");
    // He tries again, with a service that has just started; and nobody calls him.
    let met = times_met_an_outsider(&ana);
    ben.restart();
    let his = Tree::read(&theirs).unwrap();
    assert_eq!(his.files(), 2, "he keeps what he had, and gets nothing");
    assert_eq!(fs::read_to_string(theirs.join("old small")).unwrap(), "what Ben may keep");
    fs::write(theirs.join("from Ben"), "after he was sent away").unwrap();
    ben.run(&["status", "docs", "--wait", "--timeout", "3"]);
    assert!(!online(&ben));
    assert_eq!(times_met_an_outsider(&ana), met, "she let him in to send him away again");
    assert!(!mine.join("from Ben").exists());
    assert_eq!(fs::read_to_string(theirs.join("from Ben")).unwrap(), "after he was sent away", "it is left alone");

    // All that the seeder has on its disk against all keys that Ben ever had.
    ben.down();
    shed.down();
    let (his, hers) = (keys_of(&ben, &folder), keys_of(&ana, &folder));
    let (old, new): (Vec<_>, Vec<_>) = blocks_of(&shed, &folder).into_iter().partition(|(cid, _)| before.contains(cid));
    assert!(old.iter().any(|(_, bytes)| his.open_block(bytes).is_ok()), "the test opens what it should");
    assert!(new.len() >= 3, "new content and new metadata: {}", new.len());
    for (cid, bytes) in &new {
        assert!(hers.open_block(bytes).is_ok(), "{} is one of the folder's", cid.short());
        assert!(his.open_block(bytes).is_err(), "Ben reads {}", cid.short());
    }
}

/// Ana sends Ben away while she sees nobody; meanwhile he writes, and the seeder takes it. The removal had not seen that.
#[test]
fn m2_what_the_removed_wrote_unseen_is_held_aside_and_can_be_taken_in() {
    let world = World::new();
    let (mut ana, mut ben) = ana_and_ben(&world, |root| fs::write(root.join("song"), "la").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let mut shed = world.seeder("shed");
    ana.back_up("docs", &shed);
    ben.wait("docs");
    ben.down();
    shed.down();
    ana.json(&["members", "remove", "docs", "Ben"]);
    ana.down();
    shed.up();
    ben.up();
    fs::write(theirs.join("unseen by Ana"), noise(3, 50_000)).unwrap();
    ben.wait_for_receipt("docs");
    ben.down();

    ana.up();
    let held = until("it is held aside", PATIENCE, || {
        let held = ana.json(&["quarantine", "list", "docs"]);
        if held["held_aside"].as_array().unwrap().len() == 1 { Ok(held["held_aside"][0].clone()) } else { Err(held) }
    });
    assert_eq!(held["by"], "Ben");
    ana.wait_for_receipt("docs");
    assert!(!mine.join("unseen by Ana").exists(), "it does not count by itself");
    let status = ana.status("docs");
    assert!(has_problem(&status, "held_aside") && status["state"] == "in_step", "{status}");

    // Carol, who comes now, sees it alike.
    let carol = world.person("Carol");
    let hers = carol.join("docs", &ana.invite("docs", &carol));
    same_and(&[&mine, &hers], "Carol has what Ana has", |tree| tree.files() == 1);
    until("Carol sees it alike", PATIENCE, || {
        let there = carol.json(&["quarantine", "list", "docs"]);
        if there["held_aside"][0]["id"] == held["id"] { Ok(()) } else { Err(there) }
    });
    assert_eq!(ana.refused(&["quarantine", "adopt", "docs", "ffffffffffff"]), (6, "held_aside_not_found".into()));
    // Out of sight at Carol's is not out of Ana's.
    carol.json(&["quarantine", "discard", "docs"]);
    assert!(carol.json(&["quarantine", "list", "docs"])["held_aside"].as_array().unwrap().is_empty());

    // Taken in while nobody has the content, and the service stops before it comes: it is not forgotten.
    shed.down();
    ana.json(&["quarantine", "adopt", "docs", held["id"].as_str().unwrap()]);
    ana.restart();
    assert!(!mine.join("unseen by Ana").exists());
    shed.up();
    let tree = same_and(&[&mine, &hers], "it is in the folder", |tree| tree.files() == 2);
    assert!(crate::e2e_world::holds(&tree, "unseen by Ana", &noise(3, 50_000)));
    assert!(ana.json(&["quarantine", "list", "docs"])["held_aside"].as_array().unwrap().is_empty());
}

/// Ben is sent away and invited again, as a reader: he has what was written meanwhile, and no more rights than that.
#[test]
fn m9_who_is_invited_again_reads_all_and_has_the_new_role_alone() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("song"), "la").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.wait("docs");
    let folder = id(&ana);
    let old = keys_of(&ben, &folder);
    ana.json(&["members", "remove", "docs", "Ben"]);
    until("Ben is told", PATIENCE, || {
        let status = ben.status("docs");
        if has_problem(&status, "removed") { Ok(()) } else { Err(status) }
    });
    fs::write(mine.join("meanwhile"), noise(7, 100_000)).unwrap();
    ana.wait("docs");
    ana.json(&["rekey", "docs"]);
    fs::write(mine.join("song"), "la la").unwrap();
    ana.wait("docs");

    let made = ana.json(&["invite", "docs", "--to", &ben.key(), "--role", "reader"]);
    let code = made["code"].as_str().unwrap();
    // The folder of then is not the one of now, and the code is not lost by trying.
    assert_eq!(ben.refused(&["join", code, theirs.to_str().unwrap()]), (5, "refused".into()));
    ben.json(&["leave", "docs", "--yes"]);
    ben.json(&["join", code, theirs.to_str().unwrap()]);
    same_and(&[&mine, &theirs], "he has all of it", |tree| tree.files() == 2);
    let (roles, new) = (ben.json(&["members", "list", "docs"]), keys_of(&ben, &folder));
    let roles: Vec<&Value> = roles["members"].as_array().unwrap().iter().map(|member| &member["role"]).collect();
    assert_eq!(roles, ["owner", "reader"], "one of him, with the role he was given now");
    assert!(new.epochs().count() >= old.epochs().count() + 2, "no gap between then and now");
    fs::write(theirs.join("from Ben"), "as an editor he was").unwrap();
    until("it is his alone", PATIENCE, || {
        let status = ben.status("docs");
        if has_problem(&status, "only_here") { Ok(()) } else { Err(status) }
    });
    assert!(!mine.join("from Ben").exists());
}

#[test]
fn m8_who_may_only_read_is_told_so_and_changes_nothing_for_others() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("song"), "la").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.wait("docs");
    let preview = ana.json(&["members", "role", "docs", "Ben", "reader", "--dry-run"]);
    assert_eq!(
        (&preview["role"], &preview["member"]["role"], &preview["new_keys"]),
        (&"reader".into(), &"editor".into(), &false.into())
    );
    ana.json(&["members", "role", "docs", "Ben", "reader"]);
    until("Ben knows", PATIENCE, || {
        let members = ben.json(&["members", "list", "docs"]);
        if members["members"][1]["role"] == "reader" { Ok(()) } else { Err(members) }
    });
    fs::write(theirs.join("from Ben"), "mine alone").unwrap();
    fs::write(mine.join("song"), "la la").unwrap();
    until("Ben reads on", PATIENCE, || {
        let song = fs::read_to_string(theirs.join("song")).unwrap();
        if song == "la la" { Ok(()) } else { Err(song) }
    });
    until("Ben is told of his file", PATIENCE, || {
        let status = ben.status("docs");
        if has_problem(&status, "only_here") { Ok(()) } else { Err(status) }
    });
    assert_eq!(fs::read_to_string(theirs.join("from Ben")).unwrap(), "mine alone");
    assert!(!mine.join("from Ben").exists());

    // What both change: hers comes, and his is beside the folder. What he alone changed stays until he wants the folder as it is.
    let aside = theirs.with_file_name("docs (changed here)");
    fs::write(theirs.join("song"), "Ben's own song").unwrap();
    let edits = |count: usize| {
        until("his changes are known", PATIENCE, || {
            let edits = ben.json(&["edits", "list", "docs"]);
            if edits["edits"].as_array().unwrap().len() == count { Ok(()) } else { Err(edits) }
        });
    };
    edits(2);
    fs::write(mine.join("song"), "la la la").unwrap();
    until("hers comes", PATIENCE, || {
        let song = fs::read_to_string(theirs.join("song")).unwrap_or_default();
        if song == "la la la" { Ok(()) } else { Err(song) }
    });
    assert_eq!(fs::read_to_string(aside.join("song")).unwrap(), "Ben's own song");
    edits(1);
    assert_eq!(ben.refused(&["edits", "reset", "docs", "song"]), (6, "file_not_found".into()));
    let preview = ben.json(&["edits", "reset", "docs", "--dry-run"]);
    assert_eq!((&preview["set_aside"][0]["path"], theirs.join("from Ben").exists()), (&"from Ben".into(), true));
    let reset = ben.json(&["edits", "reset", "docs"]);
    assert_eq!(reset["set_aside"][0]["to"], aside.join("from Ben").to_str().unwrap());
    assert_eq!(fs::read_to_string(aside.join("from Ben")).unwrap(), "mine alone");
    same_and(&[&mine, &theirs], "the folder is as everybody's", |tree| tree.files() == 1);
    edits(0);
    until("nothing is the matter", PATIENCE, || {
        let status = ben.status("docs");
        if status["problems"].as_array().unwrap().is_empty() { Ok(()) } else { Err(status) }
    });
    fs::write(theirs.join("from Ben"), "mine alone").unwrap();
    edits(1);

    // Back again, it is published.
    ana.json(&["members", "role", "docs", "Ben", "editor"]);
    same_and(&[&mine, &theirs], "Ben writes again", |tree| tree.files() == 2);
}

/// Ben works on while nobody can be reached, and is sent away meanwhile. Whoever he meets first tells him: a member, or a seeder alone.
#[test]
fn m1_who_was_away_learns_from_the_first_one_met_that_he_was_sent_away_and_what_nobody_has() {
    for by_seeder in [false, true] {
        let world = World::new();
        let (mut ana, mut ben) = ana_and_ben(&world, |root| fs::write(root.join("song"), "la").unwrap());
        let theirs = ben.folder("docs");
        let mut shed = world.seeder("shed");
        ana.back_up("docs", &shed);
        ben.wait("docs");
        until("Ben knows where the seeder is", PATIENCE, || {
            let status = ben.status("docs");
            if status["backups"][0]["online"] == true { Ok(()) } else { Err(status) }
        });
        ben.down();
        ana.json(&["members", "remove", "docs", "Ben"]);
        ana.wait_for_receipt("docs");
        ana.down();
        shed.down();
        // He writes: one change is in a state that he signed, one comes after his service was stopped.
        ben.up();
        fs::write(theirs.join("in a state"), noise(5, 3_000)).unwrap();
        until("it is in a state of his", PATIENCE, || {
            ben.run(&["status", "docs", "--wait", "--timeout", "2"]);
            let status = ben.status("docs");
            if status["files"] == 2 { Ok(()) } else { Err(status) }
        });
        ben.down();
        fs::write(theirs.join("song"), "la la la").unwrap();
        match by_seeder {
            true => shed.up(),
            false => ana.up(),
        }
        ben.up();
        let status = until("he is told", PATIENCE, || {
            let status = ben.status("docs");
            if has_problem(&status, "removed") { Ok(status) } else { Err(status) }
        });
        assert_eq!(status["state"], "problem");
        let unsent: BTreeSet<&str> = status["problems"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|problem| problem["code"] == "unsent")
            .map(|problem| problem["path"].as_str().unwrap())
            .collect();
        assert_eq!(unsent, ["in a state", "song"].into(), "by the seeder: {by_seeder}: {status}");
        assert_eq!(fs::read(theirs.join("in a state")).unwrap(), noise(5, 3_000));
        assert_eq!(fs::read_to_string(theirs.join("song")).unwrap(), "la la la", "nothing is taken back");

        // He knows it after a restart, with nobody there.
        match by_seeder {
            true => shed.down(),
            false => ana.down(),
        }
        ben.restart();
        let status = ben.status("docs");
        assert!(has_problem(&status, "removed") && has_problem(&status, "unsent"), "{status}");
    }
}
