//! `members`: who belongs, what they may do, and sending somebody away.

use clap::{Subcommand, ValueEnum};
use cobox_daemon::api::dto::{
    MemberChange, MemberName, MemberStatus, Members, NicknameRequest, RemoveRequest, Role, RoleRequest, Time,
};

use super::status::role;
use crate::client::{Client, part};
use crate::error::Failure;
use crate::text::{clean, table};
use crate::units::{count, show_ago};
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
    /// Send somebody away
    ///
    /// They keep what they have. What is written from then on has new keys, which they never get, whoever helps them.
    Remove {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// Their name, or the beginning of their key
        who: String,
        /// Only show what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Call somebody something else on this computer
    ///
    /// Nobody else is told. Without a name they are called again what they call themselves.
    Nickname {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// Their name, or the beginning of their key
        who: String,
        /// What to call them
        name: Option<String>,
    },
    /// Change what somebody may do
    ///
    /// Before somebody becomes an admin, compare the six words that are shown with those on their own screen.
    Role {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// Their name, or the beginning of their key
        who: String,
        /// What they may do from now on
        role: NewRole,
        /// Only show what would happen
        #[arg(long)]
        dry_run: bool,
    },
}

/// The roles one can be given.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum NewRole {
    /// reads
    Reader,
    /// reads and writes
    Editor,
    /// also invites, removes and places backups
    Admin,
    /// also decides the folder's rules
    Owner,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.what {
            What::List { folder } => {
                let members: Members = client.get(&format!("folders/{}/members", part(&place::folder(&folder)?)))?;
                context.out.data(&members, show)
            }
            What::Remove { folder, who, dry_run } => {
                let ask = |dry_run| RemoveRequest { dry_run };
                change(context, &client, &folder, &who, "remove", dry_run, &ask)
            }
            What::Nickname { folder, who, name } => {
                let address = format!("folders/{}/members/{}/nickname", part(&place::folder(&folder)?), part(&who));
                let named: MemberName = client.post(&address, &NicknameRequest { name })?;
                let key = named.key.get(..8).unwrap_or(&named.key);
                context.out.data(&named, |named| format!("{} is {} here", clean(key), clean(&named.name)))
            }
            What::Role { folder, who, role, dry_run } => {
                let role = match role {
                    NewRole::Reader => Role::Reader,
                    NewRole::Editor => Role::Editor,
                    NewRole::Admin => Role::Admin,
                    NewRole::Owner => Role::Owner,
                };
                let ask = |dry_run| RoleRequest { role, dry_run };
                change(context, &client, &folder, &who, "role", dry_run, &ask)
            }
        }
    }
}

/// Shows what would happen, asks, and does it.
fn change<R: serde::Serialize>(
    context: &Context,
    client: &Client,
    folder: &str,
    who: &str,
    verb: &str,
    dry_run: bool,
    ask: &dyn Fn(bool) -> R,
) -> Result<(), Failure> {
    let address = format!("folders/{}/members/{}/{verb}", part(&place::folder(folder)?), part(who));
    let preview: MemberChange = client.post(&address, &ask(true))?;
    if dry_run {
        return context.out.data(&preview, show_preview);
    }
    if !context.confirm(&show_preview(&preview))? {
        context.out.note("nothing was done");
        return Ok(());
    }
    let done: MemberChange = client.post(&address, &ask(false))?;
    context.out.data(&done, show_done)
}

fn show_preview(change: &MemberChange) -> String {
    let who = clean(&change.member.name);
    let devices = count(change.devices, "device");
    let mut text = match change.role {
        None => format!("{who} ({}, {devices}) is sent away.\n", role(change.member.role)),
        Some(now) => format!("{who} ({}, {devices}) becomes {}.\n", role(change.member.role), role(now)),
    };
    if let (Some(Role::Admin | Role::Owner), Some(words)) = (change.role, &change.words) {
        text.push_str(&format!(
            "Their six words: {}\nGo on only if the same words stand on their screen: `cobox members list` there.\n",
            clean(words)
        ));
    }
    let mut list = |title: &str, lines: &[String]| {
        if !lines.is_empty() {
            text.push_str(&format!("{title}:\n"));
            lines.iter().for_each(|line| text.push_str(&format!("  {}\n", clean(line))));
        }
    };
    list("They keep", &change.keeps);
    list("They lose", &change.loses);
    let also: Vec<String> = change.also_gone.iter().map(|member| member.name.clone()).collect();
    list("These go with them, since nobody else let them in", &also);
    if change.closed_invites > 0 {
        text.push_str(&format!("{} of theirs stop working.\n", count(change.closed_invites, "invite code")));
    }
    if change.new_keys {
        text.push_str("What is written from then on has new keys.\n");
    }
    text
}

fn show_done(change: &MemberChange) -> String {
    let who = clean(&change.member.name);
    match change.role {
        None => format!("{who} was sent away; what is written from now on has new keys"),
        Some(now) => format!("{who} is {} now", role(now)),
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
    let name = |m: &MemberStatus| match &m.own_name {
        Some(own) => format!("{} ({})", clean(&m.name), clean(own)),
        None => clean(&m.name),
    };
    let words = |m: &MemberStatus| m.words.as_deref().map(clean).unwrap_or_default();
    let row = |m: &MemberStatus| vec![name(m), role(m.role).into(), seen(m), in_step(m), key(m), words(m)];
    let rows: Vec<Vec<String>> = members.members.iter().map(row).collect();
    table(&["MEMBER", "ROLE", "SEEN", "IN STEP", "KEY", "SIX WORDS"], &rows)
}
