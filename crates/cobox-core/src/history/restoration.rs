//! Having an earlier state again: what the folder was at a time, and which files must be written, and which go, to have it so. What
//! is written is a new edit by whoever wants it; nothing of history changes.

use std::collections::BTreeSet;

use cobox_proto::id::HeadId;

use super::{Chronicle, Nodes, Past, PastError};
use crate::keys::FolderKeys;
use crate::path::FolderPath;
use crate::state::{Body, EpochDepth, Kind, Shown, State, View, ViewEntry, view};

/// The folder as it was.
#[derive(Debug, Clone)]
pub struct Then {
    /// The newest change in it, milliseconds since 1970.
    pub at_ms: u64,
    /// Whether it is all that stood at the time that was asked for; else an earlier state stands for one that nobody keeps.
    pub is_exact: bool,
    /// The state.
    pub state: State,
    /// What it shows.
    pub view: View,
}

/// The folder at a time: the join of what stood then. `None`: nothing stood yet, or nothing of it is kept. `past` is moved.
///
/// Errors: a state that is kept is not as it should be.
pub fn state_at(
    chronicle: &Chronicle,
    time_ms: u64,
    past: &mut Past,
    nodes: &mut dyn Nodes,
    keys: &FolderKeys,
    epochs: &dyn EpochDepth,
) -> Result<Option<Then>, PastError> {
    let mut standing: Vec<HeadId> = chronicle.standing_at(time_ms);
    standing.reverse();
    let mut seen: BTreeSet<HeadId> = BTreeSet::new();
    let mut found: Option<(u64, State)> = None;
    let mut is_exact = true;
    // The newest last on the stack; in place of one that nobody keeps, what it rests on.
    while let Some(id) = standing.pop() {
        let Some(head) = chronicle.head(&id).filter(|_| seen.insert(id)) else { continue };
        let remote = match past.differences(head.root, nodes, keys) {
            Ok(remote) => remote,
            Err(PastError::NotKept { .. }) => {
                is_exact = false;
                standing.extend(chronicle.parents(&id));
                continue;
            }
            Err(why) => return Err(why),
        };
        let at_ms = chronicle.at_ms(&id).unwrap_or(0);
        match &mut found {
            None => {
                past.become_remote(remote);
                found = Some((at_ms, past.state().clone()));
            }
            Some((newest_ms, state)) => {
                if remote.forks != state.forks {
                    // Of devices that write as one the states can not be put together without all of their heads.
                    is_exact = false;
                    continue;
                }
                // `past` stands at the first; the join so far may know more than it.
                let whole = {
                    let mut other = past.clone();
                    other.become_remote(remote);
                    other.state().clone()
                };
                state.join(&whole, epochs);
                *newest_ms = (*newest_ms).max(at_ms);
            }
        }
    }
    Ok(found.map(|(at_ms, state)| Then { at_ms, is_exact, view: view(&state), state }))
}

/// The folder as one head says it was, with all that the head rests on and nothing beside it. `None`: the head is not known, or its
/// state is kept by nobody. `past` is moved.
///
/// Two who write at the same time make two states, and the join of both, which [`state_at`] tells, shows one of them only: this has the
/// other.
///
/// Errors: the state is kept and not as it should be.
pub fn state_of(
    chronicle: &Chronicle,
    id: &HeadId,
    past: &mut Past,
    nodes: &mut dyn Nodes,
    keys: &FolderKeys,
) -> Result<Option<Then>, PastError> {
    let Some(head) = chronicle.head(id) else { return Ok(None) };
    match past.differences(head.root, nodes, keys) {
        Ok(remote) => past.become_remote(remote),
        Err(PastError::NotKept { .. }) => return Ok(None),
        Err(why) => return Err(why),
    }
    let (at_ms, state) = (chronicle.at_ms(id).unwrap_or(0), past.state().clone());
    Ok(Some(Then { at_ms, is_exact: true, view: view(&state), state }))
}

/// A version of a file or symlink at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Where.
    pub path: FolderPath,
    /// File or symlink.
    pub kind: Kind,
    /// What.
    pub body: Body,
}

/// What is to be done to have it as it was. By path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restoration {
    /// Directories that are missing; those above come first.
    pub make_dirs: Vec<FolderPath>,
    /// Files and symlinks that are missing or otherwise now.
    pub write: Vec<Version>,
    /// Files and symlinks that were not there.
    pub remove: Vec<FolderPath>,
    /// Directories that were not there, deepest first; they go if nothing is left in them.
    pub remove_dirs: Vec<FolderPath>,
    /// How many are right already.
    pub same: u64,
    /// Which of the paths that were asked for were not there then.
    pub absent: Vec<FolderPath>,
}

impl Restoration {
    /// What it takes to have `paths`, and what is below them, as they were; all if there are none. `remove`: what was not there is
    /// taken away.
    pub fn plan((now, shows): (&State, &View), then: &Then, paths: &[FolderPath], remove: bool) -> Self {
        let mut plan = Self::default();
        let is_wanted = |path: &FolderPath| paths.is_empty() || paths.iter().any(|top| path.starts_with(top));
        for (path, entry) in then.view.entries.iter().filter(|(path, _)| is_wanted(path)) {
            let there = shows.lookup(path);
            match entry {
                ViewEntry::Dir { .. } if matches!(there, Some(ViewEntry::Dir { .. })) => {}
                ViewEntry::Dir { .. } => plan.make_dirs.push(path.clone()),
                ViewEntry::File(leaf) | ViewEntry::Symlink(leaf) => {
                    let Some((kind, body)) = shown(&then.state, leaf) else { continue };
                    let is_same =
                        |leaf: &Shown| shown(now, leaf).is_some_and(|(k, is)| (k, is.same_value(body)) == (kind, true));
                    if there.and_then(ViewEntry::shown).is_some_and(is_same) {
                        plan.same += 1;
                    } else {
                        plan.write.push(Version { path: path.clone(), kind, body: body.clone() });
                    }
                }
            }
        }
        let was_there = |top: &&FolderPath| !top.is_root() && then.view.lookup(top).is_none();
        plan.absent = paths.iter().filter(was_there).cloned().collect();
        if remove {
            for (path, entry) in shows.entries.iter().rev().filter(|(path, _)| is_wanted(path)) {
                match (entry, then.view.lookup(path)) {
                    (ViewEntry::Dir { .. }, None | Some(ViewEntry::File(_) | ViewEntry::Symlink(_))) => {
                        plan.remove_dirs.push(path.clone());
                    }
                    (ViewEntry::File(_) | ViewEntry::Symlink(_), None | Some(ViewEntry::Dir { .. })) => {
                        plan.remove.push(path.clone());
                    }
                    _ => {}
                }
            }
            plan.remove.reverse();
        }
        plan
    }

    /// Bytes of what is to be written.
    pub fn write_bytes(&self) -> u64 {
        self.write.iter().map(|version| version.body.size).sum()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.make_dirs.is_empty() && self.write.is_empty() && self.remove.is_empty() && self.remove_dirs.is_empty()
    }
}

fn shown<'s>(state: &'s State, leaf: &Shown) -> Option<(Kind, &'s Body)> {
    Some((state.get(&leaf.inode)?.kind, leaf.body(state)?))
}
