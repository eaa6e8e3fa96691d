//! Which crates the program is made of, and under which licences: a list that the page's about screen shows. It is made anew with each build
//! of the page, from what cargo says, so it can not fall behind. Names, versions and licences; no addresses.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::run::output;

/// What cargo is asked: everything that is built into `cobox`, each with its licence.
const TREE: [&str; 10] =
    ["tree", "--locked", "--package", "cobox", "--edges", "normal", "--prefix", "none", "--format", "{p};{l}"];

/// Writes the list.
pub(crate) fn write(into: &Path) -> Result<()> {
    let crates = read(&output("cargo", &TREE)?)?;
    if crates.is_empty() {
        bail!("cargo names no crates that cobox is made of");
    }
    Ok(fs::write(into, serde_json::to_vec(&crates)?)?)
}

/// The crates of others, by name, each once.
fn read(tree: &str) -> Result<Vec<Value>> {
    let mut crates = BTreeSet::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        // A crate that was shown before has a mark at the end.
        let line = line.strip_suffix(" (*)").unwrap_or(line);
        let Some((package, licence)) = line.rsplit_once(';') else { bail!("cargo tree says {line:?}") };
        let mut words = package.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else { bail!("cargo tree says {line:?}") };
        // Our own stand beside their directory.
        if package.contains("(/") || package.contains(":\\") {
            continue;
        }
        if licence.is_empty() {
            bail!("{name} names no licence");
        }
        crates.insert((name, version.trim_start_matches('v'), licence));
    }
    let shown = |(name, version, licence)| json!({ "name": name, "version": version, "identifier": licence });
    Ok(crates.into_iter().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_of_others_are_listed_once_and_without_where_they_come_from() {
        let tree = "cobox v0.1.0 (/home/ana/cobox/crates/cobox);AGPL-3.0-or-later\nserde v1.0.2 (registry `a mirror`);MIT OR Apache-2.0\n\
                    serde_derive v1.0.2 (proc-macro);MIT\n\nserde v1.0.2 (registry `a mirror`);MIT OR Apache-2.0 (*)\nblake3 v1.8.7;CC0-1.0";
        let crates = read(tree).unwrap();
        let names: Vec<&str> = crates.iter().filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(names, ["blake3", "serde", "serde_derive"]);
        assert_eq!(crates[1], json!({ "name": "serde", "version": "1.0.2", "identifier": "MIT OR Apache-2.0" }));
    }

    #[test]
    fn a_crate_without_a_licence_is_refused() {
        assert!(read("nameless v1.0.0;").unwrap_err().to_string().contains("nameless names no licence"));
    }
}
