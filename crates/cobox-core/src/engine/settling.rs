//! Ends a conflict as a person wants it: one version stays under the name, or each becomes a file of its own.
//!
//! What must hold: what is written replaces only the versions that were shown, as any edit does; whoever changed one of them meanwhile
//! finds that beside the settled one.

use std::collections::BTreeSet;

use cobox_proto::id::{ActorId, Inode};

use super::Engine;
use crate::path::FolderPath;
use crate::state::{Commit, Dot, Shown, ViewEntry};

/// Which of the versions stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// The one with this name.
    One(String),
    /// All, each as a file of its own.
    Each,
}

/// Why nothing was settled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// No versions stand beside each other there.
    #[error("\"{path}\" has one version only")]
    NoConflict {
        /// Where.
        path: FolderPath,
    },
    /// None of the versions is called so.
    #[error("\"{path}\" has no version {version}")]
    NoVersion {
        /// Where.
        path: FolderPath,
        /// What was asked for.
        version: String,
    },
    /// A directory has the name; it can not give way.
    #[error("a directory is called \"{path}\"; each version can only become a file of its own")]
    Directory {
        /// Where.
        path: FolderPath,
    },
    /// This device may only read.
    #[error("whoever may only read a folder can not settle a conflict in it")]
    ReadOnly,
}

/// How a version is called.
pub fn version_name(dot: &Dot) -> String {
    let actor: &ActorId = &dot.actor;
    format!("{}-{}", dot.counter, actor.short())
}

impl Engine {
    /// The versions that want the name `path`, with where they show, the one that has it first.
    pub fn versions(&self, path: &FolderPath) -> Vec<(FolderPath, Shown)> {
        let has_it = self.view.lookup(path).and_then(ViewEntry::shown).map(|leaf| (path.clone(), leaf.clone()));
        let parent = path.parent().unwrap_or_default();
        let beside = self.view.entries.range(parent.clone()..).take_while(|(at, _)| at.starts_with(&parent));
        let beside = beside.filter_map(|(at, entry)| Some((at, entry.shown()?)));
        let lost = beside.filter(|(_, leaf)| leaf.conflict.as_ref().is_some_and(|conflict| conflict.of == *path));
        has_it.into_iter().chain(lost.map(|(at, leaf)| (at.clone(), leaf.clone()))).collect()
    }

    /// Settles the conflict about a name. How many versions there were.
    pub fn settle(&mut self, now_ms: u64, path: &FolderPath, keep: &Keep) -> Result<usize, SettleError> {
        let versions = self.versions(path);
        let is_dir = matches!(self.view.lookup(path), Some(ViewEntry::Dir { .. }));
        let in_conflict = versions.len() > 1 || is_dir && !versions.is_empty();
        if !in_conflict {
            return Err(SettleError::NoConflict { path: path.clone() });
        }
        if !self.standing.can_write {
            return Err(SettleError::ReadOnly);
        }
        let count = versions.len();
        let kept = match keep {
            Keep::Each => None,
            Keep::One(_) if is_dir => return Err(SettleError::Directory { path: path.clone() }),
            Keep::One(name) => {
                let is_it = |(_, leaf): &&(FolderPath, Shown)| leaf.seen().iter().any(|dot| version_name(dot) == *name);
                let kept = versions.iter().find(is_it).map(|(_, leaf)| leaf.clone());
                Some(kept.ok_or_else(|| SettleError::NoVersion { path: path.clone(), version: name.clone() })?)
            }
        };
        let body = kept.as_ref().and_then(|kept| kept.body(&self.state)).cloned();
        let parents: Vec<Option<Inode>> =
            versions.iter().map(|(at, _)| self.view.lookup(&at.parent()?).and_then(ViewEntry::dir)).collect();
        let mut commit = Commit::new(&mut self.state, self.own.actor, self.own.device, self.keys.shape());
        match (&kept, body) {
            (Some(kept), Some(body)) => {
                let of_item: Vec<Dot> = versions
                    .iter()
                    .filter(|(_, leaf)| leaf.inode == kept.inode)
                    .flat_map(|(_, leaf)| leaf.seen())
                    .collect();
                for (_, leaf) in &versions {
                    if leaf.inode != kept.inode {
                        commit.remove(leaf.inode, &leaf.seen());
                    }
                    commit.remove_twins(leaf);
                }
                // Everybody shall have it in place of what they see, also where it is what they have already.
                let _gone_meanwhile = commit.edit(kept.inode, &of_item, body);
            }
            _ => {
                for ((at, leaf), parent) in versions.iter().zip(parents).filter(|((at, _), _)| at != path) {
                    let (Some(name), Some(parent)) = (at.name(), parent) else { continue };
                    commit.remove_twins(leaf);
                    let _gone_meanwhile = commit.split_off(leaf.inode, &leaf.seen(), parent, &name);
                }
            }
        }
        let written = commit.finish();
        self.finish_commit(now_ms, written, BTreeSet::new(), count as u64, 0);
        self.replan();
        Ok(count)
    }
}
