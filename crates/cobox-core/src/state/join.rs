//! How two states become one (design 2.2): a value stays iff both sides have it, or one has it and the other never saw it.
//! Associative, commutative and idempotent, so it does not matter by which routes and how often states arrive.
//!
//! Two values under one dot are settled by the total order of formats F5. Re-encryption makes such values honestly; when
//! more than the refs differs, somebody signed two things under one dot, and an [`Alarm`] says where.
//!
//! Both sides must speak of actors alike: [`super::align`] comes first wherever devices forked.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_proto::codec::Writer;
use cobox_proto::guard::Guard;
use cobox_proto::id::{EpochTag, HeadId, Inode};

use super::{Body, Content, Ctx, Dot, Item, Kind, State, Touched, Values};

/// How far an epoch is from the first one along its bundles' parents; the membership log knows.
pub trait EpochDepth {
    /// The depth; 0 for an epoch the log does not have.
    fn depth(&self, epoch: &EpochTag) -> u64;
}

impl<F: Fn(&EpochTag) -> u64> EpochDepth for F {
    fn depth(&self, epoch: &EpochTag) -> u64 {
        self(epoch)
    }
}

/// Which register of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Register {
    /// Where it hangs.
    Place,
    /// What is in it.
    Body,
}

/// A sign that a device broke the rules. The join goes on and ends the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// One dot stands for two values that differ in more than their refs; its actor's device signed both.
    TwoValues {
        /// The item.
        inode: Inode,
        /// The dot; its actor names the device.
        dot: Dot,
        /// The register.
        register: Register,
    },
    /// One inode stands for two kinds of item. The smaller kind stays.
    TwoKinds {
        /// The item.
        inode: Inode,
    },
}

/// Items at which two states may differ, as the other one has them; `None` where it has nothing.
pub type Differences = BTreeMap<Inode, Option<Arc<Item>>>;

impl State {
    /// Takes in all of `other`. Both must know the same forks.
    pub fn join(&mut self, other: &State, epochs: &dyn EpochDepth) -> (Touched, Vec<Alarm>) {
        let mut joiner = Joiner { my_ctx: &self.ctx, their_ctx: &other.ctx, epochs, alarms: Vec::new() };
        let mut changes = Vec::new();
        let mut mine = self.shared().peekable();
        let mut theirs = other.shared().peekable();
        loop {
            let order = match (mine.peek(), theirs.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let a = if order.is_le() { mine.next() } else { None };
            let b = if order.is_ge() { theirs.next() } else { None };
            let Some((inode, _)) = a.or(b) else { break };
            let (a, b) = (a.map(|(_, item)| item), b.map(|(_, item)| item));
            if let Some(joined) = joiner.item(*inode, a.map(|i| &**i), b.map(|i| &**i)) {
                changes.push((*inode, joined.map(|joined| shared(joined, b))));
            }
        }
        let alarms = joiner.alarms;
        (self.adopt(changes, &other.ctx, &other.forks), alarms)
    }

    /// Takes in a state of which only the differences are at hand: `theirs` lists every inode at which the two may differ,
    /// with `None` where the other has nothing. The same result as [`State::join`].
    pub fn join_with(
        &mut self,
        other_ctx: &Ctx,
        other_forks: &BTreeSet<HeadId>,
        theirs: &Differences,
        epochs: &dyn EpochDepth,
    ) -> (Touched, Vec<Alarm>) {
        if self.is_empty() && self.ctx.is_empty() {
            // Who knows nothing takes all as it is, and has nothing to compare.
            let all = theirs.iter().filter(|(_, item)| item.is_some()).map(|(inode, item)| (*inode, item.clone()));
            return (self.adopt(all.collect(), other_ctx, other_forks), Vec::new());
        }
        let mut joiner = Joiner { my_ctx: &self.ctx, their_ctx: other_ctx, epochs, alarms: Vec::new() };
        let changes = theirs
            .iter()
            .filter_map(|(inode, item)| {
                let joined = joiner.item(*inode, self.get(inode), item.as_deref())?;
                Some((*inode, joined.map(|joined| shared(joined, item.as_ref()))))
            })
            .collect();
        let alarms = joiner.alarms;
        (self.adopt(changes, other_ctx, other_forks), alarms)
    }

    /// Puts another sealing of the same content in the place of a value's, if joining would prefer it. No dot is written: whoever joins this
    /// state comes to the same. `None` if nothing changed.
    pub fn refine(&mut self, inode: Inode, dot: Dot, content: &Content, epochs: &dyn EpochDepth) -> Option<Touched> {
        let item = self.get(&inode)?;
        let at = item.body.iter().position(|(known, _)| *known == dot)?;
        let old = &item.body[at].1;
        let new = Body { content: content.clone(), ..old.clone() };
        if core(old) != core(&new) || sealing(&new, epochs) <= sealing(old, epochs) {
            return None;
        }
        let mut item = item.clone();
        item.body[at].1 = new;
        let mut touched = Touched::new();
        touched.note(inode, self.put(inode, Some(Arc::new(item))));
        Some(touched)
    }

    fn adopt(&mut self, changes: Vec<(Inode, Option<Arc<Item>>)>, ctx: &Ctx, forks: &BTreeSet<HeadId>) -> Touched {
        let mut touched = Touched::new();
        for (inode, item) in changes {
            touched.note(inode, self.put(inode, item));
        }
        self.ctx.join(ctx);
        self.forks.extend(forks);
        touched
    }
}

/// An item that is as the other side has it is kept once.
fn shared(joined: Item, theirs: Option<&Arc<Item>>) -> Arc<Item> {
    match theirs {
        Some(item) if **item == joined => Arc::clone(item),
        _ => Arc::new(joined),
    }
}

struct Joiner<'a> {
    my_ctx: &'a Ctx,
    their_ctx: &'a Ctx,
    epochs: &'a dyn EpochDepth,
    alarms: Vec<Alarm>,
}

impl Joiner<'_> {
    /// What becomes of my item: `None` if it stays as it is, `Some(None)` if it goes.
    fn item(&mut self, inode: Inode, mine: Option<&Item>, theirs: Option<&Item>) -> Option<Option<Item>> {
        if mine == theirs {
            return None;
        }
        let kind = match (mine, theirs) {
            (Some(a), Some(b)) if a.kind != b.kind => {
                self.alarms.push(Alarm::TwoKinds { inode });
                a.kind.min(b.kind)
            }
            _ => mine.or(theirs)?.kind,
        };
        let (my_loc, their_loc) = (mine.map_or(&[][..], |i| &i.loc), theirs.map_or(&[][..], |i| &i.loc));
        let loc = self.register(my_loc, their_loc, |alarms, dot, a, b| {
            alarms.push(Alarm::TwoValues { inode, dot, register: Register::Place });
            a.cmp(b)
        });
        let (my_body, their_body) = (mine.map_or(&[][..], |i| &i.body), theirs.map_or(&[][..], |i| &i.body));
        let epochs = self.epochs;
        let mut body = self.register(my_body, their_body, |alarms, dot, a, b| {
            let (core_a, core_b) = (core(a), core(b));
            if core_a != core_b {
                alarms.push(Alarm::TwoValues { inode, dot, register: Register::Body });
            }
            core_a.cmp(&core_b).then_with(|| sealing(a, epochs).cmp(&sealing(b, epochs))).then_with(|| a.cmp(b))
        });
        if kind == Kind::Dir {
            body.clear();
        }
        // Every honest body comes with a place under the same dot or a later one, so a body can not outlive all places.
        let joined = (!loc.is_empty()).then_some(Item { kind, loc, body });
        (joined.as_ref() != mine).then_some(joined)
    }

    fn register<V: Clone + PartialEq>(
        &mut self,
        mine: &[(Dot, V)],
        theirs: &[(Dot, V)],
        mut order: impl FnMut(&mut Vec<Alarm>, Dot, &V, &V) -> Ordering,
    ) -> Values<V> {
        let mut joined = Values::new();
        let (mut a, mut b) = (mine.iter().peekable(), theirs.iter().peekable());
        loop {
            match (a.peek(), b.peek()) {
                (Some((da, va)), Some((db, vb))) if da == db => {
                    let greater = va == vb || order(&mut self.alarms, *da, va, vb).is_ge();
                    joined.push((*da, if greater { va } else { vb }.clone()));
                    a.next();
                    b.next();
                }
                (Some(only), other) if other.is_none_or(|(db, _)| only.0 < *db) => {
                    let one_sided = !Guard::EditOutlivesDeletion.stands() && only.0.counter.is_multiple_of(2);
                    if !self.their_ctx.covers(only.0) || one_sided {
                        joined.push((*only).clone());
                    }
                    a.next();
                }
                (_, Some(only)) => {
                    if !self.my_ctx.covers(only.0) || !Guard::DeletedStaysDeleted.stands() {
                        joined.push((*only).clone());
                    }
                    b.next();
                }
                (_, None) => return joined,
            }
        }
    }
}

/// Everything of a body but how its chunks are sealed: equal for all refinements of one dot.
fn core(body: &Body) -> Vec<u8> {
    let mut w = Writer::new();
    w.u64(body.size).i64(body.mtime_ns).bool(body.executable).fixed(&body.plain_digest);
    match &body.content {
        Content::Inline(bytes) => {
            w.u8(0).bytes(bytes);
        }
        Content::Refs(refs) => {
            w.u8(1).varint(refs.len() as u64);
            for r in refs {
                w.varint(r.len.into());
            }
        }
        Content::Manifest(manifest) => {
            w.u8(2).varint(manifest.refs);
        }
    }
    w.into_bytes()
}

/// The oldest epoch among the refs by (depth, id), and the digest of the refs' cids.
fn sealing(body: &Body, epochs: &dyn EpochDepth) -> (Option<(u64, EpochTag)>, [u8; 32]) {
    let aged = |epoch: EpochTag| (epochs.depth(&epoch), epoch);
    match &body.content {
        Content::Inline(_) => (None, [0; 32]),
        Content::Refs(refs) => {
            let mut digest = blake3::Hasher::new();
            for r in refs {
                digest.update(r.cid.as_bytes());
            }
            (refs.iter().map(|r| aged(r.epoch)).min(), *digest.finalize().as_bytes())
        }
        Content::Manifest(manifest) => (Some(aged(manifest.oldest_epoch)), manifest.refs_digest),
    }
}
