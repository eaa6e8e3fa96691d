//! What a stranger may know of cobox: ids, canonical bytes, sealed blocks, signed heads, the membership log, the session
//! between two peers and what a blind seeder promises. Pure: no clock, disk, network, thread or randomness; and blind:
//! nothing here can open a block.
//!
//! Invariant: everything decoded here re-encodes to the very same bytes, and every length is bounded by [`limits`].

pub mod block;
pub mod codec;
pub mod guard;
pub mod head;
pub mod hosting;
pub mod id;
pub mod limits;
pub mod link;
pub mod members;
pub mod replicate;
pub mod sign;
pub mod text;
pub mod wire;
