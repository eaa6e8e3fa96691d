//! Turns what a look at the disk found into one batch of writes of the state, and publishes it: what is judged in which order, what is
//! held by the brake, and what is looked at once more. What each place means is decided in `writing`.

use std::collections::{BTreeMap, BTreeSet};

use cobox_proto::guard::Guard;

use super::brake::Before;
use super::scan::{Finding, Found};
use super::writing::Writing;
use super::{Engine, Event, Held, Output};
use crate::path::FolderPath;
use crate::state::Kind;

impl Engine {
    /// Commits one finished look. Publishes if anything was written.
    pub(super) fn commit_finding(&mut self, now_ms: u64, finding: Finding) {
        if !self.standing.can_write {
            return self.take_back(&finding);
        }
        // What waits is judged anew with every look: it may have been moved, by a person or by a step that could not tell.
        let (mut held, mut burst) = (self.held.take(), self.burst.take().map(|burst| burst.went));
        let mut agreed: BTreeSet<FolderPath> = self.agreed.intersection(&finding.gone).cloned().collect();
        let agreed_noise: BTreeSet<FolderPath> = self.agreed.intersection(&finding.noise).cloned().collect();
        self.agreed.retain(|path| !agreed.contains(path) && !agreed_noise.contains(path));
        let brake = self.brake;
        let waiting = held.iter().chain(&burst);
        let unseen: BTreeSet<FolderPath> = waiting
            .clone()
            .flat_map(|held| held.paths.iter().chain(held.noise.keys()))
            .filter(|path| !finding.covers(path))
            .cloned()
            .collect();
        let mut gone_before: BTreeSet<FolderPath> = waiting.flat_map(|held| &held.paths).cloned().collect();
        let moved = self.moved_from(&finding);
        let half_seen = self.half_seen(&finding, &gone_before);
        let (went_everywhere, saw_all, met_files) = (finding.went_everywhere(), finding.is_whole(), finding.met_files);
        let Finding { mut found, mut gone, moves, stayed, noise, .. } = finding;
        let mut gone_lately = std::mem::take(&mut self.gone_lately);
        found.keys().filter(|path| !agreed_noise.contains(*path)).for_each(|path| gone_lately.came_back(path));
        let is_known_file = |path: &&FolderPath| self.synced.get(*path).is_some_and(|s| s.kind != Kind::Dir);
        let met_and_found: BTreeSet<FolderPath> = found.keys().filter(is_known_file).cloned().collect();
        // What stands elsewhere now has not gone: it leaves its old place with its arrival. Later, equal content would be taken along.
        for held in held.iter_mut().chain(&mut burst) {
            gone.extend(held.paths.extract_if(.., |path| moved.contains(path)));
        }
        let mut writing = self.writing();
        writing.move_dirs(&mut found, &mut gone, &moves, &stayed);
        writing.forget_set_aside(&mut gone);
        writing.forget_moved_as_shown(&found, &mut gone);
        writing.note_arrived(&found, saw_all);
        let renames = writing.pair_renames(&found, &gone);
        for (from, _) in renames.values() {
            gone.remove(from);
        }
        gone_before.extend(gone.iter().cloned());
        let mut became_noise = writing.became_noise(&found, &gone_before, &noise);
        became_noise.retain(|path, _| !renames.contains_key(path) && !agreed_noise.contains(path));
        let is_new_file =
            |(path, what): &(&FolderPath, &Found)| !matches!(what, Found::Dir(_)) && !met_and_found.contains(*path);
        let new_files = found.iter().filter(is_new_file).count();
        for held in held.iter_mut().chain(&mut burst) {
            held.keep_what_is_found(&|path| unseen.contains(path), &mut gone, &mut became_noise, &mut found);
        }
        agreed.retain(|path| gone.remove(path));
        let is_file = |path: &&FolderPath| writing.synced.get(*path).is_some_and(|s| s.kind != Kind::Dir);
        let gone_files = gone.iter().filter(is_file).count();
        let burst_gone = burst.iter().flat_map(|burst| &burst.paths).filter(is_file).count();
        let burst_noise = burst.as_ref().map_or(0, |burst| burst.noise.len());
        let held_gone = held.iter().flat_map(|held| &held.paths).filter(is_file).count();
        let known_files = writing.synced.values().filter(|s| s.kind != Kind::Dir).count() - held_gone;
        // Where nothing can be said of some, because a step is under way or a place can not be read, the others count, each of them once.
        let judged_files = match went_everywhere {
            true => gone_files + burst_gone + met_files + new_files,
            false => known_files,
        };
        let something_went = !gone.is_empty() || !became_noise.is_empty();
        let lost_files = gone_files + burst_gone + became_noise.len() + burst_noise;
        let is_counted = |path: &FolderPath| {
            let waits = burst.as_ref().is_some_and(|burst| burst.holds(path));
            waits || gone.contains(path) || became_noise.contains_key(path)
        };
        let before = gone_lately.before(now_ms, brake.window_ms, is_counted);
        // What goes soon after something that is held belongs to it.
        let belongs = held.as_ref().is_some_and(|held| held.is_recent(now_ms, &brake));
        let is_much = brake.holds_outgoing(lost_files, judged_files, known_files, before);
        let is_held = something_went && (belongs || is_much);
        if something_went {
            // At the first look, what the folder shows elsewhere by now is no loss to wait for.
            let waits = |path: &FolderPath| !moved.contains(path) && (is_held || writing.is_to_be_removed(path));
            let gone_now: BTreeSet<FolderPath> = gone.extract_if(.., |path| waits(path)).collect();
            found.retain(|path, _| !became_noise.contains_key(path));
            let into = if is_held { &mut held } else { &mut burst };
            into.get_or_insert_with(|| Held::new(now_ms)).take_in(now_ms, gone_now, became_noise);
        }
        if is_held && let (Some(held), Some(burst)) = (&mut held, burst.take()) {
            held.take_in_all(burst);
        }
        for held in held.iter_mut().chain(&mut burst) {
            let was_dir = |path: &FolderPath| writing.synced.get(path).is_some_and(|s| s.kind == Kind::Dir);
            let replaces = |path: &FolderPath, what: &mut Found| {
                !matches!(what, Found::Dir(_)) && was_dir(path) && held.holds_below(path)
            };
            let in_its_place: Vec<FolderPath> = found.extract_if(.., replaces).map(|(path, _)| path).collect();
            held.in_its_place.extend(in_its_place);
        }
        let is_made = |(path, what): &(&FolderPath, &Found)| {
            matches!(what, Found::Leaf(..)) && !writing.synced.contains_key(*path) && !renames.contains_key(*path)
        };
        gone_lately.note_made(now_ms, found.iter().filter(is_made).count());
        gone.append(&mut agreed);
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
        self.gone_lately = gone_lately;
        self.finish_commit(now_ms, written, dirty, changed, removed);
        self.wait(held, burst, before, is_held);
        if !again.is_empty() {
            self.out.push_back(Output::Rescan(again));
        }
    }

    /// Keeps what is held, and the burst that is not judged yet.
    fn wait(&mut self, held: Option<Held>, burst: Option<Held>, before: Before, is_held: bool) {
        for over in held.iter().chain(&burst).filter(|held| held.is_empty() && !held.in_its_place.is_empty()) {
            self.out.push_back(Output::Rescan(over.in_its_place.iter().cloned().collect()));
        }
        self.held = held.filter(|held| !held.is_empty());
        if let Some(held) = self.held.as_ref().filter(|_| is_held) {
            let files = self.files_in(held) as u64;
            self.out.push_back(Output::Tell(Event::Held { files }));
        }
        if let Some(burst) = burst.filter(|burst| !burst.is_empty()) {
            self.wait_for_its_end(burst, before);
        }
    }

    /// The old places of files that stand, as they were, where something else is known.
    fn moved_from(&self, finding: &Finding) -> BTreeSet<FolderPath> {
        let from = |(path, what)| self.known_elsewhere(path, what).filter(|from| !finding.found.contains_key(*from));
        finding.found.iter().filter_map(from).cloned().collect()
    }

    /// The other place at which a file that was found is remembered, as it is.
    fn known_elsewhere(&self, path: &FolderPath, what: &Found) -> Option<&FolderPath> {
        let Found::Leaf(_, stamp, body) = what else { return None };
        let from = self.ids.get(&stamp.id).filter(|from| *from != path)?;
        self.synced.get(from).filter(|old| old.digest == body.plain_digest)?;
        Some(from)
    }

    /// Files that were found at one place, and are remembered at another that was not looked at, or stood there a moment earlier:
    /// `to -> from`. Without both places in one look this can not be told from a copy. What stands at both once more is a hard link.
    /// What is gone and waits needs no other look.
    fn half_seen(&mut self, finding: &Finding, waits: &BTreeSet<FolderPath>) -> BTreeMap<FolderPath, FolderPath> {
        if !Guard::HalfAMoveIsNoCopy.stands() {
            return BTreeMap::new();
        }
        let seen_twice = std::mem::take(&mut self.seen_twice);
        let known_at = |path: &FolderPath, what: &Found| {
            let from = self.known_elsewhere(path, what)?;
            let stands_there = !finding.gone.contains(from) && !finding.found.contains_key(from);
            let is_new = match finding.went_to(from) {
                // What a step keeps from being told is not seen to stand there.
                true => stands_there && (finding.leaves_out(from) || seen_twice.get(path) != Some(from)),
                false => !waits.contains(from),
            };
            is_new.then(|| from.clone())
        };
        let half_seen: BTreeMap<FolderPath, FolderPath> =
            finding.found.iter().filter_map(|(path, what)| Some((path.clone(), known_at(path, what)?))).collect();
        self.seen_twice.clone_from(&half_seen);
        half_seen
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
