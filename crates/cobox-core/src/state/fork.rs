//! One actor that two databases went on writing with: a restored backup, a cloned machine, a lie (design 4.3, rule R4). The
//! point after which its chain of heads splits is recorded in the state, for good, and every continuation after such a
//! point becomes an actor of its own, named by its first head alone; its dots and its context row are renamed. So no state
//! ever mixes two branches under one name, and the ordinary join applies.
//!
//! Chains are given whole, from an actor's first head on; where heads are missing there is nothing to decide yet, and the
//! caller waits. States must hold published dots only: rename unpublished ones first ([`rename_actor`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_proto::id::{ActorId, HeadId, SigKey};

use super::{CtxRow, Dot, Item, State, Touched, Values};

/// One head in an actor's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The head.
    pub head: HeadId,
    /// The actor's own counter in it; the same as before if the head wrote nothing.
    pub counter: u64,
}

/// The heads in the past of one state: for each actor its chain, first head first. After a fork the continuations stand
/// under their own names, just as in the state's context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    chains: BTreeMap<ActorId, Vec<Link>>,
}

impl History {
    /// No heads.
    pub fn new() -> Self {
        Self::default()
    }

    /// The chain of an actor.
    pub fn chain(&self, actor: &ActorId) -> &[Link] {
        self.chains.get(actor).map_or(&[], |chain| chain)
    }

    /// Adds an actor's next head.
    pub fn push(&mut self, actor: ActorId, link: Link) {
        self.chains.entry(actor).or_default().push(link);
    }

    /// Takes in the heads of an aligned history: of each actor the longer chain.
    pub fn join(&mut self, other: &History) {
        for (actor, theirs) in &other.chains {
            let mine = self.chains.entry(*actor).or_default();
            if theirs.len() > mine.len() {
                mine.clone_from(theirs);
            }
        }
    }

    /// The head before position `k` of a chain.
    fn before(actor: &ActorId, chain: &[Link], k: usize) -> HeadId {
        k.checked_sub(1).map_or_else(|| root_point(actor), |last| chain[last].head)
    }
}

/// The actor that a continuation becomes, by its first head (rule R4).
pub fn forked_actor(first: &HeadId) -> ActorId {
    let mut id = [0; ActorId::LEN];
    id.copy_from_slice(&blake3::derive_key("cobox v1 fork", first.as_bytes())[..ActorId::LEN]);
    ActorId(id)
}

/// The fork point of an actor that forked before its first head.
pub fn root_point(actor: &ActorId) -> HeadId {
    HeadId(blake3::derive_key("cobox v1 fork root", actor.as_bytes()))
}

/// The heads after which the two histories go on differently under one name.
pub fn split_points(a: &History, b: &History) -> BTreeSet<HeadId> {
    let mut points = BTreeSet::new();
    for (actor, ours) in &a.chains {
        let theirs = b.chain(actor);
        if let Some(k) = ours.iter().zip(theirs).position(|(x, y)| x != y) {
            points.insert(History::before(actor, ours, k));
        }
    }
    points
}

/// Records fork points and renames every continuation after one of the state's points. What it touched.
pub fn retag(state: &mut State, history: &mut History, points: &BTreeSet<HeadId>) -> Touched {
    retag_noting(state, history, points, &mut Vec::new())
}

fn retag_noting(
    state: &mut State,
    history: &mut History,
    points: &BTreeSet<HeadId>,
    done: &mut Vec<Renames>,
) -> Touched {
    state.forks.extend(points);
    if state.forks.is_empty() {
        return Touched::new();
    }
    let mut renames = Renames::default();
    let mut todo: Vec<ActorId> = history.chains.keys().copied().collect();
    while let Some(actor) = todo.pop() {
        let Some(chain) = history.chains.get_mut(&actor) else { continue };
        let split = (0..chain.len()).find(|k| state.forks.contains(&History::before(&actor, chain, *k)));
        let Some(k) = split else { continue };
        let tail = chain.split_off(k);
        let above = chain.last().map_or(0, |link| link.counter);
        if chain.is_empty() {
            history.chains.remove(&actor);
        }
        let branch = forked_actor(&tail[0].head);
        history.chains.insert(branch, tail);
        renames.add(state, actor, above, branch, None);
        todo.push(branch);
    }
    let touched = renames.apply(state);
    done.push(renames);
    touched
}

/// What [`align`] did to each side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alignment {
    /// Items of the first state that were renamed.
    pub mine: Touched,
    /// Items of the second state that were renamed.
    pub theirs: Touched,
    /// Fork points neither side knew: a device was found running twice.
    pub found: BTreeSet<HeadId>,
    /// What was renamed in the first state, in this order.
    renames: Vec<Renames>,
}

impl Alignment {
    /// What a dot of the first state is called now.
    pub fn renamed(&self, dot: Dot) -> Dot {
        self.renames.iter().fold(dot, |dot, renames| renames.dot(dot))
    }
}

/// Makes two states speak of actors alike, so that they can be joined. Goes on until no chain differs: a continuation that
/// became an actor can itself have been forked.
pub fn align(mine: (&mut State, &mut History), theirs: (&mut State, &mut History)) -> Alignment {
    let mut done = Alignment::default();
    let mut points: BTreeSet<HeadId> = mine.0.forks.union(&theirs.0.forks).copied().collect();
    loop {
        done.mine.merge(retag_noting(mine.0, mine.1, &points, &mut done.renames));
        done.theirs.merge(retag(theirs.0, theirs.1, &points));
        points = split_points(mine.1, theirs.1);
        if points.is_empty() {
            return done;
        }
        done.found.extend(&points);
    }
}

/// Whether somebody else writes as `actor`, whose newest own head is `tip`: it was continued, or others went on from it. The
/// device must then take a fresh actor before it writes again.
pub fn is_duplicated(state: &State, history: &History, actor: &ActorId, tip: Option<&HeadId>) -> bool {
    let root = root_point(actor);
    let newest = history.chain(actor).last().map(|link| &link.head);
    newest != tip || state.forks.contains(tip.unwrap_or(&root))
}

/// Gives the dots of `from` above a counter to another actor: how unpublished commits get the actor they are published by
/// (rule R3).
pub fn rename_actor(state: &mut State, from: ActorId, above: u64, to: ActorId, device: SigKey) -> Touched {
    let mut renames = Renames::default();
    if from != to && state.ctx.get(&from).is_some_and(|row| row.counter > above) {
        renames.add(state, from, above, to, Some(device));
    }
    renames.apply(state)
}

/// Which dots get which actor: of each actor those above a counter. A new name may be renamed further.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Renames {
    of: BTreeMap<ActorId, (u64, ActorId)>,
}

impl Renames {
    /// Notes a rename and moves the context row. A branch without writes gets a row too, so that a row always says the
    /// counter of the actor's newest head, whatever was known of the branch when it was renamed.
    fn add(&mut self, state: &mut State, from: ActorId, above: u64, to: ActorId, device: Option<SigKey>) {
        let Some(row) = state.ctx.get(&from).copied() else { return };
        self.of.insert(from, (above, to));
        state.ctx.set(from, (above > 0).then_some(CtxRow { counter: above, ..row }));
        state.ctx.raise(to, device.unwrap_or(row.device), row.counter);
    }

    fn dot(&self, mut dot: Dot) -> Dot {
        while let Some((above, to)) = self.of.get(&dot.actor)
            && dot.counter > *above
        {
            dot.actor = *to;
        }
        dot
    }

    fn apply(&self, state: &mut State) -> Touched {
        let mut touched = Touched::new();
        if self.of.is_empty() {
            return touched;
        }
        let changed: Vec<_> = state.shared().filter_map(|(inode, item)| Some((*inode, self.item(item)?))).collect();
        for (inode, item) in changed {
            touched.note(inode, state.put(inode, Some(Arc::new(item))));
        }
        touched
    }

    /// The item renamed; `None` if it stays as it is.
    fn item(&self, item: &Item) -> Option<Item> {
        let stays = |dot: &Dot| self.dot(*dot) == *dot;
        if item.loc.iter().all(|(dot, loc)| stays(dot) && stays(&loc.vd)) && item.body.iter().all(|(dot, _)| stays(dot))
        {
            return None;
        }
        let mut renamed = item.clone();
        self.register(&mut renamed.loc);
        self.register(&mut renamed.body);
        for (_, loc) in &mut renamed.loc {
            loc.vd = self.dot(loc.vd);
        }
        Some(renamed)
    }

    fn register<V>(&self, values: &mut Values<V>) {
        for (dot, _) in values.iter_mut() {
            *dot = self.dot(*dot);
        }
        values.sort_by_key(|(dot, _)| *dot);
    }
}
