//! Small cases of the state alone, each from one number: short histories of two or three devices, in lockstep with the naive twin
//! that the tests of the state have. Most mistakes show with few items, so a case is cheap and there can be very many.
//!
//! What must hold: the state and what it shows are the twin's after every step; joins are associative, commutative and idempotent;
//! in the end all replicas are equal and nothing is lost that nobody saw and let go. One number is one case.

// One twin, not two: these are the modules of the state's own tests.
#[path = "../../../cobox-core/tests/it/state/dice.rs"]
#[allow(clippy::unwrap_used)]
mod dice;
#[path = "../../../cobox-core/tests/it/state/party.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod party;
#[path = "../../../cobox-core/tests/it/state/twin.rs"]
#[allow(clippy::unwrap_used)]
mod twin;
#[path = "../../../cobox-core/tests/it/state/world.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod world;

use std::panic::catch_unwind;

use party::{Mutant, Rules};

/// The longest history.
const STEPS_MAX: usize = 14;

/// What a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// People write, move and delete on several devices that meet in any order; now and then one is set back.
    Merge,
    /// ... and devices are copied and both go on under one name.
    Forks,
}

impl Kind {
    /// Of the case with this number.
    pub fn of(seed: u64) -> Self {
        if seed.is_multiple_of(2) { Self::Merge } else { Self::Forks }
    }
}

/// Runs one case, and prints it as it happens if `tells`. Why it failed, if it did.
pub fn run(seed: u64, tells: bool) -> Option<String> {
    let (clone_percent, restore_percent) = match Kind::of(seed) {
        Kind::Merge => (0, 3),
        Kind::Forks => (12, 0),
    };
    let steps_max = Some(STEPS_MAX);
    let rules = Rules { mutant: Mutant::None, clone_percent, restore_percent, steps_max, tells };
    match catch_unwind(|| party::run(seed / 2, rules)) {
        Ok(Ok(_)) => None,
        Ok(Err(why)) => Some(why),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("something that is no text");
            Some(format!("a panic: {text}"))
        }
    }
}
