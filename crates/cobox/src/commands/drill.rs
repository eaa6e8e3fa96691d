//! `drill`.

use std::time::Duration;

use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::{DrillOutcome, DrillReport, SeederDrill, Time};

use crate::client::part;
use crate::error::Failure;
use crate::text::clean;
use crate::units::{count, show_ago, show_bytes};
use crate::{Context, place};

/// Rehearse a restore: take a few files from each seeder alone, compare them, and throw them away
///
/// One file in a hundred is drawn by chance, five at least, and at most 64 MiB as a rule. Nothing that lies on this computer or with other
/// members helps. It is done by itself once a month, see drill_days in `cobox config list`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder: its name, the beginning of its id, or its path
    folder: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let folder = part(&place::folder(&self.folder)?);
        let client = context.client()?;
        let progress = context.out.progress();
        progress.say("restoring a few files from each seeder");
        let report: DrillReport = client.post(&format!("folders/{folder}/drill"), &())?;
        drop(progress);
        context.out.data(&report, show)?;
        if report.passed {
            return Ok(());
        }
        let bad = |drill: &&SeederDrill| matches!(drill.outcome, DrillOutcome::Failed | DrillOutcome::Unfinished);
        let names: Vec<String> = report.seeders.iter().filter(bad).map(|drill| clean(&drill.seeder)).collect();
        Err(Failure::new(
            ErrorCode::DamageFound,
            format!(
                "the rehearsed restore of {} from {} did not succeed",
                clean(&report.folder.name),
                names.join(", ")
            ),
            "try again; if it stays so, tell the seeder's owner, and place another copy with `cobox backup add`",
        ))
    }
}

fn show(report: &DrillReport) -> String {
    let mut text = String::new();
    for drill in &report.seeders {
        let name = clean(&drill.seeder);
        let outcome = match drill.outcome {
            DrillOutcome::Passed => "passed",
            DrillOutcome::Failed => "FAILED",
            DrillOutcome::Unfinished => "not finished",
            DrillOutcome::Away | DrillOutcome::NothingWhole => "not tried",
        };
        text.push_str(&format!("{name}: {outcome}: {}\n", clean(&drill.message)));
        if let Some(head_at) = drill.head_at {
            let (files, bytes) = (count(drill.files, "file"), show_bytes(drill.bytes));
            let took = Duration::from_millis(drill.took_ms);
            let fetched = show_bytes(drill.fetched_bytes);
            text.push_str(&format!(
                "  {files}, {bytes} restored from a state made {}; {fetched} fetched in {:.1} s\n",
                show_ago(head_at, Time::now()),
                took.as_secs_f64()
            ));
        }
        if drill.left_out > 0 {
            text.push_str(&format!("  {} left out, too large for a rehearsal\n", count(drill.left_out, "file")));
        }
        for lost in &drill.failed {
            let what =
                lost.path.as_ref().map_or_else(|| "the records that list the files".to_owned(), |path| clean(path));
            text.push_str(&format!("  {what}: {}\n", clean(&lost.message)));
        }
        if drill.failed_more > 0 {
            text.push_str(&format!("  and {} more\n", drill.failed_more));
        }
        if drill.other_blocks > 0 {
            let blocks = count(drill.other_blocks, "block");
            text.push_str(&format!("  it sent {blocks} that are not what was asked for\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use cobox_daemon::api::dto::{FolderName, NotGiven};

    use super::*;

    #[test]
    fn a5_a_report_names_the_seeder_the_file_and_why_without_control_characters() {
        let hostile = "evil\u{1b}[2J".to_owned();
        let drill = SeederDrill {
            seeder: "ab12cd34".into(),
            outcome: DrillOutcome::Failed,
            head_at: Some(Time::now()),
            files: 2,
            bytes: 2_000_000,
            fetched_bytes: 2_100_000,
            took_ms: 1_540,
            left_out: 1,
            failed: vec![NotGiven { path: Some(hostile.clone()), message: "the seeder sent other bytes".into() }],
            failed_more: 3,
            other_blocks: 1,
            message: "1 of 3 files did not come back".into(),
        };
        let folder = FolderName { id: "id".into(), name: hostile, path: "/x".into() };
        let report = DrillReport { folder, at: Time::now(), passed: false, seeders: vec![drill] };
        let text = show(&report);
        for words in [
            "ab12cd34: FAILED: 1 of 3 files did not come back",
            "2 files, 2.0 MB restored from a state made",
            "2.1 MB fetched in 1.5 s",
            "1 file left out",
            "the seeder sent other bytes",
            "and 3 more",
            "it sent 1 block that",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
