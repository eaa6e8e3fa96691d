//! The list of scripts is what the documents say it is.

use std::collections::{BTreeMap, BTreeSet};

use cobox_mallory::scripts;

/// Cases of the catalogue that a script must stand for.
const CASES: [&str; 34] = [
    "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x13", "g1", "g2", "g3", "g4", "g5", "g6", "s1", "s2",
    "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "m8", "m10", "t3", "n6", "n9",
];

#[test]
fn at_least_120_scripts_stand_for_every_case_of_evil_peers() {
    let all = scripts();
    assert!(all.len() >= 120, "{} scripts", all.len());
    let cases: BTreeSet<&str> = all.iter().map(|script| script.case).collect();
    let missing: Vec<_> = CASES.iter().filter(|case| !cases.contains(*case)).collect();
    assert!(missing.is_empty(), "no script for {missing:?}");
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for script in &all {
        *names.entry(script.name).or_default() += 1;
        assert!(script.name.is_ascii() && script.name.len() > 10, "{:?} is no sentence", script.name);
    }
    let twice: Vec<_> = names.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}
