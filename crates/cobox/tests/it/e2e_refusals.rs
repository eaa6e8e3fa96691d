//! What is refused, clearly and without harm: unsuitable places, a second service.

use std::fs;

use cobox_proto::id::FolderId;
use cobox_proto::limits::MEMBER_SLOTS;
use cobox_store::FolderStore;

use crate::e2e_world::World;

#[test]
fn l14_a_folder_in_a_folder_the_root_and_the_home_are_refused() {
    let world = World::new();
    let ana = world.person("Ana");
    let docs = ana.create("docs");
    fs::create_dir_all(docs.join("inner")).unwrap();
    let (user_home, home) = (world.path().join("Ana"), ana.home());
    let state = home.join("state");
    let inner = docs.join("inner");
    let above = docs.parent().unwrap();
    for place in [inner.as_path(), above, docs.as_path(), "/".as_ref(), &user_home, &home, &state] {
        let typed = place.to_str().unwrap();
        assert_eq!(ana.refused(&["create", typed, "--name", "other"]), (2, "path_unsuitable".into()), "{typed}");
        assert!(place == docs || !place.join(".cobox").exists(), "{typed} is left alone");
    }
    let other = world.path().join("Ana/documents2/docs");
    fs::create_dir_all(&other).unwrap();
    let typed = other.to_str().unwrap();
    assert_eq!(ana.refused(&["create", typed]), (2, "folder_name_in_use".into()));
    assert_eq!(ana.run(&["create", typed, "--name", "other docs"]).code, Some(0));
    assert_eq!(ana.json(&["folders"])["folders"].as_array().unwrap().len(), 2);
}

#[test]
fn l14_a_folder_can_not_be_joined_into_another() {
    let world = World::new();
    let (ana, ben) = (world.person("Ana"), world.person("Ben"));
    let docs = ana.create("docs");
    fs::write(docs.join("note"), "hello").unwrap();
    let own = ben.create("own");
    let inner = own.join("inner");
    let code = ana.invite("docs", &ben);
    assert_eq!(ben.refused(&["join", &code, inner.to_str().unwrap()]), (2, "path_unsuitable".into()));
    assert!(!inner.join(".cobox").exists());
    ben.join("docs", &code);
    let again = ben.json(&["join", &code, ben.folder("docs again").to_str().unwrap()]);
    assert_eq!(again["already"], true, "joining what one has says so");
}

#[test]
fn k9_a_second_service_on_a_home_is_refused_and_the_first_goes_on() {
    let world = World::new();
    let ana = world.person("Ana");
    let docs = ana.create("docs");
    assert_eq!(ana.refused(&["up", "--foreground"]), (1, "already_running".into()));
    fs::write(docs.join("note"), "hello").unwrap();
    let status = ana.wait("docs");
    assert_eq!((status["files"].as_u64(), status["problems"].as_array().unwrap().len()), (Some(1), 0));
}

#[test]
fn a_folder_more_than_the_words_hold_keys_for_is_refused_and_the_service_goes_on() {
    let world = World::new();
    let (mut ana, ben) = (world.person("Ana"), world.person("Ben"));
    let docs = ana.create("docs");
    ben.create("theirs");
    let code = ben.invite("theirs", &ana);
    ana.down();
    // As after two hundred and fifty-five folders, all of which but one were left.
    let records = FolderStore::open(&ana.home().join("state/folders.db")).unwrap();
    records.put_value(&FolderId::ZERO, "slot-left", &(MEMBER_SLOTS as u16 - 1).to_le_bytes()).unwrap();
    drop(records);
    ana.up();
    let more = ana.folder("more");
    fs::create_dir_all(&more).unwrap();
    assert_eq!(ana.refused(&["create", more.to_str().unwrap()]), (5, "folders_used_up".into()));
    assert!(!more.join(".cobox").exists());
    assert_eq!(ana.refused(&["join", &code]), (5, "folders_used_up".into()));
    assert_eq!(ben.json(&["invites", "list", "theirs"])["invites"].as_array().unwrap().len(), 1, "it cost no invite");
    fs::write(docs.join("note"), "hello").unwrap();
    assert_eq!(ana.wait("docs")["files"], 1);
}
