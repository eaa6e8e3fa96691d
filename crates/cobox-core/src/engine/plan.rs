//! Compares what the folder should show (the view) with what the disk last agreed on (the synced tree) and names the next
//! steps. A pure function of the two: nothing is queued or remembered, so a plan can always be made again. The steps of one
//! plan are begun in their order and may rest on earlier ones (a file on its directory, the removal of a directory on that of
//! its files); if an earlier one fails, the later ones fail too and nothing is harmed.
//!
//! What moved is moved, never removed and written again: its content may be nowhere else. So a place is not cleared while
//! what stands there is awaited at another.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_proto::guard::Guard;
use cobox_proto::id::Inode;

use super::io::{Stamp, Step, Synced};
use super::{IgnoreRules, links};
use crate::path::FolderPath;
use crate::state::{Body, Dot, Kind, Shown, State, View, ViewEntry};

/// A plan.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// What to do now.
    pub(super) steps: Vec<Step>,
    /// Paths that are right already, with what the synced tree should say of them.
    pub(super) adopt: Vec<(FolderPath, Arc<Synced>)>,
    /// Files that still have to be written, here or later.
    pub(super) pending_files: u64,
    /// Their bytes.
    pub(super) pending_bytes: u64,
    /// Whether there was more to do than fits.
    pub(super) cut_off: bool,
    /// Something stands where it is not shown, or is shown of which nothing is known: there may be something to do later.
    pub(super) is_unsettled: bool,
}

impl Plan {
    /// Whether the disk is as the view shows it, and nothing else.
    pub(super) fn is_at_rest(&self) -> bool {
        self.steps.is_empty() && self.adopt.is_empty() && self.pending_files == 0 && !self.cut_off && !self.is_unsettled
    }
}

/// The file or symlink a view entry shows.
pub(super) fn shown<'s>(state: &'s State, inode: &Inode, dot: &Dot) -> Option<(Kind, &'s Body)> {
    let item = state.get(inode)?;
    let body = item.body.iter().find(|(d, _)| d == dot)?;
    Some((item.kind, &body.1))
}

/// Whether two modification times are the same for people: a FAT disk keeps 2 s.
pub fn same_time(a_ns: i64, b_ns: i64) -> bool {
    a_ns.abs_diff(b_ns) < 2_000_000_000
}

/// What a plan is made from.
pub(super) struct Planner<'a> {
    /// What the folder should show.
    pub(super) view: &'a View,
    /// The state behind it.
    pub(super) state: &'a State,
    /// What the disk last agreed on.
    pub(super) synced: &'a BTreeMap<FolderPath, Arc<Synced>>,
    /// If these are all places that changed since a whole plan would have done nothing, and none of them is or was a directory: a plan of
    /// them is the whole plan.
    pub(super) among: Option<&'a BTreeSet<FolderPath>>,
    /// What is no content here. Synced paths are content.
    pub(super) rules: &'a dyn IgnoreRules,
    /// Paths that have a step under way.
    pub(super) busy: &'a dyn Fn(&FolderPath) -> bool,
    /// Paths that have a step under way or must wait.
    pub(super) skip: &'a dyn Fn(&FolderPath) -> bool,
    /// Values whose deletion waits for a person: they are written nowhere else meanwhile.
    pub(super) held: BTreeSet<(Inode, Dot)>,
    /// What is being written: it goes nowhere else before it is known what came of that.
    pub(super) writing: BTreeSet<(Inode, [u8; 32])>,
    /// Links that steps under way bring to a place, and their texts.
    pub(super) linking: Vec<(FolderPath, String)>,
    /// Directories under way: what lies below may be planned, since steps are begun in order.
    pub(super) making: BTreeSet<FolderPath>,
    /// What waits for a person is not on its way.
    pub(super) is_held: &'a dyn Fn(&FolderPath) -> bool,
    /// What may be noise.
    pub(super) let_in: &'a BTreeSet<FolderPath>,
    /// How many steps at most.
    pub(super) steps_max: usize,
}

/// Which content of which item; directories have none.
type Thing = (Inode, Kind, [u8; 32]);

/// Where things stand on disk that the view does not show there any more.
#[derive(Default)]
struct Moved<'a> {
    sources: BTreeMap<Thing, &'a FolderPath>,
    /// Files whose new place is still empty, and that place. All places that should have the same: one of them may be gone by now, and
    /// what stands at the others is not cleared away before it stands where it should.
    awaited: BTreeMap<&'a FolderPath, &'a FolderPath>,
    /// Directories whose new place is still empty, and that place.
    dirs: Vec<(&'a FolderPath, &'a FolderPath)>,
}

/// What steps of this plan need to find as it is.
#[derive(Default)]
struct Used<'a> {
    /// Files that are moved away.
    leaving: BTreeSet<&'a FolderPath>,
    /// Places whose content is written to another.
    sources: BTreeSet<&'a FolderPath>,
    /// What stands at those places.
    things: BTreeSet<Thing>,
    /// Places that are written or cleared.
    written: BTreeSet<FolderPath>,
}

impl Used<'_> {
    /// Whether another step of this plan writes or clears a place, or needs what stands there: then it goes nowhere in this plan.
    fn rests(&self, from: &FolderPath) -> bool {
        self.written.contains(from) || self.sources.contains(from)
    }
}

struct Target<'a> {
    kind: Kind,
    body: &'a Body,
    leaf: &'a Shown,
}

/// One place: what it should show, and what stands there.
struct Place<'a> {
    path: &'a FolderPath,
    /// What the folder shows there, if that is content here and may stand there.
    entry: Option<&'a ViewEntry>,
    /// If that is a file or symlink of which something is known.
    value: Option<(Kind, &'a Body)>,
    /// Whether it should stand there: what lies below an ignored directory should not.
    is_wanted: bool,
    /// What the disk last agreed on.
    old: Option<&'a Arc<Synced>>,
}

impl<'a> Place<'a> {
    fn thing(&self) -> Option<Thing> {
        let (leaf, (kind, body)) = (self.entry?.shown()?, self.value?);
        Some((leaf.inode, kind, body.plain_digest))
    }

    /// Whether what stands there stays. Another item of equal content is as good: the file stays and is that item's from now on.
    fn stays(&self, old: &Synced) -> bool {
        match (self.entry, self.value) {
            (Some(ViewEntry::Dir { inodes }), _) => old.kind == Kind::Dir && inodes.contains(&old.inode),
            (Some(_), Some((kind, body))) => (kind, body.plain_digest) == (old.kind, old.digest),
            _ => false,
        }
    }

    /// What stands there.
    fn standing(&self) -> Option<(&'a FolderPath, &'a Arc<Synced>)> {
        Some((self.path, self.old?))
    }
}

impl<'a> Planner<'a> {
    /// Plans. A directory that moves is a plan of its own: all below it must wait. So are the links that may not come along.
    pub(super) fn plan(mut self) -> Plan {
        let mut plan = Plan::default();
        let places = self.places();
        let moved = self.moved(&places);
        plan.is_unsettled = !moved.sources.is_empty();
        let may_move = |(from, to): &&(&FolderPath, &FolderPath)| {
            !(self.skip)(from) && !(self.skip)(to) && self.has_parent(to) && !self.waits_for_links(from, to)
        };
        if let Some((from, to)) = moved.dirs.iter().find(may_move) {
            let outside = self.led_outside(from, to);
            if outside.is_empty() {
                plan.steps.push(Step::RenameDir { from: (*from).clone(), to: (*to).clone() });
            }
            plan.cut_off = outside.len() > self.steps_max;
            let removals = outside.into_iter().take(self.steps_max);
            plan.steps.extend(removals.map(|(path, expect)| Step::Remove { path, expect }));
            return plan;
        }
        let mut used = Used::default();
        for place in places.iter().filter(|place| place.is_wanted) {
            match (place.entry, place.value) {
                (Some(ViewEntry::Dir { .. }), _) if moved.dirs.iter().any(|(_, to)| *to == place.path) => {
                    // Its content stands elsewhere and comes with it; if only its parent is missing, that comes first.
                }
                (Some(ViewEntry::Dir { inodes }), _) => self.dir(&mut plan, place, inodes[0]),
                (Some(ViewEntry::File(leaf) | ViewEntry::Symlink(leaf)), Some((kind, body))) => {
                    self.leaf(&mut plan, place, &Target { kind, body, leaf }, &moved, &mut used);
                }
                _ => plan.is_unsettled = true,
            }
        }
        self.removals(&mut plan, &places, &moved, &used);
        plan
    }

    /// All places at which something is shown or stands, in their order. View and synced tree are gone through side by side, once: to find each
    /// path in both of them, again for every question, was most of a plan.
    fn places(&self) -> Vec<Place<'a>> {
        let (view, synced) = (self.view, self.synced);
        let mut places = Vec::with_capacity(self.among.map_or(view.entries.len().max(synced.len()), BTreeSet::len));
        let mut ignored: Option<&FolderPath> = None;
        let mut add = |path, entry: Option<&'a ViewEntry>, old, is_in_sight| {
            if let Some(place) = self.place(path, entry, old, is_in_sight, &mut ignored) {
                places.push(place);
            }
        };
        if let Some(among) = self.among {
            for path in among {
                let is_in_sight = std::iter::successors(path.parent(), FolderPath::parent)
                    .filter_map(|dir| view.entries.get_key_value(&dir))
                    .all(|(dir, entry)| is_content(synced.get(dir), self.rules, dir, entry));
                add(path, view.lookup(path), synced.get(path), is_in_sight);
            }
            return places;
        }
        let (mut shown, mut standing) = (view.entries.iter().peekable(), synced.iter().peekable());
        loop {
            let order = match (shown.peek(), standing.peek()) {
                (None, None) => return places,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((path, _)), Some((other, _))) => path.cmp(other),
            };
            let (path, entry) = shown.next_if(|_| order.is_le()).unzip();
            let (same_path, old) = standing.next_if(|_| order.is_ge()).unzip();
            if let Some(path) = path.or(same_path) {
                add(path, entry, old, true);
            }
        }
    }

    /// `None` where nothing is shown that is content, and nothing stands: memory does not grow with what is ignored. `ignored`: the last
    /// directory that is.
    fn place(
        &self,
        path: &'a FolderPath,
        entry: Option<&'a ViewEntry>,
        old: Option<&'a Arc<Synced>>,
        is_in_sight: bool,
        ignored: &mut Option<&'a FolderPath>,
    ) -> Option<Place<'a>> {
        let may_stand = entry.filter(|entry| !links::leads_outside(self.state, path, entry));
        let is_in_sight = is_in_sight && !ignored.is_some_and(|top| path.starts_with(top));
        if !is_in_sight && old.is_none() {
            return None;
        }
        let content = may_stand.filter(|entry| is_content(old, self.rules, path, entry));
        if is_in_sight && may_stand.is_some() && content.is_none() {
            *ignored = Some(path);
        }
        if content.is_none() && old.is_none() {
            return None;
        }
        let value = content.and_then(ViewEntry::shown).and_then(|leaf| shown(self.state, &leaf.inode, &leaf.dot));
        Some(Place { path, entry: content, value, is_wanted: is_in_sight && content.is_some(), old })
    }

    /// What is shown at a path, content here or not.
    fn thing(&self, path: &FolderPath) -> Option<Thing> {
        let leaf = self.view.lookup(path)?.shown()?;
        let (kind, body) = shown(self.state, &leaf.inode, &leaf.dot)?;
        Some((leaf.inode, kind, body.plain_digest))
    }

    fn moved(&self, places: &[Place<'a>]) -> Moved<'a> {
        let gone = places.iter().filter_map(|place| {
            let (path, old) = place.standing()?;
            (!place.stays(old)).then(|| (thing_of(old), path))
        });
        let gone: Vec<(Thing, &FolderPath)> = gone.collect();
        if gone.is_empty() {
            return Moved::default();
        }
        let sources: BTreeMap<Thing, &FolderPath> = gone.iter().copied().collect();
        let (mut awaited, mut dirs) = (BTreeMap::new(), Vec::new());
        for place in places.iter().filter(|place| place.is_wanted && place.old.is_none()) {
            let to = place.path;
            match place.entry {
                Some(ViewEntry::Dir { inodes }) => {
                    let from = inodes.iter().find_map(|inode| sources.get(&(*inode, Kind::Dir, [0; 32])));
                    dirs.extend(from.filter(|from| !to.starts_with(from)).map(|from| (*from, to)));
                }
                _ => awaited.extend(place.thing().and_then(|thing| Some((*sources.get(&thing)?, to)))),
            }
        }
        // A place that is taken counts as empty if what stands there leaves first. One step deep: chains then come one by one,
        // and two files that change places do not wait for each other.
        let taken = awaited.keys().copied().filter(|to| self.view.entries.contains_key(*to));
        let next: Vec<_> = taken.filter_map(|to| Some((*sources.get(&self.thing(to)?)?, to))).collect();
        for (from, to) in next {
            awaited.entry(from).or_insert(to);
        }
        for (thing, path) in gone {
            if let Some(to) = sources.get(&thing).and_then(|from| awaited.get(from).copied()) {
                awaited.entry(path).or_insert(to);
            }
        }
        Moved { sources, awaited, dirs }
    }

    fn has_parent(&self, path: &FolderPath) -> bool {
        match path.parent() {
            None => true,
            Some(parent) => {
                parent.is_root()
                    || self.making.contains(&parent)
                    || self.synced.get(&parent).is_some_and(|s| s.kind == Kind::Dir)
            }
        }
    }

    fn leaves_soon(&self, path: &FolderPath, moved: &Moved<'_>) -> bool {
        moved.awaited.get(path).is_some_and(|to| self.has_parent(to))
    }

    fn is_full(&self, plan: &mut Plan) -> bool {
        plan.cut_off |= plan.steps.len() >= self.steps_max;
        plan.cut_off
    }

    fn dir(&mut self, plan: &mut Plan, place: &Place<'a>, inode: Inode) {
        let path = place.path;
        match place.old {
            Some(old) if old.kind == Kind::Dir && old.inode == Inode::ZERO => {
                plan.adopt.push((path.clone(), Arc::new(Synced::dir(inode, old.id))));
            }
            // A file in its place goes with the removals, unless it moves or is written elsewhere first.
            Some(_) => {}
            None if (self.skip)(path) || !self.has_parent(path) || self.is_full(plan) => {}
            None => {
                plan.steps.push(Step::MakeDir { path: path.clone() });
                self.making.insert(path.clone());
            }
        }
    }

    fn leaf(&self, plan: &mut Plan, place: &Place<'a>, target: &Target<'_>, moved: &Moved<'a>, used: &mut Used<'a>) {
        let (path, old) = (place.path, place.old);
        if let Some(old) = old
            && old.kind == target.kind
            && old.digest == target.body.plain_digest
        {
            return self.equal_content(plan, path, old, target);
        }
        if self.held.contains(&(target.leaf.inode, target.leaf.dot)) {
            return;
        }
        if (self.is_held)(path) {
            return;
        }
        plan.pending_files += 1;
        plan.pending_bytes += target.body.size;
        if plan.cut_off {
            // There was more than fits already: the rest is counted.
            return;
        }
        let is_under_way = self.writing.contains(&(target.leaf.inode, target.body.plain_digest));
        if (self.skip)(path) || is_under_way || !self.has_parent(path) || self.is_full(plan) {
            return;
        }
        // One after the other: two files that change places rest on each other.
        if used.sources.contains(path) {
            return;
        }
        let let_in = self.let_in.contains(path);
        let thing = (target.leaf.inode, target.kind, target.body.plain_digest);
        let source = moved.sources.get(&thing).and_then(|from| Some((*from, self.synced.get(*from)?.stamp?)));
        match (old, source) {
            // A directory goes with what is below it: see the removals.
            (Some(old), _) if old.kind == Kind::Dir => {}
            (Some(_), _) if self.leaves_soon(path, moved) => {}
            (None, Some((from, expect))) if !(self.skip)(from) && !used.rests(from) && used.leaving.insert(from) => {
                plan.steps.push(Step::RenameFile { from: from.clone(), to: path.clone(), expect });
            }
            (_, Some((from, _))) if used.leaving.contains(from) || !Guard::MovedByWritingIsThere.stands() => {
                used.written.insert(path.clone());
                plan.steps.push(write(path, target, old, None, let_in));
            }
            (_, Some((from, stamp))) => {
                if !(self.busy)(from) && !used.rests(from) {
                    used.sources.insert(from);
                    used.things.insert(thing);
                    used.written.insert(path.clone());
                    plan.steps.push(write(path, target, old, Some((from.clone(), stamp)), let_in));
                }
            }
            (_, None) => {
                used.written.insert(path.clone());
                plan.steps.push(write(path, target, old, None, let_in));
            }
        }
    }

    /// Same bytes: at most the time, the bit or the knowledge of who wrote them differ.
    fn equal_content(&self, plan: &mut Plan, path: &FolderPath, old: &Synced, target: &Target<'_>) {
        let expect = old.stamp.filter(|expect| {
            let is_same =
                expect.executable == target.body.executable && same_time(expect.mtime_ns, target.body.mtime_ns);
            old.kind == Kind::File && !is_same
        });
        let seen = target.leaf.seen();
        let is_known = old.inode == target.leaf.inode && old.seen[..] == seen[..] && old.twins == target.leaf.twins;
        if expect.is_none() && is_known || (self.skip)(path) {
            // Skipped, it may be gone by now: a person who deletes it has not seen what is shown there since.
            return;
        }
        if let Some(expect) = expect {
            if !self.is_full(plan) && Guard::TimesArrive.stands() {
                let (mtime_ns, executable) = (target.body.mtime_ns, target.body.executable);
                plan.steps.push(Step::SetMeta { path: path.clone(), mtime_ns, executable, expect });
            }
            return;
        }
        let (inode, twins) = (target.leaf.inode, target.leaf.twins.clone());
        plan.adopt.push((path.clone(), Arc::new(Synced { inode, seen: seen.into(), twins, ..old.clone() })));
    }

    /// Clears what the view does not show, deepest first.
    fn removals(&self, plan: &mut Plan, places: &[Place<'a>], moved: &Moved<'_>, used: &Used<'_>) {
        let mut last_kept: Option<&FolderPath> = None;
        for place in places.iter().rev() {
            let Some((path, old)) = place.standing() else { continue };
            let is_for_a_dir = matches!(place.entry, Some(ViewEntry::Dir { .. }));
            if place.entry.is_some() && is_for_a_dir == (old.kind == Kind::Dir) {
                last_kept = Some(path);
                continue;
            }
            // Where a directory is to stand, what moves into it can not be waited for.
            let awaits = if is_for_a_dir { self.leaves_soon(path, moved) } else { moved.awaited.contains_key(path) };
            let moves =
                awaits && !used.leaving.contains(path) || moved.dirs.iter().any(|(from, _)| path.starts_with(from));
            let kept_below = last_kept.is_some_and(|kept| kept.starts_with(path));
            let rests = self.writing.contains(&(old.inode, old.digest)) || used.things.contains(&thing_of(old));
            if moves || rests || (self.skip)(path) || old.kind == Kind::Dir && kept_below {
                last_kept = Some(path);
                continue;
            }
            if used.leaving.contains(path) {
                continue;
            }
            if self.is_full(plan) {
                return;
            }
            match (old.kind, old.stamp) {
                (Kind::Dir, _) => plan.steps.push(Step::RemoveDir { path: path.clone() }),
                (_, Some(expect)) => plan.steps.push(Step::Remove { path: path.clone(), expect }),
                (_, None) => {}
            }
        }
    }
}

fn thing_of(old: &Synced) -> Thing {
    (old.inode, old.kind, old.digest)
}

/// Whether an entry of the view is content here, if the directories above it are. Of what is synced as it is shown that is known.
fn is_content(old: Option<&Arc<Synced>>, rules: &dyn IgnoreRules, path: &FolderPath, entry: &ViewEntry) -> bool {
    let is_dir = matches!(entry, ViewEntry::Dir { .. });
    old.is_some_and(|old| (old.kind == Kind::Dir) == is_dir) || !rules.matches(path, is_dir)
}

fn write(
    path: &FolderPath,
    target: &Target<'_>,
    old: Option<&Arc<Synced>>,
    source: Option<(FolderPath, Stamp)>,
    let_in: bool,
) -> Step {
    let (kind, body) = (target.kind, Box::new(target.body.clone()));
    Step::Write { path: path.clone(), kind, body, expect: old.and_then(|old| old.stamp), source, let_in }
}
