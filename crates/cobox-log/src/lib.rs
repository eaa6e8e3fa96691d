//! The log of a service, a member's or a seeder's: files in one directory, a new one each day and whenever one grows large, seven
//! days kept, 20 MB at most; standard error too where somebody watches.
//!
//! What must hold: the log never stops the service (a full disk loses lines, nothing else), never outgrows its bound, and can be
//! read by nobody else. That it holds nothing private is for those who write to it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Days kept, today too.
const DAYS_KEPT: usize = 7;
/// All log files together.
const LOG_BYTES_MAX: u64 = 20_000_000;
/// One file; the oldest goes when all together are too large.
const FILE_BYTES_MAX: u64 = 2_500_000;

/// What the words of `log` and `COBOX_LOG` mean: a level for these crates, or directives of `tracing`. Other crates only tell of
/// errors, since they do not know what is private.
///
/// Errors: neither.
pub fn filter(words: &str, ours: &[&str]) -> Result<EnvFilter, ParseError> {
    if words.contains(['=', ',']) {
        return EnvFilter::builder().parse(words);
    }
    let level = words.parse::<tracing::Level>().map_or_else(|_| words.to_owned(), |level| level.to_string());
    let ours: Vec<String> = ours.iter().map(|name| format!("{name}={level}")).collect();
    EnvFilter::builder().parse(format!("error,{}", ours.join(",")))
}

/// Starts logging for this process; a second call changes nothing.
///
/// Errors: the directory can not be read, or no file written there.
pub fn start(directory: &Path, filter: EnvFilter, foreground: bool) -> io::Result<()> {
    let files = LogFiles::open(directory, FILE_BYTES_MAX, LOG_BYTES_MAX, today())?;
    let to_file = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Writer(Mutex::new(files)));
    let to_stderr = foreground.then(|| tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr));
    let _already_started = tracing_subscriber::registry().with(filter).with(to_file).with(to_stderr).try_init();
    Ok(())
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

struct Writer(Mutex<LogFiles>);

impl<'w> MakeWriter<'w> for Writer {
    type Writer = Line<'w>;

    fn make_writer(&'w self) -> Line<'w> {
        Line(&self.0)
    }
}

/// Writes one line; a line that can not be written is lost.
struct Line<'w>(&'w Mutex<LogFiles>);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _lost = files.write(line, today());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The files of one directory, named `DATE.N.log`.
struct LogFiles {
    directory: PathBuf,
    file_bytes_max: u64,
    bytes_max: u64,
    day: Date,
    number: u32,
    file: File,
    bytes: u64,
}

impl LogFiles {
    fn open(directory: &Path, file_bytes_max: u64, bytes_max: u64, day: Date) -> io::Result<Self> {
        let number = list(directory)?.iter().filter(|f| f.day == day).map(|f| f.number).max().unwrap_or(0);
        let (file, bytes) = open(directory, day, number)?;
        let files = Self { directory: directory.into(), file_bytes_max, bytes_max, day, number, file, bytes };
        files.forget_old()?;
        Ok(files)
    }

    fn write(&mut self, line: &[u8], today: Date) -> io::Result<()> {
        let full = self.bytes > 0 && self.bytes + line.len() as u64 > self.file_bytes_max;
        if today > self.day || full {
            self.number = if today > self.day { 0 } else { self.number + 1 };
            self.day = self.day.max(today);
            (self.file, self.bytes) = open(&self.directory, self.day, self.number)?;
            self.forget_old()?;
        }
        self.file.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Removes what is older than seven days of logs, then the oldest until the rest leaves room for a file more.
    fn forget_old(&self) -> io::Result<()> {
        let mut files = list(&self.directory)?;
        files.sort_by_key(|f| (f.day, f.number));
        let days: std::collections::BTreeSet<Date> = files.iter().map(|f| f.day).collect();
        let oldest_kept = days.iter().rev().nth(DAYS_KEPT - 1).copied().unwrap_or(Date::MIN);
        let mut bytes: u64 = files.iter().map(|f| f.bytes).sum();
        for file in files {
            let current = (file.day, file.number) == (self.day, self.number);
            if current || (file.day >= oldest_kept && bytes + self.file_bytes_max <= self.bytes_max) {
                continue;
            }
            fs::remove_file(self.directory.join(name(file.day, file.number)))?;
            bytes -= file.bytes;
        }
        Ok(())
    }
}

struct LogFile {
    day: Date,
    number: u32,
    bytes: u64,
}

fn name(day: Date, number: u32) -> String {
    format!("{day}.{number}.log")
}

fn open(directory: &Path, day: Date, number: u32) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(directory.join(name(day, number)))?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

/// Our files; whatever else lies there is not ours to touch.
fn list(directory: &Path) -> io::Result<Vec<LogFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let parsed = entry.file_name().to_str().and_then(|name| {
            let (day, number) = name.strip_suffix(".log")?.split_once('.')?;
            Some((day.parse::<Date>().ok()?, number.parse::<u32>().ok()?))
        });
        if let Some((day, number)) = parsed {
            files.push(LogFile { day, number, bytes: entry.metadata()?.len() });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use jiff::civil::date;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_each_day_and_seven_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        let first = date(2026, 11, 1);
        let mut files = LogFiles::open(dir.path(), 100, 10_000, first).unwrap();
        for day in 0..10 {
            files.write(b"line\n", first + day.days()).unwrap();
        }
        let kept = names(dir.path());
        assert_eq!(kept.len(), 8);
        assert_eq!((kept[0].as_str(), kept[6].as_str()), ("2026-11-04.0.log", "2026-11-10.0.log"));
        assert_eq!(kept[7], "notes.txt");
        files.write(b"the clock went back\n", first).unwrap();
        assert_eq!(names(dir.path()), kept);
    }

    #[test]
    fn all_files_together_stay_below_their_bound_and_a_restart_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let day = date(2026, 11, 1);
        let mut files = LogFiles::open(dir.path(), 100, 500, day).unwrap();
        for n in 0..100 {
            files.write(format!("line {n:05} of many\n").as_bytes(), day).unwrap();
            let bytes: u64 = list(dir.path()).unwrap().iter().map(|f| f.bytes).sum();
            assert!(bytes <= 500, "{bytes}");
        }
        let number = files.number;
        assert!(number > 10);
        let again = LogFiles::open(dir.path(), 100, 500, day).unwrap();
        assert_eq!(again.number, number);
        let newest = fs::read_to_string(dir.path().join(name(day, number))).unwrap();
        assert!(newest.contains("line 00099"));
    }

    #[test]
    fn w7_log_files_are_private() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let files = LogFiles::open(dir.path(), 100, 500, date(2026, 11, 1)).unwrap();
        assert_eq!(files.file.metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_level_is_for_our_own_crates() {
        let ours = ["cobox_net"];
        let debug = filter("debug", &ours).unwrap().to_string();
        assert!(debug.contains("cobox_net=debug") && debug.contains("error"), "{debug}");
        assert!(filter("cobox_net=trace,iroh=warn", &ours).is_ok());
        assert!(filter("loud!", &ours).is_err() && filter("a=b=c", &ours).is_err());
    }
}
