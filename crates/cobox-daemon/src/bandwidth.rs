//! How fast this device may send and receive, and when: the limits, and a schedule of rules over the hours of the week. Pure: the time on
//! the wall is handed in.
//!
//! What must hold: of several rules for one moment the first counts; where none is, the limits hold.

use std::fmt;
use std::str::FromStr;

use cobox_net::{Rate, Rates};

/// Rules of a schedule: one for every hour would already be more than anybody keeps in mind.
pub(crate) const RULES_MAX: usize = 24;
/// Bytes a second below which even names and small files would hardly move.
pub(crate) const RATE_BYTES_S_MIN: u64 = 10_000;
/// ... and above which there is no line to be limited.
pub(crate) const RATE_BYTES_S_MAX: u64 = 100_000_000_000;
const DAY_MINUTES: u16 = 24 * 60;

/// What a person has set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bandwidth {
    /// Bytes a second that are sent at most; `None`: as many as go.
    pub send_max_bytes_s: Option<u64>,
    /// ... and received.
    pub receive_max_bytes_s: Option<u64>,
    /// Whether limits and pauses hold in the local network too.
    pub on_lan: bool,
    /// What holds when; the first that fits.
    pub schedule: Vec<Rule>,
}

/// What holds for a stretch of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// No limit.
    Unlimited,
    /// The limits, where there are any.
    Limited,
    /// Nothing is sent or received but small messages.
    Paused,
}

/// On which days a stretch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Days {
    All,
    Weekdays,
    Weekend,
}

/// One line of a schedule: `22:00-06:00 unlimited`, `weekdays 08:00-17:00 paused`. A stretch that ends before it begins ends the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    days: Days,
    from_minute: u16,
    until_minute: u16,
    holds: Holds,
}

/// The time on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wall {
    /// Monday is 0.
    pub(crate) weekday: u8,
    /// Of the day.
    pub(crate) minute: u16,
}

/// A line that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is no line of a schedule; write it like \"22:00-06:00 unlimited\" or \"weekdays 08:00-17:00 paused\""
)]
pub struct NoRule {
    text: String,
}

impl Bandwidth {
    /// What holds at this time.
    pub(crate) fn at(&self, wall: Wall) -> Holds {
        let set_by_rule = self.schedule.iter().find(|rule| rule.covers(wall)).map(|rule| rule.holds);
        match set_by_rule.unwrap_or(Holds::Limited) {
            Holds::Limited if self.send_max_bytes_s.is_none() && self.receive_max_bytes_s.is_none() => Holds::Unlimited,
            holds => holds,
        }
    }

    /// The rates at this time.
    pub(crate) fn rates(&self, wall: Wall) -> Rates {
        let limit = |bytes_s: Option<u64>| bytes_s.map_or(Rate::Unlimited, Rate::BytesPerSecond);
        let (send, receive) = match self.at(wall) {
            Holds::Unlimited => (Rate::Unlimited, Rate::Unlimited),
            Holds::Limited => (limit(self.send_max_bytes_s), limit(self.receive_max_bytes_s)),
            Holds::Paused => (Rate::Paused, Rate::Paused),
        };
        Rates { send, receive, on_lan: self.on_lan }
    }
}

impl Rule {
    fn covers(&self, wall: Wall) -> bool {
        let begins = |weekday: u8| match self.days {
            Days::All => true,
            Days::Weekdays => weekday < 5,
            Days::Weekend => weekday >= 5,
        };
        let yesterday = (wall.weekday + 6) % 7;
        if self.from_minute < self.until_minute {
            return begins(wall.weekday) && (self.from_minute..self.until_minute).contains(&wall.minute);
        }
        begins(wall.weekday) && wall.minute >= self.from_minute || begins(yesterday) && wall.minute < self.until_minute
    }
}

impl FromStr for Rule {
    type Err = NoRule;

    fn from_str(text: &str) -> Result<Self, NoRule> {
        let no_rule = || NoRule { text: text.chars().take(64).collect() };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, hours, holds) = match words[..] {
            [hours, holds] => (Days::All, hours, holds),
            ["daily", hours, holds] => (Days::All, hours, holds),
            ["weekdays", hours, holds] => (Days::Weekdays, hours, holds),
            ["weekend", hours, holds] => (Days::Weekend, hours, holds),
            _ => return Err(no_rule()),
        };
        let (from, until) = hours.split_once('-').ok_or_else(no_rule)?;
        let holds = match holds {
            "unlimited" => Holds::Unlimited,
            "limited" => Holds::Limited,
            "paused" => Holds::Paused,
            _ => return Err(no_rule()),
        };
        let (from_minute, until_minute) = (minute(from).ok_or_else(no_rule)?, minute(until).ok_or_else(no_rule)?);
        if from_minute == until_minute || from_minute == DAY_MINUTES {
            return Err(no_rule());
        }
        Ok(Self { days, from_minute, until_minute, holds })
    }
}

/// Of the day: `06:30`, and `24:00` for its end.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number =
        |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u16>().ok()).flatten();
    if !(1..=2).contains(&hours.len()) || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let of_day = hours * 60 + minutes;
    (minutes < 60 && of_day <= DAY_MINUTES).then_some(of_day)
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unlimited => "unlimited",
            Self::Limited => "limited",
            Self::Paused => "paused",
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = match self.days {
            Days::All => "",
            Days::Weekdays => "weekdays ",
            Days::Weekend => "weekend ",
        };
        let (from, until) = (self.from_minute, self.until_minute);
        write!(f, "{days}{:02}:{:02}-{:02}:{:02} {}", from / 60, from % 60, until / 60, until % 60, self.holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRIDAY: u8 = 4;
    const SATURDAY: u8 = 5;
    const SUNDAY: u8 = 6;
    const MONDAY: u8 = 0;

    fn wall(weekday: u8, time: &str) -> Wall {
        Wall { weekday, minute: minute(time).unwrap() }
    }

    fn bandwidth(schedule: &[&str]) -> Bandwidth {
        let schedule = schedule.iter().map(|line| line.parse().unwrap()).collect();
        Bandwidth { send_max_bytes_s: Some(50_000), receive_max_bytes_s: None, on_lan: false, schedule }
    }

    #[test]
    fn n10_without_a_schedule_the_limits_hold_always_and_without_limits_nothing() {
        let limited = bandwidth(&[]);
        assert_eq!(limited.at(wall(MONDAY, "12:00")), Holds::Limited);
        let rates = limited.rates(wall(MONDAY, "12:00"));
        assert_eq!((rates.send, rates.receive), (Rate::BytesPerSecond(50_000), Rate::Unlimited));
        assert_eq!(Bandwidth::default().at(wall(MONDAY, "12:00")), Holds::Unlimited);
        assert_eq!(Bandwidth::default().rates(wall(MONDAY, "12:00")), Rates::default());
    }

    #[test]
    fn n10_a_night_without_limit_ends_the_next_morning() {
        let night = bandwidth(&["22:00-06:00 unlimited"]);
        for (time, holds) in [
            ("21:59", Holds::Limited),
            ("22:00", Holds::Unlimited),
            ("23:59", Holds::Unlimited),
            ("00:00", Holds::Unlimited),
            ("05:59", Holds::Unlimited),
            ("06:00", Holds::Limited),
        ] {
            assert_eq!(night.at(wall(SUNDAY, time)), holds, "{time}");
        }
    }

    #[test]
    fn n10_only_then_is_a_pause_of_the_rest_and_the_first_line_counts() {
        let only_at_night = bandwidth(&["weekend 10:00-11:00 limited", "06:00-22:00 paused"]);
        assert_eq!(only_at_night.at(wall(SATURDAY, "10:30")), Holds::Limited);
        assert_eq!(only_at_night.at(wall(MONDAY, "10:30")), Holds::Paused);
        assert_eq!(only_at_night.rates(wall(MONDAY, "10:30")).receive, Rate::Paused);
        assert_eq!(only_at_night.at(wall(MONDAY, "22:00")), Holds::Limited);
    }

    #[test]
    fn n10_a_night_belongs_to_the_day_on_which_it_begins() {
        let weekdays = bandwidth(&["weekdays 22:00-06:00 paused"]);
        assert_eq!(weekdays.at(wall(FRIDAY, "23:00")), Holds::Paused);
        assert_eq!(weekdays.at(wall(SATURDAY, "05:00")), Holds::Paused);
        assert_eq!(weekdays.at(wall(SATURDAY, "23:00")), Holds::Limited);
        assert_eq!(weekdays.at(wall(MONDAY, "05:00")), Holds::Limited, "that night began on Sunday");
        let all_day = bandwidth(&["weekend 00:00-24:00 unlimited"]);
        assert_eq!(all_day.at(wall(SUNDAY, "23:59")), Holds::Unlimited);
        assert_eq!(all_day.at(wall(MONDAY, "00:00")), Holds::Limited);
    }

    #[test]
    fn a_rule_is_read_as_it_is_written_and_nonsense_is_not() {
        for text in ["22:00-06:00 unlimited", "weekdays 08:00-17:30 paused", "weekend 00:00-24:00 limited"] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        assert_eq!("  daily  6:00-7:05   paused ".parse::<Rule>().unwrap().to_string(), "06:00-07:05 paused");
        for text in [
            "",
            "paused",
            "06:00-07:00",
            "06:00 - 07:00 paused",
            "06:00-06:00 paused",
            "24:00-06:00 paused",
            "06:00-24:01 paused",
            "6-7 paused",
            "06:0-07:00 paused",
            "+6:00-07:00 paused",
            "006:00-07:00 paused",
            "06:60-07:00 paused",
            "65535:00-07:00 paused",
            "06:00-07:00 pause",
            "sunday 06:00-07:00 paused",
            "weekdays weekend 06:00-07:00 paused",
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text:?}");
        }
    }
}
