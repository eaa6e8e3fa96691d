//! Writes earlier versions of files: into the folder, where they count as new edits, or into another directory. Content is taken from
//! what lies here, and fetched from whoever is connected where it does not.
//!
//! What must hold: nothing stands anywhere that is not whole and the content its record names; a file that was changed and not looked
//! at since is never overwritten or removed; what is replaced in the folder is set aside as any change sets it aside. One file that
//! can not be had stops none of the others.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use cobox_core::content;
use cobox_core::engine::{Stamp, Synced};
use cobox_core::history::{Nodes, Restoration, Version};
use cobox_core::keys::FolderKeys;
use cobox_core::path::FolderPath;
use cobox_core::state::{Body, Content, Kind, Ref, conflict_copy_name};
use cobox_proto::id::{Cid, SigKey};

use super::assembling::{Assembler, Source, TOGETHER_BYTES};
use super::db::FolderDb;
use super::lookback::Reach;
use super::pieces::piece_here;
use super::seen;
use crate::disk_tree::{ApplyError, DiskTree, Expect, Seen, TempFile};
use crate::files::persons_mode;

/// Files that are written before the disk is synced.
const TOGETHER_FILES: usize = 256;
/// How many names are tried beside one that is taken.
const BESIDE_MAX: u32 = 1000;

/// Why one file was not restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRestored {
    /// Some of its content is nowhere.
    #[error("nobody who can be reached has all of its content")]
    NotKept,
    /// It is not what its author named.
    #[error("its content is not what its author named")]
    Broken,
    /// Something else stands there.
    #[error("{0}")]
    InTheWay(&'static str),
    /// The folder's disk refuses.
    #[error(transparent)]
    Disk(#[from] ApplyError),
    /// Another disk refuses.
    #[error(transparent)]
    Elsewhere(#[from] io::Error),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// Files and links that were written, and their bytes.
    pub(crate) written: u64,
    pub(crate) written_bytes: u64,
    /// Files and links that were taken away.
    pub(crate) removed: u64,
    /// Files that were changed since the folder last looked, and where they stand now.
    pub(crate) moved_aside: Vec<(FolderPath, String)>,
    /// What could not be done, and why.
    pub(crate) failed: Vec<(FolderPath, NotRestored)>,
}

/// Where restored files go.
pub(crate) enum Target {
    /// Into the folder; the synced tree says what it knows of the places.
    Folder(BTreeMap<FolderPath, Arc<Synced>>),
    /// Below this directory.
    Directory(PathBuf),
}

/// Whatever lies here, else whoever is connected.
struct HereElseOthers {
    db: FolderDb,
    disk: DiskTree,
    reach: Reach,
}

impl Source for HereElseOthers {
    fn node(&mut self, cid: Cid) -> Option<Vec<u8>> {
        Nodes::fetch(&mut self.reach, &[cid]).pop().map(|(_, bytes)| bytes)
    }

    fn here(&self, keys: &FolderKeys, piece: &Ref) -> Option<(Vec<u8>, [u8; 32])> {
        piece_here((&self.db, &self.disk), &*self.reach.blocks, keys, piece)
    }

    fn fetch(&mut self, cids: &[Cid]) -> BTreeMap<Cid, Bytes> {
        let mut found = BTreeMap::new();
        self.reach.seek(cids, |cid, bytes| drop(found.insert(cid, bytes)));
        found
    }
}

/// See the module.
pub(crate) struct Restorer {
    disk: DiskTree,
    device: SigKey,
    assembler: Assembler<HereElseOthers>,
}

impl Restorer {
    /// For the folder whose directory `disk` is.
    pub(crate) fn new(keys: Arc<FolderKeys>, db: FolderDb, disk: DiskTree, device: SigKey, reach: Reach) -> Self {
        let source = HereElseOthers { db, disk: disk.clone(), reach };
        Self { disk, device, assembler: Assembler { keys, source } }
    }

    /// Does all of a plan that can be done.
    pub(crate) fn run(&mut self, plan: &Restoration, target: &Target) -> Restored {
        let mut restored = Restored::default();
        if let Target::Folder(known) = target {
            self.clear(plan, known, &mut restored);
        }
        for dir in &plan.make_dirs {
            let made = match target {
                Target::Folder(_) => self.make_dirs(dir),
                Target::Directory(root) => make_dirs_below(root, dir).map_err(NotRestored::from),
            };
            restored.failed.extend(made.err().map(|why| (dir.clone(), why)));
        }
        // Links last: nothing is written through one.
        let (links, files): (Vec<&Version>, Vec<&Version>) = plan.write.iter().partition(|v| v.kind == Kind::Symlink);
        let mut from = 0;
        while from < files.len() {
            let mut bytes = 0;
            let fits = |version: &&&Version| {
                bytes += version.body.size;
                bytes <= TOGETHER_BYTES
            };
            let count = files[from..].iter().take(TOGETHER_FILES).take_while(fits).count().max(1);
            self.write_together(&files[from..from + count], target, &mut restored);
            from += count;
        }
        for link in links {
            let made = match target {
                Target::Folder(known) => self.link(link, known, &mut restored),
                Target::Directory(root) => link_below(root, link),
            };
            note(&mut restored, link, made);
        }
        restored
    }

    /// Takes away what was not there, what stands where a directory was first.
    fn clear(&mut self, plan: &Restoration, known: &BTreeMap<FolderPath, Arc<Synced>>, restored: &mut Restored) {
        for path in &plan.remove {
            match self.remove(path, known) {
                Ok(true) => restored.removed += 1,
                Ok(false) => {}
                Err(why) => restored.failed.push((path.clone(), why)),
            }
        }
        for dir in &plan.remove_dirs {
            match self.disk.remove_dir(dir) {
                // Something that is not synced lies in it.
                Ok(()) | Err(ApplyError::NotEmpty { .. } | ApplyError::Changed { .. }) => {}
                Err(why) => restored.failed.push((dir.clone(), why.into())),
            }
        }
    }

    fn remove(&self, path: &FolderPath, known: &BTreeMap<FolderPath, Arc<Synced>>) -> Result<bool, NotRestored> {
        let Some(there) = self.disk.stat(path).map_err(ApplyError::from)? else { return Ok(false) };
        if !is_known(&there, known.get(path)) {
            return Err(NotRestored::InTheWay("it was changed a moment ago and stays"));
        }
        self.disk.remove(path, Expect::from(&there))?;
        Ok(true)
    }

    fn write_together(&mut self, versions: &[&Version], target: &Target, restored: &mut Restored) {
        let listed: Vec<Result<Vec<Ref>, NotRestored>> =
            versions.iter().map(|v| self.assembler.pieces(&v.body)).collect();
        let fetched = self.assembler.fetch_missing(&listed);
        let mut ready = Vec::new();
        for (version, refs) in versions.iter().zip(listed) {
            let wrote = refs.and_then(|refs| match target {
                Target::Folder(_) => {
                    let mut temp = self.temp(version)?;
                    let mut sink = |at: u64, bytes: &[u8]| Ok(temp.write_at(at, bytes).map_err(ApplyError::from)?);
                    self.assembler.assemble(&version.body, &refs, &fetched, &mut sink)?;
                    ready.push((*version, temp));
                    Ok(())
                }
                Target::Directory(root) => self.write_below(root, version, &refs, &fetched),
            });
            match (wrote, target) {
                (Ok(()), Target::Folder(_)) => {}
                (made, _) => note(restored, version, made),
            }
        }
        if ready.is_empty() {
            return;
        }
        let synced = self.disk.sync_temps();
        if let Err(why) = synced {
            tracing::warn!(%why, "restored files are synced one by one");
        }
        let Target::Folder(known) = target else { return };
        for (version, temp) in ready {
            let put = self.put(version, temp, known, restored);
            note(restored, version, put);
        }
    }

    fn temp(&self, version: &Version) -> Result<TempFile, NotRestored> {
        // Of another name than a step's that brings the same.
        let mut name = format!("re{}", content::assembly_name(&version.path, &version.body.plain_digest));
        name.truncate(40);
        let mut temp = self.disk.temp(&name).map_err(ApplyError::from)?;
        temp.set_len(version.body.size).map_err(ApplyError::from)?;
        Ok(temp)
    }

    /// Brings a finished file to its place in the folder.
    fn put(
        &self,
        version: &Version,
        temp: TempFile,
        known: &BTreeMap<FolderPath, Arc<Synced>>,
        restored: &mut Restored,
    ) -> Result<(), NotRestored> {
        let expect = self.make_room(&version.path, known, restored)?;
        self.disk.replace(temp, &version.path, expect, version.body.mtime_ns, version.body.executable)?;
        Ok(())
    }

    fn link(
        &self,
        version: &Version,
        known: &BTreeMap<FolderPath, Arc<Synced>>,
        restored: &mut Restored,
    ) -> Result<(), NotRestored> {
        let target = link_target(version).ok_or(NotRestored::Broken)?;
        let expect = self.make_room(&version.path, known, restored)?;
        self.disk.make_symlink(&version.path, target, expect)?;
        Ok(())
    }

    /// What a change of a place is to expect there. A file that the folder has not looked at since it was changed is moved beside
    /// it first: that is somebody's newest work.
    fn make_room(
        &self,
        path: &FolderPath,
        known: &BTreeMap<FolderPath, Arc<Synced>>,
        restored: &mut Restored,
    ) -> Result<Expect, NotRestored> {
        if let Some(parent) = path.parent().filter(|parent| !parent.is_root()) {
            self.make_dirs(&parent)?;
        }
        let there = match self.disk.stat(path).map_err(ApplyError::from)? {
            None => return Ok(Expect::Absent),
            Some(Seen::Dir { .. }) => return Err(NotRestored::InTheWay("a directory has its name now")),
            Some(Seen::Other) => return Err(NotRestored::InTheWay("something that is no file has its name now")),
            Some(there) => there,
        };
        if is_known(&there, known.get(path)) {
            return Ok(Expect::from(&there));
        }
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Err(NotRestored::InTheWay("the folder itself is no file"));
        };
        let mtime_ns = there.stamp().map_or(0, |stamp| stamp.mtime_ns);
        for number in 1..=BESIDE_MAX {
            let beside = parent.join(&conflict_copy_name(&name, &self.device, mtime_ns, number));
            if self.disk.stat(&beside).map_err(ApplyError::from)?.is_none() {
                self.disk.rename(path, &beside, Expect::from(&there))?;
                restored.moved_aside.push((path.clone(), beside.to_string()));
                return Ok(Expect::Absent);
            }
        }
        Err(NotRestored::InTheWay("it was changed a moment ago, and there is no free name beside it"))
    }

    fn make_dirs(&self, dir: &FolderPath) -> Result<(), NotRestored> {
        for dir in dir.descent() {
            match self.disk.stat(&dir).map_err(ApplyError::from)? {
                Some(Seen::Dir { .. }) => {}
                Some(_) => return Err(NotRestored::InTheWay("a file stands where its directory was")),
                None => drop(self.disk.make_dir(&dir)?),
            }
        }
        Ok(())
    }

    /// Writes a file below another directory; what stands there already stays, and this one takes another name.
    fn write_below(
        &mut self,
        root: &Path,
        version: &Version,
        refs: &[Ref],
        fetched: &BTreeMap<Cid, Bytes>,
    ) -> Result<(), NotRestored> {
        let parent = version.path.parent().unwrap_or_default();
        make_dirs_below(root, &parent)?;
        let (path, file) = new_file(&root.join(version.path.as_str()))?;
        let mut sink = |at: u64, bytes: &[u8]| Ok(file.write_all_at(bytes, at)?);
        let written = self.assembler.assemble(&version.body, refs, fetched, &mut sink);
        let finished = written.and_then(|()| Ok(finish(&file, &version.body)?));
        if finished.is_err() {
            // Half a file is none.
            let _left_behind = fs::remove_file(path);
        }
        finished
    }
}

fn note(restored: &mut Restored, version: &Version, made: Result<(), NotRestored>) {
    match made {
        Ok(()) => {
            restored.written += 1;
            restored.written_bytes += version.body.size;
        }
        Err(why) => restored.failed.push((version.path.clone(), why)),
    }
}

/// Whether what lies there is what the folder last saw there.
fn is_known(there: &Seen, known: Option<&Arc<Synced>>) -> bool {
    let last_seen: Option<Stamp> = known.and_then(|known| known.stamp);
    there.stamp().is_some_and(|stamp| last_seen == Some(seen::stamp(stamp)))
}

fn link_target(version: &Version) -> Option<&str> {
    match &version.body.content {
        Content::Inline(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn make_dirs_below(root: &Path, dir: &FolderPath) -> io::Result<()> {
    let dirs = std::iter::once(root.to_path_buf()).chain(dir.descent().map(|dir| root.join(dir.as_str())));
    for dir in dirs {
        match fs::create_dir(&dir) {
            Ok(()) => fs::set_permissions(&dir, Permissions::from_mode(persons_mode(0o777)))?,
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                // Nothing is written through a link that lies there.
                if !fs::symlink_metadata(&dir)?.is_dir() && dir != root {
                    return Err(why);
                }
            }
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

/// The names that a restored file may take: its own, then numbered ones.
fn names(wanted: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    let name = wanted.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let numbered = (2..=BESIDE_MAX).map(move |n| wanted.with_file_name(cobox_core::names::numbered(&name, n)));
    std::iter::once(wanted.to_path_buf()).chain(numbered)
}

pub(super) fn new_file(wanted: &Path) -> io::Result<(PathBuf, File)> {
    for path in names(wanted) {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(why),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

pub(super) fn finish(file: &File, body: &Body) -> io::Result<()> {
    let mode = if body.executable { 0o777 } else { 0o666 };
    file.set_permissions(Permissions::from_mode(persons_mode(mode)))?;
    let since = Duration::from_nanos(body.mtime_ns.unsigned_abs());
    let modified = if body.mtime_ns < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
    if let Some(modified) = modified {
        file.set_times(FileTimes::new().set_modified(modified))?;
    }
    file.sync_all()
}

fn link_below(root: &Path, version: &Version) -> Result<(), NotRestored> {
    let target = link_target(version).ok_or(NotRestored::Broken)?;
    make_dirs_below(root, &version.path.parent().unwrap_or_default())?;
    let wanted = root.join(version.path.as_str());
    for path in names(&wanted) {
        match symlink(target, path) {
            Ok(()) => return Ok(()),
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(why.into()),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists).into())
}

#[cfg(test)]
mod tests {
    use cobox_core::keys::{EpochSecret, Profile, ShapeKey};
    use cobox_core::state::Ref;
    use cobox_proto::id::{EpochTag, FolderId, Inode};
    use cobox_store::MemStore;

    use super::super::FolderHandle;
    use super::*;
    use crate::disk_tree::OffLimits;

    const FOLDER: FolderId = FolderId([1; 32]);

    /// A folder's directory, and nobody to ask.
    struct Desk {
        dir: tempfile::TempDir,
        keys: Arc<FolderKeys>,
        restorer: Restorer,
        known: BTreeMap<FolderPath, Arc<Synced>>,
        _runtime: tokio::runtime::Runtime,
    }

    impl Desk {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("folder");
            fs::create_dir(&root).unwrap();
            let disk = DiskTree::adopt(&root, FOLDER, &OffLimits::default()).unwrap();
            let mut keys = FolderKeys::new(FOLDER, ShapeKey::from_bytes([2; 32]), Profile::Cdc);
            keys.insert_epoch(EpochSecret::from_bytes([3; 32]), FolderKeys::params_for(Profile::Cdc, false)).unwrap();
            let keys = Arc::new(keys);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let reach =
                Reach::nobody(Arc::new(MemStore::new()), FolderHandle::stopped(FOLDER), runtime.handle().clone());
            let db = FolderDb::open_for_places(&dir.path().join("tree.db")).unwrap();
            let restorer = Restorer::new(keys.clone(), db, disk, SigKey([0xab; 32]), reach);
            Self { dir, keys, restorer, known: BTreeMap::new(), _runtime: runtime }
        }

        fn file(&self, path: &str) -> PathBuf {
            self.dir.path().join("folder").join(path)
        }

        /// Saves a file; if it `is_known`, the folder has looked at it since.
        fn save(&mut self, path: &str, words: &str, is_known: bool) {
            fs::write(self.file(path), words).unwrap();
            let path: FolderPath = path.parse().unwrap();
            if let (true, Some(Seen::File(stamp))) = (is_known, self.restorer.disk.stat(&path).unwrap()) {
                let stamp = seen::stamp(&stamp);
                let entry = Synced { kind: Kind::File, stamp: Some(stamp), ..Synced::dir(Inode([4; 16]), stamp.id) };
                self.known.insert(path, Arc::new(entry));
            }
        }

        fn version(&self, path: &str, words: &str) -> Version {
            let plain_digest = content::inline_digest(&self.keys, words.as_bytes());
            let (size, content) = (words.len() as u64, Content::Inline(words.as_bytes().into()));
            let body = Body { size, mtime_ns: 1_000_000_000, executable: false, plain_digest, content };
            Version { path: path.parse().unwrap(), kind: Kind::File, body }
        }

        fn run(&mut self, plan: &Restoration) -> Restored {
            let target = Target::Folder(self.known.clone());
            self.restorer.run(plan, &target)
        }
    }

    #[test]
    fn c11_what_was_saved_a_moment_ago_is_moved_aside_or_stays() {
        let mut desk = Desk::new();
        desk.save("known.txt", "as last seen", true);
        desk.save("fresh.txt", "saved a moment ago", false);
        desk.save("edited.txt", "as last seen", true);
        desk.save("edited.txt", "and edited since", false);
        desk.save("new.txt", "not seen yet", false);
        let write =
            ["known.txt", "fresh.txt", "edited.txt", "deep/in/here.txt"].map(|path| desk.version(path, "old words"));
        let plan =
            Restoration { write: write.to_vec(), remove: vec!["new.txt".parse().unwrap()], ..Restoration::default() };
        let restored = desk.run(&plan);
        assert_eq!((restored.written, restored.removed), (4, 0));
        for version in &plan.write {
            assert_eq!(fs::read_to_string(desk.file(version.path.as_str())).unwrap(), "old words");
        }
        let aside: Vec<String> = restored.moved_aside.iter().map(|(_, now_at)| now_at.clone()).collect();
        assert_eq!(aside.len(), 2, "{aside:?}");
        assert!(aside.iter().all(|name| name.contains("(conflict ababab ")));
        let words: Vec<String> = aside.iter().map(|name| fs::read_to_string(desk.file(name)).unwrap()).collect();
        assert_eq!(words, ["saved a moment ago", "and edited since"]);
        assert!(matches!(&restored.failed[..], [(_, NotRestored::InTheWay(_))]), "{:?}", restored.failed);
        assert_eq!(fs::read_to_string(desk.file("new.txt")).unwrap(), "not seen yet");
        assert_eq!(desk.restorer.disk.list_kept().unwrap().len(), 1, "what was known is set aside");
    }

    #[test]
    fn x7_content_that_is_nowhere_or_not_what_was_said_leaves_nothing_behind() {
        let mut desk = Desk::new();
        desk.save("kept.txt", "as last seen", true);
        let mut missing = desk.version("kept.txt", "old words");
        let piece = Ref { cid: Cid([9; 32]), len: 9, epoch: EpochTag([1; 16]) };
        missing.body.content = Content::Refs([piece].into());
        let mut short = missing.clone();
        short.path = "short.txt".parse().unwrap();
        short.body.size = 10;
        let good = desk.version("good.txt", "good words");
        let plan = Restoration { write: vec![missing, short, good], ..Restoration::default() };
        let restored = desk.run(&plan);
        assert_eq!(restored.written, 1);
        assert!(
            matches!(&restored.failed[..], [(_, NotRestored::NotKept), (_, NotRestored::Broken)]),
            "{:?}",
            restored.failed
        );
        assert_eq!(fs::read_to_string(desk.file("kept.txt")).unwrap(), "as last seen");
        assert!(!desk.file("short.txt").exists());
    }
}
