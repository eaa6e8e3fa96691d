//! The blocks of one folder as a seeder sees them: names, links, lengths, and whether all beneath a block is here. The one walk
//! that says what is reached serves garbage collection, quota and repair alike, so that they can not disagree.

use std::collections::BTreeSet;

use crate::id::Cid;

/// How a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Not here.
    Missing,
    /// Here; something beneath it may be missing.
    Held,
    /// Here with all that is beneath it.
    Complete,
}

/// A folder's blocks. Whoever removes a block also forgets that it was complete.
pub trait Shelf {
    /// How the block stands.
    fn status(&self, cid: &Cid) -> Status;
    /// The blocks right beneath a block that is here, as its header names them; empty for one that is missing.
    fn links(&self, cid: &Cid) -> Vec<Cid>;
    /// Stored length of a block that is here; 0 for one that is missing.
    fn bytes(&self, cid: &Cid) -> u64;
    /// Notes whether all beneath a block that is here is here too.
    fn set_complete(&mut self, cid: &Cid, complete: bool);
    /// All blocks that are here.
    fn cids(&self) -> Vec<Cid>;
}

/// Visits, once each, the blocks that are here and reached from `root`, `seen` excepted and extended.
pub fn reach(shelf: &dyn Shelf, root: &Cid, seen: &mut BTreeSet<Cid>, visit: impl FnMut(&Cid)) {
    reach_without(shelf, root, |_| false, seen, visit);
}

/// [`reach`] by ways that lead through no block of which `without` says so.
pub fn reach_without(
    shelf: &dyn Shelf,
    root: &Cid,
    without: impl Fn(&Cid) -> bool,
    seen: &mut BTreeSet<Cid>,
    mut visit: impl FnMut(&Cid),
) {
    let mut stack = vec![*root];
    while let Some(cid) = stack.pop() {
        if !without(&cid) && shelf.status(&cid) != Status::Missing && seen.insert(cid) {
            visit(&cid);
            stack.extend(shelf.links(&cid));
        }
    }
}

/// What is missing beneath `root`, itself included, as far as it is known by name; blocks of which `without` says so may be, with what is
/// beneath them alone.
pub fn missing_without(shelf: &dyn Shelf, root: &Cid, without: impl Fn(&Cid) -> bool) -> BTreeSet<Cid> {
    let (mut stack, mut seen, mut missing) = (vec![*root], BTreeSet::new(), BTreeSet::new());
    while let Some(cid) = stack.pop() {
        if without(&cid) || !seen.insert(cid) {
            continue;
        }
        match shelf.status(&cid) {
            Status::Complete => {}
            Status::Held => stack.extend(shelf.links(&cid)),
            Status::Missing => missing.extend([cid]),
        }
    }
    missing
}

/// Works out anew, trusting no note, what beneath `roots` is complete: after a block was found damaged or lost.
pub fn recheck(shelf: &mut dyn Shelf, roots: &[Cid]) {
    let mut complete: BTreeSet<Cid> = BTreeSet::new();
    let mut checked: BTreeSet<Cid> = BTreeSet::new();
    // Twice on the stack: first to put its links above it, then, these being judged, to be judged.
    let mut stack: Vec<(Cid, bool)> = roots.iter().map(|root| (*root, false)).collect();
    while let Some((cid, links_done)) = stack.pop() {
        if links_done {
            let whole = shelf.links(&cid).iter().all(|link| complete.contains(link));
            shelf.set_complete(&cid, whole);
            if whole {
                complete.insert(cid);
            }
        } else if shelf.status(&cid) != Status::Missing && checked.insert(cid) {
            stack.push((cid, true));
            stack.extend(shelf.links(&cid).into_iter().map(|link| (link, false)));
        }
    }
    // Beneath a lost block nothing was reached, and there may be more that is lost: what was noted there is not to be believed once
    // that block is here again.
    for cid in shelf.cids() {
        if !checked.contains(&cid) && shelf.status(&cid) == Status::Complete {
            shelf.set_complete(&cid, false);
        }
    }
}
