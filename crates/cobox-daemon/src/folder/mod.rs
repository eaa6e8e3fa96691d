//! One folder on this device: its thread ([`actor`]), the workers around it, and what it keeps.

mod actor;
mod apply;
mod assembling;
mod config;
mod db;
mod drill;
mod hash;
mod left_out;
mod look;
mod lookback;
mod looks;
mod pace;
mod pieces;
mod records;
mod rest;
mod restoring;
mod sealing;
mod seen;
mod serve;

pub(crate) use actor::{FolderActor, FolderHandle, Happened, NoDrill, NotSaid, Parts, Surroundings, Wish, start};
pub(crate) use config::{FolderConfig, FolderConfigError, SeederConfig, Sort};
pub(crate) use db::{DbError, FolderDb};
#[cfg(test)]
pub(crate) use drill::NotGiven;
pub(crate) use drill::{CutOff, Drill, Drilled, LetsThrough};
pub(crate) use lookback::LookBack;
pub(crate) use records::Records;
pub(crate) use restoring::{NotRestored, Restored, Restorer, Target};
