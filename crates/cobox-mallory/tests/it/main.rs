//! The scripts that need no programs, and the list of all.

mod live;
mod pure;
mod tables;
