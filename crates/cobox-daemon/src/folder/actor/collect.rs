//! Which kept blocks nobody needs any more: every edit writes a few nodes of the tree anew, and those before it would stay for ever.
//!
//! What must hold: what the joined state consists of stays, to the last node; so does whatever hangs under a head that is not joined
//! yet, or that is joined beside others. What goes can be had again: it belongs to states that a newer one has taken in. Of those the
//! latest stay too, as far as there is room for them, so that people can look back without asking anybody. A run is made only when
//! the old outweighs what is needed, between two events, so that nothing is stored while it looks.

use std::collections::BTreeSet;

use cobox_core::state::{Content, State};
use cobox_proto::id::Cid;
use cobox_store::{BlockStore, StoreError};

use super::*;

/// As much may lie here beside what is needed, however small the folder.
const SLACK_BYTES: u64 = 16 << 20;
/// States older than this are looked up at seeders.
const HISTORY_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// Blocks looked through in one run; the next one goes on from there.
const LOOKED_AT_MAX: usize = 200_000;
/// Blocks listed, and deleted, in one go.
const BATCH_BLOCKS: usize = 1024;

/// What a run found and where the next one goes on; `None`: at the beginning.
type Found = (Vec<Cid>, Option<Cid>);

/// How much may lie here before it is worth looking: twice what the state takes, and some.
fn limit_bytes(state_bytes: u64) -> u64 {
    state_bytes.saturating_mul(2).saturating_add(SLACK_BYTES)
}

/// Adds what hangs under a block, itself included, as far as it is here.
pub(super) fn reach(blocks: &dyn BlockStore, top: Cid, into: &mut BTreeSet<Cid>) -> Result<(), StoreError> {
    let mut stack = vec![top];
    while let Some(cid) = stack.pop() {
        if !into.contains(&cid)
            && let Some(links) = blocks.links(&cid)?
        {
            into.insert(cid);
            stack.extend(links);
        }
    }
    Ok(())
}

/// Adds what hangs under these roots, one after the other, as long as all that it adds fits in so many bytes.
fn reach_within(
    blocks: &dyn BlockStore,
    roots: &[Cid],
    bytes_max: u64,
    into: &mut BTreeSet<Cid>,
) -> Result<(), StoreError> {
    let mut left = bytes_max;
    for root in roots {
        let (mut added, mut bytes, mut stack) = (BTreeSet::new(), 0, vec![*root]);
        while let Some(cid) = stack.pop().filter(|_| bytes <= left) {
            if !into.contains(&cid)
                && !added.contains(&cid)
                && let Some(entry) = blocks.entry(&cid)?
            {
                added.insert(cid);
                bytes += u64::from(entry.len);
                stack.extend(blocks.links(&cid)?.unwrap_or_default());
            }
        }
        if bytes > left {
            break;
        }
        left -= bytes;
        into.append(&mut added);
    }
    Ok(())
}

/// Blocks from `after` on that are none of the tree's, nor of its files' lists or chunks, nor under one of the other roots, nor of the
/// states in `history`, the latest first, for which there is room.
fn needless(
    blocks: &dyn BlockStore,
    tree: &Tree,
    state: &State,
    roots: &[Cid],
    history: &[Cid],
    (after, max): (Option<Cid>, usize),
) -> Result<Found, StoreError> {
    let mut needed: BTreeSet<Cid> = tree.cids().collect();
    for root in roots {
        // A root that is the tree's own adds nothing; another one is walked where it differs.
        reach(blocks, *root, &mut needed)?;
    }
    let contents = || state.iter().flat_map(|(_, item)| &item.body).map(|(_, body)| &body.content);
    for content in contents() {
        if let Content::Manifest(manifest) = content {
            reach(blocks, manifest.cid, &mut needed)?;
        }
    }
    // As much as the state itself takes, and some: with that, less is here than makes it worth looking again.
    reach_within(blocks, history, tree.stored_bytes().saturating_add(SLACK_BYTES / 2), &mut needed)?;
    let (mut found, mut at, mut looked_at) = (BTreeSet::new(), after, 0);
    while looked_at < max {
        let listed = blocks.list(at.as_ref(), BATCH_BLOCKS.min(max - looked_at))?;
        looked_at += listed.len();
        at = listed.last().map(|entry| entry.cid);
        found.extend(listed.into_iter().map(|entry| entry.cid).filter(|cid| !needed.contains(cid)));
        if at.is_none() {
            break;
        }
    }
    // Chunks are kept here now and then, while there is no directory to put them in.
    for content in contents() {
        if let Content::Refs(refs) = content {
            for r in refs {
                found.remove(&r.cid);
            }
        }
    }
    Ok((found.into_iter().collect(), at))
}

impl FolderActor {
    /// Deletes what nobody needs, if it has become much. Called now and then.
    pub(super) fn collect(&mut self) {
        // The vault is small, and keeps its content as blocks.
        if self.config.sort == Sort::Vault || self.unkept.is_some() || !self.is_at_rest() {
            return;
        }
        match self.collect_now() {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(folder = %self.folder.short(), deleted, "blocks of old states are deleted"),
            Err(why) => tracing::warn!(%why, "blocks of old states are not deleted"),
        }
    }

    /// Nothing is stored for a state that is still to come: no file is read whose list is here and whose record is not, and nothing
    /// is fetched.
    pub(super) fn is_at_rest(&self) -> bool {
        let Some(engine) = &self.engine else { return false };
        let summary = engine.summary();
        let looked = self.looks.is_idle() && self.reading == 0;
        let settled = summary.settled && summary.pending_files == 0 && summary.held_files == 0;
        looked && settled && self.tree_is_known() && self.engine_wants.is_empty()
    }

    fn collect_now(&mut self) -> Result<usize, StoreError> {
        let Some(engine) = &self.engine else { return Ok(0) };
        let tree = engine.tree();
        let limit_bytes = limit_bytes(tree.stored_bytes()).max(self.collect_over_bytes);
        if self.collected_to.is_none() && self.blocks.stats()?.stored_bytes <= limit_bytes {
            return Ok(0);
        }
        // After a stop the state is read from what is remembered: that must be the state of now.
        let remembered = self.db.remembered().ok().flatten();
        if self.memory.is_some() || remembered.is_none_or(|remembered| remembered.root != tree.root()) {
            return Ok(0);
        }
        let roots = self.roots_not_taken_in(engine.frontier());
        let history = self.latest_roots(engine.frontier());
        let from = (self.collected_to, LOOKED_AT_MAX);
        let (found, next) = needless(&*self.blocks, tree, engine.state(), &roots, &history, from)?;
        for batch in found.chunks(BATCH_BLOCKS) {
            self.blocks.delete_many(batch)?;
        }
        self.collected_to = next;
        if next.is_none() {
            // Whatever stayed is needed: it is not looked through every hour.
            self.collect_over_bytes = self.blocks.stats()?.stored_bytes.saturating_add(SLACK_BYTES);
        }
        if !found.is_empty() {
            let compacted = self.blocks.compact()?;
            if !compacted.damaged.is_empty() {
                let blocks = compacted.damaged.len();
                tracing::warn!(blocks, "kept blocks were damaged; `cobox check` says more");
            }
        }
        Ok(found.len())
    }

    /// What the state of now needs, and what states need that are not taken in.
    pub(super) fn needed_now(&self) -> Result<BTreeSet<Cid>, StoreError> {
        let Some(engine) = &self.engine else { return Ok(BTreeSet::new()) };
        let mut needed: BTreeSet<Cid> = engine.tree().cids().collect();
        for root in self.roots_not_taken_in(engine.frontier()) {
            reach(&*self.blocks, root, &mut needed)?;
        }
        for (_, body) in engine.state().iter().flat_map(|(_, item)| &item.body) {
            match &body.content {
                Content::Inline(_) => {}
                Content::Refs(refs) => needed.extend(refs.iter().map(|piece| piece.cid)),
                Content::Manifest(manifest) => reach(&*self.blocks, manifest.cid, &mut needed)?,
            }
        }
        Ok(needed)
    }

    /// Roots of the states of the last time that are taken in, the latest first.
    fn latest_roots(&self, frontier: &BTreeSet<HeadId>) -> Vec<Cid> {
        let (heads, since_ms) = (self.replica.heads(), self.around.now_ms().saturating_sub(HISTORY_MS));
        let mut seen: BTreeSet<HeadId> = BTreeSet::new();
        let is_late = |head: &SignedHead| head.head().claimed_time_ms >= since_ms;
        let past = frontier.iter().flat_map(|top| heads.past(top, |head| is_late(head) && seen.insert(head.id())));
        let past = past.collect::<Vec<_>>().into_iter().filter_map(|id| heads.get(&id));
        let mut dated: Vec<(u64, Cid)> = past.map(|head| (head.head().claimed_time_ms, head.head().root)).collect();
        dated.sort_by_key(|(at_ms, _)| std::cmp::Reverse(*at_ms));
        dated.into_iter().map(|(_, root)| root).collect()
    }

    /// Roots of the heads that stand at the front, and of those that no head at the front has taken in.
    fn roots_not_taken_in(&self, frontier: &BTreeSet<HeadId>) -> Vec<Cid> {
        let heads = self.replica.heads();
        let mut past: BTreeSet<HeadId> = BTreeSet::new();
        for id in frontier {
            let Some(head) = heads.get(id) else { continue };
            for parent in head.head().parents() {
                heads.past(&parent, |head| past.insert(head.id()));
            }
        }
        heads.iter().filter(|head| !past.contains(&head.id())).map(|head| head.head().root).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cobox_core::keys::{EpochSecret, Profile, ShapeKey};
    use cobox_core::path::Name;
    use cobox_core::seal::BlockKind;
    use cobox_core::state::{Body, Dot, Item, Kind, Loc, Ref, Touched};
    use cobox_core::tree::TreeKeys;
    use cobox_core::tree::manifest::{Listed, list};
    use cobox_proto::block::BlockHeader;
    use cobox_proto::id::{ActorId, Inode};
    use cobox_store::MemStore;
    use proptest::prelude::*;

    use super::super::brain::load;
    use super::*;

    const ACTOR: ActorId = ActorId([7; 16]);

    /// A folder whose states are written to a store, one after another.
    struct Desk {
        keys: FolderKeys,
        epoch: EpochTag,
        state: State,
        tree: Tree,
        store: MemStore,
        links: BTreeMap<Cid, Vec<Cid>>,
    }

    impl Desk {
        fn new() -> Self {
            let mut keys = FolderKeys::new(FolderId([1; 32]), ShapeKey::from_bytes([2; 32]), Profile::Cdc);
            let params = FolderKeys::params_for(Profile::Cdc, false);
            let epoch = keys.insert_epoch(EpochSecret::from_bytes([3; 32]), params).unwrap();
            let state = State::new();
            let (tree, blocks) = Tree::build(&state, &keys, epoch).unwrap();
            let (store, links) = (MemStore::new(), BTreeMap::new());
            let mut desk = Self { keys, epoch, state, tree, store, links };
            desk.keep(&blocks);
            desk
        }

        fn keep(&mut self, blocks: &[SealedBlock]) {
            for block in blocks {
                let (header, _) = BlockHeader::parse(&block.bytes).unwrap();
                self.links.insert(block.cid, header.links);
                self.store.put_many(&[(block.cid, &block.bytes)]).unwrap();
            }
        }

        /// A body of one of three sorts; equal numbers make equal ones, so that undoing writes what was there before.
        fn body(&mut self, sort: u8, n: u16) -> Body {
            let bytes = n.to_le_bytes().repeat(90);
            let chunk = |n: u16, at: u16| {
                let payload = [n.to_le_bytes(), at.to_le_bytes()].concat().repeat(200);
                self.keys.seal(self.epoch, BlockKind::Chunk, &[], &payload).unwrap()
            };
            let count = match sort {
                0 => 0,
                1 => 2,
                _ => 65 + n % 800,
            };
            let chunks: Vec<SealedBlock> = (0..count).map(|at| chunk(n, at)).collect();
            let refs = chunks.iter().map(|c| Ref { cid: c.cid, len: 800, epoch: self.epoch });
            let listed: Vec<Listed> =
                refs.map(|chunk| Listed { chunk, mark: chunk.cid.0[..16].try_into().unwrap() }).collect();
            let content = if sort == 0 {
                Content::Inline(bytes.clone().into())
            } else {
                let (content, blocks) = list(&listed, |_| 0, &self.keys, self.epoch).unwrap();
                self.keep(&blocks);
                // Some chunks lie here as blocks too.
                self.keep(&chunks[..1]);
                content
            };
            let plain_digest = self.keys.inline_digest(&bytes);
            let size = if sort == 0 { bytes.len() as u64 } else { u64::from(count) * 800 };
            Body { size, mtime_ns: 1, executable: false, plain_digest, content }
        }

        fn edit(&mut self, file: u16, change: Option<(u8, u16)>) {
            let mut inode = [9; 16];
            inode[..2].copy_from_slice(&file.to_be_bytes());
            let inode = Inode(inode);
            let before = self.state.get(&inode).and_then(|item| item.key(inode));
            match change {
                None => drop(self.state.remove(&inode)),
                Some((sort, n)) => {
                    let body = self.body(sort, n);
                    // Of an undone edit everything is as it was, the dot too: the very same nodes are written again.
                    let dot = Dot { counter: u64::from(n) + 1, actor: ACTOR };
                    self.state.ctx.raise(ACTOR, SigKey([5; 32]), 70_000);
                    let name: Name = format!("file {file}").parse().unwrap();
                    let loc = Loc { vd: dot, parent: Inode::ZERO, name, trashed: false };
                    let (loc, body) = ([(dot, loc)].into_iter().collect(), [(dot, body)].into_iter().collect());
                    self.state.insert(inode, Item { kind: Kind::File, loc, body });
                }
            }
            let mut touched = Touched::new();
            touched.note(inode, before);
            let (tree, blocks) = self.tree.update(&self.state, &touched, &self.keys, self.epoch).unwrap();
            self.keep(&blocks);
            self.tree = tree;
        }

        fn held(&self) -> BTreeSet<Cid> {
            self.store.list(None, usize::MAX).unwrap().into_iter().map(|entry| entry.cid).collect()
        }

        /// Everything under these roots that is here, by the links alone.
        fn under(&self, roots: &[Cid]) -> BTreeSet<Cid> {
            let (mut seen, mut stack) = (BTreeSet::new(), roots.to_vec());
            while let Some(cid) = stack.pop() {
                if let Some(links) = self.links.get(&cid)
                    && seen.insert(cid)
                {
                    stack.extend(links);
                }
            }
            seen
        }

        /// Runs until nothing is left to look through; after `stop_after` batches it is as if the program had been killed.
        fn collect(&self, roots: &[Cid], page: usize, stop_after: usize) {
            let mut after = None;
            let mut batches = 0;
            loop {
                let from = (after, page);
                let (found, next) = needless(&self.store, &self.tree, &self.state, roots, &[], from).unwrap();
                for batch in found.chunks(5) {
                    if batches == stop_after {
                        return;
                    }
                    self.store.delete_many(batch).unwrap();
                    batches += 1;
                }
                after = next;
                if after.is_none() {
                    return;
                }
            }
        }
    }

    fn edits(max: usize) -> impl Strategy<Value = Vec<(u16, Option<(u8, u16)>)>> {
        let change = prop_oneof![1 => Just(None), 5 => (0u8..3, 0u16..6).prop_map(Some)];
        prop::collection::vec((0u16..400, change), 1..max)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// A2: what is needed stays to the last block, everything else goes, wherever a run was cut off before.
        #[test]
        fn a2_what_the_state_and_open_heads_need_stays_and_the_rest_goes(
            first in edits(60),
            second in edits(60),
            third in edits(20),
            open in any::<bool>(),
            page in 1usize..200,
            cut in 0usize..6,
        ) {
            let mut desk = Desk::new();
            // Many small files, so that the tree has several nodes.
            for file in 400..700 {
                desk.edit(file, Some((0, file)));
            }
            first.iter().for_each(|(file, change)| desk.edit(*file, *change));
            let (old_root, old_state) = (desk.tree.root(), desk.state.clone());
            second.iter().for_each(|(file, change)| desk.edit(*file, *change));
            let open_heads: Vec<Cid> = if open { vec![old_root, desk.tree.root()] } else { vec![desk.tree.root()] };
            let all_roots: Vec<Cid> = open_heads.iter().copied().chain([desk.tree.root()]).collect();

            let needed = desk.under(&all_roots);
            desk.collect(&open_heads, page, cut);
            prop_assert!(desk.held().is_superset(&needed), "cut off in the middle");
            desk.collect(&open_heads, page, usize::MAX);
            prop_assert_eq!(desk.held(), needed);
            let (state, tree) = load(&desk.store, desk.tree.root(), &desk.keys).unwrap();
            prop_assert_eq!(state, desk.state.clone());
            prop_assert_eq!(tree, desk.tree.clone());
            if open {
                prop_assert_eq!(load(&desk.store, old_root, &desk.keys).unwrap().0, old_state);
            }

            // What was deleted is written again when it is needed again.
            for (file, change) in first.iter().chain(&third) {
                desk.edit(*file, *change);
            }
            prop_assert_eq!(load(&desk.store, desk.tree.root(), &desk.keys).unwrap().0, desk.state.clone());
            let needed = desk.under(&[desk.tree.root()]);
            desk.collect(&[], page, usize::MAX);
            prop_assert_eq!(desk.held(), needed);
        }
    }

    #[test]
    fn the_latest_states_stay_whole_as_far_as_there_is_room() {
        let mut desk = Desk::new();
        (400..700).for_each(|file| desk.edit(file, Some((0, file))));
        let mut states = Vec::new();
        for n in 0..4 {
            states.push((desk.tree.root(), desk.state.clone()));
            desk.edit(450, Some((0, n)));
        }
        states.reverse();
        let roots: Vec<Cid> = states.iter().map(|(root, _)| *root).collect();
        let latest = desk.under(&[desk.tree.root(), roots[0], roots[1]]);
        let bytes = |cids: &BTreeSet<Cid>| {
            cids.iter().map(|cid| desk.store.entry(cid).unwrap().unwrap().len as u64).sum::<u64>()
        };
        let now = desk.under(&[desk.tree.root()]);
        let mut kept = now.clone();
        reach_within(&desk.store, &roots, bytes(&latest) - bytes(&now), &mut kept).unwrap();
        assert_eq!(kept, latest, "there is room for two");
        // All four fit beside a folder of this size.
        let (found, _) =
            needless(&desk.store, &desk.tree, &desk.state, &[desk.tree.root()], &roots, (None, usize::MAX)).unwrap();
        desk.store.delete_many(&found).unwrap();
        for (root, state) in states {
            assert_eq!(load(&desk.store, root, &desk.keys).unwrap().0, state);
        }
    }

    #[test]
    fn a_small_folder_is_left_in_peace() {
        assert_eq!(limit_bytes(0), SLACK_BYTES);
        assert_eq!(limit_bytes(100 << 20), (200 << 20) + SLACK_BYTES);
        assert_eq!(limit_bytes(u64::MAX), u64::MAX);
    }
}
