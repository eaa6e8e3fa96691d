//! What one head changed: its state compared with the join of those it rests on, so that what it only took over from others is not
//! told as its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use cobox_proto::id::{HeadId, Inode, SigKey};
use cobox_proto::limits::PATH_DEPTH_MAX;

use super::Past;
use crate::path::FolderPath;
use crate::state::{Body, Ctx, Differences, EpochDepth, Item, Kind, State};
use crate::tree::Remote;

/// What happened to a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is new.
    Created,
    /// Its content is another; or one version of several is gone.
    Edited,
    /// It has another place.
    Renamed,
    /// It is gone.
    Deleted,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What happened.
    pub change: Change,
    /// Where it is since; of what was deleted, where it was.
    pub path: FolderPath,
    /// Where it was before, if it moved.
    pub from: Option<FolderPath>,
    /// File, directory or symlink.
    pub kind: Kind,
    /// The content since; of what was deleted, the last one. None for directories.
    pub body: Option<Body>,
    /// The device that wrote it; `None` if that can not be told.
    pub device: Option<SigKey>,
}

/// What the head at `at` changed against `parents`, each told by how it differs from `at`; without any it changed all there is.
/// By path. `author`: who signed the head, if what lies between it and these parents is all theirs.
pub fn changes(at: &Past, parents: &[Remote], author: Option<SigKey>, epochs: &dyn EpochDepth) -> Vec<Entry> {
    let after = at.state();
    let differing: BTreeSet<Inode> = match parents {
        [] => after.iter().map(|(key, _)| key.inode).collect(),
        parents => parents.iter().flat_map(|parent| parent.theirs.keys().copied()).collect(),
    };
    let before = joined(after, parents, &differing, epochs);
    let was = |inode: &Inode| match differing.contains(inode) {
        true => before.get(inode),
        false => after.get(inode),
    };
    let is = |inode: &Inode| after.get(inode);
    let wrote = |item: &Item, known: Option<&Item>| {
        let known = |dot| known.is_some_and(|known| known.body.iter().any(|(old, _)| *old == dot));
        let new = item.body.iter().rev().find(|(dot, _)| !known(*dot)).map(|(dot, _)| *dot);
        let dot = new.or_else(|| item.effective().map(|(dot, _)| *dot));
        dot.and_then(|dot| after.ctx.get(&dot.actor)).map(|row| row.device)
    };
    let place = |item: &Item| item.effective().map(|(_, loc)| (loc.parent, loc.name.clone()));
    let mut entries = Vec::new();
    for inode in &differing {
        let new = after.get(inode).filter(|item| is_live(item));
        // A deleted directory that moves was shown, because somebody else had put something into it.
        let moved = |old: &Item| old.kind == Kind::Dir && new.is_some_and(|new| place(new) != place(old));
        let old = before.get(inode).filter(|item| is_live(item) || moved(item));
        match (old, new) {
            (None, None) => {}
            (None, Some(item)) => entries.push(Entry {
                change: Change::Created,
                path: path_of(&is, inode),
                from: None,
                kind: item.kind,
                body: newest(item),
                device: wrote(item, None),
            }),
            (Some(item), None) => entries.push(Entry {
                change: Change::Deleted,
                path: path_of(&was, inode),
                from: None,
                kind: item.kind,
                body: newest(item),
                device: author,
            }),
            (Some(old), Some(new)) => {
                let device = wrote(new, Some(old));
                let entry = |change, from| Entry {
                    change,
                    path: path_of(&is, inode),
                    from,
                    kind: new.kind,
                    body: newest(new),
                    device,
                };
                if place(old) != place(new) {
                    entries.push(entry(Change::Renamed, Some(path_of(&was, inode))));
                }
                if !same_content(old, new) {
                    entries.push(entry(Change::Edited, None));
                }
            }
        }
    }
    entries.sort_by(|a, b| (&a.path, a.change).cmp(&(&b.path, b.change)));
    entries
}

/// The join of the parents, at the items that differ. `after` stands for each parent where it does not differ.
fn joined(after: &State, parents: &[Remote], differing: &BTreeSet<Inode>, epochs: &dyn EpochDepth) -> State {
    let mut joined = State::new();
    for (n, parent) in parents.iter().enumerate() {
        let theirs = |inode: &Inode| match parent.theirs.get(inode) {
            Some(item) => item.clone(),
            None => after.get(inode).cloned().map(Arc::new),
        };
        let theirs: Differences = differing.iter().map(|inode| (*inode, theirs(inode))).collect();
        if n == 0 {
            theirs
                .into_iter()
                .filter_map(|(inode, item)| Some((inode, item?)))
                .for_each(|(i, item)| joined.insert(i, item));
            joined.ctx = parent.ctx.clone();
        } else {
            let no_forks: BTreeSet<HeadId> = BTreeSet::new();
            let ctx: &Ctx = &parent.ctx;
            joined.join_with(ctx, &no_forks, &theirs, epochs);
        }
    }
    joined
}

/// Whether people see it.
fn is_live(item: &Item) -> bool {
    match item.kind {
        Kind::Dir => item.effective().is_some_and(|(_, loc)| !loc.trashed),
        Kind::File | Kind::Symlink => !item.body.is_empty(),
    }
}

/// The version that keeps the name.
fn newest(item: &Item) -> Option<Body> {
    item.body.last().map(|(_, body)| body.clone())
}

/// Whether the same versions stand in both. Contents that are only sealed anew are the same.
fn same_content(a: &Item, b: &Item) -> bool {
    let same = |((a_dot, a), (b_dot, b)): (&(_, Body), &(_, Body))| {
        a_dot == b_dot || a.same_value(b) && a.mtime_ns == b.mtime_ns
    };
    a.body.len() == b.body.len() && a.body.iter().zip(&b.body).all(same)
}

/// The place of an item, climbing up from it. What hangs nowhere hangs under the root, and a circle is cut where the view cuts it.
pub(super) fn path_of<'s>(item: &dyn Fn(&Inode) -> Option<&'s Item>, inode: &Inode) -> FolderPath {
    let loc = |inode: &Inode| item(inode).and_then(Item::effective).map(|(_, loc)| loc);
    let climbed = |top: Inode| {
        let (mut names, mut at) = (Vec::new(), *inode);
        while let Some(loc) = loc(&at) {
            names.push(loc.name.clone());
            if at == top || loc.parent == Inode::ZERO || names.len() > PATH_DEPTH_MAX {
                break;
            }
            at = loc.parent;
        }
        (names, at)
    };
    let (mut names, last) = climbed(Inode::ZERO);
    if names.len() > PATH_DEPTH_MAX {
        let up = |at: &Inode| loc(at).map(|loc| loc.parent);
        let circle: Vec<Inode> =
            std::iter::successors(Some(last), |at| up(at).filter(|up| *up != last)).take(PATH_DEPTH_MAX).collect();
        if circle.last().and_then(up) == Some(last) {
            let cut = circle.into_iter().max_by_key(|at| (loc(at).map(|loc| loc.vd), *at));
            names = climbed(cut.unwrap_or(last)).0;
        }
    }
    names.reverse();
    FolderPath::new(&names)
}
