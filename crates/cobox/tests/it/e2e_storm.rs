//! The short form of the storms of `cobox-storm`: the same worlds, fewer faults. `cargo xtask campaign` runs them for hours.

use std::time::Duration;

use cobox_storm::{KillStorm, PowerStorm, Programs};

use crate::e2e_world::programs;

fn the_programs() -> Programs {
    let (cobox, seeder) = programs();
    Programs { cobox, seeder }
}

/// Members and a seeder are killed at any moment, about half of the time while they start, some thrice in a row; people go on
/// working. In the quiet after each 25 kills everybody has everything.
#[test]
fn k2_k6_a_hundred_kills_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let storm = KillStorm {
        seed: 5,
        kills: 100,
        members: 2,
        seeders: 1,
        halt_max: Duration::from_secs(1),
        programs: &the_programs(),
        dir: dir.path(),
    };
    let tally = storm.run().unwrap_or_else(|error| panic!("seed {}: {error:#}", storm.seed));
    assert!(tally.faults >= 100 && tally.early >= 30, "{tally:?}");
}

/// Each machine's disk is cut off under a busy service, with all that was not synced; in the end the seeder's right after it signed, and
/// somebody with the recovery words alone has everything from it.
#[test]
fn k3_k7_twenty_power_cuts_lose_nothing_that_was_saved_told_or_signed_for() {
    let dir = tempfile::tempdir().unwrap();
    let storm = PowerStorm { seed: 1, cuts: 19, members: 2, programs: &the_programs(), dir: dir.path() };
    if let Some(why) = storm.missing() {
        return eprintln!("skipped: {why}");
    }
    let tally = storm.run().unwrap_or_else(|error| panic!("seed {}: {error:#}", storm.seed));
    assert!(tally.faults >= 20 && tally.early >= 3, "{tally:?}");
}
