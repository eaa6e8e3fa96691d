//! Codes for whoever has them: good as often as they say, until they expire or are cancelled, and never a moment longer.

use std::fs;

use serde_json::Value;

use crate::e2e_conflicts::Events;
use crate::e2e_evil::logged;
use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, same_and, until};

fn invite(ana: &Computer, more: &[&str]) -> Value {
    let made = ana.json(&[&["invite", "docs"], more].concat());
    assert_eq!(made["anybody"], true, "{made}");
    made
}

fn code(made: &Value) -> &str {
    made["code"].as_str().unwrap()
}

fn spent(who: &Computer, code: &str) {
    let root = who.folder("docs");
    assert_eq!(who.refused(&["join", code, root.to_str().unwrap()]), (5, "code_spent".into()));
    assert!(who.json(&["folders"])["folders"].as_array().unwrap().is_empty(), "nothing half-made");
}

fn open_invites(ana: &Computer) -> Vec<Value> {
    ana.json(&["invites", "list", "docs"])["invites"].as_array().unwrap().clone()
}

#[test]
fn m5_a_code_for_anybody_is_good_once_and_not_after_it_was_cancelled_or_expired() {
    let world = World::new();
    let (ana, ben, carol) = (world.person("Ana"), world.person("Ben"), world.person("Carol"));
    let mine = ana.create("docs");
    fs::write(mine.join("song"), "la").unwrap();

    let once = invite(&ana, &[]);
    assert_eq!(open_invites(&ana)[0]["id"], once["id"]);
    let joined = ben.run(&["join", code(&once), ben.folder("docs").to_str().unwrap()]);
    assert!(joined.code == Some(0) && joined.err.contains("whoever has this code may join"), "{joined:?}");
    until("its use is known", PATIENCE, || {
        let open = open_invites(&ana);
        if open.is_empty() { Ok(()) } else { Err(open) }
    });
    assert!(!logged(&ana).contains("a peer is closed"), "nothing is wrong with a code that was used: {}", logged(&ana));
    spent(&carol, code(&once));

    let cancelled = invite(&ana, &["--uses", "5"]);
    let id = cancelled["id"].as_str().unwrap();
    assert_eq!(ben.refused(&["invites", "cancel", "docs", id]), (5, "role_forbids".into()));
    assert_eq!(ana.json(&["invites", "cancel", "docs", id])["id"], cancelled["id"]);
    assert_eq!(ana.refused(&["invites", "cancel", "docs", id]), (6, "invite_not_found".into()));
    spent(&carol, code(&cancelled));

    let short = invite(&ana, &["--expires", "1s"]);
    until("it expires", PATIENCE, || {
        let open = open_invites(&ana);
        if open[0]["expired"] == true { Ok(()) } else { Err(open) }
    });
    spent(&carol, code(&short));

    // Who was not let in before comes in by a good one, and all three go on.
    let good = invite(&ana, &["--role", "reader"]);
    carol.join("docs", code(&good));
    let roles: Vec<Value> = ana.json(&["members", "list", "docs"])["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].clone())
        .collect();
    assert_eq!(roles, ["owner", "editor", "reader"]);
}

#[test]
fn m5_of_two_who_use_a_code_at_the_same_instant_one_is_let_in_and_the_other_told() {
    let world = World::new();
    let (ana, ben, carol) = (world.person("Ana"), world.person("Ben"), world.person("Carol"));
    ana.create("docs");
    let once = invite(&ana, &[]);
    let try_it = |who: &Computer| {
        let root = who.folder("docs");
        who.run(&["join", code(&once), root.to_str().unwrap(), "--json"]).code.unwrap()
    };
    let mut codes = std::thread::scope(|scope| {
        let both = [&ben, &carol].map(|who| scope.spawn(move || try_it(who)));
        both.map(|one| one.join().unwrap())
    });
    codes.sort_unstable();
    assert_eq!(codes, [0, 5]);
    let members = ana.json(&["members", "list", "docs"]);
    assert_eq!(members["members"].as_array().unwrap().len(), 2, "{members}");
}

/// Somebody read the code on its way and was first. A code that needs nobody's consent lets them in; everybody sees it, and it can be undone.
#[test]
fn m6_m9_who_came_by_a_plain_code_is_shown_to_all_at_once_and_neither_stays_nor_comes_back() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("song"), "la").unwrap());
    let (mallory, eve) = (world.person("Mallory"), world.person("Eve"));
    let (hears_ana, hears_ben) = (Events::of(&ana, "docs"), Events::of(&ben, "docs"));
    let made = invite(&ana, &["--uses", "5"]);
    let theirs = mallory.join("docs", code(&made));
    let key = &mallory.json(&["members", "list", "docs"])["members"][2]["key"];
    for heard in [&hears_ana, &hears_ben] {
        until("it is told who came", PATIENCE, || {
            let came = |event: &Value| event["kind"] == "member_joined" && event["who"] == *key;
            if heard.heard().iter().any(came) { Ok(()) } else { Err(heard.heard()) }
        });
    }
    let words = [&ana, &ben, &mallory].map(|who| who.json(&["members", "list", "docs"])["members"][2]["words"].clone());
    assert_eq!(words[0].as_str().unwrap().split(' ').count(), 6, "{words:?}");
    assert!(words[0] == words[1] && words[1] == words[2], "{words:?}");

    let done = ana.json(&["members", "remove", "docs", "Mallory"]);
    assert_eq!((&done["new_keys"], open_invites(&ana)), (&true.into(), vec![]), "{done}");
    spent(&eve, code(&made));
    fs::write(ana.folder("docs").join("after"), "not for Mallory").unwrap();
    same_and(&[&ana.folder("docs"), &ben.folder("docs")], "life goes on", |tree| tree.files() == 2);
    until("Mallory is told", PATIENCE, || {
        let status = mallory.status("docs");
        let told = status["problems"].as_array().unwrap().iter().any(|problem| problem["code"] == "removed");
        if told { Ok(()) } else { Err(status) }
    });
    assert!(theirs.join("song").exists() && !theirs.join("after").exists());
}
