//! Taking a directory as a folder, finding it again, giving it back. The marker `.cobox/marker` tells a folder from an empty mount
//! point, from another disk under the same path, and from another folder (h1): without it nothing is concluded and nothing written.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use cobox_core::names::{DiskKind, Names};
use cobox_core::path::CONTROL_DIR;
use cobox_proto::id::FolderId;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{LIST, READ, again, list, open_at, stat_at};
use super::names::{self, NamesError};
use super::probe::probe;
use super::seen::{file_type, ino_dev};
use super::temp::Syncs;
use super::{DiskError, DiskTree, Inner};

pub(crate) const MARKER: &str = "marker";
pub(crate) const TMP: &str = "tmp";
pub(crate) const KEEP: &str = "keep";
/// Bytes of a marker that is read; ours is shorter.
const MARKER_BYTES_MAX: usize = 1024;
const MARKER_LINE: &str = "cobox folder marker 1";
/// How deep a new folder is searched for other folders, and in how many directories. What lies deeper the walk finds.
const SEARCH_DEPTH: usize = 3;
const SEARCH_DIRS_MAX: usize = 10_000;

/// Random bytes of one adoption.
pub type CopyId = [u8; 16];

/// Directories that can not become folders.
#[derive(Debug, Clone, Default)]
pub struct OffLimits {
    /// The person's home directory; folders lie in it, it is none.
    pub home: Option<PathBuf>,
    /// Where cobox keeps its own state.
    pub state: Option<PathBuf>,
}

/// Why a directory is not, or not yet, the folder it should be.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Nothing is there.
    #[error("{} is not there; if it lies on another disk, connect that disk", .0.display())]
    Missing(PathBuf),
    /// A directory without a marker: an empty mount point, a restored copy, another disk.
    #[error("{} is not marked as a cobox folder; nothing is changed until it is back or added again", .0.display())]
    MarkerMissing(PathBuf),
    /// The marker can not be read as one.
    #[error("the marker in {} is damaged; nothing is changed until the folder is added again", .0.display())]
    MarkerDamaged(PathBuf),
    /// Another folder's files.
    #[error("{} belongs to another folder ({found})", path.display())]
    OtherFolder {
        /// Where.
        path: PathBuf,
        /// Whose marker it is.
        found: FolderId,
    },
    /// Another directory lies at this path than when it was opened.
    #[error("another directory lies at {} now", .0.display())]
    Replaced(PathBuf),
    /// A file or something else.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// A symlink, which may point elsewhere tomorrow.
    #[error("{} is a symlink; give the directory it points to", .0.display())]
    Symlink(PathBuf),
    /// `/`, the home directory or one above it.
    #[error("{} can not be a folder as a whole; choose a directory inside it", .0.display())]
    TooBroad(PathBuf),
    /// Part of another folder.
    #[error("{} lies inside the folder {}; choose a directory outside of it", path.display(), other.display())]
    InsideFolder {
        /// What was asked for.
        path: PathBuf,
        /// The folder around it.
        other: PathBuf,
    },
    /// Another folder is part of it.
    #[error("{} contains the folder {}; move that one out first", path.display(), other.display())]
    ContainsFolder {
        /// What was asked for.
        path: PathBuf,
        /// The folder in it.
        other: PathBuf,
    },
    /// It holds, or lies in, the state directory.
    #[error("{} and cobox's own directory {} can not lie inside each other", path.display(), state.display())]
    StateDirectory {
        /// What was asked for.
        path: PathBuf,
        /// The state directory.
        state: PathBuf,
    },
    /// Versions put aside would be lost.
    #[error("{} versions in {}/{CONTROL_DIR}/{KEEP} are not backed up yet; wait, or move them elsewhere", count, path.display())]
    StillKept {
        /// The folder.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// The table of mapped names can not be read.
    #[error("in {}: {source}", path.display())]
    Names {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: NamesError,
    },
    /// Anything else.
    #[error("can not {doing} {}: {source}", path.display())]
    Io {
        /// A verb.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl RootError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self {
        move |error| Self::Io { doing, path: path.to_owned(), source: error.into() }
    }
    fn disk(path: &Path, error: DiskError) -> Self {
        match error {
            DiskError::Io { doing, path: inner, source } => Self::Io { doing, path: path.join(inner), source },
            DiskError::NoDirectory { .. } | DiskError::ControlGone => Self::MarkerMissing(path.to_owned()),
        }
    }
}

impl DiskTree {
    /// Takes an existing directory as this folder: makes the control directory and the marker. What lies in it stays and becomes content (h3).
    /// A directory that is this folder already, of an earlier life, is taken again under a new [`CopyId`]; what was kept aside stays.
    pub fn adopt(root: &Path, folder: FolderId, off_limits: &OffLimits) -> Result<Self, RootError> {
        let (path, handle) = suitable_root(root, off_limits)?;
        match rustix::fs::mkdirat(&handle, CONTROL_DIR, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(RootError::io("make", &path.join(CONTROL_DIR))(error)),
        }
        let control = open_at(&handle, CONTROL_DIR, LIST).map_err(|error| match error {
            Errno::NOTDIR | Errno::LOOP => RootError::NotADirectory(path.join(CONTROL_DIR)),
            error => RootError::io("open", &path.join(CONTROL_DIR))(error),
        })?;
        match read_marker(&control, &path) {
            Ok((found, _)) if found != folder => return Err(RootError::OtherFolder { path, found }),
            Ok(_) | Err(RootError::MarkerMissing(_) | RootError::MarkerDamaged(_)) => {}
            Err(error) => return Err(error),
        }
        // The marker is read by nobody else, and what is kept aside may be private.
        rustix::fs::fchmod(&control, Mode::RWXU).map_err(RootError::io("protect", &path.join(CONTROL_DIR)))?;
        let mut copy = CopyId::default();
        getrandom::fill(&mut copy).map_err(|error| RootError::Io {
            doing: "draw random bytes for",
            path: path.clone(),
            source: io::Error::other(error),
        })?;
        let text = format!("{MARKER_LINE}\nfolder {folder}\ncopy {:032x}\n", u128::from_be_bytes(copy));
        write_atomically(&control, MARKER, text.as_bytes())
            .and_then(|()| again(|| rustix::fs::fsync(&handle)))
            .map_err(RootError::io("mark", &path))?;
        Self::open(&path, &folder)
    }

    /// Whether a directory could be taken as a folder, and where it really lies. Changes nothing.
    pub fn may_adopt(root: &Path, off_limits: &OffLimits) -> Result<PathBuf, RootError> {
        suitable_root(root, off_limits).map(|(path, _)| path)
    }

    /// Finds a folder again. Every way in which it can be absent is an error of its own.
    pub fn open(root: &Path, folder: &FolderId) -> Result<Self, RootError> {
        Self::open_with(root, folder, None)
    }

    /// As [`DiskTree::open`], on a disk that is claimed to be of some kind.
    pub fn open_as(root: &Path, folder: &FolderId, kind: DiskKind) -> Result<Self, RootError> {
        Self::open_with(root, folder, Some(kind))
    }

    fn open_with(root: &Path, folder: &FolderId, kind: Option<DiskKind>) -> Result<Self, RootError> {
        let (path, handle) = open_root(root)?;
        let control = open_at(&handle, CONTROL_DIR, LIST).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => RootError::MarkerMissing(path.clone()),
            error => RootError::io("open", &path.join(CONTROL_DIR))(error),
        })?;
        let (found, copy) = read_marker(&control, &path)?;
        if found != *folder {
            return Err(RootError::OtherFolder { path, found });
        }
        let mut inner = Inner {
            folder: found,
            copy,
            path,
            root: handle,
            kind: kind.unwrap_or(DiskKind::ORDINARY),
            names: RwLock::new(Names::default()),
            names_unwritten: AtomicBool::new(false),
            syncs: Syncs::default(),
            buffers: Mutex::new(Vec::new()),
            #[cfg(test)]
            before_swap: Mutex::new(None),
        };
        let tmp = inner.control_part(TMP).map_err(|error| RootError::disk(&inner.path, error))?;
        inner.control_part(KEEP).map_err(|error| RootError::disk(&inner.path, error))?;
        if kind.is_none() {
            inner.kind = probe(&tmp).map_err(RootError::io("write in", &inner.path.join(CONTROL_DIR)))?;
        }
        let names = names::load(&control, inner.kind)
            .map_err(|source| RootError::Names { path: inner.path.clone(), source })?;
        inner.names = RwLock::new(names);
        inner.put_back_interrupted().map_err(|error| RootError::disk(&inner.path, error))?;
        Ok(Self(Arc::new(inner)))
    }

    /// Whether the folder is still where it was and what it was. Ask before concluding anything from what is absent.
    pub fn check(&self) -> Result<(), RootError> {
        let inner = &self.0;
        let (_, now) = open_root(&inner.path)?;
        let same = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| ino_dev(&stat));
        let moved = same(&now).map_err(RootError::io("look at", &inner.path))?
            != same(&inner.root).map_err(RootError::io("look at", &inner.path))?;
        let control = open_at(&now, CONTROL_DIR, LIST).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => RootError::MarkerMissing(inner.path.clone()),
            error => RootError::io("open", &inner.path.join(CONTROL_DIR))(error),
        })?;
        let (found, copy) = read_marker(&control, &inner.path)?;
        if found != inner.folder {
            return Err(RootError::OtherFolder { path: inner.path.clone(), found });
        }
        if moved || copy != inner.copy {
            return Err(RootError::Replaced(inner.path.clone()));
        }
        Ok(())
    }

    /// Makes the folder an ordinary directory again: removes the control directory, keeps every file (h4). Versions kept aside must be dropped or
    /// moved out before. Other clones fail from now on.
    pub fn release(self) -> Result<(), RootError> {
        let inner = &self.0;
        let path = &inner.path;
        let control = inner.control().map_err(|error| RootError::disk(path, error))?;
        let keep = inner.control_part(KEEP).map_err(|error| RootError::disk(path, error))?;
        let count = list(&keep).map_err(RootError::io("list", path))?.len();
        if count > 0 {
            return Err(RootError::StillKept { path: path.clone(), count });
        }
        self.clear_temps(&Default::default()).map_err(|error| RootError::disk(path, error))?;
        let gone = |result: Result<(), Errno>| match result {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(RootError::io("remove", &path.join(CONTROL_DIR))(error)),
        };
        for part in [TMP, KEEP] {
            gone(rustix::fs::unlinkat(&control, part, AtFlags::REMOVEDIR))?;
        }
        for file in [names::NAMES, MARKER] {
            gone(rustix::fs::unlinkat(&control, file, AtFlags::empty()))?;
        }
        match rustix::fs::unlinkat(&inner.root, CONTROL_DIR, AtFlags::REMOVEDIR) {
            // Someone put files of their own there. Without the marker they are ordinary leftovers.
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            result => gone(result),
        }
    }
}

/// Opens the directory at a path whose last component is no symlink; those above it may be.
fn open_root(root: &Path) -> Result<(PathBuf, OwnedFd), RootError> {
    let meta = std::fs::symlink_metadata(root).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => RootError::Missing(root.to_owned()),
        _ => RootError::Io { doing: "look at", path: root.to_owned(), source },
    })?;
    if meta.file_type().is_symlink() {
        return Err(RootError::Symlink(root.to_owned()));
    }
    if !meta.is_dir() {
        return Err(RootError::NotADirectory(root.to_owned()));
    }
    let path = root.canonicalize().map_err(|source| RootError::Io { doing: "find", path: root.to_owned(), source })?;
    let handle = again(|| rustix::fs::open(&path, LIST, Mode::empty())).map_err(|error| match error {
        Errno::NOENT => RootError::Missing(path.clone()),
        Errno::NOTDIR | Errno::LOOP => RootError::NotADirectory(path.clone()),
        error => RootError::io("open", &path)(error),
    })?;
    Ok((path, handle))
}

/// Opens a directory that may become a folder.
fn suitable_root(root: &Path, off_limits: &OffLimits) -> Result<(PathBuf, OwnedFd), RootError> {
    let (path, handle) = open_root(root)?;
    refuse_off_limits(&path, off_limits)?;
    if let Some(other) = path.ancestors().skip(1).find(|above| has_marker(above)).map(Path::to_owned) {
        return Err(RootError::InsideFolder { path, other });
    }
    if let Some(other) = folder_below(&handle, &path)? {
        return Err(RootError::ContainsFolder { path, other });
    }
    Ok((path, handle))
}

fn refuse_off_limits(path: &Path, off_limits: &OffLimits) -> Result<(), RootError> {
    // Canonical where it exists; otherwise what it says.
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if path.parent().is_none() {
        return Err(RootError::TooBroad(path.to_owned()));
    }
    if off_limits.home.as_deref().map(canonical).is_some_and(|home| home.starts_with(path)) {
        return Err(RootError::TooBroad(path.to_owned()));
    }
    if let Some(state) = off_limits.state.as_deref().map(canonical)
        && (state.starts_with(path) || path.starts_with(&state))
    {
        return Err(RootError::StateDirectory { path: path.to_owned(), state });
    }
    Ok(())
}

fn has_marker(dir: &Path) -> bool {
    dir.join(CONTROL_DIR).join(MARKER).symlink_metadata().is_ok()
}

/// Whether a directory is itself the root of a folder.
pub(crate) fn is_folder_root(dir: &OwnedFd) -> Result<bool, Errno> {
    match open_at(dir, CONTROL_DIR, LIST) {
        Ok(control) => Ok(stat_at(&control, MARKER)?.is_some()),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Looks for folders at the top levels. What can not be listed is passed over: the walk reports it.
fn folder_below(root: &OwnedFd, path: &Path) -> Result<Option<PathBuf>, RootError> {
    let top = rustix::io::dup(root).map_err(RootError::io("open", path))?;
    let mut level = vec![(path.to_owned(), top)];
    let mut searched = 0;
    for _ in 0..SEARCH_DEPTH {
        let mut next = Vec::new();
        for (path, dir) in level {
            let Ok(names) = list(&dir) else { continue };
            for name in names.iter().filter_map(|name| std::str::from_utf8(name).ok()) {
                let Ok(below) = open_at(&dir, name, LIST) else { continue };
                searched += 1;
                if searched > SEARCH_DIRS_MAX {
                    return Ok(None);
                }
                if name != CONTROL_DIR && is_folder_root(&below).unwrap_or(false) {
                    return Ok(Some(path.join(name)));
                }
                // Bounds the handles that are held at once.
                if name != CONTROL_DIR && next.len() < 128 {
                    next.push((path.join(name), below));
                }
            }
        }
        level = next;
    }
    Ok(None)
}

fn read_marker(control: &OwnedFd, root: &Path) -> Result<(FolderId, CopyId), RootError> {
    let text = match read_small(control, MARKER, MARKER_BYTES_MAX) {
        Ok(Some(text)) => text,
        Ok(None) => return Err(RootError::MarkerMissing(root.to_owned())),
        Err(error) => return Err(RootError::io("read the marker of", root)(error)),
    };
    parse_marker(&text).ok_or_else(|| RootError::MarkerDamaged(root.to_owned()))
}

fn parse_marker(text: &[u8]) -> Option<(FolderId, CopyId)> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines();
    if lines.next()? != MARKER_LINE {
        return None;
    }
    let folder = lines.next()?.strip_prefix("folder ")?.parse().ok()?;
    let copy = lines.next()?.strip_prefix("copy ")?;
    if copy.len() != 32 || !copy.bytes().all(|b| b.is_ascii_hexdigit()) || lines.next().is_some() {
        return None;
    }
    Some((folder, u128::from_str_radix(copy, 16).ok()?.to_be_bytes()))
}

/// Reads a small regular file; `None` if there is none. Longer ones are cut just beyond the limit.
pub(crate) fn read_small(dir: &OwnedFd, name: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, Errno> {
    let file = match open_at(dir, name, READ) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error),
    };
    if file_type(&rustix::fs::fstat(&file)?) != FileType::RegularFile {
        return Ok(None);
    }
    let mut bytes = vec![0; bytes_max + 1];
    let mut filled = 0;
    while filled < bytes.len() {
        let read = again(|| rustix::io::read(&file, &mut bytes[filled..]))?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    bytes.truncate(filled);
    Ok(Some(bytes))
}

/// Temporary file, fsync, rename, fsync of the directory: after a crash it is the old or the new.
pub(crate) fn write_atomically(dir: &OwnedFd, name: &str, bytes: &[u8]) -> Result<(), Errno> {
    let fresh = format!("{name}.new");
    match rustix::fs::unlinkat(dir, &fresh, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, &fresh, flags, Mode::RUSR | Mode::WUSR)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = again(|| rustix::io::write(&file, rest))?;
        rest = &rest[written..];
    }
    again(|| rustix::fs::fsync(&file))?;
    rustix::fs::renameat(dir, &fresh, dir, name)?;
    again(|| rustix::fs::fsync(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_a_marker_is_read_whole_or_not_at_all() {
        let text = format!("{MARKER_LINE}\nfolder {}\ncopy {:032x}\n", FolderId([7; 32]), 9);
        assert_eq!(parse_marker(text.as_bytes()), Some((FolderId([7; 32]), 9_u128.to_be_bytes())));
        for cut in 0..text.len() - 1 {
            assert_eq!(parse_marker(&text.as_bytes()[..cut]), None, "cut at {cut}");
        }
        assert_eq!(parse_marker(format!("{text}more\n").as_bytes()), None);
        assert_eq!(parse_marker(text.replace("copy 0", "copy +").as_bytes()), None);
    }
}
