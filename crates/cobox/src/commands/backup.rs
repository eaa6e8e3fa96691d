//! `backup`: encrypted copies at seeders.

use clap::Subcommand;
use cobox_daemon::api::dto::{BackupAddRequest, BackupAdded, BackupEnd, BackupStatus, Backups, DrillOutcome, Time};

use crate::client::part;
use crate::error::Failure;
use crate::text::{clean, table};
use crate::units::{show_ago, show_bytes};
use crate::{Context, place, prompt};

/// Where encrypted copies of a folder lie
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Place an encrypted copy with a seeder, who can not read it
    ///
    /// Comes back when the seeder has signed; the copy itself follows.
    Add {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// The hosting offer the seeder's owner gave you, or the new ticket of a seeder that moved; `-` reads it from standard
        /// input
        offer: String,
    },
    /// List where encrypted copies of a folder lie
    List {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
    },
    /// End the copy at a seeder
    Remove {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// The seeder: its name or the beginning of its key
        seeder: String,
        /// Also if nobody else is known to have the folder whole
        #[arg(long)]
        even_the_last_copy: bool,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let address = |folder: &str| Ok::<_, Failure>(format!("folders/{}/backups", part(&place::folder(folder)?)));
        match self.what {
            What::Add { folder, offer } => {
                let offer = if offer == "-" { prompt::stdin()?.to_string() } else { offer };
                let added: BackupAdded = client.post(&address(&folder)?, &BackupAddRequest { offer })?;
                context.out.data(&added, |added| {
                    format!(
                        "{} keeps an encrypted copy, up to {}",
                        clean(&added.backup.seeder),
                        show_bytes(added.quota_bytes)
                    )
                })
            }
            What::List { folder } => {
                let backups: Backups = client.get(&address(&folder)?)?;
                if backups.backups.is_empty() {
                    context.out.note("no backups yet; a seeder's owner gives you an offer for `cobox backup add`");
                }
                context.out.data(&backups, show)
            }
            What::Remove { folder, seeder, even_the_last_copy } => {
                let place = format!("{}/{}", address(&folder)?, part(&seeder));
                let remove = |even| match even {
                    true => client.delete::<BackupEnd>(&format!("{place}?even_the_last_copy=true")),
                    false => client.delete(&place),
                };
                let end = match remove(even_the_last_copy) {
                    Err(refused) if refused.is_last_copy() => {
                        if !context.confirm_last_copy(refused)? {
                            context.out.note("nothing was done");
                            return Ok(());
                        }
                        remove(true)?
                    }
                    end => end?,
                };
                context.out.data(&end, |end| {
                    let until =
                        end.kept_until.map_or_else(|| "until its agreement ends".into(), |at| format!("until {at}"));
                    format!("{}: ended; it keeps its encrypted copy {until}", clean(&end.seeder))
                })
            }
        }
    }
}

fn show(backups: &Backups) -> String {
    let now = Time::now();
    let ago = |at: Option<Time>| at.map_or_else(|| "never".into(), |at| show_ago(at, now));
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let row = |b: &BackupStatus| {
        vec![
            clean(&b.seeder),
            yes(b.online),
            yes(b.complete),
            ago(b.receipt_at),
            ago(b.audited_at),
            match b.drill {
                Some(DrillOutcome::Failed) => "failed".into(),
                _ => ago(b.drill_passed_at),
            },
            format!("{} of {}", show_bytes(b.held_bytes), show_bytes(b.quota_bytes)),
        ]
    };
    let rows: Vec<Vec<String>> = backups.backups.iter().map(row).collect();
    table(&["SEEDER", "ONLINE", "COMPLETE", "SIGNED", "AUDITED", "REHEARSED", "SIZE"], &rows)
}
