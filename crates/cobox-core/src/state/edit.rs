//! What a device writes (design 2.3). A [`Commit`] takes one batch of changes and stamps them with one dot. It holds the two
//! rules on which "no edit is lost" rests: a write removes only values its writer had before them, and an edit refreshes the
//! place under its own dot, so that a delete that did not know it can not take it along.
//!
//! The context is raised with the first write, so a commit that is dropped half-way leaves a smaller commit, never dots
//! outside the context.

use std::sync::Arc;

use cobox_proto::guard::Guard;
use cobox_proto::id::{ActorId, Inode, SigKey};
use smallvec::smallvec;

use super::{Body, Dot, Item, Kind, Loc, Shown, State, Touched, Values};
use crate::keys::ShapeKey;
use crate::path::Name;

/// The keyed function that names new items: devices that create the same path apart from one another name it alike.
pub trait InodePrf {
    /// The `n`th inode for this kind at this place.
    fn inode(&self, kind: Kind, parent: Inode, name: &Name, n: u32) -> Inode;
}

impl<F: Fn(Kind, Inode, &Name, u32) -> Inode> InodePrf for F {
    fn inode(&self, kind: Kind, parent: Inode, name: &Name, n: u32) -> Inode {
        self(kind, parent, name, n)
    }
}

impl InodePrf for ShapeKey {
    fn inode(&self, kind: Kind, parent: Inode, name: &Name, n: u32) -> Inode {
        ShapeKey::inode(self, kind, parent, name, n)
    }
}

/// Why a change can not be written. The caller writes the content as a new item instead, so that nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The item, or the value of it that was to be moved, is no longer there: somebody removed it meanwhile.
    #[error("item {} is gone; write it as a new one", .inode.short())]
    Gone {
        /// The item.
        inode: Inode,
    },
    /// A directory has no body.
    #[error("item {} is a directory and has no content", .inode.short())]
    Directory {
        /// The item.
        inode: Inode,
    },
}

/// One batch of changes by one actor.
pub struct Commit<'s> {
    state: &'s mut State,
    device: SigKey,
    prf: &'s dyn InodePrf,
    dot: Dot,
    touched: Touched,
    wrote: bool,
}

impl<'s> Commit<'s> {
    /// Begins; nothing is written yet.
    pub fn new(state: &'s mut State, actor: ActorId, device: SigKey, prf: &'s dyn InodePrf) -> Self {
        let seen = state.ctx.counter_max();
        let counter = seen.checked_add(1).expect("rule R11 keeps counters far from 2^64");
        Self { state, device, prf, dot: Dot { counter, actor }, touched: Touched::new(), wrote: false }
    }

    /// The dot that what is written now carries.
    pub fn dot(&self) -> Dot {
        self.dot
    }

    /// The state so far.
    pub fn state(&self) -> &State {
        self.state
    }

    /// Makes a directory, or revives the one that was deleted at this place.
    pub fn make_dir(&mut self, parent: Inode, name: &Name) -> Inode {
        let inode = self.free_inode(Kind::Dir, parent, name);
        let loc = self.placed(parent, name);
        self.write(inode, Some(Item { kind: Kind::Dir, loc, body: Values::new() }));
        inode
    }

    /// Makes a file or symlink.
    pub fn create(&mut self, parent: Inode, name: &Name, kind: Kind, body: Body) -> Inode {
        let inode = self.free_inode(kind, parent, name);
        let item = Item { kind, loc: self.placed(parent, name), body: smallvec![(self.dot, body)] };
        self.write(inode, Some(item));
        inode
    }

    /// Puts new content in place of the values the person had before them: `seen`, and values equal to one of those.
    pub fn edit(&mut self, inode: Inode, seen: &[Dot], body: Body) -> Result<(), EditError> {
        let mut item = self.content_item(inode)?;
        take_seen(&mut item.body, seen);
        if !Guard::EditReplacesWhatWasSeen.stands() {
            item.body.clear();
        }
        if item.body.iter().any(|(dot, _)| *dot == self.dot) {
            // This batch already wrote another value here, which the person did not see under this path: a register
            // holds one value per dot, so the second needs a dot of its own.
            self.dot.counter = self.dot.counter.checked_add(1).expect("rule R11 keeps counters far from 2^64");
        }
        let (_, place) = item.effective().ok_or(EditError::Gone { inode })?;
        item.loc = smallvec![(self.dot, place.clone())];
        item.body.push((self.dot, body));
        item.body.sort_by_key(|(dot, _)| *dot);
        self.write(inode, Some(item));
        Ok(())
    }

    /// Moves an item with all its values, and with everything below it, to another place.
    pub fn rename(&mut self, inode: Inode, parent: Inode, name: &Name) -> Result<(), EditError> {
        let mut item = self.state.get(&inode).cloned().ok_or(EditError::Gone { inode })?;
        if let [(_, only)] = &item.loc[..]
            && (only.parent, &only.name, only.trashed) == (parent, name, false)
        {
            return Ok(());
        }
        item.loc = self.placed(parent, name);
        self.write(inode, Some(item));
        Ok(())
    }

    /// Makes a file of its own from the values the person had before them, and leaves the others where they are. If no
    /// others are left it is an ordinary rename. The inode of what was moved.
    pub fn split_off(&mut self, inode: Inode, seen: &[Dot], parent: Inode, name: &Name) -> Result<Inode, EditError> {
        let mut item = self.content_item(inode)?;
        let taken = take_seen(&mut item.body, seen).ok_or(EditError::Gone { inode })?;
        if item.body.is_empty() {
            return self.rename(inode, parent, name).map(|()| inode);
        }
        let kind = item.kind;
        self.write(inode, Some(item));
        Ok(self.create(parent, name, kind, taken))
    }

    /// Deletes the values the person had before them, and the item when none is left.
    pub fn remove(&mut self, inode: Inode, seen: &[Dot]) {
        let Ok(mut item) = self.content_item(inode) else { return };
        if take_seen(&mut item.body, seen).is_some() {
            let rest = (!item.body.is_empty()).then_some(item);
            self.write(inode, rest);
        }
    }

    /// Deletes what hides behind a shown path: other items of equal content at the same place. Belongs to every edit, rename
    /// and removal of that path; otherwise the twin would come forth in its stead.
    pub fn remove_twins(&mut self, shown: &Shown) {
        for (inode, dot) in &shown.twins {
            self.remove(*inode, &[*dot]);
        }
    }

    /// Deletes a directory; the files below are removed one by one. Its record stays, so that whatever others put inside
    /// meanwhile keeps its parents.
    pub fn trash_dir(&mut self, inode: Inode) {
        let Some(item) = self.state.get(&inode).filter(|item| item.kind == Kind::Dir) else { return };
        let Some((_, place)) = item.effective().filter(|(_, place)| !place.trashed) else { return };
        let place = Loc { vd: self.dot, trashed: true, ..place.clone() };
        self.write(inode, Some(Item { kind: Kind::Dir, loc: smallvec![(self.dot, place)], body: Values::new() }));
    }

    /// Ends the batch: the newest dot written and what it touched; `None` if nothing was written, and then nothing changed.
    pub fn finish(mut self) -> Option<(Dot, Touched)> {
        if !self.wrote {
            return None;
        }
        // Two people who each deleted one side of a conflict leave an item without content; whoever writes next tidies up.
        for inode in self.state.bodiless().clone() {
            self.write(inode, None);
        }
        self.touched.drop_passing(self.state);
        Some((self.dot, self.touched))
    }

    fn write(&mut self, inode: Inode, item: Option<Item>) {
        self.state.ctx.raise(self.dot.actor, self.device, self.dot.counter);
        self.touched.note(inode, self.state.put(inode, item.map(Arc::new)));
        self.wrote = true;
    }

    fn placed(&self, parent: Inode, name: &Name) -> Values<Loc> {
        smallvec![(self.dot, Loc { vd: self.dot, parent, name: name.clone(), trashed: false })]
    }

    fn content_item(&self, inode: Inode) -> Result<Item, EditError> {
        let item = self.state.get(&inode).ok_or(EditError::Gone { inode })?;
        if item.kind == Kind::Dir { Err(EditError::Directory { inode }) } else { Ok(item.clone()) }
    }

    /// The first inode for this place that is not taken: absent, or dead at this very place.
    fn free_inode(&self, kind: Kind, parent: Inode, name: &Name) -> Inode {
        let free = |inode: &Inode| {
            let Some(item) = self.state.get(inode) else { return true };
            let here = item.effective().is_some_and(|(_, loc)| {
                (loc.parent, &loc.name) == (parent, name) && (kind != Kind::Dir || loc.trashed)
            });
            here && item.kind == kind && item.body.is_empty()
        };
        let mut candidates = (0..=u32::MAX).map(|n| self.prf.inode(kind, parent, name, n));
        candidates.find(free).expect("a state holds fewer than 2^32 items")
    }
}

/// Takes the seen values, and those equal to a seen one, out of a register; the newest of them.
fn take_seen(body: &mut Values<Body>, seen: &[Dot]) -> Option<Body> {
    let known: Vec<Body> = body.iter().filter(|(dot, _)| seen.contains(dot)).map(|(_, value)| value.clone()).collect();
    body.retain(|(_, value)| !known.iter().any(|k| k.same_value(value)));
    known.into_iter().next_back()
}
