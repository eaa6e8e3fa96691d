//! Real cobox processes in bad weather. Everything here runs the shipped programs from the outside, as a person and a computer would: it
//! knows their command line and what lies in a folder, and nothing of what is inside.
//!
//! One seed decides who is hit, when, and what people do meanwhile; how far a program has come at that moment is the machine's own. So a
//! seed that fails does not always fail again, but often: try it several times.
//!
//! `docs/storm.md` tells how to use it.

mod claims;
mod content;
mod dice;
mod disk;
mod kill;
mod machine;
mod person;
mod power;
mod sight;
mod tale;
pub mod wire;
mod world;

pub use kill::{KillStorm, Tally};
pub use machine::{FOLDER, Machine, PATIENCE, Programs, Role, own_address};
pub use power::PowerStorm;
pub use wire::{Weather, Wire};
