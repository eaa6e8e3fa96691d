//! What an engine refuses, and what it makes of one look at a disk. How several of them work together is told in the simulator.

mod holding;
mod links;

use std::collections::BTreeSet;

use cobox_proto::codec::Canonical;
use cobox_proto::head::{Head, SignedHead};
use cobox_proto::id::{ActorId, Cid, EpochTag, HeadId};
use cobox_proto::limits::COUNTER_JUMP_MAX;
use cobox_proto::members::{FolderKind, Policy};
use cobox_proto::sign::SecretKey;

use super::*;
use crate::keys::{DeviceSecret, Profile, RootSecret};
use crate::members::{Founding, FoundingRandom, found};
use crate::seal::SealedBlock;
use crate::state::{Commit, Content, CtxRow, Ref, ViewEntry};

mod costs;
mod moving;
mod reading;
mod resealing;

/// Alice's engine, and the keys that Mallory has too.
struct Folder {
    id: FolderId,
    keys: FolderKeys,
    epoch: EpochTag,
    alice: Engine,
    told: Vec<Event>,
    published: Vec<SignedHead>,
    wanted: Vec<Step>,
    called_off: Vec<StepId>,
}

impl Folder {
    fn new() -> Self {
        let (slot, device) = (RootSecret::from_entropy([1; 16]).slot(1), DeviceSecret::from_seed(&[1; 32]));
        let (kind, profile, policy) = (FolderKind::Folder, Profile::Uniform, Policy::default());
        let founding = Founding { kind, slot: &slot, device: &device, profile, high_privacy: false, policy };
        let founded = found(founding, &FoundingRandom { nonce: [1; 32], shape: [2; 32], epoch: [3; 64] }).unwrap();
        let (id, epoch) = (founded.log.folder(), founded.epoch.id.tag());
        let standing =
            Standing { auth: founded.log.frontier(), epoch: Some(epoch), can_write: true, depths: BTreeMap::new() };
        let keys = founded.keys;
        let setup = Setup { folder: id, keys: keys.clone(), device: device.sig.clone(), entropy: [7; 32], standing };
        let mut alice = Engine::empty(setup, epoch);
        alice.handle(1_000, Input::Rules(Arc::new(NoRules)));
        Self {
            id,
            keys,
            epoch,
            alice,
            told: Vec::new(),
            published: Vec::new(),
            wanted: Vec::new(),
            called_off: Vec::new(),
        }
    }

    fn tell(&mut self, input: Input) {
        self.alice.handle(1_000, input);
        while let Some(output) = self.alice.poll_output() {
            match output {
                Output::Tell(event) => self.told.push(event),
                Output::Publish(head) => self.published.push(*head),
                Output::Do(steps) => self.wanted.extend(steps.into_iter().map(|(_, step)| step)),
                Output::Cancel(id) => self.called_off.push(id),
                _ => {}
            }
        }
    }

    /// With all that was remembered.
    fn alice_starts_again(&mut self) {
        let alice = &self.alice;
        let device = DeviceSecret::from_seed(&[1; 32]).sig.clone();
        let (keys, standing) = (self.keys.clone(), alice.standing.clone());
        let setup = Setup { folder: self.id, keys, device, entropy: [8; 32], standing };
        let (state, tree, frontier) = (alice.state().clone(), alice.tree().clone(), alice.frontier().clone());
        let synced = alice.synced.iter().map(|(path, entry)| (path.clone(), entry.clone())).collect();
        self.alice = Engine::new(setup, 1_000, state, tree, frontier, &self.published, synced);
        self.alice.handle(1_000, Input::Rules(Arc::new(NoRules)));
    }

    fn alice_writes(&mut self, path: &str, text: &[u8]) {
        let body = body(&self.keys, text);
        self.alice.put_virtual(1_000, &FolderPath::parse(path).unwrap(), body);
        self.tell(Input::Woken);
    }

    /// Alice's engine is shown all that lies in her folder; every file holds its own name. What it wants done there, if anything.
    fn alice_sees(&mut self, listed: &[(&str, Stat)]) -> Vec<Step> {
        self.alice_reads(listed, |path| path.to_string())
    }

    /// The same, where files hold something else.
    fn alice_reads(&mut self, listed: &[(&str, Stat)], text: impl Fn(&FolderPath) -> String) -> Vec<Step> {
        let listed = listed.iter().map(|(path, stat)| (FolderPath::parse(path).unwrap(), stat.clone())).collect();
        self.alice.handle(1_000, Input::ScanBegun { under: Vec::new() });
        self.alice.handle(1_000, Input::Listed(listed));
        self.alice.handle(1_000, Input::ScanEnded { unreadable: Vec::new() });
        let mut steps = Vec::new();
        while let Some(output) = self.alice.poll_output() {
            match output {
                Output::Hash(files) => files.into_iter().for_each(|(path, stamp)| {
                    let body = Box::new(body(&self.keys, text(&path).as_bytes()));
                    self.alice.handle(1_000, Input::Hashed { path, stamp, body });
                }),
                Output::Do(more) => steps.extend(more.into_iter().map(|(_, step)| step)),
                Output::WakeAt(at) => self.alice.handle(at, Input::Woken),
                _ => {}
            }
        }
        steps
    }

    /// Mallory's head of these blocks, which come at once.
    fn mallory(&mut self, head: &SignedHead, blocks: &[SealedBlock]) {
        self.tell(Input::Head(Box::new(head.clone())));
        // In the order in which they may be wanted, parents first.
        for block in blocks.iter().rev().chain(blocks) {
            self.tell(Input::Block { cid: block.cid, bytes: block.bytes.clone() });
        }
    }

    /// Another member changes what Alice's folder has; what her engine wants done about it.
    fn another_writes(&mut self, change: impl FnOnce(&mut Commit<'_>)) -> Vec<Step> {
        let mut other = Mallory::new(self);
        other.state = self.alice.state().clone();
        let mut commit = Commit::new(&mut other.state, other.actor, other.key.public(), self.keys.shape());
        change(&mut commit);
        commit.finish();
        let (root, blocks) = other.seals(self);
        let head = other.publishes(self, root, other.counter());
        self.mallory(&head, &blocks);
        std::mem::take(&mut self.wanted)
    }

    fn item(&self, path: &str) -> Inode {
        self.alice.view().lookup(&at(path)).and_then(ViewEntry::shown).unwrap().inode
    }

    fn refused(&self) -> BTreeSet<HeadId> {
        let bad = |event: &Event| if let Event::BadHead { head, .. } = event { Some(*head) } else { None };
        self.told.iter().filter_map(bad).collect()
    }

    fn shows(&self) -> Vec<String> {
        self.alice.view().entries.keys().map(ToString::to_string).collect()
    }
}

/// Everything is content.
#[derive(Debug)]
struct NoRules;

impl IgnoreRules for NoRules {
    fn matches(&self, _: &FolderPath, _: bool) -> bool {
        false
    }
}

fn at(path: &str) -> FolderPath {
    FolderPath::parse(path).unwrap()
}

fn file(ino: u64) -> Stat {
    Stat::File(Stamp { size: 1, mtime_ns: 5, ctime_ns: 5, id: FileId { dev: 1, ino }, executable: false })
}

fn body(keys: &FolderKeys, text: &[u8]) -> Body {
    let plain_digest = crate::content::inline_digest(keys, text);
    Body {
        size: text.len() as u64,
        mtime_ns: 0,
        executable: false,
        plain_digest,
        content: Content::Inline(text.into()),
    }
}

/// Mallory, a member who breaks the rules.
struct Mallory {
    key: SecretKey,
    actor: ActorId,
    state: State,
    chain: Vec<HeadId>,
}

impl Mallory {
    fn new(folder: &Folder) -> Self {
        let key = SecretKey::from_seed(&[66; 32]);
        let actor = ActorId::of(&folder.id, &key.public(), &[66; 16]);
        Self { key, actor, state: State::new(), chain: Vec::new() }
    }

    fn writes(&mut self, folder: &Folder, name: &str) {
        let mut commit = Commit::new(&mut self.state, self.actor, self.key.public(), folder.keys.shape());
        commit.create(Inode::ZERO, &name.parse().unwrap(), Kind::File, body(&folder.keys, name.as_bytes()));
        commit.finish();
    }

    fn seals(&self, folder: &Folder) -> (Cid, Vec<SealedBlock>) {
        let (tree, blocks) = Tree::build(&self.state, &folder.keys, folder.epoch).unwrap();
        (tree.root(), blocks)
    }

    fn publishes(&mut self, folder: &Folder, root: Cid, counter: u64) -> SignedHead {
        self.merges(folder, root, counter, &[])
    }

    fn merges(&mut self, folder: &Folder, root: Cid, counter: u64, merged: &[&SignedHead]) -> SignedHead {
        let seq = self.chain.len() as u64 + 1;
        let skip = seq & (seq - 1);
        let mut head = Head {
            folder: folder.id,
            device: self.key.public(),
            actor: self.actor,
            actor_nonce: (seq == 1).then_some([66; 16]),
            seq,
            prev: self.chain.last().copied(),
            skip: (skip > 0).then(|| self.chain[skip as usize - 1]),
            root,
            epoch: folder.epoch,
            auth: vec![],
            merged: merged.iter().map(|head| head.id()).collect(),
            new_blocks: 1,
            new_bytes: 1,
            claimed_time_ms: 0,
            delta: None,
            sealed: vec![],
        };
        let note = HeadNote { counter, vault: None }.to_bytes();
        head.sealed = folder.keys.seal_note(&folder.epoch, "head", &head.clear_bytes(), &note).unwrap();
        let signed = head.sign(&self.key).unwrap();
        self.chain.push(signed.id());
        signed
    }

    fn counter(&self) -> u64 {
        self.state.ctx.get(&self.actor).map_or(0, |row| row.counter)
    }
}

#[test]
fn x6_a_context_that_claims_unwritten_edits_is_refused_and_later_heads_count() {
    let mut folder = Folder::new();
    folder.alice_writes("mine", b"Alice's");
    let alice = folder.published[0].head().clone();
    let mut mallory = Mallory::new(&folder);
    mallory.writes(&folder, "bait");
    let honest = mallory.state.clone();
    // "I have seen, and deleted, what Alice writes next."
    mallory.state.ctx.set(alice.actor, Some(CtxRow { counter: 50, device: alice.device }));
    let (root, blocks) = mallory.seals(&folder);
    let counter = mallory.counter();
    let head = mallory.publishes(&folder, root, counter);
    folder.mallory(&head, &blocks);
    assert_eq!(folder.refused(), BTreeSet::from([head.id()]));
    assert_eq!(folder.shows(), ["mine"]);

    mallory.state = honest;
    mallory.writes(&folder, "honest");
    let (root, blocks) = mallory.seals(&folder);
    let counter = mallory.counter();
    let head = mallory.publishes(&folder, root, counter);
    folder.mallory(&head, &blocks);
    assert_eq!(folder.shows(), ["bait", "honest", "mine"]);
}

#[test]
fn t3_a_counter_that_jumps_far_ahead_is_refused_with_all_that_rests_on_it() {
    let mut folder = Folder::new();
    let mut mallory = Mallory::new(&folder);
    let (actor, device) = (mallory.actor, mallory.key.public());
    mallory.state.ctx.set(actor, Some(CtxRow { counter: COUNTER_JUMP_MAX + 1, device }));
    for name in ["first", "second"] {
        mallory.writes(&folder, name);
        let (root, blocks) = mallory.seals(&folder);
        let counter = mallory.counter();
        let head = mallory.publishes(&folder, root, counter);
        folder.mallory(&head, &blocks);
    }
    assert_eq!(folder.refused().len(), 2);
    assert!(folder.shows().is_empty());
}

#[test]
fn a_conflict_copy_is_told_of_once() {
    let mut folder = Folder::new();
    folder.alice_writes("letter", b"Alice's");
    let mut bob = Mallory::new(&folder);
    let mut writes = |folder: &mut Folder, name: &str| {
        bob.writes(folder, name);
        let (root, blocks) = bob.seals(folder);
        let counter = bob.counter();
        let head = bob.publishes(folder, root, counter);
        folder.mallory(&head, &blocks);
    };
    let told = |folder: &Folder| {
        let copy = |event: &Event| if let Event::Conflict { path } = event { Some(path.to_string()) } else { None };
        folder.told.iter().filter_map(copy).collect::<Vec<_>>()
    };
    writes(&mut folder, "other");
    assert!(told(&folder).is_empty(), "two files are no conflict");
    writes(&mut folder, "letter");
    let copies: Vec<String> = folder.shows().into_iter().filter(|path| path.contains("(conflict")).collect();
    assert_eq!((told(&folder), copies.len()), (copies.clone(), 1));
    writes(&mut folder, "more");
    folder.alice_writes("much more", b"Alice's");
    assert_eq!((told(&folder), folder.alice.summary().conflicts), (copies, 1), "it was told already");
}

#[test]
fn a_tree_that_is_not_one_is_refused_and_later_heads_count() {
    let mut folder = Folder::new();
    let mut mallory = Mallory::new(&folder);
    let nonsense = folder.keys.seal_block(&folder.epoch, crate::seal::BlockKind::Chunk, &[], b"no root").unwrap();
    let head = mallory.publishes(&folder, nonsense.cid, 0);
    folder.mallory(&head, &[nonsense]);
    assert_eq!(folder.refused(), BTreeSet::from([head.id()]));
    mallory.writes(&folder, "good");
    let (root, blocks) = mallory.seals(&folder);
    let counter = mallory.counter();
    let head = mallory.publishes(&folder, root, counter);
    folder.mallory(&head, &blocks);
    assert_eq!(folder.shows(), ["good"]);
}

#[test]
fn a_head_whose_blocks_nobody_has_keeps_no_other_waiting() {
    let mut folder = Folder::new();
    let mut mallory = Mallory::new(&folder);
    let lost = mallory.publishes(&folder, Cid([9; 32]), 0);
    folder.tell(Input::Head(Box::new(lost)));
    let mut other = Mallory { key: SecretKey::from_seed(&[67; 32]), ..Mallory::new(&folder) };
    other.actor = ActorId::of(&folder.id, &other.key.public(), &[66; 16]);
    other.writes(&folder, "there");
    let (root, blocks) = other.seals(&folder);
    let counter = other.counter();
    let head = other.publishes(&folder, root, counter);
    folder.mallory(&head, &blocks);
    assert_eq!(folder.shows(), ["there"]);
}

#[test]
fn h2_where_the_newest_lies_nowhere_whole_the_newest_that_does_is_joined_meanwhile() {
    let mut folder = Folder::new();
    let mut other = Mallory::new(&folder);
    let states: Vec<(SignedHead, Vec<SealedBlock>)> = ["1", "2", "3", "4"]
        .map(|name| {
            other.writes(&folder, name);
            let (root, blocks) = other.seals(&folder);
            (other.publishes(&folder, root, other.counter()), blocks)
        })
        .into();
    states.iter().for_each(|(head, _)| folder.tell(Input::Head(Box::new(head.clone()))));
    let id = |n: usize| states[n - 1].0.id();
    let comes = |folder: &mut Folder, n: usize| {
        let blocks = &states[n - 1].1;
        blocks.iter().rev().chain(blocks).for_each(|block| {
            folder.tell(Input::Block { cid: block.cid, bytes: block.bytes.clone() });
        });
    };

    // Before nothing came for long it is the newest that is waited for.
    folder.tell(Input::LieWhole([1, 2].map(id).into()));
    comes(&mut folder, 2);
    assert!(folder.shows().is_empty() && folder.alice.in_vain().is_empty());

    folder.alice.handle(1_000 + PATIENCE_MS, Input::LieWhole([1, 2].map(id).into()));
    assert!(!folder.alice.is_merged());
    comes(&mut folder, 2);
    assert_eq!(folder.shows(), ["1", "2"]);
    assert_eq!(*folder.alice.in_vain(), [4].map(id).into());

    // There is nothing more to get; then one more is whole somewhere.
    folder.alice.handle(1_000 + PATIENCE_MS, Input::LieWhole([1, 2].map(id).into()));
    assert!(folder.alice.is_merged() && folder.alice.waits_for_heads());
    folder.tell(Input::Woken);
    folder.alice.handle(1_000 + PATIENCE_MS, Input::LieWhole([2, 3].map(id).into()));
    comes(&mut folder, 3);
    assert_eq!(folder.shows(), ["1", "2", "3"]);

    // A change on top of it is nobody's loss.
    folder.alice_writes("mine", b"Alice's");
    comes(&mut folder, 4);
    comes(&mut folder, 4);
    assert_eq!(folder.shows(), ["1", "2", "3", "4", "mine"]);
    assert!(folder.alice.in_vain().is_empty() && !folder.alice.waits_for_heads());
    assert!(folder.refused().is_empty());
}

#[test]
fn n8_who_finds_its_chain_continued_says_so_and_goes_on_under_another_name() {
    let mut folder = Folder::new();
    folder.alice_writes("mine", b"one");
    let ours = folder.published[0].clone();
    // The same machine, waking up twice from one memory image, writes on as the same actor.
    let mut clone = Folder::new();
    clone.alice_writes("mine", b"one");
    clone.alice_writes("theirs", b"two");
    assert_eq!(clone.published[0].id(), ours.id());
    folder.tell(Input::Head(Box::new(clone.published[1].clone())));
    assert!(folder.told.contains(&Event::Duplicated { head: clone.published[1].id() }));
    folder.alice_writes("next", b"three");
    let next = folder.published.last().unwrap().head();
    assert_ne!(next.actor, ours.head().actor);
    assert_eq!(next.device, ours.head().device);
}

/// Alice's device lost all memory of its disk while another edited a file: the old version that stands there is no edit of theirs. Nor is
/// it if a stop comes before the disk was looked at.
#[test]
fn i5_what_nobody_touched_takes_no_name_from_what_others_wrote_while_memory_was_lost() {
    let mut folder = Folder::new();
    let mut other = Mallory::new(&folder);
    other.writes(&folder, "page");
    let (root, known_blocks) = other.seals(&folder);
    let known = other.publishes(&folder, root, other.counter());
    let (inode, written) = other.state.iter().map(|(key, item)| (key.inode, item.body[0].0)).next().unwrap();
    let mut commit = Commit::new(&mut other.state, other.actor, other.key.public(), folder.keys.shape());
    commit.edit(inode, &[written], body(&folder.keys, b"newer")).unwrap();
    commit.finish();
    let (root, newer_blocks) = other.seals(&folder);
    let newer = other.publishes(&folder, root, other.counter());

    let device = DeviceSecret::from_seed(&[1; 32]).sig.clone();
    let (id, keys, standing) = (folder.id, folder.keys.clone(), folder.alice.standing.clone());
    let setup = |entropy| Setup {
        folder: id,
        keys: keys.clone(),
        device: device.clone(),
        entropy: [entropy; 32],
        standing: standing.clone(),
    };
    folder.alice = Engine::anew(setup(8), 1_000, folder.epoch, std::slice::from_ref(&known));
    folder.tell(Input::Rules(Arc::new(NoRules)));
    folder.mallory(&known, &known_blocks);
    assert_eq!(folder.shows(), ["page"], "what was known here is joined at once");

    let (state, tree) = (folder.alice.state().clone(), folder.alice.tree().clone());
    let frontier = folder.alice.frontier().clone();
    let stopped = Engine::new(setup(9), 1_000, state, tree, frontier, &[known], BTreeMap::new());
    for runs in [None, Some(stopped)] {
        if let Some(again) = runs {
            folder.alice = again;
            folder.tell(Input::Rules(Arc::new(NoRules)));
        }
        folder.mallory(&newer, &newer_blocks);
        folder.alice_sees(&[("page", file(1))]);
        folder.mallory(&newer, &newer_blocks);

        assert_eq!(folder.shows(), ["page"], "no conflict");
        let writes_newer =
            |step: &Step| matches!(step, Step::Write { path, body, .. } if *path == at("page") && body.size == 5);
        assert!(matches!(&folder.wanted[..], [step] if writes_newer(step)), "{:?}", folder.wanted);
        folder.wanted.clear();
    }
}

/// What Alice hands out for one write: the delta, if any, and the head.
fn handed_out(alice: &mut Engine) -> (Option<SealedBlock>, SignedHead, Vec<SealedBlock>) {
    let (mut delta, mut head, mut stored) = (None, None, Vec::new());
    while let Some(output) = alice.poll_output() {
        match output {
            Output::SendDelta(block) => delta = Some(block),
            Output::Publish(published) => head = Some(*published),
            Output::Store(blocks) => stored.extend(blocks),
            _ => {}
        }
    }
    (delta, head.unwrap(), stored)
}

/// Tells Ben of a head and, before it, of a delta; what he asks for is answered from `held`. Returns how much that was.
fn hears(ben: &mut Engine, delta: Option<&SealedBlock>, head: &SignedHead, held: &[SealedBlock]) -> usize {
    if let Some(delta) = delta {
        ben.handle(1, Input::Delta { cid: delta.cid, bytes: delta.bytes.clone() });
    }
    ben.handle(1, Input::Head(Box::new(head.clone())));
    let mut asked = 0;
    while let Some(output) = ben.poll_output() {
        let Output::Want(cids) = output else { continue };
        for cid in cids {
            asked += 1;
            let block = held.iter().find(|block| block.cid == cid).expect("something Alice has stored");
            ben.handle(1, Input::Block { cid, bytes: block.bytes.clone() });
        }
    }
    asked
}

#[test]
fn a_small_change_is_joined_without_a_question_and_a_lost_or_foreign_delta_costs_only_questions() {
    let Folder { mut alice, keys, id, epoch, .. } = Folder::new();
    let device = SecretKey::from_seed(&[9; 32]);
    let standing = alice.standing.clone();
    let setup = || Setup {
        folder: id,
        keys: keys.clone(),
        device: device.clone(),
        entropy: [8; 32],
        standing: standing.clone(),
    };
    let mut ben = Engine::empty(setup(), epoch);
    let mut held = Vec::new();
    let write = |alice: &mut Engine, name: &str| {
        alice.put_virtual(1, &FolderPath::parse(name).unwrap(), body(&keys, name.as_bytes()));
        handed_out(alice)
    };
    for name in ["first", "second", "third"] {
        let (delta, head, stored) = write(&mut alice, name);
        held.extend(stored);
        assert_eq!(head.head().delta, delta.as_ref().map(|delta| delta.cid));
        assert_eq!(hears(&mut ben, delta.as_ref(), &head, &held), 0, "{name}");
        assert_eq!(ben.root(), alice.root());
    }

    let (_lost, head, stored) = write(&mut alice, "fourth");
    held.extend(stored);
    assert!(hears(&mut ben, None, &head, &held) > 0);
    assert_eq!(ben.root(), alice.root());

    let (foreign, _, _) = write(&mut Folder::new().alice, "elsewhere");
    let (mut wrong, head, stored) = write(&mut alice, "fifth");
    held.extend(stored);
    wrong.as_mut().unwrap().bytes = foreign.unwrap().bytes;
    assert!(hears(&mut ben, wrong.as_ref(), &head, &held) > 0);
    assert_eq!(ben.root(), alice.root());

    // Ben wrote meanwhile: Alice's delta starts elsewhere.
    ben.put_virtual(1, &FolderPath::parse("Ben's").unwrap(), body(&keys, b"B"));
    held.extend(handed_out(&mut ben).2);
    let (delta, head, stored) = write(&mut alice, "sixth");
    held.extend(stored);
    assert!(hears(&mut ben, delta.as_ref(), &head, &held) > 0);
    let shown: Vec<String> = ben.view().entries.keys().map(ToString::to_string).collect();
    assert_eq!(shown, ["Ben's", "fifth", "first", "fourth", "second", "sixth", "third"]);
}

#[test]
fn a_change_too_large_for_a_delta_has_none() {
    let Folder { mut alice, keys, .. } = Folder::new();
    alice.run_without_disk();
    let body = body(&keys, &[7; 500]);
    let mut commit = Commit::new(&mut alice.state, alice.own.actor, alice.own.device, keys.shape());
    for n in 0..300 {
        commit.create(Inode::ZERO, &format!("{n}").parse().unwrap(), Kind::File, body.clone());
    }
    let written = commit.finish();
    alice.finish_commit(1, written, BTreeSet::new(), 300, 0);
    let (delta, head, _) = handed_out(&mut alice);
    assert!(delta.is_none() && head.head().delta.is_none());
}

/// A record whose content nobody has stands in the way of every backup. Who does not have it can not delete it from a disk, and says so.
#[test]
fn x7_x10_a_file_that_nobody_has_is_given_up_by_name_and_what_stands_here_is_not() {
    let mut folder = Folder::new();
    folder.alice_sees(&[("here", file(1))]);
    let piece = Ref { cid: Cid([9; 32]), len: 1_000, epoch: folder.epoch };
    let content = Content::Refs([piece].into());
    let lost = Body { size: 1_000, mtime_ns: 7, executable: false, plain_digest: [9; 32], content };
    let steps = folder.another_writes(|commit| {
        let dir = commit.make_dir(Inode::ZERO, &"d".parse().unwrap());
        commit.create(dir, &"lost".parse().unwrap(), Kind::File, lost);
    });
    assert!(matches!(&steps[..], [Step::MakeDir { .. }, Step::Write { .. }]), "{steps:?}");
    let missing = |folder: &Folder| folder.alice.missing().map(|(path, ..)| path.to_string()).collect::<Vec<_>>();
    assert_eq!(missing(&folder), ["d/lost"]);
    for other in ["here", "d", "nowhere"] {
        assert_eq!(folder.alice.give_up(1_000, &at(other)), Err(GiveUpError::NotMissing), "{other}");
    }
    let reader = Standing { can_write: false, ..folder.alice.standing.clone() };
    let writer = std::mem::replace(&mut folder.alice.standing, reader);
    assert_eq!(folder.alice.give_up(1_000, &at("d/lost")), Err(GiveUpError::MayNotWrite));
    folder.alice.standing = writer;

    let published = folder.published.len();
    assert_eq!(folder.alice.give_up(1_000, &at("d/lost")), Ok(()));
    folder.tell(Input::Woken);
    assert_eq!(folder.shows(), ["d", "here"]);
    assert_eq!(folder.published.len(), published + 1, "the others hear of it");
    assert!(missing(&folder).is_empty());
    assert_eq!(folder.alice.summary().pending_files, 0);
}

#[test]
fn x7_a_write_does_not_wait_for_blocks_that_the_folder_names_no_more() {
    let mut folder = Folder::new();
    folder.alice_sees(&[]);
    let sealed = |cid: u8, epoch, mtime_ns| {
        let content = Content::Refs([Ref { cid: Cid([cid; 32]), len: 1_000, epoch }].into());
        Body { size: 1_000, mtime_ns, executable: false, plain_digest: [9; 32], content }
    };
    let (first, second) = (sealed(1, folder.epoch, 7), sealed(2, folder.epoch, 8));
    let mut other = Mallory::new(&folder);
    let joins = |folder: &mut Folder, other: &mut Mallory| {
        let (root, blocks) = other.seals(folder);
        let head = other.publishes(folder, root, other.counter());
        folder.mallory(&head, &blocks);
    };
    let mut commit = Commit::new(&mut other.state, other.actor, other.key.public(), folder.keys.shape());
    let item = commit.create(Inode::ZERO, &"f".parse().unwrap(), Kind::File, first.clone());
    commit.finish();
    joins(&mut folder, &mut other);
    let under_way = |folder: &Folder| match folder.alice.jobs.iter().next() {
        Some((id, Step::Write { body, .. })) => (*id, body.content.clone()),
        none => panic!("the file is to be written, and not {none:?}"),
    };
    let (id, content) = under_way(&folder);
    assert_eq!((content, folder.called_off.len()), (first.content, 0));

    // Somebody sets its time, and seals it anew by that: who has the new blocks need not keep the old.
    let seen = folder.alice.view().lookup(&at("f")).and_then(ViewEntry::shown).unwrap().seen();
    let mut commit = Commit::new(&mut other.state, other.actor, other.key.public(), folder.keys.shape());
    commit.edit(item, &seen, second.clone()).unwrap();
    commit.finish();
    joins(&mut folder, &mut other);
    assert!(folder.called_off.contains(&id), "{:?}", folder.called_off);
    folder.tell(Input::StepFailed { id, why: StepError::Changed });
    folder.alice_sees(&[]);
    let (again, content) = under_way(&folder);
    assert_eq!(content, second.content);

    // A write that waits for what is shown goes on waiting.
    folder.called_off.clear();
    folder.alice.replan();
    folder.tell(Input::Woken);
    assert!(folder.called_off.is_empty() && under_way(&folder).0 == again);
}

#[test]
fn a_reader_publishes_nothing() {
    let mut folder = Folder::new();
    let standing = Standing { can_write: false, ..folder.alice.standing.clone() };
    folder.tell(Input::Standing(standing));
    folder.alice_writes("mine", b"Alice's");
    assert!(folder.published.is_empty() && folder.shows().is_empty());
}

impl Folder {
    /// The next epoch, whose secret Alice has.
    fn rotates(&mut self) -> EpochTag {
        let params = FolderKeys::params_for(Profile::Uniform, false);
        let next = self.keys.insert_epoch(crate::keys::EpochSecret::from_bytes([9; 32]), params).unwrap();
        self.alice.handle(1_000, Input::Keys(Box::new(self.keys.clone())));
        self.may_write_under(Some(next));
        next
    }

    fn may_write_under(&mut self, epoch: Option<EpochTag>) {
        let standing = Standing { epoch, ..self.alice.standing.clone() };
        self.tell(Input::Standing(standing));
    }

    /// Until whatever waits by chance is due.
    fn time_passes(&mut self) {
        self.alice.handle(10_000, Input::Woken);
        self.tell(Input::Woken);
    }
}

#[test]
fn m1_under_a_new_epoch_all_metadata_is_sealed_anew_and_published() {
    let mut folder = Folder::new();
    folder.alice_writes("a secret name", b"Alice's");
    let (before, old): (BTreeSet<Cid>, _) = (folder.alice.tree().cids().collect(), folder.epoch);
    folder.published.clear();

    let next = folder.rotates();
    assert_eq!(folder.alice.tree().epoch(), next);
    assert!(folder.alice.tree().cids().all(|cid| !before.contains(&cid)), "no node stays as it was");
    folder.time_passes();
    let head = folder.published.last().expect("a head says so").head().clone();
    assert_eq!((head.epoch, head.root), (next, folder.alice.root()));
    assert!(head.new_blocks >= folder.alice.tree().cids().count() as u64, "all of it is announced");
    assert_eq!(folder.shows(), ["a secret name"]);
    assert!(folder.alice.summary().stuck.is_empty());

    // Once is enough.
    folder.published.clear();
    folder.may_write_under(Some(next));
    folder.time_passes();
    assert!(folder.published.is_empty() && old != next);
}

/// A stop came between the new epoch and the metadata sealed under it.
#[test]
fn m11_metadata_left_under_an_old_epoch_is_sealed_anew_at_the_next_start() {
    let mut folder = Folder::new();
    folder.alice_writes("name", b"Alice's");
    let (state, tree) = (folder.alice.state().clone(), folder.alice.tree().clone());
    let heads = folder.published.clone();
    let frontier = folder.alice.frontier().clone();
    let next = folder.rotates();
    let mut standing = folder.alice.standing.clone();
    standing.epoch = Some(next);
    let device = DeviceSecret::from_seed(&[1; 32]).sig.clone();
    let setup = Setup { folder: folder.id, keys: folder.keys.clone(), device, entropy: [8; 32], standing };
    let again = Engine::new(setup, 1_000, state, tree, frontier, &heads, BTreeMap::new());
    assert_eq!(again.tree().epoch(), next);
    assert_eq!(again.root(), folder.alice.root(), "the same blocks as without a stop");
}

#[test]
fn m2_what_is_changed_while_there_is_no_epoch_waits_and_is_not_taken_back() {
    let mut folder = Folder::new();
    folder.alice_sees(&[("kept", file(1)), ("deleted", file(2))]);
    assert_eq!(folder.shows(), ["deleted", "kept"]);
    folder.may_write_under(None);
    let now = [("kept", file(1)), ("new", file(3))];
    assert_eq!(folder.alice_sees(&now), [], "nothing is brought back, nothing removed");
    assert_eq!(folder.shows(), ["deleted", "kept"], "nothing is said yet");
    assert!(folder.alice.summary().stuck.is_empty());

    let next = folder.rotates();
    assert_eq!(folder.alice_sees(&now), []);
    assert_eq!(folder.shows(), ["kept", "new"]);
    assert_eq!(folder.alice.tree().epoch(), next);
}

#[test]
fn m1_content_sealed_while_the_epoch_changed_is_read_again() {
    let mut folder = Folder::new();
    let old = folder.epoch;
    folder.alice.handle(1_000, Input::ScanBegun { under: Vec::new() });
    folder.alice.handle(1_000, Input::Listed(vec![(at("long"), file(1))]));
    let next = folder.rotates();
    let Stat::File(stamp) = file(1) else { unreachable!() };
    let sealed = |epoch| {
        let chunk = Ref { cid: Cid([epoch; 32]), len: 600, epoch: if epoch == 1 { old } else { next } };
        let content = Content::Refs(Box::new([chunk]));
        Box::new(Body { size: 600, mtime_ns: 0, executable: false, plain_digest: [5; 32], content })
    };
    folder.alice.handle(1_000, Input::Hashed { path: at("long"), stamp, body: sealed(1) });
    folder.alice.handle(1_000, Input::ScanEnded { unreadable: Vec::new() });
    assert!(folder.shows().is_empty(), "who was sent away knows the old epoch");
    let mut again = false;
    while let Some(output) = folder.alice.poll_output() {
        again |= matches!(output, Output::Rescan(_));
    }
    assert!(again);

    folder.alice.handle(1_000, Input::ScanBegun { under: Vec::new() });
    folder.alice.handle(1_000, Input::Listed(vec![(at("long"), file(1))]));
    folder.alice.handle(1_000, Input::Hashed { path: at("long"), stamp, body: sealed(2) });
    folder.alice.handle(1_000, Input::ScanEnded { unreadable: Vec::new() });
    assert_eq!(folder.shows(), ["long"]);
}

/// Mallory's head was joined, and then it turns out that she had been made a reader before: whoever saw it says so.
#[test]
fn m2_a_head_that_no_longer_counts_before_its_blocks_came_is_not_joined_until_it_counts_again() {
    let mut folder = Folder::new();
    let mut mallory = Mallory::new(&folder);
    mallory.writes(&folder, "after the removal");
    let (root, blocks) = mallory.seals(&folder);
    let head = mallory.publishes(&folder, root, mallory.counter());
    folder.tell(Input::Head(Box::new(head.clone())));
    assert!(folder.alice.waits_for_heads());
    folder.tell(Input::Quarantined(head.id()));
    assert!(!folder.alice.waits_for_heads());
    let come = |folder: &mut Folder| {
        for block in blocks.iter().rev().chain(&blocks) {
            folder.tell(Input::Block { cid: block.cid, bytes: block.bytes.clone() });
        }
    };
    come(&mut folder);
    assert!(folder.shows().is_empty());

    folder.tell(Input::Head(Box::new(head)));
    come(&mut folder);
    assert_eq!(folder.shows(), ["after the removal"]);
}

#[test]
fn m2_a_joined_head_that_no_longer_counts_is_vouched_for_once() {
    let mut folder = Folder::new();
    let mut mallory = Mallory::new(&folder);
    mallory.writes(&folder, "hers");
    let (root, blocks) = mallory.seals(&folder);
    let head = mallory.publishes(&folder, root, 1);
    folder.mallory(&head, &blocks);
    folder.time_passes();
    assert!(folder.shows() == ["hers"] && folder.published.is_empty(), "her state is all there is");

    folder.tell(Input::Quarantined(head.id()));
    folder.time_passes();
    let vouched: Vec<Vec<HeadId>> = folder.published.iter().map(|head| head.head().merged.clone()).collect();
    assert_eq!(vouched, [vec![head.id()]]);
    folder.time_passes();
    assert_eq!(folder.published.len(), 1);
}

/// Bob vouches for what Mallory wrote, and her heads come after his, the newest first. A head of Alice's that merged one of them beside
/// his would claim to merge what it already contains: everybody would refuse it, and all that rests on it.
#[test]
fn m2_heads_that_come_after_one_that_rests_on_them_are_in_its_past() {
    let mut folder = Folder::new();
    let mut mallory = Mallory::new(&folder);
    let hers: Vec<(SignedHead, Vec<SealedBlock>)> = ["1", "2", "3"]
        .map(|name| {
            mallory.writes(&folder, name);
            let (root, blocks) = mallory.seals(&folder);
            (mallory.publishes(&folder, root, mallory.counter()), blocks)
        })
        .into();
    let mut bob = Mallory { key: SecretKey::from_seed(&[67; 32]), ..Mallory::new(&folder) };
    bob.actor = ActorId::of(&folder.id, &bob.key.public(), &[66; 16]);
    bob.state = mallory.state.clone();
    bob.writes(&folder, "his");
    let (root, blocks) = bob.seals(&folder);
    let his = bob.merges(&folder, root, bob.counter(), &[&hers[2].0]);
    // The context of his state names Mallory's writes, which her heads prove: the newest comes first, so that it can be joined.
    folder.tell(Input::Head(Box::new(his.clone())));
    folder.tell(Input::Head(Box::new(hers[2].0.clone())));
    folder.mallory(&his, &blocks);
    assert_eq!(folder.shows(), ["1", "2", "3", "his"]);
    for (head, blocks) in [&hers[1], &hers[0]] {
        folder.mallory(head, blocks);
    }
    assert!(!folder.alice.waits_for_heads());
    folder.alice_writes("mine", b"Alice's");
    let merged: Vec<Vec<HeadId>> = folder.published.iter().map(|head| head.head().merged.clone()).collect();
    assert_eq!(merged, [vec![his.id()]]);
}
