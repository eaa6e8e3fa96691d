//! "The seeder can not read your files" as a fact of its binary: it holds none of the labels under which members' keys are
//! derived.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_seeders_program_holds_no_label_of_a_members_key() {
    let member = Path::new(env!("CARGO_BIN_EXE_cobox"));
    let seeder = member.with_file_name("cobox-seeder");
    if !seeder.exists() {
        println!("skipped: {} is not built; `cargo test --workspace` builds it", seeder.display());
        return;
    }
    let (member, seeder) = (held(member), held(&seeder));
    for label in cobox_core::keys::labels::MEMBER_ONLY {
        assert!(
            member.contains(label),
            "the member's program must hold {label:?}, or this test looks for the wrong thing"
        );
        assert!(!seeder.contains(label), "the seeder's program holds {label:?}");
    }
}

/// Which of the labels a program holds. A program is large: it is gone through once, and looked at closely where a label may begin.
fn held(program: &Path) -> BTreeSet<&'static str> {
    let program = std::fs::read(program).unwrap();
    let labels = cobox_core::keys::labels::MEMBER_ONLY;
    let mut begins = [false; 256];
    labels.iter().for_each(|label| begins[usize::from(label.as_bytes()[0])] = true);
    let mut held = BTreeSet::new();
    for (at, byte) in program.iter().enumerate() {
        if begins[usize::from(*byte)] {
            held.extend(labels.iter().filter(|label| program[at..].starts_with(label.as_bytes())));
        }
    }
    held
}
