//! Drawing a few files: any may be drawn, what is drawn is what stands there, and few blocks are read for it.

use std::collections::BTreeSet;

use cobox_core::drill::drawn_of;
use cobox_core::state::{Item, Kind, State};
use cobox_core::tree::{Sample, Tree, TreeError};
use cobox_proto::id::{Cid, Inode};
use proptest::prelude::*;

use super::{Blocks, Folder, GlassKeys, MAY};

/// Draws; the files, and how many blocks were read.
fn draw(blocks: &Blocks, root: Cid, seed: [u8; 32], how_many: fn(u64) -> u64) -> (Vec<(Inode, Item)>, usize) {
    let (keys, mut sample, mut read) = (GlassKeys::default(), Sample::new(root, seed, how_many), 0);
    while let Some(cid) = sample.wanted(7).last().copied() {
        sample.supply(cid, &blocks.0[&cid], &keys).unwrap();
        read += 1;
    }
    (sample.files(), read)
}

fn files(state: &State) -> BTreeSet<Inode> {
    state.iter().filter(|(_, item)| item.kind == Kind::File).map(|(key, _)| key.inode).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn a5_what_is_drawn_are_files_of_the_state_each_once(seed: u64, items in 0usize..1_500, chance: [u8; 32], haste in 0u32..5) {
        let folder = Folder::with_items(seed, items);
        let keys = GlassKeys { haste, ..GlassKeys::default() };
        let (tree, blocks) = Tree::build(&folder.state, &keys, MAY).unwrap();
        let blocks = Blocks::of(blocks);
        let (drawn, _) = draw(&blocks, tree.root(), chance, drawn_of);
        let (again, _) = draw(&blocks, tree.root(), chance, drawn_of);
        prop_assert_eq!(&drawn, &again);
        for (inode, item) in &drawn {
            prop_assert_eq!(folder.state.get(inode), Some(item));
            prop_assert_eq!(item.kind, Kind::File);
        }
        let there = files(&folder.state);
        prop_assert!(drawn.len() as u64 <= drawn_of(items as u64));
        prop_assert!(!drawn.is_empty() || there.is_empty() || haste > 0, "a small node may hold no file");
        let (all, _) = draw(&blocks, tree.root(), chance, |items| items);
        prop_assert_eq!(all.iter().map(|(inode, _)| *inode).collect::<BTreeSet<_>>(), there);
    }
}

#[test]
fn a5_of_a_large_folder_few_blocks_are_read_and_any_file_may_be_drawn() {
    let keys = GlassKeys::default();
    let folder = Folder::with_items(11, 20_000);
    let (tree, blocks) = Tree::build(&folder.state, &keys, MAY).unwrap();
    let all = blocks.len();
    let blocks = Blocks::of(blocks);
    let mut seen = BTreeSet::new();
    for n in 0..100u8 {
        let (drawn, read) = draw(&blocks, tree.root(), [n; 32], |_| 5);
        assert_eq!(drawn.len(), 5);
        assert!(read <= 5 * 3 + 1 && read < all, "{read} of {all} blocks");
        seen.extend(drawn.into_iter().map(|(inode, _)| inode));
    }
    assert!(seen.len() > 450, "always the same {} files", seen.len());
}

#[test]
fn a5_a_block_of_another_name_or_kind_is_not_taken() {
    let keys = GlassKeys::default();
    let folder = Folder::with_items(3, 300);
    let (tree, blocks) = Tree::build(&folder.state, &keys, MAY).unwrap();
    let blocks = Blocks::of(blocks);
    let mut sample = Sample::new(tree.root(), [1; 32], drawn_of);
    let other = blocks.0.keys().copied().find(|cid| *cid != tree.root()).unwrap();
    for named in [tree.root(), other] {
        let taken = sample.supply(named, &blocks.0[&other], &keys);
        assert!(matches!(taken, Err(TreeError::NotWanted(cid)) if cid == named), "{taken:?}");
    }
    assert_eq!(sample.items(), 0);
    sample.supply(tree.root(), &blocks.0[&tree.root()], &keys).unwrap();
    assert_eq!(sample.items(), 300);
    let mut wrong = Sample::new(other, [1; 32], drawn_of);
    assert!(matches!(wrong.supply(other, &blocks.0[&other], &keys), Err(TreeError::Broken { .. })));
}
