//! What the folder's disk is asked to do: plans are made, carried out elsewhere, and what came of each step is noted in the
//! synced tree.
//!
//! What must hold: a step that ended is noted as what stands there now, never as what was hoped for; a place that is not as
//! expected is looked at before anything else is done to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use cobox_proto::guard::Guard;
use cobox_proto::id::Inode;
use smallvec::SmallVec;

use super::ignore::brings_rules;
use super::links;
use super::plan::{self, Plan, Planner};
use super::{
    Engine, Event, FileId, IgnoreRules, Output, STEPS_LARGE_MAX, STEPS_MAX, STEPS_SHARE, Stamp, Stat, Step, StepError,
    StepId, Synced, TRIES_MAX,
};
use crate::path::FolderPath;
use crate::state::{Body, Dot, Kind, ViewEntry};

/// So many places that changed since a plan was at rest are looked at one by one; of more, everything is.
const CHANGED_MAX: usize = 1_000;

/// Whether the disk is as the view shows it.
#[derive(Debug, Clone, Default)]
pub(super) enum AtRest {
    /// It is not, or that is not known.
    #[default]
    No,
    /// It was when a plan was made; since then these changed in the view or on the disk, none of them a directory. Places with a step under
    /// way, and those that wait for something, are among them.
    But(BTreeSet<FolderPath>),
}

impl AtRest {
    /// Something changed at a place. `is_dir`: a directory is or was there, and what is below it may be something else now.
    pub(super) fn changed(&mut self, path: &FolderPath, is_dir: bool) {
        match self {
            Self::But(changed) if !is_dir && changed.len() < CHANGED_MAX => drop(changed.insert(path.clone())),
            _ => *self = Self::No,
        }
    }
}

impl Engine {
    /// Compares view and disk and asks for what is missing, once all other outputs are out.
    pub fn replan(&mut self) {
        self.plan_due = true;
        self.may_have_work = true;
    }

    /// Nothing is written before the disk was looked at once: what lies there may be newer than what is remembered.
    pub(super) fn make_plan(&mut self) {
        let Some(rules) = self.rules.clone().filter(|_| !self.rules_may_have_changed) else { return };
        self.plan_waits = self.scan.is_some();
        if !self.scanned_once || self.scan.is_some() || self.without_disk {
            return;
        }
        self.cancel_outdated();
        if self.jobs.values().any(|step| matches!(step, Step::RenameDir { .. }) || brings_rules(step)) {
            // Half of the paths, or what is content at all, are about to change.
            return;
        }
        self.release_what_went_on();
        self.judge_noise();
        let plan = loop {
            let mut plan = self.plan_now(&*rules);
            if !self.hold_incoming(&mut plan.steps) {
                break plan;
            }
            // What is held is planned no more; there may be more of the same.
        };
        self.pending = (plan.pending_files, plan.pending_bytes);
        self.cut_off = plan.cut_off;
        if plan.is_at_rest() && !self.passes_over() {
            self.at_rest = AtRest::But(BTreeSet::new());
        }
        self.may_have_work = plan.cut_off || !plan.steps.is_empty() || !plan.adopt.is_empty() || !self.jobs.is_empty();
        let mut dirty = BTreeSet::new();
        for (path, entry) in plan.adopt {
            if let Some(before) = self.synced.insert(path.clone(), entry)
                && before.kind != Kind::Dir
            {
                self.before_adoption.entry(path.clone()).or_insert(before);
            }
            dirty.insert(path);
        }
        if !dirty.is_empty() {
            self.remember(dirty);
        }
        self.begin_steps(plan.steps);
    }

    /// Whether a plan passes something over: whether that is at rest is not known.
    fn passes_over(&self) -> bool {
        !self.jobs.is_empty()
            || !self.stuck.is_empty()
            || !self.edits_here.is_empty()
            || !self.noise_incoming.is_empty()
            || self.held_incoming.is_some()
            || self.waiting().next().is_some()
    }

    /// What is to be done now, as far as nothing stands against it. Most often a file was saved, here or elsewhere, and all else is at rest:
    /// then a plan looks at that file alone, and not at everything there is.
    fn plan_now(&self, rules: &dyn IgnoreRules) -> Plan {
        let AtRest::But(changed) = &self.at_rest else { return self.plan_among(None, rules) };
        let plan = self.plan_among(Some(changed), rules);
        debug_assert_eq!(plan, self.plan_among(None, rules), "a plan of {changed:?} is not the whole plan");
        plan
    }

    fn plan_among(&self, among: Option<&BTreeSet<FolderPath>>, rules: &dyn IgnoreRules) -> Plan {
        let skip = |path: &FolderPath| {
            self.busy.contains_key(path)
                || self.stuck.contains_key(path)
                || self.is_held(path)
                || self.is_edited_here(path)
        };
        let making = self.jobs.values().filter_map(|step| match step {
            Step::MakeDir { path } => Some(path.clone()),
            _ => None,
        });
        let writing = self.intended.iter().filter_map(|(id, (inode, _))| match self.jobs.get(id) {
            Some(Step::Write { body, .. }) => Some((*inode, body.plain_digest)),
            _ => None,
        });
        let held_entries = self.waiting().flat_map(|held| &held.paths).filter_map(|path| self.synced.get(path));
        let planner = Planner {
            among,
            held: held_entries.flat_map(|entry| entry.seen.iter().map(|dot| (entry.inode, *dot))).collect(),
            view: &self.view,
            state: &self.state,
            synced: &self.synced,
            rules,
            busy: &|path: &FolderPath| self.busy.contains_key(path),
            skip: &skip,
            linking: links::linking(&self.jobs, &self.synced, &self.state),
            making: making.collect(),
            writing: writing.filter(|_| Guard::MovedByWritingIsThere.stands()).collect(),
            is_held: &|path: &FolderPath| self.is_held(path),
            let_in: &self.let_in,
            steps_max: self.steps_max().saturating_sub(self.jobs.len()),
        };
        planner.plan()
    }

    fn begin_steps(&mut self, mut planned: Vec<Step>) {
        if planned.iter().any(brings_rules) {
            // What is content is settled first, with the directories it needs.
            let places: Vec<FolderPath> =
                planned.iter().filter(|step| brings_rules(step)).flat_map(Step::paths).cloned().collect();
            let is_above = |dir: &FolderPath| places.iter().any(|path| path.starts_with(dir));
            planned.retain(|step| brings_rules(step) || matches!(step, Step::MakeDir { path } if is_above(path)));
        }
        if planned.is_empty() {
            return;
        }
        let mut steps = Vec::with_capacity(planned.len());
        for step in planned {
            let id = StepId(self.next_step);
            self.next_step += 1;
            for path in step.paths() {
                let other = self.busy.insert(path.clone(), id);
                debug_assert_eq!(other, None, "two steps at one time at {path}");
            }
            if let Step::Write { path, .. } = &step
                && let Some(leaf) = self.view.lookup(path).and_then(ViewEntry::shown)
            {
                self.intended.insert(id, (leaf.inode, leaf.seen().into()));
            }
            self.jobs.insert(id, step.clone());
            steps.push((id, step));
        }
        self.out.push_back(Output::Do(steps));
    }

    /// Writes whose target changed meanwhile are called off. So are those of the same bytes in other blocks: what seals a value that the
    /// folder shows no more, or showed under older keys, may be kept by nobody, and would be waited for without end.
    fn cancel_outdated(&mut self) {
        let outdated: Vec<StepId> = self
            .jobs
            .iter()
            .filter(|(_, step)| match step {
                Step::Write { path, body, .. } => {
                    let now = self.view.lookup(path).and_then(ViewEntry::shown).and_then(|leaf| leaf.body(&self.state));
                    now.is_none_or(|now| now.plain_digest != body.plain_digest || now.content != body.content)
                }
                _ => false,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in outdated {
            self.out.push_back(Output::Cancel(id));
        }
    }

    pub(super) fn step_done(&mut self, id: StepId, now_there: Option<Stat>) {
        let Some(step) = self.end_step(id, true) else { return };
        let intended = self.intended.remove(&id);
        self.called_off.remove(&id);
        if let Step::Write { body, .. } = &step {
            self.pending = (self.pending.0.saturating_sub(1), self.pending.1.saturating_sub(body.size));
        }
        self.tries.remove(step.path());
        self.let_in.remove(step.path());
        self.note_rules_step(&step);
        let mut dirty = BTreeSet::new();
        match (&step, now_there) {
            (Step::MakeDir { path }, Some(Stat::Dir(file))) => {
                // The view may have gone on meanwhile: then it is nobody's, and is cleared away or given to whom it is shown for.
                let inode = self.view.lookup(path).and_then(ViewEntry::dir).unwrap_or(Inode::ZERO);
                self.place(path.clone(), Synced::dir(inode, file), &mut dirty);
            }
            (Step::Write { path, kind, body, .. }, Some(Stat::File(stamp) | Stat::Symlink(stamp, _))) => {
                self.wrote((path, *kind, body), stamp, intended, &mut dirty);
            }
            (Step::SetMeta { path, .. }, Some(Stat::File(stamp))) => {
                if let Some(old) = self.synced.get(path).cloned() {
                    self.place(
                        path.clone(),
                        Synced { stamp: Some(stamp), id: stamp.id, ..Arc::unwrap_or_clone(old) },
                        &mut dirty,
                    );
                }
            }
            (Step::RenameFile { from, to, .. }, Some(Stat::File(stamp) | Stat::Symlink(stamp, _))) => {
                if let Some(old) = self.unplace(from, &mut dirty) {
                    self.place(
                        to.clone(),
                        Synced { stamp: Some(stamp), id: stamp.id, ..Arc::unwrap_or_clone(old) },
                        &mut dirty,
                    );
                }
            }
            (Step::RenameDir { from, to }, _) => {
                let below: Vec<FolderPath> = self
                    .synced
                    .range(from.clone()..)
                    .map(|(p, _)| p)
                    .take_while(|p| p.starts_with(from))
                    .cloned()
                    .collect();
                for path in below {
                    if let (Some(entry), Some(now)) = (self.unplace(&path, &mut dirty), path.rebased(from, to)) {
                        self.place(now, entry, &mut dirty);
                    }
                }
                self.edits_moved(from, to);
                // It may have brought along what nobody had looked at yet.
                self.out.push_back(Output::Rescan(vec![to.clone()]));
            }
            (Step::Remove { path, .. } | Step::RemoveDir { path }, None) => {
                self.unplace(path, &mut dirty);
            }
            _ => {}
        }
        self.remember(dirty);
        self.out.push_back(Output::Tell(Event::Applied { path: step.path().clone() }));
        self.replan_if_idle();
    }

    /// Plans are not made for every step: each looks through the whole folder.
    pub(super) fn replan_if_idle(&mut self) {
        if self.jobs.is_empty() || self.cut_off && self.jobs.len() * 4 <= self.steps_max() {
            self.replan();
        }
    }

    fn steps_max(&self) -> usize {
        STEPS_MAX.max((self.view.entries.len() / STEPS_SHARE).min(STEPS_LARGE_MAX))
    }

    fn end_step(&mut self, id: StepId, is_done: bool) -> Option<Step> {
        let step = self.jobs.remove(&id)?;
        let mut again = Vec::new();
        for path in step.paths() {
            self.busy.remove(path);
            // What a step brought to where a look found nothing came after that, or is gone again.
            let may_be_gone = self.seen_empty.remove(path) && is_done;
            if self.look_again.remove(path).is_some() || may_be_gone {
                again.push(path.clone());
            }
        }
        if !again.is_empty() {
            self.out.push_back(Output::Rescan(again));
        }
        Some(step)
    }

    /// A write ended: the dots behind it are those whose content it was.
    fn wrote(
        &mut self,
        (path, kind, body): (&FolderPath, Kind, &Body),
        stamp: Stamp,
        intended: Option<(Inode, SmallVec<[Dot; 1]>)>,
        dirty: &mut BTreeSet<FolderPath>,
    ) {
        let leaf = self.view.lookup(path).and_then(ViewEntry::shown);
        let current = leaf.filter(|leaf| {
            plan::shown(&self.state, &leaf.inode, &leaf.dot)
                .is_some_and(|(k, now)| k == kind && now.plain_digest == body.plain_digest)
        });
        let (inode, seen, twins) = match current {
            Some(leaf) => (leaf.inode, leaf.seen().into(), leaf.twins.clone()),
            // The view went on meanwhile: it is what it was planned as, and moves on from here.
            None => {
                let (inode, seen) = intended.unwrap_or((Inode::ZERO, SmallVec::new()));
                (inode, seen, Vec::new())
            }
        };
        let digest = body.plain_digest;
        let entry = Synced { inode, kind, id: stamp.id, stamp: Some(stamp), digest, seen, twins };
        self.place(path.clone(), entry, dirty);
    }

    pub(super) fn step_failed(&mut self, id: StepId, why: StepError) {
        if why == StepError::DiskFull
            && !Guard::FailedIsNotDone.stands()
            && let Some(Step::Write { body, .. }) = self.jobs.get(&id)
        {
            let (id_none, ctime_ns) = (FileId { dev: 0, ino: 0 }, 0);
            let (size, mtime_ns, executable) = (body.size, body.mtime_ns, body.executable);
            let hoped_for = Stamp { size, mtime_ns, ctime_ns, id: id_none, executable };
            return self.step_done(id, Some(Stat::File(hoped_for)));
        }
        let Some(step) = self.end_step(id, false) else { return };
        self.intended.remove(&id);
        let path = step.path().clone();
        if why == StepError::Noise {
            self.called_off.remove(&id);
            self.noise_came(path);
            return self.replan_if_idle();
        }
        // A sick disk may have done what it says it has not (D6).
        let may_be_done = matches!(why, StepError::DiskFull | StepError::Failed(_));
        if !self.called_off.remove(&id) && (may_be_done || why == StepError::Changed) {
            let tries = self.tries.entry(path.clone()).or_insert(0);
            *tries = tries.saturating_add(1).min(TRIES_MAX);
            if *tries < TRIES_MAX {
                // What is not as expected may be the directory: each look is wider than the last.
                let above = if why == StepError::Changed { *tries - 1 } else { 0 };
                let widen = |path: &FolderPath| {
                    (0..above).fold(path.clone(), |path, _| path.parent().unwrap_or_else(FolderPath::root))
                };
                self.out.push_back(Output::Rescan(step.paths().map(widen).collect()));
            }
        }
        self.stuck.insert(path, why);
        self.replan_if_idle();
    }

    /// Paths that could not be written are tried again: a disk has room, a holder appeared. In a folder where nothing was stuck and nothing
    /// happened since the last plan, this costs nothing.
    pub fn retry_stuck(&mut self) {
        let was_stuck = !std::mem::take(&mut self.stuck).is_empty();
        if was_stuck || self.may_have_work {
            self.replan();
        }
    }
}
