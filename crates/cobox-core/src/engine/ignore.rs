//! What is no content on this machine. An ignored path is absent here, not deleted (l15): it drops out of the synced tree,
//! nothing of it is published, and nothing that others do to it touches what lies on this disk. When it is content again it
//! is compared as if it had just appeared.
//!
//! What must hold: no ignored path stands in the synced tree, and nothing is planned under rules that may have changed. So
//! nothing is kept per ignored file.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use cobox_proto::guard::Guard;

use super::steps::AtRest;
use super::{Engine, Output, Step};
use crate::path::{FolderPath, IGNORE_FILE};
use crate::state::{Content, Kind};

/// Which paths are no content on this machine.
pub trait IgnoreRules: Debug + Send + Sync {
    /// Whether the rules name this very path. What lies in an ignored directory is ignored with it and not asked about.
    fn matches(&self, path: &FolderPath, is_dir: bool) -> bool;
}

/// Whether a path or a directory above it is ignored.
pub(super) fn ignores(rules: &dyn IgnoreRules, path: &FolderPath, is_dir: bool) -> bool {
    path.descent().any(|at| rules.matches(&at, at != *path || is_dir))
}

/// Whether this is where the rules themselves stand.
fn is_rules(path: &FolderPath) -> bool {
    path.as_str() == IGNORE_FILE
}

/// Whether a step brings new rules, and can be done with what is here.
pub(super) fn brings_rules(step: &Step) -> bool {
    step.paths().any(is_rules)
        && !matches!(step, Step::Write { body, .. } if !matches!(body.content, Content::Inline(_)))
}

impl Engine {
    pub(super) fn is_ignored(&self, path: &FolderPath, kind: Kind) -> bool {
        self.rules.as_ref().is_some_and(|rules| ignores(&**rules, path, kind == Kind::Dir))
    }

    /// New rules: what they name is forgotten, and left alone from now on.
    pub(super) fn rules_arrived(&mut self, now_ms: u64, rules: Arc<dyn IgnoreRules>) {
        self.rules_may_have_changed = false;
        if self.rules.as_ref().is_some_and(|known| Arc::ptr_eq(known, &rules)) {
            return;
        }
        let mut ignored: Vec<FolderPath> = Vec::new();
        let mut top: Option<&FolderPath> = None;
        for (path, synced) in self.synced.iter() {
            let is_dir = synced.kind == Kind::Dir;
            if top.is_some_and(|top| path.starts_with(top)) {
                ignored.push(path.clone());
            } else if rules.matches(path, is_dir) {
                ignored.push(path.clone());
                top = Some(path);
            }
        }
        self.pass_what_went_before(now_ms, &ignored);
        let mut dirty = BTreeSet::new();
        for path in ignored.iter().filter(|_| Guard::IgnoredIsNotDeleted.stands()) {
            self.unplace(path, &mut dirty);
        }
        let is_ignored = |path: &FolderPath, is_dir| ignores(&*rules, path, is_dir);
        self.stuck.retain(|path, _| !is_ignored(path, false) && !is_ignored(path, true));
        let waiting = self.held.iter_mut().chain(self.burst.iter_mut().map(|burst| &mut burst.went));
        for held in waiting {
            held.paths.retain(|path| self.synced.contains_key(path));
        }
        self.held = self.held.take().filter(|held| !held.is_empty());
        self.burst = self.burst.take().filter(|burst| !burst.went.is_empty());
        for (id, step) in &self.jobs {
            let is_dir = matches!(step, Step::MakeDir { .. } | Step::RemoveDir { .. } | Step::RenameDir { .. });
            if step.paths().any(|path| is_ignored(path, is_dir)) {
                self.out.push_back(Output::Cancel(*id));
            }
        }
        self.rules = Some(rules);
        self.at_rest = AtRest::No;
        if !dirty.is_empty() {
            self.remember(dirty);
        }
        self.replan();
    }

    /// After a step that may have changed the rules: everything is looked at under the new ones before more is planned.
    pub(super) fn note_rules_step(&mut self, step: &Step) {
        if step.paths().any(is_rules) {
            self.rules_may_have_changed = true;
            self.out.push_back(Output::Rescan(Vec::new()));
        }
    }
}
