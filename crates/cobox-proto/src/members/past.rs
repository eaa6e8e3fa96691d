//! The causal past of an op as a set of log positions. Nearly every op has everything before it in its past, so the set is
//! "all below N" and a bitmap for the rest: one number for a log without concurrency.

/// A downward closed set of log positions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Past {
    /// All positions below this are in the set.
    full_below: u32,
    /// Bit `i` stands for position `full_below + i`; trailing zero words are left out. Bit 0 is never set.
    words: Vec<u64>,
}

impl Past {
    /// The positions `deps` and all of their pasts.
    pub(super) fn of<'a>(deps: impl Iterator<Item = (u32, &'a Past)> + Clone) -> Self {
        let end = deps.clone().map(|(at, _)| at + 1).max().unwrap_or(0);
        let mut full_below = deps.clone().map(|(_, past)| past.full_below).max().unwrap_or(0);
        let mut words = vec![0u64; (end.saturating_sub(full_below) as usize).div_ceil(64)];
        let mut set = |at: u32| {
            if let Some(i) = at.checked_sub(full_below) {
                words[i as usize / 64] |= 1 << (i % 64);
            }
        };
        for (at, past) in deps {
            set(at);
            past.above_full().for_each(&mut set);
        }
        let ones = words.iter().take_while(|w| **w == u64::MAX).count();
        let run = ones as u32 * 64 + words.get(ones).map_or(0, |w| w.trailing_ones());
        if run > 0 {
            let old = Self { full_below, words };
            full_below += run;
            words = vec![0; (end.saturating_sub(full_below) as usize).div_ceil(64)];
            for at in old.above_full() {
                if let Some(i) = at.checked_sub(full_below) {
                    words[i as usize / 64] |= 1 << (i % 64);
                }
            }
        }
        while words.last() == Some(&0) {
            words.pop();
        }
        Self { full_below, words }
    }

    /// Whether a position is in the set.
    pub(super) fn contains(&self, at: u32) -> bool {
        match at.checked_sub(self.full_below) {
            None => true,
            Some(i) => self.words.get(i as usize / 64).is_some_and(|w| w >> (i % 64) & 1 == 1),
        }
    }

    /// All positions, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.full_below).chain(self.above_full())
    }

    fn above_full(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(move |(w, word)| {
            let base = self.full_below + w as u32 * 64;
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| base + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn pasts_are_what_walking_the_deps_finds(picks in prop::collection::vec(prop::collection::vec(any::<u16>(), 1..4), 1..200)) {
            let (mut pasts, mut naive): (Vec<Past>, Vec<BTreeSet<u32>>) = (vec![Past::default()], vec![BTreeSet::new()]);
            for pick in picks {
                // Mostly recent ops, as in life.
                let deps: BTreeSet<u32> = pick.iter().map(|p| {
                    let back = if p % 5 == 0 { p / 5 } else { p % 3 } as u32;
                    (pasts.len() as u32 - 1).saturating_sub(back)
                }).collect();
                let past = Past::of(deps.iter().map(|d| (*d, &pasts[*d as usize])));
                let walked: BTreeSet<u32> = deps.iter().flat_map(|d| naive[*d as usize].iter().copied().chain([*d])).collect();
                prop_assert_eq!(past.iter().collect::<BTreeSet<_>>(), walked.clone());
                for at in 0..pasts.len() as u32 + 70 {
                    prop_assert_eq!(past.contains(at), walked.contains(&at));
                }
                pasts.push(past);
                naive.push(walked);
            }
        }
    }
}
