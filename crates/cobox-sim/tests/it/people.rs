//! People who are sent away, keys that are changed, and members who are away meanwhile or whose machines stop in the middle.

use std::sync::LazyLock;

use cobox_sim::{Cast, World};

static CAST: LazyLock<Cast> = LazyLock::new(|| Cast::gather().expect("the folder is founded"));

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
/// Keys are changed after 91 days, and a day more at most.
const QUARTER_DAYS: u64 = 93;

fn trio() -> World<'static> {
    let mut world = World::of_people(&CAST, 3);
    world.write(ALICE, "plan", "first");
    world.agree_on_people();
    world
}

#[test]
fn m11_who_was_away_for_a_year_and_four_changes_of_keys_catches_up_alone() {
    let mut world = trio();
    let before = world.epochs(BOB);
    world.part();
    world.stop(BOB);
    world.introduce(ALICE, CAROL);
    for quarter in 0..4 {
        world.write(ALICE, "plan", &format!("quarter {quarter}"));
        world.write(CAROL, &format!("notes/{quarter}"), &format!("in quarter {quarter}"));
        world.sync();
        world.days(QUARTER_DAYS);
        assert!(world.epochs(ALICE) > before + quarter, "unasked, quarter {quarter}");
        if quarter == 1 {
            assert!(world.send_away(ALICE, CAROL));
            world.sync();
        }
    }
    let hers = world.epochs(CAROL);
    world.start(BOB);
    world.meet();
    world.agree_on_people();
    assert_eq!(world.read(BOB, "plan").as_deref(), Some("quarter 3"));
    assert_eq!(
        world.read(BOB, "notes/1").as_deref(),
        Some("in quarter 1"),
        "from the hands of who was sent away since"
    );
    assert!(world.read(BOB, "notes/2").is_none() && world.read(CAROL, "notes/2").is_some());
    assert_eq!(world.epochs(BOB), world.epochs(ALICE));
    assert!(world.epochs(BOB) >= before + 5 && world.epochs(CAROL) == hers, "and Carol has no more than she had");
    // He goes on as if he had never been away.
    world.write(BOB, "plan", "a year later");
    world.agree_on_people();
    assert_eq!(world.read(ALICE, "plan").as_deref(), Some("a year later"));
}

/// Alice sends Carol away; the machine of `who` stops after each number of durable things there can be.
fn stops_at_any_point_of_a_removal(who: usize) {
    for durable in 0.. {
        let mut world = trio();
        world.stop_after(who, durable);
        world.send_away(ALICE, CAROL);
        world.write(BOB, "notes", "Bob's");
        world.sync();
        let stopped = !world.runs(who);
        world.stop_no_more(who);
        world.start(who);
        world.meet();
        if world.belongs(ALICE, CAROL) {
            assert!(stopped && who == ALICE, "it was done before {durable} durable things");
            assert!(world.send_away(ALICE, CAROL), "it can be done again");
        }
        world.sync();
        world.meet();
        world.write(ALICE, "plan", "without Carol");
        world.agree_on_people();
        assert_eq!(world.read(BOB, "plan").as_deref(), Some("without Carol"), "stopped after {durable} durable things");
        assert_eq!(world.read(ALICE, "notes").as_deref(), Some("Bob's"));
        assert_eq!(world.read(CAROL, "plan").as_deref(), Some("first"));
        if !stopped {
            assert!(durable > 2, "a removal is made durable in steps");
            return;
        }
    }
}

#[test]
fn m11_a_stop_at_any_point_of_a_removal_neither_loses_nor_lets_read() {
    stops_at_any_point_of_a_removal(ALICE);
}

#[test]
fn m11_a_stop_at_any_point_of_a_removal_by_somebody_else_neither_loses_nor_lets_read() {
    stops_at_any_point_of_a_removal(BOB);
}

/// Bob and Carol are cut off from each other; each is sent away by Alice or sends nobody away, while all write. Then all meet.
#[test]
fn m2_what_was_written_on_both_sides_of_a_removal_is_there_or_held_aside() {
    let mut world = trio();
    world.part();
    world.write(CAROL, "carol", "before she could know");
    world.sync();
    assert!(world.send_away(ALICE, CAROL));
    world.introduce(BOB, CAROL);
    world.sync();
    // Bob joined hers before he heard of anything, and wrote on: he vouches.
    world.write(BOB, "bob", "with Carol's before him");
    world.sync();
    world.part();
    world.write(CAROL, "later", "nobody vouches for this");
    world.sync();
    world.meet();
    world.sync();
    world.meet();
    world.agree_on_people();
    for who in [ALICE, BOB] {
        assert!(world.read(who, "carol").is_some() && world.read(who, "bob").is_some());
        assert!(world.read(who, "later").is_none());
    }
    assert!(world.read(CAROL, "later").is_some(), "what is on her disk is hers");
}
