//! `invite`.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use cobox_daemon::api::ErrorCode;
use cobox_daemon::api::dto::{
    Invite, InviteRequest, Role, SpokenInvite, SpokenRequest, SpokenState, SpokenWaitRequest,
};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::status::role;
use crate::client::part;
use crate::error::Failure;
use crate::text::clean;
use crate::{Context, interrupt, place, units};

/// How long the service is asked to wait for the words at a time.
const WAIT_MS: u64 = 10_000;

/// Make an invite code for a folder
///
/// A code made for a CoBox key with --to opens for that person alone, so it may travel by mail. Ask them for theirs: `cobox whoami`.
///
/// Without --to whoever has the code may join: show it, print it, or send it by a way you trust. On a terminal it is drawn to be
/// photographed, too.
///
/// With --words it makes a number and three words to be said to somebody who types them now: `cobox join 7-apple-river-moon`. Both must be
/// connected, to each other's network or to a seeder that both can reach. The words are good for one try, and the command waits for it.
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
    /// Make a number and three words to be said instead of a code, and wait for somebody who types them
    #[arg(long, conflicts_with_all = ["to", "uses"])]
    words: bool,
    /// With --words: how long to wait, a quarter of an hour at most
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = units::duration_s)]
    wait: u64,
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
        if self.words {
            let (approve, expires_s, wait_s) = (self.approve, self.expires, self.wait);
            return by_words(context, &folder, &SpokenRequest { role, approve, expires_s, wait_s });
        }
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

/// Makes words and waits until somebody said them, or nobody will any more. With `--json` a line says the words, and a second one how it
/// ended.
fn by_words(context: &Context, folder: &str, request: &SpokenRequest) -> Result<(), Failure> {
    let client = context.client()?;
    let made: SpokenInvite = client.post(&format!("folders/{folder}/spoken"), request)?;
    interrupt::will_say("interrupted; the words let nobody in any more in half a minute");
    context.out.data(&made, |made| made.words.clone())?;
    context.out.note(&told_words(&made));
    let progress = context.out.progress();
    progress.say("waiting until somebody types them");
    let ended = loop {
        let address = format!("folders/{folder}/spoken/{}/wait", made.nameplate);
        let now: SpokenInvite = client.post(&address, &SpokenWaitRequest { timeout_ms: WAIT_MS })?;
        if now.state != SpokenState::Waiting {
            break now;
        }
    };
    drop(progress);
    let again = "for new words: `cobox invite FOLDER --words`";
    match ended.state {
        SpokenState::Given if context.out.json => context.out.json_line(&ended),
        SpokenState::Given => {
            let next =
                if ended.approve { "; let them in when you have compared six words: `cobox joins list`" } else { "" };
            context.out.note(&format!("the words were said, and whoever said them has an invite{next}"));
            Ok(())
        }
        SpokenState::Wrong => Err(Failure::new(
            ErrorCode::CodeSpent,
            "somebody typed other words with this number: it lets nobody in any more. A typing error, or somebody guesses",
            again,
        )),
        SpokenState::Waiting | SpokenState::Over => {
            Err(Failure::new(ErrorCode::TimedOut, "nobody typed the words in time; they let nobody in any more", again))
        }
    }
}

fn told_words(made: &SpokenInvite) -> String {
    let words = clean(&made.words);
    let mut told = format!(
        "say this to them: they type `cobox join {words}` now, until {}. It is good for one try, as {}",
        made.until,
        role(made.role)
    );
    if made.approve {
        told.push_str("; they wait until you compare six words and let them in");
    }
    told.push_str(match made.seeders {
        0 => ". No seeder is connected, so they must be in your local network, or be told where you are:",
        _ => ". If they are neither in your local network nor know your seeder, tell them where it is:",
    });
    if let Some(via) = made.via.first() {
        told.push_str(&format!("\n    cobox join {words} --via {}", clean(via)));
    }
    told
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
