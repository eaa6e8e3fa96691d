//! Planted strings and the search for them: what a seeder must never have, in any of the shapes in which text usually lies about.
//!
//! What must hold: a search that finds nothing could have found something. `Search::finds_everything` proves it each time, on data in
//! which every string lies in every form.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A string found where it must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// The planted string.
    pub(crate) text: String,
    /// In which form.
    pub(crate) form: &'static str,
    /// In which file, or in its name.
    pub(crate) path: PathBuf,
}

/// What was searched, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Searched {
    /// Files read.
    pub(crate) files: u64,
    /// Their size.
    pub(crate) bytes: u64,
    /// Everything found.
    pub(crate) found: BTreeSet<Found>,
}

/// Looks for many strings in many forms in one pass.
pub(crate) struct Search {
    needles: Vec<Needle>,
    /// Needles by their first two bytes.
    by_start: Vec<Vec<u32>>,
}

struct Needle {
    text: String,
    form: &'static str,
    bytes: Vec<u8>,
}

impl Search {
    /// For these strings, each of at least eight bytes: anything shorter is found by chance.
    pub(crate) fn new(strings: &[&str]) -> Self {
        let mut search = Self { needles: Vec::new(), by_start: vec![Vec::new(); 1 << 16] };
        for text in strings {
            assert!(text.len() >= 8, "{text} is too short to be looked for");
            for (form, bytes) in forms(text) {
                search.by_start[start(&bytes)].push(search.needles.len() as u32);
                search.needles.push(Needle { text: (*text).to_owned(), form, bytes });
            }
        }
        search
    }

    /// How many shapes of strings it knows.
    pub(crate) fn forms(&self) -> usize {
        self.needles.len()
    }

    /// Whether it finds every form of every string when they are there.
    pub(crate) fn finds_everything(&self) -> bool {
        let mut hay = vec![0x5a_u8; 7];
        for needle in &self.needles {
            hay.extend(&needle.bytes);
            hay.push(0);
        }
        self.find(&hay).len() == self.needles.iter().map(|n| (&n.text, n.form)).collect::<BTreeSet<_>>().len()
    }

    /// Every file below these directories, and their names.
    pub(crate) fn below(&self, roots: &[&Path]) -> io::Result<Searched> {
        let mut searched = Searched::default();
        let mut todo: Vec<PathBuf> = roots.iter().map(|root| root.to_path_buf()).collect();
        while let Some(path) = todo.pop() {
            let name = path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
            self.note(&mut searched, &name, &path);
            let found = match fs::symlink_metadata(&path) {
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => continue,
                found => found?,
            };
            if found.is_dir() {
                for entry in fs::read_dir(&path)? {
                    todo.push(entry?.path());
                }
            } else if found.is_file() {
                let content = fs::read(&path)?;
                searched.files += 1;
                searched.bytes += content.len() as u64;
                self.note(&mut searched, &content, &path);
            }
        }
        Ok(searched)
    }

    fn note(&self, searched: &mut Searched, hay: &[u8], path: &Path) {
        let found = self.find(hay).into_iter();
        searched.found.extend(found.map(|(text, form)| Found { text: text.into(), form, path: path.into() }));
    }

    fn find(&self, hay: &[u8]) -> BTreeSet<(&str, &'static str)> {
        let mut found = BTreeSet::new();
        for at in 0..hay.len().saturating_sub(1) {
            for needle in self.by_start[start(&hay[at..])].iter().map(|n| &self.needles[*n as usize]) {
                if hay[at..].starts_with(&needle.bytes) {
                    found.insert((needle.text.as_str(), needle.form));
                }
            }
        }
        found
    }
}

fn start(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// The shapes in which a text may lie somewhere. Base64 has three, by how many bytes stand before the text: of each the part that is the
/// same whatever these bytes are.
fn forms(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let raw = text.as_bytes();
    let mut forms = vec![
        ("raw", raw.to_vec()),
        ("UTF-16LE", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("UTF-16BE", text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("hex", hex(raw).into_bytes()),
        ("HEX", hex(raw).to_uppercase().into_bytes()),
    ];
    for (form, before) in [("base64, first place", 0), ("base64, second place", 1), ("base64, third place", 2)] {
        for alphabet in [BASE64, BASE64_URL] {
            forms.push((form, base64(raw, before, alphabet)));
        }
    }
    forms
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a string can not fail");
        out
    })
}

/// The characters that depend on the bytes alone when `before` other bytes stand before them.
fn base64(bytes: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bits: Vec<u8> = (0..bytes.len() * 8).map(|bit| bytes[bit / 8] >> (7 - bit % 8) & 1).collect();
    let skip = (6 - before * 8 % 6) % 6;
    bits[skip..]
        .chunks_exact(6)
        .map(|six| alphabet[six.iter().fold(0, |value, bit| value << 1 | usize::from(*bit))])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o5_base64_is_found_wherever_it_starts() {
        // Made with another program: base64 of "plum cake??", "x" + it and "xy" + it, without what the neighbours change.
        for (before, whole) in [(0, "cGx1bSBjYWtlPz8="), (1, "eHBsdW0gY2FrZT8/"), (2, "eHlwbHVtIGNha2U/Pw==")] {
            let part = String::from_utf8(base64(b"plum cake??", before, BASE64)).unwrap();
            assert!(part.len() >= 13 && whole.contains(&part), "{part} in {whole}");
            let url = String::from_utf8(base64(b"plum cake??", before, BASE64_URL)).unwrap();
            assert!(whole.replace('/', "_").contains(&url), "{url}");
        }
    }

    #[test]
    fn o5_a_planted_string_is_found_in_every_form_and_in_names() {
        let dir = std::env::temp_dir().join(format!("cobox-canary-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let search = Search::new(&["elderberry ☂ rota", "plum cake??"]);
        assert!(search.finds_everything());
        assert!(search.below(&[&dir]).unwrap().found.is_empty());
        fs::write(dir.join("elderberry ☂ rota.txt"), "").unwrap();
        fs::write(dir.join("log"), "sent 70 6c 706C756D2063616B653F3F ok, Plum cake??").unwrap();
        let found: Vec<_> = search.below(&[&dir]).unwrap().found.into_iter().map(|f| (f.text, f.form)).collect();
        assert_eq!(found, [("elderberry ☂ rota".into(), "raw"), ("plum cake??".into(), "HEX")]);
        fs::remove_dir_all(dir).unwrap();
    }
}
