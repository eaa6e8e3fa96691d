//! The border between what the disk says and what the engine knows: the same facts in the types of both. The engine knows no
//! disk, the disk no engine; whoever stands between them converts here and nowhere else.

use cobox_core::engine::{FileId, Stamp, Stat, StepError};

use super::db::{Piece, Place};
use crate::disk_tree::{ApplyError, DiskError, DiskTree, Expect, ReadError, Seen, Stamp as DiskStamp, Trouble};

/// A stamp of the disk, for the engine.
pub(super) fn stamp(seen: &DiskStamp) -> Stamp {
    Stamp {
        size: seen.size,
        mtime_ns: seen.mtime_ns,
        ctime_ns: seen.ctime_ns,
        id: FileId { dev: seen.dev, ino: seen.ino },
        executable: seen.executable,
    }
}

/// A stamp of the engine, for the disk.
pub(super) fn disk_stamp(stamp: &Stamp) -> DiskStamp {
    DiskStamp {
        size: stamp.size,
        mtime_ns: stamp.mtime_ns,
        ctime_ns: stamp.ctime_ns,
        ino: stamp.id.ino,
        dev: stamp.id.dev,
        executable: stamp.executable,
    }
}

/// What lies at a path; `None` for what is no content.
pub(super) fn stat(seen: Seen) -> Option<Stat> {
    match seen {
        Seen::Dir { ino, dev } => Some(Stat::Dir(FileId { dev, ino })),
        Seen::File(seen) => Some(Stat::File(stamp(&seen))),
        Seen::Symlink { stamp: seen, target } => Some(Stat::Symlink(stamp(&seen), target)),
        Seen::Other => None,
    }
}

/// What a step expects: this version, or nothing.
pub(super) fn expect(expected: Option<&Stamp>) -> Expect {
    expected.map_or(Expect::Absent, |expected| Expect::Stamp(disk_stamp(expected)))
}

/// What a step that was not made means to the engine.
pub(super) fn step_error(why: ApplyError) -> StepError {
    match why {
        // A directory above it has gone: there is something else now than the plan knew.
        ApplyError::Changed { .. } | ApplyError::Disk(DiskError::NoDirectory { .. }) => StepError::Changed,
        ApplyError::NotEmpty { .. } => StepError::NotEmpty,
        ApplyError::Disk(why) if why.trouble() == Trouble::DiskFull => StepError::DiskFull,
        why => StepError::Failed(why.to_string()),
    }
}

/// The bytes that lie at a place now, for a caller who compares them with the block they should be: the version is whichever
/// is there.
pub(super) fn read_piece(disk: &DiskTree, place: &Place, piece: &Piece) -> Result<Vec<u8>, ReadError> {
    let len = piece.len as usize;
    match place {
        Place::Kept(id) => match disk.kept_file(id.dev, id.ino)? {
            Some(kept) => disk.open_kept(&kept)?.read_at(piece.offset, len),
            None => Err(ReadError::Gone { path: format!("file {}", id.ino) }),
        },
        Place::File(path) => match disk.find(path)? {
            Some(Seen::File(now)) => disk.read_at(path, &now, piece.offset, len),
            _ => Err(ReadError::Gone { path: path.to_string() }),
        },
    }
}
