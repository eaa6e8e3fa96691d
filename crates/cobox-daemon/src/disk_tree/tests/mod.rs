//! Stories told on real directories. Where another program has to act in the one moment that matters, it does so through the hook between
//! the last comparison and the rename; where only chance would find the moment, threads race.

mod applying;
mod beside;
mod crashes;
mod folding;
mod full_disk;
mod hostile;
mod racing;
mod reading;
mod roots;
mod walking;
mod watching;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::*;
use cobox_core::path::FolderPath;

/// A folder in a directory of its own, with room beside it.
struct Desk {
    place: tempfile::TempDir,
    tree: DiskTree,
}

const FOLDER: FolderId = FolderId([7; 32]);

fn path(text: &str) -> FolderPath {
    FolderPath::parse(text).unwrap()
}

impl Desk {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("folder");
        std::fs::create_dir(&root).unwrap();
        let tree = DiskTree::adopt(&root, FOLDER, &OffLimits::default()).unwrap();
        Self { place, tree }
    }
    /// The same folder on a disk that is claimed to be of another kind.
    fn of_kind(kind: DiskKind) -> Self {
        let desk = Self::new();
        let tree = DiskTree::open_as(desk.tree.path(), &FOLDER, kind).unwrap();
        Self { tree, ..desk }
    }
    /// As after a restart.
    fn reopened(self) -> Self {
        let kind = self.tree.kind();
        let tree = DiskTree::open_as(self.tree.path(), &FOLDER, kind).unwrap();
        Self { tree, ..self }
    }
    fn at(&self, text: &str) -> PathBuf {
        self.tree.path().join(text)
    }
    fn beside(&self, text: &str) -> PathBuf {
        self.place.path().join(text)
    }
    /// As a person's editor writes.
    fn write(&self, text: &str, bytes: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.at(text).parent().unwrap()).unwrap();
        std::fs::write(self.at(text), bytes).unwrap();
    }
    fn read(&self, text: &str) -> String {
        std::fs::read_to_string(self.at(text)).unwrap()
    }
    fn stamp(&self, text: &str) -> Stamp {
        *self.tree.stat(&path(text)).unwrap().unwrap().stamp().unwrap()
    }
    fn expect(&self, text: &str) -> Expect {
        Expect::from(&self.tree.stat(&path(text)).unwrap().unwrap())
    }
    fn received(&self, bytes: &[u8]) -> TempFile {
        let mut temp = self.tree.temp("received").unwrap();
        temp.set_len(0).unwrap();
        temp.write_at(0, bytes).unwrap();
        temp
    }
    fn replace(&self, text: &str, bytes: &[u8], expect: Expect) -> Result<Applied, ApplyError> {
        self.tree.replace(self.received(bytes), &path(text), expect, 1_700_000_000_000_000_000, false)
    }
    /// What another program does between the last comparison and the rename.
    fn meanwhile(&self, act: impl FnOnce() + Send + 'static) {
        self.at_turn(1, act);
    }
    /// The same just after the rename of a replacement.
    fn just_after(&self, act: impl FnOnce() + Send + 'static) {
        self.at_turn(2, act);
    }
    fn at_turn(&self, wanted: usize, act: impl FnOnce() + Send + 'static) {
        let (mut act, mut turn) = (Some(act), 0);
        *self.tree.0.before_swap.lock().unwrap() = Some(Box::new(move || {
            turn += 1;
            if let Some(act) = act.take_if(|_| turn == wanted) {
                act();
            }
        }));
    }
    fn walk(&self) -> (BTreeMap<FolderPath, Seen>, WalkReport) {
        self.walk_with(&Ignore::default(), None)
    }
    fn walk_with(&self, ignore: &Ignore, under: Option<&FolderPath>) -> (BTreeMap<FolderPath, Seen>, WalkReport) {
        let mut seen = Vec::new();
        let report = self.tree.walk(ignore, under, &mut |path, entry| seen.push((path, entry))).unwrap();
        assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "in the order of paths, each once");
        (seen.into_iter().collect(), report)
    }
    fn paths(&self) -> Vec<String> {
        self.walk().0.keys().map(FolderPath::to_string).collect()
    }
    fn kept_text(&self, id: &KeptId) -> String {
        let mut bytes = Vec::new();
        self.tree.open_kept(id).unwrap().read_stable(&mut |part| bytes.extend_from_slice(part)).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

fn mtime_ns(path: &Path) -> i64 {
    let meta = std::fs::symlink_metadata(path).unwrap();
    meta.mtime() * 1_000_000_000 + meta.mtime_nsec()
}

fn symlink(target: &str, link: PathBuf) {
    std::os::unix::fs::symlink(target, link).unwrap();
}
