//! The table of names that this disk can not hold, in `.cobox/names`: read at the start, written whenever it changes, and before a file is
//! made under a name from it. What is in it is told in [`cobox_core::names`].

use std::os::fd::OwnedFd;

use cobox_core::names::{DiskKind, Names};
use cobox_core::path::FolderPath;

use super::beneath::{Place, list};
use super::root::{read_small, write_atomically};
use super::{DiskError, Inner};

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

impl Inner {
    pub(crate) fn read_names(&self) -> std::sync::RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Changes the table and writes it, if it changed.
    pub(crate) fn change_names(&self, change: impl FnOnce(&mut Names) -> bool) -> Result<(), DiskError> {
        if !self.kind.maps_names() {
            return Ok(());
        }
        let mut names = self.names.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if change(&mut names) {
            let control = self.control()?;
            write_atomically(&control, NAMES, &names.encode())
                .map_err(|error| DiskError::io("write", ".cobox/names", error))?;
        }
        Ok(())
    }

    /// Where an entry that is not there yet goes: under a name that this disk can hold beside the others.
    pub(crate) fn place_new(&self, path: &FolderPath) -> Result<Place, DiskError> {
        let mut place = self.place(path)?;
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else { return Ok(place) };
        if !self.kind.maps_names() || place.name != name.as_str() {
            return Ok(place);
        }
        let dir = self.open_dir(&parent, super::beneath::LIST)?;
        let present = list(&dir).map_err(|error| DiskError::io("list", &parent, error))?;
        let present: Vec<String> = present.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
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
