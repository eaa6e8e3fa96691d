//! The scripts that need no programs, and the list of all.

mod pure;
mod tables;
