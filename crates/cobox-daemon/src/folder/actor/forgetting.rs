//! What the folder's owners had forgotten: heard, told to people, and after the delay let go of on this device too.
//!
//! What must hold: nothing goes before it stood in sight for as long as at a seeder, by this device's own clock, or after it was taken
//! back; nothing goes that the state of now, or one that is still to come, needs; a version set aside that was changed since stays,
//! since nobody else may have it.

use cobox_core::members::propose_labelled;
use cobox_proto::hosting::{self, Forgetting};
use cobox_proto::id::HeadTag;
use cobox_proto::limits::{FORGET_BLOCKS_MAX, FORGET_PARTS_MAX, FORGET_STATES_MAX};
use cobox_proto::members::{Forget, Void};
use cobox_store::StoreError;

use super::collect::reach;
use super::*;

/// What was heard, and how far time has gone that may be believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Forgetful {
    pub(crate) time: hosting::Pace,
    pub(crate) heard: Forgetting,
}

/// One wish of an owner, in however many parts.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// The ops, sorted; the first names it.
    pub(crate) ops: Vec<OpId>,
    /// Whose: the op that admitted them.
    pub(crate) by: OpId,
    /// When, by their clock.
    pub(crate) at_ms: u64,
    /// What is to be forgotten, where they said it.
    pub(crate) path: Option<String>,
    pub(crate) blocks: BTreeSet<Cid>,
    pub(crate) states: BTreeSet<HeadTag>,
    /// When it counts on this device.
    pub(crate) counts_at_ms: u64,
}

/// Why nothing was said to others.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSaid {
    /// It takes more than the log has room for.
    #[error("what is to be forgotten is too much to be said at once")]
    TooMuch,
    /// The membership refuses.
    #[error("{0}")]
    Refused(Void),
    /// This device can not speak for the folder now.
    #[error("{0}")]
    Failed(String),
}

impl FolderActor {
    /// Takes note of what stands in the log now.
    pub(super) fn hear_what_to_forget(&mut self, is_hourly: bool) {
        let standing: BTreeSet<OpId> = self.standing_forgets().iter().map(|forget| forget.op).collect();
        let before = self.forgetful.clone();
        if standing.is_empty() && before == Forgetful::default() {
            return;
        }
        let steady_ms = self.forgetful.time.look(self.around.now_ms());
        let policy = self.replica.membership().roster().policy();
        let changed = self.forgetful.heard.hear(steady_ms, &standing, &policy);
        if changed || is_hourly && self.forgetful != before {
            // Not remembered, it is heard anew after a stop, and counts later.
            if let Err(why) = self.records.put_forgetful(&self.forgetful) {
                tracing::warn!(%why, "since when something is to be forgotten could not be written down");
            }
        }
    }

    fn standing_forgets(&self) -> &[Forget] {
        self.replica.membership().roster().forgets()
    }

    /// Nothing is forgotten unnoticed.
    pub(super) fn tell_what_to_forget(&mut self) {
        let wishes = self.wishes();
        let now: BTreeMap<OpId, Wish> = wishes.into_iter().map(|wish| (wish.ops[0], wish)).collect();
        let ids: BTreeSet<OpId> = now.keys().copied().collect();
        let Some(before) = self.known_forgets.replace(ids.clone()) else { return };
        for wish in now.into_iter().filter(|(id, _)| !before.contains(id)).map(|(_, wish)| wish) {
            let name = self.member_name(&wish.by).unwrap_or_else(|| wish.by.short());
            let (path, counts_at_ms) = (wish.path, wish.counts_at_ms);
            self.around.tell(&self.config, Happened::ForgetAsked { name, path, counts_at_ms });
        }
        if before.difference(&ids).next().is_some() {
            self.around.tell(&self.config, Happened::ForgetWithdrawn);
        }
    }

    /// All that owners wish to be forgotten, by time.
    pub(crate) fn wishes(&self) -> Vec<Wish> {
        let membership = self.replica.membership();
        let (now_ms, mut time) = (self.around.now_ms(), self.forgetful.time);
        // What is believed of time may lag behind the clock.
        let lag_ms = now_ms.saturating_sub(time.look(now_ms));
        let mut wishes: BTreeMap<(u64, OpId), Wish> = BTreeMap::new();
        for forget in self.standing_forgets() {
            let Some(op) = membership.op(&forget.op) else { continue };
            let OpBody::Forget { states, blocks, .. } = &op.op().body else { continue };
            let heard = self.forgetful.heard.counts_at_ms(&forget.op);
            let delay_ms = hosting::forget_after_ms(&membership.roster().policy());
            let counts_at_ms = heard.map_or(now_ms + delay_ms, |at| at.saturating_add(lag_ms));
            let wish = wishes.entry((forget.at_ms, forget.by)).or_insert_with(|| Wish {
                ops: Vec::new(),
                by: forget.by,
                at_ms: forget.at_ms,
                path: None,
                blocks: BTreeSet::new(),
                states: BTreeSet::new(),
                counts_at_ms,
            });
            wish.ops.push(forget.op);
            wish.ops.sort();
            wish.blocks.extend(blocks);
            wish.states.extend(states);
            wish.counts_at_ms = wish.counts_at_ms.max(counts_at_ms);
            if wish.path.is_none() {
                wish.path = self.keys.as_deref().and_then(|keys| open_label(keys, op.op()).ok().flatten());
            }
        }
        wishes.into_values().collect()
    }

    /// Which blocks are to be forgotten, who said so, and when.
    pub(crate) fn forgotten(&self) -> BTreeMap<Cid, (String, u64)> {
        let mut forgotten = BTreeMap::new();
        for wish in self.wishes() {
            let name = self.member_name(&wish.by).unwrap_or_else(|| wish.by.short());
            forgotten.extend(wish.blocks.iter().map(|cid| (*cid, (name.clone(), wish.at_ms))));
        }
        forgotten
    }

    /// Says to all that these blocks are to be forgotten in these states. Returns what names the wish.
    pub(crate) fn forget(
        &mut self,
        states: &BTreeSet<HeadTag>,
        blocks: &BTreeSet<Cid>,
        path: Option<String>,
    ) -> Result<OpId, NotSaid> {
        let (states, blocks): (Vec<HeadTag>, Vec<Cid>) =
            (states.iter().copied().collect(), blocks.iter().copied().collect());
        let parts = states.len().div_ceil(FORGET_STATES_MAX) * blocks.len().div_ceil(FORGET_BLOCKS_MAX);
        if parts > FORGET_PARTS_MAX {
            return Err(NotSaid::TooMuch);
        }
        let at_ms = self.around.now_ms();
        let mut said = Vec::new();
        for states in states.chunks(FORGET_STATES_MAX) {
            for blocks in blocks.chunks(FORGET_BLOCKS_MAX) {
                let body = OpBody::Forget { at_ms, states: states.to_vec(), blocks: blocks.to_vec() };
                let path = path.as_deref().filter(|_| said.is_empty());
                match self.say(body, path) {
                    Ok(op) => said.push(op),
                    Err(why) => {
                        // Half of it is not left standing.
                        if !said.is_empty() {
                            said.sort();
                            let _said_as_well_as_can_be = self.say(OpBody::ForgetEnd { forgets: said }, None);
                        }
                        return Err(why);
                    }
                }
            }
        }
        said.into_iter().min().ok_or(NotSaid::TooMuch)
    }

    /// Takes a wish back.
    pub(crate) fn withdraw_forget(&mut self, wish: Wish) -> Result<OpId, NotSaid> {
        self.say(OpBody::ForgetEnd { forgets: wish.ops }, None)
    }

    fn say(&mut self, body: OpBody, text: Option<&str>) -> Result<OpId, NotSaid> {
        let failed = |why: &dyn std::fmt::Display| NotSaid::Failed(why.to_string());
        let author = self.author().ok_or_else(|| failed(&"this device is no member of the folder"))?;
        let log = self.replica.membership().log();
        let op = match text {
            None => propose(log, author, body).map_err(|why| failed(&why))?,
            Some(text) => {
                let label = self.label(text).ok_or_else(|| failed(&"the folder's new keys are not here yet"))?;
                propose_labelled(log, author, body, label).map_err(|why| failed(&why))?
            }
        };
        let id = op.id();
        self.add_ops(vec![op], Vec::new());
        match self.replica.membership().log().refusal(&id) {
            Some(why) => Err(NotSaid::Refused(why)),
            None => Ok(id),
        }
    }

    /// Lets go of what lies on this device of all that has to be forgotten by now.
    pub(super) fn let_go(&mut self) {
        let counting = |forget: &&Forget| self.forgetful.heard.counts(&forget.op);
        let ops: Vec<OpId> = self.standing_forgets().iter().filter(counting).map(|forget| forget.op).collect();
        let mut named: BTreeSet<Cid> = BTreeSet::new();
        for op in ops.iter().filter_map(|op| self.replica.membership().op(op)) {
            if let OpBody::Forget { blocks, .. } = &op.op().body {
                named.extend(blocks);
            }
        }
        if named.is_empty() {
            return;
        }
        match self.let_go_of(&named) {
            Ok((0, 0)) => {}
            Ok((versions, blocks)) => {
                tracing::info!(folder = %self.folder.short(), versions, blocks, "what owners had forgotten is let go of");
            }
            Err(why) => tracing::warn!(%why, "what owners had forgotten is not let go of yet"),
        }
    }

    fn let_go_of(&mut self, named: &BTreeSet<Cid>) -> Result<(usize, usize), StoreError> {
        let lists = lists(&*self.blocks, named)?;
        let versions = self.drop_kept_with(named, &lists);
        let mut candidates: BTreeSet<Cid> = BTreeSet::new();
        for cid in named {
            reach(&*self.blocks, *cid, &mut candidates)?;
        }
        if candidates.is_empty() || !self.is_at_rest() {
            return Ok((versions, 0));
        }
        for cid in self.needed_now()? {
            candidates.remove(&cid);
        }
        let gone: Vec<Cid> = candidates.into_iter().collect();
        self.blocks.delete_many(&gone)?;
        Ok((versions, gone.len()))
    }

    /// Drops versions set aside that hold something of these blocks' own, or are the whole of one of these lists.
    fn drop_kept_with(&mut self, named: &BTreeSet<Cid>, lists: &BTreeSet<BTreeSet<Cid>>) -> usize {
        let Some(disk) = self.disk_tree().cloned() else { return 0 };
        let kept = match disk.list_kept() {
            Ok(kept) => kept,
            Err(why) => {
                tracing::warn!(%why, "what was set aside could not be listed");
                return 0;
            }
        };
        let mut dropped = 0;
        for kept in kept.into_iter().filter(|kept| kept.intact) {
            let id = seen::stamp(&kept.stamp).id;
            let pieces = match self.db.pieces_of(id) {
                Ok(pieces) => pieces,
                Err(why) => {
                    tracing::warn!(%why, "what a version set aside holds is not known");
                    continue;
                }
            };
            if !is_of(&pieces, named, lists) {
                continue;
            }
            if let Err(why) = self.db.drop_pieces(id) {
                tracing::warn!(%why, "the places of dropped blocks are still noted");
                continue;
            }
            match disk.drop_kept(&kept.id) {
                Ok(true) => dropped += 1,
                Ok(false) => {}
                Err(why) => tracing::warn!(%why, "a version set aside could not be dropped"),
            }
        }
        dropped
    }
}

/// Whether a file of these pieces is a version of what is to be forgotten: it has something that nothing else has, or it is the whole of
/// one of the long files.
fn is_of(pieces: &BTreeSet<Cid>, named: &BTreeSet<Cid>, lists: &BTreeSet<BTreeSet<Cid>>) -> bool {
    !pieces.is_disjoint(named) || lists.contains(pieces)
}

/// The pieces of those long files of which the list is among the blocks, as far as it lies here.
fn lists(blocks: &dyn BlockStore, named: &BTreeSet<Cid>) -> Result<BTreeSet<BTreeSet<Cid>>, StoreError> {
    let mut lists = BTreeSet::new();
    for cid in named {
        let mut nodes = BTreeSet::new();
        reach(blocks, *cid, &mut nodes)?;
        let mut pieces = BTreeSet::new();
        for node in &nodes {
            pieces.extend(blocks.links(node)?.unwrap_or_default().into_iter().filter(|link| !nodes.contains(link)));
        }
        if !pieces.is_empty() {
            lists.insert(pieces);
        }
    }
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use cobox_core::keys::{EpochSecret, Profile, RootSecret, ShapeKey};
    use cobox_core::members::{Founding, FoundingRandom, bundle_envelopes, found};
    use cobox_core::seal::BlockKind;
    use cobox_core::state::{Content, Ref};
    use cobox_core::tree::TreeKeys;
    use cobox_core::tree::manifest::{Listed, list};
    use cobox_proto::members::{FolderKind, Policy};
    use cobox_store::{FolderStore, MemStore};

    use super::*;
    use crate::disk_tree::OffLimits;

    fn cids(of: std::ops::Range<u16>) -> BTreeSet<Cid> {
        of.map(|n| Cid([n.to_be_bytes(); 16].concat().try_into().unwrap())).collect()
    }

    #[test]
    fn a_version_set_aside_goes_if_it_has_what_nothing_else_has_or_is_a_whole_long_file() {
        let mut keys = FolderKeys::new(FolderId([1; 32]), ShapeKey::from_bytes([2; 32]), Profile::Cdc);
        let params = FolderKeys::params_for(Profile::Cdc, false);
        let epoch = keys.insert_epoch(EpochSecret::from_bytes([3; 32]), params).unwrap();
        let listed: Vec<Listed> = cids(0..900)
            .into_iter()
            .map(|cid| Listed { chunk: Ref { cid, len: 1000, epoch }, mark: cid.0[..16].try_into().unwrap() })
            .collect();
        let (content, blocks) = list(&listed, |_| 0, &keys, epoch).unwrap();
        let Content::Manifest(manifest) = content else { panic!("{content:?}") };
        assert!(blocks.len() > 2, "the list has a tree of its own");
        let store = MemStore::new();
        for block in &blocks {
            store.put_many(&[(block.cid, &block.bytes)]).unwrap();
        }
        let other = keys.seal(epoch, BlockKind::Chunk, &[], b"of another file").unwrap();
        store.put_many(&[(other.cid, &other.bytes)]).unwrap();

        let mut named = cids(2000..2002);
        named.insert(manifest.cid);
        let lists = lists(&store, &named).unwrap();
        assert_eq!(lists, [cids(0..900)].into());
        assert!(is_of(&cids(0..900), &named, &lists), "the whole of the long file");
        assert!(is_of(&cids(2001..2005), &named, &lists), "something of its own");
        assert!(!is_of(&cids(3..5), &named, &lists), "a file that has some of the long one's pieces");
        assert!(!is_of(&cids(2002..2005), &named, &lists) && !is_of(&BTreeSet::new(), &named, &lists));
    }

    /// A device for which the days go by.
    struct Around(AtomicU64);

    impl Surroundings for Around {
        fn now_ms(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
        fn random(&self) -> [u8; 32] {
            [7; 32]
        }
        fn tell(&self, _: &FolderConfig, _: Happened) {}
        fn ticket(&self) -> Option<Ticket> {
            None
        }
        fn brake(&self) -> Brake {
            Brake::default()
        }
        fn rescan_ms(&self) -> u64 {
            u64::MAX / 2
        }
        fn vault_mark(&self) -> Option<VaultMark> {
            None
        }
        fn vault_written(&self, _: VaultMark) {}
    }

    /// A folder of one person, on its thread.
    struct Desk {
        dir: tempfile::TempDir,
        around: Arc<Around>,
        handle: FolderHandle,
        runtime: tokio::runtime::Runtime,
    }

    impl Desk {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (slot, device) = (RootSecret::from_entropy([1; 16]).slot(1), DeviceSecret::from_seed(&[1; 32]));
            let founding = Founding {
                kind: FolderKind::Folder,
                slot: &slot,
                device: &device,
                profile: Profile::Cdc,
                high_privacy: false,
                policy: Policy::default(),
            };
            let random = FoundingRandom { nonce: [1; 32], shape: [2; 32], epoch: [3; 64] };
            let founded = found(founding, &random).unwrap();
            let folder = founded.log.folder();
            let store = Arc::new(FolderStore::open(&dir.path().join("folders.db")).unwrap());
            let records = Records::new(store, folder);
            let sent = bundle_envelopes(founded.epoch.op.id(), founded.epoch.envelopes);
            records.found(founded.log.genesis(), &[founded.epoch.op], &[sent]).unwrap();
            let root = dir.path().join("docs");
            std::fs::create_dir(&root).unwrap();
            let config = FolderConfig::new(folder, Sort::Folder, "docs".into(), Some(root.clone()), 1);
            let parts = Parts {
                config,
                config_path: dir.path().join("folder.json"),
                device,
                slot,
                keys: Some(founded.keys),
                replica: records.replica().unwrap().unwrap(),
                records,
                blocks: Arc::new(MemStore::new()),
                db_path: dir.path().join("tree.db"),
                disk: Some(DiskTree::adopt(&root, folder, &OffLimits::default()).unwrap()),
                root_lost: None,
                keep_keys: Box::new(|_| {}),
            };
            let around = Arc::new(Around(AtomicU64::new(crate::daemon::now_ms())));
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let handle = start(parts, around.clone(), runtime.handle().clone()).unwrap();
            Self { dir, around, handle, runtime }
        }

        fn ask<T: Send + 'static>(&self, f: impl FnOnce(&mut FolderActor) -> T + Send + 'static) -> T {
            self.runtime.block_on(self.handle.ask(f)).unwrap()
        }

        fn look(&self) {
            let looked = self.ask(FolderActor::rescan).unwrap();
            self.runtime.block_on(looked).unwrap();
        }

        /// The pieces of the file that is there.
        fn pieces(&self, path: &str) -> BTreeSet<Cid> {
            let path: FolderPath = path.parse().unwrap();
            self.ask(move |actor| {
                let engine = actor.engine.as_ref().unwrap();
                let shown = engine.view().lookup(&path).unwrap().shown().unwrap().clone();
                shown.body(engine.state()).unwrap().content.cids().collect()
            })
        }

        /// Takes a file away as a change from elsewhere does.
        fn set_aside(&self, path: &str) {
            let path: FolderPath = path.parse().unwrap();
            self.ask(move |actor| {
                let disk = actor.disk_tree().unwrap();
                let there = disk.stat(&path).unwrap().unwrap();
                disk.remove(&path, crate::disk_tree::Expect::from(&there)).unwrap();
            });
        }

        /// How many versions are set aside after so many days more, with a look on each of them.
        fn kept_after(&self, days: u64) -> usize {
            for _ in 0..days {
                self.around.0.fetch_add(24 * 3_600_000, Ordering::SeqCst);
                self.ask(|actor| {
                    actor.next_upkeep_ms = 0;
                    let now = actor.around.now_ms();
                    actor.keep_up(now);
                });
            }
            self.ask(|actor| actor.disk_tree().unwrap().list_kept().unwrap().len())
        }
    }

    #[test]
    fn a_device_lets_go_of_what_it_set_aside_after_the_delay_and_of_nothing_else() {
        let desk = Desk::new();
        let root = desk.dir.path().join("docs");
        for (name, byte) in [("secret.odt", 1), ("other.odt", 2), ("withdrawn.odt", 3)] {
            std::fs::write(root.join(name), vec![byte; 40_000]).unwrap();
        }
        desk.look();
        let pieces = ["secret.odt", "other.odt", "withdrawn.odt"].map(|name| desk.pieces(name));
        for name in ["secret.odt", "other.odt", "withdrawn.odt"] {
            desk.set_aside(name);
        }
        desk.look();
        assert_eq!(desk.kept_after(0), 3);
        let states: BTreeSet<HeadTag> = [HeadTag([9; 16])].into();
        let [secret, _, withdrawn] = pieces;
        let wish = |of: BTreeSet<Cid>| {
            let states = states.clone();
            desk.ask(move |actor| actor.forget(&states, &of, Some("secret.odt".into()))).unwrap()
        };
        let first = wish(secret);
        desk.around.0.fetch_add(1, Ordering::SeqCst);
        wish(withdrawn);
        let wishes = desk.ask(|actor| actor.wishes());
        assert_eq!((wishes.len(), wishes[0].ops[0], wishes[0].path.as_deref()), (2, first, Some("secret.odt")));
        assert_eq!(desk.kept_after(6), 3, "not before its time");
        desk.ask(|actor| actor.withdraw_forget(actor.wishes().remove(1)).unwrap());
        assert_eq!(desk.kept_after(1), 2, "what was withdrawn stays, and what nobody named");
        assert_eq!(desk.kept_after(14), 2);
    }
}
