//! Reading: what is fetched is exactly what was written, by way of the blocks that differ.

use cobox_core::state::State;
use cobox_core::tree::{Fetch, Tree, TreeError};
use cobox_proto::id::{ActorId, Cid, SigKey};
use proptest::prelude::*;

use super::{Blocks, Folder, GlassKeys, JUNE, MAY, applied, fork_point};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn what_is_read_over_a_base_is_what_was_written(seed: u64, items in 0usize..1_200, ours in 0u32..30, theirs in 0u32..30) {
        let keys = GlassKeys::default();
        let mut here = Folder::with_items(seed, items);
        let mut there = Folder::with_items(seed, items);
        (0..ours).for_each(|_| here.change());
        there.dice.0 ^= 1;
        (0..theirs).for_each(|_| there.change());
        there.state.forks.insert(fork_point(7));
        let (base, _) = Tree::build(&here.state, &keys, MAY).unwrap();
        let (tree, blocks) = Tree::build(&there.state, &keys, MAY).unwrap();
        let blocks = Blocks::of(blocks);

        let whole = blocks.fetch(tree.root(), None, &State::new()).unwrap();
        prop_assert_eq!(applied(&whole, &State::new()), there.state.clone());
        prop_assert_eq!(&whole.tree, &tree);

        let change = blocks.fetch(tree.root(), Some(&base), &here.state).unwrap();
        prop_assert_eq!(applied(&change, &here.state), there.state.clone());
        prop_assert_eq!(&change.tree, &tree);
        prop_assert!(change.theirs.iter().all(|(inode, item)| here.state.get(inode) != item.as_deref()));
    }
}

#[test]
fn a_small_change_in_a_large_folder_reads_few_blocks() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(11, 20_000);
    let before = folder.state.clone();
    let (base, blocks) = Tree::build(&before, &keys, MAY).unwrap();
    let mut store = Blocks::of(blocks);
    (0..3).for_each(|_| folder.change());
    let (tree, new) = folder.update(&base, MAY);
    store.keep(new);
    let mut fetch = Fetch::new(tree.root(), Some(&base));
    let mut read = 0;
    while let Some(cid) = fetch.wanted(1).first().copied() {
        fetch.supply(cid, &store.0[&cid], &keys).unwrap();
        read += 1;
    }
    assert!(read <= 20, "{read} blocks");
    assert_eq!(applied(&fetch.done(&before, &keys).unwrap(), &before), folder.state);
}

#[test]
fn a_base_of_another_epoch_shares_nothing_and_gives_the_same_difference() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(16, 1_500);
    let before = folder.state.clone();
    let (may, _) = Tree::build(&before, &keys, MAY).unwrap();
    (0..5).for_each(|_| folder.change());
    let (june, blocks) = Tree::build(&folder.state, &keys, JUNE).unwrap();
    let read = Blocks::of(blocks).fetch(june.root(), Some(&may), &before).unwrap();
    assert_eq!(read.tree, june);
    assert!(read.theirs.len() <= 5, "{} items", read.theirs.len());
    assert_eq!(applied(&read, &before), folder.state);
}

#[test]
fn thousands_of_actors_stand_in_a_tree_of_their_own() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(12, 300);
    for n in 0..9_000u32 {
        let id = blake3::hash(&n.to_le_bytes());
        let actor = ActorId::from_slice(&id.as_bytes()[..16]).unwrap();
        folder.state.ctx.raise(actor, SigKey([(n % 40) as u8; 32]), u64::from(n));
    }
    let (tree, blocks) = Tree::build(&folder.state, &keys, MAY).unwrap();
    let read = Blocks::of(blocks).fetch(tree.root(), None, &State::new()).unwrap();
    assert_eq!(applied(&read, &State::new()), folder.state);
    assert_eq!(read.tree, tree);
    let mut raised = folder.state.clone();
    raised.ctx.raise(ActorId([3; 16]), SigKey([1; 32]), 1 << 30);
    let (_, new) = tree.update(&raised, &Default::default(), &keys, MAY).unwrap();
    assert_eq!(new.len(), 3, "one leaf and the top of the context, and the root");
}

#[test]
fn blocks_that_were_not_asked_for_change_nothing() {
    let keys = GlassKeys::default();
    let folder = Folder::with_items(13, 800);
    let (tree, blocks) = Tree::build(&folder.state, &keys, MAY).unwrap();
    let mut fetch = Fetch::new(tree.root(), None);
    let leaf = &blocks[0];
    assert!(matches!(fetch.supply(leaf.cid, &leaf.bytes, &keys), Err(TreeError::NotWanted(cid)) if cid == leaf.cid));
    assert!(matches!(fetch.supply(tree.root(), &leaf.bytes, &keys), Err(TreeError::NotWanted(_))));
    assert_eq!(fetch.wanted(9), [tree.root()]);
    assert!(!fetch.is_complete());
    assert!(matches!(fetch.done(&State::new(), &keys), Err(TreeError::Incomplete { missing: 1 })));
    let nobody = Fetch::new(Cid([1; 32]), Some(&tree));
    assert!(matches!(nobody.done(&folder.state, &keys), Err(TreeError::Incomplete { .. })));
}
