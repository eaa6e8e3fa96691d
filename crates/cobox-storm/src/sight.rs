//! What lies in a folder, as the oracles see it: every file is a known version, or odd.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::content::Version;

/// What cobox keeps for itself at the root of a folder.
const OWN: &str = ".cobox";

/// One thing in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Dir,
    /// A whole version.
    Whole(Version),
    /// Something that nobody wrote, and what is wrong with it.
    Odd(String),
}

/// A folder's content by path within it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sight(pub(crate) BTreeMap<PathBuf, Found>);

impl Sight {
    /// Reads it all. What disappears while we look was not there.
    pub(crate) fn of(root: &Path) -> io::Result<Self> {
        let mut sight = Self::default();
        let mut todo = vec![PathBuf::new()];
        while let Some(dir) = todo.pop() {
            let entries = match fs::read_dir(root.join(&dir)) {
                Err(gone) if gone.kind() == io::ErrorKind::NotFound && !dir.as_os_str().is_empty() => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let path = dir.join(entry.file_name());
                if path == Path::new(OWN) {
                    continue;
                }
                match found(&entry.path()) {
                    Ok(found) => {
                        if found == Found::Dir {
                            todo.push(path.clone());
                        }
                        sight.0.insert(path, found);
                    }
                    Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(sight)
    }

    /// The versions it shows, by path.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&PathBuf, Version)> {
        self.0
            .iter()
            .filter_map(|(path, found)| if let Found::Whole(version) = found { Some((path, *version)) } else { None })
    }

    /// What is no whole version.
    pub(crate) fn odd(&self) -> impl Iterator<Item = (&PathBuf, &String)> {
        self.0.iter().filter_map(|(path, found)| if let Found::Odd(why) = found { Some((path, why)) } else { None })
    }

    /// The first differences in words.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let of = |sight: &Self, path: &PathBuf| {
            sight.0.get(path).map_or_else(|| "nothing".into(), |found| format!("{found:?}"))
        };
        let mut paths: Vec<&PathBuf> = self.0.keys().chain(other.0.keys()).collect();
        paths.sort();
        paths.dedup();
        let differ = paths.into_iter().filter(|path| self.0.get(*path) != other.0.get(*path));
        differ
            .take(5)
            .map(|path| format!("{}: {} here, {} there", path.display(), of(self, path), of(other, path)))
            .collect()
    }
}

/// What lies at a place.
pub(crate) fn found(path: &Path) -> io::Result<Found> {
    let there = fs::symlink_metadata(path)?;
    Ok(if there.is_dir() {
        Found::Dir
    } else if there.is_file() {
        Version::read(&fs::read(path)?).map_or_else(Found::Odd, Found::Whole)
    } else {
        Found::Odd("neither a file nor a directory".into())
    })
}
