//! The table of names that this disk can not hold, in `.cobox/names`: read at the start, written whenever it changes, and before a file is
//! made under a name from it. What is in it is told in [`cobox_core::names`].

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{PoisonError, RwLockReadGuard};

use cobox_core::names::{DiskKind, Names};
use cobox_core::path::{FolderPath, Name};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::beneath::{LIST, Place, list, list_with_types};
use super::root::{read_small, write_atomically};
use super::{DiskError, DiskTree, Inner};

pub(crate) const NAMES: &str = "names";
/// Bytes of the table that are read: some hundred thousand mapped names.
const TABLE_BYTES_MAX: usize = 64 << 20;

/// The table of mapped names is not usable. Without it files under mapped names would look like others.
#[derive(Debug, thiserror::Error)]
pub enum NamesError {
    /// It can not be read.
    #[error("the table of names that this disk can not hold can not be read: {0}")]
    Io(std::io::Error),
    /// Its bytes are not what was written.
    #[error(
        "the table of names that this disk can not hold (.cobox/names) is damaged; restore it, or add the folder again"
    )]
    Damaged,
}

/// The table of a folder on a disk of this kind; an empty one if none was written.
pub(crate) fn load(control: &OwnedFd, kind: DiskKind) -> Result<Names, NamesError> {
    match read_small(control, NAMES, TABLE_BYTES_MAX) {
        Ok(None) => Ok(Names::new(kind)),
        Ok(Some(bytes)) => Names::decode(kind, &bytes).map_err(|_| NamesError::Damaged),
        Err(error) => Err(NamesError::Io(error.into())),
    }
}

/// The table, held, and what each entry is called on disk, and is.
type NamedList<'t> = (RwLockReadGuard<'t, Names>, Vec<(Vec<u8>, FileType)>);

/// Those that can be names.
pub(crate) fn texts<'n>(names: impl Iterator<Item = &'n Vec<u8>>) -> impl Iterator<Item = &'n str> {
    names.filter_map(|name| str::from_utf8(name).ok())
}

/// Tells what lies at a path from what is spelled otherwise, and found there all the same on a disk that folds names. Remembers what the
/// directories above a path list, for the next one beside it: for one look, no longer.
pub(crate) struct Spelling<'t> {
    tree: &'t DiskTree,
    above: Vec<(FolderPath, BTreeSet<Name>)>,
}

impl<'t> Spelling<'t> {
    pub(crate) fn new(tree: &'t DiskTree) -> Self {
        Self { tree, above: Vec::new() }
    }

    /// Whether what is found at a path, if anything is, is spelled like it.
    pub(crate) fn is_so(&mut self, path: &FolderPath) -> Result<bool, DiskError> {
        if !self.tree.kind().folds_names() {
            return Ok(true);
        }
        self.above.retain(|(dir, _)| dir != path && path.starts_with(dir));
        let mut dir = FolderPath::root();
        for (depth, (next, name)) in path.descent().zip(path.iter()).enumerate() {
            if depth == self.above.len() {
                match self.tree.0.names_in(&dir) {
                    Ok(listed) => self.above.push((dir, listed)),
                    Err(DiskError::NoDirectory { .. }) => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            if !self.above[depth].1.contains(&name) {
                return Ok(false);
            }
            dir = next;
        }
        Ok(true)
    }
}

impl Inner {
    pub(crate) fn read_names(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What lies in a directory, and the table that says what that is. Entries that have their own names by now are given them.
    pub(crate) fn list_named(&self, path: &FolderPath, dir: &OwnedFd) -> Result<NamedList<'_>, Errno> {
        let listed = || {
            // Held meanwhile: a list from before an entry takes its own name says nothing by the table from after it.
            let names = self.read_names();
            list_with_types(dir).map(|found| (names, found))
        };
        let (names, found) = listed()?;
        if names.with_their_own(path, texts(found.iter().map(|(local, _)| local))).is_empty() {
            return Ok((names, found));
        }
        drop(names);
        let taken = self.change_names(|names| {
            // Once more, now that no name is given: what was listed may have been another's by then.
            let found = list(dir).unwrap_or_default();
            let own = names.with_their_own(path, texts(found.iter()));
            own.iter().for_each(|name| _ = names.unbind(path, name));
            !own.is_empty()
        });
        if let Err(why) = taken {
            // It holds, and is written with the next change.
            tracing::warn!(%why, "what entries are called is not written down");
        }
        listed()
    }

    /// What the folder calls all that lies in a directory, be it content or not.
    fn names_in(&self, path: &FolderPath) -> Result<BTreeSet<Name>, DiskError> {
        let dir = self.open_dir(path, LIST)?;
        let (names, found) = self.list_named(path, &dir).map_err(|error| DiskError::io("list", path, error))?;
        let locals = texts(found.iter().map(|(local, _)| local));
        Ok(locals.filter_map(|local| names.shared(path, local).ok()?).collect())
    }

    /// What the folder calls an entry on disk; `None` if that is no name, or another entry's.
    pub(crate) fn shared_name(&self, dir: &FolderPath, local: &str) -> Option<Name> {
        let known = self.read_names().shared(dir, local).ok()?;
        known.or_else(|| {
            let (names, _) = self.list_named(dir, &self.open_dir(dir, LIST).ok()?).ok()?;
            names.shared(dir, local).ok()?
        })
    }

    /// Changes the table and writes it, if it changed or could not be written when it did.
    pub(crate) fn change_names(&self, change: impl FnOnce(&mut Names) -> bool) -> Result<(), DiskError> {
        if !self.kind.maps_names() {
            return Ok(());
        }
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if change(&mut names) {
            self.names_unwritten.store(true, Ordering::Relaxed);
        }
        if self.names_unwritten.load(Ordering::Relaxed) {
            write_atomically(&self.control()?, NAMES, &names.encode())
                .map_err(|error| DiskError::io("write", ".cobox/names", error))?;
            self.names_unwritten.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Where an entry that is not there yet goes: under a name that this disk can hold beside the others.
    pub(crate) fn place_new(&self, path: &FolderPath) -> Result<Place, DiskError> {
        let mut place = self.place(path)?;
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else { return Ok(place) };
        if !self.kind.maps_names() {
            return Ok(place);
        }
        if place.name != name.as_str() {
            // Nothing is made under a name that is not written down.
            self.change_names(|_| false)?;
            return Ok(place);
        }
        let dir = self.open_dir(&parent, LIST)?;
        let present = list(&dir).map_err(|error| DiskError::io("list", &parent, error))?;
        let present: Vec<String> = texts(present.iter()).map(str::to_owned).collect();
        let local = self.read_names().choose(&parent, &name, &present);
        if local != place.name {
            self.change_names(|names| names.bind(&parent, &name, &local))?;
            place.name = local;
        }
        Ok(place)
    }

    /// An entry is gone: its mapped name is free again.
    pub(crate) fn forget_name(&self, path: &FolderPath) -> Result<(), DiskError> {
        match (path.parent(), path.name()) {
            (Some(parent), Some(name)) => self.change_names(|names| names.unbind(&parent, &name)),
            _ => Ok(()),
        }
    }
}
