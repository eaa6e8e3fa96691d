//! Writing: the tree is a function of the state, and a change writes only what it touches.

use std::collections::BTreeSet;

use cobox_core::seal::{BlockKind, OpenBlock};
use cobox_core::state::{Content, Key, Kind, State, Touched};
use cobox_core::tree::{NODE_WEIGHT_MAX, Tree, TreeKeys};
use cobox_proto::codec::Reader;
use cobox_proto::id::{ActorId, Cid, Inode, SigKey};
use proptest::prelude::*;

use super::{Blocks, Folder, GlassKeys, JUNE, MAY};

#[test]
fn an_empty_state_has_a_root_and_nothing_else() {
    let (tree, blocks) = Tree::build(&State::new(), &GlassKeys::default(), MAY).unwrap();
    assert_eq!((tree.len(), blocks.len()), (0, 1));
    assert_eq!(tree.cids().collect::<Vec<_>>(), [blocks[0].cid]);
}

#[test]
fn the_order_in_which_items_came_does_not_show() {
    let folder = Folder::with_items(1, 2_000);
    let mut other = State::new();
    other.ctx = folder.state.ctx.clone();
    let mut items: Vec<_> = folder.state.iter().collect();
    items.sort_by_key(|(key, _)| std::cmp::Reverse(key.inode));
    items.into_iter().for_each(|(key, item)| other.insert(key.inode, item.clone()));
    let keys = GlassKeys::default();
    assert_eq!(
        Tree::build(&folder.state, &keys, MAY).unwrap().0.root(),
        Tree::build(&other, &keys, MAY).unwrap().0.root()
    );
}

#[test]
fn build_returns_every_block_once_and_no_more() {
    let mut folder = Folder::with_items(2, 3_000);
    for n in 0..200 {
        folder.state.ctx.raise(ActorId([n; 16]), SigKey([n % 3; 32]), 9);
    }
    let (tree, blocks) = Tree::build(&folder.state, &GlassKeys::default(), MAY).unwrap();
    let names: BTreeSet<Cid> = blocks.iter().map(|block| block.cid).collect();
    assert_eq!(names.len(), blocks.len());
    assert_eq!(names, tree.cids().collect());
    assert_eq!(tree.len(), 3_000);
    assert_eq!(tree.stored_bytes(), blocks.iter().map(|block| block.bytes.len() as u64).sum::<u64>());
}

/// Runs `changes` batches of a random folder and compares each update with a build from nothing.
fn updates_equal_builds(
    keys: GlassKeys,
    seed: u64,
    items: usize,
    batches: usize,
    batch: u64,
) -> Result<(), TestCaseError> {
    let mut folder = Folder::with_items(seed, items);
    let (mut tree, _) = Tree::build(&folder.state, &keys, MAY).unwrap();
    for _ in 0..batches {
        for _ in 0..=folder.dice.roll(batch) {
            folder.change();
        }
        let (updated, new) = {
            let touched = folder.take_touched();
            tree.update(&folder.state, &touched, &keys, MAY).unwrap()
        };
        let (built, _) = Tree::build(&folder.state, &keys, MAY).unwrap();
        prop_assert_eq!(&updated, &built);
        let old: BTreeSet<Cid> = tree.cids().collect();
        let expected: BTreeSet<Cid> = built.cids().filter(|cid| !old.contains(cid)).collect();
        prop_assert_eq!(new.iter().map(|block| block.cid).collect::<BTreeSet<_>>(), expected);
        tree = updated;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn an_update_equals_a_build_block_for_block(seed: u64, items in 0usize..1_500, batch in 1u64..40) {
        updates_equal_builds(GlassKeys::default(), seed, items, 6, batch)?;
    }

    #[test]
    fn an_update_equals_a_build_in_a_tree_of_many_inner_nodes(seed: u64, items in 2_000usize..6_000) {
        updates_equal_builds(GlassKeys { haste: 5, ..GlassKeys::default() }, seed, items, 3, 300)?;
    }

    #[test]
    fn an_update_equals_a_build_where_every_cut_hangs_on_the_row_after_it(seed: u64, items in 0usize..1_500, batch in 1u64..10) {
        updates_equal_builds(GlassKeys { uncut: true, ..GlassKeys::default() }, seed, items, 6, batch)?;
    }

    #[test]
    fn growing_from_nothing_and_shrinking_to_nothing_keeps_the_tree_that_of_the_state(seed: u64) {
        let keys = GlassKeys::default();
        let mut folder = Folder::new(seed);
        let (mut tree, _) = Tree::build(&folder.state, &keys, MAY).unwrap();
        let mut inodes = Vec::new();
        for _ in 0..4 {
            for _ in 0..folder.dice.roll(300) {
                inodes.push(folder.create());
            }
            tree = folder.update(&tree, MAY).0;
            prop_assert_eq!(&tree, &Tree::build(&folder.state, &keys, MAY).unwrap().0);
        }
        while !inodes.is_empty() {
            for _ in 0..=folder.dice.roll(200).min(inodes.len() as u64 - 1) {
                let index = folder.dice.roll(inodes.len() as u64) as usize;
                folder.remove(inodes.swap_remove(index));
            }
            tree = folder.update(&tree, MAY).0;
            prop_assert_eq!(&tree, &Tree::build(&folder.state, &keys, MAY).unwrap().0);
        }
        prop_assert!(tree.is_empty());
    }
}

#[test]
fn updates_equal_builds_in_a_tree_of_three_levels() {
    updates_equal_builds(GlassKeys::default(), 77, 30_000, 4, 60).unwrap();
}

#[test]
fn an_edit_that_keeps_the_weight_writes_one_node_per_level() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(3, 20_000);
    let (tree, blocks) = Tree::build(&folder.state, &keys, MAY).unwrap();
    assert!(blocks.len() > 300, "{}", blocks.len());
    let (inode, mut item) = {
        let mut files = folder.state.iter().filter(|(_, item)| item.kind == Kind::File);
        files.nth(9_000).map(|(key, item)| (key.inode, item.clone())).unwrap()
    };
    item.body[0].1.mtime_ns ^= 1;
    folder.put(inode, item);
    let (_, new) = folder.update(&tree, MAY);
    assert_eq!(new.len(), 4, "leaf, inner node, top node, root");
}

#[test]
fn moving_a_directory_of_ten_thousand_files_writes_a_handful_of_blocks() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(4, 500);
    let dir = folder.state.iter().find(|(_, item)| item.kind == Kind::Dir).unwrap().0.inode;
    for _ in 0..10_000 {
        let inode = folder.create();
        let mut item = folder.state.get(&inode).unwrap().clone();
        item.loc[0].1.parent = dir;
        folder.put(inode, item);
    }
    folder.take_touched();
    let (tree, blocks) = Tree::build(&folder.state, &keys, MAY).unwrap();
    let mut item = folder.state.get(&dir).unwrap().clone();
    let dot = folder.dot();
    let loc = folder.loc(dot, Inode([0xee; 16]));
    item.loc = [(dot, loc)].into_iter().collect();
    folder.put(dir, item);
    let (_, new) = folder.update(&tree, MAY);
    assert!(new.len() <= 8, "{} of {} blocks", new.len(), blocks.len());
}

#[test]
fn a_change_of_the_context_alone_writes_the_root_alone() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(5, 1_000);
    let (tree, _) = Tree::build(&folder.state, &keys, MAY).unwrap();
    let (same, none) = tree.update(&folder.state, &Touched::default(), &keys, MAY).unwrap();
    assert_eq!((same.root(), none.len()), (tree.root(), 0));
    folder.state.forks.insert(super::fork_point(1));
    let (_, new) = tree.update(&folder.state, &Touched::default(), &keys, MAY).unwrap();
    assert_eq!(new.len(), 1);
}

#[test]
fn another_epoch_writes_everything_anew_and_keeps_the_chunks_epochs() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(6, 1_000);
    let (tree, before) = Tree::build(&folder.state, &keys, MAY).unwrap();
    folder.change();
    let (june, blocks) = folder.update(&tree, JUNE);
    assert_eq!(june, Tree::build(&folder.state, &keys, JUNE).unwrap().0);
    assert!(june.cids().all(|cid| !tree.cids().any(|old| old == cid)));
    assert!(blocks.len() + 3 > before.len());
    let blocks = Blocks::of(blocks);
    let read = blocks.fetch(june.root(), None, &State::new()).unwrap();
    assert_eq!(super::applied(&read, &State::new()), folder.state);
}

#[test]
fn inodes_chosen_by_an_enemy_neither_grow_nor_shrink_the_nodes_beyond_their_bounds() {
    let keys = GlassKeys::default();
    for wanted in [false, true] {
        let mut folder = Folder::new(8);
        let template = loop {
            let inode = folder.create();
            let item = folder.state.get(&inode).unwrap().clone();
            if item.kind == Kind::File && matches!(&item.body[0].1.content, Content::Inline(b) if b.len() < 200) {
                break item;
            }
        };
        while folder.state.len() < 3_000 {
            let inode = Inode(folder.dice.bytes());
            let key = [template.loc[0].1.parent.0, inode.0].concat();
            if (keys.bound(b"bound", 0, &key) < u64::MAX / 64) == wanted {
                folder.state.insert(inode, template.clone());
            }
        }
        let (_, blocks) = Tree::build(&folder.state, &keys, MAY).unwrap();
        let bytes: usize = blocks.iter().map(|block| block.bytes.len()).sum();
        assert!(blocks.iter().all(|block| block.bytes.len() < NODE_WEIGHT_MAX as usize));
        assert!(bytes / blocks.len() > 2 << 10, "{} blocks of {bytes} bytes", blocks.len());
    }
}

#[test]
fn an_item_no_record_can_hold_is_named() {
    let mut folder = Folder::with_items(9, 10);
    let (inode, mut item) = {
        let (key, item) = folder.state.iter().find(|(_, item)| item.kind == Kind::File).unwrap();
        (key.inode, item.clone())
    };
    item.body[0].1.content = Content::Inline(vec![0; 513].into());
    folder.put(inode, item);
    let error = Tree::build(&folder.state, &GlassKeys::default(), MAY).unwrap_err();
    assert!(error.to_string().contains(&inode.short()), "{error}");
}

/// Gives a file so many concurrent versions of 64 chunks each.
fn fought_over(folder: &mut Folder, versions: usize) -> Inode {
    let file = |folder: &Folder| {
        let mut files = folder.state.iter().filter(|(_, item)| item.kind == Kind::File);
        files.nth(200).map(|(key, item)| (key.inode, item.clone())).unwrap()
    };
    let (inode, mut item) = file(folder);
    item.body.clear();
    while item.body.len() < versions {
        let body = folder.body();
        if matches!(&body.content, Content::Refs(refs) if refs.len() == 64) {
            item.body.push((folder.dot(), body));
        }
    }
    folder.put(inode, item);
    inode
}

#[test]
fn a_record_larger_than_a_node_stands_alone_and_is_read_back() {
    let keys = GlassKeys::default();
    let mut folder = Folder::with_items(14, 1_000);
    let before = folder.state.clone();
    let (base, blocks) = Tree::build(&before, &keys, MAY).unwrap();
    let mut store = Blocks::of(blocks);
    fought_over(&mut folder, 60);
    let (tree, new) = folder.update(&base, MAY);
    assert_eq!(tree, Tree::build(&folder.state, &keys, MAY).unwrap().0);
    assert!(new.iter().any(|block| block.bytes.len() > 2 * NODE_WEIGHT_MAX as usize));
    assert!(new.len() < 8, "{} blocks", new.len());
    store.keep(new);
    let read = store.fetch(tree.root(), Some(&base), &before).unwrap();
    assert_eq!(super::applied(&read, &before), folder.state);
}

#[test]
fn versions_that_do_not_fit_into_a_block_are_named() {
    let mut folder = Folder::with_items(15, 1_000);
    let inode = fought_over(&mut folder, 70);
    let error = Tree::build(&folder.state, &GlassKeys::default(), MAY).unwrap_err();
    assert!(error.to_string().contains(&inode.short()), "{error}");
}
/// Last keys of the children of an inner node; `None` for other blocks.
fn last_keys(open: &OpenBlock) -> Option<Vec<Key>> {
    let mut r = Reader::new(&open.payload);
    let mut keys = Vec::new();
    while r.left() > 0 {
        keys.push(Key { parent: r.get().ok()?, inode: r.get().ok()? });
        r.varint_max(open.links.len() as u64 - 1, "link").ok()?;
        r.varint().ok()?;
    }
    (open.kind == BlockKind::Node && keys.len() == open.links.len()).then_some(keys)
}

/// The first and last rows of nodes are where an update can go wrong, in particular where a node above ends too.
#[test]
fn removing_items_around_the_ends_of_nodes_gives_the_tree_of_the_rest() {
    let keys = GlassKeys { haste: 8, ..GlassKeys::default() };
    let folder = Folder::with_items(17, 3_000);
    let (tree, blocks) = Tree::build(&folder.state, &keys, MAY).unwrap();
    let order: Vec<_> = folder.state.iter().map(|(key, _)| key).collect();
    let inner: Vec<Vec<Key>> = blocks.iter().filter_map(|block| last_keys(&keys.open(&block.bytes).unwrap())).collect();
    assert!(inner.len() >= 4, "{} inner nodes", inner.len());
    let ends = inner.iter().flat_map(|children| children.iter().take(2).chain(children.iter().rev().take(2)));
    let positions = ends.map(|end| order.binary_search(end).unwrap());
    for (at, run) in positions.flat_map(|end| [(end, 1), (end + 1, 1), (end - 5, 6), (end, 30)]) {
        let mut state = folder.state.clone();
        let mut touched = Touched::default();
        for key in order.iter().skip(at).take(run) {
            touched.note(key.inode, Some(*key));
            state.remove(&key.inode);
        }
        let (updated, _) = tree.update(&state, &touched, &keys, MAY).unwrap();
        assert_eq!(updated, Tree::build(&state, &keys, MAY).unwrap().0, "{run} items from {at} on");
        // And back again, by an update from the shorter tree.
        let back = order.iter().skip(at).take(run).fold(Touched::default(), |mut back, key| {
            back.note(key.inode, None);
            back
        });
        assert_eq!(updated.update(&folder.state, &back, &keys, MAY).unwrap().0, tree);
    }
}
