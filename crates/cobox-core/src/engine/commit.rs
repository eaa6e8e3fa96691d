//! Turns what a look at the disk found into one batch of writes of the state, and publishes it: what is judged in which order, what is
//! held by the brake, and what is looked at once more. What each place means is decided in `writing`.

use std::collections::{BTreeMap, BTreeSet};

use super::io::Synced;
use super::plan::shown;
use super::scan::{Finding, Found};
use super::writing::{Behind, Writing};
use super::{Engine, Event, Held, Output, StepError, brake};
use crate::path::FolderPath;
use crate::state::{Kind, ViewEntry};

impl Engine {
    /// Commits one finished look. Publishes if anything was written.
    pub(super) fn commit_finding(&mut self, now_ms: u64, finding: Finding) {
        if !self.standing.can_write {
            return self.take_back(&finding);
        }
        // What is held is judged anew with every look: it may have been moved, by a person or by a step that could not tell.
        let mut held = self.held.take();
        let held_unseen: BTreeSet<FolderPath> =
            held.iter().flat_map(|held| &held.paths).filter(|path| !finding.covers(path)).cloned().collect();
        let half_seen = self.half_seen(&finding);
        let (went_everywhere, met_files) = (finding.went_everywhere(), finding.met_files);
        let Finding { mut found, mut gone, moves, stayed, .. } = finding;
        let mut writing = self.writing();
        writing.move_dirs(&mut found, &mut gone, &moves, &stayed);
        writing.forget_set_aside(&mut gone);
        writing.forget_moved_as_shown(&found, &mut gone);
        writing.note_arrived(&found);
        let renames = writing.pair_renames(&found, &gone);
        for (from, _) in renames.values() {
            gone.remove(from);
        }
        if let Some(held) = &mut held {
            held.paths.retain(|path| gone.contains(path) || held_unseen.contains(path));
            gone.retain(|path| !held.paths.contains(path));
        }
        let known_files = writing.synced.values().filter(|s| s.kind != Kind::Dir).count();
        let gone_files = gone.iter().filter(|p| writing.synced.get(*p).is_some_and(|s| s.kind != Kind::Dir)).count();
        // Where nothing can be said of some, because a step is under way or a place can not be read, the others count.
        let found_files = found.values().filter(|what| !matches!(what, Found::Dir(_))).count();
        let judged_files = if went_everywhere { gone_files + met_files + found_files } else { known_files };
        let held_now = if !gone.is_empty() && brake::holds(gone_files, judged_files, known_files) {
            std::mem::take(&mut gone)
        } else {
            BTreeSet::new()
        };
        // Deletions first: a copy moved over its original is the deletion of one value and an edit to an equal one, and a
        // deletion takes along what equals the seen value.
        for path in gone.iter().rev() {
            writing.remove(path);
        }
        for (path, what) in found {
            if let Some(from) = half_seen.get(&path) {
                writing.again.extend([path, from.clone()]);
                continue;
            }
            writing.give_parents(&path);
            if let Some(unknown) = writing.unknown_parent(&path) {
                writing.again.push(unknown);
                continue;
            }
            match what {
                Found::Dir(id) => writing.dir(&path, id),
                Found::Leaf(kind, stamp, body) => match renames.get(&path) {
                    Some((from, split)) => writing.rename(from, *split, &path, kind, stamp, *body),
                    None => writing.leaf(&path, kind, stamp, *body),
                },
                Found::Same(stamp) => writing.same(path, stamp),
            }
        }
        let Writing { commit, dirty, changed, removed, again, .. } = writing;
        let written = commit.finish();
        self.held = held.filter(|held| !held.paths.is_empty());
        self.finish_commit(now_ms, written, dirty, changed, removed);
        if !held_now.is_empty() {
            self.out.push_back(Output::Tell(Event::Held { files: gone_files as u64 }));
            self.held.get_or_insert_with(|| Held { since_ms: now_ms, paths: BTreeSet::new() }).paths.extend(held_now);
        }
        if !again.is_empty() {
            self.out.push_back(Output::Rescan(again));
        }
    }

    /// Files that were found at one place, and are remembered at another that was not looked at, or stood there a moment earlier:
    /// `to -> from`. Without both places in one look this can not be told from a copy. What stands at both once more is a hard link.
    fn half_seen(&mut self, finding: &Finding) -> BTreeMap<FolderPath, FolderPath> {
        let seen_twice = std::mem::take(&mut self.seen_twice);
        let known_at = |path: &FolderPath, what: &Found| {
            let Found::Leaf(_, stamp, body) = what else { return None };
            let from = self.ids.get(&stamp.id).filter(|from| *from != path)?;
            self.synced.get(from).filter(|old| old.digest == body.plain_digest)?;
            let stands_there = !finding.gone.contains(from) && !finding.found.contains_key(from);
            let is_new = !finding.went_to(from) || stands_there && seen_twice.get(path) != Some(from);
            is_new.then(|| from.clone())
        };
        let half_seen: BTreeMap<FolderPath, FolderPath> =
            finding.found.iter().filter_map(|(path, what)| Some((path.clone(), known_at(path, what)?))).collect();
        self.seen_twice.clone_from(&half_seen);
        half_seen
    }

    /// A look whose findings this device may not publish. What equals the folder is noted; what was changed or added stays
    /// on disk and stands in the way of nothing but itself; what was removed comes back.
    fn take_back(&mut self, finding: &Finding) {
        let mut dirty = BTreeSet::new();
        for path in &finding.gone {
            self.unplace(path, &mut dirty);
        }
        for (path, what) in &finding.found {
            match (what, self.view.lookup(path)) {
                (Found::Dir(id), Some(ViewEntry::Dir { inodes })) => {
                    self.place(path.clone(), Synced::dir(inodes[0], *id), &mut dirty);
                }
                (Found::Leaf(kind, stamp, body), Some(ViewEntry::File(leaf) | ViewEntry::Symlink(leaf)))
                    if shown(&self.state, &leaf.inode, &leaf.dot)
                        .is_some_and(|(k, theirs)| k == *kind && theirs.plain_digest == body.plain_digest) =>
                {
                    let behind = Behind { inode: leaf.inode, seen: leaf.seen().into(), twins: leaf.twins.clone() };
                    self.place(path.clone(), behind.synced(*kind, *stamp, body.plain_digest), &mut dirty);
                }
                _ => {
                    let why = "it was changed here, and this device may only read the folder".to_owned();
                    self.stuck.insert(path.clone(), StepError::Failed(why));
                }
            }
        }
        if !dirty.is_empty() {
            self.remember(dirty);
        }
    }

    /// Commits deletions that a person has approved.
    pub(super) fn commit_gone(&mut self, now_ms: u64, gone: BTreeSet<FolderPath>) {
        let mut writing = self.writing();
        for path in gone.iter().rev() {
            writing.remove(path);
        }
        let Writing { commit, dirty, changed, removed, .. } = writing;
        let written = commit.finish();
        self.finish_commit(now_ms, written, dirty, changed, removed);
    }
}
