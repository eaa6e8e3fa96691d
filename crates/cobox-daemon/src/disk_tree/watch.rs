//! Hearing of changes as they happen. Events are hints: they say where to look, never what is there, and some are lost, so the
//! folder is scanned now and then whatever this says.
//!
//! On Linux each directory is watched by itself: ignored ones cost nothing, and one that appears is listed again after its watch is
//! set, because what was written into it before gives no event (1.3 % of files in fresh directories were lost without it). Elsewhere the
//! system watches whole trees.
//!
//! One thread gathers events and hands them over: at once, as it were, when everything that was written is closed again; when the folder
//! has been quiet for a while if a program still writes; at the latest after some seconds. Where something that was there before goes or
//! is overwritten it hands over sooner, however much else happens, all but what is still being written: whoever judges what went must see
//! it while it goes. It ends when the [`Watch`] is dropped; events not handed over by then are lost.
//!
//! Setting a large folder's watches takes a while, so that thread does it. Of what changes before that is done nothing may be heard: who
//! lists the folder waits for [`Watch::begun`] first.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cobox_core::editing::is_lock;
use cobox_core::path::{CONTROL_DIR, FolderPath};
use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::DiskTree;
use super::ignore::Ignore;
use super::seen::Seen;

/// Changed paths that are told apart; more become one rescan.
const CHANGED_MAX: usize = 20_000;
/// Editors' locks that are told of at once; more is nobody's work.
const LOCKS_MAX: usize = 256;
/// Whether the system's own watches reach into directories.
const DEEP: bool = !cfg!(any(target_os = "linux", target_os = "android"));

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// Look at these: each may have come, changed or gone. A directory stands for itself and, when it has just come, all below it is
    /// named too.
    Changed(BTreeSet<FolderPath>),
    /// Something came or went whose name can be no content: only a scan of everything says what.
    NoContent,
    /// Editors' locks, which are no content: each may have come or gone, or have been there when the watch began.
    Locks(BTreeSet<FolderPath>),
    /// Events were lost: scan everything. Watching goes on.
    Rescan {
        /// For the status.
        why: String,
    },
    /// Nothing more will be heard, or not of everything: scan regularly. Watching is over (l13).
    Dead {
        /// For the status.
        why: String,
    },
}

/// How eagerly to watch.
#[derive(Debug, Clone, Copy)]
pub struct WatchSettings {
    /// Milliseconds without an event after which changes are handed over when no file that was heard of is being written: long enough
    /// for the steps of one save, which follow each other without a pause.
    pub closed_ms: u64,
    /// The same while one is: its writer may go on in a moment.
    pub quiet_ms: u64,
    /// Milliseconds after which they are handed over even if more keep coming.
    pub wait_ms_max: u64,
    /// The same when something that was there before went or was overwritten; what is being written waits on.
    pub gone_ms_max: u64,
    /// Directories that are watched at most; the system's limit is shared by all programs of a person.
    pub directories_max: usize,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self { closed_ms: 10, quiet_ms: 200, wait_ms_max: 2000, gone_ms_max: 250, directories_max: 500_000 }
    }
}

/// A folder being watched; ends when dropped.
pub struct Watch {
    shared: Arc<Shared>,
    begun: Begun,
    thread: Option<JoinHandle<()>>,
}

/// Tells when a watch has begun.
#[derive(Debug, Clone, Default)]
pub struct Begun(Arc<OnceLock<()>>);

impl Begun {
    /// Waits until everything is watched, or, as the watch tells, can not be.
    pub fn wait(&self) {
        self.0.wait();
    }

    pub(crate) fn say(&self) {
        // Whoever said so before was right.
        let _ = self.0.set(());
    }
}

struct Shared {
    root: PathBuf,
    settings: WatchSettings,
    pending: Mutex<Pending>,
    woken: Condvar,
}

#[derive(Default)]
struct Pending {
    changed: BTreeSet<FolderPath>,
    /// Something came or went that can be no content.
    no_content: bool,
    /// Directories to watch, or to watch again because they moved.
    appeared: BTreeSet<FolderPath>,
    /// Files that were begun or written to and not closed since.
    open: BTreeSet<FolderPath>,
    /// Files that were made since the last time everything was handed over, or that are not closed since they were.
    made: BTreeSet<FolderPath>,
    rescan: Option<String>,
    dead: Option<String>,
    first: Option<Instant>,
    last: Option<Instant>,
    /// When the first went, or was overwritten and closed, that was there before.
    first_gone: Option<Instant>,
    stop: bool,
}

impl Watch {
    /// Watches a folder. Scan it once that has [`Self::begun`], since of earlier changes nothing is heard. Start anew when the ignore rules
    /// change.
    pub fn start(
        tree: &DiskTree,
        ignore: Ignore,
        settings: WatchSettings,
        sink: impl FnMut(WatchEvent) + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            root: tree.path().to_owned(),
            settings,
            pending: Mutex::new(Pending::default()),
            woken: Condvar::new(),
        });
        let begun = Begun::default();
        let worker = Worker {
            tree: tree.clone(),
            ignore,
            shared: shared.clone(),
            begun: begun.clone(),
            watcher: None,
            watched: BTreeSet::new(),
            locks: BTreeSet::new(),
            sink: Box::new(sink),
        };
        let thread = std::thread::Builder::new().name("watch".into()).spawn(move || worker.run());
        if let Err(error) = &thread {
            // The closure, and with it the sink, is gone: there is nobody left to tell but the log.
            tracing::error!(%error, "can not start a thread that watches a folder; it is found out by scans only");
        }
        Self { shared, begun, thread: thread.ok() }
    }

    /// When all of the folder is watched.
    pub fn begun(&self) -> Begun {
        self.begun.clone()
    }

    /// Whether something was heard that is not handed over yet.
    pub fn gathers(&self) -> bool {
        self.shared.lock().first.is_some()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.woken.notify_all();
        // A sink that drops its own watch must not wait for itself.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic in the sink has been reported by that thread.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by the system's watcher; never waits for anything but the lock.
    fn heard(&self, tree: &DiskTree, event: notify::Result<notify::Event>) {
        let mut pending = self.lock();
        let due_before = pending.due(&self.settings);
        match event {
            Ok(event) if event.need_rescan() => pending.rescan("more changed than the system could count".into()),
            Ok(event) => {
                let appeared = matches!(
                    event.kind,
                    EventKind::Create(CreateKind::Folder | CreateKind::Any)
                        | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both | RenameMode::Any))
                );
                let is_closed = matches!(event.kind, EventKind::Access(AccessKind::Close(AccessMode::Write)));
                // Reading and opening changes nothing; we do it ourselves.
                if matches!(event.kind, EventKind::Access(_)) && !is_closed {
                    return;
                }
                // Elsewhere nothing is heard of a close, and what was written counts as being written until it is quiet.
                let is_open = matches!(
                    event.kind,
                    EventKind::Create(CreateKind::File | CreateKind::Any)
                        | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any)
                );
                let is_new = matches!(event.kind, EventKind::Create(_));
                for path in &event.paths {
                    // Of the root itself nothing but its end is told.
                    let ended = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
                    if path == &self.root && ended {
                        pending.die("the folder has been removed or moved".into());
                    }
                    match self.folder_path(tree, path) {
                        Some(path) => {
                            match &event.kind {
                                EventKind::Create(CreateKind::File | CreateKind::Any) => pending.begun(&path, true),
                                _ if is_open => pending.begun(&path, false),
                                EventKind::Modify(ModifyKind::Metadata(_)) => {}
                                EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                                    pending.went(&path);
                                }
                                _ if is_closed => pending.closed(&path),
                                _ => drop(pending.open.remove(&path)),
                            }
                            pending.change(path, appeared);
                        }
                        None if (ended || is_new) && !self.is_ours(path) => {
                            pending.no_content = true;
                            pending.touch();
                        }
                        None => {}
                    }
                }
            }
            Err(error) => pending.fail(&error),
        }
        // Who waits until it is due looks again by itself if that is later now: of a thousand files that come in a row it is woken by the first.
        let is_sooner = |due: Instant| due_before.is_none_or(|before| due < before);
        if !pending.appeared.is_empty() || pending.due(&self.settings).is_some_and(is_sooner) {
            drop(pending);
            self.woken.notify_all();
        }
    }

    /// Whether a path on disk is no place for content, whatever it is called.
    fn is_ours(&self, path: &Path) -> bool {
        path.strip_prefix(&self.root).map_or(true, |below| below.starts_with(CONTROL_DIR))
    }

    /// What the folder calls a path on disk; `None` for the control directory, what lies outside, and names that are none.
    fn folder_path(&self, tree: &DiskTree, path: &Path) -> Option<FolderPath> {
        let below = path.strip_prefix(&self.root).ok()?;
        if below.starts_with(CONTROL_DIR) {
            return None;
        }
        let mut folder_path = FolderPath::root();
        for local in below {
            folder_path = folder_path.join(&tree.0.shared_name(&folder_path, local.to_str()?)?);
        }
        Some(folder_path)
    }
}

impl Pending {
    fn change(&mut self, path: FolderPath, appeared: bool) {
        if appeared {
            self.appeared.insert(path.clone());
        }
        if self.changed.len() < CHANGED_MAX {
            self.changed.insert(path);
        } else {
            self.rescan(format!("more than {CHANGED_MAX} files changed at once"));
        }
        self.touch();
    }
    fn begun(&mut self, path: &FolderPath, is_made: bool) {
        // More are not told apart anyway.
        if self.open.len() < CHANGED_MAX {
            self.open.insert(path.clone());
        }
        if is_made && self.made.len() < CHANGED_MAX {
            self.made.insert(path.clone());
        }
    }
    fn closed(&mut self, path: &FolderPath) {
        self.open.remove(path);
        if !self.made.contains(path) {
            self.first_gone.get_or_insert_with(Instant::now);
        }
    }
    fn went(&mut self, path: &FolderPath) {
        self.open.remove(path);
        if !self.made.remove(path) {
            self.first_gone.get_or_insert_with(Instant::now);
        }
    }
    fn rescan(&mut self, why: String) {
        self.changed.clear();
        self.rescan.get_or_insert(why);
        self.touch();
    }
    fn die(&mut self, why: String) {
        self.dead.get_or_insert(why);
        self.touch();
    }
    fn fail(&mut self, error: &notify::Error) {
        match &error.kind {
            notify::ErrorKind::MaxFilesWatch => self.die(
                "the system allows no more watches for this person; raise fs.inotify.max_user_watches, or ignore some directories"
                    .into(),
            ),
            _ => self.rescan(format!("the system's watcher reports: {error}")),
        }
    }
    fn touch(&mut self) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
    }
    /// When to hand over everything.
    fn all_due(&self, settings: &WatchSettings) -> Option<Instant> {
        let (first, last) = (self.first?, self.last?);
        let quiet_ms = if self.open.is_empty() { settings.closed_ms } else { settings.quiet_ms };
        let quiet = last + Duration::from_millis(quiet_ms);
        Some(quiet.min(first + Duration::from_millis(settings.wait_ms_max)))
    }
    /// When to hand over, everything or what is not being written.
    fn due(&self, settings: &WatchSettings) -> Option<Instant> {
        let gone = self.first_gone.map(|first| first + Duration::from_millis(settings.gone_ms_max));
        self.all_due(settings).into_iter().chain(gone).min()
    }
    /// What is handed over now; the rest goes on being gathered.
    fn take(&mut self, now: Instant, settings: &WatchSettings) -> Self {
        let is_all = self.all_due(settings).is_none_or(|due| due <= now);
        let mut ready = std::mem::take(self);
        self.stop = ready.stop;
        // Who is not done with a file they made does not overwrite what was there before.
        self.made = ready.made.intersection(&ready.open).cloned().collect();
        if is_all || ready.rescan.is_some() || ready.dead.is_some() {
            return ready;
        }
        self.changed = ready.changed.extract_if(.., |path| ready.open.contains(path)).collect();
        if !self.changed.is_empty() {
            (self.first, self.last) = (ready.first, ready.last);
            self.open = std::mem::take(&mut ready.open);
        }
        ready
    }
}

struct Worker {
    tree: DiskTree,
    ignore: Ignore,
    shared: Arc<Shared>,
    begun: Begun,
    watcher: Option<RecommendedWatcher>,
    /// Directories watched one by one.
    watched: BTreeSet<FolderPath>,
    /// Editors' locks that were met in them and not told of yet.
    locks: BTreeSet<FolderPath>,
    sink: Box<dyn FnMut(WatchEvent) + Send>,
}

/// Nobody waits for what will never begin.
impl Drop for Worker {
    fn drop(&mut self) {
        self.begun.say();
    }
}

impl Worker {
    fn begin(&mut self) {
        let (shared, tree) = (self.shared.clone(), self.tree.clone());
        let config = notify::Config::default().with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(move |event| shared.heard(&tree, event), config);
        match watcher {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                return self.shared.lock().die(format!("the system offers no watcher here: {error}"));
            }
        }
        if DEEP {
            self.watch(&FolderPath::root());
        } else {
            // What is in it now is for the scan that follows to report.
            self.watch_below(&FolderPath::root());
        }
        self.tell_locks();
    }

    fn tell_locks(&mut self) {
        if !self.locks.is_empty() {
            let locks = std::mem::take(&mut self.locks);
            (self.sink)(WatchEvent::Locks(locks));
        }
    }

    fn run(mut self) {
        self.begin();
        self.begun.say();
        loop {
            let mut pending = self.shared.lock();
            if pending.stop {
                return;
            }
            let appeared = std::mem::take(&mut pending.appeared);
            if !appeared.is_empty() {
                drop(pending);
                self.look_into(appeared);
                continue;
            }
            let now = Instant::now();
            match pending.due(&self.shared.settings) {
                None => drop(self.shared.woken.wait(pending)),
                Some(due) if due > now => drop(self.shared.woken.wait_timeout(pending, due - now)),
                Some(_) => {
                    let ready = pending.take(now, &self.shared.settings);
                    drop(pending);
                    if !self.hand_over(ready) {
                        return;
                    }
                }
            }
        }
    }

    /// `false` when watching is over.
    fn hand_over(&mut self, ready: Pending) -> bool {
        if let Some(why) = ready.dead {
            (self.sink)(WatchEvent::Dead { why });
            return false;
        }
        if let Some(why) = ready.rescan {
            (self.sink)(WatchEvent::Rescan { why });
            return true;
        }
        if ready.no_content {
            (self.sink)(WatchEvent::NoContent);
        }
        self.forget_gone(&ready.changed);
        let ignore = &self.ignore;
        // Whether a path that is gone was a directory nobody knows; as either it may be ignored.
        let (ignored, changed): (BTreeSet<FolderPath>, BTreeSet<FolderPath>) =
            ready.changed.into_iter().partition(|path| ignore.is_ignored(path, false));
        // A lock that is content, because the rules say so, may be anybody's.
        let in_sight = |path: &FolderPath| path.parent().is_none_or(|dir| !ignore.is_ignored(&dir, true));
        self.locks.extend(ignored.into_iter().filter(|path| is_lock_at(path) && in_sight(path)).take(LOCKS_MAX));
        self.tell_locks();
        if !changed.is_empty() {
            (self.sink)(WatchEvent::Changed(changed));
        }
        true
    }

    /// Directories that are gone, whose watches the system has ended.
    fn forget_gone(&mut self, changed: &BTreeSet<FolderPath>) {
        for path in changed {
            if self.watched.contains(path) && !matches!(self.tree.find(path), Ok(Some(Seen::Dir { .. }))) {
                let gone = self.watched.range(path..).take_while(|dir| dir.starts_with(path)).cloned();
                for dir in gone.collect::<Vec<_>>() {
                    self.watched.remove(&dir);
                }
            }
        }
    }

    /// Directories have come: watch them, then list what came into them before that.
    fn look_into(&mut self, appeared: BTreeSet<FolderPath>) {
        for path in appeared {
            if !matches!(self.tree.find(&path), Ok(Some(Seen::Dir { .. }))) || self.ignore.is_ignored(&path, true) {
                continue;
            }
            let found = self.watch_below(&path);
            let mut pending = self.shared.lock();
            for path in found {
                pending.change(path, false);
            }
        }
        self.tell_locks();
    }

    /// Watches a directory and those in it, each before it is listed. Returns all that is there.
    fn watch_below(&mut self, top: &FolderPath) -> Vec<FolderPath> {
        let mut found = Vec::new();
        let mut dirs = vec![top.clone()];
        while let Some(dir) = dirs.pop() {
            // Who drops the watch waits for this thread.
            if self.shared.lock().stop {
                break;
            }
            if !DEEP && !self.watch(&dir) {
                continue;
            }
            match self.tree.entries(&dir) {
                Ok(entries) => {
                    for (path, is_dir) in entries {
                        if self.ignore.is_ignored_here(&path, is_dir) {
                            if !is_dir && is_lock_at(&path) && self.locks.len() < LOCKS_MAX {
                                self.locks.insert(path);
                            }
                            continue;
                        }
                        if is_dir {
                            dirs.push(path.clone());
                        }
                        // The first scan needs no list of everything.
                        if !top.is_root() {
                            found.push(path);
                        }
                    }
                }
                // Gone again, or not to be read: the scan tells.
                Err(error) => {
                    tracing::debug!(trouble = ?error.trouble(), "a directory to be watched can not be listed")
                }
            }
        }
        found
    }

    fn watch(&mut self, dir: &FolderPath) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        if !self.watched.contains(dir) && self.watched.len() >= self.shared.settings.directories_max {
            let why = format!("the folder has more than {} directories to watch", self.shared.settings.directories_max);
            self.shared.lock().die(why);
            return false;
        }
        let mode = if DEEP { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        match watcher.watch(&self.tree.disk_path(dir), mode) {
            Ok(()) => {
                self.watched.insert(dir.clone());
                true
            }
            Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => {
                self.watched.remove(dir);
                false
            }
            Err(error) => {
                self.shared.lock().fail(&error);
                false
            }
        }
    }
}

fn is_lock_at(path: &FolderPath) -> bool {
    path.name().is_some_and(|name| is_lock(name.as_str()))
}

#[cfg(test)]
impl Watch {
    pub(crate) fn hear_for_tests(&self, tree: &DiskTree, event: notify::Result<notify::Event>) {
        self.shared.heard(tree, event);
    }
    /// In how long what was heard is handed over.
    pub(crate) fn due_for_tests(&self, settings: &WatchSettings) -> Option<Duration> {
        Some(self.shared.lock().due(settings)?.saturating_duration_since(Instant::now()))
    }
    pub(crate) fn hand_over_for_tests(&self) {
        let mut pending = self.shared.lock();
        let long_ago = Instant::now() - Duration::from_secs(120);
        (pending.first, pending.last) = (Some(long_ago), Some(long_ago));
        drop(pending);
        self.shared.woken.notify_all();
    }
}
