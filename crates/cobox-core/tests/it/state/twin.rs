//! The naive twin: the same CRDT written as plainly as possible, with maps of strings and no thought of speed, to be compared
//! with the real one step by step. It knows chains of heads too, so it covers forked devices.

use std::collections::{BTreeMap, BTreeSet};

use cobox_core::state::{Dot, History, Item, Kind, State, View, ViewEntry, forked_actor, root_point};
use cobox_proto::id::{ActorId, HeadId, Inode};

use super::party::Op;
use super::world::{name, prf, value};

pub(super) type Place = (Dot, Inode, String, bool);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TwinItem {
    pub(super) kind: Kind,
    pub(super) loc: BTreeMap<Dot, Place>,
    pub(super) body: BTreeMap<Dot, u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Twin {
    pub(super) ctx: BTreeMap<ActorId, u64>,
    pub(super) items: BTreeMap<Inode, TwinItem>,
    pub(super) chains: BTreeMap<ActorId, Vec<(HeadId, u64)>>,
    pub(super) forks: BTreeSet<HeadId>,
}

/// An entry of a view without its conflict name: (path wanted, losing side?, inodes, value and dot).
pub(super) type Entry = (Vec<String>, bool, Vec<Inode>, Option<(u64, Dot)>);

fn join_register<V: Clone>(
    a: &BTreeMap<Dot, V>,
    ca: &BTreeMap<ActorId, u64>,
    b: &BTreeMap<Dot, V>,
    cb: &BTreeMap<ActorId, u64>,
) -> BTreeMap<Dot, V> {
    let covers = |ctx: &BTreeMap<ActorId, u64>, d: &Dot| ctx.get(&d.actor).copied().unwrap_or(0) >= d.counter;
    let mut r = BTreeMap::new();
    for (d, v) in a {
        if b.contains_key(d) || !covers(cb, d) {
            r.insert(*d, v.clone());
        }
    }
    for (d, v) in b {
        if a.contains_key(d) || !covers(ca, d) {
            r.insert(*d, v.clone());
        }
    }
    r
}

impl Twin {
    /// What the real state says, in the twin's words.
    pub(super) fn of(state: &State, history: &History, actors: &BTreeSet<ActorId>) -> Self {
        let item = |i: &Item| TwinItem {
            kind: i.kind,
            loc: i.loc.iter().map(|(d, l)| (*d, (l.vd, l.parent, l.name.as_str().to_owned(), l.trashed))).collect(),
            body: i.body.iter().map(|(d, b)| (*d, value(b))).collect(),
        };
        let chain = |a: &ActorId| history.chain(a).iter().map(|l| (l.head, l.counter)).collect::<Vec<_>>();
        Self {
            ctx: state.ctx.iter().map(|(a, row)| (*a, row.counter)).collect(),
            items: state.iter().map(|(key, i)| (key.inode, item(i))).collect(),
            chains: actors.iter().map(|a| (*a, chain(a))).filter(|(_, c)| !c.is_empty()).collect(),
            forks: state.forks.clone(),
        }
    }

    fn retag(&mut self, points: &BTreeSet<HeadId>) {
        self.forks.extend(points);
        let mut todo: Vec<ActorId> = self.chains.keys().copied().collect();
        while let Some(a) = todo.pop() {
            let chain = self.chains[&a].clone();
            let parent = |k: usize| if k == 0 { root_point(&a) } else { chain[k - 1].0 };
            let Some(k) = (0..chain.len()).find(|k| self.forks.contains(&parent(*k))) else { continue };
            let b = forked_actor(&chain[k].0);
            let low = if k == 0 { 0 } else { chain[k - 1].1 };
            assert!(!self.chains.contains_key(&b));
            self.chains.insert(a, chain[..k].to_vec());
            self.chains.insert(b, chain[k..].to_vec());
            self.ctx.insert(b, self.ctx.get(&a).copied().unwrap_or(0));
            self.ctx.insert(a, low);
            todo.push(b);
            let f = |d: &Dot| if d.actor == a && d.counter > low { Dot { actor: b, ..*d } } else { *d };
            for e in self.items.values_mut() {
                e.loc = e.loc.iter().map(|(d, v)| (f(d), (f(&v.0), v.1, v.2.clone(), v.3))).collect();
                e.body = e.body.iter().map(|(d, v)| (f(d), *v)).collect();
            }
        }
        self.chains.retain(|_, chain| !chain.is_empty());
        self.ctx.retain(|_, counter| *counter > 0);
    }

    pub(super) fn join(a: &Twin, b: &Twin) -> Twin {
        let (mut a, mut b) = (a.clone(), b.clone());
        let mut points: BTreeSet<HeadId> = a.forks.union(&b.forks).copied().collect();
        loop {
            a.retag(&points);
            b.retag(&points);
            points.clear();
            for (actor, x) in &a.chains {
                let Some(y) = b.chains.get(actor) else { continue };
                if let Some(k) = (0..x.len().min(y.len())).find(|k| x[*k] != y[*k]) {
                    points.insert(if k == 0 { root_point(actor) } else { x[k - 1].0 });
                }
            }
            if points.is_empty() {
                break;
            }
        }
        let mut joined = Twin { forks: a.forks.clone(), ..Twin::default() };
        for (actor, chain) in a.chains.iter().chain(&b.chains) {
            let mine = joined.chains.entry(*actor).or_default();
            if chain.len() > mine.len() {
                *mine = chain.clone();
            }
        }
        for (actor, counter) in a.ctx.iter().chain(&b.ctx) {
            let mine = joined.ctx.entry(*actor).or_default();
            *mine = (*mine).max(*counter);
        }
        let inodes: BTreeSet<Inode> = a.items.keys().chain(b.items.keys()).copied().collect();
        for inode in inodes {
            let kind = a.items.get(&inode).or(b.items.get(&inode)).unwrap().kind;
            let none = TwinItem { kind, loc: BTreeMap::new(), body: BTreeMap::new() };
            let (x, y) = (a.items.get(&inode).unwrap_or(&none), b.items.get(&inode).unwrap_or(&none));
            let loc = join_register(&x.loc, &a.ctx, &y.loc, &b.ctx);
            let body = join_register(&x.body, &a.ctx, &y.body, &b.ctx);
            if !loc.is_empty() || !body.is_empty() {
                joined.items.insert(inode, TwinItem { kind, loc, body });
            }
        }
        joined
    }

    fn effective(item: &TwinItem) -> Option<Place> {
        let live = item.loc.values().filter(|l| item.kind == Kind::Dir && !l.3).max();
        live.or_else(|| item.loc.values().max()).cloned()
    }

    fn free(&self, kind: Kind, parent: Inode, text: &str) -> Inode {
        for n in 0.. {
            let inode = prf(kind, parent, &name(text), n);
            let Some(item) = self.items.get(&inode) else { return inode };
            let l = Self::effective(item).unwrap();
            let dead = if kind == Kind::Dir { l.3 } else { item.body.is_empty() };
            if (l.1, l.2.as_str()) == (parent, text) && dead {
                return inode;
            }
        }
        unreachable!()
    }

    pub(super) fn apply(&mut self, actor: ActorId, op: &Op) {
        let dot = Dot { counter: self.ctx.values().max().unwrap_or(&0) + 1, actor };
        self.ctx.insert(actor, dot.counter);
        let placed = |parent: Inode, text: &str| BTreeMap::from([(dot, (dot, parent, text.to_owned(), false))]);
        match op {
            Op::Create { parent, name, kind, value } => {
                let inode = self.free(*kind, *parent, name);
                let item = TwinItem { kind: *kind, loc: placed(*parent, name), body: BTreeMap::from([(dot, *value)]) };
                self.items.insert(inode, item);
            }
            Op::MakeDir { parent, name } => {
                let inode = self.free(Kind::Dir, *parent, name);
                let item = TwinItem { kind: Kind::Dir, loc: placed(*parent, name), body: BTreeMap::new() };
                self.items.insert(inode, item);
            }
            Op::Edit { shown, value } => {
                let item = self.items.get_mut(&shown.inode).unwrap();
                let old = item.body[&shown.dot];
                item.body.retain(|_, v| *v != old);
                item.body.insert(dot, *value);
                item.loc = BTreeMap::from([(dot, Self::effective(item).unwrap())]);
                self.forget(&shown.twins);
            }
            Op::RenameFile { shown, parent, name } => {
                self.items.get_mut(&shown.inode).unwrap().loc = placed(*parent, name);
                self.forget(&shown.twins);
            }
            Op::SplitOff { shown, parent, name } => {
                let item = self.items.get_mut(&shown.inode).unwrap();
                let (kind, value) = (item.kind, item.body[&shown.dot]);
                item.body.retain(|_, v| *v != value);
                let inode = self.free(kind, *parent, name);
                let item = TwinItem { kind, loc: placed(*parent, name), body: BTreeMap::from([(dot, value)]) };
                self.items.insert(inode, item);
                self.forget(&shown.twins);
            }
            Op::MoveDir { inodes, parent, name } => {
                for inode in inodes {
                    self.items.get_mut(inode).unwrap().loc = placed(*parent, name);
                }
            }
            Op::Remove { shown } => {
                self.forget(&[(shown.inode, shown.dot)]);
                self.forget(&shown.twins);
            }
            Op::RemoveDir { files, dirs } => {
                for shown in files {
                    self.forget(&[(shown.inode, shown.dot)]);
                    self.forget(&shown.twins);
                }
                for inode in dirs {
                    let item = self.items.get_mut(inode).unwrap();
                    let l = Self::effective(item).unwrap();
                    if !l.3 {
                        item.loc = BTreeMap::from([(dot, (dot, l.1, l.2, true))]);
                    }
                }
            }
        }
        self.items.retain(|_, item| item.kind == Kind::Dir || !item.body.is_empty());
    }

    /// Removes values, and those of the same item that equal them.
    fn forget(&mut self, values: &[(Inode, Dot)]) {
        for (inode, dot) in values {
            let Some(item) = self.items.get_mut(inode) else { continue };
            if let Some(value) = item.body.get(dot).copied() {
                item.body.retain(|_, v| *v != value);
            }
        }
    }

    pub(super) fn view(&self) -> BTreeSet<Entry> {
        let places: BTreeMap<Inode, Place> = self
            .items
            .iter()
            .filter(|(_, item)| item.kind == Kind::Dir || !item.body.is_empty())
            .map(|(inode, item)| (*inode, Self::effective(item).unwrap()))
            .collect();
        let is_dir = |i: &Inode| self.items[i].kind == Kind::Dir;
        let mut parents: BTreeMap<Inode, Inode> = BTreeMap::new();
        for (inode, l) in &places {
            let there = places.contains_key(&l.1) && is_dir(&l.1);
            parents.insert(*inode, if there { l.1 } else { Inode::ZERO });
        }
        'again: loop {
            for start in places.keys() {
                let mut path = Vec::new();
                let mut at = *start;
                while at != Inode::ZERO {
                    if let Some(from) = path.iter().position(|x| *x == at) {
                        let worst = path[from..].iter().max_by_key(|i| (places[i].0, **i)).unwrap();
                        parents.insert(*worst, Inode::ZERO);
                        continue 'again;
                    }
                    path.push(at);
                    at = parents[&at];
                }
            }
            break;
        }
        let mut visible = BTreeSet::new();
        for (inode, l) in &places {
            if !is_dir(inode) || !l.3 {
                let mut at = *inode;
                while at != Inode::ZERO {
                    visible.insert(at);
                    at = parents[&at];
                }
            }
        }
        let mut out = BTreeSet::new();
        let mut todo = vec![(vec![Inode::ZERO], Vec::new())];
        while let Some((dirs, path)) = todo.pop() {
            let mut by_name: BTreeMap<&str, Vec<Inode>> = BTreeMap::new();
            for inode in visible.iter().filter(|i| dirs.contains(&parents[i])) {
                by_name.entry(&places[inode].2).or_default().push(*inode);
            }
            for (text, inodes) in by_name {
                let mut here: Vec<String> = path.clone();
                here.push(text.to_owned());
                let (dirs, mut files): (Vec<Inode>, Vec<Inode>) = inodes.into_iter().partition(is_dir);
                let mut lost = !dirs.is_empty();
                if lost {
                    out.insert((here.clone(), false, dirs.clone(), None));
                    todo.push((dirs, here.clone()));
                }
                files.sort_by_key(|i| (places[i].0, *i));
                let mut seen = BTreeSet::new();
                for inode in files {
                    let item = &self.items[&inode];
                    for (dot, value) in item.body.iter().rev() {
                        if seen.insert((item.kind, *value)) {
                            out.insert((here.clone(), lost, vec![inode], Some((*value, *dot))));
                            lost = true;
                        }
                    }
                }
            }
        }
        out
    }
}

/// The real view, in the twin's words.
pub(super) fn entries(state: &State, view: &View) -> BTreeSet<Entry> {
    let words = |path: &cobox_core::path::FolderPath| path.iter().map(|n| n.as_str().to_owned()).collect::<Vec<_>>();
    let mut all = BTreeSet::new();
    for (path, entry) in &view.entries {
        all.insert(match entry {
            ViewEntry::Dir { inodes } => (words(path), false, inodes.clone(), None),
            ViewEntry::File(shown) | ViewEntry::Symlink(shown) => {
                let wanted = shown.conflict.as_ref().map_or(path, |conflict| &conflict.of);
                let value = (value(shown.body(state).unwrap()), shown.dot);
                (words(wanted), shown.conflict.is_some(), vec![shown.inode], Some(value))
            }
        });
    }
    assert_eq!(all.len(), view.entries.len());
    all
}
