//! The files and directories of a disk, as they are and as they would be found after a power cut. Knows nothing of FUSE.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::io::Errno;

/// The inode of the top directory.
pub(crate) const ROOT: u64 = 1;

/// What is left when a machine starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// All: the program was killed, the system was not.
    All,
    /// What was synced, and nothing else.
    Synced,
    /// All names; of each file half of what was written to it since its last sync, and half of the write in the middle; nothing
    /// of one that never was synced.
    Torn,
}

impl Left {
    /// Each kind.
    pub const EVERY: [Self; 3] = [Self::All, Self::Synced, Self::Torn];
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    File,
    Dir(Arc<BTreeMap<OsString, u64>>),
    Link(Arc<Path>),
}

/// What a name may stand for, but for the bytes of files.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    pub(crate) owner: (u32, u32),
    pub(crate) links: u32,
    pub(crate) accessed: SystemTime,
    pub(crate) modified: SystemTime,
    pub(crate) changed: SystemTime,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    SetLen(u64),
}

/// The bytes of a file.
#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    /// `None`: never yet.
    synced: Option<Vec<u8>>,
    since: Vec<Change>,
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => to.resize(*len as usize, 0),
            Self::Write { at, bytes } => {
                let at = *at as usize;
                to.resize(to.len().max(at + bytes.len()), 0);
                to[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

impl Content {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        self.since.push(change);
    }

    fn sync(&mut self) {
        self.synced = Some(self.bytes.clone());
        self.since.clear();
    }

    fn torn(&self) -> Vec<u8> {
        // Its name may be on the disk long before its first bytes are.
        let Some(mut bytes) = self.synced.clone() else { return Vec::new() };
        let half = self.since.len() / 2;
        for change in &self.since[..half] {
            change.apply(&mut bytes);
        }
        if let Some(Change::Write { at, bytes: written }) = self.since.get(half) {
            let first = written[..written.len() / 2].to_vec();
            Change::Write { at: *at, bytes: first }.apply(&mut bytes);
        }
        bytes
    }
}

/// What a disk holds.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    nodes: BTreeMap<u64, Node>,
    /// As the last sync of anything left them.
    synced: BTreeMap<u64, Node>,
    contents: BTreeMap<u64, Content>,
    last: u64,
    /// Names that differ in case are one.
    pub(crate) folds_case: bool,
}

impl Default for Tree {
    fn default() -> Self {
        let nodes = BTreeMap::from([(ROOT, Node::new(Kind::Dir(Arc::default()), 0o700, (0, 0)))]);
        Self { synced: nodes.clone(), nodes, contents: BTreeMap::new(), last: ROOT, folds_case: false }
    }
}

impl Node {
    fn new(kind: Kind, mode: u16, owner: (u32, u32)) -> Self {
        let now = SystemTime::now();
        let links = if matches!(kind, Kind::Dir(_)) { 2 } else { 1 };
        Self { kind, mode, owner, links, accessed: now, modified: now, changed: now }
    }

    /// Its entries, if it is a directory.
    pub(crate) fn entries(&self) -> Result<&BTreeMap<OsString, u64>, Errno> {
        match &self.kind {
            Kind::Dir(entries) => Ok(entries),
            _ => Err(Errno::NOTDIR),
        }
    }

    fn entries_mut(&mut self) -> Result<&mut BTreeMap<OsString, u64>, Errno> {
        match &mut self.kind {
            Kind::Dir(entries) => Ok(Arc::make_mut(entries)),
            _ => Err(Errno::NOTDIR),
        }
    }
}

impl Tree {
    pub(crate) fn node(&self, ino: u64) -> Result<&Node, Errno> {
        self.nodes.get(&ino).ok_or(Errno::STALE)
    }

    pub(crate) fn node_mut(&mut self, ino: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&ino).ok_or(Errno::STALE)
    }

    pub(crate) fn find(&self, parent: u64, name: &OsStr) -> Result<u64, Errno> {
        let entries = self.node(parent)?.entries()?;
        entries.get(&self.spelled(entries, name)).copied().ok_or(Errno::NOENT)
    }

    /// As the entry is spelled that a name finds; the name itself if there is none.
    fn spelled(&self, entries: &BTreeMap<OsString, u64>, name: &OsStr) -> OsString {
        let folded = |name: &OsStr| name.to_str().map(str::to_lowercase);
        let found = || entries.keys().find(|entry| folded(entry) == folded(name));
        self.folds_case.then(found).flatten().map_or_else(|| name.to_owned(), Clone::clone)
    }

    /// The names in the top directory.
    pub(crate) fn top_names(&self) -> Vec<OsString> {
        let entries = self.nodes.get(&ROOT).and_then(|root| root.entries().ok());
        entries.into_iter().flat_map(|entries| entries.keys().cloned()).collect()
    }

    /// A name of it, for people.
    pub(crate) fn name(&self, ino: u64) -> String {
        let named = |(_, node): (&u64, &Node)| {
            let (name, _) = node.entries().ok()?.iter().find(|(_, entry)| **entry == ino)?;
            Some(name.to_string_lossy().into_owned())
        };
        self.nodes.iter().find_map(named).unwrap_or_else(|| format!("#{ino}"))
    }

    pub(crate) fn bytes(&self, ino: u64) -> &[u8] {
        self.contents.get(&ino).map_or(&[], |content| &content.bytes)
    }

    pub(crate) fn create(
        &mut self,
        parent: u64,
        name: &OsStr,
        kind: Kind,
        mode: u16,
        owner: (u32, u32),
    ) -> Result<u64, Errno> {
        match self.find(parent, name) {
            Ok(_) => return Err(Errno::EXIST),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        self.last += 1;
        let ino = self.last;
        if matches!(kind, Kind::File) {
            self.contents.insert(ino, Content::default());
        }
        self.nodes.insert(ino, Node::new(kind, mode, owner));
        self.put(parent, name, ino)?;
        Ok(ino)
    }

    pub(crate) fn write(&mut self, ino: u64, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.change(ino, Change::Write { at, bytes: bytes.to_vec() })
    }

    pub(crate) fn set_len(&mut self, ino: u64, len: u64) -> Result<(), Errno> {
        self.change(ino, Change::SetLen(len))
    }

    fn change(&mut self, ino: u64, change: Change) -> Result<(), Errno> {
        self.contents.get_mut(&ino).ok_or(Errno::INVAL)?.change(change);
        let node = self.node_mut(ino)?;
        node.modified = SystemTime::now();
        node.changed = node.modified;
        Ok(())
    }

    /// Syncs a file's bytes, and all names.
    pub(crate) fn sync(&mut self, ino: u64) {
        if let Some(content) = self.contents.get_mut(&ino) {
            content.sync();
        }
        self.synced.clone_from(&self.nodes);
    }

    pub(crate) fn link(&mut self, ino: u64, parent: u64, name: &OsStr) -> Result<(), Errno> {
        if self.find(parent, name).is_ok() {
            return Err(Errno::EXIST);
        }
        let node = self.node_mut(ino)?;
        node.links += 1;
        node.changed = SystemTime::now();
        self.put(parent, name, ino)
    }

    /// Removes a name: of an empty directory, or of anything else.
    pub(crate) fn remove(&mut self, parent: u64, name: &OsStr, dir: bool) -> Result<(), Errno> {
        let ino = self.find(parent, name)?;
        match (&self.node(ino)?.kind, dir) {
            (Kind::Dir(entries), true) if !entries.is_empty() => return Err(Errno::NOTEMPTY),
            (Kind::Dir(_), false) => return Err(Errno::ISDIR),
            (Kind::File | Kind::Link(_), true) => return Err(Errno::NOTDIR),
            _ => {}
        }
        self.take(parent, name)?;
        self.unlink(ino)
    }

    pub(crate) fn rename(
        &mut self,
        from: (u64, &OsStr),
        to: (u64, &OsStr),
        replaces: bool,
        exchanges: bool,
    ) -> Result<(), Errno> {
        let ino = self.find(from.0, from.1)?;
        let there = self.find(to.0, to.1);
        if self.is_beneath(to.0, ino) {
            return Err(Errno::INVAL);
        }
        match there {
            Ok(other) if exchanges => {
                if self.is_beneath(from.0, other) {
                    return Err(Errno::INVAL);
                }
                self.put(from.0, from.1, other)?;
                return self.put(to.0, to.1, ino);
            }
            Err(_) if exchanges => return Err(Errno::NOENT),
            Ok(_) if !replaces => return Err(Errno::EXIST),
            Ok(other) if other == ino => return Ok(()),
            Ok(other) => {
                let of_dir = |node: &Node| matches!(node.kind, Kind::Dir(_));
                match (of_dir(self.node(ino)?), self.node(other)?) {
                    (true, old) if !of_dir(old) => return Err(Errno::NOTDIR),
                    (false, old) if of_dir(old) => return Err(Errno::ISDIR),
                    (true, old) if !old.entries()?.is_empty() => return Err(Errno::NOTEMPTY),
                    _ => {}
                }
                self.unlink(other)?;
            }
            Err(_) => {}
        }
        self.take(from.0, from.1)?;
        self.put(to.0, to.1, ino)?;
        self.node_mut(ino)?.changed = SystemTime::now();
        Ok(())
    }

    /// Makes it what a machine finds that starts again.
    pub(crate) fn after(&mut self, left: Left) {
        if left == Left::Synced {
            self.nodes.clone_from(&self.synced);
        }
        for content in self.contents.values_mut() {
            content.bytes = match left {
                Left::All => std::mem::take(&mut content.bytes),
                Left::Synced => content.synced.take().unwrap_or_default(),
                Left::Torn => content.torn(),
            };
            content.sync();
        }
        let mut reached = vec![ROOT];
        let mut at = 0;
        while let Some(ino) = reached.get(at).copied() {
            reached
                .extend(self.nodes.get(&ino).and_then(|node| node.entries().ok()).into_iter().flat_map(|e| e.values()));
            at += 1;
        }
        self.nodes.retain(|ino, _| reached.contains(ino));
        self.contents.retain(|ino, _| reached.contains(ino));
        self.synced.clone_from(&self.nodes);
    }

    /// Becomes as the other. All inodes have numbers that were never used, so that nobody remembers anything of them.
    pub(crate) fn load(&mut self, other: &Self) {
        let known = other.nodes.keys().chain(other.synced.keys()).filter(|ino| **ino != ROOT);
        let mut fresh = BTreeMap::from([(ROOT, ROOT)]);
        for ino in known {
            let next = self.last + fresh.len() as u64;
            fresh.entry(*ino).or_insert(next);
        }
        let renumbered = |nodes: &BTreeMap<u64, Node>| {
            let node = |(ino, node): (&u64, &Node)| {
                let mut node = node.clone();
                if let Ok(entries) = node.entries_mut() {
                    entries.values_mut().for_each(|entry| *entry = fresh[entry]);
                }
                (fresh[ino], node)
            };
            nodes.iter().map(node).collect()
        };
        *self = Self {
            nodes: renumbered(&other.nodes),
            synced: renumbered(&other.synced),
            contents: other.contents.iter().map(|(ino, content)| (fresh[ino], content.clone())).collect(),
            last: self.last + fresh.len() as u64,
            folds_case: other.folds_case,
        };
    }

    /// Of all that is there, but for times and numbers.
    pub(crate) fn digest(&self) -> u64 {
        let mut digest = DefaultHasher::new();
        let mut dirs = vec![ROOT];
        while let Some(entries) = dirs.pop().and_then(|ino| self.nodes.get(&ino)?.entries().ok()) {
            entries.len().hash(&mut digest);
            for (name, ino) in entries {
                let Some(node) = self.nodes.get(ino) else { continue };
                (name, node.mode, node.links, self.bytes(*ino)).hash(&mut digest);
                match &node.kind {
                    Kind::Dir(_) => dirs.push(*ino),
                    Kind::Link(target) => target.hash(&mut digest),
                    Kind::File => {}
                }
            }
        }
        digest.finish()
    }

    /// Whether `ino` is `dir` or beneath it.
    fn is_beneath(&self, ino: u64, dir: u64) -> bool {
        let mut at = Some(ino);
        while let Some(here) = at {
            if here == dir {
                return true;
            }
            let holds = |node: &Node| node.entries().is_ok_and(|entries| entries.values().any(|entry| *entry == here));
            at = self.nodes.iter().find(|(_, node)| holds(node)).map(|(ino, _)| *ino);
        }
        false
    }

    fn unlink(&mut self, ino: u64) -> Result<(), Errno> {
        let node = self.node_mut(ino)?;
        node.links = node.links.saturating_sub(1);
        node.changed = SystemTime::now();
        Ok(())
    }

    fn take(&mut self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let name = self.spelled(self.node(parent)?.entries()?, name);
        let dir = self.node_mut(parent)?;
        dir.entries_mut()?.remove(&name);
        dir.modified = SystemTime::now();
        dir.changed = dir.modified;
        Ok(())
    }

    fn put(&mut self, parent: u64, name: &OsStr, ino: u64) -> Result<(), Errno> {
        let name = self.spelled(self.node(parent)?.entries()?, name);
        let dir = self.node_mut(parent)?;
        dir.entries_mut()?.insert(name, ino);
        dir.modified = SystemTime::now();
        dir.changed = dir.modified;
        Ok(())
    }
}

/// A link's target, as it is kept.
pub(crate) fn link_to(target: &Path) -> Kind {
    Kind::Link(Arc::from(PathBuf::from(target)))
}
