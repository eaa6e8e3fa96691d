//! All that crosses the border between the engine and the world, in two enums.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cobox_proto::head::SignedHead;
use cobox_proto::id::{Cid, EpochTag, HeadId, Inode, OpId};
use smallvec::SmallVec;

use super::{Brake, IgnoreRules, VaultMark};
use crate::keys::FolderKeys;
use crate::path::FolderPath;
use crate::seal::SealedBlock;
use crate::state::{Body, Dot, EpochDepth, Kind};

/// Which file or directory of this disk: what a rename keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

/// What "unchanged" means for a file: all of it equal. `ctime` catches writers that set the old time back (L6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Modification, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Inode change, nanoseconds since 1970.
    pub ctime_ns: i64,
    /// Which file.
    pub id: FileId,
    /// Owner may execute.
    pub executable: bool,
}

/// What a listing saw at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stat {
    /// A directory.
    Dir(FileId),
    /// A regular file.
    File(Stamp),
    /// A symbolic link and its target.
    Symlink(Stamp, String),
}

/// What the folder's disk and the state last agreed on at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The item behind the path (the smallest inode of a union directory).
    pub inode: Inode,
    /// File, directory or symlink.
    pub kind: Kind,
    /// The disk's identity of it.
    pub id: FileId,
    /// The stamp of a file or symlink; `None` for directories.
    pub stamp: Option<Stamp>,
    /// Digest of the content.
    pub digest: [u8; 32],
    /// The body dots the person has seen at this path; what an edit here replaces.
    pub seen: SmallVec<[Dot; 1]>,
    /// Equal contents of other items hiding behind the path; they go with it.
    pub twins: Vec<(Inode, Dot)>,
}

impl Synced {
    /// A directory.
    pub fn dir(inode: Inode, id: FileId) -> Self {
        let (digest, seen, twins) = ([0; 32], SmallVec::new(), Vec::new());
        Self { inode, kind: Kind::Dir, id, stamp: None, digest, seen, twins }
    }
}

/// Names one step until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepId(pub u64);

/// One thing to do in the folder. Each names what must be there before; if something else is, the step fails with
/// [`StepError::Changed`] and nothing was touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a directory.
    MakeDir {
        /// Where.
        path: FolderPath,
    },
    /// Move a directory with all that is in it.
    RenameDir {
        /// From.
        from: FolderPath,
        /// To.
        to: FolderPath,
    },
    /// Move a file or symlink whose content stays.
    RenameFile {
        /// From.
        from: FolderPath,
        /// To; nothing may be there.
        to: FolderPath,
        /// What stands at `from`.
        expect: Stamp,
    },
    /// Write a file or symlink; the old one, if any, is set aside.
    Write {
        /// Where.
        path: FolderPath,
        /// File or symlink.
        kind: Kind,
        /// What.
        body: Box<Body>,
        /// What stands there now; `None` = nothing.
        expect: Option<Stamp>,
        /// The place from which this very content is about to be driven away, and what stands there: if that is gone, a person took it
        /// away, and nothing is written.
        source: Option<(FolderPath, Stamp)>,
        /// Whether it may be noise.
        let_in: bool,
    },
    /// Set time and executable bit; the content is right already.
    SetMeta {
        /// Where.
        path: FolderPath,
        /// Time to set.
        mtime_ns: i64,
        /// Bit to set.
        executable: bool,
        /// What stands there now.
        expect: Stamp,
    },
    /// Set a file or symlink aside.
    Remove {
        /// Where.
        path: FolderPath,
        /// What stands there now.
        expect: Stamp,
    },
    /// Remove a directory if it is empty.
    RemoveDir {
        /// Where.
        path: FolderPath,
    },
}

impl Step {
    /// The path it ends at.
    pub fn path(&self) -> &FolderPath {
        match self {
            Step::MakeDir { path }
            | Step::Write { path, .. }
            | Step::SetMeta { path, .. }
            | Step::Remove { path, .. }
            | Step::RemoveDir { path } => path,
            Step::RenameDir { to, .. } | Step::RenameFile { to, .. } => to,
        }
    }

    /// Every path it changes, or rests on.
    pub fn paths(&self) -> impl Iterator<Item = &FolderPath> {
        let from = match self {
            Step::RenameDir { from, .. }
            | Step::RenameFile { from, .. }
            | Step::Write { source: Some((from, _)), .. } => Some(from),
            _ => None,
        };
        std::iter::once(self.path()).chain(from)
    }
}

/// Why a step was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepError {
    /// Something else is there than the step expected: look again.
    Changed,
    /// The directory holds files the engine does not know (ignored, or not scanned yet).
    NotEmpty,
    /// The disk is full.
    DiskFull,
    /// What came looks like noise and what it would replace does not: it is not written before it is known how much more of that comes.
    Noise,
    /// The content can not be had now; it is tried again when a holder appears.
    NoContent,
    /// What was published as this file can not be put together; whoever wrote it must write it again.
    Unusable(String),
    /// Anything else, in words.
    Failed(String),
}

/// What the membership says now, as far as the engine needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The frontier of the log, for `Head::auth`.
    pub auth: Vec<OpId>,
    /// The epoch to write under.
    pub epoch: Option<EpochTag>,
    /// Whether this device may write by its role. It publishes only while there is an epoch, too: until then its edits wait.
    pub can_write: bool,
    /// How far each epoch is from the first: settles which of two sealings of one value is the newer (formats F5).
    pub depths: BTreeMap<EpochTag, u64>,
}

impl EpochDepth for Standing {
    fn depth(&self, epoch: &EpochTag) -> u64 {
        self.depths.get(epoch).copied().unwrap_or(0)
    }
}

/// What the world tells the engine.
#[derive(Debug, Clone)]
pub enum Input {
    /// Which versions lie set aside on this disk, as they were in their places; told before the first look, and before the next one
    /// after a step that failed with anything but [`StepError::Changed`]. What is missing from its place and lies here was moved
    /// by a step that could not tell of it, not by a person.
    SetAside(Vec<Stamp>),
    /// A look at the disk begins: of everything, or of these paths and what is below them.
    ScanBegun {
        /// Empty = everything.
        under: Vec<FolderPath>,
    },
    /// What is no content on this machine: by these rules the look under way leaves paths out. They come before its listing;
    /// when they have changed, everything is to be looked at.
    Rules(Arc<dyn IgnoreRules>),
    /// A part of the listing.
    Listed(Vec<(FolderPath, Stat)>),
    /// Answers [`Output::Hash`].
    Hashed {
        /// The file.
        path: FolderPath,
        /// As it was while it was read.
        stamp: Stamp,
        /// Its content, sealed.
        body: Box<Body>,
    },
    /// The file could not be read whole; nothing is concluded about it.
    HashFailed {
        /// The file.
        path: FolderPath,
    },
    /// The listing ended. Below `unreadable` nothing is concluded (D6, D7).
    ScanEnded {
        /// Paths whose listing failed.
        unreadable: Vec<FolderPath>,
    },
    /// A head that the blind rules accepted.
    Head(Box<SignedHead>),
    /// A head that was told of does not count by itself any more: its device was removed.
    Quarantined(HeadId),
    /// The delta of a head that comes right behind it.
    Delta {
        /// Its verified name.
        cid: Cid,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A metadata block that was asked for by [`Output::Want`].
    Block {
        /// Its verified name.
        cid: Cid,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Of these heads somebody who is connected, for [`super::PATIENCE_MS`] or longer, says to have the whole tree.
    LieWhole(BTreeSet<HeadId>),
    /// The log or the keys changed.
    Standing(Standing),
    /// The keys changed.
    Keys(Box<FolderKeys>),
    /// A step ended; for writes and renames with the new stamp of what stands at the path.
    StepDone {
        /// Which.
        id: StepId,
        /// What is there now; `None` after removals.
        now_there: Option<Stat>,
    },
    /// A step was not done.
    StepFailed {
        /// Which.
        id: StepId,
        /// Why.
        why: StepError,
    },
    /// A person decided about a held change.
    Decide {
        /// `true`: go on with it, which changes nothing as long as [`super::Engine::may_let_out`] says no; `false`: bring the files back.
        approve: bool,
    },
    /// A person decided about held changes of others.
    DecideIncoming {
        /// `true`: go on with it; `false`: what stands here is published anew.
        approve: bool,
    },
    /// By what the brake judges from now on.
    Brake(Brake),
    /// These files of the look under way look like noise; told before their content.
    Noise(Vec<FolderPath>),
    /// A person has asked for these to go, and they are about to: their going is not held. In place of those named before.
    Agreed(BTreeSet<FolderPath>),
    /// The newest head of the person's own vault, to be named in every head from now on.
    Vault(VaultMark),
    /// A person wants contents sealed under the newest keys, as far as they are on this disk; told again after every start until
    /// [`Event::Resealed`].
    ResealContents,
    /// The time of [`Output::WakeAt`] has come.
    Woken,
    /// Somebody is at work in the folder, and what they did is not looked at yet: a burst may go on.
    Heard,
}

/// What is to be remembered across restarts, with the blocks stored before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Root of the joined state.
    pub root: Cid,
    /// The epoch it is sealed under.
    pub epoch: EpochTag,
    /// The heads whose join the state is.
    pub frontier: Vec<HeadId>,
    /// Paths that changed in the synced tree; `None` = gone.
    pub synced: Vec<(FolderPath, Option<Arc<Synced>>)>,
    /// The head that this state is about to be published by. If a stop comes before [`Output::Publish`], it is published at
    /// the next start: what it says is in the synced tree already, and would never be said again.
    pub head: Option<Box<SignedHead>>,
}

impl Memory {
    /// Takes in the next one: both become durable together.
    pub fn absorb(&mut self, later: Memory) {
        let mut synced = std::mem::take(&mut self.synced);
        synced.extend(later.synced);
        let head = later.head.or(self.head.take());
        *self = Memory { synced, head, ..later };
    }
}

/// Something a person may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A local change was published.
    Committed {
        /// Paths written.
        changed: u64,
        /// Paths removed.
        removed: u64,
    },
    /// Changes of others were joined.
    Joined {
        /// By whom: the head.
        head: HeadId,
    },
    /// A file arrived or changed here.
    Applied {
        /// Where.
        path: FolderPath,
    },
    /// Two versions of one file stand side by side.
    Conflict {
        /// The copy.
        path: FolderPath,
    },
    /// Deletions are held back until a person decides.
    Held {
        /// How many files.
        files: u64,
    },
    /// A head of this author can not be read as its format demands.
    BadHead {
        /// Which.
        head: HeadId,
        /// Why.
        why: String,
    },
    /// Contents on this disk are under the newest keys.
    Resealed {
        /// Files that could not be read, or were not what the state says.
        left_out: u64,
    },
    /// Somebody else writes with this device's key: it seems to be duplicated (N8). Told once in a run.
    Duplicated {
        /// The foreign head.
        head: HeadId,
    },
}

/// What the engine asks of the world. Outputs are carried out in order; a later one counts only once the earlier is durable.
#[derive(Debug, Clone)]
pub enum Output {
    /// Read, chunk and seal these files; answer each with `Hashed` or `HashFailed`.
    Hash(Vec<(FolderPath, Stamp)>),
    /// Keep these blocks.
    Store(Vec<SealedBlock>),
    /// Make durable, in one transaction.
    Remember(Memory),
    /// The delta of the head that is published next: for whoever is connected, not kept.
    SendDelta(SealedBlock),
    /// Keep with the known heads, then publish. It is durable since the [`Memory`] before it.
    Publish(Box<SignedHead>),
    /// Fetch these metadata blocks.
    Want(Vec<Cid>),
    /// Do these in the folder.
    Do(Vec<(StepId, Step)>),
    /// No longer wanted; a step already begun may still report.
    Cancel(StepId),
    /// Look at these paths again soon.
    Rescan(Vec<FolderPath>),
    /// Tell people.
    Tell(Event),
    /// Call again with `Woken` at this time (milliseconds).
    WakeAt(u64),
}
