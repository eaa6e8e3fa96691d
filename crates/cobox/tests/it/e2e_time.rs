//! Time: what happened is told, what was is had again, and what looks like a disaster waits for a person (H2, S5).

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, PATIENCE, World, ana_and_ben, becomes, noise, same, same_and, until};

/// So long after the last file that went, the brake takes a wave for over.
const BRAKE_WAITS: Duration = Duration::from_millis(700);

/// A moment after everything so far and before everything that follows, as people type it.
fn moment() -> String {
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = second();
    until("the next second begins", Duration::from_secs(5), || if second() > now { Ok(()) } else { Err(()) });
    jiff::Timestamp::from_second(now as i64).unwrap().to_string()
}

fn held(computer: &Computer) -> Value {
    computer.json(&["held", "list", "docs"])["held"].clone()
}

/// Waits until a computer holds so many deletions that go this way.
fn waits_for_a_word(computer: &Computer, direction: &str, deleted: u64) -> Value {
    until(&format!("{} holds it", computer.name), PATIENCE * 2, || {
        let held = held(computer);
        let is_it = |change: &&Value| change["direction"] == direction && change["deleted_files"] == deleted;
        let found = held.as_array().unwrap().iter().find(is_it).cloned();
        found.ok_or_else(|| (held, computer.status("docs")))
    })
}

/// Saves a file in one step, as editors do: nobody ever sees half of it.
fn save(world: &World, path: &Path, bytes: impl AsRef<[u8]>) {
    let draft = world.path().join("draft");
    fs::write(&draft, bytes).unwrap();
    fs::rename(draft, path).unwrap();
}

/// `change path` of every entry, newest first, but for new directories: they may be seen before what is put into them.
fn lines(history: &Value) -> Vec<String> {
    let entries = history["entries"].as_array().unwrap().iter();
    let is_told = |entry: &&Value| entry["kind"] != "directory" || entry["change"] != "created";
    entries
        .filter(is_told)
        .map(|entry| format!("{} {}", entry["change"].as_str().unwrap(), entry["path"].as_str().unwrap()))
        .collect()
}

#[test]
fn history_says_who_changed_what_and_old_versions_come_back() {
    let world = World::new();
    let box_1 = world.seeder("box 1");
    let (ana, ben) = ana_and_ben(&world, |root| fs::write(root.join("letter.txt"), "Dear all").unwrap());
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ana.back_up("docs", &box_1);
    let at_first = moment();
    fs::create_dir(theirs.join("plans")).unwrap();
    save(&world, &theirs.join("plans/june.txt"), noise(1, 40_000));
    ben.wait("docs");
    save(&world, &mine.join("letter.txt"), "Dear all, dear Ben");
    ana.wait("docs");
    let in_between = moment();
    fs::rename(theirs.join("plans"), theirs.join("summer")).unwrap();
    ben.wait("docs");
    save(&world, &theirs.join("summer/june.txt"), noise(2, 40_000));
    ben.wait("docs");
    fs::remove_file(mine.join("letter.txt")).unwrap();
    ana.wait("docs");
    ben.wait("docs");

    for person in [&ana, &ben] {
        let history = person.json(&["history", "docs"]);
        assert_eq!(
            lines(&history),
            [
                "deleted letter.txt",
                "edited summer/june.txt",
                "renamed summer",
                "edited letter.txt",
                "created plans/june.txt",
                "created letter.txt",
            ],
            "{history}"
        );
        let by = |n: usize| history["entries"][n]["by"].as_str().unwrap();
        assert_eq!((by(0), by(1), by(2), by(3), by(4)), ("Ana", "Ben", "Ben", "Ana", "Ben"), "{history}");
        assert_eq!(history["entries"][2]["from_path"], "plans");
        assert_eq!(history["entries"][1]["size_bytes"], 40_000);
        // In pages, and of one file, followed to its first name.
        let (mut paged, mut from) = (Vec::new(), None);
        loop {
            let mut args = vec!["history", "docs", "--limit", "2"];
            args.extend(from.iter().flat_map(|from: &String| ["--from", from.as_str()]));
            let page = person.json(&args);
            paged.extend(lines(&page));
            from = page["next"].as_str().map(str::to_owned);
            if from.is_none() {
                break;
            }
        }
        assert_eq!(paged, lines(&history));
        let of_one = lines(&person.json(&["history", "docs", "summer/june.txt"]));
        assert_eq!(of_one, ["edited summer/june.txt", "renamed summer", "created plans/june.txt"]);
    }

    // Elsewhere, as it was; the folder stays as it is.
    let before = Tree::read(&mine).unwrap();
    let to = ana.folder("old");
    let to_text = to.to_str().unwrap();
    let restored = ana.json(&["restore", "docs", "--at", &in_between, "--to", to_text]);
    assert_eq!((restored["written_files"].as_u64(), restored["exact"].as_bool()), (Some(2), Some(true)), "{restored}");
    assert_eq!(fs::read_to_string(to.join("letter.txt")).unwrap(), "Dear all, dear Ben");
    assert_eq!(fs::read(to.join("plans/june.txt")).unwrap(), noise(1, 40_000));
    assert_eq!(Tree::read(&mine).unwrap(), before);
    // Again: nothing there is overwritten.
    ana.json(&["restore", "docs", "letter.txt", "--at", &at_first, "--to", to_text]);
    assert_eq!(fs::read_to_string(to.join("letter.txt")).unwrap(), "Dear all, dear Ben");
    assert_eq!(fs::read_to_string(to.join("letter~2.txt")).unwrap(), "Dear all");
    assert_eq!(ana.refused(&["restore", "docs", "nowhere.txt", "--at", &at_first]), (6, "not_in_history".into()));
    assert_eq!(ana.refused(&["restore", "docs", "--at", "2001-01-01T00:00:00Z"]), (6, "not_in_history".into()));

    // In place, by somebody else than who wrote it; it travels as a new edit.
    let preview = ben.json(&["restore", "docs", "letter.txt", "--at", &at_first, "--dry-run"]);
    assert_eq!((preview["dry_run"].as_bool(), preview["written_files"].as_u64()), (Some(true), Some(1)));
    assert!(!theirs.join("letter.txt").exists());
    ben.json(&["restore", "docs", "letter.txt", "--at", &at_first]);
    let back = |tree: &Tree| tree.0.contains_key(Path::new("letter.txt"));
    same_and(&[&mine, &theirs], "the letter is back", back);
    assert_eq!(fs::read_to_string(mine.join("letter.txt")).unwrap(), "Dear all");
    assert_eq!(lines(&ana.json(&["history", "docs", "--limit", "1"])), ["created letter.txt"]);

    // All of it, with what was not there then taken away.
    ben.wait("docs");
    let undone = ana.json(&["undo", "docs", "--to", &in_between]);
    assert_eq!((undone["written_files"].as_u64(), undone["removed_files"].as_u64()), (Some(2), Some(1)), "{undone}");
    same_and(&[&mine, &theirs], "undone", |tree| tree.0.contains_key(Path::new("plans/june.txt")));
    assert_eq!(fs::read_to_string(theirs.join("letter.txt")).unwrap(), "Dear all, dear Ben");
    assert_eq!(fs::read(theirs.join("plans/june.txt")).unwrap(), noise(1, 40_000));
    assert!(!theirs.join("summer/june.txt").exists());
}

#[test]
fn what_was_deleted_is_listed_and_brought_back() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| {
        fs::create_dir(root.join("songs")).unwrap();
        for n in 0..5 {
            fs::write(root.join(format!("songs/{n}.txt")), noise(n, 2000)).unwrap();
        }
        fs::write(root.join("keep.txt"), "keep").unwrap();
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let whole = Tree::read(&mine).unwrap();
    fs::remove_file(theirs.join("songs/3.txt")).unwrap();
    ben.wait("docs");
    fs::remove_dir_all(mine.join("songs")).unwrap();
    ana.wait("docs");
    ben.wait("docs");
    same_and(&[&mine, &theirs], "gone", |tree| tree.files() == 1);
    let trash = ana.json(&["trash", "list", "docs"]);
    let mut listed = lines(&trash);
    assert_eq!(listed.pop().unwrap(), "deleted songs/3.txt", "the oldest");
    listed.sort();
    assert_eq!(listed, (0..5).filter(|n| *n != 3).map(|n| format!("deleted songs/{n}.txt")).collect::<Vec<_>>());
    assert_eq!(trash["entries"][4]["by"], "Ben");
    ana.json(&["trash", "restore", "docs", "songs/3.txt"]);
    same_and(&[&mine, &theirs], "one is back", |tree| tree.files() == 2);
    let mut left = lines(&ana.json(&["trash", "list", "docs"]));
    left.sort();
    assert_eq!(left, listed);
    ben.wait("docs");
    ben.json(&["trash", "restore", "docs", "songs"]);
    same_and(&[&mine, &theirs], "all are back", |tree| tree.files() == 6);
    let now = same(&[&mine, &theirs]);
    assert_eq!(whole.difference(&now), None);
    assert!(lines(&ana.json(&["trash", "list", "docs"])).is_empty());
    assert_eq!(ana.refused(&["trash", "restore", "docs", "keep.txt"]), (6, "not_in_history".into()));
}

#[test]
fn s5_a_new_device_reads_history_from_the_blind_seeder_alone() {
    let world = World::new();
    let box_1 = world.seeder("box 1");
    let ana = world.person("Ana");
    let root = ana.folder("docs");
    fs::create_dir_all(&root).unwrap();
    // A seeder signs for states, and a folder that was always empty has none.
    fs::write(root.join("cover.txt"), "Ana's diary").unwrap();
    ana.create("docs");
    ana.back_up("docs", &box_1);
    let mut moments = Vec::new();
    for n in 0..3 {
        save(&world, &root.join("diary.txt"), noise(n, 30_000));
        save(&world, &root.join(format!("page {n}.txt")), format!("page {n}"));
        ana.wait_for_receipt("docs");
        moments.push(moment());
    }
    fs::remove_file(root.join("page 0.txt")).unwrap();
    ana.wait_for_receipt("docs");
    let ben = world.person("Ben");
    let code = ana.invite("docs", &ben);
    // Whoever wrote it is not there any more.
    ana.wait("docs");
    let mut ana = ana;
    ana.down();
    let theirs = ben.join("docs", &code);
    ben.wait("docs");
    let history = lines(&ben.json(&["history", "docs", "diary.txt"]));
    assert_eq!(history, ["edited diary.txt", "edited diary.txt", "created diary.txt"]);
    for (n, at) in moments.iter().enumerate() {
        let to = ben.folder(&format!("at {n}"));
        let restored = ben.json(&["restore", "docs", "diary.txt", "--at", at, "--to", to.to_str().unwrap()]);
        assert_eq!(restored["problems"], Value::Array(vec![]), "{restored}");
        assert_eq!(fs::read(to.join("diary.txt")).unwrap(), noise(n as u64, 30_000));
    }
    ben.json(&["trash", "restore", "docs", "page 0.txt"]);
    assert_eq!(fs::read_to_string(theirs.join("page 0.txt")).unwrap(), "page 0");
}

/// So many small files in some directories.
fn many(root: &Path, files: usize) {
    for dir in 0..10 {
        fs::create_dir(root.join(format!("dir {dir}"))).unwrap();
    }
    for n in 0..files {
        // Some stand in the records, some are blocks of their own.
        let words =
            format!("file {n}: the quick brown fox jumps over the lazy dog. ").repeat(if n % 10 == 0 { 20 } else { 1 });
        fs::write(root.join(format!("dir {}/page {n}.txt", n % 10)), words).unwrap();
    }
}

/// Takes files away one after the other, as `rm -rf` does, and then the directories they were in.
fn take_away(root: &Path, files: impl Iterator<Item = usize>) {
    files.for_each(|n| fs::remove_file(root.join(format!("dir {}/page {n}.txt", n % 10))).unwrap());
    for dir in 0..10 {
        // As far as nothing is left in them.
        let _is_not_empty = fs::remove_dir(root.join(format!("dir {dir}")));
    }
}

fn wait_long(computer: &Computer) {
    let args = ["status", "docs", "--wait", "--timeout", "240", "--json"];
    computer.run_within(&args, Duration::from_secs(260)).json();
}

#[test]
fn h2_whoever_removes_most_or_all_of_5000_files_one_by_one_takes_none_from_anybody() {
    const FILES: usize = 5000;
    let world = World::new();
    let box_1 = world.seeder("box 1");
    let (ana, ben) = ana_and_ben(&world, |root| many(root, FILES));
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let whole = Tree::read(&mine).unwrap();
    wait_long(&ana);
    ana.back_up("docs", &box_1);
    let before = moment();

    // 90 %, turned back.
    take_away(&mine, (0..FILES).filter(|n| n % 10 != 9));
    let change = waits_for_a_word(&ana, "outgoing", 4500);
    assert!(!change["examples"].as_array().unwrap().is_empty());
    assert_eq!(Tree::read(&theirs).unwrap().difference(&whole), None, "nobody else lost a file");
    ana.json(&["held", "reject", "docs"]);
    becomes(&mine, &whole);
    assert_eq!(Tree::read(&theirs).unwrap().difference(&whole), None);
    wait_long(&ana);

    // 100 %, approved by whoever did it: others decide for themselves.
    take_away(&mine, 0..FILES);
    waits_for_a_word(&ana, "outgoing", 5000);
    assert_eq!(Tree::read(&theirs).unwrap().difference(&whole), None, "nobody else lost a file");
    ana.json(&["held", "approve", "docs"]);
    let incoming = waits_for_a_word(&ben, "incoming", 5000);
    assert_eq!(incoming["by"], "Ana", "{incoming}");
    assert_eq!(Tree::read(&theirs).unwrap().difference(&whole), None, "nobody else lost a file");
    assert_eq!(ben.status("docs")["state"], "held");
    // Approved there too, all is gone; one command brings it back for everybody, byte for byte.
    ben.json(&["held", "approve", "docs"]);
    until("all is gone", PATIENCE * 3, || {
        let files = Tree::read(&theirs).map_err(|e| e.to_string())?.files();
        if files == 0 { Ok(()) } else { Err(format!("{files} files")) }
    });
    let undone = ana.run_within(&["undo", "docs", "--to", &before, "--json"], Duration::from_secs(300)).json();
    assert_eq!((undone["written_files"].as_u64(), &undone["problems"]), (Some(5000), &Value::Array(vec![])));
    becomes(&mine, &whole);
    becomes(&theirs, &whole);
}

#[test]
fn h2_what_others_took_away_comes_back_by_one_persons_word() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| many(root, 200));
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let whole = Tree::read(&mine).unwrap();
    (0..8).for_each(|dir| fs::remove_dir_all(mine.join(format!("dir {dir}"))).unwrap());
    waits_for_a_word(&ana, "outgoing", 160);
    ana.json(&["held", "approve", "docs"]);
    waits_for_a_word(&ben, "incoming", 160);
    // What is new still arrives meanwhile, both ways.
    fs::write(mine.join("news.txt"), "news").unwrap();
    fs::write(theirs.join("more.txt"), "more").unwrap();
    until("news arrive", PATIENCE, || {
        let arrived = theirs.join("news.txt").exists() && mine.join("more.txt").exists();
        if arrived { Ok(()) } else { Err((ana.status("docs"), ben.status("docs"))) }
    });
    ben.json(&["held", "reject", "docs"]);
    let tree = same_and(&[&mine, &theirs], "everything is back", |tree| tree.files() == 202);
    assert!(whole.0.iter().all(|(path, entry)| tree.0.get(path) == Some(entry)));
    assert_eq!((held(&ana), held(&ben)), (Value::Array(vec![]), Value::Array(vec![])));
}

#[test]
fn h2_3000_files_turned_into_noise_are_held_and_undone() {
    const FILES: usize = 3000;
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| many(root, FILES));
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let whole = Tree::read(&mine).unwrap();
    wait_long(&ana);
    let before = moment();
    // Half is encrypted in place, half under other names, as malware does.
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    for n in 0..FILES {
        longest = longest.max(last.elapsed());
        last = Instant::now();
        let path = mine.join(format!("dir {}/page {n}.txt", n % 10));
        let sealed = noise(n as u64 + 1, 300 + n % 900);
        if n % 2 == 0 {
            fs::write(&path, sealed).unwrap();
        } else {
            fs::write(mine.join(format!("dir {}/page {n}.txt.locked", n % 10)), sealed).unwrap();
            fs::remove_file(&path).unwrap();
        }
    }
    until("all of it is held", PATIENCE * 2, || {
        let change = held(&ana)[0].clone();
        let all = change["deleted_files"].as_u64() == Some(1500) && change["changed_files"].as_u64() == Some(3000);
        if all { Ok(()) } else { Err(change) }
    });
    // Where the wrecker alone stood still for as long as the brake waits for more, what it had done by then may be gone. (Where the service did
    // so too, nothing is.)
    let left = Tree::read(&theirs).unwrap().difference(&whole);
    assert!(left.is_none() || longest > BRAKE_WAITS / 2, "nothing of it left, with pauses of {longest:?}: {left:?}");
    // Let through by mistake, it waits at the others; undone, everything is as it was.
    ana.json(&["held", "approve", "docs"]);
    waits_for_a_word(&ben, "incoming", 1500);
    let undone = ana.run_within(&["undo", "docs", "--to", &before, "--json"], Duration::from_secs(300)).json();
    assert_eq!(undone["problems"], Value::Array(vec![]), "{undone}");
    becomes(&mine, &whole);
    becomes(&theirs, &whole);
    assert_eq!((held(&ana), held(&ben)), (Value::Array(vec![]), Value::Array(vec![])));
}

#[test]
fn h2_a_wave_in_which_the_service_stood_still_is_held_as_one() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| many(root, 200));
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    let whole = Tree::read(&theirs).unwrap();
    let began = Instant::now();
    take_away(&mine, 0..15);
    // Long enough to be seen, and to wait for what more goes.
    std::thread::sleep(BRAKE_WAITS / 4);
    ana.sleep();
    let stood_still_in_time = began.elapsed() < BRAKE_WAITS;
    std::thread::sleep(BRAKE_WAITS * 3);
    ana.wake();
    take_away(&mine, 15..150);
    if stood_still_in_time {
        waits_for_a_word(&ana, "outgoing", 150);
        assert_eq!(Tree::read(&theirs).unwrap().difference(&whole), None, "nothing of it left");
    }
}

#[test]
fn h2_a_clean_up_of_twenty_files_is_nobodys_business() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| many(root, 40));
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    (0..5).for_each(|dir| fs::remove_dir_all(mine.join(format!("dir {dir}"))).unwrap());
    same_and(&[&mine, &theirs], "twenty are gone everywhere", |tree| tree.files() == 20);
    assert_eq!((held(&ana), held(&ben)), (Value::Array(vec![]), Value::Array(vec![])));
}

#[test]
fn c1_a_conflict_is_compared_and_settled_for_everybody() {
    let world = World::new();
    let (ana, ben) = ana_and_ben(&world, |root| {
        fs::write(root.join("plan.txt"), "one\ntwo\nthree\n").unwrap();
        fs::write(root.join("list.txt"), "bread\n").unwrap();
    });
    let (mine, theirs) = (ana.folder("docs"), ben.folder("docs"));
    ben.json(&["pause", "docs"]);
    for (root, word) in [(&mine, "Ana"), (&theirs, "Ben")] {
        fs::write(root.join("plan.txt"), format!("one\n{word}\nthree\n")).unwrap();
        fs::write(root.join("list.txt"), format!("bread\n{word}\n")).unwrap();
    }
    ana.wait("docs");
    ben.json(&["resume", "docs"]);
    let both = same_and(&[&mine, &theirs], "both versions stand", |tree| tree.files() == 4);
    assert_eq!(both.files(), 4);
    let conflicts = ana.json(&["conflicts", "list", "docs"])["conflicts"].clone();
    let versions_of = |path: &str| {
        let all = conflicts.as_array().unwrap().iter();
        all.filter(|conflict| conflict["path"] == path).map(|c| c["versions"].clone()).next().unwrap()
    };
    let compared = ben.json(&["conflicts", "compare", "docs", "plan.txt"]);
    let text = compared["differences"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("-Ana\n") && text.contains("+Ben\n") || text.contains("-Ben\n") && text.contains("+Ana\n"),
        "{text}"
    );
    // The one that lost the name is the one to keep.
    let versions = versions_of("plan.txt");
    let keep = versions[1]["id"].as_str().unwrap();
    let lost = fs::read_to_string(mine.join(versions[1]["path"].as_str().unwrap())).unwrap();
    ana.json(&["conflicts", "settle", "docs", "plan.txt", "--keep", keep]);
    same_and(&[&mine, &theirs], "one is left", |tree| tree.files() == 3);
    assert_eq!(fs::read_to_string(theirs.join("plan.txt")).unwrap(), lost);
    // The one that left is in the history, and comes back although both were written at the same time.
    let said = ana.json(&["history", "docs", "plan.txt"])["entries"].clone();
    let left = versions[0]["by"].as_str().unwrap();
    let entry =
        said.as_array().unwrap().iter().skip(1).find(|entry| entry["by"] == left && entry["change"] == "edited");
    let state = entry.unwrap()["state"].as_str().unwrap();
    ana.json(&["restore", "docs", "plan.txt", "--state", state]);
    same_and(&[&mine, &theirs], "it is back", |_| {
        fs::read_to_string(theirs.join("plan.txt")).is_ok_and(|text| text == format!("one\n{left}\nthree\n"))
    });
    assert_eq!(ana.refused(&["restore", "docs", "plan.txt", "--state", "x"]), (2, "bad_request".into()));
    assert_eq!(ana.refused(&["restore", "docs", "plan.txt", "--state", &"0".repeat(64)]), (6, "not_in_history".into()));
    ben.json(&["conflicts", "settle", "docs", "list.txt", "--keep", "both"]);
    until("no conflict is left", PATIENCE, || {
        let left = [&ana, &ben].map(|who| who.json(&["conflicts", "list", "docs"])["conflicts"].clone());
        if left.iter().all(|left| left.as_array().unwrap().is_empty()) { Ok(()) } else { Err(left) }
    });
    assert_eq!(same(&[&mine, &theirs]).files(), 3, "both lists are files of their own");
    assert_eq!(
        ana.refused(&["conflicts", "settle", "docs", "list.txt", "--keep", "both"]),
        (6, "conflict_not_found".into())
    );
    // Settled is settled: an edit makes no new copy.
    fs::write(mine.join("plan.txt"), "done\n").unwrap();
    ana.wait("docs");
    assert_eq!(same_and(&[&mine, &theirs], "edited", |_| true).files(), 3);
}
