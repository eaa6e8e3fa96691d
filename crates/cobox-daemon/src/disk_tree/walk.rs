//! Listing a folder as it is. Directory by directory, in the order of [`FolderPath`], so that a scan can be compared with
//! what was known in one pass and a folder of a million files takes no more memory than its largest directory.
//!
//! What can not be listed is reported: of those subtrees nothing may be concluded, least of all that files are gone (d6, d7).

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::vec::IntoIter;

use cobox_core::path::{CONTROL_DIR, FolderPath, Name};
use cobox_core::symlink::stays_inside;
use rustix::fs::FileType;

use super::beneath::{LIST, Place, open_at, stat_at};
use super::ignore::Ignore;
use super::names::Spelling;
use super::read::look;
use super::root::is_folder_root;
use super::seen::{Seen, file_type, ino_dev};
use super::{DiskError, DiskTree, RootError};

/// Directories inside each other that are entered; each holds a handle meanwhile.
const DEPTH_MAX: usize = 256;
/// Entries of each list of the report. More skipped ones are counted; with more unreadable ones the whole walk says nothing.
const REPORTED_MAX: usize = 10_000;

/// Why an entry is no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// Its name is not UTF-8.
    NotUtf8,
    /// Its name can not be a name of a folder: it looks like the control directory.
    BadName,
    /// Another entry has that name already on a disk that can not hold all of them.
    NameTaken,
    /// A pipe, socket or device, or a symlink that is absolute or leads outside.
    NoContent,
    /// The root of another folder: it syncs by itself. Nothing may be concluded about what was there.
    FolderRoot,
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "its name is not valid UTF-8; rename it",
            Self::BadName => "its name looks like cobox's own directory; rename it",
            Self::NameTaken => "another file of the folder has this name; rename it",
            Self::NoContent => "it is a pipe, socket or device, or a symlink that leads outside of the folder",
            Self::FolderRoot => "it is a folder of its own; move it out of this one",
        })
    }
}

/// An entry that is there but no content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The path, with marks where it is no text. Escape it before showing it.
    pub shown: String,
    /// The path, if it can be one.
    pub path: Option<FolderPath>,
    /// Why.
    pub reason: SkipReason,
}

/// What a walk could not say by its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalkReport {
    /// Subtrees that could not be read, and why; the root stands for everything. What was seen in them is true, but nothing may be concluded from what was not.
    pub unreadable: Vec<(FolderPath, String)>,
    /// Entries that are no content, for the person.
    pub skipped: Vec<Skipped>,
    /// How many more there were.
    pub skipped_more: u64,
    /// Ignored entries; an ignored directory counts as one.
    pub ignored: u64,
}

impl WalkReport {
    /// Whether a path's absence from the walk says that it is gone.
    pub fn says_about(&self, path: &FolderPath) -> bool {
        !self.unreadable.iter().any(|(subtree, _)| path.starts_with(subtree))
    }

    fn unreadable(&mut self, path: &FolderPath, why: impl Into<String>) {
        match self.unreadable.len() {
            len if len < REPORTED_MAX => self.unreadable.push((path.clone(), why.into())),
            REPORTED_MAX => self.unreadable.push((FolderPath::root(), "too many directories can not be read".into())),
            _ => {}
        }
    }

    fn skip(&mut self, shown: String, path: Option<FolderPath>, reason: SkipReason) {
        match self.skipped.len() < REPORTED_MAX {
            true => self.skipped.push(Skipped { shown, path, reason }),
            false => self.skipped_more += 1,
        }
    }
}

/// A directory that is being listed.
struct Level {
    path: FolderPath,
    dir: Rc<OwnedFd>,
    /// By the folder's names, which is the order of the walk: what the disk calls each, and says it is.
    entries: IntoIter<(Name, (String, FileType))>,
}

impl DiskTree {
    /// Lists the folder, or what lies at and below `under`, and hands over each entry, a directory before what is in it. An error says that
    /// the folder is gone, before or meanwhile: what was handed over counts for nothing.
    pub fn walk(
        &self,
        ignore: &Ignore,
        under: Option<&FolderPath>,
        sink: &mut dyn FnMut(FolderPath, Seen),
    ) -> Result<WalkReport, RootError> {
        self.check()?;
        let report = match under {
            None => self.walk_all(ignore, sink),
            Some(path) => self.walk_below(ignore, path, &mut Spelling::new(self), sink),
        };
        // A disk that vanished meanwhile looks like one whose files are gone.
        self.check()?;
        Ok(report)
    }

    /// All of it, for a caller who makes sure, before the first and after the last of several walks, that the folder is there.
    pub(crate) fn walk_all(&self, ignore: &Ignore, sink: &mut dyn FnMut(FolderPath, Seen)) -> WalkReport {
        let mut report = WalkReport::default();
        let root = FolderPath::root();
        match self.0.open_dir(&root, LIST) {
            Ok(dir) => {
                let level = self.level(root, dir, &mut report);
                self.walk_level(level, ignore, &mut report, sink);
            }
            Err(error) => report.unreadable(&root, error.to_string()),
        }
        report
    }

    /// The same of what lies at and below a path.
    pub(crate) fn walk_below(
        &self,
        ignore: &Ignore,
        path: &FolderPath,
        spelling: &mut Spelling<'_>,
        sink: &mut dyn FnMut(FolderPath, Seen),
    ) -> WalkReport {
        if path.is_root() {
            return self.walk_all(ignore, sink);
        }
        let mut report = WalkReport::default();
        match spelling.is_so(path).and_then(|is_so| is_so.then(|| self.0.place(path)).transpose()) {
            Ok(None) => {}
            Ok(Some(_)) if path.parent().is_some_and(|parent| ignore.is_ignored(&parent, true)) => report.ignored += 1,
            Ok(Some(place)) => {
                let level = self.visit(place, ignore, &mut report, sink);
                self.walk_level(level, ignore, &mut report, sink);
            }
            Err(DiskError::NoDirectory { .. }) => {}
            Err(error) => report.unreadable(path, error.to_string()),
        }
        report
    }

    /// Goes through a directory and what is below it.
    fn walk_level(
        &self,
        level: Option<Level>,
        ignore: &Ignore,
        report: &mut WalkReport,
        sink: &mut dyn FnMut(FolderPath, Seen),
    ) {
        let mut levels = Vec::from_iter(level);
        while let Some(level) = levels.last_mut() {
            let Some((name, (local, _))) = level.entries.next() else {
                levels.pop();
                continue;
            };
            let place = Place { dir: level.dir.clone(), name: local, path: level.path.join(&name) };
            if let Some(below) = self.visit(place, ignore, report, sink) {
                match levels.len() < DEPTH_MAX {
                    true => levels.push(below),
                    false => report.unreadable(&below.path, format!("it lies more than {DEPTH_MAX} directories deep")),
                }
            }
        }
    }

    /// Hands over one entry; returns what is in it if it is a directory of the folder.
    fn visit(
        &self,
        place: Place,
        ignore: &Ignore,
        report: &mut WalkReport,
        sink: &mut dyn FnMut(FolderPath, Seen),
    ) -> Option<Level> {
        let seen = match look(&place) {
            Ok(Some(seen)) => seen,
            // Removed since its directory was listed.
            Ok(None) => return None,
            Err(error) => {
                report.unreadable(&place.path, error.to_string());
                return None;
            }
        };
        let is_dir = matches!(seen, Seen::Dir { .. });
        if ignore.is_ignored_here(&place.path, is_dir) {
            report.ignored += 1;
            return None;
        }
        if seen == Seen::Other {
            report.skip(place.path.to_string(), Some(place.path), SkipReason::NoContent);
            return None;
        }
        if matches!(&seen, Seen::Symlink { target, .. } if !stays_inside(&place.path, target)) {
            // Handed over all the same: whether it came along with its directory is the engine's to say.
            report.skip(place.path.to_string(), Some(place.path.clone()), SkipReason::NoContent);
        }
        if !is_dir {
            sink(place.path, seen);
            return None;
        }
        let opened = open_at(&place.dir, &place.name, LIST).and_then(|dir| {
            let stat = rustix::fs::fstat(&dir)?;
            let root = is_folder_root(&dir)?;
            Ok((dir, stat, root))
        });
        match opened {
            Ok((_, _, true)) => {
                report.unreadable(&place.path, SkipReason::FolderRoot.to_string());
                report.skip(place.path.to_string(), Some(place.path), SkipReason::FolderRoot);
                None
            }
            Ok((dir, stat, false)) => {
                let (ino, dev) = ino_dev(&stat);
                sink(place.path.clone(), Seen::Dir { ino, dev });
                self.level(place.path, dir, report)
            }
            Err(error) => {
                // It is there, whatever is in it.
                sink(place.path.clone(), seen);
                report.unreadable(&place.path, DiskError::io("list", &place.path, error).to_string());
                None
            }
        }
    }

    /// Lists a directory. On an error the subtree is reported and not entered.
    fn level(&self, path: FolderPath, dir: OwnedFd, report: &mut WalkReport) -> Option<Level> {
        let (names, found) = match self.0.list_named(&path, &dir) {
            Ok(listed) => listed,
            Err(error) => {
                report.unreadable(&path, DiskError::io("list", &path, error).to_string());
                return None;
            }
        };
        let mut entries = BTreeMap::new();
        for (local, is) in found {
            let show = |local: &[u8]| match path.is_root() {
                true => String::from_utf8_lossy(local).into_owned(),
                false => format!("{path}/{}", String::from_utf8_lossy(local)),
            };
            let local = match String::from_utf8(local) {
                Ok(local) => local,
                Err(error) => {
                    report.skip(show(error.as_bytes()), None, SkipReason::NotUtf8);
                    continue;
                }
            };
            if local == CONTROL_DIR {
                // Ours in the root. Elsewhere a former folder's, or someone's idea.
                if !path.is_root() {
                    report.skip(show(local.as_bytes()), None, SkipReason::BadName);
                }
                continue;
            }
            match names.shared(&path, &local) {
                Ok(Some(name)) => {
                    entries.insert(name, (local, is));
                }
                Ok(None) => report.skip(show(local.as_bytes()), None, SkipReason::NameTaken),
                Err(_) => report.skip(show(local.as_bytes()), None, SkipReason::BadName),
            }
        }
        drop(names);
        let entries: Vec<_> = entries.into_iter().collect();
        Some(Level { path, dir: Rc::new(dir), entries: entries.into_iter() })
    }
}

/// For those who need to know what is where, not what it is.
impl DiskTree {
    /// The entries of one directory that can be content, and whether each is a directory.
    pub(crate) fn entries(&self, path: &FolderPath) -> Result<Vec<(FolderPath, bool)>, DiskError> {
        let dir = self.0.open_dir(path, LIST)?;
        if !path.is_root() && is_folder_root(&dir).map_err(|error| DiskError::io("list", path, error))? {
            return Ok(Vec::new());
        }
        let Some(level) = self.level(path.clone(), dir, &mut WalkReport::default()) else {
            return Err(DiskError::NoDirectory { path: path.clone() });
        };
        let is_dir = |local: &str, is: FileType| match is {
            FileType::Unknown => stat_at(&level.dir, local)
                .is_ok_and(|stat| stat.is_some_and(|stat| file_type(&stat) == FileType::Directory)),
            told => told == FileType::Directory,
        };
        Ok(level.entries.as_slice().iter().map(|(name, (local, is))| (path.join(name), is_dir(local, *is))).collect())
    }

    /// Where a path lies, for systems that take paths only. Nothing is opened by it.
    pub(crate) fn disk_path(&self, path: &FolderPath) -> PathBuf {
        match path.is_root() {
            true => self.0.path.clone(),
            false => self.0.path.join(&*self.0.read_names().local_path(path)),
        }
    }
}
