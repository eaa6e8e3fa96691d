//! M8: whoever may only read and changes something all the same.

use super::*;

fn edits(folder: &Folder) -> Vec<String> {
    folder.alice.edits_here().map(FolderPath::to_string).collect()
}

fn overtaken(folder: &Folder) -> Vec<String> {
    folder.alice.edits_overtaken().map(FolderPath::to_string).collect()
}

fn may_write(folder: &mut Folder, can_write: bool) {
    let standing = Standing { can_write, ..folder.alice.standing.clone() };
    folder.tell(Input::Standing(standing));
}

/// Alice saves one file.
fn saves(folder: &mut Folder, path: &str, ino: u64, text: &[u8]) {
    let Stat::File(stamp) = file(ino) else { unreachable!("a file is asked for") };
    folder.tell(Input::ScanBegun { under: vec![at(path)] });
    folder.tell(Input::Listed(vec![(at(path), Stat::File(stamp))]));
    let body = Box::new(body(&folder.keys, text));
    folder.tell(Input::Hashed { path: at(path), stamp, body });
    folder.tell(Input::ScanEnded { unreadable: vec![] });
}

#[test]
fn m8_what_a_reader_adds_stays_is_named_and_gives_way_only_to_the_same_name() {
    let mut folder = Folder::new();
    folder.alice_sees(&[("song", file(1))]);
    let published = folder.published.len();
    may_write(&mut folder, false);
    let steps = folder.alice_sees(&[
        ("mine", file(2)),
        ("new", Stat::Dir(FileId { dev: 1, ino: 9 })),
        ("new/a", file(3)),
        ("song", file(1)),
    ]);
    assert_eq!((steps, edits(&folder)), (vec![], vec!["mine".to_owned(), "new".to_owned()]));
    assert!(overtaken(&folder).is_empty() && folder.published.len() == published);
    assert_eq!(folder.alice.summary().stuck, [], "that is no failure");

    // Others add a file of that name, and another one.
    let (theirs, more) = (body(&folder.keys, b"theirs"), body(&folder.keys, b"more"));
    let steps = folder.another_writes(|commit| {
        commit.create(Inode::ZERO, &"mine".parse().unwrap(), Kind::File, theirs);
        commit.create(Inode::ZERO, &"more".parse().unwrap(), Kind::File, more);
    });
    assert!(matches!(&steps[..], [Step::Write { path, .. }] if *path == at("more")), "hers is not touched: {steps:?}");
    assert_eq!(overtaken(&folder), ["mine"]);
    // Set aside, it makes room, also where nothing else is looked at.
    folder.tell(Input::ScanBegun { under: vec![at("mine")] });
    folder.tell(Input::ScanEnded { unreadable: vec![] });
    let steps = std::mem::take(&mut folder.wanted);
    assert!(matches!(&steps[..], [Step::Write { path, .. }] if *path == at("mine")), "{steps:?}");
    assert_eq!(edits(&folder), ["new"]);
}

#[test]
fn m8_what_a_reader_changed_is_told_apart_from_what_others_changed_too() {
    let mut folder = Folder::new();
    folder.alice_sees(&[("other", file(2)), ("song", file(1))]);
    let (song, theirs) = (folder.item("song"), body(&folder.keys, b"theirs"));
    let seen = folder.alice.view().lookup(&at("song")).and_then(ViewEntry::shown).unwrap().seen();
    may_write(&mut folder, false);
    saves(&mut folder, "song", 5, b"hers");
    assert_eq!((edits(&folder), overtaken(&folder)), (vec!["song".to_owned()], vec![]));
    let steps = folder.another_writes(|commit| commit.edit(song, &seen, theirs).unwrap());
    assert_eq!((steps, overtaken(&folder)), (vec![], vec!["song".to_owned()]), "hers is not touched");

    // Back to what the folder had is no edit, and makes room for what it has now.
    saves(&mut folder, "song", 6, b"theirs");
    assert!(edits(&folder).is_empty());
    // What she takes away comes back.
    let steps = folder.alice_sees(&[]);
    let written: Vec<String> = steps.iter().map(|step| step.path().to_string()).collect();
    assert_eq!(written, ["other", "song"]);
    assert!(edits(&folder).is_empty());
}

#[test]
fn m8_who_may_write_again_publishes_what_was_changed_meanwhile() {
    let mut folder = Folder::new();
    folder.alice_sees(&[("song", file(1))]);
    may_write(&mut folder, false);
    folder.alice_sees(&[("mine", file(2)), ("song", file(1))]);
    assert_eq!(edits(&folder), ["mine"]);
    may_write(&mut folder, true);
    assert!(edits(&folder).is_empty());
    folder.alice_sees(&[("mine", file(2)), ("song", file(1))]);
    assert_eq!(folder.shows(), ["mine", "song"]);
}
