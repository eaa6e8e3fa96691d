//! The sign that somebody has a file open: which file an editor's lock speaks of, when a run of saves counts as editing, what a device
//! tells the others of it, and when what was told is over.
//!
//! A sign is soft: nothing waits for it, nothing is refused for it, and it is part of no state. It lives in memory alone, from one word of
//! a connected device to the next, and ends by itself when no word comes. What must hold: everything here has a bound, whatever lies on the
//! disk and whatever a member says.

mod elsewhere;
mod here;
mod lock;
mod note;

pub use elsewhere::{EditedElsewhere, Sign};
pub use here::EditedHere;
pub use lock::{file_of, is_lock};
pub use note::{EditedFile, EditingNote};

/// A device repeats what it has open after so many milliseconds ...
pub const RENEWED_MS: u64 = 60_000;
/// ... and what was not repeated for so long is over: two may be lost.
pub const LASTS_MS: u64 = 150_000;
