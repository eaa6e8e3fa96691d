//! Durations, sizes and times as people type and read them.

use cobox_seeder::dto::Time;

/// Seconds of a duration like `90s`, `30m`, `2h`, `7d`, `2w`.
pub(crate) fn duration_s(text: &str) -> Result<u64, String> {
    read(text, &[("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 7 * 86_400)])
        .ok_or_else(|| format!("\"{text}\" is not a duration; write it like 90s, 30m, 2h, 7d or 2w"))
}

/// Bytes of a size like `500MB` (10^6), `50GB` (10^9), `4GiB` (2^30).
pub(crate) fn size_bytes(text: &str) -> Result<u64, String> {
    let (kb, kib) = (1000_u64, 1024_u64);
    let units = [
        ("b", 1),
        ("kb", kb),
        ("mb", kb.pow(2)),
        ("gb", kb.pow(3)),
        ("tb", kb.pow(4)),
        ("kib", kib),
        ("mib", kib.pow(2)),
        ("gib", kib.pow(3)),
        ("tib", kib.pow(4)),
    ];
    read(&text.to_ascii_lowercase(), &units)
        .ok_or_else(|| format!("\"{text}\" is not a size; write it like 500MB, 50GB or 4GiB"))
}

fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = (&text[..end], text[end..].trim_start());
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
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

/// A past moment for people: `3 minutes ago`.
pub(crate) fn show_ago(at: Time, now: Time) -> String {
    let s = ((now.as_ms() - at.as_ms()) / 1000).max(0);
    let (number, unit) = match s {
        0..10 => return "just now".into(),
        10..120 => (s, "second"),
        120..7200 => (s / 60, "minute"),
        7200..172_800 => (s / 3600, "hour"),
        _ => (s / 86_400, "day"),
    };
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

/// `1 folder`, `2 folders`.
pub(crate) fn count(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_and_nonsense_is_not() {
        for (text, s) in
            [("90s", 90), ("30m", 1800), ("2h", 7200), ("14d", 1_209_600), ("2w", 1_209_600), (" 7 d ", 604_800)]
        {
            assert_eq!(duration_s(text), Ok(s), "{text:?}");
        }
        for (text, bytes) in [("50GB", 50_000_000_000), ("4GiB", 4 << 30), ("1 kb", 1000), ("7B", 7), ("2TiB", 2 << 40)]
        {
            assert_eq!(size_bytes(text), Ok(bytes), "{text:?}");
        }
        for text in ["", "7", "d", "-1d", "1.5h", "7x", "18446744073709551615w", "７d"] {
            assert!(duration_s(text).is_err() && size_bytes(text).is_err(), "{text:?}");
        }
        assert!(size_bytes("99999999999TB").is_err());
    }

    #[test]
    fn sizes_and_times_read_well() {
        for (bytes, text) in [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_950, "1.0 MB"), (u64::MAX, "18.4 EB")]
        {
            assert_eq!(show_bytes(bytes), text);
        }
        let ago = |s: u64| show_ago(Time::from_ms(0), Time::from_ms(s * 1000));
        assert_eq!(
            [ago(3), ago(60), ago(180), ago(172_800)],
            ["just now", "60 seconds ago", "3 minutes ago", "2 days ago"]
        );
        assert_eq!((count(1, "folder"), count(0, "folder")), ("1 folder".into(), "0 folders".into()));
    }
}
