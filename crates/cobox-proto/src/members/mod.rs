//! Who belongs to a folder and what they may do: a log of signed, hash-linked ops from the genesis on, and the pure function
//! that resolves it. Everything here is blind: a seeder verifies the same log with the same code and no key.
//!
//! `genesis`, `op`, `signed` and `envelope` are the format; they say what is written, never whether it counts.

mod envelope;
mod genesis;
mod keys;
mod op;
mod signed;

pub use envelope::{Envelope, EnvelopeList};
pub use genesis::{FolderKind, GENESIS_VERSION, Genesis, GenesisError, Policy};
pub use keys::{HpkeKey, KeyPair};
pub use op::{EpochParams, OP_VERSION, Op, OpBody, Padding, Retention, Role, Signer};
pub use signed::{OpError, SignedOp};
