//! The whole story: as `cobox demo` tells it, and told here once more with every process restarted between any two steps.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::e2e_tree::Tree;
use crate::e2e_world::{Computer, World, becomes, gone, noise, programs, same_and, until};
use crate::sealed::{Ran, finished};

/// `demo` below this directory.
fn demo(temporary: &Path, program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("demo").args(args).env_clear().env("TMPDIR", temporary).env("HOME", "/nonexistent/home");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Nothing lies below the directory, and no process names it.
fn nothing_is_left(temporary: &Path) {
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0, "files are left");
    let name = temporary.to_str().unwrap().as_bytes();
    let names_it = |pid: &fs::DirEntry| {
        fs::read(pid.path().join("cmdline")).is_ok_and(|line| line.windows(name.len()).any(|part| part == name))
    };
    until("no process is left", Duration::from_secs(5), || {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        match processes.filter(names_it).map(|pid| pid.file_name()).collect::<Vec<_>>() {
            left if left.is_empty() => Ok(()),
            left => Err(left),
        }
    });
}

#[test]
fn o5_the_demonstration_holds_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let ran = finished(demo(temporary.path(), &programs().0, &["--json"]).output().unwrap());
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    let told = ran.json();
    let steps = told["steps"].as_array().unwrap();
    assert!(steps.len() == 14 && steps.iter().all(|step| step["held"] == true), "{told}");
    let seen = &told["seeder_saw"];
    assert_eq!((seen["strings"].as_u64(), told["held"].as_bool()), (Some(24), Some(true)));
    assert!(seen["files"].as_u64().unwrap() > 0 && !seen["folders"].as_array().unwrap().is_empty(), "{seen}");
    // A minute on two cores that do nothing else; other tests run beside this one.
    assert!(begun.elapsed() < Duration::from_secs(180), "{:?}", begun.elapsed());
    nothing_is_left(temporary.path());
}

#[test]
fn the_demonstration_without_a_seeder_beside_it_says_what_to_do() {
    let temporary = tempfile::tempdir().unwrap();
    let alone = tempfile::tempdir().unwrap();
    let program = alone.path().join("cobox");
    fs::copy(programs().0, &program).unwrap();
    let ran = finished(demo(temporary.path(), &program, &[]).output().unwrap());
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("cobox-seeder is not beside cobox") && ran.err.contains("hint: "), "{ran:?}");
    nothing_is_left(temporary.path());
}

#[test]
fn the_demonstration_interrupted_anywhere_leaves_nothing() {
    for (lines, signal) in [(1, Signal::INT), (2, Signal::TERM), (4, Signal::INT)] {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = demo(temporary.path(), &programs().0, &[]).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..lines {
            assert!(out.next().unwrap().unwrap().starts_with("✓ yes"));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended: Ran = finished(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(130), "{ended:?}");
        assert!(ended.err.contains("interrupted; everything was stopped"), "{ended:?}");
        nothing_is_left(temporary.path());
    }
}

/// Everybody's service stopped and started again, the last in another order.
fn restart(everybody: &mut [&mut Computer]) {
    everybody.iter_mut().for_each(|one| one.down());
    everybody.iter_mut().rev().for_each(|one| one.up());
}

#[test]
fn every_process_is_restarted_between_any_two_steps() {
    let world = World::new();
    let (mut ana, mut ben, mut the_box) = (world.person("Ana"), world.person("Ben"), world.seeder("box"));
    let again = |ana: &mut Computer, ben: &mut Computer, the_box: &mut Computer| restart(&mut [ana, ben, the_box]);
    again(&mut ana, &mut ben, &mut the_box);

    let mine = ana.folder("docs");
    fs::create_dir_all(mine.join("sub")).unwrap();
    fs::write(mine.join("large.bin"), noise(1, 3 << 20)).unwrap();
    fs::write(mine.join("sub/draft.txt"), "first draft").unwrap();
    fs::write(mine.join("sub/old.txt"), "to be deleted").unwrap();
    ana.create("docs");
    again(&mut ana, &mut ben, &mut the_box);

    let offer = the_box.offer("1GB");
    again(&mut ana, &mut ben, &mut the_box);
    ana.json(&["backup", "add", "docs", &offer]);
    again(&mut ana, &mut ben, &mut the_box);
    ana.wait_for_receipt("docs");

    let code = ana.invite("docs", &ben);
    again(&mut ana, &mut ben, &mut the_box);
    let theirs = ben.join("docs", &code);
    again(&mut ana, &mut ben, &mut the_box);
    becomes(&theirs, &Tree::read(&mine).unwrap());

    // Edited while nothing runs at all.
    [&mut ana, &mut ben, &mut the_box].into_iter().for_each(Computer::down);
    fs::write(mine.join("sub/draft.txt"), "Ana's draft").unwrap();
    fs::write(theirs.join("sub/draft.txt"), "Ben's draft").unwrap();
    fs::remove_file(theirs.join("sub/old.txt")).unwrap();
    [&mut the_box, &mut ben, &mut ana].into_iter().for_each(Computer::up);
    let settled = |tree: &Tree| {
        let drafts = fs_texts(tree);
        drafts.contains(&"Ana's draft".into())
            && drafts.contains(&"Ben's draft".into())
            && !tree.0.contains_key(Path::new("sub/old.txt"))
    };
    let whole = same_and(&[&mine, &theirs], "both drafts, and the delete", settled);
    again(&mut ana, &mut ben, &mut the_box);
    assert_eq!(same_and(&[&mine, &theirs], "it stays so", settled), whole);
    ana.wait_for_receipt("docs");
    let (_, words, tickets) = ana.kit();
    again(&mut ana, &mut ben, &mut the_box);
    ana.wait_for_receipt("docs");
    gone([ana, ben]);
    fs::remove_dir_all(world.path().join("Ana")).unwrap();

    let mut new = world.person("new");
    restart(&mut [&mut new, &mut the_box]);
    let (file, to) = (new.words_file(&words), new.folder("back"));
    let mut args = vec!["recover", "--words-file", file.to_str().unwrap(), "--to", to.to_str().unwrap()];
    tickets.iter().for_each(|ticket| args.extend(["--seeder", ticket]));
    assert_eq!(new.json(&args)["name"], "Ana");
    restart(&mut [&mut new, &mut the_box]);
    becomes(&to.join("docs"), &whole);
    restart(&mut [&mut new, &mut the_box]);
    assert_eq!(new.json(&["whoami"])["name"], "Ana");
    assert_eq!(new.run(&["check", "docs"]).code, Some(0));
}

/// All files that are short texts.
fn fs_texts(tree: &Tree) -> Vec<String> {
    use crate::e2e_tree::Entry;
    let text = |entry: &Entry| match entry {
        Entry::File { bytes, .. } if bytes.len() < 100 => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    };
    tree.0.values().filter_map(text).collect()
}
