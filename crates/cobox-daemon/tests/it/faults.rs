//! What the service does to a folder and to its keys, with every single call to the disk failing, and with the power going at every change.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cobox_core::path::FolderPath;
use cobox_daemon::disk_tree::{DiskTree, Expect, Ignore, OffLimits, Seen};
use cobox_daemon::keystore::Keystore;
use cobox_faultfs::FaultDisk;
use cobox_faultfs::trial::{self, Operation, tried};
use cobox_proto::id::FolderId;

const FOLDER: FolderId = FolderId([3; 32]);
/// What somebody has, longer than a page.
const OLD: [u8; 9000] = [b'o'; 9000];
/// What arrives.
const NEW: [u8; 12_000] = [b'n'; 12_000];

type Problem = Box<dyn std::error::Error>;

fn path(text: &str) -> FolderPath {
    text.parse().unwrap()
}

fn with_folder(dir: &Path) {
    fs::create_dir_all(dir.join("docs/sub")).unwrap();
    DiskTree::adopt(&dir.join("docs"), FOLDER, &OffLimits::default()).unwrap();
    fs::write(dir.join("docs/one"), OLD).unwrap();
    fs::write(dir.join("docs/sub/two"), OLD).unwrap();
    std::process::Command::new("sync").arg(dir.join("docs/one")).arg(dir.join("docs/sub/two")).status().unwrap();
}

fn open(dir: &Path) -> Result<DiskTree, Problem> {
    Ok(DiskTree::open(&dir.join("docs"), &FOLDER)?)
}

fn recover(dir: &Path) {
    let _unfinished = open(dir);
}

fn expect(tree: &DiskTree, at: &str) -> Result<Expect, Problem> {
    Ok(tree.stat(&path(at))?.as_ref().map_or(Expect::Absent, Expect::from))
}

/// What is in a folder.
#[derive(Default)]
struct Found {
    /// As a person finds them.
    files: Vec<(String, Vec<u8>)>,
    /// What was put aside.
    kept: Vec<Vec<u8>>,
}

fn found(dir: &Path) -> Found {
    let tree = open(dir).unwrap();
    let Found { mut files, mut kept } = Found::default();
    let report = tree.walk(&Ignore::default(), None, &mut |at, seen| {
        if let Seen::File(_) = seen {
            let mut bytes = Vec::new();
            tree.read_stable(&at, &mut |part| bytes.extend_from_slice(part)).unwrap();
            files.push((at.to_string(), bytes));
        }
    });
    let report = report.unwrap();
    assert_eq!((report.unreadable, report.skipped), (vec![], vec![]));
    for one in tree.list_kept().unwrap() {
        let mut bytes = Vec::new();
        tree.open_kept(&one.id).unwrap().read_stable(&mut |part| bytes.extend_from_slice(part)).unwrap();
        kept.push(bytes);
    }
    Found { files, kept }
}

/// Every file is one whole version (O3), and the two that somebody had are somewhere (O1).
fn nothing_is_lost(dir: &Path) {
    let Found { files, kept } = found(dir);
    for (at, bytes) in &files {
        assert!(bytes == &OLD || bytes == &NEW, "{at} is neither: {} bytes", bytes.len());
    }
    let old = files.iter().map(|(_, bytes)| bytes).chain(&kept).filter(|bytes| **bytes == OLD).count();
    assert!(old >= 2, "{old} of 2 old files are left: {files:?}");
}

fn names(dir: &Path) -> Vec<(String, bool)> {
    found(dir).files.into_iter().map(|(at, bytes)| (at, bytes == NEW)).collect()
}

fn is(dir: &Path, expected: &[(&str, bool)]) {
    let expected: Vec<(String, bool)> = expected.iter().map(|(at, new)| ((*at).into(), *new)).collect();
    assert_eq!(names(dir), expected);
}

/// Receives a file, as the service does.
fn receive(tree: &DiskTree, at: &str) -> Result<(), Problem> {
    let expected = expect(tree, at)?;
    let mut temp = tree.temp("arriving")?;
    temp.set_len(0)?;
    temp.write_at(0, &NEW[..5000])?;
    temp.write_at(5000, &NEW[5000..])?;
    tree.sync_temps()?;
    let applied = tree.replace(temp, &path(at), expected, 1_000_000_000, false)?;
    let parent = path(at).parent().unwrap();
    tree.sync_dirs(&BTreeSet::from([parent]))?;
    assert_eq!(applied.kept.is_some(), expected != Expect::Absent);
    Ok(())
}

fn keys(dir: &Path) -> Keystore {
    Keystore::open(&dir.join("keys")).unwrap()
}

fn secret(dir: &Path) -> Option<Vec<u8>> {
    keys(dir).get("root").unwrap().map(|secret| secret.to_vec())
}

fn folder_operations() -> [Operation<Problem>; 9] {
    [
        Operation {
            name: "take a directory as a folder",
            before: |dir| {
                fs::create_dir(dir.join("docs")).unwrap();
                fs::write(dir.join("docs/one"), OLD).unwrap();
                fs::write(dir.join("docs/two"), OLD).unwrap();
            },
            work: |dir, mends| {
                tried(&dir.join("docs"), mends, |root| {
                    DiskTree::adopt(root, FOLDER, &OffLimits::default())?;
                    Ok::<_, Problem>(())
                })
            },
            recover: |_| {},
            // A person who asks again gets it.
            always: |dir| {
                DiskTree::adopt(&dir.join("docs"), FOLDER, &OffLimits::default()).unwrap();
                nothing_is_lost(dir);
            },
            done: |dir| drop(open(dir).unwrap()),
        },
        Operation {
            name: "open a folder",
            before: with_folder,
            work: |dir, _| open(dir).map(drop),
            recover,
            always: nothing_is_lost,
            done: |dir| is(dir, &[("one", false), ("sub/two", false)]),
        },
        Operation {
            name: "receive a new file",
            before: with_folder,
            work: |dir, mends| tried(&open(dir)?, mends, |tree| receive(tree, "sub/three")),
            recover,
            always: nothing_is_lost,
            done: |dir| is(dir, &[("one", false), ("sub/three", true), ("sub/two", false)]),
        },
        Operation {
            name: "receive a new version",
            before: with_folder,
            work: |dir, mends| tried(&open(dir)?, mends, |tree| receive(tree, "one")),
            recover,
            always: nothing_is_lost,
            done: |dir| is(dir, &[("one", true), ("sub/two", false)]),
        },
        Operation {
            name: "remove a file",
            before: with_folder,
            work: |dir, mends| {
                tried(&open(dir)?, mends, |tree| {
                    tree.remove(&path("sub/two"), expect(tree, "sub/two")?)?;
                    Ok::<_, Problem>(tree.sync_dirs(&BTreeSet::from([path("sub")]))?)
                })
            },
            recover,
            always: nothing_is_lost,
            done: |dir| is(dir, &[("one", false)]),
        },
        Operation {
            name: "move a file",
            before: with_folder,
            work: |dir, mends| tried(&open(dir)?, mends, |tree| rename(tree, "one", "sub/one")),
            recover,
            always: nothing_is_lost,
            done: |dir| is(dir, &[("sub/one", false), ("sub/two", false)]),
        },
        Operation {
            name: "move a directory",
            before: with_folder,
            work: |dir, mends| tried(&open(dir)?, mends, |tree| rename(tree, "sub", "moved")),
            recover,
            always: nothing_is_lost,
            done: |dir| is(dir, &[("moved/two", false), ("one", false)]),
        },
        Operation {
            name: "make a directory, and a link in it",
            before: with_folder,
            work: |dir, mends| {
                tried(&open(dir)?, mends, |tree| {
                    tree.make_dir(&path("new"))?;
                    tree.make_symlink(&path("new/link"), "../one", expect(tree, "new/link")?)?;
                    Ok::<_, Problem>(tree.sync_dirs(&BTreeSet::from([path(""), path("new")]))?)
                })
            },
            recover,
            always: nothing_is_lost,
            done: |dir| assert_eq!(fs::read(dir.join("docs/new/link")).unwrap(), OLD),
        },
        Operation {
            name: "look at a folder",
            before: with_folder,
            work: |dir, mends| {
                tried(&open(dir)?, mends, |tree| {
                    let mut seen = BTreeSet::new();
                    let report = tree.walk(&Ignore::default(), None, &mut |at, _| {
                        seen.insert(at);
                    })?;
                    // Whatever is not seen is not said to be gone.
                    for file in ["one", "sub", "sub/two"].map(path) {
                        assert!(seen.contains(&file) || !report.says_about(&file), "{file}: {report:?}");
                    }
                    let mut bytes = Vec::new();
                    tree.read_stable(&path("one"), &mut |part| bytes.extend_from_slice(part))?;
                    assert!(bytes == OLD, "{} bytes were read as a whole version", bytes.len());
                    Ok::<_, Problem>(())
                })
            },
            recover,
            always: nothing_is_lost,
            done: |dir| is(dir, &[("one", false), ("sub/two", false)]),
        },
    ]
}

/// Moves what lies at a path, as the service does.
fn rename(tree: &DiskTree, from: &str, to: &str) -> Result<(), Problem> {
    let expected = expect(tree, from)?;
    if expected != Expect::Absent {
        tree.rename(&path(from), &path(to), expected)?;
    }
    let parents = [from, to].map(|at| path(at).parent().unwrap());
    Ok(tree.sync_dirs(&BTreeSet::from(parents))?)
}

/// Nothing is lost, and no name is there that nobody gave.
fn bear_names(dir: &Path, given: &[&str]) {
    nothing_is_lost(dir);
    let found = names(dir);
    assert!(found.iter().all(|(at, _)| given.contains(&at.as_str())), "{found:?}");
}

/// On a disk that finds names in any case.
fn folding_operations() -> [Operation<Problem>; 4] {
    [
        Operation {
            name: "change the case of a file's name",
            before: with_folder,
            work: |dir, mends| tried(&open(dir)?, mends, |tree| rename(tree, "one", "ONE")),
            recover,
            always: |dir| bear_names(dir, &["one", "ONE", "sub/two"]),
            done: |dir| is(dir, &[("ONE", false), ("sub/two", false)]),
        },
        Operation {
            name: "change the case of a directory's name",
            before: with_folder,
            work: |dir, mends| tried(&open(dir)?, mends, |tree| rename(tree, "sub", "Sub")),
            recover,
            always: |dir| bear_names(dir, &["one", "sub/two", "Sub/two"]),
            done: |dir| is(dir, &[("Sub/two", false), ("one", false)]),
        },
        Operation {
            name: "receive a file whose name differs in case",
            before: with_folder,
            work: |dir, mends| tried(&open(dir)?, mends, |tree| receive(tree, "One")),
            recover,
            always: |dir| bear_names(dir, &["one", "One", "sub/two"]),
            done: |dir| is(dir, &[("One", true), ("one", false), ("sub/two", false)]),
        },
        Operation {
            name: "move a file away whose name differs in case",
            before: |dir| {
                with_folder(dir);
                receive(&open(dir).unwrap(), "One").unwrap();
            },
            work: |dir, mends| tried(&open(dir)?, mends, |tree| rename(tree, "One", "sub/One")),
            recover,
            always: |dir| bear_names(dir, &["one", "One", "sub/One", "sub/two"]),
            done: |dir| is(dir, &[("one", false), ("sub/One", true), ("sub/two", false)]),
        },
    ]
}

#[test]
fn d6_l1_l2_every_call_to_a_disk_that_folds_names_fails_once_and_for_ever() {
    trial::every_call_fails(FaultDisk::folding, &folding_operations());
}

#[test]
fn k1_l1_l2_the_power_goes_at_every_change_of_a_disk_that_folds_names() {
    trial::the_power_goes_everywhere(FaultDisk::folding, &folding_operations());
}

#[test]
fn l1_what_a_person_spells_anew_is_at_its_new_name_alone_wherever_one_looks() {
    if let Some(why) = FaultDisk::missing() {
        return eprintln!("skipped: {why}");
    }
    let disk = FaultDisk::folding().unwrap();
    with_folder(&disk.path());
    let tree = open(&disk.path()).unwrap();
    assert!(tree.kind().folds_case);
    let is_at = |place: &str| tree.stat(&path(place)).unwrap().is_some();
    for (from, to) in [("one", "ONE"), ("sub", "Sub")] {
        let at = |name: &str| disk.path().join("docs").join(name);
        // As file managers do it where the system takes the two for one.
        fs::rename(at(from), at("between")).unwrap();
        fs::rename(at("between"), at(to)).unwrap();
        assert!(at(from).exists(), "the disk finds it under both");
        assert!(!is_at(from) && is_at(to));
    }
    let at = |place: &str| {
        let mut found = Vec::new();
        tree.walk(&Ignore::default(), Some(&path(place)), &mut |at, _| found.push(at.to_string())).unwrap();
        found
    };
    for (place, found) in
        [("one", &[][..]), ("ONE", &["ONE"]), ("sub", &[]), ("sub/two", &[]), ("Sub/two", &["Sub/two"])]
    {
        assert_eq!(at(place), found, "{place}");
    }
}

fn key_operations() -> [Operation<Problem>; 3] {
    [
        Operation {
            name: "keep the first key",
            before: |_| {},
            work: |dir, mends| {
                tried(&dir.join("keys"), mends, |keys| Ok::<_, Problem>(Keystore::open(keys)?.put("root", &OLD)?))
            },
            recover: |dir| drop(Keystore::open(&dir.join("keys"))),
            always: |dir| assert!(secret(dir).is_none_or(|secret| secret == OLD)),
            done: |dir| assert_eq!(secret(dir).unwrap(), OLD),
        },
        Operation {
            name: "replace a key",
            before: |dir| keys(dir).put("root", &OLD).unwrap(),
            work: |dir, mends| {
                tried(&Keystore::open(&dir.join("keys"))?, mends, |keys| Ok::<_, Problem>(keys.put("root", &NEW)?))
            },
            recover: |dir| drop(Keystore::open(&dir.join("keys"))),
            always: |dir| {
                let secret = secret(dir).unwrap();
                assert!(secret == OLD || secret == NEW);
            },
            done: |dir| assert_eq!(secret(dir).unwrap(), NEW),
        },
        Operation {
            name: "remove a key",
            before: |dir| keys(dir).put("root", &OLD).unwrap(),
            work: |dir, mends| {
                tried(&Keystore::open(&dir.join("keys"))?, mends, |keys| Ok::<_, Problem>(keys.remove("root")?))
            },
            recover: |dir| drop(Keystore::open(&dir.join("keys"))),
            always: |dir| assert!(secret(dir).is_none_or(|secret| secret == OLD)),
            done: |dir| assert_eq!(secret(dir), None),
        },
    ]
}

#[test]
fn d6_every_call_to_a_folders_disk_fails_once_and_for_ever() {
    trial::every_call_fails(FaultDisk::new, &folder_operations());
}

#[test]
fn k1_k3_k6_the_power_goes_at_every_change_of_a_folder() {
    trial::the_power_goes_everywhere(FaultDisk::new, &folder_operations());
}

#[test]
fn d6_every_call_to_the_disk_of_the_keys_fails_once_and_for_ever() {
    trial::every_call_fails(FaultDisk::new, &key_operations());
}

#[test]
fn k1_k3_k6_the_power_goes_at_every_change_of_the_keys() {
    trial::the_power_goes_everywhere(FaultDisk::new, &key_operations());
}
