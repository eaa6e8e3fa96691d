//! How long a folder's history stays at a host. Its admins may ask for more at any time; for less they have to ask for days, in sight of
//! all, so that nobody who takes over an admin's computer shortens what others rely on.

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::members::Retention;

/// How long a shorter term has to stand before it counts.
pub const SHORTER_AFTER_MS: u64 = 7 * 24 * 3_600_000;

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    terms: Retention,
    /// Since when the folder asks for less.
    shorter_since_ms: Option<u64>,
}

fn longer(a: &Retention, b: &Retention) -> Retention {
    Retention {
        all_hours: a.all_hours.max(b.all_hours),
        hourly_days: a.hourly_days.max(b.hourly_days),
        daily_days: a.daily_days.max(b.daily_days),
        monthly_months: a.monthly_months.max(b.monthly_months),
    }
}

impl Agreed {
    /// As the folder's grant says at first.
    pub fn on(terms: Retention) -> Self {
        Self { terms, shorter_since_ms: None }
    }

    /// What counts.
    pub fn terms(&self) -> &Retention {
        &self.terms
    }

    /// The folder's grant says this now.
    pub fn hear(&mut self, now_ms: u64, said: &Retention) {
        self.terms = longer(&self.terms, said);
        if self.terms == *said {
            self.shorter_since_ms = None;
            return;
        }
        let since_ms = self.shorter_since_ms.map_or(now_ms, |since| since.min(now_ms));
        self.shorter_since_ms = Some(since_ms);
        if now_ms - since_ms >= SHORTER_AFTER_MS {
            *self = Self::on(*said);
        }
    }
}

impl Canonical for Agreed {
    fn encode(&self, w: &mut Writer) {
        self.terms.encode(w);
        w.u8(u8::from(self.shorter_since_ms.is_some())).varint(self.shorter_since_ms.unwrap_or(0));
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (terms, has, since_ms) = (Retention::decode(r)?, r.u8()?, r.varint()?);
        match (has, since_ms) {
            (0, 0) => Ok(Self::on(terms)),
            (1, since_ms) => Ok(Self { terms, shorter_since_ms: Some(since_ms) }),
            (found, _) => Err(DecodeError::BadValue { what: "agreed terms", found: found.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3_600_000;
    const START_MS: u64 = 20_000 * DAY_MS;
    const NONE: Retention = Retention { all_hours: 0, hourly_days: 0, daily_days: 0, monthly_months: 0 };

    #[test]
    fn more_counts_at_once_and_less_after_a_week_in_sight() {
        let mut agreed = Agreed::on(Retention::default());
        let more = Retention { monthly_months: 24, ..Retention::default() };
        agreed.hear(START_MS, &more);
        assert_eq!(agreed.terms(), &more);
        agreed.hear(START_MS, &NONE);
        agreed.hear(START_MS + SHORTER_AFTER_MS - 1, &NONE);
        assert_eq!(agreed.terms(), &more);
        assert_eq!(Agreed::from_bytes(&agreed.to_bytes()).unwrap(), agreed, "a restart does not begin anew");
        agreed.hear(START_MS + SHORTER_AFTER_MS, &NONE);
        assert_eq!(agreed.terms(), &NONE);
    }

    #[test]
    fn taking_it_back_in_time_changes_nothing() {
        let mut agreed = Agreed::on(Retention::default());
        for week in 0..5 {
            agreed.hear(START_MS + week * SHORTER_AFTER_MS, &NONE);
            agreed.hear(START_MS + week * SHORTER_AFTER_MS + DAY_MS, &Retention::default());
        }
        assert_eq!(agreed, Agreed::on(Retention::default()));
    }

    #[test]
    fn t2_a_clock_that_is_set_back_makes_the_week_longer() {
        let mut agreed = Agreed::on(Retention::default());
        agreed.hear(START_MS, &NONE);
        agreed.hear(START_MS - 100 * DAY_MS, &NONE);
        agreed.hear(START_MS - 94 * DAY_MS, &NONE);
        assert_eq!(agreed.terms(), &Retention::default());
    }
}
