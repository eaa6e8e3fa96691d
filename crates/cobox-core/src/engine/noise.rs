//! Whether a file looks like noise: what encryption makes of documents. What people keep that looks random too (pictures, archives, films)
//! says in its first bytes what it is, and so is no noise.

use std::collections::{BTreeMap, BTreeSet};

use super::holding::Noise;
use super::scan::Found;
use super::writing::Writing;
use crate::path::FolderPath;
use crate::state::{Body, Kind};

/// So much of a file's beginning is looked at.
pub const SAMPLE_BYTES: usize = 4096;
/// Shorter files say too little.
const SAMPLE_BYTES_MIN: usize = 64;
/// Of the entropy that so many random bytes have at most; random ones reach 0.92 and more, text in base64 0.80.
const SHARE: f64 = 0.88;

/// First bytes, from an offset on, of formats that are compressed or sealed inside.
const KNOWN: &[(usize, &[u8])] = &[
    (0, b"\xff\xd8\xff"),
    (0, b"\x89PNG"),
    (0, b"GIF8"),
    (0, b"RIFF"),
    (0, b"%PDF"),
    (0, b"PK\x03\x04"),
    (0, b"PK\x05\x06"),
    (0, b"\x1f\x8b\x08"),
    (0, b"BZh"),
    (0, b"\xfd7zXZ"),
    (0, b"\x28\xb5\x2f\xfd"),
    (0, b"\x04\x22\x4d\x18"),
    (0, b"7z\xbc\xaf"),
    (0, b"Rar!"),
    (257, b"ustar"),
    (4, b"ftyp"),
    (0, b"OggS"),
    (0, b"fLaC"),
    (0, b"ID3"),
    (0, b"\xff\xfb"),
    (0, b"\xff\xf1"),
    (0, b"\x1aE\xdf\xa3"),
    (0, b"II*\x00"),
    (0, b"MM\x00*"),
    (0, b"\x00\x00\x00\x0cJXL "),
    (0, b"\xd0\xcf\x11\xe0"),
    (0, b"SQLite format 3"),
    (0, b"wOF2"),
    (0, b"\x7fELF"),
    (0, b"age-encryption.org"),
    (0, b"-----BEGIN "),
    (0, b"\x03\xd9\xa2\x9a"),
];

/// Whether the beginning of a file, up to [`SAMPLE_BYTES`] of it, looks like noise.
pub fn is_noise(sample: &[u8]) -> bool {
    let is = |(at, mark): &(usize, &[u8])| sample.get(*at..*at + mark.len()) == Some(*mark);
    if sample.len() < SAMPLE_BYTES_MIN || KNOWN.iter().any(is) {
        return false;
    }
    let mut counts = [0u32; 256];
    for byte in sample {
        counts[usize::from(*byte)] += 1;
    }
    let len = sample.len() as f64;
    let bits = counts.iter().filter(|count| **count > 0).fold(0.0, |bits, count| {
        let share = f64::from(*count) / len;
        bits - share * share.log2()
    });
    bits >= SHARE * len.min(256.0).log2()
}

impl Writing<'_> {
    /// Files that are noise now and were something else before: at their place, or under a longer name beside a file that is known, or
    /// under another ending where one is gone.
    pub(super) fn became_noise(
        &self,
        found: &BTreeMap<FolderPath, Found>,
        gone: &BTreeSet<FolderPath>,
        noise: &BTreeSet<FolderPath>,
    ) -> Noise {
        let was_another = |path: &FolderPath, digest: &[u8; 32]| match self.synced.get(path) {
            Some(old) => old.kind == Kind::File && old.digest != *digest,
            None => self.lookup(path).is_none() && succeeds(path, &|stem| self.synced.contains_key(stem), gone),
        };
        // What the folder shows at its place is nobody's doing here: a step wrote it before a stop that lost the memory of it.
        let news = |path: &FolderPath, body: &Body| self.shown_already(path, Kind::File, body).is_none();
        let noise = noise.iter().filter_map(|path| match found.get(path) {
            Some(Found::Leaf(Kind::File, stamp, body)) if news(path, body) => Some((path, *stamp, body.plain_digest)),
            _ => None,
        });
        noise.filter(|(path, _, digest)| was_another(path, digest)).map(|(path, s, d)| (path.clone(), (s, d))).collect()
    }
}

/// Whether this name is that of a known file in the same directory and an ending more, or, up to its ending, that of one that is gone.
pub(super) fn succeeds(path: &FolderPath, is_known: &dyn Fn(&FolderPath) -> bool, gone: &BTreeSet<FolderPath>) -> bool {
    let Some((parent, name)) = path.parent().zip(path.name()) else { return false };
    let ends = name.as_str().match_indices('.').map(|(at, _)| at).rev();
    let stems: Vec<&str> = ends.filter(|at| *at > 0).map(|at| &name.as_str()[..at]).collect();
    let is_a_file = |stem: &&str| stem.parse().is_ok_and(|stem| is_known(&parent.join(&stem)));
    if stems.iter().any(is_a_file) {
        return true;
    }
    let last = stems.last().copied().unwrap_or(name.as_str());
    let has_stem = |gone: &FolderPath| {
        gone.name().is_some_and(|name| name.as_str().strip_prefix(last).is_some_and(|rest| rest.starts_with('.')))
    };
    let from = last.parse().map(|stem| parent.join(&stem)).unwrap_or_else(|_| parent.clone());
    gone.range(from..).take(64).any(|gone| gone.parent().as_ref() == Some(&parent) && has_stem(gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill({
            out.resize(len, 0);
            &mut out
        });
        out
    }

    #[test]
    fn h2_noise_of_every_length_is_known_for_noise() {
        for len in [64, 100, 200, 512, 1000, 4096] {
            for seed in 0..200 {
                assert!(is_noise(&noise(seed, len)), "{len} bytes of seed {seed}");
            }
        }
    }

    #[test]
    fn h2_what_people_write_and_collect_is_no_noise() {
        let prose = "The minutes of the meeting of the choir were read and approved; the treasurer reports 1,204.50. "
            .repeat(60);
        let base64 = data_encoding::BASE64.encode(&noise(1, 3000));
        let hex = data_encoding::HEXLOWER.encode(&noise(2, 2000));
        let unicode = "Žluťoučký kůň příšerně úpěl ďábelské ódy — 漢字かな交じり文。".repeat(40);
        let numbers: Vec<u8> = (0..1024u32).flat_map(|n| (n * 3).to_le_bytes()).collect();
        for text in
            [prose.as_bytes(), base64.as_bytes(), hex.as_bytes(), unicode.as_bytes(), &numbers, &[0; 4096], b"short"]
        {
            for len in [text.len().min(64), text.len().min(500), text.len().min(SAMPLE_BYTES)] {
                assert!(!is_noise(&text[..len]), "{:?}", String::from_utf8_lossy(&text[..len.min(30)]));
            }
        }
        for (at, mark) in KNOWN {
            let mut file = noise(3, 4096);
            file[*at..*at + mark.len()].copy_from_slice(mark);
            assert!(!is_noise(&file), "{mark:?}");
        }
    }
}
