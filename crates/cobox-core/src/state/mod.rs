//! The state of a folder: a causal delta-state CRDT (design 2). Items live under stable inodes; two registers each, place
//! and body; a dot names who wrote a value and when; a context says which dots were seen. A delete is an absence that the
//! context covers, so there are no tombstones.

mod conflict;
mod context;
mod edit;
mod fork;
mod item;
mod join;
#[allow(clippy::module_inception)]
mod state;
mod view;
mod view_update;

pub use conflict::conflict_copy_name;
pub use context::{Ctx, CtxRow, Dot};
pub use edit::{Commit, EditError, InodePrf};
pub use fork::{
    Alignment, History, Link, align, forked_actor, is_duplicated, rename_actor, retag, root_point, split_points,
};
pub use item::{Body, Content, Item, Key, Kind, Loc, Manifest, Ref, Values};
pub use join::{Alarm, Differences, EpochDepth, Register};
pub use state::{State, Touched};
pub use view::{Conflict, Shown, View, ViewEntry, view};
pub use view_update::Changed;
