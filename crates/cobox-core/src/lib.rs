//! What only members may know of cobox: keys, names, contents, the state of a folder and how two states become one, the
//! tree it is sealed into, and the engine that decides what to write where. Pure: no clock, disk, network, thread or
//! randomness; time and random bytes are arguments.

pub mod chunk;
pub mod content;
pub mod drill;
pub mod editing;
pub mod engine;
pub mod history;
pub mod keys;
pub mod members;
pub mod names;
pub mod padding;
pub mod path;
pub mod seal;
pub mod state;
pub mod symlink;
pub mod tree;
