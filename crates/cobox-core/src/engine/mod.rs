//! The brain of one folder on one device. It holds three trees, as Dropbox's Nucleus does: what the members agreed on (the
//! state and its view), what the disk showed at the last look, and what both last agreed on (`synced`). Everything it
//! decides follows from these three; it remembers observations, never work.
//!
//! It owns the joined state, the sealed tree of it, the heads it rests on and the device's own chain of heads. It
//! deliberately does not know files' bytes, clocks, sockets or databases: those come as [`Input`] and leave as [`Output`].
//!
//! Invariants: a local edit replaces only versions the person had seen; a head is published only after it and everything it
//! rests on is durable (outputs are carried out in order); nothing is removed from the disk that the synced tree does not
//! know; a deletion that looks like a disaster waits for a person.

mod brake;
mod commit;
mod deltas;
mod diskless;
mod epoch;
mod figures;
mod forks;
mod holding;
mod ignore;
mod io;
mod links;
mod merge;
mod missing;
mod noise;
mod note;
mod plan;
mod publish;
mod reading;
mod resealing;
mod scan;
mod settling;
mod steps;
mod synced;
#[cfg(test)]
mod tests;
mod writing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cobox_proto::guard::Guard;
use cobox_proto::head::SignedHead;
use cobox_proto::id::{Cid, EpochTag, FolderId, HeadId, Inode, SigKey};
use cobox_proto::limits::INLINE_BYTES_MAX;
use cobox_proto::sign::SecretKey;
use smallvec::SmallVec;

pub use brake::Brake;
pub use holding::{Held, HeldIncoming, Noise, NotLetOut};
pub use ignore::IgnoreRules;
pub use io::{Event, FileId, Input, Memory, Output, Stamp, Standing, Stat, Step, StepError, StepId, Synced};
pub use merge::PATIENCE_MS;
pub use missing::GiveUpError;
pub use noise::{SAMPLE_BYTES, is_noise};
pub use note::{HeadNote, VaultMark};
pub use plan::same_time;
pub use resealing::Resealing;
pub use settling::{Keep, SettleError, version_name};

use crate::content::symlink_body;
use crate::keys::FolderKeys;
use crate::path::FolderPath;
use crate::state::{Body, Dot, Kind, State, Touched, View, view};
use crate::symlink::stays_inside;
use crate::tree::Tree;
use brake::{Gone, Lately};
use deltas::Deltas;
use figures::Figures;
use holding::Burst;
use merge::Merging;
use publish::OwnChain;
use resealing::Reseal;
use scan::{Finding, Found, Known, Scan};
use steps::AtRest;
use synced::SyncedTree;

/// How many steps may be under way at once: bounds the memory of plans and keeps progress visible.
const STEPS_MAX: usize = 4096;
/// ... in a large folder, this part of it: each plan looks through the whole folder, so their number must not grow with it.
const STEPS_SHARE: usize = 8;
/// ... but no more than this: by estimate some 60 MB, where all that is known of so large a folder takes over a GB.
const STEPS_LARGE_MAX: usize = 1 << 17;
/// After so many looks that did not explain why a place is not as expected, something that is not synced is in the way:
/// then it waits for [`Engine::retry_stuck`].
const TRIES_MAX: u8 = 4;

/// What an engine is made from.
#[derive(Debug)]
pub struct Setup {
    /// The folder.
    pub folder: FolderId,
    /// Its keys.
    pub keys: FolderKeys,
    /// This device's signing key in this folder.
    pub device: SecretKey,
    /// Fresh random bytes: a new actor is drawn from them at every start, so that no counter is ever used twice, whatever
    /// happened to the database meanwhile (K10, N8).
    pub entropy: [u8; 32],
    /// What the membership says.
    pub standing: Standing,
}

/// Figures for the status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files and symlinks the folder shows.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files still to be written here.
    pub pending_files: u64,
    /// Their bytes.
    pub pending_bytes: u64,
    /// Copies that stand beside another version.
    pub conflicts: u64,
    /// Files whose deletion, or becoming noise, is held on its way out.
    pub held_files: u64,
    /// ... and on its way in.
    pub held_incoming_files: u64,
    /// Whether everything seen on this disk is in a published head, every known head is joined, or waited for in vain, and no step is
    /// under way: what others moved and deleted is no pending file.
    pub settled: bool,
    /// Paths that can not be written here, and why.
    pub stuck: Vec<(FolderPath, StepError)>,
    /// Links that would lead outside from where the folder shows them, and so stand on nobody's disk; a bounded number of them.
    pub outside: Vec<FolderPath>,
    /// How many more there are.
    pub outside_more: u64,
    /// While contents are sealed anew: what is left.
    pub resealing: Option<Resealing>,
}

impl Summary {
    /// Whether this disk has all that the folder shows, and nothing else of it, and the folder all that this disk has. What is tried again
    /// later is not done; a directory that others deleted and that stays for what else is in it is in nobody's way.
    pub fn in_step(&self) -> bool {
        self.settled && self.pending_files == 0 && self.stuck.iter().all(|(_, why)| *why == StepError::NotEmpty)
    }
}

/// The brain of one folder. See the module.
#[derive(Debug, Clone)]
pub struct Engine {
    folder: FolderId,
    keys: FolderKeys,
    standing: Standing,
    state: State,
    tree: Tree,
    view: View,
    figures: Figures,
    synced: SyncedTree,
    ids: BTreeMap<FileId, FolderPath>,
    scan: Option<Scan>,
    scanned_once: bool,
    without_disk: bool,
    /// Whether a look at everything has ended, or there was no earlier run: before that, steps of an earlier run may have been done and
    /// not remembered.
    looked_at_all: bool,
    /// Where the looks until then found files that had been moved. An earlier run, forgotten since, may have seen half of such a move
    /// and published it as a deletion.
    moved_at_start: BTreeSet<FolderPath>,
    /// Until then: what earlier runs set aside.
    set_aside: BTreeMap<FileId, Stamp>,
    /// What the last look found at two places, `to -> from`: in the middle of a move, or hard links.
    seen_twice: BTreeMap<FolderPath, FolderPath>,
    /// What stood behind a place when it was last looked at, if equal content of others came behind it since: whoever deleted or
    /// edited the file before the next look did not do so to theirs.
    before_adoption: BTreeMap<FolderPath, Arc<Synced>>,
    brake: Brake,
    held: Option<Held>,
    burst: Option<Burst>,
    held_incoming: Option<HeldIncoming>,
    /// What came and would turn files into noise; not judged yet. And since when the first of it waits.
    noise_incoming: BTreeSet<FolderPath>,
    noise_since_ms: u64,
    /// What a person, or the brake, let in.
    let_in: BTreeSet<FolderPath>,
    gone_lately: Gone,
    lately_in: Lately,
    /// Whose change was taken in last.
    last_joined: Option<SigKey>,
    /// What a person wants gone, or published although it looks like noise.
    agreed: BTreeSet<FolderPath>,
    own: OwnChain,
    merging: Merging,
    deltas: Deltas,
    jobs: BTreeMap<StepId, Step>,
    busy: BTreeMap<FolderPath, StepId>,
    /// Places that had a step under way when the look at the disk began.
    unsettled: BTreeMap<FolderPath, StepId>,
    /// Places to look at once their step is over.
    look_again: BTreeMap<FolderPath, StepId>,
    /// Places at which a look found nothing, and nothing was known, while a step was to bring something there.
    seen_empty: BTreeSet<FolderPath>,
    /// Writes that are not to begin because a person changed something at their places.
    called_off: BTreeSet<StepId>,
    /// Whose value a write under way writes, as the view had it when it was planned.
    intended: BTreeMap<StepId, (Inode, SmallVec<[Dot; 1]>)>,
    stuck: BTreeMap<FolderPath, StepError>,
    /// What a person changed here while this device may only read.
    edits_here: BTreeSet<FolderPath>,
    /// How often in a row something else stood at a place than expected.
    tries: BTreeMap<FolderPath, u8>,
    /// What is no content here; nothing is planned before it is known.
    rules: Option<Arc<dyn IgnoreRules>>,
    rules_may_have_changed: bool,
    /// Whether the last plan left something out because it was full.
    cut_off: bool,
    /// Whether a plan is wanted. It is made when all else is handed out: what goes to others does not wait for it.
    plan_due: bool,
    /// Whether a plan was wanted while the disk was looked at.
    plan_waits: bool,
    /// Whether anything was told since a plan found nothing to do: else the next one would find as much.
    may_have_work: bool,
    /// What keeps a plan from looking at everything after each file that a person saves.
    at_rest: AtRest,
    next_step: u64,
    pending: (u64, u64),
    /// Contents are to be sealed under the newest keys.
    resealing: Option<Reseal>,
    /// Blocks and bytes that the last update of the tree brought: what a head announces.
    new_nodes: (u64, u64),
    out: VecDeque<Output>,
}

impl Engine {
    /// A folder as it was remembered: `state` and `tree` read back from the stored root, `frontier` the heads they join,
    /// `known` every accepted head (for ancestry), `synced` the table of the disk.
    pub fn new(
        setup: Setup,
        now_ms: u64,
        state: State,
        tree: Tree,
        frontier: BTreeSet<HeadId>,
        known: &[SignedHead],
        synced: BTreeMap<FolderPath, Arc<Synced>>,
    ) -> Self {
        let ids = synced.iter().map(|(path, s)| (s.id, path.clone())).collect();
        let mut first_step = [0; 8];
        first_step.copy_from_slice(&setup.entropy[24..]);
        let mut engine = Self {
            folder: setup.folder,
            own: OwnChain::new(setup.folder, setup.device, setup.entropy),
            keys: setup.keys,
            standing: setup.standing,
            view: view(&state),
            figures: Figures::default(),
            state,
            tree,
            synced: synced.into(),
            ids,
            scan: None,
            scanned_once: false,
            without_disk: false,
            looked_at_all: false,
            moved_at_start: BTreeSet::new(),
            set_aside: BTreeMap::new(),
            seen_twice: BTreeMap::new(),
            before_adoption: BTreeMap::new(),
            brake: Brake::default(),
            held: None,
            burst: None,
            held_incoming: None,
            noise_incoming: BTreeSet::new(),
            noise_since_ms: 0,
            let_in: BTreeSet::new(),
            gone_lately: Gone::default(),
            lately_in: Lately::default(),
            last_joined: None,
            agreed: BTreeSet::new(),
            merging: Merging::new(frontier, known),
            deltas: Deltas::default(),
            jobs: BTreeMap::new(),
            busy: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            look_again: BTreeMap::new(),
            seen_empty: BTreeSet::new(),
            called_off: BTreeSet::new(),
            intended: BTreeMap::new(),
            stuck: BTreeMap::new(),
            edits_here: BTreeSet::new(),
            tries: BTreeMap::new(),
            rules: None,
            rules_may_have_changed: true,
            cut_off: false,
            plan_due: false,
            plan_waits: false,
            may_have_work: true,
            at_rest: AtRest::No,
            // Where an earlier engine's steps end is not known: their ids are not ours.
            next_step: u64::from_le_bytes(first_step) >> 1,
            pending: (0, 0),
            resealing: None,
            new_nodes: (0, 0),
            out: VecDeque::new(),
        };
        let _known_from_before = engine.count_view();
        for head in merge::parents_first(known) {
            engine.note_head(head);
            if head.head().actor == engine.own.actor {
                // The same random bytes as at an earlier start: a machine that was set back whole.
                engine.own.fresh_actor(Some(&head.id()));
            }
        }
        engine.seal_past(now_ms);
        engine.note_published();
        if !engine.root_is_published() {
            // A join that was not published before the stop. What it brought is not known any more; the whole tree is sure to
            // cover it, and announcing too much does no harm.
            engine.new_nodes = (engine.tree.cids().count() as u64, engine.tree.stored_bytes());
        }
        engine.take_up_epoch();
        engine
    }

    /// A folder of which nothing is remembered, though these heads of it may be known: it is joined from them, and what stands on the
    /// disk is compared with what they show before anything else is joined.
    pub fn anew(setup: Setup, now_ms: u64, epoch: EpochTag, known: &[SignedHead]) -> Self {
        let state = State::new();
        let (tree, blocks) =
            Tree::build(&state, &setup.keys, epoch).expect("an empty tree under an epoch whose keys are held");
        let mut engine = Self::new(setup, now_ms, state, tree, BTreeSet::new(), known, BTreeMap::new());
        engine.looked_at_all = true;
        engine.out.push_back(Output::Store(blocks));
        engine.remember(BTreeSet::new());
        engine
    }

    /// An empty folder: nothing known, nothing joined, nothing on disk agreed.
    pub fn empty(setup: Setup, epoch: EpochTag) -> Self {
        Self::anew(setup, 0, epoch, &[])
    }

    /// Takes one input. Poll the outputs afterwards.
    pub fn handle(&mut self, now_ms: u64, input: Input) {
        let merge_due_ms = self.own.note_time(now_ms);
        let burst_passes_ms = self.burst.as_mut().and_then(|burst| burst.note_time(now_ms));
        self.out.extend(merge_due_ms.into_iter().chain(burst_passes_ms).map(Output::WakeAt));
        self.may_have_work = true;
        match input {
            Input::ScanBegun { under } => {
                self.unsettled = self.busy.clone();
                self.scan = Some(Scan::begin(under));
            }
            Input::SetAside(versions) => {
                self.set_aside = versions.into_iter().map(|version| (version.id, version)).collect();
            }
            Input::Rules(rules) => self.rules_arrived(now_ms, rules),
            Input::Listed(entries) => self.listed(entries),
            Input::Hashed { path, stamp, body } => self.hashed(now_ms, path, stamp, body),
            Input::HashFailed { path } => {
                if let Some(scan) = &mut self.scan {
                    scan.unreadable(path);
                }
                self.end_scan_if_done(now_ms);
            }
            Input::ScanEnded { unreadable } => {
                if let Some(scan) = &mut self.scan {
                    scan.end_of_list(unreadable);
                }
                self.end_scan_if_done(now_ms);
            }
            Input::Head(head) => self.head_arrived(now_ms, *head),
            Input::Quarantined(head) => self.quarantined(now_ms, head),
            Input::Delta { cid, bytes } => self.deltas.arrived(cid, bytes),
            Input::Block { cid, bytes } => self.block_arrived(now_ms, cid, &bytes),
            Input::LieWhole(heads) => self.lie_whole(now_ms, &heads),
            Input::Standing(standing) => self.standing_changed(now_ms, standing),
            Input::Keys(keys) => {
                self.keys = *keys;
                self.keys_arrived(now_ms);
            }
            Input::StepDone { id, now_there } => self.step_done(id, now_there),
            Input::StepFailed { id, why } => self.step_failed(id, why),
            Input::Decide { approve } => self.decide(now_ms, approve),
            Input::DecideIncoming { approve } => self.decide_incoming(approve),
            Input::Brake(brake) => self.brake = brake,
            Input::Noise(paths) => {
                if let Some(scan) = &mut self.scan {
                    scan.note_noise(paths);
                }
            }
            Input::Agreed(paths) => self.agreed = paths,
            Input::ResealContents => self.reseal_contents(),
            Input::Vault(mark) => self.own.vault = Some(mark),
            Input::Heard => self.heard_somebody(now_ms),
            Input::Woken => {
                self.pass_what_was_no_disaster(now_ms);
                self.publish_merge_if_due(now_ms);
                self.go_on(now_ms);
            }
        }
    }

    /// The next thing to do; `None` until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.out.is_empty() && std::mem::take(&mut self.plan_due) {
            self.make_plan();
        }
        self.out.pop_front()
    }

    /// What the folder shows.
    pub fn view(&self) -> &View {
        &self.view
    }
    /// The joined state.
    pub fn state(&self) -> &State {
        &self.state
    }
    /// The sealed tree of it.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }
    /// What the disk last agreed on.
    pub fn synced(&self) -> &BTreeMap<FolderPath, Arc<Synced>> {
        &self.synced
    }
    /// The keys in use.
    pub fn keys(&self) -> &FolderKeys {
        &self.keys
    }
    /// The heads whose join the state is.
    pub fn frontier(&self) -> &BTreeSet<HeadId> {
        self.merging.frontier()
    }
    /// Whether a look at the disk is under way.
    pub fn is_scanning(&self) -> bool {
        self.scan.is_some()
    }
    /// The root of the joined state.
    pub fn root(&self) -> Cid {
        self.tree.root()
    }

    /// Figures for the status.
    pub fn summary(&self) -> Summary {
        let (outside, outside_more) = self.links_outside();
        Summary {
            files: self.figures.files,
            bytes: self.figures.bytes,
            conflicts: self.figures.conflicts(),
            pending_files: self.pending.0,
            pending_bytes: self.pending.1,
            held_files: self.held().map_or(0, |held| (held.paths.len() + held.noise.len()) as u64),
            held_incoming_files: self
                .held_incoming
                .as_ref()
                .map_or(0, |held| (held.removed.len() + held.noise.len()) as u64),
            settled: self.scan.is_none()
                && self.burst.is_none()
                && self.jobs.is_empty()
                && !self.plan_due
                && self.scanned_once
                && self.merging.is_idle()
                && self.root_is_published(),
            stuck: self.stuck.iter().map(|(path, why)| (path.clone(), why.clone())).collect(),
            outside,
            outside_more,
            resealing: self.resealing_left(),
        }
    }

    /// A step under way.
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.jobs.get(&id)
    }

    /// How many files are still to be written here.
    pub fn summary_pending(&self) -> u64 {
        self.pending.0
    }

    /// ... and their bytes.
    pub fn pending_bytes(&self) -> u64 {
        self.pending.1
    }

    /// Whether every known head that can be read is joined, or waited for in vain.
    pub fn is_merged(&self) -> bool {
        self.merging.is_idle()
    }

    fn listed(&mut self, entries: Vec<(FolderPath, Stat)>) {
        let reseal = self.asked_to_reseal();
        let Some(scan) = &mut self.scan else { return };
        let known = Known { synced: &self.synced, ids: &self.ids, reseal: &reseal };
        let (read, links) = scan.listed(&known, entries);
        for (path, stamp, target) in links {
            if !stays_inside(&path, &target) {
                // No content, unless it came along with its directory: then it is still the folder's, which takes it away.
                let body = symlink_body(&self.keys, &target, stamp.mtime_ns);
                if scan.knows_link(&known, &path, &body.plain_digest) {
                    scan.content(path, Kind::Symlink, stamp, Box::new(body));
                }
                continue;
            }
            if target.len() > INLINE_BYTES_MAX {
                // A link's target stands in its record. Longer ones stay on this disk alone.
                scan.unreadable(path);
                continue;
            }
            let body = symlink_body(&self.keys, &target, stamp.mtime_ns);
            scan.content(path, Kind::Symlink, stamp, Box::new(body));
        }
        if !read.is_empty() {
            self.out.push_back(Output::Hash(read));
        }
    }

    fn hashed(&mut self, now_ms: u64, path: FolderPath, stamp: Stamp, body: Box<Body>) {
        if let Some(scan) = &mut self.scan {
            scan.content(path, Kind::File, stamp, body);
        }
        self.end_scan_if_done(now_ms);
    }

    fn end_scan_if_done(&mut self, now_ms: u64) {
        if !self.scan.as_ref().is_some_and(Scan::is_done) {
            return;
        }
        if let Some(scan) = self.scan.take() {
            let mut finding = scan.finish(&self.synced);
            self.scanned_once = true;
            if self.must_wait_for_epoch(&finding) {
                self.unsettled.clear();
                return self.go_on(now_ms);
            }
            let stuck_before = self.stuck.len();
            let (stuck, tries) = (&mut self.stuck, &self.tries);
            stuck.retain(|path, _| tries.get(path).is_some_and(|tries| *tries >= TRIES_MAX));
            self.leave_out_own_steps(&mut finding);
            let whole = finding.is_whole();
            // The watcher tells of our own steps, too: most looks find nothing that was not known, and change no plan.
            let news = whole
                || !finding.is_empty()
                || self.waiting().next().is_some()
                || self.stuck.len() < stuck_before
                || self.edits_here.iter().any(|path| finding.covers(path));
            self.settle_adoptions(&finding);
            self.take_resealed(&finding);
            if news {
                self.commit_finding(now_ms, finding);
            }
            self.looked_at_all |= whole;
            if whole {
                // Of places that a step keeps from being looked at, it is still to be judged what happened there.
                self.set_aside.retain(|id, _| self.ids.contains_key(id));
            }
            self.reseal_more();
            self.publish_merge_soon(now_ms);
            match news || std::mem::take(&mut self.plan_waits) {
                true => self.replan(),
                false => self.replan_if_idle(),
            }
            self.go_on(now_ms);
        }
    }

    /// What was adopted and found as it was is known to the person from here on. What was not is what it was before. What is looked at again
    /// for our own steps is neither yet.
    fn settle_adoptions(&mut self, finding: &Finding) {
        let looked_at = |path: &FolderPath| finding.covers(path) && !finding.leaves_out(path);
        let settled: Vec<FolderPath> = self.before_adoption.keys().filter(|path| looked_at(path)).cloned().collect();
        for path in settled {
            let Some(before) = self.before_adoption.remove(&path) else { continue };
            let has_changed = (finding.found.contains_key(&path) || finding.gone.contains(&path))
                && Guard::AdoptedIsNotDeleted.stands();
            if let Some(now) = self.synced.get(&path).filter(|_| has_changed).cloned() {
                self.at_rest.changed(&path, now.kind == Kind::Dir);
                let Synced { inode, seen, twins, .. } = Arc::unwrap_or_clone(before);
                let as_before = Synced { inode, seen, twins, ..Arc::unwrap_or_clone(now) };
                self.synced.insert(path, Arc::new(as_before));
            }
        }
    }

    /// What our own steps did while the disk was looked at is nobody's edit: such places are looked at again once the
    /// steps are over. A write that still waits for its content is called off for it: only then can it be told whether a person
    /// changed the old version or what the step has written by now.
    fn leave_out_own_steps(&mut self, finding: &mut Finding) {
        let unsettled = std::mem::take(&mut self.unsettled);
        if !Guard::OwnStepsAreNoEdits.stands() {
            return;
        }
        let mut seen = BTreeSet::new();
        for (path, id) in &unsettled {
            let is_done = |body: &Body| matches!(finding.found.get(path), Some(Found::Leaf(_, _, found)) if found.plain_digest == body.plain_digest);
            let may_wait = matches!(self.jobs.get(id), Some(Step::Write { body, .. }) if !is_done(body));
            // What was written below a directory that moves may be in the one or in the other.
            let moves = finding.moves.iter().any(|(_, from)| path.starts_with(from));
            if !finding.drop_below(path) && !moves {
                if finding.covers(path) && self.jobs.contains_key(id) && !self.synced.contains_key(path) {
                    // Not done yet, or a person has taken away already what it brought: how it ends will tell.
                    self.seen_empty.insert(path.clone());
                }
                continue;
            }
            seen.insert(*id);
            if may_wait && self.called_off.insert(*id) {
                self.out.push_back(Output::Cancel(*id));
            }
        }
        // All places of such a step: what was seen at one may be at another by now.
        let mut again = Vec::new();
        for (path, id) in unsettled.into_iter().filter(|(_, id)| seen.contains(id)) {
            match self.jobs.contains_key(&id) {
                true => drop(self.look_again.insert(path, id)),
                false => again.push(path),
            }
        }
        if !again.is_empty() {
            self.out.push_back(Output::Rescan(again));
        }
    }

    /// Stores what a commit or a join changed, and recomputes the view.
    fn settle_state(&mut self, touched: &Touched) {
        // First, while no sealed nodes are in memory: of a large folder each of the two takes much for a moment.
        for path in self.show(touched) {
            self.out.push_back(Output::Tell(Event::Conflict { path }));
        }
        let epoch = self.epoch_in_use().unwrap_or(self.tree.epoch());
        let (tree, blocks) = self
            .tree
            .update(&self.state, touched, &self.keys, epoch)
            .expect("the epoch is one of the keys, and the state's own items fit into nodes");
        // Several joins may come before one head announces them all.
        self.new_nodes.0 += blocks.len() as u64;
        self.new_nodes.1 += blocks.iter().map(|block| block.bytes.len() as u64).sum::<u64>();
        self.tree = tree;
        self.deltas.changed(touched);
        if !blocks.is_empty() {
            self.out.push_back(Output::Store(blocks));
        }
    }

    /// Asks for the synced paths, root and frontier to be made durable.
    fn remember(&mut self, dirty: BTreeSet<FolderPath>) {
        self.remember_with(dirty, None);
    }

    /// The same together with the head that publishes the state.
    fn remember_with(&mut self, dirty: BTreeSet<FolderPath>, head: Option<Box<SignedHead>>) {
        let synced = dirty.into_iter().map(|path| (path.clone(), self.synced.get(&path).cloned())).collect();
        self.out.push_back(Output::Remember(Memory {
            root: self.tree.root(),
            epoch: self.tree.epoch(),
            frontier: self.merging.frontier().iter().copied().collect(),
            synced,
            head,
        }));
    }

    fn place(&mut self, path: FolderPath, entry: impl Into<Arc<Synced>>, dirty: &mut BTreeSet<FolderPath>) {
        let entry = entry.into();
        dirty.insert(path.clone());
        if self.is_ignored(&path, entry.kind) {
            // It is on disk, and no content any more.
            self.unplace(&path, dirty);
            return;
        }
        self.ids.insert(entry.id, path.clone());
        self.before_adoption.remove(&path);
        let is_dir = entry.kind == Kind::Dir || self.synced.get(&path).is_some_and(|old| old.kind == Kind::Dir);
        self.at_rest.changed(&path, is_dir);
        self.synced.insert(path, entry);
    }

    fn unplace(&mut self, path: &FolderPath, dirty: &mut BTreeSet<FolderPath>) -> Option<Arc<Synced>> {
        let old = self.synced.remove(path)?;
        self.at_rest.changed(path, old.kind == Kind::Dir);
        self.before_adoption.remove(path);
        if self.ids.get(&old.id) == Some(path) {
            self.ids.remove(&old.id);
        }
        dirty.insert(path.clone());
        Some(old)
    }
}
