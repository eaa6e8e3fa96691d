//! Writes the first inputs of every target below a directory, each into `DIR/TARGET` under the hash of its bytes, and prints the
//! targets, one a line: the program it is in, its name, bytes of its longest input. `fuzz-seed DIR`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use cobox_fuzz::{programs, pure};

fn main() -> Result<()> {
    let into = PathBuf::from(std::env::args_os().nth(1).context("say where: fuzz-seed DIR")?);
    for seed in cobox_fuzz::seeds()? {
        let dir = into.join(seed.target);
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let path = dir.join(&blake3::hash(&seed.bytes).to_hex()[..16]);
        std::fs::write(&path, &seed.bytes).with_context(|| path.display().to_string())?;
    }
    for (program, targets) in [("fuzz-pure", pure::TARGETS), ("fuzz-programs", programs::TARGETS)] {
        for target in targets {
            println!("{program} {} {}", target.name, target.bytes_max);
        }
    }
    Ok(())
}
