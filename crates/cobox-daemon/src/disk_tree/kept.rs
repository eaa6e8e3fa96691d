//! Versions put aside in `.cobox/keep`: what a remote change replaced or removed, until enough others hold it (design 3.5).
//!
//! A kept file's name says what it was when it was put aside. If a program that had it open writes on, or a crash came between, it is
//! no longer intact: it may hold an edit that nobody has, and is dropped only by someone who looked at it.

use std::os::fd::OwnedFd;
use std::str::FromStr;
use std::sync::Arc;

use cobox_core::path::{FolderPath, Name};
use cobox_proto::codec::{Reader, Writer};
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::beneath::{list, stat_at};
use super::read::{open_file, part};
use super::root::{KEEP, read_small, write_atomically};
use super::seen::{Stamp, file_type, stamp_of};
use super::temp::remove_leftover;
use super::{DiskError, DiskTree, Inner, ReadError};

/// Ends the name of a note that says where a kept file came from.
const NOTE: &str = ".from";
const NOTE_BYTES_MAX: usize = 1 << 20;

/// Names one kept version. Text that holds it can be stored and parsed again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeptId(String);

impl KeptId {
    /// A new name for a version that is about to be put aside.
    pub(crate) fn fresh(version: &Stamp) -> Result<Self, DiskError> {
        let random = getrandom::u64()
            .map_err(|error| DiskError::io("name a file in", format!(".cobox/{KEEP}"), std::io::Error::other(error)))?;
        Ok(Self(format!("{random:016x}-{:x}-{:x}-{:x}", version.ino, version.size, version.mtime_ns as u64)))
    }
    /// The text, which is also the name of the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    fn describes(&self, found: &Stamp) -> bool {
        let said = self.0.get(16..).unwrap_or_default();
        said == format!("-{:x}-{:x}-{:x}", found.ino, found.size, found.mtime_ns as u64)
    }
    /// What the disk knew the file by when it was put aside, and still does.
    fn ino(&self) -> Option<u64> {
        self.0.split('-').nth(1).and_then(|ino| u64::from_str_radix(ino, 16).ok())
    }
    fn path(&self) -> String {
        format!(".cobox/{KEEP}/{}", self.0)
    }
}

/// The text is no id of a kept version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a kept version")]
pub struct ParseKeptIdError;

impl FromStr for KeptId {
    type Err = ParseKeptIdError;
    fn from_str(text: &str) -> Result<Self, ParseKeptIdError> {
        let hex = |part: &str| (1..=16).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
        let parts: Vec<&str> = text.split('-').collect();
        match parts.len() == 4 && parts[0].len() == 16 && parts.iter().all(|part| hex(part)) {
            true => Ok(Self(text.to_owned())),
            false => Err(ParseKeptIdError),
        }
    }
}

/// One version in `.cobox/keep`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub id: KeptId,
    /// As it lies there now.
    pub stamp: Stamp,
    /// Whether it is what was put aside. If not it may hold an edit that nobody has: read it and compare before dropping it.
    pub intact: bool,
}

/// A kept version, opened.
pub struct KeptFile {
    inner: Arc<Inner>,
    file: OwnedFd,
    id: KeptId,
    stamp: Stamp,
}

impl DiskTree {
    /// Everything put aside, oldest runs included.
    pub fn list_kept(&self) -> Result<Vec<Kept>, DiskError> {
        let keep = self.0.control_part(KEEP)?;
        let mut kept = Vec::new();
        for name in list(&keep).map_err(|error| DiskError::io("list", format!(".cobox/{KEEP}"), error))? {
            let Some(id) = std::str::from_utf8(&name).ok().and_then(|name| name.parse::<KeptId>().ok()) else {
                continue;
            };
            kept.extend(find(&keep, &id)?);
        }
        kept.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(kept)
    }

    /// The kept version that is this file to the disk.
    pub(crate) fn kept_file(&self, dev: u64, ino: u64) -> Result<Option<KeptId>, DiskError> {
        let keep = self.0.control_part(KEEP)?;
        for name in list(&keep).map_err(|error| DiskError::io("list", format!(".cobox/{KEEP}"), error))? {
            let id = std::str::from_utf8(&name).ok().and_then(|name| name.parse::<KeptId>().ok());
            let Some(id) = id.filter(|id| id.ino() == Some(ino)) else { continue };
            if find(&keep, &id)?.is_some_and(|kept| (kept.stamp.dev, kept.stamp.ino) == (dev, ino)) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Opens a kept version, to serve it or to look at it.
    pub fn open_kept(&self, id: &KeptId) -> Result<KeptFile, ReadError> {
        let keep = self.0.control_part(KEEP)?;
        let (file, stamp) = open_file(&keep, id.as_str(), &id.path())?;
        Ok(KeptFile { inner: self.0.clone(), file, id: id.clone(), stamp })
    }

    /// Removes a kept version for good. `false` and nothing done if it is no longer what was put aside.
    pub fn drop_kept(&self, id: &KeptId) -> Result<bool, DiskError> {
        self.drop_if(id, |kept| kept.intact)
    }

    /// Removes a kept version that was changed after it was put aside, for someone who has read it as this version. `false` and
    /// nothing done if it is yet another.
    pub fn drop_changed_kept(&self, id: &KeptId, read: &Stamp) -> Result<bool, DiskError> {
        self.drop_if(id, |kept| kept.stamp == *read)
    }

    fn drop_if(&self, id: &KeptId, good: impl FnOnce(&Kept) -> bool) -> Result<bool, DiskError> {
        let keep = self.0.control_part(KEEP)?;
        match find(&keep, id)? {
            None => Ok(true),
            Some(kept) if good(&kept) => {
                remove_leftover(&keep, id.as_str()).map_err(|error| DiskError::io("remove", id.path(), error))?;
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }
}

/// Looks at one kept version.
pub(crate) fn find(keep: &OwnedFd, id: &KeptId) -> Result<Option<Kept>, DiskError> {
    let stat = stat_at(keep, id.as_str()).map_err(|error| DiskError::io("look at", id.path(), error))?;
    Ok(stat.map(|stat| {
        let stamp = stamp_of(&stat);
        let intact = file_type(&stat) == FileType::RegularFile && id.describes(&stamp);
        Kept { id: id.clone(), stamp, intact }
    }))
}

impl KeptFile {
    /// As it was when it was opened.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    /// Reads all of it, as one version.
    pub fn read_stable(&self, sink: &mut dyn FnMut(&[u8])) -> Result<(), ReadError> {
        let path = self.id.path();
        rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Start(0))
            .map_err(|error| DiskError::io("read", &path, error))?;
        self.inner.stream(&self.file, &self.stamp, &path, sink)
    }
    /// Exactly `len` bytes of it, or an error.
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        part(&self.file, &self.stamp, &self.id.path(), offset, len)
    }
}

/// On disks that can not swap two names a replaced file is away for a moment. A note lets the next start put it back (k1).
impl Inner {
    pub(crate) fn write_note(&self, keep: &OwnedFd, id: &KeptId, path: &FolderPath) -> Result<(), DiskError> {
        let mut w = Writer::new();
        w.list(&path.iter().collect::<Vec<_>>());
        write_atomically(keep, &format!("{}{NOTE}", id.as_str()), w.as_slice())
            .map_err(|error| DiskError::io("write", id.path(), error))
    }

    /// A note that stays behind is harmless: its file's place is taken, so nothing is put back.
    pub(crate) fn drop_note(&self, keep: &OwnedFd, id: &KeptId) {
        let _ = rustix::fs::unlinkat(keep, format!("{}{NOTE}", id.as_str()), AtFlags::empty());
    }

    pub(crate) fn put_back_interrupted(&self) -> Result<(), DiskError> {
        let keep = self.control_part(KEEP)?;
        for name in list(&keep).map_err(|error| DiskError::io("list", format!(".cobox/{KEEP}"), error))? {
            let Ok(note) = std::str::from_utf8(&name) else { continue };
            let Some(id) = note.strip_suffix(NOTE).and_then(|id| id.parse::<KeptId>().ok()) else { continue };
            let failed = |error| DiskError::io("read", id.path(), error);
            let bytes = read_small(&keep, note, NOTE_BYTES_MAX).map_err(failed)?.unwrap_or_default();
            if let Ok(path) = Reader::new(&bytes).list::<Name>(NOTE_BYTES_MAX, "path") {
                let path = FolderPath::new(&path);
                match self.place(&path) {
                    Ok(place) => match self.rename_new((&keep, id.as_str()), (&place.dir, &place.name)) {
                        // Not moved yet, or replaced already.
                        Ok(()) | Err(Errno::NOENT | Errno::EXIST) => {}
                        Err(error) => return Err(place.io("put back")(error)),
                    },
                    Err(DiskError::NoDirectory { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            self.drop_note(&keep, &id);
        }
        Ok(())
    }
}
