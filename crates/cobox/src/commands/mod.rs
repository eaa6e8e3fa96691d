//! One file per verb, named as the person says it. A verb parses its arguments, asks the service once, and prints.

mod backup;
mod check;
mod completions;
mod config;
mod conflicts;
mod create;
mod demo;
mod devices;
mod down;
mod drill;
mod edits;
mod events;
mod folders;
mod forget;
mod held;
mod history;
mod ignore;
mod invite;
mod invites;
mod join;
mod joins;
mod leave;
mod members;
mod missing;
mod open;
mod pause;
mod policy;
mod quarantine;
mod recover;
mod recovery;
mod rekey;
mod restore;
mod resume;
mod status;
mod trash;
mod undo;
mod up;
mod whoami;

use clap::Subcommand;
use cobox_daemon::api::dto::FolderReply;

use crate::error::Failure;
use crate::{Context, text};

macro_rules! verbs {
    ($($(#[$attribute:meta])* $name:ident($module:ident);)*) => {
        /// What the person wants.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Verb {
            $($(#[$attribute])* $name($module::Args),)*
        }

        impl Verb {
            /// Does it.
            pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
                match self { $(Verb::$name(args) => args.run(context),)* }
            }
        }
    };
}

verbs! {
    Up(up);
    Down(down);
    Status(status);
    Open(open);
    Whoami(whoami);
    Create(create);
    Folders(folders);
    Leave(leave);
    Pause(pause);
    Resume(resume);
    Invite(invite);
    Invites(invites);
    Join(join);
    Joins(joins);
    Members(members);
    Devices(devices);
    Quarantine(quarantine);
    Edits(edits);
    Rekey(rekey);
    Policy(policy);
    Backup(backup);
    Conflicts(conflicts);
    History(history);
    Restore(restore);
    Undo(undo);
    Trash(trash);
    Forget(forget);
    Held(held);
    Ignore(ignore);
    Missing(missing);
    Check(check);
    Drill(drill);
    Config(config);
    Recovery(recovery);
    Recover(recover);
    Events(events);
    Demo(demo);
    Completions(completions);
}

impl Verb {
    /// Whether it has its own way with Ctrl-C: the service stops, the demonstration ends what it started.
    pub(crate) fn minds_interrupts(&self) -> bool {
        matches!(self, Verb::Up(up::Args { foreground: true, .. }) | Verb::Demo(_))
    }
}

/// `docs: did it (/home/ana/docs)`.
fn folder_line(reply: &FolderReply, did: &str, already: &str) -> String {
    let did = if reply.already { already } else { did };
    format!("{}: {did} ({})", text::clean(&reply.folder.name), text::clean(&reply.folder.path))
}
