//! What a device tells the other members' devices: the files it has open, and for how long. Sealed for the folder's members; see
//! `docs/protocol.md`.

use cobox_proto::codec::{Canonical, DecodeError, Reader, Writer};
use cobox_proto::limits::{EDITING_FILES_MAX, EDITING_NOTE_BYTES_MAX, PATH_BYTES_MAX};

use crate::path::FolderPath;

/// The format of this program.
const FORMAT: u8 = 1;
/// Nobody has a file open for longer, seconds: a year.
const OPEN_S_MAX: u64 = 366 * 24 * 3600;

/// A file that somebody has open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditedFile {
    /// Which.
    pub path: FolderPath,
    /// For how many seconds: clocks of two devices need not agree.
    pub open_s: u64,
}

/// All that a device has open, in place of what it told before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EditingNote {
    /// By path, each once.
    pub files: Vec<EditedFile>,
}

impl EditingNote {
    /// Of these files, as many as a note holds.
    pub fn of(files: impl IntoIterator<Item = EditedFile>) -> Self {
        let (mut note, mut left_bytes) = (Self::default(), EDITING_NOTE_BYTES_MAX - 2);
        for mut file in files.into_iter().take(EDITING_FILES_MAX) {
            file.open_s = file.open_s.min(OPEN_S_MAX);
            let bytes = file.to_bytes().len();
            if bytes <= left_bytes {
                left_bytes -= bytes;
                note.files.push(file);
            }
        }
        note.files.sort_by(|a, b| a.path.cmp(&b.path));
        note.files.dedup_by(|a, b| a.path == b.path);
        note
    }
}

impl Canonical for EditedFile {
    fn encode(&self, w: &mut Writer) {
        w.text(self.path.as_str()).varint(self.open_s);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text = r.text(PATH_BYTES_MAX, "path of an open file")?;
        let path = FolderPath::parse(text).ok().filter(|path| !path.is_root());
        let path = path.ok_or(DecodeError::BadValue { what: "path of an open file", found: text.len() as u64 })?;
        Ok(Self { path, open_s: r.varint_max(OPEN_S_MAX, "seconds a file is open")? })
    }
}

impl Canonical for EditingNote {
    fn encode(&self, w: &mut Writer) {
        w.u8(FORMAT).list(&self.files);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match r.u8()? {
            FORMAT => {}
            found => return Err(DecodeError::UnknownVersion { what: "note of open files", found: found.into() }),
        }
        let files: Vec<EditedFile> = r.list(EDITING_FILES_MAX, "open files")?;
        match files.windows(2).all(|two| two[0].path < two[1].path) {
            true => Ok(Self { files }),
            false => Err(DecodeError::NotCanonical { what: "open files" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, open_s: u64) -> EditedFile {
        EditedFile { path: FolderPath::parse(text).unwrap(), open_s }
    }

    #[test]
    fn c1_a_note_has_these_bytes_and_every_cut_or_other_version_is_refused() {
        let note = EditingNote::of([file("b", 300), file("a/x", 0)]);
        let bytes = note.to_bytes();
        assert_eq!(bytes, b"\x01\x02\x03a/x\x00\x01b\xac\x02");
        assert_eq!(EditingNote::from_bytes(&bytes).unwrap(), note);
        for cut in 0..bytes.len() {
            assert!(EditingNote::from_bytes(&bytes[..cut]).is_err(), "{cut}");
        }
        for wrong in [
            &b"\x02\x00"[..],
            b"\x01\x02\x01b\x00\x03a/x\x00",
            b"\x01\x02\x01b\x00\x01b\x00",
            b"\x01\x01\x00\x00",
            b"\x01\x01\x04../x\x00",
            b"\x01\x01\x02/x\x00",
            b"\x01\x01\x01b\xff\xff\xff\xff\x0f",
            b"\x01\x00\x00",
            b"\x01\x21",
        ] {
            assert!(EditingNote::from_bytes(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn c1_however_much_is_open_a_note_stays_small_and_whole() {
        let long = |n: usize| file(&format!("{}{n:03}", format!("{}/", "d".repeat(200)).repeat(19)), u64::MAX);
        let note = EditingNote::of((0..EDITING_FILES_MAX * 2).map(long));
        assert!(note.files.len() >= 2 && note.to_bytes().len() <= EDITING_NOTE_BYTES_MAX, "{}", note.files.len());
        assert_eq!(EditingNote::from_bytes(&note.to_bytes()).unwrap(), note);
        let note = EditingNote::of((0..EDITING_FILES_MAX * 2).map(|n| file(&n.to_string(), 1)));
        assert_eq!(note.files.len(), EDITING_FILES_MAX);
        assert_eq!(EditingNote::from_bytes(&note.to_bytes()).unwrap(), note);
    }
}
