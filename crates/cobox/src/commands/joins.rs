//! `joins`: who asks to be let in, and where this device asks.

use clap::Subcommand;
use cobox_daemon::api::dto::{
    ApproveRequest, JoinStatus, Joining, JoiningState, JoiningStatus, Joins, JoinsRefused, Role,
};
use cobox_daemon::api::find_join;

use super::status::role;
use crate::client::{Client, part};
use crate::error::Failure;
use crate::text::{clean, table};
use crate::{Context, place};

/// People who ask to be let into a folder
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List who asks to be let into a folder, with the six words to compare
    List {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
    },
    /// Let somebody in
    ///
    /// Have them read their six words to you first. If theirs are others than those shown here, somebody else uses their code: refuse. Whoever
    /// becomes an admin is let in only after you were shown the words and said yes, or with --words.
    Approve {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// What they call themselves, or the beginning of their key
        who: String,
        /// The six words as they read them to you
        #[arg(long, value_name = "WORDS")]
        words: Option<String>,
    },
    /// Refuse somebody, and close the invite
    ///
    /// Whoever has the code could ask again otherwise. All who ask by the same code are refused.
    Refuse {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// What they call themselves, or the beginning of their key
        who: String,
    },
    /// List the folders that you ask to be let into
    Mine,
    /// Stop asking to be let into a folder
    Withdraw {
        /// What `mine` calls it, or the beginning of its id
        folder: String,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.what {
            What::List { folder } => {
                let joins = list(&client, &folder)?;
                if joins.joins.is_empty() {
                    context.out.note("nobody asks to be let in");
                }
                context.out.data(&joins, show)
            }
            What::Approve { folder, who, words } => approve(context, &client, &folder, &who, words),
            What::Refuse { folder, who } => refuse(context, &client, &folder, &who),
            What::Mine => {
                let joining: Joining = client.get("joins")?;
                if joining.joins.is_empty() {
                    context.out.note("you ask nowhere");
                }
                context.out.data(&joining, show_mine)
            }
            What::Withdraw { folder } => {
                let withdrawn: JoiningStatus = client.delete(&format!("joins/{}", part(&folder)))?;
                context.out.data(&withdrawn, |join| format!("{}: not asked any more", clean(&join.name)))
            }
        }
    }
}

fn list(client: &Client, folder: &str) -> Result<Joins, Failure> {
    client.get(&format!("folders/{}/joins", part(&place::folder(folder)?)))
}

/// Shows whom it is about; the words that are sent are those that stood on the screen or were typed, never what came since.
fn approve(context: &Context, client: &Client, folder: &str, who: &str, words: Option<String>) -> Result<(), Failure> {
    let all = list(client, folder)?;
    let join = &all.joins[find_join(&all.joins, who)?];
    let asked = format!(
        "{} asks to become {} of this folder. Their six words:\n\n    {}\n\nLet them in only if they read the same words to you: names \
         can be made up.",
        named(join),
        article(join.role),
        clean(&join.words)
    );
    // Nobody would have looked at the words that would be sent.
    if words.is_none() && join.role >= Role::Admin && context.is_unasked() {
        return Err(Failure::usage(
            "who becomes an admin is let in only with their six words compared, also with --yes or --json",
            "have them read the words to you, and give them: --words \"...\"",
        ));
    }
    if words.is_none() && !context.confirm(&asked)? {
        context.out.note("nothing was done");
        return Ok(());
    }
    let address = format!("folders/{}/joins/{}/approve", part(&place::folder(folder)?), part(&join.key));
    let request = ApproveRequest { words: words.or_else(|| Some(join.words.clone())) };
    let approved: JoinStatus = client.post(&address, &request)?;
    context.out.data(&approved, |join| format!("{} was let in as {}", named(join), role(join.role)))
}

fn refuse(context: &Context, client: &Client, folder: &str, who: &str) -> Result<(), Failure> {
    let all = list(client, folder)?;
    let join = &all.joins[find_join(&all.joins, who)?];
    let others: Vec<String> =
        all.joins.iter().filter(|other| other.invite == join.invite && other.key != join.key).map(named).collect();
    let mut asked =
        format!("{} is refused, and the invite is closed: nobody joins with its code any more.", named(join));
    if !others.is_empty() {
        asked.push_str(&format!("\nThese ask by the same code and are refused too: {}", others.join(", ")));
    }
    if !context.confirm(&asked)? {
        context.out.note("nothing was done");
        return Ok(());
    }
    let address = format!("folders/{}/joins/{}/refuse", part(&place::folder(folder)?), part(&join.key));
    let refused: JoinsRefused = client.post(&address, &())?;
    context.out.data(&refused, |refused| {
        let names: Vec<String> = refused.refused.iter().map(named).collect();
        format!("{}: not let in; the invite is closed", names.join(", "))
    })
}

/// `Ben (3fa9c1d2)`.
fn named(join: &JoinStatus) -> String {
    let key = clean(join.key.get(..8).unwrap_or(&join.key));
    match &join.name {
        Some(name) => format!("{} ({key})", clean(name)),
        None => key,
    }
}

fn article(of: Role) -> String {
    let word = role(of);
    let article = if word.starts_with(['a', 'e', 'o']) { "an" } else { "a" };
    format!("{article} {word}")
}

fn show(joins: &Joins) -> String {
    let row = |join: &JoinStatus| {
        vec![
            join.name.as_deref().map(clean).unwrap_or_default(),
            role(join.role).into(),
            clean(&join.invited_by),
            join.expires_at.to_string(),
            clean(join.key.get(..8).unwrap_or(&join.key)),
            clean(&join.words),
        ]
    };
    let rows: Vec<Vec<String>> = joins.joins.iter().map(row).collect();
    table(&["SAYS", "ROLE", "INVITED BY", "GOOD UNTIL", "KEY", "SIX WORDS"], &rows)
}

fn show_mine(joining: &Joining) -> String {
    let state = |state: JoiningState| match state {
        JoiningState::Waiting => "waits for an owner or admin",
        JoiningState::Refused => "refused, cancelled, or used by somebody else",
        JoiningState::Expired => "its time is over",
    };
    let row = |join: &JoiningStatus| {
        vec![
            clean(&join.name),
            role(join.role).into(),
            state(join.state).into(),
            join.expires_at.to_string(),
            clean(&join.words),
        ]
    };
    let rows: Vec<Vec<String>> = joining.joins.iter().map(row).collect();
    table(&["FOLDER", "ROLE", "STATE", "GOOD UNTIL", "SIX WORDS"], &rows)
}
