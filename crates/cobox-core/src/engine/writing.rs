//! What one found place means for the state: an edit, a new file, a move, a deletion, or nothing, because a step of ours did it.
//!
//! Owns what a commit works on. What must hold: nothing is replaced or deleted but what the person had seen at that place, and nothing
//! that stands elsewhere on this disk.

mod moves;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_proto::guard::Guard;
use cobox_proto::id::Inode;
use smallvec::{SmallVec, smallvec};

use super::ignore::ignores;
use super::io::{FileId, Stamp, Synced};
use super::plan::{same_time, shown};
use super::scan::Found;
use super::steps::AtRest;
use super::synced::SyncedTree;
use super::{Engine, IgnoreRules};
use crate::path::FolderPath;
use crate::state::{Body, Commit, Dot, Kind, Shown, View, ViewEntry};

/// What a commit works on: fields of the engine, borrowed apart.
pub(super) struct Writing<'e> {
    pub(super) commit: Commit<'e>,
    pub(super) view: &'e View,
    pub(super) synced: &'e mut SyncedTree,
    at_rest: &'e mut AtRest,
    ids: &'e mut BTreeMap<FileId, FolderPath>,
    rules: Option<&'e dyn IgnoreRules>,
    /// Counted once something may stand twice, which is rare: that looks through all that is synced.
    places: OnceCell<Places>,
    /// Directories moved in this batch: (now, before). The view does not know of it yet.
    moved: Vec<(FolderPath, FolderPath)>,
    /// No look at everything has ended since the start.
    first_look: bool,
    /// At the first look: values found at places where the folder shows them and the memory does not know them, or knows others. A step of an
    /// earlier run brought them there, so what stands at their old place now was not made from them (K5).
    arrived: BTreeSet<(Inode, Dot)>,
    /// At the first look: it saw everything there is, and what arrived is noted.
    saw_all: bool,
    /// At the first look: where files stand that were moved while nobody looked.
    moved_at_start: &'e mut BTreeSet<FolderPath>,
    /// At the first look: what earlier runs set aside.
    set_aside: &'e BTreeMap<FileId, Stamp>,
    /// Paths whose synced entry changed, to be remembered.
    pub(super) dirty: BTreeSet<FolderPath>,
    /// Paths of which this look did not see enough.
    pub(super) again: Vec<FolderPath>,
    pub(super) changed: u64,
    pub(super) removed: u64,
}

impl Engine {
    /// Begins: nothing is written yet.
    pub(super) fn writing(&mut self) -> Writing<'_> {
        Writing {
            commit: Commit::new(&mut self.state, self.own.actor, self.own.device, self.keys.shape()),
            view: &self.view,
            synced: &mut self.synced,
            at_rest: &mut self.at_rest,
            ids: &mut self.ids,
            rules: self.rules.as_deref(),
            places: OnceCell::new(),
            moved: Vec::new(),
            first_look: !self.looked_at_all,
            arrived: BTreeSet::new(),
            saw_all: false,
            moved_at_start: &mut self.moved_at_start,
            set_aside: &self.set_aside,
            dirty: BTreeSet::new(),
            again: Vec::new(),
            changed: 0,
            removed: 0,
        }
    }
}

impl Writing<'_> {
    fn parent(&self, path: &FolderPath) -> Inode {
        match path.parent() {
            Some(parent) if !parent.is_root() => self.synced.get(&parent).map_or(Inode::ZERO, |s| s.inode),
            _ => Inode::ZERO,
        }
    }

    fn set(&mut self, path: &FolderPath, entry: impl Into<Arc<Synced>>) {
        let entry = entry.into();
        self.unset(path);
        if self.is_ignored(path, entry.kind) {
            // It came along with its directory to a place where it is no content: it stays for others.
            self.dirty.insert(path.clone());
            return;
        }
        if let Some(places) = self.places.get_mut() {
            places.add(&entry);
        }
        self.ids.insert(entry.id, path.clone());
        self.at_rest.changed(path, entry.kind == Kind::Dir);
        self.synced.insert(path.clone(), entry);
        self.dirty.insert(path.clone());
    }

    fn unset(&mut self, path: &FolderPath) -> Option<Arc<Synced>> {
        let old = self.synced.remove(path)?;
        self.at_rest.changed(path, old.kind == Kind::Dir);
        if self.ids.get(&old.id) == Some(path) {
            self.ids.remove(&old.id);
        }
        if let Some(places) = self.places.get_mut() {
            places.take(&old);
        }
        self.dirty.insert(path.clone());
        Some(old)
    }

    fn is_ignored(&self, path: &FolderPath, kind: Kind) -> bool {
        self.rules.is_some_and(|rules| ignores(rules, path, kind == Kind::Dir))
    }

    fn places(&self) -> &Places {
        self.places.get_or_init(|| Places::of(self.synced.values()))
    }

    fn stands_twice(&self, old: &Synced) -> bool {
        Guard::OneOfTwoTakesNothing.stands()
            && self.synced.may_stand_twice(old.inode)
            && self.places().of_content.get(&(old.inode, old.digest)).is_some_and(|places| *places > 1)
    }

    /// What the person had seen at a place and at no other: a change there concerns these values only.
    fn seen_there_only(&self, old: &Synced) -> SmallVec<[Dot; 1]> {
        if !Guard::OneOfTwoTakesNothing.stands() || !self.synced.may_stand_twice(old.inode) {
            return old.seen.clone();
        }
        let elsewhere = |dot: &Dot| self.places().of_value.get(&(old.inode, *dot)).is_some_and(|places| *places > 1);
        old.seen.iter().filter(|dot| !elsewhere(dot)).copied().collect()
    }

    /// A directory that a step made when the folder did not show it any more is nobody's. With something in it, it is the person's.
    pub(super) fn give_parents(&mut self, path: &FolderPath) {
        let nobodys = |path: &FolderPath| {
            self.synced.get(path).filter(|s| s.kind == Kind::Dir && s.inode == Inode::ZERO).map(|s| s.id)
        };
        let above = std::iter::successors(path.parent(), FolderPath::parent);
        let dirs: Vec<(FolderPath, FileId)> = above.filter_map(|dir| nobodys(&dir).map(|id| (dir, id))).collect();
        for (dir, id) in dirs.into_iter().rev() {
            self.dir(&dir, id);
        }
    }

    /// The nearest directory above that should be known and is not.
    pub(super) fn unknown_parent(&self, path: &FolderPath) -> Option<FolderPath> {
        let parent = path.parent().filter(|p| !p.is_root())?;
        if self.synced.get(&parent).is_some_and(|s| s.kind == Kind::Dir) {
            return None;
        }
        self.unknown_parent(&parent).or(Some(parent))
    }

    /// What the folder shows at a path, with the moves of this batch.
    pub(super) fn lookup(&self, path: &FolderPath) -> Option<&ViewEntry> {
        let came = self.moved.iter().filter(|(to, _)| path.starts_with(to)).max_by_key(|(to, _)| to.depth());
        let before = match came {
            Some((to, from)) => path.rebased(to, from)?,
            None => path.clone(),
        };
        // From within what came here something may have left for elsewhere.
        let left = |from: &FolderPath| {
            before.starts_with(from) && came.is_none_or(|(_, mine)| from != mine && from.starts_with(mine))
        };
        if self.moved.iter().any(|(_, from)| left(from)) { None } else { self.view.lookup(&before) }
    }

    pub(super) fn note_arrived(&mut self, found: &BTreeMap<FolderPath, Found>, saw_all: bool) {
        if !self.first_look {
            return;
        }
        self.saw_all = saw_all;
        for (path, what) in found {
            if let Found::Leaf(kind, _, body) = what
                && self.synced.get(path).is_none_or(|old| old.digest != body.plain_digest)
                && let Some(there) = self.shown_already(path, *kind, body)
            {
                self.arrived.extend(there.seen.iter().map(|dot| (there.inode, *dot)));
            }
        }
    }

    fn note_move(&mut self, to: &FolderPath) {
        if self.first_look {
            self.moved_at_start.insert(to.clone());
        }
    }

    /// Whether a step took from its place what was synced there, and a stop or a sick disk kept that from being told.
    fn was_set_aside(&self, old: &Synced) -> bool {
        Guard::SetAsideIsNotDeleted.stands()
            && old.stamp.is_some_and(|stamp| {
                let aside = self.set_aside.get(&stamp.id);
                aside.is_some_and(|aside| (aside.size, aside.mtime_ns) == (stamp.size, stamp.mtime_ns))
            })
    }

    /// What a step of an earlier run removed is nobody's deletion; if the folder still shows it, it comes back (K5).
    pub(super) fn forget_set_aside(&mut self, gone: &mut BTreeSet<FolderPath>) {
        let ours: Vec<FolderPath> = gone
            .iter()
            .filter(|path| self.synced.get(*path).is_some_and(|old| self.was_set_aside(old)))
            .cloned()
            .collect();
        for path in ours {
            gone.remove(&path);
            self.unset(&path);
        }
    }

    /// A file that stands where the folder shows it was moved there as others moved it, whoever did that here: it is not deleted.
    pub(super) fn forget_moved_as_shown(
        &mut self,
        found: &BTreeMap<FolderPath, Found>,
        gone: &mut BTreeSet<FolderPath>,
    ) {
        if gone.is_empty() {
            return;
        }
        let now_at: BTreeMap<FileId, (&FolderPath, Option<[u8; 32]>)> = found
            .iter()
            .filter_map(|(path, what)| match what {
                Found::Leaf(_, stamp, body) => Some((stamp.id, (path, Some(body.plain_digest)))),
                Found::Same(stamp) => Some((stamp.id, (path, None))),
                Found::Dir(_) => None,
            })
            .collect();
        // The number alone says little: disks give that of a deleted file to the next new one.
        let is_shown_there = |old: &Synced| {
            let now = now_at.get(&old.id).filter(|(_, digest)| digest.is_none_or(|digest| digest == old.digest));
            old.kind != Kind::Dir && now.is_some_and(|(to, _)| self.is_shown(to, old))
        };
        let moved = |path: &&FolderPath| self.synced.get(*path).is_some_and(|old| is_shown_there(old));
        for path in gone.iter().filter(moved).cloned().collect::<Vec<_>>() {
            gone.remove(&path);
            self.unset(&path);
        }
    }

    /// Whether the folder has this value anywhere, and keeps it. What a person moved here is missed where it stood, and what came in its
    /// place replaces it there.
    fn is_known(&self, path: &FolderPath, kind: Kind, stamp: &Stamp, body: &Body) -> bool {
        let from = self.ids.get(&stamp.id).filter(|from| *from != path).and_then(|from| self.synced.get(from));
        if from.is_some_and(|from| from.digest == body.plain_digest) {
            return false;
        }
        let has = |item: &crate::state::Item| item.kind == kind && item.body.iter().any(|(_, b)| b.same_value(body));
        self.commit.state().iter().any(|(_, item)| has(item))
    }

    fn is_shown(&self, path: &FolderPath, old: &Synced) -> bool {
        let leaf = self.lookup(path).and_then(ViewEntry::shown);
        leaf.is_some_and(|leaf| leaf.inode == old.inode && leaf.seen().iter().any(|dot| old.seen.contains(dot)))
    }

    /// The inodes shown at a directory's path, if it is still the directory that was synced.
    fn dir_inodes(&self, path: &FolderPath, synced: Inode) -> Vec<Inode> {
        match self.lookup(path) {
            Some(ViewEntry::Dir { inodes }) if inodes.contains(&synced) => inodes.clone(),
            _ => Vec::new(),
        }
    }

    /// New files that are really old ones under a new name: equal content, the same file of the disk first.
    /// `to -> (from, whether only one of several versions moves)`.
    pub(super) fn pair_renames(
        &self,
        found: &BTreeMap<FolderPath, Found>,
        gone: &BTreeSet<FolderPath>,
    ) -> BTreeMap<FolderPath, (FolderPath, bool)> {
        let mut free: BTreeMap<(Kind, [u8; 32]), Vec<&FolderPath>> = BTreeMap::new();
        let mut by_id: BTreeMap<(Kind, FileId), &FolderPath> = BTreeMap::new();
        for path in gone {
            if let Some(s) = self.synced.get(path).filter(|s| s.kind != Kind::Dir) {
                free.entry((s.kind, s.digest)).or_default().push(path);
                by_id.insert((s.kind, s.id), path);
            }
        }
        let mut taken: BTreeSet<&FolderPath> = BTreeSet::new();
        let mut pairs = BTreeMap::new();
        for (to, what) in found {
            let Found::Leaf(kind, stamp, body) = what else { continue };
            if self.synced.contains_key(to) || self.lookup(to).is_some() {
                continue;
            }
            // With other content it is more likely another file: disks give the number of one that was deleted to the next that is made,
            // and what others do to the deleted one must not come to the new one. Who really moved and edited it loses no version.
            let same_content =
                |path: &&FolderPath| self.synced.get(*path).is_some_and(|s| s.digest == body.plain_digest);
            let same_file = by_id.get(&(*kind, stamp.id)).copied().filter(same_content);
            let equal_file = || free.get(&(*kind, body.plain_digest))?.iter().copied().find(|p| !taken.contains(*p));
            let from = match same_file.filter(|p| !taken.contains(*p)) {
                Some(from) => Some(from),
                None if body.size > 0 => equal_file(),
                None => None,
            };
            if let Some(from) = from {
                taken.insert(from);
                pairs.insert(to.clone(), (from.clone(), self.shares_item(from)));
            }
        }
        pairs
    }

    /// Whether the item behind a path shows other versions beside this one.
    fn shares_item(&self, path: &FolderPath) -> bool {
        self.synced.get(path).is_some_and(|s| {
            self.commit.state().get(&s.inode).is_some_and(|item| item.body.iter().any(|(dot, _)| !s.seen.contains(dot)))
        })
    }

    pub(super) fn dir(&mut self, path: &FolderPath, id: FileId) {
        match self.synced.get(path).map(|old| (old.kind, old.inode)) {
            None | Some((Kind::Dir, Inode::ZERO)) => {}
            Some((Kind::Dir, inode)) => return self.set(path, Synced::dir(inode, id)),
            Some(_) => self.remove(path),
        }
        let Some(name) = path.name() else { return };
        let inode = match self.lookup(path) {
            Some(ViewEntry::Dir { inodes }) => inodes[0],
            _ => {
                self.changed += 1;
                let parent = self.parent(path);
                self.commit.make_dir(parent, &name)
            }
        };
        self.set(path, Synced::dir(inode, id));
    }

    pub(super) fn leaf(&mut self, path: &FolderPath, kind: Kind, stamp: Stamp, body: Body) {
        let digest = body.plain_digest;
        let behind = match self.synced.get(path).cloned() {
            Some(old) if old.kind == kind => {
                let untouched = old.digest == digest
                    && old
                        .stamp
                        .is_none_or(|s| s.executable == stamp.executable && same_time(s.mtime_ns, stamp.mtime_ns));
                if untouched {
                    Behind { inode: old.inode, seen: old.seen.clone(), twins: old.twins.clone() }
                } else if let Some(there) = self.shown_already(path, kind, &body) {
                    // Written by us before a stop that lost the memory of it, or by the person to the same effect.
                    if !self.first_look && !self.was_set_aside(&old) && old.digest != digest {
                        let replaced = self.replaced(&old);
                        self.commit.remove(old.inode, &replaced);
                        self.remove_twins(&old);
                    }
                    there
                } else if self.was_set_aside(&old) {
                    // A step of an earlier run put something else here. If it is that no more, somebody edited it since.
                    match self.is_known(path, kind, &stamp, &body) {
                        true => Behind { inode: old.inode, seen: SmallVec::new(), twins: Vec::new() },
                        false => {
                            let old = Arc::unwrap_or_clone(old);
                            self.edit(path, &Synced { seen: SmallVec::new(), twins: Vec::new(), ..old }, body)
                        }
                    }
                } else {
                    self.edit(path, &old, body)
                }
            }
            Some(old) if self.was_set_aside(&old) && self.is_known(path, kind, &stamp, &body) => {
                let nobodys = Behind { inode: Inode::ZERO, seen: SmallVec::new(), twins: Vec::new() };
                self.shown_already(path, kind, &body).unwrap_or(nobodys)
            }
            old => {
                if old.is_some() {
                    self.remove(path);
                }
                self.create(path, kind, body)
            }
        };
        self.set(path, behind.synced(kind, stamp, digest));
    }

    /// What stands behind a path that shows this very value; or would, had the directory it lies in been moved here as it was in the folder.
    pub(super) fn shown_already(&self, path: &FolderPath, kind: Kind, body: &Body) -> Option<Behind> {
        let in_its_dir = || {
            let dir = self.view.dir_path(&self.parent(path))?;
            self.view.lookup(&dir.join(&path.name()?))
        };
        let is_it = |leaf: &&Shown| {
            shown(self.commit.state(), &leaf.inode, &leaf.dot).is_some_and(|(k, b)| k == kind && b.same_value(body))
        };
        let here = self.lookup(path).and_then(ViewEntry::shown).filter(is_it);
        let leaf = here.or_else(|| in_its_dir()?.shown().filter(is_it))?;
        Some(Behind { inode: leaf.inode, seen: leaf.seen().into(), twins: leaf.twins.clone() })
    }

    /// A file that came along with its directory. It is read after all if it is not what is known there, or if the folder
    /// lost it by a commit of an earlier run that was published and not remembered (K5).
    pub(super) fn same(&mut self, path: FolderPath, stamp: Stamp) {
        let known = self.synced.get(&path).filter(|s| s.stamp == Some(stamp));
        let alive = |s: &Synced| {
            self.commit.state().get(&s.inode).is_some_and(|item| item.body.iter().any(|(dot, _)| s.seen.contains(dot)))
        };
        if !known.is_some_and(|s| !self.first_look || alive(s)) {
            self.unset(&path);
            self.again.push(path);
        }
    }

    fn edit(&mut self, path: &FolderPath, old: &Synced, body: Body) -> Behind {
        if self.commit.edit(old.inode, &self.replaced(old), body.clone()).is_err() {
            // Deleted by somebody who had not seen this edit: the edit wins, as a new item.
            return self.create(path, old.kind, body);
        }
        let written = self.wrote(old.inode);
        self.remove_twins(old);
        written
    }

    /// The values that something else at their place does away with.
    fn replaced(&self, old: &Synced) -> SmallVec<[Dot; 1]> {
        let stays = |dot: &Dot| self.stands_twice(old) || self.arrived.contains(&(old.inode, *dot));
        self.seen_there_only(old).into_iter().filter(|dot| !stays(dot)).collect()
    }

    /// What stands behind a path that was just written.
    fn wrote(&mut self, inode: Inode) -> Behind {
        self.changed += 1;
        Behind { inode, seen: smallvec![self.commit.dot()], twins: Vec::new() }
    }

    fn remove_twins(&mut self, old: &Synced) {
        for (inode, dot) in &old.twins {
            self.commit.remove(*inode, &[*dot]);
        }
    }

    fn create(&mut self, path: &FolderPath, kind: Kind, body: Body) -> Behind {
        if let Some(there) = self.shown_already(path, kind, &body) {
            return there;
        }
        let there = self.lookup(path).and_then(ViewEntry::shown).map(|leaf| (leaf.inode, leaf.dot));
        if let Some((inode, dot)) = there.filter(|_| self.first_look && !Guard::JoinedFilesStay.stands()) {
            return Behind { inode, seen: smallvec![dot], twins: Vec::new() };
        }
        let seen = there.map(|(_, dot)| dot).filter(|_| !Guard::FoundReplacesNothing.stands());
        if let Some((inode, dot)) = there
            && shown(self.commit.state(), &inode, &dot).is_some_and(|(k, _)| k == kind)
            // Written by somebody else and not seen here yet: both stay, as versions of one file.
            && self.commit.edit(inode, seen.as_slice(), body.clone()).is_ok()
        {
            return self.wrote(inode);
        }
        let parent = self.parent(path);
        let name = path.name().expect("only the root has no name, and the root is no file");
        let inode = self.commit.create(parent, &name, kind, body);
        self.wrote(inode)
    }

    pub(super) fn rename(
        &mut self,
        from: &FolderPath,
        split: bool,
        to: &FolderPath,
        kind: Kind,
        stamp: Stamp,
        body: Body,
    ) {
        let (Some(old), Some(name)) = (self.unset(from), to.name()) else { return };
        let parent = self.parent(to);
        let moved = if split {
            self.commit.split_off(old.inode, &old.seen, parent, &name)
        } else {
            self.commit.rename(old.inode, parent, &name).map(|()| old.inode)
        };
        let moved = moved.map(|inode| match inode == old.inode {
            // As a whole: also if the other versions went in this very batch.
            true => {
                self.changed += 1;
                Behind { inode, seen: old.seen.clone(), twins: Vec::new() }
            }
            false => self.wrote(inode),
        });
        let Ok(mut behind) = moved else {
            // Gone meanwhile: what the person has under the new name is a new file.
            self.leaf(to, kind, stamp, body);
            return;
        };
        self.note_move(to);
        self.remove_twins(&old);
        let edited = old.digest != body.plain_digest
            || old.stamp.is_some_and(|s| s.executable != stamp.executable || !same_time(s.mtime_ns, stamp.mtime_ns));
        let digest = body.plain_digest;
        if edited && self.commit.edit(behind.inode, &behind.seen, body).is_ok() {
            behind = self.wrote(behind.inode);
        }
        self.set(to, behind.synced(kind, stamp, digest));
    }

    /// Whether the deletion of a path that is gone is to be told: see [`Self::remove`].
    pub(super) fn is_to_be_removed(&self, path: &FolderPath) -> bool {
        let Some(old) = self.synced.get(path).filter(|old| !self.was_set_aside(old)) else { return false };
        let is_shown = match old.kind {
            Kind::Dir => !self.dir_inodes(path, old.inode).is_empty(),
            _ => self.is_shown(path, old),
        };
        !self.first_look || is_shown || self.is_nowhere(old)
    }

    /// Whether the first look saw that a file is not where others moved it either. Its bytes may be on no disk any more: shown again, it would
    /// be waited for by everybody.
    fn is_nowhere(&self, old: &Synced) -> bool {
        let has_arrived = |dot: &Dot| self.arrived.contains(&(old.inode, *dot));
        self.saw_all && old.kind != Kind::Dir && !old.seen.iter().any(has_arrived)
    }

    /// A path is gone from the disk. At the first look after a start, only what the folder still shows at this path is
    /// deleted, and what is nowhere: what others moved meanwhile may have been moved here too, by a step that a stop kept from being
    /// remembered (K5).
    pub(super) fn remove(&mut self, path: &FolderPath) {
        let Some(old) = self.synced.get(path).cloned() else { return };
        if self.was_set_aside(&old) {
            return drop(self.unset(path));
        }
        self.removed += 1;
        if old.kind == Kind::Dir {
            let shown = self.dir_inodes(path, old.inode);
            if !shown.is_empty() {
                self.remove_hidden_links(path);
            }
            for inode in shown {
                self.commit.trash_dir(inode);
            }
        } else if !self.stands_twice(&old) && self.is_to_be_removed(path) {
            self.commit.remove(old.inode, &self.seen_there_only(&old));
            self.remove_twins(&old);
        }
        self.unset(path);
    }
}

/// What stands at how many places. At two, what happens to one place must not touch the other.
#[derive(Default)]
struct Places {
    /// A content of an item: a deletion or edit would take along all that equals what was seen.
    of_content: BTreeMap<(Inode, [u8; 32]), u32>,
    /// A value that was seen. A file that is caught in the middle of a move shows at two, at one of them as it was before an edit:
    /// both are written by one dot.
    of_value: BTreeMap<(Inode, Dot), u32>,
}

impl Places {
    fn of<'s>(entries: impl Iterator<Item = &'s Arc<Synced>>) -> Self {
        let mut places = Self::default();
        entries.for_each(|entry| places.add(entry));
        places
    }

    fn add(&mut self, entry: &Synced) {
        *self.of_content.entry((entry.inode, entry.digest)).or_insert(0) += 1;
        for dot in &entry.seen {
            *self.of_value.entry((entry.inode, *dot)).or_insert(0) += 1;
        }
    }

    fn take(&mut self, entry: &Synced) {
        if let Some(places) = self.of_content.get_mut(&(entry.inode, entry.digest)) {
            *places -= 1;
        }
        for dot in &entry.seen {
            if let Some(places) = self.of_value.get_mut(&(entry.inode, *dot)) {
                *places -= 1;
            }
        }
    }
}

/// The values behind a path: what an edit of it replaces.
pub(super) struct Behind {
    pub(super) inode: Inode,
    pub(super) seen: SmallVec<[Dot; 1]>,
    pub(super) twins: Vec<(Inode, Dot)>,
}

impl Behind {
    pub(super) fn synced(self, kind: Kind, stamp: Stamp, digest: [u8; 32]) -> Synced {
        let Self { inode, seen, twins } = self;
        Synced { inode, kind, id: stamp.id, stamp: Some(stamp), digest, seen, twins }
    }
}
