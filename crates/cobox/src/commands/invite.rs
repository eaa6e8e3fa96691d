//! `invite`.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use cobox_daemon::api::dto::{Invite, InviteRequest, Role};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::status::role;
use crate::client::part;
use crate::error::Failure;
use crate::{Context, place, units};

/// Make an invite code for a folder
///
/// A code made for a CoBox key with --to opens for that person alone, so it may travel by mail. Ask them for theirs: `cobox whoami`.
///
/// Without --to whoever has the code may join: show it, print it, or send it by a way you trust. On a terminal it is drawn to be
/// photographed, too.
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
    /// Let nobody in with it until an owner or admin approves; for admins it is so always
    #[arg(long)]
    approve: bool,
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
        let request =
            InviteRequest { to: self.to, role, expires_s: self.expires, uses: self.uses, approve: self.approve };
        let invite: Invite = context.client()?.post(&format!("folders/{folder}/invites"), &request)?;
        context.out.data(&invite, |invite| invite.code.clone())?;
        if invite.anybody && io::stderr().is_terminal() {
            context.out.note(&picture(&invite.code).unwrap_or_default());
        }
        context.out.note(&told(&invite));
        Ok(())
    }
}

fn told(invite: &Invite) -> String {
    let uses = units::count(invite.uses.into(), "use");
    let good = format!("good until {} for {uses}, as {}", invite.expires_at, role(invite.role));
    if invite.approve {
        return format!(
            "{good}; they type `cobox join` and paste it, and wait until you compare six words and let them in: `cobox joins list`"
        );
    }
    if invite.anybody {
        format!(
            "{good}; whoever has this code may join: they type `cobox join` and paste it. `cobox invites cancel` ends it"
        )
    } else {
        format!("{good}; they type `cobox join CODE`")
    }
}

/// The code as a picture of half blocks for a terminal that writes light on dark, as most do; none if it is too long for one.
fn picture(code: &str) -> Option<String> {
    // In capitals it fits into a coarser picture; reading forgives that.
    let drawn = QrCode::with_error_correction_level(code.to_uppercase(), EcLevel::L).ok()?;
    Some(drawn.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_with_three_addresses_can_be_drawn_and_what_is_too_long_is_not() {
        let code = format!("cbi1{}", "ae5hk7q2".repeat(80));
        let drawn = picture(&code).unwrap();
        let width = drawn.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(width <= 100, "it fits a terminal: {width}");
        assert!(drawn.lines().all(|line| line.chars().count() == width));
        assert_eq!(picture(&"a".repeat(10_000)), None);
    }
}
