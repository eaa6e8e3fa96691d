//! The world in a seed: members with the real engine and the real replica, memory disks, links that delay and break, people
//! who edit, machines that stop and are restored from backups, all under virtual time. After the storm comes a quiet phase;
//! then the oracles look whether anything was lost, invented, brought back to life or left different.
//!
//! What must hold: one seed is one story, to the last byte (O10). Nothing here reads a clock or draws from the system.

pub mod cases;
mod cast;
mod dice;
mod disk;
mod faults;
mod haste;
mod host;
mod ignore;
mod ledger;
mod links;
mod member;
mod membership;
mod people;
pub mod plans;
mod quiet;
mod scan;
mod script;
mod segments;
mod twin;
mod witness;
mod work;
mod world;

pub use cast::Cast;
pub use script::Backup;
pub use world::{Options, Report, World, run};
