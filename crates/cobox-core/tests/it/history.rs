//! Looking back: what is told of a folder's past is what its devices did, however it is paged, and an earlier state comes back as it was.

mod forgetting;

use std::collections::{BTreeMap, BTreeSet};

use cobox_core::engine::HeadNote;
use cobox_core::history::{
    Change, Chronicle, Cursor, Dated, Nodes, Page, PageOf, Past, Restoration, Then, Told, page, state_at, state_of,
};
use cobox_core::keys::{EpochSecret, FolderKeys, Profile, ShapeKey};
use cobox_core::path::{FolderPath, Name};
use cobox_core::state::{Body, Commit, Content, Kind, State, View, ViewEntry, view};
use cobox_core::tree::Tree;
use cobox_proto::codec::Canonical;
use cobox_proto::head::{Head, SignedHead};
use cobox_proto::id::{ActorId, Cid, EpochTag, FolderId, HeadId, Inode};
use cobox_proto::sign::SecretKey;
use proptest::prelude::*;

use crate::tree::Dice;

const FOLDER: FolderId = FolderId([1; 32]);
const MINUTE_MS: u64 = 60_000;

/// What a device did, as it would say it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Deed {
    head: HeadId,
    change: Change,
    path: FolderPath,
    from: Option<FolderPath>,
    device: usize,
}

#[derive(Clone)]
struct Device {
    key: SecretKey,
    actor: ActorId,
    state: State,
    tree: Tree,
    prev: Option<HeadId>,
    seq: u64,
    frontier: BTreeSet<HeadId>,
}

/// Devices that write and join, and all that is kept of it.
struct Story {
    keys: FolderKeys,
    epoch: EpochTag,
    devices: Vec<Device>,
    heads: Vec<SignedHead>,
    blocks: BTreeMap<Cid, Vec<u8>>,
    /// Which blocks each state's tree has.
    trees: BTreeMap<HeadId, Vec<Cid>>,
    shown: BTreeMap<HeadId, BTreeMap<FolderPath, [u8; 32]>>,
    states: BTreeMap<HeadId, State>,
    /// Of how many pieces files are made; without, their content lies in their records.
    pool: Option<u64>,
    deeds: Vec<Deed>,
    now_ms: u64,
    written: u64,
}

/// Blocks at hand.
struct Kept<'a>(&'a BTreeMap<Cid, Vec<u8>>);

impl Nodes for Kept<'_> {
    fn fetch(&mut self, cids: &[Cid]) -> Vec<(Cid, Vec<u8>)> {
        cids.iter().filter_map(|cid| Some((*cid, self.0.get(cid)?.clone()))).collect()
    }
}

fn epochs(_: &EpochTag) -> u64 {
    0
}

fn name(n: u64) -> Name {
    format!("name {n}").parse().unwrap()
}

fn path(text: &str) -> FolderPath {
    FolderPath::parse(text).unwrap()
}

/// Every file and link by path.
fn files(state: &State, view: &View) -> BTreeMap<FolderPath, [u8; 32]> {
    let leaves = view.entries.iter().filter_map(|(path, entry)| Some((path.clone(), entry.shown()?)));
    leaves.map(|(path, leaf)| (path, leaf.body(state).unwrap().plain_digest)).collect()
}

impl Story {
    fn new(devices: usize) -> Self {
        let mut keys = FolderKeys::new(FOLDER, ShapeKey::from_bytes([2; 32]), Profile::Cdc);
        let params = FolderKeys::params_for(Profile::Cdc, false);
        let epoch = keys.insert_epoch(EpochSecret::from_bytes([3; 32]), params).unwrap();
        let (tree, blocks) = Tree::build(&State::new(), &keys, epoch).unwrap();
        let device = |n: usize| {
            let key = SecretKey::from_seed(&[n as u8 + 1; 32]);
            let actor = ActorId::of(&FOLDER, &key.public(), &[n as u8; 16]);
            let (state, tree, frontier) = (State::new(), tree.clone(), BTreeSet::new());
            Device { key, actor, state, tree, prev: None, seq: 0, frontier }
        };
        Self {
            devices: (0..devices).map(device).collect(),
            keys,
            epoch,
            heads: Vec::new(),
            blocks: blocks.into_iter().map(|block| (block.cid, block.bytes)).collect(),
            trees: BTreeMap::new(),
            shown: BTreeMap::new(),
            states: BTreeMap::new(),
            pool: None,
            deeds: Vec::new(),
            now_ms: 1_000 * MINUTE_MS,
            written: 0,
        }
    }

    fn body(&mut self) -> Body {
        if let Some(pool) = self.pool.filter(|_| !self.written.is_multiple_of(4)) {
            let mut dice = Dice(self.written);
            let count = 1 + dice.roll(3);
            return self.pieces((0..count).map(|_| dice.roll(pool)).collect::<Vec<_>>());
        }
        self.written += 1;
        let bytes = self.written.to_le_bytes();
        let plain_digest = cobox_core::content::inline_digest(&self.keys, &bytes);
        Body { size: 8, mtime_ns: 0, executable: false, plain_digest, content: Content::Inline(bytes.into()) }
    }

    /// One device writes; its head names what it rests on.
    fn commit<T>(&mut self, who: usize, change: impl FnOnce(&mut Commit<'_>) -> T) -> (HeadId, T) {
        self.now_ms += MINUTE_MS;
        let device = &mut self.devices[who];
        let mut commit = Commit::new(&mut device.state, device.actor, device.key.public(), self.keys.shape());
        let said = change(&mut commit);
        let touched = commit.finish().map(|(_, touched)| touched).unwrap_or_default();
        let (tree, blocks) = device.tree.update(&device.state, &touched, &self.keys, self.epoch).unwrap();
        device.tree = tree;
        self.blocks.extend(blocks.into_iter().map(|block| (block.cid, block.bytes)));
        (self.publish(who), said)
    }

    fn publish(&mut self, who: usize) -> HeadId {
        let device = &mut self.devices[who];
        device.seq += 1;
        let merged = device.frontier.iter().filter(|id| Some(**id) != device.prev).copied().collect();
        let mut head = Head {
            folder: FOLDER,
            device: device.key.public(),
            actor: device.actor,
            actor_nonce: (device.seq == 1).then_some([who as u8; 16]),
            seq: device.seq,
            prev: device.prev,
            skip: None,
            root: device.tree.root(),
            epoch: self.epoch,
            auth: Vec::new(),
            merged,
            new_blocks: 0,
            new_bytes: 0,
            claimed_time_ms: self.now_ms,
            delta: None,
            sealed: Vec::new(),
        };
        let counter = device.state.ctx.get(&device.actor).map_or(0, |row| row.counter);
        let note = HeadNote { counter, vault: None }.to_bytes();
        head.sealed = self.keys.seal_note(&self.epoch, "head", &head.clear_bytes(), &note).unwrap();
        let signed = head.sign(&device.key).unwrap();
        let id = signed.id();
        device.prev = Some(id);
        device.frontier = BTreeSet::from([id]);
        self.trees.insert(id, device.tree.cids().collect());
        self.shown.insert(id, files(&device.state, &view(&device.state)));
        self.states.insert(id, device.state.clone());
        self.heads.push(signed);
        id
    }

    /// One takes in all that another has, and perhaps says so.
    fn join(&mut self, who: usize, from: usize, says_so: bool) {
        let other = self.devices[from].clone();
        let device = &mut self.devices[who];
        let (touched, _) = device.state.join(&other.state, &epochs);
        let (tree, blocks) = device.tree.update(&device.state, &touched, &self.keys, self.epoch).unwrap();
        device.tree = tree;
        self.blocks.extend(blocks.into_iter().map(|block| (block.cid, block.bytes)));
        let all: BTreeSet<HeadId> = device.frontier.union(&other.frontier).copied().collect();
        let past = |id: &HeadId| self.heads.iter().find(|head| head.id() == *id).map(|head| head.head());
        let mut below: BTreeSet<HeadId> = BTreeSet::new();
        let mut stack: Vec<HeadId> = all.iter().copied().collect();
        while let Some(head) = stack.pop().and_then(|id| past(&id)) {
            stack.extend(head.parents().filter(|parent| below.insert(*parent)));
        }
        device.frontier = all.difference(&below).copied().collect();
        if says_so {
            self.now_ms += MINUTE_MS;
            self.publish(who);
        }
    }

    /// Something a person may do, to something that no other version hides.
    fn deed(&mut self, who: usize, dice: &mut Dice) {
        let state = self.devices[who].state.clone();
        let shows = view(&state);
        let plain: Vec<(FolderPath, Inode)> = shows
            .entries
            .iter()
            .filter_map(|(path, entry)| match entry {
                ViewEntry::Dir { inodes } => (inodes.len() == 1).then(|| (path.clone(), inodes[0])),
                ViewEntry::File(leaf) | ViewEntry::Symlink(leaf) => {
                    let alone = leaf.conflict.is_none() && leaf.twins.is_empty();
                    let one = state.get(&leaf.inode).is_some_and(|item| item.body.len() == 1 && item.loc.len() == 1);
                    (alone && one).then(|| (path.clone(), leaf.inode))
                }
            })
            // Where it shows is where its record says.
            .filter(|(path, inode)| {
                state
                    .get(inode)
                    .and_then(|item| item.effective())
                    .is_some_and(|(_, loc)| Some(&loc.name) == path.name().as_ref())
            })
            .collect();
        let dirs: Vec<(FolderPath, Inode)> = plain
            .iter()
            .filter(|(_, inode)| state.get(inode).is_some_and(|item| item.kind == Kind::Dir))
            .cloned()
            .chain([(FolderPath::root(), Inode::ZERO)])
            .collect();
        let (dir, parent) = dirs[dice.roll(dirs.len() as u64) as usize].clone();
        let called = name(dice.roll(40));
        let free = shows.lookup(&dir.join(&called)).is_none();
        let some = plain.get(dice.roll(plain.len().max(1) as u64) as usize).cloned();
        let body = self.body();
        let (change, path, from, head) = match (dice.roll(10), some) {
            (0..4, _) | (_, None) if free => {
                let (head, ()) = self.commit(who, |c| _ = c.create(parent, &called, Kind::File, body));
                (Change::Created, dir.join(&called), None, head)
            }
            (4, _) if free => {
                let (head, ()) = self.commit(who, |c| _ = c.make_dir(parent, &called));
                (Change::Created, dir.join(&called), None, head)
            }
            (5..7, Some((path, inode))) => {
                let item = state.get(&inode).unwrap();
                if item.kind == Kind::Dir {
                    return;
                }
                let seen = [item.body[0].0];
                let (head, ()) = self.commit(who, |c| c.edit(inode, &seen, body).unwrap());
                (Change::Edited, path, None, head)
            }
            (7, Some((path, inode))) if free && !dir.starts_with(&path) => {
                let (head, ()) = self.commit(who, |c| c.rename(inode, parent, &called).unwrap());
                (Change::Renamed, dir.join(&called), Some(path), head)
            }
            (8.., Some((path, inode))) => {
                let item = state.get(&inode).unwrap();
                if item.kind == Kind::Dir {
                    if state.children(&inode).next().is_some() {
                        return;
                    }
                    let (head, ()) = self.commit(who, |c| c.trash_dir(inode));
                    (Change::Deleted, path, None, head)
                } else {
                    let seen = [item.body[0].0];
                    let (head, ()) = self.commit(who, |c| c.remove(inode, &seen));
                    (Change::Deleted, path, None, head)
                }
            }
            _ => return,
        };
        self.deeds.push(Deed { head, change, path, from, device: who });
    }

    /// A random past, ended by everybody joining everybody.
    fn random(seed: u64, steps: usize) -> Self {
        Self::random_of(seed, steps, None)
    }

    /// The same, of files that are made of so many pieces.
    fn random_of(seed: u64, steps: usize, pool: Option<u64>) -> Self {
        let mut dice = Dice(seed);
        let mut story = Self { pool, ..Self::new(2 + seed as usize % 2) };
        let count = story.devices.len() as u64;
        for _ in 0..steps {
            let who = dice.roll(count) as usize;
            match dice.roll(4) {
                0 => story.join(who, (who + 1) % count as usize, dice.roll(2) == 0),
                _ => story.deed(who, &mut dice),
            }
        }
        for who in 1..count as usize {
            story.join(0, who, false);
        }
        story.now_ms += MINUTE_MS;
        story.publish(0);
        story
    }

    fn chronicle(&self) -> Chronicle {
        Chronicle::new(self.heads.iter().map(|head| Told { head: head.clone(), there_ms: None }).collect())
    }

    fn now(&self) -> Past {
        Past::new(self.devices[0].state.clone(), self.devices[0].tree.clone())
    }

    fn page(&self, blocks: &BTreeMap<Cid, Vec<u8>>, of: &PageOf) -> Page {
        page(&self.chronicle(), of, &mut self.now(), &mut Kept(blocks), &self.keys, &epochs).unwrap()
    }

    /// All of history, in pages.
    fn told(&self, blocks: &BTreeMap<Cid, Vec<u8>>, of: &str, entries_max: usize) -> Vec<Dated> {
        let path = if of.is_empty() { FolderPath::root() } else { path(of) };
        let mut of = PageOf { path, deleted_only: false, from: None, entries_max };
        let mut all = Vec::new();
        loop {
            let page = self.page(blocks, &of);
            assert!(page.entries.len() <= entries_max);
            all.extend(page.entries);
            let Some(next) = page.next else { return all };
            of.from = Some(next.to_string().parse::<Cursor>().unwrap());
        }
    }

    fn at(&self, blocks: &BTreeMap<Cid, Vec<u8>>, time_ms: u64) -> Option<Then> {
        state_at(&self.chronicle(), time_ms, &mut self.now(), &mut Kept(blocks), &self.keys, &epochs).unwrap()
    }

    fn create(&mut self, text: &str) -> Inode {
        let body = self.body();
        let at = path(text);
        let parent = at.parent().filter(|parent| !parent.is_root());
        let parent =
            parent.map_or(Inode::ZERO, |parent| view(&self.devices[0].state).lookup(&parent).unwrap().dir().unwrap());
        self.commit(0, |c| c.create(parent, &at.name().unwrap(), Kind::File, body)).1
    }

    fn edit(&mut self, inode: Inode) -> HeadId {
        let body = self.body();
        let seen = [self.devices[0].state.get(&inode).unwrap().body[0].0];
        self.commit(0, |c| c.edit(inode, &seen, body).unwrap()).0
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn each_head_has_its_own_state_again_whatever_others_wrote_beside_it(seed in any::<u64>(), steps in 1usize..40) {
        let story = Story::random(seed, steps);
        let (chronicle, mut past) = (story.chronicle(), story.now());
        for head in &story.heads {
            let mut kept = Kept(&story.blocks);
            let then = state_of(&chronicle, &head.id(), &mut past, &mut kept, &story.keys).unwrap().unwrap();
            prop_assert!(then.is_exact);
            prop_assert_eq!(&files(&then.state, &then.view), &story.shown[&head.id()]);
        }
        // One that is not known, and one whose state nobody keeps.
        let last = story.heads.last().unwrap().id();
        prop_assert!(state_of(&chronicle, &HeadId([9; 32]), &mut past, &mut Kept(&story.blocks), &story.keys).unwrap().is_none());
        let mut elsewhere = Story::new(1).now();
        if story.heads.last().unwrap().head().root != elsewhere.root() {
            let nobody = BTreeMap::new();
            prop_assert!(state_of(&chronicle, &last, &mut elsewhere, &mut Kept(&nobody), &story.keys).unwrap().is_none());
        }
    }

    #[test]
    fn what_is_told_is_what_was_done_whoever_joined_whom_and_however_it_is_paged(seed: u64, steps in 1usize..70, page in 1usize..9) {
        let story = Story::random(seed, steps);
        let told = story.told(&story.blocks, "", page);
        let whole = story.told(&story.blocks, "", 1000);
        prop_assert_eq!(&told, &whole);
        prop_assert!(told.is_sorted_by(|a, b| a.at_ms >= b.at_ms), "newest first");
        let device = |dated: &Dated| {
            story.devices.iter().position(|device| Some(device.key.public()) == dated.entry.device).unwrap()
        };
        let mut said: Vec<Deed> = told.iter().map(|dated| Deed {
            head: dated.head,
            change: dated.entry.change,
            path: dated.entry.path.clone(),
            from: dated.entry.from.clone(),
            device: device(dated),
        }).collect();
        let mut done = story.deeds.clone();
        said.sort();
        done.sort();
        prop_assert_eq!(said, done);
    }

    #[test]
    fn every_moment_comes_back_as_it_was_and_a_plan_leads_there(seed: u64, steps in 1usize..60, pick: u64) {
        let story = Story::random(seed, steps);
        let head = &story.heads[pick as usize % story.heads.len()];
        // A head that all before it flow into shows what stood then.
        let at_ms = head.head().claimed_time_ms;
        let chronicle = story.chronicle();
        let standing = chronicle.standing_at(at_ms);
        let then = story.at(&story.blocks, at_ms).unwrap();
        prop_assert!(then.is_exact);
        let was = files(&then.state, &then.view);
        if standing == [head.id()] {
            prop_assert_eq!(&was, &story.shown[&head.id()]);
        }
        let now = &story.devices[0].state;
        let shows = view(now);
        let plan = Restoration::plan((now, &shows), &then, &[], true);
        let mut files_now = files(now, &shows);
        for path in &plan.remove {
            prop_assert!(files_now.remove(path).is_some());
        }
        for version in &plan.write {
            files_now.insert(version.path.clone(), version.body.plain_digest);
        }
        prop_assert_eq!(files_now, was);
    }

    #[test]
    fn of_a_thinned_past_the_nearest_kept_state_stands_for_what_is_gone(seed: u64, steps in 5usize..60, every in 2usize..6, pick: u64) {
        let story = Story::random(seed, steps);
        // Like a seeder in time: the nodes of every so many states, and of the newest.
        let kept = story.heads.iter().enumerate().filter(|(n, _)| n % every == 0 || n + 1 == story.heads.len());
        let kept: BTreeSet<HeadId> = kept.map(|(_, head)| head.id()).collect();
        let names: BTreeSet<Cid> = kept.iter().flat_map(|id| &story.trees[id]).copied().collect();
        let blocks: BTreeMap<Cid, Vec<u8>> =
            story.blocks.iter().filter(|(cid, _)| names.contains(cid)).map(|(cid, bytes)| (*cid, bytes.clone())).collect();
        // Nothing is told that did not happen, and who is named did it.
        for dated in story.told(&blocks, "", 7) {
            let entry = &dated.entry;
            let is_of = |deed: &&Deed| deed.path == entry.path || deed.from.as_ref() == Some(&entry.path)
                || entry.path.starts_with(&deed.path) || entry.from.as_ref().is_some_and(|from| *from == deed.path || from.starts_with(&deed.path) || deed.from.as_ref() == Some(from));
            prop_assert!(story.deeds.iter().any(|deed| is_of(&deed)), "{:?}", entry);
        }
        let at_ms = story.heads[pick as usize % story.heads.len()].head().claimed_time_ms;
        if let Some(then) = story.at(&blocks, at_ms) {
            prop_assert!(then.at_ms <= at_ms);
            if !then.is_exact && kept.len() < 3 {
                prop_assert!(kept.iter().any(|id| story.shown[id] == files(&then.state, &then.view)));
            }
        }
    }
}

#[test]
fn a_file_is_followed_through_its_renames_and_those_of_its_directories() {
    let mut story = Story::new(1);
    let (_, old) = story.commit(0, |c| c.make_dir(Inode::ZERO, &"drafts".parse().unwrap()));
    let file = story.create("drafts/letter.txt");
    story.create("drafts/other.txt");
    story.edit(file);
    story.commit(0, |c| c.rename(old, Inode::ZERO, &"letters".parse().unwrap()).unwrap());
    story.commit(0, |c| c.rename(file, Inode::ZERO, &"june.txt".parse().unwrap()).unwrap());
    story.edit(file);
    for entries_max in [1, 100] {
        let told = story.told(&story.blocks, "june.txt", entries_max);
        let said: Vec<String> = told
            .iter()
            .map(|dated| {
                let from = dated.entry.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
                format!("{:?} {}{from}", dated.entry.change, dated.entry.path)
            })
            .collect();
        assert_eq!(
            said,
            [
                "Edited june.txt",
                "Renamed june.txt from letters/letter.txt",
                "Renamed letters from drafts",
                "Edited drafts/letter.txt",
                "Created drafts/letter.txt",
            ]
        );
    }
}

#[test]
fn c3_what_hangs_in_a_circle_is_told_where_it_shows() {
    let mut story = Story::new(2);
    let [a, b] = ["a", "b"].map(|dir| story.commit(0, |c| c.make_dir(Inode::ZERO, &dir.parse().unwrap())).1);
    let file = story.create("a/song");
    story.join(1, 0, false);
    story.commit(0, |c| c.rename(a, b, &"a".parse().unwrap()).unwrap());
    story.commit(1, |c| c.rename(b, a, &"b".parse().unwrap()).unwrap());
    story.join(0, 1, false);
    let edited = story.edit(file);
    let shown: Vec<&FolderPath> = story.shown[&edited].keys().collect();
    assert_eq!(shown.len(), 1);
    let told = story.told(&story.blocks, "", 100);
    let of_it: Vec<&FolderPath> =
        told.iter().filter(|dated| dated.head == edited).map(|dated| &dated.entry.path).collect();
    assert_eq!(of_it, shown);
}

#[test]
fn t1_t3_a_clock_that_is_far_off_moves_nobodys_history() {
    let mut story = Story::new(3);
    let honest = story.now_ms;
    story.create("before.txt");
    for (who, lie_ms) in [(1, 0), (2, 4_000_000_000_000)] {
        story.join(who, 0, false);
        let real = std::mem::replace(&mut story.now_ms, lie_ms);
        let body = story.body();
        story.commit(who, |c| _ = c.create(Inode::ZERO, &name(who as u64), Kind::File, body));
        story.now_ms = real;
        story.join(0, who, false);
        story.now_ms += MINUTE_MS;
        story.publish(0);
    }
    let last = story.create("after.txt");
    // When each came here is known.
    let told = story
        .heads
        .iter()
        .enumerate()
        .map(|(n, head)| Told { head: head.clone(), there_ms: Some(honest + (n as u64 + 1) * MINUTE_MS) });
    let chronicle = Chronicle::new(told.collect());
    let times: Vec<u64> = chronicle.newest_first().iter().map(|id| chronicle.at_ms(id).unwrap()).collect();
    assert!(times.iter().all(|at| (honest..honest + 20 * MINUTE_MS).contains(at)), "{times:?}");
    assert!(times.is_sorted_by(|a, b| a >= b));
    assert!(story.devices[0].state.get(&last).is_some());
}

#[test]
fn x4_a_state_that_is_not_as_its_author_should_have_written_it_is_not_believed() {
    let mut story = Story::new(1);
    let file = story.create("a.txt");
    story.edit(file);
    let first = story.heads[0].head().root;
    let mut blocks = story.blocks.clone();
    blocks.insert(first, story.blocks[&story.heads[1].head().root].clone());
    let of = PageOf { path: FolderPath::root(), deleted_only: false, from: None, entries_max: 10 };
    let read = page(&story.chronicle(), &of, &mut story.now(), &mut Kept(&blocks), &story.keys, &epochs);
    // Bytes under a wrong name are never taken: that state counts as not kept.
    assert!(read.is_err() || read.unwrap().thinned);
}

#[test]
fn what_was_not_there_is_said_and_paths_alone_remove_nothing() {
    let mut story = Story::new(1);
    story.create("old.txt");
    let at_ms = story.now_ms;
    story.create("new.txt");
    let then = story.at(&story.blocks, at_ms).unwrap();
    let now = &story.devices[0].state;
    let plan = Restoration::plan((now, &view(now)), &then, &[path("old.txt"), path("new.txt")], false);
    assert_eq!((plan.same, &plan.absent, plan.is_empty()), (1, &vec![path("new.txt")], true));
    let plan = Restoration::plan((now, &view(now)), &then, &[], true);
    assert_eq!((plan.remove, plan.write.len()), (vec![path("new.txt")], 0));
    assert!(story.at(&story.blocks, at_ms - 10 * MINUTE_MS).is_none(), "nothing stood yet");
}
