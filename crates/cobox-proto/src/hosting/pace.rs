//! Time as a host may trust it to throw things away by. A wall clock can jump: a dead battery, a wrong zone, a bad time server. What such a
//! jump says has passed is believed bit by bit only (T4).
//!
//! Must hold: it never runs ahead of the wall clock, never back, and in one look never goes on by more than [`PACE_MS_MAX`].

use crate::codec::{Canonical, DecodeError, Reader, Writer};

/// So much may have passed between two looks, which come every hour.
pub const PACE_MS_MAX: u64 = 3 * 24 * 3_600_000;

/// See the module's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// What the clock said at the last look.
    looked_ms: u64,
    /// What is believed.
    steady_ms: u64,
}

impl Pace {
    /// The clock says this now; what is believed.
    pub fn look(&mut self, now_ms: u64) -> u64 {
        if self.looked_ms == 0 {
            *self = Self { looked_ms: now_ms, steady_ms: now_ms };
            return now_ms;
        }
        // Having fallen behind while it was off, it catches up slowly.
        let passed_ms = now_ms.saturating_sub(self.looked_ms).saturating_mul(2).min(PACE_MS_MAX);
        self.looked_ms = now_ms;
        self.steady_ms = self.steady_ms.saturating_add(passed_ms).min(now_ms.max(self.steady_ms));
        self.steady_ms
    }
}

impl Canonical for Pace {
    fn encode(&self, w: &mut Writer) {
        w.varint(self.looked_ms).varint(self.steady_ms);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { looked_ms: r.varint()?, steady_ms: r.varint()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const DAY_MS: u64 = 24 * HOUR_MS;
    const YEAR_MS: u64 = 365 * DAY_MS;
    const START_MS: u64 = 50 * YEAR_MS;

    #[test]
    fn t4_a_jump_of_ten_years_is_three_days() {
        let mut pace = Pace::default();
        assert_eq!(pace.look(START_MS), START_MS);
        assert_eq!(pace.look(START_MS + 10 * YEAR_MS), START_MS + PACE_MS_MAX);
        // Set right again: nothing goes back, and time goes on from there.
        assert_eq!(pace.look(START_MS + HOUR_MS), START_MS + PACE_MS_MAX);
        for hour in 2..200 {
            pace.look(START_MS + hour * HOUR_MS);
        }
        assert_eq!(pace.look(START_MS + 200 * HOUR_MS), START_MS + 200 * HOUR_MS);
    }

    #[test]
    fn a_month_switched_off_is_caught_up_with() {
        let mut pace = Pace::default();
        pace.look(START_MS);
        let back_ms = START_MS + 30 * DAY_MS;
        assert_eq!(pace.look(back_ms), START_MS + PACE_MS_MAX);
        let hours = 27 * 24;
        for hour in 1..hours {
            pace.look(back_ms + hour * HOUR_MS);
        }
        assert_eq!(pace.look(back_ms + hours * HOUR_MS), back_ms + hours * HOUR_MS);
    }

    proptest! {
        #[test]
        fn t4_it_never_hurries_goes_back_or_overtakes(jumps in prop::collection::vec(-(YEAR_MS as i64)..YEAR_MS as i64, 1..60)) {
            let (mut pace, mut wall_ms, mut before) = (Pace::default(), START_MS, 0);
            for jump in jumps {
                wall_ms = wall_ms.saturating_add_signed(jump).max(1);
                let now = pace.look(wall_ms);
                prop_assert!(now >= before && (before == 0 || now - before <= PACE_MS_MAX));
                prop_assert!(now <= wall_ms.max(before));
                before = now;
                prop_assert_eq!(Pace::from_bytes(&pace.to_bytes()).unwrap(), pace);
            }
        }
    }
}
