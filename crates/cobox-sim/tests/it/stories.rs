//! The cases of concurrency and disaster, told one by one.

use std::sync::LazyLock;

use cobox_proto::guard::{self, Guard};
use cobox_sim::{Cast, World};

static CAST: LazyLock<Cast> = LazyLock::new(|| Cast::gather().expect("the folder is founded"));

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

fn world(members: usize) -> World<'static> {
    World::of(&CAST, members)
}

/// Alice and Bob with these files.
fn pair(files: &[&str]) -> World<'static> {
    let mut world = world(2);
    for file in files {
        world.write(ALICE, file, &format!("first {file}"));
    }
    world.agree();
    world
}

#[test]
fn what_one_creates_edits_and_deletes_reaches_the_other() {
    let mut world = pair(&["a.txt", "docs/b.txt"]);
    assert_eq!(world.read(BOB, "docs/b.txt").unwrap(), "first docs/b.txt");
    world.write(BOB, "a.txt", "second");
    world.agree();
    assert_eq!(world.read(ALICE, "a.txt").unwrap(), "second");
    world.delete(ALICE, "a.txt");
    world.delete(ALICE, "docs");
    world.agree();
    assert_eq!(world.paths(BOB), Vec::<String>::new());
}

#[test]
fn long_files_travel_as_chunks() {
    let mut world = world(2);
    world.write(ALICE, "long", &"many words ".repeat(60_000));
    world.agree();
    assert_eq!(world.read(BOB, "long"), world.read(ALICE, "long"));
}

#[test]
fn l1_a_case_only_rename_is_a_rename() {
    let mut world = pair(&["A.txt", "Dir/inside"]);
    world.rename(ALICE, "A.txt", "a.txt");
    world.rename(ALICE, "Dir", "dir");
    world.agree();
    assert_eq!(world.paths(BOB), ["a.txt", "dir", "dir/inside"]);
    assert_eq!(world.set_aside(BOB), 0, "nothing was removed and written again");
}

#[test]
fn a_directory_moved_into_one_that_was_made_anew_is_in_that_one() {
    let mut world = pair(&["d/e/old", "f/inside"]);
    world.rename(ALICE, "d/e", "d/f");
    world.make_dir(ALICE, "d/e");
    world.rename(ALICE, "f", "d/e/d");
    world.agree();
    assert_eq!(world.paths(BOB), ["d", "d/e", "d/e/d", "d/e/d/inside", "d/f", "d/f/old"]);
    assert_eq!((world.set_aside(ALICE), world.set_aside(BOB)), (0, 0), "they were moved");
}

#[test]
fn what_was_moved_out_of_a_directory_that_moves_too_is_where_it_was_put() {
    let mut world = pair(&["z/inner/file", "z/other"]);
    world.rename(ALICE, "z/inner", "a");
    world.rename(ALICE, "z", "b");
    world.agree();
    assert_eq!(world.paths(BOB), ["a", "a/file", "b", "b/other"]);
    world.make_dir(ALICE, "x");
    world.rename(ALICE, "a", "x/a");
    world.rename(ALICE, "b", "a");
    world.agree();
    assert_eq!(world.paths(BOB), ["a", "a/other", "x", "x/a", "x/a/file"]);
}

#[test]
fn c1_two_edits_at_once_give_one_winner_and_one_copy_of_one_name_everywhere() {
    let mut world = pair(&["a.txt"]);
    world.part();
    world.write(ALICE, "a.txt", "Alice's");
    world.write(BOB, "a.txt", "Bob's");
    world.sync();
    world.meet();
    world.agree();
    let paths = world.paths(ALICE);
    assert_eq!(paths.len(), 2, "{paths:?}");
    assert!(paths[0].starts_with("a (conflict "), "{paths:?}");
    let mut texts = [world.read(BOB, &paths[0]).unwrap(), world.read(BOB, &paths[1]).unwrap()];
    texts.sort();
    assert_eq!(texts, ["Alice's", "Bob's"]);
    let published = world.published(ALICE) + world.published(BOB);
    world.agree();
    assert_eq!(world.published(ALICE) + world.published(BOB), published, "the copy is no news");
}

#[test]
fn c1_equal_edits_are_no_conflict() {
    let mut world = pair(&["a.txt"]);
    world.part();
    world.write(ALICE, "a.txt", "the same");
    world.write(BOB, "a.txt", "the same");
    world.sync();
    world.meet();
    world.agree();
    assert_eq!(world.paths(BOB), ["a.txt"]);
}

/// Tells a story twice: as it is, and as it would be without a guard.
fn with_and_without<T>(guard: Guard, story: impl Fn() -> T) -> [T; 2] {
    let with = story();
    guard::take_away(Some(guard));
    let without = story();
    guard::take_away(None);
    [with, without]
}

#[test]
fn c2_a_mode_that_came_after_the_last_look_survives_a_deletion() {
    let story = || {
        let mut world = pair(&["a.txt"]);
        world.make_executable(ALICE, "a.txt");
        world.look_there(ALICE, "a.txt");
        world.exchange();
        // Bob's has the new mode by now, and nobody has looked at it since.
        world.delete(BOB, "a.txt");
        world.agree();
        world.read(ALICE, "a.txt").is_some()
    };
    assert_eq!(with_and_without(Guard::AdoptedIsNotDeleted, story), [true, false]);
}

#[test]
fn k2_a_move_of_which_one_half_is_told_first_is_one() {
    let story = || {
        let mut world = pair(&["a.txt"]);
        let item = world.item(BOB, "a.txt");
        world.rename(ALICE, "a.txt", "b.txt");
        world.look_there(ALICE, "b.txt");
        world.exchange();
        world.agree();
        assert_eq!(world.paths(BOB), ["b.txt"]);
        world.item(BOB, "b.txt") == item
    };
    assert_eq!(with_and_without(Guard::HalfAMoveIsNoCopy, story), [true, false]);
}

#[test]
fn c2_an_edit_survives_a_deletion_that_did_not_know_it() {
    let mut world = pair(&["a.txt"]);
    world.part();
    world.write(ALICE, "a.txt", "edited");
    world.delete(BOB, "a.txt");
    world.sync();
    world.meet();
    world.agree();
    assert_eq!(world.read(BOB, "a.txt").unwrap(), "edited");
}

#[test]
fn c3_what_is_added_inside_follows_a_renamed_directory() {
    let mut world = pair(&["dir/a.txt"]);
    world.part();
    world.rename(ALICE, "dir", "renamed");
    world.write(BOB, "dir/b.txt", "new");
    world.sync();
    world.meet();
    world.agree();
    assert_eq!(world.paths(BOB), ["renamed", "renamed/a.txt", "renamed/b.txt"]);
}

#[test]
fn c4_a_file_and_a_directory_of_one_name_are_both_kept() {
    let mut world = world(2);
    world.part();
    world.write(ALICE, "thing", "a file");
    world.write(BOB, "thing/inside", "in a directory");
    world.sync();
    world.meet();
    world.agree();
    let paths = world.paths(ALICE);
    assert_eq!(paths.len(), 3, "{paths:?}");
    assert_eq!(world.read(ALICE, "thing/inside").unwrap(), "in a directory");
    assert_eq!(world.read(BOB, &paths[2]).or(world.read(BOB, &paths[1])).unwrap(), "a file");
}

#[test]
fn c5_an_edit_deep_inside_survives_the_deletion_of_the_directory() {
    let mut world = pair(&["a/b/c.txt", "a/d.txt"]);
    world.part();
    world.delete(ALICE, "a");
    world.write(BOB, "a/b/c.txt", "edited");
    world.sync();
    world.meet();
    world.agree();
    assert_eq!(world.paths(ALICE), ["a", "a/b", "a/b/c.txt"]);
    assert_eq!(world.read(ALICE, "a/b/c.txt").unwrap(), "edited");
}

/// Alice and Bob with a conflict; the path of the copy.
fn conflict() -> (World<'static>, String) {
    let mut world = pair(&["a.txt"]);
    world.part();
    world.write(ALICE, "a.txt", "Alice's");
    world.write(BOB, "a.txt", "Bob's");
    world.sync();
    world.meet();
    world.agree();
    let copy = world.paths(ALICE).remove(0);
    (world, copy)
}

#[test]
fn c7_a_conflict_copy_can_be_deleted() {
    let (mut world, copy) = conflict();
    let winner = world.read(BOB, "a.txt");
    world.delete(BOB, &copy);
    world.agree();
    assert_eq!(world.paths(ALICE), ["a.txt"]);
    assert_eq!(world.read(ALICE, "a.txt"), winner);
}

#[test]
fn c7_a_conflict_copy_can_be_edited() {
    let (mut world, copy) = conflict();
    world.write(ALICE, &copy, "merged by hand");
    world.agree();
    assert_eq!(world.files(BOB), 2);
    let texts: Vec<String> = world.paths(BOB).iter().filter_map(|path| world.read(BOB, path)).collect();
    assert!(texts.contains(&"merged by hand".to_owned()), "{texts:?}");
}

#[test]
fn c7_a_conflict_copy_can_take_the_place_of_the_original() {
    let (mut world, copy) = conflict();
    let text = world.read(ALICE, &copy);
    world.rename(ALICE, &copy, "a.txt");
    world.agree();
    assert_eq!(world.paths(BOB), ["a.txt"]);
    assert_eq!(world.read(BOB, "a.txt"), text);
}

#[test]
fn c8_who_was_away_for_long_keeps_its_edits_and_undoes_no_deletions() {
    let mut world = pair(&["gone.txt", "kept.txt", "edited.txt"]);
    world.part();
    world.stop(BOB);
    world.write(BOB, "edited.txt", "Bob's, while away");
    world.delete(ALICE, "gone.txt");
    for n in 0..30 {
        world.write(ALICE, "kept.txt", &format!("version {n}"));
        world.sync();
    }
    world.start(BOB);
    world.meet();
    world.agree();
    assert_eq!(world.paths(ALICE), ["edited.txt", "kept.txt"]);
    assert_eq!(world.read(ALICE, "edited.txt").unwrap(), "Bob's, while away");
    assert_eq!(world.read(BOB, "kept.txt").unwrap(), "version 29");
}

#[test]
fn c9_a_change_that_comes_by_three_routes_counts_once() {
    let mut world = world(5);
    world.write(ALICE, "a.txt", "one");
    world.agree();
    world.part();
    for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)] {
        world.introduce(a, b);
    }
    world.write(ALICE, "a.txt", "two");
    world.agree();
    assert_eq!(world.read(4, "a.txt").unwrap(), "two");
    assert_eq!(world.files(4), 1);
}

#[test]
fn c11_an_edit_after_the_plan_and_before_the_write_is_kept() {
    let mut world = pair(&["a.txt"]);
    world.part();
    world.write(ALICE, "a.txt", "Alice's");
    world.sync();
    world.meet();
    // Bob's disk is not looked at: the new version meets his unseen edit.
    world.write(BOB, "a.txt", "Bob's");
    world.settle_only();
    world.agree();
    let texts: Vec<String> = world.paths(ALICE).iter().filter_map(|path| world.read(ALICE, path)).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts.contains(&"Bob's".to_owned()) && texts.contains(&"Alice's".to_owned()));
}

#[test]
fn h1_an_emptied_folder_is_held_until_a_person_says_so() {
    let mut world = pair(&["a", "b", "c", "d"]);
    for file in ["a", "b", "c", "d"] {
        world.delete(BOB, file);
    }
    world.sync();
    assert_eq!(world.engine(BOB).held().map(|held| held.paths.len()), Some(4));
    assert_eq!(world.files(ALICE), 4, "nothing was deleted elsewhere");
    world.decide(BOB, true);
    world.agree();
    assert_eq!(world.files(ALICE), 0);
}

#[test]
fn h1_refused_deletions_bring_the_files_back() {
    let mut world = pair(&["a", "b", "c", "d"]);
    for file in ["a", "b", "c", "d"] {
        world.delete(BOB, file);
    }
    world.sync();
    world.decide(BOB, false);
    world.agree();
    assert_eq!(world.files(BOB), 4);
    assert!(world.engine(BOB).held().is_none());
}

#[test]
fn h3_joining_with_a_full_directory_merges_and_deletes_nothing() {
    let mut world = world(3);
    world.part();
    world.write(ALICE, "same.txt", "the same");
    world.write(ALICE, "other.txt", "Alice's");
    world.write(CAROL, "same.txt", "the same");
    world.write(CAROL, "other.txt", "Carol's");
    world.write(CAROL, "mine.txt", "Carol's alone");
    world.sync();
    world.meet();
    world.agree();
    assert_eq!(world.files(BOB), 4, "{:?}", world.paths(BOB));
    assert_eq!(world.read(BOB, "mine.txt").unwrap(), "Carol's alone");
}

#[test]
fn k10_a_restored_state_deletes_and_reverts_nothing_newer() {
    for with_disk in [false, true] {
        let mut world = pair(&["a.txt", "b.txt", "dir/c.txt"]);
        let backup = world.back_up(BOB);
        world.write(BOB, "a.txt", "newer");
        world.write(BOB, "new.txt", "later");
        world.delete(ALICE, "b.txt");
        world.rename(ALICE, "dir", "moved");
        world.agree();
        world.set_back(BOB, backup, with_disk);
        world.start(BOB);
        world.meet();
        world.agree();
        assert_eq!(world.paths(BOB), ["a.txt", "moved", "moved/c.txt", "new.txt"], "with its disk: {with_disk}");
        assert_eq!(world.read(BOB, "a.txt").unwrap(), "newer");
    }
}

/// Alice and Bob with these files, and Alice ignores some from then on.
fn ignoring(files: &[&str], rules: &str) -> World<'static> {
    let mut world = pair(files);
    world.write(ALICE, ".cobox-ignore", rules);
    world.agree();
    world
}

#[test]
fn l15_what_is_ignored_from_now_on_stays_with_everybody() {
    let mut world = ignoring(&["a.txt", "build/out", "build/deep/out"], "build/");
    let all = [".cobox-ignore", "a.txt", "build", "build/deep", "build/deep/out", "build/out"];
    for member in [ALICE, BOB] {
        assert_eq!(world.paths(member), all);
        assert_eq!(world.synced_files(member), 2, "and is not kept in mind");
    }
    assert!(world.engine(BOB).view().entries.len() > 2, "the folder still has it");
    world.write(ALICE, "build/out", "Alice's own");
    world.delete(BOB, "build");
    world.agree();
    assert_eq!(world.read(ALICE, "build/out").unwrap(), "Alice's own");
    assert_eq!(world.paths(BOB), [".cobox-ignore", "a.txt"]);
}

#[test]
fn l15_what_others_do_to_an_ignored_file_touches_nothing_here() {
    let mut world = pair(&["edited", "deleted", "renamed", "d/moved"]);
    world.part();
    world.write(ALICE, ".cobox-ignore", "edited\ndeleted\nrenamed\nd/");
    world.sync();
    for file in ["edited", "deleted", "renamed", "d/moved"] {
        world.write(ALICE, file, "mine");
    }
    world.write(BOB, "edited", "Bob's");
    world.delete(BOB, "deleted");
    world.rename(BOB, "renamed", "name");
    world.rename(BOB, "d", "e");
    world.sync();
    world.meet();
    world.sync();
    for file in ["edited", "deleted", "renamed", "d/moved"] {
        assert_eq!(world.read(ALICE, file).unwrap(), "mine", "{file}");
    }
    assert_eq!(world.read(ALICE, "name").unwrap(), "first renamed");
    assert_eq!(world.read(ALICE, "e/moved").unwrap(), "first d/moved");
}

#[test]
fn l15_ignored_no_more_is_compared_and_never_overwritten() {
    let mut world = ignoring(&["equal", "differs", "gone", "untouched"], "equal\ndiffers\ngone\nnew");
    world.write(ALICE, "differs", "Alice's");
    world.write(ALICE, "new", "Alice's new");
    world.write(BOB, "new", "Bob's new");
    world.delete(ALICE, "gone");
    world.agree();
    world.write(BOB, ".cobox-ignore", "");
    world.agree();
    for member in [ALICE, BOB] {
        assert_eq!(world.read(member, "equal").unwrap(), "first equal");
        assert_eq!(world.read(member, "gone").unwrap(), "first gone", "absent is not deleted");
        let texts: Vec<_> = world.paths(member).iter().map(|path| world.read(member, path).unwrap()).collect();
        for text in ["Alice's", "first differs", "Alice's new", "Bob's new"] {
            assert_eq!(texts.iter().filter(|t| *t == text).count(), 1, "{text}: {texts:?}");
        }
        assert_eq!(texts.len(), 8, "{texts:?}");
    }
}

#[test]
fn l15_a_newcomer_does_not_get_what_is_ignored() {
    let mut world = ignoring(&["a.txt", "build/out"], "build/");
    world.add_member();
    world.meet();
    world.agree();
    assert_eq!(world.paths(CAROL), [".cobox-ignore", "a.txt"]);
    world.write(BOB, ".cobox-ignore", "nothing");
    world.agree();
    assert_eq!(world.read(CAROL, "build/out").unwrap(), "first build/out");
}

#[test]
fn l15_what_moves_to_an_ignored_place_stays_with_others() {
    let mut world = ignoring(&["d/keep", "d/secret"], "private/\nsecret.txt");
    world.rename(ALICE, "d/secret", "d/secret.txt");
    world.agree();
    assert_eq!(world.paths(BOB), [".cobox-ignore", "d", "d/keep"], "for the folder it left");
    world.rename(ALICE, "d", "private");
    world.agree();
    assert_eq!(world.paths(BOB), [".cobox-ignore"]);
    assert_eq!(world.read(ALICE, "private/secret.txt").unwrap(), "first d/secret");
}

#[test]
fn l16_a_deleted_directory_that_holds_ignored_files_stays_with_them() {
    let mut world = ignoring(&["d/a.txt", "d/deep/b.txt"], "local");
    world.write(ALICE, "d/deep/local", "Alice's own");
    world.agree();
    world.delete(BOB, "d");
    world.agree();
    assert_eq!(world.paths(BOB), [".cobox-ignore"]);
    assert_eq!(world.paths(ALICE), [".cobox-ignore", "d", "d/deep", "d/deep/local"]);
    let stuck = world.engine(ALICE).summary().stuck;
    let told: Vec<_> = stuck.iter().map(|(path, why)| (path.to_string(), why.clone())).collect();
    assert_eq!(told, ["d", "d/deep"].map(|dir| (dir.to_owned(), cobox_core::engine::StepError::NotEmpty)));
    // What is put there is content again, and the directory with it.
    world.write(ALICE, "d/new", "new");
    world.agree();
    assert_eq!(world.read(BOB, "d/new").unwrap(), "new");
    world.delete(ALICE, "d/new");
    world.delete(ALICE, "d/deep/local");
    world.agree();
    assert!(world.engine(ALICE).summary().stuck.is_empty());
}

const YEAR_MS: i64 = 365 * 86_400_000;

#[test]
fn t1_a_member_in_1970_and_one_in_2100_end_up_with_the_same_winner_and_both_versions() {
    let mut world = world(3);
    world.set_clock(ALICE, -50 * YEAR_MS);
    world.set_clock(CAROL, 75 * YEAR_MS);
    world.write(BOB, "plan", "before");
    world.agree();
    world.part();
    for (who, text) in [(ALICE, "from the past"), (CAROL, "from the future")] {
        world.write(who, "plan", text);
    }
    world.sync();
    world.meet();
    world.agree();
    let texts: Vec<String> = world.paths(BOB).iter().filter_map(|path| world.read(BOB, path)).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts.iter().any(|text| text == "from the past") && texts.iter().any(|text| text == "from the future"));
    // Whoever edits next wins, however early their clock says it is.
    world.write(ALICE, "plan", "after both");
    world.agree();
    assert_eq!(world.read(CAROL, "plan").unwrap(), "after both");
}

#[test]
fn d7_an_empty_listing_without_an_error_deletes_nothing_anywhere() {
    let mut world = pair(&["a.txt", "b.txt", "c.txt", "d/e.txt"]);
    world.look_and_see_nothing(ALICE);
    assert_eq!(world.files(BOB), 4);
    world.agree();
    assert_eq!((world.files(ALICE), world.files(BOB)), (4, 4));
    assert!(world.engine(ALICE).held().is_none(), "what was found again is not asked about any more");
}

#[test]
fn n3_changes_cross_a_row_of_members_who_meet_one_neighbour_at_a_time() {
    let mut world = world(3);
    world.part();
    world.write(ALICE, "a.txt", &"from Alice ".repeat(200));
    world.write(CAROL, "c.txt", "from Carol");
    world.sync();
    for (one, other) in [(ALICE, BOB), (BOB, CAROL), (ALICE, BOB)] {
        world.introduce(one, other);
        world.sync();
        world.part();
    }
    assert_eq!(world.read(CAROL, "a.txt").unwrap(), "from Alice ".repeat(200));
    assert_eq!(world.read(ALICE, "c.txt").unwrap(), "from Carol");
}

/// Alice deletes a file; the machine of `who` stops after each number of durable things there can be.
fn stops_at_any_point_of_a_deletion(who: usize) {
    for durable in 0.. {
        let mut world = pair(&["keep.txt", "gone.txt"]);
        world.delete(ALICE, "gone.txt");
        world.stop_after(who, durable);
        world.sync();
        let stopped = !world.runs(who);
        world.start(who);
        world.meet();
        world.agree();
        for member in [ALICE, BOB] {
            assert_eq!(world.paths(member), ["keep.txt"], "stopped after {durable} durable things");
        }
        if !stopped {
            assert!(durable > 1, "a deletion is made durable in steps");
            return;
        }
    }
}

#[test]
fn k5_a_stop_at_any_point_of_a_deletion_neither_loses_nor_revives() {
    stops_at_any_point_of_a_deletion(ALICE);
}

#[test]
fn k5_a_stop_at_any_point_of_a_deletion_by_somebody_else_neither_loses_nor_revives() {
    stops_at_any_point_of_a_deletion(BOB);
}

#[test]
fn c10_five_who_edit_one_file_again_and_again_agree_and_keep_what_they_listed() {
    let mut world = world(5);
    world.write(ALICE, "minutes", "begun");
    world.agree();
    for round in 0..20 {
        for who in 0..5 {
            world.write(who, "minutes", &format!("{who} in round {round}"));
        }
        world.sync();
    }
    world.agree();
    let shown = world.files(BOB);
    assert!((2..=100).contains(&shown), "{shown} files");
    let conflicts = world.engine(BOB).summary().conflicts as usize;
    assert_eq!(conflicts, shown - 1, "every version beside the winner is listed");
    let last = (0..5).filter(|who| {
        let text = format!("{who} in round 19");
        world.paths(BOB).iter().any(|path| world.read(BOB, path).as_deref() == Some(&text))
    });
    assert_eq!(last.count(), 5, "nobody's last edit is lost");
}

#[test]
fn d6_nothing_is_concluded_about_what_can_not_be_read() {
    let mut world = pair(&["a.txt", "dir/b.txt", "dir/c.txt"]);
    world.hide(BOB, "dir");
    world.delete(BOB, "dir");
    world.sync();
    assert_eq!(world.files(ALICE), 3);
}

#[test]
fn moving_a_thousand_files_is_one_commit_and_no_content() {
    let mut world = world(2);
    for n in 0..1000 {
        world.write(ALICE, &format!("dir/{n:04}"), &format!("file {n} {}", "long ".repeat(150)));
    }
    world.agree();
    let (blocks, published) = (world.blocks(BOB), world.published(ALICE));
    world.rename(ALICE, "dir", "moved");
    world.agree();
    assert_eq!(world.published(ALICE), published + 1);
    assert!(world.blocks(BOB) - blocks < 10, "{} new blocks", world.blocks(BOB) - blocks);
    assert_eq!(world.set_aside(BOB), 0);
    assert_eq!((world.files(BOB), world.synced_files(BOB)), (1000, 1000));
}

#[test]
fn a_moved_file_under_a_new_directory_is_moved_not_fetched() {
    let mut world = pair(&["a.txt"]);
    world.make_dir(ALICE, "new");
    world.rename(ALICE, "a.txt", "new/a.txt");
    world.agree();
    assert_eq!(world.set_aside(BOB), 0);
}

/// Both write at once under one name, from the first head of the actor on or in the middle of its chain.
fn twins_write(before: &[&str]) {
    let mut world = pair(&["a.txt", "b.txt"]);
    for path in before {
        world.write(BOB, path, path);
    }
    world.agree();
    world.part();
    world.twin(BOB);
    const TWIN: usize = 2;
    world.write(BOB, "from Bob", "Bob's");
    world.write(BOB, "a.txt", "Bob's a");
    world.delete(BOB, "b.txt");
    world.sync();
    world.write(BOB, "from Bob", "Bob's, later");
    world.sync();
    world.write(TWIN, "from the twin", "the twin's");
    world.write(TWIN, "a.txt", "the twin's a");
    world.sync();
    world.write(TWIN, "b.txt", "the twin's b");
    world.sync();
    // Alice hears of both; they hear of each other from her alone.
    world.introduce(ALICE, BOB);
    world.settle_only();
    world.introduce(ALICE, TWIN);
    world.agree();
    let texts: Vec<String> = world.paths(ALICE).iter().filter_map(|path| world.read(ALICE, path)).collect();
    for text in ["Bob's, later", "Bob's a", "the twin's", "the twin's a", "the twin's b"] {
        assert!(texts.iter().any(|have| have == text), "{text} is not among {texts:?}");
    }
    assert!(!texts.iter().any(|text| text == "Bob's" || text == "b.txt"), "{texts:?}");
    for (who, engine) in [(BOB, world.engine(BOB)), (TWIN, world.engine(TWIN))] {
        assert!(engine.knows_of_a_twin(), "member {who} was not told");
    }
    // They go on as two, also after a stop, and what one deletes is gone for all.
    world.write(BOB, "a.txt", "Bob goes on");
    world.write(TWIN, "from Bob", "the twin goes on");
    world.agree();
    world.stop(BOB);
    world.start(BOB);
    world.meet();
    world.delete(BOB, "from the twin");
    world.agree();
    assert_eq!(world.read(ALICE, "from the twin"), None);
    assert_eq!(world.read(BOB, "from Bob").unwrap(), "the twin goes on");
    assert_eq!(world.read(TWIN, "a.txt").unwrap(), "Bob goes on");
}

#[test]
fn n8_a_machine_that_wakes_up_twice_before_it_wrote_loses_nothing_and_both_are_told() {
    twins_write(&[]);
}

#[test]
fn n8_a_machine_that_wakes_up_twice_in_the_middle_of_its_chain_loses_nothing_and_both_are_told() {
    twins_write(&["c.txt", "d.txt"]);
}

#[test]
fn n8_twins_of_whom_two_hear_in_different_order_are_named_alike() {
    let mut world = world(3);
    const TWIN: usize = 3;
    world.write(BOB, "a.txt", "a");
    world.agree();
    world.part();
    world.twin(BOB);
    for (who, text) in [(BOB, "Bob's"), (TWIN, "the twin's")] {
        for n in 0..3 {
            world.write(who, &format!("{text} {n}"), &format!("{text} {n}"));
            world.sync();
        }
    }
    world.introduce(ALICE, BOB);
    world.introduce(CAROL, TWIN);
    world.settle_only();
    world.write(ALICE, "Bob's 1", "Alice edits");
    world.write(CAROL, "the twin's 1", "Carol edits");
    world.sync();
    world.introduce(ALICE, CAROL);
    world.agree();
    assert_eq!(world.files(ALICE), 7);
    assert_eq!(world.read(TWIN, "Bob's 1").unwrap(), "Alice edits");
    assert_eq!(world.read(BOB, "the twin's 1").unwrap(), "Carol edits");
}
