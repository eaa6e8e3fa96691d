//! Joins that wait for an owner or admin: nobody reads before that, six words tell who asks, and who is refused is told.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, holds, same, until};

/// Asks to be let in, and does not wait for it: the six words.
fn asks(who: &Computer, code: &str) -> String {
    let root = who.folder("docs");
    let reply = who.json(&["join", code, root.to_str().unwrap(), "--timeout", "5"]);
    assert_eq!(reply["waiting"]["state"], "waiting", "{reply}");
    let words = reply["waiting"]["words"].as_str().unwrap().to_owned();
    assert_eq!(words.split(' ').count(), 6, "{words}");
    words
}

fn invite(ana: &Computer, more: &[&str]) -> String {
    let made = ana.json(&[&["invite", "docs"], more].concat());
    assert_eq!(made["approve"], true, "{made}");
    made["code"].as_str().unwrap().into()
}

fn who_asks(ana: &Computer, count: usize) -> Vec<Value> {
    until(&format!("{count} ask"), PATIENCE, || {
        let joins = ana.json(&["joins", "list", "docs"]);
        let joins = joins["joins"].as_array().unwrap().clone();
        if joins.len() == count { Ok(joins) } else { Err(joins) }
    })
}

fn key_of<'j>(joins: &'j [Value], words: &str) -> &'j str {
    let join = joins.iter().find(|join| join["words"] == words).unwrap_or_else(|| panic!("{words}: {joins:?}"));
    join["key"].as_str().unwrap()
}

/// Waits until the folder is this computer's.
fn is_in(who: &Computer) -> PathBuf {
    until(&format!("{} is let in", who.name), PATIENCE, || {
        let folders = who.json(&["folders"]);
        if folders["folders"].as_array().is_some_and(|all| !all.is_empty()) { Ok(()) } else { Err(folders) }
    });
    who.folder("docs")
}

fn stands(who: &Computer, state: &str) {
    until(&format!("{}: {state}", who.name), PATIENCE, || {
        let mine = who.json(&["joins", "mine"]);
        if mine["joins"][0]["state"] == state { Ok(()) } else { Err(mine) }
    });
    assert!(who.json(&["folders"])["folders"].as_array().unwrap().is_empty());
}

#[test]
fn m6_a_stranger_with_the_code_waits_beside_the_one_it_was_for_and_only_words_tell_them_apart() {
    let world = World::new();
    let (ana, the_box) = (world.person("Ana"), world.seeder("box"));
    let (mut mallory, ben) = (world.absent_person("Mallory"), world.person("Ben"));
    fs::create_dir_all(mallory.home()).unwrap();
    fs::write(mallory.home().join("config.toml"), "lan_discovery = false\n").unwrap();
    mallory.name = "Ben".into();
    mallory.up();
    let mine = ana.create("docs");
    fs::write(mine.join("song"), "la").unwrap();
    ana.back_up("docs", &the_box);
    let code = invite(&ana, &["--approve"]);
    // The stranger read the mail, is first, and says Ben too.
    let (theirs, bens) = (asks(&mallory, &code), asks(&ben, &code));
    assert_ne!(theirs, bens);
    assert_eq!(asks(&ben, &code), bens, "asked again with the same code it is the same asking");
    let joins = who_asks(&ana, 2);
    for join in &joins {
        assert_eq!(
            (&join["name"], &join["role"], &join["invited_by"]),
            (&"Ben".into(), &"editor".into(), &"Ana".into())
        );
    }
    assert_eq!(ana.status("docs")["joins_waiting"], 2);
    let said = ana.run(&["status", "docs"]);
    assert!(said.out.contains("waits for you: 2 people ask to be let in"), "{said:?}");
    assert_eq!(ana.refused(&["joins", "approve", "docs", "Ben"]), (2, "member_ambiguous".into()));
    for waits in [&mallory, &ben] {
        assert_eq!(Tree::read(&waits.folder("docs")).unwrap().files(), 0, "nothing before somebody decides");
    }
    let (key, stranger) = (key_of(&joins, &bens), key_of(&joins, &theirs));
    assert_eq!(ana.refused(&["joins", "approve", "docs", key, "--words", &theirs]), (5, "refused".into()));
    assert_eq!(ana.json(&["joins", "approve", "docs", key, "--words", &bens.to_uppercase()])["key"], key);

    let root = is_in(&ben);
    let tree = same(&[&mine, &root]);
    assert!(holds(&tree, "song", b"la"));
    stands(&mallory, "refused");
    assert_eq!(ana.refused(&["joins", "approve", "docs", stranger]), (6, "join_not_found".into()));
    assert!(mallory.run(&["status"]).out.contains("you were not let in"));
    mallory.json(&["joins", "withdraw", "docs"]);
    assert!(mallory.json(&["joins", "mine"])["joins"].as_array().unwrap().is_empty());
    assert_eq!(Tree::read(&mallory.folder("docs")).unwrap().files(), 0);
    // The same words on both sides from then on, and the name that was asked with.
    for who in [&ana, &ben] {
        let members = who.json(&["members", "list", "docs"]);
        let of_ben = &members["members"][1];
        assert_eq!((&of_ben["name"], &of_ben["words"]), (&"Ben".into(), &bens.as_str().into()), "{members}");
        assert_eq!(members["members"][0]["words"], Value::Null, "who founded it came by no invite");
    }
    fs::write(root.join("reply"), "le").unwrap();
    ben.wait("docs");
    same(&[&mine, &root]);
}

#[test]
fn m6_approval_reaches_who_waits_through_a_seeder_over_nights_and_restarts() {
    let world = World::new();
    let (mut ana, the_box, mut ben) = (world.person("Ana"), world.seeder("box"), world.person("Ben"));
    let mine = ana.create("docs");
    fs::write(mine.join("song"), "la").unwrap();
    ana.back_up("docs", &the_box);
    let code = invite(&ana, &["--approve", "--to", &ben.key()]);
    ana.down();
    // Ana is away: the seeder takes the question and lets nobody in.
    let words = asks(&ben, &code);
    ben.restart();
    stands(&ben, "waiting");
    assert_eq!(ben.json(&["joins", "mine"])["joins"][0]["words"], words.as_str(), "the same keys as before");
    assert_eq!(ben.json(&["status"])["joining"][0]["words"], words.as_str());
    ben.down();
    ana.up();
    let joins = who_asks(&ana, 1);
    ana.json(&["joins", "approve", "docs", key_of(&joins, &words)]);
    ana.wait("docs");
    until("the seeder knows", PATIENCE, || {
        let shown = the_box.shown();
        if shown["folder"]["members"] == 2 { Ok(()) } else { Err(shown) }
    });
    ana.down();
    ben.up();
    let root = is_in(&ben);
    same(&[&mine, &root]);
    assert_eq!(ben.json(&["members", "list", "docs"])["members"][0]["name"], "Ana");
}

#[test]
fn m6_who_is_refused_is_told_at_once_or_on_coming_back() {
    let world = World::new();
    let (ana, ben, mut carol) = (world.person("Ana"), world.person("Ben"), world.person("Carol"));
    ana.create("docs");
    let for_ben = invite(&ana, &["--approve"]);
    let root = ben.folder("docs");
    let waits = std::thread::scope(|scope| {
        let join = || ben.run(&["join", &for_ben, root.to_str().unwrap(), "--json"]);
        let joining = scope.spawn(join);
        let joins = who_asks(&ana, 1);
        let refused = ana.json(&["joins", "refuse", "docs", joins[0]["key"].as_str().unwrap()]);
        assert_eq!(refused["refused"].as_array().unwrap().len(), 1);
        joining.join().unwrap()
    });
    assert_eq!(waits.json_error(), (5, "refused".into()));
    stands(&ben, "refused");

    let for_carol = invite(&ana, &["--approve"]);
    let words = asks(&carol, &for_carol);
    let joins = who_asks(&ana, 1);
    carol.down();
    ana.json(&["joins", "refuse", "docs", key_of(&joins, &words)]);
    carol.up();
    stands(&carol, "refused");
    assert!(ana.json(&["invites", "list", "docs"])["invites"].as_array().unwrap().is_empty(), "the codes are closed");
    // Another code, and it is another asking.
    let again = invite(&ana, &["--approve"]);
    assert_ne!(asks(&carol, &again), words);
    who_asks(&ana, 1);
    ana.json(&["joins", "approve", "docs", "Carol"]);
    is_in(&carol);
}

#[test]
fn m6_nobody_becomes_admin_without_compared_words() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |_| {});
    let carol = world.person("Carol");
    let code = invite(&ana, &["--role", "admin"]);
    let words = asks(&carol, &code);
    who_asks(&ana, 1);
    assert_eq!(ben.status("docs")["joins_waiting"], 0, "who may not decide is not asked");
    until("Ben sees her", PATIENCE, || {
        let joins = ben.json(&["joins", "list", "docs"]);
        if joins["joins"].as_array().unwrap().len() == 1 { Ok(()) } else { Err(joins) }
    });
    assert_eq!(ben.refused(&["joins", "approve", "docs", "Carol", "--words", &words]), (5, "role_forbids".into()));
    assert_eq!(ben.refused(&["joins", "refuse", "docs", "Carol"]), (5, "role_forbids".into()));
    let asked = ana.run(&["joins", "approve", "docs", "Carol"]);
    assert!(asked.code == Some(2) && asked.err.contains(&words), "without a terminal nobody is asked: {asked:?}");
    // What stands in the list is not sent as if somebody had compared it.
    for unasked in [&["--json"][..], &["--yes"]] {
        let unseen = ana.run(&[&["joins", "approve", "docs", "Carol"], unasked].concat());
        assert!(unseen.code == Some(2) && unseen.err.contains("--words"), "{unseen:?}");
    }
    ana.json(&["joins", "approve", "docs", "Carol", "--words", &words]);
    is_in(&carol);
    assert_eq!(carol.json(&["members", "list", "docs"])["members"][2]["role"], "admin");
    let made = carol.json(&["invite", "docs"]);
    assert_eq!(made["approve"], false, "{made}");
    // Whoever is made an admin later is shown with their words first.
    let preview = ana.run(&["members", "role", "docs", "Ben", "admin", "--dry-run"]);
    assert!(preview.out.contains("Their six words: "), "{preview:?}");
}

#[test]
fn m6_a_folder_that_approves_all_joins_lets_nobody_in_by_any_code() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |_| {});
    let (carol, dave) = (world.person("Carol"), world.person("Dave"));
    // Made before, with keys in it.
    let plain = ana.json(&["invite", "docs", "--uses", "2"])["code"].as_str().unwrap().to_owned();
    assert_eq!(ana.json(&["policy", "show", "docs"])["approve_joins"], false);
    assert_eq!(ben.refused(&["policy", "set", "docs", "--approve-joins", "yes"]), (5, "role_forbids".into()));
    assert_eq!(ana.json(&["policy", "set", "docs", "--approve-joins", "yes"])["approve_joins"], true);
    until("Ben knows", PATIENCE, || {
        let policy = ben.json(&["policy", "show", "docs"]);
        if policy["approve_joins"] == true { Ok(()) } else { Err(policy) }
    });
    assert_eq!(ben.json(&["members", "list", "docs"])["members"][0]["name"], "Ana", "who set it keeps her name");
    invite(&ana, &[]);
    let words = asks(&carol, &plain);
    let joins = who_asks(&ana, 1);
    ana.json(&["joins", "approve", "docs", key_of(&joins, &words)]);
    is_in(&carol);
    assert_eq!(ana.json(&["policy", "set", "docs", "--approve-joins", "no"])["approve_joins"], false);
    let root = dave.folder("docs");
    dave.json(&["join", &plain, root.to_str().unwrap()]);
    is_in(&dave);
}

#[test]
fn a_nickname_is_for_oneself_and_shown_wherever_names_are() {
    let world = World::new();
    let (mut ana, ben) = ana_and_ben(&world, |_| {});
    fs::write(ben.folder("docs").join("song"), "la").unwrap();
    ben.wait("docs");
    ana.wait("docs");
    ana.json(&["members", "nickname", "docs", "Ben", "Uncle B"]);
    let seen = |who: &Computer| {
        let member = who.json(&["members", "list", "docs"])["members"][1].take();
        let history = who.json(&["history", "docs", "song"]);
        (member["name"].clone(), member["own_name"].clone(), history["entries"][0]["by"].clone())
    };
    let expected: (Value, Value, Value) = ("Uncle B".into(), "Ben".into(), "Uncle B".into());
    assert_eq!(seen(&ana), expected);
    assert_eq!(seen(&ben), ("Ben".into(), Value::Null, "Ben".into()), "nobody is told");
    ana.restart();
    assert_eq!(seen(&ana), expected);
    assert_eq!(ana.json(&["members", "nickname", "docs", "Ben"])["name"], "Ben", "found by either name");
    assert_eq!(seen(&ana), ("Ben".into(), Value::Null, "Ben".into()));
    assert_eq!(ana.refused(&["members", "nickname", "docs", "Nobody", "X"]), (6, "member_not_found".into()));
}
