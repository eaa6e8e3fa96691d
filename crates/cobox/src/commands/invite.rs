//! `invite`.

use clap::ValueEnum;
use cobox_daemon::api::dto::{Invite, InviteRequest, Role};

use super::status::role;
use crate::client::part;
use crate::error::Failure;
use crate::{Context, place, units};

/// Make an invite code for a folder
///
/// A code made for a CoBox key with --to opens for that person alone, so it may travel by mail. Ask them for theirs: `cobox whoami`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder: its name, the beginning of its id, or its path
    folder: String,
    /// The CoBox key of the person it is for
    #[arg(long, value_name = "COBOXKEY")]
    to: Option<String>,
    /// What they may do
    #[arg(long, value_enum, default_value = "editor")]
    role: InviteRole,
    /// How long the code is good: 30m, 2h, 7d
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = units::duration_s)]
    expires: u64,
    /// How many may join with it
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    uses: u32,
}

/// The roles one may be invited to.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum InviteRole {
    /// reads
    Reader,
    /// reads and writes
    Editor,
    /// also invites, removes and places backups
    Admin,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let role = match self.role {
            InviteRole::Reader => Role::Reader,
            InviteRole::Editor => Role::Editor,
            InviteRole::Admin => Role::Admin,
        };
        let folder = part(&place::folder(&self.folder)?);
        let request = InviteRequest { to: self.to, role, expires_s: self.expires, uses: self.uses };
        let invite: Invite = context.client()?.post(&format!("folders/{folder}/invites"), &request)?;
        context.out.data(&invite, |invite| invite.code.clone())?;
        context.out.note(&told(&invite));
        Ok(())
    }
}

fn told(invite: &Invite) -> String {
    let uses = units::count(invite.uses.into(), "use");
    format!("good until {} for {uses}, as {}; they type `cobox join CODE`", invite.expires_at, role(invite.role))
}
