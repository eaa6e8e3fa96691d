//! The join where honest histories do not lead: two values under one dot, arbitrary states, states that are no tree.

use std::collections::BTreeSet;

use cobox_core::state::{
    Alarm, Body, Content, Dot, History, Item, Kind, Loc, Manifest, Ref, Register, State, Values, view,
};
use cobox_proto::id::{Cid, EpochTag, Inode};
use smallvec::smallvec;

use super::dice::Dice;
use super::twin::{Twin, entries};
use super::world::{actor, body, depths, device, name};

const FILE: Inode = Inode([7; 16]);

fn dot(counter: u64, who: u64) -> Dot {
    Dot { counter, actor: actor(who) }
}

fn loc(vd: Dot, parent: Inode, text: &str) -> Loc {
    Loc { vd, parent, name: name(text), trashed: false }
}

fn sealed(epoch: u8, cid: u8) -> Body {
    let one = Ref { cid: Cid([cid; 32]), len: 600, epoch: EpochTag([epoch; 16]) };
    Body { size: 600, content: Content::Refs(Box::new([one])), ..body(5) }
}

fn one_file(value: Body) -> State {
    let d = dot(1, 0);
    let mut state = State::new();
    state.ctx.raise(d.actor, device(0), 1);
    let place = smallvec![(d, loc(d, Inode::ZERO, "a"))];
    state.insert(FILE, Item { kind: Kind::File, loc: place, body: smallvec![(d, value)] });
    state
}

fn join_both_ways(a: &State, b: &State) -> (State, Vec<Alarm>) {
    let (mut x, mut y) = (a.clone(), b.clone());
    let (_, alarms) = x.join(b, &depths());
    y.join(a, &depths());
    assert_eq!(x, y);
    (x, alarms)
}

#[test]
fn f5_the_newer_seal_of_one_value_wins_without_alarm() {
    let (joined, alarms) = join_both_ways(&one_file(sealed(1, 200)), &one_file(sealed(2, 100)));
    assert_eq!(joined, one_file(sealed(2, 100)));
    assert_eq!(alarms, []);
}

#[test]
fn f5_a_longer_list_is_judged_by_its_oldest_epoch_and_then_by_its_digest() {
    let manifest = |oldest: u8, digest: u8| Body {
        content: Content::Manifest(Box::new(Manifest {
            cid: Cid([9; 32]),
            refs: 70,
            oldest_epoch: EpochTag([oldest; 16]),
            refs_digest: [digest; 32],
        })),
        ..body(5)
    };
    let (joined, alarms) = join_both_ways(&one_file(manifest(3, 1)), &one_file(manifest(2, 9)));
    assert_eq!((joined, alarms), (one_file(manifest(3, 1)), vec![]));
    let (joined, _) = join_both_ways(&one_file(manifest(3, 1)), &one_file(manifest(3, 9)));
    assert_eq!(joined, one_file(manifest(3, 9)));
}

#[test]
fn x4_two_contents_under_one_dot_raise_an_alarm_and_one_stays() {
    let (joined, alarms) = join_both_ways(&one_file(body(1)), &one_file(body(2)));
    assert_eq!(joined.get(&FILE).unwrap().body.len(), 1);
    assert_eq!(alarms, [Alarm::TwoValues { inode: FILE, dot: dot(1, 0), register: Register::Body }]);
}

#[test]
fn x4_two_places_under_one_dot_raise_an_alarm_and_one_stays() {
    let moved = |text: &str| {
        let mut state = one_file(body(1));
        let mut item = state.get(&FILE).unwrap().clone();
        item.loc[0].1.name = name(text);
        state.insert(FILE, item);
        state
    };
    let (_, alarms) = join_both_ways(&moved("a"), &moved("b"));
    assert_eq!(alarms, [Alarm::TwoValues { inode: FILE, dot: dot(1, 0), register: Register::Place }]);
}

#[test]
fn x4_one_inode_for_two_kinds_raises_an_alarm_and_ends_as_one() {
    let mut other = one_file(body(1));
    let item = Item { kind: Kind::Dir, body: Values::new(), ..other.get(&FILE).unwrap().clone() };
    other.insert(FILE, item);
    let (joined, alarms) = join_both_ways(&one_file(body(1)), &other);
    assert_eq!(joined.get(&FILE).unwrap().kind, Kind::Dir);
    assert_eq!(alarms, [Alarm::TwoKinds { inode: FILE }]);
}

/// A state of a few items that share one undying place; other values come and go at will, with seals of every kind.
fn arbitrary(dice: &mut Dice) -> State {
    let mut state = State::new();
    state.ctx.raise(actor(0), device(0), 1);
    for who in 0..3 {
        state.ctx.raise(actor(who), device(who), 1 + dice.below(4) as u64);
    }
    for n in 0..3 {
        let root = dot(1, 0);
        let mut item =
            Item { kind: Kind::File, loc: smallvec![(root, loc(root, Inode::ZERO, "a"))], body: Values::new() };
        for counter in 1..5 {
            for who in 0..3 {
                let d = dot(counter, who);
                if d == root || !state.ctx.covers(d) {
                    continue;
                }
                if dice.percent(40) {
                    item.loc.push((d, loc(d, Inode([dice.below(2) as u8; 16]), "b")));
                }
                if dice.percent(40) {
                    let value = match dice.below(3) {
                        0 => body(dice.below(3) as u64),
                        _ => sealed(dice.below(3) as u8, dice.below(3) as u8),
                    };
                    item.body.push((d, value));
                }
            }
        }
        item.loc.sort();
        item.body.sort();
        state.insert(Inode([n; 16]), item);
    }
    state
}

#[test]
fn c9_the_join_of_arbitrary_states_has_no_order_and_no_repetition() {
    let mut dice = Dice::new(1);
    let join = |a: &State, b: &State| join_both_ways(a, b).0;
    for _ in 0..5_000 {
        let [a, b, c] = [0; 3].map(|_| arbitrary(&mut dice));
        assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        assert_eq!(join(&a, &a), a);
        assert_eq!(join(&join(&a, &b), &b), join(&a, &b));
    }
}

/// Any tangle: parents that are absent, files, selves or cycles; several places; trash anywhere.
fn tangle(dice: &mut Dice) -> State {
    let mut state = State::new();
    let count = 1 + dice.below(14) as u8;
    for n in 1..=count {
        let kind = *dice.pick(&[Kind::Dir, Kind::Dir, Kind::File, Kind::Symlink]);
        let mut item = Item { kind, loc: Values::new(), body: Values::new() };
        for _ in 0..1 + dice.below(2) {
            let d = dot(u64::from(n) + dice.below(20) as u64 * 100, dice.below(3) as u64);
            let parent = Inode([dice.below(usize::from(count) + 2) as u8; 16]);
            let trashed = kind == Kind::Dir && dice.percent(30);
            let vd = dot(1 + dice.below(9) as u64, dice.below(3) as u64);
            let place = Loc { vd, parent, name: name(["a", "b", "c"][dice.below(3)]), trashed };
            item.loc.push((d, place));
            if kind != Kind::Dir && dice.percent(80) {
                item.body.push((d, body(dice.below(4) as u64)));
            }
        }
        item.loc.sort();
        item.loc.dedup_by_key(|(d, _)| *d);
        item.body.sort();
        item.body.dedup_by_key(|(d, _)| *d);
        state.insert(Inode([n; 16]), item);
    }
    state
}

#[test]
fn x5_every_tangle_has_a_view_and_the_twin_sees_the_same() {
    let mut dice = Dice::new(2);
    for round in 0..10_000 {
        let state = tangle(&mut dice);
        let twin = Twin::of(&state, &History::new(), &BTreeSet::new());
        assert_eq!(entries(&state, &view(&state)), twin.view(), "round {round}");
    }
}

#[test]
fn children_and_key_order_follow_the_effective_place() {
    let mut dice = Dice::new(3);
    for _ in 0..1_000 {
        let mut state = tangle(&mut dice);
        let first = state.iter().next().unwrap().0.inode;
        let taken = state.remove(&first);
        assert!(taken.is_some() && state.get(&first).is_none());
        let keys: Vec<_> = state.iter().map(|(key, _)| key).collect();
        assert!(keys.is_sorted());
        assert_eq!(keys.len(), state.len());
        for (key, item) in state.iter() {
            assert_eq!(item.key(key.inode), Some(key));
            assert!(state.children(&key.parent).any(|child| child == key.inode));
        }
    }
}
