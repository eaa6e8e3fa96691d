//! The state of a folder under random histories, in lockstep with a naive twin, and as named stories.

mod dice;
mod forks;
mod histories;
mod joins;
mod party;
mod stories;
mod twin;
mod world;
