//! Looks at the disk: one thread per folder that lists what the actor asks for, in parts, so that no listing ever stands in
//! memory whole.
//!
//! What must hold: a folder that is gone, before or while it is listed, is said to be lost, never to be empty; without the
//! ignore rules nothing is concluded at all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use cobox_core::engine::Stat;
use cobox_core::path::FolderPath;

use super::seen;
use crate::disk_tree::{Begun, DiskTree, IGNORE_FILE, Ignore, RootError, Seen, Spelling, WalkReport};

/// Entries handed over at once.
const PART_ENTRIES: usize = 1024;
/// More files than this that were written a moment ago are looked at by looking at everything. We ourselves write some thousands a second.
const UNSETTLED_MAX: usize = 20_000;

/// What the listing found.
#[derive(Debug)]
pub(super) enum Looked {
    /// The rules that this look leaves paths out by, before all it lists.
    Rules(Arc<Ignore>),
    /// A part of the listing.
    Listed(Vec<(FolderPath, Stat)>),
    /// The listing ended.
    Ended(Findings),
    /// The folder itself is not there; what was listed before counts for nothing.
    RootLost(RootError),
}

/// What a listing has to say beside its entries.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What was looked at, with what is below; everything if it is empty.
    pub(super) under: Vec<FolderPath>,
    /// Paths below which nothing may be concluded, with the reason.
    pub(super) unreadable: Vec<(FolderPath, String)>,
    /// What is there and is not synced, with the reason.
    pub(super) skipped: Vec<(String, String)>,
    /// How many more there were.
    pub(super) skipped_more: u64,
    /// Lines of the ignore rules that mean nothing, with the reason.
    pub(super) bad_rules: Vec<(String, String)>,
    /// Files written so recently that another write may leave the same times: to be looked at once more (l6). The root stands
    /// for too many.
    pub(super) unsettled: Vec<FolderPath>,
}

/// A look at everything if it names no path, else at these paths and what is below them.
pub(super) struct Request {
    pub(super) under: Vec<FolderPath>,
    /// Of what changes before this nothing may be heard, so the look is later.
    pub(super) after: Option<Begun>,
}

/// Lists what each request asks for. `now_ns` is the time.
pub(super) fn run(disk: &DiskTree, requests: &Receiver<Request>, now_ns: &dyn Fn() -> i64, tell: &dyn Fn(Looked)) {
    while let Ok(Request { under, after }) = requests.recv() {
        if let Some(begun) = after {
            begun.wait();
        }
        tell(match look(disk, &under, now_ns, tell) {
            Ok(findings) => Looked::Ended(findings),
            Err(lost) => Looked::RootLost(lost),
        });
    }
}

fn look(
    disk: &DiskTree,
    under: &[FolderPath],
    now_ns: &dyn Fn() -> i64,
    tell: &dyn Fn(Looked),
) -> Result<Findings, RootError> {
    disk.check()?;
    let mut findings = Findings { under: under.to_vec(), ..Findings::default() };
    let ignore = match Ignore::load(disk) {
        Ok(ignore) => Arc::new(ignore),
        Err(why) => {
            // Private files would be taken for content.
            findings.unreadable.push((FolderPath::root(), why.to_string()));
            return Ok(findings);
        }
    };
    for bad in ignore.bad_patterns() {
        findings.bad_rules.push((format!("{IGNORE_FILE}, line {}", bad.line), bad.message.clone()));
    }
    tell(Looked::Rules(ignore.clone()));
    let mut part = Vec::new();
    let mut unsettled = Vec::new();
    let mut sink = |path: FolderPath, seen: Seen| {
        if seen.stamp().is_some_and(|stamp| !stamp.is_settled(now_ns())) && unsettled.len() <= UNSETTLED_MAX {
            unsettled.push(path.clone());
        }
        part.extend(seen::stat(seen).map(|stat| (path, stat)));
        if part.len() >= PART_ENTRIES {
            tell(Looked::Listed(std::mem::take(&mut part)));
        }
    };
    if under.is_empty() {
        findings.add(disk.walk_all(&ignore, &mut sink));
    }
    let (mut above, mut spelling) = (BTreeSet::new(), Spelling::new(disk));
    for path in under {
        walk_above(disk, &ignore, path, &mut spelling, &mut above, &mut sink);
        findings.add(disk.walk_below(&ignore, path, &mut spelling, &mut sink));
    }
    // A disk that vanished meanwhile looks like one whose files are gone.
    disk.check()?;
    if !part.is_empty() {
        tell(Looked::Listed(part));
    }
    findings.unsettled = if unsettled.len() > UNSETTLED_MAX { vec![FolderPath::root()] } else { unsettled };
    Ok(findings)
}

/// The directories above a path that this look has not told of yet, so that whoever hears of a new file in a new directory hears of both.
fn walk_above(
    disk: &DiskTree,
    ignore: &Ignore,
    path: &FolderPath,
    spelling: &mut Spelling<'_>,
    told: &mut BTreeSet<FolderPath>,
    sink: &mut dyn FnMut(FolderPath, Seen),
) {
    let mut above: Vec<FolderPath> = Vec::new();
    let mut at = path.parent();
    while let Some(dir) = at.filter(|dir| !dir.is_root() && !told.contains(dir)) {
        at = dir.parent();
        above.push(dir);
    }
    for dir in above.into_iter().rev() {
        match disk.find(&dir) {
            Ok(_) if !matches!(spelling.is_so(&dir), Ok(true)) => return,
            Ok(Some(seen @ Seen::Dir { .. })) if !ignore.is_ignored(&dir, true) => {
                told.insert(dir.clone());
                sink(dir, seen);
            }
            _ => return,
        }
    }
}

impl Findings {
    fn add(&mut self, report: WalkReport) {
        self.unreadable.extend(report.unreadable);
        self.skipped.extend(report.skipped.into_iter().map(|skipped| (skipped.shown, skipped.reason.to_string())));
        self.skipped_more += report.skipped_more;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use cobox_proto::id::FolderId;

    use super::*;
    use crate::disk_tree::OffLimits;

    #[test]
    fn l13_what_comes_while_the_watches_are_set_is_found_by_the_look() {
        let root = tempfile::tempdir().unwrap();
        let disk = DiskTree::adopt(root.path(), FolderId([7; 32]), &OffLimits::default()).unwrap();
        let begun = Begun::default();
        let (ask, requests) = channel();
        let (tell, told) = channel();
        let looker = std::thread::spawn(move || run(&disk, &requests, &|| 0, &|looked| tell.send(looked).unwrap()));
        ask.send(Request { under: Vec::new(), after: Some(begun.clone()) }).unwrap();
        assert!(told.recv_timeout(Duration::from_millis(50)).is_err(), "it looked before anything was watched");
        std::fs::write(root.path().join("late"), "").unwrap();
        begun.say();
        drop(ask);
        let late = FolderPath::parse("late").unwrap();
        let lists =
            |looked: Looked| matches!(looked, Looked::Listed(part) if part.iter().any(|(path, _)| *path == late));
        assert!(told.iter().any(lists));
        looker.join().unwrap();
    }
}
