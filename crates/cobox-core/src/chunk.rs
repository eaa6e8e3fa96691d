//! Where to cut a file into chunks (design 3.4). Cuts depend on the content around them and on the folder's shape key, never on
//! how the caller reads: an insertion moves few cuts, and who lacks the key can not tell known files by where they are cut
//! as easily (it is obfuscation, not a proof: padding is the second layer, the uniform profile the third).
//!
//! FastCDC (Xia et al., IEEE TPDS 2020), normalisation level 1, two bytes a step, with a gear table of our own. Sizes and masks
//! are pinned here and by vectors: a change of the cutting code must not move cuts.

use zeroize::Zeroizing;

use crate::keys::{Profile, ShapeKey};

/// No chunk but a file's last is shorter: 512 KiB.
pub const CHUNK_BYTES_MIN: usize = 512 << 10;
/// Where the mask changes: 1 MiB.
pub const CHUNK_BYTES_AVG: usize = 1 << 20;
/// No chunk is longer: 2 MiB.
pub const CHUNK_BYTES_MAX: usize = 2 << 20;
/// Bytes of every chunk but a file's last in the uniform profile: 256 KiB.
pub const UNIFORM_CHUNK_BYTES: usize = 256 << 10;

/// Cuts below the average size: 21 bits must be zero.
const MASK_SHORT: u64 = 0x0000_d917_6753_7000;
/// Cuts above it: 19 bits.
const MASK_LONG: u64 = 0x0000_d917_0753_7000;

/// Knows where one folder's files are cut.
pub struct Cutter {
    /// Absent in the uniform profile.
    gear: Option<Gear>,
}

struct Gear {
    table: Zeroizing<[u64; 256]>,
    /// The same, shifted left by one, for the even bytes.
    shifted: Zeroizing<[u64; 256]>,
}

impl std::fmt::Debug for Cutter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cutter")
    }
}

impl Cutter {
    /// For a folder's shape key and profile.
    pub fn new(shape: &ShapeKey, profile: Profile) -> Self {
        let gear = (profile == Profile::Cdc).then(|| {
            let table = shape.gear();
            let mut shifted = table.clone();
            shifted.iter_mut().for_each(|entry| *entry <<= 1);
            Gear { table, shifted }
        });
        Self { gear }
    }

    /// The most bytes a chunk can have: with so many in hand, the next cut is known.
    pub fn window(&self) -> usize {
        if self.gear.is_some() { CHUNK_BYTES_MAX } else { UNIFORM_CHUNK_BYTES }
    }

    /// The length of the chunk that `data` begins with, where `data` begins at a cut (or the file's first byte) and `eof` says
    /// that nothing follows it. `None` if the cut depends on bytes that are not there: bring up to [`Self::window`].
    /// An empty file has no chunk.
    pub fn cut(&self, data: &[u8], eof: bool) -> Option<usize> {
        if data.is_empty() || (!eof && data.len() < self.window()) {
            return None;
        }
        let Some(gear) = &self.gear else { return Some(data.len().min(UNIFORM_CHUNK_BYTES)) };
        let (_, len) = fastcdc::v2020::cut_gear(
            data,
            CHUNK_BYTES_MIN,
            CHUNK_BYTES_AVG,
            CHUNK_BYTES_MAX,
            MASK_SHORT,
            MASK_LONG,
            MASK_SHORT << 1,
            MASK_LONG << 1,
            gear.table.as_slice(),
            gear.shifted.as_slice(),
        );
        Some(len)
    }
}

/// Cuts one file as its bytes come. Holds at most two windows: 4 MiB.
#[derive(Debug)]
pub struct Chunker<'c> {
    cutter: &'c Cutter,
    buffer: Vec<u8>,
}

impl<'c> Chunker<'c> {
    /// At the beginning of a file.
    pub fn new(cutter: &'c Cutter) -> Self {
        Self { cutter, buffer: Vec::new() }
    }

    /// Takes the next bytes of the file, however many, and hands every chunk that is now complete to `chunk`.
    pub fn push(&mut self, mut bytes: &[u8], mut chunk: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            // Fill up to two windows, so that what stays behind is moved once for several cuts.
            let room = 2 * self.cutter.window() - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            self.drain(false, &mut chunk);
        }
    }

    /// The file has ended: the rest is cut and handed over.
    pub fn finish(mut self, mut chunk: impl FnMut(&[u8])) {
        self.drain(true, &mut chunk);
    }

    fn drain(&mut self, eof: bool, chunk: &mut impl FnMut(&[u8])) {
        let mut at = 0;
        while let Some(len) = self.cutter.cut(&self.buffer[at..], eof) {
            chunk(&self.buffer[at..at + len]);
            at += len;
        }
        self.buffer.drain(..at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(seed: u8) -> ShapeKey {
        ShapeKey::from_bytes([seed; 32])
    }

    /// Content without structure, the same for the same seed.
    fn noise(seed: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn whole(cutter: &Cutter, mut data: &[u8]) -> Vec<usize> {
        let mut lens = vec![];
        while let Some(len) = cutter.cut(data, true) {
            lens.push(len);
            data = &data[len..];
        }
        lens
    }

    #[test]
    fn the_masks_are_those_of_normalisation_level_one() {
        use fastcdc::v2020::{Normalization, select_masks};
        assert_eq!(select_masks(CHUNK_BYTES_AVG, Normalization::Level1), (MASK_SHORT, MASK_LONG));
        assert_eq!((MASK_SHORT.count_ones(), MASK_LONG.count_ones()), (21, 19));
    }

    #[test]
    fn chunks_keep_their_bounds_and_another_key_cuts_elsewhere() {
        let data = noise(1, 16 << 20);
        let lens = whole(&Cutter::new(&shape(1), Profile::Cdc), &data);
        assert_eq!(lens.iter().sum::<usize>(), data.len());
        let (_, full) = lens.split_last().unwrap();
        assert!(full.iter().all(|len| (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(len)), "{lens:?}");
        assert!(full.len() > 8);
        assert_ne!(lens, whole(&Cutter::new(&shape(2), Profile::Cdc), &data));
    }

    #[test]
    fn an_insertion_near_the_beginning_moves_few_cuts() {
        let cutter = Cutter::new(&shape(1), Profile::Cdc);
        let data = noise(1, 16 << 20);
        let mut edited = data.clone();
        edited.splice(1000..1000, *b"a few new bytes");
        let ends = |lens: Vec<usize>, shift: usize| -> Vec<usize> {
            lens.iter()
                .scan(0, |end, len| {
                    *end += len;
                    Some(*end - shift)
                })
                .collect()
        };
        let (before, after) = (ends(whole(&cutter, &data), 0), ends(whole(&cutter, &edited), 15));
        let kept = before.iter().filter(|end| after.contains(end)).count();
        assert!(kept + 3 >= before.len(), "{kept} of {}", before.len());
    }

    #[test]
    fn uniform_chunks_say_nothing() {
        let cutter = Cutter::new(&shape(1), Profile::Uniform);
        assert_eq!(whole(&cutter, &noise(1, 600_000)), [UNIFORM_CHUNK_BYTES, UNIFORM_CHUNK_BYTES, 75_712]);
        assert_eq!(whole(&cutter, &[]), Vec::<usize>::new());
    }

    #[test]
    fn a_cut_that_depends_on_what_follows_waits_for_it() {
        let cutter = Cutter::new(&shape(1), Profile::Cdc);
        assert_eq!(cutter.cut(&[0; CHUNK_BYTES_MAX - 1], false), None);
        assert_eq!(cutter.cut(&[0; CHUNK_BYTES_MAX], false), Some(CHUNK_BYTES_MAX));
        assert_eq!(cutter.cut(&[0; 10], true), Some(10));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn cuts_do_not_depend_on_how_the_file_is_read(
            seed in 0_u8..4,
            len in 0_usize..7 << 20,
            uniform: bool,
            reads in proptest::collection::vec(1_usize..3 << 20, 1..8),
        ) {
            let data = noise(seed, len);
            let profile = if uniform { Profile::Uniform } else { Profile::Cdc };
            let cutter = Cutter::new(&shape(seed), profile);
            let mut chunker = Chunker::new(&cutter);
            let (mut lens, mut joined) = (vec![], vec![]);
            let mut take = |chunk: &[u8]| { lens.push(chunk.len()); joined.extend_from_slice(chunk); };
            let mut rest = &data[..];
            for read in reads.iter().cycle() {
                if rest.is_empty() { break }
                let (now, later) = rest.split_at((*read).min(rest.len()));
                chunker.push(now, &mut take);
                rest = later;
            }
            chunker.finish(&mut take);
            prop_assert_eq!(lens, whole(&cutter, &data));
            prop_assert!(joined == data);
        }
    }
}
