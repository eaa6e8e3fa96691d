//! The member side of a machine: folders on disk, their keys, the engine's effects and the local API.

pub mod disk_tree;
pub mod keystore;
