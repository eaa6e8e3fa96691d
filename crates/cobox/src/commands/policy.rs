//! `policy`.

use clap::{Subcommand, ValueEnum};
use cobox_daemon::api::dto::{FolderPolicy, PolicyRequest};

use crate::client::part;
use crate::error::Failure;
use crate::units::count;
use crate::{Context, place};

/// What holds for a folder as a whole
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say what holds for a folder
    Show {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
    },
    /// Change what holds for a folder
    ///
    /// Owners may, and admins where there is no owner. New keys come by themselves, every quarter of a year; `cobox rekey` makes them at once.
    Set {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// Whether whoever joins waits until an owner or admin approves, whatever their code: `cobox joins list`
        #[arg(long, value_enum, value_name = "YES|NO")]
        approve_joins: Answer,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// they wait
    Yes,
    /// a code lets in at once, unless it was made to wait
    No,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let address = |folder: &str| Ok::<_, Failure>(format!("folders/{}/policy", part(&place::folder(folder)?)));
        let policy: FolderPolicy = match self.what {
            What::Show { folder } => client.get(&address(&folder)?)?,
            What::Set { folder, approve_joins } => {
                client.put(&address(&folder)?, &PolicyRequest { approve_joins: approve_joins == Answer::Yes })?
            }
        };
        context.out.data(&policy, show)
    }
}

fn show(policy: &FolderPolicy) -> String {
    let joins = if policy.approve_joins { "wait until an owner or admin approves" } else { "take effect at once" };
    format!("joins     {joins}\nnew keys  every {}, and when somebody is sent away", count(policy.new_keys_days, "day"))
}
