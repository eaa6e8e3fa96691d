//! A directory as a value: what is in it, byte for byte, so that two can be compared and the first difference named.
//!
//! Only what people put there counts: the folder's own `.cobox` is left out. Everything is kept in memory, so this is for small folders.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What cobox keeps for itself at the root of a folder.
const OWN: &str = ".cobox";

/// What lies in a directory, by path within it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tree(pub(crate) BTreeMap<PathBuf, Entry>);

/// One thing in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A directory.
    Dir,
    /// A file.
    File {
        /// Its content.
        bytes: Vec<u8>,
        /// Whether its owner may run it.
        executable: bool,
    },
    /// A symbolic link, and where it points.
    Link(PathBuf),
}

impl Tree {
    /// Reads it all. What disappears while we look was not there.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        let mut todo = vec![PathBuf::new()];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(root.join(&dir))? {
                let entry = entry?;
                let path = dir.join(entry.file_name());
                if path == Path::new(OWN) {
                    continue;
                }
                match read_entry(&entry.path()) {
                    Ok(read) => {
                        if read == Entry::Dir {
                            todo.push(path.clone());
                        }
                        tree.0.insert(path, read);
                    }
                    Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(tree)
    }

    /// How many files it has, links too.
    pub(crate) fn files(&self) -> usize {
        self.0.values().filter(|entry| **entry != Entry::Dir).count()
    }

    /// The size of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.values().map(|entry| if let Entry::File { bytes, .. } = entry { bytes.len() as u64 } else { 0 }).sum()
    }

    /// The first difference in words, if there is one.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let missing = self.0.keys().find(|path| !other.0.contains_key(*path));
        let extra = other.0.keys().find(|path| !self.0.contains_key(*path));
        let changed = self.0.iter().find(|(path, entry)| other.0.get(*path).is_some_and(|there| there != *entry));
        match (missing, extra, changed) {
            (Some(path), _, _) => Some(format!("{} is missing", path.display())),
            (_, Some(path), _) => Some(format!("{} should not be there", path.display())),
            (_, _, Some((path, _))) => Some(format!("{} is not the same", path.display())),
            (None, None, None) => None,
        }
    }
}

fn read_entry(path: &Path) -> io::Result<Entry> {
    let found = fs::symlink_metadata(path)?;
    Ok(if found.is_dir() {
        Entry::Dir
    } else if found.is_symlink() {
        Entry::Link(fs::read_link(path)?)
    } else {
        Entry::File { bytes: fs::read(path)?, executable: found.permissions().mode() & 0o100 != 0 }
    })
}
