//! `cargo xtask up`: builds the web page and the release programs, and starts cobox.

use anyhow::Result;

use crate::run::{command, root, run, run_command};
use crate::web::web_if_possible;

pub(crate) fn up(args: &[&str]) -> Result<()> {
    web_if_possible()?;
    run("cargo", &["build", "--release", "--locked", "--bin", "cobox", "--bin", "cobox-seeder"])?;
    let bin = root().join("target/release");
    println!("built {} and {}", bin.join("cobox").display(), bin.join("cobox-seeder").display());
    let cobox = bin.join("cobox");
    let mut all = vec!["up"];
    all.extend(args);
    let mut start = command(&cobox.to_string_lossy(), &all);
    run_command(start.current_dir(std::env::current_dir()?))
}
