//! One folder as it lies on this machine's disk: found, listed, read, watched and written, in plain files.
//!
//! Owns everything below the folder's root, its control directory `.cobox` included. What must always hold:
//! - Nothing outside the root is read, written or removed, and no symlink is ever followed: each path is opened component by
//!   component, relative to a handle of the root.
//! - A version that we have not seen is never lost. Files are moved aside into `.cobox/keep`, never unlinked, and what was
//!   moved is looked at again; what was not expected goes back to where it was.
//! - A folder that is gone is an error, never an empty folder; a directory that can not be read is reported, never empty.
//!
//! Control directory: `marker` (whose folder this is), `tmp/` (files being received), `keep/` (versions put aside), `names`
//! (what this disk can not call by its name). Plain blocking code; it knows nothing of blocks, heads or peers, decides nothing
//! and retries nothing: the folder's engine does.

mod apply;
mod beneath;
mod beside;
mod ignore;
mod kept;
mod names;
mod probe;
mod read;
mod root;
mod seen;
mod temp;
mod walk;
mod watch;

#[cfg(test)]
mod tests;

pub use apply::{Applied, ApplyError, Expect};
pub use beneath::{DiskError, Trouble};
pub use ignore::{BadPattern, IGNORE_FILE, Ignore};
pub use kept::{Kept, KeptId};
pub use names::NamesError;
pub(crate) use names::Spelling;
pub use read::ReadError;
pub use root::{CopyId, OffLimits, RootError};
pub use seen::{Seen, Stamp};
pub(crate) use temp::FILES_SYNCED_ALONE_MAX;
pub use temp::TempFile;
pub use walk::{SkipReason, Skipped, WalkReport};
pub use watch::{Begun, Watch, WatchEvent, WatchSettings};

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

pub use cobox_core::names::DiskKind;
use cobox_core::names::Names;
use cobox_proto::id::FolderId;

/// A folder on disk, verified to be the one it should be. Clones share one handle and may be used from several threads.
#[derive(Clone)]
pub struct DiskTree(Arc<Inner>);

pub(crate) struct Inner {
    folder: FolderId,
    copy: CopyId,
    /// Canonical, for messages, for the watcher, and to notice that another directory lies there now. Files are never opened by it.
    path: PathBuf,
    /// Held for as long as the tree is: every access starts here. A tree that is paused should be dropped, or its disk can not be
    /// unmounted.
    root: std::os::fd::OwnedFd,
    kind: DiskKind,
    names: RwLock<Names>,
    /// The table changed and could not be written.
    names_unwritten: AtomicBool,
    syncs: temp::Syncs,
    /// Read buffers at rest.
    buffers: Mutex<Vec<Vec<u8>>>,
    /// Runs between the last comparison and the rename, and once more after it, so that tests can be the other program.
    #[cfg(test)]
    before_swap: Mutex<Option<Box<dyn FnMut() + Send>>>,
}

impl DiskTree {
    /// Whose files these are.
    pub fn folder(&self) -> &FolderId {
        &self.0.folder
    }
    /// Which adoption this is: a marker made anew, even by hand, has another. What was agreed with one copy says nothing of another (h1).
    pub fn copy_id(&self) -> CopyId {
        self.0.copy
    }
    /// Where it lies.
    pub fn path(&self) -> &std::path::Path {
        &self.0.path
    }
    /// What the disk can and can not do.
    pub fn kind(&self) -> DiskKind {
        self.0.kind
    }
}

impl std::fmt::Debug for DiskTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskTree").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}
