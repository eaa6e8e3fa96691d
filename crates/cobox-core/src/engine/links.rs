//! Links that would lead outside from where the folder shows them: they stand on no disk, and before a directory moves to where one of
//! those below it would do so, that one is taken away (L8, X2).
//!
//! What must hold: a link that the program writes, or leaves standing, stays inside at every moment. Nothing is forgotten by it: the text of a
//! link is in the state, and it is written again where it leads inside.

use std::collections::BTreeMap;
use std::sync::Arc;

use cobox_proto::id::Inode;

use super::io::{Stamp, Step, Synced};
use super::plan::{self, Planner};
use super::writing::Writing;
use super::{Engine, StepId};
use crate::path::FolderPath;
use crate::state::{Body, Content, Dot, Kind, State, ViewEntry};
use crate::symlink::stays_inside;

/// How many links that lead outside are told by name.
const NAMED_MAX: usize = 1_000;

/// The text of a link.
fn text(body: &Body) -> Option<&str> {
    match &body.content {
        Content::Inline(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// Whether this is a link that leads outside from this place. What is no text can not be written at all, and whoever tries says so.
pub(super) fn leads_outside(state: &State, path: &FolderPath, entry: &ViewEntry) -> bool {
    let ViewEntry::Symlink(leaf) = entry else { return false };
    leaf.body(state).and_then(text).is_some_and(|text| !stays_inside(path, text))
}

/// Whether a known link would lead outside from a place. One whose text the state has no more is cleared away soon, and is not taken along.
fn would_lead_outside(state: &State, known: &Synced, there: &FolderPath) -> bool {
    let bodies = state.get(&known.inode).map(|item| &item.body[..]).unwrap_or_default();
    let body = bodies.iter().map(|(_, body)| body).find(|body| body.plain_digest == known.digest);
    !body.and_then(text).is_some_and(|text| stays_inside(there, text))
}

impl Planner<'_> {
    /// The links below a directory that would lead outside once it has moved, as they stand on the disk now. Those whose deletion waits for a
    /// person are gone from it.
    pub(super) fn led_outside(&self, from: &FolderPath, to: &FolderPath) -> Vec<(FolderPath, Stamp)> {
        let below = self.synced.range::<FolderPath, _>(from..).take_while(|(path, _)| path.starts_with(from));
        let is_held = |known: &Synced| known.seen.iter().any(|dot| self.held.contains(&(known.inode, *dot)));
        below
            .filter(|(_, known)| known.kind == Kind::Symlink && !is_held(known))
            .filter(|(path, known)| {
                path.rebased(from, to).is_none_or(|there| would_lead_outside(self.state, known, &there))
            })
            .filter_map(|(path, known)| Some((path.clone(), known.stamp?)))
            .collect()
    }

    /// Whether such a link is just being written there, or can not be taken away now.
    pub(super) fn waits_for_links(&self, from: &FolderPath, to: &FolderPath) -> bool {
        let is_coming = |(path, text): &(FolderPath, String)| {
            path.rebased(from, to).is_some_and(|there| !stays_inside(&there, text))
        };
        self.linking.iter().any(is_coming) || self.led_outside(from, to).iter().any(|(path, _)| (self.skip)(path))
    }
}

impl Writing<'_> {
    /// Links that would lead outside stand on no disk. Whoever deletes the directory deletes them with it, or it would come back for them.
    pub(super) fn remove_hidden_links(&mut self, dir: &FolderPath) {
        let below = self.view.entries.range::<FolderPath, _>(dir..).take_while(|(path, _)| path.starts_with(dir));
        let hidden: Vec<(Inode, Vec<Dot>)> = below
            .filter(|(path, entry)| {
                path.parent().as_ref() == Some(dir) && leads_outside(self.commit.state(), path, entry)
            })
            .filter_map(|(_, entry)| entry.shown().map(|leaf| (leaf.inode, leaf.seen())))
            .collect();
        for (inode, seen) in hidden {
            self.commit.remove(inode, &seen);
        }
    }
}

/// The links that steps under way bring to a place, and their texts.
pub(super) fn linking(
    jobs: &BTreeMap<StepId, Step>,
    synced: &BTreeMap<FolderPath, Arc<Synced>>,
    state: &State,
) -> Vec<(FolderPath, String)> {
    let coming = jobs.values().filter_map(|step| match step {
        Step::Write { path, kind: Kind::Symlink, body, .. } => Some((path.clone(), text(body)?.to_owned())),
        Step::RenameFile { from, to, .. } => {
            let known = synced.get(from).filter(|known| known.kind == Kind::Symlink)?;
            let (_, body) = known.seen.iter().find_map(|dot| plan::shown(state, &known.inode, dot))?;
            Some((to.clone(), text(body)?.to_owned()))
        }
        _ => None,
    });
    coming.collect()
}

impl Engine {
    /// The links that the folder has and no disk, since they would lead outside; the first [`NAMED_MAX`], and how many more there are.
    pub(super) fn links_outside(&self) -> (Vec<FolderPath>, u64) {
        let outside = &self.figures.outside;
        let named = outside.iter().take(NAMED_MAX).filter(|path| !self.is_ignored(path, Kind::Symlink));
        (named.cloned().collect(), outside.len().saturating_sub(NAMED_MAX) as u64)
    }
}
