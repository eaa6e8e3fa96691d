//! The state of a folder: a causal delta-state CRDT (design 2). Items live under stable inodes; two registers each, place
//! and body; a dot names who wrote a value and when; a context says which dots were seen. A delete is an absence that the
//! context covers, so there are no tombstones.

mod context;
mod item;
#[allow(clippy::module_inception)]
mod state;

pub use context::{Ctx, CtxRow, Dot};
pub use item::{Body, Content, Item, Key, Kind, Loc, Manifest, Ref};
pub use state::{State, Touched};
