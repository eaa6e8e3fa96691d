//! `status`.

use cobox_seeder::dto::Status;

use crate::Context;
use crate::output::Failure;
use crate::units::{count, show_bytes};

/// Show the seeder: where it is, what it promised and keeps
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let status: Status = context.client()?.get("status")?;
        context.out.data(&status, show)
    }
}

fn show(status: &Status) -> String {
    let mut text = format!("{} (cobox-seeder {})\n", status.name, status.version);
    text += &format!("  reached at  {}\n", status.addresses.join(", "));
    text += &format!("  ticket      {}\n", status.ticket);
    text +=
        &format!("  space       {} promised, {} used\n", show_bytes(status.space_bytes), show_bytes(status.used_bytes));
    let (folders, offers) = (count(status.folders, "folder"), count(status.open_offers, "open offer"));
    text += &format!("  hosts       {folders}, {offers}\n");
    status.problems.iter().for_each(|problem| text += &format!("  problem     {problem}\n"));
    text
}
