//! `invites`: who may still join, and closing that.

use clap::Subcommand;
use cobox_daemon::api::dto::{InviteStatus, Invites, Time};

use super::status::role;
use crate::client::part;
use crate::error::Failure;
use crate::text::{clean, table};
use crate::{Context, place};

/// Invite codes that were made for a folder
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the invites by which somebody may still join
    List {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
    },
    /// Close an invite: nobody joins with its code any more
    Cancel {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// The beginning of its id, as the list shows it
        id: String,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.what {
            What::List { folder } => {
                let invites: Invites = client.get(&format!("folders/{}/invites", part(&place::folder(&folder)?)))?;
                if invites.invites.is_empty() {
                    context.out.note("no invite is open");
                }
                context.out.data(&invites, show)
            }
            What::Cancel { folder, id } => {
                let address = format!("folders/{}/invites/{}", part(&place::folder(&folder)?), part(&id));
                let closed: InviteStatus = client.delete(&address)?;
                context.out.data(&closed, |closed| format!("{}: closed; nobody joins with it", clean(&closed.id)))
            }
        }
    }
}

fn show(invites: &Invites) -> String {
    let until = |at: Time, expired: bool| if expired { "expired".to_owned() } else { at.to_string() };
    let row = |invite: &InviteStatus| {
        vec![
            clean(&invite.id),
            role(invite.role).into(),
            clean(&invite.by),
            format!("{} of {}", invite.used, invite.uses),
            until(invite.expires_at, invite.expired),
            if invite.approve { "after approval" } else { "at once" }.into(),
        ]
    };
    let rows: Vec<Vec<String>> = invites.invites.iter().map(row).collect();
    table(&["ID", "ROLE", "BY", "USED", "GOOD UNTIL", "LETS IN"], &rows)
}
