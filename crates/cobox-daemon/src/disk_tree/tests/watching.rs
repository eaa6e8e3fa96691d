//! Hearing of changes (l13). Events are waited for with a generous limit; nothing depends on how fast they come.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use cobox_core::editing::is_lock;

use super::*;

const QUICK: WatchSettings =
    WatchSettings { closed_ms: 5, quiet_ms: 5, wait_ms_max: 50, gone_ms_max: 50, directories_max: 10_000 };
/// Nothing is handed over unless a test says so.
const SLOW: WatchSettings = WatchSettings {
    closed_ms: 120_000,
    quiet_ms: 120_000,
    wait_ms_max: 120_000,
    gone_ms_max: 120_000,
    directories_max: 10,
};
const PATIENCE: Duration = Duration::from_secs(30);

struct Ear {
    _watch: Watch,
    events: Receiver<WatchEvent>,
    heard: BTreeSet<String>,
}

fn listen(desk: &Desk, ignore: &str, settings: WatchSettings) -> Ear {
    let (send, events) = channel();
    let watch = Watch::start(&desk.tree, Ignore::parse(ignore), settings, move |event| {
        let _ = send.send(event);
    });
    watch.begun().wait();
    Ear { _watch: watch, events, heard: BTreeSet::new() }
}

impl Ear {
    /// Waits until a path is heard of.
    fn hear(&mut self, wanted: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.heard.contains(wanted) {
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(WatchEvent::Changed(paths)) => self.heard.extend(paths.iter().map(FolderPath::to_string)),
                other => panic!("waiting for {wanted}: {other:?}; heard {:?}", self.heard),
            }
        }
    }
    fn next(&self) -> WatchEvent {
        self.events.recv_timeout(PATIENCE).unwrap()
    }
}

#[test]
fn changes_are_heard_and_our_own_affairs_and_ignored_ones_are_not() {
    let desk = Desk::new();
    desk.write("old/x", "");
    desk.write("skip/deep/x", "");
    let mut ear = listen(&desk, "skip/\n*.log\n", QUICK);
    desk.write("new", "");
    desk.write("old/x", "edited");
    desk.write("skip/deep/y", "");
    desk.write("noise.log", "");
    desk.tree.temp("received").unwrap().write_at(0, b"bytes").unwrap();
    desk.tree.read_stable(&path("old/x"), &mut |_| {}).unwrap();
    ear.hear("new");
    ear.hear("old/x");
    desk.replace("old/y", b"y", Expect::Absent).unwrap();
    ear.hear("old/y");
    std::fs::remove_file(desk.at("new")).unwrap();
    ear.heard.clear();
    ear.hear("new");
    desk.write("last", "");
    ear.hear("last");
    let strange: Vec<_> = ear
        .heard
        .iter()
        .filter(|path| path.contains("cobox") || path.contains("skip") || path.contains("log"))
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn c1_locks_of_editors_are_told_of_apart_when_they_come_go_and_were_there_before() {
    let desk = Desk::new();
    desk.write("skip/.~lock.x#", "");
    desk.write("a/.#before", "");
    let ear = listen(&desk, "skip/\n", QUICK);
    let hear = |lock: &str| loop {
        match ear.next() {
            WatchEvent::Locks(locks) if locks.contains(&path(lock)) => return,
            WatchEvent::Locks(locks) => {
                assert!(!locks.iter().any(|lock| lock.as_str().starts_with("skip")), "{locks:?}");
            }
            WatchEvent::Changed(paths) => {
                assert!(!paths.iter().any(|path| is_lock(path.name().unwrap().as_str())), "{paths:?}");
            }
            other => panic!("waiting for {lock}: {other:?}"),
        }
    };
    hear("a/.#before");
    std::fs::remove_file(desk.at("a/.#before")).unwrap();
    hear("a/.#before");
    desk.write("skip/~$x.doc", "");
    desk.write(".~lock.x.odt#", "");
    hear(".~lock.x.odt#");
    // One that comes with a directory of its own.
    std::fs::create_dir_all(desk.beside("moved")).unwrap();
    std::fs::write(desk.beside("moved/.y.swp"), "").unwrap();
    std::fs::rename(desk.beside("moved"), desk.at("moved")).unwrap();
    hear("moved/.y.swp");
}

#[test]
fn c1_a_lock_that_the_rules_make_content_is_none() {
    let desk = Desk::new();
    let mut ear = listen(&desk, "!.~lock.*#\n", QUICK);
    desk.write(".~lock.x.odt#", "");
    ear.hear(".~lock.x.odt#");
}

#[test]
fn l12_what_comes_and_goes_under_a_name_that_is_no_text_is_heard_of() {
    use std::os::unix::ffi::OsStrExt;
    let desk = Desk::new();
    let ear = listen(&desk, "", QUICK);
    let odd = desk.tree.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::write(&odd, "").unwrap();
    assert_eq!(ear.next(), WatchEvent::NoContent);
    std::fs::rename(&odd, desk.tree.path().join("cafe")).unwrap();
    assert_eq!(ear.next(), WatchEvent::NoContent);
    let after = std::iter::repeat_with(|| ear.next()).find(|event| *event != WatchEvent::NoContent);
    assert_eq!(after, Some(WatchEvent::Changed(BTreeSet::from([path("cafe")]))));
}

#[test]
fn l13_nothing_written_into_fresh_directories_is_missed() {
    let desk = Desk::new();
    let mut ear = listen(&desk, "", QUICK);
    for dir in 0..200 {
        for file in 0..5 {
            desk.write(&format!("d{dir}/sub/f{file}"), "");
        }
    }
    for dir in 0..200 {
        for file in 0..5 {
            ear.hear(&format!("d{dir}/sub/f{file}"));
        }
    }
}

#[test]
fn l13_a_moved_directory_is_heard_under_its_new_path() {
    let desk = Desk::new();
    desk.write("a/sub/x", "");
    std::fs::create_dir_all(desk.beside("outside/sub")).unwrap();
    std::fs::write(desk.beside("outside/sub/y"), "").unwrap();
    let mut ear = listen(&desk, "", QUICK);
    std::fs::rename(desk.at("a"), desk.at("b")).unwrap();
    std::fs::rename(desk.beside("outside"), desk.at("c")).unwrap();
    for path in ["a", "b/sub/x", "c/sub/y"] {
        ear.hear(path);
    }
    desk.write("b/sub/new", "");
    desk.write("c/sub/new", "");
    ear.hear("b/sub/new");
    ear.hear("c/sub/new");
    // Back and forth, and again.
    std::fs::rename(desk.at("b"), desk.at("a")).unwrap();
    ear.hear("a/sub/new");
    ear.heard.clear();
    desk.write("a/sub/newer", "");
    ear.hear("a/sub/newer");
}

#[test]
fn l13_a_limit_of_watches_ends_in_a_reason() {
    let desk = Desk::new();
    for dir in 0..10 {
        std::fs::create_dir(desk.at(&format!("d{dir}"))).unwrap();
    }
    let ear = listen(&desk, "", WatchSettings { directories_max: 5, ..QUICK });
    assert!(matches!(ear.next(), WatchEvent::Dead { why } if why.contains("5 directories")));
    assert!(ear.events.recv_timeout(PATIENCE).is_err(), "it is over");
}

#[test]
fn l13_too_much_at_once_becomes_a_rescan() {
    let desk = Desk::new();
    let slow = WatchSettings { directories_max: 10, ..SLOW };
    let ear = listen(&desk, "", slow);
    let heard = |event| ear._watch.hear_for_tests(&desk.tree, event);
    heard(Ok(notify::Event::new(notify::EventKind::Other).set_flag(notify::event::Flag::Rescan)));
    ear._watch.hand_over_for_tests();
    assert!(matches!(ear.next(), WatchEvent::Rescan { .. }));
    let created = notify::EventKind::Create(notify::event::CreateKind::File);
    for number in 0..30_000 {
        heard(Ok(notify::Event::new(created).add_path(desk.at(&format!("f{number}")))));
    }
    ear._watch.hand_over_for_tests();
    assert!(matches!(ear.next(), WatchEvent::Rescan { why } if why.contains("at once")));
    heard(Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch)));
    ear._watch.hand_over_for_tests();
    assert!(matches!(ear.next(), WatchEvent::Dead { why } if why.contains("max_user_watches")));
}

#[test]
fn what_is_closed_is_handed_over_at_once_and_what_is_being_written_when_its_writer_is_done() {
    let desk = Desk::new();
    let patient = WatchSettings { closed_ms: 1, gone_ms_max: 120_000, ..SLOW };
    let mut ear = listen(&desk, "", patient);
    desk.write("saved", "whole");
    ear.hear("saved");
    let mut log = std::fs::File::create(desk.at("log")).unwrap();
    std::io::Write::write_all(&mut log, b"a line").unwrap();
    desk.write("saved", "again");
    let until = Instant::now() + PATIENCE;
    let waits = |due: Option<Duration>| due.is_some_and(|due| due > PATIENCE);
    while !waits(ear._watch.due_for_tests(&patient)) {
        assert!(Instant::now() < until, "a file that is being written is not waited for");
        std::thread::yield_now();
    }
    // One that is moved away while it is written to is nobody's to wait for; the other is closed.
    let other = std::fs::File::create(desk.at("other")).unwrap();
    std::fs::rename(desk.at("other"), desk.beside("elsewhere")).unwrap();
    drop(log);
    ear.hear("log");
    drop(other);
}

/// Where the system tells of a file that it is closed.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn h2_what_goes_is_handed_over_while_more_keeps_happening_and_what_is_being_written_is_not() {
    let desk = Desk::new();
    desk.write("old", "was here");
    desk.write("older", "was here");
    // Without a pause ever so long, only what goes is a reason to hand over.
    let mut ear = listen(&desk, "", WatchSettings { gone_ms_max: 1, ..SLOW });
    let mut log = std::fs::File::create(desk.at("log")).unwrap();
    std::io::Write::write_all(&mut log, b"a line").unwrap();
    desk.write("new", "just made");
    let until = Instant::now() + PATIENCE;
    while !ear._watch.gathers() {
        assert!(Instant::now() < until, "nothing was heard");
        std::thread::yield_now();
    }
    std::fs::remove_file(desk.at("old")).unwrap();
    ear.hear("old");
    desk.write("older", "overwritten");
    ear.hear("older");
    ear.hear("new");
    assert!(!ear.heard.contains("log") && ear._watch.gathers(), "{:?}", ear.heard);
    // What was made since is nobody's loss.
    ear.heard.clear();
    desk.write("draft", "made");
    drop(log);
    std::fs::remove_file(desk.at("draft")).unwrap();
    desk.write("older", "again");
    ear.hear("older");
    ear.hear("log");
}

#[test]
fn h1_a_folder_that_is_moved_away_is_no_longer_watched() {
    let desk = Desk::new();
    desk.write("x", "");
    let ear = listen(&desk, "", QUICK);
    std::fs::rename(desk.tree.path(), desk.beside("elsewhere")).unwrap();
    loop {
        match ear.next() {
            WatchEvent::Changed(_) => {}
            WatchEvent::Dead { why } => break assert!(why.contains("moved")),
            other => panic!("{other:?}"),
        }
    }
}
