//! `ignore`: what of a folder's directory is no content.

use clap::Subcommand;
use cobox_daemon::api::dto::{BadLine, IgnoreMatches, IgnoreRequest, IgnoreRules};

use crate::client::part;
use crate::error::Failure;
use crate::text::clean;
use crate::{Context, place};

/// What a folder leaves out
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show a folder's rules; they stand in .cobox-ignore at its root
    List {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
    },
    /// Show what the rules leave out of what lies there now; changes nothing
    Test {
        /// The folder: its name, the beginning of its id, or its path
        folder: String,
        /// Other rules to try instead, in the syntax of .gitignore; may be given several times
        #[arg(long = "rule", value_name = "PATTERN")]
        rules: Vec<String>,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.what {
            What::List { folder } => {
                let folder = part(&place::folder(&folder)?);
                let rules: IgnoreRules = context.client()?.get(&format!("folders/{folder}/ignore"))?;
                if rules.rules.is_empty() {
                    context.out.note("no rules of its own");
                }
                context.out.data(&rules, |rules| clean_lines(&rules.rules) + &warnings(&rules.bad_lines))
            }
            What::Test { folder, rules } => {
                let folder = part(&place::folder(&folder)?);
                let request = IgnoreRequest { rules: (!rules.is_empty()).then(|| rules.join("\n")) };
                let matches: IgnoreMatches =
                    context.client()?.post(&format!("folders/{folder}/ignore/test"), &request)?;
                if matches.matches == 0 {
                    context.out.note("nothing there is left out");
                }
                context.out.data(&matches, show)
            }
        }
    }
}

fn show(matches: &IgnoreMatches) -> String {
    let mut text: String = matches.examples.iter().map(|path| format!("{}\n", clean(path))).collect();
    let unnamed = matches.matches.saturating_sub(matches.examples.len() as u64);
    if unnamed > 0 {
        text.push_str(&format!("and {unnamed} more\n"));
    }
    text + &warnings(&matches.bad_lines)
}

fn clean_lines(rules: &str) -> String {
    rules.lines().map(|line| format!("{}\n", clean(line))).collect()
}

fn warnings(bad: &[BadLine]) -> String {
    bad.iter().map(|bad| format!("line {} is no pattern: {}\n", bad.line, clean(&bad.message))).collect()
}
