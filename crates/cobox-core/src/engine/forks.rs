//! One actor that wrote on in two places: a virtual machine resumed twice, a clone that drew the same random bytes, a lie
//! (design 4.3, rule R4). Before states are joined across such a fork both are renamed, so that every continuation is an actor
//! of its own; all members come to the same state, and nothing that either copy wrote is lost.
//!
//! What must hold: whoever joins knows the whole chains of the actors that forked; where heads are missing the join waits,
//! nothing is guessed. The synced tree speaks of actors as the state does. A folder without forks pays nothing for this.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_proto::head::Head;
use cobox_proto::id::{ActorId, HeadId};

use super::Engine;
use super::merge::{Joined, Merging};
use super::steps::AtRest;
use crate::path::FolderPath;
use crate::state::{Alignment, Dot, History, Link, State, align, forked_actor, root_point, split_points};
use crate::tree::Remote;

/// Why a state can not be joined now, or ever.
pub(super) enum Barrier {
    /// Heads between are not here.
    Missing,
    /// It breaks the rules.
    Broken(String),
}

/// Where actors go on, and which of them do so twice.
#[derive(Debug, Clone, Default)]
pub(super) struct Forks {
    successors: BTreeMap<(ActorId, Option<HeadId>), HeadId>,
    /// Who forked.
    actors: BTreeSet<ActorId>,
    /// Whose root each root point is.
    roots: BTreeMap<HeadId, ActorId>,
}

impl Forks {
    pub(super) fn note(&mut self, id: HeadId, head: &Head) {
        if head.prev.is_none() {
            self.roots.insert(root_point(&head.actor), head.actor);
        }
        if *self.successors.entry((head.actor, head.prev)).or_insert(id) != id {
            self.actors.insert(head.actor);
        }
    }
}

impl Merging {
    /// The actors that forked as far as is known here, or that somebody who knew more says did.
    fn forked(&self, points: &BTreeSet<HeadId>) -> BTreeSet<ActorId> {
        let told = points.iter().filter_map(|point| {
            let root = self.forks.roots.get(point).copied();
            self.row(point).map(|row| row.actor).or(root)
        });
        self.forks.actors.iter().copied().chain(told).collect()
    }

    /// The chains of these actors among these heads, by the names they have in a state with these fork points.
    fn history(
        &self,
        heads: &BTreeSet<HeadId>,
        actors: &BTreeSet<ActorId>,
        points: &BTreeSet<HeadId>,
    ) -> Result<History, Barrier> {
        let mut rows = Vec::new();
        for id in heads {
            let row = self.row(id).ok_or(Barrier::Missing)?;
            if actors.contains(&row.actor) {
                rows.push((row.seq, *id, row));
            }
        }
        rows.sort_by_key(|(seq, id, _)| (*seq, *id));
        let (mut history, mut names) = (History::new(), BTreeMap::new());
        for (_, head, row) in rows {
            let counter = row.counter.ok_or(Barrier::Missing)?;
            let (point, before) = match row.prev {
                None => (root_point(&row.actor), row.actor),
                Some(prev) => (prev, *names.get(&prev).ok_or(Barrier::Missing)?),
            };
            let name = if points.contains(&point) { forked_actor(&head) } else { before };
            names.insert(head, name);
            let last = history.chain(&name).last().map(|link| link.head);
            if last.is_some() && last != row.prev {
                return Err(Barrier::Broken("it joins both sides of a fork under one name".into()));
            }
            history.push(name, Link { head, counter });
        }
        Ok(history)
    }
}

/// Whether the chains tell of all that a state speaks of: a head names only so many others, its state may hold more.
fn is_told(state: &State, history: &History, actors: &BTreeSet<ActorId>) -> bool {
    state.ctx.iter().all(|(name, row)| match history.chain(name).last() {
        Some(link) => row.counter <= link.counter,
        None => !actors.contains(name),
    })
}

impl Engine {
    /// Whether the ordinary join would mix two writers under one name.
    pub(super) fn meets_forks(&self, remote: &Remote) -> bool {
        !self.merging.forks.actors.is_empty() || !remote.forks.is_empty() || !self.state.forks.is_empty()
    }

    /// Joins a state where actors forked.
    pub(super) fn join_across_forks(&mut self, id: HeadId, remote: &Remote) -> Result<Joined, Barrier> {
        let points: BTreeSet<HeadId> = self.state.forks.union(&remote.forks).copied().collect();
        let actors = self.merging.forked(&points);
        let mut other = self.whole(remote);
        let mut ours = self.merging.history(self.merging.past(), &actors, &self.state.forks)?;
        let mut theirs = self.merging.history(&self.merging.with_past(id), &actors, &other.forks)?;
        if !is_told(&self.state, &ours, &actors) || !is_told(&other, &theirs, &actors) {
            return Err(Barrier::Missing);
        }
        self.check_context(&remote.ctx, &theirs)?;
        if self.state.forks == other.forks && split_points(&ours, &theirs).is_empty() {
            return Ok(self.join_state(remote));
        }
        let aligned = align((&mut self.state, &mut ours), (&mut other, &mut theirs));
        let renamed = self.rename_synced(&aligned);
        let (joined, alarms) = self.state.join(&other, &self.standing);
        let mut touched = aligned.mine;
        touched.merge(joined);
        Ok(Joined { touched, alarms, renamed })
    }

    /// A state of which the differences from ours are at hand.
    fn whole(&self, remote: &Remote) -> State {
        let mut other = self.state.clone();
        for (inode, item) in &remote.theirs {
            match item {
                Some(item) => other.insert(*inode, item.clone()),
                None => drop(other.remove(inode)),
            }
        }
        (other.ctx, other.forks) = (remote.ctx.clone(), remote.forks.clone());
        other
    }

    fn rename_synced(&mut self, aligned: &Alignment) -> BTreeSet<FolderPath> {
        let mut dirty = BTreeSet::new();
        self.at_rest = AtRest::No;
        for (path, known) in self.synced.iter_mut() {
            let stays = |dot: &Dot| aligned.renamed(*dot) == *dot;
            if known.seen.iter().all(stays) && known.twins.iter().all(|(_, dot)| stays(dot)) {
                continue;
            }
            let known = Arc::make_mut(known);
            let dots = known.seen.iter_mut().chain(known.twins.iter_mut().map(|(_, dot)| dot));
            dots.for_each(|dot| *dot = aligned.renamed(*dot));
            dirty.insert(path.clone());
        }
        dirty
    }
}
