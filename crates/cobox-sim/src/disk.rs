//! A disk in memory: a tree of paths with inode numbers and times, and the place where replaced versions are kept. Operations
//! fail where those of a real disk would. Every change takes a new tick of the disk's own clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use cobox_core::engine::{FileId, Stamp, Stat, StepError};
use cobox_core::path::FolderPath;

/// Bytes of a file or target of a link, with their hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) hash: [u8; 32],
}

impl Bytes {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), hash: *blake3::hash(bytes).as_bytes() }
    }
}

/// What stands at a path.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Dir(u64),
    File { stamp: Stamp, content: Bytes },
    Link { stamp: Stamp, content: Bytes },
}

impl Node {
    pub(crate) fn content(&self) -> Option<&Bytes> {
        match self {
            Node::Dir(_) => None,
            Node::File { content, .. } | Node::Link { content, .. } => Some(content),
        }
    }

    fn stamp_mut(&mut self) -> Option<&mut Stamp> {
        match self {
            Node::Dir(_) => None,
            Node::File { stamp, .. } | Node::Link { stamp, .. } => Some(stamp),
        }
    }

    pub(crate) fn stat(&self) -> Stat {
        match self {
            Node::Dir(ino) => Stat::Dir(FileId { dev: 1, ino: *ino }),
            Node::File { stamp, .. } => Stat::File(*stamp),
            Node::Link { stamp, content } => {
                Stat::Symlink(*stamp, String::from_utf8_lossy(&content.bytes).into_owned())
            }
        }
    }

    fn number(&self) -> u64 {
        match self {
            Node::Dir(number) => *number,
            Node::File { stamp, .. } | Node::Link { stamp, .. } => stamp.id.ino,
        }
    }

    pub(crate) fn stamp(&self) -> Option<Stamp> {
        match self {
            Node::Dir(_) => None,
            Node::File { stamp, .. } | Node::Link { stamp, .. } => Some(*stamp),
        }
    }
}

/// What to write.
pub(crate) struct New {
    pub(crate) content: Bytes,
    pub(crate) link: bool,
    pub(crate) mtime_ns: i64,
    pub(crate) executable: bool,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) tree: BTreeMap<FolderPath, Node>,
    /// Versions set aside when they were replaced or removed by the program.
    pub(crate) kept: Vec<(Stamp, Bytes)>,
    /// Places whose listing fails, or that the person wants ignored: nothing is concluded about them.
    pub(crate) hidden: std::collections::BTreeSet<FolderPath>,
    ticks: u64,
    /// How coarsely it keeps times, nanoseconds; 0: as they are.
    pub(crate) grain_ns: i64,
    /// What is new has the number of what has gone last, as on ext4.
    pub(crate) reuses_numbers: bool,
    /// Numbers that nothing has any more; the last one gone is last.
    free: Vec<u64>,
}

impl Disk {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    /// The number of something new.
    fn number(&mut self, tick: u64) -> u64 {
        self.free.pop().unwrap_or(tick)
    }

    fn remove(&mut self, path: &FolderPath) {
        if let Some(node) = self.tree.remove(path) {
            self.frees(&node);
        }
    }

    fn frees(&mut self, node: &Node) {
        if self.reuses_numbers {
            self.free.push(node.number());
        }
    }

    fn kept_time(&self, time_ns: i64) -> i64 {
        time_ns - time_ns.checked_rem_euclid(self.grain_ns).unwrap_or(0)
    }

    /// How often it was changed.
    pub(crate) fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Goes back to what it was before; its clock does not.
    pub(crate) fn undo(&mut self, before: Self) {
        *self = Self { ticks: self.ticks, ..before };
    }

    pub(crate) fn has_dir(&self, path: &FolderPath) -> bool {
        path.is_root() || matches!(self.tree.get(path), Some(Node::Dir(_)))
    }

    /// The contents of what was set aside.
    pub(crate) fn kept_contents(&self) -> impl Iterator<Item = &Bytes> {
        self.kept.iter().map(|(_, content)| content)
    }

    fn has_parent(&self, path: &FolderPath) -> bool {
        path.parent().is_none_or(|parent| self.has_dir(&parent))
    }

    pub(crate) fn below(&self, path: &FolderPath) -> Vec<FolderPath> {
        let from = self.tree.range(path.clone()..);
        from.map(|(p, _)| p).take_while(|p| p.starts_with(path)).cloned().collect()
    }

    /// Puts a file or link in place of whatever file or link stands there: by renaming over (a new inode) or in place.
    pub(crate) fn put(&mut self, path: &FolderPath, new: New, in_place: bool) {
        let tick = self.tick();
        let old = self.tree.get(path).and_then(Node::stamp).filter(|_| in_place);
        let stamp = Stamp {
            size: new.content.bytes.len() as u64,
            mtime_ns: self.kept_time(new.mtime_ns),
            ctime_ns: tick as i64,
            id: old.map_or_else(|| FileId { dev: 1, ino: self.number(tick) }, |old| old.id),
            executable: new.executable,
        };
        let content = new.content;
        let node = if new.link { Node::Link { stamp, content } } else { Node::File { stamp, content } };
        let replaced = self.tree.insert(path.clone(), node).filter(|_| old.is_none());
        if let Some(replaced) = replaced {
            self.frees(&replaced);
        }
    }

    /// Numbers all files and directories anew, from the first number on.
    pub(crate) fn number_anew(&mut self) {
        for (node, ino) in self.tree.values_mut().zip(1..) {
            match node {
                Node::Dir(number) => *number = ino,
                Node::File { stamp, .. } | Node::Link { stamp, .. } => stamp.id.ino = ino,
            }
        }
        // The next new file is none of these.
        self.ticks = self.ticks.max(self.tree.len() as u64);
        self.free.clear();
    }

    pub(crate) fn make_dir(&mut self, path: &FolderPath) {
        let tick = self.tick();
        let number = self.number(tick);
        self.tree.insert(path.clone(), Node::Dir(number));
    }

    /// Moves a file, a link, or a directory with all below it; the target must be free.
    pub(crate) fn rename(&mut self, from: &FolderPath, to: &FolderPath) {
        let tick = self.tick();
        for path in self.below(from) {
            if let (Some(mut node), Some(now)) = (self.tree.remove(&path), path.rebased(from, to)) {
                if path == *from
                    && let Some(stamp) = node.stamp_mut()
                {
                    stamp.ctime_ns = tick as i64;
                }
                self.tree.insert(now, node);
            }
        }
    }

    pub(crate) fn touch(&mut self, path: &FolderPath, mtime_ns: i64, executable: bool) {
        let (tick, mtime_ns) = (self.tick(), self.kept_time(mtime_ns));
        if let Some(stamp) = self.tree.get_mut(path).and_then(Node::stamp_mut) {
            (stamp.mtime_ns, stamp.executable, stamp.ctime_ns) = (mtime_ns, executable, tick as i64);
        }
    }

    /// Removes without keeping, as people do.
    pub(crate) fn erase(&mut self, path: &FolderPath) {
        for path in self.below(path) {
            self.remove(&path);
        }
    }

    // ---- the program's steps: each checks what it expects first ----

    fn expect(&self, path: &FolderPath, expect: Option<Stamp>) -> Result<(), StepError> {
        match (self.tree.get(path), expect) {
            (None, None) => Ok(()),
            (Some(node), Some(expect)) if node.stamp() == Some(expect) => Ok(()),
            _ => Err(StepError::Changed),
        }
    }

    fn keep(&mut self, path: &FolderPath) {
        if let Some(node) = self.tree.remove(path) {
            self.kept.extend(node.stamp().zip(node.content().cloned()));
        }
    }

    pub(crate) fn step_make_dir(&mut self, path: &FolderPath) -> Result<Stat, StepError> {
        if !self.has_parent(path) || self.tree.contains_key(path) {
            return Err(StepError::Changed);
        }
        self.make_dir(path);
        Ok(self.tree[path].stat())
    }

    pub(crate) fn step_rename_dir(&mut self, from: &FolderPath, to: &FolderPath) -> Result<Stat, StepError> {
        if !matches!(self.tree.get(from), Some(Node::Dir(_))) || self.tree.contains_key(to) || !self.has_parent(to) {
            return Err(StepError::Changed);
        }
        self.rename(from, to);
        Ok(self.tree[to].stat())
    }

    pub(crate) fn step_rename_file(
        &mut self,
        from: &FolderPath,
        to: &FolderPath,
        expect: Stamp,
    ) -> Result<Stat, StepError> {
        self.expect(from, Some(expect))?;
        if self.tree.contains_key(to) || !self.has_parent(to) {
            return Err(StepError::Changed);
        }
        self.rename(from, to);
        Ok(self.tree[to].stat())
    }

    pub(crate) fn step_write(&mut self, path: &FolderPath, new: New, expect: Option<Stamp>) -> Result<Stat, StepError> {
        self.expect(path, expect)?;
        if !self.has_parent(path) {
            return Err(StepError::Changed);
        }
        self.keep(path);
        self.put(path, new, false);
        Ok(self.tree[path].stat())
    }

    pub(crate) fn step_set_meta(
        &mut self,
        path: &FolderPath,
        mtime_ns: i64,
        executable: bool,
        expect: Stamp,
    ) -> Result<Stat, StepError> {
        self.expect(path, Some(expect))?;
        self.touch(path, mtime_ns, executable);
        Ok(self.tree[path].stat())
    }

    pub(crate) fn step_remove(&mut self, path: &FolderPath, expect: Stamp) -> Result<(), StepError> {
        self.expect(path, Some(expect))?;
        self.keep(path);
        Ok(())
    }

    pub(crate) fn step_remove_dir(&mut self, path: &FolderPath) -> Result<(), StepError> {
        if !matches!(self.tree.get(path), Some(Node::Dir(_))) {
            return Err(StepError::Changed);
        }
        if self.below(path).len() > 1 {
            return Err(StepError::NotEmpty);
        }
        self.remove(path);
        Ok(())
    }
}
