//! What can be let go of in history so that a path is had by nobody any more: the blocks that were only ever its own, and the states in
//! which they were.
//!
//! What must hold: no block is named that anything else needs, now or in any state that can be had; no state is named that was not looked
//! through whole. A state that nobody can show now is not named, so that whoever keeps it keeps all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_proto::id::{Cid, HeadId, Inode};

use super::changes::path_of;
use super::{Chronicle, Nodes, Past, PastError};
use crate::content::ManifestReader;
use crate::keys::FolderKeys;
use crate::path::FolderPath;
use crate::state::{Content, Dot, Item, Key, Kind, Manifest, State, view};

/// States asked after together.
const ASK_AFTER: usize = 64;

/// What was found. Sizes are those of the files, not of the blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgettable {
    /// What is to be let go of; what is beneath these blocks alone goes with them.
    pub blocks: BTreeSet<Cid>,
    /// The states in which these blocks are, and the latest of them, milliseconds since 1970.
    pub states: BTreeSet<HeadId>,
    /// When the latest state was written in which anything of the path is, small contents included.
    pub latest_ms: Option<u64>,
    /// Different contents that the path had.
    pub versions: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of the versions, those so small that they lie in the records of the states.
    pub inline_versions: u64,
    /// Of the versions, those of which something is needed elsewhere too, and stays.
    pub shared_versions: u64,
    /// What the files were called, in any of the states.
    pub names: BTreeSet<FolderPath>,
    /// Files that once lay there and live on elsewhere; nothing of them goes.
    pub elsewhere: BTreeSet<FolderPath>,
    /// States that nobody who can be reached keeps whole.
    pub states_not_seen: u64,
}

/// Why nothing can be named.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// The folder has it now.
    #[error("\"{0}\" is in the folder")]
    StillThere(FolderPath),
    /// No state that can be had has it.
    #[error("nothing called \"{0}\" is in any state that can be reached")]
    Unknown(FolderPath),
    /// All that was there lives on under other names.
    #[error("all that was called \"{0}\" lives on elsewhere in the folder, as \"{1}\" for example")]
    LivesOn(FolderPath, FolderPath),
    /// A state is not as it should be.
    #[error(transparent)]
    Past(#[from] PastError),
}

/// Looks for all that `path`, which is gone from the folder, ever had. `past` stands at the state of now; it is moved.
///
/// Whatever a file was called before counts as the path's, and what once was there and lives on does not. An inode is no life: a file that is
/// made anew where one was deleted has the inode of the old one. What makes versions one life is that they share a stay at a place, which
/// edits keep, or a content, which renames keep.
pub fn forgettable(
    chronicle: &Chronicle,
    path: &FolderPath,
    past: &mut Past,
    nodes: &mut dyn Nodes,
    keys: &FolderKeys,
) -> Result<Forgettable, ForgetError> {
    if view(past.state()).lookup(path).is_some() {
        return Err(ForgetError::StillThere(path.clone()));
    }
    let now = past.state().clone();
    let mut walk = Walk::default();
    walk.all_states(chronicle, path, past, nodes, keys)?;
    let (live, gone): (Vec<Life>, Vec<Life>) = walk.lives().into_iter().partition(|life| life.is_live(&now));
    walk.found.elsewhere = live.iter().map(|life| path_of(&|inode| now.get(inode), &life.inode)).collect();
    if gone.is_empty() {
        return Err(match walk.found.elsewhere.first() {
            Some(at) => ForgetError::LivesOn(path.clone(), at.clone()),
            None => ForgetError::Unknown(path.clone()),
        });
    }
    let gone = Gone {
        stays: gone.iter().flat_map(|life| life.stays.iter().map(|stay| (life.inode, *stay))).collect(),
        bodies: gone.iter().flat_map(|life| life.bodies.iter().map(|body| (life.inode, *body))).collect(),
    };
    let is_gone = |(_, inode, stay): &&(FolderPath, Inode, Dot)| gone.stays.contains(&(*inode, *stay));
    walk.found.names = walk.called.iter().filter(is_gone).map(|(path, ..)| path.clone()).collect();
    Ok(walk.sum_up(&now, &gone, nodes, keys))
}

/// All that one file or link was, from when it was made until it was deleted.
struct Life {
    inode: Inode,
    /// When it came to each of its places.
    stays: BTreeSet<Dot>,
    /// When each of its contents was written.
    bodies: BTreeSet<Dot>,
}

impl Life {
    fn is_live(&self, now: &State) -> bool {
        let Some(item) = now.get(&self.inode).filter(|item| !item.body.is_empty()) else { return false };
        let stays = item.effective().is_some_and(|(_, loc)| self.stays.contains(&loc.vd));
        stays || item.body.iter().any(|(dot, _)| self.bodies.contains(dot))
    }
}

/// What belongs to lives that are over and were once at the path.
struct Gone {
    stays: BTreeSet<(Inode, Dot)>,
    bodies: BTreeSet<(Inode, Dot)>,
}

/// One state, and how it differs from the one looked at before it.
struct Step {
    heads: Vec<HeadId>,
    at_ms: u64,
    differs: Vec<(Inode, Vec<(Dot, Held)>)>,
}

/// A content that an item has.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    content: Content,
    size: u64,
}

#[derive(Default)]
struct Walk {
    found: Forgettable,
    /// What was ever beneath the path, and since when it was where it was then.
    ever: BTreeSet<(Inode, Dot)>,
    known: BTreeSet<Inode>,
    /// Which contents were had during which stay.
    had: BTreeMap<Inode, BTreeSet<(Dot, Dot)>>,
    /// What it was called, and in which stay.
    called: BTreeSet<(FolderPath, Inode, Dot)>,
    steps: Vec<Step>,
}

impl Walk {
    fn all_states(
        &mut self,
        chronicle: &Chronicle,
        path: &FolderPath,
        past: &mut Past,
        nodes: &mut dyn Nodes,
        keys: &FolderKeys,
    ) -> Result<(), ForgetError> {
        let mut by_root: BTreeMap<Cid, (Vec<HeadId>, u64)> = BTreeMap::new();
        let mut order: Vec<Cid> = Vec::new();
        for id in chronicle.newest_first() {
            let Some(head) = chronicle.head(id) else { continue };
            let (heads, at_ms) = by_root.entry(head.root).or_insert_with(|| {
                order.push(head.root);
                (Vec::new(), 0)
            });
            heads.push(*id);
            *at_ms = chronicle.at_ms(id).unwrap_or(0).max(*at_ms);
        }
        for asked in order.chunks(ASK_AFTER) {
            let had: BTreeSet<Cid> = nodes.fetch(asked).into_iter().map(|(cid, _)| cid).collect();
            for root in asked {
                let Some((heads, at_ms)) = by_root.remove(root) else { continue };
                let remote = match had.contains(root) || *root == past.root() {
                    true => past.differences(*root, nodes, keys),
                    false => Err(PastError::NotKept { root: *root }),
                };
                let remote = match remote {
                    Ok(remote) => remote,
                    Err(PastError::NotKept { .. }) => {
                        self.found.states_not_seen += heads.len() as u64;
                        continue;
                    }
                    Err(why) => return Err(why.into()),
                };
                let held = |item: &Option<Arc<Item>>| item.iter().flat_map(|item| held_by(item)).collect();
                let differs: Vec<(Inode, Vec<(Dot, Held)>)> =
                    remote.theirs.iter().map(|(inode, item)| (*inode, held(item))).collect();
                past.become_remote(remote);
                self.note(past.state(), path, &differs);
                self.steps.push(Step { heads, at_ms, differs });
            }
        }
        Ok(())
    }

    /// What lay beneath the path in a state, and what was called how.
    fn note(&mut self, state: &State, path: &FolderPath, differs: &[(Inode, Vec<(Dot, Held)>)]) {
        let stay = |inode: &Inode| state.get(inode).and_then(Item::effective).map(|(_, loc)| loc.vd);
        for (inode, held) in differs {
            if let Some(stay) = stay(inode) {
                self.had.entry(*inode).or_default().extend(held.iter().map(|(body, _)| (stay, *body)));
            }
        }
        let beneath = files_beneath(state, path);
        let new: Vec<Inode> = beneath
            .into_iter()
            .filter(|inode| stay(inode).is_some_and(|stay| self.ever.insert((*inode, stay))))
            .collect();
        // Newest first: what is called so later is known before its older names come.
        self.known.extend(&new);
        let moved = differs.iter().map(|(inode, _)| *inode).filter(|inode| self.known.contains(inode));
        for inode in new.into_iter().chain(moved) {
            if let Some(stay) = stay(&inode) {
                self.called.insert((path_of(&|inode| state.get(inode), &inode), inode, stay));
            }
        }
    }

    /// The lives of all that was ever beneath the path.
    fn lives(&self) -> Vec<Life> {
        let mut lives: Vec<Life> = Vec::new();
        for (inode, stay) in &self.ever {
            if lives.iter().rev().take_while(|life| life.inode == *inode).any(|life| life.stays.contains(stay)) {
                continue;
            }
            let had = self.had.get(inode);
            let mut life = Life { inode: *inode, stays: [*stay].into(), bodies: BTreeSet::new() };
            loop {
                let before = (life.stays.len(), life.bodies.len());
                for (stay, body) in had.into_iter().flatten() {
                    if life.stays.contains(stay) || life.bodies.contains(body) {
                        life.stays.insert(*stay);
                        life.bodies.insert(*body);
                    }
                }
                if before == (life.stays.len(), life.bodies.len()) {
                    break;
                }
            }
            lives.push(life);
        }
        lives
    }

    fn sum_up(mut self, now: &State, gone: &Gone, nodes: &mut dyn Nodes, keys: &FolderKeys) -> Forgettable {
        let (mut ours, mut theirs): (BTreeSet<Held>, BTreeSet<Held>) = (BTreeSet::new(), BTreeSet::new());
        for (inode, held) in self.steps.iter().flat_map(|step| &step.differs) {
            for (body, held) in held {
                if gone.bodies.contains(&(*inode, *body)) { &mut ours } else { &mut theirs }.insert(held.clone());
            }
        }
        let mut candidates: BTreeSet<Cid> = ours.iter().flat_map(|held| held.content.cids()).collect();
        // What others have, of all times and of now, stays; so does what is in the lists of their long files.
        let mut unreadable: BTreeSet<Cid> = BTreeSet::new();
        let mut read: BTreeSet<Cid> = BTreeSet::new();
        let present = now.iter().flat_map(|(_, item)| held_by(item)).map(|(_, held)| held);
        for held in theirs.iter().cloned().chain(present) {
            for cid in held.content.cids() {
                candidates.remove(&cid);
            }
            let Content::Manifest(manifest) = &held.content else { continue };
            if candidates.is_empty() || !read.insert(manifest.cid) {
                continue;
            }
            match pieces(manifest, held.size, nodes, keys) {
                Some(pieces) => candidates.retain(|cid| !pieces.contains(cid)),
                None => unreadable.extend([manifest.cid]),
            }
        }
        let found = &mut self.found;
        found.versions = ours.len() as u64;
        found.bytes = ours.iter().fold(0, |sum, held| sum.saturating_add(held.size));
        let is_inline = |held: &&Held| matches!(held.content, Content::Inline(_));
        found.inline_versions = ours.iter().filter(is_inline).count() as u64;
        let is_shared = |held: &&Held| held.content.cids().any(|cid| !candidates.contains(&cid));
        found.shared_versions = ours.iter().filter(is_shared).count() as u64;
        self.states_with(now, gone, &candidates, &unreadable);
        self.found.blocks = candidates;
        self.found
    }

    /// Goes through the states once more: which of them have what is to go, and nothing that could not be looked into.
    fn states_with(&mut self, now: &State, gone: &Gone, blocks: &BTreeSet<Cid>, unreadable: &BTreeSet<Cid>) {
        let has = |held: &Held, of: &BTreeSet<Cid>| held.content.cids().any(|cid| of.contains(&cid));
        let is_unclear = |(_, item): &(Key, &Item)| held_by(item).any(|(_, held)| has(&held, unreadable));
        let mut unclear: BTreeSet<Inode> = match unreadable.is_empty() {
            true => BTreeSet::new(),
            false => now.iter().filter(is_unclear).map(|(key, _)| key.inode).collect(),
        };
        let (mut having, mut there) = (BTreeSet::new(), BTreeSet::new());
        for step in &self.steps {
            for (inode, held) in &step.differs {
                let note =
                    |set: &mut BTreeSet<Inode>, is: bool| if is { set.insert(*inode) } else { set.remove(inode) };
                let is_gone = |body: &Dot| gone.bodies.contains(&(*inode, *body));
                note(&mut having, held.iter().any(|(body, held)| is_gone(body) && has(held, blocks)));
                note(&mut there, held.iter().any(|(body, _)| is_gone(body)));
                note(&mut unclear, held.iter().any(|(_, held)| has(held, unreadable)));
            }
            if !there.is_empty() {
                self.found.latest_ms = self.found.latest_ms.max(Some(step.at_ms));
            }
            match (having.is_empty(), unclear.is_empty()) {
                (false, true) => self.found.states.extend(&step.heads),
                (false, false) => self.found.states_not_seen += step.heads.len() as u64,
                _ => {}
            }
        }
    }
}

fn held_by(item: &Item) -> impl Iterator<Item = (Dot, Held)> + '_ {
    item.body.iter().map(|(dot, body)| (*dot, Held { content: body.content.clone(), size: body.size }))
}

/// The pieces of a long file; `None`: nobody who can be reached has its list.
fn pieces(manifest: &Manifest, size: u64, nodes: &mut dyn Nodes, keys: &FolderKeys) -> Option<BTreeSet<Cid>> {
    let mut reader = ManifestReader::new(manifest, size);
    while let Some(cid) = reader.wanted() {
        let found = nodes.fetch(&[cid]);
        reader.supply(&found.first()?.1, keys);
    }
    Some(reader.finish().ok()?.iter().map(|piece| piece.cid).collect())
}

/// Files and links at and beneath a path, by what records say of their places.
fn files_beneath(state: &State, path: &FolderPath) -> Vec<Inode> {
    let mut at = vec![Inode::ZERO];
    for part in path.descent() {
        let Some(name) = part.name() else { continue };
        let is_called =
            |inode: &Inode| state.get(inode).and_then(Item::effective).is_some_and(|(_, loc)| loc.name == name);
        at = at.iter().flat_map(|dir| state.children(dir)).filter(is_called).collect();
    }
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    while let Some(inode) = at.pop() {
        let Some(item) = state.get(&inode).filter(|_| seen.insert(inode)) else { continue };
        match item.kind {
            Kind::Dir => at.extend(state.children(&inode)),
            Kind::File | Kind::Symlink if !item.body.is_empty() => files.push(inode),
            Kind::File | Kind::Symlink => {}
        }
    }
    files
}
