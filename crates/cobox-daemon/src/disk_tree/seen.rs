//! What lies at a path, and how it is known to be unchanged.

use rustix::fs::{FileType, Stat};

/// What "unchanged" means: a file whose stamp is equal has not been written since, as far as the disk tells. Size and mtime alone can be
/// equal after an edit; ctime and inode can not be set back by programs (l6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Bytes of content.
    pub size: u64,
    /// When content was written; may be set to anything. Saturates outside of 1677 to 2262.
    pub mtime_ns: i64,
    /// When content or inode changed; set by the kernel alone.
    pub ctime_ns: i64,
    /// Inode number.
    pub ino: u64,
    /// Device of the inode.
    pub dev: u64,
    /// Whether the owner may execute it.
    pub executable: bool,
}

/// Nanoseconds after a change within which another change may leave the same stamp: FAT counts mtimes in 2 s.
const SETTLED_AFTER_NS: i64 = 2_100_000_000;

impl Stamp {
    /// Equal but for ctime, which a rename sets too.
    pub(crate) fn same_but_moved(&self, other: &Stamp) -> bool {
        Stamp { ctime_ns: 0, ..*self } == Stamp { ctime_ns: 0, ..*other }
    }

    /// Whether a write that comes after `now_ns` is sure to change this stamp. If not, clocks of files are too coarse to tell it: look
    /// once more later, and read then.
    pub fn is_settled(&self, now_ns: i64) -> bool {
        let latest = self.mtime_ns.max(self.ctime_ns);
        // Times in the future say nothing about now; ctime is then the judge.
        let latest = if latest > now_ns { self.ctime_ns } else { latest };
        now_ns.saturating_sub(latest) > SETTLED_AFTER_NS
    }
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A directory, told apart by its inode.
    Dir {
        /// Inode number.
        ino: u64,
        /// Its device.
        dev: u64,
    },
    /// A regular file.
    File(Stamp),
    /// A symlink. Whether it is content follows from where it leads (`cobox_core::symlink`).
    Symlink {
        /// Of the link itself.
        stamp: Stamp,
        /// As written in the link.
        target: String,
    },
    /// Something that is no content of a folder: a pipe, socket or device, or a symlink whose text is no UTF-8. The walk skips and
    /// reports it; nothing may be written there.
    Other,
}

impl Seen {
    /// The stamp of a file or symlink.
    pub fn stamp(&self) -> Option<&Stamp> {
        match self {
            Seen::File(stamp) | Seen::Symlink { stamp, .. } => Some(stamp),
            Seen::Dir { .. } | Seen::Other => None,
        }
    }
}

// The fields of `Stat` differ in type between systems.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion, trivial_numeric_casts)]
pub(crate) fn stamp_of(stat: &Stat) -> Stamp {
    Stamp {
        size: stat.st_size as u64,
        mtime_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        ctime_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        ino: stat.st_ino as u64,
        dev: stat.st_dev as u64,
        executable: stat.st_mode & 0o100 != 0,
    }
}

#[allow(clippy::unnecessary_cast, trivial_numeric_casts)]
pub(crate) fn ino_dev(stat: &Stat) -> (u64, u64) {
    (stat.st_ino as u64, stat.st_dev as u64)
}

pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn nanoseconds(seconds: i64, part: i64) -> i64 {
    let exact = i128::from(seconds) * 1_000_000_000 + i128::from(part);
    exact.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// A time as the kernel takes it; before 1970 the seconds are rounded down.
pub(crate) fn timespec(ns: i64) -> rustix::fs::Timespec {
    rustix::fs::Timespec { tv_sec: ns.div_euclid(1_000_000_000), tv_nsec: ns.rem_euclid(1_000_000_000) }
}
