//! Encrypted copies: offers that do not fit, words that are wrong, everything back from a seeder alone.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, becomes, gone, noise, same_and, until};

/// Ana with a folder "docs" of this size.
fn ana_with(world: &World, bytes: usize) -> Computer {
    let ana = world.person("Ana");
    fs::create_dir_all(ana.folder("docs")).unwrap();
    fs::write(ana.folder("docs").join("content"), noise(1, bytes)).unwrap();
    ana.create("docs");
    ana
}

/// 20 MB and an offer of 10: refused where it is added, or said by status and by the exit code; what the box had stays.
#[test]
fn d4_an_offer_that_is_too_small_is_said_and_nothing_is_evicted() {
    let world = World::new();
    let (ana, ben, the_box) = (ana_with(&world, 3 << 20), world.person("Ben"), world.seeder("box"));
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    ana.json(&["backup", "add", "docs", &the_box.offer("10MB")]);
    let fits = ana.wait_for_receipt("docs");
    let (signed_at, before) = (fits["backups"][0]["receipt_at"].clone(), the_box.blocks());

    fs::write(ana.folder("docs").join("too much"), noise(2, 20_000_000)).unwrap();
    let quota = |status: &Value| {
        let quota = |problem: &Value| problem["code"] == "quota" && problem["hint"].is_string();
        status["problems"].as_array().unwrap().iter().any(quota)
    };
    until("status says that the space is used up", PATIENCE, || {
        let status = ana.status("docs");
        if quota(&status) { Ok(()) } else { Err(status) }
    });
    let status = ana.status("docs");
    assert_eq!(
        (&status["backups"][0]["complete"], &status["state"]),
        (&false.into(), &"problem".into()),
        "o8: {status}"
    );
    assert_eq!(status["backups"][0]["receipt_at"], signed_at, "what was signed for stays signed for");
    assert!(the_box.blocks() >= before, "nothing is evicted");
    let used = the_box.shown()["folder"]["used_bytes"].as_u64().unwrap();
    assert!((3_000_000..=10_000_000).contains(&used), "{used}");
    assert_eq!(the_box.run(&["check"]).code, Some(0));
    // Members go on, with the new file too.
    becomes(&theirs, &Tree::read(&ana.folder("docs")).unwrap());

    // As the hint says: a larger offer of the same box.
    ana.json(&["backup", "add", "docs", &the_box.offer("100MB")]);
    let status = ana.wait_for_receipt("docs");
    assert_eq!((status["problems"].as_array().unwrap().len(), the_box.run(&["check"]).code), (0, Some(0)), "{status}");
    assert_eq!(status["backups"].as_array().unwrap().len(), 1, "one box, with more room: {status}");

    // A folder that does not fit from the first is refused where the offer is added, and the offer stays good.
    let large = ana.folder("large");
    fs::create_dir_all(&large).unwrap();
    fs::write(large.join("content"), noise(3, 20_000_000)).unwrap();
    ana.create("large");
    until("it was looked through", PATIENCE, || match ana.status("large")["bytes"].as_u64() {
        Some(20_000_000) => Ok(()),
        other => Err(other),
    });
    let added = ana.run(&["backup", "add", "large", &the_box.offer("10MB"), "--json"]);
    assert_eq!(added.json_error(), (5, "quota_exceeded".into()));
    assert_eq!(ana.status("large")["backups"].as_array().unwrap().len(), 0, "nothing half-made");
    let larger = ana.run(&["backup", "add", "large", &the_box.offer("100MB"), "--json"]);
    assert_eq!(larger.code, Some(0), "{larger:?}");
    ana.wait_for_receipt("large");
}

#[test]
fn an_offer_is_good_once_whole_and_in_time() {
    let world = World::new();
    let (ana, the_box) = (ana_with(&world, 1000), world.seeder("box"));
    let notes = ana.create("notes");
    fs::write(notes.join("note"), "x").unwrap();

    let offer = the_box.offer("1GB");
    let (head, tail) = offer.split_at(offer.len() / 2);
    let wrong = if tail.starts_with('q') { 'p' } else { 'q' };
    let damaged = format!("{head}{wrong}{}", &tail[1..]);
    assert_eq!(ana.refused(&["backup", "add", "docs", &damaged]), (2, "code_unreadable".into()));
    assert_eq!(ana.refused(&["backup", "add", "docs", head]), (2, "code_unreadable".into()));
    assert_eq!(ana.status("docs")["backups"].as_array().unwrap().len(), 0, "nothing half-made");

    // As mail makes it: wrapped, and with spaces.
    let mailed = format!("  {head}\n {tail} \n");
    ana.json(&["backup", "add", "docs", &mailed]);
    assert_eq!(ana.refused(&["backup", "add", "notes", &offer]), (5, "code_spent".into()), "used already");
    assert_eq!(ana.status("notes")["backups"].as_array().unwrap().len(), 0, "nothing half-made");

    let brief = the_box.json(&["offer", "--space", "1GB", "--expires", "1s"])["offer"].as_str().unwrap().to_owned();
    let made = Instant::now();
    until("the offer's second is over", PATIENCE, || made.elapsed().checked_sub(Duration::from_millis(1100)).ok_or(()));
    assert_eq!(ana.refused(&["backup", "add", "notes", &brief]), (5, "code_spent".into()), "too late");
}

#[test]
fn r1_words_bring_everything_back_and_wrong_ones_say_what_is_wrong() {
    let world = World::new();
    let (ana, the_box) = (ana_with(&world, 3 << 20), world.seeder("box"));
    let root = ana.folder("docs");
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(root.join("sub/né 🎶.txt"), "hello").unwrap();
    let notes = ana.create("notes, too");
    fs::write(notes.join("note"), "x").unwrap();
    ana.back_up("docs", &the_box);
    ana.back_up("notes, too", &the_box);
    let (_, words, tickets) = ana.kit();
    let key = ana.key();
    let (docs, notes) = (Tree::read(&root).unwrap(), Tree::read(&notes).unwrap());

    // Somebody whose words the box knows nothing of.
    let stranger = world.person("Mallory");
    let (_, strange_words, _) = stranger.kit();
    gone([ana, stranger]);

    let new = world.person("new");
    let to = new.folder("back");
    let recover = |words: &str| {
        let file = new.words_file(words);
        let to = to.to_str().unwrap();
        new.run(&["recover", "--words-file", file.to_str().unwrap(), "--seeder", &tickets[0], "--to", to, "--json"])
    };
    let list: Vec<&str> = words.split_whitespace().collect();
    let with = |at: usize, word: &str| {
        let mut list = list.clone();
        list[at] = word;
        list.join(" ")
    };
    assert_eq!(recover(&with(4, "cobox")).json_error(), (2, "words_wrong".into()), "not in the list of words");
    assert_eq!(recover(&list[..11].join(" ")).json_error(), (2, "words_wrong".into()), "one is missing");
    let mut swapped_refused = 0;
    for at in 0..11 {
        let mut swapped = list.clone();
        swapped.swap(at, at + 1);
        if swapped == list {
            continue;
        }
        // One order in sixteen has a right checksum by chance; then nothing is known of such words.
        match recover(&swapped.join(" ")).json_error() {
            (2, code) if code == "words_wrong" => swapped_refused += 1,
            (5 | 6, _) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(swapped_refused >= 6, "{swapped_refused}");
    let nobody = recover(&strange_words);
    assert!(nobody.err.contains("no such vault here"), "{nobody:?}");
    assert_ne!(nobody.code, Some(0));
    assert_eq!(new.json(&["folders"])["folders"].as_array().unwrap().len(), 0, "nothing half-made");
    assert_eq!(new.json(&["whoami"])["name"], "new", "still who one was");

    let typed = format!("  {}\n\n", list.join("  \n").to_uppercase());
    let back = recover(&typed).json();
    assert_eq!((back["name"].as_str(), back["cobox_key"].as_str()), (Some("Ana"), Some(key.as_str())));
    let mut names: Vec<&str> =
        back["folders"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["docs", "notes, too"]);
    becomes(&to.join("docs"), &docs);
    becomes(&to.join("notes, too"), &notes);
    assert_eq!(
        recover(&words).json_error(),
        (5, "identity_in_use".into()),
        "once there are folders, nothing replaces them"
    );
}

#[test]
fn who_recovered_goes_on_working_with_the_others() {
    let world = World::new();
    let (ana, ben, the_box) = (ana_with(&world, 100_000), world.person("Ben"), world.seeder("box"));
    ana.back_up("docs", &the_box);
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    becomes(&theirs, &Tree::read(&ana.folder("docs")).unwrap());
    ana.wait_for_receipt("docs");
    let (_, words, tickets) = ana.kit();
    gone([ana]);

    let new = world.person("new");
    let file = new.words_file(&words);
    let to = new.folder("back");
    let args =
        ["recover", "--words-file", file.to_str().unwrap(), "--seeder", &tickets[0], "--to", to.to_str().unwrap()];
    new.json(&args);
    let mine = to.join("docs");
    becomes(&mine, &Tree::read(&theirs).unwrap());
    fs::write(mine.join("from Ana again.txt"), "I am back").unwrap();
    fs::write(theirs.join("from Ben.txt"), "welcome").unwrap();
    let both =
        |tree: &Tree| ["from Ana again.txt", "from Ben.txt"].iter().all(|name| tree.0.contains_key(Path::new(name)));
    same_and(&[&mine, &theirs], "they meet again", both);
}

#[test]
fn a_new_member_joins_while_only_the_seeder_runs() {
    let world = World::new();
    let (mut ana, ben, the_box) = (ana_with(&world, 5 << 20), world.person("Ben"), world.seeder("box"));
    ana.back_up("docs", &the_box);
    let code = ana.invite("docs", &ben);
    ana.wait_for_receipt("docs");
    let whole = Tree::read(&ana.folder("docs")).unwrap();
    ana.down();
    let theirs = ben.join("docs", &code);
    becomes(&theirs, &whole);
    fs::write(theirs.join("while you slept.txt"), "hello").unwrap();
    ben.wait_for_receipt("docs");
    drop(ben);
    ana.up();
    let there = |tree: &Tree| tree.0.contains_key(Path::new("while you slept.txt"));
    same_and(&[&ana.folder("docs"), &theirs], "Ana reads what Ben wrote, from the box alone", there);
}

/// The newest state never was at the seeder whole, and everybody is lost: what was there before comes back, and it is said that
/// something is missing.
#[test]
fn h2_d4_where_the_newest_state_lies_nowhere_whole_the_newest_that_does_comes_back() {
    let world = World::new();
    let (ana, the_box) = (ana_with(&world, 3 << 20), world.seeder("box"));
    ana.json(&["backup", "add", "docs", &the_box.offer("10MB")]);
    ana.wait_for_receipt("docs");
    let whole = Tree::read(&ana.folder("docs")).unwrap();
    let has = |who: &Computer, code: &str| {
        let status = who.status("docs");
        let has = status["problems"].as_array().unwrap().iter().any(|problem| problem["code"] == code);
        if has { Ok(()) } else { Err(status) }
    };
    for n in 0..3 {
        // There at once: what is written of it while somebody looks may find room.
        let aside = ana.folder("aside");
        fs::write(&aside, noise(n, 20_000_000)).unwrap();
        fs::rename(aside, ana.folder("docs").join(format!("too much {n}"))).unwrap();
        ana.run(&["status", "docs", "--wait", "--timeout", "1"]);
    }
    until("the room is used up", PATIENCE, || has(&ana, "quota"));
    let (_, words, tickets) = ana.kit();
    gone([ana]);

    let new = world.person("new");
    recovered(&new, &words, &[&tickets[0]]);
    let mine = new.folder("back").join("docs");
    becomes(&mine, &whole);
    until("it is said that the newest is missing", PATIENCE, || has(&new, "older_shown"));
    let history = new.json(&["history", "docs"]);
    assert!(!history["entries"].as_array().unwrap().is_empty(), "{history}");

    // Work goes on from there, and is kept.
    fs::write(mine.join("and on.txt"), "again").unwrap();
    new.wait_for_receipt("docs");
}

/// What a new computer gets back with these words and tickets.
fn recovered(new: &Computer, words: &str, tickets: &[&str]) -> Value {
    let (file, to) = (new.words_file(words), new.folder("back"));
    let mut args = vec!["recover", "--words-file", file.to_str().unwrap(), "--to", to.to_str().unwrap()];
    tickets.iter().for_each(|ticket| args.extend(["--seeder", *ticket]));
    new.json(&args)
}

/// Waits until a seeder keeps this many vaults.
fn keeps_vaults(seeder: &Computer, count: usize) {
    until("the vaults are placed", PATIENCE, || {
        let folders = seeder.json(&["folders"])["folders"].take();
        let vaults = folders.as_array().unwrap().iter().filter(|folder| folder["kind"] == "vault").count();
        if vaults == count { Ok(()) } else { Err(folders) }
    });
}

#[test]
fn who_joined_comes_back_with_their_own_words_though_they_never_placed_a_backup() {
    let world = World::new();
    let (ana, ben, the_box) = (ana_with(&world, 50_000), world.person("Ben"), world.seeder("box"));
    ana.back_up("docs", &the_box);
    let theirs = ben.join("docs", &ana.invite("docs", &ben));
    becomes(&theirs, &Tree::read(&ana.folder("docs")).unwrap());
    keeps_vaults(&the_box, 2);
    fs::write(theirs.join("from Ben.txt"), "mine").unwrap();
    ben.wait_for_receipt("docs");
    let whole = Tree::read(&theirs).unwrap();
    let (_, words, tickets) = ben.kit();
    gone([ana, ben]);

    let new = world.person("new");
    let back = recovered(&new, &words, &[&tickets[0]]);
    assert_eq!((back["name"].as_str(), back["folders"][0]["name"].as_str()), (Some("Ben"), Some("docs")), "{back}");
    assert_eq!(back["warnings"].as_array().unwrap().len(), 0, "{back}");
    becomes(&new.folder("back").join("docs"), &whole);
}

#[test]
fn with_two_seeders_the_newest_state_is_taken_and_the_older_one_named() {
    let world = World::new();
    let ana = ana_with(&world, 50_000);
    let (fresh, mut stale) = (world.seeder("fresh"), world.seeder("stale"));
    ana.back_up("docs", &stale);
    ana.back_up("docs", &fresh);
    keeps_vaults(&stale, 1);
    ana.wait("docs");
    stale.down();
    let root = ana.folder("docs");
    fs::write(root.join("newer.txt"), "only one seeder has this").unwrap();
    until("the other seeder signs", PATIENCE, || {
        let backups = ana.wait("docs")["backups"].take();
        let complete = backups.as_array().unwrap().iter().filter(|backup| backup["complete"] == true).count();
        if complete == 1 { Ok(()) } else { Err(backups) }
    });
    let whole = Tree::read(&root).unwrap();
    let (_, words, tickets) = ana.kit();
    assert_eq!(tickets.len(), 2);
    gone([ana]);
    stale.up();

    let new = world.person("new");
    let back = recovered(&new, &words, &[&tickets[0], &tickets[1]]);
    let mut found: Vec<(bool, u64)> = back["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|state| (state["taken"].as_bool().unwrap(), state["vouched_by"].as_u64().unwrap()))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [(false, 1), (true, 0)], "the older is vouched for by the newer, the newer by nobody: {back}");
    becomes(&new.folder("back").join("docs"), &whole);
    let backups = new.wait("docs")["backups"].take();
    assert_eq!(backups.as_array().unwrap().len(), 2, "both seeders are known again: {backups}");
}

#[test]
fn a_seeder_that_moved_is_found_again_by_its_new_ticket_by_members_and_by_who_recovers() {
    let world = World::new();
    let (ana, mut the_box) = (ana_with(&world, 50_000), world.seeder("box"));
    ana.back_up("docs", &the_box);
    let (_, words, printed) = ana.kit();
    let root = ana.folder("docs");

    // Restarted where it was: nothing is to be done.
    the_box.restart();
    fs::write(root.join("one.txt"), "1").unwrap();
    ana.wait_for_receipt("docs");

    the_box.down();
    the_box.moves();
    the_box.up();
    let ticket = the_box.json(&["status"])["ticket"].as_str().unwrap().to_owned();
    assert_eq!(ana.refused(&["backup", "add", "docs", &printed[0][..40]]), (2, "code_unreadable".into()));
    fs::write(root.join("two.txt"), "2").unwrap();
    assert_eq!(ana.json(&["backup", "add", "docs", &ticket])["quota_bytes"], 1_000_000_000, "what was agreed stays");
    ana.wait_for_receipt("docs");
    assert_ne!(ana.kit().2, printed, "what is printed from now on names the new place");
    let stranger = world.seeder("stranger");
    let foreign = stranger.json(&["status"])["ticket"].as_str().unwrap().to_owned();
    assert_eq!(ana.refused(&["backup", "add", "docs", &foreign]), (6, "seeder_not_found".into()));
    let whole = Tree::read(&root).unwrap();
    gone([ana]);

    // The printed kit has the old place: it says what to do, and with the new ticket the words are good.
    let new = world.person("new");
    let file = new.words_file(&words);
    let old = new.run(&["recover", "--words-file", file.to_str().unwrap(), "--seeder", &printed[0], "--json"]);
    assert_eq!(old.json_error(), (1, "unreachable".into()));
    assert!(old.err.contains("ask its owner for its new ticket"), "{old:?}");
    recovered(&new, &words, &[&ticket]);
    becomes(&new.folder("back").join("docs"), &whole);
    the_box.restart();
    fs::write(new.folder("back").join("docs/three.txt"), "3").unwrap();
    new.wait_for_receipt("docs");
}

/// A seeder signs for states, and a folder in which nothing ever was has none: it is no less safe for that.
#[test]
fn s4_an_empty_folder_with_a_backup_is_in_step_until_something_is_in_it() {
    let world = World::new();
    let box_1 = world.seeder("box 1");
    let ana = world.person("Ana");
    let root = ana.create("docs");
    ana.json(&["backup", "add", "docs", &box_1.offer("1GB")]);
    until("the seeder is there", PATIENCE, || {
        let status = ana.wait("docs");
        let backup = &status["backups"][0];
        let is_well = status["state"] == "in_step" && backup["online"] == true && backup["complete"] == true;
        if is_well && backup["receipt_at"].is_null() { Ok(()) } else { Err(status) }
    });
    fs::write(root.join("page"), "the first words").unwrap();
    let status = ana.wait("docs");
    assert!(status["backups"][0]["receipt_at"].is_string(), "it signed for the first state: {status}");
    // Emptied it has a state that can be signed for.
    fs::remove_file(root.join("page")).unwrap();
    let status = ana.wait("docs");
    assert_eq!((&status["state"], &status["files"]), (&"in_step".into(), &0.into()), "{status}");
}

/// The tree is there at once and the contents follow. Whoever pulls the plug meanwhile loses nothing that had come.
#[test]
fn k1_a_recovery_shows_the_tree_first_and_goes_on_after_every_interruption() {
    const FILES: u64 = 30;
    let world = World::new();
    let (ana, the_box) = (world.person("Ana"), world.seeder("box"));
    fs::create_dir_all(ana.folder("docs")).unwrap();
    for n in 0..FILES {
        fs::write(ana.folder("docs").join(format!("film {n}")), noise(n, 2 << 20)).unwrap();
    }
    ana.create("docs");
    ana.back_up("docs", &the_box);
    let whole = Tree::read(&ana.folder("docs")).unwrap();
    let (_, words, tickets) = ana.kit();
    gone([ana]);

    let mut new = world.person("new");
    recovered(&new, &words, &[&tickets[0]]);
    assert_eq!(new.status("docs")["files"], FILES, "what there is, is known before it has come");
    let back = new.folder("back").join("docs");
    let arrived = || fs::read_dir(&back).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count();
    for times in 0..3 {
        until("some more has come", PATIENCE, || if arrived() > times * 4 { Ok(()) } else { Err(new.status("docs")) });
        new.crash();
        new.up();
    }
    becomes(&back, &whole);
    let received = new.wait("docs")["received_blocks"].as_u64().unwrap();
    assert!(received < the_box.blocks(), "the last of four runs fetched all {received} blocks anew");
}
