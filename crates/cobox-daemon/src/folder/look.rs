//! Looks at the disk: one thread per folder that lists what the actor asks for, in parts, so that no listing ever stands in
//! memory whole.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use cobox_core::engine::Stat;
use cobox_core::path::FolderPath;

use crate::disk_tree::{DiskTree, Ignore, RootError};

/// Entries handed over at once.
const PART_ENTRIES: usize = 1024;

/// What the listing found.
#[derive(Debug)]
pub(super) enum Looked {
    /// A part of the listing.
    Listed(Vec<(FolderPath, Stat)>),
    /// The listing ended.
    Ended {
        /// Paths below which nothing may be concluded, with the reason.
        unreadable: Vec<(FolderPath, String)>,
        /// What is there and is not synced, with the reason.
        skipped: Vec<(String, String)>,
    },
    /// The folder itself is not there.
    RootLost(RootError),
}

/// Lists each request: everything if it names no path, else these paths and what is below them.
pub(super) fn run(disk: &Arc<DiskTree>, requests: &Receiver<Vec<FolderPath>>, tell: &dyn Fn(Looked)) {
    while let Ok(under) = requests.recv() {
        if let Err(lost) = disk.verify_root() {
            tell(Looked::RootLost(lost));
            continue;
        }
        let ignore = Ignore::load(disk);
        let mut part = Vec::new();
        let mut unreadable = Vec::new();
        let mut skipped = Vec::new();
        let mut sink = |path: FolderPath, stat: Stat| {
            part.push((path, stat));
            if part.len() >= PART_ENTRIES {
                tell(Looked::Listed(std::mem::take(&mut part)));
            }
        };
        let starts: Vec<Option<&FolderPath>> =
            if under.is_empty() { vec![None] } else { under.iter().map(Some).collect() };
        for start in starts {
            let report = disk.walk(&ignore, start, &mut sink);
            unreadable.extend(report.unreadable);
            skipped.extend(report.skipped.into_iter().map(|(name, why)| (name, why.to_string())));
        }
        if !part.is_empty() {
            tell(Looked::Listed(part));
        }
        tell(Looked::Ended { unreadable, skipped });
    }
}
