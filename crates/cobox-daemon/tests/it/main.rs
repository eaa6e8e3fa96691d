//! The local API over a real socket, spoken to as a hostile page, a broken client and a good one would; and what the service does on a disk
//! that fails.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod browser;
mod faults;
mod raw;
mod routes;
mod scripted;

/// Not a test: serves the disks of the others, in a process of its own.
#[test]
#[ignore = "run by the tests that need a disk which fails"]
fn fault_disk_server() {
    cobox_faultfs::serve().unwrap();
}
