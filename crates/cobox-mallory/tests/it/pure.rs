//! Mallory speaks to the shipped brains without a network.

use cobox_mallory::{Role, scripts};

/// Plays every script of this role that needs no programs.
fn play_all(role: Role) {
    let mut failed = Vec::new();
    for script in scripts().into_iter().filter(|script| script.role == role) {
        if let Some(Err(why)) = script.play_pure() {
            failed.push(format!("{} {}: {why:#}", script.case, script.name));
        }
    }
    assert!(failed.is_empty(), "{} scripts came to something else:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn x1_x3_to_x10_x13_g4_g5_m8_m10_n6_t3_a_malicious_member_is_refused_named_or_held_in_bounds() {
    play_all(Role::Member);
}

#[test]
fn s1_to_s12_n9_a_malicious_seeder_changes_nothing_and_is_named() {
    play_all(Role::Seeder);
}

#[test]
fn g1_to_g6_s11_x13_a_stranger_stays_at_the_door() {
    play_all(Role::Stranger);
}
