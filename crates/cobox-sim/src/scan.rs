//! A look at a disk that goes on changing meanwhile: a few entries at a time, then the files to read, one by one.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use cobox_core::chunk::Cutter;
use cobox_core::content::{ContentWriter, Written};
use cobox_core::engine::{Input, Stamp, Stat};
use cobox_core::keys::FolderKeys;
use cobox_core::path::FolderPath;
use cobox_core::seal::SealedBlock;
use cobox_core::state::{Body, Ref};
use cobox_proto::id::EpochTag;

use crate::disk::{Bytes, Disk, Node};
use crate::ignore::Rules;

/// Where the look is.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    under: Vec<FolderPath>,
    pub(crate) rules: Arc<Rules>,
    /// What a lying listing says nothing about.
    pub(crate) left_out: BTreeSet<FolderPath>,
    last: Option<FolderPath>,
    pub(crate) listed: bool,
    pub(crate) to_read: VecDeque<FolderPath>,
    /// Read, and not told yet.
    pub(crate) late: VecDeque<Input>,
}

impl Scan {
    pub(crate) fn begin(under: Vec<FolderPath>, rules: Arc<Rules>, left_out: BTreeSet<FolderPath>) -> Self {
        let (to_read, late) = (VecDeque::new(), VecDeque::new());
        Self { under, rules, left_out, last: None, listed: false, to_read, late }
    }

    /// The next piece of the listing: at most `max` entries; the end when there are no more.
    pub(crate) fn go_on(&mut self, disk: &Disk, max: usize) -> Option<Input> {
        if self.listed {
            return None;
        }
        let from = self.last.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let covered = |path: &FolderPath| {
            self.goes_to(path)
                && !disk.hidden.iter().any(|h| path.starts_with(h))
                && !self.rules.ignores(path, disk.has_dir(path))
                && !self.left_out.iter().any(|out| path.starts_with(out))
        };
        let entries: Vec<(FolderPath, Stat)> = disk
            .tree
            .range((from, Bound::Unbounded))
            .filter(|(path, _)| covered(path))
            .take(max)
            .map(|(path, node)| (path.clone(), node.stat()))
            .collect();
        if let Some((last, _)) = entries.last() {
            self.last = Some(last.clone());
            return Some(Input::Listed(entries));
        }
        self.listed = true;
        Some(Input::ScanEnded { unreadable: disk.hidden.iter().cloned().collect() })
    }

    /// Whether it goes to this place.
    pub(crate) fn goes_to(&self, path: &FolderPath) -> bool {
        self.under_all() || self.under.iter().any(|top| path.starts_with(top))
    }

    pub(crate) fn under_all(&self) -> bool {
        self.under.is_empty()
    }

    pub(crate) fn is_read(&self) -> bool {
        self.listed && self.to_read.is_empty()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_read() && self.late.is_empty()
    }
}

/// A file that was read and sealed.
pub(crate) struct Read {
    pub(crate) stamp: Stamp,
    pub(crate) body: Body,
    pub(crate) chunks: Vec<Ref>,
    pub(crate) blocks: Vec<SealedBlock>,
    pub(crate) content: Bytes,
}

/// Reads a file; `None` if none is there any more.
pub(crate) fn read(
    keys: &FolderKeys,
    cutter: &Cutter,
    epoch: EpochTag,
    disk: &Disk,
    path: &FolderPath,
) -> Option<Read> {
    let node = disk.tree.get(path)?;
    let (stamp, content) = match node {
        Node::File { stamp, content } => (*stamp, content.clone()),
        Node::Link { .. } | Node::Dir(_) => return None,
    };
    let mut writer = ContentWriter::new(keys, cutter, epoch);
    writer.push(&content.bytes);
    let Written { content: sealed, plain_digest, size, chunks, blocks } = writer.finish();
    let body = Body { size, mtime_ns: stamp.mtime_ns, executable: stamp.executable, plain_digest, content: sealed };
    Some(Read { stamp, body, chunks, blocks, content })
}
