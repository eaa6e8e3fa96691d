//! `members`.

use clap::Subcommand;
use cobox_daemon::api::dto::{MemberStatus, Members, Time};

use super::status::role;
use crate::client::part;
use crate::error::Failure;
use crate::text::{clean, table};
use crate::units::show_ago;
use crate::{Context, place};

/// Who belongs to a folder
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List who belongs to a folder
    List {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let What::List { folder } = self.what;
        let folder = part(&place::folder(&folder)?);
        let members: Members = context.client()?.get(&format!("folders/{folder}/members"))?;
        context.out.data(&members, show)
    }
}

fn show(members: &Members) -> String {
    let now = Time::now();
    let seen = |m: &MemberStatus| match (m.you, m.online, m.last_seen) {
        (true, _, _) => "you".into(),
        (_, true, _) => "online".into(),
        (_, _, Some(at)) => show_ago(at, now),
        (_, _, None) => "never".into(),
    };
    let key = |m: &MemberStatus| clean(m.key.get(..8).unwrap_or(&m.key));
    let in_step = |m: &MemberStatus| if m.in_step { "yes" } else { "no" }.to_owned();
    let row = |m: &MemberStatus| vec![clean(&m.name), role(m.role).into(), seen(m), in_step(m), key(m)];
    let rows: Vec<Vec<String>> = members.members.iter().map(row).collect();
    table(&["MEMBER", "ROLE", "SEEN", "IN STEP", "KEY"], &rows)
}
