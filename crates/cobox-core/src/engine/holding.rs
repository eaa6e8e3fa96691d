//! What the brake holds, on its way out and on its way in, and what a person decides about it.
//!
//! Outgoing: whatever is gone, or has become noise, waits for the end of the burst it belongs to, so that no part of a disaster leaves
//! before the whole is seen. A burst that was no disaster passes by itself; another is held until a person decides. Only silence that was
//! listened to ends a burst: a machine that stood still meanwhile can not say that nothing more went. Incoming: files that
//! others deleted, or turned into noise, stay as they are here. What must hold: all that is held stands in somebody's folder as it was;
//! what is decided, either way, becomes ordinary changes that everybody sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_proto::id::{Inode, SigKey};
use smallvec::SmallVec;

use super::brake::{
    BURST_HEARD_MS, BURST_LATE_IN_A_ROW_MAX, BURST_LATE_MAX, BURST_LATE_MS, BURST_QUIET_MS, BURST_SMALL_MS, Before,
};
use super::io::{Stamp, Step, Synced};
use super::noise::succeeds;
use super::scan::Found;
use super::{Brake, Engine, Event, Output};
use crate::path::FolderPath;
use crate::state::{Kind, ViewEntry};

/// How long files that became noise elsewhere wait for the others that come with them.
const NOISE_WAIT_MS: u64 = 30_000;

/// Files that became noise, with what they look like now: stamp and digest.
pub type Noise = BTreeMap<FolderPath, (Stamp, [u8; 32])>;

/// Why what is held on its way out can not be let out now. It stays held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotLetOut {
    /// This device may only read by now.
    #[error("whoever may only read a folder can not send changes to others")]
    MayNotWrite,
    /// The folder is between two keys: what is said under the old ones nobody takes, and the new ones are not here.
    #[error("the folder's new keys are not here yet, and nothing can be sent to others before")]
    NoEpoch,
}

/// Changes of this device that wait for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Since when, milliseconds.
    pub since_ms: u64,
    /// What looks gone.
    pub paths: BTreeSet<FolderPath>,
    /// Files that became noise.
    pub noise: Noise,
    /// When the last of it went.
    pub(super) last_ms: u64,
    /// Files that stand where a directory stood of which something is in `paths`: they are looked at once that went.
    pub(super) in_its_place: BTreeSet<FolderPath>,
    /// While it is a burst: how long the machine stood still meanwhile.
    stood_still: StoodStill,
}

/// Standstills while a burst waited: nobody could have seen more of it go then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct StoodStill {
    /// How many since more went.
    in_a_row: u8,
    /// How many.
    in_all: u8,
    /// All of them together.
    ms: u64,
}

/// What went from this disk and is not judged yet, for more may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Burst {
    /// All of it.
    pub(super) went: Held,
    /// When it passes if nothing more goes.
    passes_ms: u64,
    /// ... and whatever goes.
    ends_ms: u64,
}

/// Changes of others that wait for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldIncoming {
    /// Since when, milliseconds.
    pub since_ms: u64,
    /// What others deleted.
    pub removed: BTreeSet<FolderPath>,
    /// What others turned into noise.
    pub noise: BTreeSet<FolderPath>,
    /// New files that have a longer name than one of those: perhaps what became of it.
    pub follow: BTreeSet<FolderPath>,
    /// Whose change was the last to be taken in before.
    pub device: Option<SigKey>,
}

impl Held {
    pub(super) fn new(now_ms: u64) -> Self {
        let (paths, noise, in_its_place) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        Self { since_ms: now_ms, paths, noise, last_ms: now_ms, in_its_place, stood_still: StoodStill::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.noise.is_empty()
    }

    /// Whether what goes now belongs to it.
    pub(super) fn is_recent(&self, now_ms: u64, brake: &Brake) -> bool {
        now_ms.abs_diff(self.last_ms) < brake.window_ms
    }

    pub(super) fn holds(&self, path: &FolderPath) -> bool {
        self.paths.contains(path) || self.noise.contains_key(path)
    }

    /// Whether something below a path is gone.
    pub(super) fn holds_below(&self, path: &FolderPath) -> bool {
        self.paths.range(path..).find(|below| *below != path).is_some_and(|below| below.starts_with(path))
    }

    /// A look ended. What came back, or was found elsewhere, waits no longer; what is found of the rest is nothing new.
    pub(super) fn keep_what_is_found(
        &mut self,
        unseen: &dyn Fn(&FolderPath) -> bool,
        gone: &mut BTreeSet<FolderPath>,
        noise: &mut Noise,
        found: &mut BTreeMap<FolderPath, Found>,
    ) {
        self.paths.retain(|path| gone.contains(path) || unseen(path));
        gone.retain(|path| !self.paths.contains(path));
        self.noise.retain(|path, _| noise.contains_key(path) || unseen(path));
        for (path, now) in &mut self.noise {
            if let Some(found) = noise.remove(path) {
                *now = found;
            }
        }
        found.retain(|path, _| !self.noise.contains_key(path));
    }

    /// More of it.
    pub(super) fn take_in(&mut self, now_ms: u64, gone: BTreeSet<FolderPath>, noise: Noise) {
        self.paths.extend(gone);
        self.noise.extend(noise);
        self.last_ms = now_ms;
        self.stood_still.in_a_row = 0;
    }

    /// A burst that turned out to belong to it.
    pub(super) fn take_in_all(&mut self, burst: Held) {
        self.since_ms = self.since_ms.min(burst.since_ms);
        self.in_its_place.extend(burst.in_its_place);
        self.take_in(self.last_ms.max(burst.last_ms), burst.paths, burst.noise);
    }
}

impl Burst {
    /// It begins, or more came to it: when it passes now. `is_little`: whether it is no more than what passes unasked.
    fn lasts_on(now_ms: u64, went: Held, is_little: bool, window_ms: u64) -> Self {
        let lasts_ms = if is_little { BURST_SMALL_MS.min(window_ms) } else { window_ms };
        let ends_ms = went.since_ms.saturating_add(lasts_ms).saturating_add(went.stood_still.ms);
        let passes_ms = (went.last_ms + BURST_QUIET_MS).min(ends_ms).max(now_ms);
        Self { went, passes_ms, ends_ms }
    }

    /// Somebody was heard at work, and what they did is not looked at yet.
    fn waits_for_what_is_heard(&mut self, now_ms: u64) {
        let latest_ms = self.ends_ms.min(self.went.last_ms + BURST_HEARD_MS);
        self.passes_ms = self.passes_ms.max(latest_ms.min(now_ms + BURST_QUIET_MS));
    }

    /// If the clock was set back, or the machine stood still when it should have passed, as if the last of it had just gone (T2, H2): when
    /// it passes then.
    pub(super) fn note_time(&mut self, now_ms: u64) -> Option<u64> {
        if self.went.last_ms <= now_ms {
            return self.note_standstill(now_ms);
        }
        self.went.since_ms = self.went.since_ms.min(now_ms);
        self.went.last_ms = now_ms;
        self.passes_ms = now_ms + BURST_QUIET_MS;
        self.ends_ms = self.passes_ms;
        Some(self.passes_ms)
    }

    /// Nobody could see what went on meanwhile: it waits for a silence that somebody hears, so often and no oftener.
    fn note_standstill(&mut self, now_ms: u64) -> Option<u64> {
        let late_ms = now_ms.saturating_sub(self.passes_ms);
        let stood_still = &mut self.went.stood_still;
        let is_used_up = stood_still.in_a_row >= BURST_LATE_IN_A_ROW_MAX || stood_still.in_all >= BURST_LATE_MAX;
        if late_ms < BURST_LATE_MS || is_used_up {
            return None;
        }
        let StoodStill { in_a_row, in_all, ms } = *stood_still;
        *stood_still = StoodStill { in_a_row: in_a_row + 1, in_all: in_all + 1, ms: ms.saturating_add(late_ms) };
        self.went.last_ms = now_ms;
        self.passes_ms = now_ms + BURST_QUIET_MS;
        self.ends_ms = self.ends_ms.saturating_add(late_ms).max(self.passes_ms);
        Some(self.passes_ms)
    }
}

impl HeldIncoming {
    pub(super) fn holds(&self, path: &FolderPath) -> bool {
        self.removed.contains(path) || self.noise.contains(path) || self.follow.contains(path)
    }
}

impl Engine {
    /// Changes of this device that wait for a person.
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// Changes of others that wait for a person.
    pub fn held_incoming(&self) -> Option<&HeldIncoming> {
        self.held_incoming.as_ref()
    }

    /// All of this device's changes that wait: for a person, or for the end of a burst.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Held> + Clone {
        self.held.iter().chain(self.burst.iter().map(|burst| &burst.went))
    }

    /// Whether a place waits for a person, or for a burst to end.
    pub(super) fn is_held(&self, path: &FolderPath) -> bool {
        self.waiting().any(|held| held.holds(path))
            || self.held_incoming.as_ref().is_some_and(|held| held.holds(path))
            || self.noise_incoming.contains(path)
    }

    pub(super) fn files_known(&self) -> usize {
        self.synced.values().filter(|entry| entry.kind != Kind::Dir).count()
    }

    /// How many files wait.
    pub(super) fn files_in(&self, held: &Held) -> usize {
        let is_file = |path: &&FolderPath| self.synced.get(*path).is_some_and(|known| known.kind != Kind::Dir);
        held.paths.iter().filter(is_file).count() + held.noise.len()
    }

    /// More went: the burst lasts on.
    pub(super) fn wait_for_its_end(&mut self, went: Held, before: Before) {
        let is_little = self.brake.is_little(self.files_in(&went), before);
        let burst = Burst::lasts_on(self.own.now_ms, went, is_little, self.brake.window_ms);
        self.out.push_back(Output::WakeAt(burst.passes_ms));
        self.burst = Some(burst);
    }

    /// Somebody is at work in the folder.
    pub(super) fn heard_somebody(&mut self, now_ms: u64) {
        if let Some(burst) = &mut self.burst {
            burst.waits_for_what_is_heard(now_ms);
        }
    }

    /// A burst that ended, and was no disaster, passes.
    pub(super) fn pass_what_was_no_disaster(&mut self, now_ms: u64) {
        let may_publish = self.may_publish();
        let Some(burst) = &mut self.burst else { return };
        if burst.passes_ms > now_ms {
            return self.out.push_back(Output::WakeAt(burst.passes_ms));
        }
        if !self.standing.can_write {
            // Who may only read says nothing to anybody: the disk becomes what the folder is.
            if let Some(burst) = self.burst.take() {
                self.bring_back(burst.went);
                self.replan();
            }
            return;
        }
        // It goes once nothing is looked at, and once it can be said to others.
        if self.scan.is_some() || !may_publish {
            burst.passes_ms = now_ms + BURST_QUIET_MS;
            return self.out.push_back(Output::WakeAt(burst.passes_ms));
        }
        if let Some(Burst { went, .. }) = self.burst.take() {
            let is_file = |path: &&FolderPath| self.synced.get(*path).is_some_and(|known| known.kind != Kind::Dir);
            let files = went.paths.iter().filter(is_file).chain(went.noise.keys()).cloned();
            self.gone_lately.note(now_ms, files);
            self.let_out(now_ms, went);
            self.replan();
        }
    }

    /// New rules name these. What of them went before the rules came was a deletion, and can be said now or never.
    pub(super) fn pass_what_went_before(&mut self, now_ms: u64, ignored: &[FolderPath]) {
        let may_publish = self.may_publish();
        let Some(burst) = self.burst.as_mut().filter(|_| may_publish) else { return };
        let gone: BTreeSet<FolderPath> = ignored.iter().filter(|path| burst.went.paths.remove(path)).cloned().collect();
        if gone.is_empty() {
            return;
        }
        let is_file = |path: &&FolderPath| self.synced.get(*path).is_some_and(|known| known.kind != Kind::Dir);
        self.gone_lately.note(now_ms, gone.iter().filter(is_file).cloned());
        self.commit_gone(now_ms, gone);
    }

    /// Whether what is held on its way out could be let out now. An approval is not remembered for later: by then other files may be
    /// gone than those a person saw.
    pub fn may_let_out(&self) -> Result<(), NotLetOut> {
        match (self.standing.can_write, self.may_publish()) {
            (false, _) => Err(NotLetOut::MayNotWrite),
            (true, false) => Err(NotLetOut::NoEpoch),
            (true, true) => Ok(()),
        }
    }

    /// A person decided about what this device wants to send. What can not be let out stays held.
    pub(super) fn decide(&mut self, now_ms: u64, approve: bool) {
        if approve && self.may_let_out().is_err() {
            return;
        }
        let Some(held) = self.held.take() else { return };
        match approve {
            true => self.let_out(now_ms, held),
            false => self.bring_back(held),
        }
        self.replan();
    }

    fn let_out(&mut self, now_ms: u64, held: Held) {
        if !held.paths.is_empty() {
            self.commit_gone(now_ms, held.paths);
        }
        // They are read once more, as they are now.
        self.agreed.extend(held.noise.keys().cloned());
        let again: Vec<FolderPath> = held.noise.into_keys().chain(held.in_its_place).collect();
        if !again.is_empty() {
            self.out.push_back(Output::Rescan(again));
        }
    }

    /// The disk is to become what the folder is.
    fn bring_back(&mut self, held: Held) {
        let mut dirty = BTreeSet::new();
        for path in &held.paths {
            self.unplace(path, &mut dirty);
        }
        for (path, (stamp, digest)) in held.noise {
            let nobodys = || Synced {
                inode: Inode::ZERO,
                kind: Kind::File,
                id: stamp.id,
                stamp: Some(stamp),
                digest,
                seen: SmallVec::new(),
                twins: Vec::new(),
            };
            let known = self.synced.get(&path).map(|known| Synced::clone(known));
            let there =
                known.map_or_else(nobodys, |known| Synced { id: stamp.id, stamp: Some(stamp), digest, ..known });
            self.place(path, there, &mut dirty);
        }
        self.remember(dirty);
        if !held.in_its_place.is_empty() {
            self.out.push_back(Output::Rescan(held.in_its_place.into_iter().collect()));
        }
    }

    /// Takes out of a plan what others deleted, if it is so much that a person should see it first. True if something was held.
    pub(super) fn hold_incoming(&mut self, steps: &mut Vec<Step>) -> bool {
        let now_ms = self.own.now_ms;
        let removed = |step: &Step| match step {
            Step::Remove { path, .. } if !self.let_in.contains(path) => Some(path.clone()),
            _ => None,
        };
        let mut follows_held = false;
        if let Some(held) = &mut self.held_incoming {
            // What may have become of a file that is held waits with it.
            let follows = |step: &mut Step| match step {
                Step::Write { path, expect: None, .. } => {
                    succeeds(path, &|stem| held.removed.contains(stem), &BTreeSet::new())
                }
                _ => false,
            };
            let waiting = held.follow.len();
            held.follow.extend(steps.extract_if(.., follows).map(|step| step.path().clone()));
            follows_held = held.follow.len() > waiting;
        }
        let mut lost: BTreeSet<FolderPath> = steps.iter().filter_map(removed).collect();
        if lost.len() > self.brake.files_free {
            // What stands elsewhere in the folder is not lost.
            let shown: BTreeSet<[u8; 32]> = self
                .view
                .entries
                .values()
                .filter_map(ViewEntry::shown)
                .filter_map(|leaf| leaf.body(&self.state))
                .map(|body| body.plain_digest)
                .collect();
            lost.retain(|path| self.synced.get(path).is_some_and(|entry| !shown.contains(&entry.digest)));
        }
        // Nor is what only has the name of a file that lives, and an ending more: as when a disaster is undone.
        let lives = |stem: &FolderPath| self.view.lookup(stem).is_some_and(|entry| entry.shown().is_some());
        lost.retain(|path| !succeeds(path, &lives, &BTreeSet::new()));
        if lost.is_empty() {
            return follows_held;
        }
        let lately = self.lately_in.sum(now_ms, self.brake.window_ms);
        let belongs =
            self.held_incoming.as_ref().is_some_and(|held| now_ms.abs_diff(held.since_ms) < self.brake.window_ms);
        if !belongs && !self.brake.holds_incoming(lost.len(), self.files_known(), lately) {
            if !follows_held {
                self.lately_in.note(now_ms, lost.len());
            }
            return follows_held;
        }
        steps.retain(|step| match step {
            Step::Remove { path, .. } => !lost.contains(path),
            Step::RemoveDir { path } => !lost.range(path..).next().is_some_and(|held| held.starts_with(path)),
            _ => true,
        });
        let files = lost.len() as u64;
        self.held_incoming_now().removed.extend(lost);
        self.out.push_back(Output::Tell(Event::Held { files }));
        true
    }

    fn held_incoming_now(&mut self) -> &mut HeldIncoming {
        let (since_ms, device) = (self.own.now_ms, self.last_joined);
        self.held_incoming.get_or_insert_with(|| HeldIncoming {
            since_ms,
            removed: BTreeSet::new(),
            noise: BTreeSet::new(),
            follow: BTreeSet::new(),
            device,
        })
    }

    /// A file that came would turn what stands here into noise. It waits until it is known how many more do.
    pub(super) fn noise_came(&mut self, path: FolderPath) {
        let now_ms = self.own.now_ms;
        if self.noise_incoming.is_empty() {
            self.noise_since_ms = now_ms;
            self.out.push_back(Output::WakeAt(now_ms + NOISE_WAIT_MS));
        }
        self.noise_incoming.insert(path);
    }

    /// Judges what came as noise, once all that was under way has come, or has had time to.
    pub(super) fn judge_noise(&mut self) {
        let (now_ms, count) = (self.own.now_ms, self.noise_incoming.len());
        if count == 0 {
            return;
        }
        let lately = self.lately_in.sum(now_ms, self.brake.window_ms);
        if self.brake.holds_incoming(count, self.files_known(), lately) {
            let noise = std::mem::take(&mut self.noise_incoming);
            self.held_incoming_now().noise.extend(noise);
            self.out.push_back(Output::Tell(Event::Held { files: count as u64 }));
        } else if self.jobs.is_empty() || now_ms.abs_diff(self.noise_since_ms) >= NOISE_WAIT_MS {
            self.lately_in.note(now_ms, count);
            self.let_in.append(&mut self.noise_incoming);
        }
    }

    /// What is held is held no longer where the folder, or this disk, went on.
    pub(super) fn release_what_went_on(&mut self) {
        let Some(held) = &mut self.held_incoming else { return };
        let (view, state, synced) = (&self.view, &self.state, &self.synced);
        held.removed.retain(|path| synced.contains_key(path) && view.lookup(path).and_then(ViewEntry::shown).is_none());
        held.noise.retain(|path| {
            let shown = view.lookup(path).and_then(ViewEntry::shown).and_then(|leaf| leaf.body(state));
            synced.get(path).is_some_and(|known| shown.is_some_and(|body| body.plain_digest != known.digest))
        });
        if held.removed.is_empty() && held.noise.is_empty() {
            self.held_incoming = None;
        }
    }

    /// A person decided about what others sent.
    pub(super) fn decide_incoming(&mut self, approve: bool) {
        let Some(HeldIncoming { removed, noise, .. }) = self.held_incoming.take() else { return };
        if approve {
            self.let_in.extend(removed.into_iter().chain(noise));
            return self.replan();
        }
        // What stands here is written once more, by this device.
        let mut dirty = BTreeSet::new();
        let mut again: Vec<FolderPath> = Vec::new();
        for path in removed {
            self.unplace(&path, &mut dirty);
            again.push(path);
        }
        for path in noise {
            let shown = self.view.lookup(&path).and_then(ViewEntry::shown);
            let now = shown.and_then(|leaf| Some((leaf.clone(), leaf.body(&self.state)?.plain_digest)));
            if let (Some((leaf, digest)), Some(known)) = (now, self.synced.get(&path).map(Arc::clone)) {
                // As if the person had seen the noise here and then saved what stands here.
                let stamp = known.stamp.map(|stamp| Stamp { ctime_ns: stamp.ctime_ns.wrapping_sub(1), ..stamp });
                let (seen, twins) = (leaf.seen().into(), leaf.twins.clone());
                let seen = Synced { inode: leaf.inode, digest, stamp, seen, twins, ..Arc::unwrap_or_clone(known) };
                self.place(path.clone(), seen, &mut dirty);
                again.push(path);
            }
        }
        self.remember(dirty);
        self.out.push_back(Output::Rescan(again));
    }
}
