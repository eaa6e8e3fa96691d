//! Random histories against the naive twin, and the proof that the oracles can fail.

use super::party::{Mutant, Rules, run};

const HONEST: Rules =
    Rules { mutant: Mutant::None, clone_percent: 0, restore_percent: 0, steps_max: None, tells: false };

#[test]
fn random_histories_agree_with_the_twin_converge_and_lose_nothing() {
    let (mut entries, mut conflicts, mut cycles) = (0, 0, 0);
    for seed in 0..2_500 {
        let met = run(seed, HONEST).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        entries += met.entries;
        conflicts += met.conflicts;
        cycles += met.moved_under_root;
    }
    assert!(
        entries > 10_000 && conflicts > 500 && cycles > 20,
        "{entries} entries, {conflicts} conflicts, {cycles} cycles"
    );
}

#[test]
fn a_device_restored_from_an_old_copy_loses_nothing_with_a_fresh_actor() {
    for seed in 0..400 {
        run(seed, Rules { restore_percent: 5, ..HONEST }).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    }
}

#[test]
fn copied_devices_are_repaired_and_lose_nothing() {
    let mut forks = 0;
    // 1317: a branch that begins with heads without a write, known to some before and to some after its first write.
    for seed in (0..1_000).chain([1_317]) {
        let met =
            run(seed, Rules { clone_percent: 4, ..HONEST }).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        forks += met.forks;
    }
    assert!(forks > 1_000, "{forks} forks");
}

fn caught(rules: Rules, oracle: &str) {
    let broken = (0..600).filter_map(|seed| run(seed, rules).err()).find(|broken| broken.contains(oracle));
    assert!(broken.is_some(), "no history fails with {rules:?}");
}

#[test]
fn mutant_an_edit_that_does_not_refresh_the_place_is_caught() {
    caught(Rules { mutant: Mutant::EditKeepsPlace, ..HONEST }, "lost body");
}

#[test]
fn mutant_a_directory_delete_that_removes_the_record_is_caught() {
    caught(Rules { mutant: Mutant::RemoveDirForgets, ..HONEST }, "orphan");
}

#[test]
fn mutant_a_reused_actor_is_caught() {
    caught(Rules { mutant: Mutant::ActorReused, restore_percent: 5, ..HONEST }, "lost body");
}
