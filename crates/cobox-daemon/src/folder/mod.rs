//! One folder on this device: its thread ([`actor`]), the workers around it, and what it keeps.

mod actor;
mod apply;
mod config;
mod db;
mod hash;
mod look;
mod lookback;
mod pieces;
mod records;
mod restoring;
mod seen;
mod serve;

pub(crate) use actor::{FolderActor, FolderHandle, Happened, Parts, Surroundings, start};
pub(crate) use config::{FolderConfig, FolderConfigError, SeederConfig, Sort};
pub(crate) use db::{DbError, FolderDb};
pub(crate) use lookback::LookBack;
pub(crate) use records::Records;
pub(crate) use restoring::{NotRestored, Restored, Restorer, Target};

use cobox_proto::id::OpId;
use cobox_proto::members::{Envelope, EnvelopeList};
use cobox_proto::wire::OpEnvelopes;

/// The envelope of a grant, as it travels.
pub(crate) fn grant_envelope(op: OpId, envelope: Envelope) -> OpEnvelopes {
    OpEnvelopes { op, list: EnvelopeList::default(), envelopes: vec![envelope] }
}

/// The envelopes of a new epoch, as they travel.
pub(crate) fn bundle_envelopes(op: OpId, envelopes: Vec<Envelope>) -> OpEnvelopes {
    OpEnvelopes { op, list: EnvelopeList::of(&envelopes), envelopes }
}
