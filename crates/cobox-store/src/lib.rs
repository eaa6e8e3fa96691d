//! Where sealed blocks and the signed records of folders lie on disk. Blind: nothing here opens a block or reads a name.
//!
//! * [`BlockStore`] holds blocks by name: [`DiskStore`] in append-only segments with an SQLite index, or on another [`Disk`], as
//!   [`MemDisk`] is one; [`MemStore`] in memory.
//! * [`DiskShelf`] shows the blocks of a folder to a seeder's brain.
//! * [`FolderStore`] holds ops, envelopes, heads, receipts and small values, by folder.
//!
//! The durability promise, the same for both: when a call that writes returns `Ok`, a power cut cannot undo it; when it
//! returns an error or never returns, either all of it happened or nothing a reader can see. All calls block: run them on a
//! thread that may wait for a disk.

mod block_store;
pub mod crash_point;
mod database;
mod disk;
mod error;
mod folder_store;
mod mem;
mod mem_disk;
mod shelf;

pub use block_store::{BlockStore, CheckReport, Compacted, Entry, Stats, Status};
pub use disk::{Change, CheckMark, Disk, DiskFile, DiskStore, Index, Indexed, LocalDisk, Place, Recovered, Segment};
pub use error::StoreError;
pub use folder_store::{Batch, FolderStore, HeadState, StoredHead, StoredReceipt};
pub use mem::MemStore;
pub use mem_disk::{Fair, MemDisk, MemFile, MemIndex, Outcome, Weather};
pub use shelf::DiskShelf;
