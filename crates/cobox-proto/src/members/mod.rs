//! Who belongs to a folder and what they may do: a log of signed, hash-linked ops from the genesis on, and the pure function
//! that resolves it. Everything here is blind: a seeder verifies the same log with the same code and no key.
//!
//! * `genesis`, `op`, `signed`, `envelope`: the format; what is written, never whether it counts.
//! * `log` keeps the DAG; `authority` judges each op in its own past, once; `resolve` decides which ops stand together;
//!   `standing` and `epoch` work out what those amount to; `roster` and `heads` answer questions about it.

mod authority;
mod envelope;
mod epoch;
mod genesis;
mod heads;
mod keys;
mod log;
mod op;
mod past;
mod resolve;
mod roster;
mod signed;
mod standing;

pub use authority::Void;
pub use envelope::{Envelope, EnvelopeList};
pub use genesis::{FolderKind, GENESIS_VERSION, Genesis, GenesisError, Policy};
pub use heads::HeadAuthority;
pub use keys::{HpkeKey, KeyPair};
pub use log::{Added, Log, LogError};
pub use op::{EpochParams, OP_VERSION, Op, OpBody, Padding, Retention, Role, Signer};
pub use resolve::{resolve, resolve_at};
pub use roster::{Device, EpochInfo, Forget, InviteInfo, Member, MissingGrant, Recipient, Removal, Roster, Seeder};
pub use signed::{OpError, SignedOp};
