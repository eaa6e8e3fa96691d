//! Looking back: what the folder was at an earlier time, who changed what since, and what it takes to have it again.
//!
//! The heads of a folder are signed, dated and hang together; beneath each is a whole state. So history is not written anywhere: it is
//! read from what is kept. [`Chronicle`] puts heads in order of time, [`Past`] goes from one state to another by the nodes in which
//! they differ, [`changes`] tells what one head changed, [`page`] lists it all, newest first, [`Restoration`] says which files must
//! be written to have a state again, and [`forgettable`] which blocks may go so that a path is in none.
//!
//! What must hold: memory grows with what changed, never with the number of heads times the size of the folder; a state is believed
//! only after every node of it was checked as when it was first joined; nothing here changes a state or a head.

mod changes;
mod chronicle;
mod forgettable;
mod pages;
mod past;
mod restoration;

pub use changes::{Change, Entry, changes};
pub use chronicle::{Chronicle, Told};
pub use forgettable::{ForgetError, Forgettable, forgettable};
pub use pages::{Cursor, Dated, Page, PageOf, page};
pub use past::{Nodes, Past, PastError};
pub use restoration::{Restoration, Then, Version, state_at, state_of};
