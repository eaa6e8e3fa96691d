//! What the brake holds, on its way out and on its way in, and what a person decides about it.
//!
//! Outgoing: files that are gone, or have become noise, are not published. A burst that is not yet judged waits a moment for its end;
//! what looks of fewer than [`super::brake::BURST_FILES`] files found of it has left by then. Incoming: files that others deleted, or turned into
//! noise, stay as they are here. What must hold: all that is held stands in somebody's folder as it was; what is decided, either way, becomes ordinary
//! changes that everybody sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_proto::id::{Inode, SigKey};
use smallvec::SmallVec;

use super::brake::BURST_QUIET_MS;
use super::io::{Stamp, Step, Synced};
use super::noise::succeeds;
use super::{Brake, Engine, Event, Output};
use crate::path::FolderPath;
use crate::state::{Kind, ViewEntry};

/// How long files that became noise elsewhere wait for the others that come with them.
const NOISE_WAIT_MS: u64 = 30_000;

/// Files that became noise, with what they look like now: stamp and digest.
pub type Noise = BTreeMap<FolderPath, (Stamp, [u8; 32])>;

/// Changes of this device that wait for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Since when, milliseconds.
    pub since_ms: u64,
    /// What looks gone.
    pub paths: BTreeSet<FolderPath>,
    /// Files that became noise.
    pub noise: Noise,
    /// When it passes by itself, if nothing more comes: the end of a burst that is no disaster so far.
    pub(super) passes_ms: Option<u64>,
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
        Self { since_ms: now_ms, paths: BTreeSet::new(), noise: BTreeMap::new(), passes_ms: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.noise.is_empty()
    }

    /// Whether what goes now belongs to it.
    pub(super) fn is_recent(&self, now_ms: u64, brake: &Brake) -> bool {
        now_ms.abs_diff(self.since_ms) < brake.window_ms
    }

    pub(super) fn holds(&self, path: &FolderPath) -> bool {
        self.paths.contains(path) || self.noise.contains_key(path)
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
        self.held.as_ref().filter(|held| held.passes_ms.is_none())
    }

    /// Changes of others that wait for a person.
    pub fn held_incoming(&self) -> Option<&HeldIncoming> {
        self.held_incoming.as_ref()
    }

    /// Whether something that went waits for the end of a burst.
    pub(super) fn waits_for_a_burst(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.passes_ms.is_some())
    }

    /// Whether a place waits for a person, or for a burst to end.
    pub(super) fn is_held(&self, path: &FolderPath) -> bool {
        self.held.as_ref().is_some_and(|held| held.holds(path))
            || self.held_incoming.as_ref().is_some_and(|held| held.holds(path))
            || self.noise_incoming.contains(path)
    }

    pub(super) fn files_known(&self) -> usize {
        self.synced.values().filter(|entry| entry.kind != Kind::Dir).count()
    }

    /// More went: the burst lasts on.
    pub(super) fn wait_for_its_end(&mut self, now_ms: u64, held: &mut Held) {
        let at_ms = now_ms + BURST_QUIET_MS;
        held.passes_ms = Some(at_ms);
        self.out.push_back(Output::WakeAt(at_ms));
    }

    /// A burst that ended, and was no disaster, passes.
    pub(super) fn pass_what_was_no_disaster(&mut self, now_ms: u64) {
        let Some(passes_ms) = self.held.as_ref().and_then(|held| held.passes_ms) else { return };
        // However the clock was set meanwhile.
        if passes_ms > now_ms && passes_ms <= now_ms + BURST_QUIET_MS {
            return self.out.push_back(Output::WakeAt(passes_ms));
        }
        if !self.standing.can_write {
            // Who may only read says nothing to anybody: the disk becomes what the folder is.
            if let Some(held) = self.held.take() {
                self.bring_back(held);
                self.replan();
            }
            return;
        }
        // It goes once nothing is looked at, and once it can be said to others.
        if self.scan.is_some() || !self.may_publish() {
            let at_ms = now_ms + BURST_QUIET_MS;
            self.held.iter_mut().for_each(|held| held.passes_ms = Some(at_ms));
            return self.out.push_back(Output::WakeAt(at_ms));
        }
        if let Some(held) = self.held.take() {
            self.lately_out.note(now_ms, held.paths.len() + held.noise.len());
            self.let_out(now_ms, held);
            self.replan();
        }
    }

    /// A person decided about what this device wants to send.
    pub(super) fn decide(&mut self, now_ms: u64, approve: bool) {
        // What is approved stays held until it can be said to others.
        if self.held().is_none() || (approve && !self.may_publish()) {
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
        if !held.noise.is_empty() {
            // They are read once more, as they are now.
            let paths: Vec<FolderPath> = held.noise.into_keys().collect();
            self.agreed.extend(paths.iter().cloned());
            self.out.push_back(Output::Rescan(paths));
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
