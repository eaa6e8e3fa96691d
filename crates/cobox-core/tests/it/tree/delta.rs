//! Deltas: whoever has the root before writes the very root of the sender, and whoever has not learns that it must walk.

use cobox_core::state::{Ctx, State, Touched};
use cobox_core::tree::{Delta, Remote, Tree, TreeError};
use cobox_proto::id::{ActorId, Cid, HeadId, SigKey};
use proptest::prelude::*;

use super::{Blocks, Folder, GlassKeys, JUNE, MAY, applied, fork_point};

/// Makes `changes` changes and says them as a delta.
fn change(folder: &mut Folder, before: &Tree, changes: usize, fork: Option<HeadId>) -> (Tree, Option<Delta>) {
    let (ctx, forks) = (folder.state.ctx.clone(), folder.state.forks.clone());
    (0..changes).for_each(|_| folder.change());
    folder.state.forks.extend(fork);
    let touched = folder.take_touched();
    let delta = Delta::between(before, (&ctx, &forks), &folder.state, &touched, MAY);
    (before.update(&folder.state, &touched, &GlassKeys::default(), MAY).unwrap().0, delta)
}

fn sent(delta: &Delta) -> Delta {
    let keys = GlassKeys::default();
    Delta::open(&delta.seal(&keys).unwrap().expect("it fits").bytes, &keys).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_rebuilt_root_is_the_senders(seed: u64, items in 0usize..1_000, changes in 0usize..20) {
        let keys = GlassKeys::default();
        let mut folder = Folder::with_items(seed, items);
        let before = folder.state.clone();
        let (base, blocks) = Tree::build(&before, &keys, MAY).unwrap();
        let (after, delta) = change(&mut folder, &base, changes, Some(fork_point(3)));
        let delta = delta.unwrap();
        prop_assert_eq!(&sent(&delta), &delta);
        let (remote, new) = delta.apply(Remote::same(&before, &base), &before, after.root(), &keys).unwrap();
        prop_assert_eq!(&remote.tree, &after);
        prop_assert_eq!(applied(&remote, &before), folder.state.clone());
        // With the blocks it wrote, everybody can be served.
        let mut store = Blocks::of(blocks);
        store.keep(new);
        let read = store.fetch(after.root(), None, &State::new()).unwrap();
        prop_assert_eq!(applied(&read, &State::new()), folder.state);
    }

    #[test]
    fn deltas_follow_one_another_over_a_state_that_is_not_their_base(seed: u64, items in 0usize..600, ours in 0usize..20) {
        let keys = GlassKeys::default();
        let mut bob = Folder::with_items(seed, items);
        let mut here = Folder::with_items(seed, items);
        here.dice.0 ^= 1;
        (0..ours).for_each(|_| here.change());
        let (mine, _) = Tree::build(&here.state, &keys, MAY).unwrap();
        let (mut tree, blocks) = Tree::build(&bob.state, &keys, MAY).unwrap();
        let mut remote = Blocks::of(blocks).fetch(tree.root(), Some(&mine), &here.state).unwrap();
        for _ in 0..3 {
            let (after, delta) = change(&mut bob, &tree, 8, None);
            remote = delta.unwrap().apply(remote, &here.state, after.root(), &keys).unwrap().0;
            prop_assert_eq!(applied(&remote, &here.state), bob.state.clone());
            prop_assert!(remote.theirs.iter().all(|(inode, item)| here.state.get(inode) != item.as_deref()));
            tree = after;
        }
    }
}

#[test]
fn a_delta_under_a_new_epoch_writes_the_whole_tree_anew() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(31, 900);
    let before = folder.state.clone();
    let (base, _) = Tree::build(&before, &keys, MAY).unwrap();
    folder.change();
    let touched = folder.take_touched();
    let delta = Delta::between(&base, (&before.ctx, &before.forks), &folder.state, &touched, JUNE).unwrap();
    let (june, _) = Tree::build(&folder.state, &keys, JUNE).unwrap();
    let (remote, _) = sent(&delta).apply(Remote::same(&before, &base), &before, june.root(), &keys).unwrap();
    assert_eq!(remote.tree, june);
}

#[test]
fn another_base_and_another_result_are_told_apart() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(32, 500);
    let before = folder.state.clone();
    let (base, _) = Tree::build(&before, &keys, MAY).unwrap();
    let (after, delta) = change(&mut folder, &base, 3, None);
    let delta = delta.unwrap();
    let elsewhere = Remote::same(&folder.state, &after);
    let error = delta.clone().apply(elsewhere, &folder.state, after.root(), &keys).unwrap_err();
    assert!(matches!(error, TreeError::OtherBase { wanted } if wanted == base.root()));
    let error = delta.apply(Remote::same(&before, &base), &before, Cid([1; 32]), &keys).unwrap_err();
    assert!(matches!(error, TreeError::NotTheTree { .. }));
}

#[test]
fn a_delta_cannot_raise_a_dot_above_its_context() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(33, 50);
    let before = folder.state.clone();
    let (base, _) = Tree::build(&before, &keys, MAY).unwrap();
    folder.create();
    folder.state.ctx = before.ctx.clone();
    let touched = folder.take_touched();
    let delta = Delta::between(&base, (&before.ctx, &before.forks), &folder.state, &touched, MAY).unwrap();
    let (forged, _) = Tree::build(&folder.state, &keys, MAY).unwrap();
    let error = delta.apply(Remote::same(&before, &base), &before, forged.root(), &keys).unwrap_err();
    assert!(matches!(error, TreeError::BeyondContext { .. }));
}

#[test]
fn what_a_delta_cannot_say_is_left_to_walking() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(34, 50);
    let (base, _) = Tree::build(&folder.state, &keys, MAY).unwrap();
    let (ctx, forks) = (folder.state.ctx.clone(), folder.state.forks.clone());
    let between = |state: &State, touched: &Touched| Delta::between(&base, (&ctx, &forks), state, touched, MAY);
    let mut renamed = folder.state.clone();
    renamed.ctx = Ctx::new();
    renamed.ctx.raise(ActorId([9; 16]), SigKey([1; 32]), 1_000_000);
    assert!(between(&renamed, &Touched::default()).is_none(), "an actor was renamed");
    (0..700).for_each(|_| _ = folder.create());
    let touched = folder.take_touched();
    assert!(between(&folder.state, &touched).unwrap().seal(&keys).unwrap().is_none(), "over 64 KiB");
    (0..5_000).for_each(|_| _ = folder.create());
    let touched = folder.take_touched();
    assert!(between(&folder.state, &touched).is_none(), "far over 64 KiB");
}

#[test]
fn i3_a_damaged_delta_never_gives_another_root_or_a_panic() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(35, 30);
    let before = folder.state.clone();
    let (base, _) = Tree::build(&before, &keys, MAY).unwrap();
    let (after, delta) = change(&mut folder, &base, 4, None);
    let block = delta.unwrap().seal(&keys).unwrap().unwrap();
    for at in 0..block.bytes.len() - 16 {
        let mut bytes = block.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        if let Ok(delta) = Delta::open(&bytes, &keys)
            && let Ok((remote, _)) = delta.apply(Remote::same(&before, &base), &before, after.root(), &keys)
        {
            assert_eq!(applied(&remote, &before), folder.state, "byte {at}");
        }
    }
}
