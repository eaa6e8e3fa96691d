//! Compares what the folder should show (the view) with what the disk last agreed on (the synced tree) and names the next
//! steps. A pure function of the two: nothing is queued or remembered, so a plan can always be made again. Steps of one
//! plan do not depend on each other; what must wait (children of a directory about to move) comes with the next plan.

use std::collections::BTreeMap;

use cobox_proto::id::Inode;

use super::io::{Step, Synced};
use crate::path::FolderPath;
use crate::state::{Body, Dot, Kind, Shown, State, View, ViewEntry};

/// A plan.
#[derive(Debug, Default)]
pub struct Plan {
    /// What to do now.
    pub steps: Vec<Step>,
    /// Paths that are right already, with what the synced tree should say of them.
    pub adopt: Vec<(FolderPath, Synced)>,
    /// Files that still have to be written, here or later.
    pub pending_files: u64,
    /// Their bytes.
    pub pending_bytes: u64,
}

/// The file or symlink a view entry shows.
pub fn shown<'s>(state: &'s State, inode: &Inode, dot: &Dot) -> Option<(Kind, &'s Body)> {
    let item = state.get(inode)?;
    let body = item.body.iter().find(|(d, _)| d == dot)?;
    Some((item.kind, &body.1))
}

/// Whether two modification times are the same for people: a FAT disk keeps 2 s.
pub fn same_time(a_ns: i64, b_ns: i64) -> bool {
    a_ns.abs_diff(b_ns) < 2_000_000_000
}

/// Plans at most `steps_max` steps; `skip` names paths that have a step under way or must wait.
pub fn plan(
    view: &View,
    state: &State,
    synced: &BTreeMap<FolderPath, Synced>,
    skip: &dyn Fn(&FolderPath) -> bool,
    steps_max: usize,
) -> Plan {
    let mut plan = Plan::default();
    let moved = moved_items(view, synced);
    if let Some(step) = next_dir_rename(view, synced, &moved, skip) {
        plan.steps.push(step);
        return plan;
    }
    for (path, entry) in &view.entries {
        match entry {
            ViewEntry::Dir { .. } => plan_dir(&mut plan, path, synced, skip),
            ViewEntry::File(leaf) | ViewEntry::Symlink(leaf) => {
                let Some((kind, body)) = shown(state, &leaf.inode, &leaf.dot) else { continue };
                let target = Target { kind, body, leaf };
                plan_leaf(&mut plan, path, target, view, synced, &moved, skip, steps_max);
            }
        }
    }
    plan_removals(&mut plan, view, synced, skip, steps_max);
    plan
}

struct Target<'s> {
    kind: Kind,
    body: &'s Body,
    leaf: &'s Shown,
}

/// Where items stand on disk that the view shows somewhere else: the sources of renames. Empty when nothing moved.
fn moved_items<'a>(view: &View, synced: &'a BTreeMap<FolderPath, Synced>) -> BTreeMap<Inode, &'a FolderPath> {
    let stays = |path: &FolderPath, old: &Synced| match view.lookup(path) {
        Some(ViewEntry::Dir { inodes }) => inodes.contains(&old.inode),
        Some(ViewEntry::File(leaf) | ViewEntry::Symlink(leaf)) => leaf.inode == old.inode,
        None => false,
    };
    synced.iter().filter(|(path, old)| !stays(path, old)).map(|(path, old)| (old.inode, path)).collect()
}

fn next_dir_rename(
    view: &View,
    synced: &BTreeMap<FolderPath, Synced>,
    moved: &BTreeMap<Inode, &FolderPath>,
    skip: &dyn Fn(&FolderPath) -> bool,
) -> Option<Step> {
    if moved.is_empty() {
        return None;
    }
    view.entries.iter().find_map(|(to, entry)| {
        let ViewEntry::Dir { inodes } = entry else { return None };
        if synced.contains_key(to) || skip(to) || !has_parent(synced, to) {
            return None;
        }
        let from = inodes.iter().filter_map(|inode| moved.get(inode)).find(|from| {
            synced.get(**from).is_some_and(|old| old.kind == Kind::Dir) && !to.starts_with(from) && !skip(from)
        })?;
        Some(Step::RenameDir { from: (*from).clone(), to: to.clone() })
    })
}

fn has_parent(synced: &BTreeMap<FolderPath, Synced>, path: &FolderPath) -> bool {
    match path.parent() {
        None => true,
        Some(parent) => parent.is_root() || synced.get(&parent).is_some_and(|s| s.kind == Kind::Dir),
    }
}

fn plan_dir(
    plan: &mut Plan,
    path: &FolderPath,
    synced: &BTreeMap<FolderPath, Synced>,
    skip: &dyn Fn(&FolderPath) -> bool,
) {
    match synced.get(path) {
        Some(old) if old.kind == Kind::Dir => {}
        Some(old) => {
            if let (Some(expect), false) = (old.stamp, skip(path)) {
                plan.steps.push(Step::Remove { path: path.clone(), expect });
            }
        }
        None if skip(path) || !has_parent(synced, path) => {}
        None => plan.steps.push(Step::MakeDir { path: path.clone() }),
    }
}

#[allow(clippy::too_many_arguments)] // one pass over the view; a struct for its fixed inputs would only rename them
fn plan_leaf(
    plan: &mut Plan,
    path: &FolderPath,
    target: Target<'_>,
    view: &View,
    synced: &BTreeMap<FolderPath, Synced>,
    moved: &BTreeMap<Inode, &FolderPath>,
    skip: &dyn Fn(&FolderPath) -> bool,
    steps_max: usize,
) {
    let old = synced.get(path);
    if let Some(old) = old
        && old.kind == target.kind
        && old.digest == target.body.plain_digest
    {
        settle_equal_content(plan, path, old, &target, skip);
        return;
    }
    plan.pending_files += 1;
    plan.pending_bytes += target.body.size;
    if plan.steps.len() >= steps_max || skip(path) || !has_parent(synced, path) {
        return;
    }
    match old {
        Some(old) if old.kind == Kind::Dir => plan.steps.push(Step::RemoveDir { path: path.clone() }),
        Some(old) => plan.steps.push(write(path, &target, old.stamp)),
        None => {
            let source = moved.get(&target.leaf.inode).and_then(|from| synced.get(*from).map(|s| (*from, s)));
            match source {
                Some((from, s))
                    if s.kind == target.kind
                        && s.digest == target.body.plain_digest
                        && view.lookup(from).is_none()
                        && !skip(from)
                        && s.stamp.is_some() =>
                {
                    if let Some(expect) = s.stamp {
                        plan.steps.push(Step::RenameFile { from: from.clone(), to: path.clone(), expect });
                    }
                }
                _ => plan.steps.push(write(path, &target, None)),
            }
        }
    }
}

fn write(path: &FolderPath, target: &Target<'_>, expect: Option<super::Stamp>) -> Step {
    Step::Write { path: path.clone(), kind: target.kind, body: Box::new(target.body.clone()), expect }
}

/// Same bytes: at most the time, the bit or the knowledge of who wrote them differ.
fn settle_equal_content(
    plan: &mut Plan,
    path: &FolderPath,
    old: &Synced,
    target: &Target<'_>,
    skip: &dyn Fn(&FolderPath) -> bool,
) {
    if let Some(expect) = old.stamp
        && old.kind == Kind::File
        && (expect.executable != target.body.executable || !same_time(expect.mtime_ns, target.body.mtime_ns))
    {
        if !skip(path) {
            let (mtime_ns, executable) = (target.body.mtime_ns, target.body.executable);
            plan.steps.push(Step::SetMeta { path: path.clone(), mtime_ns, executable, expect });
        }
        return;
    }
    let seen = target.leaf.seen();
    if old.inode != target.leaf.inode || old.seen[..] != seen[..] || old.twins != target.leaf.twins {
        let (inode, twins) = (target.leaf.inode, target.leaf.twins.clone());
        plan.adopt.push((path.clone(), Synced { inode, seen: seen.into(), twins, ..old.clone() }));
    }
}

fn plan_removals(
    plan: &mut Plan,
    view: &View,
    synced: &BTreeMap<FolderPath, Synced>,
    skip: &dyn Fn(&FolderPath) -> bool,
    steps_max: usize,
) {
    let mut last_kept: Option<&FolderPath> = None;
    for (path, old) in synced.iter().rev() {
        let kept_below = last_kept.is_some_and(|kept| kept.starts_with(path));
        if view.lookup(path).is_some() || skip(path) {
            last_kept = Some(path);
            continue;
        }
        if plan.steps.len() >= steps_max {
            return;
        }
        match (old.kind, old.stamp) {
            (Kind::Dir, _) if !kept_below => plan.steps.push(Step::RemoveDir { path: path.clone() }),
            (Kind::Dir, _) => last_kept = Some(path),
            (_, Some(expect)) => {
                plan.steps.push(Step::Remove { path: path.clone(), expect });
                last_kept = Some(path);
            }
            (_, None) => {}
        }
    }
}
