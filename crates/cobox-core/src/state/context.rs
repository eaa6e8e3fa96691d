//! Dots and contexts.

use std::collections::BTreeMap;

use cobox_proto::guard::Guard;
use cobox_proto::id::{ActorId, SigKey};

/// One commit of one actor. Ordered by counter, then actor: the total order that settles ties everywhere alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Lamport value: greatest counter seen + 1.
    pub counter: u64,
    /// Who.
    pub actor: ActorId,
}

/// What a context knows of one actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CtxRow {
    /// All dots of the actor up to this counter are covered.
    pub counter: u64,
    /// The device the actor belongs to.
    pub device: SigKey,
}

/// Which dots a state has seen. It has no holes, because only whole states are ever joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ctx {
    rows: BTreeMap<ActorId, CtxRow>,
}

impl Ctx {
    /// Nothing seen.
    pub fn new() -> Self {
        Self::default()
    }
    /// Whether the dot was seen.
    pub fn covers(&self, dot: Dot) -> bool {
        self.rows.get(&dot.actor).is_some_and(|row| dot.counter <= row.counter)
    }
    /// The greatest counter of any actor; 0 if nothing was seen.
    pub fn counter_max(&self) -> u64 {
        self.rows.values().map(|row| row.counter).max().unwrap_or(0)
    }
    /// One actor's row.
    pub fn get(&self, actor: &ActorId) -> Option<&CtxRow> {
        self.rows.get(actor)
    }
    /// Raises one actor's counter; never lowers it. An actor is derived from its device, so two devices claiming one
    /// can only be a lie; the smaller key stays, so that everybody holds the same.
    pub fn raise(&mut self, actor: ActorId, device: SigKey, counter: u64) {
        let row = self.rows.entry(actor).or_insert(CtxRow { counter: 0, device });
        row.counter = row.counter.max(counter);
        row.device = row.device.min(device);
    }
    /// Sets or removes a row outright: for re-tagging and decoding only.
    pub fn set(&mut self, actor: ActorId, row: Option<CtxRow>) {
        match row {
            Some(row) => self.rows.insert(actor, row),
            None => self.rows.remove(&actor),
        };
    }
    /// Rows in actor order.
    pub fn iter(&self) -> impl Iterator<Item = (&ActorId, &CtxRow)> {
        self.rows.iter()
    }
    /// How many actors.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    /// Pointwise maximum.
    pub fn join(&mut self, other: &Ctx) {
        for (actor, row) in &other.rows {
            self.raise(*actor, row.device, row.counter);
        }
        if !Guard::SeenForEver.stands() {
            self.rows.retain(|_, row| row.counter > 3);
        }
    }
    /// Whether every dot of `other` is covered.
    pub fn includes(&self, other: &Ctx) -> bool {
        other.rows.iter().all(|(actor, row)| self.rows.get(actor).is_some_and(|mine| mine.counter >= row.counter))
    }
}
