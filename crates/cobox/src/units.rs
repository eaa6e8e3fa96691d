//! Durations, sizes and times as people type and read them.

use cobox_daemon::api::dto::Time;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Seconds of a duration like `90s`, `30m`, `2h`, `7d`, `2w`.
pub(crate) fn duration_s(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is not a duration; write it like 90s, 30m, 2h, 7d or 2w");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let unit_s = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_s)).ok_or_else(wrong)
}

/// Bytes of a size like `500MB` (10^6), `50GB` (10^9), `4GiB` (2^30).
pub(crate) fn size_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is not a size; write it like 500MB, 50GB or 4GiB");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let unit_bytes: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_bytes)).ok_or_else(wrong)
}

/// A moment: RFC 3339, or a duration ago like `2h`, or local time like `2026-11-22 14:00`.
pub(crate) fn time(text: &str, now: Time, zone: TimeZone) -> Result<Time, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(Time::from_ms(moment.as_millisecond()));
    }
    if let Ok(ago_s) = duration_s(text) {
        return Ok(Time::from_ms(now.as_ms().saturating_sub_unsigned(ago_s.saturating_mul(1000))));
    }
    let local = text.parse::<DateTime>().ok().and_then(|civil| civil.to_zoned(zone).ok());
    local.map(|moment| Time::from_ms(moment.timestamp().as_millisecond())).ok_or_else(|| {
        format!("\"{text}\" is not a time; write it like 2026-11-22T14:00:00Z, \"2026-11-22 14:00\", or 2h or 3d for so long ago")
    })
}

/// The number and the unit, which may have a space between them.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    (end > 0).then(|| (&text[..end], text[end..].trim_start()))
}

/// A size for people: `3.4 MB`.
pub(crate) fn show_bytes(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        // At 999.95 one decimal would already round up to 1000.0.
        if value < 999.95 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// A moment for people, as how long ago it was: `3 minutes ago`.
pub(crate) fn show_ago(at: Time, now: Time) -> String {
    let s = (now.as_ms() - at.as_ms()) / 1000;
    let (number, unit) = match s.unsigned_abs() {
        0..10 => return "just now".into(),
        s @ 10..120 => (s, "second"),
        s @ 120..7200 => (s / 60, "minute"),
        s @ 7200..172_800 => (s / 3600, "hour"),
        s => (s / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    if s < 0 { format!("in {number} {unit}{plural}") } else { format!("{number} {unit}{plural} ago") }
}

/// A moment of this day as `14:02`, of another as `2026-11-22 14:02`, on the clock of the place.
pub(crate) fn show_clock(at: Time, now: Time, zone: &TimeZone) -> String {
    let local = |time: Time| {
        let moment = Timestamp::from_millisecond(time.as_ms()).unwrap_or(Timestamp::UNIX_EPOCH);
        moment.to_zoned(zone.clone())
    };
    let (at, now) = (local(at), local(now));
    let form = if at.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    at.strftime(form).to_string()
}

/// How long something still takes, for people: `4 minutes`.
pub(crate) fn show_rest(rest_s: u64) -> String {
    // Rounded up: nobody minds if it is done sooner.
    match rest_s {
        s @ 0..100 => count((s / 10 + 1) * 10, "second"),
        s @ 100..7200 => count(s.div_ceil(60), "minute"),
        s @ 7200..172_800 => count(s.div_ceil(3600), "hour"),
        s => count(s.div_ceil(86_400), "day"),
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_nonsense_is_not() {
        for (text, s) in [
            ("90s", 90),
            ("30m", 1800),
            ("2h", 7200),
            ("7d", 604_800),
            ("2w", 1_209_600),
            (" 7 d ", 604_800),
            ("0s", 0),
        ] {
            assert_eq!(duration_s(text), Ok(s), "{text:?}");
        }
        for text in ["", "7", "d", "-1d", "1.5h", "7x", "7dd", "99999999999999999999d", "18446744073709551615w", "７d"]
        {
            assert!(duration_s(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_rest_of_the_time_is_told_in_the_unit_people_would_use_and_never_too_short() {
        let told = show_rest;
        assert_eq!([told(0), told(9), told(95)], ["10 seconds", "10 seconds", "100 seconds"]);
        assert_eq!([told(100), told(240), told(7199)], ["2 minutes", "4 minutes", "120 minutes"]);
        assert_eq!([told(7200), told(86_400 * 3)], ["2 hours", "3 days"]);
        assert_eq!(show_rest(u64::MAX).split(' ').next_back(), Some("days"));
    }

    #[test]
    fn sizes_are_decimal_unless_they_say_otherwise() {
        for (text, bytes) in [("50GB", 50_000_000_000), ("4GiB", 4 << 30), ("1 kb", 1000), ("7B", 7), ("2TiB", 2 << 40)]
        {
            assert_eq!(size_bytes(text), Ok(bytes), "{text:?}");
        }
        for text in ["", "50", "GB", "5G", "-1GB", "1.5GB", "99999999999TB"] {
            assert!(size_bytes(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_are_read_in_three_ways() {
        let now = Time::from_ms(1_795_356_000_000); // 2026-11-22T14:00:00Z
        let read = |text: &str| time(text, now, TimeZone::fixed(jiff::tz::offset(1))).map(|t| t.to_string());
        assert_eq!(read("2026-11-22T10:00:00Z").unwrap(), "2026-11-22T10:00:00Z");
        assert_eq!(read("2h").unwrap(), "2026-11-22T12:00:00Z");
        assert_eq!(read("3d").unwrap(), "2026-11-19T14:00:00Z");
        assert_eq!(read("2026-11-22 14:00").unwrap(), "2026-11-22T13:00:00Z", "local");
        for text in ["", "yesterday", "14:00", "2026-13-01 00:00", "2026-11-22 25:00"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_moment_of_this_day_is_told_by_the_clock_alone() {
        let now = Time::from_ms(1_795_356_000_000); // 2026-11-22T14:00:00Z
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let told = |ms: i64| show_clock(Time::from_ms(now.as_ms() + ms), now, &zone);
        assert_eq!(told(2 * 60_000), "15:02");
        assert_eq!(told(-24 * 3_600_000), "2026-11-21 15:00");
        assert_eq!(told(9 * 3_600_000), "2026-11-23 00:00", "the day is that of the place");
    }

    #[test]
    fn sizes_and_times_read_well() {
        let sizes = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(show_bytes(bytes), text);
        }
        let ago = |s: i64| show_ago(Time::from_ms(0), Time::from_ms(s * 1000));
        assert_eq!(
            [ago(3), ago(60), ago(180), ago(7200), ago(172_800)],
            ["just now", "60 seconds ago", "3 minutes ago", "2 hours ago", "2 days ago"]
        );
        assert_eq!(ago(-86_400 * 7), "in 7 days");
        assert_eq!((count(1, "file"), count(0, "file")), ("1 file".into(), "0 files".into()));
    }
}
