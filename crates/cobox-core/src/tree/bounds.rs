//! Where a sequence of rows is cut into nodes. The cut is a function of the rows' keys and weights alone, so everybody
//! who holds the same rows draws the same nodes, and an edit that keeps a row's weight moves no boundary.
//!
//! The chance of a cut rises with the weight `w` gathered so far as in a Weibull distribution of shape 4, which gives
//! nodes of nearly equal size: few are below half or above twice the mean. Its hazard between two weights is
//! `(b^4 - a^4) / scale^4`; with the scale chosen so that the mean is 16 KiB, `scale^4 = (16 KiB / Γ(5/4))^4`, and the
//! threshold on a 64-bit hash is `2^64 * (b^4 - a^4) / scale^4 = (b^4 - a^4) * 256 * Γ(5/4)^4`. The factor is the
//! integer 173, so the whole rule is exact in integers and needs no table of numbers.

use std::iter::Peekable;

/// No node is cut by its hash below this weight.
pub const NODE_WEIGHT_MIN: u32 = 4 << 10;
/// No node weighs more, unless a single row does.
pub const NODE_WEIGHT_MAX: u32 = 64 << 10;
/// `256 * Γ(5/4)^4`, rounded: puts the mean at 16 KiB.
const HAZARD: u128 = 173;

/// A node ends after a row that takes its weight from `before` to `after` iff the row's hash is below this.
pub fn threshold(before: u32, after: u32) -> u64 {
    let fourth = |w: u32| u128::from(w.min(NODE_WEIGHT_MAX)).pow(4);
    let hazard = (fourth(after) - fourth(before.min(after))) * HAZARD;
    u64::try_from(hazard).unwrap_or(u64::MAX)
}

/// Takes the rows of one node: `(row, weight)` as long as they belong together. The flag says whether the node ends by
/// its own last row; if not, it ends only because the next row does not fit or there is none, so a change of that next
/// row may move its end. No rows left gives an empty node.
pub(super) fn take_node<R>(
    rows: &mut Peekable<impl Iterator<Item = (R, u32)>>,
    hash: impl Fn(&R) -> u64,
) -> (Vec<R>, bool) {
    let mut node = Vec::new();
    let mut weight = 0u32;
    while let Some((row, row_weight)) =
        rows.next_if(|(_, w)| weight == 0 || weight.saturating_add(*w) <= NODE_WEIGHT_MAX)
    {
        let before = weight;
        weight = weight.saturating_add(row_weight);
        let ends = weight >= NODE_WEIGHT_MAX || weight >= NODE_WEIGHT_MIN && hash(&row) < threshold(before, weight);
        node.push(row);
        if ends {
            return (node, true);
        }
    }
    (node, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(weights: &[u32], hash: impl Fn(usize) -> u64) -> Vec<usize> {
        let mut rows = weights.iter().copied().enumerate().peekable();
        let mut sizes = Vec::new();
        while rows.peek().is_some() {
            sizes.push(take_node(&mut rows, |i| hash(*i)).0.len());
        }
        sizes
    }

    fn spread(i: usize) -> u64 {
        u64::from_le_bytes(blake3::hash(&i.to_le_bytes()).as_bytes()[..8].try_into().unwrap())
    }

    #[test]
    fn nodes_of_small_rows_weigh_16_kib_on_average() {
        let sizes = cut(&vec![128; 200_000], spread);
        let mean = 128 * 200_000 / sizes.len();
        assert!((15_500..16_900).contains(&mean), "{mean}");
        let tiny = sizes.iter().filter(|rows| *rows * 128 < 6 << 10).count();
        assert!(tiny * 50 < sizes.len(), "{tiny} of {} nodes are tiny", sizes.len());
        assert!(sizes.iter().all(|rows| rows * 128 < 48 << 10));
    }

    #[test]
    fn hashes_chosen_by_an_enemy_give_nodes_between_the_bounds() {
        let never = cut(&vec![100; 10_000], |_| u64::MAX);
        assert!(never.iter().all(|rows| rows * 100 <= NODE_WEIGHT_MAX as usize));
        assert_eq!(never[0], 655);
        let always = cut(&vec![100; 10_000], |_| 0);
        assert_eq!(always[0], 41);
    }

    #[test]
    fn a_row_that_does_not_fit_starts_a_node_and_a_huge_one_stands_alone() {
        assert_eq!(cut(&[40_000, 40_000, 70_000, 10, 65_536, 10], |_| u64::MAX), [1, 1, 1, 1, 1, 1]);
        let mut rows = [((), 40_000), ((), 40_000)].into_iter().peekable();
        assert!(!take_node(&mut rows, |()| u64::MAX).1, "ended by its successor");
        let mut rows = [((), 70_000), ((), 1)].into_iter().peekable();
        assert!(take_node(&mut rows, |()| u64::MAX).1, "ended by itself");
    }
}
