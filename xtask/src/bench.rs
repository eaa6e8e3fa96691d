//! `cargo xtask bench`: timings beside other tools.

use anyhow::{Result, bail};

pub(crate) fn bench(args: &[&str]) -> Result<()> {
    bail!("no benchmark {args:?}")
}
