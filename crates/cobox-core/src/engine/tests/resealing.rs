//! `rekey --content`: contents of this disk under the newest keys.

use super::*;
use crate::content::seal_small;
use crate::keys::EpochSecret;

const TEXT: [u8; 2000] = [7; 2000];

/// A folder of two files with blocks and one that is kept in its record, and another epoch than the one they are sealed under.
fn folder_with_new_keys() -> (Folder, EpochTag) {
    let mut folder = Folder::new();
    sees(&mut folder, &[], &["a", "b", "small"]);
    let params = FolderKeys::params_for(Profile::Uniform, false);
    let second = folder.keys.insert_epoch(EpochSecret::from_bytes([9; 32]), params).unwrap();
    folder.tell(Input::Keys(Box::new(folder.keys.clone())));
    let depths = BTreeMap::from([(folder.epoch, 0), (second, 1)]);
    let standing = Standing { epoch: Some(second), depths, ..folder.alice.standing.clone() };
    folder.tell(Input::Standing(standing));
    (folder, second)
}

/// Alice's disk is looked at, below these paths; what was read, and where she wants it looked at next.
fn sees(folder: &mut Folder, under: &[&str], there: &[&str]) -> (Vec<String>, Vec<FolderPath>) {
    let listed = there.iter().map(|path| (at(path), file(u64::from(path.as_bytes()[0])))).collect();
    folder.alice.handle(1_000, Input::ScanBegun { under: under.iter().map(|path| at(path)).collect() });
    folder.alice.handle(1_000, Input::Listed(listed));
    folder.alice.handle(1_000, Input::ScanEnded { unreadable: Vec::new() });
    let (mut read, mut again) = (Vec::new(), Vec::new());
    while let Some(output) = folder.alice.poll_output() {
        match output {
            Output::Hash(files) => {
                for (path, stamp) in files {
                    let text = if path == at("small") { &TEXT[..9] } else { &TEXT[..] };
                    let epoch = folder.alice.epoch_in_use().unwrap();
                    let mut body = seal_small(&folder.keys, epoch, text, 5).body;
                    body.mtime_ns = stamp.mtime_ns;
                    read.push(path.to_string());
                    folder.alice.handle(1_000, Input::Hashed { path, stamp, body: Box::new(body) });
                }
            }
            Output::Rescan(paths) => again.extend(paths),
            Output::Tell(event) => folder.told.push(event),
            Output::Publish(head) => folder.published.push(*head),
            Output::WakeAt(at) => folder.alice.handle(at, Input::Woken),
            _ => {}
        }
    }
    (read, again)
}

fn epochs_of(folder: &Folder, path: &str) -> Vec<EpochTag> {
    let item = folder.alice.state().get(&folder.item(path)).unwrap();
    let Content::Refs(refs) = &item.body[0].1.content else { return vec![] };
    refs.iter().map(|chunk| chunk.epoch).collect()
}

/// What the engine wants looked at when it is told to begin.
fn begins(folder: &mut Folder) -> Vec<FolderPath> {
    folder.alice.handle(1_000, Input::ResealContents);
    let mut wanted = Vec::new();
    while let Some(output) = folder.alice.poll_output() {
        match output {
            Output::Rescan(paths) => wanted.extend(paths),
            Output::Tell(event) => folder.told.push(event),
            _ => {}
        }
    }
    wanted
}

#[test]
fn contents_come_under_the_new_keys_with_nobodys_edit_and_others_join_them() {
    let (mut folder, second) = folder_with_new_keys();
    assert_eq!(epochs_of(&folder, "a"), [folder.epoch], "by themselves contents stay as they are");
    let before = folder.alice.state().clone();
    let published = folder.published.len();
    assert_eq!(begins(&mut folder), [at("a"), at("b")], "what is kept in its record was sealed with the names");
    assert_eq!(folder.alice.summary().resealing.map(|left| left.files), Some(2));
    let (read, _) = sees(&mut folder, &["a", "b"], &["a", "b"]);
    assert_eq!(read, ["a", "b"]);
    for path in ["a", "b"] {
        assert_eq!(epochs_of(&folder, path), [second]);
    }
    assert!(folder.told.contains(&Event::Resealed { left_out: 0 }));
    assert_eq!(folder.alice.summary().resealing, None);
    // A head that only says how things are sealed waits a moment, as that of a join does.
    folder.alice.handle(10_000, Input::Woken);
    folder.tell(Input::Heard);
    let head = folder.published[published..].last().expect("it is said to others").head();
    assert_eq!(head.root, folder.alice.root());
    assert!(head.new_blocks >= 2 && head.new_bytes > 4000, "with all that it brings: {head:?}");

    // Another's state joins it, whichever way round, and nothing was edited.
    let after = folder.alice.state().clone();
    assert_eq!(before.ctx, after.ctx);
    let depths = folder.alice.standing.clone();
    let (mut mine, mut theirs) = (before.clone(), after.clone());
    let (touched, alarms) = mine.join(&after, &depths);
    assert_eq!((touched.len(), alarms.len()), (2, 0));
    theirs.join(&before, &depths);
    assert!(mine == after && theirs == after);
    // Done is done.
    assert!(begins(&mut folder).is_empty());
}

#[test]
fn a_stop_in_between_loses_nothing_and_what_changed_meanwhile_is_an_edit_as_ever() {
    let (mut folder, second) = folder_with_new_keys();
    begins(&mut folder);
    let (read, _) = sees(&mut folder, &["a"], &["a"]);
    assert_eq!(read, ["a"]);
    assert_eq!(folder.alice.summary().resealing.map(|left| left.files), Some(1));
    // A start forgets what was asked, not what was done.
    folder.alice.resealing = None;
    assert_eq!(begins(&mut folder), [at("b")]);
    // It can not be read now: it is left out, told, and tried again when somebody asks again.
    folder.alice.handle(1_000, Input::ScanBegun { under: vec![at("b")] });
    folder.tell(Input::ScanEnded { unreadable: vec![at("b")] });
    assert!(folder.told.contains(&Event::Resealed { left_out: 1 }));
    assert_eq!(epochs_of(&folder, "b"), [folder.epoch]);
    assert_eq!(begins(&mut folder), [at("b")]);
    sees(&mut folder, &["b"], &["b"]);
    assert_eq!(epochs_of(&folder, "b"), [second]);
}

#[test]
fn who_may_only_read_seals_nothing_anew() {
    let (mut folder, _) = folder_with_new_keys();
    let standing = Standing { can_write: false, ..folder.alice.standing.clone() };
    folder.tell(Input::Standing(standing));
    assert!(begins(&mut folder).is_empty());
    assert_eq!(epochs_of(&folder, "a"), [folder.epoch]);
}
