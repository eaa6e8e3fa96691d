//! History as people read it, newest first, a page at a time.

use std::collections::BTreeSet;
use std::str::FromStr;

use cobox_proto::id::{Cid, HeadId, SigKey};

use super::{Change, Chronicle, Entry, Nodes, Past, PastError, changes};
use crate::keys::FolderKeys;
use crate::path::FolderPath;
use crate::state::{EpochDepth, Kind};
use crate::tree::Remote;

/// Heads looked at for one page, whether they have something for it or not: bounds how long a page takes.
const HEADS_PER_PAGE_MAX: usize = 512;
/// So many states are asked after together: whether they are kept somewhere is then known after one way there and back.
const ASK_AFTER: usize = 64;

/// Where a page begins. As text: `head:entry:path`, the path being the one followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The head.
    pub head: HeadId,
    /// How many of its entries were told.
    pub skip: usize,
    /// What is followed was called so then.
    pub path: FolderPath,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.head, self.skip, self.path)
    }
}

impl FromStr for Cursor {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or(());
        let head = next()?.parse().map_err(|_| ())?;
        let skip = next()?.parse().map_err(|_| ())?;
        let path = next()?;
        let path = if path.is_empty() { FolderPath::root() } else { FolderPath::parse(path).map_err(|_| ())? };
        Ok(Self { head, skip, path })
    }
}

/// What a page is to hold.
#[derive(Debug, Clone)]
pub struct PageOf {
    /// Of what: a file, or a directory with all in it; the root for everything. It is followed through its renames.
    pub path: FolderPath,
    /// Only files that were deleted.
    pub deleted_only: bool,
    /// From where on; from now if `None`.
    pub from: Option<Cursor>,
    /// Entries at most.
    pub entries_max: usize,
}

/// A change, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated {
    /// The head that says so.
    pub head: HeadId,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub entry: Entry,
}

/// A part of history.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Newest first.
    pub entries: Vec<Dated>,
    /// Where it goes on; `None` at the end of what is kept.
    pub next: Option<Cursor>,
    /// Some states between are kept by nobody who can be reached: what happened there is told together, with the next newer state.
    pub thinned: bool,
}

/// Reads a page. `past` stands at any state of the folder, best at the newest; it is moved.
///
/// Errors: a state that is kept is not as it should be.
pub fn page(
    chronicle: &Chronicle,
    of: &PageOf,
    past: &mut Past,
    nodes: &mut dyn Nodes,
    keys: &FolderKeys,
    epochs: &dyn EpochDepth,
) -> Result<Page, PastError> {
    let order = chronicle.newest_first();
    let mut followed = of.path.clone();
    let (mut first, mut skip) = (0, 0);
    if let Some(from) = &of.from {
        followed = from.path.clone();
        skip = from.skip;
        first = order.iter().position(|id| *id == from.head).unwrap_or(order.len());
    }
    let mut reader = Reader { chronicle, keys, nodes, gone: BTreeSet::new(), asked: 0 };
    let mut page = Page::default();
    let mut looked_at = 0;
    for (at, id) in order.iter().enumerate().skip(first) {
        let skipped = std::mem::take(&mut skip);
        if !chronicle.wrote(id, keys) {
            continue;
        }
        if looked_at == HEADS_PER_PAGE_MAX || page.entries.len() >= of.entries_max {
            page.next = Some(Cursor { head: *id, skip: skipped, path: followed });
            return Ok(page);
        }
        looked_at += 1;
        reader.ask_after(order, at);
        let Some(head) = chronicle.head(id) else { continue };
        if !reader.go_to(past, head.root)? {
            page.thinned = true;
            continue;
        }
        let before = reader.before(past, id)?;
        page.thinned |= !before.is_exact;
        if before.states.is_empty() && !before.is_exact {
            // What was before is kept nowhere: nothing can be said of this one.
            continue;
        }
        let entries = changes(past, &before.states, before.author, epochs);
        let name_before = called_before(&followed, &entries);
        let is_told = |entry: &Entry| {
            is_about(&followed, entry)
                && (!of.deleted_only || entry.change == Change::Deleted && entry.kind != Kind::Dir)
        };
        let mut told = entries.into_iter().filter(is_told);
        let at_ms = chronicle.at_ms(id).unwrap_or(0);
        let room = of.entries_max - page.entries.len();
        let dated = told.by_ref().skip(skipped).take(room).map(|entry| Dated { head: *id, at_ms, entry });
        page.entries.extend(dated);
        if told.next().is_some() {
            page.next = Some(Cursor { head: *id, skip: skipped + room, path: followed.clone() });
            return Ok(page);
        }
        drop(told);
        followed = name_before;
    }
    Ok(page)
}

/// Whether an entry is about what is followed.
fn is_about(followed: &FolderPath, entry: &Entry) -> bool {
    let moved = entry.from.as_ref().is_some_and(|from| from.starts_with(followed) || followed.starts_with(&entry.path));
    followed.is_root() || moved || entry.path.starts_with(followed)
}

/// What was called `now` after these changes was called so before them.
fn called_before(now: &FolderPath, entries: &[Entry]) -> FolderPath {
    let moved = |entry: &Entry| now.rebased(&entry.path, entry.from.as_ref()?);
    // The nearest directory that moved; those above it moved with it.
    let nearest = entries.iter().rev().find_map(moved).filter(|_| !now.is_root());
    nearest.unwrap_or_else(|| now.clone())
}

/// What a head rests on, as far as it is kept.
struct Before {
    states: Vec<Remote>,
    /// Whether it is just what the head itself names.
    is_exact: bool,
    /// Who wrote all that lies between, if it was one device.
    author: Option<SigKey>,
}

struct Reader<'a> {
    chronicle: &'a Chronicle,
    keys: &'a FolderKeys,
    nodes: &'a mut dyn Nodes,
    /// Roots that nobody has.
    gone: BTreeSet<Cid>,
    /// Up to which place in the order states were asked after.
    asked: usize,
}

impl Reader<'_> {
    /// Asks after the next states together.
    fn ask_after(&mut self, order: &[HeadId], at: usize) {
        if at < self.asked {
            return;
        }
        self.asked = at + ASK_AFTER;
        let roots = order[at..].iter().take(ASK_AFTER).filter_map(|id| self.chronicle.head(id)).map(|head| head.root);
        let roots: Vec<Cid> = roots.collect::<BTreeSet<_>>().into_iter().collect();
        let found: BTreeSet<Cid> = self.nodes.fetch(&roots).into_iter().map(|(cid, _)| cid).collect();
        self.gone.extend(roots.into_iter().filter(|root| !found.contains(root)));
    }

    /// False: the state is kept nowhere.
    fn go_to(&mut self, past: &mut Past, root: Cid) -> Result<bool, PastError> {
        Ok(match self.differences(past, root)? {
            Some(remote) => {
                past.become_remote(remote);
                true
            }
            None => false,
        })
    }

    fn differences(&mut self, past: &Past, root: Cid) -> Result<Option<Remote>, PastError> {
        if self.gone.contains(&root) && root != past.root() {
            return Ok(None);
        }
        match past.differences(root, self.nodes, self.keys) {
            Ok(remote) => Ok(Some(remote)),
            Err(PastError::NotKept { .. }) => {
                self.gone.insert(root);
                Ok(None)
            }
            Err(why) => Err(why),
        }
    }

    /// What a head rests on; where that is kept nowhere, the nearest before it that is.
    fn before(&mut self, past: &Past, id: &HeadId) -> Result<Before, PastError> {
        let mut states = Vec::new();
        let head = self.chronicle.head(id);
        let mut devices: BTreeSet<SigKey> = head.map(|head| head.device).into_iter().collect();
        let mut stack = self.chronicle.parents(id);
        let mut is_exact = head.is_none_or(|head| head.parents().count() == stack.len());
        let mut seen: BTreeSet<HeadId> = BTreeSet::new();
        while let Some(parent) = stack.pop() {
            let Some(head) = self.chronicle.head(&parent).filter(|_| seen.insert(parent)) else { continue };
            match self.differences(past, head.root)? {
                Some(remote) => states.push(remote),
                None => {
                    is_exact = false;
                    if self.chronicle.wrote(&parent, self.keys) {
                        devices.insert(head.device);
                    }
                    stack.extend(self.chronicle.parents(&parent));
                }
            }
        }
        let author = devices.first().copied().filter(|_| devices.len() == 1);
        Ok(Before { states, is_exact, author })
    }
}
