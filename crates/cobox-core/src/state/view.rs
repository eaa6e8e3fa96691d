//! The folder as people see it: a pure function of the state (design 2.4). Concurrent moves can leave a state that is no tree;
//! it is repaired here, the same everywhere, and nothing of the repair is written back. Total: every state has a view (R10).
//!
//! The repairs, in this order: an item whose parent is absent or no directory hangs under the root; of every cycle the
//! directory with the largest `vd` hangs under the root; so does a directory that would lie too deep (`PATH_DEPTH_MAX`,
//! `PATH_BYTES_MAX`); a trashed directory shows iff something live is below; directories of one name are one; of several
//! contents under one name the oldest place and then the newest dot keeps the name, unless a directory has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cobox_proto::id::{Inode, SigKey};
use cobox_proto::limits::{PATH_BYTES_MAX, PATH_DEPTH_MAX};

use super::conflict::ConflictNames;
use super::{Body, Dot, Item, Kind, Loc, State};
use crate::path::{FolderPath, Name};

/// Everything that is shown, by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// All entries but the root.
    pub entries: BTreeMap<FolderPath, ViewEntry>,
    root: ViewEntry,
    /// Where each directory shows.
    pub(super) dirs: BTreeMap<Inode, FolderPath>,
    /// Whether something shows in the root that does not belong there.
    pub(super) strays: bool,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewEntry {
    /// A directory: the union of these, smallest first; the first takes new children.
    Dir {
        /// Sorted, never empty.
        inodes: Vec<Inode>,
    },
    /// A file.
    File(Shown),
    /// A symbolic link.
    Symlink(Shown),
}

/// Which value stands behind a path. Whoever writes this path had exactly [`Shown::seen`] and the twins before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The item.
    pub inode: Inode,
    /// The body that is shown.
    pub dot: Dot,
    /// Its plain bytes.
    pub bytes: u64,
    /// Other bodies of the item with an equal value.
    pub also: Vec<Dot>,
    /// Bodies of other items at this place with an equal value (`Commit::remove_twins`).
    pub twins: Vec<(Inode, Dot)>,
    /// Set if this is a losing side.
    pub conflict: Option<Conflict>,
}

/// What a losing side lost against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path with the name both wanted.
    pub of: FolderPath,
}

impl View {
    /// The entry at a path; the root is a directory too.
    pub fn lookup(&self, path: &FolderPath) -> Option<&ViewEntry> {
        if path.is_root() { Some(&self.root) } else { self.entries.get(path) }
    }

    /// The path at which a directory shows; the root's is the root.
    pub fn dir_path(&self, dir: &Inode) -> Option<FolderPath> {
        if *dir == Inode::ZERO { Some(FolderPath::root()) } else { self.dirs.get(dir).cloned() }
    }
}

impl ViewEntry {
    /// The value of a file or symlink.
    pub fn shown(&self) -> Option<&Shown> {
        match self {
            ViewEntry::Dir { .. } => None,
            ViewEntry::File(shown) | ViewEntry::Symlink(shown) => Some(shown),
        }
    }

    /// The directory that takes new children.
    pub fn dir(&self) -> Option<Inode> {
        match self {
            ViewEntry::Dir { inodes } => inodes.first().copied(),
            _ => None,
        }
    }
}

impl Shown {
    /// The body dots a person who has this path before them has seen.
    pub fn seen(&self) -> Vec<Dot> {
        std::iter::once(self.dot).chain(self.also.iter().copied()).collect()
    }

    /// The body that is shown.
    pub fn body<'a>(&self, state: &'a State) -> Option<&'a Body> {
        state.get(&self.inode)?.body.iter().find(|(dot, _)| *dot == self.dot).map(|(_, body)| body)
    }
}

/// Computes the view. Time and memory are linear in items and path lengths but for sorting; nothing recurses.
pub fn view(state: &State) -> View {
    let mut forest = Forest::new(state);
    forest.break_cycles();
    forest.bound_depth();
    let children = forest.visible_children();
    let strayed = |i: &u32| {
        let node = &forest.nodes[*i as usize];
        node.up == ROOT && node.loc.parent != Inode::ZERO
    };
    let strays = children.iter().any(strayed);
    let entries = forest.entries(&children);
    let shown_dirs = entries.iter().filter_map(|(path, entry)| match entry {
        ViewEntry::Dir { inodes } => Some(inodes.iter().map(|inode| (*inode, path.clone()))),
        _ => None,
    });
    let dirs = shown_dirs.flatten().collect();
    View { entries, root: ViewEntry::Dir { inodes: vec![Inode::ZERO] }, dirs, strays }
}

/// The index that stands for the root.
pub(super) const ROOT: u32 = u32::MAX;

struct Node<'a> {
    inode: Inode,
    item: &'a Item,
    loc: &'a Loc,
    /// Index of the parent.
    up: u32,
}

/// Items that can show, sorted by inode.
pub(super) struct Forest<'a> {
    state: &'a State,
    nodes: Vec<Node<'a>>,
}

/// What is yet to be put at a path.
enum Pending {
    Dir(Vec<u32>),
    Content(Kind, Shown),
}

impl<'a> Forest<'a> {
    fn new(state: &'a State) -> Self {
        let can_show = |(_, item): &(&Inode, &Arc<Item>)| item.kind == Kind::Dir || !item.body.is_empty();
        Self::of(state, state.shared().filter(can_show).map(|(inode, item)| (*inode, &**item)))
    }

    /// Of these items, which are sorted by inode.
    pub(super) fn of(state: &'a State, items: impl Iterator<Item = (Inode, &'a Item)>) -> Self {
        let node = |(inode, item): (Inode, &'a Item)| Some(Node { inode, item, loc: &item.effective()?.1, up: ROOT });
        let nodes: Vec<Node<'a>> = items.filter_map(node).collect();
        let mut forest = Self { state, nodes };
        for i in 0..forest.nodes.len() {
            let parent = forest.index_of(&forest.nodes[i].loc.parent);
            let is_dir = |p: &u32| forest.nodes[*p as usize].item.kind == Kind::Dir;
            forest.nodes[i].up = parent.filter(is_dir).unwrap_or(ROOT);
        }
        forest
    }

    pub(super) fn index_of(&self, inode: &Inode) -> Option<u32> {
        self.nodes.binary_search_by(|node| node.inode.cmp(inode)).ok().map(|i| i as u32)
    }

    /// Nodes have one parent each, so every cycle is separate and one cut opens it.
    fn break_cycles(&mut self) {
        let mut passed_by = vec![ROOT; self.nodes.len()];
        for start in 0..self.nodes.len() as u32 {
            let mut at = start;
            while at != ROOT && passed_by[at as usize] == ROOT {
                passed_by[at as usize] = start;
                at = self.nodes[at as usize].up;
            }
            if at != ROOT && passed_by[at as usize] == start {
                let cycle =
                    std::iter::successors(Some(at), |i| Some(self.nodes[*i as usize].up).filter(|up| *up != at));
                let cut = cycle.max_by_key(|i| (self.nodes[*i as usize].loc.vd, *i)).unwrap_or(at);
                self.nodes[cut as usize].up = ROOT;
            }
        }
    }

    fn bound_depth(&mut self) {
        let mut known = vec![(0, 0); self.nodes.len()];
        let mut climbed = Vec::new();
        for start in 0..self.nodes.len() as u32 {
            let mut at = start;
            while at != ROOT && known[at as usize].0 == 0 {
                climbed.push(at);
                at = self.nodes[at as usize].up;
            }
            let (mut depth, mut bytes) = if at == ROOT { (0, 0) } else { known[at as usize] };
            while let Some(i) = climbed.pop() {
                let node = &mut self.nodes[i as usize];
                let name_bytes = node.loc.name.as_str().len() + 1;
                (depth, bytes) = (depth + 1, bytes + name_bytes);
                if node.item.kind == Kind::Dir && (depth > PATH_DEPTH_MAX || bytes > PATH_BYTES_MAX) {
                    node.up = ROOT;
                    (depth, bytes) = (1, name_bytes);
                }
                known[i as usize] = (depth, bytes);
            }
        }
    }

    /// What shows, sorted by (parent, name, inode).
    fn visible_children(&self) -> Vec<u32> {
        let mut visible = vec![false; self.nodes.len()];
        for (start, node) in self.nodes.iter().enumerate() {
            if node.item.kind == Kind::Dir && node.loc.trashed {
                continue;
            }
            let mut at = start as u32;
            while at != ROOT && !visible[at as usize] {
                visible[at as usize] = true;
                at = self.nodes[at as usize].up;
            }
        }
        self.by_place((0..self.nodes.len() as u32).filter(|i| visible[*i as usize]))
    }

    fn by_place(&self, nodes: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut children: Vec<u32> = nodes.collect();
        children.sort_unstable_by_key(|i| (self.nodes[*i as usize].up, &self.nodes[*i as usize].loc.name, *i));
        children
    }

    /// What the union of `dirs` shows, if everything shows that is here.
    pub(super) fn shown_in(&self, dirs: &[u32], path: &FolderPath) -> BTreeMap<FolderPath, ViewEntry> {
        let children = self.by_place(0..self.nodes.len() as u32);
        let mut listed = Vec::new();
        self.list(dirs, path, &children, &mut listed);
        listed.into_iter().map(|(path, pending)| (path, self.entry(pending))).collect()
    }

    /// Walks down with a stack of its own. Names are in order in every directory, so paths come out in order.
    fn entries(&self, children: &[u32]) -> BTreeMap<FolderPath, ViewEntry> {
        let mut entries = Vec::with_capacity(children.len());
        let mut stack = Vec::new();
        self.list(&[ROOT], &FolderPath::default(), children, &mut stack);
        while let Some((path, pending)) = stack.pop() {
            if let Pending::Dir(dirs) = &pending {
                self.list(dirs, &path, children, &mut stack);
            }
            entries.push((path, self.entry(pending)));
        }
        entries.into_iter().collect()
    }

    fn entry(&self, pending: Pending) -> ViewEntry {
        match pending {
            Pending::Dir(dirs) => {
                ViewEntry::Dir { inodes: dirs.iter().map(|i| self.nodes[*i as usize].inode).collect() }
            }
            Pending::Content(Kind::Symlink, shown) => ViewEntry::Symlink(shown),
            Pending::Content(_, shown) => ViewEntry::File(shown),
        }
    }

    /// Pushes what is in the union of `dirs`, last name first.
    fn list(&self, dirs: &[u32], path: &FolderPath, children: &[u32], stack: &mut Vec<(FolderPath, Pending)>) {
        let below = |dir: u32| {
            let up = |i: &u32| self.nodes[*i as usize].up;
            let from = children.partition_point(|i| up(i) < dir);
            &children[from..from + children[from..].partition_point(|i| up(i) == dir)]
        };
        let name = |i: u32| &self.nodes[i as usize].loc.name;
        let united: Vec<u32>;
        let here = if let [dir] = dirs {
            below(*dir)
        } else {
            let mut all: Vec<u32> = dirs.iter().flat_map(|dir| below(*dir)).copied().collect();
            all.sort_unstable_by_key(|i| (name(*i), *i));
            united = all;
            &united
        };
        let mut listed = Vec::with_capacity(here.len());
        let mut losers: Vec<(&Name, Kind, Shown)> = Vec::new();
        for same_name in here.chunk_by(|a, b| name(*a) == name(*b)) {
            let wanted = name(same_name[0]);
            let is_dir = |i: &u32| self.nodes[*i as usize].item.kind == Kind::Dir;
            let dirs: Vec<u32> = same_name.iter().copied().filter(is_dir).collect();
            let mut values = self.distinct_values(same_name.iter().copied().filter(|i| !is_dir(i))).into_iter();
            let winner = if dirs.is_empty() {
                values.next().map(|(kind, shown)| Pending::Content(kind, shown))
            } else {
                Some(Pending::Dir(dirs))
            };
            listed.extend(winner.map(|winner| (wanted.clone(), winner)));
            losers.extend(values.map(|(kind, shown)| (wanted, kind, shown)));
        }
        if !losers.is_empty() {
            losers.sort_unstable_by_key(|(wanted, _, shown)| (shown.dot, shown.inode, *wanted));
            let mut names = ConflictNames::new(here.iter().map(|i| name(*i)));
            for (wanted, kind, mut shown) in losers {
                let mtime_ns = shown.body(self.state).map_or(0, |body| body.mtime_ns);
                let name = names.next(wanted, &self.device(&shown.dot), mtime_ns);
                shown.conflict = Some(Conflict { of: path.join(wanted) });
                listed.push((name, Pending::Content(kind, shown)));
            }
            listed.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        stack.extend(listed.into_iter().rev().map(|(name, pending)| (path.join(&name), pending)));
    }

    /// The different contents of files and symlinks that want one name, in the order in which they may have it.
    fn distinct_values(&self, items: impl Iterator<Item = u32>) -> Vec<(Kind, Shown)> {
        let mut items: Vec<u32> = items.collect();
        let one = |inode, dot, body: &Body| {
            let bytes = body.size;
            Shown { inode, dot, bytes, also: Vec::new(), twins: Vec::new(), conflict: None }
        };
        if let [only] = items[..]
            && let Node { inode, item, .. } = self.nodes[only as usize]
            && let [(dot, body)] = &item.body[..]
        {
            // Nearly every file, and the rest costs three allocations.
            return vec![(item.kind, one(inode, *dot, body))];
        }
        items.sort_unstable_by_key(|i| (self.nodes[*i as usize].loc.vd, *i));
        let mut values: Vec<(Kind, Shown)> = Vec::new();
        let mut at = BTreeMap::new();
        for i in items {
            let Node { inode, item, .. } = self.nodes[i as usize];
            for (dot, body) in item.body.iter().rev() {
                let index = *at.entry((item.kind, body.value())).or_insert(values.len());
                match values.get_mut(index) {
                    Some((_, shown)) if shown.inode == inode => shown.also.push(*dot),
                    Some((_, shown)) => shown.twins.push((inode, *dot)),
                    None => values.push((item.kind, one(inode, *dot, body))),
                }
            }
        }
        values
    }

    fn device(&self, dot: &Dot) -> SigKey {
        self.state.ctx.get(&dot.actor).map_or(SigKey::ZERO, |row| row.device)
    }
}
