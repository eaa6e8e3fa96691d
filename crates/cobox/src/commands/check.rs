//! `check`.

use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::CheckReport;

use crate::client::part;
use crate::error::Failure;
use crate::text::clean;
use crate::units::{count, show_bytes};
use crate::{Context, place};

/// Read all files of a folder again and compare them with what they should be
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
        progress.say("reading all files");
        let report: CheckReport = client.post(&format!("folders/{folder}/check"), &())?;
        drop(progress);
        context.out.data(&report, show)?;
        match report.damaged.len() as u64 {
            0 => Ok(()),
            n => Err(Failure::new(
                ErrorCode::DamageFound,
                format!("{} in {}", count(n, "problem"), clean(&report.folder.name)),
                "a member or a backup may still have them whole: `cobox status`",
            )),
        }
    }
}

fn show(report: &CheckReport) -> String {
    let mut text =
        format!("{}: {}, {} read\n", clean(&report.folder.name), count(report.files, "file"), show_bytes(report.bytes));
    for problem in &report.damaged {
        let path = problem.path.as_ref().map(|path| format!("{}: ", clean(path))).unwrap_or_default();
        text.push_str(&format!("  {path}{}\n", clean(&problem.message)));
    }
    if report.damaged.is_empty() { text + "everything is as it should be\n" } else { text }
}
