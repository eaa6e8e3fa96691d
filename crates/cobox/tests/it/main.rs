//! The real program in a sealed environment: an empty environment, a temporary home, no terminal.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod blind;
mod e2e_backup;
mod e2e_bad_network;
mod e2e_bandwidth;
#[path = "../../src/commands/demo/canary.rs"]
mod e2e_canary;
mod e2e_clock;
mod e2e_clones;
mod e2e_commands;
mod e2e_conflicts;
mod e2e_crash;
mod e2e_devices;
mod e2e_drill;
mod e2e_editors;
mod e2e_entering;
mod e2e_evil;
mod e2e_evil_member;
mod e2e_faults;
mod e2e_files;
mod e2e_forget;
mod e2e_frugal;
mod e2e_full_disk;
mod e2e_ignore;
mod e2e_invites;
mod e2e_joins;
mod e2e_last_copy;
mod e2e_limits;
mod e2e_loss;
mod e2e_names;
mod e2e_refusals;
mod e2e_rekey;
mod e2e_removal;
mod e2e_sick_disk;
mod e2e_silence;
mod e2e_stolen;
mod e2e_storm;
mod e2e_story;
mod e2e_time;
#[path = "../../src/commands/demo/tree.rs"]
#[allow(dead_code, reason = "the demonstration uses more of it")]
mod e2e_tree;
mod e2e_two_seeders;
mod e2e_words;
mod e2e_world;
mod e2e_yesterday;
mod life;
#[path = "../../../cobox-daemon/tests/it/scripted.rs"]
mod scripted;
mod sealed;
mod usage;
mod verbs;

/// Not a test: a seeder, in a process of its own, whose clock a test sets.
#[test]
#[ignore = "run by the tests that need a seeder for which days go by"]
fn seeder_with_a_clock_of_its_own() {
    e2e_clock::serve();
}

/// Not a test: serves the disks of the others, in a process of its own.
#[test]
#[ignore = "run by the tests that need a disk which fails"]
fn fault_disk_server() {
    cobox_faultfs::serve().unwrap();
}
