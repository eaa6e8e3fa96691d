//! Brings a view up to date after a small change, at the cost of the directories it touches instead of the whole folder: one saved
//! file must not cost a look at a hundred thousand others.
//!
//! What must hold: the view is the one that [`view`](super::view) computes of the state, entry by entry. Where that takes more than
//! listing some directories anew (a directory moved, was deleted, came back or shares a name; something hangs where its place does not say)
//! the caller computes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use cobox_proto::id::Inode;
use cobox_proto::limits::{PATH_BYTES_MAX, PATH_DEPTH_MAX};

use super::view::{Forest, ROOT};
use super::{Kind, State, Touched, View, ViewEntry};
use crate::path::FolderPath;

/// Changes of more items than this part of a folder are computed anew ...
const SHARE: usize = 8;
/// ... if they are more than this.
const ITEMS_MIN: usize = 64;

/// What stood before at each path that shows something else now.
pub type Changed = BTreeMap<FolderPath, Option<ViewEntry>>;

impl View {
    /// Brings the view of a state to that state after a change of the items in `touched`. Returns what was shown before at each path that
    /// changed; `None` if it takes a new view, and then nothing was done.
    pub fn update(&mut self, state: &State, touched: &Touched) -> Option<Changed> {
        let Change { now, fresh } = Change::of(self, state, touched)?;
        let mut before = Changed::new();
        for (path, entry) in now {
            let old = match entry {
                Some(entry) => self.entries.insert(path.clone(), entry),
                None => self.entries.remove(&path),
            };
            before.insert(path, old);
        }
        self.dirs.extend(fresh);
        Some(before)
    }
}

/// What shows otherwise.
struct Change {
    /// Paths that show something else, or nothing more.
    now: BTreeMap<FolderPath, Option<ViewEntry>>,
    /// New directories.
    fresh: BTreeMap<Inode, FolderPath>,
}

impl Change {
    fn of(view: &View, state: &State, touched: &Touched) -> Option<Self> {
        if view.strays || touched.len() > ITEMS_MIN.max(view.entries.len() / SHARE) {
            return None;
        }
        let mut new_dirs = BTreeSet::new();
        let mut parents = BTreeSet::new();
        for (inode, before) in touched.iter() {
            let now = state.get(inode);
            let is_dir = now.is_some_and(|item| item.kind == Kind::Dir);
            if view.dirs.contains_key(inode) || is_dir && !is_new_dir(state, touched, inode, before.is_some()) {
                return None;
            }
            if is_dir {
                new_dirs.insert(*inode);
            }
            let now = now.and_then(|item| item.key(*inode));
            parents.extend([*before, now].into_iter().flatten().map(|key| key.parent));
        }
        let mut change = Self { now: BTreeMap::new(), fresh: BTreeMap::new() };
        let mut listed = BTreeSet::new();
        for parent in parents.difference(&new_dirs) {
            let path = if *parent == Inode::ZERO { FolderPath::root() } else { view.dirs.get(parent)?.clone() };
            if listed.insert(path.clone()) {
                change.list(view, state, &new_dirs, path)?;
            }
        }
        // One that was not reached hangs below something that does not show.
        (change.fresh.len() == new_dirs.len()).then_some(change)
    }

    /// Compares what a directory shows with what it should, and goes on into those that are new.
    fn list(&mut self, view: &View, state: &State, new_dirs: &BTreeSet<Inode>, top: FolderPath) -> Option<()> {
        let inodes = shown_dir(view, state, &top)?;
        let mut todo = vec![(top, inodes)];
        while let Some((path, inodes)) = todo.pop() {
            let shows = |inode: &Inode| view.dirs.contains_key(inode) || new_dirs.contains(inode);
            let mut now = Forest::of_directory(state, &inodes, &shows).listing(&inodes, &path);
            for (child, before) in children(view, &path) {
                match (before, now.remove(child)) {
                    (before, Some(entry)) if *before == entry => {}
                    // Several directories of one name are one, and all below them is to be put together anew.
                    (ViewEntry::Dir { .. }, _) => return None,
                    (_, entry) => {
                        self.note(child, entry, new_dirs, &mut todo)?;
                    }
                }
            }
            for (child, entry) in now {
                self.note(&child, Some(entry), new_dirs, &mut todo)?;
            }
        }
        Some(())
    }

    fn note(
        &mut self,
        path: &FolderPath,
        entry: Option<ViewEntry>,
        new_dirs: &BTreeSet<Inode>,
        todo: &mut Vec<(FolderPath, Vec<Inode>)>,
    ) -> Option<()> {
        if let Some(ViewEntry::Dir { inodes }) = &entry {
            let is_too_deep = path.depth() > PATH_DEPTH_MAX || path.as_str().len() + 1 > PATH_BYTES_MAX;
            if is_too_deep || !inodes.iter().all(|inode| new_dirs.contains(inode)) {
                return None;
            }
            self.fresh.extend(inodes.iter().map(|inode| (*inode, path.clone())));
            todo.push((path.clone(), inodes.clone()));
        }
        self.now.insert(path.clone(), entry);
        Some(())
    }
}

/// Whether a directory is one that nobody knew before, with nothing in it that was there before.
fn is_new_dir(state: &State, touched: &Touched, inode: &Inode, was_there: bool) -> bool {
    let is_trashed = state.get(inode).and_then(|item| item.effective()).is_none_or(|(_, place)| place.trashed);
    !was_there && !is_trashed && state.children(inode).all(|child| touched.contains(&child))
}

/// The inodes of a directory that shows for its own sake, as do all above it: then what shows in it follows from what is in it.
fn shown_dir(view: &View, state: &State, path: &FolderPath) -> Option<Vec<Inode>> {
    for dir in path.descent() {
        let ViewEntry::Dir { inodes } = view.lookup(&dir)? else { return None };
        let lives =
            |inode: &Inode| state.get(inode).and_then(|item| item.effective()).is_some_and(|(_, place)| !place.trashed);
        if !inodes.iter().all(lives) {
            return None;
        }
    }
    match view.lookup(path)? {
        ViewEntry::Dir { inodes } => Some(inodes.clone()),
        _ => None,
    }
}

/// What a view shows in a directory. What lies deeper is jumped over.
fn children<'v>(view: &'v View, dir: &FolderPath) -> impl Iterator<Item = (&'v FolderPath, &'v ViewEntry)> {
    let dir = dir.clone();
    let from = |after: FolderPath| view.entries.range((Bound::Excluded(after), Bound::Unbounded));
    let (depth, mut next) = (dir.depth() + 1, from(dir.clone()));
    std::iter::from_fn(move || {
        loop {
            let (path, entry) = next.next().filter(|(path, _)| path.starts_with(&dir))?;
            if path.depth() > depth {
                continue;
            }
            if entry.dir().is_some() {
                next = from(path.end_of_below());
            }
            return Some((path, entry));
        }
    })
}

impl<'a> Forest<'a> {
    /// What is in the union of some directories, and nothing else; `shows` tells which directories in it do.
    fn of_directory(state: &'a State, dirs: &[Inode], shows: &dyn Fn(&Inode) -> bool) -> Self {
        let is_root = dirs == [Inode::ZERO];
        let inside = dirs.iter().flat_map(|dir| state.children(dir)).filter(|inode| {
            state.get(inode).is_some_and(|item| match item.kind {
                Kind::Dir => shows(inode),
                _ => !item.body.is_empty(),
            })
        });
        let mut inodes: Vec<Inode> = inside.chain(dirs.iter().copied().filter(|_| !is_root)).collect();
        inodes.sort_unstable();
        inodes.dedup();
        Self::of(state, inodes.into_iter().filter_map(|inode| Some((inode, state.get(&inode)?))))
    }

    /// What the union of these directories shows.
    fn listing(&self, dirs: &[Inode], path: &FolderPath) -> BTreeMap<FolderPath, ViewEntry> {
        let tops: Vec<u32> = match dirs {
            [Inode::ZERO] => vec![ROOT],
            dirs => dirs.iter().filter_map(|dir| self.index_of(dir)).collect(),
        };
        self.shown_in(&tops, path)
    }
}
