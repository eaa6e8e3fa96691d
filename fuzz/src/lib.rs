//! What meets foreign bytes, given arbitrary ones. A [`Target`] is a function that takes bytes and panics where something does not
//! hold: that nothing panics, that what decodes encodes to the same bytes, that what was refused changed nothing, that no peer makes
//! a program keep or send more than it may.
//!
//! `cargo xtask campaign fuzz` runs each target under libFuzzer and keeps the inputs that go new ways in `corpus/`; the tests here
//! replay them without it. [`pure`] needs the pure crates alone, [`programs`] what stands around them.

mod codes;
mod feed;
mod formats;
mod glass;
#[cfg(feature = "programs")]
mod local;
mod seeds;
mod sessions;
mod stage;
mod trees;

use std::path::PathBuf;

pub use seeds::{Seed, seeds};

/// Bytes a run may hold on the heap, all that a target keeps between runs included.
pub const HEAP_BYTES_MAX: usize = 64 << 20;

/// Something that takes foreign bytes.
pub struct Target {
    /// Its name; its inputs lie in `corpus/NAME`.
    pub name: &'static str,
    /// Bytes of the longest input that makes sense.
    pub bytes_max: usize,
    /// Takes one input.
    pub run: fn(&[u8]),
}

/// Targets that need the pure crates alone.
pub mod pure {
    use crate::{Target, codes, formats, sessions, trees};

    const fn target(name: &'static str, bytes_max: usize, run: fn(&[u8])) -> Target {
        Target { name, bytes_max, run }
    }

    /// All of them.
    pub const TARGETS: &[Target] = &[
        target("block", 4096, formats::block),
        target("head", 1024, formats::head),
        target("op", 4096, formats::op),
        target("genesis", 4096, formats::genesis),
        target("frame", 4096, formats::frame),
        target("receipt", 512, formats::receipt),
        target("envelopes", 4096, formats::envelopes),
        target("note", 1024, formats::note),
        target("stored_keys", 1024, formats::stored_keys),
        target("codes", 1024, codes::codes),
        target("words", 512, codes::words),
        target("path", 512, codes::path),
        target("tree", 8192, trees::tree),
        target("manifest", 4096, trees::manifest),
        target("delta", 4096, trees::delta),
        target("link", 4096, sessions::link),
        target("replica", 4096, sessions::replica),
        target("newcomer", 8192, sessions::newcomer),
        target("hosting", 4096, sessions::hosting),
    ];
}

/// Targets that need the programs.
pub mod programs {
    use crate::Target;
    #[cfg(feature = "programs")]
    use crate::local;

    /// All of them; none where the programs are left out.
    #[cfg(not(feature = "programs"))]
    pub const TARGETS: &[Target] = &[];
    /// All of them; none where the programs are left out.
    #[cfg(feature = "programs")]
    pub const TARGETS: &[Target] = &[
        Target { name: "settings", bytes_max: 1024, run: local::settings },
        Target { name: "ignore", bytes_max: 1024, run: local::ignore },
        Target { name: "api", bytes_max: 1024, run: local::api },
    ];
}

/// The target that `COBOX_FUZZ_TARGET` names.
///
/// # Panics
/// If there is none of that name.
pub fn chosen(targets: &'static [Target]) -> &'static Target {
    let name = std::env::var("COBOX_FUZZ_TARGET").unwrap_or_default();
    targets.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target is named {name:?}"))
}

/// Where the kept inputs of a target lie.
pub fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all() -> impl Iterator<Item = &'static Target> {
        pure::TARGETS.iter().chain(programs::TARGETS)
    }

    #[test]
    fn every_kept_input_is_taken_and_every_target_has_some() {
        for target in all() {
            let dir = corpus(target.name);
            let mut inputs: Vec<PathBuf> = std::fs::read_dir(&dir)
                .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
                .map(|entry| entry.unwrap().path())
                .collect();
            inputs.sort();
            assert!(!inputs.is_empty(), "{} has no inputs", target.name);
            for input in inputs {
                let bytes = std::fs::read(&input).unwrap();
                let outcome = std::panic::catch_unwind(|| (target.run)(&bytes));
                assert!(outcome.is_ok(), "{} does not hold for {}", target.name, input.display());
            }
        }
    }

    #[test]
    fn every_seed_is_taken_and_every_target_has_some() {
        let seeds = seeds().unwrap();
        for target in all() {
            assert!(seeds.iter().any(|seed| seed.target == target.name), "{} has no seeds", target.name);
            for seed in seeds.iter().filter(|seed| seed.target == target.name) {
                (target.run)(&seed.bytes);
            }
        }
    }

    #[test]
    fn every_directory_of_inputs_belongs_to_a_target() {
        let names: BTreeSet<&str> = all().map(|target| target.name).collect();
        for entry in std::fs::read_dir(corpus("")).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            assert!(names.contains(name.as_str()), "corpus/{name} belongs to no target");
        }
    }
}
