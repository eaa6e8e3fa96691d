//! One folder on this device: its thread ([`actor`]), the workers around it, and what it keeps.

mod actor;
mod apply;
mod config;
mod db;
mod hash;
mod left_out;
mod look;
mod lookback;
mod pace;
mod pieces;
mod records;
mod rest;
mod restoring;
mod sealing;
mod seen;
mod serve;

pub(crate) use actor::{FolderActor, FolderHandle, Happened, NotSaid, Parts, Surroundings, Wish, start};
pub(crate) use config::{FolderConfig, FolderConfigError, SeederConfig, Sort};
pub(crate) use db::{DbError, FolderDb};
pub(crate) use lookback::LookBack;
pub(crate) use records::Records;
pub(crate) use restoring::{NotRestored, Restored, Restorer, Target};
