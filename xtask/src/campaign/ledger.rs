//! The ledger of campaigns, `docs/campaigns.md`: one row of one table for every campaign that ran, newest last. A row says what was
//! run and what was found, whether or not that flatters.

use std::fs::{self, OpenOptions};
use std::io::Write;

use anyhow::{Context, Result};

use crate::run::{output, root};

/// What opens the ledger.
const HEAD: &str = "\
# Campaigns

What was run beyond the short forms that `cargo xtask check` runs each time, by `cargo xtask campaign`; one row for each, newest
last. What each kind does is told in [storm.md](storm.md). *Commit* is what was run; `+` stands for changes that were not
committed yet.

| date (UTC) | commit | kind | what ran | counts | CPU hours | findings |
|---|---|---|---|---|---|---|
";

/// One row.
pub(crate) struct Entry {
    /// `sim`, `model`, `plans`, `members`, `fuzz`, `kill`, `power` or `flaky`.
    pub(crate) kind: &'static str,
    /// What ran, and for how long.
    pub(crate) what: String,
    /// Executions, seeds, kills: what was counted.
    pub(crate) counts: String,
    /// Processor time spent, hours.
    pub(crate) cpu_hours: f64,
    /// What was found; "none" where nothing was.
    pub(crate) findings: String,
}

/// Adds a row for what has just run on the commit that is checked out, and prints it.
pub(crate) fn append(entry: &Entry) -> Result<()> {
    let path = root().join("docs/campaigns.md");
    if !path.exists() {
        fs::write(&path, HEAD).with_context(|| format!("could not begin {}", path.display()))?;
    }
    let date = output("date", &["-u", "+%Y-%m-%d %H:%M"])?;
    let row = row(date.trim(), &commit()?, entry);
    let mut ledger =
        OpenOptions::new().append(true).open(&path).with_context(|| format!("could not open {}", path.display()))?;
    ledger.write_all(row.as_bytes()).with_context(|| format!("could not add to {}", path.display()))?;
    print!("{row}");
    Ok(())
}

/// The commit that is checked out, with a plus where files differ from it: a ledger or corpus that grew does not count.
fn commit() -> Result<String> {
    let commit = output("git", &["rev-parse", "--short", "HEAD"])?;
    let changed = output("git", &["status", "--porcelain", "--", ".", ":!docs/campaigns.md", ":!fuzz/corpus"])?;
    Ok(format!("{}{}", commit.trim(), if changed.trim().is_empty() { "" } else { "+" }))
}

fn row(date: &str, commit: &str, entry: &Entry) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let Entry { kind, what, counts, cpu_hours, findings } = entry;
    let (what, counts, findings) = (cell(what), cell(counts), cell(findings));
    format!("| {date} | {commit} | {kind} | {what} | {counts} | {cpu_hours:.2} | {findings} |\n")
}

/// Processor time that our children that ended have used, seconds. Read before and after: the difference is what a campaign took.
pub(crate) fn children_cpu_seconds() -> f64 {
    // Fields of /proc/self/stat after the name, which ends with a bracket: 14 and 15 are the children's time, in ticks of 1/100 s.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(13).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_row_whatever_it_says() {
        let entry =
            Entry { kind: "sim", what: "a|b".into(), counts: "1\n2".into(), cpu_hours: 0.126, findings: "none".into() };
        assert_eq!(row("now", "abc", &entry), "| now | abc | sim | a\\|b | 1 2 | 0.13 | none |\n");
    }

    #[test]
    fn the_time_of_children_that_ended_is_counted() {
        let before = children_cpu_seconds();
        let mut busy = crate::run::command("sh", &["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]);
        crate::run::run_command(&mut busy).unwrap();
        assert!(children_cpu_seconds() > before);
    }
}
