//! What two ends of a connection say to each other, byte for byte. [`Frame`] is the connection's own talk, [`Message`] what is
//! said about one folder, [`proof`] how keys are shown. Blocks travel beside the frames, on streams of their own.
//!
//! Every frame has one encoding, every list and byte string a bound. Ops, heads and receipts stay sealed bytes here: whoever
//! judges them verifies them.

mod frame;
mod message;
mod nameplate;
pub mod proof;

pub use frame::{Channel, FoundFolder, Frame, GoodbyeReason, Hello, Party, VERSIONS};
pub use message::{AddressNote, ChainWanted, ClaimRefusal, LogEntry, LogPart, Message, OpEnvelopes, Removal, Tip};
pub use nameplate::{Guess, Half, Nameplate, Told};
