//! Names for the losing sides of conflicts (rule R14): `stem (conflict XXXXXX YYYY-MM-DD).ext`, with the first six hex
//! characters of the device's key and the UTC date of the content. The same everywhere, because everybody computes them from
//! the state; never longer than a name may be, and never a name that something in the directory really has.
//!
//! An extension is what follows the last dot, if that dot is not the first character and at most 31 bytes follow it;
//! only the stem is cut.

use std::collections::{BTreeMap, BTreeSet};

use cobox_proto::id::SigKey;
use cobox_proto::limits::NAME_BYTES_MAX;

use crate::path::Name;

const EXTENSION_BYTES_MAX: usize = 32;

/// Gives out conflict names in one directory.
pub(super) struct ConflictNames<'a> {
    taken: BTreeSet<&'a Name>,
    given: BTreeMap<Name, u32>,
}

impl<'a> ConflictNames<'a> {
    /// For a directory with these real names.
    pub(super) fn new(taken: impl IntoIterator<Item = &'a Name>) -> Self {
        Self { taken: taken.into_iter().collect(), given: BTreeMap::new() }
    }

    /// The next free name for a losing side of `base`.
    pub(super) fn next(&mut self, base: &Name, device: &SigKey, mtime_ns: i64) -> Name {
        let mark = conflict_mark(device, mtime_ns);
        // How often this name was wanted before says where to go on, so that a storm of conflicts is not probed from the
        // start each time.
        let first = conflict_name(base, &mark);
        let mut n = self.given.get(&first).map_or(1, |n| n + 1);
        loop {
            let name = if n == 1 { first.clone() } else { conflict_name(base, &format!("{mark} {n}")) };
            if !self.taken.contains(&name) && (n == 1 || !self.given.contains_key(&name)) {
                self.given.insert(first, n);
                if n > 1 {
                    self.given.insert(name.clone(), 1);
                }
                return name;
            }
            n += 1;
        }
    }
}

/// The `number`th name, from 1, for a file that had `base` and makes room for another: as if it had lost a conflict there.
pub fn conflict_copy_name(base: &Name, device: &SigKey, mtime_ns: i64, number: u32) -> Name {
    let mark = conflict_mark(device, mtime_ns);
    if number <= 1 { conflict_name(base, &mark) } else { conflict_name(base, &format!("{mark} {number}")) }
}

fn conflict_mark(device: &SigKey, mtime_ns: i64) -> String {
    let (year, month, day) = utc_date(mtime_ns);
    format!(" (conflict {} {year:04}-{month:02}-{day:02})", &device.short()[..6])
}

fn conflict_name(base: &Name, mark: &str) -> Name {
    let text = base.as_str();
    let (stem, extension) = match text.rfind('.') {
        Some(at) if at > 0 && text.len() - at <= EXTENSION_BYTES_MAX => text.split_at(at),
        _ => (text, ""),
    };
    let mut keep = stem.len().min(NAME_BYTES_MAX - mark.len() - extension.len());
    while !stem.is_char_boundary(keep) {
        keep -= 1;
    }
    Name::new(&format!("{}{mark}{extension}", &stem[..keep]))
        .or_else(|_| Name::new(&format!("file{mark}")))
        .expect("ASCII letters, digits, spaces, brackets and hyphens make a name")
}

/// The civil date of a time, in the Gregorian calendar. Counted in years that begin in March, so that the leap day is the
/// last of its year, and in eras of 400 years, after which the calendar repeats.
fn utc_date(ns: i64) -> (i64, u32, u32) {
    const DAYS_PER_ERA: i64 = 146_097;
    const DAYS_0000_03_01_TO_1970_01_01: i64 = 719_468;
    let days = ns.div_euclid(86_400_000_000_000) + DAYS_0000_03_01_TO_1970_01_01;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March on always have 153 days.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_NS: i64 = 86_400_000_000_000;

    fn device() -> SigKey {
        SigKey([0xab; 32])
    }

    fn next(base: &str, taken: &[&str]) -> String {
        let taken: Vec<Name> = taken.iter().map(|n| Name::new(n).unwrap()).collect();
        ConflictNames::new(&taken).next(&Name::new(base).unwrap(), &device(), 0).as_str().to_owned()
    }

    #[test]
    fn dates_agree_with_the_calendar_counted_day_by_day() {
        let (mut y, mut m, mut d) = (1678, 1, 1);
        let first = -106_650;
        for day in first..106_750 {
            assert_eq!(utc_date(day * DAY_NS), (y, m, d), "day {day}");
            assert_eq!(utc_date(day * DAY_NS + DAY_NS - 1), (y, m, d), "day {day}");
            let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
            let last = match m {
                2 => 28 + u32::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            d += 1;
            if d > last {
                (m, d) = (m + 1, 1);
            }
            if m > 12 {
                (y, m) = (y + 1, 1);
            }
        }
        assert_eq!(utc_date(i64::MIN).0, 1677);
        assert_eq!(utc_date(i64::MAX).0, 2262);
    }

    #[test]
    fn the_mark_stands_before_the_extension() {
        assert_eq!(next("plan.odt", &[]), "plan (conflict ababab 1970-01-01).odt");
        assert_eq!(next("a.tar.gz", &[]), "a.tar (conflict ababab 1970-01-01).gz");
        assert_eq!(next("Makefile", &[]), "Makefile (conflict ababab 1970-01-01)");
        assert_eq!(next(".profile", &[]), ".profile (conflict ababab 1970-01-01)");
    }

    #[test]
    fn a_real_name_is_never_taken() {
        let first = "a (conflict ababab 1970-01-01).txt";
        assert_eq!(next("a.txt", &[first]), "a (conflict ababab 1970-01-01) 2.txt");
        assert_eq!(
            next("a.txt", &[first, "a (conflict ababab 1970-01-01) 2.txt"]),
            "a (conflict ababab 1970-01-01) 3.txt"
        );
    }

    #[test]
    fn c7_names_stay_within_a_name_and_differ_through_a_hundred_levels() {
        let mut seen = BTreeSet::new();
        let mut names = ConflictNames::new([]);
        let mut base = Name::new(&format!("{}.txt", "é".repeat(120))).unwrap();
        for _ in 0..100 {
            base = names.next(&base, &device(), 0);
            assert!(base.as_str().len() <= NAME_BYTES_MAX);
            assert!(base.as_str().ends_with(".txt"));
            assert!(seen.insert(base.clone()), "{}", base.as_str());
        }
    }

    #[test]
    fn x9_a_storm_of_conflicts_is_named_in_one_pass() {
        let mut names = ConflictNames::new([]);
        let base = Name::new("a").unwrap();
        let given: BTreeSet<Name> = (0..20_000).map(|_| names.next(&base, &device(), 0)).collect();
        assert_eq!(given.len(), 20_000);
    }

    #[test]
    fn a_long_tail_after_a_dot_is_no_extension() {
        let name = next(&format!("a.{}", "x".repeat(250)), &[]);
        assert_eq!(name.len(), NAME_BYTES_MAX);
        assert!(name.ends_with(" (conflict ababab 1970-01-01)"));
    }
}
