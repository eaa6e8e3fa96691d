//! "The seeder can not read your files" as a fact of its binary: it holds none of the labels under which members' keys are
//! derived.

use std::path::Path;

#[test]
fn the_seeders_program_holds_no_label_of_a_members_key() {
    let member = Path::new(env!("CARGO_BIN_EXE_cobox"));
    let seeder = member.with_file_name("cobox-seeder");
    if !seeder.exists() {
        println!("skipped: {} is not built; `cargo test --workspace` builds it", seeder.display());
        return;
    }
    let (member, seeder) = (std::fs::read(member).unwrap(), std::fs::read(seeder).unwrap());
    for label in cobox_core::keys::labels::MEMBER_ONLY {
        assert!(
            holds(&member, label),
            "the member's program must hold {label:?}, or this test looks for the wrong thing"
        );
        assert!(!holds(&seeder, label), "the seeder's program holds {label:?}");
    }
}

fn holds(binary: &[u8], text: &str) -> bool {
    binary.windows(text.len()).any(|window| window == text.as_bytes())
}
