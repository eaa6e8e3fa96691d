//! Lists what is there, in order, without following links and without opening files. What can not be listed is named, so that
//! nothing is concluded about it; what is never synced is named with the reason.

use std::os::fd::OwnedFd;

use cobox_core::engine::Stat;
use cobox_core::path::{FolderPath, Name};
use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::ignore::Ignore;
use super::{CONTROL, DiskTree, stat_at};

/// How deep directories are followed; deeper ones are named as skipped.
const DEPTH_MAX: usize = 256;

/// Why something is not synced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SkipReason {
    /// A device, socket or pipe.
    #[error("it is neither a file, a directory nor a link")]
    Special,
    /// No name that other members can have.
    #[error("its name can not be synced: {0}")]
    Name(String),
    /// A link to somewhere else.
    #[error("it is a link that leads out of the folder")]
    LeadsOut,
    /// A directory that is a folder of its own.
    #[error("it is a folder of its own")]
    OtherFolder,
    /// Too many directories above it.
    #[error("it lies too deep")]
    TooDeep,
}

/// What a listing has to say beside its entries.
#[derive(Debug, Default)]
pub(crate) struct WalkReport {
    /// Paths below which nothing may be concluded, with the reason (D6, D7).
    pub unreadable: Vec<(FolderPath, String)>,
    /// What is not synced, as it is named on disk.
    pub skipped: Vec<(String, SkipReason)>,
    /// How many entries the ignore rules cover.
    pub ignored: u64,
}

impl DiskTree {
    /// Lists everything, or one path and what is below it; directories before what is in them.
    pub(crate) fn walk(
        &self,
        ignore: &Ignore,
        under: Option<&FolderPath>,
        sink: &mut dyn FnMut(FolderPath, Stat),
    ) -> WalkReport {
        let mut report = WalkReport::default();
        let root = FolderPath::root();
        let start = under.unwrap_or(&root);
        if start.is_root() {
            match self.open_dir(start) {
                Ok(dir) => self.walk_dir(&dir, start, ignore, sink, &mut report),
                Err(why) => report.unreadable.push((root, why.to_string())),
            }
            return report;
        }
        self.walk_above(start, sink);
        let entry =
            self.open_parent(start).and_then(|(dir, name)| stat_at(&dir, name.as_str()).map(|stat| (dir, stat)));
        match entry {
            Ok((dir, Some(stat))) => self.entry(&dir, start.clone(), stat, ignore, sink, &mut report),
            Ok((_, None)) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(why) => report.unreadable.push((start.clone(), why.to_string())),
        }
        report
    }

    /// The directories above a path, so that whoever hears of a new file in a new directory hears of both.
    fn walk_above(&self, path: &FolderPath, sink: &mut dyn FnMut(FolderPath, Stat)) {
        let mut above = Vec::new();
        let mut at = path.parent();
        while let Some(dir) = at.filter(|dir| !dir.is_root()) {
            at = dir.parent();
            above.push(dir);
        }
        for dir in above.into_iter().rev() {
            if let Ok(Some(stat @ Stat::Dir(_))) = self.stat(&dir) {
                sink(dir, stat);
            }
        }
    }

    fn walk_dir(
        &self,
        dir: &OwnedFd,
        path: &FolderPath,
        ignore: &Ignore,
        sink: &mut dyn FnMut(FolderPath, Stat),
        report: &mut WalkReport,
    ) {
        let names = match list(dir, path, report) {
            Ok(names) => names,
            Err(why) => return report.unreadable.push((path.clone(), why.to_string())),
        };
        for name in names {
            let below = path.join(name.clone());
            match stat_at(dir, name.as_str()) {
                Ok(Some(stat)) => self.entry(dir, below, stat, ignore, sink, report),
                Ok(None) => report.skipped.push((below.to_string(), SkipReason::Special)),
                Err(Errno::NOENT) => {}
                Err(why) => report.unreadable.push((below, why.to_string())),
            }
        }
    }

    fn entry(
        &self,
        dir: &OwnedFd,
        path: FolderPath,
        stat: Stat,
        ignore: &Ignore,
        sink: &mut dyn FnMut(FolderPath, Stat),
        report: &mut WalkReport,
    ) {
        let is_dir = matches!(stat, Stat::Dir(_));
        if ignore.is_ignored(&path, is_dir) {
            report.ignored += 1;
            return;
        }
        if let Stat::Symlink(_, target) = &stat
            && leads_out(&path, target)
        {
            report.skipped.push((path.to_string(), SkipReason::LeadsOut));
            return;
        }
        if !is_dir {
            return sink(path, stat);
        }
        let Some(name) = path.name() else { return };
        let flags = rustix::fs::OFlags::RDONLY
            | rustix::fs::OFlags::DIRECTORY
            | rustix::fs::OFlags::NOFOLLOW
            | rustix::fs::OFlags::CLOEXEC;
        let opened = rustix::fs::openat(dir, name.as_str(), flags, rustix::fs::Mode::empty());
        let own_folder =
            opened.as_ref().is_ok_and(|sub| stat_at(sub, CONTROL).is_ok_and(|s| matches!(s, Some(Stat::Dir(_)))));
        if own_folder {
            report.skipped.push((path.to_string(), SkipReason::OtherFolder));
            return;
        }
        if path.components().len() >= DEPTH_MAX {
            report.skipped.push((path.to_string(), SkipReason::TooDeep));
            return;
        }
        sink(path.clone(), stat);
        match opened {
            Ok(sub) => self.walk_dir(&sub, &path, ignore, sink, report),
            Err(why) => report.unreadable.push((path, why.to_string())),
        }
    }
}

/// Names in a directory that can be synced, sorted; the control directory is left out.
fn list(dir: &OwnedFd, path: &FolderPath, report: &mut WalkReport) -> Result<Vec<Name>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if bytes == b"." || bytes == b".." || path.is_root() && bytes == CONTROL.as_bytes() {
            continue;
        }
        let shown = || {
            let name = String::from_utf8_lossy(bytes).into_owned();
            if path.is_root() { name } else { format!("{path}/{name}") }
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => match Name::new(text) {
                Ok(name) => names.push(name),
                Err(why) => report.skipped.push((shown(), SkipReason::Name(why.to_string()))),
            },
            Err(_) => report.skipped.push((shown(), SkipReason::Name("it is not valid UTF-8".into()))),
        }
        debug_assert!(entry.file_type() != FileType::Unknown || !bytes.is_empty());
    }
    names.sort();
    Ok(names)
}

/// Whether a link's target is absolute or climbs above the folder.
fn leads_out(path: &FolderPath, target: &str) -> bool {
    if target.starts_with('/') || target.is_empty() {
        return true;
    }
    let mut depth = path.components().len() as i64 - 1;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}
