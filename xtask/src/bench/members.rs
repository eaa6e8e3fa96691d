//! What membership costs: resolving a long log, starting an epoch, sealing all names anew. The figures come from a program beside the pure
//! code that they are about, `cobox-core/benches/members.rs`; here they are held against what was promised.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::run::root;

/// Two admins write once without having seen each other's after so many turns: a few times in 10,000 ops ...
const TOGETHER: &str = "1500";
/// ... and all the time. Each such time the log is resolved anew from its beginning; this is printed and not judged.
const ENTANGLED: &str = "100";
/// What was promised: figure, least or most, bound.
const PROMISED: [(&str, &str, Bound); 4] = [
    ("resolve", "resolve_ms", Bound::Below(200.0)),
    ("resolve", "peak_mb", Bound::Below(64.0)),
    ("mint", "mint_ms", Bound::Below(50.0)),
    ("metadata", "records_per_s", Bound::AtLeast(100_000.0)),
];

#[derive(Clone, Copy)]
enum Bound {
    Below(f64),
    AtLeast(f64),
}

pub(super) fn bench() -> Result<()> {
    let dir = root().join("target/bench");
    std::fs::create_dir_all(&dir)?;
    let log = dir.join("members.log");
    let file = log.to_string_lossy().into_owned();
    let mut said = String::new();
    for (turns, name) in [(TOGETHER, "resolve"), (ENTANGLED, "entangled")] {
        measure(&["make", &file, turns])?;
        said.push_str(&measure(&["resolve", &file])?.replacen("resolve", name, 1));
    }
    std::fs::remove_file(&log)?;
    said.push_str(&measure(&["mint"])?);
    said.push_str(&measure(&["metadata"])?);
    print!("{said}");
    let mut kept = true;
    for (line, figure, bound) in PROMISED {
        let value = value(&said, line, figure).with_context(|| format!("{line} says no {figure}"))?;
        let (holds, text) = match bound {
            Bound::Below(most) => (value < most, format!("below {most}")),
            Bound::AtLeast(least) => (value >= least, format!("at least {least}")),
        };
        kept &= holds;
        println!("{} {line} {figure} {value:.1}, promised {text}", if holds { "ok  " } else { "MORE" });
    }
    ensure!(kept, "membership costs more than was promised");
    Ok(())
}

fn measure(args: &[&str]) -> Result<String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["bench", "--quiet", "--locked", "-p", "cobox-core", "--bench", "members", "--"]).args(args);
    let output = cargo.current_dir(root()).stderr(Stdio::inherit()).output().context("cargo bench")?;
    ensure!(output.status.success(), "cargo bench: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `FIGURE=VALUE` in the line that begins with this word.
fn value(said: &str, line: &str, figure: &str) -> Option<f64> {
    let mut words = said.lines().find(|said| said.split(' ').next() == Some(line))?.split(' ');
    words.find_map(|word| word.strip_prefix(figure)?.strip_prefix('=')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_their_names() {
        let said = "resolve ops=10000.000 resolve_ms=12.500\nmint mint_ms=3.000\n";
        assert_eq!(value(said, "resolve", "resolve_ms"), Some(12.5));
        assert_eq!(value(said, "mint", "mint_ms"), Some(3.0));
        assert_eq!(value(said, "mint", "resolve_ms"), None);
        assert_eq!(value(said, "metadata", "records"), None);
    }
}
