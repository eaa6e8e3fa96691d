//! Hears of changes from the system. Events are hints: what they say is looked at, never believed. A directory that appears is
//! reported whole, because files written into it before it was watched make no event. When events were lost, or can not be had,
//! everything is to be looked at.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use cobox_core::path::FolderPath;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::path::from_machine;
use super::{CONTROL, DiskTree};

/// Events are gathered until none came for this long ...
const QUIET: Duration = Duration::from_millis(30);
/// ... or this many paths are known.
const PATHS_MAX: usize = 10_000;

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WatchEvent {
    /// These paths and what is below them.
    Changed(BTreeSet<FolderPath>),
    /// Everything: events were lost.
    Rescan {
        /// Why.
        why: String,
    },
    /// Everything, from time to time: no more events come.
    Dead {
        /// Why.
        why: String,
    },
}

/// Why a folder can not be watched.
#[derive(Debug, thiserror::Error)]
#[error("changes in {path} can not be watched: {source}", path = .path.display())]
pub(crate) struct WatchError {
    path: std::path::PathBuf,
    #[source]
    source: notify::Error,
}

/// Watches until dropped.
pub(crate) struct Watcher {
    _watching: RecommendedWatcher,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl Watcher {
    /// Starts watching; `tell` is called from a thread of its own.
    pub(crate) fn start(disk: &Arc<DiskTree>, tell: Box<dyn Fn(WatchEvent) + Send>) -> Result<Self, WatchError> {
        let root = disk.root().to_path_buf();
        let failed = |source| WatchError { path: root.clone(), source };
        let (events, heard) = channel::<notify::Result<notify::Event>>();
        let mut watching = notify::recommended_watcher(move |event| drop(events.send(event))).map_err(failed)?;
        watching.watch(&root, RecursiveMode::Recursive).map_err(failed)?;
        let gather_root = root.clone();
        std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || {
                let mut paths = BTreeSet::new();
                loop {
                    let next = if paths.is_empty() {
                        heard.recv().map_err(|_| RecvTimeoutError::Disconnected)
                    } else {
                        heard.recv_timeout(QUIET)
                    };
                    match next {
                        Ok(Ok(event)) if event.need_rescan() => {
                            tell(WatchEvent::Rescan { why: "events were lost".into() })
                        }
                        Ok(Ok(event)) => take(&gather_root, &event, &mut paths),
                        Ok(Err(why)) => tell(WatchEvent::Dead { why: why.to_string() }),
                        Err(RecvTimeoutError::Timeout) => tell(WatchEvent::Changed(std::mem::take(&mut paths))),
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                    if paths.len() > PATHS_MAX {
                        paths.clear();
                        tell(WatchEvent::Rescan { why: "too many changes at once".into() });
                    }
                }
            })
            .expect("the system has room for another thread");
        Ok(Self { _watching: watching })
    }
}

fn take(root: &std::path::Path, event: &notify::Event, into: &mut BTreeSet<FolderPath>) {
    if matches!(event.kind, EventKind::Access(_)) {
        return;
    }
    for path in &event.paths {
        if path.starts_with(root.join(CONTROL)) {
            continue;
        }
        match from_machine(root, path) {
            Some(path) => into.insert(path),
            // A name that can not be synced: its directory tells of it.
            None => path.parent().and_then(|dir| from_machine(root, dir)).is_some_and(|dir| into.insert(dir)),
        };
    }
}
