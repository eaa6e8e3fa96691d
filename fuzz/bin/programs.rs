//! libFuzzer over the targets of the programs; `COBOX_FUZZ_TARGET` names which.
#![no_main]

use std::alloc::System;
use std::sync::OnceLock;

use cap::Cap;
use cobox_fuzz::{HEAP_BYTES_MAX, Target, programs};
use libfuzzer_sys::fuzz_target;

/// Nothing that is decoded may make a program take more: beyond it an allocation fails, which ends the run as a finding.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, HEAP_BYTES_MAX);

static TARGET: OnceLock<&Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| (TARGET.get_or_init(|| cobox_fuzz::chosen(programs::TARGETS)).run)(bytes));
