//! `completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::output::{Failure, print};
use crate::{Cli, Context};

/// Print what your shell needs to complete commands
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Your shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Args {
    pub(crate) fn run(self, _: &Context) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "cobox-seeder", &mut text);
        print(&String::from_utf8_lossy(&text))
    }
}
