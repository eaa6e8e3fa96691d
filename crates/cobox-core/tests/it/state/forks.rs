//! Devices that run twice, as stories.

use std::collections::BTreeSet;

use cobox_core::state::{
    Commit, History, Kind, Link, State, align, forked_actor, is_duplicated, rename_actor, root_point, view,
};
use cobox_proto::id::{ActorId, HeadId, Inode};

use super::world::{actor, body, depths, device, listing, name, prf};

#[derive(Clone, Default)]
struct Copy {
    state: State,
    history: History,
}

impl Copy {
    /// Writes a file and publishes it in a head of this number.
    fn write(&mut self, who: ActorId, text: &str, value: u64, head: u8) {
        let mut commit = Commit::new(&mut self.state, who, device(0), &prf);
        commit.create(Inode::ZERO, &name(text), Kind::File, body(value));
        let (dot, _) = commit.finish().unwrap();
        self.history.push(who, Link { head: HeadId([head; 32]), counter: dot.counter });
    }

    fn meet(&mut self, other: &Copy) -> BTreeSet<HeadId> {
        let mut other = other.clone();
        let done = align((&mut self.state, &mut self.history), (&mut other.state, &mut other.history));
        self.state.join(&other.state, &depths());
        self.history.join(&other.history);
        done.found
    }

    fn lines(&self) -> Vec<String> {
        listing(&self.state, &view(&self.state))
    }
}

#[test]
fn x4_a_copied_device_keeps_both_sides_and_the_point_is_recorded() {
    let mut laptop = Copy::default();
    laptop.write(actor(0), "plan", 1, 1);
    let mut restored = laptop.clone();
    laptop.write(actor(0), "left", 2, 2);
    restored.write(actor(0), "right", 3, 3);
    let found = laptop.meet(&restored);
    assert_eq!(found, BTreeSet::from([HeadId([1; 32])]));
    assert_eq!(laptop.state.forks, found);
    assert_eq!(laptop.lines(), ["left = 2", "plan = 1", "right = 3"]);
    let actors: BTreeSet<ActorId> = laptop.state.ctx.iter().map(|(actor, _)| *actor).collect();
    let branches = [HeadId([2; 32]), HeadId([3; 32])].map(|head| forked_actor(&head));
    assert_eq!(actors, BTreeSet::from([actor(0), branches[0], branches[1]]));
    assert!(laptop.state.ctx.iter().all(|(_, row)| row.device == device(0)));
}

#[test]
fn a_copy_made_before_the_first_head_is_repaired_at_the_actors_root() {
    let (mut one, mut two) = (Copy::default(), Copy::default());
    one.write(actor(0), "a", 1, 1);
    two.write(actor(0), "b", 2, 2);
    assert_eq!(one.meet(&two), BTreeSet::from([root_point(&actor(0))]));
    assert_eq!(one.lines(), ["a = 1", "b = 2"]);
    assert!(one.state.ctx.get(&actor(0)).is_none());
}

#[test]
fn a_third_copy_is_named_alike_whoever_meets_it_first() {
    let mut base = Copy::default();
    base.write(actor(0), "base", 1, 1);
    let copies = [2, 3, 4].map(|n| {
        let mut copy = base.clone();
        copy.write(actor(0), &format!("file {n}"), n.into(), n);
        copy
    });
    let orders = [[0, 1, 2], [2, 1, 0], [1, 0, 2]];
    let ends = orders.map(|order| {
        let mut end = base.clone();
        for i in order {
            end.meet(&copies[i]);
        }
        (end.state, end.history)
    });
    assert!(ends.iter().all(|end| *end == ends[0]));
    assert_eq!(ends[0].0.len(), 4);
}

#[test]
fn a_device_whose_chain_somebody_else_continued_or_left_is_told_so() {
    let mut mine = Copy::default();
    mine.write(actor(0), "a", 1, 1);
    let tip = HeadId([1; 32]);
    let mut copies = [2, 3].map(|n| {
        let mut copy = mine.clone();
        copy.write(actor(0), &format!("file {n}"), n.into(), n);
        copy
    });
    assert!(!is_duplicated(&mine.state, &mine.history, &actor(0), Some(&tip)));
    let mut continued = mine.clone();
    continued.meet(&copies[0]);
    assert!(is_duplicated(&continued.state, &continued.history, &actor(0), Some(&tip)));
    let other = copies[1].clone();
    copies[0].meet(&other);
    mine.meet(&copies[0]);
    assert_eq!(mine.history.chain(&actor(0)).last().map(|link| link.head), Some(tip));
    assert!(is_duplicated(&mine.state, &mine.history, &actor(0), Some(&tip)));
}

#[test]
fn unpublished_commits_get_the_actor_they_are_published_by() {
    let mut laptop = Copy::default();
    laptop.write(actor(0), "old", 1, 1);
    let mut as_if_fresh = laptop.clone();
    laptop.write(actor(0), "new", 2, 2);
    as_if_fresh.write(actor(9), "new", 2, 2);
    let touched = rename_actor(&mut laptop.state, actor(0), 1, actor(9), device(0));
    assert_eq!(laptop.state, as_if_fresh.state);
    assert_eq!(touched.len(), 1);
    let again = rename_actor(&mut laptop.state, actor(0), 1, actor(8), device(0));
    assert!(again.is_empty());
    assert_eq!(laptop.state, as_if_fresh.state);
}

#[test]
fn fork_ids_are_pinned() {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    assert_eq!(hex(&forked_actor(&HeadId([1; 32])).0), "413b4904f19e9afd85a22c00f7601eb4");
    assert_eq!(
        hex(&root_point(&ActorId([1; 16])).0),
        "efc10e505b215d439392122a890babc6e7bb1ccbe402d1ceb9044f882e0d5a19"
    );
}
