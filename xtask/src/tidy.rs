//! `cargo xtask tidy`: the house rules a compiler does not know. Each finding is one line that names the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run::{command, output, root};

/// Packages the lock file may hold.
const LOCK_PACKAGES_MAX: usize = 580;
/// Crates that must never reach `cobox-core`, by any path: a stranger runs them.
const BLIND: [&str; 5] = ["cobox-proto", "cobox-store", "cobox-net", "cobox-log", "cobox-seeder"];
/// Crates that must stay pure, and what they must not depend on.
const PURE: [&str; 2] = ["cobox-proto", "cobox-core"];
const IMPURE: [&str; 9] = ["tokio", "iroh", "rusqlite", "getrandom", "axum", "notify", "cap-std", "rustix", "ureq"];
/// Crates that are for developers: no program that is shipped is built with them.
const FOR_DEVELOPERS: [&str; 3] = ["cobox-mallory", "cobox-sim", "cobox-storm"];
/// Crypto libraries that would stand beside aws-lc.
const SECOND_CRYPTO: [&str; 3] = ["ring", "openssl", "native-tls"];
/// Module names that say nothing.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "misc", "common", "helper", "helpers"];
/// Misspellings seen in the wild; the left is refused.
const SPELLING: [(&str, &str); 14] = [
    ("recieve", "receive"),
    ("seperate", "separate"),
    ("occured", "occurred"),
    ("untill", "until"),
    ("existant", "existent"),
    ("succesful", "successful"),
    ("neccessary", "necessary"),
    ("refered", "referred"),
    ("lenght", "length"),
    ("adress", "address"),
    ("publically", "publicly"),
    ("consistant", "consistent"),
    ("arbitary", "arbitrary"),
    ("acknowledgement of of", "acknowledgement of"),
];

pub(crate) fn tidy() -> Result<()> {
    let mut findings = Vec::new();
    borders(&mut findings)?;
    one_crypto_library(&mut findings)?;
    lock_file(&mut findings)?;
    sources(&mut findings)?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("{} things to tidy", findings.len());
    }
    println!("tidy");
    Ok(())
}

/// Which workspace crate depends on what, normal dependencies only, through everything.
fn borders(findings: &mut Vec<String>) -> Result<()> {
    let metadata: Value = serde_json::from_str(&output("cargo", &["metadata", "--format-version", "1", "--locked"])?)?;
    let mut names = BTreeMap::new();
    for package in metadata["packages"].as_array().context("cargo metadata without packages")? {
        names.insert(package["id"].as_str().unwrap_or_default(), package["name"].as_str().unwrap_or_default());
    }
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().context("cargo metadata without a graph")? {
        let from = names.get(node["id"].as_str().unwrap_or_default()).copied().unwrap_or_default();
        for dep in node["deps"].as_array().into_iter().flatten() {
            let kinds = dep["dep_kinds"].as_array();
            if kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null())) {
                let to = names.get(dep["pkg"].as_str().unwrap_or_default()).copied().unwrap_or_default();
                edges.entry(from).or_default().push(to);
            }
        }
    }
    let reached = |from: &str| {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![from]);
        while let Some(at) = todo.pop() {
            for next in edges.get(at).into_iter().flatten() {
                if seen.insert(*next) {
                    todo.push(next);
                }
            }
        }
        seen
    };
    for blind in BLIND {
        for member in ["cobox-core", "cobox-daemon", "cobox"] {
            if reached(blind).contains(member) {
                findings
                    .push(format!("{blind} reaches {member}: a stranger's program must not know what members know"));
            }
        }
    }
    for shipped in ["cobox", "cobox-seeder"] {
        for unshipped in FOR_DEVELOPERS.iter().filter(|unshipped| reached(shipped).contains(*unshipped)) {
            findings.push(format!("{shipped} depends on {unshipped}, which is for developers alone"));
        }
    }
    for pure in PURE {
        for impure in edges.get(pure).into_iter().flatten().filter(|dep| IMPURE.contains(dep)) {
            findings.push(format!("{pure} depends on {impure}: it must stay pure"));
        }
    }
    Ok(())
}

/// What is really built into the programs: `cargo metadata` also lists what features that are off would bring.
fn one_crypto_library(findings: &mut Vec<String>) -> Result<()> {
    for program in ["cobox", "cobox-seeder"] {
        for banned in SECOND_CRYPTO {
            let tree = command("cargo", &["tree", "--locked", "--package", program, "--invert", banned]).output()?;
            if !tree.stdout.is_empty() {
                findings.push(format!("{program} is built with {banned}: the tree holds one crypto library, aws-lc"));
            }
        }
    }
    Ok(())
}

fn lock_file(findings: &mut Vec<String>) -> Result<()> {
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    let packages = lock.lines().filter(|line| *line == "[[package]]").count();
    if packages > LOCK_PACKAGES_MAX {
        findings.push(format!("Cargo.lock holds {packages} packages; the budget is {LOCK_PACKAGES_MAX}"));
    }
    Ok(())
}

fn sources(findings: &mut Vec<String>) -> Result<()> {
    let mut files = Vec::new();
    for top in ["crates", "fuzz", "xtask", "docs", "bench", "changelog"] {
        walk(&root().join(top), &mut files)?;
    }
    for name in ["README.md", "CONTRIBUTING.md"] {
        files.push(root().join(name));
    }
    for path in files {
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if !["rs", "md", "toml", "py", "sh"].contains(&extension) {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| shown.clone())?;
        if extension == "rs" {
            rust_file(&path, &shown, &text, findings);
        }
        if !shown.ends_with("tidy.rs") {
            for (wrong, right) in SPELLING {
                if text.to_lowercase().contains(wrong) {
                    findings.push(format!("{shown}: write {right:?}, not {wrong:?}"));
                }
            }
        }
    }
    vectors(findings)
}

fn rust_file(path: &Path, shown: &str, text: &str, findings: &mut Vec<String>) {
    if !text.starts_with("//!") {
        findings.push(format!("{shown}: opens without a //! line that says its job"));
    }
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    if EMPTY_NAMES.contains(&stem) {
        findings.push(format!("{shown}: {stem:?} says nothing; name the module after its job"));
    }
    if shown.ends_with("tidy.rs") {
        return;
    }
    for word in ["todo!(", "unimplemented!(", "dbg!(", "FIXME:", "XXX:"] {
        if text.contains(word) {
            findings.push(format!("{shown}: {word} left in"));
        }
    }
}

/// Every vector file is read by a test.
fn vectors(findings: &mut Vec<String>) -> Result<()> {
    let mut tests = Vec::new();
    walk(&root().join("crates"), &mut tests)?;
    let tests: Vec<String> = tests
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .filter_map(|p| fs::read_to_string(p).ok())
        .collect();
    for entry in fs::read_dir(root().join("spec/vectors"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let stem = name.trim_end_matches(".json");
        if name.ends_with(".json")
            && !tests.iter().any(|text| text.contains(&name) || text.contains(&format!("\"{stem}\"")))
        {
            findings.push(format!("spec/vectors/{name}: no test reads it"));
        }
    }
    Ok(())
}

fn walk(dir: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, into)?;
        } else {
            into.push(path);
        }
    }
    into.sort();
    Ok(())
}
