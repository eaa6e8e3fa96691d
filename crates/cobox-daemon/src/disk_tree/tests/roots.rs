//! Taking, finding and giving back a folder (h1, h3, h4, l8, l14, l17).

use super::*;

fn try_adopt(root: &Path, off_limits: &OffLimits) -> Result<DiskTree, RootError> {
    DiskTree::adopt(root, FolderId([9; 32]), off_limits)
}

#[test]
fn h3_adopting_a_directory_with_files_changes_none_of_them() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("mine.txt"), "mine").unwrap();
    let tree = DiskTree::adopt(place.path(), FOLDER, &OffLimits::default()).unwrap();
    assert_eq!(std::fs::read(place.path().join("mine.txt")).unwrap(), b"mine");
    assert_eq!(std::fs::metadata(place.path().join(".cobox")).unwrap().mode() & 0o777, 0o700);
    let mut seen = Vec::new();
    tree.walk(&Ignore::default(), None, &mut |path, _| seen.push(path.to_string())).unwrap();
    assert_eq!(seen, ["mine.txt"]);
}

#[test]
fn h1_every_way_a_folder_can_be_absent_is_its_own_error() {
    let Desk { place, tree } = Desk::new();
    let root = tree.path().to_owned();
    let open = || DiskTree::open(&root, &FOLDER);
    open().unwrap();
    assert!(
        matches!(DiskTree::open(&root, &FolderId([8; 32])), Err(RootError::OtherFolder { found, .. }) if found == FOLDER)
    );

    let aside = place.path().join("aside");
    std::fs::rename(&root, &aside).unwrap();
    assert!(matches!(open(), Err(RootError::Missing(_))), "renamed or unplugged");
    std::fs::write(&root, "").unwrap();
    assert!(matches!(open(), Err(RootError::NotADirectory(_))));
    std::fs::remove_file(&root).unwrap();
    std::os::unix::fs::symlink(&aside, &root).unwrap();
    assert!(matches!(open(), Err(RootError::Symlink(_))));
    std::fs::remove_file(&root).unwrap();
    std::fs::create_dir(&root).unwrap();
    assert!(matches!(open(), Err(RootError::MarkerMissing(_))), "an empty mount point");
    std::fs::create_dir(root.join(".cobox")).unwrap();
    assert!(matches!(open(), Err(RootError::MarkerMissing(_))), "re-created by hand");
    std::fs::write(root.join(".cobox/marker"), "").unwrap();
    assert!(matches!(open(), Err(RootError::MarkerDamaged(_))), "re-created by hand");
}

#[test]
fn h1_a_folder_that_vanishes_is_never_an_empty_folder() {
    let desk = Desk::new();
    desk.write("a/b.txt", "b");
    let root = desk.tree.path().to_owned();
    let walk = || desk.tree.walk(&Ignore::default(), None, &mut |_, _| {});
    walk().unwrap();

    std::fs::rename(&root, desk.beside("unplugged")).unwrap();
    assert!(matches!(walk(), Err(RootError::Missing(_))));
    // Another disk, or an empty mount point, under the same path.
    std::fs::create_dir(&root).unwrap();
    assert!(matches!(walk(), Err(RootError::MarkerMissing(_))));
    DiskTree::adopt(&root, FolderId([8; 32]), &OffLimits::default()).unwrap();
    assert!(matches!(walk(), Err(RootError::OtherFolder { .. })));
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::create_dir(&root).unwrap();
    DiskTree::adopt(&root, FOLDER, &OffLimits::default()).unwrap();
    assert!(matches!(walk(), Err(RootError::Replaced(_))), "the same folder, but made anew and empty");
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::rename(desk.beside("unplugged"), &root).unwrap();
    walk().unwrap();
}

#[test]
fn h1_a_folder_that_vanishes_during_the_walk_is_an_error_too() {
    let desk = Desk::new();
    desk.write("a/b.txt", "b");
    desk.write("c.txt", "c");
    let marker = desk.at(".cobox/marker");
    let result = desk.tree.walk(&Ignore::default(), None, &mut |_, _| {
        let _ = std::fs::remove_file(&marker);
    });
    assert!(matches!(result, Err(RootError::MarkerMissing(_))));
}

#[test]
fn h1_a_marker_made_anew_tells_itself_from_the_old_one() {
    let desk = Desk::new();
    let first = desk.tree.copy_id();
    assert_eq!(DiskTree::open(desk.tree.path(), &FOLDER).unwrap().copy_id(), first);
    let again = DiskTree::adopt(desk.tree.path(), FOLDER, &OffLimits::default()).unwrap();
    assert_ne!(again.copy_id(), first);
    assert!(matches!(desk.tree.check(), Err(RootError::Replaced(_))));
}

#[test]
fn l14_folders_in_folders_and_too_broad_ones_are_refused() {
    let desk = Desk::new();
    desk.write("a/b/x", "x");
    let none = OffLimits::default();
    assert!(matches!(try_adopt(desk.tree.path(), &none), Err(RootError::OtherFolder { .. })), "the same twice");
    assert!(matches!(try_adopt(&desk.at("a/b"), &none), Err(RootError::InsideFolder { .. })));
    assert!(matches!(try_adopt(desk.place.path(), &none), Err(RootError::ContainsFolder { .. })));
    assert!(matches!(try_adopt(Path::new("/"), &none), Err(RootError::TooBroad(_))));
    assert!(matches!(try_adopt(&desk.beside("nothing"), &none), Err(RootError::Missing(_))));
    assert!(matches!(try_adopt(&desk.at("a/b/x"), &none), Err(RootError::NotADirectory(_))));
    for refused in [desk.place.path().to_owned(), desk.at("a")] {
        assert!(!refused.join(".cobox").exists(), "a refusal leaves nothing behind");
    }

    let homes = tempfile::tempdir().unwrap();
    let home = homes.path().join("alice");
    let state = home.join(".local/cobox");
    let ok = home.join("Documents");
    for dir in [&state, &ok] {
        std::fs::create_dir_all(dir).unwrap();
    }
    std::fs::create_dir(state.join("inner")).unwrap();
    let off = OffLimits { home: Some(home.clone()), state: Some(state.clone()) };
    for broad in [&home, homes.path()] {
        assert!(matches!(try_adopt(broad, &off), Err(RootError::TooBroad(_))));
    }
    for in_state in [state.clone(), state.join("inner"), home.join(".local")] {
        assert!(matches!(try_adopt(&in_state, &off), Err(RootError::StateDirectory { .. })));
    }
    try_adopt(&ok, &off).unwrap();
}

#[test]
fn l8_a_root_that_is_a_symlink_is_refused_but_links_above_it_are_fine() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(place.path().join("real/folder")).unwrap();
    symlink("real", place.path().join("link"));
    symlink("real/folder", place.path().join("direct"));
    assert!(matches!(try_adopt(&place.path().join("direct"), &OffLimits::default()), Err(RootError::Symlink(_))));
    let tree = try_adopt(&place.path().join("link/folder"), &OffLimits::default()).unwrap();
    assert!(tree.path().ends_with("real/folder"));
}

#[test]
fn l17_a_control_directory_that_is_a_trap_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (root, victim) = (place.path().join("folder"), place.path().join("victim"));
    std::fs::create_dir(&root).unwrap();
    std::fs::create_dir(&victim).unwrap();
    std::os::unix::fs::symlink(&victim, root.join(".cobox")).unwrap();
    assert!(try_adopt(&root, &OffLimits::default()).is_err());
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0);
}

#[test]
fn l17_removed_parts_of_the_control_directory_are_rebuilt_but_not_the_marker() {
    let desk = Desk::new();
    for part in ["tmp", "keep"] {
        std::fs::remove_dir(desk.at(".cobox").join(part)).unwrap();
    }
    std::fs::write(desk.at(".cobox/keep"), "a file where a directory should be").unwrap();
    desk.write("x", "1");
    desk.replace("x", b"2", desk.expect("x")).unwrap();
    assert_eq!(desk.tree.list_kept().unwrap().len(), 1);
    std::fs::remove_dir_all(desk.at(".cobox")).unwrap();
    assert!(matches!(desk.tree.temp("t"), Err(DiskError::ControlGone)));
    assert!(matches!(desk.tree.check(), Err(RootError::MarkerMissing(_))));
}

#[test]
fn h4_releasing_keeps_every_file_and_what_is_put_aside_is_not_thrown_away() {
    let desk = Desk::new();
    desk.write("x", "old");
    let kept = desk.replace("x", b"new", desk.expect("x")).unwrap().kept.unwrap();
    drop(desk.tree.temp("half").unwrap());
    assert!(matches!(desk.tree.clone().release(), Err(RootError::StillKept { count: 1, .. })));
    assert!(desk.tree.drop_kept(&kept).unwrap());
    desk.tree.clone().release().unwrap();
    assert_eq!(desk.read("x"), "new");
    assert!(!desk.at(".cobox").exists());
    assert!(desk.tree.check().is_err(), "other handles notice");
}
